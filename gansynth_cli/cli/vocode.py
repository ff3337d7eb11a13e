"""`gan-audio generate RUN --from ...`: a vocoder's sound of recordings' mel spectrograms, or of mel spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import console
from .file_report import Words, cores, run_plan, show_plan

if TYPE_CHECKING:
    from ..inference.files.file_batch import Outcome

_LAYOUTS = ("frames-mels", "mels-frames")
_GRIFFIN_LIM = "griffin-lim"
_SUFFIXES = ("wav", "flac", "ogg", "mp3")
_WORDS = Words("vocode", "vocoded", "Vocoding")


def check_options(inputs: Sequence[Path], vocoder: str, layout: str, jobs: int, refused: Sequence[str]) -> None:
    """Raises UsageError for what does not go together, before TensorFlow loads."""
    if not inputs:
        option = "--model" if vocoder else "--jobs"
        raise UsageError(
            f"{option} is for --from, which is missing.", hint="gan-audio generate RUN --from recordings/ --model griffin-lim -o out/"
        )
    if refused:
        raise UsageError(f"{refused[0]} has no meaning with --from: a vocoder says again what it is given.")
    if vocoder not in ("", _GRIFFIN_LIM):
        raise UsageError(f"--model is {vocoder!r}; expected {_GRIFFIN_LIM}, or nothing for RUN's own network.")
    if layout not in _LAYOUTS:
        raise UsageError(f"--mel-layout is {layout!r}; expected one of {', '.join(_LAYOUTS)}.")
    if jobs < 0:
        raise UsageError(f"--jobs is {jobs}; expected at least 1, or 0 for one a core.")
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
    jobs: int,
) -> int:
    """Makes the files and says what became of them; 1 if any failed or is silent."""
    suffix = format.lower().lstrip(".")
    if suffix not in _SUFFIXES:
        raise UsageError(f"--format is {format!r}; expected one of {', '.join(_SUFFIXES)}.")
    if subtype is not None and suffix not in ("wav", "flac"):
        raise UsageError(f"--subtype {subtype} was given with --format {suffix}, which has only one encoding.")
    console.start_tensorflow()
    from ..inference.vocode import files as vocode_files
    from ..inference.vocode import stream as vocode

    network = vocode.open_vocoder(model)
    chosen = vocode.GriffinLimVocoder(network.convention) if vocoder else network
    encoding = (subtype or "PCM_16").upper()
    made = vocode_files.plan_vocode(inputs, output, chosen.convention, suffix=f".{suffix}", subtype=encoding, transposed=transposed)
    if made.left_out:
        console.say(f"{made.left_out} files in {output} are left out: that is where outputs go")
    if not made.jobs and not made.failed:
        raise UsageError(f"All inputs are in the output folder {output}.", hint="give the folder of the recordings with --from")
    console.say(f"{chosen.name}: {chosen.convention.describe()}")
    if dry_run:
        return show_plan(made, output, overwrite, _WORDS)

    def work(on_audio: Callable[[float], None], on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
        return vocode_files.vocode_jobs(
            made.jobs, chosen, network.file, overwrite=overwrite, workers=jobs or cores(), on_audio=on_audio, on_outcome=on_outcome
        )

    return run_plan(made, output, _WORDS, work, {"vocoder": chosen.name, "model": chosen.sha256, "mel": chosen.convention.to_dict()})
