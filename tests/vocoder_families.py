"""Tiny vocoders, clips like speech, and a training step by hand: what the tests of the vocoders share."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.registry import family_class
from gansynth_cli.families.vocoder import VocoderFamily
from gansynth_cli.recipe import load_recipe
from gansynth_cli.recipe_schema import Recipe

FAMILIES = ("melgan", "hifigan", "vocos")


def make_recipe(name: str, *overrides: str) -> Recipe:
    """A tiny recipe with changes, as `--set` takes them."""
    return load_recipe(f"{name}/tiny", overrides)


def make_family(name: str, *overrides: str, seed: int = 0) -> VocoderFamily:
    recipe = make_recipe(name, *overrides)
    return family_class(name)(recipe, DatasetInfo("x", recipe.data.sample_rate, 1, recipe.data.clip_samples, [], {}), seed=seed)


def speech_like(samples: int, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """float32 [samples, 1]: a gliding pulse train through two wandering resonances, with pauses and some hiss."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 1.3 * t + rng.uniform(0, 6))
    phase = np.cumsum(pitch) / rate
    voice = np.zeros(samples)
    for harmonic in range(1, int(rate / 2 / 160)):
        frequency = harmonic * pitch
        first = np.exp(-(((frequency - 600 - 250 * np.sin(2 * np.pi * 2.1 * t)) / 200) ** 2))
        second = 0.5 * np.exp(-(((frequency - 1800 - 500 * np.sin(2 * np.pi * 1.7 * t)) / 300) ** 2))
        voice += (first + second + 0.02) * np.cos(2 * np.pi * harmonic * phase + 0.3 * harmonic**2)
    envelope = np.clip(np.sin(2 * np.pi * 2.9 * t) + 0.6, 0, 1)
    audio = envelope * voice / np.abs(voice).max() + 0.003 * rng.standard_normal(samples)
    return (0.6 * audio).astype(np.float32)[:, None]


def make_batch(family: VocoderFamily, clips: int = 4) -> dict[str, tf.Tensor]:
    data = family.recipe.data
    return {"audio": tf.constant(np.stack([speech_like(data.clip_samples, data.sample_rate, seed) for seed in range(clips)]))}


def steps(learner: Any, count: int, first: int = 0) -> list[dict[str, float]]:
    """Steps `first` to `first + count - 1` on one batch; the values of each."""
    batch = make_batch(learner.family, learner.recipe.data.batch_size)
    values = []
    for step in range(first, first + count):
        result = learner.step(step, [batch] * learner.batches_of(step))
        values.append(dict(zip(result.names, result.values.numpy().tolist(), strict=True)))
    return values
