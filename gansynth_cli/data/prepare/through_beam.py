"""Prepare a data set through Apache Beam: its parts by Beam's workers, the merge here."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ... import beam
from ...parts import Part
from ...stores.store import Store, url_of
from ..dataset_info import INFO_FILE
from .job import prepare
from .parts import merge
from .report import PrepareOptions, PrepareReport


def prepare_through_beam(
    inputs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    options: PrepareOptions,
    *,
    parts: int,
    beam_options: Sequence[str] = (),
    noise: Iterable[str | os.PathLike] = (),
    **arguments: Any,
) -> PrepareReport:
    """Make the data set that `prepare` makes, the same bytes.

    Args:
        inputs, output, options, noise, arguments: As for `prepare`. The parts lie in `<output>.parts` until all is done.
        parts: Number of parts, each the work of one worker.
        beam_options: Apache Beam's own.

    Raises:
        GanAudioError: As `prepare`, `merge` and `beam.run_parts` have it.
    """
    began, place = time.monotonic(), beam.absolute(output).rstrip("/")
    if arguments.get("dry_run") or (not arguments.get("overwrite") and _is_finished(place)):
        return prepare(inputs, output, options, noise=noise, **arguments)  # says whether it is the same
    folder, jobs, progress = f"{place}.parts", arguments.pop("jobs", 0), arguments.pop("progress", None)
    given = [beam.absolute(one) for one in inputs]
    work = partial(_work, given, folder, options, [beam.absolute(one) for one in noise], arguments)
    beam.run_parts(work, parts, f"{folder}/{beam.REPORTS}", beam_options)
    report = merge([folder], output, jobs=jobs, overwrite=arguments.get("overwrite", False), progress=progress)
    report.elapsed = time.monotonic() - began
    if url_of(folder):
        remote = Store(folder)
        for name in remote.files():
            remote.delete(name)
    else:
        shutil.rmtree(folder)
    return report


def _work(inputs: list[str], folder: str, options: PrepareOptions, noise: list[str], arguments: dict[str, Any], part: Part) -> str:
    return prepare(inputs, folder, options, noise=noise, part=part, jobs=1, **arguments).status


def _is_finished(place: str) -> bool:
    return Store(f"{place}/{INFO_FILE}").kind() == "file" if url_of(place) else Path(place, INFO_FILE).is_file()
