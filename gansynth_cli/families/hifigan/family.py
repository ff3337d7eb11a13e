"""HiFi-GAN (Kong, Kim and Bae 2020, "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech synthesis")."""

from __future__ import annotations

import keras

from ..vocoder import VocoderFamily
from .networks import build_generator, receptive_frames
from .schema import HiFiGANModel


class HiFiGAN(VocoderFamily):
    """HiFi-GAN's generator. V1 has 13.93 M weights, V2 0.926 M, V3 1.462 M."""

    model: HiFiGANModel

    def build_generator(self) -> keras.Model:
        return build_generator(self.model, self.convention.bands, self.convention.hop, self.seeds)

    def receptive_frames(self) -> int:
        return receptive_frames(self.model, self.convention.hop)


FAMILY = HiFiGAN
