"""A part of a job that several machines share: `--part 3/40` is the third of forty."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .errors import UsageError

MAX_PARTS = 99_999  # what the names of folders have room for
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Part:
    """One of `count` parts.

    Attributes:
        number: From 1 to `count`.
        count: Number of parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `3/40`.

        Raises:
            UsageError: It has another form, or the number is not from 1 to the count.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        part = cls(int(found[1]), int(found[2])) if found else None
        if part is None or not 1 <= part.number <= part.count <= MAX_PARTS:
            raise UsageError(
                f"--part is {text!r}; expected i/n with i from 1 to n, n at most {MAX_PARTS}.",
                hint="--part 1/8 on the first of eight machines, --part 8/8 on the last",
            )
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def folder_name(self) -> str:
        """Name of the folder that holds this part of a data set."""
        return f"part-{self.number:05d}-of-{self.count:05d}"

    def deal(self, items: Sequence[_Item], key: Callable[[_Item], Hashable]) -> list[_Item]:
        """Return the items of this part in order: keys in the order of their first appearance go to the parts in turn, and items of one
        key stay together."""
        places: dict[Hashable, int] = {}
        return [item for item in items if places.setdefault(key(item), len(places)) % self.count == self.number - 1]

    def stretch(self, items: Sequence[_Item], weight: Callable[[_Item], float]) -> list[_Item]:
        """Return the neighbouring items of this part: the parts in order are all items in order, and nearly equal in weight."""
        total = sum(map(weight, items))
        before, mine = 0.0, []
        for index, item in enumerate(items):
            own = weight(item)
            middle = (before + own / 2) / total if total else (index + 0.5) / len(items)
            before += own
            if min(self.count, 1 + int(middle * self.count)) == self.number:
                mine.append(item)
        return mine
