"""Recipes of families that train on clips of mel spectrograms and cannot be trained."""

from __future__ import annotations

from ..errors import RecipeError
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
