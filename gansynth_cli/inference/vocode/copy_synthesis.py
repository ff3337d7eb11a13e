"""Compare vocoders, and Griffin-Lim, by the recordings that they resynthesise from their mel spectrograms (copy synthesis)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path

from ...data.audio.audio_file import read_tag
from ...errors import UsageError
from ...metrics.pairs.figures import SYNTHESIS, choose
from ...metrics.pairs.report import evaluate_pairs
from ...metrics.report import Progress, Report, silent
from ..files.batch import run_jobs
from ..files.plan import plan_files
from .task import VocodeTask
from .vocoders import find_vocoder

BASELINE = "griffin-lim"


def evaluate_vocoders(
    vocoders: Sequence[str | PathLike],
    recordings: str | PathLike,
    *,
    metrics: str = "",
    keep: str | PathLike | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> Report:
    """Compare vocoders by copy synthesis, with Griffin-Lim on the first one's mel spectrograms as the baseline.

    Everything is compared at the vocoders' sample rate. A recording that a vocoder fails on is a failure of that vocoder.

    Args:
        vocoders: Run folders, `.keras` files, or names of bundled vocoders.
        recordings: A folder, or one file.
        metrics: As in `metrics.pairs.figures.choose`; "" takes those that suit copy synthesis.
        keep: Folder for the copies, one below it for each vocoder; up-to-date copies are not made again. None deletes them.
        jobs: Processes that measure.
        progress: (label, total, unit) -> context manager with `advance`.

    Returns:
        A report (`metrics.report`) of kind "vocoders", otherwise as of `evaluate_pairs`.

    Raises:
        UsageError: No vocoder, two of one name, or of different sample rates; recordings that do not exist; copies among them.
    """
    recordings = Path(recordings)
    if not vocoders:
        raise UsageError("No vocoder is given.", hint=f"gan-audio evaluate vocoders vocoder --recordings {recordings}")
    if not recordings.exists():
        raise UsageError(f"The recordings {recordings} do not exist.")
    if keep is not None and Path(keep).resolve().is_relative_to(recordings.resolve()):
        raise UsageError(f"--keep {keep} is below the recordings.", hint="choose another folder: copies would be taken for recordings")
    choose(metrics, SYNTHESIS)  # before hours of work
    named = _named([Path(vocoder) for vocoder in vocoders])
    notes: list[str] = []
    warnings: list[str] = []
    with nullcontext(str(keep)) if keep is not None else tempfile.TemporaryDirectory(prefix="gan-audio-") as place:
        convention = None
        for name, path in named.items():
            task = VocodeTask(find_vocoder(path), subtype="FLOAT")
            if convention is None:
                convention = task.convention
                baseline = VocodeTask(task.model, griffin_lim=True, subtype="FLOAT")
                _resynthesise(baseline, recordings, Path(place, BASELINE), progress, notes, warnings)
            elif task.convention.sample_rate != convention.sample_rate:
                raise UsageError(
                    f"{path} works at {task.convention.sample_rate} Hz, {vocoders[0]} at {convention.sample_rate} Hz.",
                    hint="evaluate them separately",
                )
            _resynthesise(task, recordings, Path(place, name), progress, notes, warnings)
        assert convention is not None
        folders = [Path(place, name) for name in named]
        report = evaluate_pairs(
            folders,
            recordings,
            baseline=Path(place, BASELINE),
            metrics=metrics,
            sample_rate=convention.sample_rate,
            jobs=jobs,
            progress=progress,
        )
    for entry in report["systems"]:
        entry["path"] = str(named.get(entry["name"], BASELINE))
    added = {"notes": [*notes, *report["notes"]], "warnings": [*warnings, *report["warnings"]]}
    return report | {"kind": "vocoders", "mel": convention.to_dict(), **added}


def _named(vocoders: list[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in vocoders:
        name = path.resolve().name if path.is_dir() else path.stem
        if name in (*named, BASELINE):
            raise UsageError(f"{path} has the name of another row, {name!r}.", hint="evaluate them separately, or rename one")
        named[name] = path
    return named


def _resynthesise(task: VocodeTask, recordings: Path, folder: Path, progress: Progress, notes: list[str], warnings: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plan = plan_files(task, [recordings], folder)
    tags = [read_tag(job.target) or {} for job in plan.jobs if job.target.exists()]
    task.opened()
    vocoder = task.vocoder
    task.overwrite = any(tag.get("model") != vocoder.sha256 for tag in tags)
    if task.overwrite:
        notes.append(f"{folder}: copies of another state of {vocoder.name} were made again")
    with progress(vocoder.name, round(plan.seconds), "s of audio") as bar:
        outcomes = run_jobs(task, plan.jobs, on_audio=bar.advance)
    for outcome in [*outcomes, *plan.failed]:
        if outcome.status == "failed":
            warnings.append(f"{vocoder.name}: {outcome.name}: {outcome.reason}")
