"""Bandwidth extenders from the sizes of a recipe."""

from __future__ import annotations

import keras

from ...layers import discriminators
from ...layers.spectral_discriminators import spectral
from ...models.bandwidth_extender import BandwidthExtender
from ...models.bandwidth_settings import BandwidthSettings
from .schema import BandwidthModel


def build_network(model: BandwidthModel, sample_rate: int, seed: int) -> BandwidthExtender:
    """Build the generator with first weights drawn from `seed`."""
    names = ("network", "channels", "hidden", "blocks", "input_bands", "fft", "window", "hop")
    settings = BandwidthSettings(sample_rate=sample_rate, **{name: getattr(model, name) for name in names})
    return BandwidthExtender(settings, stored_as=model.stored_as, seed=seed, name="bandwidth_extender")


def build_critics(model: BandwidthModel, seed: int) -> keras.Model:
    """Build the discriminators: audio [batch, samples, 1] -> {name: (logits, features)}."""
    m = model
    if m.critic == "multi-resolution":
        critics = {"spectra": discriminators.multi_resolution(m.critic_resolutions, m.critic_channels, m.critic_band_edges, seed=seed)}
    else:
        critics = {
            "periods": discriminators.multi_period(channels=max(1, m.critic_channels // 2), initializer="torch", seed=seed),
            "amplitude": spectral("amplitude", channels=m.critic_channels, seed=seed + 1),
            "phase": spectral("phase", channels=m.critic_channels, seed=seed + 2),
        }
    return discriminators.join(critics)
