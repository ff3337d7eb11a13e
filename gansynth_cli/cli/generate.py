"""`gan-audio generate`: writes new clips with a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from . import console

if TYPE_CHECKING:
    from ..inference.clip_folder import Existing
    from ..inference.generate import GenerateReport
    from ..inference.request import Plan

SHEET_FILE = "contact-sheet.png"


def command(
    model: Path = typer.Argument(..., metavar="RUN|FILE.keras", help="A run folder, or a generator.keras file."),
    output: Path = typer.Option(..., "-o", "--output", help="Folder for the clips; the same command again continues there."),
    clips: int | None = typer.Option(None, "-n", "--clips", help="Number of clips. [default: 16]"),
    seed: int | None = typer.Option(None, "--seed", help="Clip i of a seed is always the same clip. [default: 0]"),
    first: int = typer.Option(0, "--first", help="Number of the first clip."),
    label: list[str] = typer.Option(
        [], "--label", help="Class to generate; repeat it for several, which take turns. Default: all in turn."
    ),
    interpolate: tuple[int, int] = typer.Option(
        (-1, -1), "--interpolate", metavar="A B", show_default=False, help="Walk from seed A to seed B."
    ),
    steps: int | None = typer.Option(None, "--steps", help="Clips of a walk, both ends included. [default: 9]"),
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
        [], "--from", metavar="INPUT", help="Vocoders: recordings to say again, or mel spectrograms (.npy); folders to any depth."
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
    if from_ or vocoder or jobs != 1:
        from . import vocode

        passed: dict[str, Any] = {"-n": clips, "--seed": seed, "--first": first, "--label": label, "--steps": steps, "--method": method}
        passed |= {"--truncation": truncation, "--template": template, "--sample-rate": sample_rate, "--contact-sheet": contact_sheet}
        passed |= {"--trim-silence": trim_silence, "--interpolate": interpolate != (-1, -1), "--sidecar": sidecar}
        passed |= {"--normalize": normalize != "none", "--skip-existing": skip_existing}
        vocode.check_options(from_, vocoder, mel_layout, jobs, refused=[name for name, value in passed.items() if value])
        return vocode.run(
            model,
            from_,
            output,
            vocoder=vocoder,
            transposed=mel_layout == "mels-frames",
            format=format,
            subtype=subtype,
            overwrite=overwrite,
            dry_run=dry_run,
            jobs=jobs,
        )
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other.")
    walking = interpolate != (-1, -1)
    for name, given in (("-n", clips is not None), ("--seed", seed is not None), ("--first", first != 0)):
        if walking and given:
            raise UsageError(
                f"{name} has no meaning with --interpolate: a walk has --steps clips, from clip 0 of seed A to clip 0 of seed B."
            )
    for name, value in (("--steps", steps), ("--method", method)):
        if value is not None and not walking:
            raise UsageError(f"{name} has no meaning without --interpolate.", hint="--interpolate 1 2 walks from seed 1 to seed 2")

    from ..inference.request import GenerateOptions, Plan

    options = GenerateOptions(
        clips=16 if clips is None else clips,
        first=first,
        seed=0 if seed is None else seed,
        labels=tuple(label),
        interpolate=interpolate if walking else None,
        steps=9 if steps is None else steps,
        method=method,
        truncation=truncation,
        batch=batch,
        format=format.lower().lstrip("."),
        subtype=subtype.upper() if subtype else None,
        template=template,
        sample_rate=sample_rate,
        peak_db=_peak(normalize),
        trim_silence=trim_silence,
        sidecar=sidecar,
    )
    options.check()
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder.", hint="gan-audio generate RUN -o clips/")
    if not model.exists():
        raise UsageError(
            f"{model} does not exist; expected a run folder or a .keras file.", hint="gan-audio train --recipe NAME --data DATA --run RUN"
        )

    console.start_tensorflow()
    from ..inference import session as sessions
    from ..inference.generate import generate, inspect

    session = sessions.open_session(model)
    console.say(f"{session.file}: {_facts(session)}, loaded in {session.load_seconds:.1f} s")
    plan = Plan(options, session)
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
    sheet = _draw_sheet(plan, output) if contact_sheet else None
    _finish(plan, report, sheet)
    return EXIT_OK


def _finish(plan: Plan, report: GenerateReport, sheet: Path | None) -> None:
    speed = (
        f", {report.clips_per_second:.3g} clips/s, {report.audio_seconds / max(report.seconds, 1e-9):.3g} times real time"
        if report.written
        else ""
    )
    left = f", {report.skipped} left alone" if report.skipped else ""
    console.say(f"{report.folder}: {report.written} clips written, {report.kept} kept{left}{speed}")
    if report.clipped:
        console.warn(f"{report.clipped} clips were louder than full scale and were clipped; --normalize -1 keeps them whole.")
    if report.silent:
        console.warn(f"{report.silent} clips are silent.")
    if sheet:
        console.say(f"{sheet}: look at the clips")
    console.result(
        {
            "output": report.folder,
            "manifest": report.folder / "manifest.csv",
            "contact_sheet": sheet,
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
        }
    )


def _draw_sheet(plan: Plan, output: Path) -> Path:
    """From the files, not from memory: the sheet of a request that was resumed shows all of it."""
    from itertools import islice

    from ..data import audio_file
    from ..inference import contact_sheet

    tiles = []
    for clip in islice(plan.clips(), contact_sheet.MOST_TILES):
        audio, _ = audio_file.read(output / clip.file, sample_rate=plan.sample_rate)
        caption = f"{clip.index} {clip.caption}".rstrip()
        tiles.append(contact_sheet.Tile(audio, caption, clip.label or clip.attributes.get("instrument", "")))
    shown = f"{len(tiles)} of {plan.total} clips" if plan.total > len(tiles) else f"{plan.total} clips"
    page = contact_sheet.draw(tiles, plan.sample_rate, f"{output.resolve().name}: {shown}, seed {plan.clip(plan.first).seed}")
    contact_sheet.save(page, output / SHEET_FILE)
    return output / SHEET_FILE


def _facts(session) -> str:
    labels = f"labels {', '.join(session.labels[:12])}{' ...' if len(session.labels) > 12 else ''}" if session.labels else "no labels"
    return f"{session.sample_rate} Hz, {session.distribution} latents of {session.latent_dim}, {labels}"


def _peak(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        return float(text.lower().removesuffix("db").strip())
    except ValueError as error:
        raise UsageError(f"--normalize is {text!r}; expected a peak in dBFS such as -1, or none.") from error
