"""Short-time Fourier transform, its exact inverse, and Griffin-Lim. Pure tensor functions.

Convention. `front` zeros precede the audio; frame t covers the samples [t hop, t hop + fft) of the padded audio; zeros follow as
needed. The window is the periodic Hann window, not normalised: a full-scale sine gives a peak of fft / 4. By default there are
ceil((front + samples) / hop) frames: all that overlap the audio.

The inverse divides by the overlapped windows (least squares; Griffin and Lim 1984, eq. 6), so it recovers every sample covered by a
frame. With `front >= fft - hop` each sample is covered by fft / hop frames and recovered to 1e-6 at both ends. With `front = 0`
(SpecGAN's framing) the first samples are covered only by the foot of one window, which is 0 at sample 0: sample 0 is lost, and the
float32 error of the next ones grows by 1 / window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from .portable import graph_constants, is_portable

INVERSE_FLOOR = 1e-10  # of the summed squared windows: effective only where no frame covers the sample


def hann(fft: int) -> np.ndarray:
    """Return the periodic Hann window, float32 [fft], as `scipy.signal.get_window("hann", fft)`."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(fft) / fft)).astype(np.float32)


def frame_count(samples: int, hop: int, front: int = 0) -> int:
    """Return the number of frames that overlap `samples` samples after `front` zeros."""
    return -(-(front + samples) // hop)


def stft(audio: tf.Tensor, fft: int, hop: int, frames: int | None = None, front: int = 0, window: int | None = None) -> tf.Tensor:
    """Compute the short-time Fourier transform; see the module for the framing.

    Args:
        audio: float32 [..., samples].
        fft: Length of transform and window, samples.
        hop: Samples between frames, at most half a window.
        frames: Number of frames, cutting or padding the end; None: all frames that overlap the audio.
        front: Number of zeros before the audio.
        window: Length in samples of a window shorter than the transform, for analysis only (not in `istft`): frames are that long
            and zero-padded to `fft`, which may then be odd. None: `fft`.

    Returns:
        complex64 [..., frames, fft // 2 + 1], from DC to Nyquist.

    See also: `istft`, `griffin_lim`.

    Example:
        >>> stft(tf.zeros([2, 16384]), fft=256, hop=128).shape
        TensorShape([2, 128, 129])
    """
    if window is None:
        _check(fft, hop, front)
        window = fft
    elif not 0 < 2 * hop <= window <= fft or front < 0:
        raise ValueError(f"fft {fft}, window {window}, hop {hop}, front {front}: expected 0 < hop <= window / 2, window <= fft, front >= 0")
    audio = tf.convert_to_tensor(audio)
    return _shaped(tf.signal.rfft(_windowed(audio, window, hop, frames, front), [fft]), audio, frames, fft // 2 + 1)


def stft_parts(
    audio: tf.Tensor, fft: int, hop: int, frames: int | None = None, front: int = 0, window: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `stft` as real and imaginary part, each float32; within `portable_graph` without complex numbers."""
    if not is_portable():
        spectrum = stft(audio, fft, hop, frames, front, window)
        return tf.math.real(spectrum), tf.math.imag(spectrum)
    audio = tf.convert_to_tensor(audio)
    parts = _transform(_windowed(audio, window or fft, hop, frames, front), fft)
    return tuple(_shaped(part, audio, frames, fft // 2 + 1) for part in parts)  # type: ignore[return-value]


def istft(spectrum: tf.Tensor, fft: int, hop: int, samples: int | None = None, front: int = 0, floor: float = INVERSE_FLOOR) -> tf.Tensor:
    """Return the signal whose transform is nearest to `spectrum` in the least-squares sense, the inverse of `stft` if there is one.

    Args:
        spectrum: complex64 [..., frames, fft // 2 + 1].
        fft, hop, front: As in `stft`.
        samples: Length of the result, zeros beyond the last frame. None: frames * hop - front.
        floor: Minimum of the summed squared windows. Samples with less coverage are attenuated instead of amplifying errors.

    Returns:
        float32 [..., samples].
    """
    spectrum = tf.convert_to_tensor(spectrum)
    return istft_parts(tf.math.real(spectrum), tf.math.imag(spectrum), fft, hop, samples, front, floor)


def istft_parts(
    real: tf.Tensor,
    imaginary: tf.Tensor,
    fft: int,
    hop: int,
    samples: int | None = None,
    front: int = 0,
    floor: float = INVERSE_FLOOR,
) -> tf.Tensor:
    """Compute `istft` of a spectrum given as real and imaginary part; within `portable_graph` without complex numbers."""
    _check(fft, hop, front)
    frames = real.shape[-2] if real.shape[-2] is not None else tf.shape(real)[-2]
    if samples is None:
        samples = frames * hop - front
    flat = [tf.reshape(part, [-1, frames, fft // 2 + 1]) for part in (real, imaginary)]
    audio = _cut(_overlap(flat[0], flat[1], fft, hop) * _inverse_weight(frames, fft, hop, floor), samples, front)
    return _as_signals(audio, real, samples)


def griffin_lim(
    magnitude: tf.Tensor,
    fft: int,
    hop: int,
    samples: int | None = None,
    front: int = 0,
    iterations: int = 16,
    momentum: float = 0.0,
    phase: tf.Tensor | None = None,
    seed: int | None = None,
    floor: float = 1e-20,
    more: int = 0,
    revise: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """Find a signal with (nearly) the given magnitudes by alternating projections (Griffin and Lim 1984), accelerated by `momentum`
    (Perraudin, Balazs and Soendergaard 2013, "A fast Griffin-Lim algorithm").

    A clip's result depends on that clip alone, never on the batch around it.

    If `front` is less than fft - hop, only the foot of one window covers the first samples. A plain inverse divides by that foot, and
    since no signal has exactly these magnitudes, a sound that starts immediately gets a click of ten times its level (measured on
    decaying noise, with a floor of 1e-3 for the squared window). Here the frames before the first one are included with free
    magnitudes: they keep the values of the signal in the last iteration, so samples with little coverage move slowly, from silence.
    A true spectrogram with its true phase is still a fixed point.

    Args:
        magnitude: float32 [..., frames, fft // 2 + 1], at least 0.
        fft, hop, front, samples: As in `istft`.
        iterations: Number of iterations; 0 uses the initial phase.
        momentum: alpha of the fast algorithm: 0 is Griffin and Lim's own; 0.99 converges lower and sooner.
        phase: Initial phase in radians, broadcast to `magnitude`; zero by default.
        seed: Seed of a uniformly random initial phase, the same for every clip.
        floor: Power below which a bin's phase fades to nothing. Gradients through silent bins grow by 1 / sqrt(floor) per iteration, so
            for gradients use a floor near the quietest relevant sound.
        more, revise: Number of further iterations, whose magnitudes are `revise` of the signal's own, float32 [batch, frames, bins]
            with the leading dimensions flattened: for a constraint that leaves some freedom, such as a mel spectrum.

    Returns:
        float32 [..., samples].

    Raises:
        ValueError: Both `phase` and `seed` are given.
    """
    _check(fft, hop, front)
    if phase is not None and seed is not None:
        raise ValueError("griffin_lim takes either an initial phase or a seed, not both")
    magnitude = tf.convert_to_tensor(magnitude, tf.float32)
    bins = fft // 2 + 1
    frames = magnitude.shape[-2] if magnitude.shape[-2] is not None else tf.shape(magnitude)[-2]
    if samples is None:
        samples = frames * hop - front
    if seed is not None:
        phase = tf.random.stateless_uniform([frames, bins], [seed, 0x6C], -math.pi, math.pi)
    if phase is None:
        first = magnitude, tf.zeros_like(magnitude)
    else:
        first = magnitude * tf.cos(phase), magnitude * tf.sin(phase)
    target = tf.reshape(magnitude, [-1, frames, bins])
    free = -(-max(0, fft - hop - front) // hop)
    start = [tf.pad(tf.reshape(part, [-1, frames, bins]), [[0, 0], [free, 0], [0, 0]]) for part in first]
    all_frames, all_front = frames + free, front + free * hop
    weight = _inverse_weight(all_frames, fft, hop, INVERSE_FLOOR)
    window = hann(fft)

    def signal(real, imaginary):
        return _cut(_overlap(real, imaginary, fft, hop) * weight, samples, all_front)

    def iterate(*state, revise=None):
        projected = _transform(_frame(signal(*state[:2]), samples, fft, hop, all_frames, all_front) * window, fft)
        # Real and imaginary parts separately: rsqrt is fifteen times faster than angles, and twice as fast as complex division.
        real, imaginary = bound = [part[:, free:] for part in projected]
        wanted = target if revise is None else revise(tf.sqrt(tf.square(real) + tf.square(imaginary) + floor))
        if momentum:
            real += momentum * (real - state[2])
            imaginary += momentum * (imaginary - state[3])
        scale = wanted * tf.math.rsqrt(tf.square(real) + tf.square(imaginary) + floor)
        made = [real * scale, imaginary * scale]
        if free:
            made = [tf.concat([whole[:, :free], part], axis=1) for whole, part in zip(projected, made, strict=True)]
        return *made, *bound

    # The first "previous" is zero, which scales the first projection and changes no phase.
    state = _repeat(iterate, (*start, *(tf.zeros_like(part[:, free:]) for part in start)), iterations)
    if more and revise is not None:
        state = _repeat(lambda *before: iterate(*before, revise=revise), state, more)
    return _as_signals(signal(*state[:2]), magnitude, samples)


def griffin_lim_plain(magnitude: tf.Tensor, fft: int, hop: int, samples: int, iterations: int = 16) -> tf.Tensor:
    """Recover a signal as in SpecGAN's code: Griffin-Lim from zero phase, without division by the windows.

    With a hop of half the window the amplitude is then modulated between 0.5 and 1 every hop, and the first samples fade in. It
    reproduces the authors' samples of published models; `griffin_lim` comes closer to the magnitudes.

    Args:
        magnitude: float32 [..., frames, fft // 2 + 1], at least 0.
        fft, hop: As for `istft`, with front = 0.
        samples: Length of the result, at most that of all frames.
        iterations: Number of iterations.

    Returns:
        float32 [..., samples].
    """
    _check(fft, hop, 0)
    magnitude = tf.convert_to_tensor(magnitude, tf.float32)
    frames = magnitude.shape[-2] if magnitude.shape[-2] is not None else tf.shape(magnitude)[-2]
    target = tf.reshape(magnitude, [-1, frames, fft // 2 + 1])
    length = (frames - 1) * hop + fft

    def iterate(real, imaginary):
        real, imaginary = _transform(_frame(_overlap(real, imaginary, fft, hop), length, fft, hop, frames, 0) * hann(fft), fft)
        scale = target / tf.maximum(1e-8, tf.sqrt(tf.square(real) + tf.square(imaginary)))
        return real * scale, imaginary * scale

    parts = _repeat(iterate, (target, tf.zeros_like(target)), iterations)
    real, imaginary = (tf.reshape(part, tf.shape(magnitude)) for part in parts)
    return istft_plain(real, imaginary, fft, hop, samples)


def istft_plain(real: tf.Tensor, imaginary: tf.Tensor, fft: int, hop: int, samples: int) -> tf.Tensor:
    """Overlap-add the windowed inverse transforms of a spectrum, parts float32 [..., frames, fft // 2 + 1], without division: float32
    [..., samples]."""
    frames = real.shape[-2] if real.shape[-2] is not None else tf.shape(real)[-2]
    flat = [tf.reshape(part, [-1, frames, fft // 2 + 1]) for part in (real, imaginary)]
    audio = _cut(_overlap(flat[0], flat[1], fft, hop), samples, 0)
    return tf.reshape(audio, tf.concat([tf.shape(real)[:-2], [samples]], axis=0))


def _check(fft: int, hop: int, front: int) -> None:
    # With fewer than two frames per sample, the sample at the zero of every Hann window would be lost.
    if not 0 < 2 * hop <= fft or fft % 2:
        raise ValueError(f"fft {fft} and hop {hop}: expected an even fft and 0 < hop <= fft / 2")
    if front < 0:
        raise ValueError(f"front is {front}: expected 0 or more")


def _frame(audio: tf.Tensor, samples: int, fft: int, hop: int, frames: int, front: int) -> tf.Tensor:
    """Split [batch, samples] into [batch, frames, fft] by blocks of the common divisor of fft and hop. Slices instead of a gather: their
    gradient is a sum of pads, and XLA compiles both."""
    block = math.gcd(fft, hop)
    length = (frames - 1) * hop + fft
    if isinstance(samples, int) and isinstance(frames, int):
        kept = max(0, min(samples, length - front))
    else:
        kept = tf.maximum(0, tf.minimum(samples, length - front))
    padded = tf.pad(audio[:, :kept], [[0, 0], [front, length - front - kept]])
    blocks = tf.reshape(padded, [-1, length // block, block])
    last = (frames - 1) * (hop // block) + 1
    return tf.concat([blocks[:, k : k + last : hop // block] for k in range(fft // block)], axis=-1)


def _windowed(audio: tf.Tensor, window: int, hop: int, frames: Any, front: int) -> tf.Tensor:
    """[..., samples] -> windowed frames [batch, frames, window]."""
    samples = audio.shape[-1] if audio.shape[-1] is not None else tf.shape(audio)[-1]
    if frames is None:
        frames = -(-(front + samples) // hop)
    return _frame(tf.reshape(audio, [-1, samples]), samples, window, hop, frames, front) * hann(window)


def _shaped(spectrum: tf.Tensor, audio: tf.Tensor, frames: Any, bins: int) -> tf.Tensor:
    """[batch, frames, bins] -> the leading axes of `audio`, frames, bins."""
    spectrum = tf.reshape(spectrum, tf.concat([tf.shape(audio)[:-1], tf.shape(spectrum)[1:]], axis=0))
    return tf.ensure_shape(spectrum, [*audio.shape[:-1], frames if isinstance(frames, int) else None, bins])


def _as_signals(audio: tf.Tensor, spectrum: tf.Tensor, samples: Any) -> tf.Tensor:
    """[batch, samples] -> the leading axes of `spectrum`, samples."""
    audio = tf.reshape(audio, tf.concat([tf.shape(spectrum)[:-2], [samples]], axis=0))
    return tf.ensure_shape(audio, [*spectrum.shape[:-2], samples if isinstance(samples, int) else None])


def _repeat(step: Callable[..., Any], state: tuple[tf.Tensor, ...], times: int) -> tuple[tf.Tensor, ...]:
    if not is_portable():
        return tf.while_loop(lambda *_: True, lambda *now: tuple(step(*now)), state, maximum_iterations=times, parallel_iterations=1)
    for _ in range(times):
        state = tuple(step(*state))
    return state


def _transform(framed: tf.Tensor, fft: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Transform frames [batch, frames, n <= fft] to real and imaginary part [batch, frames, fft // 2 + 1]."""
    if is_portable():
        size = framed.shape[-1]
        matrices = graph_constants(("fourier", fft, size), lambda: tuple(matrix[:size] for matrix in _fourier(fft)))
        return tuple(tf.matmul(framed, matrix) for matrix in matrices)  # type: ignore[return-value]
    spectrum = tf.signal.rfft(framed, [fft])
    return tf.math.real(spectrum), tf.math.imag(spectrum)


@lru_cache(maxsize=4)
def _fourier(fft: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and minus sines, float32 [fft, fft // 2 + 1]."""
    turns = np.outer(np.arange(fft), np.arange(fft // 2 + 1)) % fft * (2.0 * np.pi / fft)
    return np.cos(turns).astype(np.float32), -np.sin(turns).astype(np.float32)


def _inverse_fourier(fft: int) -> tuple[np.ndarray, ...]:
    """Return what real and imaginary parts are multiplied with for the inverse, float32 [fft // 2 + 1, fft]."""
    # A real signal's bins count twice, but those that are their own mirror images.
    counts = np.where(np.arange(fft // 2 + 1) % (fft / 2) == 0, 1.0, 2.0).astype(np.float32) / np.float32(fft)
    return tuple(np.ascontiguousarray((matrix * counts).T) for matrix in _fourier(fft))


def _overlap(real: tf.Tensor, imaginary: tf.Tensor, fft: int, hop: int) -> tf.Tensor:
    """Overlap-add windowed inverse transforms: [batch, frames, bins] -> [batch, (frames - 1) hop + fft]."""
    if is_portable():
        matrices = graph_constants(("inverse fourier", fft), lambda: _inverse_fourier(fft))
        framed = tf.add_n([tf.matmul(part, matrix) for part, matrix in zip((real, imaginary), matrices, strict=True)])
    else:
        framed = tf.signal.irfft(tf.complex(real, imaginary), [fft])
    return _add_frames(framed * hann(fft), fft, hop)


def _add_frames(framed: tf.Tensor, fft: int, hop: int) -> tf.Tensor:
    if fft % hop:
        return tf.signal.overlap_and_add(framed, hop)
    parts = fft // hop
    added = tf.add_n([tf.pad(framed[..., k * hop : (k + 1) * hop], [[0, 0], [k, parts - 1 - k], [0, 0]]) for k in range(parts)])
    frames = framed.shape[1] if framed.shape[1] is not None else tf.shape(framed)[1]
    return tf.reshape(added, [-1, (frames + parts - 1) * hop])


def _inverse_weight(frames: int, fft: int, hop: int, floor: float) -> tf.Tensor:
    """Return one over the sum of the squared windows at each sample: float32 [1, (frames - 1) hop + fft]."""
    squared = tf.broadcast_to(tf.constant(np.square(hann(fft).astype(np.float64)), tf.float32), [1, frames, fft])
    return 1.0 / tf.maximum(_add_frames(squared, fft, hop), floor)


def _cut(audio: tf.Tensor, samples: int, front: int) -> tf.Tensor:
    """Cut [batch, length] to [batch, samples] without the `front` zeros, zero-padded at the end."""
    audio = audio[:, front : front + samples]
    missing = samples - (audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1])
    return audio if isinstance(missing, int) and missing == 0 else tf.pad(audio, [[0, 0], [0, missing]])
