"""Simulated rooms: image sources against the naive sum, reverberation time, and what the mixer relies on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.signal

from gansynth_cli.data.mixing import room_acoustics as rooms
from gansynth_cli.data.mixing.room_acoustics import PLACES, SPEED_OF_SOUND, _band_windows, _images, impulse_response, room_bank

RATE = 16000
SIZE, SOURCE, MICROPHONE = np.array([5.0, 4.0, 3.0]), np.array([1.2, 2.1, 1.5]), np.array([3.3, 1.4, 1.2])


def response(rt60: float | list[float], samples: int = 16000, seed: int = 0) -> np.ndarray:
    times = np.broadcast_to(np.asarray(rt60, float), 4)
    return impulse_response(SIZE, SOURCE, MICROPHONE, times, RATE, samples, np.random.default_rng(seed))


def decay_seconds(audio: np.ndarray, first_db: float, last_db: float) -> float:
    """The reverberation time from the slope of Schroeder's integrated decay."""
    energy = np.cumsum(audio[::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0])
    inside = np.flatnonzero((level < first_db) & (level > last_db))
    slope = np.polyfit(inside / RATE, level[inside], 1)[0]
    return -60 / slope


def test_images_are_those_of_walking_through_the_mirrored_rooms():
    """Allen and Berkley 1979, eq. 6 to 9, summed as it is written: eight mirrored sources in each room of a lattice."""
    reach = 12.0
    expected = []
    for mirror in itertools.product((0, 1), repeat=3):
        for room in itertools.product(range(-3, 4), repeat=3):
            place = [
                (1 - 2 * q) * s + 2 * n * length - m for q, n, s, length, m in zip(mirror, room, SOURCE, SIZE, MICROPHONE, strict=True)
            ]
            distance = float(np.linalg.norm(place))
            if distance < reach:
                expected.append((round(distance, 9), sum(abs(n - q) + abs(n) for q, n in zip(mirror, room, strict=True))))
    distances, counts = _images(SIZE, SOURCE, MICROPHONE, reach)
    assert sorted(zip(np.round(distances, 9).tolist(), counts.tolist(), strict=True)) == sorted(expected)
    assert sum(count == 0 for _, count in expected) == 1
    assert sum(count == 1 for _, count in expected) == 6, "one first reflection of each wall"


def test_the_first_reflections_come_when_geometry_says():
    direct = np.linalg.norm(SOURCE - MICROPHONE)
    heard = response(0.4)
    assert heard[0] == pytest.approx(1.0, abs=0.02), "the direct sound, and a little of the band filters around it"
    floor_image = SOURCE * [1, 1, -1]
    delay = (np.linalg.norm(floor_image - MICROPHONE) - direct) / SPEED_OF_SOUND * RATE
    volume, surface = 60.0, 2 * (20 + 12 + 15)
    reflection = np.exp(-0.5 * 0.161 * volume / (surface * 0.4))
    near = heard[round(delay) - 6 : round(delay) + 7]
    places = np.arange(round(delay) - 6, round(delay) + 7)
    expected = reflection * direct / np.linalg.norm(floor_image - MICROPHONE)
    assert abs(places[np.argmax(near)] - delay) < 1
    assert near @ np.sinc(places - delay) == pytest.approx(expected, rel=0.1)
    assert np.abs(heard[1 : round(delay) - 10]).max() < 0.02, "nothing before the first reflection"


@pytest.mark.parametrize("rt60", [0.2, 0.5, 0.9])
def test_reverberation_time(rt60: float):
    assert decay_seconds(response(rt60), -5, -35) == pytest.approx(rt60, rel=0.12)


def test_the_tail_is_as_loud_as_the_images_it_goes_on_from(monkeypatch: pytest.MonkeyPatch):
    """A response whose images reach further, against the usual one: the same energy where one has images and one a tail.

    A box keeps its sound a little longer than Eyring's formula says, as sound between two walls meets no others.
    """
    usual = np.mean([response(0.5, seed=seed)[1280:1920] ** 2 for seed in range(8)])
    monkeypatch.setattr(rooms, "_IMAGE_SECONDS", 0.14)
    exact = np.mean(response(0.5)[1280:1920] ** 2)
    assert -2 < 10 * np.log10(usual / exact) < 1


def test_treble_dies_first_where_its_time_is_shorter():
    heard = response([0.8, 0.8, 0.8, 0.2])
    low = scipy.signal.sosfilt(scipy.signal.butter(6, 2000, "lowpass", fs=RATE, output="sos"), heard)
    high = scipy.signal.sosfilt(scipy.signal.butter(6, 6000, "highpass", fs=RATE, output="sos"), heard)
    assert decay_seconds(low, -5, -30) == pytest.approx(0.8, rel=0.15)
    assert decay_seconds(high, -5, -25) < 0.35


def test_band_windows_add_up():
    windows = _band_windows(2048, RATE)
    numerator, denominator = scipy.signal.butter(2, 50, "highpass", fs=RATE)
    _, expected = scipy.signal.freqz(numerator, denominator, np.fft.rfftfreq(2048, 1 / RATE)[:-1], fs=RATE)
    np.testing.assert_allclose(windows.sum(axis=0)[:-1], expected, atol=1e-9)
    assert windows.sum(axis=0)[-1] == pytest.approx(1)


def test_the_bank():
    bank = room_bank(5, 8000, (0.15, 0.5), 3000, 1)
    assert bank.shape == (5, PLACES, 3000)
    assert bank.dtype == np.float32
    assert np.isfinite(bank).all()
    np.testing.assert_allclose(bank[:, :, 0], 1, atol=0.05)
    np.testing.assert_array_equal(room_bank(2, 8000, (0.15, 0.5), 3000, 1), bank[:2])
    assert not np.array_equal(room_bank(2, 8000, (0.15, 0.5), 3000, 2), bank[:2]), "another seed, other rooms"
    assert np.abs(bank[0, 1] - bank[0, 2]).max() > 0.05, "another place, another response"
    short = room_bank(1, 8000, (0.15, 0.5), 300, 1)  # shorter than the images reach
    assert np.isfinite(short).all()
