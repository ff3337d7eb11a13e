"""A subset of SSML 1.1 (W3C Recommendation, 2010), read as a stream: break, p, s, sub, phoneme, say-as, voice, lang, emphasis, and the
rate, pitch and volume of prosody.

Other elements are counted and left out while their text is spoken, except `audio`, `desc`, `metadata`, `meta`, `lexicon` and `mark`,
whose content is no speech. Document types are refused, so there are no entities of the document's own and none that expand without
end; the parser is the standard library's expat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from xml.parsers import expat

from ...errors import UsageError
from .clean import clean
from .markup import bounded_pause
from .report import TextReport
from .tokens import Break, Event, Given, Style

MAX_DEPTH = 100
_SILENT = {"audio", "desc", "metadata", "meta", "lexicon", "mark"}
_PLAIN = {"speak", "p", "s", "sub", "phoneme", "say-as", "prosody", "voice", "lang", "emphasis", "break", "paragraph", "sentence"}
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}  # s; the standard leaves them open
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.25, "x-fast": 1.6, "default": 1.0}
_RATE_RANGE = (0.25, 4.0)
_PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "high": 3.0, "x-high": 6.0, "default": 0.0}  # semitones
_VOLUMES = {"silent": -60.0, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "loud": 4.0, "x-loud": 8.0, "default": 0.0}  # dB
_EMPHASIS = {"strong": (0.85, 3.0), "moderate": (0.92, 1.5), "none": (1.0, 0.0), "reduced": (1.1, -2.0)}  # factor on the rate, dB
_PITCH_RANGE, _VOLUME_RANGE = 12.0, 60.0
_SPELT = {"characters", "spell-out", "verbatim", "digits", "telephone"}


def is_ssml(start: str) -> bool:
    """Tell whether a text, by its first characters, is an SSML document."""
    return re.match(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?speak[\s>/]", start.lstrip("\ufeff"), re.DOTALL) is not None


def read_ssml(chunks: Iterable[str], report: TextReport) -> Iterator[Event]:
    """Turn an SSML document that comes in pieces into text, words with a given reading, pauses and changes of style.

    Args:
        chunks: The document in pieces of any length.
        report: Counts elements that are not supported.

    Raises:
        UsageError: It is not well-formed, has a document type, or is nested deeper than `MAX_DEPTH`.
    """
    reader = _Reader(report)
    parser = expat.ParserCreate(namespace_separator=None)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        for chunk in chain(chunks, [None]):
            parser.Parse(chunk or "", chunk is None)
            yield from reader.take()
    except expat.ExpatError as error:
        raise UsageError(
            f"the SSML is not well-formed: {expat.errors.messages[error.code]} at line {error.lineno}, column {error.offset + 1}.",
            hint="close every element, and write & as &amp; and < as &lt;",
        ) from error


def _refuse_doctype(name: str, *_: object) -> None:
    raise UsageError(f"the SSML declares a document type ({name}), which is not read.", hint="remove <!DOCTYPE ...> and its entities")


class _Reader:
    """Handlers of the parser; events wait in a list until the piece has been parsed."""

    def __init__(self, report: TextReport):
        self.report = report
        self._events: list[Event] = []
        self._open: list[tuple[str, Style, dict[str, str]]] = []
        self._style = Style()
        self._collected: list[str] | None = None  # text inside sub, phoneme and say-as
        self._silent = 0

    def take(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2].lower()
        if len(self._open) >= MAX_DEPTH:
            raise UsageError(f"the SSML is nested deeper than {MAX_DEPTH} elements.")
        self._open.append((name, self._style, attributes))
        if name in _SILENT:
            self._silent += 1
            return
        if self._silent:
            return
        if name not in _PLAIN:
            self.report.count(self.report.tags, f"<{name}>")
        elif name in ("sub", "phoneme", "say-as"):
            self._collected = []
        elif name == "break":
            self._events.append(self._break(attributes))
        elif name in ("p", "paragraph", "s", "sentence"):
            self._events.append(Break(paragraph=name[0] == "p"))
        self._change(self._styled(name, attributes))

    def end(self, _: str) -> None:
        name, style, attributes = self._open.pop()
        if name in _SILENT:
            self._silent -= 1
        elif not self._silent:
            if name in ("sub", "phoneme", "say-as") and self._collected is not None:
                text, self._collected = " ".join("".join(self._collected).split()), None
                self._events.append(self._given(name, text, attributes))
            elif name in ("p", "paragraph", "s", "sentence"):
                self._events.append(Break(paragraph=name[0] == "p"))
        self._change(style)

    def text(self, text: str) -> None:
        if self._silent:
            return
        text = clean(text, self.report)
        if self._collected is not None:
            self._collected.append(text)
        else:
            self._events.append(text)

    def _break(self, attributes: dict[str, str]) -> Break:
        if "time" in attributes:
            found = re.fullmatch(r"\s*\+?(\d{1,6}(?:\.\d{1,6})?)\s*(ms|s)\s*", attributes["time"])
            if found:
                return Break(bounded_pause(float(found[1]) / (1000 if found[2] == "ms" else 1), self.report))
            self.report.count(self.report.tags, f'<break time="{attributes["time"]}">')
        return Break(_STRENGTHS.get(attributes.get("strength", "medium"), _STRENGTHS["medium"]))

    def _given(self, name: str, text: str, attributes: dict[str, str]) -> Event:
        if name == "sub":
            return Given(text, alias=clean(attributes.get("alias", ""), self.report)) if attributes.get("alias") else text
        if name == "phoneme":
            if attributes.get("ph") and attributes.get("alphabet", "ipa") == "ipa":
                return Given(text, phones=clean(attributes["ph"]).strip())
            self.report.count(self.report.tags, f'<phoneme alphabet="{attributes.get("alphabet", "")}">')
            return text
        return say_as(text, attributes.get("interpret-as", ""), self.report)

    def _styled(self, name: str, attributes: dict[str, str]) -> Style:
        style = self._style
        language = attributes.get("xml:lang", "").lower()
        if name == "prosody":
            style = self._prosody(style, attributes)
        if name == "emphasis":
            rate, energy = _EMPHASIS.get(attributes.get("level", "moderate"), _EMPHASIS["moderate"])
            style = replace(style, rate=style.rate * rate, energy=style.energy + energy)
        if name == "voice" and attributes.get("name"):
            style = replace(style, speaker=attributes["name"])
        if language and name in ("speak", "p", "s", "voice", "lang", "prosody"):
            style = replace(style, language=language)
        return replace(
            style,
            rate=min(max(style.rate, _RATE_RANGE[0]), _RATE_RANGE[1]),
            pitch=min(max(style.pitch, -_PITCH_RANGE), _PITCH_RANGE),
            energy=min(max(style.energy, -_VOLUME_RANGE), _VOLUME_RANGE),
        )

    def _prosody(self, style: Style, attributes: dict[str, str]) -> Style:
        for unread in sorted(set(attributes) & {"range", "contour", "duration"}):
            self.report.count(self.report.tags, f"<prosody {unread}>")
        return replace(
            style,
            rate=style.rate * (self._rate(attributes["rate"]) if "rate" in attributes else 1.0),
            pitch=style.pitch + self._change_of("pitch", attributes, _PITCHES, "st", lambda factor: 12 * math.log2(factor)),
            energy=style.energy + self._change_of("volume", attributes, _VOLUMES, "db", lambda factor: 20 * math.log10(factor)),
        )

    def _change_of(
        self, name: str, attributes: dict[str, str], words: dict[str, float], unit: str, of_factor: Callable[[float], float]
    ) -> float:
        """Return a change of pitch or volume: one of `words`, "+2st", "-6dB", or "+10%"; what is absolute (Hz, 0 to 100) is not read."""
        written = attributes.get(name, "default").strip().lower()
        if written in words:
            return words[written]
        found = re.fullmatch(r"([+-]\d{1,3}(?:\.\d{1,3})?)(%|[a-z]+)", written)
        if found and found[2] == unit:
            return float(found[1])
        if found and found[2] == "%" and float(found[1]) > -100:
            return of_factor(1 + float(found[1]) / 100)
        self.report.count(self.report.tags, f'<prosody {name}="{attributes[name]}">')
        return 0.0

    def _rate(self, written: str) -> float:
        if written in _RATES:
            return _RATES[written]
        found = re.fullmatch(r"\s*([+-]?)(\d{1,4}(?:\.\d{1,4})?)(%?)\s*", written)
        if not found or (not found[1] and not float(found[2])):
            self.report.count(self.report.tags, f'<prosody rate="{written}">')
            return 1.0
        value = float(found[2]) / (100 if found[3] else 1)
        return max(_RATE_RANGE[0], 1 + value if found[1] == "+" else 1 - value) if found[1] else value

    def _change(self, style: Style) -> None:
        if style != self._style:
            self._style = style
            self._events.append(style)


def say_as(text: str, kind: str, report: TextReport) -> Event:
    """Return text with the reading that `interpret-as` names: characters (spelt), cardinal, ordinal, digits, date, time and others.

    Kinds that the normaliser recognises by their form (date, time, currency, unit) stay text. Unknown kinds are counted.
    """
    compact = text.replace(" ", "")
    if kind in _SPELT:
        return Given(text, alias=compact, kind="spell")
    if kind in ("ordinal", "cardinal", "number") and compact.isdigit():
        return Given(text, alias=compact, kind="ordinal" if kind == "ordinal" else "cardinal")
    if kind not in ("cardinal", "number", "ordinal", "date", "time", "currency", "unit", "measure", "fraction", "address", "name"):
        report.count(report.tags, f'<say-as interpret-as="{kind}">')
    return text
