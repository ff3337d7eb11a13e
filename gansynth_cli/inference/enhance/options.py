"""Options of `enhance`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..files.task import check_rate

MAX_STRENGTH_DB = 100.0
MAX_HEADROOM_DB = 24.0
PASSES = 2
DENOISE, BANDWIDTH = "denoise", "bandwidth"


@dataclass(frozen=True)
class EnhanceOptions:
    """Options of the enhancement, and of the files written beside its output.

    Attributes:
        strength_db: Maximum attenuation, dB; None: the default of the model.
        mix: From 0, the unprocessed recording, to 1, the enhanced one.
        per_channel: Use a mask of its own for each channel instead of one for all.
        passes: Maximum number of frame grids that are averaged; see `Enhancer.stream`.
        keep_noise: Write what was removed beside the output, so that both add up to the input.
        before_after: Draw the spectrograms of input and output into a picture beside the output.
        steps: Names of `steps.STEPS`, in any order; they run in the order of that registry.
        gaps: List of gaps, or a folder with one for each recording; see `repair.gaps.read_gaps`.
        headroom_db: Lower the output by this much, for restored peaks.
        keep_removed: As `keep_noise`, under another name.
        bandwidth_model: Run folder, file or bundled name of a bandwidth extender.
        output_rate: Hz; recordings of a lower rate are resampled to it before their bandwidth is extended.
    """

    strength_db: float | None = None
    mix: float = 1.0
    per_channel: bool = False
    passes: int = PASSES
    keep_noise: bool = False
    before_after: bool = False
    steps: tuple[str, ...] = (DENOISE,)
    gaps: Path | None = None
    headroom_db: float = 0.0
    keep_removed: bool = False
    bandwidth_model: Path | str | None = None
    output_rate: int | None = None

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        if self.strength_db is not None and not 0 <= self.strength_db <= MAX_STRENGTH_DB:
            raise UsageError(
                f"--strength is {self.strength_db:g}; expected dB from 0 (nothing is removed) to {MAX_STRENGTH_DB:g}.",
                hint="--strength 12 is gentle, 40 removes nearly everything",
            )
        if not 0 <= self.mix <= 1:
            raise UsageError(f"--mix is {self.mix:g}; expected 0 (unprocessed) to 1 (enhanced).")
        if not 0 <= self.headroom_db <= MAX_HEADROOM_DB:
            raise UsageError(f"--headroom is {self.headroom_db:g}; expected dB from 0 to {MAX_HEADROOM_DB:g}.", hint="--headroom 6")
        if self.gaps is not None and "gaps" not in self.steps:
            raise UsageError("--gaps lists gaps, but the step gaps is not asked for.", hint="--do gaps,denoise")
        if self.gaps is not None and not self.gaps.exists():
            raise UsageError(f"The list of gaps {self.gaps} does not exist.", hint="one gap a line: START END, in seconds")
        for name, given in (("--bandwidth-model", self.bandwidth_model), ("--output-rate", self.output_rate)):
            if given is not None and BANDWIDTH not in self.steps:
                raise UsageError(
                    f"{name} is for the step bandwidth, which is not asked for.", hint="--do bandwidth, or --do denoise,bandwidth"
                )
        if self.output_rate is not None:
            check_rate(self.output_rate)
        if self.keep_noise and self.keep_removed:
            raise UsageError("--keep-noise and --keep-removed write the same.", hint="leave out one of them")
