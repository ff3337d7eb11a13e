"""SEGAN checkpoints of TensorFlow 0.12: the same networks, training on, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.families.segan.family import SEGAN
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints

from .conftest import write_tones, write_wav
from .tensorflow_files import random_values, segan_discriminator, segan_generator, segan_shapes, write_checkpoint


def imported(source: Path, run: Path, *options: str, code: int = 0) -> RunFolder:
    assert main(["import", str(source), "-o", str(run), "-q", *options]) == code
    return RunFolder.load(run) if code == 0 else RunFolder(run)


def published(folder: Path, slots: bool = True, **sizes: Any) -> dict[str, np.ndarray]:
    """SEGAN-700 as the authors' script saves it; returns the networks' variables."""
    values = random_values(segan_shapes(**sizes), 5)
    others = {"Variable": np.float32(1.0), "Variable_1": np.float32(0.0), "Variable_2": np.float32(100.0)}
    if slots:
        rng = np.random.default_rng(2)
        for name, value in values.items():
            if name != "g_ae/z/z":
                others |= {f"{name}/RMSProp": rng.uniform(0.1, 1, value.shape).astype(np.float32), f"{name}/RMSProp_1": 0 * value}
    write_checkpoint(folder / "SEGAN-700", {**values, **others})
    return values


@pytest.mark.parametrize("sizes", [{}, {"prelu": False, "bias": False}])
def test_a_segan_checkpoint_becomes_a_run_that_enhances_the_same(tmp_path: Path, sizes: dict[str, Any]):
    values = published(tmp_path / "source", **sizes)
    run = imported(tmp_path / "source", tmp_path / "run")
    model, data = run.recipe.model, run.recipe.data
    assert (model.widths, model.kernel, model.latent_dim, model.preemphasis, model.reference_clips) == ((4, 6, 8), 9, 5, 0.95, 3)
    assert (data.clip_samples, data.batch_size, data.sample_rate, run.manifest["step"]) == (64, 3, 16000, 700)
    rng = np.random.default_rng(1)
    noisy = rng.normal(0, 0.3, (3, 64, 1)).astype(np.float32)
    latent = rng.standard_normal((3, 8, 5)).astype(np.float32)
    expected = segan_generator(tf.constant(noisy), tf.constant(latent), values)
    assert np.std(expected) > 0.01
    enhancer = find_model(run.path).load()
    np.testing.assert_allclose(enhancer.network([noisy, latent]), expected, atol=2e-6)
    family = SEGAN(run.recipe, run.info)
    arrays, facts = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    critic = family.networks["critic"]
    names = [f"network/critic/{index:04d} {variable.name}" for index, variable in enumerate(critic.variables)]
    for name, variable in zip(names, critic.variables, strict=True):
        if name in arrays:
            variable.assign(arrays[name])
    assert facts["deferred"] == [name for name in names if name not in arrays]
    candidate = rng.normal(0, 0.3, (3, 64, 1)).astype(np.float32)
    critic.get_layer("reference").choose(np.concatenate([candidate, noisy], axis=-1))
    logits = segan_discriminator(tf.concat([candidate, noisy], axis=-1), values)
    found = critic({"example": tf.constant(candidate), "noisy": tf.constant(noisy), "groups": tf.constant(1)}, training=True)
    np.testing.assert_allclose(found, logits, atol=5e-5)
    assert np.std(logits) > 0.01


@pytest.mark.slow
def test_an_imported_segan_trains_on_with_a_reference_batch_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    values = published(Path("source"))
    run = imported(Path("source"), Path("run"), "--set", "training.preview_every=0", "--set", "data.shuffle_clips=8")
    before, _ = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    slots = [array for name, array in before.items() if name.startswith("optimizer/generator/")]
    assert any(array.shape == (9, 1, 4) and 0.1 < array.mean() < 1 for array in slots)
    write_tones(Path("speech"), takes=2)
    for i in range(2):
        write_wav(Path("noise") / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 9000))
    prepare = ["prepare", "speech", "--noise", "noise", "-o", "data", "--sample-rate", "16000", "--clip-samples", "64", "-q"]
    assert main([*prepare, "--validation", "0", "--test", "0"]) == 0
    quiet = [f"data.mixing.{name}=0.0" for name in ("join", "pause", "rate_change", "speech_filter", "room", "noise_filter", "clipping")]
    mixing = [part for setting in ["data.mixing.enabled=true", "data.mixing.most_noises=1", *quiet] for part in ("--set", setting)]
    assert main(["train", "--run", "run", "--data", "data", "-q", "--steps", "701", *mixing]) == 0
    after, facts = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert facts["step"] == 701
    (reference,) = (array for name, array in after.items() if "reference_batch" in name)
    assert reference.shape == (3, 64, 2)
    assert 1e-4 < np.abs(reference).max() < 1.0
    (first,) = (array for name, array in after.items() if name.startswith("network/generator/0000"))
    assert 0 < np.abs(first - values["g_ae/enc_0/W"][:, 0]).max() < 0.01


def test_an_imported_segan_enhances_by_the_command(tmp_path: Path):
    published(tmp_path / "source", slots=False)
    imported(tmp_path / "source" / "SEGAN-700.index", tmp_path / "run", "--sample-rate", "8000")
    soundfile.write(tmp_path / "noisy.wav", np.random.default_rng(3).normal(0, 0.1, 1001), 8000)
    assert main(["enhance", str(tmp_path / "noisy.wav"), "-o", str(tmp_path / "clean"), "--model", str(tmp_path / "run"), "-q"]) == 0
    assert soundfile.info(tmp_path / "clean" / "noisy.wav").frames == 1001


def test_which_checkpoints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    values = random_values(segan_shapes(), 5)
    write_checkpoint(tmp_path / "nearest" / "SEGAN-1", {**values, "g_ae/dec_0/W": np.zeros((5, 13, 1), np.float32)})
    imported(tmp_path / "nearest", tmp_path / "run", code=1)
    assert "transposed" in capsys.readouterr().err
    write_checkpoint(tmp_path / "more" / "SEGAN-1", {**values, "g_ae/enc_3/W": np.zeros((9, 1, 8, 9), np.float32)})
    imported(tmp_path / "more", tmp_path / "run", code=1)
    assert "g_ae/" in capsys.readouterr().err
    write_checkpoint(tmp_path / "less" / "SEGAN-1", {k: v for k, v in values.items() if k != "g_ae/enc_prelu_1/alpha"})
    imported(tmp_path / "less", tmp_path / "run", code=1)
    assert "g_ae/enc_prelu_1/alpha" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
