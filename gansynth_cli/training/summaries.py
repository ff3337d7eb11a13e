"""Logs of a run: TensorBoard scalars, audio and spectrograms, `metrics.jsonl`, previews, and figures computed from them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .. import __version__
from ..data.audio import audio_file
from ..metrics.clips.distribution import frechet_of
from ..recipe_schema import Recipe
from ..run_folder import RunFolder
from ..signal.mel import LogMel

METRIC_CLIPS = 128  # clips behind `preview/frechet_logmel`, generated and real
SILENCE = 1e-3  # a clip whose peak is below -60 dB of full scale
ALIKE = 0.02  # clips whose log-mel spectrograms differ by less than this, root mean square, in natural-log units (0.17 dB)
_SHOWN_CLIPS = 4  # in TensorBoard


class PreviewMetrics:
    """Figures of generated clips, comparable along one run.

    `preview/frechet_logmel` is the Frechet distance between Gaussians fitted to simple features of `METRIC_CLIPS` generated and
    as many real clips: per clip, the mean and standard deviation over time of a 24-band log-mel spectrogram. It is cheap, needs no
    classifier, and falls as the sound approaches the data. From so few clips it is biased upwards, equally at every step, so it
    ranks the checkpoints of one run but should not be published (use `gan-audio evaluate`).

    Args:
        recipe: The recipe, for sample rate and clip length.
        real: Clips [samples, channels]; with fewer than two there is no distance.
    """

    def __init__(self, recipe: Recipe, real: Iterable[np.ndarray] = ()):
        self.log_mel = LogMel.for_clips(recipe.data.sample_rate, recipe.data.clip_samples, bands=24)
        self.samples = recipe.data.clip_samples
        self.real = [self._features(self._spectrograms(_mono(clip)[None, : self.samples])) for clip in real]

    @property
    def clips(self) -> int:
        """Number of generated clips for `measure`: as many as real ones, at least 16 for the other figures."""
        return max(16, len(self.real))

    def measure(self, clips: np.ndarray) -> dict[str, float]:
        """Compute the `preview/...` figures of finite clips [n, samples, channels]: frechet_logmel if there are real clips, peak
        (median over the clips), silent (fraction of the clips), difference (root mean square over pairs of clips; see `ALIKE`)."""
        peaks = np.abs(clips).max(axis=(1, 2))
        spectrograms = self._spectrograms(clips.mean(axis=2))
        figures = {
            "preview/peak": float(np.median(peaks)),
            "preview/silent": float(np.mean(peaks < SILENCE)),
            # The mean square difference over all pairs of a set is twice its variance.
            "preview/difference": float(np.sqrt(2.0 * spectrograms.var(axis=0, ddof=1).mean())) if len(clips) > 1 else float("inf"),
        }
        if len(self.real) > 1 and len(clips) > 1:
            figures["preview/frechet_logmel"] = frechet_of(np.concatenate(self.real), self._features(spectrograms))
        return figures

    def _spectrograms(self, mono: np.ndarray) -> np.ndarray:
        return self.log_mel.compute(mono)

    @staticmethod
    def _features(spectrograms: np.ndarray) -> np.ndarray:
        return np.concatenate([spectrograms.mean(axis=1), spectrograms.std(axis=1)], axis=-1).astype(np.float64)


def collapse_reason(figures: Mapping[str, float]) -> str | None:
    """Return why the previews show a collapsed generator, or None: all nearly silent, or all alike."""
    if figures["preview/silent"] == 1.0:
        return f"every preview is nearly silent (peaks below {SILENCE:g})"
    if figures["preview/difference"] < ALIKE:
        return f"all previews sound alike (log-mel spectrograms differ by {figures['preview/difference']:.2g})"
    return None


def compared_figures(clips: np.ndarray, companions: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compute `preview/si_sdr` (dB, means not removed) of clips [n, samples, channels] against the companion "clean", and
    `preview/si_sdr_gain` over that of "noisy": medians over the clips whose clean side is not silent. Empty without these companions."""
    if not {"clean", "noisy"} <= set(companions):
        return {}
    clean = np.asarray(companions["clean"], np.float64).reshape(len(clips), -1)
    heard = np.square(clean).mean(axis=1) > SILENCE**2
    if not heard.any():
        return {}

    def ratio(estimates: np.ndarray) -> np.ndarray:
        e, t = np.asarray(estimates, np.float64).reshape(len(clips), -1)[heard], clean[heard]
        projected = t * np.sum(e * t, axis=1, keepdims=True) / np.sum(t * t, axis=1, keepdims=True)
        tiny = 1e-12 * np.sum(t * t, axis=1)
        return 10 * np.log10((np.square(projected).sum(axis=1) + tiny) / (np.square(e - projected).sum(axis=1) + tiny))

    after, before = ratio(clips), ratio(companions["noisy"])
    return {"preview/si_sdr": float(np.median(after)), "preview/si_sdr_gain": float(np.median(after - before))}


@dataclass
class Summaries:
    """Writes the logs of one run, on the chief machine."""

    run: RunFolder
    recipe: Recipe

    def __post_init__(self) -> None:
        self._writer = tf.summary.create_file_writer(str(self.run.events_dir))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write values to `metrics.jsonl` and TensorBoard, flushed to disk."""
        self.run.append_metrics(step, values)
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def previews(self, step: int, clips: np.ndarray, companions: Mapping[str, np.ndarray] | None = None) -> None:
        """Write clips [n, samples, channels] to samples/<step>/ as tagged WAV files, and audio and spectrograms to TensorBoard.

        `companions` are recordings for comparison, by name: `00-noisy.wav` beside `00.wav`, without the provenance tag.
        """
        rate = self.recipe.data.sample_rate
        mark = {
            "synthetic": True,
            "software": f"gan-audio {__version__}",
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "step": step,
        }
        folder = self.run.samples_dir(step)
        for index, clip in enumerate(clips):
            audio_file.write(folder / f"{index:02d}.wav", clip, rate, tag={**mark, "preview": index}, overwrite=True)
            for name, beside in (companions or {}).items():
                audio_file.write(folder / f"{index:02d}-{name}.wav", beside[index], rate, overwrite=True)
        with self._writer.as_default(step):
            shown = np.clip(clips[:_SHOWN_CLIPS], -1, 1)
            if shown.shape[2] <= 2:  # TensorBoard plays one or two channels
                tf.summary.audio("preview", shown, rate, max_outputs=_SHOWN_CLIPS)
            tf.summary.image("preview/spectrograms", spectrogram_image(clips, rate)[None])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Interval:
    """The measurements between two lines of the log. Previews, checkpoints and the compilation of a step's function, which takes
    seconds once, do not count in the rate."""

    def __init__(self) -> None:
        self.steps = 0
        self._waited = self._excluded = 0.0
        self._compiled = self._examples = 0
        self._values: dict[str, list[float]] = {}
        self._begun = time.monotonic()
        self._paused = False

    def add(self, waited: float, compiling: float | None, examples: int = 0) -> None:
        """Add a step: seconds waited for input, the seconds of the whole step if its function was compiled in it, examples read."""
        self.steps += 1
        if compiling is None:
            self._waited += waited
            self._examples += examples
        else:
            self._compiled += 1
            self._excluded += compiling

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude work that is not a step. Wait for the device's pending work before."""
        if self._paused:
            yield
            return
        begun, self._paused = time.monotonic(), True
        try:
            yield
        finally:
            self._paused = False
            self._excluded += time.monotonic() - begun

    def values(self, names: Sequence[str], values: np.ndarray) -> None:
        """Add the values of one step."""
        for name, value in zip(names, values, strict=True):
            if np.isfinite(value):
                self._values.setdefault(name, []).append(float(value))

    def summary(self) -> dict[str, float]:
        """Return means of the values; `steps_per_second`, `examples_per_second` and `input_wait` (fraction of the time), unless all steps
        were compiling."""
        figures = {name: float(np.mean(values)) for name, values in self._values.items()}
        spent = max(time.monotonic() - self._begun - self._excluded, 1e-9)
        if self.steps > self._compiled:
            figures |= {"steps_per_second": (self.steps - self._compiled) / spent, "input_wait": self._waited / spent}
            figures["examples_per_second"] = self._examples / spent
        return figures


def spectrogram_image(clips: np.ndarray, sample_rate: int, columns: int = 4) -> np.ndarray:
    """Draw the log-mel spectrograms of up to 16 clips as one image, low frequencies at the bottom, 80 dB from black to white.

    Args:
        clips: [n, samples, channels].
        sample_rate: Hz.
        columns: Spectrograms per row.

    Returns:
        uint8 [height, width, 1].
    """
    clips = clips[:16]
    log_mel = LogMel.for_clips(sample_rate, clips.shape[1], bands=64)
    levels = log_mel.compute(clips.mean(axis=2))
    grey = np.clip((levels - np.log(log_mel.offset)) / -np.log(log_mel.offset), 0, 1)
    tiles = np.flip(np.swapaxes(255 * grey, 1, 2), axis=1).astype(np.uint8)
    rows = -(-len(tiles) // columns)
    tiles = np.concatenate([tiles, np.zeros((rows * columns - len(tiles), *tiles.shape[1:]), np.uint8)])
    framed = np.pad(tiles, [(0, 0), (0, 2), (0, 2)], constant_values=96)
    height, width = framed.shape[1:]
    return framed.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width, 1)


def _mono(clip: np.ndarray) -> np.ndarray:
    return np.asarray(clip, np.float32).mean(axis=1)
