"""Labels from folders, file names and CSV tables."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from ...errors import DatasetError, UsageError
from .source_file import SPLIT_NAMES, Reading, SourceFile

DOMAINS = {"speaker": ("speaker",), "emotion": ("emotion",), "both": ("speaker", "emotion")}


def by_folder(reading: Reading) -> list[SourceFile]:
    """Label each recording with the first folder below its input; one that lies in the input itself with the input's name."""
    labelled, at_root = [], 0
    for source in reading.sources:
        root = reading.root_of[source.path]
        parts = source.path.relative_to(root).parts
        at_root += len(parts) == 1
        labelled.append(replace(source, label=parts[0] if len(parts) > 1 else root.resolve().name))
    if 0 < at_root < len(labelled) and len(reading.roots) == 1:
        name = reading.roots[0].resolve().name
        reading.warnings.append(f"{at_root} recordings lie beside the label folders; they got the label {name!r}, the input's own name.")
    return labelled


def by_pattern(reading: Reading) -> list[SourceFile]:
    """Label each recording with the group `label` of a regular expression.

    Raises:
        UsageError: It is no regular expression, or has no such group.
        DatasetError: It matches nothing.
    """
    pattern = reading.options.pattern
    compiled = compile_pattern(pattern, "--labels pattern:")
    if "label" not in compiled.groupindex:
        raise UsageError(
            f"--labels 'pattern:{pattern}' has no group named label.",
            hint=r"for example --labels 'pattern:(?P<label>\d+)_(?P<speaker>[^_/]+)_\d+\.wav$'",
        )
    labelled = []
    for source in reading.sources:
        match = compiled.search(source.name)
        groups = match.groupdict() if match else {}
        if groups.get("label"):
            labelled.append(replace(source, label=groups["label"], speaker=groups.get("speaker") or ""))
        else:
            reading.leave_out(source, "the label pattern does not match")
    if not labelled:
        raise DatasetError(
            f"--labels 'pattern:{pattern}' matches none of the {len(reading.sources)} recordings.",
            hint=f"the pattern is searched in paths such as {reading.sources[0].name!r}",
        )
    return labelled


def by_csv(reading: Reading) -> list[SourceFile]:
    """Label the recordings that a table names; its paths are looked up below the inputs and beside the table.

    Raises:
        DatasetError: The table is missing, malformed, contradicts itself or names none of the recordings.
    """
    table, domain = Path(reading.options.csv), reading.options.domain
    by_path = {source.path.resolve(): source for source in reading.sources}
    excluded = {name for name, _ in reading.left_out}
    bases = [*reading.roots, table.parent]
    labelled: dict[Path, SourceFile] = {}
    missing: list[str] = []
    for number, row in read_rows(table, ("path",) if domain else ("path", "label")):
        candidates = [(base / row["path"]).resolve() for base in bases]
        path = next((path for path in candidates if path in by_path), None)
        if path is None:
            if not any(path.is_file() for path in candidates) and row["path"] not in excluded:
                missing.append(f"line {number}: {row['path']}")
            continue
        split = (row.get("split") or "").strip().lower()
        if split and split not in SPLIT_NAMES:
            raise DatasetError(f"{table}, line {number}: the split is {split!r}; expected train, validation or test.")
        label, speaker, emotion, sentence = ((row.get(name) or "").strip() for name in ("label", "speaker", "emotion", "sentence"))
        split = SPLIT_NAMES.get(split, "")
        new = replace(by_path[path], label=label, speaker=speaker, emotion=emotion, group=sentence, split=split)
        if labelled.get(path, new) != new:
            raise DatasetError(f"{table}, line {number}: {row['path']} has two different rows.")
        labelled[path] = new
    if missing:
        some = "; ".join(missing[:5]) + ("; ..." if len(missing) > 5 else "")
        if not labelled:
            raise DatasetError(
                f"{table} names no recording of the inputs; its paths lead nowhere: {some}.",
                hint=f"paths are looked up below the inputs and beside the CSV file; a recording of the inputs is "
                f"{reading.sources[0].name!r}",
            )
        reading.warnings.append(f"{table.name}: {len(missing)} rows name no recording: {some}.")
    reading.left_out += [(source.name, f"not in {table.name}") for path, source in by_path.items() if path not in labelled]
    found = sorted(labelled.values(), key=lambda source: source.name)
    return with_domain(found, domain) if domain else found


def read_rows(table: Path, needed: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return (line, row) of a table that has the columns `needed`; without those, one called file or path and one more.

    Raises:
        DatasetError: It is missing, malformed, empty, or lacks a column or a cell.
    """
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
                if any("\0" in str(cell) for cell in row.values()):
                    raise DatasetError(f"{table}, line {reader.line_num}: it holds a zero byte, so the table is damaged.")
                rows.append((reader.line_num, row))
    except FileNotFoundError as error:
        raise DatasetError(f"The label file {table} does not exist.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"The label file {table} cannot be read: {error}.") from error
    if not rows:
        raise DatasetError(f"{table} has no rows below its header.")
    return rows


def with_domain(sources: list[SourceFile], domain: str) -> list[SourceFile]:
    """Return the recordings with the domain as their label.

    Raises:
        DatasetError: A recording has no speaker or no emotion, where one is needed.
    """
    for part in DOMAINS[domain]:
        nameless = [source.name for source in sources if not getattr(source, part)]
        if nameless:
            raise DatasetError(
                f"--corpus domain={domain}: {len(nameless)} recordings have no {part}, such as {nameless[0]}.",
                hint="give a --layout that knows it, or --labels csv:FILE with the columns path,speaker,emotion",
            )
    return [replace(source, label="/".join(getattr(source, part) for part in DOMAINS[domain])) for source in sources]


def without_labels(sources: list[SourceFile]) -> list[SourceFile]:
    """Return the recordings without their labels; who speaks, and the official splits, stay."""
    return [replace(source, label="") for source in sources]


def compile_pattern(pattern: str, option: str) -> re.Pattern[str]:
    """Compile a regular expression that the user gave.

    Raises:
        UsageError: It is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is not a regular expression: {error}.") from error
