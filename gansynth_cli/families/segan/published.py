"""Published SEGANs: TensorFlow checkpoints of santi-pdp/segan (`SEGAN-41700`), whose generator is the autoencoder `g_ae`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...data.foreign import ForeignArrays
from ..published import Answers, Placement, Plan, Source, cannot_express
from ..tensorflow_weights import TensorFlowWeights, optimizer_of, overrides_optimizers

# Built into the authors' code, or the options of their published model.
RATE, STRIDE, PREEMPHASIS, LEAK, BATCH = 16000, 2, 0.95, 0.3, 100
_FIRST, _CRITIC = "g_ae/enc_0/W", "d_model/fully_connected/weights"


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say of both networks. `slopes`: whether the generator's rectifiers were learnt."""

    widths: list[int]
    kernel: int
    latent_dim: int
    steps: int  # of the code
    batch: int
    slopes: bool
    critic_widths: list[int]


class SEGANLayout:
    """A checkpoint, or the folder that holds it."""

    family = "segan"
    title = "SEGAN (santi-pdp/segan)"
    files = ()

    def recognises(self, source: Source) -> bool:
        return len(source.arrays.shapes.get(_FIRST, ())) == 4

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays = source.arrays
        sizes = _sizes(source)
        optimizer = "" if overrides_optimizers(answers.settings) else optimizer_of(arrays, _FIRST)
        step = _step_of(arrays)
        has_critic = _CRITIC in arrays

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            weights = TensorFlowWeights(arrays, placement, optimizer)
            _place_generator(weights, networks["generator"], sizes)
            if has_critic:
                _place_critic(weights, networks["critic"], len(sizes.critic_widths))
            weights.finish("g_ae/z/z", "Variable", "Variable_[0-9]*")
            if optimizer and step:
                placement.updates = {"generator": step} | ({"critic": step} if has_critic else {})
            return placement

        return Plan(
            "segan/base",
            {
                "data.sample_rate": RATE if answers.sample_rate is None else answers.rate(None),
                "data.clip_samples": sizes.steps * STRIDE ** len(sizes.widths),
                "data.batch_size": sizes.batch,
                "model.widths": sizes.widths,
                "model.critic_widths": [] if sizes.critic_widths in ([], sizes.widths) else sizes.critic_widths,
                "model.kernel": sizes.kernel,
                "model.stride": STRIDE,
                "model.latent_dim": sizes.latent_dim,
                "model.reference_clips": sizes.batch,
            },
            assign,
            step=step,
            fresh=() if has_critic else ("critic",),
            read=[f"weights: {len(arrays)} variables"],
            assumed=_assumed(sizes, has_critic),
            no_proof="the authors' graphs read their data set and generate nothing by themselves",
        )


PUBLISHED = (SEGANLayout(),)


def _sizes(source: Source) -> Sizes:
    shapes = source.arrays.shapes
    widths, critic_widths = _widths(shapes, "g_ae/enc_{}/W"), _widths(shapes, "d_model/d_block_{}/downconv/W")
    last = shapes.get("g_ae/dec_0/W", ())
    if len(last) != 4:
        raise cannot_express(source, "does not decode by transposed convolutions.", "models with deconv_type deconv can be imported")
    noise = shapes.get("g_ae/z/z", ())
    steps = shapes[_CRITIC][0] if _CRITIC in shapes else noise[1] if len(noise) == 3 else 8
    return Sizes(
        widths=widths,
        kernel=shapes[_FIRST][0],
        latent_dim=last[3] - widths[-1],
        steps=steps,
        batch=noise[0] if len(noise) == 3 else BATCH,
        slopes="g_ae/enc_prelu_0/alpha" in shapes,
        critic_widths=critic_widths,
    )


def _assumed(sizes: Sizes, has_critic: bool) -> list[str]:
    lines = [f"{RATE} Hz and a pre-emphasis of {PREEMPHASIS}, the authors' (--set model.preemphasis=0 for none)"]
    if not sizes.slopes:
        lines.append(f"leaky rectifiers of slope {LEAK} in the generator; here they are slopes that training may change")
    if has_critic:
        lines.append("the reference batch of virtual batch normalisation: the checkpoint has none; training begins by choosing one")
    return lines


def _widths(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> list[int]:
    widths: list[int] = []
    while len(shape := shapes.get(pattern.format(len(widths)), ())) == 4:
        widths.append(shape[3])
    return widths


def _step_of(arrays: ForeignArrays) -> int:
    """The number at the end of the prefix, as in SEGAN-41700: the authors count batches."""
    found = re.search(r"-(\d+)$", str(arrays.facts.get("prefix", "")))
    return int(found[1]) if found else 0


def _place_generator(weights: TensorFlowWeights, network: Any, sizes: Sizes) -> None:
    layers = len(sizes.widths)
    for index in range(layers):
        _convolution(weights, network.get_layer(f"encode_{index}"), f"g_ae/enc_{index}")
        _convolution(weights, network.get_layer(f"decode_{index}"), f"g_ae/dec_{index}")
        _slope(weights, network.get_layer(f"encode_{index}_prelu"), f"g_ae/enc_prelu_{index}/alpha", sizes)
        if index < layers - 1:
            _slope(weights, network.get_layer(f"decode_{index}_prelu"), f"g_ae/dec_prelu_{index}/alpha", sizes)


def _place_critic(weights: TensorFlowWeights, network: Any, layers: int) -> None:
    for index in range(layers):
        _convolution(weights, network.get_layer(f"conv_{index}"), f"d_model/d_block_{index}/downconv")
        norm = network.get_layer(f"norm_{index}")
        for variable in (norm.gamma, norm.beta):
            weights.put(variable, f"d_model/d_block_{index}/d_vbn_{index}/{variable.name}")
    pool, logit = network.get_layer("pool"), network.get_layer("logit")
    weights.put(pool.kernel, "d_model/logits_conv/W")
    weights.constant(pool.bias, 0.0)
    weights.put(logit.kernel, "d_model/fully_connected/weights")
    weights.put(logit.bias, "d_model/fully_connected/biases")
    weights.placement.defer(network.get_layer("reference").reference)


def _convolution(weights: TensorFlowWeights, layer: Any, scope: str) -> None:
    """A convolution over columns: its kernels have an axis of 1; without the authors' option for biases there are none."""
    taps, *rest = layer.kernel.shape
    weights.put(layer.kernel, f"{scope}/W", lambda kernel: kernel[:, 0], (taps, 1, *rest))
    if weights.weights.has(f"{scope}/b"):
        weights.put(layer.bias, f"{scope}/b")
    else:
        weights.constant(layer.bias, 0.0)


def _slope(weights: TensorFlowWeights, layer: Any, name: str, sizes: Sizes) -> None:
    if sizes.slopes:
        weights.put(layer.alpha, name, lambda slopes: slopes[None], layer.alpha.shape[1:])
    else:
        weights.constant(layer.alpha, LEAK)
