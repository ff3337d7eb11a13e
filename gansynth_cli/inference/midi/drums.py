"""Play channel 10 of a song with a model of drums: the keys of General MIDI's percussion map by the names of the model's labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError
from ..generate.latents import draw_latents
from .read import Note, Song
from .render import PlannedNote, RenderOptions, RenderReport

if TYPE_CHECKING:
    from ..generate.session import GeneratorSession

_KICK, _SNARE, _TOM = ("kick", "bass drum", "bassdrum", "bd"), ("snare", "sd"), ("tom",)
_HAT, _CYMBAL = ("hi hat", "hihat", "hat", "hh"), ("crash", "cymbal", "ride")
_HAND = ("conga", "bongo", "timbale", "perc", "tom")
_SHAKEN = ("shaker", "maraca", "cabasa", "tambourine", "perc")
_WOOD = ("clave", "wood", "block", "rim", "perc")
# Key -> words in the order of preference; a label that contains one plays it.
GENERAL_MIDI: dict[int, tuple[str, ...]] = {
    **dict.fromkeys((35, 36), _KICK),
    **dict.fromkeys((38, 40), _SNARE),
    37: ("rim", "stick", *_SNARE),
    39: ("clap", *_SNARE),
    **dict.fromkeys((41, 43), ("floor tom", "low tom", *_TOM)),
    **dict.fromkeys((45, 47), ("mid tom", "low tom", *_TOM)),
    **dict.fromkeys((48, 50), ("high tom", "hi tom", *_TOM)),
    **dict.fromkeys((42, 44), ("closed hi hat", "closed hihat", "closed hat", "closed", *_HAT)),
    46: ("open hi hat", "open hihat", "open hat", "open", *_HAT),
    **dict.fromkeys((49, 52, 55, 57), ("crash", "cymbal", "ride")),
    **dict.fromkeys((51, 53, 59), ("ride", "cymbal", "crash")),
    54: ("tambourine", "shaker", *_HAT),
    56: ("cowbell", "bell", "perc"),
    58: ("vibraslap", "perc"),
    **dict.fromkeys(range(60, 67), _HAND),
    **dict.fromkeys((67, 68), ("agogo", "bell", "cowbell", "perc")),
    **dict.fromkeys((69, 70, 82), _SHAKEN),
    **dict.fromkeys((71, 72), ("whistle",)),
    **dict.fromkeys((73, 74), ("guiro", "perc")),
    **dict.fromkeys((75, 76, 77), _WOOD),
    **dict.fromkeys((78, 79), ("cuica", "perc")),
    **dict.fromkeys((80, 81, 83, 84), ("triangle", "bell", "perc")),
}


def label_of(key: int, labels: tuple[str, ...]) -> int | None:
    """Return the number of the label that plays a key of General MIDI; None if no label's name fits."""
    names = [re.sub(r"[\W_]+", " ", label.lower()) for label in labels]
    for word in GENERAL_MIDI.get(key, ()):
        for number, name in enumerate(names):
            if word in name or word in name.replace(" ", ""):
                return number
    return None


class DrumPerformance:
    """Channel 10 of a song joined with a model whose labels name drums. A label keeps one sound throughout, as a drum kit does.

    Attributes:
        session, song, options, report, attack, release: As for `render.Performance`; strokes sound to their ends.
        unknown: Key of General MIDI without a label -> its number of notes, which are left out.
    """

    def __init__(self, session: GeneratorSession, song: Song, options: RenderOptions, output: Path = Path()):
        """
        Raises:
            UsageError: The model has no labels, or none that names a drum of the song.
        """
        self.session, self.song, self.options = session, song, options
        self.labels = session.classes.get("label", ())
        if not self.labels:
            raise UsageError(
                "The model has no labels that name drums.", hint="train one on folders named kick, snare, ...: --recipe specgan"
            )
        found = {note.pitch: label_of(note.pitch, self.labels) for note in song.drum_notes}
        self.unknown = Counter(note.pitch for note in song.drum_notes if found[note.pitch] is None)
        self._strokes: list[tuple[Note, int]] = [(note, label) for note in song.drum_notes if (label := found[note.pitch]) is not None]
        if not self._strokes:
            why = "no notes on channel 10" if not song.drum_notes else f"no drum of the model's labels ({', '.join(self.labels)})"
            raise UsageError(f"The song has {why}, so there is nothing to play.", hint="gan-audio info MODEL lists its labels")
        counts = Counter(self.labels[label] for _, label in self._strokes)
        self.report = RenderReport(output, notes=len(self._strokes), instruments=dict(sorted(counts.items())))
        self.attack, self.release = 0, max(1, round(0.005 * session.sample_rate))
        self._latents = draw_latents(options.seed, range(len(self.labels)), session.latent_dim, session.distribution)
        if options.latents is not None:
            self._latents = np.asarray(options.latents, np.float32)[np.arange(len(self.labels)) % len(options.latents)]

    def notes(self) -> Iterator[PlannedNote]:
        """Yield the strokes in the order of their starts."""
        rate, held = self.session.sample_rate, self.session.clip_samples - self.release
        for note, label in self._strokes:
            gain = note.velocity / 127.0
            yield PlannedNote(round(note.start * rate), held, gain, 0, 0, 0, self._latents[label], label, note.gains[:1])

    def warnings(self) -> list[str]:
        """Return sentences for the user about strokes that are left out."""
        if not self.unknown:
            return []
        keys = ", ".join(f"{key} ({count})" for key, count in self.unknown.most_common(5))
        return [f"{self.unknown.total()} drum notes have no label in the model and are left out; General MIDI keys: {keys}."]
