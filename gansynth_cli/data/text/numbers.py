"""Numbers as words through num2words (extra `speech`, LGPL: an optional dependency, imported and never bundled)."""

from __future__ import annotations

from functools import lru_cache

from .languages import Language
from .report import TextReport

MAX_DIGITS = 18  # a longer number is read digit by digit; some languages of num2words end there
NO_NUM2WORDS = "num2words is not installed (pip install 'gan-audio[speech]'): numbers are left to the phonemiser"


class Numbers:
    """Spells numbers in one language.

    Where num2words is missing or does not know the language, digits are returned as digits: espeak-ng reads them.

    Args:
        language: The table to spell by.
        report: Gets a note where num2words is missing.
    """

    def __init__(self, language: Language, report: TextReport):
        self.language = language
        self._available = bool(language.numbers) and _num2words() is not None
        if language.numbers and not self._available:
            report.note(NO_NUM2WORDS)

    def cardinal(self, digits: str) -> str:
        """Return a whole number as words; digit by digit where it begins with 0 or is longer than `MAX_DIGITS`."""
        if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
            return self.digits(digits)
        return self._spelt(int(digits), "cardinal") or digits

    def ordinal(self, digits: str) -> str:
        """Return an ordinal number as words, masculine where the language tells; the cardinal for one that is too long."""
        return (self._spelt(int(digits), "ordinal") if len(digits) <= MAX_DIGITS else "") or self.cardinal(digits)

    def year(self, digits: str) -> str:
        """Return a year as words, as "nineteen eighty-four"."""
        return self._spelt(int(digits), "year") or digits

    def digits(self, digits: str) -> str:
        """Return a number digit by digit."""
        return " ".join(self._spelt(int(digit), "cardinal") or digit for digit in digits if digit.isdigit())

    def decimal(self, whole: str, fraction: str) -> str:
        """Return a decimal number as words."""
        if not self._available:
            return f"{whole}{self.language.decimal}{fraction}"
        as_number = not self.language.decimal_digits and len(fraction) <= 2 and not fraction.startswith("0")
        after = self.cardinal(fraction) if as_number else self.digits(fraction)
        return f"{self.cardinal(whole)} {self.language.words['point']} {after}"

    def _spelt(self, number: int, kind: str) -> str:
        return _words(number, self.language.numbers, kind) if self._available else ""


@lru_cache(maxsize=1)
def _num2words():
    try:
        from num2words import num2words
    except ImportError:
        return None
    return num2words


@lru_cache(maxsize=4096)
def _words(number: int, language: str, kind: str) -> str:
    try:
        spelt = _num2words()(number, lang=language, to=kind)
    except (NotImplementedError, OverflowError, KeyError, IndexError):  # what it raises for a number or kind that it does not know
        return ""
    return " ".join(spelt.replace(",", " ").split())
