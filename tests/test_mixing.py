"""Mixing: the drawn figures are those of the output, the target is aligned, and a clip is a pure function of (seed, position)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.mixing import mix as mixing
from gansynth_cli.data.mixing import synthetic_noise
from gansynth_cli.data.mixing.mix import (
    BANDS_HZ,
    CONDITION_DRAWS,
    GROUPS,
    Conditions,
    active_power,
    at_snr,
    conditions,
    draw_conditions,
    mix,
)
from gansynth_cli.data.mixing.room_acoustics import room_bank
from gansynth_cli.data.mixing.stream import Mixer, _without_padding
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.feature_specs import BatchFeatures
from gansynth_cli.recipe import load_recipe, recipe_from_toml, recipe_from_tree, recipe_to_toml
from gansynth_cli.recipe_schema import Mixing, Recipe

from .conftest import write_wav

RATE, SAMPLES = 16000, 16000


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape or (SAMPLES,)).astype(np.float32) * np.float32(0.1)


def speech_like(seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    """Tones in bursts, with silence between them."""
    t = np.arange(samples) / RATE
    rng = np.random.default_rng(seed)
    bursts = (np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)) > 0.2).astype(float)
    return (0.3 * bursts * sum(np.sin(2 * np.pi * 150 * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))).astype(np.float32)


def mixed(how: Conditions, speech: np.ndarray | None = None, noises: np.ndarray | None = None, rooms=None) -> dict[str, np.ndarray]:
    speech = speech_like() if speech is None else speech
    noises = noise(1, GROUPS, len(speech)) if noises is None else noises
    made = mix(tf.constant(speech), tf.constant(noises), how, RATE, rooms)
    return {name: audio.numpy() for name, audio in made.items()}


def power_db(audio: np.ndarray) -> float:
    """Active power by numpy: 20 ms frames within 35 dB of the loudest."""
    frames = np.mean(np.square(audio[: len(audio) // 320 * 320].astype(float)).reshape(-1, 320), axis=1)
    return 10 * np.log10(frames[frames > frames.max() * 10**-3.5].mean())


def band_level(audio: np.ndarray, low: float, high: float) -> float:
    spectrum, frequencies = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2, np.fft.rfftfreq(len(audio), 1 / RATE)
    return float(10 * np.log10(spectrum[(frequencies >= low) & (frequencies < high)].mean() + 1e-20))


@pytest.fixture(scope="module")
def rooms() -> np.ndarray:
    return room_bank(3, RATE, (0.3, 0.6), 8000, 0)


# --- levels ----------------------------------------------------------------------------------------------------------


def test_active_power():
    audio = np.concatenate([np.zeros(3200), np.full(3200, 0.5), np.full(3200, 0.001)]).astype(np.float32)
    assert float(active_power(tf.constant(audio), RATE)) == pytest.approx(0.25), "silence and what is 54 dB down do not count"
    both = active_power(tf.constant(np.stack([audio, 0 * audio])), RATE).numpy()
    np.testing.assert_allclose(both, [0.25, 0])
    assert 10 * np.log10(float(active_power(tf.constant(speech_like()), RATE))) == pytest.approx(power_db(speech_like()), abs=1e-4)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5, 35.0])
def test_the_ratio_of_the_output_is_the_one_that_was_asked_for(snr_db: float, rooms: np.ndarray):
    filters = {"speech_filter_db": np.linspace(-6, 6, 8), "noise_filter_db": np.full((GROUPS, 8), 3.0), "low_pass_hz": 5000.0}
    for room in (-1, 1):
        made = mixed(conditions(snr_db, room=room, **filters), rooms=rooms)
        alone = mixed(conditions(snr_db, room=room, has_noise=False, **filters), rooms=rooms)
        scale = np.abs(made["clean"]).max() / np.abs(alone["clean"]).max()
        rest = made["noisy"] - alone["noisy"] * scale
        assert power_db(made["clean"]) - power_db(rest) == pytest.approx(snr_db, abs=0.02)
        if room < 0:
            np.testing.assert_allclose(alone["noisy"], alone["clean"], atol=1e-6)


def test_arrays_of_soundfile_are_taken_and_other_shapes_named():
    draw = np.random.default_rng(0)
    speech, noise = draw.standard_normal(4000), draw.standard_normal(4000).astype(np.float32)  # soundfile reads float64
    assert at_snr(speech, noise, 5.0, 8000).dtype == "float32"
    with pytest.raises(ValueError, match=r"\(4000,\) and \(1, 4000\); expected \(samples,\) and \(2, samples\)"):
        mixing.mix(speech, noise[None], mixing.conditions(), 8000)


def test_at_snr_is_that_of_each_row():
    clean, hiss = np.stack([speech_like(0), speech_like(1)]), noise(2, 2, SAMPLES)
    summed = at_snr(tf.constant(clean), tf.constant(hiss), tf.constant([3.0, 15.0]), RATE).numpy()
    for row, snr_db in enumerate((3.0, 15.0)):
        assert power_db(clean[row]) - power_db(summed[row] - clean[row]) == pytest.approx(snr_db, abs=0.01)
    silent = at_snr(tf.zeros([SAMPLES]), tf.constant(hiss[0]), 5.0, RATE).numpy()
    assert not silent.any(), "no ratio to silence: no noise, and no NaN"


@pytest.mark.parametrize("level_dbfs", [-40.0, -25.0])
def test_level(level_dbfs: float):
    made = mixed(conditions(10.0, level_dbfs))
    assert power_db(made["noisy"]) == pytest.approx(level_dbfs, abs=0.01)


def test_loud_clips_stay_below_full_scale_and_keep_their_ratio():
    made = mixed(conditions(5.0, -3.0))
    assert np.abs(made["noisy"]).max() == pytest.approx(0.99, abs=1e-4)
    assert power_db(made["clean"]) - power_db(made["noisy"] - made["clean"]) == pytest.approx(5, abs=0.02)


def test_noise_alone_has_a_target_of_zero():
    made = mixed(conditions(10.0, -30.0, has_speech=False))
    assert not made["clean"].any()
    assert power_db(made["noisy"]) == pytest.approx(-30, abs=0.01)
    silent = mixed(conditions(10.0, -30.0), speech=np.zeros(SAMPLES, np.float32))
    assert not silent["clean"].any(), "speech that is silent"
    assert power_db(silent["noisy"]) == pytest.approx(-30, abs=0.01)


def test_nothing_at_all_is_silence():
    made = mixed(conditions(), np.zeros(SAMPLES, np.float32), np.zeros((GROUPS, SAMPLES), np.float32))
    assert not made["clean"].any()
    assert not made["noisy"].any()
    quiet = mixed(conditions(), noises=np.zeros((GROUPS, SAMPLES), np.float32))
    np.testing.assert_array_equal(quiet["clean"], quiet["noisy"])


# --- filters and damage -----------------------------------------------------------------------------------------------


def test_the_equaliser_has_its_gains_at_its_frequencies():
    t = np.arange(SAMPLES) / RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in BANDS_HZ[:-1]).astype(np.float32)
    gains = np.array([6.0, -6, 3, 0, -3, 6, -6, 0], np.float32)
    made = mixed(conditions(speech_filter_db=gains, has_noise=False), tones)
    for audio in made.values():
        levels = np.array([np.abs(np.exp(-2j * np.pi * f * t) @ (audio * np.hanning(SAMPLES))) for f in BANDS_HZ[:-1]])
        np.testing.assert_allclose(20 * np.log10(levels / levels[3]), gains[:-1], atol=0.2)


def test_each_group_of_noises_has_its_own_filter():
    gains = np.zeros((GROUPS, 8), np.float32)
    gains[1, 4:] = 20.0  # from 1 kHz on, in the second group
    for group, expected in ((0, 0.0), (1, 20.0)):
        noises = np.zeros((GROUPS, SAMPLES), np.float32)
        noises[group] = noise(3)
        made = mixed(conditions(has_speech=False, noise_filter_db=gains), noises=noises)["noisy"]
        assert band_level(made, 1500, 7000) - band_level(made, 50, 450) == pytest.approx(expected, abs=1.0)


def test_a_band_limit_of_the_recording_is_one_of_the_target():
    made = mixed(conditions(0.0, low_pass_hz=4000.0, high_pass_hz=200.0), noise(5))
    for audio in made.values():
        assert band_level(audio, 4250, 8000) < band_level(audio, 300, 3700) - 60
        assert band_level(audio, 0, 90) < band_level(audio, 300, 3700) - 40
        assert abs(band_level(audio, 250, 1000) - band_level(audio, 2000, 3700)) < 1
    noise_alone = mixed(conditions(0.0, noise_low_pass_hz=np.full(GROUPS, 4000.0)), noise(5))
    assert band_level(noise_alone["clean"], 4250, 8000) > band_level(noise_alone["clean"], 300, 3700) - 1
    rest = noise_alone["noisy"] - noise_alone["clean"]
    assert band_level(rest, 4250, 8000) < band_level(rest, 300, 3700) - 60


@pytest.mark.parametrize("level", [0.3, 0.003])
def test_noises_end_where_the_band_of_a_recording_ends(level: float):
    whole = level * noise(5)
    spectrum = np.fft.rfft(whole)
    spectrum[np.fft.rfftfreq(whole.size, 1 / RATE) > 4000] = 0.0
    narrow = np.round(np.fft.irfft(spectrum, whole.size) * 32767).astype(np.float32) / 32767  # as a file of 16 bits has it
    for speech, recorded_band, drop in ((narrow, True, True), (narrow, False, False), (whole, True, False)):
        made = mixed(conditions(0.0, recorded_band=recorded_band), speech.astype(np.float32))
        rest = made["noisy"] - made["clean"]
        below = band_level(rest, 300, 3700) - band_level(rest, 5000, 8000)
        assert below > 40 if drop else abs(below) < 12


def test_clipping_and_quantisation_are_the_noisy_clip_s_alone():
    plain = mixed(conditions(5.0))
    clipped = mixed(conditions(5.0, clipping_db=6.0))
    np.testing.assert_array_equal(clipped["clean"], plain["clean"])
    threshold = np.abs(plain["noisy"]).max() * 10 ** (-6 / 20)
    np.testing.assert_allclose(clipped["noisy"], np.clip(plain["noisy"], -threshold, threshold), atol=1e-6)
    rough = mixed(conditions(5.0, quantization_bits=4.0))
    np.testing.assert_array_equal(rough["clean"], plain["clean"])
    assert len(np.unique(rough["noisy"].round(6))) <= 17
    step = np.abs(plain["noisy"]).max() / 8
    assert np.abs(rough["noisy"] - plain["noisy"]).max() <= step / 2 + 1e-6


def test_mu_law_is_fine_near_zero_and_coarse_near_full_scale():
    plain = mixed(conditions(5.0, -20.0))
    phone = mixed(conditions(5.0, -20.0, companded=True))
    np.testing.assert_array_equal(phone["clean"], plain["clean"])
    error, size = np.abs(phone["noisy"] - plain["noisy"]), np.abs(plain["noisy"])
    assert len(np.unique(phone["noisy"].round(6))) <= 255
    assert error.max() > 1e-3
    assert (error <= 0.0225 * (size + 1 / 255)).all(), "half a step: ln(256) / 254 of the size"
    expected = np.sign(plain["noisy"]) * np.expm1(np.round(np.log1p(255 * size) / np.log(256) * 127) / 127 * np.log(256)) / 255
    assert np.mean(np.abs(phone["noisy"] - expected) < 1e-5) > 0.999, "but for what lies between two steps"


def test_a_codec_leaves_holes_around_what_is_loud():
    tones = sum(
        a * np.sin(2 * np.pi * f * np.arange(SAMPLES) / RATE) for a, f in ((0.3, 1000), (0.01, 1156.25), (0.15, 1281.25), (0.01, 4000))
    )
    how = {"level_dbfs": -20.0, "has_noise": False}
    plain = mixed(conditions(**how), tones.astype(np.float32))
    coded = mixed(conditions(**how, codec_holes_db=20.0), tones.astype(np.float32))
    np.testing.assert_array_equal(coded["clean"], plain["clean"])
    for hertz in (1000, 1281, 4000):  # loud, and alone in its half kilohertz
        assert band_level(coded["noisy"], hertz - 10, hertz + 10) == pytest.approx(
            band_level(plain["noisy"], hertz - 10, hertz + 10), abs=0.5
        )
    assert band_level(coded["noisy"], 1146, 1166) < band_level(plain["noisy"], 1146, 1166) - 6
    nothing = mixed(conditions(**how, codec_holes_db=200.0), tones.astype(np.float32))
    np.testing.assert_allclose(nothing["noisy"], plain["noisy"], atol=1e-6, err_msg="the transform and back changes nothing")


def test_companding_and_codec_are_drawn_as_often_as_asked():
    how = drawn(Mixing(companding=0.3, codec=0.2, codec_holes_db=(10.0, 20.0)), 4000)
    assert np.mean(how.companded) == pytest.approx(0.3, abs=0.03)
    holes = how.codec_holes_db[how.codec_holes_db > 0]
    assert len(holes) / 4000 == pytest.approx(0.2, abs=0.03)
    assert 10 <= holes.min() < holes.max() <= 20
    assert not drawn(Mixing(), 500).companded.any()


# --- rooms ------------------------------------------------------------------------------------------------------------


def test_the_target_is_aligned_with_the_direct_sound_to_the_sample(rooms: np.ndarray):
    """A click in the room: silence before it, the direct sound at its place, the same reflections up to 50 ms, no tail in the target."""
    click = np.zeros(SAMPLES, np.float32)
    click[2000] = 0.5
    for room in range(3):
        made = mixed(conditions(room=room, has_noise=False), click, rooms=rooms)
        clean, noisy = made["clean"], made["noisy"]
        assert np.argmax(np.abs(clean)) == 2000
        peak = clean[2000]
        assert np.abs(clean[:2000]).max() < 1e-5 * peak
        assert np.abs(noisy[:2000]).max() < 1e-5 * peak
        np.testing.assert_allclose(clean[2000 : 2000 + 800], noisy[2000 : 2000 + 800], atol=1e-5 * peak)
        np.testing.assert_allclose(clean[2000:2800] / peak, rooms[room, 0, :800] / rooms[room, 0, 0], atol=1e-4)
        assert np.abs(clean[2000 + 880 :]).max() < 1e-5 * peak
        assert np.abs(noisy[2000 + 880 :]).max() > 1e-3 * peak


def test_noises_come_from_their_own_places_in_the_room(rooms: np.ndarray):
    for group in range(GROUPS):
        clicks = np.zeros((GROUPS, SAMPLES), np.float32)
        clicks[group, 1000] = 1
        made = mixed(conditions(room=2, has_speech=False), noises=clicks, rooms=rooms)["noisy"]
        np.testing.assert_allclose(made[1000:5000] / made[1000], rooms[2, 1 + group, :4000] / rooms[2, 1 + group, 0], atol=1e-4)


# --- draws ------------------------------------------------------------------------------------------------------------


def drawn(settings: Mixing, count: int = 4000) -> Conditions:
    uniform = tf.random.stateless_uniform([count, CONDITION_DRAWS], [1, 2])
    fields = tf.function(lambda u: tf.map_fn(lambda row: tuple(draw_conditions(settings, row)), u, fn_output_signature=_SIGNATURE))(uniform)
    return Conditions(*(field.numpy() for field in fields))


_SIGNATURE = tuple(
    {"has_speech": tf.bool, "has_noise": tf.bool, "companded": tf.bool, "recorded_band": tf.bool, "room": tf.int32}.get(name, tf.float32)
    for name in Conditions._fields
)


def test_conditions_are_drawn_as_the_recipe_says():
    settings = Mixing(enabled=True)
    how = drawn(settings)
    usual, high = how.snr_db[how.snr_db < 25], how.snr_db[how.snr_db >= 25]
    assert len(high) / 4000 == pytest.approx(0.1, abs=0.02)
    assert (usual.min(), usual.max()) == (pytest.approx(-5, abs=0.1), pytest.approx(20, abs=0.1))
    assert usual.mean() == pytest.approx(7.5, abs=0.5), "uniform in dB"
    assert high.min() >= 30
    assert high.max() <= 40
    assert np.mean(~how.has_noise) == pytest.approx(0.05, abs=0.015)
    assert np.mean(~how.has_speech) == pytest.approx(0.05, abs=0.015)
    assert (how.has_speech | how.has_noise).all()
    assert (how.level_dbfs.min(), how.level_dbfs.max()) == (pytest.approx(-40, abs=0.1), pytest.approx(-10, abs=0.1))
    assert np.mean(how.room >= 0) == pytest.approx(0.5, abs=0.03)
    assert set(range(200)) >= set(how.room[how.room >= 0]) >= set(range(1, 199, 40))
    limited = how.low_pass_hz[np.isfinite(how.low_pass_hz)]
    assert len(limited) / 4000 == pytest.approx(0.2, abs=0.02)
    assert 3000 <= limited.min() < 3200
    assert 7800 < limited.max() <= 8000
    for values, fraction, low, high_value in (
        (how.high_pass_hz, 0.1, 50, 300),
        (how.clipping_db, 0.1, 3, 12),
        (how.quantization_bits, 0.1, 6, 12),
    ):
        some = values[values > 0]
        assert len(some) / 4000 == pytest.approx(fraction, abs=0.02)
        assert low <= some.min() < low + 0.1 * (high_value - low)
        assert high_value - 0.1 * (high_value - low) < some.max() <= high_value
    filtered = np.abs(how.speech_filter_db).max(axis=1)
    assert np.mean(filtered > 0) == pytest.approx(0.7, abs=0.03)
    assert filtered.max() <= 6
    assert np.mean(np.abs(how.noise_filter_db[:, 1]).max(axis=1) > 0) == pytest.approx(0.7, abs=0.03)
    assert abs(np.corrcoef(how.snr_db, how.level_dbfs)[0, 1]) < 0.05, "independent of each other"
    assert abs(np.corrcoef(how.noise_filter_db[:, 0, 3], how.noise_filter_db[:, 1, 3])[0, 1]) < 0.05


def test_probabilities_of_0_and_1():
    how = drawn(Mixing(clean=1.0, noise_only=0.0, room=0.0, low_pass=1.0, clipping=1.0, high_snr=1.0), 200)
    assert not how.has_noise.any()
    assert how.has_speech.all()
    assert (how.room == -1).all()
    assert np.isfinite(how.low_pass_hz).all()
    assert (how.clipping_db >= 3).all()
    assert (how.snr_db >= 30).all()
    assert not drawn(Mixing(clean=0.0, noise_only=1.0), 200).has_speech.any()


@pytest.mark.parametrize(
    "change, message",
    [
        ("data.mixing.snr_db=[20,-5]", r"data.mixing.*snr_db is \[20.0, -5.0\]; expected \[low, high\]"),
        ("data.mixing.room=1.5", r"data.mixing.room is 1.5"),
        ("data.mixing.rate=[0.0,1.1]", r"rate is \[0.0, 1.1\]; expected at least 0.1"),
        ("data.mixing.level_dbfs=[-20,3]", "expected 0 or less"),
        ("data.mixing.clean=0.96", "clean and noise_only sum to more than 1"),
        ("data.mixing.reverb=0.5", "there is no key 'data.mixing.reverb'"),
        ("data.mixing.snr_db=5", "snr_db"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(change: str, message: str):
    with pytest.raises(RecipeError, match=message):
        load_recipe("wavegan/tiny", [change])


def test_the_table_survives_a_run_folder(tmp_path: Path):
    own = load_recipe("wavegan/tiny", ["data.mixing.enabled=true", "data.mixing.snr_db=[0, 10]"])
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(own))
    assert recipe_from_toml(tmp_path / "recipe.toml") == own
    assert own.data.mixing.snr_db == (0.0, 10.0)


# --- synthetic noises -------------------------------------------------------------------------------------------------


def draws(seed: int) -> tf.Tensor:
    return tf.random.stateless_uniform([synthetic_noise.DRAWS], [seed, 0])


def test_colours_fall_as_they_are_called():
    for slope, row in zip(synthetic_noise._SLOPES_DB, synthetic_noise.noise_bank(), strict=True):
        assert row.std() == pytest.approx(1, abs=1e-3)
        octave = band_level(row, 2000, 2100) - band_level(row, 1000, 1050)
        assert octave == pytest.approx(slope, abs=0.5)
    bank = tf.constant(synthetic_noise.noise_bank())
    made = [synthetic_noise.coloured(4000, draws(seed), bank).numpy() for seed in range(20)]
    assert len({round(float(audio[0]), 4) for audio in made}) == 20, "another place each time"
    assert min(audio.std() for audio in made) > 0.05


def test_hum_is_a_harmonic_series():
    normals = tf.random.stateless_normal(synthetic_noise.NORMALS, [3, 3])
    mains = tf.constant([0.2, 0.2, 0.9, 0.1, 0.5, 0, 0, 0])  # 50 Hz, no wobble
    audio = synthetic_noise.hum(RATE, RATE, mains, normals).numpy()
    spectrum = np.abs(np.fft.rfft(audio)) ** 2
    assert spectrum[50:1601:50].sum() > 0.999 * spectrum.sum()
    assert spectrum[1650:].sum() < 1e-3 * spectrum.sum(), "32 harmonics"


def test_clicks_are_few_and_short():
    audio = synthetic_noise.clicks(
        RATE, RATE, tf.constant([0.0, 0.5, 0.0, 0, 0, 0, 0, 0]), tf.random.stateless_uniform(synthetic_noise.CLICK_DRAWS, [1, 1])
    ).numpy()
    assert audio.shape == (RATE,)
    assert np.mean(np.abs(audio) > 1e-3 * np.abs(audio).max()) < 0.02, "two of a few milliseconds"
    assert audio.any()


@pytest.mark.parametrize("seed", range(4))
def test_fans_and_babble_are_sound(seed: int):
    bank = tf.constant(synthetic_noise.noise_bank())
    normals = tf.random.stateless_normal(synthetic_noise.NORMALS, [seed, 5])
    voices = np.stack([speech_like(k, 4000) for k in range(3)])
    for audio in (synthetic_noise.fan(4000, RATE, draws(seed), normals, bank), synthetic_noise.babble(tf.constant(voices), draws(seed))):
        assert np.isfinite(audio.numpy()).all()
        assert audio.numpy().std() > 0.01
    with_silence = np.concatenate([voices[:2], np.zeros((1, 4000), np.float32)])
    assert np.isfinite(synthetic_noise.babble(tf.constant(with_silence), draws(seed)).numpy()).all()


# --- what comes before ------------------------------------------------------------------------------------------------


def mixer(samples: int = 4000, **changes) -> Mixer:
    settings = dataclasses.replace(Mixing(enabled=True, room=0.0), **changes)
    return Mixer(settings, samples, RATE, "train", lambda record: (tf.io.decode_raw(record, tf.float32)[:, None], tf.constant(-1)))


def as_record(audio: np.ndarray) -> bytes:
    return audio.astype(np.float32).tobytes()


@pytest.mark.parametrize("rate", [0.85, 1.0, 1.15])
def test_another_rate_moves_the_pitch_and_keeps_the_level(rate: float):
    own = mixer(16000, rate=(rate - 0.004, rate + 0.004))
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / RATE).astype(np.float32)
    bent = own._at_another_rate(tf.constant(tone), tf.constant(0.5)).numpy()
    assert len(bent) == pytest.approx(16000 / rate, rel=0.006)
    middle = bent[2000:10000]
    assert np.abs(middle).max() == pytest.approx(1, abs=0.01)
    assert np.argmax(np.abs(np.fft.rfft(middle * np.hanning(8000)))) * 2 == pytest.approx(1000 * rate, abs=8)


def test_padding_is_taken_off():
    for audio, expected in (([1.0, 0, 2, 0, 0], 3), ([0.0, 0, 3], 3), ([0.0, 0], 1)):
        assert len(_without_padding(tf.constant(audio))) == expected


def test_joined_speech_fills_the_clip_after_a_pause():
    """The clip, a pause of 1000 samples, the next one, each at its level up to 6 dB."""
    own = mixer(8000, join=1.0, pause=0.0, rate_change=0.0, pause_seconds=(1000 / RATE, 1000 / RATE))
    first, other = np.full(2000, 0.1), np.full(1500, 0.3)
    others = tf.constant([as_record(other)] * 3)
    made = own._speech(tf.constant(first.astype(np.float32)), others, tf.constant(np.full(16, 0.5, np.float32))).numpy()
    spoken = np.flatnonzero(np.abs(made) > 1e-6)
    edges = spoken[np.flatnonzero(np.diff(spoken, prepend=-9) > 1)]
    np.testing.assert_allclose(edges, [1, 3001, 5501], atol=1)
    np.testing.assert_allclose(made[1000], 0.1, rtol=1e-5)
    np.testing.assert_allclose(made[3700], 0.1, rtol=0.05)
    assert made.shape == (8000,)


@pytest.mark.parametrize("level_db", [0.0, 6.0, 15.0])
def test_joined_speech_is_as_loud_as_asked(level_db: float):
    own = mixer(8000, join=1.0, join_level_db=level_db, pause=0.0, rate_change=0.0, pause_seconds=(1000 / RATE, 1000 / RATE))
    draws = np.full(16, 0.5, np.float32)
    draws[8] = 1.0  # the gain of the second clip at its upper end
    made = own._speech(tf.fill([2000], 0.01), tf.constant([as_record(np.full(1500, 0.3))] * 3), tf.constant(draws)).numpy()
    np.testing.assert_allclose(made[3700], 0.01 * 10 ** (level_db / 20), rtol=0.05)


def test_short_noises_come_again_with_and_without_gaps():
    click = np.zeros(400)
    click[100:300] = np.random.default_rng(0).uniform(0.5, 1, 200)
    for gap, period in ((0.0, 300), (1.0, 300 + 800)):
        own = mixer(4000, noise_gap=gap, noise_gap_seconds=(0.05, 0.05), noise_rate_change=0.0)
        made = own._recorded(tf.constant(as_record(click)), tf.zeros(8), tf.constant([0.0, 0, 0.9, 0, 0.0, 0, 0, 0])).numpy()
        np.testing.assert_array_equal(made[:period], made[period : 2 * period])
        assert made.any()
    assert not mixer(4000)._recorded(tf.constant(as_record(np.zeros(400))), tf.zeros(8), tf.zeros(8)).numpy().any(), "silence stays it"


# --- the stream -------------------------------------------------------------------------------------------------------

CLIP = 4000


def recipe(mixing_changes: dict | None = None, **data) -> Recipe:
    table = {"enabled": True, "rooms": 3, "rt60_seconds": [0.15, 0.3]} | (mixing_changes or {})
    return recipe_from_tree(
        {"family": "wavegan", "data": {"sample_rate": 8000, "clip_samples": CLIP, "batch_size": 4, "mixing": table} | data}
    )


@pytest.fixture(scope="module")
def noisy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 voices and 7 noises, each a file; prepared with validation splits of both."""
    root = tmp_path_factory.mktemp("roles")
    for take in range(16):
        write_wav(root / "speech" / f"{take:02d}.wav", 0.5 * speech_like(take, 3000 + 300 * take))
    for take in range(12):
        write_wav(root / "noise" / f"{take}.wav", noise(take, 1500 + 900 * take))
    options = PrepareOptions(CutOptions(8000, 1, CLIP), splits=SplitOptions("auto", 0.3, 0.0), name="n")
    report = prepare([root / "speech"], root / "data", options, noise=[root / "noise"])
    assert set(report.info.splits) == {"train", "validation", "noise-train", "noise-validation"}
    return root / "data"


def gathered(batches) -> list[dict[str, np.ndarray]]:
    return [{name: value.numpy() for name, value in batch.items()} for batch in batches]


def test_batches_hold_clean_and_noisy(noisy_data: Path):
    own = recipe()
    source = open_source(noisy_data, own)
    source.check(BatchFeatures(8000, 1, CLIP, pairs=True))
    assert source.splits == ("train", "validation")
    for split in source.splits:
        stream = source.batches(own, split, seed=1, repeat=split == "train")
        batches = gathered(stream.take(20))
        for batch in batches:
            assert set(batch) == {"audio", "clean", "noisy"}
            np.testing.assert_array_equal(batch["audio"], batch["clean"])
            assert batch["noisy"].shape == batch["clean"].shape
            assert batch["noisy"].shape[1:] == (CLIP, 1)
            assert batch["noisy"].dtype == np.float32
            assert np.isfinite(batch["noisy"]).all()
            assert np.abs(batch["noisy"]).max() <= 0.9901
        clips = sum(len(batch["noisy"]) for batch in batches)
        assert clips == (80 if split == "train" else source.clips_per_epoch("validation"))
    assert stream.element_spec["noisy"].shape.as_list() == [None, CLIP, 1]


def test_a_clip_is_a_function_of_seed_and_position(noisy_data: Path):
    """Resumed anywhere, in other batches, dealt out to workers: the same clips to the last bit."""
    own = recipe()
    source = open_source(noisy_data, own)

    def clips(count: int, **arguments) -> dict[str, np.ndarray]:
        stream = source.batches(own, **{"seed": 3} | arguments)
        batches = gathered(stream.take(-(-count // (arguments.get("batch_size") or 4))))
        return {name: np.concatenate([batch[name] for batch in batches])[:count] for name in ("clean", "noisy")}

    whole = clips(32)
    assert len({clip.tobytes() for clip in whole["noisy"]}) == 32, "never the same twice, though a clip comes back each epoch"
    tf.random.set_seed(7)  # must not matter
    for name, resumed in clips(8, first_clip=21, batch_size=2).items():  # 11 clips an epoch
        np.testing.assert_array_equal(resumed, whole[name][21:29])
    for worker in range(2):
        mine = clips(8, first_clip=4, shard_index=worker, shard_count=2, batch_size=2)
        np.testing.assert_array_equal(mine["noisy"], whole["noisy"][4 + worker :: 2][:8])
    assert not np.array_equal(clips(4, seed=4)["noisy"], whole["noisy"][:4])


def test_the_splits_mix_their_own_noise_and_rooms(tmp_path: Path):
    """Each recording of noise is a tone of its own pitch, so that the mixed clips say which they hold."""
    t = np.arange(CLIP) / 8000
    for take in range(20):
        write_wav(tmp_path / "noise" / f"{take}.wav", 0.5 * np.sin(2 * np.pi * (400 + 100 * take) * t))
        write_wav(tmp_path / "speech" / f"{take}.wav", 0.5 * np.sin(2 * np.pi * (410 + 100 * take) * t))
    options = PrepareOptions(CutOptions(8000, 1, CLIP), splits=SplitOptions("auto", 0.3, 0.0), name="n")
    info = prepare([tmp_path / "speech"], tmp_path / "data", options, noise=[tmp_path / "noise"]).info
    alone = dict.fromkeys(("babble", "coloured", "hum", "fan", "clicks", "room", "noise_rate_change", "noise_filter", "clipping"), 0.0)
    own = recipe(alone | {"noise_only": 1.0, "clean": 0.0, "most_noises": 1, "quantization": 0.0, "low_pass": 0.0, "noise_low_pass": 0.0})
    source = open_source(tmp_path / "data", own)
    for split in ("train", "validation"):
        (batch,) = gathered(source.batches(own, split, seed=0, batch_size=60).take(1))
        peaks = np.argmax(np.abs(np.fft.rfft(batch["noisy"][..., 0])), axis=1) * 2
        heard = {f"noise/{round((peak - 400) / 100)}.wav" for peak in peaks}
        wanted = {entry["path"] for entry in info.sources if entry["split"] == f"noise-{split}"}
        assert heard <= wanted
        assert len(heard) > len(wanted) / 2
    rooms = [
        Mixer(Mixing(rooms=2, rt60_seconds=(0.15, 0.2)), CLIP, 8000, split, lambda record: (record, 0)).rooms for split in source.splits
    ]
    assert not np.array_equal(*rooms), "a room is in one split"


def test_synthetic_noise_alone_needs_no_noise_split(noisy_data: Path):
    own = recipe({"recorded": 0})
    source = open_source(noisy_data, own)
    source.info = dataclasses.replace(source.info, splits={name: s for name, s in source.info.splits.items() if "noise" not in name})
    source.check(BatchFeatures(8000, 1, CLIP, pairs=True))
    for batch in gathered(source.batches(own, seed=0).take(5)):
        assert np.isfinite(batch["noisy"]).all()


@pytest.mark.parametrize(
    "kind", ["recorded", "clicks", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("babble", "coloured", "hum", "fan"))]
)
def test_each_kind_of_noise_is_heard(noisy_data: Path, kind: str):
    alone = dict.fromkeys(("recorded", "babble", "coloured", "hum", "fan", "clicks"), 0.0) | {kind: 1.0}
    own = recipe(alone | {"noise_only": 1.0, "clean": 0.0, "level_dbfs": [-30, -30], "clipping": 0.0, "quantization": 0.0})
    (batch,) = gathered(open_source(noisy_data, own).batches(own, seed=0, batch_size=8).take(1))
    assert not batch["clean"].any()
    power = active_power(tf.constant(batch["noisy"][..., 0]), 8000).numpy()
    assert (power > 0).all()
    assert np.median(10 * np.log10(power)) == pytest.approx(-30, abs=0.5), "some are held down by their peak"


def test_what_cannot_be_mixed(noisy_data: Path, tmp_path: Path):
    own = recipe()
    source = open_source(noisy_data, own)
    bare = dataclasses.replace(source.info, splits={name: s for name, s in source.info.splits.items() if "noise" not in name})
    source.info = bare
    with pytest.raises(DatasetError, match="no noise to mix with its train split: there is no split 'noise-train'") as caught:
        source.check(BatchFeatures(8000, 1, CLIP))
    assert "gan-audio prepare SPEECH... --noise NOISE... -o DATA" in caught.value.hint
    with pytest.raises(DatasetError, match="no split 'noise-validation'"):
        source.batches(own, "validation", seed=0)
    write_wav(tmp_path / "plain" / "a.wav", speech_like())
    with pytest.raises(DatasetError, match="no noise to mix") as caught:
        open_source(tmp_path / "plain", own).check(BatchFeatures(8000, 1, CLIP))
    assert "--noise" in caught.value.hint
    for data, message in (
        ({"channels": 2}, "mixing makes clips of one channel; data.channels is 2"),
        ({"peak_normalize": True}, "peak_normalize would undo it"),
    ):
        other = recipe(**data)
        with pytest.raises(RecipeError, match=message):
            open_source(noisy_data, other).batches(other, seed=0)
    plain = recipe({"enabled": False})
    with pytest.raises(DatasetError, match="clean recordings alone; the recipe wavegan is trained on pairs") as caught:
        open_source(noisy_data, plain).check(BatchFeatures(8000, 1, CLIP, pairs=True))
    assert "data.mixing.enabled=true" in caught.value.hint
    assert set(gathered(open_source(noisy_data, plain).batches(plain, seed=0).take(1))[0]) == {"audio"}


@pytest.mark.slow
def test_labels_and_augmentation_go_along(tmp_path: Path):
    from gansynth_cli.data.corpora.source_file import LabelOptions

    for take in range(4):
        write_wav(tmp_path / "in" / "ab"[take % 2] / f"{take}.wav", speech_like(take, CLIP))
    write_wav(tmp_path / "noise.wav", noise(0, CLIP))
    options = PrepareOptions(CutOptions(8000, 1, CLIP), LabelOptions("folder"), SplitOptions("auto", 0, 0), "l")
    prepare([tmp_path / "in"], tmp_path / "data", options, noise=[tmp_path / "noise.wav"])
    table = {
        "clean": 1.0,
        "noise_only": 0.0,
        "join": 0,
        "pause": 0,
        "rate_change": 0,
        "room": 0,
        "speech_filter": 0,
        "low_pass": 0,
        "high_pass": 0,
    }
    own = recipe(table | {"clipping": 0, "quantization": 0})
    source = open_source(tmp_path / "data", own)
    assert source.info.labels == ["a", "b"]
    (batch,) = gathered(source.batches(own, seed=0, batch_size=4).take(1))
    assert sorted(batch["label"].tolist()) == [0, 0, 1, 1]
    flipped = recipe(table | {"clipping": 0, "quantization": 0}, augment={"polarity": 1.0})
    (other,) = gathered(open_source(tmp_path / "data", flipped).batches(flipped, seed=0, batch_size=4).take(1))
    np.testing.assert_allclose(other["clean"], -batch["clean"], atol=1e-6)
    grouped = recipe(label_group=2)
    with pytest.raises(RecipeError, match=r"label_group exclude each other"):
        open_source(tmp_path / "data", grouped).batches(grouped, seed=0)


def test_good_fft_lengths():
    assert [mixing.good_fft_length(n) for n in (1, 7, 17, 64001, 65537)] == [2, 8, 18, 64800, 65610]
