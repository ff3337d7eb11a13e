"""How fast `prepare` is, against the barest loop that does the same to the sound: decode, resample, write 16-bit WAV.

    python benchmarks/prepare_speed.py                 # 2000 recordings made on the spot
    python benchmarks/prepare_speed.py FOLDER --json   # your own; JSON on stdout, the table on stderr

One line a round: the bare loop that writes a WAV for each recording, the same loop into one open file (no file to create, so nearly
decoder and resampler alone), then `prepare` with 1 job and with 2. The figures are the medians of the rounds' ratios, so that other
work on the machine counts for all. `prepare` also hashes every file, cuts, checks, and writes shards. Two jobs can only be faster on
a machine with two cores to spare.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile
import soxr

from gansynth_cli.cli import console
from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions

TARGET = 0.8  # of the bare loop on one core


def make_recordings(folder: Path, count: int, rate: int = 22050, seconds: float = 1.5) -> None:
    """Noise with a decay, WAV and FLAC in turn, 16 bit."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for index in range(count):
        samples = int(rate * seconds * generator.uniform(0.5, 1.5))
        audio = generator.standard_normal(samples) * 0.1 * np.exp(-3 * np.arange(samples) / samples)
        soundfile.write(folder / f"{index:05d}.{'wav' if index % 2 else 'flac'}", audio, rate, subtype="PCM_16")


def bare_loop(files: list[Path], output: Path, sample_rate: int) -> float:
    """Seconds for decode, mix down, resample, write."""
    output.mkdir(parents=True)
    began = time.perf_counter()
    for index, path in enumerate(files):
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio.mean(axis=1), rate, sample_rate)
        soundfile.write(output / f"{index:06d}.wav", audio, sample_rate, subtype="PCM_16")
    return time.perf_counter() - began


def bare_loop_one_file(files: list[Path], output: Path, sample_rate: int) -> float:
    """The same without a container: all samples go to one file."""
    began = time.perf_counter()
    with output.open("wb") as out:
        for path in files:
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            out.write((soxr.resample(audio.mean(axis=1), rate, sample_rate) * 32767).astype(np.int16).tobytes())
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="recordings; without it some are made")
    parser.add_argument("--files", type=int, default=2000, help="how many are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--clip-samples", type=int, default=16384)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console.configure(json_output=arguments.json)
    options = PrepareOptions(cut=CutOptions(sample_rate=arguments.sample_rate, clip_samples=arguments.clip_samples), name="bench")
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = Path(arguments.folder) if arguments.folder else scratch / "recordings"
        if not arguments.folder:
            make_recordings(folder, arguments.files)
        files = [path for _, path in find_audio([folder])]
        for path in files:  # all of them from the page cache
            path.read_bytes()
        for index in range(arguments.rounds):
            row = {
                "bare": bare_loop(files, scratch / f"bare-{index}", arguments.sample_rate),
                "one file": bare_loop_one_file(files, scratch / f"bare-{index}.pcm", arguments.sample_rate),
            }
            for jobs in (1, 2):
                began = time.perf_counter()
                prepare([folder], scratch / f"data-{index}-{jobs}", options, jobs=jobs)
                row[f"jobs {jobs}"] = time.perf_counter() - began
            rows.append(row)
            for made in scratch.iterdir():
                if made.is_file():
                    made.unlink()
                elif made != folder:
                    shutil.rmtree(made)
    figures = {
        "ratio": statistics.median(row["bare"] / row["jobs 1"] for row in rows),
        "ratio_one_file": statistics.median(row["one file"] / row["jobs 1"] for row in rows),
        "scaling_2_jobs": statistics.median(row["jobs 1"] / row["jobs 2"] for row in rows),
    }
    columns = ["round", "bare loop, s", "into one file, s", "prepare -j 1, s", "prepare -j 2, s"]
    console.table(f"{len(files)} recordings", columns, [[i + 1, *row.values()] for i, row in enumerate(rows)])
    verdict = "reached" if figures["ratio"] >= TARGET else "missed"
    console.say(f"speed with one job: {figures['ratio']:.2f} of the bare loop (target {TARGET}: {verdict})")
    console.say(f"                    {figures['ratio_one_file']:.2f} of the loop into one file")
    console.say(f"two jobs against one: {figures['scaling_2_jobs']:.2f} times as fast")
    console.result({"files": len(files), "rounds": rows, **figures, "target": TARGET, "cores": os.cpu_count()})


if __name__ == "__main__":
    main()
