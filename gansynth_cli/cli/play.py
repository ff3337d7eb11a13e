"""`gan-audio play`: a MIDI file played by a model of notes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_INTERRUPTED, EXIT_OK, AudioFileError, UsageError
from ..files import load_array, sha256_of
from ..models.model_file import bundled_models
from . import console
from .clips import check_model, peak_of
from .file_verb import DryRun, Json, Quiet

if TYPE_CHECKING:
    import numpy as np

    from ..inference.midi.read import Song

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
USUAL_PEAK = 0.5
NOTES, DRUMS = "notes", "drums"  # the bundled models
_EXAMPLE = "gan-audio play song.mid --model RUN -o song.wav"


def command(
    song: Annotated[Path, typer.Argument(metavar="SONG.mid", help="A Standard MIDI File.")],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="RUN",
            help="A run folder, .keras file or bundled name of a pitched model, or of one of drums.",
            show_default="the bundled notes",
        ),
    ] = None,
    drums: Annotated[
        Path | None,
        typer.Option(
            "--drums",
            metavar="RUN",
            help="A model whose labels name drums (kick, snare ...): plays channel 10 by General MIDI's percussion map. none: left out.",
            show_default="the bundled drums",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The recording: .wav, .flac, .ogg or .mp3.")] = None,
    instrument: Annotated[
        list[str] | None,
        typer.Option(
            "--instrument",
            help="One for the whole song; several follow each other along it; program: as the file says.",
            show_default="program with the bundled notes, else a random one every 6 s",
        ),
    ] = None,
    latents: Annotated[
        Path | None, typer.Option("--latents", metavar="FILE.npy", help="Timbres to play, one per row.", show_default="random ones")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random timbres and instruments.")] = 0,
    normalize: Annotated[
        str | None,
        typer.Option(
            "--normalize", metavar="DB|none", help="Peak of the mix in dBFS; none keeps the sum of the notes.", show_default="-6.02, 0.5"
        ),
    ] = None,
    subtype: Annotated[
        str | None, typer.Option("--subtype", help="Encoding of WAV and FLAC: PCM_16, PCM_24, FLOAT ...", show_default="PCM_16")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing recording.")] = False,
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Play a MIDI file with the bundled models of notes and drums, or with models of your own (families gansynth and vae).

    Notes outside the trained pitches are moved by octaves, long notes end early; both are counted. Volume, expression and pitch bend are
    followed. Damaged MIDI files are played as far as they can be read. The recording carries a provenance tag that says it is synthetic.
    """
    console.configure(quiet=quiet, json_output=json_output)
    if output is None:
        raise UsageError("No output is given.", hint=f"gan-audio play {song}{f' --model {model}' if model else ''} -o {song.stem}.wav")
    if output.is_dir() or output.suffix.lower() not in SUFFIXES:
        wrong = "is a folder" if output.is_dir() else "is not the name of a recording"
        raise UsageError(f"The output {output} {wrong}; expected one file: {', '.join(SUFFIXES)}.", hint=_EXAMPLE)
    if output.exists() and not overwrite and not dry_run:
        raise UsageError(f"The output {output} exists already.", hint="add --overwrite, or choose another name with -o")
    from ..inference.generate.latents import check_seed
    from ..inference.midi.read import read_midi

    check_seed(seed)
    encoding = _encoding(output, subtype)
    peak_db = None if normalize is None else peak_of(normalize)
    peak = USUAL_PEAK if normalize is None else None if peak_db is None else 10 ** (peak_db / 20)
    midi = read_midi(song)
    kept = _read_latents(latents) if latents is not None else None
    model, drums, instruments = _defaults(midi, model, drums, tuple(instrument or ()))
    for chosen in (model, drums):
        if chosen is not None:
            check_model(chosen)

    console.say(f"Loading {model} ...")
    console.start_tensorflow()
    from ..inference.generate import session as sessions
    from ..inference.midi.drums import DrumPerformance
    from ..inference.midi.render import Performance, RenderOptions, render

    session = sessions.open_session(model)
    options = RenderOptions(seed, instruments, kept, peak=peak)
    pitched = bool(session.classes.get("pitch") or not (midi.drum_notes and session.classes.get("label")))
    beside = sessions.open_session(drums) if drums and pitched else None
    if beside is not None:  # both at the higher rate
        rate = max(session.sample_rate, beside.sample_rate)
        session, beside = session.at_rate(rate), beside.at_rate(rate)
    performance: Performance | DrumPerformance
    if pitched:
        performance = Performance(session, replace(midi, drum_notes=()) if beside else midi, options, output)
    else:
        performance = DrumPerformance(session, midi, options, output)
    kit = DrumPerformance(beside, midi, RenderOptions(seed), output) if beside else None
    report = performance.report
    played = ", ".join(f"{name} {count}" for name, count in report.instruments.items())
    console.say(f"{song}: {report.notes} notes, {console.duration(midi.seconds)}{f' ({played})' if played else ''}")
    for warning in [*performance.warnings(), *(kit.warnings() if kit else [])]:
        console.warn(warning)
    facts: dict[str, Any] = {
        "output": output,
        "midi": song,
        "notes": report.notes,
        "drums": midi.drums,
        "moved": report.moved,
        "replaced": report.replaced,
        "shortened": report.shortened,
        "instruments": report.instruments,
        "seed": seed,
        "sample_rate": session.sample_rate,
        "model": session.sha256,
    }
    if dry_run:
        console.say("nothing is written")
        console.result(facts | {"dry_run": True, "audio_seconds": round(midi.seconds, 3)})
        return EXIT_OK
    began = time.monotonic()
    tag = {"recipe": session.provenance.get("recipe", ""), "midi_sha256": sha256_of(song)}
    try:
        with console.progress("Playing", report.notes + (kit.report.notes if kit else 0), "notes") as bar:
            render(performance, drums=kit, group=sessions.GROUP, subtype=encoding, overwrite=overwrite, tag=tag, on_notes=bar.advance)
    except KeyboardInterrupt:
        console.warn(f"interrupted: {output} was not written.")
        return EXIT_INTERRUPTED
    seconds = time.monotonic() - began
    speed = f", {report.seconds / max(seconds, 1e-9):.3g} times real time"
    console.say(f"{output}: {console.duration(report.seconds)} of audio, {report.generated} notes computed{speed}")
    if report.silent:
        console.warn(f"{report.silent} computed notes are silent.")
    if report.clipped:
        console.warn(f"{report.clipped} samples were beyond full scale and were clipped.")
    done = {"generated": report.generated, "silent": report.silent, "clipped": report.clipped}
    console.result(facts | done | {"audio_seconds": round(report.seconds, 3), "seconds": round(seconds, 3)})
    return EXIT_OK


def _defaults(
    midi: Song, model: Path | None, drums: Path | None, instruments: tuple[str, ...]
) -> tuple[Path, Path | None, tuple[str, ...]]:
    """Return the models and the instruments of a song: where the user names none, the bundled ones, by the song's own programs.

    Raises:
        UsageError: No model is named, and this installation has none.
    """
    from ..inference.midi.render import PROGRAMS

    bundled = bundled_models()
    if str(drums) == "none":
        drums = None
    elif drums is None and midi.drum_notes and DRUMS in bundled and str(model) != DRUMS:
        drums = Path(DRUMS)
    if model is None and not midi.notes and drums is not None:
        return drums, None, instruments
    if model is None and NOTES in bundled:
        return Path(NOTES), drums, instruments or (PROGRAMS,)
    if model is None:
        raise UsageError("No model is given.", hint=_EXAMPLE)
    return model, drums, instruments


def _encoding(output: Path, subtype: str | None) -> str:
    only = {".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}.get(output.suffix.lower())
    if only and subtype:
        raise UsageError(f"--subtype {subtype} cannot be combined with {output.suffix}, which has only one encoding.")
    return only or (subtype or "PCM_16").upper()


def _read_latents(path: Path) -> np.ndarray:
    """Read float32 [timbres, dim] from a `.npy`; `Performance` checks that it fits the model."""
    import numpy as np

    if not path.is_file():
        raise UsageError(
            f"The latents {path} do not exist; expected a .npy file.", hint="gan-audio generate RUN --save-latents writes one per clip"
        )
    try:
        found = np.asarray(load_array(path), np.float32)
    except (OSError, ValueError) as error:
        raise AudioFileError(path, f"not an array of latents: {error}") from error
    return found[None] if found.ndim == 1 else found
