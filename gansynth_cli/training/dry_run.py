"""Estimate the cost of a training by taking a few steps and writing nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from ..families.base import BeginsWithData
from ..families.registry import family_class
from ..recipe_schema import Recipe
from .advice import length_warning
from .beginning import budget_in_steps, open_data
from .events import Event, OnEvent, ignore
from .learner import Learner
from .strategy import find_devices

_TIMED_STEPS = 3  # of each kind, after the first, which compiles the function
_QUICK_SECONDS = 2.0  # a step that takes longer is timed once
_PATIENCE_SECONDS = 30.0  # a step that would take longer is estimated from a smaller batch
_LARGE = 3_000_000  # weights from which on a CPU is tried with a smaller batch first
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
        memory_bytes: Peak of the device if it reports one, otherwise of this process, with the batch that was taken; None: not known.
        devices: Number of replicas.
        timed_batch: Examples of the batch that was timed; fewer than the recipe's where a step would have taken longer than
            `_PATIENCE_SECONDS`. The seconds per step are then scaled to the recipe's batch, which is rather too much than too little.
    """

    parameters: dict[str, int]
    clips: int
    seconds_per_step: float
    start_seconds: float
    total_steps: int | None
    total_seconds: float | None
    memory_bytes: int | None
    devices: int
    timed_batch: int


def dry_run(recipe: Recipe, data_path: Path, on_event: OnEvent | None = None) -> Estimate:
    """Check recipe and data, build the networks and take a few steps, one only where they are slow.

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

    tell = on_event or ignore
    size = recipe.data.batch_size
    large = not devices.gpu and devices.replicas == 1 and sum(learner.parameter_counts().values()) >= _LARGE
    timed_batch = max(1, size // 16) if large else size
    timer = _Timer(learner, devices.batches(make, size), tell)

    # The kinds of step once all phases have started, each with its count among `_LOOK_AHEAD` steps.
    first = max(phase.start for phase in learner.phases)
    kinds: dict[tuple[str, ...], list[int]] = {}
    for step in range(first, first + _LOOK_AHEAD):
        kinds.setdefault(tuple(phase.key for phase in learner.active_phases(step)), []).append(step)
    per_step = 0.0
    for steps in kinds.values():
        seconds = timer.seconds(steps[0], timed_batch)
        if timed_batch < size and seconds * size / timed_batch <= _PATIENCE_SECONDS:
            timed_batch = size
            seconds = timer.seconds(steps[0], size)
        per_step += seconds * size / timed_batch * len(steps) / _LOOK_AHEAD
    limits = [total * per_step] if total is not None else []
    if recipe.training.minutes:
        limits.append(60.0 * recipe.training.minutes)
    if text := length_warning(recipe, min(limits, default=None), per_step, bool(devices.gpu)):
        tell(Event("warning", 0, text))
    return Estimate(
        learner.parameter_counts(),
        source.clips_per_epoch("train"),
        per_step,
        timer.start_seconds,
        total,
        min(limits) if limits else None,
        devices.peak_memory(),
        devices.replicas,
        timed_batch,
    )


class _Timer:
    """Times steps of a learner.

    Attributes:
        start_seconds: Time to read the first batches and compile, of all that was timed.
    """

    def __init__(self, learner: Learner, batches: Iterator, tell: OnEvent):
        self.learner, self.batches, self.tell = learner, batches, tell
        self.start_seconds = 0.0

    def seconds(self, step: int, size: int) -> float:
        """Return the seconds of a step on `size` examples of a batch."""
        examples = f" of {size} examples" if size < self.learner.recipe.data.batch_size else ""
        begun = time.monotonic()
        self.tell(Event("compiling", 0, f"compiling and taking the first step{examples}"))
        self._take(step, size)
        spent = time.monotonic() - begun
        self.start_seconds += spent
        self.tell(Event("compiled", 0, f"took the first step{examples} in {spent:.0f} s", {"seconds": spent}))
        times: list[float] = []
        while len(times) < _TIMED_STEPS and (not times or times[-1] < _QUICK_SECONDS):
            begun = time.monotonic()
            self._take(step, size)
            times.append(time.monotonic() - begun)
        return sum(times) / len(times)

    def _take(self, step: int, size: int) -> None:
        whole = size == self.learner.recipe.data.batch_size
        taken = [next(self.batches) for _ in range(self.learner.batches_of(step))]
        batches = taken if whole else [{name: value[:size] for name, value in batch.items()} for batch in taken]
        self.learner.step(step, batches).values.numpy()
