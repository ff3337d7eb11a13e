"""Strings of the International Phonetic Alphabet taken apart into phones, each with its stress, ties, length and accents."""

from __future__ import annotations

import re
import unicodedata

STRESS = "ˈˌ"
TIE = "\u0361"
_LANGUAGE_FLAG = re.compile(rf"\({TIE}?[a-z](?:{TIE}?[a-z0-9-])*\)")  # espeak-ng's "(en)" around words that it read in another language
_TIES = re.compile("[\u035c^\u200d]")  # other ties that programs write


def tidy(phones: str) -> str:
    """Return phones without espeak-ng's language flags and separators, with one kind of tie and one space between words."""
    phones = _LANGUAGE_FLAG.sub("", phones).replace("_", "")
    return " ".join(_TIES.sub(TIE, phones).split())


def split_phones(word: str) -> tuple[str, ...]:
    """Return the phones of a word without spaces.

    A phone is a letter with the stress mark before it and everything behind it that modifies it: length, aspiration, accents, tones;
    letters joined by a tie are one phone. Characters that belong to no letter are dropped.
    """
    found: list[str] = []
    stress, tied = "", False
    for character in word:
        if character in STRESS:
            stress = character
        elif character == TIE:
            tied = bool(found)
            found[-1:] = [found[-1] + TIE] if found else []
        elif _is_letter(character) and not tied:
            found.append(stress + character)
            stress = ""
        elif found and (tied or _is_modifier(character)):
            found[-1] += character
            tied = False
    return tuple(phone.rstrip(TIE) for phone in found)


def plain(phone: str, stress: bool = False) -> str:
    """Return a phone without its ties and, unless `stress`, without its stress mark."""
    return "".join(character for character in phone if character != TIE and (stress or character not in STRESS))


def _is_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Ll", "Lu", "Lo") or character in "ᵊᵻ"


def _is_modifier(character: str) -> bool:
    return unicodedata.category(character) in ("Lm", "Mn", "Sk", "Nd") or character in "-'ˑ↑↓→↗↘"
