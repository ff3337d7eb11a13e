"""Read and write all tags of a recording: ID3, Vorbis comments, MPEG-4, RIFF chunks, with pictures, through mutagen.

libsndfile knows ten fields, takes every MP3 text for Latin-1, and no picture. Within a family (ID3 to ID3, Vorbis to Vorbis, RIFF to RIFF)
tags are copied as they are, whatever their encoding; between families fields are translated by their Vorbis names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from . import riff_tags
from .riff_tags import Chunks

PROVENANCE = "provenance"  # key of `Tags` for facts that have no room in a comment of plain text
FIELD = "GAN_AUDIO"  # its name in a file
_TEXTS = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber", "license", "software")  # libsndfile's names
_ID3 = {
    "TITLE": "TIT2",
    "ARTIST": "TPE1",
    "ALBUM": "TALB",
    "ALBUMARTIST": "TPE2",
    "COMPOSER": "TCOM",
    "DISCNUMBER": "TPOS",
    "TRACKNUMBER": "TRCK",
    "DATE": "TDRC",
    "GENRE": "TCON",
    "COPYRIGHT": "TCOP",
    "ISRC": "TSRC",
    "BPM": "TBPM",
    "PUBLISHER": "TPUB",
    "LYRICIST": "TEXT",
    "CONDUCTOR": "TPE3",
    "LANGUAGE": "TLAN",
    "ENCODED-BY": "TENC",
}
_MP4 = {
    "\xa9nam": "TITLE",
    "\xa9ART": "ARTIST",
    "\xa9alb": "ALBUM",
    "aART": "ALBUMARTIST",
    "\xa9wrt": "COMPOSER",
    "\xa9day": "DATE",
    "\xa9gen": "GENRE",
    "\xa9cmt": "COMMENT",
    "cprt": "COPYRIGHT",
    "\xa9lyr": "LYRICS",
    "disk": "DISCNUMBER",
    "trkn": "TRACKNUMBER",
}
_OTHER = {  # APE's and ASF's names that differ from Vorbis's
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


TAGGED = riff_tags.CONTAINERS | {"MP3", "FLAC", "OGG"}  # `write_tags` writes these


class Picture(NamedTuple):
    """A cover or another picture; `kind` as ID3 and FLAC number them (3: front cover)."""

    mime: str
    kind: int
    description: str
    data: bytes


@dataclass
class Kept:
    """All tags of a file.

    Attributes:
        fields: (Vorbis name in capitals, text).
        names: Vorbis name in capitals -> as the file writes it.
        pictures: Pictures.
        id3: The mutagen object of ID3 tags, copied as it is into a file of that family.
        chunks: The chunks of a RIFF file that are no samples.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    id3: Any = None
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
    with suppress(Exception):  # mutagen raises whatever damaged bytes lead it to: struct.error, IndexError, MutagenError ...
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
    import mutagen

    if container in riff_tags.CONTAINERS:
        kept.chunks = riff_tags.read_chunks(path)
        if kept.chunks.id3:
            _from_id3(kept, riff_tags.parse_id3(kept.chunks.id3))
        known = {name for name, _ in kept.fields}
        kept.fields += [(name, text) for name, text in kept.chunks.fields() if name not in known]
        return
    if container == "MP3":
        from mutagen.apev2 import APEv2, error
        from mutagen.id3 import ID3, ID3NoHeaderError

        with suppress(ID3NoHeaderError):
            _from_id3(kept, ID3(path))
        with suppress(error):
            _from_texts(kept, APEv2(path))
        return
    file = mutagen.File(path)
    if file is None or (file.tags is None and not getattr(file, "pictures", None)):
        return
    if hasattr(file.tags, "getall"):  # AIFF
        _from_id3(kept, file.tags)
    elif type(file).__name__ == "MP4":
        _from_mp4(kept, file.tags)
    elif container in ("FLAC", "OGG"):
        _from_vorbis(kept, path, file)
    else:
        _from_texts(kept, file.tags)


def _from_id3(kept: Kept, id3: Any) -> None:
    kept.id3 = id3
    names = {frame: name for name, frame in _ID3.items()}
    for frame in id3.values():
        if frame.FrameID in names:
            kept.fields += [(names[frame.FrameID], str(text)) for text in frame.text]
        elif frame.FrameID == "TXXX":
            kept.fields += [(frame.desc.upper(), str(text)) for text in frame.text]
        elif frame.FrameID == "COMM" and not frame.desc:
            kept.fields += [("COMMENT", str(text)) for text in frame.text]
        elif frame.FrameID == "USLT":
            kept.fields.append(("LYRICS", str(frame.text)))
        elif frame.FrameID == "APIC":
            kept.pictures.append(Picture(frame.mime, int(frame.type), frame.desc, frame.data))


def _from_mp4(kept: Kept, tags: Any) -> None:
    for key, values in (tags or {}).items():
        if key == "covr":
            kept.pictures += [
                Picture("image/png" if int(cover.imageformat) == 14 else "image/jpeg", 3, "", bytes(cover)) for cover in values
            ]
        elif key in ("disk", "trkn"):
            kept.fields += [(_MP4[key], f"{number}/{of}" if of else str(number)) for number, of in values]
        elif key in _MP4:
            kept.fields += [(_MP4[key], str(value)) for value in values]
        elif key.startswith("----:"):
            kept.fields += [(key.rsplit(":", 1)[1].upper(), bytes(value).decode("utf-8", "replace")) for value in values]


def _from_vorbis(kept: Kept, path: Path, file: Any) -> None:
    from mutagen.flac import Picture as FlacPicture

    from .vorbis_text import repaired

    pictures = list(getattr(file, "pictures", ()))
    for name, text in repaired(path, list(file.tags or ())):
        if name.upper() == "METADATA_BLOCK_PICTURE":
            import base64

            pictures.append(FlacPicture(base64.b64decode(text)))
        else:
            kept.fields.append((name.upper(), text))
            kept.names[name.upper()] = name
    kept.pictures += [Picture(picture.mime, picture.type, picture.desc, picture.data) for picture in pictures]


def _from_texts(kept: Kept, tags: Any) -> None:
    """APE, ASF and others: names and texts."""
    known = {name for name, _ in kept.fields}
    for key, values in tags.items():
        name = _OTHER.get(key.upper(), key.upper())
        if name not in known:
            kept.fields += [(name, str(value)) for value in (values if isinstance(values, list) else [values]) if len(str(value)) < 1 << 16]


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
        if found := _id3_of(kept, tags):
            found.save(path, v2_version=_version(kept), v1=0)
    elif container in ("FLAC", "OGG"):
        _write_vorbis(path, kept, tags)
    else:
        return False
    return True


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


def _id3_of(kept: Kept, tags: Tags) -> Any:
    """ID3 tags: the file's own with the changed texts, or new ones."""
    from mutagen import id3 as frames

    result = frames.ID3()
    before = set(kept.fields)
    if kept.id3 is not None:
        for frame in kept.id3.values():
            result.add(copy.copy(frame))
    for name, texts in _grouped(fields_of(kept, tags)).items():
        if kept.id3 is not None and all((name, text) in before for text in texts):
            continue
        if name == "COMMENT":
            for key in [key for key, frame in result.items() if frame.FrameID == "COMM" and not frame.desc]:
                del result[key]
            result.add(frames.COMM(encoding=_encoding(texts), lang="eng", desc="", text=texts))
        elif name == "LYRICS":
            result.add(frames.USLT(encoding=_encoding(texts), lang="eng", desc="", text="\n".join(texts)))
        elif name in _ID3:
            result.delall(_ID3[name])
            result.add(getattr(frames, _ID3[name])(encoding=_encoding(texts), text=texts))
        else:
            result.delall(f"TXXX:{name}")
            result.add(frames.TXXX(encoding=_encoding(texts), desc=name, text=texts))
    if kept.id3 is None:
        for number, picture in enumerate(kept.pictures):
            description = picture.description or (str(number) if number else "")  # two of one name would replace each other
            result.add(frames.APIC(encoding=1, mime=picture.mime, type=picture.kind, desc=description, data=picture.data))
    if _version(kept) == 3:
        result.update_to_v23()
    return result


def _version(kept: Kept) -> int:
    """ID3v2.4 for a file that has it; else 2.3, which all players read."""
    return 4 if kept.id3 is not None and kept.id3.version[:2] == (2, 4) else 3


def _grouped(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, text in fields:
        groups.setdefault(name, []).append(text)
    return groups


def _encoding(texts: list[str]) -> int:
    """Latin-1 for ASCII, else UTF-16."""
    return 0 if all(text.isascii() for text in texts) else 1


def _write_vorbis(path: Path, kept: Kept, tags: Tags) -> None:
    import base64

    import mutagen
    from mutagen.flac import FLAC
    from mutagen.flac import Picture as FlacPicture

    fields = fields_of(kept, tags)
    if not fields and not kept.pictures:
        return
    file: Any = mutagen.File(path)
    if file is None:
        raise OSError(f"{path.name} cannot be tagged")
    if file.tags is None:
        file.add_tags()
    file.tags.clear()
    for name, text in fields:
        file.tags.append((kept.names.get(name, name), text.replace("\0", " ")))
    for picture in kept.pictures:
        made = FlacPicture()
        made.mime, made.type, made.desc, made.data = picture
        if isinstance(file, FLAC):
            file.add_picture(made)
        else:
            file.tags.append(("METADATA_BLOCK_PICTURE", base64.b64encode(made.write()).decode("ascii")))
    file.save()


def _chunks(kept: Kept, tags: Tags) -> Chunks:
    """The chunks of a RIFF file: its own with the changed texts, or INFO and, for what that cannot hold, ID3."""
    chunks = kept.chunks or Chunks()
    if kept.chunks is None and (kept.pictures or any(name not in riff_tags.INFO for name, _ in kept.fields)):
        chunks = Chunks(id3=riff_tags.id3_bytes(_id3_of(kept, tags), _version(kept)))
    elif kept.chunks is not None and kept.chunks.id3:
        chunks = Chunks(list(chunks.info), riff_tags.id3_bytes(_id3_of(kept, tags), _version(kept)), list(chunks.others))
    texts = {name.upper(): text for name, text in tags.items() if name != PROVENANCE}
    return chunks.with_texts(texts, tags.get(PROVENANCE, ""))
