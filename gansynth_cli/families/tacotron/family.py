"""Tacotron 2 (Shen et al. 2018, "Natural TTS synthesis by conditioning WaveNet on mel spectrogram predictions"), trained by
teacher forcing on the mean square error of frames before and after a post-net and on a stop token."""

from __future__ import annotations

import keras
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...layers.seeds import layer_seeds
from ...losses.weighted import WeightedTerms
from ...models.tacotron_synthesiser import TacotronSynthesiser
from ...recipe_schema import Recipe
from ..base import Batch, Draws, Losses, Phase
from ..speech import SpeechFamily, masked_mean, tokens_inside
from .networks import build_decoder, build_encoder, build_postnet
from .schema import TacotronLosses, TacotronModel

_SEED_STREAM = 0x7AC0
_NETWORKS = ("encoder", "decoder", "postnet")
Made = dict[str, tf.Tensor]


def _mel(made: Made) -> tf.Tensor:
    return tf.add_n([masked_mean(tf.square(made[name] - made["target"]), made["frame_inside"]) for name in ("mel_before", "mel_after")])


def _stop(made: Made) -> tf.Tensor:
    """Of every frame, those behind the end too; an utterance that goes on behind the window has no end."""
    inside = made["frame_inside"]
    after = tf.pad(inside[:, 1:], [[0, 0], [0, 1]], constant_values=1.0)  # the last frame of the window is no end
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(1.0 - after * inside, made["stop"]))


TERMS: WeightedTerms[Made] = WeightedTerms(
    TacotronLosses,
    {
        "mel": _mel,
        "stop": _stop,
        "guided": lambda made: masked_mean(tf.reduce_sum(made["alignment"] * made["away"], axis=-1), made["frame_inside"]),
    },
)


class Tacotron(SpeechFamily):
    """Networks: encoder, decoder, postnet; one phase trains all of them.

    Args, raises: As for `SpeechFamily`.
    """

    averaged = _NETWORKS
    saved = TacotronSynthesiser
    model: TacotronModel

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        super().__init__(recipe, info)
        assert isinstance(recipe.losses, TacotronLosses)
        self.weights, m = recipe.losses, self.model
        seeds = layer_seeds(recipe.seed if seed is None else seed, _SEED_STREAM)
        sizes = len(self.facts["phones"]), len(self.speakers), len(self.languages), len(self.emotions)
        self.networks: dict[str, keras.Model] = {
            "encoder": build_encoder(m, *sizes, seeds),
            "decoder": build_decoder(m, seeds),
            "postnet": build_postnet(m, seeds),
        }

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("tacotron", _NETWORKS, self.losses, "tacotron"),)

    def losses(self, batch: Batch, draws: Draws) -> Losses:
        """Return the losses of teacher forcing: each frame is made from the true ones before it."""
        return TERMS(self.weights, self.generate(batch, draws))

    def generate(self, batch: Batch, draws: Draws) -> Made:
        """Return the batch with standardised spectra "mel_before", "mel_after" the post-net and "target", "stop" logits and "alignment"."""
        conditions = [batch["label"], batch["language"], batch["emotion"]]
        encoded = self.networks["encoder"]([tokens_inside(batch), *conditions], training=True)
        target = (batch["mel"] - self.mel_mean) / self.mel_deviation
        # Pre-net and recurrent dropout follow from the step; each device has its own, so that two do not repeat what one draws.
        seed = draws.shared_integers("dropout", (2,), 0, 2**31 - 1) + tf.stack([0, tf.cast(draws.replica, tf.int32)])
        seeds = tf.tile(seed[None], [tf.shape(target)[0], 1])
        made = self.networks["decoder"]([encoded["memory"], encoded["there"], target, seeds], training=True)
        return {
            **batch,
            "target": target,
            "mel_before": made["mel"],
            "mel_after": made["mel"] + self.networks["postnet"](made["mel"], training=True),
            "stop": made["stop"],
            "alignment": made["alignment"],
            "away": self._away(batch),
        }

    def _away(self, batch: Batch) -> tf.Tensor:
        """1 - exp(-d^2 / 2 width^2) of the distance d in tokens between each token and the aligner's of each frame."""
        places = tf.range(batch["tokens"].shape[1], dtype=tf.float32)
        distance = places - tf.cast(batch["frame_phone"], tf.float32)[..., None]
        return 1.0 - tf.exp(-0.5 * tf.square(distance / float(self.weights.guided_width)))


FAMILY = Tacotron
