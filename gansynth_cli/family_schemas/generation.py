"""WaveGAN and SpecGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from .types import Count, Positive, Rate


@dataclass(frozen=True)
class WaveGANModel:
    """`[model]` of family wavegan (Donahue et al. 2019, and the authors' second version of the code)."""

    latent_dim: Positive = 100
    latent: Literal["uniform", "normal"] = "uniform"
    dim: Positive = 64  # d: channels of the last hidden layer of G and of the first of D
    kernel: Positive = 25
    start_samples: Positive = 16  # length at which G starts: clip_samples = start_samples * 4^k or twice that
    upsample: Literal["transposed", "nearest"] = "transposed"
    phase_shuffle: Count = 2  # radius in samples; 0 switches it off
    postprocess_filter: Count = 0  # length of the learned filter after tanh (the paper: 512); 0 switches it off
    batch_norm: bool = False
    minibatch_stddev: bool = False  # the critic sees the spread of the batch, within each class if conditional
    conditioning: Literal["none", "projection"] = "none"
    label_dim: Positive = 32  # width of the label embedding that G reads
    modulation: Count = 0  # width of the style layer that scales and shifts each hidden layer of G by latent and label; 0: none


@dataclass(frozen=True)
class LogSpectrogram:
    """Per-bin statistics that a model needs of its training clips; `data/statistics.py` computes them.

    Frame t starts at sample t * hop and is `fft` samples of the clip, zeros beyond its end, under a periodic Hann window.
    """

    fft: int
    hop: int
    frames: int
    log_offset: float

    @property
    def key(self) -> str:
        """Its name in `DatasetInfo.statistics`."""
        return f"log_spectrogram/fft{self.fft}-hop{self.hop}-frames{self.frames}-offset{self.log_offset:g}"

    def compute(self, clips):
        """{"mean": [fft / 2 + 1], "deviation": [fft / 2 + 1]} of clips [samples, channels]; see `data.statistics.compute`."""
        from ..data.statistics import compute  # numpy only; imported late so that a recipe loads without it

        return compute(self, clips)


@dataclass(frozen=True)
class SpecGANModel:
    """`[model]` of family specgan (Donahue et al. 2019)."""

    latent_dim: Positive = 100
    latent: Literal["uniform", "normal"] = "uniform"
    dim: Positive = 64
    kernel: Positive = 5
    fft: Positive = 256  # samples; the Nyquist bin is dropped, so there are fft / 2 bins
    hop: Positive = 128  # samples
    frames: Positive = 128
    log_offset: Rate = 1e-6
    clip_deviations: Rate = 3.0  # the normalised log spectrogram is clipped at this many standard deviations
    griffin_lim_iterations: Count = 16
    griffin_lim_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # .99: fast Griffin-Lim (Perraudin et al. 2013)
    stages: Count = 0  # layers of stride 2; 0: as many as leave 4 frames or bins at the start (128 x 128: 5, the paper)
    upsample: Literal["transposed", "nearest"] = "transposed"
    batch_norm: bool = False
    minibatch_stddev: bool = False
    conditioning: Literal["none", "projection"] = "none"
    label_dim: Positive = 32
    modulation: Count = 0  # as in WaveGANModel

    @property
    def statistics(self) -> tuple[LogSpectrogram, ...]:
        """What `prepare --recipe` or the start of training computes over the training clips."""
        return (LogSpectrogram(self.fft, self.hop, self.frames, self.log_offset),)
