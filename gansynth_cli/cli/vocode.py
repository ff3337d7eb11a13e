"""`gan-audio generate RUN --from ...`: a vocoder's sound of recordings' mel spectrograms, or of mel spectrograms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from . import console

_LAYOUTS = ("frames-mels", "mels-frames")
_GRIFFIN_LIM = "griffin-lim"
_SUFFIXES = ("wav", "flac", "ogg", "mp3")
_MOST_LINES = 50


def check_options(inputs: Sequence[Path], vocoder: str, layout: str, refused: Sequence[str]) -> None:
    """Raises UsageError for what does not go together, before TensorFlow loads."""
    if not inputs:
        raise UsageError(
            "--model is for --from, which is missing.", hint="gan-audio generate RUN --from recordings/ --model griffin-lim -o out/"
        )
    if refused:
        raise UsageError(f"{refused[0]} has no meaning with --from: a vocoder says again what it is given.")
    if vocoder not in ("", _GRIFFIN_LIM):
        raise UsageError(f"--model is {vocoder!r}; expected {_GRIFFIN_LIM}, or nothing for RUN's own network.")
    if layout not in _LAYOUTS:
        raise UsageError(f"--mel-layout is {layout!r}; expected one of {', '.join(_LAYOUTS)}.")
    for path in inputs:
        if not path.exists():
            raise UsageError(f"The input {path} does not exist.", hint="give a folder of recordings or of .npy, or single files")


def run(
    model: Path,
    inputs: Sequence[Path],
    output: Path,
    *,
    vocoder: str,
    transposed: bool,
    format: str,
    subtype: str | None,
    overwrite: bool,
    dry_run: bool,
) -> int:
    """Makes the files and says what became of them; 1 if any failed."""
    suffix = format.lower().lstrip(".")
    if suffix not in _SUFFIXES:
        raise UsageError(f"--format is {format!r}; expected one of {', '.join(_SUFFIXES)}.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; expected a folder.", hint="-o out/")
    console.start_tensorflow()
    from ..inference import vocode

    network = vocode.open_vocoder(model)
    chosen = vocode.GriffinLimVocoder(network.convention) if vocoder else network
    console.say(f"{chosen.name}: {chosen.convention.describe()}")
    jobs = vocode.plan_vocode(inputs, output, f".{suffix}", transposed)
    if dry_run:
        missing = [job for job in jobs if overwrite or not job.target.exists()]
        console.say(f"{len(missing)} of {len(jobs)} files to write; nothing is written")
        files = [{"name": job.name, "output": job.target} for job in missing]
        console.result({"dry_run": True, "output": output, "files": files, "skipped": len(jobs) - len(missing)})
        return EXIT_OK
    outcomes, began = [], time.monotonic()
    encoding = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}.get(suffix, (subtype or "PCM_16").upper())
    try:
        with console.progress("Vocoding", len(jobs), "files") as bar:
            for job in jobs:
                outcome = vocode.vocode_file(job, chosen, subtype=encoding, overwrite=overwrite)
                outcomes.append(outcome)
                bar.advance()
                if outcome.status == "failed":
                    hint = f" (hint: {outcome.hint})" if outcome.hint else ""
                    console.warn(f"{outcome.name}: {outcome.reason}{hint}")
                elif outcome.status == "done" and len(jobs) <= _MOST_LINES:
                    console.say(f"{outcome.name}: {outcome.audio_seconds:.2f} s, RTF {outcome.seconds / outcome.audio_seconds:.4f}")
    except KeyboardInterrupt:
        done = sum(outcome.status == "done" for outcome in outcomes)
        console.warn(f"interrupted: {done} of {len(jobs)} files are in {output}. To go on, run the same command again.")
        return EXIT_INTERRUPTED
    return _finish(outcomes, output, chosen, time.monotonic() - began)


def _finish(outcomes, output: Path, vocoder, seconds: float) -> int:
    count = {status: sum(o.status == status for o in outcomes) for status in ("done", "skipped", "failed")}
    audio = sum(o.audio_seconds for o in outcomes if o.status == "done")
    rtf = seconds / audio if audio else None
    speed = f", RTF {rtf:.4f} ({1 / rtf:.3g} times real time)" if rtf else ""
    skipped = f", {count['skipped']} skipped because they exist (--overwrite makes them anew)" if count["skipped"] else ""
    console.say(f"{output}: {count['done']} of {len(outcomes)} files, {console.duration(audio)} of sound{speed}{skipped}")
    if clipped := sum(o.clipped for o in outcomes):
        console.warn(f"{clipped} samples were beyond full scale and were clipped; --subtype FLOAT keeps them.")
    if count["failed"]:
        console.warn(f"{count['failed']} of {len(outcomes)} files failed.")
    console.result(
        {
            "output": output,
            **count,
            "audio_seconds": round(audio, 3),
            "seconds": round(seconds, 3),
            "rtf": round(rtf, 5) if rtf else None,
            "vocoder": vocoder.name,
            "model": vocoder.sha256,
            "mel": vocoder.convention.to_dict(),
            "files": [outcome.to_json() for outcome in outcomes],
        }
    )
    return EXIT_FAILED if count["failed"] else EXIT_OK
