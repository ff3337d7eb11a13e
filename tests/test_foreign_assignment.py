"""Giving foreign arrays to a network: the three forms of weight normalisation, the spectral trap, and the account of what was used."""

from __future__ import annotations

import numpy as np
import pytest

from gansynth_cli.data.foreign import ArrayMismatchError, Assignment, MissingArrayError, open_arrays

from .foreign_files import Tensor, ramp, torch_zip


@pytest.fixture
def assignment(tmp_path):
    def of(arrays: dict[str, np.ndarray]) -> Assignment:
        return Assignment(open_arrays(torch_zip(tmp_path / "model", {name: Tensor(array) for name, array in arrays.items()})))

    return of


def test_take_checks_and_counts(assignment):
    weights = assignment({"conv.weight": ramp(2, 3, 5).astype(np.float16), "conv.bias": ramp(2), "steps": np.array([3])})
    taken = weights.take("conv.weight", (2, None, 5))
    assert taken.dtype == np.float32
    assert np.array_equal(taken, ramp(2, 3, 5).astype(np.float16))
    assert weights.take("steps").dtype == np.int64
    assert weights.has("conv.bias")
    assert weights.left == ["conv.bias"]
    with pytest.raises(ArrayMismatchError, match=r"conv\.bias has the shape \[2\]; expected \[any, 4\]\."):
        weights.take("conv.bias", (None, 4))
    with pytest.raises(ArrayMismatchError, match=r"conv\.bias has the shape \[2\]; expected \[3\]\."):
        weights.take("conv.bias", (3,))
    with pytest.raises(MissingArrayError, match=r"no conv\.gain; it has conv\.weight"):
        weights.take("conv.gain")
    assert weights.left == ["conv.bias"]


def test_what_is_left_over_is_an_error(assignment):
    arrays = {name: ramp(1) for name in ("a.weight", "a.bias", "bn.num_batches_tracked", "optim_g.state.0", "optim_g.state.1")}
    weights = assignment(arrays)
    weights.take("a.weight")
    with pytest.raises(ArrayMismatchError, match=r"2 arrays that this network has no place for: a\.bias, bn\.num_batches_tracked"):
        weights.finish(ignore=["optim_g.*"])
    weights.take("a.bias")
    weights.finish(ignore=["optim_g.*", "*.num_batches_tracked"])


def test_numbers_that_are_not_finite_are_refused_by_name(assignment):
    weights = assignment({"nan": np.array([0, np.nan, np.inf], np.float32), "large": np.array([1e300]), "count": np.array([1])})
    with pytest.raises(ArrayMismatchError, match="nan has 2 numbers of 3"):
        weights.take("nan")
    with pytest.raises(ArrayMismatchError, match="large has 1 numbers of 1"):
        weights.take("large")


def test_the_three_forms_of_weight_normalisation(assignment):
    rng = np.random.default_rng(0)
    direction, scale = rng.normal(size=(4, 3, 5)).astype(np.float32), rng.uniform(0.5, 2, 4).astype(np.float32)
    kernel = direction * (scale / np.linalg.norm(direction.reshape(4, -1), axis=1))[:, None, None]
    forms = {
        "weight_g": {"up.weight_g": scale.reshape(4, 1, 1), "up.weight_v": direction},
        "parametrization": {
            "up.parametrizations.weight.original0": scale.reshape(4, 1, 1),
            "up.parametrizations.weight.original1": direction,
        },
        "plain": {"up.weight": kernel},
    }
    for form, arrays in forms.items():
        weights = assignment(arrays)
        found = weights.kernel("up", (4, 3, 5))
        weights.finish()
        assert found.form == form
        np.testing.assert_allclose(found.scale, scale, rtol=1e-6)
        np.testing.assert_allclose(found.kernel, kernel, rtol=1e-6)
        assert np.array_equal(found.direction, kernel if form == "plain" else direction)
        with pytest.raises(ArrayMismatchError, match=r"\[4, 3, 5\]; expected \[4, 3, 7\]"):
            assignment(arrays).kernel("up", (4, 3, 7))


def test_a_filter_of_zeros_gives_zeros(assignment):
    direction = np.stack([np.zeros((3, 5), np.float32), ramp(3, 5)])
    found = assignment({"c.weight_g": np.ones((2, 1, 1), np.float32), "c.weight_v": direction}).kernel("c")
    assert np.array_equal(found.kernel[0], np.zeros((3, 5)))
    assert np.linalg.norm(found.kernel[1]) == pytest.approx(1)


def test_half_of_a_weight_norm_is_an_error(assignment):
    with pytest.raises(MissingArrayError, match=r"no c\.weight_g"):
        assignment({"c.weight_v": ramp(2, 3, 5), "c.weight": ramp(2, 3, 5)}).kernel("c")
    with pytest.raises(MissingArrayError, match=r"no c\.weight_v"):
        assignment({"c.weight_g": ramp(2, 1, 1)}).kernel("c")
    with pytest.raises(MissingArrayError, match=r"no c\.weight"):
        assignment({"c.bias": ramp(2)}).kernel("c")
    with pytest.raises(ArrayMismatchError, match=r"weight_g has the shape \[1, 1, 5\]; expected \[2, 1, 1\]"):  # of dim=2
        assignment({"c.weight_g": ramp(1, 1, 5), "c.weight_v": ramp(2, 3, 5)}).kernel("c")


def test_a_singular_vector_is_not_taken_for_a_kernel(assignment):
    old = {"c.weight_orig": ramp(2, 3, 5), "c.weight_u": ramp(2), "c.weight_v": ramp(15)}
    base = "c.parametrizations.weight"
    new = {f"{base}.original": ramp(2, 3, 5), f"{base}.0._u": ramp(2), f"{base}.0._v": ramp(15)}
    for arrays in (old, new):
        weights = assignment(arrays)
        with pytest.raises(ArrayMismatchError, match="c is under spectral normalisation"):
            weights.kernel("c")
        found = weights.spectral("c", (2, 3, 5))
        weights.finish()
        assert np.array_equal(found.kernel, ramp(2, 3, 5))
        assert np.array_equal(found.vector, ramp(2))
    with pytest.raises(ArrayMismatchError, match=r"weight_u has the shape \[3\]; expected \[2\]"):
        assignment({**old, "c.weight_u": ramp(3)}).spectral("c")
    with pytest.raises(MissingArrayError):
        assignment({"c.weight_g": ramp(2, 1, 1), "c.weight_v": ramp(2, 3, 5)}).spectral("c")
