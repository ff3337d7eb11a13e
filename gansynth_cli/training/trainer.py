"""The training loop. A family defines a step; the trainer decides when it runs, for how long, and what is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import GanAudioError, RunError, TrainingStopped
from ..families.base import BeginsWithData, ComparedPreviews, MeasuredPreviews
from ..families.registry import family_class
from ..family_schema import ENHANCE
from ..processes import stopping_on_signals
from ..recipe_schema import Recipe
from ..run_folder import RunFolder, now, replacing
from .advice import changed_settings, gain_over_parent, length_warning, made_for_gpus, out_of_memory, resume_warnings
from .beginning import budget_in_steps, open_data
from .checkpoint import Checkpoints, restore
from .events import Event, OnEvent, TrainReport, ignore
from .initialize import compare_levels, initialize_from, record_parent
from .learner import Learner, StepResult
from .model_card import model_card, versions
from .strategy import Devices, find_devices
from .summaries import METRIC_CLIPS, Interval, PreviewMetrics, Summaries, collapse_reason, compared_figures

_MAX_PENDING = 256  # steps whose values may stay on the device before they are fetched


def train(
    recipe: Recipe,
    data_path: Path,
    run_path: Path,
    *,
    restart: bool = False,
    init_from: Path | None = None,
    command: Sequence[str] = (),
    on_event: OnEvent | None = None,
) -> TrainReport:
    """Train a recipe on a data set, or resume the run in `run_path`.

    Args:
        recipe: The recipe.
        data_path: A prepared data set, or a folder of recordings.
        run_path: The run folder. A run that is there is resumed from its newest intact checkpoint.
        restart: Delete the run there and start again.
        init_from: A run folder whose weights a new run starts from (fine-tuning); not read when resuming.
        command: The command line, for the manifest.
        on_event: Called with each progress event.

    Returns:
        The report. SIGINT, SIGTERM or SIGHUP ends training after the current step and saves it; `ended_by` is then "interrupt".

    Raises:
        GanAudioError: The recipe, data set or run folder is unusable. TrainingStopped: losses are not finite, or the generator collapsed.
    """
    devices = find_devices()
    source, info = open_data(recipe, data_path, on_event)
    run, failure = None, None
    if devices.chief:
        try:
            run = RunFolder.open_for_training(run_path, recipe, info, restart=restart, command=command)
        except RunError as error:
            failure = error
    if devices.any(failure is not None):  # the other machines wait here until the folder exists or has failed
        raise failure or RunError(f"The chief machine cannot use {run_path}; see its message.")
    run = run or RunFolder.load(run_path)
    # Keras counts layer names up through a process, and the graph's sums are ordered by name: a second training in one process
    # would differ from the first in the last bits. (Measured: 1e-8 after three steps.)
    keras.utils.clear_session()
    if init_from is not None and devices.chief and not run.resumed:
        record_parent(run, Path(init_from))
    try:
        trainer = Trainer(recipe, source, run, devices, on_event=on_event)
    except GanAudioError:
        run.discard()
        raise
    try:
        return trainer.train(init_from)
    finally:
        run.close()


class Trainer:
    """The training of one run.

    Args:
        recipe: The recipe.
        source: The data, a `data.source.Source`: `batches`, `clips`, `clips_per_epoch`, `check` and `splits` are used.
        run: The run folder, opened.
        devices: The devices to train on.
        build: Builds the family; the registry's by default.
        on_event: Told of progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Any,
        run: RunFolder,
        devices: Devices | None = None,
        *,
        build: Callable[[], Any] | None = None,
        on_event: OnEvent | None = None,
    ):
        self.recipe, self.source, self.run = recipe, source, run
        self.devices = devices or Devices()
        self.tell = on_event or ignore
        self.settings = recipe.training
        build = build or (lambda: family_class(recipe.family)(recipe, run.info, seed=recipe.seed))
        self.learner = Learner(recipe, build, self.devices, self.settings.steps or None)
        source.check(self.learner.family.batch_features())
        self.total_steps = budget_in_steps(recipe, self.learner, source.clips_per_epoch("train"))
        self.learner.total_steps = self.total_steps
        self.checkpoints = Checkpoints(run.checkpoints_dir, self.settings.keep_checkpoints)
        self.step = 0
        self.seconds_before = 0.0  # training time before this start
        self.summaries: Summaries  # of the chief machine, from `train` on, as is `preview_metrics`
        self.preview_metrics: PreviewMetrics
        self.best: tuple[int, float] | None = None
        self.collapsed = 0  # consecutive previews
        self.metrics: dict[str, float] = {}
        self._pending: list[tuple[int, StepResult]] = []
        self._interval = Interval()
        self._saved_step = -1
        self._stepping_since: float | None = None  # the end of this start's first step, which compiled it
        self._timed: list[float] = []  # seconds of the first steps after it
        self._taken: list[Any] = []  # the batches of the running step
        self._previewed_step = -1
        self._stop = threading.Event()
        self._model: keras.Model | None = None

    def train(self, init_from: Path | None = None) -> TrainReport:
        """Start or resume, train until a budget is spent, and leave the run folder complete."""
        if isinstance(self.learner.family, BeginsWithData):
            self.learner.family.begin(self.source)
        self._restore(init_from)
        self._first_step = self.step
        if self.devices.chief:
            try:
                self.summaries = Summaries(self.run, self.recipe)
            except tf.errors.OpError as error:  # of the event file
                raise self._diagnosis(error) or error from error
            if self.settings.preview_every:
                self.preview_metrics = PreviewMetrics(self.recipe, self._real_clips())
            self.run.rewind(self.step)
        minutes = self.settings.minutes
        budget = {"total": self.total_steps, "minutes_left": max(0.0, minutes - self.seconds / 60) if minutes else None}
        self.tell(Event("start", self.step, self._start_text(), {**budget, "parameters": self.learner.parameter_counts()}))
        ended_by = "failure"
        try:
            note = Event("note", self.step, "stopping after this step and saving; press again to quit at once")
            with stopping_on_signals(self._stop, lambda: self.tell(note)):
                reached = self._loop()
                self._finish(reached)
                ended_by = reached
        except tf.errors.OpError as error:
            raise self._diagnosis(error) or error from error
        finally:
            if self.devices.chief:
                self._record_end(ended_by)
        self.devices.any(False)  # the chief machine is the last to finish; leaving before it would end it too
        counts = self.learner.parameter_counts()
        return TrainReport(self.run.path, self.step, self.seconds, ended_by, self.metrics, self.best, counts, self.step - self._first_step)

    def _record_end(self, ended_by: str) -> None:
        state = {"interrupt": "interrupted", "failure": "stopped"}.get(ended_by, "finished")
        try:
            self.run.write_manifest(state=state, finished=now(), step=self.step, seconds=round(self.seconds, 1))
            self.summaries.close()
        except (RunError, tf.errors.OpError) as error:
            if ended_by != "failure":  # otherwise what ended the training is the error to show, such as a disk that is full
                raise (self._diagnosis(error) if isinstance(error, tf.errors.OpError) else error) or error from error

    @property
    def seconds(self) -> float:
        """Training time so far, resumed starts included; each counts from its first step on, without the time to compile it."""
        return self.seconds_before + (0.0 if self._stepping_since is None else time.monotonic() - self._stepping_since)

    # The loop.

    def _loop(self) -> str:
        ended_by = self._budget_spent()
        if ended_by:
            if changed := changed_settings(self.run.changes):
                self.tell(Event("warning", self.step, f"no step was taken, so the run keeps its settings; not applied: {changed}"))
            return ended_by
        self._begin_stepping()
        if not self.step and self._compares_with_parent:
            self._preview()
        batches = self._open_stream()
        self._interval = Interval()
        while not ended_by:
            begun = time.monotonic()
            self._taken = [next(batches) for _ in range(self.learner.batches_of(self.step))]
            waited = time.monotonic() - begun
            result = self._take_step()
            self._pending.append((self.step, result))
            self.step += 1
            examples = len(self._taken) * self.recipe.data.batch_size
            self._interval.add(waited, time.monotonic() - begun if result.compiled else None, examples)
            self._say_length(begun, result)
            ended_by = self._budget_spent()
            if self._due(self.settings.log_every):
                self._log()
            elif len(self._pending) >= _MAX_PENDING:
                self._fetch_pending()
            if self._due(self.settings.preview_every):
                self._preview()
            if self._due(self.settings.checkpoint_every) and self._saved_step != self.step:
                self._save()
        return ended_by

    @property
    def _compares_with_parent(self) -> bool:
        """Whether the weights that the run began with are measured too: those of an enhancer on held-out mixtures."""
        return bool(self.settings.preview_every and "parent" in self.run.manifest and self.recipe.use == ENHANCE)

    def _begin_stepping(self) -> None:
        """Record what the coming steps are trained with, and say what is different from the steps before."""
        for line in resume_warnings(self.run, self.step):
            self.tell(Event("warning", self.step, line))
        if not self.devices.gpu and not self.step and (text := made_for_gpus(self.recipe)):
            self.tell(Event("note", self.step, text))
        if self.devices.chief:
            self.run.record_training(self.step, **self._facts())

    def _take_step(self) -> StepResult:
        if self.learner.compiled(self.step):
            return self.learner.step(self.step, self._taken)
        begun = time.monotonic()
        self.tell(Event("compiling", self.step, "compiling the step"))
        result = self.learner.step(self.step, self._taken)
        seconds = time.monotonic() - begun
        self.tell(Event("compiled", self.step, f"compiled the step in {seconds:.0f} s", {"seconds": seconds}))
        if self._stepping_since is None:
            self._stepping_since = time.monotonic()
        return result

    def _say_length(self, begun: float, result: StepResult) -> None:
        """Estimate from the first two steps after the compiled one how long the training takes; warn once where that is too long."""
        if result.compiled or len(self._timed) == 2:
            return
        result.values.numpy()  # waits for the device
        self._timed.append(time.monotonic() - begun)
        if len(self._timed) == 2:
            step = min(self._timed)
            if text := length_warning(self.recipe, self._seconds_left(1.0 / max(step, 1e-9)), step, bool(self.devices.gpu)):
                self.tell(Event("warning", self.step, text))

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _budget_spent(self) -> str | None:
        """Return what ends the run now, or None. Clocks and signals differ between machines, so all machines vote on those."""
        if self.devices.any(self._stop.is_set()):
            return "interrupt"
        if self.total_steps is not None and self.step >= self.total_steps:
            return "steps" if self.total_steps == self.settings.steps else "epochs"
        if self.settings.minutes and self.devices.any(self.seconds >= 60 * self.settings.minutes):
            return "minutes"
        return None

    def _open_stream(self):
        """Open the batches from this step on. The position in the stream follows from the step: there is no iterator to save."""
        size = self.recipe.data.batch_size
        first_clip = self.learner.batches_before(self.step) * size

        def make(worker: int, workers: int, per_replica: int) -> tf.data.Dataset:
            return self.source.batches(
                self.recipe,
                "train",
                seed=self.recipe.seed,
                first_clip=first_clip,
                batch_size=per_replica,
                shard_index=worker,
                shard_count=workers,
            )

        return self.devices.batches(make, size)

    def _diagnosis(self, error: Exception) -> Exception | None:
        if "No space left" in str(error):  # TensorFlow raises the class of a device out of memory
            return RunError(
                f"{self.run.path} cannot be written: no space left on the disk.", hint="free some space; the same command continues"
            )
        if isinstance(error, tf.errors.ResourceExhaustedError):
            try_size = lambda size: self.tell(Event("note", self.step, f"out of memory; trying a batch of {size}"))
            return out_of_memory(self.learner, self.step, self._taken, try_size)
        return self.source.diagnose(error)

    def _finish(self, ended_by: str) -> None:
        self._log()
        if not self.step:
            return  # untrained: nothing to keep
        if self.settings.preview_every and ended_by != "interrupt" and self._previewed_step != self.step > self._first_step:
            self._preview()
        if self.devices.chief and self._compares_with_parent and (gain := gain_over_parent(self.run.read_metrics())):
            self.tell(gain)
        if self._saved_step != self.step:
            self._save()

    # Figures and previews.

    def _fetch_pending(self) -> None:
        """Fetch the values of the steps since the last call, and stop at the first that is not finite.

        Raises:
            TrainingStopped: Names phase, loss, step and the last good checkpoint.
        """
        for step, result in self._pending:
            values = result.values.numpy()
            self._interval.values(result.names, values)
            for name, value in zip(result.names, values, strict=True):
                if not np.isfinite(value) and not (self.learner.scaled and name.endswith("/gradient_norm")):
                    self._stop_for(f"{name.rpartition('/')[2]} of phase {name.partition('/')[0]} is {value} at step {step}")
        self._pending.clear()

    def _log(self) -> None:
        self._fetch_pending()
        if not self._interval.steps:
            return
        values = self._interval.summary()
        values |= {f"learning_rate/{key}": rate for key, rate in self.learner.learning_rates(self.step - 1).items()}
        values |= {f"loss_scale/{key}": float(scale.numpy()) for key, scale in self.learner.loss_scales.items()}
        left = self._seconds_left(values.get("steps_per_second", 0.0))
        if (peak := self.devices.peak_memory()) is not None:
            values["peak_memory_gib"] = peak / 2**30
        self.metrics |= values
        if self.devices.chief:
            self.summaries.scalars(self.step, {**values, "seconds": self.seconds})
        phases = {phase.name for phase in self.learner.phases}
        losses = "  ".join(f"{k} {v:.3g}" for k, v in values.items() if k.partition("/")[0] in phases and "gradient_norm" not in k)
        self.tell(
            Event("progress", self.step, losses, {**values, "seconds_left": left, "total": self.total_steps, "seconds": self.seconds})
        )
        self._interval = Interval()

    def _seconds_left(self, rate: float) -> float | None:
        limits = []
        if self.total_steps is not None and rate > 0:
            limits.append((self.total_steps - self.step) / rate)
        if self.settings.minutes:
            limits.append(60 * self.settings.minutes - self.seconds)
        return max(0.0, min(limits)) if limits else None

    def _preview(self) -> None:
        self._fetch_pending()
        with self._interval.paused():
            self._generate_previews()

    def _generate_previews(self) -> None:
        self._previewed_step = self.step
        collapse = None
        if self.devices.chief:
            count = max(self.settings.preview_clips, self.preview_metrics.clips)
            clips = np.asarray(self.learner.family.preview(self._shown_networks(), count), np.float32)
            if not np.isfinite(clips).all():
                self._stop_for(f"a preview at step {self.step} has samples that are not finite numbers")
            family, shown = self.learner.family, self.settings.preview_clips
            companions = family.preview_companions(count) if isinstance(family, ComparedPreviews) else {}
            figures = self.preview_metrics.measure(clips) | compared_figures(clips, companions)
            if isinstance(family, MeasuredPreviews):
                figures |= family.preview_figures(clips)
            self.summaries.previews(self.step, clips[:shown], {name: beside[:shown] for name, beside in companions.items()})
            self.summaries.scalars(self.step, figures)
            self.metrics |= figures
            collapse = collapse_reason(figures)
            self.collapsed = self.collapsed + 1 if collapse else 0
            text = "  ".join(f"{name.partition('/')[2]} {value:.3g}" for name, value in figures.items())
            self.tell(Event("preview", self.step, text, {**figures, "folder": str(self.run.samples_dir(self.step))}))
            if collapse:
                self.tell(Event("warning", self.step, f"{collapse}; {self.collapsed} consecutive previews"))
            self._keep_if_best(figures)
        limit = self.settings.stop_on_collapse
        if self.devices.any(bool(limit) and self.collapsed >= limit):
            self._stop_for(
                f"the generator has collapsed: {collapse or 'see the chief machine'}, {limit} consecutive previews",
                hint="try adversarial.r1, a lower learning rate or more data; training.stop_on_collapse=0 continues regardless",
            )

    def _keep_if_best(self, figures: Mapping[str, float]) -> None:
        name = self.settings.best_metric
        if not name:
            return
        if name not in {**self.metrics, **figures}:
            raise RunError(
                f"training.best_metric is {name!r}, which this run does not measure; it measures {', '.join(sorted(self.metrics))}.",
                hint="preview/frechet_logmel needs a data set with two or more clips",
            )
        value = {**self.metrics, **figures}[name]
        better = self.best is None or (value < self.best[1] if self.settings.best_mode == "min" else value > self.best[1])
        if better:
            self.best = (self.step, value)
            self._save()
            self.checkpoints.mark_best(self.checkpoints.path(self.step))
            self._export("generator-best")

    def _stop_for(self, reason: str, hint: str | None = None) -> None:
        steps = self.checkpoints.steps()
        folder = self.run.checkpoints_dir
        kept = f"The last good checkpoint is of step {steps[-1]}, in {folder}." if steps else "There is no checkpoint yet."
        raise TrainingStopped(
            f"Training stopped: {reason}. {kept}",
            hint=hint or "lower the learning rate or set optimizers.NAME.clip_norm, then run the same command again to continue",
        )

    # Checkpoints and model files.

    def _save(self) -> None:
        """Write a checkpoint and export the model. A state that is not finite is never written."""
        self._fetch_pending()
        with self._interval.paused():
            if self.devices.chief:
                self._write()
        self._saved_step = self.step

    def _write(self) -> None:
        arrays = {name: np.asarray(variable.numpy()) for name, variable in self.learner.state().items()}
        bad = [name for name, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if bad:
            self._stop_for(f"the variable {bad[0]} holds values that are not finite after step {self.step - 1}")
        facts = {"seconds": self.seconds, "best": self.best, "collapsed": self.collapsed, "metrics": self.metrics}
        path = self.checkpoints.save(self.step, arrays, _jsonable(facts))
        self._export("generator")
        self.run.write_manifest(step=self.step, seconds=round(self.seconds, 1), best=self.best)
        self.run.write_card(model_card(self.run, self.learner.parameter_counts(), self.metrics, self.best))
        self.tell(Event("checkpoint", self.step, path.name, {"file": str(path)}))

    def _export(self, name: str) -> None:
        if self._model is None:  # shares the averaged networks' weights, so one serves the whole run
            self._model = self.learner.family.inference_model(self._shown_networks())
        if hasattr(self._model, "provenance"):
            self._model.provenance = {**self._model.provenance, "step": self.step}
        with replacing(self.run.model_file(name)) as file:
            self._model.save(file)

    def _shown_networks(self) -> dict[str, keras.Model]:
        return {**self.learner.family.networks, **self.learner.averaged}

    def _restore(self, init_from: Path | None) -> None:
        warn = lambda text: self.tell(Event("warning", self.step, text))
        loaded = self.checkpoints.load_latest(warn)
        if loaded is not None:
            arrays, facts = loaded
            restore(self.learner, arrays, warn, facts.get("fresh", ()), facts.get("deferred", ()))
            self.step = self._saved_step = int(facts["step"])
            self.seconds_before = float(facts.get("seconds", 0.0))
            self.best = tuple(facts["best"]) if facts.get("best") else None
            self.collapsed = int(facts.get("collapsed", 0))
            self.metrics = dict(facts.get("metrics", {}))
            if init_from is not None:
                warn(f"the run is resumed, so the weights of {init_from} are not used; --restart starts again from them")
        elif init_from is not None:
            self.tell(Event("note", 0, initialize_from(self.learner, Path(init_from), warn)))
            compare_levels(self.learner, Path(init_from), self.source, warn)
        if not self.devices.agree(self.step):
            raise RunError("The machines see different checkpoints: the run folder has to be on shared storage.")

    # Start text.

    def _real_clips(self):
        split = "validation" if "validation" in self.source.splits else "train"
        return (clip for clip, _ in self.source.clips(split, METRIC_CLIPS))

    def _facts(self) -> dict[str, Any]:
        info = self.run.info
        return {
            **versions(),
            "seed": self.recipe.seed,
            "family": self.recipe.family,
            "recipe": self.recipe.name,
            "data": {"name": info.name, "fingerprint": info.fingerprint, "labels": info.labels},
            "parameters": self.learner.parameter_counts(),
            "devices": {"replicas": self.devices.replicas, "machines": self.devices.workers},
        }

    def _start_text(self) -> str:
        counts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in self.learner.parameter_counts().items())
        place = f", {self.devices.replicas} devices" if self.devices.replicas > 1 else ""
        begin = f"resuming {self.run.path} at step {self.step}" if self.step else f"training {self.run.path}"
        return f"{begin}: {counts} parameters{place}"


def _jsonable(facts: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {k: float(v) for k, v in facts["metrics"].items() if np.isfinite(v)}
    best = [int(facts["best"][0]), float(facts["best"][1])] if facts["best"] else None
    return {**facts, "metrics": metrics, "best": best}
