"""Spellings of gan-audio 0.1.0 whose work has a command of its own now: the new command line, made of the user's own arguments."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

from ..errors import GanAudioError, UsageError

# Options of `generate` in 0.1.0 by their meaning.
_CLASSES = {"label": "--label", "pitch": "--pitch", "instrument": "--instrument", "velocity": "--velocity"}
_VALUES = {
    **{"clips": "-n", "seed": "--seed", "truncation": "--truncation", "format": "--format", "subtype": "--subtype"},
    **{"template": "--template", "sample_rate": "--sample-rate", "normalize": "--normalize", "first": "--first", "batch": "--batch"},
    **{"steps": "--steps", "method": "--method", "vary": "--vary", "starts": "--starts", "iterations": "--iterations", "midi": "--midi"},
    **{"vocoder": "--model", "mel_layout": "--mel-layout", "jobs": "--jobs", "output": "--output"},
}
_FLAGS = ("--save-latents", "--trim-silence", "--sidecar", "--contact-sheet", "--overwrite", "--skip-existing", "--dry-run", "--json")
_WRITING = ("format", "subtype", "template", "sample_rate", "normalize", "trim_silence", "sidecar", "save_latents", "contact_sheet")
_COMMON = ("overwrite", "dry_run", "json", "quiet")
_CLIPS = (*_CLASSES, *_WRITING, "skip_existing", *_COMMON)  # what every command that writes clips takes


def moved(arguments: Sequence[str]) -> GanAudioError | None:
    """Return the error that names the new command line, if the arguments are an old spelling; None if they are not."""
    if not arguments or arguments[0] != "generate":
        return None
    try:
        old, unknown = _parser().parse_known_args(list(arguments[1:]))
    except (argparse.ArgumentError, _Unreadable):
        return None
    if unknown:
        return None
    given = {name: value for name, value in vars(old).items() if value not in (None, False, [])}
    said, line = _replacement(given, old.model)
    if not line:
        return None
    return UsageError(f"{said}.", hint=shlex.join(["gan-audio", *line]))


# What a new command takes of the old line, in this order.
_KEPT = {
    "play": ("output", "seed", "instrument", "latents", "normalize", "subtype", *_COMMON),
    "vocode": ("output", "format", "subtype", "mel_layout", "jobs", *_COMMON),
    "vary": ("output", "amount", "clips", "seed", *_CLIPS),
    "interpolate": ("output", "steps", "method", "truncation", *_CLIPS),
    "grid": ("output", "steps", "method", "truncation", *(name for name in _CLIPS if name != "contact_sheet")),
    "match": ("output", "seed", "starts", "iterations", *(name for name in _CLIPS if name != "save_latents")),
    "generate": ("output", "clips", "seed", "first", "latents", "truncation", *_CLIPS),
}


def _replacement(given: dict[str, Any], run: str) -> tuple[str, list[str]]:
    """(what moved, the new command line), or ("", [])."""
    options = lambda verb: _options(given, _KEPT[verb])
    if "midi" in given:
        return "Songs are played by a command of their own", ["play", given["midi"], "--model", run, *options("play")]
    if "from_" in given and ("vocoder" in given or "jobs" in given or _is_vocoder(run)):
        model = ["--model", "griffin-lim", "--mel-of", run] if given.get("vocoder") == "griffin-lim" else ["--model", run]
        return "Vocoding is a command of its own", ["vocode", *given["from_"], *model, *options("vocode")]
    if "from_" in given:
        given["amount"] = given.get("vary")
        return "Variations are a command of their own", ["latents", "vary", run, *given["from_"], *options("vary")]
    for name in ("interpolate", "grid", "match"):
        if name in given:
            return f"latents {name} is a command of its own", ["latents", name, run, *given[name], *options(name)]
    if "batch" in given:
        return "--batch is gone: the number of clips in memory is fixed", ["generate", run, *options("generate")]
    return "", []


def _options(given: dict[str, Any], names: Sequence[str]) -> list[str]:
    """The options of those names that were given, spelled out."""
    line: list[str] = []
    for name in names:
        value = given.get(name)
        option = {"clips": "-n", "quiet": "-q", "output": "-o", "jobs": "-j"}.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            line.append(option)
        elif isinstance(value, list):
            line += [part for item in value for part in (option, item)]
        elif value is not None:
            line += [option, value]
    return line


def _is_vocoder(run: str) -> bool:
    from ..models.model_file import VOCODERS, find_model

    try:
        return find_model(run).class_name in VOCODERS
    except GanAudioError:
        return run == "vocoder"


class _Unreadable(Exception):
    """The arguments are no command line of 0.1.0 either."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise _Unreadable(message)


def _parser() -> argparse.ArgumentParser:
    """The options of `generate` in 0.1.0."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("model")
    for name, option in _VALUES.items():
        extra = {"-n": ["--clips"], "--output": ["-o"], "--jobs": ["-j"]}.get(option, [])
        parser.add_argument(option, *extra, dest=name)
    for name, option in {**_CLASSES, "latents": "--latents", "match": "--match", "from_": "--from"}.items():
        parser.add_argument(option, dest=name, action="append")
    parser.add_argument("--interpolate", "--morph", dest="interpolate", nargs=2)
    parser.add_argument("--grid", nargs=4)
    parser.add_argument("--quiet", "-q", action="store_true")
    for option in _FLAGS:
        parser.add_argument(option, action="store_true")
    return parser
