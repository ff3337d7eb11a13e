"""Corpora of speakers and emotions, from small trees named as they are; sentences in common stay on one side of the split."""

from __future__ import annotations

import pytest

from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.errors import DatasetError, UsageError

from .helpers import labelled, tree

CREMA_SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")


def facts(outcome) -> dict[str, tuple[str, str, str, str]]:
    return {source.path.name: (source.label, source.speaker, source.emotion, source.group) for source in outcome.sources}


def test_speaker_folders(tmp_path):
    root = tree(tmp_path / "all", "anna/hello.wav", "anna/long/bye.wav", "bruno/hello.wav", "readme.wav")
    outcome = labelled(root, layout="speakers")
    assert facts(outcome) == {"hello.wav": ("bruno", "bruno", "", "hello"), "bye.wav": ("anna", "anna", "long", "bye")}
    assert outcome.left_out == [("readme.wav", "not in a speaker's folder")]
    inputs = [root / "anna", root / "bruno"]
    assert {source.label for source in labelled(inputs, layout="speakers").sources} == {"anna", "bruno"}


def test_speaker_folders_with_emotions(tmp_path):
    root = tree(tmp_path, "anna/angry/a.wav", "anna/happy/b.wav", "bruno/angry/c.wav")
    label = lambda domain: {name: entry[0] for name, entry in facts(labelled(root, layout="speakers", domain=domain)).items()}
    assert label("speaker") == {"a.wav": "anna", "b.wav": "anna", "c.wav": "bruno"}
    assert label("emotion") == {"a.wav": "angry", "b.wav": "happy", "c.wav": "angry"}
    assert label("both") == {"a.wav": "anna/angry", "b.wav": "anna/happy", "c.wav": "bruno/angry"}
    tree(tmp_path, "bruno/d.wav")
    with pytest.raises(DatasetError, match=r"1 recordings have no emotion, such as bruno/d\.wav"):
        labelled(root, layout="speakers", domain="both")


def test_vctk(tmp_path):
    names = ("wav48/p225/p225_001_mic1.flac", "wav48/p225/p225_001_mic2.flac", "wav48/s5/s5_024_mic1.flac", "wav48/p225/notes.flac")
    outcome = labelled(tree(tmp_path, *names), layout="vctk")
    assert facts(outcome) == {"p225_001_mic1.flac": ("p225", "p225", "", "001"), "s5_024_mic1.flac": ("s5", "s5", "", "024")}
    assert dict(outcome.left_out)["wav48/p225/p225_001_mic2.flac"] == "the second microphone"
    older = labelled(tree(tmp_path / "older", "p226/p226_003.wav"), layout="vctk")
    assert facts(older) == {"p226_003.wav": ("p226", "p226", "", "003")}


def test_esd(tmp_path):
    names = ("0011/Angry/0011_000351.wav", "0011/Neutral/evaluation/0011_000001.wav", "0012/Surprise/test/0012_001750.wav", "0012/x.wav")
    outcome = labelled(tree(tmp_path, *names), layout="esd")
    assert facts(outcome) == {
        "0011_000351.wav": ("0011/angry", "0011", "angry", "1"),
        "0011_000001.wav": ("0011/neutral", "0011", "neutral", "1"),
        "0012_001750.wav": ("0012/surprise", "0012", "surprise", "350"),
    }
    assert {source.path.name: source.split for source in outcome.sources} == {
        "0011_000351.wav": "",
        "0011_000001.wav": "validation",
        "0012_001750.wav": "test",
    }
    assert {entry[0] for entry in facts(labelled(tmp_path, layout="esd", domain="emotion")).values()} == {"angry", "neutral", "surprise"}


def test_ravdess(tmp_path):
    names = ("Actor_12/03-01-06-01-02-01-12.wav", "Actor_01/03-01-01-01-01-02-01.wav", "Actor_01/03-01-09-01-01-02-01.wav")
    names = (*names, f"audio_speech_actors_01-24/{names[0]}")  # as in copies that hold everything twice
    outcome = labelled(tree(tmp_path, *names), layout="ravdess")
    assert facts(outcome) == {
        "03-01-06-01-02-01-12.wav": ("fearful", "actor-12", "fearful", "01-01-02-01"),
        "03-01-01-01-01-02-01.wav": ("neutral", "actor-01", "neutral", "01-01-01-02"),
    }
    assert len(outcome.left_out) == 2


def test_crema_d(tmp_path):
    outcome = labelled(tree(tmp_path, "1001_IEO_ANG_HI.wav", "1091_WSI_NEU_XX.wav", "1001_IEO_XXX_HI.wav"), layout="crema-d")
    assert facts(outcome) == {
        "1001_IEO_ANG_HI.wav": ("anger", "1001", "anger", "IEO"),
        "1091_WSI_NEU_XX.wav": ("neutral", "1091", "neutral", "WSI"),
    }
    assert len(outcome.left_out) == 1


def test_emo_db(tmp_path):
    outcome = labelled(tree(tmp_path, "03a01Fa.wav", "16b10Wb.wav", "16b10Qb.wav"), layout="emo-db", domain="both")
    assert facts(outcome) == {
        "03a01Fa.wav": ("03/happiness", "03", "happiness", "a01"),
        "16b10Wb.wav": ("16/anger", "16", "anger", "b10"),
    }
    assert len(outcome.left_out) == 1


def test_digits_by_speaker(tmp_path):
    outcome = labelled(tree(tmp_path, "7_jackson_3.wav", "7_nicolas_0.wav"), layout="fsdd", domain="speaker")
    assert {source.label for source in outcome.sources} == {"jackson", "nicolas"}


def test_csv(tmp_path):
    root = tree(tmp_path / "in", "1.wav", "2.wav")
    table = tmp_path / "table.csv"
    table.write_text("path,speaker,emotion,sentence,split\n1.wav,anna,sad,x,\n2.wav,bruno,glad,x,test\n", encoding="utf-8")
    outcome = labelled(root, csv=str(table), domain="both")
    assert facts(outcome) == {"1.wav": ("anna/sad", "anna", "sad", "x"), "2.wav": ("bruno/glad", "bruno", "glad", "x")}
    assert [source.split for source in outcome.sources] == ["", "test"]
    with pytest.raises(DatasetError, match="expected path,label"):
        labelled(root, csv=str(table))
    table.write_text("path,speaker\n1.wav,anna\n2.wav,\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"1 recordings have no speaker, such as 2\.wav"):
        labelled(root, csv=str(table), domain="speaker")


def test_domain_without_a_corpus(tmp_path):
    with pytest.raises(UsageError, match="needs to know who speaks"):
        labelled(tree(tmp_path, "a/1.wav"), labels="folder", domain="speaker")
    with pytest.raises(UsageError, match="expected speaker, emotion or both"):
        labelled(tmp_path, layout="speakers", domain="age")


def test_a_sentence_is_in_one_split_whoever_says_it(tmp_path):
    names = [f"{speaker}/{number:03d}.wav" for speaker in ("a", "b", "c") for number in range(200)]
    options = SplitOptions()
    places: dict[str, set[str]] = {}
    for number, source in enumerate(labelled(tree(tmp_path, *names), layout="speakers").sources):
        places.setdefault(source.group, set()).add(options.split_of(source, f"{number * 7919:064x}"))
    assert all(len(splits) == 1 for splits in places.values())
    counts = [next(iter(splits)) for splits in places.values()]
    assert 8 <= counts.count("test") <= 35
    assert 8 <= counts.count("validation") <= 35


@pytest.mark.parametrize(
    "layout, sentences",
    [
        (
            "crema-d",
            [f"1001_{code}_ANG_HI.wav" for code in ["IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI"]],
        ),
        ("emo-db", [f"03{code}Fa.wav" for code in ["a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10"]]),
    ],
)
def test_corpora_of_few_sentences_have_some_in_every_split(tmp_path, layout, sentences):
    splits = {SplitOptions().split_of(source, "0" * 64) for source in labelled(tree(tmp_path, *sentences), layout=layout).sources}
    assert splits == {"train", "validation", "test"}
