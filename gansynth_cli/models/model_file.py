"""Find, check, hash and load models, in one place: of a run folder, a `.keras` file, or the name of a bundled model.

Finding and checking imports neither TensorFlow nor Keras and runs nothing that the file holds; `ModelFile.load` imports them.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import pkgutil
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunError
from ..files import sha256_of
from .weight_file import check_archive

if TYPE_CHECKING:
    import keras
    import numpy as np

    from ..run_folder import RunFolder

PRETRAINED = Path(__file__).parents[1] / "pretrained"
MAX_CONFIG_BYTES = 64 << 20  # config.json of the largest family is 0.3 MB; a larger one is damaged or hostile

# Saved class -> (what it does, the command that uses it); registered as `gan_audio>CLASS`.
USES = {
    "ClipGenerator": ("generates clips", "gan-audio generate {path} -o clips/"),
    "Vocoder": ("turns mel spectrograms into audio", "gan-audio vocode recordings/ --model {path} -o resynthesised/"),
    "FrameDenoiser": ("enhances recordings", "gan-audio enhance recordings/ --model {path} -o clean/"),
    "WindowEnhancer": ("enhances recordings", "gan-audio enhance recordings/ --model {path} -o clean/"),
    "DeepFilterDenoiser": ("enhances recordings", "gan-audio enhance recordings/ --model {path} -o clean/"),
    "VoiceCloner": (
        "converts recordings to any voice",
        "gan-audio convert recordings/ --to reference.wav --consent NOTE --model {path} -o out/",
    ),
    "PhoneRecogniser": ("recognises phones", "gan-audio info recording.wav --phones {path}"),
    "BandwidthExtender": (
        "extends the bandwidth of recordings",
        "gan-audio enhance recordings/ --do bandwidth --bandwidth-model {path} -o wide/",
    ),
    "SpeechSynthesiser": ("speaks text", 'gan-audio say "Good morning." --model {path} -o morning.wav'),
    "TacotronSynthesiser": ("speaks text", 'gan-audio say "Good morning." --model {path} -o morning.wav'),
    "JetsSynthesiser": ("speaks text", 'gan-audio say "Good morning." --model {path} -o morning.wav'),
    "VitsSynthesiser": ("speaks text", 'gan-audio say "Good morning." --model {path} -o morning.wav'),
    "VoiceConverter": ("converts voices", "gan-audio convert recordings/ --to SPEAKER --model {path} -o out/"),
}
RENAMED = {"AudioGenerator": "ClipGenerator", "NoteGenerator": "ClipGenerator"}  # classes that gan-audio 0.1.0 saved, and what they load as
GENERATORS = ("ClipGenerator",)
VOCODERS = ("Vocoder",)
ENHANCERS = ("FrameDenoiser", "WindowEnhancer", "DeepFilterDenoiser")
EXTENDERS = ("BandwidthExtender",)
CONVERTERS = ("VoiceConverter",)
SYNTHESISERS = ("SpeechSynthesiser", "TacotronSynthesiser", "JetsSynthesiser", "VitsSynthesiser")
CLONERS = ("VoiceCloner",)
RECOGNISERS = ("PhoneRecogniser",)


@dataclass(frozen=True)
class ModelFile:
    """A saved model whose file has been found and whose class has been checked.

    Attributes:
        file: The `.keras` file.
        run: The run folder that it belongs to; None for a file by itself.
        class_name: The saved class, one of `USES`.
        serialized: The whole content of `config.json`.
        weight_bytes: Size of the stored weights.
        keras_version, saved: Version and date from the file's metadata; empty where it states none.
    """

    file: Path
    run: RunFolder | None
    class_name: str
    serialized: dict[str, Any]
    weight_bytes: int
    keras_version: str = ""
    saved: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the saved class, as the file states them."""
        return self.serialized["config"]

    @property
    def sample_rate(self) -> int | None:
        """The rate in Hz that the model works at, wherever its class keeps it; None where it states none."""
        places = (self.config, self.config.get("settings"), self.config.get("convention"))
        return next((place["sample_rate"] for place in places if isinstance(place, dict) and "sample_rate" in place), None)

    @property
    def provenance(self) -> dict[str, Any]:
        """The facts that the model records of its training: software, family, recipe, seed, data."""
        found = self.config.get("provenance")
        return dict(found) if isinstance(found, dict) else {}

    def is_newer_than(self, keras_version: str) -> bool:
        """Return whether the file was saved by a newer Keras, whose files an older one often cannot read."""
        saved, this = ([int(part) for part in re.findall(r"\d+", text)[:2]] for text in (self.keras_version, keras_version))
        return saved > this

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal, computed once."""
        return sha256_of(self.file)

    def weights(self) -> dict[str, np.ndarray]:
        """Read the weights without Keras: their path in the file, such as "vars/block0/time/kernel", -> array of the stored type.

        Raises:
            RunError: The file is damaged.
        """
        import h5py
        import numpy as np

        from .weight_file import opened_weights

        found: dict[str, np.ndarray] = {}

        def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = np.asarray(item)

        try:
            with opened_weights(self.file) as content:
                content.visititems(take)
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            raise RunError(f"The weights of {self.file} cannot be read: {error}.", hint="copy the file again, or train again") from error
        return found

    def load(self) -> keras.Model:
        """Build the Keras model, in safe mode: no code from the file is executed, and its configuration is checked first.

        Raises:
            RunError: The file is damaged or hostile, or was written by a version with other layers.
        """
        import keras

        from .config_checks import check_config, check_sizes, weights_within
        from .weight_file import opened_weights

        register_layers()
        try:
            check_config(self.serialized, keras.saving.get_custom_objects())
            with opened_weights(self.file):  # checks what Keras would believe
                pass
            with weights_within(self.weight_bytes):
                model = keras.saving.load_model(self.file, compile=False, safe_mode=True)
            check_sizes(model)
            return model
        except Exception as error:  # Keras raises whatever its parts raise: a damaged HDF5, an unknown layer, a changed argument
            reason = str(error).strip().splitlines() or [type(error).__name__]
            hint = "the file is damaged, or was written by another version of gan-audio (see its manifest.json)"
            if self.is_newer_than(keras.__version__):
                hint = f"it was saved by Keras {self.keras_version}, this is {keras.__version__}: pip install 'keras>={self.keras_version}'"
            raise RunError(f"{self.file} cannot be loaded: {reason[0]}", hint=hint) from error


def bundled_models() -> dict[str, Path]:
    """Return name -> file of the models that come with the package."""
    return {file.stem: file for file in sorted(PRETRAINED.glob("*.keras"))}


def bundled_model(name: str) -> Path:
    """Return the file of a bundled model, whatever else in the working directory has its name.

    Raises:
        RunError: This installation lacks it.
    """
    file = PRETRAINED / f"{name}.keras"
    if not file.is_file():
        raise RunError(f"This installation lacks the bundled {name}: {file} is missing.", hint="install gan-audio again, or give a --model")
    return file


def stated_licence(file: Path) -> str:
    """Return the licence that a model's card states in its table, "" where it has no such line."""
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    found = re.search(r"^\| licence \| (.*?)(?:;.*)? \|$", card, re.MULTILINE)
    return found[1] if found else ""


def nothing_named(model: Path | str, expected: str = "a run folder, a .keras file") -> tuple[str, str]:
    """Return the message and the hint for a path or name that nothing has: what is expected, and the nearest bundled name."""
    bundled = bundled_models()
    near = difflib.get_close_matches(str(model).lower(), bundled, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? gan-audio models list shows all" if near else "gan-audio train --recipe NAME --data DATA --run RUN"
    return f"{model} does not exist; expected {expected} or the name of a bundled model ({', '.join(bundled)}).", hint


def find_model(model: Path | str, kinds: Sequence[str] = (), purpose: str = "") -> ModelFile:
    """Find the model of a run folder, a `.keras` file, or the name of a bundled model; existing paths come before names.

    Args:
        model: Path or name.
        kinds: The classes allowed, such as `ENHANCERS`; empty: any of `USES`.
        purpose: Completes "FILE cannot ..." for a model of another class, such as "enhance recordings".

    Raises:
        RunError: Nothing has that path or name, the run has no model yet, the file is no Keras model, or its class is not
            one of `kinds`. The message says which, the hint names a command that goes on.
    """
    path = Path(model)
    if not path.exists():
        path = bundled_models().get(str(model), path)
    if not path.exists():
        message, hint = nothing_named(model)
        raise RunError(message, hint=hint)
    run = None
    if path.is_dir():
        from ..run_folder import RunFolder  # late: 0.05 s that a `.keras` file need not wait for

        run = RunFolder.load(path)
    file = run.model_file("generator") if run else path
    if run and not file.is_file():
        raise RunError(
            f"{path} has no model yet: {file.relative_to(path)} is written with the first checkpoint, after "
            f"{run.recipe.training.checkpoint_every} steps or when training is interrupted.",
            hint="wait for the first checkpoint, or resume training with the command that started it",
        )
    found = _read(file, run)
    if found.class_name not in (kinds or USES):
        does, command = USES.get(found.class_name, (f"is a Keras model of class {found.class_name}", "gan-audio info {path}"))
        raise RunError(f"{file} cannot {purpose or 'be used by gan-audio'}: it {does}.", hint=command.format(path=model))
    return found


def register_layers() -> None:
    """Import every module of `layers` and `models`, so that Keras knows all registered classes whatever a file holds; those of
    plug-ins too."""
    for name in ("layers", "models"):
        package = importlib.import_module(f"gansynth_cli.{name}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"gansynth_cli.{name}.{module.name}")
    from ..recipe_schema import PLUGINS

    for plugin in PLUGINS.values():
        if not plugin.problem and importlib.util.find_spec(f"{plugin.package}.layers"):
            importlib.import_module(f"{plugin.package}.layers")


def _read(file: Path, run: RunFolder | None) -> ModelFile:
    """Read the architecture and metadata in a `.keras` file without building anything."""
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive(archive)
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise RunError(f"{file} is not a model of gan-audio: its config.json claims more than {MAX_CONFIG_BYTES >> 20} MiB.")
            saved = json.loads(archive.read("config.json"))
            parts = {part.filename: part.file_size for part in archive.infolist()}
            metadata = json.loads(archive.read("metadata.json")) if 0 < parts.get("metadata.json", 0) < MAX_CONFIG_BYTES else {}
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, KeyError, ValueError, NotImplementedError, RecursionError, zlib.error) as error:
        what = "no ZIP archive" if isinstance(error, zipfile.BadZipFile) else "no config.json in it"
        if type(error) is ValueError:  # of `check_archive`
            what = str(error)
        raise RunError(
            f"{file} is not a Keras model file ({what}).", hint="give a run folder, or the model/generator.keras of one"
        ) from error
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise RunError(f"{file} is not a Keras model file (its config.json holds no model).", hint="give a run folder")
    metadata = metadata if isinstance(metadata, dict) else {}
    version, date = (str(metadata.get(key, "")) for key in ("keras_version", "date_saved"))
    name = str(saved.get("class_name"))
    return ModelFile(file, run, RENAMED.get(name, name), saved, parts.get("model.weights.h5", 0), version, date)
