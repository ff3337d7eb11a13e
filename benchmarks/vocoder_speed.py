"""Real-time factors of every generator on one thread: seconds of processor time for a second of sound, kernels folded.

    python benchmarks/vocoder_speed.py [--seconds 4] [--repeats 3] [NAME ...]

Each is used as `gan-audio generate --from` uses it, in pieces with overlap, after one call that builds it. Weights are the first ones: they
do not matter for the time. Processor time, the least of the repetitions, so that another load on the machine counts little.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path

import numpy as np
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.families.registry import family_class
from gansynth_cli.inference.vocode import GriffinLimVocoder, NetworkVocoder, vocode_blocks
from gansynth_cli.recipe import load_recipe

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


def vocoder_of(name: str) -> NetworkVocoder:
    """A generator with its first weights, folded."""
    recipe, changes = GENERATORS[name]
    loaded = load_recipe(recipe, ["model.discriminators=[]", "losses.mel_l1=1.0", *changes])
    info = DatasetInfo("none", loaded.data.sample_rate, 1, loaded.data.clip_samples, [], {})
    family = family_class(loaded.family)(loaded, info)
    return NetworkVocoder(family.inference_model(family.networks).folded(), Path(name), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(GENERATORS)}; all by default")
    parser.add_argument("--seconds", type=float, default=4.0, help="of sound in each repetition")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(f"{'generator':20} {'weights':>9} {'Hz':>6} {'RTF':>8} {'x real time':>12}")
    for name in options.names or [*GENERATORS, "griffin-lim"]:
        network = vocoder_of("vocos-small" if name == "griffin-lim" else name)
        vocoder = GriffinLimVocoder(network.convention) if name == "griffin-lim" else network
        weights = "" if name == "griffin-lim" else f"{network.model.count_params() / 1e6:.2f} M"
        c = vocoder.convention
        frames = int(options.seconds * c.sample_rate / c.hop)
        mel = np.random.default_rng(0).uniform(c.lowest, 0.0, (frames, c.bands)).astype(np.float32)
        times = []
        for _ in range(options.repeats + 1):
            started = time.process_time()
            made = sum(len(piece) for piece in vocode_blocks([mel], vocoder))
            times.append((time.process_time() - started) * c.sample_rate / made)
        rtf = min(times[1:])
        print(f"{name:20} {weights:>9} {c.sample_rate:6} {rtf:8.4f} {1 / rtf:12.1f}", flush=True)


if __name__ == "__main__":
    main()
