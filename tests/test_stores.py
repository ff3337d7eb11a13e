"""Object stores: memory:// in this process, and a local S3 server for what only a real protocol shows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from gansynth_cli.cli import app
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.parts import merge
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.errors import DatasetError, MissingExtraError, UsageError
from gansynth_cli.files import write_bytes
from gansynth_cli.inference.files.run import FileRun
from gansynth_cli.parts import Part
from gansynth_cli.stores import mirror, staging, store
from gansynth_cli.stores.store import Store, StoreError, url_of

from . import helpers
from .conftest import write_tones
from .test_file_task import HalveTask

OPTIONS = PrepareOptions(cut=CutOptions(sample_rate=8000, clip_samples=1024), labels=LabelOptions(labels="folder"), name="d", shards=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own, which is empty at its end but for what an interrupted command leaves."""
    monkeypatch.setenv(mirror.CACHE_FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(store, "PAUSES", [0.0, 0.0])
    fsspec.filesystem("memory").store.clear()
    yield tmp_path / "cache"
    assert not mirror._mirrors
    assert not list((tmp_path / "cache" / "work").glob("*")) or not (tmp_path / "cache" / "work").exists()


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tones(tmp_path_factory.mktemp("stores") / "tones", takes=4)
    (folder / "low" / "broken.wav").write_bytes(b"RIFF, but no more")
    (folder / "notes.txt").write_text("not audio")
    return folder


def upload(folder: Path, url: str) -> str:
    remote = Store(url)
    for path in folder.rglob("*"):
        if path.is_file():
            remote.upload(path, path.relative_to(folder).as_posix())
    return url


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(url: str) -> dict[str, bytes]:
    files, path = fsspec.core.url_to_fs(url)
    return {name: files.cat_file(f"{path}/{name}") for name in Store(url).files()}


def halved(inputs: str | Path, output: str | Path, **options) -> dict[str, str]:
    with FileRun(HalveTask(options.pop("overwrite", False)), [inputs], output, options.pop("part", None)) as run:
        return {outcome.name: outcome.status for outcome in run.run(**options)}


class Failing(fsspec.get_filesystem_class("memory")):
    """A store that fails: `errors` are raised by the next requests, in order."""

    protocol, errors, requests = "memory", [], []

    def _maybe(self, name: str) -> None:
        self.requests.append(name)
        if self.errors and (error := self.errors.pop(0)):
            raise error

    def put_file(self, lpath, rpath, **options):
        self._maybe(f"put {rpath}")
        return super().put_file(lpath, rpath, **options)

    def get_file(self, rpath, lpath, **options):
        self._maybe(f"get {rpath}")
        return super().get_file(rpath, lpath, **options)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    monkeypatch.setattr(Failing, "errors", [])
    monkeypatch.setattr(Failing, "requests", [])
    monkeypatch.setattr(Store, "__init__", lambda self, url: _init(self, url))
    return Failing


def _init(self: Store, url: str) -> None:
    self.url, self._fs = url.rstrip("/"), Failing()
    self._path = self._fs._strip_protocol(self.url)


def test_urls():
    assert url_of("s3://bucket/a/b") == url_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert url_of("gs://bucket") == "gs://bucket"
    for path in ("a/b", "/s3/a", Path("memory"), "C:/recordings", "s3", "http://host/a"):
        assert url_of(path) == "", path


def test_names_that_would_leave_the_folder_are_left_out():
    files = fsspec.filesystem("memory")
    for name in ("/b/in/a.wav", "/b/in/x/../../../etc/passwd", "/b/in//double.wav", "/b/in/./dot.wav"):
        files.store[name] = fsspec.implementations.memory.MemoryFile(files, name, b"content")
    assert all(".." not in name and not name.startswith("/") for name in Store("memory://b/in").files())
    assert "a.wav" in Store("memory://b/in").files()


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match="s3://") as failure:
        Store("s3://bucket/a")
    assert failure.value.hint == "pip install 'gan-audio[cloud]'"


def test_recordings_from_and_to_a_store(tones: Path, tmp_path: Path):
    """All four combinations give the same files; what exists is skipped without being fetched."""
    url = upload(tones, "memory://bucket/in")
    expected = halved(tones, tmp_path / "local")
    assert sorted(expected.values()).count("done") == 12
    assert expected["low/broken.wav"] == "failed"
    assert halved(url, tmp_path / "from", workers=1) == expected
    assert halved(tones, "memory://bucket/to") == expected
    assert halved(url, "memory://bucket/both") == expected
    assert contents(tmp_path / "local") == contents(tmp_path / "from") == stored("memory://bucket/to") == stored("memory://bucket/both")
    again = halved(url, "memory://bucket/both")
    assert sorted(again.values()).count("skipped") == 12
    assert halved(url, "memory://bucket/both", overwrite=True) == expected
    one = "memory://bucket/in/low/low_01.wav"
    assert halved(one, "memory://bucket/single/renamed.wav") == {"low_01.wav": "done"}
    assert stored("memory://bucket/single")["renamed.wav"] == stored("memory://bucket/to")["low/low_01.wav"]
    with pytest.raises(UsageError, match="is one of the inputs"):
        halved(url, "memory://bucket/in/")
    with pytest.raises(UsageError, match="does not exist"):
        halved("memory://bucket/nothing", tmp_path / "x")


def test_parts_of_a_store(tones: Path, tmp_path: Path):
    url = upload(tones, "memory://bucket/in")
    halved(tones, tmp_path / "local")
    for number in (1, 2, 3):
        halved(url, "memory://bucket/out", part=Part(number, 3))
    assert stored("memory://bucket/out") == contents(tmp_path / "local")


def test_the_disk_holds_a_portion_at_a_time(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With room for two files' portions, at most the present portion and the next one are on the disk."""
    monkeypatch.setattr(staging, "_PORTION_FILES", 2)
    most = 0

    def bring(self, names):
        nonlocal most
        original(self, names)
        most = max(most, len(self._present))

    original = mirror.Mirror._bring
    monkeypatch.setattr(mirror.Mirror, "_bring", bring)
    url = upload(tones, "memory://bucket/in")
    assert sum(status == "done" for status in halved(url, tmp_path / "out").values()) == 12
    assert 2 <= most <= 1 + 2 + 2  # the text, two portions


def test_eviction_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mirror, "_KEPT", 2)
    for number in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.bin").write_bytes(bytes([number]) * 100)
    remote = Store(upload(tmp_path / "in", "memory://bucket/in"))
    tree = mirror.Mirror(remote, tmp_path / "tree", remote.files(), limit=250)
    paths = [tmp_path / "tree" / f"{number}.bin" for number in range(6)]
    assert [path.read_bytes() for path in paths] == [bytes(100)] * 6, "the right size, no content"
    for path in paths:
        tree.fetch([path])
        assert path.read_bytes() == (tmp_path / "in" / path.name).read_bytes()
    assert list(tree._present) == ["4.bin", "5.bin"]
    opened = paths[5].open("rb")
    tree.release(paths)
    assert opened.read() == bytes([5]) * 100, "a reader keeps what it has open"
    assert paths[5].read_bytes() == bytes(100)
    assert tree.holds(paths[5])
    write_bytes(paths[5], b"mine")
    assert not tree.holds(paths[5])


def make(inputs: str | Path, output: str | Path, **arguments):
    return prepare([inputs], output, OPTIONS, jobs=1, **arguments)


def test_a_data_set_from_and_to_a_store(tones: Path, tmp_path: Path, cache: Path):
    url = upload(tones, "memory://bucket/in")
    make(tones, tmp_path / "d")
    expected = contents(tmp_path / "d")
    make(url, tmp_path / "from")
    assert contents(tmp_path / "from") == expected
    report = make(url, "memory://bucket/d")
    assert (report.status, report.output) == ("written", "memory://bucket/d")
    assert stored("memory://bucket/d") == expected
    assert make(url, "memory://bucket/d").status == "unchanged"
    assert make(url, "memory://bucket/d", consent="They agreed.").status == "statistics added"
    assert json.loads(stored("memory://bucket/d")["dataset_info.json"])["consent"] == "They agreed."
    for number in (1, 2):
        make(url, "memory://bucket/parts", part=Part(number, 2))
    merge(["memory://bucket/parts"], "memory://bucket/merged/d")
    assert stored("memory://bucket/merged/d") == expected
    assert not [path for path in (cache / "outputs").rglob("*") if path.is_file()], "nothing stays behind"


def test_an_interrupted_upload_goes_on(tones: Path, tmp_path: Path, failing: type[Failing]):
    make(tones, tmp_path / "d")
    failing.errors += [None, None] + [OSError("connection reset by peer")] * 3
    with pytest.raises(StoreError, match="cannot be written: connection reset") as failure:
        make(tones, "memory://bucket/d")
    assert "goes on where it was" in failure.value.hint
    assert "dataset_info.json" not in stored("memory://bucket/d"), "it is not complete, and does not look so"
    failing.requests.clear()
    make(tones, "memory://bucket/d")
    assert stored("memory://bucket/d") == contents(tmp_path / "d")
    assert len(failing.requests) == len(contents(tmp_path / "d")) - 2, "what was sent is not sent again"
    assert failing.requests[-1].endswith("dataset_info.json")


def test_another_data_set_after_an_interrupted_upload(tones: Path, tmp_path: Path, failing: type[Failing]):
    """Shards of the same names and sizes, but of other content: nothing of the earlier ones stays."""
    other = {"cut": dataclasses.replace(OPTIONS.cut, level="peak")}
    failing.errors += [None] * 4 + [OSError("connection reset by peer")] * 3
    with pytest.raises(StoreError):
        make(tones, "memory://bucket/d")
    prepare([tones], "memory://bucket/d", dataclasses.replace(OPTIONS, **other), jobs=1, overwrite=True)
    prepare([tones], tmp_path / "d", dataclasses.replace(OPTIONS, **other), jobs=1)
    assert stored("memory://bucket/d") == contents(tmp_path / "d")


def test_a_store_that_fails_for_a_moment(tones: Path, tmp_path: Path, failing: type[Failing]):
    url = upload(tones, "memory://bucket/in")
    failing.errors += [OSError("timed out"), None, OSError("timed out")]
    assert sum(status == "done" for status in halved(url, "memory://bucket/out").values()) == 12


def test_a_store_that_vanishes(tones: Path, tmp_path: Path, failing: type[Failing]):
    """What is finished is there, and the same command goes on."""
    failing.errors += [None] * 4 + [OSError("no route to host")] * 40
    with pytest.raises(StoreError, match="no route to host"):
        halved(tones, "memory://bucket/out")
    failing.errors.clear()
    there = len(stored("memory://bucket/out"))
    assert 1 <= there < 12
    assert sorted(halved(tones, "memory://bucket/out").values()).count("skipped") == there
    assert len(stored("memory://bucket/out")) == 12


def test_a_bucket_without_rights(tones: Path, failing: type[Failing]):
    failing.errors += [PermissionError("Access Denied")]
    with pytest.raises(StoreError, match=r"access is refused \(Access Denied\)"):
        halved(tones, "memory://bucket/out")
    assert sum(request.startswith("put") for request in failing.requests) <= 12, "a refusal is not repeated"


def test_an_object_that_is_gone(tones: Path, tmp_path: Path):
    url = upload(tones, "memory://bucket/in")
    with FileRun(HalveTask(), [url], tmp_path / "out") as run:
        Store(url).delete("low/low_02.wav")
        outcomes = {outcome.name: outcome for outcome in run.run()}
    assert outcomes["low/low_02.wav"].status == "failed"
    assert sum(outcome.status == "done" for outcome in outcomes.values()) == 11


def test_the_command_line(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    url = upload(tones, "memory://bucket/in")
    code, out, err = helpers.run(capsys, "prepare", url, "-o", "memory://bucket/d", "--labels", "folder", "--json")
    assert code == 1
    assert "low/broken.wav" in err
    assert json.loads(out)["output"] == "memory://bucket/d"
    assert "--data memory://bucket/d" in err
    for verb in sorted(set(app.VERBS) - set(app.TAKING_URLS)):
        code, _, err = helpers.run(capsys, verb, "x", "memory://bucket/in")
        assert code == 2, verb
        assert "takes no URL" in err, verb


@pytest.mark.slow
def test_training_reads_a_store(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """The same batches as from the local data set."""
    from gansynth_cli.data.pipeline import open_source
    from gansynth_cli.recipe import load_recipe

    monkeypatch.setenv(mirror.CACHE_SIZE, "0.00001")
    monkeypatch.setattr(staging.atexit, "register", lambda *given: kept.append(given))
    kept: list[tuple] = []
    request.addfinalizer(lambda: [end(*arguments) for end, *arguments in kept])
    recipe = load_recipe("wavegan/tiny", ["data.sample_rate=8000", "data.clip_samples=1024"])
    make(tones, "memory://bucket/d")
    make(tones, tmp_path / "d")
    batches = []
    for given in (tmp_path / "d", "memory://bucket/d"):
        source = open_source(staging.local_for_process(given), recipe)
        batches.append([batch["audio"].numpy() for batch in source.batches(recipe, seed=3, batch_size=4).take(12)])
    assert len(batches[0]) == 12
    for one, other in zip(*batches, strict=True):
        assert (one == other).all()
    with pytest.raises(DatasetError, match="memory://bucket/in is not a prepared data set"):
        open_source(staging.local_for_process(upload(tones, "memory://bucket/in")), recipe)


def test_a_wrong_cache_size(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(mirror.CACHE_SIZE, "plenty")
    with pytest.raises(UsageError, match="GAN_AUDIO_CACHE_GB is 'plenty'"):
        halved(upload(tones, "memory://bucket/in"), tmp_path / "out")
