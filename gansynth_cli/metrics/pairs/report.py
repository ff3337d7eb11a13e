"""The report of `evaluate --reference`: every system beside the noisy input, by SNR, with every failure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ... import __version__
from ...errors import UsageError
from .pairs import NOISY, PairResult, PairSettings, match_files, measure_all
from .perceptual import versions
from .signal import ENHANCEMENT, MEASURES, SYNTHESIS, choose

PAIR_REPORT_VERSION = 1


class ProgressBar(Protocol):
    def advance(self, amount: float = 1, note: str | None = None) -> None: ...


ProgressFactory = Callable[[str, float | None, str], AbstractContextManager[ProgressBar]]


@dataclass(frozen=True)
class PairOptions:
    """What `evaluate --reference` was asked.

    Attributes:
        metrics: As in `signal.choose`; "" takes what suits enhancement (with noisy inputs) or copy synthesis (without).
        noisy: The noisy inputs; their figures are the first row, and the SNR comes from them.
        baseline: What the others have to beat, such as Griffin-Lim's copies: the first row, and every other system's mean paired
            difference from it is given.
        sample_rate: As in `PairSettings`.
        align: As in `PairSettings`.
        snr_bins: dB separated by commas, such as "0,5,10,15"; "" files inputs under the nearest multiple of 5.
        snr_pattern: As in `PairSettings`.
        jobs: Processes.
    """

    metrics: str = ""
    noisy: Path | None = None
    baseline: Path | None = None
    sample_rate: int = 0
    align: bool = False
    snr_bins: str = ""
    snr_pattern: str = ""
    jobs: int = 1


def evaluate_pairs(reference: Path, folders: Sequence[Path], options: PairOptions, progress: ProgressFactory) -> dict[str, Any]:
    """Compares folders of recordings with a folder of references, file by file.

    Args:
        reference: A folder (or file) of what the recordings should be.
        folders: One system each. None needs `options.noisy`, which is then measured alone.
        progress: (label, total, unit) -> context manager whose value has `advance`.

    Returns:
        The report, ready for JSON: "systems" (figures, by SNR, failures), "files" (every value), "notes", "versions", "settings".

    Raises:
        UsageError, DatasetError: As `match_files` and `choose`; a pattern or bins that cannot be read.
        MissingExtraError: A measure that was named needs a package that is not installed.
    """
    if options.noisy is not None and options.baseline is not None:
        raise UsageError("--noisy and --baseline were both given; the noisy input is what enhanced recordings are compared with.")
    systems = _named([options.baseline, *folders] if options.baseline is not None else folders)
    first = next(iter(systems)) if options.baseline is not None else ""
    if options.noisy is not None:
        systems, first = {NOISY: options.noisy, **systems}, NOISY
    if not systems:
        raise UsageError(f"Nothing to compare with {reference}.", hint="give a folder of recordings, or --noisy FOLDER")
    keys, left_out = choose(options.metrics, ENHANCEMENT if options.noisy is not None else SYNTHESIS)
    settings = PairSettings(keys, options.align, _bins(options.snr_bins), _pattern(options.snr_pattern), options.sample_rate)
    tasks, notes = match_files(reference, systems, options.noisy)
    results: list[PairResult] = []
    with progress("Measuring", len(tasks), "files") as bar:
        for found in measure_all(tasks, settings, options.jobs):
            results.extend(found)
            bar.advance()
    if left_out:
        titles = ", ".join(MEASURES[key].title for key in left_out)
        notes.append(f"left out, as their packages are not installed: {titles} (pip install 'gan-audio[metrics]')")
    entries = []
    for name, path in systems.items():
        mine = [result for result in results if result.system == name]
        entries.append(_system_report(name, path, mine, keys))
        if first and name != first:
            key = "less_noisy_input" if options.noisy is not None else "less_baseline"
            entries[-1][key] = _differences(mine, [r for r in results if r.system == first], keys)
        elif name == first and options.baseline is not None:
            entries[-1]["role"] = "baseline"
        notes.extend(_remarks(name, mine, options.align))
    notes.extend(_uneven(entries, keys))
    return {
        "report_version": PAIR_REPORT_VERSION,
        "software": f"gan-audio {__version__}",
        "mode": "enhancement" if options.noisy is not None else "baseline" if options.baseline is not None else "pairs",
        "reference": str(reference),
        "files_compared": len(tasks),
        "metrics": {key: {"title": MEASURES[key].title, "unit": MEASURES[key].unit, "better": MEASURES[key].better} for key in keys},
        "versions": versions(),
        "settings": {**asdict(settings), "jobs": options.jobs},
        "systems": entries,
        "files": [asdict(result) | {"snr": _json_snr(result.snr)} for result in results],
        "notes": notes,
    }


def pair_tables(report: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """The report as tables (title, columns, rows): all files, each SNR, what is won over a baseline; rows are systems, cells are
    already formatted."""
    arrows = {"higher": " ↑", "lower": " ↓"}
    columns = [metric["title"] + arrows[metric["better"]] for metric in report["metrics"].values()]

    def row(entry: dict[str, Any], figures: dict[str, Any]) -> list[str]:
        return [entry["name"], *(_cell(figures[key]) for key in report["metrics"])]

    tables = [(f"{report['files_compared']} files", ["system", *columns], [row(entry, entry["figures"]) for entry in report["systems"]])]
    labels = list(dict.fromkeys(label for entry in report["systems"] for label in entry["by_snr"]))
    if len(labels) > 1:
        for label in labels:
            rows = [row(entry, entry["by_snr"][label]["figures"]) for entry in report["systems"] if label in entry["by_snr"]]
            count = max(entry["by_snr"][label]["files"] for entry in report["systems"] if label in entry["by_snr"])
            tables.append((f"{label}, {count} files", ["system", *columns], rows))
    if compared := [entry for entry in report["systems"] if "less_baseline" in entry]:
        rows = [[entry["name"], *(_gap_cell(entry["less_baseline"].get(key)) for key in report["metrics"])] for entry in compared]
        title = f"less {report['systems'][0]['name']}: mean ± standard error (files that are better)"
        tables.append((title, ["system", *columns], rows))
    return tables


def failures(report: dict[str, Any]) -> list[dict[str, str]]:
    """Every measure without a value: {"system", "file", "metric", "reason"}; a file that was not comparable is one with metric "all"."""
    return [{"system": entry["name"], **failure} for entry in report["systems"] for failure in entry["failures"]]


def _system_report(name: str, path: Path, results: list[PairResult], keys: tuple[str, ...]) -> dict[str, Any]:
    by_snr: dict[str, Any] = {}
    for snr in sorted({result.snr for result in results if result.snr is not None}):
        part = [result for result in results if result.snr == snr]
        by_snr[_snr_label(snr)] = {"files": len(part), "figures": _figures(part, keys)}
    failed = [{"file": result.name, "metric": "all", "reason": result.unusable} for result in results if result.unusable]
    for result in results:
        if not result.unusable:
            lost = [(key, value) for key, value in result.values.items() if isinstance(value, str)]
            failed += [{"file": result.name, "metric": key, "reason": reason} for key, reason in lost]
    usable = [result for result in results if not result.unusable]
    return {
        "name": name,
        "path": str(path),
        "role": "noisy" if name == NOISY else "system",
        "files": len(results),
        "unusable": len(results) - len(usable),
        "failures": failed,
        "seconds": round(sum(result.seconds for result in usable), 3),
        "lag_samples_median": float(np.median([result.lag for result in usable])) if usable else None,
        "resampled": sum(bool(result.resampled) for result in usable),
        "figures": _figures(results, keys),
        "by_snr": by_snr,
    }


def _figures(results: list[PairResult], keys: tuple[str, ...]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for key in keys:
        values = np.array([result.values[key] for result in results if not isinstance(result.values[key], str)], float)
        figures[key] = {"n": len(values), "failed": len(results) - len(values)}
        if len(values):
            figures[key]["mean"] = float(values.mean())
        if len(values) > 1:
            figures[key]["standard_error"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    return figures


def _differences(results: list[PairResult], first: list[PairResult], keys: tuple[str, ...]) -> dict[str, Any]:
    """Mean of (system less the first one) over the files where both have a value, its standard error, and where the system is better."""
    before = {result.name: result.values for result in first}
    found: dict[str, Any] = {}
    for key in keys:
        pairs = [(result.values[key], before[result.name][key]) for result in results]
        gaps = np.array([after - was for after, was in pairs if not isinstance(after, str) and not isinstance(was, str)], float)
        if len(gaps):
            better = int(np.count_nonzero(gaps > 0 if MEASURES[key].better == "higher" else gaps < 0))
            found[key] = {"mean": float(gaps.mean()), "n": len(gaps), "better": better}
        if len(gaps) > 1:
            found[key]["standard_error"] = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return found


def _remarks(name: str, results: list[PairResult], aligned: bool) -> list[str]:
    notes = []
    usable = [result for result in results if not result.unusable]
    if rates := Counter(result.resampled for result in usable if result.resampled):
        listed = ", ".join(f"{count} from {rate} Hz" for rate, count in rates.most_common(3))
        notes.append(f"{name}: {sum(rates.values())} of {len(results)} files were resampled to their reference's rate ({listed})")
    if cut := [abs(result.cut) for result in usable if result.cut]:
        notes.append(f"{name}: {len(cut)} of {len(results)} files differ in length, by up to {max(cut)} samples; the shorter one counts")
    if late := [result for result in usable if result.lag]:
        lags = sorted(result.lag for result in late)
        middle = lags[len(lags) // 2]
        rate = late[0].sample_rate
        spread = f"{lags[0]} to {lags[-1]}" if lags[0] != lags[-1] else f"{middle}"
        what = "were shifted into place" if aligned else "SI-SDR, segSNR and correlation suffer; --align shifts them into place"
        # Copies whose phase is their own have some lag or other; a system that is late is late by the same in most files.
        alike = [lag for lag in lags if abs(lag - middle) <= 0.001 * rate]
        if aligned or len(alike) > len(usable) // 2:
            notes.append(
                f"{name}: {len(late)} of {len(results)} files are {spread} samples late (median {1000 * middle / rate:.3g} ms): {what}"
            )
    return notes


def _uneven(entries: list[dict[str, Any]], keys: tuple[str, ...]) -> list[str]:
    uneven = [MEASURES[key].title for key in keys if len({entry["figures"][key]["n"] for entry in entries}) > 1]
    if not uneven:
        return []
    return [f"not every system has a value for every file: the means of {', '.join(uneven)} are over different files"]


def _cell(figure: dict[str, Any]) -> str:
    if "mean" not in figure:
        return f"- ({figure['failed']} failed)" if figure["failed"] else "-"
    value = figure["mean"]
    text = f"{value:.2f}" if abs(value) >= 9.995 else f"{value:.3f}"
    return text + (f" ({figure['failed']} failed)" if figure["failed"] else "")


def _gap_cell(gap: dict[str, Any] | None) -> str:
    if gap is None:
        return "-"
    error = f" ± {gap['standard_error']:.3f}" if "standard_error" in gap else ""
    return f"{gap['mean']:+.3f}{error} ({gap['better']}/{gap['n']})"


def _snr_label(snr: float) -> str:
    return "clean" if math.isinf(snr) else f"{snr:g} dB"


def _json_snr(snr: float | None) -> float | str | None:
    return "clean" if snr is not None and math.isinf(snr) else snr


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Folder's own names; the whole path where two are alike."""
    counts = Counter(path.resolve().name for path in folders)
    named: dict[str, Path] = {}
    for path in folders:
        name = path.resolve().name if counts[path.resolve().name] == 1 else str(path)
        if name in named:
            raise UsageError(f"{path} was given twice.")
        named[name] = path
    return named


def _bins(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--snr-bins {text!r} cannot be read.", hint="expected numbers separated by commas, such as 0,5,10,15") from error


def _pattern(text: str) -> str:
    if text:
        try:
            compiled = re.compile(text)
        except re.error as error:
            raise UsageError(f"--snr-pattern {text!r} is not a regular expression: {error}.") from error
        if "snr" not in compiled.groupindex:
            raise UsageError(f"--snr-pattern {text!r} has no group named snr.", hint=r"for instance '_(?P<snr>-?\d+)dB'")
    return text
