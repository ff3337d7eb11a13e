"""Formats that libsndfile cannot read: through PyAV and through ffmpeg, or named with the line to type."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.data.audio import audio_file, media
from gansynth_cli.errors import AudioFileError
from gansynth_cli.inference.files.plan import plan_files

from .conftest import write_wav
from .test_file_task import HalveTask

av = pytest.importorskip("av")
RATE, SAMPLES = 44100, 44100


def tone() -> np.ndarray:
    t = np.arange(SAMPLES) / RATE
    return np.stack([0.4 * np.sin(2 * np.pi * 440 * t), 0.2 * np.sin(2 * np.pi * 880 * t)]).astype(np.float32)


def encode(path: Path, codec: str, sample_format: str, *, picture: bool = False, sound: bool = True) -> Path:
    """Write the tone, and with `picture` a film of one second in front of it."""
    with av.open(str(path), "w") as file:
        film = file.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p") if picture else None
        stream = file.add_stream(codec, rate=RATE, layout="stereo", format=sample_format) if sound else None
        if film is not None:
            for index in range(5):
                image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * index, np.uint8), format="rgb24")
                file.mux(film.encode(image))
            file.mux(film.encode(None))
        if stream is not None:
            planar = "s16p" if sample_format.startswith("s16") else "s32p" if sample_format.startswith("s32") else "fltp"
            scale = {"s16p": 2**15, "s32p": 2**31, "fltp": 1}[planar]
            samples = (tone().astype(np.float64) * scale).astype({"s16p": np.int16, "s32p": np.int32, "fltp": np.float32}[planar])
            size = stream.codec_context.frame_size or 1024
            for start in range(0, SAMPLES, size):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + size]), format=planar, layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                for made in av.AudioResampler(format=sample_format, layout="stereo", rate=RATE).resample(frame):
                    made.pts = start
                    file.mux(stream.encode(made))
            file.mux(stream.encode(None))
    return path


@pytest.fixture(params=["av", "ffmpeg"])
def decoder(request, monkeypatch) -> str:
    if request.param == "ffmpeg":
        if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
            pytest.skip("ffmpeg is not installed")
        monkeypatch.setattr(media, "_has_av", lambda: False)
    return request.param


def test_sound_of_other_formats_is_decoded(tmp_path: Path, decoder: str):
    for name, codec, sample_format, subtype in (
        ("a.m4a", "aac", "fltp", "AAC"),
        ("lossless.m4a", "alac", "s16p", "ALAC_16"),
        ("deep.m4a", "alac", "s32p", "ALAC_24"),
        ("film.mp4", "aac", "fltp", "AAC"),
    ):
        path = encode(tmp_path / name, codec, sample_format, picture=name == "film.mp4")
        audio, rate = audio_file.read(path)
        info = audio_file.probe(path)
        assert (rate, audio.shape[1], info.subtype) == (RATE, 2, subtype)
        assert abs(len(audio) - SAMPLES) < 3000
        spectrum = np.abs(np.fft.rfft(audio[2048:40000].T * np.hanning(40000 - 2048)))
        np.testing.assert_allclose(np.argmax(spectrum, axis=1) * RATE / (40000 - 2048), [440, 880], atol=2)
        if codec == "alac":
            np.testing.assert_allclose(audio, tone().T[: len(audio)], atol=2**-15)
        part, _ = audio_file.read(path, start=20000, frames=100)
        np.testing.assert_allclose(part, audio[20000:20100], atol=1e-6)


def test_what_is_cut_or_mute_is_named(tmp_path: Path, decoder: str):
    whole = encode(tmp_path / "a.mka", "aac", "fltp")
    content = whole.read_bytes()
    (tmp_path / "cut.mka").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.m4a").write_text("hello")
    encode(tmp_path / "mute.mp4", "aac", "fltp", picture=True, sound=False)
    for name, reason in (("cut.mka", "truncated|damaged"), ("text.m4a", "damaged, or not audio"), ("mute.mp4", "no audio track")):
        with pytest.raises(AudioFileError, match=reason):
            audio_file.read(tmp_path / name)


def test_without_a_decoder_each_file_is_named_with_the_line_to_type(tmp_path: Path, monkeypatch):
    (tmp_path / "in").mkdir()
    encode(tmp_path / "in" / "a.m4a", "aac", "fltp")
    write_wav(tmp_path / "in" / "a.wav", np.zeros(100) + 0.1)
    (tmp_path / "in" / "notes.txt").write_text("x")
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(media.shutil, "which", lambda name: None)
    plan = plan_files(HalveTask(), [tmp_path / "in"], tmp_path / "out")
    assert [job.name for job in plan.jobs] == ["a.wav"]
    assert [(outcome.name, outcome.hint) for outcome in plan.failed] == [
        ("a.m4a", "pip install 'gan-audio[av]', or: ffmpeg -i 'a.m4a' 'a.wav'")
    ]
    assert [(path.name, reason) for path, reason in plan.others] == [("notes.txt", "not audio by its suffix (.txt)")]
    monkeypatch.undo()
    targets = {job.name: job.target.name for job in plan_files(HalveTask(), [tmp_path / "in"], tmp_path / "out").jobs}
    assert targets == {"a.m4a": "a.m4a.wav", "a.wav": "a.wav"}
