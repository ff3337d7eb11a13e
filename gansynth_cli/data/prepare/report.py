"""The options of `prepare` and what it reports."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import DatasetError, UsageError
from ..corpora.layouts import mode_of
from ..corpora.source_file import LabelOptions
from ..dataset_info import DatasetInfo
from .clip_cutting import SHORT, CutOptions
from .work import Outcome, SplitOptions


@dataclass(frozen=True)
class PrepareOptions:
    """All that decides the bytes of a data set.

    Attributes:
        cut: What is done to the sound.
        noise_hop_samples: For recordings of noise: samples from one clip's start to the next; 0 is the clip length.
        noise_short: For recordings of noise shorter than a clip: "loop", "pad" or "drop". Mixing repeats
            what is padded, with gaps of its own choice.
        noise_max_clips: Clips of one recording of noise at most; 0 is no limit.
        labels: How labels, speakers and official splits are found.
        splits: How recordings are shared among the splits.
        name: First part of the shards' names; "" takes the output folder's.
        shards: Shards of the train split; 0 makes one for each 32 MiB of recordings.
    """

    cut: CutOptions = field(default_factory=CutOptions)
    labels: LabelOptions = field(default_factory=LabelOptions)
    splits: SplitOptions = field(default_factory=SplitOptions)
    name: str = ""
    shards: int = 0
    noise_hop_samples: int = 0
    noise_short: str = "pad"
    noise_max_clips: int = 0

    @property
    def pairs(self) -> bool:
        """Whether the recordings are clean ones with their noisy partners."""
        return mode_of(self.labels) == "layout" and self.labels.layout == "pairs"

    @property
    def noise_cut(self) -> CutOptions:
        """What is done to the sound of noise: cut, nothing else. Where a noise begins and how loud it is, mixing decides."""
        return CutOptions(
            sample_rate=self.cut.sample_rate,
            channels=self.cut.channels,
            clip_samples=self.cut.clip_samples,
            hop_samples=self.noise_hop_samples,
            short=self.noise_short,
            min_seconds=self.cut.min_seconds,
            max_clips=self.noise_max_clips,
        )

    def check(self) -> None:
        """Raise UsageError where options are out of range or contradict each other."""
        self.cut.check()
        for option, value in (("--detail noise-hop-samples", self.noise_hop_samples), ("--detail noise-max-clips", self.noise_max_clips)):
            if value < 0:
                raise UsageError(f"{option} is {value}; expected at least 0.")
        if self.noise_short not in SHORT:
            raise UsageError(f"--detail noise-short is {self.noise_short!r}; expected one of {', '.join(SHORT)}.")
        mode_of(self.labels)
        self.splits.check()
        if not 0 <= self.shards <= 99999:
            raise UsageError(f"--detail shards is {self.shards}; expected 1 to 99999, or 0 to choose.")
        if self.name and not re.fullmatch(r"[\w.-]+", self.name):
            raise UsageError(f"--detail name is {self.name!r}; expected letters, digits, '_', '.' and '-'.")


@dataclass
class PrepareReport:
    """The outcome of `prepare`.

    Attributes:
        output: The data set folder; in an object store its URL.
        status: "written", "unchanged" (it was there already), "statistics added", or "dry run".
        info: Facts of the data set; after a dry run what they would be, without shards.
        outcomes: One entry a recording; if nothing was done, what the data set's own file says of it.
        left_out: (name, reason) of recordings that the options or the corpus leave out.
        warnings: Sentences for the user.
        resumed_files: Recordings that an interrupted run had done.
        elapsed: Seconds.
    """

    output: Path | str
    status: str
    info: DatasetInfo
    outcomes: list[Outcome] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    resumed_files: int = 0
    elapsed: float = 0.0

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.failed]

    @property
    def dropped(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.dropped]

    def total(self, what: str) -> float:
        """Return the sum over the recordings of a numeric field of `Outcome`."""
        return sum(getattr(outcome, what) for outcome in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        splits = {
            name: {"clips": s.clips, "seconds": round(s.seconds, 3), "labels": s.label_counts}
            | ({"attributes": s.attribute_counts} if s.attribute_counts else {})
            for name, s in self.info.splits.items()
        }
        return {
            "output": str(self.output),
            "status": self.status,
            "files": len(self.outcomes),
            "kept": sum(outcome.clips > 0 for outcome in self.outcomes),
            "clips": sum(split.clips for split in self.info.splits.values()),
            "padded": self.total("padded"),
            "looped": self.total("looped"),
            "clipped": self.total("clipped"),
            "short_pieces": self.total("short_pieces"),
            "silent_clips": self.total("silent_clips"),
            "dropped": [{"path": o.name, "reason": o.dropped} for o in self.dropped],
            "failed": [{"path": o.name, "reason": o.failed} for o in self.failed],
            "left_out": [{"path": name, "reason": reason} for name, reason in self.left_out],
            "labels": self.info.labels,
            "attributes": self.info.attributes,
            "splits": splits,
            "sample_rate": self.info.sample_rate,
            "channels": self.info.channels,
            "clip_samples": self.info.clip_samples,
            "pairs": self.info.pairs,
            "fingerprint": self.info.fingerprint,
            "warnings": self.warnings,
            "resumed_files": self.resumed_files,
            "seconds": round(self.elapsed, 3),
        }


class NothingToTrain(DatasetError):
    """No recording gave a clip for the train split; `report` says what became of each."""

    report: PrepareReport
