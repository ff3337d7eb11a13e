"""The loss terms of the vocoders that compare a generated clip with its recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from ..losses import spectral
from ..losses.perceptual import pesq_points
from ..losses.weighted import WeightedTerms
from ..signal import pqmf
from ..signal.mel_convention import MelConvention
from ..signal.mel_front_end import bank_of, magnitude_floor_of, magnitude_spectrum, mel_spectrogram
from ..signal.stft import hann
from .vocoder_schema import VocoderLosses

_PESQ_FFT = 512  # PESQ's own frames at 16 kHz


@dataclass(eq=False)
class SpectrumPair:
    """The magnitudes that a network gives for the frames of a convention, and the recording's own: float32 [batch, frames, bins]."""

    magnitude: tf.Tensor
    real: tf.Tensor  # audio [batch, samples, 1]
    convention: MelConvention

    @cached_property
    def target(self) -> tf.Tensor:
        return magnitude_spectrum(self.real, self.convention)

    @cached_property
    def spectra(self) -> tuple[spectral.Spectrum, spectral.Spectrum]:
        gain = float(np.square(hann(self.convention.fft).astype(np.float64)).sum())
        mine, theirs = (spectral.Spectrum(x, tf.zeros_like(x), gain) for x in (self.magnitude, self.target))
        return mine, theirs

    def log_magnitude(self) -> tf.Tensor:
        floor = magnitude_floor_of(self.convention)
        return tf.reduce_mean(tf.abs(tf.math.log(self.magnitude + floor) - tf.math.log(self.target + floor)))

    def log_mel(self) -> tf.Tensor:
        c = self.convention
        mel = lambda x: tf.math.log(tf.matmul(x if c.exponent == 1 else tf.square(x), bank_of(c)) + c.floor)
        return tf.reduce_mean(tf.abs(mel(self.magnitude) - mel(self.target)))


@dataclass(eq=False)
class Comparison:
    """What the terms of one batch are computed from.

    Attributes:
        losses: The `[losses]` table.
        convention: Of the mel spectrograms that are compared.
        real, fake: Recordings and generated clips, [batch, samples, 1]; `fake` is not read by the terms `spectrum_*`.
        bands: The sub-bands that the network gives [batch, steps, bands]; None: it gives none.
        own: The spectrum that the network gives; None: it gives none.
        filter_bank: The bank of the sub-bands and its cut-off.
    """

    losses: VocoderLosses
    convention: MelConvention
    real: tf.Tensor
    fake: tf.Tensor | None = None
    bands: tf.Tensor | None = None
    own: SpectrumPair | None = None
    filter_bank: tuple[pqmf.Bank, float] = ("nguyen", pqmf.CUTOFF)

    @cached_property
    def mels(self) -> tuple[tf.Tensor, tf.Tensor]:
        front_end = lambda audio: mel_spectrogram(audio, self.convention, soft=not self.losses.mel_clamp)
        return front_end(self.fake), front_end(self.real)

    @cached_property
    def stft(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Spectral convergence and log magnitude."""
        return spectral.multi_resolution_stft(self.fake, self.real, self.losses.stft_resolutions)

    @cached_property
    def sub_bands(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The same two of the sub-bands."""
        assert self.bands is not None
        target = pqmf.analyse(self.real, *self.filter_bank)
        return spectral.multi_resolution_stft(self.bands[:, : target.shape[1]], target, self.losses.sub_band_resolutions)

    def disturbance(self) -> tf.Tensor:
        mine, theirs = (spectral.spectrum(x, _PESQ_FFT, _PESQ_FFT // 2) for x in (self.fake, self.real))
        return pesq_points(mine, theirs, self.convention.sample_rate)

    @property
    def spectrum(self) -> SpectrumPair:
        assert self.own is not None
        return self.own


TERMS: WeightedTerms[Comparison] = WeightedTerms(
    VocoderLosses,
    {
        "mel_l1": lambda pair: spectral.l1(*pair.mels),
        "mel_l2": lambda pair: spectral.l2(*pair.mels),
        "stft_convergence": lambda pair: pair.stft[0],
        "stft_magnitude": lambda pair: pair.stft[1],
        "sub_band_convergence": lambda pair: pair.sub_bands[0],
        "sub_band_magnitude": lambda pair: pair.sub_bands[1],
        "waveform_l1": lambda pair: spectral.l1(pair.fake, pair.real),
        "disturbance": Comparison.disturbance,
        "spectrum_magnitude": lambda pair: pair.spectrum.log_magnitude(),
        "spectrum_convergence": lambda pair: spectral.spectral_convergence(*pair.spectrum.spectra),
        "spectrum_mel": lambda pair: pair.spectrum.log_mel(),
        "spectrum_disturbance": lambda pair: pesq_points(*pair.spectrum.spectra, pair.spectrum.convention.sample_rate),
    },
    elsewhere=("adversarial", "feature_matching"),
)


def of_spectrum(losses: VocoderLosses) -> tuple[str, ...]:
    """Return the terms with a weight that are computed before there is a waveform."""
    return tuple(name for name in TERMS.active(losses) if name.startswith("spectrum_"))


def of_sound(losses: VocoderLosses) -> tuple[str, ...]:
    """Return the terms with a weight that need a waveform."""
    return tuple(name for name in TERMS.active(losses) if not name.startswith("spectrum_"))
