"""Run folders without a model, for the tests of what only reads them."""

from __future__ import annotations

import json
from pathlib import Path

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.recipe import load_recipe, recipe_to_toml

from .conftest import tone, write_wav


def write_run(folder: Path, lines: list[str], *settings: str) -> Path:
    """A run of specgan/tiny with `settings` and without a model, as training leaves it; `lines` of metrics.jsonl."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe_to_toml(load_recipe("specgan/tiny", settings)))
    (folder / "dataset_info.json").write_text(DatasetInfo("hits", 8000, 1, 2048, ["kick"], {}).to_json())
    (folder / "manifest.json").write_text(json.dumps({"command": ["gan-audio", "train", "--set", "a b=<1>"], "step": 20, "seconds": 90}))
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    for step in (10, 20):
        write_wav(folder / "samples" / f"{step:08d}" / "00.wav", tone("low", step))
        write_wav(folder / "samples" / f"{step:08d}" / "00-noisy.wav", tone("noise", step))
    return folder
