"""Checkpoints: all variables of a run in one file, written atomically, verified when read, the newest few kept."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..families.registry import family_class
from ..files import remove_unfinished
from ..run_folder import RunFolder, replacing
from .learner import Learner, numbered

_NAME = re.compile(r"step-(\d{8,})\.npz")
_FACTS = "facts.json"


class DamagedCheckpoint(RunError):
    """A checkpoint file that is not intact."""


def write_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts as a ZIP of `.npy` files (numpy's `.npz`), atomically.

    One file instead of a tf.train.Checkpoint's several: moving it into place is atomic, and the ZIP's checksums reveal a torn or
    altered file.

    Raises:
        RunError: No space or no permission to write.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FACTS, json.dumps(facts))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file of `write_checkpoint`.

    Raises:
        DamagedCheckpoint: The file is truncated, altered, or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(_FACTS))
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            # `read` takes a whole entry, so zipfile compares its checksum.
            arrays = {name[:-4]: np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False) for name in names}
    except Exception as error:  # zipfile, zlib and NumPy raise NotImplementedError, MemoryError, TokenError ... by where the bytes lead
        raise DamagedCheckpoint(f"{path} is damaged: {error or type(error).__name__}.") from error
    return arrays, facts


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: The folder of the files.
        keep: Number of newest checkpoints to keep. The best one is kept in addition.
    """

    def __init__(self, folder: Path, keep: int = 3):
        self.folder, self.keep = folder, keep

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.npz"

    @property
    def best(self) -> Path:
        return self.folder / "best.npz"

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first."""
        found = (_NAME.fullmatch(p.name) for p in self.folder.glob("step-*.npz"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Path:
        """Write a checkpoint and delete the oldest beyond `keep`."""
        path = self.path(step)
        write_checkpoint(path, arrays, {**facts, "step": step})
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)
        remove_unfinished(self.folder)
        return path

    def mark_best(self, path: Path) -> None:
        """Keep the checkpoint `path` as the best, as a hard link where the file system has them."""
        with replacing(self.best) as temporary:
            temporary.unlink()
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)

    def load_latest(self, warn: Callable[[str], None]) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Load the newest checkpoint that can be read; None if there are no checkpoints.

        Args:
            warn: Called with a message for each damaged one that was skipped.

        Raises:
            RunError: There are checkpoints, but none can be read.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return read_checkpoint(self.path(step))
            except DamagedCheckpoint as error:
                warn(f"{error.message} Using the one before.")
        if steps:
            raise RunError(f"None of the {len(steps)} checkpoints in {self.folder} can be read.", hint="start again with --restart")
        return None


def restore(
    learner: Learner,
    arrays: Mapping[str, np.ndarray],
    warn: Callable[[str], None] = lambda _: None,
    fresh: Collection[str] = (),
    deferred: Collection[str] = (),
) -> None:
    """Set every variable to its value in a checkpoint. An optimizer or averages missing there (the recipe has changed) start again,
    with a warning; a network that differs is an error.

    Args:
        learner: The learner to restore.
        arrays: The arrays of the checkpoint.
        warn: Called with a message for each part that starts again.
        fresh: Networks that the checkpoint declares missing: those that an imported model came without.
        deferred: Variables that the checkpoint leaves to the data set; they stay unchanged.

    Raises:
        RunError: A network's variable is missing or has another shape.
    """
    state = learner.state()
    groups: dict[str, list[str]] = {}
    for name in (name for name in state if name not in deferred):
        groups.setdefault("/".join(name.split("/")[:2]), []).append(name)
    averages_missing = False
    for group, names in groups.items():
        bad = [n for n in names if n not in arrays or arrays[n].shape != tuple(state[n].shape)]
        if not bad:
            for name in names:
                state[name].assign(arrays[name])
        elif group.startswith("network/") and not (group.partition("/")[2] in fresh and all(n not in arrays for n in names)):
            raise RunError(
                f"The checkpoint does not fit the networks: {bad[0]} is missing or has another shape.",
                hint="start again with --restart, or use the version of gan-audio that made the run (see its manifest.json)",
            )
        else:
            averages_missing |= group.startswith("averaged/")
            warn(f"the checkpoint has no state that fits {group}; it starts again")
    if averages_missing:
        learner.copy_to_averaged()


def restored_family(path: Path, names: Sequence[str], warn: Callable[[str], None]) -> Any:
    """Build the family of a run, with the newest checkpoint's weights in some of its networks.

    Args:
        path: A run folder.
        names: Networks to restore, such as a discriminator, which no model file holds.
        warn: Called with a message for each damaged checkpoint that was skipped.

    Raises:
        RunError: Not a run folder, no such network, or no readable checkpoint that fits.
    """
    run = RunFolder.load(path)
    family = family_class(run.recipe.family)(run.recipe, run.info)
    if missing := [name for name in names if name not in family.networks]:
        raise RunError(f"{path} has no network {missing[0]!r}; its family {run.recipe.family} has {', '.join(family.networks)}.")
    loaded = Checkpoints(run.checkpoints_dir).load_latest(warn)
    if loaded is None:
        raise RunError(
            f"{path} has no checkpoint, which holds the weights of its discriminators.", hint="train it first, or choose another run"
        )
    for name in names:
        for key, variable in numbered(f"network/{name}", family.networks[name].variables).items():
            array = loaded[0].get(key)
            if array is None or array.shape != tuple(variable.shape):
                raise RunError(f"The checkpoint of {path} does not fit its network {name}: {key} is missing or has another shape.")
            variable.assign(array)
    return family
