"""Decoding and encoding: every format against soundfile's own reading, every kind of bad file against its reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.data.audio.wav_clip import pcm_of_wav_bytes, wav_bytes
from gansynth_cli.errors import AudioFileError, DatasetError, UsageError

from .conftest import write_wav

FORMATS = [
    ("a.wav", "WAV", "PCM_16"),
    ("a.wav", "WAV", "PCM_24"),
    ("a.wav", "WAV", "PCM_U8"),
    ("a.wav", "WAV", "FLOAT"),
    ("a.wav", "WAV", "ULAW"),
    ("a.flac", "FLAC", "PCM_16"),
    ("a.aiff", "AIFF", "PCM_16"),
    ("a.ogg", "OGG", "VORBIS"),
    ("a.opus", "OGG", "OPUS"),
    ("a.mp3", "MP3", "MPEG_LAYER_III"),
    ("mp3 inside.wav", "MP3", "MPEG_LAYER_III"),
]


def sound(samples: int = 9000, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Two sines and a little noise, [samples, channels]."""
    t = np.arange(samples) / 16000
    pitches = 440.0 * np.arange(1, channels + 1)
    return 0.4 * np.sin(2 * np.pi * t[:, None] * pitches) + np.random.default_rng(seed).uniform(-0.01, 0.01, (samples, channels))


@pytest.mark.parametrize("name, container, subtype", FORMATS)
def test_every_format_is_decoded_as_its_content_says(tmp_path: Path, name: str, container: str, subtype: str):
    path = tmp_path / "ünï códe" / name
    path.parent.mkdir()
    soundfile.write(path, sound(48000), 48000, subtype=subtype, format=container)
    expected, _ = soundfile.read(path, dtype="float32")
    audio, rate = audio_file.read(path)
    assert rate == 48000
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, expected)
    info = audio_file.probe(path)
    assert (info.sample_rate, info.channels, info.frames, info.subtype, info.container) == (48000, 2, 48000, subtype, container)


@pytest.mark.parametrize("name, container, subtype", FORMATS)
@pytest.mark.parametrize("block", [1000, 4096])
def test_blocks_and_parts_are_what_the_whole_is(tmp_path: Path, name: str, container: str, subtype: str, block: int):
    """A pure tone makes an MP3 whose frames lean on earlier ones: soundfile's own `blocks` gets it wrong by half of full scale."""
    path = tmp_path / name
    t = np.arange(32000) / 16000
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * 440 * t), 16000, subtype=subtype, format=container)
    whole, _ = audio_file.read(path)
    pieces = list(audio_file.blocks(path, block))
    assert max(map(len, pieces)) <= block
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    for start in (1000, 4571, 20000):
        part, _ = audio_file.read(path, start=start, frames=2000)
        np.testing.assert_allclose(part, whole[start : start + 2000], atol=1e-6)


def test_resampling_in_blocks_agrees_with_one_call(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", sound(44100), 44100)
    whole, rate = audio_file.read(path, sample_rate=16000, channels=1)
    streamed = np.concatenate(list(audio_file.blocks(path, 3000, sample_rate=16000, channels=1)))
    assert rate == 16000
    assert whole.shape == streamed.shape == (16000, 1)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)
    spectrum = np.abs(np.fft.rfft(whole[:, 0] * np.hanning(16000)))  # the pitches are relative to 16 kHz: 440 Hz is 1213 Hz at 44.1
    assert np.argmax(spectrum) == pytest.approx(440 * 44100 / 16000, abs=1)


def test_channels():
    stereo = np.array([[1.0, 3.0], [2.0, 4.0]], np.float32)
    np.testing.assert_array_equal(audio_file.to_channels(stereo, 1), [[2.0], [3.0]])
    np.testing.assert_array_equal(audio_file.to_channels(stereo, 2), stereo)
    np.testing.assert_array_equal(audio_file.to_channels(stereo[:, :1], 2), [[1.0, 1.0], [2.0, 2.0]])
    np.testing.assert_array_equal(audio_file.to_channels(np.arange(6.0).reshape(1, 6), 2), [[0.0, 1.0]])
    np.testing.assert_array_equal(audio_file.to_channels(stereo, 3), [[1.0, 3.0, 3.0], [2.0, 4.0, 4.0]])


def test_16_bit_round_trip_is_exact_over_all_values(tmp_path: Path):
    every = np.arange(-32768, 32768, dtype=np.int16)[:, None]
    as_float = every.astype(np.float32) / 32768
    audio_file.write(tmp_path / "all.wav", as_float, 8000)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "all.wav", dtype="int16", always_2d=True)[0], every)
    np.testing.assert_array_equal(audio_file.read(tmp_path / "all.wav")[0], as_float)
    np.testing.assert_array_equal(pcm_of_wav_bytes(wav_bytes(every, 8000)), every)


def test_wav_bytes_are_a_wav_file(tmp_path: Path):
    pcm = np.random.default_rng(0).integers(-30000, 30000, (500, 2), dtype=np.int16)
    (tmp_path / "a.wav").write_bytes(wav_bytes(pcm, 22050))
    audio, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 22050
    np.testing.assert_array_equal(audio, pcm)


def _nan(path: Path) -> None:
    write_wav(path, np.array([0.0, np.nan, 0.5]), subtype="FLOAT")


def _infinite(path: Path) -> None:
    write_wav(path, np.array([0.0, np.inf, 0.5]), subtype="DOUBLE")


def _truncated_wav(path: Path) -> None:
    path.write_bytes(write_wav(path, sound(4000)).read_bytes()[:5000])


def _truncated_flac(path: Path) -> None:
    soundfile.write(path, sound(40000), 16000, format="FLAC")
    path.write_bytes(path.read_bytes()[:30000])


BAD = {
    "does not exist": lambda path: None,
    "empty file (0 bytes)": lambda path: path.write_bytes(b""),
    "not audio that libsndfile can read": lambda path: path.write_text("this is a text\n" * 100),
    "zero samples": lambda path: write_wav(path, np.zeros(0)),
    "truncated: ": _truncated_wav,
    "damaged or truncated": _truncated_flac,
    "NaN or infinite samples": _nan,
    "NaN or infinite ": _infinite,
    "cannot be ": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_files_are_refused_with_their_reason(tmp_path: Path, reason: str):
    path = tmp_path / "bad file.wav"
    BAD[reason](path)
    for consume in (audio_file.read, lambda path: list(audio_file.blocks(path, 100))):
        with pytest.raises(AudioFileError) as caught:
            consume(path)
        assert caught.value.reason.startswith(reason)
        assert str(path) in caught.value.message


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_wav(tmp_path / "a.wav", sound())

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioFileError, match="cannot be opened: permission denied"):
        audio_file.read(path)


def test_a_wav_of_a_streaming_writer_is_not_truncated(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", sound(1000, 1))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # what a program leaves that cannot seek back
    path.write_bytes(content)
    assert len(audio_file.read(path)[0]) == 1000


def test_one_sample_is_audio(tmp_path: Path):
    audio, _ = audio_file.read(write_wav(tmp_path / "a.wav", np.array([0.5])))
    np.testing.assert_array_equal(audio, [[0.5]])


def test_find_audio(tmp_path: Path):
    for name in ("b/2.wav", "b/10.FLAC", "a/1.mp3", "a/notes.txt", "a/._1.wav", ".hidden/3.wav", "odd.xyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = find_audio([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for _, path in found] == ["a/1.mp3", "b/10.FLAC", "b/2.wav"]
    assert {root for root, _ in found} == {tmp_path}
    again = find_audio([tmp_path, tmp_path / "b/2.wav", tmp_path / "odd.xyz"])
    assert [path.name for _, path in again] == ["1.mp3", "10.FLAC", "2.wav", "odd.xyz"], "each file once, a named file whatever its suffix"


def test_find_audio_says_what_is_there_instead(tmp_path: Path):
    with pytest.raises(UsageError, match="nowhere does not exist"):
        find_audio([tmp_path / "nowhere"])
    with pytest.raises(DatasetError, match="it is empty"):
        find_audio([tmp_path])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"suffixes \.txt"):
        find_audio([tmp_path])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_mark_is_written_and_read_back(tmp_path: Path, name: str):
    mark = {"synthetic": True, "software": "gan-audio 0", "recipe": "wavegan/tiny", "seed": 7, "model": "ü" + "0" * 64}
    path = tmp_path / "new folder" / name
    audio_file.write(path, sound(), 16000, tag=mark)
    assert audio_file.read_tag(path) == mark
    assert json.loads(soundfile.SoundFile(path).comment) == mark
    audio, rate = audio_file.read(path)
    assert rate == 16000
    assert audio.shape[1] == 2
    assert np.abs(audio[:9000] - sound()).max() < (1e-4 if name.endswith(("wav", "flac")) else 0.2)
    assert [p.name for p in path.parent.iterdir()] == [name], "no temporary file is left"


def test_files_without_a_mark(tmp_path: Path):
    assert audio_file.read_tag(write_wav(tmp_path / "a.wav", sound())) is None
    with soundfile.SoundFile(tmp_path / "b.wav", "w", 8000, 1) as file:
        file.comment = "a remark"
        file.write(np.zeros(10))
    assert audio_file.read_tag(tmp_path / "b.wav") is None


def test_write_clips_what_is_too_loud(tmp_path: Path):
    for subtype in ("PCM_16", "PCM_24"):
        audio_file.write(tmp_path / "a.wav", np.array([-2.0, 0.25, 2.0]), 8000, subtype=subtype, overwrite=True)
        np.testing.assert_allclose(audio_file.read(tmp_path / "a.wav")[0][:, 0], [-1, 0.25, 1], atol=1e-4)
    audio_file.write(tmp_path / "f.wav", np.array([-2.0, 0.25, 2.0]), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(audio_file.read(tmp_path / "f.wav")[0][:, 0], [-2.0, 0.25, 2.0])


def test_write_refuses(tmp_path: Path):
    path = tmp_path / "a.wav"
    audio_file.write(path, sound(), 8000)
    before = path.read_bytes()
    with pytest.raises(AudioFileError, match="exists already"):
        audio_file.write(path, sound() * 0.5, 8000)
    with pytest.raises(AudioFileError, match="NaN"):
        audio_file.write(path, np.array([np.nan]), 8000, overwrite=True)
    with pytest.raises(UsageError, match=r"\.xyz"):
        audio_file.write(tmp_path / "a.xyz", sound(), 8000)
    with pytest.raises(UsageError, match=r"no encoding 'FLOAT'.*PCM_16"):
        audio_file.write(tmp_path / "a.flac", sound(), 8000, subtype="FLOAT")
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioFileError, match="cannot be written"):
        audio_file.write(tmp_path / "file" / "a.wav", sound(), 8000)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "file"]


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_failed_write_leaves_the_old_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / name
    audio_file.write(path, sound(), 8000)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AudioFileError, match="No space left"):
        audio_file.write(path, sound() * 0.5, 8000, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]
