"""`gan-audio prepare`: folders of recordings in, a data set for training out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..beam import LOCAL, parse_runner, split_options
from ..data.corpora.layouts import KEYS, LAYOUTS
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from ..parts import Part
from ..recipe_schema import Recipe
from . import console
from .file_verb import Runner
from .help import PlainCommand
from .prepare_report import show_report

if TYPE_CHECKING:
    from ..data.corpora.source_file import LabelOptions
    from ..data.prepare.report import PrepareOptions, PrepareReport
    from ..family_schema import ModelTable
    from ..feature_specs import GivenMels

_INPUT, _CLIPS, _LABELS, _SPLITS, _NOISE = "What goes in", "What a clip is", "Labels", "Splits", "Noise, for training enhancement"
_SCALE = "Several machines"
_OF_MERGE = {"inputs", "output", "merge", "jobs", "overwrite", "json_output", "quiet"}  # all else is in the parts
_MAX_NOTE = 20_000  # characters; every model carries it

# Key of --detail -> (table of `PrepareOptions`, field, a line for the help).
DETAILS: dict[str, tuple[str, str, str]] = {
    "hop-samples": ("cut", "hop_samples", "step from one clip to the next (default: the clip length)"),
    "short": ("cut", "short", "recordings and last pieces shorter than a clip: pad (default), loop or drop"),
    "min-seconds": ("cut", "min_seconds", "drop recordings shorter than this (default: 0.02)"),
    "max-clips": ("cut", "max_clips", "most clips of one recording (default: 0, no limit)"),
    "preroll-ms": ("cut", "preroll_ms", "time kept before the onset with --onset-align (default: 2)"),
    "min-clean-db": (
        "cut",
        "min_clean_db",
        "drop recordings whose pauses are less than this below their loudest parts; try 40",
    ),
    "noise-hop-samples": ("", "noise_hop_samples", "the same for noise (default: the clip length)"),
    "noise-max-clips": ("", "noise_max_clips", "most clips of one recording of noise (default: 0, no limit)"),
    "noise-short": ("", "noise_short", "noise shorter than a clip: pad (default; mixing repeats it), loop or drop"),
    "holdout-speakers": ("splits", "holdout_speakers", "speakers that are only in the test split, as A,B"),
    "shards": ("", "shards", "number of shards of the train split (default: 0, chosen)"),
    "name": ("", "name", "first part of the shards' names (default: the name of DATA)"),
}
_MOVED = {  # options of earlier versions -> how they are written now; {} is the value
    **{f"--{key}": f"--detail {key}={{}}" for key in DETAILS},
    **{f"--{key}": f"--corpus {key}={{}}" for key in ("domain", "pitches", "instruments", "attributes", "pitch-from")},
    "--label-field": "--corpus label={}",
    "--instrument-field": "--corpus instrument={}",
    "--label-pattern": "--labels 'pattern:{}'",
    "--label-csv": "--labels csv:{}",
    "--clip-seconds": "--clip-samples {}s",
    "--level-target": "--level KIND:{}",
}


class _Command(PlainCommand):
    """Answers the options of earlier versions with their present form; lists the layouts and the keys of --corpus and --detail."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for index, word in enumerate(args):
            name, separator, value = word.partition("=")
            if name in _MOVED:
                value = value if separator else next(iter(args[index + 1 : index + 2]), "VALUE")
                raise UsageError(f"prepare has no option {name} any more.", hint=_MOVED[name].format(value))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        super().format_options(ctx, formatter)
        for title, lines in (
            ("Values of --layout", {name: layout.about for name, layout in LAYOUTS.items()}),
            ("Keys of --corpus", {name: key.about for name, key in KEYS.items()}),
            ("Keys of --detail", {name: about for name, (_, _, about) in DETAILS.items()}),
        ):
            with formatter.section(title):
                formatter.write_dl(list(lines.items()))


app = typer.Typer(add_completion=False)


@app.command(cls=_Command)
def command(
    context: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Folders (searched to any depth) and files.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DATA", help="The data set folder to create.")],
    recipe: Annotated[str, typer.Option(help="Take rate, channels, clip length and statistics from this recipe.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")] = None,
    layout: Annotated[
        str,
        typer.Option(metavar="NAME", help="The corpus that the inputs are, one of the list below.", rich_help_panel=_INPUT),
    ] = "",
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="How the corpus is read, by the keys below. Repeatable.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    select: Annotated[str, typer.Option(metavar="REGEX", help="Only recordings whose path matches.", rich_help_panel=_INPUT)] = "",
    exclude: Annotated[str, typer.Option(metavar="REGEX", help="No recordings whose path matches.", rich_help_panel=_INPUT)] = "",
    labels: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="none, folder (the first below the input), layout, csv:FILE (columns path,label and maybe speaker,emotion,sentence,"
            "split), or pattern:REGEX with the group (?P<label>...) and maybe (?P<speaker>...).",
            show_default="layout with --layout, folder with a recipe that needs labels, else none",
            rich_help_panel=_LABELS,
        ),
    ] = "auto",
    sample_rate: Annotated[int, typer.Option(help="Hz.", show_default="the recipe's, else 16000", rich_help_panel=_CLIPS)] = 0,
    channels: Annotated[
        int,
        typer.Option(help="1 mixes down; 2 keeps stereo and doubles mono.", show_default="the recipe's, else 1", rich_help_panel=_CLIPS),
    ] = 0,
    clip_samples: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Length of a clip in samples, or in seconds as 1.5s; 0 keeps recordings whole.",
            show_default="the recipe's, else 16384",
            rich_help_panel=_CLIPS,
        ),
    ] = "",
    trim_silence: Annotated[
        float, typer.Option(metavar="DB", help="Cut both ends this far below the loudest part; 0 does not.", rich_help_panel=_CLIPS)
    ] = 0.0,
    level: Annotated[
        str,
        typer.Option(
            metavar="KIND[:DB]",
            help="Bring each recording to one level: none, peak, rms or lufs, to -1 dBFS, -20 dBFS or -23 LUFS unless given, as rms:-26.",
            rich_help_panel=_CLIPS,
        ),
    ] = "none",
    onset_align: Annotated[
        bool, typer.Option("--onset-align", help="Start each recording at its first onset: for one-shots.", rich_help_panel=_CLIPS)
    ] = False,
    detail: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A less common setting, by the keys below. Repeatable.",
            rich_help_panel=_CLIPS,
        ),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NOISE",
            help="Folders and files of noise that training mixes with the clips of INPUT. Repeatable.",
            rich_help_panel=_NOISE,
        ),
    ] = None,
    split_by: Annotated[
        str, typer.Option(help="file or speaker.", show_default="the corpus's own splits, else file", rich_help_panel=_SPLITS)
    ] = "auto",
    validation: Annotated[
        float, typer.Option(help="Fraction of the recordings, or speakers, for validation.", rich_help_panel=_SPLITS)
    ] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction for test.", rich_help_panel=_SPLITS)] = 0.1,
    mels: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Mel spectrograms (.npy) that another program gave for the recordings, of their names: to train a vocoder on.",
        ),
    ] = None,
    consent: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="A text file: who allowed these recordings to be used, and for what. The data set and all models trained on it keep it.",
        ),
    ] = "",
    part: Annotated[
        str,
        typer.Option(
            metavar="I/N",
            help="Make only part I of N, in a folder of its own below DATA: for several machines, given the same command otherwise.",
            rich_help_panel=_SCALE,
        ),
    ] = "",
    merge: Annotated[
        bool,
        typer.Option(
            "--merge", help="Make DATA of all its parts: INPUT... are their folders, or a folder of them.", rich_help_panel=_SCALE
        ),
    ] = False,
    runner: Runner = LOCAL,
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
    from ..data.prepare.clip_cutting import CutOptions
    from ..data.prepare.job import prepare
    from ..data.prepare.report import PrepareOptions
    from ..data.prepare.work import SplitOptions
    from ..recipe import load_recipe

    beam_parts, beam_options = parse_runner(runner), list[str]()
    if beam_parts:
        inputs, beam_options = split_options(inputs)
        if part:
            raise UsageError("--part cannot be combined with --runner beam, which makes parts of its own.", hint="--runner beam:64")
    if merge:
        return _merge(context, inputs, output, jobs, overwrite)
    if set_ and not recipe:
        raise UsageError("--set changes a recipe, but there is no --recipe.")
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one a core.")
    if mels is not None and not recipe:
        raise UsageError("--mels needs a --recipe of a vocoder, which says what the spectrograms mean.")
    loaded = load_recipe(recipe, [*(set_ or ()), *(["model.given_mels=true"] if mels else [])]) if recipe else Recipe(family="")
    wanted, model = loaded.data, loaded.model
    rate = sample_rate or wanted.sample_rate
    kind, target = _level(level)
    options = PrepareOptions(
        cut=CutOptions(
            sample_rate=rate,
            channels=channels or wanted.channels,
            clip_samples=_clip_samples(clip_samples, rate, 0 if model.whole_recordings else wanted.clip_samples),
            trim_silence=trim_silence,
            level=kind,
            level_target=target,
            onset_align=onset_align,
        ),
        labels=_labels(labels, layout, select, exclude, corpus or (), model.conditioning != "none"),
        splits=SplitOptions(split_by, validation, test),
    )
    run: Callable[..., PrepareReport] = prepare
    if beam_parts:
        from ..data.prepare.through_beam import prepare_through_beam

        run = functools.partial(prepare_through_beam, parts=beam_parts, beam_options=beam_options)
    scale: dict[str, Any] = {"part": Part.parse(part)} if part else {}
    with _progress("Preparing", "files", output, dry_run) as progress:
        report = run(
            inputs,
            output,
            _with_details(options, detail or ()),
            noise=noise or (),
            specs=model.statistics(rate),
            peak_normalize=wanted.peak_normalize,
            peak=wanted.peak,
            frames=model.frame_features(rate),
            mels=_given_mels(mels, model, rate),
            speech=model.speech_features(rate),
            consent=consent_note(consent) if consent else "",
            **scale,
            jobs=jobs,
            overwrite=overwrite,
            dry_run=dry_run,
            progress=progress,
        )
    show_report(report, [recipe or "NAME", *(word for change in set_ or () for word in ("--set", change))])
    console.result(report.to_json())
    return EXIT_FAILED if report.failed and report.status in ("written", "part written", "dry run") else EXIT_OK


def _merge(context: typer.Context, parts: list[str], output: str, jobs: int, overwrite: bool) -> int:
    """Make a data set of its parts."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _OF_MERGE and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.strip('_').replace('_', '-')} cannot be combined with --merge: the parts have it already.")
    from ..data.prepare.parts import merge

    with _progress("Merging", "shards", output, False) as progress:
        report = merge(parts, output, jobs=jobs, overwrite=overwrite, progress=progress)
    show_report(report, ["NAME"])
    console.result(report.to_json())
    return EXIT_FAILED if report.failed and report.status == "written" else EXIT_OK


def _given_mels(folder: Path | None, model: ModelTable, rate: int) -> tuple[GivenMels, Path] | None:
    spec = model.mels_beside(rate)
    if spec is None:
        return None
    if folder is None:
        raise UsageError(
            "The recipe has model.given_mels = true, but there is no --mels.", hint="--mels FOLDER, with a .npy for each recording"
        )
    if not folder.is_dir():
        raise UsageError(f"--mels {folder} is not a folder.")
    return spec, folder


def _clip_samples(text: str, rate: int, usual: int) -> int:
    if not text:
        return usual
    try:
        return round(float(text[:-1]) * rate) if text.endswith("s") else int(text)
    except ValueError:
        raise UsageError(f"--clip-samples is {text!r}; expected samples, as 16384, or seconds, as 1.5s.") from None


def _level(text: str) -> tuple[str, float | None]:
    kind, separator, target = text.partition(":")
    try:
        return kind, float(target) if separator else None
    except ValueError:
        raise UsageError(f"--level is {text!r}; expected none, peak, rms or lufs, and maybe a level in dB, as rms:-26.") from None


def _labels(labels: str, layout: str, select: str, exclude: str, corpus: Sequence[str], conditional: bool) -> LabelOptions:
    """The options that `--labels`, `--layout`, `--select`, `--exclude` and `--corpus` give."""
    from ..data.corpora.source_file import LabelOptions

    mode, separator, value = labels.partition(":")
    if separator and (mode not in ("csv", "pattern") or not value):
        raise UsageError(f"--labels is {labels!r}; expected none, folder, layout, csv:FILE or pattern:REGEX.")
    if labels == "auto" and not layout and conditional:
        mode = "folder"
    options = LabelOptions("auto" if separator else mode, layout=layout, select=select, exclude=exclude)
    changes: dict[str, Any] = {mode: value} if separator else {}
    for key, text in _pairs("--corpus", corpus, KEYS):
        readers = [name for name, found in LAYOUTS.items() if key in found.keys]
        if readers and layout not in readers:
            raise UsageError(f"--corpus {key} is for --layout {' or '.join(readers)}; the layout is {layout or 'not given'}.")
        changes[KEYS[key].field] = _listed(text) if key == "instruments" else text
    return dataclasses.replace(options, **changes)


def _with_details(options: PrepareOptions, detail: Sequence[str]) -> PrepareOptions:
    """The options with what `--detail` changes."""
    tables: dict[str, Any] = {"": options, "cut": options.cut, "splits": options.splits}
    for key, text in _pairs("--detail", detail, DETAILS):
        table, field, _ = DETAILS[key]
        kind = get_type_hints(type(tables[table]))[field]
        try:
            value = _listed(text) if kind == tuple[str, ...] else kind(text)
        except ValueError:
            raise UsageError(f"--detail {key} is {text!r}; expected {'a whole number' if kind is int else 'a number'}.") from None
        tables[table] = dataclasses.replace(tables[table], **{field: value})
    return dataclasses.replace(tables[""], cut=tables["cut"], splits=tables["splits"])


def _pairs(option: str, texts: Sequence[str], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or key not in known:
            raise UsageError(f"{option} is {text!r}; expected KEY=VALUE with one of {', '.join(known)}.", hint="gan-audio prepare --help")
        yield key, value


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def consent_note(path: str) -> str:
    """The text of a consent note."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--consent {path} cannot be read: {reason}.", hint="a text file: who agreed, to what, when") from error
    if not text or len(text) > _MAX_NOTE:
        raise UsageError(f"--consent {path} has {len(text)} characters; expected 1 to {_MAX_NOTE}.")
    return text


@contextmanager
def _progress(label: str, unit: str, output: str, dry_run: bool) -> Iterator[Any]:
    """Show a bar; yield what moves it."""
    with console.progress(label, None, unit) as bar, _interruptions(output, dry_run), _reported():

        def progress(done: int, total: int, item: str) -> None:
            bar.total = total
            bar.advance(done - bar.done, item)

        yield progress


@contextmanager
def _interruptions(output: str, dry_run: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if dry_run else f" What is done is kept in {output}.partial; run the same command again to go on."
        console.warn(f"interrupted.{kept}")
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def _reported() -> Iterator[None]:
    """Gives --json its report where no recording is left, too."""
    from ..data.prepare.report import NothingToTrain

    try:
        yield
    except NothingToTrain as failure:
        console.result(failure.report.to_json())
        raise
