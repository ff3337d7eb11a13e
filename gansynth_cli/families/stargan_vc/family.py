"""StarGAN-VC: one generator converts between any number of speakers and emotions, learnt from recordings that say different things.

The masked one-dimensional StarGAN-VC2: filling in frames (Kaneko et al. 2021), norms by the codes of source and target and a critic that
projects both (Kaneko et al. 2019), the body of StarGAN-VC (Kameoka et al. 2018). To these come, as the recipe says, a classifier of
domains (StarGAN-VC), an adversarial classifier of the source (StarGANv2-VC, Li et al. 2021), and a second game on wavelet scales of ln F0
(Zhou et al. 2020, who train prosody apart: MCD 8.71 against 10.23 jointly).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError, RecipeError
from ...layers.seeds import layer_seeds
from ...recipe_schema import Recipe
from ...signal.pitch import decompose
from ..adversarial import batch_size
from ..base import Batch, Draws, Losses, Phase
from ..conversion import ConversionFamily
from . import networks as stargan_networks
from .schema import StarGANLosses, StarGANModel

if TYPE_CHECKING:
    from ...data.source import Source


class StarGANVC(ConversionFamily):
    """The game on spectra, and with `model.prosody = "cwt"` a second one on contours.

    Networks:
        generator, critic: see `stargan_networks`.
        classifier: real spectra -> domain. It is shipped, for `convert --from auto`.
        source: conversions -> the domain they came from; there where `losses.source_classifier` is set.
        prosody, prosody_critic: there where `model.prosody` is "cwt".

    Phases: critic, classifier, source, generator (three in turn, "generator", "generator_2", "generator_3", where `losses.identity_stop`
    and `losses.source_start` change what it learns from), prosody_critic, prosody.
    """

    averaged: tuple[str, ...] = ("generator", "classifier", "prosody")
    model: StarGANModel
    weights: StarGANLosses

    def __init__(self, recipe: Recipe, info: DatasetInfo, seed: int | None = None):
        assert isinstance(recipe.model, StarGANModel)
        assert isinstance(recipe.losses, StarGANLosses)
        super().__init__(recipe, info)
        if self.model.norm_frames % 4:
            raise RecipeError(
                f"model.norm_frames is {self.model.norm_frames}; expected a multiple of 4.", hint="--set model.norm_frames=128"
            )
        least, most = self.weights.floor_db
        if not 0 <= least <= most:
            raise RecipeError(
                f"losses.floor_db is [{least:g}, {most:g}]; expected two decibels from 0 on, the smaller first.",
                hint="--set 'losses.floor_db=[25, 70]', or [0, 0] for none",
            )
        seeds, n, m = layer_seeds(recipe.seed if seed is None else seed), len(self.domains), self.model
        self.networks: dict[str, keras.Model] = {
            "generator": stargan_networks.generator(m, n, seeds),
            "critic": stargan_networks.critic(m, n, seeds),
            "classifier": stargan_networks.classifier(m, n, seeds, "classifier"),
        }
        if self.weights.source_classifier:
            self.networks["source"] = stargan_networks.classifier(m, n, seeds, "source")
        if m.prosody == "cwt":
            self.networks["prosody"] = stargan_networks.prosody_generator(m, n, seeds)
            self.networks["prosody_critic"] = stargan_networks.prosody_critic(m, n, seeds)
        self.averaged = tuple(name for name in type(self).averaged if name in self.networks)
        self.prosody_mean = np.zeros((n, m.prosody_scales), np.float32)
        self.prosody_deviation = np.ones((n, m.prosody_scales), np.float32)

    # The game.

    def phases(self) -> tuple[Phase, ...]:
        w, repeats = self.weights, self.recipe.adversarial.critic_repeats
        phases = [
            Phase("critic", ("critic",), self.critic_losses, "critic", repeats=repeats),
            Phase("classifier", ("classifier",), self.classifier_losses, "classifier"),
        ]
        if w.source_classifier:
            phases.append(Phase("source", ("source",), self.source_losses, "source", start=w.source_start))
        edges = sorted({0, *([w.identity_stop] if w.identity_stop else []), *([w.source_start] if w.source_classifier else [])})
        for number, first in enumerate(edges):
            late = bool(w.identity_stop) and first >= w.identity_stop
            betray = bool(w.source_classifier) and first >= w.source_start
            losses = lambda batch, draws, late=late, betray=betray: self.generator_losses(batch, draws, late, betray)
            stop = edges[number + 1] if number + 1 < len(edges) else None
            name = "generator" if number == 0 else f"generator_{number + 1}"
            phases.append(Phase(name, ("generator",), losses, "generator", start=first, stop=stop))
        if self.model.prosody == "cwt":
            phases.append(Phase("prosody_critic", ("prosody_critic",), self.prosody_critic_losses, "prosody_critic"))
            phases.append(Phase("prosody", ("prosody",), self.prosody_losses, "prosody"))
        return tuple(phases)

    def generate(self, x: tf.Tensor, mask: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Standardised spectra, what the mask hides taken out, in the target domain; codes float32 [batch, domains]."""
        inputs = {"mel": x * mask, "mask": mask, "source": source, "target": target}
        return tf.cast(self.networks["generator"](inputs, training=True), tf.float32)

    def discriminate(self, x: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Logits of spectra that are, or are to be, of the target domain, and came from the source."""
        return self.networks["critic"]({"mel": x, "source": source, "target": target}, training=True)

    def other_domain(self, draws: Draws, name: str, label: tf.Tensor) -> tf.Tensor:
        """int32 [batch]: any domain but the label's, drawn for each clip."""
        count = len(self.domains)
        return (label + draws.integers(name, (batch_size(label),), 1, count)) % count

    def converted(self, batch: Batch, draws: Draws) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """(standardised spectra, their mask, source, target) of a batch; the same draws in the phase at hand."""
        x, label = self.standardised(batch)
        return x, self.span_mask(draws, "mask", x), label, self.other_domain(draws, "target", label)

    def critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Real clips of a domain, said to come from any other, against conversions into a domain (StarGAN-VC2, eq. 6)."""
        x, mask, label, target_label = self.converted(batch, draws)
        source, target = self.code(label), self.code(target_label)
        fake = tf.stop_gradient(self.generate(x, mask, source, target))
        other = self.code(self.other_domain(draws, "other", label))
        seen = tf.concat([self.seen(x, batch, label, draws, "real_floor"), self.seen(fake, batch, target_label, draws, "fake_floor")], 0)
        logits = self.discriminate(seen, tf.concat([other, source], 0), tf.concat([source, target], 0))
        real, made = tf.split(logits, 2, axis=0)
        return {"adversarial": self.loss.critic(real, made)}

    def classifier_losses(self, batch: Batch, draws: Draws) -> Losses:
        """The domain of real clips, of any level within 6 dB: how loud a recording is does not say who speaks."""
        label = batch["label"]
        unit = 1.0 if self.convention.log == "ln" else float(1.0 / np.log(10.0))
        level = draws.uniform("level", (batch_size(label), 1, 1), -0.7, 0.7) * (unit * self.convention.exponent)
        spectrum = self.above_floor(batch["spectrum"] + level, batch, draws, "floor")
        logits = self.networks["classifier"](self.commonly(spectrum), training=True)
        return {"cross_entropy": _cross_entropy(logits, label)}

    def source_losses(self, batch: Batch, draws: Draws) -> Losses:
        """Where conversions came from (StarGANv2-VC, section 2.3)."""
        x, mask, label, target = self.converted(batch, draws)
        fake = tf.stop_gradient(self.generate(x, mask, self.code(label), self.code(target)))
        seen = self.seen(fake, batch, target, draws, "floor")
        return {"cross_entropy": _cross_entropy(self.networks["source"](seen, training=True), label)}

    def generator_losses(self, batch: Batch, draws: Draws, late: bool = False, betray: bool = False) -> Losses:
        """Adversarial, cycle, identity and what the classifiers say. Conversion and identity are one call, and the way back another."""
        x, mask, label, target = self.converted(batch, draws)
        w, source, to = self.weights, self.code(label), self.code(target)
        ones, identity = tf.ones_like(mask), self.identity_weight(late)
        if identity:
            double = lambda a, b: tf.concat([a, b], 0)
            made = self.generate(double(x, x), double(mask, ones), double(source, source), double(to, source))
            fake, same = tf.split(made, 2, axis=0)
        else:
            fake, same = self.generate(x, mask, source, to), x
        logits = self.discriminate(self.seen(fake, batch, target, draws, "floor"), source, to)
        losses = {"adversarial": w.adversarial * self.loss.generator(logits)}
        if w.cycle:
            losses["cycle"] = w.cycle * tf.reduce_mean(tf.abs(self.generate(fake, ones, to, source) - x))
        if identity:
            losses["identity"] = identity * tf.reduce_mean(tf.abs(same - x))
        if w.classification:
            spectrum = self.above_floor(self.spectrum_of(fake, target), batch, draws, "classifier_floor")
            logits = self.networks["classifier"](self.commonly(spectrum), training=False)
            losses["classification"] = w.classification * _cross_entropy(logits, target)
        if betray:
            logits = self.networks["source"](self.seen(fake, batch, target, draws, "source_floor"), training=False)
            losses["source"] = w.source_classifier * _cross_entropy(logits, target)
        return losses

    def spectrum_of(self, x: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Spectra of what is standardised with the statistics of the domains `label`, int32 [batch]."""
        return x * tf.gather(self.deviation, label)[:, None] + tf.gather(self.mean, label)[:, None]

    def seen(self, x: tf.Tensor, batch: Batch, label: tf.Tensor, draws: Draws, name: str) -> tf.Tensor:
        """What critic and source classifier see of standardised spectra: themselves, or where `losses.floor_db` is set what is above a
        floor, standardised with what all domains have in common."""
        if not any(self.weights.floor_db):
            return x
        return self.commonly(self.above_floor(self.spectrum_of(x, label), batch, draws, name))

    def above_floor(self, spectrum: tf.Tensor, batch: Batch, draws: Draws, name: str) -> tf.Tensor:
        """Noise added whose power in every band is U(`losses.floor_db`) dB below the loudest of the recording.

        Without it the networks tell domains, and conversions, by what is quiet: the noise of a room, the gaps between words. A listener,
        or a classifier that has heard noise, does not. The loudest of a conversion would not do: a peak would raise the floor over all
        that is wrong with it.
        """
        if not any(self.weights.floor_db):
            return spectrum
        c, (least, most) = self.convention, self.weights.floor_db
        unit = (1.0 if c.log == "ln" else float(np.log(10.0))) / c.exponent  # to the natural logarithm of magnitudes
        nepers = spectrum * unit
        below = draws.uniform(name, (batch_size(spectrum), 1, 1), least, most) * float(np.log(10.0) / 20.0)
        floor = tf.reduce_max(batch["spectrum"], axis=(1, 2), keepdims=True) * unit - below
        return 0.5 / unit * (2.0 * floor + tf.nn.softplus(2.0 * (nepers - floor)))

    def commonly(self, spectrum: tf.Tensor) -> tf.Tensor:
        """Spectra standardised with the mean over domains, as `VoiceConverter.detect` does."""
        return (spectrum - self.mean.mean(axis=0)) / self.deviation.mean(axis=0)

    # Prosody.

    def begin(self, source: Source) -> None:
        """The previews' clips; with a prosody game the contours of the train split too, which stay in memory (10 numbers a frame)."""
        super().begin(source)
        if self.model.prosody == "cwt":
            hop_seconds = self.convention.hop / self.convention.sample_rate
            contours = ((clip.ln_f0, clip.label) for clip in source.frame_clips("train"))
            self.set_contours(contours, hop_seconds)

    def set_contours(self, contours: Iterator[tuple[np.ndarray, str]], hop_seconds: float) -> None:
        """Decomposes contours (ln F0 [frames], domain) and keeps them, one after another, standardised by domain.

        Raises:
            DatasetError: A domain has less than a second of contour.
        """
        m = self.model
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.domains}
        for ln_f0, label in contours:
            number = self.domains.index(label)
            if np.count_nonzero(ln_f0) * hop_seconds >= 0.1:
                parts[label].append(decompose(ln_f0, hop_seconds, m.prosody_scales, self.f0[number]["mean"])[1])
        short = [name for name, found in parts.items() if sum(map(len, found)) * hop_seconds < 1.0]
        if short:
            raise DatasetError(
                f"model.prosody is 'cwt', but {', '.join(short)} has less than a second of voiced speech.",
                hint="--set model.prosody=statistics, or more recordings",
            )
        joined = [np.concatenate(parts[name]) for name in self.domains]
        self.prosody_mean = np.array([one.mean(axis=0) for one in joined], np.float32)
        self.prosody_deviation = np.maximum(np.array([one.std(axis=0) for one in joined], np.float32), 1e-4)
        flat = np.concatenate([(one - a) / b for one, a, b in zip(joined, self.prosody_mean, self.prosody_deviation, strict=True)])
        self._contours = tf.constant(flat, tf.float32)
        self._lengths = tf.constant([len(one) for one in joined], tf.int32)
        self._starts = tf.constant(np.cumsum([0, *map(len, joined[:-1])]), tf.int32)

    def contour_batch(self, clips: int | tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        """(float32 [batch, prosody_frames, scales], domains int32 [batch]): pieces from anywhere; sentences follow each other."""
        frames = self.model.prosody_frames
        label = draws.integers("domain", (clips,), 0, len(self.domains))
        length = tf.gather(self._lengths, label)
        spare = tf.maximum(length - frames + 1, 1)
        start = tf.minimum(tf.cast(draws.uniform("start", (clips,)) * tf.cast(spare, tf.float32), tf.int32), spare - 1)
        index = (start[:, None] + tf.range(frames)[None]) % length[:, None] + tf.gather(self._starts, label)[:, None]
        return tf.gather(self._contours, index), label

    def convert_contour(self, x: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return self.networks["prosody"]({"contour": x, "source": source, "target": target}, training=True)

    def discriminate_contour(self, x: tf.Tensor, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return self.networks["prosody_critic"]({"contour": x, "source": source, "target": target}, training=True)

    def prosody_critic_losses(self, batch: Batch, draws: Draws) -> Losses:
        x, label = self.contour_batch(batch_size(batch["label"]), draws)
        source, target = self.code(label), self.code(self.other_domain(draws, "target", label))
        fake = tf.stop_gradient(self.convert_contour(x, source, target))
        other = self.code(self.other_domain(draws, "other", label))
        logits = self.discriminate_contour(tf.concat([x, fake], 0), tf.concat([other, source], 0), tf.concat([source, target], 0))
        real, made = tf.split(logits, 2, axis=0)
        return {"adversarial": self.loss.critic(real, made)}

    def prosody_losses(self, batch: Batch, draws: Draws) -> Losses:
        x, label = self.contour_batch(batch_size(batch["label"]), draws)
        w, source, target = self.weights, self.code(label), self.code(self.other_domain(draws, "target", label))
        fake, same = tf.split(self.convert_contour(tf.concat([x, x], 0), tf.concat([source] * 2, 0), tf.concat([target, source], 0)), 2)
        losses = {"adversarial": self.loss.generator(self.discriminate_contour(fake, source, target))}
        losses["cycle"] = w.prosody_cycle * tf.reduce_mean(tf.abs(self.convert_contour(fake, target, source) - x))
        losses["identity"] = w.prosody_identity * tf.reduce_mean(tf.abs(same - x))
        return losses

    # The shipped model.

    def conversion_network(self, networks: Mapping[str, keras.Model]) -> keras.Model:
        return networks["generator"]

    def converter_options(self, networks: Mapping[str, keras.Model]) -> dict[str, Any]:
        m = self.model
        whole = m.norm == "instance" and not m.norm_frames
        options: dict[str, Any] = {
            "stride_frames": stargan_networks.STRIDE,
            # As many frames as the norms saw in training, twice: a crop often ends within a word.
            "chunk_frames": 2 * self.recipe.data.clip_samples // self.convention.hop if whole else 0,
            "receptive_frames": stargan_networks.receptive_frames(m),
            "classifier": networks["classifier"],
        }
        if m.prosody == "cwt":
            options |= {"prosody": networks["prosody"], "prosody_mean": self.prosody_mean, "prosody_deviation": self.prosody_deviation}
        return options


def _cross_entropy(logits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=tf.cast(logits, tf.float32)))


FAMILY = StarGANVC
