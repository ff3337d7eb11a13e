"""Tags, pictures, loudspeaker masks, chunks and bit rates go through a verb over files unchanged, whatever the format."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tinytag import TinyTag

from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.audio.audio_stream import Writer, open_reader
from gansynth_cli.data.audio.id3 import parse_id3
from gansynth_cli.data.audio.mpeg import BITRATES, encoder_mode, parse_header
from gansynth_cli.data.audio.ogg import page_at
from gansynth_cli.data.audio.picture import Picture
from gansynth_cli.data.audio.riff_tags import read_chunks
from gansynth_cli.data.audio.vorbis_comments import Comments, read_comments, write_comments

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


def frame(name: str, body: bytes, version: int = 3, flags: bytes = b"\0\0") -> bytes:
    if version == 2:
        return name.encode() + len(body).to_bytes(3, "big") + body
    return name.encode() + (synchsafe(len(body)) if version == 4 else struct.pack(">I", len(body))) + flags + body


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def id3(*frames: bytes, version: int = 3, flags: int = 0) -> bytes:
    body = b"".join(frames)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(body)) + body


def full_tag(version: int) -> bytes:
    frames = {
        "TIT2": b"\1" + "Café 東京".encode("utf-16"),
        "TPE2": b"\0AA",
        "TPOS": b"\x002/3",
        "COMM": b"\0eng\0hello",
        "TXXX": b"\0REPLAYGAIN_TRACK_GAIN\0-3 dB",
        "APIC": b"\0image/png\0\3\0" + COVER,
        "PRIV": b"someone\0\0\1\2",
    }
    return id3(*(frame(name, body, version) for name, body in frames.items()), version=version)


@pytest.mark.parametrize("version", [3, 4])
def test_all_id3_tags_are_kept(tmp_path: Path, version: int):
    tag, path = full_tag(version), write(tmp_path / "a.mp3")
    path.write_bytes(tag + path.read_bytes() + b"TAG" + b"old title".ljust(124, b"\0") + b"\xff")
    content = through(path, tmp_path / "b.mp3").read_bytes()
    assert content[: len(tag)] == tag
    assert content[len(tag)] == 0xFF  # a frame of sound follows
    assert content[-128:-125] != b"TAG"  # the older tag, which says less, does not come along
    with open_reader(tmp_path / "b.mp3") as reader:
        assert reader.tags["title"] == "Café 東京"
        replaced = reader.tags.replaced(title="Grüße", comment="said")
        with Writer(tmp_path / "c.mp3", RATE, 1, subtype="MPEG_LAYER_III", tags=replaced) as out:
            out.write(sound())
    found = TinyTag.get(tmp_path / "c.mp3", image=True)  # another reader
    assert (found.title, found.comment, found.albumartist, found.disc_total) == ("Grüße", "said", "AA", 3)
    assert found.other["replaygain_track_gain"] == ["-3 dB"]
    assert found.images.front_cover.data == COVER


def test_id3_frames_of_every_kind_are_read():
    old = id3(frame("TT2", b"\0Song", 2), frame("PIC", b"\0PNG\3\0" + COVER, 2), frame("XYZ", b"?", 2), version=2)
    assert parse_id3(old).fields() == [("TITLE", "Song")]
    assert parse_id3(old).pictures() == [Picture("image/png", 3, "", COVER)]
    dated = id3(frame("TYER", b"\x002020"), frame("TDAT", b"\x001705"), frame("TCOM", b"\2" + "Bö\0Cé".encode("utf-16-be")))
    assert parse_id3(dated).fields() == [("COMPOSER", "Bö"), ("COMPOSER", "Cé"), ("DATE", "2020-05-17")]
    text = b"\3" + "東京".encode() * 40
    packed = frame("TIT2", synchsafe(len(text)) + zlib.compress(text), 4, b"\0\x09")
    secret = frame("TPE1", b"\0hidden", 4, b"\0\4")
    assert parse_id3(id3(packed, secret, version=4)).fields() == [("TITLE", "東京" * 40)]
    long = frame("TIT2", b"\0" + b"x" * 300)  # an old iTunes: version 2.4 with sizes of 2.3
    assert parse_id3(id3(long, frame("TPE1", b"\0me"), version=4)).fields() == [("TITLE", "x" * 300), ("ARTIST", "me")]
    split = id3(frame("TIT2", b"\1\xff\0\xfea\0"), flags=0x80)  # 0xFF is followed by a zero that does not count
    split = split[:6] + synchsafe(len(split) - 10) + split[10:14] + struct.pack(">I", 5) + split[18:]
    assert parse_id3(split).fields() == [("TITLE", "a")]
    assert parse_id3(dated[:-4]).fields() == [("DATE", "2020-05-17")]  # cut: the frames before


def comments(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in read_comments(path).fields:
        found.setdefault(name, []).append(text)
    return found


@pytest.mark.parametrize("cover", [COVER, COVER * 60], ids=["small", "of several pages"])
@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.opus"])
def test_all_vorbis_comments_are_kept(tmp_path: Path, name: str, cover: bytes):
    kind = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(tmp_path / name, sound(), 48000, **kind)
    before = soundfile.read(tmp_path / name)[0]
    fields = [("title", "Grüße"), ("ALBUMARTIST", "AA"), ("REPLAYGAIN_TRACK_GAIN", "-3 dB"), ("artist", "one"), ("artist", "two")]
    write_comments(tmp_path / name, Comments(b"", fields, [Picture("image/png", 3, "front", cover)]))
    np.testing.assert_array_equal(soundfile.read(tmp_path / name)[0], before)  # checksums and page numbers are right
    copy = through(tmp_path / name, tmp_path / f"b{name}")
    assert read_comments(copy).fields == fields
    found = TinyTag.get(copy, image=True)  # another reader
    assert (found.title, found.artist, found.albumartist) == ("Grüße", "one", "AA")
    assert (found.images.front_cover.data, found.images.front_cover.description) == (cover, "front")
    for other in ("c.flac", "c.ogg", "c.mp3", "c.wav"):  # and into other formats
        form = {"c.flac": ("FLAC", "PCM_16"), "c.ogg": ("OGG", "VORBIS"), "c.mp3": ("MP3", "MPEG_LAYER_III"), "c.wav": ("WAV", "PCM_16")}[
            other
        ]
        with open_reader(through(tmp_path / name, tmp_path / other, container=form[0], subtype=form[1])) as reader:
            kept = reader.tags.kept
        assert {"TITLE", "ALBUMARTIST", "REPLAYGAIN_TRACK_GAIN"} <= {key for key, _ in kept.fields}
        assert "/".join(text for key, text in kept.fields if key == "ARTIST") == "one/two"  # ID3v2.3 writes several so
        assert [found.data for found in kept.pictures] == [cover]


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_comments_that_are_not_utf8_are_read_as_windows_1252(tmp_path: Path, name: str):
    write_comments(write(tmp_path / name), Comments(b"", [("artist", "me"), ("title", "CafX and a long text")]))
    content = (tmp_path / name).read_bytes().replace(b"CafX", b"Caf\xe9")
    (tmp_path / name).write_bytes(content if name == "a.flac" else _with_checksums(tmp_path / name, content))
    found = comments(through(tmp_path / name, tmp_path / f"b{name}"))
    assert {key: found[key] for key in ("artist", "title")} == {"artist": ["me"], "title": ["Café and a long text"]}


def _with_checksums(path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    pages, place = [], 0
    with path.open("rb") as file:
        while (page := page_at(file, place)) is not None:
            pages.append(page.to_bytes())
            place += page.length
    return b"".join(pages)


def test_ape_tags_of_an_mp3_become_id3(tmp_path: Path):
    fields = {"Title": "Grüße", "Album Artist": "AA", "REPLAYGAIN_TRACK_GAIN": "-3 dB"}
    items = b"".join(struct.pack("<II", len(text.encode()), 0) + name.encode() + b"\0" + text.encode() for name, text in fields.items())
    foot = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, 3, 0) + bytes(8)
    path = write(tmp_path / "a.mp3")
    path.write_bytes(path.read_bytes() + items + foot)
    found = TinyTag.get(through(path, tmp_path / "b.mp3"))
    assert (found.title, found.albumartist, found.other["replaygain_track_gain"]) == ("Grüße", "AA", ["-3 dB"])


def test_chunks_of_a_wav_are_kept_byte_for_byte(tmp_path: Path):
    pcm = np.arange(4000, dtype="<i2").tobytes()
    info = b"INFO" + chunk(b"INAM", b"Caf\xe9\0") + chunk(b"IENG", b"somebody\0") + chunk(b"ICMT", b"hello\0")
    others = chunk(b"bext", bytes(602)) + chunk(b"smpl", bytes(60)) + chunk(b"iXML", b"<xml/>")
    tag = id3(frame("APIC", b"\0image/png\0\3\0" + COVER))
    (tmp_path / "a.wav").write_bytes(riff(fmt(), others, chunk(b"data", pcm), chunk(b"LIST", info), chunk(b"id3 ", tag)))
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
    (tmp_path / "a.mp3").write_bytes(full_tag(3) + (tmp_path / "a.mp3").read_bytes())
    with open_reader(tmp_path / "a.mp3") as reader:
        assert reader.bitrate == pytest.approx(96, rel=0.01)
    with Writer(tmp_path / "a.opus", 48000, 1, container="OGG", subtype="OPUS", bitrate=24) as out:
        out.write(np.tile(sound(48000), (4, 1)))
    with open_reader(tmp_path / "a.opus") as reader:
        assert reader.bitrate == pytest.approx(24, rel=0.25)


def test_files_without_tags_stay_without(tmp_path: Path):
    for name in ("a.flac", "a.ogg"):
        assert comments(through(write(tmp_path / name), tmp_path / f"b{name}")) == comments(tmp_path / name)
        assert read_comments(tmp_path / f"b{name}").pictures == []
