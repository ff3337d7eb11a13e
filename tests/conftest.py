"""Fixtures that several test files share: small recordings made on the spot, and the folder of real ones."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import pytest
import soundfile

RATE = 8000


def write_wav(path: Path, audio: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    """Writes `audio` [samples] or [samples, channels]; makes the folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype=subtype)
    return path


def tone(kind: str, take: int, rate: int = RATE) -> np.ndarray:
    """0.3 to 0.6 s of one of three sounds that any classifier tells apart; `take` varies pitch, length and level."""
    rng = np.random.default_rng([take, {"high": 0, "low": 1, "noise": 2}[kind]])
    t = np.arange(int(rate * rng.uniform(0.3, 0.6))) / rate
    envelope = np.exp(-t * rng.uniform(4, 8)) * rng.uniform(0.4, 0.9)
    if kind == "noise":
        return envelope * rng.uniform(-1, 1, t.size)
    pitch = rng.uniform(1500, 2500) if kind == "high" else rng.uniform(150, 250)
    return envelope * np.sin(2 * np.pi * pitch * t)


def write_tones(folder: Path, takes: int = 12) -> Path:
    for kind in ("high", "low", "noise"):
        for take in range(takes):
            write_wav(folder / kind / f"{kind}_{take:02d}.wav", tone(kind, take))
    return folder


@pytest.fixture
def tone_folder(tmp_path: Path) -> Path:
    """36 short recordings in a folder a label: high, low, noise."""
    return write_tones(tmp_path / "tones")


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tones prepared: 8000 Hz, mono, clips of 2048 samples, labels."""
    from gansynth_cli.cli.app import main

    root = tmp_path_factory.mktemp("tiny")
    write_tones(root / "tones")
    command = [
        "prepare",
        str(root / "tones"),
        "-o",
        str(root / "data"),
        "--sample-rate",
        "8000",
        "--clip-samples",
        "2048",
        "--labels",
        "folder",
    ]
    assert main(command) == 0
    return root / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get("GAN_AUDIO_DATA", "")
    if not folder:
        pytest.skip("GAN_AUDIO_DATA is not set: it names the folder of real recordings")
    if not Path(folder).is_dir():
        pytest.fail(f"GAN_AUDIO_DATA is {folder}, which is not a folder")
    return Path(folder)
