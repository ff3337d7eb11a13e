"""Sums of named loss terms, each with a weight of its own in the `[losses]` table of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

import tensorflow as tf

from ..schema_types import term_names

Context = TypeVar("Context")


class WeightedTerms(Generic[Context]):
    """The loss terms that a family computes from one context, such as a pair of an estimate and its target.

        TERMS = WeightedTerms(DenoiserLosses, {"waveform_l1": lambda pair: l1(pair.estimate, pair.target), ...})
        losses = TERMS(recipe.losses, pair)  # {"waveform_l1": weight * value}: those whose weight is not 0

    Args:
        table: The `[losses]` dataclass.
        terms: Name of a field of `table` -> function of the context that gives the unweighted term, a scalar. Their order is that of
            the sum.
        scales: Name -> constant factor of its weight, for terms with a unit of their own.
        elsewhere: Fields of `table` that are the weights of terms computed elsewhere, such as "adversarial".

    Raises:
        TypeError: The names are not exactly the `TermWeight` fields of `table`, so that no weight could go unused and no term unweighted.
    """

    def __init__(
        self,
        table: type,
        terms: Mapping[str, Callable[[Context], tf.Tensor]],
        scales: Mapping[str, float] | None = None,
        elsewhere: Collection[str] = (),
    ):
        self._terms, self._scales = dict(terms), dict(scales or {})
        known = set(term_names(table))
        unknown = sorted(({*terms, *elsewhere} - known) | (set(self._scales) - set(terms)))
        unused = sorted(known - {*terms, *elsewhere})
        if unknown or unused:
            raise TypeError(f"{table.__name__}: no such weight: {unknown}; weights without a term: {unused}")

    def active(self, weights: Any) -> tuple[str, ...]:
        """Return the names of the terms that have a weight in a recipe's `[losses]`."""
        return tuple(name for name in self._terms if getattr(weights, name))

    def __call__(self, weights: Any, context: Context, without: Collection[str] = ()) -> dict[str, tf.Tensor]:
        """Return the weighted terms that have a weight, by name, but for those in `without`."""
        return {
            name: getattr(weights, name) * self._scales[name] * self._terms[name](context)
            if name in self._scales
            else getattr(weights, name) * self._terms[name](context)
            for name in self.active(weights)
            if name not in without
        }
