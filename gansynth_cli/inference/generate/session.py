"""A trained generator, ready to be asked: found, checked, loaded and compiled once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import RunError
from ...models.audio_generator import AudioGenerator
from ...models.model_file import GENERATORS, find_model
from ...models.note_generator import NoteGenerator
from ...recipe import Recipe

# Clips in one call of the network, always. The convolution and matrix kernels of TensorFlow round differently for another
# batch size (on the CPU sizes 1 and 3 differ from 16 in the last bits, which is some samples of 16-bit PCM), so a clip
# would depend on how many were asked for. 16 is also where two CPU cores reach their full speed (8 to 64: all within 10 %).
GROUP = 16


@dataclass(frozen=True)
class GeneratorSession:
    """A generator that is loaded.

    Attributes:
        generator: The model.
        recipe: The recipe of its run; None for a lone `.keras` file.
        file: Where it was read from.
        sha256: SHA-256 of that file, in hex: what the clips are marked with.
        load_seconds: Time to read and build it.
        info: The facts of the data that it was trained on; None for a lone `.keras` file.
    """

    generator: AudioGenerator | NoteGenerator
    recipe: Recipe | None
    file: Path
    sha256: str
    load_seconds: float
    info: DatasetInfo | None = None

    @property
    def sample_rate(self) -> int:
        return self.generator.sample_rate

    @property
    def labels(self) -> tuple[str, ...]:
        return self.generator.labels

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """What the model can be told, in the order label, pitch, instrument, velocity -> names of the classes by their numbers."""
        made = self.generator
        names: dict[str, tuple[str, ...]] = {"label": made.labels}
        if isinstance(made, NoteGenerator):
            names |= {"pitch": tuple(map(str, made.pitches)), "instrument": made.instruments, "velocity": tuple(map(str, made.velocities))}
        return {name: values for name, values in names.items() if values}

    @property
    def latent_dim(self) -> int:
        return int(self.generator.latent["dim"])

    @property
    def distribution(self) -> str:
        return str(self.generator.latent["distribution"])

    @property
    def has_encoder(self) -> bool:
        return isinstance(self.generator, NoteGenerator) and self.generator.encoder is not None

    @cached_property
    def clip_samples(self) -> int:
        """Samples of a clip at the model's rate."""
        if isinstance(self.generator, NoteGenerator):
            return self.generator.clip_samples
        return int(self.run(np.zeros((GROUP, self.latent_dim), np.float32)).shape[1])

    @property
    def channels(self) -> int:
        if isinstance(self.generator, NoteGenerator):
            return 1
        return self.recipe.data.channels if self.recipe else int(self.run(np.zeros((GROUP, self.latent_dim), np.float32)).shape[2])

    @cached_property
    def _call(self):
        signature = {"latent": tf.TensorSpec([GROUP, self.latent_dim], tf.float32)}
        signature |= {name: tf.TensorSpec([GROUP], tf.int32) for name in self.classes}

        # One signature, so it is traced once. jit_compile stays off: XLA is slower than the plain graph on CPUs.
        @tf.function(input_signature=[signature])
        def call(inputs):
            return self.generator(inputs, training=False)

        return call

    @cached_property
    def _encode(self):
        audio = tf.TensorSpec([GROUP, self.clip_samples, 1], tf.float32)
        conditions = {name: tf.TensorSpec([GROUP], tf.int32) for name in self.classes}

        @tf.function(input_signature=[audio, conditions])
        def encode(audio, conditions):
            return self.generator.encode(audio, conditions)

        return encode

    def warm_up(self) -> float:
        """Traces and runs the network once; returns the seconds that took. The first clips are then as fast as the rest."""
        started = time.monotonic()
        self.run(np.zeros((GROUP, self.latent_dim), np.float32), np.zeros(GROUP, np.int32))
        return time.monotonic() - started

    def run(
        self,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        pitch: np.ndarray | None = None,
        instrument: np.ndarray | None = None,
        velocity: np.ndarray | None = None,
    ) -> np.ndarray:
        """One call of the network.

        Args:
            latents: float32 [16, latent_dim]. Always 16; see `GROUP`.
            labels, pitch, instrument, velocity: int32 [16], class numbers: places in `classes`. Those that the model has no
                classes for are not read; those that are left out are 0.

        Returns:
            float32 [16, samples, channels].
        """
        given = {"label": labels, "pitch": pitch, "instrument": instrument, "velocity": velocity}
        return self._call({"latent": tf.constant(latents, tf.float32), **self._conditions(given)}).numpy()

    def encode(self, audio: np.ndarray, conditions: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(mean, log variance) of the latents of clips, float32 [16, latent_dim] each.

        Args:
            audio: float32 [16, clip_samples, 1].
            conditions: Condition -> int32 [16].

        Raises:
            RunError: The model has no encoder.
        """
        mean, log_variance = self._encode(tf.constant(audio, tf.float32), self._conditions(conditions))
        return mean.numpy(), log_variance.numpy()

    def _conditions(self, given: Mapping[str, np.ndarray | None]) -> dict[str, tf.Tensor]:
        zeros = np.zeros(GROUP, np.int32)
        found = {name: given.get(name) for name in self.classes}
        return {name: tf.constant(zeros if numbers is None else numbers, tf.int32) for name, numbers in found.items()}


def open_session(path: Path | str) -> GeneratorSession:
    """Loads the generator of a run folder, of a `.keras` file or of a bundled model.

    Raises:
        RunError: As for `find_model` and `ModelFile.load`, or the file does not state how its latents are drawn.
    """
    started = time.monotonic()
    found = find_model(path, GENERATORS, "generate clips")
    model = found.load()
    latent = getattr(model, "latent", {})
    if not isinstance(model, (AudioGenerator, NoteGenerator)) or not {"dim", "distribution"} <= set(latent):
        raise RunError(f"{found.file} does not state how its latents are drawn: it has {sorted(latent)}, expected dim and distribution.")
    recipe, info = (found.run.recipe, found.run.info) if found.run else (None, None)
    return GeneratorSession(model, recipe, found.file, found.sha256, time.monotonic() - started, info)
