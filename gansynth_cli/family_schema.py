"""The declarations of a family about its recipes, and the discovery of families: no table lists them. Imports no TensorFlow."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .feature_specs import FrameFeatures, GivenMels, LogSpectrogram, SpeechFeatures

GENERATE = "generate {run} -n 64 -o clips/"
ENHANCE = "enhance recordings/ --model {run} -o clean/"
EXTEND = "enhance recordings/ --do bandwidth --bandwidth-model {run} -o wide/"
VOCODE = "vocode recordings/ --model {run} -o resynthesised/"
SAY = 'say "Good morning." --model {run} -o morning.wav'
RECOGNISE = "info recording.wav --phones {run}"
CLONE = "convert recordings/ --to reference.wav --consent NOTE --model {run} -o out/"
CONVERT = "convert recordings/ --to DOMAIN --model {run} -o out/"


@dataclass(frozen=True)
class NoLosses:
    """`[losses]` of a family whose only loss is the adversarial one."""


@dataclass(frozen=True)
class ModelTable:
    """Base of every `[model]` table, with the properties that preparation and training read from any family's model."""

    @property
    def conditioning(self) -> str:
        """ "none", or how the model is conditioned on labels: then labels are required, and a run keeps its initial ones."""
        return "none"

    @property
    def use(self) -> str:
        """The command that uses a trained run, where it depends on the model; "": that of the family."""
        return ""

    def statistics(self, sample_rate: int) -> tuple[LogSpectrogram, ...]:
        """Per-bin statistics over the training clips, computed by `prepare --recipe` or at the start of training."""
        return ()

    @property
    def whole_recordings(self) -> bool:
        """Whether `prepare` leaves recordings uncut, because training crops anywhere in them."""
        return False

    def frame_features(self, sample_rate: int) -> FrameFeatures | None:
        """Features of every frame that are cached beside the clips; None: the family reads audio."""
        return None

    def speech_features(self, sample_rate: int) -> SpeechFeatures | None:
        """Phones, durations, F0, energy and spectra that are cached beside recordings with transcripts; None: no text is needed."""
        return None

    def mels_beside(self, sample_rate: int) -> GivenMels | None:
        """The given mel spectrograms that are read beside the recordings; None: mel spectrograms are computed."""
        return None


@dataclass(frozen=True)
class FamilySchema:
    """The tables of a family: `[model]`, `[losses]`, and the names that `[optimizers.NAME]` may have. `use` is the command that uses a
    trained run, `{run}` being its folder."""

    model: type[ModelTable]
    losses: type = NoLosses
    optimizers: tuple[str, ...] = ("generator", "critic")
    use: str = GENERATE


@dataclass(frozen=True)
class Plugin:
    """A family that another distribution brings, by an entry point `NAME = "its.package"` of the group `gan_audio.families`.

    Attributes:
        name: Of the family.
        package: Python package with the modules `schema` (SCHEMA), `family` (FAMILY) and, if it saves layers of its own, `layers`.
        distribution: Its distribution and version.
        schema: None where it cannot be used.
        problem: Why it cannot; empty if it can.
    """

    name: str
    package: str
    distribution: str
    schema: FamilySchema | None = None
    problem: str = ""


PLUGIN_GROUP = "gan_audio.families"


def find_families() -> dict[str, FamilySchema]:
    """Return name -> schema of every family: each folder of `families/`, whose `schema.py` defines `SCHEMA`."""
    families = importlib.import_module(f"{__package__}.families")
    names = sorted(found.name for found in pkgutil.iter_modules(families.__path__) if found.ispkg)
    return {name: importlib.import_module(f"{families.__name__}.{name}.schema").SCHEMA for name in names}


def find_plugins(built_in: Collection[str]) -> dict[str, Plugin]:
    """Return name -> family of another distribution. One that raises on import, or has the name of another family, keeps its reason, and
    the others work.

    Args:
        built_in: Names that cannot be taken.
    """
    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=PLUGIN_GROUP):
        distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
        if entry.name in built_in or entry.name in found:
            owner = "gan-audio" if entry.name in built_in else found[entry.name].distribution
            name = f"{entry.name} of {distribution}"
            found[name] = Plugin(name, entry.value, distribution, problem=f"{owner} has a family of that name")
            continue
        try:
            schema = importlib.import_module(f"{entry.value}.schema").SCHEMA
            if not isinstance(schema, FamilySchema):
                raise TypeError(f"SCHEMA is {type(schema).__name__}; expected gansynth_cli.family_schema.FamilySchema")
            found[entry.name] = Plugin(entry.name, entry.value, distribution, schema)
        except Exception as error:  # whatever a stranger's module raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            found[entry.name] = Plugin(entry.name, entry.value, distribution, problem=reason)
    return found
