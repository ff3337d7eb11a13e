"""Find recordings in folders."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import DatasetError, UsageError
from . import media

_NAMES = (
    ".wav .wave .bwf .flac .ogg .oga .opus .mp3 .mp2 .mp1 .mpga .aif .aiff .aifc .au .snd .caf .w64 .rf64 .bw64 .voc .sph .nist .paf "
    ".ircam .sf .avr .htk .pvf .svx .8svx .sds"
)
SUFFIXES = frozenset(_NAMES.split(" ")) | media.SUFFIXES
_AUDIO = (b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"wvpk")
LeftOut = list[tuple[Path, str]]


def is_audio_name(path: str | os.PathLike) -> bool:
    """Whether a name has the suffix of an audio format and is not hidden (as macOS's `._name.wav`)."""
    path = Path(path)
    return not path.name.startswith(".") and path.suffix.lower() in SUFFIXES


def find_audio(
    inputs: Iterable[str | os.PathLike], also: re.Pattern[str] | None = None, left_out: LeftOut | None = None
) -> list[tuple[Path, Path]]:
    """Find the recordings below some folders.

    Folders are searched to any depth, links to folders included; hidden files and folders are left out. A file given by name is taken
    whatever its suffix.

    Args:
        inputs: Folders and files.
        also: Pattern of further file names to take.
        left_out: Receives the files of the folders that are not taken, each with the reason.

    Returns:
        (root, path) pairs sorted by path below each root, each file once. The root of a file given by name is its folder.

    Raises:
        UsageError: An input does not exist, or is no file.
        DatasetError: A folder cannot be listed, or holds no file with a known suffix.
    """
    found: list[tuple[Path, Path]] = []
    known: set[Path] = set()
    for given in inputs:
        root = Path(given)
        others: LeftOut = []
        if root.is_file():
            here = [root]
            root = root.parent
        elif root.is_dir():
            here = sorted(_walk(root, also, others), key=lambda path: path.relative_to(root).as_posix())
        elif root.exists():
            raise UsageError(
                f"The input {given} is {kind_of(root)}.", hint="write its content to a file first; enhance takes a WAV from a pipe as -"
            )
        else:
            raise UsageError(f"The input {given} does not exist.", hint="give a folder of recordings, or single files")
        new = [(root, path) for path in here if path not in known]
        known.update(path for _, path in new)
        if not here:
            suffixes = sorted({path.suffix.lower() or "(none)" for path, _ in others})[:8]
            seen = f"it holds files with the suffixes {', '.join(suffixes)}" if suffixes else "it is empty"
            raise DatasetError(
                f"{root} holds no recording: {seen}; expected .wav, .flac, .mp3, .ogg, .aiff, .m4a or another audio format.",
                hint="check the path; a file with an unusual suffix can be given by its own name",
            )
        found.extend(new)
        if left_out is not None:
            left_out.extend(others)
    return found


def summary_of(left_out: LeftOut) -> list[str]:
    """Return a sentence for each reason: how many files, and the names of the first three."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out:
        by_reason.setdefault(reason, []).append(path.name)
    return [
        f"{len(names)} left out, {reason}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" for reason, names in by_reason.items()
    ]


def _walk(root: Path, also: re.Pattern[str] | None, others: LeftOut) -> Iterator[Path]:
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
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if not (is_audio_name(name) or (also is not None and also.search(name))):
                others.append((path, _why_not(path)))
            elif reason := kind_of(path):
                others.append((path, reason))
            else:
                yield path


def kind_of(path: Path) -> str:
    """Say what a path is that is neither a file nor a folder, in words; "" for what can be read, or tells its reason when it is."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _why_not(path: Path) -> str:
    """Why a file of a folder is not taken: its suffix, even where its content looks like audio."""
    if reason := kind_of(path):
        return reason
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        head = b""
    audio = head.startswith(_AUDIO) or head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    kind = path.suffix.lower() or "no suffix"
    return (
        f"audio by its content, but not by its suffix ({kind}): give it by its own name" if audio else f"not audio by its suffix ({kind})"
    )
