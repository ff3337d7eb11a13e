"""Published MelGANs: `netG.pt` with `netD.pt` of the authors' code (descriptinc/melgan-neurips), and ParallelWaveGAN's, multi-band too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...data.foreign import ForeignArrays
from ..parallel_wavegan import Checkpoint, mel_changes, place_statistics, training_changes
from ..published import Answers, Placement, Plan, Source, cannot_express, require, whole_numbers
from ..torch_weights import Moments, TorchWeights, kernel_shape, part_with, updates_of, weighted_layers
from ..vocoder_published import place_multi_scale

AUTHORS_RATE = 22050  # fixed in the authors' train.py


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say of a generator; `last` is the place of its last layer in the authors' list of modules."""

    mels: int
    channels: int
    upsample: list[int]
    blocks: int
    bands: int
    last: int

    @property
    def hop(self) -> int:
        hop = self.bands
        for factor in self.upsample:
            hop *= factor
        return hop


class MelGANLayout:
    """`netG.pt` or `best_netG.pt`, with `netD.pt`, `optG.pt` and `optD.pt` beside it."""

    family = "melgan"
    title = "MelGAN (descriptinc/melgan-neurips)"
    files = ("netG.pt", "best_netG.pt", "linda_johnson.pt", "multi_speaker.pt")

    def recognises(self, source: Source) -> bool:
        return _part(source.arrays) is not None

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays = _part(source.arrays)
        assert arrays is not None
        sizes = sizes_of(source, arrays, "model", "block.2")
        rate = answers.rate(None) if answers.sample_rate or "data.sample_rate" in answers.settings else AUTHORS_RATE
        assumed = ["dilations 1, 3, 9 ... and a mel spectrogram of fft 1024, as the authors' code has them built in"]
        if not answers.sample_rate:
            assumed.append(f"{AUTHORS_RATE} Hz, which is fixed in the authors' train.py (--sample-rate says otherwise)")
        critic = _beside(source, "netD.pt")
        optimizers = {network: _beside(source, f"opt{letter}.pt") for network, letter in (("generator", "G"), ("critic", "D"))}
        step = updates_of(optimizers["generator"]) if optimizers["generator"] else 0
        changes = {
            **network_changes(sizes),
            "data.sample_rate": rate,
            "data.clip_samples": max(1, 8192 // sizes.hop) * sizes.hop,
            "model.mel.hop": sizes.hop,
            "model.mel.bands": sizes.mels,
        }
        if critic is not None:
            changes |= critic_changes(source, critic, "model.disc_{}.model", "layer_{}")

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            place_generator(
                arrays, networks["generator"], placement, layer_names(sizes, "model", "block.{}", "shortcut"), optimizers["generator"]
            )
            if critic is not None:
                moments = Moments.of(optimizers["critic"], ("", critic)) if optimizers["critic"] else None
                weights = TorchWeights(critic, placement, moments)
                layers = len(changes["model.msd.strides"])
                names = ["layer_0.1", *(f"layer_{n}.0" for n in range(1, layers + 2)), f"layer_{layers + 2}"]
                place_multi_scale(weights, networks["critic"].get_layer("msd"), "model.disc_{}.model", names)
                weights.finish()
            if step:
                placement.updates = {"generator": step, "critic": step}
            return placement

        read = [f"weights: {len(arrays)} arrays"]
        read += [
            f"{what}: {name}" for what, name, found in (("discriminators", "netD.pt", critic), ("optimiser", "optG.pt", step)) if found
        ]
        fresh = () if critic is not None else ("critic",)
        return Plan("melgan/base", changes, assign, step=step, fresh=fresh, read=read, assumed=assumed)


class ParallelWaveGANLayout:
    """`checkpoint-1000000steps.pkl` of a MelGAN or multi-band MelGAN, with `config.yml` and the statistics of its mel spectrograms."""

    family = "melgan"
    title = "MelGAN (kan-bayashi/ParallelWaveGAN)"
    files = ("checkpoint-[0-9]*.pkl",)

    def recognises(self, source: Source) -> bool:
        return part_with(source.arrays, "melgan.1.bias") is not None

    def plan(self, source: Source, answers: Answers) -> Plan:
        checkpoint = Checkpoint(source, "MelGANGenerator")
        arrays = part_with(source.arrays, "melgan.1.bias")
        assert arrays is not None
        sizes = sizes_of(source, arrays, "melgan", "stack.2")
        params = checkpoint.generator
        wanted: dict[str, Any] = {"kernel_size": [7, None], "stack_kernel_size": [3, None], "use_final_nonlinear_activation": [True, None]}
        activation: dict[str, Any] = {
            "nonlinear_activation": ["LeakyReLU", None],
            "nonlinear_activation_params": [{"negative_slope": 0.2}, None],
        }
        require(params, {**wanted, **activation, "pad": ["ReflectionPad1d", None], "use_causal_conv": [False, None]}, source)
        if sizes.bands not in (1, 4):
            raise cannot_express(source, f"has {sizes.bands} sub-bands; gan-audio has 1 or 4.")
        scales = whole_numbers(params, "upsample_scales", source.path) if "upsample_scales" in params else [8, 8, 2, 2]
        if scales != sizes.upsample:
            raise cannot_express(source, f"has upsampling kernels for {sizes.upsample}; the configuration's upsample_scales is {scales}.")
        changes = {**network_changes(sizes), **mel_changes(checkpoint), **training_changes(checkpoint)}
        if sizes.bands > 1:
            changes |= {"model.filter_bank": "parallel-wavegan", "model.filter_cutoff": checkpoint.filter_cutoff}
        critic = checkpoint.discriminator if checkpoint.discriminator_type == "MelGANMultiScaleDiscriminator" else None
        if critic is not None:
            require(checkpoint.discriminator_params, {"kernel_sizes": [[5, 3], None], "pad": ["ReflectionPad1d", None]}, source)
            changes |= critic_changes(source, critic, "discriminators.{}", "layers.{}")

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            names = layer_names(sizes, "melgan", "stack.{}", "skip_layer")
            place_generator(arrays, networks["generator"], placement, names, None, ("mean", "scale"))
            place_statistics(checkpoint, networks["generator"], placement)
            if critic is not None:
                weights = TorchWeights(critic, placement)
                layers = len(changes["model.msd.strides"])
                parts = ["layers.0.1", *(f"layers.{n}.0" for n in range(1, layers + 2)), f"layers.{layers + 2}"]
                place_multi_scale(weights, networks["critic"].get_layer("msd"), "discriminators.{}", parts)
                weights.finish()
            return placement

        return checkpoint.plan("melgan/base", changes, assign, critic is not None)


PUBLISHED = (MelGANLayout(), ParallelWaveGANLayout())


def _part(arrays: ForeignArrays) -> ForeignArrays | None:
    """The generator's state dict, which has a residual block in front of its second upsampling."""
    found = part_with(arrays, "model.4.block.2.bias")
    return found if found is not None and "model.1.bias" in found else None


def _beside(source: Source, name: str) -> ForeignArrays | None:
    path = source.beside(name)
    return source.open(path) if path else None


def sizes_of(source: Source, arrays: ForeignArrays, root: str, block: str) -> Sizes:
    """Read the sizes off names and shapes: modules 0 and 1 are the first convolution, then each stage has an activation, its upsampling
    and its residual blocks; an activation, a padding and the last convolution end the list."""
    plain = re.compile(rf"{re.escape(root)}\.(\d+)\.bias")
    places = sorted(int(match[1]) for match in map(plain.fullmatch, arrays) if match)
    blocks = [
        int(match[1]) for match in (re.fullmatch(rf"{re.escape(root)}\.(\d+)\.{re.escape(block)}\.bias", name) for name in arrays) if match
    ]
    first, *ups, last = places if len(places) > 2 else (0, 0)
    count = len(blocks) // len(ups) if ups else 0
    if first != 1 or ups != [3 + stage * (count + 2) for stage in range(len(ups))] or last != ups[-1] + count + 3:
        raise cannot_express(source, "has layers like MelGAN's, in another arrangement.")
    shape = kernel_shape(arrays, f"{root}.1")
    kernels = [kernel_shape(arrays, f"{root}.{up}")[-1] for up in ups]
    if len(shape) != 3 or any(kernel % 2 for kernel in kernels):
        raise cannot_express(source, "has layers like MelGAN's, with other kernels.")
    return Sizes(shape[1], shape[0], [kernel // 2 for kernel in kernels], count, kernel_shape(arrays, f"{root}.{last}")[0], last)


def layer_names(sizes: Sizes, root: str, inside: str, shortcut: str) -> list[str]:
    """Names of the authors' layers in the order in which `networks.build_generator` makes its own."""
    names, place = [f"{root}.1"], 3
    for _ in sizes.upsample:
        names.append(f"{root}.{place}")
        for block in range(place + 1, place + 1 + sizes.blocks):
            names += [f"{root}.{block}.{inside.format(2)}", f"{root}.{block}.{inside.format(4)}", f"{root}.{block}.{shortcut}"]
        place += sizes.blocks + 2
    return [*names, f"{root}.{sizes.last}"]


def network_changes(sizes: Sizes) -> dict[str, Any]:
    """Recipe keys of the generator."""
    return {
        "model.channels": sizes.channels,
        "model.upsample": sizes.upsample,
        "model.dilations": [3**block for block in range(sizes.blocks)],
        "model.bands": sizes.bands,
    }


def critic_changes(source: Source, arrays: ForeignArrays, part: str, layer: str) -> dict[str, Any]:
    """Recipe keys of the discriminators, off their shapes: a layer of stride s has 10 s + 1 taps."""
    name = lambda number, inner: f"{part.format(0)}.{layer.format(number)}.{inner}".rstrip(".")
    shapes = [kernel_shape(arrays, name(0, "1"))]
    while f"{name(len(shapes), '0')}.bias" in arrays:
        shapes.append(kernel_shape(arrays, name(len(shapes), "0")))
    strides = [(shape[-1] - 1) // 10 for shape in shapes[1:-1]]
    scales = 0
    while f"{part.format(scales)}.{layer.format(0)}.1.bias" in arrays:
        scales += 1
    if not strides or any(shape[-1] != 10 * stride + 1 for shape, stride in zip(shapes[1:-1], strides, strict=True)):
        raise cannot_express(source, "has discriminators like MelGAN's, in another arrangement.")
    return {
        "model.msd.scales": scales,
        "model.msd.channels": shapes[0][0],
        "model.msd.most_channels": max(shape[0] for shape in shapes),
        "model.msd.strides": strides,
    }


def place_generator(
    arrays: ForeignArrays,
    network: Any,
    placement: Placement,
    names: list[str],
    optimizer: ForeignArrays | None,
    ignore: tuple[str, ...] = (),
) -> None:
    """Place all layers of a generator."""
    weights = TorchWeights(arrays, placement, Moments.of(optimizer, ("", arrays)) if optimizer else None)
    for layer, name in zip(weighted_layers(network, "WeightNormalization"), names, strict=True):
        weights.layer(layer, name)
    weights.finish(*ignore)
