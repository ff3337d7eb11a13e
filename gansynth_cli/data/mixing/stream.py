"""From the records of a data set to mixed clips: the speech is cut, joined and bent, the noises chosen and made.

Each clip is one function of its own draws and of the records at its position: nothing is shared within a batch, so a clip is
the same whatever the batch, the worker and the step at which training was resumed. What is not drawn is not computed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ...recipe_schema import Mixing
from . import synthetic_noise
from .mix import CONDITION_DRAWS, GROUPS, active_power, draw_conditions, mix
from .narrowing import good_fft_length
from .room_acoustics import room_bank
from .synthetic_noise import between, index_below

SPEECH_RECORDS = 3  # other clips of the split at each position, to follow the clip and to babble
NOISE_RECORDS = 3  # recordings of noise at each position
_ROOM_SEEDS = {"train": 0, "validation": 1, "test": 2}
_EDGE_SECONDS = 0.005  # speech and noises fade in and out where they are cut
_SLOT_DRAWS = 8 + synthetic_noise.DRAWS
_SPEECH_DRAWS = 16 + 3

Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Mixer:
    """Makes clips of one split.

    Args:
        settings: The recipe's `[data.mixing]`.
        samples: Length of a clip.
        sample_rate: Hz.
        split: Decides which rooms there are: no room is in two splits.
        decode: A record to (float32 [any length, 1], label).
        augment: What is done to the speech before: (float32 [samples, 1], three uniform draws) to the same shape.
    """

    def __init__(
        self,
        settings: Mixing,
        samples: int,
        sample_rate: int,
        split: str,
        decode: Decode,
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda audio, draws: audio,
    ):
        self.settings, self.samples, self.rate, self.decode, self.augment = settings, samples, sample_rate, decode, augment
        self.rooms = None
        if settings.room:
            taps = min(samples, round(settings.rt60_seconds[1] * sample_rate))
            self.rooms = tf.constant(room_bank(settings.rooms, sample_rate, settings.rt60_seconds, taps, _ROOM_SEEDS.get(split, 3)))
        self.noise = tf.constant(synthetic_noise.noise_bank())
        longest = int(np.ceil(samples * max(1.0, settings.rate[1]))) + 2 * round(_EDGE_SECONDS * sample_rate)
        self.rate_length = good_fft_length(longest)
        self.rate_lengths = tf.constant(_lengths_between(self.rate_length / settings.rate[1], self.rate_length / settings.rate[0]))
        # One graph however often a stream is opened; it has no Python condition on a tensor, and autograph takes longer than tracing.
        self._traced = tf.function(self._clip, autograph=False)
        self._one_noise = tf.function(self._noise, autograph=False)

    def __call__(self, record: tf.Tensor, others: tf.Tensor, noises: tf.Tensor, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """({"clean", "noisy"}: float32 [samples] each, label) of a record, others of its split, and records of noise.

        Args:
            record: string scalar.
            others: string [SPEECH_RECORDS].
            noises: string [NOISE_RECORDS]; empty strings where the data set has no noise.
            seed: int64 [2]: all that is drawn follows from it.
        """
        return self._traced(record, others, noises, seed)

    def _clip(self, record: tf.Tensor, others: tf.Tensor, noises: tf.Tensor, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        draws = tf.random.stateless_uniform([_SPEECH_DRAWS + 3 * _SLOT_DRAWS + CONDITION_DRAWS], seed)
        speech_draws, slot_draws, rest = tf.split(draws, [_SPEECH_DRAWS, 3 * _SLOT_DRAWS, CONDITION_DRAWS])
        how = draw_conditions(self.settings, rest)
        audio, label = self.decode(record)
        speech = self._speech(audio[:, 0], others, speech_draws)
        speech = tf.ensure_shape(self.augment(speech[:, None], speech_draws[_SPEECH_DRAWS - 3 :])[:, 0], [self.samples])
        silence = tf.zeros([GROUPS, self.samples])
        groups = tf.cond(
            how.has_noise, lambda: self._noises(others, noises, tf.reshape(slot_draws, [3, _SLOT_DRAWS]), seed), lambda: silence
        )
        return mix(speech, groups, how, self.rate, self.rooms, self.settings.early_ms), label

    # Speech.

    def _speech(self, audio: tf.Tensor, others: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """float32 [samples]: maybe silence, a part of the clip at another rate, maybe pauses and other clips."""
        settings, samples = self.settings, self.samples
        audio = self._part(audio, draws[0])
        changed = draws[1] < settings.rate_change
        audio = tf.cond(changed, lambda: self._at_another_rate(audio, draws[2]), lambda: audio)
        before, after = draws[3] < settings.pause / 2, (draws[3] >= settings.pause / 2) & (draws[3] < settings.pause)
        lead = tf.where(before, self._pause(draws[4]), 0)
        kept = tf.where(after, tf.cast(between(draws[5], 0.3, 0.9) * samples, tf.int32), samples)
        audio = self._faded(audio[:kept])
        spoken = tf.concat([tf.zeros([lead]), audio], 0)
        spoken = tf.cond(draws[6] < settings.join, lambda: self._joined(spoken, audio, others, draws[7:16]), lambda: spoken)
        spoken = spoken[:samples]
        return tf.pad(spoken, [[0, samples - tf.shape(spoken)[0]]])

    def _joined(self, spoken: tf.Tensor, first: tf.Tensor, others: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The other clips after pauses, at the level of the first within `join_level_db`."""
        power = _power(first)
        for k in range(SPEECH_RECORDS):
            audio = self._faded(self._part(self.decode(others[k])[0][:, 0], draws[3 * k]))
            level = tf.pow(10.0, between(draws[3 * k + 1], -self.settings.join_level_db, self.settings.join_level_db) / 20.0)
            factor = tf.where(power > 0, tf.sqrt(tf.math.divide_no_nan(power, _power(audio))), 1.0)
            spoken = tf.concat([spoken, tf.zeros([self._pause(draws[3 * k + 2])]), audio * factor * level], 0)
        return spoken

    def _part(self, audio: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """Return what a clip needs of a recording, from a random place, without the zeros that `prepare` put at its end."""
        audio = _without_padding(audio)
        most = min(int(np.ceil(self.samples * max(1.0, self.settings.rate[1]))), self.rate_length)
        start = index_below(draw, tf.maximum(tf.shape(audio)[0] - most, 0) + 1)
        return audio[start : start + most]

    def _pause(self, draw: tf.Tensor) -> tf.Tensor:
        return tf.cast(between(draw, *self.settings.pause_seconds) * self.rate, tf.int32)

    def _faded(self, audio: tf.Tensor) -> tf.Tensor:
        length = tf.shape(audio)[0]
        place = tf.range(length)
        edge = tf.cast(tf.minimum(place, length - 1 - place), tf.float32)
        return audio * tf.minimum(edge / max(1.0, _EDGE_SECONDS * self.rate), 1.0)

    def _at_another_rate(self, audio: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """Resampled without error below the lower of both band limits: the spectrum of one length, read at another.

        The lengths are those that the transform is quick at, so the rate is one of some dozens.
        """
        size = tf.gather(self.rate_lengths, index_below(draw, len(self.rate_lengths)))
        spectrum = tf.signal.rfft(self._faded(audio), [self.rate_length])
        scale = tf.cast(size, tf.float32) / self.rate_length
        bent = tf.signal.irfft(spectrum, [size]) * scale
        return bent[: tf.cast(tf.cast(tf.shape(audio)[0], tf.float32) * scale, tf.int32)]

    # Noise.

    def _noises(self, others: tf.Tensor, noises: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """float32 [GROUPS, samples]: the first noise, and the sum of what comes beside it."""
        count = 1 + index_below(draws[0, 0], self.settings.most_noises)
        silence = tf.zeros([self.samples])
        first = self._one_noise(tf.constant(0), others, noises, draws[0], seed)
        rest = silence
        for k in range(1, self.settings.most_noises):
            rest = tf.cond(
                k < count,
                lambda k=k, so_far=rest: so_far + self._one_noise(tf.constant(k), others, noises, draws[k], seed),
                lambda so_far=rest: so_far,
            )
        return tf.stack([first, rest])

    def _noise(self, slot: tf.Tensor, others: tf.Tensor, noises: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """float32 [samples] of unit power where it is active, times what makes a second noise quieter."""
        settings, samples, rate = self.settings, self.samples, self.rate
        own, special = draws[:8], draws[8:]
        more = seed + tf.constant([0, 1], tf.int64) * tf.cast(1 + slot, tf.int64) * 2**40  # another stream of numbers
        normals = lambda: tf.random.stateless_normal(synthetic_noise.NORMALS, more)
        makers = {
            "recorded": lambda: self._recorded(noises[slot], own, special),
            "babble": lambda: synthetic_noise.babble(
                tf.stack([self._voice(others[k], special[k]) for k in range(SPEECH_RECORDS)]), special
            ),
            "coloured": lambda: synthetic_noise.coloured(samples, special, self.noise),
            "hum": lambda: synthetic_noise.hum(samples, rate, special, normals()),
            "fan": lambda: synthetic_noise.fan(samples, rate, special, normals(), self.noise),
            "clicks": lambda: synthetic_noise.clicks(
                samples, rate, special, tf.random.stateless_uniform(synthetic_noise.CLICK_DRAWS, more)
            ),
        }
        weights = np.array([getattr(settings, name) for name in makers])
        bounds = np.cumsum(weights / weights.sum()).astype(np.float32)[:-1]
        kind = tf.reduce_sum(tf.cast(own[1] >= bounds, tf.int32))
        unused = [lambda: tf.zeros([samples])]
        audio = tf.switch_case(kind, [maker if weight else unused[0] for maker, weight in zip(makers.values(), weights, strict=True)])
        audio = tf.ensure_shape(audio, [samples])
        audio = tf.cond(own[2] < settings.intermittent, lambda: audio * self._gate(own[3], own[4]), lambda: audio)
        level = tf.where(slot > 0, tf.pow(10.0, between(own[5], *settings.second_noise_db) / 20.0), 1.0)
        return audio * level * tf.sqrt(tf.math.divide_no_nan(1.0, active_power(audio, rate)))

    def _recorded(self, record: tf.Tensor, own: tf.Tensor, special: tf.Tensor) -> tf.Tensor:
        """A recording from a random place, over and over where it is shorter than the clip, maybe at another rate or with gaps.

        Between two samples it is read on a straight line, which takes some treble: no loss in a noise.
        """
        settings = self.settings
        audio = _without_padding(self.decode(record)[0][:, 0])
        most = int(np.ceil(self.samples * max(1.0, settings.noise_rate[1]))) + 1
        start = index_below(special[0], tf.maximum(tf.shape(audio)[0] - most, 0) + 1)
        audio = self._faded(audio[start : start + most])
        gap = tf.cast(between(special[5], *settings.noise_gap_seconds) * self.rate, tf.int32)
        gap = tf.where((special[4] < settings.noise_gap) & (tf.shape(audio)[0] < self.samples), gap, 0)
        audio = tf.concat([audio, tf.zeros([gap])], 0)
        audio = _over_and_over(audio, index_below(special[1], tf.shape(audio)[0]), most + 1)

        def at_another_rate() -> tf.Tensor:
            place = tf.range(self.samples, dtype=tf.float32) * between(special[3], *settings.noise_rate)
            below = tf.cast(place, tf.int32)
            part = place - tf.cast(below, tf.float32)
            return tf.gather(audio, below) * (1.0 - part) + tf.gather(audio, below + 1) * part

        return tf.cond(special[2] < settings.noise_rate_change, at_another_rate, lambda: audio[: self.samples])

    def _voice(self, record: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """float32 [samples] for babble: the recording over and over."""
        audio = self._part(self.decode(record)[0][:, 0], draw)
        return _over_and_over(audio, index_below(draw, tf.shape(audio)[0]), self.samples)

    def _gate(self, centre: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """1 within a tenth to seven tenths of the clip, 0 elsewhere, with slopes of 10 ms."""
        half = between(width, 0.05, 0.35) * self.samples
        away = tf.abs(tf.range(self.samples, dtype=tf.float32) - centre * self.samples)
        return tf.clip_by_value((half - away) / (0.01 * self.rate) + 1.0, 0.0, 1.0)


def _over_and_over(audio: tf.Tensor, first: tf.Tensor, samples: int) -> tf.Tensor:
    """float32 [samples]: from `first` on, again from the start after the end. Copies: indices modulo the length cost more."""
    return tf.tile(audio, [1 + -(-samples // tf.shape(audio)[0])])[first : first + samples]


def _lengths_between(low: float, high: float) -> list[int]:
    """Even lengths in [low, high] that the transform is quick at; where these are few, eight evenly spaced ones."""
    first, last = int(np.ceil(low / 2)) * 2, int(high // 2) * 2
    quick = [length for length in range(first, last + 1, 2) if length == good_fft_length(length)]
    if len(quick) >= 8:
        return quick
    return sorted({2 * round(length / 2) for length in np.linspace(low, high, 8)})


def _without_padding(audio: tf.Tensor) -> tf.Tensor:
    """Without the zeros at its end; one sample of silence is left."""
    spoken = tf.reverse(audio, [0]) != 0
    last = tf.shape(audio)[0] - tf.cast(tf.argmax(tf.cast(spoken, tf.int32)), tf.int32)
    return audio[: tf.where(tf.reduce_any(spoken), last, 1)]


def _power(audio: tf.Tensor) -> tf.Tensor:
    """Mean square, 0 for nothing."""
    return tf.math.divide_no_nan(tf.reduce_sum(tf.square(audio)), tf.cast(tf.size(audio), tf.float32))
