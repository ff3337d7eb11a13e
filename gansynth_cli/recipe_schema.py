"""The schema of recipes: frozen dataclasses, one for each TOML table, without TensorFlow.

Types and ranges are the whole validation: `msgspec` checks them, and an unknown key is refused with the nearest field named. The
tables `[model]` and `[losses]` belong to the family (`families/<name>/schema.py`), apart from its networks, because an invalid recipe
must fail before TensorFlow loads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from .family_schema import FamilySchema, ModelTable, NoLosses, find_families, find_plugins
from .schema_types import Count, Fraction, Positive, Range, Rate, Weight


@dataclass(frozen=True)
class Augment:
    """`[data.augment]`: random changes of each training clip, drawn again in every epoch. All off by default."""

    gain_db: Weight = 0.0  # gain drawn uniformly from [-gain_db, 0] dB
    polarity: Fraction = 0.0  # probability of flipping the sign
    shift_samples: Count = 0  # shift drawn from [-n, n] samples; the gap is filled with zeros


@dataclass(frozen=True)
class Mixing:
    """`[data.mixing]`: noisy recordings mixed from clean speech and noise during training, different in every epoch.

    Values are drawn for each clip separately. A fraction is the probability that a clip is affected. The data set needs noise splits
    (`prepare --noise`) unless `recorded` is 0.

    The target is the speech as the recording device would capture it in a quiet room: with the filter and band limit of the noisy
    clip, at its level, with the early reflections of its room; without noise, late reverberation, clipping, quantisation and codec
    artefacts.
    """

    enabled: bool = False
    # Speech.
    join: Fraction = 0.5  # other clips of the split are appended, with pauses, until the clip is full
    join_level_db: Weight = 6.0  # joined clips are at the level of the first, plus a gain drawn from [-x, x] dB
    pause: Fraction = 0.3  # silence before or after the speech
    pause_seconds: Range = (0.05, 1.0)  # also between joined clips
    rate_change: Fraction = 0.5
    rate: Range = (0.85, 1.15)  # factor of tempo, pitch and formants: few speakers become many
    speech_filter: Fraction = 0.7  # a smooth random equaliser, in the target too
    speech_filter_db: Weight = 6.0  # gains drawn from [-x, x] dB at eight frequencies from 60 Hz to 8 kHz
    # Noise.
    most_noises: Annotated[int, Meta(ge=1, le=3)] = 3  # 1 to this many at once
    recorded: Weight = 0.65  # weights of the kinds of noise: recordings of the noise split,
    babble: Weight = 0.1  # 3 to 6 other voices of the split at once,
    coloured: Weight = 0.1  # noise that falls by 0 to 12 dB or rises by 3 dB an octave,
    hum: Weight = 0.04  # a tone of 45 to 400 Hz with its harmonics,
    fan: Weight = 0.06  # coloured noise modulated at 2 to 30 Hz, with a tone,
    clicks: Weight = 0.05  # 2 to 24 short decaying pulses
    second_noise_db: Range = (-12.0, 0.0)  # level of a second and third noise relative to the first
    intermittent: Fraction = 0.15  # a noise covers only a part of the clip
    noise_rate_change: Fraction = 0.3
    noise_rate: Range = (0.7, 1.4)
    noise_gap: Fraction = 0.5  # a noise shorter than the clip repeats after a gap
    noise_gap_seconds: Range = (0.05, 1.0)
    noise_filter: Fraction = 0.7
    noise_filter_db: Weight = 10.0
    noise_low_pass: Fraction = 0.1  # a noise, but not the speech, is low-passed at a frequency drawn from low_pass_hz
    # Both.
    snr_db: Range = (-5.0, 20.0)  # target to noise, over the 20 ms frames where each is active (within 35 dB of its loudest)
    high_snr: Fraction = 0.1  # the ratio is drawn from high_snr_db
    high_snr_db: Range = (30.0, 40.0)
    clean: Fraction = 0.05  # no noise
    noise_only: Fraction = 0.05  # no speech: the target is zero
    level_dbfs: Range = (-40.0, -10.0)  # of the noisy clip's active frames; lower if the peak would exceed full scale
    room: Fraction = 0.5  # speech and noises are placed in one simulated room
    rt60_seconds: Range = (0.15, 1.0)  # reverberation time, 500 to 1500 Hz
    early_ms: Weight = 50.0  # the target keeps reflections up to this long after the direct sound
    rooms: Positive = 200  # number of rooms; each split has its own
    low_pass: Fraction = 0.2  # noisy clip and target are low-passed at a frequency drawn from low_pass_hz
    low_pass_hz: Range = (3000.0, 8000.0)
    recorded_band: bool = False  # noises end where the band of the speech recording ends, so that data sets of several bands mix
    high_pass: Fraction = 0.1  # noisy clip and target are high-passed at a frequency drawn from high_pass_hz
    high_pass_hz: Range = (50.0, 300.0)
    clipping: Fraction = 0.1  # the noisy clip is clipped below its peak
    clipping_db: Range = (3.0, 12.0)  # by this much
    quantization: Fraction = 0.1  # the noisy clip is quantised coarsely
    quantization_bits: Range = (6.0, 12.0)  # 2^(bits - 1) steps from zero to its peak
    companding: Fraction = 0.0  # the noisy clip passes 8-bit mu-law companding (telephony)
    codec: Fraction = 0.0  # the noisy clip gets spectral holes, as from a lossy codec at a low bit rate
    codec_holes_db: Range = (8.0, 25.0)  # bins this far below the loudest of their half kilohertz are removed
    narrow: Fraction = 0.0  # for bandwidth extension: the noisy clip alone is low-passed, by a random filter, at one of narrow_hz
    narrow_hz: Range = (2000.0, 12000.0)

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
            "narrow_hz",
            "clipping_db",
            "quantization_bits",
            "codec_holes_db",
        ):
            least = {"rate": 0.1, "noise_rate": 0.1, "rt60_seconds": 0.1, "quantization_bits": 2, "narrow_hz": 100}.get(name, 0)
            if getattr(self, name)[0] < least:
                raise ValueError(f"{name} is {list(getattr(self, name))}; expected at least {least}")
        if self.level_dbfs[1] > 0:
            raise ValueError(f"level_dbfs is {list(self.level_dbfs)}; expected 0 or less (full scale is 0 dBFS)")
        if self.clean + self.noise_only > 1:
            raise ValueError("clean and noise_only sum to more than 1")
        if not self.recorded + self.babble + self.coloured + self.hum + self.fan + self.clicks > 0:
            raise ValueError("all kinds of noise have the weight 0; use clean = 1 for no noise")


@dataclass(frozen=True)
class Data:
    """`[data]`: the training clips, and how they are drawn from the data set."""

    sample_rate: Positive = 16000  # Hz
    channels: Positive = 1
    clip_samples: Positive = 16384
    batch_size: Positive = 64  # over all replicas
    shuffle_clips: Count = 4096  # size of the shuffle buffer; 0 keeps the order of the shards
    crop: Literal["random", "start", "centre"] = "random"
    # "class" repeats the clips of rare labels; "turns" does too, and labels alternate: clip i has label i mod n
    balance: Literal["none", "class", "turns"] = "none"
    label_group: Positive = 1  # g: a batch has g clips of each of its labels; clips i, i + batch/g, ... share one
    service: str = ""  # address of a tf.data service, as grpc://host:5050, whose workers decode and mix; "": this process does
    deterministic: bool = True  # the same seed gives the same batches; false lets shards overtake one another
    # true: scale each clip to `peak` after cropping; "recording": each recording as the data set holds it, before cropping
    peak_normalize: bool | Literal["recording"] = False
    peak: Annotated[float, Meta(gt=0, le=1)] = 1.0
    augment: Augment = field(default_factory=Augment)
    mixing: Mixing = field(default_factory=Mixing)


@dataclass(frozen=True)
class Adversarial:
    """`[adversarial]`: the adversarial objective, shared by all families. Keys call the discriminator "critic" whatever the loss.

    Values of `loss`: minimax (Goodfellow et al. 2014, eq. 1), nonsaturating (same paper, section 3), wgan (Arjovsky et al.
    2017, with `weight_clip`), wgan-gp (Gulrajani et al. 2017), lsgan (Mao et al. 2017), hinge (Lim and Ye 2017), hinge-clamped (the
    generator's side as max(0, 1 - D): Zeghidour et al. 2021).
    """

    loss: Literal["minimax", "nonsaturating", "wgan", "wgan-gp", "lsgan", "hinge", "hinge-clamped"] = "wgan-gp"
    critic_repeats: Positive = 5  # discriminator updates per generator update
    critic_start: Count = 0  # first step at which the discriminator is trained and used
    generator_start: Count = 0  # first step at which the generator is trained, after a new discriminator has caught up
    gradient_penalty: Weight = 10.0  # lambda of WGAN-GP; used by loss = "wgan-gp"
    weight_clip: Rate = 0.01  # used by loss = "wgan"
    drift: Weight = 0.0  # times E[D(real)^2] (Karras et al. 2018)
    r1: Weight = 0.0  # gamma of the R1 penalty on real clips (Mescheder et al. 2018); 0: off
    r1_every: Positive = 16  # lazy regularisation: every n-th step, n times as strong (Karras et al. 2020)


@dataclass(frozen=True)
class Optimizer:
    """`[optimizers.NAME]`: the optimizer of a group of networks that are trained together."""

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: Rate = 1e-4
    beta_1: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    beta_2: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    epsilon: Rate = 1e-8  # TensorFlow 1's default; Keras 3 has 1e-7
    weight_decay: Weight = 0.0  # adamw only
    rho: Annotated[float, Meta(ge=0, lt=1)] = 0.9  # rmsprop only
    initial_square: Weight = 0.0  # rmsprop only: the mean of squares before the first step; TensorFlow 1: 1, with epsilon 1e-10
    clip_norm: Weight = 0.0  # clip the gradients to this global norm; 0: off
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    warmup_steps: Count = 0  # the rate rises linearly from 0
    decay_steps: Count = 0  # linear, cosine: steps until `final_fraction`; 0 means training.steps
    final_fraction: Fraction = 0.0  # linear, cosine: the rate at the end, as a fraction of learning_rate
    decay_rate: Annotated[float, Meta(gt=0, le=1)] = 0.999  # exponential: factor every decay_every steps
    decay_every: Positive = 1000


@dataclass(frozen=True)
class Training:
    """`[training]`: budgets, precision and outputs. A budget of 0 is no limit; the first one reached ends the run."""

    steps: Count = 200_000
    epochs: Weight = 0.0
    minutes: Weight = 0.0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # decay of the averaged generator, which is the one exported; 0: off
    ema_warmup: bool = True  # decay = min(ema, (1 + step) / (10 + step))
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit: bool = False  # compile the step with XLA; slower on CPUs
    log_every: Positive = 100  # steps
    preview_every: Count = 1000  # steps between previews, samples/<step>/; 0: off
    preview_clips: Positive = 16
    checkpoint_every: Positive = 1000  # steps
    keep_checkpoints: Positive = 3
    best_metric: str = ""  # e.g. "preview/frechet_logmel": also keep the checkpoint with its best value
    best_mode: Literal["min", "max"] = "min"
    stop_on_collapse: Count = 3  # stop after this many consecutive previews that are silent or all alike; 0: never


FAMILIES: dict[str, FamilySchema] = find_families()
PLUGINS = find_plugins(FAMILIES)
FAMILIES |= {name: plugin.schema for name, plugin in PLUGINS.items() if plugin.schema is not None}


@dataclass(frozen=True)
class Recipe:
    """A complete, resolved recipe. `model` and `losses` are instances of the family's dataclasses."""

    family: str
    name: str = ""  # e.g. "wavegan/small"; set by the loader
    title: str = ""  # one line for `recipes list`
    seed: int = 0
    data: Data = field(default_factory=Data)
    model: ModelTable = field(default_factory=ModelTable)
    losses: object = field(default_factory=NoLosses)
    adversarial: Adversarial = field(default_factory=Adversarial)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    training: Training = field(default_factory=Training)

    @property
    def use(self) -> str:
        """The command that uses a trained run, `{run}` being its folder."""
        return self.model.use or FAMILIES[self.family].use
