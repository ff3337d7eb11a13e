"""The discriminator of a training, restored to be asked: for `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
import tensorflow as tf

from ..errors import RunError
from ..families.registry import family_class
from ..families.stargan_vc.family import StarGANVC
from ..run_folder import RunFolder
from ..signal.mel_frames import log_mel
from .checkpoint import Checkpoints

_LEAST_SECONDS = 0.75
_FRAMES = 16  # what the critic is given is a multiple of so many


def conversion_critic(path: Path, warn: Callable[[str], None]) -> Callable[[np.ndarray, int, str, str], bool]:
    """The critic of a run that converts voices.

    Returns:
        (audio [samples], sample rate, source, target) -> whether the critic takes it for a real recording of the target domain rather than
        for one made from the source's: its mean over the recording lies above the middle of what the game asks of the two.

    Raises:
        RunError: No such run, one of another family, or without a checkpoint that can be read: the critic is nowhere else.
    """
    run = RunFolder.load(path)
    if run.recipe.family != "stargan_vc":
        raise RunError(f"{path} has no critic of all domains: its family is {run.recipe.family}.", hint="leave out --model")
    family = family_class(run.recipe.family)(run.recipe, run.info)
    assert isinstance(family, StarGANVC)
    loaded = Checkpoints(run.checkpoints_dir).load_latest(warn)
    if loaded is None:
        raise RunError(f"{path} has no checkpoint, and the critic is nowhere else.", hint="leave out --model")
    for number, variable in enumerate(family.networks["critic"].variables):
        array = loaded[0].get(f"network/critic/{number:04d} {variable.name}")  # `Learner.state` names them
        if array is None or array.shape != tuple(variable.shape):
            raise RunError(f"The checkpoint of {path} does not fit its critic: {variable.name} is missing or has another shape.")
        variable.assign(array)
    convention, domains = family.convention, family.domains
    middle = 0.5 if run.recipe.adversarial.loss == "lsgan" else 0.0  # LSGAN asks 1 of the real and 0 of the others

    def verdict(audio: np.ndarray, sample_rate: int, source: str, target: str) -> bool:
        sound = np.asarray(audio, np.float32)
        sound = sound if sample_rate == convention.sample_rate else soxr.resample(sound, sample_rate, convention.sample_rate)
        least = round(_LEAST_SECONDS * convention.sample_rate)
        sound = np.pad(sound, (0, max(0, least - len(sound))), mode="symmetric")
        if family.spec.kind == "world":
            from ..signal.pitch import ln_f0_contour
            from ..signal.world_envelope import envelope_mel, spectral_envelope

            mel = envelope_mel(spectral_envelope(sound, ln_f0_contour(sound, convention), convention), convention)
        else:
            mel = log_mel(sound, convention)
        number = domains.index(target)
        x = ((mel - family.mean[number]) / family.deviation[number])[: len(mel) // _FRAMES * _FRAMES]
        codes = [tf.one_hot([domains.index(name)], len(domains)) for name in (source, target)]
        inputs = {"mel": tf.constant(x[None], tf.float32), "source": codes[0], "target": codes[1]}
        scores = family.networks["critic"](inputs, training=False)
        return float(tf.reduce_mean(tf.cast(scores, tf.float32))) > middle

    return verdict
