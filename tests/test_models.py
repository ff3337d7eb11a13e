"""`gan-audio models`: the list, the cards, and averages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.families.deepfilternet.networks import TINY, build_network
from gansynth_cli.models.model_file import bundled_models, find_model


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        model = build_network(TINY, seed=seed, stored_as="float16")
        for variable in model.variables:
            variable.assign(np.random.default_rng(seed).standard_normal(variable.shape))
        model.provenance = {"family": "deepfilternet", "recipe": f"deepfilternet/{seed}", "step": seed}
        model.save(folder / f"{seed}.keras")
    return folder / "1.keras", folder / "2.keras"


def test_the_list_and_every_card(capsys):
    assert main(["models", "list", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert set(listed) == {*bundled_models(), "speaker-encoder"}
    assert listed["denoiser"]["sample_rate"] == 48000
    assert all(model["sample_rate"] and model["use"].startswith("gan-audio ") for model in listed.values())
    for name in listed:
        assert main(["models", "show", name]) == 0
        assert "icence" in capsys.readouterr().out
    assert main(["models", "show", "drum"]) == 2
    assert "denoiser" in capsys.readouterr().err


def test_an_average_has_the_mean_of_every_weight(two, tmp_path: Path):
    assert main(["models", "average", str(two[0]), f"{two[1]}:3", "-o", str(tmp_path / "mean.keras")]) == 0
    first, second, mean = (find_model(path) for path in (*two, tmp_path / "mean.keras"))
    stored = mean.weights()
    assert set(stored) == set(first.weights())
    for name, array in stored.items():
        expected = 0.25 * first.weights()[name].astype(np.float32) + 0.75 * second.weights()[name].astype(np.float32)
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-6)
    parts = mean.provenance["average"]
    assert [(part["share"], part["recipe"], part["sha256"]) for part in parts] == [
        (0.25, "deepfilternet/1", first.sha256),
        (0.75, "deepfilternet/2", second.sha256),
    ]
    assert mean.load().provenance == mean.provenance


def test_averages_that_cannot_be(two, tmp_path: Path, capsys):
    out = tmp_path / "out.keras"

    def refused(*arguments: str) -> str:
        assert main(["models", "average", *map(str, arguments)]) in (1, 2)
        assert not out.exists()
        return capsys.readouterr().err

    assert "another settings" in refused(two[0], "denoiser", "-o", out)
    assert "a Vocoder" in refused(two[0], "vocoder", "-o", out)
    assert "two or more" in refused(two[0], "-o", out)
    assert "two or more" in refused(f"{two[0]}:1", f"{two[1]}:-1", "-o", out)
    assert "share 'much'" in refused(two[0], f"{two[1]}:much", "-o", out)
    assert "does not exist" in refused(two[0], tmp_path / "none.keras", "-o", out)
    assert ".keras" in refused(*two, "-o", tmp_path / "out.h5")
    assert "exists" in (main(["models", "average", *map(str, two), "-o", str(two[0])]), capsys.readouterr().err)[1]
