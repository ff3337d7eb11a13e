"""NSynth (Engel et al. 2017): folders with `examples.json`, and TFRecord files."""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AudioFileError, DatasetError
from ...stores.mirror import fetch
from . import note_names
from .example import read_example
from .notes import with_common_velocity
from .source_file import SPLIT_NAMES, LabelOptions, Reading, SourceFile

TFRECORD = re.compile(r"\.tfrecords?(-\d{5}-of-\d{5})?$")  # how such a file's name ends


def nsynth(reading: Reading) -> list[SourceFile]:
    """Read NSynth (Engel et al. 2017): `examples.json` beside or above the `audio` folder, or TFRecord files; the instrument is the
    speaker."""
    tables: dict[Path, dict] = {}
    labelled: list[SourceFile] = []
    used = set()
    for source in reading.sources:
        if TFRECORD.search(source.path.name):
            labelled += _tfrecord_notes(source, reading.options)
            continue
        table = next((p / "examples.json" for p in source.path.parents[:3] if (p / "examples.json").is_file()), None)
        if table is None:
            reading.leave_out(source, "no examples.json in its folder or the two above")
            continue
        if table not in tables:
            tables[table] = _examples(table)
        entry = tables[table].get(source.path.stem)
        if entry is None:
            reading.leave_out(source, "not in examples.json")
            continue
        used.add((table, source.path.stem))
        split = entry.get("split") or next((part for part in ("train", "valid", "test") if table.parent.name == f"nsynth-{part}"), "")
        labelled.append(_nsynth_note(source, entry, str(split), table, reading.options))
    missing = [key for table, entries in tables.items() for key in entries if (table, key) not in used]
    excluded = {Path(name).stem for name, _ in reading.left_out}
    missing = [key for key in missing if key not in excluded]
    if missing:
        reading.warnings.append(
            f"examples.json: {len(missing)} entries name no recording: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}."
        )
    return with_common_velocity(labelled, reading.warnings)


def read_record(source: SourceFile) -> tuple[np.ndarray, int, bytes]:
    """Return the sound of a note in a TFRecord file: float32 [samples, 1], its rate in Hz, and the bytes of its example.

    Raises:
        AudioFileError: The file has changed since it was listed, or the example holds no audio.
    """
    assert source.record is not None
    start, size = source.record
    try:
        with source.path.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        values = dict(read_example(memoryview(content), with_audio=True))
        return np.asarray(values["audio"], np.float32)[:, None], int(values["sample_rate"]), content
    except (OSError, KeyError, ValueError, IndexError, struct.error) as error:
        raise AudioFileError(source.path, f"the example at byte {start} cannot be read: {error}") from error


def _tfrecord_notes(source: SourceFile, options: LabelOptions) -> Iterator[SourceFile]:
    """The notes of a TFRecord file; sound is not read, so that listing NSynth's 70 GB reads some 100 bytes of each note."""
    split = next((part for part in ("train", "valid", "test") if part in source.path.name.lower()), "")
    fetch([source.path])
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
                entry = dict(read_example(content[position + 12 : position + 12 + size], with_audio=False))
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
    for wanted, key in ((options.field, "label"), (options.instrument_field, "instrument"), ("pitch", "")):
        if wanted not in fields:
            raise DatasetError(
                f"{table}: {name} has no entry {wanted!r}.",
                hint=f"--corpus {key}=... takes one of {', '.join(sorted(fields))}" if key else "every note of NSynth has a pitch",
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


def _examples(table: Path) -> dict:
    try:
        entries = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{table} cannot be read: {error}.") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DatasetError(f"{table} is not an NSynth table: expected one JSON object a note.")
    return entries
