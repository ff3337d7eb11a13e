"""The step `bandwidth` of `enhance --do`: find where the band of a recording ends, and generate what lies above. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import RunError, UsageError
from ...models import bandwidth_networks as networks
from ...models.bandwidth_settings import BandwidthSettings
from ...models.model_file import EXTENDERS, ModelFile, bundled_models, find_model
from ...signal.band_edge import LongTermSpectrum, find_edge
from ..repair.findings import RepairStep
from .band_stream import EnvelopeStream, NumpyOperations, SpectrumStream
from .enhancers import EnhancerStream
from .resampled_stream import ResampledStream


@dataclass(frozen=True)
class BandwidthFinding:
    """The band of a recording.

    Attributes:
        edge_hz: Where it ends; None for a full band, or where nothing was found.
        level_db: Level of the recording, dB of its mean square while active; -inf for silence.
        sample_rate: Hz.
        reach_hz: The highest frequency that the model generates.
    """

    edge_hz: float | None
    level_db: float
    sample_rate: int
    reach_hz: float

    def __bool__(self) -> bool:
        return self.edge_hz is not None

    def summary(self) -> str:
        if self.edge_hz is not None:
            return f"band ends at {self.edge_hz / 1000:.2f} kHz: extended to {self.reach_hz / 1000:g} kHz"
        if not np.isfinite(self.level_db):
            return ""
        return f"full band up to {self.sample_rate / 2000:g} kHz: bandwidth left as it is"

    def to_json(self) -> dict[str, Any]:
        reached = {"edge_hz": round(self.edge_hz, 1), "extended_to_hz": self.reach_hz} if self.edge_hz is not None else {}
        return {"found": bool(self), "sample_rate": self.sample_rate, **reached}


class BandwidthSurvey:
    """Looks for the edge of the band in the long-term spectrum of the loud frames of all channels."""

    def __init__(self, channels: int, sample_rate: int, model_rate: int):
        self._spectrum = LongTermSpectrum(channels, sample_rate)
        self._rate, self._reach = sample_rate, min(sample_rate, model_rate) / 2

    def add(self, audio: np.ndarray) -> None:
        self._spectrum.add(audio)

    def finish(self) -> BandwidthFinding:
        loud = self._spectrum.loud()
        if loud is None:
            return BandwidthFinding(None, float("-inf"), self._rate, self._reach)
        edge = find_edge(loud[0], self._spectrum.step_hz)
        worth = edge is not None and edge < 0.92 * self._reach
        return BandwidthFinding(edge if worth else None, loud[1], self._rate, self._reach)


class BandwidthExtensionModel:
    """A bandwidth extender read from a file.

    Attributes:
        settings: Sizes.
    """

    def __init__(self, settings: BandwidthSettings, weights: dict[str, np.ndarray]):
        expected = networks.weight_shapes(settings)
        wrong = [name for name, shape in expected.items() if name not in weights or weights[name].shape != shape]
        if wrong:
            raise ValueError(f"weight {wrong[0]} is missing or has another shape")
        self.settings, self._ops = settings, NumpyOperations(weights)

    @classmethod
    def load(cls, model: ModelFile) -> BandwidthExtensionModel:
        """Read the network of a saved `BandwidthExtender`.

        Raises:
            RunError: The file is damaged, lacks weights, or holds weights of another shape.
        """
        try:
            weights = {name.removeprefix("vars/"): np.asarray(array, np.float32) for name, array in model.weights().items()}
            return cls(BandwidthSettings.from_dict(model.config["settings"]), weights)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{model.file} is damaged or was written by another version: {error}.", hint="copy the file again, or train again"
            ) from error

    def stream(self, channels: int, sample_rate: int, edge_hz: float, level_db: float) -> EnhancerStream:
        """Begin a stream of extended audio at any rate: each channel by itself.

        Args:
            channels: Number of channels.
            sample_rate: Hz.
            edge_hz: The highest frequency inside the band.
            level_db: Level of the recording, dB of its mean square while active; "ap-bwe" does without.
        """
        s = self.settings
        rate = sample_rate if s.network == "envelope" and s.layout(sample_rate) else s.sample_rate
        core: EnvelopeStream | SpectrumStream
        if s.network == "envelope":
            core = EnvelopeStream(s, self._ops, channels, rate, edge_hz, level_db)
        else:
            core = SpectrumStream(s, self._ops, channels, edge_hz)
        return EnhancerStream(core if rate == sample_rate else ResampledStream(core, rate, sample_rate, above=False))


def find_extender(model: Path | str | None = None) -> ModelFile:
    """Return the model of a run folder or a `.keras` file; None: a bundled one, where this version has one. Loads nothing.

    Raises:
        UsageError: None is given, and none is bundled.
        RunError: There is none, or it is a model of another kind.
    """
    model = bundled_models().get("bandwidth") if model is None else model
    if model is None:
        raise UsageError(
            "The step bandwidth needs a bandwidth extender, and none is bundled with this version.",
            hint="gan-audio train --recipe bwe/small --data DATA --run RUN, then --bandwidth-model RUN",
        )
    return find_model(model, EXTENDERS, "extend the bandwidth of recordings")


class BandwidthStep(RepairStep):
    """Generate the band above the edge of a recording; full-band recordings stay as they are."""

    def __init__(self, model: Path | str | None = None):
        self._file = find_extender(model)
        self._model: BandwidthExtensionModel | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the model's file."""
        return self._file.sha256

    def survey(self, channels: int, sample_rate: int, name: str = "") -> BandwidthSurvey:
        return BandwidthSurvey(channels, sample_rate, self._file.sample_rate or sample_rate)

    def stream(self, finding: BandwidthFinding, channels: int, sample_rate: int) -> EnhancerStream:
        if self._model is None:
            self._model = BandwidthExtensionModel.load(self._file)
        assert finding.edge_hz is not None
        return self._model.stream(channels, sample_rate, finding.edge_hz, finding.level_db)
