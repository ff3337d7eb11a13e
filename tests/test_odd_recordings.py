"""Names that are not UTF-8, pipes among files, channels of opposite polarity, floats that were never divided; damaged metadata."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli import files
from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.audio_stream import integer_scale
from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.data.corpora.tables import read_rows
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.data.prepare import clip_cutting
from gansynth_cli.data.shards import decode_example, encode_bytes
from gansynth_cli.errors import AudioFileError, DatasetError, RecipeError, UsageError
from gansynth_cli.recipe import recipe_from_tree
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import DamagedCheckpoint, read_checkpoint

from .conftest import write_wav
from .helpers import run
from .test_file_task import verb  # noqa: F401  (a fixture)

PREPARE = ("--sample-rate", 8000, "--clip-samples", 2048, "--validation", 0, "--test", 0)


def sound(frames: int = 8000) -> np.ndarray:
    return 0.2 * np.random.default_rng(0).uniform(-1, 1, frames)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A recording whose name is Latin-1, and one of ASCII."""
    write_wav(tmp_path / "in" / "ok.wav", sound())
    try:
        shutil.copy(tmp_path / "in" / "ok.wav", os.fsencode(tmp_path / "in") + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return tmp_path / "in"


def test_a_name_that_is_not_utf8(odd: Path, tmp_path: Path, capsys, verb):  # noqa: F811
    name = os.fsdecode(b"caf\xe9.wav")
    for _ in range(2):
        code, out, _ = run(capsys, "prepare", odd, "-o", tmp_path / "data", *PREPARE, "--json")
        assert code == 0
        json.loads(out.encode())
    assert (tmp_path / "data" / "dataset_info.json").read_bytes().decode("utf-8")
    assert {source["path"] for source in read_dataset_info(tmp_path / "data").sources} == {"ok.wav", name}
    code, _, err = run(capsys, "info", tmp_path / "data")
    assert code == 0
    assert "'caf\\udce9.wav'" in err
    code, out, _ = run(capsys, "halve", odd, "-o", tmp_path / "out", "--json")
    assert {file["name"] for file in json.loads(out.encode())["files"]} == {"ok.wav", name}
    assert (tmp_path / "out" / name).exists()


def test_pipes_are_named_and_never_opened(tmp_path: Path, capsys, verb):  # noqa: F811
    write_wav(tmp_path / "in" / "a.wav", sound())
    os.mkfifo(tmp_path / "in" / "b.wav")
    left_out: list = []
    assert [path.name for _, path in find_audio([tmp_path / "in"], left_out=left_out)] == ["a.wav"]
    assert left_out == [(tmp_path / "in" / "b.wav", "a named pipe")]
    code, out, err = run(capsys, "halve", tmp_path / "in", "-o", tmp_path / "out", "--json")
    assert code == 0
    assert "1 left out, a named pipe: b.wav" in err
    assert json.loads(out)["left_out_files"] == [{"path": str(tmp_path / "in" / "b.wav"), "reason": "a named pipe"}]
    with pytest.raises(AudioFileError, match="a named pipe, not a file"):
        audio_file.probe(tmp_path / "in" / "b.wav")
    with pytest.raises(UsageError, match="is a named pipe"):
        find_audio([tmp_path / "in" / "b.wav"])


def test_files_that_are_not_taken_are_named_with_their_reason(tmp_path: Path):
    write_wav(tmp_path / "a.wav", sound())
    shutil.copy(tmp_path / "a.wav", tmp_path / "b.xyz")
    (tmp_path / "c.txt").write_text("x")
    left_out: list = []
    assert len(find_audio([tmp_path], left_out=left_out)) == 1
    assert sorted((path.name, reason.partition(":")[0]) for path, reason in left_out) == [
        ("b.xyz", "audio by its content, but not by its suffix (.xyz)"),
        ("c.txt", "not audio by its suffix (.txt)"),
    ]


@pytest.mark.parametrize("kept", [True, False])
def test_channels_of_opposite_polarity_are_not_added_to_nothing(tmp_path: Path, capsys, monkeypatch, kept: bool):
    """With the second channel inverted, half the difference is the recording itself; ordinary stereo is added as before."""
    if not kept:
        monkeypatch.setattr(clip_cutting, "KEEP_SAMPLES", 100)  # as for a long recording
    mono = sound()
    write_wav(tmp_path / "in" / "inverted.wav", np.stack([mono, -0.98 * mono], 1))
    write_wav(tmp_path / "in" / "wide.wav", np.stack([mono, sound(8000)[::-1]], 1))
    audio, _ = audio_file.read(tmp_path / "in" / "inverted.wav", channels=1)
    np.testing.assert_allclose(audio[:, 0], 0.99 * mono, atol=1e-4)
    joined = np.concatenate(list(audio_file.blocks(tmp_path / "in" / "inverted.wav", 1000, channels=1)))
    np.testing.assert_array_equal(joined, audio)
    wide, _ = audio_file.read(tmp_path / "in" / "wide.wav", channels=1)
    np.testing.assert_allclose(wide[:, 0], (mono + mono[::-1]) / 2, atol=1e-4)
    code, out, _ = run(capsys, "prepare", tmp_path / "in", "-o", tmp_path / "data", *PREPARE, "--json")
    report = json.loads(out)
    assert (code, report["kept"], report["dropped"]) == (0, 2, [])
    assert "1 stereo recordings have channels of opposite polarity" in report["warnings"][-1]


@pytest.mark.parametrize("factor, scale", [(1.0, 1.0), (5.0, 1.0), (1024.0, 1024.0), (32768.0, 32768.0)])
def test_floats_that_were_never_divided_keep_their_scale(tmp_path: Path, capsys, verb, factor: float, scale: float):  # noqa: F811
    audio = sound() / np.abs(sound()).max() * 0.9
    path = write_wav(tmp_path / "a.wav", (audio * factor).astype(np.float32), subtype="FLOAT")
    assert integer_scale(path) == scale
    assert run(capsys, "halve", path, "-o", tmp_path / "out")[0] == 0
    np.testing.assert_allclose(soundfile.read(tmp_path / "out" / "a.wav")[0], audio * factor / 2, rtol=1e-6)


# Metadata.


def test_json_that_is_damaged_is_named(tmp_path: Path):
    for content in (b"\xff\xfe\x00", b"[" * 100_000, b'{"name": 3}', b"[]", b'{"name": "x", "splits": {"train": 3}}'):
        (tmp_path / "dataset_info.json").write_bytes(content)
        with pytest.raises(DatasetError, match="is damaged"):
            read_dataset_info(tmp_path)


def test_a_damaged_log_or_manifest_does_not_cost_the_run(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_bytes(b'{"step": 1, "loss": 2}\n\xff\xfe\n{"step": null}\n{"step": 5}\n[3]\n{"st')
    assert folder.read_metrics() == [{"step": 1, "loss": 2}, {"step": 5}]
    folder.rewind(3)
    assert folder.metrics_file.read_bytes() == b'{"step": 1, "loss": 2}\n'


@pytest.mark.parametrize("table", ["model", "losses", "optimizers"])
def test_a_table_of_a_recipe_that_is_a_list_is_named(table: str):
    with pytest.raises(RecipeError, match=f"{table} is \\[1\\]; expected a table"):
        recipe_from_tree({"family": "wavegan", table: [1]})
    with pytest.raises(RecipeError, match="family is"):
        recipe_from_tree({"family": ["wavegan"]})


def test_tables_arrays_records_and_checkpoints_that_are_damaged(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"path,label\na\0b.wav,x\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_rows(tmp_path / "a.csv", ("path", "label"))
    np.save(tmp_path / "a.npy", np.zeros(100))
    content = (tmp_path / "a.npy").read_bytes()
    for cut in (8, 11, 40, 90, 200):
        (tmp_path / "b.npy").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"."):
            files.load_array(tmp_path / "b.npy")
    for record in (b"", b"\x0a\x03abc", encode_bytes({"audio": b"x"}), b"\xff" * 20):
        with pytest.raises(DatasetError, match="not one that prepare writes"):
            decode_example(record)
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(tmp_path / "c.npz")
