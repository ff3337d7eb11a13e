"""A page with the waveform and the spectrogram of many clips, each with its name, for a look before listening."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...files import replacing
from ..pictures.axes import FREQUENCY_AXIS, TIME_AXIS, draw_frequencies, draw_time
from ..pictures.lettering import draw_text, fitted, text_length

MAX_TILES = 64  # more would be too small to read on a screen

_TILE = 200  # pixels
_WAVE, _SPECTROGRAM, _CAPTION = 40, 92, 17
_GAP, _MARGIN, _HEADER = 10, 16, 34
_LEFT = _MARGIN + FREQUENCY_AXIS  # of the first tile
_RANGE_DB = 80.0
_WINDOW_SECONDS = 0.032  # long enough to separate the harmonics of a voice, short enough to show a drum's attack
_PAGE, _EMPTY, _INK, _QUIET = (20, 22, 28), (28, 31, 39), (232, 234, 240), (140, 146, 160)
# From black over violet and orange to pale yellow, rising evenly in lightness, so that it also reads in grey.
_HEAT = np.array([(4, 4, 12), (42, 14, 84), (112, 30, 110), (183, 55, 94), (236, 105, 55), (252, 174, 52), (252, 252, 190)], np.float64)
# Distinguishable for most colour-blind readers (Okabe and Ito 2008), lightened for a dark page.
_WAVE_COLOURS = [
    (110, 190, 240),
    (240, 180, 70),
    (70, 200, 160),
    (235, 130, 185),
    (240, 225, 90),
    (225, 120, 70),
    (120, 150, 235),
    (190, 194, 204),
]


@dataclass(frozen=True)
class Tile:
    """One clip of a sheet: float32 [samples, channels] in [-1, 1], its caption, and the label that picks its colour."""

    audio: np.ndarray
    caption: str
    label: str = ""


def draw(tiles: Sequence[Tile], sample_rate: int, title: str, columns: int | None = None) -> Image.Image:
    """Draw a contact sheet.

    All waveforms share one scale, that of the loudest clip, and all tiles one time axis, that of the longest clip. Each
    spectrogram has its own level: 0 to -80 dB below its loudest point. Frequency is on the mel scale, 0 Hz at the bottom.

    Args:
        tiles: 1 to 64 clips.
        sample_rate: Hz.
        title: Line above the tiles.
        columns: Tiles in a row; None chooses a number that gives a page about as wide as high and, where few labels take
            turns, a column for each label.

    Returns:
        RGB image, 262 to 1,732 pixels wide.
    """
    tiles = tiles[:MAX_TILES]
    labels = list(dict.fromkeys(tile.label for tile in tiles))
    columns = columns or _columns(len(tiles), len(labels))
    rows = math.ceil(len(tiles) / columns)
    height = _CAPTION + _WAVE + _SPECTROGRAM
    size = (_LEFT + columns * (_TILE + _GAP) - _GAP + _MARGIN, _MARGIN + _HEADER + rows * (height + _GAP) - _GAP + TIME_AXIS + _MARGIN)
    page = Image.new("RGB", size, _PAGE)
    pen = ImageDraw.Draw(page)
    longest = max(1, *(len(tile.audio) for tile in tiles))
    loudest = max(1e-9, *(float(np.abs(tile.audio).max(initial=0.0)) for tile in tiles))
    _header(pen, size[0], title, f"{longest / sample_rate:.2f} s, 0 to {sample_rate / 2000:g} kHz mel, {_RANGE_DB:.0f} dB")
    weights = mel_weights(window_length(sample_rate), sample_rate)
    for position, tile in enumerate(tiles):
        left = _LEFT + position % columns * (_TILE + _GAP)
        top = _MARGIN + _HEADER + position // columns * (height + _GAP)
        width = max(1, round(_TILE * len(tile.audio) / longest))
        colour = _WAVE_COLOURS[labels.index(tile.label) % len(_WAVE_COLOURS)]
        level = f"{round(_decibels(tile.audio))} dB" if np.any(tile.audio) else "silent"
        draw_text(pen, (left, top), fitted(tile.caption, 12, _TILE - text_length(level, 12) - 6), 12, _INK)
        draw_text(pen, (left + _TILE, top), level, 12, _QUIET, align="right")
        pen.rectangle((left, top + _CAPTION, left + _TILE - 1, top + height - 1), fill=_EMPTY)
        page.paste(Image.fromarray(_waveform(tile.audio / loudest, width, colour)), (left, top + _CAPTION))
        page.paste(Image.fromarray(_spectrogram(tile.audio, width, weights)), (left, top + _CAPTION + _WAVE))
        if position % columns == 0:
            draw_frequencies(pen, left, top + _CAPTION + _WAVE, _SPECTROGRAM, sample_rate)
        if position + columns >= len(tiles):
            draw_time(pen, left, top + height, _TILE, longest / sample_rate)
    return page


def save(page: Image.Image, path: Path) -> None:
    """Write the page as PNG in one step: the name never shows half a file.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(path) as temporary:
        page.save(temporary, "PNG")


def _columns(tiles: int, labels: int) -> int:
    square = min(8, math.ceil(math.sqrt(tiles)))
    # Labels that take turns line up in columns if the width is a multiple of their number.
    fitting = [n for n in range(labels, 9, labels) if n >= square - 1] if 1 < labels <= 8 else []
    return min(tiles, fitting[0] if fitting else square)


def _header(pen: ImageDraw.ImageDraw, width: int, title: str, axes: str) -> None:
    space: float = width - 2 * _MARGIN
    axes_width = text_length(axes, 12)
    if axes_width + 160 < space:
        draw_text(pen, (width - _MARGIN, _MARGIN + 4), axes, 12, _QUIET, align="right")
        space -= axes_width + 20
    draw_text(pen, (_MARGIN, _MARGIN), fitted(title, 17, space), 17, _INK)


def _decibels(audio: np.ndarray) -> float:
    return 20 * math.log10(max(float(np.abs(audio).max(initial=0.0)), 1e-9))


def _waveform(audio: np.ndarray, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Draw uint8 [_WAVE, width, 3]: in each column a bar from the smallest to the largest sample that falls on it."""
    edges = np.linspace(0, len(audio), width + 1).astype(int)
    picture = np.full((_WAVE, width, 3), _EMPTY, np.uint8)
    middle = (_WAVE - 1) / 2
    rows = np.arange(_WAVE)
    for column in range(width):
        part = audio[edges[column] : max(edges[column + 1], edges[column] + 1)]
        high, low = (float(part.max()), float(part.min())) if part.size else (0.0, 0.0)
        inside = (rows >= math.floor(middle - high * middle)) & (rows <= math.ceil(middle - low * middle))
        picture[inside, column] = colour
    return picture


def window_length(sample_rate: int) -> int:
    """Return the length of the analysis window, a power of two near 32 ms."""
    return max(16, 2 ** round(math.log2(_WINDOW_SECONDS * sample_rate)))


def mel_weights(fft: int, sample_rate: int, rows: int = _SPECTROGRAM) -> np.ndarray:
    """Return [rows, fft / 2 + 1]: for each row of pixels, top first, the weight of each bin; rows sum to 1."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    centres = 700 * (10 ** (np.linspace(0, top, rows) / 2595) - 1) / sample_rate * fft
    reach = np.maximum(np.gradient(centres), 1.0)  # at least one bin wide: low rows interpolate, high rows average
    weights = np.maximum(0.0, 1 - np.abs(np.arange(fft // 2 + 1) - centres[:, None]) / reach[:, None])
    return (weights / weights.sum(axis=1, keepdims=True))[::-1]


def _spectrogram(audio: np.ndarray, width: int, weights: np.ndarray) -> np.ndarray:
    """Draw uint8 [_SPECTROGRAM, width, 3], one frame per column, centred on it."""
    fft = 2 * (weights.shape[1] - 1)
    mono = np.pad(audio.mean(axis=1).astype(np.float64), fft // 2)
    starts = np.minimum(((np.arange(width) + 0.5) / width * len(audio)).astype(int), max(len(audio) - 1, 0))
    frames = mono[starts[:, None] + np.arange(fft)] * np.hanning(fft + 1)[:-1]
    power = weights @ (np.abs(np.fft.rfft(frames)) ** 2).T
    return heat(power, power.max(initial=0.0))


def heat(power: np.ndarray, reference: float) -> np.ndarray:
    """Return the colours of a power spectrogram, uint8 [rows, columns, 3], from `reference` down to 80 dB below it."""
    if reference <= 0:
        level = np.zeros_like(power)
    else:
        level = np.clip(1 + 10 * np.log10(np.maximum(power / reference, 1e-30)) / _RANGE_DB, 0, 1)
    place = level * (len(_HEAT) - 1)
    below = np.minimum(place.astype(int), len(_HEAT) - 2)
    share = (place - below)[..., None]
    return np.rint((1 - share) * _HEAT[below] + share * _HEAT[below + 1]).astype(np.uint8)
