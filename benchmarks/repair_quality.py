"""Gaps and clipping on real recordings: SNR inside the repaired samples, beside linear interpolation and ffmpeg's adeclip.

    python benchmarks/repair_quality.py RECORDINGS... [--gaps 5,10,20,40,80,160,300] [--clip 3,6,12] [--seconds 30]

Each argument is a folder or a file and gives a row. Its recordings are joined to mono until there are enough seconds. A gap lies every
0.6 s, where the level is above its median; LSD is the root mean square difference of log10 power in windows of 16 ms that see the gap,
floor 1e-6. SNR is the mean over gaps, dB; for clipping it is over all clipped samples.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.inference.repair.clipping import ClippingStep, ClippingSurvey
from gansynth_cli.inference.repair.findings import Span
from gansynth_cli.inference.repair.gap_filling import GapFiller
from gansynth_cli.inference.repair.gaps import LISTED, GapStream


def recording_of(path: Path, seconds: float) -> tuple[np.ndarray, int]:
    parts, rate = [], 0
    for _, file in find_audio([path]):
        audio, own = soundfile.read(file, always_2d=True)
        rate = rate or own
        if own == rate:
            parts.append(audio.mean(axis=1))
        if sum(map(len, parts)) > seconds * rate:
            break
    whole = np.concatenate(parts)[: round(seconds * rate)]
    return 0.9 * whole / np.abs(whole).max(), rate


def snr(truth: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / max(np.sum((truth - found) ** 2), 1e-20)))


def spectral_distance(truth: np.ndarray, found: np.ndarray, rate: int) -> float:
    size = round(0.016 * rate)
    logs = [
        np.log10(np.abs(np.fft.rfft(sliding_window_view(x, size)[:: size // 4] * np.hanning(size))) ** 2 + 1e-6) for x in (truth, found)
    ]
    return float(np.sqrt(((logs[0] - logs[1]) ** 2).mean(axis=1)).mean())


def gaps_in(audio: np.ndarray, rate: int, milliseconds: float) -> list[Span]:
    length = round(milliseconds * rate / 1000)
    level = np.convolve(audio**2, np.ones(length) / length, "same")
    loud, spans, place = np.median(level), [], rate
    while place < len(audio) - rate:
        if level[place + length // 2] > loud:
            spans.append(Span(0, place, place + length, LISTED))
            place += round(0.6 * rate)
        place += round(0.005 * rate)
    return spans


def measure_gaps(audio: np.ndarray, rate: int, milliseconds: float) -> str:
    spans, damaged, linear = gaps_in(audio, rate, milliseconds), audio.copy(), audio.copy()
    for span in spans:
        damaged[span.start : span.end] = 0
        linear[span.start : span.end] = np.linspace(audio[span.start - 1], audio[span.end], span.length + 2)[1:-1]
    began = time.process_time()
    stream = GapStream(spans, 1, rate, GapFiller())
    filled = np.concatenate([stream.process(damaged[None]), stream.finish()], axis=1)[0]
    cost = (time.process_time() - began) / len(spans)
    edge = round(0.008 * rate)
    cells = [f"{len(spans)}"]
    for found in (damaged, linear, filled):
        at = [slice(span.start, span.end) for span in spans]
        wide = [slice(span.start - edge, span.end + edge) for span in spans]
        distance = np.mean([spectral_distance(audio[s], found[s], rate) for s in wide])
        cells.append(f"{np.mean([snr(audio[s], found[s]) for s in at]):.1f} / {distance:.2f}")
    return " | ".join([*cells, f"{1000 * cost:.0f}"])


def measure_clipping(audio: np.ndarray, rate: int, decibels: float) -> str:
    level = np.abs(audio).max() * 10 ** (-decibels / 20)
    clipped = np.clip(audio, -level, level)
    at = np.abs(audio) >= level
    began = time.process_time()
    survey = ClippingSurvey(1, rate)
    survey.add(clipped[None])
    finding = survey.finish()
    stream = ClippingStep().stream(finding, 1, rate)
    restored = np.concatenate([stream.process(clipped[None]), stream.finish()], axis=1)[0]
    cost = (time.process_time() - began) / (len(audio) / rate)
    cells = [f"{100 * at.mean():.2f}"]
    for found in (clipped, adeclip(clipped, rate), restored):
        cells.append("-" if found is None else f"{snr(audio, found):.1f} / {snr(audio[at], found[at]):.1f}")
    return " | ".join([*cells, f"{cost:.4f}"])


def adeclip(audio: np.ndarray, rate: int) -> np.ndarray | None:
    if shutil.which("ffmpeg") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.wav"), Path(folder, "out.wav")
        soundfile.write(given, audio, rate, subtype="FLOAT")
        command = ["ffmpeg", "-v", "error", "-i", given, "-af", "adeclip", "-c:a", "pcm_f32le", made]
        subprocess.run(command, check=True)
        out = soundfile.read(made)[0]
    return np.pad(out, (0, max(0, len(audio) - len(out))))[: len(audio)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--gaps", default="5,10,20,40,80,160,300", help="lengths in ms; empty: none")
    parser.add_argument("--clip", default="3,6,12", help="dB below the peak; empty: none")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    numbers = lambda text: [float(part) for part in text.split(",") if part]
    for path in options.recordings:
        audio, rate = recording_of(path, options.seconds)
        print(f"\n{path.name}, {rate} Hz, {len(audio) / rate:.0f} s", flush=True)
        print("gap ms | gaps | zeros SNR / LSD | linear | filled | CPU ms a gap")
        for milliseconds in numbers(options.gaps):
            print(f"{milliseconds:g} | {measure_gaps(audio, rate, milliseconds)}", flush=True)
        print("clipped dB below peak | % | clipped: SNR / in the clipped samples | ffmpeg adeclip | restored | CPU s per s")
        for decibels in numbers(options.clip):
            print(f"{decibels:g} | {measure_clipping(audio, rate, decibels)}", flush=True)


if __name__ == "__main__":
    main()
