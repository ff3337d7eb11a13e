"""Tags, pictures, loudspeaker masks, chunks and bit rates go through a verb over files unchanged, whatever the format."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.oggvorbis import OggVorbis

from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.audio_stream import Writer, open_reader
from gansynth_cli.data.audio.mpeg import BITRATES, encoder_mode, parse_header
from gansynth_cli.data.audio.riff_tags import read_chunks

from .test_extent import chunk, fmt, riff

RATE = 44100
COVER = b"\x89PNG\r\n" + bytes(range(256)) * 20


def sound(frames: int = 6000, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((frames, channels))


def through(path: Path, target: Path, **options) -> Path:
    """Read a recording and write it with its tags, as the verbs do."""
    with open_reader(path) as reader:
        info = reader.info
        known = {"channel_mask": info.channel_mask, "subtype": info.subtype, "container": info.container} | options
        with Writer(target, info.sample_rate, info.channels, tags=reader.tags, **known) as out:
            for block in reader.blocks():
                out.write(block)
    return target


def write(path: Path, frames: int = 6000) -> Path:
    soundfile.write(path, sound(frames), RATE)
    return path


def tag_mp3(path: Path, version: int) -> None:
    tags = id3.ID3()
    tags.add(id3.TIT2(encoding=1, text="Café 東京"))
    tags.add(id3.TPE2(encoding=0, text="AA"))
    tags.add(id3.TPOS(encoding=0, text="2/3"))
    tags.add(id3.COMM(encoding=0, lang="eng", desc="", text="hello"))
    tags.add(id3.TXXX(encoding=0, desc="REPLAYGAIN_TRACK_GAIN", text="-3 dB"))
    tags.add(id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=COVER))
    tags.add(id3.PRIV(owner="someone", data=b"\0\1\2"))
    if version == 3:
        tags.update_to_v23()
    tags.save(path, v2_version=version)


@pytest.mark.parametrize("version", [3, 4])
def test_all_id3_tags_are_kept(tmp_path: Path, version: int):
    tag_mp3(write(tmp_path / "a.mp3"), version)
    after = id3.ID3(through(tmp_path / "a.mp3", tmp_path / "b.mp3"))
    before = id3.ID3(tmp_path / "a.mp3")
    assert after.version == before.version == (2, version, 0)
    assert {key: repr(frame) for key, frame in after.items()} == {key: repr(frame) for key, frame in before.items()}
    assert after["APIC:"].data == COVER


def comments(path: Path) -> dict[str, list[str]]:
    return {key: list(values) for key, values in mutagen.File(path).tags.items()}


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_all_vorbis_comments_are_kept(tmp_path: Path, name: str):
    file = mutagen.File(write(tmp_path / name))
    file["title"], file["ALBUMARTIST"], file["REPLAYGAIN_TRACK_GAIN"], file["artist"] = "Grüße", "AA", "-3 dB", ["one", "two"]
    picture = Picture()
    picture.mime, picture.type, picture.data = "image/png", 3, COVER
    if name == "a.flac":
        file.add_picture(picture)
    else:
        file["metadata_block_picture"] = base64.b64encode(picture.write()).decode()
    file.save()
    assert comments(through(tmp_path / name, tmp_path / f"b{name}")) == comments(tmp_path / name)
    for other in ("c.flac", "c.ogg", "c.mp3", "c.wav"):  # and into other formats
        kind = {"c.flac": ("FLAC", "PCM_16"), "c.ogg": ("OGG", "VORBIS"), "c.mp3": ("MP3", "MPEG_LAYER_III"), "c.wav": ("WAV", "PCM_16")}[
            other
        ]
        with open_reader(through(tmp_path / name, tmp_path / other, container=kind[0], subtype=kind[1])) as reader:
            kept = reader.tags.kept
        assert {"TITLE", "ALBUMARTIST", "REPLAYGAIN_TRACK_GAIN"} <= {key for key, _ in kept.fields}
        assert "/".join(text for key, text in kept.fields if key == "ARTIST") == "one/two"  # ID3v2.3 writes several so
        assert [found.data for found in kept.pictures] == [COVER]


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_comments_that_are_not_utf8_are_read_as_windows_1252(tmp_path: Path, name: str):
    file = mutagen.File(write(tmp_path / name))
    file["artist"], file["title"] = "me", "CafX and a long text"
    file.save()
    content = (tmp_path / name).read_bytes().replace(b"CafX", b"Caf\xe9")
    (tmp_path / name).write_bytes(content if name == "a.flac" else _with_checksums(content))
    found = comments(through(tmp_path / name, tmp_path / f"b{name}"))
    assert {key: found[key] for key in ("artist", "title")} == {"artist": ["me"], "title": ["Café and a long text"]}


def _with_checksums(content: bytes) -> bytes:
    import io

    from mutagen.ogg import OggPage

    file, pages = io.BytesIO(content), []
    while file.tell() < len(content):
        pages.append(OggPage(file))
    return b"".join(page.write() for page in pages)


def test_ape_tags_of_an_mp3_become_id3(tmp_path: Path):
    tags = APEv2()
    tags["Title"], tags["Album Artist"], tags["REPLAYGAIN_TRACK_GAIN"] = "Grüße", "AA", "-3 dB"
    tags.save(write(tmp_path / "a.mp3"))
    after = id3.ID3(through(tmp_path / "a.mp3", tmp_path / "b.mp3"))
    assert (str(after["TIT2"]), str(after["TPE2"]), str(after["TXXX:REPLAYGAIN_TRACK_GAIN"])) == ("Grüße", "AA", "-3 dB")


def test_chunks_of_a_wav_are_kept_byte_for_byte(tmp_path: Path):
    pcm = np.arange(4000, dtype="<i2").tobytes()
    info = b"INFO" + chunk(b"INAM", b"Caf\xe9\0") + chunk(b"IENG", b"somebody\0") + chunk(b"ICMT", b"hello\0")
    others = chunk(b"bext", bytes(602)) + chunk(b"smpl", bytes(60)) + chunk(b"iXML", b"<xml/>")
    tags = id3.ID3()
    tags.add(id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=COVER))
    tags.save(tmp_path / "tags")
    (tmp_path / "a.wav").write_bytes(
        riff(fmt(), others, chunk(b"data", pcm), chunk(b"LIST", info), chunk(b"id3 ", (tmp_path / "tags").read_bytes()))
    )
    before, after = read_chunks(tmp_path / "a.wav"), read_chunks(through(tmp_path / "a.wav", tmp_path / "b.wav"))
    assert after.info == before.info
    assert after.others == before.others
    with open_reader(tmp_path / "b.wav") as reader:
        assert [picture.data for picture in reader.tags.kept.pictures] == [COVER]
        assert reader.tags["title"] == "Café"
        replaced = reader.tags.replaced(comment="said")
        with Writer(tmp_path / "c.wav", RATE, 1, tags=replaced) as out:
            out.write(np.zeros((10, 1)))
    assert dict(read_chunks(tmp_path / "c.wav").info) == {b"INAM": b"Caf\xe9\0", b"IENG": b"somebody\0", b"ICMT": b"said\0"}
    assert len(audio_file.read(tmp_path / "b.wav")[0]) == 4000


@pytest.mark.parametrize("channels, mask", [(2, 0x600), (6, 0x60F), (8, 0x63F), (4, 0)])
def test_loudspeaker_masks_are_kept(tmp_path: Path, channels: int, mask: int):
    extra = struct.pack("<HHI", 22, 16, mask) + bytes.fromhex("0100000000001000800000aa00389b71")
    pcm = np.zeros(channels * 100, "<i2").tobytes()
    (tmp_path / "a.wav").write_bytes(riff(fmt(channels, tag=0xFFFE, extra=extra), chunk(b"data", pcm)))
    assert audio_file.probe(tmp_path / "a.wav").channel_mask == mask
    assert audio_file.probe(through(tmp_path / "a.wav", tmp_path / "b.wav")).channel_mask == mask


def test_damaged_tags_cost_the_tags_alone(tmp_path: Path):
    content = write(tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(b"ID3\x04\0\0\0\0\x01\x00TIT2\x7f\x7f\x7f\x7f" + bytes(120) + content)
    through(tmp_path / "a.mp3", tmp_path / "b.mp3")
    assert abs(len(audio_file.read(tmp_path / "b.mp3")[0]) - 6000) < 2400


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_every_standard_bit_rate_keeps_length_and_rate(tmp_path: Path, rate: int, channels: int):
    """A frame of a low bit rate has no room for the table that holds the encoder's delay."""
    audio = sound(rate // 2, channels)
    for kbit in BITRATES[rate >= 32000, 3][::3]:
        if rate < 16000 and kbit > 64:
            break
        path = tmp_path / f"{kbit}.mp3"
        with Writer(path, rate, channels, subtype="MPEG_LAYER_III", bitrate=kbit) as out:
            out.write(audio)
        info = audio_file.probe(path)
        assert (info.frames, info.sample_rate) == (len(audio), rate)
        header = parse_header(path.read_bytes()[:4])
        if encoder_mode(kbit, rate, channels)[0] == "CONSTANT":
            assert header.length * header.sample_rate // (144000 if rate >= 32000 else 72000) == pytest.approx(kbit, abs=1)


def test_the_bit_rate_of_an_mp3_is_that_of_its_sound(tmp_path: Path):
    soundfile.write(tmp_path / "a.mp3", sound(RATE), RATE, bitrate_mode="CONSTANT", compression_level=(320 - 96) / 288)
    tag_mp3(tmp_path / "a.mp3", 3)
    with open_reader(tmp_path / "a.mp3") as reader:
        assert reader.bitrate == pytest.approx(96, rel=0.01)
    with Writer(tmp_path / "a.opus", 48000, 1, container="OGG", subtype="OPUS", bitrate=24) as out:
        out.write(np.tile(sound(48000), (4, 1)))
    with open_reader(tmp_path / "a.opus") as reader:
        assert reader.bitrate == pytest.approx(24, rel=0.25)


def test_files_without_tags_stay_without(tmp_path: Path):
    for name in ("a.flac", "a.ogg"):
        assert comments(through(write(tmp_path / name), tmp_path / f"b{name}")) == comments(tmp_path / name)
    assert FLAC(tmp_path / "ba.flac").pictures == []
    assert OggVorbis(tmp_path / "ba.ogg").info.sample_rate == RATE
