"""A family of a few weights and a data set in memory: what the trainer's tests train in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.errors import DatasetError
from gansynth_cli.families.base import Batch, Draws, Losses, Phase
from gansynth_cli.feature_specs import BatchFeatures
from gansynth_cli.models.clip_generator import ClipGenerator
from gansynth_cli.recipe import recipe_from_tree
from gansynth_cli.recipe_schema import Recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.learner import Learner
from gansynth_cli.training.strategy import Devices
from gansynth_cli.training.trainer import Trainer

SAMPLES = 256
RATE = 8000
LABELS = ("high", "low")
LATENT = 4


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class Frame(keras.layers.Layer):
    """[batch, samples] -> [batch, samples, 1]."""

    def call(self, x):
        return tf.cast(x, tf.float32)[:, :, None]


class FakeFamily:
    """A linear generator and a small critic, with Dropout and, if asked for, labels. `spoil` changes the generator's losses."""

    averaged = ("generator",)

    def __init__(self, recipe: Recipe, info: DatasetInfo, *, dropout: float = 0.2, spoil: Callable | None = None, silent: bool = False):
        self.recipe, self.info, self.spoil, self.silent = recipe, info, spoil, silent
        initializer = lambda i: keras.initializers.GlorotUniform(seed=recipe.seed + i)
        dropped = lambda i: [keras.layers.Dropout(dropout, seed=i)] if dropout else []
        generator = [
            keras.Input((LATENT + len(LABELS),)),
            keras.layers.Dense(8, "tanh", kernel_initializer=initializer(1)),
            *dropped(11),
            keras.layers.Dense(SAMPLES, "tanh", kernel_initializer=initializer(2), dtype="float32"),
        ]
        critic = [
            keras.Input((SAMPLES + len(LABELS),)),
            keras.layers.Dense(8, "tanh", kernel_initializer=initializer(3)),
            *dropped(12),
            keras.layers.Dense(1, kernel_initializer=initializer(4), dtype="float32"),
        ]
        self.networks = {"generator": keras.Sequential(generator, name="generator"), "critic": keras.Sequential(critic, name="critic")}

    def phases(self) -> tuple[Phase, ...]:
        a = self.recipe.adversarial
        clip = a.weight_clip if a.loss == "wgan" else 0.0
        critic = Phase(
            "critic", ("critic",), self.critic_losses, "critic", repeats=a.critic_repeats, start=a.critic_start, weight_clip=clip
        )
        r1 = Phase("critic_r1", ("critic",), self.r1_losses, "critic", every=a.r1_every, start=a.critic_start)
        return (critic, *([r1] if a.r1 else []), Phase("generator", ("generator",), self.generator_losses, "generator"))

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        real, fake = self.discriminate(batch["audio"][:, :, 0], batch), self.discriminate(self.generate(batch, draws), batch)
        return {"real": tf.reduce_mean(tf.nn.softplus(-real)), "fake": tf.reduce_mean(tf.nn.softplus(fake))}

    def r1_losses(self, batch: Batch, draws: Draws) -> Losses:
        real = batch["audio"][:, :, 0]
        with tf.GradientTape() as tape:
            tape.watch(real)
            logits = tf.reduce_sum(self.discriminate(real, batch))
        return {"r1": self.recipe.adversarial.r1 * tf.reduce_mean(tf.reduce_sum(tf.square(tape.gradient(logits, real)), axis=1))}

    def generator_losses(self, batch: Batch, draws: Draws) -> Losses:
        loss = tf.reduce_mean(tf.nn.softplus(-self.discriminate(self.generate(batch, draws), batch)))
        return {"adversarial": self.spoil(self, loss, batch) if self.spoil else loss}

    def generate(self, batch: Batch, draws: Draws) -> tf.Tensor:
        latent = draws.normal("latent", (tf.shape(batch["audio"])[0], LATENT))
        return self.networks["generator"](tf.concat([latent, tf.one_hot(batch["label"], len(LABELS))], 1), training=True)

    def discriminate(self, examples: tf.Tensor, batch: Batch) -> tf.Tensor:
        labels = tf.one_hot(batch["label"], len(LABELS))
        return tf.cast(self.networks["critic"](tf.concat([examples, labels], 1), training=True)[:, 0], tf.float32)

    def batch_features(self) -> BatchFeatures:
        return BatchFeatures(RATE, 1, SAMPLES, labels=True)

    def preview(self, networks, clips: int) -> np.ndarray:
        latent = np.random.default_rng(self.recipe.seed).standard_normal((clips, LATENT + len(LABELS))).astype(np.float32)
        made = networks["generator"](latent, training=False).numpy()[:, :, None]
        return made * (0.0 if self.silent else 1.0)

    def inference_model(self, networks) -> keras.Model:
        latent = {"dim": LATENT + len(LABELS), "distribution": "normal"}
        return ClipGenerator(networks["generator"], Frame(), RATE, latent=latent, positional=True, provenance={"family": "fake"})


class FakeSource:
    """Clips that are pure functions of (seed, position), as `data.source.Source` gives them."""

    def __init__(self, clips: int = 40):
        rng = np.random.default_rng(5)
        t = np.arange(SAMPLES) / RATE
        labels = np.arange(clips) % 2
        tones = np.sin(2 * np.pi * np.where(labels, 200.0, 1500.0)[:, None] * t + rng.uniform(0, 6, clips)[:, None])
        self.audio, self.labels = (0.5 * tones[:, :, None]).astype(np.float32), labels.astype(np.int32)
        split = SplitInfo(clips, clips * SAMPLES / RATE)
        self.info = DatasetInfo("fake", RATE, 1, SAMPLES, list(LABELS), {"train": split, "validation": split}, fingerprint="f" * 64)
        self.splits = ("train", "validation")

    def clips_per_epoch(self, split: str) -> int:
        return len(self.audio)

    def check(self, features: BatchFeatures) -> None:
        if features.clip_samples != SAMPLES:
            raise DatasetError("wrong length")

    def diagnose(self, error: Exception) -> None:
        return None

    def clips(self, split: str, limit: int | None = None):
        for audio, label in list(zip(self.audio, self.labels, strict=True))[:limit]:
            yield audio, LABELS[label]

    def batches(self, recipe, split="train", *, seed, first_clip=0, batch_size=None, shard_index=0, shard_count=1, **_) -> tf.data.Dataset:
        audio, labels, clips = tf.constant(self.audio), tf.constant(self.labels), len(self.audio)

        def clip(position):
            epoch, index = position // clips, position % clips
            order = tf.random.experimental.stateless_shuffle(tf.range(clips), tf.stack([tf.constant(seed, tf.int64), epoch]))
            return {"audio": audio[order[index]], "label": labels[order[index]]}

        positions = tf.data.Dataset.range(first_clip + shard_index, np.iinfo(np.int64).max, shard_count)
        return positions.map(clip).batch(batch_size or recipe.data.batch_size, drop_remainder=True).prefetch(2)


def fake_recipe(**tables) -> Recipe:
    """A recipe for the fake family: tables update the defaults below."""
    tree: dict = {
        "family": "wavegan",
        "name": "fake/tiny",
        "seed": 3,
        "data": {"sample_rate": RATE, "clip_samples": SAMPLES, "batch_size": 8},
        "adversarial": {"loss": "nonsaturating", "critic_repeats": 2},
        "optimizers": {"generator": {"learning_rate": 0.01}, "critic": {"learning_rate": 0.01}},
        "training": {"steps": 6, "log_every": 2, "preview_every": 3, "preview_clips": 4, "checkpoint_every": 3, "ema": 0.9},
    }
    for name, table in tables.items():
        tree[name] = {**tree[name], **table} if isinstance(table, dict) else table
    tree["optimizers"] = {k: {"learning_rate": 0.01, **v} for k, v in tree["optimizers"].items()}
    return recipe_from_tree(tree)


def make_learner(recipe: Recipe, devices: Devices | None = None, **family) -> Learner:
    source = FakeSource()
    return Learner(recipe, lambda: FakeFamily(recipe, source.info, **family), devices or Devices(), recipe.training.steps or None)


def run_steps(learner: Learner, steps: int, first: int = 0) -> list[dict[str, float]]:
    """Runs steps with batches in memory; the values of each."""
    recipe, values = learner.recipe, []
    size = recipe.data.batch_size
    position = learner.batches_before(first) * size
    make = lambda worker, workers, batch: FakeSource().batches(
        recipe, seed=recipe.seed, first_clip=position, batch_size=batch, shard_index=worker, shard_count=workers
    )
    batches = learner.devices.batches(make, size)
    for step in range(first, first + steps):
        result = learner.step(step, [next(batches) for _ in range(learner.batches_of(step))])
        values.append(dict(zip(result.names, result.values.numpy().tolist(), strict=True)))
    return values


def weights(learner: Learner, prefix: str = "network/") -> dict[str, np.ndarray]:
    return {name: np.array(v.numpy()) for name, v in learner.state().items() if name.startswith(prefix)}


def make_trainer(
    path, recipe: Recipe, *, restart: bool = False, events: list | None = None, source: FakeSource | None = None, **family
) -> Trainer:
    source = source or FakeSource()
    run = RunFolder.open_for_training(path, recipe, source.info, restart=restart, command=["gan-audio", "train"])
    listen = events.append if events is not None else None
    return Trainer(recipe, source, run, build=lambda: FakeFamily(recipe, run.info, **family), on_event=listen)


def train_fake(path, recipe: Recipe, **arguments):
    trainer = make_trainer(path, recipe, **arguments)
    try:
        return trainer.train(), trainer
    finally:
        trainer.run.close()
