"""The normalised log spectrogram that SpecGAN and the VAE learn, in both directions."""

from __future__ import annotations

from typing import Any, Protocol

from ..data.dataset_info import DatasetInfo
from ..data.statistics import statistics_key
from ..errors import DatasetError, RecipeError
from ..feature_specs import LogSpectrogram
from ..layers import NormalizedLogSpectrogram, SpectrogramToAudio
from ..recipe_schema import Recipe
from ..signal.mel import mel_mean_bank
from ..signal.stft import frame_count
from .sizes import stages_of


class SpectrogramTable(Protocol):
    """The keys of `[model]` that describe such a spectrogram; see `SpecGANModel`."""

    @property
    def fft(self) -> int: ...
    @property
    def hop(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def log_offset(self) -> float: ...
    @property
    def clip_deviations(self) -> float: ...
    @property
    def griffin_lim_iterations(self) -> int: ...
    @property
    def griffin_lim_momentum(self) -> float: ...
    @property
    def stages(self) -> int: ...
    @property
    def mel_bands(self) -> int: ...
    def statistics(self, sample_rate: int) -> tuple[LogSpectrogram, ...]: ...


class Spectrogram:
    """Geometry, statistics and layers of the spectrograms of one family.

    Attributes:
        shape: [frames, bins, channels] of a spectrogram.
        stages: Layers of stride 2 of a network that makes or reads it.
        statistics: Key of its per-bin statistics in `DatasetInfo.statistics`.
        layer: Registered layer from float [batch, samples, channels] to float32 [batch, *shape].

    Raises:
        RecipeError: Frames, FFT, hop and clip length do not fit together.
        DatasetError: The data set lacks the statistics.
    """

    def __init__(self, model: SpectrogramTable, recipe: Recipe, info: DatasetInfo):
        samples = recipe.data.clip_samples
        if model.fft % 2 or 2 * model.hop > model.fft:
            raise RecipeError(f"model.fft is {model.fft} and model.hop {model.hop}; expected an even fft and a hop of at most half of it.")
        needed = frame_count(samples, model.hop)
        if needed != model.frames:
            raise RecipeError(
                f"model.frames is {model.frames}, but {samples} samples (data.clip_samples) at hop {model.hop} (model.hop) are "
                f"{needed} frames.",
                hint=f"--set model.frames={needed}, or --set data.clip_samples={model.frames * model.hop}",
            )
        bins, rate = model.mel_bands or model.fft // 2, recipe.data.sample_rate
        if model.mel_bands:
            check_bands(model.mel_bands, model.fft, rate)
        self.shape = (model.frames, bins, recipe.data.channels)
        self.stages = stages_of(model.frames, bins, model.stages)
        (spec,) = model.statistics(rate)
        self.statistics = statistics_key(spec, recipe.data.peak_normalize, recipe.data.peak)
        self._scale = self._scale_of(model, spec, info, rate)
        self._samples, self._model = samples, model
        self.layer = NormalizedLogSpectrogram(frames=model.frames, **self._scale, dtype="float32", name="spectrogram")

    def _scale_of(self, model: SpectrogramTable, spec: LogSpectrogram, info: DatasetInfo, rate: int) -> dict[str, Any]:
        found = info.statistics.get(self.statistics)
        if not found:
            raise DatasetError(
                f"The data set {info.name} holds no statistics {self.statistics!r}, by which each frequency bin is normalised.",
                hint="gan-audio prepare --recipe NAME computes them; training does so too where it can write to the data set",
            )
        wanted = spec.bins
        if any(len(found[name]) != wanted for name in ("mean", "deviation")):
            raise DatasetError(f"The statistics {self.statistics!r} of {info.name} have {len(found['mean'])} bins; expected {wanted}.")
        return {
            "fft": model.fft,
            "hop": model.hop,
            "mean": found["mean"],
            "deviation": found["deviation"],
            "log_offset": model.log_offset,
            "clip_deviations": model.clip_deviations,
            "mel_bands": model.mel_bands,
            "sample_rate": rate if model.mel_bands else 0,
        }

    def to_audio(self, **options: Any) -> SpectrogramToAudio:
        """Build the registered layer back to audio: Griffin-Lim. `options` are further arguments of `SpectrogramToAudio`."""
        return SpectrogramToAudio(
            samples=self._samples,
            iterations=self._model.griffin_lim_iterations,
            momentum=self._model.griffin_lim_momentum,
            **options,
            **self._scale,
            dtype="float32",
            name="to_audio",
        )


def check_bands(bands: int, fft: int, sample_rate: int) -> None:
    """Raise RecipeError where a mel band would hold no bin of the transform."""
    try:
        mel_mean_bank(sample_rate, fft, bands)
    except ValueError as error:
        raise RecipeError(f"model.mel_bands: {error}.", hint="choose a larger model.fft, or fewer model.mel_bands") from error
