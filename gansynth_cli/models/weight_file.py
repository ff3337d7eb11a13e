"""The stored weights of a `.keras` file, checked before anything is read from them.

HDF5 states sizes that no byte backs, and names other files: a dataset of a terabyte without content fills memory, an external link or
dataset reads whatever file the user may read. Keras follows both.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

ENTRY = "model.weights.h5"
MAX_RATIO = 64  # of unpacked to packed bytes; weights hardly shrink, zeros a thousandfold
_SLACK = 1 << 20  # bytes that any file may unpack to


def check_archive(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to far more than it holds, or has two entries of one name, of which readers take different ones.

    Raises:
        ValueError: Says what is wrong.
    """
    for name, count in Counter(archive.namelist()).items():
        if count > 1:
            raise ValueError(f"it has {count} entries named {name}")
    for entry in archive.infolist():
        if entry.file_size > MAX_RATIO * entry.compress_size + _SLACK:
            raise ValueError(f"its {entry.filename} claims {entry.file_size:,} bytes, packed into {entry.compress_size:,}")


@contextmanager
def opened_weights(file: Path) -> Iterator[h5py.File]:
    """Open the weights of a model file, read only.

    Raises:
        ValueError: They link to other files, or claim more bytes than they have.
        OSError, KeyError, zipfile.BadZipFile: They are damaged or missing.
    """
    import h5py  # late: half of the import time of `enhance`, whose --help needs none of it

    with zipfile.ZipFile(file) as archive:
        check_archive(archive)
        content = archive.read(ENTRY)
    with h5py.File(io.BytesIO(content), "r") as weights:
        _check_group(weights, len(content))
        yield weights


def _check_group(weights: h5py.File, size: int) -> None:
    import h5py

    claimed, seen, pending = 0, set(), [weights["/"]]
    while pending:
        group = pending.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its weights link elsewhere (at {group.name.rstrip('/')}/{name})")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr  # two names of one group would be walked without end
            if place in seen:
                raise ValueError(f"its weights name one array twice (at {item.name})")
            seen.add(place)
            if isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise ValueError(f"its weights lie in another file (at {item.name})")
                claimed += item.nbytes
                if claimed > size:
                    raise ValueError(f"its weights claim more than the {size:,} bytes that hold them (at {item.name})")
            else:
                pending.append(item)
