"""A WaveNet as a layer that gives audio: it draws samples one by one, which no graph of TensorFlow does quickly."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal import pqmf
from ..signal.emphasis import deemphasize
from ..signal.mulaw import decode_mulaw
from .wavenet_cache import CachedWaveNet

PIECE_FRAMES = 32  # a mel spectrogram is generated in pieces of about so many frames, side by side
_SHIFT = 6  # frames by which a piece may end earlier or later, so that it ends where it is quiet
_LEAD = 4  # frames that a piece begins before its place; it has silence before them, as every recording
_FADE = 2  # frames over which a piece is faded into the next one
_MAX_PIECES = 64


@keras.saving.register_keras_serializable(package="gan_audio")
class SampledWaveNet(keras.Model):
    """A trained WaveNet that draws its samples: the `network` of a `Vocoder` or of a `ClipGenerator`.

    Args:
        network: See `families.wavenet.networks.build_network`.
        steps: Of a clip; None for a vocoder, whose mel spectrogram says it.
        pre_emphasis: Of the signal that the network gives, undone here; 0: none.
        seed: Seed of the numbers that decide on the samples, of a vocoder; a generator of clips takes them as its latent.

    Call: a vocoder: mel float32 [batch, frames, bands] -> float32 [batch, frames * hop, 1]. A generator: {"latent": float32 [batch,
    samples] in [-1, 1], "label": int32 [batch] if conditioned} -> float32 [batch, samples, 1]: (latent + 1) / 2 is where the distribution
    function of each sample is read, so one latent is one clip, and a latent limited to [-t, t] leaves out the tails of every distribution.
    """

    sampled = True  # pieces of a recording do not join without a fade

    def __init__(self, network: keras.Model, steps: int | None = None, pre_emphasis: float = 0.0, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.network, self.steps, self.pre_emphasis, self.seed = network, steps, float(pre_emphasis), int(seed)
        self._cached: CachedWaveNet | None = None
        self.built = True

    @property
    def bands(self) -> int:
        """Sub-bands of the signal."""
        return int(self.network.get_layer("earlier").bands)

    @property
    def classes(self) -> int:
        """Classes of a sample."""
        return int(self.network.get_layer("earlier").classes)

    def cached(self) -> CachedWaveNet:
        """Return the layers as arrays, taken from the weights at the first call. No property: Keras reads those while it loads a file,
        before the weights are there."""
        if self._cached is None:
            self._cached = CachedWaveNet(self.network)
        return self._cached

    def call(self, inputs, training: bool = False):
        names = self.network.input
        if self.steps is None:
            condition = self.network.get_layer("condition")(inputs)
            loudness = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=-1)
            signal = tf.numpy_function(self._vocode, [condition, loudness], tf.float32)
            frames = inputs.shape[1]
            steps = None if frames is None else frames * int(np.prod(self.network.get_layer("condition").factors))
        else:
            numbers = tf.reshape((tf.cast(inputs["latent"], tf.float32) + 1.0) / 2.0, [-1, self.steps, self.bands])
            condition = tf.zeros([tf.shape(numbers)[0], 1, 0])
            if "label" in names:
                condition = self.network.get_layer("condition")(inputs["label"])[:, None]
            signal, steps = tf.numpy_function(self._clips, [numbers, condition], tf.float32), self.steps
        signal = tf.ensure_shape(signal, [None, steps, self.bands])
        audio = pqmf.synthesise(signal) if self.bands > 1 else signal
        if self.pre_emphasis:
            undo = lambda x: deemphasize(x[..., 0], self.pre_emphasis)[0][..., None]
            audio = tf.ensure_shape(tf.numpy_function(undo, [audio], tf.float32), audio.shape)
        return audio

    def _clips(self, numbers: np.ndarray, condition: np.ndarray) -> np.ndarray:
        made = self.cached().generate(numbers, condition if condition.shape[-1] else None)
        return decode_mulaw(made, self.classes).numpy()

    def _vocode(self, condition: np.ndarray, loudness: np.ndarray) -> np.ndarray:
        """Draw sub-bands float32 [batch, steps, bands] for conditions [batch, steps, size] of frames with a loudness [batch, frames]."""
        batch, frames = loudness.shape
        per_frame = condition.shape[1] // max(frames, 1)
        signal = np.zeros((batch, condition.shape[1], self.bands), np.float32)
        pieces = [(row, *span) for row in range(batch) for span in pieces_of(loudness[row])]
        for first in range(0, len(pieces), _MAX_PIECES):
            part = pieces[first : first + _MAX_PIECES]
            steps = max(end - start for _, start, _, end in part) * per_frame
            wanted = np.zeros((len(part), steps, condition.shape[-1]), np.float32)
            for place, (row, start, _, end) in enumerate(part):
                wanted[place, : (end - start) * per_frame] = condition[row, start * per_frame : end * per_frame]
            numbers = np.stack([self._numbers(first + place, steps) for place in range(len(part))])
            made = decode_mulaw(self.cached().generate(numbers, wanted), self.classes).numpy()
            for place, (row, start, begin, end) in enumerate(part):
                _fade_in(signal[row], made[place], start * per_frame, begin * per_frame, end * per_frame, _FADE * per_frame)
        return signal

    def _numbers(self, piece: int, steps: int) -> np.ndarray:
        key = np.array([self.seed, piece], np.uint64)
        return np.random.Generator(np.random.Philox(key=key)).random((steps, self.bands))

    def get_config(self) -> dict[str, Any]:
        own = {"steps": self.steps, "pre_emphasis": self.pre_emphasis, "seed": self.seed}
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["network"] = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**config)


def pieces_of(loudness: np.ndarray) -> list[tuple[int, int, int]]:
    """Divide frames into pieces that end where it is quiet.

    Args:
        loudness: Of each frame, [frames].

    Returns:
        For each piece (the frame from which it is generated, the frame at which its place begins, the frame at which it ends): the end lies
        behind the beginning of the next one's place by the length of a fade.
    """
    frames = len(loudness)
    cuts = [0]
    while frames - cuts[-1] > PIECE_FRAMES + 2 * _SHIFT:
        low = cuts[-1] + PIECE_FRAMES - _SHIFT
        cuts.append(low + int(np.argmin(loudness[low : low + 2 * _SHIFT + 1])))
    ends = [min(cut + _FADE, frames) for cut in cuts[1:]] + [frames]
    return [(max(begin - _LEAD, 0), begin, end) for begin, end in zip(cuts, ends, strict=True)] if frames else []


def _fade_in(signal: np.ndarray, piece: np.ndarray, start: int, begin: int, end: int, fade: int) -> None:
    """Write a piece that was generated from `start` on into its place, `begin` to `end`, faded with what is there."""
    own = piece[begin - start : end - start]
    ramp = np.ones(len(own), np.float32)
    if begin > 0:
        n = min(fade, len(own))
        ramp[:n] = np.sin(0.5 * np.pi * (np.arange(n) + 0.5) / fade) ** 2
    signal[begin:end] = signal[begin:end] * (1 - ramp[:, None]) + own * ramp[:, None]
