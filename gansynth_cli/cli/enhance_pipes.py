"""The pipes of `gan-audio enhance`: a WAV from stdin or to stdout, and raw samples live."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, AudioFileError, UsageError
from . import console
from .file_report import speed

if TYPE_CHECKING:
    from ..inference.enhance.enhancers import Enhancer
    from ..inference.enhance.job import Options

STREAM = "-"


def enhance_pipe(inputs: list[Path], output: Path, model: Path | None, options: Options) -> int:
    """One WAV from stdin, or one file, to stdout or a file."""
    from ..data.audio import audio_stream, pcm_stream
    from ..inference.enhance import process as enhance

    if len(inputs) != 1:
        raise UsageError(
            f"A pipe carries one recording, but {len(inputs)} inputs are given.", hint="gan-audio enhance - -o - < in.wav > out.wav"
        )
    source, target = inputs[0], output
    if source.is_dir():
        raise UsageError(f"{source} is a folder; stdout carries one recording.", hint=f"gan-audio enhance {source} -o clean/")
    if str(target) != STREAM and target.is_dir():
        raise UsageError(f"The output {target} is a folder; a recording from stdin has no name.", hint=f"-o {target}/clean.wav")
    if str(target) == STREAM and sys.stdout.isatty():
        raise UsageError("stdout is a terminal; sound would be printed on it.", hint="gan-audio enhance FILE -o - > out.wav")
    if str(source) != STREAM and not source.exists():
        raise UsageError(f"The input {source} does not exist.")
    enhancer = open_model(model)
    started = time.perf_counter()

    def run(layout, frames, blocks) -> tuple[enhance.Passed, int]:
        if str(target) == STREAM:
            console.raw(pcm_stream.wav_header(layout, frames))
            sink: enhance.Sink = enhance.PipeSink(layout, console.raw)
            return _through(layout, blocks, sink), sink.clipped
        container, subtype = audio_stream.format_for(target, layout.subtype)
        with audio_stream.Writer(
            target,
            layout.sample_rate,
            layout.channels,
            subtype=subtype,
            container=container,
            tags=enhance.tags({}, enhancer, options),
            frames=frames,
            overwrite=options.overwrite,
        ) as writer:
            return _through(layout, blocks, writer), writer.clipped

    def _through(layout, blocks, sink) -> enhance.Passed:
        def give(dry, removed) -> None:
            sink.write((dry - removed).T)

        passed = enhance.enhance_blocks(blocks, layout.channels, layout.sample_rate, enhancer, options, give)
        if not passed.frames:
            raise AudioFileError("stdin", "zero samples")
        return passed

    if str(source) == STREAM:
        stream = _stdin()
        layout, frames = pcm_stream.read_wav_header(stream)
        block = enhance.block_frames(layout.sample_rate)
        passed, clipped = run(layout, frames, pcm_stream.pcm_blocks(stream, layout, block, frames))
        while stream.read(1 << 16):  # chunks after the samples: who writes them should not find the pipe closed
            pass
    else:
        with enhance.from_file(source) as (layout, frames, blocks):
            passed, clipped = run(layout, frames, blocks)
    seconds = time.perf_counter() - started
    audio = passed.frames / layout.sample_rate
    console.say(f"{audio:.2f} s of sound{speed(seconds / audio)}")
    if clipped:
        console.warn(f"{clipped} samples were beyond full scale and were clipped, not wrapped.")
    if str(target) != STREAM:
        facts = {"output": target, "audio_seconds": round(audio, 6), "seconds": round(seconds, 4), "clipped_samples": clipped}
        console.result({**facts, "rtf": round(seconds / audio, 5), "model": enhancer.sha256})
    if passed.peak == 0:
        console.warn(f"{'stdin' if str(source) == STREAM else source}: every sample is 0: nothing to enhance, the output is silent too")
        return EXIT_FAILED
    return EXIT_OK


def enhance_live(
    inputs: list[Path],
    output: Path | None,
    rate: int | None,
    channels: int | None,
    encoding: str | None,
    model: Path | None,
    options: Options,
) -> int:
    """Raw samples, block by block."""
    from ..data.audio import pcm_stream
    from ..inference.enhance import process as enhance

    if [str(path) for path in inputs] not in ([], [STREAM]) or str(output or STREAM) != STREAM:
        raise UsageError(
            "--live reads raw samples from stdin and writes them to stdout; it takes no files.", hint="arecord ... | gan-audio ..."
        )
    if encoding is not None and encoding not in pcm_stream.ENCODINGS:
        raise UsageError(f"--format is {encoding!r}; expected one of {', '.join(pcm_stream.ENCODINGS)}.")
    low, high = enhance.SAMPLE_RATES
    if rate is not None and not low <= rate <= high:
        raise UsageError(f"--rate is {rate}; expected {low} to {high} Hz.")
    if channels is not None and not 1 <= channels <= 64:
        raise UsageError(f"--channels is {channels}; expected 1 to 64.")
    if sys.stdout.isatty():
        raise UsageError("stdout is a terminal; sound would be printed on it.", hint="arecord ... | gan-audio enhance --live | aplay ...")
    enhancer = open_model(model)
    layout = pcm_stream.PcmFormat(rate or enhancer.sample_rate, channels or 1, encoding or "s16le")
    block = max(1, round(enhancer.block_samples * layout.sample_rate / enhancer.sample_rate))
    latency = 1000 * enhancer.latency(options.passes) / enhancer.sample_rate
    resampled = not enhancer.masks and layout.sample_rate != enhancer.sample_rate
    shape = f"{layout.sample_rate} Hz, {layout.channels} channel(s), {layout.encoding}"
    console.say(
        f"live: {shape}, blocks of {1000 * block / layout.sample_rate:.0f} ms; "
        f"algorithmic latency {latency:.0f} ms{' and that of resampling both ways' if resampled else ''}. Ctrl-C or the end of input stops."
    )
    sink = enhance.PipeSink(layout, console.raw)
    work = longest = began = 0.0
    code = EXIT_OK

    def timed():
        nonlocal began, code
        try:
            for piece in pcm_stream.pcm_blocks(_stdin(), layout, block):
                began = time.perf_counter()
                yield piece
        except KeyboardInterrupt:  # while waiting for sound: an end like any other, after which the last window is given
            code = EXIT_INTERRUPTED

    def each(frames: int) -> None:
        nonlocal work, longest
        took = time.perf_counter() - began
        work, longest = work + took, max(longest, took)

    try:
        enhance.enhance_blocks(
            timed(),
            layout.channels,
            layout.sample_rate,
            enhancer,
            options,
            lambda dry, removed: sink.write((dry - removed).T),
            live=True,
            each=each,
        )
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    finally:
        audio = sink.frames / layout.sample_rate
        console.say(f"{audio:.2f} s of sound{speed(work / audio if audio else None)}, slowest block {1000 * longest:.1f} ms")
        if sink.clipped:
            console.warn(f"{sink.clipped} samples were beyond full scale and were clipped, not wrapped.")
    return code


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        raise UsageError("stdin is a terminal; expected sound from a pipe or a file.", hint="gan-audio enhance - -o - < in.wav > out.wav")
    return sys.stdin.buffer


def open_model(model: Path | None) -> Enhancer:
    """Opens a model, starts TensorFlow if it must, and says what it is."""
    from ..inference.enhance.enhancers import find_model, open_enhancer

    started = time.perf_counter()
    found = find_model(model)
    if found.needs_tensorflow:
        console.start_tensorflow()
    enhancer = open_enhancer(found)
    kind = "" if enhancer.masks else "; channels are enhanced one by one"
    took = time.perf_counter() - started
    console.say(f"{found.file.name}: {enhancer.sample_rate} Hz, SHA-256 {enhancer.sha256[:12]}, opened in {took:.2f} s{kind}")
    return enhancer
