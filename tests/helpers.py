"""What tests of several subjects share: the command line, noise, trees of files, weights that have moved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.data.corpora.labelling import Labelled, label_sources
from gansynth_cli.data.corpora.source_file import LabelOptions


def run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    """Run the command line; return its exit code, stdout and stderr."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Return float32 `shape`, N(0, 1)."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def disturb(*networks, seed: int = 3, deviation: float = 0.05) -> None:
    """Move every weight a little, so that what starts at zero or one takes part."""
    rng = np.random.default_rng(seed)
    for network in networks:
        for variable in network.trainable_variables:
            variable.assign_add(rng.normal(0.0, deviation, variable.shape).astype(np.float32))


def tree(root: Path, *names: str) -> Path:
    """Write files that are not audio, for tests that decode nothing."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not decoded here")
    return root


def labelled(roots: Path | Iterable[Path], **options) -> Labelled:
    """Label the recordings below some folders; keyword arguments are `LabelOptions`."""
    return label_sources(find_audio([roots] if isinstance(roots, Path) else list(roots)), LabelOptions(**options))
