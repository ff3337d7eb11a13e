"""Messages for the person who trains: what has changed on resuming, how long it will take, which batch fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..errors import TrainingStopped
from ..families.base import Batch
from ..recipe_schema import Recipe
from ..run_folder import RunFolder
from .events import Event
from .learner import Learner

LONG_HOURS = 12.0  # a training on a CPU that takes longer is warned of
_BUDGETS = ("training.steps", "training.epochs", "training.minutes")


def changed_settings(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Return the changed keys of a recipe in one line, without the budgets: "data.batch_size 4 -> 8"; empty if there are none."""
    return ", ".join(f"{key} {old!r} -> {new!r}" for key, (old, new) in changes.items() if key not in (*_BUDGETS, "name", "title"))


def resume_warnings(run: RunFolder, step: int) -> list[str]:
    """Return what is different from the steps before on resuming at `step`, one line each."""
    lines = []
    if run.new_data is not None and (before := run.data_sets()):
        lines.append(
            f"another data set from step {step} on: {run.new_data.name} ({run.new_data.fingerprint[:16]}) in place of {before[-1]['name']} "
            f"({before[-1]['fingerprint'][:16]}); both are recorded, and the statistics stay those of {run.info.name}"
        )
    if changed := changed_settings(run.changes):
        lines.append(f"changed from step {step} on: {changed}")
    return lines


def made_for_gpus(recipe: Recipe) -> str:
    """Return what to say before a recipe of a paper is trained on a CPU; empty for other recipes."""
    if not recipe.name.endswith("/base"):
        return ""
    return f"{recipe.name} has the sizes of the paper and is made for GPUs; {recipe.family}/small is made for two CPU cores"


def length_warning(recipe: Recipe, seconds_left: float | None, seconds_per_step: float, gpu: bool) -> str:
    """Return a warning if the training will take more than `LONG_HOURS` on a CPU; else an empty string."""
    if gpu or seconds_left is None or seconds_left < 3600 * LONG_HOURS:
        return ""
    hours = seconds_left / 3600
    length = f"{hours / 24:,.0f} days" if hours >= 72 else f"{hours:.0f} hours"
    advice = f"; --recipe {recipe.family}/small is made for CPUs" if recipe.name.endswith("/base") else "; --minutes 60 ends it in time"
    return f"at {seconds_per_step:.3g} s per step, this training will take about {length} on this CPU{advice}"


def largest_batch(learner: Learner, step: int, batches: Sequence[Batch], tell: Callable[[int], None] = lambda size: None) -> int:
    """Find by halving how many examples of a batch fit on the device, after a step has run out of memory; 0 if not even one does.

    The weights move: only for a training that ends here.

    Args:
        learner: The learner.
        step: The step.
        batches: Its batches.
        tell: Called with each size before it is tried.
    """
    size = learner.recipe.data.batch_size // 2
    while size:
        tell(size)
        try:
            learner.step(step, [{name: value[:size] for name, value in batch.items()} for batch in batches]).values.numpy()
        except tf.errors.ResourceExhaustedError:
            size //= 2
        else:
            return size
    return 0


def gain_over_parent(lines: Sequence[Mapping[str, Any]]) -> Event | None:
    """Compare the last `preview/si_sdr_gain` of a run with that at step 0, of the weights it began with.

    Args:
        lines: Those of `metrics.jsonl`.

    Returns:
        A note, or a warning where the run is worse; None where one of the two was not measured.
    """
    name = "preview/si_sdr_gain"
    measured = [line for line in lines if name in line]
    if not measured or measured[0]["step"] or not measured[-1]["step"]:
        return None
    before, after, step = measured[0][name], measured[-1][name], measured[-1]["step"]
    text = f"gain in SI-SDR on held-out mixtures: {before:.2f} dB before, {after:.2f} dB after {step} steps"
    if after >= before:
        return Event("note", step, text)
    return Event("warning", step, f"{text}. The model has become worse; more voices and noises, or a lower learning rate, may help")


def out_of_memory(learner: Learner, step: int, batches: Sequence[Batch], tell: Callable[[int], None]) -> TrainingStopped:
    """Return the error of a training whose device ran out of memory, with the largest batch that fits as its hint. Arguments as for
    `largest_batch`."""
    size = largest_batch(learner, step, batches, tell) if learner.devices.replicas == 1 else 0
    stopped = f"Training stopped: the device ran out of memory at step {step}"
    if size:
        return TrainingStopped(f"{stopped}; a batch of {size} fits.", hint=f"--set data.batch_size={size}")
    return TrainingStopped(f"{stopped}.", hint="a smaller model, such as --set model.dim=..., or shorter clips")
