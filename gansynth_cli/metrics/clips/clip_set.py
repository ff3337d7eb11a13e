"""The sets of clips that are compared: folders of generated clips, splits of the reference data, and noise.

Nothing is dropped: a clip that cannot be read stands in as silence and is counted as a failure, like a silent one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ...data import shards
from ...data.audio import audio_file
from ...data.dataset_info import DatasetInfo
from ...errors import AudioFileError, DatasetError, UsageError

LabelsFrom = Literal["auto", "manifest", "folder", "pattern", "none"]
LABELS_FROM = ("auto", "manifest", "folder", "pattern", "none")
MANIFEST = "manifest.csv"
SILENCE = 1e-4  # a clip whose peak is below -80 dB of full scale is silent


@dataclass(frozen=True)
class Clip:
    """One clip as the metrics see it.

    Attributes:
        name: File below its folder, or the source recording of a reference clip.
        audio: float32 [samples], mono, at the data's rate and length; zeros if it cannot be read.
        label: Number of the class it should be; -1 if nobody said.
        failure: "" or why it counts as failed: the reader's reason, or "silent".
        resampled, padded, cut: What was done to it.
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
    """A set of clips still on disk.

    Attributes:
        name: As the tables call it.
        role: "generated", "held-out", "reference" or "noise".
        path: Its folder.
        files: (path, class number or -1) of each clip.
        labels_from: Where the classes come from: "manifest", "folder", "pattern" or "none".
        notes: Sentences for the user.
    """

    name: str
    role: str
    path: Path
    files: tuple[tuple[Path, int], ...]
    labels_from: str = "none"
    notes: tuple[str, ...] = field(default=())

    def clips(self, sample_rate: int, samples: int) -> Iterator[Clip]:
        """Every clip, decoded, mixed to mono, resampled, and cut or padded with zeros at its end to `samples`."""
        for path, label in self.files:
            name = path.relative_to(self.path).as_posix()
            try:
                own_rate = audio_file.probe(path).sample_rate
                audio, _ = audio_file.read(path, sample_rate=sample_rate, channels=1)
            except AudioFileError as error:
                yield Clip(name, np.zeros(samples, np.float32), label, error.reason)
                continue
            audio, length = audio[:, 0], len(audio)
            failure = "silent" if np.abs(audio).max(initial=0.0) < SILENCE else ""
            # soxr rounds the length; one sample more or less is no change worth a word
            yield Clip(name, fit(audio, samples), label, failure, own_rate != sample_rate, length < samples - 1, length > samples + 1)


def fit(audio: np.ndarray, samples: int) -> np.ndarray:
    """[n] to [samples]: cut, or ended with zeros."""
    audio = np.asarray(audio[:samples], np.float32)
    return np.pad(audio, (0, samples - len(audio)))


def find_clip_sets(
    folders: Sequence[Path],
    labels: Sequence[str],
    labels_from: LabelsFrom = "auto",
    pattern: str = "",
    most: int = 0,
    seed: int = 0,
    attribute: str = "",
) -> list[ClipSet]:
    """Lists the clips of each folder, with the classes they were asked for.

    Args:
        folders: Each is one set. With a `manifest.csv` (columns file,label) its rows are the set, elsewhere all audio below it.
        labels: Class names of the reference data, in the order of their numbers; empty leaves all clips without class.
        labels_from: "manifest"; "folder": the first folder below the input; "pattern"; "none"; "auto": the manifest if it names
            labels, else the folders if each is a class of the data, else none.
        pattern: Regular expression with the group `label`, searched in the path below the folder.
        most: Take so many at random of each folder; 0 takes all.
        seed: Of that choice.
        attribute: The column of the manifest that says the label where its column `label` is empty: the attribute with those classes.

    Raises:
        UsageError: A folder does not exist, options that contradict each other, or a pattern without the group.
        DatasetError: No clips; a manifest without its columns, or of which no file exists; a label that the data does not have.
    """
    if labels_from not in LABELS_FROM:
        raise UsageError(f"--labels-from is {labels_from!r}; expected one of {', '.join(LABELS_FROM)}.")
    expression = _expression(labels_from, pattern)
    sets = [_find_one(folder, labels, labels_from, expression, attribute) for folder in folders]
    names = _distinct_names([found.path for found in sets])
    return [
        _some_of(ClipSet(name, s.role, s.path, s.files, s.labels_from, s.notes), most, seed) for name, s in zip(names, sets, strict=True)
    ]


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
        present = [path for _, path in audio_file.find_audio([folder])] if any(path.exists() for path in listed) else []
        if not present:
            raise DatasetError(
                f"{manifest} names {len(named)} clips, and none of them exists (the first is {named[0][0]}).",
                hint="generate the clips again, or delete the manifest to evaluate the audio that is there",
            )
        missing = sum(not path.exists() for path in listed)
        if missing:
            notes.append(f"{missing} of {len(named)} files that {manifest} names are missing; they count as failed")
        if others := len(set(present) - listed):
            notes.append(f"{others} audio files in {folder} are not in its {MANIFEST} and are left out")
    else:
        if labels_from == "manifest":
            raise DatasetError(f"{folder} has no {MANIFEST}.", hint="use --labels-from folder, pattern or none")
        named = [(path, "") for _, path in audio_file.find_audio([folder])]
    source = labels_from
    if source == "auto":
        folders = {_folder_of(path, folder) for path, _ in named}
        source = "manifest" if any(label for _, label in named) else "folder" if labels and folders <= set(labels) else "none"
    if not labels or source == "none":
        return ClipSet(folder.name, "generated", folder, tuple((path, -1) for path, _ in named), "none", tuple(notes))
    files = []
    for path, told in named:
        label = told
        if source == "folder":
            label = _folder_of(path, folder)
        elif expression is not None and source == "pattern":
            match = expression.search(path.relative_to(folder).as_posix())
            label = match["label"] if match else ""
        if label and label not in number:
            raise DatasetError(
                f"{path} should be {label!r} (from its {source}), which is no label of the data set; it has {', '.join(labels)}.",
                hint="use --labels-from none to leave out the class accuracy, or the data set that the model was trained on",
            )
        files.append((path, number.get(label, -1)))
    if unknown := sum(label < 0 for _, label in files):
        notes.append(f"{unknown} of {len(files)} clips in {folder} have no label ({source}); the class accuracy is over the others")
    return ClipSet(folder.name, "generated", folder, tuple(files), source, tuple(notes))


def read_manifest(path: Path) -> list[tuple[Path, dict[str, str]]]:
    """(file, row) of every clip that a manifest lists.

    Raises:
        DatasetError: It cannot be read, has no column `file`, or names a path that is not below its folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not rows or "file" not in rows[0]:
        raise DatasetError(f"{path} lists no clips; expected a header with the columns file,label and one row a clip.")
    found = []
    for row in rows:
        file = Path(row["file"] or "")
        if file.is_absolute() or ".." in file.parts or not file.parts:
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


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as tell them apart."""
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError("The same folder is given twice.")
    depth = 1
    while len({path.parts[-depth:] for path in whole}) < len(whole):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in whole]


def _some_of(found: ClipSet, most: int, seed: int) -> ClipSet:
    if not most or len(found.files) <= most:
        return found
    chosen = sorted(np.random.default_rng([seed, 1]).choice(len(found.files), most, replace=False))
    note = f"{most} of the {len(found.files)} clips in {found.path}, chosen at random (seed {seed})"
    return ClipSet(found.name, found.role, found.path, tuple(found.files[i] for i in chosen), found.labels_from, (*found.notes, note))


def reference_clips(info: DatasetInfo, folder: Path, split: str, samples: int, attribute: str = "") -> Iterator[Clip]:
    """The clips of one split of a prepared data set, mono, in the order of its shards; with `attribute` its classes are the labels.

    Raises:
        DatasetError: A shard is missing or damaged.
    """
    for clip in records_of(info, folder, split):
        pcm = audio_file.pcm_of_wav_bytes(clip.audio)[:, : info.channels]  # of a pair the clean recording
        audio = pcm.astype(np.float32).mean(axis=1) / np.float32(32768)
        name = f"{clip.source} @ {clip.start / info.sample_rate:.2f} s" if clip.start else clip.source
        failure = "silent" if np.abs(audio).max(initial=0.0) < SILENCE else ""
        yield Clip(name, fit(audio, samples), clip.attributes[attribute] if attribute else clip.label, failure)


def records_of(info: DatasetInfo, folder: Path, split: str) -> Iterator[shards.ClipRecord]:
    """The records of one split, in the order of its shards."""
    for shard in info.splits[split].shards:
        for record in shards.read_records(folder / shard["file"]):
            yield shards.decode_example(record)


def clip_length(info: DatasetInfo, folder: Path) -> int:
    """Samples of a clip: the data set's, or where clips keep their own lengths what nine of ten training clips fit into."""
    if info.clip_samples:
        return info.clip_samples
    lengths = [
        len(audio_file.pcm_of_wav_bytes(shards.decode_example(record).audio))
        for shard in info.splits["train"].shards
        for record in shards.read_records(folder / shard["file"])
    ]
    return int(np.ceil(np.quantile(lengths, 0.9)))


def noise_clips(number: int, samples: int, level: float, classes: int, seed: int = 0) -> Iterator[Clip]:
    """Gaussian white noise of root-mean-square `level`, the classes in turn: what the worst generator would score."""
    generator = np.random.default_rng([seed, 2])
    for index in range(number):
        audio = np.clip(generator.standard_normal(samples) * level, -1, 1).astype(np.float32)
        yield Clip(f"noise {index}", audio, index % classes if classes else -1)
