"""The objects below a URL, through fsspec, with repeated attempts and errors that say what to do."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import GanAudioError, MissingExtraError

SCHEMES = ("s3", "gs", "gcs", "memory")
PAUSES = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]  # seconds between attempts
_URL = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)
_Result = TypeVar("_Result")


class StoreError(GanAudioError):
    """An object store that cannot be reached, refuses, or lacks what was asked for."""


def url_of(given: str | os.PathLike) -> str:
    """Return the URL that an argument is, "" for a path. `Path("s3://a/b")` is `s3:/a/b`, and counts as the URL."""
    found = _URL.fullmatch(given if isinstance(given, str) else Path(given).as_posix())
    return f"{found[1]}://{found[2]}" if found else ""


class Store:
    """The objects below a URL.

    Args:
        url: A folder or an object in a store.

    Raises:
        MissingExtraError: Its driver is not installed.
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        scheme = url.partition(":")[0]
        try:
            from fsspec.core import url_to_fs

            self._fs, path = url_to_fs(self.url)
        except ImportError as error:
            raise MissingExtraError(f"{scheme}://", "cloud") from error
        self._path = path.rstrip("/")

    def kind(self) -> str:
        """Return "file", "folder", or "" where nothing is."""
        try:
            found = self._try("looked up", lambda: self._fs.info(self._path))
        except FileNotFoundError:
            return "folder" if self.files() else ""
        return "file" if found["type"] == "file" else "folder"

    def files(self) -> dict[str, int]:
        """Return name below the URL -> bytes of all objects. Names that would leave a local folder are left out."""

        def find() -> dict[str, Any]:
            self._fs.invalidate_cache()
            return self._fs.find(self._path, detail=True)

        try:
            found = self._try("listed", find)
        except FileNotFoundError:
            return {}
        names = {key[len(self._path) :].strip("/"): entry["size"] for key, entry in found.items() if not key.endswith("/")}
        return {name: size for name, size in sorted(names.items()) if not {"", ".", ".."} & set(name.split("/")) and "\0" not in name}

    def download(self, pairs: Sequence[tuple[str, Path]]) -> list[str]:
        """Bring objects to local files, several at a time; return the names of those that are gone."""
        remote, local = [self._key(name) for name, _ in pairs], [str(path) for _, path in pairs]
        try:
            self._try("read", lambda: self._fs.get(remote, local), self._shown(pairs))
        except FileNotFoundError:
            if len(pairs) == 1:
                return [pairs[0][0]]
            return [name for pair in pairs for name in self.download([pair])]
        return []

    def size(self) -> int:
        """Return the bytes of the object that the URL is.

        Raises:
            FileNotFoundError: It is not there.
        """
        return int(self._try("looked up", lambda: self._fs.info(self._path))["size"])

    def upload(self, path: Path, name: str) -> None:
        """Send a local file."""
        self._try("written", lambda: self._fs.put_file(str(path), self._key(name)), name)

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with suppress(FileNotFoundError):
            self._try("deleted", lambda: self._fs.rm_file(self._key(name)), name)

    def _key(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _shown(self, pairs: Sequence[tuple[str, Path]]) -> str:
        return pairs[0][0] if len(pairs) == 1 else ""

    def _try(self, done: str, action: Callable[[], _Result], name: str = "") -> _Result:
        """Do something, again after a pause where that may help.

        Raises:
            FileNotFoundError: The bucket or object does not exist.
            StoreError: Anything else.
        """
        where = f"{self.url}/{name}" if name else self.url
        for pause in [*PAUSES, None]:
            try:
                return action()
            except FileNotFoundError:
                raise
            except MemoryError:
                raise
            except Exception as error:  # drivers raise errors of botocore, aiohttp, google.auth and their own
                if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
                    raise _refused(where, done, error) from error
                if pause is None:
                    raise StoreError(
                        f"{where} cannot be {done}: {_reason(error)}.",
                        hint="when the store answers again, run the same command: it goes on where it was",
                    ) from error
                time.sleep(pause)
        raise AssertionError  # the last pause is None


def _refused(where: str, done: str, error: Exception) -> StoreError:
    known = (
        "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if where.startswith("s3") else "gcloud auth application-default login"
    )
    return StoreError(
        f"{where} cannot be {done}: access is refused ({_reason(error)}).", hint=f"check the bucket's rights and the keys: {known}"
    )


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
