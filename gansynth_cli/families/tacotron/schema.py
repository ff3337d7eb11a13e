"""The tables of a recipe of Tacotron 2."""

from __future__ import annotations

from dataclasses import dataclass

from ...family_schema import SAY, FamilySchema
from ...schema_types import Fraction, Positive, TermWeight
from ..speech_schema import SpeechTable


@dataclass(frozen=True, kw_only=True)
class TacotronModel(SpeechTable):
    """`[model]` of family tacotron (Shen et al. 2018). The defaults are the published sizes, in the form of NVIDIA's tacotron2."""

    channels: Positive = 512  # of symbols and of the encoder
    encoder_layers: Positive = 3
    encoder_kernel: Positive = 5
    prenet: Positive = 256
    attention_units: Positive = 1024
    decoder_units: Positive = 1024
    attention: Positive = 128
    location_filters: Positive = 32
    location_kernel: Positive = 31
    postnet_channels: Positive = 512
    postnet_layers: Positive = 5
    postnet_kernel: Positive = 5
    dropout: Fraction = 0.5  # of convolutions
    recurrent_dropout: Fraction = 0.1  # of the outputs of the decoder's LSTMs


@dataclass(frozen=True, kw_only=True)
class TacotronLosses:
    """`[losses]` of family tacotron."""

    mel: TermWeight = 1.0  # mean square error before and after the post-net, of standardised bands
    stop: TermWeight = 1.0  # cross-entropy of the stop token
    guided: TermWeight = 0.0  # attention away from the aligner's tokens (Tachibana et al. 2018, with those in place of a diagonal)
    guided_width: Positive = 4  # tokens at which that loss has reached 0.4 of its height


SCHEMA = FamilySchema(TacotronModel, TacotronLosses, ("tacotron",), use=SAY)
