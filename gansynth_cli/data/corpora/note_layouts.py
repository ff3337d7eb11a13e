"""Recordings of single notes: NSynth's folders and TFRecord files, and a musician's own folder.

Each note gets the attributes "pitch" (MIDI number), "instrument", and "velocity" where there are several. A file is one note, so
the split by file keeps the notes of validation and test unseen; copies of a file stay together.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AudioFileError, DatasetError, UsageError
from ..audio import audio_file
from . import note_names
from .layouts import SPLIT_NAMES, SourceFile

if TYPE_CHECKING:
    from .layouts import LabelOptions

TFRECORD = re.compile(r"\.tfrecords?(-\d{5}-of-\d{5})?$")  # how such a file's name ends
PITCH_FROM = ("auto", "name", "sound")
_UNSURE = 0.75  # confidence of the tracker below which a measured pitch is named in a warning
_CHECKED = 12  # recordings whose sound is compared with the pitch in their names
_RESERVED = {"audio", "label", "clean", "noisy", "file", "path", "split", "speaker"}


def nsynth(sources: list[SourceFile], roots: list[Path], options: LabelOptions, left_out: list, warnings: list) -> list[SourceFile]:
    """NSynth (Engel et al. 2017): `examples.json` beside or above the `audio` folder, or TFRecord files; the instrument is the speaker."""
    tables: dict[Path, dict] = {}
    labelled: list[SourceFile] = []
    used = set()
    for source in sources:
        if TFRECORD.search(source.path.name):
            labelled += _tfrecord_notes(source, options)
            continue
        table = next((p / "examples.json" for p in source.path.parents[:3] if (p / "examples.json").is_file()), None)
        if table is None:
            left_out.append((source.name, "no examples.json in its folder or the two above"))
            continue
        if table not in tables:
            tables[table] = _examples(table)
        entry = tables[table].get(source.path.stem)
        if entry is None:
            left_out.append((source.name, "not in examples.json"))
            continue
        used.add((table, source.path.stem))
        split = entry.get("split") or next((part for part in ("train", "valid", "test") if table.parent.name == f"nsynth-{part}"), "")
        labelled.append(_nsynth_note(source, entry, str(split), table, options))
    missing = [key for table, entries in tables.items() for key in entries if (table, key) not in used]
    excluded = {Path(name).stem for name, _ in left_out}
    missing = [key for key in missing if key not in excluded]
    if missing:
        warnings.append(
            f"examples.json: {len(missing)} entries name no recording: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}."
        )
    return _complete(labelled, warnings)


def notes(
    sources: list[SourceFile],
    roots: list[Path],
    options: LabelOptions,
    left_out: list,
    warnings: list,
    track: Callable[[Path], tuple[float, float]] | None = None,
) -> list[SourceFile]:
    """A folder of one's own: one note a file, its pitch in the file's name, else measured.

    The instrument is the folder that the file lies in, else what its name says before the pitch (`piano_C4.wav`); without either there
    is no attribute "instrument". The velocity is what a name in NSynth's form ends with (`bell-060-100.wav`), where all names have that
    form and there are several. The label is the pitch.

    Args:
        track: Recording -> (pitch as a MIDI number with cents as its fraction, confidence 0 to 1); None takes `measured_pitch`.
    """
    named = {source.path: note_names.pitch_of_name(source.path.stem) for source in sources}
    unnamed = [source for source in sources if named[source.path] is None]
    by_sound = options.pitch_from == "sound"
    track = track or measured_pitch
    if options.pitch_from == "name" and unnamed:
        left_out += [(source.name, "no pitch in its name") for source in unnamed]
        if len(unnamed) == len(sources):
            raise DatasetError(
                f"None of the {len(sources)} recordings has a pitch in its name, such as {sources[0].name!r}.",
                hint="name them like piano_C4.wav or bass-036.wav, or use --pitch-from sound, or a table with --attributes",
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
            if not np.isfinite(exact) or not 0 <= round(exact) <= note_names.HIGHEST:
                left_out.append((source.name, "no pitch could be heard in it"))
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
    return _complete(found, warnings)


def measured_pitch(path: Path) -> tuple[float, float]:
    """The pitch of a recording of one note by SwiftF0: (MIDI number with cents as its fraction, NaN without any; share of sure frames).

    Raises:
        AudioFileError: It cannot be decoded.
        MissingExtraError: `swift-f0` is not installed.
    """
    from ...signal.note_pitch import note_pitch  # onnxruntime takes a while to load

    audio, rate = audio_file.read(path, channels=1)
    heard = note_pitch(audio[:, 0], rate)
    return heard.midi, heard.confidence


def select_notes(sources: list[SourceFile], options: LabelOptions, left_out: list) -> list[SourceFile]:
    """Those whose pitch is among --pitches and whose instrument is among --instruments.

    Raises:
        UsageError: The recordings have no such attribute, or an instrument that none of them has.
    """
    for option, name, wanted in (
        ("--pitches", "pitch", {str(number) for number in note_names.parse_pitches(options.pitches)} if options.pitches else set()),
        ("--instruments", "instrument", set(options.instruments)),
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
    """Adds the columns of a CSV table (`file` and one column an attribute) to the recordings; those it does not name are left out.

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


def read_record(source: SourceFile) -> tuple[np.ndarray, int, bytes]:
    """The sound of a note in a TFRecord file: float32 [samples, 1], its rate in Hz, and the bytes of its example.

    Raises:
        AudioFileError: The file has changed since it was listed, or the example holds no audio.
    """
    assert source.record is not None
    start, size = source.record
    try:
        with source.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        values = dict(_example(memoryview(content), with_audio=True))
        return np.asarray(values["audio"], np.float32)[:, None], int(values["sample_rate"]), content
    except (OSError, KeyError, ValueError, IndexError, struct.error) as error:
        raise AudioFileError(source.path, f"the example at byte {start} cannot be read: {error}") from error


def _tfrecord_notes(source: SourceFile, options: LabelOptions) -> Iterator[SourceFile]:
    """The notes of a TFRecord file; sound is not read, so that listing NSynth's 70 GB reads some 100 bytes of each note."""
    split = next((part for part in ("train", "valid", "test") if part in source.path.name.lower()), "")
    with source.path.open("rb") as file:
        try:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:
            raise DatasetError(f"{source.path} is empty.") from error
        position = number = 0
        while position < len(content):
            size = struct.unpack("<Q", content[position : position + 8])[0] if position + 12 <= len(content) else 1 << 62
            if position + 16 + size > len(content):
                raise DatasetError(
                    f"{source.path} is damaged or no TFRecord file: example {number} at byte {position} goes beyond its end.",
                    hint="download it again",
                )
            try:
                entry = dict(_example(content[position + 12 : position + 12 + size], with_audio=False))
            except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
                raise DatasetError(f"{source.path}: example {number} is no tf.train.Example ({error}).") from error
            absent = [key for key in ("note_str", "pitch", "sample_rate", "audio") if key not in entry]
            if absent:
                raise DatasetError(
                    f"{source.path}: example {number} has no {', '.join(absent)}; it has {', '.join(sorted(entry)) or 'nothing'}.",
                    hint="expected the features of nsynth-train.tfrecord, as its authors publish it",
                )
            note = replace(source, name=f"{source.name}/{entry['note_str']}", record=(position + 12, size))
            yield _nsynth_note(note, entry, split, source.path, options)
            position, number = position + 16 + size, number + 1


def _nsynth_note(source: SourceFile, entry: dict[str, Any], split: str, table: Path, options: LabelOptions) -> SourceFile:
    name = Path(source.name).stem if source.record is None else source.name.rpartition("/")[2]
    fields = {key: value for key, value in entry.items() if key != "audio"}
    for wanted, option in ((options.field, "--label-field"), (options.instrument_field, "--instrument-field"), ("pitch", "")):
        if wanted not in fields:
            raise DatasetError(
                f"{table}: {name} has no entry {wanted!r}.",
                hint=f"{option} takes one of {', '.join(sorted(fields))}" if option else "every note of NSynth has a pitch",
            )
    if isinstance(fields[options.field], (list, dict)):
        raise DatasetError(f"{table}: {options.field!r} of {name} is a list; a clip has one label.")
    if not isinstance(fields["pitch"], int) or not 0 <= fields["pitch"] <= note_names.HIGHEST:
        raise DatasetError(f"{table}: the pitch of {name} is {fields['pitch']!r}; expected a MIDI number from 0 to 127.")
    attributes = {"pitch": str(fields["pitch"]), "instrument": str(fields[options.instrument_field])}
    if "velocity" in fields:
        attributes["velocity"] = str(fields["velocity"])
    speaker = str(fields.get("instrument_str") or name.rsplit("-", 2)[0])
    return replace(
        source, label=str(fields[options.field]), speaker=speaker, split=SPLIT_NAMES.get(split, ""), attributes=tuple(attributes.items())
    )


def _complete(labelled: list[SourceFile], warnings: list[str]) -> list[SourceFile]:
    """Without velocity where all have the same, or where some have none."""
    velocities = {dict(source.attributes).get("velocity") for source in labelled}
    if None in velocities and len(velocities) > 1:
        warnings.append("some notes have no velocity: there is no attribute velocity.")
    if len(velocities) > 1 and None not in velocities:
        return labelled
    return [replace(s, attributes=tuple(pair for pair in s.attributes if pair[0] != "velocity")) for s in labelled]


def _check_names(sources: list[SourceFile], warnings: list[str], track: Callable[[Path], tuple[float, float]]) -> None:
    """Compares the names of some recordings with their sound, where a tracker is installed: take numbers may look like pitches."""
    from ...errors import MissingExtraError

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
            if np.isfinite(heard) and confidence >= _UNSURE:
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
            f"{len(wrong)} of {len(differences)} recordings that were listened to {what}, such as {wrong[0][1].name}; "
            "use --pitch-from sound if the names mean something else."
        )


def _instrument_of(source: SourceFile, prefix: str) -> str:
    parts = source.name.split("/")
    return parts[-2] if len(parts) > 1 else prefix.strip(" _-")


def _examples(table: Path) -> dict:
    try:
        entries = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{table} cannot be read: {error}.") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DatasetError(f"{table} is not an NSynth table: expected one JSON object a note.")
    return entries


def _example(content: memoryview, *, with_audio: bool) -> Iterator[tuple[str, Any]]:
    """(feature, value) of a serialized `tf.train.Example`: int, str, list, or float32 [n]; without its sound `audio` is None."""
    for features in _messages(content, 1):
        for entry in _messages(features, 1):
            name = bytes(next(_messages(entry, 1))).decode()
            feature = next(_messages(entry, 2))
            for kind, value in _wire(feature):
                if kind == 1:
                    texts = [bytes(text).decode("utf-8", "replace") for text in _messages(value, 1)]
                    yield name, texts[0] if len(texts) == 1 else texts
                elif kind == 2:
                    yield name, _floats(value) if with_audio or name != "audio" else None
                else:
                    numbers = _integers(value)
                    yield name, numbers[0] if len(numbers) == 1 else numbers


def _floats(content: memoryview) -> np.ndarray:
    """A FloatList, packed (as protocol buffers write it) or number by number."""
    return np.concatenate([np.frombuffer(value, "<f4") for _, value in _wire(content)] or [np.zeros(0, "<f4")])


def _integers(content: memoryview) -> list[int]:
    found: list[int] = []
    for _, value in _wire(content):
        if isinstance(value, int):
            found.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            found.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in found]


def _messages(content: memoryview, number: int) -> Iterator[memoryview]:
    return (value for key, value in _wire(content) if key == number and not isinstance(value, int))


def _wire(content: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value): an int, or the bytes of a message, text or fixed-size number."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        if key & 7 == 0:
            value, position = _varint(content, position)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, position = _varint(content, position)
        else:
            size = {1: 8, 5: 4}.get(key & 7, -1)
        if size < 0 or position + size > len(content):
            raise ValueError(f"field {key >> 3} of wire type {key & 7} goes beyond its message")
        yield key >> 3, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
