"""The symbols of Kokoro-82M, and how phones in espeak-ng's spelling are written with them.

The model was trained on the phones of misaki (Apache-2.0), which writes diphthongs and affricates as one letter each. The ids are those
of the model's own table, the same in every export; 0 begins and ends an utterance.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ...data.text.ipa import STRESS, TIE

_TABLE = (
    ';1 :2 ,3 .4 !5 ?6 —9 …10 "11 (12 )13 “14 ”15 ̃17 ʣ18 ʥ19 ʦ20 ʨ21 ᵝ22 ꭧ23 A24 I25 O31 Q33 S35 T36 W39 Y41 ᵊ42 a43 b44 c45 d46 e47 f48 '
    "h50 i51 j52 k53 l54 m55 n56 o57 p58 q59 r60 s61 t62 u63 v64 w65 x66 y67 z68 ɑ69 ɐ70 ɒ71 æ72 β75 ɔ76 ɕ77 ç78 ɖ80 ð81 ʤ82 ə83 ɚ85 ɛ86 "
    "ɜ87 ɟ90 ɡ92 ɥ99 ɨ101 ɪ102 ʝ103 ɯ110 ɰ111 ŋ112 ɳ113 ɲ114 ɴ115 ø116 ɸ118 θ119 œ120 ɹ123 ɾ125 ɻ126 ʁ128 ɽ129 ʂ130 ʃ131 ʈ132 ʧ133 ʊ135 "
    "ʋ136 ʌ138 ɣ139 ɤ140 χ142 ʎ143 ʒ147 ʔ148 ˈ156 ˌ157 ː158 ʰ162 ʲ164 ↓169 →171 ↗172 ↘173 ᵻ177"
)
SYMBOLS: dict[str, int] = {" ": 16} | {entry[0]: int(entry[1:]) for entry in _TABLE.split(" ")}
END_ID = 0

_EVERYWHERE = {
    "a͡ɪ": "I",
    "e͡ɪ": "A",
    "o͡ʊ": "O",
    "ə͡ʊ": "Q",
    "a͡ʊ": "W",
    "ɔ͡ɪ": "Y",
    "t͡ʃ": "ʧ",
    "d͡ʒ": "ʤ",
    "t͡s": "ʦ",
    "d͡z": "ʣ",
    "t͡ɕ": "ʨ",
    "d͡ʑ": "ʥ",
}
_ENGLISH = {"ə͡l": "ᵊl", "ɚ": "əɹ", "r": "ɹ", "ɐ": "ə", "ʔ": "t", "x": "k", "ç": "k", "ɬ": "l", "ʲ": "", "̃": ""}
_AMERICAN = {"ɜː": "ɜɹ", "ɾ": "T", "ɪ͡ə": "iə", "ː": ""}
_BRITISH = {"e͡ə": "ɛː"}
_INSTEAD = {"g": "ɡ", "ɫ": "l", "ʑ": "ʒ", "ɵ": "o", "ʀ": "ʁ", "ɦ": "h", "ʍ": "w", "ɱ": "m", "ɭ": "l", "ʏ": "y", "ʐ": "ʒ", "ɞ": "ɜ"}
_SYLLABIC = "\u0329"


def kokoro_symbols(phones: Sequence[str], language: str) -> list[str]:
    """Return each phone of a word in the model's spelling; the order and number of phones stay.

    Args:
        phones: Phones with ties, as `split_phones` returns them.
        language: English has rules of its own: "en-gb" British ones, any other "en" American ones.
    """
    english = language.startswith("en")
    british = language.startswith("en-gb")
    spelt = []
    for number, phone in enumerate(phones):
        rules = _EVERYWHERE | (_ENGLISH | (_BRITISH if british else _AMERICAN) if english else {})
        following = phones[number + 1 : number + 2]
        if english and not british and phone.endswith("ɜː") and following and following[0].startswith("ɹ"):
            rules = rules | {"ɜː": "ɜ"}
        if english and phone == "ʔ" and following and _SYLLABIC in following[0]:
            rules = rules | {"ʔ": "t"}
        spelt.append(_spelt(phone, rules))
    return spelt


def _spelt(phone: str, rules: dict[str, str]) -> str:
    stress = phone[:1] if phone[:1] in STRESS else ""
    sound = unicodedata.normalize("NFC", phone[len(stress) :])
    if _SYLLABIC in sound:
        sound = "ᵊ" + sound.replace(_SYLLABIC, "")
    for written in sorted(rules, key=len, reverse=True):
        sound = sound.replace(written, rules[written])
    sound = sound.replace(TIE, "").replace("-", "")
    return stress + sound if sound else ""


def symbol_ids(symbols: str, table: dict[str, int], unknown: list[str]) -> list[int]:
    """Return the ids of symbols; those that the table lacks are replaced by their nearest one, else put into `unknown`."""
    ids: list[int] = []
    for symbol in unicodedata.normalize("NFC", symbols):
        for part in (symbol,) if symbol in table else unicodedata.normalize("NFD", symbol):
            part = part if part in table else _INSTEAD.get(part, part)
            if part in table:
                ids.append(table[part])
            else:
                unknown.append(part)
    return ids
