"""Two processes that train one model together end with the weights that one process ends with."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.errors import UsageError
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.strategy import _machines

from .training_fakes import fake_recipe, train_fake

ROOT = Path(__file__).parent.parent
RECIPE = {"training": {"steps": 6, "log_every": 2, "preview_every": 3, "checkpoint_every": 3}, "adversarial": {"r1": 0.1, "r1_every": 2}}

WORKER = """
import sys
from pathlib import Path
import numpy as np
from gansynth_cli.training.strategy import find_devices
devices = find_devices()
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.trainer import Trainer
from tests.test_multiworker import RECIPE
from tests.training_fakes import FakeFamily, FakeSource, fake_recipe
assert (devices.workers, devices.replicas) == (2, 2), (devices.workers, devices.replicas)
path, out = Path(sys.argv[1]), sys.argv[2]
recipe, source = fake_recipe(**RECIPE), FakeSource()
run = RunFolder.open_for_training(path, recipe, source.info) if devices.chief else None
assert devices.any(devices.chief) and not devices.any(False)
assert devices.agree(7) and not devices.agree(int(devices.chief))
run = run or RunFolder.load(path)
trainer = Trainer(recipe, source, run, devices, build=lambda: FakeFamily(recipe, run.info, dropout=0.0))
report = trainer.train()
assert report.step == 6
np.savez(out, **{n.replace("/", "|"): v.numpy() for n, v in trainer.learner.state().items()})
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start_workers(code: str, arguments: list[list[str]]) -> list[subprocess.Popen]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(len(arguments))]}
    processes = []
    for index, given in enumerate(arguments):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": task, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *given]
        processes.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
    return processes


@pytest.mark.multiworker
def test_two_workers_equal_one_process(tmp_path):
    processes = start_workers(WORKER, [[str(tmp_path / "together"), str(tmp_path / f"{i}.npz")] for i in range(2)])
    errors = [process.communicate(timeout=400)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(error[-3000:] for error in errors)
    _, trainer = train_fake(tmp_path / "alone", fake_recipe(**RECIPE), dropout=0.0)
    alone = {n.replace("/", "|"): v.numpy() for n, v in trainer.learner.state().items()}
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    assert set(first.files) == set(alone)
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        np.testing.assert_allclose(first[name], value, atol=1e-6, err_msg=name)
    assert RunFolder.load(tmp_path / "together").manifest["devices"] == {"replicas": 2, "machines": 2}


CLI = "import sys; from gansynth_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.multiworker
def test_two_workers_train_a_real_family_from_the_command_line_and_resume(tmp_path, tiny_dataset):
    from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint

    common = ["train", "--recipe", "wavegan/tiny", "--data", str(tiny_dataset), "--set", "training.preview_every=0", "--quiet"]
    # The deviation over the minibatch is taken on each device, so it alone depends on how many there are. Plain gradient descent:
    # Adam makes a step of full size out of a rounded zero.
    common += ["--set", "model.minibatch_stddev=false"]
    for key in ("generator", "critic"):
        common += ["--set", f"optimizers.{key}={{name='sgd', learning_rate=0.05, beta_1=0.0}}"]
    for steps in (4, 8):
        arguments = [*common, "--run", str(tmp_path / "run"), "--steps", str(steps)]
        processes = start_workers(CLI, [arguments, arguments])
        errors = [process.communicate(timeout=400)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], "\n\n".join(error[-3000:] for error in errors)
    alone = start_workers(CLI, [[*common, "--run", str(tmp_path / "alone"), "--steps", "8"]])[0]
    assert alone.communicate(timeout=400)
    assert alone.returncode == 0
    a, b = (read_checkpoint(Checkpoints(tmp_path / name / "checkpoints").path(8))[0] for name in ("run", "alone"))
    assert set(a) == set(b)
    for name, value in a.items():
        if name.startswith(("network/", "averaged/")):
            np.testing.assert_allclose(value, b[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}']
)
def test_a_wrong_tf_config_is_a_usage_error(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        _machines()


def test_one_machine_in_tf_config_is_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
    assert _machines() == 1
