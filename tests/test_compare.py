"""`gan-audio compare`: settings that differ, figures, cost; and `train --seeds`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gansynth_cli.cli.train import _numbers
from gansynth_cli.errors import UsageError

from .helpers import run
from .run_fixtures import write_run


def line(step: int, value: float) -> str:
    return json.dumps({"step": step, "preview/silent": value, "generator/adversarial": 2 * value})


def test_runs_of_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture):
    write_run(tmp_path / "a", [line(10, 0.5), line(20, 0.25)])
    write_run(tmp_path / "b", [line(10, 0.75)], "model.dim=5", "training.steps=7")
    (tmp_path / "c").mkdir()
    code, out, err = run(capsys, "compare", tmp_path / "a", tmp_path / "b", tmp_path / "c", "--json", "--figures", "generator/*")
    found = json.loads(out)
    rows = {row["name"]: row["values"] for row in found["rows"]}
    assert code == 1  # c is no run; the others are shown
    assert "no recipe.toml" in err
    assert found["runs"] == ["a", "b"]
    assert [row["name"] for row in found["rows"] if row["group"] == "setting"] == ["model.dim"]  # a budget is a cost, not a setting
    assert rows["generator/adversarial"] == [0.5, 1.5]
    assert (rows["steps"], rows["minutes"], rows["seconds per step"]) == ([20, 20], [1.5, 1.5], [4.5, 4.5])
    code, out, _ = run(capsys, "compare", tmp_path / "a", tmp_path / "b")
    assert (code, "preview/silent" in out) == (0, True)
    assert run(capsys, "compare", tmp_path / "c")[0] == 2


def test_seeds_have_a_mean_and_a_deviation(tmp_path: Path, capsys: pytest.CaptureFixture):
    for seed, value in enumerate((0.1, 0.2, 0.6)):
        write_run(tmp_path / f"s{seed}", [line(10, value)], f"seed={seed}")
    found = json.loads(run(capsys, "compare", *(tmp_path / f"s{seed}" for seed in range(3)), "--json")[1])
    rows = {row["name"]: row["values"] for row in found["rows"]}
    assert found["runs"] == ["s0", "s1", "s2", "mean", "deviation"]
    assert rows["seed"] == [0, 1, 2, None, None]
    assert rows["preview/silent"][3:] == pytest.approx([0.3, 0.26458], abs=1e-4)


def test_the_list_of_seeds():
    assert _numbers("0, 1,22") == [0, 1, 22]
    for text in ("", "1,,2", "-1", "1,1", "a"):
        with pytest.raises(UsageError):
            _numbers(text)


@pytest.mark.slow
def test_train_several_seeds_with_a_report(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    words = ("train", "--recipe", "specgan/tiny", "--data", tiny_dataset, "--run", tmp_path / "run", "--seeds", "3,4", "--steps", 2)
    words += ("--report", "--set", "training.log_every=1", "--set", "training.preview_every=2", "--set", "training.preview_clips=2")
    code, _, err = run(capsys, *words)
    assert code == 0, err
    assert "mean" in err
    for seed in (3, 4):
        folder = tmp_path / f"run-seed{seed}"
        assert f"seed = {seed}" in (folder / "recipe.toml").read_text()
        page = (folder / "report.html").read_text()
        assert "<polyline" in page
        assert page.count("data:audio/flac") == 2
    assert run(capsys, *words, "--seed", 1)[0] == 2
