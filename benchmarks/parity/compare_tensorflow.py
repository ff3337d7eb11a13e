"""Compares WaveGAN, SpecGAN, GANSynth and SEGAN with what `authors_tensorflow.py` stored; a table on stderr, JSON on stdout.

python benchmarks/parity/compare_tensorflow.py tests/data/parity
python benchmarks/parity/compare_tensorflow.py FULL        # what `authors_tensorflow.py --full -o FULL` stored: the published sizes
python benchmarks/parity/compare_tensorflow.py FULL --before    # GANSynth with the values that it had before it was built to the letter
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import test_parity_tensorflow as parity

BEFORE = ("model.mel_bank=even", "model.output_gain=he", "model.stddev_epsilon=1e-8", "losses.penalty_space=normalized")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=Path)
    parser.add_argument("--before", action="store_true")
    options = parser.parse_args()
    families = {"wavegan": parity.wavegan, "specgan": parity.specgan, "gansynth": parity.gansynth, "segan": parity.segan}
    if options.before:
        families = {"gansynth": parity.gansynth}
        parity.import_ = lambda source, run: _import(source, run)
    found = {}
    for path in sorted(options.references.glob("*.npz")):
        family = path.stem.partition("-")[0]
        if family not in families or (options.before and path.stem == "gansynth-mel"):
            continue
        compare = parity.gansynth_mel if path.stem == "gansynth-mel" else families[family]
        with tempfile.TemporaryDirectory() as folder:
            found[path.stem] = compare(parity.Reference(path.stem, options.references), Path(folder))
        for what, difference in found[path.stem].items():
            print(f"{path.stem:20} {what:45} {difference:.1e}", file=sys.stderr)
    print(json.dumps(found))


def _import(source: Path, run: Path) -> parity.RunFolder:
    from gansynth_cli.cli.app import main as command

    settings = [part for setting in BEFORE for part in ("--set", setting)]
    if command(["import", str(source), "-o", str(run), "-q", *settings]):
        raise SystemExit(1)
    return parity.RunFolder.load(run)


if __name__ == "__main__":
    main()
