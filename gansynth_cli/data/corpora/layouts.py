"""The corpora that `--layout` knows: to add one, write its reader and register it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import UsageError
from . import speech, tables, transcripts, words
from .notes import PITCH_FROM, notes
from .source_file import LabelOptions, Reading, SourceFile

Reader = Callable[[Reading], list[SourceFile]]
LABEL_MODES = ("auto", "none", "folder", "pattern", "csv", "layout")


@dataclass(frozen=True)
class Layout:
    """A corpus.

    Attributes:
        read: Labels the recordings; see `Reading`.
        about: One line for the help.
        keys: The keys of `--corpus` that only this layout reads.
        voices: Whether it knows who speaks and how, so that `domain` chooses the label.
    """

    read: Reader
    about: str
    keys: tuple[str, ...] = ()
    voices: bool = False


def _nsynth(reading: Reading) -> list[SourceFile]:
    from .nsynth import nsynth  # loads numpy, which `prepare --help` does without

    return nsynth(reading)


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(tables.by_folder, "a folder for each label"),
    "csv": Layout(tables.by_csv, "a table of labels, with --labels csv:FILE"),
    "fsdd": Layout(words.fsdd, "Free Spoken Digit Dataset"),
    "sc09": Layout(words.sc09, "Speech Commands, its ten digits"),
    "nsynth": Layout(_nsynth, "NSynth's folders or TFRecord files", keys=("label", "instrument")),
    "notes": Layout(notes, "one note a file, its pitch in the name or measured", keys=("pitch-from",)),
    "pairs": Layout(words.pairs, "clean and noisy recordings of the same names in two folders"),
    "speakers": Layout(speech.speakers, "a folder for each speaker, with emotions a folder each in those", voices=True),
    "vctk": Layout(speech.vctk, "VCTK", keys=("language",), voices=True),
    "esd": Layout(speech.esd, "Emotional Speech Dataset", voices=True),
    "ravdess": Layout(speech.ravdess, "RAVDESS", voices=True),
    "crema-d": Layout(speech.crema_d, "CREMA-D", voices=True),
    "ljspeech": Layout(transcripts.ljspeech, "recordings and metadata.csv with lines name|text", keys=("language",)),
    "text": Layout(transcripts.table, "metadata.csv with the columns path,text,speaker,language,emotion", keys=("language",)),
    "asterisk": Layout(transcripts.asterisk, "Asterisk's prompts and their texts", keys=("language",)),
    "emo-db": Layout(speech.emo_db, "Berlin database of emotional speech", voices=True),
}


@dataclass(frozen=True)
class Key:
    """A key of `--corpus`: the field of `LabelOptions` that it sets, and a line for the help."""

    field: str
    about: str


KEYS: dict[str, Key] = {
    "domain": Key("domain", "what the label of a voice is: speaker, emotion or both"),
    "label": Key("field", "nsynth: the entry of examples.json that is the label, such as pitch or instrument_family_str"),
    "instrument": Key("instrument_field", "nsynth: the entry that is the instrument: instrument_family_str, instrument_str, ..."),
    "pitch-from": Key("pitch_from", "notes: name, sound (measured) or auto: the name if it tells one"),
    "pitches": Key("pitches", "only notes of these pitches: MIDI numbers, names, ranges, as 36-84 or C4,E4"),
    "instruments": Key("instruments", "only notes of these instruments, as bell,organ"),
    "language": Key("language", "ljspeech, text, asterisk, vctk: language of the transcripts, as en-us"),
    "attributes": Key("attributes", "a CSV table: file,pitch,instrument or other attributes of each recording"),
}


def mode_of(options: LabelOptions) -> str:
    """Return `options.labels` with "auto" decided: "none", "folder", "pattern", "csv" or "layout".

    Raises:
        UsageError: Options that contradict each other, or name nothing.
    """
    if options.labels not in LABEL_MODES:
        raise UsageError(f"--labels is {options.labels!r}; expected none, folder, layout, csv:FILE or pattern:REGEX.")
    if options.layout and options.layout not in LAYOUTS:
        raise UsageError(f"--layout is {options.layout!r}; expected one of {', '.join(LAYOUTS)}.")
    if options.pitch_from not in PITCH_FROM:
        raise UsageError(f"--corpus pitch-from is {options.pitch_from!r}; expected auto, name or sound.")
    if options.domain not in ("", *tables.DOMAINS):
        raise UsageError(f"--corpus domain is {options.domain!r}; expected speaker, emotion or both.")
    if options.domain and not (options.layout or options.csv or options.pattern):
        voices = ", ".join(name for name, layout in LAYOUTS.items() if layout.voices)
        raise UsageError(
            f"--corpus domain={options.domain} needs to know who speaks and how.",
            hint=f"add --layout ({voices}, fsdd), --labels csv:FILE or --labels pattern:REGEX",
        )
    implied = "pattern" if options.pattern else "csv" if options.csv else "layout" if options.layout else "none"
    mode = implied if options.labels == "auto" else options.labels
    if mode == "layout" and not options.layout:
        raise UsageError("--labels layout needs --layout.", hint="gan-audio prepare --help")
    if mode == "pattern" and not options.pattern:
        raise UsageError("--labels pattern needs an expression.", hint=r"--labels 'pattern:(?P<label>\d+)_'")
    if (mode == "csv" or options.layout == "csv") and not options.csv:
        raise UsageError("--labels csv needs a table.", hint="--labels csv:FILE")
    return options.layout if mode == "layout" and options.layout in ("folder", "csv") else mode


def read(reading: Reading) -> list[SourceFile]:
    """Label the recordings as the options say."""
    options, mode = reading.options, mode_of(reading.options)
    if mode == "pattern":
        return tables.by_pattern(reading)
    if mode in ("folder", "csv"):
        return LAYOUTS[mode].read(reading)
    if not options.layout:
        return reading.sources
    layout = LAYOUTS[options.layout]
    labelled = layout.read(reading)
    if mode == "none":  # the corpus still says who speaks and which split is official
        return tables.without_labels(labelled)
    return tables.with_domain(labelled, options.domain) if options.domain and not layout.voices else labelled
