"""The command line as a whole: exit codes, streams apart, and that what is listed is there, documented and run."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gansynth_cli.cli.app import VERBS, main, module_of
from gansynth_cli.families.registry import family_class
from gansynth_cli.recipe import shipped_recipes
from gansynth_cli.recipe_schema import FAMILIES

ROOT = Path(__file__).parent.parent


def test_help_imports_neither_tensorflow_nor_a_verb():
    code = (
        "import sys; from gansynth_cli.cli.app import main; code = main(['--help']);"
        "print(code, [m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'numpy')"
        " or m.startswith('gansynth_cli.cli.') and m.split('.')[-1] not in ('app', 'console', 'help')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_is_in_the_readme(verb: str, capsys: pytest.CaptureFixture):
    module = importlib.import_module(module_of(verb))
    assert hasattr(module, "command") or hasattr(module, "app")
    for option in ("--help", "-h"):
        assert main([verb, option]) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"Usage: gan-audio {verb}")
        assert not re.search(r"<(bool|int|float|str|path|list)", page)
    assert f"gan-audio {verb}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--version"], 0),
        (["nonsense"], 2),
        (["prepare"], 2),
        (["prepare", "no-such-folder", "-o", "data"], 2),
        (["train", "--recipe", "wavgan", "--data", "data"], 2),
        (["train", "--recipe", "wavegan/tiny", "--data", "no-such-data"], 2),
        (["train", "--recipe", "wavegan/tiny", "--set", "model.dimm=3", "--data", "data"], 2),
        (["generate", "no-such-run", "-n", "1", "-o", "clips"], 2),
        (["info", "no-such-file"], 2),
    ],
)
def test_exit_codes(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    streams = capsys.readouterr()
    if code:
        assert streams.out == ""
        assert "rror:" in streams.err
        assert "Traceback" not in streams.err
        assert not list(tmp_path.iterdir())


def test_every_family_has_its_class_and_three_recipes():
    for family in FAMILIES:
        assert {f"{family}/{size}" for size in ("base", "small", "tiny")} <= set(shipped_recipes())
        assert hasattr(family_class(family), "phases")
