"""The tables of a DeepFilterNet recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import ENHANCE, FamilySchema, ModelTable
from ...schema_types import Count, Fraction, Positive, TermWeight, Weight


@dataclass(frozen=True)
class DeepFilterNetModel(ModelTable):
    """`[model]` of family deepfilternet (Schroeter et al. 2023). The defaults are the published third version, 2.13 M weights.

    Frames last 20 ms and overlap by half at any rate that has whole frames: 8, 16, 24 and 48 kHz run without a resampler.
    """

    channels: Annotated[int, Meta(ge=2, multiple_of=2)] = 64  # of every convolution
    hidden: Annotated[int, Meta(ge=16, multiple_of=16)] = 256  # units of every recurrence
    band_layers: Positive = 2  # recurrences of the decoder of band gains
    filter_layers: Positive = 2  # and of the decoder of filter taps
    snr_head: bool = False  # keep the published estimate of the local SNR, which nothing reads
    stored_as: Literal["float32", "float16"] = "float16"  # half precision costs no quality (measured)
    # The discriminator: `layers.discriminators.multi_resolution`, built only if a loss needs it.
    critic_resolutions: tuple[Positive, ...] = (1024, 512, 256)  # FFT sizes
    critic_band_edges: tuple[Fraction, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # each band of a spectrum has kernels of its own
    critic_channels: Positive = 8
    critic_clips: Positive = 4  # clips of each batch that it scores


@dataclass(frozen=True)
class DeepFilterNetLosses:
    """`[losses]` of family deepfilternet: weights. Clips are scaled to one level first."""

    windows_ms: tuple[Positive, ...] = (16, 32, 64)  # of the spectra that are compared; hop a quarter of each
    power: Annotated[float, Meta(gt=0, le=1)] = 0.3  # compression of magnitudes
    complex: TermWeight = 0.3  # mean square difference of compressed complex spectra
    magnitude: TermWeight = 0.7  # of compressed magnitudes
    over_suppression: TermWeight = 0.0  # of missing magnitude only
    si_snr: TermWeight = 0.0  # for each dB of scale-invariant signal-to-noise ratio
    si_snr_ceiling_db: Weight = 30.0  # above which it does not count
    disturbance: TermWeight = 0.0  # a point of PESQ's scale lost to differences in loudness (`losses.perceptual.bark_disturbance`)
    added_disturbance: TermWeight = 0.0  # a point lost to what was added only
    disturbance_worst: bool = False  # over frames the sixth power within 0.32 s, as PESQ has it, in place of the mean square
    adversarial: TermWeight = 0.0  # of the discriminator's score; 0 with feature_matching = 0: there is no discriminator
    feature_matching: TermWeight = 0.0
    first_frames: Count = 0  # frames at a clip's start that the losses leave out


SCHEMA = FamilySchema(DeepFilterNetModel, DeepFilterNetLosses, use=ENHANCE)
