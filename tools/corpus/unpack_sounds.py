"""Takes the sounds out of two kinds of archive of games: OpenTTD's .cat and Qt's .rcc.

python unpack_sounds.py opensfx.cat FOLDER               # FOLDER/000_Good_Year.wav ...: their number and name
python unpack_sounds.py activity.rcc ... FOLDER          # FOLDER/<path in the archive>, sounds alone
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

_SOUNDS = (".ogg", ".wav", ".flac")
_FOLDER, _ZLIB, _ZSTANDARD = 2, 1, 4  # flags of an entry of a .rcc


def sounds_of_cat(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and WAV file of each sound: a table of (place, length), and at the place the name's length, the name, the file."""
    count = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
    for number in range(count):
        place, length = struct.unpack_from("<II", data, 8 * number)
        place &= 0x7FFFFFFF
        name = data[place + 1 : place + data[place]].split(b"\0")[0].decode("latin-1")
        sound = data[place + data[place] + 1 :][:length]
        start = sound.find(b"RIFF")
        if start < 0:
            raise SystemExit(f"unpack_sounds.py: sound {number} ({name}) is no WAV file; expected RIFF within {length} bytes")
        size = struct.unpack_from("<I", sound, start + 4)[0] + 8
        title = name.strip('"').split('"')[0][:60]  # the credits follow the quoted title
        yield f"{number:03d}_{re.sub(r'[^0-9A-Za-z-]', '_', title)}.wav", sound[start : start + size]


def sounds_of_rcc(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and file of each sound of a binary resource of Qt 5 or 6."""
    magic, version, tree, blobs, names = struct.unpack_from(">4sIIII", data)
    if magic != b"qres":
        raise SystemExit("unpack_sounds.py: not a Qt resource file; expected it to begin with qres")
    size = 22 if version >= 2 else 14

    def name_at(offset: int) -> str:
        length = struct.unpack_from(">H", data, names + offset)[0]
        return data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def walk(first: int, count: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        for entry in range(first, first + count):
            offset, flags = struct.unpack_from(">IH", data, tree + size * entry)
            path = f"{prefix}{name_at(offset)}"
            if flags & _FOLDER:
                children, first_child = struct.unpack_from(">II", data, tree + size * entry + 6)
                yield from walk(first_child, children, f"{path}/")
            elif path.lower().endswith(_SOUNDS):
                place = blobs + struct.unpack_from(">I", data, tree + size * entry + 10)[0]
                blob = data[place + 4 : place + 4 + struct.unpack_from(">I", data, place)[0]]
                if flags & _ZSTANDARD:
                    print(f"unpack_sounds.py: {path} is left out: packed with zstandard", file=sys.stderr)
                    continue
                yield path, zlib.decompress(blob[4:]) if flags & _ZLIB else blob

    count, first = struct.unpack_from(">II", data, tree + 6)
    yield from walk(first, count, "")


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    *archives, folder = (Path(argument) for argument in sys.argv[1:])
    for archive in archives:
        read = sounds_of_cat if archive.suffix == ".cat" else sounds_of_rcc
        for name, sound in read(archive.read_bytes()):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(sound)


if __name__ == "__main__":
    main()
