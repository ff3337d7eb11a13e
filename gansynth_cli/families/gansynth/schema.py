"""The tables of a GANSynth recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...family_schema import FamilySchema, ModelTable
from ...schema_types import Count, Positive, Rate, Weight

NoteCondition = Literal["pitch", "instrument", "velocity"]


@dataclass(frozen=True)
class GANSynthModel(ModelTable):
    """`[model]` of family gansynth (Engel et al. 2019; the authors' `mel_prog_hires`)."""

    latent_dim: Positive = 256
    conditions: tuple[NoteCondition, ...] = ("pitch",)  # what is asked of a note; the data set must know it
    # auxiliary: one-hot vectors beside the latent, and the critic names the classes (Odena et al. 2017). projection: embeddings, and
    # the critic is told the classes (Miyato and Koyama 2018).
    conditioning: Literal["auxiliary", "projection"] = "auxiliary"
    # The picture.
    fft: Positive = 2048  # samples
    hop: Positive = 512  # samples
    frames: Positive = 128
    mel_bands: Count = 1024  # bins of the picture; 0: the fft / 2 linear ones
    mel_bank: Literal["even", "authors"] = "even"  # authors: neighbouring triangles share their widened edges, as in published models
    log_offset: Rate = 1e-6
    magnitude_scale: Rate = 0.0661371661726  # log magnitude * scale + shift lies in [-1, 1]
    magnitude_shift: float = 0.113718730221
    phase_scale: Rate = 0.8
    phase_floor: Weight = 0.0  # magnitude below which a linear bin's frequency is drawn as none; 0: the noise there is drawn too
    griffin_lim_iterations: Count = 0  # rounds that make the drawn phases agree
    # The networks.
    network: Literal["progressive", "strided"] = "progressive"  # the paper's, or SpecGAN's, a tenth of the cost
    growth: Literal["none", "progressive"] = "progressive"
    dim: Positive = 32  # channels at the full resolution; doubled at each coarser one,
    widest: Positive = 256  # up to this many
    levels: Positive = 7  # resolutions: the first picture has frames / 2^(levels - 1) frames
    # network = "progressive" only. The authors' code has "unit" and 1e-6; the defaults are those of runs that do not state them.
    output_gain: Literal["he", "unit"] = "he"  # scale of the layers without LeakyReLU: root of 2 / inputs, or of 1 / inputs
    stddev_epsilon: Rate = 1e-8  # added to the variance over the batch
    stable_images: Positive = 800_000  # growth: real pictures seen at each resolution,
    fade_images: Positive = 800_000  # and while the next one is faded in
    # network = "strided" alone.
    kernel: Positive = 5
    condition_dim: Positive = 32  # width of each condition's embedding
    modulation: Count = 0  # width of the style layer that scales and shifts each hidden layer of G; 0: none
    harmonic_map: bool = False  # G and the critic are shown where the harmonics of the asked pitch lie

    def __post_init__(self) -> None:
        if len(set(self.conditions)) != len(self.conditions):
            raise ValueError(f"conditions is {list(self.conditions)}; expected each name once")
        if self.growth == "progressive" and self.network != "progressive":
            raise ValueError("growth is 'progressive', which network = 'strided' cannot do; expected growth = 'none'")
        if self.network == "progressive" and self.conditioning != "auxiliary":
            raise ValueError("conditioning is 'projection', which network = 'progressive' does not have; expected 'auxiliary'")
        if self.harmonic_map and (self.network != "strided" or "pitch" not in self.conditions):
            raise ValueError("harmonic_map needs network = 'strided' and 'pitch' among the conditions")
        if self.phase_floor and self.mel_bands:
            raise ValueError("phase_floor needs mel_bands = 0")


@dataclass(frozen=True)
class GANSynthLosses:
    """`[losses]` of family gansynth, beside the adversarial one."""

    classification: Weight = 10.0  # auxiliary: cross-entropy of each condition, the critic's on real notes, the generator's on its own
    reconstruction: Weight = 0.0  # mean absolute difference between a generated picture and the note whose classes it was given
    # What the gradient penalty takes slopes with respect to: spectrograms in [-1, 1], or, as in the authors' code, log magnitude and
    # frequency before magnitude_scale and phase_scale, where slopes are smaller by these two factors.
    penalty_space: Literal["normalized", "unnormalized"] = "normalized"


SCHEMA = FamilySchema(GANSynthModel, GANSynthLosses)
