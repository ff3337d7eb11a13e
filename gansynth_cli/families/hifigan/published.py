"""Published HiFi-GANs: `g_*` and `do_*` of the authors' code (jik876/hifi-gan), folded ones, TorchScript exports, and ParallelWaveGAN's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.foreign import ForeignArrays
from ...errors import UsageError
from ..parallel_wavegan import Checkpoint, mel_changes, place_statistics, training_changes
from ..published import Answers, Placement, Plan, Source, cannot_express, require, whole_number, whole_numbers
from ..torch_weights import Moments, TorchWeights, kernel_shape, last_rate, part_with, weighted_layers
from ..vocoder_published import multi_period_changes, place_multi_period, place_multi_scale, script_proof

_USUAL_DILATIONS = {(1, 3): [[1, 3, 5]], (2, 2): [[1, 2], [2, 6], [3, 12]]}  # (kind of block, dilations of a branch): V1 and V2; V3
_OWN_CONFIG = "give the configuration of this checkpoint with --config"


@dataclass(frozen=True)
class Names:
    """How a program calls the layers of its generator; "{}" stand for numbers, in a block also for the kind of its convolution."""

    first: str
    up: str
    block: str
    last: str
    alone: str  # the kind of convolution in blocks of one convolution a dilation

    def kinds(self, block: int) -> tuple[str, ...]:
        return ("convs1", "convs2") if block == 1 else (self.alone,)


AUTHORS = Names("conv_pre", "ups.{}", "resblocks.{}.{}.{}", "conv_post", "convs")
PARALLEL = Names("input_conv", "upsamples.{}.1", "blocks.{}.{}.{}.1", "output_conv.1", "convs1")


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
        part = part_with(source.arrays, f"{AUTHORS.first}.bias")
        return part is not None and "ups.0.bias" in part and any(name.startswith("resblocks.0.convs") for name in part)

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays = part_with(source.arrays, f"{AUTHORS.first}.bias")
        assert arrays is not None
        sizes = sizes_of(source, arrays, AUTHORS)
        config = source.config("config.json", "config*.json") or source.arrays.facts.get("config")
        read, assumed = [f"weights: {len(arrays)} arrays"], list[str]()
        if config is None:
            changes, assumed = _usual(source, sizes, answers)
        else:
            changes = _configured(source, sizes, config)
            answers.rate(changes["data.sample_rate"])
            read.append("sizes, mel spectrogram and training settings: the configuration")
        critics = _Critics.beside(source)
        changes |= critics.changes(source) if critics else {}
        step = critics.step if critics else _step_in(source.path) or source.arrays.facts.get("step", 0)

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            moments = critics.generator_moments(arrays) if critics else None
            place_generator(arrays, networks["generator"], placement, layer_names(sizes, AUTHORS), moments)
            if critics:
                critics.place(networks["critic"], placement)
                placement.updates = {"generator": step, "critic": step} if moments else {}
            return placement

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
            **(script_proof(source, answers) if source.arrays.kind == "torchscript" else {}),
        )


class ParallelWaveGANLayout:
    """`checkpoint-2500000steps.pkl` of a HiFi-GAN, with `config.yml` and the statistics of its mel spectrograms.

    Its discriminators are not taken: those over scales have the shapes of the authors', and other strides.
    """

    family = "hifigan"
    title = "HiFi-GAN (kan-bayashi/ParallelWaveGAN)"
    files = ("checkpoint-[0-9]*.pkl",)

    def recognises(self, source: Source) -> bool:
        part = part_with(source.arrays, f"{PARALLEL.first}.bias")
        return part is not None and "upsamples.0.1.bias" in part and "output_conv.1.bias" in part

    def plan(self, source: Source, answers: Answers) -> Plan:
        checkpoint = Checkpoint(source, "HiFiGANGenerator")
        arrays = part_with(source.arrays, f"{PARALLEL.first}.bias")
        assert arrays is not None
        sizes, params = sizes_of(source, arrays, PARALLEL), checkpoint.generator
        activation: dict[str, Any] = {
            "nonlinear_activation": ["LeakyReLU", None],
            "nonlinear_activation_params": [{"negative_slope": 0.1}, None],
        }
        require(params, {**activation, "kernel_size": [7, None], "out_channels": [1, None], "use_causal_conv": [False, None]}, source)
        defaults: dict[str, Any] = {"upsample_scales": [8, 8, 2, 2], "resblock_dilations": [[1, 3, 5]] * 3}
        factors, dilations = (whole_numbers({**defaults, **params}, key, source.path) for key in defaults)
        _check_dilations(source, sizes, dilations)
        if sizes.upsample_kernels != [2 * factor for factor in factors]:
            raise cannot_express(
                source, f"has upsampling kernels {sizes.upsample_kernels}; the configuration's upsample_scales is {factors}."
            )
        changes = {**network_changes(sizes, factors, dilations), **mel_changes(checkpoint), **training_changes(checkpoint)}

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            place_generator(arrays, networks["generator"], placement, layer_names(sizes, PARALLEL), None, ("mean", "scale"))
            place_statistics(checkpoint, networks["generator"], placement)
            return placement

        return checkpoint.plan("hifigan/base", changes, assign, discriminators=False)


PUBLISHED = (HiFiGANLayout(), ParallelWaveGANLayout())


def layer_names(sizes: Sizes, names: Names) -> list[str]:
    """Names of a program's layers in the order in which `networks.build_generator` makes its own."""
    found = [names.first]
    for stage in range(len(sizes.upsample_kernels)):
        found.append(names.up.format(stage))
        for branch in range(len(sizes.kernels)):
            block = stage * len(sizes.kernels) + branch
            found += [names.block.format(block, kind, place) for place in range(sizes.dilations) for kind in names.kinds(sizes.block)]
    return [*found, names.last]


def place_generator(
    arrays: ForeignArrays, network: Any, placement: Placement, names: list[str], moments: Moments | None, ignore: tuple[str, ...] = ()
) -> None:
    """Place all layers of a generator."""
    weights = TorchWeights(arrays, placement, moments)
    for layer, name in zip(weighted_layers(network, "WeightNormalization"), names, strict=True):
        weights.layer(layer, name)
    weights.finish(*ignore)


def sizes_of(source: Source, arrays: ForeignArrays, names: Names) -> Sizes:
    """Read the sizes off names and shapes.

    Raises:
        ForeignFileError: They are no HiFi-GAN's.
    """
    pattern = re.escape(names.block).replace(r"\{\}", "{}").format(r"(\d+)", r"(convs[12]?)", r"(\d+)")
    blocks = [match for match in (re.fullmatch(rf"{pattern}\.bias", name) for name in arrays) if match]
    kinds = {match[2] for match in blocks}
    block = next((number for number in (1, 2) if kinds == set(names.kinds(number))), 0)
    stages, first = 0, kernel_shape(arrays, names.first)
    while f"{names.up.format(stages)}.bias" in arrays:
        stages += 1
    count = 1 + max((int(match[1]) for match in blocks), default=0)
    if not block or len(first) != 3 or first[2] != 7 or count % stages:
        raise cannot_express(source, "has layers like HiFi-GAN's, in another arrangement.", "gan-audio reads the V1, V2 and V3 layouts")
    kind = names.kinds(block)[0]
    return Sizes(
        bands=first[1],
        channels=first[0],
        upsample_kernels=[kernel_shape(arrays, names.up.format(stage))[-1] for stage in range(stages)],
        kernels=[kernel_shape(arrays, names.block.format(branch, kind, 0))[-1] for branch in range(count // stages)],
        block=block,
        dilations=1 + max(int(match[3]) for match in blocks if match[2] == kind),
    )


def network_changes(sizes: Sizes, factors: list[int], dilations: list[list[int]]) -> dict[str, Any]:
    """Recipe keys of the generator."""
    return {
        "model.channels": sizes.channels,
        "model.upsample": factors,
        "model.upsample_kernels": sizes.upsample_kernels,
        "model.block": sizes.block,
        "model.kernels": sizes.kernels,
        "model.dilations": dilations,
        "model.mel.bands": sizes.bands,
    }


def _check_dilations(source: Source, sizes: Sizes, dilations: list[Any]) -> None:
    fits = len(dilations) == len(sizes.kernels) and all(isinstance(branch, list) and len(branch) == sizes.dilations for branch in dilations)
    if not fits:
        found = f"{len(sizes.kernels)} branches of {sizes.dilations} dilations"
        raise cannot_express(source, f"has {found}; the configuration has {dilations}.", _OWN_CONFIG)


def _configured(source: Source, sizes: Sizes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe keys from the authors' config.json."""
    path = source.path
    number = lambda key, default=None: whole_number(config, key, path, default)
    dilations = whole_numbers(config, "resblock_dilation_sizes", path)
    factors, hop = whole_numbers(config, "upsample_rates", path), number("hop_size")
    if str(config.get("resblock", "1")) != str(sizes.block):
        raise cannot_express(
            source, f"has residual blocks of kind {sizes.block}; the configuration says {config.get('resblock')!r}.", _OWN_CONFIG
        )
    _check_dilations(source, sizes, dilations)
    for key, found in (("upsample_kernel_sizes", sizes.upsample_kernels), ("resblock_kernel_sizes", sizes.kernels)):
        if config.get(key) != found:
            raise cannot_express(source, f"has the kernel sizes {found}; the configuration's {key} is {config.get(key)!r}.", _OWN_CONFIG)
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
        **network_changes(sizes, factors, dilations),
        "data.sample_rate": number("sampling_rate"),
        "data.clip_samples": max(1, number("segment_size", 32 * hop) // hop) * hop,
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
        **network_changes(sizes, factors, dilations),
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
        rates = {network: last_rate(arrays, key) for network, key in (("generator", "optim_g"), ("critic", "optim_d"))}
        self.rates = {network: rate for network, rate in rates.items() if rate}

    @classmethod
    def beside(cls, source: Source) -> _Critics | None:
        """Open the file of the same step as the generator's."""
        name = source.path.name
        path = source.beside(f"do{name[1:]}" if name.startswith("g_") else "do_[0-9]*")
        return cls(path, source.open(path)) if path else None

    def changes(self, source: Source) -> dict[str, Any]:
        """Recipe keys of both discriminators."""
        scales = 0
        while f"discriminators.{scales}.conv_post.bias" in self.scale:
            scales += 1
        channels = self.scale.shapes.get("discriminators.0.convs.0.bias", (0,))[0]
        periods = multi_period_changes(source, self.period, "discriminators.{}", "convs.{}")
        return periods | {"model.msd.scales": scales, "model.msd.channels": channels}

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
