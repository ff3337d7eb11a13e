"""What kind of model a run folder or a `.keras` file holds, told without loading it. No TensorFlow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..run_folder import RunFolder

GENERATORS = ("AudioGenerator", "NoteGenerator")


def find_model(path: Path) -> tuple[Path, RunFolder | None]:
    """The generator's file of a run folder, or the `.keras` file itself; and the run.

    Raises:
        RunError: The path does not exist, is not a run, or has no model yet.
    """
    if not path.exists():
        raise RunError(
            f"{path} does not exist; expected a run folder or a .keras file.", hint="gan-audio train --recipe NAME --data DATA --run RUN"
        )
    if not path.is_dir():
        return path, None
    run = RunFolder.load(path)
    file = run.model_file("generator")
    if not file.is_file():
        every = f"after {run.recipe.training.checkpoint_every} steps "
        raise RunError(
            f"{path} has no model yet: {file.relative_to(path)} is written with the first checkpoint, "
            f"{every}or when training is interrupted.",
            hint="wait for the first checkpoint, or resume training with the command that started it",
        )
    return file, run


def read_config(file: Path) -> dict[str, Any]:
    """The architecture in a `.keras` file, read without building anything: a file of unknown origin runs no code here.

    Raises:
        RunError: It cannot be read, or is no such file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("config.json"))
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise RunError(
            f"{file} is not a Keras model file ({'no ZIP archive' if isinstance(error, zipfile.BadZipFile) else 'no config.json in it'}).",
            hint="give a run folder, or the model/generator.keras of one",
        ) from error


def model_kind(path: Path) -> tuple[str, bool]:
    """The class of a model, such as "NoteGenerator" or "Vocoder", and whether it has an encoder.

    Raises:
        RunError: As for `find_model` and `read_config`.
    """
    config = read_config(find_model(path)[0])
    return str(config.get("class_name")), config.get("config", {}).get("encoder") is not None
