"""The objective of an aligner that is trained with a model (Badlani et al. 2022, "One TTS alignment to rule them all")."""

from __future__ import annotations

import tensorflow as tf

_BLANK = -1.0  # log probability of the blank, before normalisation
_MASKED = -1e4


def beta_binomial_prior(frames: tf.Tensor, tokens: tf.Tensor, most_frames: int, most_tokens: int) -> tf.Tensor:
    """Return the logarithm of a prior near the diagonal, float32 [batch, most_frames, most_tokens].

    Frame t of T has the beta-binomial distribution of N trials with a = t and b = T - t + 1, t from 1 on. As in most code, and in JETS,
    tokens have the numbers 0 to N - 1 of its N + 1 outcomes, so that rows sum to less than 1.

    Args:
        frames, tokens: [batch], how many of each count.
        most_frames, most_tokens: Of the result, whose values behind the ends mean nothing.
    """
    total, trials = (tf.cast(x, tf.float32)[:, None, None] for x in (frames, tokens))
    a = tf.range(1, most_frames + 1, dtype=tf.float32)[None, :, None]
    b = tf.maximum(total - a + 1.0, 1.0)
    k = tf.minimum(tf.range(most_tokens, dtype=tf.float32)[None, None], trials)
    gamma = tf.math.lgamma
    choose = gamma(trials + 1.0) - gamma(k + 1.0) - gamma(trials - k + 1.0)
    beta = lambda x, y: gamma(x) + gamma(y) - gamma(x + y)
    return choose + beta(k + a, trials - k + b) - beta(a, b)


def forward_sum(log_p: tf.Tensor, frames: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Return the mean over the batch of minus the logarithm of the sum over all monotonic paths, divided by the tokens.

    Connectionist temporal classification with the tokens in order as labels and a blank of probability 1 / e between them, on scores that
    need not sum to 1, as PyTorch's loss takes them.

    Args:
        log_p: float32 [batch, frames, tokens].
        frames, tokens: int32 [batch], how many of each count.
    """
    count = log_p.shape[2]
    there = tf.range(count) < tokens[:, None]
    scores = tf.pad(tf.where(there[:, None], log_p, _MASKED), [[0, 0], [0, 0], [1, 0]], constant_values=_BLANK)
    labels = tf.sparse.from_dense(tf.where(there, tf.range(1, count + 1), 0))
    # TensorFlow's loss normalises every frame; what that takes away is added again.
    loss = tf.nn.ctc_loss(labels, scores, None, frames, logits_time_major=False, blank_index=0)
    inside = tf.cast(tf.range(log_p.shape[1]) < frames[:, None], tf.float32)
    loss -= tf.reduce_sum(tf.reduce_logsumexp(scores, axis=-1) * inside, axis=1)
    return tf.reduce_mean(loss / tf.cast(tf.maximum(tokens, 1), tf.float32))
