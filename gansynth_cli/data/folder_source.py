"""Direct mode: batches from a plain folder of recordings, decoded while training.

It starts at once and takes no disk, but decodes and resamples every clip in every epoch and knows no held-out split; for more than
a first try, `prepare` is the better way. Labels are the folders, if all recordings lie in folders and there are several; the attributes
"pitch" and "instrument" come from names such as piano_C4.wav, if all recordings have such names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..errors import AudioFileError, DatasetError, GanAudioError
from ..recipe_schema import Data, Recipe
from .audio import audio_file
from .audio.find import find_audio
from .clip_reader import conform_clip
from .clip_stream import balanced_repeats
from .corpora.labelling import label_order
from .corpora.note_names import pitch_of_name
from .dataset_info import DatasetInfo, SplitInfo
from .source import Source

# (container, subtype) -> branch of `_decode_in_graph`
_BRANCHES = {("WAV", "PCM_16"): 1, ("WAVEX", "PCM_16"): 1, ("FLAC", "PCM_16"): 1, ("OGG", "VORBIS"): 2, ("MP3", "MPEG_LAYER_III"): 2}


@dataclass(frozen=True)
class _Windows:
    """Equal parts of recordings, each between one and two clips long (shorter recordings are one part)."""

    paths: list[str]
    starts: np.ndarray  # int64, frames at the file's own rate
    frames: np.ndarray
    labels: np.ndarray  # int64 number, -1 without labels
    branches: np.ndarray  # int64, see _BRANCHES; 0 is soundfile
    attributes: dict[str, np.ndarray] = field(default_factory=dict)  # int64 numbers

    def __len__(self) -> int:
        return len(self.paths)


class FolderSource(Source):
    """A folder of recordings as its own train split.

    An epoch takes one clip out of every `clip_samples` of each recording, at a random place where the recipe crops at random.
    Recordings that cannot be opened are listed in `info.skipped`.

    Raises:
        DatasetError: From the constructor: no recording can be opened.
    """

    def __init__(self, path: Path, recipe: Recipe):
        self._windows, info = _survey(Path(path), recipe)
        super().__init__(Path(path), info, recipe)
        self._in_graph = importlib.util.find_spec("tensorflow_io") is not None

    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]:
        self._require(split)
        settings, names = self.recipe.data, self.info.labels
        for index in range(len(self._windows) if limit is None else min(limit, len(self._windows))):
            label = names[self._windows.labels[index]] if names else ""
            yield conform_clip(self._read(index), settings.clip_samples, settings.crop, settings.peak_normalize, settings.peak), label

    def diagnose(self, error: Exception) -> GanAudioError | None:
        if not isinstance(error, tf.errors.OpError):
            return None
        for path in dict.fromkeys(self._windows.paths):
            try:
                for _ in audio_file.blocks(path):
                    pass
            except AudioFileError as failure:
                return DatasetError(
                    f"A recording cannot be used for training: {failure.message}.",
                    hint=f"gan-audio prepare {self.path} -o DATA leaves such files out",
                )
        return None

    def epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        indices = tf.range(len(self._windows), dtype=tf.int64)
        if settings.balance != "none" and self.info.labels:
            counts = self.label_counts(split)
            rank = np.zeros(len(self._windows), np.int64)
            for label in range(len(counts)):
                mine = np.flatnonzero(self._windows.labels == label)
                rank[mine] = np.arange(len(mine))
            repeats = balanced_repeats(tf.constant(rank), tf.constant(counts[self._windows.labels]), int(counts.max()), number)
            indices = tf.repeat(indices, repeats)
        if settings.shuffle_clips:  # the indices fit into memory, so the whole epoch is shuffled
            indices = tf.random.experimental.stateless_shuffle(indices, seed)
        return tf.data.Dataset.from_tensor_slices(indices)

    def decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._in_graph:
            audio = self._decode_in_graph(record)
        else:
            audio = tf.numpy_function(self._read, [record], tf.float32, stateful=False)
        audio = tf.ensure_shape(audio, [None, self.info.channels])
        return audio, tf.cast(tf.gather(tf.constant(self._windows.labels), record), tf.int32)

    def attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.cast(tf.gather(tf.constant(numbers), record), tf.int32) for name, numbers in self._windows.attributes.items()}

    def label(self, record: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(self._windows.labels), record)

    def _read(self, index: int) -> np.ndarray:
        """float32 [samples, channels] of a window. Called from tf.data's threads; decoder and resampler leave the interpreter free."""
        table, info = self._windows, self.info
        audio, _ = audio_file.read(
            table.paths[index],
            start=int(table.starts[index]),
            frames=int(table.frames[index]),
            sample_rate=info.sample_rate,
            channels=info.channels,
        )
        return audio

    def _decode_in_graph(self, index: tf.Tensor) -> tf.Tensor:
        """The same window by tensorflow-io: no Python in the graph but for the formats that it does not know.

        The samples are the same to one step of 16 bits, mostly to 2e-7 (`_branch` leaves to soundfile what is not).
        """
        import tensorflow_io as tfio

        table, info = self._windows, self.info
        path, start, frames = (tf.gather(tf.constant(column), index) for column in (table.paths, table.starts, table.frames))

        def with_soundfile() -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(self._read, [index], tf.float32, stateful=False), [None, info.channels])

        def with_tfio(dtype: tf.DType, scale: float) -> tf.Tensor:
            audio = tf.cast(tfio.audio.AudioIOTensor(path, dtype=dtype)[start : start + frames], tf.float32) * scale
            return tf.ensure_shape(_to_channels(audio, info.channels), [None, info.channels])

        branches = [with_soundfile, lambda: with_tfio(tf.int16, 1 / 32768), lambda: with_tfio(tf.float32, 1.0)]
        return tf.switch_case(tf.cast(tf.gather(tf.constant(table.branches), index), tf.int32), branches)


def _to_channels(audio: tf.Tensor, channels: int) -> tf.Tensor:
    """`audio_file.to_channels` in the graph: [frames, any] -> [frames, channels]."""
    if channels == 1:
        return tf.reduce_mean(audio, axis=1, keepdims=True)
    have = tf.shape(audio)[1]
    return tf.gather(audio, tf.minimum(tf.range(channels), have - 1), axis=1)


def _branch(header: audio_file.AudioInfo, first: int, sample_rate: int) -> int:
    """Who decodes a window: 0 soundfile, 1 and 2 tensorflow-io.

    tensorflow-io 0.37 resamples with a delay (speex, its latency not taken off) and lands at wrong samples when it seeks in an
    MP3, so windows that need either are left to soundfile and soxr.
    """
    branch = _BRANCHES.get((header.container, header.subtype), 0)
    wrong = header.sample_rate != sample_rate or (header.container == "MP3" and first > 0)
    return 0 if wrong else branch


def _survey(path: Path, recipe: Recipe) -> tuple[_Windows, DatasetInfo]:
    """Reads every header once."""
    settings = recipe.data
    found = find_audio([path])
    folders = [file.relative_to(root).parts[0] if len(file.relative_to(root).parts) > 1 else "" for root, file in found]
    names = label_order(folders) if all(folders) and len(set(folders)) > 1 else []
    numbers = {name: number for number, name in enumerate(names)}
    rows: list[tuple[str, int, int, int, int]] = []
    skipped, digest, seconds = [], hashlib.sha256(), 0.0
    counts: Counter[str] = Counter()
    for (root, file), folder in zip(found, folders, strict=True):
        name = file.relative_to(root).as_posix()
        try:
            header = audio_file.probe(file)
            frames = header.frames if header.frames >= 0 else sum(len(block) for block in audio_file.blocks(file))
        except AudioFileError as error:
            skipped.append({"path": name, "reason": error.reason, "failed": True})
            continue
        digest.update(json.dumps([name, file.stat().st_size, frames]).encode())
        parts = max(1, int(frames * settings.sample_rate / header.sample_rate) // settings.clip_samples)
        edges = [frames * part // parts for part in range(parts + 1)]
        label = numbers.get(folder, -1)
        for first, last in itertools.pairwise(edges):
            rows.append((str(file), first, last - first, label, _branch(header, first, settings.sample_rate)))
        counts[folder] += parts
        seconds += frames / header.sample_rate
    if not rows:
        raise DatasetError(f"None of the {len(found)} recordings in {path} can be opened: {skipped[0]['path']}: {skipped[0]['reason']}.")
    columns = list(zip(*rows, strict=True))
    attributes, classes = _attributes_of(path, list(columns[0]))
    arrays = [np.array(column, np.int64) for column in columns[1:]]
    windows = _Windows(list(columns[0]), arrays[0], arrays[1], arrays[2], arrays[3], attributes)
    info = DatasetInfo(
        name=path.resolve().name,
        sample_rate=settings.sample_rate,
        channels=settings.channels,
        clip_samples=0,
        labels=names,
        splits={"train": SplitInfo(len(rows), round(seconds, 6), [], {name: counts[name] for name in names if counts[name]})},
        skipped=skipped,
        fingerprint=digest.hexdigest(),
        attributes=classes,
    )
    return windows, info


def _attributes_of(root: Path, paths: list[str]) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """What the names of the files tell (one entry of `paths` a window): "pitch" if all tell one, and "instrument" if all do that too."""
    told = [pitch_of_name(Path(path).stem) for path in paths]
    pitches = [str(entry[0]) for entry in told if entry is not None]
    if len(pitches) < len(paths):
        return {}, {}
    folders = [Path(path).parent for path in paths]
    instruments = [folder.name if folder != root else entry[2] for folder, entry in zip(folders, told, strict=True) if entry is not None]
    values = {"pitch": pitches} | ({"instrument": instruments} if all(instruments) else {})
    classes = {name: label_order(found) for name, found in values.items()}
    numbers = {name: {value: index for index, value in enumerate(classes[name])} for name in values}
    return {name: np.array([numbers[name][value] for value in found], np.int64) for name, found in values.items()}, classes
