"""`gan-audio generate`: new clips of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import UsageError
from . import console
from .clips import ClipOptions, ClipVerb, Model, option, write_clips
from .options import with_options

if TYPE_CHECKING:
    from ..inference.generate.request import GenerateOptions, LatentTable
    from ..inference.generate.session import GeneratorSession

_MANY, _LATENTS = "How many", "Latents"


@with_options(ClipOptions)
def command(
    model: Model,
    clips: Annotated[int | None, option("-n", "--clips", panel=_MANY, help="Number of clips.", show_default="16")] = None,
    first: Annotated[int | None, option("--first", panel=_MANY, help="Number of the first clip.", show_default="0")] = None,
    seed: Annotated[
        int | None, option("--seed", panel=_LATENTS, help="Clip i of a seed is always the same clip.", show_default="0")
    ] = None,
    truncation: Annotated[
        float | None,
        option("--truncation", panel=_LATENTS, help="Limit latents to [-X, X]: less variety, more typical clips.", show_default="no limit"),
    ] = None,
    latents: Annotated[
        list[Path] | None,
        option("--latents", panel=_LATENTS, metavar="FILE.npy", help="Play stored latents instead of drawn ones; repeatable."),
    ] = None,
    *,
    chosen: ClipOptions,
) -> int:
    """Generate new clips with a trained model, as audio files with a manifest.

    Clip i of a seed is the same clip in every request, so the same command continues and a larger -n adds clips. Labels, pitches,
    instruments and velocities take turns, clip by clip. Every file carries a provenance tag that says it is synthetic.

    Interpolations, variations of a recording and the search for a sound: gan-audio latents. Songs: gan-audio play.
    """
    console.configure(quiet=chosen.quiet, json_output=chosen.json_output)
    files = tuple(latents or ())
    for name, value in (("-n", clips), ("--first", first), ("--seed", seed), ("--truncation", truncation)):
        if files and value is not None:
            raise UsageError(f"{name} cannot be combined with --latents: the files say which latents are played, each once per class.")
    for path in files:
        if not path.is_file():
            raise UsageError(f"--latents {path} {'is a folder; expected a file' if path.is_dir() else 'does not exist'}.")
    request = chosen.request(
        clips=16 if clips is None else clips, first=first or 0, seed=seed or 0, truncation=truncation, save_latents=chosen.save_latents
    )

    def table(session: GeneratorSession, options: GenerateOptions, output: Path) -> LatentTable | None:
        from ..inference.generate.sources import file_table

        return file_table(session, files) if files else None

    return write_clips(model, request, chosen, ClipVerb(table))
