"""`gan-audio generate`: writes new clips with a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import EXIT_INTERRUPTED, EXIT_OK, RunError, UsageError
from . import console
from .generate_given import Given, make_table, read_results
from .generate_report import SHEET_FILE, draw_sheets, facts, finish, peak_of

if TYPE_CHECKING:
    from ..inference.generate.clip_folder import Existing


def command(
    model: Path = typer.Argument(..., metavar="RUN|FILE.keras", help="A run folder, or a generator.keras file."),
    output: Path = typer.Option(..., "-o", "--output", help="Folder for the clips; the same command again continues there."),
    clips: int | None = typer.Option(None, "-n", "--clips", help="Number of clips. [default: 16]"),
    seed: int | None = typer.Option(None, "--seed", help="Clip i of a seed is always the same clip. [default: 0]"),
    first: int = typer.Option(0, "--first", help="Number of the first clip."),
    label: list[str] = typer.Option(
        [], "--label", help="Class to generate; repeat it for several, which take turns. Default: all in turn."
    ),
    pitch: list[str] = typer.Option([], "--pitch", help="Pitched models: 60, C4, 36-84 or C3,E3,G3; several take turns."),
    instrument: list[str] = typer.Option([], "--instrument", help="Instrument to play; repeat it for several, which take turns."),
    velocity: list[int] = typer.Option([], "--velocity", help="MIDI velocity, of those the model knows; may be repeated."),
    interpolate: tuple[str, str] = typer.Option(
        ("", ""),
        "--interpolate",
        "--morph",
        metavar="A B",
        show_default=False,
        help="Walk from A to B: seeds, latents (.npy) or, with an encoder, recordings.",
    ),
    grid: tuple[str, str, str, str] = typer.Option(
        ("", "", "", ""), "--grid", metavar="A B C D", show_default=False, help="What lies between four corners, and a picture of it."
    ),
    latents: list[Path] = typer.Option([], "--latents", metavar="FILE.npy", help="Play kept latents; repeat it for several files."),
    save_latents: bool = typer.Option(False, "--save-latents", help="Write the latent of each clip beside it, as .npy."),
    match: list[Path] = typer.Option([], "--match", metavar="CLIP", help="Search for the latent that sounds like a recording."),
    starts: int | None = typer.Option(None, "--starts", help="With --match: searches side by side. [default: 4]"),
    iterations: int | None = typer.Option(None, "--iterations", help="With --match: steps of each. [default: 200]"),
    vary: float | None = typer.Option(
        None, "--vary", help="With --from: 0 rebuilds the recording, 1 is any sound of the model. [default: 0.3]"
    ),
    midi: Path | None = typer.Option(None, "--midi", metavar="SONG.mid", help="Pitched models: play a song; -o is then a file."),
    steps: int | None = typer.Option(None, "--steps", help="Clips of a walk, both ends included; rows of a grid. [default: 9; grid: 5]"),
    method: str | None = typer.Option(None, "--method", metavar="lerp|slerp", help="Path of a walk. [default: what fits the latents]"),
    truncation: float | None = typer.Option(None, "--truncation", help="Cut the latents to [-t, t]: less variety, more typical clips."),
    batch: int = typer.Option(64, "--batch", help="Clips computed ahead of the encoders; does not change the sound."),
    format: str = typer.Option("wav", "--format", metavar="wav|flac|ogg|mp3", help="File format."),
    subtype: str | None = typer.Option(None, "--subtype", help="Encoding of wav and flac: PCM_16, PCM_24, FLOAT ... [default: PCM_16]"),
    template: str | None = typer.Option(
        None, "--template", help="File names, e.g. '{label}/{index:06d}'. [default: '{index:06d}_{label}_{seed}']"
    ),
    sample_rate: int | None = typer.Option(None, "--sample-rate", help="Resample to this rate in Hz. [default: the model's]"),
    normalize: str = typer.Option("none", "--normalize", metavar="DB|none", help="Scale every clip to this peak in dBFS, such as -1."),
    trim_silence: bool = typer.Option(False, "--trim-silence", help="Cut what is 60 dB below the peak from both ends."),
    sidecar: bool = typer.Option(False, "--sidecar", help="Write the provenance of each clip beside it, as JSON."),
    contact_sheet: bool = typer.Option(False, "--contact-sheet", help=f"Draw the first 64 clips into {SHEET_FILE}."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files of another request."),
    skip_existing: bool = typer.Option(False, "--skip-existing", help="Leave files of another request, and write the rest."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be written, and stop."),
    json_output: bool = typer.Option(False, "--json", help="Print the result as JSON on stdout."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing but warnings and errors."),
    from_: list[Path] = typer.Option(
        [],
        "--from",
        metavar="INPUT",
        help="Vocoders: recordings to say again, or mel spectrograms (.npy); folders to any depth. "
        "Other models: latents (.npy) to vary or, with an encoder, recordings.",
    ),
    vocoder: str = typer.Option(
        "", "--model", metavar="griffin-lim", help="With --from: Griffin-Lim on RUN's mel spectrogram, to compare."
    ),
    mel_layout: str = typer.Option(
        "frames-mels", "--mel-layout", metavar="frames-mels|mels-frames", help="With --from: the axes of the .npy."
    ),
    jobs: int = typer.Option(
        1, "--jobs", "-j", help="With --from: processes; 0 is one a core. Each loads the model; one alone uses all cores too."
    ),
) -> int:
    """Write new clips with a trained model, as audio files with a manifest; with --from, a vocoder's sound of mel spectrograms."""
    console.configure(quiet=quiet, json_output=json_output)
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other.")
    walking, corners = any(interpolate), tuple(grid) if any(grid) else ()
    passed: dict[str, Any] = {"-n": clips, "--seed": seed, "--first": first or None, "--label": label, "--steps": steps, "--method": method}
    passed |= {"--pitch": pitch, "--instrument": instrument, "--velocity": velocity, "--interpolate": walking, "--grid": any(grid)}
    passed |= {"--latents": latents, "--match": match, "--starts": starts, "--iterations": iterations, "--vary": vary}
    passed |= {"--truncation": truncation, "--template": template, "--sample-rate": sample_rate, "--contact-sheet": contact_sheet}
    passed |= {"--trim-silence": trim_silence, "--sidecar": sidecar, "--normalize": normalize != "none", "--save-latents": save_latents}
    passed |= {"--skip-existing": skip_existing}
    was_passed = {name: value for name, value in passed.items() if not (value is None or value is False or value == [])}
    if midi is not None:
        return _play_midi(model, midi, output, was_passed | ({"--from": from_} if from_ else {}), subtype, normalize, overwrite, dry_run)
    if vocoder or jobs != 1 or (from_ and not _is_generator(model)):
        raise UsageError("Vocoding has a verb of its own.", hint=f"gan-audio vocode INPUT... -o {output} --model {vocoder or model}")
    given = Given(tuple(interpolate) if walking else (), corners, tuple(latents), tuple(from_), tuple(match), vary, starts, iterations)
    given.check(was_passed | ({"--from": from_} if from_ else {}))

    from ..data.corpora.note_names import parse_pitches
    from ..inference.generate.request import GenerateOptions, Plan

    options = GenerateOptions(
        clips=16 if clips is None else clips,
        first=first,
        seed=0 if seed is None else seed,
        labels=tuple(label),
        pitches=tuple(parse_pitches(",".join(pitch))) if pitch else (),
        instruments=tuple(instrument),
        velocities=tuple(velocity),
        interpolate=given.seeds,
        steps=(5 if corners else 9) if steps is None else steps,
        method=method,
        truncation=truncation,
        batch=batch,
        format=format.lower().lstrip("."),
        subtype=subtype.upper() if subtype else None,
        template=template,
        sample_rate=sample_rate,
        peak_db=peak_of(normalize),
        trim_silence=trim_silence,
        sidecar=sidecar,
        save_latents=save_latents or bool(match),
    )
    options.check()
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder.", hint="gan-audio generate RUN -o clips/")
    if not model.exists():
        raise UsageError(
            f"{model} does not exist; expected a run folder or a .keras file.", hint="gan-audio train --recipe NAME --data DATA --run RUN"
        )

    console.start_tensorflow()
    from ..inference.generate import session as sessions
    from ..inference.generate.write import generate, inspect

    session = sessions.open_session(model)
    console.say(f"{session.file}: {facts(session)}, loaded in {session.load_seconds:.1f} s")
    plan = Plan(options, session, make_table(session, given, options, output, clips))
    existing: Existing = "overwrite" if overwrite else "skip" if skip_existing else "error"
    todo = inspect(plan, output, existing)
    if dry_run:
        example = plan.clip(todo.missing[0]).file if todo.missing else plan.clip(plan.first).file
        console.say(
            f"{len(todo.missing)} clips to write, {todo.kept} there already, {todo.skipped} left alone; the next is {output / example}"
        )
        console.result(
            {"dry_run": True, "output": output, "write": len(todo.missing), "kept": todo.kept, "skipped": todo.skipped, "next": example}
        )
        return EXIT_OK
    if todo.kept:
        console.say(f"{todo.kept} of {plan.total} clips are there already")
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
        console.warn(f"interrupted: {done} of {plan.total} clips are in {output}. To go on, run the same command again.")
        return EXIT_INTERRUPTED
    sheets = draw_sheets(plan, output, options.steps if corners else None) if contact_sheet or corners else []
    finish(plan, report, sheets, read_results(output) if match else [])
    return EXIT_OK


def _is_generator(model: Path) -> bool:
    """Whether the file holds a generator of clips, not a vocoder. What cannot be told is left to who opens it."""
    from ..models.model_file import GENERATORS, find_model

    try:
        return find_model(model).class_name in GENERATORS
    except RunError:
        return False


def _play_midi(
    model: Path,
    midi: Path,
    output: Path,
    passed: Mapping[str, Any],
    subtype: str | None,
    normalize: str,
    overwrite: bool,
    dry_run: bool,
) -> int:
    from . import generate_midi

    refused = [name for name in passed if name not in ("--seed", "--instrument", "--latents", "--normalize")]
    if refused:
        raise UsageError(f"{refused[0]} has no meaning with --midi: the song says what is played, and -o is one recording.")
    files = passed.get("--latents", [])
    if len(files) > 1:
        raise UsageError("--latents was given twice; with --midi it is one file, whose rows are the timbres.")
    peak_db = peak_of(normalize)
    return generate_midi.run(
        model,
        midi,
        output,
        seed=passed.get("--seed", 0),
        instruments=passed.get("--instrument", []),
        latents=files[0] if files else None,
        overwrite=overwrite,
        dry_run=dry_run,
        json_output=console.wants_json(),
        subtype=subtype,
        peak=0.5 if peak_db is None else 10 ** (peak_db / 20),
    )
