"""Parts of a job through Apache Beam: on this machine by its direct runner, elsewhere on Dataflow, Flink or Spark by Beam's own options.

An element of the pipeline is a part, and what is done with it is what `--part` does. So the files are the same whoever runs them, a part
that is finished is not done again, and the workers need this package, the inputs, and the place of the outputs: a file system that all
share, or an object store. Needs apache-beam (extra `beam`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import GanAudioError, MissingExtraError, UsageError
from .files import read_json, write_text
from .parts import MAX_PARTS, Part
from .stores.store import Store, url_of

LOCAL = "local"
PARTS = 16
_QUIET = "--default_sdk_harness_log_level=ERROR"
REPORTS = ".beam-reports"  # folder beside the outputs, hidden from whoever lists recordings
_COLLAPSED = re.compile(r"((?:--[\w-]+=)?[a-z][a-z0-9+]+):/(?=[^/])(.*)", re.DOTALL)  # of a path: gs:/bucket


def parse_runner(text: str) -> int:
    """Return the number of parts of `--runner beam:PARTS`, 0 for `local`.

    Raises:
        UsageError: It is neither.
    """
    found = re.fullmatch(r"beam(?::([1-9]\d{0,4}))?", text)
    if text != LOCAL and not found:
        raise UsageError(f"--runner is {text!r}; expected local, beam, or beam:PARTS with 1 to {MAX_PARTS} parts.", hint="--runner beam:64")
    return int(found[1] or PARTS) if found else 0


def split_options(given: Iterable[str | os.PathLike]) -> tuple[list[str], list[str]]:
    """Return the inputs, and Beam's options, which begin with the first word that begins with `--` (behind `--` on the command line)."""
    words = [os.fspath(word) for word in given]
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return words[:first], [_COLLAPSED.sub(r"\1://\2", word) for word in words[first:]]


def absolute(given: str | os.PathLike) -> str:
    """Return a path as other processes find it, a URL as it is."""
    return url_of(given) or str(Path(given).absolute())


def run_parts(work: Callable[[Part], Any], count: int, reports: str, options: Sequence[str]) -> list[Any]:
    """Do all parts of a job through Beam.

    Args:
        work: Does a part and returns JSON; it is pickled.
        count: Number of parts.
        reports: Folder, a path or URL, for what `work` returns; it is deleted.
        options: Beam's own, such as `--runner=DataflowRunner`.

    Returns:
        What `work` returned, in the order of the parts.

    Raises:
        MissingExtraError: apache-beam is not installed.
        UsageError: Beam refuses the options.
        GanAudioError: A part failed, or the pipeline.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise MissingExtraError("--runner beam", "beam") from error
    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # pages of notes on options that nobody gave
    try:
        chosen = PipelineOptions([_QUIET, *options])
        unknown = chosen.get_all_options(retain_unknown_options=False) and _unknown(chosen, options)
    except SystemExit as error:  # argparse
        raise UsageError(f"Apache Beam refuses its options: {' '.join(options)}.") from error
    if unknown:
        raise UsageError(f"Apache Beam has no option {unknown}.", hint="options behind -- are Beam's; gan-audio's go in front of it")
    try:
        pipeline = beam.Pipeline(options=chosen)
    except (ValueError, ImportError) as error:  # no such runner, or its packages are missing
        raise UsageError(f"Apache Beam: {error}", hint="-- --runner=DirectRunner, or FlinkRunner, SparkRunner, DataflowRunner") from error
    numbers = pipeline | "Parts" >> beam.Create(range(1, count + 1)) | "Share" >> beam.Reshuffle()
    _ = numbers | "Work" >> beam.Map(_do, work=work, count=count, reports=reports)
    try:
        pipeline.run().wait_until_finish()
    except GanAudioError:
        raise
    except Exception as error:  # runners raise errors of their own
        raise GanAudioError(
            f"Apache Beam ended with {type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}",
            hint="run the same command again: parts that are finished are not done again",
        ) from error
    return _collect(reports, count)


def _unknown(chosen: Any, options: Sequence[str]) -> str:
    """The first option that no part of Beam knows."""
    known = {name.replace("-", "_") for name in chosen.get_all_options()} | {"runner"}
    names = (word[2:].partition("=")[0].replace("-", "_") for word in options if word.startswith("--"))
    return next((f"--{name}" for name in names if name not in known and name.removeprefix("no_") not in known), "")


def _do(number: int, work: Callable[[Part], Any], count: int, reports: str) -> int:
    """Do one part in a worker and store what came out; a foreseen failure comes out too, and does not stop the others."""
    try:
        outcome = {"result": work(Part(number, count))}
    except GanAudioError as error:
        outcome = {"message": error.message, "hint": error.hint or ""}
    text = json.dumps(outcome)
    if not url_of(reports):
        write_text(Path(reports, _name(number)), text)
        return number
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        path.write_text(text, encoding="utf-8")
        Store(reports).upload(path, _name(number))
    return number


def _name(number: int) -> str:
    return f"{number:05d}.json"


def _collect(reports: str, count: int) -> list[Any]:
    """Read and delete the reports of all parts; raise the first failure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch if url_of(reports) else reports)
        names = [_name(number) for number in range(1, count + 1)]
        if url_of(reports):
            Store(reports).download([(name, folder / name) for name in names])
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise GanAudioError(
                f"The workers of Apache Beam left no report of {len(missing)} of {count} parts in {reports}.",
                hint="they need a place that they share with this machine: a network file system, or an object store",
            )
        found = [read_json(folder / name) for name in names]
        for name in names:
            if url_of(reports):
                Store(reports).delete(name)
            else:
                (folder / name).unlink()
        if not url_of(reports):
            folder.rmdir()
    if failed := [(number, entry) for number, entry in enumerate(found, 1) if "result" not in entry]:
        number, entry = failed[0]
        more = f" ({len(failed)} parts failed)" if len(failed) > 1 else ""
        raise GanAudioError(f"Part {number}/{count}: {entry['message']}{more}", hint=entry["hint"] or None)
    return [entry["result"] for entry in found]
