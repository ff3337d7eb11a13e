"""The S3 protocol, spoken by a server on this machine: commands in processes of their own, killed, refused and cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import write_tones

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")
pytestmark = pytest.mark.slow

STOPPED: list[object] = []
BUCKET = "recordings"  # S3 wants three characters at least
PREPARE = ["--labels", "folder", "--sample-rate", "8000", "--clip-samples", "1024", "--detail", "name=d", "--detail", "shards=6", "-j", "2"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("s3") / "tones", takes=6)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[moto_server.ThreadedMotoServer]:
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "GAN_AUDIO_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    files = storage()
    files.mkdir(BUCKET)
    yield running
    if not STOPPED:
        files.rm(BUCKET, recursive=True)
        running.stop()


def storage():
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    return s3fs.S3FileSystem(use_listings_cache=False)


def upload(folder: Path, name: str) -> str:
    files = storage()
    for path in folder.rglob("*.wav"):
        files.put_file(str(path), f"{BUCKET}/{name}/{path.relative_to(folder).as_posix()}")
    return f"s3://{BUCKET}/{name}"


def stored(name: str) -> dict[str, bytes]:
    files = storage()
    return {key.removeprefix(f"{BUCKET}/{name}/"): files.cat_file(key) for key in files.find(f"{BUCKET}/{name}")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(*arguments: object, pauses: str = "[0.0]") -> subprocess.Popen:
    code = f"import sys\nfrom gansynth_cli.stores import store\nstore.PAUSES[:] = {pauses}\nfrom gansynth_cli.cli.app import run\nrun()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def run(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def test_a_data_set(server, tones: Path, tmp_path: Path):
    """Prepared from S3 to S3 in two parts, and merged there."""
    assert run("prepare", tones, "-o", tmp_path / "d", *PREPARE)[0] == 0
    url = upload(tones, "in")
    for part in ("1/2", "2/2"):
        code, _, err = run("prepare", url, "-o", f"s3://{BUCKET}/parts", "--part", part, *PREPARE)
        assert code == 0, err
    code, _, err = run("prepare", "--merge", f"s3://{BUCKET}/parts", "-o", f"s3://{BUCKET}/d")
    assert code == 0, err
    assert stored("d") == contents(tmp_path / "d")


def test_a_killed_job_goes_on(server, tones: Path, tmp_path: Path):
    """SIGKILL in the middle of enhance: what is there is whole, and the same command does the rest."""
    url = upload(tones, "in")
    arguments = ["enhance", url, "-o", f"s3://{BUCKET}/clean", "--fast", "-j", "1"]
    process = start(*arguments)
    for _ in range(600):
        if len(stored("clean")) >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = stored("clean")
    assert 3 <= len(there) < 18, "it was killed too late"
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    assert json.loads(out)["skipped"] == len(there)
    assert run("enhance", tones, "-o", tmp_path / "clean", "--fast", "-q")[0] == 0
    assert stored("clean") == contents(tmp_path / "clean")
    assert not list((tmp_path / "cache" / "work").iterdir()), "the next command sweeps what a killed one left"


def test_a_store_that_vanishes_or_refuses(server, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = upload(tones, "in")
    code, _, err = run("enhance", "s3://no-such-bucket/in", "-o", tmp_path / "x")
    assert code == 2
    assert "s3://no-such-bucket/in does not exist" in err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code, _, err = run("enhance", url, "-o", tmp_path / "x")
    assert code == 1
    assert "access is refused" in err
    assert "AWS_ACCESS_KEY_ID" in err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server.stop()
    STOPPED.append(server)
    code, _, err = run("prepare", url, "-o", tmp_path / "d", *PREPARE)
    assert code == 1
    assert f"{url} cannot be looked up" in err
    assert "Traceback" not in err
