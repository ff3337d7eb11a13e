"""Converters that are formulas, their files, and recordings with a voice in them: what the tests of conversion share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import soxr

from gansynth_cli.inference.convert.converter import Converter, open_converter
from gansynth_cli.models.voice_converter import VoiceConverter
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_frames import log_mel

from .vocoder_families import speech_like

CONVENTION = MelConvention(fft=512, hop=128, bands=40).resolved(8000)
DOMAINS = ("anna", "bruno", "carla")
PITCH_HZ = (120.0, 170.0, 240.0)


def identity_network(domains: int, bands: int) -> keras.Model:
    """What is standardised with the source's statistics is taken for the target's: the mean voices are exchanged."""
    inputs = {
        "mel": keras.Input((None, bands), name="mel"),
        "mask": keras.Input((None, 1), name="mask"),
        "source": keras.Input((domains,), name="source"),
        "target": keras.Input((domains,), name="target"),
    }
    return keras.Model(inputs, keras.layers.Activation("linear")(inputs["mel"]), name="network")


def formula_converter(domains: tuple[str, ...] = DOMAINS, tilts: tuple[float, ...] = (0.0, 1.5, -1.5), **changes: Any) -> VoiceConverter:
    """Voices that differ by the tilt of their spectra (nepers from the lowest to the highest band) and by their pitch."""
    count, bands = len(domains), CONVENTION.bands
    base = log_mel(voice(4.0), CONVENTION)
    slope = np.linspace(-0.5, 0.5, bands)
    mean = np.stack([base.mean(axis=0) + tilts[i % len(tilts)] * slope for i in range(count)])
    arguments = {
        "network": identity_network(count, bands),
        "convention": CONVENTION,
        "domains": domains,
        "mel_mean": mean,
        "mel_deviation": np.repeat(base.std(axis=0)[None], count, axis=0),
        "f0_mean": np.log([PITCH_HZ[i % 3] for i in range(count)]),
        "f0_deviation": np.full(count, 0.12),
        "f0_seconds": np.full(count, 60.0),
        "consent": "Recorded with the speakers' consent, 2026.",
        "provenance": {"family": "test", "recipe": "test/formula"},
    }
    return VoiceConverter(**{**arguments, **changes})


def write_converter(path: Path, **changes: Any) -> Path:
    """A `.keras` file of `formula_converter`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    formula_converter(**changes).save(path)
    return path


def opened(path: Path, **changes: Any) -> Converter:
    return open_converter(write_converter(path, **changes))


def voice(seconds: float, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """float32 [samples]: something like speech at 120 Hz, give or take."""
    if rate > 16000:  # its harmonics take long to add up
        return soxr.resample(voice(seconds, 16000, seed), 16000, rate)
    return speech_like(round(seconds * rate), rate, seed)[:, 0]


def with_pauses(seconds: float, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """The same with half a second of exact silence in every two."""
    audio = voice(seconds, rate, seed)
    audio[np.arange(len(audio)) / rate % 2.0 >= 1.5] = 0.0
    return audio
