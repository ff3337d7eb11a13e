"""Seamless loops: the best place of a recording to jump back from, and a cross-fade over the jump."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...data.audio import audio_file
from ...errors import AudioFileError, UsageError
from ...signal.cross_fade import cross_fade, similarity
from ...signal.mel import mel_filter_bank
from .recordings import writer_like

MAX_SECONDS = 600.0
_BANDS, _WINDOW_SECONDS = 24, 0.032
_MAX_PLACES = 1500  # frames compared at either end
_CANDIDATES, _REFINE_SECONDS = 12, 0.012
_TOLERANCE = 0.05  # share by which a loop may be longer or shorter than asked for


@dataclass(frozen=True)
class Loop:
    """A loop: audio from `start` to `end`, whose first `fade` samples are cross-faded with what follows `end`.

    Attributes:
        start, end, fade: Samples.
        correlation: Of the two sounds in the cross-fade, -1 to 1.
    """

    start: int
    end: int
    fade: int
    correlation: float


def find_loop(audio: np.ndarray, sample_rate: int, fade: int, length: int | None = None) -> Loop:
    """Find where a recording can jump back most smoothly.

    Pairs of places are compared by the log-mel spectrogram over the cross-fade; the best of them are shifted by up to 12 ms until the
    waveforms agree, and the pair with the highest correlation wins.

    Args:
        audio: float [n, channels].
        sample_rate: Hz.
        fade: Length of the cross-fade, samples.
        length: Length of the loop, samples, kept within 5 %; None: from the first quarter of the recording to the last.

    Raises:
        UsageError: The recording is too short.
    """
    n, refine = len(audio), round(_REFINE_SECONDS * sample_rate)
    needed = (2 * fade if length is None else round(length * (1 + _TOLERANCE))) + fade + 2 * refine
    if n < needed:
        have, wanted = n / sample_rate, needed / sample_rate
        raise UsageError(f"The recording has {have:.2f} s; this loop needs {wanted:.2f} s.", hint="a shorter --seconds or --fade")
    mono = audio.mean(axis=1)
    share = n // 4 if length is None else n - needed + 1
    hop = max(round(0.005 * sample_rate), -(-share // _MAX_PLACES))
    frames = _log_mel(mono, sample_rate, hop)
    width = max(1, fade // hop)
    views = sliding_window_view(frames, width, axis=0).reshape(len(frames) - width + 1, -1)
    limit = (n - fade - refine) // hop
    if length is None:
        begins, ends = np.arange(0, n // 4 // hop + 1), np.arange(max(0, 3 * n // 4 // hop), limit + 1)
    else:
        begins, ends = np.arange(0, share // hop + 1), np.arange(0, limit + 1)
    begins, ends = begins[begins < len(views)], ends[ends < len(views)]
    first, last = views[begins], views[ends]
    distance = (first**2).sum(1)[:, None] + (last**2).sum(1)[None] - 2 * first @ last.T
    gaps = (ends[None] - begins[:, None]) * hop
    allowed = gaps >= 2 * fade if length is None else np.abs(gaps - length) <= _TOLERANCE * length
    distance[~allowed] = np.inf
    best: Loop | None = None
    for place in np.argsort(distance, axis=None)[:_CANDIDATES].tolist():
        row, column = divmod(place, len(ends))
        if np.isfinite(distance[row, column]):
            found = _refined(audio, int(begins[row]) * hop, int(ends[column]) * hop, fade, refine)
            best = found if best is None or found.correlation > best.correlation else best
    if best is None:
        raise UsageError("No loop of that length fits into the recording.", hint="a shorter --seconds")
    return best


def _refined(audio: np.ndarray, start: int, end: int, fade: int, reach: int) -> Loop:
    low, high = max(start + 2, end - reach), min(len(audio) - fade, end + reach)
    wanted = audio[start : start + fade].astype(np.float64)
    product = sum(np.correlate(audio[low : high + fade, c].astype(np.float64), wanted[:, c], "valid") for c in range(audio.shape[1]))
    energy = np.convolve((audio[low : high + fade].astype(np.float64) ** 2).sum(axis=1), np.ones(fade), "valid")
    end = low + int(np.argmax(product / np.sqrt(energy + 1e-9)))
    return Loop(start, end, fade, similarity(audio[end : end + fade], audio[start : start + fade]))


def _log_mel(mono: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Return float32 [frames, bands]; frame i begins at sample i hop."""
    size = round(_WINDOW_SECONDS * sample_rate)
    fft = 1 << (size - 1).bit_length()
    bank = mel_filter_bank(sample_rate, fft, _BANDS)
    windows = sliding_window_view(np.pad(mono, (0, size)), size)[::hop]
    parts = [np.abs(np.fft.rfft(windows[i : i + 512] * np.hanning(size), fft)) @ bank for i in range(0, len(windows), 512)]
    return np.log(np.concatenate(parts) + 1e-4).astype(np.float32)


def loop_audio(audio: np.ndarray, loop: Loop) -> np.ndarray:
    """Return the loop, float [end - start, channels]: played again and again, it goes on without a seam."""
    start, end, fade = loop.start, loop.end, loop.fade
    return np.concatenate([cross_fade(audio[end : end + fade], audio[start : start + fade]), audio[start + fade : end]])


def make_loop(
    path: Path, output: Path, *, seconds: float | None = None, fade_ms: float = 100.0, repeat: int = 1, overwrite: bool = False
) -> dict[str, Any]:
    """Write a loop of a recording of up to ten minutes.

    Args:
        path, output: Files.
        seconds: Length of the loop, within 5 %; None: as long as the recording allows.
        fade_ms: Length of the cross-fade.
        repeat: Number of times that the loop is written.
        overwrite: Replace an existing output.

    Returns:
        "start", "end": where the loop lies in the recording, seconds; "loop_seconds", "correlation", "seconds", "clipped".
    """
    if not 1 <= fade_ms <= 10_000 or repeat < 1 or (seconds is not None and seconds <= 0):
        raise UsageError("Expected a --fade from 1 to 10000 ms, a --repeat of at least 1, and --seconds above 0.")
    info = audio_file.probe(path)
    if info.seconds > MAX_SECONDS:
        hint = f"sox {path} part.wav trim 0 {MAX_SECONDS:g}"
        raise AudioFileError(path, f"has {info.seconds:.0f} s; a loop is looked for in at most {MAX_SECONDS:g} s", hint=hint)
    audio, rate = audio_file.read(path)
    loop = find_loop(audio, rate, round(fade_ms * rate / 1000), None if seconds is None else round(seconds * rate))
    whole = loop_audio(audio, loop)
    facts = {"edit": "loop", "loop_seconds": round(len(whole) / rate, 4)}
    with writer_like(output, info, facts, channels=info.channels, sample_rate=rate, overwrite=overwrite) as out:
        for _ in range(repeat):
            out.write(whole)
    return {
        "output": output,
        "start": round(loop.start / rate, 4),
        "end": round(loop.end / rate, 4),
        "loop_seconds": round(len(whole) / rate, 4),
        "correlation": round(loop.correlation, 3),
        "seconds": out.frames / rate,
        "clipped": out.clipped,
    }
