"""Tiny conversion families with made-up statistics, and voices that differ in colour and pitch: what the tests of conversion share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.conversion import ConversionFamily
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe import load_recipe
from gansynth_cli.recipe_schema import Recipe

from .conftest import write_wav

RATE = 8000


def make_info(recipe: Recipe, domains: int = 3, **changes: Any) -> DatasetInfo:
    """Domains whose spectra differ by a tilt and whose pitches lie a third apart."""
    spec = recipe.model.frame_features(recipe.data.sample_rate)
    slope = np.linspace(-1.0, 1.0, spec.convention.bands)
    statistics: dict[str, Any] = {}
    names = [f"d{i}" for i in range(domains)]
    for number, name in enumerate(names):
        statistics[spec.mel_statistics(name)] = {
            "mean": (-5.0 + number * slope).tolist(),
            "deviation": [1.0 + 0.2 * number] * spec.convention.bands,
            "active_level": -4.0,
            "seconds": 100.0,
        }
        statistics[spec.f0_statistics(name)] = {"mean": 4.8 + 0.3 * number, "deviation": 0.2, "median": 4.8 + 0.3 * number, "seconds": 60.0}
    values = {"name": "x", "sample_rate": recipe.data.sample_rate, "channels": 1, "clip_samples": 0, "labels": names, "splits": {}}
    return DatasetInfo(**{**values, "statistics": statistics, **changes})


def make_family(name: str, *overrides: str, domains: int = 3, seed: int = 0) -> Any:
    recipe = load_recipe(f"{name}/tiny", overrides)
    return family_class(name)(recipe, make_info(recipe, domains), seed)


def make_batch(family: ConversionFamily, clips: int = 4, seed: int = 0) -> dict[str, tf.Tensor]:
    """Spectra of the domains' statistics, with a movement over time; the labels take turns."""
    rng = np.random.default_rng(seed)
    label = np.arange(clips) % len(family.domains)
    frames = family.recipe.data.clip_samples // family.convention.hop
    noise = rng.normal(size=(clips, frames, family.convention.bands))
    spectrum = family.mean[label][:, None] + family.deviation[label][:, None] * (0.5 * noise + np.sin(np.arange(frames) / 3)[:, None])
    return {"spectrum": tf.constant(spectrum, tf.float32), "label": tf.constant(label, tf.int32)}


def voice(seconds: float, hz: float, formants: tuple[float, float], seed: int = 0) -> np.ndarray:
    """float32 [samples]: syllables of a gliding pulse train through two resonances, over a little hiss."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = hz * (1 + 0.08 * np.sin(2 * np.pi * 0.9 * t + rng.uniform(0, 6)))
    phase = np.cumsum(pitch) / RATE
    sound = np.zeros(len(t))
    for harmonic in range(1, int(RATE / 2 / hz / 1.1)):
        frequency = harmonic * pitch
        gain = sum(np.exp(-(((frequency - f) / 250) ** 2)) for f in formants) + 0.03
        sound += gain * np.cos(2 * np.pi * harmonic * phase)
    envelope = np.clip(np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6)) + 0.7, 0, 1)
    return (0.3 * envelope * sound / np.abs(sound).max() + 0.002 * rng.standard_normal(len(t))).astype(np.float32)


VOICES = {"anna": (210.0, (700.0, 2200.0)), "bruno": (115.0, (500.0, 1400.0))}


def write_voices(root: Path, takes: int = 6, seconds: float = 0.8) -> Path:
    """A folder a speaker, sentences of the same names."""
    for number, (name, (hz, formants)) in enumerate(VOICES.items()):
        for take in range(takes):
            write_wav(root / name / f"s{take:02d}.wav", voice(seconds + 0.1 * take, hz, formants, 10 * number + take), RATE)
    return root
