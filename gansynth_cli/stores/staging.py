"""Local paths for the arguments of a command, whatever they are."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from ..errors import UsageError
from .mirror import Mirror, cache_bytes, cache_folder, fetch, placeholder, register, release, scratch_folder, unregister
from .store import Store, url_of

_PORTION_FILES, _PORTION_BYTES = 512, 1 << 30  # inputs that lie on the disk together
_UPLOADS = 8  # at a time
_Item = TypeVar("_Item")


class Staging:
    """Local paths for the arguments of one command; a context that cleans up behind it."""

    def __init__(self) -> None:
        self._stack, self._mirrors, self._outputs = ExitStack(), list[tuple[Mirror, Path]](), list[Outbox]()
        self._growing: GrowingOutput | None = None

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if self._growing is not None:
                self._growing.close()
            for outbox in self._outputs:
                outbox.close(wait=kind is None)
        finally:
            for mirror, _ in self._mirrors:
                unregister(mirror)
            self._stack.close()

    @property
    def remote_inputs(self) -> bool:
        """Whether some inputs are in a store."""
        return bool(self._mirrors)

    def input(self, given: str | os.PathLike) -> Path:
        """Return the local path of an input: the path itself, or the mirror of what is in a store.

        Raises:
            UsageError: Nothing is there.
            StoreError: The store cannot be reached, or refuses.
        """
        url = url_of(given)
        if not url:
            return Path(given)
        store = Store(url)
        kind = store.kind()
        if not kind:
            raise UsageError(f"The input {url} does not exist.", hint="give a folder or an object of a bucket that exists")
        name = store.url.rpartition("/")[2]
        if kind == "file":
            store = Store(store.url.rpartition("/")[0])
            names = {name: Store(url).size()}
        else:
            names = store.files()
        folder = Path(self._stack.enter_context(scratch_folder()), name if kind == "folder" else "file")
        folder.mkdir(parents=True)
        mirror = Mirror(store, folder, names, cache_bytes())
        shown = folder / name if kind == "file" else folder
        self._mirrors.append((mirror, shown))
        register(mirror)
        return shown

    def output(self, given: str | os.PathLike, inputs: Sequence[str | os.PathLike] = ()) -> Path:
        """Return the local path of an output folder or file; what exists in the store is there with its size.

        Raises:
            UsageError: It is one of the inputs.
            StoreError: The store cannot be reached, or refuses.
        """
        url = url_of(given)
        if not url:
            return Path(given)
        if any(url_of(one).rstrip("/") == url.rstrip("/") for one in inputs):
            raise UsageError(f"The output {url} is one of the inputs: recordings would be replaced.", hint="choose another -o")
        outbox = Outbox(url, Path(self._stack.enter_context(scratch_folder())))
        self._outputs.append(outbox)
        return outbox.local

    def growing(self, given: str | os.PathLike, seal: str, below: str = "") -> Path:
        """Return the local path of a folder that is made locally and sent whole by `finish`; see `GrowingOutput`.

        Args:
            given: The folder, a path or a URL.
            seal: Name of the file that tells that it is complete.
            below: Name of the folder below `given` that is meant.

        Raises:
            StoreError: The store cannot be reached, or refuses.
        """
        url = url_of(given).rstrip("/")
        if not url:
            return Path(given, below)
        self._growing = GrowingOutput(f"{url}/{below}" if below else url, seal)
        return self._growing.local

    def finish(self, path: Path | str) -> Path | str:
        """Send the folder that `growing` gave; return `path` as the user knows it.

        Raises:
            StoreError: It cannot be sent; what was made stays, and the same command goes on.
        """
        if self._growing is None:
            return path
        growing, self._growing = self._growing, None
        growing.send()
        return growing.url

    def send(self, paths: Iterable[Path]) -> None:
        """Send finished files that lie in an output in a store; others stay where they are.

        Raises:
            StoreError: An earlier one could not be sent.
        """
        for path in paths:
            for outbox in self._outputs:
                if path.is_relative_to(outbox.root):
                    outbox.send(path)

    def settle(self) -> None:
        """Wait until all is sent.

        Raises:
            StoreError: Something could not be sent.
        """
        for outbox in self._outputs:
            outbox.settle()

    def shown(self, path: Path) -> str:
        """Return a local path as the user knows it."""
        for outbox in self._outputs:
            if path == outbox.local or path.is_relative_to(outbox.root):
                return outbox.url_of(path)
        for mirror, _ in self._mirrors:
            if path.is_relative_to(mirror.folder):
                return f"{mirror.store.url}/{path.relative_to(mirror.folder).as_posix()}".removesuffix("/.")
        return str(path)

    def portions(self, items: Sequence[_Item], path_of: Callable[[_Item], Path]) -> Iterator[Sequence[_Item]]:
        """Yield items whose files are on the disk together: all at once where they are local. The next portion is fetched meanwhile, and
        a portion is released when the next one is asked for."""
        if not self._mirrors:
            yield items
            return
        portions = _portions(items, path_of)
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(fetch, [path_of(item) for item in portion]) for portion in portions[:1]]
            for number, portion in enumerate(portions):
                coming.pop().result()
                if number + 1 < len(portions):
                    coming.append(ahead.submit(fetch, [path_of(item) for item in portions[number + 1]]))
                yield portion
                release(path_of(item) for item in portion)


def _portions(items: Sequence[_Item], path_of: Callable[[_Item], Path]) -> list[list[_Item]]:
    most = min(_PORTION_BYTES, cache_bytes() // 2)
    found: list[list[_Item]] = []
    size = 0
    for item in items:
        own = path_of(item).stat().st_size
        if not found or len(found[-1]) >= _PORTION_FILES or size + own > most:
            found.append([])
            size = 0
        found[-1].append(item)
        size += own
    return found


class Outbox:
    """An output in a store: files are written below a local folder and sent when they are finished.

    Attributes:
        root: Local folder that stands for `url`'s folder.
        local: Local path that stands for `url`.
    """

    def __init__(self, url: str, scratch: Path):
        name = url.rstrip("/").rpartition("/")[2]
        self.url = url.rstrip("/")
        single = "." in name and not url.endswith("/") and Store(self.url).kind() != "folder"
        self._store = Store(self.url.rpartition("/")[0] if single else self.url)
        self.root = scratch / ("file" if single else name)
        self.local = self.root / name if single else self.root
        self.root.mkdir(parents=True)
        if single:
            there = {name: Store(self.url).size()} if Store(self.url).kind() else {}
        else:
            there = self._store.files()
        for known, size in there.items():
            placeholder(self.root / known, size)
        self._pool = ThreadPoolExecutor(_UPLOADS)
        self._sending: list[Future[None]] = []

    def url_of(self, path: Path) -> str:
        return f"{self._store.url}/{path.relative_to(self.root).as_posix()}".removesuffix("/.")

    def send(self, path: Path) -> None:
        self._collect(wait=False)
        self._sending.append(self._pool.submit(self._send, path))

    def settle(self) -> None:
        self._collect(wait=True)

    def close(self, wait: bool) -> None:
        self._pool.shutdown(wait=True, cancel_futures=not wait)
        if wait:
            self.settle()

    def _send(self, path: Path) -> None:
        self._store.upload(path, path.relative_to(self.root).as_posix())
        path.unlink(missing_ok=True)

    def _collect(self, wait: bool) -> None:
        done = [future for future in self._sending if wait or future.done()]
        self._sending = [future for future in self._sending if future not in done]
        for future in done:
            future.result()


class GrowingOutput:
    """A folder in a store that is made locally first and sent whole: a data set, or a part of one.

    It lies in the cache folder under a name that follows from its URL, so an interrupted command finds it again. What tells that the
    folder is complete is sent last, and deleted first where another one is replaced.

    Args:
        url: The folder in the store.
        seal: Name of the file that tells that it is complete.

    Attributes:
        local: The folder's local path.
    """

    def __init__(self, url: str, seal: str):
        self.url, self.seal, self._store = url.rstrip("/"), seal, Store(url)
        home = cache_folder() / "outputs" / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.local = home / self.url.rpartition("/")[2]
        self._journal = home / f"{self.local.name}.sent"
        self._mirror: Mirror | None = None
        home.mkdir(parents=True, exist_ok=True)
        there = self._store.files()
        if not self.local.exists() and seal in there:
            self.local.mkdir()
            self._mirror = Mirror(self._store, self.local, there, cache_bytes())
            register(self._mirror)

    def send(self) -> None:
        """Send what the store does not have yet, and delete the local folder.

        Raises:
            StoreError: The store fails; the next command goes on.
        """
        sent = set(self._journal.read_text(encoding="utf-8").splitlines()) if self._journal.is_file() else set()
        found = {path.relative_to(self.local).as_posix(): path for path in sorted(self.local.rglob("*")) if path.is_file()}
        lines = {name: f"{path.stat().st_mtime_ns} {path.stat().st_size} {name}" for name, path in found.items()}
        left = [
            name
            for name, path in found.items()
            if lines[name] not in sent and not path.name.startswith(".") and not (self._mirror and self._mirror.holds(path))
        ]
        if left and not sent & {*lines.values()}:
            self._store.delete(self.seal)
        with self._journal.open("a", encoding="utf-8") as journal:
            for name in sorted(left, key=lambda name: name == self.seal):
                self._store.upload(found[name], name)
                journal.write(f"{lines[name]}\n")
                journal.flush()
        for name in self._mirror.names.keys() - found.keys() if self._mirror else ():
            self._store.delete(name)
        self.close(finished=True)

    def close(self, finished: bool = False) -> None:
        """Delete the local folder if it was sent, or is only a mirror of what the store has."""
        if self._mirror is not None:
            unregister(self._mirror)
        if finished or self._mirror is not None:
            shutil.rmtree(self.local, ignore_errors=True)
            self._journal.unlink(missing_ok=True)
            with suppress(OSError):  # it holds an unfinished data set of this name
                self.local.parent.rmdir()
        self._mirror = None


def local_for_process(given: str | os.PathLike) -> Path:
    """Return the local path of an input that is read until this process ends, such as a data set to train on.

    Raises:
        UsageError: Nothing is there.
        StoreError: The store cannot be reached, or refuses.
    """
    if not url_of(given):
        return Path(given)
    staging = Staging()
    atexit.register(staging.__exit__, None)
    return staging.input(given)
