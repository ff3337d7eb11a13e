"""Letters and ticks of the pictures."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gansynth_cli.inference.pictures.axes import mel_ticks, time_ticks
from gansynth_cli.inference.pictures.lettering import draw_text, fitted, readable, text_length


def drawn(text: str, size: int = 17) -> np.ndarray:
    page = Image.new("RGB", (600, 32))
    draw_text(ImageDraw.Draw(page), (2, 2), text, size, (255, 255, 255))
    return np.asarray(page.convert("L"))


def test_every_letter_has_a_shape_of_its_own():
    letters = "aüéßñçłžΩλЖяїスひ東音声。–€"
    assert readable(letters) == letters
    shapes = {drawn(letter).tobytes() for letter in letters}
    assert len(shapes) == len(letters)
    assert drawn("").tobytes() not in shapes


def test_letters_that_no_font_has_are_named():
    assert readable("a\u0e01\n\udcff.wav") == "a[U+0E01][U+000A][U+DCFF].wav"
    assert drawn("\u0e01").tobytes() != drawn("\udcff").tobytes()


def test_decomposed_names_are_those_of_composed_ones():
    name = "Grüße スネア ド"
    np.testing.assert_array_equal(drawn(unicodedata.normalize("NFD", name)), drawn(name))


def test_mixed_scripts_stand_on_one_line_and_end_where_they_are_measured():
    text = "kick スネア Ж"
    columns = np.flatnonzero(drawn(text).max(axis=0))
    assert columns[-1] == pytest.approx(2 + text_length(text, 17), abs=2)
    both = [np.flatnonzero(drawn(part).max(axis=1)) for part in ("H", "東")]
    assert abs(int(both[0][-1]) - int(both[1][-1])) <= 3


def test_long_names_lose_their_middle():
    name = "東京" * 60 + ".wav"
    shown = fitted(name, 12, 200)
    assert text_length(shown, 12) <= 200
    assert shown.startswith("東京")
    assert shown.endswith(".wav")
    assert fitted("short.wav", 12, 200) == "short.wav"


@pytest.mark.parametrize(
    "seconds,most,first,last",
    [
        (0.512, 5, "0.0", "0.4 s"),
        (10.0, 20, "0", "10 s"),
        (600.0, 6, "0 min", "10 min"),
        (7300.0, 6, "0:00 h", "2:00 h"),
        (0.0, 3, "0.0000 s", "0.0000 s"),
    ],
)
def test_time_ticks_are_round_and_few(seconds, most, first, last):
    ticks = time_ticks(seconds, most)
    assert 1 <= len(ticks) <= most
    assert (ticks[0][1], ticks[-1][1]) == (first, last)
    assert all(0 <= second <= seconds * 1.0001 for second, _ in ticks)


def test_mel_ticks_are_where_the_frequencies_are():
    ticks = {text: row for row, text in mel_ticks(16000, 240)}
    assert ticks["8k"] == 0
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)
    assert ticks["1k"] == pytest.approx(239 * (1 - mel(1000) / mel(8000)))
    rows = [row for row, _ in mel_ticks(192000, 92)]
    assert min(np.diff(rows)) >= 15
