"""Mel spectrograms in `.npy` files, read piece by piece, and the conventions that are stated beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ... import files
from ...errors import AudioFileError
from ...signal.mel_convention import MelConvention

CONVENTION_FILE = "mel.json"  # convention of all .npy in its folder; `NAME.mel.json` beside `NAME.npy` is that of one
CHUNK_FRAMES = 512


class MelFile:
    """A mel spectrogram in a `.npy` file.

    Args:
        path: The file: floating point, [frames, bands] or [1, frames, bands].
        convention: Mel convention the vocoder was trained with, resolved. A convention stated beside the file is compared with it.
        transposed: The file holds [bands, frames].

    Attributes:
        frames: Number of frames.

    Raises:
        AudioFileError: It cannot be read, is no mel spectrogram, or has another convention.
    """

    def __init__(self, path: Path, convention: MelConvention, transposed: bool = False):
        from ...signal.mel_front_end import check_mel  # late, with TensorFlow

        self.path, self.convention, self.transposed = path, convention, transposed
        mel, bands = self._open(), convention.bands
        if not isinstance(mel, np.ndarray) or mel.dtype.kind != "f":
            raise AudioFileError(path, f"holds {getattr(mel, 'dtype', 'several arrays')}; expected floating-point numbers")
        shape = list(mel.shape[1:] if mel.ndim == 3 and mel.shape[0] == 1 else mel.shape)
        if len(shape) != 2:
            raise AudioFileError(path, f"has the shape {shape}; expected [frames, {bands}]")
        across, along = ("frames-mels", "mels-frames") if transposed else ("mels-frames", "frames-mels")
        self.frames, found = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        if found != bands and self.frames == bands:
            kind = f"frames x {bands} bands" if transposed else f"{bands} bands x frames"
            raise AudioFileError(path, f"has the shape {shape}, apparently {kind}, not {along}", hint=f"--mel-layout {across}")
        silence = np.broadcast_to(np.float32(convention.lowest), (self.frames, found))  # the values are checked piece by piece
        check_mel(silence, convention, stated_convention(path), path)

    def blocks(self, frames: int = CHUNK_FRAMES) -> Iterator[np.ndarray]:
        """Yield float32 [n, bands], n at most `frames`.

        Raises:
            AudioFileError: Values that no audio has under this convention.
        """
        from ...signal.mel_front_end import check_mel

        for start in range(0, self.frames, frames):
            mel = self._rows(start, start + frames)
            check_mel(mel, self.convention, name=self.path)
            yield mel

    def _open(self) -> np.ndarray:
        try:
            return files.load_array(self.path, mapped=True)
        except (OSError, ValueError) as error:
            about = (str(error).splitlines() or [type(error).__name__])[0]
            raise AudioFileError(self.path, f"cannot be read as .npy: {about}") from error

    def _rows(self, start: int, stop: int) -> np.ndarray:
        # Mapped again for each piece: pages that were read stay in the process as long as their mapping does.
        mel = self._open()
        mel = mel[0] if mel.ndim == 3 else mel
        return np.array(mel[:, start:stop].T if self.transposed else mel[start:stop], np.float32)


def stated_convention(path: Path) -> MelConvention | None:
    """Return the convention that `NAME.mel.json` beside `NAME.npy`, or `mel.json` in its folder, states; None without either."""
    for file in (path.with_suffix(".mel.json"), path.parent / CONVENTION_FILE):
        if file.is_file():
            try:
                values = json.loads(file.read_text(encoding="utf-8"))
                stated = MelConvention.from_dict(values)
            except (ValueError, TypeError, AttributeError, OSError) as error:
                raise AudioFileError(path, f"{file.name} beside it states no mel convention: {error}") from error
            return stated.resolved(stated.sample_rate) if stated.sample_rate else stated
    return None


def write_convention(folder: Path, convention: MelConvention) -> None:
    """State the convention of the `.npy` files in a folder, for `stated_convention`."""
    files.write_text(folder / CONVENTION_FILE, json.dumps(convention.to_dict(), indent=1) + "\n")
