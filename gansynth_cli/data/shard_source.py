"""A prepared data set: TFRecord shards and what is cached beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import DatasetError, GanAudioError
from ..feature_specs import BatchFeatures
from ..files import write_text
from ..recipe_schema import Data
from ..stores.mirror import fetch, mirror_of
from . import shards
from .audio.wav_clip import WAV_HEADER_BYTES
from .clip_reader import ShardClips
from .clip_stream import balanced_repeats
from .frame_features import LN_F0, SPECTRUM, FrameClip, ensure_frame_features, missing_frame_features, read_frame_features, sidecar_name
from .given_mels import MEL, read_given_mels
from .source import Source
from .speech_features import read_speech

_READERS = 16  # shards read in turn


class ShardSource(Source):
    """A data set that `prepare` made."""

    @property
    def in_graph(self) -> bool:
        return mirror_of(self.path) is None

    def check(self, features: BatchFeatures) -> None:
        damage = shards.missing_or_resized(self.info, self.path)
        if damage:
            more = f" and {len(damage) - 3} more" if len(damage) > 3 else ""
            raise DatasetError(
                f"{self.path} is damaged: {'; '.join(damage[:3])}{more}.", hint="prepare it again with --overwrite, or copy it again"
            )
        super().check(features)

    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]:
        settings = self.recipe.data
        clips = ShardClips(self.info, self.path, settings.clip_samples, settings.crop, settings.peak_normalize, settings.peak)
        return clips.clips(split, limit)

    def diagnose(self, error: Exception) -> GanAudioError | None:
        if not isinstance(error, (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError)):
            return None
        problems = shards.verify(self.info, self.path)
        if not problems:
            return None
        return DatasetError(
            f"{self.path} was damaged after it was prepared: {'; '.join(problems[:3])}.",
            hint="prepare it again with --overwrite, or copy it again",
        )

    def epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        stored = mirror_of(self.path) is not None
        paths = tf.constant([str(path) for path in shards.shard_paths(self.info.splits[split], self.path)])
        readers = min(_READERS, len(paths))
        read: Callable = tf.data.TFRecordDataset
        cached = self.frames or self.mels or self.speech
        if cached is not None:
            key = cached.key
            beside = [str(self.path / sidecar_name(shard["file"], key)) for shard in self.info.splits[split].shards]
            paths = tf.stack([paths, tf.constant(beside)], axis=1)
            read = _read_joined
        if stored:
            there, read = read, lambda names: there(_fetched(names))
        if settings.shuffle_clips:
            paths = tf.random.experimental.stateless_shuffle(paths, seed)
        else:
            readers = 1
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            read, cycle_length=readers, num_parallel_calls=tf.data.AUTOTUNE if readers > 1 else None
        )
        if settings.balance != "none" and self.info.labels:
            records = _repeat_rare(records, self.label_counts(split), number)
        balanced = settings.balance != "none" and self.info.labels
        buffer = min(settings.shuffle_clips, self.clips_per_epoch(split) if balanced else self.info.splits[split].clips)
        if buffer > 1:
            records = records.shuffle(buffer, seed=tf.cast(seed[1], tf.int64), reshuffle_each_iteration=False)
        return records

    def decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = {"audio": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        example = tf.io.parse_single_example(record, features)
        channels = self.info.channels * (2 if self.info.pairs else 1)
        samples = tf.io.decode_raw(example["audio"], tf.int16)[WAV_HEADER_BYTES // 2 :]  # a tenth of decode_wav's time
        audio = tf.reshape(tf.cast(samples, tf.float32) / 32768.0, [-1, channels])
        audio = tf.ensure_shape(audio, [self.info.clip_samples or None, channels])
        return audio, tf.cast(example["label"], tf.int32)

    def attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self.info.attributes:
            return {}
        features = {shards.ATTRIBUTE + name: tf.io.FixedLenFeature([], tf.int64) for name in self.info.attributes}
        example = tf.io.parse_single_example(record, features)
        return {name: tf.cast(example[shards.ATTRIBUTE + name], tf.int32) for name in self.info.attributes}

    def label(self, record: tf.Tensor) -> tf.Tensor:
        return _label_of_example(record)

    def add_frame_features(self, say: Callable[[str], None]) -> None:
        spec = self.frames
        if spec is None or not missing_frame_features(self.info, self.path, spec):
            return
        say(f"finding F0 and spectra of every clip ({spec.key}); prepare --recipe {self.recipe.name or self.recipe.family} does it before")
        self.info = ensure_frame_features(self.info, self.path, spec)
        write_text(self.path / "dataset_info.json", self.info.to_json())

    def frame_clips(self, split: str) -> Iterator[FrameClip]:
        assert self.frames is not None
        self._require(split)
        return read_frame_features(self.info, self.path, self.frames, split)

    def given_mel(self, record: tf.Tensor) -> tf.Tensor:
        assert self.mels is not None
        example = tf.io.parse_single_example(record, {MEL: tf.io.FixedLenFeature([], tf.string)})
        return tf.reshape(tf.io.decode_raw(example[MEL], tf.float32), [-1, self.mels.convention.bands])

    def clips_with_mels(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        assert self.mels is not None
        self._require(split)
        return read_given_mels(self.info, self.path, self.mels, split)

    def speech_clips(self, split: str) -> Iterator[tuple[shards.ClipRecord, dict[str, Any]]]:
        assert self.speech is not None
        self._require(split)
        return read_speech(self.info, self.path, self.speech, split)

    def spectrum(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        assert self.frames is not None
        example = tf.io.parse_single_example(record, {SPECTRUM: tf.io.FixedLenFeature([], tf.string)})
        return self._cropped(tf.reshape(tf.io.decode_raw(example[SPECTRUM], tf.float16), [-1, self.frames.convention.bands]), uniform)

    def ln_f0(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        example = tf.io.parse_single_example(record, {LN_F0: tf.io.FixedLenFeature([], tf.string)})
        return self._cropped(tf.io.decode_raw(example[LN_F0], tf.float32), uniform)

    def _cropped(self, values: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """Return a crop of the frames of a clip [frames, ...], float32."""
        assert self.frames is not None
        frames = self.recipe.data.clip_samples // self.frames.convention.hop
        length = tf.shape(values)[0]
        start = 0
        if uniform is not None:
            spare = tf.maximum(length - frames + 1, 1)
            start = tf.minimum(tf.cast(uniform * tf.cast(spare, tf.float32), tf.int32), spare - 1)
        # A clip that is shorter begins again: silence after it would be what the networks see most.
        return tf.cast(tf.gather(values, (start + tf.range(frames)) % length), tf.float32)


def _fetched(paths: tf.Tensor) -> tf.Tensor:
    """Return the paths of shards once their contents are here; the reader of a file that is evicted meanwhile keeps it open."""

    def bring(names: np.ndarray) -> np.ndarray:
        fetch(Path(name.decode()) for name in np.atleast_1d(names))
        return names

    return tf.ensure_shape(tf.numpy_function(bring, [paths], tf.string), paths.shape)


def _read_joined(paths: tf.Tensor) -> tf.data.Dataset:
    """Records of two files, side by side, as one Example each: serialized protocol buffers are merged by appending them."""
    both = tf.data.Dataset.zip(tf.data.TFRecordDataset(paths[0]), tf.data.TFRecordDataset(paths[1]))
    return both.map(lambda clip, frames: tf.strings.join([clip, frames]))


def _label_of_example(record: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_single_example(record, {"label": tf.io.FixedLenFeature([], tf.int64)})["label"]


def _repeat_rare(records: tf.data.Dataset, counts: np.ndarray, number: tf.Tensor) -> tf.data.Dataset:
    """Each record as often as balance wants, in the order of the records."""
    most = int(counts.max())
    known = tf.constant(np.maximum(counts, 1))

    def step(seen: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        label = _label_of_example(record)
        times = balanced_repeats(seen[label], known[label], most, number)
        return tf.tensor_scatter_nd_add(seen, [[label]], [tf.constant(1, tf.int64)]), (record, times)

    counted = records.scan(tf.zeros(len(counts), tf.int64), step)
    return counted.flat_map(lambda record, times: tf.data.Dataset.from_tensors(record).repeat(times))
