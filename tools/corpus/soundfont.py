"""Render the notes and the drum kits of a General MIDI soundfont, one file a note.

    pip install --no-deps tinysoundfont && pip install numpy soundfile
    apt-get download fluid-soundfont-gm && dpkg -x fluid-soundfont-gm_*.deb fluid          # FluidR3, MIT licence
    python tools/corpus/soundfont.py notes fluid/usr/share/sounds/sf2/FluidR3_GM.sf2 -o notes --sample-rate 16000
    python tools/corpus/soundfont.py drums fluid/usr/share/sounds/sf2/FluidR3_GM.sf2 -o drums --sample-rate 44100

Notes are named INSTRUMENT_PRESET-PITCH-VELOCITY.wav, mono, and described in examples.json as NSynth's are; drums lie in a folder for each
kit and are named KEY-VELOCITY.wav, stereo.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import tinysoundfont

# NSynth's families -> General MIDI programs, counted from 0. The first of a family is its plainest.
FAMILIES = {
    "bass": (33, 32),
    "brass": (56, 61),
    "flute": (73, 75),
    "guitar": (24, 25),
    "keyboard": (0, 4),
    "mallet": (11, 12),
    "organ": (16, 19),
    "reed": (71, 66),
    "string": (48, 42),
    "synth_lead": (80, 81),
    "vocal": (52, 53),
}
KITS = {0: "standard", 8: "room", 16: "power", 24: "electronic", 25: "tr-808", 32: "jazz", 40: "brush", 48: "orchestra"}
KEYS = range(35, 82)  # General MIDI's percussion map


def render(synth, channel: int, key: int, velocity: int, held: float, seconds: float) -> np.ndarray:
    """Return float32 [samples, 2] of one note, held for `held` seconds."""
    synth.sounds_off(channel)
    synth.generate(64)
    synth.noteon(channel, key, velocity)
    rate, parts = synth.samplerate, []
    for duration in (held, seconds - held):
        parts.append(np.frombuffer(bytes(synth.generate(round(duration * rate))), np.float32).reshape(-1, 2))
        synth.noteoff(channel, key)
    return np.concatenate(parts)


def notes(synth, bank: int, options: argparse.Namespace) -> None:
    """Write the notes of every family and `examples.json`."""
    audio = options.output / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    low, high = map(int, options.pitches.split("-"))
    entries = {}
    for number, (family, programs) in enumerate(FAMILIES.items()):
        for preset, program in enumerate(programs[: options.presets]):
            synth.program_select(0, bank, 0, program)
            for pitch in range(low, high + 1):
                name = f"{family}_{program:03d}-{pitch:03d}-{options.velocity:03d}"
                # Four times the rate, then a low-pass in the writer's place: the synthesiser interpolates linearly.
                sound = render(synth, 0, pitch, options.velocity, 1.7, 2.0).mean(axis=1)
                if np.abs(sound).max() < 1e-4:
                    continue
                soundfile.write(audio / f"{name}.wav", decimated(sound, options.oversampling), options.sample_rate)
                entries[name] = {
                    "note_str": name,
                    "pitch": pitch,
                    "velocity": options.velocity,
                    "instrument": number * 10 + preset,
                    "instrument_str": f"{family}_{program:03d}",
                    "instrument_family_str": family,
                    "instrument_source_str": "rendered",
                }
    (options.output / "examples.json").write_text(json.dumps(entries, indent=1))
    print(f"{len(entries)} notes in {audio}")


def decimated(sound: np.ndarray, factor: int) -> np.ndarray:
    """Low-pass and keep every `factor`-th sample, at a peak of at most 0.95."""
    if factor > 1:
        taps = np.arange(-32 * factor, 32 * factor + 1)
        kernel = np.sinc(0.9 * taps / factor) * np.kaiser(len(taps), 8.0)
        sound = np.apply_along_axis(np.convolve, 0, sound, kernel / kernel.sum(), "same")[::factor]
    return sound * min(1.0, 0.95 / max(float(np.abs(sound).max()), 1e-9))


def drums(synth, bank: int, options: argparse.Namespace) -> None:
    """Write every key of every kit at three velocities."""
    written = 0
    for program, kit in KITS.items():
        if synth.program_select(9, bank, 128, program) == -1:
            continue
        folder = options.output / kit
        folder.mkdir(parents=True, exist_ok=True)
        for key in KEYS:
            for velocity in (50, 90, 127):
                sound = decimated(render(synth, 9, key, velocity, 2.0, 2.0), options.oversampling)
                if np.abs(sound).max() > 1e-4:
                    soundfile.write(folder / f"{key:02d}-{velocity:03d}.wav", sound, options.sample_rate)
                    written += 1
    print(f"{written} hits in {options.output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("notes", "drums"))
    parser.add_argument("soundfont", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--oversampling", type=int, default=0, help="render at so many times the rate (default: 3 for notes, 1 for drums)")
    parser.add_argument("--pitches", default="24-96", help="MIDI numbers (default: %(default)s)")
    parser.add_argument("--velocity", type=int, default=100)
    parser.add_argument("--presets", type=int, default=1, help="presets of each family (1 or 2)")
    options = parser.parse_args()
    options.oversampling = options.oversampling or (3 if options.what == "notes" else 1)
    synth = tinysoundfont.Synth(samplerate=options.sample_rate * options.oversampling)
    bank = synth.sfload(str(options.soundfont))
    (notes if options.what == "notes" else drums)(synth, bank, options)


if __name__ == "__main__":
    main()
