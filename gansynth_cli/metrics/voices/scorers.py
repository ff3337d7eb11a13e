"""Scorers of words that need no training data: PocketSphinx, or a Whisper model that the user has."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import MissingExtraError


@lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise MissingExtraError("The recogniser", "words") from error
    return Decoder(samprate=16000.0, loglevel="FATAL")


def recogniser_installed() -> bool:
    """Return whether `recognise` can be used."""
    try:
        _decoder()
    except (MissingExtraError, RuntimeError):
        return False
    return True


def recognise(audio: np.ndarray, sample_rate: int, whisper: str = "") -> str:
    """Recognise speech [samples]: by the Whisper model in a folder, in any language, or else English by PocketSphinx, which is weak.

    Raises:
        MissingExtraError: The recogniser is not installed.
    """
    if whisper:
        from ..pairs.learned import RATE, whisper_words

        return " ".join(whisper_words(audio_file.resample(np.asarray(audio, np.float32), sample_rate, RATE), whisper)[0])
    decoder = _decoder()
    audio = np.pad(audio_file.resample(np.asarray(audio, np.float32), sample_rate, 16000), 3200)
    decoder.start_utt()
    decoder.process_raw((np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""
