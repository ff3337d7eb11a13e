"""A cover or another picture, and the block in which FLAC and Ogg files hold it (RFC 9639, section 8.8)."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Picture(NamedTuple):
    """A picture; `kind` as ID3 and FLAC number them (3: front cover)."""

    mime: str
    kind: int
    description: str
    data: bytes

    def to_block(self) -> bytes:
        """Return the picture as FLAC writes it; its size in pixels is left at 0, which means that it is not stated."""
        mime, description = self.mime.encode("ascii", "replace"), self.description.encode()
        head = struct.pack(">II", self.kind, len(mime)) + mime + struct.pack(">I", len(description)) + description
        return head + bytes(16) + struct.pack(">I", len(self.data)) + self.data

    @classmethod
    def from_block(cls, block: bytes) -> Picture:
        """Read a picture from FLAC's block.

        Raises:
            ValueError: The block ends within the picture.
        """
        try:
            kind, length = struct.unpack_from(">II", block)
            mime, place = block[8 : 8 + length], 8 + length
            length = struct.unpack_from(">I", block, place)[0]
            description, place = block[place + 4 : place + 4 + length], place + 4 + length + 16
            length = struct.unpack_from(">I", block, place)[0]
        except struct.error as error:
            raise ValueError("a picture is cut") from error
        data = block[place + 4 : place + 4 + length]
        if len(data) < length:
            raise ValueError("a picture is cut")
        return cls(mime.decode("latin-1"), kind, description.decode("utf-8", "replace"), data)
