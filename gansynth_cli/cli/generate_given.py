"""The options of `generate` that say which latents are played: kept ones, walks, grids, variations of recordings, and inversion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..inference.generate.inversion import Match, MatchSettings
    from ..inference.generate.request import GenerateOptions, LatentTable
    from ..inference.generate.session import GeneratorSession
    from ..inference.generate.sources import Point

MATCH_FILE = "match.json"
MOST_GRID = 8  # rows and columns: a contact sheet holds 64 clips
USUAL_VARY = 0.3


@dataclass(frozen=True)
class Given:
    """What the user gave in place of a seed. At most one of the first five is set; see `check`."""

    ends: tuple[str, ...] = ()  # --interpolate: two
    corners: tuple[str, ...] = ()  # --grid: four
    latents: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()  # --from
    targets: tuple[Path, ...] = ()  # --match
    vary: float | None = None
    starts: int | None = None
    iterations: int | None = None

    @property
    def option(self) -> str:
        """The option that says which latents are played; empty: they are drawn from the seed."""
        named = {
            "--interpolate": self.ends,
            "--grid": self.corners,
            "--latents": self.latents,
            "--from": self.sources,
            "--match": self.targets,
        }
        return next((name for name, value in named.items() if value), "")

    @property
    def seeds(self) -> tuple[int, int] | None:
        """The ends of a walk, where both are seeds."""
        return (int(self.ends[0]), int(self.ends[1])) if self.ends and all(end.isdecimal() for end in self.ends) else None

    def check(self, passed: Mapping[str, Any]) -> None:
        """Finds what contradicts itself before anything slow is loaded.

        Args:
            passed: The options that were given, with their values.

        Raises:
            UsageError: Names the options.
        """
        several = [n for n in ("--interpolate", "--grid", "--latents", "--from", "--match") if passed.get(n)]
        if len(several) > 1:
            raise UsageError(f"{several[0]} and {several[1]} exclude each other: both say which latents are played.")
        for name in {
            "--interpolate": ("-n", "--seed", "--first"),
            "--grid": ("-n", "--seed", "--first"),
            "--latents": ("-n", "--seed", "--first", "--truncation"),
            "--from": ("--first", "--truncation"),
            "--match": ("-n", "--first", "--truncation"),
            "": (),
        }[self.option]:
            if name in passed:
                why = {
                    "--interpolate": "a walk has --steps clips, from clip 0 of seed A to clip 0 of seed B",
                    "--grid": "a grid has --steps times --steps clips",
                    "--latents": "the file says which latents are played, each once for every combination of classes",
                    "--from": "variations are numbered from 0, and their amount is --vary",
                    "--match": "one latent is searched for each recording",
                }[self.option]
                raise UsageError(f"{name} has no meaning with {self.option}: {why}.")
        for name, owners in (
            ("--steps", ("--interpolate", "--grid")),
            ("--method", ("--interpolate", "--grid")),
            ("--vary", ("--from",)),
            ("--starts", ("--match",)),
            ("--iterations", ("--match",)),
        ):
            if name in passed and self.option not in owners:
                hint = "--interpolate 1 2 walks from seed 1 to seed 2" if "--grid" in owners else None
                raise UsageError(f"{name} has no meaning without {' or '.join(owners)}.", hint=hint)
        if self.vary is not None and not 0 <= self.vary <= 1:
            raise UsageError(f"--vary is {self.vary}; expected 0 (the recording as the model rebuilds it) to 1 (any sound of the model).")
        if self.corners and not 2 <= (passed.get("--steps") or 2) <= MOST_GRID:
            raise UsageError(f"--steps is {passed['--steps']}; expected 2 to {MOST_GRID} with --grid: its picture holds 64 clips.")
        for name, value in (("--starts", self.starts), ("--iterations", self.iterations)):
            if value is not None and not 1 <= value <= (64 if name == "--starts" else 100_000):
                raise UsageError(f"{name} is {value}; expected 1 to {64 if name == '--starts' else 100_000}.")
        for option, files in (("--latents", self.latents), ("--from", self.sources), ("--match", self.targets)):
            for path in files:
                if not path.is_file():
                    what = "is a folder; expected a file" if path.is_dir() else "does not exist"
                    raise UsageError(f"{option} {path} {what}.")

    def settings(self, seed: int) -> MatchSettings:
        """How hard `--match` searches."""
        from ..inference.generate.inversion import MatchSettings

        usual = MatchSettings()
        starts = usual.starts if self.starts is None else self.starts
        return MatchSettings(starts, usual.steps if self.iterations is None else self.iterations, seed=seed)


def make_table(session: GeneratorSession, given: Given, options: GenerateOptions, output: Path, clips: int | None) -> LatentTable | None:
    """The latents that the user's options name; None where they are drawn, or a walk between two seeds."""
    from ..inference.generate import sources as latents
    from ..inference.generate.request import default_method, requested_classes

    asked = requested_classes(options, session)
    method = options.method or default_method(session.distribution)
    if given.latents:
        return latents.file_table(session, given.latents)
    if given.ends and not given.seeds:
        ends = [_said(latents.point(session, end, asked, options.truncation)) for end in given.ends]
        return latents.interpolation_table(session, ends, options.steps, method, options.truncation)
    if given.corners:
        corners = [_said(latents.point(session, corner, asked, options.truncation)) for corner in given.corners]
        return latents.grid_table(session, corners, options.steps, method, options.truncation)
    if given.sources:
        # What is asked for is how it is played; which classes the recording itself has is found. Absolute: a file may be called 7.
        sources = [_said(latents.point(session, str(path.absolute()), {})) for path in given.sources]
        amount = USUAL_VARY if given.vary is None else given.vary
        count = clips or (16 if amount else 1)
        return latents.variations_table(session, sources, amount, count, options.seed)
    if given.targets:
        return _match_table(session, given, options, output)
    return None


def _said(point: Point) -> Point:
    if point.note:
        console.say(point.note)
    return point


def _match_table(session: GeneratorSession, given: Given, options: GenerateOptions, output: Path) -> LatentTable:
    """Searches once: what was found is kept in the folder, so that the same command continues."""
    import numpy as np

    from ..inference.generate.inversion import match
    from ..inference.generate.request import LatentTable, requested_classes
    from ..inference.generate.sources import fit_clip, names_of

    asked = requested_classes(options, session)
    settings = given.settings(options.seed)
    clips = [fit_clip(session, path) for path in given.targets]
    request = {
        "match": [clip.sha256 for clip in clips],
        "classes": {name: list(values) for name, values in asked.items()},
        "seed": options.seed,
        "starts": settings.starts,
        "iterations": settings.steps,
        "draws": settings.draws,
    }
    key = {"model": session.sha256, **request}
    results = _read_results(output, key)
    if results is None:
        results = []
        for path, clip in zip(given.targets, clips, strict=True):
            console.say(clip.note)
            with console.progress(f"Searching {path.name}", None, "steps") as bar:

                def tell(done: int, total: int, note: str, bar: console.Progress = bar) -> None:
                    bar.advance(1, note=f"{note}, {done}/{total}")

                found = match(session, clip, asked, settings, tell)
            results.append(_result(path, found, names_of(session, found.numbers)))
        _write_results(output, key, results)
    for result in results:
        told = ", ".join(f"{name} {value}" for name, value in result["classes"].items())
        console.say(
            f"{result['recording']}: distance {result['distance']:.3f}{f' with {told}' if told else ''}; "
            f"the best of {settings.draws} random sounds {result['random_distance']:.3f}"
        )
    classes = {name: tuple(result["classes"][name] for result in results) for name in session.classes}
    table = np.asarray([result["latent"] for result in results], np.float32)
    return LatentTable(table, tuple(Path(result["recording"]).stem for result in results), request, classes)


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
    """What `--match` found for the clips of a folder, without the latents."""
    try:
        found = json.loads((output / MATCH_FILE).read_text(encoding="utf-8"))["results"]
        return [{key: value for key, value in result.items() if key != "latent"} for result in found]
    except (OSError, ValueError, KeyError):
        return []


def _read_results(output: Path, key: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    try:
        found = json.loads((output / MATCH_FILE).read_text(encoding="utf-8"))
        return found["results"] if found["key"] == _digest(key) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or of something else: searched for anew


def _write_results(output: Path, key: Mapping[str, Any], results: list[dict[str, Any]]) -> None:
    from ..files import write_text

    output.mkdir(parents=True, exist_ok=True)
    write_text(output / MATCH_FILE, json.dumps({"key": _digest(key), "results": results}, indent=1, ensure_ascii=False) + "\n")


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
