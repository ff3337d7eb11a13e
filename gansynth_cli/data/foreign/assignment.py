"""Giving a network foreign arrays one by one, and knowing at the end that every one was used."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import ForeignArrays
from .problems import ArrayMismatchError, listed, shown

Shape = Sequence[int | None]


@dataclass(frozen=True)
class NormalizedKernel:
    """A kernel under weight normalisation, in the foreign layout (PyTorch's: one filter for each entry of the first axis).

    Attributes:
        direction: `v`, of the kernel's shape.
        scale: `g`, [first axis]: the norm of each filter.
        form: "weight_g" (torch.nn.utils.weight_norm), "parametrization" (torch.nn.utils.parametrizations), or "plain": the normalisation
            was removed before the file was written. Then `direction` is the kernel itself and `scale` its norms.
    """

    direction: np.ndarray
    scale: np.ndarray
    form: str

    @property
    def kernel(self) -> np.ndarray:
        """g v / |v|, what the layer computes with; 0 where v is 0."""
        if self.form == "plain":
            return self.direction
        norms = _norms(self.direction)
        factors = np.divide(self.scale, norms, out=np.zeros_like(norms), where=norms > 0)
        return (self.direction * factors.reshape(-1, *[1] * (self.direction.ndim - 1))).astype(self.direction.dtype)


@dataclass(frozen=True)
class SpectralKernel:
    """A kernel under spectral normalisation, in the foreign layout.

    Attributes:
        kernel: `weight_orig`, not divided by its largest singular value.
        vector: `weight_u` [first axis], the left singular vector as far as it had converged.
    """

    kernel: np.ndarray
    vector: np.ndarray


def _norms(kernel: np.ndarray) -> np.ndarray:
    """[first axis]: the norm of each filter, summed in float64."""
    return np.sqrt(np.square(kernel.reshape(len(kernel), -1), dtype=np.float64).sum(axis=1)).astype(kernel.dtype)


class Assignment:
    """Hands out the arrays of a file and keeps account of which were taken.

    A mapping from foreign names to a network is a sequence of `take`, `kernel` and `spectral`, and one `finish`: the first array that
    is missing or of another shape is named, and so is whatever is left over, which means that the network is another one.

    Args:
        arrays: What `open_arrays` gave, or a part of it (`under`, `without`).
    """

    def __init__(self, arrays: ForeignArrays):
        self.arrays = arrays
        self.used: set[str] = set()

    def has(self, name: str) -> bool:
        """Tell whether there is an array of that name. It does not count as used."""
        return name in self.arrays

    @property
    def left(self) -> list[str]:
        """The names that were not taken yet."""
        return [name for name in self.arrays if name not in self.used]

    def take(self, name: str, shape: Shape | None = None) -> np.ndarray:
        """Read an array and count it as used.

        Args:
            name: Its name.
            shape: What it must be; None for an axis of any size.

        Returns:
            float32 for any kind of float; integers and bools as they are.

        Raises:
            MissingArrayError: There is none of that name.
            ArrayMismatchError: It has another shape, or numbers that are not finite or beyond float32.
        """
        entry = self.arrays.entry(name)
        if shape is not None and not _fits(entry.shape, shape):
            expected = "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
            raise ArrayMismatchError(self.arrays.path, f"{shown(name)} has the shape {list(entry.shape)}; expected {expected}.")
        array = entry.read()
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = array.astype(np.float32, copy=False)
            wrong = array.size - int(np.isfinite(array).sum())
            if wrong:
                raise ArrayMismatchError(
                    self.arrays.path,
                    f"{shown(name)} has {wrong} numbers of {array.size} that are NaN, infinite or too large.",
                    "its training had diverged; use an earlier checkpoint",
                )
        self.used.add(name)
        return array

    def kernel(self, layer: str, shape: Shape | None = None) -> NormalizedKernel:
        """Read a layer's kernel in whichever of the three forms of weight normalisation it has; `kernel` of the result folds it.

        Args:
            layer: The layer's name, without ".weight".
            shape: Of the kernel.

        Raises:
            MissingArrayError: None of the forms is there.
            ArrayMismatchError: As `take`; or it is under spectral normalisation, where `weight_v` is a singular vector and no kernel;
                or the scale has not one number for each entry of the first axis.
        """
        if self._is_spectral(layer):
            raise ArrayMismatchError(
                self.arrays.path, f"{shown(layer)} is under spectral normalisation; expected weight normalisation or none."
            )
        for form, scale, direction in (
            ("weight_g", f"{layer}.weight_g", f"{layer}.weight_v"),
            ("parametrization", f"{layer}.parametrizations.weight.original0", f"{layer}.parametrizations.weight.original1"),
        ):
            if scale in self.arrays or direction in self.arrays:
                v = self.take(direction, shape)
                filters = (len(v), *[1] * (v.ndim - 1)) if v.ndim else ()
                return NormalizedKernel(v, self.take(scale, filters).reshape(-1), form)
        weight = self.take(f"{layer}.weight", shape)
        return NormalizedKernel(weight, _norms(weight), "plain")

    def spectral(self, layer: str, shape: Shape | None = None) -> SpectralKernel:
        """Read a layer's kernel under spectral normalisation, old or new form. The right singular vector is read and left aside: it
        follows from the other.

        Raises:
            MissingArrayError, ArrayMismatchError: As `take`.
        """
        old = (f"{layer}.weight_orig", f"{layer}.weight_u", f"{layer}.weight_v")
        base = f"{layer}.parametrizations.weight"
        kernel, left, right = (f"{base}.original", f"{base}.0._u", f"{base}.0._v") if f"{base}.original" in self.arrays else old
        weight = self.take(kernel, shape)
        vector = self.take(left, (len(weight),))
        if right in self.arrays:
            self.take(right, (weight[0].size,))
        return SpectralKernel(weight, vector)

    def _is_spectral(self, layer: str) -> bool:
        names = ("weight_orig", "weight_u", "parametrizations.weight.original", "parametrizations.weight.0._u")
        return any(f"{layer}.{name}" in self.arrays for name in names)

    def finish(self, ignore: Iterable[str] = ()) -> None:
        """Check that every array was taken.

        Args:
            ignore: Patterns of names that may be left ("optim_g.*", "*.num_batches_tracked"), as of `fnmatch`, case counting.

        Raises:
            ArrayMismatchError: Some are left: the file is of another network.
        """
        patterns = tuple(ignore)
        left = [name for name in self.left if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        if left:
            raise ArrayMismatchError(
                self.arrays.path,
                f"holds {len(left)} arrays that this network has no place for: {listed(left)}.",
                "the file is of another network or of other settings",
            )


def _fits(found: tuple[int, ...], expected: Shape) -> bool:
    return len(found) == len(expected) and all(want is None or size == want for size, want in zip(found, expected, strict=True))
