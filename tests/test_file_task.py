"""A verb over files is one class and one command-line module: a toy verb that halves the gain, and arrays that take the path of files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli import app
from gansynth_cli.cli.file_verb import DryRun, Inputs, Jobs, Json, Output, Overwrite, Quiet, run_files
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.arrays import as_recording
from gansynth_cli.inference.files import batch
from gansynth_cli.inference.files.job import Job
from gansynth_cli.inference.files.provenance import with_provenance
from gansynth_cli.inference.files.task import FileTask, Words, Work

from .conftest import write_wav

# The verb: its class and its command-line module.


class HalveTask(FileTask):
    words = Words("halve", "halved", "Halving", "quieter")

    def __init__(self, overwrite: bool = False):
        self.overwrite = overwrite

    def open(self) -> None:
        self.gain = 0.5

    def process(self, job: Job, work: Work) -> None:
        with work.reader() as reader, work.writer(job.target, reader, reader.tags) as out:
            for block in work.blocks(reader):
                out.write(block * self.gain)


def halve(
    inputs: Inputs = None,
    output: Output = None,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Halve the gain of recordings."""
    app.console.configure(quiet=quiet, json_output=json_output)
    return run_files(HalveTask(overwrite), inputs, output, jobs=jobs, dry_run=dry_run)


@pytest.fixture
def verb(monkeypatch):
    module = ModuleType("gansynth_cli.cli.halve")
    module.command = halve
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(app.VERBS, "halve", "Halve the gain of recordings.")


def run(arguments: list, capsys) -> tuple[int, dict, str]:
    code = app.main(["halve", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, channels))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_verb_is_one_class_and_one_module(verb, tmp_path: Path, capsys, monkeypatch, jobs: int):
    """Folders, formats, lengths, failures, silence, skipping, processes and reports come with the base class."""
    monkeypatch.setattr(batch, "_POOL_SECONDS", 0.0)
    folder, out = tmp_path / "rec", tmp_path / "out"
    write_wav(folder / "a.wav", noise(80_000), 8000, "PCM_24")  # three blocks
    write_wav(folder / "deep" / "b.flac", noise(3000, 2), 48000)
    write_wav(folder / "silent.wav", np.zeros(100))
    (folder / "broken.wav").write_bytes(b"RIFF")
    code, report, err = run([folder, "-o", out, "-j", jobs], capsys)
    assert code == 1
    assert {file["name"]: file["status"] for file in report["files"]} == {
        "broken.wav": "failed",
        "a.wav": "done",
        "deep/b.flac": "done",
        "silent.wav": "silent",
    }
    for name in ("a.wav", "deep/b.flac"):
        (before, rate), (after, same) = (soundfile.read(place / name) for place in (folder, out))
        assert rate == same
        assert soundfile.info(folder / name).subtype == soundfile.info(out / name).subtype
        np.testing.assert_allclose(after, 0.5 * before, atol=2**-16)
    assert "3 of 4 recordings halved" in err
    assert "nothing to halve" in err
    assert report["audio_seconds"] == pytest.approx(10 + 3000 / 48000 + 100 / 8000, abs=1e-3)
    code, report, _ = run([folder / "a.wav", "-o", out], capsys)
    assert (code, report["skipped"]) == (0, 1)
    code, report, _ = run([folder / "a.wav", "-o", out, "--overwrite"], capsys)
    assert (code, report["done"]) == (0, 1)


def test_a_dry_run_opens_nothing(verb, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(HalveTask, "open", None)
    write_wav(tmp_path / "a.wav", noise(100))
    code, report, err = run([tmp_path / "a.wav", "-o", tmp_path / "out", "--dry-run"], capsys)
    assert (code, report["dry_run"]) == (0, True)
    assert "1 of 1 recordings to halve" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "No input is given"),
        (["rec"], "No output is given"),
        (["rec", "-o", "rec"], "-o rec-quieter"),
        (["rec", "-o", "out", "-j", "-1"], "--jobs is -1"),
        (["out", "-o", "out/more"], "holds no recording"),
        (["rec/a.wav", "-o", "a.m4a"], "cannot write the format .m4a"),
    ],
)
def test_usage_is_checked_once_for_all_verbs(verb, arguments, message, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    write_wav(tmp_path / "rec" / "a.wav", noise(100))
    code, _, err = run(arguments, capsys)
    assert code != 0
    assert message in err
    assert not list((tmp_path / "out").iterdir())


def test_only_settings_go_to_other_processes():
    task = HalveTask(overwrite=True)
    task.opened()
    assert task.gain == 0.5
    assert task.__getstate__() == {"overwrite": True}
    opened = []
    task.open = lambda: opened.append(1)
    assert task.opened() is task
    assert not opened  # once


@pytest.mark.parametrize(
    "comment, sentence, expected",
    [
        ("", "", {"made_by": "x"}),
        ('{"synthetic": true}', "in words", {"synthetic": True, "made_by": "x"}),
        ("in the rain", "", {"comment": "in the rain", "made_by": "x"}),
        ("[1]", "", {"comment": "[1]", "made_by": "x"}),
    ],
)
def test_provenance_joins_what_the_comment_says(comment: str, sentence: str, expected):
    tags = with_provenance({"artist": "me", "comment": comment}, {"made_by": "x"}, sentence)
    assert tags["artist"] == "me"
    assert json.loads(tags["comment"]) == expected
    beside = with_provenance({"comment": "in the rain"}, {"made_by": "x"}, "made by x")
    assert beside == {"comment": "in the rain", "provenance": '{"made_by": "x"}'}


@pytest.mark.parametrize(
    "audio, message",
    [
        (np.zeros(10, np.int16), "int16"),
        (np.zeros((2, 3, 4)), r"shape \[2, 3, 4\]"),
        (np.zeros(0), "not empty"),
        (np.zeros((2, 1000)), "1000 channels"),
        (np.array([0.0, np.nan]), "NaN"),
    ],
)
def test_arrays_that_are_no_recording_are_refused(audio, message):
    with pytest.raises(UsageError, match=message):
        as_recording(audio)


def test_arrays_keep_their_precision():
    assert as_recording(np.zeros(5, np.float16)).dtype == np.float32
    assert as_recording(np.zeros((5, 2), np.float64)).dtype == np.float64
    assert as_recording(np.zeros(5, np.float32)).shape == (5, 1)
