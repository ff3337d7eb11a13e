"""A trained generator, ready to be asked: found, checked, loaded and compiled once."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import GanAudioError, RunError
from ..families.family import AudioGenerator
from ..families.registry import family_class
from ..recipe import Recipe
from ..recipe_schema import FAMILIES
from ..run_folder import RunFolder

# Clips in one call of the network, always. The convolution and matrix kernels of TensorFlow round differently for another
# batch size (on the CPU sizes 1 and 3 differ from 16 in the last bits, which is some samples of 16-bit PCM), so a clip
# would depend on how many were asked for. 16 is also where two CPU cores reach their full speed (8 to 64: all within 10 %).
GROUP = 16


@dataclass(frozen=True)
class GeneratorSession:
    """A generator that is loaded.

    Attributes:
        generator: The model.
        recipe: The recipe of its run; None for a lone `.keras` file.
        file: Where it was read from.
        sha256: SHA-256 of that file, in hex: what the clips are marked with.
        load_seconds: Time to read and build it.
    """

    generator: AudioGenerator
    recipe: Recipe | None
    file: Path
    sha256: str
    load_seconds: float

    @property
    def sample_rate(self) -> int:
        return self.generator.sample_rate

    @property
    def labels(self) -> tuple[str, ...]:
        return self.generator.labels

    @property
    def latent_dim(self) -> int:
        return int(self.generator.latent["dim"])

    @property
    def distribution(self) -> str:
        return str(self.generator.latent["distribution"])

    @cached_property
    def _call(self):
        latent = tf.TensorSpec([GROUP, self.latent_dim], tf.float32)
        label = tf.TensorSpec([GROUP], tf.int32)

        # One signature, so it is traced once. jit_compile stays off: XLA is slower than the plain graph on CPUs.
        @tf.function(input_signature=[latent, label])
        def call(latent, label):
            return self.generator({"latent": latent, "label": label} if self.labels else {"latent": latent}, training=False)

        return call

    def warm_up(self) -> float:
        """Traces and runs the network once; returns the seconds that took. The first clips are then as fast as the rest."""
        started = time.monotonic()
        self.run(np.zeros((GROUP, self.latent_dim), np.float32), np.zeros(GROUP, np.int32))
        return time.monotonic() - started

    def run(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """One call of the network.

        Args:
            latents: float32 [16, latent_dim]. Always 16; see `GROUP`.
            labels: int32 [16], class numbers; not read by an unconditional model.

        Returns:
            float32 [16, samples, channels].
        """
        labels = np.zeros(GROUP, np.int32) if labels is None else labels
        return self._call(tf.constant(latents, tf.float32), tf.constant(labels, tf.int32)).numpy()


def open_session(path: Path) -> GeneratorSession:
    """Loads the generator of a run folder or a `.keras` file, and its hash.

    Raises:
        RunError: As for `load_generator`.
    """
    started = time.monotonic()
    generator, recipe, file = _load(Path(path))
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return GeneratorSession(generator, recipe, file, digest, time.monotonic() - started)


def load_generator(path: Path) -> tuple[AudioGenerator, Recipe | None]:
    """The generator of a run folder (its averaged weights, `model/generator.keras`) or of a `.keras` file.

    Raises:
        RunError: The path does not exist, is not a run, has no model yet, is not a Keras file, or holds something that is
            no generator of audio.
    """
    generator, recipe, _ = _load(Path(path))
    return generator, recipe


def _load(path: Path) -> tuple[AudioGenerator, Recipe | None, Path]:
    if not path.exists():
        raise RunError(
            f"{path} does not exist; expected a run folder or a .keras file.", hint="gan-audio train --recipe NAME --data DATA --run RUN"
        )
    recipe = None
    file = path
    if path.is_dir():
        run = RunFolder.load(path)
        recipe = run.recipe
        file = run.model_file("generator")
        if not file.is_file():
            every = f"after {recipe.training.checkpoint_every} steps " if recipe else ""
            raise RunError(
                f"{path} has no model yet: {file.relative_to(path)} is written with the first checkpoint, "
                f"{every}or when training is interrupted.",
                hint="wait for the first checkpoint, or resume training with the command that started it",
            )
    config = _read_config(file)
    if config.get("class_name") != "AudioGenerator":
        raise RunError(
            f"{file} is a Keras model of class {config.get('class_name')}, not a generator of gan-audio.",
            hint="give a run folder, or the model/generator.keras of one",
        )
    _register_layers(config)
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise: a damaged HDF5, an unknown layer, a changed argument
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"{file} cannot be loaded: {reason[0]}",
            hint="the file is damaged, or was written by another version of gan-audio (see its manifest.json)",
        ) from error
    latent = model.latent
    if not isinstance(model, AudioGenerator) or not {"dim", "distribution"} <= set(latent):
        raise RunError(f"{file} does not say how its latents are drawn: it has {sorted(latent)}, expected dim and distribution.")
    return model, recipe, file


def _read_config(file: Path) -> dict[str, Any]:
    """The architecture in a `.keras` file, read without building anything: a file of unknown origin runs no code here."""
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


def _register_layers(config: dict[str, Any]) -> None:
    """Imports the family whose layers the file holds: Keras finds a layer only after the module that registers it is loaded."""
    family = config.get("config", {}).get("provenance", {}).get("family")
    for name in [family] if family in FAMILIES else sorted(FAMILIES):
        try:
            family_class(name)
        except GanAudioError:
            raise
        except ImportError as error:
            raise RunError(f"The family {name} cannot be imported: {error}.") from error
