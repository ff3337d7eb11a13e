"""`gan-audio convert` on files and folders: what comes out fits what went in, is marked, and what cannot be done is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.loudness import loudness_lufs
from gansynth_cli.inference.convert import synthesis
from gansynth_cli.inference.files import batch
from gansynth_cli.signal.pitch import ln_f0_contour

from .conftest import write_wav
from .convert_fakes import CONVENTION, DOMAINS, voice, with_pauses, write_converter

ROOT = Path(__file__).parent.parent
CONSENT = "Recorded with the speakers' consent, 2026."


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_converter(tmp_path_factory.mktemp("model") / "formula.keras")


def run(arguments, capsys) -> tuple[int, str, str]:
    code = main(["convert", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def pitch_of(path: Path) -> float:
    audio, _ = audio_file.read(path, sample_rate=8000, channels=1)
    contour = ln_f0_contour(audio[:, 0], CONVENTION)
    return float(np.exp(np.median(contour[contour > 0])))


def test_a_folder_becomes_a_folder(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    write_wav(folder / "a.wav", with_pauses(3.0))
    write_wav(folder / "deep" / "stereo 44.wav", np.stack([voice(3.0, 44100), 0.3 * voice(3.0, 44100)], axis=1), 44100, "PCM_24")
    soundfile.write(folder / "c.flac", voice(2.0, 16000), 16000)
    code, out, err = run([folder, "-o", tmp_path / "out", "--to", "carla", "--from", "anna", "--model", model, "--json"], capsys)
    assert code == 0, err
    assert "RTF" in err
    assert [file["status"] for file in json.loads(out)["files"]] == ["done"] * 3
    for name in ("a.wav", "deep/stereo 44.wav", "c.flac"):
        before, after = (audio_file.probe(place / name) for place in (folder, tmp_path / "out"))
        assert (before.sample_rate, before.channels, before.frames, before.subtype) == (
            after.sample_rate,
            after.channels,
            after.frames,
            after.subtype,
        )
        assert pitch_of(tmp_path / "out" / name) == pytest.approx(240, rel=0.06)  # carla's
        sounds = [audio_file.read(place / name) for place in (folder, tmp_path / "out")]
        assert abs(loudness_lufs([sounds[0][0]], sounds[0][1]) - loudness_lufs([sounds[1][0]], sounds[1][1])) < 1.0
        mark = audio_file.read_tag(tmp_path / "out" / name)
        assert mark["synthetic"] is True
        assert (mark["converted_from"], mark["converted_to"], mark["consent"]) == ("anna", "carla", CONSENT)
        assert len(mark["model"]) == 64
    stereo, _ = audio_file.read(tmp_path / "out" / "deep" / "stereo 44.wav")
    np.testing.assert_allclose(stereo[:, 1], 0.3 * stereo[:, 0], atol=2e-3)  # in its place
    source, made = (audio_file.read(place / "a.wav")[0][:, 0] for place in (folder, tmp_path / "out"))
    t = np.arange(len(source)) / 8000
    assert not made[(t % 2 > 1.57) & (t % 2 < 1.93)].any()  # exact silence stays
    assert np.abs(made - source).max() > 0.05


def test_an_existing_output_is_kept_and_info_reads_the_mark(model: Path, tmp_path: Path, capsys):
    source = write_wav(tmp_path / "a.wav", voice(1.0))
    asked = [source, "-o", tmp_path / "out.flac", "--to", "bruno", "--model", model, "--sidecar", "--pitch", "12"]
    assert run(asked, capsys)[0] == 0
    assert pitch_of(tmp_path / "out.flac") == pytest.approx(2 * pitch_of(source), rel=0.05)
    before = (tmp_path / "out.flac").read_bytes()
    code, _, err = run(asked, capsys)
    assert code == 0
    assert "1 skipped" in err
    assert (tmp_path / "out.flac").read_bytes() == before
    sidecar = json.loads((tmp_path / "out.flac.json").read_text())
    assert sidecar["synthetic"] is True
    assert (sidecar["pitch"], sidecar["samples"]) == (12.0, 8000)
    assert main(["info", str(tmp_path / "out.flac"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["synthetic"] is True
    assert facts["consent"] == CONSENT
    assert facts["mark"]["converted_to"] == "bruno"


def test_a_container_without_room_gets_a_sidecar(model: Path, tmp_path: Path, capsys):
    soundfile.write(tmp_path / "a.w64", voice(1.0), 8000, format="W64", subtype="PCM_16")
    code, _, err = run([tmp_path / "a.w64", "-o", tmp_path / "out", "--to", "bruno", "--model", model], capsys)
    assert code == 0
    assert "holds no provenance tag: it is in a.w64.json" in err
    assert main(["info", str(tmp_path / "out" / "a.w64"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["synthetic"] is True


def test_anonymous_recordings_do_not_say_who_it_was(model: Path, tmp_path: Path, capsys):
    source = tmp_path / "a.flac"
    with soundfile.SoundFile(source, "w", 8000, 1) as file:
        file.artist = "Anna"
        file.write(voice(1.0))
    base = [source, "--model", model, "--anonymize", "--from", "anna"]
    for seed in (1, 1, 2):
        assert run([*base, "--seed", seed, "-o", tmp_path / f"{seed}.flac", "--overwrite"], capsys)[0] == 0
        if seed == 1:
            first = audio_file.read(tmp_path / "1.flac")[0]
    np.testing.assert_array_equal(audio_file.read(tmp_path / "1.flac")[0], first)
    assert np.abs(audio_file.read(tmp_path / "2.flac")[0] - first).max() > 0.01
    mark = audio_file.read_tag(tmp_path / "1.flac")
    assert mark["anonymized"] is True
    assert "anna" not in json.dumps({key: text for key, text in mark.items() if key != "consent"}).lower()
    with soundfile.SoundFile(tmp_path / "1.flac") as file:
        assert file.artist == ""
    assert pitch_of(tmp_path / "1.flac") > 1.2 * pitch_of(source)


def test_keeping_the_pitch_and_the_strength(model: Path, tmp_path: Path, capsys):
    source = write_wav(tmp_path / "a.wav", voice(2.0))
    base = [source, "--to", "carla", "--from", "anna", "--model", model]
    assert run([*base, "-o", tmp_path / "kept.wav", "--keep-f0"], capsys)[0] == 0
    assert pitch_of(tmp_path / "kept.wav") == pytest.approx(pitch_of(source), rel=0.02)
    assert audio_file.read_tag(tmp_path / "kept.wav")["vocoder"] == "filter"
    assert run([*base, "-o", tmp_path / "half.wav", "--strength", "0.5"], capsys)[0] == 0
    assert pitch_of(tmp_path / "half.wav") == pytest.approx(np.sqrt(pitch_of(source) * 240), rel=0.06)
    # Beyond 1 the spectra go on, the pitch stays the target's.
    assert run([*base, "-o", tmp_path / "whole.wav"], capsys)[0] == 0
    assert run([*base, "-o", tmp_path / "beyond.wav", "--strength", "1.5"], capsys)[0] == 0
    assert pitch_of(tmp_path / "beyond.wav") == pytest.approx(pitch_of(tmp_path / "whole.wav"), rel=0.03)
    whole, beyond = (audio_file.read(tmp_path / name)[0] for name in ("whole.wav", "beyond.wav"))
    assert np.abs(whole - beyond).max() > 0.01


class Parrot:
    """A vocoder that says the same whatever it is given, at 120 Hz."""

    convention, overlap, name, sha256 = CONVENTION, 0, "parrot", "cd" * 32

    def __init__(self):
        self.seen = []

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        self.seen.append(mel)
        return voice(len(mel) * CONVENTION.hop / 8000)


def test_the_mel_path_keeps_time_and_puts_the_pitch_right(model: Path, tmp_path: Path, capsys, monkeypatch):
    parrot = Parrot()
    monkeypatch.setattr(synthesis, "_griffin_lim", lambda converter, note="": synthesis.Synthesis("mel", parrot, note))
    source = write_wav(tmp_path / "a.wav", with_pauses(3.0))
    base = [source, "--from", "anna", "--model", model, "--vocoder", "griffin-lim"]
    code, _, err = run([*base, "-o", tmp_path / "high.wav", "--to", "carla"], capsys)
    assert code == 0
    assert "semitones off; corrected with WORLD" in err
    assert pitch_of(tmp_path / "high.wav") == pytest.approx(240, rel=0.06)
    assert audio_file.probe(tmp_path / "high.wav").frames == 24_000
    assert audio_file.read_tag(tmp_path / "high.wav")["vocoder_model"] == parrot.sha256
    code, _, err = run([*base, "-o", tmp_path / "same.wav", "--to", "anna"], capsys)
    assert code == 0
    assert "corrected" not in err  # nothing was wrong
    assert parrot.seen[0].min() >= CONVENTION.lowest - 1e-6
    assert len(parrot.seen) == 2


def test_odd_recordings(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    write_wav(folder / "a one sample.wav", np.array([0.5]))
    write_wav(folder / "b short.wav", voice(0.02))
    write_wav(folder / "c silent.wav", np.zeros(9000))
    write_wav(folder / "d nan.wav", np.full(900, np.nan), subtype="FLOAT")
    write_wav(folder / "e empty.wav", np.zeros(0))
    (folder / "f broken.wav").write_bytes(b"RIFF")
    t = np.arange(16_000) / 8000
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277.2, 329.6, 1318.5)) * 0.1
    write_wav(folder / "g music.wav", chord)
    write_wav(folder / "h noise.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 8000))
    write_wav(folder / "i loud.wav", np.clip(3 * voice(1.0), -1, 1))
    code, out, _ = run([folder, "-o", tmp_path / "out", "--to", "carla", "--model", model, "--json"], capsys)
    assert code == 1
    found = {file["name"][0]: file for file in json.loads(out)["files"]}
    status = {name: file["status"] for name, file in found.items()}
    assert status == dict(zip("abcdefghi", ["done", "done", "silent", "failed", "failed", "failed", "done", "done", "done"], strict=True))
    assert "NaN" in found["d"]["reason"]
    assert "zero samples" in found["e"]["reason"]
    assert "hardly any voice" in found["h"]["note"]
    assert not audio_file.read(tmp_path / "out" / "c silent.wav")[0].any()
    for name in ("a one sample.wav", "b short.wav", "g music.wav", "h noise.wav", "i loud.wav"):
        before, after = (audio_file.read(place / name)[0] for place in (folder, tmp_path / "out"))
        assert before.shape == after.shape
        assert np.isfinite(after).all()
    assert found["i"].get("clipped", 0) == 0
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--to", "dora"], 2, "it has anna, bruno, carla"),
        (["--to", "anna", "--from", "dora"], 2, "--from dora: the model has no such domain"),
        ([], 2, "No target is given"),
        (["--to", "anna", "--pitch", "high"], 2, "expected auto or a number"),
        (["--to", "anna", "--vocoder", "nowhere"], 1, "nowhere does not exist"),
        (["--to", "anna", "-o", "rec"], 2, "is the input folder"),
        (["--to", "anna", "-o", "out", "-j", "-1"], 2, "--jobs is -1"),
    ],
)
def test_usage(arguments, code, message, model: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "rec" / "a.wav", voice(0.2))
    given = ["rec", "--model", model, *arguments] + ([] if "-o" in arguments else ["-o", "out"])
    found, _, err = run(given, capsys)
    assert found == code
    assert message in err
    assert "hint:" in err
    assert not (tmp_path / "out").exists()


def test_outputs_among_the_inputs_are_left_out(model: Path, tmp_path: Path, capsys):
    write_wav(tmp_path / "a.wav", voice(0.5))
    write_wav(tmp_path / "out" / "old.wav", voice(0.5))
    code, _, err = run([tmp_path, "-o", tmp_path / "out", "--to", "anna", "--model", model, "--dry-run"], capsys)
    assert code == 0
    assert "1 files in" in err
    assert "1 of 1 recordings to convert" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["old.wav"]


def test_the_list_of_domains(model: Path, capsys):
    code, out, err = run(["--list", "--model", model], capsys)
    assert code == 0
    assert all(name in out for name in DOMAINS)
    assert "consent" in err
    code, out, _ = run(["--list", "--model", model, "--json"], capsys)
    assert [entry["name"] for entry in json.loads(out)["domains"]] == list(DOMAINS)
    assert run([], capsys)[0] == 2


def test_a_vocoder_of_another_convention_is_refused(model: Path, tmp_path: Path, capsys):
    from .vocoder_families import make_family

    family = make_family("vocos")
    family.inference_model(family.networks).save(tmp_path / "vocoder.keras")
    source = write_wav(tmp_path / "a.wav", voice(0.5))
    base = [source, "-o", tmp_path / "o.wav", "--to", "anna", "--model", model]
    code, _, err = run([*base, "--vocoder", tmp_path / "vocoder.keras"], capsys)
    assert code == 2
    assert "takes another mel spectrogram" in err


@pytest.mark.slow
def test_processes_write_what_one_writes(model: Path, tmp_path: Path, capsys, monkeypatch):
    for name in "abc":
        write_wav(tmp_path / "rec" / f"{name}.wav", voice(1.0, seed=ord(name)))
    base = [tmp_path / "rec", "--to", "carla", "--model", model]
    assert run([*base, "-o", tmp_path / "one"], capsys)[0] == 0
    monkeypatch.setattr(batch, "_POOL_SECONDS", 0.0)
    assert run([*base, "-o", tmp_path / "two", "-j", 2], capsys)[0] == 0
    for name in "abc":
        first, second = (audio_file.read(tmp_path / place / f"{name}.wav")[0] for place in ("one", "two"))
        np.testing.assert_allclose(first, second, atol=1e-3)


MEMORY = """
import sys
from gansynth_cli.cli.app import main
code = main(["convert", sys.argv[1], "-o", sys.argv[2], "--model", sys.argv[3], "--to", "carla", "-q"])
print(code, *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_ten_minutes_take_the_memory_of_one(model: Path, tmp_path: Path):
    peaks = {}
    for minutes in (1, 10):
        source = write_wav(tmp_path / f"{minutes}.wav", np.tile(voice(60.0), minutes))
        command = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / f"out{minutes}.wav"), str(model)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        code, peaks[minutes] = map(int, done.stdout.split())
        assert code == 0
        assert soundfile.info(tmp_path / f"out{minutes}.wav").frames == minutes * 60 * 8000
    assert peaks[10] < 1.1 * peaks[1], peaks
