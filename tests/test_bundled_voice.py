"""The bundled voice: what it speaks has the right length and pitch, is the same every time, and needs no phonemiser for phones."""

from __future__ import annotations

import numpy as np
import pytest

from gansynth_cli.data.text.report import TextReport
from gansynth_cli.inference.say.open_voice import open_voice
from gansynth_cli.inference.say.task import SayOptions, speak_text
from gansynth_cli.inference.say.voice import Voice
from gansynth_cli.models.model_file import bundled_model
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.pitch import ln_f0_contour

HELLO = "həlˈo͡ʊ wˈɜːld."


@pytest.fixture(scope="module")
def voice() -> Voice:
    return open_voice(None)


def said(voice: Voice, **options) -> np.ndarray:
    return np.concatenate(
        [block.samples for block in speak_text(HELLO, voice, SayOptions(markup="phonemes", **options), None, TextReport())]
    )


def test_it_speaks_two_words(voice) -> None:
    audio = said(voice)
    assert voice.sample_rate == 16000
    assert 0.6 < len(audio) / 16000 < 2.0
    assert 0.02 < np.sqrt(np.mean(np.square(audio))) < 0.2
    assert np.abs(audio).max() < 1
    np.testing.assert_array_equal(audio, said(voice))
    contour = ln_f0_contour(audio, MelConvention().resolved(16000))
    assert 140 < np.exp(np.median(contour[contour > 0])) < 280  # a woman's voice
    assert np.mean(contour > 0) > 0.3


def test_it_obeys_pitch_and_speed(voice) -> None:
    plain, high, slow = (said(voice, **how) for how in ({}, {"pitch": 4.0}, {"speed": 0.5}))
    median = lambda audio: np.median([x for x in ln_f0_contour(audio, MelConvention().resolved(16000)) if x > 0])
    assert 2 < 12 / np.log(2) * (median(high) - median(plain)) < 8  # medians of the frames that a tracker finds voiced
    assert 1.5 < len(slow) / len(plain) < 2.3


def test_it_is_what_speaks_where_no_model_is_given(voice) -> None:
    assert voice.facts().files[0].path == bundled_model("voice")
    assert voice.speakers == ("af_heart",)
    assert voice.language_of() == "en-us"
    assert bundled_model("voice").stat().st_size < 15_000_000
    card = bundled_model("voice").with_suffix(".md").read_text(encoding="utf-8")
    assert "Kokoro-82M" in card
    assert "synthetic" in card
