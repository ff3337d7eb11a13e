"""The contents of a report: what each path is (a run, a folder of clips, a file, a report of `evaluate`), read without TensorFlow."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data.audio.find import find_audio
from ...errors import GanAudioError, UsageError
from ...files import read_json
from ...run_folder import RunFolder

MAX_STEPS = 4  # moments of a single run that are shown side by side
NOT_CURVES = ("step", "seconds", "peak_memory_gib")


@dataclass(frozen=True)
class System:
    """A column of the page: a model, a folder or a moment of training.

    Attributes:
        name: Unique on the page.
        clips: Item -> recording; items of one name in several systems stand side by side.
    """

    name: str
    clips: dict[str, Path]


@dataclass(frozen=True)
class Run:
    """What the page says of a run.

    Attributes:
        name: Unique on the page.
        facts: (title, text): recipe, seed, command, data, steps, software.
        metrics: Lines of `metrics.jsonl`, each with its step.
    """

    name: str
    facts: list[tuple[str, str]]
    metrics: list[dict[str, Any]]


@dataclass
class Contents:
    """Everything that was found.

    Attributes:
        systems, runs: As above.
        reports: (file name, report) of `evaluate`.
        problems: (path, reason) of what could not be read.
    """

    systems: list[System] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    reports: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def read_contents(paths: Sequence[Path]) -> Contents:
    """Read paths; one that is damaged is named among the problems, and the others are read.

    Raises:
        UsageError: A path does not exist.
    """
    found = Contents()
    names = unique_names(paths)
    for path, name in zip(paths, names, strict=True):
        if not path.exists():
            raise UsageError(f"{path} does not exist; expected a run, a folder of clips, a recording or a report of gan-audio evaluate.")
        try:
            if path.is_file() and path.suffix.lower() == ".json":
                found.reports.append((name, _evaluation(path)))
            elif (path / "recipe.toml").is_file() or (path / "metrics.jsonl").is_file():
                _read_run(path, name, len(paths) == 1, found)
            else:
                clips = {key_of(file, root): file for root, file in find_audio([path])}
                found.systems.append(System(name, clips))
        except GanAudioError as error:
            found.problems.append(problem_of(path, error))
    return found


def problem_of(path: Path, error: GanAudioError) -> tuple[str, str]:
    """Return a path and the reason why it cannot be read, which does not name it again."""
    return str(path), str(getattr(error, "reason", error.message)).removeprefix(f"{path}: ").removeprefix(f"{path} ")


def unique_names(paths: Iterable[Path]) -> list[str]:
    """Return the last part of each path, with as many parents as it takes to tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max((len(part) for part in parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(part)} ({number})" for number, part in enumerate(parts, 1)]


def key_of(file: Path, root: Path) -> str:
    """Return the name of an item: its place below the folder, without the suffix."""
    return file.relative_to(root).with_suffix("").as_posix()


def _read_run(path: Path, name: str, alone: bool, found: Contents) -> None:
    metrics, broken = _metrics(path / "metrics.jsonl")
    if broken:
        found.problems.append((str(path / "metrics.jsonl"), f"{broken} lines cannot be read and are left out"))
    facts: list[tuple[str, str]] = []
    try:
        facts = _facts(RunFolder.load(path))
    except GanAudioError as error:
        found.problems.append(problem_of(path, error))
    found.runs.append(Run(name, facts, metrics))
    folders = sorted(folder for folder in (path / "samples").glob("*") if folder.is_dir() and any(folder.glob("*.wav")))
    if alone and len(folders) > MAX_STEPS:
        last = len(folders) - 1
        folders = [folders[round(i * last / (MAX_STEPS - 1))] for i in range(MAX_STEPS)]
    for folder in folders if alone else folders[-1:]:
        step = int(folder.name) if folder.name.isdigit() else folder.name
        title = f"step {step}" if alone else f"{name}, step {step}"
        files = sorted(folder.glob("*.wav"))
        found.systems.append(System(title, {key_of(file, folder): file for file in files if "-" not in file.stem}))
        beside = {file.stem.split("-", 1)[1] for file in files if "-" in file.stem}
        if folder == folders[-1]:  # what previews were made from is the same at every step
            for kind in sorted(beside):
                clips = {file.stem.split("-", 1)[0]: file for file in files if file.stem.endswith(f"-{kind}")}
                found.systems.append(System(kind if alone else f"{name}, {kind}", clips))


def _metrics(file: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the lines that hold an object with a step, and the number of the others."""
    lines, broken = [], 0
    if file.is_file():
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
                values = {key: value for key, value in line.items() if _is_number(value)}
                lines.append({**values, "step": int(line["step"])})
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                broken += 1
    return lines, broken


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    recipe, manifest = run.recipe, run.manifest
    train = run.info.splits.get("train")
    command = manifest.get("command")
    seconds = manifest.get("seconds")
    facts = [
        ("recipe", f"{recipe.name or recipe.family}{f': {recipe.title}' if recipe.title else ''}"),
        ("seed", str(recipe.seed)),
        ("step", str(manifest.get("step", "no checkpoint yet"))),
        ("training time", f"{seconds / 60:.1f} minutes" if isinstance(seconds, (int, float)) else "not recorded"),
        ("data", run.info.name + (f": {train.clips} clips, {train.seconds / 60:.1f} minutes" if train else "")),
        ("sound", f"{recipe.data.sample_rate} Hz, {recipe.data.channels} channel(s)"),
        ("command", shlex.join(map(str, command)) if isinstance(command, list) else "not recorded"),
        ("software", ", ".join(f"{name} {version}" for name, version in dict(manifest.get("versions") or {}).items()) or "not recorded"),
    ]
    return [(title, " ".join(text.split())) for title, text in facts]


def _evaluation(path: Path) -> dict[str, Any]:
    try:
        report = read_json(path)
    except (OSError, ValueError) as error:
        raise GanAudioError(f"cannot be read: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("systems"), list) or not isinstance(report.get("figures"), dict):
        raise GanAudioError("is not a report of gan-audio evaluate (-o FILE.json)")
    return report
