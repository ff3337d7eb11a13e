"""Phones: espeak-ng as a program, words beside their phones, lexicons, and all stages of the front end together."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gansynth_cli.data.text.align_words import align_words
from gansynth_cli.data.text.front_end import FrontEnd
from gansynth_cli.data.text.ipa import plain, split_phones, tidy
from gansynth_cli.data.text.lexicon import read_lexicon
from gansynth_cli.data.text.phonemes import INSTALL, Espeak, Letters
from gansynth_cli.data.text.tokens import Token
from gansynth_cli.errors import GanAudioError, MissingExtraError, UsageError

FAKE_ESPEAK = '''#!{python}
"""Stands in for espeak-ng: phones are the letters, "of the" is one word, digits are read as "nn", capitals in another language."""
import sys, time, re
LOG, MODE = {log!r}, {mode!r}
open(LOG, "a").write(" ".join(sys.argv[1:]) + "\\n")
if "--version" in sys.argv:
    print("eSpeak NG text-to-speech: 1.51  Data at: /nowhere")
elif "--voices" in sys.argv:
    print("Pty Language       Age/Gender VoiceName          File                 Other Languages")
    print(" 5  en-us           --/M      English_(America)  gmw/en-US            (en 3)")
    print(" 2  fr-fr           --/M      French_(France)    roa/fr               (fr 5)")
    print(" 5  ru              --/M      Russian            zle/ru")
else:
    if MODE == "fail":
        sys.exit("Error: something broke")
    if MODE == "hang":
        time.sleep(60)
    language = sys.argv[sys.argv.index("-v") + 1]
    for paragraph in sys.stdin.read().split("\\n\\n"):
        if not paragraph.strip():
            continue
        if MODE == "lost" and "n_n_n_n_n_n" in paragraph:
            continue
        line = re.sub(r"\\[\\[(\\w+)\\]\\]", lambda m: m[1].replace("_", ""), paragraph).replace("of the", "ofthe").replace("'", "")
        line = re.sub(r"\\d+", "nn", line)
        line = re.sub(r"\\b([A-Z]\\w+)", lambda m: "(fr)" + m[1].lower() + "(" + language + ")", line)
        print(line)
'''


@pytest.fixture
def fake_espeak(tmp_path: Path):
    """Write a stand-in for the program and return a function that makes an `Espeak` of it; `.log` lists its calls."""

    def make(mode: str = "") -> Espeak:
        log, program = tmp_path / "calls.txt", tmp_path / f"espeak-{mode or 'well'}"
        program.write_text(FAKE_ESPEAK.format(python=sys.executable, log=str(log), mode=mode), encoding="utf-8")
        program.chmod(0o755)
        espeak = Espeak(str(program))
        espeak.log = log  # type: ignore[attr-defined]
        return espeak

    return make


# Phones


def test_phones_are_taken_apart_and_tidied() -> None:
    assert split_phones("wˈɜːld") == ("w", "ˈɜː", "l", "d")
    assert split_phones("t͡ʃˈa͡ɪld") == ("t͡ʃ", "ˈa͡ɪ", "l", "d")
    assert split_phones("bˈa͡ʊ͡ɚ") == ("b", "ˈa͡ʊ͡ɚ")
    assert split_phones("ɑ̃fˈɑ̃") == ("ɑ̃", "f", "ˈɑ̃")
    assert split_phones("lə-") == ("l", "ə-")
    assert split_phones("ˈ") == ()
    assert tidy("lə- (en)pˈɑːkɪŋ(fr) _x") == "lə- pˈɑːkɪŋ x"
    assert tidy("(͡e͡n)a^b(͡f͡r)") == "a͡b"
    assert plain("ˈa͡ɪ") == "aɪ"
    assert plain("ˈa͡ɪ", stress=True) == "ˈaɪ"


def test_words_keep_their_phones_where_the_program_joins_and_divides_them() -> None:
    tokens = [Token(w, w) for w in ("one", "of", "the", "best")]
    words = align_words(tokens, ["wʌn", "ʌvðə", "bɛst"])
    assert [(w.text, "".join(w.phones)) for w in words] == [("one", "wʌn"), ("of the", "ʌvðə"), ("best", "bɛst")]
    tokens = [Token("NaCl", "NaCl"), Token("is", "is"), Token("salt", "salt", ".")]
    words = align_words(tokens, ["ˈɛn", "ə", "sˈiːˈɛl", "ɪz", "sɔːlt"])
    assert [(w.text, w.mark) for w in words if w.text] == [("NaCl", ""), ("is", ""), ("salt", ".")]
    assert sum((w.phones for w in words), ()) == ("ˈɛ", "n", "ə", "s", "ˈiː", "ˈɛ", "l", "ɪ", "z", "s", "ɔː", "l", "t")
    assert align_words([Token("x", "x", ",")], []) == [type(words[0])("x", (), ",")]


# espeak-ng


def test_espeak_answers_a_batch_with_one_process(fake_espeak) -> None:
    espeak = fake_espeak()
    assert espeak(["of the house", "Other (word", "", "[[n_n_n_n]] a 12"], "en-us") == ["ofthe house", "other (word", "", "nnnn a nn"]
    calls = espeak.log.read_text().splitlines()
    assert len(calls) == 1
    assert "-v en-us --stdin" in calls[0]
    assert espeak.version == "1.51"
    assert espeak([], "en-us") == []


def test_espeak_languages_are_checked(fake_espeak) -> None:
    espeak = fake_espeak()
    assert [espeak.check(code) for code in ("en_US", "fr-be", "en")] == ["en-us", "fr", "en"]
    with pytest.raises(UsageError, match=r"no language 'rus'.*ru"):
        espeak.check("rus")


def test_espeak_failures_are_explained(fake_espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="espeak-nowhere") as missing:
        Espeak("espeak-nowhere").check("en")
    assert missing.value.hint == INSTALL
    with pytest.raises(GanAudioError, match="something broke"):
        fake_espeak("fail")(["a"], "en-us")
    with pytest.raises(GanAudioError, match="answered 0 of 1 lines"):
        fake_espeak("lost")(["a"], "en-us")
    monkeypatch.setattr("gansynth_cli.data.text.phonemes._FIRST_TIMEOUT_S", 0.3)
    with pytest.raises(GanAudioError, match="did not answer"):
        fake_espeak("hang")(["a"], "en-us")


# The stages together


def test_front_end_gives_words_with_phones_and_marks(fake_espeak) -> None:
    front = FrontEnd("en-us", fake_espeak(), {"joe": "dʒoʊ"})
    first, second = front.utterances("best of the year, Joe and [tom](/təm/)! X [[a b, c]].")
    assert [(w.text, "".join(w.phones), w.mark) for w in first.words] == [
        ("best", "best", ""),
        ("of the", "ofthe", ""),
        ("year", "year", ","),
        ("Joe", "dʒoʊ", ""),
        ("and", "and", ""),
        ("tom", "təm", "!"),
    ]
    assert [(w.text, "".join(w.phones), w.mark) for w in second.words] == [
        ("X", "X", ""),
        ("a b, c", "a", ""),
        ("", "b", ","),
        ("", "c", "."),
    ]
    assert second.end == "paragraph" or second.end == "sentence"


def test_text_given_as_phones_needs_no_program() -> None:
    (utterance,) = FrontEnd("en-us", Espeak("espeak-nowhere")).utterances("[[həlˈoʊ wˈɜːld!]]")
    assert ["".join(w.phones) + w.mark for w in utterance.words] == ["həlˈoʊ", "wˈɜːld!"]
    with pytest.raises(MissingExtraError):
        list(FrontEnd("en-us", Espeak("espeak-nowhere")).utterances("hello"))


def test_front_end_calls_the_program_once_per_batch_and_language_and_gives_the_same_for_any_batch(fake_espeak) -> None:
    text = " ".join(f"Sentence {'a' * n} of the text." for n in range(1, 20))
    espeak = fake_espeak()
    whole = list(FrontEnd("en-us", espeak).utterances(text))
    calls = len([line for line in espeak.log.read_text().splitlines() if "--stdin" in line])
    assert len(whole) == 19
    assert calls == 5  # batches of 1, 2, 4, 8 and 4
    assert list(FrontEnd("en-us", espeak).utterances(text, max_batch=1)) == whole


def test_front_end_speaks_before_the_text_has_ended(fake_espeak) -> None:
    taken = []

    def lines():
        for number in range(1000):
            taken.append(number)
            yield f"This is line {number}. "

    next(FrontEnd("en-us", fake_espeak()).utterances(lines()))
    assert len(taken) < 20


def test_words_in_another_script_are_read_in_their_language_or_left_out(fake_espeak) -> None:
    espeak = fake_espeak()
    front = FrontEnd("en-us", espeak)
    (utterance,) = front.utterances("hello привет 你好 world")
    assert [w.text for w in utterance.words] == ["hello", "привет", "world"]
    assert front.report.other_scripts == {"ru": 1, "none (left out)": 1}
    assert "-v ru" in espeak.log.read_text()


def test_ssml_language_changes_the_phonemiser_and_unknown_ones_are_refused(fake_espeak) -> None:
    espeak = fake_espeak()
    front = FrontEnd("en-us", espeak)
    spoken_in = [u.language for u in front.utterances('<speak>hi <lang xml:lang="fr">oui</lang></speak>')]
    assert spoken_in == ["en-us", "fr"]
    assert "-v fr" in espeak.log.read_text()
    with pytest.raises(UsageError, match="no language 'xx'"):
        list(FrontEnd("xx", espeak).utterances("hello"))


def test_letters_serve_voices_that_were_trained_on_text() -> None:
    (utterance,) = FrontEnd("en-us", Letters()).utterances("Don't go!")
    assert [("".join(w.phones), w.mark) for w in utterance.words] == [("don't", ""), ("go", "!")]


def test_lexicon_files_are_read_and_their_errors_named(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
    first.write_text("\ufeff# comment\n\ngif\tdʒˈɪf\nJoe\t/dʒˈoʊ/\n", encoding="utf-8")
    second.write_text("gif\tɡˈɪf\n", encoding="utf-8")
    assert read_lexicon(first, second) == {"gif": "ɡˈɪf", "Joe": "dʒˈoʊ"}
    second.write_text("gif ɡˈɪf\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"b\.tsv, line 1: expected a word, a tab"):
        read_lexicon(second)
    second.write_bytes(b"a\t\xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_lexicon(second)
    with pytest.raises(UsageError, match="cannot be read"):
        read_lexicon(tmp_path / "missing.tsv")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_real_espeak_gives_words_apart_and_keeps_punctuation() -> None:
    front = FrontEnd("en-us", Espeak())
    (utterance,) = front.utterances("One of the best, isn't it? ")
    assert [(w.text, w.mark) for w in utterance.words] == [("One", ""), ("of the", ""), ("best", ","), ("isn't", ""), ("it", "?")]
    assert "".join(utterance.words[2].phones) == "bˈɛst"
    (utterance,) = FrontEnd("fr-fr", Espeak()).utterances("Le week-end, les enfants.")
    assert not any("(" in phone or ")" in phone for word in utterance.words for phone in word.phones)
