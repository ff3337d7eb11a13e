"""The tokens that models of text-to-speech read: phones with their stress and place in the word, pause marks, silence at both ends."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .ipa import STRESS, plain
from .tokens import MARKS, Word

SILENCE = "_"
ALONE, BEGIN, INSIDE, END, OUTSIDE = range(5)  # places of a phone in its word; marks and silence are outside of words
PLACES, STRESSES = 5, 3
# What espeak-ng writes in American and British English, Spanish, German, Dutch, Polish, Portuguese, Italian and French, in an order that is
# never changed: models of different data have the same table, so that one can be trained on from another. New ones go to the end.
_COMMON = """
_ , . ; : ? ! … — a aɪ aɪə aɪɚ aʊ aː b bʲ bː d dz dzː dʑ dʒ dʒː dʲ dː d̪ e eə eɪ eʊ eː f fʲ fː h i iə iʊ iː j k kʲ kː l lː m mʲ mː
n nː n̩ o oɪ oʊ oː oːɹ p pf pʲ pː r rː s ss sː t ts tsː tɕ tʃ tʃː tʲ tː u uɪ uː v vʲ vː w x y yʊ yː z æ ç ð õ ø øː ŋ œ œy œ̃ ũ ɐ
ɐ̃ ɐ̃ʊ̃ ɑ ɑː ɑːɹ ɑ̃ ɒ ɔ ɔø ɔɪ ɔː ɔːɹ ɔ̃ ɕ ə əl əʊ ɚ ɛ ɛɪ ɛɹ ɛʊ ɛː ɛ̃ ɜ ɜː ɡ ɡʲ ɡː ɣ ɥ ɨ ɪ ɪɹ ɪː ɲ ɲʲ ɲː ɵ ɹ ɾ ʁ ʃ ʃː ʊ ʊə ʊɹ ʊː ʋ
ʌ ʌʊ ʎ ʎː ʑ ʒ ʔ ʝ β θ ᵻ
"""
COMMON = tuple(_COMMON.split())


@dataclass(frozen=True)
class PhoneToken:
    """A token.

    Attributes:
        symbol: Phone without stress and ties ("oʊ", "iː"), a pause mark, or `SILENCE`.
        stress: 0: none, 1: primary, 2: secondary.
        place: `ALONE`, `BEGIN`, `INSIDE`, `END` of its word, or `OUTSIDE`.
        text: The phone as the front end wrote it.
        word: Index of its word; -1 for silence.
    """

    symbol: str
    stress: int
    place: int
    text: str
    word: int

    @property
    def is_pause(self) -> bool:
        """Whether it is a pause mark or silence."""
        return self.place == OUTSIDE


def phone_tokens(words: Sequence[Word]) -> list[PhoneToken]:
    """Return the tokens of an utterance: silence, its phones and pause marks in order, silence."""
    tokens = [PhoneToken(SILENCE, 0, OUTSIDE, SILENCE, -1)]
    for number, word in enumerate(words):
        last = len(word.phones) - 1
        for position, phone in enumerate(word.phones):
            place = ALONE if last == 0 else BEGIN if position == 0 else END if position == last else INSIDE
            stress = STRESS.index(phone[0]) + 1 if phone[:1] in STRESS else 0
            tokens.append(PhoneToken(unicodedata.normalize("NFC", plain(phone)).replace("-", ""), stress, place, phone, number))
        if word.mark in MARKS and word.mark:
            tokens.append(PhoneToken(word.mark, 0, OUTSIDE, word.mark, number))
    return [*tokens, PhoneToken(SILENCE, 0, OUTSIDE, SILENCE, -1)]


def phone_table(symbols: Iterable[str]) -> list[str]:
    """Return the symbols of a model in the order of their numbers: the common ones, then those of its data that are not among them."""
    common = [unicodedata.normalize("NFC", symbol) for symbol in COMMON]
    return [*common, *sorted(set(symbols) - set(common))]


def token_ids(tokens: Sequence[PhoneToken], table: Mapping[str, int]) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Return (symbol, stress, place) numbers of tokens, and the symbols that the table lacks.

    Such a phone takes its base letter, without length and accents; a pause mark the full stop or the comma; what has neither is read as
    silence.
    """
    found, missing = [], []
    for token in tokens:
        symbol = nearest_symbol(token.symbol, table)
        if symbol != token.symbol:
            missing.append(token.symbol)
        found.append((table[symbol], token.stress, token.place))
    return found, missing


def nearest_symbol(symbol: str, table: Mapping[str, int]) -> str:
    """Return the symbol itself, or what is spoken in its place."""
    letters = "".join(c for c in unicodedata.normalize("NFD", symbol) if unicodedata.category(c)[0] == "L" and c not in "ːˑʰʲʷ")
    candidates = [symbol, letters, *letters[:1]]
    if symbol in MARKS:
        candidates = [symbol, "." if symbol in ".!?…" else ",", ",", "."]
    return next((candidate for candidate in candidates if candidate in table), SILENCE)
