"""2,000 damaged inputs of ten formats: no traceback, no output missing behind exit code 0, no hang, bounded memory. Seeded."""

from __future__ import annotations

import json
import resource
import time
import warnings
from pathlib import Path

import keras
import mido
import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.errors import GanAudioError
from gansynth_cli.inference.midi import read_midi
from gansynth_cli.models.model_file import find_model
from gansynth_cli.recipe import load_recipe
from gansynth_cli.training.checkpoint import DamagedCheckpoint, read_checkpoint, write_checkpoint

from .test_file_task import verb  # noqa: F401  (a fixture)

pytestmark = pytest.mark.slow
KINDS = ("wav", "aiff", "flac", "ogg", "mp3", "mid", "toml", "npz", "keras", "csv")
MUTANTS = 200  # of each kind
SECONDS, MEMORY = 10.0, 1 << 30  # of one input; and by which the process may grow over all of a kind


def originals(folder: Path) -> dict[str, bytes]:
    """A small, whole file of each kind."""
    audio = 0.3 * np.random.default_rng(0).standard_normal((2000, 2))
    for kind in ("wav", "aiff", "flac", "ogg", "mp3"):
        soundfile.write(folder / f"a.{kind}", audio, 16000)
    song = mido.MidiFile()
    track = mido.MidiTrack()
    for note in range(60, 70):
        track += [mido.Message("note_on", note=note, time=10), mido.Message("note_off", note=note, time=100)]
    track.append(mido.MetaMessage("set_tempo", tempo=400_000, time=5))
    song.tracks.append(track)
    song.save(folder / "a.mid")
    (folder / "a.toml").write_text('family = "wavegan"\nseed = 3\n[data]\nsample_rate = 8000\nclip_samples = 4096\n[model]\ndim = 8\n')
    write_checkpoint(folder / "a.npz", {"weights": np.arange(100.0), "step": np.array(3)}, {"step": 3})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(folder / "a.keras")
    (folder / "a.csv").write_text("path,label,speaker\na.wav,high,me\nb.wav,low,you\n")
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in KINDS}


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip, overwrite, repeat, insert or swap parts of a file; mostly near its start, where headers are."""
    made = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        size = max(len(made), 1)
        near = int(min(rng.exponential(size / 8), size - 1)) if rng.random() < 0.7 else int(rng.integers(size))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                del made[near:]
            case 1:
                for place in range(near, min(near + length, len(made))):
                    made[place] ^= int(rng.integers(1, 256))
            case 2:
                made[near : near + length] = bytes([int(rng.choice([0, 0x7F, 0x80, 0xFF]))]) * length
            case 3:
                made += made[near:]
            case 4:
                made[near:near] = rng.bytes(length)
            case _:
                other = int(rng.integers(size))
                made[near : near + length] = made[other : other + length]
    return bytes(made)


def try_audio(path: Path, capsys) -> None:
    output = path.parent / "out"
    code = main(["halve", str(path), "-o", str(output), "--json", "--overwrite"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "this is a defect" not in err
    if out:
        report = json.loads(out)
        for file in report["files"]:
            assert file["status"] != "done" or Path(file["output"]).is_file()
        assert code == 0 or report["failed"] or report["silent"]
    else:
        assert code != 0


def try_others(path: Path, kind: str, capsys) -> None:
    """Give a file to its reader; only foreseen failures may come out."""
    try:
        if kind == "mid":
            assert read_midi(path).seconds >= 0
        elif kind == "toml":
            load_recipe(str(path))
        elif kind == "npz":
            read_checkpoint(path)
        elif kind == "keras":
            find_model(path)
        else:
            code = main(["prepare", str(path.parent / "sound"), "-o", str(path.parent / "d"), "--labels", f"csv:{path}", "--dry-run", "-q"])
            assert code in (0, 1, 2)
    except (GanAudioError, DamagedCheckpoint):
        pass
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs(tmp_path: Path, capsys, verb, kind: str):  # noqa: F811
    content = originals(tmp_path)[kind]
    for name in ("a.wav", "b.wav"):
        (tmp_path / "sound").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "sound" / name, np.full(20000, 0.1), 16000)
    rng = np.random.default_rng([7, KINDS.index(kind)])
    path = tmp_path / f"mutant.{kind}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(MUTANTS):
        path.write_bytes(mutant(content, rng))
        began = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if kind in ("wav", "aiff", "flac", "ogg", "mp3"):
                    try_audio(path, capsys)
                else:
                    try_others(path, kind, capsys)
            except BaseException:
                print(f"{kind}, mutant {number}")
                raise
        assert time.monotonic() - began < SECONDS, f"{kind}, mutant {number} takes too long"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY, f"{kind}: {grown >> 20} MiB"
