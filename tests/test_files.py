"""Writing files in one step and hashing them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gansynth_cli import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    files.write_text(target, "old")

    def fail(error: Exception) -> None:
        with files.replacing(target) as temporary:
            temporary.write_text("ne")
            raise error

    for error in (ValueError("half way"), OSError(28, "No space left on device")):
        with pytest.raises(type(error), match=str(error.args[-1])):
            fail(error)
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]


def test_replacing_makes_folders_keeps_the_suffix_and_flushes_file_and_folder(tmp_path, monkeypatch):
    flushed: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink())), real(handle))[1])
    target = tmp_path / "new" / "model.keras"
    with files.replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".keras"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"content")
        assert not target.exists()
    assert target.read_bytes() == b"content"
    assert flushed == [str(temporary), str(target.parent)]


def test_what_need_not_be_durable_is_not_flushed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("flushed"))
    files.write_text(tmp_path / "a", "text", durable=False)
    assert (tmp_path / "a").read_text() == "text"
    with pytest.raises(ValueError, match="half way"), files.replacing(tmp_path / "a", durable=False):
        raise ValueError("half way")
    assert (tmp_path / "a").read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_text_keeps_its_line_ends_and_names_that_are_no_unicode(tmp_path):
    files.write_text(tmp_path / "a", "one\r\ntwo\n\udcff")
    assert (tmp_path / "a").read_bytes() == b"one\r\ntwo\n\xff"


def test_only_the_temporary_files_of_killed_processes_are_removed(tmp_path):
    code = "import os, sys; from gansynth_cli import files\nwith files.replacing(sys.argv[1]) as t: t.write_text('x'); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.wav")], check=False)
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    (tmp_path / ".notes.partial").write_text("of the user")
    with files.replacing(tmp_path / "b.wav") as alive:
        assert files.remove_unfinished(tmp_path) == 1
        assert {path.name for path in tmp_path.iterdir()} == {".notes.partial", alive.name}
    assert files.remove_unfinished(tmp_path / "missing") == 0


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_that_of_the_content(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert files.sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
