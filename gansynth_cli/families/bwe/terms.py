"""The loss terms of bandwidth extension."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from ...losses.perceptual import ADDED_POINTS, POINTS, clip_disturbance
from ...losses.spectral import Spectrum, compressed_spectrum, log_magnitude_l1, spectrum
from ...losses.weighted import WeightedTerms
from ...models.bandwidth_extender import BandwidthExtender, Extension, ap_spectrum
from .schema import BandwidthLosses

LEVEL = 0.1  # root mean square to which clips are scaled for the losses
_FLOOR = 1e-7  # 70 dB below the clip, where differences end to count
_QUIET, _LOUDNESS = 1e-6, 0.23
_TEN_DB = float(np.log(10.0))


@dataclass(eq=False)
class Pair:
    """An extended clip and its target, both [batch, samples] at the level of the recording.

    Attributes:
        made: The extension.
        target: The full-band clip.
        target_power: float32 [batch, frames, bins]: its power in frames of 20 ms.
        scale: float32 [batch, 1], what brings the target to a root mean square of `LEVEL`.
        cut, reach: float32 [batch] in Hz: the generated band.
        network: The generator.
        losses: The weights.
    """

    made: Extension
    target: tf.Tensor
    target_power: tf.Tensor
    scale: tf.Tensor
    cut: tf.Tensor
    reach: tf.Tensor
    network: BandwidthExtender
    losses: BandwidthLosses
    sample_rate: int

    @cached_property
    def spectra(self) -> list[tuple[Spectrum, Spectrum]]:
        """Spectra of both at every `windows_ms`."""
        sizes = [self.sample_rate * milliseconds // 1000 for milliseconds in self.losses.windows_ms]
        estimate, target = self.made.audio * self.scale, self.target * self.scale
        return [
            (spectrum(estimate, fft, fft // 4, floor=_FLOOR * LEVEL**2), spectrum(target, fft, fft // 4, floor=_FLOOR * LEVEL**2))
            for fft in sizes
        ]

    @cached_property
    def bands(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Mean power of the bands, as predicted and true, relative to that of the clip, float32 [batch, frames, bands], and which of the
        bands are generated, [batch, 1, bands]. `_FLOOR` is added to both."""
        assert self.made.log_levels is not None
        settings = self.network.settings
        starts = settings.output_starts[settings.output_starts <= self.target_power.shape[-1]]
        matrix = np.zeros((self.target_power.shape[-1], len(starts) - 1), np.float32)
        for band, (low, high) in enumerate(itertools.pairwise(starts)):
            matrix[low:high, band] = 1.0 / (high - low)
        hz = starts * (settings.sample_rate / settings.frame)
        inside = tf.cast((hz[:-1] >= self.cut[:, None]) & (hz[1:] <= self.reach[:, None] + 1.0), tf.float32)[:, None]
        scale = settings.frame * tf.square(self.scale[..., None]) / LEVEL**2  # white noise as loud as the clip has a power of 1 in each bin
        made = tf.exp(2.0 * self.made.log_levels[..., : len(starts) - 1])
        return made * scale + _FLOOR, tf.matmul(self.target_power, matrix) * scale + _FLOOR, inside

    def levels(self) -> tf.Tensor:
        """Mean |difference| of the generated bands' levels in units of 10 dB, over the frames and bands of each clip."""
        made, true, inside = self.bands
        return self._mean_difference((tf.math.log(made) - tf.math.log(true)) / _TEN_DB, inside)

    def loudness(self) -> tf.Tensor:
        """Mean |difference| of the generated bands' loudness: power to 0.23 (Zwicker), 1 at 60 dB below the level of the clip."""
        made, true, inside = self.bands
        return self._mean_difference(tf.pow(made / _QUIET, _LOUDNESS) - tf.pow(true / _QUIET, _LOUDNESS), inside)

    def _mean_difference(self, difference: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        weighed = tf.abs(difference) + self.losses.over_estimation * tf.nn.relu(difference)
        mean = tf.reduce_mean(weighed, axis=1, keepdims=True) * inside
        return tf.reduce_mean(tf.reduce_sum(mean, axis=[1, 2]) / tf.maximum(tf.reduce_sum(inside, axis=[1, 2]), 1.0))

    @cached_property
    def disturbances(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Symmetric and asymmetric, of what lies below 8 kHz."""
        estimate, target = (audio * self.scale / LEVEL for audio in (self.made.audio, self.target))
        return clip_disturbance(estimate, target, self.sample_rate)

    # AP-BWE.

    @cached_property
    def target_spectrum(self) -> tf.Tensor:
        return ap_spectrum(self.target, self.network.settings)

    @cached_property
    def made_spectrum(self) -> tf.Tensor:
        assert self.made.log_magnitude is not None
        assert self.made.phase is not None
        magnitude = tf.exp(self.made.log_magnitude)
        return tf.complex(magnitude * tf.cos(self.made.phase), magnitude * tf.sin(self.made.phase))

    def ap_amplitude(self) -> tf.Tensor:
        """Mean square difference of log magnitudes."""
        return tf.reduce_mean(tf.math.squared_difference(self.made.log_magnitude, tf.math.log(tf.abs(self.target_spectrum) + 1e-4)))

    def ap_phase(self) -> tf.Tensor:
        """Mean anti-wrapped |difference| of phases, of their steps along frequency, and of their steps along time (section III-C.2)."""
        difference = self.made.phase - tf.math.angle(self.target_spectrum)
        steps = (difference, difference[:, :, 1:] - difference[:, :, :-1], difference[:, 1:] - difference[:, :-1])
        return tf.add_n([tf.reduce_mean(tf.abs(step - 2 * np.pi * tf.round(step / (2 * np.pi)))) for step in steps])

    def ap_complex(self) -> tf.Tensor:
        """Mean square difference of real parts plus that of imaginary parts."""
        return _complex_l2(self.made_spectrum, self.target_spectrum)

    def ap_consistency(self) -> tf.Tensor:
        """Mean square difference between the spectrum and the spectrum of its own waveform."""
        return _complex_l2(self.made_spectrum, ap_spectrum(self.made.audio, self.network.settings))


def _complex_l2(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(tf.math.real(a - b))) + tf.reduce_mean(tf.square(tf.math.imag(a - b)))


def _mean(of: Callable[[Spectrum, Spectrum, BandwidthLosses], tf.Tensor]) -> Callable[[Pair], tf.Tensor]:
    return lambda pair: tf.add_n([of(*spectra, pair.losses) for spectra in pair.spectra]) / len(pair.losses.windows_ms)


TERMS: WeightedTerms[Pair] = WeightedTerms(
    BandwidthLosses,
    {
        "levels": Pair.levels,
        "loudness": Pair.loudness,
        "magnitude": _mean(lambda e, t, losses: compressed_spectrum(e, t, power=losses.power)[1]),
        "log_magnitude": _mean(lambda e, t, _: log_magnitude_l1(e, t)),
        "disturbance": lambda pair: pair.disturbances[0],
        "added_disturbance": lambda pair: pair.disturbances[1],
        "ap_amplitude": Pair.ap_amplitude,
        "ap_phase": Pair.ap_phase,
        "ap_complex": Pair.ap_complex,
        "ap_consistency": Pair.ap_consistency,
    },
    scales={"disturbance": POINTS, "added_disturbance": ADDED_POINTS},
    elsewhere=("adversarial", "feature_matching"),
)
