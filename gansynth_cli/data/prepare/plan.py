"""The plan of a data set: which recordings, in which order, in which units and shards."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...parts import Part
from ..corpora.labelling import Labelled, label_order
from ..corpora.layouts import mode_of
from ..corpora.source_file import LabelOptions, SourceFile
from ..shards import SPLITS
from .report import PrepareOptions
from .work import SplitOptions

_NOTE_OPTIONS = ("instrument_field", "pitches", "instruments", "attributes", "pitch_from", "domain", "language")
_UNIT_FILES, _UNIT_BYTES = 64, 8 << 20
_SHARD_BYTES = 32 << 20  # of sources: about that many of 16-bit PCM where the sources are
_MAX_SHARDS = 256


@dataclass(frozen=True)
class PlanFacts:
    """Facts of a plan that the description of its data set needs; the same for all parts of it.

    Attributes:
        options: The options.
        label_names: Label names in the order of their numbers.
        attributes: Attribute -> class names in the order of their numbers.
        signature: See `Plan.signature`.
        shard_counts: Split -> number of shards.
        has_noise: Whether some recordings are noise to mix in.
        official_splits: Whether the corpus gives some recordings their split.
        left_out: (name, reason) of recordings that the options or the corpus leave out.
        warnings: Sentences for the user about the labels.
    """

    options: PrepareOptions
    label_names: list[str]
    attributes: dict[str, list[str]]
    signature: dict[str, Any]
    shard_counts: dict[str, int]
    has_noise: bool = False
    official_splits: bool = False
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def named(self, name: str) -> PlanFacts:
        """Return the facts of the same data set under a name, which parts do not have yet."""
        return replace(self, options=replace(self.options, name=name), signature=self.signature | {"name": name})


class Plan:
    """What follows from options and recordings before any is decoded.

    Attributes:
        options: The options.
        labelled: The recordings, and those that are left out.
        sources: The recordings in the order in which they are written: by the hash of their names.
        has_noise: Whether some are noise to mix in.
        label_names: Label names in the order of their numbers.
        attributes: Attribute -> class names in the order of their numbers.
        sizes: Name of a recording -> bytes of its file or files.
        part: The part of the data set to make; None: all of it.

    Raises:
        UsageError: Speakers that no recording has, or recordings without one where the split is by speaker.
    """

    def __init__(self, options: PrepareOptions, labelled: Labelled, part: Part | None = None):
        self.options, self.labelled, self.part = options, labelled, part
        self.sources = sorted(labelled.sources, key=lambda source: _hash_of_name(source.name))
        self.has_noise = any(source.role == "noise" for source in self.sources)
        self.label_names = label_order(source.label for source in self.sources)
        self.attributes = _attribute_names(self.sources)
        self.sizes = {
            source.name: source.record[1] if source.record else _size(source.path) + (_size(source.noisy) if source.noisy else 0)
            for source in self.sources
        }
        _check_speakers([source for source in self.sources if source.role != "noise"], options.splits)

    def signature(self) -> dict[str, Any]:
        """Return what two runs must share to make the same data set: options and recordings, no paths of this machine."""
        options: dict[str, Any] = {"shards": self.options.shards, "name": self.options.name}
        for part in (self.options.cut, self.options.labels, self.options.splits):
            options |= asdict(part)
        if not options["min_clean_db"]:  # data sets of earlier versions do not have it
            del options["min_clean_db"]
        if self.has_noise:
            for name in ("noise_hop_samples", "noise_short", "noise_max_clips"):
                options[name] = getattr(self.options, name)
        for option in fields(LabelOptions):
            if option.name in _NOTE_OPTIONS and options[option.name] == option.default:  # data sets of earlier versions do not have them
                del options[option.name]
        if self.options.labels.attributes:
            options["attributes"] = Path(self.options.labels.attributes).name
        options["holdout_speakers"] = sorted(self.options.splits.holdout_speakers)
        options["labels"] = mode_of(self.options.labels)
        if self.options.labels.csv:
            options["csv"] = Path(self.options.labels.csv).name
        lines = [[s.name, s.label, s.speaker, s.split, self.sizes[s.name]] + ([s.role] if s.role else []) for s in self.sources]
        for line, source in zip(lines, self.sources, strict=True):
            if source.attributes:
                line.append(source.attributes)
            if source.group:
                line.append({"group": source.group})
        options["sources_sha256"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
        return options

    def facts(self) -> PlanFacts:
        """Return what the description of the data set needs."""
        return PlanFacts(
            self.options,
            self.label_names,
            self.attributes,
            self.signature(),
            self.shard_counts(),
            self.has_noise,
            any(source.split for source in self.sources),
            self.labelled.left_out,
            self.labelled.warnings,
        )

    def bytes_of(self, sources: Iterable[SourceFile]) -> int:
        """Return the bytes of the files of recordings."""
        return sum(self.sizes[source.name] for source in sources)

    def units(self) -> list[list[SourceFile]]:
        """Return the recordings, or those of the part, in the portions that workers and journal handle as one."""
        units: list[list[SourceFile]] = [[]]
        size = 0
        mine = self.sources if self.part is None else self.part.stretch(self.sources, lambda source: self.sizes[source.name])
        for source in mine:
            if units[-1] and (len(units[-1]) >= _UNIT_FILES or size + self.sizes[source.name] > _UNIT_BYTES):
                units.append([])
                size = 0
            units[-1].append(source)
            size += self.sizes[source.name]
        return units if mine else []

    def shard_counts(self) -> dict[str, int]:
        """Return the number of shards of each split."""
        fractions = {"train": 1.0, "validation": self.options.splits.validation, "test": self.options.splits.test}
        counts: dict[str, int] = {}
        for role, prefix in (("", ""), ("noise", "noise-"))[: 1 + self.has_noise]:
            size = sum(self.sizes[source.name] for source in self.sources if source.role == role)
            train = self.options.shards or max(1, min(_MAX_SHARDS, -(-size // _SHARD_BYTES)))
            counts |= {prefix + split: max(1, round(train * fractions[split])) for split in SPLITS}
        return counts


def dataset_name(output: Path) -> str:
    """Return the name of a data set in this folder."""
    return re.sub(r"[^\w.-]+", "_", output.resolve().name)


def _check_speakers(sources: list[SourceFile], splits: SplitOptions) -> None:
    speakers = {source.speaker for source in sources}
    unknown = sorted(set(splits.holdout_speakers) - speakers)
    if unknown:
        known = ", ".join(sorted(speakers - {""})[:20]) or "none: give --layout or --labels 'pattern:...' with (?P<speaker>...)"
        raise UsageError(f"--detail holdout-speakers names {', '.join(unknown)}, which no recording has. Speakers: {known}.")
    if splits.split_by == "speaker" and "" in speakers:
        nameless = [source.name for source in sources if not source.speaker]
        raise UsageError(
            f"--split-by speaker: {len(nameless)} recordings have no speaker, such as {nameless[0]}.",
            hint="give --layout, --labels pattern: with the group (?P<speaker>...), or --labels csv: with a column speaker",
        )


def _attribute_names(sources: list[SourceFile]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for source in sources:
        for name, value in source.attributes:
            found.setdefault(name, set()).add(value)
    return {name: label_order(values) for name, values in sorted(found.items())}


def _hash_of_name(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reported when it is decoded
        return 0
