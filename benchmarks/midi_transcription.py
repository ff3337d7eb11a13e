"""How much of a song is heard again in what a model of notes played: rendered, transcribed by basic-pitch, compared note by note.

    python benchmarks/midi_transcription.py RUN song.mid --basic-pitch /path/to/env/bin/basic-pitch

The transcriber (Bittner et al. 2022) knows neither model nor song. It wants an older NumPy and TensorFlow, so it lives in an environment of
its own (`pip install 'basic-pitch[onnx]'`) and is started as a program. Figures are mir_eval's (Raffel et al. 2014): a note counts as
found within 50 ms of its start and 50 cents of its pitch; with offsets also within a fifth of its length (50 ms at least) of its end.
`--control` transcribes the same song played by plain sines through the same renderer, `--recordings FOLDER` played by recorded notes in
NSynth's layout: what is lost there, is lost by the transcriber, or by notes whose partials are heard as notes of their own.
Notes that the renderer moved by octaves or cut short are compared as they were played.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np

from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.corpora.note_names import frequency_hz
from gansynth_cli.inference.generate.session import GROUP, open_session
from gansynth_cli.inference.midi.read import Note, Song, read_midi
from gansynth_cli.inference.midi.render import Performance, RenderOptions, render

CHORDS = ((48, 55, 60, 64), (45, 52, 57, 60), (41, 53, 57, 60), (43, 50, 55, 59))


def chord_song(seconds: float = 1.0) -> Song:
    """A cadence of four-note chords under a tune, in the middle of the keyboard; twelve seconds at `seconds` a chord."""
    notes = []
    for bar in range(12):
        start = bar * seconds
        notes += [Note(start, start + 0.9 * seconds, pitch, 80) for pitch in CHORDS[bar % 4]]
        tune = (72, 69, 65, 67)[bar % 4]
        notes += [Note(start + i * seconds / 2, start + (i + 0.9) * seconds / 2, tune + 2 * i, 100) for i in range(2)]
    return Song(tuple(sorted(notes, key=lambda note: (note.start, note.pitch))))


def intervals(notes: list[Note]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds [notes, 2] and Hz [notes], as mir_eval wants them."""
    times = np.array([[note.start, max(note.end, note.start + 0.01)] for note in notes]).reshape(-1, 2)
    return times, np.array([frequency_hz(note.pitch) for note in notes])


def as_played(performance: Performance) -> list[Note]:
    rate = performance.session.sample_rate
    return [
        Note(planned.start / rate, (planned.start + planned.held) / rate, int(performance.pitches[planned.pitch]), 100)
        for planned in performance.notes()
    ]


def transcribe(recording: Path, program: str) -> list[Note]:
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--model-serialization", "onnx", "--save-midi", folder, str(recording)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(Path(folder).glob("*.mid"))
        if done.returncode or not found:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        try:
            return list(read_midi(found[0]).notes)
        except Exception as error:  # a transcription without notes is one
            print(f"{recording}: {error}", file=sys.stderr)
            return []


def scores(reference: list[Note], estimate: list[Note]) -> dict[str, float]:
    if not estimate:
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0, "f1_with_offsets": 0.0, "notes": len(reference), "found": 0}
    pair = (*intervals(reference), *intervals(estimate))
    precision, recall, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(*pair, offset_ratio=None)
    with_offsets = mir_eval.transcription.precision_recall_f1_overlap(*pair)[2]
    return {
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(f1, 3),
        "f1_with_offsets": round(with_offsets, 3),
        "notes": len(reference),
        "found": len(estimate),
    }


class Recordings:
    """A session that plays recorded notes of a folder in NSynth's layout, of an instrument in all pitches that the folder has it in."""

    sha256, latent_dim, distribution, sample_rate, clip_samples = "", 1, "normal", 16000, 32000

    def __init__(self, folder: Path, families: list[str]):
        notes = json.loads((folder / "examples.json").read_text())
        wanted = {name: entry for name, entry in notes.items() if entry["instrument_family_str"] in families or not families}
        if not wanted:
            sys.exit(f"{folder} has no notes of {', '.join(families)}")
        first = min(name.rsplit("-", 2)[0] for name in wanted)
        found = {entry["pitch"]: name for name, entry in wanted.items() if name.rsplit("-", 2)[0] == first}
        self.pitches, self.classes = sorted(found), {"pitch": tuple(map(str, sorted(found)))}
        self.clips = np.stack([self._read(next(folder.glob(f"audio/{found[pitch]}.*"))) for pitch in self.pitches])

    def _read(self, path: Path) -> np.ndarray:
        audio, rate = audio_file.read(path, channels=1)
        if rate != self.sample_rate:
            sys.exit(f"{path} has {rate} Hz; expected {self.sample_rate}")
        audio = audio[: self.clip_samples]
        return np.pad(audio, ((0, self.clip_samples - len(audio)), (0, 0))).astype(np.float32)

    def run(self, latents, conditions):
        return self.clips[np.asarray(conditions["pitch"])]


class Sines:
    """A session that plays fading tones of a few partials: the renderer and the transcriber without a model."""

    sha256, latent_dim, distribution, sample_rate, clip_samples = "", 1, "normal", 16000, 64000
    classes = {"pitch": tuple(map(str, range(24, 85)))}

    def run(self, latents, conditions):
        time = np.arange(self.clip_samples) / self.sample_rate
        hz = np.array([frequency_hz(24 + number) for number in conditions["pitch"]])
        tones = sum(np.sin(2 * np.pi * hz[:, None] * k * time) / k**2 for k in range(1, 5))
        return (tones * np.exp(-1.5 * time))[..., None].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="a run folder or generator.keras; none with --control alone")
    parser.add_argument("midi", nargs="?", type=Path, help="a song; none plays twelve bars of chords")
    parser.add_argument("--basic-pitch", default="basic-pitch", help="the program")
    parser.add_argument("--instrument", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--recordings", type=Path, help="a folder in NSynth's layout: play its notes of the first --instrument too")
    parser.add_argument("--keep", type=Path, help="keep the recordings there")
    arguments = parser.parse_args()
    song = read_midi(arguments.midi) if arguments.midi else chord_song()
    sessions: list[tuple[str, Any]] = [("control", Sines())] if arguments.control else []
    if arguments.recordings:
        sessions.append(("recordings", Recordings(arguments.recordings, arguments.instrument[:1])))
    if arguments.model:
        sessions.append(("model", open_session(arguments.model)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        for name, session in sessions:
            options = RenderOptions(arguments.seed, tuple(arguments.instrument) if name == "model" else ())
            performance = Performance(session, song, options, folder / f"{name}.wav")
            render(performance, group=GROUP, overwrite=True)
            found = transcribe(performance.report.output, arguments.basic_pitch)
            print(json.dumps({"played_by": name, **scores(as_played(performance), found)}))


if __name__ == "__main__":
    main()
