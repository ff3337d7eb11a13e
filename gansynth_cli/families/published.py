"""How a family says which published checkpoints it reads: the protocol of every `families/<name>/published.py`. No TensorFlow.

Such a module defines `PUBLISHED`, a tuple of layouts: one for each program whose files the family can take over. A layout recognises a
source by the names and shapes in it, gives a recipe for it, and puts its arrays into the family's networks. All else is done once for
all families in `training.import_run`: building, checking that nothing is left over or missing, writing the run folder, and the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..data.foreign import ArrayMismatchError, ForeignArrays, ForeignFileError, open_arrays, read_config
from ..errors import UsageError

if TYPE_CHECKING:
    import keras


class Source:
    """What is to be imported: a file, prefix or folder. Opened once; every layout looks at the same one.

    Args:
        path: As the user gave it.
        config: The configuration that the user named; None: one is looked for beside the file.

    Attributes:
        used: Every file that was read, in the order of reading: what the manifest gives hashes of.
    """

    def __init__(self, path: Path, config: Path | None = None):
        self.path, self._config = Path(path), config
        self.used: list[Path] = []

    @cached_property
    def arrays(self) -> ForeignArrays:
        """The arrays of the source.

        Raises:
            ForeignFileError: It cannot be opened; see `data.foreign.open_arrays`.
        """
        return self.open(self.path)

    @property
    def folder(self) -> Path:
        """Where what belongs to the source lies."""
        return self.path if self.path.is_dir() else self.path.parent

    def open(self, path: Path) -> ForeignArrays:
        """Open a further file of arrays that belongs to the source, such as its discriminators or statistics."""
        arrays = open_arrays(path)
        self._use(*arrays.files)
        return arrays

    def beside(self, *patterns: str) -> Path | None:
        """Find a file beside the source: the last in natural order (do_00100000 before do_02500000) of the first pattern that has any."""
        for pattern in patterns:
            found = [path for path in self.folder.glob(pattern) if path.is_file() and path != self.path]
            if found:
                return max(found, key=lambda path: (len(path.name), path.name))
        return None

    def config(self, *patterns: str) -> dict[str, Any] | None:
        """Read the configuration that the user named, or else the one beside the source; None where there is none.

        Raises:
            ForeignFileError: It cannot be read.
        """
        path = self._config or self.beside(*patterns)
        if path is None:
            return None
        self.use(path)
        return read_config(path)

    def use(self, *paths: Path) -> None:
        """Note files as read."""
        self._use(*paths)

    def _use(self, *paths: Path) -> None:
        self.used += [path for path in map(Path, paths) if path not in self.used]


@dataclass(frozen=True)
class Answers:
    """What the user said beside the source, for what its files do not say.

    Attributes:
        sample_rate: Hz, of `--sample-rate`; None if not given.
        settings: Recipe key -> value, of `--set`.
        run_graph: Whether a program inside the source (TorchScript) may be run for the proof, `--run-graph`.
    """

    sample_rate: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    run_graph: bool = False

    def rate(self, found: int | None, why: str = "The files do not say the sample rate.") -> int:
        """Return the sample rate in Hz: the one found in the source, else the one that the user gave.

        Raises:
            UsageError: Neither is known, or they differ.
        """
        said = self.sample_rate or self.settings.get("data.sample_rate")
        if found is None and said is None:
            raise UsageError(why, hint="--sample-rate 22050, or whatever the recordings had that the model was trained on")
        if found is not None and said is not None and found != said:
            raise UsageError(f"--sample-rate is {said}; the source says {found}.", hint="leave --sample-rate out")
        return int(found if found is not None else said)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Proof:
    """The outcome of running the source's own graph and the imported model on the same inputs.

    Attributes:
        runner: What ran the graph, with its version: "onnxruntime 1.26.0".
        inputs: One phrase for each input.
        difference: Largest absolute difference of the outputs over all inputs.
        scale: Largest absolute value of the source's outputs.
        limit: The largest `difference / scale` that rounding explains.
        notes: What else is to be said of the comparison, one phrase each.
    """

    runner: str
    inputs: tuple[str, ...]
    difference: float
    scale: float
    limit: float = 1e-3
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether both gave the same but for rounding."""
        return bool(np.isfinite(self.difference)) and self.difference <= self.limit * self.scale


class Placement:
    """Arrays for the variables of networks, gathered first and assigned when all have been found.

    Attributes:
        values: Keras variable and its array, in the order of placing.
        slots: `id` of a variable -> slot name ("momentum", "velocity") -> array, as the optimiser keeps them.
        updates: Network name -> updates that its optimiser has made.
    """

    def __init__(self) -> None:
        self.values: list[tuple[keras.Variable, np.ndarray]] = []
        self.slots: dict[int, dict[str, np.ndarray]] = {}
        self.updates: dict[str, int] = {}
        self._kept: set[int] = set()
        self._deferred: set[int] = set()

    def put(self, variable: keras.Variable, array: np.ndarray, slots: Mapping[str, np.ndarray] | None = None) -> None:
        """Place an array, in the layout of the variable.

        Args:
            variable: Where it goes.
            array: What it gets.
            slots: The optimiser's numbers for it, by name, in the same layout.

        Raises:
            ValueError: A shape differs: the layout has turned it wrongly.
        """
        for name, one in {"": array, **(slots or {})}.items():
            if tuple(one.shape) != tuple(variable.shape):
                raise ValueError(f"{variable.path} {name} takes {tuple(variable.shape)}, not {one.shape}")
        self.values.append((variable, array))
        if slots:
            self.slots[id(variable)] = dict(slots)

    def keep(self, *variables: keras.Variable) -> None:
        """Name variables that keep what they were built with, because the source has no counterpart."""
        self._kept |= {id(variable) for variable in variables}

    def defer(self, *variables: keras.Variable) -> None:
        """Name variables that get their values from the data set when training begins: they are left out of the checkpoint."""
        self.keep(*variables)
        self._deferred |= {id(variable) for variable in variables}

    def deferred(self, variable: Any) -> bool:
        """Tell whether a variable was deferred."""
        return id(variable) in self._deferred

    def missing(self, network: keras.Model) -> list[str]:
        """Names of a network's variables that were neither placed nor kept. Seeds of Dropout do not count."""
        placed = {id(variable) for variable, _ in self.values} | self._kept
        return [v.path for v in network.variables if id(v) not in placed and "seed_generator" not in v.path]


@dataclass(frozen=True)
class Plan:
    """How a source becomes a run.

    Attributes:
        recipe: Name of the recipe that it is closest to, such as "hifigan/base".
        changes: Recipe key -> value that the source asks for.
        assign: (networks, averaged networks) -> the arrays for them. Both map names to models; where nothing is averaged, they hold
            the same models, and placing one places both.
        step: Steps that the source was trained for; 0 if it does not say.
        fresh: Networks that the source does not hold: they begin with first weights.
        facts: Fields of `DatasetInfo` that the networks need: labels, attributes, statistics.
        read, assumed, left: What is told to the user and kept in the manifest, one line each: what the source said, what it did not say
            and was taken as usual, what of it was not taken over and why.
        learning_rates: Network -> the rate of the last step, where the source says it.
        proof: Runs the source's own graph beside the model that `inference_model` gave, or says why that cannot be; None where it
            brings none.
        no_proof: Why there is none.
    """

    recipe: str
    changes: Mapping[str, Any]
    assign: Callable[[Mapping[str, Any], Mapping[str, Any]], Placement]
    step: int = 0
    fresh: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    read: Sequence[str] = ()
    assumed: Sequence[str] = ()
    left: Sequence[str] = ()
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    proof: Callable[[keras.Model], Proof | str] | None = None
    no_proof: str = "the source is a file of weights without a graph that could be run"


class Layout(Protocol):
    """One program's files. Attributes:

    family: The family that takes them.
    title: The program, as it is shown: "HiFi-GAN (jik876/hifi-gan)".
    files: Patterns of the names that its files of weights usually have; in a folder, the last of the first pattern is taken.
    """

    @property
    def family(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def files(self) -> Sequence[str]: ...

    def recognises(self, source: Source) -> bool:
        """Tell by names and shapes whether the source is of this program, without reading an array.

        Raises:
            ForeignFileError: The source cannot be opened.
        """
        ...

    def plan(self, source: Source, answers: Answers) -> Plan:
        """Work out a recipe for the source.

        Raises:
            UsageError: Something has to be asked of the user; the hint is the option to type.
            ForeignFileError: It is a checkpoint of this program, and one that the family cannot express.
        """
        ...


def cannot_express(source: Source, what: str, hint: str | None = None) -> ForeignFileError:
    """Make the error for a checkpoint of a known program with a setting that the family has no counterpart for."""
    return ForeignFileError(source.path, what, hint)


def whole_number(config: Mapping[str, Any], key: str, path: Path, default: int | None = None) -> int:
    """Read a whole number out of a configuration.

    Raises:
        ForeignFileError: It is missing without a default, or something else.
    """
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ForeignFileError(path, f"the configuration's {key} is {value!r}; expected a whole number.")
    return int(value)


def whole_numbers(config: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    """Read a list of whole numbers, or of lists of them, out of a configuration.

    Raises:
        ForeignFileError: It is missing or something else.
    """
    value = config.get(key)

    def fits(value: Any) -> bool:
        if isinstance(value, list):
            return bool(value) and all(map(fits, value))
        return isinstance(value, int) and not isinstance(value, bool)

    if not isinstance(value, list) or not fits(value):
        raise ForeignFileError(path, f"the configuration's {key} is {value!r}; expected a list of whole numbers.")
    return value


def require(config: Mapping[str, Any], wanted: Mapping[str, Any], source: Source) -> None:
    """Check settings that the family has built in.

    Args:
        config: The configuration.
        wanted: Key -> list of the values that are the built-in behaviour; a missing key is one of them where None is listed.
        source: For the message.

    Raises:
        ForeignFileError: One has another value: the network would act differently.
    """
    for key, values in wanted.items():
        allowed = list(values)
        found = config.get(key)
        if found not in allowed:
            usual = " or ".join(repr(value) for value in allowed if value is not None)
            raise cannot_express(source, f"the configuration has {key} = {found!r}; gan-audio's network has {usual} built in.")


__all__ = [
    "Answers",
    "ArrayMismatchError",
    "Layout",
    "Placement",
    "Plan",
    "Proof",
    "Source",
    "cannot_express",
    "require",
    "whole_number",
    "whole_numbers",
]
