"""`prepare`: what is done to the sound, what is kept on disk, how it fails and how it goes on."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from gansynth_cli.cli.prepare import DETAILS
from gansynth_cli.data import shards
from gansynth_cli.data.audio.loudness import loudness_lufs
from gansynth_cli.data.clip_reader import ShardClips
from gansynth_cli.data.corpora.source_file import LabelOptions, SourceFile
from gansynth_cli.data.dataset_info import DatasetInfo, read_dataset_info
from gansynth_cli.data.prepare import clip_cutting
from gansynth_cli.data.prepare import plan as plan_module
from gansynth_cli.data.prepare import work as prepare_work
from gansynth_cli.data.prepare.clip_cutting import Clip, CutOptions, CutReport, cut
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.errors import AudioFileError, DatasetError, UsageError

from . import helpers
from .conftest import write_tones, write_wav

RATE = 8000
ALL_TRAIN = SplitOptions(validation=0, test=0)


def ramp(samples: int, channels: int = 1) -> np.ndarray:
    """Samples that say where they come from: n / 32768 at sample n, never 0."""
    return np.repeat((1 + np.arange(samples) % 32000)[:, None] / 32768, channels, axis=1)


def clips_of(path: Path, **options) -> tuple[list[Clip], CutReport]:
    report = CutReport()
    return list(cut(path, CutOptions(**{"sample_rate": RATE, "clip_samples": 1000} | options), report)), report


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def options(**changes) -> PrepareOptions:
    cut_options = {"sample_rate": RATE, "clip_samples": 2048} | changes.pop("cut", {})
    return PrepareOptions(**{"cut": CutOptions(**cut_options), "labels": LabelOptions(labels="folder"), "name": "d"} | changes)


# --- the sound -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_blocks", [False, True])
def test_windows_hops_and_the_last_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_blocks: bool):
    """A recording in memory and one that is streamed give the same clips."""
    if in_blocks:
        monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 0)
        monkeypatch.setattr(clip_cutting.audio_file.blocks, "__defaults__", (137,))
    path = write_wav(tmp_path / "a.wav", ramp(2600))
    for hop, starts in ((0, [0, 1000, 2000]), (500, [0, 500, 1000, 1500]), (700, [0, 700, 1400]), (1500, [0, 1500])):
        clips, report = clips_of(path, hop_samples=hop)
        assert [clip.start for clip in clips] == starts, hop
        for clip in clips:
            expected = np.zeros(1000, np.int16)
            source = np.arange(clip.start, min(clip.start + 1000, 2600)) + 1
            expected[: len(source)] = source
            np.testing.assert_array_equal(clip.pcm[:, 0], expected)
        assert report.dropped == ""
    assert [(clip.samples, clip.filled) for clip in clips_of(path)[0]] == [(1000, ""), (1000, ""), (600, "pad")]
    assert [clip.start for clip in clips_of(path, max_clips=2)[0]] == [0, 1000]
    clips, report = clips_of(write_wav(tmp_path / "b.wav", ramp(2499)))
    assert (len(clips), report.short_pieces) == (2, 1), "less than half a clip is new: dropped"
    whole, _ = clips_of(path, clip_samples=0)
    np.testing.assert_array_equal(whole[0].pcm[:, 0], np.arange(2600) + 1)


def test_short_recordings(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", ramp(300))
    (padded,), _ = clips_of(path, short="pad")
    np.testing.assert_array_equal(padded.pcm[:, 0], np.r_[np.arange(300) + 1, np.zeros(700)])
    (looped,), _ = clips_of(path, short="loop")
    np.testing.assert_array_equal(looped.pcm[:, 0], np.arange(1000) % 300 + 1)
    assert looped.filled == "loop"
    clips, report = clips_of(path, short="drop")
    assert (clips, report.dropped) == ([], "shorter than a clip")
    assert [clip.filled for clip in clips_of(write_wav(tmp_path / "b.wav", ramp(999)))[0]] == ["pad"]
    assert [clip.filled for clip in clips_of(write_wav(tmp_path / "c.wav", ramp(1000)), short="drop")[0]] == [""]
    clips, report = clips_of(path, min_seconds=0.05)
    assert (clips, report.dropped) == ([], "shorter than 0.05 s")
    clips, report = clips_of(write_wav(tmp_path / "one.wav", ramp(1)))
    assert (clips, report.dropped) == ([], "shorter than 0.02 s")
    assert len(clips_of(tmp_path / "one.wav", min_seconds=0)[0]) == 1


def test_silence_gives_no_clip(tmp_path: Path):
    clips, report = clips_of(write_wav(tmp_path / "a.wav", np.zeros(5000)))
    assert (clips, report.dropped) == ([], "silent")
    clips, report = clips_of(tmp_path / "a.wav", level="peak")
    assert (clips, report.dropped) == ([], "silent")
    clips, report = clips_of(write_wav(tmp_path / "b.wav", np.r_[np.zeros(1000), 0.5 * np.ones(1000)]))
    assert [clip.start for clip in clips] == [1000]
    assert report.silent_clips == 1


@pytest.mark.parametrize("in_blocks", [False, True])
def test_trim_and_onset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_blocks: bool):
    if in_blocks:
        monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 0)
        monkeypatch.setattr(clip_cutting.audio_file.blocks, "__defaults__", (137,))
    hit = np.zeros(4000)
    hit[1605:2005] = 0.5
    hit[::7] += 1e-4  # noise floor, 74 dB down
    path = write_wav(tmp_path / "a.wav", hit)
    clips, _ = clips_of(path, trim_silence=40)
    assert [(clip.start, clip.samples) for clip in clips] == [(1600, 480)], "whole 10 ms frames, 80 samples each"
    (clip,), _ = clips_of(path, onset_align=True, preroll_ms=2, max_clips=1)
    assert clip.start == 1605 - 16
    assert np.argmax(clip.pcm[:, 0] > 1000) == 16
    (early,), _ = clips_of(write_wav(tmp_path / "b.wav", hit[1605:2300]), onset_align=True, preroll_ms=2)
    assert early.start == -16
    assert np.argmax(early.pcm[:, 0] > 1000) == 16, "zeros before a recording that begins at once"


def test_levels(tmp_path: Path):
    t = np.arange(2 * RATE) / RATE
    path = write_wav(tmp_path / "a.wav", 0.1 * np.sin(2 * np.pi * 440 * t))

    def samples(**changes) -> np.ndarray:
        return np.concatenate([clip.pcm for clip in clips_of(path, **changes)[0]]).astype(float) / 32768

    assert np.abs(samples()).max() == pytest.approx(0.1, abs=1e-3)
    assert np.abs(samples(level="peak")).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert np.abs(samples(level="peak", level_target=-6.0)).max() == pytest.approx(0.501, abs=1e-3)
    assert np.sqrt(np.mean(samples(level="rms") ** 2)) == pytest.approx(0.1, abs=1e-3)
    assert pyloudnorm.Meter(RATE).integrated_loudness(samples(level="lufs")) == pytest.approx(-23, abs=0.05)
    clips, report = clips_of(path, level="rms", level_target=0.0)
    assert report.limited
    assert max(np.abs(clip.pcm.astype(int)).max() for clip in clips) >= 32766
    assert not any(clip.clipped for clip in clips)


def test_too_loud_samples_are_counted(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", np.r_[0.5 * np.ones(1000), 1.5 * np.ones(1000)], subtype="FLOAT")
    assert [clip.clipped for clip in clips_of(path)[0]] == [False, True]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.9, 5.3])
def test_loudness_is_pyloudnorm_s(channels: int, seconds: float):
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((int(16000 * seconds), channels)) * np.linspace(0.3, 0.01, int(16000 * seconds))[:, None]
    ours = loudness_lufs((audio[i : i + 777].astype(np.float32) for i in range(0, len(audio), 777)), 16000)
    assert ours == pytest.approx(pyloudnorm.Meter(16000).integrated_loudness(audio), abs=0.15)


def test_loudness_of_a_hit_shorter_than_a_gating_block():
    t = np.arange(3200) / 16000
    tone = np.sin(2 * np.pi * 997 * t)[:, None].astype(np.float32)
    assert loudness_lufs([tone], 16000) == pytest.approx(-3.01, abs=0.15), "BS.1770: a full-scale 997 Hz sine is -3.01 LUFS"
    assert loudness_lufs([np.zeros((3200, 1), np.float32)], 16000) == -np.inf


@pytest.mark.parametrize("channels", [1, 2])
def test_mixed_recordings_become_one_kind(tmp_path: Path, channels: int):
    folder = tmp_path / "in"
    t44, t16 = np.arange(44100) / 44100, np.arange(16000) / 16000
    folder.mkdir()
    soundfile.write(folder / "a.flac", np.stack([0.3 * np.sin(2 * np.pi * 500 * t44)] * 2, 1), 44100, subtype="PCM_24")
    soundfile.write(folder / "b.mp3", 0.3 * np.sin(2 * np.pi * 500 * t44), 44100)
    soundfile.write(folder / "c.wav", 0.3 * np.sin(2 * np.pi * 500 * t16), 16000, subtype="PCM_U8")
    report = prepare([folder], tmp_path / "data", PrepareOptions(CutOptions(RATE, channels, 8000, max_clips=1), splits=ALL_TRAIN))
    assert report.total("clips") == 3
    for audio, _ in ShardClips(report.info, tmp_path / "data").clips("train"):
        assert audio.shape == (8000, channels)
        spectrum = np.abs(np.fft.rfft(audio[:, -1] * np.hanning(8000)))
        assert np.argmax(spectrum) == pytest.approx(500, abs=1)
        assert 0.28 < np.abs(audio[1000:7000]).max() < 0.32


# --- the data set ----------------------------------------------------------------------------------------------------


def test_splits_have_the_fractions_that_are_asked_for():
    splits, source = SplitOptions(validation=0.3, test=0.1), SourceFile(Path("a.wav"), "a.wav")
    counts = Counter(splits.split_of(source, hashlib.sha256(str(n).encode()).hexdigest()) for n in range(4000))
    assert {name: counts[name] / 4000 for name in counts} == pytest.approx({"test": 0.1, "validation": 0.3, "train": 0.6}, abs=0.03)


def test_the_folder_that_is_made(tone_folder: Path, tmp_path: Path):
    report = prepare([tone_folder], tmp_path / "data", options(shards=2))
    info = read_dataset_info(tmp_path / "data")
    assert info == report.info
    assert info.labels == ["high", "low", "noise"]
    assert (info.sample_rate, info.channels, info.clip_samples) == (8000, 1, 2048)
    assert sorted(contents(tmp_path / "data")) == [
        "d-test.tfrecord-00000-of-00001",
        "d-train.tfrecord-00000-of-00002",
        "d-train.tfrecord-00001-of-00002",
        "d-validation.tfrecord-00000-of-00001",
        "dataset_info.json",
        "features.json",
    ]
    assert shards.verify(info, tmp_path / "data") == []
    a, b = (shard["clips"] for shard in info.splits["train"].shards)
    assert abs(a - b) <= 1, "clips go to the shards in turn"
    by_source = {entry["path"]: entry for entry in info.sources}
    clips = ShardClips(info, tmp_path / "data")
    seen: dict[str, int] = {}
    for split in info.splits:
        records = list(clips.records(split))
        assert len(records) == info.splits[split].clips
        for record in records:
            seen[record.source] = seen.get(record.source, 0) + 1
            source = by_source[record.source]
            assert source["split"] == split
            assert info.labels[record.label] == record.source.split("/")[0] == source["label"]
            audio, _ = soundfile.read(tone_folder / record.source, dtype="int16")
            expected = np.zeros(2048, np.int16)
            part = audio[record.start : record.start + 2048]
            expected[: len(part)] = part
            np.testing.assert_array_equal(shards_pcm(record), expected)
    assert seen == {path: entry["clips"] for path, entry in by_source.items()}
    assert sum(split.label_counts["high"] for split in info.splits.values() if "high" in split.label_counts) == sum(
        entry["clips"] for entry in info.sources if entry["label"] == "high"
    )
    features = json.loads((tmp_path / "data" / "features.json").read_text())
    assert set(features["featuresDict"]["features"]) == set(shards.FEATURES)
    assert str(tmp_path) not in (tmp_path / "data" / "dataset_info.json").read_text(), "no paths of this machine"


def shards_pcm(record: shards.ClipRecord) -> np.ndarray:
    return np.frombuffer(record.audio, "<i2", offset=44)


def test_bytes_do_not_depend_on_jobs_units_or_spilling(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepare([tone_folder], tmp_path / "one", options(), jobs=1)
    monkeypatch.setattr(prepare_work, "_POOL_BYTES", 0)
    monkeypatch.setattr(plan_module, "_UNIT_FILES", 5)
    prepare([tone_folder], tmp_path / "two", options(), jobs=2)
    monkeypatch.setattr(prepare_work, "_SPILL_BYTES", 5000)
    prepare([tone_folder], tmp_path / "three", options(), jobs=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_a_long_recording_is_bounded_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No block, kept recording or batch of records is larger than a bound that does not know the length."""
    monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 10_000)
    monkeypatch.setattr(prepare_work, "_SPILL_BYTES", 50_000)
    write_wav(tmp_path / "in" / "long.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 400_000), 16000)
    largest = 0
    append = shards.ShardSet.append

    def watched(self, records):
        nonlocal largest
        records = list(records)
        largest = max(largest, sum(len(record) for _, record in records))
        append(self, records)

    monkeypatch.setattr(shards.ShardSet, "append", watched)
    report = prepare(
        [tmp_path / "in"], tmp_path / "data", options(cut={"level": "lufs"}, labels=LabelOptions(), splits=ALL_TRAIN, shards=3)
    )
    assert report.total("clips") == round(200_000 / 2048)
    assert largest < 60_000
    starts = [record.start for record in ShardClips(report.info, tmp_path / "data").records("train")]
    assert starts == [2048 * i for i in range(len(starts))]
    assert not list((tmp_path / "data").glob("spill*"))


def test_the_same_again_changes_nothing(tone_folder: Path, tmp_path: Path):
    data = tmp_path / "data"
    prepare([tone_folder], data, options())
    before = contents(data)
    assert prepare([tone_folder], data, options()).status == "unchanged"
    assert contents(data) == before
    with pytest.raises(DatasetError, match="clip_samples was 2048, is now 1024") as caught:
        prepare([tone_folder], data, options(cut={"clip_samples": 1024}))
    assert "--overwrite" in caught.value.hint
    write_wav(tone_folder / "low" / "new.wav", ramp(3000))
    with pytest.raises(DatasetError, match="recordings: 1 new, 0 gone"):
        prepare([tone_folder], data, options())
    assert contents(data) == before
    report = prepare([tone_folder], data, options(), overwrite=True)
    assert report.status == "written"
    assert len(report.outcomes) == 37
    assert [path.name for path in tmp_path.iterdir()].count("data") == 1
    assert not [path for path in tmp_path.iterdir() if ".old" in path.name or ".partial" in path.name]


def test_other_people_s_folders_are_left_alone(tone_folder: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(DatasetError, match="is not a data set; it is left as it is"):
            prepare([tone_folder], tmp_path / "mine", options(), overwrite=overwrite)
    prepare([tone_folder], tmp_path / "data", options())
    (tmp_path / "data" / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"files that are not the data set's: notes\.txt"):
        prepare([tone_folder], tmp_path / "data", options(), overwrite=True)


def test_damage_is_noticed(tone_folder: Path, tmp_path: Path):
    data = tmp_path / "data"
    info = prepare([tone_folder], data, options()).info
    shard = data / info.splits["train"].shards[0]["file"]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert shards.missing_or_resized(info, data) == []
    assert shards.verify(info, data) == [f"{shard.name} has other content than when it was prepared"]
    with pytest.raises(DatasetError, match=f"{shard.name} is damaged at byte"):
        list(shards.read_records(shard))
    shard.write_bytes(content[:-10])
    assert shards.verify(info, data) == [f"{shard.name} has {len(content) - 10} bytes; {len(content)} were written"]
    with pytest.raises(DatasetError, match="is damaged"):
        list(shards.read_records(shard))
    shard.unlink()
    assert shards.verify(info, data) == [f"{shard.name} is missing"]
    with pytest.raises(DatasetError, match="is missing") as caught:
        prepare([tone_folder], data, options())
    assert "--overwrite" in caught.value.hint


# --- splits ----------------------------------------------------------------------------------------------------------


def splits_of(info: DatasetInfo) -> dict[str, str]:
    return {entry["path"]: entry["split"] for entry in info.sources}


def test_splits_stay_when_recordings_are_added(tmp_path: Path):
    write_tones(tmp_path / "in", 30)
    before = splits_of(prepare([tmp_path / "in"], tmp_path / "a", options()).info)
    counts = {split: list(before.values()).count(split) for split in shards.SPLITS}
    assert all(count > 0 for count in counts.values())
    assert counts["train"] > 60
    for index in range(5):
        write_wav(tmp_path / "in" / "low" / f"0new{index}.wav", ramp(3000 + index))
    first = next(iter(before))
    (tmp_path / "in" / "high" / "copy.wav").write_bytes((tmp_path / "in" / first).read_bytes())
    report = prepare([tmp_path / "in"], tmp_path / "b", options())
    after = splits_of(report.info)
    assert {path: after[path] for path in before} == before
    assert after["high/copy.wav"] == before[first], "equal files share a split"
    assert "1 recordings are copies of others." in report.warnings


def speakers(root: Path, count: int = 12) -> Path:
    for speaker in range(count):
        for take in range(3):
            write_wav(root / f"{take}_s{speaker}_{take}.wav", ramp(2048 + 16 * speaker + take))
    return root


def test_split_by_speaker(tmp_path: Path):
    by_speaker = SplitOptions("speaker", 0.2, 0.2, ("s3", "s4"))
    report = prepare([speakers(tmp_path / "in")], tmp_path / "a", options(labels=LabelOptions(layout="fsdd"), splits=by_speaker))
    found: dict[str, set[str]] = {}
    for entry in report.info.sources:
        found.setdefault(entry["speaker"], set()).add(entry["split"])
    assert len(found) == 12
    assert all(len(splits) == 1 for splits in found.values()), "no speaker is in two splits"
    assert found["s3"] == found["s4"] == {"test"}
    assert len({next(iter(splits)) for splits in found.values()}) == 3


def test_holding_speakers_out_leaves_the_others_as_they_are(tmp_path: Path):
    speakers(tmp_path / "in")
    layout = LabelOptions(layout="fsdd")
    plain = splits_of(prepare([tmp_path / "in"], tmp_path / "a", options(labels=layout)).info)
    held = splits_of(prepare([tmp_path / "in"], tmp_path / "b", options(labels=layout, splits=SplitOptions(holdout_speakers=("s5",)))).info)
    assert {path: "test" if "_s5_" in path else split for path, split in plain.items()} == held


def test_speakers_that_are_not_known(tmp_path: Path):
    speakers(tmp_path / "in", 2)
    with pytest.raises(UsageError, match=r"names nobody, which no recording has. Speakers: s0, s1\."):
        prepare(
            [tmp_path / "in"],
            tmp_path / "a",
            options(labels=LabelOptions(layout="fsdd"), splits=SplitOptions(holdout_speakers=("nobody",))),
        )
    with pytest.raises(UsageError, match="6 recordings have no speaker, such as") as caught:
        prepare([tmp_path / "in"], tmp_path / "a", options(splits=SplitOptions("speaker")))
    assert "--labels pattern:" in caught.value.hint


def test_official_splits_are_kept(tmp_path: Path):
    root = tmp_path / "in"
    for index, word in enumerate(("one", "two", "three")):
        write_wav(root / word / "ab_nohash_0.wav", ramp(3000 + index))
    (root / "validation_list.txt").write_text("two/ab_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("three/ab_nohash_0.wav\n")
    official = splits_of(prepare([root], tmp_path / "a", options(labels=LabelOptions(layout="sc09"))).info)
    assert official == {"one/ab_nohash_0.wav": "train", "two/ab_nohash_0.wav": "validation", "three/ab_nohash_0.wav": "test"}
    by_file = options(labels=LabelOptions(layout="sc09"), splits=SplitOptions("file", 0, 0))
    assert set(splits_of(prepare([root], tmp_path / "b", by_file).info).values()) == {"train"}, "--split-by asks for another one"


# --- interruptions ---------------------------------------------------------------------------------------------------


def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_UNIT_FILES", 5)


def interrupt_after(files: int):
    def progress(done: int, total: int, name: str) -> None:
        if done >= files:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_run_goes_on(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool):
    small_units(monkeypatch)
    prepare([tone_folder], tmp_path / "whole", options(shards=2))
    with pytest.raises(KeyboardInterrupt):
        prepare([tone_folder], tmp_path / "data", options(shards=2), progress=interrupt_after(15))
    partial = tmp_path / "data.partial"
    assert not (tmp_path / "data").exists()
    if torn:  # the process died between a shard and the journal, and within a line of the journal
        with (partial / "d-train.tfrecord-00000-of-00002").open("ab") as file:
            file.write(b"half a record")
        with (partial / "journal.jsonl").open("ab") as file:
            file.write(b'{"outcomes": [{"name"')
        (partial / "spill-0123").write_bytes(b"x")
    report = prepare([tone_folder], tmp_path / "data", options(shards=2))
    assert report.resumed_files == 15
    assert len(report.outcomes) == 36
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")
    assert not partial.exists()


def test_a_journal_ahead_of_its_shards_is_not_believed(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a power cut the last writes may be lost: the run goes on from the last state that the shards still hold."""
    small_units(monkeypatch)
    prepare([tone_folder], tmp_path / "whole", options())
    with pytest.raises(KeyboardInterrupt):
        prepare([tone_folder], tmp_path / "data", options(), progress=interrupt_after(20))
    shard = tmp_path / "data.partial" / "d-train.tfrecord-00000-of-00001"
    os.truncate(shard, shard.stat().st_size - 1)
    report = prepare([tone_folder], tmp_path / "data", options())
    assert 0 < report.resumed_files < 20
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("how, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_killed_process_goes_on(tmp_path: Path, how: signal.Signals, code: int):
    """With real worker processes: stopped after some units, continued, and the bytes are those of an undisturbed run."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 80000)
    for index in range(400):
        write_wav(tmp_path / "in" / f"{index}.wav", noise[index:], 11025)

    def command(output: str, jobs: int) -> list[str]:
        cut_options = ["--sample-rate", "16000", "--level", "lufs", "--detail", "name=d", "--jobs", str(jobs)]
        return [sys.executable, "-m", "gansynth_cli", "prepare", str(tmp_path / "in"), "-o", str(tmp_path / output), *cut_options]

    journal = tmp_path / "data.partial" / "journal.jsonl"
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and programs inherit that.
    heed = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command("data", 2), stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.005)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert ("run the same command again" in err) == (how == signal.SIGINT)
    assert not (tmp_path / "data").exists()
    again = subprocess.run([*command("data", 2), "--json"], capture_output=True, text=True, check=True)
    assert 0 < json.loads(again.stdout)["resumed_files"] < 400
    subprocess.run(command("whole", 1), capture_output=True, check=True)
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_an_unfinished_data_set_of_other_options(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_units(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare([tone_folder], tmp_path / "data", options(), progress=interrupt_after(5))
    other = options(cut={"clip_samples": 1024})
    with pytest.raises(DatasetError, match="begun otherwise: clip_samples was 2048, is now 1024"):
        prepare([tone_folder], tmp_path / "data", other)
    report = prepare([tone_folder], tmp_path / "data", other, overwrite=True)
    assert (report.resumed_files, report.info.clip_samples) == (0, 1024)


def test_a_full_disk(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_units(monkeypatch)
    prepare([tone_folder], tmp_path / "whole", options())
    append, calls = shards.ShardSet.append, []

    def full(self, records):
        calls.append(0)
        if len(calls) == 15:
            next(iter(self._files.values())).write(b"what still fitted")
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, records)

    monkeypatch.setattr(shards.ShardSet, "append", full)
    with pytest.raises(DatasetError, match=r"no space left on the disk while writing .*data") as caught:
        prepare([tone_folder], tmp_path / "data", options())
    assert "goes on where it was" in caught.value.hint
    assert not (tmp_path / "data").exists(), "nothing half written has the final name"
    assert prepare([tone_folder], tmp_path / "data", options()).resumed_files == 10
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_a_second_process_is_refused(tone_folder: Path, tmp_path: Path):
    fcntl = pytest.importorskip("fcntl")
    partial = tmp_path / "data.partial"
    partial.mkdir()
    with (partial / ".lock").open("w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match=r"another process \(pid 4711\)"):
            prepare([tone_folder], tmp_path / "data", options())


def test_a_dry_run_writes_nothing(tone_folder: Path, tmp_path: Path):
    dry = prepare([tone_folder], tmp_path / "data", options(), dry_run=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tones"]
    real = prepare([tone_folder], tmp_path / "data", options())
    assert dry.status == "dry run"
    assert [vars(outcome) for outcome in dry.outcomes] == [vars(outcome) for outcome in real.outcomes]
    assert {name: s.clips for name, s in dry.info.splits.items()} == {name: s.clips for name, s in real.info.splits.items()}


# --- bad input through the command line --------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    return helpers.run(capsys, "prepare", *arguments)


def test_one_bad_file_does_not_stop_the_rest(tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tone_folder / "low" / "a text.wav").write_text("hello " * 100)
    (tone_folder / "low" / "empty.wav").write_bytes(b"")
    write_wav(tone_folder / "low" / "nan.wav", np.array([np.nan] * 4000), subtype="FLOAT")
    write_wav(tone_folder / "low" / "ünï sîlent.wav", np.zeros(4000))
    write_wav(tone_folder / "low" / "one sample.wav", np.array([0.5]))
    cut_off = write_wav(tone_folder / "low" / "cut.wav", ramp(20000))
    cut_off.write_bytes(cut_off.read_bytes()[:20000])
    soundfile.write(tone_folder / "low" / "mp3.wav", 0.1 * ramp(9000), 16000, format="MP3")
    common = ("-o", tmp_path / "data", "--sample-rate", 8000, "--clip-samples", 2048, "--labels", "folder")
    code, out, err = run(capsys, tone_folder, *common, "--json")
    assert code == 1
    outcome = json.loads(out)
    assert outcome["kept"] == 37
    assert {entry["path"]: entry["reason"].split(":")[0] for entry in outcome["failed"]} == {
        "low/a text.wav": "not audio that libsndfile can read",
        "low/empty.wav": "empty file (0 bytes)",
        "low/nan.wav": "NaN or infinite samples",
        "low/cut.wav": "truncated",
    }
    assert {entry["path"]: entry["reason"] for entry in outcome["dropped"]} == {
        "low/ünï sîlent.wav": "silent",
        "low/one sample.wav": "shorter than 0.02 s",
    }
    assert "low/a text.wav" in err
    info = read_dataset_info(tmp_path / "data")
    assert {entry["path"] for entry in info.skipped if entry["failed"]} == {entry["path"] for entry in outcome["failed"]}
    assert not any("cut.wav" in entry["path"] for entry in info.sources), "no clip of a file whose end is missing"
    code, out, err = run(capsys, tone_folder, *common, "--json")
    assert code == 0
    assert "finished already" in err
    again = json.loads(out)
    assert again["status"] == "unchanged"
    assert {key: again[key] for key in ("kept", "files", "clips", "failed", "dropped", "splits")} == {
        key: sorted(value, key=lambda entry: entry["path"]) if key in ("failed", "dropped") else value
        for key, value in outcome.items()
        if key in ("kept", "files", "clips", "failed", "dropped", "splits")
    }


def test_files_without_permission_are_reported(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    original = Path.open

    def guarded(self, *args, **kwargs):
        if self.name == "high_03.wav":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    code, out, _ = run(capsys, tone_folder, "-o", tmp_path / "data", "--labels", "folder", "--json")
    assert code == 1
    assert json.loads(out)["failed"] == [{"path": "high/high_03.wav", "reason": "cannot be opened: permission denied"}]


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["{empty}"], 1, "holds no recording: it is empty"),
        (["{texts}"], 1, "suffixes .txt"),
        (["{missing}"], 2, "does not exist"),
        (["{silent}"], 1, "None of the 2 recordings gave a clip: silent (2)"),
        (["{tones}", "--clip-samples", "long"], 2, "expected samples, as 16384, or seconds, as 1.5s"),
        (["{tones}", "--detail", "short=stretch"], 2, "expected one of pad, loop, drop"),
        (["{tones}", "--detail", "max-clips=many"], 2, "--detail max-clips is 'many'; expected a whole number"),
        (["{tones}", "--detail", "colour=red"], 2, "expected KEY=VALUE with one of hop-samples, short"),
        (["{tones}", "--corpus", "pitch-from"], 2, "expected KEY=VALUE with one of domain, label"),
        (["{tones}", "--corpus", "label=pitch", "--layout", "notes"], 2, "--corpus label is for --layout nsynth; the layout is notes"),
        (["{tones}", "--labels", "folder:x"], 2, "expected none, folder, layout, csv:FILE or pattern:REGEX"),
        (["{tones}", "--level", "loud"], 2, "expected one of none, peak, rms, lufs"),
        (["{tones}", "--level", "rms:3"], 2, "expected 0 or less"),
        (["{tones}", "--level", "rms:x"], 2, "as rms:-26"),
        (["{tones}", "--sample-rate", "-1"], 2, "--sample-rate is -1"),
        (["{tones}", "--validation", "0.6", "--test", "0.5"], 2, "leave nothing for training"),
        (["{tones}", "--test", "1.5"], 2, "expected a fraction"),
        (["{tones}", "--split-by", "moon"], 2, "expected file or speaker"),
        (["{tones}", "--layout", "sc10"], 2, "expected one of folder, csv, fsdd"),
        (["{tones}", "--recipe", "nonsense/x"], 2, "no recipe named"),
        (["{tones}", "--set", "data.channels=2"], 2, "no --recipe"),
        (["{tones}", "--jobs", "-2"], 2, "--jobs is -2"),
        (["{tones}", "--labels", "csv:{texts}/a.txt"], 1, "expected path,label"),
        (["{tones}", "--detail", "name=a/b"], 2, "--detail name is 'a/b'"),
    ],
)
def test_bad_calls(tone_folder: Path, tmp_path: Path, capsys, arguments: list[str], code: int, message: str):
    for name in ("empty", "texts"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello\n")
    for name in "ab":
        write_wav(tmp_path / "silent" / f"{name}.wav", np.zeros(4000))
    places = {name: str(tmp_path / name) for name in ("empty", "texts", "missing", "silent", "tones")}
    got, out, err = run(capsys, *[argument.format(**places) for argument in arguments], "-o", tmp_path / "data")
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "data").exists()
    assert not any(tmp_path.glob("data.partial/*tfrecord*"))


def test_all_recordings_in_one_held_out_split(tmp_path: Path, capsys):
    write_wav(tmp_path / "in" / "a.wav", ramp(9000))
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "data", "--validation", "0.9999", "--test", 0)
    assert code == 1
    assert "--validation 0 --test 0" in err


def test_interrupt_exits_130(tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    small_units(monkeypatch)
    process = prepare_work.process_unit
    calls = []

    def interrupted(sources, work):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return process(sources, work)

    monkeypatch.setattr(prepare_work, "process_unit", interrupted)
    arguments = (tone_folder, "-o", tmp_path / "data", "--labels", "folder")
    code, _, err = run(capsys, *arguments)
    assert code == 130
    assert "run the same command again" in err
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(out)["resumed_files"] == 10


def test_the_recipe_says_rate_channels_length_and_statistics(tmp_path: Path, capsys):
    write_wav(tmp_path / "in" / "a.wav", 0.5 * np.random.default_rng(0).uniform(-1, 1, 40000), 16000)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'family = "specgan"\n[data]\nsample_rate = 4000\nchannels = 2\nclip_samples = 1024\n[model]\nfft = 64\nhop = 32\nframes = 32\n'
    )
    common = (tmp_path / "in", "-o", tmp_path / "data", "--recipe", recipe, "--validation", 0, "--test", 0)
    assert run(capsys, *common)[0] == 0
    info = read_dataset_info(tmp_path / "data")
    assert (info.sample_rate, info.channels, info.clip_samples) == (4000, 2, 1024)
    (key,) = info.statistics
    assert len(info.statistics[key]["mean"]) == len(info.statistics[key]["deviation"]) == 33
    code, _, err = run(capsys, *common, "--set", "model.fft=128")
    assert code == 0
    assert "statistics were added" in err
    assert len(read_dataset_info(tmp_path / "data").statistics) == 2
    assert run(capsys, *common, "--set", "data.peak_normalize=true")[0] == 0
    names = set(read_dataset_info(tmp_path / "data").statistics)
    assert f"{key}/peak_normalized" in names
    code, _, err = run(capsys, *common, "--clip-samples", 512)
    assert code == 1, "an explicit option wins over the recipe, and is another data set"
    assert "clip_samples was 1024, is now 512" in err


def test_a_conditional_recipe_takes_folders_as_labels(tone_folder: Path, tmp_path: Path, capsys):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('family = "wavegan"\n[data]\nsample_rate = 8000\n[model]\nconditioning = "projection"\n')
    assert run(capsys, tone_folder, "-o", tmp_path / "data", "--recipe", recipe)[0] == 0
    assert read_dataset_info(tmp_path / "data").labels == ["high", "low", "noise"]


def test_labels_without_clips_are_named(tone_folder: Path, tmp_path: Path, capsys):
    write_wav(tone_folder / "quiet" / "a.wav", np.zeros(4000))
    code, _, err = run(capsys, tone_folder, "-o", tmp_path / "data", "--labels", "folder", "--quiet")
    assert code == 0
    assert "warning: the label 'quiet' got no clip." in err


def test_a_damaged_file_is_no_half_clip_source(tmp_path: Path):
    """Clips before the damage are not kept, also where only the first one is wanted."""
    path = tmp_path / "a.flac"
    soundfile.write(path, ramp(60000), RATE)
    path.write_bytes(path.read_bytes()[:-2000])
    for changes in ({}, {"max_clips": 1}, {"level": "peak", "max_clips": 1}):
        with pytest.raises(AudioFileError):
            clips_of(path, **changes)


@pytest.mark.parametrize("spill_bytes", [1000, 1 << 20])
def test_a_recording_that_fails_at_its_end_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spill_bytes: int):
    monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 0)
    monkeypatch.setattr(clip_cutting.audio_file.blocks, "__defaults__", (5000,))
    monkeypatch.setattr(prepare_work, "_SPILL_BYTES", spill_bytes)
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60000)
    soundfile.write(tmp_path / "in" / "bad.flac", noise, RATE)
    soundfile.write(tmp_path / "in" / "good.flac", noise[:9000], RATE)
    (tmp_path / "in" / "bad.flac").write_bytes((tmp_path / "in" / "bad.flac").read_bytes()[:-2000])
    report = prepare([tmp_path / "in"], tmp_path / "data", options(labels=LabelOptions(), splits=ALL_TRAIN))
    assert [outcome.name for outcome in report.failed] == ["bad.flac"]
    assert {record.source for record in ShardClips(report.info, tmp_path / "data").records("train")} == {"good.flac"}
    assert not list((tmp_path / "data").glob("spill*"))


@pytest.mark.parametrize(
    "old, new",
    [
        (["--min-clean-db", "40"], "--detail min-clean-db=40"),
        (["--hop-samples=100"], "--detail hop-samples=100"),
        (["--pitches", "36-84"], "--corpus pitches=36-84"),
        (["--label-field", "instrument_str"], "--corpus label=instrument_str"),
        (["--label-pattern", "(?P<label>x)"], "--labels 'pattern:(?P<label>x)'"),
        (["--label-csv", "a.csv"], "--labels csv:a.csv"),
        (["--clip-seconds", "3"], "--clip-samples 3s"),
    ],
)
def test_options_of_earlier_versions_are_answered_with_their_present_form(tone_folder: Path, tmp_path: Path, capsys, old, new):
    code, _, said = run(capsys, tone_folder, "-o", tmp_path / "data", *old)
    assert code == 2
    assert f"prepare has no option {old[0].partition('=')[0]} any more" in said
    assert f"hint: {new}" in said


def test_details_and_lengths_in_seconds(tone_folder: Path, tmp_path: Path, capsys):
    """Each key of --detail sets its field, with its type."""
    details = {"hop-samples": 500, "min-seconds": 0.1, "max-clips": 2, "preroll-ms": 1.5, "min-clean-db": 1.0, "shards": 2, "name": "n"}
    given = [word for key, value in details.items() for word in ("--detail", f"{key}={value}")]
    common = ["-o", tmp_path / "data", "--sample-rate", 8000, "--clip-samples", "0.125s", "--level", "rms:-26", "--json"]
    code, out, _ = run(capsys, tone_folder, *common, *given, "--labels", "pattern:(?P<label>high|low|noise)")
    assert code == 0
    assert json.loads(out)["clip_samples"] == 1000
    assert json.loads(out)["labels"] == ["high", "low", "noise"]
    made = read_dataset_info(tmp_path / "data").prepared_with
    assert {key: made[key.replace("-", "_")] for key in details} == details
    assert (made["level"], made["level_target"]) == ("rms", -26.0)
    fields = {"cut": CutOptions, "": PrepareOptions, "splits": SplitOptions}
    assert all(field in {f.name for f in dataclasses.fields(fields[table])} for table, field, _ in DETAILS.values())


@pytest.mark.realdata
def test_real_digits(data_folder: Path, tmp_path: Path, capsys):
    code, out, _ = run(
        capsys, data_folder / "digits", "-o", tmp_path / "data", "--layout", "fsdd", "--sample-rate", 8000, "--clip-samples", 8192,
        "--detail", "holdout-speakers=george,lucas", "--test", 0, "--json",
    )  # fmt: skip
    outcome = json.loads(out)
    assert code == 0
    assert outcome["kept"] == 3000
    assert outcome["splits"]["test"]["clips"] == 1000
    assert outcome["labels"] == [str(digit) for digit in range(10)]
