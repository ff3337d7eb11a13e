"""`gan-audio evaluate vocoders`: vocoders, and Griffin-Lim, by what they make of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..options import with_options
from . import options
from .reporting import Reporting


@with_options(Reporting)
def command(
    recordings: Annotated[
        Path, typer.Option("--recordings", metavar="FOLDER", help="Recordings to resynthesise and to compare the copies with.")
    ],
    vocoders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN...", help="Run folders or .keras files of vocoders, or `vocoder` for the bundled one."),
    ] = None,
    metrics: options.Metrics = "",
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep the copies; up-to-date ones are not made again.")
    ] = None,
    jobs: options.Jobs = 1,
    *,
    report: Reporting,
) -> int:
    """Resynthesise recordings with each vocoder and with Griffin-Lim, and compare the copies with the recordings."""
    report.start()
    console.start_tensorflow()
    from ...inference.vocode.copy_synthesis import evaluate_vocoders

    return report.finish(evaluate_vocoders(vocoders or [], recordings, metrics=metrics, keep=keep, jobs=jobs, progress=console.progress))
