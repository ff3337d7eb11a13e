"""Batches of made-up utterances, and the facts of the data set that they could come from: for tests of families of text-to-speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.recipe_schema import Recipe

SYMBOLS = 12


def speech_info(recipe: Recipe, speakers: Sequence[str] = ("ann",)) -> DatasetInfo:
    """Facts of a data set with the recipe's speech features."""
    spec = recipe.model.speech_features(recipe.data.sample_rate)
    one = {"language": "en-us", "f0_mean": 5.0, "f0_deviation": 0.2, "energy_mean": -3.0, "energy_deviation": 1.0}
    facts = {
        "phones": [f"p{i}" for i in range(SYMBOLS)],
        "speakers": dict.fromkeys(speakers, one),
        "mel_mean": [-5.0] * spec.convention.bands,
        "mel_deviation": [2.0] * spec.convention.bands,
        "phonemiser": "espeak-ng 1.51",
    }
    return DatasetInfo(
        "x",
        recipe.data.sample_rate,
        1,
        0,
        list(speakers),
        {},
        attributes={"language": ["en-us"], "emotion": ["none"]},
        frame_features={spec.key: facts},
    )


def speech_batch(recipe: Recipe, frames: Sequence[int], tokens: Sequence[int], seed: int = 0) -> dict[str, tf.Tensor]:
    """A batch as `data.speech_window` cuts it: each symbol has a spectrum of its own, and its pitch as a sine in "audio"."""
    rng = np.random.default_rng(seed)
    spec = recipe.model.speech_features(recipe.data.sample_rate)
    c, most = spec.convention, spec.max_phones
    width = recipe.data.clip_samples // c.hop
    spectra, hz = rng.normal(-5, 2, (SYMBOLS, c.bands)), rng.uniform(100, 300, SYMBOLS)
    batch = {
        "tokens": np.full((len(frames), most, 3), -1, np.int32),
        "durations": np.zeros((len(frames), most), np.float32),
        "prosody": np.zeros((len(frames), most, 3, 3), np.float32),
        "phone_weight": np.zeros((len(frames), most), np.float32),
        "frame_phone": np.zeros((len(frames), width), np.int32),
        "frame_place": np.zeros((len(frames), width), np.float32),
        "frame_inside": np.zeros((len(frames), width), np.float32),
        "mel": np.full((len(frames), width, c.bands), c.lowest, np.float32),
        "f0": np.zeros((len(frames), width), np.float32),
        "audio": np.zeros((len(frames), recipe.data.clip_samples), np.float32),
    }
    for row, (count, many) in enumerate(zip(frames, tokens, strict=True)):
        durations = np.diff(np.concatenate([[0], np.sort(rng.choice(np.arange(1, count // 2), many - 1, replace=False)) * 2, [count]]))
        symbols = rng.permutation(SYMBOLS)[:many]
        owner = np.repeat(np.arange(many), durations)
        begins = np.cumsum(durations) - durations
        batch["tokens"][row, :many] = np.stack([symbols, np.zeros(many), np.full(many, 2)], axis=1)
        batch["durations"][row, :many], batch["phone_weight"][row, :many] = durations, 1
        batch["prosody"][row, :many] = np.stack([np.log(hz[symbols]), np.ones(many), rng.normal(-3, 1, many)], -1)[:, None]
        batch["frame_phone"][row, :count], batch["frame_phone"][row, count:] = owner, many - 1
        batch["frame_place"][row, :count] = (np.arange(count) + 0.5 - begins[owner]) / durations[owner]
        batch["frame_inside"][row, :count] = 1
        batch["mel"][row, :count] = spectra[symbols[owner]] + rng.normal(0, 0.1, (count, c.bands))
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(np.repeat(hz[symbols[owner]], c.hop)) / c.sample_rate)
        batch["f0"][row, :count] = np.log(hz[symbols[owner]])
        batch["audio"][row, : len(tone)] = tone[: recipe.data.clip_samples]
    batch["frame_weight"] = batch["frame_inside"]
    for name in ("label", "language", "emotion"):
        batch[name] = np.zeros(len(frames), np.int32)
    return {name: tf.constant(value) for name, value in batch.items()}
