"""SpecGAN: sizes of the paper, pictures of other shapes, the way from audio to picture and back."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.data.statistics import compute, statistics_key
from gansynth_cli.errors import DatasetError, RecipeError
from gansynth_cli.families.sizes import stages_of
from gansynth_cli.families.specgan.family import SpecGAN
from gansynth_cli.layers import NormalizedLogSpectrogram, SpectrogramToAudio
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.stft import griffin_lim_plain, istft_plain, stft, stft_parts

from .tiny_families import make_batch, make_draws, make_family


def facts(recipe, clips=None, labels=()) -> DatasetInfo:
    bins = recipe.model.fft // 2 + 1
    flat = {"mean": [-3.0] * bins, "deviation": [3.0] * bins}
    statistics = {
        statistics_key(spec, recipe.data.peak_normalize): compute(spec, clips) if clips is not None else flat
        for spec in recipe.model.statistics(recipe.data.sample_rate)
    }
    return DatasetInfo("x", recipe.data.sample_rate, 1, recipe.data.clip_samples, list(labels), {}, statistics=statistics)


@pytest.mark.parametrize("d, expected", [(64, (19_065_345, 17_427_969)), (16, (1_502_337, 1_092_993))])
def test_parameter_counts_are_those_of_wavegan(d, expected):
    """25 taps in both, and 4 x 4 start positions instead of 16 (Donahue et al. 2019, tables 6 and 7)."""
    recipe = load_recipe("specgan/base", [f"model.dim={d}"])
    family = SpecGAN(recipe, facts(recipe))
    first = 16 * 16 * d
    widths = [16 * d, 8 * d, 4 * d, 2 * d, d, 1]
    generator = 101 * first + sum(25 * a * b + b for a, b in pairwise(widths))
    critic = sum(25 * a * b + a for a, b in pairwise(widths)) + first + 1
    assert (generator, critic) == expected
    assert tuple(family.networks[name].count_params() for name in ("generator", "critic")) == expected


def test_the_papers_picture():
    recipe = load_recipe("specgan/base", ["model.dim=2"])
    family = SpecGAN(recipe, facts(recipe))
    batch, draws = make_batch(family, clips=2), make_draws()
    real, made = family.represent(batch["audio"]), family.generate({"audio": batch["audio"]}, draws)
    assert real.shape == made.shape == (2, 128, 128, 1)
    magnitude = np.abs(stft(batch["audio"][..., 0], 256, 128).numpy())[..., :-1]
    np.testing.assert_allclose(real[..., 0], np.clip((np.log(magnitude + 1e-6) + 3) / 3 / 3, -1, 1), atol=1e-4)
    assert not [layer for layer in family.networks["critic"].layers if type(layer).__name__ == "PhaseShuffle"]
    assert (recipe.model.griffin_lim_iterations, recipe.model.griffin_lim_momentum) == (16, 0.0)


@pytest.mark.parametrize(
    "frames, bins, stages, expected",
    [(128, 128, 0, 5), (64, 128, 0, 4), (64, 128, 5, 5), (128, 512, 0, 5), (96, 128, 0, 4), (16, 128, 0, 2), (8, 8, 0, 1)],
)
def test_stages(frames, bins, stages, expected):
    assert stages_of(frames, bins, stages) == expected


@pytest.mark.parametrize("frames, bins, stages", [(65, 128, 0), (4, 4, 0), (64, 128, 7), (96, 128, 6)])
def test_pictures_that_cannot_be_halved_so_often(frames, bins, stages):
    with pytest.raises(RecipeError, match=f"{frames} frames x {bins} bins"):
        stages_of(frames, bins, stages)


@pytest.mark.parametrize("fft, hop, frames, stages", [(64, 16, 24, 0), (64, 16, 24, 1), (32, 8, 16, 2), (64, 32, 16, 0)])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_shapes(fft, hop, frames, stages, channels):
    data = {"clip_samples": frames * hop, "channels": channels}
    family = make_family("specgan", data=data, fft=fft, hop=hop, frames=frames, stages=stages)
    batch, draws = make_batch(family, clips=2), make_draws()
    made = family.generate(batch, draws)
    assert made.shape == (2, frames, fft // 2, channels) == family.represent(batch["audio"]).shape
    assert family.discriminate(made, batch, draws, "fake").shape == (2,)
    assert family.preview(family.networks, 2).shape == (2, frames * hop, channels)


def test_clips_that_are_no_multiple_of_the_hop_keep_their_length():
    family = make_family("specgan", data={"clip_samples": 505})
    assert family.preview(family.networks, 2).shape == (2, 505, 1)


def test_frames_that_do_not_fit_the_clip_name_both_ways_out():
    with pytest.raises(RecipeError, match="505 samples") as failure:
        make_family("specgan", data={"clip_samples": 505}, frames=64)
    assert "model.frames=32" in failure.value.hint
    assert "data.clip_samples=1024" in failure.value.hint


def test_hop_beyond_half_the_window():
    with pytest.raises(RecipeError, match="at most half"):
        make_family("specgan", data={"clip_samples": 640}, hop=20, frames=32)


def test_missing_or_foreign_statistics():
    recipe = load_recipe("specgan/tiny")
    info = facts(recipe, labels=["a"])
    key = next(iter(info.statistics))
    assert SpecGAN(recipe, info).batch_features().statistics == (key,)
    with pytest.raises(DatasetError, match="holds no statistics"):
        SpecGAN(recipe, DatasetInfo("x", 8000, 1, 2048, ["a"], {}))
    info.statistics[key]["mean"].pop()
    info.statistics[key]["deviation"].pop()
    with pytest.raises(DatasetError, match="expected 33"):
        SpecGAN(recipe, info)


def test_real_clips_survive_the_way_there_and_back():
    """Picture and Griffin-Lim of the small recipe lose little of a sound: what the generator can reach at best."""
    recipe = load_recipe("specgan/small", ["model.dim=2"])
    t = np.arange(8192) / 8000
    clips = [(0.3 * np.exp(-5 * t) * np.sin(2 * np.pi * (f * t + 100 * t**2))).astype(np.float32)[:, None] for f in (150, 400, 900, 2000)]
    family = SpecGAN(recipe, facts(recipe, labels=["a"]))
    audio = np.stack(clips)
    back = family.to_audio()(family.represent(audio)).numpy()
    assert back.shape == audio.shape
    found, wanted = (np.abs(stft(a[..., 0], 256, 64).numpy()) for a in (back, audio))
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.2
    assert np.abs(back[:, :40]).max() < 0.6  # twice the peak: no click where one window alone sees the samples


def authors_griffin_lim(magnitude: np.ndarray, fft: int, hop: int, iterations: int) -> np.ndarray:
    """SpecGAN's inversion by TensorFlow's own transforms with their default windows."""
    spectrum = tf.cast(magnitude, tf.complex64)
    for _ in range(iterations):
        again = tf.signal.stft(tf.signal.inverse_stft(spectrum, fft, hop), fft, hop)
        spectrum = tf.cast(magnitude, tf.complex64) * again / tf.cast(tf.maximum(1e-8, tf.abs(again)), tf.complex64)
    return tf.signal.inverse_stft(spectrum, fft, hop).numpy()


def noise_spectrograms() -> np.ndarray:
    """float32 [2, 32, 32, 1] in [-1, 1]: of noise at two levels, above full scale."""
    return np.clip(np.random.default_rng(0).normal(0.0, 0.2, (2, 32, 32, 1)) + [[[[0.25]]], [[[0.1]]]], -1, 1).astype(np.float32)


def spectrogram_layer(**changes) -> SpectrogramToAudio:
    rng = np.random.default_rng(1)
    mean, deviation = rng.normal(-4, 0.3, 33), rng.uniform(3.6, 3.7, 33)
    return SpectrogramToAudio(**{"fft": 64, "hop": 32, "samples": 1024, "mean": mean, "deviation": deviation, "iterations": 5, **changes})


def test_plain_griffin_lim_is_the_authors():
    layer = spectrogram_layer(griffin_lim="plain", loud="clip")
    scaled = noise_spectrograms()[..., 0] * layer._scale[:-1] + layer._mean[:-1]
    magnitude = np.exp(np.concatenate([scaled, np.full((2, 32, 1), layer._mean[-1])], axis=-1)).astype(np.float32)
    expected = authors_griffin_lim(magnitude, 64, 32, 5)[:, :1024]
    assert np.abs(expected).max() > 1.5
    found = griffin_lim_plain(magnitude, 64, 32, 1024, 5)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(layer(noise_spectrograms())[..., 0], np.clip(expected, -1, 1), atol=1e-4 * np.abs(expected).max())
    sine = np.sin(np.arange(1024) / 3).astype(np.float32)
    assert np.abs(istft_plain(*stft_parts(sine[None], 64, 32, 32), 64, 32, 1024)[0, 64:-64] - sine[64:-64]).max() > 0.3  # amplitudes swing


@pytest.mark.parametrize("griffin_lim", ["matched", "plain"])
def test_the_level_of_a_clip_depends_on_the_clip_only_if_asked(griffin_lim):
    """Clipped samples are those of the unclipped signal; turned down, both clips come out at full scale and lose what sets them apart."""
    pictures = noise_spectrograms()
    down = spectrogram_layer(griffin_lim=griffin_lim)(pictures).numpy()[..., 0]
    clipped = spectrogram_layer(griffin_lim=griffin_lim, loud="clip")(pictures).numpy()[..., 0]
    np.testing.assert_allclose(np.abs(down).max(axis=1), 1.0, rtol=1e-6)
    for turned, cut in zip(down, clipped, strict=True):
        inside = np.abs(cut) < 1
        assert 0.1 < inside.mean() < 1
        gain = cut[inside] @ turned[inside] / (turned[inside] @ turned[inside])
        assert gain > 1.1
        np.testing.assert_allclose(np.clip(turned * gain, -1, 1), cut, atol=1e-4)


@pytest.mark.parametrize("griffin_lim", ["matched", "plain"])
def test_gradients_are_those_of_the_magnitudes(griffin_lim):
    """A gain on all magnitudes leaves the phases: the energy's derivative by the gain's logarithm is twice the energy."""
    layer = spectrogram_layer(griffin_lim=griffin_lim, loud="clip", iterations=30)
    picture = tf.Variable(noise_spectrograms() - 0.6)
    with tf.GradientTape() as tape:
        audio = layer(picture)
        energy = tf.reduce_sum(tf.square(audio))
    assert np.abs(audio).max() < 1
    slope = np.sum(tape.gradient(energy, picture).numpy() / layer._scale[:-1, None])
    assert slope == pytest.approx(2 * float(energy), rel=0.1)


def test_old_files_keep_their_inversion_and_recipes_have_the_new_one():
    layer = spectrogram_layer(griffin_lim="plain", loud="clip")
    config = layer.get_config()
    again = SpectrogramToAudio.from_config(config)
    np.testing.assert_array_equal(again(noise_spectrograms()), layer(noise_spectrograms()))
    old = SpectrogramToAudio.from_config({k: v for k, v in config.items() if k not in ("griffin_lim", "loud")})
    assert (old.griffin_lim, old.loud) == ("matched", "turn_down")
    for name in ("base", "small", "tiny"):
        assert load_recipe(f"specgan/{name}").model.loud == "clip"
    with pytest.raises(RecipeError, match="momentum"):
        load_recipe("specgan/small", ["model.griffin_lim=plain"])
    with pytest.raises(ValueError, match="momentum"):
        spectrogram_layer(griffin_lim="plain", momentum=0.5)


def test_statistics_are_those_of_the_transform_in_the_graph():
    """The picture of the clips that the statistics come from has mean 0 and deviation 1 / 3 in each bin, but for the clipping."""
    recipe = load_recipe("specgan/tiny", ["model.clip_deviations=3.0"])
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, (2048, 1)).astype(np.float32) for _ in range(8)]
    picture = SpecGAN(recipe, facts(recipe, clips, labels=["a"])).represent(np.stack(clips)).numpy()
    np.testing.assert_allclose(picture.mean(axis=(0, 1, 3)), 0.0, atol=0.02)
    np.testing.assert_allclose(picture.std(axis=(0, 1, 3)), 1 / 3, atol=0.03)


@pytest.mark.parametrize("size", ["base", "small", "tiny"])
def test_recipes_build(size):
    recipe = load_recipe(f"specgan/{size}", ["model.dim=2"])
    labels = ["a", "b"] if recipe.model.conditioning != "none" else []
    family = SpecGAN(recipe, facts(recipe, labels=labels))
    assert family.preview(family.networks, 1).shape == (1, recipe.data.clip_samples, 1)


@pytest.mark.parametrize("griffin_lim", ["matched", "plain"])
def test_channels_keep_their_coherence(griffin_lim):
    """Two sources at different places between left and right, through magnitudes and back: each ear's share of a source survives."""
    rng, samples, fft, hop = np.random.default_rng(0), 8192, 256, 128
    t = np.arange(samples) / 16000
    tone = np.sin(2 * np.pi * 440 * t + 3 * np.sin(2 * np.pi * 3 * t))
    hiss = np.convolve(rng.standard_normal(samples), np.hanning(9), "same") * 0.1
    stereo = 0.4 * np.stack([tone + 0.3 * hiss, 0.6 * tone + hiss], axis=-1).astype(np.float32)[None]
    bins = fft // 2 + 1
    settings = {"mean": np.full(bins, -3.0), "deviation": np.full(bins, 4.0)}
    picture = NormalizedLogSpectrogram(fft, hop, samples // hop, **settings)
    back = SpectrogramToAudio(fft, hop, samples, iterations=16, griffin_lim=griffin_lim, **settings)
    correlation = lambda clips: np.corrcoef(clips[0, 1000:-1000].T)[0, 1]
    shared = back(picture(stereo)).numpy()
    apart = np.concatenate([back(picture(stereo[..., c : c + 1])).numpy() for c in (0, 1)], axis=-1)
    assert correlation(shared) == pytest.approx(correlation(stereo), abs=0.05)
    assert correlation(apart) < correlation(stereo) - 0.1, "what is mended"
    equal = back(picture(np.repeat(stereo[..., :1], 2, axis=-1))).numpy()
    np.testing.assert_allclose(equal[..., 0], equal[..., 1], atol=1e-6)
