"""The sounds of a report: cut, brought to one level, encoded, and drawn."""

from __future__ import annotations

import base64
import io
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...data.audio import audio_file
from ..generate.contact_sheet import heat, mel_weights, window_length

ACTIVE_DB = 40.0  # frames this far below the loudest are pauses, and do not count for the level
TARGET_DBFS = -23.0  # of the active frames; less where a peak would exceed PEAK_DBFS
PEAK_DBFS = -1.0
PICTURE = (320, 96)  # pixels
_FRAME_SECONDS = 0.02
_SILENT = 1e-5


@dataclass(frozen=True)
class Sound:
    """A recording in memory.

    Attributes:
        audio: float32 [samples, channels].
        rate: Hz.
        seconds: Length of the whole recording; `audio` may be its beginning.
    """

    audio: np.ndarray
    rate: int
    seconds: float

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning is here."""
        return len(self.audio) < round(self.seconds * self.rate) - 1

    @property
    def level_dbfs(self) -> float | None:
        """Root mean square of the frames of 20 ms within 40 dB of the loudest one, dB below full scale; None for silence."""
        power = np.square(self.audio.astype(np.float64)).mean(axis=1)
        size = max(1, min(len(power), round(_FRAME_SECONDS * self.rate)))
        frames = power[: len(power) // size * size].reshape(-1, size).mean(axis=1)
        loudest = frames.max(initial=0.0)
        if loudest <= _SILENT**2:
            return None
        return 10 * math.log10(frames[frames >= loudest * 10 ** (-ACTIVE_DB / 10)].mean())

    @property
    def headroom_db(self) -> float:
        """Gain that brings the highest peak to `PEAK_DBFS`."""
        return PEAK_DBFS - 20 * math.log10(max(float(np.abs(self.audio).max(initial=0.0)), 1e-9))


def read_sound(path: Path, most_seconds: float) -> Sound:
    """Decode the beginning of a recording.

    Raises:
        AudioFileError: It cannot be decoded.
    """
    info = audio_file.probe(path)
    audio, rate = audio_file.read(path, frames=max(1, round(most_seconds * info.sample_rate)))
    return Sound(audio, rate, info.frames / info.sample_rate)


def matched_gains(sounds: list[Sound]) -> list[float]:
    """Return gains in dB that bring the sounds of an item to one level, the highest up to `TARGET_DBFS` at which none exceeds
    `PEAK_DBFS`; 0 for silence."""
    levels = [sound.level_dbfs for sound in sounds]
    reachable = [level + sound.headroom_db for level, sound in zip(levels, sounds, strict=True) if level is not None]
    target = min([TARGET_DBFS, *reachable])
    return [0.0 if level is None else target - level for level in levels]


def encoded(sound: Sound, gain_db: float) -> bytes:
    """Return the sound with a gain as FLAC of 16 bits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.flac"
        audio_file.write(path, np.clip(sound.audio * np.float32(10 ** (gain_db / 20)), -1, 1), sound.rate, durable=False)
        return path.read_bytes()


def power_picture(sound: Sound, seconds: float) -> np.ndarray:
    """Return the power of a mel-spaced spectrogram, float64 [rows, columns]; all pictures of `seconds` share the time axis."""
    width, height = PICTURE
    columns = max(1, round(width * len(sound.audio) / sound.rate / seconds))
    fft = window_length(sound.rate)
    mono = np.pad(sound.audio.mean(axis=1).astype(np.float64), fft // 2)
    starts = ((np.arange(columns) + 0.5) / columns * len(sound.audio)).astype(int)
    frames = mono[starts[:, None] + np.arange(fft)] * np.hanning(fft + 1)[:-1]
    power = mel_weights(fft, sound.rate, height) @ (np.abs(np.fft.rfft(frames)) ** 2).T
    return np.pad(power, ((0, 0), (0, max(0, width - columns))))[:, :width]


def png(power: np.ndarray, reference: float) -> bytes:
    """Draw a spectrogram from `reference` to 80 dB below as PNG of 64 colours."""
    content = io.BytesIO()
    Image.fromarray(heat(power, reference)).quantize(64).save(content, "PNG", optimize=True)
    return content.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """Return content as an address that a page holds itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
