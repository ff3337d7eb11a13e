"""The regular expression that finds everything in a sentence that is not read as it is written, one per language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from .languages import Language
from .tokens import GIVEN, MARKS

_PUNCTUATION = '\\s\\d"¿¡()\\[\\]<>{}' + re.escape(MARKS + "/\\@#%&*_+=^°§²³½⅓⅔¼¾⅛€$£¥₹₽₩₺¢×÷±≤≥≈≠‰–")
_LETTER = rf"[^{_PUNCTUATION}'\-\U000f0000-\U000fffff]"
_WORD = rf"{_LETTER}+(?:['\-]{_LETTER}+)*"
_START = r"(?<![\w.,])"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}"
_ROMAN = r"(?![LC]\b)(?=[IVXLC])C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"


@lru_cache(maxsize=32)
def scanner(language: Language) -> re.Pattern[str]:
    """Return the expression for a language. Each alternative is a named group, and the first that fits wins."""
    kinds = {
        "given": GIVEN,
        "url": r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)']|(?<![\w@.])[A-Za-z0-9-]+\.(?:com|org|net|edu|gov|io)\b(?:/[\w/.-]*\w)?",
        "email": rf"[A-Za-z0-9._%+-]{{1,64}}@{_DOMAIN}",
        **_dates(language),
        **_times(language),
        **_money(language),
        **_numbers(language),
        **_abbreviations(language),
        "acronym": r"(?<!\w)(?:[^\W\d_]\.){2,}(?:[^\W\d_](?!\w))?|(?<!\w)(?:[^\W\d_]\.)+[^\W\d_](?!\w)",
        "hashtag": rf"#(?={_LETTER})",
        "word": _WORD,
        "dash": r"\s-{1,3}(?=\s)|--+|\s?[–](?=\s)",
        "mark": rf"[{re.escape(MARKS)}][{re.escape(MARKS)}\"'\s]*|[()]",
        "symbol": _choice(language.symbols) if language.symbols else r"(?!)",
    }
    return re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items()))


def number(language: Language) -> str:
    """Return the expression of an unsigned number as the language groups and cuts it."""
    decimal = re.escape(language.decimal)
    grouped = "|".join(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+(?!\d)" for mark in language.groups + "\u00a0")
    return rf"(?:(?:{grouped})(?:{decimal}\d+)?|\d+(?:{decimal}\d+)?)"


def _choice(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _ended(words: Iterable[str]) -> str:
    """Return an expression of words that do not go on: a letter at their end is followed by none."""
    ordered = sorted(words, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(word) + (r"(?![\w²³/])" if word[-1].isalnum() else "") for word in ordered) + ")"


def _dates(language: Language) -> dict[str, str]:
    found = {}
    if language.date:
        found["isodate"] = r"(?<![\w-])(?P<iy>\d{4})-(?P<im>0[1-9]|1[0-2])-(?P<id>0[1-9]|[12]\d|3[01])(?![\w-])"
        found["numdate"] = r"(?<![\w./-])(?P<n1>\d{1,2})(?P<nsep>[./-])(?P<n2>\d{1,2})(?P=nsep)(?P<ny>\d{4}|\d{2})(?![\w/-]|\.\d)"
    if language.months and language.day_ordinal == "all":
        month = "(?:" + _choice(form for names in language.months for form in names.split("|")) + r")(?!\w)\.?"
        year = r"(?:,?\s+(?P<{}>1\d{{3}}|20\d\d)(?![\w.,]\d|\d))?"
        dot = r"\.\s?" if language.ordinal_dot else r"(?:st|nd|rd|th)?\s"
        found["daymonth"] = rf"(?<![\w.,/])(?P<dd>\d{{1,2}}){dot}(?:of )?(?P<dm>{month}){year.format('dy')}"
        found["monthday"] = rf"(?<!\w)(?P<mm>{month})\s(?P<md>\d{{1,2}})(?:st|nd|rd|th)?(?![\w:])(?![.,]\d){year.format('my')}"
        if language.ordinal_dot:
            del found["monthday"]
    return found


def _times(language: Language) -> dict[str, str]:
    half = r"\s?(?P<half>[AaPp])\.?[Mm]\b\.?" if language.half_days else r"(?P<half>(?!))"
    mark = language.hour_mark or "(?!)"
    colon = rf"(?P<th>[01]?\d|2[0-4]):(?P<tm>[0-5]\d)(?::(?P<ts>[0-5]\d))?(?:{half}|{mark})?(?!\d|:\d)"
    dotted = rf"(?P<uh>[01]?\d|2[0-4])\.(?P<um>[0-5]\d)(?:{mark})" if language.hour_mark else "(?!)"
    french = r"(?P<fh>[01]?\d|2[0-4])\s?h\s?(?P<fm>[0-5]\d)(?!\d)"
    alone = rf"(?P<ah>1[0-2]|0?[1-9]){half.replace('?P<half>', '?P<halfa>')}" if language.half_days else "(?!)"
    return {"time": rf"{_START}(?:{colon}|{dotted}|{french}|{alone})"}


def _money(language: Language) -> dict[str, str]:
    if not language.currencies:
        return {}
    sign = _ended(language.currencies)
    scale = r"(?:\s?(?P<{}>" + _ended(language.scales) + "))?" if language.scales else "(?P<{}>(?!))?"
    value = number(language)
    before = rf"(?<![\w$])(?P<mneg>-)?(?P<mcur>{sign})\s?(?P<mval>{value}){scale.format('msc')}"
    after = rf"{_START}(?P<aneg>-)?(?P<aval>{value}){scale.format('asc')}\s?(?P<acur>{sign})"
    return {"money": f"{before}|{after}"}


def _numbers(language: Language) -> dict[str, str]:
    value = number(language)
    unit = _ended(language.units) if language.units else "(?!)"
    fractions = _choice(key for key in language.fractions if key != "and") or "(?!)"
    international = r"(?<![\w.])\+\d{1,3}(?:[ ()/-]{0,2}\d{1,5}){2,7}(?!\d)"
    national = r"(?<![\w.,-])\(?0\d{1,5}\)?[ /-]\d{3,5}(?:[ -]?\d{2,5}){0,4}(?![\d.,]\d)"
    minus = r"(?P<{}>(?<![\w)])-)?"
    found = {
        "phone": rf"{international}|{national}",
        "version": r"(?<![\w.])\d+(?:\.\d+){2,}(?!\d)",
        "fraction": rf"{_START}(?:(?P<fw>\d+)\s?)?(?P<fr>{fractions})(?![\w/])" if language.fractions else "(?!)",
        "decade": r"(?<!\w)(?P<dec>(?:1[1-9]|20)\d0)'?s\b" if language.code.startswith("en") else "(?!)",
        "range": rf"{_START}(?P<ra>{value})\s?[–—-]\s?(?P<rb>{value})(?:\s?(?P<ru>{unit}))?(?![\w–—-]|[.,]\d)",
        "ordinal": rf"{_START}(?P<on>\d{{1,9}})(?P<os>{language.ordinal})" if language.ordinal else "(?!)",
        "dotordinal": rf"{_START}(?P<don>\d{{1,2}})\.(?=\s+{_LETTER})" if language.ordinal_dot else "(?!)",
        "quantity": rf"{minus.format('qm')}(?P<qn>{value})\s?(?P<qu>{unit})",
        "number": rf"{minus.format('nm')}(?P<nn>{value})(?![.,]?\d)",
        "loose": r"\d+(?:[.,]\d+)*",
    }
    if language.code.startswith("fr"):
        found["romanordinal"] = rf"(?<!\w)(?P<ron>{_ROMAN})(?:er|e|ème)s?(?=\s(?:siècle|arrondissement|République))"
    if language.numbered:
        nouns = _choice(language.numbered)
        found["roman"] = rf"(?:(?<=\s)|^)(?P<rnoun>{nouns})\s(?P<rnum>{_ROMAN})(?!\w)"
    return found


def _abbreviations(language: Language) -> dict[str, str]:
    words = {**language.abbreviations, **language.final}
    if not words:
        return {}
    plain = "|".join(re.escape(word) + ("" if word.endswith((".", "/")) else r"(?![\w'])") for word in sorted(words, key=len, reverse=True))
    capital = _choice({word[:1].upper() + word[1:] for word in words if word.endswith(".")} - set(words)) or "(?!)"
    counted = rf"(?:{_choice(language.before_number)})(?=\s?\d)" if language.before_number else "(?!)"
    return {"counted": rf"(?<![\w.])(?:{counted})", "abbreviation": rf"(?<![\w.])(?:{plain}|{capital})"}
