"""`gan-audio latents`: interpolations and grids between latents, variations of recordings, and the search for a recording's latent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import console
from .clips import ClipOptions, ClipVerb, Model, option, write_clips
from .options import with_options

if TYPE_CHECKING:
    from ..inference.generate.inversion import Match, MatchSettings
    from ..inference.generate.request import GenerateOptions, LatentTable
    from ..inference.generate.session import GeneratorSession
    from ..inference.generate.sources import Point

MATCH_FILE = "match.json"
MAX_GRID = 8  # rows and columns: a contact sheet holds 64 clips
MAX_STARTS, MAX_ITERATIONS = 64, 100_000
_LATENTS = "Latents"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Interpolate, vary and search the latents of a generator.")

_Point = "a seed (its clip 0), a stored latent (.npy) or, for models with an encoder, a recording"
_Method = Annotated[
    str | None,
    option(
        "--method",
        panel=_LATENTS,
        metavar="lerp|slerp",
        help="Path between latents.",
        show_default="lerp; slerp for normal latents",
    ),
]
_Truncation = Annotated[
    float | None,
    option("--truncation", panel=_LATENTS, help="Limit latents to [-X, X], seeds included.", show_default="no limit"),
]
_Seed = Annotated[int, option("--seed", panel=_LATENTS, help="Seed of the random draws.")]


@app.command("interpolate")
@with_options(ClipOptions)
def interpolate(
    model: Model,
    start: Annotated[str, typer.Argument(metavar="A", help=f"First end: {_Point}.")],
    end: Annotated[str, typer.Argument(metavar="B", help="Other end, as A.")],
    steps: Annotated[int, option("--steps", panel=_LATENTS, help="Number of clips, both ends included.")] = 9,
    method: _Method = None,
    truncation: _Truncation = None,
    *,
    chosen: ClipOptions,
) -> int:
    """Generate the clips between A and B, for each combination of classes.

    Without --pitch the pitch nearest to middle C is played, without --instrument the first one. Between two recordings each half has
    the classes of its end.
    """
    console.configure(quiet=chosen.quiet, json_output=chosen.json_output)
    ends = (start, end)
    seeds = (int(start), int(end)) if all(text.isdecimal() for text in ends) else None
    more = {"interpolate": seeds, "steps": steps, "method": method, "truncation": truncation}

    def table(session: GeneratorSession, options: GenerateOptions, output: Path) -> LatentTable | None:
        from ..inference.generate.sources import interpolation_table

        if seeds:
            return None  # the request itself says it
        points = _points(session, ends, options)
        return interpolation_table(session, points, steps, _method_of(session, options), options.truncation)

    return write_clips(model, chosen.request(**more), chosen, ClipVerb(table))


@app.command("grid")
@with_options(ClipOptions, without=("contact_sheet",))
def grid(
    model: Model,
    corners: Annotated[
        tuple[str, str, str, str],
        typer.Argument(metavar="A B C D", help=f"Top left, top right, bottom left, bottom right: each {_Point}.", show_default=False),
    ],
    steps: Annotated[int, option("--steps", panel=_LATENTS, help="Number of rows, and of columns; 2 to 8.")] = 5,
    method: _Method = None,
    truncation: _Truncation = None,
    *,
    chosen: ClipOptions,
) -> int:
    """Generate a square of clips between four corners, with a contact sheet, for each combination of classes."""
    console.configure(quiet=chosen.quiet, json_output=chosen.json_output)
    if not 2 <= steps <= MAX_GRID:
        raise UsageError(f"--steps is {steps}; expected 2 to {MAX_GRID}: a contact sheet holds 64 clips.")

    def table(session: GeneratorSession, options: GenerateOptions, output: Path) -> LatentTable:
        from ..inference.generate.sources import grid_table

        points = _points(session, corners, options)
        return grid_table(session, points, steps, _method_of(session, options), options.truncation)

    request = chosen.request(steps=steps, method=method, truncation=truncation)
    return write_clips(model, request, chosen, ClipVerb(table, columns=steps))


@app.command("vary")
@with_options(ClipOptions)
def vary(
    model: Model,
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Recordings, for models with an encoder, or stored latents (.npy).")
    ],
    amount: Annotated[
        float, option("--amount", panel=_LATENTS, help="0: the source as the model reconstructs it; 1: any sound of the model.")
    ] = 0.3,
    clips: Annotated[
        int | None,
        option("-n", "--clips", panel=_LATENTS, help="Variations of each source.", show_default="16; 1 with --amount 0"),
    ] = None,
    seed: _Seed = 0,
    *,
    chosen: ClipOptions,
) -> int:
    """Generate variations of recordings or of stored latents.

    A recording is processed as `prepare` processed the training data, and encoded. Its classes are found by trial; --pitch,
    --instrument or --label play its timbre as another class.
    """
    console.configure(quiet=chosen.quiet, json_output=chosen.json_output)
    if not 0 <= amount <= 1:
        raise UsageError(f"--amount is {amount}; expected 0 (the source as the model reconstructs it) to 1 (any sound of the model).")
    _check_files(sources)
    count = (16 if amount else 1) if clips is None else clips

    def table(session: GeneratorSession, options: GenerateOptions, output: Path) -> LatentTable:
        from ..inference.generate.sources import point, variations_table

        # The user's classes say how it is played; which classes the recording itself has is found. Absolute: a file may be called 7.
        points = [_noted(point(session, str(Path(source).absolute()), {})) for source in sources]
        return variations_table(session, points, amount, count, seed)

    return write_clips(model, chosen.request(clips=count, seed=seed), chosen, ClipVerb(table))


@app.command("match")
@with_options(ClipOptions, without=("save_latents",))
def match(
    model: Model,
    targets: Annotated[list[str], typer.Argument(metavar="RECORDING...", help="Recordings to search for.")],
    starts: Annotated[int, option("--starts", panel=_LATENTS, help="Searches side by side.")] = 4,
    iterations: Annotated[int, option("--iterations", panel=_LATENTS, help="Steps of each search.")] = 200,
    seed: _Seed = 0,
    *,
    chosen: ClipOptions,
) -> int:
    """Search for the latents whose clips are nearest to recordings, with any generator, and write clips and latents.

    Classes that are not given are searched too. The same command again does not search again.
    """
    console.configure(quiet=chosen.quiet, json_output=chosen.json_output)
    for name, value, limit in (("--starts", starts, MAX_STARTS), ("--iterations", iterations, MAX_ITERATIONS)):
        if not 1 <= value <= limit:
            raise UsageError(f"{name} is {value}; expected 1 to {limit}.")
    _check_files(targets)
    files = [Path(target) for target in targets]

    def table(session: GeneratorSession, options: GenerateOptions, output: Path) -> LatentTable:
        from ..inference.generate.inversion import MatchSettings

        return _match_table(session, files, replace(MatchSettings(), starts=starts, steps=iterations, seed=seed), options, output)

    return write_clips(model, chosen.request(seed=seed, save_latents=True), chosen, ClipVerb(table, results=read_results))


def _method_of(session: GeneratorSession, options: GenerateOptions) -> str:
    from ..inference.generate.request import default_method

    return options.method or default_method(session.distribution)


def _points(session: GeneratorSession, texts: Sequence[str], options: GenerateOptions) -> list[Point]:
    from ..inference.generate.request import requested_classes
    from ..inference.generate.sources import point

    classes = requested_classes(options, session)
    return [_noted(point(session, text, classes, options.truncation)) for text in texts]


def _noted(point: Point) -> Point:
    if point.note:
        console.say(point.note)
    return point


def _check_files(paths: Sequence[str]) -> None:
    for path in map(Path, paths):
        if not path.is_file():
            raise UsageError(f"{path} {'is a folder; expected a file' if path.is_dir() else 'does not exist'}.")


def _match_table(
    session: GeneratorSession, targets: Sequence[Path], settings: MatchSettings, options: GenerateOptions, output: Path
) -> LatentTable:
    """Search once: the results are kept in the folder, so that the same command continues."""
    import numpy as np

    from ..inference.generate.inversion import match
    from ..inference.generate.request import LatentTable, requested_classes
    from ..inference.generate.sources import fit_clip, names_of

    classes = requested_classes(options, session)
    clips = [fit_clip(session, path) for path in targets]
    request = {
        "match": [clip.sha256 for clip in clips],
        "classes": {name: list(values) for name, values in classes.items()},
        "seed": settings.seed,
        "starts": settings.starts,
        "iterations": settings.steps,
        "draws": settings.draws,
    }
    key = {"model": session.sha256, **request}
    results = _stored_results(output, key)
    if results is None:
        results = []
        for path, clip in zip(targets, clips, strict=True):
            console.say(clip.note)
            with console.progress(f"Searching {path.name}", None, "steps") as bar:

                def tell(done: int, total: int, note: str, bar: console.Progress = bar) -> None:
                    bar.advance(1, note=f"{note}, {done}/{total}")

                found = match(session, clip, classes, settings, tell)
            results.append(_result(path, found, names_of(session, found.numbers)))
        _store_results(output, key, results)
    for result in results:
        shown = ", ".join(f"{name} {value}" for name, value in result["classes"].items())
        console.say(
            f"{result['recording']}: distance {result['distance']:.3f}{f' with {shown}' if shown else ''}; "
            f"the best of {settings.draws} random sounds {result['random_distance']:.3f}"
        )
    found_classes = {name: tuple(result["classes"][name] for result in results) for name in session.classes}
    table = np.asarray([result["latent"] for result in results], np.float32)
    return LatentTable(table, tuple(Path(result["recording"]).stem for result in results), request, found_classes)


def _result(path: Path, found: Match, classes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "recording": path.name,
        "distance": round(found.distance, 5),
        "random_distance": round(found.random_distance, 5),
        "start_distances": [round(value, 5) for value in found.start_distances],
        "end_distances": [round(value, 5) for value in found.end_distances],
        "classes": dict(classes),
        "latent": [float(value) for value in found.latent],
    }


def read_results(output: Path) -> list[dict[str, Any]]:
    """Return the results of `match` for the clips of a folder, without the latents."""
    try:
        found = json.loads((output / MATCH_FILE).read_text(encoding="utf-8"))["results"]
        return [{key: value for key, value in result.items() if key != "latent"} for result in found]
    except (OSError, ValueError, KeyError):
        return []


def _stored_results(output: Path, key: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    try:
        found = json.loads((output / MATCH_FILE).read_text(encoding="utf-8"))
        return found["results"] if found["key"] == _digest(key) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, or of another search


def _store_results(output: Path, key: Mapping[str, Any], results: list[dict[str, Any]]) -> None:
    from ..errors import GanAudioError
    from ..files import write_text

    try:
        write_text(output / MATCH_FILE, json.dumps({"key": _digest(key), "results": results}, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise GanAudioError(f"{output / MATCH_FILE} cannot be written: {error.strerror or error}.") from error


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
