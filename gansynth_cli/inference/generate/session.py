"""A trained generator, found, checked, loaded and compiled once. Importing this module does not import TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.dataset_info import DatasetInfo
from ...errors import RunError
from ...models.model_file import GENERATORS, ModelFile, find_model
from ...recipe import Recipe
from .latents import DISTRIBUTIONS

if TYPE_CHECKING:
    from ...models.clip_generator import ClipGenerator

# Clips in one call of the network, always. The convolution and matrix kernels of TensorFlow round differently for another
# batch size (on the CPU sizes 1 and 3 differ from 16 in the last bits, which is some samples of 16-bit PCM), so a clip
# would depend on how many were requested. 16 is also where two CPU cores reach their full speed (8 to 64: all within 10 %).
GROUP = 16


@dataclass(frozen=True)
class GeneratorSession:
    """A generator that is loaded.

    Attributes:
        generator: The model.
        recipe: The recipe of its run; None for a `.keras` file by itself.
        file: The file that it was read from.
        sha256: SHA-256 of that file in hexadecimal, which the provenance tags of clips state.
        load_seconds: Time to read and build it.
        info: Facts of the data set that it was trained on; None for a `.keras` file by itself.
        resampled: Rate in Hz to which `run` resamples the clips; None: the generator's own. See `at_rate`.
    """

    generator: ClipGenerator
    recipe: Recipe | None
    file: Path
    sha256: str
    load_seconds: float
    info: DatasetInfo | None = None
    resampled: int | None = None

    def at_rate(self, sample_rate: int) -> GeneratorSession:
        """Return the same generator with clips resampled to a rate in Hz."""
        return replace(self, resampled=None if sample_rate == self.generator.sample_rate else sample_rate)

    @property
    def sample_rate(self) -> int:
        """Hz, of the clips that `run` returns."""
        return self.resampled or self.generator.sample_rate

    @property
    def channels(self) -> int:
        """Channels of a clip."""
        return int(self.generator.to_audio.compute_output_shape(self.generator.network.output_shape)[-1])

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Condition (label, pitch, instrument, velocity) -> class names by their numbers, for those that the model reads."""
        return self.generator.classes

    @property
    def latent_dim(self) -> int:
        return int(self.generator.latent["dim"])

    @property
    def distribution(self) -> str:
        """Distribution of the latents: "uniform" or "normal"."""
        return str(self.generator.latent["distribution"])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Software version, family, recipe, seed and data fingerprint that the model records."""
        return self.generator.provenance

    @property
    def has_encoder(self) -> bool:
        return self.generator.encoder is not None

    @cached_property
    def clip_samples(self) -> int:
        """Samples of a clip at `sample_rate`."""
        if self.resampled:
            return int(self.run(np.zeros((GROUP, self.latent_dim), np.float32)).shape[1])
        return self.generator.clip_samples or int(self.run(np.zeros((GROUP, self.latent_dim), np.float32)).shape[1])

    @cached_property
    def _call(self):
        import tensorflow as tf

        signature = {"latent": tf.TensorSpec([GROUP, self.latent_dim], tf.float32)}
        signature |= {name: tf.TensorSpec([GROUP], tf.int32) for name in self.classes}

        # One signature, so it is traced once. jit_compile stays off: XLA is slower than the plain graph on CPUs.
        @tf.function(input_signature=[signature])
        def call(inputs):
            return self.generator(inputs, training=False)

        try:
            call.get_concrete_function()
        except Exception as error:  # TensorFlow raises whatever the layers raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise RunError(
                f"{self.file} cannot be run: {reason[-1]}", hint="the file is damaged; use another checkpoint of the run"
            ) from error
        return call

    @cached_property
    def _encode(self):
        import tensorflow as tf

        audio = tf.TensorSpec([GROUP, self.clip_samples, self.channels], tf.float32)
        conditions = {name: tf.TensorSpec([GROUP], tf.int32) for name in self.classes}

        @tf.function(input_signature=[audio, conditions])
        def encode(audio, conditions):
            return self.generator.encode(audio, conditions)

        return encode

    def warm_up(self) -> float:
        """Trace and run the network once, so that the first clips are as fast as the rest; return the seconds that took."""
        started = time.monotonic()
        self.run(np.zeros((GROUP, self.latent_dim), np.float32))
        return time.monotonic() - started

    def run(self, latents: np.ndarray, conditions: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Call the network once.

        Args:
            latents: float32 [16, latent_dim]. Always 16; see `GROUP`.
            conditions: Condition -> int32 [16], class numbers: places in `classes`. Conditions that the model does not read are
                ignored; those that are missing are class 0.

        Returns:
            float32 [16, samples, channels].
        """
        import tensorflow as tf

        clips = self._call({"latent": tf.constant(latents, tf.float32), **self._conditions(conditions or {})}).numpy()
        if not self.resampled:
            return clips
        import soxr

        return np.stack([soxr.resample(clip, self.generator.sample_rate, self.resampled, "HQ") for clip in clips])

    def encode(self, audio: np.ndarray, conditions: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return (mean, log variance) of the latents of clips, float32 [16, latent_dim] each.

        Args:
            audio: float32 [16, clip_samples, channels].
            conditions: As for `run`.

        Raises:
            RunError: The model has no encoder.
        """
        import tensorflow as tf

        mean, log_variance = self._encode(tf.constant(audio, tf.float32), self._conditions(conditions))
        return mean.numpy(), log_variance.numpy()

    def _conditions(self, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
        import tensorflow as tf

        zeros = np.zeros(GROUP, np.int32)
        return {name: tf.constant(given.get(name, zeros), tf.int32) for name in self.classes}


def open_session(model: ModelFile | Path | str) -> GeneratorSession:
    """Load the generator of a run folder, of a `.keras` file or of a bundled model, or one that `find_model` found.

    Raises:
        RunError: As for `find_model` and `ModelFile.load`, or the file does not state how its latents are drawn.
    """
    started = time.monotonic()
    found = model if isinstance(model, ModelFile) else find_model(model, GENERATORS, "generate clips")
    latent = found.config.get("latent")
    stated = latent if isinstance(latent, dict) else {}
    if not isinstance(stated.get("dim"), int) or stated["dim"] < 1 or stated.get("distribution") not in DISTRIBUTIONS:
        raise RunError(
            f"{found.file} does not state how its latents are drawn: its latent is {latent!r}, expected a dim and a distribution "
            f"({' or '.join(DISTRIBUTIONS)})."
        )
    generator: Any = found.load()
    recipe, info = (found.run.recipe, found.run.info) if found.run else (None, None)
    return GeneratorSession(generator, recipe, found.file, found.sha256, time.monotonic() - started, info)
