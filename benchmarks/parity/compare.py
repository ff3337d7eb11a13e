"""Compares this package's vocoders with what `authors.py` stored, and prints a table and JSON. From the root of the repository:

    python benchmarks/parity/compare.py tests/data/parity
    python benchmarks/parity/compare.py FULL          # what `authors.py --full -o FULL` stored: the published sizes

Each case goes through a file in the authors' format and `gan-audio import`, as the tests do it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from tests import test_parity


class _Patch:
    """What the tests take from pytest, without undoing it: each family here is used once."""

    @staticmethod
    def setattr(owner: Any, name: str, value: Any) -> None:
        setattr(owner, name, value)


def compare(name: str, folder: Path) -> dict[str, float]:
    """The largest difference of the audio relative to its peak, and of each loss relative to itself."""
    reference = test_parity.Reference(name)
    run = test_parity.import_(test_parity.write_case(reference, folder / name), folder / f"{name}-run")
    mel = reference.mel(**test_parity.levels_of(name))
    made = np.asarray(test_parity.find_model(run.path).load()(mel))[0, :, 0]
    expected = reference.arrays["audio"].reshape(-1)
    found = {"audio": float(np.abs(made[: len(expected)] - expected).max() / np.abs(expected).max())}
    if any(key.startswith("logits/") for key in reference.arrays):
        family = test_parity.restored(run)
        judged = family.networks["critic"](test_parity.pair()[1], training=False)
        for kind, (logits, _) in judged.items():
            ours = np.concatenate([np.sort(np.asarray(part).reshape(-1)) for part in logits])
            theirs = reference.arrays[f"logits/{kind}"]
            found[f"logits {kind}"] = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        losses = test_parity.losses(family, _Patch) if "losses" in reference.facts else {}  # type: ignore[arg-type]
        for key, expected_loss in reference.facts.get("losses", {}).items():
            expected_loss *= test_parity.scale_of(name, key)
            found[f"loss {key}"] = abs(losses[key] - expected_loss) / abs(expected_loss)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    options = parser.parse_args()
    test_parity.FOLDER = options.references
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(options.references.glob("*.npz")):
            if file.stem.startswith(("wavegan", "specgan", "gansynth", "segan")):  # see compare_tensorflow.py
                continue
            results[file.stem] = compare(file.stem, Path(folder))
            print(f"{file.stem:30s}" + "  ".join(f"{key} {value:.1e}" for key, value in results[file.stem].items()), file=sys.stderr)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
