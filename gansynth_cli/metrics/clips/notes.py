"""Figures of generated notes: do they have the pitch and the instrument that the model was conditioned on?

Pitch is measured by a tracker that has never seen the model (`signal.note_pitch`), the instrument by a classifier trained on the data
set's own notes. Both make errors: their figures on the real notes are given too, and are the ceiling.
No clip is dropped: one that cannot be read, is silent, or has no measurable pitch counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.corpora.note_names import pitch_of_name
from ...signal import note_pitch
from ..figure import Cell, Figure, absent, share_of
from .clip_set import MANIFEST, Clip, ClipSet, read_manifest
from .observation import ClipClassifier, blocks_of

WITHIN = 0.5  # semitones: 50 cents, half the distance to the next key
_MIN_LISTED = 3  # notes of a group below which its share is not given


@dataclass(frozen=True)
class Intended:
    """The condition of a clip: a MIDI number or None, and the name of an instrument or ""."""

    pitch: int | None = None
    instrument: str = ""


@dataclass(frozen=True)
class MeasuredNotes:
    """Measurements of a set of notes.

    Attributes:
        names: Names of the clips.
        intended: Condition of each clip.
        pitches: Measured pitch of each clip; None without a tracker.
        failures: Reason why a clip counts as failed, or "".
        instruments: Number of the most probable instrument of each clip; None without a classifier.
        instrument_names: Names of the instruments in the order of their numbers.
    """

    names: list[str]
    intended: list[Intended]
    pitches: list[note_pitch.HeardPitch] | None
    failures: list[str]
    instruments: list[int] | None
    instrument_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def semitones_off(self) -> np.ndarray:
        """[clips] measured less intended pitch; NaN where either is missing."""
        if self.pitches is None:
            return np.full(len(self), np.nan)
        intended = np.array([np.nan if note.pitch is None else note.pitch for note in self.intended])
        return np.array([pitch.midi for pitch in self.pitches]) - intended

    def off_where_intended(self) -> np.ndarray:
        """`semitones_off` of the clips with an intended pitch."""
        return self.semitones_off[[note.pitch is not None for note in self.intended]]

    def has_right_instrument(self, index: int) -> bool:
        assert self.instruments is not None
        return not self.failures[index] and self.instrument_names[self.instruments[index]] == self.intended[index].instrument


def intended_of(clips: ClipSet, instruments: Sequence[str]) -> tuple[dict[str, Intended], str, list[str]]:
    """Find the conditions of a folder's clips: the manifest's columns `pitch` and `instrument`, else the pitches in the file names.

    Returns:
        Clip name -> condition; their source ("manifest", "names" or "none"); sentences for the user.
    """
    notes: list[str] = []
    found: dict[str, Intended] = {}
    manifest = clips.path / MANIFEST
    rows = dict(read_manifest(manifest)) if manifest.is_file() else {}
    if any(row.get("pitch") or row.get("instrument") for row in rows.values()):
        unknown = set()
        for path, _ in clips.files:
            row = rows[path]
            pitch, instrument = (row.get("pitch") or "").strip(), (row.get("instrument") or "").strip()
            if instrument and instruments and instrument not in instruments:
                unknown.add(instrument)
            found[clips.name_of(path)] = Intended(int(pitch) if pitch.isdecimal() else None, instrument)
        if unknown:
            notes.append(f"{clips.name}: the data set has no instrument {', '.join(sorted(unknown))}; clips of it count as wrong")
        return found, "manifest", notes
    for path, _ in clips.files:
        named = pitch_of_name(path.stem)
        folder = path.parent.name if path.parent != clips.path else ""
        if named is not None:
            found[clips.name_of(path)] = Intended(named[0], next((name for name in (folder, named[2]) if name in instruments), ""))
    if found and len(found) < len(clips.files):
        missing = len(clips.files) - len(found)
        notes.append(f"{clips.name}: {missing} of {len(clips.files)} clips have no pitch in their names; the accuracies leave them out")
    if not found:
        notes.append(f"{clips.name}: neither a manifest nor file names give pitch or instrument: no accuracies")
    return found, "names" if found else "none", notes


def measure_notes(
    clips: Iterable[Clip],
    intended: Mapping[str, Intended] | Iterator[Intended],
    sample_rate: int,
    *,
    tracker: bool,
    classifier: ClipClassifier | None,
    instruments: Sequence[str] = (),
    on_clips: Callable[[int], Any] | None = None,
) -> MeasuredNotes:
    """Measure pitch and instrument of every clip of a set, in blocks.

    Args:
        clips: Clips of one length at `sample_rate`.
        intended: Conditions by the clips' names, or in their order.
        sample_rate: Hz.
        tracker: Whether to measure pitch.
        classifier: Classifier of instruments, or None.
        instruments: Their names.
        on_clips: Called with the number of clips just done.

    Raises:
        MissingExtraError: `tracker` is set and `swift-f0` is not installed.
    """
    found = MeasuredNotes([], [], [] if tracker else None, [], None if classifier is None else [], instruments)
    for block in blocks_of(clips):
        for clip in block:
            found.names.append(clip.name)
            found.intended.append(intended.get(clip.name, Intended()) if isinstance(intended, Mapping) else next(intended))
            found.failures.append(clip.failure)
            if found.pitches is not None:
                found.pitches.append(note_pitch.NOTHING if clip.failure else note_pitch.note_pitch(clip.audio, sample_rate))
            if on_clips is not None:
                on_clips(1)
        if classifier is not None and found.instruments is not None:
            posteriors = classifier.classify(np.stack([clip.audio for clip in block]))[1]
            found.instruments.extend(posteriors.argmax(axis=1).tolist())
    return found


def _pitch_cents(notes: MeasuredNotes) -> Cell:
    off = np.abs(notes.off_where_intended())
    known = off[~np.isnan(off)]
    return {"value": float(100 * np.median(known))} if len(known) else absent("no pitch was measured")


def _pitch_entropy(notes: MeasuredNotes) -> Cell:
    entropies = [pitch.entropy for pitch in notes.pitches or () if not np.isnan(pitch.entropy)]
    return {"value": float(np.mean(entropies))} if entropies else absent("no pitch was measured")


def _unpitched(notes: MeasuredNotes) -> Cell:
    missing = np.isnan([pitch.midi for pitch in notes.pitches or ()])
    return share_of(missing) if len(missing) else absent("no clips")


def _instrument_accuracy(notes: MeasuredNotes) -> Cell:
    if notes.instruments is None:
        return absent("no instruments, so no classifier")
    labelled = [i for i, note in enumerate(notes.intended) if note.instrument]
    if not labelled:
        return absent("no instruments are intended")
    return share_of(np.array([notes.has_right_instrument(i) for i in labelled]))


_PITCHES, _TRACKER = "intended pitches", ("swift_f0",)
# fmt: off
FIGURES = (
    Figure("pitch_accuracy", "pitch ±50 cents", "higher", range="0 to 1", needs=_PITCHES, packages=_TRACKER,
           compute=lambda notes: share_of(np.abs(notes.off_where_intended()) <= WITHIN),
           meaning="Share of the notes with an intended pitch whose measured pitch is within 50 cents of it"),
    Figure("chroma_accuracy", "pitch, any octave", "higher", range="0 to 1", needs=_PITCHES, packages=_TRACKER,
           compute=lambda notes: share_of(np.abs((notes.off_where_intended() + 6) % 12 - 6) <= WITHIN),
           meaning="Share of those notes whose measured pitch is within 50 cents of the intended one in any octave"),
    Figure("pitch_cents", "pitch error", "lower", unit="cents", range="0 or more", needs=_PITCHES, packages=_TRACKER, compute=_pitch_cents,
           meaning="Median distance of the measured from the intended pitch"),
    Figure("pitch_entropy", "pitch entropy", "lower", unit="nat", range="0 or more", packages=_TRACKER, compute=_pitch_entropy,
           meaning="Entropy of the semitones measured within one note, mean over the notes; 0 is steady. (GANSynth's figure of this name "
                   "is that of a pitch classifier's output)"),
    Figure("unpitched", "no pitch found", "lower", range="0 to 1", packages=_TRACKER, compute=_unpitched,
           meaning="Share of notes without a measurable pitch; they count as wrong in the accuracies"),
    Figure("instrument_accuracy", "instrument", "higher", range="0 to 1", needs="a classifier", compute=_instrument_accuracy,
           meaning="Share of notes that a classifier of the data set's instruments assigns to the intended instrument"),
)
# fmt: on


def note_figures(notes: MeasuredNotes) -> dict[str, Cell]:
    """Compute all figures of one set: key -> cell."""
    cells: dict[str, Cell] = {}
    for figure in FIGURES:
        assert figure.compute is not None
        if figure.packages and notes.pitches is None:
            cells[figure.key] = absent("swift-f0 is not installed (pip install 'gan-audio[metrics]')")
        elif figure.needs == _PITCHES and all(note.pitch is None for note in notes.intended):
            cells[figure.key] = absent("no pitches are intended")
        else:
            cells[figure.key] = figure.compute(notes)
    return cells


def note_details(notes: MeasuredNotes) -> dict[str, Any]:
    """Return accuracy by octave and by instrument, the confusion of instruments, and a line for each clip."""
    off = notes.semitones_off
    by_octave: dict[str, list[bool]] = {}
    by_instrument: dict[str, list[bool]] = {}
    classified: dict[str, list[bool]] = {}
    confusion: dict[str, dict[str, int]] = {}
    lines = []
    for i, intended in enumerate(notes.intended):
        line: dict[str, Any] = {"clip": notes.names[i]}
        if notes.failures[i]:
            line["failed"] = notes.failures[i]
        if notes.pitches is not None:
            midi = notes.pitches[i].midi
            line["measured"] = None if np.isnan(midi) else round(midi, 3)
            if intended.pitch is not None:
                right = bool(abs(off[i]) <= WITHIN)
                line |= {"pitch": intended.pitch, "cents": None if np.isnan(off[i]) else round(100 * float(off[i]), 1)}
                by_octave.setdefault(f"{12 * (intended.pitch // 12)}-{12 * (intended.pitch // 12) + 11}", []).append(right)
                if intended.instrument:
                    by_instrument.setdefault(intended.instrument, []).append(right)
        if notes.instruments is not None:
            predicted = "(failed)" if notes.failures[i] else notes.instrument_names[notes.instruments[i]]
            line["predicted_instrument"] = predicted
            if intended.instrument:
                line["instrument"] = intended.instrument
                classified.setdefault(intended.instrument, []).append(notes.has_right_instrument(i))
                row = confusion.setdefault(intended.instrument, {})
                row[predicted] = row.get(predicted, 0) + 1
        lines.append(line)
    return {
        "pitch_accuracy_by_octave": _shares(by_octave, key=lambda name: int(name.split("-")[0])),
        "pitch_accuracy_by_instrument": _shares(by_instrument),
        "instrument_accuracy_by_instrument": _shares(classified),
        "instrument_confusion": {name: dict(sorted(row.items())) for name, row in sorted(confusion.items())},
        "clips": lines,
    }


def _shares(groups: Mapping[str, list[bool]], key: Callable[[str], Any] | None = None) -> dict[str, dict[str, Any]]:
    return {
        name: {"value": float(np.mean(groups[name])) if len(groups[name]) >= _MIN_LISTED else None, "clips": len(groups[name])}
        for name in sorted(groups, key=key)
    }
