"""Answer `gan-audio evaluate` as it was spelled before it had sub-commands with the command line to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError

_SUBCOMMANDS = {"--data": "clips", "--reference": "pairs", "--copy-synthesis": "vocoders", "--conversion": "voices"}
_RENAMED = {"--copy-synthesis": "--recordings", "--conversion": "--data"}


def refuse_old_spelling(arguments: Sequence[str], subcommands: Sequence[str]) -> None:
    """Raise a UsageError for the options of the old modes, with the new command line as its hint.

    A folder may have the name of a sub-command: `evaluate voices --conversion DATA` is the old spelling for the folder `voices`.

    Args:
        arguments: What follows `gan-audio evaluate`.
        subcommands: Names of the sub-commands.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        return
    given = [mode for mode in _SUBCOMMANDS if any(_option(argument) == mode for argument in arguments)]
    first, rest = arguments[0], list(arguments[1:])
    if first in subcommands and not set(given) & set(_RENAMED):
        return
    if len(given) == 1:
        (mode,) = given
        new = _SUBCOMMANDS[mode]
        # The sub-command with its option as it was called before: the folder is another argument.
        kept = rest if first == new and not Path(first).is_dir() else arguments
        command = shlex.join(["gan-audio", "evaluate", new, *(_renamed(argument) for argument in kept)])
        raise UsageError(f"`gan-audio evaluate ... {mode}` is now `gan-audio evaluate {new}`.", hint=command)
    if given:
        raise UsageError(
            f"{' and '.join(given)} belong to different sub-commands of `gan-audio evaluate`.",
            hint="; or: ".join(f"gan-audio evaluate {_SUBCOMMANDS[mode]} ... {_RENAMED.get(mode, mode)} ..." for mode in given),
        )


def _option(argument: str) -> str:
    return argument.partition("=")[0]


def _renamed(argument: str) -> str:
    option = _option(argument)
    return _RENAMED[option] + argument[len(option) :] if option in _RENAMED else argument
