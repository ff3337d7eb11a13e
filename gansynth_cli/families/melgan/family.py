"""MelGAN (Kumar et al. 2019, "MelGAN: Generative adversarial networks for conditional waveform synthesis") and Multi-band MelGAN (Yang
et al. 2021)."""

from __future__ import annotations

import keras

from ...layers.vocoder import SubBandsToAudio
from ...signal.pqmf import Bank
from ..vocoder import VocoderFamily
from .networks import build_generator, receptive_frames
from .schema import MelGANModel


class MelGAN(VocoderFamily):
    """MelGAN's generator.

    512 channels, 8 x 8 x 2 x 2: 4.26 M weights. 384 channels, 8 x 4 x 2, four blocks and four bands: 2.53 M (Multi-band MelGAN).
    """

    model: MelGANModel

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.convention.bands, self.convention.hop, self.seeds)

    def receptive_frames(self) -> int:
        return receptive_frames(self.model, self.convention.hop)

    def head(self) -> keras.layers.Layer | None:
        return SubBandsToAudio(*self.filter_bank, dtype="float32", name="filter_bank") if self.gives_sub_bands else None

    @property
    def gives_sub_bands(self) -> bool:
        return self.model.bands > 1

    @property
    def filter_bank(self) -> tuple[Bank, float]:
        return self.model.filter_bank, self.model.filter_cutoff


FAMILY = MelGAN
