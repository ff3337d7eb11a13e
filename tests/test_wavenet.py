"""WaveNet: the published size, the past that a sample sees, and samples drawn one by one as the whole network would judge them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.errors import RecipeError
from gansynth_cli.families.wavenet.family import WaveNet
from gansynth_cli.inference.generate.arrays import generate_array
from gansynth_cli.inference.generate.session import open_session
from gansynth_cli.layers.wavenet import UpsampledFrames
from gansynth_cli.models.wavenet import pieces_of
from gansynth_cli.models.wavenet_cache import CachedWaveNet
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mulaw import decode_mulaw, encode_mulaw, silence_class

from .helpers import disturb, noise
from .tiny_families import make_draws
from .vocoder_families import speech_like

ONE_BAND = ["model.bands=1", "model.upsample=[4, 8]", "model.kernel=3"]
LABELLED = ["model.condition=label", "losses.leave_out=0"]
ALONE = ["model.condition=none", "losses.leave_out=0"]


def make(*changes: str, recipe: str = "wavenet/tiny") -> WaveNet:
    loaded = load_recipe(recipe, list(changes))
    data = loaded.data
    return WaveNet(loaded, DatasetInfo("x", data.sample_rate, 1, data.clip_samples, ["a", "b", "c"], {}))


@pytest.mark.slow
def test_the_published_size():
    family = make(recipe="wavenet/base")
    network = family.networks["wavenet"]
    upsampling = network.get_layer("condition").count_params()
    # r9y9's last layer has a residual product of 128 * 128 + 128 weights behind which nothing comes.
    assert network.count_params() - upsampling + 128 * 128 + 128 == 4_644_352
    assert upsampling == 5 * 80 * 80 + 4 * 9
    assert family.model.receptive_field == 3 * 1023 * 2 + 1


def test_mu_law():
    samples = np.array([-2.0, -1.0, -0.01, 0.0, 1e-4, 0.5, 1.0], np.float32)
    x = np.clip(samples, -1, 1)
    companded = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    numbers = encode_mulaw(samples).numpy()
    np.testing.assert_array_equal(numbers, np.floor((companded + 1) / 2 * 255 + 0.5))
    assert encode_mulaw(np.zeros(1)).numpy()[0] == silence_class(256) == 128
    back = decode_mulaw(tf.range(256)).numpy()
    np.testing.assert_array_equal(encode_mulaw(back).numpy(), np.arange(256))
    assert (back[0], back[-1]) == (-1.0, 1.0)


def test_upsampling_is_repetition_and_a_filter():
    layer = UpsampledFrames(3, [4, 2], reach=1)
    frames = noise(1, 5, 6)
    layer(frames)
    disturb(layer)
    x = tf.nn.conv1d(frames, layer.kernel, 1, "SAME").numpy()[0]
    for factor, taps in zip((4, 2), layer.filters, strict=True):
        repeated = np.pad(np.repeat(x, factor, axis=0), [(factor, factor), (0, 0)])
        x = np.stack([np.correlate(repeated[:, c], taps.numpy(), "valid") for c in range(3)], axis=1)
    np.testing.assert_allclose(layer(frames).numpy()[0], x, atol=1e-5)


@pytest.mark.parametrize("changes", [[], ONE_BAND, LABELLED, ALONE])
def test_cached_steps_equal_the_network(changes):
    family = make(*changes)
    network, m = family.networks["wavenet"], family.model
    disturb(network, deviation=0.2)
    steps = 96  # more than a block of conditions, and than the longest ring
    if m.condition == "mel":
        inputs = {"mel": noise(2, steps * m.bands // 32, 20)}
        condition = network.get_layer("condition")(inputs["mel"]).numpy()
    elif m.condition == "none":
        inputs, condition = {}, None
    else:
        inputs = {"label": np.array([2, 0], np.int32)}
        condition = network.get_layer("condition")(inputs["label"]).numpy()[:, None]
    uniform = np.random.default_rng(0).random((2, steps, m.bands))
    logits = np.empty((2, steps, m.bands, m.classes), np.float32)
    drawn = CachedWaveNet(network).generate(uniform, condition, logits)
    expected = network({"classes": drawn, **inputs}).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    # Each sample is where the distribution function passes its number.
    below = np.cumsum(tf.nn.softmax(expected).numpy().astype(np.float64), axis=-1)
    lower = np.take_along_axis(np.pad(below, [(0, 0)] * 3 + [(1, 0)]), drawn[..., None], -1)[..., 0]
    upper = np.take_along_axis(below, drawn[..., None], -1)[..., 0]
    assert ((lower - 1e-5 <= uniform) & (uniform <= upper + 1e-5)).all()
    assert (drawn != expected.argmax(-1)).any()


def test_a_sample_sees_its_receptive_field_and_nothing_later():
    family = make(*ONE_BAND)
    network = family.networks["wavenet"]
    disturb(network)
    inputs = {"classes": np.full((1, 64, 1), 8, np.int32), "mel": np.zeros((1, 2, 20), np.float32)}
    before = network(inputs).numpy()
    inputs["classes"][0, 20] = 3
    changed = np.abs(network(inputs).numpy() - before).max(axis=(0, 2, 3)) > 0
    field = family.model.receptive_field
    assert field == 2 * (1 + 2 + 1 + 2) + 1
    assert not changed[:21].any()
    assert changed[21]
    assert changed[20 + field]
    assert not changed[21 + field :].any()


def test_the_receptive_field_is_left_out():
    family = make(*ONE_BAND)
    assert family.first_step == family.model.receptive_field - 1
    with pytest.raises(RecipeError, match="none of them counts"):
        make("data.clip_samples=32", "model.layers=10", "model.stacks=1")
    with pytest.raises(RecipeError, match="16 steps a frame"):
        make("model.upsample=[4, 4]")


def test_pieces_end_where_it_is_quiet():
    loudness = np.zeros(200)
    loudness[30] = -5.0
    pieces = pieces_of(loudness)
    assert pieces[1][1] == 30
    assert pieces[0] == (0, 0, 32)  # two frames longer: the fade
    begins = [begin for _, begin, _ in pieces]
    assert [end for *_, end in pieces] == [begin + 2 for begin in begins[1:]] + [200]
    assert pieces_of(np.zeros(0)) == []


@pytest.mark.slow
def test_clips_by_label(tmp_path):
    family = make(*LABELLED, "model.pre_emphasis=0.5")
    disturb(family.networks["wavenet"])
    model = family.inference_model(family.networks)
    latent = np.random.default_rng(0).uniform(-1, 1, (16, 1024)).astype(np.float32)
    before = model({"latent": latent, "label": np.zeros(16, np.int32)}).numpy()
    model.save(tmp_path / "model.keras")
    session = open_session(tmp_path / "model.keras")
    np.testing.assert_array_equal(session.run(latent, {"label": np.zeros(16, np.int32)}), before)
    clips = generate_array(session, 3, seed=5, label=["c", "a"])
    assert clips.shape == (3, 1024, 1)
    assert np.abs(clips).max() <= 1.0
    np.testing.assert_array_equal(generate_array(session, 1, seed=5, first=2, label=["c", "a"])[0], clips[2])
    assert (generate_array(session, 1, seed=6, label="c")[0] != clips[0]).any()
    assert family.recipe.use.startswith("generate ")


@pytest.mark.slow
def test_it_learns_a_clip():
    family = make("data.clip_samples=2048")
    network = family.networks["wavenet"]
    batch = {"audio": tf.constant(np.stack([speech_like(2048, seed=seed) for seed in range(2)]))}

    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = family.sample_losses(batch, make_draws())["cross_entropy"]
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], network.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(100)]
    marginal = np.bincount(family.classes_of(batch["audio"]).numpy().ravel(), minlength=16) / 4096
    entropy = -np.sum(marginal * np.log(np.maximum(marginal, 1e-9)))  # of guessing without the past
    assert losses[-1] < 0.8 * entropy
