"""Scorers of voice and words that need no training data: a speaker encoder, and a speech recogniser."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import GanAudioError, MissingExtraError

# Resemblyzer asks for webrtcvad, which has no wheels and needs a setuptools of before 2025; webrtcvad-wheels is the same module.
SPEAKERS_HINT = "pip install torch librosa && pip install --no-deps resemblyzer webrtcvad-wheels"


@lru_cache(maxsize=1)
def _encoder() -> Any:
    try:
        from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise GanAudioError("The speaker encoder is not installed.", hint=SPEAKERS_HINT) from error
    return VoiceEncoder("cpu", verbose=False)


def speaker_encoder_installed() -> bool:
    """Return whether `speaker_vector` can be used."""
    try:
        _encoder()
    except (GanAudioError, OSError, RuntimeError):
        return False
    return True


def speaker_vector(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Compute Resemblyzer's d-vector of a recording [samples]: [256], of length 1 (GE2E, Wan et al. 2018). Cosines of one speaker are
    about 0.8.

    Raises:
        GanAudioError: It is not installed.
    """
    from resemblyzer import preprocess_wav

    encoder = _encoder()
    audio = np.asarray(audio, np.float32)
    prepared = preprocess_wav(audio, source_sr=sample_rate)
    return encoder.embed_utterance(prepared if len(prepared) > 4000 else audio)


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


def recognise(audio: np.ndarray, sample_rate: int) -> str:
    """Recognise English speech [samples] with PocketSphinx's own model; a weak recogniser: compare differences only.

    Raises:
        MissingExtraError: It is not installed.
    """
    decoder = _decoder()
    audio = np.pad(audio_file.resample(np.asarray(audio, np.float32), sample_rate, 16000), 3200)
    decoder.start_utt()
    decoder.process_raw((np.clip(audio, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""
