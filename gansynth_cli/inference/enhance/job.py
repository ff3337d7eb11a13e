"""What `enhance` is asked to do with a recording, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..files import file_batch
from ..files.file_batch import Outcome, Stopped
from .enhancers import PASSES, STRENGTH_DB

__all__ = ["Job", "Options", "Outcome", "Stopped"]

MOST_STRENGTH_DB = 100.0


@dataclass(frozen=True)
class Options:
    """What is done to the sound, and what is written.

    Attributes:
        strength_db: Nothing is turned down by more than this, dB.
        mix: From 0, the recording as it was, to 1, enhanced.
        per_channel: Each channel gets a mask of its own; else all share one.
        passes: As for `Enhancer.stream`.
        keep_noise: Write what was removed beside the output, so that both add up to the input.
        before_after: Draw the spectrograms of input and output into a picture beside the output.
        overwrite: Replace outputs that exist.
    """

    strength_db: float = STRENGTH_DB
    mix: float = 1.0
    per_channel: bool = False
    passes: int = PASSES
    keep_noise: bool = False
    before_after: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Raises UsageError where a value is out of range."""
        if not 0 <= self.strength_db <= MOST_STRENGTH_DB:
            raise UsageError(
                f"--strength is {self.strength_db:g}; expected dB from 0 (nothing is removed) to {MOST_STRENGTH_DB:g}.",
                hint="--strength 12 is gentle, 24 the default, 40 takes nearly all",
            )
        if not 0 <= self.mix <= 1:
            raise UsageError(f"--mix is {self.mix:g}; expected 0 (the recording as it was) to 1 (enhanced).")


@dataclass(frozen=True)
class Job(file_batch.Job):
    """One recording to be cleaned."""

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
