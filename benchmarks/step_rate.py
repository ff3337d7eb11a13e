"""How fast every base recipe trains on this machine's device, at its own batch size: the table of docs/gpu.md.

    python benchmarks/step_rate.py                              every base recipe, ten seconds each
    python benchmarks/step_rate.py hifigan/base --set training.precision=mixed_bfloat16
    python benchmarks/step_rate.py hifigan/base --torch-python OTHER/bin/python --compile
    python benchmarks/step_rate.py hifigan/base --device cpu --batch 1 --threads 1 --torch-python OTHER/bin/python

Batches are noise and stay on the device, so the figures are those of the step alone; `trainer_speed.py` measures the loop around it.
With PyTorch, `hifigan/base` is compared with the same step there (`torch_hifigan.py`: the same layers, losses, batch and optimiser, equal
parameter counts): both take turns, and the ratio is the median over the turns. Processor seconds count all threads; on a CPU with other
load they tell more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class TorchStep:
    """`torch_hifigan.py` in a process of its own."""

    def __init__(self, python: str, options: dict[str, Any]):
        command = [python, str(Path(__file__).with_name("torch_hifigan.py")), json.dumps(options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.about = json.loads(self.process.stdout.readline())

    def run(self, steps: int) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(steps, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one recipe; imports TensorFlow, so call it in a fresh process."""
    from gansynth_cli.devices import choose_device, device_line

    choose_device(arguments.device)
    import tensorflow as tf

    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    from synthetic_batches import batch_for, info_for

    from gansynth_cli.families.registry import family_class
    from gansynth_cli.recipe import load_recipe
    from gansynth_cli.training.learner import Learner
    from gansynth_cli.training.strategy import find_devices

    changes = [*([f"data.batch_size={arguments.batch}"] if arguments.batch else []), *arguments.set]
    devices, recipe = find_devices(), load_recipe(name, changes)
    info = info_for(recipe)
    learner = Learner(recipe, lambda: family_class(recipe.family)(recipe, info, seed=recipe.seed), devices, recipe.training.steps or 1000)
    step = max(phase.start for phase in learner.phases) + 1
    batches = [batch_for(learner.family, index) for index in range(learner.batches_of(step))]
    begun = time.monotonic()
    learner.step(step, batches).values.numpy()
    found: dict[str, Any] = {
        "recipe": name,
        "device": device_line(),
        "batch": recipe.data.batch_size,
        "first_seconds": time.monotonic() - begun,
    }

    def run(steps: int) -> dict[str, float]:
        begun, processor = time.monotonic(), time.process_time()
        for _ in range(steps):
            result = learner.step(step, batches)
        result.values.numpy()
        return {"seconds": (time.monotonic() - begun) / steps, "processor_seconds": (time.process_time() - processor) / steps}

    steps = max(1, int(arguments.seconds / 6 / max(run(1)["seconds"], 1e-4)))
    torch = None
    if arguments.torch_python and name == "hifigan/base":
        optimizer = recipe.optimizers["generator"]
        options = {key: getattr(optimizer, key) for key in ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay")}
        options |= {"batch": recipe.data.batch_size, "samples": recipe.data.clip_samples, "threads": arguments.threads}
        options |= {"device": "cpu" if devices.gpu is None else "cuda", "compile": arguments.compile}
        torch = TorchStep(arguments.torch_python, options)
        if torch.about["parameters"] != learner.parameter_counts():
            raise SystemExit(f"PyTorch's networks differ: {torch.about['parameters']} and {learner.parameter_counts()}")
        found |= {"torch": torch.about["torch"], "torch_first_seconds": torch.about["first_seconds"]}
    turns = [(run(steps), torch.run(steps) if torch else None) for _ in range(6)]
    ours = {key: statistics.median(mine[key] for mine, _ in turns) for key in ("seconds", "processor_seconds")}
    found |= {"steps_per_second": 1.0 / ours["seconds"], "examples_per_second": len(batches) * recipe.data.batch_size / ours["seconds"]}
    found |= {"processor_seconds": ours["processor_seconds"], "peak_gib": devices.peak_memory() / 2**30}
    if torch:
        found["torch_steps_per_second"] = 1.0 / statistics.median(theirs["seconds"] for _, theirs in turns if theirs)
        for key in ("seconds", "processor_seconds"):
            found[f"to_torch_{key}"] = statistics.median(theirs[key] / mine[key] for mine, theirs in turns if theirs)
    return found


def line(found: dict[str, Any]) -> str:
    if "failed" in found:
        return f"{found['recipe']:20} {found['failed']}"
    text = f"{found['recipe']:20} {found['batch']:5} {found['first_seconds']:8.1f} {found['steps_per_second']:9.3f}"
    text += f" {found['examples_per_second']:10.1f} {found['peak_gib']:6.1f}"
    if "torch" in found:
        text += f"   {found['to_torch_seconds']:.2f} times PyTorch {found['torch']}"
        text += f" ({found['to_torch_processor_seconds']:.2f} in processor seconds)"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipes", nargs="*", help="recipes; all base recipes without")
    parser.add_argument("--device", default="", help="cpu, gpu or gpu:N")
    parser.add_argument("--batch", type=int, default=0, help="the recipe's without")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timed steps of each recipe")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--torch-python", help="interpreter of an environment with PyTorch: compares hifigan/base")
    parser.add_argument("--compile", action="store_true", help="torch.compile for PyTorch's networks")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.recipes[0], arguments)))
        return 0
    from graph_size import recipes

    print(f"{'recipe':20} {'batch':>5} {'first s':>8} {'steps/s':>9} {'examples/s':>10} {'GiB':>6}")
    figures = []
    for name in arguments.recipes or recipes():
        done = subprocess.run(
            [sys.executable, __file__, name, "--one", *_passed_on(sys.argv[1:], arguments.recipes)], capture_output=True, text=True
        )
        failed = (done.stderr.strip().splitlines() or ["no message"])[-1]
        figures.append({"recipe": name, "failed": failed} if done.returncode else json.loads(done.stdout.strip().splitlines()[-1]))
        print(line(figures[-1]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any("failed" in found for found in figures) else 0


def _passed_on(given: list[str], names: list[str]) -> list[str]:
    return [word for word in given if word not in names]


if __name__ == "__main__":
    sys.exit(main())
