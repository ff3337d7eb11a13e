"""The tf.data graph from the records of a data set to batches.

The stream of clips is a pure function of (seed, position). Epoch e is shuffled with a seed folded from (seed, e); the crop and
the augmentation of the clip at a position are stateless draws from (seed, position). A resumed run therefore gives
`first_clip` instead of restoring an iterator: the records before it are skipped while they are still bytes.

With `[data.mixing]` two streams run beside that of the clips, each with its own order and its own epochs: other clips of the
split, and the clips of the noise split of its name. Each position takes a fixed number of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import tensorflow as tf

from ..feature_specs import FrameFeatures, GivenMels, SpeechFeatures
from ..recipe_schema import Augment, Data
from ..signal.mel_convention import MelConvention
from .dataset_info import DatasetInfo
from .mixing.stream import NOISE_RECORDS, SPEECH_RECORDS, Mixer
from .speech_window import speech_window

_SHUFFLE, _DRAWS, _MIXING = 0x5AFF1E, 0xA06, 0xA07  # the families of random numbers
_OTHERS, _NOISES = 0x07E5, 0x0152  # the orders of the streams that are mixed in
_MIXED_SHUFFLE = 512  # their buffers: shards in another order and this suffice, as their clips meet others each time
_GRAPH_SEED = 87654321  # TensorFlow's own default; a fixed one keeps tf.random.set_seed from changing the stream


class Records(Protocol):
    """The records of a data set; see `source.Source`."""

    @property
    def info(self) -> DatasetInfo: ...
    @property
    def frames(self) -> FrameFeatures | None: ...
    @property
    def mels(self) -> GivenMels | None: ...
    @property
    def speech(self) -> SpeechFeatures | None: ...
    def clips_per_epoch(self, split: str = "train") -> int: ...
    def label_counts(self, split: str) -> np.ndarray: ...
    def epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset: ...
    def decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]: ...
    def attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]: ...
    def label(self, record: tf.Tensor) -> tf.Tensor: ...
    def spectrum(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor: ...
    def ln_f0(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor: ...
    def given_mel(self, record: tf.Tensor) -> tf.Tensor: ...


@dataclass(frozen=True)
class ClipStream:
    """The clips of one split in the order of training.

    Attributes:
        records: The data set.
        settings: The recipe's `[data]`.
        split: Name of the split.
        seed: Decides the order, the crops and the augmentation.
        augment: Whether clips are augmented and cropped at random.
        mixer: Mixes noise in; None: clips are as recorded.
    """

    records: Records
    settings: Data
    split: str
    seed: int
    augment: bool
    mixer: Mixer | None = None

    @property
    def group(self) -> int:
        """Clips of one label that follow each other."""
        return self.settings.label_group if self.records.info.labels else 1

    def batches(self, size: int, first_clip: int, shard_index: int, shard_count: int, repeat: bool) -> tf.data.Dataset:
        """Return the batches; arguments and result as for `source.Source.batches`, `size` being the clips of a batch."""
        group = self.group
        first_epoch, skipped = divmod(first_clip, self.records.clips_per_epoch(self.split))
        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max if repeat else first_epoch + 1)
        stream = epochs.flat_map(self._epoch).skip(skipped // group)
        make: Callable = self._clip
        if self.mixer is not None:
            stream, make = self._with_others(stream, first_clip), self._mixed_clip
        if shard_count > 1:
            stream = stream.shard(shard_count, shard_index)
        if group > 1:
            stream = stream.flat_map(lambda number, records: tf.data.Dataset.from_tensor_slices(records).enumerate(number * group))
        batches = stream.map(make, num_parallel_calls=tf.data.AUTOTUNE).batch(size, drop_remainder=repeat)
        if group > 1:
            batches = batches.map(lambda batch: {name: interleave_groups(value, group) for name, value in batch.items()})
        if self.settings.service:
            # Epochs are dealt out: each worker reads the shards of its own ones. With one worker the order is that of this process.
            policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
            batches = batches.apply(tf.data.experimental.service.distribute(policy, self.settings.service))
        batches = batches.prefetch(tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.deterministic = self.settings.deterministic
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # done above
        return batches.with_options(options)

    def _epoch(self, number: tf.Tensor) -> tf.data.Dataset:
        """(position, record) of one epoch; with groups (number of the group, records)."""
        tf.compat.v1.get_default_graph().seed = _GRAPH_SEED
        source, group = self.records, self.group
        records = source.epoch(self.split, self.settings, fold(self.seed, _SHUFFLE, number), number)
        if self.settings.balance == "turns" and source.info.labels:
            there = np.flatnonzero(source.label_counts(self.split))
            mine = [records.filter(lambda record, n=n: source.label(record) == n) for n in there]
            records = tf.data.Dataset.zip(*mine).flat_map(lambda *turn: tf.data.Dataset.from_tensor_slices(tf.stack(turn)))
        if group > 1:  # groups that the end of the epoch leaves incomplete are dropped, so that its length is known
            records = records.group_by_window(source.label, lambda _, same: same.batch(group, drop_remainder=True), window_size=group)
        return records.enumerate(number * (source.clips_per_epoch(self.split) // group))

    def _clip(self, position: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        source, settings = self.records, self.settings
        uniform = tf.random.stateless_uniform([4], place_seed(self.seed, _DRAWS, position))
        place = uniform[0] if self.augment and settings.crop == "random" else None
        if source.frames is not None:
            made = {"spectrum": source.spectrum(record, place)}
            if source.frames.with_f0:
                made["ln_f0"] = source.ln_f0(record, place)
            return made | {"label": tf.cast(source.label(record), tf.int32)} | source.attributes(record)
        if source.speech is not None:
            c = source.speech.convention
            place = place if source.speech.crop else None
            audio, label = source.decode(record)
            made = speech_window(record, audio, settings.clip_samples // c.hop, source.speech.max_phones, c, place)
            return made | {"label": label} | source.attributes(record)
        audio, label = source.decode(record)
        given: dict[str, tf.Tensor] = {}
        if source.mels is not None:
            audio, given["mel"] = aligned(audio, source.given_mel(record), source.mels.convention, settings.clip_samples, place)
        if settings.peak_normalize == "recording":
            audio = scaled(audio, settings.peak)
        audio = crop(audio, settings, place)
        if settings.peak_normalize is True:
            audio = scaled(audio, settings.peak)
        if self.augment:
            audio = augmented(audio, settings.augment, uniform[1:])
        channels = settings.channels
        if source.info.pairs:
            audio = tf.ensure_shape(audio, [settings.clip_samples, 2 * channels])
            made = {"audio": audio[:, :channels], "clean": audio[:, :channels], "noisy": audio[:, channels:]}
        else:
            made = {"audio": tf.ensure_shape(audio, [settings.clip_samples, channels])} | given
        return made | ({"label": label} if source.info.labels else {}) | source.attributes(record)

    # Mixing.

    def _with_others(self, stream: tf.data.Dataset, first_clip: int) -> tf.data.Dataset:
        """The stream of clips with the records that are mixed in beside each."""
        others = self._endless(self.split, _OTHERS, first_clip * SPEECH_RECORDS).batch(SPEECH_RECORDS, drop_remainder=True)
        if self.settings.mixing.recorded:
            noises = self._endless(f"noise-{self.split}", _NOISES, first_clip * NOISE_RECORDS)
            noises = noises.batch(NOISE_RECORDS, drop_remainder=True)
        else:
            noises = tf.data.Dataset.from_tensors(tf.fill([NOISE_RECORDS], "")).repeat()
        return tf.data.Dataset.zip(stream, others, noises)

    def _mixed_clip(self, numbered: tuple[tf.Tensor, tf.Tensor], others: tf.Tensor, noises: tf.Tensor) -> dict[str, tf.Tensor]:
        assert self.mixer is not None
        position, record = numbered
        made, label = self.mixer(record, others, noises, place_seed(self.seed, _MIXING, position))
        made = {name: audio[:, None] for name, audio in made.items()}
        labels = {"label": label} if self.records.info.labels else {}
        return made | {"audio": made["clean"]} | labels | self.records.attributes(record)

    def _endless(self, split: str, family: int, first: int) -> tf.data.Dataset:
        """The records of a split from item `first` on, epoch after epoch in another order."""
        shuffle = min(self.settings.shuffle_clips, _MIXED_SHUFFLE)
        settings = replace(self.settings, balance="none", label_group=1, shuffle_clips=shuffle)
        first_epoch, skipped = divmod(first, self.records.info.splits[split].clips)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            tf.compat.v1.get_default_graph().seed = _GRAPH_SEED
            return self.records.epoch(split, settings, fold(self.seed, family, number), number)

        return tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max).flat_map(epoch).skip(skipped)


def balanced_repeats(rank: tf.Tensor, count: tf.Tensor, most: int, number: tf.Tensor) -> tf.Tensor:
    """Return how often a clip comes in epoch `number` when its label's `count` clips must fill `most` places.

    Every clip comes most // count times, and most % count of them once more: others in each epoch. `rank` numbers the
    clips of a label from 0. int64, any shape.
    """
    extra = most % count
    return most // count + tf.cast((rank + number * extra) % count < extra, tf.int64)


def interleave_groups(values: tf.Tensor, group: int) -> tf.Tensor:
    """[groups * g, ...] with groups side by side -> the same clips so that i, i + batch/g, ... are of one group."""
    rest = tf.shape(values)[1:]
    grouped = tf.reshape(values, tf.concat([[-1, group], rest], 0))
    order = [1, 0, *range(2, len(values.shape) + 1)]
    return tf.ensure_shape(tf.reshape(tf.transpose(grouped, order), tf.concat([[-1], rest], 0)), values.shape)


def place_seed(seed: int, family: int, position: tf.Tensor) -> tf.Tensor:
    """Return int64 [2]: what all draws for the clip at a position follow from."""
    return tf.stack([tf.cast((seed << 12 | family) & (2**63 - 1), tf.int64), position])


def fold(seed: int, family: int, number: tf.Tensor) -> tf.Tensor:
    """Return int32 [2]: a seed for (seed, family, number)."""
    start = tf.constant([seed & 0x7FFFFFFF, family ^ (seed >> 31 & 0x7FFFFFFF)], tf.int32)
    low, high = tf.cast(number % 2**31, tf.int32), tf.cast(number // 2**31, tf.int32)
    folded = tf.random.experimental.stateless_fold_in(tf.random.experimental.stateless_fold_in(start, low), high)
    return tf.bitwise.bitwise_and(folded, 0x7FFFFFFF)


def scaled(audio: tf.Tensor, peak: float) -> tf.Tensor:
    """Scale [samples, channels] to the largest absolute sample `peak`; silence stays silent."""
    return tf.math.divide_no_nan(audio, tf.reduce_max(tf.abs(audio))) * peak


def aligned(
    audio: tf.Tensor, mel: tf.Tensor, convention: MelConvention, size: int, uniform: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Crop a recording [samples, 1] and its mel spectrogram [frames, bands] to [size, 1] and [size / hop, bands] at one place, which
    `uniform` in [0, 1) chooses; None takes the start. What is shorter ends in silence."""
    hop = convention.hop
    frames = size // hop
    spare = tf.maximum(tf.minimum(tf.shape(mel)[0], tf.shape(audio)[0] // hop) - frames, 0)
    start = 0 if uniform is None else tf.minimum(tf.cast(uniform * tf.cast(spare + 1, tf.float32), tf.int32), spare)
    audio, mel = audio[start * hop : start * hop + size], mel[start : start + frames]
    mel = tf.pad(mel, [[0, frames - tf.shape(mel)[0]], [0, 0]], constant_values=convention.lowest)
    audio = tf.pad(audio, [[0, size - tf.shape(audio)[0]], [0, 0]])
    return tf.ensure_shape(audio, [size, 1]), tf.ensure_shape(mel, [frames, convention.bands])


def crop(audio: tf.Tensor, settings: Data, uniform: tf.Tensor | None) -> tf.Tensor:
    """Cut [samples, channels] to [clip_samples, channels]: a part of it, or zeros after it; `uniform` in [0, 1) chooses the part."""
    size = settings.clip_samples
    if audio.shape[0] == size:
        return audio
    length = tf.shape(audio)[0]
    spare = tf.maximum(length - size, 0)
    if uniform is not None:
        start = tf.minimum(tf.cast(tf.cast(uniform, tf.float64) * tf.cast(spare + 1, tf.float64), tf.int32), spare)
    else:
        start = spare // 2 if settings.crop == "centre" else 0
    part = audio[start : start + size]
    return tf.pad(part, [[0, size - tf.shape(part)[0]], [0, 0]])


def augmented(audio: tf.Tensor, settings: Augment, uniform: tf.Tensor) -> tf.Tensor:
    """Apply gain, polarity and shift to one clip [samples, channels]; `uniform` is float32 [3] in [0, 1)."""
    if settings.gain_db:
        audio *= tf.pow(10.0, -settings.gain_db / 20.0 * uniform[0])
    if settings.polarity:
        audio *= tf.where(uniform[1] < settings.polarity, -1.0, 1.0)
    if settings.shift_samples:
        most = settings.shift_samples
        shift = tf.minimum(tf.cast(uniform[2] * (2 * most + 1), tf.int32), 2 * most)  # 0 .. 2 most
        audio = tf.pad(audio, [[most, most], [0, 0]])[shift : shift + tf.shape(audio)[0]]
    return audio
