"""`gan-audio train`: train a model from a recipe, or resume a run."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from ..recipe import find_recipe, load_recipe, recipe_from_toml
from ..recipe_schema import FAMILIES, Recipe
from . import console

if TYPE_CHECKING:
    from ..training.events import Event, TrainReport

_BUDGET = "Limits"


def command(
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="NAME", help="A shipped recipe, such as specgan/small, or a file.")] = "",
    data: Annotated[Path | None, typer.Option("--data", "-d", help="A prepared data set, or a folder of recordings.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", "-o", help="The run folder.", show_default="runs/ and the recipe's name, with - for /")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, batches and latents.", show_default="the recipe's")] = None,
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
    restart: Annotated[bool, typer.Option("--restart", help="Delete the existing run and begin again.")] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Fine-tune: begin with the weights of another run or of a published checkpoint, and its recipe, unless --recipe is given.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", "-j", help="CPU threads; 0: one for each core.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, take a few steps, estimate the cost.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")] = False,
) -> int:
    """Train a model from a recipe, or resume a run.

    The same command resumes at the newest checkpoint, also after a crash. The first limit that is reached ends training. Ctrl-C (or
    SIGTERM) ends it after the running step and saves, with exit code 130; a second one ends it at once, and the newest checkpoint
    counts.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if threads < 0:
        raise UsageError(f"--threads is {threads}; expected at least 1, or 0 for one for each core.")
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
        return _train(*_choose(recipe, run, changes, restart), data, init_from, restart, dry_run)


def _starting_run(path: Path) -> AbstractContextManager[Path]:
    if not path.exists() and not list(path.parent.glob(f"{path.name}.*")):  # a TensorFlow checkpoint is named by its prefix
        raise UsageError(f"--init-from {path} does not exist; expected a run folder or a published checkpoint.")
    from ..training.initialize import starting_run

    if not (path / "recipe.toml").is_file():
        console.start_tensorflow()
    return starting_run(path, console.say)


def _train(chosen: Recipe, folder: Path, data: Path | None, init_from: Path | None, restart: bool, dry_run: bool) -> int:
    if data is None:
        raise UsageError("--data is missing: a prepared data set, or a folder of recordings.", hint="gan-audio prepare INPUT... -o DATA")
    if not data.exists():
        raise UsageError(
            f"The data set {data} does not exist.", hint=f"gan-audio prepare INPUT... -o {data} --recipe {chosen.name or chosen.family}"
        )
    if dry_run:
        return _dry_run(chosen, data, folder)

    console.start_tensorflow()
    from ..training.trainer import train

    with ExitStack() as stack:
        report = train(chosen, data, folder, restart=restart, init_from=init_from, command=_command_line(), on_event=_Progress(stack))
    _show(report, chosen.family)
    return EXIT_INTERRUPTED if report.interrupted else EXIT_OK


def _choose(name: str, run: Path | None, changes: list[str], restart: bool) -> tuple[Recipe, Path]:
    """The recipe and the run folder; without a name, the run's own recipe, to resume it."""
    if name:
        chosen = load_recipe(name, changes)
        folder = run or Path("runs") / default_run_name(chosen.name or find_recipe(name).stem)
        earlier = folder / "recipe.toml"
        return load_recipe(name, changes, earlier) if earlier.is_file() and not restart else chosen, folder
    if run is None:
        raise UsageError("--recipe is missing.", hint="gan-audio recipes list")
    file = run / "recipe.toml"
    if not file.is_file():
        raise UsageError(f"--recipe is missing, and {run} holds no run to resume.", hint="gan-audio recipes list")
    return replace(load_recipe(str(file), changes), name=recipe_from_toml(file).name), run


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
    """Show the trainer's events as lines and a progress bar."""

    def __init__(self, stack: ExitStack):
        self.stack, self.shown = stack, 0
        self.bar: console.Progress | None = None

    def __call__(self, event: Event) -> None:
        if event.kind == "start":
            console.say(event.text)
            total = event.values["total"]
            self.shown = event.step
            left = None if total is None else max(0, total - event.step)
            if left != 0:
                self.bar = self.stack.enter_context(console.progress("Training", left, "steps"))
        elif event.kind == "progress" and self.bar is not None:
            wait = event.values.get("input_wait", 0.0)
            note = event.text + (f"  waiting for input {wait:.0%}" if wait > 0.05 else "")
            self.bar.advance(event.step - self.shown, f"step {event.step}  {note}")
            self.shown = event.step
        elif event.kind == "preview":
            console.say(f"step {event.step}: preview  {event.text}")
        elif event.kind == "warning":
            console.warn(event.text)
        elif event.kind == "note":
            console.say(event.text)


def _show(report: TrainReport, family: str) -> None:
    run = shlex.quote(str(report.run))
    minutes = f"{report.seconds / 60:.1f} minutes of training"
    if report.interrupted:
        console.warn(f"interrupted at step {report.step}; everything is saved in {report.run}. To continue, run the same command again.")
    else:
        console.say(f"Finished at step {report.step} (limit of {report.ended_by} reached), {minutes}.")
        if report.best:
            console.say(f"Best at step {report.best[0]}: {report.best[1]:.4g}, kept as model/generator-best.keras.")
        console.say(f"Next: gan-audio {FAMILIES[family].use.format(run=run)}")
    console.result(
        {
            "run": str(report.run),
            "step": report.step,
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

    found = dry_run(recipe, data, on_event=lambda event: console.say(event.text))
    rows = [[f"parameters of {name}", f"{count:,}"] for name, count in found.parameters.items()]
    rows += [
        ["clips to train on", f"{found.clips:,}"],
        ["seconds per step", f"{found.seconds_per_step:.3g}"],
        ["seconds to start", f"{found.start_seconds:.1f}"],
        ["steps", "no limit" if found.total_steps is None else f"{found.total_steps:,}"],
        ["whole training", "no limit" if found.total_seconds is None else console.duration(found.total_seconds)],
        ["memory", f"{found.memory_bytes / 2**30:.1f} GiB"],
    ]
    console.table(f"{recipe.name or recipe.family} on {data}, into {folder}", ["quantity", "value"], rows)
    console.say("Nothing was written.")
    console.result({"run": str(folder), **vars(found)})
    return EXIT_OK
