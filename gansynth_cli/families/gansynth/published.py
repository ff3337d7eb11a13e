"""Published GANSynths: TensorFlow checkpoints of magenta's gansynth, an experiment's folder or one of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.foreign import ForeignArrays, ForeignFileError, read_config
from ..published import Answers, Placement, Plan, Source, cannot_express, require, whole_number
from ..tensorflow_weights import TensorFlowWeights, optimizer_of, overrides_optimizers, step_of

if TYPE_CHECKING:
    from ...layers.growth import Stage

_G = "Generator/progressive_gan_generator/progressive_gan_block_{}/"
_D = "Discriminator/progressive_gan_discriminator/progressive_gan_block_{}/"
_HEAD = "Discriminator/discriminator_cond/classification_logits"
_FIRST = _G.format(1) + "conv0/conv2d/kernel"
_SLOTS, _AVERAGE = "progressive_gan_train_ops/", "/ExponentialMovingAverage"
_OTHER_FLAGS = "give its own experiment.json with --config"
LOWEST_PITCH, PITCHES = 24, 61  # NSynth's, as the authors' data set has them: 24 to 84

# What gan-audio's network has built in. A flag that experiment.json leaves out has the authors' default, the first value here.
_BUILT_IN: dict[str, list[Any]] = {
    "data_normalizer": ["specgrams_prespecified_normalizer", None],
    "p_normalizer_b": [0.0, 0, None],
    "simple_arch": [False, None],
    "to_rgb_activation": ["tanh", None],
    "scale_base": [2, None],
    "scale_mode": ["ALL", None],
    "kernel_size": [3, None],
    "g_fn": ["specgram", None],
    "d_fn": ["specgram", None],
    "data_type": ["mel", "linear", None],
    "train_time_limit": [None],
}
# Flags of the authors' program that are read, with its defaults.
_DEFAULTS: dict[str, Any] = {
    "data_type": "mel",
    "audio_length": 64000,
    "sample_rate": 16000,
    "mag_normalizer_a": 0.0661371661726,
    "mag_normalizer_b": 0.113718730221,
    "p_normalizer_a": 0.8,
    "gradient_penalty_target": 1.0,
    "gradient_penalty_weight": 10.0,
    "real_score_penalty_weight": 0.001,
    "generator_ac_loss_weight": 1.0,
    "discriminator_ac_loss_weight": 1.0,
    "gen_gl_consistency_loss_weight": 0.0,
    "generator_learning_rate": 4e-4,
    "discriminator_learning_rate": 4e-4,
    "adam_beta1": 0.0,
    "adam_beta2": 0.99,
    "batch_size_schedule": [16, 8],
    "stable_stage_num_images": 32,
    "transition_stage_num_images": 32,
    "total_num_images": 320,
    "train_progressive": True,
    "num_resolutions": 7,
    "fmap_base": 512,
    "fmap_decay": 1.0,
    "fmap_max": 128,
}
# Without experiment.json: those of the published configuration, mel_prog_hires.
_PUBLISHED_FLAGS: dict[str, Any] = {
    "generator_ac_loss_weight": 10.0,
    "discriminator_ac_loss_weight": 10.0,
    "generator_learning_rate": 8e-4,
    "discriminator_learning_rate": 8e-4,
    "batch_size_schedule": [8],
    "stable_stage_num_images": 800_000,
    "transition_stage_num_images": 800_000,
    "total_num_images": 11_000_000,
    "fmap_base": 4096,
    "fmap_max": 256,
}


class GANSynthLayout:
    """An experiment's folder (`experiment.json`, `stage_00000` ...), one of its stages, or a checkpoint."""

    family = "gansynth"
    title = "GANSynth (magenta)"
    files = ()

    def recognises(self, source: Source) -> bool:
        stages = _stages_in(source.path)
        if stages and (source.path / "experiment.json").is_file():
            return True
        return _FIRST in (source.open(stages[-1]) if stages else source.arrays)

    def plan(self, source: Source, answers: Answers) -> Plan:
        arrays, folder = _open(source)
        flags, assumed, read = _flags(source, folder)
        sizes = _sizes(source, arrays, flags)
        pitches = _pitches(source, arrays, flags, sizes)
        stage, step, progress = _position(arrays, flags, sizes)
        optimizer = "" if overrides_optimizers(answers.settings) else optimizer_of(arrays, f"{_SLOTS}{_FIRST}")
        read.insert(0, f"weights: {len(arrays)} variables of stage {stage.index} ({sizes.blocks} of {sizes.levels} resolutions)")
        if sizes.blocks < sizes.levels:
            assumed.append(f"first weights for the {sizes.levels - sizes.blocks} finer resolutions, which this stage does not have yet")

        def assign(networks: Mapping[str, Any], averaged: Mapping[str, Any]) -> Placement:
            placement = Placement()
            weights = TensorFlowWeights(arrays, placement, optimizer, _SLOTS)
            _place_generator(weights, networks["generator"], sizes.blocks, "")
            if averaged["generator"] is not networks["generator"]:
                average = _AVERAGE if f"{_FIRST}{_AVERAGE}" in arrays else ""
                _place_generator(weights, averaged["generator"], sizes.blocks, average)
                weights.placement.put(averaged["generator"].progress, np.asarray(progress, np.float32))
            weights.placement.put(networks["generator"].progress, np.asarray(progress, np.float32))
            _place_critic(weights, networks["critic"], sizes.blocks)
            weights.finish("Variable", f"*{_AVERAGE}")
            if optimizer:
                updates = max(1, step - stage.start)
                placement.updates = {"generator": updates, "critic": updates}
            return placement

        return Plan(
            "gansynth/base",
            _changes(flags, sizes, stage),
            assign,
            step=step,
            facts={"attributes": {"pitch": [str(pitch) for pitch in pitches]}},
            read=read,
            assumed=assumed,
            left=_left(flags),
            no_proof="the authors' graphs read their data set; none of them only generates",
        )


PUBLISHED = (GANSynthLayout(),)


@dataclass(frozen=True)
class Sizes:
    """What shapes and flags say. `blocks`: resolutions that the checkpoint has, of `levels`."""

    latent_dim: int
    classes: int
    start: tuple[int, int]
    blocks: int
    levels: int
    dim: int
    widest: int


# Finding.


def _stages_in(path: Path) -> list[Path]:
    return sorted(found for found in path.glob("stage_*") if found.is_dir()) if path.is_dir() else []


def _open(source: Source) -> tuple[ForeignArrays, Path]:
    """The arrays of the source, or of its last stage, and the folder where experiment.json is looked for first.

    Raises:
        ForeignFileError: The last stage has no checkpoint.
    """
    stages = _stages_in(source.path)
    if not stages:
        return source.arrays, source.folder
    try:
        return source.open(stages[-1]), source.path
    except ForeignFileError as error:
        if any(stages[-1].glob("*.index")):
            raise
        whole = [stage.name for stage in stages[:-1] if any(stage.glob("*.index"))]
        hint = f"give {source.path / whole[-1]}, the last stage that has one" if whole else "copy the folder again"
        raise ForeignFileError(stages[-1], error.reason, hint) from error


def _flags(source: Source, folder: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """The experiment's flags with the authors' defaults below them; what was assumed; what was read.

    Raises:
        ForeignFileError: A flag has a value that gan-audio's network has no counterpart for.
    """
    flags, path = source.config(), None
    if flags is None:
        path = next((file for place in (folder, folder.parent) if (file := place / "experiment.json").is_file()), None)
        if path is not None:
            source.use(path)
            flags = read_config(path)
    if flags is None:
        assumed = ["the flags of mel_prog_hires, since no experiment.json is there (--config for one)"]
        return {**_DEFAULTS, **_PUBLISHED_FLAGS}, assumed, []
    require(flags, _BUILT_IN, source)
    stated = {key: value for key, value in flags.items() if value is not None}
    return {**_DEFAULTS, **stated}, [], ["network, spectrograms and training: experiment.json"]


def _sizes(source: Source, arrays: ForeignArrays, flags: Mapping[str, Any]) -> Sizes:
    from ...layers.growth import widths_of

    shapes = arrays.shapes
    if len(shapes.get(_FIRST, ())) != 4:
        raise cannot_express(source, "has another first layer than GANSynth's convolution.")
    number = lambda key: whole_number(flags, key, source.path)
    blocks = 0
    while _G.format(blocks + 1) + "to_rgb/conv2d/kernel" in shapes:
        blocks += 1
    classes = shapes.get(f"{_HEAD}/dense/kernel", (0, PITCHES))[-1]
    height, width, inputs, _ = shapes[_FIRST]
    levels = number("num_resolutions")
    for key, seen in (("start_height", height), ("start_width", width), ("latent_vector_size", inputs - classes)):
        if flags.get(key) not in (None, seen):
            raise cannot_express(source, f"has {key} = {seen}; experiment.json says {flags[key]}.", _OTHER_FLAGS)
    base, decay, most = (float(flags[key]) for key in ("fmap_base", "fmap_decay", "fmap_max"))
    widths = [int(min(base / 2.0 ** (block * decay), most)) for block in range(1, levels + 1)]
    found = [shapes.get(_G.format(block) + "conv1/conv2d/kernel", (0,))[-1] for block in range(1, blocks + 1)]
    if not 1 <= blocks <= levels or found != widths[:blocks]:
        raise cannot_express(source, f"has {found} channels; the flags say {widths}.", _OTHER_FLAGS)
    if widths_of(levels, widths[-1], max(widths)) != widths or int(min(base, most)) != widths[0]:
        raise cannot_express(source, f"has {widths} channels; gan-audio's are doubled from each resolution to the coarser one.")
    return Sizes(inputs - classes, classes, (height, width), blocks, levels, widths[-1], max(widths))


def _pitches(source: Source, arrays: ForeignArrays, flags: Mapping[str, Any], sizes: Sizes) -> list[int]:
    """MIDI numbers of the classes: NSynth's 61, or those that the configuration lists under "pitches"."""
    given = flags.get("pitches")
    if given is None and sizes.classes == PITCHES:
        return list(range(LOWEST_PITCH, LOWEST_PITCH + PITCHES))
    wanted = f"{sizes.classes} ascending MIDI numbers"
    if not isinstance(given, list) or len(given) != sizes.classes or given != sorted({n for n in given if isinstance(n, int)}):
        raise cannot_express(
            source,
            f"has {sizes.classes} pitches, and not the {PITCHES} of the authors' data set; no file says which they are.",
            f'add "pitches" to experiment.json (or --config FILE): {wanted}',
        )
    return given


def _position(arrays: ForeignArrays, flags: Mapping[str, Any], sizes: Sizes) -> tuple[Stage, int, float]:
    """The stage, step and shown resolution at which training stopped. The authors count pictures, from the first stage on."""
    from ...layers.growth import Stage, stages_of_growth

    images = step_of(arrays)
    stable, fade = int(flags["stable_stage_num_images"]), int(flags["transition_stage_num_images"])
    if not flags["train_progressive"]:
        stage = Stage(0, sizes.levels - 1, False, 0, None)
        return stage, images // _batch(flags, 2 * sizes.levels - 2), float(sizes.levels - 1)
    whole, rest = divmod(max(0, min(images, sizes.blocks * stable + (sizes.blocks - 1) * fade - 1)), stable + fade)
    progress = whole + max(0.0, (rest - stable) / fade)
    index = 2 * (sizes.blocks - 1)  # stable at the finest of its resolutions, unless that is still fading in
    if images < (sizes.blocks - 1) * (stable + fade):
        index -= 1
    batch = _batch(flags, max(0, index))
    stage = stages_of_growth(sizes.levels, -(-stable // batch), -(-fade // batch))[max(0, index)]
    before = (stage.index + 1) // 2 * stable + stage.index // 2 * fade
    step = stage.start + max(0, images - before) // batch
    return stage, step if stage.stop is None else min(step, stage.stop), min(progress, float(sizes.blocks - 1))


def _batch(flags: Mapping[str, Any], stage: int) -> int:
    """The batch size of a stage: the schedule counts from the finest resolution."""
    schedule, levels = list(flags["batch_size_schedule"]), int(flags["num_resolutions"])
    padded = [schedule[0]] * (levels - len(schedule)) + schedule
    return int(padded[(stage + 1) // 2])


def _changes(flags: Mapping[str, Any], sizes: Sizes, stage: Stage) -> dict[str, Any]:
    frames, bins = (n * 2 ** (sizes.levels - 1) for n in sizes.start)
    progressive = bool(flags["train_progressive"])
    batch = _batch(flags, stage.index if progressive else 2 * sizes.levels - 2)
    optimizer = {"name": "adam", "beta_1": float(flags["adam_beta1"]), "beta_2": float(flags["adam_beta2"]), "epsilon": 1e-8}
    rates = {"generator": flags["generator_learning_rate"], "critic": flags["discriminator_learning_rate"]}
    return {
        "data.sample_rate": int(flags["sample_rate"]),
        "data.clip_samples": int(flags["audio_length"]),
        "data.batch_size": batch,
        "model.latent_dim": sizes.latent_dim,
        "model.fft": 2 * bins,
        "model.hop": bins // 2,
        "model.frames": frames,
        "model.mel_bands": bins if flags["data_type"] == "mel" else 0,
        "model.magnitude_scale": float(flags["mag_normalizer_a"]),
        "model.magnitude_shift": float(flags["mag_normalizer_b"]),
        "model.phase_scale": float(flags["p_normalizer_a"]),
        "model.growth": "progressive" if progressive else "none",
        "model.dim": sizes.dim,
        "model.widest": sizes.widest,
        "model.levels": sizes.levels,
        "model.stable_images": int(flags["stable_stage_num_images"]),
        "model.fade_images": int(flags["transition_stage_num_images"]),
        "losses.classification": float(flags["discriminator_ac_loss_weight"]),
        "adversarial.gradient_penalty": float(flags["gradient_penalty_weight"]),
        "adversarial.drift": float(flags["real_score_penalty_weight"]),
        "training.steps": -(-int(flags["total_num_images"]) // batch),
        **{f"optimizers.{name}.learning_rate": float(rate) for name, rate in rates.items()},
        **{f"optimizers.{name}.{key}": value for name in rates for key, value in optimizer.items()},
    }


def _left(flags: Mapping[str, Any]) -> list[str]:
    """What gan-audio does not have of how the model was trained."""
    lines = []
    weight = flags["generator_ac_loss_weight"]
    if weight != flags["discriminator_ac_loss_weight"]:
        lines.append(f"generator_ac_loss_weight {weight}: one weight is for both networks (losses.classification)")
    if flags["gradient_penalty_target"] != 1.0:
        lines.append(f"gradient_penalty_target {flags['gradient_penalty_target']}: slopes are held to 1")
    if flags["gen_gl_consistency_loss_weight"]:
        lines.append("gen_gl_consistency_loss_weight: there is no such loss")
    return lines


# Placing.


def _place_generator(weights: TensorFlowWeights, network: Any, blocks: int, average: str) -> None:
    """Place one set of a generator's weights; `average` is the suffix of the moving averages."""

    def layer(target: Any, block: int, scope: str, turn: Any = np.asarray) -> None:
        name = _G.format(block) + scope
        weights.put(target.kernel, f"{name}/conv2d/kernel{average}", turn)
        weights.put(target.bias, f"{name}/bias{average}")

    layer(network.first, 1, "conv0", lambda kernel: kernel[::-1, ::-1])  # see EqualizedStart
    for block in range(1, blocks + 1):
        if block > 1:
            layer(network.convolutions_a[block - 2], block, "conv0")
        layer(network.convolutions_b[block - 1], block, "conv1")
        layer(network.pictures[block - 1], block, "to_rgb")
    finer = [*network.convolutions_a[blocks - 1 :], *network.convolutions_b[blocks:], *network.pictures[blocks:]]
    _keep(weights.placement, finer)


def _place_critic(weights: TensorFlowWeights, network: Any, blocks: int) -> None:
    def layer(target: Any, scope: str, kind: str = "conv2d") -> None:
        weights.put(target.kernel, f"{scope}/{kind}/kernel")
        weights.put(target.bias, f"{scope}/bias")

    for block in range(1, blocks + 1):
        scope = _D.format(block)
        layer(network.readers[block - 1], f"{scope}from_rgb")
        layer(network.last_a if block == 1 else network.convolutions_a[block - 2], f"{scope}conv0")
        layer(network.last_b if block == 1 else network.convolutions_b[block - 2], f"{scope}conv1")
    layer(network.logit, f"{_D.format(1)}logits", "dense")
    layer(network.heads[0], _HEAD, "dense")
    finer = [*network.readers[blocks:], *network.convolutions_a[blocks - 1 :], *network.convolutions_b[blocks - 1 :]]
    _keep(weights.placement, finer)


def _keep(placement: Placement, layers: list[Any]) -> None:
    placement.keep(*(variable for layer in layers for variable in (layer.kernel, layer.bias)))
