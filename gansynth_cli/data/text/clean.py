"""Characters that can be spoken: Unicode forms unified, controls, emoji and decoration removed; a text read in pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import IO

from ...errors import UsageError
from .report import TextReport

MAX_CHUNK = 1 << 16  # characters read at a time
NO_BREAK = "\u00a0"  # every space that groups digits; a line must not break there
# Kept as they are although Unicode calls them symbols or compatibility forms: the tables of `languages` say how to read them.
_KEPT = frozenset(".,;:?!¿¡'\"()[]<>/\\@#%&*_-+=^°§№²³½⅓⅔¼¾⅛ªº€$£¥₹₽₩₺¢×÷±≤≥≈≠‰µ")
_REPLACED = {
    **dict.fromkeys("’‘‛ʼ＇`´", "'"),
    **dict.fromkeys("“”„‟«»‹›″＂〝〞「」『』", '"'),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("‒–", "–"),
    **dict.fromkeys("—―⸺⸻", "—"),
    "−": "-",
    "…": "…",
    **dict.fromkeys("。．｡", ". "),
    **dict.fromkeys("।॥۔", ". "),
    **dict.fromkeys("！", "! "),
    **dict.fromkeys("？؟", "? "),
    **dict.fromkeys("，、،", ", "),
    **dict.fromkeys("；؛", "; "),
    "：": ": ",
    **dict.fromkeys("\u202f\u2007\u2009\u2060", NO_BREAK),
    NO_BREAK: NO_BREAK,
    "\n": "\n",
    "\r": "\n",
    "\u0085": "\n",
    "\u2028": "\n",
    **dict.fromkeys("\u2029\f\v", "\n\n"),
    **dict.fromkeys("•‣·●○■□▪►▶", " "),
    **dict.fromkeys("©®™", ""),
    "\u00ad": "",
    "μ": "µ",
    "℃": "°C",
    "℉": "°F",
}
_BYTE_ORDER_MARK = "\ufeff"
_CLUSTER = re.compile(r"([\u0300-\u036f]{2})[\u0300-\u036f]+")  # accents piled on one letter


class _Table(dict[int, str]):
    """Character -> its replacement; "" drops it. Filled as characters turn up, so its size is bounded by Unicode's."""

    def __missing__(self, code: int) -> str:
        made = self[code] = _spoken_form(chr(code))
        return made


def _spoken_form(character: str) -> str:
    if character in _REPLACED:
        return _REPLACED[character]
    if character in _KEPT or (character.isascii() and character.isalnum()):
        return character
    category = unicodedata.category(character)
    if category == "Zs" or character == "\t":
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] == "L":  # modifier letters too: they are part of phones given in the text
        return character if category == "Lm" else unicodedata.normalize("NFKC", character)
    if category in ("Mn", "Mc"):
        return "" if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef" else character
    if category in ("Nl", "No"):  # Roman numerals, circled digits
        return "".join(c for c in unicodedata.normalize("NFKC", character) if c.isascii() and c.isalnum())
    return ""


_TABLE = _Table()


def clean(text: str, report: TextReport | None = None) -> str:
    """Return a text in which every character is a letter, a mark of one, an ASCII digit, a space, a newline or known punctuation.

    Quotes, dashes, spaces and digits of other scripts are unified; full-width punctuation gets the space that Latin script has after
    it. Control characters, private-use characters, emoji with their modifiers and pictographs disappear and are counted.
    """
    if report is not None:
        for character in set(text):
            if not _TABLE[ord(character)] and character not in "©®™\u00ad" + _BYTE_ORDER_MARK:
                report.count(report.characters, character, text.count(character))
    text = text.replace("\r\n", "\n").translate(_TABLE)
    return _CLUSTER.sub(r"\1", unicodedata.normalize("NFC", text))


def read_chunks(source: str | IO[str] | IO[bytes] | Iterable[str]) -> Iterator[str]:
    """Yield a text in pieces of at most `MAX_CHUNK` characters, cut at line ends or spaces where there are any.

    Args:
        source: The text, an open file (binary ones are read as UTF-8, broken bytes become U+FFFD), or an iterable of strings.

    Raises:
        UsageError: The text file holds another encoding that its decoder refuses.
    """
    held = ""  # the last word may go on: an accent, or the second half of a line end
    try:
        for piece in _pieces(source):
            cut = max(piece.rfind(" "), piece.rfind("\n")) + 1
            if len(held) + cut > MAX_CHUNK:
                yield held
                held = ""
            if cut or len(held) + len(piece) > MAX_CHUNK:
                yield held + piece[:cut]
                held = ""
            held += piece[cut:]
    except UnicodeDecodeError as error:
        reason = f"{error.reason} at byte {error.start}"
        raise UsageError(f"the text is not {error.encoding}: {reason}.", hint="save the text as UTF-8") from error
    if held:
        yield held


def _pieces(source: str | IO[str] | IO[bytes] | Iterable[str]) -> Iterator[str]:
    if isinstance(source, str):
        yield from (source[start : start + MAX_CHUNK] for start in range(0, len(source), MAX_CHUNK))
    elif hasattr(source, "readline"):
        while line := source.readline(MAX_CHUNK):
            if isinstance(line, bytes):
                line = _decoded(line, source)
            yield line
    else:
        for text in source:
            yield from _pieces(str(text))


def _decoded(line: bytes, source: object) -> str:
    """Decode a line of a binary file; a piece that ends within a character takes the bytes it lacks from the file."""
    for _ in range(3):
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                break
            more = source.read(1)  # type: ignore[attr-defined]
            if not more:
                break
            line += more
    return line.decode("utf-8", "replace")
