"""The bundled generators: their cards, and a run of each in a process without environment or network."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.inference.midi.drums import GENERAL_MIDI, label_of
from gansynth_cli.models.model_file import GENERATORS, bundled_models, find_model, nothing_named

NAMES = [name for name, file in bundled_models().items() if find_model(file).class_name in GENERATORS]
# Sockets raise, so nothing can be downloaded.
OFFLINE = """
import socket, sys
def refuse(*arguments): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
from gansynth_cli.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def offline(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bundled_drums_have_a_card_a_size_and_the_drums_of_general_midi():
    model = find_model("drums")
    card = model.file.with_suffix(".md").read_text(encoding="utf-8")
    assert model.file.stat().st_size <= 8_000_000
    assert model.sample_rate == 44100
    assert all(word in card for word in ("vae/oneshots", "CC0 1.0", "CC BY 4.0", "Lars Muldjord", "held out", "gan-audio prepare"))
    labels = tuple(model.config["labels"])
    played = {labels[number] for key in GENERAL_MIDI if (number := label_of(key, labels)) is not None}
    assert played == set(labels), "every label is played by a key of General MIDI"


def test_a_misspelt_name_is_told_the_nearest():
    message, hint = nothing_named("drmus")
    assert "drmus does not exist" in message
    assert "did you mean drums?" in hint


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_generator_works_offline_and_from_an_empty_environment(name, tmp_path):
    offline(tmp_path, "generate", name, "-n", "2", "-o", "clips", "--quiet")
    rows = list(csv.DictReader((tmp_path / "clips" / "manifest.csv").open(encoding="utf-8")))
    model = find_model(name)
    assert len(rows) == 2
    for row in rows:
        audio, rate = soundfile.read(tmp_path / "clips" / row["file"])
        assert (rate, len(audio)) == (model.sample_rate, model.config["clip_samples"])
        assert 0.01 < np.abs(audio).max() <= 1.0
    assert json.loads(offline(tmp_path, "info", name, "--json"))["sha256"] == model.sha256


@pytest.mark.slow
def test_channel_10_of_a_song_is_played_by_the_bundled_drums(tmp_path):
    from .test_midi import off, on, write_midi

    write_midi(tmp_path / "beat.mid", [on(0, 36, channel=9), on(240, 38, channel=9), on(240, 42, channel=9), off(480, 42, channel=9)])
    offline(tmp_path, "play", "beat.mid", "-o", "beat.wav", "--quiet")
    audio, rate = soundfile.read(tmp_path / "beat.wav")
    assert rate == 44100
    assert np.abs(audio).max() == pytest.approx(0.5, abs=0.01)
