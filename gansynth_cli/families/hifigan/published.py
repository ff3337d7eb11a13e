"""Published HiFi-GANs: `g_*` and `do_*` of the authors' code (jik876/hifi-gan), folded ones, and TorchScript exports of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.foreign import ForeignArrays, ForeignFileError
from ...errors import UsageError
from ..published import Answers, Placement, Plan, Source, cannot_express, whole_number, whole_numbers
from ..torch_weights import Moments, TorchWeights, last_rate, part_with, weighted_layers
from ..vocoder_published import place_multi_period, place_multi_scale, script_proof

_FIRST = "conv_pre.bias"
_BLOCK = re.compile(r"resblocks\.(\d+)\.(convs[12]?)\.(\d+)\.bias")
_USUAL_DILATIONS = {(1, 3): [[1, 3, 5]], (2, 2): [[1, 2], [2, 6], [3, 12]]}  # (kind of block, dilations of a branch): V1 and V2; V3


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say of a generator."""

    bands: int
    channels: int
    upsample_kernels: list[int]
    kernels: list[int]  # of the branches
    block: int
    dilations: int  # of each branch


class HiFiGANLayout:
    """`g_02500000` with `do_02500000` and `config.json` beside it."""

    family = "hifigan"
    title = "HiFi-GAN (jik876/hifi-gan)"
    files = ("g_[0-9]*", "generator*", "*.ts", "*.pth", "*.pt")

    def recognises(self, source: Source) -> bool:
        names = source.arrays
        part = part_with(names, _FIRST)
        return part is not None and any(_BLOCK.fullmatch(name) for name in part) and "ups.0.bias" in part

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays = part_with(source.arrays, _FIRST)
        assert arrays is not None
        sizes = _sizes(source, arrays)
        config = source.config("config.json", "config*.json") or source.arrays.facts.get("config")
        read, assumed = [f"weights: {len(arrays)} arrays"], list[str]()
        if config is None:
            changes, assumed = _usual(source, sizes, answers)
        else:
            changes = _configured(source, sizes, config)
            answers.rate(changes["data.sample_rate"])
            read.append("sizes, mel spectrogram and training settings: the configuration")
        critics = _Critics.beside(source)
        step = critics.step if critics else _step_in(source.path) or source.arrays.facts.get("step", 0)

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            moments = critics.generator_moments(arrays) if critics else None
            weights = TorchWeights(arrays, placement, moments)
            for layer, name in zip(weighted_layers(networks["generator"], "WeightNormalization"), layer_names(sizes), strict=True):
                weights.layer(layer, name)
            weights.finish()
            if critics:
                critics.place(networks["critic"], placement)
                placement.updates = {"generator": step, "critic": step} if moments else {}
            return placement

        script = source.arrays.kind == "torchscript"
        if critics:
            read.append(f"discriminators, steps and optimisers: {critics.path.name}")
        return Plan(
            "hifigan/base",
            changes,
            assign,
            step=int(step),
            fresh=() if critics else ("critic",),
            read=read,
            assumed=assumed,
            learning_rates=critics.rates if critics else {},
            **(script_proof(source, answers) if script else {}),
        )


PUBLISHED = (HiFiGANLayout(),)


def layer_names(sizes: Sizes) -> list[str]:
    """Names of the authors' layers in the order in which `networks.build_generator` makes its own."""
    names = ["conv_pre"]
    for stage in range(len(sizes.upsample_kernels)):
        names.append(f"ups.{stage}")
        for branch in range(len(sizes.kernels)):
            block = f"resblocks.{stage * len(sizes.kernels) + branch}"
            for dilation in range(sizes.dilations):
                names += [f"{block}.{kind}.{dilation}" for kind in (("convs1", "convs2") if sizes.block == 1 else ("convs",))]
    return [*names, "conv_post"]


def _kernel_shape(arrays: ForeignArrays, layer: str) -> tuple[int, ...]:
    for kernel in ("weight_v", "parametrizations.weight.original1", "weight"):
        if f"{layer}.{kernel}" in arrays:
            return arrays.shapes[f"{layer}.{kernel}"]
    raise ForeignFileError(arrays.path, f"holds {layer}.bias, but no kernel of {layer}.")


def _sizes(source: Source, arrays: ForeignArrays) -> Sizes:
    first = _kernel_shape(arrays, "conv_pre")
    blocks = [match for match in map(_BLOCK.fullmatch, arrays) if match]
    kinds = {match[2] for match in blocks}
    stages = len([name for name in arrays if re.fullmatch(r"ups\.\d+\.bias", name)])
    count = 1 + max(int(match[1]) for match in blocks)
    if len(first) != 3 or first[2] != 7 or count % stages or kinds not in ({"convs"}, {"convs1", "convs2"}):
        raise cannot_express(source, "has layers like HiFi-GAN's, in another arrangement.", "gan-audio reads the V1, V2 and V3 layouts")
    branches, kind = count // stages, "convs" if kinds == {"convs"} else "convs1"
    return Sizes(
        bands=first[1],
        channels=first[0],
        upsample_kernels=[_kernel_shape(arrays, f"ups.{stage}")[-1] for stage in range(stages)],
        kernels=[_kernel_shape(arrays, f"resblocks.{branch}.{kind}.0")[-1] for branch in range(branches)],
        block=2 if kind == "convs" else 1,
        dilations=1 + max(int(match[3]) for match in blocks if match[2] == kind),
    )


def _changes(sizes: Sizes, factors: list[int], dilations: list[list[int]]) -> dict[str, Any]:
    return {
        "model.channels": sizes.channels,
        "model.upsample": factors,
        "model.upsample_kernels": sizes.upsample_kernels,
        "model.block": sizes.block,
        "model.kernels": sizes.kernels,
        "model.dilations": dilations,
        "model.mel.bands": sizes.bands,
    }


def _configured(source: Source, sizes: Sizes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe keys from the authors' config.json."""
    path = source.path
    number = lambda key, default=None: whole_number(config, key, path, default)
    dilations = whole_numbers(config, "resblock_dilation_sizes", path)
    factors, hop = whole_numbers(config, "upsample_rates", path), number("hop_size")
    if str(config.get("resblock", "1")) != str(sizes.block):
        raise cannot_express(source, f"has residual blocks of kind {sizes.block}; the configuration says {config.get('resblock')!r}.")
    if any(len(branch) != sizes.dilations for branch in dilations) or len(dilations) != len(sizes.kernels):
        raise cannot_express(
            source,
            f"has {len(sizes.kernels)} branches of {sizes.dilations} dilations; the configuration has {dilations}.",
            "give the configuration of this checkpoint with --config",
        )
    for key, found in (("upsample_kernel_sizes", sizes.upsample_kernels), ("resblock_kernel_sizes", sizes.kernels)):
        if config.get(key) != found:
            raise cannot_express(
                source,
                f"has the kernel sizes {found}; the configuration's {key} is {config.get(key)!r}.",
                "give the configuration of this checkpoint with --config",
            )
    rate, segment = number("sampling_rate"), number("segment_size", 32 * hop)
    optimizer = {
        "learning_rate": config.get("learning_rate"),
        "beta_1": config.get("adam_b1"),
        "beta_2": config.get("adam_b2"),
        "decay_rate": config.get("lr_decay"),
    }
    rates = {
        f"optimizers.{network}.{key}": float(value)
        for network in ("generator", "critic")
        for key, value in optimizer.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {
        **_changes(sizes, factors, dilations),
        "data.sample_rate": rate,
        "data.clip_samples": max(1, segment // hop) * hop,
        "data.batch_size": number("batch_size", 16),
        "model.mel.fft": number("n_fft"),
        "model.mel.window": number("win_size"),
        "model.mel.hop": hop,
        "model.mel.low_hz": float(config.get("fmin") or 0.0),
        "model.mel.high_hz": float(config.get("fmax") or 0.0),
        "losses.mel_high_hz": float(config.get("fmax_for_loss") or 0.0),
        **rates,
    }


def _usual(source: Source, sizes: Sizes, answers: Answers) -> tuple[dict[str, Any], list[str]]:
    """Recipe keys without a configuration: what the authors' settings have in common, and what the user says."""
    rate = answers.rate(None, f"{source.path} has no config.json beside it, which would say the sample rate.")
    if "model.dilations" not in answers.settings and (sizes.block, sizes.dilations) not in _USUAL_DILATIONS:
        raise UsageError(
            f"{source.path} has no config.json beside it, and its blocks are none of the published ones: the dilations are not known.",
            hint="--config FILE, or --set 'model.dilations=[[1, 3, 5], [1, 3, 5], [1, 3, 5]]'",
        )
    usual = _USUAL_DILATIONS.get((sizes.block, sizes.dilations), [[1] * sizes.dilations])
    dilations = usual if len(usual) == len(sizes.kernels) else usual[:1] * len(sizes.kernels)
    factors = [kernel // 2 for kernel in sizes.upsample_kernels]
    hop = 1
    for factor in factors:
        hop *= factor
    changes = {
        **_changes(sizes, factors, dilations),
        "data.sample_rate": rate,
        "data.clip_samples": max(1, 8192 // hop) * hop,
        "model.mel.hop": hop,
        "model.mel.high_hz": min(8000.0, rate / 2),
    }
    assumed = [
        f"upsampling by {factors}, half the kernels; hop {hop}",
        f"dilations {dilations}, the published ones",
        f"mel spectrogram: fft and window 1024, 0 to {changes['model.mel.high_hz']:g} Hz, natural log (--config, or --set model.mel.*)",
    ]
    return changes, assumed


def _step_in(path: Path) -> int:
    """Read the step in a name such as g_02500000."""
    found = re.search(r"_(\d{5,})", path.name)
    return int(found[1]) if found else 0


class _Critics:
    """`do_02500000`: both discriminators, both optimisers, the step."""

    def __init__(self, path: Path, arrays: ForeignArrays):
        self.path, self.arrays = path, arrays
        self.period, self.scale = arrays.under("mpd").without("module."), arrays.under("msd").without("module.")
        self.step = int(arrays.facts.get("step", 0))
        rates = last_rate(arrays, "optim_g", "optim_d")
        self.rates = {network: rates[key] for network, key in (("generator", "optim_g"), ("critic", "optim_d")) if key in rates}

    @classmethod
    def beside(cls, source: Source) -> _Critics | None:
        """Open the file of the same step as the generator's."""
        name = source.path.name
        wanted = f"do{name[1:]}" if name.startswith("g_") else "do_[0-9]*"
        path = source.beside(wanted)
        return cls(path, source.open(path)) if path else None

    def generator_moments(self, generator: ForeignArrays) -> Moments | None:
        return self._moments("optim_g", ("", generator))

    def place(self, critic: Any, placement: Placement) -> None:
        """Place both discriminators."""
        moments = self._moments("optim_d", ("msd.", self.scale), ("mpd.", self.period))
        period = TorchWeights(self.period, placement, moments, "mpd.")
        place_multi_period(period, critic.get_layer("mpd"), "discriminators.{}", "convs.{}", "conv_post")
        period.finish()
        scale = TorchWeights(self.scale, placement, moments, "msd.")
        place_multi_scale(scale, critic.get_layer("msd"), "discriminators.{}", [*(f"convs.{i}" for i in range(7)), "conv_post"])
        scale.finish()

    def _moments(self, key: str, *parts: tuple[str, ForeignArrays]) -> Moments | None:
        if not any(name.startswith(f"{key}.state.") for name in self.arrays):
            return None
        return Moments.of(self.arrays.under(key), *parts)
