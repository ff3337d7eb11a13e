"""`gan-audio evaluate pairs`: recordings against their references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import UsageError
from .. import console
from ..options import with_options
from . import options
from .reporting import Reporting


@with_options(Reporting)
def command(
    reference: Annotated[
        Path,
        typer.Option("--reference", metavar="FOLDER", help="What the recordings should be. Matched by path, whatever the suffix."),
    ],
    folders: options.Folders = None,
    noisy: Annotated[
        Path | None, typer.Option("--noisy", metavar="FOLDER", help="The noisy inputs: the first row; figures are also given by SNR.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FOLDER", help="The first row, from which the difference of every other is given.")
    ] = None,
    metrics: options.Metrics = "",
    sample_rate: Annotated[
        int, typer.Option("--sample-rate", metavar="HZ", min=0, help="Compare at this rate.", show_default="each reference's own")
    ] = 0,
    align: Annotated[
        bool, typer.Option("--align", help="Shift each recording by its own delay first, in whole samples, up to 0.1 s.")
    ] = False,
    snr_bins: Annotated[
        str, typer.Option("--snr-bins", metavar="DB,...", help="Group inputs by the nearest of these.", show_default="multiples of 5")
    ] = "",
    snr_pattern: Annotated[
        str,
        typer.Option("--snr-pattern", help="Regular expression with the group snr that reads it from the file name: '_(?P<snr>-?\\d+)dB'."),
    ] = "",
    whisper: Annotated[
        Path | None, typer.Option("--whisper", metavar="FOLDER", help="Whisper model (CTranslate2) for the word error rate, --metrics wer.")
    ] = None,
    jobs: options.Jobs = 1,
    *,
    report: Reporting,
) -> int:
    """Compare folders of recordings with their references, file by file: enhanced speech with clean speech, copies with originals.

    The default figures are those of enhancement with --noisy, else those of synthesis.
    """
    report.start()
    from ...metrics.pairs.report import evaluate_pairs

    found = evaluate_pairs(
        folders or [],
        reference,
        noisy=noisy,
        baseline=baseline,
        metrics=metrics,
        sample_rate=sample_rate,
        align=align,
        snr_bins=_numbers(snr_bins),
        snr_pattern=snr_pattern,
        whisper=whisper,
        jobs=jobs,
        progress=console.progress,
    )
    return report.finish(found)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--snr-bins {text!r} cannot be read.", hint="expected numbers separated by commas, such as 0,5,10,15") from error
