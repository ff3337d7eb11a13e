"""Options that several sub-commands of `evaluate` share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_REPORT = "Report"

Folders = Annotated[list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Folders to measure, each one a row of the table.")]
Data = Annotated[Path, typer.Option("--data", metavar="DATA", help="The prepared data set to compare with.")]
Clips = Annotated[
    int, typer.Option("--clips", min=0, metavar="N", help="Evaluate at most N randomly chosen clips per folder. (default: all)")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the classifier and of random choices.")]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train the classifier again although one is cached.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="FOLDER", help="Where to keep the classifier. (default: below the data set)")
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        metavar="NAME,...",
        help="Figures such as pesq,stoi,composite,dnsmos; or enhancement, synthesis, all. `evaluate figures pairs` lists them.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Measure in N processes.")]

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write the whole report to FILE: JSON, or .csv or .md.", rich_help_panel=_REPORT),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.", rich_help_panel=_REPORT)]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="table|csv|md|json",
        help="What to print on stdout. (default: table)",
        rich_help_panel=_REPORT,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Same as --format json.", rich_help_panel=_REPORT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the report, warnings and errors.", rich_help_panel=_REPORT)]
