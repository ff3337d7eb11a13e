"""Parts of a job: together they are the whole, and a data set made in parts has the bytes of one that was not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.prepare import parts as parts_module
from gansynth_cli.data.prepare import write as prepare_write
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.parts import PART_FILE, merge
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.errors import DatasetError, UsageError
from gansynth_cli.feature_specs import LogSpectrogram
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.parts import Part
from gansynth_cli.recipe import load_recipe

from . import helpers
from .conftest import write_tones, write_wav
from .test_file_task import HalveTask

PARTS = 3
SPEC = LogSpectrogram(fft=64, hop=32, frames=16, log_offset=1e-6)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_tones(root / "tones", takes=14)
    (root / "tones" / "low" / "broken.wav").write_bytes(b"RIFF, but no more")
    for take in range(6):
        write_wav(root / "noise" / f"{take}.wav", helpers.noise(4000 + 500 * take, seed=take) / 8)
    return root


def options(**changes) -> PrepareOptions:
    return PrepareOptions(cut=CutOptions(sample_rate=8000, clip_samples=1024), labels=LabelOptions(labels="folder"), shards=4, **changes)


def make(root: Path, output: Path, part: Part | None = None, **changes):
    arguments = {"noise": [root / "noise"], "specs": [SPEC], "jobs": 1} | changes
    return prepare([root / "tones"], output, arguments.pop("options", options()), part=part, **arguments)


def make_parts(root: Path, output: Path, count: int = PARTS, **changes) -> Path:
    for number in range(1, count + 1):
        make(root, output, Part(number, count), **changes)
    return output


@pytest.fixture(scope="module")
def whole(recordings: Path) -> Path:
    make(recordings, recordings / "data")
    return recordings / "data"


@pytest.fixture(scope="module")
def parts(recordings: Path) -> Path:
    return make_parts(recordings, recordings / "parts")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/2", "1/1000000"])
def test_wrong_parts(text: str):
    with pytest.raises(UsageError, match="--part"):
        Part.parse(text)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_parts_are_the_whole(count: int):
    rng = np.random.default_rng(count)
    items = list(rng.integers(0, 1000, 23))
    parts = [Part.parse(f"{number}/{count}") for number in range(1, count + 1)]
    dealt = [part.deal(items, lambda item: item % 11) for part in parts]
    assert sorted(item for part in dealt for item in part) == sorted(items)
    assert all(not {i % 11 for i in one} & {i % 11 for i in other} for one in dealt for other in dealt if one is not other)
    assert max(map(len, [p.deal(range(23), lambda i: i) for p in parts])) <= 23 // count + 1
    for weight in (float, lambda item: 0.0):
        assert [item for part in parts for item in part.stretch(items, weight)] == items
    sums = [sum(part.stretch(items, float)) for part in parts]
    assert max(sums) <= sum(items) / count + max(items)


def test_merged_parts_have_the_bytes_of_one_run(recordings: Path, whole: Path, parts: Path, tmp_path: Path):
    """Shards of all splits, noise too, statistics and descriptions; the parts are given in any order, and on other disks."""
    moved = shutil.copytree(parts / Part(2, PARTS).folder_name, tmp_path / "elsewhere")
    given = [parts / Part(3, PARTS).folder_name, moved, parts / Part(1, PARTS).folder_name]
    report = merge(given, tmp_path / "data", jobs=2)
    assert contents(tmp_path / "data") == contents(whole)
    assert report.status == "written"
    assert [outcome.name for outcome in report.failed] == ["tones/low/broken.wav"]
    assert merge(given, tmp_path / "data").status == "unchanged"


def test_what_recipes_add_survives_a_part():
    """Statistics, frame features, given mel spectrograms and phones, as `part.json` keeps them."""
    wanted = [
        parts_module._Wanted(load_recipe("specgan/tiny").model.statistics(16000), True, 0.9, consent="They agreed."),
        parts_module._Wanted(frames=load_recipe("stargan_vc/tiny").model.frame_features(16000)),
        parts_module._Wanted(mels=(load_recipe("hifigan/tiny", ["model.given_mels=true"]).model.mels_beside(16000), "mels")),
        parts_module._Wanted(speech=load_recipe("tts/tiny").model.speech_features(16000)),
    ]
    assert wanted[0].specs
    assert None not in (wanted[1].frames, wanted[2].mels[0], wanted[3].speech)
    for one in wanted:
        assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(one))), parts_module._Wanted) == one


def test_a_part_goes_on_where_it_was(recordings: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gansynth_cli.data.prepare import plan

    monkeypatch.setattr(plan, "_UNIT_FILES", 4)
    first = Part(1, PARTS)

    def interrupted(*arguments):
        results = results_of(*arguments)
        yield next(results)
        raise KeyboardInterrupt

    results_of = prepare_write.results_of
    monkeypatch.setattr(prepare_write, "results_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(recordings, tmp_path, first)
    monkeypatch.setattr(prepare_write, "results_of", results_of)
    with pytest.raises(DatasetError, match="not finished"):
        merge([tmp_path], tmp_path / "data")
    assert make(recordings, tmp_path, first).resumed_files == 4
    assert contents(tmp_path / first.folder_name) == contents(parts / first.folder_name)
    assert make(recordings, tmp_path, first).status == "unchanged"
    with pytest.raises(DatasetError, match="shards was 4, is now 5"):
        make(recordings, tmp_path, first, options=PrepareOptions(**vars(options()) | {"shards": 5}))


def test_a_merge_goes_on_where_it_was(parts: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    copied: list[str] = []

    def append(out, source, piece, digest):
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        copied.append(source.name)
        return original(out, source, piece, digest)

    original = parts_module._append
    monkeypatch.setattr(parts_module, "_append", append)
    with pytest.raises(DatasetError, match="no space left"):
        merge([parts], tmp_path / "data", jobs=1)
    before = len(list((tmp_path / "data.partial").glob("*.tfrecord-*")))
    monkeypatch.setattr(parts_module, "_append", lambda *given: copied.append("again") or original(*given))
    merge([parts], tmp_path / "data", jobs=1)
    assert contents(tmp_path / "data") == contents(whole)
    assert before >= 1
    pieces = sum(path.stat().st_size > 0 for path in parts.glob("*/*.tfrecord-*"))
    assert copied.count("again") <= pieces - before, "what was whole is not copied again"


def test_what_is_no_whole_is_refused(recordings: Path, parts: Path, tmp_path: Path):
    folder = {number: parts / Part(number, PARTS).folder_name for number in range(1, PARTS + 1)}
    with pytest.raises(DatasetError, match="1 of 3 parts are missing: 2") as failure:
        merge([folder[1], folder[3]], tmp_path / "data")
    assert "--part 2/3" in failure.value.hint
    with pytest.raises(DatasetError, match="are both part 1/3"):
        merge([*folder.values(), shutil.copytree(folder[1], tmp_path / "copy")], tmp_path / "data")
    merge([*folder.values(), parts], tmp_path / "twice")  # one folder given twice is one part
    with pytest.raises(UsageError, match="holds no part"):
        merge([recordings / "tones"], tmp_path / "data")
    with pytest.raises(UsageError, match="does not exist"):
        merge([tmp_path / "nowhere"], tmp_path / "data")
    for name, changes, reason in (
        ("noise", {"noise": []}, "other recordings"),
        ("specs", {"specs": []}, "another recipe's statistics"),
        ("peak", {"peak_normalize": True}, "peak_normalize was False, is now True"),
        ("options", {"options": options(noise_short="loop")}, "noise_short was pad, is now loop"),
    ):
        make(recordings, tmp_path / name, Part(2, PARTS), **changes)
        with pytest.raises(DatasetError, match=f"prepared otherwise than .*: .*{reason}"):
            merge([folder[1], folder[3], tmp_path / name], tmp_path / "data")
    make(recordings, tmp_path / "four", Part(4, 4))
    with pytest.raises(DatasetError, match=r"one of 3 parts, but .* one of 4"):
        merge([parts, tmp_path / "four"], tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_damaged_parts(parts: Path, tmp_path: Path):
    damaged = shutil.copytree(parts, tmp_path / "damaged")
    shard = max((damaged / Part(2, PARTS).folder_name).glob("*train*"), key=lambda path: path.stat().st_size)
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    with pytest.raises(DatasetError, match=f"{shard.name} has other content"):
        merge([damaged], tmp_path / "data")
    shard.unlink()
    with pytest.raises(DatasetError, match=f"{shard.name} is missing"):
        merge([damaged], tmp_path / "data", overwrite=True)
    (damaged / Part(1, PARTS).folder_name / PART_FILE).write_text('{"number": 1}')
    with pytest.raises(DatasetError, match="is damaged"):
        merge([damaged], tmp_path / "data")


def test_nothing_strange_is_replaced(recordings: Path, tmp_path: Path):
    part = Part(1, 9)
    (tmp_path / part.folder_name).mkdir()
    (tmp_path / part.folder_name / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"thesis\.txt"):
        make(recordings, tmp_path, part, overwrite=True)


def test_more_parts_than_recordings(tmp_path: Path):
    write_tones(tmp_path / "tones", takes=1)
    make_parts(tmp_path, tmp_path / "parts", 5, noise=[])
    assert len({part.name for part in (tmp_path / "parts").iterdir()}) == 5
    split = {"options": PrepareOptions(**vars(options()) | {"name": "x"})}
    make_parts(tmp_path, tmp_path / "named", 5, noise=[], **split)
    merge([tmp_path / "named"], tmp_path / "data")
    make(tmp_path, tmp_path / "one", noise=[], **split)
    assert contents(tmp_path / "data") == contents(tmp_path / "one")


def test_the_command_line(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    given = [recordings / "tones", "--labels", "folder", "--sample-rate", 8000, "--recipe", "specgan/tiny", "-q"]
    helpers.run(capsys, "prepare", *given, "-o", tmp_path / "data")
    for number in (1, 2):
        code, _, _ = helpers.run(capsys, "prepare", *given, "-o", tmp_path / "parts", "--part", f"{number}/2")
        assert code == (number == 1) + 0 or code in (0, 1)
    code, out, _ = helpers.run(capsys, "prepare", "--merge", tmp_path / "parts", "-o", tmp_path / "merged" / "data", "--json", "-q")
    assert code == 1, "one recording is damaged"
    assert json.loads(out)["status"] == "written"
    assert contents(tmp_path / "merged" / "data") == contents(tmp_path / "data")
    code, _, err = helpers.run(capsys, "prepare", "--merge", tmp_path / "parts", "-o", tmp_path / "m", "--sample-rate", 8000)
    assert code == 2
    assert "--sample-rate cannot be combined with --merge" in err


def test_files_in_parts(tmp_path: Path):
    """Each file is in one part; what differs in the suffix alone stays together, so outputs keep the names that they have without parts."""
    for name in ("a", "b", "c", "d/e", "d/f", "g"):
        write_wav(tmp_path / "in" / f"{name}.wav", np.ones(80) / 2)
    write_wav(tmp_path / "in" / "a.flac", np.ones(80) / 2)
    write_wav(tmp_path / "in" / "a.aiff", np.ones(80) / 2)
    task, folder = HalveTask(), [tmp_path / "in"]
    planned = [plan_files(task, folder, tmp_path / "out", Part(number, 4)) for number in range(1, 5)]
    targets = [{job.source: job.target for job in plan.jobs} for plan in planned]
    everything = {job.source: job.target for job in plan_files(task, folder, tmp_path / "out").jobs}
    assert sum(map(len, targets)) == len(everything) == 8
    assert {source: target for part in targets for source, target in part.items()} == everything
    assert {path.name for path in targets[0]} == {"a.wav", "a.flac", "a.aiff", "f.wav"}


def test_rows_of_a_table_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "lines.csv").write_text("text\n" + "".join(f"Line {n}\n" for n in range(7)), encoding="utf-8")
    names: list[str] = []
    for number in (1, 2, 3):
        given = ["say", "-i", tmp_path / "lines.csv", "-o", tmp_path / "spoken", "--part", f"{number}/3", "--dry-run", "--json", "-q"]
        code, out, _ = helpers.run(capsys, *given)
        assert code == 0
        names += [Path(entry["output"]).stem for entry in json.loads(out)["files"]]
        assert len(json.loads(out)["files"]) in (2, 3)
    assert sorted(names) == [f"{row:05d}" for row in range(2, 9)]
    assert helpers.run(capsys, "say", "Hello.", "-o", tmp_path / "a.wav", "--part", "1/2")[0] == 2
