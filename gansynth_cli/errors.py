"""The errors that reach the user: what happened, what was expected, and the next command to type.

Every failure that the program foresees is a `GanAudioError`; the command line prints `error: ...` and
`hint: ...` for it and exits with its code. Anything else that escapes is a defect and keeps its traceback.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class GanAudioError(Exception):
    """A foreseen failure.

    Args:
        message: What happened and what was expected, naming the file, key or value. One or more full lines.
        hint: The next command or change that helps. Printed after a blank line as `hint: ...`.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GanAudioError):
    """Options or arguments that contradict each other or name nothing (exit code 2)."""

    exit_code = EXIT_USAGE


class RecipeError(UsageError):
    """A recipe that cannot be used: unknown key, wrong type, value out of range (exit code 2)."""


class AudioFileError(GanAudioError):
    """One recording that cannot be decoded, or is not what the caller needs. `reason` is short, for summary tables."""

    def __init__(self, path: object, reason: str, hint: str | None = None):
        super().__init__(f"{path}: {reason}", hint)
        self.path = path
        self.reason = reason


class DatasetError(GanAudioError):
    """A prepared data set that is missing, damaged, or does not hold what the recipe needs."""


class RunError(GanAudioError):
    """A run folder that cannot be used: locked, of another architecture, without a model."""


class TrainingStopped(GanAudioError):
    """Training ended itself: a loss that is not a number, or a collapsed generator. What was good is on disk."""


class MissingExtraError(GanAudioError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str):
        super().__init__(
            f"{feature} needs packages that are not installed.",
            hint=f"pip install 'gan-audio[{extra}]'",
        )
