"""`--device`, the line that says where TensorFlow runs, and `info --devices`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gansynth_cli import devices
from gansynth_cli.cli.app import VERBS, WITHOUT_DEVICE, _LazyCommands, app
from gansynth_cli.errors import UsageError

from .helpers import run


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    yield
    devices.choose_device("")


def test_every_verb_that_computes_has_the_option():
    import typer

    root = typer.main.get_command(app)
    assert isinstance(root, _LazyCommands)

    def leaves(command):
        inner = getattr(command, "commands", None)
        return [command] if not inner else [leaf for one in inner.values() for leaf in leaves(one)]

    for verb in VERBS:
        for command in leaves(root.get_command(None, verb)):
            has = any("--device" in parameter.opts for parameter in command.params)
            assert has == (verb not in WITHOUT_DEVICE), f"{verb} {command.name}"


@pytest.mark.parametrize(
    ("before", "name", "after"), [("0,1", "cpu", "-1"), ("4,5", "gpu:1", "5"), ("4,5", "gpu", "4,5"), ("", "gpu:2", "2"), ("7", "", "7")]
)
def test_the_choice_reaches_tensorflow_before_it_starts(monkeypatch, before, name, after):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    devices.choose_device(name)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == after


def test_what_is_no_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    for name, said in (("tpu", "expected cpu, gpu"), ("gpu:x", "expected cpu, gpu"), ("gpu:2", "leaves 2 GPUs")):
        with pytest.raises(UsageError, match=said):
            devices.choose_device(name)


def test_the_line_says_where_it_runs_and_why(monkeypatch):
    assert devices.device_line().endswith("no GPU seen: CUDA_VISIBLE_DEVICES=-1 hides them")
    devices.choose_device("cpu")
    assert devices.device_line().endswith("cores)")
    devices.choose_device("gpu")
    with pytest.raises(UsageError, match="sees no GPU: CUDA_VISIBLE_DEVICES=-1"):
        devices.device_line()
    monkeypatch.setattr(devices, "gpus", lambda: [{"number": 0, "name": "NVIDIA H200", "compute_capability": "9.0"}])
    assert devices.device_line() == "running on GPU 0 (NVIDIA H200)"


def test_the_first_missing_library_is_named(monkeypatch):
    import tensorflow as tf

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(tf.test, "is_built_with_gpu_support", lambda: True)
    for missing in ("libcuda.so.1", "libcudnn.so.9"):
        monkeypatch.setattr(devices, "_loads", lambda library, missing=missing: library != missing)
        assert devices.why_no_gpu().startswith(missing)
    monkeypatch.setattr(tf.test, "is_built_with_gpu_support", lambda: False)
    assert "built for CPUs" in devices.why_no_gpu()


def test_info_devices(capsys):
    code, out, _ = run(capsys, "info", "--devices", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["gpus"] == []
    assert "CUDA_VISIBLE_DEVICES" in facts["no_gpu"]
    code, out, _ = run(capsys, "info", "--devices")
    assert "no GPU seen" in out
    assert run(capsys, "info", "--devices", "x")[0] == 2


def test_a_gpu_that_is_not_there_ends_a_verb_before_any_work(tmp_path):
    (tmp_path / "data").mkdir()
    command = [
        sys.executable,
        "-m",
        "gansynth_cli",
        "train",
        "--recipe",
        "wavegan/tiny",
        "--data",
        str(tmp_path / "data"),
        "--device",
        "gpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 2
    assert "--device is gpu, but TensorFlow sees no GPU" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_batches_are_prefetched_to_the_device_in_their_order():
    from gansynth_cli.training.strategy import Devices

    from .training_fakes import FakeSource, fake_recipe

    recipe = fake_recipe()
    make = lambda worker, workers, size: FakeSource().batches(recipe, seed=3, batch_size=size)
    plain, prefetched = Devices(), Devices()
    prefetched.gpu = "/CPU:0"  # stands for a GPU: the same operations, another device
    for _, a, b in zip(range(3), plain.batches(make, 4), prefetched.batches(make, 4), strict=False):
        assert a.keys() == b.keys()
        for name in a:
            assert (a[name].numpy() == b[name].numpy()).all()
