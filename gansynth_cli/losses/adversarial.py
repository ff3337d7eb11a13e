"""Adversarial losses of discriminator and generator, as pure functions of the discriminator's logits.

A loss added to `LOSSES` (and to the names that `recipe_schema.Adversarial.loss` allows) is available to every family:
`families/adversarial.py` applies it, penalties included. Logits are linear scores, high for "real", of any shape; each loss is a mean
over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

Critic = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses that discriminator and generator minimise.

    Attributes:
        critic: (logits of real, logits of generated) -> scalar.
        generator: logits of generated -> scalar.
        gradient_penalty: Whether `gradient_penalty` constrains the discriminator to gradients of norm 1.
        weight_clip: Whether the discriminator's weights are clipped after each of its updates.
    """

    critic: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]
    gradient_penalty: bool = False
    weight_clip: bool = False


def _cross_entropy_critic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    # softplus(-x) = -log sigmoid(x). Half the sum, as in the code of DCGAN and WaveGAN: penalties weigh twice as much as with
    # the plain sum, so a gamma of 0.1 from a paper without the half is 0.05 here.
    return 0.5 * (tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake)))


def _least_squares_critic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return 0.5 * (tf.reduce_mean(tf.square(real - 1.0)) + tf.reduce_mean(tf.square(fake)))


def _wasserstein_critic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def _hinge_critic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))


def _raise_score(fake: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_mean(fake)


def _clamped_score(fake: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.relu(1.0 - fake))


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, eq. 1: G minimises log(1 - D). Saturates when D wins early; kept because it is the original.
    "minimax": AdversarialLoss(_cross_entropy_critic, lambda fake: -tf.reduce_mean(tf.nn.softplus(fake))),
    # Goodfellow et al. 2014, section 3: G maximises log D. "dcgan" in WaveGAN's code.
    "nonsaturating": AdversarialLoss(_cross_entropy_critic, lambda fake: tf.reduce_mean(tf.nn.softplus(-fake))),
    # Arjovsky et al. 2017, algorithm 1.
    "wgan": AdversarialLoss(_wasserstein_critic, _raise_score, weight_clip=True),
    # Gulrajani et al. 2017, algorithm 1.
    "wgan-gp": AdversarialLoss(_wasserstein_critic, _raise_score, gradient_penalty=True),
    # Mao et al. 2017, eq. 9 (targets 0, 1, 1); G's loss is not halved, as in WaveGAN's code.
    "lsgan": AdversarialLoss(_least_squares_critic, lambda fake: tf.reduce_mean(tf.square(fake - 1.0))),
    # Lim and Ye 2017; Miyato et al. 2018, eq. 16 and 17.
    "hinge": AdversarialLoss(_hinge_critic, _raise_score),
    # SoundStream (Zeghidour et al. 2021, eq. 2) and the code of Vocos: no gradient for the generator where D scores above 1.
    "hinge-clamped": AdversarialLoss(_hinge_critic, _clamped_score),
}


def gradient_penalty(critic: Critic, real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Return E[(|grad D(x)| - 1)^2] on lines between real and generated examples (Gulrajani et al. 2017, eq. 3), two-sided, unweighted.

    Args:
        critic: The discriminator, x [batch, ...] -> logits, one or more for each example.
        real, fake: float32 [batch, ...]; `fake` needs no gradient.
        alpha: float32 [batch] in [0, 1], one per example: 0 is `real`, 1 is `fake`.

    Returns:
        float32 scalar. Its gradient with respect to the discriminator's weights is of second order.
    """
    alpha = tf.cast(tf.reshape(alpha, [-1] + [1] * (len(real.shape) - 1)), real.dtype)
    squared = _squared_slopes(critic, real + alpha * (fake - real))
    # The offset keeps the derivative of the square root finite where the discriminator is flat (all units dead).
    return tf.reduce_mean(tf.square(tf.sqrt(squared + 1e-12) - 1.0))


def r1_penalty(critic: Critic, real: tf.Tensor) -> tf.Tensor:
    """Return E[|grad D(x)|^2] on real examples (Mescheder et al. 2018, eq. 9 without gamma / 2), unweighted scalar."""
    return tf.reduce_mean(_squared_slopes(critic, real))


def drift_penalty(real: tf.Tensor) -> tf.Tensor:
    """Return E[D(real)^2], which keeps a Wasserstein critic's scores near 0 (Karras et al. 2018, appendix A.1), unweighted scalar."""
    return tf.reduce_mean(tf.square(real))


def _squared_slopes(critic: Critic, examples: tf.Tensor) -> tf.Tensor:
    """Return the squared Euclidean norm of the logits' gradient with respect to each example: float32 [batch]."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(examples)
        total = tf.reduce_sum(critic(examples))
    slopes = tf.cast(tape.gradient(total, examples), tf.float32)
    return tf.reduce_sum(tf.square(slopes), axis=list(range(1, len(examples.shape))))
