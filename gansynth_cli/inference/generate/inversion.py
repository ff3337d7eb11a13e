"""Inversion: search for the latent whose clip is nearest to a recording, by gradient descent through any generator.

Classes that the user does not choose are tried first, with a few latents each; the search continues with the best few. Every start of
the descent is the best of many draws or, with an encoder, the latent that it finds. The result is never farther than the best draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .latents import draw_latents
from .session import GROUP, GeneratorSession
from .sources import Chosen, FittedClip, Progress, columns, combinations, play
from .spectral_distance import distances, spectral_distance, target_spectra

_TRIED = 128  # clips that decide among the classes, at least one of each
_KEPT = 4  # combinations of classes that the search continues with


@dataclass(frozen=True)
class MatchSettings:
    """Effort of a search.

    Attributes:
        starts: Descents, side by side.
        steps: Steps of each descent.
        draws: Random latents that the starts are chosen from.
        rate: Adam's learning rate at the start; it decays to 0 along a cosine.
        seed: Seed of the draws.
    """

    starts: int = 4
    steps: int = 200
    draws: int = 64
    rate: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Match:
    """Result of a search.

    Attributes:
        latent: float32 [dim].
        numbers: Condition -> class number.
        distance: Distance of its clip from the recording; see `spectral_distance`.
        random_distance: Distance of the best of the `draws` random latents, with the same classes.
        start_distances, end_distances: Distances before and after each descent.
    """

    latent: np.ndarray
    numbers: Mapping[str, int]
    distance: float
    random_distance: float
    start_distances: tuple[float, ...]
    end_distances: tuple[float, ...]


def match(
    session: GeneratorSession, clip: FittedClip, chosen: Chosen, settings: MatchSettings, on_progress: Progress = lambda *_: None
) -> Match:
    """Search for the latent, and for the classes that the user leaves open, whose clip is nearest to a recording.

    Args:
        session: Any generator.
        clip: The recording, fitted.
        chosen: The classes that the user allows.
        settings: Effort; the same settings give the same result on the same machine.
        on_progress: Called as clips are tried and steps are done.
    """
    choices = _best_classes(session, clip, chosen, settings, on_progress)
    numbers = [choices[index % len(choices)] for index in range(settings.draws)]
    latents = draw_latents(settings.seed, range(settings.draws), session.latent_dim, session.distribution)
    found = distances(play(session, latents, numbers), clip.audio, session.sample_rate)
    best_random = float(found.min())
    if session.has_encoder:
        audio = np.repeat(clip.audio[None], GROUP, axis=0)
        guesses = [choices[index % len(choices)] for index in range(GROUP)]
        means, _ = session.encode(audio, columns(session, guesses))
        means, guesses = means[: len(choices)], guesses[: len(choices)]
        encoded = distances(play(session, means, guesses), clip.audio, session.sample_rate)
        latents, numbers, found = np.concatenate([means, latents]), [*guesses, *numbers], np.concatenate([encoded, found])
    order = np.argsort(found, kind="stable")[: settings.starts]
    starts, classes = latents[order], [numbers[index] for index in order]
    ends = _descend(session, clip, starts, classes, settings, on_progress)
    candidates = np.concatenate([ends, starts])
    # As `generate` computes them: in calls of 16, whose rounding may differ from that of the descent.
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
    session: GeneratorSession, clip: FittedClip, chosen: Chosen, settings: MatchSettings, on_progress: Progress
) -> list[dict[str, int]]:
    """Return the combinations of classes that come nearest, trying the same few latents with each."""
    choices = combinations(session, chosen)
    if len(choices) == 1:
        return choices
    each = max(1, min(8, _TRIED // len(choices)))
    latents = draw_latents(settings.seed, range(each), session.latent_dim, session.distribution)
    nearest = np.full(len(choices), np.inf)
    per_call = max(1, 4 * GROUP // each)
    for first in range(0, len(choices), per_call):
        some = choices[first : first + per_call]
        clips = play(session, np.tile(latents, (len(some), 1)), [one for one in some for _ in range(each)])
        found = distances(clips, clip.audio, session.sample_rate).reshape(len(some), each)
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
    """Run Adam from every start at once; return the nearest latent that each has passed, float32 [starts, dim]."""
    target = target_spectra(clip.audio, session.sample_rate)
    conditions = {name: tf.constant(numbers) for name, numbers in columns(session, classes).items()}
    uniform = session.distribution == "uniform"
    longest = math.sqrt(session.latent_dim) + 2.0  # 99.5 % of normal latents are shorter: the generator was not trained on longer ones

    @tf.function(input_signature=[tf.TensorSpec(starts.shape, tf.float32)])
    def slope(latent):
        with tf.GradientTape() as tape:
            tape.watch(latent)
            found = spectral_distance(session.generator({"latent": latent, **conditions}, training=False), target, session.sample_rate)
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
