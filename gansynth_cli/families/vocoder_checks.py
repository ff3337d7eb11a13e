"""Recipes of vocoders that cannot be trained."""

from __future__ import annotations

from ..errors import RecipeError
from ..recipe_schema import Recipe
from ..signal.mel_convention import MelConvention
from .mel_checks import loss_without_penalties
from .vocoder_schema import VocoderLosses, VocoderModel
from .vocoder_terms import TERMS, of_spectrum


def check_sizes(recipe: Recipe, model: VocoderModel, losses: VocoderLosses, conventions: tuple[MelConvention, MelConvention]) -> None:
    """Raise RecipeError for sizes that do not fit together.

    Args:
        recipe: The recipe, whose tables `model` and `losses` are.
        model, losses: Its `[model]` and `[losses]`.
        conventions: Of the network's input, and of the mel spectrograms that are compared.
    """
    data, m, (c, compared) = recipe.data, model, conventions
    if data.channels != 1:
        raise RecipeError(f"data.channels is {data.channels}; a vocoder has 1.", hint="--set data.channels=1")
    if c.sample_rate != data.sample_rate:
        raise RecipeError(
            f"model.mel.sample_rate is {c.sample_rate}, but data.sample_rate {data.sample_rate}.",
            hint="leave model.mel.sample_rate out",
        )
    if wrong := c.problems() or compared.problems():
        raise RecipeError(f"[model.mel] is no mel spectrogram: {'; '.join(wrong)}.")
    changed = {
        "peak_normalize": data.peak_normalize,
        "augment.gain_db": data.augment.gain_db,
        "augment.shift_samples": data.augment.shift_samples,
    }
    if m.given_mels and (wrong_keys := [key for key, value in changed.items() if value]):
        raise RecipeError(
            f"data.{wrong_keys[0]} changes the recordings; mel spectrograms that are given (model.given_mels) belong to them as they are.",
            hint="--set data.peak_normalize=false --set data.augment.gain_db=0 --set data.augment.shift_samples=0",
        )
    if data.clip_samples % c.hop:
        near = max(1, round(data.clip_samples / c.hop)) * c.hop
        raise RecipeError(
            f"data.clip_samples is {data.clip_samples}, no multiple of the hop of {c.hop} samples (model.mel.hop).",
            hint=f"--set data.clip_samples={near}",
        )
    seen = min(data.clip_samples, losses.critic_samples or data.clip_samples)
    longest = max([c.window, *(m.mrd.resolutions if "mrd" in m.discriminators else ())])
    if seen <= longest // 2 or data.clip_samples <= c.window // 2:
        raise RecipeError(
            f"data.clip_samples is {data.clip_samples} and losses.critic_samples {losses.critic_samples}; a transform of "
            f"{longest} samples mirrors half as many at each end, and needs more than those.",
            hint=f"--set data.clip_samples={-(-longest // c.hop) * c.hop} --set losses.critic_samples=0",
        )
    if len(set(m.discriminators)) != len(m.discriminators):
        raise RecipeError(f"model.discriminators is {list(m.discriminators)}; expected each kind once.")
    loss_without_penalties(recipe.adversarial, "the discriminators of a vocoder")


def check_losses(recipe: Recipe, model: VocoderModel, losses: VocoderLosses, *, gives_spectrum: bool, gives_sub_bands: bool) -> None:
    """Raise RecipeError for losses that this generator does not have, and for steps in which it would have none."""
    start, spectrum = recipe.adversarial.critic_start, of_spectrum(losses)
    if (spectrum or losses.sound_start) and not gives_spectrum:
        raise RecipeError(
            f"losses.spectrum_* and losses.sound_start are for generators of spectra; family {recipe.family!r} gives waveforms.",
            hint="leave them out, or use family vocos",
        )
    sub_bands = [name for name in TERMS.active(losses) if name.startswith("sub_band_")]
    if sub_bands and not gives_sub_bands:
        raise RecipeError(
            f"losses.{sub_bands[0]} has a weight, but this generator gives no sub-bands.",
            hint=f"--set losses.{sub_bands[0]}=0, or family melgan with --set model.bands=4",
        )
    if losses.sound_start and not spectrum:
        raise RecipeError(
            f"losses.sound_start is {losses.sound_start}, but no losses.spectrum_* has a weight: before that step there is "
            "nothing to learn.",
            hint="--set losses.spectrum_magnitude=1, or --set losses.sound_start=0",
        )
    if model.discriminators and start < losses.sound_start:
        raise RecipeError(
            f"adversarial.critic_start is {start}, before losses.sound_start, which is {losses.sound_start}: discriminators need "
            "waveforms.",
            hint=f"--set adversarial.critic_start={losses.sound_start}",
        )
    alone = not model.discriminators or start or losses.adversarial_every > 1
    if alone and not TERMS.active(losses):
        raise RecipeError(
            "No reconstruction loss has a weight, so the generator has nothing to learn while its discriminators do not judge it.",
            hint="--set losses.mel_l1=45, or --set adversarial.critic_start=0 --set losses.adversarial_every=1",
        )
