"""Labels, speakers and official splits, from small trees that look like the corpora."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from gansynth_cli.data.corpora.labelling import label_order
from gansynth_cli.data.corpora.layouts import KEYS, LAYOUTS, Layout, mode_of
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.errors import DatasetError, UsageError

from .helpers import labelled, tree


def facts(outcome) -> dict[str, tuple[str, str, str]]:
    return {source.name: (source.label, source.speaker, source.split) for source in outcome.sources}


def test_no_labels(tmp_path: Path):
    assert facts(labelled(tree(tmp_path, "a/x.wav", "y.wav"))) == {"a/x.wav": ("", "", ""), "y.wav": ("", "", "")}


def test_folders_are_labels(tmp_path: Path):
    outcome = labelled(tree(tmp_path / "drum hits", "kick/a.wav", "kick/soft/b.wav", "snare/a.wav"), labels="folder")
    assert {name: label for name, (label, _, _) in facts(outcome).items()} == {
        "kick/a.wav": "kick",
        "kick/soft/b.wav": "kick",
        "snare/a.wav": "snare",
    }
    assert outcome.warnings == []
    beside = labelled(tree(tmp_path / "drum hits", "lost.wav"), layout="folder")
    assert facts(beside)["lost.wav"][0] == "drum hits"
    assert "1 recordings lie beside the label folders" in beside.warnings[0]


def test_several_inputs_keep_their_names_apart(tmp_path: Path):
    roots = [tree(tmp_path / "one" / "kicks", "a.wav"), tree(tmp_path / "two" / "kicks", "a.wav"), tree(tmp_path / "snares", "a.wav")]
    outcome = labelled(roots, labels="folder")
    assert {name: label for name, (label, _, _) in facts(outcome).items()} == {
        "kicks/a.wav": "kicks",
        "kicks-2/a.wav": "kicks",
        "snares/a.wav": "snares",
    }


def test_pattern(tmp_path: Path):
    root = tree(tmp_path, "s1/kick_01.wav", "s2/snare_02.wav", "s2/readme.wav")
    outcome = labelled(root, pattern=r"(?P<speaker>s\d)/(?P<label>[a-z]+)_\d")
    assert facts(outcome) == {"s1/kick_01.wav": ("kick", "s1", ""), "s2/snare_02.wav": ("snare", "s2", "")}
    assert outcome.left_out == [("s2/readme.wav", "the label pattern does not match")]
    with pytest.raises(DatasetError, match="matches none of the 3 recordings"):
        labelled(root, pattern="(?P<label>tom)")
    with pytest.raises(UsageError, match="no group named label"):
        labelled(root, pattern="kick")
    with pytest.raises(UsageError, match="not a regular expression"):
        labelled(root, pattern="(?P<label>")


def test_select_and_exclude(tmp_path: Path):
    root = tree(tmp_path, "kick/a.wav", "kick/b.wav", "snare/a.wav")
    outcome = labelled(root, select="kick/", exclude=r"b\.wav$")
    assert list(facts(outcome)) == ["kick/a.wav"]
    assert sorted(outcome.left_out) == [("kick/b.wav", "excluded"), ("snare/a.wav", "not selected")]
    with pytest.raises(DatasetError, match="None of the 3 recordings is left"):
        labelled(root, select="tom")


def test_csv(tmp_path: Path):
    root = tree(tmp_path / "in", "a.wav", "b ü.wav", "c.wav", "d.wav")
    table = tmp_path / "labels.csv"
    table.write_text(
        "\ufeffpath,label,speaker,split\na.wav,kick,ann,train\nb ü.wav,snare,bob,VAL\nin/c.wav,kick,,\ngone.wav,tom,,\n", "utf-8"
    )
    outcome = labelled(root, csv=str(table))
    assert facts(outcome) == {"a.wav": ("kick", "ann", "train"), "b ü.wav": ("snare", "bob", "validation"), "c.wav": ("kick", "", "")}
    assert outcome.left_out == [("d.wav", "not in labels.csv")]
    assert outcome.warnings == ["labels.csv: 1 rows name no recording: line 5: gone.wav."]


@pytest.mark.parametrize(
    "content, message",
    [
        ("file,label\na.wav,x\n", "has the columns file, label; expected path,label"),
        ("path,label\n", "no rows"),
        ("path,label\na.wav,\n", "line 2: path or label is missing"),
        ("path,label\nz.wav,x\n", "names no recording of the inputs"),
        ("path,label,split\na.wav,x,holdout\n", "line 2: the split is 'holdout'"),
        ("path,label\na.wav,x\na.wav,y\n", "two different rows"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str, message: str):
    table = tmp_path / "labels.csv"
    table.write_text(content)
    with pytest.raises(DatasetError, match=message):
        labelled(tree(tmp_path / "in", "a.wav"), csv=str(table))


def test_missing_csv(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nothing\.csv does not exist"):
        labelled(tree(tmp_path / "in", "a.wav"), csv=str(tmp_path / "nothing.csv"))


def test_fsdd(tmp_path: Path):
    outcome = labelled(tree(tmp_path, "recordings/7_jackson_32.wav", "recordings/0_theo_0.wav", "recordings/noise.wav"), layout="fsdd")
    assert facts(outcome) == {"recordings/7_jackson_32.wav": ("7", "jackson", ""), "recordings/0_theo_0.wav": ("0", "theo", "")}
    assert outcome.left_out == [("recordings/noise.wav", "not named <digit>_<speaker>_<take>")]


def test_sc09(tmp_path: Path):
    words = ("two/ab12_nohash_0.wav", "two/cd34_nohash_1.wav", "nine/ab12_nohash_0.wav", "bed/ab12_nohash_0.wav")
    root = tree(tmp_path, *words, "_background_noise_/pink_noise.wav")
    (root / "validation_list.txt").write_text("two/cd34_nohash_1.wav\n")
    (root / "testing_list.txt").write_text("nine/ab12_nohash_0.wav\n")
    outcome = labelled(root, layout="sc09")
    assert facts(outcome) == {
        "two/ab12_nohash_0.wav": ("two", "ab12", "train"),
        "two/cd34_nohash_1.wav": ("two", "cd34", "validation"),
        "nine/ab12_nohash_0.wav": ("nine", "ab12", "test"),
    }
    assert sorted(reason for _, reason in outcome.left_out) == ["background noise", "not one of the ten digits"]
    assert list(facts(labelled(root, layout="sc09", select="^bed/"))) == ["bed/ab12_nohash_0.wav"], "--select asks for other words"


def test_sc09_without_the_official_lists(tmp_path: Path):
    outcome = labelled(tree(tmp_path, "two/ab12_nohash_0.wav"), layout="sc09")
    assert facts(outcome) == {"two/ab12_nohash_0.wav": ("two", "ab12", "")}
    assert "validation_list.txt" in outcome.warnings[0]


def nsynth(root: Path) -> Path:
    tree(root, "audio/bass_000-040-075.wav", "audio/bass_000-100-075.wav", "audio/stray.wav")
    pitches = ("040", "100", "050")
    entries = {
        f"bass_000-{pitch}-075": {"pitch": int(pitch), "instrument_str": "bass_000", "instrument_family_str": "bass"} for pitch in pitches
    }
    (root / "examples.json").write_text(json.dumps(entries))
    return root


def test_nsynth(tmp_path: Path):
    outcome = labelled(nsynth(tmp_path / "nsynth-valid"), layout="nsynth")
    assert facts(outcome) == {
        "audio/bass_000-040-075.wav": ("40", "bass_000", "validation"),
        "audio/bass_000-100-075.wav": ("100", "bass_000", "validation"),
    }
    assert outcome.left_out == [("audio/stray.wav", "not in examples.json")]
    assert outcome.warnings == ["examples.json: 1 entries name no recording: bass_000-050-075."]
    by_family = labelled(tmp_path / "nsynth-valid", layout="nsynth", field="instrument_family_str")
    assert {label for label, _, _ in facts(by_family).values()} == {"bass"}
    with pytest.raises(DatasetError, match="no entry 'loudness'"):
        labelled(tmp_path / "nsynth-valid", layout="nsynth", field="loudness")


def test_nsynth_without_its_table(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"name none of the recordings: no examples\.json"):
        labelled(tree(tmp_path, "audio/a.wav"), layout="nsynth")


def test_a_layout_without_labels_still_knows_speakers(tmp_path: Path):
    assert facts(labelled(tree(tmp_path, "7_jackson_32.wav"), layout="fsdd", labels="none")) == {"7_jackson_32.wav": ("", "jackson", "")}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"labels": "folders"}, "expected none, folder, layout"),
        ({"layout": "sc10"}, "expected one of folder, csv, fsdd, sc09"),
        ({"labels": "csv"}, "needs a table"),
        ({"layout": "csv"}, "needs a table"),
        ({"labels": "pattern"}, "needs an expression"),
        ({"labels": "layout"}, "needs --layout"),
    ],
)
def test_options_that_contradict(options: dict[str, str], message: str):
    with pytest.raises(UsageError, match=message):
        mode_of(LabelOptions(**options))


def test_numbers_are_ordered_by_value():
    assert label_order(["100", "24", "9", ""]) == ["9", "24", "100"]
    assert label_order(["100", "24", "a"]) == ["100", "24", "a"]


@pytest.mark.realdata
def test_real_corpora(data_folder: Path):
    digits = labelled(data_folder / "digits", layout="fsdd")
    assert len(digits.sources) == 3000
    assert len({s.speaker for s in digits.sources}) == 6
    notes = labelled(data_folder / "notes", layout="nsynth")
    assert len(notes.sources) == 637
    assert label_order(s.label for s in notes.sources) == [str(pitch) for pitch in range(36, 85)]
    assert notes.warnings == []


EXAMPLES: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {  # layout -> files, further options, label of the first recording
    "folder": (("kick/a.wav",), {}, "kick"),
    "csv": (("a.wav",), {"csv": "path,label\na.wav,kick\n"}, "kick"),
    "fsdd": (("7_jackson_32.wav",), {}, "7"),
    "sc09": (("one/ab_nohash_0.wav",), {}, "one"),
    "nsynth": (("audio/organ_000-060-100.wav",), {"json": '{"organ_000-060-100": {"pitch": 60, "instrument_family_str": "organ"}}'}, "60"),
    "notes": (("piano_C4.wav",), {"pitch_from": "name"}, "60"),
    "pairs": (("clean/a.wav", "noisy/a.wav"), {}, ""),
    "speakers": (("anna/a.wav",), {}, "anna"),
    "vctk": (("p225_001.wav",), {}, "p225"),
    "esd": (("0011_000351.wav",), {}, "0011/angry"),
    "ravdess": (("03-01-06-01-02-01-12.wav",), {}, "fearful"),
    "crema-d": (("1001_IEO_ANG_HI.wav",), {}, "anger"),
    "emo-db": (("03a01Fa.wav",), {}, "happiness"),
    "ljspeech": (("wavs/a.wav",), {"metadata.csv": "a|Text.\n", "language": "de"}, "in"),
    "text": (("b/a.wav",), {"metadata.csv": "path,text,speaker,language\nb/a.wav,Text.,bob,en-us\n"}, "bob"),
    "asterisk": (("digits/1.wav",), {"core-sounds-en.txt": "digits/1: one\n"}, "in"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_reads_its_corpus(name: str, tmp_path: Path):
    """A layout that is registered without an example here fails, and so does one whose reader labels nothing."""
    files, options, label = EXAMPLES[name]
    root = tree(tmp_path / "in", *files)
    options = dict(options)
    if "json" in options:
        (root / "examples.json").write_text(options.pop("json"))
    for beside in [key for key in options if "." in key]:
        (root / beside).write_text(options.pop(beside))
    if "csv" in options:
        (tmp_path / "labels.csv").write_text(options["csv"])
        options["csv"] = str(tmp_path / "labels.csv")
    first = labelled(root, layout=name, **options).sources[0]
    assert (first.name, first.label) == (files[0], label)


def test_a_layout_needs_a_reader():
    with pytest.raises(TypeError, match="read"):
        Layout(about="a name without a reader")  # type: ignore[call-arg]
    fields = {field.name for field in dataclasses.fields(LabelOptions)}
    assert {key.field for key in KEYS.values()} <= fields
    assert {key for layout in LAYOUTS.values() for key in layout.keys} <= set(KEYS)
