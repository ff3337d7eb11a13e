"""`gan-audio import`: makes a run of a published checkpoint."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_OK
from ..recipe import parse_settings
from ..recipe_schema import FAMILIES
from . import console

if TYPE_CHECKING:
    from ..training.import_run import ImportReport


def command(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A checkpoint in its authors' layout: a file, prefix or folder.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="RUN", help="The run folder.  [default: runs/NAME]")] = None,
    as_: Annotated[str, typer.Option("--as", metavar="FAMILY", help="Take it as this family's.  [default: recognised]")] = "",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Its configuration, if that is not beside it.")] = None,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="Of its training data, where no file says it.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of its recipe; repeatable.")] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Its licence, as published; kept in the manifest and the card.")] = "",
    run_graph: Annotated[
        bool, typer.Option("--run-graph", help="Run a TorchScript program with PyTorch to compare; only if you trust it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> int:
    """Make a run of a published checkpoint, as if it had been trained here.

    Nothing that the files name is executed. The family is recognised by the names and shapes of the arrays; the configuration beside
    the file gives the sizes. `vocode`, `generate`, `enhance`, `evaluate` and `train --init-from` work on the run.
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..families.published import Answers
    from ..training.import_run import import_run

    run = output or Path("runs") / default_name(source)
    settings = [*(set_ or []), *([f"data.sample_rate={sample_rate}"] if sample_rate else [])]
    answers = Answers(sample_rate, parse_settings(settings), run_graph)
    report = import_run(
        source,
        run,
        family=as_,
        config=config,
        answers=answers,
        settings=set_ or [],
        licence=licence,
        overwrite=overwrite,
        command=["gan-audio", *sys.argv[1:]],
        say=console.say,
        before_building=console.start_tensorflow,
    )
    show(report)
    return EXIT_OK


def default_name(source: Path) -> str:
    """Name a run after its source: the folder of a file with a number for a name (UNIVERSAL_V1/g_02500000), else the file."""
    path = source.resolve()
    stem = path.name.partition(".")[0]
    says_little = stem.startswith(("g_", "checkpoint-", "model", "pytorch_model", "netG", "best_netG"))
    return (path.parent.name if says_little else stem) or "imported"


def show(report: ImportReport) -> None:
    """Print what was read, assumed and left, the proof, and the next command."""
    from ..training.import_run import imported_facts

    plan = report.plan
    for word, lines in (("read", plan.read), ("assumed", plan.assumed), ("left", plan.left)):
        for line in lines:
            console.say(f"  {word}: {line}")
    for network in plan.fresh:
        console.say(f"  {network}: not in the source; fine-tuning begins with a new one")
    for network, rate in plan.learning_rates.items():
        console.say(f"  learning rate of {network} at the end: {rate:.3g}")
    console.say(f"  licence: {report.licence}" + ("" if report.licence != "not stated" else "; --licence TEXT records it"))
    if report.proof:
        p = report.proof
        console.say(
            f"  proof: {p.runner} and the run differ by {p.difference:.2g} at most (peak {p.scale:.2g}) on {' and '.join(p.inputs)}"
        )
        for note in p.notes:
            console.say(f"  proof: {note}")
    else:
        console.say(f"  no proof: {plan.no_proof}")
    counts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in report.parameters.items())
    console.say(f"Imported into {report.run}: {report.family}, step {plan.step}, {counts} parameters.")
    console.say(f"Next: gan-audio {FAMILIES[report.family].use.format(run=shlex.quote(str(report.run)))}")
    facts: dict[str, Any] = {"run": str(report.run), "family": report.family, "recipe": report.recipe.name, "step": plan.step}
    console.result({**facts, "parameters": report.parameters, **imported_facts(report)})
