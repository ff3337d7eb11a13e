"""Decode, measure and trim recordings for denoiser.py."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

SOUNDS = (".wav", ".ogg", ".oga", ".flac", ".mp3", ".opus", ".aif", ".aiff", ".au", ".g722")
# Music and voices are not noise: a denoiser must keep the ones and was not to learn to remove the others.
NOT_NOISE = re.compile(
    r"music|title|theme|/voice|voices|dialog|speech/|campaigns/|ingame|beep|menus?\d|fanfare|horn-signals|/news|/pop\.|arcade|cinematic|guitar|"
    r"piano|jazz|binaural|singing-bowl|silence|scenario",
    re.I,
)
_NOISE_SECONDS = (0.15, 180.0)  # shorter sounds are left out, longer ones cut
_SPEECH_SECONDS = {"speech": (0.9, np.inf), "expressive": (0.35, 40.0)}
# Quantile taken of the quietest and of the loudest 5 % of the frames, digital silence in dBFS, share of samples at full scale.
_MEASURE = {"speech": (0.5, -110.0, 5e-4), "expressive": (1.0, -95.0, 3e-3)}
_MARGIN_SECONDS = 0.3  # kept on both sides of what the edited file holds


def decode(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Mono float32 [samples] and the sample rate in Hz. The channels' mean; the first channel where they cancel each other.

    Raises:
        ValueError: Neither libsndfile nor ffmpeg reads it.
    """
    suffix = Path(name).suffix.lower()
    try:
        if suffix in (".g722", ".webm"):  # libsndfile reads neither
            raise soundfile.LibsndfileError(1)
        audio, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError):
        audio, rate = _ffmpeg(data, suffix)
    if not len(audio):
        raise ValueError(f"{name}: no samples")
    mean = audio.mean(axis=1)
    return (audio[:, 0] if np.mean(mean**2) < 0.3 * np.mean(audio[:, 0] ** 2) else mean), rate


def _ffmpeg(data: bytes, suffix: str) -> tuple[np.ndarray, int]:
    rate = 16000 if suffix == ".g722" else 48000
    form = ["-f", "g722"] if suffix == ".g722" else []
    command = ["ffmpeg", "-nostdin", "-v", "error", *form, "-i", "pipe:0", "-ac", "1", "-ar", str(rate), "-f", "f32le", "pipe:1"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"ffmpeg cannot read it: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 1).copy(), rate


def resampled(audio: np.ndarray, rate: int, target: int) -> np.ndarray:
    """The same sound at another rate."""
    return audio if rate == target else soxr.resample(audio, rate, target, quality="VHQ")


def background_db(audio: np.ndarray, rate: int, part: str = "speech") -> float:
    """Level of the quietest frames of 20 ms relative to that of the loudest, in dB; 0 where there are too few frames. Digital silence is no
    background: its frames do not count."""
    quantile, silence, _ = _MEASURE[part]
    frame = rate // 50
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)
    levels = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-14)
    levels = np.sort(levels[levels > silence])
    if len(levels) < 5:
        return 0.0
    few = max(1, len(levels) // 20)
    return float(np.quantile(levels[:few], quantile) - np.quantile(levels[-few:], quantile))


def band_edge_hz(audio: np.ndarray, rate: int) -> float:
    """Frequency below which 99.99 % of the energy lies."""
    power = np.cumsum(np.abs(np.fft.rfft(audio)) ** 2)
    return float(np.searchsorted(power, 0.9999 * power[-1]) * rate / len(audio))


def fault(audio: np.ndarray, rate: int, part: str, floor_db: float) -> str:
    """Why a recording of speech is no clean target: length, level, clipped, background or band; empty if it is one."""
    shortest, longest = _SPEECH_SECONDS[part]
    if not shortest <= len(audio) / rate <= longest:
        return "length"
    peak = float(np.max(np.abs(audio)))
    if peak <= 0.003:
        return "level"
    if peak > 0.98 and np.mean(np.abs(audio) > 0.999 * peak) > _MEASURE[part][2]:
        return "clipped"
    at = 16000 if part == "speech" else rate
    audio = resampled(audio, rate, at)
    if background_db(audio, at, part) > floor_db:
        return "background"
    return "band" if part == "speech" and band_edge_hz(audio, at) <= 2000.0 else ""


def as_recorded(edited: np.ndarray, rate: int, recorded: np.ndarray, recorded_rate: int) -> np.ndarray:
    """What an edited file (silence cut off, noise reduced) was made from: the stretch of the recording where the two fit, with 0.3 s on
    both sides."""
    at = 8000
    short, long = soxr.resample(edited, rate, at), soxr.resample(recorded, recorded_rate, at)
    size = 1 << (len(long) + len(short)).bit_length()
    lag = int(np.argmax(np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size)), size)))
    lag -= size if lag >= len(long) else 0  # negative lags stand at the end
    start = round((lag / at - _MARGIN_SECONDS) * recorded_rate)
    stop = round((lag / at + len(edited) / rate + _MARGIN_SECONDS) * recorded_rate)
    return recorded[max(0, start) : min(len(recorded), stop)]


def noise_of(audio: np.ndarray, rate: int, target: int = 0) -> tuple[np.ndarray, int] | None:
    """The sound without mean, without silence around it and with a peak of 0.7, and its rate; None where too little is left.

    Args:
        target: Rate in Hz; 0: 48000 for recordings of 32 kHz or more, else 16000.
    """
    shortest, longest = _NOISE_SECONDS
    audio = audio[: round(longest * rate)]
    audio = audio - audio.mean()
    frame = rate // 100
    power = np.mean(audio[: len(audio) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    if not len(power) or power.max() < 1e-7:
        return None
    heard = np.flatnonzero(power > 1e-5 * power.max())
    audio = audio[heard[0] * frame : (heard[-1] + 1) * frame]
    if len(audio) < shortest * rate:
        return None
    target = target or (48000 if rate >= 32000 else 16000)
    audio = resampled(audio, rate, target)
    return audio * (0.7 / np.max(np.abs(audio))), target


def write(path: Path, audio: np.ndarray, rate: int) -> None:
    """Write FLAC of 16 bit; an interruption leaves no half file of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    soundfile.write(part, np.clip(audio, -1.0, 1.0 - 2.0**-15), rate, subtype="PCM_16", format="FLAC")
    part.replace(path)
