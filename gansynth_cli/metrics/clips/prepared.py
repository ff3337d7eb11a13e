"""A prepared data set as the figures see it: clips on one channel, all of one length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...data import shards
from ...data.audio.wav_clip import pcm_of_wav_bytes
from ...data.clip_reader import conform_clip
from ...data.dataset_info import DatasetInfo, read_dataset_info
from ...errors import DatasetError
from .clip_set import Clip, is_silent


@dataclass(frozen=True)
class PreparedData:
    """A data set that `prepare` wrote.

    Attributes:
        folder: Its folder.
        info: Its facts; `labels` are the classes of the clips.
        attribute: The attribute whose classes are the labels; "" for the data set's own labels.
    """

    folder: Path
    info: DatasetInfo
    attribute: str = ""

    @classmethod
    def open(cls, folder: Path) -> PreparedData:
        """Read the facts of a data set and check that its shards are there.

        Raises:
            DatasetError: Not a data set, missing shards, or no training clips.
        """
        info = read_dataset_info(folder)
        if problems := shards.missing_or_resized(info, folder):
            raise DatasetError(f"The data set {folder} is incomplete: {problems[0]}.", hint="prepare the data set again with --overwrite")
        if not info.splits.get("train") or not info.splits["train"].clips:
            raise DatasetError(
                f"The data set {folder} has no train split to compare with.", hint="prepare the data set again with a larger train split"
            )
        return cls(folder, info)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits with clips: held-out ones first, "train" last."""
        return tuple(name for name in ("test", "validation", "train") if self.info.splits.get(name) and self.info.splits[name].clips)

    @cached_property
    def samples(self) -> int:
        """Samples of a clip: the data set's; where clips keep their own lengths, what nine of ten training clips fit into."""
        if self.info.clip_samples:
            return self.info.clip_samples
        lengths = [len(pcm_of_wav_bytes(record.audio)) for record in self.records("train")]
        return int(np.ceil(np.quantile(lengths, 0.9)))

    def number_of(self, split: str) -> int:
        return self.info.splits[split].clips

    def records(self, split: str) -> Iterator[shards.ClipRecord]:
        """Yield the records of a split in the order of its shards.

        Raises:
            DatasetError: A shard is missing or damaged.
        """
        for shard in self.info.splits[split].shards:
            for record in shards.read_records(self.folder / shard["file"]):
                yield shards.decode_example(record)

    def clips(self, split: str) -> Iterator[Clip]:
        """Yield the clips of a split in the order of its shards, cut or padded with zeros to `samples`.

        Raises:
            DatasetError: A shard is missing or damaged.
        """
        for record in self.records(split):
            audio = mono_of(record, self.info)
            name = f"{record.source} @ {record.start / self.info.sample_rate:.2f} s" if record.start else record.source
            label = record.attributes[self.attribute] if self.attribute else record.label
            failure = "silent" if is_silent(audio) else ""
            yield Clip(name, conform_clip(audio[:, None], self.samples, "start", False)[:, 0], label, failure)


def mono_of(record: shards.ClipRecord, info: DatasetInfo) -> np.ndarray:
    """Decode a record to float32 [samples], the mean of its channels; of a pair the clean recording."""
    pcm = pcm_of_wav_bytes(record.audio)[:, : info.channels]
    return pcm.astype(np.float32).mean(axis=1) / np.float32(32768)
