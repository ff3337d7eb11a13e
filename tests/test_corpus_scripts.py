"""What makes the shipped denoiser's corpus: sounds out of archives of games, sentences out of fortunes, speakers out of five styles."""

import importlib.util
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "tools" / "corpus"


def script(name):
    spec = importlib.util.spec_from_file_location(f"corpus_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


unpack, voices, teacher = script("unpack_sounds"), script("voices"), script("teacher")


def test_sounds_of_cat():
    wavs = [b"RIFF" + struct.pack("<I", len(body)) + body for body in (b"WAVEone", b"WAVEand two")]
    names = [b'"Good Year". By someone\0', b'"Bus (old)". By another\0']
    table, blobs = b"", b""
    for name, wav in zip(names, wavs, strict=True):
        table += struct.pack("<II", 16 + len(blobs), len(wav))
        blobs += bytes([len(name)]) + name + wav
    assert list(unpack.sounds_of_cat(table + blobs)) == [("000_Good_Year.wav", wavs[0]), ("001_Bus__old_.wav", wavs[1])]


@pytest.mark.parametrize("packed", [False, True])
def test_sounds_of_rcc(packed):
    sound = b"OggS" + bytes(range(200))
    names, offsets = b"", []
    for name in ("audio", "bell.ogg", "bell.qml"):
        offsets.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    blob = struct.pack(">I", len(sound)) + zlib.compress(sound) if packed else sound
    blobs = struct.pack(">I", len(blob)) + blob
    modified = bytes(8)
    tree = struct.pack(">IHII", 0, 2, 1, 1) + modified  # the root: one child, at 1
    tree += struct.pack(">IHII", offsets[0], 2, 2, 2) + modified  # audio: two children, from 2 on
    tree += struct.pack(">IHHHI", offsets[1], int(packed), 0, 0, 0) + modified
    tree += struct.pack(">IHHHI", offsets[2], 0, 0, 0, 0) + modified
    head = 20
    data = struct.pack(">4sIIII", b"qres", 2, head, head + len(tree), head + len(tree) + len(blobs)) + tree + blobs + names
    assert list(unpack.sounds_of_rcc(data)) == [("audio/bell.ogg", sound)]
    with pytest.raises(SystemExit, match="qres"):
        list(unpack.sounds_of_rcc(b"PK__" + data[4:]))


def test_sentences():
    text = (
        '"A long sentence that somebody may well have said\nonce upon a time."\n\t\t-- Somebody, in a book which no one read\n%\n'
        "Too short.\n%\nNumbers like 1234 are for no one to say in a sentence of this length.\n%\n"
        "The first of two sentences that stand in a single fortune! The second of the two sentences, is it there as well?\n%\n"
    )
    assert voices.sentences_of(text) == [
        "A long sentence that somebody may well have said once upon a time.",
        "The first of two sentences that stand in a single fortune!",
        "The second of the two sentences, is it there as well?",
    ]


def test_missing_texts_are_named(tmp_path):
    with pytest.raises(SystemExit, match="wisdom"):
        voices.read_sentences(tmp_path, ("wisdom",))


def test_resampling_moves_a_tone_and_keeps_its_level():
    time = np.arange(24000) / 24000
    tone = 0.3 * np.sin(2 * np.pi * 1000 * time)
    out = voices.resampled(tone, 16000 / 24000 / 1.2)
    assert len(out) == pytest.approx(16000 / 1.2, abs=2)
    middle = out[2000:10000]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) * 16000 / len(middle)
    assert peak == pytest.approx(1200, abs=3)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


def test_speakers_are_many_and_the_same_again():
    rng = np.random.default_rng(0)
    styles = {name: rng.standard_normal((8, 1, 256)).astype(np.float32) for name in ("jf_a", "jf_b", "jf_c", "jf_d", "jm_e")}
    made = [voices.Speaker(styles, np.random.default_rng([0, 1, k])) for k in range(20)]
    again = voices.Speaker(styles, np.random.default_rng([0, 1, 3]))
    np.testing.assert_array_equal(again.style, made[3].style)
    assert (again.language, again.bend, again.pace) == (made[3].language, made[3].bend, made[3].pace)
    assert made[0].style.shape == (8, 256)
    assert len({round(float(speaker.style[0, 0]), 5) for speaker in made}) == 20
    assert all(0.84 <= speaker.bend <= 1.22 for speaker in made)
    assert len({speaker.language for speaker in made}) > 3


def harmonics(seconds, pitch):
    time = np.arange(int(seconds * voices.RATE)) / voices.RATE
    voiced = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    return 0.1 * voiced * (np.sin(2 * np.pi * 2 * time) > -0.5)  # with pauses


def test_faults():
    rng = np.random.default_rng(0)
    good = harmonics(3.0, 150.0)
    assert voices.faults(good, 40) == []
    assert voices.faults(good, 400) == ["pace"]
    assert "level" in voices.faults(good * 0.01, 40)
    assert "background" in voices.faults(good + 0.01 * rng.standard_normal(len(good)), 40)
    assert "unvoiced" in voices.faults(0.1 * rng.standard_normal(len(good)) * (good != 0), 40)


def test_debian_voices_write_what_they_say(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spoken = script("spoken_debian")
    spoken.write(tmp_path / "a" / "b.wav", harmonics(1.0, 120.0))
    audio = spoken.read(tmp_path / "a" / "b.wav")
    assert len(audio) == spoken.RATE
    assert np.max(np.abs(audio)) == pytest.approx(0.5, abs=1e-3)
    assert {program for program, _, _ in spoken.VOICES.values()} == {"flite", "festival"}
    sys.modules.pop("voices", None)


def test_the_teacher_reads_books_without_their_licence(tmp_path):
    book = (
        "Title: X\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\nCHAPTER I\n\nIt was a _bright_ cold day in April. He wrote 13"
        " letters that day.\nShe said nothing at all.\n\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n\nThis licence is not spoken."
    )
    (tmp_path / "x.txt").write_text(book)
    found = teacher.read_sentences([tmp_path / "x.txt"], "en-us", seed=1)
    assert sorted(found) == ["It was a bright cold day in April.", "She said nothing at all."]
    assert teacher.read_sentences([tmp_path / "x.txt"], "en-us", seed=1) == found
    assert teacher.character_errors("it was a bright, cold day", "It was a bright cold day.") == 0
    assert teacher.character_errors("cat", "cats!") == pytest.approx(0.25)


def test_the_teachers_table_leaves_out_what_is_heard_otherwise(tmp_path):
    for number, errors in enumerate((None, 0.05, 0.5)):
        facts = {"text": f"Text, {number}.", "language": "en-us", "speaker": "a", "emotion": ""}
        facts |= {} if errors is None else {"errors": errors}
        path = tmp_path / "a" / f"{number}.flac"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.with_suffix(".json").write_text(json.dumps(facts))
    assert teacher.write_table(tmp_path) == 2
    lines = (tmp_path / "metadata.csv").read_text().splitlines()
    assert lines == ["path,text,language,speaker,emotion", 'a/0.flac,"Text, 0.",en-us,a,', 'a/1.flac,"Text, 1.",en-us,a,']
