"""Plain facts about files to process: one file (`Job`), what became of it (`Outcome`), and all files of a command (`Plan`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...data.audio.find import LeftOut

Status = Literal["done", "silent", "skipped", "failed"]


class Stopped(Exception):
    """The user interrupted the batch; the file under way is abandoned and leaves nothing behind."""


@dataclass(frozen=True)
class Job:
    """One input file and the output it becomes.

    Attributes:
        name: Path below the input folder, with slashes; identifies the file in messages and reports.
        source: Input file.
        target: Output file.
        container: libsndfile's format of the output.
        subtype: libsndfile's encoding of the output.
        seconds: Length according to the header; 0 where the header does not say.
        note: Remark about the output's format for the user.
    """

    name: str
    source: Path
    target: Path
    container: str
    subtype: str
    seconds: float = 0.0
    note: str = ""


@dataclass
class Outcome:
    """The result of one job.

    Attributes:
        name: As in its job.
        status: "done"; "silent": written, but every sample is 0; "skipped": the output exists; "failed".
        reason: Why it failed.
        hint: Suggested remedy.
        output: File written; in an object store its URL.
        audio_seconds: Length of the audio.
        seconds: Time spent, reading and writing included.
        clipped: Samples of the output beyond full scale, which the encoding cannot hold.
        reduction_db: By how much the recording became quieter over its whole length, where a model removed noise.
        note: Further remarks for the user.
        found: Facts about the recording, as JSON.
    """

    name: str
    status: Status = "done"
    reason: str = ""
    hint: str = ""
    output: Path | str | None = None
    audio_seconds: float = 0.0
    seconds: float = 0.0
    clipped: int = 0
    reduction_db: float | None = None
    note: str = ""
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def rtf(self) -> float | None:
        """Real-time factor: seconds of work per second of audio."""
        return self.seconds / self.audio_seconds if self.audio_seconds and self.seconds else None

    def add_note(self, note: str) -> None:
        """Append a remark; empty ones are ignored."""
        self.note = "; ".join(filter(None, [self.note, note]))

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say something, rounded, for `--json`."""
        facts = {**vars(self), "seconds": round(self.seconds, 4), "audio_seconds": round(self.audio_seconds, 6)}
        rtf = self.rtf
        return {key: value for key, value in facts.items() if value not in ("", None, {})} | ({"rtf": round(rtf, 5)} if rtf else {})


@dataclass
class Plan:
    """All files of a command.

    Attributes:
        jobs: Files that can be opened, in order.
        failed: Files that cannot, with the reason.
        left_out: Number of recordings below the output folder, which are taken for outputs.
        others: Files of the input folders that are no recordings, with the reason.
    """

    jobs: list[Job] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    left_out: int = 0
    others: LeftOut = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Length of all audio to process."""
        return sum(job.seconds for job in self.jobs)
