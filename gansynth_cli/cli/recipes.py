"""`gan-audio recipes`: list, show, explain, compare, copy and check recipes, without TensorFlow."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from .. import __version__
from ..errors import GanAudioError, RecipeError, UsageError
from ..files import json_text, write_text
from ..recipe import diff_recipes, find_recipe, load_recipe, recipe_to_toml, recipes_folder, shipped_recipes
from ..recipe_schema import Recipe
from . import console

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="List, show, explain, compare, check and copy recipes.",
)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_EXTENDS = re.compile(r"""^(\s*extends\s*=\s*)(["'])(.*?)\2""", re.MULTILINE)


@app.command("list")
def list_recipes(json_output: bool = _JSON) -> None:
    """List the recipes that ship with gan-audio."""
    console.configure(json_output=json_output)
    recipes = [load_recipe(name) for name in shipped_recipes()]
    if json_output:
        console.result({"recipes": [{"name": recipe.name, "family": recipe.family, "title": recipe.title} for recipe in recipes]})
        return
    _rows(("recipe", "title"), [(recipe.name, recipe.title) for recipe in recipes])


@app.command("show")
def show(
    name: str = typer.Argument(..., metavar="NAME", help="A recipe's name, a .toml file, or a run folder."),
    resolved: bool = typer.Option(False, "--resolved", help="Resolve `extends` and print every default."),
    overrides: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a key, as in `train`; prints the resolved recipe."),
) -> None:
    """Print a recipe as TOML."""
    console.configure()
    if resolved or overrides:
        console.data(recipe_to_toml(_load(name, overrides)).rstrip("\n"))
        return
    file = _file(name)
    _load(name)  # refuses a file that is no recipe
    console.data(file.read_text(encoding="utf-8").rstrip("\n"))


@app.command("diff")
def diff(
    left: str = typer.Argument(..., metavar="A", help="A recipe's name, a .toml file, or a run folder."),
    right: str = typer.Argument(..., metavar="B"),
    json_output: bool = _JSON,
) -> None:
    """Show the keys in which two recipes differ, defaults included."""
    console.configure(json_output=json_output)
    changed = diff_recipes(_load(left), _load(right))
    if json_output:
        console.result({key: list(values) for key, values in changed.items()})
    elif changed:
        _rows(("key", left, right), [(key, _text(a), _text(b)) for key, (a, b) in changed.items()])
    else:
        console.say(f"{left} and {right} have the same values.")


@app.command("explain")
def explain(
    key: str = typer.Argument(..., metavar="KEY", help="A key such as adversarial.r1, its last part, or a table such as data.augment."),
    json_output: bool = _JSON,
) -> None:
    """Explain a key of recipes: type, default, meaning, and which recipes change it."""
    from .recipe_keys import explain as explained

    console.configure(json_output=json_output)
    found = explained(key)
    if json_output:
        console.result({"keys": [vars(one) for one in found]})
        return
    for number, one in enumerate(found):
        by_value: dict[str, list[str]] = {}
        for recipe, value in one.recipes.items():
            by_value.setdefault(_text(value), []).append(recipe)
        changed = "; ".join(f"{value} in {', '.join(recipes)}" for value, recipes in by_value.items())
        entries = {
            "": one.comment,
            "type": one.type,
            "default": _text(one.default),
            "families": ", ".join(one.families),
            "changed": changed or "by no shipped recipe",
        }
        console.data(f"{chr(10) if number else ''}{one.key}")
        for name, entry in entries.items():
            if entry:
                console.paragraph(entry, f"  {name:<10}" if name else "  ")
    if len({one.table for one in found}) == 1:
        console.data("")
        console.data(found[0].table)


@app.command("schema")
def schema(
    output: Path | None = typer.Option(None, "--output", "-o", metavar="FILE.json", help="Write it to a file."),
) -> None:
    """Print the JSON Schema of recipes, for editors: completion, comments and errors while typing.

    Write it beside your recipes, and begin each with the line: #:schema ./recipe.schema.json
    """
    console.configure()
    from .recipe_json_schema import recipe_json_schema

    text = json_text(recipe_json_schema())
    if output is None:
        console.data(text.rstrip())
        return
    try:
        write_text(output, text)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}.", hint="choose another file with -o") from error
    console.say(f"{output} is written. First line of a recipe beside it: #:schema ./{output.name}")


@app.command("copy")
def copy(
    name: str = typer.Argument(..., metavar="NAME", help="A recipe's name or a .toml file."),
    destination: Path = typer.Argument(..., metavar="DEST", help="A new .toml file, or a folder for it."),
) -> None:
    """Copy a recipe with its comments, to change it and pass it to `train --recipe DEST`."""
    console.configure()
    source = _file(name)
    original = load_recipe(str(source))
    if destination.is_dir():
        destination = destination / (
            source.stem + ".toml" if source.parent.parent != recipes_folder() else f"{source.parent.name}-{source.stem}.toml"
        )
    if destination.suffix != ".toml":
        raise UsageError(f"{destination} is neither a folder nor a .toml file.", hint=f"gan-audio recipes copy {name} {destination}.toml")
    text = source.read_text(encoding="utf-8")
    text = _EXTENDS.sub(lambda found: f'{found[1]}"{_parent(found[3], source, destination)}"', text, count=1)
    text = f"# A copy of {original.name} of gan-audio {__version__}.\n#\n{text}"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with destination.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{destination} exists already.", hint="choose another name, or delete it first") from error
    except OSError as error:
        raise GanAudioError(f"{destination} cannot be written: {error.strerror or error}.") from error
    console.say(f"{destination}: a copy of {original.name}. Change it, then: gan-audio train --recipe {destination} --data DATA --run RUN")


@app.command("validate")
def validate(
    names: list[str] = typer.Argument(..., metavar="FILE...", help=".toml files, recipes' names, or run folders."),
    json_output: bool = _JSON,
) -> None:
    """Check keys, types and ranges of recipes. All are checked; exit code 2 if any is wrong."""
    console.configure(json_output=json_output)
    outcome: dict[str, str | None] = {}
    for name in names:
        try:
            _load(name)
            outcome[name] = None
            if not json_output:
                console.data(f"{name}: ok")
        except GanAudioError as failure:
            outcome[name] = failure.message
            console.error(failure)
    console.result({"recipes": [{"name": name, "ok": reason is None, "error": reason} for name, reason in outcome.items()]})
    wrong = [name for name, reason in outcome.items() if reason is not None]
    if wrong:
        raise RecipeError(f"{len(wrong)} of {len(outcome)} recipes cannot be used: {', '.join(wrong)}.")


def _load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    return load_recipe(str(_file(name)), overrides)


def _file(name: str) -> Path:
    """Find the file of a recipe by name, path or run folder. A folder is a run only if no shipped recipe has its name."""
    if Path(name).is_dir() and name not in {part for shipped in shipped_recipes() for part in (shipped, shipped.partition("/")[0])}:
        from ..run_folder import RunFolder

        return RunFolder.load(Path(name)).recipe_file
    return find_recipe(name)


def _parent(parent: str, source: Path, destination: Path) -> str:
    """The value of `extends` in a copy elsewhere: the shipped recipe's name, or the path to a neighbour of the source."""
    sibling = source.parent / parent
    if not (parent.endswith(".toml") and sibling.is_file()):
        return parent
    try:
        return sibling.resolve().relative_to(recipes_folder().resolve()).with_suffix("").as_posix()
    except ValueError:
        return Path(os.path.relpath(sibling, destination.parent)).as_posix()


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal; into a pipe, a line per row with tabs, never folded."""
    if sys.stdout.isatty():
        console.table("", columns, rows, to_stdout=True)
        return
    for row in rows:
        console.data("\t".join(row))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, (bool, tuple)) or value == "" else str(value)  # as --set takes it
