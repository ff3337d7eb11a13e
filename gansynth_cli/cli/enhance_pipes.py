"""The pipes of `gan-audio enhance`: a WAV from stdin or to stdout, and raw samples live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..data.audio import audio_stream, pcm_stream
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, AudioFileError, UsageError
from ..inference.enhance.process import Reduction, enhance_blocks, open_stream
from ..inference.enhance.task import EnhanceTask, provenance_facts, provenance_tags
from ..inference.files.task import SAMPLE_RATES, Meter, block_frames
from . import console
from .file_report import NEARLY_GONE, change, is_nearly_gone, speed
from .file_verb import open_task

if TYPE_CHECKING:
    from ..inference.enhance.enhancers import Enhancer

STREAM = "-"
_MAX_CHANNELS = 64

Source = tuple[pcm_stream.PcmFormat, int, Iterator[np.ndarray]]  # layout, number of frames (-1: unknown), blocks
Sink = audio_stream.Writer | pcm_stream.PcmSink


# One WAV.


def enhance_pipe(task: EnhanceTask, inputs: list[Path], output: Path) -> int:
    """Enhance one WAV from stdin, or one file, to stdout or a file; return the exit code."""
    _check_pipe(inputs, output)
    source, to_stdout = inputs[0], str(output) == STREAM
    open_task(task)
    started, meter, reduction = time.perf_counter(), Meter(), Reduction()
    opened = _stdin_source() if str(source) == STREAM else _pipe_source(source) if source.is_fifo() else _file_source(source)
    with opened as (layout, frames, blocks), _sink(task, output, layout, frames) as sink:
        stream = open_stream(_enhancer(task), layout.channels, layout.sample_rate, task.options)
        for before, after in enhance_blocks(meter(blocks), stream):
            reduction.add(before, after)
            sink.write(after.T)
        if not meter.frames:
            raise AudioFileError("stdin", "zero samples")
    seconds, audio = time.perf_counter() - started, meter.frames / layout.sample_rate
    less = None if reduction.db is None else round(reduction.db, 2)
    console.say(f"{audio:.2f} s of audio{change(less)}{speed(seconds / audio)}")
    _warn_clipped(sink)
    if is_nearly_gone(less):
        console.warn(NEARLY_GONE)
    if not to_stdout:
        facts = {
            "output": output,
            "audio_seconds": round(audio, 6),
            "seconds": round(seconds, 4),
            "clipped_samples": sink.clipped,
            "reduction_db": less,
        }
        console.result({**facts, "rtf": round(seconds / audio, 5), **task.facts()})
    if meter.peak == 0:
        name = "stdin" if str(source) == STREAM else source
        console.warn(f"{name}: every sample is 0: nothing to enhance, the output is silent too")
        return EXIT_FAILED
    return EXIT_OK


def _check_pipe(inputs: list[Path], output: Path) -> None:
    """Raise UsageError unless one recording goes to one place."""
    if len(inputs) != 1:
        raise UsageError(
            f"A pipe carries one recording, but {len(inputs)} inputs are given.", hint="gan-audio enhance - -o - < in.wav > out.wav"
        )
    source = inputs[0]
    if source.is_dir():
        raise UsageError(f"{source} is a folder; stdout carries one recording.", hint=f"gan-audio enhance {source} -o clean/")
    if str(output) != STREAM and output.is_dir():
        raise UsageError(f"The output {output} is a folder; a recording from stdin has no name.", hint=f"-o {output}/clean.wav")
    if str(output) == STREAM:
        _check_stdout("gan-audio enhance FILE -o - > out.wav")
    if str(source) != STREAM and not source.exists():
        raise UsageError(f"The input {source} does not exist.")


@contextmanager
def _pipe_source(path: Path) -> Iterator[Source]:
    """Read a named pipe, such as the shell's <(...)."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise AudioFileError(path, f"cannot be opened: {(error.strerror or str(error)).lower()}") from error
    with stream, _wav_source(stream, str(path)) as source:
        yield source


@contextmanager
def _stdin_source() -> Iterator[Source]:
    with _wav_source(_stdin(), "stdin") as source:
        yield source


@contextmanager
def _wav_source(stream: BinaryIO, name: str) -> Iterator[Source]:
    layout, frames = pcm_stream.read_wav_header(stream, name)
    yield layout, frames, pcm_stream.pcm_blocks(stream, layout, block_frames(layout.sample_rate), frames, name)
    while stream.read(1 << 16):  # chunks after the samples: their writer should not find the pipe closed
        pass


@contextmanager
def _file_source(path: Path) -> Iterator[Source]:
    """Read a file as if it came from a pipe."""
    with audio_stream.open_reader(path) as reader:
        info = reader.info
        layout = pcm_stream.format_of(info.sample_rate, info.channels, info.subtype)
        yield layout, info.frames, reader.blocks(block_frames(info.sample_rate))


def _sink(task: EnhanceTask, output: Path, layout: pcm_stream.PcmFormat, frames: int) -> AbstractContextManager[Sink]:
    if str(output) == STREAM:
        console.raw(pcm_stream.wav_header(layout, frames))
        return nullcontext(pcm_stream.PcmSink(layout, console.raw))
    container, subtype = audio_stream.format_for(output, layout.subtype)
    return audio_stream.Writer(
        output,
        layout.sample_rate,
        layout.channels,
        subtype=subtype,
        container=container,
        tags=provenance_tags({}, provenance_facts(task.enhancer, task.options)),
        frames=frames,
        bitrate=task.bitrate,
        overwrite=task.overwrite,
    )


# Live.


@dataclass(frozen=True)
class LiveOptions:
    """Format of raw samples on stdin and stdout; None: the model's rate, mono, s16le.

    Attributes:
        rate: Hz.
        channels: Number of channels, interleaved.
        encoding: One of `pcm_stream.ENCODINGS`.
    """

    rate: int | None
    channels: int | None
    encoding: str | None

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        if self.encoding is not None and self.encoding not in pcm_stream.ENCODINGS:
            raise UsageError(f"--format is {self.encoding!r}; expected one of {', '.join(pcm_stream.ENCODINGS)}.")
        low, high = SAMPLE_RATES
        if self.rate is not None and not low <= self.rate <= high:
            raise UsageError(f"--rate is {self.rate}; expected {low} to {high} Hz.")
        if self.channels is not None and not 1 <= self.channels <= _MAX_CHANNELS:
            raise UsageError(f"--channels is {self.channels}; expected 1 to {_MAX_CHANNELS}.")

    def layout(self, enhancer: Enhancer) -> pcm_stream.PcmFormat:
        """Return the format with the defaults filled in."""
        return pcm_stream.PcmFormat(self.rate or enhancer.sample_rate, self.channels or 1, self.encoding or "s16le")


def enhance_live(task: EnhanceTask, inputs: list[Path], output: Path | None, live: LiveOptions) -> int:
    """Enhance raw samples from stdin to stdout, block by block; return the exit code."""
    if [str(path) for path in inputs] not in ([], [STREAM]) or str(output or STREAM) != STREAM:
        raise UsageError(
            "--live reads raw samples from stdin and writes them to stdout; it takes no files.", hint="arecord ... | gan-audio ..."
        )
    live.check()
    _check_stdout("arecord ... | gan-audio enhance --live | aplay ...")
    open_task(task)
    layout = live.layout(_enhancer(task))
    block = max(1, round(_enhancer(task).block_samples * layout.sample_rate / _enhancer(task).sample_rate))
    _announce(task, layout, block)
    sink, clock = pcm_stream.PcmSink(layout, console.raw), _Clock()
    try:
        stream = open_stream(_enhancer(task), layout.channels, layout.sample_rate, task.options, live=True)
        for _, after in enhance_blocks(clock(pcm_stream.pcm_blocks(_stdin(), layout, block)), stream):
            sink.write(after.T)
    except KeyboardInterrupt:
        clock.interrupted = True
    finally:
        audio = sink.frames / layout.sample_rate
        console.say(f"{audio:.2f} s of audio{speed(clock.work / audio if audio else None)}, slowest block {1000 * clock.longest:.1f} ms")
        _warn_clipped(sink)
    return EXIT_INTERRUPTED if clock.interrupted else EXIT_OK


class _Clock:
    """Passes blocks on and measures the time until the next one is asked for.

    Attributes:
        work: Seconds in all.
        longest: Seconds for the slowest block.
        interrupted: Ctrl-C arrived.
    """

    def __init__(self) -> None:
        self.work = self.longest = 0.0
        self.interrupted = False

    def __call__(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        try:
            for block in blocks:
                began = time.perf_counter()
                yield block
                took = time.perf_counter() - began
                self.work, self.longest = self.work + took, max(self.longest, took)
        except KeyboardInterrupt:  # while waiting for audio: an end like any other, after which the last window is written
            self.interrupted = True


def _announce(task: EnhanceTask, layout: pcm_stream.PcmFormat, block: int) -> None:
    enhancer = _enhancer(task)
    latency = 1000 * enhancer.latency(task.options.passes) / enhancer.sample_rate
    resampling = " plus that of resampling both ways" if not enhancer.masks and layout.sample_rate != enhancer.sample_rate else ""
    console.say(
        f"live: {layout.sample_rate} Hz, {layout.channels} channel(s), {layout.encoding}, "
        f"blocks of {1000 * block / layout.sample_rate:.0f} ms; algorithmic latency {latency:.0f} ms{resampling}. "
        "Ctrl-C or the end of input stops."
    )


# Both.


def _enhancer(task: EnhanceTask) -> Enhancer:
    """Return the model of an opened task: pipes do nothing but remove noise."""
    assert task.enhancer is not None
    return task.enhancer


def _warn_clipped(sink: Sink) -> None:
    if sink.clipped:
        console.warn(f"{sink.clipped} samples exceeded full scale and were clipped.")


def _check_stdout(hint: str) -> None:
    if sys.stdout.isatty():
        raise UsageError("stdout is a terminal; audio would be printed on it.", hint=hint)


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        raise UsageError("stdin is a terminal; expected audio from a pipe or a file.", hint="gan-audio enhance - -o - < in.wav > out.wav")
    return sys.stdin.buffer
