"""Figures of notes: do they sound at the pitch, and like the instrument, that was asked for?

The pitch is heard by a tracker that has never seen the model (`signal.note_pitch`), the instrument by a classifier trained on the data
set's own notes. Both err: their figures on the real notes stand beside those of the generated ones, and are the ceiling.
Nothing is dropped: a clip that cannot be read, is silent, or has no pitch that the tracker hears, counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.corpora.note_names import pitch_of_name
from ...signal import note_pitch
from .clip_set import MANIFEST, Clip, ClipSet, read_manifest
from .figures import Figure

if TYPE_CHECKING:
    from .classifier import Classifier

WITHIN = 0.5  # semitones: 50 cents, half the way to the next key
_BLOCK = 64
_LEAST_LISTED = 3  # notes of a group below which its share is not given

FIGURES = (
    Figure("pitch_accuracy", "pitch ±50 cents", "higher", False),
    Figure("chroma_accuracy", "... any octave", "higher", False),
    Figure("pitch_cents", "cents off", "lower", False),
    Figure("pitch_entropy", "pitch entropy", "lower", False),
    Figure("unpitched", "no pitch heard", "lower", False),
    Figure("instrument_accuracy", "instrument", "higher", True),
)


@dataclass(frozen=True)
class Asked:
    """What a clip should be: a MIDI number or None, and the name of an instrument or ""."""

    pitch: int | None = None
    instrument: str = ""


@dataclass(frozen=True)
class HeardNotes:
    """A set of notes as they were heard.

    Attributes:
        names: Of the clips.
        asked: What each should be.
        pitches: What the tracker heard of each; None without a tracker.
        failures: "" or why a clip counts as failed.
        instruments: Number of the likeliest instrument of each; None without a classifier.
    """

    names: list[str]
    asked: list[Asked]
    pitches: list[note_pitch.HeardPitch] | None
    failures: list[str]
    instruments: list[int] | None

    def __len__(self) -> int:
        return len(self.names)


def asked_of(clips: ClipSet, instruments: Sequence[str]) -> tuple[dict[str, Asked], str, list[str]]:
    """What the clips of a folder should be: from the manifest's columns `pitch` and `instrument`, else from the pitches in their names.

    Returns:
        Clip name -> what it should be; where that is known from ("manifest", "names" or "none"); sentences for the user.
    """
    notes: list[str] = []
    found: dict[str, Asked] = {}
    manifest = clips.path / MANIFEST
    rows = dict(read_manifest(manifest)) if manifest.is_file() else {}
    if any(row.get("pitch") or row.get("instrument") for row in rows.values()):
        strange = set()
        for path, _ in clips.files:
            row = rows[path]
            pitch, instrument = (row.get("pitch") or "").strip(), (row.get("instrument") or "").strip()
            if instrument and instruments and instrument not in instruments:
                strange.add(instrument)
            found[_name(clips, path)] = Asked(int(pitch) if pitch.isdecimal() else None, instrument)
        if strange:
            notes.append(f"{clips.name}: the data set has no instrument {', '.join(sorted(strange))}; clips of it count as wrong")
        return found, "manifest", notes
    for path, _ in clips.files:
        told = pitch_of_name(path.stem)
        folder = path.parent.name if path.parent != clips.path else ""
        if told is not None:
            found[_name(clips, path)] = Asked(told[0], next((name for name in (folder, told[2]) if name in instruments), ""))
    if found and len(found) < len(clips.files):
        notes.append(f"{clips.name}: {len(clips.files) - len(found)} of {len(clips.files)} clips do not say their pitch, and are left out")
    if not found:
        notes.append(f"{clips.name}: no manifest and no names that say what pitch or instrument a clip should be: only heard, not judged")
    return found, "names" if found else "none", notes


def hear(
    clips: Iterable[Clip],
    asked: Mapping[str, Asked] | Iterator[Asked],
    sample_rate: int,
    *,
    tracker: bool,
    classifier: Classifier | None,
    on_clips: Callable[[int], Any] | None = None,
) -> HeardNotes:
    """Listens once to each clip of a set, holding only some of them.

    Args:
        clips: Of one length, at `sample_rate`.
        asked: By the clips' names, or one after the other.
        tracker: Whether to measure pitch.
        classifier: Of instruments, or None.
        on_clips: Called with the number of clips just done.

    Raises:
        MissingExtraError: `swift-f0` is not installed, and `tracker` is wanted.
    """
    names: list[str] = []
    wanted: list[Asked] = []
    pitches: list[note_pitch.HeardPitch] = []
    failures: list[str] = []
    instruments: list[int] = []
    waiting: list[np.ndarray] = []

    def judge() -> None:
        if classifier is not None and waiting:
            instruments.extend(classifier.judge(np.stack(waiting))[1].argmax(axis=1).tolist())
        waiting.clear()

    for clip in clips:
        names.append(clip.name)
        wanted.append(asked.get(clip.name, Asked()) if isinstance(asked, dict) else next(asked))  # type: ignore[arg-type]
        failures.append(clip.failure)
        if tracker:
            pitches.append(note_pitch.NOTHING if clip.failure else note_pitch.note_pitch(clip.audio, sample_rate))
        waiting.append(clip.audio)
        if len(waiting) == _BLOCK:
            judge()
        if on_clips is not None:
            on_clips(1)
    judge()
    return HeardNotes(names, wanted, pitches if tracker else None, failures, instruments if classifier is not None else None)


def note_figures(heard: HeardNotes, instruments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Key of `FIGURES` -> {"value", ...}, or {"because": reason} where there is none.

    pitch_accuracy: share of the clips asked for a pitch that are heard within 50 cents of it. chroma_accuracy: the same in any octave.
    pitch_cents: median distance of what is heard, cents. pitch_entropy: mean over clips of the entropy of the semitones heard within
    one, nats. unpitched: share without a pitch. instrument_accuracy: share whose likeliest instrument is the one asked for.
    """
    found: dict[str, dict[str, Any]] = {}
    if heard.pitches is None:
        missing = {"because": "swift-f0 is not installed (extra metrics)"}
        found |= {figure.key: dict(missing) for figure in FIGURES[:5]}
    else:
        midi = np.array([pitch.midi for pitch in heard.pitches])
        away = _semitones_off(heard)
        judged = np.array([asked.pitch is not None for asked in heard.asked], bool)
        if judged.any():
            found["pitch_accuracy"] = _share(np.abs(away[judged]) <= WITHIN)
            octaves = away[judged] - 12 * np.round(away[judged] / 12)
            found["chroma_accuracy"] = _share(np.abs(octaves) <= WITHIN)
            known = np.abs(away[judged & ~np.isnan(midi)])
            found["pitch_cents"] = {"value": float(100 * np.median(known))} if len(known) else {"because": "no pitch was heard"}
        else:
            found |= {figure.key: {"because": "no pitches were asked for"} for figure in FIGURES[:3]}
        entropies = [pitch.entropy for pitch in heard.pitches if not np.isnan(pitch.entropy)]
        found["pitch_entropy"] = {"value": float(np.mean(entropies))} if entropies else {"because": "no pitch was heard"}
        found["unpitched"] = _share(np.isnan(midi)) if len(midi) else {"because": "no clips"}
    named = [i for i, asked in enumerate(heard.asked) if asked.instrument]
    if heard.instruments is None:
        found["instrument_accuracy"] = {"because": "no instruments, so no classifier"}
    elif not named:
        found["instrument_accuracy"] = {"because": "no instruments were asked for"}
    else:
        found["instrument_accuracy"] = _share(np.array([_right_instrument(heard, i, instruments) for i in named]))
    return found


def note_details(heard: HeardNotes, instruments: Sequence[str]) -> dict[str, Any]:
    """Accuracy by octave and by instrument asked for, the confusion of instruments, and a line for each clip."""
    away = _semitones_off(heard) if heard.pitches is not None else np.full(len(heard), np.nan)
    by_octave: dict[str, list[bool]] = {}
    by_instrument: dict[str, list[bool]] = {}
    classified: dict[str, list[bool]] = {}
    confusion: dict[str, dict[str, int]] = {}
    lines = []
    for i, asked in enumerate(heard.asked):
        line: dict[str, Any] = {"clip": heard.names[i]}
        if heard.failures[i]:
            line["failed"] = heard.failures[i]
        if heard.pitches is not None:
            pitch = heard.pitches[i]
            line["heard"] = None if np.isnan(pitch.midi) else round(pitch.midi, 3)
            if asked.pitch is not None:
                right = bool(abs(away[i]) <= WITHIN)
                line |= {"pitch": asked.pitch, "cents": None if np.isnan(away[i]) else round(100 * float(away[i]), 1)}
                by_octave.setdefault(f"{12 * (asked.pitch // 12)}-{12 * (asked.pitch // 12) + 11}", []).append(right)
                if asked.instrument:
                    by_instrument.setdefault(asked.instrument, []).append(right)
        if heard.instruments is not None:
            likeliest = "(failed)" if heard.failures[i] else instruments[heard.instruments[i]]
            line["sounds_like"] = likeliest
            if asked.instrument:
                line["instrument"] = asked.instrument
                classified.setdefault(asked.instrument, []).append(_right_instrument(heard, i, instruments))
                row = confusion.setdefault(asked.instrument, {})
                row[likeliest] = row.get(likeliest, 0) + 1
        lines.append(line)
    return {
        "pitch_accuracy_by_octave": _shares(by_octave, key=lambda name: int(name.split("-")[0])),
        "pitch_accuracy_by_instrument": _shares(by_instrument),
        "instrument_accuracy_by_instrument": _shares(classified),
        "instrument_confusion": {name: dict(sorted(row.items())) for name, row in sorted(confusion.items())},
        "clips": lines,
    }


def _semitones_off(heard: HeardNotes) -> np.ndarray:
    """[clips], heard less asked; NaN where either is missing."""
    assert heard.pitches is not None
    asked = np.array([np.nan if asked.pitch is None else asked.pitch for asked in heard.asked])
    return np.array([pitch.midi for pitch in heard.pitches]) - asked


def _right_instrument(heard: HeardNotes, index: int, instruments: Sequence[str]) -> bool:
    assert heard.instruments is not None
    return not heard.failures[index] and instruments[heard.instruments[index]] == heard.asked[index].instrument


def _share(right: np.ndarray) -> dict[str, Any]:
    share = float(np.mean(right))
    return {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / len(right))), "clips": len(right)}


def _shares(groups: Mapping[str, list[bool]], key: Callable[[str], Any] | None = None) -> dict[str, dict[str, Any]]:
    return {
        name: {"value": float(np.mean(groups[name])) if len(groups[name]) >= _LEAST_LISTED else None, "clips": len(groups[name])}
        for name in sorted(groups, key=key)
    }


def _name(clips: ClipSet, path: Path) -> str:
    return path.relative_to(clips.path).as_posix()
