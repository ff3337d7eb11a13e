"""The networks of the denoisers, from the sizes of a recipe."""

from __future__ import annotations

from typing import Any

import keras

from ...layers import discriminators
from ...models.frame_denoiser import FrameDenoiser
from .schema import DenoiserModel


def build_generator(model: DenoiserModel, sample_rate: int, seed: int) -> FrameDenoiser:
    """Build the mask network: spectrum frames -> gains."""
    m = model
    options: dict[str, Any]
    if m.network == "gru":
        options = {"mel_bands": m.mel_bands, "width": m.width, "layers": m.layers, "mask": m.mask, "max_gain": m.max_gain}
    else:
        options = {
            "segments": [list(segment) for segment in m.segments],
            "channels": m.channels,
            "blocks": m.blocks,
            "shared_blocks": m.shared_blocks,
            "context": m.context,
            "max_gain": m.max_gain,
        }
        # Left out where they are not used: files of before they existed and after are the same.
        options |= {name: value for name in ("added_blocks", "past_frames") if (value := getattr(m, name))}
    return FrameDenoiser(m.network, sample_rate, m.fft, m.fft // 2, options, stored_as=m.stored_as, seed=seed, name="frame_denoiser")


def build_critic(model: DenoiserModel, seed: int) -> keras.Model:
    """Build the discriminator of waveforms [batch, samples, 1]."""
    return discriminators.multi_resolution(model.critic_resolutions, model.critic_channels, model.critic_band_edges, seed=seed)
