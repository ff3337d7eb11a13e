"""A request for clips, checked and joined with a model: which clips there are, their names, and their latents. No TensorFlow."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...data.audio import audio_file
from ...data.corpora.note_names import pitch_name, ranges
from ...errors import GanAudioError, UsageError
from .clip_folder import ATTRIBUTES, REQUEST_VERSION, Wanted
from .latents import METHODS, check_seed, check_truncation, draw_latents, interpolate, latent_bound
from .naming import check_names, check_template, fill, nearest, resolve_template

if TYPE_CHECKING:
    from .session import GeneratorSession

FORMATS = ("wav", "flac", "ogg", "mp3")
MIDDLE_C, USUAL_VELOCITY = 60, 100  # played by given latents where the user names none
MAX_FADE_MS = 10_000.0
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class GenerateOptions:
    """Options of a request.

    Attributes:
        clips: Number of clips. Not read with `interpolate`.
        first: Number of the first clip: clip i of a seed is the same clip in every request.
        seed: 0 to 2^63 - 1.
        labels: Class names that take turns, clip by clip; empty: all that the model has.
        pitches: MIDI note numbers that take turns; empty: all that the model has, in wide steps, so that few clips span the range.
        instruments, velocities: Classes that take turns; empty: all that the model has.
        interpolate: Two seeds: an interpolation from clip 0 of the first to clip 0 of the second, for each combination of classes.
        steps: Clips of one interpolation, both ends included.
        method: "lerp" or "slerp"; None: the one that suits the model's latents (uniform lerp, normal slerp).
        truncation: See `latents.draw_latents`.
        batch: Clips computed ahead of the encoders: affects memory and speed, never the sound.
        format: One of `FORMATS`.
        subtype: libsndfile's encoding for wav and flac; None: PCM_16.
        template: File name below the output folder without suffix, with the fields of `naming.FIELDS`; it may name subfolders.
            None: "{index:06d}_{label}_{seed}", with the conditions that the model has.
        sample_rate: Resample to this rate, Hz; None keeps the model's.
        peak_db: Scale every clip to this peak, dBFS; None keeps the level. Silence stays silent.
        trim_silence: Remove what is 60 dB below the clip's peak from both ends.
        fade_out_ms: Fade the end of every clip to silence over this time; 0 does not.
        sidecar: Write `<file>.json` beside every clip: its provenance tag and its row of the manifest.
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
    fade_out_ms: float = 0.0
    sidecar: bool = False
    save_latents: bool = False

    def check(self) -> None:
        """Check everything that is wrong whatever the model is, before anything slow is loaded.

        Raises:
            UsageError: Names the option, its value and what was expected.
        """
        for name, value, minimum in (
            ("-n", self.clips, 1),
            ("--first", self.first, 0),
            ("--batch", self.batch, 1),
            ("--steps", self.steps, 2),
        ):
            if value < minimum:
                raise UsageError(f"{name} is {value}; expected at least {minimum}.")
        for seed in (self.seed, *(self.interpolate or ())):
            check_seed(seed)
        if self.first + self.clips > 2**63:
            raise UsageError(f"--first {self.first} with -n {self.clips} goes beyond clip 2^63 - 1.")
        if self.method is not None and self.method not in METHODS:
            raise UsageError(f"--method is {self.method!r}; expected {' or '.join(METHODS)}.")
        if self.format not in FORMATS:
            raise UsageError(f"--format is {self.format!r}; expected one of {', '.join(FORMATS)}.{nearest(self.format, FORMATS)}")
        if self.subtype is not None and self.format not in ("wav", "flac"):
            raise UsageError(f"--subtype {self.subtype} was given with --format {self.format}, which has only one encoding.")
        if self.sample_rate is not None and not 1000 <= self.sample_rate <= 384_000:
            raise UsageError(f"--sample-rate is {self.sample_rate} Hz; expected 1000 to 384000.")
        if self.peak_db is not None and not -100 <= self.peak_db <= 0:
            raise UsageError(f"--normalize is {self.peak_db} dBFS; expected -100 to 0, or none.")
        if not 0 <= self.fade_out_ms <= MAX_FADE_MS:
            raise UsageError(f"--fade-out is {self.fade_out_ms:g} ms; expected 0 to {MAX_FADE_MS:g}.", hint="--fade-out 20")
        if self.template is not None:
            check_template(self.template)


@dataclass(frozen=True)
class LatentTable:
    """Latents that are given instead of drawn: all of them are played, in order, for each combination of classes in turn.

    Attributes:
        latents: float32 [n, latent_dim].
        names: Text that stands for the seed, row by row, in file names, provenance tags and the manifest.
        request: Where the latents come from, as `generate.json` keeps it.
        found: Condition -> class name for each row, which applies where the user names no class.
    """

    latents: np.ndarray
    names: tuple[str, ...]
    request: Mapping[str, Any]
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Clip:
    """One planned clip.

    Attributes:
        index: Number of the clip.
        seed: The seed, or the name of its latent.
        label: Name of its label; empty without one.
        file: Path below the output folder.
        numbers: Condition -> class number, for the network.
        attributes: Names of its classes other than the label.
    """

    index: int
    seed: str
    label: str
    file: str
    numbers: Mapping[str, int]
    attributes: Mapping[str, str]

    @property
    def caption(self) -> str:
        """Its classes for people: "kick", or "flute C4"."""
        shown = [self.label, self.attributes.get("instrument", "")]
        if pitch := self.attributes.get("pitch"):
            shown.append(pitch_name(int(pitch)))
        return " ".join(filter(None, shown))


class Plan:
    """A request joined with a model: which clips there are, their names, and their latents.

    Everything about clip i is a function of the request and i alone.
    """

    def __init__(self, options: GenerateOptions, session: GeneratorSession, table: LatentTable | None = None, *, files: bool = True):
        """
        Args:
            options: The request.
            session: The model.
            table: Latents to play instead of drawn ones; `options.clips`, `first` and `seed` are then not read.
            files: Whether clips are written to files, whose names and encoding have to be checked.

        Raises:
            UsageError: A class that the model does not have, a truncation that its latents do not allow, an encoding that does not
                exist, or a template that gives two clips one name.
        """
        options.check()
        check_truncation(options.truncation, session.distribution)
        self.options, self.session = options, session
        self.table = self._between_seeds() if options.interpolate and table is None else table
        self._requested = requested_classes(options, session)
        self._turns = {name: self._turn_of(name, names) for name, names in session.classes.items()}
        self.labels = tuple(session.classes["label"][n] for n in self._turns["label"]) if "label" in self._turns else ()
        self.attributes = tuple(name for name in ATTRIBUTES if name in session.classes)
        self.sample_rate = options.sample_rate or session.sample_rate
        self.subtype = options.subtype or "PCM_16"
        self.template = resolve_template(options.template, f".{options.format}", tuple(session.classes))
        if self.table:
            self.first, self.total = 0, len(self.table.latents) * math.prod(map(len, self._turns.values()))
        else:
            self.first, self.total = options.first, options.clips
        if files:
            _try_encoding(options.format, self.subtype, self.sample_rate)
            check_names(self.template, ((clip.index, clip.file) for clip in self.clips()))

    @cached_property
    def method(self) -> str:
        return self.options.method or default_method(self.session.distribution)

    def request(self) -> dict[str, Any]:
        """Return what makes the clips what they are, as `generate.json` keeps it.

        The number of clips is not part of it: the same request for more clips adds to those that exist.
        """
        options = self.options
        which: Mapping[str, Any] = self.table.request if self.table else {"seed": options.seed}
        chosen = {name: [self.session.classes[name][n] for n in self._turns[name]] for name in self.attributes}
        return {
            "version": REQUEST_VERSION,
            "model": self.session.sha256,
            **which,
            "labels": list(self.labels),
            **chosen,
            "truncation": options.truncation,
            "format": options.format,
            "subtype": self.subtype if options.format in ("wav", "flac") else None,
            "sample_rate": self.sample_rate,
            "peak_db": options.peak_db,
            "trim_silence": options.trim_silence,
            "template": self.template,
            "sidecar": options.sidecar,
            **({"fade_out_ms": options.fade_out_ms} if options.fade_out_ms else {}),
            **({"save_latents": True} if options.save_latents else {}),
        }

    def clip(self, index: int) -> Clip:
        """Return clip `index` of the request."""
        options, table = self.options, self.table
        numbers = self._numbers(index)
        names = {name: self.session.classes[name][number] for name, number in numbers.items()}
        label = names.pop("label", "")
        seed = table.names[index % len(table.names)] if table else str(options.seed)
        fields: dict[str, Any] = {name: int(text) if name in ("pitch", "velocity") else text for name, text in names.items()}
        fields |= {"index": index, "seed": seed if table else options.seed, "label": label}
        return Clip(index, seed, label, f"{fill(self.template, fields)}.{options.format}", numbers, names)

    def clips(self) -> Iterator[Clip]:
        """Yield all clips of the request in order."""
        return map(self.clip, range(self.first, self.first + self.total))

    def latents(self, indices: Sequence[int]) -> np.ndarray:
        """Return the latents of some clips, float32 [len(indices), latent_dim]."""
        if self.table:
            return self.table.latents[np.asarray(indices) % len(self.table.latents)]
        return draw_latents(self.options.seed, indices, self.session.latent_dim, self.session.distribution, self.options.truncation)

    def conditions(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the class numbers of some clips: condition -> int32 [len(indices)], for each condition of the model."""
        every = [self._numbers(index) for index in indices]
        return {name: np.asarray([numbers[name] for numbers in every], np.int32) for name in self.session.classes}

    def tag(self, clip: Clip) -> dict[str, Any]:
        """Return the provenance tag that is written into the file of a clip."""
        return {
            "synthetic": True,
            "software": f"gan-audio {__version__}",
            "model": self.session.sha256,
            "recipe": self.session.provenance.get("recipe", ""),
            "seed": clip.seed if self.table else self.options.seed,
            "index": clip.index,
            "label": clip.label,
            **clip.attributes,
        }

    def wanted(self) -> Iterator[Wanted]:
        """Yield number, file and provenance tag of every clip, as `ClipFolder` compares them with what exists."""
        return (Wanted(clip.index, clip.file, self.tag(clip)) for clip in self.clips())

    def _numbers(self, index: int) -> dict[str, int]:
        """Condition -> class number of clip `index`."""
        table = self.table
        turn = index // len(table.latents) if table else index
        places = take_turns([len(numbers) for numbers in self._turns.values()], turn)
        numbers = {name: order[place] for (name, order), place in zip(self._turns.items(), places, strict=True)}
        if table:
            row = index % len(table.latents)
            found = {name: names[row] for name, names in table.found.items() if name in numbers and name not in self._requested}
            numbers |= {name: self.session.classes[name].index(text) for name, text in found.items()}
        return numbers

    def _turn_of(self, name: str, known: Sequence[str]) -> list[int]:
        """The class numbers of a condition in the order in which they take turns."""
        if name in self._requested:
            return [known.index(text) for text in self._requested[name]]
        if self.table and name in self.table.found:
            return [0]  # each row has its own
        if self.table and name != "label":
            usual = {"pitch": MIDDLE_C, "velocity": USUAL_VELOCITY}.get(name)
            return [0 if usual is None else min(range(len(known)), key=lambda number: abs(int(known[number]) - usual))]
        return wide_steps(len(known)) if name == "pitch" else list(range(len(known)))

    def _between_seeds(self) -> LatentTable:
        """The interpolation from clip 0 of one seed to clip 0 of another."""
        options, session = self.options, self.session
        assert options.interpolate is not None
        start, end = (draw_latents(s, [0], session.latent_dim, session.distribution, options.truncation)[0] for s in options.interpolate)
        path = interpolate(start, end, options.steps, self.method, latent_bound(session.distribution, options.truncation))
        name = f"{options.interpolate[0]}-{options.interpolate[1]}"
        request = {"interpolate": list(options.interpolate), "steps": options.steps, "method": self.method}
        return LatentTable(path, (name,) * options.steps, request)


def requested_classes(options: GenerateOptions, session: GeneratorSession) -> dict[str, tuple[str, ...]]:
    """Return condition -> the class names that the user chose; conditions that are left open are missing.

    Raises:
        UsageError: A class that the model does not have.
    """
    chosen = {
        "label": options.labels,
        "pitch": tuple(map(str, options.pitches)),
        "instrument": options.instruments,
        "velocity": tuple(map(str, options.velocities)),
    }
    for name, names in chosen.items():
        _check_classes(name, names, session.classes.get(name, ()))
    return {name: names for name, names in chosen.items() if names}


def take_turns(sizes: Sequence[int], turn: int) -> list[int]:
    """Return a place below each size for turn 0, 1, 2 ...

    Every place moves on at every turn, and any prod(sizes) turns in a row give each combination once.

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
    """Return 0 to count - 1, each once, in steps of about 0.618 count: the first few are spread over the whole range."""
    step = next(step for step in range(max(1, round(_GOLDEN * count)), count + 2) if math.gcd(step, count) == 1)
    return [place * step % count for place in range(count)]


def default_method(distribution: str) -> str:
    """Return the interpolation that stays among the latents a generator was trained on."""
    return "lerp" if distribution == "uniform" else "slerp"


def _check_classes(name: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    for text in chosen:
        if not known and name == "label":
            raise UsageError(
                f"--label {text!r} was given, but the model is unconditional: it was trained without labels.", hint="leave --label out"
            )
        if not known:
            raise UsageError(f"--{name} {text} was given, but the model is not conditioned on {name}.", hint=f"leave --{name} out")
        if text in known:
            continue
        if name in ("pitch", "velocity"):
            has = ranges(map(int, known))
            ends = f" ({pitch_name(int(known[0]))} to {pitch_name(int(known[-1]))})" if name == "pitch" else ""
            closest = min(map(int, known), key=lambda number: abs(number - int(text)))
            shown = f"{text} ({pitch_name(int(text))})" if name == "pitch" else text
            raise UsageError(f"The model has no {name} {shown}; it has {has}{ends}. The nearest is {closest}.")
        raise UsageError(f"The model has no {name} {text!r}.{nearest(text, known)} It has: {', '.join(known)}.")


def _try_encoding(suffix: str, subtype: str, sample_rate: int) -> None:
    """Write a few samples as the clips will be, so that an encoding that does not exist is refused before the first clip."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            audio_file.write(Path(folder) / f"probe.{suffix}", np.zeros(1024, np.float32), sample_rate, subtype=subtype)
        except GanAudioError as error:
            reason = error.message.rpartition(": ")[2]
            raise UsageError(
                f"--format {suffix} cannot be written with encoding {subtype} at {sample_rate} Hz: {reason}",
                hint="another --format or --subtype; or --sample-rate to resample",
            ) from error
