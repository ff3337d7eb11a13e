"""Phones, durations, F0, energy and mel spectra of recordings with transcripts, cached beside the shards: for models that speak. No
TensorFlow.

As of `frame_features`, record i of `voices-train.<key>.tfrecord-00000-of-00002` belongs to record i of the shard. Durations come
from `<recording>.json` where a teacher wrote one (`tools/corpus/teacher.py`), else from the aligner. A recording whose
transcript is missing, or does not seem to be its own, keeps its place with no tokens and weighs nothing in training.

A record holds, little-endian: `speech/tokens` (int32 [tokens, 3]: phone, stress, place), `speech/durations` (int32 [tokens], frames),
`speech/prosody` (float32 [tokens, POINTS, 3]: ln F0 interpolated, voicing and energy of each third), `speech/f0` (float32 [frames]:
ln F0 interpolated), `speech/mel` (float16 [frames, bands]) and `speech/text` (UTF-8). F0 is measured, also where a teacher states it: a
source-filter model depends on its precision, and SwiftF0's contour raises the 6th to 12th harmonics 1.3 dB further above the gaps between
them than Kokoro's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..feature_specs import SpeechFeatures
from ..signal.mel_convention import MelConvention
from ..signal.mel_frames import log_mel
from ..signal.pitch import filled, ln_f0_contour
from . import shards
from .audio.wav_clip import pcm_of_wav_bytes
from .corpora.source_file import SourceFile
from .dataset_info import DatasetInfo
from .frame_features import sidecar_name, write_sidecar
from .text.aligner import Utterance as Alignable
from .text.aligner import align, features_of, standardised
from .text.front_end import FrontEnd
from .text.phone_tokens import PhoneToken, phone_table, phone_tokens, token_ids
from .text.phonemes import Espeak, Phonemiser
from .text.tokens import Word

TOKENS, DURATIONS, PROSODY, F0, MEL, TEXT = (f"speech/{name}" for name in ("tokens", "durations", "prosody", "f0", "mel", "text"))
POINTS = 3  # parts of a phone that have prosody of their own
PROSODY_SIZE = 3  # ln F0, voicing, energy
MIN_DEVIATION = 1e-3
_QUIET_NATS = 4.6  # 40 dB below the loudest frame


@dataclass
class Transcript:
    """Facts on a recording before its sound is read.

    Attributes:
        text: As written.
        language: Code.
        tokens: Phones and pauses.
        ends: Seconds at which each token ends in the source file, as a teacher says; empty where nobody does.
        problem: Why it is left out; "".
    """

    text: str
    language: str
    tokens: list[PhoneToken] = field(default_factory=list)
    ends: np.ndarray = field(default_factory=lambda: np.zeros(0))
    problem: str = ""


def ensure_speech_features(
    info: DatasetInfo,
    folder: Path,
    spec: SpeechFeatures,
    sources: Mapping[str, SourceFile],
    phonemiser: Phonemiser | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DatasetInfo:
    """Write the speech features of every clip beside the shards, where they are not there yet.

    Args:
        info: Facts of a data set of whole, mono recordings with speakers as labels.
        folder: Its folder, which is written to.
        spec: What to write.
        sources: Name of a recording -> its transcript.
        phonemiser: Makes phones of transcripts; None: espeak-ng.
        progress: Called after each shard.

    Returns:
        `info` with an entry in `frame_features`: the table of phones, statistics by speaker, and what was left out. The caller writes it.

    Raises:
        DatasetError: Cut or stereo recordings, another rate, no labels, no transcript at all.
        MissingExtraError: espeak-ng is needed and missing.
    """
    names = [shard["file"] for split in shards.SPLITS if split in info.splits for shard in info.splits[split].shards]
    entry = info.frame_features.get(spec.key)
    if entry and all((folder / sidecar_name(name, spec.key)).is_file() for name in names):
        return info
    _check(info, spec)
    phonemiser = phonemiser or Espeak()
    clips = {clip.source: clip for name in names for clip in _facts(folder / name)}
    transcripts = {name: _transcript(sources.get(name), clip.start / info.sample_rate) for name, clip in clips.items()}
    _pronounce(transcripts, phonemiser)
    known = [one for one in transcripts.values() if one.tokens]
    if not known:
        raise DatasetError(
            f"None of the {len(transcripts)} recordings of {info.name} has a transcript.",
            hint="gan-audio prepare INPUT... -o DATA --layout ljspeech (or text, asterisk, vctk) --recipe tts/small",
        )
    phones = phone_table(token.symbol for one in known for token in one.tokens)
    durations = _align(folder, names, spec, transcripts)
    writer = _Writer(folder, spec, info, phones, transcripts, durations)
    files = {}
    for done, name in enumerate(names, 1):
        files[name] = writer.write(name)
        if progress is not None:
            progress(done, len(names))
    facts = {
        "kind": "speech",
        "convention": asdict(spec.convention),
        "phones": phones,
        "phonemiser": f"{phonemiser.name} {phonemiser.version}".strip(),
        "left_out": sorted([name, one.problem] for name, one in transcripts.items() if one.problem),
        "files": files,
        **writer.statistics(),
    }
    return replace(info, frame_features={**info.frame_features, spec.key: facts})


def left_out_of(info: DatasetInfo, spec: SpeechFeatures) -> list[str]:
    """Return warnings about recordings that weigh nothing in training, with the reasons of the first ones."""
    left_out = info.frame_features[spec.key]["left_out"]
    if not left_out:
        return []
    some = "; ".join(f"{name}: {reason}" for name, reason in left_out[:5]) + ("; ..." if len(left_out) > 5 else "")
    return [f"{len(left_out)} recordings are left out of training, as their transcripts do not seem to be theirs: {some}."]


def read_speech(info: DatasetInfo, folder: Path, spec: SpeechFeatures, split: str) -> Iterator[tuple[shards.ClipRecord, dict[str, Any]]]:
    """Yield (clip, {"text", "tokens", "durations", "prosody", "f0", "mel"}) of every clip of a split that has tokens, shard after shard."""
    for shard in info.splits[split].shards if split in info.splits else []:
        beside = shards.read_records(folder / sidecar_name(shard["file"], spec.key))
        for record, values in zip(shards.read_records(folder / shard["file"]), beside, strict=True):
            found = shards.decode_bytes(values)
            if found[TOKENS]:
                yield (
                    shards.decode_example(record),
                    {
                        "text": found[TEXT].decode(),
                        "tokens": np.frombuffer(found[TOKENS], "<i4").reshape(-1, 3),
                        "durations": np.frombuffer(found[DURATIONS], "<i4"),
                        "prosody": np.frombuffer(found[PROSODY], "<f4").reshape(-1, POINTS, PROSODY_SIZE),
                        "f0": np.frombuffer(found[F0], "<f4"),
                        "mel": np.frombuffer(found[MEL], "<f2").reshape(-1, spec.convention.bands).astype(np.float32),
                    },
                )


def frame_energy(mel: np.ndarray, convention: MelConvention) -> np.ndarray:
    """Return float32 [frames]: the natural logarithm of the mean over bands of a mel spectrum [frames, bands] in linear units."""
    unit = 1.0 if convention.log == "ln" else np.log(10.0)
    return np.log(np.exp(unit * mel.astype(np.float64)).mean(axis=1)).astype(np.float32)


def phone_prosody(ln_f0: np.ndarray, energy: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return float32 [tokens, POINTS, 3]: ln F0, voicing (share of voiced frames) and energy of each third of each token.

    F0 is interpolated between voiced frames, so that unvoiced phones have the F0 of their neighbours and a model need not learn steps.
    """
    sums = np.concatenate([np.zeros((1, 3)), np.cumsum(np.stack([filled(ln_f0), ln_f0 > 0, energy], axis=1), axis=0)])
    ends = np.cumsum(durations)
    edges = (ends - durations)[:, None] + durations[:, None] * np.arange(POINTS + 1) / POINTS
    low = np.minimum(np.floor(edges[:, :-1] + 1e-9).astype(int), len(ln_f0) - 1)
    high = np.minimum(np.maximum(np.ceil(edges[:, 1:] - 1e-9).astype(int), low + 1), len(ln_f0))
    return ((sums[high] - sums[low]) / (high - low)[..., None]).astype(np.float32)


def durations_of(ends: np.ndarray, frames: int, convention: MelConvention) -> np.ndarray:
    """Return the frames of each token from the seconds at which tokens end; the sum is `frames`.

    Boundaries are rounded, not durations, so that errors do not add up; a token that would have no frame takes one of its neighbour.
    """
    edges = np.round(np.asarray(ends) * convention.sample_rate / convention.hop).astype(int)
    edges[-1] = frames
    for i in range(len(edges)):  # at least a frame each, from the left; then not beyond the end, from the right
        edges[i] = max(edges[i], (edges[i - 1] if i else 0) + 1)
    for i in range(len(edges) - 1, -1, -1):
        edges[i] = min(edges[i], frames - (len(edges) - 1 - i))
    return np.diff(np.concatenate([[0], edges]))


def with_whole_pauses(durations: np.ndarray, pauses: Sequence[bool], energy: np.ndarray) -> np.ndarray:
    """Return durations in which the silence before a pause belongs to the pause: a teacher's last phone before one has 0.2 s of it.

    Args:
        durations: Frames of each token.
        pauses: Which tokens are pauses.
        energy: Of each frame, natural logarithm.
    """
    quiet = energy < energy.max() - _QUIET_NATS
    edges = np.concatenate([[0], np.cumsum(durations)])
    for i in range(1, len(durations)):
        while pauses[i] and not pauses[i - 1] and edges[i] - edges[i - 1] > 1 and quiet[edges[i] - 1]:
            edges[i] -= 1
    return np.diff(edges)


def _facts(path: Path) -> Iterator[shards.ClipRecord]:
    return (replace(shards.decode_example(record), audio=b"") for record in shards.read_records(path))


def _check(info: DatasetInfo, spec: SpeechFeatures) -> None:
    wrong = []
    if info.clip_samples:
        wrong.append(f"holds recordings cut to {info.clip_samples} samples")
    if info.channels != 1 or info.pairs:
        wrong.append("is not mono")
    if info.sample_rate != spec.convention.sample_rate:
        wrong.append(f"has a sample rate of {info.sample_rate} Hz, not {spec.convention.sample_rate} Hz")
    if not info.labels or not {"language", "emotion"} <= set(info.attributes):
        wrong.append("does not say who speaks which language")
    if wrong:
        hint = "gan-audio prepare INPUT... -o DATA --layout ljspeech (or text, asterisk, vctk) --recipe tts/small"
        raise DatasetError(f"The data set {info.name} {' and '.join(wrong)}.", hint=hint)


def _transcript(source: SourceFile | None, start: float) -> Transcript:
    """Return what a corpus and a teacher's file say of a recording; `start`: seconds that were trimmed off its beginning."""
    if source is None or not source.text.strip():
        return Transcript("", "", problem="no transcript")
    beside = source.path.with_suffix(".json")
    found = Transcript(source.text, source.language)
    if beside.is_file():
        try:
            facts = json.loads(beside.read_text(encoding="utf-8"))
            words = [Word(text, tuple(phones), mark) for text, phones, mark in facts["words"]]
            timed = _timed(phone_tokens(words), facts)
        except (OSError, ValueError, KeyError, TypeError):
            return found
        if timed is not None:
            found.tokens, ends = timed
            found.ends = np.maximum(ends - start - float(facts.get("delay", 0.0)), 0.0)
    return found


def _timed(tokens: list[PhoneToken], facts: dict[str, Any]) -> tuple[list[PhoneToken], np.ndarray] | None:
    """Put a teacher's times beside the tokens; None where it spoke others. The first silence ends where the first phone begins."""
    spans = facts["phones"]
    inner = tokens[1:-1]
    if [token.text for token in inner] != [text for text, _, _ in spans] or not spans:
        return None
    ends = [spans[0][1], *(start for _, start, _ in spans[1:]), spans[-1][2], facts["samples"]]
    return tokens, np.array(ends) / facts["sample_rate"]


def _pronounce(transcripts: Mapping[str, Transcript], phonemiser: Phonemiser) -> None:
    fronts: dict[str, FrontEnd] = {}
    for one in transcripts.values():
        if one.tokens or one.problem:
            continue
        front = fronts.setdefault(one.language, FrontEnd(one.language, phonemiser))
        words = [word for utterance in front.utterances(one.text, "plain") for word in utterance.words]
        if any(word.phones for word in words):
            one.tokens = phone_tokens(words)
        else:
            one.problem = "nothing to speak in its transcript"


def _align(folder: Path, names: list[str], spec: SpeechFeatures, transcripts: Mapping[str, Transcript]) -> dict[str, np.ndarray]:
    """Align the recordings without times, language by language; features are kept as float16, 8 kB a second."""
    waiting: dict[str, dict[str, list[tuple[str, np.ndarray]]]] = {}
    for name in names:
        for record in shards.read_records(folder / name):
            clip = shards.decode_example(record)
            one = transcripts[clip.source]
            if one.tokens and not len(one.ends):
                found = features_of(log_mel(_audio(clip), spec.convention)).astype(np.float16)
                waiting.setdefault(one.language, {}).setdefault(clip.speaker, []).append((clip.source, found))
    durations: dict[str, np.ndarray] = {}
    for speakers in waiting.values():
        utterances = []
        for clips in speakers.values():
            for (source, _), features in zip(clips, standardised([features for _, features in clips]), strict=True):
                one = transcripts[source]
                symbols, pauses = zip(*((token.symbol, token.is_pause) for token in one.tokens), strict=True)
                utterances.append(Alignable(source, features, symbols, pauses))
        for utterance, alignment in zip(utterances, align(utterances), strict=True):
            durations[utterance.name] = alignment.durations
            if alignment.problem:
                transcripts[utterance.name].problem = alignment.problem
    return durations


class _Writer:
    """Writes the features of shards and adds up the statistics of the train split."""

    def __init__(
        self,
        folder: Path,
        spec: SpeechFeatures,
        info: DatasetInfo,
        phones: list[str],
        transcripts: Mapping[str, Transcript],
        durations: Mapping[str, np.ndarray],
    ):
        self.folder, self.spec, self.info = folder, spec, info
        self.table = {symbol: number for number, symbol in enumerate(phones)}
        self.transcripts, self.durations = transcripts, durations
        bands = spec.convention.bands
        self._frames, self._mel = 0, np.zeros((2, bands))  # sum and sum of squares
        self._f0 = {label: np.zeros(3) for label in info.labels}
        self._energy = {label: np.zeros(3) for label in info.labels}
        self._languages = {label: Counter[str]() for label in info.labels}

    def write(self, name: str) -> dict[str, object]:
        """Write the features of a shard; return the size and digest of the file."""
        clips = map(shards.decode_example, shards.read_records(self.folder / name))
        return write_sidecar(self.folder / sidecar_name(name, self.spec.key), (self._values(clip, "-train." in name) for clip in clips))

    def _values(self, clip: shards.ClipRecord, counts: bool) -> dict[str, bytes]:
        one, c = self.transcripts[clip.source], self.spec.convention
        audio = _audio(clip)
        frames = c.frames(len(audio))
        if not one.problem and len(one.tokens) > frames:
            one.problem = f"{len(one.tokens)} phones and pauses in {frames} frames"
        if one.problem:
            return dict.fromkeys((TOKENS, DURATIONS, PROSODY, F0, MEL), b"") | {TEXT: one.text.encode()}
        mel = log_mel(audio, c)
        tracked = self.spec.tracker != "none"
        ln_f0 = ln_f0_contour(audio, c, self.spec.tracker) if tracked else np.zeros(len(mel), np.float32)
        energy = frame_energy(mel, c)
        pauses = [token.is_pause for token in one.tokens]
        timed = len(one.ends) > 0
        durations = with_whole_pauses(durations_of(one.ends, frames, c), pauses, energy) if timed else self.durations[clip.source]
        self._languages[self.info.labels[clip.label]][one.language] += 1
        if counts:
            self._count(self.info.labels[clip.label], mel, ln_f0, energy)
        ids, _ = token_ids(one.tokens, self.table)
        return {
            TOKENS: np.array(ids, "<i4").tobytes(),
            DURATIONS: durations.astype("<i4").tobytes(),
            PROSODY: phone_prosody(ln_f0, energy, durations).astype("<f4").tobytes(),
            F0: filled(ln_f0).astype("<f4").tobytes(),
            MEL: mel.astype("<f2").tobytes(),
            TEXT: one.text.encode(),
        }

    def _count(self, label: str, mel: np.ndarray, ln_f0: np.ndarray, energy: np.ndarray) -> None:
        self._frames += len(mel)
        self._mel += (mel.sum(axis=0, dtype=np.float64), np.square(mel.astype(np.float64)).sum(axis=0))
        voiced = ln_f0[ln_f0 > 0].astype(np.float64)
        self._f0[label] += (len(voiced), voiced.sum(), np.square(voiced).sum())
        self._energy[label] += (len(energy), energy.sum(dtype=np.float64), np.square(energy.astype(np.float64)).sum())

    def statistics(self) -> dict[str, Any]:
        """Return means and deviations: of mel bands, and by speaker of ln F0 and energy."""
        mean, square = self._mel / max(self._frames, 1)
        deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
        speakers = {
            label: {
                "language": max(self._languages[label], key=self._languages[label].__getitem__, default=""),
                "f0_mean": f0[0],
                "f0_deviation": f0[1],
                "energy_mean": energy[0],
                "energy_deviation": energy[1],
            }
            for label in self.info.labels
            for f0, energy in [(_moments(self._f0[label]), _moments(self._energy[label]))]
        }
        return {"mel_mean": mean.tolist(), "mel_deviation": np.maximum(deviation, MIN_DEVIATION).tolist(), "speakers": speakers}


def _moments(sums: np.ndarray) -> tuple[float, float]:
    count, total, square = sums
    if not count:
        return 0.0, 1.0
    mean = total / count
    return float(mean), float(max(np.sqrt(max(square / count - mean**2, 0.0)), MIN_DEVIATION))


def _audio(clip: shards.ClipRecord) -> np.ndarray:
    return pcm_of_wav_bytes(clip.audio)[:, 0].astype(np.float32) / np.float32(32768)
