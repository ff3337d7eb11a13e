"""GANSynth checkpoints of TensorFlow 1: the same spectrograms, pitches, optimisers and stages, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.families.gansynth.family import GANSynth
from gansynth_cli.layers import NotePictureToAudio
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints

from .note_fixtures import prepare_notes
from .tensorflow_files import (
    AVERAGE,
    G_BLOCK,
    GANSYNTH_FLAGS,
    gansynth_discriminator,
    gansynth_generator,
    gansynth_shapes,
    gansynth_values,
    write_checkpoint,
)

LATENTS = np.random.default_rng(3).standard_normal((2, 6)).astype(np.float32)


def imported(source: Path, run: Path, *options: str, code: int = 0) -> RunFolder:
    assert main(["import", str(source), "-o", str(run), "-q", *options]) == code
    return RunFolder.load(run) if code == 0 else RunFolder(run)


def experiment(folder: Path, images: int = 1000, stage: int = 4, blocks: int = 3, pitches: int = 61, **flags: Any) -> dict[str, np.ndarray]:
    """An experiment's folder with one stage; returns the variables of its checkpoint."""
    values = gansynth_values(gansynth_shapes(blocks, pitches), images)
    write_checkpoint(folder / f"stage_{stage:05d}" / f"model.ckpt-{images}", values)
    (folder / "experiment.json").write_text(json.dumps({**GANSYNTH_FLAGS, **flags}))
    return values


def averages(values: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name.removesuffix(AVERAGE): tf.constant(value) for name, value in values.items() if name.endswith(AVERAGE)}


def expected_spectrograms(values: dict[str, Any], classes: list[int], progress: float, blocks: int, pitches: int = 61) -> Any:
    inputs = tf.concat([LATENTS, tf.one_hot(classes, pitches)], axis=1)
    return gansynth_generator(inputs, values, progress, blocks, GANSYNTH_FLAGS["num_resolutions"])


def test_an_experiment_becomes_a_run_whose_notes_have_their_pitches(tmp_path: Path):
    values = experiment(tmp_path / "source")
    run = imported(tmp_path / "source", tmp_path / "run")
    model, recipe = run.recipe.model, run.recipe
    assert (model.fft, model.hop, model.frames, model.mel_bands, model.mel_bank) == (128, 32, 8, 64, "authors")
    assert (model.latent_dim, model.dim, model.widest, model.levels) == (6, 4, 8, 3)
    assert (model.output_gain, model.stddev_epsilon, recipe.losses.penalty_space) == ("unit", 1e-6, "unnormalized")
    assert (recipe.data.clip_samples, recipe.data.sample_rate, recipe.data.batch_size) == (256, 8000, 4)
    assert (recipe.optimizers["critic"].learning_rate, recipe.optimizers["critic"].beta_2) == (8e-4, 0.99)
    assert run.info.attributes["pitch"] == [str(pitch) for pitch in range(24, 85)]
    note = find_model(run.path).load()
    assert note.pitches == tuple(range(24, 85))
    classes = [note.pitches.index(60), note.pitches.index(84)]
    expected = expected_spectrograms(averages(values), classes, 2.0, 3)
    assert np.std(expected) > 0.2
    np.testing.assert_allclose(note.network({"latent": LATENTS, "pitch": tf.constant(classes)}), expected, atol=3e-5)
    to_audio = NotePictureToAudio(128, 32, 8, 256, 8000, 64, mel_bank="authors")
    np.testing.assert_allclose(note({"latent": LATENTS, "pitch": tf.constant(classes)}), to_audio(expected), atol=1e-4)
    np.save(tmp_path / "latents.npy", LATENTS[:1])
    command = ["generate", str(run.path), "--pitch", "60", "--latents", str(tmp_path / "latents.npy"), "-o", str(tmp_path / "notes"), "-q"]
    assert main(command) == 0
    (file,) = (tmp_path / "notes").glob("*.wav")
    audio, rate = soundfile.read(file)
    assert rate == 8000
    np.testing.assert_allclose(audio, np.clip(to_audio(expected)[0, :, 0], -1, 1), atol=2e-4)


@pytest.mark.parametrize(
    ("stage", "blocks", "images", "progress"), [(2, 2, 200, 1.0), (3, 3, 264, 1.3), (1, 2, 100, 0.25), (0, 1, 40, 0.0)]
)
def test_stages_before_the_last(tmp_path: Path, stage: int, blocks: int, images: int, progress: float):
    """A stage has only the resolutions so far; while one fades in, the generator shows the mixture. Training goes on from there."""
    values = experiment(tmp_path / "source", images, stage, blocks)
    run = imported(tmp_path / "source" / f"stage_{stage:05d}", tmp_path / "run")
    assert run.manifest["step"] == images // 4
    family = GANSynth(run.recipe, run.info)
    assert next(s.index for s in family.stages if s.stop is None or images // 4 < s.stop) == stage
    note = find_model(run.path).load()
    found = note.network({"latent": LATENTS, "pitch": tf.constant([0, 36])})
    assert float(note.network.progress.numpy()) == pytest.approx(progress)
    np.testing.assert_allclose(found, expected_spectrograms(averages(values), [0, 36], progress, blocks), atol=3e-5)
    assert (blocks < 3) == any("finer" in line for line in run.manifest["imported"]["assumed"])


def test_both_networks_and_their_optimisers_are_the_authors(tmp_path: Path):
    values = experiment(tmp_path / "source")
    run = imported(tmp_path / "source", tmp_path / "run")
    arrays, facts = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    family = GANSynth(run.recipe, run.info)
    for name, network in family.networks.items():
        for index, variable in enumerate(network.variables):
            variable.assign(arrays[f"network/{name}/{index:04d} {variable.name}"])
    pictures = tf.constant(np.random.default_rng(1).uniform(-1, 1, (4, 8, 64, 2)), tf.float32)
    logits, classes = gansynth_discriminator(pictures, values, 2.0, 3, 3)
    answers = family.networks["critic"].at(pictures, 2, None)
    np.testing.assert_allclose(answers["logit"], logits, atol=3e-5)
    np.testing.assert_allclose(answers["pitch"], classes, atol=3e-5)
    plain = expected_spectrograms(values, [0, 36], 2.0, 3)
    family.networks["generator"].progress.assign(2.0)
    np.testing.assert_allclose(family.networks["generator"]({"latent": LATENTS, "pitch": tf.constant([0, 36])}), plain, atol=3e-5)
    assert np.abs(plain - expected_spectrograms(averages(values), [0, 36], 2.0, 3)).max() > 0.01
    slots = [array for name, array in arrays.items() if name.startswith("optimizer/generator/")]
    for name, value in values.items():
        if name.startswith("progressive_gan_train_ops/Generator/"):
            wanted = value[::-1, ::-1] if "block_1/conv0/conv2d" in name else value
            assert any(array.shape == wanted.shape and np.array_equal(array, wanted) for array in slots), name
    assert facts["step"] == 250


def test_a_published_checkpoint_without_its_flags(tmp_path: Path):
    """Of mel_prog_hires only shapes are needed; here the shapes are others, so the flags have to be given."""
    experiment(tmp_path / "source")
    (tmp_path / "source" / "experiment.json").rename(tmp_path / "flags.json")
    imported(tmp_path / "source" / "stage_00004", tmp_path / "run", code=1)
    run = imported(tmp_path / "source" / "stage_00004", tmp_path / "run", "--config", str(tmp_path / "flags.json"))
    assert "flags.json" in run.manifest["imported"]["sources"]


def test_other_pitches_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture):
    experiment(tmp_path / "source", pitches=3)
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert '"pitches"' in capsys.readouterr().err
    (tmp_path / "source" / "experiment.json").write_text(json.dumps({**GANSYNTH_FLAGS, "pitches": [48, 55, 60]}))
    assert imported(tmp_path / "source", tmp_path / "run").info.attributes["pitch"] == ["48", "55", "60"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"data_normalizer": "specgrams_freq_normalizer"}, "data_normalizer"),
        ({"simple_arch": True}, "simple_arch"),
        ({"data_type": "wave"}, "data_type"),
        ({"scale_mode": "H"}, "scale_mode"),
        ({"p_normalizer_b": 0.1}, "p_normalizer_b"),
        ({"fmap_max": 4}, "channels"),
        ({"start_width": 8}, "start_width"),
        ({"num_resolutions": 2}, "channels"),
    ],
)
def test_flags_that_gan_audio_has_no_counterpart_for(tmp_path: Path, capsys: pytest.CaptureFixture, flags: dict[str, Any], text: str):
    experiment(tmp_path / "source", **flags)
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert text in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_damaged_experiments(tmp_path: Path, capsys: pytest.CaptureFixture):
    values = experiment(tmp_path / "source")
    (tmp_path / "source" / "stage_00005").mkdir()
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert "stage_00004" in capsys.readouterr().err  # the last one with a checkpoint
    shutil.rmtree(tmp_path / "source" / "stage_00005")
    stage = tmp_path / "source" / "stage_00004"
    (data,) = stage.glob("*.data-*")
    whole = data.read_bytes()
    data.unlink()
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert data.name in capsys.readouterr().err
    data.write_bytes(whole[: len(whole) // 2])
    imported(tmp_path / "source", tmp_path / "run", code=1)
    capsys.readouterr()
    name = G_BLOCK.format(2) + "/conv1/conv2d/kernel"
    write_checkpoint(stage / "model.ckpt-1000", {n: v for n, v in values.items() if n != f"{name}{AVERAGE}"})
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert name in capsys.readouterr().err
    write_checkpoint(stage / "model.ckpt-1000", {**values, G_BLOCK.format(9) + "/conv0/bias": np.zeros(1, np.float32)})
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert "progressive_gan_block_9" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_imported_gansynth_trains_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    """From the last stage with notes of its pitches: fine-tuned in a new run, and resumed where the authors stopped."""
    data = prepare_notes(tmp_path / "notes")
    pitches = [int(p) for p in json.loads((data / "dataset_info.json").read_text())["attributes"]["pitch"]]
    experiment(tmp_path / "source", pitches=len(pitches))
    flags = {**GANSYNTH_FLAGS, "pitches": pitches}
    (tmp_path / "source" / "experiment.json").write_text(json.dumps(flags))
    run = imported(tmp_path / "source", tmp_path / "run", "--set", "training.preview_every=0", "--set", "adversarial.loss=hinge")
    before, _ = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    train = ["train", "--run", str(run.path), "--data", str(data), "-q", "--steps", "252"]
    assert main(train) == 0
    after, facts = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert facts["step"] == 252
    assert int(after["optimizer/critic/0000"]) == int(before["optimizer/critic/0000"]) + 2
    moved = [np.abs(after[name] - before[name]).max() for name in before if name.startswith("network/critic/")]
    assert 0 < max(moved) < 0.02  # at most 10 learning rates a step, as the mean of squares was 1e-6
    info = json.loads(run.dataset_info_file.read_text())
    info["attributes"]["pitch"][0] = "54"
    run.dataset_info_file.write_text(json.dumps(info))
    assert main(train) == 1  # a data set of other pitches
    assert "pitch classes 54, 58" in capsys.readouterr().err
