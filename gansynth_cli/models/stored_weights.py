"""The precision in which a `.keras` file keeps its weights: `TableWeights` of a layer that has them by name, `store_as` of a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np


class TableWeights:
    """Mixin of a layer or model that saves the weights of `table`, by name, as `stored_as`; they are read back in single precision."""

    table: Mapping[str, keras.Variable]
    stored_as: str

    def save_own_variables(self, store: Any) -> None:
        for name, variable in self.table.items():
            store[name] = np.asarray(variable).astype(self.stored_as)

    def load_own_variables(self, store: Any) -> None:
        for name, variable in self.table.items():
            variable.assign(np.asarray(store[name], np.float32))


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
