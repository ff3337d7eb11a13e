"""A trained converter, opened: its domains, its spectra in pieces, the speaker of a recording, anonymous voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import RunError, UsageError
from ...models.model_file import ModelFile
from .domains import Domains, domains_of, find_converter

_DETECT_SECONDS = 4.0  # of speech that `VoiceConverter.detect` is given at a time
_MIN_SECONDS = 0.75  # a shorter piece is mirrored: networks that normalise over time need some
_MAX_MIXED = 3  # domains in an anonymous voice
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class SpeakerEstimate:
    """The speaker of a recording, estimated from its beginning.

    Attributes:
        peak: Largest magnitude; 0: silence.
        probabilities: float [domains], probability of each domain; they sum to 1.
        median: Median of ln F0 over voiced frames; 0: nothing is voiced.
        voiced_seconds: Seconds of voiced speech behind the median.
        voiced_share: Share of voiced frames among those that are not quiet.
        level: Mean of the log-mel spectra over active frames and bands, as `VoiceConverter.active_level`.
    """

    peak: float
    probabilities: np.ndarray
    median: float = 0.0
    voiced_seconds: float = 0.0
    voiced_share: float = 0.0
    level: float = 0.0


class Converter:
    """An opened converter; it keeps no state of any recording.

    Args:
        model: The loaded `models.voice_converter.VoiceConverter`.
        domains: From `domains_of`.
        sha256: SHA-256 of its file, in hex.
    """

    def __init__(self, model: Any, domains: Domains, sha256: str):
        import tensorflow as tf

        self.model, self.domains, self.sha256 = model, domains, sha256
        self.convention = c = model.convention
        self.sample_rate = c.sample_rate
        count = len(model.domains)
        mel, code = tf.TensorSpec([None, None, c.bands], tf.float32), tf.TensorSpec([1, count], tf.float32)
        # One trace for pieces of every length.
        self._convert = tf.function(
            lambda mel, source, target, strength: model.convert(
                mel, tf.repeat(source, tf.shape(mel)[0], axis=0), tf.repeat(target, tf.shape(mel)[0], axis=0), strength
            ),
            input_signature=[mel, code, code, tf.TensorSpec([], tf.float32)],
            autograph=False,
        )
        self._detect = tf.function(model.detect, input_signature=[mel], autograph=False)

    def code(self, domain: int) -> np.ndarray:
        """Return float32 [domains]: 1 at the number of a domain, else 0."""
        return np.eye(len(self.domains.names), dtype=np.float32)[domain]

    def long_enough(self, audio: np.ndarray) -> np.ndarray:
        """Mirror a recording [samples] at its end until it is long enough for `spectra`."""
        least = max(round(_MIN_SECONDS * self.sample_rate), self.convention.reach + 1)
        return audio if len(audio) >= least else np.pad(audio, (0, least - len(audio)), mode="symmetric")

    def spectra(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Analyse audio, float32 [samples] at the model's rate, `long_enough`.

        Returns:
            (log-mel spectra [frames, bands] as the model takes them, ln F0 [frames], 0 where unvoiced).

        Raises:
            GanAudioError: No F0 tracker is installed.
        """
        from ...signal.mel_frames import log_mel
        from ...signal.pitch import ln_f0_contour

        c = self.convention
        contour = ln_f0_contour(audio, c)
        if self.model.features == "world":
            from ...signal.world_envelope import envelope_mel, spectral_envelope

            mel = envelope_mel(spectral_envelope(audio, contour, c), c)
        else:
            mel = log_mel(audio, c)
        frames = min(len(mel), len(contour))
        return mel[:frames], contour[:frames]

    def converted(self, mel: np.ndarray, source: np.ndarray, target: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Apply `VoiceConverter.convert` to spectra of any length.

        A model that normalises over `chunk_frames` gets windows of that many frames, which overlap by a quarter and are cross-faded.

        Args:
            mel: [frames, bands].
            source, target: [domains], weights that sum to 1.
            strength: As for `VoiceConverter.convert`.

        Returns:
            float32 [frames, bands].

        Raises:
            RunError: The model computes NaN.
        """
        size, frames = self.model.chunk_frames, len(mel)
        made = self._run(mel, source, target, strength) if not size or frames <= size else self._windowed(mel, source, target, strength)
        if not np.isfinite(made).all():
            raise RunError("The model computes NaN or infinite spectra.", hint="use an earlier checkpoint of the run")
        return made

    def _run(self, mel: np.ndarray, source: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
        import tensorflow as tf

        codes = [tf.constant(np.asarray(code, np.float32)[None]) for code in (source, target)]
        return self._convert(tf.constant(mel[None], tf.float32), *codes, tf.constant(strength, tf.float32)).numpy()[0]

    def _windowed(self, mel: np.ndarray, source: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
        size, frames = self.model.chunk_frames, len(mel)
        fade = max(1, size // 4)
        starts = sorted({*range(0, frames - size, size - fade), frames - size})
        ramp = (np.arange(fade) + 0.5) / fade
        weight = np.concatenate([ramp, np.ones(size - 2 * fade), ramp[::-1]])[:, None]
        total, sums = np.zeros(mel.shape), np.zeros((frames, 1))
        for start in starts:  # one by one: a single trace, and the memory of one window
            total[start : start + size] += weight * self._run(mel[start : start + size], source, target, strength)
            sums[start : start + size] += weight
        return (total / sums).astype(np.float32)

    def estimate_speaker(self, audio: np.ndarray) -> SpeakerEstimate:
        """Estimate who speaks, how high and how loud: float32 [samples] at the model's rate, a minute at most."""
        from ...signal.mel_frames import active_frames

        peak = float(np.abs(audio).max(initial=0.0))
        if not peak:
            return SpeakerEstimate(0.0, self._probabilities([], []))
        mel, contour = self.spectra(self.long_enough(audio))
        active, voiced = active_frames(mel, self.convention), contour > 0
        level = float(mel[active].mean())
        return SpeakerEstimate(
            peak,
            self._detected(mel + (float(self.model.active_level.mean()) - level), voiced & active),
            float(np.median(contour[voiced])) if voiced.any() else 0.0,
            float(voiced.sum()) * self.convention.hop / self.sample_rate,
            float((voiced & active).sum() / max(active.sum(), 1)),
            level,
        )

    def _detected(self, mel: np.ndarray, spoken: np.ndarray) -> np.ndarray:
        """Return the probability of each domain over windows of spectra at the level of the training data, weighted by spoken frames."""
        import tensorflow as tf

        window = round(_DETECT_SECONDS * self.sample_rate / self.convention.hop)
        found, weights = [], []
        for start in range(0, len(mel), window):
            frames = int(spoken[start : start + window].sum())
            if frames or len(mel) <= window:
                found.append(self._detect(tf.constant(mel[None, start : start + window], tf.float32)).numpy()[0])
                weights.append(max(frames, 1))
        return self._probabilities(found, weights)

    def _probabilities(self, found: Sequence[np.ndarray], weights: Sequence[int]) -> np.ndarray:
        """Return the weighted geometric mean of log-probabilities, normalised; equal shares where there are none."""
        if not found:
            return np.full(len(self.domains.names), 1 / len(self.domains.names))
        mean = np.average(np.asarray(found, np.float64), axis=0, weights=weights)
        return np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()

    def distances(self, source: np.ndarray) -> np.ndarray:
        """Return the distance of each domain's average voice from that of a mix of domains, float64 [domains].

        The root of the mean squared spectral difference, in standard deviations of the mix and without its mean over bands (level is
        not voice), plus the squared difference of pitch in thirds of an octave.

        Args:
            source: [domains], weights that sum to 1.
        """
        model = self.model
        colour = (model.mel_mean - source @ model.mel_mean) / (source @ model.mel_deviation)
        colour = colour - colour.mean(axis=1, keepdims=True)
        known = (model.f0_seconds > 0).astype(np.float64)
        pitch = known * (model.f0_median - source @ model.f0_median) / (4 * _SEMITONE)
        return np.sqrt(np.square(colour).mean(axis=1) + np.square(pitch))

    def far_mix(self, probabilities: Sequence[float] | np.ndarray, seed: int) -> np.ndarray:
        """Draw an anonymous voice: up to three domains in the farther half of all, mixed by random weights.

        The likeliest domain of the source takes no part. The same source and seed give the same voice, so a speaker keeps a pseudonym
        in all recordings; another seed gives another.

        Args:
            probabilities: [domains], probability that the source is each domain.
            seed: Seed of the draw.

        Returns:
            float32 [domains], weights that sum to 1.

        Raises:
            UsageError: The model has one domain.
        """
        probabilities = np.asarray(probabilities, np.float64)
        count = len(probabilities)
        if count < 2:
            raise UsageError("--anonymize needs a model of at least two domains.", hint="train one on several speakers")
        speaker = int(probabilities.argmax())
        far = np.argsort(-self.distances(self.code(speaker)), kind="stable")
        far = far[far != speaker][: max(1, min(count - 1, max(2, count // 2)))]
        draw = np.random.default_rng([seed, speaker])
        chosen = draw.permutation(far)[:_MAX_MIXED]
        weights = np.zeros(count, np.float32)
        weights[chosen] = draw.dirichlet(np.full(len(chosen), 2.0))
        return weights / weights.sum()


def open_converter(model: ModelFile | Path | str) -> Converter:
    """Load a converter; `model` as for `find_converter`, or what that returned.

    Raises:
        RunError: As for `find_converter`, or it cannot be loaded.
    """
    found = model if isinstance(model, ModelFile) else find_converter(model)
    return Converter(found.load(), domains_of(found), found.sha256)
