"""The machines of a training from SLURM's variables, as a cluster sets them."""

from __future__ import annotations

import pytest

from gansynth_cli.errors import UsageError
from gansynth_cli.training.slurm import expand, tf_config

STEP = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "2",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("n1", ["n1"]),
        ("n1,n2", ["n1", "n2"]),
        ("gpu[01-03,7],login", ["gpu01", "gpu02", "gpu03", "gpu7", "login"]),
        ("rack[1-2]node[09-10].local", ["rack1node09.local", "rack1node10.local", "rack2node09.local", "rack2node10.local"]),
        ("a-b-[99-101]", ["a-b-99", "a-b-100", "a-b-101"]),
    ],
)
def test_lists_of_machines(nodes: str, expected: list[str]):
    assert expand(nodes) == expected


@pytest.mark.parametrize("nodes", ["", "n[1-", "n[a-b]", "n[]", "n,,m", "n[1-999999999]"])
def test_wrong_lists(nodes: str):
    with pytest.raises(ValueError):  # noqa: PT011
        expand(nodes)


def test_a_step_of_four_processes():
    config = tf_config(STEP)
    assert config == {
        "cluster": {"worker": ["gpu07:19567", "gpu07:19568", "gpu08:19567", "gpu08:19568"]},
        "task": {"type": "worker", "index": 2},
    }
    assert tf_config(STEP | {"GAN_AUDIO_PORT": "2222"})["cluster"]["worker"][3] == "gpu08:2223"
    uneven = {"SLURM_STEP_NODELIST": "a,b,c", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_PROCID": "4"}
    assert tf_config(STEP | uneven | {"SLURM_NODEID": "2"})["cluster"]["worker"][4].startswith("c:")


def test_tensorflow_reads_the_same_machines():
    """TensorFlow's own resolver, of the variables that it knows, has the same hosts in the same order."""
    tf = pytest.importorskip("tensorflow")
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver
    with pytest.MonkeyPatch.context() as environment:
        for name, value in STEP.items():
            environment.setenv(name, value)
        theirs = resolver(jobs={"worker": 4}, gpus_per_node=2, gpus_per_task=1, auto_set_gpu=False).cluster_spec().as_dict()["worker"]
    assert [address.partition(":")[0] for address in theirs] == [a.partition(":")[0] for a in tf_config(STEP)["cluster"]["worker"]]


def test_one_process_is_alone():
    assert tf_config({}) is None
    assert tf_config(STEP | {"SLURM_STEP_NUM_TASKS": "1"}) is None
    batch_script = {name: value for name, value in STEP.items() if "STEP" not in name} | {
        "SLURM_NTASKS": "4",
        "SLURM_NODELIST": "gpu[07-08]",
    }
    assert tf_config(batch_script) is None
    assert tf_config(STEP | {"GAN_AUDIO_CLUSTER": "none"}) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SLURM_STEP_NODELIST": "gpu[07-09]"}, "contradict"),
        ({"SLURM_PROCID": "4"}, "contradict"),
        ({"SLURM_STEP_TASKS_PER_NODE": "two"}, "no list of processes"),
        ({"SLURM_STEP_NODELIST": "gpu[07"}, "no list of machines"),
        ({"SLURM_NODEID": "0", "SLURM_LOCALID": "1"}, "by its number belongs to gpu08"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, str], reason: str):
    with pytest.raises(UsageError, match=reason):
        tf_config(STEP | changes)
    with pytest.raises(UsageError, match="did not set SLURM_PROCID"):
        tf_config({name: value for name, value in STEP.items() if name != "SLURM_PROCID"})
