"""A run's discriminator as a scorer: restored from a checkpoint, its inputs, its threshold, and `evaluate voices --model`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.errors import RunError
from gansynth_cli.families.registry import family_class
from gansynth_cli.families.stargan_vc.discriminator_scores import discriminator_of
from gansynth_cli.metrics.clips import classifier
from gansynth_cli.recipe import load_recipe, recipe_to_toml
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.signal.mel_frames import log_mel
from gansynth_cli.training.checkpoint import Checkpoints, restored_family
from gansynth_cli.training.learner import Learner, numbered
from gansynth_cli.training.strategy import Devices

from .conversion_families import RATE, make_family, voice, write_voices
from .helpers import disturb
from .tiny_families import make_family as make_generator


class Discriminator:
    """Gives one score everywhere, and keeps its inputs."""

    def __init__(self, score: float):
        self.score, self.inputs = score, []

    def __call__(self, inputs, training):
        assert training is False
        self.inputs.append({name: np.asarray(value) for name, value in inputs.items()})
        return np.full((1, 4, 1), self.score, np.float32)


@pytest.mark.parametrize(
    "loss, score, real",
    [
        ("lsgan", 0.45, False),  # nearer to the 0 of conversions than to the 1 of real recordings
        ("lsgan", 0.55, True),
        ("lsgan", -0.2, False),
        ("hinge", 0.1, True),  # hinge and its like score around 0
        ("hinge", -0.1, False),
    ],
)
def test_the_threshold_is_the_middle_of_what_the_loss_trains_towards(loss, score, real):
    family = make_family("stargan_vc", f"adversarial.loss={loss}")
    family.networks["critic"] = Discriminator(score)
    assert discriminator_of(family)(voice(1.0, 150, (600, 1500)), RATE, "d0", "d1") is real


def test_it_sees_spectra_standardised_for_the_target_and_codes_of_both():
    family = make_family("stargan_vc")
    family.networks["critic"] = spy = Discriminator(1.0)
    score, audio = discriminator_of(family), voice(1.0, 150, (600, 1500))
    score(audio, RATE, "d0", "d2")
    (seen,) = spy.inputs
    mel = log_mel(audio, family.convention)
    expected = (mel - family.mean[2]) / family.deviation[2]
    assert seen["mel"].shape[1] == len(mel) // 16 * 16
    np.testing.assert_allclose(seen["mel"][0], expected[: seen["mel"].shape[1]], atol=1e-5)
    np.testing.assert_array_equal(seen["source"], [[1, 0, 0]])
    np.testing.assert_array_equal(seen["target"], [[0, 0, 1]])
    score(audio_file.resample(audio, RATE, 2 * RATE), 2 * RATE, "d0", "d2")
    assert np.abs(spy.inputs[1]["mel"] - seen["mel"]).mean() < 0.2
    score(audio[: RATE // 4], RATE, "d0", "d2")  # short: mirrored to three quarters of a second
    assert spy.inputs[2]["mel"].shape[1] == round(0.75 * RATE) // family.convention.hop // 16 * 16
    assert spy.inputs[2]["mel"].std() > 0.1


def test_other_families_have_none():
    with pytest.raises(RunError, match="family wavegan has no discriminator of all domains"):
        discriminator_of(make_generator("wavegan"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    pytest.importorskip("swift_f0")
    root = tmp_path_factory.mktemp("voices")
    write_voices(root / "rec", takes=10)
    command = ["prepare", root / "rec", "-o", root / "data", "--layout", "speakers", "--recipe", "stargan_vc/tiny", "--jobs", 1]
    assert main([str(part) for part in (*command, "--validation", 0.3, "--test", 0.3, "-q")]) == 0
    return root / "data"


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    """A run as `train` leaves it, but for the training: random weights, moved away from those that a family begins with."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe, info = load_recipe("stargan_vc/tiny"), read_dataset_info(data)
    family = family_class("stargan_vc")(recipe, info)
    disturb(*family.networks.values())
    folder.mkdir()
    (folder / "recipe.toml").write_text(recipe_to_toml(recipe))
    (folder / "dataset_info.json").write_text(info.without_sources().to_json())
    (folder / "manifest.json").write_text("{}")
    arrays = {}
    for name, network in family.networks.items():
        arrays |= {key: np.asarray(variable) for key, variable in numbered(f"network/{name}", network.variables).items()}
    Checkpoints(folder / "checkpoints").save(1, arrays, {})
    return folder


def test_variables_are_numbered_as_the_learner_saves_them():
    family = make_family("stargan_vc")
    saved = Learner(family.recipe, lambda: family, Devices(), 10).state()
    named = numbered("network/critic", family.networks["critic"].variables)
    assert {name for name in saved if name.startswith("network/critic/")} == set(named)
    assert all(saved[name] is variable for name, variable in named.items())


def test_the_networks_of_a_run_come_back_from_its_checkpoint(run):
    family = restored_family(run, ["critic"], pytest.fail)
    arrays, _ = Checkpoints(RunFolder(run).checkpoints_dir).load_latest(pytest.fail)
    found = numbered("network/critic", family.networks["critic"].variables)
    assert len(found) > 4
    for name, variable in found.items():
        np.testing.assert_array_equal(arrays[name], np.asarray(variable))
    untouched = type(family)(family.recipe, family.info)
    for name, same in (("critic", False), ("generator", True)):
        pairs = zip(family.networks[name].trainable_variables, untouched.networks[name].trainable_variables, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) is same, name


def test_a_run_without_what_is_needed(run, tmp_path):
    with pytest.raises(RunError, match="has no network 'judge'"):
        restored_family(run, ["judge"], pytest.fail)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("recipe.toml", "dataset_info.json", "manifest.json"):
        (bare / name).write_bytes((run / name).read_bytes())
    with pytest.raises(RunError, match="has no checkpoint"):
        restored_family(bare, ["critic"], pytest.fail)


@pytest.mark.slow
def test_voices_with_a_model(run, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(classifier, "_MIN_STEPS", 2)
    names = json.loads((data / "dataset_info.json").read_text())["labels"]
    for take in range(2):
        mark = {"synthetic": True, "converted_from": names[0], "converted_to": names[1]}
        audio_file.write(tmp_path / "made" / f"{take}.wav", voice(1.0, 150, (600, 1500), take), RATE, tag=mark)
    command = ["evaluate", "voices", tmp_path / "made", "--data", data, "--model", run, "--cache", tmp_path / "cache", "--json"]
    assert main([str(part) for part in command]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["systems"][0]["figures"]["critic_real"]["n"] == 2
    assert 0 <= report["discriminator_on_real"]["value"] <= 1
    assert report["discriminator_on_real"]["n"] > 0
    assert any("the discriminator classifies" in note for note in report["notes"])
