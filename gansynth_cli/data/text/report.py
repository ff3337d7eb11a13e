"""Counts of everything in a text that was left out or read another way than written, for the summary after a job."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MAX_KINDS = 200  # distinct entries kept per list: a hostile text must not make the report grow with its length
_SHOWN = 8


@dataclass
class TextReport:
    """Counters that the stages of the text front end and the voices add to.

    Attributes:
        characters: Characters that are never spoken (control characters, emoji), by character.
        tags: Markup that was not understood and was left out, by tag.
        unknown_phones: Phones that the voice has no symbol for, by phone.
        other_scripts: Words in a script that the language does not use, by the language they were read in; none where they were left out.
        notes: Sentences about the whole job, each once.
    """

    characters: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    unknown_phones: Counter[str] = field(default_factory=Counter)
    other_scripts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def count(self, counter: Counter[str], key: str, number: int = 1) -> None:
        """Add to a counter, under the key "..." where it has too many keys already."""
        key = key[:40]
        counter[key if key in counter or len(counter) < MAX_KINDS else "..."] += number

    def note(self, sentence: str) -> None:
        """Keep a sentence about the whole job once."""
        if sentence not in self.notes and len(self.notes) < MAX_KINDS:
            self.notes.append(sentence)

    def lines(self) -> list[str]:
        """Return the report as lines of text, empty where there is nothing to report."""
        found = []
        for counter, what, shown in (
            (self.characters, "not spoken (control characters, emoji, symbols)", lambda c: f"U+{ord(c):04X}" if len(c) == 1 else c),
            (self.tags, "markup not understood, left out", str),
            (self.unknown_phones, "phones this voice does not have, left out", str),
            (self.other_scripts, "words in another script, read as language", str),
        ):
            if counter:
                items = ", ".join(f"{shown(key)} x {number}" for key, number in counter.most_common(_SHOWN))
                more = f" and {len(counter) - _SHOWN} more" if len(counter) > _SHOWN else ""
                found.append(f"{what}: {items}{more}")
        return found + self.notes
