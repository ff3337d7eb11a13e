"""Open the data that a training reads."""

from __future__ import annotations

from pathlib import Path

from ..errors import DatasetError
from ..recipe_schema import Recipe
from ..stores.mirror import mirror_of
from .audio.find import find_audio
from .dataset_info import INFO_FILE, read_dataset_info
from .folder_source import FolderSource
from .shard_source import ShardSource
from .source import Source


def open_source(path: Path, recipe: Recipe) -> Source:
    """Open a prepared data set, or a plain folder of recordings (`FolderSource`).

    Raises:
        DatasetError: Neither of the two, or an unfinished data set.
    """
    path = Path(path)
    if not path.is_dir():
        raise DatasetError(
            f"The data set {path} does not exist.", hint=f"gan-audio prepare INPUT... -o {path} --recipe {recipe.name or recipe.family}"
        )
    if (path / INFO_FILE).is_file():
        return ShardSource(path, read_dataset_info(path), recipe)
    if (path / "journal.jsonl").is_file():
        raise DatasetError(
            f"{path} is a data set that `prepare` has not finished.", hint="repeat the prepare command: it goes on where it was"
        )
    if mirror := mirror_of(path):
        raise DatasetError(
            f"{mirror.store.url} is not a prepared data set.",
            hint=f"gan-audio prepare {mirror.store.url} -o DATA --recipe {recipe.name or recipe.family}",
        )
    find_audio([path])  # its message names what is there instead
    return FolderSource(path, recipe)
