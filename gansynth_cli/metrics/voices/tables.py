"""What `evaluate --conversion` measures, by name, and its report as tables."""

from __future__ import annotations

from typing import Any

# key -> (title, unit, better)
FIGURES: dict[str, tuple[str, str, str]] = {
    "to_target": ("taken for target", "share", "higher"),
    "still_source": ("taken for source", "share", "lower"),
    "speaker_cosine_target": ("cosine to target", "", "higher"),
    "speaker_cosine_source": ("cosine to source", "", "lower"),
    "f0_off_target": ("F0 off target", "semitones", "lower"),
    "mcd_target": ("MCD to target", "dB", "lower"),
    "mcd_before": ("MCD source to target", "dB", ""),
    "log_f0_rmse_target": ("log-F0 RMSE to target", "nats", "lower"),
    "log_f0_correlation_target": ("log-F0 r to target", "", "higher"),
    "mcd_moved": ("MCD to source", "dB", ""),
    "f0_shift": ("F0 shift", "semitones", ""),
    "log_f0_rmse": ("log-F0 RMSE to source", "nats", ""),
    "log_f0_correlation": ("log-F0 r to source", "", "higher"),
    "voicing_error": ("voicing error", "share", "lower"),
    "energy_correlation": ("energy r", "", "higher"),
    "waveform_correlation": ("waveform r", "", ""),
    "word_error_rate": ("WER", "share", "lower"),
    "word_error_rate_source": ("WER of source", "share", "lower"),
    "critic_real": ("critic: taken for real", "share", "higher"),
}


def conversion_tables(report: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """The report as tables (title, columns, rows): one row a figure, one column a system; then the targets of each."""
    systems = report["systems"]
    judge = report["judge"]
    rows = []
    for key, (title, unit, better) in FIGURES.items():
        cells = [_cell(entry["figures"].get(key)) for entry in systems]
        if any(cell != "-" for cell in cells):
            arrow = {"higher": " ↑", "lower": " ↓", "": ""}[better]
            rows.append([f"{title}{f', {unit}' if unit and unit != 'share' else ''}{arrow}", *cells])
    for key, title in (("diversity", "diversity (1 = real)"), ("global_variance", "global variance (1 = real)")):
        rows.append([title, *(f"{entry[key]:.3f}" if entry[key] is not None else "-" for entry in systems)])
    share = lambda value: "-" if value is None else f"{value:.1%}"
    real, control, chance = (share(judge[key]) for key in ("accuracy_on_real", "shuffled_labels", "chance"))
    files = sum(entry["files"] for entry in systems)
    title = (
        f"{files} files; the judge takes {real} of {judge['test_recordings']} real recordings for what they are, "
        f"{control} with shuffled labels, chance {chance}"
    )
    tables = [(title, ["figure", *(entry["name"] for entry in systems)], rows)]
    ways = [
        [
            entry["name"],
            f"{way['source']} to {way['target']}",
            str(way["files"]),
            share(way["to_target"]),
            _number(way["f0_off"]),
            "-" if way["f0_mean_off"] is None else f"{way['f0_mean_off']:+.2f}",
        ]
        for entry in systems
        for way in entry["by_target"]
    ]
    if len(ways) > 1:
        tables.append(("", ["system", "from, to", "files", "taken for target", "F0 off, semitones", "their mean"], ways))
    return tables


def failures(report: dict[str, Any]) -> list[dict[str, str]]:
    """Every figure without a value: {"system", "file", "metric", "reason"}."""
    return [{"system": entry["name"], **failure} for entry in report["systems"] for failure in entry["failures"]]


def _cell(figure: dict[str, Any] | None) -> str:
    if figure is None or "mean" not in figure:
        return f"- ({figure['failed']} failed)" if figure and figure["failed"] else "-"
    return f"{figure['mean']:.3f}" + (f" ({figure['failed']} failed)" if figure["failed"] else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
