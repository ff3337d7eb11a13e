"""Check the configuration of a model file before Keras builds anything from it, and bound what building and running it may take.

A `.keras` file may come from anywhere. Keras's safe mode refuses stored Python code, but not a transform of 9e18 samples (which
hangs), a layer of 128 GiB (which ends the process), or a class name that leads into another part of Keras. No TensorFlow here, but for
`weights_within` and `check_sizes`, which work on a model that Keras builds or has built.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MAX_INTEGER = 2**31  # of sizes that have no limit of their own; above every legitimate one
MAX_DEPTH = 100  # of nested tables; the deepest family has 14
MAX_VALUES = 1 << 26  # float32 of one example between two layers: 256 MiB
# Largest value by the key's name: an order of magnitude above the largest that a published model of this field has.
LIMITS = {
    "sample_rate": 768_000,
    **dict.fromkeys(("fft", "window", "hop"), 1 << 17),
    **dict.fromkeys(("bands", "mel_bands", "bins", "rows"), 1 << 14),
    **dict.fromkeys(("frames", "chunk_frames", "receptive_frames", "stride_frames", "context", "past_frames"), 1 << 20),
    **dict.fromkeys(("samples", "clip_samples"), 1 << 26),
    **dict.fromkeys(("units", "filters", "width", "widths", "channels", "dim", "latent_dim", "labels", "latent_shape"), 1 << 17),
    **dict.fromkeys(("kernel_size", "stride", "strides", "dilation", "dilation_rate", "padding", "output_padding", "groups"), 1 << 17),
    **dict.fromkeys(("iterations", "griffin_lim_iterations", "mel_iterations", "rounds"), 10_000),
    **dict.fromkeys(("layers", "blocks", "shared_blocks", "added_blocks"), 1000),
}
_ANY = ("seed", "latent_seed", "shared_object_id", "provenance")  # numbers under these keys are never sizes
_KERAS = ("keras", "builtins", "keras.layers", "keras.initializers", "keras.activations", "keras.dtype_policies", "keras.models")
# Keras layers that run stored code or read files which the configuration names.
_REFUSED = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup", "IntegerLookup", "TextVectorization"}
_SIZES = ("sample_rate", "fft", "window", "hop", "bands", "mel_bands", "frames", "samples", "clip_samples")  # must be at least 1


class ConfigError(ValueError):
    """A configuration that no model of gan-audio has; the message completes "FILE cannot be loaded: "."""


def check_config(config: Mapping[str, Any], registered: Container[str]) -> None:
    """Check the content of `config.json`: numbers finite, bounded and consistent with each other, classes known.

    Args:
        config: A serialized Keras object: class_name, config, module, registered_name.
        registered: Names of the registered classes, such as "gan_audio>Vocoder".

    Raises:
        ConfigError: Names the layer, the key and the value.
    """
    pending: list[tuple[Any, str, str, int]] = [(config, "", "", 0)]  # value, its key, the class it belongs to, depth
    while pending:
        value, key, owner, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ConfigError(f"its tables are nested more than {MAX_DEPTH} deep")
        if isinstance(value, Mapping):
            if "class_name" in value and "config" in value:
                owner = str(value["class_name"])
                _check_class(value, owner, registered)
            _check_transform(value, owner)
            pending += [(item, name, owner, depth + 1) for name, item in value.items() if name not in _ANY]
        elif isinstance(value, list):
            pending += [(item, key, owner, depth + 1) for item in value]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check_number(value, key, owner)


def _check_class(value: Mapping[str, Any], name: str, registered: Container[str]) -> None:
    module, registered_name = value.get("module"), value.get("registered_name")
    if name in _REFUSED:
        raise ConfigError(f"it has a layer {name}, which runs code or reads other files")
    if registered_name is not None and str(registered_name) in registered:
        return
    if str(registered_name).startswith("gan_audio>"):
        raise ConfigError(f"it has a layer {name} that this version does not know")
    if module is not None and str(module) not in _KERAS and not str(module).startswith(("keras.src.models.", "keras.src.ops.")):
        raise ConfigError(f"its layer {name} comes from {module}, which is neither Keras nor gan-audio")


def _check_number(value: float, key: str, owner: str) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"{owner}.{key} is {value}; expected a finite number")
    limit = LIMITS.get(key, MAX_INTEGER)
    if abs(value) > limit:
        raise ConfigError(f"{owner}.{key} is {value:g}; expected at most {limit:,}")


def _check_transform(table: Mapping[str, Any], owner: str) -> None:
    """Check the sizes of one table against each other: hop <= window <= fft, bands <= fft."""
    found = {key: table[key] for key in _SIZES if isinstance(table.get(key), (int, float)) and not isinstance(table.get(key), bool)}
    for key, value in found.items():
        _check_number(value, key, owner)
        # A normalisation window of 0 is the whole clip, and 0 mel bands are linear bins.
        if value < 1 and not (key in ("window", "mel_bands") and value == 0):
            raise ConfigError(f"{owner}.{key} is {value:g}; expected at least 1")
    for small, large in (("hop", "fft"), ("window", "fft"), ("hop", "window"), ("bands", "fft"), ("mel_bands", "fft")):
        if small in found and found.get(large, 0) and found[small] > found[large]:
            raise ConfigError(f"{owner}.{small} is {found[small]:g}, but {large} is {found[large]:g}")


@contextmanager
def weights_within(stored_bytes: int) -> Iterator[None]:
    """Refuse layers that claim more weights than a file can hold, before their memory is allocated.

    Args:
        stored_bytes: Size of the stored weights, each of which takes more than a byte.

    Raises:
        ConfigError: On leaving or within the block.
    """
    import keras

    add_weight, claimed = keras.layers.Layer.add_weight, 0

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal claimed
        shape = options.get("shape", arguments[0] if arguments else ())
        claimed += math.prod(int(size) for size in shape or ())
        if claimed > stored_bytes:
            raise ConfigError(f"its layers claim more weights than the {stored_bytes:,} bytes of weights in the file (at {self.name})")
        return add_weight(self, *arguments, **options)

    keras.layers.Layer.add_weight = counted  # every layer, ours and Keras's, creates its weights through this method
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight


def check_sizes(model: Any) -> None:
    """Bound the memory of a call: the values of one example between any two layers, as far as their shapes are known.

    Raises:
        ConfigError: Names the layer.
    """
    import keras

    seen: set[int] = set()
    pending = [model]
    while pending:
        layer = pending.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        pending += [part for part in vars(layer).values() if isinstance(part, keras.layers.Layer)]
        pending += list(getattr(layer, "layers", []))
        try:
            outputs = layer.output
        except (AttributeError, ValueError, RuntimeError):  # a layer outside of a functional model has no symbolic output
            continue
        for tensor in outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, (list, tuple)) else [outputs]:
            values = math.prod(size for size in tensor.shape if size is not None)
            if values > MAX_VALUES:
                raise ConfigError(f"its layer {layer.name} gives {values:,} values; expected at most {MAX_VALUES:,}")
