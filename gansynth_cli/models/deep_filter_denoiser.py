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
from ..signal import erb_front_end as front_end
from ..signal.erb_front_end import ComplexSpectrum, Features
from .deep_filter_settings import DeepFilterSettings

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


class _Part(keras.layers.Layer):
    """A part of the network. Its layers are attributes, whose names are the paths of their weights in a file."""

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

    def run_recurrent(self, x: tf.Tensor, layers: int) -> tf.Tensor:
        """[batch, frames, embedding] -> [batch, frames, hidden]."""
        x = self.linear_in(x)
        for index in range(layers):
            x = getattr(self, f"gru{index}")(x)
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

    def call(self, bands: tf.Tensor, bins: tf.Tensor) -> Encoded:
        e0 = self.erb_conv0(bands[..., None])
        e1 = self.erb_conv1(e0)
        e2 = self.erb_conv2(e1)
        e3 = self.erb_conv3(e2)
        c0 = self.df_conv0(bins)
        combined = _joined(e3) + self.df_fc_emb(_joined(self.df_conv1(c0)))
        embedding = self.linear_out(self.run_recurrent(combined, 1))
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

    def call(self, encoded: Encoded) -> tf.Tensor:
        s, (e0, e1, e2, e3) = self.settings, encoded.skips
        x = self.linear_out(self.run_recurrent(encoded.embedding, s.band_layers))
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

    def call(self, encoded: Encoded) -> tf.Tensor:
        s = self.settings
        x = self.run_recurrent(encoded.embedding, s.filter_layers) + self.df_skip(encoded.embedding)
        taps = self.df_out(x)
        batch, frames = tf.shape(taps)[0], tf.shape(taps)[1]
        return tf.reshape(taps, [batch, frames, s.filter_bins, 2 * s.filter_taps]) + self.df_convp(encoded.bins)


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
