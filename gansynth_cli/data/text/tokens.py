"""Types that pass between the stages of the text front end: marked text, words with their pronunciation, utterances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

MARKS = ",;:.?!…—"  # the pause marks that a phone string keeps, in the forms that `clean` leaves
FIRST_GIVEN = 0xF0000  # private-use characters from here on stand for words with a given reading; `clean` drops those of the text
GIVEN = "[\U000f0000-\U000fffff]"
End = Literal["clause", "sentence", "paragraph"]


@dataclass(frozen=True)
class Given:
    """A word whose reading the author gave.

    Attributes:
        text: The word as written, for timings.
        phones: Its pronunciation in the International Phonetic Alphabet, or "".
        alias: The text to read in its place, or "".
        kind: How to read `alias`: as text, letter by letter, as an ordinal or a cardinal number.
    """

    text: str
    phones: str = ""
    alias: str = ""
    kind: Literal["", "spell", "ordinal", "cardinal"] = ""


@dataclass(frozen=True)
class Break:
    """A pause that the author asked for. `seconds` None: the usual pause after a sentence or, if `paragraph`, after a paragraph."""

    seconds: float | None = None
    paragraph: bool = False


@dataclass(frozen=True)
class Style:
    """Manner of speaking from here on: rate as a factor, language ("": the voice's), speaker ("": the one chosen), pitch in semitones and
    energy in dB against the usual ones."""

    rate: float = 1.0
    language: str = ""
    speaker: str = ""
    pitch: float = 0.0
    energy: float = 0.0


Event = str | Given | Break | Style


@dataclass(frozen=True)
class Sentence:
    """A sentence, or a part of one, as written.

    Attributes:
        parts: Text and words with a given reading, in order.
        end: What ends it. A `clause` is a piece of a longer sentence.
        style: Manner of speaking.
        pause: Seconds of pause after it that the author asked for; None: the usual one for `end`.
    """

    parts: tuple[str | Given, ...]
    end: End = "sentence"
    style: Style = Style()
    pause: float | None = None

    @property
    def text(self) -> str:
        """The sentence as plain text."""
        return " ".join("".join(part if isinstance(part, str) else part.text for part in self.parts).split())


@dataclass(frozen=True)
class Token:
    """A word or number of a sentence on its way to phones.

    Attributes:
        source: As written.
        spoken: The words to pronounce, without punctuation; "" for a token that only carries a mark.
        mark: The pause mark after it, one of `MARKS`, or "".
        phones: A pronunciation that replaces `spoken`.
    """

    source: str
    spoken: str = ""
    mark: str = ""
    phones: str = ""


@dataclass(frozen=True)
class Word:
    """A pronounced word.

    Attributes:
        text: As written. Two words that are pronounced as one ("of the") stay together.
        phones: Its phones, each with its stress mark before it and its length mark behind it, such as ("w", "ˈɜː", "l", "d").
        mark: The pause mark after it, or "".
    """

    text: str
    phones: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True)
class Utterance:
    """Words that a voice speaks in one go.

    Attributes:
        text: As written.
        words: Its words.
        language: Language of the phones.
        end, style, pause: As in `Sentence`.
    """

    text: str
    words: tuple[Word, ...]
    language: str
    end: End = "sentence"
    style: Style = Style()
    pause: float | None = None

    def with_words(self, words: tuple[Word, ...], end: End, pause: float | None) -> Utterance:
        """Return a part of it: other words, their text, another end."""
        return replace(self, text=" ".join(word.text + word.mark for word in words), words=words, end=end, pause=pause)
