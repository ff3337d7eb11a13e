"""Distances between an estimated and a true signal: of samples, short-time spectra and feature maps.

Pure tensor functions, the estimate first, the target second. Audio is [batch, samples] or [batch, samples, channels] and is computed in
float32. Each loss is the mean over the clips of the batch of a number that depends on that clip alone, so two replicas add up to one.

One transform serves several terms: make a `Spectrum` of each signal and pass both to the terms.

    >>> estimate, target = spectrum(tf.zeros([2, 4096]), 512, 128), spectrum(tf.ones([2, 4096]), 512, 128)
    >>> losses = {"real": spectrum_l1(estimate, target, "real"), "magnitude": spectrum_l2(estimate, target, "magnitude")}

Gradients are finite everywhere, silence included, and do not vanish there as behind a clamp: magnitudes are sqrt(power + floor), with
the floor 100 dB below full scale, about the rounding noise of 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from ..signal.stft import hann, stft

Part = Literal["real", "imag", "magnitude"]
Resolution = tuple[int, int, int]  # fft, hop, window, in samples

POWER_FLOOR = 1e-10  # mean square of a sample at -100 dB of full scale; white noise that low has this power in every bin, times `gain`
QUIET = 1e-6  # -60 dB: targets below count as that loud where a distance is relative to the target
SILENT = 1e-3  # mean square below which a target of about unit power has no signal-to-noise ratio

RESOLUTIONS: tuple[Resolution, ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # Yamamoto et al. 2020, table 1


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Short-time spectra of a batch. Derived values are computed once, whichever terms use them.

    Attributes:
        real, imaginary: float32 [batch, frames, bins], or [batch, channels, frames, bins].
        gain: The power of white noise of variance 1 in each bin.
        floor: Mean square of a sample that counts as silence.
    """

    real: tf.Tensor
    imaginary: tf.Tensor
    gain: float
    floor: float = POWER_FLOOR

    @cached_property
    def power(self) -> tf.Tensor:
        """re^2 + im^2 + gain * floor."""
        return tf.square(self.real) + tf.square(self.imaginary) + self.gain * self.floor

    @cached_property
    def magnitude(self) -> tf.Tensor:
        """The square root of `power`."""
        return tf.sqrt(self.power)

    @cached_property
    def log_power(self) -> tf.Tensor:
        """The natural logarithm of `power`."""
        return tf.math.log(self.power)

    def compressed(self, power: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (real, imaginary, magnitude) of |X|^power exp(i angle X)."""
        cached = self.__dict__.setdefault("_compressed", {})
        if power not in cached:
            scale = tf.exp((0.5 * (power - 1.0)) * self.log_power)
            cached[power] = (self.real * scale, self.imaginary * scale, self.magnitude * scale)
        return cached[power]

    def part(self, part: Part) -> tf.Tensor:
        """Return one of "real", "imag", "magnitude"."""
        if part not in ("real", "imag", "magnitude"):
            raise ValueError(f"part is {part!r}; expected 'real', 'imag' or 'magnitude'")
        return {"real": lambda: self.real, "imag": lambda: self.imaginary, "magnitude": lambda: self.magnitude}[part]()


def spectrum(
    audio: tf.Tensor, fft: int, hop: int, window: int | None = None, normalized: bool = False, floor: float = POWER_FLOOR
) -> Spectrum:
    """Compute the short-time spectrum of `audio` with a periodic Hann window.

    There are 1 + samples // hop frames, frame t centred on sample t * hop, zeros beyond both ends. Each frame therefore holds at least
    half a window of the signal: a frame that only saw samples under the window's foot would dominate the gradient of every logarithm.

    Args:
        audio: [batch, samples] or [batch, samples, channels].
        fft: Transform size, samples.
        hop: Samples between frames, at most half a window.
        window: Window length in samples; None: `fft`.
        normalized: Divide by the root of the window's energy, so that white noise has its own variance in every bin, whatever the
            window. Otherwise the window keeps its scale, as published weights and floors assume.
        floor: As in `Spectrum`.
    """
    window = fft if window is None else window
    audio = tf.cast(audio, tf.float32)
    if len(audio.shape) == 3:
        audio = audio[..., 0] if audio.shape[2] == 1 else tf.transpose(audio, [0, 2, 1])
    samples = audio.shape[-1] if audio.shape[-1] is not None else tf.shape(audio)[-1]
    values = stft(audio, fft, hop, frames=1 + samples // hop, front=window // 2, window=window)
    energy = float(np.square(hann(window).astype(np.float64)).sum())
    real, imaginary = tf.math.real(values), tf.math.imag(values)
    if normalized:
        scale = 1.0 / math.sqrt(energy)
        return Spectrum(real * scale, imaginary * scale, 1.0, floor)
    return Spectrum(real, imaginary, energy, floor)


# Samples and other tensors.


def l1(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return mean |e - t|: of samples (SEGAN: Pascual et al. 2017, eq. 5) or log-mel spectrograms (HiFi-GAN: Kong et al. 2020, eq. 4)."""
    return tf.reduce_mean(tf.abs(tf.cast(estimate, tf.float32) - tf.cast(target, tf.float32)))


def l2(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return mean (e - t)^2."""
    return tf.reduce_mean(tf.square(tf.cast(estimate, tf.float32) - tf.cast(target, tf.float32)))


def si_snr_loss(estimate: tf.Tensor, target: tf.Tensor, ceiling_db: float) -> tf.Tensor:
    """Return the negated scale-invariant signal-to-noise ratio in dB, which approaches `ceiling_db` without passing it (Le Roux et al.
    2019, "SDR - half-baked or well done?", eq. 5; Luo and Mesgarani 2019, eq. 14, means not removed).

    Without the ceiling, nearly clean clips would dominate the gradient: from 39 to 40 dB would count as much as from 4 to 5.

    Args:
        estimate, target: Clips [batch, samples] with a mean square of about 1. A target below 1e-3 (-30 dB) has no such ratio: it counts 0
            and sends no gradient, so another term has to teach silence.
        ceiling_db: Upper limit of the ratio, dB.
    """
    energy = tf.reduce_mean(tf.square(target), axis=1)
    audible = energy > SILENT
    factor = tf.reduce_mean(estimate * target, axis=1) / tf.maximum(energy, SILENT)
    signal = tf.square(factor) * energy + 1e-6
    noise = tf.reduce_mean(tf.square(estimate - factor[:, None] * target), axis=1) + 10.0 ** (-ceiling_db / 10.0) * signal
    decibels = (10.0 / math.log(10.0)) * (tf.math.log(noise) - tf.math.log(signal))
    return tf.reduce_mean(tf.where(audible, decibels, tf.zeros_like(decibels)))


# Short-time spectra.


def spectrum_l1(estimate: Spectrum, target: Spectrum, part: Part = "magnitude") -> tf.Tensor:
    """Return mean |difference| of one part of two spectra. Of normalised spectra of a noise-like error it is about `l1` of the samples."""
    return l1(estimate.part(part), target.part(part))


def spectrum_l2(estimate: Spectrum, target: Spectrum, part: Part = "magnitude") -> tf.Tensor:
    """Return mean difference^2 of one part. Normalised, the real and imaginary parts together are about `l2` of the samples (Parseval)."""
    return l2(estimate.part(part), target.part(part))


def compressed_spectrum(estimate: Spectrum, target: Spectrum, power: float = 0.3) -> tuple[tf.Tensor, tf.Tensor]:
    """Compare spectra whose magnitudes are raised to `power`, phases kept (Ephrat et al. 2018, "Looking to listen", section 3; Braun and
    Tashev 2021, "A consolidated view of loss functions", eq. 4). With 0.3, as there, quiet components count nearly as much as loud ones.

    Returns:
        complex_mse: mean (re - re')^2 + mean (im - im')^2. magnitude_mse: mean (|e|^p - |t|^p)^2. Unweighted.
    """
    e_real, e_imaginary, e_magnitude = estimate.compressed(power)
    t_real, t_imaginary, t_magnitude = target.compressed(power)
    return l2(e_real, t_real) + l2(e_imaginary, t_imaginary), l2(e_magnitude, t_magnitude)


def over_suppression(estimate: Spectrum, target: Spectrum, power: float = 0.3) -> tf.Tensor:
    """Return mean max(0, |t|^p - |e|^p)^2: missing components alone, so removing speech costs more than leaving noise (one side of the
    asymmetric loss of Wang et al. 2020, "VoiceFilter-Lite", and Eskimez et al. 2021)."""
    return tf.reduce_mean(tf.square(tf.nn.relu(target.compressed(power)[2] - estimate.compressed(power)[2])))


def spectral_convergence(estimate: Spectrum, target: Spectrum) -> tf.Tensor:
    """Return || |t| - |e| || / || |t| ||, Frobenius norms of each clip, averaged over the clips (Arik, Jun and Diamos 2018; Yamamoto et al.
    2020, eq. 4). A target more than 60 dB below full scale counts as that loud, so that silence does not divide by zero."""
    axes = list(range(1, len(target.real.shape)))
    difference = tf.reduce_mean(tf.square(target.magnitude - estimate.magnitude), axis=axes)
    reference = tf.reduce_mean(target.power, axis=axes)
    floor = target.gain * QUIET
    return tf.reduce_mean(tf.sqrt((difference + floor * POWER_FLOOR) / tf.maximum(reference, floor)))


def log_magnitude_l1(estimate: Spectrum, target: Spectrum) -> tf.Tensor:
    """Return mean |ln |e| - ln |t|| (Yamamoto et al. 2020, eq. 5)."""
    return 0.5 * l1(estimate.log_power, target.log_power)


def multi_resolution_stft(
    estimate: tf.Tensor, target: tf.Tensor, resolutions: Sequence[Resolution] = RESOLUTIONS, floor: float = POWER_FLOOR
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (spectral_convergence, log_magnitude), each the mean over the resolutions (Yamamoto et al. 2020, "Parallel WaveGAN", eq. 6).

    Sub-bands [batch, samples / bands, bands] are compared like channels: all bands of a clip counted together (Yang et al. 2021,
    "Multi-band MelGAN", eq. 7).

    Args:
        estimate, target: Audio.
        resolutions: (fft, hop, window) of each, in samples.
        floor: As in `Spectrum`: differences below it do not count.
    """
    convergence, log_magnitude = [], []
    for fft, hop, window in resolutions:
        e, t = spectrum(estimate, fft, hop, window, floor=floor), spectrum(target, fft, hop, window, floor=floor)
        convergence.append(spectral_convergence(e, t))
        log_magnitude.append(log_magnitude_l1(e, t))
    return tf.add_n(convergence) / len(resolutions), tf.add_n(log_magnitude) / len(resolutions)


# Feature maps.


def feature_matching(estimate: Any, target: Any) -> tf.Tensor:
    """Sum mean |difference| over feature maps (Larsen et al. 2016; Kumar et al. 2019, "MelGAN", eq. 5; Kong et al. 2020, eq. 5).

    The sum is HiFi-GAN's (there times 2), so a published weight is used unchanged. MelGAN weights each map by 4 / (layers + 1) / 3.

    Args:
        estimate, target: Feature maps of a discriminator for either signal: lists of tensors, or lists of such lists for several
            discriminators. No gradient flows to `target`, the maps of recordings.

    Raises:
        ValueError: The lists are empty or differ in length.
    """
    e, t = tf.nest.flatten(estimate), tf.nest.flatten(target)
    if len(e) != len(t) or not e:
        raise ValueError(f"feature_matching got {len(e)} and {len(t)} feature maps; expected equally many, and at least one")
    return tf.add_n([l1(a, tf.stop_gradient(tf.cast(b, tf.float32))) for a, b in zip(e, t, strict=True)])
