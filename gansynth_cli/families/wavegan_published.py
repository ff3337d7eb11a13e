"""What checkpoints of WaveGAN and SpecGAN have in common: the training folders of chrisdonahue/wavegan, versions 1 and 2.

A folder holds `model.ckpt-N.{index,data-...}`, `checkpoint`, `infer/infer.meta` and `args.txt`; a published model is a prefix with
`NAME_infer.meta` beside it. `args.txt` is written anew by every run of the script, also by those that only preview, and then holds that
run's (mostly default) options: sizes come from shapes, and the rest is believed if its mode is "train".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.foreign import ForeignFileError
from .published import Answers, Placement, Plan, Proof, Source, cannot_express
from .tensorflow_weights import DEFAULT_BETA_2, TensorFlowWeights, optimizer_of, overrides_optimizers, step_of, updates_of

AUTHORS_RATE = 16000  # Hz; the default of version 2, and built into version 1
PROOF_LATENTS = 2
_PROOF_SEED = 0x9E37
_ADAM = {"name": "adam", "beta_1": 0.5, "epsilon": 1e-8}
_RMSPROP = {"name": "rmsprop", "rho": 0.9, "epsilon": 1e-10, "initial_square": 1.0}

# The authors' loss -> (ours, the optimiser of both networks).
_LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "wgan-gp": ("wgan-gp", {**_ADAM, "learning_rate": 1e-4, "beta_2": 0.9}),
    "dcgan": ("nonsaturating", {**_ADAM, "learning_rate": 2e-4, "beta_2": DEFAULT_BETA_2}),
    "lsgan": ("lsgan", {**_RMSPROP, "learning_rate": 1e-4}),
    "wgan": ("wgan", {**_RMSPROP, "learning_rate": 5e-5}),
}


@dataclass(frozen=True)
class Sizes:
    """What names and shapes say. `layers`: transposed convolutions; `postprocess`: taps of the filter, 0 without."""

    latent_dim: int
    dim: int
    kernel: int
    layers: int
    channels: int
    batch_norm: bool
    upsample: str
    postprocess: int

    @property
    def changes(self) -> dict[str, Any]:
        """Recipe keys that both families have."""
        return {
            "model.latent_dim": self.latent_dim,
            "model.dim": self.dim,
            "model.kernel": self.kernel,
            "model.upsample": self.upsample,
            "model.batch_norm": self.batch_norm,
            "data.channels": self.channels,
        }


def refuse_graphs(source: Source) -> None:
    """Explain what to give in place of a graph.

    Raises:
        ForeignFileError: The source is a graph.
    """
    if source.arrays.kind == "tensorflow graph" and any(name.startswith("G/") for name in source.arrays.facts["nodes"]):
        raise ForeignFileError(source.path, "is a graph without weights.", "give the folder or the prefix of the checkpoint beside it")


def sizes_of(source: Source, convolution: str, start: int) -> Sizes:
    """Read the sizes out of the generator's shapes.

    Args:
        source: A checkpoint.
        convolution: Scope of a layer's convolution without upsampling: "conv1d" or "conv2d".
        start: Positions of the first feature map.

    Raises:
        ForeignFileError: Another arrangement of layers.
    """
    shapes = source.arrays.shapes
    dense = shapes.get("G/z_project/dense/kernel", ())
    layers = 1 + max((int(match[1]) for match in (re.match(r"G/upconv_(\d+)/", name) for name in shapes) if match), default=-1)
    upsample = "transposed" if "G/upconv_0/conv2d_transpose/kernel" in shapes else "nearest"
    scope = "conv2d_transpose" if upsample == "transposed" else convolution
    last = shapes.get(f"G/upconv_{layers - 1}/{scope}/kernel", ())
    if len(dense) != 2 or layers < 2 or len(last) < 3:
        raise cannot_express(
            source, "has layers like WaveGAN's, in another arrangement.", "gan-audio reads versions 1 and 2 of the authors' code"
        )
    inputs, outputs = (last[-1], last[-2]) if upsample == "transposed" else (last[-2], last[-1])
    if dense[1] != start * inputs * 2 ** (layers - 1):
        raise cannot_express(
            source,
            f"begins with {dense[1]} units; expected {start} positions of {inputs * 2 ** (layers - 1)} channels for {layers} layers.",
        )
    postprocess = shapes.get("G/pp_filt/conv1d/kernel", (0,))
    return Sizes(
        latent_dim=dense[0],
        dim=inputs,
        kernel=last[1] if upsample == "transposed" else last[0],
        layers=layers,
        channels=outputs,
        batch_norm="G/z_project/batch_normalization/gamma" in shapes,
        upsample=upsample,
        postprocess=postprocess[0],
    )


class TrainingFolder:
    """What lies around a checkpoint.

    Args:
        source: The checkpoint.
        answers: What the user said.
        prefix: Of the options in args.txt: "wavegan" or "specgan".

    Attributes:
        options: args.txt; empty without one, or where another run than the training has written it.
        infer: The graph that generates, if it is there.
        read, assumed: Lines for the `Plan`.
    """

    def __init__(self, source: Source, answers: Answers, prefix: str):
        self.source, self.answers, self.prefix = source, answers, prefix
        self.read = [f"weights: {len(source.arrays)} variables"]
        self.assumed: list[str] = []
        options = source.config("args.txt") or {}
        mode = options.get("mode", "train") if options else None
        self.options: Mapping[str, Any] = options if mode == "train" else {}
        if mode not in (None, "train"):
            self.assumed.append(f"args.txt was written by a run of mode {mode!r}, not by the training; it is not used")
        self.infer = self._find_infer()

    def _find_infer(self) -> Path | None:
        name = str(self.source.arrays.facts.get("prefix", "")).partition(".")[0]
        places = ("infer/infer.meta", "infer.meta", f"{name}_infer.meta", f"../{name}_infer.meta", "../infer/infer.meta")
        return next((found for place in places if (found := self.source.folder / place).is_file()), None)

    def option(self, name: str, default: Any = None) -> Any:
        """Read an option with the family's prefix, such as "loss" for wavegan_loss."""
        return self.options.get(f"{self.prefix}_{name}", default)

    def number(self, name: str, default: int) -> int:
        """Read a whole number from args.txt.

        Raises:
            ForeignFileError: It is something else.
        """
        value = self.options.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ForeignFileError(self.source.folder / "args.txt", f"has {name},{value}; expected a whole number.")
        return value

    def sample_rate(self) -> int:
        """Return the rate in Hz of args.txt, of the user, or else the authors' default, which is then said."""
        if "data_sample_rate" in self.options:
            self.read.append("sample rate and training settings: args.txt")
            return self.answers.rate(self.number("data_sample_rate", AUTHORS_RATE))
        if self.answers.sample_rate or "data.sample_rate" in self.answers.settings:
            return self.answers.rate(None)
        self.assumed.append(f"sample rate {AUTHORS_RATE} Hz, the authors' default (--sample-rate for another)")
        return AUTHORS_RATE

    def training(self, optimizer: str) -> tuple[dict[str, Any], int]:
        """Work out how it was trained.

        Args:
            optimizer: What the slots in the checkpoint are of; "": there are none.

        Returns:
            Recipe keys, and the updates of the discriminator in a step.
        """
        loss = self.option("loss")
        if loss not in _LOSSES:
            loss = {"rmsprop": "lsgan", "adam": self._loss_of_adam()}.get(optimizer, "wgan-gp")
            self.assumed.append(f"loss {loss}, for training on (adversarial.loss): no args.txt says it")
        ours, settings = _LOSSES[loss]
        repeats = self.number(f"{self.prefix}_disc_nupdates", 5 if loss in ("wgan-gp", "wgan") else 1)
        changes = {
            "adversarial.loss": ours,
            "adversarial.critic_repeats": repeats,
            "data.batch_size": self.number("train_batch_size", 64),
            **{f"optimizers.{network}.{key}": value for network in ("generator", "critic") for key, value in settings.items()},
        }
        if self.options.get("data_first_slice") is True:
            changes["data.crop"] = "start"
        # Version 2 scales every file to a peak of 1, whatever its option data_normalize says; version 1 reads its files as they are.
        changes["data.peak_normalize"] = "recording" if "data_slice_len" in self.options or "data_normalize" in self.options else False
        return changes, repeats

    def _loss_of_adam(self) -> str:
        """Tell dcgan from wgan-gp by beta_2: after as many updates its power is another by orders of magnitude."""
        step, arrays = step_of(self.source.arrays), self.source.arrays
        return "dcgan" if step and updates_of(arrays, "beta2_power", DEFAULT_BETA_2, -1) == step else "wgan-gp"


class Weights:
    """Places both networks.

    Args:
        source: The checkpoint.
        sizes: What its shapes say.
        convolution: Scope of a convolution: "conv1d" or "conv2d".
        answers: What the user said.
    """

    def __init__(self, source: Source, sizes: Sizes, convolution: str, answers: Answers):
        self.source, self.arrays, self.sizes, self.convolution = source, source.arrays, sizes, convolution
        self.optimizer = optimizer_of(self.arrays, "G/z_project/dense/kernel")
        self.placed = "" if overrides_optimizers(answers.settings) else self.optimizer
        self.has_critic = "D/output/dense/kernel" in self.arrays

    @property
    def fresh(self) -> tuple[str, ...]:
        return () if self.has_critic else ("critic",)

    def place(self, networks: Mapping[str, Any], repeats: int) -> Placement:
        """Place every variable of the checkpoint.

        Args:
            networks: "generator" and "critic".
            repeats: Updates of the discriminator in a step.

        Raises:
            ForeignFileError: A variable is missing, of another shape, not finite, or left over.
        """
        placement = Placement()
        weights = TensorFlowWeights(self.arrays, placement, self.placed)
        self._generator(weights, networks["generator"])
        if self.has_critic:
            self._critic(weights, networks["critic"])
        weights.finish()
        step = step_of(self.arrays)
        if self.placed and step:
            beta = DEFAULT_BETA_2
            adam = self.placed == "adam" and updates_of(self.arrays, "beta2_power", beta, -1) == step  # else beta is another
            critic = updates_of(self.arrays, "beta2_power_1", beta, step * repeats) if adam else step * repeats
            placement.updates = {"generator": step} | ({"critic": critic} if self.has_critic else {})
        return placement

    def _generator(self, weights: TensorFlowWeights, network: Any) -> None:
        weights.layer(network.get_layer("dense"), "G/z_project/dense")
        scope = "conv2d_transpose" if self.sizes.upsample == "transposed" else self.convolution
        flat = self.convolution == "conv1d" and scope == "conv2d_transpose"
        for index, layer in enumerate(_convolutions(network)):
            if flat:  # a convolution over one row
                weights.layer(layer, f"G/upconv_{index}/{scope}", turn=lambda kernel: kernel[0], shape=(1, *layer.kernel.shape))
            else:
                weights.layer(layer, f"G/upconv_{index}/{scope}")
        scopes = ["z_project", *(f"upconv_{index}" for index in range(self.sizes.layers - 1))]
        self._normalizations(weights, network, "G", scopes)
        if self.sizes.postprocess:
            weights.layer(network.get_layer("postprocess"), "G/pp_filt/conv1d")

    def _critic(self, weights: TensorFlowWeights, network: Any) -> None:
        for index, layer in enumerate(_convolutions(network)):
            weights.layer(layer, f"D/downconv_{index}/{self.convolution}")
        self._normalizations(weights, network, "D", [f"downconv_{index}" for index in range(1, self.sizes.layers)])
        weights.layer(network.get_layer("logit"), "D/output/dense")

    def _normalizations(self, weights: TensorFlowWeights, network: Any, head: str, scopes: Sequence[str]) -> None:
        if self.sizes.batch_norm:
            for layer, scope in zip(_layers(network, "BatchNormalization"), scopes, strict=True):
                weights.normalization(layer, f"{head}/{scope}/batch_normalization")


def _convolutions(network: Any) -> list[Any]:
    return _layers(network, "Conv1D", "Conv2D", "Conv1DTranspose", "Conv2DTranspose")


def _layers(network: Any, *classes: str) -> list[Any]:
    """The layers of some classes, in the order of the graph, which has no branches."""
    return [layer for layer in network.layers if type(layer).__name__ in classes]


def proof_latents(sizes: Sizes) -> np.ndarray:
    """float32 [2, latent_dim]: what both graphs are run on."""
    return np.random.default_rng(_PROOF_SEED).uniform(-1.0, 1.0, (PROOF_LATENTS, sizes.latent_dim)).astype(np.float32)


def proof_of(runner: str, found: np.ndarray, expected: np.ndarray, notes: Sequence[str] = ()) -> Proof:
    """Compare two outputs of the same latents."""
    if found.shape != expected.shape:
        difference = float("inf")
    else:
        difference = float(np.abs(found - expected).max())
    inputs = tuple(f"latent {index + 1}" for index in range(PROOF_LATENTS))
    return Proof(f"{runner}, TensorFlow {_version()}", inputs, difference, float(np.abs(expected).max()), notes=tuple(notes))


def _version() -> str:
    import tensorflow as tf

    return tf.__version__


def no_proof(infer: Path | None, problem: ForeignFileError | None = None) -> str:
    """Say why nothing was compared."""
    if infer is None:
        return "there is no infer.meta beside the checkpoint, which could be run"
    return f"{infer.name} {problem.reason.rstrip('.')}" if problem else ""


__all__ = ["Plan", "Sizes", "TrainingFolder", "Weights"]
