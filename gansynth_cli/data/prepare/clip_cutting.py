"""From one recording to its clips: conform, measure, trim, align, level, cut. Runs in the worker processes of `prepare`.

Long recordings are decoded in blocks, twice where something has to be measured first, so memory does not grow with
length; short ones are decoded once. No TensorFlow here: a worker starts in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import AudioFileError, UsageError
from ..audio import audio_file
from ..audio.wav_clip import to_pcm16

KEEP_SAMPLES = 1 << 22  # recordings up to this many samples (16 MiB) stay decoded between passes
LEVELS = {"none": 0.0, "peak": -1.0, "rms": -20.0, "lufs": -23.0}  # and the default target: dBFS, dBFS, LUFS (EBU R 128)
SHORT = ("pad", "loop", "drop")
_FRAME_SECONDS = 0.01  # resolution of --trim-silence
_QUIET, _JUDGED_SECONDS = 0.05, 0.5  # min-clean-db: share of the frames; recordings as short as that may have no pause
_ONSET = 10 ** (-20 / 20)  # an onset is the first sample at a tenth of the recording's peak


@dataclass(frozen=True)
class CutOptions:
    """How `prepare` cuts recordings into clips.

    Attributes:
        sample_rate: Hz.
        channels: As in `audio_file.to_channels`.
        clip_samples: Samples of a clip at that rate; 0 keeps each recording whole.
        hop_samples: Samples from one clip's start to the next; 0 is clip_samples (no overlap).
        short: A recording or last piece shorter than a clip is padded with zeros, looped, or dropped. A last piece with
            less than half of it new is always dropped.
        min_seconds: Recordings shorter than this (after trimming) are dropped.
        max_clips: Clips of one recording at most, from its start; 0 is no limit.
        trim_silence: Cut both ends where 10 ms frames are this many dB below the loudest frame; 0 does not.
        level: "none", "peak", "rms" or "lufs" (ITU-R BS.1770-4): one gain for the whole recording, so its dynamics stay. The
            gain of rms and lufs is limited to what the peak allows.
        level_target: dBFS or LUFS; None is the default of `LEVELS`.
        onset_align: Start at the first onset: for one-shots.
        preroll_ms: Milliseconds kept before that onset; zeros where the recording has none, so every onset is at one place.
        min_clean_db: Drop recordings whose quietest 5 % of 10 ms frames are less than this far below their loudest 5 %: there
            is noise in their pauses. Digital silence counts as clean. 0 keeps all.
    """

    sample_rate: int = 16000
    channels: int = 1
    clip_samples: int = 16384
    hop_samples: int = 0
    short: str = "pad"
    min_seconds: float = 0.02
    max_clips: int = 0
    trim_silence: float = 0.0
    level: str = "none"
    level_target: float | None = None
    onset_align: bool = False
    preroll_ms: float = 2.0
    min_clean_db: float = 0.0

    def check(self) -> None:
        """Raise UsageError where a value is out of range."""
        for option, value, least in (
            ("--sample-rate", self.sample_rate, 1),
            ("--channels", self.channels, 1),
            ("--clip-samples", self.clip_samples, 0),
            ("--detail hop-samples", self.hop_samples, 0),
            ("--detail min-seconds", self.min_seconds, 0),
            ("--detail max-clips", self.max_clips, 0),
            ("--trim-silence", self.trim_silence, 0),
            ("--detail preroll-ms", self.preroll_ms, 0),
            ("--detail min-clean-db", self.min_clean_db, 0),
        ):
            if not value >= least:
                raise UsageError(f"{option} is {value}; expected at least {least}.")
        if self.short not in SHORT:
            raise UsageError(f"--detail short is {self.short!r}; expected one of {', '.join(SHORT)}.")
        if self.level not in LEVELS:
            raise UsageError(f"--level is {self.level!r}; expected one of {', '.join(LEVELS)}.")
        if self.level_target is not None and self.level_target > 0:
            raise UsageError(f"--level is {self.level}:{self.level_target:g}; expected 0 or less (full scale is 0 dBFS).")

    @property
    def measures(self) -> bool:
        """Whether a recording has to be measured before it can be cut."""
        return bool(self.trim_silence or self.onset_align or self.level != "none" or self.min_clean_db)


@dataclass(frozen=True)
class Clip:
    """One clip: int16 [clip_samples, channels], its first sample in the recording, samples before padding, how it was filled."""

    pcm: np.ndarray
    start: int
    samples: int
    filled: str = ""  # "", "pad" or "loop"
    clipped: bool = False  # some samples were beyond full scale


@dataclass
class CutReport:
    """The outcome of cutting a recording, beside its clips."""

    dropped: str = ""  # why the recording gave no clip
    short_pieces: int = 0  # last pieces that were dropped
    silent_clips: int = 0
    limited: bool = False  # the peak did not allow the level that was asked for
    inverted: bool = False  # the channels had opposite polarities


@dataclass
class _Measures:
    samples: int = 0
    peaks: list[np.ndarray] = field(default_factory=list)  # of frames
    powers: list[np.ndarray] = field(default_factory=list)  # mean square of frames over samples and (clean) channels


class Recording:
    """A recording at the data set's rate and channels, decoded block by block as often as asked.

    Args:
        path: The recording.
        options: The rate and the channels.
        noisy: Its noisy partner: its channels follow those of the recording.

    Raises:
        AudioFileError: From the constructor and while iterating; also a partner of another rate or length.
    """

    def __init__(self, path: Path, options: CutOptions, noisy: Path | None = None):
        self.path, self.options, self.noisy = path, options, noisy
        self.channels = options.channels * (1 if noisy is None else 2)
        conform = {"sample_rate": options.sample_rate, "channels": options.channels, "most_samples": KEEP_SAMPLES}
        self.info, self._kept = audio_file.load(path, **conform)
        if noisy is not None:
            other, partner = audio_file.load(noisy, **conform)
            for what, mine, its in (("Hz", self.info.sample_rate, other.sample_rate), ("samples", self.info.frames, other.frames)):
                if mine != its and min(mine, its) >= 0:  # -1: the header does not say, `_side_by_side` counts
                    raise AudioFileError(path, f"not a pair: {mine} {what}, its noisy partner {its}")
            if self._kept is not None and partner is not None:
                self._kept = next(_side_by_side(path, iter([self._kept]), iter([partner])))
            else:
                self._kept = None
        if self._kept is not None:
            self.expected_samples = len(self._kept)
        else:
            known = self.info.frames >= 0
            self.expected_samples = round(self.info.seconds * options.sample_rate) if known else -1

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 [frames, channels]."""
        rate, channels = self.options.sample_rate, self.options.channels
        clean = lambda: audio_file.blocks(self.path, sample_rate=rate, channels=channels, inverted=self.info.inverted)
        if self._kept is not None:
            yield self._kept
        elif self.noisy is None:
            yield from clean()
        else:
            yield from _side_by_side(self.path, clean(), audio_file.blocks(self.noisy, sample_rate=rate, channels=channels))

    def clean_blocks(self) -> Iterator[np.ndarray]:
        """The same without the channels of a noisy partner."""
        for block in self.blocks():
            yield block[:, : self.options.channels]


def cut(path: Path, options: CutOptions, report: CutReport, noisy: Path | None = None) -> Iterator[Clip]:
    """The clips of one recording, in order; `report` is filled on the way.

    With its noisy partner each clip holds the channels of both. What is measured is the clean recording, but for the peak.

    Raises:
        AudioFileError: The recording cannot be decoded. Clips that came before are not to be kept.
    """
    recording = Recording(path, options, noisy)
    report.inverted = recording.info.inverted
    first, last, gain = 0, None, 1.0
    if options.measures:
        measures = _measure(recording)
        peak = max((float(p.max()) for p in measures.peaks), default=0.0)
        if peak == 0:
            report.dropped = "silent"
            return
        if options.min_clean_db and _clean_db(measures) < options.min_clean_db:
            if measures.samples < _JUDGED_SECONDS * options.sample_rate:
                report.dropped = f"too short to tell whether it is clean (below {_JUDGED_SECONDS:g} s)"
            else:
                report.dropped = f"not clean: its pauses are less than {options.min_clean_db:g} dB below its loudest parts"
            return
        last = measures.samples
        if options.trim_silence:
            first, last = _loud_region(measures, options)
        if options.onset_align:
            first = max(first, _first_at(recording, peak * _ONSET)) - round(options.preroll_ms / 1000 * options.sample_rate)
        if options.level != "none":
            gain, report.limited = _gain(recording, measures, first, last, options)
    least = max(1, round(options.min_seconds * options.sample_rate))
    length = last - max(first, 0) if last is not None else recording.expected_samples
    if 0 <= length < least:
        report.dropped = f"shorter than {options.min_seconds:g} s"
        return
    size = options.clip_samples
    hop = options.hop_samples or size
    blocks = recording.blocks()
    given, covered = 0, first
    for start, piece in _windows(blocks, first, last, size, hop, recording.channels):
        length, filled = len(piece), ""
        if length < size:
            is_whole = start == first
            if options.short == "drop" or (not is_whole and 2 * (start + length - covered) < min(size, hop)):
                report.short_pieces += 1
                if is_whole:
                    report.dropped = "shorter than a clip"
                return
            piece, filled = _fill(piece, size, options.short), options.short
        covered = start + length
        pcm, clipped = _quantised(piece, gain)
        if not pcm.any():
            report.silent_clips += 1
            continue
        given += 1
        yield Clip(pcm, start, length, filled, clipped)
        if given == options.max_clips:
            for _ in blocks:  # a damaged file is refused wherever its damage lies
                pass
            return
    if given == 0:
        report.dropped = "silent" if report.silent_clips else f"shorter than {options.min_seconds:g} s"


def _windows(
    blocks: Iterator[np.ndarray], first: int, last: int | None, size: int, hop: int, channels: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(start, piece): pieces of `size` samples every `hop` samples of [first, last).

    The last piece may be shorter; `first` may be negative, then zeros come first; size 0 gives the whole region at once.
    """
    buffer = np.zeros((max(0, -first), channels), np.float32)
    origin, start = min(first, 0), first
    whole: list[np.ndarray] = []
    for block in blocks:
        if size == 0:
            whole.append(block)
            continue
        buffer = np.concatenate([buffer, block]) if len(buffer) else block
        limit = origin + len(buffer) if last is None else min(origin + len(buffer), last)
        while start + size <= limit:
            yield start, buffer[start - origin : start - origin + size]
            start += hop
        used = min(max(start - origin, 0), len(buffer))
        buffer, origin = buffer[used:], origin + used
        if last is not None and origin >= last:
            return
    if size == 0:
        joined = np.concatenate([buffer, *whole])
        end = origin + len(joined) if last is None else last
        yield start, joined[start - origin : end - origin]
        return
    end = origin + len(buffer) if last is None else min(last, origin + len(buffer))
    rest = buffer[max(start - origin, 0) : max(end - origin, 0)]
    if len(rest):
        yield start, rest


def _fill(piece: np.ndarray, size: int, how: str) -> np.ndarray:
    if how == "loop":
        return np.tile(piece, (-(-size // len(piece)), 1))[:size]
    filled = np.zeros((size, piece.shape[1]), np.float32)
    filled[: len(piece)] = piece
    return filled


def _quantised(piece: np.ndarray, gain: float) -> tuple[np.ndarray, bool]:
    if gain != 1.0:
        piece = piece * np.float32(gain)
    loudest = max(float(piece.max(initial=0.0)), -float(piece.min(initial=0.0)))
    return to_pcm16(piece), loudest > 1.0


def _measure(recording: Recording) -> _Measures:
    """Peak and power of each 10 ms frame; 100 numbers for a second, so an hour takes some MB."""
    size = max(1, round(_FRAME_SECONDS * recording.options.sample_rate))
    measures = _Measures()
    rest = np.zeros((0, recording.channels), np.float32)

    def add(frames: np.ndarray) -> None:  # [frames, samples, channels]
        measures.peaks.append(np.abs(frames).max(axis=(1, 2)))
        measures.powers.append(np.square(frames[..., : recording.options.channels], dtype=np.float64).mean(axis=(1, 2)))

    for block in recording.blocks():
        measures.samples += len(block)
        joined = np.concatenate([rest, block]) if len(rest) else block
        whole = len(joined) // size * size
        if whole:
            add(joined[:whole].reshape(-1, size, joined.shape[1]))
        rest = joined[whole:]
    if len(rest):
        add(rest[None])
    return measures


def _clean_db(measures: _Measures) -> float:
    """Mean power of the loudest 5 % of the frames over that of the quietest 5 %, dB."""
    powers = np.sort(np.concatenate(measures.powers))
    count = max(1, round(_QUIET * len(powers)))
    quiet, loud = powers[:count].mean(), powers[-count:].mean()
    return 10 * float(np.log10(loud / quiet)) if quiet > 0 else np.inf


def _side_by_side(path: Path, clean: Iterator[np.ndarray], noisy: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """[frames, c] and [frames, c], however they are cut into blocks -> [frames, 2 c]."""
    ended = False
    rests: list[np.ndarray] = []
    while not ended:
        parts = [next(clean, None), next(noisy, None)]
        ended = parts[0] is None and parts[1] is None
        for index, part in enumerate(parts):
            if part is not None:
                if len(rests) < 2:
                    rests = [np.zeros((0, part.shape[1]), np.float32)] * 2
                rests[index] = np.concatenate([rests[index], part]) if len(rests[index]) else part
        common = min(map(len, rests), default=0)
        if common:
            yield np.concatenate([rest[:common] for rest in rests], axis=1)
            rests = [rest[common:] for rest in rests]
    if any(map(len, rests)):
        raise AudioFileError(path, "not a pair: its noisy partner has another length")


def _loud_region(measures: _Measures, options: CutOptions) -> tuple[int, int]:
    powers = np.concatenate(measures.powers)
    size = max(1, round(_FRAME_SECONDS * options.sample_rate))
    loud = np.flatnonzero(powers >= powers.max() * 10 ** (-options.trim_silence / 10))
    return int(loud[0]) * size, min(int(loud[-1] + 1) * size, measures.samples)


def _first_at(recording: Recording, threshold: float) -> int:
    position = 0
    for block in recording.blocks():
        loud = np.flatnonzero(np.abs(block).max(axis=1) >= threshold)
        if len(loud):
            return position + int(loud[0])
        position += len(block)
    return 0


def _gain(recording: Recording, measures: _Measures, first: int, last: int, options: CutOptions) -> tuple[float, bool]:
    """The factor that brings the kept region to its level, and whether the peak limited it."""
    size = max(1, round(_FRAME_SECONDS * options.sample_rate))
    frames = slice(max(first, 0) // size, -(-last // size))
    peak = float(np.concatenate(measures.peaks)[frames].max())
    target = LEVELS[options.level] if options.level_target is None else options.level_target
    if peak == 0:
        return 1.0, False
    if options.level == "peak":
        return 10 ** (target / 20) / peak, False
    if options.level == "rms":
        have = 10 * np.log10(np.concatenate(measures.powers)[frames].mean())
    else:
        from ..audio.loudness import loudness_lufs  # scipy takes a second to load

        have = loudness_lufs(recording.clean_blocks(), options.sample_rate, max(first, 0), last)
        if not np.isfinite(have):
            return 1.0, False
    wanted = 10 ** ((target - have) / 20)
    return min(wanted, 1 / peak), wanted * peak > 1
