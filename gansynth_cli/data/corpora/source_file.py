"""One recording before it is decoded, and what a reader of a corpus works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


@dataclass(frozen=True)
class SourceFile:
    """One recording.

    Attributes:
        path: Where it is.
        name: Its path below its root with forward slashes; unique in the data set, the same wherever the root lies.
        label: Label name, or "".
        speaker: Speaker, instrument or other group that must not be in two splits, or "".
        split: The split that its corpus or CSV file gives it, or "" for the hash to decide. "not test" where the hash decides
            between train and validation only.
        role: "noise" for a recording that is mixed with the others, else "".
        noisy: The noisy partner of a clean recording.
        attributes: (attribute, class name) pairs, the same attributes for all recordings of a data set.
        record: (first byte, bytes) of the NSynth example in a TFRecord file that holds the recording; None if the file is one.
        emotion: How it is spoken, or "".
        group: What is spoken, or "": recordings of one group are in one split.
        text: The words that are spoken, as written, or "".
        language: Their language, or "".
    """

    path: Path
    name: str
    label: str = ""
    speaker: str = ""
    split: str = ""
    role: str = ""
    noisy: Path | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    record: tuple[int, int] | None = None
    emotion: str = ""
    group: str = ""
    text: str = ""
    language: str = ""


@dataclass(frozen=True)
class LabelOptions:
    """How labels, speakers and official splits are found.

    Attributes:
        labels: "none", "folder" (first folder below the input), "pattern", "csv", "layout"; "auto" is the one that the
            other options imply, else "none".
        pattern: Regular expression with the group `label` and maybe `speaker`, searched in the path below the input.
        csv: Table with the columns path,label and maybe speaker,emotion,sentence,split; with `domain`, without label.
        layout: The corpus that the inputs follow; see `layouts.LAYOUTS`.
        field: NSynth: the entry of examples.json that is the label, such as pitch or instrument_family_str.
        select: Only files whose path below the input matches this regular expression somewhere.
        exclude: Files to leave out, likewise.
        instrument_field: NSynth: the entry that is the attribute "instrument": instrument_family_str, instrument_str, ...
        pitches: Only notes of these pitches, as `note_names.parse_pitches` reads them; "" takes all.
        instruments: Only notes of these instruments; empty takes all.
        attributes: Table with the column file and one column an attribute, such as pitch and instrument.
        pitch_from: Layout notes: "name", "sound" (measured), or "auto": the name if it tells one.
        language: Language of the transcripts, where the corpus does not state it.
        domain: The label is the "speaker", the "emotion", or "both" ("speaker/emotion"); "" leaves it to the layout.
    """

    labels: str = "auto"
    pattern: str = ""
    csv: str = ""
    layout: str = ""
    field: str = "pitch"
    select: str = ""
    exclude: str = ""
    instrument_field: str = "instrument_family_str"
    pitches: str = ""
    instruments: tuple[str, ...] = ()
    attributes: str = ""
    pitch_from: str = "auto"
    domain: str = ""
    language: str = ""


@dataclass
class Reading:
    """What a reader of a corpus works on.

    Attributes:
        sources: The recordings that were found and chosen, in the order of their names.
        root_of: Recording -> the input that it lies below.
        options: How labels are to be found.
        left_out: (name, reason) of recordings that the options or the corpus leave out; a reader appends.
        warnings: Sentences for the user; a reader appends.
    """

    sources: list[SourceFile]
    root_of: dict[Path, Path]
    options: LabelOptions
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def roots(self) -> list[Path]:
        """The inputs, sorted."""
        return sorted(set(self.root_of.values()))

    def leave_out(self, source: SourceFile, reason: str) -> None:
        """Note that a recording does not get into the data set."""
        self.left_out.append((source.name, reason))

    def only(self, sources: list[SourceFile]) -> Reading:
        """Return the same reading of fewer, or labelled, recordings."""
        return replace(self, sources=sources)
