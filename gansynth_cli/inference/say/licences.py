"""The licence chain of a voice, as the files beside it state it: code, weights, data, and the voice it was fine-tuned from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

NOT_STATED = "not stated"
_MAX_BYTES = 1 << 20
_CARDS = ("MODEL_CARD", "MODEL_CARD.md", "README.md", "NOTICE", "NOTICE.txt")
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
_TUNED = re.compile(r"fine-?\s?tuned\s+from\s+(?:the\s+)?(.+)", re.IGNORECASE)
_KNOWN = (
    ("Apache License", "Apache-2.0"),
    ("MIT License", "MIT"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("GNU LESSER GENERAL PUBLIC LICENSE", "LGPL"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL"),
    ("CC0 1.0", "CC0-1.0"),
    ("Attribution-NonCommercial", "CC BY-NC"),
    ("Attribution-ShareAlike", "CC BY-SA"),
    ("Attribution 4.0", "CC BY-4.0"),
)


@dataclass(frozen=True)
class Statement:
    """A statement on one link of the chain.

    Attributes:
        subject: "code", "weights", "data", "data source", "fine-tuned from", "licence of the voice it was fine-tuned from".
        value: The statement in its own words, or `NOT_STATED`.
        source: The file that states it, "" where none does.
    """

    subject: str
    value: str
    source: str = ""


def piper_licences(folder: Path, dataset: str) -> tuple[Statement, ...]:
    """Return what the model card of a Piper voice states (`MODEL_CARD` beside the file), else that nothing is stated.

    A voice's licence is not that of its data alone: many are fine-tuned from a voice whose data came under other terms, which the
    card does not repeat.
    """
    card, text = _first(folder, _CARDS)
    fields = dict(re.findall(r"^\s*[*-]\s*(\w[\w ]*):\s*(.+?)\s*$", text, re.MULTILINE))
    fields = {key.strip().lower(): value for key, value in fields.items()}
    tuned = _TUNED.search(text)
    base = tuned[1].strip().rstrip(".") if tuned else NOT_STATED
    licence = fields.get("license") or fields.get("licence") or NOT_STATED
    found = [
        Statement("code", NOT_STATED),
        Statement("weights", *_licence_file(folder)),
        Statement("data", licence, card if licence != NOT_STATED else ""),
        Statement("data source", fields.get("url", dataset or NOT_STATED), card if "url" in fields else ""),
        Statement("fine-tuned from", base, card if tuned else ""),
    ]
    if tuned:
        found.append(Statement("licence of the voice it was fine-tuned from", NOT_STATED))
    return tuple(found)


def kokoro_licences(model_folder: Path, styles_folder: Path) -> tuple[Statement, ...]:
    """Return what the files beside a Kokoro model and beside its styles state."""
    return (
        Statement("code", NOT_STATED),
        Statement("weights", *_licence_file(model_folder)),
        Statement("styles", *_licence_file(styles_folder, styles_folder.parent)),
        Statement("data", *_data_of(model_folder)),
        Statement("fine-tuned from", NOT_STATED),
    )


def _licence_file(*folders: Path) -> tuple[str, str]:
    """Return the licence that the first of these folders to state one states, and in which file."""
    for place in folders:
        package = place / "package.json"
        if package.is_file():
            try:
                stated = json.loads(_read(package)).get("license")
            except (ValueError, AttributeError):
                stated = None
            if isinstance(stated, str) and stated:
                return stated, package.name
        name, text = _first(place, _LICENCE_FILES)
        for words, licence in _KNOWN:
            if words.lower() in text[:3000].lower():
                return licence, name
    return NOT_STATED, ""


def _data_of(folder: Path) -> tuple[str, str]:
    name, text = _first(folder, _CARDS)
    found = re.search(r"^.*\b(?:training data|trained (?:only )?on|datasets?:)\b.*$", text, re.IGNORECASE | re.MULTILINE)
    return (" ".join(found[0].strip(" *#-").split())[:300], name) if found else (NOT_STATED, "")


def _first(folder: Path, names: tuple[str, ...]) -> tuple[str, str]:
    for name in names:
        if (folder / name).is_file():
            return name, _read(folder / name)
    return "", ""


def _read(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
