"""The text front end up to sentences: characters, marks, SSML, and where sentences end."""

from __future__ import annotations

import io
import random
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from gansynth_cli.data.text.clean import clean, read_chunks
from gansynth_cli.data.text.markup import read_markup
from gansynth_cli.data.text.report import TextReport
from gansynth_cli.data.text.sentences import MAX_CHARS, split_sentences
from gansynth_cli.data.text.ssml import is_ssml, read_ssml
from gansynth_cli.data.text.tokens import Break, Given, Style
from gansynth_cli.errors import UsageError


def sentences_of(text: str, language: str = "en", size: int = 0) -> list[str]:
    chunks = [text[i : i + size] for i in range(0, len(text), size)] if size else [text]
    return [sentence.text for sentence in split_sentences(read_markup(chunks, TextReport()), language)]


# Characters


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a\x00b\x07c\x1b[31m", "abc[31m"),
        ("hi 😀👨‍👩‍👧 👍🏽 🇫🇷 ❤️!", "hi    !"),
        ("1️⃣ and ②", "1 and 2"),
        ("‘a’ “b” «c»", '\'a\' "b" "c"'),
        ("ﬁne ｆｕｌｌ", "fine full"),
        ("٣٤ ५", "34 5"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffbom", "softhyphen zerowidth bom"),
        ("你好。再见！", "你好. 再见! "),
        ("1\u202f000", "1\u00a0000"),
        ("e\u0301", "é"),
        ("Z\u0351\u0352\u0353\u0354\u0355", "Z\u0353\u0354"),
        ("5 m² ½ °C €", "5 m² ½ °C €"),
        ("a\r\nb\rc\u2029d", "a\nb\nc\n\nd"),
    ],
)
def test_clean_keeps_what_is_spoken(written: str, kept: str) -> None:
    assert clean(written) == kept


def test_clean_leaves_no_control_no_private_and_no_symbol_of_any_text() -> None:
    rng = random.Random(1)
    text = "".join(chr(rng.choice((rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x110000)))) for _ in range(20000))
    text = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)
    categories = {unicodedata.category(c) for c in clean(text) if c != "\n"}
    assert not categories & {"Cc", "Cf", "Co", "Cs", "Cn", "So"} - {"So"}
    assert {c for c in clean(text) if unicodedata.category(c) == "So"} <= {"°", "№"}


def test_clean_counts_what_it_drops() -> None:
    report = TextReport()
    clean("a😀b😀\x00", report)
    assert report.characters == {"😀": 2, "\x00": 1}
    assert "U+1F600 x 2" in report.lines()[0]


def test_a_report_does_not_grow_with_the_text() -> None:
    report = TextReport()
    for number in range(5000):
        report.count(report.tags, f"<tag{number}>")
        report.note(f"note {number}")
    assert len(report.tags) <= 201
    assert report.tags.total() == 5000
    assert len(report.notes) <= 200


@pytest.mark.parametrize("kind", ["text", "file", "binary", "strings"])
def test_chunks_join_to_the_text_and_stay_short(kind: str) -> None:
    text = "Grüße, 你好 здравствуй! " * 9000 + "x" * 70000 + "\nend"
    source = {"text": text, "file": io.StringIO(text), "binary": io.BytesIO(text.encode()), "strings": iter([text[:7], text[7:]])}[kind]
    chunks = list(read_chunks(source))
    assert "".join(chunks) == text
    assert max(map(len, chunks)) <= 1 << 16


def test_broken_bytes_are_replaced_and_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    assert "".join(read_chunks(io.BytesIO(b"caf\xe9 ol\xc3\xa9"))) == "caf\ufffd olé"
    file = tmp_path / "latin.txt"
    file.write_bytes("café".encode("latin-1"))
    with file.open(encoding="utf-8") as opened, pytest.raises(UsageError, match="not utf-8"):
        list(read_chunks(opened))


# Marks


MARKED = (
    "A [link](https://x.org/a_b). "
    "Say [tomato](/təmˈɑːtoʊ/), [[həlˈoʊ wˈɜːld]] [pause:1.5s] and [pause: 300 ms] wait [sic] <b>bold</b> [mood:happy] a < b."
)
EVENTS = [
    "A link. Say ",
    Given("tomato", phones="təmˈɑːtoʊ"),
    ", ",
    Given("həlˈoʊ wˈɜːld", phones="həlˈoʊ wˈɜːld"),
    " ",
    Break(1.5),
    " and ",
    Break(0.3),
    " wait [sic]  bold    a < b.",
]


def joined_events(events) -> list:
    """Events with neighbouring texts joined."""
    found: list = []
    for event in events:
        if isinstance(event, str) and found and isinstance(found[-1], str):
            found[-1] += event
        elif event != "":
            found.append(event)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_marks_are_found_wherever_the_text_is_cut(size: int) -> None:
    report = TextReport()
    chunks = [MARKED[i : i + size] for i in range(0, len(MARKED), size)]
    events = joined_events(read_markup(chunks, report))
    assert [e.replace("  ", " ").replace("  ", " ") if isinstance(e, str) else e for e in events] == [
        e.replace("  ", " ").replace("  ", " ") if isinstance(e, str) else e for e in EVENTS
    ]
    assert report.tags == {"<b>": 1, "</b>": 1, "[mood:happy]": 1}


def test_long_pauses_are_bounded_and_open_marks_stay_text() -> None:
    report = TextReport()
    assert list(read_markup(["[pause:9999s]"], report)) == [Break(60.0)]
    assert "shortened" in report.notes[0]
    assert "".join(read_markup(["see [note and <more"], TextReport())) == "see [note and <more"


# SSML


def test_ssml_elements_become_events() -> None:
    report = TextReport()
    document = (
        '<?xml version="1.0"?><speak><p>One</p><break time="500ms"/><break strength="weak"/>'
        '<sub alias="World Wide Web">WWW</sub><phoneme alphabet="ipa" ph="təˈmeɪ">tomato</phoneme>'
        '<prosody rate="slow">slow <prosody rate="200%">both</prosody></prosody><say-as interpret-as="characters">ab</say-as>'
        '<say-as interpret-as="ordinal">3</say-as><lang xml:lang="fr">oui</lang><voice name="amy">x</voice>'
        "<audio src='x'>no sound</audio><blink>seen</blink></speak>"
    )
    events = list(read_ssml([document], report))
    assert events == [
        Break(paragraph=True),
        "One",
        Break(paragraph=True),
        Break(0.5),
        Break(0.2),
        Given("WWW", alias="World Wide Web"),
        Given("tomato", phones="təˈmeɪ"),
        Style(0.75),
        "slow ",
        Style(1.5),
        "both",
        Style(0.75),
        Style(1.0),
        Given("ab", alias="ab", kind="spell"),
        Given("3", alias="3", kind="ordinal"),
        Style(1.0, "fr"),
        "oui",
        Style(),
        Style(1.0, "", "amy"),
        "x",
        Style(),
        "seen",
    ]
    assert report.tags == {"<blink>": 1}


@pytest.mark.parametrize("size", [1, 5])
def test_ssml_does_not_depend_on_how_it_is_cut(size: int) -> None:
    document = '<speak>Hé <sub alias="là">x</sub> &amp; <break time="1s"/>fin</speak>'
    whole = joined_events(read_ssml([document], TextReport()))
    assert joined_events(read_ssml([document[i : i + size] for i in range(0, len(document), size)], TextReport())) == whole
    assert whole == ["Hé ", Given("x", alias="là"), " & ", Break(1.0), "fin"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('<!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><speak>&b;</speak>', "document type"),
        ('<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak>x</speak>', "document type"),
        ("<speak>&undefined;</speak>", "undefined entity"),
        ("<speak><p>open</speak>", "line 1"),
        ("<speak>a & b</speak>", "not well-formed"),
        ("<speak>" * 200, "nested deeper"),
    ],
)
def test_hostile_and_broken_ssml_is_refused(document: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(read_ssml([document], TextReport()))


def test_ssml_is_recognised_by_its_first_element() -> None:
    assert is_ssml('\ufeff <?xml version="1.0"?>\n<!-- x --><speak version="1.1">')
    assert not is_ssml("I <speak> in tags")
    assert not is_ssml("<speakers>")


# Sentences


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Smith left. He paid $3.50! Why?", ["Dr. Smith left.", "He paid $3.50!", "Why?"]),
        ("en", "J. R. R. Tolkien wrote it in the U.S. in 1937. Yes.", ["J. R. R. Tolkien wrote it in the U.S. in 1937.", "Yes."]),
        ("en", '"Really?" she asked. "No." He went.', ['"Really?" she asked.', '"No."', "He went."]),
        ("en", "1. First one. 2. Second.", ["1. First one.", "2. Second."]),
        ("en", "Wait... what? So am I. Then go, etc. Now.", ["Wait... what?", "So am I.", "Then go, etc.", "Now."]),
        ("en", "A title\n\nText that\nruns on. End", ["A title", "Text that runs on.", "End"]),
        ("de", "Am 3. Mai kam z. B. Dr. Müller. Das war 1999. Ja.", ["Am 3. Mai kam z. B. Dr. Müller.", "Das war 1999.", "Ja."]),
        ("es", "El Sr. Pérez, de EE. UU., llegó. ¿Sí? Sí.", ["El Sr. Pérez, de EE. UU., llegó.", "¿Sí?", "Sí."]),
        ("fr", "M. Dupont est là, p. ex. ici. Oui !", ["M. Dupont est là, p. ex. ici.", "Oui !"]),
        ("ru", "Привет. Как дела? Хорошо.", ["Привет.", "Как дела?", "Хорошо."]),
        ("en", "你好。再见！", ["你好.", "再见!"]),
        ("xx", "One. Two.", ["One.", "Two."]),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 4])
def test_sentences_end_where_they_end(language: str, text: str, expected: list[str], size: int) -> None:
    assert sentences_of(text, language, size) == expected


@pytest.mark.parametrize("unit", ["a", "word ", "a. ", "[", "<", "Mr. ", "long, clause; ", "é", "\n", "你好。", "!?"])
def test_one_long_line_is_cut_in_bounded_memory(unit: str) -> None:
    def pieces():
        for _ in range(4):
            yield unit * (16384 // len(unit))

    longest, length = 0, 0
    tracemalloc.start()
    for sentence in split_sentences(read_markup(pieces(), TextReport()), "en"):
        longest, length = max(longest, len(sentence.text)), length + len(sentence.text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert longest <= MAX_CHARS + 64
    assert peak < 1 << 19
    assert length == 0 if unit == "\n" else length > 40_000 or unit in ("[", "<")


def test_pauses_and_styles_end_a_piece_and_belong_to_what_is_before_them() -> None:
    events = ["One two ", Break(1.0), "three. ", Break(0.5), Break(0.25), Style(0.5), "four"]
    found = [(s.text, s.end, s.pause, s.style.rate) for s in split_sentences(events, "en")]
    assert found == [
        ("One two", "clause", 1.0, 1.0),
        ("three.", "sentence", 0.5, 1.0),
        ("", "clause", 0.25, 1.0),
        ("four", "paragraph", None, 0.5),
    ]


def test_given_words_stay_in_their_sentence() -> None:
    word = Given("tomato", phones="t")
    first, second = split_sentences(["A ", word, " is red. It ", word, "."], "en")
    assert first.parts == ("A ", word, " is red.")
    assert second.text == "It tomato."
