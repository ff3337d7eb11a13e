"""The public Python API: `load` opens a model and returns an object of its kind; arrays in, arrays out.

Audio is floating point with full scale [-1, 1], [samples] or [samples, channels]; results equal those of the command line before they
are written. Every failure that the library foresees is a `GanAudioError` with a message and a hint. Heavy imports happen on use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GanAudioError
from .models.model_file import ENHANCERS, GENERATORS, SYNTHESISERS, VOCODERS, ModelFile, find_model

if TYPE_CHECKING:
    import numpy as np

    from .data.prepare.report import PrepareReport
    from .training.events import Event, TrainReport

StrPath = str | PathLike[str]
_ELSEWHERE = {
    "repair": "inference.enhance.steps",
    "evaluate_clips": "metrics.clips.report",
    "evaluate_notes": "metrics.clips.note_report",
    "evaluate_pairs": "metrics.pairs.report",
    "evaluate_voices": "metrics.voices.report",
    "evaluate_vocoders": "inference.vocode.copy_synthesis",
    "speaker_vector": "models.speaker_encoder",
}
__all__ = ["Converter", "Denoiser", "GanAudioError", "Generator", "Synthesiser", "Vocoder", "load", "prepare", "train", *_ELSEWHERE]


def load(model: StrPath) -> Generator | Denoiser | Vocoder | Converter | Synthesiser:
    """Load the model of a run folder, of a `.keras` file, or a bundled one by name ("denoiser", "vocoder"); of an `.onnx` file, a published
    voice (Piper, Kokoro).

    Raises:
        RunError: There is none, or it cannot be loaded. Files are checked before anything is built; no code from them is executed.
    """
    if Path(model).suffix == ".onnx":
        return Synthesiser(model)
    found = find_model(Path(model))
    if found.class_name in GENERATORS:
        return Generator(found)
    if found.class_name in ENHANCERS:
        return Denoiser(found)
    if found.class_name in SYNTHESISERS:
        return Synthesiser(model)
    return Vocoder(found) if found.class_name in VOCODERS else Converter(found)


class Generator:
    """A generator of clips: `sample_rate` (Hz), `clip_samples`, `latent_dim`, `provenance`, and `classes`: condition (label, pitch,
    instrument, velocity) -> class names."""

    def __init__(self, found: ModelFile):
        from .inference.generate.session import open_session

        self.session = session = open_session(found)
        self.sample_rate, self.clip_samples, self.latent_dim = session.sample_rate, session.clip_samples, session.latent_dim
        self.classes, self.provenance = dict(session.classes), dict(session.provenance)

    def generate(self, n: int = 16, **options: Any) -> np.ndarray:
        """Generate float32 [n, samples, channels], the same clips as `gan-audio generate`.

        Options are those of `inference.generate.arrays.generate_array`: seed, first, label, pitch, instrument, velocity, truncation,
        latents.
        """
        from .inference.generate.arrays import generate_array

        return generate_array(self.session, n, **options)


class Denoiser:
    """A model that enhances recordings; `sample_rate` is the model's, recordings may have any."""

    def __init__(self, found: ModelFile):
        from .inference.enhance.enhancers import open_enhancer

        self.enhancer = open_enhancer(found)
        self.sample_rate, self.provenance = self.enhancer.sample_rate, dict(self.enhancer.provenance)

    def enhance(self, audio: np.ndarray, sample_rate: int, **options: Any) -> np.ndarray:
        """Remove noise from a recording and return the same shape, rate and type, as `gan-audio enhance`.

        Options are fields of `inference.enhance.options.EnhanceOptions`: strength_db, mix, per_channel, passes.
        """
        from .inference.enhance.options import EnhanceOptions
        from .inference.enhance.process import enhance_array

        return enhance_array(self.enhancer, audio, sample_rate, EnhanceOptions(**options))


class Vocoder:
    """A model that turns mel spectrograms into audio; `convention` states what the spectrogram's numbers mean."""

    def __init__(self, found: ModelFile):
        from .inference.vocode.stream import open_vocoder

        self.vocoder = open_vocoder(found)
        self.convention, self.sample_rate = self.vocoder.convention, self.vocoder.convention.sample_rate

    def vocode(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Resynthesise a recording, as `gan-audio vocode`: float32 [samples] or [samples, channels] at `self.sample_rate`."""
        from .inference.vocode.stream import vocode_array

        return vocode_array(self.vocoder, audio, sample_rate)

    def vocode_mel(self, mel: np.ndarray) -> np.ndarray:
        """Vocode a mel spectrogram: float [frames, bands] in `self.convention` -> float32 [frames * hop]."""
        from .inference.vocode.stream import vocode_mel

        return vocode_mel(self.vocoder, mel)


class Synthesiser:
    """A model that speaks text: `voices`, `languages`, `emotions`, `sample_rate`."""

    def __init__(self, model: StrPath, vocoder: str | None = None):
        from .inference.say.open_voice import open_voice

        self.voice = open_voice(Path(model), vocoder=vocoder)
        self.voices, self.languages, self.emotions = self.voice.speakers, self.voice.languages, self.voice.emotions
        self.sample_rate = self.voice.sample_rate

    def say(self, text: str, voice: str = "", **options: Any) -> np.ndarray:
        """Speak a text, as `gan-audio say`: float32 [samples] at `self.sample_rate`. What is written of it is to be tagged as synthetic.

        Options are fields of `inference.say.task.SayOptions`: language, emotion, speed, pitch, energy, markup, seed.
        """
        import numpy as np

        from .data.text.report import TextReport
        from .inference.say.task import SayOptions, speak_text

        chosen = SayOptions(voice, **options).checked(self.voice)
        blocks = [block.samples for block in speak_text(text, self.voice, chosen, None, TextReport())]
        return np.concatenate([np.zeros(0, np.float32), *blocks])


class Converter:
    """A model that converts voices between its `domains` (speakers, emotions)."""

    def __init__(self, found: ModelFile):
        from .inference.convert.converter import open_converter

        self.converter = open_converter(found)
        self.domains, self.sample_rate = self.converter.domains.names, self.converter.sample_rate

    def convert(self, audio: np.ndarray, sample_rate: int, to: str = "", **options: Any) -> np.ndarray:
        """Convert a recording to the voice of domain `to` and return the same shape, rate and type, as `gan-audio convert`.

        Options are fields of `inference.convert.options.ConvertOptions`: source, strength, semitones, keep_f0, anonymize, seed, vocoder,
        per_channel.
        """
        from .inference.convert.options import ConvertOptions
        from .inference.convert.voice_stream import convert_array

        return convert_array(self.converter, audio, sample_rate, ConvertOptions(to, **options))


def prepare(
    inputs: StrPath | Iterable[StrPath],
    output: StrPath,
    recipe: str,
    *,
    labels: str = "auto",
    sets: Sequence[str] = (),
    cut: Mapping[str, Any] | None = None,
    label_options: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
    **options: Any,
) -> PrepareReport:
    """Turn folders of recordings into a data set for a recipe, as `gan-audio prepare --recipe`.

    Args:
        inputs: Folders (searched to any depth) and files.
        output: The data set folder.
        recipe: Name or file of the recipe, which gives sample rate, channels and clip length.
        labels: "none", "folder", "pattern", "csv", "layout", or "auto": by folder, if the recipe is conditioned on labels.
        sets: Changes of recipe keys, such as "data.sample_rate=8000".
        cut, label_options, splits: Fields of `CutOptions`, `LabelOptions` and `SplitOptions`.
        options: Further arguments of `data.prepare.job.prepare`: noise, consent, jobs, overwrite, dry_run, progress.
    """
    from .data.corpora.source_file import LabelOptions
    from .data.prepare import job
    from .data.prepare.clip_cutting import CutOptions
    from .data.prepare.report import PrepareOptions
    from .data.prepare.work import SplitOptions
    from .recipe import load_recipe

    loaded, naming = load_recipe(recipe, list(sets)), dict(label_options or {})
    data, model = loaded.data, loaded.model
    if labels == "auto" and not any(naming.get(name) for name in ("pattern", "csv", "layout")) and model.conditioning != "none":
        labels = "folder"
    length = 0 if model.whole_recordings else data.clip_samples
    sound = CutOptions(**{"sample_rate": data.sample_rate, "channels": data.channels, "clip_samples": length, **(cut or {})})
    chosen = PrepareOptions(sound, LabelOptions(labels, **naming), SplitOptions(**(splits or {})))
    options |= {"peak_normalize": data.peak_normalize, "peak": data.peak, "frames": model.frame_features(sound.sample_rate)}
    options |= {"speech": model.speech_features(sound.sample_rate)}
    sources = [inputs] if isinstance(inputs, (str, PathLike)) else list(inputs)
    return job.prepare(sources, output, chosen, specs=model.statistics(sound.sample_rate), **options)


def train(
    recipe: str,
    data: StrPath,
    run: StrPath,
    *,
    sets: Sequence[str] = (),
    restart: bool = False,
    init_from: StrPath | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> TrainReport:
    """Train a model from a recipe, or resume the run in `run`, as `gan-audio train`; Ctrl-C ends it after the running step, saved.

    Args:
        recipe: Name or file of a recipe.
        data: A prepared data set, or a folder of recordings.
        run: The run folder.
        sets: Changes of recipe keys, such as "training.steps=1000".
        restart: Delete the run that exists, and begin again.
        init_from: A run whose weights are the first ones (fine-tuning).
        on_event: Called with progress, previews and warnings.
    """
    from .recipe import load_recipe
    from .training import trainer

    parent = None if init_from is None else Path(init_from)
    return trainer.train(load_recipe(recipe, list(sets)), Path(data), Path(run), restart=restart, init_from=parent, on_event=on_event)


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"{__package__}.{_ELSEWHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
