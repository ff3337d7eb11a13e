"""The saved Tacotron 2: tokens to a mel spectrogram by attention, whose failures are found and reported."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ..layers.tacotron import AttentiveDecoder
from .speech_synthesiser import Spoken
from .spoken_model import SpokenModel

TRIES = 3  # utterances that fail are spoken again with other numbers in the pre-net
_SEEN = 0.1  # weight of a token in its best frame below which it was skipped
_BACK = 3  # tokens by which the attention may fall back before it counts as a repetition
_LONGEST, _SHORTEST = 2.0, 0.5  # of the expected length


@keras.saving.register_keras_serializable(package="gan_audio")
class TacotronSynthesiser(SpokenModel):
    """Speaks tokens frame by frame. Saved as `model/generator.keras`.

    `statistics` has "mel_mean" and "mel_deviation" [bands] and "frames_a_token" [1], the mean over the training data. Duration cannot be
    controlled: `speed` resamples the frames. After a call `problems` says what went wrong with the attention.
    """

    NETWORKS = ("encoder", "decoder", "postnet")

    def synthesise(self, tokens, speaker, language, emotion, *, speed=1.0, semitones=0.0, energy_db=0.0) -> Spoken:
        """Speak one utterance; see `SpokenModel`. Of `TRIES` it takes the first without a problem, else the one with the fewest."""
        expected = float(self.statistics["frames_a_token"][0]) * len(tokens)
        best = None
        for attempt in range(TRIES):
            found = self._attend(tokens, speaker, language, emotion, attempt, max(int(_LONGEST * expected) + 20, 20))
            problems = problems_of(found[1], bool(found[2]), expected)
            if best is None or len(problems) < len(best[2]):
                best = found[0], found[1], problems
            if not problems:
                break
        assert best is not None
        mel, alignment, self.problems = best
        mel = mel * self.statistics["mel_deviation"] + self.statistics["mel_mean"]
        durations = np.bincount(path_of(alignment), minlength=len(tokens))
        if speed != 1.0:
            mel, durations = _resampled(mel, durations, speed)
        return Spoken(mel.astype(np.float32), durations, np.zeros((len(tokens), 1), np.float32), None)

    def _attend(self, tokens, speaker, language, emotion, attempt, limit):
        number = lambda value: tf.constant([value], tf.int32)
        inputs = tf.constant(np.asarray(tokens)[None], tf.int32), number(speaker), number(language), number(emotion)
        mel, alignment, stopped = self._speak(*inputs, tf.constant([attempt, 0x7AC0], tf.int32), tf.constant(limit, tf.int32))
        return mel.numpy()[0], alignment.numpy()[0], stopped.numpy()

    @property
    def _speak(self):
        if not hasattr(self, "_graph"):
            core = next(layer for layer in self.decoder.layers if isinstance(layer, AttentiveDecoder))

            def speak(tokens, speaker, language, emotion, seed, limit):
                encoded = self.encoder([tokens, speaker, language, emotion], training=False)
                mel, alignment, stopped = core.generate(encoded["memory"], encoded["there"], seed, limit)
                return mel + self.postnet(mel, training=False), alignment, stopped

            one = tf.TensorSpec([1], tf.int32)
            specs = [tf.TensorSpec([1, None, 3], tf.int32), one, one, one, tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.int32)]
            self._graph = tf.function(speak, input_signature=specs, autograph=False)
        return self._graph


def path_of(alignment: np.ndarray) -> np.ndarray:
    """Return the token of each frame, int [frames]: the one with the largest weight, never before that of an earlier frame."""
    return np.maximum.accumulate(alignment.argmax(axis=1)) if len(alignment) else np.zeros(0, int)


def problems_of(alignment: np.ndarray, stopped: bool, expected: float) -> list[str]:
    """Return what is wrong with an utterance: no stop, skipped or repeated tokens, an unlikely length.

    Args:
        alignment: float32 [frames, tokens], the weights of the attention.
        stopped: Whether the stop token ended it.
        expected: Frames that such a text usually takes.
    """
    frames, tokens = alignment.shape
    found = [] if stopped else [f"the attention found no end within {frames} frames"]
    if stopped and not _SHORTEST * expected <= frames <= _LONGEST * expected:
        found.append(f"{frames} frames where about {expected:.0f} were expected")
    if skipped := int((alignment.max(axis=0) < _SEEN).sum()):
        found.append(f"{skipped} of {tokens} phones were skipped")
    place = alignment.argmax(axis=1)
    back = np.maximum.accumulate(place) - place
    if repeats := int(((back[1:] >= _BACK) & (back[:-1] < _BACK)).sum()):
        found.append(f"the attention fell back {repeats} times")
    return found


def _resampled(mel: np.ndarray, durations: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Stretch frames in time by linear interpolation, and the durations with them."""
    frames = max(1, round(len(mel) / speed))
    places = (np.arange(frames) + 0.5) * speed - 0.5
    low = np.clip(np.floor(places).astype(int), 0, len(mel) - 1)
    high = np.minimum(low + 1, len(mel) - 1)
    part = np.clip(places - low, 0.0, 1.0)[:, None]
    ends = np.minimum(np.round(np.cumsum(durations) / speed).astype(int), frames)
    return mel[low] * (1 - part) + mel[high] * part, np.diff(np.concatenate([[0], ends]))
