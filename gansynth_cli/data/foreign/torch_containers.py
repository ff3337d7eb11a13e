"""The two containers of `torch.save`: the ZIP of PyTorch 1.6 and later, and the pickles in a row that came before."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from .contents import SourceFile
from .pickle_data import BoundedStream, PickleDamage, read_pickle
from .problems import ForeignFileError, shown
from .torch_tensors import TorchRules

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
MAX_PICKLE_BYTES = 64 << 20  # structure without numbers; 1,000 tensors take 150 KB
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CHUNK = 1 << 20
PLAIN_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA allocates a dictionary as large as the file asks for
_HALF_FETCHED = "download it again and compare its size and SHA-256 with the published ones"


class TorchZip:
    """A ZIP that `torch.save` or `torch.jit.save` wrote.

    Args:
        source: The file.

    Raises:
        ForeignFileError: It has no central directory (half fetched), is encrypted, unpacks to far more than its size, or is another
            kind of ZIP.
    """

    def __init__(self, source: SourceFile):
        self.source = source
        try:
            with zipfile.ZipFile(source.path) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, struct.error) as error:
            raise ForeignFileError(
                source.path, "begins as a ZIP and has no readable directory at its end: it was fetched or copied in part.", _HALF_FETCHED
            ) from error
        self.unpacked_size = sum(info.file_size for info in infos)
        if self.unpacked_size > 16 * source.size + (16 << 20):
            raise ForeignFileError(source.path, "unpacks to more than sixteen times its size, which no file of weights does.")
        if any(info.compress_type not in PLAIN_COMPRESSION for info in infos):
            raise ForeignFileError(source.path, "is compressed in a way that is not read; torch.save does not compress.")
        self.entries = {info.filename: info for info in infos}
        roots = [name[: -len("data.pkl")] for name in self.entries if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ForeignFileError(source.path, f"is a ZIP with {len(roots)} files named data.pkl; one of torch.save has one.")
        self.root = roots[0]

    @property
    def is_script(self) -> bool:
        """Whether it is a TorchScript archive: it holds the program beside the numbers."""
        return f"{self.root}constants.pkl" in self.entries or any(name.startswith(f"{self.root}code/") for name in self.entries)

    @property
    def swapped(self) -> bool:
        """Whether its numbers are in the other byte order than this machine's; without a note they are little-endian."""
        name = f"{self.root}byteorder"
        order = self.read_small(name, 16).strip() if name in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise ForeignFileError(self.source.path, f"is of the byte order {shown(order.decode('latin-1'), 20)}; expected little or big.")
        return order.decode() != sys.byteorder

    def load(self, rules: TorchRules) -> Any:
        """Read the pickle and tie its storages to their entries.

        Raises:
            PickleDamage, ForeignFileError: Damaged, a storage missing or shorter than said, or as `rules`.
        """
        result = read_pickle(io.BytesIO(self.read_small(f"{self.root}data.pkl", MAX_PICKLE_BYTES)), rules)
        swapped = self.swapped
        for storage in rules.storages.values():
            name = f"{self.root}data/{storage.key}"
            info = self.entries.get(name)
            if info is None:
                raise PickleDamage(f"storage {shown(storage.key, 40)} is not in the archive")
            needed = storage.count * storage.number.stored.itemsize
            if info.file_size < needed:
                raise PickleDamage(f"storage {shown(storage.key, 40)} has {info.file_size} bytes; {needed} are needed")
            storage.read, storage.swapped = self._reader(info), swapped
        return result

    def read_small(self, name: str, most: int) -> bytes:
        """Read an entry whole, with its checksum.

        Raises:
            ForeignFileError: It is larger than `most` bytes, or damaged.
        """
        info = self.entries[name]
        if info.file_size > most:
            raise ForeignFileError(self.source.path, f"{shown(name)} in it has {info.file_size} bytes; at most {most} are read.")
        return self._unpacked(info)

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        if info.compress_type == zipfile.ZIP_STORED:
            start = self._start(info)
            self._check(info, start)
            return self.source.read(start, info.file_size)
        try:
            with zipfile.ZipFile(self.source.path) as archive, archive.open(info) as entry:
                return entry.read(info.file_size)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError, ValueError, struct.error) as error:
            raise ForeignFileError(self.source.path, f"{shown(info.filename)} in it is damaged.", _HALF_FETCHED) from error

    def _reader(self, info: zipfile.ZipInfo) -> Callable[[int, int], bytes]:
        """Read spans of an entry; its checksum is compared before the first."""
        checked = False

        def read(start: int, length: int) -> bytes:
            nonlocal checked
            if info.compress_type != zipfile.ZIP_STORED:  # packed again by somebody; unpacked whole each time, which is slow and right
                return self._unpacked(info)[start : start + length]
            begin = self._start(info)
            if start + length > info.file_size:
                raise ForeignFileError(self.source.path, f"{shown(info.filename)} in it is shorter than its tensors need.")
            if not checked:
                self._check(info, begin)
                checked = True
            return self.source.read(begin + start, length)

        return read

    def _start(self, info: zipfile.ZipInfo) -> int:
        fields = _LOCAL_HEADER.unpack(self.source.read(info.header_offset, _LOCAL_HEADER.size))
        if fields[0] != b"PK\x03\x04" or info.flag_bits & 1:
            raise ForeignFileError(self.source.path, f"{shown(info.filename)} in it is damaged or encrypted.", _HALF_FETCHED)
        return info.header_offset + _LOCAL_HEADER.size + fields[-2] + fields[-1]

    def _check(self, info: zipfile.ZipInfo, start: int) -> None:
        """Compare the checksum, in pieces. PyTorch writes 0 where it was told to compute none."""
        if info.CRC == 0:
            return
        checksum, at, end = 0, start, start + info.file_size
        while at < end:
            piece = self.source.read(at, min(_CHUNK, end - at))
            checksum, at = zlib.crc32(piece, checksum), at + len(piece)
        if checksum != info.CRC:
            raise ForeignFileError(self.source.path, f"{shown(info.filename)} in it is damaged: its checksum differs.", _HALF_FETCHED)


def load_legacy(source: SourceFile, rules: TorchRules) -> Any:
    """Read a file of PyTorch before 1.6: magic number, protocol, system, object and storage keys as pickles, then the numbers.

    Args:
        source: The file.
        rules: What names mean; its storages are tied to their places in the file.

    Raises:
        PickleDamage, ForeignFileError: Damaged, truncated, written on a big-endian machine, or as `rules`.
    """
    with source.path.open("rb") as file:
        stream = BoundedStream(file, source.size)
        if read_pickle(stream, rules) != LEGACY_MAGIC:
            raise PickleDamage("it begins as a pickle and is no file of torch.save")
        protocol = read_pickle(stream, rules)
        if protocol != _LEGACY_PROTOCOL:
            raise PickleDamage("it is of a version of PyTorch's old format that is not known")
        system = read_pickle(stream, rules)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ForeignFileError(source.path, "was written on a big-endian machine in PyTorch's old format, which is not read.")
        result = read_pickle(stream, rules)
        keys = read_pickle(stream, rules)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise PickleDamage("the list of storages in it is damaged")
        _place(source, file, keys, rules)
    return result


def _place(source: SourceFile, file: BinaryIO, keys: list[str], rules: TorchRules) -> None:
    """Walk over the numbers: for each key an int64 count, then as many numbers, little-endian."""
    at = file.tell()
    placed: set[str] = set()
    for key in keys:
        storage = rules.storages.get(key)
        if storage is None or key in placed:
            raise PickleDamage(f"storage {shown(key, 40)} in it belongs to no tensor")
        placed.add(key)
        (count,) = struct.unpack("<q", source.read(at, 8))
        if count != storage.count:
            raise PickleDamage(f"storage {shown(key, 40)} has {count} numbers in one place of the file and {storage.count} in another")
        size = count * storage.number.stored.itemsize
        if at + 8 + size > source.size:
            raise PickleDamage(f"it is truncated: storage {shown(key, 40)} ends at byte {at + 8 + size} of {source.size}")
        storage.read, storage.swapped = _span_reader(source, at + 8, size), sys.byteorder != "little"
        at += 8 + size
    missing = [key for key in rules.storages if key not in placed]
    if missing:
        raise PickleDamage(f"storage {shown(missing[0], 40)} is not in the file")


def _span_reader(source: SourceFile, start: int, size: int) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        if offset + length > size:
            raise ForeignFileError(source.path, "is damaged: a tensor reaches beyond its storage.")
        return source.read(start + offset, length)

    return read


def is_legacy(source: SourceFile) -> bool:
    """Tell whether the file begins with the magic number of PyTorch's old format."""
    head = source.read(0, min(source.size, 32))
    magic = LEGACY_MAGIC.to_bytes(10, "little")
    return head[:1] == b"\x80" and head[2:4] == b"\x8a\x0a" and head[4:14] == magic
