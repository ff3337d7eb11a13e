"""Distances between an estimated and a true signal: of samples, of short-time spectra, of mel spectrograms, of feature maps.

Pure tensor functions. Audio is [batch, samples] or [batch, samples, channels]; anything is computed in float32. Each loss is the mean
over the clips of the batch of a number that depends on that clip alone, so two replicas add up to one. Estimate first, target second.

One transform serves several terms: make a `Spectrum` of each signal and hand both to the terms that take spectra.

    >>> estimate, target = spectrum(a, 512, 128), spectrum(b, 512, 128)
    >>> losses = {"real": spectrum_l1(estimate, target, "real"), "magnitude": spectrum_l2(estimate, target, "magnitude")}

Gradients are finite everywhere, silence included, and do not vanish there as behind a clamp: magnitudes are sqrt(power + floor), with
the floor 100 dB under full scale, about the rounding noise of 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from ..signal.mel import MelNorm, MelScale, mel_filter_bank
from ..signal.stft import hann, stft

Part = Literal["real", "imag", "magnitude"]
Resolution = tuple[int, int, int]  # fft, hop, window, in samples

POWER_FLOOR = 1e-10  # mean square of a sample at -100 dB of full scale; white noise that low has this power in every bin, times `gain`
QUIET = 1e-6  # -60 dB: targets below count as that loud where a distance is relative to the target
SILENT = 1e-3  # mean square under which a target of about unit power has no signal-to-noise ratio

# Yamamoto, Song and Kim 2020 ("Parallel WaveGAN"), table 1; Yang et al. 2021 ("Multi-band MelGAN") for the full band and the four bands.
RESOLUTIONS: tuple[Resolution, ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
SUB_BAND_RESOLUTIONS: tuple[Resolution, ...] = ((384, 30, 150), (683, 60, 300), (171, 10, 60))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Short-time spectra of a batch; what is derived from them is computed once, however many terms ask.

    Attributes:
        real, imaginary: float32 [batch, frames, bins], or [batch, channels, frames, bins].
        gain: The power that white noise of variance 1 has in each bin.
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
        """(real, imaginary, magnitude) of |X|^power exp(i angle X)."""
        cached = self.__dict__.setdefault("_compressed", {})
        if power not in cached:
            scale = tf.exp((0.5 * (power - 1.0)) * self.log_power)
            cached[power] = (self.real * scale, self.imaginary * scale, self.magnitude * scale)
        return cached[power]

    def part(self, part: Part) -> tf.Tensor:
        """One of "real", "imag", "magnitude"."""
        if part not in ("real", "imag", "magnitude"):
            raise ValueError(f"part is {part!r}; expected 'real', 'imag' or 'magnitude'")
        return {"real": lambda: self.real, "imag": lambda: self.imaginary, "magnitude": lambda: self.magnitude}[part]()


def spectrum(
    audio: tf.Tensor, fft: int, hop: int, window: int | None = None, normalized: bool = False, floor: float = POWER_FLOOR
) -> Spectrum:
    """The short-time spectrum of `audio` [batch, samples] or [batch, samples, channels] under a periodic Hann window.

    Args:
        audio: The signal.
        fft: Samples of the transform.
        hop: Samples between frames, at most half a window.
        window: Samples of the window; None: `fft`.
        normalized: Divide by the root of the window's energy, so that white noise has its own variance in every bin, whatever the
            window: real and imaginary parts then are as large as samples. Else the window is as it is, which is what published
            weights and floors assume.
        floor: As in `Spectrum`.

    There are 1 + samples // hop frames, frame t centred on sample t * hop, zeros beyond both ends. So each holds half a window of the
    signal or more: one that saw only samples under the window's foot would rule every logarithm's gradient.
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


# Samples.


def waveform_l1(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """mean |e - t| over all samples (Pascual, Bonafonte and Serra 2017, "SEGAN", eq. 5)."""
    return _l1(tf.cast(estimate, tf.float32), tf.cast(target, tf.float32))


def waveform_l2(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """mean (e - t)^2 over all samples."""
    return _l2(tf.cast(estimate, tf.float32), tf.cast(target, tf.float32))


def si_snr_loss(estimate: tf.Tensor, target: tf.Tensor, ceiling_db: float) -> tf.Tensor:
    """Return minus the scale-invariant signal-to-noise ratio in dB (Le Roux et al. 2019, "SDR - half-baked or well done?", eq. 5; Luo and
    Mesgarani 2019, eq. 14, means not removed), which approaches `ceiling_db` and does not pass it.

    Without the ceiling, clips that are nearly clean would rule the gradient: one dB more of 40 would count as much as one more of 5.

    Args:
        estimate, target: Clips [batch, samples] of a mean square of about 1. A target below 1e-3 (-30 dB) has no such ratio: it counts 0
            and sends no gradient, so that "remove everything" has to be learnt from another term.
        ceiling_db: The limit, dB.
    """
    energy = tf.reduce_mean(tf.square(target), axis=1)
    audible = energy > SILENT
    factor = tf.reduce_mean(estimate * target, axis=1) / tf.maximum(energy, SILENT)
    signal = tf.square(factor) * energy + 1e-6
    noise = tf.reduce_mean(tf.square(estimate - factor[:, None] * target), axis=1) + 10.0 ** (-ceiling_db / 10.0) * signal
    decibels = (10.0 / math.log(10.0)) * (tf.math.log(noise) - tf.math.log(signal))
    return tf.reduce_mean(tf.where(audible, decibels, tf.zeros_like(decibels)))


# Short-time spectra.


def stft_l1(estimate: tf.Tensor, target: tf.Tensor, fft: int, hop: int, part: Part = "magnitude") -> tf.Tensor:
    """mean |difference| of one part of normalised spectra of two signals: for a noise-like error as large as `waveform_l1`'s, up to
    a factor near 1, whatever the window. See `spectrum_l1` for several parts of one transform."""
    return spectrum_l1(spectrum(estimate, fft, hop, normalized=True), spectrum(target, fft, hop, normalized=True), part)


def stft_l2(estimate: tf.Tensor, target: tf.Tensor, fft: int, hop: int, part: Part = "magnitude") -> tf.Tensor:
    """mean difference^2 of one part of normalised spectra. Real and imaginary part together are about `waveform_l2` (Parseval)."""
    return spectrum_l2(spectrum(estimate, fft, hop, normalized=True), spectrum(target, fft, hop, normalized=True), part)


def spectrum_l1(estimate: Spectrum, target: Spectrum, part: Part = "magnitude") -> tf.Tensor:
    """mean |difference| of one part of two spectra."""
    return _l1(estimate.part(part), target.part(part))


def spectrum_l2(estimate: Spectrum, target: Spectrum, part: Part = "magnitude") -> tf.Tensor:
    """mean difference^2 of one part of two spectra."""
    return _l2(estimate.part(part), target.part(part))


def compressed_spectrum(
    estimate: tf.Tensor | Spectrum, target: tf.Tensor | Spectrum, fft: int = 512, hop: int = 256, power: float = 0.3
) -> tuple[tf.Tensor, tf.Tensor]:
    """(complex_mse, magnitude_mse) of spectra whose magnitudes are raised to `power`, phases kept (Ephrat et al. 2018, "Looking to
    listen", section 3; Braun and Tashev 2021, "A consolidated view of loss functions", eq. 4).

    Args:
        estimate, target: Signals, or spectra that the caller has (`fft` and `hop` are not read then).
        power: .3 in those papers: quiet components count nearly as much as loud ones.

    Returns:
        complex_mse: mean (re - re')^2 + mean (im - im')^2. magnitude_mse: mean (|e|^p - |t|^p)^2. Unweighted.
    """
    e, t = (x if isinstance(x, Spectrum) else spectrum(x, fft, hop) for x in (estimate, target))
    e_real, e_imaginary, e_magnitude = e.compressed(power)
    t_real, t_imaginary, t_magnitude = t.compressed(power)
    return _l2(e_real, t_real) + _l2(e_imaginary, t_imaginary), _l2(e_magnitude, t_magnitude)


def over_suppression(estimate: Spectrum, target: Spectrum, power: float = 0.3) -> tf.Tensor:
    """mean max(0, |t|^p - |e|^p)^2: only what is missing counts, so speech that is removed costs more than noise that is left (the
    asymmetric loss of Eskimez et al. 2021 and Wang et al. 2020, "VoiceFilter-Lite", on one side alone)."""
    return tf.reduce_mean(tf.square(tf.nn.relu(target.compressed(power)[2] - estimate.compressed(power)[2])))


def spectral_convergence(estimate: Spectrum, target: Spectrum) -> tf.Tensor:
    """|| |t| - |e| || / || |t| ||, Frobenius norms over each clip (Arik, Jun and Diamos 2018; Yamamoto et al. 2020, eq. 4), then the
    mean over the clips. A target quieter than -60 dB of full scale counts as that loud: silence would divide by nothing."""
    axes = list(range(1, len(target.real.shape)))
    difference = tf.reduce_mean(tf.square(target.magnitude - estimate.magnitude), axis=axes)
    reference = tf.reduce_mean(target.power, axis=axes)
    floor = target.gain * QUIET
    return tf.reduce_mean(tf.sqrt((difference + floor * POWER_FLOOR) / tf.maximum(reference, floor)))


def log_magnitude_l1(estimate: Spectrum, target: Spectrum) -> tf.Tensor:
    """mean |ln |e| - ln |t|| (Yamamoto et al. 2020, eq. 5)."""
    return 0.5 * _l1(estimate.log_power, target.log_power)


def multi_resolution_stft(
    estimate: tf.Tensor, target: tf.Tensor, resolutions: Sequence[Resolution] = RESOLUTIONS, floor: float = POWER_FLOOR
) -> tuple[tf.Tensor, tf.Tensor]:
    """(spectral_convergence, log_magnitude), each the mean over the resolutions (Yamamoto et al. 2020, eq. 6).

    Args:
        estimate, target: Signals.
        resolutions: (fft, hop, window) of each, in samples.
        floor: As in `Spectrum`: differences below it are not counted.
    """
    convergence, log_magnitude = [], []
    for fft, hop, window in resolutions:
        e, t = spectrum(estimate, fft, hop, window, floor=floor), spectrum(target, fft, hop, window, floor=floor)
        convergence.append(spectral_convergence(e, t))
        log_magnitude.append(log_magnitude_l1(e, t))
    return tf.add_n(convergence) / len(resolutions), tf.add_n(log_magnitude) / len(resolutions)


def sub_band_stft(
    estimate: tf.Tensor,
    target: tf.Tensor,
    analysis: Callable[[tf.Tensor], tf.Tensor] | None = None,
    resolutions: Sequence[Resolution] = SUB_BAND_RESOLUTIONS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`multi_resolution_stft` of sub-bands (Yang et al. 2021, "Multi-band MelGAN", eq. 7), all bands of a clip counted together.

    Args:
        estimate, target: Sub-bands [batch, samples / bands, bands]; or signals, where `analysis` is given.
        analysis: Splits a signal into such sub-bands.
    """
    if analysis is not None:
        estimate, target = analysis(estimate), analysis(target)
    return multi_resolution_stft(estimate, target, resolutions)


# Mel spectrograms and feature maps.


@dataclass(frozen=True)
class MelFrontEnd:
    """A mel spectrogram as a function of audio; names follow `signal.mel.mel_filter_bank`.

    Attributes:
        sample_rate: Hz.
        fft, hop: Samples.
        bands: Number of mel bands.
        low_hz, high_hz: Range of the filters; None: half the sample rate.
        scale, norm: The convention; Slaney's with area norm is librosa's default.
        exponent: 1 takes magnitudes, 2 powers.
        offset: ln(mel + offset). An offset, not a clamp: behind a clamp a generator that begins in silence gets no gradient.
            None: mel without a logarithm.
    """

    sample_rate: int
    fft: int = 1024
    hop: int = 256
    bands: int = 80
    low_hz: float = 0.0
    high_hz: float | None = None
    scale: MelScale = "slaney"
    norm: MelNorm = "area"
    exponent: int = 1
    offset: float | None = 1e-5

    @cached_property
    def matrix(self) -> np.ndarray:
        """float32 [fft // 2 + 1, bands]."""
        return mel_filter_bank(self.sample_rate, self.fft, self.bands, self.low_hz, self.high_hz, self.scale, self.norm)

    def __call__(self, audio: tf.Tensor) -> tf.Tensor:
        """audio [batch, samples] or [batch, samples, channels] -> float32 [batch, (channels,) frames, bands]."""
        return self.of(spectrum(audio, self.fft, self.hop))

    def of(self, values: Spectrum) -> tf.Tensor:
        """The same of a spectrum with this `fft` and `hop`."""
        mel = tf.matmul(values.magnitude if self.exponent == 1 else values.power, self.matrix)
        return mel if self.offset is None else tf.math.log(mel + self.offset)


def mel_l1(estimate: tf.Tensor, target: tf.Tensor, front_end: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """mean |difference| of two mel spectrograms (Kong, Kim and Bae 2020, "HiFi-GAN", eq. 4; there times 45).

    Args:
        estimate, target: Signals.
        front_end: audio -> mel spectrogram, of any shape: a `MelFrontEnd`, or the one that a vocoder's features are made with.
    """
    return _l1(front_end(estimate), front_end(target))


def mel_l2(estimate: tf.Tensor, target: tf.Tensor, front_end: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """mean difference^2 of two mel spectrograms; see `mel_l1`."""
    return _l2(front_end(estimate), front_end(target))


def feature_matching(estimate: Any, target: Any) -> tf.Tensor:
    """The sum over feature maps of mean |difference| (Larsen et al. 2016; Kumar et al. 2019, "MelGAN", eq. 5; Kong et al. 2020, eq. 5).

    Args:
        estimate, target: Feature maps of a discriminator for either signal: lists of tensors, lists of such lists for several
            discriminators. No gradient flows to `target`: it is what the discriminator makes of recordings.

    The sum, as HiFi-GAN's (there times 2), so a published weight is used as it is. MelGAN weighs each map by 4 / (layers + 1) / 3.

    Raises:
        ValueError: The lists have no map, or not as many.
    """
    e, t = tf.nest.flatten(estimate), tf.nest.flatten(target)
    if len(e) != len(t) or not e:
        raise ValueError(f"feature_matching got {len(e)} and {len(t)} feature maps; expected as many of both, and at least one")
    return tf.add_n([_l1(tf.cast(a, tf.float32), tf.stop_gradient(tf.cast(b, tf.float32))) for a, b in zip(e, t, strict=True)])


def _l1(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(estimate - target))


def _l2(estimate: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(estimate - target))
