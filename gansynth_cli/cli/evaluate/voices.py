"""`gan-audio evaluate voices`: whose voice converted recordings have."""

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
    data: options.Data,
    folders: options.Folders = None,
    source: Annotated[
        Path | None, typer.Option("--source", metavar="FOLDER", help="The recordings that were converted, matched by path.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--target", metavar="FOLDER", help="The targets' own recordings of the same words.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="CSV", help="Transcripts: columns file,text.", show_default="as recognised in the source"),
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="Compute the word error rate of a recogniser of English.")] = False,
    whisper: Annotated[
        Path | None,
        typer.Option("--whisper", metavar="FOLDER", help="Whisper model (CTranslate2) for the word error rate, in any language."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="RUN", help="Also score recordings with the discriminator of this run.")
    ] = None,
    seed: options.Seed = 0,
    retrain: options.Retrain = False,
    cache: options.Cache = None,
    *,
    report: Reporting,
) -> int:
    """Measure converted recordings: whose voice they have, how far they moved from the source, whether the words are kept.

    DATA is the prepared data set of the voices.
    """
    report.start()
    if model is not None and not model.is_dir():
        raise UsageError(f"--model {model} is not a run folder: a model file does not hold the discriminator.", hint="--model runs/NAME")
    console.start_tensorflow()
    from ...metrics.voices.report import evaluate_voices

    discriminator = None
    if model is not None:
        from ...families.stargan_vc.discriminator_scores import discriminator_of
        from ...training.checkpoint import restored_family

        discriminator = discriminator_of(restored_family(model, ["critic"], console.warn))
    found = evaluate_voices(
        folders or [],
        data,
        source=source,
        target=target,
        text=text,
        words=words,
        whisper=whisper,
        seed=seed,
        retrain=retrain,
        cache=cache,
        discriminator=discriminator,
        progress=console.progress,
    )
    return report.finish(found)
