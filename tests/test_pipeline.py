"""The stream of batches: TensorFlow reads what numpy wrote, and the stream is a pure function of (seed, position)."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.data import shards
from gansynth_cli.data.audio.wav_clip import pcm_of_wav_bytes, wav_bytes
from gansynth_cli.data.clip_reader import ShardClips, conform_clip
from gansynth_cli.data.clip_stream import augmented, crop
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.data.source import Source
from gansynth_cli.data.statistics import compute, ensure_statistics, statistics_key
from gansynth_cli.errors import DatasetError
from gansynth_cli.feature_specs import BatchFeatures, LogSpectrogram
from gansynth_cli.recipe import recipe_from_tree
from gansynth_cli.recipe_schema import Augment, Data, Recipe
from gansynth_cli.signal.mel import mel_mean_bank

from .conftest import write_tones, write_wav

CLIP = 64
COUNTS = {"a": 23, "b": 9, "c": 5}  # clips of each label


def recipe(**data) -> Recipe:
    return recipe_from_tree({"family": "wavegan", "data": {"sample_rate": 8000, "clip_samples": CLIP, "batch_size": 4} | data})


def numbered(root: Path, samples: int = CLIP) -> Path:
    """Recordings that can be told apart: recording n of all is the constant (n + 1) / 256."""
    number = 0
    for label, count in COUNTS.items():
        for take in range(count):
            number += 1
            write_wav(root / label / f"{take:02d}.wav", np.full(samples, number / 256))
    return root


@pytest.fixture(scope="module")
def numbered_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered(tmp_path_factory.mktemp("numbered") / "in")


@pytest.fixture(scope="module")
def numbered_data(numbered_folder: Path) -> Path:
    options = PrepareOptions(CutOptions(8000, 1, CLIP, min_seconds=0), LabelOptions(labels="folder"), SplitOptions("auto", 0, 0), "n", 3)
    prepare([numbered_folder], numbered_folder.parent / "data", options)
    return numbered_folder.parent / "data"


@pytest.fixture(params=["shards", "folder"])
def source_path(request: pytest.FixtureRequest, numbered_data: Path, numbered_folder: Path) -> Path:
    return {"shards": numbered_data, "folder": numbered_folder}[request.param]


def numbers(batches) -> list[list[int]]:
    """The recordings of each batch."""
    return [[int(n) for n in np.rint(batch["audio"].numpy()[:, 0, 0] * 256)] for batch in batches]


def drawn_from(batches) -> list[int]:
    """The recordings of all batches, one after the other."""
    return list(itertools.chain(*numbers(batches)))


def label_of(number: int) -> int:
    return 0 if number <= 23 else 1 if number <= 32 else 2


# --- records ---------------------------------------------------------------------------------------------------------


def test_tensorflow_reads_the_records(tmp_path: Path):
    rng = np.random.default_rng(0)
    clips = [
        shards.ClipRecord(wav_bytes(rng.integers(-32768, 32767, (50, 2), np.int16), 8000), label, speaker, source, start, f"id{label}")
        for label, speaker, source, start in ((0, "", "a.wav", 0), (-1, "ünï", "sub ü/b.wav", -16), (1 << 40, "x" * 300, "c", 1 << 33))
    ]
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"".join(shards.frame_record(shards.encode_example(clip)) for clip in clips))
    read = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert read == list(shards.read_records(path))
    for clip, record in zip(clips, read, strict=True):
        example = tf.train.Example.FromString(record)
        features = example.features.feature
        for name, kind in shards.FEATURES.items():
            (value,) = getattr(features[name], f"{kind}_list").value
            assert (value.decode() if kind == "bytes" and name != "audio" else value) == getattr(clip, name)
        assert shards.decode_example(record) == clip
        assert shards.decode_example(example.SerializeToString()) == clip, "TensorFlow's own encoding is read too"


@pytest.mark.parametrize("channels", [1, 2])
def test_decoded_values_are_the_samples(tmp_path: Path, channels: int):
    """16-bit sources come back to the last bit, as k / 32768, channels in their order."""
    pcm = np.random.default_rng(0).integers(-32768, 32767, (6, CLIP, channels), np.int16)
    for index, clip in enumerate(pcm):
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{index}.wav", clip, 8000)
    options = PrepareOptions(CutOptions(8000, channels, CLIP, min_seconds=0), splits=SplitOptions("auto", 0, 0))
    prepare([tmp_path / "in"], tmp_path / "data", options)
    own = recipe(channels=channels, shuffle_clips=0)
    for path in (tmp_path / "data", tmp_path / "in"):
        source = open_source(path, own)
        (batch,) = source.batches(own, seed=0, repeat=False, batch_size=6)
        assert batch["audio"].shape == (6, CLIP, channels)
        assert set(batch) == {"audio"}, "no labels"
        values = sorted(np.rint(clip * 32768).astype(int).tolist() for clip in batch["audio"].numpy())
        assert values == sorted(pcm.astype(int).tolist())
        assert np.abs(batch["audio"].numpy() * 32768 % 1).max() == 0
        for (audio, label), clip in zip(source.clips("train"), batch["audio"].numpy(), strict=True):
            assert label == ""
            np.testing.assert_array_equal(audio, clip)


# --- the stream ------------------------------------------------------------------------------------------------------


def test_an_epoch_holds_every_clip_once(source_path: Path):
    own = recipe()
    source = open_source(source_path, own)
    assert source.splits == ("train",)
    assert source.info.labels == ["a", "b", "c"]
    assert source.clips_per_epoch() == 37
    stream = source.batches(own, seed=1)
    assert stream.element_spec["audio"].shape == (4, CLIP, 1)
    batches = list(stream.take(37))  # four epochs
    drawn = drawn_from(batches)
    for epoch in range(4):
        assert sorted(drawn[37 * epoch : 37 * (epoch + 1)]) == list(range(1, 38))
    assert drawn[:37] != drawn[37:74], "another order in each epoch"
    assert drawn[:37] != sorted(drawn[:37])
    assert [label_of(n) for n in drawn] == np.concatenate([batch["label"].numpy() for batch in batches]).tolist()
    other = drawn_from(source.batches(own, seed=2).take(9))
    assert other != drawn[:36], "another order with another seed"


def test_one_pass_keeps_the_smaller_last_batch(source_path: Path):
    own = recipe()
    batches = numbers(open_source(source_path, own).batches(own, seed=1, repeat=False))
    assert [len(batch) for batch in batches] == [4] * 9 + [1]
    assert sorted(itertools.chain(*batches)) == list(range(1, 38))


def test_a_resumed_stream_is_bit_equal(source_path: Path):
    own = recipe(clip_samples=40, balance="class", augment={"gain_db": 6.0, "polarity": 0.5, "shift_samples": 5})
    source = open_source(source_path, own)
    whole = [batch["audio"].numpy() for batch in source.batches(own, seed=3).take(40)]
    for batches_done in (1, 17, 18, 35):  # 69 clips an epoch: before, across and after the first two ends
        tf.random.set_seed(batches_done)  # must not matter
        resumed = source.batches(own, seed=3, first_clip=4 * batches_done).take(3)
        for expected, batch in zip(whole[batches_done:], resumed, strict=False):
            np.testing.assert_array_equal(batch["audio"].numpy(), expected)


def test_workers_share_the_stream(source_path: Path):
    own = recipe()
    source = open_source(source_path, own)
    one = drawn_from(source.batches(own, seed=5, first_clip=8).take(20))
    for worker in range(2):
        mine = drawn_from(source.batches(own, seed=5, first_clip=8, shard_index=worker, shard_count=2).take(20))
        assert len(mine) == 40, "half of the batch each"
        assert mine == one[worker::2][:40]
    with pytest.raises(DatasetError, match="37 clips in its train split, fewer than the 50 workers"):
        source.batches(own, seed=0, shard_count=50)


def test_balance(source_path: Path):
    own = recipe(balance="class")
    source = open_source(source_path, own)
    assert source.clips_per_epoch() == 69
    drawn = drawn_from(source.batches(own, seed=1, batch_size=69).take(5))
    for epoch in range(5):
        once = Counter(drawn[69 * epoch : 69 * (epoch + 1)])
        for label, count in enumerate(COUNTS.values()):
            mine = {n: c for n, c in once.items() if label_of(n) == label}
            assert sum(mine.values()) == 23
            assert len(mine) == count
            assert set(mine.values()) <= {23 // count, -(-23 // count)}, "as evenly as it goes"
    totals = Counter(n for n in drawn if label_of(n) == 2)
    assert max(totals.values()) - min(totals.values()) <= 1, "over five epochs each of the five rare clips comes as often"


def test_order_of_the_shards_without_shuffling(numbered_data: Path):
    own = recipe(shuffle_clips=0)
    source = open_source(numbered_data, own)
    first, second = (numbers(source.batches(own, seed=seed, batch_size=37).take(1))[0] for seed in (1, 2))
    assert first == second
    stored = [r for s in source.info.splits["train"].shards for r in shards.read_records(numbered_data / s["file"])]
    assert first == [int(pcm_of_wav_bytes(shards.decode_example(r).audio)[0, 0]) // 128 for r in stored]


# --- crops and augmentation ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ramp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of 1000 samples, n / 32768 at sample n, prepared as it is and in one piece."""
    root = tmp_path_factory.mktemp("ramp")
    write_wav(root / "in" / "a.wav", np.arange(1000) / 32768)
    options = PrepareOptions(CutOptions(8000, 1, 0), splits=SplitOptions("auto", 0, 0))
    prepare([root / "in"], root / "data", options)
    return root


def ramp_clips(root: Path, folder: str = "data", batches: int = 1, **data) -> np.ndarray:
    own = recipe(**{"clip_samples": 900} | data)
    source = open_source(root / folder, own)
    return np.concatenate([b["audio"].numpy()[..., 0] * 32768 for b in source.batches(own, seed=1, batch_size=200).take(batches)])


@pytest.mark.parametrize("folder", ["data", "in"])
def test_random_crops_are_uniform_and_whole(ramp_folder: Path, folder: str):
    clips = ramp_clips(ramp_folder, folder, 4)
    starts = clips[:, 0].astype(int)
    np.testing.assert_array_equal(clips, starts[:, None] + np.arange(900))
    assert starts.min() >= 0
    assert starts.max() <= 100
    histogram = np.bincount(starts // 26, minlength=4)[:4]
    assert (np.abs(histogram - 206) < 60).all(), f"starts 0..100 in four parts: {histogram}"


def test_a_random_crop_reaches_every_start_the_last_one_too():
    audio, settings = tf.range(7.0)[:, None], Data(clip_samples=4)
    starts = [int(crop(audio, settings, tf.constant(uniform))[0, 0]) for uniform in (0.0, 0.24, 0.26, 0.49, 0.51, 0.74, 0.76, 1 - 2**-24)]
    assert starts == [0, 0, 1, 1, 2, 2, 3, 3]
    assert np.array_equal(crop(audio, settings, tf.constant(0.99))[:, 0], [3, 4, 5, 6])


@pytest.mark.parametrize("crop, start", [("start", 0), ("centre", 50)])
def test_fixed_crops(ramp_folder: Path, crop: str, start: int):
    np.testing.assert_array_equal(ramp_clips(ramp_folder, crop=crop)[0], start + np.arange(900))
    (audio, _) = next(open_source(ramp_folder / "data", recipe(clip_samples=900, crop=crop)).clips("train"))
    np.testing.assert_array_equal(audio[:, 0] * 32768, start + np.arange(900))


def test_clips_without_augmentation_take_no_chances(ramp_folder: Path):
    own = recipe(clip_samples=900, augment={"gain_db": 20.0, "polarity": 0.5, "shift_samples": 50})
    source = open_source(ramp_folder / "data", own)
    (batch,) = source.batches(own, seed=1, repeat=False, augment=False)
    np.testing.assert_array_equal(batch["audio"].numpy()[0, :, 0] * 32768, np.arange(900))


def test_shorter_clips_are_padded(ramp_folder: Path):
    clips = ramp_clips(ramp_folder, clip_samples=1500)
    np.testing.assert_array_equal(clips, np.tile(np.r_[np.arange(1000), np.zeros(500)], (200, 1)))


def test_peak_normalize(ramp_folder: Path):
    clips = ramp_clips(ramp_folder, crop="start", peak_normalize=True) / 32768
    np.testing.assert_allclose(clips[0], np.arange(900) / 899, rtol=1e-5)


def test_whole_recordings_are_scaled_before_cropping(ramp_folder: Path):
    clips = ramp_clips(ramp_folder, crop="start", peak_normalize="recording", peak=0.5) / 32768
    np.testing.assert_allclose(clips[0], 0.5 * np.arange(900) / 999, rtol=1e-5)
    spec = LogSpectrogram(16, 8, 8, 1e-6)
    assert statistics_key(spec, "recording", 0.5) == f"{spec.key}/recording_peak_normalized_0.5"
    undisturbed = conform_clip(np.arange(10, dtype=np.float32)[:, None], 4, "start", "recording", 0.9)
    np.testing.assert_allclose(undisturbed[:, 0], np.arange(4) * 0.1, rtol=1e-6)
    np.testing.assert_array_equal(conform_clip(np.zeros((3, 1), np.float32), 0, "start", "recording"), np.zeros((3, 1)))


def test_gain_and_polarity_are_drawn_as_the_recipe_says(ramp_folder: Path):
    clips = ramp_clips(ramp_folder, batches=2, crop="start", augment={"gain_db": 12.0, "polarity": 0.25})
    factor = clips[:, 899] / 899
    np.testing.assert_allclose(clips, factor[:, None] * np.arange(900), rtol=1e-4, atol=1e-3)
    assert abs(np.mean(factor < 0) - 0.25) < 0.08
    gains = 20 * np.log10(np.abs(factor))
    assert -12.01 < gains.min() < -11
    assert -1 < gains.max() <= 0.01
    assert abs(gains.mean() + 6) < 0.7, "uniform in decibels"


def test_shift_moves_both_ways_and_fills_with_zeros():
    audio = tf.constant(np.arange(1.0, 9.0, dtype=np.float32)[:, None])
    settings = Augment(shift_samples=2)
    for uniform, expected in (
        (0.0, [0, 0, 1, 2, 3, 4, 5, 6]),
        (0.5, [1, 2, 3, 4, 5, 6, 7, 8]),
        (0.9999, [3, 4, 5, 6, 7, 8, 0, 0]),
    ):
        np.testing.assert_array_equal(augmented(audio, settings, tf.constant([0.0, 0.0, uniform]))[:, 0], expected)


# --- direct mode ------------------------------------------------------------------------------------------------------


def test_a_folder_of_mixed_recordings(tmp_path: Path):
    t = np.arange(44100) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    for label in ("x", "y"):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "stereo.flac", np.stack([tone, tone], 1), 44100)
        soundfile.write(tmp_path / label / "a ü.mp3", tone, 44100)
    (tmp_path / "y" / "broken.wav").write_text("no audio")
    own = recipe(clip_samples=2000, crop="start")
    source = open_source(tmp_path, own)
    assert source.info.skipped == [{"path": "y/broken.wav", "reason": "not audio that libsndfile can read", "failed": True}]
    assert source.clips_per_epoch() == 16, "8000 samples at 8 kHz: four clips of each of four recordings"
    batches = list(source.batches(own, seed=1, repeat=False, batch_size=16))
    assert batches[0]["audio"].shape == (16, 2000, 1)
    assert Counter(batches[0]["label"].numpy().tolist()) == {0: 8, 1: 8}
    for clip in batches[0]["audio"].numpy()[..., 0]:
        assert np.argmax(np.abs(np.fft.rfft(clip * np.hanning(2000)))) == pytest.approx(110, abs=1)
    assert [label for _, label in source.clips("train")] == ["x"] * 8 + ["y"] * 8
    source.check(BatchFeatures(8000, 1, 2000, labels=True))


def test_a_recording_that_breaks_while_training(tmp_path: Path):
    root = numbered(tmp_path / "in")
    own = recipe()
    source = open_source(root, own)
    (root / "b" / "03.wav").write_bytes(b"")
    with pytest.raises(tf.errors.OpError) as caught:
        list(source.batches(own, seed=1, repeat=False))
    failure = source.diagnose(caught.value)
    assert isinstance(failure, DatasetError)
    assert "03.wav: empty file" in failure.message


def test_paths_that_are_no_data(tmp_path: Path):
    with pytest.raises(DatasetError, match="does not exist") as caught:
        open_source(tmp_path / "nothing", recipe())
    assert "gan-audio prepare" in caught.value.hint
    with pytest.raises(DatasetError, match="holds no recording"):
        open_source(tmp_path, recipe())
    (tmp_path / "journal.jsonl").write_text("{}")
    with pytest.raises(DatasetError, match="has not finished"):
        open_source(tmp_path, recipe())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"None of the 1 recordings .* a\.wav: empty file"):
        open_source(tmp_path / "in", recipe())


@pytest.mark.tfio
def test_tensorflow_io_gives_the_same_stream(tmp_path: Path):
    pytest.importorskip("tensorflow_io")
    t = np.arange(16000) / 8000
    for index, (suffix, subtype) in enumerate((("wav", "PCM_16"), ("wav", "PCM_24"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", None))):
        for rate in (8000, 16000):
            path = tmp_path / f"{index}" / f"{rate}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.4 * np.sin(2 * np.pi * 300 * t[:, None] * [1, 2]), rate, subtype=subtype)
    own = recipe(clip_samples=1024, batch_size=8)
    source = open_source(tmp_path, own)
    assert source._in_graph
    in_graph = list(source.batches(own, seed=1, repeat=False))
    source._in_graph = False
    for ours, other in zip(source.batches(own, seed=1, repeat=False), in_graph, strict=True):
        np.testing.assert_array_equal(ours["label"], other["label"])
        # Now and then (2 of 6 runs) one window of tensorflow-io's is off by one step of 16 bits; the cause is not known yet.
        np.testing.assert_allclose(ours["audio"], other["audio"], atol=1 / 32768 + 1e-6)


# --- what does not fit ------------------------------------------------------------------------------------------------


def altered(source: Source, **facts) -> Source:
    source.info = dataclasses.replace(source.info, **facts)
    return source


def test_check_says_both_numbers_and_the_command(numbered_data: Path):
    own = recipe()
    source = open_source(numbered_data, own)
    source.check(BatchFeatures(8000, 1, CLIP, labels=True))
    source.check(BatchFeatures(8000, 1, CLIP // 2))
    with pytest.raises(DatasetError, match="its sample rate is 8000 Hz, the recipe wavegan wants 16000 Hz") as caught:
        source.check(BatchFeatures(16000, 1, CLIP))
    assert "gan-audio prepare INPUT... -o DATA --sample-rate 16000 --channels 1 --clip-samples 64" in caught.value.hint
    with pytest.raises(DatasetError, match="its number of channels is 1, the recipe wavegan wants 2"):
        source.check(BatchFeatures(8000, 2, CLIP))
    with pytest.raises(DatasetError, match="its clips have 64 samples, the recipe wavegan wants 65"):
        source.check(BatchFeatures(8000, 1, CLIP + 1))
    altered(open_source(numbered_data, own), clip_samples=0).check(BatchFeatures(8000, 1, 10 * CLIP))
    with pytest.raises(DatasetError, match="has no labels; the recipe wavegan is conditional") as caught:
        altered(source, labels=[]).check(BatchFeatures(8000, 1, CLIP, labels=True))
    assert "--labels folder" in caught.value.hint
    with pytest.raises(DatasetError, match="no clips in a split 'validation'; it has train"):
        source.batches(own, "validation", seed=0)


def test_damaged_shards(tmp_path: Path):
    write_tones(tmp_path / "in", 4)
    options = PrepareOptions(CutOptions(8000, 1, 2048), splits=SplitOptions("auto", 0, 0), name="d")
    prepare([tmp_path / "in"], tmp_path / "data", options)
    own = recipe(clip_samples=2048)
    source = open_source(tmp_path / "data", own)
    features = BatchFeatures(8000, 1, 2048)
    shard = tmp_path / "data" / "d-train.tfrecord-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    source.check(features)  # sizes alone
    with pytest.raises(tf.errors.DataLossError) as caught:
        list(source.batches(own, seed=0, repeat=False))
    failure = source.diagnose(caught.value)
    assert isinstance(failure, DatasetError)
    assert f"{shard.name} has other content" in failure.message
    assert source.diagnose(ValueError("something else")) is None
    shard.write_bytes(content[:-1])
    with pytest.raises(DatasetError, match=f"{shard.name} has {len(content) - 1} bytes; {len(content)} were written"):
        source.check(features)
    shard.unlink()
    with pytest.raises(DatasetError, match=f"{shard.name} is missing") as caught:
        source.check(features)
    assert caught.value.hint


# --- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_naive_loop():
    spec = LogSpectrogram(fft=16, hop=8, frames=10, log_offset=1e-6)
    clips = [np.random.default_rng(seed).uniform(-1, 1, (80, 2)).astype(np.float32) for seed in range(3)]
    window = [0.5 - 0.5 * np.cos(2 * np.pi * n / 16) for n in range(16)]
    logs = []
    for clip in clips:
        for channel in range(2):
            for frame in range(10):
                part = [float(clip[frame * 8 + n, channel]) * window[n] if frame * 8 + n < 80 else 0.0 for n in range(16)]
                bins = [abs(sum(x * np.exp(-2j * np.pi * k * n / 16) for n, x in enumerate(part))) for k in range(9)]
                logs.append(np.log(np.array(bins) + 1e-6))
    result = compute(spec, clips)
    np.testing.assert_allclose(result["mean"], np.mean(logs, axis=0), atol=1e-9)
    np.testing.assert_allclose(result["deviation"], np.std(logs, axis=0), atol=1e-9)


def test_statistics_of_mel_bands_are_those_of_the_mean_magnitudes():
    spec = LogSpectrogram(64, 32, 4, 1e-3, mel_bands=6, sample_rate=8000)
    clip = np.random.default_rng(0).uniform(-1, 1, (128, 1))
    frames = np.stack([np.pad(clip[:, 0], (32, 64))[32 * t : 32 * t + 64] for t in range(4)])
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(65)[:-1]))
    logs = np.log(magnitudes @ mel_mean_bank(8000, 64, 6) + 1e-3)
    found = compute(spec, [clip])
    np.testing.assert_allclose(found["mean"], logs.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found["deviation"], logs.std(axis=0), atol=1e-6)
    assert spec.key != LogSpectrogram(64, 32, 4, 1e-3).key


def test_longer_clips_count_in_pieces():
    spec = LogSpectrogram(16, 8, 10, 1e-6)
    clip = np.random.default_rng(0).uniform(-1, 1, (250, 1))
    whole, pieces = compute(spec, [clip]), compute(spec, [clip[:80], clip[80:160], clip[160:240]])
    np.testing.assert_allclose(whole["mean"], pieces["mean"])
    with pytest.raises(DatasetError, match="no clip"):
        compute(spec, [])


def test_ensure_statistics(numbered_data: Path):
    spec = LogSpectrogram(16, 8, 8, 1e-6)
    plain, normalized = open_source(numbered_data, recipe()), open_source(numbered_data, recipe(peak_normalize=True))
    computed: list[str] = []
    info = ensure_statistics(plain.info, plain, [spec], computed.append)
    assert computed == [spec.key]
    clips = ShardClips(plain.info, numbered_data).clips("train")
    assert info.statistics[spec.key] == compute(spec, (clip for clip, _ in clips))
    assert ensure_statistics(info, plain, [spec], computed.append) == info
    assert computed == [spec.key], "not computed twice"
    other = ensure_statistics(info, normalized, [spec], computed.append)
    assert computed == [spec.key, f"{spec.key}/peak_normalized"]
    assert other.statistics[spec.key] != info.statistics[spec.key], "clips scaled to a peak of 1 have others"
    assert isinstance(other, DatasetInfo)


def test_direct_mode_has_statistics_too(numbered_folder: Path):
    spec = LogSpectrogram(16, 8, 8, 1e-6)
    source = open_source(numbered_folder, recipe())
    assert len(ensure_statistics(source.info, source, [spec]).statistics[spec.key]["mean"]) == 9
