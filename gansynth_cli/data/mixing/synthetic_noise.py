"""Noises that no recording is needed for, as graph functions of one clip: coloured noise, hum, fans, clicks, babble.

All take uniform draws in [0, 1), so that a clip is a pure function of them; none has a level: the mixer sets it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import tensorflow as tf

DRAWS = 8  # uniform numbers that each of these functions is given

_SLOPES_DB = (3.0, 0.0, -3.0, -6.0, -9.0, -12.0)  # per octave; -3 is pink, -6 brown
_BANK_SAMPLES = 1 << 19
_PERIOD, _HARMONICS = 2048, 32  # samples of a stored period
_CLICKS, _CLICK_SECONDS = 24, 0.05


def between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """[0, 1) to [low, high)."""
    return low + (high - low) * uniform


def log_between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """[0, 1) to [low, high), each octave as likely as the other."""
    return low * tf.exp(uniform * float(np.log(high / low)))


def index_below(uniform: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """[0, 1) to int32 0 .. count - 1."""
    count = tf.cast(count, tf.int32)
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)


@lru_cache(maxsize=2)
def noise_bank(seed: int = 0) -> np.ndarray:
    """float32 [slopes, samples] of unit power: coloured noise that clips take slices of.

    Gaussian noise made for each clip would cost more than the rest of the mixer; a random place in half a minute of it,
    under another filter each time, does not come twice.
    """
    rng = np.random.default_rng([seed, 0xC0104])
    bins = np.arange(1, _BANK_SAMPLES // 2 + 1)
    octaves = np.log2(np.maximum(bins, 20 * _BANK_SAMPLES / 16000))  # flat below 20 Hz at 16 kHz
    rows = []
    for slope in _SLOPES_DB:
        spectrum = np.zeros(len(bins) + 1, complex)
        spectrum[1:] = (rng.standard_normal(len(bins)) + 1j * rng.standard_normal(len(bins))) * 10 ** (slope * octaves / 20)
        noise = np.fft.irfft(spectrum)
        rows.append((noise / noise.std()).astype(np.float32))
    bank = np.stack(rows)
    bank.setflags(write=False)
    return bank


def coloured(samples: int, draws: tf.Tensor, bank: tf.Tensor) -> tf.Tensor:
    """float32 [samples]: the sum of two slopes, the second up to 20 dB below the first; `bank` is `noise_bank`."""
    spare = tf.shape(bank)[1] - samples
    parts = [
        tf.slice(bank, [index_below(draws[2 * k], len(_SLOPES_DB)), index_below(draws[2 * k + 1], spare)], [1, samples])[0] for k in (0, 1)
    ]
    return parts[0] + tf.pow(10.0, -between(draws[4], 0.0, 20.0) / 20.0) * parts[1]


def hum(samples: int, rate: int, draws: tf.Tensor, normals: tf.Tensor) -> tf.Tensor:
    """float32 [samples]: a tone with harmonics that fall by 1 to 9 dB an octave and a pitch that wavers by up to 1 %.

    In half of the cases the tone is the mains' (50 or 60 Hz).
    """
    mains = tf.where(draws[1] < 0.5, 50.0, 60.0)
    pitch = tf.where(draws[0] < 0.5, mains, log_between(draws[1], 45.0, 400.0))
    wobble = tf.where(draws[0] < 0.5, 0.0, between(draws[2], 0.0, 0.01))
    return _tone(samples, rate, pitch, wobble, between(draws[3], 0.2, 3.0), between(draws[4], 0.5, 1.5), normals)


def fan(samples: int, rate: int, draws: tf.Tensor, normals: tf.Tensor, bank: tf.Tensor) -> tf.Tensor:
    """float32 [samples]: coloured noise that swells with the blades, and their tone up to 0 dB beside it."""
    air = coloured(samples, draws[:5], bank)
    blades = log_between(draws[5], 2.0, 30.0)
    time = tf.range(samples, dtype=tf.float32) / rate
    swell = 1.0 + between(draws[6], 0.2, 0.9) * tf.sin(2 * np.pi * (blades * time + draws[0]))
    tone = _tone(samples, rate, 8.0 * blades, 0.005, 0.5, 1.0, normals)
    return air / _rms(air) * swell + tone / _rms(tone) * tf.pow(10.0, -between(draws[7], 0.0, 30.0) / 20.0)


def clicks(samples: int, rate: int, draws: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """float32 [samples]: 2 to 24 damped beats of one kind at random places; `uniforms` is [24, 4]."""
    length = max(1, round(_CLICK_SECONDS * rate))
    count = 2 + index_below(draws[0], _CLICKS - 1)
    time = tf.range(length, dtype=tf.float32) / rate
    pitch = log_between(draws[1], 200.0, 5000.0) * log_between(uniforms[:, 0:1], 0.8, 1.25)
    damping = log_between(draws[2], 0.0005, 0.01) * log_between(uniforms[:, 1:2], 0.7, 1.4)
    level = tf.pow(10.0, -uniforms[:, 2:3] * 15.0 / 20.0)
    shapes = level * tf.exp(-time / damping) * tf.sin(2 * np.pi * pitch * time)
    shapes = tf.where(tf.range(_CLICKS)[:, None] < count, shapes, 0.0)
    starts = index_below(uniforms[:, 3], samples)
    places = starts[:, None] + tf.range(length)
    return tf.math.unsorted_segment_sum(tf.reshape(shapes, [-1]), tf.reshape(places, [-1]), samples + length)[:samples]


def babble(voices: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """float32 [samples] of [voices, samples]: all at once, and with draws[0] >= .5 each a second time from elsewhere in itself."""
    count, samples = voices.shape[0], tf.shape(voices)[1]
    parts = []
    for k in range(count):
        level = tf.pow(10.0, -6.0 / 20.0 * tf.math.floormod(draws[1 + k % 4] * 7.0, 1.0))
        voice = voices[k] * tf.math.divide_no_nan(level, _rms(voices[k]))
        again = tf.roll(voice, samples // 3 + index_below(draws[1 + k % 4], samples // 3 + 1), 0)
        parts.append(voice + tf.where(draws[0] < 0.5, 0.0, 1.0) * again)
    return tf.add_n(parts)


def _rms(audio: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(audio))) + 1e-20


def _tone(samples: int, rate: int, pitch, wobble, wobble_rate, fall, normals: tf.Tensor) -> tf.Tensor:
    """One stored period, read at the pitch: a sine for each harmonic of each sample would cost ten times as much.

    `normals` float32 [HARMONICS, 2] are the harmonics; those beyond .45 of the rate are left out.
    """
    number = tf.range(1, _HARMONICS + 1, dtype=tf.float32)
    size = tf.where(number * pitch * 1.02 < 0.45 * rate, tf.pow(number, -fall), 0.0)
    harmonics = tf.complex(normals[:, 0] * size, normals[:, 1] * size)
    spectrum = tf.pad(harmonics, [[1, _PERIOD // 2 - _HARMONICS]])
    period = tf.signal.irfft(spectrum, [_PERIOD]) * _PERIOD
    time = tf.range(samples, dtype=tf.float32) / rate
    cycles = pitch * (time + wobble / (2 * np.pi * wobble_rate) * tf.sin(2 * np.pi * wobble_rate * time))
    place = tf.math.floormod(cycles, 1.0) * _PERIOD
    below = tf.minimum(tf.cast(place, tf.int32), _PERIOD - 1)
    part = place - tf.cast(below, tf.float32)
    return tf.gather(period, below) * (1.0 - part) + tf.gather(tf.roll(period, -1, 0), below) * part


NORMALS = (_HARMONICS, 2)  # shape of the normal draws of `hum` and `fan`
CLICK_DRAWS = (_CLICKS, 4)  # shape of the uniform draws of `clicks`
