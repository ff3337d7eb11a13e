"""What families that clean recordings share: their previews, and the model of those that clean a window of samples at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np

from ..errors import DatasetError
from ..recipe_schema import Recipe

if TYPE_CHECKING:
    from ..data.pipeline import Source

PREVIEW_MIXTURES = 32  # noisy clips that are cleaned at every preview
_BATCH = 16


class EnhancementPreviews:
    """Previews of a family whose batches are pairs: fixed mixtures of the validation split, cleaned, beside noisy and clean.

    A subclass says how clips are cleaned (`enhance_clips`). `begin` is called by the trainer; see `family.BeginsWithData`.
    """

    recipe: Recipe
    _examples: dict[str, np.ndarray]

    def enhance_clips(self, networks: Mapping[str, keras.Model], noisy: np.ndarray) -> np.ndarray:
        """float32 [n, clip_samples, channels] -> the same shape, cleaned, as the shipped model would."""
        raise NotImplementedError

    def begin(self, source: Source) -> None:
        """Takes the first mixtures of the validation split (of the train split where there is none)."""
        split = "validation" if "validation" in source.splits else "train"
        batches = source.batches(self.recipe, split, seed=self.recipe.seed, batch_size=_BATCH, repeat=False, augment=False)
        taken = list(batches.take(-(-PREVIEW_MIXTURES // _BATCH)).as_numpy_iterator())
        if not taken or not {"clean", "noisy"} <= set(taken[0]):
            raise DatasetError(
                f"The data set {source.info.name} gives no pairs of clean and noisy clips, which {self.recipe.family} learns from.",
                hint="gan-audio prepare SPEECH... --noise NOISE... -o DATA and data.mixing.enabled = true, or prepare --layout pairs",
            )
        self._examples = {name: np.concatenate([batch[name] for batch in taken])[:PREVIEW_MIXTURES] for name in ("noisy", "clean")}

    def preview(self, networks: Mapping[str, keras.Model], clips: int) -> np.ndarray:
        """The mixtures, cleaned: float32 [n, samples, channels], n <= clips."""
        noisy = self._examples["noisy"][:clips]
        return np.concatenate([self.enhance_clips(networks, noisy[i : i + _BATCH]) for i in range(0, len(noisy), _BATCH)])

    def preview_companions(self, clips: int) -> Mapping[str, np.ndarray]:
        """ "noisy" and "clean" of the same clips."""
        return {name: examples[:clips] for name, examples in self._examples.items()}
