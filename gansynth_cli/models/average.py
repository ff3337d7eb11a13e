"""The weighted average of saved models of one network, such as a fine-tuned model and the one it began with."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .. import __version__
from ..errors import RunError, UsageError
from ..files import replacing
from .model_file import ModelFile

_RECORDED = ("recipe", "step", "seed", "data")  # of each model's provenance


def average_models(parts: Sequence[tuple[ModelFile, float]], output: Path) -> None:
    """Write a `.keras` file whose every weight is the weighted mean of those of models of one class and configuration.

    Weights of networks that were fine-tuned from a common start lie in one basin of the loss, and their mean is often better than each
    (Wortsman et al. 2022, "Model soups", section 3; towards the start: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    Means are taken in float32 and stored in the type of the first model.

    Args:
        parts: Two or more models and their weights, which are divided by their sum.
        output: The file to write. Its provenance names every part.

    Raises:
        UsageError: Fewer than two models, or weights that cannot be shares.
        RunError: The models differ in class, configuration or shapes, or the file cannot be written.
    """
    total = sum(share for _, share in parts)
    if len(parts) < 2 or any(share < 0 for _, share in parts) or not total > 0:
        raise UsageError("An average needs two or more models, with weights of at least 0 that do not sum to 0.")
    first = parts[0][0]
    for model, _ in parts[1:]:
        _check(first, model)
    loaded = [(model.weights(), share / total) for model, share in parts]
    for (stored, _), (model, _) in zip(loaded, parts, strict=True):
        if {name: array.shape for name, array in stored.items()} != {name: array.shape for name, array in loaded[0][0].items()}:
            raise RunError(
                f"{model.file} does not have the weights of {first.file}, in names or shapes.", hint="average models of one recipe"
            )
    serialized = {**first.serialized, "config": {**first.config, "provenance": _provenance(parts, total)}}
    try:
        with replacing(output) as temporary, zipfile.ZipFile(first.file) as source, zipfile.ZipFile(temporary, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name == "config.json":
                    content = json.dumps(serialized).encode()
                elif name == "model.weights.h5":
                    content = _averaged(content, loaded)
                target.writestr(zipfile.ZipInfo(name), content)
    except OSError as error:
        raise RunError(f"{output} cannot be written: {error.strerror or error}.", hint="choose another -o") from error


def _check(first: ModelFile, other: ModelFile) -> None:
    """Raise RunError unless both are of one class and configuration, provenance and storage aside."""
    if other.class_name != first.class_name:
        raise RunError(f"{other.file} is a {other.class_name}, {first.file} a {first.class_name}; an average needs models of one class.")
    aside = ("provenance", "stored_as", "seed", "name")
    for key in sorted({*first.config, *other.config} - set(aside)):
        if first.config.get(key) != other.config.get(key):
            raise RunError(
                f"{other.file} has another {key} than {first.file}: an average of their weights would be of neither network.",
                hint="average models that were trained one from the other, or from one start",
            )


def _averaged(content: bytes, loaded: Sequence[tuple[dict[str, np.ndarray], float]]) -> bytes:
    """Return a weight file with the means in place of its numbers."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as archive:
        for name, array in loaded[0][0].items():
            if np.issubdtype(array.dtype, np.floating):
                mean = sum(share * stored[name].astype(np.float32) for stored, share in loaded)
                archive[name][...] = np.asarray(mean).astype(array.dtype)
    return file.getvalue()


def _provenance(parts: Sequence[tuple[ModelFile, float]], total: float) -> dict[str, Any]:
    return {
        "software": f"gan-audio {__version__}",
        "family": parts[0][0].provenance.get("family", ""),
        "average": [
            {
                "share": round(share / total, 4),
                "sha256": model.sha256,
                **{key: model.provenance[key] for key in _RECORDED if key in model.provenance},
            }
            for model, share in parts
        ],
    }
