"""The loss terms of the denoisers that compare an estimate with the clean clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from ...losses.perceptual import ADDED_POINTS, POINTS, bark_disturbance
from ...losses.spectral import Spectrum, compressed_spectrum, l1, multi_resolution_stft, over_suppression, si_snr_loss, spectrum
from ...losses.weighted import WeightedTerms
from .schema import DenoiserLosses

_RESOLUTIONS = ((1024, 256, 1024), (256, 64, 256))  # of `stft`


@dataclass(eq=False)
class Pair:
    """An estimate and its target, clips [batch, samples] of about unit power, and what several terms derive from both."""

    estimate: tf.Tensor
    target: tf.Tensor
    fft: int
    sample_rate: int
    losses: DenoiserLosses

    @cached_property
    def spectra(self) -> tuple[Spectrum, Spectrum]:
        return spectrum(self.estimate, self.fft, self.fft // 2), spectrum(self.target, self.fft, self.fft // 2)

    @cached_property
    def compressed(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean squares of compressed complex spectra and magnitudes."""
        return compressed_spectrum(*self.spectra, power=self.losses.power)

    @cached_property
    def disturbances(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Symmetric and asymmetric."""
        return bark_disturbance(*self.spectra, self.sample_rate, worst=self.losses.disturbance_worst)

    def stft(self) -> tf.Tensor:
        convergence, log_magnitude = multi_resolution_stft(self.estimate, self.target, _RESOLUTIONS)
        return convergence + log_magnitude


DISTURBANCES = ("disturbance", "added_disturbance")  # the terms that wait for `disturbance_start`
TERMS: WeightedTerms[Pair] = WeightedTerms(
    DenoiserLosses,
    {
        "disturbance": lambda pair: pair.disturbances[0],
        "added_disturbance": lambda pair: pair.disturbances[1],
        "complex": lambda pair: pair.compressed[0],
        "magnitude": lambda pair: pair.compressed[1],
        "over_suppression": lambda pair: over_suppression(*pair.spectra, pair.losses.power),
        "si_snr": lambda pair: si_snr_loss(pair.estimate, pair.target, pair.losses.si_snr_ceiling_db),
        "waveform_l1": lambda pair: l1(pair.estimate, pair.target),
        "stft": Pair.stft,
    },
    scales={"disturbance": POINTS, "added_disturbance": ADDED_POINTS},
    elsewhere=("adversarial", "feature_matching"),
)
