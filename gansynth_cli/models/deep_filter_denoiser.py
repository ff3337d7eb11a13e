"""DeepFilterNet as a saved model: encoder, band decoder, filter decoder, and the transforms around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ..layers.deep_filter import (
    CausalConvolution,
    ChannelGain,
    FrameRecurrence,
    FrequencyConvolution,
    GroupedLinear,
    NamedWeights,
    deep_filter,
)
from ..signal import erb
from ..signal import erb_front_end as front_end
from ..signal.erb_front_end import ComplexSpectrum, Features
from .deep_filter_settings import DeepFilterSettings
from .exported import ExportPlan, Port, denoiser_plan

_register = keras.saving.register_keras_serializable(package="gan_audio")


class Encoded(NamedTuple):
    """Output of the encoder, input of the two decoders.

    Attributes:
        skips: four of float32 [batch, frames, bands / (1, 2, 4, 4), channels], from the first band convolution to the last.
        bins: float32 [batch, frames, filter bins, channels].
        embedding: float32 [batch, frames, embedding].
        snr_db: float32 [batch, frames, 1], -15 to 35 dB; None without `snr_head`.
    """

    skips: tuple[tf.Tensor, ...]
    bins: tf.Tensor
    embedding: tf.Tensor
    snr_db: tf.Tensor | None


class Gains(NamedTuple):
    """Output of the network at each frame; that of frame t belongs to frame t - lookahead.

    Attributes:
        mask: float32 [batch, frames, bands], 0 to 1.
        taps: float32 [batch, frames, filter bins, 2 filter_taps].
        snr_db: Same as in `Encoded`.
    """

    mask: tf.Tensor
    taps: tf.Tensor
    snr_db: tf.Tensor | None


class FrameMemory:
    """The past of a network that runs frame by frame: inputs of the causal convolutions and states of the recurrences.

    Args:
        before: Layer -> its past, "encoder/erb_conv0" ...; zeros before a recording.

    Attributes:
        after: The same after the frames that ran.
    """

    def __init__(self, before: Mapping[str, tf.Tensor]):
        self.before, self.after = before, dict[str, tf.Tensor]()

    def convolve(self, name: str, layer: CausalConvolution, x: tf.Tensor) -> tf.Tensor:
        """Run one frame, [batch, 1, bins, channels]."""
        window = tf.concat([self.before[name], x], axis=1)
        self.after[name] = window[:, 1:]
        return layer.last_frame(window)

    def recur(self, name: str, layer: FrameRecurrence, x: tf.Tensor) -> tf.Tensor:
        """Run one frame, [batch, 1, units]."""
        self.after[name] = layer.step(x[:, 0], self.before[name])
        return self.after[name][:, None]


class _Part(keras.layers.Layer):
    """A part of the network. Its layers are attributes, whose names are the paths of their weights in a file. With a `memory` it runs a
    single frame."""

    def __init__(self, settings: DeepFilterSettings, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.settings, self._next_seed = settings, seed * 1000

    def add(self, name: str, layer: Callable[..., NamedWeights], input_shape: tuple[int, ...], *args: Any, **kwargs: Any) -> None:
        """Set a built layer as the attribute `name`; `input_shape` without batch and frames."""
        self._next_seed += 2
        made = layer(*args, seed=self._next_seed, name=name, **kwargs)
        made.build((None, None, *input_shape))
        setattr(self, name, made)

    def add_recurrent(self, layers: int, embedding_groups: int) -> None:
        """Add `linear_in` from the embedding, then `gru0`, `gru1` ..."""
        s = self.settings
        self.add("linear_in", GroupedLinear, (s.embedding,), s.hidden, embedding_groups, "relu")
        for index in range(layers):
            self.add(f"gru{index}", FrameRecurrence, (s.hidden,), s.hidden)

    def convolve(self, layer: CausalConvolution, x: tf.Tensor, memory: FrameMemory | None) -> tf.Tensor:
        """Run a convolution over time."""
        return layer(x) if memory is None else memory.convolve(f"{self.name}/{layer.name}", layer, x)

    def run_recurrent(self, x: tf.Tensor, layers: int, memory: FrameMemory | None) -> tf.Tensor:
        """[batch, frames, embedding] -> [batch, frames, hidden]."""
        x = self.linear_in(x)
        for index in range(layers):
            layer = getattr(self, f"gru{index}")
            x = layer(x) if memory is None else memory.recur(f"{self.name}/{layer.name}", layer, x)
        return x


@_register
class DeepFilterEncoder(_Part):
    """From features to skip connections and an embedding of each frame."""

    def __init__(self, settings: DeepFilterSettings, seed: int, **kwargs: Any):
        super().__init__(settings, seed, **kwargs)
        s, c = settings, settings.channels
        self.add("erb_conv0", CausalConvolution, (s.bands, 1), c, (3, 3))
        self.add("erb_conv1", FrequencyConvolution, (s.bands, c), 2)
        self.add("erb_conv2", FrequencyConvolution, (s.bands // 2, c), 2)
        self.add("erb_conv3", FrequencyConvolution, (s.bands // 4, c), 1)
        self.add("df_conv0", CausalConvolution, (s.filter_bins, 2), c, (3, 3), groups=2, pointwise=True)
        self.add("df_conv1", FrequencyConvolution, (s.filter_bins, c), 2)
        self.add("df_fc_emb", GroupedLinear, (s.filter_bins // 2 * c,), s.embedding, s.embedding_groups, "relu")
        self.add_recurrent(1, s.groups)
        self.add("linear_out", GroupedLinear, (s.hidden,), s.embedding, s.groups, "relu")
        if s.snr_head:
            self.add("snr_head", SnrHead, (s.embedding,))

    def call(self, bands: tf.Tensor, bins: tf.Tensor, memory: FrameMemory | None = None) -> Encoded:
        e0 = self.convolve(self.erb_conv0, bands[..., None], memory)
        e1 = self.erb_conv1(e0)
        e2 = self.erb_conv2(e1)
        e3 = self.erb_conv3(e2)
        c0 = self.convolve(self.df_conv0, bins, memory)
        combined = _joined(e3) + self.df_fc_emb(_joined(self.df_conv1(c0)))
        embedding = self.linear_out(self.run_recurrent(combined, 1, memory))
        return Encoded((e0, e1, e2, e3), c0, embedding, self.snr_head(embedding) if self.settings.snr_head else None)


@_register
class BandDecoder(_Part):
    """From embedding and skip connections to a gain of each band."""

    def __init__(self, settings: DeepFilterSettings, seed: int, **kwargs: Any):
        super().__init__(settings, seed, **kwargs)
        s, c = settings, settings.channels
        self.add_recurrent(s.band_layers, s.groups)
        self.add("linear_out", GroupedLinear, (s.hidden,), s.embedding, s.groups, "relu")
        for index, divisor in enumerate((1, 2, 4, 4)):
            self.add(f"conv{index}p", ChannelGain, (s.bands // divisor, c))
        self.add("convt3", FrequencyConvolution, (s.bands // 4, c), 1)
        self.add("convt2", FrequencyConvolution, (s.bands // 4, c), 2, transposed=True)
        self.add("convt1", FrequencyConvolution, (s.bands // 2, c), 2, transposed=True)
        self.add("conv0_out", CausalConvolution, (s.bands, c), 1, (1, 3), activation="sigmoid")

    def call(self, encoded: Encoded, memory: FrameMemory | None = None) -> tf.Tensor:
        s, (e0, e1, e2, e3) = self.settings, encoded.skips
        x = self.linear_out(self.run_recurrent(encoded.embedding, s.band_layers, memory))
        batch, frames = tf.shape(x)[0], tf.shape(x)[1]
        x = tf.reshape(x, [batch, frames, s.bands // 4, s.channels])
        x = self.convt3(self.conv3p(e3) + x)
        x = self.convt2(self.conv2p(e2) + x)
        x = self.convt1(self.conv1p(e1) + x)
        return self.conv0_out(self.conv0p(e0) + x)[..., 0]


@_register
class FilterDecoder(_Part):
    """From embedding and the encoder's bins to the taps of each bin's filter."""

    def __init__(self, settings: DeepFilterSettings, seed: int, **kwargs: Any):
        super().__init__(settings, seed, **kwargs)
        s = settings
        self.add("df_convp", CausalConvolution, (s.filter_bins, s.channels), 2 * s.filter_taps, (5, 1), groups=2, pointwise=True)
        self.add_recurrent(s.filter_layers, s.filter_groups)
        self.add("df_skip", GroupedLinear, (s.embedding,), s.hidden, s.groups)
        self.add("df_out", GroupedLinear, (s.hidden,), s.filter_outputs, s.groups, "tanh")

    def call(self, encoded: Encoded, memory: FrameMemory | None = None) -> tf.Tensor:
        s = self.settings
        x = self.run_recurrent(encoded.embedding, s.filter_layers, memory) + self.df_skip(encoded.embedding)
        taps = self.df_out(x)
        batch, frames = tf.shape(taps)[0], tf.shape(taps)[1]
        return tf.reshape(taps, [batch, frames, s.filter_bins, 2 * s.filter_taps]) + self.convolve(self.df_convp, encoded.bins, memory)


@_register
class SnrHead(NamedWeights):
    """A linear unit through a sigmoid, scaled to -15 to 35 dB: the local signal-to-noise ratio. Nothing here learns from it, so it is
    not trainable; it stays what the published encoder was trained with."""

    LOW_DB, RANGE_DB = -15.0, 50.0

    def build(self, input_shape: Any) -> None:
        self.kernel = self.weight("kernel", (input_shape[-1], 1), self.uniform(input_shape[-1]))
        self.bias = self.weight("bias", (1,), "zeros")
        self.trainable = False
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(tf.matmul(x, self.kernel) + self.bias) * self.RANGE_DB + self.LOW_DB


@_register
class DeepFilterDenoiser(keras.Model):
    """A denoiser for speech that masks ERB bands and filters the lowest bins along time.

    Schroeter, Escalante-B., Rosenkranz and Maier 2023, "DeepFilterNet: Perceptually motivated real-time speech enhancement" (Interspeech
    show and tell), the third version of the network of Schroeter et al. 2022. Frame t of the network sees features of the frames up to t
    and belongs to frame t - lookahead; all bins of that frame are multiplied by the gain of their band, and the lowest `filter_bins`
    are replaced by a filter over `filter_taps` frames of the noisy spectrum.

    Args:
        settings: Sizes and feature constants; a `DeepFilterSettings` or its dict.
        stored_as: "float32" or "float16": the precision of the weights in a file. Computation is float32.
        seed: Seed of the initial weights.
        provenance: Free JSON: recipe name, step, family, data fingerprint, project version.

    Example:
        >>> model = DeepFilterDenoiser(DeepFilterSettings(channels=8, hidden=32))
        >>> model.enhance(tf.zeros([2, 3200]), sample_rate=16000).shape
        TensorShape([2, 3200])
    """

    def __init__(
        self,
        settings: DeepFilterSettings | Mapping[str, Any],
        stored_as: str = "float32",
        seed: int = 0,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = settings if isinstance(settings, DeepFilterSettings) else DeepFilterSettings.from_dict(settings)
        self.seed = int(seed)
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.encoder = DeepFilterEncoder(self.settings, 3 * self.seed, name="encoder")
        self.band_decoder = BandDecoder(self.settings, 3 * self.seed + 1, name="band_decoder")
        self.filter_decoder = FilterDecoder(self.settings, 3 * self.seed + 2, name="filter_decoder")
        for part in (self.encoder, self.band_decoder, self.filter_decoder):
            part.built = True
        self.stored_as = stored_as
        self.built = True  # its weights exist: it can be saved without having been called

    @property
    def sample_rate(self) -> int:
        """Hz of the full band; see `DeepFilterSettings.layout` for the other rates."""
        return self.settings.sample_rate

    def call(self, features: Features, training: bool = False) -> Gains:
        """Run the network alone: features of all frames -> gains of all frames."""
        encoded = self.encoder(*features)
        return Gains(self.band_decoder(encoded), self.filter_decoder(encoded), encoded.snr_db)

    def enhance(self, noisy: tf.Tensor, sample_rate: int | None = None, training: bool = False) -> tf.Tensor:
        """Denoise audio, aligned to the sample: float32 [batch, samples] -> the same shape. Differentiable.

        Args:
            noisy: Within -1 to 1.
            sample_rate: Hz; None is the network's own. Lower ones that have a layout of their own (16 kHz) are not resampled.

        Raises:
            ValueError: The rate would need resampling.
        """
        s = self.settings
        layout = s.layout(sample_rate or s.sample_rate)
        if layout is None:
            raise ValueError(f"{sample_rate} Hz has no whole frame of {s.frame / s.sample_rate} s; resample to {s.sample_rate} Hz")
        spectrum = front_end.analyse(noisy, layout, s.lookahead)
        gains = self(self.features(spectrum), training=training)
        samples = noisy.shape[1] if noisy.shape[1] is not None else tf.shape(noisy)[1]
        return front_end.synthesise(self.apply(spectrum, gains), layout, samples)

    def features(self, spectrum: ComplexSpectrum) -> Features:
        """Compute the network's inputs for spectra [batch, frames, bins] that begin with a recording's first frame."""
        s = self.settings
        return front_end.features(spectrum, s.band_widths, s.filter_bins, s.past)

    def apply(self, spectrum: ComplexSpectrum, gains: Gains) -> ComplexSpectrum:
        """Apply gains to noisy spectra, both of frames + lookahead frames -> clean spectra [batch, frames, bins]."""
        s = self.settings
        ahead, bins = s.lookahead, spectrum.real.shape[-1]
        frames = tf.shape(spectrum.real)[1] - ahead
        mask = front_end.spread_bands(gains.mask[:, ahead:], s.band_widths, bins)
        low = min(s.filter_bins, bins)
        before = [[0, 0], [s.filter_taps - 1 - ahead, 0], [0, 0]]
        real, imaginary = (tf.pad(part[..., :low], before) for part in spectrum)
        filtered = deep_filter(real, imaginary, gains.taps[:, ahead:, :low])
        masked = [part[:, :frames, low:] * mask[..., low:] for part in spectrum]
        return ComplexSpectrum(*(tf.concat(parts, axis=-1) for parts in zip(filtered, masked, strict=True)))

    def step(
        self, real: tf.Tensor, imaginary: tf.Tensor, floor: tf.Tensor, states: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Denoise one frame without a loop and without complex numbers, for runtimes of other programs.

        Args:
            real, imaginary: float32 [batch, bins], the transform of a frame under the Vorbis window, not scaled.
            floor: Scalar, share of the noisy audio that is mixed back in.
            states: As `step_states` names them, zeros before a recording.

        Returns:
            Parts of the clean spectrum of the frame `lookahead` frames before, and the next states.
        """
        s = self.settings
        x = [part / s.frame for part in (real, imaginary)]
        power = tf.square(x[0]) + tf.square(x[1])
        after: dict[str, tf.Tensor] = {}

        def mean(name: str, values: tf.Tensor, first: Any) -> tf.Tensor:
            # The state is relative to the first mean, so that every state begins at zero.
            after[name] = s.past * states[name] + (1.0 - s.past) * (values - first)
            return after[name] + first

        levels = front_end.band_levels(power, s.band_widths)
        bands = (levels - mean("levels", levels, erb.first_levels(s.bands))) / erb.LEVEL_SCALE_DB
        magnitudes = mean("magnitudes", tf.sqrt(power[:, : s.filter_bins]), erb.first_magnitudes(s.filter_bins))
        scale = tf.math.rsqrt(tf.maximum(magnitudes, 1e-12))
        bins = tf.stack([part[:, : s.filter_bins] * scale for part in x], axis=-1)

        memory = FrameMemory(states)
        encoded = self.encoder.call(bands[:, None], bins[:, None], memory)
        mask, taps = self.band_decoder.call(encoded, memory), self.filter_decoder.call(encoded, memory)
        history = [tf.concat([states[name], part[:, None]], axis=1) for name, part in zip(("past_real", "past_imaginary"), x, strict=True)]
        after |= {"past_real": history[0][:, 1:], "past_imaginary": history[1][:, 1:], **memory.after}
        noisy = [part[:, s.filter_taps - 1 - s.lookahead] for part in history]
        filtered = deep_filter(history[0][..., : s.filter_bins], history[1][..., : s.filter_bins], taps)
        gains = front_end.spread_bands(mask[:, 0], s.band_widths, s.bins)[:, s.filter_bins :]
        clean = [tf.concat([low[:, 0], part[:, s.filter_bins :] * gains], axis=-1) for low, part in zip(filtered, noisy, strict=True)]
        made = [(c + (n - c) * floor) * s.frame for c, n in zip(clean, noisy, strict=True)]
        return *made, {name: after[name] for name in self.step_states()}

    def step_states(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the states of `step` without the batch axis."""
        s = self.settings
        recurrent = {"encoder": 1, "band_decoder": s.band_layers, "filter_decoder": s.filter_layers}
        return {
            "levels": (s.bands,),
            "magnitudes": (s.filter_bins,),
            "past_real": (s.filter_taps - 1, s.bins),
            "past_imaginary": (s.filter_taps - 1, s.bins),
            "encoder/erb_conv0": (2, s.bands, 1),
            "encoder/df_conv0": (2, s.filter_bins, 2),
            "filter_decoder/df_convp": (4, s.filter_bins, s.channels),
            **{f"{part}/gru{index}": (s.hidden,) for part, count in recurrent.items() for index in range(count)},
        }

    def export_plan(self) -> ExportPlan:
        """Return what `gan-audio export` writes: one frame a call."""
        s, shapes = self.settings, self.step_states()

        def function(real: tf.Tensor, imaginary: tf.Tensor, floor: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
            *made, after = self.step(real, imaginary, floor, dict(zip(shapes, states, strict=True)))
            return *made, *after.values()

        states = tuple(Port(f"state{i}", (1, *shape), name) for i, (name, shape) in enumerate(shapes.items()))
        return denoiser_plan(function, states, s.sample_rate, s.frame, s.hop, "vorbis", s.lookahead)

    @property
    def stored_as(self) -> str:
        """Precision of the weights in a file."""
        return self._stored_as

    @stored_as.setter
    def stored_as(self, precision: str) -> None:
        if precision not in ("float32", "float16"):
            raise ValueError(f"stored_as {precision!r}: expected float32 or float16")
        self._stored_as = precision
        for layer in self.weight_layers().values():
            layer.stored_as = precision

    def weight_layers(self) -> dict[str, NamedWeights]:
        """Return the layers that hold weights, by path: "encoder/erb_conv0" ..."""
        parts = {name: getattr(self, name) for name in ("encoder", "band_decoder", "filter_decoder")}
        return {
            f"{name}/{layer.name}": layer
            for name, part in parts.items()
            for layer in part._flatten_layers(include_self=False, recursive=False)
            if isinstance(layer, NamedWeights)
        }

    def named_weights(self) -> dict[str, keras.Variable]:
        """Return all weights by path: "encoder/erb_conv0/kernel" ..."""
        return {f"{path}/{name}": weight for path, layer in self.weight_layers().items() for name, weight in layer.named.items()}

    def get_config(self) -> dict[str, Any]:
        own = {"settings": self.settings.to_dict(), "stored_as": self.stored_as, "seed": self.seed, "provenance": self.provenance}
        return {**super().get_config(), **own}


def _joined(x: tf.Tensor) -> tf.Tensor:
    """[batch, frames, bins, channels] -> [batch, frames, bins * channels], frequency major."""
    return tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], x.shape[2] * x.shape[3]])
