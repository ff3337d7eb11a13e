"""How fast `gan-audio generate` is, beside the least that could give the same clips: `generator(z)` and an encoder in a loop.

    python benchmarks/generate_speed.py                           an untrained WaveGAN of wavegan/small
    python benchmarks/generate_speed.py --recipe specgan/small    ... of another recipe
    python benchmarks/generate_speed.py --model runs/drums        a trained one

Both sides run in this process, in turn, on the same model with the graph traced beforehand. The bare loop calls the model as
a `tf.function` on batches of 16 and writes each clip with `soundfile.write`: no marks, no names, no manifest, no resuming, and
nothing side by side. The verb's time holds the plan, the look at the folder, the manifest and its final sorting; loading and
tracing are left out (they are reported). The figure is the median of the ratios of neighbouring rounds. Target: 0.9.

Files are written to memory (/dev/shm) where there is such a place. On a disk where making a file is slow, the bare loop waits
and the verb's threads do not, so the ratio grows without the verb having become better: a ratio above about 2 on two cores
says something of the disk. `ratio_of_processor_time` compares the work instead of the time: on a machine that others use it
is the steadier figure, but it gives no credit for doing two things at once. `--folder` measures that on a disk of your choice.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo, SplitInfo
from gansynth_cli.families.registry import family_class
from gansynth_cli.inference.generate.request import GenerateOptions, Plan
from gansynth_cli.inference.generate.session import GROUP, GeneratorSession, open_session
from gansynth_cli.inference.generate.write import generate
from gansynth_cli.recipe import load_recipe

TARGET = 0.9
MEMORY = Path("/dev/shm")


def untrained_model(recipe_name: str, folder: Path) -> Path:
    """Saves the generator of a recipe with its first weights: the speed is that of a trained one."""
    recipe = load_recipe(recipe_name)
    data = recipe.data
    statistics_of_noise = {}
    for spec in getattr(recipe.model, "statistics", ()):
        noise = np.random.default_rng(0).normal(0, 0.1, (8, data.clip_samples, data.channels)).astype(np.float32)
        statistics_of_noise[spec.key] = spec.compute(noise)
    info = DatasetInfo(
        "noise",
        data.sample_rate,
        data.channels,
        data.clip_samples,
        ["a", "b"],
        {"train": SplitInfo(8, 8.0)},
        statistics=statistics_of_noise,
    )
    family = family_class(recipe.family)(recipe, info, seed=0)
    model = family.inference_model(family.networks)
    model({"latent": tf.zeros((1, recipe.model.latent_dim)), "label": tf.zeros((1,), tf.int32)})
    file = folder / "generator.keras"
    model.save(file)
    return file


def bare_loop(session: GeneratorSession, call, clips: int, folder: Path) -> float:
    """Seconds for `generator(z)` and an encoder, one after the other."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for start in range(0, clips, GROUP):
        latent = rng.uniform(-1, 1, (GROUP, session.latent_dim)).astype(np.float32)
        label = (np.arange(GROUP) % max(1, len(session.classes.get("label", ())))).astype(np.int32)
        for offset, audio in enumerate(call(tf.constant(latent), tf.constant(label)).numpy()):
            soundfile.write(folder / f"{start + offset:06d}.wav", audio, session.sample_rate, subtype="PCM_16")
    return time.perf_counter() - started


def whole_request(session: GeneratorSession, clips: int, folder: Path) -> float:
    """Seconds for all that the verb does once the model is loaded."""
    started = time.perf_counter()
    report = generate(Plan(GenerateOptions(clips=clips), session), folder, group=GROUP)
    seconds = time.perf_counter() - started
    if report.written != clips:
        raise AssertionError(f"{report.written} of {clips} clips were written")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="wavegan/small", help="recipe of an untrained model")
    parser.add_argument("--model", type=Path, help="a run folder or .keras file instead")
    parser.add_argument("--clips", type=int, default=512, help="clips in a round, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=MEMORY if MEMORY.is_dir() else None, help="write the clips below this folder")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    clips = max(GROUP, options.clips // GROUP * GROUP)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        session = open_session(options.model or untrained_model(options.recipe, folder))
        warm_up = session.warm_up()

        @tf.function
        def call(latent, label):
            return session.generator({"latent": latent, "label": label} if session.labels else {"latent": latent}, training=False)

        bare_loop(session, call, GROUP, folder / "first")
        generate(Plan(GenerateOptions(clips=GROUP), session), folder / "first-verb", group=GROUP)
        bare, verb, work = [], [], []
        for number in range(options.rounds):
            before = time.process_time()
            bare.append(bare_loop(session, call, clips, folder / f"bare{number}"))
            between = time.process_time()
            verb.append(whole_request(session, clips, folder / f"verb{number}"))
            work.append((between - before) / (time.process_time() - between))
        samples = session.run(np.zeros((GROUP, session.latent_dim), np.float32)).shape[1]
    ratio = statistics.median(b / v for b, v in zip(bare, verb, strict=True))
    figures = {
        "model": str(options.model or options.recipe),
        "clip_samples": samples,
        "sample_rate": session.sample_rate,
        "clips": clips,
        "written_to": "memory" if options.folder == MEMORY else "disk",
        "rounds": options.rounds,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_seconds": round(session.load_seconds, 2),
        "warm_up_seconds": round(warm_up, 2),
        "bare_clips_per_second": round(clips / statistics.median(bare), 1),
        "generate_clips_per_second": round(clips / statistics.median(verb), 1),
        "ratio": round(ratio, 3),
        "ratios": [round(b / v, 2) for b, v in zip(bare, verb, strict=True)],
        "ratio_of_processor_time": round(statistics.median(work), 3),
        "target": TARGET,
        "ok": ratio >= TARGET,
    }
    width = max(map(len, figures))
    print("\n".join(f"{key:<{width}}  {value}" for key, value in figures.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
