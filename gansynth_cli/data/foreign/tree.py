"""From what a pickle holds to plain nested dicts and lists, and from those to arrays by name."""

from __future__ import annotations

from typing import Any

from .contents import LazyArray
from .pickle_data import Global, OddKey, Opaque, PickleDamage
from .pickle_names import NumpyArray
from .problems import shown

MAX_DEPTH = 100  # a module of a module ... in TorchScript takes two levels each; published networks stay below 20
MAX_NODES = 1_000_000  # lists that hold each other many times over multiply without end
_SCALARS = frozenset({bool, int, float, complex, str, bytes, bytearray})
SCRIPT = "__torch__"  # where TorchScript keeps the classes of its modules


def plain(value: Any) -> Any:
    """Convert the result of `read_pickle` to dicts, lists, tuples, scalars and `LazyArray`s.

    The modules of a TorchScript archive become dicts of their attributes. An object of another unknown class becomes what it holds
    (a dict, a list or None) without its arrays: whatever that class would have done with them is not known.

    Raises:
        PickleDamage: It is nested more than `MAX_DEPTH` deep or contains itself, or has more than `MAX_NODES` parts.
    """
    return _Converter().convert(value, 0, True)


class _Converter:
    def __init__(self) -> None:
        self.nodes = 0

    def convert(self, value: Any, depth: int, arrays: bool) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise PickleDamage("what it holds is nested too deeply or contains itself")
        if self.nodes > MAX_NODES:
            raise PickleDamage(f"what it holds has more than {MAX_NODES} parts")
        if value is None or type(value) in _SCALARS:
            return value
        if isinstance(value, NumpyArray):
            return value.lazy() if arrays else None
        if isinstance(value, LazyArray):
            return value if arrays else None
        if isinstance(value, dict):
            return {_key(key): self.convert(part, depth + 1, arrays) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.convert(part, depth + 1, arrays) for part in value)
        if isinstance(value, Opaque):
            return self.convert(_held(value), depth + 1, arrays and is_script(value))
        return str(value) if isinstance(value, Global) else None


def is_script(value: Any) -> bool:
    """Tell whether `value` is an object of a TorchScript class."""
    return isinstance(value, Opaque) and (value.name.module == SCRIPT or value.name.module.startswith(f"{SCRIPT}."))


def _held(value: Opaque) -> Any:
    for held in (value.entries, value.elements):
        if held:
            return held
    state = value.state
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict):  # (__dict__, __slots__)
        return state[0]
    return state if isinstance(state, (dict, list, tuple)) else None


def _key(key: Any) -> Any:
    if isinstance(key, Global):
        return str(key)
    if isinstance(key, OddKey):
        inner = key.value
        simple = isinstance(inner, tuple) and len(inner) <= 8 and all(isinstance(part, (str, bool, float)) for part in inner)
        return ",".join(map(str, inner)) if simple else str(inner) if isinstance(inner, float) else f"({type(inner).__name__})"
    return key


def arrays_in(tree: Any) -> dict[str, LazyArray]:
    """Find the arrays in what `plain` gave: names are the keys and positions on the way, joined by dots; a single array is "array".

    Raises:
        PickleDamage: Two of them have one name.
    """
    found: dict[str, LazyArray] = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, LazyArray):
            if name in found:
                raise PickleDamage(f"it holds two arrays of the name {shown(name)}")
            found[name or "array"] = value
        elif isinstance(value, (dict, list, tuple)):
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.extend(reversed([(f"{name}.{key}" if name else f"{key}", part) for key, part in parts]))
    return found
