"""Measures of a converted recording against its source, and against the target's own recording of the same words.

Such figures depend on their conventions; each docstring states its own. All work at 16 kHz on one channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft as scipy_fft

from ...data.audio import audio_file
from ...data.text.edit_distance import edit_distance
from ...errors import MissingExtraError
from ...signal.mel_convention import MelConvention
from ...signal.mel_frames import log_mel
from ...signal.pitch import ln_f0_contour
from ..figure import MetricError

RATE = 16000
COEFFICIENTS = 24  # c1 to c24; c0, the level, is left out
CONVENTION = MelConvention(sample_rate=RATE, fft=512, window=512, hop=80, bands=80, floor=1e-5).resolved(RATE)  # 32 ms, every 5 ms
SILENT_DB = 40.0  # frames further below the loudest are left out of cepstra and energies
MAX_SECONDS = 30.0  # aligned at most: memory grows with the square of the length
_PER_DB = 10.0 / np.log(10.0) * np.sqrt(2.0)
_MIN_FRAMES = 10
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class Speech:
    """One recording, analysed.

    Attributes:
        audio: float32 [samples], 16 kHz.
        cepstra: float64 [frames, 24], every 5 ms, ln |H| = c0 + c1 cos w + ...
        energy_db: float64 [frames].
        active: bool [frames], within 40 dB of the loudest.
        ln_f0: float32 [frames]; 0 where unvoiced.
    """

    audio: np.ndarray
    cepstra: np.ndarray
    energy_db: np.ndarray
    active: np.ndarray
    ln_f0: np.ndarray


def analyse(audio: np.ndarray, sample_rate: int) -> Speech:
    """Analyse spectra, level and pitch of a recording, float [samples].

    Raises:
        MetricError: Silence, or less than 50 ms of sound within 40 dB of its loudest.
        GanAudioError: No F0 tracker is installed.
    """
    audio = audio_file.resample(np.asarray(audio, np.float32), sample_rate, RATE)
    if not np.abs(audio).max(initial=0.0) > 1e-4:
        raise MetricError("silent")
    mel = log_mel(audio, CONVENTION)
    cepstra = scipy_fft.dct(mel.astype(np.float64), type=2, norm="ortho", axis=1)[:, 1 : COEFFICIENTS + 1] * np.sqrt(2 / mel.shape[1])
    energy = 10 * np.log10(np.exp(2.0 * mel.astype(np.float64)).sum(axis=1))
    active = energy > energy.max() - SILENT_DB
    if active.sum() < _MIN_FRAMES:
        raise MetricError(f"{active.sum()} frames of 5 ms hold sound; expected at least {_MIN_FRAMES}")
    return Speech(audio, cepstra, energy, active, ln_f0_contour(audio, CONVENTION))


def align(first: Speech, second: Speech) -> tuple[np.ndarray, np.ndarray]:
    """Align two recordings by dynamic time warping of the active frames: frame numbers of both, [path] each, into the whole recordings.

    Euclidean distance of c1 to c24; steps (1, 1), (1, 0), (0, 1) of equal weight (`librosa.sequence.dtw`); both begin and end together.
    Silence is removed first, because it would dominate the alignment. At most the first 30 s of either.

    Raises:
        MissingExtraError: librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise MissingExtraError("Aligning recordings in time", "metrics") from error
    most = round(MAX_SECONDS * RATE / CONVENTION.hop)
    numbers = [np.flatnonzero(speech.active)[:most] for speech in (first, second)]
    _, path = librosa.sequence.dtw(first.cepstra[numbers[0]].T, second.cepstra[numbers[1]].T, metric="euclidean")
    path = path[::-1]
    return numbers[0][path[:, 0]], numbers[1][path[:, 1]]


def side_by_side(first: Speech, second: Speech) -> tuple[np.ndarray, np.ndarray]:
    """Pair the frames of recordings with one timing, such as a conversion and its source: frame numbers of both, where either is active.

    Raises:
        MetricError: They differ by more than 0.1 s in length.
    """
    gap = abs(len(first.audio) - len(second.audio)) / RATE
    if gap > 0.1:
        raise MetricError(f"they differ by {gap:.2f} s in length")
    n = min(len(first.active), len(second.active))
    both = np.flatnonzero(first.active[:n] | second.active[:n])
    return both, both


def mel_cepstral_distortion(first: Speech, second: Speech, frames: tuple[np.ndarray, np.ndarray]) -> float:
    """Compute MCD, dB: 10 / ln 10 x sqrt(2 sum of squared differences of c1 to c24), mean over the path of `align` or `side_by_side`.

    Cepstra are cosine transforms of log-mel magnitudes (80 Slaney bands to 8 kHz, windows of 32 ms every 5 ms, natural logarithm of at
    least 1e-5) on the scale of a mel-cepstrum, ln |H| = c0 + c1 cos w + c2 cos 2w + ... Papers take them from WORLD's or SPTK's
    envelope instead; their values are not comparable.
    """
    difference = first.cepstra[frames[0]] - second.cepstra[frames[1]]
    return float((_PER_DB * np.sqrt(np.square(difference).sum(axis=1))).mean())


def pitch_figures(first: Speech, second: Speech, frames: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Compare the pitch of two recordings along a path.

    Returns:
        Over the frames that are voiced in both: "log_f0_rmse" (nats; 0.058 is a semitone), "log_f0_correlation" (Pearson), "f0_shift"
        (semitones by which the median of the second is higher); and "voicing_error": the share of the path that is voiced in one
        and not in the other.

    Raises:
        MetricError: Fewer than 10 frames are voiced in both.
    """
    a, b = (speech.ln_f0[np.minimum(numbers, len(speech.ln_f0) - 1)] for speech, numbers in zip((first, second), frames, strict=True))
    both = (a > 0) & (b > 0)
    if both.sum() < _MIN_FRAMES:
        raise MetricError(f"F0: {both.sum()} frames are voiced in both; expected at least {_MIN_FRAMES}")
    x, y = a[both].astype(np.float64), b[both].astype(np.float64)
    return {
        "log_f0_rmse": float(np.sqrt(np.mean(np.square(x - y)))),
        "log_f0_correlation": correlation(x, y),
        "f0_shift": float((np.median(y) - np.median(x)) / _SEMITONE),
        "voicing_error": float(np.mean((a > 0) != (b > 0))),
    }


def energy_correlation(first: Speech, second: Speech, frames: tuple[np.ndarray, np.ndarray]) -> float:
    """Compute Pearson's correlation of the levels in dB (of all mel bands, every 5 ms) along a path; 1: the same dynamics."""
    return correlation(first.energy_db[frames[0]], second.energy_db[frames[1]])


def waveform_correlation(first: Speech, second: Speech) -> float:
    """Compute Pearson's correlation of the samples; meaningless after a conversion, because a change of pitch alone makes it 0."""
    n = min(len(first.audio), len(second.audio))
    return correlation(first.audio[:n].astype(np.float64), second.audio[:n].astype(np.float64))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Compute Pearson's r; 0 if one of the two is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt(np.square(x).sum() * np.square(y).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else 0.0


def mean_ln_f0(speech: Speech) -> float:
    """Return the mean of ln F0 over the voiced frames.

    Raises:
        MetricError: Fewer than 10 of them.
    """
    voiced = speech.ln_f0[speech.ln_f0 > 0]
    if len(voiced) < _MIN_FRAMES:
        raise MetricError(f"F0: {len(voiced)} frames are voiced; expected at least {_MIN_FRAMES}")
    return float(voiced.mean())


def variance_of(speech: Speech) -> np.ndarray:
    """Compute the global variance of c1 to c24 over the active frames of a recording (Toda et al. 2007), [24]."""
    return speech.cepstra[speech.active].var(axis=0)


def spread(vectors: np.ndarray) -> float:
    """Compute the mean Euclidean distance between all pairs of [recordings, features]; 0 for fewer than two."""
    if len(vectors) < 2:
        return 0.0
    square = np.square(vectors).sum(axis=1)
    distances = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * vectors @ vectors.T, 0.0))
    return float(distances.sum() / (len(vectors) * (len(vectors) - 1)))


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """Count (substitutions, deletions and insertions that turn one text into the other; words of the reference); letters and digits."""
    first, second = _words(reference), _words(heard)
    return edit_distance(first, second), len(first)


def _words(text: str) -> list[str]:
    kept = ("".join(c for c in word if c.isalnum() or c == "'") for word in text.casefold().split())
    return [word for word in kept if word]
