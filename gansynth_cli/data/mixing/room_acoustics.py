"""Impulse responses of simulated rooms: image sources for the first reflections, a diffuse tail for the rest. numpy only.

The images of a source in the walls of a box (Allen and Berkley, "Image method for efficiently simulating small-room
acoustics", JASA 1979) are exact and few in the first 80 ms; their number grows with the cube of the time. From there on a room
is well described by noise that decays exponentially, as loud as the images were (the hybrid of e.g. Lehmann and Johansson
2010). Absorption differs in four bands, so the tail loses its treble first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SPEED_OF_SOUND = 343.0  # m/s
PLACES = 3  # of sources in a room: the talker, then two noises
_IMAGE_SECONDS, _FADE_SECONDS = 0.08, 0.02  # images up to here; over the last part they give way to the tail
_BAND_EDGES_HZ = (500.0, 1500.0, 4000.0)
_BAND_TIMES = ((0.9, 1.4), (1.0, 1.0), (0.7, 1.0), (0.4, 0.8))  # reverberation times of the bands, as factors
_LOWEST_HZ = 50.0
_TAPS = 16  # of the windowed sinc that puts an image between two samples
_LEAST_SIZE, _MOST_SIZE = np.array([2.5, 2.5, 2.2]), np.array([10.0, 8.0, 4.0])  # m
_WALL = 0.4  # m: nothing is nearer to a wall
_TALKER = (0.3, 2.5)  # m from the microphone


@lru_cache(maxsize=8)
def room_bank(rooms: int, sample_rate: int, rt60_seconds: tuple[float, float], samples: int, seed: int) -> np.ndarray:
    """Impulse responses from the places of random rooms to one microphone each.

    Args:
        rooms: How many rooms.
        sample_rate: Hz.
        rt60_seconds: Reverberation times are drawn from this range, the same for all sizes of room.
        samples: Length of a response.
        seed: Another seed gives other rooms.

    Returns:
        float32 [rooms, PLACES, samples]. The direct sound is 1 at sample 0: a response adds no delay. A room does not depend
        on how many are made.
    """
    bank = np.zeros((rooms, PLACES, samples), np.float32)
    for index in range(rooms):
        rng = np.random.default_rng([seed, index])
        rt60 = rng.uniform(*rt60_seconds)
        size = rng.uniform(_LEAST_SIZE, _MOST_SIZE)
        microphone = rng.uniform(_WALL, size - _WALL)
        times = rt60 * np.array([rng.uniform(*factors) for factors in _BAND_TIMES])
        for place in range(PLACES):
            source = _near(rng, microphone, size) if place == 0 else rng.uniform(_WALL, size - _WALL)
            bank[index, place] = impulse_response(size, source, microphone, times, sample_rate, samples, rng)
    bank.setflags(write=False)
    return bank


def impulse_response(
    size: np.ndarray,
    source: np.ndarray,
    microphone: np.ndarray,
    times: np.ndarray,
    sample_rate: int,
    samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """float64 [samples]: from a source to a microphone in a box, the direct sound 1 at sample 0.

    Args:
        size, source, microphone: m, [3] each; the box reaches from 0 to `size`.
        times: Reverberation times of the four bands, s [4]. They fix the absorption of the walls (Eyring's formula).
        rng: For the diffuse tail.
    """
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    reflection = np.exp(-0.5 * 0.161 * volume / (surface * times))  # of pressure: sqrt(1 - absorption)
    direct = float(np.linalg.norm(source - microphone))
    end = min(samples, round(_IMAGE_SECONDS * sample_rate))
    distances, reflections = _images(size, source, microphone, direct + SPEED_OF_SOUND * end / sample_rate)
    real = reflections > 0
    delays = (distances[real] - direct) / SPEED_OF_SOUND * sample_rate
    amplitudes = direct / distances[real] * reflection[:, None] ** reflections[real]
    bands = np.stack([_impulses(delays, band, samples) for band in amplitudes])
    fade = min(end, round(_FADE_SECONDS * sample_rate))
    if end < samples:
        place = np.arange(samples)
        decay = np.exp(-np.log(1e3) * place / (times[:, None] * sample_rate))
        window = slice(end - fade, end)
        loudness = np.sqrt(np.var(bands[:, window], axis=1) / np.mean(decay[:, window] ** 2, axis=1))
        turn = np.clip((place - (end - fade)) / fade, 0, 1) * (np.pi / 2)
        bands = bands * np.cos(turn) + loudness[:, None] * decay * rng.standard_normal(samples) * np.sin(turn)
        # Band limiting takes the power of white noise and of sparse images alike, so the loudness holds in each band.
    length = 2 * samples
    spectrum = (np.fft.rfft(bands, length) * _band_windows(length, sample_rate)).sum(axis=0)
    response = np.fft.irfft(spectrum, length)[:samples]
    response[0] += 1.0
    return response


def _near(rng: np.random.Generator, microphone: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A place at the distance of a talker from the microphone."""
    for _ in range(100):
        direction = rng.standard_normal(3) * [1, 1, 0.3]
        place = microphone + direction / np.linalg.norm(direction) * rng.uniform(*_TALKER)
        if (place > _WALL / 2).all() and (place < size - _WALL / 2).all():
            return place
    return (microphone + size / 2) / 2 + [0.05, 0.05, 0.0]


def _images(size: np.ndarray, source: np.ndarray, microphone: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances of all images within `reach` of the microphone, and how often each was reflected (the source itself: 0)."""
    axes = []
    for axis in range(3):
        most = int(np.ceil(reach / (2 * size[axis]))) + 1
        number, mirrored = np.meshgrid(np.arange(-most, most + 1), [0, 1])
        place = (1 - 2 * mirrored) * source[axis] + 2 * number * size[axis] - microphone[axis]
        inside = np.abs(place) < reach
        axes.append((place[inside] ** 2, (np.abs(number - mirrored) + np.abs(number))[inside]))
    squares = axes[0][0][:, None, None] + axes[1][0][:, None] + axes[2][0]
    counts = axes[0][1][:, None, None] + axes[1][1][:, None] + axes[2][1]
    inside = squares < reach**2
    return np.sqrt(squares[inside]), counts[inside]


def _impulses(delays: np.ndarray, amplitudes: np.ndarray, samples: int) -> np.ndarray:
    """float64 [samples]: impulses at fractional delays >= 0, in samples."""
    first = np.floor(delays).astype(np.int64) - _TAPS // 2 + 1
    offsets = np.arange(_TAPS)[:, None] + first - delays  # [taps, images], from -taps/2 to taps/2
    taps = amplitudes * np.sinc(offsets) * np.cos(np.pi * offsets / _TAPS) ** 2
    places = (np.arange(_TAPS)[:, None] + first).ravel()
    kept = (places >= 0) & (places < samples)
    return np.bincount(places[kept], taps.ravel()[kept], samples)


@lru_cache(maxsize=4)
def _band_windows(length: int, sample_rate: int) -> np.ndarray:
    """complex [bands, bins], each crossing the next over an octave. They add up to a high-pass filter.

    All images have the same sign, so that where they are dense their sum has an offset, which no room has. Allen and Berkley
    filter it away likewise; here by a Butterworth filter of second order, which is causal.
    """
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), 1.0))
    above = np.stack([np.clip(octaves - np.log2(edge) + 0.5, 0, 1) for edge in _BAND_EDGES_HZ])
    above = np.sin(above * np.pi / 2) ** 2
    ones, zeros = np.ones((1, len(octaves))), np.zeros((1, len(octaves)))
    s = 1j * np.tan(np.pi * np.fft.rfftfreq(length)) / np.tan(np.pi * _LOWEST_HZ / sample_rate)
    s[-1] = 1e9j  # half the rate: tan is infinite
    return (np.concatenate([ones, above]) - np.concatenate([above, zeros])) * (s**2 / (s**2 + np.sqrt(2) * s + 1))
