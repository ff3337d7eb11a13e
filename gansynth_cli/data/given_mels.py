"""Mel spectrograms that another program gave for the recordings, beside the shards: a vocoder is trained on what it will be given. No
TensorFlow.

HiFi-GAN calls it fine-tuning: the spectrograms of a text-to-speech model, made with the durations of the recordings, and the recordings.
As of `frame_features`, record i of `voices-train.<key>.tfrecord-00000-of-00002` belongs to record i of the shard; it holds
`frames/given_mel` (float32 [frames, bands], little-endian).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError
from ..feature_specs import GivenMels
from ..files import load_array, sha256_of
from ..signal.mel_frames import log_mel
from . import shards
from .audio.wav_clip import pcm_of_wav_bytes
from .dataset_info import DatasetInfo
from .frame_features import sidecar_name, write_sidecar

MEL = "frames/given_mel"
MAX_MISSING_FRAMES = 4  # programs count the frames at the ends in their own ways
MAX_DISTANCE = 1.5  # natural-log units, mean over a recording: a text-to-speech model's are at 0.3 to 0.6, another logarithm's at 2 to 3
_COMPARED = 8  # recordings


def ensure_given_mels(info: DatasetInfo, folder: Path, spec: GivenMels, mels: Path) -> DatasetInfo:
    """Write the given mel spectrograms of every clip beside the shards, where they are not there yet.

    Args:
        info: Facts of a data set of whole recordings.
        folder: Its folder, which is written to.
        spec: Their convention.
        mels: Folder of `.npy` files, named after the recordings: `a/b.npy` or `b.npy` for `a/b.wav`. [bands, frames], [frames, bands], or
            either behind an axis of 1.

    Returns:
        `info` with an entry in `frame_features`. The caller writes it.

    Raises:
        DatasetError: Cut recordings; a missing, damaged or mismatched spectrogram, or one of another convention; a full disk.
    """
    if info.clip_samples:
        raise DatasetError(
            f"The data set {info.name} holds recordings cut to {info.clip_samples} samples; given mel spectrograms are of whole ones.",
            hint="prepare it without --clip-samples and with a recipe that has model.given_mels = true",
        )
    names = [shard["file"] for split in shards.SPLITS if split in info.splits for shard in info.splits[split].shards]
    digest = _digest(folder, names, mels)
    entry = info.frame_features.get(spec.key)
    if entry and entry.get("mels_sha256") == digest and all((folder / sidecar_name(name, spec.key)).is_file() for name in names):
        return info
    files, distances = {}, list[float]()
    for name in names:
        files[name] = _write(folder, name, spec, mels, distances)
    distance = float(np.median(distances)) if distances else 0.0
    if distance > MAX_DISTANCE:
        raise DatasetError(
            f"The mel spectrograms in {mels} are {distance:.1f} natural-log units away from those of their recordings; expected less than "
            f"{MAX_DISTANCE:g}: they are of another convention.",
            hint=f"the recipe has {spec.convention.describe()}; change it with --set model.mel.*",
        )
    facts = {"kind": "given", "convention": asdict(spec.convention), "mels_sha256": digest, "distance": round(distance, 4), "files": files}
    return replace(info, frame_features={**info.frame_features, spec.key: facts})


def read_given_mels(info: DatasetInfo, folder: Path, spec: GivenMels, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (audio float32 [samples], mel float32 [frames, bands]) of every clip of a split, shard after shard."""
    for shard in info.splits[split].shards if split in info.splits else []:
        beside = shards.read_records(folder / sidecar_name(shard["file"], spec.key))
        for record, given in zip(shards.read_records(folder / shard["file"]), beside, strict=True):
            mel = np.frombuffer(shards.decode_bytes(given)[MEL], "<f4").reshape(-1, spec.convention.bands)
            yield _audio(shards.decode_example(record)), mel


def load_mel(path: Path, bands: int) -> np.ndarray:
    """Read a mel spectrogram as float32 [frames, bands].

    Raises:
        DatasetError: Missing, damaged, of another number of bands, or with numbers that are not finite.
    """
    try:
        mel = load_array(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no mel spectrogram that can be read: {error}.", hint="a .npy file of numbers") from error
    mel = np.asarray(mel)
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    if mel.dtype.kind != "f" or mel.ndim != 2 or bands not in mel.shape:
        raise DatasetError(f"{path} holds {mel.dtype} {list(mel.shape)}; expected [{bands}, frames] or [frames, {bands}].")
    mel = mel.T if mel.shape[0] == bands else mel
    if not np.isfinite(mel).all():
        raise DatasetError(f"{path} holds values that are not finite.")
    return np.ascontiguousarray(mel, np.float32)


def _write(folder: Path, name: str, spec: GivenMels, mels: Path, distances: list[float]) -> dict[str, object]:
    """Write the spectrograms of one shard; the first recordings are compared with theirs."""
    c = spec.convention

    def records() -> Iterator[dict[str, bytes]]:
        for record in shards.read_records(folder / name):
            clip = shards.decode_example(record)
            audio, source = _audio(clip), _find(mels, clip.source)
            mel, expected = load_mel(source, c.bands), len(audio) // c.hop
            if abs(len(mel) - c.frames(len(audio))) > MAX_MISSING_FRAMES:
                raise DatasetError(
                    f"{source} has {len(mel)} frames; its recording {clip.source} has {expected} of {c.hop} samples.",
                    hint="the spectrogram has to follow the recording: made with its durations (teacher forcing), at the recipe's hop",
                )
            if len(distances) < _COMPARED:
                own = log_mel(audio, c)
                same = min(len(own), len(mel))
                unit = 1.0 if c.log == "ln" else float(np.log(10.0))
                distances.append(unit * float(np.abs(own[:same] - mel[:same]).mean()))
            yield {MEL: mel.astype("<f4").tobytes()}

    return write_sidecar(folder / sidecar_name(name, spec.key), records())


def _audio(clip: shards.ClipRecord) -> np.ndarray:
    return pcm_of_wav_bytes(clip.audio)[:, 0].astype(np.float32) / np.float32(32768)


def _find(mels: Path, source: str) -> Path:
    """The spectrogram of a recording.

    Raises:
        DatasetError: There is none.
    """
    name = Path(source).with_suffix(".npy")
    for path in (mels / name, mels / name.name):
        if path.is_file():
            return path
    raise DatasetError(f"{mels} has no {name.name} for the recording {source}.", hint="each recording needs a .npy file of its name")


def _digest(folder: Path, names: list[str], mels: Path) -> str:
    """SHA-256 over those of all spectrograms, in the order of the clips."""
    found = (_find(mels, shards.decode_example(record).source) for name in names for record in shards.read_records(folder / name))
    return hashlib.sha256("".join(sha256_of(path) for path in found).encode()).hexdigest()
