"""From a data set to batches, as a tf.data graph.

The stream of clips is a pure function of (seed, position). Epoch e is shuffled with a seed folded from (seed, e); the crop and
the augmentation of the clip at a position are stateless draws from (seed, position). A resumed run therefore gives
`first_clip` instead of restoring an iterator: the records before it are skipped while they are still bytes.

With `[data.mixing]` two streams run beside that of the clips, each with its own order and its own epochs: other clips of the
split, and the clips of the noise split of its name. Each position takes a fixed number of both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ..errors import DatasetError, GanAudioError, RecipeError
from ..files import write_text
from ..recipe_schema import Augment, Data, Recipe
from . import shards
from .audio.find import find_audio
from .audio.wav_clip import WAV_HEADER_BYTES
from .clip_reader import ShardClips
from .dataset_info import DatasetInfo, read_dataset_info
from .frame_features import SPECTRUM, ensure_frame_features, missing_frame_features, read_frame_features, sidecar_name

if TYPE_CHECKING:
    from ..feature_specs import BatchFeatures, FrameFeatures
    from .frame_features import FrameClip

_SHUFFLE, _DRAWS, _MIXING = 0x5AFF1E, 0xA06, 0xA07  # the families of random numbers
_OTHERS, _NOISES = 0x07E5, 0x0152  # the orders of the streams that are mixed in
_MIXED_SHUFFLE = 512  # their buffers: shards in another order and this suffice, as their clips meet others each time
_GRAPH_SEED = 87654321  # TensorFlow's own default; a fixed one keeps tf.random.set_seed from changing the stream
_READERS = 16  # shards read in turn


class Source(ABC):
    """Clips for training and metrics: a prepared data set, or a plain folder of recordings.

    Attributes:
        path: Its folder.
        info: Facts.
        recipe: The recipe it was opened for.
    """

    def __init__(self, path: Path, info: DatasetInfo, recipe: Recipe):
        self.path, self.info, self.recipe = path, info, recipe
        self._mixers: dict[tuple[str, Data, bool], Any] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in shards.SPLITS if split in self.info.splits)

    @property
    def peak_normalize(self) -> bool | str:
        """See `recipe_schema.Data`."""
        return self.recipe.data.peak_normalize

    @property
    def peak(self) -> float:
        """The peak that `peak_normalize` scales to."""
        return self.recipe.data.peak

    def clips_per_epoch(self, split: str = "train") -> int:
        """Clips in one pass over a split.

        With `balance = "class"` or "turns" every label counts as often as the most frequent one. With `label_group = g` each label's
        clips come in groups of g: up to g - 1 clips of a label are left out of an epoch, others in each.
        """
        self._require(split)
        settings, counts = self.recipe.data, self._label_counts(split)
        if split in shards.NOISE_SPLITS:
            return self.info.splits[split].clips
        if settings.balance != "none" and self.info.labels:
            counts = np.where(counts > 0, counts.max(), 0)
        elif settings.label_group == 1 or not self.info.labels:
            return self.info.splits[split].clips
        return int(np.sum(counts // settings.label_group * settings.label_group))

    def check(self, features: BatchFeatures) -> None:
        """Whether a family finds here what it needs.

        Raises:
            DatasetError: Another rate, number of channels or clip length; no labels; an attribute that it does not have; no train
                split; damaged shards; no noise to mix in, or clean recordings alone where pairs are needed.
        """
        info, name = self.info, self.recipe.name or self.recipe.family
        wrong = []
        for what, have, wanted, unit in (
            ("sample rate", info.sample_rate, features.sample_rate, " Hz"),
            ("number of channels", info.channels, features.channels, ""),
        ):
            if have != wanted:
                wrong.append(f"its {what} is {have}{unit}, the recipe {name} wants {wanted}{unit}")
        if info.clip_samples and info.clip_samples < features.clip_samples:
            wrong.append(f"its clips have {info.clip_samples} samples, the recipe {name} wants {features.clip_samples}")
        prepare = (
            f"gan-audio prepare INPUT... -o DATA --sample-rate {features.sample_rate} --channels {features.channels} "
            f"--clip-samples {features.clip_samples}" + (" --labels folder" if features.labels else "")
        )
        if wrong:
            raise DatasetError(f"{self.path} does not fit: {'; '.join(wrong)}.", hint=prepare)
        if features.labels and not info.labels:
            raise DatasetError(
                f"{self.path} has no labels; the recipe {name} is conditional.", hint=f"{prepare}, or --set model.conditioning=none"
            )
        missing = [name for name in features.attributes if not info.attributes.get(name)]
        if missing:
            known = f"it has {', '.join(info.attributes)} alone" if info.attributes else "it has no attributes at all"
            raise DatasetError(
                f"{self.path} does not say the {' and '.join(missing)} of its clips, which the recipe {name} needs; {known}.",
                hint=f"{prepare} --layout nsynth, or --layout notes for files with the pitch in their names (docs/notes.md)",
            )
        self._require("train")
        if features.pairs and not (info.pairs or self.recipe.data.mixing.enabled):
            raise DatasetError(
                f"{self.path} holds clean recordings alone; the recipe {name} is trained on pairs of clean and noisy ones.",
                hint="--set data.mixing.enabled=true to mix noise in, or prepare pairs with --layout pairs",
            )
        if self._mixes:
            self._require_noise("train")

    @property
    def frames(self) -> FrameFeatures | None:
        """What is cached of each clip frame by frame, for recipes that learn from that in place of samples; else None."""
        return self.recipe.model.frame_features(self.recipe.data.sample_rate)

    def add_frame_features(self, say: Callable[[str], None]) -> None:
        """Computes what `frames` needs where the data set does not have it; `say` is told.

        Raises:
            DatasetError: This is not a prepared data set, or it cannot have them.
        """
        raise DatasetError(
            f"{self.path} is a folder of recordings; the recipe {self.recipe.name or self.recipe.family} needs a prepared data set.",
            hint=f"gan-audio prepare {self.path} -o DATA --recipe {self.recipe.name or self.recipe.family} --layout speakers",
        )

    def frame_clips(self, split: str) -> Iterator[FrameClip]:
        """Every clip with its cached frames, whole, in the order of the shards."""
        raise NotImplementedError

    def _spectrum(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """A crop [clip_samples // hop, bands] of a record's cached spectrum; `uniform` in [0, 1) chooses it, None takes the beginning."""
        raise NotImplementedError

    @property
    def _mixes(self) -> bool:
        """Whether clips are mixed while training. A data set of pairs is noisy already."""
        return self.recipe.data.mixing.enabled and not self.info.pairs

    def batches(
        self,
        recipe: Recipe,
        split: str = "train",
        *,
        seed: int,
        first_clip: int = 0,
        batch_size: int | None = None,
        shard_index: int = 0,
        shard_count: int = 1,
        repeat: bool = True,
        augment: bool = True,
    ) -> tf.data.Dataset:
        """Batches {"audio": float32 [batch, clip_samples, channels], "label": int32 [batch] if there are labels}.

        Every attribute of the data set is there under its own name ("pitch", "instrument", ...), int32 [batch].

        With `data.mixing.enabled`, and of a data set of pairs, there are also "clean" (the same as "audio") and "noisy".

        A recipe whose model has `frame_features` gets "spectrum" float32 [batch, clip_samples // hop, bands] in place of "audio".

        Args:
            recipe: Its `[data]` says length, crop, shuffling, balance and augmentation.
            split: Name of the split.
            seed: Decides the order, the crops and the augmentation.
            first_clip: Position in the stream at which to begin: clips that all workers together had before.
            batch_size: Clips of a batch on this worker; None is the recipe's, divided by `shard_count`.
            shard_index, shard_count: Worker w of W takes the clips (with `label_group` the groups) w, w + W, ... of the stream.
            repeat: Endless, epochs joined before batching, so no clip is dropped and every batch is full. False is one pass
                whose last batch may be smaller.
            augment: False also crops without chance (at the start, or the centre if the recipe says so). Mixing is no
                augmentation: it takes place in any case, and its chances follow from the seed alone.

        Raises:
            DatasetError: No such split, fewer clips than workers, or no noise to mix in.
            RecipeError: A batch that is not a multiple of `label_group`, or mixing with other than one channel.
        """
        self._require(split)
        settings = recipe.data
        per_epoch = self.clips_per_epoch(split)
        if per_epoch < shard_count:
            raise DatasetError(f"{self.path} has {per_epoch} clips in its {split} split, fewer than the {shard_count} workers.")
        size = batch_size or max(1, settings.batch_size // shard_count)
        group = settings.label_group if self.info.labels else 1
        if size % group:
            raise RecipeError(
                f"data.label_group is {group}, but a worker's batch of {size} clips is not a multiple of it.",
                hint=f"--set data.batch_size={-(-settings.batch_size // group) * group}",
            )
        mixing = settings.mixing.enabled and not self.info.pairs
        if mixing:
            self._check_mixing(settings, split)
        first_epoch, skipped = divmod(first_clip, per_epoch)
        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max if repeat else first_epoch + 1)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            tf.compat.v1.get_default_graph().seed = _GRAPH_SEED
            records = self._epoch(split, settings, _fold(seed, _SHUFFLE, number), number)
            if settings.balance == "turns" and self.info.labels:
                there = np.flatnonzero(self._label_counts(split))
                mine = [records.filter(lambda record, n=n: self._label(record) == n) for n in there]
                records = tf.data.Dataset.zip(*mine).flat_map(lambda *turn: tf.data.Dataset.from_tensor_slices(tf.stack(turn)))
            if group > 1:  # groups that the end of the epoch leaves incomplete are dropped, so that its length is known
                records = records.group_by_window(self._label, lambda _, same: same.batch(group, drop_remainder=True), window_size=group)
            return records.enumerate(number * (per_epoch // group))

        def clip(position: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
            uniform = tf.random.stateless_uniform([4], _place_seed(seed, _DRAWS, position))
            if self.frames is not None:
                spectrum = self._spectrum(record, uniform[0] if augment and settings.crop == "random" else None)
                return {"spectrum": spectrum, "label": tf.cast(self._label(record), tf.int32)} | self._attributes(record)
            audio, label = self._decode(record)
            if settings.peak_normalize == "recording":
                audio = _scaled(audio, settings.peak)
            audio = _crop(audio, settings, uniform[0] if augment and settings.crop == "random" else None)
            if settings.peak_normalize is True:
                audio = _scaled(audio, settings.peak)
            if augment:
                audio = _augmented(audio, settings.augment, uniform[1:])
            channels = settings.channels
            if self.info.pairs:
                audio = tf.ensure_shape(audio, [settings.clip_samples, 2 * channels])
                made = {"audio": audio[:, :channels], "clean": audio[:, :channels], "noisy": audio[:, channels:]}
            else:
                made = {"audio": tf.ensure_shape(audio, [settings.clip_samples, channels])}
            return made | ({"label": label} if self.info.labels else {}) | self._attributes(record)

        stream = epochs.flat_map(epoch).skip(skipped // group)
        make = clip
        if mixing:
            stream, make = self._mixed(stream, settings, split, seed, first_clip, augment)
        if shard_count > 1:
            stream = stream.shard(shard_count, shard_index)
        if group > 1:
            stream = stream.flat_map(lambda number, records: tf.data.Dataset.from_tensor_slices(records).enumerate(number * group))
        batches = stream.map(make, num_parallel_calls=tf.data.AUTOTUNE).batch(size, drop_remainder=repeat)
        if group > 1:
            batches = batches.map(lambda batch: {name: _interleave_groups(value, group) for name, value in batch.items()})
        batches = batches.prefetch(tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.deterministic = settings.deterministic
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # done above
        return batches.with_options(options)

    def _mixed(
        self, stream: tf.data.Dataset, settings: Data, split: str, seed: int, first_clip: int, augment: bool
    ) -> tuple[tf.data.Dataset, Callable]:
        """The stream of clips with what is mixed in beside it, and the function that mixes."""
        from .mixing.stream import NOISE_RECORDS, SPEECH_RECORDS, Mixer

        key = (split, settings, augment)
        if key not in self._mixers:
            bend = (lambda audio, draws: _augmented(audio, settings.augment, draws)) if augment else (lambda audio, draws: audio)
            self._mixers[key] = Mixer(settings.mixing, settings.clip_samples, settings.sample_rate, split, self._decode, bend)
        mixer = self._mixers[key]
        others = self._endless(split, settings, seed, _OTHERS, first_clip * SPEECH_RECORDS).batch(SPEECH_RECORDS, drop_remainder=True)
        if settings.mixing.recorded:
            noises = self._endless(f"noise-{split}", settings, seed, _NOISES, first_clip * NOISE_RECORDS)
            noises = noises.batch(NOISE_RECORDS, drop_remainder=True)
        else:
            noises = tf.data.Dataset.from_tensors(tf.fill([NOISE_RECORDS], "")).repeat()

        def make(numbered: tuple[tf.Tensor, tf.Tensor], others: tf.Tensor, noises: tf.Tensor) -> dict[str, tf.Tensor]:
            position, record = numbered
            made, label = mixer(record, others, noises, _place_seed(seed, _MIXING, position))
            made = {name: audio[:, None] for name, audio in made.items()}
            return made | {"audio": made["clean"]} | ({"label": label} if self.info.labels else {}) | self._attributes(record)

        return tf.data.Dataset.zip(stream, others, noises), make

    def _endless(self, split: str, settings: Data, seed: int, family: int, first: int) -> tf.data.Dataset:
        """The records of a split from item `first` on, epoch after epoch in another order."""
        settings = replace(settings, balance="none", label_group=1, shuffle_clips=min(settings.shuffle_clips, _MIXED_SHUFFLE))
        first_epoch, skipped = divmod(first, self.info.splits[split].clips)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            tf.compat.v1.get_default_graph().seed = _GRAPH_SEED
            return self._epoch(split, settings, _fold(seed, family, number), number)

        return tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max).flat_map(epoch).skip(skipped)

    def _check_mixing(self, settings: Data, split: str) -> None:
        if settings.channels != 1:
            raise RecipeError(
                f"data.mixing makes clips of one channel; data.channels is {settings.channels}.", hint="--set data.channels=1"
            )
        if settings.label_group != 1 and self.info.labels:
            raise RecipeError("data.mixing and data.label_group exclude each other.", hint="--set data.label_group=1")
        if settings.peak_normalize:
            raise RecipeError(
                "data.mixing sets the level of each clip (level_dbfs); data.peak_normalize would undo it.",
                hint="--set data.peak_normalize=false",
            )
        self._require_noise(split)

    def _require_noise(self, split: str) -> None:
        name = f"noise-{split}"
        if not self.recipe.data.mixing.recorded or (name in self.info.splits and self.info.splits[name].clips):
            return
        raise DatasetError(
            f"{self.path} has no noise to mix with its {split} split: there is no split {name!r}.",
            hint="gan-audio prepare SPEECH... --noise NOISE... -o DATA, or --set data.mixing.recorded=0 for synthetic noise alone",
        )

    def diagnose(self, error: Exception) -> GanAudioError | None:
        """The foreseen failure behind an error that iterating over batches raised, or None. A training loop raises it instead."""
        return None

    @abstractmethod
    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]:
        """(float32 [samples, channels], label name or "") without augmentation, the same at every call."""

    @abstractmethod
    def _epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        """The records of one epoch in their order, `clips_per_epoch` of them; `seed` is int32 [2], `number` int64."""

    @abstractmethod
    def _decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A record to (float32 [any length, channels], int32 label)."""

    @abstractmethod
    def _attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        """The number of the class of each of the data set's attributes, int32."""

    @abstractmethod
    def _label(self, record: tf.Tensor) -> tf.Tensor:
        """The label of a record, int64, without decoding its audio."""

    def _label_counts(self, split: str) -> np.ndarray:
        counts = self.info.splits[split].label_counts
        return np.array([counts.get(name, 0) for name in self.info.labels], np.int64)

    def _require(self, split: str) -> None:
        if split not in self.info.splits or not self.info.splits[split].clips:
            raise DatasetError(
                f"{self.path} has no clips in a split {split!r}; it has {', '.join(self.splits) or 'none'}.",
                hint="gan-audio prepare INPUT... -o DATA --validation 0.1 --test 0.1",
            )


class ShardSource(Source):
    """A data set that `prepare` made."""

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

    def _epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        paths = tf.constant([str(path) for path in shards.shard_paths(self.info.splits[split], self.path)])
        readers = min(_READERS, len(paths))
        read: Callable = tf.data.TFRecordDataset
        if self.frames is not None:
            key = self.frames.key
            beside = [str(self.path / sidecar_name(shard["file"], key)) for shard in self.info.splits[split].shards]
            paths = tf.stack([paths, tf.constant(beside)], axis=1)
            read = _read_joined
        if settings.shuffle_clips:
            paths = tf.random.experimental.stateless_shuffle(paths, seed)
        else:
            readers = 1
        records = tf.data.Dataset.from_tensor_slices(paths).interleave(
            read, cycle_length=readers, num_parallel_calls=tf.data.AUTOTUNE if readers > 1 else None
        )
        if settings.balance != "none" and self.info.labels:
            records = _repeat_rare(records, self._label_counts(split), number)
        balanced = settings.balance != "none" and self.info.labels
        buffer = min(settings.shuffle_clips, self.clips_per_epoch(split) if balanced else self.info.splits[split].clips)
        if buffer > 1:
            records = records.shuffle(buffer, seed=tf.cast(seed[1], tf.int64), reshuffle_each_iteration=False)
        return records

    def _decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = {"audio": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
        example = tf.io.parse_single_example(record, features)
        channels = self.info.channels * (2 if self.info.pairs else 1)
        samples = tf.io.decode_raw(example["audio"], tf.int16)[WAV_HEADER_BYTES // 2 :]  # a tenth of decode_wav's time
        audio = tf.reshape(tf.cast(samples, tf.float32) / 32768.0, [-1, channels])
        audio = tf.ensure_shape(audio, [self.info.clip_samples or None, channels])
        return audio, tf.cast(example["label"], tf.int32)

    def _attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self.info.attributes:
            return {}
        features = {shards.ATTRIBUTE + name: tf.io.FixedLenFeature([], tf.int64) for name in self.info.attributes}
        example = tf.io.parse_single_example(record, features)
        return {name: tf.cast(example[shards.ATTRIBUTE + name], tf.int32) for name in self.info.attributes}

    def _label(self, record: tf.Tensor) -> tf.Tensor:
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

    def _spectrum(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        assert self.frames is not None
        c = self.frames.convention
        frames = self.recipe.data.clip_samples // c.hop
        example = tf.io.parse_single_example(record, {SPECTRUM: tf.io.FixedLenFeature([], tf.string)})
        spectrum = tf.reshape(tf.io.decode_raw(example[SPECTRUM], tf.float16), [-1, c.bands])
        length = tf.shape(spectrum)[0]
        start = 0
        if uniform is not None:
            spare = tf.maximum(length - frames + 1, 1)
            start = tf.minimum(tf.cast(uniform * tf.cast(spare, tf.float32), tf.int32), spare - 1)
        # A clip that is shorter begins again: silence after it would be what the networks see most.
        return tf.cast(tf.gather(spectrum, (start + tf.range(frames)) % length), tf.float32)


def _read_joined(paths: tf.Tensor) -> tf.data.Dataset:
    """Records of two files, side by side, as one Example each: serialized protocol buffers are merged by appending them."""
    both = tf.data.Dataset.zip(tf.data.TFRecordDataset(paths[0]), tf.data.TFRecordDataset(paths[1]))
    return both.map(lambda clip, frames: tf.strings.join([clip, frames]))


def _label_of_example(record: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_single_example(record, {"label": tf.io.FixedLenFeature([], tf.int64)})["label"]


def open_source(path: Path, recipe: Recipe) -> Source:
    """Opens a prepared data set, or a plain folder of recordings (direct mode: `FolderSource`).

    Raises:
        DatasetError: Neither of the two, or an unfinished data set.
    """
    path = Path(path)
    if not path.is_dir():
        raise DatasetError(
            f"The data set {path} does not exist.", hint=f"gan-audio prepare INPUT... -o {path} --recipe {recipe.name or recipe.family}"
        )
    if (path / "dataset_info.json").is_file():
        return ShardSource(path, read_dataset_info(path), recipe)
    if (path / "journal.jsonl").is_file():
        raise DatasetError(
            f"{path} is a data set that `prepare` has not finished.", hint="repeat the prepare command: it goes on where it was"
        )
    find_audio([path])  # says what is there instead
    from .folder_source import FolderSource

    return FolderSource(path, recipe)


def balanced_repeats(rank: tf.Tensor, count: tf.Tensor, most: int, number: tf.Tensor) -> tf.Tensor:
    """How often a clip comes in epoch `number` when its label's `count` clips must fill `most` places.

    Every clip comes most // count times, and most % count of them once more: others in each epoch. `rank` numbers the
    clips of a label from 0. int64, any shape.
    """
    extra = most % count
    return most // count + tf.cast((rank + number * extra) % count < extra, tf.int64)


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


def _interleave_groups(values: tf.Tensor, group: int) -> tf.Tensor:
    """[groups * g, ...] with groups side by side -> the same clips so that i, i + batch/g, ... are of one group."""
    rest = tf.shape(values)[1:]
    grouped = tf.reshape(values, tf.concat([[-1, group], rest], 0))
    order = [1, 0, *range(2, len(values.shape) + 1)]
    return tf.ensure_shape(tf.reshape(tf.transpose(grouped, order), tf.concat([[-1], rest], 0)), values.shape)


def _place_seed(seed: int, family: int, position: tf.Tensor) -> tf.Tensor:
    """int64 [2]: what all draws for the clip at a position follow from."""
    return tf.stack([tf.cast((seed << 12 | family) & (2**63 - 1), tf.int64), position])


def _fold(seed: int, family: int, number: tf.Tensor) -> tf.Tensor:
    """int32 [2]: a seed for (seed, family, number)."""
    start = tf.constant([seed & 0x7FFFFFFF, family ^ (seed >> 31 & 0x7FFFFFFF)], tf.int32)
    low, high = tf.cast(number % 2**31, tf.int32), tf.cast(number // 2**31, tf.int32)
    folded = tf.random.experimental.stateless_fold_in(tf.random.experimental.stateless_fold_in(start, low), high)
    return tf.bitwise.bitwise_and(folded, 0x7FFFFFFF)


def _scaled(audio: tf.Tensor, peak: float) -> tf.Tensor:
    """[samples, channels] with the largest absolute sample `peak`; silence stays silent."""
    return tf.math.divide_no_nan(audio, tf.reduce_max(tf.abs(audio))) * peak


def _crop(audio: tf.Tensor, settings: Data, uniform: tf.Tensor | None) -> tf.Tensor:
    """[samples, channels] -> [clip_samples, channels]: a part of it, or zeros after it; `uniform` in [0, 1) chooses the part."""
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


def _augmented(audio: tf.Tensor, settings: Augment, uniform: tf.Tensor) -> tf.Tensor:
    """Gain, polarity and shift of one clip [samples, channels]; `uniform` is float32 [3] in [0, 1)."""
    if settings.gain_db:
        audio *= tf.pow(10.0, -settings.gain_db / 20.0 * uniform[0])
    if settings.polarity:
        audio *= tf.where(uniform[1] < settings.polarity, -1.0, 1.0)
    if settings.shift_samples:
        most = settings.shift_samples
        shift = tf.minimum(tf.cast(uniform[2] * (2 * most + 1), tf.int32), 2 * most)  # 0 .. 2 most
        audio = tf.pad(audio, [[most, most], [0, 0]])[shift : shift + tf.shape(audio)[0]]
    return audio
