"""A tf.data service that prepares the batches: the same ones in the same order with one worker, all of them with two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.pipeline import open_source
from gansynth_cli.errors import RecipeError
from gansynth_cli.feature_specs import BatchFeatures
from gansynth_cli.recipe import load_recipe

service = tf.data.experimental.service
CHANGES = ["data.sample_rate=8000", "data.clip_samples=2048", "data.batch_size=4", "data.shuffle_clips=32", "data.augment.gain_db=6.0"]


def start(workers: int) -> tuple[str, list[object]]:
    """A dispatcher and its workers in this process."""
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    servers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=address)) for _ in range(workers)]
    return dispatcher.target, [dispatcher, *servers]


def batches(data: Path, address: str, count: int, **arguments) -> list[np.ndarray]:
    recipe = load_recipe("wavegan/tiny", [*CHANGES, f'data.service="{address}"'])
    stream = open_source(data, recipe).batches(recipe, seed=5, **arguments).take(count)
    return [batch["audio"].numpy() for batch in stream]


def test_one_worker_gives_the_same_batches(tiny_dataset: Path):
    address, servers = start(1)
    for arguments in ({}, {"first_clip": 12}):
        for one, other in zip(batches(tiny_dataset, "", 20, **arguments), batches(tiny_dataset, address, 20, **arguments), strict=True):
            np.testing.assert_array_equal(one, other)
    del servers


@pytest.mark.slow
def test_two_workers_share_the_epochs(tiny_dataset: Path):
    """Each draws epochs of its own: no clip with the gain of its place in the stream comes twice."""
    address, servers = start(2)
    clips = [clip.tobytes() for batch in batches(tiny_dataset, address, 60) for clip in batch]
    assert len(set(clips)) == len(clips)
    del servers


def test_what_a_service_cannot_read_is_refused(tone_folder: Path):
    recipe = load_recipe("wavegan/tiny", [*CHANGES, 'data.service="grpc://localhost:1"'])
    with pytest.raises(RecipeError, match=r"data\.service takes prepared data sets"):
        open_source(tone_folder, recipe).check(BatchFeatures(8000, 1, 2048))
