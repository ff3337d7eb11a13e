"""Compare folders of recordings with their references: every system with the first one, by SNR, with every failure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ..figure import Cell, mean_of
from ..report import Progress, Report, distinct_names, failures_of, make_report, silent
from .figures import ENHANCEMENT, FIGURES, SYNTHESIS, choose
from .learned import check_whisper
from .matching import NOISY, PART_SECONDS, PairResult, PairSettings, match_files, measure_all
from .perceptual import versions

_SAME_LAG_SECONDS = 0.001
_MAX_NAMED = 4  # figures


def evaluate_pairs(
    folders: Sequence[str | PathLike],
    reference: str | PathLike,
    *,
    noisy: str | PathLike | None = None,
    baseline: str | PathLike | None = None,
    metrics: str = "",
    sample_rate: int = 0,
    align: bool = False,
    snr_bins: Sequence[float] = (),
    snr_pattern: str = "",
    whisper: str | PathLike | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> Report:
    """Compare folders of recordings with a folder of references, file by file.

    Args:
        folders: One system each. With none, `noisy` is required and measured by itself.
        reference: Folder (or file) with what the recordings should be.
        noisy: Noisy inputs: the first row; they give the SNR of each file.
        baseline: A system that the others should exceed, such as Griffin-Lim: the first row.
        metrics: As in `figures.choose`; "" is "enhancement" with noisy inputs, else "synthesis".
        sample_rate, align, snr_bins, snr_pattern: As in `PairSettings`.
        whisper: Folder of a Whisper model in the format of CTranslate2, for word errors ("wer").
        jobs: Number of processes.
        progress: (label, total, unit) -> context manager with `advance`.

    Returns:
        A report (`metrics.report`): groups are SNRs, "difference" is the mean paired difference from the first row, "files" holds
        every value.

    Raises:
        UsageError, DatasetError: As `match_files` and `choose`; an invalid pattern.
        MissingExtraError: A figure that was named needs a package that is not installed.
    """
    if noisy is not None and baseline is not None:
        raise UsageError("--noisy and --baseline were both given; enhanced recordings are compared with the noisy input.")
    reference = Path(reference)
    paths = [Path(folder) for folder in ([baseline] if baseline is not None else []) + [*folders]]
    systems = dict(zip(distinct_names(paths), paths, strict=True))
    if noisy is not None:
        systems = {NOISY: Path(noisy), **systems}
    if not systems:
        raise UsageError(f"Nothing to compare with {reference}.", hint="give a folder of recordings, or --noisy FOLDER")
    first = next(iter(systems)) if noisy is not None or baseline is not None else ""
    keys, left_out = choose(metrics, ENHANCEMENT if noisy is not None else SYNTHESIS, whisper=whisper is not None)
    if whisper is not None:
        check_whisper(Path(whisper))
    settings = PairSettings(keys, align, tuple(snr_bins), _checked_pattern(snr_pattern), sample_rate, str(whisper or ""))
    tasks, notes = match_files(reference, systems, Path(noisy) if noisy is not None else None)
    results: list[PairResult] = []
    with progress("Measuring", len(tasks), "files") as bar:
        for found in measure_all(tasks, settings, jobs):
            results.extend(found)
            bar.advance()
    if left_out:
        titles, extras = ", ".join(FIGURES[key].title for key in left_out), sorted({FIGURES[key].extra for key in left_out})
        notes.append(f"left out because their packages are not installed: {titles} (pip install 'gan-audio[{','.join(extras)}]')")
    by_system = {name: [result for result in results if result.system == name] for name in systems}
    entries = []
    for name, path in systems.items():
        role = "system" if name != first else "noisy" if noisy is not None else "baseline"
        entry = {"name": name, "role": role, "path": str(path)} | _figures_of(by_system[name], keys)
        if first and name != first:
            entry["difference"] = {"from": first, "figures": _differences(by_system[name], by_system[first], keys)}
        entries.append(entry)
        notes.extend(_remarks(name, by_system[name], align))
    return make_report(
        "pairs",
        [FIGURES[key] for key in keys],
        entries,
        notes=[*notes, *_uneven(entries, keys)],
        reference=str(reference),
        versions=versions(),
        settings={**asdict(settings), "jobs": jobs},
        files=[asdict(result) | {"snr": _group_name(result.snr)} for result in results],
    )


def _figures_of(results: list[PairResult], keys: tuple[str, ...]) -> dict[str, Any]:
    snrs = sorted({result.snr for result in results if result.snr is not None})
    groups = {_group_name(snr): [result for result in results if result.snr == snr] for snr in snrs}
    usable = [result for result in results if not result.unusable]
    return {
        "files": len(results),
        "failed": len(results) - len(usable),
        "figures": _means(results, keys),
        "groups": {name: {"files": len(part), "figures": _means(part, keys)} for name, part in groups.items()},
        "failures": [failure for result in results for failure in failures_of(result.name, result.unusable, result.values)],
        "seconds": round(sum(result.seconds for result in usable), 3),
        "lag_samples_median": float(np.median([result.lag for result in usable])) if usable else None,
        "resampled": sum(bool(result.resampled) for result in usable),
    }


def _means(results: list[PairResult], keys: tuple[str, ...]) -> dict[str, Cell]:
    cells = {}
    for key in keys:
        values = [value for result in results if not isinstance(value := result.values[key], str)]
        cells[key] = mean_of(values, len(results) - len(values))
    return cells


def _differences(results: list[PairResult], first: list[PairResult], keys: tuple[str, ...]) -> dict[str, Cell]:
    """Average (system less the first one) over the files where both have a value; "better": in how many the system is better."""
    before = {result.name: result.values for result in first}
    found = {}
    for key in keys:
        pairs = [(result.values[key], before[result.name][key]) for result in results]
        gaps = np.array([after - was for after, was in pairs if not isinstance(after, str) and not isinstance(was, str)], float)
        if len(gaps):
            better = int(np.count_nonzero(gaps > 0 if FIGURES[key].better == "higher" else gaps < 0))
            found[key] = mean_of(gaps, len(pairs) - len(gaps)) | {"better": better}
    return found


def _remarks(name: str, results: list[PairResult], aligned: bool) -> list[str]:
    """Say what was done to the files of a system, and whether they are late."""
    notes = []
    usable = [result for result in results if not result.unusable]
    if rates := Counter(result.resampled for result in usable if result.resampled):
        listed = ", ".join(f"{count} from {rate} Hz" for rate, count in rates.most_common(3))
        notes.append(f"{name}: {sum(rates.values())} of {len(results)} files were resampled to their reference's rate ({listed})")
    if cut := [abs(result.cut) for result in usable if result.cut]:
        notes.append(
            f"{name}: {len(cut)} of {len(results)} files differ in length, by up to {max(cut)} samples; the longer one of a pair is cut"
        )
    if long := [result for result in usable if result.parts > 1]:
        notes.append(f"{name}: {len(long)} of {len(results)} files are long; their figures are means over parts of {PART_SECONDS:g} s")
    if late := [result for result in usable if result.lag]:
        lags = sorted(result.lag for result in late)
        middle = lags[len(lags) // 2]
        rate = late[0].sample_rate
        spread = f"{lags[0]} to {lags[-1]}" if lags[0] != lags[-1] else f"{middle}"
        what = "shifted into place" if aligned else "this lowers SI-SDR, segSNR and correlation; --align shifts them into place"
        # Copies with phases of their own each have some lag; a system that is late is late by the same lag in most files.
        alike = [lag for lag in lags if abs(lag - middle) <= _SAME_LAG_SECONDS * rate]
        if aligned or len(alike) > len(usable) // 2:
            median = f"median {1000 * middle / rate:.3g} ms"
            notes.append(f"{name}: {len(late)} of {len(results)} files are {spread} samples late ({median}): {what}")
    return notes


def _uneven(entries: list[dict[str, Any]], keys: tuple[str, ...]) -> list[str]:
    uneven = [FIGURES[key].title for key in keys if len({entry["figures"][key]["n"] for entry in entries}) > 1]
    if not uneven:
        return []
    which = ", ".join(uneven) if len(uneven) <= _MAX_NAMED else f"{len(uneven)} of {len(keys)} figures"
    return [f"not every system has a value for every file: the means of {which} are over different files"]


def _group_name(snr: float | None) -> str | None:
    if snr is None:
        return None
    return "clean" if math.isinf(snr) else f"{snr:g} dB"


def _checked_pattern(text: str) -> str:
    if text:
        try:
            compiled = re.compile(text)
        except re.error as error:
            raise UsageError(f"--snr-pattern {text!r} is not a regular expression: {error}.") from error
        if "snr" not in compiled.groupindex:
            raise UsageError(f"--snr-pattern {text!r} has no group named snr.", hint=r"for instance '_(?P<snr>-?\d+)dB'")
    return text
