"""A request for clips, checked, and joined with a model: which clips there are, what they are called, and their latents."""

from __future__ import annotations

import difflib
import re
import string
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import __version__
from ..data import audio_file
from ..errors import GanAudioError, UsageError
from .clip_folder import REQUEST_VERSION, Wanted
from .latents import METHODS, check_seed, check_truncation, draw_latents, walk

FORMATS = ("wav", "flac", "ogg", "mp3")
_FIELDS = ("index", "seed", "label")
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
    def labels(self) -> tuple[str, ...]: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def distribution(self) -> str: ...
    def run(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class GenerateOptions:
    """What is asked for.

    Attributes:
        clips: How many. Not read with `interpolate`.
        first: Number of the first one: clip i of a seed is the same clip in every request.
        seed: 0 to 2^63 - 1.
        labels: Class names that take turns, clip by clip; empty: all the model has.
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
    """

    clips: int = 16
    first: int = 0
    seed: int = 0
    labels: tuple[str, ...] = ()
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
class Clip:
    """One planned clip. `number` is its class number for the network (0 if the model has none)."""

    index: int
    seed: str
    label: str
    number: int
    file: str


class Plan:
    """A request joined with a model: which clips there are, their names, and their latents.

    Everything about clip i is a function of the request and i alone.
    """

    def __init__(self, options: GenerateOptions, session: Session):
        """
        Raises:
            UsageError: A label the model has not, a truncation its latents do not allow, an encoding that does not exist,
                a template that gives two clips one name.
        """
        options.check()
        check_truncation(options.truncation, session.distribution)
        self.options, self.session = options, session
        self.labels = _resolve_labels(options.labels, session.labels)
        self._numbers = [session.labels.index(name) for name in self.labels] or [0]
        self.sample_rate = options.sample_rate or session.sample_rate
        self.subtype = options.subtype or "PCM_16"
        self.template = self._resolve_template(options.template)
        _try_encoding(options.format, self.subtype, self.sample_rate)
        if options.interpolate:
            self.first, self.total = 0, options.steps * len(self._numbers)
        else:
            self.first, self.total = options.first, options.clips
        self._check_names()

    @cached_property
    def method(self) -> str:
        return self.options.method or ("lerp" if self.session.distribution == "uniform" else "slerp")

    def request(self) -> dict[str, Any]:
        """What makes the clips what they are, as `generate.json` keeps it. How many there are is not part of it: the same
        request for more clips adds to those that are there."""
        options = self.options
        which: dict[str, Any] = {"seed": options.seed}
        if options.interpolate:
            which = {"interpolate": list(options.interpolate), "steps": options.steps, "method": self.method}
        return {
            "version": REQUEST_VERSION,
            "model": self.session.sha256,
            **which,
            "labels": list(self.labels),
            "truncation": options.truncation,
            "format": options.format,
            "subtype": self.subtype if options.format in ("wav", "flac") else None,
            "sample_rate": self.sample_rate,
            "peak_db": options.peak_db,
            "trim_silence": options.trim_silence,
            "template": self.template,
            "sidecar": options.sidecar,
        }

    def clip(self, index: int) -> Clip:
        options = self.options
        if options.interpolate:
            turn, seed = index // options.steps, f"{options.interpolate[0]}-{options.interpolate[1]}"
        else:
            turn, seed = index, str(options.seed)
        label = self.labels[turn % len(self.labels)] if self.labels else ""
        field = seed if options.interpolate else options.seed
        name = self.template.format(index=index, seed=field, label=_safe(label))
        return Clip(index, seed, label, self._numbers[turn % len(self._numbers)], f"{name}.{options.format}")

    def clips(self) -> Iterator[Clip]:
        return map(self.clip, range(self.first, self.first + self.total))

    def latents(self, indices: Sequence[int]) -> np.ndarray:
        """float32 [len(indices), latent_dim]."""
        if self.options.interpolate:
            return self._path[np.asarray(indices) % self.options.steps]
        return draw_latents(self.options.seed, indices, self.session.latent_dim, self.session.distribution, self.options.truncation)

    def numbers(self, indices: Sequence[int]) -> np.ndarray:
        """Class numbers, int32 [len(indices)]."""
        every = self.options.steps if self.options.interpolate else 1
        return np.asarray([self._numbers[index // every % len(self._numbers)] for index in indices], np.int32)

    def mark(self, clip: Clip) -> dict[str, Any]:
        """The provenance that is written into the file."""
        made_by = getattr(getattr(self.session, "generator", None), "provenance", {}).get("recipe", "")
        return {
            "synthetic": True,
            "software": f"gan-audio {__version__}",
            "model": self.session.sha256,
            "recipe": made_by,
            "seed": clip.seed if self.options.interpolate else self.options.seed,
            "index": clip.index,
            "label": clip.label,
        }

    def wanted(self) -> Iterator[Wanted]:
        return (Wanted(clip.index, clip.file, self.mark(clip)) for clip in self.clips())

    @cached_property
    def _path(self) -> np.ndarray:
        options, session = self.options, self.session
        start, end = (
            draw_latents(seed, [0], session.latent_dim, session.distribution, options.truncation)[0] for seed in options.interpolate or ()
        )
        bound = (options.truncation or 1.0) if session.distribution == "uniform" else None
        return walk(start, end, options.steps, self.method, bound)

    def _resolve_template(self, template: str | None) -> str:
        if template is None:
            return "{index:06d}_{label}_{seed}" if self.labels else "{index:06d}_{seed}"
        suffix = f".{self.options.format}"
        template = template[: -len(suffix)] if template.lower().endswith(suffix) else template
        used = {field for _, field, _, _ in string.Formatter().parse(template)}
        if "label" in used and not self.labels:
            raise UsageError(f"--template {template!r} names {{label}}, but the model has no labels; it may use {{index}} and {{seed}}.")
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


def _resolve_labels(asked: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in asked:
        if not known:
            raise UsageError(
                f"--label {name!r} was given, but the model is unconditional: it was trained without labels.", hint="leave --label out"
            )
        if name not in known:
            raise UsageError(f"The model has no label {name!r}.{_nearest(name, known)} It has: {', '.join(known)}.")
    return tuple(asked) or tuple(known)


def _nearest(word: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    return f" Did you mean {next(name for name in known if name.lower() == match[0])!r}?" if match else ""


def _check_template(template: str) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"--template {template!r} is not a template: {error}.", hint=_TEMPLATE_HINT) from error
    for _, field, spec, _ in parts:
        if field is not None and field not in _FIELDS:
            raise UsageError(
                f"--template {template!r} has the unknown field {{{field}}}; expected {', '.join(_FIELDS)}.{_nearest(field, _FIELDS)}",
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
