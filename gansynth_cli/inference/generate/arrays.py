"""Clips as arrays: the path of `gan-audio generate` without files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.corpora.note_names import parse_pitches
from ...errors import UsageError
from .request import GenerateOptions, LatentTable, Plan
from .session import GROUP, GeneratorSession
from .write import check_finite, compute


def generate_array(
    session: GeneratorSession,
    n: int = 16,
    *,
    seed: int = 0,
    first: int = 0,
    label: str | Sequence[str] = (),
    pitch: int | str | Sequence[int | str] = (),
    instrument: str | Sequence[str] = (),
    velocity: int | Sequence[int] = (),
    truncation: float | None = None,
    latents: np.ndarray | None = None,
) -> np.ndarray:
    """Generate clips `first` to `first + n - 1` of a seed, the same as `gan-audio generate` writes.

    Args:
        session: The model.
        n: Number of clips.
        seed, first: Clip i of a seed is always the same clip.
        label, instrument, velocity: A class, or several that take turns clip by clip; empty: all that the model has.
        pitch: MIDI note numbers, or names such as "C4" or "36-84"; likewise.
        truncation: Limit latents to [-t, t]: less variety, more typical clips.
        latents: float [m, latent_dim] to play instead of drawn ones, all of them for each combination of classes; `n`, `seed`,
            `first` and `truncation` are not read then.

    Returns:
        float32 [n, samples, channels]; samples may exceed [-1, 1]. Tag what you publish as synthetic.

    Raises:
        UsageError: A class that the model does not have, or a value out of range.
        RunError: The model gives NaN or infinite samples.
    """
    pitches = ",".join(map(str, _several(pitch)))
    options = GenerateOptions(
        clips=n,
        first=first,
        seed=seed,
        labels=_several(label),
        pitches=tuple(parse_pitches(pitches)) if pitches else (),
        instruments=_several(instrument),
        velocities=_several(velocity),
        truncation=truncation,
    )
    plan = Plan(options, session, None if latents is None else _table(session, latents), files=False)
    clips = []
    for start, members, _, audio in compute(plan, range(plan.first, plan.first + plan.total), GROUP):
        for index in members:
            check_finite(audio[index - start], plan.clip(index))
        clips.append(audio[np.asarray(members) - start])
    return np.concatenate(clips)


def _table(session: GeneratorSession, latents: np.ndarray) -> LatentTable:
    rows = np.atleast_2d(np.asarray(latents, np.float32))
    if rows.ndim != 2 or rows.shape[1] != session.latent_dim or not np.isfinite(rows).all():
        raise UsageError(f"The latents have the shape {list(np.shape(latents))}; expected finite numbers [m, {session.latent_dim}].")
    return LatentTable(rows, tuple(f"row {row}" for row in range(len(rows))), {})


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple, range, np.ndarray)) else (value,)
