"""The waveform side of text-to-speech: segments of sound made from the decoder's hidden frames, compared with the recordings and scored
by discriminators of sound, trained together with the acoustic model. As in JETS (Lim et al. 2022), with a source-filter end in place of
HiFi-GAN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import keras
import tensorflow as tf

from ...data.speech_window import EDGE
from ...layers import discriminators
from ...layers.source_filter import SourceFilter
from ...losses import spectral
from ...losses.adversarial import AdversarialLoss
from ...signal.mel_convention import MelConvention
from ...signal.mel_front_end import mel_spectrogram
from ..base import Batch
from .networks import build_filters
from .schema import TtsLosses, TtsModel

SOUND_KINDS = ("mpd", "mrd")  # of `model.discriminators`: those that hear the waveform


class Waveform:
    """Hidden frames of the decoder to sound.

    Args:
        m: The recipe's `[model]`.
        convention: Of its mel spectra, resolved.
        frames: Frames of a training window.
        seeds: Of the first weights.

    Attributes:
        network: hidden float [batch, frames, channels], condition -> filters; see `layers.source_filter.SourceFilter`.
        head: That layer.
        critic: audio [batch, samples, 1] -> {kind: (logits, features)}; None: no discriminator hears the sound.
    """

    def __init__(self, m: TtsModel, convention: MelConvention, frames: int, seeds: Iterator[int]):
        self.model, self.convention, self.frames = m, replace(convention, high_hz=convention.sample_rate / 2), frames
        self.head = self.build_head((1.0, 1.0))
        self.network = build_filters(m, seeds)
        self.segment = min(m.segment_frames, frames)
        kinds = {}
        if "mpd" in m.discriminators:
            kinds["mpd"] = discriminators.multi_period(m.mpd.periods, m.mpd.channels, seed=next(seeds))
        if "mrd" in m.discriminators:
            kinds["mrd"] = discriminators.multi_resolution(m.mrd.resolutions, m.mrd.channels, m.mrd.band_edges, seed=next(seeds))
        self.critic: keras.Model | None = discriminators.join(kinds) if kinds else None

    def build_head(self, emphasis: Sequence[float]) -> SourceFilter:
        """Build the layer that turns filters into sound."""
        m, c = self.model, self.convention
        return SourceFilter(c.hop, m.filter_fft, m.filter_steps, c.sample_rate, emphasis, dtype="float32", name="source_filter")

    def segments(self, batch: Batch, hidden: tf.Tensor, condition: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "sound" and "recording" float32 [batch, segment samples, 1] of a part of each window.

        Place and noise of a clip are drawn from `clip_seeds`.
        """
        hop, size = self.convention.hop, self.segment
        edge = min(EDGE, self.frames // 8, (self.frames - size) // 2)

        def drawn(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = tf.random.stateless_uniform([], seed, edge, self.frames - size - edge + 1, tf.int32)
            return start, tf.random.stateless_normal([size * hop], seed)

        signature = (tf.TensorSpec([], tf.int32), tf.TensorSpec([size * hop], tf.float32))
        start, noise = tf.map_fn(drawn, clip_seeds(batch["mel"]), fn_output_signature=signature)
        cut = lambda x, at, length: tf.gather(x, at[:, None] + tf.range(length), axis=1, batch_dims=1)
        filters = self.network([cut(hidden, start, size), condition], training=True)
        # A window that ends in silence has no F0 there: SourceFilter holds the lowest one, and the filter shuts it out.
        sound = self.head(filters, cut(batch["f0"], start, size), noise)
        return {"sound": sound, "recording": cut(batch["audio"], start * hop, size * hop)[..., None]}

    def distances(self, made: Mapping[str, tf.Tensor], weights: TtsLosses) -> dict[str, tf.Tensor]:
        """Return the weighted distances of sound and recording."""
        of = lambda audio: mel_spectrogram(audio, self.convention, soft=True)
        convergence, magnitude = spectral.multi_resolution_stft(made["sound"], made["recording"], weights.sound_resolutions)
        return {
            "sound_mel": weights.sound_mel * spectral.l1(of(made["sound"]), of(made["recording"])),
            "sound_magnitude": weights.sound_magnitude * magnitude,
            "sound_convergence": weights.sound_convergence * convergence,
        }

    def critic_losses(self, made: Mapping[str, tf.Tensor], loss: AdversarialLoss) -> dict[str, tf.Tensor]:
        """Return the losses of the discriminators of sound."""
        assert self.critic is not None
        clips = tf.shape(made["sound"])[0]
        judged = self.critic(tf.concat([made["recording"], tf.stop_gradient(made["sound"])], axis=0), training=True)
        mean = lambda logits: tf.add_n([loss.critic(one[:clips], one[clips:]) for one in logits]) / len(logits)
        return {f"adversarial_{kind}": getattr(self.model, kind).weight * mean(logits) for kind, (logits, _) in judged.items()}

    def generator_losses(self, made: Mapping[str, tf.Tensor], loss: AdversarialLoss, weights: TtsLosses) -> dict[str, tf.Tensor]:
        """Return the losses against the discriminators of sound: adversarial, and L1 of their feature maps."""
        assert self.critic is not None
        fake, real = self.critic(made["sound"], training=True), self.critic(made["recording"], training=True)
        losses = {}
        for kind, (logits, maps) in fake.items():
            weight = getattr(self.model, kind).weight / len(logits)
            losses[f"adversarial_{kind}"] = weights.sound_adversarial * weight * tf.add_n([loss.generator(one) for one in logits])
            matched = spectral.feature_matching(maps, real[kind][1])
            losses[f"feature_matching_{kind}"] = weights.sound_feature_matching * weight * matched
        return losses


def clip_seeds(mel: tf.Tensor) -> tf.Tensor:
    """Return seeds for what is drawn for clips, int32 [batch, 2], from their own mel spectra: phases that share a pass, a resumed run and
    any number of devices draw the same."""
    return tf.reduce_sum(tf.bitcast(mel[:, ::8, :2], tf.int32), axis=1)
