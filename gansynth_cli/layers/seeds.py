"""Seeds of initial weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def layer_seeds(seed: int, stream: int = 0x5EED) -> Iterator[int]:
    """Yield endless distinct seeds, one for each layer: layers that shared a seed would start with the same weights.

    Args:
        seed: The recipe's seed.
        stream: Distinguishes networks that are built from one seed by separate iterators.
    """
    rng = np.random.default_rng([seed, stream])
    while True:
        yield int(rng.integers(2**31))
