"""The sub-commands of `gan-audio evaluate`: their options, the old spelling, output formats."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

from gansynth_cli.cli import evaluate
from gansynth_cli.cli.app import main
from gansynth_cli.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE

from .conftest import write_wav

SUBCOMMANDS = ("clips", "notes", "pairs", "vocoders", "voices", "figures")


def options_of(name: str) -> dict[str, typer.core.TyperOption]:
    command = typer.main.get_command(evaluate.app).commands[name]
    return {option: parameter for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_each_sub_command_has_its_own_options():
    assert tuple(typer.main.get_command(evaluate.app).commands) == SUBCOMMANDS
    shared = {"--output", "--overwrite", "--format", "--json", "--quiet"}
    own = {name: set(options_of(name)) - shared for name in SUBCOMMANDS}
    assert own["clips"] == {
        *("--data", "--labels-from", "--label-pattern", "--clips", "--splits", "--bins"),
        *("--closest", "--pitch-labels", "--seed", "--retrain", "--cache"),
    }
    assert own["notes"] == {"--data", "--clips", "--seed", "--retrain", "--cache"}
    assert own["pairs"] == {
        *(
            "--reference",
            "--noisy",
            "--baseline",
            "--metrics",
            "--sample-rate",
            "--align",
            "--snr-bins",
            "--snr-pattern",
            "--jobs",
            "--whisper",
        ),
    }
    assert own["vocoders"] == {"--recordings", "--metrics", "--keep", "--jobs"}
    assert own["voices"] == {
        "--data",
        "--source",
        "--target",
        "--text",
        "--words",
        "--whisper",
        "--model",
        "--seed",
        "--retrain",
        "--cache",
    }
    for name in SUBCOMMANDS[:5]:
        assert shared <= set(options_of(name))


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_answers_without_tensorflow(name, capsys):
    assert main(["evaluate", name, "--help"]) == EXIT_OK
    assert "Usage: gan-audio evaluate" in capsys.readouterr().out


def test_definitions_and_help_load_no_tensorflow():
    code = (
        "import sys; from gansynth_cli.cli.app import main; main(['evaluate', '--help']); main(['evaluate', 'figures']); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


# The old spelling


@pytest.mark.parametrize(
    "old, new",
    [
        ("clips/ --data D -o r.json", "clips clips/ --data D -o r.json"),
        ("--data D", "clips --data D"),
        ("--data=D clips/ more/", "clips --data=D clips/ more/"),
        ("--reference clean/ --noisy noisy/ enhanced/ -j 4", "pairs --reference clean/ --noisy noisy/ enhanced/ -j 4"),
        ("RUN --copy-synthesis rec/ --keep out", "vocoders RUN --recordings rec/ --keep out"),
        ("made/ --conversion D --source rec/ --words", "voices made/ --data D --source rec/ --words"),
        ("made/ --conversion=D", "voices made/ --data=D"),
        ("'my clips' --data 'a b'", "clips 'my clips' --data 'a b'"),
        ("voices made/ --conversion D", "voices made/ --data D"),  # half new
        ("vocoders RUN --copy-synthesis rec", "vocoders RUN --recordings rec"),
        ("pairs --conversion D", "voices pairs --data D"),  # a folder named like another sub-command
    ],
)
def test_the_old_spelling_is_answered_with_the_new_one(old, new, capsys):
    assert main(["evaluate", *shlex.split(old)]) == EXIT_USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.rstrip().endswith(f"hint: gan-audio evaluate {new}")


def test_a_folder_with_the_name_of_a_sub_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voices").mkdir()
    assert main(["evaluate", "voices", "--conversion", "D"]) == EXIT_USAGE
    assert "hint: gan-audio evaluate voices voices --data D" in capsys.readouterr().err


def test_what_is_printed_can_be_typed(tmp_path, monkeypatch, capsys):
    """The command line of the hint runs as it stands."""
    monkeypatch.chdir(tmp_path)
    for folder in ("my clean", "made"):
        write_wav(tmp_path / folder / "a.wav", 0.1 * np.sin(np.arange(8000)), 8000)
    assert main(["evaluate", "--reference", "my clean", "made", "--metrics", "snr"]) == EXIT_USAGE
    hint = capsys.readouterr().err.rstrip().rpartition("hint: gan-audio ")[2]
    assert main(shlex.split(hint)) == EXIT_OK
    assert "SNR, dB" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message, hint",
    [
        (["--reference", "a", "--data", "b"], "--data and --reference belong to different sub-commands", "evaluate pairs ... --reference"),
        (["clip", "x", "--json"], "has no command 'clip'", "did you mean gan-audio evaluate clips?"),
        (["zzz"], "has no command 'zzz'", "gan-audio evaluate --help lists the commands"),
        (["--json"], "No such option: --json", "gan-audio evaluate --help lists the options"),
    ],
)
def test_without_a_sub_command(arguments, message, hint, capsys):
    assert main(["evaluate", *arguments]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert message in said
    assert hint in said


def test_nothing_at_all_prints_the_help(capsys):
    assert main(["evaluate"]) in (EXIT_OK, EXIT_USAGE)  # click below 8.2 takes help for success
    said = capsys.readouterr()
    for name in SUBCOMMANDS:
        assert name in said.out + said.err


# Output


@pytest.fixture
def compared(tmp_path: Path, monkeypatch) -> list[str]:
    """Two systems against a reference; one lacks a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    for take in range(2):
        clean = 0.1 * rng.standard_normal(8000)
        write_wav(tmp_path / "clean" / f"{take}.wav", clean, 8000, "FLOAT")
        write_wav(tmp_path / "good" / f"{take}.wav", clean + 0.01 * rng.standard_normal(8000), 8000, "FLOAT")
        if not take:
            write_wav(tmp_path / "bad" / f"{take}.wav", clean + 0.1 * rng.standard_normal(8000), 8000, "FLOAT")
    return ["evaluate", "pairs", "good", "bad", "--reference", "clean", "--metrics", "snr,correlation,psnr,ssim,lsd,mr_stft,mel_l1,mcd"]


def test_the_table_fits_eighty_columns(compared, capsys):
    assert main(compared) == EXIT_FAILED
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split() == ["figure", "good", "bad"]
    assert max(map(len, lines)) <= 80
    assert lines[3].split() == ["failed", "0", "1"]
    assert "bad: 1: not measured: no such file" in said.err


def test_formats(compared, capsys):
    assert main([*compared, "--json"]) == EXIT_FAILED
    report = json.loads(capsys.readouterr().out)
    assert (report["kind"], report["report_version"]) == ("pairs", 2)
    assert main([*compared, "--format", "json"]) == EXIT_FAILED
    assert json.loads(capsys.readouterr().out)["systems"] == report["systems"]
    assert main([*compared, "--format", "csv"]) == EXIT_FAILED
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = {(row["system"], row["figure"]): row["value"] for row in rows}
    assert float(found["good", "snr"]) == report["systems"][0]["figures"]["snr"]["value"]
    assert main([*compared, "--format", "md"]) == EXIT_FAILED
    assert "| figure | good | bad |" in capsys.readouterr().out


def test_the_report_is_written_in_the_format_of_its_name(compared, tmp_path, capsys):
    for name in ("r.json", "r.csv", "r.md", "r"):
        assert main([*compared, "-q", "-o", name]) == EXIT_FAILED
    capsys.readouterr()
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads((tmp_path / "r").read_text())
    assert (tmp_path / "r.csv").read_text().startswith("system,group,figure,value,")
    assert (tmp_path / "r.md").read_text().startswith("| figure |")
    (tmp_path / "file").write_text("")
    assert main([*compared, "-o", "file/r.json"]) == EXIT_FAILED
    assert "cannot be written" in capsys.readouterr().err


def test_formats_that_are_refused(compared, capsys):
    for options, message in (
        (["--format", "xml"], "expected one of table, csv, md, json"),
        (["--json", "--format", "csv"], "cannot be combined"),
    ):
        assert main([*compared, *options]) == EXIT_USAGE
        assert message in capsys.readouterr().err


def test_many_failures_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for take in range(14):
        write_wav(tmp_path / "clean" / f"{take:02d}.wav", np.zeros(8000) if take else 0.1 * np.ones(8000), 8000)
        write_wav(tmp_path / "made" / f"{take:02d}.wav", np.full(8000, 0.1), 8000)
    assert main(["evaluate", "pairs", "made", "--reference", "clean", "--metrics", "snr,psnr"]) == EXIT_OK
    said = capsys.readouterr().err
    assert said.count("SNR, PSNR: the reference is silent") == 10  # one line for a file and a reason
    assert "3 more failures" in said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed in /proc")
def test_no_process_is_left_when_the_command_is_terminated(tmp_path):
    """The measuring processes end with the one that started them."""
    rng = np.random.default_rng(0)
    for take in range(8):
        write_wav(tmp_path / "clean" / f"{take}.wav", 0.1 * rng.standard_normal(160_000), 16000)
        write_wav(tmp_path / "made" / f"{take}.wav", 0.1 * rng.standard_normal(160_000), 16000)
    command = ["evaluate", "pairs", tmp_path / "made", "--reference", tmp_path / "clean", "--metrics", "all", "-j", "2", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gansynth_cli", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started: set[int] = set()
    for _ in range(600):
        started |= children_of(process.pid)
        if len(started) >= 4 or process.poll() is not None:  # the fork server, its tracker, two workers
            break
        time.sleep(0.1)
    assert len(started) >= 4
    process.terminate()
    process.wait(30)
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in started):
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {[pid for pid in started if Path(f'/proc/{pid}').exists()]}")


def children_of(pid: int) -> set[int]:
    """Process ids of all descendants."""
    try:
        own = {int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()}
    except OSError:
        return set()
    return own.union(*map(children_of, own)) if own else own


def test_a_forgotten_folder_of_clips_is_pointed_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    assert main(["evaluate", "clips", "--data", "nowhere"]) == EXIT_FAILED
    assert "gan-audio evaluate clips clips --data nowhere" in capsys.readouterr().err
