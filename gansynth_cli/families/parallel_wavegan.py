"""What the checkpoints of kan-bayashi/ParallelWaveGAN have in common, whichever generator they hold. No TensorFlow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.foreign import ForeignArrays, ForeignFileError, read_moments
from ..errors import UsageError
from .published import Placement, Plan, Source, cannot_express, whole_number
from .torch_weights import last_rate

_OLD_CUTOFF, _CUTOFF = 0.15, 0.142  # of the filter bank, up to version 0.4.2 and since


class Checkpoint:
    """`checkpoint-Nsteps.pkl` with `config.yml` and `stats.h5` or `stats.npy` beside it.

    Args:
        source: The file of weights.
        generator_type: The class that the configuration must name.

    Raises:
        UsageError: Configuration or statistics are missing.
        ForeignFileError: The configuration is of another generator.
    """

    def __init__(self, source: Source, generator_type: str):
        config = source.config("config.yml", "config.yaml")
        if config is None:
            raise UsageError(
                f"{source.path} has no config.yml beside it, which says the sizes, the sample rate and the mel spectrogram.",
                hint="put the config.yml of its training beside it, or name it with --config FILE",
            )
        self.source, self.config = source, config
        found = config.get("generator_type", "ParallelWaveGANGenerator")
        if found != generator_type:
            raise cannot_express(source, f"the configuration is of a {found!r}; the weights are of a {generator_type}.")
        params = self._table("generator_params")
        self.generator = {key.replace("kernal", "kernel"): value for key, value in params.items()}
        self.discriminator_type = str(config.get("discriminator_type", ""))
        self.discriminator_params = self._table("discriminator_params")
        names = any(name.startswith("model.discriminator.") for name in source.arrays)
        self.discriminator: ForeignArrays | None = source.arrays.under("model.discriminator") if names else None
        self.mean, self.scale = self._statistics()

    @property
    def path(self) -> Path:
        return self.source.path

    @property
    def step(self) -> int:
        return int(self.source.arrays.facts.get("step", 0))

    @property
    def filter_cutoff(self) -> float:
        """Cut-off of the filter bank that joins the sub-bands, as ParallelWaveGAN's own loader chooses it."""
        own = self._table("pqmf_params")
        if "cutoff_ratio" in own:
            return float(own["cutoff_ratio"])
        version = [int(part) for part in re.findall(r"\d+", str(self.config.get("version", "0.1.0")))[:3]]
        return _OLD_CUTOFF if version <= [0, 4, 2] else _CUTOFF

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number of the configuration."""
        return whole_number(self.config, key, self.path, default)

    def plan(self, recipe: str, changes: Mapping[str, Any], assign: Callable, discriminators: bool) -> Plan:
        """The plan for a run of this checkpoint."""
        left = []
        if self.discriminator is not None and not discriminators:
            left.append(f"{self.discriminator_type}: other strides and kernels than gan-audio's, though some arrays have the same shapes")
        rates = {
            network: rate
            for network, key in (("generator", "generator"), ("critic", "discriminator"))
            if (rate := last_rate(self.source.arrays, "optimizer", key))
        }
        return Plan(
            recipe,
            changes,
            assign,
            step=self.step,
            fresh=() if discriminators else ("critic",),
            read=["weights, sizes, mel spectrogram and its statistics", *(["discriminators"] if discriminators else [])],
            assumed=["the losses of training, beyond the weights that the configuration names: those of the recipe"],
            left=[*left, "the optimisers' state, which is of another kind (AMSGrad)"] if rates else left,
            learning_rates=rates,
        )

    def _table(self, key: str) -> dict[str, Any]:
        value = self.config.get(key) or {}
        if not isinstance(value, dict):
            raise ForeignFileError(self.path, f"the configuration's {key} is {value!r}; expected settings.")
        return value

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the mel spectrograms: buffers of the generator, or a file beside it."""
        arrays = self.source.arrays
        inside = [name.rpartition(".")[0] for name in arrays if name.endswith("generator.mean")]
        if inside and f"{inside[0]}.scale" in arrays:
            mean, scale = arrays[f"{inside[0]}.mean"], arrays[f"{inside[0]}.scale"]
        else:
            path = self.source.beside("stats.h5", "stats.npy", "stats*.h5", "stats*.npy")
            if path is None:
                raise UsageError(
                    f"{self.path} has no stats.h5 or stats.npy beside it. ParallelWaveGAN's generators take normalised mel spectrograms, "
                    "and the mean and deviation are not in the checkpoint.",
                    hint="put the stats.h5 that was published with it into its folder, and import it again",
                )
            self.source.use(path)
            mean, scale = read_moments(path)
        return np.asarray(mean, np.float32).reshape(-1), np.asarray(scale, np.float32).reshape(-1)


def mel_changes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Recipe keys of sound and mel spectrogram.

    Raises:
        ForeignFileError: A window or logarithm that a mel convention cannot name.
    """
    config, hop = checkpoint.config, checkpoint.number("hop_size")
    if config.get("window", "hann") not in ("hann", "hann_window"):
        raise cannot_express(checkpoint.source, f"its mel spectrograms have a {config.get('window')!r} window; gan-audio's have Hann's.")
    base = config.get("log_base", 10.0)
    if base is not None and not math.isclose(float(base), 10.0):
        raise cannot_express(
            checkpoint.source, f"its mel spectrograms have a logarithm of base {base}; gan-audio's natural or decimal ones."
        )
    return {
        "data.sample_rate": checkpoint.number("sampling_rate"),
        "data.clip_samples": max(1, checkpoint.number("batch_max_steps", 8192) // hop) * hop,
        "data.batch_size": checkpoint.number("batch_size", 16),
        "model.mel.fft": checkpoint.number("fft_size"),
        "model.mel.window": checkpoint.number("win_length", 0) if config.get("win_length") else 0,
        "model.mel.hop": hop,
        "model.mel.bands": checkpoint.number("num_mels", 80),
        "model.mel.low_hz": float(config.get("fmin") or 0.0),
        "model.mel.high_hz": float(config.get("fmax") or 0.0),
        "model.mel.scale": "slaney",
        "model.mel.norm": "area",
        "model.mel.power_floor": 0.0,
        "model.mel.log": "ln" if base is None else "log10",
        "model.mel.floor": float(config.get("eps", 1e-10)),
        "model.mel.padding": "centre",
        "model.mel_normalization": True,
    }


def training_changes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Recipe keys of the losses and rates, as far as the configuration names them."""
    config = checkpoint.config
    changes: dict[str, Any] = {"adversarial.loss": "lsgan", "losses.adversarial": float(config.get("lambda_adv", 1.0))}
    changes["losses.feature_matching"] = float(config.get("lambda_feat_match", 0.0)) if config.get("use_feat_match_loss") else 0.0
    if config.get("use_mel_loss"):
        changes["losses.mel_l1"] = float(config.get("lambda_aux", 45.0))
    sub_bands = bool(config.get("use_subband_stft_loss"))
    if config.get("use_stft_loss", True):
        weight = 0.5 if sub_bands else 1.0
        changes |= {"losses.stft_convergence": weight, "losses.stft_magnitude": weight}
    if sub_bands:
        changes |= {"losses.sub_band_convergence": 0.5, "losses.sub_band_magnitude": 0.5}
    start = config.get("discriminator_train_start_steps", 0)
    if isinstance(start, int) and start > 0:
        changes["adversarial.critic_start"] = start
    for network, key in (("generator", "generator"), ("critic", "discriminator")):
        rate = (config.get(f"{key}_optimizer_params") or {}).get("lr")
        if isinstance(rate, float):
            changes[f"optimizers.{network}.learning_rate"] = rate
    return changes


def place_statistics(checkpoint: Checkpoint, network: Any, placement: Placement) -> None:
    """Place mean and deviation into the layer that normalises the mel spectrogram.

    Raises:
        ForeignFileError: They are of another number of bands.
    """
    layer = network.get_layer("mel_normalization")
    for variable, values in ((layer.mean, checkpoint.mean), (layer.deviation, checkpoint.scale)):
        if values.shape != tuple(variable.shape):
            raise ForeignFileError(checkpoint.path, f"has statistics of {len(values)} mel bands; expected {variable.shape[0]}.")
        if not (np.isfinite(values).all() and (values.any() or variable is layer.mean)):
            raise ForeignFileError(checkpoint.path, "has statistics of its mel spectrograms that are no numbers, or zero.")
        placement.put(variable, values)
