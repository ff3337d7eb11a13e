"""WaveGAN, SpecGAN, GANSynth and SEGAN against what the authors' own training code gave for the same weights, batches and random numbers:
`data/parity`, made by `benchmarks/parity/authors_tensorflow.py`. The weights go through checkpoints and `gan-audio import`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.families.registry import family_class
from gansynth_cli.layers import AudioToNotePicture, NotePictureToAudio
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints
from gansynth_cli.training.optimizers import make_optimizer

from .drawn_weights import drawn_variable, uniform
from .tensorflow_files import write_args, write_checkpoint
from .test_parity import FOLDER, import_

SPARSE = 16  # of the samples one in so many is stored
IMAGES = {"gansynth": 1000, "gansynth-fading": 264}  # seen: in the last stage; 0.3 of the way from the second to the third resolution
FULL_IMAGES = {"gansynth-12": 11_000_000, "gansynth-6": 5_000_000, "gansynth-5": 4_240_000}
Differences = dict[str, float]  # what was compared -> largest difference, relative to the largest of the authors' numbers


class Reference:
    """What the authors' code gave, and the weights that it was given."""

    def __init__(self, name: str, folder: Path = FOLDER):
        self.name = name
        with np.load(folder / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files if key != "facts"}
            self.facts: dict[str, Any] = json.loads(str(file["facts"]))
        self.config = self.facts["config"]
        equalized = name.startswith("gansynth")
        self.variables = {name: drawn_variable(name, tuple(shape), equalized) for name, shape in self.facts["shapes"].items()}


class DrawnDraws:
    """In place of the trainer's random numbers those that the authors' code was given. Shifts are 1."""

    def __init__(self, step: int = 0, classes: int = 1):
        self.step, self.classes = tf.constant(step, tf.int64), classes

    def normal(self, name: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(uniform(name, tuple(shape)))

    def uniform(self, name: str, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        if name.startswith("class/"):  # class numbers 0 and 3
            return tf.constant([0.5 / self.classes, 3.5 / self.classes])
        numbers = uniform(name, tuple(shape))
        return tf.constant(numbers if low == -1 else (numbers + 1) / 2)

    def shared_integers(self, name: str, shape: tuple[int, ...], low: int, high: int) -> tf.Tensor:
        return tf.ones(shape, tf.int32)


def relative(found: Any, expected: Any, where: np.ndarray | None = None) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    return float((difference if where is None else difference[where]).max() / np.abs(expected).max())


def restored(run: RunFolder) -> Any:
    """The family with the run's checkpoint; a reference batch is left to the data."""
    family, loaded = family_class(run.recipe.family)(run.recipe, run.info), Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert loaded is not None
    for name, network in family.networks.items():
        for number, variable in enumerate(network.variables):
            key = f"network/{name}/{number:04d} {variable.name}"
            if key not in loaded[1]["deferred"]:
                variable.assign(loaded[0][key])
    return family


# Training.


def total_loss(family: Any, network: str, batch: dict[str, tf.Tensor], draws: DrawnDraws) -> tf.Tensor:
    step = int(draws.step)
    (phase,) = (phase for phase in family.phases() if phase.networks == (network,) and phase.active(step))
    return tf.add_n(list(phase.losses(batch, draws).values()))


def update(family: Any, network: str, batch: dict[str, tf.Tensor]) -> None:
    """Update a network once with the recipe's optimiser."""
    variables = family.networks[network].trainable_variables
    with tf.GradientTape() as tape:
        total = total_loss(family, network, batch, DrawnDraws())
    optimizer = make_optimizer(family.recipe.optimizers[network], network)
    optimizer.build(variables)
    optimizer.apply(tape.gradient(total, variables), variables)


def training_differences(family: Any, reference: Reference, batch: dict[str, tf.Tensor], layers: dict[str, tuple[str, str]]) -> Differences:
    """Losses of both networks, and some variables after an update of the critic and then one of the generator.

    Args:
        family: With the authors' weights.
        reference: Their numbers.
        batch: What they trained on.
        layers: The authors' variable -> our layer and its weight.
    """
    found = {}
    for network, loss in (("critic", "D_loss"), ("generator", "G_loss")):
        found[f"loss of the {network}"] = relative(total_loss(family, network, batch, DrawnDraws()), reference.arrays[loss])
    for network in ("critic", "generator"):
        update(family, network, batch)
    watched = [key.removeprefix("after/") for key in reference.arrays if key.startswith("after/")]
    assert len(watched) >= 2
    for name in watched:
        layer, weight = layers[name]
        now = getattr(family.networks["generator" if name.startswith("G/") else "critic"].get_layer(layer), weight).numpy()
        moved = reference.arrays[f"after/{name}"] - reference.variables[name]
        assert np.abs(moved).max() > 1e-6
        found[f"update of {name}"] = relative(now - reference.variables[name], moved)
    return found


def wavegan(reference: Reference, folder: Path) -> Differences:
    config = reference.config
    write_checkpoint(folder / "x" / "model.ckpt-0", reference.variables)
    options = {"loss": config["loss"], "disc_nupdates": 1, "disc_phaseshuffle": config.get("shuffle", 0)}
    data = {"mode": "train", "data_slice_len": config["samples"], "data_sample_rate": 16000, "train_batch_size": 2}
    write_args(folder / "x", data | {f"wavegan_{key}": value for key, value in options.items()})
    family = restored(import_(folder / "x", folder / "run"))
    made = family.networks["generator"](tf.constant(uniform("latent", (2, 8))), training=True)
    audio = tf.constant(0.5 * uniform("real", (2, config["samples"], config["channels"])))
    convolutions = lambda network: [layer.name for layer in family.networks[network].layers if layer.name.startswith("conv1d")]
    last = next(name for name in reference.arrays if name.startswith("after/G/")).removeprefix("after/")
    layers = {
        "D/output/dense/kernel": ("logit", "kernel"),
        "D/downconv_0/conv1d/bias": (convolutions("critic")[0], "bias"),
        last: (convolutions("generator")[-1], "bias"),
    }
    found = {"generator": relative(made[:, ::SPARSE], reference.arrays["G_z"])}
    return found | training_differences(family, reference, {"audio": audio}, layers)


def specgan(reference: Reference, folder: Path) -> Differences:
    write_checkpoint(folder / "x" / "model.ckpt-0", reference.variables)
    mean, deviation = 1.0 + uniform("mean", (129,)), 1.0 + 0.3 * uniform("deviation", (129,))
    np.savez(folder / "x" / "moments.npz", mean=mean, deviation=deviation)
    options = {"specgan_loss": "wgan-gp", "specgan_disc_nupdates": 1, "specgan_ngl": 4, "train_batch_size": 2}
    write_args(folder / "x", {"mode": "train", "data_sample_rate": 16000, **options})
    family = restored(import_(folder / "x", folder / "run"))
    t = np.arange(16384) / 16000
    audio = (0.5 * np.sin(2 * np.pi * np.array([[440.0], [1230.0]]) * t) * np.exp(-3 * t)).astype(np.float32)[:, :, None]
    spectrogram = family.represent(audio)
    heard = family.to_audio()(spectrogram)[:, ::SPARSE, 0]
    found = {
        "spectrogram": relative(spectrogram[:, ::8, ::4], reference.arrays["spectrogram"]),
        "audio": relative(heard, reference.arrays["audio"]),
    }
    layers = {"D/output/dense/kernel": ("logit", "kernel"), "G/z_project/dense/bias": ("dense", "bias")}
    return found | training_differences(family, reference, {"audio": tf.constant(audio)}, layers)


# Notes.


def tones(samples: int, rate: int) -> np.ndarray:
    """float32 [2, samples, 1]: what the authors' code was given."""
    t = np.arange(samples) / rate
    f0 = np.array([[587.5], [311.0]]) * rate / 16000
    partials = sum(np.sin(2 * np.pi * n * f0 * t + n) / n for n in range(1, 7))
    return (0.2 * partials * np.exp(-2 * t / t[-1])).astype(np.float32)[:, :, None] + 0.002 * uniform("noise", (2, samples, 1))


def gansynth(reference: Reference, folder: Path) -> Differences:
    """From waveforms to both total losses with the gradient penalty, and from latents to audio."""
    flags, arrays = reference.config["flags"], reference.arrays
    images = (IMAGES | FULL_IMAGES)[reference.name]
    stable = 800_000 if images > 10_000 else 80
    latents = reference.facts["latent_dim"]
    flags = {**flags, "batch_size_schedule": [2], "latent_vector_size": latents, "total_num_images": 100 * stable}
    flags |= {
        "stable_stage_num_images": stable,
        "transition_stage_num_images": stable,
        "pitches": list(range(24, 24 + flags["num_tokens"])),
    }
    flags |= {"generator_ac_loss_weight": 10.0, "discriminator_ac_loss_weight": 10.0}
    write_checkpoint(folder / "x" / "stage_00004" / "model.ckpt-1", {**reference.variables, "global_step": np.int64(images)})
    (folder / "x" / "experiment.json").write_text(json.dumps(flags))
    run = import_(folder / "x", folder / "run")
    family, m = restored(run), run.recipe.model
    normalized = lambda unscaled: unscaled * [m.magnitude_scale, m.phase_scale] + [m.magnitude_shift, 0.0]
    asked = {"latent": tf.constant(uniform("latent", (2, latents))), "pitch": tf.constant([0, 3])}
    made = family.networks["generator"](asked)
    peaks = np.maximum(1.0, np.abs(arrays["audio"]).max(axis=1, keepdims=True))  # notes above full scale are turned down
    found = {
        "generator": relative(made, normalized(arrays["generated"])),
        "audio": relative(find_model(run.path).load()(asked), arrays["audio"] / peaks),
    }
    step, audio = images // 2, tones(run.recipe.data.clip_samples, run.recipe.data.sample_rate)
    stage = next(stage for stage in family.stages if stage.stop is None or step < stage.stop)
    if not stage.fading:
        answers = family.networks["critic"].at(
            made[:, :: 2 ** (m.levels - 1 - stage.level), :: 2 ** (m.levels - 1 - stage.level)], stage.level, None
        )
        found["logits"] = relative(answers["logit"], arrays["fake_logits"])
        found["classes"] = relative(answers["pitch"], arrays["fake_classes"])
    batch, draws = {"audio": tf.constant(audio), "pitch": tf.constant([1, 4])}, DrawnDraws(step, flags["num_tokens"])
    for network in ("critic", "generator"):
        found[f"loss of the {network}"] = relative(total_loss(family, network, batch, draws), arrays[f"{network}_loss"])
    return found


def gansynth_mel(reference: Reference, folder: Path) -> Differences:
    """Four seconds at 16 kHz through the authors' bank and back. Frequencies where there is sound: elsewhere they are rounding errors."""
    size = {"fft": 2048, "hop": 512, "frames": 128, "samples": 64000, "sample_rate": 16000, "mel_bands": 1024, "mel_bank": "authors"}
    to_picture, to_audio = AudioToNotePicture(**size), NotePictureToAudio(**size)
    picture = to_picture(tones(64000, 16000)[:1]).numpy()
    scale, shift = [to_picture.magnitude_scale, to_picture.phase_scale], [to_picture.magnitude_shift, 0.0]
    found, expected = picture[:, ::8, ::4], np.clip(reference.arrays["spectrogram"] * scale + shift, -1, 1)
    loud = expected[..., 0] > expected[..., 0].max() - 0.3  # within 39 dB
    assert 50 < loud.sum() < 2000
    return {
        "magnitude": relative(found[..., 0], expected[..., 0]),
        "frequency": relative(found[..., 1], expected[..., 1], loud),
        "audio": relative(to_audio(picture)[:, ::SPARSE, 0], reference.arrays["audio"]),
    }


def segan(reference: Reference, folder: Path) -> Differences:
    write_checkpoint(folder / "x" / "SEGAN-5", reference.variables)
    family = restored(import_(folder / "x", folder / "run"))
    shape = (2, family.recipe.data.clip_samples, 1)
    noisy, candidate = (0.5 * uniform(name, shape) for name in ("noisy", "real"))
    made = family.networks["generator"]([noisy, reference.arrays["latent"]])
    critic = family.networks["critic"]
    critic.get_layer("reference").choose(np.concatenate([candidate, noisy], axis=-1))
    inputs = {"example": tf.constant(candidate), "noisy": tf.constant(noisy), "groups": tf.constant(1)}
    return {"generator": relative(made, reference.arrays["audio"]), "logits": relative(critic(inputs), reference.arrays["logits"])}


# Case -> how it is compared, and the largest difference of each kind; "" is that of kinds without their own.
CASES: dict[str, tuple[Callable[[Reference, Path], Differences], dict[str, float]]] = {
    "wavegan-gp": (wavegan, {"": 2e-6, "update": 1e-3}),  # with filter and shuffle
    "wavegan-dcgan": (wavegan, {"": 2e-6, "update": 1e-3}),  # stereo, nearest neighbours, batch normalisation
    "wavegan-lsgan": (wavegan, {"": 2e-6, "update": 1e-3}),  # TensorFlow 1's RMSProp
    "specgan": (specgan, {"": 1e-5, "update": 1e-3, "audio": 1e-3}),
    "gansynth": (gansynth, {"": 1e-5, "generator": 1e-4, "audio": 1e-4}),
    "gansynth-fading": (gansynth, {"": 1e-5, "generator": 1e-4, "audio": 1e-4}),
    "gansynth-mel": (gansynth_mel, {"": 1e-4}),
    "segan": (segan, {"": 2e-5}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_authors_numbers(tmp_path: Path, name: str):
    compare, limits = CASES[name]
    found = compare(Reference(name), tmp_path)
    assert len(found) >= 2
    for what, difference in found.items():
        limit = next((limit for kind, limit in limits.items() if kind and what.startswith(kind)), limits[""])
        assert difference <= limit, (what, found)
