"""Recipes: TOML files that define a training. Read, merged, checked and written back without TensorFlow.

In order of precedence, lowest first: schema defaults < the chain of `extends` < the recipe itself < `--set KEY=VALUE`.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import tomli_w

from .errors import RecipeError
from .recipe_schema import FAMILIES, PLUGINS, Optimizer, Recipe

_PACKAGED = Path(__file__).parent / "_recipes"  # their place in the wheel
_CHECKOUT = Path(__file__).parent.parent / "recipes"


def recipes_folder() -> Path:
    """Return the folder of the recipes that ship with gan-audio."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def shipped_recipes() -> list[str]:
    """Return the sorted names of the shipped recipes, such as `wavegan/small`."""
    root = recipes_folder()
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.glob("*/*.toml"))


def find_recipe(name: str) -> Path:
    """Find the file of a recipe: a path to a .toml file, `family/size`, or `family` for `family/base`.

    Raises:
        RecipeError: There is no such recipe; the message lists the nearest shipped names.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if path.is_file():
            return path
        raise RecipeError(f"The recipe file {name} does not exist.", hint="gan-audio recipes list")
    for candidate in (name, f"{name}/base"):
        path = recipes_folder() / f"{candidate}.toml"
        if path.is_file():
            return path
    names = shipped_recipes()
    known = names if "/" in name else sorted({recipe.partition("/")[0] for recipe in names})
    raise RecipeError(f"There is no recipe named {name!r}.{_nearest(name, known)}", hint="gan-audio recipes list")


def load_recipe(name: str, overrides: Iterable[str] = (), earlier: Path | None = None) -> Recipe:
    """Read, merge and check a recipe.

    Args:
        name: As for `find_recipe`.
        overrides: Settings `dotted.key=value`; the value is parsed as TOML, or else taken as a string.
        earlier: Resolved recipe of the run to resume. Keys that it lacks, because the version that wrote it did not have them, keep
            their defaults, with which the run began, whatever the shipped recipe states today.

    Raises:
        RecipeError: Unknown key, wrong type, value out of range, or a file that is not TOML.
    """
    path, settings = find_recipe(name), list(overrides)
    tree = _read_tree(path)
    if earlier is not None:
        tree = _stated(tree, _parse(earlier))
    tree["name"] = _recipe_name(path)
    source = str(path)
    if settings and _is_valid(tree, ()):  # then a failure comes from the settings
        wrong = [text for index, text in enumerate(settings) if _is_valid(tree, settings[:index] + settings[index + 1 :])]
        source = "--set " + " ".join(wrong or settings)
    return recipe_from_tree(_with_settings(tree, settings), source=source)


def _with_settings(tree: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    changed = copy.deepcopy(dict(tree))
    for text in settings:
        _apply_override(changed, text)
    return changed


def _is_valid(tree: Mapping[str, Any], settings: Iterable[str]) -> bool:
    try:
        recipe_from_tree(_with_settings(tree, settings))
    except RecipeError:
        return False
    return True


def parse_settings(overrides: Iterable[str]) -> dict[str, Any]:
    """Parse settings `dotted.key=value` without a recipe: dotted key to value.

    Raises:
        RecipeError: One has another form.
    """
    tree: dict[str, Any] = {}
    for text in overrides:
        _apply_override(tree, text)
    return flatten(tree)


def recipe_from_tree(tree: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Check a merged tree of tables and convert it to a frozen recipe."""
    tree = dict(tree)
    tree.pop("extends", None)
    family = tree.get("family")
    if isinstance(family, str) and family in PLUGINS and PLUGINS[family].problem:
        plugin = PLUGINS[family]
        raise RecipeError(
            f"{source}: the family {family} of {plugin.distribution} cannot be used: {plugin.problem}.",
            hint=f"update or remove the plug-in: pip install --upgrade {plugin.distribution.split()[0]}",
        )
    if not isinstance(family, str) or family not in FAMILIES:
        raise RecipeError(
            f"{source}: family is {family!r}; expected one of {', '.join(sorted(FAMILIES))}.{_nearest(str(family), FAMILIES)}",
            hint="gan-audio recipes list",
        )
    schema = FAMILIES[family]
    for key in ("model", "losses", "optimizers"):
        if not isinstance(tree.get(key, {}), Mapping):
            raise RecipeError(f"{source}: {key} is {tree[key]!r}; expected a table, [{key}].")
    _check_keys(tree, Recipe, "", source, {"model": schema.model, "losses": schema.losses}, schema.optimizers)
    model = _convert(tree.pop("model", {}), schema.model, "model", source)
    losses = _convert(tree.pop("losses", {}), schema.losses, "losses", source)
    optimizers = tree.pop("optimizers", {})
    converted = {key: _convert(optimizers.get(key, {}), Optimizer, f"optimizers.{key}", source) for key in schema.optimizers}
    recipe = _convert(tree, Recipe, "", source)
    return dataclasses.replace(recipe, model=model, losses=losses, optimizers=converted)


def recipe_to_tree(recipe: Recipe) -> dict[str, Any]:
    """Convert a recipe to plain tables with all defaults written out, the inverse of `recipe_from_tree`."""
    return dataclasses.asdict(recipe)


def recipe_to_toml(recipe: Recipe) -> str:
    """Format the resolved recipe as TOML, as stored in run folders."""
    return tomli_w.dumps(recipe_to_tree(recipe))


def recipe_from_toml(path: Path) -> Recipe:
    """Read a resolved recipe, as stored in run folders."""
    return recipe_from_tree(_parse(path), source=str(path))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a tree to dotted keys: `{"data": {"channels": 1}}` gives `{"data.channels": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def diff_recipes(left: Recipe, right: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys in which two recipes differ, with both values; None where a recipe lacks the key."""
    a, b = flatten(recipe_to_tree(left)), flatten(recipe_to_tree(right))
    ignored = {"name", "title"}
    return {k: (a.get(k), b.get(k)) for k in sorted({*a, *b} - ignored) if a.get(k) != b.get(k)}


def _recipe_name(path: Path) -> str:
    try:
        return path.resolve().relative_to(recipes_folder().resolve()).with_suffix("").as_posix()
    except ValueError:
        return path.stem


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.") from error


def _read_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise RecipeError(f"{path}: circular extends: {' -> '.join(p.name for p in seen)}.")
    tree = _parse(path)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise RecipeError(f"{path}: extends is {parent!r}; expected the name or path of a recipe.")
    sibling = path.parent / parent
    parent_path = sibling if parent.endswith(".toml") and sibling.is_file() else find_recipe(parent)
    base = _read_tree(parent_path, (*seen, path.resolve()))
    base.pop("title", None)
    return _merge(base, tree)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
    return base


def _stated(tree: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a tree whose keys an earlier one has too."""
    kept = {key: value for key, value in tree.items() if key in earlier}
    return {key: _stated(value, earlier[key]) if isinstance(value, Mapping) else value for key, value in kept.items()}


def _apply_override(tree: dict[str, Any], text: str) -> None:
    key, separator, raw = text.partition("=")
    key = key.strip()
    if not separator or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key):
        raise RecipeError(f"--set {text!r} is not KEY=VALUE.", hint="for example --set training.steps=1000")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    *tables, leaf = key.split(".")
    node = tree
    for table in tables:
        child = node.setdefault(table, {})
        if not isinstance(child, dict):
            raise RecipeError(f"--set {key}: {table} is a value, not a table.")
        node = child
    node[leaf] = value


def _check_keys(
    tree: Mapping[str, Any],
    schema: type,
    prefix: str,
    source: str,
    replaced: Mapping[str, type] | None = None,
    optimizers: tuple[str, ...] = (),
) -> None:
    hints = get_type_hints(schema)
    for key, value in tree.items():
        dotted = prefix + key
        if key not in hints:
            known = [prefix + name for name in hints]
            raise RecipeError(
                f"{source}: there is no key {dotted!r}.{_nearest(dotted, known)}", hint="gan-audio recipes show --resolved NAME"
            )
        kind: Any = (replaced or {}).get(key, hints[key])
        if dotted == "optimizers":
            _require_table(value, dotted, source)
            for name, table in value.items():
                if name not in optimizers:
                    raise RecipeError(f"{source}: there is no optimizer {name!r}; this family has {', '.join(optimizers)}.")
                _require_table(table, f"optimizers.{name}", source)
                _check_keys(table, Optimizer, f"optimizers.{name}.", source)
        elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
            _require_table(value, dotted, source)
            _check_keys(value, kind, f"{dotted}.", source)


def _require_table(value: Any, dotted: str, source: str) -> None:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{source}: {dotted} is {value!r}; expected a table [{dotted}].")


def _convert(tree: Any, schema: type, prefix: str, source: str) -> Any:
    try:
        return msgspec.convert(tree, schema)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$")
        key = (prefix + where.rstrip("`")).lstrip(".")
        value = _lookup(tree, where.rstrip("`"))
        choices = _choices(schema, where.rstrip("`"))
        if choices:
            reason = f"expected one of {', '.join(choices)}"
        else:
            reason = reason[0].lower() + reason[1:]
        raise RecipeError(
            f"{source}: {key} is {value!r}: {reason}.{_nearest(str(value), choices)}",
            hint=f"gan-audio recipes explain {key.partition('[')[0]}",
        ) from error


def _lookup(tree: Any, where: str) -> Any:
    """Return the value at a path such as `.segments[0][1]`; None where there is none."""
    for part in re.findall(r"[^.\[\]]+", where):
        if isinstance(tree, list) and part.isdigit():
            tree = tree[int(part)] if int(part) < len(tree) else None
        else:
            tree = tree[part] if isinstance(tree, Mapping) and part in tree else None
    return tree


def _choices(schema: Any, where: str) -> list[str]:
    for part in filter(None, where.split(".")):
        schema = get_type_hints(schema).get(part) if dataclasses.is_dataclass(schema) else None
    return [str(v) for v in get_args(schema)] if get_origin(schema) is not None and str(get_origin(schema)).endswith("Literal") else []


def _nearest(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""
