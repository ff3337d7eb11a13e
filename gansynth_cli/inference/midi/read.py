"""Read Standard MIDI Files into notes in seconds: tempo changes, sustain pedal, volume, expression, bend, programs. No TensorFlow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import GanAudioError, UsageError
from .smf import Event, MidiFile, parse

DRUMS = 9  # channel 10, counted from 1
_VOLUME, _EXPRESSION = 7, 11
_RPN_COARSE, _RPN_FINE, _DATA_COARSE, _DATA_FINE = 101, 100, 6, 38
_USUAL_VOLUME, _USUAL_BEND_RANGE = 100, 2.0  # General MIDI: controller 7, and semitones
_PEDAL, _ALL_SOUND_OFF, _ALL_NOTES_OFF, _RESET = 64, 120, 123, 121  # controllers
_DOWN = 64  # a pedal at this value or above is down
_TEMPO = 500_000  # microseconds per beat until the file says otherwise: 120 beats per minute
_MAX_SECONDS = 24 * 3600.0
Curve = tuple[tuple[float, float], ...]  # (second, value) from the start of a note on, each value until the next


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        start, end: Seconds; `end` is the release of the key, or of the pedal that holds the note.
        pitch: MIDI note number.
        velocity: 1 to 127.
        channel: 0 to 15.
        program: General MIDI program, 0 to 127.
        gains: Gain by volume and expression while it sounds; empty: 1 throughout.
        bends: Semitones of the pitch bend while it sounds; empty: none.
    """

    start: float
    end: float
    pitch: int
    velocity: int
    channel: int = 0
    program: int = 0
    gains: Curve = ()
    bends: Curve = ()


@dataclass(frozen=True)
class Song:
    """Content of a file.

    Attributes:
        notes: Notes of pitches in the order of their starts.
        drum_notes: Notes of channel 10 likewise, whose pitches name drums.
        warnings: Sentences for the user.
    """

    notes: tuple[Note, ...]
    drum_notes: tuple[Note, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def drums(self) -> int:
        """Number of notes on channel 10."""
        return len(self.drum_notes)

    @property
    def seconds(self) -> float:
        """End of the last note."""
        return max((note.end for note in (*self.notes, *self.drum_notes)), default=0.0)


def read_midi(path: Path) -> Song:
    """Read a Standard MIDI File of any format (0, 1 or 2).

    A note-on of velocity 0 is a note-off. Of notes of one pitch, channel and track that overlap, the one struck first ends first.
    While the sustain pedal (controller 64) of a channel is down, released notes sound on until it comes up, or until their key is struck
    again. Notes without a note-off end with the file. Damaged parts are skipped; `Song.warnings` names them.

    Raises:
        UsageError: No such file, or a folder.
        GanAudioError: Not a MIDI file, damaged, without notes, or longer than a day.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"The MIDI file {path} {what}.", hint="gan-audio play song.mid --model RUN -o song.wav")
    try:
        file = parse(path.read_bytes())
        songs = [_Player(file).play(tracks) for tracks in ([[track] for track in file.tracks] if file.format == 2 else [file.tracks])]
    except ValueError as error:
        raise GanAudioError(
            f"{path} is damaged or not a MIDI file: {error}.", hint="export it again as a Standard MIDI File (.mid)"
        ) from error
    except OSError as error:
        raise GanAudioError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    found = _in_a_row(songs) if songs else Song(())
    found = replace(found, warnings=(*file.warnings, *found.warnings))
    if not found.notes and not found.drum_notes:
        why = " ".join(("it is empty.", *file.warnings))
        raise GanAudioError(f"{path} has no notes to play: {why}")
    if found.seconds > _MAX_SECONDS:
        raise GanAudioError(f"{path} lasts {found.seconds / 3600:.0f} hours, more than a day: the file is damaged.", hint="export it again")
    return found


@dataclass
class _Channel:
    """The state of a channel, and what changed it: (second, value) of the gain and of the bend."""

    program: int = 0
    pedal: bool = False
    volume: int = _USUAL_VOLUME
    expression: int = 127
    bend: float = 0.0  # -1 to 1
    bend_range: float = _USUAL_BEND_RANGE
    parameter: tuple[int, int] = (127, 127)
    gains: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 1.0)])
    bends: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])

    def control(self, now: float, number: int, value: int) -> None:
        if number == _VOLUME:
            self.volume = value
        elif number == _EXPRESSION:
            self.expression = value
        elif number == _RPN_COARSE:
            self.parameter = (value, self.parameter[1])
        elif number == _RPN_FINE:
            self.parameter = (self.parameter[0], value)
        elif number == _DATA_COARSE and self.parameter == (0, 0):
            self.bend_range = value + self.bend_range % 1
        elif number == _DATA_FINE and self.parameter == (0, 0):
            self.bend_range = int(self.bend_range) + value / 100
        elif number == _RESET:
            self.expression, self.bend = 127, 0.0
        # 40 log10 of the value in dB, as General MIDI recommends; a file that does not speak of volume keeps its level.
        _note(self.gains, now, ((self.volume / _USUAL_VOLUME) * (self.expression / 127)) ** 2)
        _note(self.bends, now, self.bend * self.bend_range)


def _note(curve: list[tuple[float, float]], now: float, value: float) -> None:
    if curve[-1][1] == value:
        return
    if curve[-1][0] == now:
        curve[-1] = (now, value)
    else:
        curve.append((now, value))


def _between(curve: Sequence[tuple[float, float]], start: float, end: float, usual: float) -> Curve:
    """The part of a curve from a start to an end, in seconds from that start; empty where it is the usual value throughout."""
    first = max((index for index, (at, _) in enumerate(curve) if at <= start), default=0)
    part = [(max(0.0, at - start), value) for at, value in curve[first:] if at < end or at <= start]
    return () if all(value == usual for _, value in part) else tuple(part)


@dataclass
class _Sounding:
    note: Note
    held: bool = False  # released, but the pedal is down


@dataclass
class _Player:
    """Turns the events of some tracks, in the order of time, into notes."""

    file: MidiFile
    notes: list[Note] = field(default_factory=list)
    endless: int = 0

    def play(self, tracks: list[list[Event]]) -> Song:
        self.sounding: dict[tuple[int, int, int], list[_Sounding]] = defaultdict(list)  # (track, channel, pitch)
        self.channels = [_Channel() for _ in range(16)]
        self.now = 0.0
        for now, track, event in self._events(tracks):
            self.now = now
            self._take(track, event)
        for key, entries in self.sounding.items():
            self.endless += sum(not entry.held for entry in entries)
            self._end(key, list(entries))
        notes = sorted(self.notes, key=lambda note: (note.start, note.pitch, note.channel, note.end, note.velocity))
        notes = [self._shaped(note) for note in notes]
        warnings = [f"{self.endless} notes are never released; they end with the file."] if self.endless else []
        pitched, drums = ([note for note in notes if (note.channel == DRUMS) == wanted] for wanted in (False, True))
        return Song(tuple(pitched), tuple(drums), tuple(warnings))

    def _take(self, track: int, event: Event) -> None:
        kind, channel = event.status & 0xF0, event.status & 0x0F
        state, key = self.channels[channel], (track, channel, event.first)
        if kind == 0x90 and event.second:
            for other in [k for k in self.sounding if k[1:] == key[1:]] if state.pedal else ():
                self._end(other, [entry for entry in self.sounding[other] if entry.held])
            self.sounding[key].append(_Sounding(Note(self.now, self.now, event.first, event.second, channel, state.program)))
        elif kind in (0x80, 0x90):
            first = next((entry for entry in self.sounding.get(key, []) if not entry.held), None)
            if first is not None and state.pedal:
                first.held = True
            elif first is not None:
                self._end(key, [first])
        elif kind == 0xC0:
            state.program = event.first
        elif kind == 0xE0:
            state.bend = max(-1.0, ((event.second << 7 | event.first) - 8192) / 8191)
            _note(state.bends, self.now, state.bend * state.bend_range)
        elif kind == 0xB0:
            self._control(channel, state, event)

    def _control(self, channel: int, state: _Channel, event: Event) -> None:
        mine = [key for key in self.sounding if key[1] == channel]
        state.control(self.now, event.first, event.second)
        if event.first in (_PEDAL, _RESET):
            state.pedal = event.first == _PEDAL and event.second >= _DOWN
            if not state.pedal:
                for key in mine:
                    self._end(key, [entry for entry in self.sounding[key] if entry.held])
        elif event.first in (_ALL_SOUND_OFF, _ALL_NOTES_OFF):
            for key in mine:
                self._end(key, list(self.sounding[key]))

    def _end(self, key: tuple[int, int, int], which: list[_Sounding]) -> None:
        for entry in which:
            self.sounding[key].remove(entry)
            self.notes.append(replace(entry.note, end=max(self.now, entry.note.start)))

    def _shaped(self, note: Note) -> Note:
        state = self.channels[note.channel]
        gains, bends = _between(state.gains, note.start, note.end, 1.0), _between(state.bends, note.start, note.end, 0.0)
        return replace(note, gains=gains, bends=bends) if gains or bends else note

    def _events(self, tracks: list[list[Event]]) -> Iterator[tuple[float, int, Event]]:
        """Yield (seconds, track, event) of all tracks in the order of time, and of the tracks where times are equal."""
        events = [(event.tick, number, event) for number, track in enumerate(tracks) for event in track]
        events.sort(key=lambda entry: entry[0])
        seconds_per_tick = self._seconds_per_tick(_TEMPO)
        seconds, last = 0.0, 0
        for tick, number, event in events:
            seconds += (tick - last) * seconds_per_tick
            last = tick
            if event.status == 0x51:
                seconds_per_tick = self._seconds_per_tick(event.first)
            else:
                yield seconds, number, event

    def _seconds_per_tick(self, tempo: int) -> float:
        division = self.file.division
        if division > 0:
            return tempo * 1e-6 / division
        frames, ticks = 256 - (division >> 8 & 0xFF), division & 0xFF  # time code: independent of the tempo
        if frames not in (24, 25, 29, 30) or not ticks:
            raise ValueError(f"its header gives a time division of {division}")
        return 1.0 / ((29.97 if frames == 29 else frames) * ticks)


def _in_a_row(songs: list[Song]) -> Song:
    """Join the patterns of a file of format 2 one after the other; files of other formats hold one song."""
    if len(songs) == 1:
        return songs[0]
    notes: list[Note] = []
    drums: list[Note] = []
    begin = 0.0
    for song in songs:
        for found, made in ((song.notes, notes), (song.drum_notes, drums)):
            made += [replace(note, start=note.start + begin, end=note.end + begin) for note in found]
        begin += song.seconds
    warnings = {warning for song in songs for warning in song.warnings}
    played = sum(bool(song.notes or song.drum_notes) for song in songs)
    if played > 1:
        warnings.add(f"the file holds {played} separate patterns (format 2), which are played one after the other.")
    return Song(tuple(notes), tuple(drums), tuple(sorted(warnings)))
