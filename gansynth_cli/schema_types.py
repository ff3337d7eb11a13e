"""Types of the values in a recipe, with their ranges; `msgspec` checks them."""

from __future__ import annotations

from typing import Annotated, get_type_hints

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Range = tuple[float, float]  # a number is drawn uniformly from [low, high]

_TERM = {"term": True}
TermWeight = Annotated[float, Meta(ge=0, extra=_TERM)]  # the weight of a named loss term; 0: the term is not computed


def term_names(table: type) -> tuple[str, ...]:
    """Return the fields of a `[losses]` table that weigh a term, in order."""
    hints = get_type_hints(table, include_extras=True)
    return tuple(
        name
        for name, hint in hints.items()
        if any(isinstance(meta, Meta) and meta.extra == _TERM for meta in getattr(hint, "__metadata__", ()))
    )
