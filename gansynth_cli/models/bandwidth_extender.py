"""The saved bandwidth extender: `model/generator.keras`, and the bundled `pretrained/bandwidth.keras`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ..signal import erb_front_end as front_end
from ..signal.band_extension import (
    FADE_BINS,
    FEATURE_FLOOR,
    KEPT_SHARE,
    MIN_MAGNITUDE,
    MIN_POWER,
    SMOOTH_BINS,
    TOP_SHARE,
    band_matrix,
    feature_scale,
)
from ..signal.stft import hann
from . import bandwidth_networks as networks
from .bandwidth_settings import BandwidthSettings
from .exported import ExportedNetwork, ExportPlan, Port
from .stored_weights import TableWeights


class Extension(NamedTuple):
    """A clip with a wider band.

    Attributes:
        audio: float32 [batch, samples], the input below the edge and the generated band above.
        log_levels: "envelope": natural logs of the generated bands' amplitudes, float32 [batch, frames, bands]; else None.
        log_magnitude, phase: "ap-bwe": the network's outputs; else None.
    """

    audio: tf.Tensor
    log_levels: tf.Tensor | None = None
    log_magnitude: tf.Tensor | None = None
    phase: tf.Tensor | None = None


@keras.saving.register_keras_serializable(package="gan_audio")
class BandwidthExtender(TableWeights, keras.Model):
    """Generates the band of a recording above an edge; see `BandwidthSettings.network`.

    The file holds the weights by name, so `inference.enhance.bandwidth` runs it in numpy.

    Args:
        settings: Sizes; plain numbers, as in a file, too.
        stored_as: "float32" or "float16", the precision of the weights in the file. Computation is float32.
        seed: Seed of the first weights.
        provenance: Free JSON: recipe, step, family, data fingerprint, version.
    """

    def __init__(
        self,
        settings: BandwidthSettings | Mapping[str, Any],
        stored_as: str = "float32",
        seed: int = 0,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = settings if isinstance(settings, BandwidthSettings) else BandwidthSettings.from_dict(settings)
        self.stored_as, self.seed, self.provenance = stored_as, int(seed), dict(provenance or {})
        rng = np.random.default_rng([self.seed, 0xB3E])
        self.table: dict[str, keras.Variable] = {}
        for name, shape in networks.weight_shapes(self.settings).items():
            constant = networks.first_value(name, self.settings)
            drawn = rng.normal(0.0, networks.deviation(name, shape), shape) if constant is None else np.full(shape, constant)
            self.table[name] = self._variable(name, drawn.astype(np.float32))
        self.built = True  # its weights exist: it can be saved without a call

    def _variable(self, name: str, first: np.ndarray) -> keras.Variable:
        return self.add_weight(
            name=name.replace("/", "_"), shape=first.shape, initializer=lambda shape, dtype=None: first, trainable=True, dtype="float32"
        )

    @property
    def sample_rate(self) -> int:
        """Hz of the full band."""
        return self.settings.sample_rate

    def extend(
        self, audio: tf.Tensor, edge_hz: tf.Tensor, level_db: tf.Tensor, reach_hz: tf.Tensor | None = None, sample_rate: int | None = None
    ) -> Extension:
        """Extend clips.

        Args:
            audio: float32 [batch, samples].
            edge_hz: float32 [batch]: the highest frequency inside the band; from half the rate on nothing is added.
            level_db: float32 [batch]: level of the recording, dB of its mean square while active.
            reach_hz: float32 [batch]: nothing is generated above; None: half the sample rate.
            sample_rate: Hz; None: the model's.
        """
        rate = sample_rate or self.sample_rate
        if self.settings.network == "ap-bwe":
            return self._ap(audio, edge_hz, rate)
        layout = self.settings.layout(rate)
        if layout is None:
            raise ValueError(f"{rate} Hz has no whole frames of 20 ms; resample to {self.sample_rate} Hz")
        step = self.sample_rate / self.settings.frame
        spectrum, bent = front_end.analyse(audio, layout), front_end.analyse(tf.abs(audio), layout)
        cut = cut_bin(edge_hz / step)
        weight = crossover(cut, layout.bins)
        if reach_hz is not None:
            weight *= tf.cast(tf.range(layout.bins, dtype=tf.float32) <= (reach_hz / step)[:, None], tf.float32)
        power = tf.square(spectrum.real) + tf.square(spectrum.imaginary)
        top = _top_level(power, cut)
        features = self._features(power, top, cut, level_db)
        log_levels = networks.levels(TensorOperations(self.table), features, self.settings) + 0.5 * tf.math.log(top + MIN_POWER)[..., None]
        envelope = tf.exp(tf.matmul(log_levels, self.settings.spread[:, : layout.bins]))
        gain = envelope * tf.math.rsqrt(_smoothed(tf.square(bent.real) + tf.square(bent.imaginary)) + MIN_MAGNITUDE**2)
        weight = weight[:, None]
        added = front_end.ComplexSpectrum(
            weight * (gain * bent.real - spectrum.real), weight * (gain * bent.imaginary - spectrum.imaginary)
        )
        return Extension(audio + front_end.synthesise(added, layout, audio.shape[1]), log_levels)

    def _features(self, power: tf.Tensor, top: tf.Tensor, cut: tf.Tensor, level_db: tf.Tensor) -> tf.Tensor:
        s, bins = self.settings, power.shape[-1]
        matrix, ends = band_matrix(s.input_widths, bins)
        known = tf.cast(tf.constant(ends, tf.float32) <= cut[:, None], tf.float32)[:, None]
        to_level = lambda x: feature_scale(10.0 * tf.math.log(x + MIN_POWER) / float(np.log(10.0)) - level_db[:, None, None], tf)
        levels = to_level(tf.matmul(power, matrix))
        features = tf.concat(
            [known * levels + (1 - known) * FEATURE_FLOOR, known + tf.zeros_like(levels), to_level(top[..., None])], axis=-1
        )
        silence = tf.concat([tf.fill(tf.shape(known), FEATURE_FLOOR), known, tf.fill(tf.shape(known[..., :1]), FEATURE_FLOOR)], axis=-1)
        around = tf.repeat(silence, s.halo, axis=1)
        return tf.concat([around, features, around], axis=1)

    # AP-BWE.

    def _ap(self, audio: tf.Tensor, edge_hz: tf.Tensor, rate: int) -> Extension:
        s = self.settings
        if rate != s.sample_rate:
            raise ValueError(f"{rate} Hz: this network works at {s.sample_rate} Hz only")
        spectrum = ap_spectrum(audio, s)
        log_magnitude, phase = self.spectra(spectrum)
        made = tf.complex(tf.exp(log_magnitude) * tf.cos(phase), tf.exp(log_magnitude) * tf.sin(phase))
        weight = crossover(cut_bin(edge_hz * s.fft / s.sample_rate), s.fft // 2 + 1)[:, None]
        added = tf.cast(weight, tf.complex64) * (made - spectrum)
        return Extension(audio + ap_audio(added, s, audio.shape[1]), None, log_magnitude, phase)

    def spectra(self, spectrum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """complex64 [batch, frames, bins] -> log magnitudes and phases of that shape."""
        around = [[0, 0], [self.settings.halo, self.settings.halo], [0, 0]]
        magnitude = tf.math.log(tf.abs(tf.pad(spectrum, around)) + 1e-4)  # silence on either side
        phase = tf.pad(tf.math.angle(spectrum), around)
        return networks.magnitude_and_phase(TensorOperations(self.table), magnitude, phase, self.settings)

    # The file.

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: the network alone, on frames; transforms and excitation stay with the caller."""
        s, ops = self.settings, TensorOperations(self.table)
        facts: dict[str, Any] = {"kind": "bandwidth extender", "network": s.network, "sample_rate": s.sample_rate, "halo_frames": s.halo}
        shape = lambda size, frames="frames": (1, frames, size)
        inputs: tuple[Port, ...]
        outputs: tuple[Port, ...]
        function: Callable[..., tuple[tf.Tensor, ...]]
        if s.network == "envelope":
            inputs = (Port("features", shape(2 * s.input_bands + 1), "levels of the bands, which are known, level under the edge"),)
            outputs = (Port("levels", shape(len(s.output_starts) - 1, "frames - 2 halo"), "log amplitude over that under the edge"),)
            function = lambda features: (networks.levels(ops, features, s),)
            bands = {"input_widths": s.input_widths.tolist(), "output_starts": s.output_starts.tolist()}
            facts |= {"frame": s.frame, "hop": s.frame // 2, "window": "vorbis", **bands}
        else:
            ports = ("log_magnitude", "phase")
            inputs = tuple(Port(name, shape(s.fft // 2 + 1), "of the narrow recording") for name in ports)
            outputs = tuple(Port(f"made_{name}", shape(s.fft // 2 + 1, "frames - 2 halo"), "of all bins") for name in ports)
            function = lambda magnitude, phase: networks.magnitude_and_phase(ops, magnitude, phase, s)
            facts |= {"fft": s.fft, "frame": s.window, "hop": s.hop, "window": "hann"}

        def example(rng: np.random.Generator, call: int) -> dict[str, np.ndarray]:
            frames = 2 * s.halo + 5 + call
            return {port.name: rng.standard_normal((1, frames, int(port.shape[2]))).astype(np.float32) for port in inputs}

        return ExportPlan((ExportedNetwork("extender", function, inputs, outputs, example),), "", facts)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("stored_as", "seed", "provenance")}
        return {**super().get_config(), "settings": self.settings.to_dict(), **own}


def cut_bin(edge: tf.Tensor) -> tf.Tensor:
    """Return the last bin that stays as it is, for an edge in bins; see `signal.band_extension.cut_bin`."""
    return tf.floor(KEPT_SHARE * edge)


def crossover(cut: tf.Tensor, bins: int) -> tf.Tensor:
    """float32 [batch, bins]: 0 up to `cut`, 1 from four bins further on."""
    return tf.clip_by_value((tf.range(bins, dtype=tf.float32) - cut[:, None]) / FADE_BINS, 0.0, 1.0)


def _top_level(power: tf.Tensor, cut: tf.Tensor) -> tf.Tensor:
    """Mean power of the band just below the edge: [batch, frames]."""
    place = tf.range(power.shape[-1], dtype=tf.float32)
    inside = tf.cast((place >= TOP_SHARE * cut[:, None]) & (place <= cut[:, None]), tf.float32)
    return tf.einsum("btk,bk->bt", power, inside / tf.maximum(tf.reduce_sum(inside, axis=1, keepdims=True), 1.0))


def _smoothed(power: tf.Tensor) -> tf.Tensor:
    """Running mean over bins, as `signal.band_extension.smoothed`."""
    side, bins = SMOOTH_BINS // 2, power.shape[-1]
    padded = tf.pad(power, [[0, 0], [0, 0], [side, side]])
    counts = np.minimum(np.arange(bins), side) + np.minimum(np.arange(bins)[::-1], side) + 1
    return tf.add_n([padded[..., k : k + bins] for k in range(SMOOTH_BINS)]) / counts.astype(np.float32)


def ap_spectrum(audio: tf.Tensor, s: BandwidthSettings) -> tf.Tensor:
    """Compute AP-BWE's spectra, every `hop` samples under a Hann window in the middle of the transform: complex64 [batch, frames, bins].

    Frame t begins `window` - `hop` samples before sample t * hop, so that every sample lies in window / hop frames.
    """
    samples = audio.shape[1] if audio.shape[1] is not None else tf.shape(audio)[1]
    front = s.window - s.hop
    frames = -(-(front + samples) // s.hop)
    padded = tf.pad(audio, [[0, 0], [front, frames * s.hop + front - (front + samples)]])
    framed = tf.signal.frame(padded, s.window, s.hop) * hann(s.window)
    before = (s.fft - s.window) // 2
    return tf.signal.rfft(tf.pad(framed, [[0, 0], [0, 0], [before, s.fft - s.window - before]]))


def ap_audio(spectrum: tf.Tensor, s: BandwidthSettings, samples: int | tf.Tensor) -> tf.Tensor:
    """Invert `ap_spectrum` in the least-squares sense: float32 [batch, samples]."""
    before, front = (s.fft - s.window) // 2, s.window - s.hop
    window = hann(s.window)
    framed = tf.signal.irfft(spectrum, [s.fft])[..., before : before + s.window] * window
    total = float(np.square(window.reshape(-1, s.hop)).sum(axis=0).mean())
    return tf.signal.overlap_and_add(framed, s.hop)[:, front : front + samples] / total


class TensorOperations:
    """`bandwidth_networks.Operations` in TensorFlow, on the weights of one network by name."""

    def __init__(self, table: Mapping[str, keras.Variable]):
        self._weights = {name: variable.value for name, variable in table.items()}

    def dense(self, x, name):
        kernel = self._weights[f"{name}/kernel"]
        # One product of two matrices: with more axes TensorFlow takes its batched product, several times slower on a CPU.
        y = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel) + self._weights[f"{name}/bias"]
        return tf.reshape(y, [tf.shape(x)[0], tf.shape(x)[1], kernel.shape[1]])

    def convolution(self, x, name):
        return tf.nn.conv1d(x, self._weights[f"{name}/kernel"], 1, "VALID") + self._weights[f"{name}/bias"]

    def depthwise(self, x, name):
        kernel = self._weights[f"{name}/kernel"]
        taps, channels = kernel.shape
        frames = tf.shape(x)[1] - taps + 1
        # Sums of shifted frames: faster on a CPU than the grouped convolution and its gradient.
        y = tf.add_n([x[:, k : k + frames] * kernel[k] for k in range(taps)])
        return (
            tf.ensure_shape(y, [x.shape[0], None if x.shape[1] is None else x.shape[1] - taps + 1, channels])
            + self._weights[f"{name}/bias"]
        )

    def norm(self, x, name):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * (tf.math.rsqrt(variance + 1e-6) * self._weights[f"{name}/gain"]) + self._weights[f"{name}/bias"]

    def gelu(self, x):
        return tf.nn.gelu(x)

    def scale(self, x, name):
        return x * self._weights[name]

    def atan2(self, y, x):
        return tf.math.atan2(y, x)
