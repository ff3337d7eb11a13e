"""Figures of converted recordings: of each file, and of all files of one target together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ...data.audio import audio_file
from ...errors import AudioFileError
from ...models.speaker_encoder import speaker_vector
from ..figure import Cell, Figure, MetricError, absent, mean_of
from . import conversion as speech
from . import scorers
from .conversion import Speech

Discriminator = Callable[[np.ndarray, int, str, str], bool]  # (audio, rate, source, target) -> classified as a real recording of the target


class VoiceClassifier(Protocol):
    """A `domain_classifier.DomainClassifier`."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def classify(self, audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass
class Domain:
    """One domain as its real recordings show it, those of the test split if there are any.

    Attributes:
        name: Label of the data set.
        mean_ln_f0: Mean ln F0; NaN if no recording has one.
        variance: [24] mean global variance of the cepstra; empty if there is none.
        vectors: [recordings, 256], speaker vectors of some of its real recordings.
        spread: Mean distance between the classifier's features of all pairs of recordings.
        real: The recordings.
    """

    name: str
    mean_ln_f0: float = math.nan
    variance: np.ndarray = field(default_factory=lambda: np.zeros(0))
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    spread: float = 0.0
    real: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def vector(self) -> np.ndarray | None:
        """Mean speaker vector, of length 1; None without a recording that holds enough speech."""
        if not len(self.vectors):
            return None
        mean = self.vectors.mean(axis=0)
        return mean / np.linalg.norm(mean)


@dataclass
class ConvertedFile:
    """A converted recording and its measurements.

    Attributes:
        name: Path below its folder.
        source, target: Domains it was converted from and to; "" if unknown.
        values: Key -> value, or the reason (str) why there is none.
        unusable: Reason why it could not be measured at all; "" otherwise.
        predicted: Domain that the classifier assigns it to.
        heard: Words that the recogniser finds in it.
        features, variance: The classifier's features, and global variance [24].
    """

    name: str
    source: str
    target: str
    values: dict[str, float | str] = field(default_factory=dict)
    unusable: str = ""
    predicted: str = ""
    heard: str = ""
    features: np.ndarray | None = None
    variance: np.ndarray | None = None


@dataclass(frozen=True)
class Context:
    """Settings that the figures of all conversions share.

    Attributes:
        classifier: Classifier of domains.
        domains: Domains by name.
        sources, targets: Files by name (`report.files_by_name`); None if no folder was given.
        texts: Transcripts by file name without suffix.
        words: Whether to compute word error rates.
        whisper: Folder of the Whisper model that recognises them; "": PocketSphinx does.
        discriminator: A run's discriminator.
    """

    classifier: VoiceClassifier
    domains: dict[str, Domain]
    sources: dict[str, Path] | None = None
    targets: dict[str, Path] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    words: bool = False
    whisper: str = ""
    discriminator: Discriminator | None = None


class Conversion:
    """One converted recording with everything its figures are computed from; costly parts are computed once, on first use.

    Raises:
        AudioFileError, MetricError: It cannot be read, or holds no sound.
    """

    def __init__(self, file: ConvertedFile, path: Path, context: Context):
        self.file, self.context = file, context
        self.audio, self.rate = read_mono(path)
        self.made = speech.analyse(self.audio, self.rate)
        file.features, probabilities = context.classifier.classify(self.audio, self.rate)
        file.predicted = context.classifier.labels[int(probabilities.argmax())]
        file.variance = speech.variance_of(self.made)

    @property
    def source(self) -> Domain | None:
        return self.context.domains.get(self.file.source)

    @property
    def target(self) -> Domain | None:
        return self.context.domains.get(self.file.target)

    @cached_property
    def before(self) -> Speech | str:
        """The recording that was converted, or why there is none."""
        return _partner(self.context.sources or {}, self.file, self.file.source, "source")

    @cached_property
    def after(self) -> Speech | str:
        """The target's own recording of the same words, or why there is none."""
        return _partner(self.context.targets or {}, self.file, self.file.target, "target")

    @cached_property
    def beside_source(self) -> tuple[np.ndarray, np.ndarray]:
        return speech.side_by_side(_known(self.before), self.made)

    @cached_property
    def along_target(self) -> tuple[np.ndarray, np.ndarray]:
        return speech.align(_known(self.after), self.made)

    @cached_property
    def pitch_beside_source(self) -> dict[str, float]:
        return speech.pitch_figures(_known(self.before), self.made, self.beside_source)

    @cached_property
    def pitch_along_target(self) -> dict[str, float]:
        return speech.pitch_figures(_known(self.after), self.made, self.along_target)

    @cached_property
    def f0_difference(self) -> float:
        """Semitones by which the mean ln F0 lies above that of the target's real recordings."""
        difference = speech.mean_ln_f0(self.made) - (self.target.mean_ln_f0 if self.target else math.nan)
        if not math.isfinite(difference):
            raise MetricError("no real recording of the target to compare with")
        return float(difference * 12 / np.log(2))

    @cached_property
    def vector(self) -> np.ndarray:
        try:
            return speaker_vector(self.made.audio, speech.RATE)
        except AudioFileError as error:
            raise MetricError(error.reason) from error

    @cached_property
    def heard_in_source(self) -> str:
        return scorers.recognise(self.before.audio, speech.RATE, self.context.whisper) if isinstance(self.before, Speech) else ""

    @cached_property
    def transcript(self) -> str:
        return self.context.texts.get(Path(self.file.name).stem, "") or self.heard_in_source


Compute = Callable[[Conversion], float | None]  # None: the figure does not apply to this file


def _against_source(compute: Compute) -> Compute:
    return lambda c: compute(c) if c.context.sources is not None else None


def _against_target(compute: Compute) -> Compute:
    return lambda c: compute(c) if c.context.targets is not None else None


def _cosine(domain: Callable[[Conversion], Domain | None]) -> Compute:
    def compute(c: Conversion) -> float | None:
        found = domain(c)
        return float(c.vector @ found.vector) if found is not None and found.vector is not None else None

    return compute


def _nearest(c: Conversion) -> float | None:
    enrolled = {name: domain.vector for name, domain in c.context.domains.items() if domain.vector is not None}
    if len(enrolled) < 2 or c.file.target not in enrolled:
        return None
    return float(max(enrolled, key=lambda name: float(c.vector @ enrolled[name])) == c.file.target)


def _known(found: Speech | str) -> Speech:
    if isinstance(found, str):
        raise MetricError(found)
    return found


def _waveform_correlation(c: Conversion) -> float:
    _ = c.beside_source  # recordings of different lengths are refused
    return speech.waveform_correlation(_known(c.before), c.made)


def _still_source(c: Conversion) -> float | None:
    return None if c.source is None else float(c.file.predicted == c.file.source and c.file.source != c.file.target)


def _mcd_before(c: Conversion) -> float | None:
    if c.context.sources is None or c.context.targets is None:
        return None
    before, after = _known(c.before), _known(c.after)
    return speech.mel_cepstral_distortion(after, before, speech.align(after, before))


def _word_error_rate(c: Conversion) -> float | None:
    if not c.context.words:
        return None
    c.file.heard = scorers.recognise(c.made.audio, speech.RATE, c.context.whisper)
    if not c.transcript:
        raise MetricError("no transcript: pass --text, or --source recordings that contain speech")
    return _rate(c.transcript, c.file.heard)


def _word_error_rate_source(c: Conversion) -> float | None:
    return _rate(c.transcript, c.heard_in_source) if c.context.words and c.heard_in_source else None


def _rate(reference: str, heard: str) -> float:
    wrong, words = speech.word_errors(reference, heard)
    return wrong / words if words else 0.0


def _real(c: Conversion) -> float | None:
    if c.context.discriminator is None or c.target is None:
        return None
    return float(c.context.discriminator(c.audio, c.rate, c.file.source or c.file.target, c.file.target))


_SOURCE, _TARGET, _SHARE, _CORRELATION = "--source", "--target", "0 to 1", "-1 to 1"
# fmt: off
FIGURES = (
    Figure("to_target", "taken for target", "higher", range=_SHARE,
           compute=lambda c: None if c.target is None else float(c.file.predicted == c.file.target),
           meaning="Share of files that the classifier of domains assigns to the target; files that failed count as wrong"),
    Figure("still_source", "taken for source", "lower", range=_SHARE, compute=_still_source,
           meaning="Share of files that the classifier still assigns to the source"),
    Figure("speaker_cosine_target", "cosine to target", "higher", range=_CORRELATION, compute=_cosine(lambda c: c.target),
           meaning="Cosine of the bundled speaker encoder's vector with the mean of the target's real recordings. The report gives the "
                   "same for real recordings of the speaker and of others"),
    Figure("nearest_speaker", "closest is target", "higher", range=_SHARE, compute=_nearest,
           meaning="Share of files whose speaker vector is closer to the target's mean than to that of any other voice of the data set; "
                   "the encoder conditioned none of its converters but `clone`"),
    Figure("speaker_cosine_source", "cosine to source", "lower", range=_CORRELATION, compute=_cosine(lambda c: c.source),
           meaning="Cosine of the speaker vector with the mean of the source's real recordings"),
    Figure("f0_off_target", "F0 off target", "lower", unit="semitones", range="0 or more",
           compute=lambda c: None if c.target is None else abs(c.f0_difference),
           meaning="Distance of the file's mean ln F0 from that of the target's real recordings"),
    Figure("f0_difference", "F0 difference", "", unit="semitones", compute=lambda c: None if c.target is None else c.f0_difference,
           meaning="F0 off target with its sign: sentences of one speaker differ, their mean should not"),
    Figure("mcd_target", "MCD to target", "lower", unit="dB", range="0 or more", needs=_TARGET,
           compute=_against_target(lambda c: speech.mel_cepstral_distortion(_known(c.after), c.made, c.along_target)),
           meaning="Mel-cepstral distortion against the target's own recording, time-aligned"),
    Figure("mcd_before", "MCD source to target", "", unit="dB", range="0 or more", needs=f"{_SOURCE}, {_TARGET}", compute=_mcd_before,
           meaning="Mel-cepstral distortion of the unconverted source against the target's own recording, time-aligned"),
    Figure("log_f0_rmse_target", "log-F0 RMSE to target", "lower", unit="nat", range="0 or more", needs=_TARGET,
           compute=_against_target(lambda c: c.pitch_along_target["log_f0_rmse"]),
           meaning="Root mean square difference of ln F0 over frames voiced in both, along the aligned path; 0.058 is a semitone"),
    Figure("log_f0_correlation_target", "log-F0 r to target", "higher", range=_CORRELATION, needs=_TARGET,
           compute=_against_target(lambda c: c.pitch_along_target["log_f0_correlation"]),
           meaning="Pearson's correlation of ln F0 over the frames voiced in both, along the aligned path"),
    Figure("mcd_moved", "MCD to source", "", unit="dB", range="0 or more", needs=_SOURCE,
           compute=_against_source(lambda c: speech.mel_cepstral_distortion(_known(c.before), c.made, c.beside_source)),
           meaning="Mel-cepstral distortion against the source, frame by frame (both have one timing): how far conversion moved"),
    Figure("f0_shift", "F0 shift", "", unit="semitones", needs=_SOURCE,
           compute=_against_source(lambda c: c.pitch_beside_source["f0_shift"]),
           meaning="Semitones by which the median F0 lies above the source's, over frames voiced in both"),
    Figure("log_f0_rmse", "log-F0 RMSE to source", "", unit="nat", range="0 or more", needs=_SOURCE,
           compute=_against_source(lambda c: c.pitch_beside_source["log_f0_rmse"]),
           meaning="Root mean square difference of ln F0 over frames voiced in both"),
    Figure("log_f0_correlation", "log-F0 r to source", "higher", range=_CORRELATION, needs=_SOURCE,
           compute=_against_source(lambda c: c.pitch_beside_source["log_f0_correlation"]),
           meaning="Pearson's correlation of ln F0 over the frames voiced in both: is the melody kept"),
    Figure("voicing_error", "voicing error", "lower", range=_SHARE, needs=_SOURCE,
           compute=_against_source(lambda c: c.pitch_beside_source["voicing_error"]),
           meaning="Share of frames voiced in one and not in the other"),
    Figure("energy_correlation", "energy r", "higher", range=_CORRELATION, needs=_SOURCE,
           compute=_against_source(lambda c: speech.energy_correlation(_known(c.before), c.made, c.beside_source)),
           meaning="Pearson's correlation of the levels in dB, every 5 ms: is the stress kept"),
    Figure("waveform_correlation", "waveform r", "", range=_CORRELATION, needs=_SOURCE, compute=_against_source(_waveform_correlation),
           meaning="Pearson's correlation of the samples. Meaningless after a conversion: a change of pitch alone makes it 0"),
    Figure("word_error_rate", "WER", "lower", range="0 or more", needs="--words", compute=_word_error_rate,
           meaning="Word error rate of Whisper (`--whisper`, any language) or of PocketSphinx on English (extra `words`), against "
                   "`--text`, else against what it recognises in the source"),
    Figure("word_error_rate_source", "WER of source", "lower", range="0 or more", needs=f"--words, {_SOURCE}",
           compute=_word_error_rate_source,
           meaning="Word error rate of the source before conversion"),
    Figure("critic_real", "classified as real", "higher", range=_SHARE, needs="--model", compute=_real,
           meaning="Share of files whose mean score of the run's discriminator lies above the middle of the two values it is trained "
                   "towards; files that failed count as wrong. The report also gives the share of real recordings"),
)
# fmt: on
SHARES_OF_SUCCESSES = ("to_target", "nearest_speaker", "critic_real")
GROUP_FIGURES = ("to_target", "f0_off_target", "f0_difference")


def measure(conversion: Conversion) -> dict[str, float | str]:
    """Compute all figures that apply to a file: key -> value, or the reason (str) why there is none."""
    values: dict[str, float | str] = {}
    for figure in FIGURES:
        assert figure.compute is not None
        try:
            value = figure.compute(conversion)
        except MetricError as error:
            value = error.reason
        if value is not None:
            values[figure.key] = value
    return values


def average(items: Sequence[ConvertedFile], key: str) -> Cell | None:
    """Average a figure over files; None if it applies to none of them. Unusable files count as failed, and in shares of successes as 0."""
    given = [item.values[key] for item in items if key in item.values]
    if not given:
        return None
    numbers = [value for value in given if not isinstance(value, str)]
    failed = len(given) - len(numbers) + sum(bool(item.unusable) for item in items)
    if numbers and key in SHARES_OF_SUCCESSES:
        return mean_of([*numbers, *[0.0] * failed]) | {"n": len(numbers), "failed": failed}
    return mean_of(numbers, failed)


def _diversity(items: Sequence[ConvertedFile], domain: Domain) -> float | None:
    features = np.array([item.features for item in items])
    return speech.spread(features) / domain.spread if len(features) > 1 and domain.spread > 0 else None


def _global_variance(items: Sequence[ConvertedFile], domain: Domain) -> float | None:
    if not items or not len(domain.variance):
        return None
    mean = np.mean([item.variance for item in items if item.variance is not None], axis=0)
    return float(np.exp(np.mean(np.log(np.maximum(mean, 1e-9) / np.maximum(domain.variance, 1e-9)))))


# fmt: off
SET_FIGURES = (
    Figure("diversity", "diversity", "", range="1 for real recordings", compute=_diversity,
           meaning="Mean distance of the classifier's features between all pairs of files of one target, over that between its real "
                   "recordings"),
    Figure("global_variance", "global variance", "", range="1 for real recordings", compute=_global_variance,
           meaning="Variance of c1 to c24 over a file's active frames, over that of real recordings (geometric mean); below 1, spectra are"
                   " over-smoothed. Toda et al. 2007"),
)
# fmt: on


def over_targets(figure: Figure, items: Sequence[ConvertedFile], domains: dict[str, Domain]) -> Cell:
    """Compute a figure of `SET_FIGURES` for each target's files, and average over the targets."""
    assert figure.compute is not None
    values = [
        figure.compute([item for item in items if item.target == name and not item.unusable], domain)
        for name, domain in domains.items()
        if any(item.target == name for item in items)
    ]
    known = [value for value in values if value is not None]
    return {"value": float(np.mean(known))} if known else absent("fewer than two usable files of a target, or no real recordings of it")


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """Read the mean of a recording's channels, float32 [samples], and its rate in Hz."""
    audio, rate = audio_file.read(path)
    return audio.mean(axis=1), rate


def partner_of(files: dict[str, Path], item: ConvertedFile, domain: str) -> Path | None:
    """Find the file that belongs to a converted one: by its path, by what is left of that without the first folders, or by its name
    in the domain's folder."""
    parts = Path(item.name).with_suffix("").parts
    names = ["/".join(parts[first:]) for first in range(len(parts))]
    if domain:
        names.insert(len(names) - 1, f"{domain}/{parts[-1]}")
    return next((files[name] for name in names if name in files), None)


def _partner(files: dict[str, Path], item: ConvertedFile, domain: str, role: str) -> Speech | str:
    path = partner_of(files, item, domain)
    if path is None:
        return f"no {role} of this name"
    try:
        return speech.analyse(*read_mono(path))
    except (AudioFileError, MetricError) as error:
        return f"{role}: {error.reason}"
