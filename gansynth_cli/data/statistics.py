"""Per-bin statistics of the training clips, in numpy and float64: the same figures on every machine, no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..errors import DatasetError
from ..feature_specs import LogSpectrogram
from ..signal.mel import mel_mean_bank
from .dataset_info import DatasetInfo

__all__ = ["ClipSource", "LogSpectrogram", "compute", "ensure_statistics", "statistics_key"]


class ClipSource(Protocol):
    """What is needed of a data set: its undisturbed clips, and how they are scaled."""

    @property
    def peak_normalize(self) -> bool | str: ...
    @property
    def peak(self) -> float: ...
    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]: ...


def compute(spec: LogSpectrogram, clips: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """Mean and standard deviation of log(|X| + log_offset) over all frames of all clips and channels, one a bin.

    Args:
        spec: The transform (SpecGAN: fft 256, hop 128, 128 frames, offset 1e-6; Donahue et al. 2019, section 3.2).
        clips: float32 [samples, channels] each. A clip longer than `frames * hop` counts in consecutive pieces of that
            length, a shorter one is padded with zeros.

    Returns:
        {"mean": [bins], "deviation": [bins]}. Of fft / 2 + 1 bins the last is the Nyquist bin, which SpecGAN drops from its
        picture and fills with its mean when it goes back; of mel bands all are used.

    Raises:
        DatasetError: There is no clip.
    """
    bins = spec.bins
    bank = mel_mean_bank(spec.sample_rate, spec.fft, spec.mel_bands).astype(np.float64) if spec.mel_bands else None
    window = np.hanning(spec.fft + 1)[:-1]
    total, squares, count = np.zeros(bins), np.zeros(bins), 0
    for clip in clips:
        for piece in _pieces(clip, spec.frames * spec.hop):
            magnitudes = np.abs(np.fft.rfft(_frames(piece, spec) * window, axis=-1))
            logs = np.log((magnitudes if bank is None else magnitudes @ bank) + spec.log_offset)
            flat = logs.reshape(-1, bins)
            total += flat.sum(axis=0)
            squares += np.square(flat).sum(axis=0)
            count += len(flat)
    if count == 0:
        raise DatasetError("There is no clip to compute the spectrogram statistics from.")
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    return {"mean": mean.tolist(), "deviation": deviation.tolist()}


def statistics_key(spec: LogSpectrogram, peak_normalize: bool | str, peak: float = 1.0) -> str:
    """The name under which a data set keeps them: clips that training scales have other statistics."""
    if not peak_normalize:
        return spec.key
    what = "recording_peak_normalized" if peak_normalize == "recording" else "peak_normalized"
    return f"{spec.key}/{what}" + (f"_{peak:g}" if peak != 1 else "")


def ensure_statistics(
    info: DatasetInfo,
    source: ClipSource,
    specs: Iterable[LogSpectrogram],
    progress: Callable[[str], None] | None = None,
) -> DatasetInfo:
    """`info` with the statistics that `specs` name under their keys, computed over the train split where they are missing.

    Args:
        progress: Called with each key before the work for it begins.
    """
    statistics = dict(info.statistics)
    for spec in specs:
        stored = statistics_key(spec, source.peak_normalize, source.peak)
        if stored not in statistics:
            if progress is not None:
                progress(stored)
            statistics[stored] = compute(spec, (clip for clip, _ in source.clips("train")))
        statistics[spec.key] = statistics[stored]
    return replace(info, statistics=statistics)


def _pieces(clip: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """[samples, channels] -> float64 [channels, <= length]; of a longer clip, only whole pieces."""
    channels = np.asarray(clip, np.float64).T
    for start in range(0, max(channels.shape[1] - length, 0) + 1, length):
        yield channels[:, start : start + length]


def _frames(piece: np.ndarray, spec: LogSpectrogram) -> np.ndarray:
    """[channels, samples] -> [channels, frames, fft], zeros beyond the ends."""
    needed = (spec.frames - 1) * spec.hop + spec.fft
    padded = np.zeros((piece.shape[0], needed))
    held = piece[:, : needed - spec.front]
    padded[:, spec.front : spec.front + held.shape[1]] = held
    return np.lib.stride_tricks.sliding_window_view(padded, spec.fft, axis=1)[:, :: spec.hop]
