"""`data.label_group`: batches of groups of one label, at known positions of the stream."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.data.pipeline import open_source
from gansynth_cli.errors import RecipeError
from gansynth_cli.recipe import load_recipe

CHANGES = ("data.label_group=3", "data.batch_size=6", "data.crop='random'")


def batches(path: Path, count: int, *changes: str, **arguments) -> list[dict[str, np.ndarray]]:
    recipe = load_recipe("wavegan/tiny", [*CHANGES, *changes])
    stream = open_source(path, recipe).batches(recipe, seed=5, **arguments)
    return [{name: value.numpy() for name, value in batch.items()} for batch in islice(stream, count)]


def test_clips_a_group_apart_share_their_label(tiny_dataset):
    for batch in batches(tiny_dataset, 12):
        rows = batch["label"].reshape(3, 2)
        np.testing.assert_array_equal(rows, rows[:1].repeat(3, axis=0))
        assert np.unique(batch["audio"], axis=0).shape[0] == 6  # a group holds different clips of its label


def test_an_epoch_has_the_length_that_is_told_and_no_clip_twice(tiny_dataset):
    recipe = load_recipe("wavegan/tiny", CHANGES)
    source = open_source(tiny_dataset, recipe)
    counts = source.info.splits["train"].label_counts
    assert source.clips_per_epoch() == sum(count // 3 * 3 for count in counts.values())
    one = list(source.batches(recipe, seed=5, repeat=False).as_numpy_iterator())
    clips = np.concatenate([batch["audio"] for batch in one])
    assert len(clips) == source.clips_per_epoch()
    assert np.unique(clips, axis=0).shape[0] == len(clips)


@pytest.mark.parametrize("balance", ["none", "class"])
def test_a_resumed_stream_goes_on_exactly(tiny_dataset, balance):
    changes = (f"data.balance='{balance}'",)
    whole = batches(tiny_dataset, 14, *changes)
    for first in (1, 7, 11):
        rest = batches(tiny_dataset, 3, *changes, first_clip=6 * first)
        for have, want in zip(rest, whole[first : first + 3], strict=True):
            np.testing.assert_array_equal(have["audio"], want["audio"])
            np.testing.assert_array_equal(have["label"], want["label"])


def test_two_workers_share_the_groups(tiny_dataset):
    whole = batches(tiny_dataset, 4)
    parts = [batches(tiny_dataset, 4, batch_size=3, shard_index=index, shard_count=2) for index in (0, 1)]
    for index in range(4):
        assert parts[0][index]["label"].tolist() == whole[index]["label"][0::2].tolist()
        assert parts[1][index]["label"].tolist() == whole[index]["label"][1::2].tolist()


def test_a_batch_that_is_no_multiple_is_refused(tiny_dataset):
    with pytest.raises(RecipeError, match="multiple"):
        batches(tiny_dataset, 1, "data.batch_size=8")


def test_direct_mode_groups_too(tone_folder):
    for batch in batches(tone_folder, 4):
        rows = batch["label"].reshape(3, 2)
        np.testing.assert_array_equal(rows, rows[:1].repeat(3, axis=0))
