"""`gan-audio evaluate notes`: pitch and instrument against the intended ones, with the errors of tracker and classifier beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.corpora.note_names import frequency_hz
from gansynth_cli.errors import EXIT_FAILED, EXIT_OK
from gansynth_cli.metrics.clips import notes as note_metrics
from gansynth_cli.metrics.clips.clip_set import Clip, ClipSet
from gansynth_cli.metrics.clips.notes import Intended, MeasuredNotes, intended_of, measure_notes, note_details, note_figures
from gansynth_cli.signal.note_pitch import NOTHING, HeardPitch, note_pitch

from .conftest import write_wav

RATE, SAMPLES = 8000, 4000
PITCHES = (48, 52, 55, 60)


def sound(instrument: str, pitch: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """A flute: one partial and a little more; a reed: many."""
    t = np.arange(int(seconds * rate)) / rate
    partials = {"flute": [(1, 1.0), (2, 0.3), (3, 0.1)], "reed": [(k, k**-0.5) for k in range(1, 9)]}[instrument]
    wave = sum(level * np.sin(2 * np.pi * frequency_hz(pitch) * k * t) for k, level in partials if frequency_hz(pitch) * k < rate / 2)
    return 0.25 * wave * np.exp(-2 * t)


def heard(midi: float, entropy: float = 0.0) -> HeardPitch:
    return NOTHING if np.isnan(midi) else HeardPitch(midi, 0.9, 0.8, entropy)


# The tracker


@pytest.mark.parametrize("pitch", [40, 60, 69.4, 84])
def test_the_tracker_hears_what_is_played(pitch):
    pytest.importorskip("swift_f0")
    found = note_pitch(sound("reed", pitch, 1.0, 16000), 16000)
    assert found.midi == pytest.approx(pitch, abs=0.15)
    assert found.confidence > 0.6
    assert found.entropy < 0.6


def test_a_glide_has_entropy_and_noise_has_no_pitch():
    pytest.importorskip("swift_f0")
    t = np.arange(32000) / 16000
    phase = 2 * np.pi * 220 * 2 * (2 ** (t / 2) - 1) / np.log(2)  # an octave up in two seconds: 12 semitones, equally long
    glide = sum(np.sin(k * phase) / k for k in range(1, 5))
    found = note_pitch(0.3 * glide, 16000)
    assert found.entropy == pytest.approx(np.log(12), abs=0.35)
    assert note_pitch(np.zeros(16000, np.float32), 16000) is NOTHING
    assert note_pitch(np.ones(10, np.float32), 16000) is NOTHING
    assert note_pitch(np.full(16000, np.nan, np.float32), 16000) is NOTHING


# The figures, by hand


def by_hand() -> MeasuredNotes:
    """Right, 49 cents sharp, 51 cents flat, an octave up, no pitch found, failed, and one without an intended pitch."""
    intended = [
        Intended(60, "flute"),
        Intended(60, "flute"),
        Intended(60, "reed"),
        Intended(60, "reed"),
        Intended(60, "reed"),
        Intended(60, "reed"),
        Intended(),
    ]
    midi = [60.0, 60.49, 59.49, 72.0, np.nan, np.nan, 50.0]
    failures = ["", "", "", "", "", "silent", ""]
    pitches = [heard(m, 0.1) for m in midi]
    return MeasuredNotes([f"{i}.wav" for i in range(7)], intended, pitches, failures, [0, 1, 1, 1, 0, 1, 1], ["flute", "reed"])


def test_the_figures_by_hand():
    found = note_figures(by_hand())
    assert found["pitch_accuracy"]["value"] == pytest.approx(2 / 6)
    assert found["pitch_accuracy"]["n"] == 6
    assert found["pitch_accuracy"]["standard_error"] == pytest.approx(np.sqrt(2 / 6 * 4 / 6 / 6))
    assert found["chroma_accuracy"]["value"] == pytest.approx(3 / 6)
    assert found["pitch_cents"]["value"] == pytest.approx((49 + 51) / 2)  # the median of 0, 49, 51 and 1200
    assert found["pitch_entropy"]["value"] == pytest.approx(0.1)
    assert found["unpitched"]["value"] == pytest.approx(2 / 7)
    # 0: flute as flute; 1: flute as reed; 2, 3: reed as reed; 4: reed as flute; 5: failed, whatever the classifier says
    assert found["instrument_accuracy"]["value"] == pytest.approx(3 / 6)
    details = note_details(by_hand())
    assert details["pitch_accuracy_by_octave"] == {"60-71": {"value": pytest.approx(1 / 3), "clips": 6}}
    assert details["pitch_accuracy_by_instrument"]["flute"] == {"value": None, "clips": 2}  # too few to say
    assert details["instrument_confusion"] == {"flute": {"flute": 1, "reed": 1}, "reed": {"(failed)": 1, "flute": 1, "reed": 2}}
    assert details["clips"][3] == {
        "clip": "3.wav", "measured": 72.0, "pitch": 60, "cents": 1200.0, "predicted_instrument": "reed", "instrument": "reed"
    }  # fmt: skip
    assert details["clips"][5]["failed"] == "silent"
    json.dumps(details, allow_nan=False)


def test_a_figure_without_value_has_a_reason():
    nothing_intended = MeasuredNotes(["a"], [Intended()], [heard(60)], [""], [0], ["flute"])
    found = note_figures(nothing_intended)
    assert found["pitch_accuracy"] == {"because": "no pitches are intended"}
    assert found["instrument_accuracy"] == {"because": "no instruments are intended"}
    deaf = MeasuredNotes(["a"], [Intended(60)], None, [""], None)
    found = note_figures(deaf)
    assert "swift-f0 is not installed" in found["pitch_accuracy"]["because"]
    assert found["instrument_accuracy"] == {"because": "no instruments, so no classifier"}
    silent = note_figures(MeasuredNotes(["a"], [Intended(60)], [NOTHING], ["silent"], None))
    assert silent["pitch_accuracy"]["value"] == 0
    assert silent["pitch_cents"] == {"because": "no pitch was measured"}
    assert set(found) == {figure.key for figure in note_metrics.FIGURES}


# The intended notes


def folder(root: Path, names: list[str], manifest: str = "") -> ClipSet:
    for name in names:
        write_wav(root / name, np.zeros(10))
    if manifest:
        (root / "manifest.csv").write_text(manifest)
    return ClipSet("set", root, tuple((root / name, -1) for name in names))


def test_the_manifest_gives_pitch_and_instrument(tmp_path):
    clips = folder(tmp_path, ["a.wav", "b.wav"], "file,index,label,pitch,instrument\na.wav,0,,60,flute\nb.wav,1,,61,oboe\n")
    found, source, notes = intended_of(clips, ["flute", "reed"])
    assert (found, source) == ({"a.wav": Intended(60, "flute"), "b.wav": Intended(61, "oboe")}, "manifest")
    assert "no instrument oboe" in notes[0]


def test_file_names_give_them_without_a_manifest(tmp_path):
    clips = folder(tmp_path, ["flute/C4.wav", "reed_055.wav", "other.wav"])
    found, source, notes = intended_of(clips, ["flute", "reed"])
    assert (found, source) == ({"flute/C4.wav": Intended(60, "flute"), "reed_055.wav": Intended(55, "reed")}, "names")
    assert "1 of 3 clips have no pitch in their names" in notes[0]
    _, source, notes = intended_of(folder(tmp_path / "x", ["one.wav"]), [])
    assert source == "none"
    assert "no accuracies" in notes[0]


def test_every_clip_is_classified_once_in_order():
    class BySign:
        def classify(self, audio):
            sizes.append(len(audio))
            return None, np.eye(2)[(audio[:, 0] > 0).astype(int)]

    sizes: list[int] = []
    clips = [Clip(f"{i}", np.full(8, i % 3 - 1, np.float32)) for i in range(150)]
    found = measure_notes(clips, {"1": Intended(60)}, RATE, tracker=False, classifier=BySign())
    assert sizes == [64, 64, 22]
    assert found.instruments == [int(i % 3 == 2) for i in range(150)]
    assert found.pitches is None
    assert [intended.pitch for intended in found.intended[:3]] == [None, 60, None]


# The command


@pytest.fixture(scope="module")
def note_data(tmp_path_factory) -> Path:
    """Two instruments of four pitches, three takes each, named as one would; the label is the pitch."""
    root = tmp_path_factory.mktemp("notes")
    rng = np.random.default_rng(0)
    for instrument in ("flute", "reed"):
        for pitch in PITCHES:
            for take in range(6):
                audio = sound(instrument, pitch + rng.uniform(-0.1, 0.1)) * rng.uniform(0.5, 1)
                write_wav(root / "own" / instrument / f"take{'abcdef'[take]}_{pitch:03d}.wav", audio)
    command = ["prepare", str(root / "own"), "-o", str(root / "data"), "--layout", "notes", "--corpus", "pitch-from=name", "-q"]
    assert main([*command, "--sample-rate", str(RATE), "--clip-samples", str(SAMPLES), "--validation", "0.2", "--test", "0.2"]) == EXIT_OK
    return root / "data"


class ByPartials:
    """A classifier of instruments that needs no training: how much of the power lies above 650 Hz."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self.facts = {"version": 0, "hash": "0" * 64, "seed": 0, "accuracy": 1.0, "accuracy_on": "test", "stopped_on": "validation"}

    def classify(self, audio):
        audio = np.asarray(audio, np.float32)
        spectrum = np.abs(np.fft.rfft(audio / max(np.abs(audio).max(), 1e-9))) ** 2
        high = np.arange(spectrum.shape[1]) * RATE / audio.shape[1] > 650
        share = spectrum[:, high].sum(axis=1) / np.maximum(spectrum.sum(axis=1), 1e-9)
        chosen = (share > 0.12).astype(int) if self.labels == ("flute", "reed") else np.zeros(len(audio), int)
        return np.zeros((len(audio), 128), np.float32), np.eye(len(self.labels))[chosen]


@pytest.fixture
def classifier_at_hand(monkeypatch):
    trained = []

    def fake(data, seed, speed, progress):
        trained.append((data.attribute, tuple(data.info.labels), speed))
        return ByPartials(data.info.labels)

    monkeypatch.setattr("gansynth_cli.metrics.clips.label_classifier._train", fake)
    monkeypatch.setattr("gansynth_cli.metrics.clips.classifier.store", lambda *_: Path())
    return trained


def generated(root: Path, pitch_off: float = 0.0, swap: bool = False) -> Path:
    rows = ["file,index,seed,label,pitch,instrument,sample_rate,samples,peak,model"]
    for index, (instrument, pitch) in enumerate((i, p) for i in ("flute", "reed") for p in PITCHES):
        played = {"flute": "reed", "reed": "flute"}[instrument] if swap else instrument
        write_wav(root / f"{index}.wav", sound(played, pitch + pitch_off))
        rows.append(f"{index}.wav,{index},0,,{pitch},{instrument},{RATE},{SAMPLES},1,x")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_wrong_notes_and_wrong_instruments_are_found(note_data, tmp_path, capsys, classifier_at_hand):
    pytest.importorskip("swift_f0")
    right, sharp, swapped = generated(tmp_path / "right"), generated(tmp_path / "sharp", 1.0), generated(tmp_path / "swapped", swap=True)
    (right / "7.wav").unlink()  # a clip that is gone counts as wrong
    command = ["evaluate", "notes", str(right), str(sharp), str(swapped), "--data", str(note_data)]
    assert main([*command, "-o", str(tmp_path / "report.json")]) == EXIT_OK
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kind"] == "notes"
    figures = {entry["name"]: entry["figures"] for entry in report["systems"]}
    assert set(figures) == {"right", "sharp", "swapped", "real, train", "real, validation", "real, test"}
    value = {name: {key: figure.get("value") for key, figure in found.items()} for name, found in figures.items()}
    assert value["right"]["pitch_accuracy"] == pytest.approx(7 / 8)
    assert value["sharp"]["pitch_accuracy"] == 0
    assert value["sharp"]["pitch_cents"] == pytest.approx(100, abs=15)
    assert value["swapped"]["pitch_accuracy"] == 1
    assert value["real, train"]["pitch_accuracy"] > 0.95
    assert value["right"]["instrument_accuracy"] == pytest.approx(7 / 8)
    assert value["swapped"]["instrument_accuracy"] == 0
    assert value["real, train"]["instrument_accuracy"] == 1
    assert classifier_at_hand == [("instrument", ("flute", "reed"), 0.17)]
    assert report["classifier"]["hash"]
    assert [entry["failed"] for entry in report["systems"][:3]] == [1, 0, 0]
    assert report["systems"][0]["failures"] == [{"file": "7.wav", "figure": "all", "reason": "does not exist"}]
    assert report["systems"][0]["intended_from"] == "manifest"
    said = capsys.readouterr()
    assert "pitch ±50 cents" in said.out
    assert "instrument" in said.out
    assert "right: 7.wav: not measured: does not exist" in said.err


def test_the_clips_of_a_data_set_of_notes_refer_to_the_notes(note_data, tmp_path, capsys, classifier_at_hand):
    """`evaluate clips` has the figures of clips only, with a classifier of the labels, which are pitches: no changes of speed."""
    assert main(["evaluate", "clips", str(generated(tmp_path / "clips")), "--data", str(note_data), "--bins", "2", "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert "pitch_accuracy" not in report["figures"]
    assert any("`evaluate notes` measures them" in note for note in report["notes"])
    assert classifier_at_hand == [("", ("48", "52", "55", "60"), 0.0)]


def test_labels_that_are_instruments_need_one_classifier(note_data, tmp_path, classifier_at_hand, capsys):
    """The folder as label: the same classes as the attribute, and the manifest's column stands in for the label."""
    command = ["prepare", str(note_data.parent / "own"), "-o", str(tmp_path / "data"), "--labels", "folder", "-q"]
    table = ["file,pitch,instrument"]
    for path in sorted((note_data.parent / "own").rglob("*.wav")):
        table.append(f"{path.relative_to(note_data.parent / 'own')},{int(path.stem[-3:])},{path.parent.name}")
    (tmp_path / "t.csv").write_text("\n".join(table))
    command += ["--corpus", f"attributes={tmp_path / 't.csv'}", "--sample-rate", str(RATE), "--clip-samples", str(SAMPLES)]
    assert main(command) == EXIT_OK
    clips, found = generated(tmp_path / "clips"), {}
    for kind, figure in (("clips", "class_accuracy"), ("notes", "instrument_accuracy")):
        capsys.readouterr()
        assert main(["evaluate", kind, str(clips), "--data", str(tmp_path / "data"), "--json"]) == EXIT_OK
        report = json.loads(capsys.readouterr().out)
        found[kind] = next(entry for entry in report["systems"] if entry["name"] == "clips")["figures"][figure]["value"]
    assert [attribute for attribute, _, _ in classifier_at_hand] == ["", ""]  # the same one: the second is the first's cached one
    assert found["clips"] == found["notes"] == 1


def test_without_the_tracker_there_is_a_note(note_data, tmp_path, classifier_at_hand, monkeypatch, capsys):
    from gansynth_cli.metrics import figure

    monkeypatch.setattr(figure, "find_spec", lambda name: None if name == "swift_f0" else object())
    assert main(["evaluate", "notes", str(generated(tmp_path / "clips")), "--data", str(note_data), "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert any("gan-audio[metrics]" in note for note in report["notes"])
    entry = next(entry for entry in report["systems"] if entry["name"] == "clips")
    assert "because" in entry["figures"]["pitch_accuracy"]
    assert "value" in entry["figures"]["instrument_accuracy"]


def test_a_data_set_without_notes_is_refused(tiny_dataset, tmp_path, capsys):
    assert main(["evaluate", "notes", str(generated(tmp_path / "clips")), "--data", str(tiny_dataset)]) == EXIT_FAILED
    assert "neither pitch nor instrument" in capsys.readouterr().err
