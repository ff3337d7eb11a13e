"""The only code that prints: data on stdout, messages on stderr.

On a terminal progress is a bar with count, rate and time left, elsewhere plain lines; rich honours NO_COLOR.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import GanAudioError
from ..files import json_text

_WAITING_INTERVAL = 30.0  # seconds between the lines of `waiting` in a log
_PLAIN_INTERVAL = 10.0  # seconds between the plain progress lines of a log


class _Settings:
    quiet = False
    json = False
    device_said = False
    live: Any = None  # the console of a progress bar that is shown: lines go through it, above the bar


_settings = _Settings()


def configure(*, quiet: bool = False, json_output: bool = False) -> None:
    """Set what this process prints: `quiet` drops all messages but warnings and errors, `json_output` makes `result` print JSON."""
    _settings.quiet, _settings.json, _settings.device_said = quiet, json_output, False


def wants_json() -> bool:
    """Return whether results are printed as JSON."""
    return _settings.json


def _rich(stderr: bool = True):
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def _message(text: str, label: str = "", style: str = "") -> None:
    if _settings.live is not None:
        from rich.text import Text

        _settings.live.print(Text.assemble((f"{label}: " if label else "", style), text))
        return
    if label:
        _rich().print(f"[{style}]{label}:[/{style}] ", end="")
    print(text, file=sys.stderr, flush=True)


def say(text: str = "") -> None:
    """Print a message on stderr, unless `--quiet` is given."""
    if not _settings.quiet:
        _message(text)


def warn(text: str) -> None:
    """Print a warning on stderr, with `--quiet` too."""
    _message(text, "warning", "yellow")


def data(text: str) -> None:
    """Print a line of data on stdout."""
    print(text, flush=True)


def paragraph(text: str, lead: str = "") -> None:
    """Print a paragraph of data on stdout behind a lead, folded to the terminal; in a pipe on one line."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    folded = textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * len(lead), break_on_hyphens=False)
    data("\n".join(folded))


def raw(content: bytes) -> None:
    """Write bytes to stdout, such as a WAV for the next program of a pipe."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def result(value: dict[str, Any]) -> None:
    """Print the machine-readable result of a command on stdout as one JSON object, if `--json` was given."""
    if _settings.json:
        print(json_text(value, default=str), end="", flush=True)


def start_tensorflow() -> None:
    """Import TensorFlow without its start-up messages (`processes.start_tensorflow`), and say on which device it runs."""
    from .. import processes

    processes.start_tensorflow()
    if not _settings.device_said:
        from ..devices import device_line

        say(device_line())
        _settings.device_said = True


def error(failure: GanAudioError) -> None:
    """Print the message of a failure, a blank line, and the hint."""
    _rich().print("[bold red]error:[/bold red] ", end="")
    print(failure.message, file=sys.stderr)
    if failure.hint:
        print(file=sys.stderr)
        _rich().print("[bold cyan]hint:[/bold cyan] ", end="")
        print(failure.hint, file=sys.stderr)
    sys.stderr.flush()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, to_stdout: bool = False) -> None:
    """Print a table, on stderr unless it is the result of the command."""
    if _settings.quiet and not to_stdout:
        return
    from rich.table import Table
    from rich.text import Text

    view = Table(title=title or None, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        view.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        view.add_row(*(Text(f"{cell:.4g}" if isinstance(cell, float) else str(cell)) for cell in row))
    target = _rich(stderr=not to_stdout)
    if to_stdout and not sys.stdout.isatty():
        target.width = 1000  # a file or a pipe has no edge to fold at: the table takes the width it needs
    target.print(view)


class Progress:
    """The handle that `progress` gives: call `advance` as work is done."""

    def __init__(self, label: str, total: float | None, unit: str):
        self.label, self.total, self.unit = label, total, unit
        self.done, self.note = 0.0, ""

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """Add `amount` finished units; `note` is shown at the end of the line."""
        self.done += amount
        if note is not None:
            self.note = note
        self._show()

    def fill(self) -> None:
        """Show the work as finished, also where parts of it failed or were estimated."""
        self.advance(max(0.0, (self.total or 0) - self.done))

    def count(self) -> str:
        """Return the finished work as it is shown, of the total where there is one."""
        return f"{_number(self.done)}/{_number(self.total)} {self.unit}" if self.total else f"{_number(self.done)} {self.unit}"

    def rate(self, rate: float) -> str:
        """Return the rate as it is shown: nothing where the unit is itself a time, "20x" (of real time) where it is audio."""
        return "" if self.unit == "min" else f"{rate:.3g}x" if self.unit == "s of audio" else f"{rate:.3g} {self.unit}/s"

    def _show(self) -> None: ...


class _PlainProgress(Progress):
    def __init__(self, label, total, unit):
        super().__init__(label, total, unit)
        self.started = self.shown = time.monotonic()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self.shown >= _PLAIN_INTERVAL:
            self.shown = now
            self._line(now)

    def _line(self, now: float) -> None:
        rate = self.done / max(now - self.started, 1e-9)
        text = f"{self.label}: {self.count()}"
        text += f", {self.rate(rate)}" if self.rate(rate) else ""
        text += f", {duration((self.total - self.done) / rate)} left" if self.total and self.done else ""
        say(f"{text}  {self.note}".rstrip())


class _RichProgress(Progress):
    def __init__(self, label, total, unit, view, task):
        super().__init__(label, total, unit)
        self.view, self.task, self.started = view, task, time.monotonic()

    def _show(self) -> None:
        rate = self.done / max(time.monotonic() - self.started, 1e-9)
        self.view.update(self.task, total=self.total, completed=self.done, count=self.count(), rate=self.rate(rate), note=self.note)


@contextmanager
def progress(label: str, total: float | None, unit: str) -> Iterator[Progress]:
    """Show the progress of long work: `with progress("Sharding", 3000, "files") as bar: bar.advance()`."""
    if _settings.quiet:
        yield Progress(label, total, unit)
        return
    if not sys.stderr.isatty():
        bar = _PlainProgress(label, total, unit)
        yield bar
        if time.monotonic() - bar.started >= _PLAIN_INTERVAL:
            bar._line(time.monotonic())
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as View
    from rich.table import Column

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        # The last column gives way on a narrow terminal, not the bar.
        TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    with View(*columns, console=_rich(), expand=True) as view:
        count = Progress(label, total, unit).count() if total else ""
        task = view.add_task(label, total=total, count=count, rate="", note="")
        _settings.live = view.console
        try:
            yield _RichProgress(label, total, unit, view, task)
        finally:
            _settings.live = None


@contextmanager
def waiting(text: str, bar: Progress | None = None) -> Iterator[None]:
    """Show that something without a count goes on: the seconds tick in the bar on a terminal, a line now and then elsewhere.

    Args:
        text: What goes on: "compiling the step" becomes "compiling the step, 12 s".
        bar: A progress bar that is shown.
    """
    begun, ended = time.monotonic(), threading.Event()
    on_terminal = isinstance(bar, _RichProgress)
    if not on_terminal:
        say(f"{text} ...")

    def tick() -> None:
        while not ended.wait(1.0 if on_terminal else _WAITING_INTERVAL):
            line = f"{text}, {duration(time.monotonic() - begun)}"
            if on_terminal and bar is not None:
                bar.advance(0, line)
            else:
                say(line)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _number(value: float) -> str:
    """Round to three digits; numbers of 100 and more and whole ones to units."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a length of time for people: "3 h 05 min", "2 min 07 s", "9 s" or "0.4 s"."""
    if 0 < seconds < 1:
        return f"{seconds:.1f} s"
    seconds = int(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"
