"""Families of a few hundred weights, and one training step's losses and gradients: what the tests of the families share."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.data.statistics import compute, statistics_key
from gansynth_cli.families.base import Draws, Phase
from gansynth_cli.families.latent_gan import LatentGAN
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe import recipe_from_tree

LABELS = ["high", "low", "noise"]
SMALL: dict[str, dict[str, Any]] = {
    "wavegan": {"clip_samples": 512, "model": {"latent_dim": 6, "dim": 3, "start_samples": 8, "label_dim": 2}},
    "specgan": {
        "clip_samples": 512,
        "model": {"latent_dim": 6, "dim": 3, "fft": 32, "hop": 16, "frames": 32, "label_dim": 2, "griffin_lim_iterations": 2},
    },
}


def make_family(
    name: str, data: dict | None = None, adversarial: dict | None = None, seed: int = 0, labels=LABELS, **model: Any
) -> LatentGAN:
    """A tiny family; keyword arguments change `[model]`. Statistics are those of noise."""
    small = SMALL[name]
    tree = {
        "family": name,
        "seed": seed,
        "data": {"sample_rate": 8000, "clip_samples": small["clip_samples"], "batch_size": 4, **(data or {})},
        "model": {**small["model"], **model},
        "adversarial": adversarial or {},
    }
    recipe = recipe_from_tree(tree)
    rng = np.random.default_rng(1)
    noise = [rng.uniform(-0.5, 0.5, (recipe.data.clip_samples, 1)).astype(np.float32) for _ in range(4)]
    statistics = {statistics_key(spec, False): compute(spec, noise) for spec in recipe.model.statistics(recipe.data.sample_rate)}
    info = DatasetInfo("tiny", 8000, recipe.data.channels, recipe.data.clip_samples, list(labels), {}, statistics=statistics)
    return family_class(name)(recipe, info)


def make_batch(family: LatentGAN, clips: int = 4, seed: int = 0) -> dict[str, tf.Tensor]:
    data = family.recipe.data
    rng = np.random.default_rng(seed)
    audio = rng.uniform(-0.5, 0.5, (clips, data.clip_samples, data.channels)).astype(np.float32)
    return {"audio": tf.constant(audio), "label": tf.constant(np.arange(clips) % len(LABELS), tf.int32)}


def make_draws(step: int = 0) -> Draws:
    return Draws(tf.constant([step, 17]), tf.constant(0), 1)


def phase_named(family: LatentGAN, name: str) -> Phase:
    return next(phase for phase in family.phases() if phase.name == name)


def gradients(family: LatentGAN, phase: Phase) -> tuple[dict[str, float], dict[str, list[np.ndarray | None]]]:
    """The phase's losses on one batch, and the gradients of their sum with respect to the weights of every network."""
    with tf.GradientTape() as tape:  # eagerly: tracing a graph takes ten times as long as these few weights
        losses = phase.losses(make_batch(family), make_draws())
        total = tf.add_n(list(losses.values()))
    slopes = tape.gradient(total, {name: network.trainable_variables for name, network in family.networks.items()})
    return (
        {name: float(value) for name, value in losses.items()},
        {name: [None if g is None else g.numpy() for g in values] for name, values in slopes.items()},
    )
