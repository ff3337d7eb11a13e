"""Published WaveGANs: TensorFlow 1 checkpoints of chrisdonahue/wavegan, versions 1 and 2."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ...data.foreign import ForeignFileError, open_arrays
from ...errors import UsageError
from ..published import Answers, Plan, Proof, Source, cannot_express
from ..tensorflow_graph import run_graph
from ..tensorflow_weights import step_of
from ..wavegan_published import Sizes, TrainingFolder, Weights, no_proof, proof_latents, proof_of, refuse_graphs, sizes_of

START_SAMPLES = 16
_FIRST = re.compile(r"G/upconv_0/(conv2d_transpose|conv1d)/kernel")


class WaveGANLayout:
    """A training folder, or one checkpoint."""

    family = "wavegan"
    title = "WaveGAN (chrisdonahue/wavegan)"
    files = ()

    def recognises(self, source: Source) -> bool:
        refuse_graphs(source)
        shapes = source.arrays.shapes
        first = next((shape for name, shape in shapes.items() if _FIRST.fullmatch(name)), ())
        return "G/z_project/dense/kernel" in shapes and (len(first) == 3 or (len(first) == 4 and first[0] == 1))

    def plan(self, source: Source, answers: Answers) -> Plan:
        sizes = sizes_of(source, "conv1d", START_SAMPLES)
        if sizes.postprocess and sizes.channels > 1:
            raise cannot_express(
                source,
                f"has a post-processing filter from {sizes.channels} channels to one; gan-audio's has a filter for each channel.",
                "models without --wavegan_genr_pp, or of one channel, can be imported",
            )
        folder, weights = TrainingFolder(source, answers, "wavegan"), Weights(source, sizes, "conv1d", answers)
        rate = folder.sample_rate()
        training, repeats = folder.training(weights.optimizer)
        changes = {
            **sizes.changes,
            **training,
            "data.sample_rate": rate,
            "data.clip_samples": _clip_samples(folder, sizes),
            "model.start_samples": START_SAMPLES,
            "model.phase_shuffle": folder.number("wavegan_disc_phaseshuffle", 2),
            "model.postprocess_filter": sizes.postprocess,
        }
        return Plan(
            "wavegan/base",
            changes,
            lambda networks, averaged: weights.place(networks, repeats),
            step=step_of(source.arrays),
            fresh=weights.fresh,
            read=folder.read,
            assumed=folder.assumed,
            proof=_proof(folder, sizes) if folder.infer else None,
            no_proof=no_proof(folder.infer),
        )


PUBLISHED = (WaveGANLayout(),)


def _clip_samples(folder: TrainingFolder, sizes: Sizes) -> int:
    """Samples of a clip. Five layers give 16384; six give 32768 or 65536 with the same shapes.

    Raises:
        UsageError: No file says which.
        ForeignFileError: Another number of layers.
    """
    if sizes.layers == 5:
        return 16384
    if sizes.layers != 6:
        raise cannot_express(folder.source, f"has {sizes.layers} upsampling layers; the authors' code has 5 or 6.")
    said = folder.answers.settings.get("data.clip_samples")
    found = _samples_of_graph(folder) or folder.options.get("data_slice_len") or said
    if found not in (32768, 65536):
        raise UsageError(
            f"{folder.source.path} has six upsampling layers: its clips have 32768 or 65536 samples, and no file beside it says which.",
            hint="--set data.clip_samples=65536, or 32768",
        )
    if said not in (None, found):
        raise UsageError(f"data.clip_samples is {said}; the files beside {folder.source.path} say {found}.", hint="leave it out")
    return int(found)


def _samples_of_graph(folder: TrainingFolder) -> int | None:
    """The length of infer.meta's G_z, where that is there and says it."""
    if folder.infer is None:
        return None
    try:
        shape = open_arrays(folder.infer).facts["nodes"].get("G_z", {}).get("shape") or []
    except ForeignFileError:
        return None
    return shape[1] if len(shape) == 3 else None


def _proof(folder: TrainingFolder, sizes: Sizes):
    def run(model: Any) -> Proof | str:
        latents, infer = proof_latents(sizes), folder.infer
        assert infer is not None
        try:
            (expected,) = run_graph(infer, folder.source.arrays, {"z": latents}, ["G_z"])
        except ForeignFileError as error:
            return no_proof(infer, error)
        folder.source.use(infer)
        found = np.asarray(model({"latent": latents}))
        return proof_of(infer.name, found, np.clip(expected, -1.0, 1.0))

    return run
