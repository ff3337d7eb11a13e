"""A request for clips, checked, and joined with a model: which clips there are, what they are called, and their latents."""

from __future__ import annotations

import difflib
import math
import re
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ... import __version__
from ...data.audio import audio_file
from ...data.corpora.note_names import pitch_name, ranges
from ...errors import GanAudioError, UsageError
from .clip_folder import ATTRIBUTES, REQUEST_VERSION, Wanted
from .latents import METHODS, check_seed, check_truncation, draw_latents, latent_bound, walk

FORMATS = ("wav", "flac", "ogg", "mp3")
MIDDLE_C, USUAL_VELOCITY = 60, 100  # what a walk plays where it is not told
_FIELDS = ("index", "seed", "label", *ATTRIBUTES)
_GOLDEN = (math.sqrt(5) - 1) / 2
_WIDEST_FIELD = 64  # characters; a larger width in a template is a slip, and Python would make the memory for it
_LONGEST_NAME = 200  # bytes of one part of a path; file systems allow 255, and a suffix and a sidecar's come on top
_TEMPLATE_HINT = '--template "{index:06d}_{label}_{seed}", or "{label}/{index:06d}" for a folder for each label'


class Session(Protocol):
    """What is asked of a loaded generator; see `session.GeneratorSession`."""

    @property
    def sha256(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def distribution(self) -> str: ...
    def run(
        self,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        pitch: np.ndarray | None = None,
        instrument: np.ndarray | None = None,
        velocity: np.ndarray | None = None,
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class GenerateOptions:
    """What is asked for.

    Attributes:
        clips: How many. Not read with `interpolate`.
        first: Number of the first one: clip i of a seed is the same clip in every request.
        seed: 0 to 2^63 - 1.
        labels: Class names that take turns, clip by clip; empty: all the model has.
        pitches: MIDI numbers that take turns; empty: all the model has, in wide steps, so that few clips span the range.
        instruments, velocities: Those that take turns; empty: all the model has.
        interpolate: Two seeds: one walk from clip 0 of the first to clip 0 of the second for each label.
        steps: Clips of one walk, both ends included.
        method: "lerp" or "slerp"; None: the one that fits the model's latents (uniform lerp, normal slerp).
        truncation: See `latents.draw_latents`.
        batch: Clips computed ahead of the encoders: a matter of memory and speed, never of sound.
        format: One of `FORMATS`.
        subtype: libsndfile's encoding for wav and flac; None: PCM_16.
        template: File name below the output folder without suffix, with the fields index, seed, label; it may name
            subfolders. None: "{index:06d}_{label}_{seed}", without the label if the model has none.
        sample_rate: Resample to this rate, Hz; None keeps the model's.
        peak_db: Scale every clip to this peak, dBFS; None keeps the level. Silence stays silent.
        trim_silence: Cut what is 60 dB below the clip's peak from both ends.
        sidecar: Write `<file>.json` beside every clip: the mark and the manifest's row.
        save_latents: Write the latent of every clip beside it, as `.npy`.
    """

    clips: int = 16
    first: int = 0
    seed: int = 0
    labels: tuple[str, ...] = ()
    pitches: tuple[int, ...] = ()
    instruments: tuple[str, ...] = ()
    velocities: tuple[int, ...] = ()
    interpolate: tuple[int, int] | None = None
    steps: int = 9
    method: str | None = None
    truncation: float | None = None
    batch: int = 64
    format: str = "wav"
    subtype: str | None = None
    template: str | None = None
    sample_rate: int | None = None
    peak_db: float | None = None
    trim_silence: bool = False
    sidecar: bool = False
    save_latents: bool = False

    def check(self) -> None:
        """Finds what is wrong whatever the model is, before anything slow is loaded.

        Raises:
            UsageError: Names the option, its value and what was expected.
        """
        for name, value, least in (
            ("-n", self.clips, 1),
            ("--first", self.first, 0),
            ("--batch", self.batch, 1),
            ("--steps", self.steps, 2),
        ):
            if value < least:
                raise UsageError(f"{name} is {value}; expected at least {least}.")
        for seed in (self.seed, *(self.interpolate or ())):
            check_seed(seed)
        if self.first + self.clips > 2**63:
            raise UsageError(f"--first {self.first} with -n {self.clips} goes beyond clip 2^63 - 1.")
        if self.method is not None and self.method not in METHODS:
            raise UsageError(f"--method is {self.method!r}; expected {' or '.join(METHODS)}.")
        if self.format not in FORMATS:
            raise UsageError(f"--format is {self.format!r}; expected one of {', '.join(FORMATS)}.{_nearest(self.format, FORMATS)}")
        if self.subtype is not None and self.format not in ("wav", "flac"):
            raise UsageError(f"--subtype {self.subtype} was given with --format {self.format}, which has only one encoding.")
        if self.sample_rate is not None and not 1000 <= self.sample_rate <= 384_000:
            raise UsageError(f"--sample-rate is {self.sample_rate} Hz; expected 1000 to 384000.")
        if self.peak_db is not None and not -100 <= self.peak_db <= 0:
            raise UsageError(f"--normalize is {self.peak_db} dBFS; expected -100 to 0, or none.")
        if self.template is not None:
            _check_template(self.template)


@dataclass(frozen=True)
class LatentTable:
    """Latents that are given in place of drawn ones: all of them are played, in order, for each combination of classes in turn.

    Attributes:
        latents: float32 [n, latent_dim].
        names: What stands in place of the seed, row by row, in file names, marks and the manifest.
        request: What the latents follow from, as `generate.json` keeps it.
        found: Condition -> class name for each row: what it is played with where the user asks for nothing else.
    """

    latents: np.ndarray
    names: tuple[str, ...]
    request: Mapping[str, Any]
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Clip:
    """One planned clip. `numbers` are its class numbers for the network, `attributes` the names of its classes beside the label."""

    index: int
    seed: str
    label: str
    file: str
    numbers: Mapping[str, int]
    attributes: Mapping[str, str]

    @property
    def caption(self) -> str:
        """Its classes as people say them: "kick", or "flute C4"."""
        shown = [self.label, self.attributes.get("instrument", "")]
        if pitch := self.attributes.get("pitch"):
            shown.append(pitch_name(int(pitch)))
        return " ".join(filter(None, shown))


class Plan:
    """A request joined with a model: which clips there are, their names, and their latents.

    Everything about clip i is a function of the request and i alone.
    """

    def __init__(self, options: GenerateOptions, session: Session, table: LatentTable | None = None):
        """
        Args:
            options: The request.
            session: The model.
            table: Latents in place of drawn ones; `options.clips`, `first` and `seed` are then not read.

        Raises:
            UsageError: A class the model has not, a truncation its latents do not allow, an encoding that does not exist,
                a template that gives two clips one name.
        """
        options.check()
        check_truncation(options.truncation, session.distribution)
        self.options, self.session = options, session
        self.table = self._walk() if options.interpolate and table is None else table
        self._asked = check_asked(options, session)
        self._turns = {name: self._turn_of(name, names) for name, names in session.classes.items()}
        self.labels = tuple(self.session.classes["label"][n] for n in self._turns["label"]) if "label" in self._turns else ()
        self.attributes = tuple(name for name in ATTRIBUTES if name in session.classes)
        self.sample_rate = options.sample_rate or session.sample_rate
        self.subtype = options.subtype or "PCM_16"
        self.template = self._resolve_template(options.template)
        _try_encoding(options.format, self.subtype, self.sample_rate)
        if self.table:
            self.first, self.total = 0, len(self.table.latents) * math.prod(map(len, self._turns.values()))
        else:
            self.first, self.total = options.first, options.clips
        self._check_names()

    @cached_property
    def method(self) -> str:
        return self.options.method or default_method(self.session.distribution)

    def request(self) -> dict[str, Any]:
        """What makes the clips what they are, as `generate.json` keeps it. How many there are is not part of it: the same
        request for more clips adds to those that are there."""
        options = self.options
        which: Mapping[str, Any] = self.table.request if self.table else {"seed": options.seed}
        told = {name: [names[n] for n in self._turns[name]] for name, names in self.session.classes.items() if name in self.attributes}
        return {
            "version": REQUEST_VERSION,
            "model": self.session.sha256,
            **which,
            "labels": list(self.labels),
            **told,
            "truncation": options.truncation,
            "format": options.format,
            "subtype": self.subtype if options.format in ("wav", "flac") else None,
            "sample_rate": self.sample_rate,
            "peak_db": options.peak_db,
            "trim_silence": options.trim_silence,
            "template": self.template,
            "sidecar": options.sidecar,
            **({"save_latents": True} if options.save_latents else {}),
        }

    def clip(self, index: int) -> Clip:
        options, table = self.options, self.table
        numbers = self._numbers(index)
        told = {name: self.session.classes[name][number] for name, number in numbers.items()}
        label = told.pop("label", "")
        seed = table.names[index % len(table.names)] if table else str(options.seed)
        fields: dict[str, Any] = {name: int(text) if name in ("pitch", "velocity") else _safe(text) for name, text in told.items()}
        name = self.template.format(index=index, seed=_safe(seed) if table else options.seed, label=_safe(label), **fields)
        return Clip(index, seed, label, f"{name}.{options.format}", numbers, told)

    def clips(self) -> Iterator[Clip]:
        return map(self.clip, range(self.first, self.first + self.total))

    def latents(self, indices: Sequence[int]) -> np.ndarray:
        """float32 [len(indices), latent_dim]."""
        if self.table:
            return self.table.latents[np.asarray(indices) % len(self.table.latents)]
        return draw_latents(self.options.seed, indices, self.session.latent_dim, self.session.distribution, self.options.truncation)

    def numbers(self, indices: Sequence[int]) -> np.ndarray:
        """Numbers of the labels, int32 [len(indices)]; zeros if the model has none."""
        return np.asarray([self._numbers(index).get("label", 0) for index in indices], np.int32)

    def other_numbers(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Pitch, instrument and velocity, of those that the model has: class numbers, int32 [len(indices)] each."""
        every = [self._numbers(index) for index in indices]
        return {name: np.asarray([numbers[name] for numbers in every], np.int32) for name in self.attributes}

    def mark(self, clip: Clip) -> dict[str, Any]:
        """The provenance that is written into the file."""
        made_by = getattr(getattr(self.session, "generator", None), "provenance", {}).get("recipe", "")
        return {
            "synthetic": True,
            "software": f"gan-audio {__version__}",
            "model": self.session.sha256,
            "recipe": made_by,
            "seed": clip.seed if self.table else self.options.seed,
            "index": clip.index,
            "label": clip.label,
            **clip.attributes,
        }

    def wanted(self) -> Iterator[Wanted]:
        return (Wanted(clip.index, clip.file, self.mark(clip)) for clip in self.clips())

    def _numbers(self, index: int) -> dict[str, int]:
        """Condition -> number of its class for clip `index`."""
        table = self.table
        turn = index // len(table.latents) if table else index
        places = take_turns([len(numbers) for numbers in self._turns.values()], turn)
        numbers = {name: order[place] for (name, order), place in zip(self._turns.items(), places, strict=True)}
        if table:
            row = index % len(table.latents)
            found = {name: names[row] for name, names in table.found.items() if name in numbers and name not in self._asked}
            numbers |= {name: self.session.classes[name].index(text) for name, text in found.items()}
        return numbers

    def _turn_of(self, name: str, known: Sequence[str]) -> list[int]:
        """The numbers of a condition's classes in the order in which they are played."""
        if name in self._asked:
            return [known.index(text) for text in self._asked[name]]
        if self.table and name in self.table.found:
            return [0]  # each row has its own
        if self.table and name != "label":
            usual = {"pitch": MIDDLE_C, "velocity": USUAL_VELOCITY}.get(name)
            return [0 if usual is None else min(range(len(known)), key=lambda number: abs(int(known[number]) - usual))]
        return wide_steps(len(known)) if name == "pitch" else list(range(len(known)))

    def _walk(self) -> LatentTable:
        """The way from clip 0 of one seed to clip 0 of another."""
        options, session = self.options, self.session
        assert options.interpolate is not None
        start, end = (draw_latents(s, [0], session.latent_dim, session.distribution, options.truncation)[0] for s in options.interpolate)
        path = walk(start, end, options.steps, self.method, latent_bound(session.distribution, options.truncation))
        name = f"{options.interpolate[0]}-{options.interpolate[1]}"
        request = {"interpolate": list(options.interpolate), "steps": options.steps, "method": self.method}
        return LatentTable(path, (name,) * options.steps, request)

    def _resolve_template(self, template: str | None) -> str:
        known = self.session.classes
        if template is None:
            parts = ["{index:06d}", *(f"{{{name}:03d}}" if name in ("pitch", "velocity") else f"{{{name}}}" for name in known), "{seed}"]
            return "_".join(parts)
        suffix = f".{self.options.format}"
        template = template[: -len(suffix)] if template.lower().endswith(suffix) else template
        used = {name for _, name, _, _ in string.Formatter().parse(template)}
        for name in used & {"label", *ATTRIBUTES} - set(known):
            what = "labels" if name == "label" else name
            may = ", ".join(f"{{{n}}}" for n in ("index", "seed", *known))
            raise UsageError(f"--template {template!r} names {{{name}}}, but the model has no {what}; it may use {may}.")
        return template

    def _check_names(self) -> None:
        seen: dict[str, int] = {}
        for index in range(self.first, self.first + self.total):
            try:
                file = self.clip(index).file
            except (ValueError, TypeError) as error:
                raise UsageError(f"--template {self.template!r} cannot be filled in: {error}.", hint=_TEMPLATE_HINT) from error
            parts = file.split("/")
            if any(part in ("", ".", "..") for part in parts) or max(len(part.encode()) for part in parts) > _LONGEST_NAME:
                raise UsageError(
                    f"--template {self.template!r} makes the file name {file[:80]!r}, which cannot be used.", hint=_TEMPLATE_HINT
                )
            other = seen.setdefault(file.casefold(), index)  # macOS and Windows do not tell a.wav from A.wav
            if other != index:
                raise UsageError(
                    f"--template {self.template!r} gives clips {other} and {index} the same name {file!r}.",
                    hint=f"add {{index}}: {_TEMPLATE_HINT}",
                )


def check_asked(options: GenerateOptions, session: Session) -> dict[str, tuple[str, ...]]:
    """Condition -> the classes that the user asks for, by name; conditions that are left open are missing.

    Raises:
        UsageError: A class the model has not.
    """
    asked = {
        "label": options.labels,
        "pitch": tuple(map(str, options.pitches)),
        "instrument": options.instruments,
        "velocity": tuple(map(str, options.velocities)),
    }
    for name, names in asked.items():
        _check_classes(name, names, session.classes.get(name, ()))
    return {name: names for name, names in asked.items() if names}


def take_turns(sizes: Sequence[int], turn: int) -> list[int]:
    """A place below each size for turn 0, 1, 2 ...: every place moves on at every turn, and any prod(sizes) turns in a row give
    each combination once.

        >>> [take_turns([2, 2], turn) for turn in range(4)]
        [[0, 0], [1, 1], [0, 1], [1, 0]]
    """
    places, period = [], 1
    for size in sizes:
        shift = turn // math.lcm(period, size) % math.gcd(period, size)
        places.append((turn + shift) % size)
        period *= size
    return places


def wide_steps(count: int) -> list[int]:
    """0 to count - 1, each once, in steps of about .618 count: the first few are spread over all."""
    step = next(step for step in range(max(1, round(_GOLDEN * count)), count + 2) if math.gcd(step, count) == 1)
    return [place * step % count for place in range(count)]


def default_method(distribution: str) -> str:
    """The path that stays among the latents a generator was trained on."""
    return "lerp" if distribution == "uniform" else "slerp"


def _check_classes(name: str, asked: Sequence[str], known: Sequence[str]) -> None:
    for text in asked:
        if not known and name == "label":
            raise UsageError(
                f"--label {text!r} was given, but the model is unconditional: it was trained without labels.", hint="leave --label out"
            )
        if not known:
            raise UsageError(f"--{name} {text} was given, but the model was not told the {name} of its sounds.", hint=f"leave --{name} out")
        if text in known:
            continue
        if name in ("pitch", "velocity"):
            has = ranges(map(int, known))
            ends = f" ({pitch_name(int(known[0]))} to {pitch_name(int(known[-1]))})" if name == "pitch" else ""
            nearest = min(map(int, known), key=lambda number: abs(number - int(text)))
            shown = f"{text} ({pitch_name(int(text))})" if name == "pitch" else text
            raise UsageError(f"The model has no {name} {shown}; it has {has}{ends}. The nearest is {nearest}.")
        raise UsageError(f"The model has no {name} {text!r}.{_nearest(text, known)} It has: {', '.join(known)}.")


def _nearest(word: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    return f" Did you mean {next(name for name in known if name.lower() == match[0])!r}?" if match else ""


def _check_template(template: str) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"--template {template!r} is not a template: {error}.", hint=_TEMPLATE_HINT) from error
    for _, name, spec, _ in parts:
        if name is not None and name not in _FIELDS:
            raise UsageError(
                f"--template {template!r} has the unknown field {{{name}}}; expected {', '.join(_FIELDS)}.{_nearest(name, _FIELDS)}",
                hint=_TEMPLATE_HINT,
            )
        if spec and ("{" in spec or any(int(width) > _WIDEST_FIELD for width in re.findall(r"\d+", spec))):
            raise UsageError(
                f"--template {template!r} has the format {spec!r}; expected a width of at most {_WIDEST_FIELD}.", hint=_TEMPLATE_HINT
            )
    text = "".join(literal for literal, *_ in parts)
    if not template or "\\" in text or any(ord(char) < 32 for char in text) or template.startswith(("/", "~")) or template.endswith("/"):
        raise UsageError(f"--template {template!r} is not a file name below the output folder.", hint=_TEMPLATE_HINT)
    if any(part in (".", "..") or part.startswith(".") for part in template.split("/")):
        raise UsageError(f"--template {template!r} has a hidden part or leaves the output folder.", hint=_TEMPLATE_HINT)


def _safe(label: str) -> str:
    """A label as a part of a file name: everything but letters, digits, `-`, `+`, `.` and `_` becomes `_`."""
    return re.sub(r"[^\w.+-]", "_", label).lstrip(".") or "_"


def _try_encoding(suffix: str, subtype: str, sample_rate: int) -> None:
    """Writes a few samples as the clips will be, so that an encoding that does not exist is refused before the first clip."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            audio_file.write(Path(folder) / f"probe.{suffix}", np.zeros(1024, np.float32), sample_rate, subtype=subtype)
        except GanAudioError as error:
            reason = error.message.rpartition(": ")[2]
            raise UsageError(
                f"--format {suffix} cannot be written with encoding {subtype} at {sample_rate} Hz: {reason}",
                hint="another --format or --subtype; or --sample-rate to resample",
            ) from error
