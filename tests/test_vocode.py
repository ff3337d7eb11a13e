"""`vocode`: pieces that equal the whole, recordings and mel spectrograms in, Griffin-Lim beside it, what is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import AudioFileError, RunError, UsageError
from gansynth_cli.inference.files.batch import do_job
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.inference.vocode.mel_file import MelFile, write_convention
from gansynth_cli.inference.vocode.stream import (
    GriffinLimVocoder,
    NetworkVocoder,
    mel_blocks,
    open_vocoder,
    vocode_array,
    vocode_blocks,
    vocode_mel,
)
from gansynth_cli.inference.vocode.task import VocodeTask
from gansynth_cli.inference.vocode.vocoders import find_vocoder
from gansynth_cli.models.model_file import bundled_model
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import mel_spectrogram

from .conftest import write_wav
from .helpers import disturb
from .vocoder_families import make_family, speech_like

C = MelConvention(fft=256, hop=64, bands=20).resolved(8000)
REFLECT = MelConvention(fft=256, hop=32, bands=20, padding="reflect").resolved(8000)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    family = make_family("vocos", "model.discriminators=[]")
    disturb(family.networks["generator"])
    path = tmp_path_factory.mktemp("model") / "generator.keras"
    family.inference_model(family.networks).save(path)
    return path


def pieces(audio: np.ndarray, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(audio) + 1, 7))
    return np.split(audio, cuts)


@pytest.mark.parametrize("samples", [129, 300, 4000, 4031])
@pytest.mark.parametrize("convention", [C, REFLECT], ids=["centre", "reflect"])
def test_a_mel_spectrogram_in_pieces_equals_the_whole(convention, samples):
    audio = speech_like(samples)[:, 0]
    whole = mel_spectrogram(audio[None], convention).numpy()[0]
    for seed in range(3):
        parts = list(mel_blocks(pieces(audio, seed), convention))
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_recordings_shorter_than_their_mirrored_ends_are_taken():
    for samples in (1, 50, 128):
        (mel,) = mel_blocks([np.ones(samples, np.float32)], C)
        assert mel.shape[0] >= 1
        assert np.isfinite(mel).all()
    assert list(mel_blocks([], C)) == []


@pytest.mark.parametrize("name", ["vocos", "melgan", "hifigan"])
def test_sound_in_pieces_equals_the_whole_and_no_piece_is_longer_than_it_must_be(name):
    family = make_family(name, "model.discriminators=[]")
    disturb(family.networks["generator"])
    vocoder, longest = NetworkVocoder(family.inference_model(family.networks), Path("x"), "0"), []
    mel = np.random.default_rng(0).uniform(-9, -2, (203, 20)).astype(np.float32)
    whole = vocoder(mel)
    assert np.abs(whole).max() > 1e-3

    class Counting:
        convention, overlap, fades = vocoder.convention, vocoder.overlap, vocoder.fades

        def __call__(self, piece):
            longest.append(len(piece))
            return vocoder(piece)

    for chunk, parts in ((40, [mel]), (33, np.split(mel, [1, 2, 90, 91])), (500, [mel[:100], mel[100:]])):
        longest.clear()
        made = list(vocode_blocks(parts, Counting(), chunk))
        np.testing.assert_allclose(np.concatenate(made), whole, atol=1e-4)
        assert max(longest) < 2 * chunk + 3 * vocoder.overlap


def test_griffin_lim_keeps_the_mel_spectrogram_and_joins_its_pieces():
    audio = speech_like(12000)[:, 0]
    mel = mel_spectrogram(audio[None], C).numpy()[0]
    vocoder = GriffinLimVocoder(C, iterations=20)
    for chunk in (1000, 60):
        made = np.concatenate(list(vocode_blocks([mel], vocoder, chunk)))
        assert made.shape == (len(mel) * 64,)
        again = mel_spectrogram(made[None, :12000], C).numpy()[0]
        loud = mel > np.log(1e-2)
        assert np.abs(again - mel)[loud].mean() < 0.5


# Files.


def recordings(folder: Path) -> Path:
    write_wav(folder / "a.wav", speech_like(9001)[:, 0])
    write_wav(folder / "deep" / "b.flac", np.stack([speech_like(16000, 16000)[:, 0]] * 2, axis=1), rate=16000)
    return folder


def test_copy_synthesis_mirrors_the_tree_and_keeps_each_length(model_file, tmp_path, capsys):
    source = recordings(tmp_path / "in")
    command = ["vocode", str(source), "--model", str(model_file), "-o", str(tmp_path / "out"), "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["done"], report["failed"], report["skipped"]) == (2, 0, 0)
    assert report["mel"]["hop"] == 64
    lengths = {path.relative_to(tmp_path / "out").as_posix(): soundfile.info(path) for path in (tmp_path / "out").rglob("*.wav")}
    assert {name: (info.frames, info.samplerate, info.channels) for name, info in lengths.items()} == {
        "a.wav": (9001, 8000, 1),
        "deep/b.wav": (8000, 8000, 2),
    }
    mark = audio_file.read_tag(tmp_path / "out" / "a.wav")
    assert mark is not None
    assert mark["synthetic"] is True
    assert mark["model"] == report["model"]
    vocoder = open_vocoder(model_file)
    audio, _ = audio_file.read(source / "a.wav")
    whole = vocoder(mel_spectrogram(audio[None, :, 0], vocoder.convention).numpy()[0])[:9001]
    made, _ = audio_file.read(tmp_path / "out" / "a.wav")
    np.testing.assert_allclose(made[:, 0], np.clip(whole, -1, 1), atol=2e-4)  # 16 bits
    both, _ = audio_file.read(tmp_path / "out" / "deep" / "b.wav")
    np.testing.assert_array_equal(both[:, 0], both[:, 1])
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2
    (tmp_path / "out" / "a.wav").unlink()  # as after an interruption
    assert main([*command[:-1], "--dry-run"]) == 0
    assert "1 of 2 recordings to vocode" in capsys.readouterr().err
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1
    assert main([*command, "--overwrite"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2


def test_channels_are_made_one_by_one(model_file, tmp_path):
    left, right = speech_like(70000, seed=1), speech_like(70000, seed=2)
    write_wav(tmp_path / "both.wav", np.concatenate([left, right], axis=1))
    write_wav(tmp_path / "right.wav", right)
    for name in ("both", "right"):
        target = str(tmp_path / f"{name}-again.flac")
        assert main(["vocode", str(tmp_path / f"{name}.wav"), "--model", str(model_file), "-o", target, "-q"]) == 0
    (both, _), (alone, _) = (audio_file.read(tmp_path / f"{name}-again.flac") for name in ("both", "right"))
    assert both.shape == (70000, 2)
    np.testing.assert_array_equal(both[:, 1:], alone)
    assert np.abs(both[:, 0] - both[:, 1]).max() > 1e-3


@pytest.mark.parametrize("rate, channels", [(8000, 1), (16000, 2)])
@pytest.mark.parametrize("griffin_lim", [False, True])
def test_an_array_is_vocoded_as_a_file(model_file, tmp_path, rate, channels, griffin_lim):
    audio = np.concatenate([speech_like(90_000, rate, seed) for seed in range(channels)], axis=1)
    audio[:70_000] = 0.0  # a silent beginning longer than a block
    audio = audio[:, 0] if channels == 1 else audio
    write_wav(tmp_path / "a.wav", audio, rate, "FLOAT")
    task = VocodeTask(find_vocoder(model_file), griffin_lim=griffin_lim, subtype="FLOAT")
    (job,) = plan_files(task, [tmp_path / "a.wav"], tmp_path / "out.wav").jobs
    assert do_job(task.opened(), job).status == "done"
    made = vocode_array(task.vocoder, audio, rate)
    assert made.shape == (90_000 * 8000 // rate, *audio.shape[1:])
    np.testing.assert_array_equal(made, soundfile.read(tmp_path / "out.wav", dtype="float32")[0])
    assert made.any()
    assert not vocode_array(task.vocoder, np.zeros_like(audio), rate).any()


def test_a_mel_spectrogram_is_vocoded_as_a_file(model_file, tmp_path):
    mel = np.random.default_rng(0).uniform(-9, -2, (1300, 20)).astype(np.float32)
    np.save(tmp_path / "x.npy", mel)
    task = VocodeTask(find_vocoder(model_file), subtype="FLOAT")
    (job,) = plan_files(task, [tmp_path / "x.npy"], tmp_path / "out").jobs
    assert do_job(task.opened(), job).status == "done"
    made = vocode_mel(task.vocoder, mel)
    np.testing.assert_array_equal(made, soundfile.read(tmp_path / "out" / "x.wav", dtype="float32")[0])
    with pytest.raises(AudioFileError, match="expected"):
        vocode_mel(task.vocoder, mel[:, :19])


def test_what_is_said_of_low_rates_and_of_silence(model_file, tmp_path, capsys):
    write_wav(tmp_path / "in" / "low.wav", speech_like(2000, 4000), rate=4000)
    write_wav(tmp_path / "in" / "nothing.wav", np.zeros((100_000, 2)))
    assert main(["vocode", str(tmp_path / "in"), "--model", str(model_file), "-o", str(tmp_path / "out"), "--json"]) == 1
    said = capsys.readouterr()
    files = {file["name"]: file for file in json.loads(said.out)["files"]}
    assert "nothing above 2000 Hz" in files["low.wav"]["note"]
    assert files["nothing.wav"]["status"] == "silent"
    assert "1 silent, written as silence: nothing.wav" in said.err
    silent, _ = audio_file.read(tmp_path / "out" / "nothing.wav")
    assert silent.shape == (100_000, 2)
    assert not silent.any()


def test_outputs_below_the_inputs_are_not_made_again(model_file, tmp_path, capsys):
    recordings(tmp_path)
    command = ["vocode", str(tmp_path), "--model", str(model_file), "-o", str(tmp_path / "out"), "--json"]
    assert [main(command), json.loads(capsys.readouterr().out)["done"]] == [0, 2]
    assert main(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["skipped"] == 2
    assert "2 files in" in said.err
    assert "left out" in said.err


def test_mel_files_of_either_layout_and_griffin_lim(model_file, tmp_path, capsys):
    mel = mel_spectrogram(speech_like(6000)[None, :, 0], C).numpy()[0]
    for name, values in (("rows", mel), ("columns", mel.T)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", values)
    write_convention(tmp_path / "rows", C)
    run = lambda *more, model=("--model", model_file): main(
        ["vocode", *map(str, [*more, *model]), "-o", str(tmp_path / "out"), "--json", "--overwrite"]
    )
    assert run(tmp_path / "rows", "--subtype", "float") == 0
    first, _ = audio_file.read(tmp_path / "out" / "x.wav")
    assert len(first) == len(mel) * 64
    np.testing.assert_allclose(first[:, 0], open_vocoder(model_file)(mel), atol=1e-5)
    assert run(tmp_path / "columns", "--mel-layout", "mels-frames", "--subtype", "float") == 0
    np.testing.assert_array_equal(audio_file.read(tmp_path / "out" / "x.wav")[0], first)
    capsys.readouterr()
    assert run(tmp_path / "columns") == 1
    assert "--mel-layout mels-frames" in capsys.readouterr().err
    assert run(tmp_path / "rows", model=("--model", "griffin-lim", "--mel-of", model_file)) == 0
    assert json.loads(capsys.readouterr().out)["vocoder"] == "griffin-lim"
    baseline, _ = audio_file.read(tmp_path / "out" / "x.wav")
    again = mel_spectrogram(baseline[None, : 64 * (len(mel) - 1), 0], C).numpy()[0]
    assert np.abs(again - mel)[mel > np.log(1e-2)].mean() < 0.5


def test_one_bad_file_does_not_stop_the_rest(model_file, tmp_path, capsys):
    source = recordings(tmp_path / "in")
    (source / "broken.wav").write_bytes(b"RIFF not sound")
    write_wav(source / "nan.wav", np.full(5000, np.nan), subtype="FLOAT")
    (source / "empty.wav").write_bytes(b"")
    (source / "empty.npy").write_bytes(b"")
    np.save(source / "words.npy", np.array(["a"]))
    np.save(source / "narrow.npy", np.zeros((30, 19), np.float32))
    np.save(source / "loud.npy", np.full((30, 20), 50.0, np.float32))
    np.save(source / "low.npy", np.full((30, 20), -30.0, np.float32))
    np.save(source / "other.npy", np.full((30, 20), -3.0, np.float32))
    (source / "other.mel.json").write_text(json.dumps({**C.to_dict(), "log": "log10"}))
    assert main(["vocode", str(source), "--model", str(model_file), "-o", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    files = {file["name"]: file for file in json.loads(captured.out)["files"]}
    assert {name for name, file in files.items() if file["status"] == "done"} == {"a.wav", "deep/b.flac"}
    assert "NaN" in files["nan.wav"]["reason"]
    assert "empty file" in files["empty.wav"]["reason"]
    assert "cannot be read as .npy" in files["empty.npy"]["reason"]
    assert "expected floating-point numbers" in files["words.npy"]["reason"]
    assert "[30, 19], expected [frames, 20]" in files["narrow.npy"]["reason"]
    assert "another logarithm or norm, or none" in files["loud.npy"]["reason"]
    assert "another floor" in files["low.npy"]["reason"]
    assert "log is log10, not ln" in files["other.npy"]["reason"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.*")) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "No input is given"),
        (["in", "--mel-layout", "sideways"], "'sideways'"),
        (["nowhere"], "nowhere does not exist"),
        (["in", "--format", "exe"], "'exe'; expected one of"),
        (["in", "--format", "mp3", "--subtype", "float"], "only one encoding"),
        (["in", "--format", "flac", "--subtype", "float"], "FLAC has no encoding 'FLOAT'"),
        (["in", "--mel-of", "vocoder"], "--mel-of is for --model griffin-lim"),
        (["in", "--jobs", "-1"], "--jobs is -1"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert main(["vocode", "-o", "out", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_bundled_vocoder_is_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bundled = bundled_model("vocoder")
    assert bundled.stat().st_size <= 8_000_000
    write_wav(tmp_path / "in" / "a.wav", speech_like(9000, 16000)[:, 0], rate=16000)
    assert main(["vocode", "in", "-o", "out", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == hashlib.sha256(bundled.read_bytes()).hexdigest()
    assert report["mel"]["sample_rate"] == 16000
    said, again = (audio_file.read(tmp_path / place / "a.wav")[0][:, 0] for place in ("in", "out"))
    mels = [mel_spectrogram(audio[None], MelConvention.from_dict(report["mel"])).numpy() for audio in (said, again)]
    assert np.abs(mels[0] - mels[1]).mean() < 0.2
    (tmp_path / "vocoder").mkdir()  # a path of that name comes before the name, but not before the default
    assert main(["vocode", "in", "-o", "other", "--model", "vocoder"]) != 0
    assert main(["vocode", "in", "-o", "other", "--model", "vocodr"]) != 0
    assert "the name of a bundled model" in " ".join(capsys.readouterr().err.split())
    assert main(["vocode", "in", "-o", "other", "--dry-run"]) == 0


def test_a_dry_run_starts_no_tensorflow(tmp_path):
    write_wav(tmp_path / "in" / "a.wav", speech_like(9000, 16000)[:, 0], rate=16000)
    code = (
        "import sys; from gansynth_cli.cli.app import main;"
        f"code = main(['vocode', {str(tmp_path / 'in')!r}, '-o', {str(tmp_path / 'out')!r}, '--dry-run']);"
        "print(code, [m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_what_is_no_vocoder_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        open_vocoder(tmp_path / "none")
    (tmp_path / "x.keras").write_bytes(b"no archive")
    with pytest.raises(RunError, match="not a Keras model file"):
        open_vocoder(tmp_path / "x.keras")
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "y.keras")
    with pytest.raises(RunError, match="cannot vocode mel spectrograms: it is a Keras model of class Sequential"):
        open_vocoder(tmp_path / "y.keras")


def test_plans_that_would_lose_a_file(tmp_path):
    recordings(tmp_path / "in")
    task = VocodeTask(find_vocoder())
    np.save(tmp_path / "in" / "a.npy", np.full((3, 80), -5.0))
    targets = {job.source.name: job.target.name for job in plan_files(task, [tmp_path / "in"], tmp_path / "out").jobs}
    assert (targets["a.wav"], targets["a.npy"]) == ("a.wav", "a.npy.wav")
    with pytest.raises(UsageError, match="is the input folder"):
        plan_files(task, [tmp_path / "in"], tmp_path / "in")


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_a_mel_file_gives_its_rows_in_pieces(dtype, tmp_path):
    mel = np.random.default_rng(0).uniform(-9, -2, (1, 50, 20)).astype(dtype)
    np.save(tmp_path / "x.npy", mel)
    np.save(tmp_path / "y.npy", mel[0].T)
    for name, transposed in (("x", False), ("y", True)):
        pieces = list(MelFile(tmp_path / f"{name}.npy", C, transposed).blocks(17))
        assert [len(piece) for piece in pieces] == [17, 17, 16]
        assert {piece.dtype for piece in pieces} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(np.concatenate(pieces), mel[0].astype(np.float32))


def test_a_bad_value_late_in_a_mel_file_leaves_no_half_file(model_file, tmp_path):
    mel = np.full((2000, 20), -5.0, np.float32)
    mel[1900, 3] = np.nan
    np.save(tmp_path / "x.npy", mel)
    assert main(["vocode", str(tmp_path / "x.npy"), "--model", str(model_file), "-o", str(tmp_path / "out"), "-q"]) == 1
    assert list((tmp_path / "out").iterdir()) == []


_PEAK = """
import resource, sys
from pathlib import Path
from gansynth_cli.inference.files.batch import do_job
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.inference.vocode.task import VocodeTask
from gansynth_cli.inference.vocode.vocoders import find_vocoder
task = VocodeTask(find_vocoder(sys.argv[1])).opened()
for name in sys.argv[3:]:
    (job,) = plan_files(task, [Path(name)], Path(sys.argv[2])).jobs
    outcome = do_job(task, job)
    assert outcome.status == "done", outcome
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_ten_minutes_take_the_memory_of_one(model_file, tmp_path):
    """Peak memory, MB, of one process: what ten minutes add to one. The recording alone would be 37 MB, its mel spectrogram 6."""
    minute = speech_like(60 * 8000)
    write_wav(tmp_path / "one.wav", minute)
    write_wav(tmp_path / "ten.wav", np.tile(minute, (10, 1)))
    rng = np.random.default_rng(0)
    for name, frames in (("mel-one", 7500), ("mel-ten", 75000)):
        np.save(tmp_path / f"{name}.npy", rng.uniform(-9, -2, (frames, 20)))
    names = [str(tmp_path / name) for name in ("one.wav", "mel-one.npy", "ten.wav", "mel-ten.npy")]
    done = subprocess.run([sys.executable, "-c", _PEAK, model_file, tmp_path / "out", *names], capture_output=True, text=True, check=True)
    _, short, recording, mel = (float(line) for line in done.stdout.split())
    assert recording - short < 10
    assert mel - recording < 4


def test_vocoders_are_compared_with_griffin_lim_in_one_command(model_file, tmp_path, capsys):
    source = tmp_path / "in"
    for seed in range(3):
        write_wav(source / f"{seed}.wav", speech_like(24000, 16000, seed), rate=16000)  # at twice the vocoder's rate
    (source / "broken.wav").write_bytes(b"RIFF not sound")
    kept = tmp_path / "kept"
    command = ["evaluate", "vocoders", str(model_file), "--recordings", str(source), "--metrics", "mel_l1,mr_stft,mcd", "--keep", str(kept)]
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    baseline, ours = report["systems"]
    assert (baseline["name"], baseline["role"], ours["name"]) == ("griffin-lim", "baseline", "generator")
    assert (report["settings"]["sample_rate"], report["mel"]["bands"]) == (8000, 20)
    for entry in (baseline, ours):
        assert (entry["files"], entry["failed"], entry["figures"]["mel_l1"]["n"], entry["resampled"]) == (4, 1, 3, 0)
    # Random weights against an algorithm: there is no doubt which is better.
    assert ours["difference"]["figures"]["mel_l1"]["value"] > 0.5
    assert (ours["difference"]["figures"]["mel_l1"]["better"], ours["difference"]["figures"]["mel_l1"]["n"]) == (0, 3)
    assert "broken" in said.err
    made = {path: path.stat().st_mtime_ns for path in kept.rglob("*.wav")}
    assert len(made) == 6
    assert main(command) == 1
    assert "difference from griffin-lim" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.wav")} == made
    family = make_family("vocos", "model.discriminators=[]", seed=5)
    other = tmp_path / "generator.keras"
    family.inference_model(family.networks).save(other)
    assert (
        main(["evaluate", "vocoders", str(other), "--recordings", str(source / "0.wav"), "--metrics", "mel_l1", "--keep", str(kept)]) == 0
    )
    assert "of another state" in capsys.readouterr().err
    changed = {path for path in made if path.stat().st_mtime_ns != made[path]}
    assert changed == {kept / "generator" / "0.wav"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "No vocoder is given"),
        (["run", "--noisy", "in"], "No such option: --noisy"),
        (["run", "--bins", "3"], "No such option: --bins"),
        (["run", "--reference", "in"], "No such option: --reference"),
        (["a/run", "b/run"], "the name of another row"),
        (["run", "--keep", "in/out"], "is below the recordings"),
        (["run", "--metrics", "pesk"], "no measure 'pesk'"),
    ],
)
def test_comparisons_that_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert main(["evaluate", "vocoders", *arguments, "--recordings", "in"]) == 2
    assert message in capsys.readouterr().err
