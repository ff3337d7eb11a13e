"""losses/spectral.py against numpy, on its own terms: hand-computed numbers, transforms written out, gradients at silence."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from gansynth_cli.losses import spectral
from gansynth_cli.losses.spectral import spectrum, spectrum_l1, spectrum_l2
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import mel_spectrogram

FFT, HOP = 32, 8
MELS = MelConvention(fft=FFT, hop=HOP, bands=6).resolved(8000)


def stft_term(distance, part="magnitude", fft=FFT, hop=HOP):
    """Return a loss of two signals: one distance of one part of their normalised spectra."""
    return lambda e, t: distance(spectrum(e, fft, hop, normalized=True), spectrum(t, fft, hop, normalized=True), part)


def signals(channels: int | None = None, samples: int = 203, batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    shape = (batch, samples) if channels is None else (batch, samples, channels)
    return rng.normal(0, 0.3, shape).astype(np.float32), rng.normal(0, 0.2, shape).astype(np.float32)


def naive(x: np.ndarray, fft: int, hop: int, window: int) -> np.ndarray:
    """float64 [samples] -> [frames, bins], frame by frame, by the definition of the Fourier transform."""
    padded = np.concatenate([np.zeros(window // 2), x, np.zeros(window)])
    frames = 1 + len(x) // hop
    n, k = np.arange(window), np.arange(fft // 2 + 1)
    basis = np.exp(-2j * np.pi * np.outer(n, k) / fft)
    w = scipy.signal.get_window("hann", window)
    return np.stack([(padded[t * hop : t * hop + window] * w) @ basis for t in range(frames)])


def naive_batch(x: np.ndarray, fft: int = FFT, hop: int = HOP, window: int | None = None) -> np.ndarray:
    return np.stack([naive(row.astype(np.float64), fft, hop, window or fft) for row in x])


def magnitudes(x: np.ndarray, *geometry) -> np.ndarray:
    window = geometry[2] if len(geometry) > 2 else geometry[0] if geometry else FFT
    gain = np.square(scipy.signal.get_window("hann", window)).sum()
    return np.sqrt(np.abs(naive_batch(x, *geometry)) ** 2 + gain * 1e-10)


@pytest.mark.parametrize(("fft", "hop", "window"), [(32, 8, 32), (64, 10, 24), (64, 12, 40), (33, 6, 30)])
def test_the_spectrum_is_that_of_the_definition_with_centred_frames(fft, hop, window):
    x, _ = signals()
    s = spectrum(tf.constant(x), fft, hop, window)
    expected = naive_batch(x, fft, hop, window)
    np.testing.assert_allclose(s.real, expected.real, atol=3e-6)
    np.testing.assert_allclose(s.imaginary, expected.imag, atol=3e-6)


def test_normalised_white_noise_has_its_own_variance_in_every_bin():
    noise = np.random.default_rng(0).normal(0, 0.5, (4, 60_000)).astype(np.float32)
    for window in (64, 50):
        s = spectrum(tf.constant(noise), 64, 16, window, normalized=True)
        np.testing.assert_allclose(tf.reduce_mean(s.power, [0, 1]), 0.25, rtol=0.06)
        raw = spectrum(tf.constant(noise), 64, 16, window)
        np.testing.assert_allclose(tf.reduce_mean(raw.power) / raw.gain, 0.25, rtol=0.02)


def test_channels_are_signals_of_their_own():
    x, y = signals(2)
    both = spectrum(tf.constant(x), FFT, HOP)
    assert both.real.shape[:2] == (3, 2)
    np.testing.assert_allclose(both.imaginary[:, 1], spectrum(tf.constant(x[..., 1]), FFT, HOP).imaginary, atol=1e-6)
    one = spectrum(tf.constant(x[..., :1]), FFT, HOP)
    np.testing.assert_array_equal(one.real, spectrum(tf.constant(x[..., 0]), FFT, HOP).real)
    halves = [float(stft_term(spectrum_l1)(tf.constant(x[..., c]), tf.constant(y[..., c]))) for c in range(2)]
    assert float(stft_term(spectrum_l1)(tf.constant(x), tf.constant(y))) == pytest.approx(np.mean(halves), rel=1e-5)


def test_waveform_losses_on_four_numbers():
    e, t = tf.constant([[1.0, 2.0], [0.0, -1.0]]), tf.constant([[0.5, 2.0], [1.0, 1.0]])
    assert float(spectral.l1(e, t)) == pytest.approx((0.5 + 0 + 1 + 2) / 4)
    assert float(spectral.l2(e, t)) == pytest.approx((0.25 + 0 + 1 + 4) / 4)
    assert spectral.l1(tf.cast(e, tf.float16), tf.cast(t, tf.float16)).dtype == tf.float32


@pytest.mark.parametrize("part", ["real", "imag", "magnitude"])
def test_spectrum_l1_and_l2_of_each_part(part):
    x, y = signals()
    scale = 1 / np.sqrt(np.square(scipy.signal.get_window("hann", FFT)).sum())
    pick = {"real": np.real, "imag": np.imag, "magnitude": np.abs}[part]
    difference = pick(naive_batch(x) * scale) - pick(naive_batch(y) * scale)
    a, b = tf.constant(x), tf.constant(y)
    assert float(stft_term(spectrum_l1, part)(a, b)) == pytest.approx(np.abs(difference).mean(), rel=1e-4)
    assert float(stft_term(spectrum_l2, part)(a, b)) == pytest.approx(np.square(difference).mean(), rel=1e-4)
    assert float(stft_term(spectrum_l1, part)(a, a)) == 0.0


def test_an_unknown_part_is_named():
    s = spectrum(tf.zeros([1, 64]), FFT, HOP)
    with pytest.raises(ValueError, match="'phase'"):
        spectral.spectrum_l1(s, s, "phase")


def test_normalised_real_and_imaginary_l2_together_are_the_waveform_l2():
    x, y = signals(samples=20_000)
    a, b = tf.constant(x), tf.constant(y)
    both = sum(float(stft_term(spectrum_l2, part, 256, 64)(a, b)) for part in ("real", "imag"))
    assert both == pytest.approx(float(spectral.l2(a, b)), rel=0.03)


def test_compressed_spectrum():
    x, y = signals()
    x, y = naive_batch(x), naive_batch(y)
    squash = lambda z: np.abs(z) ** 0.3 * np.exp(1j * np.angle(z))
    a, b = (spectrum(tf.constant(v), FFT, HOP) for v in signals())
    complex_mse, magnitude_mse = spectral.compressed_spectrum(a, b)
    assert float(complex_mse) == pytest.approx(np.mean(np.abs(squash(x) - squash(y)) ** 2), rel=1e-3)
    assert float(magnitude_mse) == pytest.approx(np.mean((np.abs(x) ** 0.3 - np.abs(y) ** 0.3) ** 2), rel=1e-3)
    missing = np.maximum(0, np.abs(y) ** 0.3 - np.abs(x) ** 0.3)
    assert float(spectral.over_suppression(a, b)) == pytest.approx(np.mean(missing**2), rel=1e-3)


def test_si_snr():
    x, y = (v.astype(np.float64) for v in signals())
    ratios = []
    for e, t in zip(x + y, y, strict=True):
        projected = t * (e @ t) / (t @ t)
        ratios.append(10 * np.log10((projected @ projected) / ((e - projected) @ (e - projected))))
    estimate, target = tf.constant(x + y, tf.float32), tf.constant(y, tf.float32)
    assert float(spectral.si_snr_loss(estimate, target, 100.0)) == pytest.approx(-np.mean(ratios), rel=1e-3)
    assert float(spectral.si_snr_loss(7.0 * estimate, target, 100.0)) == pytest.approx(-np.mean(ratios), rel=1e-3)  # blind to the level
    limited = -np.mean([10 * np.log10(1 / (10 ** (-ratio / 10) + 10**-0.3)) for ratio in ratios])  # noise and ceiling add up
    assert float(spectral.si_snr_loss(estimate, target, 3.0)) == pytest.approx(limited, rel=1e-3)
    assert float(spectral.si_snr_loss(target, target, 30.0)) == pytest.approx(-30.0, abs=0.01)


def test_a_silent_target_has_no_si_snr():
    x, y = map(tf.constant, signals(batch=2))
    silent = tf.concat([y[:1], tf.zeros_like(y[:1])], axis=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = spectral.si_snr_loss(x, silent, 30.0)
    assert float(loss) == pytest.approx(0.5 * float(spectral.si_snr_loss(x[:1], y[:1], 30.0)), rel=1e-5)
    slopes = tape.gradient(loss, x).numpy()
    assert np.abs(slopes[0]).max() > 0
    assert np.abs(slopes[1]).max() == 0


def test_multi_resolution_stft_is_the_mean_of_the_papers_terms():
    x, y = signals(samples=700)
    resolutions = ((64, 12, 60), (128, 24, 120), (32, 5, 24))
    convergence, log_magnitude = [], []
    for r in resolutions:
        e, t = magnitudes(x, *r), magnitudes(y, *r)
        per_clip = np.sqrt(np.square(t - e).sum((1, 2))) / np.sqrt(np.square(t).sum((1, 2)))
        convergence.append(per_clip.mean())
        log_magnitude.append(np.abs(np.log(e) - np.log(t)).mean())
    result = spectral.multi_resolution_stft(tf.constant(x), tf.constant(y), resolutions)
    np.testing.assert_allclose(result, [np.mean(convergence), np.mean(log_magnitude)], rtol=1e-3)


def test_convergence_is_relative_to_targets_down_to_60_db_below_full_scale():
    make = lambda audio: spectral.spectrum(tf.constant(audio[None], tf.float32), 256, 64)
    noise = np.random.default_rng(0).standard_normal((2, 8000))
    of = lambda db: float(
        spectral.spectral_convergence(make(10 ** (db / 20) * (noise[0] + 0.3 * noise[1])), make(10 ** (db / 20) * noise[0]))
    )
    assert of(-50) == pytest.approx(of(0), rel=1e-2)
    assert of(-80) == pytest.approx(0.1 * of(0), rel=0.1)


def test_what_is_below_a_raised_floor_is_not_counted():
    loud, quiet = (np.random.default_rng(seed).normal(0, 1, (2, 400)).astype(np.float32) for seed in (0, 1))
    resolutions = ((64, 16, 64),)
    plain = spectral.multi_resolution_stft(tf.constant(1e-4 * quiet), tf.constant(1e-4 * loud), resolutions)[1]
    raised = spectral.multi_resolution_stft(tf.constant(1e-4 * quiet), tf.constant(1e-4 * loud), resolutions, floor=1e-4)[1]
    assert float(plain) > 0.3
    assert float(raised) < 1e-3
    s = spectrum(tf.constant(loud), 64, 16, floor=0.5)
    np.testing.assert_allclose(s.power, tf.square(s.real) + tf.square(s.imaginary) + s.gain * 0.5)


def test_sub_bands_are_counted_together():
    x, y = signals(4, samples=200)
    resolutions = ((32, 6, 30),)
    direct = spectral.multi_resolution_stft(tf.constant(x), tf.constant(y), resolutions)
    bands = [np.stack([magnitudes(v[..., b], *resolutions[0]) for b in range(4)], 1) for v in (x, y)]
    expected = (np.sqrt(np.square(bands[1] - bands[0]).sum((1, 2, 3))) / np.sqrt(np.square(bands[1]).sum((1, 2, 3)))).mean()
    assert float(direct[0]) == pytest.approx(expected, rel=1e-3)


def test_feature_matching_sums_the_maps_of_all_discriminators_and_spares_the_target():
    e, t = tf.constant([[1.0, 3.0]]), tf.constant([[2.0, 5.0]])
    with tf.GradientTape() as tape:
        tape.watch([e, t])
        loss = spectral.feature_matching([[e, 2 * e], [e]], [[t, 2 * t], [t]])
    assert float(loss) == pytest.approx(1.5 + 3.0 + 1.5)
    slopes = tape.gradient(loss, [e, t])
    assert slopes[1] is None
    np.testing.assert_allclose(slopes[0], [[-2.0, -2.0]])
    for wrong in ([e], []):
        with pytest.raises(ValueError, match="feature maps"):
            spectral.feature_matching(wrong, [] if not wrong else [t, t])


LOSSES = {
    "l1": spectral.l1,
    "l2": spectral.l2,
    "si_snr": lambda e, t: spectral.si_snr_loss(e, t, 30.0),
    **{f"stft_l1_{p}": stft_term(spectrum_l1, p) for p in ("real", "imag", "magnitude")},
    **{f"stft_l2_{p}": stft_term(spectrum_l2, p) for p in ("real", "imag", "magnitude")},
    "compressed_complex": lambda e, t: spectral.compressed_spectrum(spectrum(e, FFT, HOP), spectrum(t, FFT, HOP))[0],
    "compressed_magnitude": lambda e, t: spectral.compressed_spectrum(spectrum(e, FFT, HOP), spectrum(t, FFT, HOP))[1],
    "over_suppression": lambda e, t: spectral.over_suppression(spectrum(e, FFT, HOP), spectrum(t, FFT, HOP)),
    "convergence": lambda e, t: spectral.multi_resolution_stft(e, t, ((32, 6, 30), (64, 12, 40)))[0],
    "log_magnitude": lambda e, t: spectral.multi_resolution_stft(e, t, ((32, 6, 30), (64, 12, 40)))[1],
    "sub_band": lambda e, t: spectral.multi_resolution_stft(e[..., None], t[..., None], ((33, 6, 30),))[1],
    "mel_l1": lambda e, t: spectral.l1(mel_spectrogram(e, MELS, soft=True), mel_spectrogram(t, MELS, soft=True)),
    "mel_l2": lambda e, t: spectral.l2(mel_spectrogram(e, MELS, soft=True), mel_spectrogram(t, MELS, soft=True)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means_over_clips_with_finite_true_gradients_even_at_silence(name):
    loss = LOSSES[name]
    x, y = map(tf.constant, signals(samples=100))

    def slope(e, t):
        with tf.GradientTape() as tape:
            tape.watch(e)
            value = loss(e, t)
        return float(value), tape.gradient(value, e)

    value, gradient = slope(x, y)
    assert value == pytest.approx(np.mean([float(loss(x[i : i + 1], y[i : i + 1])) for i in range(3)]), rel=1e-4)
    # The gradient is that of the function: a small step along it changes the loss as foretold.
    norm = float(tf.linalg.global_norm([gradient]))
    length = 1e-4 * abs(value) / norm
    measured = (float(loss(x + length / norm * gradient, y)) - float(loss(x - length / norm * gradient, y))) / (2 * length)
    assert measured == pytest.approx(norm, rel=0.05)
    silence = tf.zeros_like(x)
    for e, t in ((silence, silence), (silence, y), (x, silence), (x, x), (x * 1e-8, y), (x * 1e4, y)):
        value, gradient = slope(e, t)
        assert np.isfinite([value, *gradient.numpy().flat]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_nearly_silent_estimate_is_pulled_towards_the_target(name):
    if name == "si_snr":
        pytest.skip("is blind to the level")
    tiny, y = 1e-4 * signals(samples=100)[0], tf.constant(signals(samples=100)[1])
    tiny = tf.constant(tiny)
    with tf.GradientTape() as tape:
        tape.watch(tiny)
        value = LOSSES[name](tiny, y)
    direction = tape.gradient(value, tiny)
    assert float(LOSSES[name](tiny - 1e-3 * direction / tf.linalg.global_norm([direction]), y)) < float(value)


def test_the_terms_trace_in_a_graph_with_unknown_sizes():
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None, None])])
    def total(e, t):
        s, r = spectrum(e, FFT, HOP), spectrum(t, FFT, HOP)
        return tf.add_n([spectral.spectrum_l1(s, r), spectral.si_snr_loss(e, t, 30.0), *spectral.compressed_spectrum(s, r)])

    x, y = map(tf.constant, signals())
    s, r = spectrum(x, FFT, HOP), spectrum(y, FFT, HOP)
    expected = float(tf.add_n([spectral.spectrum_l1(s, r), spectral.si_snr_loss(x, y, 30.0), *spectral.compressed_spectrum(s, r)]))
    assert float(total(x, y)) == pytest.approx(expected, rel=1e-5)
