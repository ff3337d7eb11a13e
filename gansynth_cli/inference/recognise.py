"""Phones of a recording, by a model of the family phones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.audio import audio_file
from ..models.model_file import ModelFile
from ..signal.mel_frames import log_mel

_PIECE_SECONDS = 60.0  # recognised at once: bounds memory


def recognise_phones(found: ModelFile, path: Path) -> list[tuple[str, float, float]]:
    """Return the phones of a recording as (phone, start, end) in seconds; silence and every pause is "_".

    Raises:
        AudioFileError: It cannot be read.
        RunError: The model cannot be loaded.
    """
    model = found.load()
    c = model.convention
    audio, rate = audio_file.read(path)
    mono = audio_file.resample(audio.mean(axis=1), rate, c.sample_rate)
    piece = round(_PIECE_SECONDS * c.sample_rate / c.hop) * c.hop
    posteriors = [model.posteriors(log_mel(mono[start : start + piece], c)[: piece // c.hop]) for start in range(0, len(mono), piece)]
    period = c.hop / c.sample_rate
    return [(phone, start * period, end * period) for phone, start, end in model.decode(np.concatenate(posteriors))] if posteriors else []
