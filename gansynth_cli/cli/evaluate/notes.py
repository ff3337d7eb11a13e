"""`gan-audio evaluate notes`: pitch and instrument of generated notes."""

from __future__ import annotations

from .. import console
from . import options
from .reporting import reporting


def command(
    data: options.Data,
    folders: options.Folders = None,
    clips: options.Clips = 0,
    seed: options.Seed = 0,
    retrain: options.Retrain = False,
    cache: options.Cache = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    format: options.Format = None,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Measure whether generated notes have the intended pitch and instrument, along with the data set's own notes.

    The conditions are read from the manifest that `generate` writes, else from the pitches in the file names.
    """
    sink = reporting(output, overwrite, format, json_output, quiet)
    console.start_tensorflow()
    from ...metrics.clips.note_report import evaluate_notes

    report = evaluate_notes(folders or [], data, clips=clips, seed=seed, retrain=retrain, cache=cache, progress=console.progress)
    return sink.finish(report, failed_is_error=False)  # notes that cannot be read are counted as wrong
