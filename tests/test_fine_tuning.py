"""`train --init-from`: from imported runs and published files, with a new discriminator, and what is said of the differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.base import Phase
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints
from gansynth_cli.training.learner import held_back

from .conftest import write_wav
from .published_files import write_hifigan
from .vocoder_families import speech_like

SMALL = (
    *("--set", 'model.discriminators=["mpd"]', "--set", "model.mpd.channels=2", "--set", "model.mpd.periods=[2]"),
    *("--set", "data.batch_size=2", "--set", "training.preview_every=0", "--set", "training.checkpoint_every=1", "-q"),
)


@pytest.fixture(scope="module")
def quiet_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for take in range(4):
        write_wav(folder / f"{take}.wav", 0.1 * speech_like(6000, 8000, take)[:, 0])
    return folder


def weights_at(run: Path, step: int, network: str) -> list[np.ndarray]:
    with np.load(Checkpoints(run / "checkpoints").path(step), allow_pickle=False) as file:
        return [file[name] for name in sorted(file.files) if name.startswith(f"network/{network}/")]


@pytest.mark.slow
def test_a_published_file_is_tuned_on_with_a_discriminator_that_warms_up(tmp_path: Path, quiet_speech: Path, capsys: pytest.CaptureFixture):
    file, run = write_hifigan(tmp_path / "LJ_TINY"), tmp_path / "tuned"
    options = ["--init-from", str(file), "--data", str(quiet_speech), "--run", str(run), *SMALL]
    assert main(["train", *options, "--steps", "3", "--set", "adversarial.generator_start=2", "--set", "training.keep_checkpoints=9"]) == 0
    told = capsys.readouterr().err
    assert "critic" in told
    assert "waits for it until step 2" in told
    recipe = RunFolder.load(run).recipe
    assert (recipe.family, recipe.model.upsample, recipe.model.mel.high_hz) == ("hifigan", (8, 4), 3000.0)
    imported = tmp_path / "imported"
    assert main(["import", str(file), "-o", str(imported), "-q"]) == 0
    start = weights_at(imported, 1000, "generator")
    for before, after in zip(start, weights_at(run, 2, "generator"), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any((a != b).any() for a, b in zip(start, weights_at(run, 3, "generator"), strict=True))
    assert any((a != b).any() for a, b in zip(weights_at(run, 1, "critic"), weights_at(run, 2, "critic"), strict=True))


@pytest.mark.slow
def test_differences_that_are_heard_are_named(tmp_path: Path, quiet_speech: Path, capsys: pytest.CaptureFixture):
    write_hifigan(tmp_path / "x")
    assert (
        main(
            [
                "import",
                str(tmp_path / "x"),
                "-o",
                str(tmp_path / "first"),
                "-q",
                "--set",
                "data.peak_normalize=recording",
                "--set",
                "data.peak=0.95",
            ]
        )
        == 0
    )
    manifest = json.loads((tmp_path / "first" / "manifest.json").read_text())
    manifest["imported"]["learning_rates"] = {"generator": 1e-5}
    (tmp_path / "first" / "manifest.json").write_text(json.dumps(manifest))
    changed = [
        "--set",
        "adversarial.generator_start=0",
        "--set",
        "model.mel.log=log10",
        "--set",
        "model.mel.low_hz=80.0",
        "--set",
        "data.peak_normalize=false",
    ]
    options = ["--init-from", str(tmp_path / "first"), "--data", str(quiet_speech), "--run", str(tmp_path / "run"), *SMALL, *changed]
    capsys.readouterr()
    assert main(["train", *options, "--steps", "1"]) == 0
    told = capsys.readouterr().err
    assert "model.mel.log is 'log10' here; the weights were trained with 'ln'" in told
    assert "model.mel.low_hz is 80.0 here; the weights were trained with 0.0" in told
    assert "the learning rate of the generator begins at 0.0003; the weights were left at 1e-05" in told
    assert "adversarial.generator_start=1000" in told
    assert "--set data.peak_normalize=recording --set data.peak=0.95" in told


@pytest.mark.slow
def test_an_imported_run_goes_on_by_itself(tmp_path: Path, quiet_speech: Path):
    """Resumed in its own folder, without discriminators in its checkpoint."""
    settings = [option for option in SMALL if option != "-q"]
    file = write_hifigan(tmp_path / "x")
    assert main(["import", str(file), "-o", str(tmp_path / "run"), "-q", *settings]) == 0
    assert main(["train", "--run", str(tmp_path / "run"), "--data", str(quiet_speech), "--steps", "1001", "-q"]) == 0
    assert RunFolder.load(tmp_path / "run").manifest["step"] == 1001


def test_what_cannot_be_begun_with(tmp_path: Path, quiet_speech: Path, capsys: pytest.CaptureFixture):
    without = write_hifigan(tmp_path / "x", config=None)
    cases = [(tmp_path / "nothing", 2, "does not exist"), (tmp_path, 2, "is not a run folder"), (without, 2, f"gan-audio import {without}")]
    (tmp_path / "other").write_bytes(b"\x00" * 64)
    cases.append((tmp_path / "other", 1, str(tmp_path / "other")))
    for path, code, said in cases:
        assert main(["train", "--init-from", str(path), "--data", str(quiet_speech), "--run", str(tmp_path / "run")]) == code
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_generator_is_held_back():
    loss = lambda batch, draws: {}
    phases = (
        Phase("critic", ("critic",), loss),
        Phase("alone", ("generator",), loss, stop=5),
        Phase("generator", ("generator",), loss, start=5),
    )
    assert held_back(phases, 0) == phases
    assert [(p.name, p.start) for p in held_back(phases, 5)] == [("critic", 0), ("generator", 5)]
    assert [(p.name, p.start, p.stop) for p in held_back(phases, 3)][1] == ("alone", 3, 5)
    with pytest.raises(RecipeError, match="no discriminator"):
        held_back(phases[1:], 3)
