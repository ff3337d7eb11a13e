"""How fast and how near Griffin-Lim comes: gan-audio's batched tensor function on one thread, beside librosa's where it is installed.

    python benchmarks/griffin_lim.py                        table on the terminal
    python benchmarks/griffin_lim.py --json out.json        ... and figures as JSON
    python benchmarks/griffin_lim.py --seconds 4 --batch 16 --fft 1024 --hop 256

RTF is seconds of work for a second of audio. "Error" is the spectral convergence |found - wanted| / |wanted| of the magnitudes, on
decaying chirps with noise; librosa starts from random phases and centres its frames, ours from zero phase with SpecGAN's framing, so
each is measured against its own target. Best of three runs after one for tracing and compiling.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import tensorflow as tf

from gansynth_cli.signal.stft import griffin_lim, stft

RATE = 8000
SETTINGS = [(16, 0.0), (32, 0.0), (32, 0.99), (64, 0.99)]


def clips(batch: int, seconds: float) -> np.ndarray:
    """float32 [batch, samples]: decaying chirps of several pitches with a little noise."""
    rng = np.random.default_rng(0)
    t = np.arange(int(RATE * seconds)) / RATE
    pitch = np.geomspace(100, 2000, batch)[:, None]
    tone = np.sin(2 * np.pi * (pitch * t + 100 * t**2 / seconds)) + 0.1 * rng.normal(size=(batch, t.size))
    return (0.5 * tone * np.exp(-3 * t / seconds)).astype(np.float32)


def best_of(function, rounds: int = 3) -> tuple[float, np.ndarray]:
    result = np.asarray(function())
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = np.asarray(function())
        times.append(time.perf_counter() - start)
    return min(times), result


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def ours(audio: np.ndarray, fft: int, hop: int, iterations: int, momentum: float, batched: bool) -> tuple[float, float]:
    magnitude = tf.abs(stft(audio, fft, hop))
    samples = audio.shape[1]
    invert = tf.function(lambda m: griffin_lim(m, fft, hop, samples, iterations=iterations, momentum=momentum))
    seconds, found = best_of(lambda: invert(magnitude) if batched else np.stack([invert(m).numpy() for m in magnitude]))
    return seconds, distance(np.abs(stft(found, fft, hop)), magnitude.numpy())


def librosas(audio: np.ndarray, fft: int, hop: int, iterations: int, momentum: float) -> tuple[float, float] | None:
    try:
        import librosa
    except ImportError:
        return None
    magnitude = np.abs(librosa.stft(audio, n_fft=fft, hop_length=hop))
    settings = {"n_iter": iterations, "hop_length": hop, "momentum": momentum, "length": audio.shape[1], "random_state": 0}
    seconds, found = best_of(lambda: librosa.griffinlim(magnitude, **settings))
    return seconds, distance(np.abs(librosa.stft(found, n_fft=fft, hop_length=hop)), magnitude)


def measure(batch: int, seconds: float, fft: int, hop: int) -> list[dict]:
    audio = clips(batch, seconds)
    length = audio.size / RATE
    rows = []
    for iterations, momentum in SETTINGS:
        runs = {
            "gan-audio, batch": ours(audio, fft, hop, iterations, momentum, batched=True),
            "gan-audio, clip by clip": ours(audio, fft, hop, iterations, momentum, batched=False),
            "librosa, batch": librosas(audio, fft, hop, iterations, momentum),
        }
        rows += [
            {"what": what, "iterations": iterations, "momentum": momentum, "rtf": run[0] / length, "error": run[1]}
            for what, run in runs.items()
            if run is not None
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.024)
    parser.add_argument("--fft", type=int, default=256)
    parser.add_argument("--hop", type=int, default=128)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rows = measure(options.batch, options.seconds, options.fft, options.hop)
    setting = {
        "batch": options.batch,
        "seconds": options.seconds,
        "fft": options.fft,
        "hop": options.hop,
        "sample_rate": RATE,
        "threads": 1,
    }
    sys.stdout.write(f"{options.batch} clips of {options.seconds} s at {RATE} Hz, fft {options.fft}, hop {options.hop}, one thread\n\n")
    sys.stdout.write(f"{'':24}{'iterations':>11}{'momentum':>10}{'RTF':>10}{'x real time':>13}{'error':>8}\n")
    for row in rows:
        figures = f"{row['iterations']:>11}{row['momentum']:>10}{row['rtf']:>10.5f}{1 / row['rtf']:>13.0f}{row['error']:>8.3f}"
        sys.stdout.write(f"{row['what']:24}{figures}\n")
    if options.json:
        options.json.write_text(json.dumps({"setting": setting, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
