"""Mel spectrograms to sound: a trained vocoder or Griffin-Lim, fed piece by piece, in memory that does not grow with the length.

The audio of a frame depends on a known number of frames around it (`Vocoder.receptive_frames`). Pieces overlap by that many on either
side, and what only the overlap could know is thrown away: the joined pieces equal the whole, to the rounding of float32.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from ...errors import RunError
from ...families.vocos import family as vocos  # noqa: F401  (registers what a saved vocoder is made of)
from ...models.vocoder import Vocoder
from ...run_folder import RunFolder
from ...signal.mel_convention import MelConvention
from ...signal.mel_front_end import linear_mel, mel_spectrogram, mel_to_magnitude
from ...signal.stft import griffin_lim

CHUNK_FRAMES = 512  # of mel that one call of the network turns into sound, beside the overlap
GRIFFIN_LIM = "griffin-lim"
SHIPPED = Path(__file__).parents[2] / "pretrained" / "vocoder.keras"
_ITERATIONS, _MOMENTUM = 60, 0.99
_FEWEST_FRAMES = 16


class MelToAudio(Protocol):
    """What makes sound of mel spectrograms.

    Attributes:
        convention: What it wants.
        overlap: Frames on either side that a piece needs to come out as in the whole (Griffin-Lim: nearly).
        name: For marks and messages.
        sha256: Of its file; empty without one.
    """

    convention: MelConvention
    overlap: int
    name: str
    sha256: str

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        """float32 [frames, bands] -> float32 [frames * hop]."""
        ...


class NetworkVocoder:
    """A trained vocoder."""

    def __init__(self, model: Vocoder, file: Path, sha256: str):
        self.model, self.file, self.sha256 = model, file, sha256
        self.convention, self.overlap = model.convention, model.receptive_frames
        self.name = str(model.provenance.get("recipe") or model.provenance.get("family") or file.name)
        spec = tf.TensorSpec([1, None, self.convention.bands], tf.float32)
        # One trace for pieces of every length; XLA is slower than the plain graph on CPUs.
        self._call = tf.function(lambda mel: model(mel, training=False)[0, :, 0], input_signature=[spec], autograph=False)

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        frames = len(mel)
        if frames < _FEWEST_FRAMES:  # layers that mirror their ends need something to mirror
            mel = np.pad(mel, [(0, _FEWEST_FRAMES - frames), (0, 0)], constant_values=self.convention.lowest)
        return self._call(tf.constant(mel[None], tf.float32)).numpy()[: frames * self.convention.hop]


class GriffinLimVocoder:
    """Fast Griffin-Lim on the magnitudes nearest to the mel spectrum: the baseline that a vocoder has to beat.

    Magnitudes are the non-negative least-squares solution that multiplicative updates reach in 50 rounds from the pseudo-inverse.
    Phase is a matter of the whole signal, so pieces agree with the whole in their magnitudes, not sample by sample; where they
    meet they are faded into each other.
    """

    overlap = 32
    name = GRIFFIN_LIM
    sha256 = ""

    def __init__(self, convention: MelConvention, iterations: int = _ITERATIONS, momentum: float = _MOMENTUM):
        self.convention, self.iterations, self.momentum = convention, iterations, momentum
        spec = tf.TensorSpec([1, None, convention.bands], tf.float32)
        self._call = tf.function(self._make, input_signature=[spec], autograph=False)

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        return self._call(tf.constant(mel[None], tf.float32)).numpy()

    def _make(self, mel: tf.Tensor) -> tf.Tensor:
        c, frames = self.convention, tf.shape(mel)[1]
        front = c.fft // 2 if c.padding == "centre" else (c.fft - c.hop) // 2
        magnitude = mel_to_magnitude(linear_mel(mel, c), c)
        audio = griffin_lim(
            magnitude, c.fft, c.hop, frames * c.hop, front=front, iterations=self.iterations, momentum=self.momentum, seed=0
        )
        return audio[0]


def open_vocoder(path: Path) -> NetworkVocoder:
    """The vocoder of a run folder or of a `.keras` file; `vocoder`, where nothing has that path, is the one that comes with gan-audio.

    Raises:
        RunError: There is none, or it is another kind of model.
    """
    if not path.exists() and str(path) == SHIPPED.stem:
        path = SHIPPED
    if not path.exists():
        raise RunError(
            f"{path} does not exist; expected a run folder, a .keras file, or {SHIPPED.stem} for the one that comes with gan-audio.",
            hint="gan-audio train --recipe vocos --data DATA",
        )
    file = RunFolder.load(path).model_file("generator") if path.is_dir() else path
    if not file.is_file():
        raise RunError(f"{path} has no model yet.", hint="wait for the first checkpoint, or resume training")
    try:
        with zipfile.ZipFile(file) as archive:
            kind = json.loads(archive.read("config.json")).get("class_name")
        if kind != "Vocoder":
            also = "; without --from this one generates" if kind == "AudioGenerator" else ""
            raise RunError(
                f"{file} is a Keras model of class {kind}, not a vocoder: it makes no sound of mel spectrograms.",
                hint=f"train one of the families melgan, hifigan, vocos{also}",
            )
        model = keras.models.load_model(file, compile=False)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError) as error:
        about = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{file} cannot be read as a vocoder: {about}.") from error
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return NetworkVocoder(model, file, digest)


def mel_blocks(
    audio: Iterable[np.ndarray], convention: MelConvention, count: Callable[[int], None] = lambda samples: None
) -> Iterator[np.ndarray]:
    """The mel spectrogram of a recording that comes in pieces, in pieces: as `mel_spectrogram` of the whole.

    Args:
        audio: float32 [n] or [n, 1] at the convention's rate, of any lengths.
        convention: Resolved.
        count: Called with the length of each piece.

    Yields:
        float32 [frames, bands]. A recording shorter than the mirrored ends is taken with zeros after it.
    """
    c = convention
    reach, started = c.reach, False
    buffer, tail = np.zeros(0, np.float32), np.zeros(0, np.float32)

    def frames_in(samples: np.ndarray, whole: int) -> np.ndarray:
        used = (whole - 1) * c.hop + c.window
        return mel_spectrogram(samples[None, :used], c, padded=True).numpy()[0]

    for piece in audio:
        piece = np.asarray(piece, np.float32).reshape(-1)
        count(len(piece))
        buffer = np.concatenate([buffer, piece])
        tail = np.concatenate([tail, piece])[-(reach + 1) :]
        if not started and len(buffer) > reach:
            buffer, started = np.concatenate([buffer[reach:0:-1], buffer]), True
        ready = (len(buffer) - c.window) // c.hop + 1 if started else 0
        if ready > 0:
            yield frames_in(buffer, ready)
            buffer = buffer[ready * c.hop :]
    if not started:
        if not len(buffer):
            return
        buffer = np.pad(buffer, (0, reach + 1 - len(buffer)))
        tail = buffer
        buffer = np.concatenate([buffer[reach:0:-1], buffer])
    buffer = np.concatenate([buffer, tail[-2::-1][:reach]])
    ready = (len(buffer) - c.window) // c.hop + 1
    if ready > 0:
        yield frames_in(buffer, ready)


def vocode_blocks(mels: Iterable[np.ndarray], vocoder: MelToAudio, chunk_frames: int = CHUNK_FRAMES) -> Iterator[np.ndarray]:
    """Sound of a mel spectrogram that comes in pieces.

    Args:
        mels: float32 [frames, bands], of any lengths.
        vocoder: The model.
        chunk_frames: Frames made at a time; another number gives the same sound.

    Yields:
        float32 [n]; all together frames * hop samples.
    """
    hop, overlap = vocoder.convention.hop, vocoder.overlap
    fade = isinstance(vocoder, GriffinLimVocoder)
    buffer = np.zeros((0, vocoder.convention.bands), np.float32)
    before = 0  # frames of the buffer whose sound has been given
    held = np.zeros(0, np.float32)  # Griffin-Lim: the last piece's sound of the frames after it

    def make(frames: int, last: bool) -> np.ndarray:
        nonlocal held
        end = len(buffer) if last else before + frames + overlap
        audio = vocoder(buffer[:end])
        start, stop = before * hop, (before + frames) * hop
        piece = audio[start:stop].copy()
        if fade:
            n = min(len(held), len(piece))
            ramp = (np.arange(n, dtype=np.float32) + 0.5) / max(n, 1)
            piece[:n] = held[:n] * np.cos(0.5 * np.pi * ramp) ** 2 + piece[:n] * np.sin(0.5 * np.pi * ramp) ** 2
            held = audio[stop : stop + min(4, overlap) * hop]
        return piece

    for mel in mels:
        buffer = np.concatenate([buffer, np.asarray(mel, np.float32)])
        while len(buffer) - before >= chunk_frames + overlap:
            yield make(chunk_frames, last=False)
            passed = before + chunk_frames
            keep = min(passed, max(overlap, _FEWEST_FRAMES))  # so that no last piece is too short to have an end of its own
            buffer, before = buffer[passed - keep :], keep
    if len(buffer) > before:
        yield make(len(buffer) - before, last=True)
