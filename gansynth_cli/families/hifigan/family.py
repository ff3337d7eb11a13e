"""HiFi-GAN (Kong, Kim and Bae 2020, "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech synthesis")."""

from __future__ import annotations

import keras

from ..hifigan_networks import receptive_frames, waveform_of
from ..vocoder import VocoderFamily
from ..vocoder_networks import mel_input
from .schema import HiFiGANModel


class HiFiGAN(VocoderFamily):
    """HiFi-GAN's generator. V1 has 13.93 M weights, V2 0.926 M, V3 1.462 M."""

    model: HiFiGANModel

    def build_generator(self) -> keras.Model:
        mel, x = mel_input(self.model, self.convention.bands)
        audio = waveform_of(x, self.model, self.model.initializer, self.convention.hop, self.seeds)
        return keras.Model(mel, audio, name="generator")

    def receptive_frames(self) -> int:
        return receptive_frames(self.model, self.convention.hop)


FAMILY = HiFiGAN
