"""What reaches the terminal: data and messages apart, warnings whole above a progress bar, and a bar that fits 80 columns."""

from __future__ import annotations

import io
import json
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from gansynth_cli.cli import console
from gansynth_cli.errors import UsageError


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    """A terminal of 80 columns on stderr; what is drawn on it, control sequences included."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=screen, stdout=sys.stdout, modules=sys.modules))
    make = lambda stderr=True: Console(file=screen, force_terminal=True, width=80, highlight=False, soft_wrap=True, _environ={})
    monkeypatch.setattr(console, "_rich", make)
    console.configure()
    return screen


def lines(screen: io.StringIO) -> list[str]:
    """The lines drawn, without colours and cursor movements."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_a_warning_is_whole_above_the_bar(terminal):
    with console.progress("Training", 300, "steps") as bar:
        bar.advance(24, "loss 0.1")
        console.warn("the file [a/b].wav is damaged")
        console.say("step 24: preview")
        bar.advance(276, "loss 0.2")
    drawn = lines(terminal)
    assert "warning: the file [a/b].wav is damaged" in drawn
    assert "step 24: preview" in drawn
    assert any("300/300 steps" in line and "steps/s" in line for line in drawn)
    console.warn("after the bar")
    assert lines(terminal)[-1] == "warning: after the bar"


def test_a_long_note_gives_way_to_bar_count_and_time(terminal):
    note = "  ".join(f"critic/loss_{index} 0.{index}" for index in range(30))
    with console.progress("Training", 1000, "steps") as bar:
        bar.advance(170, note)
        bar._show()
    drawn = [line for line in lines(terminal) if line.startswith("Training")]
    assert all(len(line) <= 80 for line in drawn)
    assert any("170/1000 steps" in line and "steps/s" in line for line in drawn)


def test_counts_are_short_and_a_bar_is_filled(terminal):
    with console.progress("Enhancing", 31.02, "s of audio") as bar:
        bar.advance(15.6609)
        assert bar.count() == "15.7/31 s of audio"
        bar.fill()
    assert any("31/31 s of audio" in line for line in lines(terminal))
    assert console.Progress("Training", 1_000_000, "steps").count() == "0/1000000 steps"


def test_unknown_totals_count_up(terminal):
    with console.progress("Searching", None, "steps") as bar:
        bar.advance(7)
    assert any("7 steps" in line for line in lines(terminal))


def test_quiet_keeps_warnings_and_errors_alone(capsys):
    console.configure(quiet=True)
    try:
        console.say("nothing")
        with console.progress("Working", 3, "files") as bar:
            bar.advance()
        console.warn("something")
        console.error(UsageError("wrong.", hint="right"))
        console.result({"a": 1})
    finally:
        console.configure()
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == "warning: something\nerror: wrong.\n\nhint: right\n"


def test_json_goes_to_stdout_alone(capsys):
    console.configure(json_output=True)
    try:
        console.say("a message")
        console.result({"a": "ü"})
    finally:
        console.configure()
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {"a": "ü"}
    assert streams.err == "a message\n"
