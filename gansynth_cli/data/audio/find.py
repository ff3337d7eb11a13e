"""Find recordings in folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import DatasetError, UsageError

_NAMES = ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .sph .nist .paf .ircam .sf"
SUFFIXES = frozenset(_NAMES.split(" "))


def is_audio_name(path: str | os.PathLike) -> bool:
    """Whether a name has the suffix of an audio format and is not hidden (as macOS's `._name.wav`)."""
    path = Path(path)
    return not path.name.startswith(".") and path.suffix.lower() in SUFFIXES


def find_audio(inputs: Iterable[str | os.PathLike], also: re.Pattern[str] | None = None) -> list[tuple[Path, Path]]:
    """Find the recordings below some folders.

    Folders are searched to any depth, links to folders included; hidden files and folders are left out. A file given by name is taken
    whatever its suffix.

    Args:
        inputs: Folders and files.
        also: Pattern of further file names to take.

    Returns:
        (root, path) pairs sorted by path below each root, each file once. The root of a file given by name is its folder.

    Raises:
        UsageError: An input does not exist.
        DatasetError: A folder cannot be listed, or holds no file with a known suffix.
    """
    found: list[tuple[Path, Path]] = []
    known: set[Path] = set()
    for given in inputs:
        root = Path(given)
        if root.is_file():
            here = [root]
            root = root.parent
        elif root.is_dir():
            here = sorted(_walk(root, also), key=lambda path: path.relative_to(root).as_posix())
        else:
            raise UsageError(f"The input {given} does not exist.", hint="give a folder of recordings, or single files")
        new = [(root, path) for path in here if path not in known]
        known.update(path for _, path in new)
        if not here:
            others = sorted({p.suffix.lower() or "(none)" for p in root.rglob("*") if p.is_file()})[:8]
            seen = f"it holds files with the suffixes {', '.join(others)}" if others else "it is empty"
            raise DatasetError(
                f"{root} holds no recording: {seen}; expected .wav, .flac, .mp3, .ogg, .aiff or another format of libsndfile.",
                hint="check the path; a file with an unusual suffix can be given by its own name",
            )
        found.extend(new)
    return found


def _walk(root: Path, also: re.Pattern[str] | None = None) -> Iterator[Path]:
    visited: set[str] = set()

    def fail(error: OSError) -> None:
        raise DatasetError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error

    for folder, folders, files in os.walk(root, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in visited:  # a link back to a folder that was visited
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if is_audio_name(name) or (also is not None and not name.startswith(".") and also.search(name)):
                yield Path(folder, name)
