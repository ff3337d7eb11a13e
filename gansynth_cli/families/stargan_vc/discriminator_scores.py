"""The discriminator of a StarGAN-VC run as a scorer of recordings, for `evaluate voices --model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ...data.audio import audio_file
from ...data.frame_features import compute_frames
from ...errors import RunError
from ...signal.mel_frames import log_mel
from .family import StarGANVC

_MIN_SECONDS = 0.75  # shorter recordings are mirrored at their ends
_FRAMES = 16  # the discriminator takes a multiple of this many frames


def discriminator_of(family: Any) -> Callable[[np.ndarray, int, str, str], bool]:
    """Turn a family with trained weights into a scorer.

    Args:
        family: A `StarGANVC`.

    Returns:
        (audio [samples], sample rate, source, target) -> whether the discriminator classifies the recording as a real one of the
        target domain rather than as one converted from the source: its mean score over the recording lies above the middle of the
        two values that it is trained towards (LSGAN: 1 for real recordings and 0 for others; else logits around 0).

    Raises:
        RunError: A family without a discriminator of all domains.
    """
    if not isinstance(family, StarGANVC):
        raise RunError(
            f"The family {family.recipe.family} has no discriminator of all domains; expected a run of stargan_vc.",
            hint="leave out --model",
        )
    convention, domains = family.convention, family.domains
    middle = 0.5 if family.recipe.adversarial.loss == "lsgan" else 0.0

    def is_real(audio: np.ndarray, sample_rate: int, source: str, target: str) -> bool:
        audio = audio_file.resample(np.asarray(audio, np.float32), sample_rate, convention.sample_rate)
        audio = np.pad(audio, (0, max(0, round(_MIN_SECONDS * convention.sample_rate) - len(audio))), mode="symmetric")
        # Spectra without F0 where they suffice: no tracker need be installed then.
        mel = log_mel(audio, convention) if family.spec.kind == "mel" else compute_frames(audio, family.spec)[0]
        number = domains.index(target)
        x = ((mel - family.mean[number]) / family.deviation[number])[: len(mel) // _FRAMES * _FRAMES]
        codes = [tf.one_hot([domains.index(name)], len(domains)) for name in (source, target)]
        inputs = {"mel": tf.constant(x[None], tf.float32), "source": codes[0], "target": codes[1]}
        scores = family.networks["critic"](inputs, training=False)
        return float(tf.reduce_mean(tf.cast(scores, tf.float32))) > middle

    return is_real
