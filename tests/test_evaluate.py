"""`gan-audio evaluate clips` end to end, its counting, and its answers to bad input."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from gansynth_cli.metrics.clips import clip_set, figures

from .conftest import tone, write_tones, write_wav

KINDS = ("high", "low", "noise")


def generated(folder: Path, takes: range = range(100, 120), kinds: tuple[str, ...] = KINDS, rate: int = 8000) -> Path:
    """A folder as `generate` leaves it: clips of 2048 samples at 8 kHz and a manifest."""
    rows = []
    for kind in kinds:
        for take in takes:
            audio = tone(kind, take, rate)
            length = 2048 * rate // 8000
            write_wav(folder / f"{kind}_{take}.wav", np.pad(audio, (0, length))[:length], rate)
            rows.append((f"{kind}_{take}.wav", kind))
    write_manifest(folder, rows)
    return folder


def write_manifest(folder: Path, rows: list, columns: tuple[str, ...] = ("file", "label")) -> None:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def plain_dataset(tmp_path_factory) -> Path:
    """Tones without labels (so nothing is trained), with a held-out split large enough for every figure."""
    root = tmp_path_factory.mktemp("plain")
    write_tones(root / "tones", takes=30)
    command = ["prepare", str(root / "tones"), "-o", str(root / "data"), "--sample-rate", "8000", "--clip-samples", "2048"]
    assert main([*command, "--labels", "none", "--detail", "max-clips=1", "--test", "0.25", "--validation", "0", "-q"]) == 0
    return root / "data"


def run(capsys, *arguments: object) -> tuple[int, dict, str]:
    code = main(["evaluate", "clips", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if code == EXIT_OK else {}, said.err


def by_name(report: dict) -> dict[str, dict]:
    return {entry["name"]: entry for entry in report["systems"]}


def test_the_whole_verb_and_the_cache(tiny_dataset, tmp_path, capsys, monkeypatch):
    good, stuck = generated(tmp_path / "good"), generated(tmp_path / "stuck", kinds=("low",))
    output = tmp_path / "reports" / "report.json"
    assert main(["evaluate", "clips", str(good), str(stuck), "--data", str(tiny_dataset), "-o", str(output), "--splits", "2"]) == EXIT_OK
    said = capsys.readouterr()
    for word in ("good", "stuck", "real, train", "white noise", "Inception", "needs 129"):
        assert word in said.out
    assert "clips classified correctly" in said.err
    report = json.loads(output.read_text())
    sets = by_name(report)
    score = {name: entry["figures"]["inception_score"].get("value") for name, entry in sets.items()}
    assert score["good"] > 2.5
    assert score["stuck"] < 1.2
    assert score["white noise"] < 1.2
    assert sets["good"]["figures"]["class_accuracy"]["value"] > 0.9
    assert sets["white noise"]["figures"]["class_accuracy"]["value"] == pytest.approx(1 / 3, abs=0.05)
    assert np.trace(np.array(sets["good"]["per_class"]["confusion"])[:, :3]) > 54
    assert sets["stuck"]["predicted"]["low"] == 20
    assert sets["stuck"]["figures"]["class_entropy"]["value"] < 0.3 < sets["good"]["figures"]["class_entropy"]["value"]
    assert sets["good"]["figures"]["frechet_classifier"] == {"needs": 129, "have": 60}
    kid = {name: sets[name]["figures"]["kernel_distance"]["value"] for name in ("good", "stuck", "white noise")}
    assert kid["good"] < kid["stuck"]
    assert report["classifier"]["accuracy"] > 0.9
    assert report["data"]["fingerprint"]

    def refuse(*_, **__):
        raise AssertionError("the classifier was trained again")

    monkeypatch.setattr("gansynth_cli.metrics.clips.classifier.train_classifier", refuse)
    code, again, _ = run(capsys, good, stuck, "--data", tiny_dataset, "--splits", "2")
    assert code == EXIT_OK
    assert again["classifier"] == report["classifier"]
    assert again["systems"] == report["systems"]
    with pytest.raises(AssertionError, match="trained again"):
        main(["evaluate", "clips", str(good), "--data", str(tiny_dataset), "--retrain"])


@pytest.mark.slow
def test_data_without_labels_gives_the_figures_that_need_none(plain_dataset, tmp_path, capsys):
    code, report, _ = run(capsys, generated(tmp_path / "clips"), "--data", plain_dataset, "--bins", 5)
    assert code == EXIT_OK
    assert report["classifier"] is None
    assert any("no labels" in note for note in report["notes"])
    sets = by_name(report)
    found = sets["clips"]["figures"]
    assert found["inception_score"] == {"because": "no labels, so no classifier"}
    for figure in figures.FIGURES:
        assert ("value" in found[figure.key]) == (figure.needs != "a classifier"), figure.key
    noise = sets["white noise"]["figures"]
    assert found["frechet_log_mel"]["value"] < 0.2 * noise["frechet_log_mel"]["value"]
    assert found["ndb"]["value"] < noise["ndb"]["value"]
    assert sets["white noise"]["level_db"] == pytest.approx(sets["real, train"]["level_db"], abs=0.2)
    assert 0.5 < found["memorisation_ratio"]["value"] < 2
    assert found["copies"]["value"] < 0.1
    assert sets["real, test"]["figures"]["memorisation_ratio"]["value"] == pytest.approx(1)
    assert main(["evaluate", "clips", str(tmp_path / "clips"), "--data", str(plain_dataset)]) == EXIT_OK
    said = capsys.readouterr()
    assert "Inception" not in said.out
    assert "no labels" in said.err


def test_copied_clips_are_found_and_named(plain_dataset, tmp_path, capsys):
    training = plain_dataset.parent / "tones"
    info = json.loads((plain_dataset / "dataset_info.json").read_text())
    names = [source["path"] for source in info["sources"] if source["split"] == "train"][:6]
    clips = generated(tmp_path / "clips", range(100, 104))
    (clips / "manifest.csv").unlink()
    for index, name in enumerate(names):  # at another level, so with other rounding: still a copy
        audio, rate = soundfile.read(training / name)
        write_wav(clips / f"copy{index}.wav", 0.8 * audio, rate)
    code, report, _ = run(capsys, clips, "--data", plain_dataset, "--closest", 6)
    assert code == EXIT_OK
    entry = by_name(report)["clips"]
    assert entry["figures"]["copies"]["value"] == pytest.approx(6 / 18)
    assert {pair["clip"] for pair in entry["closest"]} == {f"copy{i}.wav" for i in range(6)}
    for pair in entry["closest"]:
        assert pair["copy"]
        assert pair["training_clip"] == names[int(pair["clip"][4])]
    assert main(["evaluate", "clips", str(clips), "--data", str(plain_dataset)]) == EXIT_OK
    assert "nearly a copy of" in capsys.readouterr().err


def test_failed_clips_count(tiny_dataset, tmp_path, capsys):
    clips = generated(tmp_path / "clips", range(100, 106))
    (clips / "low_100.wav").write_text("this is no audio")
    (clips / "high_100.wav").unlink()
    write_wav(clips / "noise_100.wav", np.zeros(2048))
    write_wav(clips / "stranger.wav", np.zeros(2048))
    code, report, _ = run(capsys, clips, "--data", tiny_dataset)
    assert code == EXIT_OK
    entry = by_name(report)["clips"]
    assert (entry["files"], entry["failed"]) == (18, 3)
    reasons = {failure["file"]: failure["reason"] for failure in entry["failures"]}
    assert reasons["noise_100.wav"] == "silent"
    assert reasons["high_100.wav"] == "does not exist"
    assert "not audio" in reasons["low_100.wav"]
    accuracy = entry["figures"]["class_accuracy"]
    assert accuracy["n"] == 18
    assert accuracy["value"] <= 15 / 18 + 1e-9
    assert [row[-1] for row in entry["per_class"]["confusion"]] == [1, 1, 1]
    notes = " ".join(report["notes"])
    assert "3 of 18 clips failed" in notes
    assert "1 of 18 files" in notes
    assert "1 audio files" in notes


def test_clips_of_another_rate_length_and_channels_are_used_and_said_so(plain_dataset, tmp_path, capsys):
    fast = generated(tmp_path / "fast", range(100, 104), rate=16000)
    short = tmp_path / "short"
    for take in range(3):
        write_wav(short / f"s{take}.wav", tone("low", take)[:1000])
        write_wav(short / f"l{take}.wav", np.tile(np.pad(tone("low", take), (0, 5000))[:5000, None], (1, 2)))
    code, report, _ = run(capsys, fast, short, "--data", plain_dataset)
    assert code == EXIT_OK
    sets = by_name(report)
    assert (sets["fast"]["resampled"], sets["fast"]["padded"], sets["fast"]["cut"]) == (12, 0, 0)
    assert (sets["short"]["resampled"], sets["short"]["padded"], sets["short"]["cut"]) == (0, 3, 3)
    assert any("fast: 12 of 12 clips were resampled to 8000 Hz" in note for note in report["notes"])


def test_without_clips_the_real_ones_are_measured(plain_dataset, capsys):
    code, report, _ = run(capsys, "--data", plain_dataset)
    assert code == EXIT_OK
    assert [entry["role"] for entry in report["systems"]] == ["held-out", "reference", "noise"]


@pytest.mark.slow
def test_a_data_set_without_other_splits(tone_folder, tmp_path, capsys, monkeypatch):
    data = tmp_path / "data"
    command = ["prepare", str(tone_folder), "-o", str(data), "--sample-rate", "8000", "--clip-samples", "2048", "--labels", "folder"]
    assert main([*command, "--validation", "0", "--test", "0", "-q"]) == 0
    (data / "evaluate").write_text("a file where the cache should be: the data set cannot be written")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("gansynth_cli.metrics.clips.classifier.steps_for", lambda clips: 1)
    monkeypatch.setattr("gansynth_cli.metrics.clips.label_classifier._TRUSTED_ACCURACY", 1.1)
    code, report, _ = run(capsys, "--data", data)
    assert code == EXIT_OK
    notes = " ".join(report["notes"])
    assert "no validation split" in notes
    assert "no test split" in notes
    assert "no held-out split" in notes
    assert report["classifier"]["train_clips"] + report["classifier"]["validation_clips"] == report["data"]["clips"]["train"]
    assert "figures are unreliable" in notes
    assert list((tmp_path / "cache" / "gan-audio" / "evaluate").glob("classifier-*.keras"))
    assert by_name(report)["real, train"]["figures"]["copies"] == {"because": "no held-out split of 5 clips"}


def test_some_clips_of_a_folder(plain_dataset, tmp_path, capsys):
    clips = generated(tmp_path / "clips")
    first = run(capsys, clips, "--data", plain_dataset, "--clips", 7)[1]
    second = run(capsys, clips, "--data", plain_dataset, "--clips", 7)[1]
    assert by_name(first)["clips"]["files"] == 7
    assert first["systems"] == second["systems"]
    assert any("7 of the 60 clips" in note for note in first["notes"])


def test_where_labels_come_from(tmp_path):
    clips = generated(tmp_path / "clips", range(2))
    found = lambda **options: clip_set.find_clip_sets([clips], KINDS, **options)[0]
    assert found().labels_from == "manifest"
    assert {path.name: label for path, label in found().files}["low_1.wav"] == 1
    assert {label for _, label in found(labels_from="none").files} == {-1}
    assert found(labels_from="pattern", pattern="(?P<label>[a-z]+)_").files == found().files
    partly = found(labels_from="pattern", pattern="(?P<label>high)_")
    assert sorted(label for _, label in partly.files) == [-1] * 4 + [0, 0]
    assert "4 of 6 clips" in partly.notes[0]
    tree = write_tones(tmp_path / "tree", takes=1)
    in_folders = clip_set.find_clip_sets([tree], KINDS)[0]
    assert in_folders.labels_from == "folder"
    assert [label for _, label in in_folders.files] == [0, 1, 2]
    assert clip_set.find_clip_sets([tree], ("kick", "snare"))[0].labels_from == "none"
    assert clip_set.find_clip_sets([tree], ())[0].labels_from == "none"


def test_folders_of_one_name_are_told_apart(tmp_path):
    sets = clip_set.find_clip_sets([generated(tmp_path / run / "clips", range(1)) for run in ("a", "b")], ())
    assert [found.name for found in sets] == ["a/clips", "b/clips"]


@pytest.fixture
def clips(tmp_path) -> Path:
    return generated(tmp_path / "clips", range(2))


def refused(capsys, code: int, *arguments: object) -> str:
    assert main(["evaluate", "clips", *map(str, arguments)]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "hint:" in said.err
    return said.err


def test_bad_folders_of_clips(plain_dataset, tmp_path, clips, capsys):
    data = ("--data", plain_dataset)
    assert "nowhere does not exist" in refused(capsys, EXIT_USAGE, tmp_path / "nowhere", *data)
    assert "expected a folder" in refused(capsys, EXIT_USAGE, clips / "manifest.csv", *data)
    (tmp_path / "empty").mkdir()
    assert "it is empty" in refused(capsys, EXIT_FAILED, tmp_path / "empty", *data)
    assert main(["evaluate", "clips", str(clips), str(clips), *map(str, data)]) == EXIT_USAGE
    assert "given twice" in capsys.readouterr().err
    for wav in clips.glob("*.wav"):
        wav.unlink()
    assert "none of them exists" in refused(capsys, EXIT_FAILED, clips, *data)


@pytest.mark.parametrize(
    "columns, rows, expected",
    [
        (("name", "label"), [("high_0.wav", "high")], "columns file,label"),
        (("file", "label"), [], "lists no clips"),
        (("file", "label"), [("../high_0.wav", "high")], "path below the folder"),
        (("file", "label"), [("", "high")], "path below the folder"),
    ],
)
def test_bad_manifests(plain_dataset, clips, capsys, columns, rows, expected):
    write_manifest(clips, rows, columns)
    assert main(["evaluate", "clips", str(clips), "--data", str(plain_dataset)]) == EXIT_FAILED
    assert expected in capsys.readouterr().err


def test_a_label_that_the_data_does_not_have(tiny_dataset, clips, capsys):
    write_manifest(clips, [("high_0.wav", "kick")])
    message = refused(capsys, EXIT_FAILED, clips, "--data", tiny_dataset)
    assert "'kick'" in message
    assert "high, low, noise" in message


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--labels-from", "colour"], "expected one of auto"),
        (["--labels-from", "pattern"], "belong together"),
        (["--label-pattern", "x"], "belong together"),
        (["--labels-from", "pattern", "--label-pattern", "("], "not a regular expression"),
        (["--labels-from", "pattern", "--label-pattern", "x"], "no group named label"),
    ],
)
def test_bad_label_options(plain_dataset, clips, capsys, options, expected):
    assert main(["evaluate", "clips", str(clips), "--data", str(plain_dataset), *options]) == EXIT_USAGE
    assert expected in capsys.readouterr().err


def test_labels_from_a_manifest_that_is_not_there(tiny_dataset, clips, capsys):
    (clips / "manifest.csv").unlink()
    assert "has no manifest.csv" in refused(capsys, EXIT_FAILED, clips, "--data", tiny_dataset, "--labels-from", "manifest")


def test_bad_data_and_output(plain_dataset, tmp_path, clips, capsys):
    assert "not a prepared data set" in refused(capsys, EXIT_FAILED, clips, "--data", clips)
    report = tmp_path / "report.json"
    report.write_text("mine")
    assert "exists already" in refused(capsys, EXIT_USAGE, clips, "--data", plain_dataset, "-o", report)
    assert report.read_text() == "mine"
    assert main(["evaluate", "clips", str(clips), "--data", str(plain_dataset), "-o", str(report), "--overwrite", "-q"]) == EXIT_OK
    assert json.loads(report.read_text())["systems"]
    capsys.readouterr()
    broken = shutil.copytree(plain_dataset, tmp_path / "broken")
    next(broken.glob("*train*.tfrecord*")).unlink()
    assert "is missing" in refused(capsys, EXIT_FAILED, clips, "--data", broken)


@pytest.mark.realdata
@pytest.mark.slow
def test_spoken_digits(data_folder, tmp_path, capsys):
    """Real recordings are judged real, by speakers that the classifier never heard; noise is not."""
    data = tmp_path / "digits"
    command = ["prepare", str(data_folder / "digits"), "-o", str(data), "--layout", "fsdd", "--split-by", "speaker", "-q"]
    command += [
        "--detail",
        "holdout-speakers=theo,yweweler",
        "--test",
        "0",
        "--validation",
        "0",
        "--sample-rate",
        "8000",
        "--clip-samples",
        "8192",
    ]
    assert main(command) == 0
    code, report, _ = run(capsys, "--data", data)
    assert code == EXIT_OK
    sets = by_name(report)
    score = {name: entry["figures"]["inception_score"]["value"] for name, entry in sets.items()}
    assert report["classifier"]["accuracy"] > 0.85
    assert score["real, train"] > 9
    assert score["real, test"] > 7
    assert score["white noise"] < 1.3
