"""Match recordings with their references, bring each pair to one rate and length, and measure it.

A reference folder (clean speech, or the recordings that were resynthesised) is compared with one or more folders of
estimates. No file is dropped: one that is missing, cannot be read or does not fit is a failure of every figure, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...data.audio import audio_file
from ...data.audio.find import find_audio
from ...errors import AudioFileError, DatasetError, GanAudioError, UsageError
from ...processes import clean_context, ending_at_once, follow_parent
from ..figure import MetricError
from .figures import measure_pair
from .waveform import lag_samples, mixed_snr

MAX_LAG_SECONDS = 0.1
MAX_WHOLE_SECONDS, PART_SECONDS = 300.0, 120.0  # longer recordings are measured in parts, in constant memory
_MAX_CUT_SECONDS = 0.1  # pairs that differ by less in length are cut to the shorter; a frame of padding is not a failure
_CLEAN_DB = 60.0  # an input above this SNR counts as clean
NOISY = "noisy input"


@dataclass(frozen=True)
class PairTask:
    """One reference and every system's version of it.

    Attributes:
        name: Path below the reference folder, without suffix.
        reference: The file.
        estimates: (system, file) pairs; None where the system has no such file.
        noisy: The noisy input that the SNR is computed from, if there is one.
    """

    name: str
    reference: Path
    estimates: tuple[tuple[str, Path | None], ...]
    noisy: Path | None = None


@dataclass(frozen=True)
class PairSettings:
    """Options of the comparison.

    Attributes:
        keys: Keys of `figures.FIGURES`.
        align: Shift each estimate by its delay first, in whole samples, up to 0.1 s.
        snr_bins: Centres in dB; an input is grouped with the nearest. Empty: the nearest multiple of 5.
        snr_pattern: Regular expression with a group "snr" that reads the SNR from the file's name instead.
        sample_rate: Hz at which pairs are compared, both sides resampled to it; 0 is each reference's own.
        whisper: Folder of the recogniser that counts word errors.
    """

    keys: tuple[str, ...]
    align: bool = False
    snr_bins: tuple[float, ...] = ()
    snr_pattern: str = ""
    sample_rate: int = 0
    whisper: str = ""


@dataclass
class PairResult:
    """The measurements of one system's version of one file.

    Attributes:
        name: Name of the task.
        system: Name of the system.
        values: For each key the value, or the reason (str) why there is none.
        unusable: Reason why the file could not be compared at all; "" otherwise.
        snr: Group of the file, dB; infinite for an input without noise; None if unknown.
        seconds: Duration of the reference.
        sample_rate: Hz at which it was compared.
        lag: Samples (at that rate) by which the estimate is late, before any shift.
        cut: Samples by which the estimate is longer (negative: shorter) than the reference.
        resampled: Rate of the estimate's file if it was resampled, Hz; else 0.
        parts: Number of parts that the figures are means over.
    """

    name: str
    system: str
    values: dict[str, float | str] = field(default_factory=dict)
    unusable: str = ""
    snr: float | None = None
    seconds: float = 0.0
    sample_rate: int = 0
    lag: int = 0
    cut: int = 0
    resampled: int = 0
    parts: int = 1


def match_files(reference: Path, systems: dict[str, Path], noisy: Path | None = None) -> tuple[list[PairTask], list[str]]:
    """Match files by their path below the folders, whatever the suffix; else by name, where it is unique.

    Args:
        reference: A folder, or one file.
        systems: Folders by name of the system; if the reference is a file, folders that hold a file of that name, or files of any name.
        noisy: Folder of the noisy inputs, which are one of the systems.

    Returns:
        Tasks in the order of the references' names, and notes on files without a reference.

    Raises:
        UsageError, DatasetError: An input that does not exist or holds no recordings; a file where the references are a folder; two
            references of one name; a folder without any file that has a reference.
    """
    if any(path.is_file() and not reference.is_file() for path in systems.values()):
        raise UsageError(
            f"{reference} is a folder and one of the inputs is a file.",
            hint="give folders on both sides, or one file on both sides",
        )
    references = _by_name(reference)
    found: dict[str, dict[str, Path]] = {}
    notes = []
    for system, folder in systems.items():
        files = {next(iter(references)): folder} if folder.is_file() and reference.is_file() else _by_name(folder)
        found[system], strangers = _assign(references, files)
        if not found[system]:
            raise DatasetError(
                f"No recording below {folder} has the name of one below {reference} (for instance {next(iter(files))} against "
                f"{next(iter(references))}).",
                hint="files are matched by their path below the folder, without suffix",
            )
        if strangers:
            notes.append(f"{system}: {len(strangers)} files have no reference and are left out ({', '.join(strangers[:3])})")
    noisy_files = found[NOISY] if noisy is not None else {}
    tasks = [
        PairTask(name, path, tuple((system, found[system].get(name)) for system in systems), noisy_files.get(name))
        for name, path in references.items()
    ]
    return tasks, notes


def measure_all(tasks: list[PairTask], settings: PairSettings, jobs: int = 1) -> Iterator[list[PairResult]]:
    """Measure every task and yield its results in order; `jobs` is the number of processes.

    Raises:
        GanAudioError: A worker was killed (for instance for lack of memory).
    """
    if jobs <= 1 or len(tasks) < 2:
        yield from (measure_task(task, settings) for task in tasks)
        return
    with ending_at_once(ProcessPoolExecutor(min(jobs, len(tasks)), clean_context(__name__), initializer=follow_parent)) as pool:
        try:
            yield from pool.map(measure_task, tasks, [settings] * len(tasks), chunksize=1)
        except BrokenProcessPool as error:
            raise GanAudioError("A measuring process was killed.", hint="try --jobs 1; long recordings need memory") from error


def measure_task(task: PairTask, settings: PairSettings) -> list[PairResult]:
    """Measure all systems' versions of one file."""
    results = [PairResult(task.name, system) for system, _ in task.estimates]
    try:
        header = audio_file.probe(task.reference)
        whole = None if is_long(header) else audio_file.read(task.reference, sample_rate=settings.sample_rate or None)[0]
    except AudioFileError as failure:
        for result in results:
            _give_up(result, settings, f"reference: {failure.reason}")
        return results
    rate = settings.sample_rate or header.sample_rate
    seconds = header.seconds if whole is None else len(whole) / rate
    snr = _snr(task, settings, whole, rate)
    for result, (_, path) in zip(results, task.estimates, strict=True):
        result.snr, result.sample_rate, result.seconds = snr, rate, seconds
        if path is None:
            _give_up(result, settings, "no such file")
            continue
        try:
            if whole is None:
                _measure_parts(result, task.reference, path, rate, settings)
                continue
            estimate, own_rate = audio_file.read(path)
            fitted = _fit(result, whole, audio_file.resample(estimate, own_rate, rate), rate, settings.align)
            result.resampled = own_rate if own_rate != rate else 0
            result.values = _over_channels(*fitted, rate, settings)
        except (AudioFileError, MetricError) as failure:
            _give_up(result, settings, failure.reason)
    return results


def _give_up(result: PairResult, settings: PairSettings, reason: str) -> None:
    result.unusable = reason
    result.values = dict.fromkeys(settings.keys, reason)


def _measure_parts(result: PairResult, reference: Path, estimate: Path, rate: int, settings: PairSettings) -> None:
    """Measure a long recording part by part: a figure is the mean over the parts that have a value, weighted by their length.

    The lag is that of the first part that is not silent.
    """
    result.resampled = own if (own := audio_file.probe(estimate).sample_rate) != rate else 0
    values: dict[str, list[tuple[float, int]]] = {key: [] for key in settings.keys}
    reasons: dict[str, str] = {}
    result.parts = 0
    for first, second in paired_parts(result, reference, estimate, rate, settings.align):
        result.parts += 1
        for key, value in _over_channels(first, second, rate, settings).items():
            if isinstance(value, str):
                reasons.setdefault(key, value)
            else:
                values[key].append((value, len(first)))
    for key, found in values.items():
        weights = [samples for _, samples in found]
        result.values[key] = float(np.average([value for value, _ in found], weights=weights)) if found else reasons[key]


def _fit(result: PairResult, reference: np.ndarray, estimate: np.ndarray, rate: int, align: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cut both to the same shape [samples, channels]; record lag and difference in length."""
    if estimate.shape[1] != reference.shape[1]:
        raise MetricError(f"{estimate.shape[1]} channels; the reference has {reference.shape[1]}")
    result.cut = len(estimate) - len(reference)
    if abs(result.cut) > _MAX_CUT_SECONDS * rate:
        raise MetricError(_wrong_length(result.cut, rate))
    most = min(round(MAX_LAG_SECONDS * rate), len(reference) - 1, len(estimate) - 1)
    result.lag = lag_samples(reference.mean(axis=1), estimate.mean(axis=1), most)
    if align and result.lag:
        reference, estimate = (reference, estimate[result.lag :]) if result.lag > 0 else (reference[-result.lag :], estimate)
    shortest = min(len(reference), len(estimate))
    return reference[:shortest], estimate[:shortest]


def is_long(header: audio_file.AudioInfo) -> bool:
    """Whether a recording is measured in parts: above five minutes, or of unknown length."""
    return header.frames < 0 or header.seconds > MAX_WHOLE_SECONDS


def paired_parts(result: PairResult, reference: Path, estimate: Path, rate: int, align: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read two recordings in parts of equal length, float32 [samples, channels]; record lag and difference in length.

    Raises:
        MetricError: Other channels, or lengths that differ too much; the latter once the shorter one has ended.
    """
    sides = [_Side(path, rate) for path in (reference, estimate)]
    size, shifted = round(PART_SECONDS * rate), False
    while True:
        first, second = (side.peek(size) for side in sides)
        if first.shape[1] != second.shape[1]:
            raise MetricError(f"{second.shape[1]} channels; the reference has {first.shape[1]}")
        length = min(len(first), len(second))
        if not shifted and first.any() and second.any():
            shifted = True
            result.lag = lag_samples(first.mean(axis=1), second.mean(axis=1), min(round(MAX_LAG_SECONDS * rate), length - 1))
            if align and result.lag:
                sides[result.lag > 0].skip(abs(result.lag))
                continue
        ended = len(first) < size or len(second) < size
        if ended:
            result.cut = sum(sign * side.count() for sign, side in zip((-1, 1), sides, strict=True))
            if abs(result.cut) > _MAX_CUT_SECONDS * rate:
                raise MetricError(_wrong_length(result.cut, rate))
        if length:
            yield first[:length], second[:length]
        if ended:
            return
        for side in sides:
            side.skip(length)


class _Side:
    """A recording at one rate that is read ahead part by part."""

    def __init__(self, path: Path, rate: int):
        self._blocks = audio_file.blocks(path, sample_rate=rate)
        self._waiting = next(self._blocks)
        self._passed = 0

    def peek(self, samples: int) -> np.ndarray:
        """Return the next samples, fewer at the end, and keep them."""
        while len(self._waiting) < samples and (block := next(self._blocks, None)) is not None:
            self._waiting = np.concatenate([self._waiting, block])
        return self._waiting[:samples]

    def skip(self, samples: int) -> None:
        """Pass over samples that were peeked at."""
        self._passed += samples
        self._waiting = self._waiting[samples:]

    def count(self) -> int:
        """Return the number of samples in the whole recording, which is read to its end."""
        return self._passed + len(self._waiting) + sum(len(block) for block in self._blocks)


def _wrong_length(cut: int, rate: int) -> str:
    return f"{abs(cut) / rate:.3g} s {'longer' if cut > 0 else 'shorter'} than the reference"


def _over_channels(reference: np.ndarray, estimate: np.ndarray, rate: int, settings: PairSettings) -> dict[str, float | str]:
    """Average over the channels; one without a value is a failure, because the mean of the others would be too good."""
    keys = settings.keys
    channels = [measure_pair(reference[:, c], estimate[:, c], rate, keys, settings.whisper) for c in range(reference.shape[1])]
    values: dict[str, float | str] = {}
    for key in keys:
        given = [channel[key] for channel in channels]
        numbers = [value for value in given if not isinstance(value, str)]
        if len(numbers) == len(given):
            values[key] = float(np.mean(numbers))
        else:
            number, reason = next((i, value) for i, value in enumerate(given) if isinstance(value, str))
            values[key] = str(reason) if len(given) == 1 else f"channel {number + 1}: {reason}"
    return values


def _snr(task: PairTask, settings: PairSettings, reference: np.ndarray | None, rate: int) -> float | None:
    """Return the group of a file; `reference` is None for a long one, which is read again in parts."""
    if settings.snr_pattern:
        found = re.search(settings.snr_pattern, task.name)
        try:
            return float(found["snr"]) if found else None
        except ValueError:
            return None
    if task.noisy is None:
        return None
    try:
        exact = _exact_snr(task.reference, task.noisy, reference, rate)
    except (AudioFileError, MetricError):
        return None  # the noisy input's own failure gives the reason
    if exact > _CLEAN_DB:
        return float("inf")
    return float(min(settings.snr_bins, key=lambda centre: abs(centre - exact))) if settings.snr_bins else 5.0 * round(exact / 5)


def _exact_snr(path: Path, noisy_path: Path, reference: np.ndarray | None, rate: int) -> float:
    if reference is None:  # the median over the parts
        snrs = []
        for first, second in paired_parts(PairResult("", ""), path, noisy_path, rate, align=False):
            with suppress(MetricError):
                snrs.append(mixed_snr(first.mean(axis=1), second.mean(axis=1), rate))
        if not snrs:
            raise MetricError("the reference is silent")
        return float(np.median(snrs))
    noisy, own_rate = audio_file.read(noisy_path)
    noisy = audio_file.resample(noisy, own_rate, rate).mean(axis=1)
    length = min(len(reference), len(noisy))
    return mixed_snr(reference[:length].mean(axis=1), noisy[:length], rate)


def _by_name(folder: Path) -> dict[str, Path]:
    """Find files by their path below the folder, without suffix, sorted."""
    named: dict[str, Path] = {}
    for root, path in find_audio([folder]):
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in named:
            raise DatasetError(
                f"{named[name]} and {path.name} have one name without suffix, by which files are matched.",
                hint="move one of them out of the folder",
            )
        named[name] = path
    return named


def _assign(references: dict[str, Path], files: dict[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """Return reference's name -> file, and the names of files without a reference."""
    taken = {name: files[name] for name in references if name in files}
    left = {name: path for name, path in files.items() if name not in references}
    open_stems: dict[str, list[str]] = {}
    for name in references:
        if name not in taken:
            open_stems.setdefault(Path(name).name, []).append(name)
    stems: dict[str, list[str]] = {}
    for name in left:
        stems.setdefault(Path(name).name, []).append(name)
    for stem, names in stems.items():
        if len(names) == 1 and len(open_stems.get(stem, ())) == 1:
            taken[open_stems[stem][0]] = left.pop(names[0])
    return taken, list(left)
