"""Notes as magnitude and instantaneous frequency: every step against numpy, both ways."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from scipy.signal import butter, sosfiltfilt

from gansynth_cli.layers import AudioToNotePicture, HarmonicMap, NotePictureToAudio
from gansynth_cli.signal.instantaneous_frequency import (
    audio_to_spectra,
    front_padding,
    full_overlap,
    instantaneous_frequency,
    linear_to_mel,
    mel_inverse,
    mel_matrix,
    mel_to_linear,
    phase_of,
    spectra_to_audio,
)

RATE = 8000


def note(pitch: float = 60.0, samples: int = 4096, rate: int = RATE, partials: int = 6) -> np.ndarray:
    """float32 [samples]: a harmonic tone that decays."""
    t = np.arange(samples) / rate
    f0 = 440.0 * 2 ** ((pitch - 69) / 12)
    tone = sum(np.sin(2 * np.pi * n * f0 * t + n) / n for n in range(1, partials + 1) if n * f0 < 0.45 * rate)
    return (0.3 * np.exp(-3 * t) * tone).astype(np.float32)


def error_db(audio: np.ndarray, back: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.sum((audio - back) ** 2, axis=-1) / np.sum(audio**2, axis=-1))


@pytest.mark.parametrize(("fft", "hop", "frames", "front"), [(2048, 512, 128, 3072), (1024, 256, 256, 2304)])
def test_the_papers_pictures(fft, hop, frames, front):
    assert front_padding(64000, fft, hop, frames) == front
    magnitude, frequency = audio_to_spectra(np.zeros(64000, np.float32), fft, hop, frames)
    assert magnitude.shape == frequency.shape == (frames, fft // 2)


def test_frames_that_end_too_early():
    with pytest.raises(ValueError, match="before the audio"):
        front_padding(64001 + 3072, 2048, 512, 128)


def test_frequency_is_the_unwrapped_phases_change():
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 9, 5))
    unwrapped = np.unwrap(phase, axis=1)
    expected = np.concatenate([phase[:, :1], np.diff(unwrapped, axis=1)], axis=1) / np.pi
    found = instantaneous_frequency(tf.constant(phase))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(phase_of(found), unwrapped, atol=1e-12)


def test_a_steady_tone_has_a_flat_line_at_its_frequency():
    hz, fft, hop = 1002.3, 512, 128
    audio = np.sin(2 * np.pi * hz * np.arange(4096) / RATE).astype(np.float32)
    _, frequency = audio_to_spectra(audio, fft, hop, 32)
    line = frequency.numpy()[6:, round(hz * fft / RATE) - 1]  # DC is dropped: bin k stands at k - 1
    turns = hz * hop / RATE
    np.testing.assert_allclose(line, 2 * (turns - round(turns)), atol=1e-4)


@pytest.mark.parametrize(("fft", "hop"), [(512, 128), (256, 64), (512, 256)])
def test_there_and_back(fft, hop):
    audio = np.stack([note(p) for p in (48, 60, 71.5)])
    frames = 4096 // hop + 1
    back = spectra_to_audio(*audio_to_spectra(audio, fft, hop, frames), fft, hop, 4096).numpy()
    assert back.shape == audio.shape
    whole = 4096 - fft + hop
    assert error_db(audio[:, :whole], back[:, :whole]).max() < -45
    assert np.abs(back[:, whole:]).max() <= np.abs(audio[:, whole:]).max() * 1.5  # what few frames see fades; it is no click


def test_matched_window():
    assert full_overlap(512, 128) == pytest.approx(1.5)
    assert full_overlap(512, 256) == pytest.approx(0.5)


def test_a_wrong_picture_has_no_click_at_its_end():
    rng = np.random.default_rng(0)
    shape = (33, 256)
    audio = spectra_to_audio(tf.zeros(shape), tf.constant(rng.uniform(-1, 1, shape), tf.float32), 512, 128, 4096).numpy()
    assert np.abs(audio[-256:]).max() < 1.5 * np.abs(audio[1000:3000]).max()


def test_silence():
    magnitude, frequency = audio_to_spectra(np.zeros(4096, np.float32), 512, 128, 33)
    np.testing.assert_allclose(magnitude, np.log(1e-6), atol=1e-5)
    np.testing.assert_array_equal(frequency, 0)
    np.testing.assert_array_equal(spectra_to_audio(magnitude, frequency, 512, 128, 4096), 0)


def test_mel_bank_against_its_definition():
    bands, bins, rate = 48, 64, 16000
    mel = lambda f: 1127 * np.log(1 + f / 700)
    hertz = lambda m: 700 * (np.exp(m / 1127) - 1)
    edges = np.linspace(0, mel(rate / 2), bands + 2)
    least, widened = 1.5 * rate / 2 / bins, 0
    expected = np.zeros((bins, bands))
    for band in range(bands):
        low, centre, high = (hertz(edges[band + i]) for i in range(3))
        if high - low < least:
            widened += 1
            ratio = 0.5 * least / (centre + 700)
            step = np.log(ratio + np.sqrt(1 + ratio**2))
            low, high = hertz(mel(centre) - 1127 * step), hertz(mel(centre) + 1127 * step)
            assert high - low == pytest.approx(least)
        for k in range(1, bins):
            f = k * rate / 2 / (bins - 1)
            expected[k, band] = max(0, min((f - low) / (centre - low), (high - f) / (high - centre)))
    assert 0 < widened < bands
    found = mel_matrix(bands, bins, rate)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert not found[0].any()
    sums = (found @ found.T).sum(axis=0)
    inverse = found.T @ np.diag([1 / s if s > 1e-8 else s for s in sums])
    np.testing.assert_allclose(mel_inverse(found), inverse, atol=1e-12)


# Entries (band, linear bin, weight) of the authors' inverse bank for 1024 bands of 1024 bins at 16 kHz, as their browser version ships it.
PUBLISHED_INVERSE = [
    (1, 1, 1.0087615084725814),
    (2, 1, 0.029087889211125567),
    (2, 2, 0.958243896036208),
    (3, 3, 0.45988057223186607),
    (16, 12, 0.9736767011426267),
    (24, 19, 0.039794474296176746),
    (28, 21, 0.9292283399303117),
]


def test_the_authors_bank():
    """Neighbouring triangles share their edges in one array, and each widening moves them for the next one."""
    bands, bins, rate = 1024, 1024, 16000
    mel = lambda f: 1127 * np.log(1 + f / 700)
    hertz = lambda m: 700 * (np.exp(m / 1127) - 1)
    edges = list(np.linspace(0, mel(rate / 2), bands + 2))
    width = 1.5 * rate / 2 / bins
    for i in range(bands):
        if hertz(edges[i + 2]) - hertz(edges[i]) < width:
            half = 1127 * np.arcsinh(0.5 * width / (700 + hertz(edges[i + 1])))
            edges[i], edges[i + 2] = edges[i + 1] - half, edges[i + 1] + half
    low, centre, high = (hertz(np.array(edges[i : bands + i])) for i in range(3))
    hz = np.arange(bins)[:, None] * rate / 2 / (bins - 1)
    expected = np.clip(np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)), 0, None)
    expected[0] = 0
    found = mel_matrix(bands, bins, rate, "authors")
    np.testing.assert_allclose(found, expected, atol=1e-10)
    inverse = mel_inverse(found)
    assert np.count_nonzero(inverse) == 2042
    for band, bin_, weight in PUBLISHED_INVERSE:
        assert inverse[band, bin_] == pytest.approx(weight, abs=1e-10)
    # Linear up to 5 kHz, in steps of 0.75 bin; mel from there to 8 kHz.
    steps = np.diff(centre)
    np.testing.assert_allclose(steps[10:840], 0.75 * rate / 2 / bins, rtol=0.01)
    assert centre[853] == pytest.approx(5014, abs=1)
    assert centre[-1] == pytest.approx(7978, abs=1)
    assert np.abs(found - mel_matrix(bands, bins, rate)).max() > 0.9


def strongest_hz(audio: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 18))
    return np.argmax(spectrum) * rate / (1 << 18)


def test_a_tone_comes_back_at_its_pitch_through_its_own_bank_only():
    """At the paper's size: 587.5 Hz through the authors' bank; drawn with it and heard through the even one it is another note."""
    size = {"fft": 2048, "hop": 512, "frames": 128, "samples": 64000, "sample_rate": 16000, "mel_bands": 1024}
    audio = (0.5 * np.sin(2 * np.pi * 587.5 * np.arange(64000) / 16000)).astype(np.float32)[None, :, None]
    picture = AudioToNotePicture(**size, mel_bank="authors")(audio)
    back = NotePictureToAudio(**size, mel_bank="authors")(picture).numpy()[0, 16000:48000, 0]
    assert strongest_hz(back, 16000) == pytest.approx(587.5, abs=0.3)
    wrong = NotePictureToAudio(**size)(picture).numpy()[0, 16000:48000, 0]
    assert abs(strongest_hz(wrong, 16000) - 587.5) > 50


def test_files_of_before_keep_their_bank():
    size = {"fft": 256, "hop": 64, "frames": 32, "samples": 2048, "sample_rate": 8000, "mel_bands": 64}
    for layer in (AudioToNotePicture(**size, mel_bank="authors"), NotePictureToAudio(**size, mel_bank="authors")):
        config = layer.get_config()
        assert type(layer).from_config(config).mel_bank == "authors"
        old = type(layer).from_config({k: v for k, v in config.items() if k != "mel_bank"})
        np.testing.assert_array_equal(old._matrix, mel_matrix(64, 128, 8000))
        assert np.abs(old._matrix - layer._matrix).max() > 0.2
    where = {"pitches": [60], "frames": 2, "bins": 64, "fft": 256, "hop": 64, "sample_rate": 8000, "mel_bands": 64}
    shown = {bank: HarmonicMap(**where, mel_bank=bank) for bank in ("even", "authors")}
    config = shown["authors"].get_config()
    assert np.abs(shown["even"](tf.constant([0])) - HarmonicMap.from_config(config)(tf.constant([0]))).max() > 0.05
    old = HarmonicMap.from_config({k: v for k, v in config.items() if k != "mel_bank"})
    np.testing.assert_array_equal(old(tf.constant([0])), shown["even"](tf.constant([0])))


def test_mel_keeps_pitch_and_level():
    """The waveform is another one; the strongest frequency and the level stay."""
    audio = note(72, 8192, partials=1)
    matrix = mel_matrix(256, 256, RATE)
    magnitude, frequency = audio_to_spectra(audio, 512, 128, 65)
    back = spectra_to_audio(*mel_to_linear(*linear_to_mel(magnitude, frequency, matrix), matrix), 512, 128, 8192).numpy()
    spectrum = lambda x: np.abs(np.fft.rfft(x[1000:7000] * np.hanning(6000), 65536))
    peak = lambda x: np.argmax(spectrum(x)) * RATE / 65536
    assert abs(1200 * np.log2(peak(back) / peak(audio))) < 15
    assert abs(20 * np.log10(np.std(back) / np.std(audio))) < 4


def test_gradients_reach_magnitude_and_frequency():
    magnitude, frequency = audio_to_spectra(note(), 512, 128, 33)
    matrix = mel_matrix(64, 256, RATE)
    mel = linear_to_mel(magnitude, frequency, matrix)
    with tf.GradientTape() as tape:
        tape.watch(mel)
        loss = tf.reduce_sum(tf.square(spectra_to_audio(*mel_to_linear(*mel, matrix), 512, 128, 4096)[500:900]))
    for gradient in tape.gradient(loss, mel):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


PICTURE = {"fft": 512, "hop": 128, "frames": 33, "samples": 4096, "sample_rate": RATE}


@pytest.mark.parametrize(
    ("settings", "worst"), [({}, -40), ({"griffin_lim_iterations": 3}, -25), ({"log_offset": 1e-3, "phase_floor": 1e-2}, -25)]
)
def test_picture_layers(tmp_path, settings, worst):
    audio = note()[None, :, None]
    forward = {k: v for k, v in settings.items() if k != "griffin_lim_iterations"}
    there, back = AudioToNotePicture(**PICTURE, **forward), NotePictureToAudio(**PICTURE, **settings)
    picture = there(audio)
    assert picture.shape == (1, 33, 256, 2)
    assert np.abs(picture).max() <= 1
    found = back(picture).numpy()
    assert error_db(audio[0, :3700, 0], found[0, :3700, 0]) < worst
    model = keras.Sequential([keras.Input((33, 256, 2)), back])
    model.save(tmp_path / "back.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "back.keras")(picture), found)


def test_a_loud_picture_is_turned_down():
    audio = NotePictureToAudio(**PICTURE)(tf.ones([1, 33, 256, 2])).numpy()
    assert np.abs(audio).max() == pytest.approx(1.0)


def test_harmonic_map_says_what_a_tone_of_that_pitch_shows():
    """Where the map is 1, the picture of such a tone has the map's frequency."""
    layer = HarmonicMap([48, 60], 33, 256, 512, 128, RATE)
    known = layer(tf.constant([1])).numpy()[0]
    assert known.shape == (33, 256, 4)
    assert (known == known[:1]).all()
    t = np.arange(4096) / RATE
    steady = 0.1 * sum(np.sin(2 * np.pi * n * 261.6256 * t + n) for n in range(1, 9)).astype(np.float32)
    _, frequency = audio_to_spectra(steady, 512, 128, 33)
    near = np.flatnonzero((known[0, :, 0] > 0.7) & (np.arange(1, 257) * RATE / 512 < 8.2 * 261.6))
    assert len(near) >= 8
    np.testing.assert_allclose(frequency.numpy()[10:, near], known[10:][:, near, 2], atol=0.02)
    numbers = 1 / known[0, near, 3]
    assert {round(n) for n in numbers} == set(range(1, 9))
    _, frequency = linear_to_mel(tf.zeros_like(frequency), frequency, mel_matrix(64, 256, RATE))
    banded = HarmonicMap([48, 60], 33, 64, 512, 128, RATE, mel_bands=64)(tf.constant([1])).numpy()[0]
    sure = np.flatnonzero((banded[0, :, 0] > 0.38) & (np.arange(64) < 44))  # the tone has eight harmonics
    assert len(sure) >= 8
    off = frequency.numpy()[12:, sure] - banded[12:][:, sure, 2]
    assert np.median(np.abs(off - 2 * np.round(off / 2))) < 0.05
    coarse = HarmonicMap([48, 60], 33, 64, 512, 128, RATE)(tf.constant([1])).numpy()[0]
    np.testing.assert_allclose(coarse[0], known[0].reshape(64, 4, 4).mean(axis=1), atol=1e-6)


@pytest.mark.realdata
def test_real_notes_there_and_back(data_folder):
    """Every 40th of the rendered notes. DC is dropped, as in the paper, so what lies below 40 Hz is taken off first: some of the
    notes have an offset as strong as their sound."""
    names = sorted(json.loads((data_folder / "notes" / "examples.json").read_text()))[::40]
    audio = np.stack([soundfile.read(data_folder / "notes" / "audio" / f"{name}.flac")[0][:32000] for name in names])
    audio = sosfiltfilt(butter(4, 40, "high", fs=16000, output="sos"), audio, axis=1).astype(np.float32)
    for fft, hop, frames in ((2048, 512, 64), (1024, 256, 128)):
        magnitude, frequency = audio_to_spectra(audio, fft, hop, frames)
        back = spectra_to_audio(magnitude, frequency, fft, hop, 32000).numpy()
        whole = 32000 - fft + hop
        assert error_db(audio[:, :whole], back[:, :whole]).max() < -40
