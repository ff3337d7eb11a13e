"""Recordings as streams of blocks for edits: a part of each, at one rate and number of channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file, audio_stream
from ...errors import AudioFileError, UsageError
from ..files.provenance import SOFTWARE, with_provenance
from ..files.task import block_frames


def part_of(
    path: Path, *, start: float = 0.0, end: float | None = None, sample_rate: int | None = None, channels: int | None = None
) -> Iterator[np.ndarray]:
    """Read a part of a recording in blocks.

    Args:
        path: The file.
        start, end: Seconds; None: to its end.
        sample_rate, channels: Convert to these; None keeps the file's.

    Yields:
        float [n, channels]; bit for bit the file's samples where nothing is converted.

    Raises:
        AudioFileError: It cannot be read, or the part is empty.
    """
    with audio_stream.open_reader(path) as reader:
        rate = reader.info.sample_rate
        first, last = round(start * rate), None if end is None else round(end * rate)

        def cut() -> Iterator[np.ndarray]:
            place = 0
            for block in reader.blocks(block_frames(rate)):
                low, high = max(0, first - place), len(block) if last is None else min(len(block), last - place)
                place += len(block)
                if low < high:
                    yield block[low:high] if channels is None else audio_file.to_channels(block[low:high], channels)
                if last is not None and place >= last:
                    break

        empty = True
        same = sample_rate in (None, rate)
        for block in cut() if same else audio_file.resampled_blocks((part.astype(np.float32) for part in cut()), rate, sample_rate or rate):
            empty = False
            yield block
        if empty:
            raise AudioFileError(path, f"holds nothing from {start:g} s" + (f" to {end:g} s" if end is not None else ""))


class HoldBack:
    """Passes blocks on, but for the last samples.

    Args:
        blocks: float [n, channels].
        samples: Number of samples to hold back.

    Attributes:
        rest: Those samples, or fewer, once all blocks have passed.
    """

    def __init__(self, blocks: Iterable[np.ndarray], samples: int):
        self._blocks, self._samples = blocks, samples
        self.rest = np.zeros((0, 1), np.float32)

    def __iter__(self) -> Iterator[np.ndarray]:
        held: np.ndarray | None = None
        for block in self._blocks:
            held = block if held is None else np.concatenate([held, block])
            if len(held) > self._samples:
                cut = len(held) - self._samples
                yield held[:cut]
                held = held[cut:]
        if held is not None:
            self.rest = held


def take(blocks: Iterator[np.ndarray], samples: int) -> np.ndarray:
    """Take at least `samples` from blocks, if there are that many; the rest stays in them."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < samples and (block := next(blocks, None)) is not None:
        parts.append(block)
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def writer_like(path: Path, info: audio_file.AudioInfo, facts: dict[str, Any], *, channels: int, sample_rate: int, overwrite: bool):
    """Open an output file with the encoding of a recording, as far as its suffix allows.

    Raises:
        UsageError: A suffix that cannot be written, or the output is a folder.
    """
    if path.is_dir():
        raise UsageError(f"The output {path} is a folder; expected a file.", hint=f"-o {path}/out.wav")
    container, subtype = audio_stream.format_for(path, info.subtype)
    tags = with_provenance({}, {"edited_by": SOFTWARE, **facts})
    return audio_stream.Writer(path, sample_rate, channels, subtype=subtype, container=container, tags=tags, overwrite=overwrite)
