"""Read Standard MIDI Files into notes in seconds: tempo changes, sustain pedal, several tracks and programs. No TensorFlow.

mido parses the file (it needs neither a sound font nor NumPy; pretty_midi is built on it, is a hundred times larger, and leaves the
sustain pedal to its caller).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import GanAudioError, MissingExtraError, UsageError

DRUMS = 9  # channel 10, counted from 1
_PEDAL, _ALL_SOUND_OFF, _ALL_NOTES_OFF, _RESET = 64, 120, 123, 121  # controllers
_DOWN = 64  # a pedal at this value or above is down
_TEMPO = 500_000  # microseconds per beat until the file says otherwise: 120 beats per minute
_MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        start, end: Seconds; `end` is the release of the key, or of the pedal that holds the note.
        pitch: MIDI note number.
        velocity: 1 to 127.
        channel: 0 to 15.
        program: General MIDI program, 0 to 127.
    """

    start: float
    end: float
    pitch: int
    velocity: int
    channel: int = 0
    program: int = 0


@dataclass(frozen=True)
class Song:
    """Content of a file.

    Attributes:
        notes: Notes in the order of their starts.
        drums: Number of notes on channel 10, which name drums instead of pitches and are left out.
        warnings: Sentences for the user.
    """

    notes: tuple[Note, ...]
    drums: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """End of the last note."""
        return max((note.end for note in self.notes), default=0.0)


def read_midi(path: Path) -> Song:
    """Read a Standard MIDI File of any format (0, 1 or 2).

    A note-on of velocity 0 is a note-off. Of notes of one pitch, channel and track that overlap, the one struck first ends first.
    While the sustain pedal (controller 64) of a channel is down, released notes sound on until it comes up, or until their key is struck
    again. Notes without a note-off end with the file.

    Raises:
        UsageError: No such file, or a folder.
        GanAudioError: Not a MIDI file, damaged, without notes, or longer than a day.
        MissingExtraError: `mido` is not installed.
    """
    try:
        import mido
    except ImportError as error:
        raise MissingExtraError("Reading MIDI files", "midi") from error
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"The MIDI file {path} {what}.", hint="gan-audio play song.mid --model RUN -o song.wav")
    try:
        file = mido.MidiFile(path, clip=True)
        songs = [_Player(file).play(tracks) for tracks in ([[track] for track in file.tracks] if file.type == 2 else [file.tracks])]
    except MemoryError:
        raise
    except Exception as error:  # mido raises EOFError, OSError, KeyError, IndexError, ValueError, by where the bytes mislead it
        raise GanAudioError(
            f"{path} is damaged or not a MIDI file: {str(error) or type(error).__name__}.",
            hint="export it again as a Standard MIDI File (.mid)",
        ) from error
    found = _in_a_row(songs)
    if not found.notes:
        why = f"all its {found.drums} notes are on channel 10, which names drums" if found.drums else "it is empty"
        raise GanAudioError(f"{path} has no notes to play: {why}.")
    if found.seconds > _MAX_SECONDS:
        raise GanAudioError(f"{path} lasts {found.seconds / 3600:.0f} hours, more than a day: the file is damaged.", hint="export it again")
    return found


@dataclass
class _Sounding:
    note: Note
    held: bool = False  # released, but the pedal is down


@dataclass
class _Player:
    """Turns the messages of some tracks, in the order of time, into notes."""

    file: Any
    notes: list[Note] = field(default_factory=list)
    drums: int = 0
    endless: int = 0

    def play(self, tracks: list[Any]) -> Song:
        sounding: dict[tuple[int, int, int], list[_Sounding]] = defaultdict(list)  # (track, channel, pitch)
        program: dict[int, int] = defaultdict(int)
        pedal: dict[int, bool] = defaultdict(bool)
        now = 0.0

        def end(key: tuple[int, int, int], which: list[_Sounding]) -> None:
            for entry in which:
                sounding[key].remove(entry)
                self.notes.append(replace(entry.note, end=max(now, entry.note.start)))

        for now, track, message in self._messages(tracks):
            if message.type == "note_on" and message.velocity:
                key = (track, message.channel, message.note)
                if message.channel == DRUMS:
                    self.drums += 1
                    continue
                for other in [k for k in sounding if k[1:] == key[1:]] if pedal[message.channel] else ():
                    end(other, [entry for entry in sounding[other] if entry.held])
                note = Note(now, now, message.note, message.velocity, message.channel, program[message.channel])
                sounding[key].append(_Sounding(note))
            elif message.type in ("note_off", "note_on"):
                key = (track, message.channel, message.note)
                first = next((entry for entry in sounding.get(key, []) if not entry.held), None)
                if first is not None and pedal[message.channel]:
                    first.held = True
                elif first is not None:
                    end(key, [first])
            elif message.type == "program_change":
                program[message.channel] = message.program
            elif message.type == "control_change":
                mine = [key for key in sounding if key[1] == message.channel]
                if message.control in (_PEDAL, _RESET):
                    pedal[message.channel] = message.control == _PEDAL and message.value >= _DOWN
                    if not pedal[message.channel]:
                        for key in mine:
                            end(key, [entry for entry in sounding[key] if entry.held])
                elif message.control in (_ALL_SOUND_OFF, _ALL_NOTES_OFF):
                    for key in mine:
                        end(key, list(sounding[key]))
        for key, entries in sounding.items():
            self.endless += sum(not entry.held for entry in entries)
            end(key, list(entries))
        notes = sorted(self.notes, key=lambda note: (note.start, note.pitch, note.channel, note.end, note.velocity))
        warnings = [f"{self.endless} notes are never released; they end with the file."] if self.endless else []
        return Song(tuple(notes), self.drums, tuple(warnings))

    def _messages(self, tracks: list[Any]) -> Iterator[tuple[float, int, Any]]:
        """Yield (seconds, track, message) of all tracks in the order of time, and of the tracks where times are equal."""
        events = []
        for number, track in enumerate(tracks):
            tick = 0
            for message in track:
                tick += message.time
                events.append((tick, number, message))
        events.sort(key=lambda event: event[0])
        seconds_per_tick = self._seconds_per_tick(_TEMPO)
        seconds, last = 0.0, 0
        for tick, number, message in events:
            seconds += (tick - last) * seconds_per_tick
            last = tick
            if message.type == "set_tempo":
                seconds_per_tick = self._seconds_per_tick(message.tempo)
            yield seconds, number, message

    def _seconds_per_tick(self, tempo: int) -> float:
        division = self.file.ticks_per_beat
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
    begin = 0.0
    for song in songs:
        notes += [replace(note, start=note.start + begin, end=note.end + begin) for note in song.notes]
        begin += song.seconds
    warnings = {warning for song in songs for warning in song.warnings}
    played = sum(bool(song.notes) for song in songs)
    if played > 1:
        warnings.add(f"the file holds {played} separate patterns (format 2), which are played one after the other.")
    return Song(tuple(notes), sum(song.drums for song in songs), tuple(sorted(warnings)))
