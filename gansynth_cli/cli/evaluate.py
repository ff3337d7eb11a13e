"""`gan-audio evaluate`: measures sets of generated clips against real recordings."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import typer

from ..errors import GanAudioError, UsageError
from . import console


def command(
    clips: list[Path] = typer.Argument(
        None, metavar="[CLIPS]...", help="Folders of clips; each is one column. Without any: the real clips alone."
    ),
    data: Path = typer.Option(..., "--data", help="The prepared data set to compare with."),
    output: Path | None = typer.Option(None, "-o", "--output", help="Write the whole report there, as JSON."),
    labels_from: str = typer.Option(
        "auto", "--labels-from", metavar="auto|manifest|folder|pattern|none", help="What says which class a clip should be."
    ),
    label_pattern: str = typer.Option("", "--label-pattern", help="Regular expression with the group label, e.g. '(?P<label>[a-z]+)_'."),
    limit: int = typer.Option(0, "--clips", min=0, help="Take at most so many clips of each folder, at random. [default: all]"),
    splits: int = typer.Option(1, "--splits", min=1, help="Average the Inception Score over so many random parts."),
    bins: int = typer.Option(50, "--bins", min=2, help="Cells of NDB; fewer where the train split is small."),
    closest: int = typer.Option(10, "--closest", min=0, help="How many of the clips nearest to a training clip the report lists."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of the classifier, the cells, the noise and the choice of clips."),
    pitch_labels: bool = typer.Option(
        False, "--pitch-labels", help="The labels are pitches: train the classifier without changes of speed."
    ),
    retrain: bool = typer.Option(False, "--retrain", help="Train the classifier again though it is cached."),
    cache: Path | None = typer.Option(None, "--cache", help="Folder that keeps the classifier. [default: below the data set]"),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing report."),
    json_output: bool = typer.Option(False, "--json", help="Print the report as JSON on stdout, not as a table."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing but warnings and errors."),
) -> None:
    """Measure sets of generated clips against real recordings. docs/evaluate.md defines every figure."""
    console.configure(quiet=quiet, json_output=json_output)
    if output is not None and output.exists() and (output.is_dir() or not overwrite):
        kind = "is a folder; expected a file name" if output.is_dir() else "exists already"
        raise UsageError(f"The report {output} {kind}.", hint="add --overwrite, or choose another name with -o")

    console.start_tensorflow()
    from ..metrics.report import EvaluateOptions, evaluate, table_rows

    options = EvaluateOptions(
        labels_from=labels_from,
        label_pattern=label_pattern,
        splits=splits,
        bins=bins,
        clips=limit,
        seed=seed,
        pitch_labels=pitch_labels,
        retrain=retrain,
        cache=cache,
        closest=closest,
    )
    report = evaluate(clips or [], data, options, console.progress)
    if output is not None:
        _write(output, report)
    if not json_output:
        columns, rows = table_rows(report)
        console.table("", columns, rows, to_stdout=True)
        _talk(report)
    console.result(report)
    if output is not None:
        console.say(f"report: {output}")


def _talk(report: dict[str, Any]) -> None:
    judge = report["classifier"]
    if judge is not None:
        console.say(
            f"classifier {judge['hash'][:12]} (version {judge['version']}, seed {judge['seed']}): "
            f"{judge['accuracy']:.1%} of the {judge['accuracy_on']} clips right"
        )
    for entry in report["sets"]:
        for pair in [pair for pair in entry.get("closest", []) if pair["copy"]][:3]:
            console.warn(f"{entry['name']}: {pair['clip']} is nearly a copy of {pair['training_clip']} (distance {pair['distance']:.3f})")
    for note in report["notes"]:
        console.say(f"note: {note}")


def _write(path: Path, report: dict[str, Any]) -> None:
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise GanAudioError(f"The report {path} cannot be written: {error.strerror}.", hint="choose another place with -o") from error
    finally:
        temporary.unlink(missing_ok=True)
