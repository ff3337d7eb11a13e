"""`latents match`: the latent of a sound is found again, with its classes, and never anything farther than the best of the random ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.inference.generate.inversion import MatchSettings, match
from gansynth_cli.inference.generate.session import open_session
from gansynth_cli.inference.generate.sources import FittedClip, play
from gansynth_cli.inference.generate.spectral_distance import distances, spectral_distance, target_spectra

from .conftest import write_wav
from .note_models import DIM, RATE, SAMPLES, save_model
from .test_generate import make_generator
from .test_generate_notes import rows, run

QUICK = MatchSettings(starts=2, steps=40, draws=16)


@pytest.fixture(scope="module")
def deaf(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("deaf") / "generator.keras", encoder=False)


@pytest.fixture(scope="module")
def session(deaf):
    return open_session(deaf)


@pytest.fixture(scope="module")
def target(session) -> FittedClip:
    latent = np.array([[1.5, -1.5, 1.0, -1.0]], np.float32)
    return FittedClip(play(session, latent, [{"pitch": 3, "instrument": 1}])[0], "a note", "ab" * 32)


def test_distance_knows_equal_sounds_levels_and_neighbours(target):
    audio = target.audio
    shifted = np.roll(audio, 37, axis=0)
    noise = np.random.default_rng(0).normal(0, 0.1, audio.shape).astype(np.float32)
    same, half, moved, other, silence = distances(np.stack([audio, 0.5 * audio, shifted, noise, 0 * audio]), audio, RATE)
    assert same == pytest.approx(0, abs=1e-4)
    assert half == pytest.approx(0, abs=1e-2)
    assert same < moved < other
    assert np.isfinite(silence)
    assert other > 1


def test_distance_of_a_clip_does_not_depend_on_its_neighbours_and_has_a_gradient(target):
    clips = np.random.default_rng(1).normal(0, 0.1, (3, SAMPLES, 1)).astype(np.float32)
    together = distances(clips, target.audio, RATE)
    assert together == pytest.approx([distances(clip[None], target.audio, RATE)[0] for clip in clips], rel=1e-5)
    x = tf.constant(np.concatenate([clips, np.zeros((1, SAMPLES, 1), np.float32)]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = tf.reduce_sum(spectral_distance(x, target_spectra(target.audio, RATE), RATE))
    slope = tape.gradient(found, x).numpy()
    assert np.isfinite(slope).all()
    assert np.abs(slope[:3]).max(axis=(1, 2)).min() > 0  # digital silence is a flat place: it has none


def test_a_sound_of_the_model_is_found_again_with_its_classes(session, target):
    told = []
    found = match(session, target, {}, QUICK, lambda done, total, note: told.append((done, total)))
    assert dict(found.numbers) == {"pitch": 3, "instrument": 1}
    assert found.distance < 0.3 * found.random_distance
    assert all(end <= start + 1e-4 for end, start in zip(found.end_distances, found.start_distances, strict=True))
    assert np.sign(found.latent).tolist() == [1, -1, 1, -1]
    assert told[-1] == (40, 40)
    heard = play(session, found.latent[None], [found.numbers])
    assert distances(heard, target.audio, RATE)[0] == pytest.approx(found.distance, abs=1e-5)


def test_the_same_settings_give_the_same_latent_and_the_choice_is_kept(session, target):
    asked = {"pitch": ("60",), "instrument": ("flute",)}
    first, again = (match(session, target, asked, MatchSettings(2, 3, 16)) for _ in range(2))
    assert np.array_equal(first.latent, again.latent)
    assert dict(first.numbers) == {"pitch": 3, "instrument": 0}
    assert not np.array_equal(first.latent, match(session, target, asked, MatchSettings(2, 3, 16, seed=1)).latent)


def test_latents_stay_where_the_generator_was_trained(tmp_path):
    make_generator(distribution="uniform").save(tmp_path / "w.keras")
    session = open_session(tmp_path / "w.keras")
    clip = FittedClip(np.sign(np.random.default_rng(0).normal(size=(session.clip_samples, 1))).astype(np.float32), "noise", "cd" * 32)
    found = match(session, clip, {"label": ("kick",)}, MatchSettings(2, 4, 16, rate=2.0))
    assert np.abs(found.latent).max() <= 1
    assert found.distance <= found.random_distance
    notes = open_session(save_model(tmp_path / "n.keras"))
    far = match(notes, FittedClip(0.1 * np.ones((SAMPLES, 1), np.float32), "", ""), {}, MatchSettings(1, 4, 16, rate=5.0))
    assert np.linalg.norm(far.latent) <= np.sqrt(DIM) + 2 + 1e-4


def test_an_encoder_gives_a_start(tmp_path, target):
    session = open_session(save_model(tmp_path / "n.keras"))
    found = match(session, target, {"pitch": ("60",)}, MatchSettings(1, 1, 16))
    assert found.distance < 0.1  # one step from what the encoder says


def test_command_searches_plays_reports_and_continues(deaf, target, tmp_path, capsys, monkeypatch):
    clip = write_wav(tmp_path / "sung.wav", target.audio[:, 0], RATE)
    arguments = [deaf, clip, "--iterations", 20, "--starts", 2, "-o", tmp_path / "o", "--json"]
    code, stdout, stderr = run(arguments, capsys, "latents", "match")
    assert code == 0
    assert "the best of 64 random sounds" in stderr
    (result,) = json.loads(stdout)["matches"]
    assert result["distance"] < result["random_distance"]
    assert result["classes"] == {"pitch": "60", "instrument": "steel guitar"}
    (row,) = rows(tmp_path / "o")
    assert row["file"] == "000000_060_steel_guitar_sung.wav"
    kept = np.load(tmp_path / "o" / "000000_060_steel_guitar_sung.npy")
    assert np.array_equal(kept, np.asarray(json.loads((tmp_path / "o" / "match.json").read_text())["results"][0]["latent"], np.float32))
    monkeypatch.setattr("gansynth_cli.inference.generate.inversion.match", lambda *_: pytest.fail("searched again"))
    code, stdout, _ = run(arguments, capsys, "latents", "match")
    assert (code, json.loads(stdout)["kept"], json.loads(stdout)["matches"]) == (0, 1, [result])
    # The sound is a latent like any other.
    assert (
        main(["generate", str(deaf), "--latents", str(next((tmp_path / "o").glob("*.npy"))), "--pitch", "C3", "-o", str(tmp_path / "p")])
        == 0
    )


def test_settings_out_of_range(deaf, target, tmp_path, capsys):
    clip = write_wav(tmp_path / "a.wav", target.audio[:, 0], RATE)
    for arguments, expected in (
        (["--starts", 0], "--starts is 0"),
        (["--iterations", -1], "--iterations is -1"),
        (["-n", 3], "No such option: -n"),
    ):
        code, _, stderr = run([deaf, clip, *arguments, "-o", tmp_path / "o"], capsys, "latents", "match")
        assert (code, expected in stderr) == (2, True), stderr
