"""The picture of `--before-after`: two spectrograms on one scale. Memory does not grow with the length of the recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..generate.contact_sheet import heat, mel_weights, window_length
from ..pictures.axes import FREQUENCY_AXIS, TIME_AXIS, draw_frequencies, draw_time
from ..pictures.lettering import draw_text, fitted, text_length

WIDTH, HEIGHT = 1200, 240  # of one spectrogram, pixels
_MARGIN, _HEADER, _CAPTION, _GAP = 16, 34, 18, 12
_WINDOWS = 4  # in a column at most; their mean stands for all that a column of a long recording covers
_PAGE, _INK, _QUIET = (20, 22, 28), (232, 234, 240), (140, 146, 160)


class Strip:
    """A spectrogram computed while the audio passes.

    Args:
        frames: Samples per channel in all.
        sample_rate: Hz.

    Attributes:
        power: float64 [HEIGHT, columns], mel-spaced rows, the highest first.
    """

    def __init__(self, frames: int, sample_rate: int):
        self.sample_rate, self.frames = sample_rate, frames
        fft = window_length(sample_rate)
        columns = max(1, min(WIDTH, -(-frames // (fft // 8))))
        several = int(np.clip(frames / columns / fft, 1, _WINDOWS))
        centres = (np.arange(columns * several) + 0.5) * frames / (columns * several)
        self._starts = np.clip(centres.astype(np.int64) - fft // 2, 0, max(0, frames - fft))
        self._columns = np.arange(columns * several) // several
        self._weights = mel_weights(fft, sample_rate, HEIGHT)
        self._window = np.hanning(fft + 1)[:-1]
        self.power = np.zeros((HEIGHT, columns))
        self._share = 1 / several
        self._next, self._begin = 0, 0
        self._audio = np.zeros(0)

    def add(self, audio: np.ndarray) -> None:
        """Take the next samples, [channels, n]. The picture shows the mean power of the first two channels."""
        mono = audio[0].astype(np.float64) if len(audio) == 1 else (audio[0] + 1j * audio[1])
        self._audio = np.concatenate([self._audio, mono])
        end, fft = self._begin + len(self._audio), len(self._window)
        last = int(np.searchsorted(self._starts, end - fft, side="right"))
        self._draw(last)
        keep = self._starts[last] - self._begin if last < len(self._starts) else len(self._audio)
        cut = int(np.clip(keep, 0, len(self._audio)))
        self._audio = self._audio[cut:]
        self._begin += cut

    def finish(self) -> None:
        """Compute the windows that reach beyond the end."""
        self._audio = np.concatenate([self._audio, np.zeros(len(self._window))])
        self._draw(len(self._starts))

    def _draw(self, last: int) -> None:
        fft = len(self._window)
        for first in range(self._next, last, 64):
            some = slice(first, min(first + 64, last))
            index = (self._starts[some] - self._begin)[:, None] + np.arange(fft)
            framed = self._audio[np.minimum(index, len(self._audio) - 1)] * self._window
            if np.iscomplexobj(framed):  # |F(a + ib)|^2 at f and -f adds up to the powers of both channels
                both = np.abs(np.fft.fft(framed)) ** 2
                power = (both[:, : fft // 2 + 1] + np.roll(both[:, ::-1], 1, axis=1)[:, : fft // 2 + 1]) / 4
            else:
                power = np.abs(np.fft.rfft(framed)) ** 2
            np.add.at(self.power.T, self._columns[some], power @ self._weights.T * self._share)
        self._next = max(self._next, last)


def draw(strips: Sequence[tuple[str, Strip]], title: str) -> Image.Image:
    """Draw the strips below each other with their captions, all on the scale of the first: 80 dB down from its loudest point."""
    first = strips[0][1]
    seconds = first.frames / first.sample_rate
    height = _MARGIN + _HEADER + len(strips) * (_CAPTION + HEIGHT + TIME_AXIS + _GAP)
    left = _MARGIN + FREQUENCY_AXIS
    page = Image.new("RGB", (left + WIDTH + _MARGIN, height), _PAGE)
    pen = ImageDraw.Draw(page)
    axes = f"{seconds:.2f} s, 0 to {first.sample_rate / 2000:g} kHz mel, 80 dB"
    draw_text(pen, (left + WIDTH, _MARGIN + 4), axes, 12, _QUIET, align="right")
    draw_text(pen, (_MARGIN, _MARGIN), fitted(title, 17, WIDTH - text_length(axes, 12) - 20), 17, _INK)
    reference = float(first.power.max(initial=0.0))
    top = _MARGIN + _HEADER
    for caption, strip in strips:
        draw_text(pen, (left, top), fitted(caption, 12, WIDTH), 12, _INK)
        picture = Image.fromarray(heat(strip.power, reference)).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
        page.paste(picture, (left, top + _CAPTION))
        draw_frequencies(pen, left, top + _CAPTION, HEIGHT, strip.sample_rate)
        draw_time(pen, left, top + _CAPTION + HEIGHT, WIDTH, seconds)
        top += _CAPTION + HEIGHT + TIME_AXIS + _GAP
    return page
