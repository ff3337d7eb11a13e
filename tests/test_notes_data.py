"""Notes in data sets: names of pitches, NSynth's layouts, a musician's own folder, tables, and what reaches a batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.data import shards
from gansynth_cli.data.audio.find import find_audio
from gansynth_cli.data.corpora import note_names, notes
from gansynth_cli.data.corpora.labelling import label_sources
from gansynth_cli.data.corpora.nsynth import TFRECORD
from gansynth_cli.data.corpora.source_file import LabelOptions, Reading, SourceFile
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.errors import DatasetError, UsageError
from gansynth_cli.feature_specs import BatchFeatures
from gansynth_cli.recipe import load_recipe

from .conftest import write_wav

RATE, CLIP = 8000, 1000


def tone(pitch: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """A few partials that fade: a pitch that a tracker hears."""
    t = np.arange(int(seconds * rate)) / rate
    hz = note_names.frequency_hz(pitch)
    return 0.3 * np.exp(-2 * t) * sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3) if hz * k < rate / 2)


def labelled(root: Path, **options):
    return label_sources(find_audio([root], TFRECORD), LabelOptions(**options))


def told(found) -> dict[str, dict[str, str]]:
    return {source.name: dict(source.attributes) for source in found.sources}


# Names of pitches


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("60", 60),
        ("C4", 60),
        ("c4", 60),
        ("A4", 69),
        ("F#3", 54),
        ("Gb3", 54),
        ("Bb2", 46),
        ("B#3", 60),
        ("Cb4", 59),
        ("C-1", 0),
        ("G9", 127),
    ],
)
def test_pitches_by_name_and_number(text, number):
    assert note_names.parse_pitch(text) == number


def test_names_and_numbers_are_one():
    for number in range(128):
        assert note_names.parse_pitch(note_names.pitch_name(number)) == number
    assert note_names.frequency_hz(69) == 440
    assert note_names.frequency_hz(60) == pytest.approx(261.6256, abs=1e-3)


@pytest.mark.parametrize("text", ["", "H4", "C", "60.5", "-3", "C4 D4", "128", "A9", "C-2"])
def test_what_is_no_pitch(text):
    with pytest.raises(UsageError, match=r"expected|is MIDI number"):
        note_names.parse_pitch(text)


def test_ranges():
    assert note_names.parse_pitches("36-38,C4") == [36, 37, 38, 60]
    assert note_names.parse_pitches("C2-C3") == list(range(36, 49))
    assert note_names.parse_pitches("C-1-C#-1") == [0, 1]
    assert note_names.parse_pitches("c-1") == [0]
    assert note_names.ranges([36, 37, 38, 60]) == "36-38, 60"
    for text, why in (("60-50", "falls"), ("", "No pitch"), ("36-H", "not a pitch")):
        with pytest.raises(UsageError, match=why):
            note_names.parse_pitches(text)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("piano_C4", (60, "name", "piano")),
        ("bass-036", (36, "number", "bass")),
        ("Bb2 sax", (46, "name", "")),
        ("cello-F#3-loud", (54, "name", "cello")),
        ("Guitar.A#3.ff", (58, "name", "Guitar")),
        ("piano_C-1", (0, "name", "piano")),
        ("vio_c#5-1", (73, "name", "vio")),
        ("keyboard_synthetic_000-036-075", (36, "number", "keyboard_synthetic_000")),
        ("bell_060-100", (60, "number", "bell")),
        ("horn_midi60", (60, "number", "horn")),
        ("strings12_C4_03", (60, "name", "strings12")),  # a note name counts before numbers
        ("piano C4 D5", None),
        ("flute_60_02", None),  # which of the two?
        ("kick", None),
        ("loop_999", None),
    ],
)
def test_pitches_in_file_names(stem, expected):
    assert note_names.pitch_of_name(stem) == expected


# NSynth


def nsynth_entry(family: str, number: int, pitch: int, velocity: int) -> tuple[str, dict]:
    name = f"{family}_acoustic_{number:03d}-{pitch:03d}-{velocity:03d}"
    entry = {
        "note": number * 1000 + pitch,
        "note_str": name,
        "instrument": number,
        "instrument_str": f"{family}_acoustic_{number:03d}",
        "pitch": pitch,
        "velocity": velocity,
        "sample_rate": RATE,
        "qualities": [0, 1, 0],
        "instrument_family": 3,
        "instrument_family_str": family,
        "instrument_source": 0,
        "instrument_source_str": "acoustic",
    }
    return name, entry


NOTES = [("guitar", 1, pitch, velocity) for pitch in (40, 52, 64) for velocity in (50, 100)] + [("flute", 2, 76, 50), ("flute", 2, 100, 50)]


@pytest.fixture
def nsynth_folder(tmp_path: Path) -> Path:
    root = tmp_path / "nsynth-train"
    table = {}
    for note in NOTES:
        name, entry = nsynth_entry(*note)
        table[name] = entry
        write_wav(root / "audio" / f"{name}.wav", tone(note[2]) * note[3] / 127)
    (root / "examples.json").write_text(json.dumps(table))
    return root


def write_tfrecord(path: Path, notes=NOTES, **changes) -> Path:
    """As NSynth's authors publish it, written with TensorFlow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for note in notes:
            _, entry = nsynth_entry(*note)
            values = {**entry, "audio": (tone(note[2]) * note[3] / 127).astype(np.float32).tolist(), "qualities_str": ["bright"], **changes}
            features = {}
            for name, value in values.items():
                value = value if isinstance(value, list) else [value]
                if not value:
                    continue
                if isinstance(value[0], str):
                    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in value]))
                elif isinstance(value[0], float):
                    feature = tf.train.Feature(float_list=tf.train.FloatList(value=value))
                else:
                    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                features[name] = feature
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def prepare(root: Path, output: Path, *more: str) -> int:
    command = ["prepare", str(root), "-o", str(output), "--sample-rate", str(RATE), "--clip-samples", str(CLIP), "-q"]
    return main([*command, "--detail", "max-clips=1", *more])


def records(data: Path) -> dict[str, tuple[dict[str, str], np.ndarray]]:
    """Source -> (attributes by name, samples)."""
    info = read_dataset_info(data)
    found = {}
    for split in info.splits.values():
        for path in shards.shard_paths(split, data):
            for record in map(shards.decode_example, shards.read_records(path)):
                names = {name: info.attributes[name][number] for name, number in record.attributes.items()}
                found[record.source.rpartition("/")[2].removesuffix(".wav")] = names, np.frombuffer(record.audio[44:], "<i2")
    return found


def test_a_folder_of_nsynth_carries_pitch_instrument_and_velocity(nsynth_folder, tmp_path):
    assert prepare(nsynth_folder, tmp_path / "data", "--layout", "nsynth") == 0
    info = read_dataset_info(tmp_path / "data")
    assert info.attributes == {"instrument": ["flute", "guitar"], "pitch": ["40", "52", "64", "76", "100"], "velocity": ["50", "100"]}
    assert info.splits["train"].attribute_counts["pitch"] == {"40": 2, "52": 2, "64": 2, "76": 1, "100": 1}
    assert info.labels == info.attributes["pitch"]
    for note in NOTES:
        name, entry = nsynth_entry(*note)
        attributes, _ = records(tmp_path / "data")[name]
        assert attributes == {"pitch": str(entry["pitch"]), "instrument": note[0], "velocity": str(note[3])}
    features = json.loads((tmp_path / "data" / "features.json").read_text())["featuresDict"]["features"]
    assert features["attribute/pitch"]["classLabel"]["names"] == info.attributes["pitch"]


def test_nsynths_tfrecords_give_the_same_notes(nsynth_folder, tmp_path):
    """The same notes as folder and as TFRecord: the same attributes, labels, splits and, to one step of 16 bits, samples."""
    write_tfrecord(tmp_path / "records" / "nsynth-train.tfrecord")
    for name, root in (("a", nsynth_folder), ("b", tmp_path / "records")):
        assert prepare(root, tmp_path / name, "--layout", "nsynth", "--detail", "name=n") == 0
    one, two = read_dataset_info(tmp_path / "a"), read_dataset_info(tmp_path / "b")
    assert (one.attributes, one.labels) == (two.attributes, two.labels)
    assert one.splits.keys() == two.splits.keys() == {"train"}  # the file's name says so
    first, second = records(tmp_path / "a"), records(tmp_path / "b")
    assert first.keys() == second.keys()
    for name, (attributes, audio) in first.items():
        assert second[name][0] == attributes
        assert np.abs(second[name][1].astype(int) - audio).max() <= 1
    for entry in two.sources:
        assert entry["speaker"].endswith(("_001", "_002"))


def test_tensorflow_reads_the_attributes_back(nsynth_folder, tmp_path):
    assert prepare(nsynth_folder, tmp_path / "data", "--layout", "nsynth") == 0
    info = read_dataset_info(tmp_path / "data")
    path = shards.shard_paths(info.splits["train"], tmp_path / "data")[0]
    for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(raw).features.feature
        source = features["source"].bytes_list.value[0].decode()
        assert info.attributes["pitch"][features["attribute/pitch"].int64_list.value[0]] == str(int(source.split("-")[-2]))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: content[:-40], "goes beyond its end"),
        (lambda content: b"", "is empty"),
        (lambda content: content[:12] + b"\xff" * 60 + content[72:], "no tf.train.Example"),
    ],
)
def test_damaged_tfrecords_are_named(tmp_path, damage, why):
    path = write_tfrecord(tmp_path / "r" / "nsynth-train.tfrecord", NOTES[:2])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=why):
        labelled(tmp_path / "r", layout="nsynth")


def test_a_tfrecord_of_something_else(tmp_path):
    path = tmp_path / "r" / "images.tfrecord"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))}
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    with pytest.raises(DatasetError, match=r"example 0 has no note_str, pitch, sample_rate, audio; it has image"):
        labelled(path.parent, layout="nsynth")


def test_choosing_pitches_and_instruments(nsynth_folder):
    found = labelled(nsynth_folder, layout="nsynth", pitches="C3-84", instruments=("guitar",))
    assert {entry["pitch"] for entry in told(found).values()} == {"52", "64"}
    assert dict(found.left_out)["audio/flute_acoustic_002-076-050.wav"] == "not among --corpus instruments"
    assert dict(found.left_out)["audio/guitar_acoustic_001-040-050.wav"] == "not among --corpus pitches"
    with pytest.raises(UsageError, match="names oboe; the recordings have flute, guitar"):
        labelled(nsynth_folder, layout="nsynth", instruments=("oboe",))
    with pytest.raises(DatasetError, match="None of the 8 recordings has a pitch of --corpus pitches=1-3"):
        labelled(nsynth_folder, layout="nsynth", pitches="1-3")
    with pytest.raises(UsageError, match="nothing says the pitch"):
        labelled(nsynth_folder, pitches="60")


def test_other_fields_as_instrument_and_one_velocity(nsynth_folder):
    found = labelled(nsynth_folder, layout="nsynth", instrument_field="instrument_str", exclude="-100\\.wav|-100-")
    assert {entry["instrument"] for entry in told(found).values()} == {"guitar_acoustic_001", "flute_acoustic_002"}
    assert all("velocity" not in entry for entry in told(found).values())  # 50 is left alone: nothing to choose
    with pytest.raises(DatasetError, match="no entry 'colour'"):
        labelled(nsynth_folder, layout="nsynth", instrument_field="colour")


def test_a_pitch_that_is_none_is_refused(nsynth_folder):
    table = json.loads((nsynth_folder / "examples.json").read_text())
    name = next(iter(table))
    table[name]["pitch"] = 300
    (nsynth_folder / "examples.json").write_text(json.dumps(table))
    with pytest.raises(DatasetError, match=f"the pitch of {name} is 300; expected a MIDI number from 0 to 127"):
        labelled(nsynth_folder, layout="nsynth")


# A folder of one's own


def own(root: Path, names: dict[str, float]) -> Path:
    for name, pitch in names.items():
        write_wav(root / name, tone(pitch))
    return root


def reader(root: Path, track=None, **options):
    found = sorted(root.rglob("*.wav"))
    sources = [SourceFile(path, path.relative_to(root).as_posix()) for path in found]
    reading = Reading(sources, dict.fromkeys(found, root), LabelOptions(layout="notes", **options))
    made = notes.notes(reading, track or heard_as_named)
    return {source.name: dict(source.attributes) for source in made}, reading.left_out, reading.warnings


def heard_as_named(path: Path) -> tuple[float, float]:
    return float(note_names.pitch_of_name(path.stem)[0]), 0.99


def never(path: Path) -> tuple[float, float]:
    raise AssertionError(f"{path} was listened to")


def test_names_tell_pitch_and_instrument(tmp_path):
    root = own(tmp_path / "own", {"piano_C4.wav": 60, "piano_C5.wav": 72, "bass-036.wav": 36})
    found, _, warnings = reader(root)
    assert found == {
        "bass-036.wav": {"pitch": "36", "instrument": "bass"},
        "piano_C4.wav": {"pitch": "60", "instrument": "piano"},
        "piano_C5.wav": {"pitch": "72", "instrument": "piano"},
    }
    assert not warnings


@pytest.mark.parametrize(
    ("stem", "velocity"),
    [
        ("bell-060-100", 100),
        ("bell_060-001", 1),
        ("bell-060-128", None),
        ("bell-060-000", None),
        ("bell-128-100", None),
        ("bell_060_100", None),  # a take's number, it may be
        ("bell-060", None),
        ("bell_C4", None),
    ],
)
def test_velocities_in_file_names(stem, velocity):
    assert note_names.velocity_of_name(stem) == velocity


def test_velocities_count_where_all_names_have_one_and_they_differ(tmp_path):
    root = own(tmp_path / "own", {"bell-060-100.wav": 60, "bell-060-030.wav": 60, "bell_072-100.wav": 72})
    found, _, warnings = reader(root)
    assert found == {
        "bell-060-030.wav": {"pitch": "60", "instrument": "bell", "velocity": "30"},
        "bell-060-100.wav": {"pitch": "60", "instrument": "bell", "velocity": "100"},
        "bell_072-100.wav": {"pitch": "72", "instrument": "bell", "velocity": "100"},
    }
    assert not warnings
    assert all("velocity" not in entry for entry in reader(root, pitch_from="sound")[0].values())
    write_wav(root / "bell_C6.wav", tone(84))
    found, _, warnings = reader(root)
    assert all(set(entry) == {"pitch", "instrument"} for entry in found.values())
    assert warnings == ["some notes have no velocity: there is no attribute velocity."]


def test_folders_are_instruments_and_what_has_none_loses_it_for_all(tmp_path):
    root = own(tmp_path / "own", {"cello/C3.wav": 48, "cello/x_D3.wav": 50, "oboe/A4.wav": 69})
    assert {name: entry["instrument"] for name, entry in reader(root)[0].items()} == {
        "cello/C3.wav": "cello",
        "cello/x_D3.wav": "cello",
        "oboe/A4.wav": "oboe",
    }
    write_wav(root / "E4.wav", tone(64))
    found, _, warnings = reader(root)
    assert all(set(entry) == {"pitch"} for entry in found.values())
    assert "1 of 4 recordings have no instrument" in warnings[0]


def test_what_names_do_not_tell_is_measured_and_doubt_is_told(tmp_path):
    root = own(tmp_path / "own", {"piano_C4.wav": 60, "take one.wav": 64.02, "take two.wav": 65.4, "noise.wav": 60})
    answers = {"take one": (64.02, 0.98), "take two": (65.4, 0.6), "noise": (float("nan"), 0.0), "piano_C4": (60, 0.9)}
    found, left_out, warnings = reader(root, lambda path: answers[path.stem])
    assert {name: entry["pitch"] for name, entry in found.items()} == {"piano_C4.wav": "60", "take one.wav": "64", "take two.wav": "65"}
    assert left_out == [("noise.wav", "no pitch could be measured in it")]
    assert "the pitch of 3 of 4 recordings was measured" in warnings[0]
    assert "take two.wav: F4 +40 cents, confidence 0.60" in warnings[0]
    found, left_out, _ = reader(root, pitch_from="name")
    assert list(found) == ["piano_C4.wav"]
    assert len(left_out) == 3
    with pytest.raises(DatasetError, match="None of the 1 recordings has a pitch in its name"):
        reader(own(tmp_path / "other", {"kick.wav": 40}), pitch_from="name")


def test_names_that_the_sound_denies(tmp_path):
    """Take numbers taken for pitches, and a sampler that calls middle C C3."""
    takes = own(tmp_path / "takes", {f"take_{i:02d}.wav": 60 for i in range(10, 16)})
    assert "do not sound as their names say" in reader(takes, lambda path: (60.3, 0.99))[2][0]
    octave = own(tmp_path / "octave", {f"p_{name}3.wav": 60 for name in "CDEF"})
    said = reader(octave, lambda path: (note_names.pitch_of_name(path.stem)[0] + 12.0, 0.99))[2][0]
    assert "sound 1 octave above their names (C4 is 60 here)" in said
    found, _, _ = reader(octave, lambda path: (note_names.pitch_of_name(path.stem)[0] + 12.0, 0.99), pitch_from="sound")
    assert found["p_C3.wav"]["pitch"] == "60"


def test_a_tracker_hears_the_pitch_of_real_files(tmp_path):
    pytest.importorskip("swift_f0")
    root = tmp_path / "own"
    for pitch in (48, 57, 69):
        write_wav(root / f"take of {'abc'[pitch % 3]}{'x' * (pitch % 5)}.wav", tone(pitch, 1.0, 16000), 16000)
    assert prepare(root, tmp_path / "data", "--layout", "notes", "--validation", "0", "--test", "0") == 0
    assert read_dataset_info(tmp_path / "data").attributes["pitch"] == ["48", "57", "69"]


# Tables


def test_a_table_of_attributes(tmp_path):
    root = own(tmp_path / "own", {"a/one.wav": 60, "a/two.wav": 62, "b/three.wav": 64})
    table = tmp_path / "table.csv"
    table.write_text("file,pitch,instrument,mood\na/one.wav,C4,horn,dark\na/two.wav,62,horn,light\n")
    found = labelled(root, labels="folder", attributes=str(table))
    assert told(found) == {
        "a/one.wav": {"pitch": "60", "instrument": "horn", "mood": "dark"},
        "a/two.wav": {"pitch": "62", "instrument": "horn", "mood": "light"},
    }
    assert found.left_out == [("b/three.wav", "not in table.csv")]
    assert {source.label for source in found.sources} == {"a"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file,pitch\na/one.wav,\n", "line 2: a/one.wav has no pitch"),
        ("file,pitch\na/one.wav,H7\n", "line 2: the pitch of a/one.wav: 'H7' is not a pitch"),
        ("file,label\na/one.wav,60\n", "the column 'label' cannot be an attribute"),
        ("file\na/one.wav\n", "expected file and attributes"),
        ("name,pitch\na/one.wav,60\n", "expected file and attributes"),
        ("file,pitch\nb/none.wav,60\n", "names none of the 1 recordings"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, why):
    root = own(tmp_path / "own", {"a/one.wav": 60})
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(DatasetError, match=why):
        labelled(root, attributes=str(tmp_path / "table.csv"))


# Batches


@pytest.fixture
def recipe():
    return load_recipe("wavegan/tiny", (f"data.sample_rate={RATE}", f"data.clip_samples={CLIP}", "data.batch_size=4"))


def test_batches_carry_attributes_and_a_resumed_run_sees_the_same(nsynth_folder, tmp_path, recipe):
    assert prepare(nsynth_folder, tmp_path / "data", "--layout", "nsynth") == 0
    source = open_source(tmp_path / "data", recipe)
    source.check(BatchFeatures(RATE, 1, CLIP, attributes=("pitch", "instrument", "velocity")))
    stream = iter(source.batches(recipe, seed=3))
    first, second = next(stream), next(stream)
    assert {name: value.dtype for name, value in first.items()} == {
        "audio": tf.float32,
        "label": tf.int32,
        "pitch": tf.int32,
        "instrument": tf.int32,
        "velocity": tf.int32,
    }
    resumed = next(iter(source.batches(recipe, seed=3, first_clip=4)))
    for name, value in second.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    by_content = {audio.tobytes(): attributes for attributes, audio in records(tmp_path / "data").values()}
    for i in range(4):  # each clip's attributes are its own
        audio = np.rint(first["audio"][i].numpy()[:, 0] * 32768).astype("<i2")
        expected = by_content[audio.tobytes()]
        for name, value in expected.items():
            assert source.info.attributes[name][int(first[name][i])] == value


def test_a_family_that_wants_pitch_says_what_to_do(tiny_dataset, recipe):
    recipe = load_recipe("wavegan/tiny", ("data.sample_rate=8000", "data.clip_samples=2048"))
    source = open_source(tiny_dataset, recipe)  # made without attributes
    assert source.info.attributes == {}
    with pytest.raises(DatasetError, match=r"does not say the pitch and instrument of its clips, .* it has no attributes at all") as caught:
        source.check(BatchFeatures(8000, 1, 2048, attributes=("pitch", "instrument")))
    assert "--layout nsynth" in caught.value.hint


def test_a_data_set_of_an_earlier_version_still_loads(tiny_dataset, tmp_path):
    content = json.loads((tiny_dataset / "dataset_info.json").read_text())
    del content["attributes"]
    for split in content["splits"].values():
        del split["attribute_counts"]
    (tmp_path / "dataset_info.json").write_text(json.dumps(content))
    info = read_dataset_info(tmp_path)
    assert info.attributes == {}
    assert info.splits["train"].attribute_counts == {}


def test_a_plain_folder_with_notes_in_its_names(tmp_path, recipe):
    source = open_source(own(tmp_path / "own", {"horn/C4.wav": 60, "horn/D4.wav": 62, "bell/C5.wav": 72}), recipe)
    assert source.info.attributes == {"pitch": ["60", "62", "72"], "instrument": ["bell", "horn"]}
    seen = {}
    for batch in source.batches(recipe, seed=0, repeat=False, augment=False):
        for audio, pitch, instrument in zip(batch["audio"].numpy(), batch["pitch"].numpy(), batch["instrument"].numpy(), strict=True):
            strongest = np.abs(np.fft.rfft(audio[:, 0], 1 << 14)).argmax() * RATE / (1 << 14)
            seen[source.info.attributes["pitch"][pitch]] = (
                round(69 + 12 * np.log2(strongest / 440)),
                source.info.attributes["instrument"][instrument],
            )
    assert seen == {"60": (60, "horn"), "62": (62, "horn"), "72": (72, "bell")}
    write_wav(tmp_path / "own" / "unnamed.wav", tone(60))
    assert open_source(tmp_path / "own", recipe).info.attributes == {}


@pytest.mark.realdata
def test_the_real_notes(data_folder, tmp_path):
    assert (
        main(["prepare", str(data_folder / "notes"), "-o", str(tmp_path / "data"), "--layout", "nsynth", "--clip-samples", "32000", "-q"])
        == 0
    )
    info = read_dataset_info(tmp_path / "data")
    assert info.attributes["pitch"] == [str(pitch) for pitch in range(36, 85)]
    assert info.attributes["instrument"] == ["bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string"]
    assert sum(split.clips for split in info.splits.values()) == 637
