"""WORLD's spectral envelope (CheapTrick, Morise 2015) as a log-mel spectrum: the timbre of a voice without its harmonics."""

from __future__ import annotations

import numpy as np

from ..errors import MissingExtraError
from .mel_convention import MelConvention
from .mel_frames import logarithm_of, window_of
from .pitch import frame_times

_UNVOICED_HZ = 500.0  # CheapTrick's own default where there is no pitch: a short window


def spectral_envelope(audio: np.ndarray, ln_f0: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Compute the power spectrum without harmonics at each frame of `convention`.

    Args:
        audio: float [samples] at the convention's rate, in [-1, 1].
        ln_f0: float [frames] from `signal.pitch.ln_f0_contour` in the same convention; 0 where unvoiced.
        convention: The resolved mel convention. A pitch whose three periods do not fit into its `fft` counts as the lowest that does.

    Returns:
        float64 [frames, fft // 2 + 1], scaled as in WORLD.

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise MissingExtraError("WORLD's spectral envelope", "world") from error
    c = convention
    hz = np.where(ln_f0 > 0, np.exp(np.minimum(ln_f0, 10.0)), 0.0).astype(np.float64)
    hz = np.where(hz > 0, np.maximum(hz, 3.0 * c.sample_rate / (c.fft - 3) + 1.0), _UNVOICED_HZ)
    times = frame_times(len(audio), c)
    sound = np.ascontiguousarray(audio, np.float64)
    # Logarithms need more than exact silence: fixed noise 110 dB below full scale is added.
    sound = sound + np.random.default_rng(0).normal(0.0, 3e-6, len(sound))
    return pyworld.cheaptrick(sound, hz, times[: len(hz)], c.sample_rate, fft_size=c.fft)


def envelope_mel(power: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Convert `spectral_envelope` to a mel convention: float32 [frames, bands].

    WORLD's power is per sample; times the energy of the window, noise has the same level in both.
    """
    return logarithm_of(np.asarray(power) * float(np.square(window_of(convention)).sum()), convention)
