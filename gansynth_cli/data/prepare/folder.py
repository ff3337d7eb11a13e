"""What `prepare` has on disk while it works, and how it gets its final name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import DatasetError
from ...files import json_text, write_text
from ..dataset_info import DatasetInfo, read_dataset_info
from ..frame_features import sidecar_name
from ..shards import ATTRIBUTE, FEATURES, ShardSet


@contextmanager
def partial_folder(output: Path, signature: dict[str, Any], overwrite: bool) -> Iterator[Path]:
    """`<output>.partial`, for this process alone, begun by a call with this signature: new, or left by an interrupted run.

    Raises:
        DatasetError: Another process is at work in it, or it was begun otherwise.
    """
    folder = output.with_name(output.name + ".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder} cannot be made: {error.strerror}.") from error
    with _locked(folder):
        journal = folder / "journal.jsonl"
        head = journal_lines(journal)[:1]
        differing = differences(head[0].get("signature", {}), signature) if head else {}
        if differing and not overwrite:
            changes = "; ".join("other recordings" if key == "sources_sha256" else line for key, line in differing.items())
            raise DatasetError(
                f"{folder} holds an unfinished data set that was begun otherwise: {changes}.",
                hint="repeat the earlier command to finish it, or add --overwrite to drop it",
            )
        if overwrite or not head:
            for leftover in folder.iterdir():
                if leftover.name != ".lock":
                    leftover.unlink()
            write_text(journal, json.dumps({"signature": signature, "version": __version__}) + "\n")
        yield folder


def journal_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; a last line that was cut off is not one."""
    lines = []
    if path.is_file():
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
    return lines


def remove_empty(folder: Path, shards: ShardSet, info: DatasetInfo) -> None:
    for split, names in shards.names.items():
        if split not in info.splits:
            for name in names:
                (folder / name).unlink()


def check_replaceable(output: Path) -> None:
    """`--overwrite` must delete nothing but the data set."""
    info = read_dataset_info(output)
    ours = {"dataset_info.json", "features.json", ".lock"} | {shard["file"] for split in info.splits.values() for shard in split.shards}
    ours |= {sidecar_name(shard, key) for key, entry in info.frame_features.items() for shard in entry["files"]}
    others = sorted(path.name for path in output.iterdir() if path.name not in ours)
    if others:
        raise DatasetError(f"{output} holds files that are not the data set's: {', '.join(others[:5])}.", hint="move them away first")


def put_in_place(folder: Path, output: Path) -> None:
    old = output.with_name(f"{output.name}.old-{os.getpid()}")
    occupied = output.exists() and any(output.iterdir())
    if occupied:
        output.rename(old)
    (folder / ".lock").unlink(missing_ok=True)
    folder.replace(output)
    if occupied:
        shutil.rmtree(old)


@contextmanager
def explained(output: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "There is no space left on the disk"
        else:
            what = f"Writing failed ({error.strerror or error})"
        raise DatasetError(
            f"{what} while writing {output}; what is done is kept in {folder}.",
            hint="free some space and run the same command again: it goes on where it was",
        ) from error


def features_json(info: DatasetInfo) -> str:
    """The features of a record in the manner of TFDS."""
    prefix = "tensorflow_datasets.core.features"
    channels = info.channels * (2 if info.pairs else 1)
    kinds: dict[str, dict[str, Any]] = {
        "audio": {
            "pythonClassName": f"{prefix}.audio_feature.Audio",
            "audio": {
                "shape": {"dimensions": [str(info.clip_samples or -1)] + ([str(channels)] if channels > 1 else [])},
                "dtype": "int16",
                "fileFormat": "wav",
                "sampleRate": str(info.sample_rate),
            },
        },
        "label": {
            "pythonClassName": f"{prefix}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(len(info.labels)), "names": info.labels},
        },
    }
    for name, values in info.attributes.items():
        kinds[ATTRIBUTE + name] = {
            "pythonClassName": f"{prefix}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(len(values)), "names": values},
        }
    for name, kind in FEATURES.items():
        if name not in kinds:
            text = {"pythonClassName": f"{prefix}.text_feature.Text", "text": {}}
            number = {"pythonClassName": f"{prefix}.scalar.Scalar", "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"}}
            kinds[name] = text if kind == "bytes" else number
    tree = {"pythonClassName": f"{prefix}.features_dict.FeaturesDict", "featuresDict": {"features": kinds}}
    return json_text(tree, sort_keys=True)


def differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """Option -> "was x, is y" in words."""
    keys = [*now, *(key for key in before if key not in now and key != "version")]
    pairs = {key: (before.get(key), now.get(key)) for key in keys}
    return {key: f"{key} was {_shown(was)}, is now {_shown(is_now)}" for key, (was, is_now) in pairs.items() if was != is_now}


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else "none" if value in (None, "") else str(value)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Refuses a second process; the system drops the lock when this one ends, however it ends."""
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            import fcntl
        except ImportError:  # Windows: two processes on one output are the user's risk
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise DatasetError(f"{folder} is being written by another process (pid {file.read().strip() or 'unknown'}).") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
