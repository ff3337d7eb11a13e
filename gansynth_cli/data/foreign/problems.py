"""The errors of reading other programs' files, all of them `GanAudioError`s."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...errors import GanAudioError


class ForeignFileError(GanAudioError):
    """A foreign file that cannot be used: missing, damaged, half fetched, of an unknown format, or not what it claims to be.

    Args:
        path: The file.
        reason: What is wrong with it, as a clause that continues "FILE: ...", with a full stop.
        hint: What to do about it.
    """

    def __init__(self, path: str | os.PathLike, reason: str, hint: str | None = None):
        super().__init__(f"{os.fspath(path)}: {reason}", hint)
        self.path = path
        self.reason = reason


class UnsafeFileError(ForeignFileError):
    """A file that names code to be run, or a class that no file of weights needs. Nothing of it was run or imported.

    Args:
        path: The file.
        name: The dotted name that the file asks for, such as "os.system"; kept as the attribute `name`.
        reason: As of `ForeignFileError`.
        hint: As of `ForeignFileError`.
    """

    def __init__(self, path: str | os.PathLike, name: str, reason: str, hint: str | None = None):
        super().__init__(path, reason, hint)
        self.name = name


class MissingArrayError(ForeignFileError, KeyError):
    """An array that a network needs and the file does not hold."""

    __str__ = GanAudioError.__str__  # KeyError would print the message in quotes


class ArrayMismatchError(ForeignFileError):
    """An array of another shape or kind of number than the network needs, with numbers that are not finite, or one too many."""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Join the first `most` names with commas and say how many more there are."""
    known = [shown(name) for name in names]
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")


def shown(name: str, most: int = 120) -> str:
    """Make a name out of a foreign file fit to print: no control characters or line breaks, at most `most` characters."""
    text = "".join(character if character.isprintable() else "?" for character in name[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."
