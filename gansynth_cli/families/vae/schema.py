"""The tables of a recipe of the conditional variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import FamilySchema, ModelTable
from ...feature_specs import LogSpectrogram
from ...schema_types import Count, Positive, Rate, TermWeight, Weight

Condition = Literal["label", "pitch", "instrument", "velocity"]
CONDITIONS: tuple[Condition, ...] = ("label", "pitch", "instrument", "velocity")  # the order in which networks take them


@dataclass(frozen=True)
class VAEModel(ModelTable):
    """`[model]` of family vae (Kingma and Welling 2014; Sohn, Lee and Yan 2015)."""

    domain: Literal["spectrogram", "waveform"] = "spectrogram"
    latent_dim: Positive = 64
    dim: Positive = 32  # channels of the encoder's first hidden layer and of the decoder's last
    widest: Positive = 512  # channels double from layer to layer up to this many
    conditions: tuple[Condition, ...] = ()  # what encoder and decoder are conditioned on; the data set must know it
    condition_dim: Positive = 32  # width of each condition's embedding
    modulation: Count = 0  # width of the style layer that scales and shifts each hidden layer of the decoder; 0: none
    # domain = "spectrogram": as in SpecGANModel
    kernel: Positive = 5  # also of domain = "waveform", where 25 is usual
    fft: Positive = 256
    hop: Positive = 128
    frames: Positive = 128
    mel_bands: Count = 0  # bins of the spectrogram on the mel scale (HTK), brought back by Richardson-Lucy; 0: fft / 2 linear bins
    log_offset: Rate = 1e-2
    clip_deviations: Rate = 3.0
    griffin_lim_iterations: Count = 32
    griffin_lim_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.99
    stages: Count = 0
    # domain = "waveform"
    start_samples: Positive = 16  # as in WaveGANModel

    def __post_init__(self) -> None:
        if len(set(self.conditions)) != len(self.conditions):
            raise ValueError(f"conditions is {list(self.conditions)}; expected each name once")

    @property
    def conditioning(self) -> str:
        return "label" if "label" in self.conditions else "none"

    def statistics(self, sample_rate: int) -> tuple[LogSpectrogram, ...]:
        if self.domain != "spectrogram":
            return ()
        return (LogSpectrogram(self.fft, self.hop, self.frames, self.log_offset, self.mel_bands, sample_rate if self.mel_bands else 0),)


@dataclass(frozen=True)
class VAELosses:
    """`[losses]` of family vae, in nats a clip: minus the evidence lower bound, with a weight on its second term."""

    beta: Weight = 1.0  # of the divergence from the prior (Higgins et al. 2017); 1 is the bound itself
    warmup_steps: Count = 0  # beta rises linearly from 0 over this many steps (Bowman et al. 2016; Sonderby et al. 2016)
    free_bits: Weight = 0.0  # nats of each latent dimension that cost nothing (Kingma et al. 2016, appendix C.8)
    deviation: Weight = 0.0  # spectrogram: standard deviation of the Gaussian decoder, 0: learnt (Rybkin et al. 2021)
    spectral: TermWeight = 300.0  # waveform: nats for each unit of the multi-resolution spectral distance
    waveform: TermWeight = 0.0  # waveform: nats for each unit of the L1 distance of samples


SCHEMA = FamilySchema(VAEModel, VAELosses, ("vae",))
