"""A sentence as the words that are spoken: numbers, dates, times, money, units, abbreviations and symbols of a language spelt out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .languages import Language, Noun, language_for
from .numbers import Numbers
from .patterns import scanner
from .report import TextReport
from .tokens import FIRST_GIVEN, Given, Sentence, Token

_STRONGEST = "?!.…;:—,"
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_FIRST_YEAR, _LAST_YEAR = 1100, 2099  # four digits outside of these are read as a number


class Normaliser:
    """Spells out the sentences of one language.

    Languages without a table (`languages`) keep their digits and some symbols, which espeak-ng reads.

    Args:
        code: Language code.
        report: Gets notes and counts.
    """

    def __init__(self, code: str, report: TextReport):
        self.language: Language = language_for(code)
        self.numbers = Numbers(self.language, report)
        self._scanner = scanner(self.language)

    def __call__(self, sentence: Sentence) -> list[Token]:
        """Return the words of a sentence in order, each with the pause mark that follows it."""
        given = {chr(FIRST_GIVEN + i): part for i, part in enumerate(sentence.parts) if isinstance(part, Given)}
        text = "".join(part if isinstance(part, str) else chr(FIRST_GIVEN + i) for i, part in enumerate(sentence.parts))
        return self._tokens(text, given)

    def _tokens(self, text: str, given: Mapping[str, Given]) -> list[Token]:
        found: list[Token] = []
        for match in self._scanner.finditer(text):
            kind = match.lastgroup or ""
            if kind in ("mark", "dash"):
                _add_mark(found, "—" if kind == "dash" else _strongest(match[0]))
            elif kind == "given":
                found += self._given(given[match[0]])
            else:
                reader: Callable[[re.Match[str]], list[Token] | str] = getattr(self, f"_read_{kind}")
                spoken = reader(match)
                found += [Token(match[0].strip(), " ".join(spoken.split()))] * bool(spoken.strip()) if isinstance(spoken, str) else spoken
                if kind in ("abbreviation", "acronym") and match[0].endswith(".") and not text[match.end() :].strip(" \"')]"):
                    _add_mark(found, ".")
        return found

    def _given(self, given: Given) -> list[Token]:
        if given.phones:
            return [Token(given.text, phones=given.phones)]
        if given.kind == "spell":
            letters = [self.numbers.digits(c) if c.isdigit() else c.upper() for c in given.alias if c.isalnum()]
            spelt = " ".join(letters) if any(len(letter) > 1 for letter in letters) else ".".join(letters)
            return [Token(given.text, spelt)] if letters else []
        if given.kind in ("ordinal", "cardinal"):
            return [Token(given.text, self.numbers.ordinal(given.alias) if given.kind == "ordinal" else self.numbers.cardinal(given.alias))]
        inside = self._tokens(given.alias, {})
        words = " ".join(token.spoken for token in inside if token.spoken)
        return [Token(given.text, words)] if words else []

    # Each reader below takes a match of the group of its name in `patterns.scanner` and returns what is spoken.

    def _read_word(self, match: re.Match[str]) -> str:
        return match[0]

    def _read_acronym(self, match: re.Match[str]) -> str:
        return match[0].rstrip(".")  # espeak-ng spells letters with dots between them

    def _read_symbol(self, match: re.Match[str]) -> str:
        if match[0] in "<>":  # only between numbers or spaces: else it is a torn tag
            around = match.string[max(0, match.start() - 1) : match.start()] + match.string[match.end() : match.end() + 1]
            if not all(c.isspace() or c.isdigit() for c in around):
                return ""
        if match[0] in "#№" and not re.match(r"\s?\d", match.string[match.end() :]):
            return ""
        return self.language.symbols[match[0]]

    def _read_hashtag(self, match: re.Match[str]) -> str:
        return self.language.words.get("hash", "")

    def _read_url(self, match: re.Match[str]) -> str:
        address = re.sub(r"^(?:https?://)?(?:www\.)?", "", match[0])
        return self._address(re.split(r"[?#]", address)[0].rstrip("/"))

    def _read_email(self, match: re.Match[str]) -> str:
        user, _, host = match[0].partition("@")
        return f"{self._address(user)} {self.language.words.get('at', '')} {self._address(host)}"

    def _address(self, text: str) -> str:
        named = {".": self.language.words.get("dot", ""), "/": self.language.words.get("slash", "")}
        parts = re.findall(r"\d+|[^\W\d_]+|[./]", text)
        return " ".join(named.get(part, self.numbers.cardinal(part) if part.isdigit() else part) for part in parts)

    # Dates and times

    def _read_isodate(self, match: re.Match[str]) -> str:
        return self._date(match, int(match["id"]), int(match["im"]), match["iy"], self.language.date)

    def _read_numdate(self, match: re.Match[str]) -> str:
        first, second = int(match["n1"]), int(match["n2"])
        day, month = (first, second) if self.language.day_first or first > 12 else (second, first)
        if not 1 <= month <= 12 or not 1 <= day <= 31:
            slash = self.language.words["slash"] if match["nsep"] == "/" else ""
            return f" {slash} ".join(self.numbers.cardinal(match[part]) for part in ("n1", "n2", "ny"))
        return self._date(match, day, month, match["ny"], self.language.date)

    def _read_daymonth(self, match: re.Match[str]) -> list[Token] | str:
        return self._named_date(match, match["dd"], match["dm"], match["dy"], self.language.day_month)

    def _read_monthday(self, match: re.Match[str]) -> list[Token] | str:
        return self._named_date(match, match["md"], match["mm"], match["my"], self.language.date if match["my"] else self.language.day)

    def _named_date(self, match: re.Match[str], day: str, month: str, year: str | None, template: str) -> list[Token] | str:
        number = list(dict.fromkeys(self.language.month_names.values())).index(self.language.month_names[month.rstrip(".").lower()]) + 1
        if not 1 <= int(day) <= 31:
            return self._tokens(match[0].replace(month, self._month(number)).replace(day, self.numbers.cardinal(day)), {})
        spoken = self._date(match, int(day), number, year or "", template)
        tokens = [Token(match[0].strip(), " ".join(spoken.split()))]
        if month.endswith(".") and not year and not match.string[match.end() :].strip():
            _add_mark(tokens, ".")
        return tokens

    def _date(self, match: re.Match[str], day: int, month: int, year: str, template: str) -> str:
        ordinal = self.language.day_ordinal == "all" or (self.language.day_ordinal == "first" and day == 1)
        said = self._inflected(match, str(day), "r") if ordinal else self.numbers.cardinal(str(day))
        if template.startswith("the ") and _word_before(match) in ("the", "this", "that"):
            template = template[4:]
        return template.format(day=said, month=self._month(month), year=self._year(year))

    def _month(self, number: int) -> str:
        return self.language.months[number - 1].split("|")[0]

    def _year(self, digits: str) -> str:
        if len(digits) == 4 and self.language.year_words is not None:
            return self.numbers.year(digits)
        return self.numbers.cardinal(digits) if digits else ""

    def _read_time(self, match: re.Match[str]) -> str:
        hour, minutes = _part(match, "th", "uh", "fh", "ah"), _part(match, "tm", "um", "fm") or "0"
        half = self.language.half_days.get(_part(match, "half", "halfa").lower() + "m", "")
        said = {"h": self.numbers.cardinal(str(int(hour)))}
        if int(minutes):
            said["m"] = self.numbers.cardinal(str(int(minutes)))
            said["m"] = self.language.small_minutes.format(m=said["m"]) if int(minutes) < 10 else said["m"]
            time = self.language.hour_minutes.format(**said)
        else:
            time = said["h"] if half else self.language.hour.format(**said)
            if int(hour) > 12 and self.language.late_hour and not half:
                time = self.language.late_hour.format(**said)
        for pattern, form in self.language.hour_forms:
            time = re.sub(pattern, form, time)
        seconds = self.numbers.cardinal(str(int(match["ts"]))) if match["ts"] else ""
        return f"{time} {seconds} {half}"

    # Numbers

    def _read_number(self, match: re.Match[str]) -> str:
        return self._minus(match["nm"]) + self._number(match, match["nn"])

    def _number(self, match: re.Match[str], written: str) -> str:
        if not self.language.words:
            return written.replace("\u00a0", "")
        if re.fullmatch(r"[12]\d{3}", written) and self._is_year(match, written):
            return self.numbers.year(written)
        return self._value(written)

    def _value(self, written: str) -> str:
        whole, _, fraction = written.partition(self.language.decimal)
        whole = re.sub(r"\D", "", whole)
        return self.numbers.decimal(whole, fraction) if fraction else self.numbers.cardinal(whole)

    def _is_year(self, match: re.Match[str], written: str) -> bool:
        if self.language.year_words is None or not _FIRST_YEAR <= int(written) <= _LAST_YEAR:
            return False
        before = match.string[: match.start()]
        return _word_before(match) in self.language.year_words or (
            before.endswith("(") and match.string[match.end() : match.end() + 1] in (")", "-", "–")
        )

    def _minus(self, sign: str | None) -> str:
        return self.language.words.get("minus", "-") + " " if sign else ""

    def _read_loose(self, match: re.Match[str]) -> list[Token] | str:
        parts = re.split(r"([.,])", match[0])
        marks = set(parts[1::2])
        words = self.language.words
        if not words:
            return match[0]
        if marks == {","} and self.language.decimal == ".":  # a list without spaces
            return [Token(part, self.numbers.cardinal(part), mark="," if i < len(parts) // 2 else "") for i, part in enumerate(parts[::2])]
        named = {self.language.decimal: words["point"], ".": words["point"] if self.language.decimal == "." else words["dot"]}
        said = [self.numbers.cardinal(parts[0])]
        for mark, part in zip(parts[1::2], parts[2::2], strict=True):
            said += [named.get(mark, ""), self.numbers.digits(part) if len(parts) == 3 else self.numbers.cardinal(part)]
        return " ".join(said)

    def _read_version(self, match: re.Match[str]) -> str:
        parts = match[0].split(".")
        if self.language.groups.startswith(".") and len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:]):
            return self.numbers.cardinal("".join(parts))
        named = self.language.words["point" if self.language.decimal == "." else "dot"] if self.language.words else "."
        return f" {named} ".join(map(self.numbers.cardinal, parts))

    def _read_phone(self, match: re.Match[str]) -> list[Token]:
        groups = re.findall(r"\+|\d+", match[0])
        plus = self.language.words.get("plus", "+")
        return [
            Token(group, plus if group == "+" else self.numbers.digits(group), mark="" if group == "+" or group is groups[-1] else ",")
            for group in groups
        ]

    def _read_fraction(self, match: re.Match[str]) -> str:
        part = self.language.fractions[match["fr"]]
        return f"{self.numbers.cardinal(match['fw'])} {self.language.fractions['and']} {part}" if match["fw"] else part

    def _read_decade(self, match: re.Match[str]) -> str:
        year = self.numbers.year(match["dec"])
        return f"{year[:-1]}ies" if year.endswith("y") else f"{year}s"

    def _read_range(self, match: re.Match[str]) -> str:
        years = all(re.fullmatch(r"(?:1[1-9]|20)\d\d", match[part]) for part in ("ra", "rb")) and self.language.year_words is not None
        first, last = (self._year(match[part]) if years else self._value(match[part]) for part in ("ra", "rb"))
        unit = self.language.units[match["ru"]][1] if match["ru"] else ""
        return f"{first} {self.language.words.get('to', '')} {last} {unit}"

    def _read_ordinal(self, match: re.Match[str]) -> str:
        spoken = self.numbers.ordinal(match["on"])
        for suffix, pattern, form in self.language.ordinal_forms:
            if re.fullmatch(suffix, match["os"]):
                spoken = re.sub(pattern, form, spoken)
        return spoken

    def _read_dotordinal(self, match: re.Match[str]) -> list[Token]:
        return [Token(match[0].strip(), self._inflected(match, match["don"], ""))]

    def _inflected(self, match: re.Match[str], digits: str, otherwise: str) -> str:
        """Return an ordinal number with the ending that the word before it asks for."""
        spoken = self.numbers.ordinal(digits)
        if not self.language.ordinal_after or spoken == digits:
            return spoken
        before = _word_before(match)
        return spoken + next((ending for words, ending in self.language.ordinal_after if before in words), otherwise)

    def _read_roman(self, match: re.Match[str]) -> list[Token]:
        return [Token(match["rnoun"], match["rnoun"]), Token(match["rnum"], self.numbers.cardinal(str(_roman(match["rnum"]))))]

    def _read_romanordinal(self, match: re.Match[str]) -> str:
        return self.numbers.ordinal(str(_roman(match["ron"])))

    # Quantities

    def _read_quantity(self, match: re.Match[str]) -> str:
        return self._minus(match["qm"]) + self._counted(match["qn"], self.language.units[match["qu"]])

    def _read_money(self, match: re.Match[str]) -> str:
        written, sign = match["mval"] or match["aval"], match["mcur"] or match["acur"]
        scale = _part(match, "msc", "asc")
        noun, minor = self.language.currencies[sign]
        minus = self._minus(match["mneg"] or match["aneg"])
        whole, _, fraction = written.partition(self.language.decimal)
        if scale:
            spoken = self.language.scales[scale]
            joiner = self.language.money_joiner if spoken not in ("mil", "mila", "mille") else ""
            if joiner == "d'" and noun[1][0] not in "aeiou":
                joiner = "de "
            spoken = re.sub(r"(?<=ion)en$|(?<=iarde)n$", "", spoken) if written == "1" else spoken
            number = self._before(self._value(written), self.language.feminine_scales)
            return f"{minus}{number} {spoken} {joiner}{noun[1]}"
        if len(fraction) == 2 and minor:
            hundredths = self._counted(str(int(fraction)), minor) if int(fraction) else ""
            units = self._counted(whole, noun) if int(re.sub(r"\D", "", whole)) or not hundredths else ""
            return f"{minus}{units} {self.language.and_minor if units and hundredths else ''} {hundredths}"
        return minus + self._counted(written, noun)

    def _counted(self, written: str, noun: Noun) -> str:
        one, many, feminine = noun
        return f"{self._before(self._value(written), feminine)} {one if written == '1' else many}"

    def _before(self, spoken: str, feminine: bool) -> str:
        """Return a number in the form that it takes in front of a noun."""
        for pattern, form in self.language.before_feminine if feminine else self.language.before_noun:
            changed = re.sub(pattern, form, spoken)
            if changed != spoken:
                return changed
        return spoken

    # Abbreviations

    def _read_counted(self, match: re.Match[str]) -> str:
        return self.language.before_number[match[0]]

    def _read_abbreviation(self, match: re.Match[str]) -> str:
        written = match[0]
        if written == "St." and self.language.code.startswith("en") and not match.string[match.end() :].lstrip()[:1].isupper():
            return "Street"
        for table in (self.language.abbreviations, self.language.final):
            for form in (written, written[:1].lower() + written[1:]):
                if form in table:
                    return table[form]
        return written


def _word_before(match: re.Match[str]) -> str:
    found = re.search(r"(\w+)[\s,.]*\Z", match.string[max(0, match.start() - 30) : match.start()])
    return found[1].lower() if found else ""


def _part(match: re.Match[str], *names: str) -> str:
    """Return the first of these groups that matched, or "": a language's expression has only the groups that it needs."""
    groups = match.groupdict()
    return next((groups[name] for name in names if groups.get(name)), "")


def _roman(letters: str) -> int:
    values = [_ROMAN[letter] for letter in letters]
    return sum(-value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True))


def _strongest(marks: str) -> str:
    if "..." in marks:
        marks += "…"
        return "?" if "?" in marks else "!" if "!" in marks else "…"
    return next((mark for mark in _STRONGEST if mark in marks), ",")  # brackets pause like a comma


def _add_mark(tokens: list[Token], mark: str) -> None:
    """Put a pause mark behind the last token; of two marks the stronger one stays."""
    if not tokens:
        return
    last = tokens[-1]
    kept = min(filter(None, (last.mark, mark)), key=_STRONGEST.index)
    tokens[-1] = Token(last.source, last.spoken, kept, last.phones)
