"""Optimizers and learning-rate schedules from the tables `[optimizers.NAME]` of a recipe."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from ..errors import RecipeError
from ..recipe_schema import Optimizer


def learning_rate(settings: Optimizer, step: int, total_steps: int | None) -> float:
    """Return the learning rate of a step.

    It depends on the training step, not on the optimizer's own count of updates: a critic with five updates per step would
    otherwise run through its schedule five times as fast as the generator. The host computes it and passes it to the compiled
    step as a tensor.

    Args:
        settings: The table of the optimizer.
        step: Counted from 0.
        total_steps: The budget of the run in steps, used for `decay_steps = 0`. None without one.

    Returns:
        `learning_rate` times the warm-up factor min(1, (step + 1) / warmup_steps) times the decay, which counts from the end
        of the warm-up. Linear and cosine schedules stay at `final_fraction`.

    Raises:
        RecipeError: A linear or cosine schedule without an end.
    """
    warmup = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    elapsed = max(0, step - settings.warmup_steps)
    decay = 1.0
    if settings.schedule == "exponential":
        decay = settings.decay_rate ** (elapsed / settings.decay_every)
    elif settings.schedule in ("linear", "cosine"):
        end = settings.decay_steps or ((total_steps or 0) - settings.warmup_steps)
        if end <= 0 and total_steps:  # training ends within the warm-up
            return settings.learning_rate * warmup
        if end <= 0:
            raise RecipeError(
                f"An optimizer has schedule = {settings.schedule!r}, but neither decay_steps nor a budget in steps says when it ends.",
                hint="--set optimizers.generator.decay_steps=100000, or a budget with --steps",
            )
        progress = min(1.0, elapsed / end)
        shape = 1.0 - progress if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
        decay = settings.final_fraction + (1.0 - settings.final_fraction) * shape
    return settings.learning_rate * warmup * decay


def make_optimizer(settings: Optimizer, name: str) -> keras.optimizers.Optimizer:
    """Build the Keras optimizer, whose learning rate is assigned at every step. The learner clips: Keras would clip each replica's
    gradients before they are summed, and two replicas would not equal one."""
    rate = settings.learning_rate
    if settings.name in ("adam", "adamw"):
        decay = settings.weight_decay if settings.name == "adamw" else None
        return Adam(rate, settings.beta_1, settings.beta_2, settings.epsilon, weight_decay=decay, name=name)
    if settings.name == "rmsprop":
        return RMSprop(rate, settings.rho, epsilon=settings.epsilon, initial_square=settings.initial_square, name=name)
    return keras.optimizers.SGD(rate, momentum=settings.beta_1, name=name)


def begin_anew(optimizer: keras.optimizers.Optimizer) -> None:
    """Reset the variables of an optimizer to their values before its first update (the learning rate to 0: each step assigns it)."""
    for variable in optimizer.variables:
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
    if isinstance(optimizer, RMSprop):
        optimizer.begin()


class Adam(keras.optimizers.Adam):
    """Keras's Adam, and with `weight_decay` its AdamW, in one operation a variable: TensorFlow's own, which keeps the same two moments.

    Keras writes the update out, about thirty operations a variable. For the 388 variables of HiFi-GAN and its discriminators that was a
    quarter of the step's graph and a third of the time to trace it. TensorFlow's operation takes 1 - beta from beta in float32 where
    Keras takes it in float64, so the two differ by rounding. Under a strategy of several replicas Keras's own update runs, which adds up
    the gradients.
    """

    def build(self, variables) -> None:
        super().build(variables)
        self._places = {id(variable): place for place, variable in enumerate(variables)}

    def apply(self, grads, trainable_variables=None) -> None:
        if tf.distribute.get_strategy().num_replicas_in_sync > 1 or trainable_variables is None:
            super().apply(grads, trainable_variables)
            return
        rate = tf.cast(self.learning_rate, tf.float32)
        step = tf.cast(self.iterations, tf.float32) + 1.0
        beta_1, beta_2, epsilon = (tf.constant(value, tf.float32) for value in (self.beta_1, self.beta_2, self.epsilon))
        powers = {"beta1_power": tf.pow(beta_1, step), "beta2_power": tf.pow(beta_2, step)}
        same = {**powers, "lr": rate, "beta1": beta_1, "beta2": beta_2, "epsilon": epsilon}
        shrink = None if self.weight_decay is None else rate * self.weight_decay
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            place, value = self._places[id(variable)], variable.value if isinstance(variable, keras.Variable) else variable
            if shrink is not None:  # before the update, as Keras has it
                tf.raw_ops.ResourceApplyGradientDescent(var=value.handle, alpha=shrink, delta=tf.convert_to_tensor(value))
            moments = {"m": self._momentums[place].value.handle, "v": self._velocities[place].value.handle}
            tf.raw_ops.ResourceApplyAdam(var=value.handle, **moments, grad=gradient, **same)
        self.iterations.assign_add(1)


class RMSprop(keras.optimizers.RMSprop):
    """RMSprop with a chosen initial mean of squares.

    Keras starts at 0, so the first step has 1 / sqrt(1 - rho) = 3.2 learning rates whatever the gradient. TensorFlow 1 started at 1:
    first steps are as long as the gradient, and those of small gradients stay short for dozens of steps.

    Args:
        initial_square: The mean of squares before the first step.
    """

    def __init__(self, *args: Any, initial_square: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.initial_square = float(initial_square)

    def build(self, variables) -> None:
        new = not self.built
        super().build(variables)
        if new:
            self.begin()

    def begin(self) -> None:
        """Set the means of squares to their initial value."""
        if self.initial_square:
            for square in self._velocities:
                square.assign(keras.ops.full(square.shape, self.initial_square, square.dtype))
