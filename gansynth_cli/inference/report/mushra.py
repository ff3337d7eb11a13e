"""The folder of a listening test for webMUSHRA: recordings at one level, anchors, and the YAML that names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.audio import audio_file
from ...errors import UsageError
from ...files import json_text, write_text
from .sounds import matched_gains, read_sound
from .systems import System

MIN_SYSTEMS, MAX_SECONDS = 2, 12.0  # ITU-R BS.1534-3 recommends excerpts of at most 12 s


def write_mushra(systems: Sequence[System], reference: str, folder: Path, *, items: int) -> list[str]:
    """Write `config.yaml` and the recordings of a MUSHRA test (ITU-R BS.1534-3): hidden reference, and anchors limited to 3.5 and 7 kHz,
    which webMUSHRA makes itself (createAnchor35, createAnchor70).

    Args:
        systems: At least two that have recordings of one name.
        reference: Name of the system that is the reference.
        folder: Where to. Copy it to webMUSHRA's `configs/`.
        items: Maximum number of items.

    Returns:
        The items.

    Raises:
        UsageError: There is no such system, or no item that all have.
    """
    names = [system.name for system in systems]
    if reference not in names:
        raise UsageError(f"--reference is {reference!r}; expected one of {', '.join(names)}.")
    shared = [key for key in systems[0].clips if all(key in system.clips for system in systems)][:items]
    if len(systems) < MIN_SYSTEMS or not shared:
        raise UsageError(
            "A MUSHRA test needs recordings of one name in at least two folders.",
            hint="gan-audio report reference/ a/ b/ --mushra test/ --reference reference",
        )
    pages: list[dict[str, Any]] = [
        {"type": "generic", "id": "start", "name": "Welcome", "content": "Rate each sound against the reference."}
    ]
    for number, key in enumerate(shared):
        sounds = [read_sound(system.clips[key], MAX_SECONDS) for system in systems]
        stimuli: dict[str, str] = {}
        place = ""
        for index, (system, sound, gain) in enumerate(zip(systems, sounds, matched_gains(sounds), strict=True)):
            file = f"audio/{number:02d}-{index}.wav"
            audio_file.write(folder / file, sound.audio * np.float32(10 ** (gain / 20)), sound.rate, overwrite=True)
            if system.name == reference:
                place = f"configs/{folder.name}/{file}"
            else:
                stimuli[f"C{index}"] = f"configs/{folder.name}/{file}"
        page = {"type": "mushra", "id": f"item{number:02d}", "name": key, "content": "", "showWaveform": True, "enableLooping": True}
        pages.append(page | {"reference": place, "createAnchor35": True, "createAnchor70": True, "stimuli": stimuli})
    pages.append({"type": "finish", "name": "Thank you", "content": "Send your ratings.", "showResults": True, "writeResults": True})
    config = {
        "testname": folder.name,
        "testId": folder.name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [pages[0], ["random", *pages[1:-1]], pages[-1]],
    }
    write_text(folder / "config.yaml", json_text(config))  # JSON is YAML
    write_text(folder / "systems.json", json_text({f"C{i}": name for i, name in enumerate(names) if name != reference}))
    return shared
