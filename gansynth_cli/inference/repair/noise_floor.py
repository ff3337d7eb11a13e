"""Levels of a recording: its loud parts and its noise floor, for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_FRAME_SECONDS = 0.02
_LOWEST_DB, _STEP_DB = -120.0, 0.5
_FLOOR, _LOUD = 0.05, 0.95  # quantiles over frames


@dataclass(frozen=True)
class NoiseFloorFinding:
    """Levels in dBFS (RMS of 20 ms): the quantiles 0.05 and 0.95 over all frames; NaN for less than a frame."""

    floor_db: float
    loud_db: float

    def __bool__(self) -> bool:
        return bool(np.isfinite(self.floor_db))

    def summary(self) -> str:
        return f"noise floor {self.floor_db:.0f} dBFS, {self.loud_db - self.floor_db:.0f} dB below the loud parts" if self else ""

    def to_json(self) -> dict[str, Any]:
        return {"noise_floor_dbfs": round(self.floor_db, 1), "loud_dbfs": round(self.loud_db, 1)} if self else {}


class NoiseFloorSurvey:
    """Counts the levels of frames, mean power over the channels."""

    def __init__(self, sample_rate: int):
        self._frame = max(1, round(_FRAME_SECONDS * sample_rate))
        self._counts = np.zeros(round(-_LOWEST_DB / _STEP_DB) + 13, np.int64)
        self._rest = np.zeros(0)

    def add(self, audio: np.ndarray) -> None:
        power = np.mean(np.nan_to_num(audio.astype(np.float64), posinf=0.0, neginf=0.0) ** 2, axis=0)
        power = np.concatenate([self._rest, power])
        whole = len(power) // self._frame * self._frame
        self._rest = power[whole:]
        level = 10 * np.log10(power[:whole].reshape(-1, self._frame).mean(axis=1) + 1e-12)
        np.add.at(self._counts, np.clip(np.rint((level - _LOWEST_DB) / _STEP_DB).astype(int), 0, len(self._counts) - 1), 1)

    def finish(self) -> NoiseFloorFinding:
        total = np.cumsum(self._counts)
        if not total[-1]:
            return NoiseFloorFinding(float("nan"), float("nan"))
        floor, loud = (_LOWEST_DB + _STEP_DB * int(np.searchsorted(total, share * total[-1])) for share in (_FLOOR, _LOUD))
        return NoiseFloorFinding(floor, loud)
