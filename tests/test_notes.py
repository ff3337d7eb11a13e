"""The model of notes that every pitched family saves: what it reads, and that a file of it is all one needs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.errors import RunError
from gansynth_cli.layers import LabelEmbedding, WaveformToAudio
from gansynth_cli.models.clip_generator import ClipGenerator

DIM, SAMPLES = 3, 32


def make_notes(encoder: bool = False, velocities=(40, 100)) -> ClipGenerator:
    inputs = {"latent": keras.Input((DIM,), name="latent")}
    sizes = {"pitch": 3, "instrument": 2, **({"velocity": len(velocities)} if velocities else {})}
    parts = [inputs["latent"]]
    for name, size in sizes.items():
        inputs[name] = keras.Input((), dtype="int32", name=name)
        parts.append(LabelEmbedding(size, 4, seed=len(parts))(inputs[name]))
    made = keras.layers.Dense(SAMPLES, "tanh")(keras.layers.Concatenate()(parts))
    network = keras.Model(inputs, keras.layers.Reshape((SAMPLES, 1))(made))
    reader = None
    if encoder:
        read = {"audio": keras.Input((SAMPLES, 1), name="audio"), **{n: keras.Input((), dtype="int32", name=n) for n in sizes}}
        parts = [keras.layers.Flatten()(read["audio"]), *(LabelEmbedding(size, 4, seed=1)(read[n]) for n, size in sizes.items())]
        hidden = keras.layers.Concatenate()(parts)
        reader = keras.Model(read, [keras.layers.Dense(DIM)(hidden), keras.layers.Dense(DIM)(hidden)])
    latent = {"dim": DIM, "distribution": "normal"}
    return ClipGenerator(
        network,
        WaveformToAudio(),
        8000,
        clip_samples=SAMPLES,
        pitches=[36, 60, 61],
        instruments=["bell", "organ"],
        velocities=velocities,
        latent=latent,
        provenance={"family": "x"},
        encoder=reader,
    )


def ask(seed: int = 0, batch: int = 2) -> dict[str, tf.Tensor]:
    latent = tf.constant(np.random.default_rng(seed).standard_normal((batch, DIM)), tf.float32)
    chosen = {"pitch": [0, 2], "instrument": [1, 0], "velocity": [1, 1]}
    return {"latent": latent, **{name: tf.constant(classes[:batch]) for name, classes in chosen.items()}}


@pytest.mark.parametrize("encoder", [False, True])
def test_a_file_of_it_is_all_one_needs(tmp_path, encoder):
    model = make_notes(encoder)
    expected = model(ask())
    assert expected.shape == (2, SAMPLES, 1)
    model.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras", compile=False)
    np.testing.assert_array_equal(loaded(ask()), expected)
    for name in ("pitches", "instruments", "velocities", "sample_rate", "clip_samples", "latent", "provenance", "classes"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.classes == {"pitch": ("36", "60", "61"), "instrument": ("bell", "organ"), "velocity": ("40", "100")}
    if encoder:
        for a, b in zip(loaded.encode(expected, ask()), model.encode(expected, ask()), strict=True):
            assert a.shape == (2, DIM)
            np.testing.assert_array_equal(a, b)


def test_each_choice_changes_the_note():
    model = make_notes()
    first = model(ask()).numpy()
    for name in ("pitch", "instrument", "velocity"):
        other = {**ask(), name: tf.constant([1, 1] if name != "velocity" else [0, 0])}
        assert np.abs(model(other).numpy() - first).max() > 1e-3, name


def test_only_what_it_has_classes_for_is_read():
    model = make_notes(velocities=())
    assert "velocity" not in model.classes
    model({k: v for k, v in ask().items() if k != "velocity"})
    with pytest.raises(ValueError, match="pitch is missing"):
        model({k: v for k, v in ask().items() if k != "pitch"})


def test_a_latent_can_be_found_by_descent():
    """Gradients reach the latent: a match for a sound of the model is found."""
    model = make_notes()
    wanted = model(ask(seed=1))
    latent = tf.Variable(tf.zeros([2, DIM]))
    optimizer = keras.optimizers.Adam(0.1)

    def loss():
        return tf.reduce_mean(tf.square(model({**ask(), "latent": latent}) - wanted))

    before = float(loss())
    for _ in range(40):
        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply_gradients([(tape.gradient(value, latent), latent)])
    assert float(loss()) < 0.02 * before


def test_a_model_without_an_encoder_says_so():
    with pytest.raises(RunError, match="no encoder") as failure:
        make_notes().encode(tf.zeros([1, SAMPLES, 1]), ask(batch=1))
    assert "latents match RUN CLIP" in failure.value.hint


def test_pitches_in_any_other_order_are_refused():
    with pytest.raises(ValueError, match="ascending"):
        ClipGenerator(None, None, 8000, pitches=[60, 36])
