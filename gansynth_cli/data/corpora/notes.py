"""Recordings of single notes in a musician's own folder, and what is chosen among notes.

Each note gets the attributes "pitch" (MIDI number), "instrument", and "velocity" where there are several. A file is one note, so
the split by file keeps the notes of validation and test unseen; copies of a file stay together.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...errors import AudioFileError, DatasetError, MissingExtraError, UsageError
from ...stores.mirror import fetch
from . import note_names
from .source_file import LabelOptions, Reading, SourceFile

Tracker = Callable[[Path], tuple[float, float]]  # recording -> (pitch as a MIDI number with cents as its fraction, confidence 0 to 1)

PITCH_FROM = ("auto", "name", "sound")
_UNSURE = 0.75  # confidence of the tracker below which a measured pitch is named in a warning
_CHECKED = 12  # recordings whose sound is compared with the pitch in their names
_RESERVED = {"audio", "label", "clean", "noisy", "file", "path", "split", "speaker"}


def notes(reading: Reading, track: Tracker | None = None) -> list[SourceFile]:
    """Read a folder of one's own: one note a file, its pitch in the file's name, else measured.

    The instrument is the folder that the file lies in, else what its name says before the pitch (`piano_C4.wav`); without either there
    is no attribute "instrument". The velocity is what a name in NSynth's form ends with (`bell-060-100.wav`), where all names have that
    form and there are several. The label is the pitch.

    Args:
        track: Recording -> (pitch as a MIDI number with cents as its fraction, confidence 0 to 1); None takes `measured_pitch`.
    """
    sources, options, left_out, warnings = reading.sources, reading.options, reading.left_out, reading.warnings
    named = {source.path: note_names.pitch_of_name(source.path.stem) for source in sources}
    unnamed = [source for source in sources if named[source.path] is None]
    by_sound = options.pitch_from == "sound"
    track = track or measured_pitch
    if options.pitch_from == "name" and unnamed:
        left_out += [(source.name, "no pitch in its name") for source in unnamed]
        if len(unnamed) == len(sources):
            raise DatasetError(
                f"None of the {len(sources)} recordings has a pitch in its name, such as {sources[0].name!r}.",
                hint="name them like piano_C4.wav or bass-036.wav, or or --corpus pitch-from=sound, or --corpus attributes=FILE",
            )
    found: list[SourceFile] = []
    doubtful: list[str] = []
    measured = 0
    for source in sources:
        told = named[source.path]
        instrument = _instrument_of(source, told[2] if told else re.sub(r"[\W_]*\d*$", "", source.path.stem))
        if told is not None and not by_sound:
            pitch = told[0]
        elif options.pitch_from == "name":
            continue
        else:
            try:
                exact, confidence = track(source.path)
            except AudioFileError as error:
                left_out.append((source.name, error.reason))
                continue
            measured += 1
            if not math.isfinite(exact) or not 0 <= round(exact) <= note_names.HIGHEST:
                left_out.append((source.name, "no pitch could be measured in it"))
                continue
            pitch = round(exact)
            if confidence < _UNSURE or abs(exact - pitch) > 0.35:
                cents = f"{100 * (exact - pitch):+.0f} cents, confidence {confidence:.2f}"
                doubtful.append(f"{source.name}: {note_names.pitch_name(pitch)} {cents}")
        velocity = None if by_sound else note_names.velocity_of_name(source.path.stem)
        attributes = {"pitch": str(pitch)} | ({"instrument": instrument} if instrument else {})
        attributes |= {"velocity": str(velocity)} if velocity else {}
        found.append(replace(source, label=str(pitch), attributes=tuple(attributes.items())))
    if measured:
        warnings.append(
            f"the pitch of {measured} of {len(sources)} recordings was measured, as their names do not tell it; of {len(doubtful)} of them "
            f"it is not sure{': ' + '; '.join(doubtful[:5]) if doubtful else ''}{'; ...' if len(doubtful) > 5 else ''}."
        )
    if found and not by_sound:
        _check_names([source for source in found if named[source.path] is not None], warnings, track)
    with_one = sum("instrument" in dict(source.attributes) for source in found)
    if 0 < with_one < len(found):
        warnings.append(f"{len(found) - with_one} of {len(found)} recordings have no instrument in folder or name: there is no instrument.")
        found = [replace(source, attributes=tuple(pair for pair in source.attributes if pair[0] != "instrument")) for source in found]
    return with_common_velocity(found, warnings)


def measured_pitch(path: Path) -> tuple[float, float]:
    """Measure the pitch of a recording of one note by SwiftF0: (MIDI number with cents as its fraction, NaN without any; share of sure
    frames).

    Raises:
        AudioFileError: It cannot be decoded.
        MissingExtraError: `swift-f0` is not installed.
    """
    from ...signal.note_pitch import note_pitch  # onnxruntime takes a while to load
    from ..audio import audio_file

    fetch([path])
    audio, rate = audio_file.read(path, channels=1)
    heard = note_pitch(audio[:, 0], rate)
    return heard.midi, heard.confidence


def select_notes(sources: list[SourceFile], options: LabelOptions, left_out: list) -> list[SourceFile]:
    """Return the notes whose pitch is among `options.pitches` and whose instrument is among `options.instruments`.

    Raises:
        UsageError: The recordings have no such attribute, or an instrument that none of them has.
    """
    for option, name, wanted in (
        ("--corpus pitches", "pitch", {str(number) for number in note_names.parse_pitches(options.pitches)} if options.pitches else set()),
        ("--corpus instruments", "instrument", set(options.instruments)),
    ):
        if not wanted:
            continue
        known = {value for source in sources for attribute, value in source.attributes if attribute == name}
        if not known:
            raise UsageError(
                f"{option} chooses by {name}, but nothing says the {name} of the recordings.", hint="give --layout nsynth or notes"
            )
        if name == "instrument" and wanted - known:
            raise UsageError(f"{option} names {', '.join(sorted(wanted - known))}; the recordings have {', '.join(sorted(known))}.")
        left_out += [(source.name, f"not among {option}") for source in sources if dict(source.attributes).get(name) not in wanted]
        sources = [source for source in sources if dict(source.attributes).get(name) in wanted]
    return sources


def with_table(
    sources: list[SourceFile], table: Path, rows: Sequence[tuple[int, dict[str, str]]], roots: Iterable[Path], left_out: list
) -> list[SourceFile]:
    """Add the columns of a CSV table (`file` and one column an attribute) to the recordings; those it does not name are left out.

    Raises:
        DatasetError: A cell is empty, a pitch is none, or no row names a recording.
    """
    columns = [name for name in rows[0][1] if name and name not in ("file", "path")]
    for name in columns:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _RESERVED:
            raise DatasetError(f"{table}: the column {name!r} cannot be an attribute; expected a word such as pitch or instrument.")
    by_path: dict[Path, dict[str, str]] = {}
    bases = [*roots, table.parent]
    for number, row in rows:
        values = {name: (row.get(name) or "").strip() for name in columns}
        empty = [name for name, value in values.items() if not value]
        file = row.get("file") or row.get("path") or ""
        if empty or not file:
            raise DatasetError(f"{table}, line {number}: {file or 'the row'} has no {', '.join(empty) or 'file'}.")
        for name in ("pitch", "velocity"):
            if name in values:
                try:
                    values[name] = str(note_names.parse_pitch(values[name]))
                except UsageError as error:
                    raise DatasetError(f"{table}, line {number}: the {name} of {file}: {error.message}") from error
        for base in bases:
            by_path[(base / file).resolve()] = values
    found = []
    for source in sources:
        values = by_path.get(source.path.resolve(), {})
        if not values:
            left_out.append((source.name, f"not in {table.name}"))
            continue
        merged = dict(source.attributes) | values
        found.append(replace(source, attributes=tuple(merged.items())))
    if not found:
        raise DatasetError(
            f"{table} names none of the {len(sources)} recordings; its first row is {rows[0][1].get('file') or rows[0][1].get('path')!r}.",
            hint=f"files are looked up below the inputs and beside the table; a recording of the inputs is {sources[0].name!r}",
        )
    return found


def with_common_velocity(labelled: list[SourceFile], warnings: list[str]) -> list[SourceFile]:
    """Drop the attribute "velocity" where all have the same, or where some have none."""
    velocities = {dict(source.attributes).get("velocity") for source in labelled}
    if None in velocities and len(velocities) > 1:
        warnings.append("some notes have no velocity: there is no attribute velocity.")
    if len(velocities) > 1 and None not in velocities:
        return labelled
    return [replace(s, attributes=tuple(pair for pair in s.attributes if pair[0] != "velocity")) for s in labelled]


def _check_names(sources: list[SourceFile], warnings: list[str], track: Tracker) -> None:
    """Compare the names of some recordings with their sound, where a tracker is installed: take numbers may look like pitches."""
    numbers = sorted(int(dict(source.attributes)["pitch"]) for source in sources)
    if not numbers:
        return
    differences: list[tuple[float, SourceFile]] = []
    with suppress(MissingExtraError):
        for source in sources[:: max(1, len(sources) // _CHECKED)][:_CHECKED]:
            try:
                heard, confidence = track(source.path)
            except AudioFileError:
                continue
            if math.isfinite(heard) and confidence >= _UNSURE:
                differences.append((heard - int(dict(source.attributes)["pitch"]), source))
    wrong = [(difference, source) for difference, source in differences if abs(difference) > 0.5]
    if len(differences) >= 3 and 2 * len(wrong) > len(differences):
        octaves = Counter(round(difference / 12) for difference, _ in wrong if abs(difference - 12 * round(difference / 12)) < 0.5)
        common, count = octaves.most_common(1)[0] if octaves else (0, 0)
        if common and 2 * count > len(differences):
            what = f"sound {abs(common)} octave{'s' * (abs(common) > 1)} {'above' if common > 0 else 'below'} their names (C4 is 60 here)"
        else:
            what = "do not sound as their names say"
        warnings.append(
            f"{len(wrong)} of {len(differences)} recordings whose pitch was measured {what}, such as {wrong[0][1].name}; "
            "use --corpus pitch-from=sound if the names mean something else."
        )


def _instrument_of(source: SourceFile, prefix: str) -> str:
    parts = source.name.split("/")
    return parts[-2] if len(parts) > 1 else prefix.strip(" _-")
