"""The Python API: objects by kind, arrays equal to what the command line writes, and an import that loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile

import gansynth_cli as gan_audio
from gansynth_cli.cli.app import main
from gansynth_cli.inference.generate.latents import draw_latents
from gansynth_cli.models.model_file import find_model
from gansynth_cli.signal.mel_front_end import mel_spectrogram

from .conftest import write_tones, write_wav
from .convert_fakes import voice, write_converter
from .note_models import DIM, save_model
from .test_generate import LABELS, SAMPLES, make_generator
from .vocoder_families import make_family, speech_like

ROOT = Path(__file__).parent.parent


def test_importing_loads_neither_tensorflow_nor_numpy():
    script = (
        "import sys; import gansynth_cli as gan_audio; names = dir(gan_audio); heavy = {'tensorflow', 'keras', 'numpy', 'typer', 'rich'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); assert 'load' in names and 'train' in names;"
        "gan_audio.load; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_every_name_is_there_and_no_other():
    from gansynth_cli import api

    assert set(dir(gan_audio)) - {"__version__"} == set(api.__all__)
    assert all(getattr(gan_audio, name) is getattr(api, name) for name in api.__all__)
    for module in (gan_audio, api):
        with pytest.raises(AttributeError, match="nothing"):
            module.nothing  # noqa: B018


@pytest.fixture(scope="module")
def drums(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("drums") / "generator.keras"
    make_generator().save(file)
    return file


def test_a_generator_gives_the_clips_of_the_command(drums, tmp_path):
    model = gan_audio.load(drums)
    assert isinstance(model, gan_audio.Generator)
    assert (model.sample_rate, model.clip_samples, model.classes) == (8000, SAMPLES, {"label": LABELS})
    assert model.provenance["recipe"] == "test/tiny"
    clips = model.generate(20, seed=5, first=7)
    assert clips.shape == (20, SAMPLES, 1)
    assert clips.dtype == np.float32
    arguments = ["-n", "20", "--seed", "5", "--first", "7", "--subtype", "FLOAT", "-o", str(tmp_path), "-q"]
    assert main(["generate", str(drums), *arguments]) == 0
    for clip, file in zip(clips, sorted(tmp_path.glob("*.wav")), strict=True):
        np.testing.assert_array_equal(soundfile.read(file, dtype="float32")[0], clip[:, 0])
    np.testing.assert_array_equal(model.generate(1, seed=5, first=9, label=LABELS[0]), clips[2:3])
    two = model.generate(2, seed=5, first=9, label=[LABELS[0], LABELS[1]])
    np.testing.assert_array_equal(two[:1], model.generate(1, seed=5, first=9, label=LABELS[1]))
    kept = draw_latents(5, range(7, 10), model.latent_dim, "uniform")
    np.testing.assert_array_equal(model.generate(latents=kept, label="kick"), model.generate(3, seed=5, first=7, label="kick"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"label": "kik"}, "Did you mean 'kick'"),
        ({"pitch": 60}, "not conditioned on pitch"),
        ({"truncation": 2.0}, "at most 1"),
        ({"seed": -1}, "seed is -1"),
        ({"n": 0}, "-n is 0"),
        ({"latents": np.zeros((2, 3))}, r"expected finite numbers \[m, 8\]"),
        ({"latents": np.full(8, np.nan)}, "finite"),
    ],
)
def test_what_a_generator_refuses(drums, options, message):
    with pytest.raises(gan_audio.GanAudioError, match=message):
        gan_audio.load(drums).generate(**options)


def test_notes_take_pitches_by_number_and_by_name(tmp_path):
    model = gan_audio.load(save_model(tmp_path / "n.keras"))
    assert list(model.classes) == ["pitch", "instrument"]
    one = model.generate(2, pitch=60, instrument="flute")
    np.testing.assert_array_equal(model.generate(2, pitch="C4", instrument=["flute"]), one)
    both = model.generate(2, pitch=[60, "C3"], instrument="flute")
    np.testing.assert_array_equal(both[1], one[1])  # ascending: clip 1 is C4
    assert model.generate(latents=np.zeros(DIM), pitch="60-61", instrument="flute").shape[0] == 2


def test_a_denoiser_gives_what_the_command_writes(tmp_path):
    noisy = (speech_like(24000, 16000)[:, 0] + 0.05 * np.random.default_rng(0).standard_normal(24000)).astype(np.float32)
    model = gan_audio.load("denoiser")
    assert isinstance(model, gan_audio.Denoiser)
    clean = model.enhance(noisy, 16000, strength_db=12)
    assert clean.shape == noisy.shape
    assert np.abs(clean - noisy).max() > 1e-3
    write_wav(tmp_path / "a.wav", noisy, 16000, "FLOAT")
    assert main(["enhance", str(tmp_path / "a.wav"), "-o", str(tmp_path / "b.wav"), "--strength", "12", "-q"]) == 0
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], clean, atol=1e-6)
    stereo = model.enhance(np.stack([noisy, noisy], axis=1).astype(np.float64), 16000)
    assert stereo.shape == (24000, 2)
    assert stereo.dtype == np.float64
    np.testing.assert_array_equal(model.enhance(noisy, 16000, mix=0), noisy)
    with pytest.raises(gan_audio.GanAudioError, match="--strength is -1"):
        model.enhance(noisy, 16000, strength_db=-1)
    with pytest.raises(TypeError):
        model.enhance(noisy, 16000, strenght_db=3)


def test_a_vocoder_gives_what_the_command_writes(tmp_path):
    family = make_family("vocos", "model.discriminators=[]")
    family.inference_model(family.networks).save(tmp_path / "v.keras")
    model = gan_audio.load(tmp_path / "v.keras")
    assert isinstance(model, gan_audio.Vocoder)
    audio = speech_like(9001)[:, 0]
    made = model.vocode(audio, 8000)
    assert made.shape == audio.shape
    write_wav(tmp_path / "a.wav", audio, 8000, "FLOAT")
    target = str(tmp_path / "b.wav")
    command = ["vocode", str(tmp_path / "a.wav"), "-o", target, "--model", str(tmp_path / "v.keras"), "--subtype", "FLOAT", "-q"]
    assert main(command) == 0
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], np.clip(made, -1, 1), atol=1e-5)
    mel = mel_spectrogram(audio[None], model.convention).numpy()[0]
    np.testing.assert_allclose(model.vocode_mel(mel)[:9001], made, atol=1e-4)
    with pytest.raises(gan_audio.GanAudioError, match="20"):
        model.vocode_mel(np.zeros((4, 19)))


def test_a_converter_gives_what_the_command_writes(tmp_path):
    pytest.importorskip("pyworld")
    model = gan_audio.load(write_converter(tmp_path / "c.keras"))
    assert isinstance(model, gan_audio.Converter)
    assert model.domains == ("anna", "bruno", "carla")
    audio = voice(1.5).astype(np.float32)
    made = model.convert(audio, 8000, to="bruno", source="anna")
    assert made.shape == audio.shape
    write_wav(tmp_path / "a.wav", audio, 8000, "FLOAT")
    command = ["convert", str(tmp_path / "a.wav"), "--to", "bruno", "--from", "anna", "--model", str(tmp_path / "c.keras")]
    assert main([*command, "-o", str(tmp_path / "b.wav"), "-q"]) == 0
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], made, atol=1e-5)
    with pytest.raises(gan_audio.GanAudioError, match="No target"):
        model.convert(audio, 8000)
    with pytest.raises(gan_audio.GanAudioError):
        model.convert(audio, 8000, to="nobody", source="anna")


def test_what_is_no_model(tmp_path):
    for path in (tmp_path / "none", "denoisr"):
        with pytest.raises(gan_audio.GanAudioError, match="does not exist"):
            gan_audio.load(path)


def test_from_recordings_to_clips_and_figures(tmp_path):
    write_tones(tmp_path / "tones", takes=4)
    prepared = gan_audio.prepare(tmp_path / "tones", tmp_path / "data", "wavegan/tiny", jobs=1)
    assert prepared.info.labels == ["high", "low", "noise"]  # the recipe is conditioned on labels: by folder
    assert (prepared.info.sample_rate, prepared.info.clip_samples) == (8000, 2048)
    changed = gan_audio.prepare(
        [tmp_path / "tones"], tmp_path / "other", "wavegan/tiny", labels="none", cut={"clip_samples": 1024}, splits={"test": 0.0}, jobs=1
    )
    assert (changed.info.labels, changed.info.clip_samples) == ([], 1024)
    events = []
    report = gan_audio.train(
        "wavegan/tiny", tmp_path / "data", tmp_path / "run", sets=["training.steps=2", "training.preview_clips=2"], on_event=events.append
    )
    assert (report.step, report.ended_by) == (2, "steps")
    assert events
    model = gan_audio.load(tmp_path / "run")
    clips = model.generate(3, label="low")
    assert clips.shape == (3, 2048, 1)
    for index, clip in enumerate(clips):
        write_wav(tmp_path / "clips" / "low" / f"{index}.wav", clip, model.sample_rate)
    scores = gan_audio.evaluate_pairs([tmp_path / "clips"], tmp_path / "clips", metrics="si_sdr,mr_stft")
    assert scores["systems"][0]["figures"]


@pytest.mark.skipif(find_model("vocoder").is_newer_than(version("keras")), reason="the bundled vocoder is newer than this Keras")
def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    runnable = next(block for block in blocks if 'load("denoiser")' in block)
    scope: dict = {}
    exec(runnable, scope)
    assert scope["clean"].shape == scope["again"].shape == (32000,)
    refused = next(block for block in blocks if "GanAudioError" in block)
    exec(refused, scope)
    for block in blocks:
        compile(block, "docs/python.md", "exec")
