"""The bundled voice: what it speaks has the right length and pitch, is the same every time, and needs no phonemiser for phones."""

from __future__ import annotations

import numpy as np
import pytest

from gansynth_cli.api import Synthesiser
from gansynth_cli.inference.say.open_voice import open_voice
from gansynth_cli.models.model_file import bundled_model
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.pitch import ln_f0_contour

HELLO = "həlˈo͡ʊ wˈɜːld."


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    return Synthesiser(bundled_model("voice"))


def test_it_speaks_two_words(synthesiser) -> None:
    audio = synthesiser.say(HELLO, markup="phonemes")
    assert synthesiser.sample_rate == 16000
    assert 0.6 < len(audio) / 16000 < 2.0
    assert 0.02 < np.sqrt(np.mean(np.square(audio))) < 0.2
    assert np.abs(audio).max() < 1
    np.testing.assert_array_equal(audio, synthesiser.say(HELLO, markup="phonemes"))
    contour = ln_f0_contour(audio, MelConvention().resolved(16000))
    assert 140 < np.exp(np.median(contour[contour > 0])) < 280  # a woman's voice
    assert np.mean(contour > 0) > 0.3


def test_it_obeys_pitch_and_speed(synthesiser) -> None:
    plain, high, slow = (synthesiser.say(HELLO, markup="phonemes", **how) for how in ({}, {"pitch": 4.0}, {"speed": 0.5}))
    median = lambda audio: np.median([x for x in ln_f0_contour(audio, MelConvention().resolved(16000)) if x > 0])
    assert 2 < 12 / np.log(2) * (median(high) - median(plain)) < 8  # medians of the frames that a tracker finds voiced
    assert 1.5 < len(slow) / len(plain) < 2.3


def test_it_is_what_speaks_where_no_model_is_given(synthesiser) -> None:
    assert open_voice(None).facts().files == synthesiser.voice.facts().files
    assert synthesiser.voices == ("af_heart",)
    assert synthesiser.voice.language_of() == "en-us"
    assert bundled_model("voice").stat().st_size < 15_000_000
    card = bundled_model("voice").with_suffix(".md").read_text(encoding="utf-8")
    assert "Kokoro-82M" in card
    assert "synthetic" in card
