"""Play a song with a model of single notes: every note is generated, shaped and added to the mix.

After the renderer of GANSynth (Engel et al. 2019): the timbre moves through the latent space along the song, each note has an attack of
10 ms and a release of 0.3 s, sounds for 3 s at most, and is scaled to velocity / 127 of its own peak. Divergences: the mix is computed
in blocks, so its length is not bounded by memory; a song shorter than a step of the timbre keeps one timbre; a note outside
the trained range is moved by octaves; the instrument class, where the model has them, changes half way between two timbres.
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
from .read import Curve, Note, Song

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..generate.session import GeneratorSession

PROGRAMS = "program"  # as an instrument: follow the program changes of the file
RANDOM_SECONDS = 6.0  # from one random timbre to the next, as in GANSynth's renderer
MAX_SECONDS = 3.0  # NSynth's notes are held for 3 s; after that only their decay is left
_BLOCK = 1 << 16  # samples written at once
_RAMP_SECONDS = 0.005  # from one volume or bend to the next
_KEPT_SAMPLES = 1 << 23  # generated notes that are kept to be played again: 32 MiB
_FAMILIES = (  # General MIDI program // 8 -> NSynth's instrument family
    *("keyboard", "mallet", "organ", "guitar", "bass", "string", "string", "brass"),
    *("reed", "flute", "synth_lead", "synth_lead", "synth_lead", "string", "mallet", ""),
)
_VOICES = range(52, 55)  # choir and voice, within the ensembles


@dataclass(frozen=True)
class RenderOptions:
    """Options of a rendering.

    Attributes:
        seed: Seed of the timbres and the random instruments.
        instruments: Names of the model's instruments: one for the whole song, or several that follow each other along it;
            ("program",) follows the programs of the file; empty: a random one every `RANDOM_SECONDS`.
        latents: Timbres to use along the song, float32 [n, dim]; None draws them.
        attack, release: Seconds.
        max_seconds: Longest time for which a note is held; less where the model's notes are shorter.
        peak: Peak of the mix, 1 is full scale; None leaves the sum as it is.
    """

    seed: int = 0
    instruments: tuple[str, ...] = ()
    latents: np.ndarray | None = None
    attack: float = 0.010
    release: float = 0.3
    max_seconds: float = MAX_SECONDS
    peak: float | None = 0.5


@dataclass
class RenderReport:
    """Outcome of a rendering.

    Attributes:
        output: The file.
        notes: Number of notes.
        seconds: Length of the recording.
        moved: Notes moved by octaves into the trained range.
        replaced: Notes whose pitch class the model was not trained on, played at the nearest trained pitch.
        shortened: Notes held longer than the model's notes last.
        silent: Notes for which the model gave silence.
        clipped: Samples beyond full scale.
        generated: Notes that were computed; the others repeat a note of the same timbre.
        instruments: Instrument -> number of notes.
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
    """A note for the model: place and length in samples, gain, class numbers, latent float32 [dim], and what changes while it sounds."""

    start: int
    held: int
    gain: float
    pitch: int
    instrument: int
    velocity: int
    latent: np.ndarray
    label: int = 0
    gains: Curve = ()
    bends: Curve = ()


class Player(Protocol):
    """The parts of a performance that the mix needs: model, report, shape of the notes, and the notes in the order of their starts."""

    session: GeneratorSession
    options: RenderOptions
    report: RenderReport
    attack: int
    release: int

    def notes(self) -> Iterator[PlannedNote]: ...


class Performance:
    """A song joined with a model: timbre, classes and shape of each note. Note i is a function of the song, the options and i.

    Attributes:
        session, song, options: As given.
        report: Counts of notes that had to be changed.
        max_held: Samples for which a note is held at most.
    """

    def __init__(self, session: GeneratorSession, song: Song, options: RenderOptions, output: Path = Path()):
        """
        Raises:
            UsageError: A model without pitches, an instrument that it does not have, or latents of another length.
        """
        self.session, self.song, self.options = session, song, options
        self.report = RenderReport(output, notes=len(song.notes))
        classes = session.classes
        if not song.notes:
            raise UsageError(
                f"All {len(song.drum_notes)} notes of the song are on channel 10, which names drums.",
                hint="--model RUN with a model of drums, whose labels are kick, snare and so on",
            )
        if not classes.get("pitch"):
            raise UsageError("The model is not conditioned on pitch, so it cannot play a song.", hint="train one with --recipe gansynth")
        self.pitches = np.array([int(name) for name in classes["pitch"]])
        self.velocities = np.array([int(name) for name in classes.get("velocity", ())])
        self.names = classes.get("instrument", ())
        self._check(options)
        rate = session.sample_rate
        self.attack, self.release = round(options.attack * rate), round(options.release * rate)
        self.max_held = max(self.attack, min(round(options.max_seconds * rate), session.clip_samples - self.release))
        self.timbres = self._timbres()
        self._places = [self._place(note.pitch) for note in song.notes]
        moved = [abs(int(self.pitches[place]) - note.pitch) for place, note in zip(self._places, song.notes, strict=True)]
        self.report.replaced = sum(distance % 12 != 0 for distance in moved)
        self.report.moved = sum(distance > 0 and distance % 12 == 0 for distance in moved)
        self.report.shortened = sum(round((note.end - note.start) * rate) > self.max_held for note in song.notes)
        counts = Counter(self.names[self._timbre_of(note)[1]] for note in song.notes) if self.names else Counter()
        self.report.instruments = dict(sorted(counts.items()))

    def notes(self) -> Iterator[PlannedNote]:
        """Yield the notes in the order of their starts."""
        rate = self.session.sample_rate
        for note, place in zip(self.song.notes, self._places, strict=True):
            latent, instrument = self._timbre_of(note)
            start = round(note.start * rate)
            held = min(max(round(note.end * rate) - start, self.attack), self.max_held)
            velocity = int(np.abs(self.velocities - note.velocity).argmin()) if len(self.velocities) else 0
            yield PlannedNote(start, held, note.velocity / 127.0, place, instrument, velocity, latent, 0, note.gains, note.bends)

    def warnings(self) -> list[str]:
        """Return sentences for the user about notes that differ from the file."""
        report, rate = self.report, self.session.sample_rate
        trained = f"{self.pitches[0]} to {self.pitches[-1]}"
        found = list(self.song.warnings)
        if self.song.drums:
            found.append(f"{self.song.drums} notes on channel 10 are drums and are left out; --drums RUN plays them with a model of drums.")
        if report.moved:
            found.append(f"{report.moved} notes are outside the trained pitches ({trained}) and are played in the nearest octave inside.")
        if report.replaced:
            found.append(f"{report.replaced} notes have an untrained pitch class; the nearest trained pitch is played.")
        if report.shortened:
            found.append(f"{report.shortened} notes are longer than the model's and end after {self.max_held / rate:.2f} s.")
        return found

    def _check(self, options: RenderOptions) -> None:
        wanted = [name for name in options.instruments if name != PROGRAMS]
        if wanted and not self.names:
            raise UsageError(f"--instrument {wanted[0]}: the model was not trained on instruments.", hint="leave --instrument out")
        if unknown := [name for name in wanted if name not in self.names]:
            raise UsageError(f"--instrument {', '.join(unknown)}: the model has {', '.join(self.names)}, or program to follow the file.")
        if PROGRAMS in options.instruments and len(options.instruments) > 1:
            raise UsageError(f"--instrument {PROGRAMS} takes the instruments from the file; leave the others out.")
        if options.latents is not None:
            shape, dim = options.latents.shape, self.session.latent_dim
            if len(shape) != 2 or shape[1] != dim or not shape[0] or not np.isfinite(options.latents).all():
                raise UsageError(f"The latents have shape {list(shape)}; expected [timbres, {dim}], finite numbers.")
            if len(wanted) > 1 and len(wanted) != len(options.latents) != 1:
                raise UsageError(
                    f"There are {len(options.latents)} latents for {len(wanted)} instruments; expected one each, or a single one."
                )

    def _timbres(self) -> list[tuple[float, np.ndarray, int]]:
        """(second, latent, instrument class) along the song; between two of them the latent follows the great circle."""
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
        """One latent per program, so that a program keeps its timbre; the class is its instrument family, else a random one."""
        if self.options.latents is not None:
            latent = np.asarray(self.options.latents, np.float32)[program % len(self.options.latents)]
        else:
            latent = draw_latents(self.options.seed, [program], self.session.latent_dim, self.session.distribution)[0]
        family = "vocal" if program in _VOICES else _FAMILIES[program // 8]
        if family in self.names:
            return latent, self.names.index(family)
        return latent, _choice(self.options.seed, program, len(self.names))

    def _place(self, pitch: int) -> int:
        """The class of a pitch: itself, else its nearest octave, else the nearest trained pitch; the lower of two."""
        octaves = np.flatnonzero((self.pitches - pitch) % 12 == 0)
        choice = octaves if len(octaves) else np.arange(len(self.pitches))
        return int(choice[np.abs(self.pitches[choice] - pitch).argmin()])


def render(
    performance: Player,
    *,
    drums: Player | None = None,
    group: int,
    subtype: str = "PCM_16",
    overwrite: bool = False,
    tag: Mapping[str, Any] | None = None,
    on_notes: Callable[[int], None] = lambda notes: None,
) -> RenderReport:
    """Play a song into its file, in the memory of some notes: the mix lies in a temporary file until its peak is known.

    Args:
        performance: The song and the model; its `report.output` is the file.
        drums: Channel 10 of the song with a model of drums, whose session gives the same sample rate.
        group: Notes in one call of the network: `session.GROUP`. The notes of a song fall into the same groups every time, so a song
            of a seed is the same to the bit.
        subtype, overwrite: As for `audio_stream.Writer`.
        tag: Further fields of the provenance tag.
        on_notes: Called with the number of notes just mixed.

    Returns:
        The completed report of the performance.

    Raises:
        AudioFileError: The file exists or cannot be written.
        RunError: The model gives NaN.
    """
    report, session = performance.report, performance.session
    output = report.output
    if output.exists() and not overwrite:
        raise AudioFileError(output, "exists already", hint="add --overwrite, or choose another output")
    content = {"synthetic": True, "software": f"gan-audio {__version__}", "model": session.sha256, "seed": performance.options.seed}
    tags = {"comment": json.dumps(content | dict(tag or {}), sort_keys=True)}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryFile(dir=output.parent)  # noqa: SIM115
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
    with scratch:
        peak = samples = 0.0
        try:
            for block in _together(performance, drums, group, on_notes):
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


def _together(performance: Player, drums: Player | None, group: int, on_notes: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Add the mixes of both models, block by block, float32 [n]."""
    if drums is None:
        yield from mix(performance, group, on_notes)
        return
    rests = [np.zeros(0, np.float32)] * 2
    streams = [mix(performance, group, on_notes), mix(drums, group, on_notes)]
    ended = [False, False]
    while not all(ended):
        for index, stream in enumerate(streams):
            if not len(rests[index]):
                block = next(stream, None)
                ended[index] = block is None
                rests[index] = rests[index] if block is None else block
        ready = min((len(rest) for rest, over in zip(rests, ended, strict=True) if not over), default=0)
        if ready:
            yield sum((rest[:ready] if len(rest) else np.zeros(ready, np.float32) for rest in rests), np.zeros(ready, np.float32))
            rests = [rest[ready:] for rest in rests]


def mix(performance: Player, group: int, on_notes: Callable[[int], None] = lambda notes: None) -> Iterator[np.ndarray]:
    """Yield the song block by block, float32 [n]: everything before the start of the current note is finished."""
    buffer = np.zeros(0, np.float32)
    begin = 0  # the sample at which the buffer begins
    for planned, sound in _sounds(performance, group):
        while planned.start - begin >= _BLOCK or (planned.start > begin and len(buffer) > planned.start - begin):
            ready = min(planned.start - begin, _BLOCK)
            yield np.pad(buffer[:ready], (0, max(0, ready - len(buffer))))
            buffer, begin = buffer[ready:], begin + ready
        sound = bent(sound, planned.bends, performance.session.sample_rate)
        shaped = envelope(sound, planned.held, performance.attack, performance.release) * np.float32(planned.gain)
        if planned.gains:
            shaped *= _curve(planned.gains, len(shaped), performance.session.sample_rate)
        place = planned.start - begin
        missing = place + len(shaped) - len(buffer)
        if missing > 0:
            buffer = np.pad(buffer, (0, missing))
        buffer[place : place + len(shaped)] += shaped
        on_notes(1)
    for at in range(0, len(buffer), _BLOCK):
        yield buffer[at : at + _BLOCK]


def envelope(sound: np.ndarray, held: int, attack: int, release: int) -> np.ndarray:
    """Shape a note [n]: linear attack, held for `held` samples from its start, then linear release; at most n samples."""
    shape = np.ones(held + release, np.float32)
    shape[:attack] = np.linspace(0.0, 1.0, attack, dtype=np.float32)
    shape[held:] = np.linspace(shape[held - 1] if held else 1.0, 0.0, release, dtype=np.float32)
    length = min(len(sound), len(shape))
    return sound[:length] * shape[:length]


def bent(sound: np.ndarray, bends: Curve, sample_rate: int) -> np.ndarray:
    """Follow a pitch bend: play a note [n] faster or slower by 2^(semitones / 12), by cubic interpolation; its end may come earlier."""
    if not bends:
        return sound
    from scipy.ndimage import map_coordinates

    ratio = 2.0 ** (_curve(bends, 2 * len(sound), sample_rate) / 12)
    place = np.concatenate([[0.0], np.cumsum(ratio[:-1])])
    return map_coordinates(sound, place[None, place <= len(sound) - 1], order=3, mode="nearest").astype(np.float32)


def _curve(points: Curve, samples: int, sample_rate: int) -> np.ndarray:
    """Steps at the points, each reached within 5 ms, so that none clicks: float32 [samples]."""
    times, values = [points[0][0]], [points[0][1]]
    for at, value in points[1:]:
        times += [max(at, times[-1]), max(at, times[-1]) + _RAMP_SECONDS]
        values += [values[-1], value]
    return np.interp(np.arange(samples) / sample_rate, times, values).astype(np.float32)


def _sounds(performance: Player, group: int) -> Iterator[tuple[PlannedNote, np.ndarray]]:
    """Yield each note with its sound, scaled to a peak of 1. Notes of one timbre and pitch are computed once, while they fit in memory."""
    limit = max(group, _KEPT_SAMPLES // performance.session.clip_samples)
    kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
    waiting: list[PlannedNote] = []
    missing: dict[tuple, PlannedNote] = {}

    def play() -> Iterator[tuple[PlannedNote, np.ndarray]]:
        fresh = dict(zip(missing, _generate(performance, list(missing.values()), group), strict=True)) if missing else {}
        for note in waiting:
            key = _key(note)
            if key in fresh:
                kept[key] = fresh[key]
            kept.move_to_end(key)
            yield note, kept[key]
        while len(kept) > limit:
            kept.popitem(last=False)

    for note in performance.notes():
        waiting.append(note)
        if _key(note) not in kept:
            missing.setdefault(_key(note), note)
        if len(missing) == group or len(waiting) >= 16 * group:
            yield from play()
            waiting, missing = [], {}
    yield from play()


def _choice(seed: int, index: int, number: int) -> int:
    """Draw a class below `number` from bits that NumPy promises never to change (see `latents`)."""
    stream = np.random.Philox(key=np.array([seed, (1 << 63) + index], np.uint64))
    return int(stream.random_raw()) % max(number, 1)


def _key(note: PlannedNote) -> tuple:
    return note.pitch, note.instrument, note.velocity, note.label, note.latent.tobytes()


def _generate(performance: Player, notes: Sequence[PlannedNote], group: int) -> list[np.ndarray]:
    """Generate up to `group` notes; the group is padded with its first, so that the network always computes as many."""
    rows = [*notes, *[notes[0]] * (group - len(notes))]
    conditions = {name: np.array([getattr(note, name) for note in rows], np.int32) for name in ("pitch", "instrument", "velocity", "label")}
    audio = performance.session.run(np.stack([note.latent for note in rows]), conditions)[: len(notes)].mean(axis=2)
    performance.report.generated += len(notes)
    peaks = np.abs(audio).max(axis=1)
    if not np.isfinite(peaks).all():
        raise RunError("The model gives NaN or infinite samples for a note.", hint="use an earlier checkpoint of the run")
    performance.report.silent += int((peaks == 0).sum())
    return [sound / peak if peak else sound for sound, peak in zip(audio, peaks, strict=True)]
