"""File names of generated clips: templates, checked before anything is loaded, and class names made safe for a path."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import UsageError
from .clip_folder import ATTRIBUTES

FIELDS = ("index", "seed", "label", *ATTRIBUTES)
TEMPLATE_HINT = '--template "{index:06d}_{label}_{seed}", or "{label}/{index:06d}" for a folder for each label'
_MAX_WIDTH = 64  # characters; a larger width in a template is a mistake, and Python would allocate the memory for it
_MAX_NAME_BYTES = 200  # of one part of a path; file systems allow 255, and the suffixes of sidecars come on top


def nearest(word: str, known: Sequence[str]) -> str:
    """Return " Did you mean 'kick'?" for the nearest of the known names, or nothing if none is near."""
    match = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    return f" Did you mean {next(name for name in known if name.lower() == match[0])!r}?" if match else ""


def check_template(template: str) -> None:
    """Check a template for what no model could make right.

    Raises:
        UsageError: Unknown fields, absurd widths, hidden names, or paths outside the output folder.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"--template {template!r} is not a template: {error}.", hint=TEMPLATE_HINT) from error
    for _, name, spec, _ in parts:
        if name is not None and name not in FIELDS:
            raise UsageError(
                f"--template {template!r} has the unknown field {{{name}}}; expected {', '.join(FIELDS)}.{nearest(name, FIELDS)}",
                hint=TEMPLATE_HINT,
            )
        if spec and ("{" in spec or any(int(width) > _MAX_WIDTH for width in re.findall(r"\d+", spec))):
            raise UsageError(
                f"--template {template!r} has the format {spec!r}; expected a width of at most {_MAX_WIDTH}.", hint=TEMPLATE_HINT
            )
    text = "".join(literal for literal, *_ in parts)
    if not template or "\\" in text or any(ord(char) < 32 for char in text) or template.startswith(("/", "~")) or template.endswith("/"):
        raise UsageError(f"--template {template!r} is not a file name below the output folder.", hint=TEMPLATE_HINT)
    if any(part in (".", "..") or part.startswith(".") for part in template.split("/")):
        raise UsageError(f"--template {template!r} has a hidden part or leaves the output folder.", hint=TEMPLATE_HINT)


def resolve_template(template: str | None, suffix: str, conditions: Sequence[str]) -> str:
    """Return the template without the file suffix; None gives the default for the conditions of a model.

    Raises:
        UsageError: The template names a condition that the model does not have.
    """
    if template is None:
        parts = ["{index:06d}", *(f"{{{name}:03d}}" if name in ("pitch", "velocity") else f"{{{name}}}" for name in conditions), "{seed}"]
        return "_".join(parts)
    template = template[: -len(suffix)] if template.lower().endswith(suffix) else template
    used = {name for _, name, _, _ in string.Formatter().parse(template)}
    for name in used & {"label", *ATTRIBUTES} - set(conditions):
        what = "labels" if name == "label" else name
        allowed = ", ".join(f"{{{n}}}" for n in ("index", "seed", *conditions))
        raise UsageError(f"--template {template!r} names {{{name}}}, but the model has no {what}; it may use {allowed}.")
    return template


def check_names(template: str, files: Iterable[tuple[int, str]]) -> None:
    """Check the names that a template gives.

    Args:
        template: The template, for messages.
        files: (clip number, file below the output folder). Filling in a template happens while this is iterated over.

    Raises:
        UsageError: The template cannot be filled in, a name cannot be used, or two clips have one name.
    """
    seen: dict[str, int] = {}
    try:
        for index, file in files:
            parts = file.split("/")
            if any(part in ("", ".", "..") for part in parts) or max(len(part.encode()) for part in parts) > _MAX_NAME_BYTES:
                raise UsageError(f"--template {template!r} makes the file name {file[:80]!r}, which cannot be used.", hint=TEMPLATE_HINT)
            other = seen.setdefault(file.casefold(), index)  # macOS and Windows do not distinguish a.wav from A.wav
            if other != index:
                raise UsageError(
                    f"--template {template!r} gives clips {other} and {index} the same name {file!r}.",
                    hint=f"add {{index}}: {TEMPLATE_HINT}",
                )
    except (ValueError, TypeError) as error:
        raise UsageError(f"--template {template!r} cannot be filled in: {error}.", hint=TEMPLATE_HINT) from error


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Fill in a template; texts become safe parts of a path, numbers stay numbers for their formats."""
    return template.format(**{name: value if isinstance(value, int) else safe(value) for name, value in fields.items()})


def safe(text: str) -> str:
    """Return a class name as a part of a file name: everything but letters, digits, `-`, `+`, `.` and `_` becomes `_`."""
    return re.sub(r"[^\w.+-]", "_", text).lstrip(".") or "_"
