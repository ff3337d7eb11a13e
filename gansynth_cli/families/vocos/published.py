"""Published Vocos: `pytorch_model.bin` or safetensors with `config.yaml` (gemelo-ai/vocos), and the training's Lightning checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.foreign import ArrayMismatchError, ForeignArrays
from ...signal.mel import mel_filter_bank
from ..published import Answers, Placement, Plan, Source, cannot_express, whole_number
from ..torch_weights import Moments, TorchWeights, last_rate, part_with, weighted_layers
from ..vocoder_published import multi_period_changes, place_multi_period

_FIRST = "backbone.embed.bias"
_FILTERS = "feature_extractor.mel_spec.mel_scale.fb"
_FILTER_ERROR = 1e-4  # torchaudio makes them in float32: up to 7e-6
_RATES = (24000, 22050, 16000, 44100, 48000, 32000, 8000)
_BUFFERS = ("feature_extractor.*", "head.istft.window", "melspec_loss.*", "multiperioddisc.*", "multiresddisc.*")
_BANDS = 5  # of each spectrum, with five layers of their own
_DISCRIMINATORS = ("multiperioddisc", "multiresddisc")


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say of a generator."""

    bands: int
    channels: int
    hidden: int
    blocks: int
    fft: int


class VocosLayout:
    """`pytorch_model.bin`, `model.safetensors` or a Lightning `.ckpt`, which has the discriminators too."""

    family = "vocos"
    title = "Vocos (gemelo-ai/vocos)"
    files = ("pytorch_model.bin", "*.safetensors", "vocos_checkpoint*.ckpt", "*.ckpt")

    def recognises(self, source: Source) -> bool:
        part = part_with(source.arrays, _FIRST)
        return part is not None and "backbone.convnext.0.dwconv.bias" in part and "head.out.bias" in part

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays = part_with(source.arrays, _FIRST)
        assert arrays is not None
        if "backbone.norm.scale.weight" in arrays:
            raise cannot_express(source, "is a Vocos of EnCodec's codes (adaptive normalisation); gan-audio's takes mel spectrograms.")
        sizes = _sizes(arrays)
        settings = _settings(source.config("config.yaml", "config.yml", "hparams.yaml") or {})
        for key in ("feature_extractor", "head"):
            kind = str(settings[key].get("class_path", "")).rpartition(".")[2]
            if kind not in ("", "MelSpectrogramFeatures", "ISTFTHead"):
                raise cannot_express(source, f"has a {kind}; gan-audio's Vocos takes mel spectrograms and ends in an inverse STFT.")
        features, facts = settings["feature_extractor"], source.arrays.facts
        assumed, read = list[str](), [f"weights: {len(arrays)} arrays"]
        said = features.get("sample_rate") or (facts.get("config") or {}).get("sample_rate")
        rate = answers.rate(said or _rate_of(arrays, sizes, assumed))
        hop = whole_number(features, "hop_length", source.path, sizes.fft // 4)
        if not features:
            assumed.append(f"hop {hop}, a quarter of the transform, and centred frames: no config.yaml lies beside the file")
        else:
            read.append("mel spectrogram: the configuration")
        padding = {"center": "centre", "same": "reflect"}[str(features.get("padding", "center"))]
        changes: dict[str, Any] = {
            "model.channels": sizes.channels,
            "model.hidden": sizes.hidden,
            "model.blocks": sizes.blocks,
            "data.sample_rate": rate,
            "data.clip_samples": max(1, 16384 // hop) * hop,
            "model.mel.fft": sizes.fft,
            "model.mel.hop": hop,
            "model.mel.bands": sizes.bands,
            "model.mel.padding": padding,
        }
        rates: dict[str, float] = {}
        critics = all(any(name.startswith(f"{part}.") for name in arrays) for part in _DISCRIMINATORS)
        if "lightning" in facts:
            found = {
                "critic": last_rate(source.arrays, "optimizer_states", 0),
                "generator": last_rate(source.arrays, "optimizer_states", 1),
            }
            rates = {network: one for network, one in found.items() if one}
            step = int(facts.get("step", 0)) // (2 if critics else 1)  # Lightning counts the updates of both optimisers
        else:
            step = 0
        if critics:
            read.append("discriminators and optimisers")
            changes |= multi_period_changes(source, arrays.under("multiperioddisc"), "discriminators.{}", "convs.{}")
            changes |= _resolutions(arrays.under("multiresddisc"))

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            moments = _moments(source, 1, ("", _without_buffers(arrays))) if critics else None
            _place_generator(arrays, networks["generator"], placement, sizes, moments)
            _check_filters(source, arrays, sizes, rate)
            if critics:
                parts = [(f"{name}.", arrays.under(name)) for name in _DISCRIMINATORS]
                moments = _moments(source, 0, *parts)
                period, resolution = (TorchWeights(part, placement, moments, prefix) for prefix, part in parts)
                place_multi_period(period, networks["critic"].get_layer("mpd"), "discriminators.{}", "convs.{}", "conv_post")
                _place_multi_resolution(resolution, networks["critic"].get_layer("mrd"))
                period.finish()
                resolution.finish("*.window")
                placement.updates = {"generator": step, "critic": step} if moments else {}
            return placement

        return Plan(
            "vocos/base",
            changes,
            assign,
            step=step,
            fresh=() if critics else ("critic",),
            read=read,
            assumed=assumed,
            learning_rates=rates,
        )


PUBLISHED = (VocosLayout(),)


def _sizes(arrays: ForeignArrays) -> Sizes:
    shapes = arrays.shapes
    blocks = {int(match[1]) for match in (re.match(r"backbone\.convnext\.(\d+)\.", name) for name in arrays) if match}
    channels, bands, _ = shapes["backbone.embed.weight"]
    return Sizes(bands, channels, shapes["backbone.convnext.0.pwconv1.bias"][0], len(blocks), shapes["head.out.bias"][0] - 2)


def _resolutions(arrays: ForeignArrays) -> dict[str, Any]:
    """Recipe keys of the discriminators over resolutions, whose windows are in the file."""
    sizes: list[int] = []
    while (name := f"discriminators.{len(sizes)}.spec_fn.window") in arrays:
        sizes.append(arrays.shapes[name][0])
    channels = arrays.shapes["discriminators.0.band_convs.0.0.bias"][0]
    return {"model.mrd.channels": channels, **({"model.mrd.resolutions": sizes} if sizes else {})}


def _settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The init_args of feature extractor and head, with their class_path; of the published config.yaml or the training's."""
    inner = config.get("model", config)
    inner = inner.get("init_args", inner) if isinstance(inner, dict) else {}
    found = {}
    for key in ("feature_extractor", "head"):
        part = inner.get(key)
        part = part if isinstance(part, dict) else {}
        arguments = part.get("init_args")
        found[key] = {"class_path": part["class_path"]} | (arguments if isinstance(arguments, dict) else {}) if "class_path" in part else {}
    return found


def _rate_of(arrays: ForeignArrays, sizes: Sizes, assumed: list[str]) -> int | None:
    """The sample rate whose mel filters the file holds."""
    if _FILTERS not in arrays:
        return None
    filters = np.asarray(arrays[_FILTERS], np.float32)
    for rate in _RATES:
        if filters.shape == (sizes.fft // 2 + 1, sizes.bands):
            bank = mel_filter_bank(rate, sizes.fft, sizes.bands, 0.0, rate / 2, "htk", "none")
            if np.abs(bank - filters).max() < _FILTER_ERROR:
                assumed.append(f"{rate} Hz, of which the mel filters in the file are")
                return rate
    return None


def _check_filters(source: Source, arrays: ForeignArrays, sizes: Sizes, rate: int) -> None:
    """Compare the mel filters in the file with those of the recipe."""
    if _FILTERS not in arrays:
        return
    filters = np.asarray(arrays[_FILTERS], np.float32)
    bank = mel_filter_bank(rate, sizes.fft, sizes.bands, 0.0, rate / 2, "htk", "none")
    if filters.shape != bank.shape or np.abs(filters - bank).max() > _FILTER_ERROR:
        raise ArrayMismatchError(source.path, f"has mel filters other than those of {sizes.bands} HTK bands at {rate} Hz.")


def _without_buffers(arrays: ForeignArrays) -> ForeignArrays:
    """The parameters of the generator alone: what its optimiser counts."""
    kept = [name for name in arrays if name.startswith(("backbone.", "head.")) and not name.endswith(".window")]
    return arrays.only(kept)


def _moments(source: Source, number: int, *parts: tuple[str, ForeignArrays]) -> Moments | None:
    key = f"optimizer_states.{number}"
    if not any(name.startswith(f"{key}.state.") for name in source.arrays):
        return None
    without_windows = [(prefix, part.only([name for name in part if not name.endswith(".window")])) for prefix, part in parts]
    return Moments.of(source.arrays.under(key), *without_windows)


def _place_generator(arrays: ForeignArrays, network: Any, placement: Placement, sizes: Sizes, moments: Moments | None) -> None:
    weights = TorchWeights(arrays, placement, moments)
    blocks = [f"backbone.convnext.{number}" for number in range(sizes.blocks)]
    (embed,) = weighted_layers(network, "Convolution1D")
    weights.layer(embed, "backbone.embed")
    norms = ["backbone.norm", *(f"{block}.norm" for block in blocks), "backbone.final_layer_norm"]
    for layer, name in zip(weighted_layers(network, "LayerNormalization"), norms, strict=True):
        weights.vector(layer.gamma, f"{name}.weight")
        weights.vector(layer.beta, f"{name}.bias")
    for layer, block in zip(weighted_layers(network, "DepthwiseConvolution1D"), blocks, strict=True):
        taps = layer.kernel.shape[0]
        weights.turned(layer.kernel, f"{block}.dwconv.weight", (sizes.channels, 1, taps), lambda kernel: kernel[:, 0].T)
        weights.vector(layer.bias, f"{block}.dwconv.bias")
    for layer, block in zip(weighted_layers(network, "LayerScale"), blocks, strict=True):
        weights.vector(layer.factor, f"{block}.gamma")
    last = network.get_layer("spectrum")
    dense = [layer for layer in weighted_layers(network, "Dense") if layer is not last]
    for layer, name in zip(dense, [f"{block}.{part}" for block in blocks for part in ("pwconv1", "pwconv2")], strict=True):
        weights.layer(layer, name)
    weights.layer(last, "head.out")
    weights.finish(*_BUFFERS)


def _place_multi_resolution(weights: TorchWeights, network: Any) -> None:
    layers = weighted_layers(network, "WeightNormalization")
    part = 5 * _BANDS + 1
    for number, layer in enumerate(layers):
        resolution, place = divmod(number, part)
        inside = "conv_post" if place == part - 1 else f"band_convs.{place // 5}.{place % 5}"
        weights.layer(layer, f"discriminators.{resolution}.{inside}")
