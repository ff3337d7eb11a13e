"""What the published checkpoints of all vocoders have in common: the discriminators, and inputs for a proof. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..data.foreign import ForeignArrays
from .published import Answers, Proof, Source, cannot_express
from .torch_weights import TorchWeights, kernel_shape, weighted_layers

PERIODS = (2, 3, 5, 7, 11)  # fixed in the code of HiFi-GAN and Vocos
PROOF_SECONDS = 1.0


def multi_period_changes(source: Source, arrays: ForeignArrays, part: str, layer: str) -> dict[str, Any]:
    """Recipe keys of discriminators over periods, off their names and shapes; arguments as `place_multi_period`.

    Raises:
        ForeignFileError: There are more than the published periods, which the files do not say.
    """
    count = 0
    while f"{part.format(count)}.{layer.format(0)}.bias" in arrays:
        count += 1
    if not 0 < count <= len(PERIODS):
        raise cannot_express(source, f"has {count} discriminators over periods; the published {len(PERIODS)} are known.")
    channels = kernel_shape(arrays, f"{part.format(0)}.{layer.format(0)}")[0]
    return {"model.mpd.periods": list(PERIODS[:count]), "model.mpd.channels": channels}


def place_multi_period(weights: TorchWeights, network: Any, part: str, layer: str, last: str) -> None:
    """Place the discriminators over periods.

    Args:
        weights: Their state dict.
        network: `layers.discriminators.multi_period`.
        part: Name of one of them, "{}" being its number: "discriminators.{}".
        layer: Name of a layer in it: "convs.{}".
        last: Name of the layer that gives the logits: "conv_post".
    """
    _place(weights, weighted_layers(network, "WeightNormalization"), part, [*map(layer.format, range(5)), last])


def place_multi_scale(weights: TorchWeights, network: Any, part: str, layers: Sequence[str]) -> None:
    """Place the discriminators over scales, those under spectral normalisation first; `layers` are the names in one of them."""
    spectral = weighted_layers(network, "SpectralNormalization")
    _place(weights, spectral + weighted_layers(network, "WeightNormalization"), part, layers)


def _place(weights: TorchWeights, layers: Sequence[Any], part: str, names: Sequence[str]) -> None:
    for number, layer in enumerate(layers):
        weights.layer(layer, f"{part.format(number // len(names))}.{names[number % len(names)]}")


def proof_mels(convention: Any) -> dict[str, np.ndarray]:
    """Make the mel spectrograms that proofs run on: float32 [1, frames, bands], by what they are of."""
    from ..signal.mel_front_end import mel_spectrogram

    samples = int(PROOF_SECONDS * convention.sample_rate) // convention.hop * convention.hop
    time = np.arange(samples) / convention.sample_rate
    pitch = 110.0 * 2.0 ** (time / PROOF_SECONDS)
    phase = 2 * np.pi * np.cumsum(pitch) / convention.sample_rate
    tone = sum(np.sin(n * phase) / n for n in range(1, 30)) * (0.1 + 0.1 * np.sin(6 * np.pi * time) ** 2)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples) * np.sin(np.pi * time / PROOF_SECONDS)
    sounds = {"a harmonic tone gliding from 110 to 220 Hz, 1 s": tone, "white noise that swells and fades, 1 s": noise}
    return {name: np.asarray(mel_spectrogram(sound[None, :, None].astype(np.float32), convention)) for name, sound in sounds.items()}


def script_proof(source: Source, answers: Answers) -> dict[str, Any]:
    """Fields `proof` and `no_proof` of a `Plan` for a TorchScript archive of a vocoder.

    TorchScript is a program: PyTorch runs what is in the file. So it is run where the user says so, and where PyTorch is installed.
    """
    if find_spec("torch") is None:
        return {"no_proof": "the source is a TorchScript program, which only PyTorch can run, and PyTorch is not installed"}
    if not answers.run_graph:
        return {"no_proof": "the source is a TorchScript program, which can do anything; --run-graph runs it with PyTorch, if you trust it"}
    return {"proof": lambda model: _run_script(source, model)}


def _run_script(source: Source, model: Any) -> Proof:
    import torch  # type: ignore[import-not-found,unused-ignore]

    script = torch.jit.load(str(source.path), map_location="cpu").eval()

    def theirs(mel: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return script(torch.from_numpy(np.ascontiguousarray(mel.transpose(0, 2, 1)))).numpy().reshape(-1)

    return compare(f"PyTorch {torch.__version__}", model, theirs)


def compare(runner: str, model: Any, theirs: Callable[[np.ndarray], np.ndarray], limit: float = 1e-3) -> Proof:
    """Run a vocoder and its source on both mel spectrograms.

    Args:
        runner: What runs the source.
        model: A `models.vocoder.Vocoder`.
        theirs: mel [1, frames, bands] -> the source's audio [samples].
        limit: Of the difference, relative to the largest sample.
    """
    difference, scale, mels = 0.0, 0.0, proof_mels(model.convention)
    for mel in mels.values():
        ours, other = np.asarray(model(mel)).reshape(-1), theirs(mel)
        same = min(len(ours), len(other))
        if abs(len(ours) - len(other)) > model.hop:
            return Proof(runner, tuple(mels), float("inf"), 1.0, limit)
        difference = max(difference, float(np.abs(ours[:same] - other[:same]).max()))
        scale = max(scale, float(np.abs(other).max()))
    return Proof(runner, tuple(mels), difference, scale, limit)
