"""Checkpoints in the authors' layouts with drawn weights, of any size, written without the authors' programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .foreign_files import Tensor, torch_legacy, torch_zip

HIFIGAN_CONFIG = {
    "resblock": "1",
    "upsample_rates": [8, 4],
    "upsample_kernel_sizes": [16, 8],
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3], [1, 2]],
    "segment_size": 2048,
    "num_mels": 20,
    "n_fft": 256,
    "hop_size": 32,
    "win_size": 128,
    "sampling_rate": 8000,
    "fmin": 0,
    "fmax": 3000,
    "fmax_for_loss": None,
    "learning_rate": 0.0003,
    "adam_b1": 0.8,
    "adam_b2": 0.99,
    "lr_decay": 0.999,
    "batch_size": 4,
}


def drawn(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers that keep a signal alive through a layer."""
    fan_in = int(np.prod(shape[1:])) or 1
    return rng.normal(0, 1.3 / np.sqrt(fan_in) if len(shape) > 1 else 0.1, shape).astype(np.float32)


def weight_normed(name: str, shape: tuple[int, ...], rng: np.random.Generator, bias: int | None = None) -> dict[str, np.ndarray]:
    """The three arrays of a layer under `torch.nn.utils.weight_norm`."""
    v = drawn(shape, rng)
    norms = np.sqrt(np.square(v).sum(axis=tuple(range(1, len(shape))), keepdims=True))
    return {
        f"{name}.bias": drawn((bias or shape[0],), rng),
        f"{name}.weight_g": norms * rng.uniform(0.7, 1.3, norms.shape).astype(np.float32),
        f"{name}.weight_v": v,
    }


def hifigan_generator(config: Mapping[str, Any] = HIFIGAN_CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict of the authors' generator under weight normalisation."""
    rng = np.random.default_rng(seed)
    width = config["upsample_initial_channel"]
    state = weight_normed("conv_pre", (width, config["num_mels"], 7), rng)
    blocks: dict[str, np.ndarray] = {}
    for stage, kernel in enumerate(config["upsample_kernel_sizes"]):
        state |= weight_normed(f"ups.{stage}", (width, width // 2, kernel), rng, bias=width // 2)
        width //= 2
        for branch, (taps, dilations) in enumerate(zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True)):
            block = f"resblocks.{stage * len(config['resblock_kernel_sizes']) + branch}"
            for kind in ("convs1", "convs2") if config["resblock"] == "1" else ("convs",):
                for place in range(len(dilations)):
                    blocks |= weight_normed(f"{block}.{kind}.{place}", (width, width, taps), rng)
    return state | blocks | weight_normed("conv_post", (1, width, 7), rng)


def tensors(state: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: Tensor(np.ascontiguousarray(array)) for name, array in state.items()}


def write_hifigan(
    folder: Path,
    state: Mapping[str, np.ndarray] | None = None,
    config: Mapping[str, Any] | None = HIFIGAN_CONFIG,
    save: Callable[[Path, Any], Path] = torch_legacy,
) -> Path:
    """`g_00001000` and `config.json`, as the authors' train.py leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return save(folder / "g_00001000", {"generator": tensors(hifigan_generator() if state is None else state)})


__all__ = ["HIFIGAN_CONFIG", "drawn", "hifigan_generator", "tensors", "torch_zip", "weight_normed", "write_hifigan"]
