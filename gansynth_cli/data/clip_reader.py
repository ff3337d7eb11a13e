"""Clips out of shards in numpy, undisturbed: for statistics and metrics. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DatasetError
from . import shards
from .audio.wav_clip import pcm_of_wav_bytes
from .dataset_info import DatasetInfo


@dataclass(frozen=True)
class ShardClips:
    """The clips of a prepared data set as training sees them, but for the augmentation and the random place of the crop.

    Of a pair it is the clean recording.

    Attributes:
        info: Facts of the data set.
        folder: Where its shards lie.
        clip_samples: Crop or pad each clip to this many samples; 0 keeps it.
        crop: "start" or "centre"; "random" takes the start.
        peak_normalize: Scale each clip to `peak`; "recording": what the shards hold, before it is cropped.
        peak: Largest absolute sample after that.
    """

    info: DatasetInfo
    folder: Path
    clip_samples: int = 0
    crop: str = "start"
    peak_normalize: bool | str = False
    peak: float = 1.0

    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]:
        """(float32 [samples, channels], label name or "") in the order of the shards, one of each shard in turn.

        Raises:
            DatasetError: No such split, or a damaged shard.
        """
        labels = self.info.labels
        for index, clip in enumerate(self.records(split)):
            if limit is not None and index >= limit:
                return
            audio = pcm_of_wav_bytes(clip.audio)[:, : self.info.channels].astype(np.float32) / np.float32(32768)
            yield self._conformed(audio), labels[clip.label] if labels else ""

    def _conformed(self, audio: np.ndarray) -> np.ndarray:
        return conform_clip(audio, self.clip_samples, self.crop, self.peak_normalize, self.peak)

    def records(self, split: str) -> Iterator[shards.ClipRecord]:
        """The records in the order in which `prepare` made them."""
        if split not in self.info.splits:
            raise DatasetError(
                f"The data set {self.info.name!r} has no split {split!r}; it has {', '.join(self.info.splits)}.",
                hint="prepare it again with --validation and --test fractions above 0",
            )
        readers = [shards.read_records(path) for path in shards.shard_paths(self.info.splits[split], self.folder)]
        while readers:  # clips went to the shards in turn
            for reader in list(readers):
                record = next(reader, None)
                if record is None:
                    readers.remove(reader)
                else:
                    yield shards.decode_example(record)


def conform_clip(audio: np.ndarray, clip_samples: int, crop: str, peak_normalize: bool | str, peak: float = 1.0) -> np.ndarray:
    """Crop [samples, channels], or pad it with zeros at its end, to [clip_samples, channels]; scale it before or after, or not at all.

    Args:
        audio: The recording.
        clip_samples: Samples of the result; 0 keeps all.
        crop: "centre" takes the middle, anything else the start.
        peak_normalize: "recording": scale to `peak` before cropping; True: after.
        peak: Largest absolute sample after that. Silence stays silent.
    """
    if peak_normalize == "recording":
        audio = _scaled(audio, peak)
    if clip_samples and len(audio) > clip_samples:
        start = (len(audio) - clip_samples) // 2 if crop == "centre" else 0
        audio = audio[start : start + clip_samples]
    elif clip_samples and len(audio) < clip_samples:
        audio = np.concatenate([audio, np.zeros((clip_samples - len(audio), audio.shape[1]), audio.dtype)])
    return _scaled(audio, peak) if peak_normalize is True else audio


def _scaled(audio: np.ndarray, peak: float) -> np.ndarray:
    loudest = np.abs(audio).max(initial=0.0)
    return audio * (np.float32(peak) / loudest) if loudest > 0 else audio
