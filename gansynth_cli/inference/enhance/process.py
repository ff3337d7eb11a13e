"""One recording, cleaned: read, enhanced and written piece by piece, beside what was removed and a picture if wanted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ... import __version__
from ...data.audio import audio_stream, pcm_stream
from ...data.audio.audio_file import AudioInfo
from ...errors import AudioFileError, GanAudioError
from ..files.file_batch import attempt, writer_for
from .enhancers import Enhancer
from .job import Job, Options, Outcome, Stopped

if TYPE_CHECKING:
    from . import before_after

BLOCK_SECONDS = 4.0  # read, enhanced and written at a time
SAMPLE_RATES = (1000, 768_000)  # Hz; beyond them a header lies, or it is not sound that one hears


class Sink(Protocol):
    """Where samples go: a `Writer`, or a pipe."""

    clipped: int

    def write(self, audio: np.ndarray) -> None: ...


@dataclass
class PipeSink:
    """Writes samples as bytes; `send` takes them."""

    layout: pcm_stream.PcmFormat
    send: Callable[[bytes], None]
    clipped: int = 0
    frames: int = 0

    def write(self, audio: np.ndarray) -> None:
        if not self.layout.encoding.startswith("f"):
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1.0))
        self.frames += len(audio)
        if len(audio):
            self.send(self.layout.encode(audio))


@dataclass
class Passed:
    """What went through: frames, and the largest magnitude of the input."""

    frames: int = 0
    peak: float = 0.0


def enhance_blocks(
    blocks: Iterable[np.ndarray],
    channels: int,
    sample_rate: int,
    enhancer: Enhancer,
    options: Options,
    give: Callable[[np.ndarray, np.ndarray], None],
    *,
    live: bool = False,
    each: Callable[[int], None] = lambda frames: None,
) -> Passed:
    """Runs sound through an enhancer.

    Args:
        blocks: float [frames, channels], of any lengths.
        channels, sample_rate: Of the sound.
        enhancer: The model.
        options: `strength_db`, `mix`, `per_channel` and `passes` count.
        give: Called with the sound as it was and what is to be taken away from it, both [channels, n], as they are known.
        live: As for `Enhancer.stream`.
        each: Called with the length of every block after it is done.

    Raises:
        GanAudioError: A sample rate outside `SAMPLE_RATES`, or a model that gives NaN.
    """
    low, high = SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise GanAudioError(f"The sample rate is {sample_rate} Hz; expected {low} to {high}.")
    stream = enhancer.stream(
        channels,
        sample_rate=sample_rate,
        shared=not options.per_channel,
        strength_db=options.strength_db,
        mix=options.mix,
        passes=options.passes,
        live=live,
    )
    passed = Passed()
    for block in blocks:
        passed.frames += len(block)
        passed.peak = max(passed.peak, float(np.abs(block).max(initial=0.0)))
        give(*stream.split(np.ascontiguousarray(block.T)))
        each(len(block))
    give(*stream.finish_split())
    return passed


def enhance_file(
    job: Job,
    enhancer: Enhancer,
    options: Options,
    *,
    on_audio: Callable[[float], None] = lambda seconds: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Cleans one recording. Its outputs appear under their names only when they are whole.

    Args:
        job: What is read and written.
        enhancer: The model.
        options: What is done.
        on_audio: Called with the seconds of sound that are done since the last call.
        stop: Asked after each block.

    Returns:
        What became of it; foreseen failures (a damaged file, a full disk) are told there, not raised.

    Raises:
        Stopped: `stop` said so. Nothing is left behind.
    """

    def work(outcome: Outcome) -> Outcome:
        if not _must_do(job, options):
            return Outcome(job.name, "skipped", output=job.target, audio_seconds=job.seconds)
        with audio_stream.open_reader(job.source) as reader:
            passed, outcome.clipped, lost = _enhance_reader(reader, job, enhancer, options, on_audio, stop)
        if lost:
            outcome.note = "; ".join(filter(None, [job.note, f"{lost} samples of {job.noise.name} clipped: it does not add up there"]))
        outcome.audio_seconds = passed.frames / reader.info.sample_rate
        if passed.peak == 0:
            outcome.status, outcome.reason = "silent", "every sample is 0: nothing to enhance, the output is silent too"
        return outcome

    return attempt(job, work)


def _must_do(job: Job, options: Options) -> bool:
    """Whether there is something to write; outputs that exist are all there, or this is said."""
    if options.overwrite:
        return True
    there = [path for path in job.outputs(options) if path.exists()]
    if not job.target.exists():
        for path in there:
            # Left by a run that was killed between its files: they become visible one by one, the target last.
            if path != job.picture and not is_ours(path):
                raise AudioFileError(path, "exists already and was not written by gan-audio enhance", hint="--overwrite replaces it")
        return True
    missing = [path.name for path in job.outputs(options) if path not in there]
    if missing:
        raise AudioFileError(
            job.target,
            f"exists already, but {', '.join(missing)} does not",
            hint="--overwrite makes all of them, with one another's options",
        )
    return False


def _enhance_reader(
    reader: audio_stream.Reader,
    job: Job,
    enhancer: Enhancer,
    options: Options,
    on_audio: Callable[[float], None],
    stop: Callable[[], bool],
) -> tuple[Passed, int, int]:
    """What passed, and the samples that were clipped in the output and in the noise."""
    info = reader.info
    with ExitStack() as files:
        sink = files.enter_context(_writer(job.target, job, reader, enhancer, options, options.overwrite))
        noise = files.enter_context(_writer(job.noise, job, reader, enhancer, options, True)) if options.keep_noise else None
        strips = _strips(info) if options.before_after else None
        exact = audio_stream.is_stepped(job.subtype)

        def give(dry: np.ndarray, removed: np.ndarray) -> None:
            enhanced = dry - removed
            if noise is not None:
                if exact:  # then output and noise add up to the input to the last bit
                    removed = dry - audio_stream.as_written(enhanced, job.subtype)
                noise.write(removed.T)
            sink.write(enhanced.T)
            if strips:
                strips[0].add(dry)
                strips[1].add(enhanced)

        def each(frames: int) -> None:
            on_audio(frames / info.sample_rate)
            if stop():
                raise Stopped

        blocks = reader.blocks(block_frames(info.sample_rate))
        passed = enhance_blocks(blocks, info.channels, info.sample_rate, enhancer, options, give, each=each)
        for writer in (noise, sink):
            if writer is not None:
                writer.finish()
        reader.check_unchanged()
        if strips:
            _draw(strips, job, options)
    return passed, sink.clipped, noise.clipped if noise is not None else 0


def block_frames(sample_rate: int) -> int:
    return max(1, round(BLOCK_SECONDS * sample_rate))


def _writer(
    path: Path, job: Job, reader: audio_stream.Reader, enhancer: Enhancer, options: Options, overwrite: bool
) -> audio_stream.Writer:
    role = "removed" if path == job.noise else "enhanced"
    return writer_for(job, path, reader, tags(reader.tags, enhancer, options, role), overwrite)


def tags(before: dict[str, str], enhancer: Enhancer, options: Options, role: str = "enhanced") -> dict[str, str]:
    """The tags of an output: those of its input, and in the comment what was done to it.

    Enhanced sound is no synthetic sound, so it is not marked as such; but a synthetic clip's mark stays when the clip is enhanced.
    """
    mark: dict[str, Any] = {f"{role}_by": f"gan-audio {__version__}", "enhancer": enhancer.sha256}
    mark |= {"strength_db": options.strength_db, "mix": options.mix} | ({"passes": options.passes} if enhancer.masks else {})
    comment = before.get("comment", "")
    try:
        known = json.loads(comment) if comment else {}
    except ValueError:
        known = None
    if isinstance(known, dict):
        comment = json.dumps({**known, **mark}, sort_keys=True)
    else:
        comment = f"{comment}; {role} by gan-audio {__version__}, model {enhancer.sha256[:12]}, {options.strength_db:g} dB"
    return {**before, "comment": comment}


def is_ours(path: Path) -> bool:
    """Whether `enhance` has written this recording."""
    try:
        with audio_stream.open_reader(path) as reader:
            comment = reader.tags.get("comment", "")
    except AudioFileError:
        return False
    return any(word in comment for word in ('d_by": "gan-audio', "d by gan-audio"))


def _strips(info: AudioInfo) -> tuple[before_after.Strip, before_after.Strip]:
    from . import before_after  # with Pillow, which only pictures need

    if info.frames < 0:
        raise AudioFileError(info.path, "no picture can be drawn: its header does not say how long it is", hint="leave out --before-after")
    return before_after.Strip(info.frames, info.sample_rate), before_after.Strip(info.frames, info.sample_rate)


def _draw(strips: tuple[before_after.Strip, before_after.Strip], job: Job, options: Options) -> None:
    from ..generate import contact_sheet
    from . import before_after

    for strip in strips:
        strip.finish()
    mixed = f", mix {options.mix:g}" if options.mix != 1 else ""
    page = before_after.draw([("before", strips[0]), (f"after (at most {options.strength_db:g} dB less{mixed})", strips[1])], job.name)
    try:
        contact_sheet.save(page, job.picture)
    except OSError as error:
        raise AudioFileError(job.picture, f"cannot be written: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def from_file(path: Path) -> Iterator[tuple[pcm_stream.PcmFormat, int, Iterator[np.ndarray]]]:
    """A recording as if it came from a pipe: the layout for its samples, the number of frames (-1: unknown), and its blocks."""
    with audio_stream.open_reader(path) as reader:
        info = reader.info
        layout = pcm_stream.format_of(info.sample_rate, info.channels, info.subtype)
        yield layout, info.frames, reader.blocks(block_frames(info.sample_rate))


def decibels(peak: float) -> float:
    """dB of full scale; -inf for silence."""
    return 20 * math.log10(peak) if peak > 0 else -math.inf
