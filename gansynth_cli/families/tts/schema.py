"""The tables of a recipe of text-to-speech."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...family_schema import SAY, FamilySchema
from ...schema_types import Fraction, Positive, Rate, TermWeight
from ..speech_schema import SpeechTable
from ..vocoder_schema import MultiPeriodCritic, MultiResolutionCritic


@dataclass(frozen=True, kw_only=True)
class TtsModel(SpeechTable):
    """`[model]` of family tts."""

    windows = True

    channels: Positive = 192
    hidden: Positive = 384  # width inside of a block
    kernel: Positive = 7
    encoder_blocks: Positive = 4
    decoder_blocks: Positive = 6
    predictor_channels: Positive = 192
    speaker_dim: Positive = 64
    emotion_dim: Positive = 16
    condition_dim: Positive = 64
    dropout: Fraction = 0.1
    predictor_dropout: Fraction = 0.3
    emotion_dropout: Fraction = 0.2  # of clips whose emotion is hidden; with one emotion none is
    max_phones: Positive = 128  # of a training window, its neighbours included
    discriminators: tuple[Literal["jcu", "patch", "mpd", "mrd"], ...] = ("jcu",)  # of mel spectra, and from "mpd" on of the waveform
    critic_channels: Positive = 64  # of the first layer of those of mel spectra
    mpd: MultiPeriodCritic = field(default_factory=MultiPeriodCritic)
    mrd: MultiResolutionCritic = field(default_factory=MultiResolutionCritic)
    # none: a vocoder turns the mel spectra into sound. source-filter: this model does, by harmonics of the predicted F0 and noise, each
    # through filters that a network gives from the decoder's hidden frames
    waveform: Literal["none", "source-filter"] = "none"
    filter_blocks: Positive = 3
    filter_fft: Positive = 512  # samples
    filter_steps: Positive = 2  # filters a frame
    filter_emphasis: tuple[Rate, Rate] = (1.0, 1.0)  # of what is spoken, not in training; see `layers.source_filter.emphasis_of`
    segment_frames: Positive = 64  # of a training window that become sound


@dataclass(frozen=True, kw_only=True)
class TtsLosses:
    """`[losses]` of family tts."""

    mel: TermWeight = 1.0  # L1 of standardised bands
    duration: TermWeight = 0.1  # L1 of ln frames
    pitch: TermWeight = 0.1  # L1 of ln F0 in deviations of the speaker, weighted by voicing
    voicing: TermWeight = 0.1  # cross-entropy
    energy: TermWeight = 0.1  # L1 in deviations of the speaker
    adversarial: TermWeight = 0.1
    feature_matching: TermWeight = 1.0  # scaled to the size of the mel loss (GANSpeech)
    sound_mel: TermWeight = 0.0  # of the waveform: L1 of log-mel spectra up to half the sample rate
    sound_magnitude: TermWeight = 0.0  # L1 of log magnitudes over `sound_resolutions`
    sound_convergence: TermWeight = 0.0
    sound_adversarial: TermWeight = 0.0
    sound_feature_matching: TermWeight = 0.0
    # fft, hop, window in samples
    sound_resolutions: tuple[tuple[Positive, Positive, Positive], ...] = (
        (256, 64, 256),
        (512, 128, 512),
        (1024, 256, 1024),
        (2048, 512, 2048),
    )


SCHEMA = FamilySchema(TtsModel, TtsLosses, ("generator", "adversarial", "critic"), use=SAY)
