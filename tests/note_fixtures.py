"""A data set of notes in NSynth's layout, made on the spot: two instruments, five pitches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gansynth_cli.cli.app import main

from .conftest import write_wav

PITCHES = (55, 58, 60, 64, 67)
INSTRUMENTS = ("bell", "organ")


def write_notes(folder: Path, rate: int = 8000, samples: int = 2048) -> Path:
    examples = {}
    for index, family in enumerate(INSTRUMENTS):
        for pitch in PITCHES:
            t = np.arange(samples) / rate
            f0 = 440.0 * 2 ** ((pitch - 69) / 12)
            tone = sum(np.sin(2 * np.pi * n * f0 * t) / n for n in (range(1, 4) if index else range(1, 8, 2)))
            audio = 0.3 * tone * np.exp(-t * (2 if index else 8))
            name = f"{family}_synthetic_{index:03d}-{pitch:03d}-100"
            write_wav(folder / "audio" / f"{name}.wav", audio, rate)
            facts = {"pitch": pitch, "velocity": 100, "instrument": index, "instrument_family_str": family, "sample_rate": rate}
            examples[name] = {"note_str": name, **facts}
    (folder / "examples.json").write_text(json.dumps(examples))
    return folder


def prepare_notes(root: Path, recipe: str = "gansynth/tiny") -> Path:
    notes = write_notes(root / "notes")
    command = ["prepare", str(notes), "-o", str(root / "data"), "--layout", "nsynth", "--recipe", recipe, "--quiet", "-j", "1"]
    assert main([*command, "--validation", "0", "--test", "0"]) == 0
    return root / "data"
