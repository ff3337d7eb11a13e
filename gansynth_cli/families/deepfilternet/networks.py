"""Sizes of the deep-filtering denoisers, and the network built from them."""

from __future__ import annotations

from ...models.deep_filter_denoiser import DeepFilterDenoiser
from ...models.deep_filter_settings import DeepFilterSettings

PUBLISHED = DeepFilterSettings()
# Half the widths: 27 % of the operations, 541 thousand parameters. Without the estimate of the signal-to-noise ratio, which nothing uses.
HALF = DeepFilterSettings(channels=32, hidden=128, snr_head=False)
TINY = DeepFilterSettings(channels=8, hidden=32, band_layers=1, filter_layers=1, snr_head=False)


def build_network(settings: DeepFilterSettings = PUBLISHED, seed: int = 0, stored_as: str = "float32") -> DeepFilterDenoiser:
    """Build a denoiser with initial weights drawn from `seed`."""
    return DeepFilterDenoiser(settings, stored_as=stored_as, seed=seed, name="deep_filter_denoiser")
