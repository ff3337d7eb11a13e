"""Differences between languages when a text is read aloud: one table per language, found by its code."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

TABLES = ("de", "en", "es", "fr", "it", "nl", "pt")

# The noun phrase after a number: (singular, plural, feminine).
Noun = tuple[str, str, bool]


@dataclass(frozen=True, eq=False)
class Language:
    """Conventions by which one language writes and reads numbers, dates, money, units and abbreviations.

    Attributes:
        code: Language code, lower case, such as "pt-br".
        numbers: Code of the language in num2words; "" leaves digits to the phonemiser.
        decimal, groups: The decimal mark, and the marks between groups of three digits. A space that does not break always groups.
        decimal_digits: True: digits after the decimal mark one by one; False: up to two of them as a number.
        before_noun, before_feminine: Rewriting of a cardinal number in front of a noun: (regular expression, replacement) pairs.
        year_words: Words after which four digits are a year; None: years read as any number.
        ordinal: Regular expression of what follows the digits of an ordinal number.
        ordinal_forms: (regular expression of the written suffix, regular expression in the word, its replacement).
        ordinal_dot: Whether "3." may be an ordinal number.
        ordinal_after: (words before "3.", end of the ordinal word) pairs.
        months: Twelve names, abbreviations of each after "|".
        day_first: Whether 1/2/2026 is the first of February.
        date, day: Template of a date with {day}, {month}, {year}, and of one without the year. "" reads them as they stand.
        day_month: Template of a date that is written with the day before the month's name.
        day_ordinal: "all", "first" or "none": which days of a month are ordinal numbers.
        hour, hour_minutes: Templates of a time with {h} and {m}.
        late_hour: Template of a full hour after 12; "" is `hour`.
        small_minutes: Template of minutes below ten with {m}.
        hour_forms: Rewriting of a time that the templates gave.
        hour_mark: Regular expression of what may follow a time and is part of the template already.
        half_days: Written half of the day -> words.
        feminine_scales: Whether "1" before a scale word is feminine.
        money_joiner: Between a scale word and the currency ("de " in "millones de euros").
        and_minor: Between units and hundredths of money.
        currencies: Symbol or code -> (noun, noun of the hundredth; "" where there is none).
        scales: Written -> spoken scale word after a number of a currency, such as "bn": "billion".
        units: Written -> noun.
        symbols: Character -> words.
        words: minus, plus, point, to, at, dot, slash: the words that numbers, addresses and ranges need.
        fractions: Written -> words.
        abbreviations: Written, with its dots -> words. Never the end of a sentence.
        final: Abbreviations that may end a sentence.
        before_number: Abbreviations that count as such before a digit only.
        numbered: Nouns before Roman numerals.
        variants: Code -> fields that differ.
    """

    code: str = ""
    numbers: str = ""
    decimal: str = "."
    groups: str = ","
    decimal_digits: bool = True
    before_noun: tuple[tuple[str, str], ...] = ()
    before_feminine: tuple[tuple[str, str], ...] = ()
    year_words: frozenset[str] | None = None
    ordinal: str = ""
    ordinal_forms: tuple[tuple[str, str, str], ...] = ()
    ordinal_dot: bool = False
    ordinal_after: tuple[tuple[frozenset[str], str], ...] = ()
    months: tuple[str, ...] = ()
    day_first: bool = True
    date: str = ""
    day: str = ""
    day_month: str = ""
    day_ordinal: str = "none"
    hour: str = "{h}"
    hour_minutes: str = "{h} {m}"
    late_hour: str = ""
    small_minutes: str = "{m}"
    hour_forms: tuple[tuple[str, str], ...] = ()
    hour_mark: str = ""
    half_days: dict[str, str] = field(default_factory=dict)
    feminine_scales: bool = False
    money_joiner: str = ""
    and_minor: str = ""
    currencies: dict[str, tuple[Noun, Noun | None]] = field(default_factory=dict)
    scales: dict[str, str] = field(default_factory=dict)
    units: dict[str, Noun] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    fractions: dict[str, str] = field(default_factory=dict)
    abbreviations: dict[str, str] = field(default_factory=dict)
    final: dict[str, str] = field(default_factory=dict)
    before_number: dict[str, str] = field(default_factory=dict)
    numbered: tuple[str, ...] = ()
    variants: dict[str, dict[str, object]] = field(default_factory=dict)

    @cached_property
    def month_names(self) -> dict[str, str]:
        """Return lower-case written forms of the months, without a final dot -> the full name."""
        return {form.lower(): names.split("|")[0] for names in self.months for form in names.split("|")}

    @cached_property
    def counted(self) -> set[str]:
        """Return lower-case words, without their last dot, after which a dot does not end a sentence if a number follows."""
        return {text.rstrip(".").lower() for text in self.before_number if text.endswith(".")}

    @cached_property
    def dotted(self) -> set[str]:
        """Return lower-case words, without their last dot, after which a dot does not end a sentence."""
        short = {form.lower() for names in self.months for form in names.split("|")[1:]}
        inside = [part for text in self.abbreviations for part in text.split()]
        inside += [part for text in (*self.final, *self.scales) for part in text.split()[:-1] or [text] * (text in self.scales)]
        return short | {part.rstrip(".").lower() for part in inside if part.endswith(".")}


def language_code(code: str) -> str:
    """Return a language code in the form of espeak-ng: `en_US` becomes `en-us`."""
    return code.strip().lower().replace("_", "-")


@cache
def language_for(code: str) -> Language:
    """Return the table for a language code such as `en-us`, `pt_BR` or `de`; a table without words for a language that has none."""
    code = language_code(code)
    base = code.split("-")[0]
    if base not in TABLES:
        return Language(code=code, symbols={sign: sign for sign in "%&+=@°$€£"})  # espeak-ng has their names
    table: Language = importlib.import_module(f".{base}", __package__).LANGUAGE
    for variant, fields in table.variants.items():
        if code == variant or code.startswith(variant + "-"):
            table = replace(table, **fields)  # type: ignore[arg-type]
    return replace(table, code=code)


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, separated by spaces."""
    return frozenset(text.split())


def nouns(table: str) -> dict[str, Noun]:
    """Read lines `written, written: singular, plural`, with `f` after them for a feminine noun; one form serves for both numbers."""
    found: dict[str, Noun] = {}
    for line in filter(None, (line.strip() for line in table.splitlines())):
        written, _, forms = line.partition(": ")
        parts = [part.strip() for part in forms.split(",")]
        feminine = parts[-1] == "f"
        words = parts[:-1] if feminine else parts
        for form in re.split(r",\s*", written):
            found[form] = (words[0], words[-1], feminine)
    return found


def currencies(table: str) -> dict[str, tuple[Noun, Noun | None]]:
    """Read lines `$, USD: dollar, dollars / cent, cents`; nothing after the stroke for money without hundredths."""
    found: dict[str, tuple[Noun, Noun | None]] = {}
    for line in filter(None, (line.strip() for line in table.splitlines())):
        written, _, forms = line.partition(": ")
        whole, _, part = forms.partition(" / ")
        names = nouns(f"x: {whole}\n" + (f"y: {part}" if part else ""))
        for form in re.split(r",\s*", written):
            found[form] = (names["x"], names.get("y"))
    return found


def pairs(table: str) -> dict[str, str]:
    """Read lines `written = words`."""
    return dict(tuple(map(str.strip, line.split(" = ", 1))) for line in table.splitlines() if " = " in line)  # type: ignore[misc]
