"""SIGTERM, SIGHUP and a second Ctrl-C end a command soon, with its exit code, and leave neither half files nor processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from .conftest import write_wav

pytestmark = pytest.mark.slow


def children(pid: int) -> set[int]:
    """Process numbers of all descendants that are alive."""
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found |= {int(entry.parent.name)} | children(int(entry.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "signals, code", [([signal.SIGTERM], 143), ([signal.SIGHUP], 129), ([signal.SIGINT], 130), ([signal.SIGINT, signal.SIGINT], 130)]
)
def test_a_signal_ends_enhance(tmp_path: Path, signals: list, code: int):
    for name in ("a.wav", "b.wav"):
        write_wav(tmp_path / "in" / name, 0.1 * np.random.default_rng(0).standard_normal(16000 * 900), 16000)
    command = [sys.executable, "-m", "gansynth_cli", "enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-j", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob(".*.partial*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    started = children(process.pid)
    assert started
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    began = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - began < 10
    assert b"Traceback" not in said

    if len(signals) == 1:
        assert b"resource_tracker" not in said
        assert not list((tmp_path / "out").glob(".*")), "no half file"
    deadline = time.monotonic() + 10
    while alive := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"processes {alive} stay"
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_in_a_long_step_are_ended(tmp_path: Path):
    """Their step takes a minute, and nobody waits for it; what they had begun to write is removed."""
    for name in ("a.wav", "b.wav"):
        write_wav(tmp_path / "in" / name, 0.1 * np.random.default_rng(0).standard_normal(16000 * 60), 16000)
    (tmp_path / "slow_task.py").write_text(SLOW)
    place = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    process = subprocess.Popen([sys.executable, str(tmp_path / "slow_task.py"), str(tmp_path)], env=os.environ | {"PYTHONPATH": place})
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob(".*.partial*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    started = children(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert not list((tmp_path / "out").iterdir())
    deadline = time.monotonic() + 10
    while alive := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"processes {alive} stay"
        time.sleep(0.1)


SLOW = """
import sys, time
from pathlib import Path
from gansynth_cli.inference.files.batch import run_jobs
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.inference.files.task import FileTask, Words
from gansynth_cli.processes import Interrupts

class Slow(FileTask):
    words = Words("slow", "slowed", "Slowing", "slow")
    overwrite = False

    def open(self):
        pass

    def process(self, job, work):
        with work.reader() as reader, work.writer(job.target, reader, reader.tags) as out:
            for block in work.blocks(reader):
                out.write(block)
                time.sleep(60)

if __name__ == "__main__":
    interrupts, folder = Interrupts(), Path(sys.argv[1])
    interrupts.install()
    try:
        run_jobs(Slow(), plan_files(Slow(), [folder / "in"], folder / "out").jobs, workers=2)
    except KeyboardInterrupt:
        sys.exit(interrupts.exit_code(130))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_signal_ends_evaluate(tmp_path: Path):
    """Its workers are in the middle of two minutes of recording, of which PESQ and STOI take longer than a user waits."""
    for folder in ("reference", "estimate"):
        for name in ("a.wav", "b.wav"):
            write_wav(tmp_path / folder / name, 0.1 * np.random.default_rng(len(folder)).standard_normal(16000 * 120), 16000)
    pairs = [str(tmp_path / "estimate"), "--reference", str(tmp_path / "reference"), "-o", str(tmp_path / "report.json")]
    process = subprocess.Popen([sys.executable, "-m", "gansynth_cli", "evaluate", "pairs", *pairs, "-j", "2"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 4 and time.monotonic() < deadline:  # fork server, resource tracker, two workers
        time.sleep(0.1)
    started = children(process.pid)
    assert started
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - began < 10
    assert b"Traceback" not in said
    assert not (tmp_path / "report.json").exists()
    deadline = time.monotonic() + 10
    while alive := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"processes {alive} stay"
        time.sleep(0.1)
