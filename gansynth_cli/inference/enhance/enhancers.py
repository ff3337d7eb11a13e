"""A trained enhancer, ready to be asked, whatever its kind: found, checked and opened. Denoisers need no TensorFlow, SEGAN does."""

from __future__ import annotations

import hashlib
import importlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import RunError
from .gain_stream import AveragedStream, GainStream, Network
from .window_stream import Call, WindowStream

SHIPPED = Path(__file__).parents[2] / "pretrained" / "denoiser.keras"
STRENGTH_DB = 24.0  # on validation mixtures PESQ .05 above 20
PASSES = 2
_WINDOW_BATCH = 8
_FRAME_MODEL, _WINDOW_MODEL = "FrameDenoiser", "WindowEnhancer"


@dataclass(frozen=True)
class Found:
    """A model file that can enhance: its path, and whether TensorFlow has to be started to run it."""

    file: Path
    needs_tensorflow: bool


class _Core(Protocol):
    channels: int
    latency: int

    def process(self, audio: np.ndarray) -> np.ndarray: ...

    def finish(self) -> np.ndarray: ...


class EnhancerStream:
    """Sound in, enhanced sound out, piece by piece, aligned: the n-th sample out belongs to the n-th in, and as many come out.

    Attributes:
        latency: Samples, at the rate of the sound, that must follow a sample at the most before its output comes.
    """

    def __init__(self, core: _Core, mix: float = 1.0):
        self._core, self._mix = core, np.float32(mix)
        self.latency = core.latency
        self._dry: np.ndarray | None = None

    def process(self, audio: np.ndarray) -> np.ndarray:
        """float [rows, n] -> float [rows, m], the next enhanced samples; m may be 0. The type of the input is kept."""
        dry, removed = self.split(audio)
        return dry - removed

    def finish(self) -> np.ndarray:
        """The rest. The stream is used up."""
        dry, removed = self.finish_split()
        return dry - removed

    def split(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `process`, but gives the next samples as they were and what is to be taken away from them."""
        self._dry = audio if self._dry is None or not self._dry.shape[1] else np.concatenate([self._dry, audio], axis=1)
        return self._pair(self._core.process(audio))

    def finish_split(self) -> tuple[np.ndarray, np.ndarray]:
        """As `finish`."""
        if self._dry is None:
            empty = np.zeros((self._core.channels, 0), np.float32)
            return empty, empty
        return self._pair(self._core.finish())

    def _pair(self, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self._dry is not None
        dry, self._dry = self._dry[:, : removed.shape[1]], self._dry[:, removed.shape[1] :]
        return dry, removed * self._mix


@dataclass(frozen=True)
class Enhancer:
    """A model that cleans recordings.

    Attributes:
        file: Where it was read from.
        sha256: SHA-256 of that file, in hex.
        sample_rate: Hz at which it works; `stream` takes any rate.
        latency_samples: At that rate, samples that must follow a sample at the most before its output is known, when whole hops
            are handed over one by one; in one pass.
        block_samples: Its hop at that rate: the natural block of a live stream.
        provenance: Where it comes from: recipe, step, version.
        masks: Whether it gives a gain for every cell of time and frequency, so that channels can share one.
    """

    file: Path
    sha256: str
    sample_rate: int
    latency_samples: int
    block_samples: int
    provenance: dict[str, Any]
    masks: bool
    _network: Network | None = None
    _windows: tuple[Call, int, int, float] | None = None  # call, window, hop, pre-emphasis

    def stream(
        self,
        rows: int,
        *,
        sample_rate: int | None = None,
        shared: bool = False,
        strength_db: float = STRENGTH_DB,
        mix: float = 1.0,
        passes: int = PASSES,
        live: bool = False,
    ) -> EnhancerStream:
        """A new stream.

        Args:
            rows: Channels, or independent recordings of one length.
            sample_rate: Hz of the sound; None is the model's.
            shared: The rows are channels of one recording and get one mask. Models that give no mask treat them one by one.
            strength_db: Nothing is turned down by more than this.
            mix: From 0, the sound as it was, to 1.
            passes: Of models that give masks: grids of frames, evenly between each other, whose results are averaged.
            live: Give each sample as early as can be, at the price of speed.
        """
        rate = sample_rate or self.sample_rate
        floor = 10.0 ** (-strength_db / 20)
        if self._network is not None:
            if passes == 1:
                return EnhancerStream(GainStream(self._network, rows, rate, floor=floor, shared=shared), mix)
            return EnhancerStream(AveragedStream(passes, self._network, rows, rate, floor=floor, shared=shared), mix)
        assert self._windows is not None
        call, window, hop, pre_emphasis = self._windows
        batch = 1 if live else _WINDOW_BATCH
        return EnhancerStream(WindowStream(call, window, hop, batch, rows, self.sample_rate, rate, pre_emphasis, floor), mix)

    def latency(self, passes: int = PASSES) -> int:
        """`latency_samples` in so many passes."""
        return self.latency_samples + (round((passes - 1) * self.block_samples / passes) if self.masks else 0)

    def apply(self, audio: np.ndarray, sample_rate: int | None = None, **options: Any) -> np.ndarray:
        """A whole recording at once: float [rows, n] -> the same shape. `options` as for `stream`."""
        stream = self.stream(len(audio), sample_rate=sample_rate, **options)
        return np.concatenate([stream.process(audio), stream.finish()], axis=1)


def find_model(path: Path | None) -> Found:
    """The model of a run folder, a `.keras` file, or (None) the one that comes with gan-audio. Imports nothing heavy.

    Raises:
        RunError: Nothing there, no model yet, or a model of another kind. The message says which.
    """
    if path is None:
        if not SHIPPED.is_file():
            raise RunError(
                f"This installation holds no denoiser: {SHIPPED.name} is missing.",
                hint="give a trained one with --model RUN, or install gan-audio again",
            )
        path = SHIPPED
    file = _model_file(path)
    kind = _model_class(file)
    if kind not in (_FRAME_MODEL, _WINDOW_MODEL):
        other = "a generator of new clips" if kind == "AudioGenerator" else f"a Keras model of class {kind}"
        hint = f"gan-audio generate {path} -o clips/" if kind == "AudioGenerator" else "give the run folder of a denoiser or SEGAN"
        raise RunError(f"{file} cannot enhance recordings: it is {other}.", hint=hint)
    return Found(file, needs_tensorflow=kind == _WINDOW_MODEL)


def open_enhancer(model: Path | Found | None = None) -> Enhancer:
    """Opens a model; `model` as for `find_model`, or what that found.

    Raises:
        RunError: As for `find_model`, or the file cannot be loaded.
    """
    found = model if isinstance(model, Found) else find_model(model)
    return _open_windows(found.file) if found.needs_tensorflow else _open_frames(found.file)


def _open_frames(file: Path) -> Enhancer:
    from .numpy_network import FrameNetwork

    return of_network(FrameNetwork.load(file), file)


def of_network(network: Any, file: Path) -> Enhancer:
    """The enhancer around a network of frames."""
    return Enhancer(
        file=file,
        sha256=network.sha256,
        sample_rate=network.sample_rate,
        latency_samples=network.fft,
        block_samples=network.hop,
        provenance=dict(network.provenance or {}),
        masks=True,
        _network=network,
    )


def _open_windows(file: Path) -> Enhancer:
    import keras
    import tensorflow as tf

    _register(file)
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"{file} cannot be loaded: {reason[0]}", hint="the file is damaged, or was written by another version of gan-audio"
        ) from error
    window, hop = int(model.window), int(model.hop)

    @tf.function(input_signature=[tf.TensorSpec([None, window, 1], tf.float32)])
    def graph(noisy):
        return model(noisy, training=False)

    def call(windows: np.ndarray) -> np.ndarray:
        return graph(tf.constant(windows[..., None])).numpy()[..., 0]

    return Enhancer(
        file=file,
        sha256=_sha256(file),
        sample_rate=int(model.sample_rate),
        latency_samples=window,
        block_samples=hop,
        provenance=dict(model.provenance or {}),
        masks=False,
        _windows=(call, window, hop, float(model.preemphasis)),
    )


def _model_file(path: Path) -> Path:
    if not path.exists():
        raise RunError(
            f"{path} does not exist; expected a run folder or a .keras file.", hint="gan-audio enhance INPUT -o OUTPUT --model RUN"
        )
    if not path.is_dir():
        return path
    from ...run_folder import RunFolder

    run = RunFolder.load(path)
    file = run.model_file("generator")
    if not file.is_file():
        raise RunError(
            f"{path} has no model yet: {file.relative_to(path)} is written with the first checkpoint, "
            f"after {run.recipe.training.checkpoint_every} steps or when training is interrupted.",
            hint="wait for the first checkpoint, or resume training with the command that started it",
        )
    return file


def _read_config(file: Path) -> dict[str, Any]:
    """The architecture in a `.keras` file, read without building anything: a file of unknown origin runs no code here."""
    try:
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        what = "no ZIP archive" if isinstance(error, zipfile.BadZipFile) else "no config.json in it"
        raise RunError(
            f"{file} is not a Keras model file ({what}).", hint="give a run folder, or the model/generator.keras of one"
        ) from error
    return config if isinstance(config, dict) else {}


def _model_class(file: Path) -> str:
    return str(_read_config(file).get("class_name"))


def _register(file: Path) -> None:
    """Imports the family whose layers the file holds: Keras finds a layer only after the module that registers it is loaded."""
    from ...families.registry import family_class
    from ...recipe_schema import FAMILIES

    importlib.import_module("gansynth_cli.models.window_enhancer")
    family = _read_config(file).get("config", {}).get("provenance", {}).get("family")
    if family in FAMILIES:
        family_class(family)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
