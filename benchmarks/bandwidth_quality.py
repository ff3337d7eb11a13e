"""Bandwidth extension on full-band recordings: LSD, LSD above the edge and PESQ-WB, beside plain interpolation and shaped noise.

    python benchmarks/bandwidth_quality.py FOLDER... --from 8000 --to 16000 [--model RUN] [--files 40] [--json out.json]

Recordings of at least the target rate are resampled to it (soxr VHQ), brought to a peak of 0.5, cut to `--seconds`, taken down to the lower
rate and up again (the same resampler), and extended. The edge is detected as `enhance --do bandwidth` detects it. Figures:

- LSD: root mean square difference of log10 power over bins, mean over frames; periodic Hann window of 2048 samples, hop 512, audio in +-1,
  power floor 1e-8 (unscaled transform); LSD-HF: the same over the bins above half the lower rate.
- PESQ-WB (package `pesq`) at 16 kHz; with `--to 48000` it sees only what lies below 8 kHz.
- low band: SNR in dB of what lies below 90 % of the edge, against the input; step: level above the edge minus level below it (500 Hz each),
  beside the same of the original, mean |difference| in dB.

Rows: interpolation; noise whose level is that of the kilohertz under the edge, falling by 6 dB an octave (the reference that any model
should beat); the model.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.inference.enhance.bandwidth import BandwidthExtensionModel, BandwidthSurvey, find_extender
from gansynth_cli.metrics.figure import MetricError

FFT, HOP, FLOOR = 2048, 512, 1e-8


def spectrum(audio: np.ndarray) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    padded = np.pad(audio, FFT // 2)
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP] * window)


def distances(truth: np.ndarray, found: np.ndarray, rate: int, edge: float) -> tuple[float, float]:
    logs = [np.log10(np.square(np.abs(spectrum(x))) + FLOOR) for x in (truth, found)]
    square = np.square(logs[0] - logs[1])
    first = int(np.ceil(edge * FFT / rate))
    return float(np.sqrt(square.mean(axis=1)).mean()), float(np.sqrt(square[:, first:].mean(axis=1)).mean())


def band(audio: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    whole = np.fft.rfft(audio)
    hz = np.fft.rfftfreq(len(audio), 1 / rate)
    return np.fft.irfft(np.where((hz >= low) & (hz < high), whole, 0), len(audio))


def level(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio)) + 1e-12))


def shaped_noise(narrow: np.ndarray, rate: int, edge: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise above the edge, frame by frame as loud as the kilohertz under it, falling by 6 dB an octave."""
    window = np.hanning(1025)[:-1]
    padded = np.pad(narrow, 1024)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256] * window
    hz = np.fft.rfftfreq(1024, 1 / rate)
    below = np.fft.rfft(frames)[:, (hz > edge - 1000) & (hz < edge)]
    amplitude = np.sqrt(np.mean(np.square(np.abs(below)), axis=1))[:, None] * np.where(hz > edge, edge / np.maximum(hz, 1), 0)
    noise = amplitude * (rng.normal(size=amplitude.shape) + 1j * rng.normal(size=amplitude.shape)) / np.sqrt(2)
    made = np.fft.irfft(noise, 1024) * window / 1.5
    out = np.zeros(len(padded))
    for index, frame in enumerate(made):
        out[index * 256 : index * 256 + 1024] += frame
    return narrow + out[1024 : 1024 + len(narrow)]


def extend(model: BandwidthExtensionModel, narrow: np.ndarray, rate: int) -> tuple[np.ndarray, float, float]:
    """Return the extended recording, the edge that was detected (0: none) and CPU seconds per second."""
    began = time.process_time()
    survey = BandwidthSurvey(1, rate, model.settings.sample_rate)
    survey.add(narrow[None])
    finding = survey.finish()
    if finding.edge_hz is None:
        return narrow, 0.0, (time.process_time() - began) * rate / len(narrow)
    stream = model.stream(1, rate, finding.edge_hz, finding.level_db)
    out = np.concatenate([stream.process(narrow[None]), stream.finish()], axis=1)[0]
    return out, finding.edge_hz, (time.process_time() - began) * rate / len(narrow)


def pesq(truth: np.ndarray, found: np.ndarray, rate: int) -> float:
    from gansynth_cli.metrics.pairs.perceptual import pesq_wb

    try:
        return pesq_wb(truth.astype(np.float32), found.astype(np.float32), rate)
    except MetricError:
        return float("nan")


def measure(truth: np.ndarray, found: np.ndarray, narrow: np.ndarray, rate: int, edge: float) -> dict[str, float]:
    lsd, lsd_hf = distances(truth, found, rate, edge)
    low = band(narrow, rate, 0, 0.9 * edge)
    kept = level(low) - level(band(found - narrow, rate, 0, 0.9 * edge))
    step = lambda x: level(band(x, rate, 1.02 * edge, 1.02 * edge + 500)) - level(band(x, rate, 0.85 * edge - 500, 0.85 * edge))
    return {
        "lsd": lsd,
        "lsd_hf": lsd_hf,
        "pesq": pesq(truth, found, rate),
        "low_band_snr_db": min(kept, 200.0),
        "step_db": abs(step(found) - step(truth)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--from", dest="low", type=int, default=8000, help="lower rate, Hz")
    parser.add_argument("--to", type=int, default=16000, help="target rate, Hz")
    parser.add_argument("--model", help="run or .keras file; default: the bundled one")
    parser.add_argument("--files", type=int, default=40, help="recordings of each folder, evenly spread")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = BandwidthExtensionModel.load(find_extender(options.model))
    rng, results = np.random.default_rng(0), []
    for folder in options.folders:
        files = [file for _, file in find_audio([folder])]
        rows: dict[str, list[dict[str, float]]] = {}
        for file in files[:: max(1, len(files) // options.files)][: options.files]:
            audio, own = soundfile.read(file, always_2d=True)
            if own < options.to:
                continue
            truth = soxr.resample(audio.mean(axis=1), own, options.to, "VHQ")[: round(options.seconds * options.to)]
            if np.abs(truth).max() < 1e-3:
                continue
            truth *= 0.5 / np.abs(truth).max()
            narrow = soxr.resample(soxr.resample(truth, options.to, options.low, "VHQ"), options.low, options.to, "VHQ")
            narrow = np.pad(narrow, (0, max(0, len(truth) - len(narrow))))[: len(truth)]
            made, edge, cost = extend(model, narrow, options.to)
            found = {"interpolation": narrow, "shaped noise": shaped_noise(narrow, options.to, 0.475 * options.low, rng), "model": made}
            for name, audio in found.items():
                row = measure(truth, audio, narrow, options.to, options.low / 2)
                rows.setdefault(name, []).append(row | ({"edge_hz": edge, "cpu_seconds": cost} if name == "model" else {}))
        results += [{"set": folder.name, "files": len(values), "system": name} | means(values) for name, values in rows.items()]
    report(results, options)


def means(values: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.nanmean([value[key] for value in values])), 4) for key in values[0]}


def report(results: list[dict], options: argparse.Namespace) -> None:
    names = (f"{options.low} -> {options.to} Hz", "files", "LSD", "LSD-HF", "PESQ-WB", "low band, dB", "step, dB", "CPU s/s")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in results:
        cost = f"{row['cpu_seconds']:.4f}" if "cpu_seconds" in row else ""
        figures = " | ".join(
            [*(f"{row[key]:.2f}" for key in ("lsd", "lsd_hf", "pesq")), f"{row['low_band_snr_db']:.0f}", f"{row['step_db']:.1f}"]
        )
        print(f"| {row['set']}, {row['system']} | {row['files']} | {figures} | {cost} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    else:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
