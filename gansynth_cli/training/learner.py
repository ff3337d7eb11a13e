"""One training step: the compiled phases of a family. Owns networks, optimizers and averaged weights; scheduling belongs to `Trainer`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import GanAudioError, RecipeError
from ..families.base import Batch, Draws, Family, FollowsSteps, Phase
from ..layers.recurrent import compiled_by_xla
from ..layers.weight_norm import kernels_made_once
from ..recipe_schema import Recipe
from .optimizers import begin_anew, learning_rate, make_optimizer
from .strategy import Devices

INITIAL_LOSS_SCALE = 2.0**15
LOSS_SCALE_GROWTH_STEPS = 2000


@dataclass(frozen=True)
class StepResult:
    """The values of one step: `values` float32 [n] on the device (not waited for), in the order of `names`."""

    names: tuple[str, ...]
    values: tf.Tensor
    compiled: bool  # whether this call compiled the step's function


def numbered(group: str, variables: Sequence[keras.Variable]) -> dict[str, keras.Variable]:
    """Name the variables of a network as checkpoints do: "network/critic/0003 kernel"."""
    return {f"{group}/{i:04d} {v.name}": v for i, v in enumerate(variables)}


class Learner:
    """The networks of a family with their optimizers and moving averages.

    Args:
        recipe: The recipe.
        build: Builds the family. Called a second time for the averaged networks, which are complete networks of their own, so
            that no weights are swapped in and out.
        devices: The devices to train on.
        total_steps: The budget in steps, for schedules; None without one.

    Attributes:
        family: The family in training.
        averaged: Network name -> the float32 network of previews and the exported model: the trained network itself where nothing is
            averaged and the precision is float32.
    """

    def __init__(self, recipe: Recipe, build: Callable[[], Family], devices: Devices, total_steps: int | None = None):
        self.recipe, self.devices, self.total_steps = recipe, devices, total_steps
        self.strategy = devices.strategy
        settings = recipe.training
        self.scaled = settings.precision == "mixed_float16"
        with self.strategy.scope():
            self.family = _build_with(build, settings.precision)
            self.averaged: dict[str, keras.Model] = {name: self.family.networks[name] for name in self.family.averaged}
            if settings.ema or settings.precision != "float32":
                twin = _build_with(build, "float32")
                self.averaged = {name: twin.networks[name] for name in self.family.averaged}
            self.phases = held_back(self.family.phases(), recipe.adversarial.generator_start)
            self.optimizers = {key: make_optimizer(recipe.optimizers[key], key) for key in self._optimizer_keys()}
            for phase in self.phases:
                if not self.optimizers[phase.optimizer].built:
                    self.optimizers[phase.optimizer].build(self.variables_of(phase.networks))
            scales = sorted(self.optimizers) if self.scaled else ()
            self.loss_scales = {key: tf.Variable(INITIAL_LOSS_SCALE, trainable=False, name=f"loss_scale_{key}") for key in scales}
            self.good_steps = {key: tf.Variable(0.0, trainable=False, name=f"good_steps_{key}") for key in scales}
        self.copy_to_averaged()
        self._updates = {phase.key: self._compile_update((phase,)) for phase in self.phases}
        self._unreached: dict[str, set[str]] = {}  # phase -> variables on which its losses do not depend
        self._steps: dict[tuple[str, ...], tuple[Callable, list[str]]] = {}

    # A step.

    def active_phases(self, step: int) -> tuple[Phase, ...]:
        """Return the phases of a step, in order. Decided on the host: a Python number inside a graph would be frozen."""
        return tuple(phase for phase in self.phases if phase.active(step))

    def batches_of(self, step: int) -> int:
        """Return how many batches a step takes."""
        return max((phase.repeats for phase in self.active_phases(step)), default=0)

    def batches_before(self, step: int) -> int:
        """Return how many batches the steps 0 ... step - 1 took: the position in the stream of clips, without any saved state."""
        total, block = 0, 1 << 16
        for begin in range(0, step, block):
            steps = np.arange(begin, min(begin + block, step))
            taken = [
                np.where((steps >= p.start) & (steps < (step if p.stop is None else p.stop)) & (steps % p.every == 0), p.repeats, 0)
                for p in self.phases
            ]
            total += int(np.max(taken, axis=0).sum())
        return total

    def step(self, step: int, batches: Sequence[Batch]) -> StepResult:
        """Run step `step`, counted from 0.

        Args:
            step: Its number.
            batches: `batches_of(step)` batches; the r-th repeat of every phase takes the r-th.

        Returns:
            Losses `<phase>/<loss>` and `<phase>/gradient_norm` (before clipping), each the mean over the repeats.
        """
        self._begin_step(step, self.active_phases(step))
        function, names, fresh = self._function_of(step)
        values = function(tuple(batches), self._controls(step))
        return StepResult(tuple(names), values, fresh)

    def trace(self, step: int, batches: Sequence[Batch]) -> Any:
        """Return the graph of a step without running it; `step` then calls the same one."""
        function, _, _ = self._function_of(step)
        return function.get_concrete_function(tuple(batches), self._controls(step))

    def compiled(self, step: int) -> bool:
        """Return whether the function of that step is there: the first step of its kind compiles it, which takes seconds."""
        return self._key(step) in self._steps

    def _key(self, step: int) -> tuple[str, ...]:
        return tuple(phase.key for phase in self.active_phases(step))

    def _function_of(self, step: int) -> tuple[Any, list[str], bool]:
        """The compiled function of a step, the names of its values, and whether it is new."""
        key = self._key(step)
        fresh = key not in self._steps
        if fresh:
            self._steps[key] = self._compile_step(self.active_phases(step))
        return (*self._steps[key], fresh)

    def _controls(self, step: int) -> dict[str, Any]:
        return {
            "step": tf.constant(step, tf.int64),
            "rates": {k: tf.constant(v, tf.float32) for k, v in self.learning_rates(step).items()},
            "decay": tf.constant(self.ema_decay(step), tf.float32),
        }

    def learning_rates(self, step: int) -> dict[str, float]:
        """Return optimizer key -> learning rate of that step."""
        return {key: learning_rate(self.recipe.optimizers[key], step, self.total_steps) for key in self.optimizers}

    def ema_decay(self, step: int) -> float:
        """Return the decay of the moving average at a step; it rises at first, so that the initial weights do not linger."""
        settings = self.recipe.training
        return min(settings.ema, (1 + step) / (10 + step)) if settings.ema_warmup else settings.ema

    def variables_of(self, networks: Sequence[str]) -> list[keras.Variable]:
        """Return the trainable variables of networks."""
        return [v for name in networks for v in self.family.networks[name].trainable_variables]

    def _begin_step(self, step: int, active: tuple[Phase, ...]) -> None:
        """Do the host's work at the start of a step. It depends on the step alone, so a run resumed here repeats it."""
        if isinstance(self.family, FollowsSteps):
            self.family.begin_step(step)
        for phase in active:
            if phase.fresh and step == phase.start:
                begin_anew(self.optimizers[phase.optimizer])

    def copy_to_averaged(self) -> None:
        """Set the averaged networks to the trained ones."""
        for name, network in self.averaged.items():
            if network is not self.family.networks[name]:
                for average, variable in zip(network.weights, self.family.networks[name].weights, strict=True):
                    average.assign(variable)

    def parameter_counts(self) -> dict[str, int]:
        """Return network name -> number of learnt weights, without moving statistics and reference batches."""
        return {name: sum(int(np.prod(v.shape)) for v in network.trainable_weights) for name, network in self.family.networks.items()}

    def state(self) -> dict[str, keras.Variable | tf.Variable]:
        """Return every variable that a resumed run needs, by a stable name. Network variables include the seeds of Dropout.

        Variables are numbered, because Keras counts layer names up through a process: those of a second network differ.
        """
        groups: dict[str, Sequence[keras.Variable]] = {f"network/{n}": network.variables for n, network in self.family.networks.items()}
        for name, network in self.averaged.items():
            if network is not self.family.networks[name]:
                groups[f"averaged/{name}"] = network.variables
        named: dict[str, keras.Variable | tf.Variable] = {}
        for group, variables in groups.items():
            named |= numbered(group, variables)
        for key, optimizer in self.optimizers.items():
            named |= {f"optimizer/{key}/{i:04d}": v for i, v in enumerate(optimizer.variables)}
        for key, scale in self.loss_scales.items():
            named |= {f"loss_scale/{key}/scale": scale, f"loss_scale/{key}/good_steps": self.good_steps[key]}
        return named

    def _optimizer_keys(self) -> list[str]:
        owners: dict[str, tuple[str, ...]] = {}
        for phase in self.phases:
            if owners.setdefault(phase.optimizer, phase.networks) != phase.networks:
                raise GanAudioError(
                    f"Phase {phase.name} updates {', '.join(phase.networks)} with the optimizer {phase.optimizer!r}, which another phase "
                    f"uses for {', '.join(owners[phase.optimizer])}; phases that share an optimizer must update the same networks."
                )
            if phase.optimizer not in self.recipe.optimizers:
                raise GanAudioError(
                    f"Phase {phase.name} uses the optimizer {phase.optimizer!r}; the recipe has {', '.join(self.recipe.optimizers)}."
                )
        return list(owners)

    # Compilation.

    def _compile_step(self, active: tuple[Phase, ...]) -> tuple[Callable, list[str]]:
        names: list[str] = []
        averages = any(set(phase.networks) & set(self.averaged) for phase in active)
        updates = []
        for group in self._sharing(active):
            single = self._updates[group[0].key] if len(group) == 1 else self._compile_update(group)
            updates.append((single, group[0].repeats))

        # XLA cannot contain the communication between replicas, so only the gradients are compiled there (`_gradients`).
        @tf.function(autograph=False, jit_compile=self._jit_whole or None)
        def run(batches, controls):
            for key, rate in controls["rates"].items():
                self.optimizers[key].learning_rate.assign(rate)
            means: dict[str, tf.Tensor] = {}
            for update, repeats in updates:
                results = [update(batches[r], controls["step"], tf.constant(r, tf.int64)) for r in range(repeats)]
                for name in results[0]:
                    means[name] = results[0][name] if repeats == 1 else tf.add_n([result[name] for result in results]) / repeats
            if averages:
                self._update_averages(controls["decay"])
            names[:] = means
            return tf.stack(list(means.values())) if means else tf.zeros([0])

        return run, names

    def _sharing(self, active: Sequence[Phase]) -> list[tuple[Phase, ...]]:
        """Group the phases of a step: neighbours that share a forward pass are one group.

        On one device only: between replicas, a group's gradients would be exchanged inside of one call, where each replica waits for
        the others in the order of its own graph.
        """
        groups: list[tuple[Phase, ...]] = []
        for phase in active:
            last = groups[-1][-1] if groups else None
            shared = last is not None and phase.forward is not None and phase.forward == last.forward and phase.repeats == last.repeats == 1
            if shared and self.devices.replicas == 1:
                groups[-1] = (*groups[-1], phase)
            else:
                groups.append((phase,))
        return groups

    def _compile_update(self, group: tuple[Phase, ...]) -> Callable:
        """Compile one update of each phase of a group on one batch, over all replicas. As a separate function, five repeats are traced
        once."""
        updates = [self._update(phase) for phase in group]

        @tf.function(autograph=False, reduce_retracing=True)
        def update(batch, step, repeat):
            with compiled_by_xla(self.recipe.training.jit):
                shared = _Forward(group, batch, self._values(group)) if len(group) > 1 else None
            results: dict[str, tf.Tensor] = {}
            for one in updates:
                results |= one(batch, step, repeat, shared)
            return results

        return update

    def _values(self, group: Sequence[Phase]) -> list[tf.Variable]:
        return [v.value for phase in group for v in self._variables(phase)]

    def _variables(self, phase: Phase) -> list[keras.Variable]:
        return phase.variables() if phase.variables else self.variables_of(phase.networks)

    def _update(self, phase: Phase) -> Callable:
        variables = self._variables(phase)
        values = [v.value for v in variables]
        optimizer, settings = self.optimizers[phase.optimizer], self.recipe.optimizers[phase.optimizer]
        replicas, sums = self.devices.replicas, tf.distribute.ReduceOp.SUM
        gradients_of = self._gradients(phase, variables)

        def on_replica(batch, step, repeat, scale, shared):
            context = tf.distribute.get_replica_context()
            losses, gradients = gradients_of(batch, step, repeat, tf.cast(context.replica_id_in_sync_group, tf.int32), scale, shared)
            if replicas > 1:
                gradients, losses = context.all_reduce(sums, gradients), context.all_reduce(sums, losses)
            norm = tf.linalg.global_norm(gradients)
            if settings.clip_norm:
                factor = settings.clip_norm / tf.maximum(norm, settings.clip_norm)
                gradients = [g * factor for g in gradients]
            # Keras sums over the replicas itself, but only in `apply`, too late for the norm above. So each replica hands in its
            # share of the sum: a second exchange, a small part of a step, and nothing of Keras's inside is relied on.
            optimizer.apply([g / replicas for g in gradients] if replicas > 1 else gradients, variables)
            return {**losses, "gradient_norm": norm}

        def update(batch, step, repeat, shared):
            scale = tf.identity(self.loss_scales[phase.optimizer]) if self.scaled else tf.constant(1.0)
            before = self._read(values, optimizer) if self.scaled else []
            result = self.strategy.run(on_replica, args=(batch, step, repeat, scale, shared))
            result = {name: self.strategy.experimental_local_results(value)[0] for name, value in result.items()}
            if self.scaled:
                self._undo_unless_finite(phase.optimizer, before, tf.math.is_finite(result["gradient_norm"]), scale)
            if phase.weight_clip:
                for value in values:
                    self._set(value, lambda v: tf.clip_by_value(v, -phase.weight_clip, phase.weight_clip))
            return {f"{phase.name}/{name}": value for name, value in result.items()}

        return update

    def _gradients(self, phase: Phase, variables: list[keras.Variable]) -> Callable:
        replicas = self.devices.replicas
        values = [v.value for v in variables]

        def compute(batch, step, repeat, replica, scale, shared):
            seed = draw_seed(self.recipe.seed, step, phase.name, repeat)
            draws = Draws(seed, replica, replicas, self.devices.workers, step)
            given = (shared.outputs,) if shared else ()
            with tf.GradientTape(watch_accessed_variables=False) as tape, kernels_made_once(), compiled_by_xla(self.recipe.training.jit):
                tape.watch([values, *given])
                # The only place where a loss is divided by the number of replicas: gradients and losses are summed over them.
                losses = {name: tf.cast(loss, tf.float32) / replicas for name, loss in phase.losses(batch, draws, *given).items()}
                scaled = tf.add_n(list(losses.values())) * scale
            gradients, through = tape.gradient(scaled, (values, shared.outputs if shared else {}))
            if shared:
                gradients = shared.joined(gradients, through, values)
            self._check_reached(phase, [v.path for v, g in zip(variables, gradients, strict=True) if g is None], len(variables))
            gradients = [tf.zeros_like(v) if g is None else tf.convert_to_tensor(g) for v, g in zip(values, gradients, strict=True)]
            return losses, [g / scale for g in gradients] if self.scaled else gradients

        return tf.function(compute, autograph=False, jit_compile=True) if self.recipe.training.jit and not self._jit_whole else compute

    def _check_reached(self, phase: Phase, missing: list[str], variables: int) -> None:
        """Refuse a variable without a gradient, an error of the family, unless another phase of the same optimizer trains it: lazy R1
        does not reach the discriminator's last bias."""
        self._unreached[phase.key] = set(missing)
        partners = [p for p in self.phases if p.optimizer == phase.optimizer and p.stage == phase.stage]
        known = [self._unreached[p.key] for p in partners if p.key in self._unreached]
        never = set.intersection(*known) if len(known) == len(partners) else set()
        if len(missing) == variables:
            never = set(missing)
        if never:
            phases = " and ".join(p.name for p in partners)
            raise GanAudioError(f"Phase {phases}: no loss depends on {', '.join(sorted(never))}, which it should update.")

    @property
    def _jit_whole(self) -> bool:
        return self.recipe.training.jit and self.devices.replicas == 1

    def _update_averages(self, decay: tf.Tensor) -> None:
        fresh = 1.0 - decay
        for name, average in self.averaged.items():
            network = self.family.networks[name]
            if average is network:
                continue
            trained = {id(v) for v in network.trainable_weights}
            for shadow, weight in zip(average.weights, network.weights, strict=True):
                # Statistics of batch normalisation are moving averages already, so they are copied.
                if id(weight) not in trained:
                    self._set(shadow.value, lambda _, new: new, weight.value)
                elif self.devices.replicas > 1:
                    self._set(shadow.value, lambda old, new, fresh: old - fresh * (old - new), weight.value, fresh)
                else:  # the same in one operation beside the difference
                    difference = tf.convert_to_tensor(shadow.value) - weight.value
                    tf.raw_ops.ResourceApplyGradientDescent(var=shadow.value.handle, alpha=fresh, delta=difference)

    def _set(self, variable: tf.Variable, function: Callable, *arguments) -> None:
        """variable = function(variable, *arguments), on every device."""
        self.strategy.extended.update(variable, lambda v, *rest: v.assign(function(v, *rest)), args=arguments)

    def _read(self, values: list[tf.Variable], optimizer: keras.optimizers.Optimizer) -> list[tuple[tf.Variable, tf.Tensor]]:
        return [(v, tf.identity(v)) for v in [*values, *(v.value for v in optimizer.variables)]]

    def _undo_unless_finite(self, key: str, before: list, finite: tf.Tensor, scale: tf.Tensor) -> None:
        """Apply dynamic loss scaling (Micikevicius et al. 2018, section 3.2): revert an update whose gradients overflow and halve the
        scale; double it after 2000 good ones. Reverted, not skipped, because `apply` inside a tf.cond fails under MirroredStrategy.
        That costs a copy of weights and slots, in this precision only."""
        for variable, old in before:
            self._set(variable, lambda new, old, finite: tf.where(finite, new, old), old, finite)
        good = tf.where(finite, self.good_steps[key] + 1.0, 0.0)
        grow = good >= LOSS_SCALE_GROWTH_STEPS
        factor = tf.where(finite, tf.where(grow, 2.0, 1.0), 0.5)
        self._set(self.loss_scales[key], lambda _, new: new, tf.maximum(scale * factor, 1.0))
        self._set(self.good_steps[key], lambda _, new: new, tf.where(grow, 0.0, good))


class _Forward:
    """A forward pass that the phases of a group share: run once, differentiated for the phase that trains its network.

    Attributes:
        outputs: What `Phase.forward` gives.
    """

    def __init__(self, group: Sequence[Phase], batch: Batch, values: Sequence[tf.Variable]):
        assert group[0].forward is not None
        # Persistent, as each phase asks it; a phase whose losses do not depend on the outputs adds nothing to the graph.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as self._tape, kernels_made_once():
            self._tape.watch(values)
            self.outputs = group[0].forward(batch)

    def joined(self, direct: Sequence[Any], through: Mapping[str, Any], values: Sequence[tf.Variable]) -> list[Any]:
        """Return the gradients of losses with respect to values: `direct`, plus those through the outputs (chain rule)."""
        reached = [(self.outputs[name], slope) for name, slope in through.items() if slope is not None]
        if not reached:
            return list(direct)
        outputs, slopes = zip(*reached, strict=True)
        more = self._tape.gradient(list(outputs), values, output_gradients=list(slopes))
        return [b if a is None else a if b is None else a + b for a, b in zip(direct, more, strict=True)]


def held_back(phases: Sequence[Phase], generator_start: int) -> tuple[Phase, ...]:
    """Start the generator's phases at `adversarial.generator_start` at the earliest; those that end before never run.

    Raises:
        RecipeError: No other network is trained, so nothing would happen before that step.
    """
    if not generator_start:
        return tuple(phases)
    if all("generator" in phase.networks for phase in phases):
        raise RecipeError(
            f"adversarial.generator_start is {generator_start}, but there is no discriminator to train before.",
            hint="--set adversarial.generator_start=0",
        )
    late = [replace(p, start=max(p.start, generator_start)) if "generator" in p.networks else p for p in phases]
    return tuple(p for p in late if p.stop is None or p.stop > p.start)


def draw_seed(seed: int, step: tf.Tensor, phase: str, repeat: tf.Tensor) -> tf.Tensor:
    """Return the seed of `Draws`, int32 [2], a function of (recipe seed, step, phase name, repeat) alone."""
    fold = tf.random.experimental.stateless_fold_in
    start = tf.constant([seed & 0x7FFFFFFF, zlib.crc32(phase.encode()) & 0x7FFFFFFF], tf.int32)
    return fold(fold(start, tf.cast(step, tf.int32)), tf.cast(repeat, tf.int32))


def _build_with(build: Callable[[], Family], precision: str) -> Family:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        return build()
    finally:
        keras.mixed_precision.set_dtype_policy(before)
