"""Generate the clips of a planned request, with the network and the encoders running side by side."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.audio import audio_file
from ...errors import GanAudioError, RunError
from ...files import write_text
from .clip_folder import ClipFolder, Existing, Row, Todo, is_disk_full
from .latents import write_latents
from .request import Clip, Plan

_SHARE = 4  # clips handed to a thread at once: handing them over one by one costs as much as encoding a short clip
_TRIM_BELOW = 10 ** (-60 / 20)  # relative to the clip's own peak
_TRIM_MARGIN = 0.005  # seconds kept on either side of the sound


@dataclass(frozen=True)
class GenerateReport:
    """Outcome of `generate`: `clipped` clips were louder than full scale, `silent` ones hold nothing but zeros."""

    folder: Path
    written: int
    kept: int
    skipped: int
    clipped: int
    silent: int
    seconds: float
    audio_seconds: float

    @property
    def clips_per_second(self) -> float:
        return self.written / self.seconds if self.seconds else 0.0


def inspect(plan: Plan, output: Path, existing: Existing = "error") -> Todo:
    """Return the work that `generate` would do.

    Raises:
        UsageError: As for `ClipFolder.todo`.
    """
    return ClipFolder(output).todo(plan.request(), plan.wanted(), existing)


def generate(
    plan: Plan,
    output: Path,
    *,
    existing: Existing = "error",
    group: int = 16,
    todo: Todo | None = None,
    on_clip: Callable[[Row], None] = lambda row: None,
) -> GenerateReport:
    """Write the clips of a request that do not exist yet.

    The main thread computes; threads trim, resample, encode and write, which libsndfile and NumPy do without the
    interpreter's lock. At most `batch` clips wait between the two.

    Args:
        plan: The request.
        output: Folder for clips, `manifest.csv` and `generate.json`; created if missing.
        existing: Treatment of existing files that this request did not write.
        group: Clips in one call of the network: `session.GROUP`.
        todo: Result of `inspect`, so that the folder is not read twice.
        on_clip: Called for every clip written, in this thread.

    Returns:
        Counts and times.

    Raises:
        UsageError: Files of another request are in the way.
        RunError: The network gives NaN.
        GanAudioError: The folder is in use, or a file cannot be written. Finished clips are kept and listed.
    """
    folder = ClipFolder(output)
    todo = todo or folder.todo(plan.request(), plan.wanted(), existing)
    started = time.monotonic()
    stop = threading.Event()
    counts = {"written": 0, "clipped": 0, "silent": 0, "samples": 0}
    pending: deque[Future[_Finished]] = deque()

    def collect(future: Future[_Finished]) -> None:
        finished = future.result()
        folder.add(finished.rows)
        for row in finished.rows:
            counts["written"] += 1
            counts["silent"] += row.peak == 0
            counts["samples"] += row.samples
            on_clip(row)
        counts["clipped"] += finished.clipped
        if finished.error is not None:
            raise finished.error

    replaced = (plan.clip(index).file for index in todo.missing)
    with folder.writing(plan.request(), replaced, plan.attributes), ThreadPoolExecutor(_threads(), thread_name_prefix="encode") as pool:
        try:
            for start, members, latents, audio in compute(plan, todo.missing, group):
                for some in _shares(members):
                    pending.append(pool.submit(_finish_some, plan, some, audio, latents, start, output, stop))
                while len(pending) * _SHARE > plan.options.batch:
                    collect(pending[0])
                    pending.popleft()
            while pending:
                collect(pending[0])
                pending.popleft()
        except BaseException as error:  # Ctrl-C too: clips being written are finished and listed, the rest is dropped
            stop.set()
            for future in pending:
                future.cancel()
            for future in pending:
                if not future.cancelled() and future.exception() is None:
                    # A second failure adds nothing. Where there is no room for the row either, the provenance tag identifies the clip.
                    with contextlib.suppress(OSError, GanAudioError):
                        collect(future)
            if is_disk_full(error):
                done = todo.kept + counts["written"]
                raise GanAudioError(
                    f"The disk of {output} is full: {done} of {plan.total} clips are written, complete and listed.",
                    hint="free some space and run the same command again: it continues where it stopped",
                ) from error
            raise
    audio_seconds = counts.pop("samples") / plan.sample_rate
    seconds = time.monotonic() - started
    return GenerateReport(output, kept=todo.kept, skipped=todo.skipped, seconds=seconds, audio_seconds=audio_seconds, **counts)


def compute(plan: Plan, wanted: Iterable[int], group: int) -> Iterator[tuple[int, list[int], np.ndarray, np.ndarray]]:
    """Compute clips group by group, unprocessed.

    A group starts at a multiple of its size and is computed whole, even where few of its clips are wanted: clip i has the same
    neighbours in the same places in every request, so its samples are the same to the bit.

    Args:
        plan: The request.
        wanted: Clip numbers, ascending.
        group: Clips in one call of the network: `session.GROUP`.

    Yields:
        The number of the group's first clip, the wanted numbers in it, and latents [group, dim] and audio float32
        [group, samples, channels] of the whole group.
    """
    for start, members in _groups(wanted, group):
        indices = range(start, start + group)
        latents = plan.latents(indices)
        yield start, members, latents, plan.session.run(latents, plan.conditions(indices))


def check_finite(audio: np.ndarray, clip: Clip) -> float:
    """Return the peak of a clip.

    Raises:
        RunError: The clip has NaN or infinite samples.
    """
    peak = float(np.abs(audio).max(initial=0.0))  # NaN if any sample is
    if not math.isfinite(peak):
        raise RunError(
            f"The model gives NaN or infinite samples for clip {clip.index} of seed {clip.seed}.",
            hint="use an earlier checkpoint of the run",
        )
    return peak


@dataclass(frozen=True)
class _Finished:
    """Clips that a thread has written; `error` is the reason why it stopped early."""

    rows: list[Row]
    clipped: int
    error: Exception | None


def _shares(members: Sequence[int]) -> Iterator[Sequence[int]]:
    return (members[at : at + _SHARE] for at in range(0, len(members), _SHARE))


def _finish_some(
    plan: Plan, indices: Sequence[int], audio: np.ndarray, latents: np.ndarray, start: int, output: Path, stop: threading.Event
) -> _Finished:
    """Write some clips of one group, until `stop` is set. A failure does not hide those written before it."""
    rows: list[Row] = []
    clipped = 0
    for index in indices:
        if stop.is_set():
            break
        try:
            clip = plan.clip(index)
            if plan.options.save_latents:  # first, so that a clip that is listed has it
                write_latents(latents_file(output / clip.file), latents[index - start])
            row, loud = _finish(plan, clip, audio[index - start], output)
        except Exception as error:
            return _Finished(rows, clipped, error)
        rows.append(row)
        clipped += loud
    return _Finished(rows, clipped, None)


def latents_file(clip: Path) -> Path:
    """Return the file in which `--save-latents` keeps the latent of a clip."""
    return clip.with_name(f"{clip.stem}.npy")


def _threads() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def _groups(missing: Iterable[int], group: int) -> Iterator[tuple[int, list[int]]]:
    """Yield ascending clip numbers as (first number of their group, members)."""
    members: list[int] = []
    for index in missing:
        if members and index // group != members[0] // group:
            yield members[0] // group * group, members
            members = []
        members.append(index)
    if members:
        yield members[0] // group * group, members


def _finish(plan: Plan, clip: Clip, audio: np.ndarray, output: Path) -> tuple[Row, bool]:
    """Process and write one clip [samples, channels]; return its row, and whether it was louder than full scale."""
    options = plan.options
    if options.trim_silence:
        audio = _trimmed(audio, plan.session.sample_rate)
    audio = audio_file.resample(audio, plan.session.sample_rate, plan.sample_rate)
    peak = check_finite(audio, clip)
    if options.peak_db is not None and peak > 0:
        audio = audio * np.float32(10 ** (options.peak_db / 20) / peak)
        peak = 10 ** (options.peak_db / 20)
    if options.fade_out_ms:
        audio = _faded(audio, round(options.fade_out_ms * plan.sample_rate / 1000))
    clipped = peak > 1.0 + 1e-6 and plan.subtype not in ("FLOAT", "DOUBLE")
    path = output / clip.file
    tag = plan.tag(clip)
    audio_file.write(path, audio, plan.sample_rate, subtype=plan.subtype, tag=tag, overwrite=True, durable=False)
    shown = min(peak, 1.0) if clipped else peak
    sha256 = plan.session.sha256
    row = Row(clip.file, clip.index, clip.seed, clip.label, plan.sample_rate, len(audio), shown, sha256, clip.attributes)
    if options.sidecar:
        about = {**tag, "sample_rate": row.sample_rate, "samples": row.samples, "peak": round(row.peak, 6), "file": path.name}
        write_text(path.with_name(f"{path.name}.json"), json.dumps(about, indent=1, ensure_ascii=False) + "\n", durable=False)
    return row, clipped


def _faded(audio: np.ndarray, samples: int) -> np.ndarray:
    """Fade the end to silence along the falling half of a Hann window; all of a clip that is shorter."""
    samples = min(samples, len(audio))
    gain = np.ones((len(audio), 1), np.float32)
    gain[len(audio) - samples :, 0] = 0.5 + 0.5 * np.cos(np.pi * (np.arange(samples) + 1) / max(samples, 1))
    return audio * gain


def _trimmed(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Remove the quiet ends; silence is returned whole, so that no clip is empty."""
    level = np.abs(audio).max(axis=1)
    loud = np.flatnonzero(level > _TRIM_BELOW * level.max())
    if not loud.size:
        return audio
    margin = round(_TRIM_MARGIN * sample_rate)
    return audio[max(0, loud[0] - margin) : loud[-1] + 1 + margin]
