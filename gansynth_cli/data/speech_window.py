"""A window of frames of a recording with its phones, of fixed size, in graph: what a step of a text-to-speech model is trained on."""

from __future__ import annotations

import tensorflow as tf

from ..signal.mel_convention import MelConvention
from .speech_features import DURATIONS, F0, MEL, POINTS, PROSODY, PROSODY_SIZE, TOKENS

CONTEXT = 16  # phones on either side of the window: what an encoder of four kernels of 7 and two of 3 sees
EDGE = 18  # frames at a cut edge that do not count, at most an eighth of the window: the decoder lacks their neighbours


def speech_window(
    record: tf.Tensor, audio: tf.Tensor, frames: int, phones: int, convention: MelConvention, uniform: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Cut a window out of a record of `speech_features`.

    Args:
        record: A serialized Example.
        audio: Its recording, float32 [samples, 1].
        frames, phones: Size of the window; phones beyond it are left out, and their frames do not count.
        convention: Of the mel spectrum.
        uniform: In [0, 1), chooses the place; None takes the start.

    Returns:
        tokens int32 [phones, 3] (-1: none), durations float32 [phones], prosody float32 [phones, POINTS, PROSODY_SIZE], phone_weight
        float32 [phones] (1: in the window), frame_phone int32 [frames], frame_place float32 [frames] in [0, 1), frame_weight float32
        [frames], frame_inside float32 [frames] (1: before the end of the recording), mel float32 [frames, bands], f0 float32 [frames] (ln
        Hz, interpolated), audio float32 [frames * hop]. After the end there is silence.
    """
    bands, hop = convention.bands, convention.hop
    names = (TOKENS, DURATIONS, PROSODY, F0, MEL)
    example = tf.io.parse_single_example(record, {name: tf.io.FixedLenFeature([], tf.string) for name in names})
    tokens = tf.reshape(tf.io.decode_raw(example[TOKENS], tf.int32), [-1, 3])
    durations = tf.io.decode_raw(example[DURATIONS], tf.int32)
    prosody = tf.reshape(tf.io.decode_raw(example[PROSODY], tf.float32), [-1, POINTS, PROSODY_SIZE])
    mel = tf.reshape(tf.cast(tf.io.decode_raw(example[MEL], tf.float16), tf.float32), [-1, bands])
    f0 = tf.io.decode_raw(example[F0], tf.float32)
    total, count = tf.shape(mel)[0], tf.shape(tokens)[0]
    spare = tf.maximum(total - frames, 0)
    start = 0 if uniform is None else tf.minimum(tf.cast(uniform * tf.cast(spare + 1, tf.float32), tf.int32), spare)
    ends = tf.cumsum(durations)
    place = start + tf.range(frames)
    owner = tf.searchsorted(ends, place, side="right")  # equal to `count` after the end
    first = tf.maximum(owner[0] - CONTEXT, 0)
    owner -= first
    inside = (place < total) & (owner < phones) & (owner + first < count)
    owner = tf.clip_by_value(owner, 0, phones - 1)
    cut = lambda values, fill: _padded(values[first : first + phones], phones, fill)
    durations_f = cut(tf.cast(durations, tf.float32), 0.0)
    begins = tf.cast(cut(ends - durations, 0), tf.float32)
    fraction = (tf.cast(place, tf.float32) + 0.5 - tf.gather(begins, owner)) / tf.maximum(tf.gather(durations_f, owner), 1.0)
    seen = tf.reduce_max(tf.one_hot(owner, phones) * tf.cast(inside, tf.float32)[:, None], axis=0)
    whole = tf.cast(inside, tf.float32)
    edge = min(EDGE, frames // 8)
    left = tf.cast((tf.range(frames) >= edge) | (start == 0), tf.float32)
    right = tf.cast((tf.range(frames) < frames - edge) | (start + frames >= total), tf.float32)
    mel = _padded(mel[start : start + frames], frames, convention.lowest)
    sound = _padded(audio[start * hop : (start + frames) * hop, 0], frames * hop, 0.0)
    return {
        "tokens": tf.ensure_shape(cut(tokens, -1), [phones, 3]),
        "durations": tf.ensure_shape(durations_f, [phones]),
        "prosody": tf.ensure_shape(cut(prosody, 0.0), [phones, POINTS, PROSODY_SIZE]),
        "phone_weight": tf.ensure_shape(seen, [phones]),
        "frame_phone": tf.ensure_shape(owner, [frames]),
        "frame_place": tf.ensure_shape(tf.clip_by_value(fraction, 0.0, 0.999), [frames]),
        "frame_inside": tf.ensure_shape(whole, [frames]),
        "frame_weight": tf.ensure_shape(whole * left * right, [frames]),
        "mel": tf.ensure_shape(mel, [frames, bands]),
        "f0": tf.ensure_shape(_padded(f0[start : start + frames], frames, 0.0), [frames]),
        "audio": tf.ensure_shape(sound, [frames * hop]),
    }


def _padded(values: tf.Tensor, size: int, fill: float | int) -> tf.Tensor:
    missing = size - tf.shape(values)[0]
    return tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)], constant_values=tf.cast(fill, values.dtype))
