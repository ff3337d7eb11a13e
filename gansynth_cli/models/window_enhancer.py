"""The saved enhancer of windows of samples (SEGAN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .exported import ExportedNetwork, ExportPlan, Port, noise_like


@keras.saving.register_keras_serializable(package="gan_audio")
class WindowEnhancer(keras.Model):
    """Enhances a recording window by window. Saved as `model/generator.keras`.

    On a whole recording x (mono; several channels are several recordings):
        1. Pre-emphasis over the whole recording: y[n] = x[n] - preemphasis x[n-1], x[-1] = 0 (`signal.emphasis.emphasize`).
        2. Windows of `window` samples of y every `hop` samples, with zeros before the beginning and after the end; `call` on each.
        3. Each result times a periodic Hann window, overlapped and added (those sum to 1 for hop = window / 2).
        4. The inverse of the pre-emphasis over the whole result (`signal.emphasis.deemphasize`).

    Args:
        network: [noisy float [batch, window, 1], latent float [batch, *latent_shape]], or the noisy window alone without a latent,
            -> float [batch, window, 1]; both ends pre-emphasised.
        sample_rate: Hz.
        window: Samples.
        hop: Samples between windows; 0: half a window.
        preemphasis: Coefficient of the pre-emphasis; 0: none.
        latent_shape: Shape of the latent of one window; empty without one.
        latent_seed: Seed of the latent, N(0, 1), the same for every window, so the result does not depend on how a recording is cut
            and batched. A draw and not zeros: in training every latent has a norm of about sqrt(size).
        provenance: Free JSON: recipe, step, family, data fingerprint, version.
    """

    def __init__(
        self,
        network: keras.Model,
        sample_rate: int,
        window: int,
        hop: int = 0,
        preemphasis: float = 0.0,
        latent_shape: Sequence[int] = (),
        latent_seed: int = 0,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.sample_rate, self.window, self.hop = int(sample_rate), int(window), int(hop) or int(window) // 2
        self.preemphasis = float(preemphasis)
        self.latent_shape, self.latent_seed = tuple(int(n) for n in latent_shape), int(latent_seed)
        self.labels: tuple[str, ...] = ()
        self.provenance: dict[str, Any] = dict(provenance or {})
        self._latent = np.random.default_rng([self.latent_seed, 0x5E6A]).standard_normal((1, *self.latent_shape)).astype(np.float32)
        self.built = True  # its network is: it can be saved without a call

    def call(self, noisy):
        """float32 [batch, window, 1] -> float32 [batch, window, 1], both pre-emphasised."""
        if not self.latent_shape:
            return tf.cast(self.network(noisy, training=False), tf.float32)
        latent = tf.repeat(tf.constant(self._latent), tf.shape(noisy)[0], axis=0)
        return tf.cast(self.network([noisy, latent], training=False), tf.float32)

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: one window a call."""
        window = ("batch", self.window, 1)
        network = ExportedNetwork(
            "denoiser",
            lambda noisy: (self(noisy),),
            (Port("noisy", window, "pre-emphasised samples"),),
            (Port("clean", window, "pre-emphasised samples"),),
            lambda rng, call: {"noisy": noise_like(rng, (1 + call, self.window, 1))},
        )
        facts = {
            "kind": "speech denoiser",
            "sample_rate": self.sample_rate,
            "window": self.window,
            "hop": self.hop,
            "preemphasis": self.preemphasis,
            "latency_samples": self.window,
            "overlap": "each output times a periodic Hann window, added; then the pre-emphasis is undone",
        }
        return ExportPlan((network,), "windows", facts)

    def get_config(self):
        own = ("sample_rate", "window", "hop", "preemphasis", "latent_seed", "provenance")
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "latent_shape": list(self.latent_shape),
            **{name: getattr(self, name) for name in own},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["network"] = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**config)
