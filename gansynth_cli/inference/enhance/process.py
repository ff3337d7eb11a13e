"""Enhance audio that comes in blocks: the one path of files, pipes, live audio and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..arrays import blocks_of, joined
from ..files.task import check_rate
from .enhancers import Enhancer, EnhancerStream
from .options import EnhanceOptions


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
    )


def enhance_blocks(blocks: Iterable[np.ndarray], stream: EnhancerStream) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run audio through a stream.

    Args:
        blocks: float [frames, channels], of any lengths.
        stream: From `open_stream`.

    Yields:
        The unprocessed audio and what is to be subtracted from it, both [channels, n], as soon as they are known.

    Raises:
        RunError: The model computes NaN.
    """
    for block in blocks:
        yield stream.split(np.ascontiguousarray(block.T))
    yield stream.finish_split()


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
    return joined([(dry - removed).T for dry, removed in enhance_blocks(blocks, stream)], audio)
