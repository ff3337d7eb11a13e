"""The JSON Schema of recipes, completion in shells, and families of other packages."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gansynth_cli import family_schema, recipe_schema
from gansynth_cli.cli.recipe_json_schema import recipe_json_schema
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe import load_recipe, recipes_folder
from gansynth_cli.recipe_schema import FAMILIES, Training

from .helpers import run
from .run_fixtures import write_run


def test_the_schema_has_every_table_with_its_keys():
    schema = recipe_json_schema()
    of_family = {one["if"]["properties"]["family"]["const"]: one["then"]["properties"] for one in schema["allOf"]}
    assert set(of_family) == set(FAMILIES)
    assert set(of_family["wavegan"]["optimizers"]["properties"]) == set(FAMILIES["wavegan"].optimizers)

    def table(reference: dict) -> dict:
        return schema["definitions"][reference["$ref"].rpartition("/")[2]]

    for name, parts in of_family.items():
        model = table(parts["model"])
        assert set(model["properties"]) == {one.name for one in dataclasses.fields(FAMILIES[name].model)}
        assert (model["additionalProperties"], "required" in model) == (False, False)
    training = table(schema["properties"]["training"])
    assert (training["properties"]["steps"]["minimum"], training["properties"]["steps"]["default"]) == (0, Training().steps)
    assert "XLA" in training["properties"]["jit"]["description"]
    assert "prefixItems" not in json.dumps(schema)


@pytest.mark.slow
def test_taplo_accepts_shipped_recipes_and_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture):
    taplo = shutil.which("taplo") or shutil.which("taplo", path=str(Path(sys.executable).parent))
    if taplo is None:
        pytest.skip("taplo is not installed")
    schema = tmp_path / "recipe.schema.json"
    assert run(capsys, "recipes", "schema", "-o", schema)[0] == 0

    def check(*files: Path) -> subprocess.CompletedProcess:
        return subprocess.run([taplo, "check", "--schema", schema.as_uri(), *files], capture_output=True, text=True)

    assert check(*recipes_folder().glob("*/*.toml")).returncode == 0
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('family = "wavegan"\n[model]\ndimm = 3\n[training]\nsteps = -1\n')
    found = check(wrong)
    assert found.returncode == 1
    assert "dimm" in found.stderr
    assert "wrong.toml:5" in found.stderr


def test_completion_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture):
    script = run(capsys, "completion", "bash")[1]
    write_run(tmp_path / "runs" / "hits", [])
    assert run(capsys, "completion", "labels", tmp_path / "runs" / "hits")[1] == "kick\n"
    assert run(capsys, "completion", "labels", tmp_path)[:2] == (0, "")
    assert run(capsys, "completion", "tcsh")[0] == 2
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")

    def complete(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in ("gan-audio", *words))
        parts = [script, "gan-audio() { echo kick; }", f"COMP_WORDS=({line})", f"COMP_CWORD={len(words)}", "_gan_audio"]
        asked = "\n".join([*parts, 'printf "%s\\n" "${COMPREPLY[@]}"'])
        done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, cwd=tmp_path, check=True)
        return set(done.stdout.split())

    assert {"train", "translate"} <= complete("tra")
    assert complete("train", "--recipe", "specgan/t") == {"specgan/tiny"}
    assert complete("train", "--see") == {"--seed", "--seeds"}
    assert "runs/hits" in complete("generate", "runs/h")
    assert complete("generate", "runs/hits", "--label", "k") == {"kick"}
    assert "pairs" in complete("evaluate", "pa")
    assert "--reference" in complete("evaluate", "pairs", "--ref")
    assert complete("models", "show", "denoiser-") == {"denoiser-small"}
    assert all(f" -l {option} " in run(capsys, "completion", "fish")[1] for option in ("recipe", "seeds"))


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, family_schema.Plugin]:
    """A distribution with a family that works, one whose schema raises, one whose networks raise, and one that takes a known name."""
    files = {
        "fine/schema.py": "from gansynth_cli.families.wavegan.schema import SCHEMA",
        "fine/family.py": "from gansynth_cli.families.wavegan.family import FAMILY",
        "late/schema.py": "from gansynth_cli.families.wavegan.schema import SCHEMA",
        "late/family.py": "import torch_that_is_not_there",
        "broken/schema.py": "raise RuntimeError('wants another version')",
    }
    for name, text in files.items():
        path = tmp_path / "plugin_of_a_stranger" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = tmp_path / "stranger-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n")
    names = {"fine": "fine", "late": "late", "broken": "broken", "wavegan": "fine"}
    lines = [f"{name} = plugin_of_a_stranger.{package}" for name, package in names.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{family_schema.PLUGIN_GROUP}]", *lines]))
    monkeypatch.syspath_prepend(tmp_path)
    found = {name: one for name, one in family_schema.find_plugins(list(FAMILIES)).items() if one.distribution == "stranger 1.2"}
    for name, one in found.items():
        monkeypatch.setitem(recipe_schema.PLUGINS, name, one)
        if one.schema:
            monkeypatch.setitem(FAMILIES, name, one.schema)
    return found


def test_families_of_other_packages(plugins, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert {name: bool(one.problem) for name, one in plugins.items()} == {
        "fine": False,
        "late": False,
        "broken": True,
        "wavegan of stranger 1.2": True,
    }
    recipe = tmp_path / "mine.toml"
    recipe.write_text('family = "fine"\n')
    assert load_recipe(str(recipe)).family == "fine"
    assert family_class("fine") is family_class("wavegan")
    with pytest.raises(RecipeError, match=r"late of stranger 1.2 .*torch_that_is_not_there"):
        family_class("late")
    recipe.write_text('family = "broken"\n')
    with pytest.raises(RecipeError, match=r"broken of stranger 1.2 cannot be used: RuntimeError: wants another version"):
        load_recipe(str(recipe))
    code, out, _ = run(capsys, "info", "--plugins")
    assert code == 0
    assert "wants another version" in out
    assert "has a family of that name" in out
