"""The machines of a training from the variables that SLURM's `srun` sets for each of its processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError

PORT = "GAN_AUDIO_PORT"  # environment variable: port of the first process of each machine
SWITCH = "GAN_AUDIO_CLUSTER"  # environment variable: "none" trains each process by itself
_PORTS = (15_000, 10_000)  # first, number: jobs that share a machine get others
_MAX_HOSTS = 100_000


def tf_config(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return TF_CONFIG of this process as a dictionary; None outside a job step of several processes.

    A batch script itself and an interactive shell are no such step: the machines of their allocation are used by what `srun` starts.

    Args:
        environment: `os.environ`.

    Raises:
        UsageError: The variables contradict each other, or processes are distributed among the machines in another order than
            --distribution=block.
    """
    count = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if environment.get(SWITCH, "").lower() == "none" or count in ("", "0", "1"):
        return None
    try:
        hosts = expand(environment["SLURM_STEP_NODELIST"])
        counts = _counts(environment.get("SLURM_STEP_TASKS_PER_NODE") or environment["SLURM_TASKS_PER_NODE"])
        rank, job = int(environment["SLURM_PROCID"]), int(environment.get("SLURM_JOB_ID", "0"))
        first = int(environment.get(PORT) or _PORTS[0] + job % _PORTS[1])
    except KeyError as error:
        raise UsageError(f"SLURM did not set {error.args[0]}, though it started {count} processes.", hint=_HINT) from error
    except ValueError as error:
        raise UsageError(f"SLURM's variables cannot be read: {error}.", hint=_HINT) from error
    if len(hosts) != len(counts) or sum(counts) != int(count) or not 0 <= rank < sum(counts):
        raise UsageError(
            f"SLURM's variables contradict each other: {len(hosts)} machines with {counts} processes, {count} in all, this one is {rank}.",
            hint=_HINT,
        )
    places = [(host, local) for host, tasks in zip(hosts, counts, strict=True) for local in range(tasks)]
    _check_place(environment, places[rank], hosts)
    workers = [f"{host}:{first + local}" for host, local in places]
    return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}


_HINT = "start it with srun, set TF_CONFIG yourself, or GAN_AUDIO_CLUSTER=none to train in each process by itself"


def expand(nodes: str) -> list[str]:
    """Return the names of a list of machines as SLURM writes it: `gpu[01-03,7],login` is gpu01, gpu02, gpu03, gpu7, login.

    Raises:
        ValueError: It has another form.
    """
    found: list[str] = []
    words = re.findall(r"(?:[^,\[\]]|\[[^\]]+\])+", nodes)
    for word in words:
        names = [""]
        for text, ranges in re.findall(r"([^\[\]]+)|\[([^\]]+)\]", word):
            names = [name + end for name in names for end in ([text] if text else _numbers(ranges))]
        found += names
        if len(found) > _MAX_HOSTS:
            raise ValueError(f"{nodes!r} names more than {_MAX_HOSTS} machines")
    if not found or ",".join(words) != nodes:
        raise ValueError(f"{nodes!r} is no list of machines")
    return found


def _numbers(ranges: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        if not low.isdigit() or not (high or low).isdigit() or int(high or low) - int(low) > _MAX_HOSTS:
            raise ValueError(f"{part!r} is no range of machines")
        numbers += [f"{number:0{len(low)}d}" for number in range(int(low), int(high or low) + 1)]
    return numbers


def _counts(text: str) -> list[int]:
    """Read processes per machine: `2(x3),1` is 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not found:
            raise ValueError(f"{text!r} is no list of processes per machine")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _check_place(environment: Mapping[str, str], place: tuple[str, int], hosts: list[str]) -> None:
    """Raise UsageError where this process runs elsewhere than its number says: it could not take its address."""
    node, local = environment.get("SLURM_NODEID"), environment.get("SLURM_LOCALID")
    if node is None or local is None or (int(node) < len(hosts) and (hosts[int(node)], int(local)) == place):
        return
    raise UsageError(
        f"Process {environment['SLURM_PROCID']} runs as number {local} of machine {node}, but by its number belongs to {place[0]}.",
        hint="srun --distribution=block",
    )
