"""Shared by the commands that write clips: the options of classes and files, one run from the model to the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.audio.find import is_audio_name
from ..data.corpora.note_names import pitch_name, ranges
from ..errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from . import console
from .file_verb import Json, Quiet

if TYPE_CHECKING:
    from ..inference.generate.request import GenerateOptions, LatentTable, Plan
    from ..inference.generate.session import GeneratorSession
    from ..inference.generate.write import GenerateReport

SHEET_FILE = "contact-sheet.png"
_CLASSES, _OUTPUT, _AUDIO = "What to play", "What is written", "Audio processing"

Model = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, a generator.keras file, or the name of a bundled model.")]


def option(*names: str, panel: str, **settings: Any) -> Any:
    """Return `typer.Option` in a section of the help page."""
    return typer.Option(*names, rich_help_panel=panel, **settings)


@dataclass(frozen=True)
class ClipOptions:
    """Options of every command that writes clips."""

    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the clips; the same command continues there.")] = None
    label: Annotated[
        list[str] | None,
        option("--label", panel=_CLASSES, help="Class to generate; repeatable, several take turns.", show_default="all in turn"),
    ] = None
    pitch: Annotated[
        list[str] | None,
        option("--pitch", panel=_CLASSES, help="MIDI numbers or names: 60, C4, 36-84, C3,E3,G3; repeatable.", show_default="all in turn"),
    ] = None
    instrument: Annotated[
        list[str] | None, option("--instrument", panel=_CLASSES, help="Instrument; repeatable.", show_default="all in turn")
    ] = None
    velocity: Annotated[
        list[int] | None, option("--velocity", panel=_CLASSES, help="MIDI velocity; repeatable.", show_default="all in turn")
    ] = None
    format: Annotated[str, option("--format", panel=_OUTPUT, metavar="wav|flac|ogg|mp3", help="File format.")] = "wav"
    subtype: Annotated[
        str | None,
        option("--subtype", panel=_OUTPUT, help="Encoding of WAV and FLAC: PCM_16, PCM_24, FLOAT ...", show_default="PCM_16"),
    ] = None
    template: Annotated[
        str | None,
        option("--template", panel=_OUTPUT, help="File names, e.g. '{label}/{index:06d}'.", show_default="{index:06d}_{label}_{seed}"),
    ] = None
    sidecar: Annotated[bool, option("--sidecar", panel=_OUTPUT, help="Write each clip's provenance tag beside it, as JSON.")] = False
    save_latents: Annotated[bool, option("--save-latents", panel=_OUTPUT, help="Write each clip's latent beside it, as .npy.")] = False
    contact_sheet: Annotated[bool, option("--contact-sheet", panel=_OUTPUT, help=f"Draw the first 64 clips into {SHEET_FILE}.")] = False
    overwrite: Annotated[bool, option("--overwrite", panel=_OUTPUT, help="Replace files of another request.")] = False
    skip_existing: Annotated[
        bool, option("--skip-existing", panel=_OUTPUT, help="Keep files of another request, and write the others.")
    ] = False
    sample_rate: Annotated[
        int | None, option("--sample-rate", panel=_AUDIO, metavar="HZ", help="Resample the clips.", show_default="the model's rate")
    ] = None
    normalize: Annotated[
        str, option("--normalize", panel=_AUDIO, metavar="DB|none", help="Scale each clip to this peak in dBFS, such as -1.")
    ] = "none"
    trim_silence: Annotated[bool, option("--trim-silence", panel=_AUDIO, help="Remove what is 60 dB below the peak from both ends.")] = (
        False
    )
    fade_out: Annotated[float, option("--fade-out", panel=_AUDIO, metavar="MS", help="Fade the end of each clip to silence.")] = 0.0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and stop.")] = False
    json_output: Json = False
    quiet: Quiet = False

    def request(self, **more: Any) -> GenerateOptions:
        """Return the options of the request; `more` are those of the command itself.

        Raises:
            UsageError: A value that is wrong whatever the model is.
        """
        from ..data.corpora.note_names import parse_pitches
        from ..inference.generate.request import GenerateOptions

        options = GenerateOptions(
            labels=tuple(self.label or ()),
            pitches=tuple(parse_pitches(",".join(self.pitch))) if self.pitch else (),
            instruments=tuple(self.instrument or ()),
            velocities=tuple(self.velocity or ()),
            format=self.format.lower().lstrip("."),
            subtype=self.subtype.upper() if self.subtype else None,
            template=self.template,
            sample_rate=self.sample_rate,
            peak_db=peak_of(self.normalize),
            trim_silence=self.trim_silence,
            fade_out_ms=self.fade_out,
            sidecar=self.sidecar,
            **{"save_latents": self.save_latents} | more,
        )
        options.check()
        return options


@dataclass(frozen=True)
class ClipVerb:
    """A command that writes clips, as far as it differs from the others.

    Attributes:
        table: Gives the latents to play; None draws them from the seed.
        columns: Width of a contact sheet that is always drawn, one for each combination of classes; None draws none unless asked.
        results: Gives the entries of "matches" in the report.
    """

    table: Callable[[GeneratorSession, GenerateOptions, Path], LatentTable | None] = lambda *_: None
    columns: int | None = None
    results: Callable[[Path], list[dict[str, Any]]] = field(default=lambda output: [])


def write_clips(model: Path, request: GenerateOptions, chosen: ClipOptions, verb: ClipVerb | None = None) -> int:
    """Open the model, generate the clips that are missing, and report; return the exit code.

    Raises:
        UsageError: Paths or options that are wrong or do not fit the model.
        GanAudioError: The model cannot be loaded, or a file cannot be written.
    """
    verb = verb or ClipVerb()
    output = check_output(chosen)
    check_model(model)
    console.say(f"Loading {model} ...")
    console.start_tensorflow()
    from ..inference.generate import session as sessions
    from ..inference.generate.request import Plan
    from ..inference.generate.write import generate, inspect

    session = sessions.open_session(model)
    console.say(f"{session.file}: {facts(session)}, loaded in {session.load_seconds:.1f} s")
    plan = Plan(request, session, verb.table(session, request, output))
    existing: Any = "overwrite" if chosen.overwrite else "skip" if chosen.skip_existing else "error"
    todo = inspect(plan, output, existing)
    if chosen.dry_run:
        example = plan.clip(todo.missing[0] if todo.missing else plan.first).file
        left = f"{todo.kept} exist, {todo.skipped} files of others are kept"
        console.say(f"{len(todo.missing)} clips to write, {left}; the next is {output / example}")
        counts = {"write": len(todo.missing), "kept": todo.kept, "skipped": todo.skipped}
        console.result({"dry_run": True, "output": output, **counts, "next": example})
        return EXIT_OK
    if todo.kept:
        console.say(f"{todo.kept} of {plan.total} clips exist already")
    if todo.missing:
        session.warm_up()
    done = todo.kept

    def count(_: object) -> None:
        nonlocal done
        done += 1
        bar.advance()

    try:
        with console.progress("Generating", len(todo.missing), "clips") as bar:
            report = generate(plan, output, existing=existing, group=sessions.GROUP, todo=todo, on_clip=count)
    except KeyboardInterrupt:  # caught here: the command-line library would end with 130 too, but without a word
        console.warn(f"interrupted: {done} of {plan.total} clips are in {output}. To continue, run the same command again.")
        return EXIT_INTERRUPTED
    sheets = _draw_sheets(plan, output, verb.columns) if chosen.contact_sheet or verb.columns else []
    _finish(plan, report, sheets, verb.results(output))
    return EXIT_OK


def check_output(chosen: ClipOptions) -> Path:
    """Return the output folder.

    Raises:
        UsageError: It is missing or a file, or --overwrite and --skip-existing contradict each other.
    """
    if chosen.overwrite and chosen.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other.")
    if chosen.output is None:
        raise UsageError("No output is given.", hint="-o clips/")
    if chosen.output.exists() and not chosen.output.is_dir():
        raise UsageError(f"The output {chosen.output} is a file; expected a folder.", hint="gan-audio generate RUN -o clips/")
    if is_audio_name(chosen.output) and not chosen.output.is_dir():
        raise UsageError(
            f"The output {chosen.output} is the name of one file; expected a folder for the clips.",
            hint=f"-o {shlex.quote(str(chosen.output.with_suffix('')))}/",
        )
    return chosen.output


def check_model(model: Path) -> None:
    """Refuse what is no generator before TensorFlow is loaded.

    Raises:
        UsageError: Nothing has that path or name.
        RunError: As for `find_model`.
    """
    from ..models.model_file import GENERATORS, bundled_models, find_model, nothing_named

    if not model.exists() and str(model) not in bundled_models():
        message, hint = nothing_named(model)
        raise UsageError(message, hint=hint)
    find_model(model, GENERATORS, "generate clips")


def _finish(plan: Plan, report: GenerateReport, sheets: Sequence[Path], matches: Sequence[Mapping[str, Any]]) -> None:
    speed = (
        f", {report.clips_per_second:.3g} clips/s, {report.audio_seconds / max(report.seconds, 1e-9):.3g} times real time"
        if report.written
        else ""
    )
    left = f", {report.skipped} files of others kept" if report.skipped else ""
    console.say(f"{report.folder}: {report.written} clips written, {report.kept} kept{left}{speed}")
    if report.clipped:
        console.warn(f"{report.clipped} clips were louder than full scale and were clipped; --normalize -1 avoids that.")
    if report.silent:
        console.warn(f"{report.silent} clips are silent.")
    for sheet in sheets:
        console.say(f"{sheet}: contact sheet")
    console.result(
        {
            "output": report.folder,
            "manifest": report.folder / "manifest.csv",
            "contact_sheet": sheets[0] if sheets else None,
            "clips": plan.total,
            "written": report.written,
            "kept": report.kept,
            "skipped": report.skipped,
            "clipped": report.clipped,
            "silent": report.silent,
            "seconds": round(report.seconds, 3),
            "clips_per_second": round(report.clips_per_second, 3),
            "sample_rate": plan.sample_rate,
            "model": plan.session.sha256,
            **({"matches": list(matches)} if matches else {}),
        }
    )


def _draw_sheets(plan: Plan, output: Path, columns: int | None) -> list[Path]:
    """Draw the first clips; of a grid, one sheet for each combination of classes, `columns` clips wide.

    The clips are read from the files, not from memory: the sheet of a request that was resumed shows all of it.
    """
    from ..inference.generate import contact_sheet

    if columns is None or plan.table is None:
        shown = range(plan.first, plan.first + min(plan.total, contact_sheet.MAX_TILES))
        return [_draw_sheet(plan, output, shown, None, output / SHEET_FILE)]
    size = len(plan.table.latents)
    turns = [range(start, start + size) for start in range(0, plan.total, size)]
    stem, suffix = SHEET_FILE.rsplit(".", 1)
    names = [SHEET_FILE] if len(turns) == 1 else [f"{stem}-{turn:02d}.{suffix}" for turn in range(len(turns))]
    return [_draw_sheet(plan, output, turn, columns, output / name) for turn, name in zip(turns, names, strict=True)]


def _draw_sheet(plan: Plan, output: Path, indices: range, columns: int | None, path: Path) -> Path:
    from ..data.audio import audio_file
    from ..inference.generate import contact_sheet

    tiles = []
    for clip in map(plan.clip, indices):
        audio, _ = audio_file.read(output / clip.file, sample_rate=plan.sample_rate)
        caption = f"{clip.index} {clip.caption}".rstrip()
        tiles.append(contact_sheet.Tile(audio, caption, clip.label or clip.attributes.get("instrument", "")))
    shown = f"{len(tiles)} of {plan.total} clips" if plan.total > len(tiles) else f"{plan.total} clips"
    source = f"from {plan.clip(indices[0]).seed}" if plan.table else f"seed {plan.clip(indices[0]).seed}"
    page = contact_sheet.draw(tiles, plan.sample_rate, f"{output.resolve().name}: {shown}, {source}", columns)
    contact_sheet.save(page, path)
    return path


def facts(session: GeneratorSession) -> str:
    """Describe a model in a line."""
    classes = session.classes
    known = [f"labels {_some(classes['label'])}"] if "label" in classes else []
    if pitches := classes.get("pitch"):
        known.append(f"pitches {ranges(map(int, pitches))} ({pitch_name(int(pitches[0]))} to {pitch_name(int(pitches[-1]))})")
    known += [f"{name} {_some(classes[name])}" for name in ("instrument", "velocity") if name in classes]
    encoder = ", with an encoder" if session.has_encoder else ""
    shown = "; ".join(known) or "no labels"
    return f"{session.sample_rate} Hz, {session.distribution} latents of {session.latent_dim}{encoder}, {shown}"


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"


def peak_of(text: str) -> float | None:
    """Read the value of --normalize: dBFS, or None.

    Raises:
        UsageError: It is neither a number nor none.
    """
    if text.lower() == "none":
        return None
    try:
        return float(text.lower().removesuffix("db").strip())
    except ValueError as error:
        raise UsageError(f"--normalize is {text!r}; expected a peak in dBFS such as -1, or none.") from error
