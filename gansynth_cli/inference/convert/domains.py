"""The domains (speakers, emotions) of a converter, read without TensorFlow."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...models.model_file import CONVERTERS, ModelFile, find_model


@dataclass(frozen=True)
class Domains:
    """The domains of a converter, read from its file without TensorFlow.

    Attributes:
        names: In the order of their numbers.
        f0_hz: Mean pitch of each, Hz; 0: not known.
        seconds: Seconds of voiced speech behind each mean pitch; infinite where the file does not say.
        consent: Consent note of the training data.
        provenance: Recipe, step, version.
    """

    names: tuple[str, ...]
    f0_hz: tuple[float, ...]
    seconds: tuple[float, ...]
    consent: str
    provenance: dict[str, Any]

    def check(self, name: str, option: str) -> None:
        """Raise UsageError, with all valid names, if `resolve` could not take `name`."""
        if name in self.names or name in self._parts(0) or name in self._parts(1):
            return
        near = difflib.get_close_matches(name.casefold(), [known.casefold() for known in self.names], n=1, cutoff=0.5)
        meant = [known for known in self.names if near and known.casefold() == near[0]]
        valid = ", ".join(self.names)
        raise UsageError(
            f"{option} {name}: the model has no such domain; it has {valid}.",
            hint=f"{option} {meant[0]}" if meant else "gan-audio convert --list --model RUN shows them",
        )

    def resolve(self, name: str, source: int) -> int:
        """Return the number of a domain.

        Where domains are "speaker/emotion", an emotion alone keeps the speaker of domain `source`, a speaker alone its emotion.

        Raises:
            UsageError: There is no such combination.
        """
        if name in self.names:
            return self.names.index(name)
        speaker, _, emotion = self.names[source].partition("/")
        wanted = f"{name}/{emotion}" if name in self._parts(0) else f"{speaker}/{name}"
        if wanted not in self.names:
            raise UsageError(f"The model has no domain {wanted!r}; it has {', '.join(self.names)}.", hint=f"--to {self.names[0]}")
        return self.names.index(wanted)

    def _parts(self, place: int) -> set[str]:
        return {name.split("/", 1)[place] for name in self.names} if all("/" in name for name in self.names) else set()


def find_converter(model: Path | str) -> ModelFile:
    """Return the converter of a run folder or a `.keras` file. Loads nothing.

    Raises:
        RunError: There is none, or it is a model of another kind.
    """
    return find_model(model, CONVERTERS, "convert voices")


def domains_of(model: ModelFile) -> Domains:
    """Read the domains of a converter from its configuration."""
    config = model.config
    mean = config.get("f0_median") or config["f0_mean"]
    seconds = config.get("f0_seconds") or [None] * len(mean)
    return Domains(
        names=tuple(config["domains"]),
        f0_hz=tuple(float(np.exp(m)) if s is None or s > 0 else 0.0 for m, s in zip(mean, seconds, strict=True)),
        seconds=tuple(float("inf") if s is None else float(s) for s in seconds),
        consent=str(config.get("consent") or ""),
        provenance=model.provenance,
    )
