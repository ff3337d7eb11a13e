"""`gan-audio train` and `gan-audio info` from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli import train as train_cli
from gansynth_cli.data.audio import audio_file
from gansynth_cli.training.events import TrainReport

from .conftest import write_wav
from .helpers import run
from .training_fakes import fake_recipe, train_fake

ROOT = Path(__file__).parent.parent


def test_train_resume_and_info(tmp_path, tiny_dataset, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "train", "--recipe", "wavegan/tiny", "--data", tiny_dataset)
    assert code == 0
    assert out == ""
    assert "gan-audio generate runs/wavegan-tiny -n 64 -o clips/" in err
    assert (tmp_path / "runs/wavegan-tiny/model/generator.keras").is_file()

    code, out, err = run(capsys, "train", "--run", "runs/wavegan-tiny", "--data", tiny_dataset, "--steps", 6, "--json")
    assert code == 0
    assert "resuming runs/wavegan-tiny at step 4" in err
    report = json.loads(out)
    assert (report["step"], report["ended_by"]) == (6, "steps")

    code, out, _ = run(capsys, "info", "runs/wavegan-tiny", "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["kind"], facts["recipe"], facts["state"], facts["steps"]) == ("run", "wavegan/tiny", "finished", "6 of 6")
    code, out, _ = run(capsys, "info", "runs/wavegan-tiny/samples/00000006/00.wav", "--json")
    assert json.loads(out)["synthetic"] is True
    code, out, _ = run(capsys, "info", "runs/wavegan-tiny/model/generator.keras", "--json")
    assert json.loads(out)["provenance"]["step"] == 6
    code, out, _ = run(capsys, "info", tiny_dataset)
    assert code == 0
    assert "noise" in out

    code, _, err = run(capsys, "train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--set", "model.dim=8")
    assert code == 1
    assert "model.dim: the run has 4, requested is 8" in err


def test_dry_run_writes_nothing(tmp_path, tiny_dataset, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--dry-run", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["parameters"]["generator"] > 1000
    assert found["total_steps"] == 4
    assert found["total_seconds"] == pytest.approx(4 * found["seconds_per_step"])
    assert found["memory_bytes"] > 1e8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "x"], "--recipe is missing"),
        (["--recipe", "wavegan/tiny"], "--data is missing"),
        (["--recipe", "wavegan/tiny", "--data", "nowhere"], "nowhere does not exist"),
        (["--recipe", "wavegan/tinny", "--data", "."], "Did you mean 'wavegan/tiny'"),
        (["--recipe", "wavegan/tiny", "--data", ".", "--set", "model.dimm=3"], "Did you mean 'model.dim'"),
        (["--recipe", "wavegan/tiny", "--data", ".", "--steps", "-1"], "--steps is -1"),
        (["--recipe", "wavegan/tiny", "--data", ".", "--threads", "-2"], "--threads is -2"),
        (["--recipe", "wavegan/tiny", "--data", ".", "--init-from", "."], "--init-from . is not a run folder"),
        (["--run", "nowhere", "--data", "."], "nowhere holds no run to resume"),
    ],
)
def test_usage_errors(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "train", *arguments)
    assert code == 2
    assert said in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_prepare_names_its_recipe_and_a_finished_run_its_next_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        noise = np.random.default_rng(number).normal(0, 0.1, 2048)
        write_wav(tmp_path / "my hits" / f"{number}.wav", noise[:, None], 16000)
    recipe = ["--recipe", "wavegan/tiny", "--set", "data.augment.gain_db=3"]
    code, _, err = run(capsys, "prepare", "my hits", "-o", "my data", *recipe)
    assert code == 0
    assert "Next: gan-audio train --recipe wavegan/tiny --set data.augment.gain_db=3 --data 'my data'" in err
    train_cli._show(TrainReport(Path("runs/a"), 9, 60.0, "steps", {}, (5, 0.25), {}, 0), "generate {run} -n 4")
    said = capsys.readouterr().err
    assert "To train on, raise the limit: --steps 18" in said
    assert "Next: gan-audio generate runs/a " in said
    assert "With the best weights: gan-audio generate runs/a/model/generator-best.keras " in said


def test_recipe_errors_come_before_tensorflow():
    code = (
        "import sys; from gansynth_cli.cli.app import main\n"
        "code = main(['train', '--recipe', 'wavegan/tiny', '--data', '.', '--set', 'model.dimm=3'])\n"
        "sys.exit(99 if 'tensorflow' in sys.modules or 'keras' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode == 2


def test_a_data_set_of_another_rate_is_refused(tmp_path, tiny_dataset, capsys):
    code, _, err = run(
        capsys, "train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--run", tmp_path / "run", "--set", "data.sample_rate=16000"
    )
    assert code == 1
    assert "8000" in err
    assert "16000" in err
    assert "hint:" in err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_refused(tmp_path, tiny_dataset, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = run(capsys, "train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--run", tmp_path, "--restart")
    assert code == 1
    assert "notes.txt" in err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_info_of_a_marked_and_an_unmarked_recording(tmp_path, capsys):
    plain = write_wav(tmp_path / "plain.wav", [0.0, 0.5, -0.5])
    code, out, _ = run(capsys, "info", plain, "--json")
    facts = json.loads(out)
    assert (code, facts["frames"], facts["sample_rate"], facts["synthetic"]) == (0, 3, 8000, False)
    marked = tmp_path / "marked.flac"
    audio_file.write(marked, [[0.1], [0.2]], 8000, tag={"synthetic": True, "seed": 4})
    code, out, _ = run(capsys, "info", marked, "--json")
    facts = json.loads(out)
    assert facts["synthetic"] is True
    assert facts["mark"]["seed"] == 4


@pytest.mark.parametrize(("name", "code"), [("nothing", 2), ("empty", 2), ("text.txt", 2), ("fake.keras", 1), ("fake.wav", 1)])
def test_info_of_what_is_none_of_these(tmp_path, capsys, name, code):
    (tmp_path / "empty").mkdir()
    for file in ("text.txt", "fake.keras", "fake.wav"):
        (tmp_path / file).write_text("hello")
    got, out, err = run(capsys, "info", tmp_path / name)
    assert got == code
    assert out == ""
    assert name in err


def test_info_of_a_run_reads_best_and_figures(tmp_path, capsys):
    train_fake(tmp_path / "run", fake_recipe(training={"best_metric": "preview/frechet_logmel"}))
    code, out, _ = run(capsys, "info", tmp_path / "run")
    assert code == 0
    assert "generator-best.keras" in out
    assert "preview/frechet_logmel" in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_exits_130_and_says_how_to_go_on(tmp_path, tiny_dataset, number):
    code = "import sys; from gansynth_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", "--recipe", "wavegan/tiny", "--data", str(tiny_dataset), "--run", str(tmp_path / "run"), "--steps", "1000000"]
    arguments += ["--set", "training.checkpoint_every=1000000", "--set", "training.preview_every=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True, env=environment) as process:
        metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 240
        while not (metrics.is_file() and metrics.read_text().count("\n") > 2) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "run the same command again" in err
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*.npz"))) == 1
    assert (tmp_path / "run" / "model" / "generator.keras").is_file()
