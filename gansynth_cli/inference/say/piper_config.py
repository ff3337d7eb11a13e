"""The JSON file of a Piper voice: which ids its symbols have, how it is pronounced, its speakers and default settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.text.languages import language_code
from .onnx_graph import VoiceError

_MAX_BYTES = 4 << 20
_MAX_SPEAKERS = 100_000
_RATES = (4000, 192_000)  # Hz


@dataclass(frozen=True)
class PiperConfig:
    """Contents of the JSON file of a voice.

    Attributes:
        file: Path of the file.
        sample_rate: Hz.
        kind: "espeak", or "text" for a voice that takes letters.
        language: espeak-ng's name of the language.
        ids: Symbol -> its ids.
        replaced: Symbol -> the symbols that stand for it.
        speakers: Name -> number; empty for one speaker.
        noise, length, duration_noise: The voice's own settings.
        dataset: Name of the data set, "" where none is stated.
    """

    file: Path
    sample_rate: int
    kind: str
    language: str
    ids: Mapping[str, list[int]]
    replaced: Mapping[str, list[str]]
    speakers: Mapping[str, int]
    noise: float
    length: float
    duration_noise: float
    dataset: str


def config_beside(file: Path) -> Path:
    """Return the JSON file of a Piper model: NAME.onnx.json, NAME.json or config.json beside it.

    Raises:
        VoiceError: There is none.
    """
    for candidate in (file.with_name(file.name + ".json"), file.with_suffix(".json"), file.with_name("config.json")):
        if candidate.is_file():
            return candidate
    raise VoiceError(
        f"{file} is a Piper voice, but the file that maps phones to its ids is missing: {file.name}.json.",
        hint=f"download {file.name}.json from where the voice came from, into the same folder",
    )


def read_config(file: Path) -> PiperConfig:
    """Read and check the JSON file of a Piper voice.

    Raises:
        VoiceError: It is damaged, not Piper's, or describes a voice with phones that cannot be made here.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise VoiceError(f"{file} is no configuration of a Piper voice: it has {file.stat().st_size >> 20} MiB.")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise VoiceError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise VoiceError(f"{file} is not JSON ({error}).", hint="download it again; it may be a Git LFS pointer or a web page") from error
    try:
        found = _parsed(file, content)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise VoiceError(f"{file} is not the configuration of a Piper voice: {error!r}.") from error
    if found.kind not in ("espeak", "text"):
        raise VoiceError(f"{file}: phones of the kind {found.kind!r} cannot be made here; expected espeak or text.")
    return found


def _parsed(file: Path, content: Mapping[str, Any]) -> PiperConfig:
    ids = {str(symbol): [int(number) for number in numbers] for symbol, numbers in content["phoneme_id_map"].items()}
    rate, count = int(content["audio"]["sample_rate"]), int(content.get("num_speakers") or 1)
    language = str((content.get("espeak") or {}).get("voice") or (content.get("language") or {}).get("code") or "")
    kind = str(content.get("phoneme_type") or "espeak")
    settings = content.get("inference") or {}
    noise, length, duration_noise = values = [
        float(settings.get(key, value)) for key, value in (("noise_scale", 0.667), ("length_scale", 1.0), ("noise_w", 0.8))
    ]
    known = all(numbers and min(numbers) >= 0 for numbers in ids.values()) and len(ids) > 1
    if not known or not _RATES[0] <= rate <= _RATES[1] or not 1 <= count <= _MAX_SPEAKERS or not (language or kind == "text"):
        raise ValueError("phoneme_id_map, audio.sample_rate, num_speakers or espeak.voice is empty or out of range")
    if not all(0 <= value < 10 for value in values) or length == 0:
        raise ValueError("a value of inference is out of range")
    names = {str(name): int(number) for name, number in (content.get("speaker_id_map") or {}).items()}
    names = {name: number for name, number in names.items() if 0 <= number < count} if count > 1 else {}
    named = set(names.values())
    numbered = {str(number): number for number in range(count) if number not in named} if count > 1 else {}
    return PiperConfig(
        file,
        rate,
        kind,
        language_code(language or "en"),
        ids,
        {str(symbol): [str(part) for part in parts] for symbol, parts in (content.get("phoneme_map") or {}).items()},
        names | numbered,
        noise,
        length,
        duration_noise,
        str(content.get("dataset") or ""),
    )
