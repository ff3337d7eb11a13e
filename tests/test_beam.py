"""Apache Beam: its direct runner gives the files that the process pool gives. The options are tested without Beam."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import fsspec
import pytest

from gansynth_cli import beam
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.through_beam import prepare_through_beam
from gansynth_cli.errors import DatasetError, GanAudioError, MissingExtraError, UsageError
from gansynth_cli.inference.files.run import FileRun
from gansynth_cli.inference.files.through_beam import run_through_beam
from gansynth_cli.parts import Part

from . import helpers
from .conftest import write_tones
from .test_file_task import HalveTask

OPTIONS = PrepareOptions(cut=CutOptions(sample_rate=8000, clip_samples=1024), labels=LabelOptions(labels="folder"), shards=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_runner():
    assert [beam.parse_runner(text) for text in ("local", "beam", "beam:64")] == [0, beam.PARTS, 64]
    for text in ("spark", "beam:", "beam:0", "beam:-1", "beam:x", ""):
        with pytest.raises(UsageError, match="--runner"):
            beam.parse_runner(text)


def test_options_follow_two_dashes():
    """A URL in Beam's options stays one, though the arguments of enhance are paths."""
    given = [
        Path("in"),
        Path("s3://b/in"),
        Path("--runner=DataflowRunner"),
        Path("--temp_location=gs://b/tmp"),
        Path("--x"),
        Path("gs://b/c"),
    ]
    assert beam.split_options(given) == (["in", "s3:/b/in"], ["--runner=DataflowRunner", "--temp_location=gs://b/tmp", "--x", "gs://b/c"])
    assert beam.split_options(["a", "b"]) == (["a", "b"], [])


def test_a_missing_beam_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    with pytest.raises(MissingExtraError) as failure:
        beam.run_parts(str, 2, str(tmp_path), [])
    assert failure.value.hint == "pip install 'gan-audio[beam]'"
    write_tones(tmp_path / "in", takes=1)
    for verb in ("prepare", "enhance"):
        code, _, err = helpers.run(capsys, verb, tmp_path / "in", "-o", tmp_path / "out", "--runner", "beam", "--part", "1/2")
        assert code == 2
        assert "--part cannot be combined with --runner beam" in err


@pytest.mark.parametrize("place", ["folder", "memory://bucket/reports"])
def test_reports_of_workers(tmp_path: Path, place: str):
    """What parts returned comes back in order; a part that failed is named, and a worker without the shared place too."""
    fsspec.filesystem("memory").store.clear()
    reports = place if "://" in place else str(tmp_path / place)
    for number in (2, 1, 3):
        beam._do(number, lambda part: str(part), 3, reports)
    assert beam._collect(reports, 3) == ["1/3", "2/3", "3/3"]
    beam._do(1, str, 2, reports)
    with pytest.raises(GanAudioError, match="no report of 1 of 2 parts"):
        beam._collect(reports, 2)
    beam._do(2, partial(_fail), 2, reports)
    with pytest.raises(GanAudioError, match=r"Part 2/2: The bucket is full\.") as failure:
        beam._collect(reports, 2)
    assert failure.value.hint == "empty it"


def _fail(part: Part) -> None:
    raise GanAudioError("The bucket is full.", hint="empty it")


@pytest.mark.slow
def test_the_direct_runner_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture):
    pytest.importorskip("apache_beam")
    write_tones(tmp_path / "in", takes=8)
    (tmp_path / "in" / "low" / "broken.wav").write_bytes(b"RIFF, but no more")
    prepare([tmp_path / "in"], tmp_path / "pool" / "d", OPTIONS)
    report = prepare_through_beam([tmp_path / "in"], tmp_path / "beam" / "d", OPTIONS, parts=4)
    assert contents(tmp_path / "beam") == contents(tmp_path / "pool"), "nor does anything else lie beside it"
    assert [outcome.name for outcome in report.failed] == ["low/broken.wav"]
    again = prepare_through_beam([tmp_path / "in"], tmp_path / "beam" / "d", OPTIONS, parts=4)
    assert again.status == "unchanged"
    with FileRun(HalveTask(), [tmp_path / "in"], tmp_path / "halved") as run:
        expected = {outcome.name: outcome.status for outcome in run.run()}
    outcomes = run_through_beam(HalveTask(), [tmp_path / "in"], tmp_path / "beamed", 3)
    assert {outcome.name: outcome.status for outcome in outcomes} == expected
    assert contents(tmp_path / "beamed") == contents(tmp_path / "halved")
    given = ["prepare", tmp_path / "in", "-o", tmp_path / "cli" / "d", "--labels", "folder", "--runner", "beam:2", "--json"]
    code, out, _ = helpers.run(capsys, *given, "--", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
    assert code == 1, "one recording is damaged"
    assert json.loads(out)["status"] == "written"
    code, _, err = helpers.run(capsys, *given, "--overwrite", "--", "--direct_num_wrkers", "2")
    assert code == 2
    assert "Apache Beam has no option --direct_num_wrkers" in err
    code, _, err = helpers.run(capsys, *given, "--overwrite", "--", "--runner=FlinkRunnr")
    assert code == 2
    assert "Unexpected pipeline runner: FlinkRunnr" in err


@pytest.mark.slow
def test_a_part_that_fails_in_a_worker(tmp_path: Path):
    pytest.importorskip("apache_beam")
    write_tones(tmp_path / "in", takes=4)
    (tmp_path / "d.parts" / Part(2, 2).folder_name).mkdir(parents=True)
    (tmp_path / "d.parts" / Part(2, 2).folder_name / "thesis.txt").write_text("mine")
    with pytest.raises(GanAudioError, match=r"Part 2/2: .*thesis\.txt"):
        prepare_through_beam([tmp_path / "in"], tmp_path / "d", OPTIONS, parts=2)
    shutil.rmtree(tmp_path / "d.parts" / Part(2, 2).folder_name)
    prepare_through_beam([tmp_path / "in"], tmp_path / "d", OPTIONS, parts=2)
    assert not (tmp_path / "d.parts").exists()
    with pytest.raises(DatasetError, match="was prepared otherwise"):
        prepare_through_beam([tmp_path / "in" / "low"], tmp_path / "d", OPTIONS, parts=2)
