"""A folder of generated clips: the request that owns it, the manifest of its clips, and what is still missing.

`generate.json` states which model and options the clips come from, so that the same command continues and another one is
refused. `manifest.csv` has a row for every complete clip. A clip counts as done if it has a row and its file exists: files
appear under their names only when complete, and the row follows the file. A kill at any moment therefore costs at most the
clips that were between the two, which are generated again, identical. Clips are not flushed to the disk one by one, which would take
several times as long as generating them: a power cut may leave empty files, and those count as missing.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...data.audio import audio_file
from ...errors import AudioFileError, GanAudioError, UsageError
from ...files import TEMPORARY, write_text

try:
    import fcntl
except ImportError:  # Windows: two processes on one folder then go unnoticed
    fcntl = None  # type: ignore[assignment]

REQUEST_FILE = "generate.json"
MANIFEST_FILE = "manifest.csv"
REQUEST_VERSION = 1

_COLUMNS = ("file", "index", "seed", "label", "sample_rate", "samples", "peak", "model")  # the fields of `Row`
ATTRIBUTES = ("pitch", "instrument", "velocity")  # columns that are there where a clip has them

Existing = Literal["error", "skip", "overwrite"]


@dataclass(frozen=True)
class Row:
    """One line of the manifest; the fields are its columns, with a column for each attribute behind `label`.

    Attributes:
        file: Path below the folder, with slashes.
        index: Number of the clip.
        seed: Its seed; `A-B` in an interpolation from A to B.
        label: Name of its label; empty if the model has none.
        sample_rate: Hz.
        samples: Length.
        peak: Largest magnitude, 1 is full scale.
        model: SHA-256 of the model file.
        attributes: "pitch", "instrument", "velocity" -> name of its class, for those that the model has.
    """

    file: str
    index: int
    seed: str
    label: str
    sample_rate: int
    samples: int
    peak: float
    model: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A clip of a request: its number, its file below the folder, and its provenance tag."""

    index: int
    file: str
    tag: Mapping[str, Any]


@dataclass(frozen=True)
class Todo:
    """Work that a request has left: `missing` are clip numbers, `kept` counts its finished clips, `skipped` files of others."""

    missing: list[int]
    kept: int
    skipped: int


class ClipFolder:
    """Output folder of `generate`. Reading it changes nothing; `writing` does."""

    def __init__(self, path: Path):
        """
        Raises:
            UsageError: The path is a file.
            GanAudioError: Its `generate.json` cannot be understood.
        """
        if path.exists() and not path.is_dir():
            raise UsageError(f"The output {path} is a file; expected a folder.", hint="gan-audio generate RUN -o clips/")
        self.path = path
        self.request = self._read_request()
        self.rows: dict[str, Row] = {row.file: row for row in self._read_rows()}
        self._log: Any = None
        self._attributes: tuple[str, ...] = ()  # columns of the manifest while it is written

    def todo(self, request: Mapping[str, Any], wanted: Iterable[Wanted], existing: Existing) -> Todo:
        """Compare the folder with a request.

        Args:
            request: `Plan.request`; the same request continues.
            wanted: Every clip of it.
            existing: Treatment of files that this request did not write: "error", "skip" or "overwrite".

        Raises:
            UsageError: The folder belongs to another request, or holds a file that this one did not write, and `existing` is "error".
        """
        same = self.request == dict(request)
        if self.request is not None and not same and existing == "error":
            raise UsageError(
                f"{self.path} holds the clips of another request: {_differences(self.request, request)}.",
                hint="choose another folder with -o; or --overwrite to replace the clips there, --skip-existing to add to them",
            )
        sizes = self._sizes()
        missing, kept, skipped = [], 0, 0
        for clip in wanted:
            if clip.file in sizes:
                if same and clip.file in self.rows:
                    kept += bool(sizes[clip.file])
                    if not sizes[clip.file]:
                        missing.append(clip.index)
                    continue
                if existing != "overwrite" and not (same and self._is_ours(clip)):
                    if existing == "error":
                        raise UsageError(
                            f"{self.path / clip.file} exists already and was not written by this request.",
                            hint="choose another folder with -o; or --overwrite to replace it, --skip-existing to keep it",
                        )
                    skipped += 1
                    continue
            missing.append(clip.index)
        return Todo(missing, kept, skipped)

    @contextmanager
    def writing(self, request: Mapping[str, Any], replaced: Iterable[str] = (), attributes: Iterable[str] = ()) -> Iterator[ClipFolder]:
        """Lock the folder for this process; `add` may be called inside. The manifest is complete and sorted at the end.

        Args:
            request: As for `todo`.
            replaced: Files that are about to be replaced: their rows are removed first, so that no row ever describes another clip.
            attributes: Attributes that the new rows will have.

        Raises:
            GanAudioError: Another process writes into the folder, or it cannot be written to.
        """
        with _named(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            names = self._sizes()
            gone = set(replaced)
            self.rows = {file: row for file, row in self.rows.items() if file in names and file not in gone}
            there = set(attributes).union(*(row.attributes for row in self.rows.values()))
            self._attributes = tuple(name for name in ATTRIBUTES if name in there)
            with _named(self.path):
                for name in names:
                    if TEMPORARY.fullmatch(name.rpartition("/")[2]):  # what a kill left; under the lock nobody else is writing
                        (self.path / name).unlink(missing_ok=True)
                self._write_manifest()
                if self.request != dict(request):
                    write_text(self.path / REQUEST_FILE, json.dumps(request, indent=1, ensure_ascii=False) + "\n")
                    self.request = dict(request)
                self._log = (self.path / MANIFEST_FILE).open("a", encoding="utf-8", newline="")
            try:
                yield self
            finally:
                self._close()

    def add(self, rows: Sequence[Row]) -> None:
        """Add complete clips. Their rows are in the operating system's hands when this returns: a kill does not lose them."""
        self._log.write(_lines(rows, self._attributes))
        self._log.flush()
        self.rows.update((row.file, row) for row in rows)

    def _close(self) -> None:
        try:
            self._log.close()
            self._write_manifest()
        except OSError:
            # A full disk: the appended rows exist, only unsorted, and reading them needs no order. The write that filled the
            # disk raises its own error.
            pass
        finally:
            self._log = None

    def _write_manifest(self) -> None:
        # Several threads finish clips; the file lists them in order.
        ordered = sorted(self.rows.values(), key=lambda row: (row.index, row.file))
        header = ",".join([*_COLUMNS[:4], *self._attributes, *_COLUMNS[4:]]) + "\n"
        write_text(self.path / MANIFEST_FILE, header + _lines(ordered, self._attributes))

    def _read_request(self) -> dict[str, Any] | None:
        file = self.path / REQUEST_FILE
        try:
            request = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GanAudioError(f"{file} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise GanAudioError(
                f"{file} is damaged: {error}.", hint=f"delete it, and run again with --overwrite or another -o than {self.path}"
            ) from error
        if not isinstance(request, dict) or request.get("version") != REQUEST_VERSION:
            raise GanAudioError(f"{file} was not written by this version of gan-audio generate.", hint="choose another folder with -o")
        return request

    def _read_rows(self) -> Iterator[Row]:
        try:
            text = (self.path / MANIFEST_FILE).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise GanAudioError(f"{self.path / MANIFEST_FILE} cannot be read: {error.strerror}.") from error
        whole = text[: text.rfind("\n") + 1]  # a kill in the middle of a write leaves half a line, whose clip is generated again
        for cells in csv.DictReader(io.StringIO(whole, newline="")):
            try:
                attributes = {name: cells[name] for name in ATTRIBUTES if cells.get(name)}
                numbers = int(cells["sample_rate"]), int(cells["samples"]), float(cells["peak"])
                yield Row(cells["file"], int(cells["index"]), cells["seed"], cells["label"], *numbers, cells["model"], attributes)
            except (KeyError, TypeError, ValueError):  # a line that somebody has edited
                continue

    def _sizes(self) -> dict[str, int]:
        """Every file below the folder and its size, listed once: 100,000 single queries to a network disk would take minutes."""
        found: dict[str, int] = {}
        pending = [""] if self.path.is_dir() else []
        while pending:
            below = pending.pop()
            with suppress(OSError), os.scandir(self.path / below) as entries:  # a folder that cannot be read has no clips of ours
                for entry in entries:
                    name = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{name}/")
                    else:
                        found[name] = entry.stat().st_size if entry.is_file() else 0
        return found

    def _is_ours(self, clip: Wanted) -> bool:
        try:
            tag = audio_file.read_tag(self.path / clip.file) or {}
        except AudioFileError:
            return False
        return all(tag.get(key) == clip.tag[key] for key in ("synthetic", "model", "seed", "index"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)  # the folder itself can be locked: no lock file stays behind
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise GanAudioError(
                    f"Another gan-audio generate is writing into {self.path}.", hint="wait for it, or choose another folder with -o"
                ) from error
            except OSError:  # a file system without locks
                pass
            yield
        finally:
            os.close(handle)


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or a cause of it, is the system's "no space left" or "quota exceeded"."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GanAudioError(f"{path} cannot be written to: {error.strerror or error}.", hint="choose another folder with -o") from error


def _lines(rows: Iterable[Row], attributes: Sequence[str]) -> str:
    buffer = io.StringIO()
    # By name, not with `astuple`, which copies deeply and costs as much as the rest of a row.
    csv.writer(buffer, lineterminator="\n").writerows(
        (
            *(row.file, row.index, row.seed, row.label),
            *(row.attributes.get(name, "") for name in attributes),
            *(row.sample_rate, row.samples, f"{row.peak:.6f}", row.model),
        )
        for row in rows
    )
    return buffer.getvalue()


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    changed = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    shown = [f"{key} is {_short(there.get(key))} there and {_short(here.get(key))} here" for key in changed[:4]]
    return "; ".join(shown) + (f"; and {len(changed) - 4} more" if len(changed) > 4 else "")


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:  # SHA-256
        return value[:12]
    return json.dumps(value, ensure_ascii=False)
