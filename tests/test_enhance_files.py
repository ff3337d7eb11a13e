"""Recordings in pieces and in pipes: what is written is what was given, whole or not at all, and what changes while being read is named."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli import files
from gansynth_cli.data.audio import audio_file, audio_stream, pcm_stream
from gansynth_cli.errors import AudioFileError, UsageError

from .conftest import write_wav

WRITTEN = [
    ("a.wav", "WAV", "PCM_U8", 2**-7),
    ("a.wav", "WAV", "PCM_16", 2**-15),
    ("a.wav", "WAV", "PCM_24", 2**-23),
    ("a.wav", "WAV", "PCM_32", 2**-31),
    ("a.wav", "WAV", "FLOAT", 1e-7),
    ("a.wav", "WAV", "DOUBLE", 1e-15),
    ("a.wav", "WAVEX", "PCM_24", 2**-23),
    ("a.wav", "RF64", "PCM_16", 2**-15),
    ("a.flac", "FLAC", "PCM_S8", 2**-7),
    ("a.flac", "FLAC", "PCM_16", 2**-15),
    ("a.flac", "FLAC", "PCM_24", 2**-23),
    ("a.aiff", "AIFF", "PCM_24", 2**-23),
    ("a.w64", "W64", "PCM_16", 2**-15),
    ("a.caf", "CAF", "PCM_16", 2**-15),
    ("a.wav", "WAV", "ULAW", 0.03),
    ("a.ogg", "OGG", "VORBIS", 0.1),
    ("a.ogg", "OGG", "OPUS", 0.1),
    ("a.mp3", "MP3", "MPEG_LAYER_III", 0.1),
]


def sound(samples: int = 9001, channels: int = 2) -> np.ndarray:
    t = np.arange(samples) / 48000
    return 0.4 * np.sin(2 * np.pi * t[:, None] * 440 * np.arange(1, channels + 1)) * np.hanning(samples)[:, None]


@pytest.mark.parametrize("name, container, subtype, step", WRITTEN)
def test_pieces_make_the_whole(tmp_path: Path, name: str, container: str, subtype: str, step: float):
    audio = sound()
    path = tmp_path / "new folder" / name
    tags = {"title": "Grüße", "comment": "said at noon"}
    with audio_stream.Writer(path, 48000, 2, subtype=subtype, container=container, tags=tags) as out:
        for start in range(0, len(audio), 1000):
            assert not path.exists()
            out.write(audio[start : start + 1000])
    assert [file.name for file in path.parent.iterdir()] == [name]
    info = audio_file.probe(path)
    assert (info.container, info.subtype, info.sample_rate, info.channels, info.frames) == (container, subtype, 48000, 2, 9001)
    with audio_stream.open_reader(path) as reader:
        blocks = list(reader.blocks(700))
        if container not in ("AIFF", "W64"):  # AIFF keeps only some tags, W64 none
            assert reader.tags["comment"] == "said at noon"
    back = np.concatenate(blocks)
    assert max(map(len, blocks)) <= 700
    assert back.dtype == (np.float64 if subtype in ("PCM_32", "DOUBLE") else np.float32)
    np.testing.assert_allclose(back, audio, atol=0.51 * step)
    if audio_stream.is_stepped(subtype):
        np.testing.assert_array_equal(back, audio_stream.as_written(audio, subtype))
        with audio_stream.Writer(tmp_path / name, 48000, 2, subtype=subtype, container=container) as again:
            again.write(back)  # what came from the file goes back unchanged
        np.testing.assert_array_equal(soundfile.read(tmp_path / name, dtype="int32")[0], soundfile.read(path, dtype="int32")[0])


def test_too_loud_is_clipped_and_counted(tmp_path: Path):
    loud = np.array([[0.5], [1.5], [-1.2], [1.0], [-1.0]])
    for subtype, expected, clipped in (("PCM_16", [0.5, 32767 / 32768, -1, 32767 / 32768, -1], 2), ("FLOAT", loud[:, 0], 0)):
        with audio_stream.Writer(tmp_path / f"{subtype}.wav", 8000, 1, subtype=subtype) as out:
            out.write(loud)
        assert out.clipped == clipped
        np.testing.assert_allclose(soundfile.read(tmp_path / f"{subtype}.wav")[0], expected, atol=1e-7)


def _write_and_fail(out: audio_stream.Writer) -> None:
    out.write(sound(500, 1))
    assert list(out.path.parent.iterdir())
    raise ZeroDivisionError


def _write_noise(out: audio_stream.Writer, samples: int = 200_000) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (samples, 1))
    for start in range(0, samples, 10_000):
        out.write(noise[start : start + 10_000])


def test_a_failure_leaves_nothing(tmp_path: Path):
    out = audio_stream.Writer(tmp_path / "a.flac", 8000, 1)
    with pytest.raises(ZeroDivisionError), out:
        _write_and_fail(out)
    with pytest.raises(AudioFileError, match="NaN"), audio_stream.Writer(tmp_path / "a.wav", 8000, 1, subtype="FLOAT") as out:
        out.write(np.array([[np.nan]]))
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path):
    (tmp_path / ".0123456789ab.partial.wav").write_bytes(b"half a file")
    (tmp_path / ".notes.partial").write_bytes(b"of somebody else")
    with audio_stream.Writer(tmp_path / "a.wav", 8000, 1) as out:
        out.write(sound(500, 1))
        assert files.remove_unfinished(tmp_path) == 1
        assert len(list(tmp_path.iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.partial", "a.wav"]
    assert files.remove_unfinished(tmp_path / "nowhere") == 0


def test_what_exists_is_kept(tmp_path: Path):
    path = write_wav(tmp_path / "a.wav", np.ones(10))
    before = path.read_bytes()
    with pytest.raises(AudioFileError, match="exists already"), audio_stream.Writer(path, 8000, 1) as out:
        out.write(sound(5, 1))
    assert path.read_bytes() == before
    with audio_stream.Writer(path, 8000, 1, overwrite=True) as out:
        out.write(sound(5, 1))
    assert audio_file.probe(path).frames == 5
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_what_cannot_be_written_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match=r"\.xyz"):
        audio_stream.Writer(tmp_path / "a.xyz", 8000, 1)
    with pytest.raises(UsageError, match="FLAC has no encoding 'FLOAT'"):
        audio_stream.Writer(tmp_path / "a.flac", 8000, 1, subtype="FLOAT")
    with (
        pytest.raises(AudioFileError, match="cannot be written"),
        audio_stream.Writer(tmp_path / "a.mp3", 96000, 7, subtype="MPEG_LAYER_III"),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioFileError, match="cannot be written"), audio_stream.Writer(tmp_path / "file" / "a.wav", 8000, 1):
        pass


@pytest.mark.parametrize("name, subtype", [("a.wav", "PCM_16"), ("a.flac", "PCM_24"), ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III")])
def test_no_room_is_named_with_the_systems_reason(tmp_path: Path, name: str, subtype: str):
    """A limit on the size of files stands for a full disk: the system refuses the same calls."""
    out = audio_stream.Writer(tmp_path / name, 16000, 1, subtype=subtype)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(AudioFileError, match="cannot be written: file too large") as caught, out:
            _write_noise(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(caught.value.__cause__, OSError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["grows", "is replaced", "vanishes", "shrinks"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str):
    path = write_wav(tmp_path / "a.wav", sound(50_000, 1))
    with audio_stream.open_reader(path) as reader:
        blocks = reader.blocks(1000)
        next(blocks)
        if change == "grows":
            with path.open("ab") as file:
                file.write(b"\0" * 100)
        elif change == "is replaced":
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        elif change == "shrinks":
            with path.open("rb+") as file:
                file.truncate(5000)
        else:
            path.unlink()
        with pytest.raises(AudioFileError, match="vanished" if change == "vanishes" else "changed") as caught:
            list(blocks)
    assert str(path) in str(caught.value)


def test_formats_for_names():
    info = lambda **facts: audio_file.AudioInfo(Path("x.wav"), 48000, 2, 10, **facts)
    assert audio_stream.output_format(info(container="WAV", subtype="PCM_24")) == ("WAV", "PCM_24", ".wav")
    assert audio_stream.output_format(info(container="MPEG", subtype="MPEG_LAYER_II")) == ("WAV", "PCM_16", ".wav")
    assert audio_stream.format_for(Path("a.flac"), "FLOAT") == ("FLAC", "PCM_24")
    assert audio_stream.format_for(Path("a.flac"), "VORBIS") == ("FLAC", "PCM_16")
    assert audio_stream.format_for(Path("a.OGG"), "PCM_16") == ("OGG", "VORBIS")
    with pytest.raises(UsageError):
        audio_stream.format_for(Path("a.xyz"), "PCM_16")


# Pipes.


class Trickle(io.RawIOBase):
    """A pipe whose writer is slow: a few bytes at a time."""

    def __init__(self, content: bytes, most: int = 7):
        self.left, self.most = content, most

    def read(self, size: int = -1) -> bytes:
        given, self.left = self.left[: min(size, self.most)], self.left[min(size, self.most) :]
        return given


ENCODED = [("PCM_U8", "u8"), ("PCM_16", "s16le"), ("PCM_24", "s24le"), ("PCM_32", "s32le"), ("FLOAT", "f32le"), ("DOUBLE", "f64le")]


@pytest.mark.parametrize("subtype, encoding", ENCODED)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_wav_from_a_pipe_is_what_libsndfile_reads(tmp_path: Path, subtype: str, encoding: str, channels: int):
    path = write_wav(tmp_path / "a.wav", sound(321, channels), 44100, subtype)
    stream = io.BytesIO(path.read_bytes())
    layout, frames = pcm_stream.read_wav_header(stream)
    assert (layout, frames) == (pcm_stream.PcmFormat(44100, channels, encoding), 321)
    audio = np.concatenate(list(pcm_stream.pcm_blocks(stream, layout, 50, frames)))
    np.testing.assert_array_equal(audio, soundfile.read(path, dtype="float64", always_2d=True)[0])
    np.testing.assert_array_equal(layout.decode(layout.encode(audio)), audio)
    assert layout == pcm_stream.format_of(44100, channels, layout.subtype)
    for known in (frames, -1):  # ours in turn is read by libsndfile, as long as it is whole
        again = tmp_path / f"{known}.wav"
        again.write_bytes(pcm_stream.wav_header(layout, known) + layout.encode(audio))
        np.testing.assert_array_equal(soundfile.read(again, dtype="float64", always_2d=True)[0], audio)
        assert soundfile.info(again).subtype == subtype


def test_samples_are_given_as_they_arrive():
    layout = pcm_stream.PcmFormat(8000, 2, "s16le")
    content = np.arange(60, dtype="<i2").tobytes()
    blocks = list(pcm_stream.pcm_blocks(Trickle(content), layout, 1000))
    assert max(map(len, blocks)) == 2
    np.testing.assert_array_equal(np.concatenate(blocks).ravel() * 32768, np.arange(60))


def test_loud_samples_are_clipped_not_wrapped():
    for encoding, (_, step) in pcm_stream.ENCODINGS.items():
        layout = pcm_stream.PcmFormat(8000, 1, encoding)
        back = layout.decode(layout.encode(np.array([[1.5], [-1.5], [1.0]])))
        expected = [1.5, -1.5, 1.0] if not step else [1 - 1 / step, -1, 1 - 1 / step]
        np.testing.assert_allclose(back[:, 0], expected)


def test_a_length_that_nobody_knows(tmp_path: Path):
    header = bytearray(write_wav(tmp_path / "a.wav", np.zeros(50)).read_bytes())
    place = header.index(b"data") + 4
    for unknown in (0, 0x7FFFFFFF, 0xFFFFFFFF):
        header[place : place + 4] = unknown.to_bytes(4, "little")
        layout, frames = pcm_stream.read_wav_header(io.BytesIO(bytes(header)))
        assert frames == -1
        assert layout.encoding == "s16le"


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "no bytes arrived"),
        (b"fLaC" + b"\0" * 50, "FLAC"),
        (b"hello, this is a text", "not a WAV"),
        (pcm_stream.wav_header(pcm_stream.PcmFormat(8000, 1, "s16le"))[:30], "ends inside its header"),
        (b"RIFF\0\0\0\0WAVE", "ends before its data chunk"),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0", "before its fmt chunk"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + b"\x11\0\x01\0\x40\x1f\0\0\0\0\0\0\x01\0\x04\0" + b"data\0\0\0\0", "encoding 17 with 4 bits"),
    ],
)
def test_what_is_no_wav_is_named(content: bytes, reason: str):
    with pytest.raises(AudioFileError, match=reason):
        pcm_stream.read_wav_header(io.BytesIO(content))


def test_ends_that_are_no_ends():
    layout = pcm_stream.PcmFormat(8000, 2, "f32le")
    with pytest.raises(AudioFileError, match="middle of a frame: 3 of 8 bytes after frame 2"):
        list(pcm_stream.pcm_blocks(io.BytesIO(b"\0" * 19), layout, 100))
    with pytest.raises(AudioFileError, match="truncated: 2 of 3 frames"):
        list(pcm_stream.pcm_blocks(io.BytesIO(b"\0" * 16), layout, 100, 3))
    with pytest.raises(AudioFileError, match="NaN"):
        list(pcm_stream.pcm_blocks(io.BytesIO(np.array([np.nan, 0], "<f4").tobytes()), layout, 100))
    assert len(np.concatenate(list(pcm_stream.pcm_blocks(io.BytesIO(b"\0" * 80), layout, 100, 3)))) == 3
