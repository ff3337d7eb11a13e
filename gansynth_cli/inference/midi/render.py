"""A song played by a model of single notes: every note is generated, shaped and added to the mix.

After the renderer of GANSynth (Engel et al. 2019): the timbre moves through the latent space along the song, each note has an attack of
10 ms and a release of 0.3 s and sounds for 3 s at most, and is scaled to velocity / 127 of its own peak. Divergences: the mix is made
in blocks, so its length is not bounded by memory; a song shorter than a step of the timbre keeps one timbre; a note beyond
the trained range is moved by octaves; the classes of instruments, where the model has them, change where the timbre is half way.
"""

from __future__ import annotations

import bisect
import json
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ... import __version__
from ...data.audio import audio_stream
from ...errors import AudioFileError, RunError, UsageError
from ..generate.latents import draw_latents, slerp
from .read import Note, Song

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = "program"  # as an instrument: what the file's own programs say
RANDOM_SECONDS = 6.0  # from one random timbre to the next, as GANSynth's renderer has it
LONGEST_SECONDS = 3.0  # NSynth's notes are held for 3 s; beyond that there is nothing but their decay
_BLOCK = 1 << 16  # samples written at once
_KEPT_SAMPLES = 1 << 23  # generated notes that are kept to be played again: 32 MiB
_FAMILIES = (  # General MIDI program // 8 -> NSynth's instrument family
    *("keyboard", "mallet", "organ", "guitar", "bass", "string", "string", "brass"),
    *("reed", "flute", "synth_lead", "synth_lead", "synth_lead", "string", "mallet", ""),
)
_VOICES = range(52, 55)  # choir and voice, within the ensembles


class NoteSession(Protocol):
    """What is asked of a loaded model; see `session.GeneratorSession`."""

    @property
    def sha256(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def clip_samples(self) -> int: ...
    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def distribution(self) -> str: ...
    def run(
        self,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        pitch: np.ndarray | None = None,
        instrument: np.ndarray | None = None,
        velocity: np.ndarray | None = None,
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class RenderOptions:
    """How a song is played.

    Attributes:
        seed: Decides the timbres and the random instruments.
        instruments: Names of the model's instruments: one for the whole song, or several that follow each other along it;
            ("program",) follows the programs of the file; empty: a random one every `RANDOM_SECONDS`.
        latents: float32 [n, dim]: timbres to use in place of random ones, along the song; None draws them.
        attack, release: Seconds.
        longest: Seconds for which a note is held at most; less where the model's notes are shorter.
        peak: Of the mix, 1 is full scale; None leaves the sum as it is.
    """

    seed: int = 0
    instruments: tuple[str, ...] = ()
    latents: np.ndarray | None = None
    attack: float = 0.010
    release: float = 0.3
    longest: float = LONGEST_SECONDS
    peak: float | None = 0.5


@dataclass
class RenderReport:
    """What was played.

    Attributes:
        output: The file.
        notes: Notes in it.
        seconds: Its length.
        moved: Notes that were moved by octaves into the trained range.
        replaced: Notes whose pitch class the model was not trained on, played at the nearest pitch that it was.
        shortened: Notes held longer than the model's notes are.
        silent: Notes that the model gave no sound.
        clipped: Samples beyond full scale.
        generated: Notes that were computed; the others were heard before with the same timbre.
        instruments: Instrument -> notes.
    """

    output: Path
    notes: int = 0
    seconds: float = 0.0
    moved: int = 0
    replaced: int = 0
    shortened: int = 0
    silent: int = 0
    clipped: int = 0
    generated: int = 0
    instruments: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedNote:
    """A note as it will be asked for: its place and length in samples, its gain, its classes, and its latent [dim]."""

    start: int
    held: int
    gain: float
    pitch: int
    instrument: int
    velocity: int
    latent: np.ndarray


class Performance:
    """A song joined with a model: what each note is asked for. All of note i follows from the song, the options and i.

    Attributes:
        session, song, options: As given.
        report: Counts of what had to be changed.
        held_most: Samples for which a note is held at most.
    """

    def __init__(self, session: NoteSession, song: Song, options: RenderOptions, output: Path = Path()):
        """
        Raises:
            UsageError: A model without pitches, an instrument that it does not have, latents of another length.
        """
        self.session, self.song, self.options = session, song, options
        self.report = RenderReport(output, notes=len(song.notes))
        classes = session.classes
        if not classes.get("pitch"):
            raise UsageError("The model has no pitches to choose, so it cannot play a song.", hint="train one with --recipe gansynth")
        self.pitches = np.array([int(name) for name in classes["pitch"]])
        self.velocities = np.array([int(name) for name in classes.get("velocity", ())])
        self.names = classes.get("instrument", ())
        self._check(options)
        rate = session.sample_rate
        self.attack, self.release = round(options.attack * rate), round(options.release * rate)
        self.held_most = max(self.attack, min(round(options.longest * rate), session.clip_samples - self.release))
        self.timbres = self._timbres()
        self._places = [self._place(note.pitch) for note in song.notes]
        moved = [abs(int(self.pitches[place]) - note.pitch) for place, note in zip(self._places, song.notes, strict=True)]
        self.report.replaced = sum(distance % 12 != 0 for distance in moved)
        self.report.moved = sum(distance > 0 and distance % 12 == 0 for distance in moved)
        self.report.shortened = sum(round((note.end - note.start) * rate) > self.held_most for note in song.notes)
        counts = Counter(self.names[self._timbre_of(note)[1]] for note in song.notes) if self.names else Counter()
        self.report.instruments = dict(sorted(counts.items()))

    def notes(self) -> Iterator[PlannedNote]:
        """In the order of their starts."""
        rate = self.session.sample_rate
        for note, place in zip(self.song.notes, self._places, strict=True):
            latent, instrument = self._timbre_of(note)
            start = round(note.start * rate)
            held = min(max(round(note.end * rate) - start, self.attack), self.held_most)
            velocity = int(np.abs(self.velocities - note.velocity).argmin()) if len(self.velocities) else 0
            yield PlannedNote(start, held, note.velocity / 127.0, place, instrument, velocity, latent)

    def warnings(self) -> list[str]:
        """Sentences for the user about what is not played as the file says."""
        made, rate = self.report, self.session.sample_rate
        trained = f"{self.pitches[0]} to {self.pitches[-1]}"
        found = list(self.song.warnings)
        if self.song.drums:
            found.append(f"{self.song.drums} notes on channel 10 are drums, and left out.")
        if made.moved:
            found.append(f"{made.moved} notes are outside the trained pitches ({trained}) and are played in the nearest octave within.")
        if made.replaced:
            found.append(f"{made.replaced} notes have pitches that the model was not trained on, in any octave: the nearest one is played.")
        if made.shortened:
            found.append(f"{made.shortened} notes are longer than the model's, and end after {self.held_most / rate:.2f} s.")
        return found

    def _check(self, options: RenderOptions) -> None:
        wanted = [name for name in options.instruments if name != PROGRAMS]
        if wanted and not self.names:
            raise UsageError(f"--instrument {wanted[0]}: the model was not trained on instruments.", hint="leave --instrument out")
        if unknown := [name for name in wanted if name not in self.names]:
            raise UsageError(f"--instrument {', '.join(unknown)}: the model has {', '.join(self.names)}, or program for those of the file.")
        if PROGRAMS in options.instruments and len(options.instruments) > 1:
            raise UsageError(f"--instrument {PROGRAMS} takes the instruments from the file; leave the others out.")
        if options.latents is not None:
            shape, dim = options.latents.shape, self.session.latent_dim
            if len(shape) != 2 or shape[1] != dim or not shape[0] or not np.isfinite(options.latents).all():
                raise UsageError(f"The latents have shape {list(shape)}; expected [timbres, {dim}], finite numbers.")
            if len(wanted) > 1 and len(wanted) != len(options.latents) != 1:
                raise UsageError(
                    f"There are {len(options.latents)} latents for {len(wanted)} instruments; expected one each, or one alone."
                )

    def _timbres(self) -> list[tuple[float, np.ndarray, int]]:
        """(second, latent, instrument class) along the song; between two of them the latent goes along the great circle."""
        options, session = self.options, self.session
        named = [self.names.index(name) for name in options.instruments if name != PROGRAMS]
        given = options.latents
        if PROGRAMS in options.instruments:
            number = 1  # `_timbre_of` draws one for each program
        elif given is not None or named:
            number = max(len(named), 0 if given is None else len(given))
        else:
            steps = int(self.song.seconds // RANDOM_SECONDS)
            number = steps + 2 if steps else 1  # the last one lies beyond the end
        if given is None:
            latents = draw_latents(options.seed, range(number), session.latent_dim, session.distribution)
        else:
            latents = np.asarray(given, np.float32)[np.arange(number) % len(given)]
        if not named:
            named = [_choice(options.seed, 128 + index, len(self.names)) for index in range(number)]
        random = given is None and not options.instruments
        step = RANDOM_SECONDS if random else self.song.seconds / max(number - 1, 1)
        return [(index * step, latents[index], named[index % len(named)]) for index in range(number)]

    def _timbre_of(self, note: Note) -> tuple[np.ndarray, int]:
        if self.options.instruments == (PROGRAMS,):
            return self._program(note.program)
        right = bisect.bisect_right(self.timbres, note.start, key=lambda timbre: timbre[0])
        if right == 0 or right == len(self.timbres):
            return self.timbres[min(right, len(self.timbres) - 1)][1:]
        (begin, first, one), (end, second, other) = self.timbres[right - 1 : right + 1]
        fraction = (note.start - begin) / (end - begin)
        return slerp(first, second, fraction), one if fraction < 0.5 else other

    def _program(self, program: int) -> tuple[np.ndarray, int]:
        """One latent for each program, so that it sounds alike all along; the class is its family, else a random one."""
        if self.options.latents is not None:
            latent = np.asarray(self.options.latents, np.float32)[program % len(self.options.latents)]
        else:
            latent = draw_latents(self.options.seed, [program], self.session.latent_dim, self.session.distribution)[0]
        family = "vocal" if program in _VOICES else _FAMILIES[program // 8]
        if family in self.names:
            return latent, self.names.index(family)
        return latent, _choice(self.options.seed, program, len(self.names))

    def _place(self, pitch: int) -> int:
        """The class of a pitch: itself, else the nearest octave of it, else the nearest trained pitch; the lower one of two."""
        octaves = np.flatnonzero((self.pitches - pitch) % 12 == 0)
        choice = octaves if len(octaves) else np.arange(len(self.pitches))
        return int(choice[np.abs(self.pitches[choice] - pitch).argmin()])


def render(
    performance: Performance,
    *,
    group: int,
    subtype: str = "PCM_16",
    overwrite: bool = False,
    mark: Mapping[str, Any] | None = None,
    on_notes: Callable[[int], None] = lambda notes: None,
) -> RenderReport:
    """Plays a song into its file. Memory is that of some notes: the mix lies in a temporary file until its peak is known.

    Args:
        performance: The song and the model; its `report.output` is the file.
        group: Notes in one call of the network: `session.GROUP`. The notes of a song fall into the same groups every time, so a song
            of a seed is the same to the bit.
        subtype, overwrite: As for `audio_stream.Writer`.
        mark: Provenance beside what every file says.
        on_notes: Called with the number of notes just mixed.

    Raises:
        AudioFileError: The file exists or cannot be written.
        RunError: The model gives NaN.
    """
    report, session = performance.report, performance.session
    output = report.output
    if output.exists() and not overwrite:
        raise AudioFileError(output, "exists already", hint="add --overwrite, or choose another output")
    content = {"synthetic": True, "software": f"gan-audio {__version__}", "model": session.sha256, "seed": performance.options.seed}
    tags = {"comment": json.dumps(content | dict(mark or {}), sort_keys=True)}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryFile(dir=output.parent)  # noqa: SIM115
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
    with scratch:
        peak = samples = 0.0
        try:
            for block in mix(performance, group, on_notes):
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                samples += len(block)
                scratch.write(block.tobytes())
            scratch.seek(0)
        except OSError as error:
            raise AudioFileError(output, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
        gain = np.float32(1.0 if performance.options.peak is None or not peak else performance.options.peak / peak)
        with audio_stream.Writer(
            output, session.sample_rate, 1, subtype=subtype, tags=tags, frames=int(samples), overwrite=overwrite
        ) as writer:
            while content_bytes := scratch.read(4 * _BLOCK):
                writer.write(np.frombuffer(content_bytes, np.float32)[:, None] * gain)
        report.clipped = writer.clipped
    report.seconds = samples / session.sample_rate
    return report


def mix(performance: Performance, group: int, on_notes: Callable[[int], None] = lambda notes: None) -> Iterator[np.ndarray]:
    """The song, float32 [n] block by block; what lies before the start of the note at hand is finished."""
    buffer = np.zeros(0, np.float32)
    begin = 0  # the sample at which the buffer begins
    for planned, sound in _sounds(performance, group):
        while planned.start - begin >= _BLOCK or (planned.start > begin and len(buffer) > planned.start - begin):
            ready = min(planned.start - begin, _BLOCK)
            yield np.pad(buffer[:ready], (0, max(0, ready - len(buffer))))
            buffer, begin = buffer[ready:], begin + ready
        shaped = envelope(sound, planned.held, performance.attack, performance.release) * np.float32(planned.gain)
        place = planned.start - begin
        missing = place + len(shaped) - len(buffer)
        if missing > 0:
            buffer = np.pad(buffer, (0, missing))
        buffer[place : place + len(shaped)] += shaped
        on_notes(1)
    for at in range(0, len(buffer), _BLOCK):
        yield buffer[at : at + _BLOCK]


def envelope(sound: np.ndarray, held: int, attack: int, release: int) -> np.ndarray:
    """A note [n] with a linear attack, held for `held` samples from its start, and a linear release after that; at most n samples."""
    shape = np.ones(held + release, np.float32)
    shape[:attack] = np.linspace(0.0, 1.0, attack, dtype=np.float32)
    shape[held:] = np.linspace(shape[held - 1] if held else 1.0, 0.0, release, dtype=np.float32)
    length = min(len(sound), len(shape))
    return sound[:length] * shape[:length]


def _sounds(performance: Performance, group: int) -> Iterator[tuple[PlannedNote, np.ndarray]]:
    """Each note with its sound, scaled to a peak of 1. Notes with the same timbre and pitch are computed once, while memory lasts."""
    most = max(group, _KEPT_SAMPLES // performance.session.clip_samples)
    kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
    waiting: list[PlannedNote] = []
    asked: dict[tuple, PlannedNote] = {}

    def play() -> Iterator[tuple[PlannedNote, np.ndarray]]:
        fresh = dict(zip(asked, _generate(performance, list(asked.values()), group), strict=True)) if asked else {}
        for note in waiting:
            key = _key(note)
            if key in fresh:
                kept[key] = fresh[key]
            kept.move_to_end(key)
            yield note, kept[key]
        while len(kept) > most:
            kept.popitem(last=False)

    for note in performance.notes():
        waiting.append(note)
        if _key(note) not in kept:
            asked.setdefault(_key(note), note)
        if len(asked) == group or len(waiting) >= 16 * group:
            yield from play()
            waiting, asked = [], {}
    yield from play()


def _choice(seed: int, index: int, number: int) -> int:
    """A random class below `number`, from bits that NumPy promises for ever (see `latents`)."""
    stream = np.random.Philox(key=np.array([seed, (1 << 63) + index], np.uint64))
    return int(stream.random_raw()) % max(number, 1)


def _key(note: PlannedNote) -> tuple:
    return note.pitch, note.instrument, note.velocity, note.latent.tobytes()


def _generate(performance: Performance, notes: Sequence[PlannedNote], group: int) -> list[np.ndarray]:
    """The sounds of up to `group` notes; the group is filled up with its first, so that the network always computes as many."""
    rows = [*notes, *[notes[0]] * (group - len(notes))]
    columns = {name: np.array([getattr(note, name) for note in rows], np.int32) for name in ("pitch", "instrument", "velocity")}
    audio = performance.session.run(np.stack([note.latent for note in rows]), **columns)[: len(notes), :, 0]
    performance.report.generated += len(notes)
    peaks = np.abs(audio).max(axis=1)
    if not np.isfinite(peaks).all():
        raise RunError("The model gives NaN or infinite samples for a note.", hint="use an earlier checkpoint of the run")
    performance.report.silent += int((peaks == 0).sum())
    return [sound / peak if peak else sound for sound, peak in zip(audio, peaks, strict=True)]
