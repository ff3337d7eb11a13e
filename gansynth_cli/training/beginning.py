"""Preparations before the first step: the data set with its statistics, and the budget in steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset_info import DatasetInfo
from ..errors import DatasetError
from ..feature_specs import BatchFeatures
from ..recipe_schema import Recipe
from .events import Event, OnEvent, ignore
from .learner import Learner


def open_data(recipe: Recipe, data_path: Path, on_event: OnEvent | None = None) -> tuple[Any, DatasetInfo]:
    """Open the data set, computing the statistics that the recipe's networks need.

    Raises:
        DatasetError: The data set is missing, damaged, too small, or does not suit the recipe.
    """
    from ..data.pipeline import open_source
    from ..data.statistics import ensure_statistics

    source = open_source(Path(data_path), recipe)
    data = recipe.data
    source.check(BatchFeatures(data.sample_rate, data.channels, data.clip_samples))  # before spending minutes on statistics
    say = on_event or ignore
    if source.frames is not None:
        source.add_frame_features(lambda text: say(Event("note", 0, text)))
    progress = lambda key: say(Event("note", 0, f"computing the statistics {key}"))
    info = ensure_statistics(source.info, source, recipe.model.statistics(data.sample_rate), progress=progress)
    if source.clips_per_epoch("train") < 1:
        raise DatasetError(f"{data_path} has no clips to train on.", hint="gan-audio info DATA")
    return source, info


def budget_in_steps(recipe: Recipe, learner: Learner, clips_per_epoch: int) -> int | None:
    """Return the step at which `training.steps` or `training.epochs` ends, whichever comes first; None without either.

    An epoch is `clips_per_epoch` clips read: with n discriminator updates per step it ends n times as soon.
    """
    limits = [recipe.training.steps] if recipe.training.steps else []
    if recipe.training.epochs:
        batches = int(np.ceil(recipe.training.epochs * clips_per_epoch / recipe.data.batch_size))
        high = 1
        while learner.batches_before(high) < batches:
            high *= 2
            if high > 1 << 40:
                break
        low = high // 2
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if learner.batches_before(middle) >= batches else (middle, high)
        limits.append(high)
    return min(limits) if limits else None
