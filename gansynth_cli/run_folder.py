"""The folder of a training run: its layout, and the lock of the process that writes. Imports no TensorFlow.

recipe.toml         the resolved recipe
manifest.json       versions, git revision, seed, data fingerprint, command, parameter counts, start and end
dataset_info.json   the facts of the data set, without its sources, so a trained model never needs its data again
metrics.jsonl       one JSON object per line: losses, rates, preview metrics, each with its step
events/             TensorBoard
checkpoints/        step-00001000.npz ..., best.npz
samples/<step>/     fixed previews
model/              generator.keras (averaged weights), generator-best.keras
README.md           the model card
run.lock            held by the training process; contains its number
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from . import files
from .data.dataset_info import DatasetInfo, read_dataset_info
from .errors import RunError
from .recipe import diff_recipes, recipe_from_toml, recipe_to_toml
from .recipe_schema import Recipe

try:
    import fcntl
except ImportError:  # Windows: two processes in one run are not detected
    fcntl = None  # type: ignore[assignment]

_ARCHITECTURE = ("family", "data.sample_rate", "data.channels", "data.clip_samples")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file of a run to, as `files.replacing` does.

    Raises:
        RunError: The file cannot be written.
    """
    try:
        with files.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}.", hint="free some space or choose another folder with --run"
        ) from error


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write_text(text, encoding="utf-8", errors="surrogateescape")


class RunFolder:
    """The paths and facts of a run. Opening for training locks the folder; reading does not.

    Attributes:
        path: The folder.
        recipe: The recipe, once loaded or opened.
        info: The facts of the data set, once loaded or opened.
        manifest: The content of `manifest.json`.
        resumed: Whether the folder held a run when it was opened for training.
        changes: On resuming, the recipe keys that differ from the run's, with the old and new values. They apply, and are recorded, from
            the first step that is taken (`record_training`).
        new_data: On resuming, the facts of the data set if it is not the one that the run was last trained on.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.recipe: Recipe  # set by `open_for_training` and `load`
        self.info: DatasetInfo
        self.manifest: dict[str, Any] = {}
        self.resumed = False
        self.changes: dict[str, tuple[Any, Any]] = {}
        self.new_data: DatasetInfo | None = None
        self._lock: IO[str] | None = None

    # Layout.

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def manifest_file(self) -> Path:
        return self.path / "manifest.json"

    @property
    def dataset_info_file(self) -> Path:
        return self.path / "dataset_info.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def events_dir(self) -> Path:
        return self.path / "events"

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    def samples_dir(self, step: int) -> Path:
        return self.path / "samples" / f"{step:08d}"

    @property
    def model_dir(self) -> Path:
        return self.path / "model"

    def model_file(self, name: str) -> Path:
        return self.model_dir / f"{name}.keras"

    @property
    def card_file(self) -> Path:
        return self.path / "README.md"

    @property
    def lock_file(self) -> Path:
        return self.path / "run.lock"

    # Opening.

    @classmethod
    def load(cls, path: Path) -> RunFolder:
        """Open a run for reading, also while another process trains it.

        Raises:
            RunError: The folder does not exist or is not a run.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(f"{path} does not exist; expected a run folder.", hint="gan-audio train --recipe NAME --data DATA --run RUN")
        if not run.recipe_file.is_file():
            raise RunError(
                f"{path} is not a run folder: it has no recipe.toml.",
                hint="a run folder is created by gan-audio train, such as runs/wavegan-small",
            )
        run.recipe = recipe_from_toml(run.recipe_file)
        if not run.dataset_info_file.is_file():
            raise RunError(f"{path} is damaged: dataset_info.json is missing.", hint="copy the run again, or start again with --restart")
        run.info = read_dataset_info(run.dataset_info_file)
        run.manifest = _read_json(run.manifest_file)
        return run

    @classmethod
    def open_for_training(
        cls, path: Path, recipe: Recipe, info: DatasetInfo, *, restart: bool = False, command: Sequence[str] = ()
    ) -> RunFolder:
        """Create the folder, or resume the run in it, and lock it until `close` or the end of the process.

        Args:
            path: The folder.
            recipe: The recipe. On resuming, budgets, learning rates and the like may differ from the run's.
            info: Facts of the data set. On resuming, the run's own copy counts, so that the statistics stay those of training; use
                `RunFolder.info`.
            restart: Delete the files of the run and start again.
            command: The command line, for the manifest.

        Raises:
            RunError: Another process trains the run, the folder has other content or cannot be written, or the architecture, the seed or
                the labels differ from the run's.
        """
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            if not run.recipe_file.is_file():
                # A start that was cut leaves the lock and what `_write_start` writes before the recipe; it is begun again.
                begun = run.lock_file.is_file()
                own = {run.lock_file.name, *((run.dataset_info_file.name, run.manifest_file.name) if begun else ())}
                strangers = sorted(p.name for p in run.path.iterdir() if p.name not in own and not p.name.startswith("."))
                if strangers:
                    raise RunError(
                        f"{path} has other files ({', '.join(strangers[:3])}) and no recipe.toml: it is not a run folder.",
                        hint="choose another folder with --run",
                    )
            run._acquire()
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"{path} cannot be used as a run folder: {reason}.", hint="choose another folder with --run") from error
        try:
            for folder in (run.path, run.checkpoints_dir, run.model_dir):
                files.remove_unfinished(folder)
            if restart:
                run._clear()
            run.recipe, run.info = recipe, info.without_sources()
            if run.recipe_file.is_file():
                run._resume(recipe, info)
            run._write_start(command)
        except BaseException:
            run.close()
            raise
        return run

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def discard(self) -> None:
        """Delete a new run whose networks could not be built, so that the corrected command finds no run of the wrong settings; leave a
        resumed run as it is. Releases the lock."""
        if not self.resumed and self._lock is not None:
            self._clear()
            self.lock_file.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.path.rmdir()
        self.close()

    def _acquire(self) -> None:
        # The kernel releases a flock when its process dies in any way; a lock file alone would outlive a kill.
        lock = self.lock_file.open("a+", encoding="ascii")
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                lock.close()
                raise RunError(
                    f"{self.path} is in use: process {holder} is training it.",
                    hint="wait for it, stop it, or choose another folder with --run",
                ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _clear(self) -> None:
        for folder in (self.events_dir, self.checkpoints_dir, self.path / "samples", self.model_dir):
            shutil.rmtree(folder, ignore_errors=True)
        # The recipe is deleted last: until then an interrupted deletion still looks like a run and can be restarted again.
        report = self.path / "report.html"
        for file in (self.metrics_file, self.manifest_file, self.dataset_info_file, self.card_file, report, self.recipe_file):
            file.unlink(missing_ok=True)

    def _resume(self, recipe: Recipe, info: DatasetInfo) -> None:
        before = recipe_from_toml(self.recipe_file)
        self.changes = diff_recipes(before, recipe)
        broken = {k: v for k, v in self.changes.items() if k in _ARCHITECTURE or k.startswith("model.")}
        if broken:
            listed = "\n".join(f"  {key}: the run has {old!r}, requested is {new!r}" for key, (old, new) in broken.items())
            raise RunError(
                f"{self.path} has a run with another architecture:\n{listed}",
                hint="choose another folder with --run, or start again with --restart, which deletes the run",
            )
        if "seed" in self.changes:
            raise RunError(
                f"{self.path} is the run of seed {before.seed}; requested is seed {recipe.seed}.",
                hint=f"choose another folder with --run, such as {self.path}-seed{recipe.seed}, or start again with --restart",
            )
        self.manifest = _read_json(self.manifest_file)
        if self.dataset_info_file.is_file():
            self.info = read_dataset_info(self.dataset_info_file)
            self._require_classes(recipe, info)
            if info.fingerprint not in [found["fingerprint"] for found in self.data_sets()[-1:]]:
                self.new_data = info
                self.info = replace(self.info, consent=joined_consent(self.info.consent, info.consent))
        self.resumed = True

    def _require_classes(self, recipe: Recipe, info: DatasetInfo) -> None:
        """Raise RunError if the data set numbers the classes that condition the networks differently from the run."""
        conditions = getattr(recipe.model, "conditions", ("label",) if recipe.model.conditioning != "none" else ())
        for name in conditions:
            kept, found = (i.labels if name == "label" else i.attributes.get(name, []) for i in (self.info, info))
            if list(kept) != list(found):
                what, has = "labels" if name == "label" else f"{name} classes", ", ".join(found) or "none"
                raise RunError(
                    f"{self.path} was trained with the {what} {', '.join(kept)}; the data set {info.name} has {has}.",
                    hint=f"train on a data set with the same {what}, or choose another folder with --run",
                )

    def data_sets(self) -> list[dict[str, Any]]:
        """Return the data sets that the run was trained on, first one first: name, fingerprint, the step from which on, consent note. An
        imported run has none."""
        unrecorded = [] if "imported" in self.manifest else [_data_facts(self.info, 0)]
        return list(self.manifest.get("data_sets") or unrecorded)

    def begin_with(self, parent: RunFolder, step: int, name: str) -> None:
        """Record the run whose weights this one begins with. Its consent notes apply to this run too.

        Args:
            parent: The run.
            step: Its step.
            name: What it is called: its folder, or the file that it was imported from.
        """
        facts: dict[str, Any] = {"name": name, "recipe": parent.recipe.name or parent.recipe.family, "step": step}
        imported = parent.manifest.get("imported")
        facts |= {"imported": {key: imported[key] for key in ("program", "sources", "licence")}} if imported else {}
        facts |= {} if imported else {"data_sets": parent.data_sets()}
        facts |= {"parent": parent.manifest["parent"]} if "parent" in parent.manifest else {}
        self.info = replace(self.info, consent=joined_consent(self.info.consent, parent.info.consent))
        _write_text(self.dataset_info_file, self.info.to_json())
        self.write_manifest(parent=facts)

    def record_training(self, step: int, **facts: Any) -> None:
        """Record what the steps from `step` on are trained with: the recipe, and on resuming what has changed. Called before the first
        step, so a start that takes none leaves the record as it is.

        Args:
            step: The next step.
            facts: Further facts for the manifest.
        """
        if not self.resumed:
            facts |= {"data_sets": [_data_facts(self.info, step)]}
        elif self.new_data is not None:
            facts |= {"data_sets": [*self.data_sets(), _data_facts(self.new_data, step)]}
        if self.changes:
            entry = {"step": step, "changed": {key: list(values) for key, values in self.changes.items()}}
            facts |= {"changes": [*self.manifest.get("changes", []), entry]}
        self.write_manifest(**facts)
        _write_text(self.dataset_info_file, self.info.to_json())
        _write_text(self.recipe_file, recipe_to_toml(self.recipe))

    def _write_start(self, command: Sequence[str]) -> None:
        if not self.resumed:
            _write_text(self.dataset_info_file, self.info.to_json())
        started = {"command": list(command), "started": now()}
        self.manifest.setdefault("started", started["started"])
        self.manifest.setdefault("command", started["command"])
        self.manifest.setdefault("starts", []).append(started)
        self.manifest["finished"] = None
        self.manifest["state"] = "running"
        self.write_manifest()
        if not self.resumed:  # the recipe is written last: it makes the folder a run, complete from then on
            _write_text(self.recipe_file, recipe_to_toml(self.recipe))

    # Writers.

    def write_manifest(self, **facts: Any) -> None:
        """Add facts to `manifest.json` and write it."""
        self.manifest.update(facts)
        _write_text(self.manifest_file, files.json_text(self.manifest, default=str))

    def write_card(self, text: str) -> None:
        """Write the model card."""
        _write_text(self.card_file, text)

    def append_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line to `metrics.jsonl` in one write: after a crash, at most the last line is incomplete."""
        line = json.dumps({"step": step, **{k: _number(v) for k, v in values.items()}}) + "\n"
        try:
            with self.metrics_file.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise RunError(f"{self.metrics_file} cannot be written: {error.strerror or error}.", hint="free some space") from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the lines of `metrics.jsonl`, without damaged ones and an incomplete last one."""
        if not self.metrics_file.is_file():
            return []
        lines = []
        for line in self.metrics_file.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # a log is no reason to refuse a run
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                lines.append(entry)
        return lines

    def rewind(self, step: int) -> None:
        """Delete the metrics and previews after `step`, where a resumed run continues and writes them again."""
        kept = [entry for entry in self.read_metrics() if entry["step"] <= step]
        _write_text(self.metrics_file, "".join(json.dumps(entry) + "\n" for entry in kept))
        for folder in (self.path / "samples").glob("[0-9]*"):
            if folder.name.isdigit() and int(folder.name) > step:
                shutil.rmtree(folder, ignore_errors=True)


def joined_consent(*notes: str) -> str:
    """Join consent notes, each once."""
    return "\n".join(dict.fromkeys(line for note in notes for line in [note.strip()] if line))


def _data_facts(info: DatasetInfo, step: int) -> dict[str, Any]:
    facts = {"name": info.name, "fingerprint": info.fingerprint, "from_step": step}
    return facts | ({"consent": info.consent} if info.consent else {})


def now() -> str:
    """Return the time in UTC, ISO 8601, whole seconds."""
    return datetime.fromtimestamp(int(time.time()), UTC).isoformat()


def _number(value: Any) -> float | int | None:
    """Convert a number to one that JSON can represent: NaN and infinity cannot be."""
    if isinstance(value, int):
        return value
    value = float(value)
    return value if value - value == 0 else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    for key, kind in (("starts", list), ("changes", list), ("data_sets", list), ("parent", dict), ("imported", dict)):
        if not isinstance(content.get(key, kind()), kind):  # damaged: a record is no reason to refuse a run
            del content[key]
    return content
