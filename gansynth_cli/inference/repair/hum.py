"""Mains hum of 50 or 60 Hz: find it, and remove it with narrow notches at its harmonics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...signal.hum import FRAME_SECONDS, HOP_SECONDS, MAX_HZ, MIN_FRAMES, STEP_HZ, find_hum, notches
from .findings import RepairStep

_MAX_FRAMES = 256
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class HumFinding:
    """Hum of a recording.

    Attributes:
        fundamental: Hz; 0 without hum.
        lines: Number of a harmonic that stands out -> by how many dB.
        short: The recording is too short to tell.
    """

    fundamental: float
    lines: dict[int, float]
    short: bool = False

    def __bool__(self) -> bool:
        return bool(self.lines)

    def summary(self) -> str:
        if not self:
            return ""
        lines = f"{len(self.lines)} line{'s' * (len(self.lines) != 1)}"
        return f"hum of {self.fundamental:.2f} Hz, {lines} up to {max(self.lines.values()):.0f} dB above the surroundings"

    def to_json(self) -> dict[str, Any]:
        lines = [{"hz": round(k * self.fundamental, 2), "height_db": round(height, 1)} for k, height in self.lines.items()]
        short = {"reason": f"shorter than {FRAME_SECONDS + MIN_FRAMES * HOP_SECONDS:g} s"} if self.short else {}
        return {"found": bool(self), "fundamental_hz": round(self.fundamental, 3), "lines": lines, **short}


class HumSurvey:
    """Keeps the low spectra of at most 256 frames, evenly spread over the recording; channels add up."""

    def __init__(self, channels: int, sample_rate: int):
        self._size, self._hop = round(FRAME_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
        self._fft = round(sample_rate / STEP_HZ)
        self._bins = min(self._fft // 2, round(MAX_HZ / STEP_HZ) + 64)
        self._window = np.hanning(self._size)
        self._rest = np.zeros((channels, 0))
        self._before: np.ndarray | None = None
        self._frames: list[np.ndarray] = []
        self._stride, self._count = 1, 0

    def add(self, audio: np.ndarray) -> None:
        self._rest = np.concatenate([self._rest, np.nan_to_num(audio, posinf=0.0, neginf=0.0)], axis=1)
        while self._rest.shape[1] >= self._size:
            # The spectrum before is needed only where this frame or the next one is kept.
            if self._count % self._stride == 0 or (self._count + 1) % self._stride == 0:
                spectrum = np.fft.rfft(self._rest[:, : self._size] * self._window, self._fft)[:, : self._bins]
                if self._count % self._stride == 0 and self._before is not None:
                    self._keep((spectrum * np.conj(self._before)).sum(axis=0).astype(np.complex64))
                self._before = spectrum
            self._count += 1
            self._rest = self._rest[:, self._hop :]

    def _keep(self, product: np.ndarray) -> None:
        self._frames.append(product)
        if len(self._frames) > _MAX_FRAMES:
            self._frames, self._stride = self._frames[::2], 2 * self._stride

    def finish(self) -> HumFinding:
        if len(self._frames) < MIN_FRAMES:
            return HumFinding(0.0, {}, short=True)
        return HumFinding(*find_hum(np.stack(self._frames)))


class HumStep(RepairStep):
    """Remove hum with a notch at each harmonic that stands out."""

    def survey(self, channels: int, sample_rate: int, name: str = "") -> HumSurvey:
        return HumSurvey(channels, sample_rate)

    def stream(self, finding: HumFinding, channels: int, sample_rate: int) -> HumStream:
        return HumStream(notches(finding.fundamental, list(finding.lines), sample_rate), channels, sample_rate)


class HumStream:
    """Runs the notches, once they have settled on the first second played backwards."""

    def __init__(self, sections: np.ndarray, channels: int, sample_rate: int):
        self._sections = sections
        self._settle = round(_SETTLE_SECONDS * sample_rate)
        self._state: np.ndarray | None = None
        self._held: np.ndarray = np.zeros((channels, 0))

    def process(self, audio: np.ndarray) -> np.ndarray:
        if self._state is not None:
            return self._filter(audio)
        self._held = np.concatenate([self._held.astype(audio.dtype), audio], axis=1)
        return self._begin() if self._held.shape[1] > self._settle else audio[:, :0]

    def finish(self) -> np.ndarray:
        return self._begin() if self._state is None and self._held.shape[1] else self._held[:, :0]

    def _begin(self) -> np.ndarray:
        # Mirrored about its first sample, the audio goes on smoothly, and the notches ring before the beginning instead of after it.
        held, self._held = self._held, self._held[:, :0]
        mirrored = 2 * held[:, :1] - held[:, self._settle : 0 : -1]
        self._state = np.zeros((len(self._sections), len(held), 2))
        self._filter(mirrored)
        return self._filter(held)

    def _filter(self, audio: np.ndarray) -> np.ndarray:
        from scipy.signal import sosfilt

        if not audio.shape[1]:
            return audio
        out, self._state = sosfilt(self._sections, audio, axis=1, zi=self._state)
        return out.astype(audio.dtype)
