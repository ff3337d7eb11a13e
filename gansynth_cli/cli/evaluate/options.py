"""Options that several sub-commands of `evaluate` share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folders = Annotated[list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Folders to measure, each one a row of the table.")]
Data = Annotated[Path, typer.Option("--data", metavar="DATA", help="The prepared data set to compare with.")]
Clips = Annotated[
    int, typer.Option("--clips", min=0, metavar="N", help="Evaluate at most N randomly chosen clips per folder.", show_default="all")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the classifier and of random choices.")]
Retrain = Annotated[bool, typer.Option("--retrain", help="Train the classifier again although one is cached.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="FOLDER", help="Where to keep the classifier.", show_default="below the data set")
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        metavar="NAME,...",
        help="Figures such as pesq,stoi,composite,dnsmos; or enhancement, synthesis, all. `evaluate figures pairs` lists them.",
        show_default="enhancement where there are noisy inputs, else synthesis",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Measure in N processes.")]
