"""Variables of TensorFlow 1 checkpoints into Keras's, with the slots of Adam and RMSProp."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.foreign import Assignment, ForeignArrays
from .published import Placement

Turn = Callable[[np.ndarray], np.ndarray]

# Keras's slot -> what TensorFlow 1 appends to the variable's name. RMSProp's second slot is the momentum, which the authors did not use.
_SLOTS = {
    "adam": {"momentum": "Adam", "velocity": "Adam_1"},
    "rmsprop": {"velocity": "RMSProp"},
}
_UNUSED = ("*/RMSProp_1", "*beta1_power*", "*beta2_power*", "global_step")
_MIN_POWER = 1e-30  # a smaller power of beta has lost its precision in float32, or has become 0
DEFAULT_BETA_2 = 0.999  # of TensorFlow's AdamOptimizer


class TensorFlowWeights:
    """Places the variables of a checkpoint.

    Args:
        arrays: The checkpoint.
        placement: Where arrays are gathered.
        optimizer: "adam" or "rmsprop", whose slots are placed too; "": no slots.
        slot_prefix: Put before the variable's name in the names of its slots.
    """

    def __init__(self, arrays: ForeignArrays, placement: Placement, optimizer: str = "", slot_prefix: str = ""):
        self.weights, self.placement = Assignment(arrays), placement
        self.slots, self.slot_prefix = _SLOTS.get(optimizer, {}), slot_prefix

    def layer(self, layer: Any, name: str, bias: str | None = None, turn: Turn = np.asarray, shape: Sequence[int] = ()) -> None:
        """Place `NAME/kernel` and the bias of a Keras layer.

        Args:
            layer: It has a `kernel` and perhaps a `bias`.
            name: Scope of the kernel.
            bias: Name of the bias, if it is not `NAME/bias`.
            turn: Kernel of the checkpoint -> kernel of Keras.
            shape: Shape of the checkpoint's kernel, if it is not that of Keras.
        """
        self.put(layer.kernel, f"{name}/kernel", turn, shape)
        if getattr(layer, "bias", None) is not None:
            self.put(layer.bias, bias or f"{name}/bias")

    def put(self, variable: Any, name: str, turn: Turn = np.asarray, shape: Sequence[int] = ()) -> None:
        """Place one variable with its slots; see `layer`.

        Raises:
            ForeignFileError: It is missing, of another shape, or not finite.
        """
        wanted = tuple(shape or variable.shape)
        array = self.weights.take(name, wanted)
        slots = {}
        for slot, suffix in self.slots.items():
            entry = f"{self.slot_prefix}{name}/{suffix}"
            if self.weights.has(entry):
                slots[slot] = _float(turn(self.weights.take(entry, wanted)))
        self.placement.put(variable, _float(turn(array)), slots if len(slots) == len(self.slots) else None)

    def constant(self, variable: Any, value: float) -> None:
        """Place a constant where the checkpoint's network has no variable."""
        self.placement.put(variable, np.full(variable.shape, value, np.float32))

    def normalization(self, layer: Any, name: str) -> None:
        """Place a BatchNormalization layer."""
        for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
            self.put(variable, f"{name}/{variable.name}")

    def finish(self, *ignore: str) -> None:
        """Check that nothing is left over but the optimisers' own variables and what the patterns `ignore` match."""
        self.weights.finish((*_UNUSED, *ignore, *self._ignored_slots()))

    def _ignored_slots(self) -> list[str]:
        return [] if self.slots else ["*/Adam", "*/Adam_1", "*/RMSProp"]


def _float(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def optimizer_of(arrays: ForeignArrays, variable: str) -> str:
    """Tell by a variable's slots what trained it: "adam", "rmsprop", or "" where the checkpoint has none."""
    return next((name for name, slots in _SLOTS.items() if f"{variable}/{slots['velocity']}" in arrays), "")


def updates_of(arrays: ForeignArrays, power: str, beta: float, otherwise: int) -> int:
    """Work out how many updates an Adam optimiser has made.

    Args:
        arrays: The checkpoint.
        power: Name of the variable that holds beta to the power of one more than the updates.
        beta: Its base.
        otherwise: The number where the power is missing or has underflowed.
    """
    if power not in arrays or arrays.shapes[power] != ():
        return otherwise
    value = float(arrays[power])
    if not _MIN_POWER < value < 1.0:
        return otherwise
    return max(0, round(math.log(value) / math.log(beta)) - 1)


def step_of(arrays: ForeignArrays) -> int:
    """The checkpoint's global_step; 0 if it has none."""
    return max(0, int(arrays.facts.get("step", 0)))


def overrides_optimizers(settings: Mapping[str, Any]) -> bool:
    """Whether the user asks for another optimiser, whose state would not be that of the checkpoint's."""
    return any(key.startswith("optimizers.") and key.endswith(".name") for key in settings)
