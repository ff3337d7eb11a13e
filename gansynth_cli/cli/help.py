"""Help pages of all commands in one plain form: options in sections, flags without a type, defaults shown; suggestions for typing errors.

typer draws help with rich, which shows flags as `<bool>`, takes a quarter of a second to load, and looks unlike a command group's page.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError

_TYPE = re.compile(r"<(?:list\[)?(\w+)[^>]*>")
_NAMES = {"int": "N", "float": "X", "str": "TEXT", "path": "PATH", "Path": "PATH", "file": "FILE"}
_TEXT_DEFAULT = re.compile(r"default: \((.*?)\)(?=[];])")  # typer sets a default that is given as text in parentheses


class PlainCommand(TyperCommand):
    """A command whose options are listed by their panel."""

    def collect_usage_pieces(self, ctx):
        pieces = [self.options_metavar or "[OPTIONS]"]
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                name = parameter.metavar or parameter.name.upper()
                name += "..." if parameter.nargs == -1 and not name.endswith("...") else ""
                pieces.append(name if parameter.required or name.startswith("[") else f"[{name}]")
        return pieces

    def format_options(self, ctx, formatter):
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                panel = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else "Options")
                shown = (parameter.metavar, record[1]) if argument and parameter.metavar else record
                sections.setdefault(panel, []).append(_readable(shown))
        general = sections.pop("Options")
        for title, records in [*sections.items(), ("Options", general)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class CommandGroup(TyperGroup):
    """A group of commands; one that does not exist gets a suggestion."""

    def command_lines(self, ctx: Any) -> list[tuple[str, str]]:
        """Return (name, line of help) of every command."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, command.get_short_help_str(200)) for name, command in commands if command is not None and not command.hidden]

    def format_options(self, ctx, formatter):
        records = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx)]
        for title, lines in (("Commands", self.command_lines(ctx)), ("Options", [_readable(record) for record in records if record])):
            with formatter.section(title):
                formatter.write_dl(lines)

    def resolve_command(self, ctx, args):
        known = self.list_commands(ctx)
        if args[0].startswith("-") or args[0] in known:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(args[0], known, n=1, cutoff=0.5)
        hint = f"did you mean {ctx.command_path} {near[0]}?" if near else f"{ctx.command_path} --help lists the commands"
        raise UsageError(f"{ctx.command_path} has no command {args[0]!r}.", hint=hint)


def plain(app: typer.Typer) -> Any:
    """Return the command of a Typer application with plain help pages, also of its sub-commands."""
    app.pretty_exceptions_enable, app.rich_markup_mode = False, None
    if not isinstance(app.info.cls, type):  # a placeholder for the default
        app.info.cls = CommandGroup
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = PlainCommand
    return typer.main.get_command(app)


def _readable(record: tuple[str, str]) -> tuple[str, str]:
    options, text = record
    return _TYPE.sub(lambda found: _NAMES.get(found[1], found[1].upper()), options), _TEXT_DEFAULT.sub(r"default: \1", text)
