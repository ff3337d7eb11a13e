"""`gan-audio edit`: edits that take a model or a search: spliced seams, loops, textures of any length, joined clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import EXIT_OK
from . import console
from .file_verb import Json, Quiet

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Splice, loop, extend and join audio.")

_Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="File to write; its suffix decides on the format.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


@app.command("splice")
def splice(
    first: Annotated[Path, typer.Argument(metavar="A", help="The recording that comes first.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The recording that follows; it may be the same file.")],
    output: _Output,
    until: Annotated[float | None, typer.Option("--until", metavar="S", help="End of A in seconds.", show_default="its end")] = None,
    start: Annotated[float, typer.Option("--from", metavar="S", help="Begin of B in seconds.")] = 0.0,
    seam: Annotated[float, typer.Option("--seam", metavar="MS", help="Length of the seam that is filled.")] = 60.0,
    search: Annotated[
        float, typer.Option("--search", metavar="MS", help="By how much the seam may differ, so that both sides are in phase.")
    ] = 8.0,
    overwrite: _Overwrite = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Put one recording behind another, with a seam between them that a model fills.

    Up to 40 ms the seam is interpolated, up to 300 ms vocoded. The samples of both recordings stay as they are. To cut out a part:
    gan-audio edit splice take.wav take.wav --until 3.2 --from 4.1 -o cut.wav
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..inference.edit.splice import SpliceOptions
    from ..inference.edit.splice import splice as run

    found = run(first, second, output, SpliceOptions(seam, search, until, start), overwrite=overwrite)
    begin, end = found["seam"]
    return _done(found, f"seam from {begin:.3f} to {end:.3f} s")


@app.command("loop")
def loop(
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="A recording of up to ten minutes.")],
    output: _Output,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="Length of the loop, within 5 %.", show_default="as long as the recording allows"),
    ] = None,
    fade: Annotated[float, typer.Option("--fade", metavar="MS", help="Length of the cross-fade over the jump.")] = 100.0,
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", help="Write the loop N times.")] = 1,
    overwrite: _Overwrite = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Cut a seamless loop out of a recording.

    The two places are searched for whose spectra and waveforms agree best. For a loop of generated texture: edit extend --loop.
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..inference.edit.loop import make_loop

    found = make_loop(recording, output, seconds=seconds, fade_ms=fade, repeat=repeat, overwrite=overwrite)
    where = f"{found['start']:.3f} to {found['end']:.3f} s of {recording.name}"
    return _done(found, f"loop of {found['loop_seconds']:.3f} s, {where}, correlation {found['correlation']:.2f}")


@app.command("extend")
def extend(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="A generator: a run folder, a generator.keras file or a bundled model.")],
    output: _Output,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Length of the texture.")] = 30.0,
    overlap: Annotated[float, typer.Option("--overlap", metavar="0..0.5", help="Share of each clip cross-faded with the next.")] = 0.25,
    change: Annotated[
        float, typer.Option("--change", metavar="0..1", help="From one latent throughout to a new one for each clip; between: a walk.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the latents.")] = 0,
    label: Annotated[str, typer.Option("--label", help="Class to generate.", show_default="the first")] = "",
    loop: Annotated[bool, typer.Option("--loop", help="Cross-fade the end into the beginning: a seamless loop.")] = False,
    overwrite: _Overwrite = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Generate a texture of any length from overlapping clips of a generator."""
    console.configure(quiet=quiet, json_output=json_output)
    from ..inference.edit.extend import ExtendOptions

    options = ExtendOptions(seconds, overlap, change, seed, label, loop)
    options.check()
    console.start_tensorflow()
    from ..inference.edit.extend import extend as run
    from ..inference.generate.session import open_session

    found = run(open_session(model), output, options, overwrite=overwrite)
    return _done(found, f"{found['windows']} clips")


@app.command("join")
def join(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Clips, and folders in the order of their names.")],
    output: _Output,
    fade: Annotated[float, typer.Option("--fade", metavar="MS", help="Cross-fade clips over this time.")] = 0.0,
    pause: Annotated[float, typer.Option("--pause", metavar="S", help="Put silence between clips.")] = 0.0,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="TXT", help="Write start, end and name of each clip, as Audacity reads them.")
    ] = None,
    overwrite: _Overwrite = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Join clips into one file; a WAV gets a cue marker at the start of each.

    The output has the first clip's rate and encoding, and the largest number of channels.
    """
    console.configure(quiet=quiet, json_output=json_output)
    from ..inference.edit.join import join as run

    found = run(inputs, output, fade_seconds=fade / 1000, pause_seconds=pause, labels=labels, overwrite=overwrite)
    if not found["cues"] and labels is None:
        console.warn(f"{output.name} cannot hold cue markers, a WAV can; --labels writes them to a text file.")
    return _done(found, f"{len(found['clips'])} clips")


def _done(found: dict[str, Any], what: str) -> int:
    """Report an edit."""
    console.say(f"{found['output']}: {found['seconds']:.2f} s, {what}")
    if found["clipped"]:
        console.warn(f"{found['clipped']} samples exceeded full scale and were clipped.")
    console.result(found)
    return EXIT_OK
