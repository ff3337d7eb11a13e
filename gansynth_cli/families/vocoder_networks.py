"""The discriminators of the vocoders, from the sizes of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from ..layers import discriminators
from ..layers.vocoder import MelNormalization, MelSpectrogram
from ..signal.mel_convention import MelConvention
from .vocoder_schema import VocoderModel


def build_critic(model: VocoderModel, convention: MelConvention, seeds: Iterator[int]) -> keras.Model:
    """Build one network of all `model.discriminators`; see `layers.discriminators.join`. `convention` is that of the kind "mel"."""
    m, initializer = model, model.initializer if model.discriminator_initializer == "same" else model.discriminator_initializer
    kinds: dict[str, keras.Model] = {}
    common: Callable[[], dict[str, Any]] = lambda: {"initializer": initializer, "seed": next(seeds)}
    for kind in m.discriminators:
        if kind == "msd":
            s = m.msd
            kinds[kind] = discriminators.multi_scale(s.style, s.scales, s.channels or None, s.most_channels, s.strides, **common())
        elif kind == "mpd":
            kinds[kind] = discriminators.multi_period(m.mpd.periods, m.mpd.channels, **common())
        elif kind == "mrd":
            kinds[kind] = discriminators.multi_resolution(m.mrd.resolutions, m.mrd.channels, m.mrd.band_edges, **common())
        else:
            front_end = MelSpectrogram(convention, soft=True, dtype="float32", name="mel_spectrogram")
            kinds[kind] = discriminators.mel_domain(front_end, m.mel_critic.channels, **common())
    return discriminators.join(kinds)


def mel_input(model: VocoderModel, bands: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Build a generator's input: (mel [batch, frames, bands], the same, normalised where `model.mel_normalization` says so)."""
    mel = keras.Input((None, bands), name="mel")
    return mel, MelNormalization(dtype="float32", name="mel_normalization")(mel) if model.mel_normalization else mel


def weight_of(model: VocoderModel, kind: str) -> float:
    """Return `model.<kind>.weight`."""
    return getattr(model, "mel_critic" if kind == "mel" else kind).weight
