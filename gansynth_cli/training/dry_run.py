"""Estimate the cost of a training by taking a few steps and writing nothing."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from ..families.base import BeginsWithData
from ..families.registry import family_class
from ..recipe_schema import Recipe
from .beginning import budget_in_steps, open_data
from .events import OnEvent
from .learner import Learner
from .strategy import find_devices

_TIMED_STEPS = 3  # of each kind; the first, which compiles the function, is timed separately
_LOOK_AHEAD = 64  # steps whose kinds are counted, such as one in sixteen with R1


@dataclass(frozen=True)
class Estimate:
    """The estimated cost.

    Attributes:
        parameters: Network name -> weights.
        clips: Clips in the train split.
        seconds_per_step: Mean over the kinds of step, weighted by their frequency.
        start_seconds: Time to read the first batches and compile the step.
        total_steps: The budget in steps; None without one.
        total_seconds: For that budget, without previews and checkpoints; None without one.
        memory_bytes: Peak of the device if it reports one, otherwise of this process.
        devices: Number of replicas.
    """

    parameters: dict[str, int]
    clips: int
    seconds_per_step: float
    start_seconds: float
    total_steps: int | None
    total_seconds: float | None
    memory_bytes: int
    devices: int


def dry_run(recipe: Recipe, data_path: Path, on_event: OnEvent | None = None) -> Estimate:
    """Check recipe and data, build the networks and take a few steps.

    Raises:
        GanAudioError: As `train` would.
    """
    devices = find_devices()
    source, info = open_data(recipe, data_path, on_event)
    learner = Learner(recipe, lambda: family_class(recipe.family)(recipe, info, seed=recipe.seed), devices, recipe.training.steps or None)
    source.check(learner.family.batch_features())
    if isinstance(learner.family, BeginsWithData):
        learner.family.begin(source)
    total = budget_in_steps(recipe, learner, source.clips_per_epoch("train"))
    learner.total_steps = total

    def make(worker: int, workers: int, per_replica: int) -> tf.data.Dataset:
        return source.batches(recipe, "train", seed=recipe.seed, batch_size=per_replica, shard_index=worker, shard_count=workers)

    begun = time.monotonic()
    batches = devices.batches(make, recipe.data.batch_size)

    # The kinds of step once all phases have started, each with its count among `_LOOK_AHEAD` steps.
    first = max(phase.start for phase in learner.phases)
    kinds: dict[tuple[str, ...], list[int]] = {}
    for step in range(first, first + _LOOK_AHEAD):
        kinds.setdefault(tuple(phase.key for phase in learner.active_phases(step)), []).append(step)
    start_seconds, per_step = 0.0, 0.0
    for steps in kinds.values():
        for index in range(1 + _TIMED_STEPS):
            taken = [next(batches) for _ in range(learner.batches_of(steps[0]))]
            learner.step(steps[0], taken).values.numpy()
            if index == 0:
                start_seconds += time.monotonic() - begun
                begun = time.monotonic()
        per_step += (time.monotonic() - begun) / _TIMED_STEPS * len(steps) / _LOOK_AHEAD
        begun = time.monotonic()
    seconds = [total * per_step] if total is not None else []
    if recipe.training.minutes:
        seconds.append(60.0 * recipe.training.minutes)
    return Estimate(
        learner.parameter_counts(),
        source.clips_per_epoch("train"),
        per_step,
        start_seconds,
        total,
        min(seconds) if seconds else None,
        _peak_memory(),
        devices.replicas,
    )


def _peak_memory() -> int:
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(int(tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"]) for gpu in gpus)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, KiB on Linux
