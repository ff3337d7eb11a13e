"""From a text, a file or a stream to utterances with phones: the stages of this package in order, a bounded batch at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import IO, Literal

from .align_words import align_words, spread
from .clean import read_chunks
from .ipa import split_phones, tidy
from .languages import language_code
from .lexicon import pronunciation
from .markup import read_markup
from .normalise import Normaliser
from .phonemes import MAX_LINE, PLACEHOLDER, PLACEHOLDER_PHONES, Phonemiser
from .report import TextReport
from .sentences import split_sentences
from .ssml import is_ssml, read_ssml
from .tokens import MARKS, End, Sentence, Token, Utterance, Word

Markup = Literal["auto", "plain", "ssml"]
Source = str | IO[str] | IO[bytes] | Iterable[str]
MAX_BATCH = 32  # sentences per call of the phonemiser; the first batches are smaller, so that speech begins early
_SNIFFED = 4096

# Script (the first word of a letter's Unicode name) -> (languages that use it, language that reads it for all others).
_SCRIPTS: dict[str, tuple[str, str]] = {
    "CYRILLIC": ("ru uk be bg mk sr kk ky mn tg tt ba cv bs hr", "ru"),
    "GREEK": ("el grc", "el"),
    "ARABIC": ("ar fa ur ug sd ckb", "ar"),
    "HEBREW": ("he yi", "he"),
    "DEVANAGARI": ("hi mr ne kok sa bpy", "hi"),
    "BENGALI": ("bn as bpy", "bn"),
    "TAMIL": ("ta", "ta"),
    "HANGUL": ("ko", "ko"),
    "HIRAGANA": ("ja", ""),  # no language: espeak-ng reads these letter by letter, in English
    "KATAKANA": ("ja", ""),
    "CJK": ("cmn zh yue hak ja ko", ""),
    "GEORGIAN": ("ka", "ka"),
    "ARMENIAN": ("hy hyw", "hy"),
}


@dataclass
class _Run:
    """Tokens of one clause in one language, and where their words belong."""

    tokens: list[Token]
    language: str
    words: list[Word] = field(default_factory=list)


class FrontEnd:
    """Reads text in one language, or in those that SSML names.

    Args:
        language: Code of the language, such as "en-us".
        phonemiser: Makes phones; called only for words that have none yet.
        lexicon: Word -> phones of the user's own.
        report: Collects what was left out.

    Raises:
        UsageError: The phonemiser does not know the language.
    """

    def __init__(self, language: str, phonemiser: Phonemiser, lexicon: Mapping[str, str] | None = None, report: TextReport | None = None):
        self.report = report if report is not None else TextReport()
        self.language = language_code(language)
        self.phonemiser = phonemiser
        self._lexicon = lexicon or {}
        self._normalisers: dict[str, Normaliser] = {}
        self._names: dict[str, str] = {}

    def utterances(self, source: Source, markup: Markup = "auto", max_batch: int = MAX_BATCH) -> Iterator[Utterance]:
        """Yield the utterances of a text in order, in memory that does not grow with its length.

        Args:
            source: The text, an open text or UTF-8 file, or an iterable of strings.
            markup: "ssml", "plain" (with the marks of `read_markup`), or "auto": SSML if the text begins with <speak>.
            max_batch: Sentences that are read ahead at most; 1 speaks each as soon as it is complete.

        Raises:
            UsageError: Broken SSML, or a language that the phonemiser does not know.
            MissingExtraError: The phonemiser's program is missing.
            GanAudioError: The phonemiser failed.
        """
        chunks = read_chunks(source)
        first = next(chunks, "")
        chunks = chain([first], chunks)
        events = (
            read_ssml(chunks, self.report)
            if markup == "ssml" or (markup == "auto" and is_ssml(first[:_SNIFFED]))
            else read_markup(chunks, self.report)
        )
        sentences = split_sentences(events, self.language)
        size = 1
        while batch := list(islice(sentences, size)):
            yield from self.pronounced(batch)
            size = min(2 * size, max_batch)

    def pronounced(self, sentences: Sequence[Sentence]) -> list[Utterance]:
        """Return the utterances of sentences: one call of the phonemiser for each language among them."""
        clauses = [self._runs(sentence) for sentence in sentences]
        self._phonemise([run for runs in clauses for run in runs])
        return [
            Utterance(
                sentence.text,
                finished([word for run in runs for word in run.words], sentence.end),
                sentence.style.language or self.language,
                sentence.end,
                sentence.style,
                sentence.pause,
            )
            for sentence, runs in zip(sentences, clauses, strict=True)
        ]

    def _runs(self, sentence: Sentence) -> list[_Run]:
        language = language_code(sentence.style.language or self.language)
        if language not in self._normalisers:
            self._normalisers[language] = Normaliser(language, self.report)
        found: list[_Run] = []
        length = 0
        for token in self._normalisers[language](sentence):
            if not token.phones and (phones := pronunciation(self._lexicon, token.source)):
                token = Token(token.source, token.spoken, token.mark, phones)
            reads = language if token.phones else self._language_of(token, language)
            if not reads:
                token = Token(token.source, "", token.mark)
            length += len(token.spoken) + 1
            if not found or found[-1].tokens[-1].mark or found[-1].language != reads or length > MAX_LINE:
                found.append(_Run([], reads))
                length = len(token.spoken) + 1
            found[-1].tokens.append(token)
        return found

    def _language_of(self, token: Token, language: str) -> str:
        """Return the language that reads a word: another one for a script that the language does not use, "" for none."""
        letter = next((c for c in token.spoken if c.isalpha()), "")
        script = unicodedata.name(letter, "").split(" ")[0] if letter and not letter.isascii() else ""
        if script not in _SCRIPTS or self.phonemiser.name == "text":
            return language
        natives, reads = _SCRIPTS[script]
        if language.split("-")[0] in natives.split():
            return language
        self.report.count(self.report.other_scripts, reads or "none (left out)")
        return reads

    def _phonemise(self, runs: Sequence[_Run]) -> None:
        languages: dict[str, list[_Run]] = {}
        for run in runs:
            if all(token.phones or not token.spoken for token in run.tokens):
                run.words = [word for token in run.tokens for word in given_words(token)]
            else:
                languages.setdefault(run.language, []).append(run)
        for language, waiting in languages.items():
            if language not in self._names:
                self._names[language] = self.phonemiser.check(language)
            lines = [" ".join(PLACEHOLDER if token.phones else token.spoken for token in run.tokens) for run in waiting]
            for run, phones in zip(waiting, self.phonemiser(lines, self._names[language]), strict=True):
                run.words = self._words(run, phones)

    def _words(self, run: _Run, phones: str) -> list[Word]:
        """Put the phones of a line beside its tokens; the placeholders divide both."""
        between = re.split(f"[ˈˌ]?{PLACEHOLDER_PHONES}", phones)
        given = [token for token in run.tokens if token.phones]
        if len(run.tokens) == 1:
            return align_words(run.tokens, phones.split())
        if len(between) != len(given) + 1:  # a placeholder was read otherwise: without their neighbours, then
            parts = [_Run([token], run.language) for token in run.tokens]
            self._phonemise(parts)
            return [word for part in parts for word in part.words]
        words: list[Word] = []
        waiting = list(run.tokens)
        for index, part in enumerate(between):
            stop = next((i for i, token in enumerate(waiting) if token.phones), len(waiting))
            words += align_words(waiting[:stop], part.split()) if stop else []
            if index < len(given):
                words += given_words(waiting[stop])
            waiting = waiting[stop + 1 :]
        return words


def finished(words: list[Word], end: End) -> tuple[Word, ...]:
    """Return words with a pause mark at their end: voices learned whole sentences, and one without a mark breaks off."""
    if words and not words[-1].mark:
        words[-1] = replace(words[-1], mark="," if end == "clause" else ".")
    return tuple(words)


def given_words(token: Token) -> list[Word]:
    """Return the words of a token whose phones are known: a space ends a word, a pause mark at its end stays with it."""
    words: list[Word] = []
    for part in tidy(token.phones).split():
        mark = next((c for c in reversed(part) if c in MARKS), "") if part[-1] in MARKS else ""
        words += spread("", [phones] if (phones := split_phones(part)) else [], mark)
    if not words:
        return [Word(token.source, (), token.mark)] if token.mark else []
    words[0] = Word(token.source, words[0].phones, words[0].mark)
    words[-1] = Word(words[-1].text, words[-1].phones, token.mark or words[-1].mark)
    return words
