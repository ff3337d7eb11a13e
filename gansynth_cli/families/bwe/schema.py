"""The tables of a bandwidth extension recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ...family_schema import EXTEND, FamilySchema, ModelTable
from ...schema_types import Fraction, Positive, TermWeight


@dataclass(frozen=True)
class BandwidthModel(ModelTable):
    """`[model]` of family bwe: what is generated above the edge of a narrow recording."""

    # "envelope": levels of bands of 250 and 500 Hz every 10 ms, which shape the rectified recording; any rate up to data.sample_rate.
    # "ap-bwe": log magnitude and phase of every bin (Lu et al. 2024, "Towards high-quality and efficient speech bandwidth extension with
    # parallel amplitude and phase prediction"); data.sample_rate only.
    network: Literal["envelope", "ap-bwe"] = "envelope"
    channels: Positive = 128  # of the ConvNeXt blocks
    hidden: Positive = 384  # inside a block
    blocks: Positive = 4  # of "ap-bwe" in each of the two streams
    input_bands: Positive = 64  # "envelope"
    fft: Positive = 1024  # "ap-bwe", samples
    window: Positive = 320
    hop: Positive = 80
    stored_as: Literal["float32", "float16"] = "float16"  # half precision costs no quality (measured)
    # The discriminators, built only if a loss needs them.
    critic: Literal["multi-resolution", "ap-bwe"] = "multi-resolution"  # `layers.discriminators.multi_resolution`, or periods + spectra
    critic_resolutions: tuple[Positive, ...] = (1024, 512, 256)  # FFT sizes of multi-resolution
    critic_band_edges: tuple[Fraction, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
    critic_channels: Positive = 8  # of spectra; of AP-BWE's periods the half
    critic_clips: Positive = 4  # clips of each batch that it scores


@dataclass(frozen=True)
class BandwidthLosses:
    """`[losses]` of family bwe: weights. Clips are scaled to one level first."""

    windows_ms: tuple[Positive, ...] = (10, 20, 40)  # of the spectra that are compared; hop a quarter of each
    power: Annotated[float, Meta(gt=0, le=1)] = 0.3  # compression of magnitudes
    levels: TermWeight = 0.0  # mean |difference| of the generated bands' levels, in units of 10 dB; "envelope" only
    loudness: TermWeight = 0.0  # mean |difference| of their loudness (Zwicker), 1 at 60 dB below the level of the clip; "envelope" only
    over_estimation: Annotated[float, Meta(ge=0)] = 0.0  # in both, too much costs this much more than too little: PESQ punishes it so
    magnitude: TermWeight = 0.0  # mean square of compressed magnitudes
    log_magnitude: TermWeight = 0.0  # mean |difference| of the natural log magnitudes
    disturbance: TermWeight = 0.0  # a point of PESQ's scale lost to differences in loudness
    added_disturbance: TermWeight = 0.0  # a point lost to what was added only
    # "ap-bwe" (Lu et al. 2024, section III-C), of its own spectra; waveforms are not scaled.
    ap_amplitude: TermWeight = 0.0  # mean square of log magnitudes
    ap_phase: TermWeight = 0.0  # anti-wrapped instantaneous phase, group delay, instantaneous frequency
    ap_complex: TermWeight = 0.0  # mean square of real and imaginary parts
    ap_consistency: TermWeight = 0.0  # mean square between the spectrum and that of its own waveform
    adversarial: TermWeight = 0.0  # 0 with feature_matching = 0: no discriminator
    feature_matching: TermWeight = 0.0
    spectral_critic: Annotated[float, Meta(ge=0)] = 1.0  # of "ap-bwe": weight of its spectral discriminators beside that of periods


SCHEMA = FamilySchema(BandwidthModel, BandwidthLosses, use=EXTEND)
