"""`gan-audio evaluate`: a sub-command for each kind of input, and one that defines the figures."""

from __future__ import annotations

import typer

from ..help import CommandGroup
from . import clips, figures, notes, pairs, vocoders, voices
from .old_spelling import refuse_old_spelling


class _Evaluate(CommandGroup):
    def parse_args(self, ctx, args):
        refuse_old_spelling(args, list(self.commands))
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Evaluate,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Measure generated clips or notes against a data set, recordings against their references, vocoders, or converted voices.",
)
for module in (clips, notes, pairs, vocoders, voices, figures):
    app.command(module.__name__.rpartition(".")[2])(module.command)
