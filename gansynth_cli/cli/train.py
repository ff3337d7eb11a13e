"""`gan-audio train`: train a model from a recipe, or resume a run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_INTERRUPTED, EXIT_OK, GanAudioError, UsageError
from ..recipe import find_recipe, load_recipe, recipe_from_toml
from ..recipe_schema import Recipe
from ..stores.staging import local_for_process
from . import console

if TYPE_CHECKING:
    from ..training.events import Event, TrainReport

_BUDGET = "Limits"


def command(
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="NAME", help="A shipped recipe, such as specgan/small, or a file.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="A prepared data set, also in an object store; or a folder of recordings.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", "-o", help="The run folder.", show_default="runs/ and the recipe's name, - for /, and the seed if one is given"
        ),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, batches and latents.", show_default="the run's if resumed, else the recipe's")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Stop at step N; 0: no limit.", show_default="the recipe's", rich_help_panel=_BUDGET)
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Stop after X epochs; 0: no limit.", show_default="the recipe's", rich_help_panel=_BUDGET)
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after X minutes, resumed runs included; 0: no limit.", show_default="the recipe's", rich_help_panel=_BUDGET
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,N,...", help="Train one run for each seed, in RUN-seedN, and compare them.")
    ] = "",
    report: Annotated[bool, typer.Option("--report", help="Keep report.html in the run: curves, and previews to listen to.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Delete the existing run and begin again.")] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Fine-tune: begin with the weights, and the recipe unless --recipe is given, of another run, of a published checkpoint "
            "or of a bundled model by its name, such as denoiser.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", "-j", help="CPU threads; 0: one for each core.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, take a step or a few, estimate the cost.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")] = False,
) -> int:
    """Train a model from a recipe, or resume a run.

    The same command resumes at the newest checkpoint, also after a crash. The first limit that is reached ends training. Ctrl-C,
    SIGTERM or SIGHUP ends it after the running step and saves, with exit code 130; a second one ends it at once, and the newest checkpoint
    counts.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if threads < 0:
        raise UsageError(f"--threads is {threads}; expected at least 1, or 0 for one for each core.")
    if seeds and seed is not None:
        raise UsageError("--seeds cannot be combined with --seed.")
    changes = [*(set_ or []), *_budget(steps, epochs, minutes, seed)]
    if threads:  # read by TensorFlow when it starts
        os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(threads))
    with ExitStack() as stack:
        if init_from is not None:
            run = run or (None if recipe else Path("runs") / f"{init_from.stem}-tuned")
            first = stack.enter_context(_starting_run(init_from))
            if not recipe and not (run / "recipe.toml").is_file():  # type: ignore[operator]
                recipe = str(first / "recipe.toml")
            init_from = first
        if not seeds:
            return _train(*_choose(recipe, run, changes, restart), data, init_from, restart, dry_run, report)
        folders = []
        for number in _numbers(seeds):
            chosen, folder = _of_seed(recipe, run, changes, restart, number)
            console.say(f"Seed {number}: {folder}")
            if code := _train(chosen, folder, data, init_from, restart, dry_run, report):
                return code
            folders.append(folder)
        if not dry_run:
            _compare(folders)
        return EXIT_OK


def _numbers(text: str) -> list[int]:
    """Read "0,1,2"."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--seeds is {text!r}; expected whole numbers with commas between them.", hint="--seeds 0,1,2")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds is {text!r}; expected each seed once.")
    return numbers


def _of_seed(name: str, run: Path | None, changes: list[str], restart: bool, seed: int) -> tuple[Recipe, Path]:
    """The recipe and the folder of one of several seeds, whose folders all have their seed in the name."""
    if not name and run is None:
        raise UsageError("--recipe is missing.", hint="gan-audio recipes list")
    base = run if run is not None else Path("runs") / default_run_name(load_recipe(name).name or find_recipe(name).stem)
    return _choose(name, base.with_name(f"{base.name}-seed{seed}"), [*changes, f"seed={seed}"], restart)


def _compare(runs: list[Path]) -> None:
    """Show the figures of the runs on stderr, with their mean and standard deviation; stdout holds the outcome of each run."""
    from .compare import compare

    found = compare(runs)
    rows = [[row.name, *("" if value is None else value for value in row.values)] for row in found.rows if row.group == "figure"]
    if rows:
        console.table("Last figures by seed", ["figure", *found.runs], rows)
    console.say(f"Next: gan-audio compare {shlex.join(map(str, runs))}")


def _starting_run(path: Path) -> AbstractContextManager[Path]:
    from ..models.model_file import bundled_models, nothing_named

    known = path.exists() or str(path) in bundled_models()
    if not known and not list(path.parent.glob(f"{path.name}.*")):  # a TensorFlow checkpoint is named by its prefix
        message, hint = nothing_named(path, "a run folder, a published checkpoint")
        raise UsageError(f"--init-from {message}", hint=hint)
    console.start_tensorflow()
    from ..training.initialize import starting_run

    return starting_run(path, console.say)


def _train(chosen: Recipe, folder: Path, data: Path | None, init_from: Path | None, restart: bool, dry_run: bool, page: bool) -> int:
    if data is None:
        prepare = f"gan-audio prepare INPUT... -o DATA --recipe {chosen.name or chosen.family}"
        resumed = (folder / "recipe.toml").is_file()
        raise UsageError(
            "--data is missing: a prepared data set, or a folder of recordings.",
            hint=f"give what {folder} was trained on: --data DATA" if resumed else prepare,
        )
    data = local_for_process(data)
    if not data.exists():
        raise UsageError(
            f"The data set {data} does not exist.", hint=f"gan-audio prepare INPUT... -o {data} --recipe {chosen.name or chosen.family}"
        )
    if dry_run:
        return _dry_run(chosen, data, folder)

    _tell_machines()
    console.start_tensorflow()
    from ..training.trainer import train

    with ExitStack() as stack:
        progress = _Progress(stack, folder if page else None)
        report = train(chosen, data, folder, restart=restart, init_from=init_from, command=_command_line(), on_event=progress)
    if page:
        write_page(folder)
    _show(report, chosen.use)
    return EXIT_INTERRUPTED if report.interrupted else EXIT_OK


def _tell_machines() -> None:
    """Say which of the processes of a job step of SLURM this one is, before it waits for the others."""
    from ..training import slurm

    found = None if os.environ.get("TF_CONFIG", "").strip() else slurm.tf_config(os.environ)
    if found:
        workers, index = found["cluster"]["worker"], found["task"]["index"]
        console.say(f"SLURM: process {index + 1} of {len(workers)}, {workers[index]}; waiting for the others")


def _choose(name: str, run: Path | None, changes: list[str], restart: bool) -> tuple[Recipe, Path]:
    """The recipe and the run folder; without a name, the run's own recipe, to resume it.

    A seed that is not the recipe's has a folder of its own; a run that is resumed keeps its seed where none is given.
    """
    if name:
        chosen = load_recipe(name, changes)
        title = chosen.name or find_recipe(name).stem
        seeded = f"-seed{chosen.seed}" if chosen.seed != load_recipe(name).seed else ""
        folder = run or Path("runs") / f"{default_run_name(title)}{seeded}"
        earlier = folder / "recipe.toml"
        if not earlier.is_file() or restart:
            return chosen, folder
        if not any(change.partition("=")[0].strip() == "seed" for change in changes):
            changes = [*changes, f"seed={recipe_from_toml(earlier).seed}"]
        return load_recipe(name, changes, earlier), folder
    if run is None:
        raise UsageError("--recipe is missing.", hint="gan-audio recipes list")
    file = run / "recipe.toml"
    if not file.is_file():
        raise UsageError(f"--recipe is missing, and {run} holds no run to resume.", hint="gan-audio recipes list")
    return replace(load_recipe(str(file), changes), name=recipe_from_toml(file).name), run


def write_page(run: Path) -> None:
    """Write report.html into a run; training goes on where that fails."""
    from ..inference.report.page import write_report

    try:
        write_report([run], run / "report.html")
    except GanAudioError as error:
        console.warn(f"no report: {error.message}")


def default_run_name(recipe: str) -> str:
    """Return the run folder's name of a recipe: `wavegan/small` gives `wavegan-small`."""
    return recipe.replace("/", "-")


def _budget(steps: int | None, epochs: float | None, minutes: float | None, seed: int | None) -> list[str]:
    given = {"training.steps": steps, "training.epochs": epochs, "training.minutes": minutes, "seed": seed}
    for key, value in given.items():
        if value is not None and value < 0:
            raise UsageError(f"--{key.rpartition('.')[2]} is {value}; expected 0 or more.")
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def _command_line() -> list[str]:
    """The command as typed, without the program's own path."""
    return ["gan-audio", *sys.argv[1:]]


class _Progress:
    """Show the trainer's events as lines and a progress bar, which counts the budget that there is: steps or minutes."""

    def __init__(self, stack: ExitStack, page: Path | None = None):
        self.stack, self.shown, self.page = stack, 0.0, page
        self.bar: console.Progress | None = None
        self.compiling = ExitStack()
        self.in_minutes = False

    def __call__(self, event: Event) -> None:
        if event.kind == "start":
            console.say(event.text)
            self._start(event)
        elif event.kind == "compiling":
            self.compiling.enter_context(console.waiting(event.text, self.bar))
            self.stack.push(self.compiling)  # ends the ticking if the step fails
        elif event.kind == "compiled":
            self.compiling.close()
            if event.values["seconds"] >= 1.0:
                console.say(event.text)
        elif event.kind == "progress" and self.bar is not None:
            done = event.values["seconds"] / 60 if self.in_minutes else event.step
            self.bar.advance(round(done - self.shown, 2), f"step {event.step}  {_figures(event.values)}{event.text}")
            self.shown = done
        elif event.kind == "preview":
            console.say(f"step {event.step}: preview  {event.text}")
            if self.page is not None:
                write_page(self.page)
        elif event.kind == "warning":
            console.warn(event.text)
        elif event.kind == "note":
            console.say(event.text)

    def _start(self, event: Event) -> None:
        total, minutes = event.values["total"], event.values["minutes_left"]
        self.in_minutes = total is None and minutes is not None
        left = round(minutes, 2) if self.in_minutes else None if total is None else max(0, total - event.step)
        self.shown = 0.0 if self.in_minutes else event.step
        if left != 0:
            self.bar = self.stack.enter_context(console.progress("Training", left, "min" if self.in_minutes else "steps"))


def _figures(values: Mapping[str, Any]) -> str:
    """The figures in front of the losses: examples per second, peak memory, and the wait for input where it is more than 5 %."""
    parts = [f"{values['examples_per_second']:.3g} examples/s"] if "examples_per_second" in values else []
    parts += [f"{values['peak_memory_gib']:.1f} GiB"] if "peak_memory_gib" in values else []
    parts += [f"waiting for input {values['input_wait']:.0%}"] if values.get("input_wait", 0.0) > 0.05 else []
    return "".join(f"{part}  " for part in parts)


def _show(report: TrainReport, use: str) -> None:
    run = shlex.quote(str(report.run))
    minutes = f"{report.seconds / 60:.1f} minutes of training"
    if not report.step:
        why = "interrupted" if report.interrupted else f"limit of {report.ended_by} reached"
        console.warn(f"no step was taken ({why}), so {report.run} has no model yet. To continue, run the same command again.")
    elif report.interrupted:
        console.warn(f"interrupted at step {report.step}; everything is saved in {report.run}. To continue, run the same command again.")
    else:
        console.say(f"Finished at step {report.step} (limit of {report.ended_by} reached), {minutes}.")
        if report.best:
            console.say(f"Best at step {report.best[0]}: {report.best[1]:.4g}, kept as model/generator-best.keras.")
        if not report.steps_taken:
            more = f"--minutes {report.seconds / 60 + 30:.0f}" if report.ended_by == "minutes" else f"--steps {2 * report.step}"
            console.say(f"No further step was taken. To train on, raise the limit: {more}")
        console.say(f"Next: gan-audio {use.format(run=run)}")
        if report.best:
            best = shlex.quote(str(report.run / "model" / "generator-best.keras"))
            console.say(f"With the best weights: gan-audio {use.format(run=best)}")
    console.result(
        {
            "run": str(report.run),
            "step": report.step,
            "steps_taken": report.steps_taken,
            "seconds": round(report.seconds, 2),
            "ended_by": report.ended_by,
            "best": report.best,
            "parameters": report.parameters,
            "metrics": report.metrics,
        }
    )


def _dry_run(recipe: Recipe, data: Path, folder: Path) -> int:
    console.start_tensorflow()
    from ..training.dry_run import dry_run

    with ExitStack() as stack:
        found = dry_run(recipe, data, on_event=_Progress(stack))
    estimated = f" (estimated from a batch of {found.timed_batch})" if found.timed_batch < recipe.data.batch_size else ""
    rows = [[f"parameters of {name}", f"{count:,}"] for name, count in found.parameters.items()]
    rows += [
        ["clips to train on", f"{found.clips:,}"],
        ["seconds per step", f"{found.seconds_per_step:.3g}{estimated}"],
        ["seconds to start", f"{found.start_seconds:.1f}"],
        ["steps", "no limit" if found.total_steps is None else f"{found.total_steps:,}"],
        ["whole training", "no limit" if found.total_seconds is None else console.duration(found.total_seconds)],
        ["memory", "not measured" if found.memory_bytes is None else f"{found.memory_bytes / 2**30:.1f} GiB"],
    ]
    console.table(f"{recipe.name or recipe.family} on {data}, into {folder}", ["quantity", "value"], rows)
    console.say("Nothing was written.")
    console.result({"run": str(folder), **vars(found)})
    return EXIT_OK
