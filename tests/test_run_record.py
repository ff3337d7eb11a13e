"""What a run's record says: which settings, data and parent its steps had; and what is said before and after training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tensorflow as tf

from gansynth_cli.errors import TrainingStopped
from gansynth_cli.recipe import load_recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.advice import length_warning, made_for_gpus
from gansynth_cli.training.initialize import record_parent
from gansynth_cli.training.model_card import model_card
from gansynth_cli.training.optimizers import learning_rate

from .helpers import run
from .run_fixtures import write_run
from .training_fakes import FakeSource, fake_recipe, make_trainer, train_fake

QUIET = {"preview_every": 0, "checkpoint_every": 100, "log_every": 1}


def short(steps: int, **tables) -> object:
    return fake_recipe(training={**QUIET, "steps": steps}, **tables)


def test_a_finished_run_keeps_its_settings_and_says_so(tmp_path):
    train_fake(tmp_path / "run", short(2))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.name in ("recipe.toml", "README.md", "dataset_info.json")}
    events: list = []
    report, trainer = train_fake(tmp_path / "run", short(2, adversarial={"loss": "hinge"}, data={"batch_size": 4}), events=events)
    assert (report.step, report.steps_taken) == (2, 0)
    (warning,) = [e.text for e in events if e.kind == "warning"]
    assert "no step was taken" in warning
    assert "data.batch_size 8 -> 4" in warning
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}
    assert "changes" not in trainer.run.manifest

    events.clear()
    train_fake(tmp_path / "run", short(3, adversarial={"loss": "hinge"}), events=events)
    assert any("changed from step 2 on: adversarial.loss 'nonsaturating' -> 'hinge'" in e.text for e in events)
    loaded = RunFolder.load(tmp_path / "run")
    assert loaded.recipe.adversarial.loss == "hinge"
    assert loaded.manifest["changes"][0]["step"] == 2
    assert "changed from step 2 on | `adversarial.loss` 'nonsaturating' to 'hinge'" in loaded.card_file.read_text()


def test_another_data_set_and_its_consent_are_recorded(tmp_path):
    first, second = FakeSource(), FakeSource()
    first.info = replace(first.info, name="one", fingerprint="1" * 64, consent="Anna agreed")
    second.info = replace(second.info, name="two", fingerprint="2" * 64, consent="Bruno agreed")
    train_fake(tmp_path / "run", short(1), source=first)
    events: list = []
    _, trainer = train_fake(tmp_path / "run", short(2), source=second, events=events)
    assert any("another data set from step 1 on: two (2222222222222222) in place of one" in e.text for e in events)
    loaded = RunFolder.load(tmp_path / "run")
    assert [(d["name"], d["from_step"]) for d in loaded.data_sets()] == [("one", 0), ("two", 1)]
    assert loaded.info.consent == "Anna agreed\nBruno agreed"
    assert trainer.learner.family.info.consent == loaded.info.consent, "what a model file carries"
    card = loaded.card_file.read_text()
    assert "data set from step 1 on | two" in card
    assert "Anna agreed Bruno agreed" in card
    events.clear()
    train_fake(tmp_path / "run", short(3), source=second, events=events)
    assert not [e for e in events if e.kind == "warning"], "the same data set as before"


def test_a_tuned_run_keeps_its_parent_and_its_consent(tmp_path):
    source = FakeSource()
    source.info = replace(source.info, name="voices", consent="Anna agreed")
    train_fake(tmp_path / "parent", short(1), source=source)
    trainer = make_trainer(tmp_path / "child", short(1))
    record_parent(trainer.run, tmp_path / "parent")
    assert trainer.run.info.consent == "Anna agreed"
    trainer.train(tmp_path / "parent")
    trainer.run.close()
    loaded = RunFolder.load(tmp_path / "child")
    parent = loaded.manifest["parent"]
    assert (parent["name"], parent["step"], parent["data_sets"][0]["name"]) == ("parent", 1, "voices")
    assert loaded.info.consent == "Anna agreed"
    assert "fine-tuned from | parent" in loaded.card_file.read_text()


def test_minutes_count_from_the_first_step_and_no_step_leaves_no_model(tmp_path, monkeypatch):
    recipe = fake_recipe(training={**QUIET, "steps": 0, "minutes": 1e-4})
    events: list = []
    report, _ = train_fake(tmp_path / "run", recipe, events=events)
    assert report.step >= 1
    assert report.ended_by == "minutes"
    kinds = [e.kind for e in events]
    assert kinds.index("compiling") < kinds.index("compiled") < kinds.index("progress")

    trainer = make_trainer(tmp_path / "stopped", short(5))
    trainer._stop.set()
    report = trainer.train()
    trainer.run.close()
    assert (report.step, report.interrupted) == (0, True)
    assert not trainer.run.model_dir.exists()
    assert not trainer.checkpoints.steps()


def test_the_command_line_names_runs_after_seeds_and_keeps_them(tmp_path, tiny_dataset, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = ("train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--steps", 1, "--set", "training.preview_every=0")
    assert run(capsys, *base, "--seed", 2)[0] == 0
    code, _, err = run(capsys, *base, "--run", "runs/wavegan-tiny-seed2")
    assert code == 0
    assert "raise the limit: --steps 2" in err
    assert RunFolder.load("runs/wavegan-tiny-seed2").recipe.seed == 2
    code, _, err = run(capsys, *base, "--run", "runs/wavegan-tiny-seed2", "--seed", 3)
    assert code == 1
    assert "run of seed 2" in err
    assert not (tmp_path / "runs" / "wavegan-tiny").exists()
    code, out, _ = run(capsys, "info", "runs/wavegan-tiny-seed2", "--json")
    assert "from step 0 on" in json.loads(out)["data_set"][0]


def test_out_of_memory_names_the_largest_batch_that_fits(tmp_path):
    def spoil(family, loss, batch):
        size = batch["audio"].shape[0]
        if size is None or size > 3:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return loss

    events: list = []
    trainer = make_trainer(tmp_path / "run", short(4), spoil=spoil, events=events)
    with pytest.raises(TrainingStopped, match="a batch of 2 fits") as stopped:
        trainer.train()
    trainer.run.close()
    assert stopped.value.hint == "--set data.batch_size=2"
    assert [e.text for e in events if e.kind == "note"] == ["out of memory; trying a batch of 4", "out of memory; trying a batch of 2"]


def test_figures_of_speed_and_memory(tmp_path):
    _, trainer = train_fake(tmp_path / "run", short(8))
    last = trainer.run.read_metrics()[-1]
    # Two critic repeats of a batch of 8 in every step.
    assert last["examples_per_second"] == pytest.approx(16 * last["steps_per_second"], rel=1e-3)
    assert 0.05 < last["peak_memory_gib"] < 64
    assert 0 <= last["input_wait"] <= 1


def test_long_trainings_on_a_cpu_are_warned_of():
    base, small = load_recipe("wavegan/base"), load_recipe("wavegan/small")
    text = length_warning(base, 100 * 86400.0, 43.2, gpu=False)
    assert "about 100 days" in text
    assert "wavegan/small is made for CPUs" in text
    assert length_warning(base, 100 * 86400.0, 43.2, gpu=True) == ""
    assert length_warning(base, 3600.0, 1.0, gpu=False) == ""
    assert "20 hours" in length_warning(small, 20 * 3600.0, 1.0, gpu=False)
    assert "wavegan/small" in made_for_gpus(base)
    assert made_for_gpus(small) == ""


def test_a_training_that_ends_within_its_warm_up_has_a_rate():
    optimizer = replace(fake_recipe().optimizers["generator"], schedule="cosine", warmup_steps=100, learning_rate=1.0)
    assert learning_rate(optimizer, 1, 2) == pytest.approx(0.02)


def test_a_start_that_is_refused_leaves_no_run(tmp_path, tiny_dataset, capsys):
    command = ("train", "--recipe", "wavegan/tiny", "--data", tiny_dataset, "--run", tmp_path / "new" / "run")
    assert run(capsys, *command, "--set", "model.start_samples=7")[0] == 2
    assert not (tmp_path / "new" / "run").exists()


def test_the_card_begins_with_the_metadata_of_the_hub(tmp_path):
    yaml = pytest.importorskip("yaml", reason="the extra import is not installed")
    run_folder = RunFolder.load(write_run(tmp_path / 'a "run": 1', []))
    card = model_card(run_folder, {"generator": 10}, {"preview/silent": 0.25, "generator/adversarial": 1.0}, None)
    _, head, body = card.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert (facts["library_name"], facts["license"], facts["license_name"]) == ("keras", "other", "not stated")
    assert "specgan" in facts["tags"]
    (entry,) = facts["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == 'a "run": 1'
    assert result["metrics"] == [{"type": "preview/silent", "name": "preview/silent", "value": 0.25}]
    assert body.startswith("# a ")
