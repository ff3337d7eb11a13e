"""Local trees that stand for folders in a store, and the cache folder that they lie in."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import UsageError
from ..files import temporary_file
from .store import Store

try:
    import fcntl
except ImportError:  # Windows: the folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

CACHE_FOLDER, CACHE_SIZE = "GAN_AUDIO_CACHE", "GAN_AUDIO_CACHE_GB"  # environment variables
_DEFAULT_GB = 20.0
_KEPT = 64  # files that were fetched last stay whatever their size: readers are about to open them
# Labelling reads these, so they come at once.
_TEXT = frozenset([".csv", ".tsv", ".txt", ".json", ".jsonl", ".lab", ".textgrid", ".srt", ".trans"])
_MAX_TEXT = 64 << 20  # bytes


def cache_folder() -> Path:
    """Return the folder for what is fetched and not yet sent: $GAN_AUDIO_CACHE, or the user's cache folder."""
    if given := os.environ.get(CACHE_FOLDER):
        return Path(given)
    home = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    return Path(home or (Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")), "gan-audio")


def cache_bytes() -> int:
    """Return how many bytes of inputs may lie on the disk: $GAN_AUDIO_CACHE_GB, 20 unless set.

    Raises:
        UsageError: It is no number above 0.
    """
    text = os.environ.get(CACHE_SIZE, "") or str(_DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not size > 0:
        raise UsageError(f"{CACHE_SIZE} is {text!r}; expected a number of gigabytes above 0.", hint=f"{CACHE_SIZE}=20")
    return round(size * 1e9)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder in the cache folder that is deleted at the end; those that killed processes left are deleted at the start."""
    home = cache_folder() / "work"
    home.mkdir(parents=True, exist_ok=True)
    for lock in home.glob("*.lock") if fcntl else ():
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
    folder = Path(tempfile.mkdtemp(prefix="", dir=home))
    lock = folder.with_name(f"{folder.name}.lock")
    try:
        with lock.open("wb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)


class Mirror:
    """A local tree with the names and sizes of objects, and the contents of those that were fetched last.

    Args:
        store: Where the objects are.
        folder: A local folder, empty.
        names: Name -> bytes of the objects.
        limit: Bytes that may be on the disk, but for the last `_KEPT` files.
    """

    def __init__(self, store: Store, folder: Path, names: dict[str, int], limit: int):
        self.store, self.folder, self.names, self.limit = store, folder, names, limit
        self._present: OrderedDict[str, int] = OrderedDict()
        self._inodes: dict[str, int] = {}
        self._loading: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        for name in names:
            self._place(name)
        self.fetch(folder / name for name, size in names.items() if Path(name).suffix.lower() in _TEXT and size <= _MAX_TEXT)

    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring the contents of files of this tree. One whose object is gone is deleted here too.

        Raises:
            StoreError: The store does not give them.
        """
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        with self._lock:
            mine = [name for name in dict.fromkeys(names) if name in self.names and name not in self._present and name not in self._loading]
            others = [self._loading[name] for name in names if name in self._loading]
            self._loading |= {name: threading.Event() for name in mine}
        try:
            self._bring(mine)
        finally:
            with self._lock:
                events = [self._loading.pop(name) for name in mine]
            for event in events:
                event.set()
        for event in others:
            event.wait()
        with self._lock:
            for name in names:
                if name in self._present:
                    self._present.move_to_end(name)
            self._evict()

    def release(self, paths: Iterable[Path]) -> None:
        """Free the disk of files that are not needed any more."""
        with self._lock:
            for path in paths:
                self._drop(path.relative_to(self.folder).as_posix())

    def _bring(self, names: Sequence[str]) -> None:
        with ExitStack() as stack:
            pairs = [(name, stack.enter_context(temporary_file(self.folder / name))[0]) for name in names]
            gone = set(self.store.download(pairs)) if pairs else set()
            for name, temporary in pairs:
                if name in gone:
                    (self.folder / name).unlink(missing_ok=True)
                    continue
                self._inodes[name] = temporary.stat().st_ino
                temporary.replace(self.folder / name)
                with self._lock:
                    self._present[name] = self.names[name]

    def _evict(self) -> None:
        while len(self._present) > _KEPT and sum(self._present.values()) > self.limit:
            self._drop(next(iter(self._present)))

    def _drop(self, name: str) -> None:
        if self._present.pop(name, None) is not None:
            self._place(name)  # a reader that has the file open keeps it

    def _place(self, name: str) -> None:
        self._inodes[name] = placeholder(self.folder / name, self.names[name])

    def holds(self, path: Path) -> bool:
        """Whether a file of the tree is what the store has: nobody replaced it."""
        return self._inodes.get(path.relative_to(self.folder).as_posix()) == path.stat().st_ino


def placeholder(path: Path, size: int) -> int:
    """Put an empty file of a size there, which takes no space; return its inode."""
    with temporary_file(path) as (temporary, handle):
        handle.truncate(size)
        temporary.replace(path)
        return os.fstat(handle.fileno()).st_ino


_mirrors: list[Mirror] = []


def register(mirror: Mirror) -> None:
    """Make `fetch` know a mirror."""
    _mirrors.append(mirror)


def unregister(mirror: Mirror) -> None:
    """Make `fetch` forget a mirror."""
    _mirrors.remove(mirror)


def mirror_of(path: Path) -> Mirror | None:
    """Return the mirror that a path lies in; None for a local file."""
    return next((mirror for mirror in _mirrors if path.is_relative_to(mirror.folder)), None) if _mirrors else None


def fetch(paths: Iterable[Path]) -> None:
    """Bring the contents of files that lie in mirrors; local files are there already."""
    _each_mirror(paths, Mirror.fetch)


def release(paths: Iterable[Path]) -> None:
    """Free the disk of files that lie in mirrors and are not needed any more; local files stay."""
    _each_mirror(paths, Mirror.release)


def _each_mirror(paths: Iterable[Path], action: Callable[[Mirror, list[Path]], None]) -> None:
    if not _mirrors:
        return
    by_mirror: dict[int, tuple[Mirror, list[Path]]] = {}
    for path in paths:
        if mirror := mirror_of(path):
            by_mirror.setdefault(id(mirror), (mirror, []))[1].append(path)
    for mirror, mine in by_mirror.values():
        action(mirror, mine)
