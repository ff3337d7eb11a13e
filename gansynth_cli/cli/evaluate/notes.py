"""`gan-audio evaluate notes`: pitch and instrument of generated notes."""

from __future__ import annotations

from .. import console
from ..options import with_options
from . import options
from .reporting import Reporting


@with_options(Reporting)
def command(
    data: options.Data,
    folders: options.Folders = None,
    clips: options.Clips = 0,
    seed: options.Seed = 0,
    retrain: options.Retrain = False,
    cache: options.Cache = None,
    *,
    report: Reporting,
) -> int:
    """Measure whether generated notes have the intended pitch and instrument, along with the data set's own notes.

    The conditions are read from the manifest that `generate` writes, else from the pitches in the file names.
    """
    report.start()
    console.start_tensorflow()
    from ...metrics.clips.note_report import evaluate_notes

    found = evaluate_notes(folders or [], data, clips=clips, seed=seed, retrain=retrain, cache=cache, progress=console.progress)
    return report.finish(found, failed_is_error=False)  # notes that cannot be read are counted as wrong
