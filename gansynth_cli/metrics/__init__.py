"""Metrics of generated clips and notes, of pairs of recordings, and of converted voices: a function for each sub-command of `evaluate`.

The functions are imported on first use, so that a metric on arrays (`metrics.clips.distribution`, `metrics.pairs.waveform`) loads no
TensorFlow. `evaluate_vocoders` needs inference and is in `inference.vocode.copy_synthesis`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FUNCTIONS = {
    "evaluate_clips": "clips.report",
    "evaluate_notes": "clips.note_report",
    "evaluate_pairs": "pairs.report",
    "evaluate_voices": "voices.report",
}
__all__ = list(_FUNCTIONS)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(f".{_FUNCTIONS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
