"""Textures of any length: overlapping clips of a generator, cross-faded; as a loop too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from ...data.audio import audio_stream
from ...errors import UsageError
from ...signal.cross_fade import cross_fade
from ..files.provenance import SOFTWARE, with_provenance
from ..generate.latents import draw_latents, vary
from ..generate.session import GROUP, GeneratorSession

MAX_OVERLAP = 0.5


@dataclass(frozen=True)
class ExtendOptions:
    """Settings of a texture.

    Attributes:
        seconds: Its length; a loop has the nearest whole number of windows.
        overlap: Share of each clip that is cross-faded with the next, up to 0.5.
        change: From 0, the same latent throughout, to 1, a latent of its own for each clip.
        seed: Of the latents.
        label: Class, for models with labels; "" is the first.
        loop: Cross-fade the end into the beginning.
    """

    seconds: float = 30.0
    overlap: float = 0.25
    change: float = 1.0
    seed: int = 0
    label: str = ""
    loop: bool = False

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        if not 0 < self.seconds < float("inf"):
            raise UsageError(f"--seconds is {self.seconds:g}; expected more than 0.")
        if not 0 < self.overlap <= MAX_OVERLAP:
            raise UsageError(f"--overlap is {self.overlap:g}; expected a share of the clip above 0, up to {MAX_OVERLAP:g}.")
        if not 0 <= self.change <= 1:
            raise UsageError(f"--change is {self.change:g}; expected 0 (one latent throughout) to 1 (a new one for each clip).")


def latents_of(session: GeneratorSession, options: ExtendOptions, count: int) -> np.ndarray:
    """Draw the latents of a texture, float32 [count, dim].

    They are a walk that keeps the distribution of the model's latents: normal variables, each the one before it and a fresh one mixed in
    the shares sqrt(1 - change^2) and change, mapped to the uniform distribution where the model has that. With change 1 clip i is clip i
    of `gan-audio generate --seed`.
    """
    walk = draw_latents(options.seed, range(count), session.latent_dim, "normal")
    for index in range(1, count):
        walk[index] = vary(walk[index - 1], walk[index], options.change)
    return (2 * ndtr(walk.astype(np.float64)) - 1).astype(np.float32) if session.distribution == "uniform" else walk


def conditions_of(session: GeneratorSession, label: str) -> dict[str, np.ndarray]:
    """Return the classes of a group: the label, or the first, and the first of every other condition."""
    conditions = {name: np.zeros(GROUP, np.int32) for name in session.classes}
    if label:
        labels = session.classes.get("label", ())
        if label not in labels:
            known = f"expected one of {', '.join(labels)}" if labels else "this model has no labels"
            raise UsageError(f"There is no class {label!r}; {known}.")
        conditions["label"][:] = labels.index(label)
    return conditions


def windows_of(session: GeneratorSession, latents: np.ndarray, conditions: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Generate the clips of some latents, float32 [samples, channels] each."""
    for first in range(0, len(latents), GROUP):
        some = latents[first : first + GROUP]
        filled = np.concatenate([some, np.repeat(some[-1:], GROUP - len(some), axis=0)])
        yield from session.run(filled, conditions)[: len(some)]


def texture(session: GeneratorSession, options: ExtendOptions) -> Iterator[np.ndarray]:
    """Generate a texture in blocks, float32 [n, channels], in memory that does not grow with its length."""
    options.check()
    clip, rate = session.clip_samples, session.sample_rate
    fade = max(1, round(options.overlap * clip))
    hop, total = clip - fade, round(options.seconds * rate)
    count = max(2, round(total / hop)) if options.loop else max(1, -(-(total - fade) // hop))
    total = count * hop if options.loop else total
    latents, conditions = latents_of(session, options, count), conditions_of(session, options.label)
    tail = next(windows_of(session, latents[-1:], conditions))[-fade:] if options.loop else None
    given = 0
    for window in windows_of(session, latents, conditions):
        head = window[:fade] if tail is None else cross_fade(tail, window[:fade])
        block = np.concatenate([head, window[fade : clip - fade]])[: total - given]
        given += len(block)
        yield block
        tail = window[clip - fade :]
    if not options.loop and tail is not None and given < total:
        yield tail[: total - given]


def extend(session: GeneratorSession, output: Path, options: ExtendOptions, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a texture.

    Returns:
        "seconds", "windows": number of clips, "clipped".
    """
    options.check()
    container, subtype = audio_stream.format_for(output, "PCM_16")
    facts = {"synthetic": True, "software": SOFTWARE, "model": session.sha256, "edit": "extend", "seed": options.seed, "loop": options.loop}
    blocks = texture(session, options)
    first = next(blocks)
    sink = audio_stream.Writer(
        output,
        session.sample_rate,
        first.shape[1],
        subtype=subtype,
        container=container,
        tags=with_provenance({}, facts),
        frames=round(options.seconds * session.sample_rate),
        overwrite=overwrite,
    )
    with sink as out:
        out.write(first)
        windows = 1
        for block in blocks:
            out.write(block)
            windows += 1
    return {"output": output, "seconds": out.frames / session.sample_rate, "windows": windows, "clipped": out.clipped}
