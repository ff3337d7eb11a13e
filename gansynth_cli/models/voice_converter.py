"""The saved voice converter: from one domain's spectra and pitch to another's, with the statistics that this takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from ..signal.mel_convention import MelConvention
from .exported import ExportedNetwork, ExportPlan, Port, mel_network, noise_like

MIN_VOICED_SECONDS = 10.0  # with less voiced speech a domain's standard deviation is unreliable: only the median is shifted
MIN_RATIO, MAX_RATIO = 0.5, 2.0  # of the standard deviations of two domains' ln F0
MIN_HZ, MAX_HZ = 40.0, 1100.0  # bounds of a converted pitch
_MIN_DEVIATION = 1e-3
_BANDS_THAT_COUNT = 4.0  # independent bands in an average spectrum

Code = Any  # int32 [batch], numbers of domains; or float32 [batch, domains], weights that sum to 1: a mix of domains


@keras.saving.register_keras_serializable(package="gan_audio")
class VoiceConverter(keras.Model):
    """Converts log-mel spectra and F0 contours between domains (speakers, emotions). Saved as `model/generator.keras`.

    Streaming. With `chunk_frames` = 0 a frame depends on `receptive_frames` frames on either side and no others: pieces that begin at
    multiples of `stride_frames`, with that much context, come out as in the whole recording. With `chunk_frames` = n the network
    normalises over all frames of its input (instance norm over time), so each length has a result of its own: feed a recording in
    pieces of exactly n frames that overlap and are cross-faded, a shorter one as a whole.

    Args:
        network: {"mel": float [batch, frames, bands], standardised with the source's statistics; "mask": float [batch, frames, 1], all
            ones; "source", "target": float [batch, domains], codes} -> float [batch, frames, bands], standardised with the target's.
            `frames` is a multiple of `stride_frames`.
        convention: Mel convention of the spectra, resolved; a `MelConvention` or its dict.
        domains: Names, in the order of their numbers.
        mel_mean, mel_deviation: [domains, bands], mean and standard deviation of `features` in that convention.
        f0_mean, f0_deviation, f0_median: [domains], statistics of ln F0 (Hz) over voiced frames.
        f0_seconds: [domains], seconds of voiced speech behind these; 0: the pitch of the domain is not known.
        active_level: [domains], mean of the log-mel spectra over bands and active frames; empty: not known, the mean of `mel_mean`.
        features: "mel": `convert` takes log-mel spectra of audio. "world": log-mel spectra of WORLD's spectral envelope
            (`signal.world_envelope.envelope_mel`) in the same convention, without harmonics.
        vocoder: Default way to a waveform: "world" or "mel".
        receptive_frames, chunk_frames, stride_frames: See above.
        classifier: float [batch, frames, bands], standardised with the mean statistics of all domains -> logits [batch, domains];
            None: `detect` compares with the statistics.
        prosody: {"contour": float [batch, frames, scales], "source", "target"} -> the same shape: standardised wavelet coefficients of
            ln F0 (`signal.pitch.decompose`), a frame every hop; None: F0 is converted by its statistics only.
        prosody_mean, prosody_deviation: [domains, scales], statistics of those coefficients.
        emphasis: Overshoot: strength 1 moves a spectrum by this factor times the network's change.
        consent: Consent note that `prepare --consent` stored with the recordings.
        provenance: Free JSON: recipe, step, family, data fingerprint, version.

    Raises:
        ValueError: Statistics of another shape.
    """

    def __init__(
        self,
        network: keras.Model,
        convention: MelConvention | Mapping[str, Any],
        domains: Sequence[str],
        mel_mean: Any,
        mel_deviation: Any,
        f0_mean: Any,
        f0_deviation: Any,
        f0_median: Any = (),
        f0_seconds: Any = (),
        active_level: Any = (),
        features: Literal["mel", "world"] = "mel",
        vocoder: Literal["world", "mel"] = "world",
        receptive_frames: int = 0,
        chunk_frames: int = 0,
        stride_frames: int = 1,
        classifier: keras.Model | None = None,
        prosody: keras.Model | None = None,
        prosody_mean: Any = (),
        prosody_deviation: Any = (),
        emphasis: float = 1.0,
        consent: str = "",
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.classifier, self.prosody = network, classifier, prosody
        self.convention = convention if isinstance(convention, MelConvention) else MelConvention.from_dict(convention)
        self.domains = list(domains)
        count, bands = len(self.domains), self.convention.bands
        self.mel_mean = _array(mel_mean, (count, bands))
        self.mel_deviation = np.maximum(_array(mel_deviation, (count, bands)), _MIN_DEVIATION)
        self.f0_mean, self.f0_deviation = _array(f0_mean, (count,)), _array(f0_deviation, (count,))
        self.f0_median = _array(f0_median, (count,)) if len(f0_median) else self.f0_mean.copy()
        self.f0_seconds = _array(f0_seconds, (count,)) if len(f0_seconds) else np.full(count, np.inf, np.float32)
        self.active_level = _array(active_level, (count,)) if len(active_level) else self.mel_mean.mean(axis=1)
        self.features, self.vocoder = features, vocoder
        self.receptive_frames, self.chunk_frames, self.stride_frames = int(receptive_frames), int(chunk_frames), int(stride_frames)
        self.prosody_mean, self.prosody_deviation = np.asarray(prosody_mean, np.float32), np.asarray(prosody_deviation, np.float32)
        self.emphasis, self.consent = float(emphasis), str(consent)
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.built = True  # its parts are: it can be saved without a call

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.convention.sample_rate

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.convention.hop

    @property
    def labels(self) -> tuple[str, ...]:
        """The domains."""
        return tuple(self.domains)

    def call(self, inputs):
        """`convert` of {"mel", "source", "target"}."""
        return self.convert(inputs["mel"], inputs["source"], inputs["target"])

    def convert(self, mel: tf.Tensor, source: Code, target: Code, strength: float = 1.0) -> tf.Tensor:
        """Convert spectra. A pure function: no state, and each example of a batch is independent of the others.

        Args:
            mel: float32 [batch, frames, bands], `features` in the convention; any number of frames from 1.
            source, target: int32 [batch], numbers of domains; or float32 [batch, domains], weights of a mix that sum to 1.
            strength: 0 returns `mel`, 1 the conversion; between them logarithms are interpolated, above 1 extrapolated.

        Returns:
            float32, the shape of `mel`.
        """
        mel = tf.convert_to_tensor(mel, tf.float32)
        source, target = self.code(source), self.code(target)
        frames = tf.shape(mel)[1]
        spare = (
            self.stride_frames - frames % self.stride_frames
        ) % self.stride_frames  # the remainder of a negative number differs in ONNX
        # The last frame again, by its number: a repetition of zero times is an error in other runtimes.
        whole = tf.gather(mel, tf.minimum(tf.range(frames + spare), frames - 1), axis=1) if self.stride_frames > 1 else mel
        standardised = (whole - self._rows(self.mel_mean, source)) / self._rows(self.mel_deviation, source)
        mask = tf.ones_like(standardised[..., :1])
        made = tf.cast(self.network({"mel": standardised, "mask": mask, "source": source, "target": target}, training=False), tf.float32)[
            :, :frames
        ]
        made = made * self._rows(self.mel_deviation, target) + self._rows(self.mel_mean, target)
        return tf.ensure_shape(mel + tf.cast(strength, tf.float32) * self.emphasis * (made - mel), mel.shape)

    def convert_f0(
        self,
        ln_f0: np.ndarray,
        source: int | np.ndarray,
        target: int | np.ndarray,
        semitones: float | None = None,
        keep: bool = False,
        own_statistics: bool = False,
    ) -> np.ndarray:
        """Convert a pitch contour.

        Log-Gaussian normalised: (ln f - mean_s) deviation_t / deviation_s + mean_t on voiced frames, the ratio of the standard
        deviations clipped to 0.5 ... 2. With less than 10 s of voiced speech in either domain only the median is shifted; where a pitch
        is not known at all, nothing. A prosody network converts the movement about the mean, if the contour has at least a second.

        Args:
            ln_f0: float [frames], natural logarithm of Hz; 0 where unvoiced, and there it stays 0.
            source, target: Numbers of domains, or weights [domains].
            semitones: Shift by this much instead.
            keep: Return the contour unchanged.
            own_statistics: The speaker is none of the domains: take the source's statistics from the contour itself.

        Returns:
            float32 [frames], voiced frames within 40 to 1100 Hz.
        """
        contour = np.array(ln_f0, np.float32)
        voiced = contour > 0
        if keep or not voiced.any():
            return contour
        values = contour[voiced].astype(np.float64)
        if semitones is not None:
            values = values + float(semitones) * np.log(2.0) / 12.0
        else:
            values = self._converted(contour, values, self._f0_of(source, values if own_statistics else None), target, source)
        contour[voiced] = np.clip(values, np.log(MIN_HZ), np.log(MAX_HZ))
        return contour

    def detect(self, mel: tf.Tensor) -> tf.Tensor:
        """Detect which domain speaks.

        Args:
            mel: float32 [batch, frames, bands] as `convert` takes it, seconds of speech at the level of the domains' recordings
                (`active_level`).

        Returns:
            float32 [batch, domains], log-probabilities.
        """
        mel = tf.convert_to_tensor(mel, tf.float32)
        if self.classifier is not None:
            spare = -tf.shape(mel)[1] % self.stride_frames
            mel = tf.concat([mel, tf.repeat(mel[:, -1:], spare, axis=1)], axis=1)
            standardised = (mel - self.mel_mean.mean(axis=0)) / self.mel_deviation.mean(axis=0)
            return tf.nn.log_softmax(tf.cast(self.classifier(standardised, training=False), tf.float32))
        # Likelihood of the average spectrum under each domain's Gaussian. Means of bands move together: they count as one.
        mean = tf.reduce_mean(mel, axis=1)[:, None]
        distance = tf.reduce_mean(tf.square((mean - self.mel_mean) / self.mel_deviation) / 2 + tf.math.log(self.mel_deviation), axis=-1)
        return tf.nn.log_softmax(-distance * _BANDS_THAT_COUNT)

    def code(self, domain: Code) -> tf.Tensor:
        """Return numbers of domains, or weights, as weights: float32 [batch, domains]."""
        domain = tf.convert_to_tensor(domain)
        return tf.one_hot(domain, len(self.domains)) if domain.dtype.is_integer else tf.cast(domain, tf.float32)

    def _rows(self, table: np.ndarray, code: tf.Tensor) -> tf.Tensor:
        return tf.matmul(code, tf.constant(table))[:, None]

    def _weights(self, domain: int | np.ndarray) -> np.ndarray:
        given = np.asarray(domain)
        return np.eye(len(self.domains))[int(given)] if given.ndim == 0 else given.astype(np.float64)

    def _f0_of(self, domain: int | np.ndarray, own: np.ndarray | None = None) -> tuple[float, float, float, float]:
        """Return (mean, standard deviation, median, voiced seconds) of ln F0 of a domain or mix, or of a contour's own values."""
        if own is not None:
            return float(own.mean()), float(own.std()), float(np.median(own)), len(own) * self.hop / self.sample_rate
        weights = self._weights(domain)
        used = weights > 0
        seconds = float(self.f0_seconds[used].min())
        known = weights * (self.f0_seconds > 0)
        if not known.sum():
            return 0.0, 0.0, 0.0, 0.0
        known = known / known.sum()
        return float(known @ self.f0_mean), float(known @ self.f0_deviation), float(known @ self.f0_median), seconds

    def _converted(
        self, contour: np.ndarray, values: np.ndarray, have: tuple[float, ...], target: int | np.ndarray, source: int | np.ndarray
    ) -> np.ndarray:
        mean_s, deviation_s, median_s, seconds_s = have
        mean_t, deviation_t, median_t, seconds_t = self._f0_of(target)
        if not (median_s and median_t):
            return values
        if min(seconds_s, seconds_t) < MIN_VOICED_SECONDS or deviation_s <= 0:
            return values + (median_t - median_s)
        if self.prosody is not None and len(contour) * self.hop >= self.sample_rate:
            return self._by_prosody(contour, mean_s, mean_t, source, target)
        ratio = float(np.clip(deviation_t / deviation_s, MIN_RATIO, MAX_RATIO))
        return (values - mean_s) * ratio + mean_t

    def _by_prosody(
        self, contour: np.ndarray, mean_s: float, mean_t: float, source: int | np.ndarray, target: int | np.ndarray
    ) -> np.ndarray:
        """Convert the wavelet coefficients of the movement about the mean; what the scales leave out stays unchanged."""
        from ..signal.pitch import decompose, recompose

        assert self.prosody is not None
        from_, to = self._weights(source), self._weights(target)
        mean, deviation = self.prosody_mean, np.maximum(self.prosody_deviation, _MIN_DEVIATION)
        voiced, hop_seconds = contour > 0, self.hop / self.sample_rate
        movement, scales = decompose(contour, hop_seconds, self.prosody_mean.shape[1], mean_s)
        spare = -len(contour) % 4  # the network halves its rate twice
        given = np.concatenate([scales, np.repeat(scales[-1:], spare, axis=0)])
        inputs = {
            "contour": ((given - from_ @ mean) / (from_ @ deviation)).astype(np.float32)[None],
            "source": from_[None].astype(np.float32),
            "target": to[None].astype(np.float32),
        }
        made = np.asarray(self.prosody(inputs, training=False))[0, : len(contour)] * (to @ deviation) + to @ mean
        moved = movement + recompose(made.astype(np.float64)) - recompose(scales)
        return moved[voiced] + mean_t

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: the spectrum conversion, and the mel spectrogram where that is its input."""
        c, step = self.convention, self.stride_frames
        mel = Port("mel", (1, "frames", c.bands), c.describe())
        codes = tuple(
            Port(name, (1, len(self.domains)), "weights of the domains, such as 1 for one of them") for name in ("source", "target")
        )

        def example(rng: Any, call: int) -> dict[str, np.ndarray]:
            frames = self.chunk_frames or 33 + 5 * call
            count = len(self.domains)
            picked = [np.eye(count, dtype=np.float32)[[(call + i) % count]] for i in range(2)]
            return {"mel": self.mel_mean.mean() + noise_like(rng, (1, frames, c.bands)), "source": picked[0], "target": picked[1]}

        network = ExportedNetwork(
            "converter", lambda *given: (self.convert(*given),), (mel, *codes), (Port("converted", mel.shape, c.describe()),), example
        )
        facts = {
            "kind": "voice converter",
            "sample_rate": self.sample_rate,
            "mel": c.to_dict(),
            "features": self.features,
            "labels": {"domain": self.domains},
            "receptive_frames": self.receptive_frames,
            "chunk_frames": self.chunk_frames,
            "stride_frames": step,
            "f0": {name: _listed(getattr(self, name)) for name in ("f0_mean", "f0_deviation", "f0_median")},
            "consent": self.consent,
        }
        return ExportPlan((*([mel_network(c)] if self.features == "mel" else []), network), "convert", facts)

    def get_config(self):
        arrays = ["mel_mean", "mel_deviation", "f0_mean", "f0_deviation", "f0_median", "f0_seconds", "active_level"]
        arrays += ["prosody_mean", "prosody_deviation"]
        plain = ("domains", "features", "vocoder", "receptive_frames", "chunk_frames", "stride_frames", "emphasis", "consent", "provenance")
        networks = ("network", "classifier", "prosody")
        serialize = lambda part: None if part is None else keras.saving.serialize_keras_object(part)
        return {
            **super().get_config(),
            **{name: serialize(getattr(self, name)) for name in networks},
            **{name: _listed(getattr(self, name)) for name in arrays},
            **{name: getattr(self, name) for name in plain},
            "convention": self.convention.to_dict(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("network", "classifier", "prosody"):
            if config[key] is not None:
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    made = np.asarray([np.inf if v is None else v for v in values] if len(shape) == 1 else values, np.float32)
    if made.shape != shape:
        raise ValueError(f"statistics of the shape {made.shape}; expected {shape}")
    return made


def _listed(values: np.ndarray) -> list:
    """Return values for JSON, which has no infinity."""
    return [None if v == np.inf else float(v) for v in values] if values.ndim == 1 else values.tolist()
