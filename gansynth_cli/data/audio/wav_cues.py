"""Cue markers of WAV files: the chunk `cue ` with positions, and a list `adtl` with their names."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

_MAX_BYTES = (1 << 32) - 1


def add_cues(path: Path, cues: Sequence[tuple[int, str]]) -> bool:
    """Append markers to a WAV file.

    Args:
        path: A RIFF file without markers.
        cues: Position in samples per channel, and name.

    Returns:
        Whether the file could take them: RF64 and files of 4 GiB cannot.
    """
    points = struct.pack("<I", len(cues)) + b"".join(
        struct.pack("<II4sIII", number, position, b"data", 0, 0, position) for number, (position, _) in enumerate(cues, 1)
    )
    labels = b"adtl" + b"".join(
        _chunk(b"labl", struct.pack("<I", number) + name.encode("utf-8", "replace") + b"\0") for number, (_, name) in enumerate(cues, 1)
    )
    content = _chunk(b"cue ", points) + _chunk(b"LIST", labels)
    with path.open("rb+") as file:
        if file.read(4) != b"RIFF":
            return False
        end = file.seek(0, 2)
        content = b"\0" * (end % 2) + content
        if end + len(content) - 8 > _MAX_BYTES:
            return False
        file.write(content)
        file.seek(4)
        file.write(struct.pack("<I", end + len(content) - 8))
    return True


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
