"""The tables of a SEGAN recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import ENHANCE, FamilySchema, ModelTable
from ...schema_types import Count, Positive, TermWeight


@dataclass(frozen=True)
class SEGANModel(ModelTable):
    """`[model]` of family segan (Pascual, Bonafonte and Serra 2017). The window is data.clip_samples."""

    # Channels of the encoder's layers, which the critic has too; the decoder mirrors them.
    widths: Annotated[tuple[Positive, ...], Meta(min_length=2)] = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
    critic_widths: tuple[Positive, ...] = ()  # empty: widths
    kernel: Positive = 31
    stride: Annotated[int, Meta(ge=2)] = 2  # of every layer: clip_samples is a multiple of stride^layers
    latent_dim: Count = 1024  # channels of noise beside the code; 0: none
    preemphasis: Annotated[float, Meta(ge=0, lt=1)] = 0.95  # of all that the networks see and make; 0: none
    # What becomes of an encoder layer's output on its way to the decoder: as it is; times a learnt factor a channel (SEGAN+); times a
    # number in (0, 1) for every channel and sample that the decoder gives (as Oktay et al. 2018, "Attention U-Net"; no part of SEGAN).
    skips: Literal["plain", "scaled", "gated"] = "plain"
    residual: bool = False  # the network's output is added to the noisy window
    initial: Literal["normal", "he"] = "normal"  # truncated normal, standard deviation 0.02; or He et al. 2015, for small networks
    critic_norm: Literal["virtual", "none"] = "virtual"  # virtual batch normalisation (Salimans et al. 2016)
    reference_clips: Positive = 100  # of virtual batch normalisation: chosen before the first step, kept with the critic
    phase_shuffle: Count = 0  # radius in samples before each of the critic's layers but the first two (SEGAN+: 5); 0: none


@dataclass(frozen=True)
class SEGANLosses:
    """`[losses]` of family segan: weights of what the generator learns beside the adversarial loss. 0 switches a term off.

    All are means over samples or bins of pre-emphasised audio. Spectra are normalised (white noise has its own variance in every bin),
    so a weight means about the same for a spectrum as for the waveform.
    """

    waveform_l1: TermWeight = 100.0
    waveform_l2: TermWeight = 0.0
    stft_real_l1: TermWeight = 0.0
    stft_real_l2: TermWeight = 0.0
    stft_imag_l1: TermWeight = 0.0
    stft_imag_l2: TermWeight = 0.0
    stft_magnitude_l1: TermWeight = 0.0
    stft_magnitude_l2: TermWeight = 0.0
    stft_fft: Annotated[int, Meta(ge=4)] = 512  # samples, as is the Hann window
    stft_hop: Positive = 128  # samples


SCHEMA = FamilySchema(SEGANModel, SEGANLosses, use=ENHANCE)
