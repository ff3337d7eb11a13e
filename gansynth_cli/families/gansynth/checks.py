"""Sizes that a GANSynth recipe cannot have."""

from __future__ import annotations

from ...errors import RecipeError
from ...recipe_schema import Recipe
from .schema import GANSynthModel


def check_sizes(model: GANSynthModel, recipe: Recipe) -> None:
    """Raise RecipeError for sizes and settings that no GANSynth has."""
    m, data, adversarial = model, recipe.data, recipe.adversarial
    if data.channels != 1:
        raise RecipeError(f"data.channels is {data.channels}; GANSynth generates notes of one channel.", hint="--set data.channels=1")
    if m.fft % 2 or 2 * m.hop > m.fft:
        raise RecipeError(f"model.fft is {m.fft} and model.hop {m.hop}; expected an even fft and a hop of at most half of it.")
    most = (m.frames - 1) * m.hop + m.fft
    if not most // 2 < data.clip_samples <= most:
        raise RecipeError(
            f"{m.frames} frames (model.frames) of {m.fft} samples every {m.hop} hold up to {most} samples, and are too many for "
            f"{most // 2}; data.clip_samples is {data.clip_samples}.",
            hint=f"--set data.clip_samples={(m.frames - 1) * m.hop}, or --set model.frames={-(-data.clip_samples // m.hop) + 1}",
        )
    parts, bins = 2 ** (m.levels - 1), m.mel_bands or m.fft // 2
    if m.frames % parts or bins % parts:
        raise RecipeError(
            f"A spectrogram of {m.frames} frames x {bins} bins cannot be halved {m.levels - 1} times (model.levels = {m.levels}); "
            f"expected multiples of {parts}.",
            hint="choose model.frames and model.fft / 2 (or model.mel_bands) as powers of two, or fewer model.levels",
        )
    if m.network == "strided" and m.levels < 2:
        raise RecipeError("model.levels is 1; a strided network needs at least 2.", hint="--set model.levels=5")
    if adversarial.critic_start:
        raise RecipeError(
            "adversarial.critic_start is set; GANSynth's discriminator is trained from the first step.",
            hint="--set adversarial.critic_start=0",
        )
    if adversarial.r1 and m.growth == "progressive":
        raise RecipeError("adversarial.r1 is set, which growth = 'progressive' does not have.", hint="--set adversarial.r1=0")
