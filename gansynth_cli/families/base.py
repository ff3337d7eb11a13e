"""What every family answers: its networks, the phases that train them, and how it is used afterwards."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import keras
import numpy as np
import tensorflow as tf

from .. import __version__
from ..data.dataset_info import DatasetInfo
from ..feature_specs import BatchFeatures
from ..recipe_schema import Recipe

if TYPE_CHECKING:
    from ..data.source import Source

Batch = Mapping[str, tf.Tensor]
Losses = dict[str, tf.Tensor]

PREVIEW_BATCH = 16  # examples of a preview that are computed at once; the result does not depend on it


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step: pure functions of (recipe seed, step, phase, repeat), so a resumed run draws the same.

    Per-example numbers are drawn for the whole batch and cut to this replica's part: two replicas draw what one would.

    Attributes:
        seed: int32 [2], the same on every replica.
        replica: index of this replica, int32 scalar.
        replicas: number of replicas, a Python int.
        workers: number of machines they are spread over. Machine w reads the clips w, w + workers, ... of the stream, so the
            numbers are dealt out likewise: each clip meets the numbers that it would meet on one device.
        step: the step's number, an integer scalar: for weights that rise while training.
    """

    seed: tf.Tensor
    replica: tf.Tensor
    replicas: int = 1
    workers: int = 1
    step: tf.Tensor | int = 0

    def _named(self, name: str) -> tf.Tensor:
        return tf.random.experimental.stateless_fold_in(self.seed, zlib.crc32(name.encode()) & 0x7FFFFFFF)

    def _mine(self, everything: tf.Tensor, batch: tf.Tensor | int) -> tf.Tensor:
        if self.replicas == 1:
            return everything
        local = self.replicas // self.workers
        start = self.replica // local + self.workers * (self.replica % local) * batch
        return everything[start : start + self.workers * batch : self.workers]

    def uniform(self, name: str, shape: tuple, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """float32 `shape`, U[low, high); `shape[0]` is this replica's batch."""
        whole = (shape[0] * self.replicas, *shape[1:])
        return self._mine(tf.random.stateless_uniform(whole, self._named(name), low, high), shape[0])

    def normal(self, name: str, shape: tuple) -> tf.Tensor:
        """float32 `shape`, N(0, 1); `shape[0]` is this replica's batch."""
        whole = (shape[0] * self.replicas, *shape[1:])
        return self._mine(tf.random.stateless_normal(whole, self._named(name)), shape[0])

    def integers(self, name: str, shape: tuple, low: int, high: int) -> tf.Tensor:
        """int32 `shape` in [low, high); `shape[0]` is this replica's batch."""
        whole = (shape[0] * self.replicas, *shape[1:])
        return self._mine(tf.random.stateless_uniform(whole, self._named(name), low, high, tf.int32), shape[0])

    def shared_integers(self, name: str, shape: tuple, low: int, high: int) -> tf.Tensor:
        """int32 `shape` in [low, high), one draw for the whole batch on all replicas (phase shuffle)."""
        return tf.random.stateless_uniform(shape, self._named(name), low, high, tf.int32)


@dataclass(frozen=True)
class Phase:
    """One optimiser's step.

    Attributes:
        name: "critic", "generator", "critic_r1", ...: the prefix of its losses in the logs.
        networks: Names of the networks it updates; every other network is constant in it.
        losses: (batch, draws[, forward]) -> named scalars, already weighted, each a mean over this replica's batch; their sum is
            minimised.
        optimizer: Key of `recipe.optimizers`. Phases with one key share the optimiser and its slots, so they must update
            the same networks.
        every: It runs on every n-th step.
        repeats: Updates in one step, each on a fresh batch (n_critic).
        start: Its first step.
        stop: The first step at which it runs no more; None: it runs to the end.
        weight_clip: After each update, clip the weights to [-c, c]; 0 does not (WGAN).
        stage: Of a family that grows: phases of one name in several stages are one in the logs. None: there are none.
        variables: The variables that it updates, for a part of the networks; None: all of theirs.
        fresh: At its first step the optimiser forgets what it has gathered.
        forward: (batch) -> named tensors that `losses` then takes as a third argument, if neighbouring phases of a step have the same:
            a pass of a network that none of them changes before the last. It runs once for all of them. `losses` without a third argument
            computes the same by itself, as it does in a phase of several repeats and on several devices.
    """

    name: str
    networks: tuple[str, ...]
    losses: Callable[..., Losses]
    optimizer: str = "generator"
    every: int = 1
    repeats: int = 1
    start: int = 0
    stop: int | None = None
    weight_clip: float = 0.0
    stage: int | None = None
    variables: Callable[[], list[keras.Variable]] | None = None
    fresh: bool = False
    forward: Callable[[Batch], dict[str, tf.Tensor]] | None = None

    @property
    def key(self) -> str:
        """Names it among all phases."""
        return self.name if self.stage is None else f"{self.name}@{self.stage}"

    def active(self, step: int) -> bool:
        """Whether it runs at this step (counted from 0). Decided on the host: a Python number inside a graph freezes."""
        return step >= self.start and step % self.every == 0 and (self.stop is None or step < self.stop)


class Family(Protocol):
    """A family: built from (recipe, data set facts), the same at training and at inference."""

    recipe: Recipe
    info: DatasetInfo
    networks: dict[str, keras.Model]  # every network with weights, built
    averaged: tuple[str, ...]  # networks whose moving average is kept and shipped

    def phases(self) -> tuple[Phase, ...]:
        """The phases in the order in which a step runs them."""
        ...

    def batch_features(self) -> BatchFeatures: ...

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """Fixed examples for samples/<step>/: float32 [clips, samples, channels], the same inputs at every step."""
        ...

    def inference_model(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        """The self-contained model that is saved as `model/<name>.keras` and used by the verb, statistics included."""
        ...


@runtime_checkable
class BeginsWithData(Protocol):
    """A family that takes something of the data itself: a reference batch, fixed mixtures for its previews."""

    def begin(self, source: Source) -> None:
        """Called at every start of a training, before a resumed run's weights are restored: what it sets in a network is a
        first value. It reads the same of the same data, on every machine."""
        ...


@runtime_checkable
class FollowsSteps(Protocol):
    """A family whose networks know how far training is, for what they show: those that grow."""

    def begin_step(self, step: int) -> None:
        """Called before each step, with its number: a pure function of it."""
        ...


@runtime_checkable
class ComparedPreviews(Protocol):
    """A family whose previews are heard beside what they were made from."""

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """Name -> float32 [n, samples, channels], n <= clips: clip i belongs to clip i of `preview(networks, clips)`. "clean" is what
        it should be, "noisy" what it was."""
        ...


@runtime_checkable
class MeasuredPreviews(Protocol):
    """A family that knows figures of its previews beyond those of any generator."""

    def preview_figures(self, clips: np.ndarray) -> Mapping[str, float]:
        """`preview/...` figures of the clips that `preview` has just given, all of them: logged, and good for `training.best_metric`."""
        ...


def provenance_of(recipe: Recipe, info: DatasetInfo) -> dict[str, Any]:
    """Where a model comes from, as it is kept in the model and in what the model makes."""
    return {
        "software": f"gan-audio {__version__}",
        "family": recipe.family,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "data": info.fingerprint,
    } | ({"consent": info.consent} if info.consent else {})


def in_parts(function: Callable[[dict[str, tf.Tensor]], tf.Tensor], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Apply a function of a batch to at most `PREVIEW_BATCH` examples at a time and join the results: bounds the memory of a preview."""
    count = len(next(iter(inputs.values())))
    parts = [slice(start, start + PREVIEW_BATCH) for start in range(0, count, PREVIEW_BATCH)]
    return np.concatenate([function({k: tf.constant(v[part]) for k, v in inputs.items()}).numpy() for part in parts])
