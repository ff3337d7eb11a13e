"""Exported models: one frame a call equals the whole recording, transforms as products equal fast ones, every format equals the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.cli.export import FORMATS
from gansynth_cli.families.deepfilternet.networks import TINY
from gansynth_cli.inference.enhance.enhancers import open_enhancer
from gansynth_cli.inference.export import export, formats
from gansynth_cli.models.bandwidth_extender import BandwidthExtender
from gansynth_cli.models.bandwidth_settings import BandwidthSettings
from gansynth_cli.models.deep_filter_denoiser import DeepFilterDenoiser
from gansynth_cli.models.exported import ExportedNetwork, ExportPlan, Port
from gansynth_cli.models.model_file import USES, find_model, register_layers
from gansynth_cli.signal import stft
from gansynth_cli.signal.portable import portable_graph

from . import conversion_families, note_models, tiny_families, vocoder_families
from .conftest import write_wav
from .enhance_fakes import write_denoiser
from .helpers import disturb, noise, run


def frame_by_frame(plan: ExportPlan, audio: np.ndarray) -> np.ndarray:
    """Denoise float32 [samples] with the function that is exported, the transform in numpy, as the example program does."""
    (network,), facts = plan.networks, plan.facts
    frame, hop, lag = facts["frame"], facts["hop"], (1 + facts["lookahead_frames"]) * facts["hop"]
    n = np.arange(frame)
    shapes = {"vorbis": np.sin(np.pi / 2 * np.sin(np.pi * (n + 0.5) / frame) ** 2), "sqrt_hann": np.sin(np.pi * n / frame)}
    window = shapes[facts["window"]]
    graph = tf.function(network.function, autograph=False)
    states = list(network.first_states().values())
    padded = np.concatenate([np.zeros(hop), audio, np.zeros(lag + -len(audio) % hop)])
    out = np.zeros(len(padded))
    for begin in range(0, len(padded) - hop, hop):
        spectrum = np.fft.rfft(padded[begin : begin + frame] * window)[None]
        real, imaginary, *states = graph(*(tf.constant(part, tf.float32) for part in (spectrum.real, spectrum.imag)), 0.0, *states)
        out[begin : begin + frame] += np.fft.irfft(real[0].numpy() + 1j * imaginary[0].numpy(), frame) * window
    return out[lag:][: len(audio)]


def test_one_frame_a_call_equals_the_whole_recording(tmp_path: Path):
    model = DeepFilterDenoiser(TINY)
    disturb(model)
    audio = 0.1 * noise(12 * 480 + 100)
    np.testing.assert_allclose(frame_by_frame(model.export_plan(), audio), model.enhance(audio[None])[0], atol=2e-6)
    file = write_denoiser(tmp_path / "small.keras")
    wanted = open_enhancer(file).apply(audio[None], passes=1, strength_db=np.inf)[0]
    np.testing.assert_allclose(frame_by_frame(find_model(file).load().export_plan(), audio), wanted, atol=2e-6)


def test_products_equal_fast_transforms():
    audio = tf.constant(noise(2, 3, 500))
    for options in ({"fft": 64, "hop": 16, "front": 48}, {"fft": 60, "hop": 20}, {"fft": 33, "hop": 8, "window": 32}):
        wanted = stft.stft_parts(audio, **options)
        with portable_graph():
            made = stft.stft_parts(audio, **options)
        np.testing.assert_allclose(made, wanted, atol=2e-5)
    real, imaginary = stft.stft_parts(audio, 64, 16, front=48)
    magnitude = tf.sqrt(real**2 + imaginary**2)
    with portable_graph():
        np.testing.assert_allclose(stft.istft_parts(real, imaginary, 64, 16, 500, 48), audio, atol=1e-5)
        made = stft.griffin_lim(magnitude, 64, 16, 500, iterations=3, momentum=0.9), stft.griffin_lim_plain(magnitude, 64, 16, 500, 3)
    np.testing.assert_allclose(made[0], stft.griffin_lim(magnitude, 64, 16, 500, iterations=3, momentum=0.9), atol=1e-4)
    np.testing.assert_allclose(made[1], stft.griffin_lim_plain(magnitude, 64, 16, 500, 3), atol=1e-4)


def test_every_saved_class_says_what_is_exported():
    register_layers()
    objects = keras.saving.get_custom_objects()
    without = {name for name in USES if not hasattr(objects[f"gan_audio>{name}"], "export_plan")}
    assert without == {
        "JetsSynthesiser",
        "PhoneRecogniser",
        "TacotronSynthesiser",
        "VitsSynthesiser",
        "VoiceCloner",
    }  # as docs/export.md says
    assert {*formats.FORMATS, export.WEB} == set(FORMATS)


def test_a_model_that_amplifies_rounding_is_compared_with_its_own_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    port = Port("x", (3,))

    def network(scale: float, rounds: int) -> ExportedNetwork:
        def function(x):
            x = x * scale
            for _ in range(rounds):
                x = 3.9 * x * (1 - x)
            return (x,)

        return ExportedNetwork("map", function, (port,), (Port("y", (3,)),), lambda rng, call: {"x": rng.uniform(0.2, 0.4, 3).astype("f4")})

    write = formats.SavedModel.write
    for scale, rounds, kept in ((1.0 + 1e-6, 18, True), (1.002, 0, False), (1.0 + 2e-5, 18, False)):
        other = network(scale, rounds)
        monkeypatch.setattr(formats.SavedModel, "write", staticmethod(lambda traced, path, other=other: write(formats.Traced(other), path)))
        if kept:
            found = export._write(network(1.0, rounds), tmp_path, ["savedmodel"], lambda line: None)["files"]["savedmodel"]["compared"]
            assert 1e-3 < found["largest_difference"] < 3 * found["own_change"]
        else:
            with pytest.raises(formats.ExportError, match="other numbers"):
                export._write(network(1.0, rounds), tmp_path, ["savedmodel"], lambda line: None)


def test_a_file_that_gives_other_numbers_is_refused_and_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    port = Port("x", ("batch", 3))
    network = ExportedNetwork(
        "double", lambda x: (2 * x,), (port,), (Port("y", port.shape),), lambda rng, call: {"x": np.ones((1, 3), "f4")}
    )
    assert (
        export._write(network, tmp_path, ["savedmodel"], lambda line: None)["files"]["savedmodel"]["compared"]["largest_difference"] == 0.0
    )
    write = formats.SavedModel.write
    other = ExportedNetwork("double", lambda x: (2.01 * x,), network.inputs, network.outputs, network.example)
    monkeypatch.setattr(formats.SavedModel, "write", staticmethod(lambda traced, path: write(formats.Traced(other), path)))
    with pytest.raises(formats.ExportError, match="other numbers"):
        export._write(network, tmp_path, ["savedmodel"], lambda line: None)
    assert not list(tmp_path.iterdir())
    python = ExportedNetwork("numpy", lambda x: (tf.numpy_function(np.tanh, [x], tf.float32),), (port,), network.outputs, network.example)
    with pytest.raises(formats.ExportError, match="Python program"):
        export._write(python, tmp_path, ["savedmodel"], lambda line: None)
    broken = [{"y": np.full((1, 3), np.nan, np.float32)}]
    assert export._difference([{"y": np.ones((1, 3), np.float32)}], broken)[0] == np.inf  # max(0, NaN) is 0


def test_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    for words, text in (
        (["denoiser", "-o", tmp_path / "x", "--format", "onxx"], "expected one of onnx"),
        (["denoisr", "-o", tmp_path / "x"], "did you mean denoiser"),
        (["denoiser", "-o", tmp_path / "full"], "other files"),
    ):
        code, _, err = run(capsys, "export", *words)
        assert code != 0
        assert text in " ".join(err.split())
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    code, _, err = run(capsys, "export", "denoiser", "-o", tmp_path / "x")
    assert (code, "gan-audio[export]" in err) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


MODELS = {
    "bandwidth": lambda: BandwidthExtender(BandwidthSettings(channels=8, hidden=12, blocks=2, input_bands=16)),
    "deep filter": lambda: DeepFilterDenoiser(TINY),
    "waveforms": lambda: inference_model(tiny_families.make_family("wavegan")),
    "spectrograms": lambda: inference_model(tiny_families.make_family("specgan")),
    "notes": lambda: note_models.make_model(encoder=False),
    "vocos": lambda: inference_model(vocoder_families.make_family("vocos")),
    "hifigan": lambda: inference_model(vocoder_families.make_family("hifigan")),
    "voices": lambda: inference_model(conversion_families.make_family("stargan_vc")),
}


def inference_model(family) -> keras.Model:
    return family.inference_model(family.networks)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_onnx(name: str, tmp_path: Path):
    pytest.importorskip("tf2onnx", reason="the extra export is not installed")
    for network in MODELS[name]().export_plan().networks:
        facts = export._write(network, tmp_path, ["onnx"], lambda line: None)["files"]["onnx"]["compared"]
        assert facts["largest_difference"] < 1e-4 * max(1.0, facts["largest_output"])


@pytest.mark.slow
def test_the_command_and_its_example(tmp_path: Path, capsys: pytest.CaptureFixture):
    """All formats of a denoiser; the example program cleans a file as `enhance` does."""
    for package in ("tf2onnx", "ai_edge_litert"):
        pytest.importorskip(package, reason="the extra export is not installed")
    model, folder = write_denoiser(tmp_path / "small.keras"), tmp_path / "out"
    words = [word for name in formats.FORMATS for word in ("--format", name)]
    code, out, err = run(capsys, "export", model, "-o", folder, "--json", *words)
    assert code == 0, err
    facts = json.loads(out)
    assert facts == json.loads((folder / "model.json").read_text())
    files = facts["networks"]["denoiser"]["files"]
    assert set(files) == set(formats.FORMATS)
    assert all(file["compared"]["largest_difference"] < 1e-4 and (folder / file["file"]).exists() for file in files.values())
    assert (facts["sample_rate"], facts["latency_samples"], facts["networks"]["denoiser"]["states"][0]["output"]) == (16000, 512, "next0")
    audio = 0.1 * noise(6000)
    write_wav(tmp_path / "in.wav", audio, 16000)
    subprocess.run([sys.executable, folder / "example.py", tmp_path / "in.wav", tmp_path / "made.wav", "12"], check=True)
    given, made = (soundfile.read(tmp_path / name, dtype="float32")[0] for name in ("in.wav", "made.wav"))
    wanted = open_enhancer(model).apply(given[None], passes=1, strength_db=12.0)[0]
    np.testing.assert_allclose(made, wanted, atol=1e-4)
    code, _, err = run(capsys, "export", model, "-o", folder)
    assert (code, "--overwrite" in err) == (2, True)
