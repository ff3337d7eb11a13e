"""`enhance` as its users meet it: folders and files, pipes, every wrong input, and what is left on the disk afterwards."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file, pcm_stream
from gansynth_cli.data.audio.find import is_audio_name
from gansynth_cli.errors import GanAudioError, RunError, UsageError
from gansynth_cli.inference.enhance import before_after, steps
from gansynth_cli.inference.enhance.enhancers import find_enhancer, open_enhancer
from gansynth_cli.inference.enhance.options import EnhanceOptions
from gansynth_cli.inference.enhance.process import Reduction, enhance_array
from gansynth_cli.inference.enhance.task import EnhanceTask
from gansynth_cli.inference.files import batch
from gansynth_cli.inference.files import run as files_run
from gansynth_cli.inference.files.job import Job, Outcome, Stopped
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.models import model_file

from .conftest import write_wav
from .enhance_fakes import constant, enhancer_of, write_denoiser

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_denoiser(tmp_path_factory.mktemp("model") / "tiny.keras", mask="real")


def voice(seconds: float = 0.5, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Harmonics that come and go over a little noise, [samples, channels]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9)) * (np.sin(2 * np.pi * 3 * t) > 0) * 0.15
    return tone[:, None] * np.linspace(1, 0.3, channels) + rng.normal(0, 0.01, (t.size, channels))


def run(arguments: list, capsys) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["enhance", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def use(monkeypatch, formula) -> None:
    """Lets the verb enhance by a formula, whatever model is asked for."""
    monkeypatch.setattr(steps, "open_enhancer", lambda model: enhancer_of(formula))


def task_of(**options) -> EnhanceTask:
    """A task that is open already, with a formula as its model."""
    task = EnhanceTask(find_enhancer(), EnhanceOptions(**options))
    task.enhancer, task._settings = enhancer_of(), {}
    task.steps = [("denoise", steps.DenoiseStep(task.enhancer, task.options))]
    return task


# Folders.

KEPT = [
    ("plain.wav", "WAV", "PCM_16", 16000, 1),
    ("deep/er/24 bit ü.wav", "WAV", "PCM_24", 48000, 2),
    ("float.wav", "WAV", "FLOAT", 44100, 2),
    ("double.wav", "WAV", "DOUBLE", 22050, 1),
    ("long word.wav", "WAV", "PCM_32", 96000, 1),
    ("eight bits.wav", "WAV", "PCM_U8", 8000, 1),
    ("seven.wav", "WAVEX", "PCM_16", 16000, 7),
    ("a.flac", "FLAC", "PCM_16", 11025, 1),
    ("b.FLAC", "FLAC", "PCM_24", 96000, 2),
    ("c.ogg", "OGG", "VORBIS", 44100, 2),
    ("d.opus", "OGG", "OPUS", 48000, 1),
    ("e.mp3", "MP3", "MPEG_LAYER_III", 44100, 2),
    ("low.mp3", "MP3", "MPEG_LAYER_III", 16000, 1),
    ("f.aiff", "AIFF", "PCM_16", 32000, 1),
    ("mp3 inside.wav", "MP3", "MPEG_LAYER_III", 22050, 1),
]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    for name, container, subtype, rate, channels in KEPT:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, voice(0.4, rate, channels), rate, subtype=subtype, format=container)
    (folder / "notes.txt").write_text("not sound")
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


def test_the_tree_and_every_format_are_kept(recordings: Path, model: Path, tmp_path: Path, capsys):
    code, out, err = run([recordings, "-o", tmp_path / "clean", "--model", model, "--json"], capsys)
    assert code == 0
    assert tree(tmp_path / "clean") == sorted(name for name, *_ in KEPT)
    for name, container, subtype, rate, channels in KEPT:
        before, after = audio_file.probe(recordings / name), audio_file.probe(tmp_path / "clean" / name)
        assert (after.container, after.subtype, after.sample_rate, after.channels) == (container, subtype, rate, channels)
        assert after.frames == before.frames
        assert not np.array_equal(audio_file.read(recordings / name)[0], audio_file.read(tmp_path / "clean" / name)[0])
    result = json.loads(out)
    assert (result["done"], result["failed"], result["skipped"], len(result["files"])) == (len(KEPT), 0, 0, len(KEPT))
    assert all(file["rtf"] > 0 for file in result["files"])
    assert f"{len(KEPT)} of {len(KEPT)} recordings enhanced" in err
    assert "RTF" in err


def test_nothing_removed_is_nothing_changed(recordings: Path, model: Path, tmp_path: Path, capsys):
    """--strength 0 and --mix 0 go through all the work, and every sample of a lossless format comes back."""
    for options in (["--strength", 0], ["--mix", 0]):
        out = tmp_path / options[0]
        assert run([recordings, "-o", out, "--model", model, *options], capsys)[0] == 0
        for name, container, *_ in KEPT:
            if container not in ("OGG", "MP3"):
                kind = "float64" if "double" in name or "float" in name else "int32"
                before, after = (soundfile.read(folder / name, dtype=kind)[0] for folder in (recordings, out))
                np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_output_and_noise_add_up_to_the_input(model: Path, tmp_path: Path, capsys, subtype: str):
    source = write_wav(tmp_path / "in" / "a.wav", np.clip(6 * voice(0.5, 44100, 2), -1, 1), 44100, subtype)
    assert run([tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--keep-noise"], capsys)[0] == 0
    assert tree(tmp_path / "out") == ["a.noise.wav", "a.wav"]
    parts = [tmp_path / "out" / "a.wav", tmp_path / "out" / "a.noise.wav"]
    if subtype == "FLOAT":
        x, y, z = (soundfile.read(path)[0] for path in (source, *parts))
        np.testing.assert_allclose(y + z, x, atol=2e-7)
    else:
        x, y, z = (soundfile.read(path, dtype="int32")[0].astype(np.int64) for path in (source, *parts))
        np.testing.assert_array_equal(y + z, x)
    assert np.abs(z).max() > 0
    assert soundfile.info(parts[1]).subtype == subtype


def test_enhancing_twice_skips_what_is_there(recordings: Path, model: Path, tmp_path: Path, capsys):
    out = tmp_path / "clean"
    run([recordings, "-o", out, "--model", model], capsys)
    (out / "plain.wav").unlink()
    marker = (out / "float.wav").stat().st_mtime_ns
    code, stdout, err = run([recordings, "-o", out, "--model", model, "--json"], capsys)
    assert code == 0
    assert f"1 of {len(KEPT)} recordings enhanced" in err
    assert f"{len(KEPT) - 1} skipped" in err
    assert (out / "float.wav").stat().st_mtime_ns == marker
    assert {f["name"]: f["status"] for f in json.loads(stdout)["files"]}["plain.wav"] == "done"
    assert run([recordings / "float.wav", "-o", out, "--model", model, "--overwrite"], capsys)[0] == 0
    assert (out / "float.wav").stat().st_mtime_ns != marker


def test_companions_that_are_missing_are_not_made_from_other_options(model: Path, tmp_path: Path, capsys):
    write_wav(tmp_path / "in" / "a.wav", voice(), 16000)
    command = [tmp_path / "in", "-o", tmp_path / "out", "--model", model]
    assert run(command, capsys)[0] == 0
    code, _, err = run([*command, "--keep-noise"], capsys)
    assert code == 1
    assert "exists already, but a.noise.wav does not" in err
    assert "--overwrite" in err
    # What a kill between the two left is completed; what somebody else put there is not touched.
    assert run([*command, "--keep-noise", "--overwrite"], capsys)[0] == 0
    (tmp_path / "out" / "a.wav").unlink()
    assert run([*command, "--keep-noise"], capsys)[0] == 0
    (tmp_path / "out" / "a.wav").unlink()
    write_wav(tmp_path / "out" / "a.noise.wav", voice(), 16000)
    code, _, err = run([*command, "--keep-noise"], capsys)
    assert code == 1
    assert "was not written by gan-audio enhance" in err


def test_processes_write_what_one_writes(recordings: Path, model: Path, tmp_path: Path, capsys, monkeypatch):
    (recordings / "broken.wav").write_bytes(b"RIFF")
    assert run([recordings, "-o", tmp_path / "one", "--model", model, "-j", 1], capsys)[0] == 1
    monkeypatch.setattr(batch, "_POOL_SECONDS", 0.0)
    code, out, err = run([recordings, "-o", tmp_path / "two", "--model", model, "-j", 2, "--json"], capsys)
    assert code == 1
    assert "broken.wav" in err
    assert [file["name"] for file in json.loads(out)["files"]][1:] == [
        n for n in tree(recordings) if n in dict.fromkeys(k[0] for k in KEPT)
    ]
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    for name in tree(tmp_path / "one"):
        one, two = (soundfile.read(tmp_path / place / name, dtype="float64")[0] for place in ("one", "two"))
        # Sums of matrix products are rounded by the number of threads; where that tips a decision of a lossy encoder, a block differs.
        if name.endswith((".ogg", ".mp3")):
            assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(one), name
        else:
            np.testing.assert_allclose(one, two, rtol=0, atol=1 / 32768, err_msg=name)


@pytest.mark.parametrize("subtype, rate, channels", [("FLOAT", 44100, 1), ("DOUBLE", 16000, 2)])
def test_an_array_is_enhanced_as_a_file(model: Path, tmp_path: Path, subtype: str, rate: int, channels: int):
    audio = voice(9.0, rate, channels).astype(np.float32 if subtype == "FLOAT" else np.float64)
    audio = audio[:, 0] if channels == 1 else audio
    write_wav(tmp_path / "a.wav", audio, rate, subtype)
    options = EnhanceOptions(strength_db=40, mix=0.9)
    task = EnhanceTask(find_enhancer(model), options)
    (job,) = plan_files(task, [tmp_path / "a.wav"], tmp_path / "out.wav").jobs
    assert batch.do_job(task.opened(), job).status == "done"
    made = enhance_array(task.enhancer, audio, rate, options)
    assert made.dtype == audio.dtype
    np.testing.assert_array_equal(made, soundfile.read(tmp_path / "out.wav", dtype=audio.dtype.name)[0])
    assert np.abs(made - audio).max() > 0.01
    with pytest.raises(UsageError, match="int16"):
        enhance_array(task.enhancer, np.zeros(10, np.int16), rate)
    with pytest.raises(GanAudioError, match="sample rate is 100"):
        enhance_array(task.enhancer, audio, 100)


# Where things go.


def test_one_file_to_a_file_a_folder_or_another_format(model: Path, tmp_path: Path, capsys):
    source = write_wav(tmp_path / "a.wav", voice(), 16000, "PCM_24")
    for output, written, kind in (("b.wav", "b.wav", "PCM_24"), ("new/", "new/a.wav", "PCM_24"), ("c.flac", "c.flac", "PCM_24")):
        assert run([source, "-o", tmp_path / output, "--model", model], capsys)[0] == 0
        info = soundfile.info(tmp_path / written)
        assert (info.frames, info.subtype) == (8000, kind)
    code, _, err = run([source, source, "-o", tmp_path / "b.wav", "--model", model], capsys)
    assert code == 2
    assert "is a file" in err


def test_several_folders_keep_their_names(model: Path, tmp_path: Path, capsys):
    for place in ("one", "two"):
        write_wav(tmp_path / place / "a.wav", voice(), 16000)
    assert run([tmp_path / "one", tmp_path / "two", "-o", tmp_path / "out", "--model", model], capsys)[0] == 0
    assert tree(tmp_path / "out") == ["one/a.wav", "two/a.wav"]
    code, _, err = run([tmp_path / "one" / "a.wav", tmp_path / "two" / "a.wav", "-o", tmp_path / "out", "--model", model], capsys)
    assert code == 2
    assert "both be written to" in err
    write_wav(tmp_path / "sub" / "one" / "b.wav", voice(), 16000)
    assert run([tmp_path / "one", tmp_path / "sub" / "one", "-o", tmp_path / "out", "--model", model], capsys)[0] == 2


def test_outputs_below_the_inputs_are_no_inputs(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    write_wav(folder / "a.wav", voice(), 16000)
    for _ in range(2):
        code, _, err = run([folder, "-o", folder / "clean", "--model", model], capsys)
        assert code == 0
    assert "1 files in" in err
    assert "left out" in err
    assert tree(folder) == ["a.wav", "clean/a.wav"]


def test_a_file_s_name_is_not_taken_for_a_folder(model: Path, tmp_path: Path, capsys):
    for name in ("a", "b"):
        write_wav(tmp_path / "rec" / f"{name}.wav", voice(), 16000)
    inputs = sorted((tmp_path / "rec").iterdir())
    for given in (inputs, [tmp_path / "rec"]):
        code, _, err = run([*given, "-o", tmp_path / "out.wav", "--model", model], capsys)
        assert (code, "is the name of one file" in err) == (2, True)
    code, _, err = run([inputs[0], "-o", tmp_path / "out.m4a", "--model", model], capsys)
    assert code != 0
    assert "cannot write the format .m4a" in err
    assert tree(tmp_path) == ["rec/a.wav", "rec/b.wav"]


def test_an_input_is_never_replaced(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    source = write_wav(folder / "a.wav", voice(), 16000)
    write_wav(folder / "sub" / "a.wav", voice(), 16000)
    content = source.read_bytes()
    (tmp_path / "link").symlink_to(folder)
    for arguments in (
        [folder, "-o", folder],
        [folder, "-o", tmp_path / "link"],
        [source, "-o", source],
        [source, "-o", folder],
        [folder / "sub" / "a.wav", source, "-o", folder],
    ):
        code, _, err = run([*arguments, "--overwrite", "--model", model], capsys)
        assert code == 2, err
        assert "hint" in err
    assert source.read_bytes() == content
    assert tree(folder) == ["a.wav", "sub/a.wav"]


def test_dry_run_writes_nothing(recordings: Path, model: Path, tmp_path: Path, capsys):
    (recordings / "empty.wav").write_bytes(b"")
    code, out, err = run([recordings, "-o", tmp_path / "clean", "--model", model, "--dry-run", "--json"], capsys)
    assert code == 1  # the empty one would fail
    assert not (tmp_path / "clean").exists()
    assert len(json.loads(out)["files"]) == len(KEPT) + 1
    assert "empty file (0 bytes)" in err
    assert f"{len(KEPT)} of {len(KEPT) + 1}" in err


# Bad input.


def test_every_bad_recording_is_named_and_the_others_are_done(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    write_wav(folder / "good.wav", voice(), 16000)
    write_wav(folder / "8k.wav", voice(0.5, 8000), 8000)
    write_wav(folder / "96k.wav", voice(0.5, 96000), 96000)
    write_wav(folder / "seven.wav", voice(0.5, 16000, 7), 16000)
    write_wav(folder / "one sample.wav", np.array([0.5]), 16000)
    write_wav(folder / "silent.wav", np.zeros(9000), 16000)
    write_wav(folder / "no samples.wav", np.zeros(0), 16000)
    broken = voice()
    broken[5000] = np.nan
    write_wav(folder / "nan.wav", broken, 16000, "FLOAT")
    broken[5000] = np.inf
    write_wav(folder / "inf.wav", broken, 16000, "DOUBLE")
    write_wav(folder / "one hertz.wav", voice(), 1)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not sound")
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    content = write_wav(folder / "cut.wav", voice(), 16000).read_bytes()
    (folder / "cut.wav").write_bytes(content[:9000])
    flac = folder / "damaged.flac"
    soundfile.write(flac, voice(), 16000)
    flac.write_bytes(flac.read_bytes()[:6000])
    reasons = {
        "nan.wav": "NaN or infinite",
        "inf.wav": "NaN or infinite",
        "one hertz.wav": "The sample rate is 1 Hz",
        "empty.wav": "empty file (0 bytes)",
        "no samples.wav": "zero samples",
        "text.wav": "not audio",
        "gone.wav": "does not exist",
        "cut.wav": "truncated",
        "damaged.flac": "truncated",
        "silent.wav": "every sample is 0",
    }
    code, out, err = run([folder, "-o", tmp_path / "out", "--model", model, "--json"], capsys)
    assert code == 1
    files = {file["name"]: file for file in json.loads(out)["files"]}
    for name, reason in reasons.items():
        assert reason in files[name]["reason"], name
        assert name in err
        assert files[name]["status"] == ("silent" if name == "silent.wav" else "failed")
    good = ["8k.wav", "96k.wav", "good.wav", "one sample.wav", "seven.wav", "silent.wav"]
    assert tree(tmp_path / "out") == good
    assert not np.any(soundfile.read(tmp_path / "out" / "silent.wav")[0])
    assert len(soundfile.read(tmp_path / "out" / "silent.wav")[0]) == 9000
    assert f"{len(good)} of {len(files)} recordings enhanced" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("change, reason", [("unlink", "vanished while it was read"), ("grow", "changed while it was read")])
def test_a_file_that_changes_while_it_is_read_leaves_nothing(tmp_path: Path, change: str, reason: str):
    source = write_wav(tmp_path / "rec" / "a.wav", voice(9), 16000)

    def meddle(seconds: float) -> None:
        if change == "unlink":
            source.unlink(missing_ok=True)
        else:
            with source.open("ab") as file:
                file.write(b"\0" * 4)

    job = Job("a.wav", source, tmp_path / "out" / "a.wav", "WAV", "PCM_16")
    outcome = batch.do_job(task_of(keep_noise=True, before_after=True), job, meddle)
    assert outcome.status == "failed"
    assert outcome.reason == reason
    assert not tree(tmp_path / "out")


def test_a_stop_leaves_nothing(tmp_path: Path):
    job = Job("a.wav", write_wav(tmp_path / "a.wav", voice(9), 16000), tmp_path / "out" / "a.wav", "WAV", "PCM_16")
    with pytest.raises(Stopped):
        batch.do_job(task_of(keep_noise=True), job, stop=lambda: True)
    assert not tree(tmp_path / "out")


def test_a_defect_on_one_recording_does_not_stop_the_others(tmp_path: Path, capsys, monkeypatch):
    def fragile(spectrum: np.ndarray) -> np.ndarray:
        if spectrum.shape[0] == 4:  # two channels, two passes
            raise IndexError("out of bounds")
        return np.ones(spectrum.shape, np.float32)

    use(monkeypatch, fragile)
    write_wav(tmp_path / "rec" / "a.wav", voice(channels=2), 16000)
    write_wav(tmp_path / "rec" / "b.wav", voice(), 16000)
    code, out, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--per-channel", "--json"], capsys)
    assert code == 1
    assert "IndexError: out of bounds (test_enhance.py, line" in err
    assert "defect" in json.loads(out)["files"][0]["hint"]
    assert tree(tmp_path / "out") == ["b.wav"]


def test_no_room_is_named_and_the_rest_is_done(model: Path, tmp_path: Path, capsys):
    """A limit on the size of files stands for a full disk: the long one does not fit, the short one does."""
    import resource

    write_wav(tmp_path / "rec" / "a long one.wav", voice(6), 16000)
    write_wav(tmp_path / "rec" / "short.wav", voice(0.5), 16000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        code, _, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--model", model, "--keep-noise"], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert "a long one.wav: " in err
    assert "cannot be written: file too large" in err
    assert tree(tmp_path / "out") == ["short.noise.wav", "short.wav"]


def test_ctrl_c(model: Path, tmp_path: Path, capsys, monkeypatch):
    write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(files_run, "run_jobs", interrupted)
    code, _, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--model", model], capsys)
    assert code == 130
    assert "run the same command again" in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "No input"),
        (["rec"], "No output"),
        (["nothing-here", "-o", "out"], "does not exist"),
        (["rec", "-o", "out", "--strength", "-3"], "--strength is -3"),
        (["rec", "-o", "out", "--strength", "200"], "--strength is 200"),
        (["rec", "-o", "out", "--mix", "1.5"], "--mix is 1.5"),
        (["rec", "-o", "out", "--jobs", "-1"], "--jobs is -1"),
        (["rec", "-o", "out", "--rate", "8000"], "--rate is for --live"),
        (["rec", "-o", "-"], "is a folder"),
        (["rec/a.wav", "rec/a.wav", "-o", "-"], "one recording"),
        (["-", "-o", "-", "--keep-noise"], "--keep-noise cannot be combined with a pipe"),
        (["-", "-o", "rec"], "is a folder"),
        (["rec", "--live"], "takes no files"),
        (["--live", "--format", "mp3"], "--format is 'mp3'"),
        (["--live", "--channels", "0"], "--channels is 0"),
        (["--live", "--rate", "5"], "--rate is 5"),
        (["--live", "--before-after"], "--before-after cannot be combined with --live"),
    ],
)
def test_usage(arguments: list[str], message: str, model: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)
    code, out, err = run([*arguments, "--model", model], capsys)
    assert code == 2
    assert message in err
    assert out == ""
    assert tree(tmp_path) == ["rec/a.wav"]


# Models.


def test_models_that_cannot_enhance(tmp_path: Path, capsys, monkeypatch):
    write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(RunError, match="not a Keras model"):
        find_enhancer(tmp_path / "text.keras")
    model = write_denoiser(tmp_path / "generator.keras")
    content = model.read_bytes().replace(b"FrameDenoiser", b"AudioGenerato")
    (tmp_path / "other.keras").write_bytes(content)
    with pytest.raises(RunError, match=r"not a Keras model|cannot enhance"):
        find_enhancer(tmp_path / "other.keras")
    with pytest.raises(RunError, match="does not exist"):
        open_enhancer(tmp_path / "nothing.keras")
    with pytest.raises(RunError, match=r"recipe\.toml"):
        open_enhancer(tmp_path / "rec")
    monkeypatch.setattr(model_file, "PRETRAINED", tmp_path / "missing")
    code, _, err = run([tmp_path / "rec", "-o", tmp_path / "out"], capsys)
    assert code == 1
    assert "lacks the bundled denoiser" in err
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_is_taken_by_default(model: Path, tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "pretrained").mkdir()
    shutil.copy(model, tmp_path / "pretrained" / "denoiser.keras")
    monkeypatch.setattr(model_file, "PRETRAINED", tmp_path / "pretrained")
    write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)
    assert run([tmp_path / "rec", "-o", tmp_path / "default"], capsys)[0] == 0
    assert run([tmp_path / "rec", "-o", tmp_path / "named", "--model", model], capsys)[0] == 0
    assert (tmp_path / "default" / "a.wav").read_bytes() == (tmp_path / "named" / "a.wav").read_bytes()


def test_fast_takes_the_small_bundled_model(tmp_path: Path, capsys):
    source = write_wav(tmp_path / "rec" / "a.wav", voice(0.5), 16000)
    assert run([source, "-o", tmp_path / "fast.wav", "--fast"], capsys)[0] == 0
    small = model_file.bundled_models()["denoiser-small"]
    assert run([source, "-o", tmp_path / "small.wav", "--fast", "--model", small], capsys)[0] == 0
    assert (tmp_path / "fast.wav").read_bytes() == (tmp_path / "small.wav").read_bytes()


def test_a_denoiser_needs_no_tensorflow(model: Path, tmp_path: Path):
    write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)
    code = (
        "import sys; from gansynth_cli.cli.app import main;"
        f"code = main(['enhance', {str(tmp_path / 'rec')!r}, '-o', {str(tmp_path / 'out')!r}, '--model', {str(model)!r}]);"
        "print(code, [m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"


# What is written beside the sound.


def test_tags_are_kept_and_the_comment_says_what_was_done(model: Path, tmp_path: Path, capsys):
    folder = tmp_path / "rec"
    folder.mkdir()
    for name, comment in (("plain.flac", ""), ("said.flac", "in the rain"), ("made.wav", '{"synthetic": true, "model": "abc"}')):
        with soundfile.SoundFile(folder / name, "w", 16000, 1) as file:
            file.title, file.artist = "Ein Gruß", "me"
            if comment:
                file.comment = comment
            file.write(voice())
    assert run([folder, "-o", tmp_path / "out", "--model", model, "--strength", 12], capsys)[0] == 0
    sha = open_enhancer(model).sha256
    for name in ("plain.flac", "said.flac", "made.wav"):
        with soundfile.SoundFile(tmp_path / "out" / name) as file:
            assert (file.title, file.artist) == ("Ein Gruß", "me")
            comment = file.comment
        if name == "said.flac":
            assert comment == "in the rain"
            assert audio_file.read_tag(tmp_path / "out" / name)["enhancer"] == sha
        else:
            mark = json.loads(comment)
            assert (mark["enhanced_by"], mark["enhancer"], mark["strength_db"], mark["mix"], mark["passes"]) == (
                "gan-audio 0.1.0",
                sha,
                12,
                1,
                2,
            )
            assert mark.get("synthetic", False) == (name == "made.wav")
    assert main(["info", str(tmp_path / "out" / "plain.flac"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["synthetic"] is False
    assert main(["info", str(model)]) == 0
    assert "FrameDenoiser" in capsys.readouterr().out


def test_loud_outputs_are_clipped_and_counted(tmp_path: Path, capsys, monkeypatch):
    use(monkeypatch, constant(1.5))
    write_wav(tmp_path / "rec" / "a.wav", 0.9 * np.sign(voice()), 16000)
    code, out, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--json"], capsys)
    assert code == 0
    samples = soundfile.read(tmp_path / "out" / "a.wav", dtype="int16")[0]
    assert set(np.unique(np.sign(samples))) == {-1, 1}
    assert np.all(np.sign(samples) == np.sign(voice()[:, 0]))  # none has wrapped
    assert json.loads(out)["clipped_samples"] == 8000
    assert "8000 samples" in err
    assert "a.wav" in err


def test_noise_that_does_not_fit_is_counted(tmp_path: Path, capsys, monkeypatch):
    """A gain of -0.2 takes away 1.2 times the input, which 16 bits cannot hold where the input is loud."""
    use(monkeypatch, constant(-0.2 + 0j))
    write_wav(tmp_path / "rec" / "a.wav", np.tile([0.9, 0.9, -0.9, -0.9], 250), 16000)
    code, out, _ = run([tmp_path / "rec", "-o", tmp_path / "out", "--keep-noise", "--strength", 100, "--json"], capsys)
    assert code == 0
    assert "1000 samples of a.noise.wav clipped" in json.loads(out)["files"][0]["note"]


def test_the_mean_reduction_is_reported_and_music_is_warned_of(tmp_path: Path, capsys, monkeypatch):
    use(monkeypatch, constant(0.05))  # 26 dB less
    write_wav(tmp_path / "rec" / "music.wav", voice(1.0), 16000)
    code, out, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--strength", 100, "--json"], capsys)
    assert code == 0
    assert json.loads(out)["files"][0]["reduction_db"] == pytest.approx(26.02, abs=0.1)
    assert "26.0 dB less" in err
    assert "warning: hardly any speech was found" in err
    use(monkeypatch, constant(0.5))
    code, out, err = run([tmp_path / "rec", "-o", tmp_path / "half", "--strength", 100, "--json"], capsys)
    assert json.loads(out)["files"][0]["reduction_db"] == pytest.approx(6.02, abs=0.1)
    assert "hardly any speech" not in err


def test_missing_samples_do_not_count_in_the_reduction(tmp_path: Path, capsys, monkeypatch):
    use(monkeypatch, constant(0.5))
    audio = voice(1.0)
    audio[8000:8040] = np.nan
    soundfile.write(tmp_path / "a.wav", audio, 16000, subtype="FLOAT")
    code, out, _ = run([tmp_path / "a.wav", "-o", tmp_path / "out", "--do", "gaps,denoise", "--strength", 100, "--json"], capsys)
    assert code == 0
    assert json.loads(out)["files"][0]["reduction_db"] == pytest.approx(6.02, abs=0.2)


def test_reduction_of_silence_and_to_silence():
    reduction = Reduction()
    assert reduction.db is None
    reduction.add(np.zeros((1, 9)), np.zeros((1, 9)))
    assert reduction.db is None
    reduction.add(np.ones((1, 9)), np.zeros((1, 9)))
    assert reduction.db == pytest.approx(120)


def test_before_after_pictures(model: Path, tmp_path: Path, capsys):
    write_wav(tmp_path / "rec" / "a.wav", voice(1.0, 44100, 2), 44100)
    write_wav(tmp_path / "rec" / "short.wav", voice(0.001), 16000)
    assert run([tmp_path / "rec", "-o", tmp_path / "out", "--model", model, "--before-after"], capsys)[0] == 0
    assert tree(tmp_path / "out") == ["a.wav", "a.wav.before-after.png", "short.wav", "short.wav.before-after.png"]
    for picture in (tmp_path / "out").glob("*.png"):
        with Image.open(picture) as page:
            assert page.size == (16 + 30 + before_after.WIDTH + 16, 16 + 34 + 2 * (18 + before_after.HEIGHT + 16 + 12))


def test_a_picture_does_not_depend_on_blocks_and_shows_frequency_and_time():
    t = np.arange(40_000) / 16000
    audio = (np.sin(2 * np.pi * 3000 * t) * (t > 1.25))[None]
    strips = []
    for block in (40_000, 777):
        strip = before_after.Strip(40_000, 16000)
        for start in range(0, 40_000, block):
            strip.add(audio[:, start : start + block])
        strip.finish()
        strips.append(strip.power)
    np.testing.assert_allclose(strips[0], strips[1], rtol=1e-9)
    power = strips[0]
    assert power[:, : power.shape[1] // 2 - 20].max() < 1e-6 * power.max()
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    row = before_after.HEIGHT * (1 - mel(3000) / mel(8000))
    assert abs(int(np.argmax(power[:, -100])) - row) < 3
    stereo = before_after.Strip(40_000, 16000)
    stereo.add(np.concatenate([audio, -audio]))
    stereo.finish()
    np.testing.assert_allclose(stereo.power, power, rtol=1e-6, atol=1e-9)  # opposite polarity is seen too


# Pipes.


def pipe(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))


def binary(arguments: list, capsysbinary) -> tuple[int, bytes, str]:
    capsysbinary.readouterr()
    code = main(["enhance", *map(str, arguments)])
    out, err = capsysbinary.readouterr()
    return code, out, err.decode()


@pytest.mark.parametrize("subtype, rate, channels", [("PCM_16", 16000, 1), ("PCM_24", 44100, 2), ("FLOAT", 48000, 3)])
def test_a_pipe_gives_what_a_file_gives(model: Path, tmp_path: Path, capsysbinary, monkeypatch, subtype: str, rate: int, channels: int):
    source = write_wav(tmp_path / "a.wav", voice(0.7, rate, channels), rate, subtype)
    assert main(["enhance", str(source), "-o", str(tmp_path / "file.wav"), "--model", str(model)]) == 0
    expected = soundfile.read(tmp_path / "file.wav", dtype="float64")[0]
    pipe(monkeypatch, source.read_bytes())
    code, out, err = binary(["-", "-o", "-", "--model", model], capsysbinary)
    assert code == 0
    assert "RTF" in err
    info = soundfile.info(io.BytesIO(out))
    assert (info.samplerate, info.channels, info.subtype, info.format) == (
        rate,
        channels,
        subtype,
        "WAVEX" if channels > 2 or "24" in subtype or subtype == "FLOAT" else "WAV",
    )
    np.testing.assert_allclose(soundfile.read(io.BytesIO(out), dtype="float64")[0], expected, atol=1e-7)
    code, out, _ = binary([source, "-o", "-", "--model", model], capsysbinary)
    np.testing.assert_allclose(soundfile.read(io.BytesIO(out), dtype="float64")[0], expected, atol=1e-7)
    pipe(monkeypatch, source.read_bytes())
    code, out, _ = binary(["-", "-o", tmp_path / "piped.flac", "--model", model], capsysbinary)
    assert (code, out) == (0, b"")
    assert soundfile.info(tmp_path / "piped.flac").frames == len(expected)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "no bytes"),
        (b"OggS and so on", "Ogg"),
        (pcm_stream.wav_header(pcm_stream.PcmFormat(8000, 1, "s16le"), 500) + bytes(600), "truncated: 300 of 500 frames"),
        (pcm_stream.wav_header(pcm_stream.PcmFormat(8000, 1, "s16le"), 500) + bytes(1000), "every sample is 0"),
        (pcm_stream.wav_header(pcm_stream.PcmFormat(8000, 1, "s16le")), "zero samples"),
        (pcm_stream.wav_header(pcm_stream.PcmFormat(8000, 1, "f32le")) + np.full(9, np.nan, "<f4").tobytes(), "NaN"),
    ],
)
def test_a_bad_pipe_is_named(content: bytes, reason: str, model: Path, tmp_path: Path, capsysbinary, monkeypatch):
    pipe(monkeypatch, content)
    code, _, err = binary(["-", "-o", "-", "--model", model], capsysbinary)
    assert code == 1
    assert reason in err
    assert "Traceback" not in err
    pipe(monkeypatch, content)
    code, out, err = binary(["-", "-o", tmp_path / "out.wav", "--model", model], capsysbinary)
    assert (code, out) == (1, b"")
    assert reason in err
    assert tree(tmp_path) == (["out.wav"] if "every sample" in reason else [])


@pytest.mark.parametrize(
    "encoding, rate, channels, speed, latency",
    [("s16le", 16000, 1, [], 40), ("f32le", 48000, 2, [], 40), ("s16le", 44100, 1, [], 40), ("s16le", 16000, 1, ["--fast"], 32)],
)
def test_live_gives_what_a_file_gives(
    model: Path, tmp_path: Path, capsysbinary, monkeypatch, encoding: str, rate: int, channels: int, speed: list[str], latency: int
):
    layout = pcm_stream.PcmFormat(rate, channels, encoding)
    content = layout.encode(voice(0.7, rate, channels))
    source = write_wav(tmp_path / "a.wav", layout.decode(content), rate, layout.subtype)
    assert main(["enhance", str(source), "-o", str(tmp_path / "file.wav"), "--model", str(model), *speed]) == 0
    pipe(monkeypatch, content)
    command = ["--live", "--rate", rate, "--channels", channels, "--format", encoding, "--model", model, *speed]
    code, out, err = binary(command, capsysbinary)
    assert code == 0
    assert f"latency {latency} ms" in err
    assert "RTF" in err
    expected = soundfile.read(tmp_path / "file.wav", dtype="float32", always_2d=True)[0]
    np.testing.assert_allclose(layout.decode(out), expected, atol=1.01 / 32768 if encoding == "s16le" else 1e-5)


@pytest.mark.parametrize("speed, behind", [(["--fast"], 256), ([], 384)])  # fft - hop; and half a hop
def test_live_writes_before_the_input_ends(model: Path, capsysbinary, monkeypatch, speed: list[str], behind: int):
    """What was said a window ago is out before the next block is read: nothing waits for the end, or for a larger block."""
    block = np.zeros((256, 1)) + 0.1
    layout = pcm_stream.PcmFormat(16000, 1, "s16le")
    given, taken = [], []
    monkeypatch.setattr("gansynth_cli.cli.console.raw", lambda content: taken.append(len(content) // 2))

    def read1(size: int) -> bytes:
        given.append((len(given) * 256, sum(taken)))
        return layout.encode(block) if len(given) < 20 else b""

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read1=read1, read=None), isatty=lambda: False))
    assert binary(["--live", "--model", model, *speed], capsysbinary)[0] == 0
    assert sum(taken) == 19 * 256
    assert max(read - written for read, written in given) == behind


def test_ctrl_c_ends_live_with_all_that_was_said(model: Path, capsysbinary, monkeypatch):
    content = pcm_stream.PcmFormat(16000, 1, "s16le").encode(voice(0.5))
    left = [content]

    def read1(size: int) -> bytes:
        if not left[0]:
            raise KeyboardInterrupt
        given, left[0] = left[0][:size], left[0][size:]
        return given

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read1=read1, read=None), isatty=lambda: False))
    code, out, err = binary(["--live", "--model", model], capsysbinary)
    assert code == 130
    assert len(out) == len(content)
    assert "0.50 s of audio" in err


def test_the_help_of_live_names_every_encoding(capsys):
    _, out, _ = run(["--help"], capsys)
    assert "|".join(pcm_stream.ENCODINGS) in out


def test_half_a_frame_at_the_end_is_named(model: Path, capsysbinary, monkeypatch):
    pipe(monkeypatch, bytes(101))
    code, _, err = binary(["--live", "--model", model], capsysbinary)
    assert code == 1
    assert "middle of a frame" in err


# Slower.


def deadly(job: Job) -> Outcome:
    """Stands for a recording that makes its process run out of memory."""
    if job.name == "b.wav":
        os._exit(9)
    return batch._do(job)


@pytest.mark.slow
def test_a_process_that_dies_costs_one_recording(model: Path, tmp_path: Path, capsys, monkeypatch):
    for name in "abcde":
        write_wav(tmp_path / "rec" / f"{name}.wav", voice(), 16000)
    monkeypatch.setattr(batch, "_POOL_SECONDS", 0.0)
    monkeypatch.setattr(batch, "_do", deadly)  # the processes import this module, where it is not replaced
    code, out, err = run([tmp_path / "rec", "-o", tmp_path / "out", "--model", model, "-j", 2, "--json"], capsys)
    assert code == 1
    assert [file["status"] for file in json.loads(out)["files"]] == ["done", "failed", "done", "done", "done"]
    assert "b.wav: its process died" in err
    assert tree(tmp_path / "out") == ["a.wav", "c.wav", "d.wav", "e.wav"]


# The kernel's mark of this program's own memory: getrusage's would begin at that of the process that started it.
MEMORY = """
import sys
from gansynth_cli.cli.app import main
code = main(["enhance", sys.argv[1], "-o", sys.argv[2], "--model", sys.argv[3], "-q", "-j", "1", "--before-after"])
print(code, *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_an_hour_takes_the_memory_of_a_minute(model: Path, tmp_path: Path):
    peaks = {}
    minute = voice(60)
    for minutes in (1, 60):
        source = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(source, "w", 16000, 1) as file:
            for _ in range(minutes):
                file.write(minute)
        command = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / "out"), str(model)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        code, peaks[minutes] = map(int, done.stdout.split())
        assert code == 0
        assert soundfile.info(tmp_path / "out" / source.name).frames == minutes * 60 * 16000
        source.unlink()
        shutil.rmtree(tmp_path / "out")
    assert peaks[60] < 1.1 * peaks[1], peaks


@pytest.mark.realdata
def test_real_recordings_come_back_in_time(model: Path, data_folder: Path, tmp_path: Path, capsys):
    folder = data_folder / "drums" / "hydrogen"
    assert run([folder, "-o", tmp_path / "out", "--model", model], capsys)[0] == 0
    assert tree(tmp_path / "out") == [name for name in tree(folder) if is_audio_name(name)]
    for name in tree(tmp_path / "out"):
        before, after = (soundfile.read(place / name, always_2d=True)[0] for place in (folder, tmp_path / "out"))
        assert before.shape == after.shape
        if np.abs(after).max() > 0.01:
            lag = np.fft.irfft(np.fft.rfft(after[:, 0], 2 * len(after)) * np.conj(np.fft.rfft(before[:, 0], 2 * len(after))))
            assert np.argmax(lag) == 0, name


def test_options_say_what_is_out_of_range():
    with pytest.raises(UsageError, match="--mix"):
        EnhanceOptions(mix=-0.1).check()


def test_an_output_of_another_input_or_other_options_is_not_taken_for_done(model: Path, tmp_path: Path, capsys):
    recording = write_wav(tmp_path / "rec" / "a.wav", voice(), 16000)
    made = [tmp_path / "rec", "-o", tmp_path / "out", "--model", model]
    assert run(made, capsys)[0] == 0
    code, _, err = run(made, capsys)
    assert code == 0
    assert "1 skipped" in err
    code, _, err = run([*made, "--strength", 40], capsys)
    assert code == 1
    assert "was made with strength_db" in err
    write_wav(recording, 0.5 * voice(), 16000)
    code, _, err = run(made, capsys)
    assert code == 1
    assert "was made from another input" in err
    assert run([*made, "--overwrite"], capsys)[0] == 0
    assert "1 skipped" in run(made, capsys)[2]


def test_the_bundled_denoiser_removes_a_constant_offset():
    from gansynth_cli.inference.enhance.enhancers import open_enhancer
    from gansynth_cli.inference.enhance.process import enhance_array

    denoiser, recording = open_enhancer(model_file.find_model("denoiser")), voice()[:16000].astype(np.float32)
    plain, shifted = (enhance_array(denoiser, recording + np.float32(offset), 16000) for offset in (0, 0.2))
    assert abs(float(shifted.mean() - plain.mean())) < 0.002
    np.testing.assert_allclose(shifted, plain, atol=0.01)
