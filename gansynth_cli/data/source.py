"""Clips for training and metrics: what a data set answers, whatever it is stored in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import DatasetError, GanAudioError, RecipeError
from ..feature_specs import BatchFeatures, FrameFeatures, GivenMels, SpeechFeatures
from ..recipe_schema import Data, Recipe
from . import shards
from .clip_stream import ClipStream, augmented
from .dataset_info import DatasetInfo
from .frame_features import FrameClip
from .mixing.stream import Mixer


class Source(ABC):
    """Clips for training and metrics: a prepared data set, or a plain folder of recordings.

    Attributes:
        path: Its folder.
        info: Facts.
        recipe: The recipe it was opened for.
    """

    def __init__(self, path: Path, info: DatasetInfo, recipe: Recipe):
        self.path, self.info, self.recipe = path, info, recipe
        self._mixers: dict[tuple[str, Data, bool], Mixer] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in shards.SPLITS if split in self.info.splits)

    @property
    def in_graph(self) -> bool:
        """Whether TensorFlow alone reads the records, so that another process can."""
        return False

    @property
    def peak_normalize(self) -> bool | str:
        """See `recipe_schema.Data`."""
        return self.recipe.data.peak_normalize

    @property
    def peak(self) -> float:
        """The peak that `peak_normalize` scales to."""
        return self.recipe.data.peak

    def clips_per_epoch(self, split: str = "train") -> int:
        """Return the clips in one pass over a split.

        With `balance = "class"` or "turns" every label counts as often as the most frequent one. With `label_group = g` each label's
        clips come in groups of g: up to g - 1 clips of a label are left out of an epoch, others in each.
        """
        self._require(split)
        settings, counts = self.recipe.data, self.label_counts(split)
        if split in shards.NOISE_SPLITS:
            return self.info.splits[split].clips
        if settings.balance != "none" and self.info.labels:
            counts = np.where(counts > 0, counts.max(), 0)
        elif settings.label_group == 1 or not self.info.labels:
            return self.info.splits[split].clips
        return int(np.sum(counts // settings.label_group * settings.label_group))

    def check(self, features: BatchFeatures) -> None:
        """Check that a family finds here what it needs.

        Raises:
            DatasetError: Another rate, number of channels or clip length; no labels; an attribute that it does not have; no train
                split; damaged shards; no noise to mix in, or clean recordings alone where pairs are needed.
        """
        if self.recipe.data.service and not self.in_graph:
            raise RecipeError(
                "data.service takes prepared data sets on a file system: its workers run graphs alone, which read no stores or folders.",
                hint="prepare the data set to where all machines see it, or --set data.service=''",
            )
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
        if self.mels is not None and self.mels.key not in info.frame_features:
            raise DatasetError(
                f"{self.path} has no given mel spectrograms of this hop and number of bands, which the recipe {name} is trained on.",
                hint=f"gan-audio prepare RECORDINGS -o DATA --recipe {name} --mels FOLDER",
            )

        if self.speech is not None and self.speech.key not in info.frame_features:
            raise DatasetError(
                f"{self.path} has no phones of this mel convention, which the recipe {name} is trained on.",
                hint=f"gan-audio prepare RECORDINGS -o DATA --recipe {name} --layout ljspeech (or text, asterisk, vctk)",
            )

    @property
    def speech(self) -> SpeechFeatures | None:
        """Phones and their prosody that are read in place of the clips; None: the recipe needs no text."""
        return self.recipe.model.speech_features(self.recipe.data.sample_rate)

    def speech_clips(self, split: str) -> Iterator[tuple[shards.ClipRecord, dict[str, Any]]]:
        """Yield every clip with a transcript, and what `data.speech_features.read_speech` gives of it, in the order of the shards."""
        raise NotImplementedError

    @property
    def mels(self) -> GivenMels | None:
        """The given mel spectrograms that are read beside the clips; None: there are none."""
        return self.recipe.model.mels_beside(self.recipe.data.sample_rate)

    def given_mel(self, record: tf.Tensor) -> tf.Tensor:
        """Return a record's given mel spectrogram, float32 [frames, bands]."""
        raise NotImplementedError

    def clips_with_mels(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (audio float32 [samples], given mel spectrogram [frames, bands]), whole, in the order of the shards."""
        raise NotImplementedError

    @property
    def frames(self) -> FrameFeatures | None:
        """The features of every frame that are cached, for recipes that learn from those in place of samples; else None."""
        return self.recipe.model.frame_features(self.recipe.data.sample_rate)

    def add_frame_features(self, say: Callable[[str], None]) -> None:
        """Compute what `frames` needs where the data set does not have it; `say` gets a line about it.

        Raises:
            DatasetError: This is not a prepared data set, or it cannot have them.
        """
        raise DatasetError(
            f"{self.path} is a folder of recordings; the recipe {self.recipe.name or self.recipe.family} needs a prepared data set.",
            hint=f"gan-audio prepare {self.path} -o DATA --recipe {self.recipe.name or self.recipe.family} --layout speakers",
        )

    def frame_clips(self, split: str) -> Iterator[FrameClip]:
        """Yield every clip with its cached frames, whole, in the order of the shards."""
        raise NotImplementedError

    def spectrum(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """Return a crop [clip_samples // hop, bands] of a record's cached spectrum; `uniform` in [0, 1) chooses it, None takes the
        beginning."""
        raise NotImplementedError

    def ln_f0(self, record: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """Return the crop [clip_samples // hop] of a record's cached contour of ln F0, 0 where unvoiced, that belongs to `spectrum`'s."""
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
        """Return batches {"audio": float32 [batch, clip_samples, channels], "label": int32 [batch] if there are labels}.

        Every attribute of the data set is there under its own name ("pitch", "instrument", ...), int32 [batch].

        With `data.mixing.enabled`, and of a data set of pairs, there are also "clean" (the same as "audio") and "noisy".

        A recipe whose model has `speech_features` gets what `data.speech_window` cuts in place of "audio", and "language" and "emotion".
        One whose model has `frame_features` gets "spectrum" float32 [batch, clip_samples // hop, bands] in place of "audio".

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
        mixer = self._mixer(settings, split, augment) if settings.mixing.enabled and not self.info.pairs else None
        stream = ClipStream(self, settings, split, seed, augment, mixer)
        size = batch_size or max(1, settings.batch_size // shard_count)
        if size % stream.group:
            raise RecipeError(
                f"data.label_group is {stream.group}, but a worker's batch of {size} clips is not a multiple of it.",
                hint=f"--set data.batch_size={-(-settings.batch_size // stream.group) * stream.group}",
            )
        return stream.batches(size, first_clip, shard_index, shard_count, repeat)

    def _mixer(self, settings: Data, split: str, augment: bool) -> Mixer:
        """The mixer of a split, built once: its graph takes seconds."""
        self._check_mixing(settings, split)
        key = (split, settings, augment)
        if key not in self._mixers:
            bend = (lambda audio, draws: augmented(audio, settings.augment, draws)) if augment else (lambda audio, draws: audio)
            self._mixers[key] = Mixer(settings.mixing, settings.clip_samples, settings.sample_rate, split, self.decode, bend)
        return self._mixers[key]

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
        """Return the foreseen failure behind an error that iterating over batches raised, or None. A training loop raises it instead."""
        return None

    # Given by a subclass.

    @abstractmethod
    def clips(self, split: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, str]]:
        """Yield (float32 [samples, channels], label name or "") without augmentation, the same at every call."""

    @abstractmethod
    def epoch(self, split: str, settings: Data, seed: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
        """Return the records of one epoch in their order, `clips_per_epoch` of them; `seed` is int32 [2], `number` int64."""

    @abstractmethod
    def decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a record to (float32 [any length, channels], int32 label)."""

    @abstractmethod
    def attributes(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the number of the class of each of the data set's attributes, int32."""

    @abstractmethod
    def label(self, record: tf.Tensor) -> tf.Tensor:
        """Return the label of a record, int64, without decoding its audio."""

    def label_counts(self, split: str) -> np.ndarray:
        counts = self.info.splits[split].label_counts
        return np.array([counts.get(name, 0) for name in self.info.labels], np.int64)

    def _require(self, split: str) -> None:
        if split not in self.info.splits or not self.info.splits[split].clips:
            raise DatasetError(
                f"{self.path} has no clips in a split {split!r}; it has {', '.join(self.splits) or 'none'}.",
                hint="gan-audio prepare INPUT... -o DATA --validation 0.1 --test 0.1",
            )
