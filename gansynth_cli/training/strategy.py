"""The devices of a training: one device, several devices of one machine, or several machines named by TF_CONFIG."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from ..errors import RecipeError, UsageError
from . import slurm

try:
    import resource
except ImportError:  # Windows: the memory of a training on a CPU is not measured
    resource = None  # type: ignore[assignment]


class Devices:
    """A distribution strategy with the operations of the training loop.

    Attributes:
        strategy: The tf.distribute strategy; the default one on a single device, at no cost.
        replicas: Number of replicas over all machines.
        workers: Number of machines.
        gpu: Name of the first GPU; None: there is none.
        chief: Whether this process writes checkpoints, logs, previews and models.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        resolver: Any = self.strategy.cluster_resolver if isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy) else None
        cluster = resolver.cluster_spec().as_dict() if resolver else {}
        self.workers = len(cluster.get("chief", [])) + len(cluster.get("worker", [])) or 1
        self.chief = not cluster or resolver.task_type == "chief" or ("chief" not in cluster and resolver.task_id == 0)
        gpus = tf.config.list_logical_devices("GPU")
        self.gpu: str | None = gpus[0].name if gpus else None
        if not gpus:
            # TensorFlow's graph optimisers take as long as tracing (HiFi-GAN's step: 4 s of 15) and on a CPU gain nothing in a training
            # step that oneDNN's own pass does not: within 2 % on five recipes. On a GPU they choose the layout of the convolutions.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        self._total = tf.function(self._sum_over_replicas, autograph=False)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on any machine. All machines have to call this at the same point: they wait for each other."""
        return flag if self.workers == 1 else bool(self._total(tf.constant(float(flag))).numpy() > 0)

    def agree(self, number: int) -> bool:
        """Return whether all machines have the same number."""
        if self.workers == 1:
            return True
        mean = float(self._total(tf.constant(float(number))).numpy()) / self.replicas
        return not self.any(abs(mean - number) > 0.25)

    def batches(self, make: Callable[[int, int, int], tf.data.Dataset], batch_size: int) -> Iterator:
        """Return an endless iterator of batches for `strategy.run`.

        Args:
            make: (worker, workers, batch of one replica) -> the batches of that machine, endless.
            batch_size: Over all replicas.
        """
        per_replica = self.per_replica(batch_size)

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            made = make(context.input_pipeline_id, context.num_input_pipelines, per_replica)
            # With infinite cardinality, the distributed iterator does not synchronise the machines before every batch.
            return made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        if self.replicas == 1:
            single = dataset(tf.distribute.InputContext())
            if self.gpu:  # otherwise every step begins with a copy that it waits for
                single = single.apply(tf.data.experimental.prefetch_to_device(self.gpu, 2))
            return iter(single)
        return iter(self.strategy.distribute_datasets_from_function(dataset))

    def peak_memory(self) -> int | None:
        """Return the bytes that training has used at most: of the GPU with most, else of this process in main memory; None: not known."""
        if self.gpu:
            names = [gpu.name.removeprefix("/device:") for gpu in tf.config.list_logical_devices("GPU")]
            return max(int(tf.config.experimental.get_memory_info(name)["peak"]) for name in names)
        if resource is None:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, KiB on Linux

    def per_replica(self, batch_size: int) -> int:
        """Return the batch size of one replica.

        Raises:
            RecipeError: The batch cannot be divided evenly.
        """
        if batch_size % self.replicas:
            raise RecipeError(
                f"data.batch_size is {batch_size}, which {self.replicas} devices cannot share evenly.",
                hint=f"--set data.batch_size={self.replicas * max(1, batch_size // self.replicas)}",
            )
        return batch_size // self.replicas

    def _sum_over_replicas(self, value: tf.Tensor) -> tf.Tensor:
        def reduce(x):
            own = tf.identity(x)  # placed on the replica's device: the exchange refuses a tensor without a device
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self.strategy.experimental_local_results(self.strategy.run(reduce, args=(value,)))[0]


def find_devices() -> Devices:
    """Find the devices of this process: all machines of TF_CONFIG, or of a job step of SLURM, else all GPUs, else two or more logical CPU
    devices, else the one device.

    Call it before any other TensorFlow operation, as the machines can only be connected then. With several machines it waits for all
    of them.

    Raises:
        UsageError: TF_CONFIG, or SLURM's variables, are invalid for tf.distribute.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # otherwise one process takes the whole GPU
    if not os.environ.get("TF_CONFIG", "").strip() and (found := slurm.tf_config(os.environ)):
        os.environ["TF_CONFIG"] = json.dumps(found)
    machines = _machines()
    if machines > 1:
        return Devices(tf.distribute.MultiWorkerMirroredStrategy())
    logical = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(logical) > 1:
        return Devices(tf.distribute.MirroredStrategy([device.name for device in logical]))
    return Devices()


def _machines() -> int:
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return 1
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        machines = len(cluster.get("chief", [])) + len(cluster.get("worker", []))
        known = task["type"] in cluster and int(task["index"]) < len(cluster[task["type"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"TF_CONFIG is {text!r}: {type(error).__name__}: {error}; expected the JSON of tf.distribute.",
            hint='TF_CONFIG=\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}\'',
        ) from error
    if not known:
        raise UsageError(f"TF_CONFIG names the task {task['type']}:{task['index']}, which is not in its cluster.")
    return machines
