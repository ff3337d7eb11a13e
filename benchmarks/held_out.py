"""What no model of this project is ever trained on, so that the benchmarks measure voices, noises and rooms that are new to it.

The patterns are shell patterns relative to the folder of recordings ($GAN_AUDIO_DATA); `*` also crosses folders. `held_out(path)` says
whether a file is among them; whoever prepares a training set leaves those files out (`training_files` lists the rest).

- `speech/prompts-it`: a man's studio prompts, with a steady background (-28 dB): gate it or take its quietest files.
- `speech/librivox`: a reader of an audio book.
- `speech/dialogue-nl`: an acted dialogue of two voices, a woman's (names with `m`, median pitch 223 Hz) and a man's (`v`, 146 Hz).
  Long-term spectra and pitch per scene show no third voice worth the name; the files without a letter are these two again.
  Two held-out voices are therefore the whole folder: leaving some of its files in would put the test's speakers into the training.
- `noise/city`: all of it, 137 scenes; but most of it ends at 5.5 kHz, so it says nothing of the upper third of the spectrum. Hence:
- some of `noise/opensfx` and `noise/machines` that reach 8 kHz: road vehicles, applause, jackhammer, sawmill, chainsaw, jets;
  and twenty machines. By kind, not at random, as near copies (two jets, two buses) would make the test known.

Never choose a model, a setting or a stopping time by what is measured on these.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

SPEECH = (
    "speech/prompts-it/*",
    "speech/librivox/*",
    "speech/dialogue-nl/*",
)
NOISE_CITY = ("noise/city/*",)
NOISE_WIDE = (
    "noise/opensfx/02[5-9]_*",  # trucks, buses, applause
    "noise/opensfx/033_*",  # jackhammer
    "noise/opensfx/040_*",  # sawmill
    "noise/opensfx/056_*",  # chainsaw
    "noise/opensfx/009_*",  # jets
    "noise/opensfx/059_*",
    "noise/opensfx/061_*",
    "noise/opensfx/070_*",
    "noise/machines/sound02?.*",
    "noise/machines/sound04?.*",
)
NOISE = NOISE_CITY + NOISE_WIDE
HELD_OUT = SPEECH + NOISE
_SUFFIXES = {".flac", ".wav", ".ogg", ".mp3"}


def matches(relative: str | Path, patterns: tuple[str, ...] = HELD_OUT) -> bool:
    """Whether a path relative to the data folder is named by a pattern."""
    name = Path(relative).as_posix()
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def held_out(path: str | Path, data: str | Path) -> bool:
    """Whether a file below the data folder is held out."""
    return matches(Path(path).relative_to(data))


def files(data: str | Path, patterns: tuple[str, ...] = HELD_OUT) -> list[Path]:
    """The held-out recordings that there are, sorted."""
    return [path for path in _recordings(Path(data)) if matches(path.relative_to(data), patterns)]


def training_files(data: str | Path, *folders: str) -> list[Path]:
    """The recordings below the named folders ("speech", "noise/opensfx", ...) that may be trained on, sorted."""
    found = [path for folder in folders for path in _recordings(Path(data, folder))]
    return [path for path in found if not held_out(path, data)]


def _recordings(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))
