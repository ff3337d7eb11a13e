"""WaveGAN and SpecGAN checkpoints of TensorFlow 1: import, comparison with their graph, training on, and what is refused."""

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
from gansynth_cli.data.foreign import ForeignFileError, open_arrays
from gansynth_cli.families.tensorflow_graph import run_graph
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints

from .tensorflow_files import (
    ARGS,
    random_values,
    specgan_audio,
    specgan_graph,
    specgan_shapes,
    wavegan_graph,
    wavegan_shapes,
    with_slots,
    write_args,
    write_checkpoint,
    write_infer,
)

STEP, REPEATS = 40, 3
WAVEGAN_ARGS = {**ARGS, "data_slice_len": 16384, "wavegan_loss": "dcgan", "wavegan_disc_nupdates": REPEATS, "wavegan_disc_phaseshuffle": 1}
SPECGAN_ARGS = {**ARGS, "specgan_loss": "wgan-gp", "specgan_disc_nupdates": REPEATS, "specgan_ngl": 3}
LATENTS = np.random.default_rng(3).uniform(-1, 1, (2, 8)).astype(np.float32)


def imported(source: Path, run: Path, *options: str, code: int = 0) -> RunFolder:
    assert main(["import", str(source), "-o", str(run), "-q", *options]) == code
    return RunFolder.load(run) if code == 0 else RunFolder(run)


def tensors(variables: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: tf.constant(value) for name, value in variables.items()}


def wavegan_folder(folder: Path, loss: str = "dcgan", infer: bool = True, samples: int = 16384, **sizes: Any) -> dict[str, np.ndarray]:
    """A training folder as the authors' script leaves it; returns the networks' variables."""
    shapes = wavegan_shapes(**sizes)
    values = random_values(shapes, 1)
    write_checkpoint(folder / "model.ckpt-40", with_slots(values, loss, STEP, REPEATS))
    write_args(folder, {**WAVEGAN_ARGS, "wavegan_loss": loss})
    if infer:
        last = 2 if samples == 32768 else 4
        write_infer(folder, shapes, 8, lambda z, ngl, v: {"G_z": wavegan_graph(z, v, last)})
    return values


# WaveGAN.


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [
        (16384, {}),
        (16384, {"postprocess": 16}),
        (16384, {"nearest": True, "batch_norm": True}),
        (32768, {"layers": 6, "channels": 2, "dim": 1, "batch_norm": True}),
    ],
)
def test_a_wavegan_folder_becomes_a_run_that_gives_the_same_sound(tmp_path: Path, samples: int, sizes: dict[str, Any]):
    values = wavegan_folder(tmp_path / "source", samples=samples, **sizes)
    run = imported(tmp_path / "source", tmp_path / "run")
    assert (run.recipe.data.clip_samples, run.recipe.data.sample_rate) == (samples, 8000)
    assert run.manifest["imported"]["proof"] == {
        "run": True,
        "runner": f"infer.meta, TensorFlow {tf.__version__}",
        "inputs": ["latent 1", "latent 2"],
        "difference": pytest.approx(0.0, abs=1e-6),
        "scale": pytest.approx(1.0, abs=0.9),
    }
    assert set(run.manifest["imported"]["sources"]) == {
        *("model.ckpt-40.index", "model.ckpt-40.data-00000-of-00001", "args.txt", "infer.meta")
    }
    model = find_model(run.path).load()
    expected = np.clip(wavegan_graph(tf.constant(LATENTS), tensors(values), 2 if samples == 32768 else 4), -1, 1)
    assert expected.shape == (2, samples, sizes.get("channels", 1))
    assert np.std(expected) > 0.02
    np.testing.assert_allclose(model({"latent": LATENTS}), expected, atol=1e-6)
    assert model.provenance["step"] == STEP


@pytest.mark.slow
def test_every_way_to_name_a_checkpoint(tmp_path: Path):
    wavegan_folder(tmp_path / "source", dim=1)
    index = tmp_path / "source" / "model.ckpt-40.index"
    for number, path in enumerate((index, index.with_suffix(".data-00000-of-00001"), tmp_path / "source" / "checkpoint")):
        run = imported(path, tmp_path / f"run{number}")
        assert (run.manifest["step"], run.manifest["imported"]["proof"]["difference"]) == (STEP, pytest.approx(0.0, abs=1e-6))


def slots_in(run: RunFolder, network: str) -> list[np.ndarray]:
    arrays, _ = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    return [array for name, array in arrays.items() if name.startswith(f"optimizer/{network}/")]


@pytest.mark.parametrize("loss", ["dcgan", "lsgan"])
def test_optimisers_go_on_where_the_authors_stopped(tmp_path: Path, loss: str):
    wavegan_folder(tmp_path / "source", loss, infer=False)
    stored = open_arrays(tmp_path / "source")
    run = imported(tmp_path / "source", tmp_path / "run")
    recipe = run.recipe
    assert recipe.adversarial.loss == {"dcgan": "nonsaturating", "lsgan": "lsgan"}[loss]
    assert (recipe.adversarial.critic_repeats, recipe.data.batch_size, recipe.model.phase_shuffle) == (REPEATS, 4, 1)
    optimizer = recipe.optimizers["critic"]
    if loss == "dcgan":
        assert (optimizer.name, optimizer.learning_rate, optimizer.beta_2, optimizer.epsilon) == ("adam", 2e-4, 0.999, 1e-8)
        suffixes = ["Adam", "Adam_1"]
    else:
        assert (optimizer.name, optimizer.learning_rate, optimizer.epsilon, optimizer.initial_square) == ("rmsprop", 1e-4, 1e-10, 1.0)
        suffixes = ["RMSProp"]
    for network, head, updates in (("generator", "G", STEP), ("critic", "D", STEP * REPEATS)):
        found = slots_in(run, network)
        assert [int(array) for array in found if array.dtype.kind == "i"] == [updates]
        for name in stored:
            if name.startswith(f"{head}/") and name.rpartition("/")[2] in suffixes:
                wanted = stored[name][0] if "conv2d_transpose/kernel" in name else stored[name]
                assert any(array.shape == wanted.shape and np.array_equal(array, wanted) for array in found), name


@pytest.mark.slow
def test_an_imported_wavegan_trains_on_and_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    values = wavegan_folder(tmp_path / "source", infer=False, dim=1, kernel=5)
    imported(tmp_path / "source", tmp_path / "run")
    for name in "abcd":
        Path("sounds").mkdir(exist_ok=True)
        soundfile.write(f"sounds/{name}.wav", 0.3 * np.sin(np.arange(17000) * (0.1 + ord(name) / 1000)), 8000)
    quick = ["-q", "--set", "training.preview_every=0", "--set", "data.shuffle_clips=4"]
    recipe = ["--recipe", "run/recipe.toml", "--data", "sounds", *quick]
    assert main(["train", *recipe, "--init-from", "run", "--run", "tuned", "--steps", "2"]) == 0
    tuned = RunFolder.load(Path("tuned"))
    arrays, _ = Checkpoints(tuned.checkpoints_dir).load_latest(lambda text: None)
    name = next(name for name in arrays if name.startswith("network/generator/0000"))
    moved = np.abs(arrays[name] - values["G/z_project/dense/kernel"]).max()
    assert 0 < moved < 5e-3  # two steps of Adam at 2e-4, with new slots
    assert main(["train", "--run", "run", "--data", "sounds", *quick, "--steps", str(STEP + 1)]) == 0
    arrays, facts = Checkpoints(Path("run/checkpoints")).load_latest(lambda text: None)
    assert facts["step"] == STEP + 1
    assert int(arrays["optimizer/critic/0000"]) == (STEP + 1) * REPEATS


def test_what_six_layers_do_not_say_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture):
    wavegan_folder(tmp_path / "source", infer=False, layers=6, dim=1)
    (tmp_path / "source" / "args.txt").unlink()
    imported(tmp_path / "source", tmp_path / "run", code=2)
    assert "data.clip_samples=65536" in capsys.readouterr().err
    run = imported(tmp_path / "source", tmp_path / "run", "--set", "data.clip_samples=32768")
    assert run.recipe.data.clip_samples == 32768
    facts = run.manifest["imported"]
    assert any("16000" in line for line in facts["assumed"])
    assert any("dcgan" in line for line in facts["assumed"])  # by the power of beta_2
    assert "infer.meta" in facts["proof"]["why"]


@pytest.mark.slow
def test_args_of_another_run_are_not_believed(tmp_path: Path):
    wavegan_folder(tmp_path / "source", infer=False)
    write_args(tmp_path / "source", {**WAVEGAN_ARGS, "mode": "preview", "data_sample_rate": 44100})
    run = imported(tmp_path / "source", tmp_path / "run")
    assert run.recipe.data.sample_rate == 16000
    assert any("preview" in line for line in run.manifest["imported"]["assumed"])
    assert imported(tmp_path / "source", tmp_path / "said", "--sample-rate", "8000").recipe.data.sample_rate == 8000


def test_a_generator_by_itself_begins_with_a_new_discriminator(tmp_path: Path):
    values = random_values(wavegan_shapes(), 1)
    write_checkpoint(tmp_path / "drums.ckpt", {name: value for name, value in values.items() if name.startswith("G/")}, pointer=False)
    write_infer(tmp_path, wavegan_shapes(), 8, lambda z, ngl, v: {"G_z": wavegan_graph(z, v)}).rename(tmp_path / "drums_infer.meta")
    run = imported(tmp_path / "drums.ckpt", tmp_path / "run")
    assert run.manifest["imported"]["fresh"] == ["critic"]
    assert run.manifest["imported"]["proof"]["difference"] < 1e-6
    assert run.recipe.data.peak_normalize is False  # version 1


def test_which_checkpoints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Each with its reason, and without a run left behind."""
    source = tmp_path / "source"
    values = wavegan_folder(source, postprocess=4)

    def refused(path: Path, *words: str) -> None:
        imported(path, tmp_path / "run", code=1)
        said = capsys.readouterr().err
        assert all(word in said for word in words), said
        assert not (tmp_path / "run").exists()
        assert not list(tmp_path.glob(".run*"))

    refused(source / "infer" / "infer.meta", "graph without weights")
    write_checkpoint(tmp_path / "stereo" / "m", random_values(wavegan_shapes(channels=2, postprocess=4), 1))
    refused(tmp_path / "stereo", "a filter for each channel")
    write_checkpoint(tmp_path / "more" / "m", {**values, "G/upconv_0/extra": np.zeros(3, np.float32)})
    refused(tmp_path / "more", "G/upconv_0/extra")
    write_checkpoint(tmp_path / "less" / "m", {k: v for k, v in values.items() if k != "D/downconv_2/conv1d/bias"})
    refused(tmp_path / "less", "D/downconv_2/conv1d/bias")
    write_checkpoint(tmp_path / "shape" / "m", {**values, "D/downconv_1/conv1d/kernel": np.zeros((25, 2, 3), np.float32)})
    refused(tmp_path / "shape", "D/downconv_1/conv1d/kernel", "[25, 2, 4]")
    write_checkpoint(tmp_path / "nan" / "m", {**values, "G/upconv_4/conv2d_transpose/bias": np.full(1, np.nan, np.float32)})
    refused(tmp_path / "nan", "NaN")
    write_checkpoint(tmp_path / "four" / "m", random_values(wavegan_shapes(layers=4), 1))
    refused(tmp_path / "four", "4 upsampling layers")
    shutil.copytree(source, tmp_path / "without")
    (tmp_path / "without" / "model.ckpt-40.data-00000-of-00001").unlink()
    refused(tmp_path / "without", "model.ckpt-40.data-00000-of-00001")
    shutil.copytree(source, tmp_path / "torn")
    data = tmp_path / "torn" / "model.ckpt-40.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    refused(tmp_path / "torn", "model.ckpt-40")
    write_infer(source, wavegan_shapes(postprocess=4), 8, lambda z, ngl, v: {"G_z": wavegan_graph(z, v) * 1.1})
    refused(source, "differs", "nothing was written")


# The graph.


def test_graphs_run_arithmetic_only(tmp_path: Path):
    write_checkpoint(tmp_path / "m", {"G/w": np.float32([1, 2])})
    arrays = open_arrays(tmp_path)
    build = lambda make: write_infer(tmp_path, {"G/w": (2,)}, 3, make)
    path = build(lambda z, ngl, v: {"G_z": tf.reduce_sum(z, axis=1)[:, None] * v["G/w"]})
    (found,) = run_graph(path, arrays, {"z": np.ones((1, 3), np.float32)}, ["G_z"])
    np.testing.assert_array_equal(found, [[3.0, 6.0]])
    secret = tmp_path / "secret"
    secret.write_text("x")
    path = build(lambda z, ngl, v: {"G_z": tf.strings.length(tf.io.read_file(str(secret)))})
    with pytest.raises(ForeignFileError, match=r"ReadFile|StringLength"):
        run_graph(path, arrays, {"z": np.ones((1, 3), np.float32)}, ["G_z"])
    path = build(lambda z, ngl, v: {"G_z": tf.numpy_function(lambda x: x, [z], tf.float32)})
    with pytest.raises(ForeignFileError, match="PyFunc"):
        run_graph(path, arrays, {"z": np.ones((1, 3), np.float32)}, ["G_z"])
    with pytest.raises(ForeignFileError, match="no node G_z_norm"):
        run_graph(path, arrays, {}, ["G_z_norm"])
    path = build(lambda z, ngl, v: {"G_z": z * v["G/other"] if "G/other" in v else z @ z})
    with pytest.raises(ForeignFileError, match="does not run"):
        run_graph(path, arrays, {"z": np.ones((1, 3), np.float32)}, ["G_z"])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ForeignFileError, match="damaged"):
        run_graph(path, arrays, {}, ["G_z"])


def test_a_graph_that_cannot_be_run_is_no_obstacle(tmp_path: Path):
    wavegan_folder(tmp_path / "source")
    write_infer(tmp_path / "source", wavegan_shapes(), 8, lambda z, ngl, v: {"G_z": tf.numpy_function(lambda x: x, [z], tf.float32)})
    proof = imported(tmp_path / "source", tmp_path / "run").manifest["imported"]["proof"]
    assert not proof["run"]
    assert "PyFunc" in proof["why"]


# SpecGAN.

MEAN = np.linspace(0.0, -2.0, 129).astype(np.float32)
DEVIATION = np.linspace(1.5, 1.0, 129).astype(np.float32)


def specgan_folder(folder: Path, infer: bool = True, **sizes: Any) -> dict[str, np.ndarray]:
    shapes = specgan_shapes(**sizes)
    values = random_values(shapes, 2)
    write_checkpoint(folder / "model.ckpt-40", with_slots(values, "wgan-gp", STEP, REPEATS))
    write_args(folder, SPECGAN_ARGS)
    if infer:

        def build(z, ngl, variables):
            spectrogram = specgan_graph(z, variables)
            return {"G_z_norm": spectrogram, "G_z": specgan_audio(spectrogram, MEAN, DEVIATION, ngl)}

        write_infer(folder, shapes, 8, build)
    return values


@pytest.mark.parametrize("sizes", [{}, {"nearest": True, "batch_norm": True}])
def test_a_specgan_folder_becomes_a_run_that_gives_the_same_sound(tmp_path: Path, sizes: dict[str, Any]):
    values = specgan_folder(tmp_path / "source", **sizes)
    run = imported(tmp_path / "source", tmp_path / "run")
    facts = run.manifest["imported"]
    assert facts["proof"]["difference"] < 5e-6
    assert "audio after 3 rounds" in facts["proof"]["notes"][0]
    assert any("129 bins: infer.meta" in line for line in facts["read"])
    assert (run.recipe.model.griffin_lim, run.recipe.model.griffin_lim_iterations) == ("plain", 3)
    (statistics,) = run.info.statistics.values()
    np.testing.assert_array_equal(np.float32(statistics["mean"]), MEAN)
    np.testing.assert_array_equal(np.float32(statistics["deviation"]), DEVIATION)
    spectrogram = specgan_graph(tf.constant(LATENTS), tensors(values))
    audio = np.clip(specgan_audio(spectrogram, MEAN, DEVIATION, 3), -1, 1)
    assert np.std(spectrogram) > 0.03
    model = find_model(run.path).load()
    np.testing.assert_allclose(model.network(LATENTS), spectrogram, atol=5e-6)
    np.testing.assert_allclose(model({"latent": LATENTS}), audio, atol=1e-3)
    matched = imported(tmp_path / "source", tmp_path / "matched", "--set", "model.griffin_lim=matched")
    assert matched.manifest["imported"]["proof"]["difference"] < 5e-6
    assert np.abs(find_model(matched.path).load()({"latent": LATENTS}) - audio).max() > 0.05


def test_moments_of_a_pickle_and_none(tmp_path: Path, capsys: pytest.CaptureFixture):
    specgan_folder(tmp_path / "source", infer=False)
    imported(tmp_path / "source", tmp_path / "run", code=1)
    assert "moments" in capsys.readouterr().err
    import pickle

    with (tmp_path / "source" / "moments.pkl").open("wb") as file:
        pickle.dump((MEAN, DEVIATION), file, protocol=2)
    run = imported(tmp_path / "source", tmp_path / "run")
    (statistics,) = run.info.statistics.values()
    np.testing.assert_array_equal(np.float32(statistics["deviation"]), DEVIATION)
    assert "moments.pkl" in run.manifest["imported"]["sources"]
    with (tmp_path / "source" / "moments.pkl").open("wb") as file:
        pickle.dump((MEAN[:65], DEVIATION[:65]), file)
    imported(tmp_path / "source", tmp_path / "other", code=1)
    assert "65 bins" in capsys.readouterr().err


def test_an_imported_specgan_generates_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    specgan_folder(tmp_path / "source", infer=False)
    np.savez(tmp_path / "source" / "moments.npz", mean=MEAN, deviation=DEVIATION)
    assert main(["import", "source", "--as", "specgan", "--json", "--licence", "MIT"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["family"], printed["step"], printed["licence"]) == ("specgan", STEP, "MIT")
    assert main(["generate", printed["run"], "-n", "2", "-o", "clips", "-q"]) == 0
    assert [soundfile.info(file).frames for file in sorted(Path("clips").glob("*.wav"))] == [16384] * 2


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["wavegan", "specgan"])
def test_folders_of_the_authors_own_scripts(tmp_path: Path, data_folder: Path, name: str):
    source = data_folder / "published" / name
    run = imported(source, tmp_path / "run")
    assert run.manifest["imported"]["proof"]["difference"] == 0.0
    assert main(["generate", str(run.path), "-n", "3", "-o", str(tmp_path / "clips"), "-q"]) == 0
    levels = [np.abs(soundfile.read(file)[0]).max() for file in (tmp_path / "clips").glob("*.wav")]
    assert len(levels) == 3
    assert min(levels) > 0.05
