"""`gan-audio generate RUN --midi song.mid -o song.wav`: a song played by a model of notes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_INTERRUPTED, EXIT_OK, AudioFileError, UsageError
from . import console

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def run(
    model: Path,
    midi: Path,
    output: Path,
    *,
    seed: int,
    instruments: Sequence[str],
    latents: Path | None,
    overwrite: bool,
    dry_run: bool,
    json_output: bool = False,
    subtype: str | None = None,
    peak: float | None = 0.5,
) -> int:
    """Plays a MIDI file.

    Args:
        model: A run folder or a `.keras` file of a pitched model.
        midi: A Standard MIDI File.
        output: The recording to write: .wav, .flac, .ogg or .mp3.
        seed: Of the timbres.
        instruments: One for the whole song; several follow each other along it; "program" takes those of the file; none: a random one
            every 6 s.
        latents: A `.npy` of [dim] or [timbres, dim] to use in place of random timbres.
        overwrite: Replace an existing recording.
        dry_run: Say what would be played, and stop.
        json_output: `console` is configured already; kept so that callers pass what they were given.
        subtype: Encoding of wav and flac; None: PCM_16.
        peak: Of the mix, 1 is full scale; None leaves the sum of the notes as it is.

    Raises:
        UsageError: Paths or options that name nothing, or do not fit the model.
        GanAudioError: A MIDI file without notes, or a damaged one.
    """
    if output.is_dir() or output.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"The output {output} is {'a folder' if output.is_dir() else 'no name of a recording'}; --midi writes one file: "
            f"{', '.join(SUFFIXES)}.",
            hint="gan-audio generate RUN --midi song.mid -o song.wav",
        )
    if output.exists() and not overwrite and not dry_run:
        raise UsageError(f"The output {output} exists already.", hint="add --overwrite, or choose another name with -o")
    from ..inference.generate.latents import check_seed
    from ..inference.midi.read import read_midi

    check_seed(seed)
    encoding = _encoding(output, subtype)
    song = read_midi(midi)
    kept = _read_latents(latents) if latents is not None else None

    console.start_tensorflow()
    from ..inference.generate import session as sessions
    from ..inference.midi.render import Performance, RenderOptions, render

    session = sessions.open_session(model)
    performance = Performance(session, song, RenderOptions(seed, tuple(instruments), kept, peak=peak), output)
    report = performance.report
    played = ", ".join(f"{name} {count}" for name, count in report.instruments.items())
    console.say(f"{midi}: {report.notes} notes, {console.duration(song.seconds)}{f' ({played})' if played else ''}")
    for warning in performance.warnings():
        console.warn(warning)
    facts: dict[str, Any] = {
        "output": output,
        "midi": midi,
        "notes": report.notes,
        "drums": song.drums,
        "moved": report.moved,
        "replaced": report.replaced,
        "shortened": report.shortened,
        "instruments": report.instruments,
        "seed": seed,
        "sample_rate": session.sample_rate,
        "model": session.sha256,
    }
    if dry_run:
        console.say("nothing is written")
        console.result(facts | {"dry_run": True, "audio_seconds": round(song.seconds, 3)})
        return EXIT_OK
    began = time.monotonic()
    provenance = session.provenance
    mark = {"recipe": provenance.get("recipe", ""), "midi_sha256": hashlib.sha256(midi.read_bytes()).hexdigest()}
    try:
        with console.progress("Playing", report.notes, "notes") as bar:
            render(performance, group=sessions.GROUP, subtype=encoding, overwrite=overwrite, tag=mark, on_notes=bar.advance)
    except KeyboardInterrupt:
        console.warn(f"interrupted: {output} was not written.")
        return EXIT_INTERRUPTED
    seconds = time.monotonic() - began
    speed = f", {report.seconds / max(seconds, 1e-9):.3g} times real time"
    console.say(f"{output}: {console.duration(report.seconds)} of sound, {report.generated} notes computed{speed}")
    if report.silent:
        console.warn(f"{report.silent} notes that were computed are silent.")
    if report.clipped:
        console.warn(f"{report.clipped} samples were beyond full scale and were clipped.")
    done = {"generated": report.generated, "silent": report.silent, "clipped": report.clipped}
    console.result(facts | done | {"audio_seconds": round(report.seconds, 3), "seconds": round(seconds, 3)})
    return EXIT_OK


def _encoding(output: Path, subtype: str | None) -> str:
    only = {".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"}.get(output.suffix.lower())
    if only and subtype:
        raise UsageError(f"--subtype {subtype} was given for {output.suffix}, which has only one encoding.")
    return only or (subtype or "PCM_16").upper()


def _read_latents(path: Path) -> np.ndarray:
    """float32 [timbres, dim] of a `.npy`; what does not fit the model, `Performance` says."""
    import numpy as np

    if not path.is_file():
        raise UsageError(
            f"The latents {path} do not exist; expected a .npy file.", hint="gan-audio generate RUN --save-latents latents.npy"
        )
    try:
        found = np.load(path, allow_pickle=False)
        found = np.asarray(found, np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise AudioFileError(path, f"not an array of latents: {error}") from error
    return found[None] if found.ndim == 1 else found
