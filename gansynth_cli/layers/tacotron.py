"""The decoder of Tacotron 2 (Shen et al. 2018, section 2.2): frames one by one, with location-sensitive attention over the encoded text."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_register = keras.saving.register_keras_serializable(package="gan_audio")
_MASKED = -1e4  # the score of what is no token; minus infinity would make the gradient of a padded row NaN
State = tuple[tf.Tensor, ...]


@_register
class AttentiveDecoder(keras.layers.Layer):
    """Pre-net, attention LSTM, location-sensitive attention (Chorowski et al. 2015), decoder LSTM, projections to a frame and a stop logit.

    Half of the pre-net's units are dropped in training and in use, which is what makes the attention robust (section 2.2). LSTMs have one
    bias, where PyTorch's have two that add up.

    Args:
        bands: Numbers of a frame.
        prenet: Units of both layers of the pre-net.
        attention_units, decoder_units: Of the LSTMs.
        attention: Width of the attention.
        filters, kernel_size: Of the convolution over the attention so far.
        dropout: Of the outputs of both LSTMs, in training.
        seed: Of the first weights.

    Call: memory float32 [batch, tokens, size], there float32 [batch, tokens, 1] (1: a token), mel float32 [batch, frames, bands], from
    which each frame gets the one before, seed int32 [batch, 2], of which the first row counts -> {"mel": [batch, frames, bands], "stop":
    logits [batch, frames], "alignment": [batch, frames, tokens]}.
    """

    def __init__(
        self,
        bands: int,
        prenet: int = 256,
        attention_units: int = 1024,
        decoder_units: int = 1024,
        attention: int = 128,
        filters: int = 32,
        kernel_size: int = 31,
        dropout: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.bands, self.prenet, self.attention_units, self.decoder_units = bands, prenet, attention_units, decoder_units
        self.attention, self.filters, self.kernel_size, self.dropout, self.seed = attention, filters, kernel_size, dropout, seed

    def build(self, memory_shape, there_shape=None, mel_shape=None, seed_shape=None) -> None:
        size, a, d = memory_shape[-1], self.attention_units, self.decoder_units
        seeds = np.random.default_rng(self.seed)
        self.size = size

        def kernel(name: str, *shape: int) -> keras.Variable:
            initializer = keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31)))
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        bias = lambda name, units: self.add_weight(name=name, shape=(units,), initializer="zeros")
        self.prenet_kernels = [kernel("prenet_0", self.bands, self.prenet), kernel("prenet_1", self.prenet, self.prenet)]
        self.attention_lstm = [kernel("attention_kernel", self.prenet + size + a, 4 * a), bias("attention_bias", 4 * a)]
        self.decoder_lstm = [kernel("decoder_kernel", a + size + d, 4 * d), bias("decoder_bias", 4 * d)]
        self.query_kernel, self.memory_kernel = kernel("query", a, self.attention), kernel("memory", size, self.attention)
        self.score_kernel = kernel("score", self.attention, 1)
        self.location_kernel = kernel("location", self.kernel_size, 2, self.filters)
        self.location_dense = kernel("location_dense", self.filters, self.attention)
        self.mel_kernel, self.mel_bias = kernel("mel", d + size, self.bands), bias("mel_bias", self.bands)
        self.stop_kernel, self.stop_bias = kernel("stop", d + size, 1), bias("stop_bias", 1)
        super().build(memory_shape)

    def call(self, memory, there, mel, seed, training: bool = False):
        batch, frames = tf.shape(mel)[0], mel.shape[1] if mel.shape[1] is not None else tf.shape(mel)[1]
        before = tf.pad(mel[:, :-1], [[0, 0], [1, 0], [0, 0]])
        keep = self._keep(tf.concat([[2, batch, frames], [self.prenet]], 0), seed[0])
        inputs = tf.transpose(self._prenet(before, keep), [1, 0, 2])
        text = self._text(memory, there)
        arrays = [tf.TensorArray(tf.float32, frames) for _ in range(2)]

        def body(step, state, hidden, alignment):
            state = self._step(state, inputs[step], text, seed[0] + tf.stack([0, step + 1]) if training and self.dropout else None)
            return step + 1, state, hidden.write(step, self._hidden(state)), alignment.write(step, state[5])

        loop = (tf.constant(0), self._start(memory), *arrays)
        _, _, hidden, alignment = tf.while_loop(lambda step, *_: step < frames, body, loop, maximum_iterations=frames)
        hidden, alignment = (tf.transpose(array.stack(), [1, 0, 2]) for array in (hidden, alignment))
        hidden = tf.ensure_shape(hidden, [None, mel.shape[1], self.decoder_units + self.size])
        return {
            "mel": tf.matmul(hidden, self.mel_kernel) + self.mel_bias,
            "stop": (tf.matmul(hidden, self.stop_kernel) + self.stop_bias)[..., 0],
            "alignment": tf.ensure_shape(alignment, [None, mel.shape[1], memory.shape[1]]),
        }

    def generate(self, memory: tf.Tensor, there: tf.Tensor, seed: tf.Tensor, limit: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Make frames until the stop logit is above 0.

        Args:
            memory, there: As for a call, of one utterance.
            seed: int32 [2], of the pre-net's dropout.
            limit: int32 scalar: frames at most.

        Returns:
            Frames float32 [1, frames, bands], alignment [1, frames, tokens], whether it stopped by itself.
        """
        keep = self._keep(tf.concat([[2, limit, 1], [self.prenet]], 0), seed)
        text = self._text(memory, there)

        def body(step, state, frame, stopped, mel, alignment):
            state = self._step(state, self._prenet(frame, keep[:, step]), text, None)
            hidden = self._hidden(state)
            frame = tf.matmul(hidden, self.mel_kernel) + self.mel_bias
            stopped = (tf.matmul(hidden, self.stop_kernel) + self.stop_bias)[0, 0] > 0
            return step + 1, state, frame, stopped, mel.write(step, frame), alignment.write(step, state[5])

        arrays = [tf.TensorArray(tf.float32, 0, dynamic_size=True) for _ in range(2)]
        loop = (tf.constant(0), self._start(memory), tf.zeros([1, self.bands]), tf.constant(False), *arrays)
        _, _, _, stopped, mel, alignment = tf.while_loop(lambda step, state, frame, stopped, *_: (step < limit) & ~stopped, body, loop)
        return tf.transpose(mel.stack(), [1, 0, 2]), tf.transpose(alignment.stack(), [1, 0, 2]), stopped

    def _keep(self, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return 2.0 * tf.cast(tf.random.stateless_uniform(shape, seed) < 0.5, tf.float32)

    def _prenet(self, frames: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
        for kernel, kept in zip(self.prenet_kernels, (keep[0], keep[1]), strict=True):
            frames = tf.nn.relu(tf.matmul(frames, kernel)) * kept
        return frames

    def _text(self, memory: tf.Tensor, there: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return memory, tf.matmul(memory, self.memory_kernel), there

    def _start(self, memory: tf.Tensor) -> State:
        batch, tokens = tf.shape(memory)[0], tf.shape(memory)[1]
        zeros = lambda units: tf.zeros(tf.stack([batch, units]))
        a, d = self.attention_units, self.decoder_units
        fixed = lambda x, units: tf.ensure_shape(x, [memory.shape[0], units])
        states = [fixed(zeros(units), units) for units in (a, a, d, d, self.size)]
        return (*states, *(fixed(zeros(tokens), memory.shape[1]) for _ in range(2)))

    def _step(self, state: State, frame: tf.Tensor, text: tuple[tf.Tensor, ...], seed: tf.Tensor | None) -> State:
        """(attention h, c, decoder h, c, context, weights, their sum) behind the next frame; `frame` comes out of the pre-net."""
        h_a, c_a, h_d, c_d, context, weights, total = state
        memory, keys, there = text
        h_a, c_a = _lstm(tf.concat([frame, context, h_a], -1), c_a, *self.attention_lstm)
        h_a = self._dropped(h_a, seed, 1)
        location = tf.nn.conv1d(tf.stack([weights, total], -1), self.location_kernel, 1, "SAME")
        query = tf.matmul(h_a, self.query_kernel)[:, None]
        energy = tf.matmul(tf.tanh(query + keys + tf.matmul(location, self.location_dense)), self.score_kernel)
        weights = tf.nn.softmax((energy * there + _MASKED * (1.0 - there))[..., 0])
        context = tf.matmul(weights[:, None], memory)[:, 0]
        h_d, c_d = _lstm(tf.concat([h_a, context, h_d], -1), c_d, *self.decoder_lstm)
        made = (h_a, c_a, self._dropped(h_d, seed, 2), c_d, context, weights, total + weights)
        return tuple(tf.ensure_shape(new, old.shape) for new, old in zip(made, state, strict=True))

    def _dropped(self, x: tf.Tensor, seed: tf.Tensor | None, number: int) -> tf.Tensor:
        if seed is None:
            return x
        keep = tf.random.stateless_uniform(tf.shape(x), seed + [number, 0]) >= self.dropout
        return x * tf.cast(keep, x.dtype) / (1.0 - self.dropout)

    def _hidden(self, state: State) -> tf.Tensor:
        return tf.concat([state[2], state[4]], -1)

    def compute_output_shape(self, memory_shape, there_shape=None, mel_shape=None, seed_shape=None):
        batch, frames, tokens = memory_shape[0], mel_shape[1], memory_shape[1]
        return {"mel": (batch, frames, self.bands), "stop": (batch, frames), "alignment": (batch, frames, tokens)}

    def get_config(self) -> dict[str, Any]:
        own = ("bands", "prenet", "attention_units", "decoder_units", "attention", "filters", "kernel_size", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _lstm(inputs: tf.Tensor, cell: tf.Tensor, kernel: Any, bias: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """One step of an LSTM whose hidden state is the end of `inputs`: (hidden, cell)."""
    i, f, g, o = tf.split(tf.matmul(inputs, kernel) + bias, 4, axis=-1)
    cell = tf.sigmoid(f + 1.0) * cell + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(cell), cell
