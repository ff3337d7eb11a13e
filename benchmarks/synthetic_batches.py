"""The facts of a data set and batches of noise for any recipe, so that a benchmark can build its networks without recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.data.statistics import statistics_key
from gansynth_cli.families.base import Batch, Family
from gansynth_cli.recipe_schema import Recipe

LABELS = [f"label{i}" for i in range(2)]
ATTRIBUTES = {"pitch": [str(pitch) for pitch in range(24, 85)], "instrument": ["one", "two"], "velocity": ["50", "100"]}


def info_for(recipe: Recipe) -> DatasetInfo:
    """Return made-up facts with the labels, attributes and statistics that the recipe's networks ask for."""
    data, model = recipe.data, recipe.model
    statistics: dict[str, Any] = {}
    for spec in model.statistics:
        bins = spec.fft // 2 + 1
        statistics[statistics_key(spec, data.peak_normalize, data.peak)] = {"mean": [-5.0] * bins, "deviation": [2.0] * bins}
    frames = model.frame_features(data.sample_rate)
    for label in LABELS if frames is not None else ():
        bands = frames.convention.bands
        mel = {"mean": [-5.0] * bands, "deviation": [2.0] * bands, "active_level": -3.0, "seconds": 60.0}
        statistics[frames.mel_statistics(label)] = mel
        statistics[frames.f0_statistics(label)] = {"mean": 5.0, "deviation": 0.2, "median": 5.0, "seconds": 60.0}
    split = SplitInfo(1000, 1000 * data.clip_samples / data.sample_rate)
    return DatasetInfo(
        "noise", data.sample_rate, data.channels, data.clip_samples, LABELS, {"train": split}, statistics=statistics, attributes=ATTRIBUTES
    )


def batch_for(family: Family, seed: int = 0) -> Batch:
    """Return one batch of noise of the recipe's size, with all that the family asks its data for."""
    recipe, wanted = family.recipe, family.batch_features()
    data, rng = recipe.data, np.random.default_rng(seed)
    shape = (data.batch_size, wanted.clip_samples, wanted.channels)
    audio = tf.constant(rng.uniform(-0.5, 0.5, shape), tf.float32)
    batch = {"audio": audio, "label": tf.constant(np.arange(data.batch_size) % len(LABELS), tf.int32)}
    if wanted.pairs:
        batch |= {"clean": audio, "noisy": audio + tf.constant(rng.normal(0, 0.1, shape), tf.float32)}
    for name in wanted.attributes:
        batch[name] = tf.constant(np.arange(data.batch_size) % len(ATTRIBUTES[name]), tf.int32)
    if (frames := recipe.model.frame_features(data.sample_rate)) is not None:
        convention = frames.convention
        spectra = rng.normal(-5.0, 2.0, (data.batch_size, wanted.clip_samples // convention.hop, convention.bands))
        batch = {"spectrum": tf.constant(spectra, tf.float32), "label": batch["label"]}
    return batch
