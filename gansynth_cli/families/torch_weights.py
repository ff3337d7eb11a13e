"""Layers of PyTorch into Keras's: kernels turned, normalisation in any of its forms, Adam's moments alongside. No TensorFlow.

PyTorch's kernels are [out, in / groups, taps ...] (transposed convolutions: [in, out, taps]), Keras's [taps ..., in / groups, out]
([taps, out, in]): one turning of the axes for both. PyTorch normalises weights over the first axis, which becomes the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.foreign import Assignment, ForeignArrays, LazyArray
from .published import Placement

_KERNEL_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}  # foreign kernel -> Keras's
_KERNELS = ("weight_v", "parametrizations.weight.original1", "weight")
_BUFFERS = re.compile(r"\.(weight_u|parametrizations\.weight\.0\._[uv])$")
Turn = Callable[[np.ndarray], np.ndarray]


def part_with(arrays: ForeignArrays, name: str) -> ForeignArrays | None:
    """Find the part of a checkpoint in which an array has the name `name`, whatever it is wrapped in ("generator.module.").

    Returns:
        The arrays there, named without the wrapping; None where there is no such part. Of several, that of the shortest wrapping.
    """
    heads = sorted((found[: -len(name)] for found in arrays if found == name or found.endswith(f".{name}")), key=len)
    return (arrays.under(heads[0].removesuffix(".")) if heads[0] else arrays) if heads else None


@dataclass(frozen=True)
class Moments:
    """The state of a `torch.optim.Adam` or `AdamW`: first and second moments by parameter name.

    Args:
        arrays: What is under "optim_g" or the like: "state.N.exp_avg", "state.N.exp_avg_sq".
        numbers: Parameter name -> N, its place in the optimiser.
    """

    arrays: ForeignArrays
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, arrays: ForeignArrays, *parts: tuple[str, ForeignArrays]) -> Moments | None:
        """Number the parameters as `Module.parameters()` does: in the order of the state dict, without its buffers.

        Args:
            arrays: The optimiser's.
            parts: (prefix, state dict) in the order in which the optimiser was given their parameters; names in `Moments` are
                prefix + name.

        Returns:
            None where the number of parameters is another than the optimiser has: then which is which is not known.
        """
        names = [prefix + name for prefix, part in parts for name in part if _is_parameter(name, part)]
        known = {int(name.split(".")[1]) for name in arrays if re.fullmatch(r"state\.\d+\.exp_avg", name)}
        if known != set(range(len(names))):
            return None
        return cls(arrays, {name: number for number, name in enumerate(names)})

    def of_parameter(self, name: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Keras's slot name -> array in PyTorch's layout; empty where there is none of that shape."""
        number = self.numbers.get(name)
        found = {}
        for slot, key in (("momentum", "exp_avg"), ("velocity", "exp_avg_sq")):
            entry = f"state.{number}.{key}"
            if entry not in self.arrays or self.arrays.shapes[entry] != shape:
                return {}
            found[slot] = np.asarray(self.arrays[entry], np.float32)
        return found


def last_rate(arrays: ForeignArrays, *path: str | int) -> float | None:
    """Read the learning rate at which an optimiser stood, `path` being where it is in the checkpoint; None if it does not say."""
    state: Any = arrays.tree
    for key in (*path, "param_groups", 0):
        listed = isinstance(state, (list, tuple)) and isinstance(key, int) and key < len(state)
        state = state[key] if listed or (isinstance(state, dict) and key in state) else None
    rate = state.get("lr") if isinstance(state, dict) else None
    return rate if isinstance(rate, float) and 0 < rate < 1 else None


def updates_of(arrays: ForeignArrays) -> int:
    """Read how often the optimiser whose state dict is a whole file has been applied; 0 if it does not say."""
    tree: Any = arrays.tree
    state = tree.get("state") if isinstance(tree, dict) else None
    first = next(iter(state.values()), None) if isinstance(state, dict) else None
    step = first.get("step") if isinstance(first, dict) else None
    if isinstance(step, LazyArray):
        step = float(np.asarray(step.read()).reshape(-1)[0])
    return int(step) if isinstance(step, (int, float)) and 0 < step < 1 << 40 else 0


def kernel_shape(arrays: ForeignArrays, layer: str) -> tuple[int, ...]:
    """The shape of a layer's kernel, whatever the form of its normalisation.

    Raises:
        MissingArrayError: It has none.
    """
    for kernel in _KERNELS:
        if f"{layer}.{kernel}" in arrays:
            return arrays.shapes[f"{layer}.{kernel}"]
    return arrays.entry(f"{layer}.weight").shape


class TorchWeights:
    """Places the arrays of one PyTorch module.

    Args:
        arrays: The module's state dict.
        placement: Where the arrays are gathered.
        moments: Of the optimiser that trained the module.
        prefix: Of its parameters in `moments`.
    """

    def __init__(self, arrays: ForeignArrays, placement: Placement, moments: Moments | None = None, prefix: str = ""):
        self.weights = Assignment(arrays)
        self.placement, self.moments, self.prefix = placement, moments, prefix

    def layer(self, layer: Any, name: str) -> None:
        """Place a convolution or dense layer of PyTorch into its counterpart, with or without weight normalisation on either side.

        Args:
            layer: A Keras layer with a `kernel` and perhaps a `bias`, or a wrapper of `layers.weight_norm` around one.
            name: Of the PyTorch layer.

        Raises:
            ForeignFileError: An array is missing or of another shape; it is named.
        """
        inner = getattr(layer, "layer", layer)
        turned = _Turned.of(tuple(inner.kernel.shape))
        if hasattr(layer, "vector"):
            self._spectral(layer, turned, name)
        elif hasattr(layer, "scale"):
            self._normalized(layer, turned, name)
        else:
            turned = self._with_columns(turned, name)
            self._put(inner.kernel, self.weights.kernel(name, turned.foreign).kernel, f"{name}.weight", turned.turn)
        if inner.bias is not None:
            self._put(inner.bias, self.weights.take(f"{name}.bias", tuple(inner.bias.shape)), f"{name}.bias")

    def vector(self, variable: Any, name: str) -> None:
        """Place an array without turning it."""
        self._put(variable, self.weights.take(name, tuple(variable.shape)), name)

    def turned(self, variable: Any, name: str, shape: tuple[int, ...], turn: Turn) -> None:
        """Place an array of the foreign shape `shape` after `turn`."""
        self._put(variable, self.weights.take(name, shape), name, turn)

    def finish(self, *ignore: str) -> None:
        """Check that every array was placed; `ignore` are patterns of names that may be left."""
        self.weights.finish(ignore)

    def _normalized(self, layer: Any, turned: _Turned, name: str) -> None:
        turned = self._with_columns(turned, name)
        kernel = self.weights.kernel(name, turned.foreign)
        names = {
            "weight_g": (f"{name}.weight_v", f"{name}.weight_g"),
            "parametrization": (f"{name}.parametrizations.weight.original1", f"{name}.parametrizations.weight.original0"),
        }
        direction, scale = names.get(kernel.form, ("", ""))
        self._put(layer.layer.kernel, kernel.direction, direction, turned.turn)
        self._put(layer.scale, kernel.scale, scale, np.ravel, (len(kernel.scale), *[1] * (len(turned.foreign) - 1)))

    def _spectral(self, layer: Any, turned: _Turned, name: str) -> None:
        spectral = self.weights.spectral(name, turned.foreign)
        self._put(layer.layer.kernel, spectral.kernel, f"{name}.weight_orig", turned.turn)
        self.placement.put(layer.vector, spectral.vector)

    def _with_columns(self, turned: _Turned, name: str) -> _Turned:
        """Two-dimensional kernels [out, in, taps, 1] over columns are one-dimensional ones here (multi-period discriminators)."""
        for kernel in _KERNELS:
            shape = self.weights.arrays.shapes.get(f"{name}.{kernel}")
            if shape is not None:
                return turned.with_column() if len(shape) == len(turned.foreign) + 1 == 4 else turned
        return turned

    def _put(self, variable: Any, array: np.ndarray, parameter: str, turn: Turn = np.asarray, shape: tuple[int, ...] | None = None) -> None:
        slots = self.moments.of_parameter(self.prefix + parameter, shape or array.shape) if self.moments and parameter else {}
        turned = {slot: np.ascontiguousarray(turn(one), np.float32) for slot, one in slots.items()}
        self.placement.put(variable, np.ascontiguousarray(turn(array), np.float32), turned)


@dataclass(frozen=True)
class _Turned:
    """A Keras kernel's shape as PyTorch has it, and the way back."""

    foreign: tuple[int, ...]
    turn: Turn

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Turned:
        axes = _KERNEL_AXES[len(shape)]
        foreign = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
        return cls(foreign, lambda kernel: kernel.transpose(axes))

    def with_column(self) -> _Turned:
        return _Turned((*self.foreign, 1), lambda kernel: self.turn(kernel[..., 0]))


def weighted_layers(network: Any, class_name: str) -> list[Any]:
    """List a network's layers of one class in the order in which they were made.

    `network.layers` is ordered by depth, so that parallel branches come interleaved. Names that Keras gives count up instead.

    Args:
        network: A functional model.
        class_name: Of the layers, such as "WeightNormalization".
    """
    return sorted((layer for layer in network.layers if type(layer).__name__ == class_name), key=_count)


def _count(layer: Any) -> int:
    digits = re.search(r"_(\d+)$", layer.name)
    return int(digits[1]) if digits else 0


def _is_parameter(name: str, part: ForeignArrays) -> bool:
    spectral_vector = name.endswith(".weight_v") and f"{name[: -len('.weight_v')]}.weight_orig" in part
    return not spectral_vector and not _BUFFERS.search(name)
