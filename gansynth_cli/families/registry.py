"""Families by name. A family lives in the file of its name, which is imported when it is asked for: TensorFlow loads then."""

from __future__ import annotations

from importlib import import_module

from ..errors import RecipeError
from ..recipe_schema import FAMILIES, PLUGINS


def family_class(name: str) -> type:
    """The class of a family, to be constructed as `family_class(name)(recipe, info, seed=recipe.seed)`.

    Each module `families/<name>/family.py` defines `FAMILY = ItsClass`.

    Raises:
        RecipeError: No family has that name.
    """
    if name not in FAMILIES:
        raise RecipeError(f"There is no family {name!r}; expected one of {', '.join(sorted(FAMILIES))}.", hint="gan-audio recipes list")
    if name in PLUGINS:
        plugin = PLUGINS[name]
        try:
            return import_module(f"{plugin.package}.family").FAMILY
        except Exception as error:  # whatever a stranger's module raises
            raise RecipeError(f"The family {name} of {plugin.distribution} cannot be loaded: {type(error).__name__}: {error}.") from error
    return import_module(f".{name}.family", package=__package__).FAMILY
