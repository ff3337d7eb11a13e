"""What `gan-audio enhance` costs: processor seconds for a second of sound, start-up, and memory for a minute and for an hour.

    python benchmarks/enhance_speed.py                      the shipped denoiser, beside what else is installed
    python benchmarks/enhance_speed.py --model runs/mine    a trained one
    python benchmarks/enhance_speed.py --no-memory          without the hour (which takes about a minute)

Everything runs on one thread. "systems" are calls in this process on one minute at 16 kHz, mono, their resampling included (RNNoise
works at 48 kHz); the figure is the median of the rounds, in processor time, which on a machine that others use is the steadier one.
noisereduce and pyrnnoise take part where they are installed (pip install noisereduce pyrnnoise). "verb" is the whole command in a
process of its own, reading and writing included; its start-up, measured on a tenth of a second of sound, is stated apart and taken off.
Targets: at most 0.03 for 16 kHz mono; the peak memory of an hour within 10 % of that of a minute.

The table goes to stderr, JSON to stdout.
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

# Before NumPy is loaded.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import soundfile
from enhance_systems import NotInstalled, open_system

TARGET = 0.03
MEMORY_TARGET = 1.1
SYSTEMS = ("ours", "noisereduce", "rnnoise", "deepfilternet")
FORMATS = ((8000, 1), (16000, 1), (44100, 1), (48000, 1), (48000, 2), (48000, 7))


def speech_like(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Harmonics that come and go over noise: float32 [samples, channels]. What is said makes no difference to the cost."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9)) * (np.sin(2 * np.pi * 3 * t) > 0) * 0.15
    return (tone[:, None] + rng.normal(0, 0.02, (t.size, channels))).astype(np.float32)


def system_cost(name: str, model: Path | None, seconds: float, rounds: int) -> dict:
    """Processor seconds for a second of 16 kHz mono sound, in this process."""
    try:
        system = open_system(str(model) if name == "ours" and model else name)
    except NotInstalled as error:
        return {"not_installed": str(error)}
    audio = speech_like(seconds, 16000)[:, 0]
    system(audio[:16000])
    costs = []
    for _ in range(rounds):
        started = time.process_time()
        system(audio)
        costs.append((time.process_time() - started) / seconds)
    return {"cpu_per_second": round(statistics.median(costs), 5), "rounds": [round(cost, 5) for cost in costs], **system.facts}


# The peak is the kernel's mark of this program's own memory: getrusage's would begin at that of the process that started it.
VERB = """
import sys
from gansynth_cli.cli.app import main
code = main(["enhance", *sys.argv[1:]])
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(code, peak[0] if peak else 0)
"""


def run_verb(source: Path, folder: Path, model: Path | None) -> dict:
    """The command on one file, in a process of its own: processor seconds, seconds, peak memory in MiB (0 where unknown)."""
    command = [sys.executable, "-c", VERB, str(source), "-o", str(folder), "--overwrite", "-q", "-j", "1"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *(["--model", str(model)] if model else [])], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answer = process.stdout.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or answer[0] != "0":
        sys.exit(f"the verb failed on {source.name}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - started, "peak_mib": int(answer[1]) / 1024}


def write_long(path: Path, minutes: float, rate: int, channels: int) -> Path:
    minute = speech_like(60, rate, channels)
    with soundfile.SoundFile(path, "w", rate, channels, subtype="PCM_16") as file:
        left = round(minutes * 60 * rate)
        while left:
            file.write(minute[:left])
            left -= min(left, len(minute))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a run folder or a .keras file; default: the shipped denoiser")
    parser.add_argument("--seconds", type=float, default=60.0, help="of sound for the systems")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5.0, help="of sound for the verb")
    parser.add_argument("--no-memory", action="store_true", help="leave out the hour")
    parser.add_argument("--folder", type=Path, default=None, help="for the sound files; default: a temporary one")
    arguments = parser.parse_args()
    talk = lambda text: print(text, file=sys.stderr, flush=True)

    result: dict = {"threads": 1, "targets": {"cpu_per_second": TARGET, "memory_ratio": MEMORY_TARGET}}
    result["systems"] = {name: system_cost(name, arguments.model, arguments.seconds, arguments.rounds) for name in SYSTEMS}
    talk("processor seconds for a second of sound, one thread")
    for name, cost in result["systems"].items():
        talk(f"  {name:<16} " + (f"{cost['cpu_per_second']:.4f}" if "cpu_per_second" in cost else cost["not_installed"]))

    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder = Path(place)
        # A tenth of a second takes all of the start-up, and hardly any sound. The first run also reads everything from the disk.
        short = write_long(folder / "short.wav", 0.1 / 60, 16000, 1)
        starts = [run_verb(short, folder / "out", arguments.model) for _ in range(4)][1:]
        start = {key: round(statistics.median(run[key] for run in starts), 3) for key in ("cpu", "wall", "peak_mib")}
        result["start_up"] = start
        talk(f"the verb: starts in {start['wall']:.2f} s, {start['cpu']:.2f} s of them the processor's")
        result["verb"] = {}
        for rate, channels in FORMATS:
            source = write_long(folder / f"{rate}-{channels}.wav", arguments.minutes, rate, channels)
            run = run_verb(source, folder / "out", arguments.model)
            cost = (run["cpu"] - start["cpu"]) / (60 * arguments.minutes)
            result["verb"][f"{rate} Hz x {channels}"] = {"cpu_per_second": round(cost, 5), "peak_mib": round(run["peak_mib"], 1)}
            talk(f"  {rate:>6} Hz x {channels}     {cost:.4f}   peak {run['peak_mib']:.0f} MiB")
            source.unlink()
        if not arguments.no_memory:
            peaks = {}
            for minutes in (1, 60):
                source = write_long(folder / f"{minutes}.wav", minutes, 16000, 1)
                peaks[minutes] = run_verb(source, folder / "out", arguments.model)["peak_mib"]
                source.unlink()
            ratio = peaks[60] / peaks[1]
            result["memory"] = {"minute_mib": round(peaks[1], 1), "hour_mib": round(peaks[60], 1), "ratio": round(ratio, 4)}
            talk(f"  peak memory: a minute {peaks[1]:.1f} MiB, an hour {peaks[60]:.1f} MiB, ratio {ratio:.3f}")
    cost = result["verb"]["16000 Hz x 1"]["cpu_per_second"]
    result["reached"] = {"speed": cost <= TARGET, "memory": result.get("memory", {}).get("ratio", 0) <= MEMORY_TARGET}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
