"""What is known of each recording before it is decoded: its label, its speaker, its split.

Known corpora (`--layout`), folders, file-name patterns and CSV tables all end in a list of `SourceFile`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ...errors import DatasetError, UsageError

SPEECH_LAYOUTS = ("speakers", "vctk", "esd", "ravdess", "crema-d", "emo-db")  # see `speech_layouts`
Layout = Literal["", "folder", "fsdd", "sc09", "nsynth", "notes", "pairs", "speakers", "vctk", "esd", "ravdess", "crema-d", "emo-db", "csv"]
LABEL_MODES = ("auto", "none", "folder", "pattern", "csv", "layout")
LAYOUTS = ("folder", "fsdd", "sc09", "nsynth", "notes", "pairs", *SPEECH_LAYOUTS, "csv")
SC09_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FSDD = re.compile(r"(?P<label>\d+)_(?P<speaker>[^_]+)_(?P<take>\d+)")
_SPEECH_COMMANDS = re.compile(r"(?P<speaker>[^_]+)_nohash_(?P<take>\d+)")
_PAIR_FOLDER = re.compile(r"(clean|noisy)(?![a-z])(.*)", re.IGNORECASE)
_VCTK = re.compile(r"(?P<speaker>[ps]\d+)_\d+")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
SPLIT_NAMES |= {"test": "test", "testing": "test", "eval": "test"}


@dataclass(frozen=True)
class SourceFile:
    """One recording.

    Attributes:
        path: Where it is.
        name: Its path below its root with forward slashes; unique in the data set, the same wherever the root lies.
        label: Label name, or "".
        speaker: Speaker, instrument or other group that must not be in two splits, or "".
        split: The split that its corpus or CSV file gives it, or "" for the hash to decide. "not test" where the hash decides
            between train and validation alone.
        role: "noise" of a recording that is mixed with the others, else "".
        noisy: The noisy partner of a clean recording.
        attributes: (attribute, class name) pairs, the same attributes for all recordings of a data set.
        record: (first byte, bytes) of the NSynth example in a TFRecord file that holds the recording; None if the file is one.
        emotion: How it is spoken, or "".
        group: What is spoken, or "": recordings of one group are in one split.
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


@dataclass(frozen=True)
class LabelOptions:
    """How labels, speakers and official splits are found.

    Attributes:
        labels: "none", "folder" (first folder below the input), "pattern", "csv", "layout"; "auto" is the one that the
            other options imply, else "none".
        pattern: Regular expression with the group `label` and maybe `speaker`, searched in the path below the input.
        csv: Table with the columns path,label and maybe speaker,emotion,sentence,split; with `domain`, without label.
        layout: The corpus that the inputs follow.
        field: NSynth: the entry of examples.json that is the label, such as pitch or instrument_family_str.
        select: Only files whose path below the input matches this regular expression somewhere.
        exclude: Files to leave out, likewise.
        instrument_field: NSynth: the entry that is the attribute "instrument": instrument_family_str, instrument_str, ...
        pitches: Only notes of these pitches, as `note_names.parse_pitches` reads them; "" takes all.
        instruments: Only notes of these instruments; empty takes all.
        attributes: Table with the column file and one column an attribute, such as pitch and instrument.
        pitch_from: Layout notes: "name", "sound" (measured), or "auto": the name if it tells one.
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

    def mode(self) -> str:
        """`labels` with "auto" decided.

        Raises:
            UsageError: Options that contradict each other, or name nothing.
        """
        if self.labels not in LABEL_MODES:
            raise UsageError(f"--labels is {self.labels!r}; expected one of {', '.join(LABEL_MODES)}.")
        if self.layout and self.layout not in LAYOUTS:
            raise UsageError(f"--layout is {self.layout!r}; expected one of {', '.join(LAYOUTS)}.")
        if self.pitch_from not in ("auto", "name", "sound"):
            raise UsageError(f"--pitch-from is {self.pitch_from!r}; expected auto, name or sound.")
        if self.domain not in ("", "speaker", "emotion", "both"):
            raise UsageError(f"--domain is {self.domain!r}; expected speaker, emotion or both.")
        if self.domain and not (self.layout or self.csv or self.pattern):
            raise UsageError(
                f"--domain {self.domain} needs to know who speaks and how.",
                hint=f"add --layout ({', '.join(SPEECH_LAYOUTS)}, fsdd), --label-csv or --label-pattern",
            )
        implied = "pattern" if self.pattern else "csv" if self.csv else "layout" if self.layout else "none"
        mode = implied if self.labels == "auto" else self.labels
        needed = {"pattern": ("--label-pattern", self.pattern), "layout": ("--layout", self.layout)}.get(mode)
        if mode == "csv" or self.layout == "csv":
            needed = ("--label-csv", self.csv)
        if needed and not needed[1]:
            raise UsageError(f"--labels {mode} needs {needed[0]}.", hint="gan-audio prepare --help")
        if mode == "layout" and self.layout in ("folder", "csv"):
            mode = self.layout
        return mode


@dataclass(frozen=True)
class Labelled:
    """The outcome of `label_sources`.

    Attributes:
        sources: The recordings to prepare, in the order of their names.
        left_out: (name, reason) of recordings that the options or the corpus leave out.
        warnings: Sentences for the user.
    """

    sources: list[SourceFile]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def label_sources(found: Iterable[tuple[Path, Path]], options: LabelOptions, noise: Iterable[tuple[Path, Path]] = ()) -> Labelled:
    """Names, chooses and labels recordings.

    Args:
        found: (root, path) pairs of `audio.find.find_audio`.
        noise: The same of recordings with the role of noise, which have no label. What is in both is noise.

    Raises:
        UsageError: Options that contradict each other, or a pattern that is not a regular expression.
        DatasetError: Nothing is left, or the label file is missing, malformed or names none of the recordings.
    """
    mode = options.mode()
    noise = list(noise)
    is_noise = {path for _, path in noise}
    found = [(root, path) for root, path in found if path not in is_noise]
    chosen, left_out = _choose(_named([*found, *noise]), options)
    noises = [replace(source, role="noise") for source in chosen if source.path in is_noise]
    sources = [source for source in chosen if source.path not in is_noise]
    if noise and not noises:
        raise DatasetError(
            f"None of the {len(noise)} recordings of --noise is left after --select {options.select!r} and --exclude {options.exclude!r}.",
            hint="the patterns choose among noise too",
        )
    if not found:
        raise DatasetError("All recordings of the inputs are recordings of --noise too: there is nothing to mix them with.")
    if not sources:
        raise DatasetError(
            f"None of the {len(left_out)} recordings is left after --select {options.select!r} and --exclude {options.exclude!r}.",
            hint=f"the patterns are searched in paths such as {left_out[0][0]!r}" if left_out else None,
        )
    roots = sorted({root for root, _ in found})
    warnings: list[str] = []
    if mode == "folder":
        labelled = _by_folder(sources, {path: root for root, path in found}, warnings)
    elif mode == "pattern":
        labelled = _by_pattern(sources, options.pattern, left_out)
    elif mode == "csv":
        labelled = _by_csv(sources, roots, Path(options.csv), left_out, warnings, options.domain)
    else:
        from . import note_layouts, speech_layouts

        readers = {"fsdd": _fsdd, "sc09": _sc09, "nsynth": note_layouts.nsynth, "notes": note_layouts.notes, "pairs": _pairs}
        readers |= speech_layouts.READERS
        reader = readers.get(options.layout)
        labelled = reader(sources, roots, options, left_out, warnings) if reader else sources
        if mode != "none" and options.domain and options.layout not in SPEECH_LAYOUTS:
            labelled = speech_layouts.with_domain(labelled, options.domain)
        if mode == "none":  # the corpus still says who speaks and which split is official
            labelled = [replace(source, label="") for source in labelled]
    labelled = _with_attributes(labelled, roots, options, left_out)
    if not labelled:
        reasons = "; ".join(f"{reason} ({count} files)" for reason, count in Counter(reason for _, reason in left_out).most_common(3))
        raise DatasetError(
            f"The labels name none of the recordings: {reasons}.",
            hint="check --layout, --label-pattern or --label-csv, or use --labels none",
        )
    return Labelled([*labelled, *noises], left_out, warnings)


def _with_attributes(
    sources: list[SourceFile], roots: list[Path], options: LabelOptions, left_out: list[tuple[str, str]]
) -> list[SourceFile]:
    if not (options.attributes or options.pitches or options.instruments) or not sources:
        return sources
    from . import note_layouts

    if options.attributes:
        table = Path(options.attributes)
        sources = note_layouts.with_table(sources, table, _csv_rows(table, ()), roots, left_out)
    chosen = note_layouts.select_notes(sources, options, left_out)
    if not chosen:
        raise DatasetError(
            f"None of the {len(sources)} recordings has a pitch of --pitches {options.pitches or 'any'} "
            f"and an instrument of --instruments {','.join(options.instruments) or 'any'}."
        )
    return chosen


def label_order(labels: Iterable[str]) -> list[str]:
    """Label names in the order of their numbers: by value where all are whole numbers, else by name."""
    unique = set(labels) - {""}
    if all(re.fullmatch(r"-?\d+", label) for label in unique):
        return sorted(unique, key=lambda label: (int(label), label))
    return sorted(unique)


def _named(found: list[tuple[Path, Path]]) -> list[SourceFile]:
    """Paths below the root; with several roots, below the root's name, numbered where two roots have one name."""
    roots = list(dict.fromkeys(root for root, _ in found))
    prefixes: dict[Path, str] = {}
    if len(roots) > 1:
        taken: Counter[str] = Counter()
        for root in roots:
            base = root.resolve().name or "root"
            taken[base] += 1
            prefixes[root] = f"{base}/" if taken[base] == 1 else f"{base}-{taken[base]}/"
    sources = [SourceFile(path, prefixes.get(root, "") + path.relative_to(root).as_posix()) for root, path in found]
    return sorted(sources, key=lambda source: source.name)


def _choose(sources: list[SourceFile], options: LabelOptions) -> tuple[list[SourceFile], list[tuple[str, str]]]:
    select, exclude = _compiled(options.select, "--select"), _compiled(options.exclude, "--exclude")
    kept, left_out = [], []
    for source in sources:
        if options.select and not select.search(source.name):
            left_out.append((source.name, "not selected"))
        elif options.exclude and exclude.search(source.name):
            left_out.append((source.name, "excluded"))
        else:
            kept.append(source)
    return kept, left_out


def _compiled(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is not a regular expression: {error}.") from error


def _by_folder(sources: list[SourceFile], root_of: dict[Path, Path], warnings: list[str]) -> list[SourceFile]:
    labelled, at_root = [], 0
    for source in sources:
        root = root_of[source.path]
        parts = source.path.relative_to(root).parts
        at_root += len(parts) == 1
        labelled.append(replace(source, label=parts[0] if len(parts) > 1 else root.resolve().name))
    if 0 < at_root < len(sources) and len(set(root_of.values())) == 1:
        warnings.append(
            f"{at_root} recordings lie beside the label folders; they got the label {root.resolve().name!r}, the input's own name."
        )
    return labelled


def _by_pattern(sources: list[SourceFile], pattern: str, left_out: list[tuple[str, str]]) -> list[SourceFile]:
    compiled = _compiled(pattern, "--label-pattern")
    if "label" not in compiled.groupindex:
        raise UsageError(
            f"--label-pattern {pattern!r} has no group named label.",
            hint=r"for example --label-pattern '(?P<label>\d+)_(?P<speaker>[^_/]+)_\d+\.wav$'",
        )
    labelled = []
    for source in sources:
        match = compiled.search(source.name)
        groups = match.groupdict() if match else {}
        if groups.get("label"):
            labelled.append(replace(source, label=groups["label"], speaker=groups.get("speaker") or ""))
        else:
            left_out.append((source.name, "the label pattern does not match"))
    if not labelled:
        raise DatasetError(
            f"--label-pattern {pattern!r} matches none of the {len(sources)} recordings.",
            hint=f"the pattern is searched in paths such as {sources[0].name!r}",
        )
    return labelled


def _by_csv(
    sources: list[SourceFile],
    roots: list[Path],
    table: Path,
    left_out: list[tuple[str, str]],
    warnings: list[str],
    domain: str = "",
) -> list[SourceFile]:
    by_path = {source.path.resolve(): source for source in sources}
    excluded = {name for name, _ in left_out}
    bases = [*roots, table.parent]
    labelled: dict[Path, SourceFile] = {}
    missing: list[str] = []
    for number, row in _csv_rows(table, ("path",) if domain else ("path", "label")):
        candidates = [(base / row["path"]).resolve() for base in bases]
        path = next((path for path in candidates if path in by_path), None)
        if path is None:
            if not any(path.is_file() for path in candidates) and row["path"] not in excluded:
                missing.append(f"line {number}: {row['path']}")
            continue
        split = (row.get("split") or "").strip().lower()
        if split and split not in SPLIT_NAMES:
            raise DatasetError(f"{table}, line {number}: the split is {split!r}; expected train, validation or test.")
        cells = {name: (row.get(name) or "").strip() for name in ("label", "speaker", "emotion", "sentence")}
        new = replace(
            by_path[path],
            label=cells["label"],
            speaker=cells["speaker"],
            emotion=cells["emotion"],
            group=cells["sentence"],
            split=SPLIT_NAMES.get(split, ""),
        )
        if labelled.get(path, new) != new:
            raise DatasetError(f"{table}, line {number}: {row['path']} has two different rows.")
        labelled[path] = new
    if missing:
        some = "; ".join(missing[:5]) + ("; ..." if len(missing) > 5 else "")
        if not labelled:
            raise DatasetError(
                f"{table} names no recording of the inputs; its paths lead nowhere: {some}.",
                hint=f"paths are looked up below the inputs and beside the CSV file; a recording of the inputs is {sources[0].name!r}",
            )
        warnings.append(f"{table.name}: {len(missing)} rows name no recording: {some}.")
    left_out += [(source.name, f"not in {table.name}") for path, source in by_path.items() if path not in labelled]
    made = sorted(labelled.values(), key=lambda source: source.name)
    if domain:
        from .speech_layouts import with_domain

        made = with_domain(made, domain)
    return made


def _csv_rows(table: Path, needed: tuple[str, ...] = ("path", "label")) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a table; without `needed` columns there is to be one called file or path, and one more."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            if not needed and (not {"file", "path"} & set(columns) or len(columns) < 2):
                raise DatasetError(f"{table} has the columns {', '.join(columns) or '(none)'}; expected file and attributes, as pitch.")
            if not set(needed) <= set(columns):
                raise DatasetError(
                    f"{table} has the columns {', '.join(columns) or '(none)'}; expected {','.join(needed)} and maybe "
                    "speaker,emotion,sentence,split."
                )
            rows = []
            for row in reader:
                if any(not (row[name] or "").strip() for name in needed):
                    raise DatasetError(f"{table}, line {reader.line_num}: {' or '.join(needed)} is missing.")
                rows.append((reader.line_num, row))
    except FileNotFoundError as error:
        raise DatasetError(f"The label file {table} does not exist.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"The label file {table} cannot be read: {error}.") from error
    if not rows:
        raise DatasetError(f"{table} has no rows below its header.")
    return rows


def _fsdd(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """Free Spoken Digit Dataset: `<digit>_<speaker>_<take>.wav`, anywhere below the input."""
    labelled = []
    for source in sources:
        match = _FSDD.fullmatch(source.path.stem)
        if match:
            labelled.append(replace(source, label=match["label"], speaker=match["speaker"]))
        else:
            left_out.append((source.name, "not named <digit>_<speaker>_<take>"))
    return labelled


def _sc09(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """Speech Commands (Warden 2018): one folder a word, `<hash>_nohash_<n>.wav`, and the official lists of two splits.

    SC09 is its ten digits; `--select` chooses among all words, so words beside the digits are left out only without it.
    """
    official: dict[str, str] = {}
    for root in roots:
        for file, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
            if (root / file).is_file():
                official.update((line.strip(), split) for line in (root / file).read_text(encoding="utf-8").splitlines() if line.strip())
    if not official:
        warnings.append(
            "no validation_list.txt and testing_list.txt below the input: the splits are made by speaker instead of the official ones."
        )
    labelled = []
    for source in sources:
        word, match = source.path.parent.name, _SPEECH_COMMANDS.fullmatch(source.path.stem)
        if word == "_background_noise_":
            left_out.append((source.name, "background noise"))
        elif match is None:
            left_out.append((source.name, "not named <speaker>_nohash_<n>"))
        elif not options.select and word not in SC09_WORDS:
            left_out.append((source.name, "not one of the ten digits"))
        else:
            split = official.get(f"{word}/{source.path.name}", "train") if official else ""
            labelled.append(replace(source, label=word, speaker=match["speaker"], split=split))
    return labelled


def _pairs(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """Clean and noisy recordings in two folders, file by file of one name (VoiceBank+DEMAND, Valentini-Botinhao 2017).

    The folders are called clean... and noisy..., with the same rest: clean_trainset_28spk_wav, clean_testset_wav, or just clean.
    """
    sides: dict[str, dict[str, SourceFile]] = {"clean": {}, "noisy": {}}
    for source in sources:
        parts = source.name.split("/")
        matches = [_PAIR_FOLDER.fullmatch(part) for part in parts[:-1]]
        side = next((match[1].lower() for match in matches if match), "")
        if not side:
            left_out.append((source.name, "neither below a folder clean... nor below one noisy..."))
            continue
        key = "/".join([*(f"*{match[2]}" if match else part for match, part in zip(matches, parts, strict=False)), source.path.stem])
        if key in sides[side]:
            left_out.append((source.name, f"a second {side} recording of this name, beside {sides[side][key].path.name}"))
            continue
        sides[side][key] = source
    clean, noisy = sides["clean"], sides["noisy"]
    for mine, other, missing in ((clean, noisy, "noisy"), (noisy, clean, "clean")):
        alone = [source.name for key, source in sorted(mine.items()) if key not in other]
        left_out += [(name, f"no {missing} recording of this name") for name in alone]
        if alone:
            some = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
            warnings.append(f"{len(alone)} recordings have no {missing} partner and are left out: {some}.")
    pairs = []
    for key in sorted(clean.keys() & noisy.keys()):
        folders = key.lower().split("/")[:-1]
        split = next((name for name in ("test", "validation", "train") if any(name[:5] in part for part in folders)), "")
        speaker = _VCTK.fullmatch(clean[key].path.stem)
        pairs.append(replace(clean[key], speaker=speaker["speaker"] if speaker else "", split=split, noisy=noisy[key].path))
    if any(pair.split == "test" for pair in pairs):
        pairs = [replace(pair, split=pair.split if pair.split in ("test", "validation") else "not test") for pair in pairs]
    else:
        pairs = [replace(pair, split=pair.split if pair.split == "validation" else "") for pair in pairs]
    return sorted(pairs, key=lambda pair: pair.name)
