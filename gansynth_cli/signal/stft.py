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

import numpy as np
import tensorflow as tf

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
    leading = tf.shape(audio)[:-1]
    samples = audio.shape[-1] if audio.shape[-1] is not None else tf.shape(audio)[-1]
    if frames is None:
        frames = -(-(front + samples) // hop)
    static = audio.shape[:-1]
    framed = _frame(tf.reshape(audio, [-1, samples]), samples, window, hop, frames, front) * hann(window)
    spectrum = tf.signal.rfft(framed, [fft])
    spectrum = tf.reshape(spectrum, tf.concat([leading, tf.shape(spectrum)[1:]], axis=0))
    return tf.ensure_shape(spectrum, [*static, frames if isinstance(frames, int) else None, fft // 2 + 1])


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
    _check(fft, hop, front)
    spectrum = tf.convert_to_tensor(spectrum)
    leading = tf.shape(spectrum)[:-2]
    frames = spectrum.shape[-2] if spectrum.shape[-2] is not None else tf.shape(spectrum)[-2]
    if samples is None:
        samples = frames * hop - front
    flat = tf.reshape(spectrum, [-1, frames, fft // 2 + 1])
    audio = _overlap(flat, fft, hop) * _inverse_weight(frames, fft, hop, floor)
    audio = _cut(audio, samples, front)
    return tf.ensure_shape(
        tf.reshape(audio, tf.concat([leading, [samples]], axis=0)), [*spectrum.shape[:-2], samples if isinstance(samples, int) else None]
    )


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
    leading, bins = tf.shape(magnitude)[:-2], fft // 2 + 1
    frames = magnitude.shape[-2] if magnitude.shape[-2] is not None else tf.shape(magnitude)[-2]
    if samples is None:
        samples = frames * hop - front
    if seed is not None:
        phase = tf.random.stateless_uniform([frames, bins], [seed, 0x6C], -math.pi, math.pi)
    if phase is None:
        start = tf.complex(magnitude, tf.zeros_like(magnitude))
    else:
        start = tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))
    target = tf.reshape(magnitude, [-1, frames, bins])
    free = -(-max(0, fft - hop - front) // hop)
    start = tf.pad(tf.reshape(start, [-1, frames, bins]), [[0, 0], [free, 0], [0, 0]])
    all_frames, all_front = frames + free, front + free * hop
    weight = _inverse_weight(all_frames, fft, hop, INVERSE_FLOOR)
    window = hann(fft)

    def signal(spectrum):
        return _cut(_overlap(spectrum, fft, hop) * weight, samples, all_front)

    def iterate(spectrum, previous, revise=None):
        projected = tf.signal.rfft(_frame(signal(spectrum), samples, fft, hop, all_frames, all_front) * window)
        bound = projected[:, free:]
        # Real and imaginary parts separately: rsqrt is fifteen times faster than angles, and twice as fast as complex division.
        real, imaginary = tf.math.real(bound), tf.math.imag(bound)
        wanted = target if revise is None else revise(tf.sqrt(tf.square(real) + tf.square(imaginary) + floor))
        if momentum:
            real += momentum * (real - tf.math.real(previous))
            imaginary += momentum * (imaginary - tf.math.imag(previous))
        scale = wanted * tf.math.rsqrt(tf.square(real) + tf.square(imaginary) + floor)
        spectrum = tf.complex(real * scale, imaginary * scale)
        return (tf.concat([projected[:, :free], spectrum], axis=1) if free else spectrum), bound

    # The first "previous" is zero, which scales the first projection and changes no phase.
    first = (start, tf.zeros_like(start[:, free:]))
    state = tf.while_loop(lambda *_: True, iterate, first, maximum_iterations=iterations, parallel_iterations=1)
    if more and revise is not None:
        follow = lambda spectrum, previous: iterate(spectrum, previous, revise)
        state = tf.while_loop(lambda *_: True, follow, state, maximum_iterations=more, parallel_iterations=1)
    spectrum, _ = state
    audio = signal(spectrum)
    return tf.ensure_shape(
        tf.reshape(audio, tf.concat([leading, [samples]], axis=0)), [*magnitude.shape[:-2], samples if isinstance(samples, int) else None]
    )


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

    def iterate(spectrum):
        again = tf.signal.rfft(_frame(_overlap(spectrum, fft, hop), length, fft, hop, frames, 0) * hann(fft))
        scale = target / tf.maximum(1e-8, tf.abs(again))
        return (tf.complex(tf.math.real(again) * scale, tf.math.imag(again) * scale),)

    start = (tf.complex(target, tf.zeros_like(target)),)
    (spectrum,) = tf.while_loop(lambda _: True, iterate, start, maximum_iterations=iterations, parallel_iterations=1)
    return istft_plain(tf.reshape(spectrum, tf.shape(magnitude)), fft, hop, samples)


def istft_plain(spectrum: tf.Tensor, fft: int, hop: int, samples: int) -> tf.Tensor:
    """Overlap-add the windowed inverse transforms of complex64 [..., frames, fft // 2 + 1] without division: float32 [..., samples]."""
    frames = spectrum.shape[-2] if spectrum.shape[-2] is not None else tf.shape(spectrum)[-2]
    audio = _cut(_overlap(tf.reshape(spectrum, [-1, frames, fft // 2 + 1]), fft, hop), samples, 0)
    return tf.reshape(audio, tf.concat([tf.shape(spectrum)[:-2], [samples]], axis=0))


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


def _overlap(spectrum: tf.Tensor, fft: int, hop: int) -> tf.Tensor:
    """Overlap-add windowed inverse transforms: [batch, frames, bins] -> [batch, (frames - 1) hop + fft]."""
    return _add_frames(tf.signal.irfft(spectrum, [fft]) * hann(fft), fft, hop)


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
