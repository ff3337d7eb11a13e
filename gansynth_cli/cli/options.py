"""Options that several commands share: dataclasses whose fields are options, the decorator that gives them to a command, and `--device`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from ..devices import choose_device


def with_options(group: type, *, without: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the fields of a dataclass as options; the command receives one instance of it as its last argument.

    Args:
        group: A dataclass; every field is `Annotated[type, typer.Option(...)]` with a default.
        without: Fields that this command does not have as options; they keep their defaults.

    Example::

        @with_options(ClipOutput)
        def command(model: Path, output: ClipOutput) -> int: ...
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())
        receiver = own.pop().name
        shared = [field for field in fields(group) if field.name not in without]
        types = get_type_hints(group, include_extras=True)

        @functools.wraps(function)
        def command(**values: Any) -> Any:
            chosen = group(**{field.name: values.pop(field.name) for field in shared})
            return function(**values, **{receiver: chosen})

        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        parameters += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
            for field in shared
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def with_device(command: Any) -> Any:
    """Give a command, or every command of a group, the option `--device`, which takes effect before TensorFlow starts."""
    inner = getattr(command, "commands", {})
    for one in inner.values():
        with_device(one)
    if not inner:
        command.params.append(_device_option())
    return command


def _device_option() -> Any:
    """The option, as typer builds it for a command that has no other."""
    single = typer.Typer(add_completion=False)

    @single.command()
    def only(
        device: Annotated[
            str,
            typer.Option(
                "--device",
                metavar="cpu|gpu|gpu:N",
                help="Device that computes.",
                show_default="a GPU where there is one",
                callback=choose_device,
                expose_value=False,
                is_eager=True,
            ),
        ] = "",
    ) -> None: ...

    return typer.main.get_command(single).params[0]
