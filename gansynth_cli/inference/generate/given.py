"""Latents that come from somewhere: kept in files, found by an encoder in recordings, and what lies between them or around them."""

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
from .latents import draw_latents, grid, latent_bound, read_latents, vary, walk
from .request import LatentTable
from .session import GROUP, GeneratorSession
from .spectral_distance import distances

Asked = Mapping[str, tuple[str, ...]]  # condition -> the classes that the user asked for; the others are missing
Progress = Callable[[int, int, str], None]  # done, of how many, what it has found so far


@dataclass(frozen=True)
class FittedClip:
    """A recording as the model knows clips.

    Attributes:
        audio: float32 [clip_samples, 1].
        said: What was done to it.
        sha256: Of the file.
    """

    audio: np.ndarray
    said: str
    sha256: str


@dataclass(frozen=True)
class Point:
    """A latent with its name, the classes it was found to have, and what it follows from."""

    latent: np.ndarray
    name: str
    request: Any
    found: Mapping[str, str] = field(default_factory=dict)
    said: str = ""


def fit_clip(session: GeneratorSession, path: Path) -> FittedClip:
    """The first clip of a recording, made as `prepare` made those of the training data: rate, one channel, onset, level, length.

    The model's run remembers the options of `prepare`; of a lone `.keras` file they are not known, and only rate and length are fitted.

    Raises:
        AudioFileError: It cannot be decoded, is silent, or too short.
    """
    made = session.info.prepared_with if session.info else {}
    kept = {key: made[key] for key in ("trim_silence", "level", "level_target", "onset_align", "preroll_ms") if key in made}
    options = CutOptions(session.sample_rate, 1, session.clip_samples, max_clips=1, **kept)
    report = CutReport()
    found = next(iter(cut(path, options, report)), None)
    if found is None:
        raise AudioFileError(path, report.dropped or "holds no sound")
    audio = found.pcm.astype(np.float32) / 32768.0
    if session.recipe and session.recipe.data.peak_normalize:
        audio /= max(float(np.abs(audio).max()), 1e-9)
    seconds, wanted = found.samples / session.sample_rate, session.clip_samples / session.sample_rate
    length = f"the {seconds:.2f} s there are, and silence up to {wanted:.2f} s" if found.filled else f"{wanted:.2f} s"
    start = f" from {found.start / session.sample_rate:.3f} s on" if found.start > 0 else ""
    level = "" if kept.get("level", "none") == "none" else f", level {kept['level']}"
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return FittedClip(audio, f"{path.name}: {length}{start}, {session.sample_rate} Hz{level}", digest)


def combinations(session: GeneratorSession, asked: Asked) -> list[dict[str, int]]:
    """Every combination of class numbers that a sound may have, where the user's choice leaves any: condition -> number."""
    numbers = {
        name: [known.index(text) for text in asked[name]] if name in asked else range(len(known)) for name, known in session.classes.items()
    }
    return [dict(zip(numbers, choice, strict=True)) for choice in itertools.product(*numbers.values())]


def names_of(session: GeneratorSession, numbers: Mapping[str, int]) -> dict[str, str]:
    return {name: session.classes[name][number] for name, number in numbers.items()}


def in_groups(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Parts of 16, the last filled up with its last item: the network takes no other number."""
    for start in range(0, len(items), GROUP):
        part = list(items[start : start + GROUP])
        yield part + [part[-1]] * (GROUP - len(part))


def play(session: GeneratorSession, latents: np.ndarray, told: Sequence[Mapping[str, int]]) -> np.ndarray:
    """float32 [n, samples, channels]: latents [n, dim] with their class numbers, n of them."""
    parts = []
    for rows in in_groups(range(len(latents))):
        numbers = {name: np.asarray([told[row][name] for row in rows], np.int32) for name in session.classes}
        label = numbers.pop("label", None)
        parts.append(session.run(latents[np.asarray(rows)], label, **numbers))
    return np.concatenate(parts)[: len(latents)]


def encode(
    session: GeneratorSession, clip: FittedClip, asked: Asked, on_progress: Progress = lambda *_: None
) -> tuple[np.ndarray, dict[str, int], float]:
    """The latent of a recording, by the model's encoder.

    The encoder has to be told what it hears. What the user does not say is found by trying: the classes with which the decoder comes
    nearest to the recording.

    Returns:
        latent: float32 [dim], the mean of what the encoder gives.
        numbers: Condition -> class number.
        distance: See `spectral_distance`.

    Raises:
        RunError: The model has no encoder.
    """
    choices = combinations(session, asked)
    best: tuple[float, np.ndarray, dict[str, int]] | None = None
    for count, told in enumerate(in_groups(choices)):
        numbers = {name: np.asarray([one[name] for one in told], np.int32) for name in session.classes}
        means, _ = session.encode(np.repeat(clip.audio[None], GROUP, axis=0), numbers)
        found = distances(play(session, means, told), clip.audio, session.sample_rate)
        row = int(np.argmin(found))
        if best is None or found[row] < best[0]:
            best = float(found[row]), means[row], told[row]
        on_progress(min((count + 1) * GROUP, len(choices)), len(choices), f"distance {best[0]:.3f}")
    assert best is not None
    return best[1], best[2], best[0]


def point(session: GeneratorSession, text: str, option: str, asked: Asked, truncation: float | None = None) -> Point:
    """What the user calls A or B: a seed (its clip 0), a .npy file with one latent, or a recording.

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
            raise UsageError(f"{option} {text}: the file holds {len(rows)} latents; expected one.", hint="--latents FILE plays them all")
        return Point(rows[0], path.stem, {"latent": _digest(rows)})
    if not path.is_file():
        raise UsageError(
            f"{option} {text} is no seed, and no file of that name exists; expected a whole number, a .npy latent or a recording.",
            hint=f"for example {option} 1 2, or {option} clips/000003_0.npy 7; --save-latents writes such files",
        )
    if not session.has_encoder:
        raise no_encoder(session, text)
    clip = fit_clip(session, path)
    latent, numbers, distance = encode(session, clip, asked)
    found = names_of(session, numbers)
    return Point(
        latent, path.stem, {"recording": clip.sha256}, found, f"{clip.said}{_found(found)}; rebuilt at a distance of {distance:.3f}"
    )


def no_encoder(session: GeneratorSession, text: str) -> UsageError:
    return UsageError(
        f"{text} is no .npy latent but a recording, and {session.file} has no encoder, which would say what latent a recording has.",
        hint=f"--match {text} searches for a latent that sounds like it; models of family vae have an encoder",
    )


def walk_table(session: GeneratorSession, ends: Sequence[Point], steps: int, method: str, truncation: float | None) -> LatentTable:
    """From one point to another. Each clip has the classes that were found in the end that is nearer."""
    path = walk(ends[0].latent, ends[1].latent, steps, method, latent_bound(session.distribution, truncation))
    found = _of_nearest(ends, [0 if 2 * step < steps else 1 for step in range(steps)])
    request = {"interpolate": [end.request for end in ends], "steps": steps, "method": method}
    return LatentTable(path, (f"{ends[0].name}-{ends[1].name}",) * steps, request, found)


def grid_table(session: GeneratorSession, corners: Sequence[Point], steps: int, method: str, truncation: float | None) -> LatentTable:
    """What lies between four points, row by row; classes are those of the nearest corner."""
    latents = grid([corner.latent for corner in corners], steps, method, latent_bound(session.distribution, truncation))
    near = [2 * (2 * row >= steps) + (2 * column >= steps) for row in range(steps) for column in range(steps)]
    request = {"grid": [corner.request for corner in corners], "steps": steps, "method": method}
    return LatentTable(latents, ("-".join(corner.name for corner in corners),) * len(latents), request, _of_nearest(corners, near))


def variations_table(session: GeneratorSession, sources: Sequence[Point], amount: float, count: int, seed: int) -> LatentTable:
    """`count` clips around each recording or kept latent; see `latents.vary`. Variation i of a seed is the same draw for all of them."""
    fresh = draw_latents(seed, range(count), session.latent_dim, session.distribution)
    latents = np.concatenate([vary(source.latent, fresh, amount) for source in sources])
    if (bound := latent_bound(session.distribution, None)) is not None:
        latents = np.clip(latents, -bound, bound)
    names = tuple(source.name for source in sources for _ in range(count))
    request = {"from": [source.request for source in sources], "vary": amount, "seed": seed, "each": count}
    return LatentTable(latents, names, request, _of_nearest(sources, [index // count for index in range(len(latents))]))


def file_table(session: GeneratorSession, files: Sequence[Path]) -> LatentTable:
    """Kept latents, file by file."""
    parts = [read_latents(path, session.latent_dim) for path in files]
    latents = np.concatenate(parts)
    names = tuple(path.stem for path, part in zip(files, parts, strict=True) for _ in part)
    return LatentTable(latents, names, {"latents": _digest(latents)})


def _of_nearest(points: Sequence[Point], nearest: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """Condition -> class of each row: that of its nearest point or, where that has none, of the first that has."""
    names = dict.fromkeys(name for point in points for name in point.found)
    first = {name: next(point.found[name] for point in points if name in point.found) for name in names}
    return {name: tuple(points[index].found.get(name, first[name]) for index in nearest) for name in names}


def _found(found: Mapping[str, str]) -> str:
    return f"; taken for {', '.join(f'{name} {value}' for name, value in found.items())}" if found else ""


def _digest(latents: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(latents, np.float32).tobytes()).hexdigest()
