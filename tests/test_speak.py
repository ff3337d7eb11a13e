"""Speaking a text with a voice: blocks, pauses, levels, timings, long utterances, streams."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Sequence

import numpy as np
import pytest

from gansynth_cli.data.text.tokens import Style, Utterance, Word
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.say.onnx_graph import VoiceError
from gansynth_cli.inference.say.speak import PEAK, Block, Pauses, levelled, parts_of, speak, trimmed
from gansynth_cli.inference.say.voice import Span, Speech, Timing, timings_of


class ToneVoice:
    """A voice without a model: 100 samples a phone at a level that falls by the utterance, 50 samples of silence at both ends."""

    name, sample_rate, phonemes, max_tokens, has_noise = "tone", 8000, "espeak-ng", 12, True
    languages, speakers, emotions = ("en-us",), (), ()
    controls = frozenset({"pitch"})

    def __init__(self, level: float = 0.5):
        self.level = level
        self.calls: deque[dict] = deque(maxlen=8)

    def language_of(self, speaker: str = "") -> str:
        return "en-us"

    def length(self, words: Sequence[Word], language: str) -> int:
        return sum(len(word.phones) + bool(word.mark) for word in words)

    def synthesise(self, words: Sequence[Word], **settings) -> Speech:
        self.calls.append({"words": words, **settings})
        assert self.length(words, "") <= self.max_tokens
        silence, position, phones, spans = np.zeros(800, np.float32), 800, [], []
        for word in words:
            spans.append(Timing(word.text, position, position + 100 * len(word.phones)))
            for phone in word.phones:
                phones.append(Timing(phone, position, position + 100))
                position += 100
        rng = np.random.default_rng([settings["seed"], len(phones)])
        tone = (self.level * np.sign(rng.standard_normal(100 * len(phones)))).astype(np.float32)
        return Speech(np.concatenate([silence, tone, silence]), tuple(spans), tuple(phones))

    def facts(self):
        raise NotImplementedError


class NoEspeak:
    """A phonemiser whose phones are the letters."""

    name, version = "none", "0"

    def check(self, language: str) -> str:
        return language

    def __call__(self, lines: Sequence[str], language: str) -> list[str]:
        return [line.lower() for line in lines]


def spoken(text, voice=None, **settings) -> list[Block]:
    return list(speak(text, voice or ToneVoice(), phonemiser=NoEspeak(), **settings))


def test_blocks_join_without_gaps_and_timings_lie_on_the_sound() -> None:
    blocks = spoken("Hello there. How are you?\n\nFine", pauses=Pauses(sentence=0.2, paragraph=0.5))
    assert [block.text for block in blocks] == ["Hello there.", "", "How are you?", "", "Fine"]
    assert [block.start for block in blocks] == [0, *[block.end for block in blocks[:-1]]]
    assert [len(block.samples) for block in blocks if not block.text] == [1600, 4000]
    audio = np.concatenate([block.samples for block in blocks])
    words = [word for block in blocks for word in block.words]
    assert [word.text for word in words] == ["Hello", "there", "How", "are", "you", "Fine"]
    assert words[0].start == 240  # 30 ms of the voice's own silence stay
    for word in words:
        assert np.all(np.abs(audio[word.start : word.end]) == np.float32(0.5))
    assert sum(len(block.phones) for block in blocks) == 5 + 5 + 3 + 3 + 3 + 4
    assert not audio[:40].any()


def test_speech_does_not_depend_on_the_batch_but_on_the_seed() -> None:
    text = "One two. Three four! Five?"
    first = [block.samples for block in spoken(text, seed=1)]
    assert all(map(np.array_equal, first, [block.samples for block in spoken(text, seed=1, max_batch=1)]))
    assert not all(map(np.array_equal, first, [block.samples for block in spoken(text, seed=2)]))


def test_sentences_keep_their_level_unless_they_would_clip() -> None:
    assert max(np.abs(block.samples).max() for block in spoken("Hello.", ToneVoice(0.1))) == pytest.approx(0.1)
    assert max(np.abs(block.samples).max() for block in spoken("Hello.", ToneVoice(3.0))) == pytest.approx(PEAK)
    assert max(np.abs(block.samples).max() for block in spoken("Hello.", ToneVoice(0.1), volume=4)) == pytest.approx(0.4)
    assert max(np.abs(block.samples).max() for block in spoken("Hello.", ToneVoice(0.1), full_scale=True)) == pytest.approx(PEAK)
    assert levelled(Speech(np.zeros(5, np.float32)), 1.0, True).samples.max() == 0
    with pytest.raises(UsageError, match="volume"):
        spoken("Hello.", volume=0)


def test_pauses_of_the_text_replace_the_usual_ones() -> None:
    silent = [len(block.samples) / 8000 for block in spoken("[pause:0.5s] One. [pause:300ms] Two. Three. [pause:2.5s]") if not block.text]
    assert silent == pytest.approx([0.5, 0.3, 0.4, 1.0, 1.0, 0.5])
    assert spoken("") == spoken("... !? 😀") == []


def test_rates_and_speakers_of_ssml_reach_the_voice() -> None:
    voice = ToneVoice()
    spoken('<speak>one <prosody rate="50%">two</prosody> <voice name="amy">three</voice></speak>', voice, speed=1.2, noise=0.1)
    assert [(call["speed"], call["speaker"]) for call in voice.calls] == [(1.2, ""), (0.6, ""), (1.2, "amy")]
    assert {call["noise"] for call in voice.calls} == {0.1}
    with pytest.raises(UsageError, match="speed is 9"):
        spoken("one", speed=9)


def test_long_utterances_are_divided_at_the_strongest_mark_near_the_middle() -> None:
    def words(text: str) -> tuple[Word, ...]:
        return tuple(Word(w.strip(",;"), tuple(w.strip(",;")), w[-1] if w[-1] in ",;" else "") for w in text.split())

    def parts(text: str) -> list[str]:
        return [part.text for part in parts_of(Utterance(text, words(text), "en", "paragraph", Style(), 1.0), ToneVoice())]

    assert parts("aa bb, cc; dd ee") == ["aa bb, cc; dd ee"]
    assert parts("aaaa bbbb cccc; dddd, eeee") == ["aaaa bbbb,", "cccc;", "dddd, eeee"]
    assert parts("a, bbbb cccc dddd eeee") == ["a, bbbb,", "cccc dddd eeee"]
    assert all(len(part.replace(" ", "")) <= 12 for part in parts("aa bb cc dd ee ff gg hh ii jj kk ll"))
    whole = Utterance("x", words("aaa bbb, ccc ddd eee"), "en", "paragraph", Style(), 1.0)
    divided = parts_of(whole, ToneVoice())
    assert [(part.end, part.pause) for part in divided] == [("clause", None), ("paragraph", 1.0)]
    assert divided[0].text == "aaa bbb,"
    one = parts_of(Utterance("x", (Word("long", tuple("a" * 40), "!"),), "en"), ToneVoice())
    assert sum((word.phones for part in one for word in part.words), ()) == tuple("a" * 40)
    assert one[-1].words[-1].mark == "!"


def test_a_stream_is_spoken_as_it_comes_in_bounded_memory() -> None:
    taken = 0

    def lines():
        nonlocal taken
        for number in range(300):
            taken = number
            yield f"This is line {number} of many lines, and it is not long. "

    voice = ToneVoice()
    voice.max_tokens = 100
    blocks = speak(lines(), voice, phonemiser=NoEspeak())
    next(blocks)
    assert taken < 20
    total = 0
    for _ in range(130):  # what is made once (tables, caches) is made now
        total = next(blocks).end
    tracemalloc.start()
    for block in blocks:
        total = block.end
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 300 * 3000
    assert peak < 1.5e6  # the samples alone are 5 MB


def test_silence_of_the_voice_is_trimmed_with_its_timings() -> None:
    samples = np.zeros(4000, np.float32)
    samples[1000:2000] = 0.5
    speech = trimmed(Speech(samples, (Timing("a", 900, 2100),), (Timing("x", 0, 500), Timing("a", 1000, 2000))), 8000)
    assert len(speech.samples) == 1000 + 2 * 240
    assert speech.words == (Timing("a", 140, 1340),)
    assert speech.phones == (Timing("a", 240, 1240),)
    silent = Speech(np.zeros(100, np.float32))
    assert trimmed(silent, 8000) is silent


def test_samples_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(VoiceError, match="no numbers for: Hello"):
        spoken("Hello.", ToneVoice(float("nan")))


def test_words_pronounced_as_several_get_one_timing() -> None:
    words = (Word("21", ("t",)), Word("", ("w",), ","), Word("x", ("x",)))
    spans = [Span(0, "t", 0, 5), Span(1, "w", 5, 9), Span(1, ",", 9, 12, True), Span(2, "x", 12, 20)]
    found, phones = timings_of(words, spans)
    assert found == (Timing("21", 0, 9), Timing("x", 12, 20))
    assert [phone.text for phone in phones] == ["t", "w", ",", "x"]
