"""A data set made in parts, on several machines or one after the other, and the parts put together.

The recordings are in the order of the hashes of their names, and a part is a stretch of that order. Clip k of a split goes to shard k
modulo the number of shards. A part numbers its clips from 0 and writes as many shards as the whole has; so its shard j holds what the
whole has in shard (j + clips of that split in the parts before it) modulo their number, and `merge` appends whole files, a part after
the other. Nothing is decoded or parsed again, and the bytes are those of one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ... import __version__
from ...errors import DatasetError, UsageError
from ...feature_specs import FrameFeatures, GivenMels, LogSpectrogram, SpeechFeatures
from ...files import json_text, read_json, replacing, write_text
from ...parts import Part
from ...stores.mirror import fetch, release
from ...stores.staging import Staging
from ..corpora.source_file import SourceFile
from ..dataset_info import INFO_FILE
from ..shards import shard_name
from ..speech_features import left_out_of
from .existing import Extras, finish_existing, finished
from .folder import differences, explained, partial_folder, put_in_place
from .plan import Plan, PlanFacts, dataset_name
from .report import PrepareReport
from .summary import facts_of
from .work import Outcome
from .write import Progress, checked_facts, finish, remove_workings, report_of, write_shards

PART_FILE = "part.json"
_COPY_BYTES = 4 << 20
_FORMAT_VERSION = 1
_SOURCE_FIELDS = ("name", "label", "speaker", "text", "language")  # of the recordings that speech features are found for


@dataclass(frozen=True)
class _Wanted:
    """What `merge` adds to the shards, as the recipe wants it; see `Extras`."""

    specs: tuple[LogSpectrogram, ...] = ()
    peak_normalize: bool | str = False
    peak: float = 1.0
    frames: FrameFeatures | None = None
    mels: tuple[GivenMels, str] | None = None
    speech: SpeechFeatures | None = None
    consent: str = ""


@dataclass(frozen=True)
class _PartFile:
    """`part.json`: all that is known of a finished part."""

    number: int
    count: int
    facts: PlanFacts
    wanted: _Wanted
    outcomes: list[dict[str, Any]]
    shards: dict[str, list[dict[str, Any]]]
    sources: list[dict[str, str]] = field(default_factory=list)
    version: str = ""
    format_version: int = _FORMAT_VERSION

    @property
    def part(self) -> Part:
        return Part(self.number, self.count)


def make_part(plan: Plan, folder: Path, extras: Extras, overwrite: bool, workers: int, progress: Progress | None) -> PrepareReport:
    """Make one part of a data set in its folder; what the recipe adds is left to `merge`.

    Raises:
        DatasetError: Another part with this number is there, or something else.
    """
    assert plan.part is not None
    facts, wanted = plan.facts(), _wanted_of(extras)
    if (folder / PART_FILE).is_file() and not overwrite:
        return _unchanged(folder, _read_part(folder), facts, wanted)
    if folder.exists() and (strange := _strangers(folder)):
        raise DatasetError(
            f"{folder} holds what is not a part of a data set: {', '.join(strange[:5])}.", hint="choose another folder with -o"
        )
    signature = facts.signature | {"part": str(plan.part)} | _flat(wanted)
    with partial_folder(folder, signature, overwrite) as growing, explained(folder, growing):
        outcomes, shards, resumed = write_shards(plan, growing, workers, progress)
        found = _PartFile(
            plan.part.number,
            plan.part.count,
            facts,
            wanted,
            [outcome.to_json() for outcome in outcomes],
            {split: shards.facts(split) for split in shards.names},
            _sources_of(extras, outcomes),
            __version__,
        )
        write_text(growing / PART_FILE, json_text(msgspec.to_builtins(found)))
        remove_workings(growing)
        put_in_place(growing, folder)
    report = report_of(folder, "part written", facts_of(facts, outcomes, shards.facts), facts, outcomes, resumed)
    report.warnings = facts.warnings  # what a part lacks another may have
    return report


def merge(
    inputs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    *,
    jobs: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Make the data set of which all parts are given: the bytes that one run of `prepare` would have written.

    Args:
        inputs: Folders of parts, or folders that hold such, paths or URLs.
        output: The data set folder, a path or a URL. An interrupted call goes on where it was.
        jobs: Shards that are written at a time; 0 is one for each core.
        overwrite: Replace a finished data set.
        progress: Called after each shard.

    Raises:
        UsageError: Something that is no part.
        DatasetError: A part is missing, there twice, unfinished, damaged, or of another data set.
    """
    began = time.monotonic()
    with Staging() as staging:
        parts = _checked(_find_parts([staging.input(given) for given in inputs]))
        output = staging.growing(output, INFO_FILE)
        first = parts[0][1]
        facts = first.facts.named(first.facts.options.name or dataset_name(output))
        outcomes = [Outcome(**entry) for _, part in parts for entry in part.outcomes]
        extras = _extras_of(parts, jobs, progress)
        existing = finished(output, facts, {outcome.name for outcome in outcomes}, overwrite)
        if existing is not None:
            report = finish_existing(output, facts, existing, extras)
        else:
            report = _merge(parts, facts, output, outcomes, extras, overwrite, progress)
        report.output = staging.finish(output)
    if extras.speech:
        report.warnings += left_out_of(report.info, extras.speech[0])
    report.elapsed = time.monotonic() - began
    return report


def _merge(
    parts: list[tuple[Path, _PartFile]],
    facts: PlanFacts,
    output: Path,
    outcomes: list[Outcome],
    extras: Extras,
    overwrite: bool,
    progress: Progress | None,
) -> PrepareReport:
    with partial_folder(output, facts.signature | {"merged_parts": len(parts)}, overwrite) as folder, explained(output, folder):
        shards = _Merger(parts, facts, folder, extras.jobs or os.cpu_count() or 1).write(progress)
        info = checked_facts(output, folder, facts, outcomes, shards.__getitem__)
        info = finish(folder, output, info, extras)
    return report_of(output, "written", info, facts, outcomes)


class _Merger:
    """Appends the shards of parts to each other."""

    def __init__(self, parts: list[tuple[Path, _PartFile]], facts: PlanFacts, folder: Path, workers: int):
        self.parts, self.facts, self.folder, self.workers = parts, facts, folder, workers

    def write(self, progress: Progress | None) -> dict[str, list[dict[str, Any]]]:
        """Write the shards of all splits that have clips; return them by split, as `ShardSet.facts` does."""
        counts = self.facts.shard_counts
        tasks = [(split, i) for split in counts if self._clips(split, len(self.parts)) for i in range(counts[split])]
        found: dict[str, list[dict[str, Any]]] = {split: [] for split in counts}
        with ThreadPoolExecutor(min(self.workers, max(1, len(tasks)))) as pool:
            for done, ((split, _), written) in enumerate(zip(tasks, pool.map(self._shard, tasks), strict=True), 1):
                found[split].append(written)
                if progress is not None:
                    progress(done, len(tasks), f"shard {written['file']}")
        return found

    def _clips(self, split: str, parts: int) -> int:
        """Return the clips of a split in the first parts."""
        return sum(shard["clips"] for _, part in self.parts[:parts] for shard in part.shards[split])

    def _shard(self, task: tuple[str, int]) -> dict[str, Any]:
        """Write one shard, or find it whole after an interruption."""
        split, index = task
        count = self.facts.shard_counts[split]
        name = shard_name(self.facts.options.name, split, index, count)
        pieces = []
        for number, (folder, part) in enumerate(self.parts):
            piece = part.shards[split][(index - self._clips(split, number)) % count]
            if piece["bytes"]:
                pieces.append((folder / piece["file"], piece))
        size, path = sum(piece["bytes"] for _, piece in pieces), self.folder / name
        digest = hashlib.sha256()
        if path.is_file() and path.stat().st_size == size:
            with path.open("rb") as written:
                while content := written.read(_COPY_BYTES):
                    digest.update(content)
        else:
            with replacing(path) as temporary, temporary.open("wb") as out:
                for source, piece in pieces:
                    _append(out, source, piece, digest)
        return {"file": name, "bytes": size, "sha256": digest.hexdigest(), "clips": sum(piece["clips"] for _, piece in pieces)}


def _append(out: BinaryIO, source: Path, piece: Mapping[str, Any], digest: Any) -> None:
    """Append a file of a part.

    Raises:
        DatasetError: It is missing, or not what the part wrote.
    """
    own, damaged = hashlib.sha256(), f"The part {source.parent} is damaged: {source.name}"
    hint = "make this part again with --overwrite"
    fetch([source])
    try:
        with source.open("rb") as file:
            while content := file.read(_COPY_BYTES):
                out.write(content)
                own.update(content)
                digest.update(content)
    except FileNotFoundError as error:
        raise DatasetError(f"{damaged} is missing.", hint=hint) from error
    release([source])
    if own.hexdigest() != piece["sha256"]:
        raise DatasetError(f"{damaged} has other content than when it was written.", hint=hint)


def _find_parts(inputs: Iterable[str | os.PathLike]) -> list[tuple[Path, _PartFile]]:
    folders: dict[Path, Path] = {}  # resolved, to take a folder that is given twice once
    for given in map(Path, inputs):
        here = [given] if (given / PART_FILE).is_file() else sorted(path.parent for path in given.glob(f"*/{PART_FILE}"))
        for unfinished in sorted(given.glob("part-*-of-*.partial")):
            raise DatasetError(f"{unfinished} is a part that prepare has not finished.", hint="repeat its command: it goes on where it was")
        if not here:
            what = "does not exist" if not given.exists() else "holds no part of a data set"
            raise UsageError(f"{given} {what}; expected what prepare --part wrote.", hint="gan-audio prepare --merge parts/ -o DATA")
        folders |= {folder.resolve(): folder for folder in here}
    return sorted(((folder, _read_part(folder)) for folder in folders.values()), key=lambda found: found[1].number)


def _read_part(folder: Path) -> _PartFile:
    fetch([folder / PART_FILE])
    try:
        found = msgspec.convert(read_json(folder / PART_FILE), _PartFile, strict=False)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise DatasetError(f"{folder / PART_FILE} is damaged: {error}.", hint="make this part again with --overwrite") from error
    if found.format_version != _FORMAT_VERSION:
        raise DatasetError(f"{folder} was made by version {found.version} of gan-audio, which writes parts otherwise.")
    return found


def _checked(parts: list[tuple[Path, _PartFile]]) -> list[tuple[Path, _PartFile]]:
    """Return parts that are all parts of one data set.

    Raises:
        DatasetError: They are not.
    """
    first_folder, first = parts[0]
    for folder, part in parts[1:]:
        if part.count != first.count:
            raise DatasetError(
                f"{first_folder} is one of {first.count} parts, but {folder} one of {part.count}.", hint="merge parts of one number n"
            )
        if differing := _differing(first, part.facts, part.wanted):
            raise DatasetError(
                f"{folder} was prepared otherwise than {first_folder}: {differing}.",
                hint="make all parts with the same inputs, recipe and options",
            )
    numbers = [part.number for _, part in parts]
    for (one, part), (two, other) in pairwise(parts):
        if part.number == other.number:
            raise DatasetError(f"{one} and {two} are both part {part.part}.", hint="give each part once")
    if missing := sorted(set(range(1, first.count + 1)) - set(numbers)):
        some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise DatasetError(
            f"{len(missing)} of {first.count} parts are missing: {some}.", hint=f"prepare with --part {missing[0]}/{first.count}"
        )
    return parts


def _differing(part: _PartFile, facts: PlanFacts, wanted: _Wanted) -> str:
    found = differences(part.facts.signature, facts.signature) | differences(_flat(part.wanted), _flat(wanted))
    said = {"sources_sha256": "other recordings", "specs": "another recipe's statistics", "frames": "another recipe's frame features"}
    return "; ".join(said.get(key, line) for key, line in found.items())


def _unchanged(folder: Path, part: _PartFile, facts: PlanFacts, wanted: _Wanted) -> PrepareReport:
    if differing := _differing(part, facts, wanted):
        raise DatasetError(
            f"{folder} was prepared otherwise: {differing}.", hint="add --overwrite to replace it, or choose another folder with -o"
        )
    outcomes = [Outcome(**entry) for entry in part.outcomes]
    return report_of(folder, "unchanged", facts_of(facts, outcomes, part.shards.__getitem__), facts, outcomes)


def _strangers(folder: Path) -> list[str]:
    """Names in a folder that prepare did not write there, so that nothing else is ever replaced."""
    ours = {PART_FILE, ".lock"}
    if (folder / PART_FILE).is_file():
        ours |= {shard["file"] for shards in _read_part(folder).shards.values() for shard in shards}
    return sorted({path.name for path in folder.iterdir()} - ours)


def _wanted_of(extras: Extras) -> _Wanted:
    mels = (extras.mels[0], str(extras.mels[1].resolve())) if extras.mels else None
    speech = extras.speech[0] if extras.speech else None
    return _Wanted(extras.specs, extras.peak_normalize, extras.peak, extras.frames, mels, speech, extras.consent)


def _flat(wanted: _Wanted) -> dict[str, Any]:
    """What the recipe adds as a journal keeps it."""
    return json.loads(json.dumps(msgspec.to_builtins(wanted)))  # lists in place of tuples


def _sources_of(extras: Extras, outcomes: list[Outcome]) -> list[dict[str, str]]:
    """The recordings of a part with their transcripts, where they are needed."""
    if not extras.speech:
        return []
    found = (extras.speech[1][outcome.name] for outcome in outcomes)
    return [{"path": str(source.path.resolve())} | {name: getattr(source, name) for name in _SOURCE_FIELDS} for source in found]


def _source_of(entry: Mapping[str, Any]) -> SourceFile:
    return SourceFile(Path(entry["path"]), **{name: entry[name] for name in _SOURCE_FIELDS})


def _extras_of(parts: list[tuple[Path, _PartFile]], jobs: int, progress: Progress | None) -> Extras:
    wanted = parts[0][1].wanted
    speech = None
    if wanted.speech:
        sources = [_source_of(entry) for _, part in parts for entry in part.sources]
        gone = [source.path for source in sources if not source.path.is_file()]
        if gone:  # times beside them would go unnoticed
            raise DatasetError(
                f"The recording {gone[0]} cannot be seen from here.", hint="merge where the recordings are: their transcripts are read"
            )
        speech = (wanted.speech, {source.name: source for source in sources})
    mels = (wanted.mels[0], Path(wanted.mels[1])) if wanted.mels else None
    shard_done = lambda done, count: progress(done, count, "F0 and spectra of a shard") if progress else None
    return Extras(wanted.specs, wanted.peak_normalize, wanted.peak, wanted.frames, mels, wanted.consent, jobs, shard_done, speech)
