"""Ticks of spectrograms: time below, mel-spaced frequency at the left."""

from __future__ import annotations

import math

from PIL import ImageDraw

from .lettering import draw_text, text_length

TIME_AXIS, FREQUENCY_AXIS = 16, 30  # height and width that the numbers take, pixels
_SIZE = 10
_QUIET = (140, 146, 160)
_STEPS = [factor * 10.0**power for power in range(-4, 2) for factor in (1, 2, 5)] + [
    60.0 * n for n in (1, 2, 5, 10, 20, 30, 60, 120, 360, 720)
]
_FREQUENCIES = (125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000)  # Hz


def time_ticks(seconds: float, most: int) -> list[tuple[float, str]]:
    """Return (seconds, text) of at most `most` ticks from 0 on; the last has the unit where it is not minutes and seconds."""
    step = next((step for step in _STEPS if seconds / step < most), _STEPS[-1])
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    count = math.floor(seconds / step + 1e-9) + 1
    if step >= 60:
        return [
            (n * step, f"{n * step // 3600:.0f}:{n * step % 3600 // 60:02.0f} h" if seconds >= 3600 else f"{n * step / 60:.0f} min")
            for n in range(count)
        ]
    return [(n * step, f"{n * step:.{places}f}" + (" s" if n == count - 1 else "")) for n in range(count)]


def mel_ticks(sample_rate: int, height: int) -> list[tuple[float, str]]:
    """Return (row from the top, text) of octaves on a mel axis from 0 Hz to half the sample rate, far enough apart to read."""
    mel = lambda hertz: math.log10(1 + hertz / 700)
    ticks: list[tuple[float, str]] = []
    for hertz in reversed([hertz for hertz in _FREQUENCIES if hertz <= sample_rate / 2]):
        row = (1 - mel(hertz) / mel(sample_rate / 2)) * (height - 1)
        if not ticks or row - ticks[-1][0] >= 1.5 * _SIZE:
            ticks.append((row, f"{hertz // 1000}k" if hertz >= 1000 else str(hertz)))
    return ticks


def draw_time(pen: ImageDraw.ImageDraw, left: int, top: int, width: int, seconds: float) -> None:
    """Draw ticks with numbers below a picture that is `width` pixels wide and `seconds` long, in the `TIME_AXIS` pixels from `top` on."""
    ticks = time_ticks(seconds, max(2, width // 60))
    for second, text in ticks:
        x = left + (second / seconds if seconds else 0.0) * (width - 1)
        pen.line((x, top, x, top + 3), fill=_QUIET)
        middle = min(max(x, left + text_length(text, _SIZE) / 2), left + width - text_length(text, _SIZE) / 2)
        draw_text(pen, (middle, top + 3), text, _SIZE, _QUIET, align="middle")


def draw_frequencies(pen: ImageDraw.ImageDraw, left: int, top: int, height: int, sample_rate: int) -> None:
    """Draw ticks with numbers in Hz at the left of a spectrogram whose left edge is `left`, in the `FREQUENCY_AXIS` pixels before it."""
    for row, text in mel_ticks(sample_rate, height):
        pen.line((left - 4, top + row, left - 1, top + row), fill=_QUIET)
        draw_text(pen, (left - 6, top + row - 0.6 * _SIZE), text, _SIZE, _QUIET, align="right")
