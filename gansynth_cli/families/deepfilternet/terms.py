"""The loss terms of DeepFilterNet that compare an estimate with the clean clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from ...losses.perceptual import ADDED_POINTS, POINTS, clip_disturbance
from ...losses.spectral import Spectrum, compressed_spectrum, over_suppression, si_snr_loss, spectrum
from ...losses.weighted import WeightedTerms
from .schema import DeepFilterNetLosses

LEVEL = 0.1  # root mean square to which clean clips are scaled for the losses


@dataclass(eq=False)
class Pair:
    """An estimate and its target, clips [batch, samples] whose target has a root mean square of `LEVEL`."""

    estimate: tf.Tensor
    target: tf.Tensor
    sample_rate: int
    losses: DeepFilterNetLosses

    @cached_property
    def spectra(self) -> list[tuple[Spectrum, Spectrum]]:
        """Spectra of both at every `windows_ms`."""
        sizes = [self.sample_rate * milliseconds // 1000 for milliseconds in self.losses.windows_ms]
        return [(spectrum(self.estimate, fft, fft // 4), spectrum(self.target, fft, fft // 4)) for fft in sizes]

    @cached_property
    def compressed(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Mean squares of compressed complex spectra and magnitudes at every `windows_ms`."""
        return [compressed_spectrum(*pair, power=self.losses.power) for pair in self.spectra]

    @cached_property
    def disturbances(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Symmetric and asymmetric, of what lies below 8 kHz."""
        return clip_disturbance(self.estimate / LEVEL, self.target / LEVEL, self.sample_rate, worst=self.losses.disturbance_worst)

    def si_snr(self) -> tf.Tensor:
        loudness = 1.0 / LEVEL
        return si_snr_loss(self.estimate * loudness, self.target * loudness, self.losses.si_snr_ceiling_db)


def _mean(of: Callable[[Pair], list[tf.Tensor]]) -> Callable[[Pair], tf.Tensor]:
    return lambda pair: tf.add_n(of(pair)) / len(pair.losses.windows_ms)


TERMS: WeightedTerms[Pair] = WeightedTerms(
    DeepFilterNetLosses,
    {
        "complex": _mean(lambda pair: [complex_mse for complex_mse, _ in pair.compressed]),
        "magnitude": _mean(lambda pair: [magnitude_mse for _, magnitude_mse in pair.compressed]),
        "over_suppression": _mean(lambda pair: [over_suppression(*spectra, pair.losses.power) for spectra in pair.spectra]),
        "si_snr": Pair.si_snr,
        "disturbance": lambda pair: pair.disturbances[0],
        "added_disturbance": lambda pair: pair.disturbances[1],
    },
    scales={"disturbance": POINTS, "added_disturbance": ADDED_POINTS},
    elsewhere=("adversarial", "feature_matching"),
)
