"""`gan-audio evaluate RUN --copy-synthesis recordings/`: vocoders, and Griffin-Lim, say recordings again, and are compared with them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..inference.files.job import Outcome
    from ..inference.vocode.task import VocodeTask

BASELINE = "griffin-lim"


def compare(runs: Sequence[Path], recordings: Path, keep: Path | None, metrics: str, jobs: int) -> dict[str, Any]:
    """The report of `metrics.pair_report`, with Griffin-Lim on the first vocoder's mel spectrograms as the baseline.

    Everything is compared at the vocoders' sample rate. A recording that a vocoder fails on is a failure of that vocoder.

    Args:
        runs: Run folders or `.keras` files.
        recordings: A folder, or one file.
        keep: Where the copies stay, a folder each; those that are there are not made again. None: they are deleted.
        metrics: As in `metrics.signal.choose`; "" takes what suits copy synthesis.
        jobs: Processes that measure.

    Raises:
        UsageError: No vocoder, two of one name, or of different sample rates; recordings that do not exist; copies among them.
    """
    if not runs:
        raise UsageError("No vocoder is given.", hint=f"gan-audio evaluate RUN --copy-synthesis {recordings}")
    if not recordings.exists():
        raise UsageError(f"The recordings {recordings} do not exist.")
    if keep is not None and keep.resolve().is_relative_to(recordings.resolve()):
        raise UsageError(f"--keep {keep} is below the recordings.", hint="choose another folder: copies would be taken for recordings")
    console.start_tensorflow()
    from ..inference.vocode.task import VocodeTask
    from ..inference.vocode.vocoders import find_vocoder
    from ..metrics.pairs.report import PairOptions, evaluate_pairs
    from ..metrics.pairs.signal import SYNTHESIS, choose

    choose(metrics, SYNTHESIS)  # refuses what it does not know before hours of work
    named: dict[str, Path] = {}
    for run in runs:
        name = run.resolve().name if run.is_dir() else run.stem
        if name in (*named, BASELINE):
            raise UsageError(f"{run} has the name of another row, {name!r}.", hint="evaluate them apart, or rename one")
        named[name] = run
    folder = nullcontext(str(keep)) if keep is not None else tempfile.TemporaryDirectory(prefix="gan-audio-")
    with folder as place:
        convention = None
        for name, run in named.items():
            task = VocodeTask(find_vocoder(run), subtype="FLOAT")
            if convention is None:
                convention = task.convention
                _say_again(VocodeTask(task.model, griffin_lim=True, subtype="FLOAT"), recordings, Path(place) / BASELINE)
            elif task.convention.sample_rate != convention.sample_rate:
                raise UsageError(
                    f"{run} works at {task.convention.sample_rate} Hz, {runs[0]} at {convention.sample_rate} Hz.",
                    hint="evaluate them apart",
                )
            _say_again(task, recordings, Path(place) / name)
        assert convention is not None
        options = PairOptions(metrics, baseline=Path(place) / BASELINE, sample_rate=convention.sample_rate, jobs=jobs)
        report = evaluate_pairs(recordings, [Path(place) / name for name in named], options, console.progress)
    report["mel"] = convention.to_dict()
    for entry in report["systems"]:
        entry["path"] = str(named.get(entry["name"], BASELINE))
    return report


def _say_again(task: VocodeTask, recordings: Path, folder: Path) -> None:
    from ..data.audio.audio_file import read_mark
    from ..inference.files.batch import run_jobs
    from ..inference.files.plan import plan_files

    folder.mkdir(parents=True, exist_ok=True)
    made = plan_files(task, [recordings], folder)
    there = [read_mark(job.target) or {} for job in made.jobs if job.target.exists()]
    task.opened()
    vocoder = task.vocoder
    task.overwrite = any(mark.get("model") != vocoder.sha256 for mark in there)
    if task.overwrite:
        console.say(f"{folder}: copies of another state of {vocoder.name} are made anew")

    def tell(outcome: Outcome) -> None:
        if outcome.status == "failed":
            console.warn(f"{vocoder.name}: {outcome.name}: {outcome.reason}")

    with console.progress(vocoder.name, round(made.seconds), "s of sound") as bar:
        advance: Callable[[float], None] = bar.advance
        run_jobs(task, made.jobs, on_audio=advance, on_outcome=tell)
    for outcome in made.failed:
        tell(outcome)
