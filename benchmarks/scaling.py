"""What `prepare` and `enhance` cost by files and by hours, with two workers, in parts and through Apache Beam, and what an archive costs.

    python benchmarks/scaling.py                              # recordings made on the spot
    python benchmarks/scaling.py --hours 1e6 --file-seconds 10 --beam .venv-beam/bin/python

Each command runs in a process of its own. CPU seconds (user and system, children included) are the cost: other work on the machine
counts in the wall clock, and hardly in them. Three corpora give three equations: start + files x per file + hours x per hour. Each way is
measured with four files and with all, and the difference, which is what grows with an archive, is compared with that of one job. The bytes
of all ways are compared.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from gansynth_cli.cli import console

RATE = 16000
_SET_CHILD_SUBREAPER = 36  # of prctl(2)
BEAM_PARALLEL = ["--", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]


def make_recordings(folder: Path, count: int, seconds: float, rate: int = RATE) -> Path:
    """Write noise in bursts, 16-bit WAV: the cost of both verbs does not depend on what is heard."""
    generator = np.random.default_rng(count)
    folder.mkdir(parents=True)
    for index in range(count):
        samples = int(rate * seconds)
        envelope = np.sin(np.arange(samples) * 2 * np.pi / rate) ** 2
        soundfile.write(folder / f"{index:06d}.wav", 0.1 * envelope * generator.standard_normal(samples), rate, subtype="PCM_16")
    return folder


def adopt_orphans() -> None:
    """Make this process the parent of what its children leave behind: the servers that their workers are forked from. Linux only."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(python: str, *arguments: object) -> np.ndarray:
    """Run the command line; return [wall, CPU] in seconds, all processes that it starts included."""
    command = [python, "-m", "gansynth_cli", *map(str, arguments)]
    began, cpu = time.perf_counter(), 0.0
    started = os.posix_spawn(python, command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    wall = 0.0
    while True:
        try:
            process, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            return np.array([wall, cpu])
        cpu += used.ru_utime + used.ru_stime
        if process == started:
            wall = time.perf_counter() - began
            if status:
                raise SystemExit(f"{' '.join(command)} ended with status {status}")


def digest(folder: Path) -> str:
    """Return a hash of all names and contents below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(
        repr([(str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]).encode()
    ).hexdigest()


def costs(verb: Sequence[object], corpora: Sequence[tuple[Path, int, float]], scratch: Path) -> np.ndarray:
    """Return CPU seconds [start, per file, per hour] from the corpora (folder, files, seconds of each file)."""
    used = []
    for folder, _, _ in corpora:
        used.append(run(sys.executable, *verb, folder, "-o", scratch / "out", "-j", 1)[1])
        shutil.rmtree(scratch / "out")
    return np.linalg.solve([[1.0, files, files * seconds / 3600] for _, files, seconds in corpora], used)


def ways(verb: Sequence[object], folder: Path, scratch: Path, parts: int, beam: str) -> tuple[dict[str, np.ndarray], bool]:
    """Return way -> [wall, CPU] of doing the same folder in several ways, and whether all wrote the same bytes."""
    name = Path("data")
    found = {"one job": run(sys.executable, *verb, folder, "-o", scratch / "one" / name, "-j", 1)}
    found["two jobs"] = run(sys.executable, *verb, folder, "-o", scratch / "two" / name, "-j", 2)
    prepares = verb[0] == "prepare"
    place = scratch / ("pieces" if prepares else "parts/data")
    steps = [run(sys.executable, *verb, folder, "-o", place, "-j", 1, "--part", f"{i}/{parts}") for i in range(1, parts + 1)]
    if prepares:
        steps.append(run(sys.executable, "prepare", "--merge", place, "-o", scratch / "parts" / name, "-j", 1, "-q"))
        found["the merge alone"] = steps[-1]
    found[f"{parts} parts"] = np.sum(steps, axis=0)
    compared = [["one", "two", "parts"]]
    if beam:
        found["Beam"] = run(beam, *verb, folder, "-o", scratch / "beam" / name, "--runner", f"beam:{parts}")
        found["Beam, 2 workers"] = run(beam, *verb, folder, "-o", scratch / "beam2" / name, "--runner", f"beam:{parts}", *BEAM_PARALLEL)
        if prepares:
            compared[0] += ["beam", "beam2"]
        else:  # an environment of its own may have another linear algebra, and enhance other last bits
            compared.append(["beam", "beam2"])
    same = all(len({digest(scratch / way) for way in group}) == 1 for group in compared)
    for made in scratch.iterdir():
        if not made.name.startswith("in"):
            shutil.rmtree(made)
    return found, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=6000, help="short recordings (1 s) for prepare; a sixtieth for enhance")
    parser.add_argument("--minutes", type=float, default=20.0, help="long recordings (4 of them) for prepare; a twentieth for enhance")
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--beam", default="", help="a Python with gan-audio and apache-beam; without it Beam is not measured")
    parser.add_argument("--hours", type=float, default=1e6, help="of the archive whose cost is told")
    parser.add_argument("--file-seconds", type=float, default=10.0, help="mean length of its recordings")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console.configure(json_output=arguments.json)
    adopt_orphans()
    verbs = {
        "prepare": (["prepare", "-q", "--sample-rate", RATE, "--clip-samples", RATE], 1),
        "enhance": (["enhance", "-q"], 60),
    }
    results: dict[str, object] = {}
    rows, archive = [], []
    for title, (verb, divisor) in verbs.items():
        with tempfile.TemporaryDirectory() as temporary:
            scratch = Path(temporary)
            files, seconds = arguments.files // divisor, arguments.minutes * 15 / min(divisor, 20)
            corpora = [(make_recordings(scratch / f"in{i}", n, s), n, s) for i, (n, s) in enumerate([(4, 1.0), (files, 1.0), (4, seconds)])]
            start, per_file, per_hour = costs(verb, corpora, scratch)
            few, _ = ways(verb, corpora[0][0], scratch, arguments.parts, arguments.beam)
            found, same = ways(verb, corpora[1][0], scratch, arguments.parts, arguments.beam)
        more = {way: used - few[way] for way, used in found.items()}
        for way, used in found.items():
            numbers = (few[way][1], used[1], more[way][1], more[way][1] / more["one job"][1], used[0])
            rows.append([title, way, *(round(float(number), 2) for number in numbers)])
        total = arguments.hours * (per_hour + per_file * 3600 / arguments.file_seconds) / 3600
        archive.append([title, f"{start:.2f}", f"{1000 * per_file:.2f}", f"{per_hour:.1f}", f"{total:,.0f}", "yes" if same else "NO"])
        results[title] = {"start": start, "per_file": per_file, "per_hour": per_hour, "archive_cpu_hours": total, "same_bytes": same}
        results[title] |= {"ways": {way: [*few[way].tolist(), *used.tolist()] for way, used in found.items()}}  # type: ignore[operator]
    columns = ["verb", "way", "4 files, CPU s", "all files, CPU s", "difference", "its ratio", "wall, s"]
    console.table("The same recordings in several ways", columns, rows)
    what = f"CPU hours for {arguments.hours:,.0f} hours in files of {arguments.file_seconds:g} s"
    console.table("CPU seconds", ["verb", "start, s", "per file, ms", "per hour, s", what, "same bytes"], archive)
    console.result(results)


if __name__ == "__main__":
    main()
