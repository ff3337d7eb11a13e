"""Mel spectrograms to audio: a trained vocoder or Griffin-Lim, fed in pieces, in memory that does not grow with the length.

The audio of a frame depends on a known number of frames around it (`Vocoder.receptive_frames`). Pieces overlap by that many on either
side and the audio of the overlap is discarded: the joined pieces equal the whole, to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, tee
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ...data.audio.audio_file import resampled_blocks
from ...models.model_file import ModelFile
from ...signal.mel_convention import MelConvention
from ...signal.mel_front_end import check_mel, linear_mel, mel_spectrogram, mel_to_magnitude
from ...signal.stft import griffin_lim
from ..arrays import as_recording, blocks_of, joined
from .mel_file import CHUNK_FRAMES
from .vocoders import find_vocoder

BLOCK = 1 << 16  # samples of a recording read at a time
GRIFFIN_LIM = "griffin-lim"
_ITERATIONS, _MOMENTUM = 60, 0.99
_MIN_FRAMES = 16


class MelToAudio(Protocol):
    """A vocoder.

    Attributes:
        convention: Mel convention of its input, resolved.
        overlap: Frames on either side that a piece needs to come out as in the whole (Griffin-Lim: nearly).
        name: Name for provenance tags and messages.
        sha256: SHA-256 of its file, in hex; empty without a file.
        fades: Whether pieces do not join exactly, so that they are cross-faded where they meet.
    """

    convention: MelConvention
    overlap: int
    fades: bool
    name: str
    sha256: str

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        """float32 [frames, bands] -> float32 [frames * hop]."""
        ...


class NetworkVocoder:
    """A trained vocoder.

    Args:
        model: A `models.vocoder.Vocoder`.
        file: Where it was read from.
        sha256: SHA-256 of that file, in hex.
    """

    def __init__(self, model: Any, file: Path, sha256: str):
        self.model, self.file, self.sha256 = model, file, sha256
        self.convention, self.overlap = model.convention, model.receptive_frames
        self.fades = bool(getattr(model.network, "sampled", False))  # two draws of the same frames are different signals
        self.name = str(model.provenance.get("recipe") or model.provenance.get("family") or file.name)
        spec = tf.TensorSpec([1, None, self.convention.bands], tf.float32)
        # One trace for pieces of every length; XLA is slower than the plain graph on CPUs.
        self._call = tf.function(lambda mel: model(mel, training=False)[0, :, 0], input_signature=[spec], autograph=False)

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        frames = len(mel)
        if frames < _MIN_FRAMES:  # layers that mirror their ends need something to mirror
            mel = np.pad(mel, [(0, _MIN_FRAMES - frames), (0, 0)], constant_values=self.convention.lowest)
        return self._call(tf.constant(mel[None], tf.float32)).numpy()[: frames * self.convention.hop]


class GriffinLimVocoder:
    """Fast Griffin-Lim on the magnitudes nearest to the mel spectrum: the baseline that a vocoder has to beat.

    Magnitudes are the non-negative least-squares solution that multiplicative updates reach in 50 rounds from the pseudo-inverse.
    Phase depends on the whole signal, so pieces agree with the whole in their magnitudes, not sample by sample; they are cross-faded
    where they meet.

    Args:
        convention: Mel convention of its input, resolved.
        iterations: Rounds of the algorithm.
        momentum: Acceleration of Perraudin et al. 2013; 0 is plain Griffin-Lim.
    """

    overlap = 32
    fades = True
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


def open_vocoder(model: ModelFile | Path | str | None = None) -> NetworkVocoder:
    """Load a vocoder; `model` as for `find_vocoder`, or what that returned.

    Raises:
        RunError: As for `find_vocoder`, or it cannot be loaded.
    """
    found = model if isinstance(model, ModelFile) else find_vocoder(model)
    return NetworkVocoder(found.load(), found.file, found.sha256)


def mel_blocks(audio: Iterable[np.ndarray], convention: MelConvention) -> Iterator[np.ndarray]:
    """Compute the mel spectrogram of a recording that comes in pieces, equal to `mel_spectrogram` of the whole.

    Args:
        audio: float32 [n] or [n, 1] at the convention's rate, of any lengths.
        convention: Mel convention, resolved.

    Yields:
        float32 [frames, bands]. A recording shorter than its mirrored ends is padded with zeros.
    """
    c = convention
    reach, started = c.reach, False
    buffer, tail = np.zeros(0, np.float32), np.zeros(0, np.float32)

    def frames_in(samples: np.ndarray, whole: int) -> np.ndarray:
        used = (whole - 1) * c.hop + c.window
        return mel_spectrogram(samples[None, :used], c, padded=True).numpy()[0]

    for piece in audio:
        piece = np.asarray(piece, np.float32).reshape(-1)
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
    """Vocode a mel spectrogram that comes in pieces.

    Args:
        mels: float32 [frames, bands], of any lengths.
        vocoder: The vocoder.
        chunk_frames: Frames in one call of the vocoder, the overlap aside; does not change the audio.

    Yields:
        float32 [n], in all frames * hop samples.
    """
    hop, overlap = vocoder.convention.hop, vocoder.overlap
    buffer = np.zeros((0, vocoder.convention.bands), np.float32)
    before = 0  # frames of the buffer whose audio has been yielded
    held = np.zeros(0, np.float32)  # to be faded out: audio that the last call made of the frames after its piece

    def make(frames: int, last: bool) -> np.ndarray:
        nonlocal held
        end = len(buffer) if last else before + frames + overlap
        audio = vocoder(buffer[:end])
        start, stop = before * hop, (before + frames) * hop
        piece = audio[start:stop].copy()
        if vocoder.fades:
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
            keep = min(passed, max(overlap, _MIN_FRAMES))  # so that the last piece is not too short to have ends of its own
            buffer, before = buffer[passed - keep :], keep
    if len(buffer) > before:
        yield make(len(buffer) - before, last=True)


def resynthesise(blocks: Iterable[np.ndarray], vocoder: MelToAudio) -> Iterator[np.ndarray]:
    """Compute the mel spectrogram of a recording that comes in blocks and vocode it, each channel by itself.

    Args:
        blocks: float32 [frames, channels] at the vocoder's rate, of any lengths.
        vocoder: The vocoder.

    Yields:
        float32 [n, channels], in all as many samples as came in. A recording whose every sample is 0 stays so.
    """
    c, blocks = vocoder.convention, iter(blocks)
    silence: list[np.ndarray] = []  # what came before the first block that is not silent, as views of one zero
    for block in blocks:
        if block.any():
            break
        silence.append(np.broadcast_to(np.float32(0.0), block.shape))
    else:
        yield from silence
        return
    arrived = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal arrived
        for part in chain(silence, [block], blocks):
            arrived += len(part)
            yield part

    def channel(stream: Iterator[np.ndarray], index: int) -> Iterator[np.ndarray]:
        return vocode_blocks(mel_blocks((part[:, index] for part in stream), c), vocoder)

    # The channels advance in step, so a tee never holds more than a block.
    channels = [channel(stream, index) for index, stream in enumerate(tee(counted(), block.shape[1]))]
    waiting, given = np.zeros((0, len(channels)), np.float32), 0
    for parts in zip(*channels, strict=True):
        # The audio of the last frame may reach beyond the recording, whose length is known once its last block has arrived.
        waiting = np.concatenate([waiting, np.stack(parts, axis=1)])
        ready = max(0, min(len(waiting), arrived - given) - c.fft)
        yield waiting[:ready]
        waiting, given = waiting[ready:], given + ready
    left = arrived - given
    yield np.pad(waiting[:left], [(0, max(0, left - len(waiting))), (0, 0)])


def vocode_array(vocoder: MelToAudio, audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resynthesise a recording in memory, sample for sample as `gan-audio vocode` would in a file.

    Args:
        vocoder: From `open_vocoder`, or `GriffinLimVocoder`.
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1].
        sample_rate: Rate of the audio, Hz.

    Returns:
        float32 [samples] or [samples, channels] at `vocoder.convention.sample_rate`; may exceed full scale. What is written of it is to be
        tagged as synthetic.

    Raises:
        UsageError: Audio of another type or shape, or that is not finite.
    """
    recording = as_recording(audio).astype(np.float32, copy=False)
    blocks = resampled_blocks(blocks_of(recording, sample_rate, BLOCK), sample_rate, vocoder.convention.sample_rate)
    whole = joined([recording[:0], *resynthesise(blocks, vocoder)], recording)
    return whole[:, 0] if np.ndim(audio) == 1 else whole


def vocode_mel(vocoder: MelToAudio, mel: np.ndarray) -> np.ndarray:
    """Vocode a mel spectrogram in memory, sample for sample as `gan-audio vocode` would a `.npy` file.

    Args:
        vocoder: From `open_vocoder`, or `GriffinLimVocoder`.
        mel: float [frames, bands] in `vocoder.convention`.

    Returns:
        float32 [frames * hop].

    Raises:
        AudioFileError: Another number of bands, or values that no audio has under this convention.
    """
    mel = np.asarray(mel, np.float32)
    check_mel(mel, vocoder.convention)
    pieces = (mel[start : start + CHUNK_FRAMES] for start in range(0, len(mel), CHUNK_FRAMES))
    return np.concatenate(list(vocode_blocks(pieces, vocoder)))
