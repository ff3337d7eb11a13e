"""Killed at any moment, the next start continues with the weights that an uninterrupted run has, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.errors import RunError, TrainingStopped
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints, DamagedCheckpoint, read_checkpoint, write_checkpoint

from .training_fakes import fake_recipe, make_trainer, train_fake

ROOT = Path(__file__).parent.parent
TRAINING = {"steps": 60, "log_every": 5, "preview_every": 20, "checkpoint_every": 4}
ADVERSARIAL = {"r1": 0.1, "r1_every": 3, "critic_start": 2}


def arrays_of(path: Path, step: int) -> dict[str, np.ndarray]:
    return read_checkpoint(Checkpoints(path / "checkpoints").path(step))[0]


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert list(a) == list(b)
    different = [name for name in a if not np.array_equal(a[name], b[name])]
    assert not different, f"{len(different)} of {len(a)} differ: {different[:5]}"


def recipe(**training):
    return fake_recipe(adversarial=ADVERSARIAL, training={**TRAINING, **training})


def start(code: str, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen, checkpoints: Path, count: int, more: float) -> None:
    """SIGKILL `more` seconds after the `count`-th checkpoint has been there."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        steps = Checkpoints(checkpoints).steps()
        if steps and steps[-1] >= count:
            time.sleep(more)
            break
        time.sleep(0.002)
    assert process.poll() is None, f"ended by itself with {process.returncode}"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    """With Dropout, moving averages, lazy R1 and a late critic; the kill falls at a random moment."""
    code = (
        "import sys; from tests.test_resume import *\n"
        "import gansynth_cli.training.trainer as t, time\n"
        "step = t.Learner.step\n"
        "t.Learner.step = lambda *a: (time.sleep(0.02), step(*a))[1]\n"  # slow enough to be hit in the middle
        "train_fake(Path(sys.argv[1]), recipe())"
    )
    train_fake(tmp_path / "whole", recipe())
    process = start(code, str(tmp_path / "killed"))
    kill_when(process, tmp_path / "killed" / "checkpoints", 8, random.random() * 0.3)
    reached = Checkpoints(tmp_path / "killed" / "checkpoints").steps()[-1]
    assert reached < 60
    events: list = []
    train_fake(tmp_path / "killed", recipe(), events=events)
    assert events[0].kind == "start"
    assert events[0].step == reached
    whole, killed = arrays_of(tmp_path / "whole", 60), arrays_of(tmp_path / "killed", 60)
    assert any("seed_generator" in name for name in whole)
    assert_same(whole, killed)
    steps = [line["step"] for line in RunFolder.load(tmp_path / "killed").read_metrics()]
    assert steps == sorted(steps)
    assert [s for s in steps if s % 20 == 0] == [20, 20, 40, 40, 60, 60]  # losses and preview, each once


def test_resuming_in_parts_equals_one_run(tmp_path):
    training = {"steps": 12, "preview_every": 0}
    train_fake(tmp_path / "whole", recipe(**training))
    for steps in (5, 12):
        train_fake(tmp_path / "parts", recipe(**{**training, "steps": steps}))
    assert_same(arrays_of(tmp_path / "whole", 12), arrays_of(tmp_path / "parts", 12))


def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path):
    training = {"steps": 12, "preview_every": 0}
    train_fake(tmp_path / "run", recipe(**training))
    expected = arrays_of(tmp_path / "run", 12)
    newest = Checkpoints(tmp_path / "run" / "checkpoints").path(12)
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    events: list = []
    train_fake(tmp_path / "run", recipe(**training), events=events)
    assert [e.text for e in events if e.kind == "warning" and "step-00000012.npz is damaged" in e.text]
    assert next(e for e in events if e.kind == "start").step == 8
    assert_same(expected, arrays_of(tmp_path / "run", 12))


def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(tmp_path):
    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0))
    for file in (tmp_path / "run" / "checkpoints").glob("*.npz"):
        file.write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="None of the 1 checkpoints") as failed:
        train_fake(tmp_path / "run", recipe(steps=8, preview_every=0))
    assert "--restart" in failed.value.hint


def test_an_altered_byte_is_noticed(tmp_path):
    path = tmp_path / "step-00000001.npz"
    write_checkpoint(path, {"a/b c": np.arange(1000, dtype=np.float32), "scalar": np.int64(7)}, {"step": 1})
    arrays, facts = read_checkpoint(path)
    np.testing.assert_array_equal(arrays["a/b c"], np.arange(1000, dtype=np.float32))
    assert arrays["scalar"].dtype == np.int64
    assert arrays["scalar"].shape == ()
    assert facts == {"step": 1}
    content = bytearray(path.read_bytes())
    content[1500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match="CRC"):
        read_checkpoint(path)


def test_rotation_keeps_the_newest_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        path = checkpoints.save(step, {"x": np.array(step)}, {})
        if step == 2:
            checkpoints.mark_best(path)
    assert checkpoints.steps() == [3, 4]
    assert read_checkpoint(checkpoints.best)[0]["x"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.npz", "step-00000003.npz", "step-00000004.npz"]


@pytest.mark.slow
def test_restart_begins_anew(tmp_path):
    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0))
    first = arrays_of(tmp_path / "run", 4)
    events: list = []
    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0), restart=True, events=events)
    assert events[0].step == 0
    assert_same(first, arrays_of(tmp_path / "run", 4))


def test_fine_tuning_begins_with_the_other_runs_weights(tmp_path):
    train_fake(tmp_path / "first", recipe(steps=4, preview_every=0))
    old = arrays_of(tmp_path / "first", 4)
    events: list = []
    tuned = make_trainer(tmp_path / "second", fake_recipe(seed=9, training={"steps": 1, "preview_every": 0}), events=events)
    tuned._restore(tmp_path / "first")
    tuned.run.close()
    new = {name: v.numpy() for name, v in tuned.learner.state().items()}
    taken = [n for n in new if n.startswith(("network/", "averaged/")) and "seed_generator" not in n]
    assert taken
    assert all(np.array_equal(old[n], new[n]) for n in taken)
    assert tuned.step == 0
    assert int(tuned.learner.optimizers["critic"].iterations.numpy()) == 0
    assert "weights taken" in events[-1].text
    third = make_trainer(tmp_path / "third", recipe())
    with pytest.raises(RunError, match="does not exist"):
        third._restore(tmp_path / "nothing")
    third.run.close()


def test_fine_tuning_says_what_did_not_match(tmp_path):
    from gansynth_cli.training.initialize import initialize_from

    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0))
    path = Checkpoints(tmp_path / "run" / "checkpoints").path(4)
    arrays, facts = read_checkpoint(path)
    arrays = {n: (a[:-1] if n.startswith("network/critic") and a.ndim == 2 else a) for n, a in arrays.items()}
    write_checkpoint(path, arrays, facts)
    trainer = make_trainer(tmp_path / "other", recipe())
    warnings: list[str] = []
    assert "weights taken" in initialize_from(trainer.learner, tmp_path / "run", warnings.append)
    assert "critic/0000 kernel" in warnings[0]
    assert "generator" not in warnings[0]
    write_checkpoint(path, {"x": np.zeros(1)}, facts)
    with pytest.raises(RunError, match=r"Nothing in .* fits"):
        initialize_from(trainer.learner, tmp_path / "run", warnings.append)
    trainer.run.close()


def test_a_changed_optimizer_starts_anew_and_says_so(tmp_path):
    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0))
    events: list = []
    changed = fake_recipe(
        adversarial=ADVERSARIAL, training={**TRAINING, "steps": 8, "preview_every": 0}, optimizers={"critic": {"name": "sgd"}}
    )
    report, _ = train_fake(tmp_path / "run", changed, events=events)
    assert report.step == 8
    warnings = [e.text for e in events if e.kind == "warning"]
    assert ["optimizer/critic" in text for text in warnings] == [True, False]
    assert "changed from step 4 on: optimizers.critic.name 'adam' -> 'sgd'" in warnings[1]


def test_after_nan_the_next_start_goes_on_from_the_last_good_checkpoint(tmp_path):
    spoil = lambda family, loss, batch: loss * float("nan")
    train_fake(tmp_path / "run", recipe(steps=4, preview_every=0))
    with pytest.raises(TrainingStopped, match="step 4"):
        train_fake(tmp_path / "run", recipe(steps=12, preview_every=0), spoil=spoil)
    report, _ = train_fake(tmp_path / "run", recipe(steps=8, preview_every=0))
    assert report.step == 8
    assert all(np.isfinite(a).all() for a in arrays_of(tmp_path / "run", 8).values())


WAVEGAN = "import sys; from gansynth_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wavegan", "specgan"])
def test_a_real_family_killed_and_resumed_equals_uninterrupted(tmp_path, tiny_dataset, family):
    from gansynth_cli.cli.app import main

    common = ["train", "--recipe", f"{family}/tiny", "--data", str(tiny_dataset), "--steps", "40", "--set", "training.checkpoint_every=3"]
    common += ["--set", "training.keep_checkpoints=2", "--set", "training.preview_every=0", "--quiet"]
    assert main([*common, "--run", str(tmp_path / "whole")]) == 0
    arguments = [*common, "--run", str(tmp_path / "killed")]
    kill_when(start(WAVEGAN, *arguments), tmp_path / "killed" / "checkpoints", 3, random.random() * 0.2)
    assert main(arguments) == 0
    assert_same(arrays_of(tmp_path / "whole", 40), arrays_of(tmp_path / "killed", 40))
