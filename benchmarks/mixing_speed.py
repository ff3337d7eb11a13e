"""What mixing costs: CPU seconds for a second of mixed audio, whole pipeline (read, decode, mix, batch), one core.

    python benchmarks/mixing_speed.py                  # speech-like tones and noises made on the spot
    python benchmarks/mixing_speed.py DATA --json      # your own data set with noise splits; JSON on stdout, the table on stderr

One line for the recipe's defaults, then one for each part that is left out, so that its share can be read off; the same clips
without mixing are the last line. Each figure is the median over the rounds. The first line also says what it takes to open the stream:
rooms, graph and first batch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import soundfile

from gansynth_cli.cli import console

TARGET = 0.003  # CPU seconds a second
VARIANTS = {
    "all of it": {},
    "no rooms": {"room": 0.0},
    "all in rooms": {"room": 1.0},
    "no change of rate": {"rate_change": 0.0, "noise_rate_change": 0.0},
    "no joined clips": {"join": 0.0},
    "one noise at a time": {"most_noises": 1},
    "synthetic noise alone": {"recorded": 0.0, "babble": 0.0},
    "none of these": {"room": 0.0, "rate_change": 0.0, "noise_rate_change": 0.0, "join": 0.0, "most_noises": 1},
    "no mixing": {"enabled": False},
}


def make_recordings(folder: Path, rate: int, seconds: float) -> None:
    """48 recordings of each role."""
    generator = np.random.default_rng(0)
    time_axis = np.arange(round(rate * seconds)) / rate
    for index in range(48):
        bursts = np.sin(2 * np.pi * 2 * time_axis + index) > 0
        speech = 0.3 * bursts * sum(np.sin(2 * np.pi * (100 + 3 * index) * k * time_axis) / k for k in range(1, 20))
        for role, audio in (("speech", speech), ("noise", generator.uniform(-0.3, 0.3, len(time_axis)))):
            (folder / role).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / role / f"{index}.wav", audio, rate, subtype="PCM_16")


def measure(data: Path, rate: int, samples: int, batch: int, batches: int, rounds: int, changes: dict) -> dict[str, float]:
    """CPU seconds a second of audio, and those until the first batch is there."""
    from gansynth_cli.data.pipeline import open_source
    from gansynth_cli.recipe import recipe_from_tree

    table = {"enabled": True} | changes
    recipe = recipe_from_tree(
        {"family": "wavegan", "data": {"sample_rate": rate, "clip_samples": samples, "batch_size": batch, "mixing": table}}
    )
    began = time.process_time()
    stream: Iterator = iter(open_source(data, recipe).batches(recipe, seed=0))
    next(stream)
    opening = time.process_time() - began
    figures = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(batches):
            next(stream)
        figures.append((time.process_time() - began) / (batches * batch * samples / rate))
    return {"cpu_seconds_per_second": statistics.median(figures), "opening_cpu_seconds": opening}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="a data set with noise splits; without it one is made")
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--clip-samples", type=int, default=48000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=12, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console.configure(json_output=arguments.json)
    console.start_tensorflow()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core: what the threads spin on others is not the mixer's
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(arguments.data) if arguments.data else Path(temporary, "data")
        if not arguments.data:
            from gansynth_cli.data.prepare.clip_cutting import CutOptions
            from gansynth_cli.data.prepare.job import prepare
            from gansynth_cli.data.prepare.report import PrepareOptions
            from gansynth_cli.data.prepare.work import SplitOptions

            make_recordings(Path(temporary), arguments.sample_rate, arguments.clip_samples / arguments.sample_rate)
            cut = CutOptions(arguments.sample_rate, 1, arguments.clip_samples)
            prepare(
                [Path(temporary, "speech")], data, PrepareOptions(cut, splits=SplitOptions("auto", 0, 0)), noise=[Path(temporary, "noise")]
            )
        rows = {}
        for name, changes in VARIANTS.items():
            sizes = (arguments.sample_rate, arguments.clip_samples, arguments.batch, arguments.batches, arguments.rounds)
            rows[name] = measure(data, *sizes, changes)
            console.say(f"{name}: {rows[name]['cpu_seconds_per_second']:.5f}")
    columns = ["variant", "CPU s per s of audio", "CPU s until the first batch"]
    seconds = arguments.clip_samples / arguments.sample_rate
    table = [[name, round(row["cpu_seconds_per_second"], 5), round(row["opening_cpu_seconds"], 1)] for name, row in rows.items()]
    console.table(f"Clips of {seconds:g} s at {arguments.sample_rate} Hz, batches of {arguments.batch}", columns, table)
    figure = rows["all of it"]["cpu_seconds_per_second"]
    console.say(f"target {TARGET} CPU seconds a second: {'reached' if figure <= TARGET else 'missed'} with {figure:.5f}")
    console.result({"variants": rows, "target": TARGET, "sample_rate": arguments.sample_rate, "clip_seconds": seconds})


if __name__ == "__main__":
    main()
