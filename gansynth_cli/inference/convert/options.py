"""Options of `convert`."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError

MAX_SEMITONES = 36.0
MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class ConvertOptions:
    """Options of a conversion, and of the files written beside its output.

    Attributes:
        to: Domain of the output; "" with `anonymize`.
        source: Domain of the input, or "auto" to detect it.
        strength: From 0 (the speaker's own spectra, through the vocoder all the same) to 1 (converted); up to 2 the spectra are
            extrapolated, the pitch is not.
        semitones: Shift the pitch by this much; None: by the difference of the domains.
        keep_f0: Leave the pitch unchanged.
        anonymize: Convert to a mix of domains far from the source.
        seed: Seed of that mix.
        vocoder: "auto", "world", "filter", "mel", "griffin-lim", or the run folder, file or bundled name of a vocoder.
        per_channel: Convert each channel as a recording of its own, instead of the mean of all.
        sidecar: Write the provenance tag beside the output too, as JSON.
    """

    to: str = ""
    source: str = "auto"
    strength: float = 1.0
    semitones: float | None = None
    keep_f0: bool = False
    anonymize: bool = False
    seed: int = 0
    vocoder: str = "auto"
    per_channel: bool = False
    sidecar: bool = False

    def check(self) -> None:
        """Raise UsageError where values are out of range or contradict each other."""
        if bool(self.to) == self.anonymize:
            raise UsageError(
                "--to cannot be combined with --anonymize." if self.to else "No target is given.",
                hint="--to DOMAIN; gan-audio convert --list --model RUN shows the domains",
            )
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise UsageError(
                f"--strength is {self.strength:g}; expected 0 (unconverted) to 1 (converted), or up to {MAX_STRENGTH:g} (extrapolated)."
            )
        if self.keep_f0 and self.semitones is not None:
            raise UsageError("--keep-f0 cannot be combined with --pitch.", hint="--pitch 0 is --keep-f0")
        if self.semitones is not None and not -MAX_SEMITONES <= self.semitones <= MAX_SEMITONES:
            raise UsageError(
                f"--pitch is {self.semitones:g}; expected semitones from -{MAX_SEMITONES:g} to {MAX_SEMITONES:g}, or auto.",
                hint="--pitch 12 is an octave up",
            )
