"""`gan-audio prepare`: folders of recordings in, a data set for training out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from ..recipe_schema import Recipe
from . import console

if TYPE_CHECKING:
    from ..data.dataset_info import DatasetInfo, SplitInfo
    from ..data.prepare.job import PrepareReport

_SOUND, _LABELS, _SPLITS, _NOISE = "Sound", "Labels", "Splits", "Noise, for training enhancement"
_NOTES = "Notes, for pitched instruments"
_LONGEST_NOTE = 20_000  # characters; every model carries it


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Folders (searched to any depth) and files.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DATA", help="The data set folder to make.")],
    noise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NOISE",
            help="Folders and files of noise that training mixes with the clips of INPUT. Repeatable.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    noise_hop_samples: Annotated[
        int, typer.Option(help="From one clip of noise to the next.", show_default="the clip length", rich_help_panel=_NOISE)
    ] = 0,
    noise_max_clips: Annotated[
        int, typer.Option(help="Clips of one recording of noise at most; 0 is no limit.", rich_help_panel=_NOISE)
    ] = 0,
    noise_short: Annotated[
        str, typer.Option(help="Noise shorter than a clip: pad (mixing repeats it), loop or drop.", rich_help_panel=_NOISE)
    ] = "pad",
    min_clean_db: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="Drop recordings of INPUT whose pauses are less than this below their loudest parts; 0 keeps all. 40 is a good choice.",
            rich_help_panel=_NOISE,
        ),
    ] = 0.0,
    recipe: Annotated[str, typer.Option(help="Take rate, channels, clip length and statistics from this recipe.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")] = None,
    sample_rate: Annotated[int, typer.Option(help="Hz.", show_default="the recipe's, else 16000", rich_help_panel=_SOUND)] = 0,
    channels: Annotated[
        int,
        typer.Option(help="1 mixes down; 2 keeps stereo and doubles mono.", show_default="the recipe's, else 1", rich_help_panel=_SOUND),
    ] = 0,
    clip_samples: Annotated[
        int,
        typer.Option(help="Length of a clip; 0 keeps recordings whole.", show_default="the recipe's, else 16384", rich_help_panel=_SOUND),
    ] = -1,
    clip_seconds: Annotated[float, typer.Option(help="The same in seconds.", show_default=False, rich_help_panel=_SOUND)] = 0.0,
    hop_samples: Annotated[
        int, typer.Option(help="From one clip to the next.", show_default="the clip length", rich_help_panel=_SOUND)
    ] = 0,
    short: Annotated[
        str, typer.Option(help="What to do with short recordings and last pieces: pad, loop or drop.", rich_help_panel=_SOUND)
    ] = "pad",
    min_seconds: Annotated[float, typer.Option(help="Drop recordings shorter than this.", rich_help_panel=_SOUND)] = 0.02,
    max_clips: Annotated[int, typer.Option(help="Clips of one recording at most; 0 is no limit.", rich_help_panel=_SOUND)] = 0,
    trim_silence: Annotated[
        float, typer.Option(metavar="DB", help="Cut both ends this far below the loudest part; 0 does not.", rich_help_panel=_SOUND)
    ] = 0.0,
    level: Annotated[
        str, typer.Option(help="Bring each recording to one level: none, peak, rms or lufs.", rich_help_panel=_SOUND)
    ] = "none",
    level_target: Annotated[
        float | None,
        typer.Option(
            metavar="DB", help="What to bring it to.", show_default="peak -1 dBFS, rms -20 dBFS, lufs -23 LUFS", rich_help_panel=_SOUND
        ),
    ] = None,
    onset_align: Annotated[
        bool, typer.Option("--onset-align", help="Start each recording at its first onset: for one-shots.", rich_help_panel=_SOUND)
    ] = False,
    preroll_ms: Annotated[float, typer.Option(help="Kept before that onset.", rich_help_panel=_SOUND)] = 2.0,
    labels: Annotated[
        str,
        typer.Option(help="none, folder, pattern, csv or layout.", show_default="what the options below imply", rich_help_panel=_LABELS),
    ] = "auto",
    label_pattern: Annotated[
        str, typer.Option(metavar="REGEX", help="With the group (?P<label>...) and maybe (?P<speaker>...).", rich_help_panel=_LABELS)
    ] = "",
    label_csv: Annotated[
        str, typer.Option(metavar="FILE", help="Columns path,label and maybe speaker,split.", rich_help_panel=_LABELS)
    ] = "",
    layout: Annotated[
        str,
        typer.Option(
            help="A known corpus: folder, fsdd, sc09, nsynth, notes, pairs, speakers, vctk, esd, ravdess, crema-d, emo-db or csv.",
            rich_help_panel=_LABELS,
        ),
    ] = "",
    domain: Annotated[
        str,
        typer.Option(
            metavar="speaker|emotion|both",
            help="What the label is, for converting voices.",
            show_default="the layout's",
            rich_help_panel=_LABELS,
        ),
    ] = "",
    label_field: Annotated[str, typer.Option(help="nsynth: pitch, instrument_family_str, ...", rich_help_panel=_LABELS)] = "pitch",
    instrument_field: Annotated[
        str, typer.Option(help="nsynth: what the instrument is: instrument_family_str, instrument_str, ...", rich_help_panel=_NOTES)
    ] = "instrument_family_str",
    pitches: Annotated[
        str, typer.Option(metavar="36-84", help="Only notes of these pitches: MIDI numbers, names, ranges.", rich_help_panel=_NOTES)
    ] = "",
    instruments: Annotated[str, typer.Option(metavar="A,B", help="Only notes of these instruments.", rich_help_panel=_NOTES)] = "",
    attributes: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Table: file,pitch,instrument or other attributes of each recording, as CSV.", rich_help_panel=_NOTES
        ),
    ] = "",
    pitch_from: Annotated[
        str,
        typer.Option(help="notes: name, sound (measured) or auto: the name if it tells one.", rich_help_panel=_NOTES),
    ] = "auto",
    select: Annotated[str, typer.Option(metavar="REGEX", help="Only recordings whose path matches.", rich_help_panel=_LABELS)] = "",
    exclude: Annotated[str, typer.Option(metavar="REGEX", help="No recordings whose path matches.", rich_help_panel=_LABELS)] = "",
    split_by: Annotated[
        str, typer.Option(help="file or speaker.", show_default="the corpus's own splits, else file", rich_help_panel=_SPLITS)
    ] = "auto",
    validation: Annotated[
        float, typer.Option(help="Fraction of the recordings, or speakers, for validation.", rich_help_panel=_SPLITS)
    ] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction for test.", rich_help_panel=_SPLITS)] = 0.1,
    holdout_speakers: Annotated[str, typer.Option(metavar="A,B", help="Speakers that are test alone.", rich_help_panel=_SPLITS)] = "",
    consent: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="A text that says who allowed these recordings to be used, and for what. The data set and all models made of it keep it.",
        ),
    ] = "",
    shards: Annotated[int, typer.Option(help="Shards of the train split; 0 chooses.")] = 0,
    name: Annotated[str, typer.Option(help="First part of the shards' names.", show_default="the output folder's")] = "",
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Worker processes; 0 is one for each core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the data set that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decode and count, write nothing.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> int:
    """Turn folders of recordings into a data set for training.

    Any format of libsndfile, any mixture of rates, channels and bit depths. After an interruption the same command goes on.

    Exit code 1 if a recording could not be decoded; the others are in the data set all the same.
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..data.corpora.layouts import LabelOptions
    from ..data.prepare.clip_cutting import CutOptions
    from ..data.prepare.job import PrepareOptions, prepare
    from ..data.prepare.work import SplitOptions
    from ..recipe import load_recipe

    if set_ and not recipe:
        raise UsageError("--set changes a recipe, but there is no --recipe.")
    loaded = load_recipe(recipe, set_ or ()) if recipe else Recipe(family="")
    wanted, model = loaded.data, loaded.model
    if clip_seconds and clip_samples >= 0:
        raise UsageError("--clip-samples and --clip-seconds say the same thing; give one of them.")
    rate = sample_rate or wanted.sample_rate
    usual = 0 if model.whole_recordings else wanted.clip_samples
    length = round(clip_seconds * rate) if clip_seconds else usual if clip_samples < 0 else clip_samples
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one a core.")
    if labels == "auto" and not (label_pattern or label_csv or layout) and model.conditioning != "none":
        labels = "folder"
    options = PrepareOptions(
        cut=CutOptions(
            sample_rate=rate,
            channels=channels or wanted.channels,
            clip_samples=length,
            hop_samples=hop_samples,
            short=short,
            min_seconds=min_seconds,
            max_clips=max_clips,
            trim_silence=trim_silence,
            level=level,
            level_target=level_target,
            onset_align=onset_align,
            preroll_ms=preroll_ms,
            min_clean_db=min_clean_db,
        ),
        labels=LabelOptions(
            labels,
            label_pattern,
            label_csv,
            layout,
            label_field,
            select,
            exclude,
            instrument_field,
            pitches,
            _listed(instruments),
            attributes,
            pitch_from,
            domain,
        ),
        splits=SplitOptions(split_by, validation, test, _listed(holdout_speakers)),
        name=name,
        shards=shards,
        noise_hop_samples=noise_hop_samples,
        noise_short=noise_short,
        noise_max_clips=noise_max_clips,
    )
    with console.progress("Preparing", None, "files") as bar, _interruptions(output, dry_run):

        def progress(done: int, total: int, file: str) -> None:
            bar.total = total
            bar.advance(done - bar.done, file)

        report = prepare(
            inputs,
            output,
            options,
            noise=noise or (),
            specs=model.statistics,
            peak_normalize=wanted.peak_normalize,
            peak=wanted.peak,
            frames=model.frame_features(rate),
            consent=_note(consent) if consent else "",
            jobs=jobs,
            overwrite=overwrite,
            dry_run=dry_run,
            progress=progress,
        )
    _show(report)
    console.result(report.to_json())
    return EXIT_FAILED if report.failed and report.status in ("written", "dry run") else EXIT_OK


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _note(path: str) -> str:
    """The text of a consent note."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--consent {path} cannot be read: {reason}.", hint="a text file: who agreed, to what, when") from error
    if not text or len(text) > _LONGEST_NOTE:
        raise UsageError(f"--consent {path} has {len(text)} characters; expected 1 to {_LONGEST_NOTE}.")
    return text


@contextmanager
def _interruptions(output: str, dry_run: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if dry_run else f" What is done is kept in {output}.partial; run the same command again to go on."
        console.warn(f"interrupted.{kept}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _show(report: PrepareReport) -> None:
    for text in report.warnings:
        console.warn(text)
    info = report.info
    length = f"{info.clip_samples} samples ({info.clip_samples / info.sample_rate:.3g} s)" if info.clip_samples else "their own length"
    title = f"{info.name}: {info.sample_rate} Hz, {info.channels} channel{'s' * (info.channels > 1)}, clips of {length}"
    splits = [split for split in ("train", "validation", "test") if split in info.splits]
    rows: list[list[Any]] = [
        [label or "(all)"]
        + [_count(info.splits[split], label) for split in splits]
        + [sum(_count(info.splits[split], label) for split in splits)]
        for label in info.labels
    ]
    rows += _totals(info, splits)
    if len(rows) > 42:
        rows = [*rows[:20], ["..."] + [""] * (len(splits) + 1), *rows[-20:]]
    console.table(title, ["label", *splits, "all"], rows)
    noises = [f"noise-{split}" for split in ("train", "validation", "test") if f"noise-{split}" in info.splits]
    if noises:
        console.table("Noise to mix in", ["noise", *(name.removeprefix("noise-") for name in noises), "all"], _totals(info, noises))
    if report.outcomes:
        console.table("Recordings", ["what", "count", "why, or which"], _recording_rows(report))
    if report.status == "unchanged":
        console.say(
            f"{report.output} is finished already, with these recordings and options; nothing to do. --overwrite prepares it again."
        )
        return
    if report.status == "statistics added":
        console.say(f"{report.output} is finished already; the recipe's statistics were added, or the consent note.")
        return
    files = len(report.outcomes)
    again = f", {report.resumed_files} of them done before the interruption" if report.resumed_files else ""
    done = "would give" if report.status == "dry run" else "gave"
    total = sum(split.clips for split in info.splits.values())
    console.say(f"{files} recordings {done} {total} clips in {report.elapsed:.1f} s{again}.")
    if report.status == "written":
        console.say(f"Written to {report.output}. Next: gan-audio train --recipe NAME --data {Path(report.output)}")


def _totals(info: DatasetInfo, splits: Sequence[str]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, values in (
        ("all clips", [info.splits[split].clips for split in splits]),
        ("seconds", [round(info.splits[split].seconds, 1) for split in splits]),
    ):
        rows.append([name, *values, round(sum(values), 1)])
    return rows


def _count(split: SplitInfo, label: str) -> int:
    return split.label_counts.get(label, 0)


def _recording_rows(report: PrepareReport) -> list[list[object]]:
    outcomes = report.outcomes
    rows: list[list[object]] = [["kept", sum(outcome.clips > 0 for outcome in outcomes), "gave clips"]]
    for key, what, why in (
        ("padded", "clips padded", "shorter than a clip: zeros at the end"),
        ("looped", "clips looped", "shorter than a clip: repeated"),
        ("short_pieces", "pieces dropped", "last pieces too short, or --short drop"),
        ("silent_clips", "clips dropped", "silent"),
        ("clipped", "clips clipped", "samples beyond full scale; --level peak avoids it"),
        ("limited", "level limited", "the peak did not allow the level"),
    ):
        count = int(report.total(key))
        if count:
            rows.append([what, count, why])
    for what, key in (("dropped", "dropped"), ("failed", "failed")):
        reasons = Counter(getattr(outcome, key) for outcome in getattr(report, key))
        for reason, count in reasons.most_common(12):
            names = [outcome.name for outcome in outcomes if getattr(outcome, key) == reason]
            rows.append([what, count, f"{reason}: {', '.join(names[:3])}{', ...' if count > 3 else ''}"])
    for reason, count in Counter(reason for _, reason in report.left_out).most_common(12):
        rows.append(["left out", count, reason])
    return rows
