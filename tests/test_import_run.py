"""`gan-audio import`: from published files to runs that every verb takes, and what is refused."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints

from .conftest import write_wav
from .deepfilternet_graphs import SETTINGS, build
from .foreign_files import PickleWriter, Tensor, called, torch_script, zipped
from .published_files import HIFIGAN_CONFIG, hifigan_generator, torch_zip, write_hifigan


def imported(source: Path, run: Path, *options: str, code: int = 0) -> RunFolder | None:
    assert main(["import", str(source), "-o", str(run), "-q", *options]) == code
    return None if code else RunFolder.load(run)


def test_a_hifigan_file_becomes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = write_hifigan(tmp_path / "LJ_TINY")
    run = imported(file, tmp_path / "run", "--licence", "CC0", "--json")
    assert run is not None
    printed = json.loads(capsys.readouterr().out)
    assert (printed["family"], printed["step"], printed["licence"]) == ("hifigan", 1000, "CC0")
    assert run.recipe.model.upsample == (8, 4)
    assert run.recipe.model.dilations == ((1, 3), (1, 2))
    assert (run.recipe.model.mel.window, run.recipe.model.mel.high_hz, run.recipe.data.sample_rate) == (128, 3000.0, 8000)
    assert run.recipe.optimizers["generator"].learning_rate == 0.0003
    assert run.recipe.adversarial.generator_start == 1000
    facts = run.manifest["imported"]
    assert set(facts["sources"]) == {"g_00001000", "config.json"}
    assert facts["fresh"] == ["critic"]
    assert not facts["proof"]["run"]
    assert "weights" in facts["proof"]["why"]
    assert "g_00001000" in run.card_file.read_text()
    assert "CC0" in run.card_file.read_text()
    arrays, stored = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert stored["step"] == 1000
    assert all(name.startswith("network/generator/") for name in arrays)
    assert main(["info", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "jik876/hifi-gan" in shown
    assert "licence: CC0" in shown
    mel = np.random.default_rng(1).normal(-5, 2, (1, 9, 20)).astype(np.float32)
    audio = np.asarray(find_model(run.path).load()(mel))
    assert audio.shape == (1, 9 * 32, 1)
    assert 0.01 < np.abs(audio).max() <= 1


@pytest.mark.slow
def test_a_folder_and_every_form_of_weight_normalisation_give_the_same_sound(tmp_path: Path):
    state = hifigan_generator()
    plain, modern = folded(state), {}
    for name, array in state.items():
        base, _, kind = name.rpartition(".")
        parameter = {"weight_g": f"{base}.parametrizations.weight.original0", "weight_v": f"{base}.parametrizations.weight.original1"}
        modern[parameter.get(kind, name)] = array
    write_hifigan(tmp_path / "old", state)
    write_hifigan(tmp_path / "plain", plain, save=lambda path, value: torch_zip(path, value["generator"]))
    write_hifigan(tmp_path / "modern", {f"module.{name}": array for name, array in modern.items()}, save=torch_zip)
    mel = np.random.default_rng(1).normal(-5, 2, (1, 9, 20)).astype(np.float32)
    sounds = []
    for form in ("old", "plain", "modern"):
        imported(tmp_path / form, tmp_path / "runs" / form)
        sounds.append(np.asarray(find_model(tmp_path / "runs" / form).load()(mel)))
    np.testing.assert_allclose(sounds[1], sounds[0], atol=2e-5)
    np.testing.assert_allclose(sounds[2], sounds[0], atol=2e-5)


def test_what_the_files_do_not_say_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = write_hifigan(tmp_path / "x", config=None)
    imported(file, tmp_path / "run", code=2)
    assert "--sample-rate" in capsys.readouterr().err
    imported(file, tmp_path / "run", "--sample-rate", "8000", code=2)
    assert "model.dilations" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    (tmp_path / "settings.json").write_text(json.dumps(HIFIGAN_CONFIG))
    imported(file, tmp_path / "run", "--config", str(tmp_path / "settings.json"))
    imported(file, tmp_path / "other", "--config", str(tmp_path / "settings.json"), "--sample-rate", "16000", code=2)


@pytest.mark.slow
def test_checkpoints_of_other_networks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    state = hifigan_generator()
    cases = {
        "missing": ({k: v for k, v in state.items() if k != "resblocks.3.convs2.1.weight_v"}, "resblocks.3.convs2.1"),
        "shape": (state | {"resblocks.0.convs1.1.weight_v": state["resblocks.0.convs1.1.weight_v"][:, :, :2]}, "expected [4, 4, 3]"),
        "left": (state | {"speaker.weight": np.ones((3, 3), np.float32)}, "speaker.weight"),
        "nan": (state | {"conv_post.bias": np.float32([np.nan])}, "conv_post.bias"),
        "foreign": ({"encoder.weight": np.ones((3, 3), np.float32)}, "no known program"),
    }
    for name, (arrays, said) in cases.items():
        file = write_hifigan(tmp_path / name, arrays)
        imported(file, tmp_path / "run", code=1)
        assert said in capsys.readouterr().err, name
        assert not (tmp_path / "run").exists()
        assert not list(tmp_path.glob(".run*"))


def test_a_run_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = write_hifigan(tmp_path / "x")
    imported(file, tmp_path / "run")
    imported(file, tmp_path / "run", code=1)
    assert "--overwrite" in capsys.readouterr().err
    imported(file, tmp_path / "run", "--overwrite")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    imported(file, tmp_path / "other", "--overwrite", code=1)
    assert (tmp_path / "other" / "notes.txt").read_text() == "mine"


def test_files_that_are_not_what_they_claim(tmp_path: Path, capsys: pytest.CaptureFixture):
    whole = write_hifigan(tmp_path / "whole").read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 55778110\n"
    hostile = PickleWriter().dumps({"generator": called("os", "system", PickleWriter().push("touch owned"))})
    cases = {
        "half": (whole[: len(whole) // 2], "truncated|cannot be read|damaged"),
        "pointer": (pointer, "LFS|placeholder|pointer"),
        "page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML|page|unknown"),
        "hostile": (zipped(tmp_path / "z", {"archive/data.pkl": hostile, "archive/version": b"3\n"}).read_bytes(), r"os\.system"),
    }
    for name, (content, said) in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "g_00001000").write_bytes(content)
        (tmp_path / name / "config.json").write_text(json.dumps(HIFIGAN_CONFIG))
        for source in (tmp_path / name, tmp_path / name / "g_00001000"):
            imported(source, tmp_path / "run", code=1)
            error = capsys.readouterr().err
            assert error.startswith("error: "), name
            assert re.search(said, error), (name, error)
            assert "Traceback" not in error
        assert not (tmp_path / "run").exists()
    assert not Path("owned").exists()


def test_a_configuration_of_another_checkpoint_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture):
    for name, changed in {
        "blocks": {"resblock": "2"},
        "kernels": {"resblock_kernel_sizes": [3, 7]},
        "bands": {"num_mels": 40},
        "hop": {"hop_size": 64},
        "text": {"sampling_rate": "fast"},
    }.items():
        file = write_hifigan(tmp_path / name, config=HIFIGAN_CONFIG | changed)
        code = main(["import", str(file), "-o", str(tmp_path / "run"), "-q"])
        error = capsys.readouterr().err
        if name == "bands":  # the weights say the number of bands
            assert code == 0
            assert RunFolder.load(tmp_path / "run").recipe.model.mel.bands == 20
        else:
            assert code in (1, 2), name
            assert "error:" in error


@pytest.mark.slow
def test_a_torchscript_program_is_read_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture):
    modules: dict = {}
    for name, array in folded(hifigan_generator()).items():
        *path, last = name.split(".")
        node = modules
        for part in path:
            node = node.setdefault(part, {})
        node[last] = Tensor(np.ascontiguousarray(array))
    (tmp_path / "x").mkdir()
    file = torch_script(tmp_path / "x" / "vocoder.ts", modules)
    (tmp_path / "x" / "config.json").write_text(json.dumps(HIFIGAN_CONFIG))
    run = imported(file, tmp_path / "run")
    assert run is not None
    assert "TorchScript program" in run.manifest["imported"]["proof"]["why"]
    same = imported(write_hifigan(tmp_path / "y"), tmp_path / "other")
    assert same is not None
    mel = np.random.default_rng(1).normal(-5, 2, (1, 9, 20)).astype(np.float32)
    sounds = [np.asarray(find_model(path).load()(mel)) for path in (run.path, same.path)]
    np.testing.assert_allclose(*sounds, atol=2e-5)


def test_deepfilternets_graphs_are_run_beside_the_run(tmp_path: Path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with np.load(Path(__file__).with_name("deepfilternet_reference.npz")) as reference:
        weights = {name[7:]: np.float32(reference[name]) for name in reference.files if name.startswith("weight/")}
    with tarfile.open(tmp_path / "DeepFilterNet3_onnx.tar.gz", "w:gz") as archive:
        for name, data in build(weights, SETTINGS).items():
            entry = tarfile.TarInfo(f"tmp/export/{name}.onnx")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    run = imported(tmp_path, tmp_path / "run", "--licence", "MIT or Apache-2.0")
    assert run is not None
    proof = run.manifest["imported"]["proof"]
    assert proof["run"]
    assert len(proof["inputs"]) == 2
    assert 0 <= proof["difference"] < 2e-5 < 0.01 < proof["scale"]
    assert (run.recipe.model.channels, run.recipe.model.hidden) == (SETTINGS.channels, SETTINGS.hidden)
    write_wav(tmp_path / "noisy" / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    assert main(["enhance", str(tmp_path / "noisy"), "--model", str(run.path), "-o", str(tmp_path / "clean"), "-q"]) == 0
    assert (tmp_path / "clean" / "a.wav").is_file()


def test_an_import_that_ends_early_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = write_hifigan(tmp_path / "x")
    monkeypatch.setattr("gansynth_cli.training.checkpoint.write_checkpoint", interrupt)
    assert main(["import", str(file), "-o", str(tmp_path / "runs" / "r"), "-q"]) == 130
    assert list((tmp_path / "runs").iterdir()) == []


def interrupt(*given: object) -> None:
    raise KeyboardInterrupt


def folded(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict after the weight normalisation was removed."""
    plain = {}
    for name, array in state.items():
        base, _, kind = name.rpartition(".")
        if kind == "weight_v":
            norms = np.sqrt(np.square(array).sum(axis=tuple(range(1, array.ndim)), keepdims=True))
            plain[f"{base}.weight"] = array * state[f"{base}.weight_g"] / norms
        elif kind == "bias":
            plain[name] = array
    return plain
