"""What is known of each recording before it is decoded: its label, its speaker, its split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import DatasetError
from . import layouts, notes
from .source_file import LabelOptions, Reading, SourceFile
from .tables import compile_pattern, read_rows


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
    """Name, choose and label recordings.

    Args:
        found: (root, path) pairs of `find_audio`.
        options: How.
        noise: (root, path) pairs of recordings with the role of noise, which have no label. What is in both is noise.

    Raises:
        UsageError: Options that contradict each other, or a pattern that is not a regular expression.
        DatasetError: Nothing is left, or the label file is missing, malformed or names none of the recordings.
    """
    layouts.mode_of(options)
    noise = list(noise)
    is_noise = {path for _, path in noise}
    found = [(root, path) for root, path in found if path not in is_noise]
    chosen, left_out = _choose(_named([*found, *noise]), options)
    noises = [replace(source, role="noise") for source in chosen if source.path in is_noise]
    sources = [source for source in chosen if source.path not in is_noise]
    patterns = f"--select {options.select!r} and --exclude {options.exclude!r}"
    if noise and not noises:
        raise DatasetError(
            f"None of the {len(noise)} recordings of --noise is left after {patterns}.", hint="the patterns choose among noise too"
        )
    if not found:
        raise DatasetError("All recordings of the inputs are recordings of --noise too: there is nothing to mix them with.")
    if not sources:
        raise DatasetError(
            f"None of the {len(left_out)} recordings is left after {patterns}.",
            hint=f"the patterns are searched in paths such as {left_out[0][0]!r}" if left_out else None,
        )
    reading = Reading(sources, {path: root for root, path in found}, options, left_out)
    labelled = _with_attributes(reading.only(layouts.read(reading)))
    if not labelled:
        reasons = "; ".join(f"{reason} ({count} files)" for reason, count in Counter(reason for _, reason in left_out).most_common(3))
        raise DatasetError(f"The labels name none of the recordings: {reasons}.", hint="check --layout and --labels, or use --labels none")
    return Labelled([*labelled, *noises], left_out, reading.warnings)


def label_order(labels: Iterable[str]) -> list[str]:
    """Return label names in the order of their numbers: by value where all are whole numbers, else by name."""
    unique = set(labels) - {""}
    if all(re.fullmatch(r"-?\d+", label) for label in unique):
        return sorted(unique, key=lambda label: (int(label), label))
    return sorted(unique)


def _with_attributes(reading: Reading) -> list[SourceFile]:
    options, sources = reading.options, reading.sources
    if not (options.attributes or options.pitches or options.instruments) or not sources:
        return sources
    if options.attributes:
        table = Path(options.attributes)
        sources = notes.with_table(sources, table, read_rows(table), reading.roots, reading.left_out)
    chosen = notes.select_notes(sources, options, reading.left_out)
    if not chosen:
        raise DatasetError(
            f"None of the {len(sources)} recordings has a pitch of --corpus pitches={options.pitches or 'any'} "
            f"and an instrument of --corpus instruments={','.join(options.instruments) or 'any'}."
        )
    return chosen


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
    select, exclude = compile_pattern(options.select, "--select"), compile_pattern(options.exclude, "--exclude")
    kept, left_out = [], []
    for source in sources:
        if options.select and not select.search(source.name):
            left_out.append((source.name, "not selected"))
        elif options.exclude and exclude.search(source.name):
            left_out.append((source.name, "excluded"))
        else:
            kept.append(source)
    return kept, left_out
