"""`prepare` for enhancement: the role of noise, the filter for clean recordings, pairs of clean and noisy ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio.wav_clip import pcm_of_wav_bytes
from gansynth_cli.data.clip_reader import ShardClips
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.data.prepare import clip_cutting
from gansynth_cli.data.prepare import plan as plan_module
from gansynth_cli.data.prepare import work as prepare_work
from gansynth_cli.data.prepare.clip_cutting import CutOptions, CutReport, cut
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.errors import DatasetError, UsageError

from .conftest import write_wav
from .test_prepare import contents, interrupt_after

RATE, CLIP = 8000, 2000


def tone(take: int, samples: int = 3000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * (200 + 10 * take) * np.arange(samples) / RATE)


def hiss(take: int, samples: int = 3000) -> np.ndarray:
    return np.random.default_rng(take).uniform(-0.2, 0.2, samples)


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    for take in range(12):
        write_wav(tmp_path / "speech" / "ab"[take % 2] / f"{take}.wav", tone(take))
        write_wav(tmp_path / "noise" / f"{take}.wav", hiss(1 + take, 700 + 600 * take))  # each split gets some
    return tmp_path


def options(**changes) -> PrepareOptions:
    return PrepareOptions(**{"cut": CutOptions(RATE, 1, CLIP), "splits": SplitOptions("auto", 0.25, 0.25), "name": "d"} | changes)


# --- noise -----------------------------------------------------------------------------------------------------------


def test_noise_makes_its_own_splits(roles: Path):
    report = prepare([roles / "speech"], roles / "data", options(labels=LabelOptions("folder")), noise=[roles / "noise"])
    info = read_dataset_info(roles / "data")
    assert set(info.splits) == {role + split for role in ("", "noise-") for split in ("train", "validation", "test")}
    assert info.labels == ["a", "b"], "noise has no label"
    assert not any(split.label_counts for name, split in info.splits.items() if name.startswith("noise"))
    where: dict[str, set[str]] = {}
    for name in info.splits:
        for record in ShardClips(info, roles / "data").records(name):
            where.setdefault(record.source, set()).add(name)
            assert record.source.split("/")[0] == ("noise" if name.startswith("noise-") else "speech")
            assert record.label == (-1 if name.startswith("noise-") else "ab".index(record.source.split("/")[1]))
    assert len(where) == 24
    assert all(len(splits) == 1 for splits in where.values()), "no recording is in two splits"
    assert where == {entry["path"]: {entry["split"]} for entry in info.sources}
    assert sum(split.clips for split in info.splits.values()) == report.to_json()["clips"]
    assert (roles / "data" / "d-noise-train.tfrecord-00000-of-00001").is_file()
    alone = prepare([roles / "speech"], roles / "alone", options()).info
    assert {e["path"]: e["split"] for e in alone.sources} == {
        e["path"].removeprefix("speech/"): e["split"] for e in info.sources if e["path"].startswith("speech/")
    }, "noise moves no recording of speech"


def test_noise_is_cut_by_its_own_rules(roles: Path):
    for short, expected in (("pad", [1000, 0]), ("loop", [1000, 1000]), ("drop", [])):
        for path in (roles / "noise").iterdir():
            path.unlink()
        write_wav(roles / "noise" / "short.wav", hiss(0, 1000))
        write_wav(roles / "noise" / "long.wav", hiss(1, 9000))
        changed = options(noise_short=short, noise_hop_samples=1000, noise_max_clips=3, splits=SplitOptions("auto", 0, 0))
        info = prepare([roles / "speech"], roles / short, changed, noise=[roles / "noise"]).info
        clips = [
            (record.source, record.start, pcm_of_wav_bytes(record.audio))
            for record in ShardClips(info, roles / short).records("noise-train")
        ]
        assert sorted(start for source, start, _ in clips if "long" in source) == [0, 1000, 2000]
        assert [
            [int((pcm[:1000] != 0).sum()) // 900 * 1000, int((pcm[1000:] != 0).sum()) // 900 * 1000]
            for source, _, pcm in clips
            if "short" in source
        ] == ([expected] if expected else [])
        assert {record.start for record in ShardClips(info, roles / short).records("train")} == {0, 2000}, "speech as ever"


def test_what_is_in_both_is_noise(roles: Path):
    info = prepare([roles], roles.parent / f"{roles.name}-data", options(), noise=[roles / "noise"]).info
    assert {entry["split"].startswith("noise-") for entry in info.sources if entry["path"].startswith("noise/")} == {True}
    assert len(info.sources) == 24
    with pytest.raises(DatasetError, match="nothing to mix them with"):
        prepare([roles / "noise"], roles / "x", options(), noise=[roles / "noise"])


def test_exclude_chooses_among_both(roles: Path, capsys):
    arguments = ["prepare", str(roles / "speech"), "--noise", str(roles / "noise"), "-o", str(roles / "data"), "--clip-samples", "2000"]
    assert main([*arguments, "--sample-rate", "8000", "--exclude", r"/1\d?\.wav$", "--dry-run", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert sorted(entry["path"] for entry in out["left_out"]) == sorted(
        [f"noise/{take}.wav" for take in (1, 10, 11)] + [f"speech/{'ab'[take % 2]}/{take}.wav" for take in (1, 10, 11)]
    )
    assert {entry["reason"] for entry in out["left_out"]} == {"excluded"}
    assert main([*arguments, "--exclude", "noise/"]) == 1
    assert "None of the 12 recordings of --noise is left" in capsys.readouterr().err


def test_dry_run_and_table(roles: Path, capsys):
    arguments = ["prepare", str(roles / "speech"), "--noise", str(roles / "noise"), "-o", str(roles / "data"), "--sample-rate", "8000"]
    assert main([*arguments, "--clip-samples", "2000", "--dry-run", "--json"]) == 0
    captured = capsys.readouterr()
    planned = json.loads(captured.out)["splits"]
    assert "Noise to mix in" in captured.err
    assert not (roles / "data").exists()
    assert main([*arguments, "--clip-samples", "2000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"] == planned
    assert set(planned) >= {"train", "noise-train"}


def test_an_interrupted_run_goes_on_and_jobs_do_not_matter(roles: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan_module, "_UNIT_FILES", 5)
    arguments = {"noise": [roles / "noise"]}
    prepare([roles / "speech"], roles / "whole", options(shards=2), **arguments)
    with pytest.raises(KeyboardInterrupt):
        prepare([roles / "speech"], roles / "data", options(shards=2), progress=interrupt_after(10), **arguments)
    report = prepare([roles / "speech"], roles / "data", options(shards=2), **arguments)
    assert report.resumed_files == 10
    assert contents(roles / "data") == contents(roles / "whole")
    monkeypatch.setattr(prepare_work, "_SPILL_BYTES", 3000)
    prepare([roles / "speech"], roles / "spilled", options(shards=2), **arguments)
    assert contents(roles / "spilled") == contents(roles / "whole")
    assert prepare([roles / "speech"], roles / "data", options(shards=2), **arguments).status == "unchanged"
    with pytest.raises(DatasetError, match="prepared otherwise: noise_short was pad, is now loop"):
        prepare([roles / "speech"], roles / "data", options(shards=2, noise_short="loop"), **arguments)
    with pytest.raises(DatasetError, match=r"prepared otherwise: .*noise_short was pad, is now none.*12 new, 24 gone"):
        prepare([roles / "speech"], roles / "data", options(shards=2))


def test_data_sets_of_earlier_versions_are_still_the_same(roles: Path):
    """No option of this file is in the facts of a data set that does not use it."""
    info = prepare([roles / "speech"], roles / "data", options()).info
    assert not {"min_clean_db", "noise_short", "noise_hop_samples", "noise_max_clips"} & set(info.prepared_with)


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--noise", "nowhere"], 2, "The input nowhere does not exist"),
        (["--detail", "noise-short=stretch"], 2, "--detail noise-short is 'stretch'; expected one of pad, loop, drop"),
        (["--detail", "noise-hop-samples=-1"], 2, "--detail noise-hop-samples is -1"),
        (["--detail", "min-clean-db=-3"], 2, "--detail min-clean-db is -3.0"),
        (["--detail", "min-clean-db=90"], 1, "too short to tell whether it is clean (below 0.5 s) (12)"),
    ],
)
def test_bad_calls(roles: Path, capsys, arguments: list[str], code: int, message: str):
    command = ["prepare", str(roles / "speech"), "-o", str(roles / "data"), "--sample-rate", "8000", "--level", "peak", *arguments]
    assert main(command) == code
    assert message in " ".join(capsys.readouterr().err.split())


# --- clean recordings -------------------------------------------------------------------------------------------------


def spoken(floor_db: float, seconds: float = 2.0, pauses: bool = True) -> np.ndarray:
    """Bursts of a tone over white noise that many dB below them."""
    t = np.arange(round(seconds * RATE)) / RATE
    on = (t % 0.5 < 0.3) if pauses else np.ones(len(t), bool)
    floor = np.random.default_rng(0).standard_normal(len(t)) * 0.3 / np.sqrt(2) * 10 ** (floor_db / 20)
    return 0.3 * np.sin(2 * np.pi * 440 * t) * on + floor


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize(
    "audio, reason",
    [
        (spoken(-50), ""),
        (spoken(-30), "not clean"),
        (spoken(-np.inf), ""),  # digital silence in the pauses
        (spoken(-50, 0.45), ""),  # short, with a pause in it
        (spoken(-50, 0.2, pauses=False), "too short to tell"),
        (spoken(-50, 2.0, pauses=False), "not clean"),  # nothing in it proves that it is
    ],
)
def test_min_clean_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_blocks: bool, audio: np.ndarray, reason: str):
    if in_blocks:
        monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 0)
        monkeypatch.setattr(clip_cutting.audio_file.blocks, "__defaults__", (137,))
    path = write_wav(tmp_path / "a.wav", audio)
    for least in (40.0, 0.0):
        report = CutReport()
        clips = list(cut(path, CutOptions(RATE, 1, CLIP, min_clean_db=least), report))
        assert report.dropped.startswith(reason if least else "")
        assert bool(clips) == (not report.dropped)


def test_noise_need_not_be_clean(roles: Path, capsys):
    for path in (roles / "speech").rglob("*.wav"):
        write_wav(path, spoken(-60 if path.stem > "5" else -20))
    arguments = ["prepare", str(roles / "speech"), "--noise", str(roles / "noise"), "-o", str(roles / "data"), "--sample-rate", "8000"]
    assert main([*arguments, "--detail", "min-clean-db=40", "--validation", "0", "--test", "0", "--json"]) == 0
    captured = capsys.readouterr()
    out = json.loads(captured.out)
    assert len(out["dropped"]) == 8
    assert all("not clean" in entry["reason"] and entry["path"].startswith("speech/") for entry in out["dropped"])
    assert out["splits"]["noise-train"]["clips"] >= 11
    assert "pauses are less than 40 dB" in " ".join(captured.err.replace("│", "").split())


# --- pairs ------------------------------------------------------------------------------------------------------------


def write_pair(root: Path, folder: str, name: str, take: int, samples: int = 3000) -> None:
    """Clean take n is the constant n / 1024, its noisy partner -n / 1024."""
    write_wav(root / folder.format("clean") / f"{name}.wav", np.full(samples, take / 1024))
    write_wav(root / folder.format("noisy") / f"{name}.wav", np.full(samples, -take / 1024))


@pytest.fixture
def voicebank(tmp_path: Path) -> Path:
    root = tmp_path / "DS_10283_2791"
    for take in range(1, 21):
        write_pair(root, "{}_trainset_28spk_wav", f"p{226 + take % 4}_{take:03d}", take)
    for take in range(21, 26):
        write_pair(root, "{}_testset_wav", f"p232_{take:03d}", take)
    return root


def test_voicebank_folders(voicebank: Path, tmp_path: Path):
    report = prepare([voicebank], tmp_path / "data", options(labels=LabelOptions(layout="pairs"), splits=SplitOptions("auto", 0.2, 0.2)))
    info = report.info
    assert info.pairs
    assert read_dataset_info(tmp_path / "data").pairs
    assert info.channels == 1
    assert report.warnings == []
    splits = {entry["path"]: entry["split"] for entry in info.sources}
    assert len(splits) == 25
    assert {path for path, split in splits.items() if split == "test"} == {path for path in splits if "testset" in path}
    assert set(splits.values()) == {"train", "validation", "test"}
    assert {entry["speaker"] for entry in info.sources} == {"p226", "p227", "p228", "p229", "p232"}
    for name in info.splits:
        for record in ShardClips(info, tmp_path / "data").records(name):
            pcm = pcm_of_wav_bytes(record.audio).astype(int)
            take = int(record.source[-7:-4])
            assert pcm.shape == (CLIP, 2)
            length = min(CLIP, 3000 - record.start)
            np.testing.assert_array_equal(pcm[:length, 0], round(take / 1024 * 32768), record.source)
            np.testing.assert_array_equal(pcm[:length, 1], -pcm[:length, 0])
    for audio, _ in ShardClips(info, tmp_path / "data", CLIP).clips("train"):
        assert audio.shape == (CLIP, 1)
        assert audio[0] > 0, "metrics see the clean recording"
    features = json.loads((tmp_path / "data" / "features.json").read_text())
    assert features["featuresDict"]["features"]["audio"]["audio"]["shape"]["dimensions"] == [str(CLIP), "2"]
    by_speaker = options(labels=LabelOptions(layout="pairs"), splits=SplitOptions("speaker", 0.5, 0.3))
    info = prepare([voicebank], tmp_path / "speakers", by_speaker).info
    place = {}
    for entry in info.sources:
        place.setdefault(entry["speaker"], set()).add(entry["split"])
    assert place["p232"] == {"test"}
    assert all(len(splits) == 1 and splits <= {"train", "validation"} for speaker, splits in place.items() if speaker != "p232")


def test_plain_folders_and_both_given(tmp_path: Path):
    for take in range(1, 7):
        write_pair(tmp_path / "in", "{}", f"x/{take}", take)
    pairs = options(labels=LabelOptions(layout="pairs"), splits=SplitOptions("auto", 0, 0))
    whole = prepare([tmp_path / "in"], tmp_path / "a", pairs).info
    assert whole.splits["train"].clips == 12
    both = prepare([tmp_path / "in" / "clean", tmp_path / "in" / "noisy"], tmp_path / "b", pairs).info
    assert [e["sha256"] for e in both.sources] == [e["sha256"] for e in whole.sources]
    assert sum(entry["reason"].startswith("no ") for entry in both.skipped) == 0


def test_pairs_that_do_not_fit(voicebank: Path, tmp_path: Path, capsys):
    train = "{}_trainset_28spk_wav"
    (voicebank / train.format("noisy") / "p226_004.wav").unlink()
    (voicebank / train.format("clean") / "p227_005.wav").unlink()
    write_wav(voicebank / train.format("noisy") / "p228_006.wav", np.full(2999, 0.1))
    write_wav(voicebank / train.format("noisy") / "p229_007.wav", np.full(3000, 0.1), rate=16000)
    write_wav(voicebank / "elsewhere" / "p229_007.wav", np.full(3000, 0.1))
    command = ["prepare", str(voicebank), "-o", str(tmp_path / "data"), "--layout", "pairs", "--sample-rate", "8000", "--json"]
    assert main([*command, "--clip-samples", "2000"]) == 1
    captured = capsys.readouterr()
    out = json.loads(captured.out)
    assert out["pairs"] is True
    assert {entry["path"].split("/")[-1]: entry["reason"] for entry in out["failed"]} == {
        "p228_006.wav": "not a pair: 3000 samples, its noisy partner 2999",
        "p229_007.wav": "not a pair: 8000 Hz, its noisy partner 16000",
    }
    assert sorted((entry["path"], entry["reason"]) for entry in out["left_out"]) == [
        ("clean_trainset_28spk_wav/p226_004.wav", "no noisy recording of this name"),
        ("elsewhere/p229_007.wav", "neither below a folder clean... nor below one noisy..."),
        ("noisy_trainset_28spk_wav/p227_005.wav", "no clean recording of this name"),
    ]
    assert any(
        "1 recordings have no noisy partner and are left out: clean_trainset_28spk_wav/p226_004.wav" in text for text in out["warnings"]
    )
    assert out["kept"] == 21
    assert main([*command, "--noise", str(voicebank / "elsewhere"), "--overwrite"]) == 2
    assert "--noise is for clean ones" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", [(3000, 3000), (3000, 2900)])
def test_long_pairs_are_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lengths: tuple[int, int]):
    """Blocks of different sizes: a header that does not say its length is counted to the end."""
    for name, samples, sign in (("clean", lengths[0], 1), ("noisy", lengths[1], -1)):
        write_wav(tmp_path / name / "a.wav", sign * (1 + np.arange(samples)) / 32768)
    clean, noisy = (clip_cutting.audio_file.read(tmp_path / name / "a.wav")[0] for name in ("clean", "noisy"))
    pieces = clip_cutting._side_by_side(tmp_path, iter(np.split(clean, [137, 1000])), iter(np.split(noisy, [500, 501, 2000])))
    if lengths[0] != lengths[1]:
        with pytest.raises(clip_cutting.AudioFileError, match="its noisy partner has another length"):
            list(pieces)
        return
    np.testing.assert_array_equal(np.concatenate(list(pieces)), np.concatenate([clean, noisy], axis=1))
    monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 0)
    monkeypatch.setattr(clip_cutting.audio_file.blocks, "__defaults__", (137,))
    clips = list(cut(tmp_path / "clean" / "a.wav", CutOptions(RATE, 1, CLIP), CutReport(), tmp_path / "noisy" / "a.wav"))
    assert [clip.start for clip in clips] == [0, 2000]
    np.testing.assert_array_equal(clips[0].pcm[:, 0], 1 + np.arange(CLIP))
    np.testing.assert_array_equal(clips[0].pcm[:, 1], -1 - np.arange(CLIP))


def test_what_is_measured_is_the_clean_recording(tmp_path: Path):
    audio = spoken(-60)
    write_wav(tmp_path / "clean" / "a.wav", audio)
    write_wav(tmp_path / "noisy" / "a.wav", audio + hiss(0, len(audio)))
    report = CutReport()
    settings = CutOptions(RATE, 1, CLIP, min_clean_db=40, level="rms")
    clips = list(cut(tmp_path / "clean" / "a.wav", settings, report, tmp_path / "noisy" / "a.wav"))
    assert report.dropped == ""
    whole = np.concatenate([clip.pcm for clip in clips]) / 32768
    assert 20 * np.log10(whole[:, 0].std()) == pytest.approx(-20, abs=0.2)
    np.testing.assert_allclose(whole[:, 1] - whole[:, 0], hiss(0, len(audio)) * whole[:, 0].std() / audio.std(), atol=2e-3)


def test_batches_of_pairs(voicebank: Path, tmp_path: Path):
    from gansynth_cli.data.pipeline import open_source
    from gansynth_cli.feature_specs import BatchFeatures
    from gansynth_cli.recipe import recipe_from_tree

    prepare([voicebank], tmp_path / "data", options(labels=LabelOptions(layout="pairs")))
    data = {"sample_rate": RATE, "clip_samples": 1500, "batch_size": 4, "augment": {"gain_db": 6.0}, "mixing": {"enabled": True}}
    own = recipe_from_tree({"family": "wavegan", "data": data})
    source = open_source(tmp_path / "data", own)
    source.check(BatchFeatures(RATE, 1, 1500, pairs=True))
    for batch in source.batches(own, seed=0).take(5):
        assert set(batch) == {"audio", "clean", "noisy"}
        assert batch["noisy"].shape == (4, 1500, 1)
        np.testing.assert_array_equal(batch["audio"], batch["clean"])
        np.testing.assert_allclose(batch["noisy"], -batch["clean"], atol=1e-7)
        assert (batch["clean"].numpy()[:, 0] > 0).all()
    assert len({float(clip[0, 0]) for batch in source.batches(own, seed=0).take(5) for clip in batch["clean"]}) > 15, "gain is drawn"
    assert next(source.clips("train"))[0].shape == (1500, 1)


def test_no_folders_of_pairs(roles: Path):
    with pytest.raises(DatasetError, match=r"neither below a folder clean\.\.\. nor below one noisy\.\.\. \(12 files\)"):
        prepare([roles / "speech"], roles / "data", options(labels=LabelOptions(layout="pairs")))
    with pytest.raises(UsageError, match="expected one of folder, csv, fsdd, sc09, nsynth, notes, pairs, speakers"):
        prepare([roles / "speech"], roles / "data", options(labels=LabelOptions(layout="pair")))
