"""Shards: TFRecord files of `tf.train.Example`, written and read without TensorFlow.

Importing TensorFlow takes seconds and hundreds of MB in each worker process, and the two formats are small: a record is
its length, the data, and a masked CRC-32C of each (TensorFlow, `record_writer.h`); an Example is three nested protocol
buffer messages. The tests read these files with TensorFlow's own reader and parser.

An Example holds: `audio` (a WAV file, 16-bit PCM), `label` (int64, -1 without labels), `speaker`, `source`, `id` (UTF-8) and
`start` (int64: the clip's first sample in the source at the data set's rate, after trimming). For each attribute of the data set there
is `attribute/<name>` (int64, the number of its class).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

from ..errors import DatasetError
from ..files import sha256_of
from ..stores.mirror import fetch
from .dataset_info import DatasetInfo, SplitInfo

SPLITS = ("train", "validation", "test")
NOISE_SPLITS = tuple(f"noise-{split}" for split in SPLITS)  # what is mixed with the clips of the split of that name
FEATURES = {"audio": "bytes", "label": "int64", "speaker": "bytes", "source": "bytes", "start": "int64", "id": "bytes"}
ATTRIBUTE = "attribute/"  # prefix of the features that hold attributes


def shard_name(dataset: str, split: str, index: int, count: int) -> str:
    """TFDS naming: `digits-train.tfrecord-00000-of-00016`."""
    return f"{dataset}-{split}.tfrecord-{index:05d}-of-{count:05d}"


@dataclass(frozen=True)
class ClipRecord:
    """One clip as a shard holds it; `audio` is a WAV file in memory, `attributes` are names with the numbers of their classes."""

    audio: bytes
    label: int
    speaker: str
    source: str
    start: int
    id: str
    attributes: dict[str, int] = field(default_factory=dict)


def encode_example(clip: ClipRecord) -> bytes:
    """The serialized `tf.train.Example`, features in the order of `FEATURES`, then attributes by name: the same bytes on every machine."""
    features = bytearray()
    for name, kind in FEATURES.items():
        value: Any = getattr(clip, name)
        if kind == "int64":
            feature = _integer(value)
        else:
            feature = _message(1, _message(1, value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")))
        features += _message(1, _ENCODED_NAMES[name] + _message(2, feature))
    for name, number in sorted(clip.attributes.items()):
        features += _message(1, _message(1, (ATTRIBUTE + name).encode()) + _message(2, _integer(number)))
    return _message(1, bytes(features))


def decode_example(data: bytes) -> ClipRecord:
    """The inverse of `encode_example`; takes any serialized Example that has these features.

    Raises:
        DatasetError: It is no such Example.
    """
    try:
        return _decoded(data)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise DatasetError(
            "A record of the data set is not one that prepare writes.", hint="prepare the data set again with --overwrite"
        ) from error


def _decoded(data: bytes) -> ClipRecord:
    values: dict[str, Any] = {}
    for entry in _fields(next(iter(_fields(data).get(1, [])), b"")).get(1, []):
        parts = _fields(entry)
        kinds = _fields(parts[2][0])
        name = parts[1][0].decode()
        if 3 in kinds:
            content = _fields(kinds[3][0])[1][0]
            value = content if isinstance(content, int) else _read_varint(content, 0)[0]
            values[name] = value - (1 << 64) if value >> 63 else value
        elif 1 in kinds:
            content = _fields(kinds[1][0])[1][0]
            values[name] = content if name == "audio" else content.decode("utf-8", "surrogateescape")
    attributes = {name.removeprefix(ATTRIBUTE): value for name, value in values.items() if name.startswith(ATTRIBUTE)}
    return ClipRecord(**{name: values[name] for name in FEATURES}, attributes=attributes)


def encode_bytes(values: Mapping[str, bytes]) -> bytes:
    """A serialized Example of byte features. Appended to that of a clip, both are one Example with the features of both."""
    features = b"".join(_message(1, _message(1, name.encode()) + _message(2, _message(1, _message(1, v)))) for name, v in values.items())
    return _message(1, features)


def decode_bytes(data: bytes) -> dict[str, bytes]:
    """The inverse of `encode_bytes`."""
    entries = [_fields(entry) for entry in _fields(next(iter(_fields(data).get(1, [])), b"")).get(1, [])]
    return {entry[1][0].decode(): _fields(_fields(entry[2][0])[1][0])[1][0] for entry in entries}


def frame_record(data: bytes) -> bytes:
    """A TFRecord: length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a shard, every checksum checked.

    Raises:
        DatasetError: The shard is missing, cut short, or a checksum is wrong; names shard and position.
    """
    fetch([path])
    try:
        file = path.open("rb")
    except OSError as error:
        raise DatasetError(
            f"The shard {path} cannot be read: {error.strerror}.", hint="prepare the data set again with --overwrite"
        ) from error
    with file:
        position = 0
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else -1
            if length < 0 or header[8:] != _masked_crc(header[:8]):
                raise _damaged(path, position)
            data, checksum = file.read(length), file.read(4)
            if len(data) != length or checksum != _masked_crc(data):
                raise _damaged(path, position)
            position += 16 + length
            yield data


def verify(info: DatasetInfo, folder: Path, progress: Callable[[int], None] | None = None) -> list[str]:
    """What is wrong with the shards of a data set, in words: missing, of another size, other bytes (SHA-256). Empty if all is well.

    Args:
        progress: Called with the bytes that were hashed.
    """
    problems = missing_or_resized(info, folder)
    named = {problem.split(" ", 1)[0] for problem in problems}
    for split in info.splits.values():
        for shard in split.shards:
            if shard["file"] in named:
                continue
            fetch([folder / shard["file"]])
            if sha256_of(folder / shard["file"]) != shard["sha256"]:
                problems.append(f"{shard['file']} has other content than when it was prepared")
            if progress is not None:
                progress(shard["bytes"])
    return problems


def missing_or_resized(info: DatasetInfo, folder: Path) -> list[str]:
    """The quick part of `verify`: shards that are gone or have another size."""
    problems = []
    for split in info.splits.values():
        for shard in split.shards:
            path = folder / shard["file"]
            if not path.is_file():
                problems.append(f"{shard['file']} is missing")
            elif path.stat().st_size != shard["bytes"]:
                problems.append(f"{shard['file']} has {path.stat().st_size} bytes; {shard['bytes']} were written")
    return problems


class ShardSet:
    """The open shards of all splits. Clips go to the shards of their split in turn, so that shards are equally long.

    Writes are unbuffered and one a shard for each `append`: after a crash the files are at most longer than the last
    `state`, and `restore` cuts them back to it.

    Args:
        folder: Where the shards lie.
        dataset: First part of their names.
        counts: Split -> number of shards.
    """

    def __init__(self, folder: Path, dataset: str, counts: dict[str, int]):
        self.names = {split: [shard_name(dataset, split, i, n) for i in range(n)] for split, n in counts.items()}
        self._files = {
            (split, i): (folder / name).open("r+b" if (folder / name).exists() else "w+b", buffering=0)
            for split, names in self.names.items()
            for i, name in enumerate(names)
        }
        self._digests = {key: hashlib.sha256() for key in self._files}
        self._bytes = dict.fromkeys(self._files, 0)
        self._clips = dict.fromkeys(self._files, 0)

    def __enter__(self) -> ShardSet:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Adds framed records, each with its split.

        Raises:
            OSError: The disk is full or fails; the shards then hold more than `state` says.
        """
        pending: dict[tuple[str, int], list[bytes]] = {}
        turn = {split: sum(self._clips[split, i] for i in range(len(names))) for split, names in self.names.items()}
        for split, record in records:
            key = (split, turn[split] % len(self.names[split]))
            turn[split] += 1
            pending.setdefault(key, []).append(record)
        for key, parts in pending.items():
            content = memoryview(b"".join(parts))
            written = 0
            while written < len(content):  # an unbuffered write may stop early
                written += self._files[key].write(content[written:])
            self._digests[key].update(content)
            self._bytes[key] += len(content)
            self._clips[key] += len(parts)

    def state(self) -> dict[str, list[list[int]]]:
        """Split -> [bytes, clips] of each shard: what a journal keeps."""
        return {split: [[self._bytes[split, i], self._clips[split, i]] for i in range(len(names))] for split, names in self.names.items()}

    def can_restore(self, state: dict[str, list[list[int]]]) -> bool:
        """Whether the files still hold all that `state` says."""
        for split, shards in state.items():
            for i, (size, _) in enumerate(shards):
                if (split, i) not in self._files or self._files[split, i].seek(0, 2) < size:
                    return False
        return True

    def restore(self, state: dict[str, list[list[int]]] | None) -> None:
        """Cuts the files back to an earlier state (None: to nothing) and goes on from there."""
        for key, file in self._files.items():
            size, clips = state[key[0]][key[1]] if state is not None else (0, 0)
            file.truncate(size)
            file.seek(0)
            digest = hashlib.sha256()
            left = size
            while left:
                part = file.read(min(left, 1 << 20))
                digest.update(part)
                left -= len(part)
            self._digests[key], self._bytes[key], self._clips[key] = digest, size, clips

    def facts(self, split: str) -> list[dict[str, Any]]:
        """The shards of a split for `SplitInfo.shards`."""
        return [
            {"file": name, "bytes": self._bytes[split, i], "sha256": self._digests[split, i].hexdigest(), "clips": self._clips[split, i]}
            for i, name in enumerate(self.names[split])
        ]


def shard_paths(split: SplitInfo, folder: Path) -> list[Path]:
    return [folder / shard["file"] for shard in split.shards]


def _damaged(path: Path, position: int) -> DatasetError:
    return DatasetError(f"The shard {path} is damaged at byte {position}.", hint="prepare the data set again with --overwrite")


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _integer(value: int) -> bytes:
    return _message(3, _message(1, _varint(value & 0xFFFFFFFFFFFFFFFF)))  # packed, as protobuf writes int64s


def _message(number: int, content: bytes) -> bytes:
    return b"".join((bytes((number << 3 | 2,)), _varint(len(content)), content))


def _fields(data: bytes) -> dict[int, list[Any]]:
    """Protocol buffer fields of wire types 0 (int) and 2 (bytes): number -> values."""
    found: dict[int, list[Any]] = {}
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        if key & 7 == 2:
            length, position = _read_varint(data, position)
            found.setdefault(key >> 3, []).append(data[position : position + length])
            position += length
        else:
            value, position = _read_varint(data, position)
            found.setdefault(key >> 3, []).append(value)
    return found


_ENCODED_NAMES = {name: _message(1, name.encode()) for name in FEATURES}
