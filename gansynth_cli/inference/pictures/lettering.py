"""Text of pictures in the bundled fonts, a font for each letter: Latin, Cyrillic and Greek, kana and kanji.

Pillow's built-in font has ASCII alone, and draws the same box for every other letter.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

_FONTS = ("DejaVuSans.ttf", "DotGothic16-jis1.woff")
_FOLDER = Path(__file__).parent / "fonts"
_NONCHARACTER = "\uffff"  # no font has it: its glyph is the one of missing letters


@cache
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    # The basic layout needs no further library and looks the same everywhere.
    return tuple(ImageFont.truetype(_FOLDER / name, size, layout_engine=ImageFont.Layout.BASIC) for name in _FONTS)


@cache
def _font_of(letter: str) -> int | None:
    """Return the number of the first font that has a letter."""
    if unicodedata.category(letter)[0] == "C":  # control characters and bytes of names that are not UTF-8
        return None
    for number, font in enumerate(_fonts(16)):
        shown, missing = font.getmask(letter), font.getmask(_NONCHARACTER)
        if (shown.size, bytes(shown)) != (missing.size, bytes(missing)):
            return number
    return None


def readable(text: str) -> str:
    """Return a text with its letters composed, and those that no font has by number: "[U+0E01]"."""
    return "".join(letter if _font_of(letter) is not None else f"[U+{ord(letter):04X}]" for letter in unicodedata.normalize("NFC", text))


def text_length(text: str, size: int) -> float:
    """Return the width of a readable text in pixels."""
    return sum(_fonts(size)[number].getlength(part) for number, part in _parts(text))


def fitted(text: str, size: int, space: float) -> str:
    """Return a text as it is drawn within `space` pixels: readable, and shortened in its middle, as names differ at both ends."""
    text = readable(text)
    shown, kept = text, len(text)
    while kept > 4 and text_length(shown, size) > space:
        kept -= 1
        shown = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
    return shown


def draw_text(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, fill: tuple[int, int, int], *, align: str = "left"
) -> None:
    """Draw a line of text.

    Args:
        pen: Of the page.
        place: Left, middle or right end, as `align` says, and top of the letters, pixels.
        text: From `fitted`, or any.
        size: Height of the font, pixels.
        fill: Colour.
        align: "left", "middle" or "right".
    """
    text = readable(text)
    left = place[0] - text_length(text, size) * {"left": 0.0, "middle": 0.5, "right": 1.0}[align]
    baseline = place[1] + _fonts(size)[0].getmetrics()[0]
    for number, part in _parts(text):
        font = _fonts(size)[number]
        pen.text((left, baseline), part, fill=fill, font=font, anchor="ls")
        left += font.getlength(part)


def _parts(text: str) -> list[tuple[int, str]]:
    """Split a readable text into runs of one font."""
    return [(number, "".join(letters)) for number, letters in groupby(text, lambda letter: _font_of(letter) or 0)]
