"""Provenance tags: what was done to a recording, as JSON in its comment field and, on request, in a file beside it (a sidecar)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import __version__, files
from ...data.audio.tags import PROVENANCE, Tags
from ...errors import AudioFileError

SOFTWARE = f"gan-audio {__version__}"
INPUT = "input_sha256"  # key of a tag: the first 16 digits of the SHA-256 of the recording that an output was made from


def with_provenance(tags: Mapping[str, str], facts: Mapping[str, Any], sentence: str = "") -> Tags:
    """Return tags that also state what was done, in the comment or beside it.

    Args:
        tags: Those of the input. A comment that is a JSON object, such as an earlier provenance tag, keeps its keys.
        facts: Keys to add.
        sentence: The facts in words. With it a comment that is plain text stays, and the facts go into a field of their own (where a
            container has none, the sentence joins the comment); without it such a comment becomes the key "comment" of a JSON object, so
            that every player shows that the sound is synthetic.
    """
    before = tags if isinstance(tags, Tags) else Tags(tags)
    comment = tags.get("comment", "")
    try:
        known = json.loads(comment) if comment else {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        if sentence:
            return before.replaced(sentence, **{PROVENANCE: json.dumps(facts, sort_keys=True)})
        known = {"comment": comment}
    return before.replaced(comment=json.dumps({**known, **facts}, sort_keys=True))  # ASCII: players read it in several encodings


def input_facts(source: Path) -> dict[str, str]:
    """Return the fact that tells an output of this recording from one of another.

    Raises:
        AudioFileError: It cannot be read.
    """
    try:
        return {INPUT: files.sha256_of(source)[:16]}
    except OSError as error:
        raise AudioFileError(source, f"cannot be read: {(error.strerror or str(error)).lower()}") from error


def sidecar_path(target: Path) -> Path:
    """Return the path of an output's provenance tag as a file."""
    return target.with_name(f"{target.name}.json")


def write_sidecar(target: Path, facts: Mapping[str, Any]) -> None:
    """Write the provenance tag of an output beside it."""
    files.write_text(sidecar_path(target), files.json_text(facts))
