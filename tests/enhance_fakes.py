"""Stand-ins for a trained denoiser: a network that is a formula, and a small model file that is written without TensorFlow."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from gansynth_cli.inference.enhance.enhancers import Enhancer, MaskEnhancer
from gansynth_cli.models.mask_networks import make_network


class FormulaNetwork:
    """Gains that are a function of the spectrum, frame by frame; it remembers what it has seen.

    `formula` takes complex64 [rows, frames, bins] and gives the gains.
    """

    sample_rate, fft, hop, sha256, provenance = 16000, 512, 256, "ab" * 32, {"recipe": "test/formula"}

    def __init__(self, formula: Callable[[np.ndarray], np.ndarray]):
        self.formula, self.seen = formula, []

    def initial_state(self, rows: int) -> int:
        return 0

    def run(self, spectrum, state):
        self.seen.append(spectrum)
        return self.formula(spectrum), state + spectrum.shape[1]


def constant(gain: complex) -> Callable[[np.ndarray], np.ndarray]:
    kind = np.complex64 if isinstance(gain, complex) else np.float32
    return lambda spectrum: np.full(spectrum.shape, gain, kind)


def gate(spectrum: np.ndarray) -> np.ndarray:
    """A crude denoiser: what is far below the frame's loudest bin is turned down."""
    power = np.abs(spectrum) ** 2
    return (power / (power + 1e-3 * power.max(axis=-1, keepdims=True) + 1e-9)).astype(np.float32)


def enhancer_of(formula: Callable[[np.ndarray], np.ndarray] = gate) -> Enhancer:
    network = FormulaNetwork(formula)
    return MaskEnhancer(network, Path("formula.keras"), network.sha256, network.provenance)


def write_denoiser(path: Path, *, seed: int = 0, mask: str = "complex", width: int = 16, layers: int = 1, scale: float = 1.0) -> Path:
    """A `FrameDenoiser` file with random weights: what it does to sound is arbitrary, but depends on all it has heard."""
    config = {
        "name": "tiny",
        "network": "gru",
        "sample_rate": 16000,
        "fft": 512,
        "hop": 256,
        "options": {"mel_bands": 20, "width": width, "layers": layers, "mask": mask, "max_gain": 1.5},
        "seed": seed,
        "provenance": {"recipe": "denoiser/test", "family": "denoiser"},
    }
    network = make_network(config)
    rng = np.random.default_rng(seed)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, shape in network.weights.items():
            file[f"vars/{name}"] = (scale * rng.normal(0, 1 / np.sqrt(shape[0]), shape)).astype(np.float32)
        for name, values in network.fixed.items():
            file[f"vars/{name}"] = np.asarray(values, np.float32)
    saved = {"module": None, "class_name": "FrameDenoiser", "registered_name": "gan_audio>FrameDenoiser", "config": config}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(saved))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0", "date_saved": "2026-01-01@00:00:00"}))
        archive.writestr("model.weights.h5", content.getvalue())
    return path
