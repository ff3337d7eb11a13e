"""The tables of a SpecGAN recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import FamilySchema
from ...feature_specs import LogSpectrogram
from ...schema_types import Count, Positive, Rate
from ..latent_gan_schema import LatentGANModel


@dataclass(frozen=True)
class SpecGANModel(LatentGANModel):
    """`[model]` of family specgan (Donahue et al. 2019)."""

    kernel: Positive = 5
    fft: Positive = 256  # samples; the Nyquist bin is dropped, so there are fft / 2 bins
    hop: Positive = 128  # samples
    frames: Positive = 128
    mel_bands: Count = 0  # bins of the spectrogram on the mel scale (HTK), brought back by Richardson-Lucy; 0: fft / 2 linear bins
    log_offset: Rate = 1e-6
    clip_deviations: Rate = 3.0  # the normalised log spectrogram is clipped at this many standard deviations
    griffin_lim: Literal["matched", "plain"] = "matched"  # plain: the authors' own, whose inverse does not divide the windows out
    griffin_lim_iterations: Count = 16
    griffin_lim_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # 0.99: fast Griffin-Lim (Perraudin et al. 2013); "matched" only
    loud: Literal["turn_down", "clip"] = "turn_down"  # clips beyond full scale: divided by their peak, or clipped
    stages: Count = 0  # layers of stride 2; 0: as many as leave 4 frames or bins at the start (128 x 128: 5, the paper)

    def __post_init__(self) -> None:
        if self.griffin_lim == "plain" and self.griffin_lim_momentum:
            raise ValueError("griffin_lim is 'plain', which has no momentum; expected griffin_lim_momentum = 0")
        if self.griffin_lim == "plain" and self.mel_bands:
            raise ValueError("griffin_lim is 'plain', the authors' way back from linear bins; expected mel_bands = 0, or 'matched'")

    def statistics(self, sample_rate: int) -> tuple[LogSpectrogram, ...]:
        return (LogSpectrogram(self.fft, self.hop, self.frames, self.log_offset, self.mel_bands, sample_rate if self.mel_bands else 0),)


SCHEMA = FamilySchema(SpecGANModel)
