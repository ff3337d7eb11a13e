"""Read and write all tags of a recording: ID3, Vorbis comments, MPEG-4, RIFF chunks, with pictures.

libsndfile knows ten fields, takes every MP3 text for Latin-1, and no picture. Within a family (ID3 to ID3, Vorbis to Vorbis, RIFF to RIFF)
tags are copied as they are, whatever their encoding; between families fields are translated by their Vorbis names. What is written here
is read by `id3`, `vorbis_comments` and `riff_tags`; all else (MPEG-4, ASF, AIFF) by tinytag.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ...files import temporary_file
from . import riff_tags
from .ape import read_ape
from .id3 import Id3, parse_id3, read_id3, tag_length
from .picture import Picture
from .riff_tags import Chunks
from .vorbis_comments import Comments, read_comments, write_comments

PROVENANCE = "provenance"  # key of `Tags` for facts that have no room in a comment of plain text
FIELD = "GAN_AUDIO"  # its name in a file
_TEXTS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber", "license", "software")  # libsndfile's names
_TINY = {  # tinytag's names that differ from Vorbis's
    "track": "TRACKNUMBER",
    "disc": "DISCNUMBER",
    "year": "DATE",
    "encoded_by": "ENCODED-BY",
}
_OTHER = {  # names of APE and ASF tags that differ from Vorbis's
    "TRACK": "TRACKNUMBER",
    "YEAR": "DATE",
    "DISC": "DISCNUMBER",
    "ALBUM ARTIST": "ALBUMARTIST",
    "AUTHOR": "ARTIST",
    "DESCRIPTION": "COMMENT",
    "WM/ALBUMTITLE": "ALBUM",
    "WM/ALBUMARTIST": "ALBUMARTIST",
    "WM/YEAR": "DATE",
    "WM/GENRE": "GENRE",
    "WM/TRACKNUMBER": "TRACKNUMBER",
    "WM/COMPOSER": "COMPOSER",
    "WM/PARTOFSET": "DISCNUMBER",
}
_KINDS = {
    "other": 0,
    "icon": 1,
    "other_icon": 2,
    "front_cover": 3,
    "back_cover": 4,
    "leaflet": 5,
    "media": 6,
}  # tinytag's names of pictures
_ID3V1 = 128  # bytes of the older tag at the end of an MP3

TAGGED = riff_tags.CONTAINERS | {"MP3", "FLAC", "OGG"}  # `write_tags` writes these


@dataclass
class Kept:
    """All tags of a file.

    Attributes:
        fields: (Vorbis name in capitals, text).
        names: Vorbis name in capitals -> as the file writes it.
        pictures: Pictures.
        id3: ID3 frames, copied as they are into a file of that family.
        chunks: The chunks of a RIFF file that are no samples.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    id3: Id3 | None = None
    chunks: Chunks | None = None


class Tags(dict[str, str]):
    """Texts by libsndfile's names (title, artist, comment ...), as far as they are known, and all else in `kept`.

    Attributes:
        kept: Everything that the file holds, for a file that is made of it; None drops it.
        sentence: What stands in a comment where a container has no room for `PROVENANCE`.
    """

    def __init__(self, texts: Mapping[str, str] | None = None, kept: Kept | None = None, sentence: str = ""):
        super().__init__(texts or {})
        self.kept, self.sentence = kept, sentence

    def replaced(self, sentence: str = "", **texts: str) -> Self:
        """Return the tags with other texts."""
        return type(self)({**self, **texts}, self.kept, sentence or self.sentence)


def read_tags(path: Path, container: str, known: Mapping[str, str]) -> Tags:
    """Read the tags of a recording; damaged ones are as good as none.

    Args:
        path: The file.
        container: libsndfile's format, or what `media` calls it.
        known: What libsndfile found.
    """
    kept = Kept()
    with suppress(Exception):  # whatever damaged bytes lead to: struct.error, IndexError, tinytag's ParseError ...
        _read(path, container, kept)
    texts = dict(known)
    for name, text in kept.fields:
        if name.lower() in _TEXTS:
            texts[name.lower()] = text
        elif name == FIELD:
            texts[PROVENANCE] = text
        elif name == "DESCRIPTION":  # the Vorbis specification's name of a comment; ffmpeg writes it
            texts.setdefault("comment", text)
    if kept.chunks is not None and (text := kept.chunks.text(riff_tags.PROVENANCE)):
        texts[PROVENANCE] = text
    return Tags(texts, kept)


def _read(path: Path, container: str, kept: Kept) -> None:
    if container in riff_tags.CONTAINERS:
        kept.chunks = riff_tags.read_chunks(path)
        _from_id3(kept, parse_id3(kept.chunks.id3))
        _add(kept, kept.chunks.fields())
    elif container == "MP3":
        _from_id3(kept, read_id3(path))
        _add(kept, read_ape(path))
        if kept.id3 is None and not kept.fields:
            _from_tinytag(kept, path)  # the older ID3v1
    elif container in ("FLAC", "OGG"):
        found = read_comments(path)
        kept.fields = [(name.upper(), text) for name, text in found.fields]
        kept.names = {name.upper(): name for name, _ in found.fields}
        kept.pictures = found.pictures
    else:
        _add(kept, read_ape(path))
        _from_tinytag(kept, path)


def _from_id3(kept: Kept, id3: Id3 | None) -> None:
    if id3 is not None:
        kept.id3, kept.fields, kept.pictures = id3, id3.fields(), id3.pictures()


def _add(kept: Kept, fields: list[tuple[str, str]]) -> None:
    """Add fields of names that are not there yet."""
    known = {name for name, _ in kept.fields}
    named = [(_OTHER.get(name.upper(), name.upper()), text) for name, text in fields]
    kept.fields += [(name, text) for name, text in named if name not in known]


def _from_tinytag(kept: Kept, path: Path) -> None:
    from tinytag import TinyTag

    tag = TinyTag.get(path, duration=False, image=True)
    fields = []
    for name in ("title", "artist", "album", "albumartist", "composer", "genre", "year", "comment"):
        if value := getattr(tag, name):
            fields.append((_TINY.get(name, name), str(value)))
    for name in ("track", "disc"):
        number, whole = getattr(tag, name), getattr(tag, f"{name}_total")
        if number is not None:
            fields.append((_TINY[name], f"{number}/{whole}" if whole else str(number)))
    for name, values in tag.other.items():
        fields += [(_TINY.get(name, name), str(value)) for value in values]
    _add(kept, fields)
    for kind, images in tag.images.as_dict().items():
        kept.pictures += [Picture(image.mime_type or "", _KINDS.get(kind, 0), image.description or "", image.data) for image in images]


def write_tags(path: Path, container: str, tags: Tags) -> bool:
    """Write tags into a finished file.

    Returns:
        False where the container has no room for them here: libsndfile writes its ten while the file is made.

    Raises:
        OSError: The file cannot be written.
    """
    kept = tags.kept or Kept()
    if container in riff_tags.CONTAINERS:
        riff_tags.write_chunks(path, _chunks(kept, tags))
    elif container == "MP3":
        if content := _id3_of(kept, tags).to_bytes():
            _write_id3(path, content)
    elif container in ("FLAC", "OGG"):
        fields = [(kept.names.get(name, name), text) for name, text in fields_of(kept, tags)]
        if fields or kept.pictures:
            write_comments(path, Comments(b"", fields, kept.pictures))
    else:
        return False
    return True


def _write_id3(path: Path, content: bytes) -> None:
    """Put an ID3 tag in front of an MP3, in the place of the tags that its encoder left."""
    with path.open("rb") as file, temporary_file(path) as (temporary, made):
        end = file.seek(-min(_ID3V1, path.stat().st_size), os.SEEK_END)
        older = file.read(3) == b"TAG"
        file.seek(0)
        start = tag_length(file.read(10))
        file.seek(start)
        made.write(content)
        shutil.copyfileobj(file, made, 1 << 20)
        if older:
            made.truncate(len(content) + end - start)
        temporary.replace(path)


def fields_of(kept: Kept, tags: Tags) -> list[tuple[str, str]]:
    """Return all fields, with the texts of `tags` in the place of those that they replace."""
    new = {name.upper(): text for name, text in tags.items() if name != PROVENANCE and text}
    if tags.get(PROVENANCE):
        new[FIELD] = tags[PROVENANCE]
    before: dict[str, list[str]] = {}
    for name, text in kept.fields:
        before.setdefault(name, []).append(text)
    before.setdefault("COMMENT", before.get("DESCRIPTION", []))
    changed = {name: text for name, text in new.items() if text not in before.get(name, ())}
    return [*((name, text) for name, text in kept.fields if name not in changed), *changed.items()]


def _id3_of(kept: Kept, tags: Tags) -> Id3:
    """The file's own ID3 frames with the changed texts, or new ones: version 2.3, which all players read."""
    result, before = kept.id3 or Id3(), set(kept.fields)
    for name, texts in _grouped(fields_of(kept, tags)).items():
        if kept.id3 is None or any((name, text) not in before for text in texts):
            result = result.with_field(name, texts)
    return result if kept.id3 is not None else result.with_pictures(kept.pictures)


def _grouped(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, text in fields:
        groups.setdefault(name, []).append(text)
    return groups


def _chunks(kept: Kept, tags: Tags) -> Chunks:
    """The chunks of a RIFF file: its own with the changed texts, or INFO and, for what that cannot hold, ID3."""
    chunks = kept.chunks or Chunks()
    if kept.chunks is None and (kept.pictures or any(name not in riff_tags.INFO for name, _ in kept.fields)):
        chunks = Chunks(id3=_id3_of(kept, tags).to_bytes())
    elif kept.chunks is not None and kept.chunks.id3:
        chunks = Chunks(list(chunks.info), _id3_of(kept, tags).to_bytes(), list(chunks.others))
    texts = {name.upper(): text for name, text in tags.items() if name != PROVENANCE}
    return chunks.with_texts(texts, tags.get(PROVENANCE, ""))
