"""Write files so that a crash or a power cut leaves the old content or the new one, never half of it; hash them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

try:
    import fcntl
except ImportError:  # Windows: the temporary files of a killed process cannot be told from those in use, and stay
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.partial(\.[^.]+)?")
_SMALL = 1 << 20  # bytes; `hashlib.file_digest` clears a buffer of 256 KiB first, which small files feel


@contextmanager
def replacing(path: str | os.PathLike, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving the block, flush it to the disk and rename it to `path` in one step.

    Leaving by an exception deletes the temporary file and keeps the old `path`. Missing folders are created. The temporary
    name begins with a dot and keeps the suffix, which some writers look at.

    Args:
        path: The file.
        durable: Whether the file has to survive a power cut. Without it nothing is flushed, which is several times as fast for many
            small files; a kill still leaves the old file or the new one, but a power cut may leave an empty one.

    Raises:
        OSError: The file cannot be written. Callers convert this to an error that names their option.
    """
    path = Path(path)
    with temporary_file(path) as (temporary, handle):
        if fcntl is None:
            handle.close()  # Windows does not rename an open file
        yield temporary
        if durable:
            move_into_place(temporary, path)
        else:
            temporary.replace(path)


@contextmanager
def temporary_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create an empty file beside `path`, locked until the block ends, and delete it then if it is still there.

    Yields:
        The path and the open, unbuffered handle, whose lock shows `remove_unfinished` that the writer is alive.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.partial{path.suffix}")
    try:
        with temporary.open("xb+", buffering=0) as handle:
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel however the process ends
            yield temporary, handle
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path) -> None:
    """Flush a closed file to the disk, rename it to `path`, and flush the folder.

    Without the first flush a power cut can leave the new name with the content of an empty file; without the second one, the
    old name.
    """
    with temporary.open("rb+") as written:
        os.fsync(written.fileno())
    temporary.replace(path)
    with suppress(OSError):  # Windows opens no folders, and some network file systems do not flush them
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_bytes(path: str | os.PathLike, content: bytes, *, durable: bool = True) -> None:
    """Write a whole file by `replacing`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, text: str, *, durable: bool = True) -> None:
    """Write a whole file by `replacing`, UTF-8 with the line ends of `text`; file names that are no UTF-8 keep their bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), durable=durable)


def remove_unfinished(folder: Path) -> int:
    """Delete the temporary files that killed processes left in a folder and return their number; files in use stay."""
    removed = 0
    if fcntl is None or not folder.is_dir():
        return removed
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name):
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
    return removed


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content in hex.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:
        start = file.read(_SMALL)
        if len(start) < _SMALL and not file.read(1):  # a short read alone is not yet the end on a network disk
            return hashlib.sha256(start).hexdigest()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(value: Any, **options: Any) -> str:
    """Format JSON with a line end, readable in every language. File names that are not UTF-8 become escapes, which `read_json` undoes."""
    text = json.dumps(value, indent=1, ensure_ascii=False, **options)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def read_json(path: Path) -> Any:
    """Read JSON; bytes that are not UTF-8 are kept as Python keeps those of file names.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig", "surrogateescape"))
    except RecursionError as error:
        raise ValueError("its lists are nested too deeply") from error


def load_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read a .npy file; nothing in it is executed.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or holds something else than one array.
    """
    import numpy as np

    try:
        found = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy raises what its parser of headers raises: EOFError, TokenError, SyntaxError, MemoryError ...
        raise ValueError(f"its header is damaged ({type(error).__name__})") from error
    if not isinstance(found, np.ndarray):
        raise ValueError("it is an archive, not one array")
    return found
