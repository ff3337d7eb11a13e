"""`gan-audio evaluate figures`: the definition of every figure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer

from ...errors import UsageError
from .. import console
from ..options import with_options
from .reporting import Reporting, terminal_width


@with_options(Reporting, without=("output", "overwrite", "quiet"))
def command(
    kind: Annotated[str, typer.Argument(metavar="[clips|notes|pairs|vocoders|voices]", help="A sub-command.", show_default="all")] = "",
    *,
    report: Reporting,
) -> None:
    """Define every figure: its meaning, convention and source, its unit, range and direction."""
    report.start()
    from ...metrics import definitions

    kinds = definitions.KINDS
    if kind and kind not in kinds:
        close = get_close_matches(kind, kinds, 1)
        raise UsageError(
            f"There are no figures of {kind!r}; expected one of {', '.join(kinds)}.", hint=f"did you mean {close[0]}?" if close else None
        )
    chosen_figures = kinds[kind] if kind else tuple(figure for name in kinds if name != "vocoders" for figure in kinds[name])
    if report.chosen == "json":
        console.result({"figures": [definitions.facts(figure) for figure in chosen_figures]})
    elif report.chosen == "table":
        console.data(definitions.as_text(chosen_figures, terminal_width()))
    else:
        console.data(definitions.as_csv(chosen_figures) if report.chosen == "csv" else definitions.as_markdown(chosen_figures))
