"""The precision in which a `.keras` file keeps its weights."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py


def store_as(file: Path, dtype: str) -> None:
    """Rewrite the weights in a `.keras` file in another type: on loading, Keras casts them to the type of the variable."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO()
    with h5py.File(io.BytesIO(parts["model.weights.h5"])) as old, h5py.File(content, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            made = new.create_dataset(name, data=item[()].astype(dtype)) if isinstance(item, h5py.Dataset) else new.require_group(name)
            made.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    parts["model.weights.h5"] = content.getvalue()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
