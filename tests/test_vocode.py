"""`generate --from`: pieces that equal the whole, recordings and mel spectrograms in, Griffin-Lim beside it, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.data import audio_file
from gansynth_cli.errors import GanAudioError, RunError
from gansynth_cli.inference.vocode import (
    GriffinLimVocoder,
    NetworkVocoder,
    VocodeJob,
    mel_blocks,
    open_vocoder,
    plan_vocode,
    read_mel,
    vocode_blocks,
    write_convention,
)
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import mel_spectrogram

from .conftest import write_wav
from .vocoder_families import disturb, make_family, speech_like

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
        counted = []
        parts = list(mel_blocks(pieces(audio, seed), convention, counted.append))
        assert sum(counted) == samples
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
        convention, overlap = vocoder.convention, vocoder.overlap

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
    command = ["generate", str(model_file), "--from", str(source), "-o", str(tmp_path / "out"), "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["done"], report["failed"], report["skipped"]) == (2, 0, 0)
    assert report["mel"]["hop"] == 64
    lengths = {path.relative_to(tmp_path / "out").as_posix(): soundfile.info(path) for path in (tmp_path / "out").rglob("*.wav")}
    assert {name: (info.frames, info.samplerate, info.channels) for name, info in lengths.items()} == {
        "a.wav": (9001, 8000, 1),
        "deep/b.wav": (8000, 8000, 1),
    }
    mark = audio_file.read_mark(tmp_path / "out" / "a.wav")
    assert mark is not None
    assert mark["synthetic"] is True
    assert mark["model"] == report["model"]
    vocoder = open_vocoder(model_file)
    audio, _ = audio_file.read(source / "a.wav")
    whole = vocoder(mel_spectrogram(audio[None, :, 0], vocoder.convention).numpy()[0])[:9001]
    made, _ = audio_file.read(tmp_path / "out" / "a.wav")
    np.testing.assert_allclose(made[:, 0], np.clip(whole, -1, 1), atol=2e-4)  # 16 bits
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2


def test_mel_files_of_either_layout_and_griffin_lim(model_file, tmp_path, capsys):
    mel = mel_spectrogram(speech_like(6000)[None, :, 0], C).numpy()[0]
    for name, values in (("rows", mel), ("columns", mel.T)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", values)
    write_convention(tmp_path / "rows", C)
    run = lambda *more: main(["generate", str(model_file), "-o", str(tmp_path / "out"), "--json", "--overwrite", *map(str, more)])
    assert run("--from", tmp_path / "rows", "--subtype", "float") == 0
    first, _ = audio_file.read(tmp_path / "out" / "x.wav")
    assert len(first) == len(mel) * 64
    np.testing.assert_allclose(first[:, 0], open_vocoder(model_file)(mel), atol=1e-5)
    assert run("--from", tmp_path / "columns", "--mel-layout", "mels-frames", "--subtype", "float") == 0
    np.testing.assert_array_equal(audio_file.read(tmp_path / "out" / "x.wav")[0], first)
    capsys.readouterr()
    assert run("--from", tmp_path / "columns") == 1
    assert "--mel-layout mels-frames" in capsys.readouterr().err
    assert run("--from", tmp_path / "rows", "--model", "griffin-lim") == 0
    assert json.loads(capsys.readouterr().out)["vocoder"] == "griffin-lim"
    baseline, _ = audio_file.read(tmp_path / "out" / "x.wav")
    again = mel_spectrogram(baseline[None, : 64 * (len(mel) - 1), 0], C).numpy()[0]
    assert np.abs(again - mel)[mel > np.log(1e-2)].mean() < 0.5


def test_one_bad_file_does_not_stop_the_rest(model_file, tmp_path, capsys):
    source = recordings(tmp_path / "in")
    (source / "broken.wav").write_bytes(b"RIFF not sound")
    np.save(source / "words.npy", np.array(["a"]))
    np.save(source / "narrow.npy", np.zeros((30, 19), np.float32))
    np.save(source / "loud.npy", np.full((30, 20), 50.0, np.float32))
    np.save(source / "low.npy", np.full((30, 20), -30.0, np.float32))
    np.save(source / "other.npy", np.full((30, 20), -3.0, np.float32))
    (source / "other.mel.json").write_text(json.dumps({**C.to_dict(), "log": "log10"}))
    assert main(["generate", str(model_file), "--from", str(source), "-o", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    files = {file["name"]: file for file in json.loads(captured.out)["files"]}
    assert {name for name, file in files.items() if file["status"] == "done"} == {"a.wav", "deep/b.flac"}
    assert "expected floating-point numbers" in files["words.npy"]["reason"]
    assert "[30, 19], expected [frames, 20]" in files["narrow.npy"]["reason"]
    assert "another norm, or none" in files["loud.npy"]["reason"]
    assert "another floor" in files["low.npy"]["reason"]
    assert "log is log10, not ln" in files["other.npy"]["reason"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.*")) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "griffin-lim"], "--from, which is missing"),
        (["--from", "in", "--model", "wavenet"], "'wavenet'; expected griffin-lim"),
        (["--from", "in", "--mel-layout", "sideways"], "'sideways'"),
        (["--from", "nowhere"], "nowhere does not exist"),
        (["--from", "in", "-n", "3"], "-n has no meaning with --from"),
        (["--from", "in", "--seed", "3"], "--seed has no meaning with --from"),
        (["--from", "in", "--format", "exe"], "'exe'; expected one of"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert main(["generate", "run", "-o", "out", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_vocoder_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        open_vocoder(tmp_path / "none")
    (tmp_path / "x.keras").write_bytes(b"no archive")
    with pytest.raises(RunError, match="cannot be read as a vocoder"):
        open_vocoder(tmp_path / "x.keras")
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "y.keras")
    with pytest.raises(RunError, match="class Sequential, not a vocoder"):
        open_vocoder(tmp_path / "y.keras")


def test_plans_that_would_lose_a_file(tmp_path):
    recordings(tmp_path / "in")
    np.save(tmp_path / "in" / "a.npy", np.zeros((3, 20)))
    with pytest.raises(GanAudioError, match=r"would both become .*a\.wav"):
        plan_vocode([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(GanAudioError, match="is the input folder"):
        plan_vocode([tmp_path / "in"], tmp_path / "in")


def test_a_long_mel_file_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "x.npy", np.full((50, 20), -5.0, np.float32))
    mel = read_mel(VocodeJob("x", tmp_path / "x.npy", tmp_path / "x.wav"), C)
    assert isinstance(mel, np.memmap)
