"""What `gan-audio convert` costs: processor seconds for a second of sound on each way to a waveform, and memory for a minute and an hour.

    python benchmarks/convert_speed.py                                 an untrained network of the size of stargan_vc/small
    python benchmarks/convert_speed.py --model runs/mine --vocoder runs/vocos
    python benchmarks/convert_speed.py --memory                        also the hour, which takes a while

Everything runs on one thread, on half a minute of something like speech at 16 kHz, in pieces as `convert` cuts them; the figure is the
median of the rounds, in processor time, which on a machine that others use is the steadier one. "memory" is the whole command in a process
of its own, with the peak that the kernel counted. Target: the hour within 10 % of the minute.

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

# Before NumPy and TensorFlow are loaded.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import soundfile

RATE = 16000
DOMAINS = ("one", "two", "three")
RUN = """
import sys
from gansynth_cli.cli.app import main
code = main(["convert", sys.argv[1], "-o", sys.argv[2], "--model", sys.argv[3], "--to", sys.argv[4], "-q"])
print(code, *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """float32 [samples]: harmonics of a gliding pitch that come and go over faint noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * t + seed)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20)) * np.clip(np.sin(2 * np.pi * 1.5 * t) + 0.5, 0, 1) * 0.15
    return (tone + np.random.default_rng(seed).normal(0, 0.001, t.size)).astype(np.float32)


def untrained(path: Path, features: str) -> Path:
    """A converter of nine convolutions with 400,000 weights, and statistics of nothing."""
    import keras

    from gansynth_cli.models.voice_converter import VoiceConverter
    from gansynth_cli.signal.mel_convention import MelConvention

    convention = MelConvention(fft=1024, hop=128, bands=80).resolved(RATE)
    names = {"mel": 80, "mask": 1}
    inputs = {name: keras.Input((None, size), name=name) for name, size in names.items()}
    inputs |= {name: keras.Input((len(DOMAINS),), name=name) for name in ("source", "target")}
    x = keras.layers.Concatenate()([inputs["mel"], inputs["mask"]])
    for _ in range(8):
        x = keras.layers.Conv1D(96, 5, padding="same", activation="silu")(x)
    x = keras.layers.Add()([inputs["mel"], keras.layers.Conv1D(80, 5, padding="same", kernel_initializer="zeros")(x)])
    count = len(DOMAINS)
    VoiceConverter(
        keras.Model(inputs, x),
        convention,
        DOMAINS,
        np.full((count, 80), -5.0),
        np.ones((count, 80)),
        np.log([120.0, 170.0, 220.0]),
        np.full(count, 0.2),
        f0_seconds=np.full(count, 60.0),
        features=features,
        receptive_frames=18,
    ).save(path)
    return path


def cost(model: Path, rounds: int, seconds: float, **options) -> dict[str, float]:
    """Processor seconds for a second of sound: all of it, and the pitch and spectra alone, which every way begins with."""
    from gansynth_cli.inference.convert.converter import open_converter
    from gansynth_cli.inference.convert.options import ConvertOptions
    from gansynth_cli.inference.convert.synthesis import choose_synthesis
    from gansynth_cli.inference.convert.voice import choose_voice, estimate_speaker
    from gansynth_cli.inference.convert.voice_stream import VoiceStream, convert_blocks

    converter = open_converter(model)
    asked = ConvertOptions(to=converter.domains.names[-1], source=converter.domains.names[0], **options)
    synthesis, audio = choose_synthesis(converter, asked), speech_like(seconds)
    voice = choose_voice(estimate_speaker([audio[:, None]], RATE, converter), converter, asked)
    whole, spectra = [], []
    for number in range(rounds + 1):
        stream = VoiceStream(converter, synthesis, voice, asked, RATE)
        started = time.process_time()
        for _ in convert_blocks([audio[:, None]], 1, stream):
            pass
        if number:  # the first traces
            whole.append((time.process_time() - started) / seconds)
            started = time.process_time()
            converter.spectra(audio[: 10 * RATE])
            spectra.append((time.process_time() - started) / min(seconds, 10.0))
    return {"way": synthesis.name, "rtf": round(statistics.median(whole), 4), "analysis": round(statistics.median(spectra), 4)}


def memory(model: Path, target: str, minutes: int, folder: Path) -> int:
    """Peak KiB of the command on so many minutes."""
    source = folder / f"{minutes}.wav"
    minute = speech_like(60.0)
    with soundfile.SoundFile(source, "w", RATE, 1) as file:
        for _ in range(minutes):
            file.write(minute)
    command = [sys.executable, "-c", RUN, str(source), str(folder / f"{minutes}-out.wav"), str(model), target]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, peak = map(int, done.stdout.split())
    assert code == 0, done.stderr
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a converter; without, untrained ones")
    parser.add_argument("--vocoder", help="a vocoder of the converter's convention, for the mel path")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--minutes", type=int, default=60)
    asked = parser.parse_args()
    report: dict = {"seconds": asked.seconds, "ways": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_world = asked.model or untrained(folder / "world.keras", "world")
        by_mel = asked.model or untrained(folder / "mel.keras", "mel")
        ways = [(by_world, {"vocoder": "world"}), (by_world, {"vocoder": "filter", "keep_f0": True})]
        ways.append((by_mel, {"vocoder": asked.vocoder or "griffin-lim"}))
        for model, options in ways:
            entry = {"vocoder": options["vocoder"], **cost(model, asked.rounds, asked.seconds, **options)}
            report["ways"].append(entry)
            print(f"{entry['vocoder']:24} RTF {entry['rtf']:.4f}, of it pitch and spectra {entry['analysis']:.4f}", file=sys.stderr)
        if asked.memory:
            from gansynth_cli.inference.convert.domains import domains_of, find_converter

            target = domains_of(find_converter(by_world)).names[-1]
            peaks = {minutes: memory(by_world, target, minutes, folder) for minutes in (1, asked.minutes)}
            report["peak_kib"] = peaks
            ratio = peaks[asked.minutes] / peaks[1]
            text = ", ".join(f"{minutes} min {peak / 1024:.0f} MiB" for minutes, peak in peaks.items())
            print(f"{'memory':24} {text}: {ratio:.3f} times (target 1.1)", file=sys.stderr)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
