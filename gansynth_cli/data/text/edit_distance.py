"""The distance of two sequences, such as words or phones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def edit_distance(wanted: Sequence, found: Sequence) -> int:
    """Return the smallest number of substitutions, deletions and insertions that turn one sequence into the other (Levenshtein 1966)."""
    row = np.arange(len(found) + 1)
    for number, item in enumerate(wanted, 1):
        change = row[:-1] + np.array([other != item for other in found], int)
        before, row = row, np.empty_like(row)
        row[0] = number
        for place in range(1, len(row)):
            row[place] = min(change[place - 1], before[place] + 1, row[place - 1] + 1)
    return int(row[-1])
