"""Enhance audio that comes in blocks: the one path of files, pipes, live audio and arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import soxr

from ...data.audio.audio_stream import resampled_frames
from ..arrays import blocks_of, joined
from ..files.task import check_rate
from ..repair.findings import Stream
from .enhancers import Enhancer, EnhancerStream
from .options import EnhanceOptions

START_SECONDS = 0.25  # of a file; see `EnhancerStream`


def open_stream(enhancer: Enhancer, channels: int, sample_rate: int, options: EnhanceOptions, *, live: bool = False) -> EnhancerStream:
    """Begin a stream with the options of `enhance`: `strength_db`, `mix`, `per_channel` and `passes` count.

    Raises:
        GanAudioError: A sample rate outside `files.task.SAMPLE_RATES`.
    """
    check_rate(sample_rate)
    return enhancer.stream(
        channels,
        sample_rate=sample_rate,
        shared=not options.per_channel,
        strength_db=options.strength_db,
        mix=options.mix,
        passes=options.passes,
        live=live,
        start_seconds=START_SECONDS if enhancer.masks and not live else 0.0,
    )


class Chain:
    """Streams one behind the other, as one stream.

    Args:
        streams: Each takes [channels, n] in `process`, and returns as many samples as it takes.
    """

    def __init__(self, streams: Sequence[Stream]):
        self._streams = streams

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [channels, n] -> float [channels, m], for the samples after those returned so far; m may be 0."""
        return self._through(audio, self._streams)

    def finish(self) -> np.ndarray | None:
        """Return the rest; None if there is none."""
        parts: list[np.ndarray] = []
        for index, stream in enumerate(self._streams):
            rest = stream.finish()
            parts = [*parts, rest]
            parts = [self._through(part, self._streams[index + 1 : index + 2]) for part in parts if part.shape[1]]
        return np.concatenate(parts, axis=1) if parts else None

    @staticmethod
    def _through(audio: np.ndarray, streams: Sequence[Stream]) -> np.ndarray:
        for stream in streams:
            audio = stream.process(audio) if audio.shape[1] else audio
        return audio


def enhance_blocks(blocks: Iterable[np.ndarray], stream: Stream | Chain) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run audio through a stream.

    Args:
        blocks: float [frames, channels], of any lengths.
        stream: From `open_stream`, or a chain.

    Yields:
        The unprocessed audio and the processed audio, both [channels, n], as soon as they are known.

    Raises:
        RunError: The model computes NaN.
    """
    before: np.ndarray | None = None
    for block in blocks:
        audio = np.ascontiguousarray(block.T)
        before = audio if before is None or not before.shape[1] else np.concatenate([before, audio], axis=1)
        after = stream.process(audio)
        yield before[:, : after.shape[1]], after
        before = before[:, after.shape[1] :]
    rest = stream.finish()
    if before is not None and rest is not None:
        yield before, rest


def resampled_blocks(blocks: Iterable[np.ndarray], sample_rate: int, output_rate: int, channels: int) -> Iterator[np.ndarray]:
    """Resample blocks [frames, channels] in a stream, without delay; samples that are not finite become 0.

    The result has `audio_stream.resampled_frames` frames.
    """
    stream = soxr.ResampleStream(sample_rate, output_rate, channels, dtype="float32", quality="VHQ")
    taken = given = 0
    for block in blocks:
        taken += len(block)
        piece = stream.resample_chunk(np.nan_to_num(block.astype(np.float32), posinf=0.0, neginf=0.0))
        given += len(piece)
        yield piece
    rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    missing = resampled_frames(taken, sample_rate, output_rate) - given
    yield np.pad(rest[:missing], [(0, max(0, missing - len(rest))), (0, 0)])


class Reduction:
    """Measures by how much a recording became quieter over its whole length.

    Speech keeps its level, so this is large where hardly any was found: music and other sounds are taken for noise.
    """

    def __init__(self) -> None:
        self._before, self._after = 0.0, 0.0

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Take the next samples, of any equal shapes."""
        self._before += float(np.vdot(before, before))
        self._after += float(np.vdot(after, after))

    @property
    def db(self) -> float | None:
        """Ratio of the mean powers in dB, at most 120; None for a silent recording."""
        return 10 * math.log10(self._before / max(self._after, 1e-12 * self._before)) if self._before else None


def enhance_array(enhancer: Enhancer, audio: np.ndarray, sample_rate: int, options: EnhanceOptions | None = None) -> np.ndarray:
    """Enhance a recording in memory, sample for sample as `gan-audio enhance` would in a file.

    Args:
        enhancer: From `enhancers.open_enhancer`.
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1].
        sample_rate: Rate of the audio, Hz.
        options: Strength, mix and so on; None: the defaults. Those about files are ignored.

    Returns:
        The same shape, rate and type; samples may exceed full scale.

    Raises:
        UsageError: Audio of another type or shape, or that is not finite; options out of range.
        GanAudioError: A sample rate outside `files.task.SAMPLE_RATES`.
    """
    options = options or EnhanceOptions()
    options.check()
    audio = np.asarray(audio)
    blocks = blocks_of(audio, sample_rate)
    stream = open_stream(enhancer, audio.shape[1] if audio.ndim == 2 else 1, sample_rate, options)
    return joined([after.T for _, after in enhance_blocks(blocks, stream)], audio)
