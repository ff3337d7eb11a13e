"""The tables and lines that say what `gan-audio prepare` did."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import console

if TYPE_CHECKING:
    from ..data.dataset_info import DatasetInfo, SplitInfo
    from ..data.prepare.report import PrepareReport


def show_report(report: PrepareReport, recipe: Sequence[str]) -> None:
    """Print clips by label and split, what happened to recordings, and the next command, whose recipe is `recipe`."""
    for text in report.warnings:
        console.warn(text)
    info = report.info
    length = f"{info.clip_samples} samples ({info.clip_samples / info.sample_rate:.3g} s)" if info.clip_samples else "their own length"
    title = f"{info.name}: {info.sample_rate} Hz, {info.channels} channel{'s' * (info.channels > 1)}, clips of {length}"
    splits = [split for split in ("train", "validation", "test") if split in info.splits]
    rows: list[list[Any]] = [
        [label or "(all)"]
        + [_count(info.splits[split], label) for split in splits]
        + [sum(_count(info.splits[split], label) for split in splits)]
        for label in info.labels
    ]
    rows += _totals(info, splits)
    if len(rows) > 42:
        rows = [*rows[:20], ["..."] + [""] * (len(splits) + 1), *rows[-20:]]
    console.table(title, ["label", *splits, "all"], rows)
    noises = [f"noise-{split}" for split in ("train", "validation", "test") if f"noise-{split}" in info.splits]
    if noises:
        console.table("Noise to mix in", ["noise", *(name.removeprefix("noise-") for name in noises), "all"], _totals(info, noises))
    if report.outcomes:
        console.table("Recordings", ["what", "count", "why, or which"], _recording_rows(report))
    if report.status == "unchanged":
        console.say(
            f"{report.output} is finished already, with these recordings and options; nothing to do. --overwrite prepares it again."
        )
        return
    if report.status == "statistics added":
        console.say(f"{report.output} is finished already; the recipe's statistics were added, or the consent note.")
        return
    files = len(report.outcomes)
    again = f", {report.resumed_files} of them done before the interruption" if report.resumed_files else ""
    done = "would give" if report.status == "dry run" else "gave"
    if report.status == "part written":
        clips = sum(split.clips for split in info.splits.values())
        console.say(f"{files} recordings of this part gave {clips} clips in {report.elapsed:.1f} s{again}. Written to {report.output}.")
        folder = shlex.quote(str(report.output).rpartition("/")[0] or ".")
        console.say(f"When all parts are there: gan-audio prepare --merge {folder} -o DATA")
        return
    total = sum(split.clips for split in info.splits.values())
    console.say(f"{files} recordings {done} {total} clips in {report.elapsed:.1f} s{again}.")
    if report.status == "written":
        console.say(
            f"Written to {report.output}. Next: gan-audio train --recipe {shlex.join(recipe)} --data {shlex.quote(str(report.output))}"
        )


def _totals(info: DatasetInfo, splits: Sequence[str]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, values in (
        ("all clips", [info.splits[split].clips for split in splits]),
        ("seconds", [round(info.splits[split].seconds, 1) for split in splits]),
    ):
        rows.append([name, *values, round(sum(values), 1)])
    return rows


def _count(split: SplitInfo, label: str) -> int:
    return split.label_counts.get(label, 0)


def _recording_rows(report: PrepareReport) -> list[list[object]]:
    outcomes = report.outcomes
    rows: list[list[object]] = [["kept", sum(outcome.clips > 0 for outcome in outcomes), "gave clips"]]
    for key, what, why in (
        ("padded", "clips padded", "shorter than a clip: zeros at the end"),
        ("looped", "clips looped", "shorter than a clip: repeated"),
        ("short_pieces", "pieces dropped", "last pieces too short, or --short drop"),
        ("silent_clips", "clips dropped", "silent"),
        ("clipped", "clips clipped", "samples beyond full scale; --level peak avoids it"),
        ("limited", "level limited", "the peak did not allow the level"),
    ):
        count = int(report.total(key))
        if count:
            rows.append([what, count, why])
    for what, key in (("dropped", "dropped"), ("failed", "failed")):
        reasons = Counter(getattr(outcome, key) for outcome in getattr(report, key))
        for reason, count in reasons.most_common(12):
            names = [outcome.name for outcome in outcomes if getattr(outcome, key) == reason]
            rows.append([what, count, f"{reason}: {', '.join(names[:3])}{', ...' if count > 3 else ''}"])
    for reason, count in Counter(reason for _, reason in report.left_out).most_common(12):
        rows.append(["left out", count, reason])
    return rows
