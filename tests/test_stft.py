"""The transform against a naive sum, scipy and librosa; its inverse to the last sample; Griffin-Lim."""

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from gansynth_cli.signal.stft import frame_count, griffin_lim, hann, istft, stft


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def naive(audio: np.ndarray, fft: int, hop: int, frames: int, front: int) -> np.ndarray:
    """The definition: a sum over the samples of each frame, in float64."""
    padded = np.concatenate([np.zeros(front), audio, np.zeros(frames * hop + fft)])
    n = np.arange(fft)
    basis = np.exp(-2j * np.pi * np.outer(n, np.arange(fft // 2 + 1)) / fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / fft)
    return np.stack([(padded[t * hop : t * hop + fft] * window) @ basis for t in range(frames)])


@pytest.mark.parametrize("fft, hop, front", [(16, 8, 0), (16, 4, 12), (20, 6, 14), (32, 16, 16), (64, 16, 5)])
def test_stft_is_the_definition(fft, hop, front):
    audio = noise(101)
    frames = -(-(front + 101) // hop)
    assert frame_count(101, hop, front) == frames
    got = stft(audio, fft, hop, front=front).numpy()
    assert got.shape == (frames, fft // 2 + 1)
    np.testing.assert_allclose(got, naive(audio, fft, hop, frames, front), atol=2e-5)


@pytest.mark.parametrize("frames", [1, 5, 13, 20])
def test_exactly_the_frames_asked_for(frames):
    got = stft(noise(101), 16, 8, frames=frames).numpy()
    np.testing.assert_allclose(got, naive(noise(101), 16, 8, frames, 0), atol=2e-5)


def test_window_and_transform_agree_with_scipy():
    audio = noise(4096)
    np.testing.assert_allclose(hann(256), scipy.signal.get_window("hann", 256), atol=1e-7)
    _, _, theirs = scipy.signal.stft(audio, window="hann", nperseg=256, noverlap=128, boundary=None, padded=False)
    np.testing.assert_allclose(stft(audio, 256, 128).numpy()[:31].T, theirs * 128, atol=2e-4)  # scipy divides by the window's sum


@pytest.mark.slow  # librosa compiles for half a minute
def test_transform_agrees_with_librosa():
    audio = noise(4096)
    librosa = pytest.importorskip("librosa")
    theirs = librosa.stft(audio, n_fft=256, hop_length=128, center=True, pad_mode="constant")
    np.testing.assert_allclose(stft(audio, 256, 128, frames=33, front=128).numpy().T, theirs, atol=2e-4)


def test_specgan_framing():
    """256 / 128 on 16384 samples: 128 frames, the end padded, as the paper's picture."""
    spectrum = stft(noise(16384), 256, 128)
    assert spectrum.shape == (128, 129)
    np.testing.assert_allclose(spectrum[-1], naive(noise(16384)[-128:], 256, 128, 1, 0)[0], atol=2e-4)


@pytest.mark.parametrize("fft, hop", [(256, 128), (256, 64), (200, 60), (2048, 512), (64, 16)])
@pytest.mark.parametrize("samples", [1, 63, 1000, 1024])
def test_inverse_is_exact_to_both_ends(fft, hop, samples):
    audio = noise(2, samples)
    front = fft - hop
    back = istft(stft(audio, fft, hop, front=front), fft, hop, samples, front).numpy()
    assert back.shape == audio.shape
    np.testing.assert_allclose(back, audio, atol=2e-6)


def test_inverse_without_front_padding_is_exact_but_for_the_foot_of_the_first_window():
    audio = noise(3, 1024)
    back = istft(stft(audio, 256, 128), 256, 128, 1024).numpy()
    np.testing.assert_allclose(back[:, 40:], audio[:, 40:], atol=2e-6)
    np.testing.assert_allclose(back[:, 1:40], audio[:, 1:40], atol=4e-3)
    assert np.all(back[:, 0] == 0)


def test_the_matched_window_keeps_a_sine():
    """The inverse of the authors' code had an error of .5 here."""
    sine = np.sin(2 * np.pi * 440 * np.arange(16384) / 16000).astype(np.float32)
    back = istft(stft(sine, 256, 128, front=128), 256, 128, 16384, 128).numpy()
    assert np.abs(back - sine).max() < 2e-6


def test_linear_and_batched_and_any_leading_axes():
    a, b = noise(2, 3, 500), noise(2, 3, 500, seed=1)
    both = stft(2 * a - 3 * b, 64, 16)
    np.testing.assert_allclose(both, 2 * stft(a, 64, 16) - 3 * stft(b, 64, 16), atol=5e-5)
    np.testing.assert_allclose(both[1, 2], stft((2 * a - 3 * b)[1, 2], 64, 16), atol=1e-5)
    assert istft(both, 64, 16, 500).shape == (2, 3, 500)
    assert not np.any(stft(np.zeros(500, np.float32), 64, 16))


def test_lengths_beyond_the_frames_are_silence():
    back = istft(stft(noise(128), 64, 32), 64, 32, 1000).numpy()
    assert back.shape == (1000,)
    assert not back[160:].any()


def test_unknown_lengths_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def there_and_back(audio):
        return istft(stft(audio, 64, 16, front=48), 64, 16, tf.shape(audio)[1], 48)

    for samples in (50, 333):
        np.testing.assert_allclose(there_and_back(noise(2, samples)), noise(2, samples), atol=2e-6)


def test_gradient_is_finite_and_right():
    audio = tf.constant(noise(1, 64))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        spectrum = stft(audio, 16, 8)
        energy = tf.reduce_sum(tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum)))
    slope = tape.gradient(energy, audio).numpy()[0]
    step = np.zeros((1, 64), np.float32)
    step[0, 20] = 1e-2
    energies = [np.sum(np.abs(stft(audio + sign * step, 16, 8).numpy()) ** 2) for sign in (1, -1)]
    assert slope[20] == pytest.approx((energies[0] - energies[1]) / 2e-2, rel=1e-2)


@pytest.mark.parametrize("fft, hop, front", [(15, 4, 0), (16, 0, 0), (16, 9, 0), (16, 8, -1)])
def test_sizes_that_make_no_sense(fft, hop, front):
    with pytest.raises(ValueError, match="expected"):
        stft(noise(100), fft, hop, front=front)


def convergence(audio: tf.Tensor, magnitude: tf.Tensor) -> float:
    found = tf.abs(stft(audio, 256, 64))
    return float(tf.norm(found - magnitude) / tf.norm(magnitude))


@pytest.fixture(scope="module")
def chirps() -> tf.Tensor:
    t = np.arange(4096) / 8000
    return tf.constant(np.stack([np.sin(2 * np.pi * (f + 800 * t) * t) * np.exp(-4 * t) for f in (200, 500, 1500)]).astype(np.float32))


def test_griffin_lim_comes_nearer_with_iterations_and_sooner_with_momentum(chirps):
    magnitude = tf.abs(stft(chirps, 256, 64))
    plain = [convergence(griffin_lim(magnitude, 256, 64, iterations=n), magnitude) for n in (0, 8, 32)]
    fast = convergence(griffin_lim(magnitude, 256, 64, iterations=32, momentum=0.99), magnitude)
    assert plain[0] > 1.2 * plain[1] > 1.2 * plain[2]
    assert fast < 0.8 * plain[2]


def test_griffin_lim_from_the_true_phase_stays_there(chirps):
    spectrum = stft(chirps, 256, 64, front=192)
    for momentum in (0.0, 0.99):
        first = {"phase": tf.math.angle(spectrum), "front": 192, "samples": 4096}
        audio = griffin_lim(tf.abs(spectrum), 256, 64, iterations=5, momentum=momentum, **first)
        np.testing.assert_allclose(audio, chirps, atol=2e-4)


def test_griffin_lim_is_the_textbook_iteration(chirps):
    """Against a loop of plain numpy on the public transform, where every sample is seen by all its frames."""
    magnitude = tf.abs(stft(chirps[:1], 256, 64, front=192)).numpy()
    for momentum in (0.0, 0.5):
        spectrum, previous = magnitude.astype(np.complex64), 0
        for _ in range(3):
            projected = stft(istft(spectrum, 256, 64, 4096, 192), 256, 64, front=192).numpy()
            ahead = projected + momentum * (projected - previous)
            spectrum, previous = magnitude * ahead / np.maximum(np.abs(ahead), 1e-10), projected
        expected = istft(spectrum, 256, 64, 4096, 192).numpy()
        found = griffin_lim(magnitude, 256, 64, 4096, 192, iterations=3, momentum=momentum)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("hop, momentum", [(128, 0.0), (128, 0.99), (64, 0.0), (64, 0.99)])
def test_griffin_lim_of_a_sound_that_starts_at_once_has_no_click(hop, momentum):
    """Dividing by the foot of the first window gave peaks of 3.5 to 11 here, with a floor of 1e-3 under it."""
    audio = noise(4, 8192) * 0.5 * np.exp(-np.arange(8192) / 1000).astype(np.float32)
    found = griffin_lim(tf.abs(stft(audio, 256, hop)), 256, hop, iterations=32, momentum=momentum).numpy()
    assert np.abs(found[:, :60]).max() < 0.8
    assert np.sum(found[:, :256] ** 2) > 0.4 * np.sum(audio[:, :256] ** 2)


@pytest.mark.parametrize("first", [{}, {"seed": 3}])
def test_griffin_lim_of_a_batch_is_that_of_each_clip(chirps, first):
    magnitude = tf.abs(stft(chirps, 256, 64))
    together = griffin_lim(magnitude, 256, 64, iterations=4, momentum=0.9, **first).numpy()
    for index in range(3):
        np.testing.assert_allclose(together[index], griffin_lim(magnitude[index], 256, 64, iterations=4, momentum=0.9, **first), atol=1e-6)


def test_griffin_lim_seeds(chirps):
    magnitude = tf.abs(stft(chirps, 256, 64))
    a, b, c = (griffin_lim(magnitude, 256, 64, iterations=2, seed=seed).numpy() for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.allclose(a, c)
    with pytest.raises(ValueError, match="not both"):
        griffin_lim(magnitude, 256, 64, phase=tf.zeros_like(magnitude), seed=1)


def test_griffin_lim_of_silence_is_silence():
    assert not np.any(griffin_lim(tf.zeros([2, 8, 17]), 32, 16, momentum=0.99, seed=0))


def test_griffin_lim_with_revised_magnitudes(chirps):
    """Magnitudes given once for all and the same ones given anew at each iteration are the same; what is given is the signal's own."""
    magnitude = tf.abs(stft(chirps, 256, 64, front=192))
    options = {"fft": 256, "hop": 64, "front": 192, "momentum": 0.5}
    plain = griffin_lim(magnitude, iterations=6, **options)
    revised = griffin_lim(magnitude, iterations=2, more=4, revise=lambda own: magnitude, **options)
    np.testing.assert_allclose(revised, plain, atol=1e-5)
    free = griffin_lim(magnitude, iterations=6, more=5, revise=lambda own: own, **{**options, "momentum": 0.0})
    np.testing.assert_allclose(free, griffin_lim(magnitude, iterations=6, **{**options, "momentum": 0.0}), atol=1e-4)


def test_the_gradient_of_griffin_lim_is_finite_in_silence_and_right_elsewhere():
    rng = np.random.default_rng(4)
    values = np.abs(rng.normal(size=(1, 9, 17))).astype(np.float32)
    values[:, 3:5] = 0.0
    magnitude, direction = tf.constant(values), rng.normal(size=values.shape).astype(np.float32)
    direction[:, 3:5] = 0.0
    weights = rng.normal(size=(1, 9 * 8)).astype(np.float32)
    phase = tf.constant(rng.uniform(-3, 3, values.shape).astype(np.float32))
    loss = lambda m: tf.reduce_sum(griffin_lim(m, 32, 8, front=24, samples=72, iterations=3, phase=phase, floor=1e-4) * weights)
    with tf.GradientTape() as tape:
        tape.watch(magnitude)
        value = loss(magnitude)
    gradient = tape.gradient(value, magnitude).numpy()
    assert np.isfinite(gradient).all()
    slope = float(loss(magnitude + 1e-3 * direction) - loss(magnitude - 1e-3 * direction)) / 2e-3
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=0.05, abs=0.02)
