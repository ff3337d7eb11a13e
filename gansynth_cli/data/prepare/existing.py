"""A data set that is there already: the same one, another one, or the same with something to add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DatasetError
from ...feature_specs import FrameFeatures, GivenMels, LogSpectrogram, SpeechFeatures
from ...files import write_text
from ..clip_reader import ShardClips
from ..corpora.source_file import SourceFile
from ..dataset_info import DatasetInfo, read_dataset_info
from ..frame_features import ensure_frame_features
from ..given_mels import ensure_given_mels
from ..shards import missing_or_resized
from ..speech_features import ensure_speech_features
from ..statistics import compute, statistics_key
from .folder import check_replaceable, differences
from .plan import PlanFacts
from .report import PrepareReport
from .work import Outcome


@dataclass(frozen=True)
class Extras:
    """What is added to a data set when its shards are finished, then or later: arguments of `prepare`."""

    specs: tuple[LogSpectrogram, ...]
    peak_normalize: bool | str
    peak: float
    frames: FrameFeatures | None
    mels: tuple[GivenMels, Path] | None
    consent: str
    jobs: int
    progress: Callable[[int, int], None] | None = None
    speech: tuple[SpeechFeatures, Mapping[str, SourceFile]] | None = None


def finished(output: Path, plan: PlanFacts, names: set[str], overwrite: bool) -> DatasetInfo | None:
    """Return the facts of the same data set, of recordings with these names, if it is there already.

    Raises:
        DatasetError: Something else is there.
    """
    if not output.exists():
        return None
    if output.is_dir() and not any(output.iterdir()):
        return None
    if not output.is_dir() or not (output / "dataset_info.json").is_file():
        raise DatasetError(f"{output} exists and is not a data set; it is left as it is.", hint="choose another folder with -o")
    if overwrite:
        check_replaceable(output)
        return None
    info = read_dataset_info(output)
    differing = differences(info.prepared_with, plan.signature)
    if not differing:
        damage = missing_or_resized(info, output)
        if damage:
            raise DatasetError(f"{output} is damaged: {'; '.join(damage[:3])}.", hint="add --overwrite to prepare it again")
        return info
    changes = [line for key, line in differing.items() if key != "sources_sha256"]
    if "sources_sha256" in differing:
        reasons = {reason for _, reason in plan.left_out}
        before = {entry["path"] for entry in (*info.sources, *info.skipped) if entry.get("reason") not in reasons}
        changes.append(f"recordings: {len(names - before)} new, {len(before - names)} gone, or some changed")
    raise DatasetError(
        f"{output} was prepared otherwise: {'; '.join(changes)}.",
        hint="add --overwrite to replace it, or choose another folder with -o",
    )


def finish_existing(output: Path, plan: PlanFacts, info: DatasetInfo, extras: Extras) -> PrepareReport:
    """Add to a finished data set what it lacks of `extras`, and report what its own file says of each recording."""
    extended = with_extras(info, output, extras)
    status = "unchanged"
    if extended != info:
        status = "statistics added"
        write_text(output / "dataset_info.json", extended.to_json())
    outcomes = [
        Outcome(e["path"], e["label"], e["speaker"], e["sha256"], e["split"], e["clips"], attributes=e.get("attributes", {}))
        for e in info.sources
    ]
    left_out = {name for name, _ in plan.left_out}
    for entry in info.skipped:
        if entry["path"] not in left_out:
            outcomes.append(Outcome(entry["path"], **{"failed" if entry["failed"] else "dropped": entry["reason"]}))
    return PrepareReport(output, status, extended, outcomes, plan.left_out)


def with_extras(info: DatasetInfo, folder: Path, extras: Extras) -> DatasetInfo:
    """Return the facts with what `extras` adds; frame features are written into the folder."""
    if extras.consent:
        info = replace(info, consent=extras.consent)
    if extras.frames is not None:
        info = ensure_frame_features(info, folder, extras.frames, jobs=extras.jobs, progress=extras.progress)
    if extras.mels is not None:
        info = ensure_given_mels(info, folder, *extras.mels)
    if extras.speech is not None:
        info = ensure_speech_features(info, folder, *extras.speech, progress=extras.progress)
    statistics = dict(info.statistics)
    clips = ShardClips(info, folder, peak_normalize=extras.peak_normalize, peak=extras.peak)
    for spec in extras.specs:
        key = statistics_key(spec, extras.peak_normalize, extras.peak)
        if key not in statistics:
            statistics[key] = compute(spec, (clip for clip, _ in clips.clips("train")))
    return replace(info, statistics=statistics)
