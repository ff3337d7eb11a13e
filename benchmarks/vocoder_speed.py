"""Real-time factors of every generator on one thread, beside the same architecture in PyTorch.

    python benchmarks/vocoder_speed.py [--seconds 8] [--repeats 5] [-o speed.json] [NAME ...]

Each is used as `gan-audio vocode` uses it: in pieces with overlap, kernels folded, after one call that builds it. Its double in
PyTorch (`torch_vocoders.py`, a process of its own, inference mode) makes pieces of the same lengths. Both run in turn; the figure is
the least processor time of the repetitions for a second of sound, so that another load on the machine counts little, and the ratio is
PyTorch's time over ours: above 1 we are faster. Weights are the first ones; they do not matter for the time. Their numbers are compared.
Without torch our own figures stand alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.registry import family_class
from gansynth_cli.families.vocoder import VocoderFamily
from gansynth_cli.inference.vocode.stream import GriffinLimVocoder, MelToAudio, NetworkVocoder, vocode_blocks
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal import pqmf

_V3 = (
    "model.channels=256",
    "model.upsample=[8, 8, 4]",
    "model.upsample_kernels=[16, 16, 8]",
    "model.block=2",
    "model.kernels=[3, 5, 7]",
    "model.dilations=[[1, 2], [2, 6], [3, 12]]",
)
_BANDS = ("model.channels=384", "model.upsample=[8, 4, 2]", "model.dilations=[1, 3, 9, 27]", "model.bands=4")
GENERATORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "melgan": ("melgan/base", ()),
    "multi-band-melgan": ("melgan/base", _BANDS),
    "hifigan-v1": ("hifigan/base", ()),
    "hifigan-v2": ("hifigan/base", ("model.channels=128",)),
    "hifigan-v3": ("hifigan/base", _V3),
    "vocos": ("vocos/base", ()),
    "melgan-small": ("melgan/small", ()),
    "hifigan-small": ("hifigan/small", ()),
    "vocos-small": ("vocos/small", ()),
}
_SIZES = {
    "melgan": ("channels", "upsample", "dilations", "bands"),
    "hifigan": ("channels", "upsample", "upsample_kernels", "block", "kernels", "dilations"),
    "vocos": ("channels", "hidden", "blocks", "prior", "most_magnitude"),
}


def family_of(name: str) -> VocoderFamily:
    recipe, changes = GENERATORS[name]
    loaded = load_recipe(recipe, ["model.discriminators=[]", "losses.mel_l1=1.0", *changes])
    info = DatasetInfo("none", loaded.data.sample_rate, 1, loaded.data.clip_samples, [], {})
    return family_class(loaded.family)(loaded, info)


def vocoder_of(name: str) -> NetworkVocoder:
    """A generator with its first weights, folded."""
    family = family_of(name)
    return NetworkVocoder(family.inference_model(family.networks).folded(), Path(name), "")


class TorchProcess:
    """`torch_vocoders.py`, one answer a line."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("torch_vocoders.py")
        self.process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()["torch"]

    def ask(self, **question) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def build(self, family: VocoderFamily) -> int:
        """Builds the double of a generator; its number of weights."""
        model = family.recipe.model
        sizes = {key: getattr(model, key) for key in _SIZES[family.recipe.family]}
        return self.ask(kind=family.recipe.family, **sizes, mel=asdict(family.convention), filter_taps=2 * pqmf.REACH + 1)["weights"]

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the PyTorch process ended; its message is above")
        return json.loads(line)


class Noting:
    """A vocoder that notes the lengths of its pieces."""

    def __init__(self, vocoder: MelToAudio):
        self.vocoder, self.frames = vocoder, []
        self.convention, self.overlap, self.name, self.sha256 = vocoder.convention, vocoder.overlap, vocoder.name, vocoder.sha256

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        self.frames.append(len(mel))
        return self.vocoder(mel)


def measure(name: str, seconds: float, repeats: int, torch: TorchProcess | None) -> dict:
    """The figures of one generator."""
    family = family_of("vocos-small" if name == "griffin-lim" else name)
    network = NetworkVocoder(family.inference_model(family.networks).folded(), Path(name), "")
    griffin = name == "griffin-lim"
    vocoder: MelToAudio = GriffinLimVocoder(network.convention) if griffin else network
    c = vocoder.convention
    row = {"name": name, "sample_rate": c.sample_rate, "weights": 0 if griffin else network.model.count_params()}
    if torch is not None and not griffin:
        theirs = torch.build(family)
        if theirs != row["weights"]:
            raise SystemExit(f"{name}: {row['weights']} weights here and {theirs} in PyTorch: not the same architecture")
    noting = Noting(vocoder)
    mel = np.random.default_rng(0).uniform(c.lowest, 0.0, (int(seconds * c.sample_rate / c.hop), c.bands)).astype(np.float32)
    ours, others = [], []
    for _ in range(repeats + 1):
        noting.frames.clear()
        started = time.process_time()
        made = sum(len(piece) for piece in vocode_blocks([mel], noting if not griffin else vocoder))
        ours.append((time.process_time() - started) * c.sample_rate / made)
        if torch is not None and not griffin:
            answer = torch.ask(frames=noting.frames)
            if answer["samples"] != sum(noting.frames) * c.hop:
                raise SystemExit(f"{name}: PyTorch made {answer['samples']} samples of {sum(noting.frames)} frames")
            others.append(answer["seconds"] * c.sample_rate / made)
    row["rtf"] = min(ours[1:])
    if others:
        row["rtf_torch"] = min(others[1:])
        row["ratio"] = row["rtf_torch"] / row["rtf"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(GENERATORS)}, griffin-lim; all by default")
    parser.add_argument("--seconds", type=float, default=8.0, help="of sound in each repetition")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, help="write the figures there too, as JSON")
    options = parser.parse_args()
    names = options.names or [*GENERATORS, "griffin-lim"]
    if unknown := [name for name in names if name not in GENERATORS and name != "griffin-lim"]:
        parser.error(f"there is no generator {unknown[0]}; expected some of {', '.join(GENERATORS)}, griffin-lim")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch = TorchProcess() if find_spec("torch") else None
    print(f"tensorflow {tf.__version__}, {f'torch {torch.version}' if torch else 'no torch'}, one thread")
    print(f"{'generator':18} {'weights':>8} {'Hz':>6} {'RTF':>8} {'x real time':>12} {'RTF torch':>10} {'ratio':>6}")
    rows = []
    for name in names:
        row = measure(name, options.seconds, options.repeats, torch)
        rows.append(row)
        weights = f"{row['weights'] / 1e6:.2f} M" if row["weights"] else ""
        other = f"{row['rtf_torch']:10.4f} {row['ratio']:6.2f}" if "ratio" in row else ""
        print(f"{name:18} {weights:>8} {row['sample_rate']:6} {row['rtf']:8.4f} {1 / row['rtf']:12.1f} {other}", flush=True)
    if options.output:
        facts = {"tensorflow": tf.__version__, "torch": torch.version if torch else None, "threads": 1, "seconds": options.seconds}
        options.output.write_text(json.dumps({**facts, "generators": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
