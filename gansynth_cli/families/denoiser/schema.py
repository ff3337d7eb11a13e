"""The tables of a recipe of the streaming denoisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import ENHANCE, FamilySchema, ModelTable
from ...schema_types import Count, Fraction, Positive, TermWeight, Weight


@dataclass(frozen=True)
class DenoiserModel(ModelTable):
    """`[model]` of family denoiser: a gain for every bin of a spectrum of `fft` samples every fft / 2 samples, frame by frame."""

    network: Literal["gru", "bands"] = "bands"
    fft: Positive = 512  # samples; a periodic square-root Hann window at both ends
    max_gain: Annotated[float, Meta(gt=1)] = 2.0  # bound of a complex gain's magnitude
    stored_as: Literal["float32", "float16"] = "float16"  # the weights in the saved model; half precision costs no quality (measured)
    # network = "gru": log-mel bands, a dense layer, recurrent layers.
    mel_bands: Positive = 80
    width: Positive = 256  # units of every layer
    layers: Positive = 2  # recurrent ones
    mask: Literal["real", "complex"] = "complex"
    # network = "bands": a recurrence that all bands share, and a narrow one over all bands of a frame.
    segments: tuple[tuple[Positive, Positive], ...] = ((32, 2), (64, 8), (160, 16))  # bins, bins a band; fft / 2 bins in all
    channels: Positive = 32  # numbers a band
    blocks: Positive = 2
    shared_blocks: Count = 2  # this many of the blocks, the first ones, have the recurrence that all bands share
    context: Count = 160  # units of the recurrence over all bands; 0: none
    added_blocks: Count = 0  # more blocks, initially the identity: for --init-from a run that has fewer
    past_frames: Count = 0  # frames before each that are read and filtered with it; their weights start at zero too
    # The discriminator: `layers.discriminators.multi_resolution`, built only if a loss needs it.
    critic_resolutions: tuple[Positive, ...] = (1024, 512, 256)  # FFT sizes
    critic_band_edges: tuple[Fraction, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # each band of a spectrum has kernels of its own
    critic_channels: Positive = 8
    critic_clips: Positive = 8  # it sees this many clips of each batch


@dataclass(frozen=True)
class DenoiserLosses:
    """`[losses]` of family denoiser: weights. Clips are brought to the noisy clip's level 1 before."""

    power: Annotated[float, Meta(gt=0, le=1)] = 0.3  # exponent by which magnitudes are compressed
    complex: TermWeight = 0.5  # mean square of compressed complex spectra
    magnitude: TermWeight = 1.0  # mean square of compressed magnitudes
    over_suppression: TermWeight = 0.25  # mean square of what is missing of them only
    si_snr: TermWeight = 0.01  # a dB of scale-invariant signal-to-noise ratio
    si_snr_ceiling_db: Weight = 30.0  # beyond which it does not count
    waveform_l1: TermWeight = 0.0
    stft: TermWeight = 0.0  # spectral convergence + log magnitude at two more resolutions
    disturbance: TermWeight = 0.0  # a point of PESQ's scale lost to differences in loudness (`losses.perceptual.bark_disturbance`)
    added_disturbance: TermWeight = 0.0  # a point lost to what was added only
    disturbance_worst: bool = False  # over frames the sixth power within 0.32 s, as PESQ has it, in place of the mean square
    disturbance_start: Count = 0  # step from which the two count
    adversarial: TermWeight = 0.0  # 0 with feature_matching = 0: no discriminator
    feature_matching: TermWeight = 0.0


SCHEMA = FamilySchema(DenoiserModel, DenoiserLosses, use=ENHANCE)
