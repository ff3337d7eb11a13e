"""Vocoders, found and described without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from ...models.model_file import VOCODERS, ModelFile, bundled_model, find_model
from ...signal.mel_convention import MelConvention


def find_vocoder(model: Path | str | None = None) -> ModelFile:
    """Return the vocoder of a run folder, a `.keras` file or a bundled model's name; None: the bundled vocoder. Loads nothing.

    Raises:
        RunError: There is none, or it is a model of another kind.
    """
    return find_model(bundled_model("vocoder") if model is None else model, VOCODERS, "vocode mel spectrograms")


def convention_of(model: ModelFile) -> MelConvention:
    """Return the mel convention that a saved vocoder was trained with."""
    return MelConvention.from_dict(model.config["convention"])
