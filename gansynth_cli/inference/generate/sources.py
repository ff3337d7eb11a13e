"""Latents that are given: read from files or found by an encoder in recordings, and interpolations and variations of them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...data.prepare.clip_cutting import CutOptions, CutReport, cut
from ...errors import AudioFileError, UsageError
from ...files import sha256_of
from .latents import draw_latents, grid, interpolate, latent_bound, read_latents, vary
from .request import LatentTable
from .session import GROUP, GeneratorSession
from .spectral_distance import distances

Chosen = Mapping[str, tuple[str, ...]]  # condition -> the classes that the user chose; conditions that are left open are missing
Progress = Callable[[int, int, str], None]  # steps done, steps in all, the best result so far


@dataclass(frozen=True)
class FittedClip:
    """A recording in the form of the training clips.

    Attributes:
        audio: float32 [clip_samples, 1].
        note: The changes made, for the user.
        sha256: SHA-256 of the file.
    """

    audio: np.ndarray
    note: str
    sha256: str


@dataclass(frozen=True)
class Point:
    """A latent that the user named.

    Attributes:
        latent: float32 [dim].
        name: Its part in file names.
        request: Where it comes from, as `generate.json` keeps it.
        found: Condition -> class that the recording was found to have.
        note: What was done to a recording, for the user.
    """

    latent: np.ndarray
    name: str
    request: Any
    found: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def fit_clip(session: GeneratorSession, path: Path) -> FittedClip:
    """Return the first clip of a recording, processed as `prepare` processed the training data: rate, one channel, onset, level, length.

    The model's run records the options of `prepare`; for a `.keras` file by itself they are unknown, and only rate and length are fitted.

    Raises:
        AudioFileError: It cannot be decoded, is silent, or too short.
    """
    prepared = session.info.prepared_with if session.info else {}
    kept = {key: prepared[key] for key in ("trim_silence", "level", "level_target", "onset_align", "preroll_ms") if key in prepared}
    options = CutOptions(session.sample_rate, 1, session.clip_samples, max_clips=1, **kept)
    report = CutReport()
    found = next(iter(cut(path, options, report)), None)
    if found is None:
        raise AudioFileError(path, report.dropped or "holds no sound")
    audio = found.pcm.astype(np.float32) / 32768.0
    if session.recipe and session.recipe.data.peak_normalize:
        audio *= session.recipe.data.peak / max(float(np.abs(audio).max()), 1e-9)
    seconds, wanted = found.samples / session.sample_rate, session.clip_samples / session.sample_rate
    length = f"all {seconds:.2f} s, padded with silence to {wanted:.2f} s" if found.filled else f"{wanted:.2f} s"
    start = f" from {found.start / session.sample_rate:.3f} s on" if found.start > 0 else ""
    level = "" if kept.get("level", "none") == "none" else f", level {kept['level']}"
    return FittedClip(audio, f"{path.name}: {length}{start}, {session.sample_rate} Hz{level}", sha256_of(path))


def combinations(session: GeneratorSession, chosen: Chosen) -> list[dict[str, int]]:
    """Return every combination of class numbers that the user's choice allows, each as condition -> number."""
    numbers = {
        name: [known.index(text) for text in chosen[name]] if name in chosen else range(len(known))
        for name, known in session.classes.items()
    }
    return [dict(zip(numbers, choice, strict=True)) for choice in itertools.product(*numbers.values())]


def names_of(session: GeneratorSession, numbers: Mapping[str, int]) -> dict[str, str]:
    """Return condition -> class name of class numbers."""
    return {name: session.classes[name][number] for name, number in numbers.items()}


def in_groups(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield parts of 16, the last padded with its last item: the network takes no other number."""
    for start in range(0, len(items), GROUP):
        part = list(items[start : start + GROUP])
        yield part + [part[-1]] * (GROUP - len(part))


def columns(session: GeneratorSession, rows: Sequence[Mapping[str, int]]) -> dict[str, np.ndarray]:
    """Return class numbers as the session takes them: condition -> int32 [rows]."""
    return {name: np.asarray([row[name] for row in rows], np.int32) for name in session.classes}


def play(session: GeneratorSession, latents: np.ndarray, numbers: Sequence[Mapping[str, int]]) -> np.ndarray:
    """Generate float32 [n, samples, channels] from latents [n, dim] and their class numbers, n of them."""
    parts = []
    for rows in in_groups(range(len(latents))):
        parts.append(session.run(latents[np.asarray(rows)], columns(session, [numbers[row] for row in rows])))
    return np.concatenate(parts)[: len(latents)]


def encode(
    session: GeneratorSession, clip: FittedClip, chosen: Chosen, on_progress: Progress = lambda *_: None
) -> tuple[np.ndarray, dict[str, int], float]:
    """Find the latent of a recording with the model's encoder.

    The encoder is conditioned on the classes of the recording. Classes that the user does not name are found by trial: those with
    which the decoder comes nearest to the recording.

    Returns:
        latent: float32 [dim], the mean of the encoder's distribution.
        numbers: Condition -> class number.
        distance: See `spectral_distance`.

    Raises:
        RunError: The model has no encoder.
    """
    choices = combinations(session, chosen)
    best: tuple[float, np.ndarray, dict[str, int]] | None = None
    for count, tried in enumerate(in_groups(choices)):
        means, _ = session.encode(np.repeat(clip.audio[None], GROUP, axis=0), columns(session, tried))
        found = distances(play(session, means, tried), clip.audio, session.sample_rate)
        row = int(np.argmin(found))
        if best is None or found[row] < best[0]:
            best = float(found[row]), means[row], tried[row]
        on_progress(min((count + 1) * GROUP, len(choices)), len(choices), f"distance {best[0]:.3f}")
    assert best is not None
    return best[1], best[2], best[0]


def point(session: GeneratorSession, text: str, chosen: Chosen, truncation: float | None = None) -> Point:
    """Return the latent that the user named: a seed (its clip 0), a .npy file with one latent, or a recording.

    Raises:
        UsageError: It is none of these, or a recording and the model has no encoder.
        AudioFileError: The recording cannot be used.
    """
    if text.isdecimal():
        latent = draw_latents(int(text), [0], session.latent_dim, session.distribution, truncation)[0]
        return Point(latent, text, int(text))
    path = Path(text)
    if path.suffix.lower() == ".npy":
        rows = read_latents(path, session.latent_dim)
        if len(rows) != 1:
            raise UsageError(f"{text} holds {len(rows)} latents; expected one.", hint="generate RUN --latents FILE plays them all")
        return Point(rows[0], path.stem, {"latent": _digest(rows)})
    if not path.is_file():
        raise UsageError(
            f"{text} is no seed, and no file of that name exists; expected a whole number, a .npy latent or a recording.",
            hint="for example 1 2, or clips/000003_0.npy 7; generate --save-latents writes such files",
        )
    if not session.has_encoder:
        raise UsageError(
            f"{text} is no .npy latent but a recording, and {session.file} has no encoder, which finds the latent of a recording.",
            hint=f"gan-audio latents match RUN {text} searches for a latent that sounds like it; models of family vae have an encoder",
        )
    clip = fit_clip(session, path)
    latent, numbers, distance = encode(session, clip, chosen)
    found = names_of(session, numbers)
    classes = f"; classified as {', '.join(f'{name} {value}' for name, value in found.items())}" if found else ""
    note = f"{clip.note}{classes}; reconstructed at a distance of {distance:.3f}"
    return Point(latent, path.stem, {"recording": clip.sha256}, found, note)


def interpolation_table(session: GeneratorSession, ends: Sequence[Point], steps: int, method: str, truncation: float | None) -> LatentTable:
    """Return the latents from one point to another. Each clip has the classes that were found in the nearer end."""
    path = interpolate(ends[0].latent, ends[1].latent, steps, method, latent_bound(session.distribution, truncation))
    found = _of_nearest(ends, [0 if 2 * step < steps else 1 for step in range(steps)])
    request = {"interpolate": [end.request for end in ends], "steps": steps, "method": method}
    return LatentTable(path, (f"{ends[0].name}-{ends[1].name}",) * steps, request, found)


def grid_table(session: GeneratorSession, corners: Sequence[Point], steps: int, method: str, truncation: float | None) -> LatentTable:
    """Return the latents between four points, row by row; classes are those of the nearest corner."""
    latents = grid([corner.latent for corner in corners], steps, method, latent_bound(session.distribution, truncation))
    near = [2 * (2 * row >= steps) + (2 * column >= steps) for row in range(steps) for column in range(steps)]
    request = {"grid": [corner.request for corner in corners], "steps": steps, "method": method}
    return LatentTable(latents, ("-".join(corner.name for corner in corners),) * len(latents), request, _of_nearest(corners, near))


def variations_table(session: GeneratorSession, sources: Sequence[Point], amount: float, count: int, seed: int) -> LatentTable:
    """Return `count` variations of each recording or stored latent (`latents.vary`). Variation i of a seed is the same draw for each."""
    fresh = draw_latents(seed, range(count), session.latent_dim, session.distribution)
    latents = np.concatenate([vary(source.latent, fresh, amount) for source in sources])
    if (bound := latent_bound(session.distribution, None)) is not None:
        latents = np.clip(latents, -bound, bound)
    names = tuple(source.name for source in sources for _ in range(count))
    request = {"from": [source.request for source in sources], "vary": amount, "seed": seed, "each": count}
    return LatentTable(latents, names, request, _of_nearest(sources, [index // count for index in range(len(latents))]))


def file_table(session: GeneratorSession, files: Sequence[Path]) -> LatentTable:
    """Return stored latents, file by file."""
    parts = [read_latents(path, session.latent_dim) for path in files]
    latents = np.concatenate(parts)
    names = tuple(path.stem for path, part in zip(files, parts, strict=True) for _ in part)
    return LatentTable(latents, names, {"latents": _digest(latents)})


def _of_nearest(points: Sequence[Point], nearest: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """Condition -> class of each row: that of its nearest point or, where that has none, of the first point that has one."""
    names = dict.fromkeys(name for point in points for name in point.found)
    first = {name: next(point.found[name] for point in points if name in point.found) for name in names}
    return {name: tuple(points[index].found.get(name, first[name]) for index in nearest) for name in names}


def _digest(latents: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(latents, np.float32).tobytes()).hexdigest()
