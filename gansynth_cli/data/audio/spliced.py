"""A readable file made of parts of another one and of bytes in memory: how a corrected header reaches libsndfile."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from typing import BinaryIO

Part = bytes | tuple[int, int]  # bytes, or (offset, length) of the file underneath


class Spliced(io.RawIOBase):
    """The parts one after another, to read and seek in; the file underneath stays open and is read at its own positions.

    Args:
        file: The file underneath, unbuffered.
        parts: Bytes, and (offset, length) ranges of the file.
    """

    def __init__(self, file: BinaryIO, parts: Sequence[Part]):
        self._file, self._parts = file, list(parts)
        self._starts, self._size, self._position = [], 0, 0
        for part in self._parts:
            self._starts.append(self._size)
            self._size += len(part) if isinstance(part, bytes) else part[1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._position if size < 0 else min(size, self._size - self._position)
        found = []
        while left > 0:
            index = bisect_right(self._starts, self._position) - 1
            part, inside = self._parts[index], self._position - self._starts[index]
            if isinstance(part, bytes):
                content = part[inside : inside + left]
            else:
                self._file.seek(part[0] + inside)
                content = self._file.read(min(left, part[1] - inside))
            if not content:  # the file became shorter meanwhile
                break
            found.append(content)
            self._position += len(content)
            left -= len(content)
        return b"".join(found)

    def readinto(self, buffer) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
