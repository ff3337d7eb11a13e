"""How fast the trainer is, beside the same step in a bare `tf.function` loop with its data in memory, and in PyTorch.

    python benchmarks/trainer_speed.py                                   WaveGAN d 16, 16384 samples, batch 16
    python benchmarks/trainer_speed.py --torch-python OTHER/bin/python   PyTorch from another environment
    python benchmarks/trainer_speed.py --device gpu --dim 64 --batch 64 --torch-compile   on a GPU, beside torch.compile

The step is WaveGAN's with the non-saturating loss, one critic update, lazy R1 every 16 steps and the moving average. The bare
loop has that step written out: a tape, `optimizer.apply`, an average, on constant batches. The trainer reads a prepared data set
through the input pipeline, and its time holds all it does but previews and checkpoints: batches, schedules, checks for numbers
that are none, `metrics.jsonl` and TensorBoard. All take turns in rounds of 16 steps on the same machine, so that its noise
meets all alike; the figures are medians of the ratios of neighbouring rounds. The input wait is measured before, without turns.

Targets: trainer / bare at least 0.95; input wait under 5 %. PyTorch is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import soundfile
import tensorflow as tf

from gansynth_cli.cli.app import main as gan_audio
from gansynth_cli.devices import choose_device, device_line
from gansynth_cli.families.base import Draws
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe import load_recipe
from gansynth_cli.recipe_schema import Recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.beginning import open_data
from gansynth_cli.training.events import Event
from gansynth_cli.training.learner import draw_seed
from gansynth_cli.training.strategy import find_devices
from gansynth_cli.training.trainer import Trainer

ROUND = 16  # steps; R1 falls on one of them
TARGET, MOST_WAIT = 0.95, 0.05


def recipe_for(arguments: argparse.Namespace, steps: int) -> Recipe:
    overrides = {
        "model.dim": arguments.dim,
        "data.clip_samples": arguments.samples,
        "data.batch_size": arguments.batch,
        "adversarial.loss": "nonsaturating",
        "adversarial.critic_repeats": 1,
        "adversarial.r1": 0.05,
        "adversarial.r1_every": ROUND,
        "training.ema": 0.999,
        "training.steps": steps,
        "training.log_every": ROUND,
        "training.preview_every": 0,
        "training.checkpoint_every": 10**9,
    }
    return load_recipe("wavegan/base", [f"{key}={value}" for key, value in overrides.items()])


def make_data(folder: Path, recipe: Recipe) -> Path:
    rng = np.random.default_rng(0)
    (folder / "wav").mkdir()
    for index in range(256):
        soundfile.write(folder / "wav" / f"{index:03d}.wav", rng.uniform(-0.9, 0.9, recipe.data.clip_samples), recipe.data.sample_rate)
    size = [f"--{key.replace('_', '-')}={getattr(recipe.data, key)}" for key in ("sample_rate", "clip_samples")]
    command = [
        "prepare",
        str(folder / "wav"),
        "-o",
        str(folder / "data"),
        *size,
        "--validation",
        "0",
        "--test",
        "0",
        "--quiet",
        "--jobs",
        "1",
    ]
    if gan_audio(command):
        raise SystemExit("prepare failed")
    return folder / "data"


class BareLoop:
    """The step as a research script writes it."""

    def __init__(self, recipe: Recipe, info):
        family = family_class("wavegan")(recipe, info, seed=recipe.seed)
        average = family_class("wavegan")(recipe, info, seed=recipe.seed).networks["generator"]
        settings = recipe.optimizers["generator"]
        adam = lambda: keras.optimizers.Adam(settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon)
        phases = {phase.name: (phase, adam_of) for phase, adam_of in zip(family.phases(), self._adams(family.phases(), adam), strict=True)}
        generator = family.networks["generator"]
        rng = np.random.default_rng(0)
        shape = (recipe.data.batch_size, recipe.data.clip_samples, recipe.data.channels)
        self.batches = [{"audio": tf.constant(rng.uniform(-0.9, 0.9, shape), tf.float32)} for _ in range(4)]
        self.count = 0

        def update(name, batch, step):
            phase, optimizer = phases[name]
            variables = family.networks[phase.networks[0]].trainable_variables
            draws = Draws(draw_seed(recipe.seed, step, name, tf.constant(0, tf.int64)), tf.constant(0))
            with tf.GradientTape() as tape:
                loss = tf.add_n(list(phase.losses(batch, draws).values()))
            gradients = tape.gradient(loss, [v.value for v in variables])
            kept = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
            optimizer.apply(*zip(*kept, strict=True))
            return loss

        def step_of(names):
            @tf.function
            def step(batch, number):
                losses = [update(name, batch, number) for name in names]
                for old, new in zip(average.weights, generator.weights, strict=True):
                    old.assign(0.999 * old + 0.001 * new)
                return losses

            return step

        self.plain, self.lazy = step_of(["critic", "generator"]), step_of(["critic", "critic_r1", "generator"])

    @staticmethod
    def _adams(phases, adam):
        made: dict[str, keras.optimizers.Optimizer] = {}
        for phase in phases:
            yield made.setdefault(phase.optimizer, adam())

    def run(self, steps: int) -> float:
        begun = time.monotonic()
        for _ in range(steps):
            step = self.lazy if self.count % ROUND == 0 else self.plain
            losses = step(self.batches[self.count % 4], tf.constant(self.count, tf.int64))
            self.count += 1
        losses[0].numpy()
        return time.monotonic() - begun


class TorchLoop:
    """`torch_step.py` in a process of its own."""

    def __init__(self, python: str, recipe: Recipe, threads: int, device: str, compile_: bool):
        optimizer, model = recipe.optimizers["generator"], recipe.model
        options = {
            **{"dim": model.dim, "kernel": model.kernel, "latent": model.latent_dim, "start": model.start_samples},
            **{"samples": recipe.data.clip_samples, "batch": recipe.data.batch_size, "phase_shuffle": model.phase_shuffle},
            **{"device": device, "compile": compile_},
            **{"r1": recipe.adversarial.r1, "r1_every": ROUND, "ema": 0.999, "threads": threads},
            **{key: getattr(optimizer, key) for key in ("learning_rate", "beta_1", "beta_2", "epsilon")},
        }
        command = [python, str(Path(__file__).with_name("torch_step.py")), json.dumps(options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.process.stdout.readline())

    def run(self, steps: int) -> float:
        print(steps, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def find_torch(python: str | None) -> str | None:
    for candidate in [python] if python else [sys.executable]:
        if subprocess.run([candidate, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--samples", type=int, default=16384)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-rounds", type=int, default=2, help="they are many times as long")
    parser.add_argument("--alone", type=int, default=3, help="rounds without turns, for the input wait")
    parser.add_argument("--torch-python", help="interpreter of an environment with PyTorch")
    parser.add_argument("--torch-compile", action="store_true", help="PyTorch's networks through torch.compile")
    parser.add_argument("--device", default="", help="cpu, gpu or gpu:N")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    choose_device(arguments.device)
    devices = find_devices()
    threads = len(os.sched_getaffinity(0))
    rounds = 1 + arguments.alone + arguments.rounds
    recipe = recipe_for(arguments, ROUND * rounds)
    with tempfile.TemporaryDirectory() as folder:
        source, info = open_data(recipe, make_data(Path(folder), recipe))
        run = RunFolder.open_for_training(Path(folder) / "run", recipe, info)
        bare = BareLoop(recipe, info)
        python = find_torch(arguments.torch_python)
        torch = TorchLoop(python, recipe, threads, "cuda" if devices.gpu else "cpu", arguments.torch_compile) if python else None
        bare.run(2)  # builds both kinds of step
        if torch:
            torch.run(1)
        bare.count = 0
        times: dict[str, list[float]] = {"trainer": [], "bare": [], "torch": []}
        waits: list[float] = []
        seen, resumed = 0, 0.0

        def turn(event: Event) -> None:
            nonlocal seen, resumed
            if event.kind != "progress":
                return
            now, seen = time.monotonic(), seen + 1
            if 1 < seen <= 1 + arguments.alone:
                waits.append(event.values["input_wait"])
            elif seen > 1 + arguments.alone:
                times["trainer"].append(now - resumed)
            if 1 + arguments.alone <= seen < rounds:
                times["bare"].append(bare.run(ROUND))
                if torch and len(times["torch"]) < arguments.torch_rounds:
                    times["torch"].append(torch.run(ROUND))
            resumed = time.monotonic()

        trainer = Trainer(recipe, source, run, devices, on_event=turn)
        trainer.train()
        run.close()
        parameters = trainer.learner.parameter_counts()
    if torch and torch.about["parameters"] != parameters:
        raise SystemExit(f"PyTorch's networks differ: {torch.about['parameters']} and {parameters}")

    def figures(name: str) -> dict[str, float]:
        return {"steps_per_second": ROUND / statistics.median(times[name]), "fastest": ROUND / min(times[name])}

    found = {
        "what": f"WaveGAN d {arguments.dim}, {arguments.samples} samples, batch {arguments.batch}, {threads} CPU threads, {device_line()}",
        "load_before": os.getloadavg()[1],
        **{name: figures(name) for name in times if times[name]},
        "trainer_to_bare": statistics.median(b / t for b, t in zip(times["bare"], times["trainer"], strict=True)),
        "trainer_to_bare_fastest": min(times["bare"]) / min(times["trainer"]),
        "input_wait": statistics.median(waits),
    }
    if torch:
        found["torch_version"] = torch.about["torch"]
        found["trainer_to_torch"] = statistics.median(p / t for p, t in zip(times["torch"], times["trainer"], strict=False))
    report(found)
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["trainer_to_bare"] >= TARGET and found["input_wait"] < MOST_WAIT else 1


def report(found: dict) -> None:
    print(found["what"])
    for name in ("trainer", "bare", "torch"):
        if name in found:
            print(f"  {name:8} {found[name]['steps_per_second']:8.3f} steps/s (fastest round {found[name]['fastest']:.3f})")
    print(f"  trainer / bare   {found['trainer_to_bare']:.3f}   (fastest rounds {found['trainer_to_bare_fastest']:.3f}; target {TARGET})")
    print(f"  input wait       {found['input_wait']:.1%}   (target under {MOST_WAIT:.0%})")
    if "trainer_to_torch" in found:
        print(f"  trainer / torch  {found['trainer_to_torch']:.2f}   (PyTorch {found['torch_version']})")
    else:
        print("  PyTorch is not installed here: left out (--torch-python names another environment)")


if __name__ == "__main__":
    sys.exit(main())
