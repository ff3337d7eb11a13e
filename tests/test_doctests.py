"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import gansynth_cli

PACKAGE = Path(gansynth_cli.__file__).parent
MODULES = sorted(
    ".".join(["gansynth_cli", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples():
    assert len(MODULES) >= 5


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str):
    tested = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert tested.attempted
    assert not tested.failed
