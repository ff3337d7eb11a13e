"""A run begins with the weights of another: what is taken, and what differs between the two that a listener would notice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..data.foreign import ForeignFileError
from ..errors import RunError, UsageError
from ..models.model_file import bundled_models
from ..recipe import diff_recipes
from ..run_folder import RunFolder
from .checkpoint import Checkpoints
from .import_run import WARM_UP_STEPS, import_run, published_layouts, recognise
from .learner import Learner

_PEAK_CLIPS = 32  # whose peaks are looked at
_QUIET = 0.5  # of the level that the weights have learnt with: below, they are told
_SOUND = ("model.mel.", "model.mel_normalization", "data.sample_rate", "data.channels", "data.peak")  # keys that change what is heard

Warn = Callable[[str], None]


@contextmanager
def starting_run(path: Path, say: Warn = lambda text: None) -> Iterator[Path]:
    """Give a run folder for `--init-from`: the path itself, or for a published checkpoint, a saved denoiser or the name of the bundled
    one a run that is made for the time being.

    Raises:
        UsageError: It is neither; or the user has to say more of the checkpoint, for which `gan-audio import` has options.
        ForeignFileError: The checkpoint cannot be read.
    """
    path = path if path.exists() else bundled_models().get(str(path), path)
    if (path / "recipe.toml").is_file():
        yield path
        return
    if path.is_dir():
        try:
            recognise(path, published_layouts())
        except ForeignFileError as error:
            raise UsageError(f"--init-from {path} is not a run folder, for it holds no recipe.toml; {error.message}") from error
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / path.name
        try:
            import_run(path, run, say=say)
        except UsageError as error:
            raise UsageError(error.message, hint=f"make a run of it first: gan-audio import {path} -o RUN ({error.hint})") from error
        yield run


def record_parent(run: RunFolder, path: Path) -> None:
    """Record in a new run which run's weights it begins with, at which step, and that run's consent notes."""
    parent = RunFolder.load(path)
    steps = Checkpoints(parent.checkpoints_dir).steps()
    run.begin_with(parent, steps[-1] if steps else 0, path.name)


def initialize_from(learner: Learner, path: Path, warn: Warn) -> str:
    """Takes the weights of another run, variable by variable where network, position and shape agree.

    Returns:
        A line that says what was taken.

    Raises:
        RunError: It is no run, has no checkpoint, or nothing in it fits.
    """
    run = RunFolder.load(path)
    loaded = Checkpoints(run.checkpoints_dir).load_latest(warn)
    if loaded is None:
        raise RunError(f"{path} has no checkpoint to begin with.", hint="train it first, or choose another run for --init-from")
    arrays, facts = loaded
    fresh = [name for name in facts.get("fresh", []) if name in learner.family.networks]
    taken, left, deferred = 0, [], facts.get("deferred", ())
    for name, variable in learner.state().items():
        if not name.startswith(("network/", "averaged/")) or "seed_generator" in name or name.split("/")[1] in fresh or name in deferred:
            continue
        array = arrays.get(name)
        if array is None and name.startswith("averaged/"):  # the other run kept no averages
            array = arrays.get(name.replace("averaged/", "network/", 1))
        if array is not None and array.shape == tuple(variable.shape):
            variable.assign(array)
            taken += 1
        else:
            left.append(name.partition("/")[2])
    if not taken:
        raise RunError(
            f"Nothing in {path} fits these networks: names and shapes all differ.", hint="choose a run of the same family and sizes"
        )
    if left:
        listed = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        warn(f"not taken from {path}, because it has no such variable of that shape: {listed}")
    _compare(learner, run, fresh, warn)
    return f"weights taken from {path} at step {facts.get('step')}: {taken} variables"


def _compare(learner: Learner, run: RunFolder, fresh: Sequence[str], warn: Warn) -> None:
    """Names what differs from the run whose weights are taken."""
    recipe = learner.recipe
    for key, (theirs, ours) in diff_recipes(run.recipe, recipe).items():
        if key.startswith(_SOUND):
            warn(f"{key} is {ours!r} here; the weights were trained with {theirs!r}")
    ended: dict[str, float] = run.manifest.get("imported", {}).get("learning_rates", {})
    for network, rate in ended.items():
        if network in learner.optimizers:
            begins = learner.learning_rates(0)[network]
            advice = f"; --set optimizers.{network}.learning_rate={rate:.3g} goes on from there" if begins > 2 * rate else ""
            warn(f"the learning rate of the {network} begins at {begins:.3g}; the weights were left at {rate:.3g}{advice}")
    for network in fresh:
        start = recipe.adversarial.generator_start
        advice = (
            f"the generator waits for it until step {start}"
            if start
            else f"--set adversarial.generator_start={WARM_UP_STEPS} trains it by itself first"
        )
        warn(f"the weights came without their {network}, which begins anew: {advice}")


def compare_levels(learner: Learner, path: Path, source: Any, warn: Warn) -> None:
    """Warns where the clips are much quieter than those that the weights have learnt with.

    Args:
        learner: Of the run that begins.
        path: The run folder that the weights are taken from.
        source: The data set: `clips(split, limit)`.
        warn: Told of it.
    """
    theirs, ours = RunFolder.load(path).recipe.data, learner.recipe.data
    if not theirs.peak_normalize or ours.peak_normalize:
        return
    peaks = [float(np.abs(clip).max(initial=0.0)) for clip, _ in source.clips("train", _PEAK_CLIPS)]
    peak = float(np.median(peaks)) if peaks else 0.0
    if 0 < peak < _QUIET * theirs.peak:
        warn(
            f"half of {len(peaks)} clips peak below {peak:.2g}; the weights were trained with recordings that peak at {theirs.peak:g}: "
            f"--set data.peak_normalize=recording --set data.peak={theirs.peak:g}"
        )
