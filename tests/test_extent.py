"""All of a recording or a reason: headers that state another length than the file has, joined files, cut ones, at every container."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.mpeg import parse_header
from gansynth_cli.errors import AudioFileError

RATE, FRAMES = 16000, 24000


def sound(frames: int = FRAMES, channels: int = 1) -> np.ndarray:
    return 0.3 * np.random.default_rng(1).standard_normal((frames, channels))


def encoded(tmp_path: Path, container: str, subtype: str, **options) -> bytes:
    """Return the bytes of `sound` as libsndfile writes them."""
    path = tmp_path / "encoded"
    soundfile.write(path, sound(), RATE, format=container, subtype=subtype, **options)
    return path.read_bytes()


def frames_of(tmp_path: Path, content: bytes, name: str = "a.wav") -> int:
    """Decode a file of these bytes in blocks; return the number of frames."""
    path = tmp_path / name
    path.write_bytes(content)
    return sum(map(len, audio_file.blocks(path, 5000)))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(channels: int = 1, bits: int = 16, align: int = 0, tag: int = 1, extra: bytes = b"") -> bytes:
    align = align or channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, RATE, RATE * align, align, bits) + extra)


PCM = np.rint(sound(1000)[:, 0] * 32767).astype("<i2").tobytes()
PLACEHOLDERS = [0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36]


@pytest.mark.parametrize("size", PLACEHOLDERS)
def test_a_wav_whose_writer_did_not_know_its_length(tmp_path: Path, size: int):
    content = riff(fmt(), chunk(b"LIST", b"INFOISFT\x05\0\0\0me...\0"), chunk(b"data", PCM, size), size=min(size + 36, 0xFFFFFFFF))
    audio, _ = audio_file.read(_put(tmp_path, content + b"\x01"))  # it was stopped within a sample
    np.testing.assert_array_equal(audio[:, 0] * 32768, np.frombuffer(PCM, "<i2"))
    assert audio_file.probe(tmp_path / "a.wav").frames == 1000


def _put(tmp_path: Path, content: bytes, name: str = "a.wav") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_a_wav_that_grew_beyond_4_gib_is_refused_and_an_rf64_is_read(tmp_path: Path):
    """Sparse files: they take no room. 32 bits hold the length modulo 2^32, so the header states a second of six hours."""
    path, length = tmp_path / "long.wav", (1 << 32) + 4000
    for states, kind in ((4000, b"RIFF"), (0xFFFFFFFF, b"RIFF"), (0xFFFFFFFF, b"RF64")):
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, length + 72, length, length // 4, 0) if kind == b"RF64" else b""
        with path.open("wb") as file:
            file.write(kind + b"\xff" * 4 + b"WAVE" + ds64 + fmt(2) + b"data" + struct.pack("<I", states) + PCM)
            file.truncate(44 + len(ds64) + length)
        if states == 4000:
            with pytest.raises(AudioFileError, match="grew beyond 4 GiB") as caught:
                audio_file.probe(path)
            assert "ffmpeg -ignore_length 1" in (caught.value.hint or "")
            continue
        assert audio_file.probe(path).frames == length // 4
        head, _ = audio_file.read(path, frames=500)
        np.testing.assert_array_equal(head.ravel() * 32768, np.frombuffer(PCM, "<i2"))
        assert audio_file.read(path, start=length // 4 - 10)[0].shape == (10, 2)


def test_odd_wav_files_that_are_whole(tmp_path: Path):
    whole = chunk(b"data", PCM)
    unpadded = b"junk\x03\0\0\0abc"
    packed = struct.pack("<HHI", 22, 24, 4) + bytes.fromhex("0100000000001000800000aa00389b71")
    wide = (np.arange(500, dtype="<i4") << 8).tobytes()
    files = {
        "odd chunk without padding": (riff(fmt(), unpadded, whole), 1000),
        "odd chunk with padding": (riff(fmt(), chunk(b"junk", b"abc"), whole), 1000),
        "two data chunks": (riff(fmt(), whole, chunk(b"cue ", b"\0" * 4), whole), 2000),
        "wrong RIFF size": (riff(fmt(), whole, size=4), 1000),
        "comment after the end": (riff(fmt(), whole) + b"TAG" + b"\0" * 125, 1000),
        "zeros after the end": (riff(fmt(), whole) + bytes(50_000), 1000),
        "two files joined": (riff(fmt(), whole) * 2, 2000),
        "24 bits in 32": (riff(fmt(1, 32, tag=0xFFFE, extra=packed), chunk(b"data", wide)), 500),
        "ID3 before it": (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + riff(fmt(), whole), 1000),
    }
    for name, (content, frames) in files.items():
        assert frames_of(tmp_path, content) == frames, name


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (riff(fmt(), chunk(b"data", b"")), "zero samples"),
        (riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO")), "zero samples"),
        (riff(fmt(), chunk(b"data", PCM))[:1500], "truncated: "),
        (riff(fmt(), chunk(b"data", PCM, 3_000_000_000)), "truncated: 2999998000 bytes"),
        (riff(fmt(), chunk(b"data", PCM)) + b"\x80" * 9000, "9000 bytes follow"),
        (riff(fmt(), chunk(b"data", PCM)) + riff(fmt(2), chunk(b"data", PCM)), "its joined parts differ"),
        (riff(fmt(), chunk(b"LIST", b"INFO", 5000)), "truncated: "),
    ],
)
def test_wav_files_that_are_not_whole(tmp_path: Path, content: bytes, reason: str):
    with pytest.raises(AudioFileError) as caught:
        frames_of(tmp_path, content)
    assert caught.value.reason.startswith(reason)


CONTAINERS = [
    ("WAV", "PCM_16"),
    ("WAV", "IMA_ADPCM"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("AIFF", "ULAW"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("container", "subtype"), CONTAINERS)
def test_half_a_file_is_refused_and_a_whole_one_is_not(tmp_path: Path, container: str, subtype: str):
    content = encoded(tmp_path, container, subtype)
    assert frames_of(tmp_path, content) >= FRAMES
    for share in (0.3, 0.5, 0.9):
        with pytest.raises(AudioFileError):
            frames_of(tmp_path, content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("container", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "PCM_16")]
)
def test_joined_files_are_read_to_the_end(tmp_path: Path, container: str, subtype: str):
    content = encoded(tmp_path, container, subtype)
    first, _ = audio_file.read(_put(tmp_path, content, "one"))
    both, _ = audio_file.read(_put(tmp_path, content * 2, "two"))
    np.testing.assert_array_equal(both, np.concatenate([first, first]))
    assert audio_file.probe(tmp_path / "two").frames == 2 * len(first)
    part, _ = audio_file.read(tmp_path / "two", start=len(first) + 100, frames=50)
    np.testing.assert_allclose(part, first[100:150], atol=1e-6)


def mp3_frames(content: bytes) -> list[bytes]:
    """Cut an MP3 that libsndfile wrote into its frames."""
    frames, place = [], content.index(b"\xff")
    while place < len(content) and (header := parse_header(content[place : place + 4])):
        frames.append(content[place : place + header.length])
        place += header.length
    return frames


def test_mp3_files_without_a_table_of_contents(tmp_path: Path):
    """Loud at the start, then nearly silent: the first frame's bit rate tells nothing about the length."""
    audio = np.concatenate([sound(8000), 1e-4 * sound(8 * RATE)])
    soundfile.write(tmp_path / "a.mp3", audio, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.1)
    frames = mp3_frames((tmp_path / "a.mp3").read_bytes())
    bare = b"".join(frames[1:])
    samples = 576 * (len(frames) - 1)
    tag = b"ID3\x04\0\0\0\0\0\x14" + bytes(20)
    for content in (bare, tag + bare, bare + b"TAG" + bytes(125), bare[:-1]):
        assert abs(frames_of(tmp_path, content) - samples) <= 1152
    assert abs(frames_of(tmp_path, bare + tag + bare) - 2 * samples) <= 2304, "a tag in the middle"
    for content, reason in (
        (bare[: -(len(frames[-1]) // 2)], "its last frame is cut"),
        (frames[0] + b"".join(frames[1:-9]), "truncated: "),
        (bare[:3000] + b"\x11" * 2000 + bare[5000:], "damaged"),
    ):
        with pytest.raises(AudioFileError, match=reason):
            frames_of(tmp_path, content)


def test_a_damaged_ogg_does_not_pass_as_whole(tmp_path: Path):
    content = bytearray(encoded(tmp_path, "OGG", "VORBIS"))
    pages = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
    for cut, reason in ((content[: pages[-1]], "no last page"), (content[: pages[-2]] + content[pages[-1] :], "are missing")):
        with pytest.raises(AudioFileError, match=reason):
            frames_of(tmp_path, bytes(cut))
    for place in range(len(content) // 2, len(content) // 2 + 300):
        content[place] ^= 0x55
    with pytest.raises(AudioFileError, match="another checksum"):
        frames_of(tmp_path, bytes(content))


@pytest.mark.parametrize("frames", [0, 0x7F000000, 0xFFFFFFFF])
def test_an_aiff_whose_writer_did_not_know_its_length(tmp_path: Path, frames: int):
    content = bytearray(encoded(tmp_path, "AIFF", "PCM_16"))
    place = content.index(b"COMM")
    content[place + 10 : place + 14] = struct.pack(">I", frames)
    place = content.index(b"SSND")
    content[place + 4 : place + 8] = struct.pack(">I", frames or 0)
    assert frames_of(tmp_path, bytes(content)) == FRAMES


@pytest.mark.parametrize(("container", "place", "bytes_"), [("AU", 8, b"\xff" * 4), ("AU", 8, b"\0" * 4), ("CAF", None, b"\xff" * 8)])
def test_lengths_of_other_streaming_writers(tmp_path: Path, container: str, place: int | None, bytes_: bytes):
    content = bytearray(encoded(tmp_path, container, "PCM_16"))
    place = content.index(b"data") + 4 if place is None else place
    content[place : place + len(bytes_)] = bytes_
    assert frames_of(tmp_path, bytes(content)) == FRAMES
