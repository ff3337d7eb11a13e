"""The JSON Schema of recipe files, for editors: names, types, ranges, defaults and comments of every key, by family."""

from __future__ import annotations

from typing import Any

import msgspec

from ..recipe_schema import FAMILIES, Adversarial, Data, Optimizer, Recipe, Training
from .recipe_keys import all_keys

DRAFT = "http://json-schema.org/draft-07/schema#"
_REFERENCE = "#/definitions/{name}"


def recipe_json_schema() -> dict[str, Any]:
    """Build the schema of a recipe file, which may state any part of a recipe and `extends` another one.

    Tables take no other keys than their own. `[model]`, `[losses]` and the names of `[optimizers.NAME]` depend on `family`; a file that
    takes its family from the recipe that it extends has them unchecked.
    """
    tables = {f"{family}.{part}": getattr(schema, part) for family, schema in FAMILIES.items() for part in ("model", "losses")}
    types = list(dict.fromkeys([Data, Adversarial, Optimizer, Training, *tables.values()]))
    references, definitions = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    place = dict(zip(types, references, strict=True))
    for name, definition in definitions.items():
        definitions[name] = _table(definition)
    _add_comments(definitions, {**{part: place[kind] for part, kind in _COMMON.items()}, **{key: place[t] for key, t in tables.items()}})
    conditions = [
        {
            "if": {"properties": {"family": {"const": family}}, "required": ["family"]},
            "then": {
                "properties": {
                    "model": place[schema.model],
                    "losses": place[schema.losses],
                    "optimizers": {"properties": dict.fromkeys(schema.optimizers, place[Optimizer]), "additionalProperties": False},
                }
            },
        }
        for family, schema in FAMILIES.items()
    ]
    return {
        "$schema": DRAFT,
        "title": "Recipe of gan-audio",
        "description": (Recipe.__doc__ or "").strip(),
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "extends": {"type": "string", "description": "Another recipe: a file beside this one, or a shipped recipe."},
            "family": {"enum": sorted(FAMILIES), "description": "Family of models."},
            "name": {"type": "string"},
            "title": {"type": "string", "description": "One line for `recipes list`."},
            "seed": {"type": "integer", "description": "Seed of weights, batches and latents."},
            **{part: place[kind] for part, kind in _COMMON.items()},
            **{part: {"type": "object"} for part in ("model", "losses", "optimizers")},
        },
        "allOf": conditions,
        "definitions": definitions,
    }


_COMMON = {"data": Data, "adversarial": Adversarial, "training": Training}


def _table(definition: dict[str, Any]) -> dict[str, Any]:
    """A recipe states a part of a table, and nothing else."""
    definition = _as_draft_7(definition)
    if definition.get("type") != "object":
        return definition
    return {key: value for key, value in definition.items() if key != "required"} | {"additionalProperties": False}


def _as_draft_7(part: Any) -> Any:
    """Write tuples as editors' validators know them: `items` as a list, in place of the `prefixItems` of later drafts."""
    if isinstance(part, list):
        return [_as_draft_7(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {key: _as_draft_7(value) for key, value in part.items()}
    if "prefixItems" in made:
        made["items"], made["additionalItems"] = made.pop("prefixItems"), False
    return made


def _add_comments(definitions: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
    """Write the comments of the schema's source as descriptions of the keys."""
    for key in all_keys():
        table, _, name = key.key.rpartition(".")
        first, _, inner = table.partition(".")
        owners = [f"{family}.{first}" for family in key.families] if first in ("model", "losses") else [first]
        for owner in owners:
            found = definitions.get(tables[owner]["$ref"].rpartition("/")[2]) if owner in tables else None
            for part in inner.split(".") if inner else ():
                reference = str((found or {}).get("properties", {}).get(part, {}))
                found = next((definitions[n] for n in definitions if f"/{n}'" in reference), None)
            if found and key.comment and name in found.get("properties", {}):
                found["properties"][name].setdefault("description", key.comment)
