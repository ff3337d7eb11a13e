"""Published SpecGANs: TensorFlow 1 checkpoints of chrisdonahue/wavegan, versions 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...data.foreign import ForeignArrays, ForeignFileError, open_arrays, read_moments
from ...data.statistics import statistics_key
from ...feature_specs import LogSpectrogram
from ..published import Answers, Plan, Proof, Source, cannot_express
from ..tensorflow_graph import run_graph
from ..tensorflow_weights import step_of
from ..wavegan_published import Sizes, TrainingFolder, Weights, no_proof, proof_latents, proof_of, refuse_graphs, sizes_of

# Built into the authors' code.
FFT, HOP, FRAMES, CLIP_SAMPLES, LAYERS, LOG_OFFSET, CLIP_DEVIATIONS = 256, 128, 128, 16384, 5, 1e-6, 3.0
_BINS = FFT // 2 + 1
_FIRST = re.compile(r"G/upconv_0/(conv2d_transpose|conv2d)/kernel")


class SpecGANLayout:
    """A training folder, or one checkpoint with its moments beside it."""

    family = "specgan"
    title = "SpecGAN (chrisdonahue/wavegan)"
    files = ()

    def recognises(self, source: Source) -> bool:
        refuse_graphs(source)
        shapes = source.arrays.shapes
        first = next((shape for name, shape in shapes.items() if _FIRST.fullmatch(name)), ())
        return "G/z_project/dense/kernel" in shapes and len(first) == 4 and first[0] != 1

    def plan(self, source: Source, answers: Answers) -> Plan:
        sizes = sizes_of(source, "conv2d", 16)
        if (sizes.layers, sizes.channels) != (LAYERS, 1):
            raise cannot_express(
                source, f"has {sizes.layers} upsampling layers and {sizes.channels} channels; the authors' SpecGAN has {LAYERS} and one."
            )
        folder, weights = TrainingFolder(source, answers, "specgan"), Weights(source, sizes, "conv2d", answers)
        rate = folder.sample_rate()
        training, repeats = folder.training(weights.optimizer)
        mean, deviation = _moments(folder)
        peak = answers.settings.get("data.peak_normalize", training["data.peak_normalize"])
        key = statistics_key(LogSpectrogram(FFT, HOP, FRAMES, LOG_OFFSET), peak, answers.settings.get("data.peak", 1.0))
        changes = {
            **sizes.changes,
            **training,
            "data.sample_rate": rate,
            "data.clip_samples": CLIP_SAMPLES,
            "model.fft": FFT,
            "model.hop": HOP,
            "model.frames": FRAMES,
            "model.log_offset": LOG_OFFSET,
            "model.clip_deviations": CLIP_DEVIATIONS,
            "model.griffin_lim": "plain",
            "model.griffin_lim_iterations": folder.number("specgan_ngl", 16),
        }
        folder.assumed.append(
            "the authors' inversion, for their samples (--set model.griffin_lim=matched comes nearer to the spectrograms)"
        )
        return Plan(
            "specgan/base",
            changes,
            lambda networks, averaged: weights.place(networks, repeats),
            step=step_of(source.arrays),
            fresh=weights.fresh,
            facts={"statistics": {key: {"mean": mean.tolist(), "deviation": deviation.tolist()}}},
            read=folder.read,
            assumed=folder.assumed,
            proof=_proof(folder, sizes) if folder.infer else None,
            no_proof=no_proof(folder.infer),
        )


PUBLISHED = (SpecGANLayout(),)


# The moments by which spectrograms are normalised are no variables: they are constants of infer.meta, and a pickle.


def _moments(folder: TrainingFolder) -> tuple[np.ndarray, np.ndarray]:
    """Read (mean, deviation), float64 [129] each.

    Raises:
        ForeignFileError: They are nowhere, or of another length.
    """
    found, where = None, ""
    if folder.infer is not None:
        graph = open_arrays(folder.infer)
        found, where = _moments_in(graph), folder.infer.name
        folder.source.use(*graph.files)
    if found is None:
        named = str(folder.options.get("data_moments_fp", "moments.pkl")).replace("\\", "/").rpartition("/")[2]
        path = folder.source.beside(named, "moments.pkl", "moments.npz", "*moments*.pkl", "*moments*.npz")
        if path is None:
            raise cannot_express(
                folder.source,
                "has no moments beside it, by which SpecGAN normalises its spectrograms; they are not in the checkpoint.",
                "put infer/infer.meta or moments.pkl of the training folder beside it",
            )
        found, where = read_moments(path), path.name
        folder.source.use(path)
    mean, deviation = (np.asarray(values, np.float64).reshape(-1) for values in found)
    if len(mean) != _BINS or len(deviation) != _BINS:
        raise cannot_express(folder.source, f"has moments of {len(mean)} bins in {where}; expected {_BINS}.")
    folder.read.append(f"moments of {_BINS} bins: {where}")
    return mean, deviation


def _moments_in(graph: ForeignArrays) -> tuple[np.ndarray, np.ndarray] | None:
    """The constants in exp(scaled * deviation + mean), wherever the graph has that."""
    nodes: Mapping[str, Mapping[str, Any]] = graph.facts["nodes"]
    for node in nodes.values():
        if node["op"] != "Exp":
            continue
        mean, product = _constant_and_rest(graph, node["inputs"][0], ("Add", "AddV2"))
        deviation, _ = _constant_and_rest(graph, product, ("Mul",))
        if mean is not None and deviation is not None:
            return mean, deviation
    return None


def _constant_and_rest(graph: ForeignArrays, name: str, operations: tuple[str, ...]) -> tuple[np.ndarray | None, str]:
    """The constant [129] that a node adds or multiplies, and its other input."""
    node = graph.facts["nodes"].get(name)
    if node is not None and node["op"] in operations and len(node["inputs"]) == 2:
        for constant, rest in (node["inputs"], node["inputs"][::-1]):
            if constant in graph and graph.shapes[constant] == (_BINS,):
                return graph[constant], rest
    return None, ""


def _proof(folder: TrainingFolder, sizes: Sizes):
    def run(model: Any) -> Proof | str:
        latents, infer = proof_latents(sizes), folder.infer
        assert infer is not None
        try:
            inputs = {"z": latents, "ngl": np.array(model.to_audio.iterations, np.int32)}
            spectrograms, audio = run_graph(infer, folder.source.arrays, inputs, ["G_z_norm", "G_z"])
        except ForeignFileError as error:
            return no_proof(infer, error)
        folder.source.use(infer)
        found = np.asarray(model.network(latents, training=False))
        note = "compared are the spectrograms"
        if model.to_audio.griffin_lim == "plain":
            difference = np.abs(np.asarray(model.to_audio(found)) - np.clip(audio, -1.0, 1.0)).max()
            note += f"; audio after {model.to_audio.iterations} rounds of Griffin-Lim differs by {difference:.2g}"
        return proof_of(infer.name, found, spectrograms, [note])

    return run
