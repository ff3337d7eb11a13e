"""Judges that are networks and come as optional packages: DistillMOS, and word errors by a Whisper model that the user has."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...data.text.edit_distance import edit_distance
from ...errors import GanAudioError, MissingExtraError, UsageError
from ..figure import MetricError
from .waveform import as_pair

RATE = 16000
_MIN_SECONDS = 0.5
_WHISPER_FILES = ("model.bin", "config.json")


def distill_mos(estimate: np.ndarray, sample_rate: int) -> float:
    """Predict the mean opinion score of a recording without a reference, package `distillmos`. Stahl and Gamper 2025.

    About 1 to 5, higher is better; saturates above 4.4. The package cuts a recording into windows of 7.7 s and averages them.

    Args:
        estimate: float [samples].
        sample_rate: Exactly 16,000.

    Raises:
        MetricError: Another rate, under half a second, NaN samples, silence.
        MissingExtraError: `distillmos`, or PyTorch, is not installed.
        GanAudioError: They are, and cannot be loaded.
    """
    estimate = _checked(estimate, sample_rate, "DistillMOS")
    model, torch = _distill_mos_model()
    with torch.inference_mode():
        return float(model(torch.from_numpy(np.clip(estimate, -1.0, 1.0))[None])[0, 0])


@lru_cache(maxsize=1)
def _distill_mos_model() -> tuple[Any, Any]:
    try:
        import distillmos
        import torch
    except ImportError as error:
        raise MissingExtraError("DistillMOS", "judges") from error
    except OSError as error:  # PyTorch and torchaudio of different builds
        hint = "install torch and torchaudio of one release and one kind (CPU or CUDA)"
        raise GanAudioError(f"DistillMOS is installed but cannot be loaded: {error}.", hint=hint) from error
    with redirect_stdout(sys.stderr):  # it prints where its weights are
        model = distillmos.ConvTransformerSQAModel()
    model.eval()
    return model, torch


def check_whisper(folder: Path) -> None:
    """Raise UsageError unless a folder holds a Whisper model in the format of CTranslate2."""
    missing = [name for name in _WHISPER_FILES if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"--whisper {folder} is no Whisper model for faster-whisper: it has no {' and no '.join(missing)}.",
            hint="a folder with model.bin, config.json, tokenizer.json; ct2-transformers-converter makes one of a published model",
        )


def word_error_rate(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, whisper: str) -> float:
    """Compute the word error rate of a recording against the words that the same recogniser hears in the reference.

    Substitutions, deletions and insertions over the number of words in the reference: 0 for the same words; above 1 where many are
    inserted. Words are compared in lower case and without punctuation; the language is the one detected in the reference. A recogniser
    makes up words in noise and silence, so figures are means over many files.

    Args:
        reference, estimate: float [samples].
        sample_rate: Exactly 16,000.
        whisper: Folder of the model, in the format of CTranslate2.

    Raises:
        MetricError: Another rate, under half a second, a silent signal, or no word in the reference.
        MissingExtraError: `faster-whisper` is not installed.
        UsageError: `whisper` is no such folder.
    """
    reference, estimate = _checked(reference, sample_rate, "WER"), _checked(estimate, sample_rate, "WER")
    wanted, language = whisper_words(reference, whisper)
    if not wanted:
        raise MetricError("no word is recognised in the reference")
    found, _ = whisper_words(estimate, whisper, language)
    return edit_distance(wanted, found) / len(wanted)


@lru_cache(maxsize=1)
def _whisper_model(folder: str) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise MissingExtraError("WER", "judges") from error
    check_whisper(Path(folder))
    return WhisperModel(folder, device="cpu", compute_type="int8", local_files_only=True)


def whisper_words(audio: np.ndarray, whisper: str, language: str | None = None) -> tuple[list[str], str]:
    """Recognise speech [samples] at 16 kHz: (words in lower case, without punctuation; language, detected where none is given).

    Raises:
        MissingExtraError: `faster-whisper` is not installed.
        UsageError: `whisper` is no folder of a model.
    """
    model = _whisper_model(whisper)
    segments, info = model.transcribe(audio, language=language, beam_size=5, condition_on_previous_text=False)
    text = " ".join(segment.text for segment in segments).lower()
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text), info.language


def _checked(audio: np.ndarray, sample_rate: int, title: str) -> np.ndarray:
    if sample_rate != RATE:
        raise MetricError(f"{title} is defined at {RATE} Hz, not at {sample_rate}")
    audio = np.asarray(audio, np.float32)
    as_pair(np.ones_like(audio), audio)
    if len(audio) < _MIN_SECONDS * sample_rate:
        raise MetricError(f"too short for {title}: under {_MIN_SECONDS:g} s")
    return audio
