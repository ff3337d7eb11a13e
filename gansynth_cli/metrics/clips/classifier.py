"""A small convolutional classifier of log-mel spectrograms, trained on the data set that clips are compared with, and cached.

It has the shape of WaveGAN's classifier of spoken digits (Donahue et al. 2019, appendix): a log-mel spectrogram, four blocks
of convolution and pooling, a softmax over the classes, stopped early on the validation loss. Divergences: the geometry
follows the data's rate and length; one second is 64 bands x 64 frames, not 128 x 128, to save time (the larger one was not
trained to its end, so which is more accurate is not known); batch normalisation is added; and training clips are augmented
lightly (speed, shift, level, a noise floor), because the classifier has to recognise speakers that it was not trained on.
Scores from different classifiers are not comparable; the hash of the one used is in every report.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from ... import files
from ...errors import DatasetError
from ...layers.log_mel import Level, LogMelSpectrogram
from ...signal.mel import LogMel

CLASSIFIER_VERSION = 1  # raise it whenever the same data would give a different classifier
WIDTHS = (32, 64, 128, 128)
_BATCH = 32
_EPOCHS = 36
_MIN_STEPS, _MAX_STEPS = 600, 8000
_CHECKS = 40  # validations in a full training
_PATIENCE = 12  # validations without improvement
_SOLVED = 0.01  # nats: below this validation loss, twice in a row, nothing is left to learn
_MIN_SOLVED_STEP = 60  # until then the moving averages of batch normalisation still reflect their initial values
_INFERENCE_BATCH = 64

OnStep = Callable[[int, int, str], None]  # (steps done, maximum number of steps, note)


@dataclass(frozen=True)
class LabelledClips:
    """Clips in memory: `audio` int16 [clips, samples], each scaled to full range (half the memory of float32), `labels` int32 [clips]."""

    audio: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def input_spectrogram(sample_rate: int, samples: int) -> LogMel:
    """Return the classifier's input: 64 bands; windows of 32 ms, or 64 ms for clips above 1.5 s to limit the number of frames."""
    window_seconds = 0.032 if samples <= 1.5 * sample_rate else 0.064
    return LogMel.for_clips(sample_rate, samples, bands=64, frames=64, window_seconds=window_seconds)


def build_classifier(
    spec: LogMel, samples: int, classes: int, *, mean: float, deviation: float, seed: int = 0, level: Level = "peak"
) -> keras.Model:
    """Build the untrained network: audio float32 [batch, samples] to {"features": [batch, 128], "logits": [batch, classes]}."""
    inputs = keras.Input((samples,), name="audio")
    x = LogMelSpectrogram(spec, mean, deviation, level, name="log_mel")(inputs)
    for block, width in enumerate(WIDTHS):
        start = keras.initializers.HeNormal(seed=seed + block)
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer=start)(x)
        x = keras.layers.BatchNormalization(momentum=0.95)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(0.2, seed=seed + 10)(features)
    logits = keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 11), name="logits")(x)
    return keras.Model(inputs, {"features": features, "logits": logits}, name="classifier")


def augment(audio: tf.Tensor, seed: tf.Tensor, speed: float = 0.17) -> tf.Tensor:
    """Augment training clips lightly, without changing their class.

    Speed by exp(U(-speed, speed)) (0.17 is three semitones), shift by -10 to +18 % of the clip, gain of -8 to 0 dB, white
    noise 30 to 70 dB below full scale. (The layer scales the peak back to 1, so gain and noise set the noise floor.)

    Args:
        audio: float32 [batch, samples].
        seed: int32 [2]; the same seed gives the same result.
        speed: 0 where the classes are pitches.
    """
    batch, samples = tf.shape(audio)[0], audio.shape[1]

    def draw(index: int, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform([batch, 1], tf.random.experimental.stateless_fold_in(seed, index), low, high)

    rate, start = tf.exp(draw(0, -speed, speed)), draw(1, -0.18, 0.10) * samples
    position = tf.range(samples, dtype=tf.float32)[None] * rate + start
    whole = tf.floor(position)
    fraction, index = position - whole, tf.cast(whole, tf.int32)

    def at(place: tf.Tensor) -> tf.Tensor:
        found = tf.gather(audio, tf.clip_by_value(place, 0, samples - 1), batch_dims=1)
        return tf.where((place >= 0) & (place < samples), found, 0.0)

    moved = at(index) * (1 - fraction) + at(index + 1) * fraction
    moved = moved / tf.maximum(tf.reduce_max(tf.abs(moved), axis=1, keepdims=True), 1e-6)
    noise = tf.random.stateless_normal(tf.shape(audio), tf.random.experimental.stateless_fold_in(seed, 2))
    return moved * 10.0 ** (draw(3, -8.0, 0.0) / 20) + noise * 10.0 ** (draw(4, -70.0, -30.0) / 20)


class Classifier:
    """A trained classifier.

    Attributes:
        model: A network of `build_classifier`.
        labels: Class names in the order of their numbers.
        samples: Samples of a clip.
        facts: Entries for a report: version, hash, steps, accuracies, seconds of training.
    """

    def __init__(self, model: keras.Model, labels: tuple[str, ...], samples: int, facts: dict[str, Any]):
        self.model, self.labels, self.samples, self.facts = model, labels, samples, facts
        self._forward = tf.function(lambda audio: model(audio, training=False))

    def classify(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map clips [clips, samples], float or int16 of any level, to penultimate features [clips, 128] and posteriors [clips, classes]."""
        features, logits = [], []
        for start in range(0, len(audio), _INFERENCE_BATCH):
            block = audio[start : start + _INFERENCE_BATCH]
            missing = _INFERENCE_BATCH - len(block)  # one compiled shape
            found = self._forward(tf.constant(np.pad(as_float(block), ((0, missing), (0, 0)))))
            features.append(found["features"].numpy()[: len(block)])
            logits.append(found["logits"].numpy()[: len(block)])
        if not features:
            return np.zeros((0, WIDTHS[-1]), np.float32), np.zeros((0, len(self.labels)))
        return np.concatenate(features), np.exp(log_softmax(np.concatenate(logits).astype(np.float64), axis=1))

    def accuracy(self, clips: LabelledClips) -> float:
        """Return the share of clips whose most probable class is their label."""
        return float((self.classify(clips.audio)[1].argmax(axis=1) == clips.labels).mean())


def as_float(audio: np.ndarray) -> np.ndarray:
    """Convert int16 or float samples to float32, full scale at 1."""
    return audio.astype(np.float32) / np.float32(32767) if audio.dtype == np.int16 else np.asarray(audio, np.float32)


def as_full_scale_int16(audio: np.ndarray) -> np.ndarray:
    """Scale one clip, float [samples], to the whole int16 range; silence stays silence."""
    peak = np.abs(audio).max(initial=0.0)
    return np.rint(audio * (32767 / max(peak, 1e-6))).astype(np.int16)


def steps_for(clips: int) -> int:
    """Return the maximum number of updates: 36 passes over the training clips, at least 600 and at most 8,000."""
    return min(max(_MIN_STEPS, _EPOCHS * clips // _BATCH), _MAX_STEPS)


def train_classifier(
    train: LabelledClips,
    validation: LabelledClips,
    labels: tuple[str, ...],
    sample_rate: int,
    *,
    seed: int = 0,
    speed: float = 0.17,
    level: Level = "peak",
    on_step: OnStep | None = None,
) -> Classifier:
    """Train a classifier: Adam with a cosine schedule and early stopping; the weights with the lowest validation loss are kept.

    The order of clips, the initial weights and every augmentation derive from `seed`. About 3.4 core-minutes for
    2,000 clips of 8192 samples.

    Args:
        train, validation: Clips of equal length, at least one each.
        labels: Class names.
        sample_rate: Hz.
        speed: As in `augment`.
        level: As in `LogMelSpectrogram`.
        on_step: Called after each validation.

    Raises:
        DatasetError: Fewer than two classes, or a split without clips.
    """
    if len(labels) < 2 or len(np.unique(train.labels)) < 2:
        raise DatasetError("A classifier needs clips of at least two labels in the train split.", hint="prepare the data with labels")
    if not len(validation):
        raise DatasetError("A classifier needs a validation split for early stopping.", hint="prepare the data set with a validation split")
    samples = train.audio.shape[1]
    spec = input_spectrogram(sample_rate, samples)
    # Statistics of clips at a peak of 1, whatever `level` is: the difference is an offset, which the first batch normalisation removes.
    some = spec.compute(as_float(train.audio[:: max(1, len(train) // 256)]))
    model = build_classifier(
        spec, samples, len(labels), mean=float(some.mean()), deviation=float(max(some.std(), 0.1)), seed=seed, level=level
    )
    steps = steps_for(len(train))
    validate_every = max(10, steps // _CHECKS)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    optimizer.build(model.trainable_variables)
    variables = model.trainable_variables

    @tf.function
    def update(audio: tf.Tensor, wanted: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        audio = augment(tf.cast(audio, tf.float32) / 32767.0, draws, speed)
        with tf.GradientTape() as tape:
            logits = model(audio, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    batch = min(_BATCH, len(train))
    classifier = Classifier(model, tuple(labels), samples, {})
    best_loss, best_weights, best_step, since, solved, step = np.inf, model.get_weights(), 0, 0, 0, 0
    order = _endless_order(len(train), seed)
    for step in range(1, steps + 1):
        rows = np.fromiter((next(order) for _ in range(batch)), np.int64, batch)
        update(tf.constant(train.audio[rows]), tf.constant(train.labels[rows]), tf.constant([seed, step], tf.int32))
        if step % validate_every and step != steps:
            continue
        posteriors = classifier.classify(validation.audio)[1]
        right = posteriors[np.arange(len(validation)), validation.labels]
        loss = float(-np.log(np.maximum(right, 1e-7)).mean())
        since += 1
        solved = solved + 1 if loss < _SOLVED and step >= _MIN_SOLVED_STEP else 0
        if loss < best_loss:
            best_loss, best_weights, best_step, since = loss, model.get_weights(), step, 0
        if on_step is not None:
            accuracy = float((posteriors.argmax(axis=1) == validation.labels).mean())
            on_step(step, steps, f"validation loss {loss:.3f}, accuracy {accuracy:.3f}")
        if since >= _PATIENCE or solved == 2:
            break
    model.set_weights(best_weights)
    facts = {
        "version": CLASSIFIER_VERSION,
        "hash": _hash_of(model),
        "seed": seed,
        "speed_augmentation": speed,
        "level": level,
        "steps": step,
        "best_step": best_step,
        "train_clips": len(train),
        "validation_clips": len(validation),
        "validation_loss": best_loss,
        "validation_accuracy": classifier.accuracy(validation),
        "log_mel": asdict(spec),
    }
    return Classifier(model, tuple(labels), samples, facts)


def cache_key(fingerprint: str, labels: tuple[str, ...], samples: int, seed: int, speed: float, extra: str = "") -> str:
    """Return the name of a cached classifier: a hash of its training data, its options and the version of this file."""
    content = json.dumps([CLASSIFIER_VERSION, fingerprint, list(labels), samples, seed, speed, extra])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_cached(folders: list[Path], key: str) -> Classifier | None:
    """Load the cached classifier of a key from the first folder that holds it; None if there is none, or it is damaged."""
    for folder in folders:
        facts_file, model_file = folder / f"classifier-{key}.json", folder / f"classifier-{key}.keras"
        if not (facts_file.is_file() and model_file.is_file()):
            continue
        try:
            kept = json.loads(facts_file.read_text())
            model = keras.models.load_model(model_file)
            if _hash_of(model) != kept["facts"]["hash"]:
                continue
            return Classifier(model, tuple(kept["labels"]), int(kept["samples"]), kept["facts"])
        except (OSError, ValueError, KeyError, TypeError):  # cut short, or of another version: train it again
            continue
    return None


def store(classifier: Classifier, folders: list[Path], key: str) -> Path | None:
    """Keep a classifier in the first folder that can be written and return that folder; None if none can."""
    kept = {"labels": list(classifier.labels), "samples": classifier.samples, "facts": classifier.facts}
    for folder in folders:
        try:
            with files.replacing(folder / f"classifier-{key}.keras") as temporary:
                classifier.model.save(temporary)
            files.write_text(folder / f"classifier-{key}.json", json.dumps(kept, indent=1) + "\n")  # last: it names the model's hash
            return folder
        except OSError:
            continue
    return None


def cache_folders(data: Path) -> list[Path]:
    """Return where classifiers are kept: below the data set, else in the user's cache if that cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return [data / "evaluate", Path(base) / "gan-audio" / "evaluate"]


def _endless_order(clips: int, seed: int):
    generator = np.random.default_rng([seed, 7])
    while True:
        yield from generator.permutation(clips)


def _hash_of(model: keras.Model) -> str:
    """Hash the weights with SHA-256, without the state of Dropout's random numbers."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
