"""`gan-audio evaluate clips`: generated clips against a data set."""

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
    data: options.Data,
    folders: options.Folders = None,
    labels_from: Annotated[
        str,
        typer.Option("--labels-from", metavar="auto|manifest|folder|pattern|none", help="Where the intended class of a clip comes from."),
    ] = "auto",
    label_pattern: Annotated[
        str, typer.Option("--label-pattern", help="Regular expression with the group label, e.g. '(?P<label>\\w+?)_'.")
    ] = "",
    clips: options.Clips = 0,
    splits: Annotated[int, typer.Option("--splits", min=1, help="Average the Inception Score over N random parts.", metavar="N")] = 1,
    bins: Annotated[int, typer.Option("--bins", min=2, help="Cells of NDB; fewer if the train split is small.", metavar="N")] = 50,
    closest: Annotated[
        int, typer.Option("--closest", min=0, help="List the N clips nearest to a training clip in the report.", metavar="N")
    ] = 10,
    pitch_labels: Annotated[
        bool, typer.Option("--pitch-labels", help="The labels are pitches: train the classifier without changes of speed.")
    ] = False,
    seed: options.Seed = 0,
    retrain: options.Retrain = False,
    cache: options.Cache = None,
    *,
    report: Reporting,
) -> int:
    """Measure folders of generated clips against a data set, along with its held-out and training clips and white noise.

    Without a folder the data set's own clips are measured: what a perfect generator could reach.
    """
    report.start()
    if not folders and Path("clips").is_dir():
        console.warn(
            f"no folder is given, so only the data set is measured. For the folder clips: gan-audio evaluate clips clips --data {data}"
        )
    console.start_tensorflow()
    from ...metrics.clips.report import evaluate_clips

    found = evaluate_clips(
        folders or [],
        data,
        labels_from=labels_from,
        label_pattern=label_pattern,
        clips=clips,
        splits=splits,
        bins=bins,
        closest=closest,
        seed=seed,
        pitch_labels=pitch_labels,
        retrain=retrain,
        cache=cache,
        progress=console.progress,
    )
    return report.finish(found, failed_is_error=False)  # clips that cannot be read are counted as wrong
