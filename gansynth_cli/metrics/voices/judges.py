"""Judges of whose voice it is and which words: a classifier of domains, a speaker encoder, a recogniser. None has seen the converter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from ...data.clip_reader import ShardClips
from ...data.dataset_info import DatasetInfo
from ...errors import DatasetError, GanAudioError, MissingExtraError
from ..clips import classifier as judges
from ..clips.classifier import Classifier, LabelledClips, Progress

WINDOW_SECONDS = 1.0  # that the classifier hears at a time; a recording's verdict is the mean of its windows'
_SPEED = 0.03  # half a semitone: a larger change of speed would change the voice
_QUIET_DB = 35.0  # windows further below the loudest are left out
_LEAST_OF_EACH = 20  # windows of a domain that a split must hold to be learnt from
_MOST_OF_EACH = 250
_CONTROL_OF_EACH = 60
# Resemblyzer asks for webrtcvad, which has no wheels and needs a setuptools of before 2025; webrtcvad-wheels is the same module.
SPEAKERS_HINT = "pip install torch librosa && pip install --no-deps resemblyzer webrtcvad-wheels"
_KEEP_TO_STOP = 5  # every fifth recording tells when to stop


@dataclass(frozen=True)
class Recording:
    """A recording of a data set: its clips, float32 [samples] each, in order, and the number of its domain."""

    source: str
    label: int
    clips: list[np.ndarray] = field(default_factory=list)

    @property
    def audio(self) -> np.ndarray:
        return np.concatenate(self.clips)


def recordings(info: DatasetInfo, data: Path, split: str) -> Iterator[Recording]:
    """The recordings of a split, whole again: the clips of a source in the order of their starts."""
    found: dict[str, list[tuple[int, int, np.ndarray]]] = {}
    from ...data.audio.audio_file import pcm_of_wav_bytes

    for record in ShardClips(info, data).records(split):
        if record.label >= 0:
            audio = pcm_of_wav_bytes(record.audio)[:, : info.channels].astype(np.float32).mean(axis=1) / np.float32(32768)
            found.setdefault(record.source, []).append((record.start, record.label, audio))
    for source, clips in sorted(found.items()):
        clips.sort(key=lambda clip: clip[0])
        yield Recording(source, clips[0][1], [audio for _, _, audio in clips])


def windows_of(audio: np.ndarray, samples: int) -> np.ndarray:
    """A recording as windows [windows, samples] that overlap by half, without the quiet ones; at least one, its end zeros."""
    if len(audio) <= samples:
        return np.pad(audio, (0, samples - len(audio)))[None].astype(np.float32)
    starts = np.arange(0, len(audio) - samples + 1, samples // 2)
    cut = np.stack([audio[start : start + samples] for start in starts]).astype(np.float32)
    power = np.square(cut).mean(axis=1)
    return cut[power >= power.max() * 10 ** (-_QUIET_DB / 10)]


class DomainJudge:
    """Says whose voice a recording is.

    Attributes:
        facts: Split it learnt from, accuracy on recordings of the test split, that of a judge with shuffled labels, chance.
    """

    def __init__(self, classifier: Classifier, sample_rate: int, facts: dict[str, Any]):
        self.classifier, self.sample_rate, self.facts = classifier, sample_rate, facts

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classifier.labels

    def hear(self, audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """A recording [samples] to (features [128], probabilities [domains]): means over its windows, of logarithms for the latter."""
        if sample_rate != self.sample_rate:
            audio = soxr.resample(np.asarray(audio, np.float32), sample_rate, self.sample_rate)
        features, posteriors = self.classifier.judge(windows_of(audio, self.classifier.samples))
        logarithms = np.log(np.maximum(posteriors, 1e-12)).mean(axis=0)
        probabilities = np.exp(logarithms - logarithms.max())
        return features.mean(axis=0), probabilities / probabilities.sum()

    def accuracy(self, some: list[Recording]) -> float:
        """Share of recordings that are taken for their own domain."""
        right = [int(self.hear(r.audio, self.sample_rate)[1].argmax()) == r.label for r in some]
        return float(np.mean(right)) if right else float("nan")


def domain_judge(
    info: DatasetInfo, data: Path, *, seed: int = 0, retrain: bool = False, cache: Path | None = None, on_progress: Progress | None = None
) -> DomainJudge:
    """The judge for a data set: the cached one, or a new one.

    It learns from the validation split, which no converter was trained on, where that holds enough (20 windows of each domain); else
    from the train split, which its facts then say. Its windows have one loudness: a limiter and a vocoder make peaks stand out more or
    less, and a judge of windows of one peak took the same recordings with softened peaks for another speaker. A second one learns the
    same with shuffled labels: what it gets right on the test split is what a judge gets right that knows nothing.

    Raises:
        DatasetError: Fewer than two labels, or recordings of fewer than two.
    """
    if len(info.labels) < 2:
        raise DatasetError(f"The data set {info.name} has fewer than two labels: there is no other voice.", hint="prepare it with --labels")
    samples = round(WINDOW_SECONDS * info.sample_rate)
    split = "train"
    if "validation" in info.splits:
        held = _load(info, data, "validation", samples)
        if min((sum(len(w) for w, label in held if label == number) for number in range(len(info.labels))), default=0) >= _LEAST_OF_EACH:
            split = "validation"
    key = judges.cache_key(info.fingerprint, tuple(info.labels), samples, seed, _SPEED, f"voices-2-{split}")
    folders = [cache] if cache else judges.cache_folders(data)
    kept = None if retrain else judges.load_cached(folders, key)
    if kept is not None:
        return DomainJudge(kept, info.sample_rate, kept.facts["voices"])
    started = time.monotonic()
    parts = held if split == "validation" else _load(info, data, "train", samples)
    train, stop = _gather(parts, seed, _MOST_OF_EACH)
    made = judges.train_classifier(
        train, stop, tuple(info.labels), info.sample_rate, seed=seed, speed=_SPEED, level="rms", on_progress=on_progress
    )
    judge = DomainJudge(made, info.sample_rate, {})
    tests = list(recordings(info, data, "test")) if "test" in info.splits and info.splits["test"].clips else []
    few, few_stop = _gather(parts, seed, _CONTROL_OF_EACH)
    shuffle = np.random.default_rng([seed, 11]).permutation
    control = judges.train_classifier(
        LabelledClips(few.audio, shuffle(few.labels)),
        LabelledClips(few_stop.audio, shuffle(few_stop.labels)),
        tuple(info.labels),
        info.sample_rate,
        seed=seed,
        speed=_SPEED,
        level="rms",
        on_progress=on_progress,
    )
    judge.facts.update(
        learnt_from=split,
        windows=len(train),
        test_recordings=len(tests),
        accuracy_on_real=judge.accuracy(tests) if tests else None,
        shuffled_labels=DomainJudge(control, info.sample_rate, {}).accuracy(tests) if tests else None,
        chance=1.0 / len(info.labels),
        hash=made.facts["hash"],
        seed=seed,
        seconds=round(time.monotonic() - started, 1),
    )
    made.facts["voices"] = judge.facts
    judges.store(made, folders, key)
    return judge


def _load(info: DatasetInfo, data: Path, split: str, samples: int) -> list[tuple[np.ndarray, int]]:
    return [(windows_of(r.audio, samples), r.label) for r in recordings(info, data, split)]


def _gather(parts: list[tuple[np.ndarray, int]], seed: int, most: int) -> tuple[LabelledClips, LabelledClips]:
    """Windows to learn from and to stop by, of different recordings; at most so many of a domain."""
    draw = np.random.default_rng([seed, 9])
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    labels: tuple[list[int], list[int]] = ([], [])
    for number in sorted({label for _, label in parts}):
        mine = [windows for windows, label in parts if label == number]
        for side in (0, 1):
            chosen = [w for index, w in enumerate(mine) if (index % _KEEP_TO_STOP == _KEEP_TO_STOP - 1) == bool(side)] or mine
            whole = np.concatenate(chosen)
            picked = draw.permutation(len(whole))[: max(1, most // (_KEEP_TO_STOP if side else 1))]
            sides[side].extend(judges.as_full_scale_int16(whole[index]) for index in picked)
            labels[side].extend([number] * len(picked))
    first, second = (LabelledClips(np.stack(audio), np.array(known, np.int32)) for audio, known in zip(sides, labels, strict=True))
    return first, second


@lru_cache(maxsize=1)
def _encoder() -> Any:
    try:
        from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise GanAudioError("The speaker encoder is not installed.", hint=SPEAKERS_HINT) from error
    return VoiceEncoder("cpu", verbose=False)


def speaker_encoder_installed() -> bool:
    """Whether `speaker_vector` would work."""
    try:
        _encoder()
    except (GanAudioError, OSError, RuntimeError):
        return False
    return True


def speaker_vector(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resemblyzer's d-vector of a recording [samples]: [256], of length 1 (GE2E, Wan et al. 2018). Cosines of one speaker lie about .8.

    Raises:
        GanAudioError: It is not installed.
    """
    from resemblyzer import preprocess_wav

    encoder = _encoder()
    sound = np.asarray(audio, np.float32)
    prepared = preprocess_wav(sound, source_sr=sample_rate)
    return encoder.embed_utterance(prepared if len(prepared) > 4000 else sound)


@lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise MissingExtraError("The recogniser", "words") from error
    return Decoder(samprate=16000.0, loglevel="FATAL")


def recogniser_installed() -> bool:
    """Whether `recognise` would work."""
    try:
        _decoder()
    except (MissingExtraError, RuntimeError):
        return False
    return True


def recognise(audio: np.ndarray, sample_rate: int) -> str:
    """The words of English speech [samples] as PocketSphinx's own model hears them; a modest recogniser: look at differences only.

    Raises:
        MissingExtraError: It is not installed.
    """
    decoder = _decoder()
    sound = np.asarray(audio, np.float32)
    sound = sound if sample_rate == 16000 else soxr.resample(sound, sample_rate, 16000)
    sound = np.pad(sound, 3200)
    decoder.start_utt()
    decoder.process_raw((np.clip(sound, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""
