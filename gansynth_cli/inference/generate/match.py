"""Inversion: the latent of any generator whose sound comes near a given recording, by gradient descent.

Classes that the user does not choose are tried first, with a few latents each; the best few are searched on. Every start of the descent
is the best of many draws, or what an encoder says where there is one. What comes back is never farther than the best draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .given import Asked, FittedClip, Progress, combinations, play
from .latents import draw_latents
from .session import GROUP, GeneratorSession
from .spectral_distance import distances, spectral_distance, target_spectra

_TRIED = 128  # sounds that choose among the classes, at least one of each
_KEPT = 4  # combinations of classes that are searched on


@dataclass(frozen=True)
class MatchSettings:
    """How hard to search.

    Attributes:
        starts: Descents, side by side.
        steps: Of each.
        draws: Random latents that the starts are chosen from.
        rate: Adam's learning rate at the start; it falls to 0 along a cosine.
        seed: Of the draws.
    """

    starts: int = 4
    steps: int = 200
    draws: int = 64
    rate: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Match:
    """What was found.

    Attributes:
        latent: float32 [dim].
        numbers: Condition -> class number.
        distance: Of its sound; see `spectral_distance`.
        random_distance: Of the best of the `draws` + tried random sounds, with classes chosen alike.
        start_distances, end_distances: Of each descent, before and after.
    """

    latent: np.ndarray
    numbers: Mapping[str, int]
    distance: float
    random_distance: float
    start_distances: tuple[float, ...]
    end_distances: tuple[float, ...]


def match(
    session: GeneratorSession, clip: FittedClip, asked: Asked, settings: MatchSettings, on_progress: Progress = lambda *_: None
) -> Match:
    """Searches for the latent, and for the classes that the user leaves open, whose sound is nearest to a recording.

    Args:
        session: Any generator.
        clip: The recording, fitted.
        asked: The classes that the user allows.
        settings: How hard to search; the same settings give the same result on the same machine.
        on_progress: Told of sounds tried and steps done.
    """
    choices = _best_classes(session, clip, asked, settings, on_progress)
    told = [choices[index % len(choices)] for index in range(settings.draws)]
    latents = draw_latents(settings.seed, range(settings.draws), session.latent_dim, session.distribution)
    found = distances(play(session, latents, told), clip.audio, session.sample_rate)
    best_random = float(found.min())
    if session.has_encoder:
        audio = np.repeat(clip.audio[None], GROUP, axis=0)
        guesses = [choices[index % len(choices)] for index in range(GROUP)]
        means, _ = session.encode(audio, {name: np.asarray([one[name] for one in guesses], np.int32) for name in session.classes})
        means, guesses = means[: len(choices)], guesses[: len(choices)]
        encoded = distances(play(session, means, guesses), clip.audio, session.sample_rate)
        latents, told, found = np.concatenate([means, latents]), [*guesses, *told], np.concatenate([encoded, found])
    order = np.argsort(found, kind="stable")[: settings.starts]
    starts, classes = latents[order], [told[index] for index in order]
    ends = _descend(session, clip, starts, classes, settings, on_progress)
    candidates = np.concatenate([ends, starts])
    # As `generate` will play them: in calls of 16, whose rounding may differ from that of the descent.
    final = distances(play(session, candidates, [*classes, *classes]), clip.audio, session.sample_rate)
    best = int(np.argmin(final))
    count = len(starts)
    return Match(
        candidates[best],
        classes[best % count],
        float(final[best]),
        best_random,
        tuple(map(float, final[count:])),
        tuple(map(float, final[:count])),
    )


def _best_classes(
    session: GeneratorSession, clip: FittedClip, asked: Asked, settings: MatchSettings, on_progress: Progress
) -> list[dict[str, int]]:
    """The combinations of classes that come nearest, the same few latents in each."""
    choices = combinations(session, asked)
    if len(choices) == 1:
        return choices
    each = max(1, min(8, _TRIED // len(choices)))
    latents = draw_latents(settings.seed, range(each), session.latent_dim, session.distribution)
    nearest = np.full(len(choices), np.inf)
    per_call = max(1, 4 * GROUP // each)
    for first in range(0, len(choices), per_call):
        some = choices[first : first + per_call]
        told = [one for one in some for _ in range(each)]
        sounds = play(session, np.tile(latents, (len(some), 1)), told)
        found = distances(sounds, clip.audio, session.sample_rate).reshape(len(some), each)
        nearest[first : first + len(some)] = found.min(axis=1)
        on_progress(min(first + per_call, len(choices)), len(choices), f"classes tried, distance {nearest.min():.3f}")
    return [choices[index] for index in np.argsort(nearest, kind="stable")[:_KEPT]]


def _descend(
    session: GeneratorSession,
    clip: FittedClip,
    starts: np.ndarray,
    classes: list[dict[str, int]],
    settings: MatchSettings,
    on_progress: Progress,
) -> np.ndarray:
    """Adam from every start at once; returns the nearest latent that each has passed, float32 [starts, dim]."""
    target = target_spectra(clip.audio, session.sample_rate)
    told = {name: tf.constant([one[name] for one in classes], tf.int32) for name in session.classes}
    uniform = session.distribution == "uniform"
    longest = math.sqrt(session.latent_dim) + 2.0  # 99.5 % of normal latents are shorter: beyond, the generator was never trained

    @tf.function(input_signature=[tf.TensorSpec(starts.shape, tf.float32)])
    def slope(latent):
        with tf.GradientTape() as tape:
            tape.watch(latent)
            found = spectral_distance(session.generator({"latent": latent, **told}, training=False), target, session.sample_rate)
        return found, tape.gradient(found, latent)

    latent = starts.astype(np.float32)
    best, nearest = latent.copy(), np.full(len(starts), np.inf)
    first, second = np.zeros_like(latent), np.zeros_like(latent)
    for step in range(settings.steps):
        found, gradient = (value.numpy() for value in slope(tf.constant(latent)))
        closer = found < nearest
        best[closer], nearest[closer] = latent[closer], found[closer]
        on_progress(step + 1, settings.steps, f"distance {nearest.min():.3f}")
        gradient = np.nan_to_num(gradient)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = settings.rate * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
        scaled = (first / (1 - 0.9 ** (step + 1))) / (np.sqrt(second / (1 - 0.99 ** (step + 1))) + 1e-8)
        latent = (latent - rate * scaled).astype(np.float32)
        if uniform:
            latent = np.clip(latent, -1.0, 1.0)
        else:
            latent *= np.minimum(1.0, longest / np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return best
