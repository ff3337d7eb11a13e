"""What is known of a prepared data set: `features.json` and `dataset_info.json`, read without TensorFlow.

A run folder keeps a copy (without the list of sources), so that a trained model never needs its data set again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from ..errors import DatasetError
from ..files import json_text, read_json

FORMAT_VERSION = 1
INFO_FILE = "dataset_info.json"  # a folder that holds one is a finished data set


@dataclass(frozen=True)
class SplitInfo:
    """One split.

    Attributes:
        clips: Number of clips.
        seconds: Seconds of audio before padding.
        shards: Shard file names in order, each with its bytes, SHA-256 and number of clips.
        label_counts: Label name -> clips.
        attribute_counts: Attribute -> class name -> clips.
    """

    clips: int
    seconds: float
    shards: list[dict[str, Any]] = field(default_factory=list)
    label_counts: dict[str, int] = field(default_factory=dict)
    attribute_counts: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set.

    Attributes:
        name: Its name; shards are `<name>-<split>.tfrecord-00000-of-00016`.
        sample_rate: Hz.
        channels: Channels of every clip. A data set of pairs holds twice as many: the clean ones, then the noisy ones.
        clip_samples: Samples of every clip (shorter sources padded, looped or dropped as `prepare` was told); 0 when clips
            keep their own lengths.
        labels: Label names in the order of their numbers; empty when there are none.
        splits: "train", "validation", "test", and where there is noise to mix in "noise-train", ... -> facts.
        split_by: "file" or "speaker".
        statistics: Name -> {"mean": [...], "deviation": [...]}, one float a frequency bin; names as `statistics_key` gives them.
        prepared_with: The options of `prepare`.
        sources: One entry a source file: path, SHA-256, split, clips, label, speaker.
        skipped: One entry a file that gave no clip: path, reason.
        fingerprint: SHA-256 over the shards' SHA-256: what a manifest records as the data.
        pairs: Whether each clip is a clean recording and its noisy partner.
        consent: The note that `prepare --consent` was given: who allowed these voices to be used, and for what. Every model that is
            trained on the data set carries it.
        frame_features: Key -> what is cached of every clip frame by frame; see `data.frame_features`.
        attributes: What else is known of every clip: attribute -> class names in the order of their numbers. Of notes "pitch" (MIDI
            numbers in decimal, ascending), "instrument", and "velocity" where there are several.
    """

    name: str
    sample_rate: int
    channels: int
    clip_samples: int
    labels: list[str]
    splits: dict[str, SplitInfo]
    split_by: str = "file"
    statistics: dict[str, Any] = field(default_factory=dict)
    prepared_with: dict[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str = ""
    pairs: bool = False
    attributes: dict[str, list[str]] = field(default_factory=dict)
    consent: str = ""
    frame_features: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def without_sources(self) -> DatasetInfo:
        """The copy that a run folder keeps: no source paths, which may be private."""
        return replace(self, sources=[], skipped=[])

    def to_json(self) -> str:
        return json_text(asdict(self), sort_keys=True)


def read_dataset_info(path: Path) -> DatasetInfo:
    """Reads a `dataset_info.json`, or the one in the folder `path`.

    Raises:
        DatasetError: It is not there, not JSON, or of another format version.
    """
    file = path / INFO_FILE if path.is_dir() else path
    if not file.is_file():
        raise DatasetError(f"{path} is not a prepared data set: it holds no dataset_info.json.", hint=f"gan-audio prepare {path} -o DATA")
    try:
        info = msgspec.convert(read_json(file), DatasetInfo)
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise DatasetError(f"{file} is damaged: {error}.", hint="prepare the data set again") from error
    if info.format_version != FORMAT_VERSION:
        raise DatasetError(
            f"{file} has format version {info.format_version}; this version reads {FORMAT_VERSION}.", hint="prepare the data set again"
        )
    return info


def fingerprint_of(splits: dict[str, SplitInfo]) -> str:
    """SHA-256 over the SHA-256 of all shards, in the order of their names."""
    digests = sorted((shard["file"], shard["sha256"]) for split in splits.values() for shard in split.shards)
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
