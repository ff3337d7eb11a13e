"""What a recipe may say: frozen dataclasses, one a TOML table, read without TensorFlow.

The types and ranges here are the whole validation: `msgspec` checks them, and a key that is not a field is refused with
the nearest field named. A new family adds its `[model]` (and, if it has any, `[losses]`) dataclass here and one line to
`FAMILIES`; its networks live in `families/`. They are apart because a recipe must fail before TensorFlow loads, while a
family's file is built on TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from .signal.mel_convention import MelConvention

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Range = tuple[float, float]  # a number is drawn uniformly from [low, high]


@dataclass(frozen=True)
class Augment:
    """`[data.augment]`: random changes of each training clip, drawn anew every epoch. All off by default."""

    gain_db: Weight = 0.0  # gain drawn uniformly from [-gain_db, 0] dB
    polarity: Fraction = 0.0  # probability of flipping the sign
    shift_samples: Count = 0  # shift drawn from [-n, n] samples; the gap is filled with zeros


@dataclass(frozen=True)
class Mixing:
    """`[data.mixing]`: noisy recordings made of clean speech and of noise while training, anew in every epoch.

    Values are drawn for each clip by itself. A fraction is the probability that the thing happens to a clip. The data set
    needs noise splits (`prepare --noise`) unless `recorded` is 0.

    The target is the speech as the recording device would have caught it in a quiet room: with the filter and the band limit
    of the noisy clip, at its level, with the first reflections of its room; without noise, late reverberation, clipping and
    quantisation.
    """

    enabled: bool = False
    # The speech.
    join: Fraction = 0.5  # other clips of the split follow, after a pause each, until the clip is full
    pause: Fraction = 0.3  # silence before or after the speech
    pause_seconds: Range = (0.05, 1.0)  # also between joined clips
    rate_change: Fraction = 0.5
    rate: Range = (0.85, 1.15)  # tempo, pitch and formants are multiplied by it: few speakers become many
    speech_filter: Fraction = 0.7  # a smooth random equaliser, in the target too
    speech_filter_db: Weight = 6.0  # its gains are drawn from [-x, x] dB at eight frequencies from 60 Hz to 8 kHz
    # The noise.
    most_noises: Annotated[int, Meta(ge=1, le=3)] = 3  # 1 to this many at once
    recorded: Weight = 0.65  # weights of the kinds of noise: recordings of the noise split,
    babble: Weight = 0.1  # 3 to 6 other voices of the split at once,
    coloured: Weight = 0.1  # noise that falls by 0 to 12 dB or rises by 3 dB an octave,
    hum: Weight = 0.04  # a tone of 45 to 400 Hz with its harmonics,
    fan: Weight = 0.06  # coloured noise that swells 2 to 30 times a second, with a tone,
    clicks: Weight = 0.05  # 2 to 24 short damped beats
    second_noise_db: Range = (-12.0, 0.0)  # level of a second and a third noise against the first
    intermittent: Fraction = 0.15  # a noise is there for a part of the clip only
    noise_rate_change: Fraction = 0.3
    noise_rate: Range = (0.7, 1.4)
    noise_gap: Fraction = 0.5  # a noise shorter than the clip comes again after a gap, not at once
    noise_gap_seconds: Range = (0.05, 1.0)
    noise_filter: Fraction = 0.7
    noise_filter_db: Weight = 10.0
    noise_low_pass: Fraction = 0.1  # a noise alone ends at a frequency drawn from low_pass_hz
    # Both.
    snr_db: Range = (-5.0, 20.0)  # target to noise, over the 20 ms frames where each is active (within 35 dB of its loudest)
    high_snr: Fraction = 0.1  # the ratio is drawn from high_snr_db instead
    high_snr_db: Range = (30.0, 40.0)
    clean: Fraction = 0.05  # no noise
    noise_only: Fraction = 0.05  # no speech: the target is zero
    level_dbfs: Range = (-40.0, -10.0)  # of the noisy clip's active frames; held down where the peak would pass full scale
    room: Fraction = 0.5  # speech and noises come from places of one simulated room
    rt60_seconds: Range = (0.15, 1.0)  # reverberation time from 500 to 1500 Hz
    early_ms: Weight = 50.0  # the target keeps the reflections up to here after the direct sound
    rooms: Positive = 200  # different rooms; those of another split are others
    low_pass: Fraction = 0.2  # the recording ends at a frequency drawn from low_pass_hz, and so does the target
    low_pass_hz: Range = (3000.0, 8000.0)
    high_pass: Fraction = 0.1  # the recording begins at a frequency drawn from high_pass_hz, and so does the target
    high_pass_hz: Range = (50.0, 300.0)
    clipping: Fraction = 0.1  # the noisy clip is cut off below its peak
    clipping_db: Range = (3.0, 12.0)  # how far below
    quantization: Fraction = 0.1  # the noisy clip has few steps from zero to its peak
    quantization_bits: Range = (6.0, 12.0)  # 2^(bits - 1) of them

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise ValueError(f"{name} is {list(value)}; expected [low, high]")
        for name in (
            "pause_seconds",
            "noise_gap_seconds",
            "rate",
            "noise_rate",
            "rt60_seconds",
            "low_pass_hz",
            "high_pass_hz",
            "clipping_db",
            "quantization_bits",
        ):
            least = 0.1 if name in ("rate", "noise_rate", "rt60_seconds") else 2 if name == "quantization_bits" else 0
            if getattr(self, name)[0] < least:
                raise ValueError(f"{name} is {list(getattr(self, name))}; expected at least {least}")
        if self.level_dbfs[1] > 0:
            raise ValueError(f"level_dbfs is {list(self.level_dbfs)}; expected 0 or less (full scale is 0 dBFS)")
        if self.clean + self.noise_only > 1:
            raise ValueError("clean and noise_only are more than 1 together")
        if not self.recorded + self.babble + self.coloured + self.hum + self.fan + self.clicks > 0:
            raise ValueError("all kinds of noise have the weight 0; noise can be left out with clean = 1")


@dataclass(frozen=True)
class Data:
    """`[data]`: what a training clip is, and how clips are drawn from the data set."""

    sample_rate: Positive = 16000  # Hz
    channels: Positive = 1
    clip_samples: Positive = 16384
    batch_size: Positive = 64  # over all replicas
    shuffle_clips: Count = 4096  # size of the shuffle buffer; 0 keeps the order of the shards
    crop: Literal["random", "start", "centre"] = "random"
    balance: Literal["none", "class"] = "none"  # "class" repeats the clips of rare labels
    label_group: Positive = 1  # g: a batch holds g clips of each label it has; clips i, i + batch/g, ... share theirs
    deterministic: bool = True  # the same seed gives the same batches; false lets shards overtake each other
    peak_normalize: bool = False  # scale each clip to a peak of 1 after cropping
    augment: Augment = field(default_factory=Augment)
    mixing: Mixing = field(default_factory=Mixing)


@dataclass(frozen=True)
class Adversarial:
    """`[adversarial]`: the game between generator and critic, shared by every family.

    `loss` names: minimax (Goodfellow et al. 2014, eq. 1), nonsaturating (same paper, section 3), wgan (Arjovsky et al.
    2017, with `weight_clip`), wgan-gp (Gulrajani et al. 2017), lsgan (Mao et al. 2017), hinge (Lim and Ye 2017).
    """

    loss: Literal["minimax", "nonsaturating", "wgan", "wgan-gp", "lsgan", "hinge"] = "wgan-gp"
    critic_repeats: Positive = 5  # critic updates for each generator update
    critic_start: Count = 0  # first step at which the critic is trained and judges the generator
    gradient_penalty: Weight = 10.0  # lambda of WGAN-GP; used by loss = "wgan-gp"
    weight_clip: Rate = 0.01  # used by loss = "wgan"
    drift: Weight = 0.0  # times E[D(real)^2] (Karras et al. 2018)
    r1: Weight = 0.0  # gamma of the R1 penalty on real clips (Mescheder et al. 2018); 0 switches it off
    r1_every: Positive = 16  # lazy regularisation: every n-th step, n times as strong (Karras et al. 2020)


@dataclass(frozen=True)
class Optimizer:
    """`[optimizers.NAME]`: one for each group of networks that is trained together."""

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: Rate = 1e-4
    beta_1: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    beta_2: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    epsilon: Rate = 1e-8  # TensorFlow 1's default; Keras 3 has 1e-7
    weight_decay: Weight = 0.0  # adamw only
    rho: Annotated[float, Meta(ge=0, lt=1)] = 0.9  # rmsprop only
    clip_norm: Weight = 0.0  # clip the gradients to this global norm; 0 switches it off
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    warmup_steps: Count = 0  # the rate rises linearly from 0
    decay_steps: Count = 0  # linear, cosine: steps until `final_fraction`; 0 means training.steps
    final_fraction: Fraction = 0.0  # linear, cosine: the rate at the end, as a fraction of learning_rate
    decay_rate: Annotated[float, Meta(gt=0, le=1)] = 0.999  # exponential: factor every decay_every steps
    decay_every: Positive = 1000


@dataclass(frozen=True)
class Training:
    """`[training]`: how long, how precisely, and what is kept. A budget of 0 is no limit; the first one reached ends the run."""

    steps: Count = 200_000
    epochs: Weight = 0.0
    minutes: Weight = 0.0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # decay of the averaged generator that is shipped; 0 switches it off
    ema_warmup: bool = True  # decay = min(ema, (1 + step) / (10 + step))
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit: bool = False  # compile the step with XLA; slower on CPUs
    log_every: Positive = 100  # steps
    preview_every: Count = 1000  # steps between samples/<step>/; 0 switches previews off
    preview_clips: Positive = 16
    checkpoint_every: Positive = 1000  # steps
    keep_checkpoints: Positive = 3
    best_metric: str = ""  # e.g. "preview/frechet_logmel": also keep the checkpoint where it was best
    best_mode: Literal["min", "max"] = "min"
    stop_on_collapse: Count = 3  # stop after this many previews in a row that are silent or all alike; 0 never


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
        from .data.statistics import compute  # numpy only; imported late so that a recipe loads without it

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


@dataclass(frozen=True)
class SEGANModel:
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
    initial: Literal["normal", "he"] = "normal"  # truncated normal of deviation .02, or of He et al. 2015, which small networks need
    critic_norm: Literal["virtual", "none"] = "virtual"  # virtual batch normalisation (Salimans et al. 2016)
    reference_clips: Positive = 100  # of virtual batch normalisation: chosen before the first step, kept with the critic
    phase_shuffle: Count = 0  # radius in samples before each of the critic's layers but the first two (SEGAN+: 5); 0: none


@dataclass(frozen=True)
class SEGANLosses:
    """`[losses]` of family segan: weights of what the generator learns beside the adversarial loss. 0 switches a term off.

    All are means over samples or bins of pre-emphasised audio. Spectra are normalised (white noise has its own variance in every bin),
    so a weight means about the same for a spectrum as for the waveform.
    """

    waveform_l1: Weight = 100.0
    waveform_l2: Weight = 0.0
    stft_real_l1: Weight = 0.0
    stft_real_l2: Weight = 0.0
    stft_imag_l1: Weight = 0.0
    stft_imag_l2: Weight = 0.0
    stft_magnitude_l1: Weight = 0.0
    stft_magnitude_l2: Weight = 0.0
    stft_fft: Annotated[int, Meta(ge=4)] = 512  # samples, as is the Hann window
    stft_hop: Positive = 128  # samples


@dataclass(frozen=True)
class DenoiserModel:
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
    shared_blocks: Count = 2  # so many of the blocks, the first ones, have the recurrence that all bands share
    context: Count = 160  # units of the recurrence over all bands; 0: none
    # The critic: `layers.discriminators.multi_resolution`, there only if a loss asks for it.
    critic_resolutions: tuple[Positive, ...] = (1024, 512, 256)  # FFT sizes
    critic_band_edges: tuple[Fraction, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # each band of a spectrum has kernels of its own
    critic_channels: Positive = 8
    critic_clips: Positive = 8  # of each batch it judges so many


@dataclass(frozen=True)
class DenoiserLosses:
    """`[losses]` of family denoiser: weights. Clips are brought to the noisy clip's level 1 before."""

    power: Annotated[float, Meta(gt=0, le=1)] = 0.3  # magnitudes are compressed by it
    complex: Weight = 0.5  # mean square of compressed complex spectra
    magnitude: Weight = 1.0  # of compressed magnitudes
    over_suppression: Weight = 0.25  # of what is missing of them alone
    si_snr: Weight = 0.01  # a dB of scale-invariant signal-to-noise ratio
    si_snr_ceiling_db: Weight = 30.0  # beyond which it does not count
    waveform_l1: Weight = 0.0
    stft: Weight = 0.0  # spectral convergence + log magnitude at two more resolutions
    disturbance: Weight = 0.0  # a point of PESQ's scale lost to differences in loudness (`losses.perceptual.bark_disturbance`)
    added_disturbance: Weight = 0.0  # a point lost to what was added alone
    disturbance_start: Count = 0  # step from which the two count
    adversarial: Weight = 0.0  # the critic's; 0 with feature_matching = 0: no critic
    feature_matching: Weight = 0.0


@dataclass(frozen=True)
class MultiScaleCritic:
    """`[model.msd]`: see `layers.discriminators.multi_scale`."""

    style: Literal["melgan", "hifigan"] = "melgan"
    scales: Positive = 3
    channels: Count = 0  # of the first layer; 0: as published, 16 (melgan) or 128 (hifigan)
    most_channels: Positive = 1024
    strides: tuple[Positive, ...] = (4, 4, 4, 4)  # melgan only
    weight: Weight = 1.0  # of what it says, in the critic's and in the generator's losses


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
    """`[model.mel_critic]`: a critic of the log-mel spectrogram, `discriminators = ["mel"]`; see `layers.discriminators.mel_domain`."""

    channels: Positive = 32
    weight: Weight = 1.0


@dataclass(frozen=True, kw_only=True)
class VocoderModel:
    """`[model]`: what the vocoders share. Any generator is judged by any of the critics, and by several."""

    mel: MelConvention = field(default_factory=MelConvention)
    discriminators: tuple[Literal["msd", "mpd", "mrd", "mel"], ...] = ("msd",)  # empty: no game, the losses alone
    msd: MultiScaleCritic = field(default_factory=MultiScaleCritic)
    mpd: MultiPeriodCritic = field(default_factory=MultiPeriodCritic)
    mrd: MultiResolutionCritic = field(default_factory=MultiResolutionCritic)
    mel_critic: MelCritic = field(default_factory=MelCritic)
    initializer: Literal["fan_in", "normal"] = "fan_in"  # "normal": the paper's N(0, deviation^2); fan_in: U(+-1 / sqrt(fan in))


@dataclass(frozen=True, kw_only=True)
class MelGANModel(VocoderModel):
    """`[model]` of family melgan (Kumar et al. 2019); with `bands = 4` Multi-band MelGAN (Yang et al. 2021)."""

    channels: Positive = 512  # of the first layer, halved by each upsampling
    upsample: tuple[Annotated[int, Meta(ge=2)], ...] = (8, 8, 2, 2)  # their product times `bands` is the hop
    dilations: tuple[Positive, ...] = (1, 3, 9)  # one residual block each
    bands: Literal[1, 4] = 1  # 4: the network gives sub-bands at a quarter of the rate, a fixed filter bank the signal


@dataclass(frozen=True, kw_only=True)
class HiFiGANModel(VocoderModel):
    """`[model]` of family hifigan (Kong et al. 2020). The defaults are V1; V2 and V3 are in recipes/hifigan/base.toml."""

    channels: Positive = 512  # of the first layer, halved by each upsampling
    upsample: tuple[Annotated[int, Meta(ge=2)], ...] = (8, 8, 2, 2)
    upsample_kernels: tuple[Positive, ...] = (16, 16, 4, 4)
    block: Literal[1, 2] = 1  # kind of residual block: two convolutions a dilation, or one
    kernels: tuple[Positive, ...] = (3, 7, 11)  # of the parallel branches
    dilations: tuple[tuple[Positive, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))  # of each branch


@dataclass(frozen=True, kw_only=True)
class VocosModel(VocoderModel):
    """`[model]` of family vocos (Siuzdak 2024)."""

    channels: Positive = 512
    hidden: Count = 0  # width inside of a block; 0: three times `channels`
    blocks: Positive = 8
    prior: Literal["none", "pseudo-inverse"] = "none"  # pseudo-inverse: magnitudes start from the mel spectrogram's (FreeV)
    most_magnitude: Rate = 100.0  # magnitudes are clipped at this; a full-scale tone has fft / 4


@dataclass(frozen=True)
class NoLosses:
    """`[losses]` of a family whose only loss is the adversarial one."""


@dataclass(frozen=True)
class VocoderLosses:
    """`[losses]` of the vocoders: the weights of named terms; a term with weight 0 is not computed. `[adversarial] loss` names the game,
    and `[adversarial] critic_start` the step from which it is played: before, the generator learns from the other terms alone."""

    adversarial: Weight = 1.0
    feature_matching: Weight = 0.0
    feature_matching_first: bool = True  # whether the first feature map of each sub-discriminator is matched
    feature_matching_logits: bool = False  # whether the logits are matched too
    average: bool = False  # mean over the sub-discriminators of a kind, in place of their sum
    adversarial_every: Positive = 1  # the game is played at every n-th step only; the critics are most of its cost
    critic_clips: Count = 0  # the critics see so many clips of a batch; 0: all
    critic_samples: Count = 0  # and so many samples of each, from a place drawn anew at each step; 0: all
    mel_l1: Weight = 0.0
    mel_l2: Weight = 0.0
    mel_high_hz: Weight = 0.0  # upper edge of the mel spectrograms that are compared; 0: half the sample rate
    mel_clamp: bool = False  # compare log(max(mel, floor)) as published; else log(mel + floor), whose gradient lives in silence
    stft_convergence: Weight = 0.0  # spectral convergence over `stft_resolutions`
    stft_magnitude: Weight = 0.0  # L1 of their log magnitudes
    # fft, hop, window in samples
    stft_resolutions: tuple[tuple[Positive, Positive, Positive], ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    sub_band_convergence: Weight = 0.0  # the same two of the sub-bands; model.bands = 4
    sub_band_magnitude: Weight = 0.0
    sub_band_resolutions: tuple[tuple[Positive, Positive, Positive], ...] = ((384, 30, 150), (683, 60, 300), (171, 10, 60))
    waveform_l1: Weight = 0.0


@dataclass(frozen=True)
class FamilySchema:
    """The tables of a family: `[model]`, `[losses]`, and the names that `[optimizers.NAME]` may have. `use` is how a trained run is
    used: the command's arguments, `{run}` being its folder."""

    model: type
    losses: type = NoLosses
    optimizers: tuple[str, ...] = ("generator", "critic")
    use: str = "generate {run} -n 64 -o clips/"


_VOCODE = "generate {run} --from recordings/ -o clips/"
_ENHANCE = "enhance recordings/ --model {run} -o clean/"

FAMILIES: dict[str, FamilySchema] = {
    "denoiser": FamilySchema(DenoiserModel, DenoiserLosses, use=_ENHANCE),
    "wavegan": FamilySchema(WaveGANModel),
    "specgan": FamilySchema(SpecGANModel),
    "melgan": FamilySchema(MelGANModel, VocoderLosses, use=_VOCODE),
    "hifigan": FamilySchema(HiFiGANModel, VocoderLosses, use=_VOCODE),
    "vocos": FamilySchema(VocosModel, VocoderLosses, use=_VOCODE),
    "segan": FamilySchema(SEGANModel, SEGANLosses, use=_ENHANCE),
}


@dataclass(frozen=True)
class Recipe:
    """A whole recipe, resolved. `model` and `losses` are instances of the family's dataclasses."""

    family: str
    name: str = ""  # e.g. "wavegan/small"; set by the loader
    title: str = ""  # one line for `recipes list`
    seed: int = 0
    data: Data = field(default_factory=Data)
    model: object = None
    losses: object = field(default_factory=NoLosses)
    adversarial: Adversarial = field(default_factory=Adversarial)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
