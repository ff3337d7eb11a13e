"""The recipe tables that all vocoders share: discriminators, losses, mel convention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from ..family_schema import ModelTable
from ..feature_specs import GivenMels
from ..schema_types import Count, Fraction, Positive, TermWeight, Weight
from ..signal.mel_convention import MelConvention


@dataclass(frozen=True)
class MultiScaleCritic:
    """`[model.msd]`: see `layers.discriminators.multi_scale`."""

    style: Literal["melgan", "hifigan"] = "melgan"
    scales: Positive = 3
    channels: Count = 0  # of the first layer; 0: as published, 16 (melgan) or 128 (hifigan)
    most_channels: Positive = 1024
    strides: tuple[Positive, ...] = (4, 4, 4, 4)  # melgan only
    weight: Weight = 1.0  # factor of its losses, the discriminator's and the generator's


@dataclass(frozen=True)
class MultiPeriodCritic:
    """`[model.mpd]`: see `layers.discriminators.multi_period`."""

    periods: tuple[Annotated[int, Meta(ge=2)], ...] = (2, 3, 5, 7, 11)
    channels: Positive = 32  # of the first layer; the published size is 32
    weight: Weight = 1.0


@dataclass(frozen=True)
class MultiResolutionCritic:
    """`[model.mrd]`: see `layers.discriminators.multi_resolution`."""

    resolutions: tuple[Positive, ...] = (2048, 1024, 512)  # FFT sizes in samples
    channels: Positive = 32  # of every layer; the published size is 32
    band_edges: tuple[Fraction, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of half the sample rate
    weight: Weight = 1.0


@dataclass(frozen=True)
class MelCritic:
    """`[model.mel_critic]`: a discriminator of log-mel spectrograms, `discriminators = ["mel"]`; see `layers.discriminators.mel_domain`."""

    channels: Positive = 32
    weight: Weight = 1.0


@dataclass(frozen=True, kw_only=True)
class VocoderModel(ModelTable):
    """`[model]`: keys that all vocoders share. Any generator goes with any of the discriminators, and with several."""

    mel: MelConvention = field(default_factory=MelConvention)
    discriminators: tuple[Literal["msd", "mpd", "mrd", "mel"], ...] = ("msd",)  # empty: not adversarial, the other losses only
    msd: MultiScaleCritic = field(default_factory=MultiScaleCritic)
    mpd: MultiPeriodCritic = field(default_factory=MultiPeriodCritic)
    mrd: MultiResolutionCritic = field(default_factory=MultiResolutionCritic)
    mel_critic: MelCritic = field(default_factory=MelCritic)
    initializer: Literal["fan_in", "normal"] = "fan_in"  # "normal": the paper's normal distribution; fan_in: U(+-1 / sqrt(fan in))
    discriminator_initializer: Literal["same", "fan_in", "normal", "torch"] = "same"  # "torch": PyTorch's default, biases like kernels
    given_mels: bool = False  # trained on mel spectrograms that another program gave for the recordings: prepare --mels
    mel_normalization: bool = False  # the generator's input is (mel - mean) / deviation by band, of training clips, as ParallelWaveGAN's

    @property
    def whole_recordings(self) -> bool:
        return self.given_mels

    def mels_beside(self, sample_rate: int) -> GivenMels | None:
        return GivenMels(self.mel.resolved(sample_rate)) if self.given_mels else None


@dataclass(frozen=True)
class VocoderLosses:
    """`[losses]` of the vocoders: the weights of named terms; a term with weight 0 is not computed. `[adversarial] loss` names the
    adversarial loss, and `[adversarial] critic_start` the step from which it counts: before, the generator learns from the other terms."""

    adversarial: TermWeight = 1.0
    feature_matching: TermWeight = 0.0
    feature_matching_first: bool = True  # whether the first feature map of each sub-discriminator is matched
    feature_matching_by_band: bool = False  # where it is not, it is left out of each band of "mrd", not of the first alone
    feature_matching_logits: bool = False  # whether the logits are matched too
    average: bool = False  # mean over the sub-discriminators of a kind, in place of their sum
    adversarial_every: Positive = 1  # the adversarial loss is computed at every n-th step only; the discriminators are most of the cost
    critic_clips: Count = 0  # clips of a batch that the discriminators see; 0: all
    critic_samples: Count = 0  # samples of each that they see, from a place drawn at each step; 0: all
    mel_l1: TermWeight = 0.0
    mel_l2: TermWeight = 0.0
    mel_high_hz: Weight = 0.0  # upper edge of the mel spectrograms that are compared; 0: half the sample rate
    mel_clamp: bool = False  # compare log(max(mel, floor)) as published; else log(mel + floor), whose gradient lives in silence
    stft_convergence: TermWeight = 0.0  # spectral convergence over `stft_resolutions`
    stft_magnitude: TermWeight = 0.0  # L1 of their log magnitudes
    # fft, hop, window in samples
    stft_resolutions: tuple[tuple[Positive, Positive, Positive], ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    sub_band_convergence: TermWeight = 0.0  # the same two of the sub-bands; model.bands = 4
    sub_band_magnitude: TermWeight = 0.0
    sub_band_resolutions: tuple[tuple[Positive, Positive, Positive], ...] = ((384, 30, 150), (683, 60, 300), (171, 10, 60))
    waveform_l1: TermWeight = 0.0
    disturbance: TermWeight = 0.0  # the points by which the disturbances of PESQ lower its score; see `losses.perceptual.bark_disturbance`
    # vocos: distances of the spectrum that the network gives, before any inverse transform; they cost next to nothing
    spectrum_magnitude: TermWeight = 0.0  # L1 of the log magnitudes
    spectrum_convergence: TermWeight = 0.0
    spectrum_mel: TermWeight = 0.0  # L1 of their log-mel spectra
    spectrum_disturbance: TermWeight = 0.0
    sound_start: Count = 0  # before this step only the terms `spectrum_*` count, and no waveform is computed
