"""A trained converter, ready to be asked: found and opened, its domains, its spectra in pieces, the speaker of a recording."""

from __future__ import annotations

import difflib
import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import RunError, UsageError

if TYPE_CHECKING:
    from ...models.voice_converter import VoiceConverter

CLASS_NAME = "VoiceConverter"
_DETECT_SECONDS = 4.0  # of speech that `detect` is given at a time
_LEAST_SECONDS = 0.75  # a shorter piece is mirrored until it has so many: networks that normalise over time need something to do it over
_MIX = 3  # domains that an anonymous voice is mixed of, at most
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class Domains:
    """What a model's file says of its domains, read without TensorFlow.

    Attributes:
        names: In the order of their numbers.
        f0_hz: Mean pitch of each; 0: not known.
        seconds: Voiced seconds of each that this comes from; infinite where nobody said.
        consent: The note that came with the recordings.
        provenance: Recipe, step, version.
    """

    file: Path
    names: tuple[str, ...]
    f0_hz: tuple[float, ...]
    seconds: tuple[float, ...]
    consent: str
    provenance: dict[str, Any]

    def check(self, name: str, option: str) -> None:
        """Raises UsageError, with all valid names, if no domain is meant by `name`; see `resolve`."""
        if name in self.names or name in self._parts(0) or name in self._parts(1):
            return
        near = difflib.get_close_matches(name.casefold(), [known.casefold() for known in self.names], n=1, cutoff=0.5)
        meant = [known for known in self.names if near and known.casefold() == near[0]]
        valid = ", ".join(self.names)
        raise UsageError(
            f"{option} {name}: the model has no such domain; it has {valid}.",
            hint=f"{option} {meant[0]}" if meant else "gan-audio convert --list --model RUN shows them",
        )

    def resolve(self, name: str, source: int) -> int:
        """The number of a domain. Where domains are "speaker/emotion", an emotion alone keeps the speaker, a speaker alone the emotion.

        Raises:
            UsageError: There is no such combination.
        """
        if name in self.names:
            return self.names.index(name)
        speaker, _, emotion = self.names[source].partition("/")
        wanted = f"{name}/{emotion}" if name in self._parts(0) else f"{speaker}/{name}"
        if wanted not in self.names:
            raise UsageError(f"The model has no domain {wanted!r}; it has {', '.join(self.names)}.", hint=f"--to {self.names[0]}")
        return self.names.index(wanted)

    def _parts(self, place: int) -> set[str]:
        return {name.split("/", 1)[place] for name in self.names} if all("/" in name for name in self.names) else set()


def model_file(path: Path) -> Path:
    """The model of a run folder, or the file itself.

    Raises:
        RunError: There is none yet, or nothing.
    """
    if not path.exists():
        raise RunError(
            f"{path} does not exist; expected a run folder or a .keras file.", hint="gan-audio train --recipe stargan_vc --data DATA"
        )
    if not path.is_dir():
        return path
    from ...run_folder import RunFolder

    file = RunFolder.load(path).model_file("generator")
    if not file.is_file():
        raise RunError(f"{path} has no model yet.", hint="wait for the first checkpoint, or resume training")
    return file


def read_domains(path: Path) -> Domains:
    """What the model of a run folder or a `.keras` file converts between.

    Raises:
        RunError: There is none, or it is another kind of model.
    """
    file = model_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            saved = json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise RunError(f"{file} is not a Keras model file.", hint="give a run folder, or the model/generator.keras of one") from error
    if saved.get("class_name") != CLASS_NAME:
        raise RunError(
            f"{file} is a Keras model of class {saved.get('class_name')}: it converts no voices.",
            hint="train one of the families stargan_vc and cyclegan_vc",
        )
    config = saved["config"]
    mean = config.get("f0_median") or config["f0_mean"]
    seconds = config.get("f0_seconds") or [None] * len(mean)
    return Domains(
        file=file,
        names=tuple(config["domains"]),
        f0_hz=tuple(float(np.exp(m)) if s is None or s > 0 else 0.0 for m, s in zip(mean, seconds, strict=True)),
        seconds=tuple(float("inf") if s is None else float(s) for s in seconds),
        consent=str(config.get("consent") or ""),
        provenance=dict(config.get("provenance") or {}),
    )


@dataclass(frozen=True)
class Heard:
    """What the beginning of a recording is like.

    Attributes:
        peak: Largest magnitude; 0: silence.
        probabilities: float [domains], that it is each domain's; they sum to 1.
        median: Of ln F0 over voiced frames; 0: nothing is voiced.
        voiced_seconds: Of speech that this comes from.
        voiced_share: Of the frames that are not quiet.
        level: Of the active frames of its spectra, as `VoiceConverter.level_offset` takes it.
    """

    peak: float
    probabilities: np.ndarray
    median: float = 0.0
    voiced_seconds: float = 0.0
    voiced_share: float = 0.0
    level: float = 0.0


class Converter:
    """A model that has been opened; no state of any recording is in it.

    Attributes:
        model: The `VoiceConverter`.
        domains: As `read_domains` gives them.
        sha256: Of its file, in hex.
    """

    def __init__(self, model: VoiceConverter, domains: Domains, sha256: str):
        import tensorflow as tf

        self.model, self.domains, self.sha256 = model, domains, sha256
        self.convention = c = model.convention
        self.sample_rate = c.sample_rate
        count = len(model.domains)
        mel, code = tf.TensorSpec([None, None, c.bands], tf.float32), tf.TensorSpec([1, count], tf.float32)
        # One trace for pieces of every length.
        self._convert = tf.function(
            lambda mel, source, target, strength: model.convert(
                mel, tf.repeat(source, tf.shape(mel)[0], axis=0), tf.repeat(target, tf.shape(mel)[0], axis=0), strength
            ),
            input_signature=[mel, code, code, tf.TensorSpec([], tf.float32)],
            autograph=False,
        )
        self._detect = tf.function(model.detect, input_signature=[mel], autograph=False)

    def code(self, domain: int) -> np.ndarray:
        """float32 [domains]: 1 at a domain's number."""
        return np.eye(len(self.domains.names), dtype=np.float32)[domain]

    def long_enough(self, audio: np.ndarray) -> np.ndarray:
        """A recording [samples], mirrored at its end until there is something to work with."""
        least = max(round(_LEAST_SECONDS * self.sample_rate), self.convention.reach + 1)
        return audio if len(audio) >= least else np.pad(audio, (0, least - len(audio)), mode="symmetric")

    def spectra(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the model takes of audio, float32 [samples] at its rate, `long_enough`: (log-mel spectra [frames, bands], ln F0 [frames]).

        Raises:
            GanAudioError: No F0 tracker is installed.
        """
        from ...signal.mel_frames import log_mel
        from ...signal.pitch import ln_f0_contour

        c = self.convention
        contour = ln_f0_contour(audio, c)
        if self.model.features == "world":
            from ...signal.world_envelope import envelope_mel, spectral_envelope

            mel = envelope_mel(spectral_envelope(audio, contour, c), c)
        else:
            mel = log_mel(audio, c)
        frames = min(len(mel), len(contour))
        return mel[:frames], contour[:frames]

    def converted(self, mel: np.ndarray, source: np.ndarray, target: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """`VoiceConverter.convert` of spectra of any length [frames, bands]; domains are weights [domains].

        A model that normalises over `chunk_frames` gets windows of that many, a quarter of which overlap and are faded into each other.

        Raises:
            RunError: The model gives NaN.
        """
        import tensorflow as tf

        size, frames = self.model.chunk_frames, len(mel)
        codes = [tf.constant(np.asarray(code, np.float32)[None]) for code in (source, target)]
        run = lambda windows: self._convert(tf.constant(windows, tf.float32), *codes, tf.constant(strength, tf.float32)).numpy()
        if not size or frames <= size:
            made = run(mel[None])[0]
        else:
            fade = max(1, size // 4)
            starts = sorted({*range(0, frames - size, size - fade), frames - size})
            ramp = (np.arange(fade) + 0.5) / fade
            weight = np.concatenate([ramp, np.ones(size - 2 * fade), ramp[::-1]])[:, None]
            total, sums = np.zeros(mel.shape), np.zeros((frames, 1))
            for start in starts:  # one by one: windows of one shape, and memory of one
                total[start : start + size] += weight * run(mel[None, start : start + size])[0]
                sums[start : start + size] += weight
            made = (total / sums).astype(np.float32)
        if not np.isfinite(made).all():
            raise RunError("The model gives values that are not numbers.", hint="use an earlier checkpoint of the run")
        return made

    def listen(self, audio: np.ndarray) -> Heard:
        """Who speaks in a recording, how high and how loud: float32 [samples] at the model's rate, a minute of it at most."""
        import tensorflow as tf

        from ...signal.mel_frames import active_frames

        count, model = len(self.domains.names), self.model
        nothing = np.full(count, 1 / count)
        peak = float(np.abs(audio).max(initial=0.0))
        if not peak:
            return Heard(0.0, nothing)
        mel, contour = self.spectra(self.long_enough(audio))
        active, voiced = active_frames(mel, self.convention), contour > 0
        level = float(mel[active].mean())
        window = round(_DETECT_SECONDS * self.sample_rate / self.convention.hop)
        found, weights = [], []
        aligned = mel + (float(model.active_level.mean()) - level)
        for start in range(0, len(mel), window):
            spoken = int((voiced & active)[start : start + window].sum())
            if spoken or len(mel) <= window:
                found.append(self._detect(tf.constant(aligned[None, start : start + window], tf.float32)).numpy()[0])
                weights.append(max(spoken, 1))
        probabilities = nothing
        if found:
            mean = np.average(np.asarray(found, np.float64), axis=0, weights=weights)
            probabilities = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
        return Heard(
            peak,
            probabilities,
            float(np.median(contour[voiced])) if voiced.any() else 0.0,
            float(voiced.sum()) * self.convention.hop / self.sample_rate,
            float((voiced & active).sum() / max(active.sum(), 1)),
            level,
        )

    def distances(self, source: np.ndarray) -> np.ndarray:
        """How far each domain's average voice lies from that of a mix of domains: spectral difference in its deviations, and octaves of
        pitch in thirds. float64 [domains]."""
        model = self.model
        colour = (model.mel_mean - source @ model.mel_mean) / (source @ model.mel_deviation)
        colour = colour - colour.mean(axis=1, keepdims=True)  # level is no matter of voice
        known = (model.f0_seconds > 0).astype(np.float64)
        pitch = known * (model.f0_median - source @ model.f0_median) / (4 * _SEMITONE)
        return np.sqrt(np.square(colour).mean(axis=1) + np.square(pitch))

    def far_mix(self, heard: Sequence[float] | np.ndarray, seed: int) -> np.ndarray:
        """An anonymous voice: float32 [domains], weights of up to three domains in the farther half of all, drawn with `seed`.

        The likeliest domain of the source takes no part. One source and seed give one voice, so that a speaker keeps a pseudonym in all
        recordings; another seed gives another.

        Raises:
            UsageError: The model has one domain.
        """
        probabilities = np.asarray(heard, np.float64)
        count = len(probabilities)
        if count < 2:
            raise UsageError("--anonymize needs a model of at least two domains.", hint="train one on several speakers")
        speaker = int(probabilities.argmax())
        far = np.argsort(-self.distances(self.code(speaker)), kind="stable")
        far = far[far != speaker][: max(1, min(count - 1, max(2, count // 2)))]
        draw = np.random.default_rng([seed, speaker])
        chosen = draw.permutation(far)[:_MIX]
        weights = np.zeros(count, np.float32)
        weights[chosen] = draw.dirichlet(np.full(len(chosen), 2.0))
        return weights / weights.sum()


def open_converter(path: Path) -> Converter:
    """The converter of a run folder or of a `.keras` file.

    Raises:
        RunError: There is none, it is another kind of model, or it cannot be loaded.
    """
    import keras

    from ...families.registry import family_class
    from ...models import voice_converter as converter  # registers the class
    from ...recipe_schema import FAMILIES

    assert converter.VoiceConverter.__name__ == CLASS_NAME
    domains = read_domains(path)
    if domains.provenance.get("family") in FAMILIES:
        family_class(domains.provenance["family"])  # registers its layers
    try:
        model = keras.saving.load_model(domains.file, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"{domains.file} cannot be loaded: {reason[0]}", hint="the file is damaged, or was written by another version of gan-audio"
        ) from error
    with domains.file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Converter(model, domains, digest)
