"""WaveGAN, SpecGAN, GANSynth and SEGAN against what the authors' own training code gave for the same weights, batches and random numbers:
`data/parity`, made by `benchmarks/parity/authors_tensorflow.py`. The weights go through checkpoints and `gan-audio import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.layers import AudioToNotePicture, NotePictureToAudio
from gansynth_cli.models.model_file import find_model
from gansynth_cli.training.optimizers import make_optimizer

from .drawn_weights import drawn_variable, uniform
from .tensorflow_files import write_args, write_checkpoint
from .test_parity import FOLDER, import_, restored

SPARSE = 16  # of the samples one in so many is stored


class Reference:
    """What the authors' code gave, and a checkpoint of its weights."""

    def __init__(self, name: str):
        with np.load(FOLDER / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files if key != "facts"}
            self.facts: dict[str, Any] = json.loads(str(file["facts"]))
        self.config = self.facts["config"]
        equalized = name.startswith("gansynth")
        self.variables = {name: drawn_variable(name, tuple(shape), equalized) for name, shape in self.facts["shapes"].items()}


class DrawnDraws:
    """In place of the trainer's random numbers those that the authors' code was given. Shifts are 1."""

    def __init__(self, step: int = 0):
        self.step = tf.constant(step, tf.int64)

    def normal(self, name: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(uniform(name, tuple(shape)))

    def uniform(self, name: str, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        if name.startswith("class/"):  # class numbers 0 and 3 of five
            return tf.constant([0.1, 0.7])
        numbers = uniform(name, tuple(shape))
        return tf.constant(numbers if low == -1 else (numbers + 1) / 2)

    def shared_integers(self, name: str, shape: tuple[int, ...], low: int, high: int) -> tf.Tensor:
        return tf.ones(shape, tf.int32)


def total_loss(family: Any, network: str, batch: dict[str, tf.Tensor]) -> tf.Tensor:
    (phase,) = (phase for phase in family.phases() if phase.name == network)
    return tf.add_n(list(phase.losses(batch, DrawnDraws()).values()))


def update(family: Any, network: str, batch: dict[str, tf.Tensor]) -> None:
    """Update a network once with the recipe's optimiser."""
    variables = family.networks[network].trainable_variables
    with tf.GradientTape() as tape:
        total = total_loss(family, network, batch)
    optimizer = make_optimizer(family.recipe.optimizers[network], network)
    optimizer.build(variables)
    optimizer.apply(tape.gradient(total, variables), variables)


def check_training(family: Any, reference: Reference, batch: dict[str, tf.Tensor], after: dict[str, tuple[str, str]], limit: float) -> None:
    """Losses of both networks, and some variables after an update of the critic and then one of the generator.

    Args:
        after: The authors' variable -> network and layer of ours, and the name of its weight.
    """
    for network, loss in (("critic", "D_loss"), ("generator", "G_loss")):
        assert float(total_loss(family, network, batch)) == pytest.approx(float(reference.arrays[loss]), rel=limit)
    for network in ("critic", "generator"):
        update(family, network, batch)
    compared = 0
    for name, (layer, weight) in after.items():
        if f"after/{name}" in reference.arrays:
            network = family.networks["generator" if name.startswith("G/") else "critic"]
            found = getattr(network.get_layer(layer), weight).numpy()
            expected, before = reference.arrays[f"after/{name}"], reference.variables[name]
            moved = np.abs(expected - before).max()
            assert moved > 1e-6
            np.testing.assert_allclose(found - before, expected - before, atol=0.02 * moved, err_msg=name)
            compared += 1
    assert compared == sum(key.startswith("after/") for key in reference.arrays)


@pytest.mark.parametrize("name", ["wavegan-gp", "wavegan-dcgan", "wavegan-lsgan"])
def test_wavegan(tmp_path: Path, name: str):
    """WGAN-GP with filter and shuffle, DCGAN with batch normalisation in stereo, LSGAN with TensorFlow 1's RMSProp."""
    reference = Reference(name)
    config = reference.config
    write_checkpoint(tmp_path / "x" / "model.ckpt-0", reference.variables)
    options = {"loss": config["loss"], "disc_nupdates": 1, "disc_phaseshuffle": config.get("shuffle", 0)}
    data = {"mode": "train", "data_slice_len": config["samples"], "data_sample_rate": 16000, "train_batch_size": 2}
    write_args(tmp_path / "x", data | {f"wavegan_{key}": value for key, value in options.items()})
    family = restored(import_(tmp_path / "x", tmp_path / "run"))
    made = family.networks["generator"](tf.constant(uniform("latent", (2, 8))), training=True)
    np.testing.assert_allclose(made[:, ::SPARSE], reference.arrays["G_z"], atol=2e-6)
    audio = tf.constant(0.5 * uniform("real", (2, config["samples"], config["channels"])))
    convolutions = lambda network: [layer.name for layer in family.networks[network].layers if layer.name.startswith("conv1d")]
    last = next(name for name in reference.arrays if name.startswith("after/G/")).removeprefix("after/")
    after = {
        "D/output/dense/kernel": ("logit", "kernel"),
        "D/downconv_0/conv1d/bias": (convolutions("critic")[0], "bias"),
        last: (convolutions("generator")[-1], "bias"),
    }
    check_training(family, reference, {"audio": audio}, after, 2e-5)


def test_specgan(tmp_path: Path):
    reference = Reference("specgan")
    write_checkpoint(tmp_path / "x" / "model.ckpt-0", reference.variables)
    mean, deviation = 1.0 + uniform("mean", (129,)), 1.0 + 0.3 * uniform("deviation", (129,))
    np.savez(tmp_path / "x" / "moments.npz", mean=mean, deviation=deviation)
    options = {"specgan_loss": "wgan-gp", "specgan_disc_nupdates": 1, "specgan_ngl": 4, "train_batch_size": 2}
    write_args(tmp_path / "x", {"mode": "train", "data_sample_rate": 16000, **options})
    family = restored(import_(tmp_path / "x", tmp_path / "run"))
    t = np.arange(16384) / 16000
    audio = (0.5 * np.sin(2 * np.pi * np.array([[440.0], [1230.0]]) * t) * np.exp(-3 * t)).astype(np.float32)[:, :, None]
    spectrogram = family.represent(audio)
    np.testing.assert_allclose(spectrogram[:, ::8, ::4], reference.arrays["spectrogram"], atol=2e-4)
    heard = family.to_audio()(spectrogram)[:, ::SPARSE, 0]
    np.testing.assert_allclose(heard, reference.arrays["audio"], atol=5e-4)
    after = {"D/output/dense/kernel": ("logit", "kernel"), "G/z_project/dense/bias": ("dense", "bias")}
    check_training(family, reference, {"audio": tf.constant(audio)}, after, 1e-3)


def tones(samples: int, rate: int) -> np.ndarray:
    """float32 [2, samples, 1]: what the authors' code was given."""
    t = np.arange(samples) / rate
    f0 = np.array([[587.5], [311.0]]) * rate / 16000
    partials = sum(np.sin(2 * np.pi * n * f0 * t + n) / n for n in range(1, 7))
    return (0.2 * partials * np.exp(-2 * t / t[-1])).astype(np.float32)[:, :, None] + 0.002 * uniform("noise", (2, samples, 1))


@pytest.mark.parametrize("name", ["gansynth", "gansynth-fading"])
def test_gansynth_from_waveforms_to_both_losses(tmp_path: Path, name: str):
    """In a finished stage and while a resolution fades in: spectrograms, logits, and total losses with the gradient penalty."""
    reference = Reference(name)
    fading = name.endswith("fading")
    flags = {**reference.config["flags"], "pitches": [50, 52, 54, 56, 58], "batch_size_schedule": [2], "latent_vector_size": 6}
    flags |= {"stable_stage_num_images": 80, "transition_stage_num_images": 80, "total_num_images": 4000}
    flags |= {"generator_ac_loss_weight": 10.0, "discriminator_ac_loss_weight": 10.0}
    images = 264 if fading else 1000  # 0.3 of the way from the second to the third resolution, or in the last stage
    write_checkpoint(tmp_path / "x" / "stage_00004" / "model.ckpt-1", {**reference.variables, "global_step": np.int64(images)})
    (tmp_path / "x" / "experiment.json").write_text(json.dumps(flags))
    run = import_(tmp_path / "x", tmp_path / "run")
    family, arrays = restored(run), reference.arrays
    m = family.model
    normalized = lambda unscaled: unscaled * [m.magnitude_scale, m.phase_scale] + [m.magnitude_shift, 0.0]
    latent = uniform("latent", (2, 6))
    made = family.networks["generator"]({"latent": tf.constant(latent), "pitch": tf.constant([0, 3])})
    np.testing.assert_allclose(made, normalized(arrays["generated"]), atol=5e-5)
    audio = tones(256, 8000)
    if not fading:
        picture, real = family.picture(audio).numpy(), np.clip(normalized(arrays["real"]), -1, 1)
        np.testing.assert_allclose(picture[..., 0], real[..., 0], atol=1e-3)
        loud = real[..., 0] > real[..., 0].max() - 0.3
        np.testing.assert_allclose(picture[..., 1][loud], real[..., 1][loud], atol=1e-3)
        heard = find_model(run.path).load()({"latent": latent, "pitch": tf.constant([0, 3])})
        peaks = np.maximum(1.0, np.abs(arrays["audio"]).max(axis=1, keepdims=True))  # notes above full scale are turned down
        np.testing.assert_allclose(heard, arrays["audio"] / peaks, atol=2e-3)
        answers = family.networks["critic"].at(made, 2, None)
        np.testing.assert_allclose(answers["logit"], arrays["fake_logits"], atol=1e-5)
        np.testing.assert_allclose(answers["pitch"], arrays["fake_classes"], atol=1e-5)
    batch, step = {"audio": tf.constant(audio), "pitch": tf.constant([1, 4])}, images // 2
    phases = {phase.name: phase for phase in family.phases() if phase.active(step)}
    assert set(phases) == {"critic", "generator"}
    for name_, key in (("critic", "critic_loss"), ("generator", "generator_loss")):
        losses = phases[name_].losses(batch, DrawnDraws(step))
        assert float(tf.add_n(list(losses.values()))) == pytest.approx(float(arrays[key]), rel=1e-5), losses


def test_gansynth_mel_spectrograms_at_full_size():
    """Four seconds through the authors' bank: magnitudes, frequencies where there is sound, and the way back."""
    arrays = Reference("gansynth-mel").arrays
    size = {"fft": 2048, "hop": 512, "frames": 128, "samples": 64000, "sample_rate": 16000, "mel_bands": 1024, "mel_bank": "authors"}
    audio = tones(64000, 16000)[:1]
    to_picture, to_audio = AudioToNotePicture(**size), NotePictureToAudio(**size)
    picture = to_picture(audio).numpy()
    scale, shift = [to_picture.magnitude_scale, to_picture.phase_scale], [to_picture.magnitude_shift, 0.0]
    found, expected = picture[:, ::8, ::4], np.clip(arrays["spectrogram"] * scale + shift, -1, 1)
    np.testing.assert_allclose(found[..., 0], expected[..., 0], atol=2e-3)
    loud = expected[..., 0] > expected[..., 0].max() - 0.3  # within 39 dB
    assert 50 < loud.sum() < 2000
    np.testing.assert_allclose(found[..., 1][loud], expected[..., 1][loud], atol=5e-3)
    back = to_audio(picture).numpy()[:, ::SPARSE, 0]
    error = np.sum((back - arrays["audio"]) ** 2) / np.sum(arrays["audio"] ** 2)
    assert 10 * np.log10(error) < -60


def test_segan(tmp_path: Path):
    reference = Reference("segan")
    write_checkpoint(tmp_path / "x" / "SEGAN-5", reference.variables)
    family = restored_without_reference(tmp_path)
    noisy, candidate = (0.5 * uniform(name, (2, 64, 1)) for name in ("noisy", "real"))
    made = family.networks["generator"]([noisy, reference.arrays["latent"]])
    np.testing.assert_allclose(made, reference.arrays["audio"], atol=2e-6)
    critic = family.networks["critic"]
    critic.get_layer("reference").choose(np.concatenate([candidate, noisy], axis=-1))
    inputs = {"example": tf.constant(candidate), "noisy": tf.constant(noisy), "groups": tf.constant(1)}
    np.testing.assert_allclose(critic(inputs), reference.arrays["logits"], atol=5e-5)


def restored_without_reference(folder: Path) -> Any:
    """A SEGAN's checkpoint leaves the reference batch to the data."""
    from gansynth_cli.families.segan.family import SEGAN
    from gansynth_cli.training.checkpoint import Checkpoints

    run = import_(folder / "x", folder / "run")
    family, loaded = SEGAN(run.recipe, run.info), Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert loaded is not None
    for name, network in family.networks.items():
        for number, variable in enumerate(network.variables):
            variable.assign(loaded[0].get(f"network/{name}/{number:04d} {variable.name}", variable.numpy()))
    return family
