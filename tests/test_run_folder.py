"""The run folder: layout, lock, resume, restart, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.errors import RunError
from gansynth_cli.recipe import recipe_from_tree
from gansynth_cli.run_folder import RunFolder, replacing

ROOT = Path(__file__).parent.parent
INFO = DatasetInfo("tones", 8000, 1, 256, ["a", "b"], {"train": SplitInfo(4, 1.0)}, sources=[{"path": "/home/me/private.wav"}])


def recipe(**tables):
    return recipe_from_tree({"family": "wavegan", "name": "wavegan/tiny", **tables})


def opened(path, **arguments) -> RunFolder:
    asked = arguments.pop("recipe", recipe())
    return RunFolder.open_for_training(path, asked, arguments.pop("info", INFO), **arguments)


def test_a_new_run_and_the_same_again(tmp_path):
    run = opened(tmp_path / "deep" / "run", command=["gan-audio", "train"])
    assert not run.resumed
    run.close()
    loaded = RunFolder.load(run.path)
    assert loaded.recipe == recipe()
    assert loaded.manifest["state"] == "running"
    assert loaded.info.sources == []
    assert "private" not in run.dataset_info_file.read_text()
    again = opened(run.path)
    assert again.resumed
    assert again.changes == {}
    assert len(again.manifest["starts"]) == 2
    assert again.manifest["command"] == ["gan-audio", "train"]
    again.close()


def test_the_runs_own_statistics_count_when_it_is_resumed(tmp_path):
    opened(tmp_path, info=replace(INFO, statistics={"mean": [1.0]})).close()
    run = opened(tmp_path, info=replace(INFO, statistics={"mean": [2.0]}))
    assert run.info.statistics == {"mean": [1.0]}
    run.close()


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"model": {"dim": 8}}, "model.dim"),
        ({"data": {"clip_samples": 32768}}, "data.clip_samples"),
        ({"data": {"channels": 2}}, "data.channels"),
    ],
)
def test_another_architecture_is_refused(tmp_path, tables, key):
    opened(tmp_path).close()
    before = (tmp_path / "recipe.toml").read_bytes()
    with pytest.raises(RunError, match=key) as refused:
        opened(tmp_path, recipe=recipe(**tables))
    assert "--restart" in refused.value.hint
    assert (tmp_path / "recipe.toml").read_bytes() == before
    run = opened(tmp_path, recipe=recipe(**tables), restart=True)  # the refusal let the lock go
    assert not run.resumed
    run.close()


def test_another_family_is_refused(tmp_path):
    opened(tmp_path).close()
    with pytest.raises(RunError, match="family: the run has 'wavegan', requested is 'specgan'"):
        opened(tmp_path, recipe=recipe_from_tree({"family": "specgan"}))


def test_budgets_and_rates_may_change(tmp_path):
    opened(tmp_path).close()
    run = opened(tmp_path, recipe=recipe(training={"steps": 7}, optimizers={"critic": {"learning_rate": 0.5}}))
    assert run.resumed
    assert set(run.changes) == {"training.steps", "optimizers.critic.learning_rate"}
    assert RunFolder.load(tmp_path).recipe.training.steps == 200_000, "as long as no step is taken with the new settings"
    run.record_training(3)
    run.close()
    again = RunFolder.load(tmp_path)
    assert again.recipe.training.steps == 7
    assert again.manifest["changes"] == [
        {"step": 3, "changed": {"training.steps": [200_000, 7], "optimizers.critic.learning_rate": [1e-4, 0.5]}}
    ]


def test_another_seed_is_refused(tmp_path):
    opened(tmp_path / "run").close()
    with pytest.raises(RunError, match="run of seed 0; requested is seed 2") as refused:
        opened(tmp_path / "run", recipe=recipe(seed=2))
    assert "run-seed2" in refused.value.hint


def test_other_labels_are_refused_where_they_matter(tmp_path):
    other = replace(INFO, labels=["a", "c"])
    conditional = recipe(model={"conditioning": "projection"})
    opened(tmp_path / "conditional", recipe=conditional).close()
    with pytest.raises(RunError, match=r"labels a, b.*has a, c"):
        opened(tmp_path / "conditional", recipe=conditional, info=other)
    opened(tmp_path / "plain").close()
    opened(tmp_path / "plain", info=other).close()


def test_restart_deletes_what_the_run_left_and_nothing_else(tmp_path):
    run = opened(tmp_path)
    for file in (run.metrics_file, run.checkpoints_dir / "step-00000001.npz", run.samples_dir(1) / "00.wav", run.model_file("generator")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    run.close()
    (tmp_path / "notes.txt").write_text("mine")
    run = opened(tmp_path, restart=True)
    assert not run.resumed
    assert not run.metrics_file.exists()
    assert not run.checkpoints_dir.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    run.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path, restart):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(RunError, match=r"thesis\.tex.*not a run folder"):
        opened(tmp_path, restart=restart)
    assert (tmp_path / "thesis.tex").read_text() == "dear"
    assert not (tmp_path / "run.lock").exists()


def test_a_start_that_was_cut_is_begun_again(tmp_path):
    """Killed, or out of disk space, before recipe.toml is there."""
    opened(tmp_path).close()
    (tmp_path / "recipe.toml").unlink()
    left = tmp_path / ".0123456789ab.partial.toml"
    left.write_text("fam")
    run = opened(tmp_path, info=replace(INFO, name="other"))
    assert not run.resumed
    assert not left.exists()
    assert len(run.manifest["starts"]) == 1, "nothing of the start that was cut"
    run.close()
    assert RunFolder.load(tmp_path).info.name == "other"


def test_a_data_set_is_not_taken_for_a_start_that_was_cut(tmp_path):
    (tmp_path / "dataset_info.json").write_text(INFO.to_json())
    with pytest.raises(RunError, match=r"dataset_info\.json.*not a run folder"):
        opened(tmp_path)
    assert (tmp_path / "dataset_info.json").read_text() == INFO.to_json()


def test_a_file_in_its_place_and_a_missing_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be used as a run folder"):
        opened(tmp_path / "file")
    with pytest.raises(RunError, match="does not exist"):
        RunFolder.load(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"no recipe\.toml"):
        RunFolder.load(tmp_path)
    opened(tmp_path / "run").close()
    (tmp_path / "run" / "dataset_info.json").unlink()
    with pytest.raises(RunError, match=r"damaged: dataset_info\.json is missing"):
        RunFolder.load(tmp_path / "run")


def test_two_processes_on_one_run_are_refused_until_the_first_dies(tmp_path):
    code = (
        "import sys; from tests.test_run_folder import opened; from pathlib import Path\n"
        "run = opened(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(RunError, match=f"in use: process {holder.pid}"):
            opened(tmp_path)
        RunFolder.load(tmp_path)  # reading is free
        holder.kill()
    run = opened(tmp_path)
    assert run.resumed
    run.close()


def test_metrics_are_rewound_to_the_resumed_step(tmp_path):
    run = opened(tmp_path)
    for step in (1, 2, 3):
        run.append_metrics(step, {"loss": float(step), "bad": float("nan")})
        (run.samples_dir(step)).mkdir(parents=True)
    with run.metrics_file.open("a") as file:
        file.write('{"step": 4, "lo')  # a crash in the middle of a line
    run.rewind(2)
    assert run.read_metrics() == [{"step": 1, "loss": 1.0, "bad": None}, {"step": 2, "loss": 2.0, "bad": None}]
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == ["00000001", "00000002"]
    run.append_metrics(3, {"loss": 3.5})
    assert run.read_metrics()[-1] == {"step": 3, "loss": 3.5}
    run.close()


def test_replacing_leaves_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail(error: Exception) -> None:
        with replacing(target) as file:
            file.write_text("ne")
            raise error

    with pytest.raises(ValueError, match="half"):
        fail(ValueError("half way"))
    with pytest.raises(RunError, match="cannot be written: No space left"):
        fail(OSError(28, "No space left on device"))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
