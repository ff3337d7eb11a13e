"""A speaker encoder in numpy: how alike two voices are. Resemblyzer's published weights; needs neither PyTorch nor TensorFlow."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..data.audio import audio_file
from ..data.foreign import Assignment, open_arrays
from ..errors import AudioFileError, RunError
from ..files import replacing
from ..signal.mel import mel_filter_bank
from .model_file import PRETRAINED

RATE = 16000
VECTOR = 256
NAME = "speaker-encoder"
# Cosines of two recordings of 5 s, 5th to 95th percentile: see the card (`gan-audio models show speaker-encoder`).
SAME_SPEAKER = (0.71, 0.91)
STRANGERS = (0.42, 0.71)
MIN_SECONDS = 0.4  # of speech

_BANDS, _WINDOW, _HOP = 40, 400, 160
_FRAMES = 160  # of a window: 1.6 s
_STEP = 77  # frames between windows: 1.3 windows a second
_MIN_COVERED = 0.75  # of the last window
_LAYERS, _UNITS = 3, 256
_LEVEL_DB = -30.0  # RMS below full scale that a quiet recording is raised to
_MAX_SECONDS = 120  # of a recording that are read for a comparison
_BATCH = 64  # windows at once: bounds memory

_SPEECH_STEP = 480  # samples of a decision speech or silence
_SPEECH_DB = 30.0  # below the loud parts: silence
_SMOOTHED, _KEPT = 8, 7  # decisions that are averaged, and that are kept around speech


class SpeakerEncoder:
    """Maps speech to a vector of the voice: GE2E (Wan et al. 2018), three LSTM layers of 256 over 40 mel bands, as Resemblyzer has it.

    Args:
        weights: Name -> float array, as `published_weights` returns them.

    Example:
        >>> encoder = speaker_encoder()
        >>> first, second = (encoder.vector(np.random.default_rng(i).normal(0, 0.1, 16000).astype(np.float32), 16000) for i in (0, 1))
        >>> bool(first @ second > 0.9)  # two pieces of one noise
        True
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._layers = []
        for number in range(_LAYERS):
            given, state, bias, more = (
                np.asarray(weights[f"lstm.{name}_l{number}"], np.float32) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            self._layers.append((np.ascontiguousarray(given.T), np.ascontiguousarray(state.T), bias + more))
        kernel, bias = (np.asarray(weights[f"linear.{name}"], np.float32) for name in ("weight", "bias"))
        self._dense = np.ascontiguousarray(kernel.T), bias

    def vector(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return float32 [256] of length 1, the mean over windows of 1.6 s: the cosine of two is their inner product.

        Long silences are left out, and quiet recordings are raised to -30 dBFS, as in training.

        Args:
            audio: float [samples] or [samples, channels], whose mean is taken.
            sample_rate: Hz.

        Raises:
            AudioFileError: Less than 0.4 s of sound.
        """
        audio = np.asarray(audio, np.float32)
        audio = audio.mean(axis=1) if audio.ndim == 2 else audio
        spoken = speech_of(audio_file.resample(audio, sample_rate, RATE))
        if len(spoken) < MIN_SECONDS * RATE:
            reason = f"{len(spoken) / RATE:.2f} s of speech, too few to tell a voice; expected {MIN_SECONDS:g} s or more"
            raise AudioFileError("recording", reason)
        return self.vector_of_speech(spoken)

    def vector_of_speech(self, audio: np.ndarray) -> np.ndarray:
        """Return the vector of a recording [samples] at 16 kHz as it is: no silence left out, no level changed."""
        windows = _windows(audio)
        found = np.concatenate([self.run(windows[i : i + _BATCH]) for i in range(0, len(windows), _BATCH)])
        mean = found.mean(axis=0)
        return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)

    def run(self, mel: np.ndarray) -> np.ndarray:
        """Map linear mel power spectra float32 [windows, frames, 40] to vectors float32 [windows, 256] of length 1, none negative."""
        x = np.ascontiguousarray(mel.swapaxes(0, 1), np.float32)  # time first
        for given, state, bias in self._layers:
            x = _lstm(x @ given + bias, state)
        kernel, bias = self._dense
        found = np.maximum(x[-1] @ kernel + bias, 0.0)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def _lstm(gates: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Run an LSTM: gates [time, rows, 4 units] of its input, in the order input, forget, cell, output -> hidden [time, rows, units]."""
    units = state.shape[0]
    hidden, cell = np.zeros((gates.shape[1], units), np.float32), np.zeros((gates.shape[1], units), np.float32)
    out = np.empty((*gates.shape[:2], units), np.float32)
    for time, given in enumerate(gates):
        now = given + hidden @ state
        gate = 0.5 * np.tanh(0.5 * now) + 0.5  # the logistic function, without overflow
        cell = gate[:, units : 2 * units] * cell + gate[:, :units] * np.tanh(now[:, 2 * units : 3 * units])
        hidden = gate[:, 3 * units :] * np.tanh(cell)
        out[time] = hidden
    return out


def speech_of(audio: np.ndarray) -> np.ndarray:
    """Return the parts of a recording [samples] at 16 kHz in which there is sound, at -30 dBFS or above.

    Resemblyzer asks WebRTC's detector of speech, which is no dependency here: a piece of 30 ms counts where it lies within 30 dB of
    the loud ones (95th percentile). Smoothing and margins are its own.
    """
    audio = np.asarray(audio, np.float32)
    count = len(audio) // _SPEECH_STEP
    level = float(np.sqrt(np.mean(np.square(audio)))) if len(audio) else 0.0
    if level < 1e-6 or not count:
        return audio[:0] if level < 1e-6 else audio
    audio = audio * max(1.0, 10 ** (_LEVEL_DB / 20) / level)
    power = np.square(audio[: count * _SPEECH_STEP].astype(np.float64)).reshape(count, -1).mean(axis=1)
    spoken = power > np.percentile(power, 95) * 10 ** (-_SPEECH_DB / 10)
    padded = np.pad(spoken.astype(float), ((_SMOOTHED - 1) // 2, _SMOOTHED // 2))
    spoken = np.convolve(padded, np.ones(_SMOOTHED) / _SMOOTHED, "valid") > 0.5
    spoken = np.convolve(spoken.astype(float), np.ones(_KEPT), "same") > 0.5
    return audio[: count * _SPEECH_STEP][np.repeat(spoken, _SPEECH_STEP)]


def _windows(audio: np.ndarray) -> np.ndarray:
    """Return linear mel power spectra float32 [windows, 160, 40] of a recording [samples]; zeros after its end, windows centred."""
    frames = -(-(len(audio) + 1) // _HOP)
    starts = list(range(0, max(1, frames - _FRAMES + _STEP + 1), _STEP))
    if len(starts) > 1 and (len(audio) - starts[-1] * _HOP) / (_FRAMES * _HOP) < _MIN_COVERED:
        starts.pop()
    needed = (starts[-1] + _FRAMES) * _HOP
    audio = np.pad(np.asarray(audio, np.float32), (_WINDOW // 2, max(0, needed - len(audio)) + _WINDOW // 2))
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_HOP]
    bank = mel_filter_bank(RATE, _WINDOW, _BANDS, scale="slaney", norm="area")
    mel = np.concatenate([np.square(np.abs(np.fft.rfft(pieces[i : i + 4096] * hann))) @ bank for i in range(0, len(pieces), 4096)])
    return np.stack([mel[start : start + _FRAMES] for start in starts]).astype(np.float32)


def published_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights out of Resemblyzer's `pretrained.pt`, without PyTorch and without running anything in it.

    Raises:
        ForeignFileError: It is no such file.
    """
    arrays = open_arrays(path).under("model_state")
    weights = Assignment(arrays.only([name for name in arrays if not name.startswith("similarity_")]))
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (VECTOR, _UNITS), "linear.bias": (VECTOR,)}
    for number in range(_LAYERS):
        given = _UNITS if number else _BANDS
        parts = {"weight_ih": (4 * _UNITS, given), "weight_hh": (4 * _UNITS, _UNITS), "bias_ih": (4 * _UNITS,), "bias_hh": (4 * _UNITS,)}
        shapes |= {f"lstm.{name}_l{number}": shape for name, shape in parts.items()}
    found = {name: weights.take(name, shape) for name, shape in shapes.items()}
    weights.finish()
    return found


def save_weights(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Write weights in half precision: 2.9 MB."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: np.asarray(value, np.float16) for name, value in weights.items()})  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def speaker_encoder() -> SpeakerEncoder:
    """Return the bundled encoder.

    Raises:
        RunError: This installation lacks it, or it is damaged.
    """
    file = PRETRAINED / f"{NAME}.npz"
    try:
        with np.load(file, allow_pickle=False) as stored:
            return SpeakerEncoder(dict(stored))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"The bundled speaker encoder {file} cannot be read: {error}.", hint="install gan-audio again") from error


def compared(first: Path, second: Path) -> float:
    """Return the cosine of the voices of two recordings, of each the first two minutes.

    Raises:
        AudioFileError: One cannot be read, or holds too little speech.
    """
    vectors = []
    for path in (first, second):
        audio, rate = audio_file.read(path)
        try:
            vectors.append(speaker_vector(audio[: _MAX_SECONDS * rate], rate))
        except AudioFileError as error:
            raise AudioFileError(path, error.reason) from None
    return float(vectors[0] @ vectors[1])


def speaker_vector(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the vector of a voice by the bundled encoder: as `SpeakerEncoder.vector`."""
    return speaker_encoder().vector(audio, sample_rate)
