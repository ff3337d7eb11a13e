"""`gan-audio report`: one page to listen to and compare runs, folders of clips and before/after pairs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..errors import EXIT_OK, UsageError
from . import console

_BOUNDS = "Limits"


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Runs, folders of clips, recordings, reports of evaluate (-o FILE.json)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Headline.", show_default="the names of the paths")] = "",
    clips: Annotated[int, typer.Option("--clips", help="Maximum number of rows.", min=1, rich_help_panel=_BOUNDS)] = 24,
    seconds: Annotated[float, typer.Option("--seconds", help="Longer recordings are cut to X s.", rich_help_panel=_BOUNDS)] = 15.0,
    megabytes: Annotated[float, typer.Option("--megabytes", help="Maximum size of sounds and pictures.", rich_help_panel=_BOUNDS)] = 20.0,
    mushra: Annotated[
        Path | None, typer.Option("--mushra", metavar="FOLDER", help="Also write a listening test for webMUSHRA (folders of clips only).")
    ] = None,
    reference: Annotated[
        str, typer.Option("--reference", metavar="NAME", help="With --mushra: folder that is the reference.", show_default="the first")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print what the page holds as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")] = False,
) -> int:
    """Write a page of one file, without links outside, about any set of runs and recordings.

    Recordings of one name below several folders stand side by side, brought to one level, with spectrograms, a blind test, and keys to
    switch between them. Runs add their previews, settings, curves and figures. A damaged path is named on the page; the rest is shown.
    """
    console.configure(quiet=quiet, json_output=json_output)
    for name, value in (("seconds", seconds), ("megabytes", megabytes)):
        if not value > 0:
            raise UsageError(f"--{name} is {value:g}; expected a number above 0.")
    if output.is_dir():
        raise UsageError(f"-o is {output}, a folder; expected the name of a .html file.", hint=f"-o {output / 'report.html'}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists.", hint="--overwrite replaces it, or choose another name with -o")
    if reference and mushra is None:
        raise UsageError("--reference has an effect with --mushra only.")
    from ..inference.report.page import write_report

    with ExitStack() as stack:
        bar: list[console.Progress] = []

        def advance(done: int, total: int) -> None:
            if not bar:
                bar.append(stack.enter_context(console.progress("Reading", total, "rows")))
            bar[0].advance(done - bar[0].done)

        page = write_report(paths, output, title=title, clips=clips, seconds=seconds, megabytes=megabytes, advance=advance)
    for path, reason in page.contents.problems:
        console.warn(f"{path}: {reason}")
    for note in page.notes:
        console.say(note)
    result = {
        "page": str(output),
        "bytes": output.stat().st_size,
        "runs": [run.name for run in page.contents.runs],
        "systems": [system.name for system in page.contents.systems],
        "items": len(page.items),
        "left_out": page.left_out,
        "problems": page.contents.problems,
    }
    console.say(f"{output}: {len(page.items)} rows, {output.stat().st_size / 1e6:.1f} MB")
    if mushra is not None:
        from ..inference.report.mushra import write_mushra

        systems = page.contents.systems
        shared = write_mushra(systems, reference or (systems[0].name if systems else ""), mushra, items=clips)
        result["mushra"] = str(mushra)
        console.say(f"{mushra}: {len(shared)} items; copy it to webMUSHRA's configs/ and open index.html?config={mushra.name}/config.yaml")
    console.result(result)
    return EXIT_OK
