"""Songs: what a MIDI file says, note by note, and how a model plays it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import mido
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import AudioFileError, GanAudioError, RunError, UsageError
from gansynth_cli.inference.midi import render as midi_render
from gansynth_cli.inference.midi.drums import DrumPerformance, label_of
from gansynth_cli.inference.midi.read import Note, Song, read_midi
from gansynth_cli.inference.midi.render import Performance, RenderOptions, bent, envelope, mix, render
from gansynth_cli.layers import WaveformToAudio
from gansynth_cli.models.clip_generator import ClipGenerator

RATE, SAMPLES, DIM = 8000, 4000, 4
ON, OFF = "note_on", "note_off"


def write_midi(path: Path, *tracks: list, type: int = 1, division: int = 480) -> Path:
    """Each track: (ticks since the last one, message name, arguments)."""
    file = mido.MidiFile(type=type, ticks_per_beat=division)
    for messages in tracks:
        track = mido.MidiTrack()
        for delta, name, arguments in messages:
            made = mido.MetaMessage if name == "set_tempo" else mido.Message
            track.append(made(name, time=delta, **arguments))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def on(delta: int, pitch: int, velocity: int = 100, channel: int = 0):
    return delta, ON, {"note": pitch, "velocity": velocity, "channel": channel}


def off(delta: int, pitch: int, channel: int = 0):
    return delta, OFF, {"note": pitch, "velocity": 0, "channel": channel}


def control(delta: int, number: int, value: int, channel: int = 0):
    return delta, "control_change", {"control": number, "value": value, "channel": channel}


def times(song: Song) -> list[tuple[float, float, int]]:
    return [(round(note.start, 6), round(note.end, 6), note.pitch) for note in song.notes]


# Reading


def test_tempo_changes_count_from_where_they_stand(tmp_path):
    """Two beats at 120 a minute, then two at 60: by hand, and by mido's own playback clock."""
    tempo = [(960, "set_tempo", {"tempo": 1_000_000})]
    track = [on(0, 60), off(960, 60), on(0, 62), off(480, 62), on(480, 64), off(480, 64)]
    path = write_midi(tmp_path / "a.mid", tempo, track)
    assert times(read_midi(path)) == [(0, 1, 60), (1, 2, 62), (3, 4, 64)]
    clock = 0.0
    for message in mido.MidiFile(path):
        clock += message.time
    assert read_midi(path).seconds == pytest.approx(clock)


def test_a_note_on_without_velocity_ends_the_note(tmp_path):
    path = write_midi(tmp_path / "a.mid", [on(0, 60), on(480, 60, velocity=0)])
    assert times(read_midi(path)) == [(0, 0.5, 60)]


def test_of_overlapping_notes_of_a_pitch_the_first_ends_first(tmp_path):
    path = write_midi(tmp_path / "a.mid", [on(0, 60, 20), on(240, 60, 90), off(240, 60), off(480, 60)])
    song = read_midi(path)
    assert times(song) == [(0, 0.5, 60), (0.25, 1, 60)]
    assert [note.velocity for note in song.notes] == [20, 90]


def test_two_tracks_of_a_channel_do_not_end_each_others_notes(tmp_path):
    path = write_midi(tmp_path / "a.mid", [on(0, 60), off(960, 60)], [on(0, 60), off(240, 60)])
    assert times(read_midi(path)) == [(0, 0.25, 60), (0, 1, 60)]


def test_the_pedal_holds_what_is_released_while_it_is_down(tmp_path):
    track = [control(0, 64, 127), on(0, 60), off(240, 60), on(0, 62), control(240, 64, 63), off(480, 62)]
    assert times(read_midi(write_midi(tmp_path / "a.mid", track))) == [(0, 0.5, 60), (0.25, 1, 62)]


def test_a_key_struck_again_ends_what_the_pedal_holds(tmp_path):
    track = [control(0, 64, 100), on(0, 60), off(240, 60), on(240, 60), off(240, 60), control(240, 64, 0)]
    assert times(read_midi(write_midi(tmp_path / "a.mid", track))) == [(0, 0.5, 60), (0.5, 1, 60)]


def test_a_pedal_is_that_of_its_channel_and_never_released_ends_with_the_file(tmp_path):
    track = [control(0, 64, 127, channel=1), on(0, 60), off(240, 60), on(0, 64, channel=1), off(240, 64, channel=1), control(480, 7, 1)]
    song = read_midi(write_midi(tmp_path / "a.mid", track))
    assert times(song) == [(0, 0.25, 60), (0.25, 1, 64)]
    assert not song.warnings  # the key was released; the pedal alone held it


def test_all_notes_off_ends_all(tmp_path):
    track = [control(0, 64, 127), on(0, 60), on(0, 64), off(240, 60), control(240, 123, 0), off(480, 64)]
    assert times(read_midi(write_midi(tmp_path / "a.mid", track))) == [(0, 0.5, 60), (0, 0.5, 64)]


def test_notes_that_nobody_ends_end_with_the_file(tmp_path):
    song = read_midi(write_midi(tmp_path / "a.mid", [on(0, 60), on(480, 62), off(480, 62)]))
    assert times(song) == [(0, 1, 60), (0.5, 1, 62)]
    assert song.warnings == ("1 notes are never released; they end with the file.",)


def test_programs_and_drums(tmp_path):
    change = (0, "program_change", {"program": 73, "channel": 2})
    track = [on(0, 50, channel=2), change, on(0, 52, channel=2), on(0, 36, channel=9), off(480, 50, 2), off(0, 52, 2), off(0, 36, 9)]
    song = read_midi(write_midi(tmp_path / "a.mid", track))
    assert [(note.pitch, note.program, note.channel) for note in song.notes] == [(50, 0, 2), (52, 73, 2)]
    assert song.drums == 1


def test_a_file_of_format_2_is_played_pattern_after_pattern(tmp_path):
    song = read_midi(write_midi(tmp_path / "a.mid", [on(0, 60), off(480, 60)], [on(0, 62), off(480, 62)], type=2))
    assert times(song) == [(0, 0.5, 60), (0.5, 1, 62)]
    assert "2 separate patterns" in song.warnings[0]


def test_time_code_has_no_tempo(tmp_path):
    """Division 0xE728: 25 frames a second of 40 ticks: a tick is a millisecond."""
    path = write_midi(tmp_path / "a.mid", [(0, "set_tempo", {"tempo": 250_000}), on(0, 60), off(1500, 60)])
    content = bytearray(path.read_bytes())
    content[12:14] = b"\xe7\x28"
    path.write_bytes(content)
    assert times(read_midi(path)) == [(0, 1.5, 60)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "damaged or not a MIDI file"),
        (b"RIFF....WAVEfmt ", "damaged or not a MIDI file"),
        (b"MThd\x00\x00\x00\x06\x00\x01", "damaged or not a MIDI file"),
        (b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00", "no notes to play: it is empty"),
    ],
)
def test_files_that_are_none(tmp_path, content, why):
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(GanAudioError, match=why):
        read_midi(tmp_path / "a.mid")


def test_nothing_to_read(tmp_path):
    with pytest.raises(UsageError, match=r"no\.mid does not exist"):
        read_midi(tmp_path / "no.mid")
    with pytest.raises(UsageError, match="is a folder"):
        read_midi(tmp_path)
    drums = write_midi(tmp_path / "d.mid", [on(0, 36, channel=9), off(480, 36, channel=9)])
    with pytest.raises(UsageError, match="All 1 notes of the song are on channel 10"):
        Performance(FakeSession(), read_midi(drums), RenderOptions())


def track_of(*events: bytes, length: int | None = None, end: bytes = b"\0\xff\x2f\0") -> bytes:
    body = b"".join(events) + end
    return b"MTrk" + (len(body) if length is None else length).to_bytes(4, "big") + body


def head_of(kind: int, tracks: int) -> bytes:
    return b"MThd\0\0\0\x06" + bytes([0, kind, 0, tracks, 1, 0xE0])


NOTE = (b"\0\x90\x3c\x64", b"\x83\x60\x80\x3c\x40")  # middle C for a beat


@pytest.mark.parametrize(
    ("content", "notes", "warning"),
    [
        (head_of(0, 1) + track_of(b"\0\xff\x59\x02\x08\0", *NOTE), 1, ""),  # a key of eight sharps
        (head_of(0, 1) + track_of(b"\0\xff\x58\x02\x04\x02", *NOTE), 1, ""),  # a time signature of two bytes
        (head_of(0, 1) + track_of(b"\0\xff\x51\x01\x07", *NOTE), 1, ""),  # a tempo of one byte
        (head_of(0, 1) + track_of(b"\0\xff\x7e\x03abc", b"\0\xf0\x03\x01\x02\xf7", *NOTE), 1, ""),
        (head_of(1, 2) + track_of(*NOTE) + b"XFIH\0\0\0\x04abcd" + track_of(*NOTE), 2, "XFIH"),
        (head_of(1, 3) + track_of(*NOTE), 1, "2 of 3 tracks are missing"),
        (head_of(0, 1) + track_of(*NOTE)[:-6], 1, "track 1 is cut"),
        (head_of(0, 1) + track_of(*NOTE, end=b""), 1, "ends after 2 events"),
        (head_of(0, 1) + track_of(*NOTE, length=4), 1, ""),  # a length that is too small
        (head_of(1, 2) + track_of(*NOTE, length=40) + track_of(*NOTE), 2, "track 1 is cut"),  # and one that takes the next track
        (head_of(1, 2) + track_of(*NOTE) + b"\x01\x02\x03" + track_of(*NOTE), 2, "3 bytes between its tracks"),
        (b"junk" + head_of(0, 1) + track_of(*NOTE), 1, "4 bytes before its header"),
        (b"RIFF\0\0\0\0RMIDdata\0\0\0\0" + head_of(0, 1) + track_of(*NOTE), 1, ""),
        (head_of(0, 1) + track_of(*NOTE, b"\0\x90\xc8\x64", b"\x10\x80\xc8\0"), 2, ""),  # a byte beyond 127
        (head_of(0, 1)[:12] + b"\0\0" + track_of(*NOTE), 1, "no time division"),
    ],
)
def test_what_can_be_read_is_played_and_the_rest_named(tmp_path, content, notes, warning):
    (tmp_path / "a.mid").write_bytes(content)
    song = read_midi(tmp_path / "a.mid")
    assert len(song.notes) == notes
    assert times(song)[0] == (0, 0.5, 60)
    assert warning in " ".join(song.warnings)
    assert bool(warning) == bool(song.warnings)


def bend(delta: int, pitch: int):
    return delta, "pitchwheel", {"pitch": pitch, "channel": 0}


def test_volume_expression_and_bend_of_a_note(tmp_path):
    """Controller 7 is 100 unless said: 50 is a quarter of the gain. Half an expression after a quarter second, a bend of two semitones."""
    track = [control(0, 7, 50), on(0, 60), control(240, 11, 64), bend(0, 8191), off(240, 60), on(0, 62), off(480, 62)]
    first, second = read_midi(write_midi(tmp_path / "a.mid", track)).notes
    half = (64 / 127) ** 2
    assert first.gains == ((0.0, 0.25), (0.25, pytest.approx(0.25 * half)))
    assert first.bends == ((0.0, 0.0), (0.25, pytest.approx(2.0)))
    assert second.gains == ((0.0, pytest.approx(0.25 * half)),)
    plain = read_midi(write_midi(tmp_path / "b.mid", [on(0, 60), off(480, 60)])).notes[0]
    assert plain.gains == plain.bends == ()
    wide = [control(0, 101, 0), control(0, 100, 0), control(0, 6, 12), bend(0, -8192), on(0, 60), off(480, 60)]
    assert read_midi(write_midi(tmp_path / "c.mid", wide)).notes[0].bends == ((0.0, -12.0),)


def test_a_bend_changes_the_frequency_and_the_gain_the_level():
    rate = 16000
    tone = np.sin(2 * np.pi * 500 * np.arange(rate) / rate).astype(np.float32)
    up = bent(tone, ((0.0, 12.0),), rate)
    assert abs(len(up) - rate // 2) <= 1
    np.testing.assert_allclose(up[10:-10], np.sin(2 * np.pi * 1000 * np.arange(len(up)) / rate)[10:-10], atol=0.02)
    later = bent(tone, ((0.0, 0.0), (0.5, -12.0)), rate)
    np.testing.assert_allclose(later[: rate // 2], tone[: rate // 2], atol=1e-6)
    assert len(later) == pytest.approx(1.5 * rate, abs=100)
    notes = [Note(0, 0.3, 60, 127), Note(1, 1.3, 60, 127, gains=((0.0, 0.25),))]
    audio, _ = play(FakeSession(), notes, peak=None)
    assert np.abs(audio[RATE:]).max() == pytest.approx(0.25 * np.abs(audio[:RATE]).max(), rel=1e-3)


KIT = ("Clap", "Closed_HiHat", "Kick", "open-hat", "Snare", "Tom Low")


def test_general_midi_keys_find_their_drum():
    played = {36: "Kick", 38: "Snare", 40: "Snare", 39: "Clap", 42: "Closed_HiHat", 46: "open-hat", 45: "Tom Low", 50: "Tom Low"}
    for key, name in played.items():
        assert KIT[label_of(key, KIT)] == name
    assert label_of(49, KIT) is None
    assert label_of(12, KIT) is None
    assert KIT[label_of(37, KIT)] == "Snare"


@dataclass
class FakeKit:
    """Each label is one level for the whole clip."""

    classes: dict = field(default_factory=lambda: {"label": KIT})
    sample_rate: int = RATE
    clip_samples: int = 1000
    latent_dim: int = DIM
    distribution: str = "normal"
    sha256: str = "kit"

    def run(self, latents, conditions):
        return np.ones((len(latents), self.clip_samples, 1), np.float32) * (1 + conditions["label"][:, None, None])


def test_channel_10_is_played_by_a_model_of_drums(tmp_path):
    track = [on(0, 36, 127, 9), off(240, 36, 9), on(240, 38, 64, 9), off(10, 38, 9), on(0, 49, 64, 9), off(10, 49, 9)]
    song = read_midi(write_midi(tmp_path / "a.mid", track))
    kit = DrumPerformance(FakeKit(), song, RenderOptions())
    assert kit.report.instruments == {"Kick": 1, "Snare": 1}
    assert "1 drum notes have no label in the model" in kit.warnings()[0]
    audio = np.concatenate(list(mix(kit, 16)))
    assert audio[0] == pytest.approx(1.0)
    assert audio[RATE // 2 + 1] == pytest.approx(64 / 127, rel=1e-3)
    assert np.count_nonzero(audio[1000 : RATE // 2]) == 0
    notes = Performance(FakeSession(), Song((Note(0, 0.3, 60, 127),)), RenderOptions(peak=None), tmp_path / "both.wav")
    render(notes, drums=kit, group=16, subtype="FLOAT")
    both, _ = soundfile.read(tmp_path / "both.wav")
    alone, _ = play(FakeSession(), [Note(0, 0.3, 60, 127)], peak=None)
    np.testing.assert_allclose(both[: len(alone)], alone[:, 0] if alone.ndim > 1 else alone + audio[: len(alone)], atol=1e-5)
    with pytest.raises(UsageError, match="no labels"):
        DrumPerformance(FakeSession(), song, RenderOptions())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_ends_in_a_sentence(tmp_path_factory, data):
    """Any byte of a good file changed, or its end cut: notes or a foreseen error, nothing else."""
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    content = bytearray(write_midi(path, [control(0, 64, 127), on(0, 60), off(240, 60), on(0, 62, channel=3), off(9, 62, 3)]).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        song = read_midi(path)
    except GanAudioError:
        return
    assert song.notes
    assert all(0 <= note.start <= note.end and 0 <= note.pitch < 128 and 0 < note.velocity < 128 for note in song.notes)


# Playing


@dataclass
class FakeSession:
    """A model that sounds one tone for all; what it was asked for is kept."""

    pitches: tuple[int, ...] = tuple(range(48, 73))
    instruments: tuple[str, ...] = ("flute", "organ", "string")
    velocities: tuple[int, ...] = ()
    sound: str = "ones"
    calls: list[dict] = field(default_factory=list)
    sha256: str = "f" * 64
    sample_rate: int = RATE
    clip_samples: int = SAMPLES
    latent_dim: int = DIM
    distribution: str = "normal"

    @property
    def classes(self):
        found = {"pitch": tuple(map(str, self.pitches)), "instrument": self.instruments, "velocity": tuple(map(str, self.velocities))}
        return {name: values for name, values in found.items() if values}

    def run(self, latents, conditions):
        self.calls.append({"latent": latents, **conditions})
        if self.sound == "ones":
            audio = np.ones((len(latents), SAMPLES, 1), np.float32) * 0.25
        else:
            noise = np.random.default_rng(int(conditions["pitch"][0])).standard_normal((len(latents), SAMPLES, 1))
            audio = noise.astype(np.float32) + latents[:, :1, None]
        return audio if self.sound != "nan" else audio * np.nan


def play(session: FakeSession, notes: list[Note], group: int = 16, **options) -> tuple[np.ndarray, Performance]:
    performance = Performance(session, Song(tuple(notes)), RenderOptions(**options))
    return np.concatenate(list(mix(performance, group))), performance


def test_a_note_by_hand():
    """Attack, hold, release and level of one note of ones, sample by sample."""
    audio, _ = play(FakeSession(), [Note(0.1, 0.2, 60, 127)])
    attack, release, start, held = 80, 2400, 800, 800
    expected = np.zeros(start + held + release)
    expected[start : start + attack] = np.linspace(0, 1, attack)
    expected[start + attack : start + held] = 1
    expected[start + held :] = np.linspace(1, 0, release)
    np.testing.assert_allclose(audio, expected, atol=1e-6)


def test_velocity_and_chords_add():
    one, _ = play(FakeSession(), [Note(0, 0.1, 60, 64)])
    assert one.max() == pytest.approx(64 / 127)
    three, _ = play(FakeSession(), [Note(0, 0.1, pitch, 64) for pitch in (60, 64, 67)])
    np.testing.assert_allclose(three, 3 * one, atol=1e-6)


def test_the_mix_is_the_sum_of_its_notes_however_it_is_cut(monkeypatch):
    """Against a mix made at once, for notes far apart, on one another and at the edges of blocks."""
    rng = np.random.default_rng(0)
    notes = sorted((Note(s, s + rng.uniform(0, 0.4), int(p), int(v)) for s, p, v in zip(rng.uniform(0, 6, 70), rng.integers(48, 73, 70),
                   rng.integers(1, 128, 70), strict=True)), key=lambda note: note.start)  # fmt: skip
    notes.append(Note(40.0, 40.5, 60, 100))  # long silence before
    session = FakeSession()
    performance = Performance(session, Song(tuple(notes)), RenderOptions())
    whole = np.zeros(40 * RATE + SAMPLES)  # the last note is cut to the model's length
    for planned in performance.notes():
        shaped = envelope(np.ones(SAMPLES, np.float32), planned.held, 80, 2400) * planned.gain
        whole[planned.start : planned.start + len(shaped)] += shaped
    for block in (100, 4096, 1 << 20):
        monkeypatch.setattr(midi_render, "_BLOCK", block)
        blocks = list(mix(performance, 16))
        assert max(map(len, blocks)) <= block
        np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-5)


def test_pitches_beyond_the_trained_ones_move_by_octaves():
    session = FakeSession(pitches=(48, 50, 52, 60))
    notes = [Note(0, 1, p, 100) for p in (24, 36, 60, 62, 96, 49)]
    _, performance = play(session, notes)
    asked = [session.pitches[i] for i in session.calls[0]["pitch"][:4]]
    assert asked == [48, 60, 50, 48]  # 24 and 36 -> 48 (one sound), 60, 62 -> 50, 96 -> 60, 49 has no octave -> 48, the lower of two
    assert (performance.report.moved, performance.report.replaced) == (4, 1)
    assert any("4 notes are outside the trained pitches (48 to 60)" in text for text in performance.warnings())


def test_a_note_held_longer_than_the_models_ends_early():
    audio, performance = play(FakeSession(), [Note(0, 9.0, 60, 127)])
    assert len(audio) == SAMPLES  # held for what the release leaves
    assert performance.report.shortened == 1
    assert audio[SAMPLES - 2400 - 1] == pytest.approx(1)
    assert audio[-1] == pytest.approx(0)


def test_notes_of_no_length_sound():
    audio, _ = play(FakeSession(), [Note(0, 0, 60, 127)])
    assert len(audio) == 80 + 2400
    assert audio.max() == pytest.approx(1)


def test_random_timbres_change_every_six_seconds_and_slide_between():
    session = FakeSession(instruments=())
    notes = [Note(t, t + 0.1, 60, 100) for t in (0.0, 3.0, 6.0, 7.0, 12.0)]
    performance = Performance(session, Song(tuple(notes)), RenderOptions(seed=3))
    latents = [planned.latent for planned in performance.notes()]
    timbres = [latent for _, latent, _ in performance.timbres]
    assert [time for time, _, _ in performance.timbres] == [0, 6, 12, 18]
    for index, at in ((0, 0), (2, 1), (4, 2)):
        np.testing.assert_array_equal(latents[index], timbres[at])
    half = latents[1]
    for end in (timbres[0], timbres[1]):  # half way of a great circle: the same angle to both ends
        assert half @ end / np.linalg.norm(end) > 0
    cosines = [half @ end / np.linalg.norm(end) for end in timbres[:2]]
    assert cosines[0] == pytest.approx(cosines[1], rel=1e-4)


def test_a_short_song_has_one_timbre():
    """GANSynth's own renderer reads past the end of its list of timbres here."""
    performance = Performance(FakeSession(), Song((Note(0, 0.1, 60, 100), Note(5.8, 5.9, 60, 100))), RenderOptions())
    first, second = [planned.latent for planned in performance.notes()]
    np.testing.assert_array_equal(first, second)


def test_equal_timbres_stay_finite():
    latents = np.ones((2, DIM), np.float32)
    performance = Performance(
        FakeSession(), Song((Note(0, 1, 60, 1), Note(1, 2, 60, 1), Note(2, 3, 60, 1))), RenderOptions(latents=latents)
    )
    for planned in performance.notes():
        np.testing.assert_allclose(planned.latent, 1, atol=1e-6)


def test_named_instruments_follow_each_other():
    session = FakeSession()
    notes = [Note(t, t + 1, 60, 100) for t in range(10)]
    _, performance = play(session, notes, instruments=("organ", "flute"))
    chosen = [session.instruments[planned.instrument] for planned in performance.notes()]
    assert chosen == ["organ"] * 5 + ["flute"] * 5
    assert performance.report.instruments == {"flute": 5, "organ": 5}
    one = Performance(session, Song(tuple(notes)), RenderOptions(instruments=("string",)))
    assert len({planned.latent.tobytes() for planned in one.notes()}) == 1


def test_programs_of_the_file():
    """48 is strings, 16 an organ, 73 a flute; 0, a piano, is none of the model's families."""
    session = FakeSession()
    notes = [Note(0, 1, 60, 100, program=p) for p in (48, 16, 73, 0, 48)]
    planned = list(Performance(session, Song(tuple(notes)), RenderOptions(instruments=("program",))).notes())
    assert [session.instruments[note.instrument] for note in planned[:3]] == ["string", "organ", "flute"]
    np.testing.assert_array_equal(planned[0].latent, planned[4].latent)
    assert not np.array_equal(planned[0].latent, planned[1].latent)


def test_velocity_classes_take_the_nearest():
    session = FakeSession(velocities=(25, 75, 127))
    play(session, [Note(0, 1, 60 + i, v) for i, v in enumerate((1, 49, 51, 120))])
    assert session.calls[0]["velocity"][:4].tolist() == [0, 0, 1, 2]


def test_sounds_are_computed_in_whole_groups_and_once():
    session = FakeSession(instruments=())
    notes = [Note(i, i + 0.5, 60 + i % 3, 100) for i in range(50)]
    _, performance = play(session, notes, latents=np.ones((1, DIM), np.float32))
    assert [call["latent"].shape for call in session.calls] == [(16, DIM)]
    assert performance.report.generated == 3
    other = FakeSession(instruments=())
    play(other, notes)  # a timbre that moves: every note is another sound
    assert [len(call["pitch"]) for call in other.calls] == [16] * 4


def test_memory_for_sounds_is_bounded(monkeypatch):
    """With room for 16 sounds and 40 in turn, each is computed again when it comes back, and the mix is the same."""
    pitches = tuple(range(40, 80))
    notes = [Note(i / 4, i / 4 + 0.2, 40 + i % 40, 100) for i in range(160)]
    expected, whole = play(FakeSession(pitches), notes, instruments=("organ",))
    assert whole.report.generated == 40
    monkeypatch.setattr(midi_render, "_KEPT_SAMPLES", 16 * SAMPLES)
    audio, performance = play(FakeSession(pitches), notes, instruments=("organ",))
    np.testing.assert_array_equal(audio, expected)
    assert performance.report.generated == 160


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"instruments": ("oboe",)}, "the model has flute, organ, string"),
        ({"instruments": ("program", "organ")}, "leave the others out"),
        ({"latents": np.zeros((1, DIM + 1), np.float32)}, r"expected \[timbres, 4\]"),
        ({"latents": np.full((1, DIM), np.nan, np.float32)}, "finite numbers"),
        ({"latents": np.zeros((3, DIM), np.float32), "instruments": ("organ", "flute")}, "3 latents for 2 instruments"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(options, why):
    with pytest.raises(UsageError, match=why):
        Performance(FakeSession(), Song((Note(0, 1, 60, 100),)), RenderOptions(**options))


def test_models_without_pitch_or_instruments():
    with pytest.raises(UsageError, match="not conditioned on pitch"):
        Performance(FakeSession(pitches=()), Song((Note(0, 1, 60, 100),)), RenderOptions())
    with pytest.raises(UsageError, match="not trained on instruments"):
        Performance(FakeSession(instruments=()), Song((Note(0, 1, 60, 100),)), RenderOptions(instruments=("organ",)))


def test_a_model_that_gives_nan_leaves_no_file(tmp_path):
    performance = Performance(FakeSession(sound="nan"), Song((Note(0, 1, 60, 100),)), RenderOptions(), tmp_path / "out" / "song.wav")
    with pytest.raises(RunError, match="NaN"):
        render(performance, group=16)
    assert not list((tmp_path / "out").iterdir())


def test_the_peak_is_half_of_full_scale_or_left_alone(tmp_path):
    song = Song(tuple(Note(0, 0.3, pitch, 127) for pitch in (60, 64, 67, 71)))
    for name, peak, expected in (("half", 0.5, 0.5), ("sum", None, 1.0)):
        path = tmp_path / f"{name}.wav"
        report = render(Performance(FakeSession(), song, RenderOptions(peak=peak), path), group=16)
        audio, _ = soundfile.read(path)
        assert np.abs(audio).max() == pytest.approx(expected, abs=1e-3)
        assert (report.clipped > 0) == (peak is None)
        assert len(audio) == round(report.seconds * RATE)
    with pytest.raises(AudioFileError, match="exists already"):
        render(Performance(FakeSession(), song, RenderOptions(), tmp_path / "half.wav"), group=16)


# The command


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class Tones(keras.layers.Layer):
    """Sounds the pitch that is asked for: 48 + class, a sine that fades; the latent is its phase."""

    def call(self, latent, pitch):
        hz = 440.0 * tf.pow(2.0, (tf.cast(pitch, tf.float32) + 48.0 - 69.0) / 12.0)
        time = tf.range(SAMPLES, dtype=tf.float32) / RATE
        return (tf.sin(2 * np.pi * hz[:, None] * time + latent[:, :1]) * tf.exp(-time))[..., None]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    latent, pitch = keras.Input((DIM,), name="latent"), keras.Input((), dtype="int32", name="pitch")
    network = keras.Model({"latent": latent, "pitch": pitch}, Tones()(latent, pitch))
    made = ClipGenerator(
        network,
        WaveformToAudio(),
        RATE,
        clip_samples=SAMPLES,
        pitches=range(48, 73),
        latent={"dim": DIM, "distribution": "normal"},
        provenance={"family": "wavegan", "recipe": "tones"},
    )
    path = tmp_path_factory.mktemp("model") / "generator.keras"
    made.save(path)
    return path


def play_song(model: Path, midi: Path, output: Path, *options) -> int:
    return main(["play", str(midi), "--model", str(model), "-o", str(output), *map(str, options)])


def test_a_chord_comes_out_as_a_chord(tmp_path, model, capsys):
    """The strongest partials of the file are the three tones of the score, the same file every time, and it says that it is synthetic."""
    midi = write_midi(tmp_path / "a.mid", [on(0, 60), on(0, 64), on(0, 67), off(480, 60), off(0, 64), off(0, 67)])
    assert play_song(model, midi, tmp_path / "one.wav") == 0
    audio, rate = soundfile.read(tmp_path / "one.wav")
    assert rate == RATE
    assert np.abs(audio).max() == pytest.approx(0.5, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(audio[:1600] * np.hanning(1600), 1 << 15))
    peaks = [i for i in range(1, len(spectrum) - 1) if spectrum[i] > spectrum[[i - 1, i + 1]].max()]
    strongest = sorted(sorted(peaks, key=lambda i: -spectrum[i])[:3])
    heard = [69 + 12 * np.log2(i * RATE / (1 << 15) / 440) for i in strongest]
    np.testing.assert_allclose(heard, [60, 64, 67], atol=0.2)
    mark = audio_file.read_tag(tmp_path / "one.wav")
    assert mark["synthetic"] is True
    assert mark["recipe"] == "tones"
    assert play_song(model, midi, tmp_path / "two.wav") == 0
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()
    assert play_song(model, midi, tmp_path / "three.wav", "--seed", 1) == 0
    assert (tmp_path / "one.wav").read_bytes() != (tmp_path / "three.wav").read_bytes()


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class Clicks(keras.layers.Layer):
    """Two channels: a tone of 1000 Hz at twice the rate of `Tones`, on the left only."""

    def call(self, latent):
        tone = tf.sin(2 * np.pi * 1000.0 * tf.range(SAMPLES, dtype=tf.float32) / (2 * RATE))
        return tf.stack([tone, tf.zeros_like(tone)], axis=-1)[None] + 0.0 * latent[:, :1, None]


def test_models_of_different_rates_are_mixed_at_the_higher_one(tmp_path, model):
    latent, label = keras.Input((DIM,), name="latent"), keras.Input((), dtype="int32", name="label")
    network = keras.Model({"latent": latent, "label": label}, Clicks()(latent))
    kind = {"clip_samples": SAMPLES, "labels": ["kick"], "latent": {"dim": DIM, "distribution": "normal"}}
    ClipGenerator(network, WaveformToAudio(), 2 * RATE, **kind).save(tmp_path / "drums.keras")
    midi = write_midi(tmp_path / "a.mid", [on(0, 60), on(0, 36, channel=9), off(480, 60), off(0, 36, channel=9)])
    assert play_song(model, midi, tmp_path / "both.wav", "--drums", tmp_path / "drums.keras") == 0
    audio, rate = soundfile.read(tmp_path / "both.wav")
    assert (rate, audio.ndim) == (2 * RATE, 1)
    part = audio[: rate // 4]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 16))
    peaks = [i for i in range(1, len(spectrum) - 1) if spectrum[i] > spectrum[[i - 1, i + 1]].max()]
    heard = sorted(i * rate / (1 << 16) for i in sorted(peaks, key=lambda i: -spectrum[i])[:2])
    np.testing.assert_allclose(heard, [261.6, 1000.0], rtol=0.01)


def test_formats_and_refusals(tmp_path, model, capsys):
    midi = write_midi(tmp_path / "a.mid", [on(0, 60), off(480, 60)])
    for name in ("a.flac", "a.ogg", "a.mp3"):
        assert play_song(model, midi, tmp_path / "out" / name) == 0
        assert audio_file.read_tag(tmp_path / "out" / name)["synthetic"] is True
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY and then nothing")
    for output, options, code, message in (
        ("clips", (), 2, "is not the name of a recording"),
        ("out", (), 2, "is a folder"),
        ("out/a.flac", (), 2, "exists already"),
        ("b.wav", ("--latents", tmp_path / "none.npy"), 2, "do not exist"),
        ("b.wav", ("--latents", tmp_path / "bad.npy"), 1, "not an array of latents"),
        ("b.ogg", ("--subtype", "PCM_16"), 2, "only one encoding"),
        ("b.wav", ("--normalize", "loud"), 2, "--normalize is 'loud'"),
        ("b.wav", ("-n", 3), 2, "No such option: -n"),
        ("b.wav", ("--pitch", 60), 2, "No such option: --pitch"),
    ):
        capsys.readouterr()
        assert play_song(model, midi, tmp_path / output, *options) == code, message
        assert message in capsys.readouterr().err
    assert play_song(model, midi, tmp_path / "out" / "a.flac", "--overwrite") == 0
    assert not (tmp_path / "b.wav").exists()
    assert main(["play", str(midi), "-o", "b.wav"]) == 2
    assert "No model is given" in capsys.readouterr().err
    assert main(["play", str(midi), "--model", str(model)]) == 2
    assert f"-o {midi.stem}.wav" in capsys.readouterr().err


def test_the_peak_is_what_normalize_says(tmp_path, model):
    midi = write_midi(tmp_path / "a.mid", [on(0, 60), on(0, 64), on(0, 67), off(480, 60), off(0, 64), off(0, 67)])
    for name, options, peak in (("usual", (), 0.5), ("loud", ("--normalize", -1), 10 ** (-1 / 20))):
        assert play_song(model, midi, tmp_path / f"{name}.wav", *options) == 0
        assert np.abs(soundfile.read(tmp_path / f"{name}.wav")[0]).max() == pytest.approx(peak, abs=1e-3)
    assert play_song(model, midi, tmp_path / "sum.wav", "--normalize", "none", "--subtype", "FLOAT") == 0
    assert np.abs(soundfile.read(tmp_path / "sum.wav")[0]).max() > 1.0  # three notes of velocity 100


def test_a_dry_run_writes_nothing_and_json_says_all(tmp_path, model, capsys):
    midi = write_midi(tmp_path / "a.mid", [on(0, 30), on(0, 36, channel=9), off(960, 30), off(0, 36, channel=9)])
    assert play_song(model, midi, tmp_path / "a.wav", "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["notes"], said["drums"], said["moved"], said["shortened"], said["dry_run"]) == (1, 1, 1, 1, True)
    assert not (tmp_path / "a.wav").exists()


def test_kept_latents_give_the_same_timbre(tmp_path, model):
    midi = write_midi(tmp_path / "a.mid", [on(0, 60), off(480, 60)])
    np.save(tmp_path / "z.npy", np.full(DIM, 0.5, np.float32))
    for seed in (0, 1):
        assert play_song(model, midi, tmp_path / f"{seed}.wav", "--latents", tmp_path / "z.npy", "--seed", seed) == 0
    first, second = (audio_file.read(tmp_path / f"{seed}.wav")[0] for seed in (0, 1))
    np.testing.assert_array_equal(first, second)
