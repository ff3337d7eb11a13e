"""Join clips into one file with cross-fades or pauses, and a cue marker at the start of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...data.audio.find import find_audio
from ...data.audio.wav_cues import add_cues
from ...errors import AudioFileError, UsageError
from ...files import write_text
from ...signal.cross_fade import cross_fade
from .recordings import HoldBack, part_of, take, writer_like

MAX_FADE_SECONDS = 30.0


def join(
    inputs: Sequence[Path],
    output: Path,
    *,
    fade_seconds: float = 0.0,
    pause_seconds: float = 0.0,
    labels: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Join clips in the given order, folders in the order of their names, at the first one's rate and the largest number of channels.

    Memory does not grow with the number or the length of clips.

    Args:
        inputs: Folders and files.
        output: The file; a WAV gets cue markers.
        fade_seconds: Length of the cross-fades; shorter where a clip is shorter than two of them.
        pause_seconds: Silence between clips instead.
        labels: Text file to write with a line for each clip: start and end in seconds, and name, as Audacity reads them.
        overwrite: Replace an existing output.

    Returns:
        "clips": [start in seconds, name] of each, "seconds", "clipped", "cues": whether the file holds markers.

    Raises:
        UsageError: Lengths out of range, or both a fade and a pause.
        AudioFileError: A clip cannot be read.
    """
    if not 0 <= fade_seconds <= MAX_FADE_SECONDS or not 0 <= pause_seconds < float("inf"):
        raise UsageError(
            f"--fade is {fade_seconds:g} s and --pause {pause_seconds:g} s; expected 0 to {MAX_FADE_SECONDS:g}, and 0 or more."
        )
    if fade_seconds and pause_seconds:
        raise UsageError("--fade and --pause exclude each other: clips meet, or they do not.", hint="leave out one of them")
    found = [(path.relative_to(root).as_posix(), path) for root, path in find_audio(inputs)]
    if any(path.resolve() == output.resolve() for _, path in found):
        raise UsageError(f"The output {output} is one of the inputs.", hint="choose another output with -o")
    headers = [audio_file.probe(path) for _, path in found]
    rate, channels = headers[0].sample_rate, max(info.channels for info in headers)
    facts = {"edit": "join", "clips": len(found)}
    cues: list[tuple[int, str]] = []
    with writer_like(output, headers[0], facts, channels=channels, sample_rate=rate, overwrite=overwrite) as out:
        tail = np.zeros((0, channels), np.float32)
        for (name, path), info in zip(found, headers, strict=True):
            longest = min(fade_seconds, info.seconds / 2) if info.frames > 0 else fade_seconds
            fade = min(round(longest * rate), len(tail)) if cues else 0
            blocks = part_of(path, sample_rate=rate, channels=channels)
            head = take(blocks, max(fade, 1))
            fade = min(fade, len(head))
            out.write(tail[: len(tail) - fade])
            if cues and pause_seconds:
                out.write(np.zeros((round(pause_seconds * rate), channels), np.float32))
            cues.append((out.frames, Path(name).with_suffix("").as_posix()))
            out.write(cross_fade(tail[len(tail) - fade :], head[:fade]))
            held = HoldBack(_behind(head[fade:], blocks), round(longest * rate))
            for block in held:
                out.write(block)
            tail = held.rest
        out.write(tail)
        out.finish()
        marked = out.container == "WAV" and add_cues(out.unfinished, cues)
    if labels is not None:
        ends = [start for start, _ in cues[1:]] + [out.frames]
        _write_labels(labels, [(start / rate, end / rate, name) for (start, name), end in zip(cues, ends, strict=True)])
    starts = [[round(start / rate, 4), name] for start, name in cues]
    return {"output": output, "clips": starts, "seconds": out.frames / rate, "clipped": out.clipped, "cues": marked}


def _behind(head: np.ndarray, blocks):
    yield head
    yield from blocks


def _write_labels(path: Path, lines: Sequence[tuple[float, float, str]]) -> None:
    try:
        write_text(path, "".join(f"{start:.6f}\t{end:.6f}\t{name}\n" for start, end, name in lines))
    except OSError as error:
        raise AudioFileError(path, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
