"""Explain the keys of recipes from the source of their schema: type, default, comment, and the shipped recipes that state another value."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from ..errors import RecipeError
from ..recipe import flatten, load_recipe, recipe_to_tree, shipped_recipes
from ..recipe_schema import FAMILIES, Optimizer, Recipe

_PLAIN = {int: "integer", float: "number", str: "text", bool: "true or false"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class Key:
    """A key of a recipe.

    Attributes:
        key: Dotted name.
        type: Type and range in words.
        default: Value where no recipe states one.
        comment: The schema's comment; may be empty.
        table: Docstring of the table.
        families: Families that have the key; empty: all of them.
        recipes: Shipped recipe -> its value, where that is not the default.
    """

    key: str
    type: str
    default: Any
    comment: str
    table: str
    families: tuple[str, ...] = ()
    recipes: dict[str, Any] = field(default_factory=dict)


def explain(wanted: str) -> list[Key]:
    """Return the keys that a name stands for: one, or one for each meaning that families give it, with the recipes that change it.

    Args:
        wanted: Dotted key, its last part, or a table for all of its keys.

    Raises:
        RecipeError: There is none; the message lists the nearest.
    """
    known = list(all_keys())
    found = [key for key in known if key.key == wanted] or [key for key in known if f".{key.key}".endswith(f".{wanted}")]
    found = found or [key for key in known if key.key.startswith(f"{wanted}.")]
    if not found:
        names = {key.key: key.key for key in known}
        names |= {key.key.rpartition(".")[2]: key.key for key in known if key.key not in names or "." not in wanted}
        near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
        suggestion = f" Did you mean {names[near[0]]!r}?" if near else ""
        raise RecipeError(f"No recipe has a key {wanted!r}.{suggestion}", hint="gan-audio recipes show --resolved wavegan lists the keys")
    values = _shipped_values()
    return [dataclasses.replace(key, recipes=_changes(key, values)) for key in found]


def all_keys() -> Iterator[Key]:
    """Yield every key; those of `[model]` and `[losses]` once for each table that defines them."""
    yield from _keys_of(Recipe, "")
    names = sorted({name for schema in FAMILIES.values() for name in schema.optimizers})
    for name in names:
        families = tuple(family for family, schema in FAMILIES.items() if name in schema.optimizers)
        yield from _keys_of(Optimizer, f"optimizers.{name}.", families)
    for table in ("model", "losses"):
        merged: dict[tuple[str, str, str, str], Key] = {}
        for family, schema in FAMILIES.items():
            for key in _keys_of(getattr(schema, table), f"{table}.", (family,)):
                same = (key.key, key.type, repr(key.default), key.comment)
                merged[same] = dataclasses.replace(key, families=(*merged[same].families, family)) if same in merged else key
        yield from merged.values()


def _keys_of(table: type, prefix: str, families: tuple[str, ...] = ()) -> Iterator[Key]:
    hints = get_type_hints(table, include_extras=True)
    for part in dataclasses.fields(table):
        dotted = prefix + part.name
        if dotted in ("model", "losses", "optimizers", "name", "title"):  # tables of a family; not settings
            continue
        default = part.default_factory() if part.default_factory is not dataclasses.MISSING else part.default
        if dataclasses.is_dataclass(default):
            yield from _keys_of(type(default), f"{dotted}.", families)
            continue
        default = None if default is dataclasses.MISSING else default
        yield Key(dotted, type_in_words(hints[part.name]), default, _comment(table, part.name), inspect.getdoc(table) or "", families)


def type_in_words(hint: Any) -> str:
    """Return a type of the schema in words: `Annotated[int, Meta(ge=1)]` gives "integer, at least 1"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [
            f"{word} {getattr(meta, name):g}"
            for meta in arguments[1:]
            if isinstance(meta, Meta)
            for name, word in _BOUNDS.items()
            if getattr(meta, name) is not None
        ]
        return ", ".join([type_in_words(arguments[0]), *bounds])
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_in_words(argument) for argument in arguments)
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return f"list of ({type_in_words(arguments[0])})"
    if origin is tuple:
        return f"list of {len(arguments)}: " + "; ".join(type_in_words(argument) for argument in arguments)
    return _PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def _comment(table: type, name: str) -> str:
    """The comment behind a field, or else the lines of comment above it."""
    owner = next(parent for parent in table.__mro__ if name in inspect.get_annotations(parent))
    return _comments(owner).get(name, "")


@cache
def _comments(table: type) -> dict[str, str]:
    try:
        text = inspect.cleandoc("\n" + inspect.getsource(table))
    except OSError:  # without sources, as in a frozen application
        return {}
    lines = text.split("\n")
    comments = {}
    for node in ast.parse(text).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno is not None:
            behind = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
            above: list[str] = []
            for line in reversed(lines[: node.lineno - 1]):
                if not line.strip().startswith("#"):
                    break
                above.insert(0, line)
            comments[node.target.id] = " ".join(line.strip().lstrip("# ") for line in ([behind] if behind else above)).rstrip(",")
    return comments


@cache
def _shipped_values() -> dict[str, tuple[str, dict[str, Any]]]:
    """Shipped recipe -> its family and its values by dotted key."""
    recipes = [load_recipe(name) for name in shipped_recipes()]
    return {recipe.name: (recipe.family, flatten(recipe_to_tree(recipe))) for recipe in recipes}


def _changes(key: Key, shipped: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        name: values[key.key]
        for name, (family, values) in shipped.items()
        if (not key.families or family in key.families) and key.key in values and values[key.key] != key.default
    }
