"""What the recipe of a vocoder may not ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RecipeError

if TYPE_CHECKING:
    from .vocoder import VocoderFamily


def check_vocoder(family: VocoderFamily) -> None:
    """Raises RecipeError for sizes that do not fit together, and for critics or losses that cannot work on such clips."""
    data, c, m = family.recipe.data, family.convention, family.model
    if data.channels != 1:
        raise RecipeError(f"data.channels is {data.channels}; a vocoder has 1.", hint="--set data.channels=1")
    if c.sample_rate != data.sample_rate:
        raise RecipeError(
            f"model.mel.sample_rate is {c.sample_rate}, but data.sample_rate {data.sample_rate}.",
            hint="leave model.mel.sample_rate out",
        )
    if wrong := c.problems() or family.loss_convention.problems():
        raise RecipeError(f"[model.mel] is no mel spectrogram: {'; '.join(wrong)}.")
    if data.clip_samples % c.hop:
        near = max(1, round(data.clip_samples / c.hop)) * c.hop
        raise RecipeError(
            f"data.clip_samples is {data.clip_samples}, no multiple of the hop of {c.hop} samples (model.mel.hop).",
            hint=f"--set data.clip_samples={near}",
        )
    seen = min(data.clip_samples, family.weights.critic_samples or data.clip_samples)
    longest = max([c.window, *(m.mrd.resolutions if "mrd" in m.discriminators else ())])
    if seen <= longest // 2 or data.clip_samples <= c.window // 2:
        raise RecipeError(
            f"data.clip_samples is {data.clip_samples} and losses.critic_samples {family.weights.critic_samples}; a transform of "
            f"{longest} samples mirrors half as many at each end, and needs more than those.",
            hint=f"--set data.clip_samples={-(-longest // c.hop) * c.hop} --set losses.critic_samples=0",
        )
    if len(set(m.discriminators)) != len(m.discriminators):
        raise RecipeError(f"model.discriminators is {list(m.discriminators)}; expected each kind once.")
    if family.game.gradient_penalty or family.game.weight_clip or family.recipe.adversarial.r1:
        raise RecipeError(
            f"adversarial.loss is {family.recipe.adversarial.loss!r}, r1 {family.recipe.adversarial.r1:g}; the critics of a vocoder take a "
            "loss without penalties.",
            hint="--set adversarial.loss=hinge (or lsgan, nonsaturating, minimax) --set adversarial.r1=0",
        )
    _check_losses(family)


def _check_losses(family: VocoderFamily) -> None:
    w, m, start = family.weights, family.model, family.recipe.adversarial.critic_start
    spectrum = (w.spectrum_magnitude, w.spectrum_convergence, w.spectrum_mel, w.spectrum_disturbance)
    sound = (w.mel_l1, w.mel_l2, w.stft_convergence, w.stft_magnitude, w.sub_band_convergence, w.sub_band_magnitude, w.waveform_l1)
    if (any(spectrum) or w.sound_start) and not family.gives_spectrum:
        raise RecipeError(
            f"losses.spectrum_* and losses.sound_start are for generators of spectra; family {family.recipe.family!r} gives sound.",
            hint="leave them out, or use family vocos",
        )
    if w.sound_start and not any(spectrum):
        raise RecipeError(
            f"losses.sound_start is {w.sound_start}, but no losses.spectrum_* has a weight: before that step there is nothing to learn.",
            hint="--set losses.spectrum_magnitude=1, or --set losses.sound_start=0",
        )
    if m.discriminators and start < w.sound_start:
        raise RecipeError(
            f"adversarial.critic_start is {start}, before losses.sound_start, which is {w.sound_start}: critics judge sound.",
            hint=f"--set adversarial.critic_start={w.sound_start}",
        )
    if not any((*sound, *spectrum, w.disturbance)):
        alone = not m.discriminators or start or w.adversarial_every > 1
        if alone:
            raise RecipeError(
                "No reconstruction loss has a weight, so the generator has nothing to learn while its critics do not judge it.",
                hint="--set losses.mel_l1=45, or --set adversarial.critic_start=0 --set losses.adversarial_every=1",
            )


def check_upsampling(factors: Sequence[int], hop: int, key: str = "model.upsample") -> None:
    """Raises RecipeError unless the factors' product is the hop."""
    product = int(np.prod(factors))
    if product != hop:
        raise RecipeError(
            f"{key} multiplies to {product} samples a frame ({' x '.join(map(str, factors))}), but model.mel.hop is {hop}.",
            hint="choose factors whose product is the hop",
        )
