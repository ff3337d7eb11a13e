"""Size of the training step of every base recipe, on any machine: operations of its graph, operations that run in one step, and the
processor seconds of tracing and of the first call.

    python benchmarks/graph_size.py                            every base recipe, batch of 1
    python benchmarks/graph_size.py hifigan/base denoiser/base --batch 4

Both times grow with the number of operations, whatever the device, and on a GPU most operations that run are kernels to launch: these
figures guard the step on machines without a card. Seconds are those of all threads of the process, so that other load of the machine
does not count, and are also given as multiples of `import tensorflow` in the same process, so that two machines can be compared.
Recordings are noise and statistics are made up: no data set is read. A recipe whose networks grow or whose discriminator starts late is
measured with all phases running (`--first` takes the first step instead).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SLOWEST = 900.0  # seconds after which a recipe is given up


def recipes() -> list[str]:
    from gansynth_cli.recipe_schema import FAMILIES

    return [f"{family}/base" for family in FAMILIES]


def measure(name: str, changes: list[str], steps: int, first: bool, kinds: int) -> dict[str, Any]:
    """Trace, run and count one recipe's step; imports TensorFlow, so call it in a fresh process."""
    begun = time.process_time()
    import tensorflow as tf

    imported = time.process_time() - begun
    from synthetic_batches import batch_for, info_for

    from gansynth_cli.families.registry import family_class
    from gansynth_cli.recipe import load_recipe
    from gansynth_cli.training.learner import Learner
    from gansynth_cli.training.strategy import find_devices

    devices, recipe = find_devices(), load_recipe(name, changes)
    info = info_for(recipe)
    begun = time.process_time()
    learner = Learner(recipe, lambda: family_class(recipe.family)(recipe, info, seed=recipe.seed), devices, recipe.training.steps or 1000)
    built = time.process_time() - begun
    step = 0 if first else max(phase.start for phase in learner.phases) + 1
    batches = [batch_for(learner.family, index) for index in range(learner.batches_of(step))]
    begun = time.process_time()
    concrete = learner.trace(step, batches)
    traced = time.process_time() - begun
    nodes = Counter(operations(concrete.graph))
    begun = time.process_time()
    learner.step(step, batches).values.numpy()
    called = time.process_time() - begun
    begun = time.process_time()
    for _ in range(steps):
        learner.step(step, batches).values.numpy()
    later = (time.process_time() - begun) / max(steps, 1)
    run = executed(lambda: learner.step(step, batches).values.numpy())
    return {
        "recipe": name,
        "tensorflow": tf.__version__,
        "batch": recipe.data.batch_size,
        "phases": [phase.name for phase in learner.active_phases(step)],
        "operations": sum(nodes.values()),
        "executed": sum(run.values()),
        "import_seconds": imported,
        "build_seconds": built,
        "trace_seconds": traced,
        "first_call_seconds": called,
        "step_seconds": later,
        "trace_and_first_call_imports": (traced + called) / imported,
        "most": dict(nodes.most_common(kinds)),
        "most_executed": dict(run.most_common(kinds)),
    }


def operations(graph) -> list[str]:
    """Return the kind of every operation of a graph and of the functions that it calls, each function once."""
    definition = graph.as_graph_def()
    return [node.op for node in definition.node] + [node.op for function in definition.library.function for node in function.node_def]


def executed(run) -> Counter[str]:
    """Return how often each kind of operation ran, from the profiler's trace of the host: after TensorFlow's optimisers, every turn of
    a loop counted."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        space = XSpace.FromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    counts: Counter[str] = Counter()
    for plane in (plane for plane in space.planes if plane.name == "/host:CPU"):
        kinds = {key: data.display_name for key, data in plane.event_metadata.items()}  # named for operations alone
        for line in plane.lines:
            counts.update(kinds[event.metadata_id] for event in line.events if kinds[event.metadata_id])
    return counts


def child(name: str, arguments: argparse.Namespace, changes: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, name, "--one", f"--steps={arguments.steps}", f"--kinds={arguments.kinds}"]
    command += [f"--set={change}" for change in changes] + (["--first"] if arguments.first else [])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLOWEST, check=False)
    except subprocess.TimeoutExpired:
        return {"recipe": name, "failed": f"longer than {SLOWEST:.0f} s"}
    if done.returncode:
        return {"recipe": name, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def line(found: dict[str, Any]) -> str:
    if "failed" in found:
        return f"{found['recipe']:22} {found['failed']}"
    imports = [found[f"{key}_seconds"] / found["import_seconds"] for key in ("trace", "first_call")]
    times = f"{found['trace_seconds']:8.1f} {found['first_call_seconds']:8.1f} {imports[0]:8.1f} {imports[1]:8.1f}"
    return f"{found['recipe']:22} {found['operations']:10,} {found['executed']:10,} {times} {found['step_seconds']:8.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipes", nargs="*", help="recipes; all base recipes without")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2, help="steps timed after the first call")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--first", action="store_true", help="measure the first step instead of one with every phase")
    parser.add_argument("--kinds", type=int, default=0, help="also list the N most frequent kinds of operation")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.recipes[0], arguments.set, arguments.steps, arguments.first, arguments.kinds)))
        return 0
    print(f"{'recipe':22} {'operations':>10} {'executed':>10} {'trace s':>8} {'first s':>8} {'/import':>8} {'/import':>8} {'step s':>8}")
    figures = []
    for name in arguments.recipes or recipes():
        found = child(name, arguments, [f"data.batch_size={arguments.batch}", *arguments.set])
        figures.append(found)
        print(line(found), flush=True)
        for key in ("most", "most_executed"):
            if found.get(key):
                print(f"    {key}: " + ", ".join(f"{kind} {count}" for kind, count in found[key].items()))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any("failed" in found for found in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
