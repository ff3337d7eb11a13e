"""DeepFilterNet as a trainable model: front end, layers, network against onnxruntime's numbers, reading of the published files."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.foreign import ForeignFileError
from gansynth_cli.families.deepfilternet import published
from gansynth_cli.families.deepfilternet.networks import HALF, PUBLISHED, TINY, build_network
from gansynth_cli.families.published import Placement
from gansynth_cli.layers.deep_filter import CausalConvolution, FrameRecurrence, FrequencyConvolution, GroupedLinear, deep_filter
from gansynth_cli.models.deep_filter_denoiser import DeepFilterDenoiser, Encoded
from gansynth_cli.models.deep_filter_settings import DeepFilterSettings
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.signal import erb, erb_front_end
from gansynth_cli.training.checkpoint import Checkpoints
from gansynth_cli.training.import_run import import_run
from gansynth_cli.training.initialize import starting_run

from .deepfilternet_graphs import FRAMES, SETTINGS, build, drawn_weights

REFERENCE = Path(__file__).with_name("deepfilternet_reference.npz")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def moderate(model: DeepFilterDenoiser, seed: int = 3) -> DeepFilterDenoiser:
    """The model with weights that keep its layers alive; fresh ones have zero biases."""
    weights = model.named_weights()
    for name, value in drawn_weights({name: tuple(weight.shape) for name, weight in weights.items()}, seed).items():
        weights[name].assign(np.float32(value))
    return model


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def reference_model(reference) -> DeepFilterDenoiser:
    model = DeepFilterDenoiser(SETTINGS)
    for name, weight in model.named_weights().items():
        weight.assign(np.float32(reference[f"weight/{name}"]))
    return model


# Front end.


def test_the_bands_are_those_of_the_published_network():
    widths = erb.erb_band_widths()
    assert widths.tolist() == [2] * 13 + [5, 5, 7, 7, 8, 10, 12, 13, 15, 18, 20, 24, 28, 31, 37, 42, 50, 56, 67]
    assert erb.band_starts(widths)[[0, 1, 13, 31]].tolist() == [0, 2, 26, 414]
    with pytest.raises(ValueError, match="do not fit"):
        erb.erb_band_widths(bands=32, frame=100, min_bins=2)


def test_the_running_means_forget_as_published():
    assert erb.smoothing_factor() == 0.99  # exp(-0.01) is 0.99005: the rounding belongs to the features
    assert erb.smoothing_factor(0.01, 0.1) == 0.905


@pytest.mark.parametrize("rate, frame", [(8000, 160), (16000, 320), (24000, 480), (44100, 882), (48000, 960)])
def test_rates_with_whole_frames_are_processed_as_they_are(rate: int, frame: int):
    layout = erb.frame_layout(rate)
    assert (layout.frame, layout.hop, layout.bins, layout.network_bins) == (frame, frame // 2, frame // 2 + 1, 481)
    assert layout.halves_nyquist == (rate < 48000)


@pytest.mark.parametrize("rate", [11025, 22050, 16001, 96000])
def test_other_rates_have_no_layout(rate: int):
    assert erb.frame_layout(rate) is None
    with pytest.raises(ValueError, match="resample to 48000 Hz"):
        build_network(TINY).enhance(tf.zeros([1, 2000]), rate)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_analysis_is_the_transform_by_its_definition(rate: int):
    layout, audio = erb.frame_layout(rate), noise(1, rate // 20 + 3)
    spectrum = erb_front_end.analyse(tf.constant(audio), layout)
    n, i = layout.frame, np.arange(layout.frame)
    window = np.sin(np.pi / 2 * np.sin(np.pi * (i + 0.5) / n) ** 2)
    padded = np.concatenate([np.zeros(n // 2), audio[0], np.zeros(2 * n)])
    for frame in (0, 1, 5):
        values = window * padded[frame * n // 2 :][:n] @ np.exp(-2j * np.pi * np.outer(i, np.arange(n // 2 + 1)) / n) / n
        if rate < 48000:
            values[-1] *= 0.5
        np.testing.assert_allclose(spectrum.real[0, frame], values.real, atol=2e-8)
        np.testing.assert_allclose(spectrum.imaginary[0, frame], values.imag, atol=2e-8)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 480, 481, 5000])
def test_synthesis_gives_every_sample_back(rate: int, samples: int):
    layout, audio = erb.frame_layout(rate), noise(2, samples)
    back = erb_front_end.synthesise(erb_front_end.analyse(tf.constant(audio), layout), layout, samples)
    np.testing.assert_allclose(back, audio, atol=1e-6)


def test_a_16_khz_frame_has_the_bins_of_the_48_khz_frame():
    times = np.arange(48000) / 48000
    sound = sum(np.sin(2 * np.pi * f * times + f) * 0.1 for f in (310.0, 1234.0, 5600.0)).astype(np.float32)[None]
    wide = erb_front_end.analyse(tf.constant(sound), erb.frame_layout(48000))
    narrow = erb_front_end.analyse(tf.constant(sound[:, ::3]), erb.frame_layout(16000))
    narrow, wide = (tf.complex(*spectrum)[0, 5:20, :161].numpy() for spectrum in (narrow, wide))
    # Not equal: at 16 kHz the window's samples lie a third of a 48 kHz sample's distance later.
    assert np.abs(narrow - wide).max() < 0.03 * np.abs(wide).max()
    assert np.abs(wide).max() == pytest.approx(0.05 * erb.vorbis_window(960).mean(), rel=0.1)  # half of the amplitude


def naive_features(spectrum: np.ndarray, settings: DeepFilterSettings) -> tuple[np.ndarray, np.ndarray]:
    """Frame by frame and band by band, [frames, bins] complex."""
    s = settings
    level, magnitude = np.linspace(-60, -90, s.bands), np.linspace(1e-3, 1e-4, s.filter_bins)
    bands, bins = [], []
    for frame in spectrum:
        full = np.zeros(s.bins, complex)
        full[: len(frame)] = frame
        start, now = 0, []
        for width in s.band_widths:
            now.append(10 * np.log10(np.mean(np.abs(full[start : start + width]) ** 2) + 1e-10))
            start += width
        level = 0.99 * level + 0.01 * np.array(now)
        magnitude = 0.99 * magnitude + 0.01 * np.abs(full[: s.filter_bins])
        bands.append((np.array(now) - level) / 40)
        bins.append(full[: s.filter_bins] / np.sqrt(magnitude))
    return np.array(bands), np.array(bins)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_features_follow_their_recursion(rate: int):
    layout = erb.frame_layout(rate)
    audio = noise(2, rate * 3 // 2)
    audio[0, : rate // 2] = 0  # digital silence first
    spectrum = erb_front_end.analyse(tf.constant(audio), layout)
    made = erb_front_end.features(spectrum, PUBLISHED.band_widths, 96, PUBLISHED.past)
    assert spectrum.real.shape[1] > 2 * 64  # more than two blocks of the running mean
    for row in range(2):
        bands, bins = naive_features(tf.complex(*spectrum)[row].numpy().astype(complex), PUBLISHED)
        np.testing.assert_allclose(made.bands[row], bands, atol=2e-5)
        np.testing.assert_allclose(made.bins[row, ..., 0], bins.real, atol=1e-5)
        np.testing.assert_allclose(made.bins[row, ..., 1], bins.imag, atol=1e-5)


# Layers, against Keras's own.


def given(layer, shape: tuple[int, ...], seed: int = 5):
    """The layer, built with drawn weights."""
    layer.build((None, None, *shape))
    for weight in layer.named.values():
        weight.assign(np.random.default_rng(seed + len(weight.shape)).normal(0, 0.5, weight.shape))
    return layer


def test_a_grouped_linear_layer_is_a_block_diagonal_one():
    layer, x = given(GroupedLinear(6, 3, "tanh"), (12,)), noise(2, 5, 12)
    dense = np.zeros((12, 6))
    for g in range(3):
        dense[4 * g : 4 * g + 4, 2 * g : 2 * g + 2] = layer.kernel[g]
    np.testing.assert_allclose(layer(x), np.tanh(x @ dense), atol=1e-6)
    with pytest.raises(ValueError, match="groups"):
        GroupedLinear(7, 3)


@pytest.mark.parametrize(
    "channels, filters, kernel, groups, pointwise",
    [(1, 8, (3, 3), 1, False), (2, 8, (3, 3), 2, True), (8, 6, (5, 1), 2, True), (8, 1, (1, 3), 1, False)],
)
def test_a_causal_convolution_is_one_with_zeros_before_the_first_frame(channels, filters, kernel, groups, pointwise):
    layer = given(CausalConvolution(filters, kernel, groups, pointwise, "relu"), (10, channels))
    x = noise(2, 7, 10, channels)
    padded = np.pad(x, [(0, 0), (kernel[0] - 1, 0), (kernel[1] // 2, kernel[1] // 2), (0, 0)])
    plain = keras.layers.Conv2D(filters, kernel, groups=groups, use_bias=False)
    plain.build(padded.shape)
    plain.kernel.assign(layer.kernel)
    y = np.asarray(plain(padded))
    if pointwise:
        y = y @ np.asarray(layer.mixing)
    np.testing.assert_allclose(layer(x), np.maximum(y + np.asarray(layer.bias), 0), atol=1e-6)


@pytest.mark.parametrize("stride, transposed", [(1, False), (2, False), (2, True)])
def test_a_frequency_convolution_is_a_depthwise_one(stride: int, transposed: bool):
    layer, x = given(FrequencyConvolution(stride, transposed), (8, 4)), noise(2, 3, 8, 4)
    kernel = np.asarray(layer.kernel)
    if transposed:  # by definition: every input adds its kernel to the outputs around twice its place
        y = np.zeros((2, 3, 18, 4), np.float32)
        for band in range(8):
            y[:, :, 2 * band : 2 * band + 3] += x[:, :, band, None] * kernel
        y = y[:, :, 1:17]
    else:
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
        y = sum(padded[:, :, tap : tap + 8] * kernel[tap] for tap in range(3))[:, :, ::stride]
    np.testing.assert_allclose(layer(x), np.maximum(y @ np.asarray(layer.mixing) + np.asarray(layer.bias), 0), atol=1e-6)
    with pytest.raises(ValueError, match="stride"):
        FrequencyConvolution(1, True)


def test_the_recurrence_is_keras_gru():
    layer, x = given(FrameRecurrence(6), (5,)), noise(2, 9, 5)
    plain = keras.layers.GRU(6, return_sequences=True, reset_after=True)
    plain.build((None, None, 5))
    for mine, theirs in zip((layer.kernel, layer.recurrent_kernel, layer.bias), plain.weights, strict=True):
        theirs.assign(mine)
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-6)


def test_a_deep_filter_multiplies_complex_taps_without_conjugation():
    rng = np.random.default_rng(2)
    x, taps = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in [(2, 8, 3), (2, 4, 3, 5)])
    pairs = np.stack([taps.real, taps.imag], axis=-1).reshape(2, 4, 3, 10).astype(np.float32)
    real, imaginary = deep_filter(tf.constant(x.real, tf.float32), tf.constant(x.imag, tf.float32), tf.constant(pairs))
    expected = np.stack([sum(taps[:, n, :, k] * x[:, n + k] for k in range(5)) for n in range(4)], axis=1)
    np.testing.assert_allclose(np.asarray(real) + 1j * np.asarray(imaginary), expected, atol=1e-5)


# The network.


def test_parameters_are_counted_as_published():
    model = build_network()
    parts = [part.count_params() for part in (model.encoder, model.band_decoder, model.filter_decoder)]
    assert parts == [483_585, 819_649, 831_150]
    assert model.count_params() == 2_134_384
    # 257 numbers of the published file are a gain that is computed and never applied.
    assert build_network(replace(HALF, snr_head=True)).count_params() == 540_912
    assert build_network(replace(PUBLISHED, hidden=128)).count_params() == 619_632


@pytest.mark.parametrize(
    "wrong", [{"bands": 30}, {"channels": 63}, {"filter_bins": 500}, {"lookahead": 5}, {"hidden": 100}, {"filter_groups": 7}]
)
def test_sizes_that_do_not_fit_together_are_refused(wrong: dict):
    with pytest.raises(ValueError, match="expected that"):
        DeepFilterSettings(**wrong)
    with pytest.raises(ValueError, match="unknown settings"):
        DeepFilterSettings.from_dict({"depth": 3})


def test_encoder_and_decoders_give_onnxruntimes_numbers(reference, reference_model):
    bands, bins = reference["feat_erb"][:, 0], reference["feat_spec"].transpose(0, 2, 3, 1)
    encoded: Encoded = reference_model.encoder(bands, bins)
    last_first = (0, 2, 3, 1)
    np.testing.assert_allclose(encoded.skips[3], reference["e3"].transpose(last_first), atol=1e-5)
    np.testing.assert_allclose(encoded.bins[:, -1:], reference["c0"].transpose(last_first), atol=1e-5)
    np.testing.assert_allclose(encoded.embedding, reference["emb"], atol=1e-5)
    np.testing.assert_allclose(encoded.snr_db, reference["lsnr"], atol=5e-5)
    gains = reference_model(erb_front_end.Features(bands, bins))
    assert gains.mask.shape == (1, FRAMES, 32)
    np.testing.assert_allclose(gains.mask, reference["m"][:, 0], atol=1e-5)
    np.testing.assert_allclose(gains.taps[:, -3:], reference["coefs"], atol=2e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_taps_and_mask_belong_to_the_frame_two_before(rate: int, monkeypatch):
    """Taps that pass frame n through (the third of five) and a mask of 1 give the input back; earlier taps delay it."""
    model, audio = build_network(TINY), noise(1, rate // 4)

    def passing(tap: int):
        def call(features, training=False):
            frames = features.bands.shape[1]
            taps = np.zeros((1, frames, 96, 10), np.float32)
            taps[..., 2 * tap] = 1
            return type(gains)(tf.ones([1, frames, 32]), tf.constant(taps), None)

        return call

    gains = model(model.features(erb_front_end.analyse(tf.constant(audio), erb.frame_layout(rate), 2)))
    monkeypatch.setattr(DeepFilterDenoiser, "__call__", lambda self, features, training=False: passing(2)(features))
    np.testing.assert_allclose(model.enhance(tf.constant(audio), rate), audio, atol=1e-6)
    low = np.sin(2 * np.pi * 500 * np.arange(rate // 4) / rate).astype(np.float32)[None]
    monkeypatch.setattr(DeepFilterDenoiser, "__call__", lambda self, features, training=False: passing(1)(features))
    hop = rate // 100
    delayed = model.enhance(tf.constant(low), rate)
    np.testing.assert_allclose(delayed[0, 3 * hop : -2 * hop], low[0, 2 * hop : -3 * hop], atol=2e-3)


def test_the_output_depends_on_30_ms_of_future_and_no_more():
    model, audio = moderate(build_network(TINY)), noise(1, 8000)
    changed = audio.copy()
    changed[:, 4000:] = noise(1, 4000, seed=9)
    before, after = (model.enhance(tf.constant(x), 16000).numpy() for x in (audio, changed))
    assert np.abs(before - after)[:, : 4000 - 640].max() < 1e-7  # a frame of look-ahead in the transform, two in the network
    assert np.abs(before - after)[:, 4000 - 480 : 4000].max() > 1e-5


@pytest.mark.parametrize("rate", [16000, 48000])
def test_gradients_reach_every_weight_and_are_finite_in_silence(rate: int):
    model = moderate(build_network(TINY))
    audio = noise(2, rate // 2)
    audio[1] = 0
    with tf.GradientTape() as tape:
        tape.watch(audio := tf.constant(audio))
        loss = tf.reduce_mean(tf.square(model.enhance(audio, rate, training=True)))
    gradients = tape.gradient(loss, [*model.trainable_variables, audio])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_the_snr_head_is_not_trained():
    model = build_network(replace(TINY, snr_head=True))
    assert {name for name, weight in model.named_weights().items() if not weight.trainable} == {
        "encoder/snr_head/kernel",
        "encoder/snr_head/bias",
    }
    assert len(model.trainable_variables) == len(model.named_weights()) - 2


@pytest.mark.slow
def test_it_learns_to_pass_one_clip():
    model, clip = build_network(TINY, seed=1), tf.constant(noise(2, 2000))
    optimizer = keras.optimizers.Adam(1e-2)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model.enhance(clip, 16000, training=True) - clip))
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True))
        return loss

    losses = [float(step()) for _ in range(25)]
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize("stored_as", ["float32", "float16"])
def test_it_comes_back_from_a_file(tmp_path: Path, stored_as: str):
    model = moderate(build_network(TINY, stored_as=stored_as))
    model.provenance = {"recipe": "deepfilternet/tiny"}
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert (back.settings, back.stored_as, back.provenance) == (TINY, stored_as, {"recipe": "deepfilternet/tiny"})
    audio = tf.constant(noise(1, 4000))
    np.testing.assert_allclose(back.enhance(audio, 16000), model.enhance(audio, 16000), atol=1e-6)  # the drawn weights are halves
    for name, weight in model.named_weights().items():
        np.testing.assert_array_equal(back.named_weights()[name], weight)


def test_half_precision_keeps_the_published_size_below_5_mb(tmp_path: Path):
    build_network(PUBLISHED, stored_as="float16").save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size < 5e6
    with pytest.raises(ValueError, match="stored_as"):
        build_network(TINY, stored_as="int8")


def test_a_training_begins_with_a_saved_model(tmp_path: Path):
    model = moderate(build_network(TINY))
    model.save(tmp_path / "mine.keras")
    import_run(tmp_path / "mine.keras", tmp_path / "run")
    arrays, _ = Checkpoints(tmp_path / "run" / "checkpoints").load_latest(print)
    networks = [array for name, array in arrays.items() if name.startswith("averaged/generator/")]
    assert len(networks) == len(model.variables)
    for array, variable in zip(networks, model.variables, strict=True):
        np.testing.assert_array_equal(array, variable)
    other = build_network(replace(TINY, hidden=48))
    other.save(tmp_path / "torn.keras")
    (tmp_path / "torn.keras").write_bytes((tmp_path / "torn.keras").read_bytes()[:3000])
    with pytest.raises(ForeignFileError, match=r"torn\.keras"):
        import_run(tmp_path / "torn.keras", tmp_path / "other")
    with starting_run(Path("denoiser")) as path:
        assert RunFolder.load(path).recipe.family == "deepfilternet"


# The published files.


@pytest.fixture(scope="module")
def graphs(reference) -> dict[str, bytes]:
    pytest.importorskip("onnx")
    weights = {name[7:]: np.float32(value) for name, value in reference.items() if name.startswith("weight/")}
    return build(weights, SETTINGS)


def archive_of(graphs: dict[str, bytes], path: Path) -> Path:
    for name, data in graphs.items():
        (path.parent / "tmp" / "export").mkdir(parents=True, exist_ok=True)
        (path.parent / "tmp" / "export" / f"{name}.onnx").write_bytes(data)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.parent / "tmp", "tmp")
    return path


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    with published.graph_files(path) as files:
        return published.arrays_by_name(published.read_tensors(files))


def test_weights_are_found_through_the_nodes_that_use_them(graphs, reference, tmp_path: Path):
    path = archive_of(graphs, tmp_path / "weights.tar.gz")
    for source in (path, tmp_path / "tmp" / "export"):
        arrays = arrays_in(source)
        assert set(arrays) == {name[7:] for name in reference if name.startswith("weight/")}
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, np.float32(reference[f"weight/{name}"]))


def test_files_of_other_networks_are_refused(graphs, tmp_path: Path):
    path = archive_of(graphs, tmp_path / "weights.tar.gz")
    (tmp_path / "other").mkdir()
    lone = archive_of({"enc": graphs["enc"]}, tmp_path / "other" / "one.tar.gz")
    with pytest.raises(ForeignFileError, match=r"the shape .* for encoder/erb_conv0/kernel"):
        published.place(build_network(PUBLISHED).named_weights(), arrays_in(path), path, Placement())  # of other sizes
    with pytest.raises(ForeignFileError, match=r"no erb_dec\.onnx"):
        arrays_in(lone)
    (tmp_path / "torn.tar.gz").write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ForeignFileError, match="cannot be read"):
        arrays_in(tmp_path / "torn.tar.gz")
    (tmp_path / "tmp" / "export" / "df_dec.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ForeignFileError, match="df_dec"):
        arrays_in(tmp_path / "tmp" / "export")
    (tmp_path / "tmp" / "export" / "df_dec.onnx").write_bytes(graphs["enc"])
    with pytest.raises(ForeignFileError, match="df_dec"):
        arrays_in(tmp_path / "tmp" / "export")
