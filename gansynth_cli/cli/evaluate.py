"""`gan-audio evaluate`: generated clips against a data set, recordings against their references, vocoders by their copies."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import typer

from ..errors import EXIT_FAILED, EXIT_OK, GanAudioError, UsageError
from . import console

_CLIPS = "Generated clips (with --data)"
_PAIRS = "Recordings that have a reference (with --reference)"
_COPIES = "Vocoders (with --copy-synthesis)"
_VOICES = "Converted recordings (with --conversion)"
_OUTPUT = "Report"
_CLIPS_ONLY = ("labels_from", "label_pattern", "limit", "splits", "bins", "closest", "seed", "pitch_labels", "retrain", "cache")
_PAIRS_ONLY = ("noisy", "baseline", "sample_rate", "metrics", "align", "snr_bins", "snr_pattern", "jobs")
_NOT_FOR_COPIES = ("noisy", "baseline", "sample_rate", "align", "snr_bins", "snr_pattern")  # of those
_VOICES_ONLY = ("source", "target", "text", "words", "model")
_NOT_FOR_VOICES = ("labels_from", "label_pattern", "limit", "splits", "bins", "closest", "pitch_labels")  # of those for clips
_MOST_LISTED = 10


def command(
    context: typer.Context,
    clips: list[Path] = typer.Argument(
        None,
        metavar="[FOLDER]...",
        help="Folders to measure: each is one column (--data; none measures the real clips alone) or one row (--reference). "
        "With --copy-synthesis: run folders or .keras files of vocoders.",
    ),
    data: Path | None = typer.Option(None, "--data", help="The prepared data set to compare generated clips with.", rich_help_panel=_CLIPS),
    labels_from: str = typer.Option(
        "auto",
        "--labels-from",
        metavar="auto|manifest|folder|pattern|none",
        help="What says which class a clip should be.",
        rich_help_panel=_CLIPS,
    ),
    label_pattern: str = typer.Option(
        "", "--label-pattern", help="Regular expression with the group label, e.g. '(?P<label>\\w+?)_'.", rich_help_panel=_CLIPS
    ),
    limit: int = typer.Option(
        0, "--clips", min=0, help="Take at most so many clips of each folder, at random. (default: all)", rich_help_panel=_CLIPS
    ),
    splits: int = typer.Option(1, "--splits", min=1, help="Average the Inception Score over so many random parts.", rich_help_panel=_CLIPS),
    bins: int = typer.Option(50, "--bins", min=2, help="Cells of NDB; fewer where the train split is small.", rich_help_panel=_CLIPS),
    closest: int = typer.Option(
        10, "--closest", min=0, help="How many of the clips nearest to a training clip the report lists.", rich_help_panel=_CLIPS
    ),
    seed: int = typer.Option(
        0, "--seed", min=0, help="Of the classifier, the cells, the noise and the choice of clips.", rich_help_panel=_CLIPS
    ),
    pitch_labels: bool = typer.Option(
        False, "--pitch-labels", help="The labels are pitches: train the classifier without changes of speed.", rich_help_panel=_CLIPS
    ),
    retrain: bool = typer.Option(False, "--retrain", help="Train the classifier again though it is cached.", rich_help_panel=_CLIPS),
    cache: Path | None = typer.Option(
        None, "--cache", help="Folder that keeps the classifier. (default: below the data set)", rich_help_panel=_CLIPS
    ),
    reference: Path | None = typer.Option(
        None,
        "--reference",
        help="What the recordings should be: clean speech, or what was re-synthesised. Matched by path, whatever the suffix.",
        rich_help_panel=_PAIRS,
    ),
    noisy: Path | None = typer.Option(
        None, "--noisy", help="The noisy inputs: measured as the first row, and figures are given by SNR.", rich_help_panel=_PAIRS
    ),
    baseline: Path | None = typer.Option(
        None, "--baseline", help="What the others have to beat: the first row, and each one's difference from it.", rich_help_panel=_PAIRS
    ),
    sample_rate: int = typer.Option(
        0, "--sample-rate", metavar="HZ", min=0, help="Compare at this rate. (default: each reference's own)", rich_help_panel=_PAIRS
    ),
    metrics: str = typer.Option(
        "",
        "--metrics",
        metavar="NAME,...",
        help="E.g. pesq,stoi,composite,dnsmos; or enhancement, synthesis, all. (default: enhancement with --noisy, else synthesis)",
        rich_help_panel=_PAIRS,
    ),
    align: bool = typer.Option(
        False, "--align", help="Shift each recording by its own delay first, in whole samples, up to 0.1 s.", rich_help_panel=_PAIRS
    ),
    snr_bins: str = typer.Option(
        "", "--snr-bins", metavar="DB,...", help="File inputs under the nearest of these. (default: multiples of 5)", rich_help_panel=_PAIRS
    ),
    snr_pattern: str = typer.Option(
        "",
        "--snr-pattern",
        help="Regular expression with the group snr that reads it from the file's name, e.g. '_(?P<snr>-?\\d+)dB'.",
        rich_help_panel=_PAIRS,
    ),
    jobs: int = typer.Option(1, "--jobs", "-j", min=1, help="Measure in so many processes.", rich_help_panel=_PAIRS),
    copy_synthesis: Path | None = typer.Option(
        None,
        "--copy-synthesis",
        metavar="RECORDINGS",
        help="Have each vocoder, and Griffin-Lim, say these recordings again, and compare.",
        rich_help_panel=_COPIES,
    ),
    keep: Path | None = typer.Option(
        None, "--keep", metavar="FOLDER", help="Keep the copies there; those that are there are not made again.", rich_help_panel=_COPIES
    ),
    conversion: Path | None = typer.Option(
        None, "--conversion", metavar="DATA", help="The prepared data set of the voices: whose are these?", rich_help_panel=_VOICES
    ),
    source: Path | None = typer.Option(
        None, "--source", metavar="FOLDER", help="The recordings that were converted, matched by path.", rich_help_panel=_VOICES
    ),
    target: Path | None = typer.Option(
        None, "--target", metavar="FOLDER", help="The targets' own recordings of the same words.", rich_help_panel=_VOICES
    ),
    text: Path | None = typer.Option(
        None,
        "--text",
        metavar="CSV",
        help="What is said: columns file,text. (default: as heard in the source)",
        rich_help_panel=_VOICES,
    ),
    words: bool = typer.Option(False, "--words", help="Ask a recogniser of English for the word error rate.", rich_help_panel=_VOICES),
    model: Path | None = typer.Option(
        None, "--model", metavar="RUN", help="Ask this run's critic too, on real and converted recordings.", rich_help_panel=_VOICES
    ),
    output: Path | None = typer.Option(None, "-o", "--output", help="Write the whole report there, as JSON.", rich_help_panel=_OUTPUT),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing report.", rich_help_panel=_OUTPUT),
    json_output: bool = typer.Option(False, "--json", help="Print the report as JSON on stdout, not as a table.", rich_help_panel=_OUTPUT),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing but warnings and errors.", rich_help_panel=_OUTPUT),
) -> int:
    """Measure generated clips against a data set (--data), recordings against their references (--reference), vocoders
    (--copy-synthesis), or converted voices (--conversion).

    docs/evaluate.md defines every figure.
    """
    console.configure(quiet=quiet, json_output=json_output)
    _check_mode(context, data, reference, copy_synthesis, conversion)
    if keep is not None and copy_synthesis is None:
        raise UsageError("--keep is for --copy-synthesis, which is missing.")
    if output is not None and output.exists() and (output.is_dir() or not overwrite):
        kind = "is a folder; expected a file name" if output.is_dir() else "exists already"
        raise UsageError(f"The report {output} {kind}.", hint="add --overwrite, or choose another name with -o")
    if reference is not None:
        from ..metrics.pairs.report import PairOptions, evaluate_pairs

        options = PairOptions(metrics, noisy, baseline, sample_rate, align, snr_bins, snr_pattern, jobs)
        return _report_pairs(evaluate_pairs(reference, clips or [], options, console.progress), output)
    if copy_synthesis is not None:
        from .copy_synthesis import compare

        return _report_pairs(compare(clips or [], copy_synthesis, keep, metrics, jobs), output)
    if conversion is not None:
        from ..metrics.voices.report import ConversionOptions
        from .evaluate_conversion import measure, show

        asked = ConversionOptions(source, target, text, words or text is not None, seed, retrain, cache)
        found = measure(clips or [], conversion, model, asked)
        if output is not None:
            _write(output, found)
        whole = show(found)
        console.result(found)
        if output is not None:
            console.say(f"report: {output}")
        return EXIT_OK if whole else EXIT_FAILED
    assert data is not None

    console.start_tensorflow()
    from ..metrics.clips.report import EvaluateOptions, evaluate, table_rows

    clip_options = EvaluateOptions(
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
    report = evaluate(clips or [], data, clip_options, console.progress)
    if output is not None:
        _write(output, report)
    if not json_output:
        columns, rows = table_rows(report)
        console.table("", columns, rows, to_stdout=True)
        _talk(report)
    console.result(report)
    if output is not None:
        console.say(f"report: {output}")
    return EXIT_OK


def _check_mode(context: typer.Context, data: Path | None, reference: Path | None, recordings: Path | None, voices: Path | None) -> None:
    """One of the modes, and no option of another: an option that does nothing would be believed to have done something."""
    modes = {"--data": data, "--reference": reference, "--copy-synthesis": recordings, "--conversion": voices}
    given = [name for name, path in modes.items() if path is not None]
    if len(given) != 1:
        raise UsageError(
            f"Expected one of {', '.join(modes)}" + (f", not {' and '.join(given)}." if given else "."),
            hint="gan-audio evaluate clips/ --data DATA; or: gan-audio evaluate --reference clean/ --noisy noisy/ enhanced/",
        )
    here = given[0]
    other = {
        "--data": _PAIRS_ONLY + _VOICES_ONLY,
        "--reference": _CLIPS_ONLY + _VOICES_ONLY,
        "--copy-synthesis": _CLIPS_ONLY + _NOT_FOR_COPIES + _VOICES_ONLY,
        "--conversion": _PAIRS_ONLY + _NOT_FOR_VOICES,
    }[here]
    flags = {parameter.name: parameter.opts[-1] for parameter in context.command.params}
    for name in other:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{flags[name]} has no meaning with {here}.", hint="gan-audio evaluate --help lists the options of each mode")


def _report_pairs(report: dict[str, Any], output: Path | None) -> int:
    from ..metrics.pairs.report import failures, pair_tables

    if output is not None:
        _write(output, report)
    if not console.wants_json():
        for title, columns, rows in pair_tables(report):
            console.table(title, columns, rows, to_stdout=True)
    failed = failures(report)
    for failure in failed[:_MOST_LISTED]:
        what = "not compared" if failure["metric"] == "all" else failure["metric"]
        console.warn(f"{failure['system']}: {failure['file']}: {what}: {failure['reason']}")
    if len(failed) > _MOST_LISTED:
        console.warn(f"{len(failed) - _MOST_LISTED} more have no value; -o report.json and --json list them all")
    for note in report["notes"]:
        console.say(f"note: {note}")
    console.result(report)
    if output is not None:
        console.say(f"report: {output}")
    return EXIT_FAILED if any(entry["unusable"] for entry in report["systems"]) else EXIT_OK


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
