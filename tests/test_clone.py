"""Voice cloning: level and pitch inputs by hand, the voice's influence, files, consent, wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.families.clone.networks import build_decoder
from gansynth_cli.families.phones.networks import build_recogniser
from gansynth_cli.inference.convert.cloned import Cloner, clone_array, find_cloner
from gansynth_cli.inference.convert.options import ConvertOptions
from gansynth_cli.layers.seeds import layer_seeds
from gansynth_cli.models.voice_cloner import VoiceCloner, energy_of, prosody_of
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention

from .conftest import write_wav
from .conversion_families import RATE as VOICE_RATE
from .conversion_families import voice
from .helpers import disturb, noise

RATE = 16000
PHONES = ["_", "a", "k"]


def test_energy_and_prosody_by_hand():
    mel = tf.constant(np.log([[[1.0, 3.0], [0.5, 0.5]]]), tf.float32)
    energy, level = energy_of(mel, MelConvention(bands=2).resolved(RATE))
    np.testing.assert_allclose(energy, [[0.0, np.log(0.25)]], atol=1e-6)
    np.testing.assert_allclose(level, [[[np.log(2.0)]]], atol=1e-6)
    found = np.asarray(prosody_of(tf.constant([[5.35, 0.0]]), energy))
    np.testing.assert_allclose(found[0], [[1.0, 1.0, 1.0], [0.0, 0.0, 0.5 * np.log(0.25) + 1]], atol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A cloner with random weights and the bundled vocoder's convention."""
    recipe, tiny = load_recipe("clone/tiny"), load_recipe("phones/tiny")
    seeds = layer_seeds(3)
    decoder, recogniser = build_decoder(recipe.model, len(PHONES), seeds), build_recogniser(tiny.model, len(PHONES), seeds)
    disturb(decoder, deviation=0.3)
    convention = recipe.model.mel.resolved(RATE)
    path = tmp_path_factory.mktemp("clone") / "cloner.keras"
    bands = convention.bands
    VoiceCloner(decoder, recogniser, convention, PHONES, [-4.0] * bands, [1.0] * bands, "the corpus's note").save(path)
    keras.utils.clear_session()
    return path


def test_the_level_of_the_input_is_that_of_the_output(model: Path):
    cloner = find_cloner(model).load()
    mel, contour, vector = noise(20, 80) - 3, np.full(20, 5.0, np.float32), np.abs(noise(256)) / 16
    made = cloner.clone(mel, contour, vector)
    np.testing.assert_allclose(cloner.clone(mel + 2, contour, vector), made + 2, atol=1e-3)
    assert np.abs(cloner.clone(mel, contour, np.roll(vector, 7)) - made).mean() > 1e-3  # the voice counts
    assert np.abs(cloner.clone(mel, contour + 0.5, vector) - made).mean() > 1e-3  # and the pitch


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    sounds = {"in/a.wav": voice(1.2, 120, (600, 1200), 0), "ref.wav": voice(2.0, 220, (700, 1800), 2)}
    sounds["in/sub/b.wav"] = np.stack([voice(0.8, 140, (500, 1500), 1)] * 2, axis=1)
    for name, audio in sounds.items():
        write_wav(folder / name, audio, VOICE_RATE)
    write_wav(folder / "silent.wav", np.zeros(RATE, np.float32), RATE)
    return folder


@pytest.mark.slow
def test_files_are_converted_to_the_voice_of_a_recording(model: Path, recordings: Path, tmp_path: Path, capsys):
    asked = ["convert", recordings / "in", "--to", recordings / "ref.wav", "--model", model, "-o", tmp_path / "out", "-q"]
    asked = [str(part) for part in asked]
    assert main(asked) == 2
    assert "did they agree?" in capsys.readouterr().err
    assert main([*asked, "--consent", "Ann agreed on 3 May."]) == 0
    for name in ("a.wav", "sub/b.wav"):
        made, rate = audio_file.read(tmp_path / "out" / name)
        source, _ = audio_file.read(recordings / "in" / name)
        assert (made.shape, rate) == (source.shape, VOICE_RATE)
        assert not np.allclose(made, source, atol=1e-3)
        tag = audio_file.read_tag(tmp_path / "out" / name)
        assert tag["synthetic"]
        assert (tag["cloned"], tag["converted_to"], tag["consent"]) == (True, "ref.wav", "Ann agreed on 3 May.")
        assert tag["training_consent"] == "the corpus's note"
    opened = Cloner(find_cloner(model))
    reference = opened.reference(recordings / "ref.wav")
    assert np.exp(reference.ln_f0) == pytest.approx(220, rel=0.1)
    assert reference.seconds == pytest.approx(2.0)
    again = clone_array(opened, audio_file.read(recordings / "in" / "a.wav")[0][:, 0], VOICE_RATE, reference, ConvertOptions("ref.wav"))
    np.testing.assert_allclose(again, audio_file.read(tmp_path / "out" / "a.wav")[0][:, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--to", "nobody"], 2, "is not a file"),
        (["--to", "ref.wav", "--anonymize"], 2, "cannot be combined"),
        (["--to", "ref.wav", "--strength", "0.5"], 2, "--strength cannot be combined"),
        (["--to", "silent.wav"], 1, "too few to tell a voice"),
        (["--to", "ref.wav", "--vocoder", "world"], 2, "a cloned voice is a mel spectrogram"),
    ],
)
def test_what_it_refuses(model: Path, recordings: Path, tmp_path: Path, monkeypatch, capsys, options, code, message):
    monkeypatch.chdir(recordings)
    assert main(["convert", "in", *options, "--model", str(model), "--consent", "yes", "-o", str(tmp_path / "out"), "-q"]) == code
    assert message in capsys.readouterr().err


def test_list_and_info_know_the_model(model: Path, capsys):
    assert main(["info", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "VoiceCloner"
