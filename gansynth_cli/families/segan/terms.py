"""The loss terms of SEGAN that compare pre-emphasised clips with the clean ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from ...losses.spectral import Part, Spectrum, l1, l2, spectrum, spectrum_l1, spectrum_l2
from ...losses.weighted import WeightedTerms
from .schema import SEGANLosses

_PARTS: tuple[Part, ...] = ("real", "imag", "magnitude")


@dataclass(eq=False)
class Pair:
    """A cleaned clip and the clean one, [batch, samples, 1], and their normalised spectra."""

    made: tf.Tensor
    clean: tf.Tensor
    fft: int
    hop: int

    @cached_property
    def spectra(self) -> tuple[Spectrum, Spectrum]:
        return spectrum(self.made, self.fft, self.hop, normalized=True), spectrum(self.clean, self.fft, self.hop, normalized=True)


def _spectral(distance: Callable[[Spectrum, Spectrum, Part], tf.Tensor], part: Part) -> Callable[[Pair], tf.Tensor]:
    return lambda pair: distance(*pair.spectra, part)


TERMS: WeightedTerms[Pair] = WeightedTerms(
    SEGANLosses,
    {"waveform_l1": lambda pair: l1(pair.made, pair.clean), "waveform_l2": lambda pair: l2(pair.made, pair.clean)}
    | {f"stft_{part}_{name}": _spectral(d, part) for part in _PARTS for name, d in (("l1", spectrum_l1), ("l2", spectrum_l2))},
)
