"""A small voice converter with random weights, for tests of what uses one."""

from __future__ import annotations

import keras
import numpy as np

from gansynth_cli.models.voice_converter import VoiceConverter
from gansynth_cli.signal.mel_convention import MelConvention

CONVENTION = MelConvention(fft=256, hop=64, bands=20).resolved(8000)


def random_network(domains: int, bands: int = CONVENTION.bands, seed: int = 0) -> keras.Model:
    """Three convolutions over time that read the codes; 3 frames of context on either side."""
    inputs = {
        "mel": keras.Input((None, bands), name="mel"),
        "mask": keras.Input((None, 1), name="mask"),
        "source": keras.Input((domains,), name="source"),
        "target": keras.Input((domains,), name="target"),
    }
    start = lambda n: keras.initializers.RandomNormal(stddev=0.2, seed=seed + n)
    codes = keras.layers.Concatenate()([inputs["source"], inputs["target"]])
    x = keras.layers.Concatenate()([inputs["mel"], inputs["mask"]])
    for number in range(3):
        shift = keras.layers.Reshape((1, 16))(keras.layers.Dense(16, kernel_initializer=start(10 + number))(codes))
        x = keras.layers.Conv1D(16, 3, padding="same", kernel_initializer=start(number))(x)
        x = keras.layers.Activation("tanh")(keras.layers.Add()([x, shift]))
    return keras.Model(inputs, keras.layers.Dense(bands, kernel_initializer=start(20))(x), name="network")


def random_converter(domains: tuple[str, ...] = ("anna", "bruno", "carla"), **changes) -> VoiceConverter:
    """A `VoiceConverter` of CONVENTION; `changes` replace its arguments."""
    rng = np.random.default_rng(7)
    count, bands = len(domains), CONVENTION.bands
    arguments = {
        "network": random_network(count),
        "convention": CONVENTION,
        "domains": domains,
        "mel_mean": rng.normal(-5, 1, (count, bands)),
        "mel_deviation": rng.uniform(1, 2, (count, bands)),
        "f0_mean": np.log(np.linspace(110, 220, count)),
        "f0_deviation": np.linspace(0.1, 0.3, count),
        "f0_seconds": np.full(count, 60.0),
        "receptive_frames": 3,
        "consent": "Recorded with the speakers' consent.",
        "provenance": {"family": "test"},
    }
    return VoiceConverter(**{**arguments, **changes})
