"""Sets of clips to compare: folders of generated clips, and noise.

No clip is dropped: one that cannot be read is replaced by silence and counted as a failure, like a silent one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...data.audio import audio_file
from ...data.audio.find import find_audio
from ...data.clip_reader import conform_clip
from ...errors import AudioFileError, DatasetError, UsageError
from ..report import distinct_names

LABELS_FROM = ("auto", "manifest", "folder", "pattern", "none")
MANIFEST = "manifest.csv"
_SILENCE = 1e-4  # peak, -80 dBFS


@dataclass(frozen=True)
class Clip:
    """One clip as the figures see it.

    Attributes:
        name: Path below its folder, or the source recording of a reference clip.
        audio: float32 [samples], mono, at the data set's rate and length; zeros if it cannot be read.
        label: Number of the intended class; -1 if unknown.
        failure: Reason why it counts as failed ("silent", or the reader's); "" if it does not.
        resampled, padded, cut: Whether it was changed to fit the data set.
    """

    name: str
    audio: np.ndarray
    label: int = -1
    failure: str = ""
    resampled: bool = False
    padded: bool = False
    cut: bool = False


@dataclass(frozen=True)
class ClipSet:
    """A folder of generated clips.

    Attributes:
        name: Name in tables.
        path: The folder.
        files: (path, class number or -1) of each clip.
        labels_from: Source of the classes: "manifest", "folder", "pattern" or "none".
        notes: Sentences for the user.
    """

    name: str
    path: Path
    files: tuple[tuple[Path, int], ...]
    labels_from: str = "none"
    notes: tuple[str, ...] = field(default=())

    def name_of(self, path: Path) -> str:
        """Return the path of a clip below the folder."""
        return path.relative_to(self.path).as_posix()

    def clips(self, sample_rate: int, samples: int) -> Iterator[Clip]:
        """Decode every clip to mono, resampled, and cut or padded with zeros at its end to `samples`."""
        for path, label in self.files:
            name = self.name_of(path)
            try:
                own_rate = audio_file.probe(path).sample_rate
                audio, _ = audio_file.read(path, sample_rate=sample_rate, channels=1)
            except AudioFileError as error:
                yield Clip(name, np.zeros(samples, np.float32), label, error.reason)
                continue
            length, failure = len(audio), "silent" if is_silent(audio) else ""
            audio = conform_clip(audio, samples, "start", False)[:, 0]
            # soxr rounds the length: a difference of one sample is not reported.
            yield Clip(name, audio, label, failure, own_rate != sample_rate, length < samples - 1, length > samples + 1)


def is_silent(audio: np.ndarray) -> bool:
    """Return whether no sample exceeds -80 dBFS."""
    return bool(np.abs(audio).max(initial=0.0) < _SILENCE)


def find_clip_sets(
    folders: Sequence[Path],
    labels: Sequence[str],
    labels_from: str = "auto",
    pattern: str = "",
    most: int = 0,
    seed: int = 0,
    attribute: str = "",
) -> list[ClipSet]:
    """List the clips of each folder with their intended classes.

    Args:
        folders: One set each. A `manifest.csv` (columns file,label) defines the set; without one it is all audio below the folder.
        labels: Class names of the data set in the order of their numbers; empty leaves all clips without a class.
        labels_from: "manifest"; "folder": the first folder below the input; "pattern"; "none"; "auto": the manifest if it names
            labels, else the folders if each is a class of the data set, else none.
        pattern: Regular expression with the group `label`, searched in the path below the folder.
        most: Number of clips drawn from each folder; 0 takes all.
        seed: Seed of the draw.
        attribute: Attribute with the same classes as the labels: the column of the manifest to read where its column `label` is empty.

    Raises:
        UsageError: A folder does not exist, options that contradict each other, or a pattern without the group.
        DatasetError: No clips; a manifest without its columns or without any existing file; a label that the data set does not have.
    """
    if labels_from not in LABELS_FROM:
        raise UsageError(f"--labels-from is {labels_from!r}; expected one of {', '.join(LABELS_FROM)}.")
    expression = _expression(labels_from, pattern)
    sets = [_find_one(folder, labels, labels_from, expression, attribute) for folder in folders]
    names = distinct_names([found.path for found in sets])
    return [_some_of(replace(found, name=name), most, seed) for name, found in zip(names, sets, strict=True)]


def _find_one(folder: Path, labels: Sequence[str], labels_from: str, expression: re.Pattern | None, attribute: str) -> ClipSet:
    if not folder.is_dir():
        what = "is a file; expected a folder of clips" if folder.exists() else "does not exist"
        raise UsageError(f"The input {folder} {what}.", hint="gan-audio generate RUN -n 1000 -o clips/")
    number = {name: index for index, name in enumerate(labels)}
    manifest = folder / MANIFEST
    notes: list[str] = []
    if manifest.is_file():
        named = [(path, row.get("label") or row.get(attribute) or "") for path, row in read_manifest(manifest)]
        listed = {path for path, _ in named}
        present = [path for _, path in find_audio([folder])] if any(path.exists() for path in listed) else []
        if not present:
            raise DatasetError(
                f"{manifest} lists {len(named)} clips, and none of them exists (the first is {named[0][0]}).",
                hint="generate the clips again, or delete the manifest to evaluate the audio in the folder",
            )
        missing = sum(not path.exists() for path in listed)
        if missing:
            notes.append(f"{missing} of {len(named)} files listed in {manifest} are missing; they count as failed")
        if others := len(set(present) - listed):
            notes.append(f"{others} audio files in {folder} are not listed in its {MANIFEST} and are left out")
    else:
        if labels_from == "manifest":
            raise DatasetError(f"{folder} has no {MANIFEST}.", hint="use --labels-from folder, pattern or none")
        named = [(path, "") for _, path in find_audio([folder])]
    source = labels_from
    if source == "auto":
        folders = {_folder_of(path, folder) for path, _ in named}
        source = "manifest" if any(label for _, label in named) else "folder" if labels and folders <= set(labels) else "none"
    if not labels or source == "none":
        return ClipSet(folder.name, folder, tuple((path, -1) for path, _ in named), "none", tuple(notes))
    files = []
    for path, listed_label in named:
        label = listed_label
        if source == "folder":
            label = _folder_of(path, folder)
        elif expression is not None and source == "pattern":
            match = expression.search(path.relative_to(folder).as_posix())
            label = match["label"] if match else ""
        if label and label not in number:
            raise DatasetError(
                f"{path} has the label {label!r} (from the {source}), which the data set does not have; it has {', '.join(labels)}.",
                hint="use --labels-from none to leave out the class accuracy, or give the data set that the model was trained on",
            )
        files.append((path, number.get(label, -1)))
    if unknown := sum(label < 0 for _, label in files):
        notes.append(f"{unknown} of {len(files)} clips in {folder} have no label ({source}); the class accuracy is over the others")
    return ClipSet(folder.name, folder, tuple(files), source, tuple(notes))


def read_manifest(path: Path) -> list[tuple[Path, dict[str, str]]]:
    """Read (file, row) of every clip that a manifest lists.

    Raises:
        DatasetError: It cannot be read, has no column `file`, or names a path that is not below its folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not rows or "file" not in rows[0]:
        raise DatasetError(f"{path} lists no clips; expected a header with the columns file,label and one row per clip.")
    found = []
    for row in rows:
        file = Path(row["file"] or "")
        if "\0" in str(file) or file.is_absolute() or ".." in file.parts or not file.parts:
            raise DatasetError(f"{path} names {row['file']!r}; expected a path below the folder of the manifest.")
        found.append((path.parent / file, row))
    return found


def _expression(labels_from: str, pattern: str) -> re.Pattern | None:
    if (labels_from == "pattern") != bool(pattern):
        raise UsageError(
            "--labels-from pattern and --label-pattern belong together.",
            hint=r"--labels-from pattern --label-pattern '(?P<label>[a-z]+)_\d+'",
        )
    if not pattern:
        return None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--label-pattern {pattern!r} is not a regular expression: {error}.") from error
    if "label" not in expression.groupindex:
        raise UsageError(f"--label-pattern {pattern!r} has no group named label.", hint=r"--label-pattern '(?P<label>[a-z]+)_\d+'")
    return expression


def _folder_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _some_of(found: ClipSet, most: int, seed: int) -> ClipSet:
    if not most or len(found.files) <= most:
        return found
    chosen = sorted(np.random.default_rng([seed, 1]).choice(len(found.files), most, replace=False))
    note = f"{found.name}: {most} of the {len(found.files)} clips in {found.path}, chosen at random (seed {seed})"
    return replace(found, files=tuple(found.files[i] for i in chosen), notes=(*found.notes, note))


def noise_clips(number: int, samples: int, level: float, classes: int, seed: int = 0) -> Iterator[Clip]:
    """Yield Gaussian white noise of root-mean-square `level`, the classes in turn: the score of the worst generator."""
    generator = np.random.default_rng([seed, 2])
    for index in range(number):
        audio = np.clip(generator.standard_normal(samples) * level, -1, 1).astype(np.float32)
        yield Clip(f"noise {index}", audio, index % classes if classes else -1)
