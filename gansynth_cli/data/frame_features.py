"""Spectra and contours of ln F0 of every clip, cached beside the shards, with the statistics of each domain. No TensorFlow.

Beside a shard `voices-train.tfrecord-00000-of-00002` lies `voices-train.<key>.tfrecord-00000-of-00002`: record i of one belongs to
record i of the other. Both are serialized `tf.train.Example`s; joined, the two byte strings are one Example with the features of both.
They can be added to a data set that is finished, and its own shards, with their fingerprint, stay what they were.

A record holds `frames/ln_f0` (float32 [frames], 0 where unvoiced) and `frames/spectrum` (float16 [frames, bands]), little-endian.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..feature_specs import FrameFeatures
from ..files import replacing
from ..processes import clean_context, ending_at_once, follow_parent
from ..signal.mel_frames import active_frames, log_mel
from ..signal.pitch import HIGHEST_HZ, LOWEST_HZ, ln_f0_contour, resolve_tracker
from . import shards
from .audio.wav_clip import pcm_of_wav_bytes
from .dataset_info import DatasetInfo

LN_F0, SPECTRUM = "frames/ln_f0", "frames/spectrum"
Progress = Callable[[int, int], None]  # shards done, shards in all

_BIN = 0.002  # nats of the histogram that gives the median: 3.5 cents
_BINS = int(np.log(HIGHEST_HZ / LOWEST_HZ) / _BIN) + 2
_POOL_SECONDS = 120.0  # of audio: less is done before a pool has started


@dataclass
class _Sums:
    """What the statistics of a domain are made of."""

    frames: int
    total: np.ndarray
    squares: np.ndarray
    active: int
    active_total: float
    f0: np.ndarray  # voiced frames, sum, sum of squares
    histogram: np.ndarray

    @classmethod
    def empty(cls, bands: int) -> _Sums:
        return cls(0, np.zeros(bands), np.zeros(bands), 0, 0.0, np.zeros(3), np.zeros(_BINS, np.int64))

    def add(self, spectrum: np.ndarray, ln_f0: np.ndarray, active: np.ndarray) -> None:
        spectrum = spectrum.astype(np.float64)
        self.frames += len(spectrum)
        self.total += spectrum.sum(axis=0)
        self.squares += np.square(spectrum).sum(axis=0)
        self.active += int(active.sum())
        self.active_total += float(spectrum[active].mean(axis=1).sum())
        values = ln_f0[ln_f0 > 0].astype(np.float64)
        self.f0 += (len(values), values.sum(), np.square(values).sum())
        self.histogram += np.bincount(_bin_of(values), minlength=_BINS)

    def merge(self, other: _Sums) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def mel_statistics(self, frame_seconds: float) -> dict[str, Any]:
        mean = self.total / self.frames
        deviation = np.sqrt(np.maximum(self.squares / self.frames - np.square(mean), 0.0))
        return {
            "mean": mean.tolist(),
            "deviation": deviation.tolist(),
            "active_level": self.active_total / max(self.active, 1),
            "seconds": round(self.frames * frame_seconds, 3),
        }

    def f0_statistics(self, frame_seconds: float) -> dict[str, Any]:
        count = self.f0[0]
        if not count:
            return {"mean": 0.0, "deviation": 0.0, "median": 0.0, "seconds": 0.0}
        mean = self.f0[1] / count
        half = int(np.searchsorted(np.cumsum(self.histogram), count / 2))
        return {
            "mean": float(mean),
            "deviation": float(np.sqrt(max(self.f0[2] / count - mean**2, 0.0))),
            "median": float(np.log(LOWEST_HZ) + (half + 0.5) * _BIN),
            "seconds": round(float(count) * frame_seconds, 3),
        }


def ensure_frame_features(
    info: DatasetInfo, folder: Path, spec: FrameFeatures, *, jobs: int = 0, progress: Progress | None = None
) -> DatasetInfo:
    """`info` with the frames that `spec` describes and the statistics of each label's train split; computed and written where missing.

    The caller writes `dataset_info.json`; until then the new files are strangers, and computed anew.

    Args:
        info: Facts of a data set with labels, mono.
        folder: Its folder, which is written to.
        jobs: Processes; 0 is one for each core.
        progress: Called after each shard.

    Raises:
        DatasetError: No labels, several channels, another sample rate; a damaged shard; a folder that cannot be written.
        GanAudioError: pyworld or swift-f0 is needed and not installed.
    """
    _check(info, spec)
    if not missing_frame_features(info, folder, spec):
        return info
    tracker: Any = resolve_tracker(spec.tracker)
    exact = replace(spec, tracker=tracker)
    tasks = [(split, shard["file"]) for split in shards.SPLITS if split in info.splits for shard in info.splits[split].shards]
    work = [(str(folder), name, exact, spec.key, info.labels if split == "train" else []) for split, name in tasks]
    sums = {label: _Sums.empty(spec.convention.bands) for label in info.labels}
    files: dict[str, Any] = {}
    seconds = sum(info.splits[split].seconds for split in info.splits)
    with closing(_results(work, jobs, seconds)) as results:
        for done, ((_, name), (facts, parts)) in enumerate(zip(tasks, results, strict=True), 1):
            files[name] = facts
            for label, part in parts.items():
                sums[label].merge(part)
            if progress is not None:
                progress(done, len(tasks))
    hop_seconds = spec.convention.hop / spec.convention.sample_rate
    statistics = dict(info.statistics)
    for label, part in sums.items():
        if part.frames:
            statistics[spec.mel_statistics(label)] = part.mel_statistics(hop_seconds)
            statistics[spec.f0_statistics(label)] = part.f0_statistics(hop_seconds)
    entry = {"kind": spec.kind, "convention": asdict(spec.convention), "tracker": tracker, "files": files}
    return replace(info, statistics=statistics, frame_features={**info.frame_features, spec.key: entry})


def missing_frame_features(info: DatasetInfo, folder: Path, spec: FrameFeatures) -> list[str]:
    """Which of the files are missing or have another size; all, if the data set was prepared without them."""
    entry = info.frame_features.get(spec.key)
    wanted = [shard["file"] for split in shards.SPLITS if split in info.splits for shard in info.splits[split].shards]
    if entry is None:
        return [sidecar_name(name, spec.key) for name in wanted]
    damaged = []
    for name in wanted:
        facts = entry["files"].get(name)
        path = folder / sidecar_name(name, spec.key)
        if facts is None or not path.is_file() or path.stat().st_size != facts["bytes"]:
            damaged.append(path.name)
    return damaged


def sidecar_name(shard: str, key: str) -> str:
    """The name of the file with the frames of a shard."""
    return shard.replace(".tfrecord-", f".{key}.tfrecord-")


def write_sidecar(path: Path, records: Iterable[Mapping[str, bytes]]) -> dict[str, Any]:
    """Write records as a file beside a shard, in one step; return its "bytes" and "sha256".

    Raises:
        DatasetError: The file cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            for values in records:
                framed = shards.frame_record(shards.encode_bytes(values))
                digest.update(framed)
                size += len(framed)
                file.write(framed)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written: {error.strerror or error}.", hint="free some space, or copy the data set to where it can be written"
        ) from error
    return {"bytes": size, "sha256": digest.hexdigest()}


@dataclass(frozen=True)
class FrameClip:
    """A clip with its frames: spectrum float32 [frames, bands], ln F0 float32 [frames], its label; `record` is its Example."""

    spectrum: np.ndarray
    ln_f0: np.ndarray
    label: str
    record: shards.ClipRecord

    def audio(self) -> np.ndarray:
        """float32 [samples]."""
        return pcm_of_wav_bytes(self.record.audio)[:, 0].astype(np.float32) / np.float32(32768)


def read_frame_features(info: DatasetInfo, folder: Path, spec: FrameFeatures, split: str) -> Iterator[FrameClip]:
    """Every clip of a split, shard after shard."""
    for shard in info.splits[split].shards if split in info.splits else []:
        clips = shards.read_records(folder / shard["file"])
        for clip, record in zip(clips, shards.read_records(folder / sidecar_name(shard["file"], spec.key)), strict=True):
            values = shards.decode_bytes(record)
            spectrum = np.frombuffer(values[SPECTRUM], "<f2").astype(np.float32).reshape(-1, spec.convention.bands)
            found = shards.decode_example(clip)
            yield FrameClip(spectrum, np.frombuffer(values[LN_F0], "<f4"), info.labels[found.label] if info.labels else "", found)


def compute_frames(audio: np.ndarray, spec: FrameFeatures) -> tuple[np.ndarray, np.ndarray]:
    """(spectrum float32 [frames, bands], ln F0 float32 [frames]) of a signal float [samples] at the convention's rate."""
    ln_f0 = ln_f0_contour(audio, spec.convention, spec.tracker)
    if spec.kind == "mel":
        return log_mel(audio, spec.convention), ln_f0
    from ..signal.world_envelope import envelope_mel, spectral_envelope

    return envelope_mel(spectral_envelope(audio, ln_f0, spec.convention), spec.convention), ln_f0


def _check(info: DatasetInfo, spec: FrameFeatures) -> None:
    if not info.labels:
        raise DatasetError(
            f"The data set {info.name} has no labels: conversion is between speakers or emotions, and they are labels.",
            hint="gan-audio prepare INPUT... -o DATA --layout speakers (or vctk, esd, ravdess, crema-d, emo-db, csv)",
        )
    wrong = []
    if info.channels != 1 or info.pairs:
        wrong.append("is not mono" if not info.pairs else "holds pairs of clean and noisy recordings")
    if info.sample_rate != spec.convention.sample_rate:
        wrong.append(f"has a sample rate of {info.sample_rate} Hz, not {spec.convention.sample_rate} Hz")
    if wrong:
        raise DatasetError(f"The data set {info.name} {' and '.join(wrong)}.", hint="gan-audio prepare INPUT... -o DATA --recipe NAME")


def _results(work: list[tuple], jobs: int, seconds: float) -> Generator[tuple[dict[str, Any], dict[str, _Sums]], None, None]:
    workers = min(jobs or os.cpu_count() or 1, len(work))
    if workers <= 1 or seconds < _POOL_SECONDS:
        yield from (_work(*task) for task in work)
        return
    with ending_at_once(ProcessPoolExecutor(workers, clean_context(_work.__module__), initializer=follow_parent)) as pool:
        yield from pool.map(_work, *zip(*work, strict=True))


def _work(folder: str, name: str, spec: FrameFeatures, key: str, labels: list[str]) -> tuple[dict[str, Any], dict[str, _Sums]]:
    """Writes the frames of one shard; with `labels` it returns their sums too."""
    sums: dict[str, _Sums] = {}

    def records() -> Iterator[dict[str, bytes]]:
        for record in shards.read_records(Path(folder, name)):
            clip = shards.decode_example(record)
            audio = pcm_of_wav_bytes(clip.audio)[:, 0].astype(np.float32) / np.float32(32768)
            spectrum, ln_f0 = compute_frames(audio, spec)
            if labels:
                label = labels[clip.label]
                sums.setdefault(label, _Sums.empty(spec.convention.bands)).add(spectrum, ln_f0, active_frames(spectrum, spec.convention))
            yield {LN_F0: ln_f0.astype("<f4").tobytes(), SPECTRUM: spectrum.astype("<f2").tobytes()}

    return write_sidecar(Path(folder, sidecar_name(name, key)), records()), sums


def _bin_of(values: np.ndarray) -> np.ndarray:
    return np.clip(((values - np.log(LOWEST_HZ)) / _BIN).astype(int), 0, _BINS - 1)
