"""`gan-audio info`: bundled models with their cards, and lists of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.models.model_file import bundled_models
from gansynth_cli.recipe import load_recipe, recipe_to_toml


def info(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["info", *map(str, arguments)])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def make_run(folder: Path, recipe: str, *changes: str, **manifest) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(DatasetInfo("tones", 8000, 1, 2048, [], {}).to_json())
    (folder / "recipe.toml").write_text(recipe_to_toml(load_recipe(recipe, changes)))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_a_bundled_model_shows_its_facts_and_its_card(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = info(capsys, name)
    assert code == 0
    assert {"denoiser": "48000", "drums": "44100"}.get(name, "16000") in out
    assert bundled_models()[name].with_suffix(".md").read_text().rstrip() in out
    facts = json.loads(info(capsys, name, "--json")[1])
    assert facts["kind"] == "model"
    assert facts["bytes"] == bundled_models()[name].stat().st_size
    assert facts["card"].startswith("# The ")
    (tmp_path / name).mkdir()  # an existing path comes before a bundled name
    code, _, err = info(capsys, name)
    assert code == 2
    assert "neither a run folder" in err


def test_without_arguments_it_lists_the_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = info(capsys)
    assert (code, out) == (0, "")
    assert "no runs below runs/" in err
    make_run(tmp_path / "runs" / "b", "wavegan/tiny", "seed=7", step=40, state="finished")
    make_run(
        tmp_path / "runs" / "sweep" / "a", "specgan/tiny", "training.best_metric='preview/x'", step=9, state="running", best=[6, 0.123456]
    )
    (tmp_path / "runs" / "cut").mkdir()
    (tmp_path / "runs" / "cut" / "recipe.toml").write_text("family = 3")
    code, out, _ = info(capsys, "--json")
    runs = {run["run"]: run for run in json.loads(out)["runs"]}
    assert code == 0
    assert list(runs) == ["runs/b", "runs/cut", "runs/sweep/a"]
    assert runs["runs/b"] == {"run": "runs/b", "recipe": "wavegan/tiny", "seed": 7, "step": 40, "state": "finished", "best": None}
    assert runs["runs/sweep/a"]["best"] == "preview/x 0.1235 at step 6"
    assert runs["runs/cut"]["state"] == "damaged"
    code, out, _ = info(capsys)
    assert code == 0
    assert all(text in out for text in ("runs/b", "wavegan/tiny", "preview/x 0.1235", "damaged"))
    assert json.loads(info(capsys, "runs/sweep", "--json")[1])["runs"][0]["run"] == "runs/sweep/a"  # any folder of runs


def test_a_model_that_is_none_names_the_bundled_ones(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = info(capsys, "denoisr")
    assert (code, out) == (2, "")
    assert f"({', '.join(bundled_models())})" in err
