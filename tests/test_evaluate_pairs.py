"""`gan-audio evaluate pairs`: matching, failures, SNR, delays, and its answers to bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from gansynth_cli.cli.app import main
from gansynth_cli.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from gansynth_cli.metrics.pairs import matching, waveform

from .conftest import write_wav

RATE = 16000
CORE = "si_sdr,segmental_snr,correlation,psnr,ssim,lsd,snr,mr_stft,mel_l1,mcd"  # needs no extra


def speech(seed: int, seconds: float = 1.5) -> np.ndarray:
    """Syllables: harmonics of a gliding pitch with pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(rng.uniform(100, 220) * (1 + 0.1 * np.sin(2 * np.pi * 2 * t))) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    return 0.1 * voice * np.clip(np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)), 0, 1)


def noise(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng([seed, 7]).standard_normal(samples)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """clean/, noisy/ at 0 and 10 dB, better/ with the noise 12 dB down, in nested folders and different containers."""
    for index, snr in enumerate((0, 10, 0, 10)):
        name = f"speaker{index % 2}/take{index}"
        clean = speech(index)
        background = noise(index, len(clean))
        background *= np.sqrt(waveform.active_power(clean, RATE) / np.mean(background**2) / 10 ** (snr / 10))
        write_wav(tmp_path / "clean" / f"{name}.wav", clean, RATE, "FLOAT")
        write_wav(tmp_path / "noisy" / f"{name}.wav", clean + background, RATE, "FLOAT")
        write_wav(tmp_path / "better" / f"{name}.flac", clean + background / 4, RATE)
    return tmp_path


def run(capsys, *arguments: object) -> tuple[int, dict, str]:
    code = main(["evaluate", "pairs", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else {}, said.err


def by_name(report: dict) -> dict[str, dict]:
    return {entry["name"]: entry for entry in report["systems"]}


def test_enhancement_by_snr_beside_the_noisy_input(corpus, capsys):
    code, report, _ = run(capsys, "--reference", corpus / "clean", "--noisy", corpus / "noisy", corpus / "better", "--metrics", CORE)
    assert code == EXIT_OK
    assert report["kind"] == "pairs"
    noisy, better = report["systems"]
    assert (noisy["name"], noisy["role"], better["name"]) == ("noisy input", "noisy", "better")
    assert list(noisy["groups"]) == ["0 dB", "10 dB"]
    assert [part["files"] for part in noisy["groups"].values()] == [2, 2]
    for key, direction in (("si_sdr", 1), ("segmental_snr", 1), ("correlation", 1), ("psnr", 1), ("ssim", 1), ("lsd", -1), ("mel_l1", -1)):
        assert direction * (better["figures"][key]["value"] - noisy["figures"][key]["value"]) > 0, key
        assert report["figures"][key]["better"] == ("higher" if direction > 0 else "lower")
    gain = better["difference"]["figures"]["si_sdr"]
    assert gain["value"] == pytest.approx(20 * np.log10(4), abs=0.3)
    assert gain["n"] == 4
    for label in ("0 dB", "10 dB"):
        gap = better["groups"][label]["figures"]["snr"]["value"] - noisy["groups"][label]["figures"]["snr"]["value"]
        assert gap == pytest.approx(20 * np.log10(4), abs=0.3)
    assert better["failures"] == []
    assert len(report["files"]) == 8


def test_the_mode_needs_no_tensorflow():
    code = "import sys, gansynth_cli.cli.evaluate, gansynth_cli.metrics.pairs.report; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def rounded(value):
    """Every number in it to nine digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_the_table_and_the_written_report(corpus, capsys, tmp_path):
    output = tmp_path / "reports" / "report.json"
    arguments = ["evaluate", "pairs", "--reference", str(corpus / "clean"), "--noisy", str(corpus / "noisy"), str(corpus / "better")]
    assert main([*arguments, "--metrics", "si_sdr,lsd", "-o", str(output), "-j", "2"]) == EXIT_OK
    said = capsys.readouterr()
    for word in ("0 dB, 2 files", "10 dB, 2 files", "noisy input", "better", "SI-SDR, dB ↑", "LSD ↓"):
        assert word in said.out
    assert re.search(r"better +4 +0 ", said.out)  # files, failed
    written = json.loads(output.read_text())
    one_process = run(capsys, *arguments[2:], "--metrics", "si_sdr,lsd")[1]
    assert rounded(written["systems"]) == rounded(one_process["systems"])  # the last digits depend on the number of threads
    assert main([*arguments, "-o", str(output)]) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err


def test_snr_from_the_name_and_from_given_bins(corpus, capsys):
    common = ["--reference", corpus / "clean", "--noisy", corpus / "noisy", "--metrics", "si_sdr"]
    _, report, _ = run(capsys, *common, "--snr-bins", "-3,7")
    assert list(report["systems"][0]["groups"]) == ["-3 dB", "7 dB"]
    _, report, _ = run(capsys, *common, "--snr-pattern", r"take(?P<snr>\d)")
    assert list(report["systems"][0]["groups"]) == ["0 dB", "1 dB", "2 dB", "3 dB"]
    assert run(capsys, *common, "--snr-pattern", "take")[0] == EXIT_USAGE
    assert run(capsys, *common, "--snr-pattern", "(")[0] == EXIT_USAGE
    assert run(capsys, *common, "--snr-bins", "low")[0] == EXIT_USAGE


def test_inputs_above_60_db_are_clean(tmp_path, capsys):
    for name, snr in (("a", 45), ("b", 75)):
        clean = speech(1)
        background = noise(1, len(clean))
        background *= np.sqrt(waveform.active_power(clean, RATE) / np.mean(background**2) / 10 ** (snr / 10))
        write_wav(tmp_path / "clean" / f"{name}.wav", clean, RATE, "FLOAT")
        write_wav(tmp_path / "noisy" / f"{name}.wav", clean + background, RATE, "FLOAT")
    _, report, _ = run(capsys, "--reference", tmp_path / "clean", "--noisy", tmp_path / "noisy", "--metrics", "snr")
    assert {name: group["files"] for name, group in report["systems"][0]["groups"].items()} == {"45 dB": 1, "clean": 1}


def test_nothing_is_dropped(corpus, capsys):
    folder = corpus / "better"
    (folder / "speaker0/take0.flac").unlink()
    (folder / "speaker1/take1.flac").write_bytes(b"no audio at all")
    write_wav(folder / "speaker0/take2.flac", np.zeros(24000), RATE)
    write_wav(folder / "stranger.wav", np.ones(100), RATE)
    arguments = ["--reference", corpus / "clean", "--noisy", corpus / "noisy", folder, "--metrics", "si_sdr,mel_l1"]
    code, report, said = run(capsys, *arguments)
    assert code == EXIT_FAILED
    better = by_name(report)["better"]
    assert (better["files"], better["failed"]) == (4, 2)
    figures = better["figures"]
    assert (figures["si_sdr"]["n"], figures["si_sdr"]["failed"]) == (1, 3)
    assert (figures["mel_l1"]["n"], figures["mel_l1"]["failed"]) == (2, 2)
    assert {(f["file"], f["figure"]) for f in better["failures"]} == {
        ("speaker0/take0", "all"),
        ("speaker1/take1", "all"),
        ("speaker0/take2", "si_sdr"),
    }
    assert "no such file" in said
    assert "the estimate is silent" in said
    assert any("stranger" in note for note in report["notes"])
    assert any("over different files" in note and "SI-SDR" in note for note in report["notes"])


def test_a_silent_reference_and_a_noisy_input_without_noise(tmp_path, capsys):
    write_wav(tmp_path / "clean/a.wav", np.zeros(RATE), RATE)
    write_wav(tmp_path / "noisy/a.wav", 0.1 * noise(0, RATE), RATE)
    write_wav(tmp_path / "clean/b.wav", speech(1), RATE, "FLOAT")
    write_wav(tmp_path / "noisy/b.wav", speech(1), RATE, "FLOAT")
    code, report, _ = run(capsys, "--reference", tmp_path / "clean", "--noisy", tmp_path / "noisy", "--metrics", "si_sdr")
    assert code == EXIT_OK  # both files were read and compared; one has no SI-SDR
    entry = report["systems"][0]
    assert entry["failures"] == [{"file": "a", "figure": "si_sdr", "reason": "the reference is silent"}]
    assert entry["groups"]["clean"]["files"] == 1
    assert entry["figures"]["si_sdr"]["n"] == 1


def test_delay_length_and_rate_are_said(corpus, capsys, tmp_path):
    for path in sorted((corpus / "clean").rglob("*.wav")):
        audio, _ = soundfile.read(path)
        name = path.relative_to(corpus / "clean")
        write_wav(tmp_path / "late" / name, np.concatenate([np.zeros(160), audio])[: len(audio) + 40], RATE, "FLOAT")
        write_wav(tmp_path / "slow" / name, audio[::2], RATE // 2, "FLOAT")
        write_wav(tmp_path / "long" / name, np.pad(audio, (0, RATE)), RATE, "FLOAT")
    common = ["--reference", corpus / "clean", tmp_path / "late", "--metrics", "si_sdr"]
    code, report, _ = run(capsys, *common)
    late = report["systems"][0]
    assert code == EXIT_OK
    assert late["lag_samples_median"] == 160
    assert late["figures"]["si_sdr"]["value"] < 10
    assert any("160 samples late" in note and "--align" in note for note in report["notes"])
    assert any("differ in length, by up to 40 samples" in note for note in report["notes"])
    shifted = lambda audio, index: np.roll(audio, (index - 2) * 150)
    for index, path in enumerate(sorted((corpus / "clean").rglob("*.wav"))):
        name = path.relative_to(corpus / "clean")
        write_wav(tmp_path / "any" / name, shifted(soundfile.read(path)[0], index), RATE, "FLOAT")
    _, report, _ = run(capsys, *common[:2], tmp_path / "any", "--metrics", "si_sdr")
    assert not any("late" in note for note in report["notes"])  # no delay of the system: each file has another
    _, report, _ = run(capsys, *common, "--align")
    assert report["systems"][0]["figures"]["si_sdr"]["value"] > 60
    _, report, _ = run(capsys, "--reference", corpus / "clean", tmp_path / "slow", "--metrics", "si_sdr")
    assert any("resampled" in note and "8000 Hz" in note for note in report["notes"])
    code, report, _ = run(capsys, "--reference", corpus / "clean", tmp_path / "long", "--metrics", "si_sdr")
    assert code == EXIT_FAILED
    assert report["systems"][0]["failures"][0]["reason"] == "1 s longer than the reference"


def test_channels_are_measured_apart(tmp_path, capsys):
    clean = np.stack([speech(0), speech(1)], axis=1)
    broken = clean.copy()
    broken[:, 1] = 0
    write_wav(tmp_path / "clean/a.wav", clean, RATE, "FLOAT")
    write_wav(tmp_path / "both/a.wav", clean + 0.01 * noise(0, clean.size).reshape(clean.shape), RATE, "FLOAT")
    write_wav(tmp_path / "broken/a.wav", broken, RATE, "FLOAT")
    write_wav(tmp_path / "mono/a.wav", clean[:, 0], RATE, "FLOAT")
    folders = [tmp_path / name for name in ("both", "broken", "mono")]
    _, report, _ = run(capsys, "--reference", tmp_path / "clean", *folders, "--metrics", "si_sdr")
    found = by_name(report)
    both, _ = soundfile.read(tmp_path / "both/a.wav")
    expected = np.mean([waveform.si_sdr(clean[:, c], both[:, c]) for c in range(2)])
    assert found["both"]["figures"]["si_sdr"]["value"] == pytest.approx(expected, abs=1e-3)
    assert found["broken"]["failures"][0]["reason"] == "channel 2: the estimate is silent"
    assert found["mono"]["failures"][0]["reason"] == "1 channels; the reference has 2"


def test_one_file_against_one_file(tmp_path, capsys):
    write_wav(tmp_path / "original.wav", speech(0), RATE)
    write_wav(tmp_path / "copy.wav", 0.5 * speech(0), RATE)
    code, report, _ = run(capsys, "--reference", tmp_path / "original.wav", tmp_path / "copy.wav", "--metrics", "si_sdr,correlation")
    assert code == EXIT_OK
    assert report["kind"] == "pairs"
    assert report["systems"][0]["figures"]["correlation"]["value"] == pytest.approx(1.0, abs=1e-4)
    write_wav(tmp_path / "copies/original.wav", 0.25 * speech(0), RATE)
    code, report, _ = run(capsys, "--reference", tmp_path / "original.wav", tmp_path / "copies", "--metrics", "correlation")
    assert (code, report["systems"][0]["figures"]["correlation"]["n"]) == (EXIT_OK, 1)


def test_what_is_won_over_a_baseline(corpus, capsys):
    """Half the level is a mel distance of ln 2, a quarter one of ln 4; a file that only one of them has is in no difference."""
    for path in sorted((corpus / "clean").rglob("*.wav")):
        audio, _ = soundfile.read(path)
        name = path.relative_to(corpus / "clean")
        loud = audio + 0.01 * noise(0, len(audio))  # above the floor of the logarithm everywhere
        write_wav(corpus / "loud" / name, loud, RATE, "FLOAT")
        write_wav(corpus / "half" / name, 0.5 * loud, RATE, "FLOAT")
        write_wav(corpus / "quarter" / name, 0.25 * loud, RATE, "FLOAT")
    (corpus / "half/speaker0/take0.wav").unlink()
    arguments = [
        "evaluate",
        "pairs",
        "--reference",
        corpus / "loud",
        "--baseline",
        corpus / "quarter",
        corpus / "half",
        "--metrics",
        "mel_l1,mcd",
    ]
    code, report, _ = run(capsys, *arguments[2:])
    assert code == EXIT_FAILED  # one file is missing
    assert [(entry["name"], entry["role"]) for entry in report["systems"]] == [("quarter", "baseline"), ("half", "system")]
    won = report["systems"][1]["difference"]["figures"]["mel_l1"]
    assert won["value"] == pytest.approx(-np.log(2), abs=1e-3)
    assert (won["n"], won["better"]) == (3, 3)
    assert won["standard_error"] < 1e-3
    assert main([*map(str, arguments)]) == EXIT_FAILED
    assert "-0.693 ± 0.000 (3/3)" in capsys.readouterr().out


def test_pairs_are_compared_at_a_rate_of_choice(tmp_path, capsys):
    """A copy that ends at 4 kHz is the reference itself at 8 kHz, and misses half of it at 16 kHz."""
    audio = 0.1 * noise(3, 2 * RATE)
    low = soxr.resample(audio, RATE, RATE // 2)
    write_wav(tmp_path / "whole/a.wav", audio, RATE, "FLOAT")
    write_wav(tmp_path / "low/a.wav", low, RATE // 2, "FLOAT")
    common = ["--reference", tmp_path / "whole", tmp_path / "low", "--metrics", "si_sdr"]
    figure = lambda report: report["systems"][0]["figures"]["si_sdr"]["value"]
    _, report, _ = run(capsys, *common, "--sample-rate", 8000)
    assert figure(report) > 60
    assert report["systems"][0]["resampled"] == 0
    _, report, _ = run(capsys, *common)
    assert figure(report) < 5
    assert report["systems"][0]["resampled"] == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("better",), "Missing option '--reference'"),
        (("--reference", "clean"), "Nothing to compare"),
        (("--reference", "clean", "better", "--bins", "9"), "No such option: --bins"),
        (("--reference", "clean", "better", "--metrics", "pesk"), "no measure 'pesk'"),
        (("--reference", "clean", "clean/speaker0/take0.wav"), "one of the inputs is a file"),
        (("--reference", "nowhere", "better"), "does not exist"),
        (("--reference", "clean", "--noisy", "noisy", "--baseline", "better"), "were both given"),
        (("--reference", "clean", "better", "--keep", "out"), "No such option: --keep"),
        (("--reference", "clean", "better", "better"), "given twice"),
    ],
)
def test_bad_input_is_named(corpus, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(corpus)
    code, _, said = run(capsys, *arguments)
    assert code == EXIT_USAGE
    assert words in said


def test_names_that_do_not_fit(corpus, capsys):
    write_wav(corpus / "other/x.wav", speech(0), RATE)
    code, _, said = run(capsys, "--reference", corpus / "clean", corpus / "other", "--metrics", "si_sdr")
    assert code == EXIT_FAILED
    assert "matched by their path" in said
    write_wav(corpus / "clean/speaker0/take0.flac", speech(0), RATE)
    code, _, said = run(capsys, "--reference", corpus / "clean", corpus / "better", "--metrics", "si_sdr")
    assert code == EXIT_FAILED
    assert "have one name" in said


def test_a_flat_folder_is_matched_by_unique_names(corpus):
    for path in (corpus / "better").rglob("*.flac"):
        path.rename(corpus / "better" / path.name)
    tasks, notes = matching.match_files(corpus / "clean", {"better": corpus / "better"})
    assert not notes
    assert [(task.name, task.estimates[0][1].stem) for task in tasks] == [(task.name, Path(task.name).name) for task in tasks]


def test_the_measures_of_a_missing_package(corpus, capsys, monkeypatch):
    from gansynth_cli.metrics import figure

    monkeypatch.setattr(figure, "find_spec", lambda name: None)
    code, report, _ = run(capsys, "--reference", corpus / "clean", corpus / "better")
    assert code == EXIT_OK
    assert set(report["figures"]) == {"mr_stft", "mel_l1", "mcd", "lsd", "ssim", "correlation"}
    assert any("PESQ-WB" in note and "gan-audio[metrics]" in note for note in report["notes"])
    code, _, said = run(capsys, "--reference", corpus / "clean", corpus / "better", "--metrics", "pesq")
    assert code == EXIT_FAILED
    assert "pip install 'gan-audio[metrics]'" in said
