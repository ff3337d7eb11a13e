"""Weighted terms: their values, and that no weight goes unused and no name is lost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import tensorflow as tf

from gansynth_cli.losses.weighted import WeightedTerms
from gansynth_cli.schema_types import TermWeight, Weight, term_names


@dataclass(frozen=True)
class Losses:
    first: TermWeight = 1.0
    second: TermWeight = 0.0
    ceiling: Weight = 3.0  # no term
    adversarial: TermWeight = 0.5


TERMS = {"second": lambda context: context + 1.0, "first": lambda context: 2.0 * context}


def test_the_term_weights_of_a_table():
    assert term_names(Losses) == ("first", "second", "adversarial")


def test_terms_with_a_weight_are_computed_in_the_order_of_the_table():
    terms = WeightedTerms(Losses, TERMS, scales={"first": 0.25}, elsewhere=("adversarial",))
    assert terms.active(Losses()) == ("first",)
    weights = Losses(first=3.0, second=5.0)
    assert terms.active(weights) == ("second", "first")
    found = terms(weights, tf.constant(4.0))
    assert {name: float(value) for name, value in found.items()} == {"second": 25.0, "first": 6.0}
    assert list(found) == ["second", "first"]
    assert list(terms(weights, tf.constant(4.0), without=("second",))) == ["first"]


@pytest.mark.parametrize(
    ("terms", "scales", "elsewhere"),
    [
        ({"first": TERMS["first"]}, {}, ("adversarial",)),  # second has no term: its weight would be ignored
        ({**TERMS, "thrid": TERMS["first"]}, {}, ("adversarial",)),  # misspelt
        ({**TERMS, "ceiling": TERMS["first"]}, {}, ("adversarial",)),  # a setting, not a weight
        (TERMS, {}, ()),
        (TERMS, {}, ("adversarial", "adversary")),
        (TERMS, {"frist": 2.0}, ("adversarial",)),
    ],
)
def test_names_that_do_not_agree_with_the_table_are_refused(terms, scales, elsewhere):
    with pytest.raises(TypeError, match="Losses"):
        WeightedTerms(Losses, terms, scales, elsewhere)
