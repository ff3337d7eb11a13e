"""Recordings with transcripts and phone times, as a teacher writes them: harmonics whose pitch and loudness the phones decide."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from .conftest import write_wav

RATE = 16000
WORDS = [["Good", ["ɡ", "ˈʊ", "d"], ""], ["day", ["d", "ˈeɪ"], ","], ["Anna", ["ˈæ", "n", "ə"], "."]]
PHONES = [phone for _, phones, mark in WORDS for phone in [*phones, *mark]]


def write_spoken(folder: Path, speakers: tuple[str, ...] = ("ann", "bob"), takes: int = 3) -> None:
    """Write `folder/<speaker>/<take>.wav` with `.json` beside it, and metadata.csv."""
    rows = []
    for number, speaker in enumerate(speakers):
        for take in range(takes):
            rng = np.random.default_rng([number, take])
            samples = rng.integers(1000, 3000, len(PHONES) + 2)
            edges = np.concatenate([[0], np.cumsum(samples)])
            hz = np.repeat(rng.uniform(110, 220, len(samples)) * (1 + number), samples)
            level = np.repeat([0.0, *(0.0 if phone in ",." else 0.5 for phone in PHONES), 0.0], samples)
            phase = 2 * np.pi * np.cumsum(hz) / RATE
            audio = level * sum(np.sin(k * phase) / k for k in range(1, 9)) / 2 + 1e-3 * rng.standard_normal(len(hz))
            path = folder / speaker / f"{take}.wav"
            write_wav(path, audio.astype(np.float32), RATE)
            facts = {
                "words": WORDS,
                "sample_rate": RATE,
                "samples": len(audio),
                "phones": [[phone, int(edges[i + 1]), int(edges[i + 2])] for i, phone in enumerate(PHONES)],
            }
            path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
            rows.append([f"{speaker}/{take}.wav", "Good day, Anna.", speaker, "en-us"])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "text", "speaker", "language"], *rows])
