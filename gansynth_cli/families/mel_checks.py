"""Recipes of families that train on clips of mel spectrograms and cannot be trained."""

from __future__ import annotations

from ..errors import RecipeError
from ..losses.adversarial import LOSSES, AdversarialLoss
from ..recipe_schema import Adversarial
from ..signal.mel_convention import MelConvention

_FRAMES = 4  # networks that halve the time axis twice need whole fours of frames


def check_mel_clips(clip_samples: int, convention: MelConvention) -> None:
    """Raise RecipeError where a convention is no mel spectrogram, or a clip is no whole number of four of its frames.

    Args:
        clip_samples: `data.clip_samples`.
        convention: `[model.mel]`, resolved.
    """
    if wrong := convention.problems():
        raise RecipeError(f"model.mel is no mel spectrogram: {'; '.join(wrong)}.", hint="gan-audio recipes show --resolved NAME")
    unit = _FRAMES * convention.hop
    if clip_samples % unit:
        raise RecipeError(
            f"data.clip_samples is {clip_samples}, no multiple of four hops of {convention.hop} samples (model.mel.hop).",
            hint=f"--set data.clip_samples={max(1, round(clip_samples / unit)) * unit}",
        )


def loss_without_penalties(settings: Adversarial, whose: str) -> AdversarialLoss:
    """Return the loss that `[adversarial]` names.

    Args:
        settings: `[adversarial]`.
        whose: Names the discriminators in the message.

    Raises:
        RecipeError: A loss with a gradient penalty or weight clipping, or an R1 penalty.
    """
    loss = LOSSES[settings.loss]
    if loss.gradient_penalty or loss.weight_clip or settings.r1:
        raise RecipeError(
            f"adversarial.loss is {settings.loss!r}, r1 {settings.r1:g}; {whose} take a loss without penalties.",
            hint="--set adversarial.loss=lsgan (or hinge, nonsaturating, minimax) --set adversarial.r1=0",
        )
    return loss
