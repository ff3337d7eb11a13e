"""What `enhance` is asked to do with a recording, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from .enhancers import STRENGTH_DB

MOST_STRENGTH_DB = 100.0

Status = Literal["done", "silent", "skipped", "failed"]


@dataclass(frozen=True)
class Options:
    """What is done to the sound, and what is written.

    Attributes:
        strength_db: Nothing is turned down by more than this, dB.
        mix: From 0, the recording as it was, to 1, enhanced.
        per_channel: Each channel gets a mask of its own; else all share one.
        keep_noise: Write what was removed beside the output, so that both add up to the input.
        before_after: Draw the spectrograms of input and output into a picture beside the output.
        overwrite: Replace outputs that exist.
    """

    strength_db: float = STRENGTH_DB
    mix: float = 1.0
    per_channel: bool = False
    keep_noise: bool = False
    before_after: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raises UsageError where a value is out of range."""
        if not 0 <= self.strength_db <= MOST_STRENGTH_DB:
            raise UsageError(
                f"--strength is {self.strength_db:g}; expected dB from 0 (nothing is removed) to {MOST_STRENGTH_DB:g}.",
                hint="--strength 12 is gentle, 20 the default, 40 takes nearly all",
            )
        if not 0 <= self.mix <= 1:
            raise UsageError(f"--mix is {self.mix:g}; expected 0 (the recording as it was) to 1 (enhanced).")


@dataclass(frozen=True)
class Job:
    """One recording to be cleaned.

    Attributes:
        name: Its path below its input folder, with slashes: what messages call it.
        source: The recording.
        target: Where the output goes.
        container: libsndfile's format of the output.
        subtype: libsndfile's encoding of it.
        seconds: Its length according to its header; 0 where that does not say.
        note: What the user should know of the output's format.
    """

    name: str
    source: Path
    target: Path
    container: str
    subtype: str
    seconds: float = 0.0
    note: str = ""

    @property
    def noise(self) -> Path:
        """Where what was removed goes."""
        return self.target.with_name(f"{self.target.stem}.noise{self.target.suffix}")

    @property
    def picture(self) -> Path:
        return self.target.with_name(f"{self.target.name}.before-after.png")

    def outputs(self, options: Options) -> list[Path]:
        """The files that are written, the most important last."""
        return [*([self.noise] if options.keep_noise else []), *([self.picture] if options.before_after else []), self.target]


@dataclass
class Outcome:
    """What became of one recording.

    Attributes:
        name: As in its job.
        status: "done"; "silent": written, but every sample is 0; "skipped": the output exists; "failed".
        reason: Why it failed.
        hint: What helps.
        output: The file written.
        audio_seconds: Length of the recording.
        seconds: Time it took, reading and writing included.
        clipped: Samples of the output beyond full scale, which the encoding cannot hold.
        note: What else the user should know.
    """

    name: str
    status: Status = "done"
    reason: str = ""
    hint: str = ""
    output: Path | None = None
    audio_seconds: float = 0.0
    seconds: float = 0.0
    clipped: int = 0
    note: str = ""

    @property
    def rtf(self) -> float | None:
        """Real-time factor: seconds of work for a second of sound."""
        return self.seconds / self.audio_seconds if self.audio_seconds and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        facts = {**vars(self), "seconds": round(self.seconds, 4), "audio_seconds": round(self.audio_seconds, 6)}
        rtf = self.rtf
        return {key: value for key, value in facts.items() if value not in ("", None)} | ({"rtf": round(rtf, 5)} if rtf else {})


class Stopped(Exception):
    """The user wants no more."""
