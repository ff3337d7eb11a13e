"""`evaluate voices`: every figure on signals whose answer is known, and the command on a small data set."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import UsageError
from gansynth_cli.metrics.clips import classifier
from gansynth_cli.metrics.figure import MetricError
from gansynth_cli.metrics.voices import conversion, domain_classifier, figures, scorers
from gansynth_cli.metrics.voices import report as conversion_report

from .conftest import write_wav
from .convert_fakes import voice

RATE = 16000


@pytest.fixture(scope="module")
def speech() -> conversion.Speech:
    return conversion.analyse(voice(2.0, RATE), RATE)


def test_the_same_recording_has_no_distance(speech):
    frames = conversion.side_by_side(speech, speech)
    assert conversion.mel_cepstral_distortion(speech, speech, frames) == 0
    assert conversion.energy_correlation(speech, speech, frames) == pytest.approx(1.0)
    assert conversion.waveform_correlation(speech, speech) == pytest.approx(1.0)
    pitch = conversion.pitch_figures(speech, speech, frames)
    assert pitch["log_f0_rmse"] == pitch["voicing_error"] == pitch["f0_shift"] == 0
    assert pitch["log_f0_correlation"] == pytest.approx(1.0)


def test_level_does_not_count(speech):
    louder = conversion.analyse(0.3 * voice(2.0, RATE), RATE)
    frames = conversion.side_by_side(speech, louder)
    assert conversion.mel_cepstral_distortion(speech, louder, frames) < 0.25  # the floor of the logarithm moves a little


def test_mcd_of_a_known_difference(speech):
    other = conversion.Speech(speech.audio, speech.cepstra.copy(), speech.energy_db, speech.active, speech.ln_f0)
    other.cepstra[:, 2] += 0.5
    frames = conversion.side_by_side(speech, speech)
    by_hand = 10 / np.log(10) * np.sqrt(2 * 0.5**2)
    assert conversion.mel_cepstral_distortion(speech, other, frames) == pytest.approx(by_hand)
    # A ripple of ln |H| by a cos 3 w is a coefficient c3 of a: the scale of a mel-cepstrum.
    mel_axis = np.pi * (np.arange(80) + 0.5) / 80
    from scipy.fft import dct

    found = dct(0.7 * np.cos(3 * mel_axis), type=2, norm="ortho")[1:25] * np.sqrt(2 / 80)
    np.testing.assert_allclose(found, 0.7 * (np.arange(1, 25) == 3), atol=1e-12)


def test_alignment_takes_timing_out():
    audio = voice(2.0, RATE)
    late = np.concatenate([np.zeros(4000, np.float32), audio[:16000], np.repeat(audio[16000:16800], 1), audio[16000:]])
    first, second = conversion.analyse(audio, RATE), conversion.analyse(late, RATE)
    with pytest.raises(MetricError, match="differ by"):
        conversion.side_by_side(first, second)
    frames = conversion.align(first, second)
    assert frames[0][0] <= 10
    assert (np.diff(frames[0]) >= 0).all()
    assert (np.diff(frames[1]) >= 0).all()
    aligned = conversion.mel_cepstral_distortion(first, second, frames)
    n = min(len(first.cepstra), len(second.cepstra))
    straight = conversion.mel_cepstral_distortion(first, second, (np.arange(n), np.arange(n)))
    assert aligned < 0.5 * straight
    assert abs(conversion.pitch_figures(first, second, frames)["f0_shift"]) < 0.5


def test_a_shift_of_pitch_is_measured():
    from gansynth_cli.inference.convert import world

    audio = voice(2.0, RATE)
    made = world.resynthesise(audio, conversion.CONVENTION, np.full(conversion.CONVENTION.frames(len(audio)), np.log(2) / 3))
    first, second = conversion.analyse(audio, RATE), conversion.analyse(made, RATE)
    frames = conversion.side_by_side(first, second)
    pitch = conversion.pitch_figures(first, second, frames)
    assert pitch["f0_shift"] == pytest.approx(4.0, abs=0.4)
    assert pitch["log_f0_rmse"] == pytest.approx(np.log(2) / 3, abs=0.08)
    assert conversion.energy_correlation(first, second, frames) > 0.8
    assert abs(conversion.waveform_correlation(first, second)) < 0.5  # though every word is there


def test_what_cannot_be_measured_says_why(speech):
    with pytest.raises(MetricError, match="silent"):
        conversion.analyse(np.zeros(RATE), RATE)
    noise = conversion.analyse(0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    with pytest.raises(MetricError, match="voiced"):
        conversion.mean_ln_f0(noise)
    with pytest.raises(MetricError, match="voiced in both"):
        conversion.pitch_figures(noise, noise, conversion.side_by_side(noise, noise))


@pytest.mark.parametrize(
    "reference, heard, wrong, words",
    [
        ("please hold the line", "please hold the line", 0, 4),
        ("Please, hold the LINE.", "please hold a line", 1, 4),
        ("please hold", "", 2, 2),
        ("one", "one two three", 2, 1),
        ("", "noise", 1, 0),
    ],
)
def test_word_errors(reference, heard, wrong, words):
    assert conversion.word_errors(reference, heard) == (wrong, words)


def test_spread_and_correlation():
    assert conversion.spread(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3)
    assert conversion.spread(np.zeros((1, 5))) == 0
    assert conversion.correlation(np.ones(5), np.arange(5.0)) == 0
    assert conversion.correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)


def test_windows_leave_silence_out():
    audio = np.concatenate([voice(1.0), np.zeros(16_000, np.float32), voice(1.0, seed=1)])
    windows = domain_classifier.windows_of(audio, 4000)
    assert 3 <= len(windows) <= 8
    assert (np.square(windows).mean(axis=1) > 1e-6).all()
    assert domain_classifier.windows_of(np.ones(10, np.float32), 4000).shape == (1, 4000)


# The whole.


def _coloured(seconds: float, seed: int, label: str) -> np.ndarray:
    """Two voices: one dark and low, one bright and an octave higher."""
    from gansynth_cli.data.audio.audio_file import resample

    audio = voice(2 * seconds, 8000, seed)
    if label == "high":
        audio = resample(audio[:, None], 16000, 8000)[:, 0]  # twice as fast
    audio = audio[: round(seconds * 8000)]
    return np.convolve(audio, [1, -0.9] if label == "high" else [0.5, 0.5], "same").astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("voices")
    for label in ("high", "low"):
        for take in range(40):
            write_wav(root / "rec" / label / f"{label}_{take:02d}.wav", _coloured(1.7, take, label))
    command = ["prepare", root / "rec", "-o", root / "data", "--sample-rate", 8000, "--labels", "folder", "--clip-samples", 0]
    assert main([str(part) for part in [*command, "--validation", 0.4, "--test", 0.3]]) == 0
    return root / "data"


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> tuple[Path, Path]:
    """Good conversions of low to high, one that is none, one that is silent; and their sources."""
    root = tmp_path_factory.mktemp("converted")
    for take in range(100, 104):
        write_wav(root / "source" / f"{take}.wav", _coloured(1.2, take, "low"))
        kind = "low" if take == 102 else "high"
        made = np.zeros(9600, np.float32) if take == 103 else _coloured(1.2, take, kind)
        mark = {"synthetic": True, "converted_from": "low", "converted_to": "high"}
        audio_file.write(root / "made" / f"{take}.wav", made, 8000, tag=mark)
    return root / "made", root / "source"


@pytest.mark.slow
def test_the_report(data: Path, converted: tuple[Path, Path], tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(classifier, "_MIN_STEPS", 100)  # the two are easy to tell apart
    made, source = converted
    asked = ["evaluate", "voices", made, "--data", data, "--source", source, "--cache", tmp_path / "cache", "-o", tmp_path / "report.json"]
    code = main([str(part) for part in asked])
    out, err = capsys.readouterr()
    assert code == 1  # one file is silent
    assert "103.wav: not measured: silent" in err
    report = json.loads((tmp_path / "report.json").read_text())
    facts = report["classifier"]
    assert facts["learnt_from"] == "validation"
    assert facts["accuracy_on_real"] > 0.9
    assert facts["shuffled_labels"] < 0.9
    assert facts["chance"] == 0.5
    found = report["systems"][0]["figures"]
    assert found["to_target"]["value"] == pytest.approx(0.5)  # two of four: what is silent is not converted
    assert found["to_target"]["failed"] == 1
    assert found["still_source"]["value"] == pytest.approx(1 / 3)
    assert found["f0_shift"]["value"] > 3
    (group,) = report["systems"][0]["groups"].values()
    assert (group["source"], group["target"], group["files"]) == ("low", "high", 4)
    assert group["figures"]["to_target"]["value"] == pytest.approx(0.5)
    off, difference = (group["figures"][key]["value"] for key in ("f0_off_target", "f0_difference"))
    assert abs(difference) <= off + 1e-9
    mine = [entry for entry in report["files"] if (entry["source"], entry["target"]) == (group["source"], group["target"])]
    signed = [entry["values"]["f0_difference"] for entry in mine if not entry["unusable"]]
    assert difference == pytest.approx(np.mean(signed))
    assert off == pytest.approx(np.mean(np.abs(signed)))
    assert "taken for target" in out
    assert {entry["predicted"] for entry in report["files"]} == {"high", "low", ""}
    # Cached: the same classifier again, and with the targets' own recordings.
    again = [*asked[:-2], "--target", made, "--json"]
    assert main([str(part) for part in again]) == 1
    second = json.loads(capsys.readouterr().out)
    assert second["classifier"] == facts
    assert second["systems"][0]["figures"]["mcd_target"]["value"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["clips", "--data", "DATA", "--jobs", "2"], "No such option: --jobs"),
        (["--data", "DATA"], "No folder of converted recordings"),
        (["nowhere", "--data", "DATA"], "is not a folder"),
        (["SOURCE", "--data", "DATA"], "no recording with a known target"),
        (["MADE", "--data", "DATA", "--model", "MADE/100.wav"], "is not a run folder"),
        (["MADE", "--data", "DATA", "--text", "MADE/100.wav"], "cannot be read"),
    ],
)
def test_usage(arguments, message, data: Path, converted: tuple[Path, Path], capsys):
    names = {"DATA": data, "MADE": converted[0], "SOURCE": converted[1]}
    given = [str(Path(str(names[part.split("/")[0]]), *part.split("/")[1:])) if part.split("/")[0] in names else part for part in arguments]
    assert main(["evaluate", "voices", *given]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err


# Figures by hand.


def case(source: str, target: str, predicted: str, **known) -> SimpleNamespace:
    """What the figures of one file read, with the domains low and high at 100 and 200 Hz."""
    domains = {"low": figures.Domain("low", np.log(100.0)), "high": figures.Domain("high", np.log(200.0))}
    made = conversion.Speech(np.zeros(0), np.zeros((0, 24)), np.zeros(0), np.zeros(0, bool), np.full(20, np.log(150.0)))
    found = SimpleNamespace(
        file=figures.ConvertedFile("a.wav", source, target, predicted=predicted),
        context=SimpleNamespace(sources=None, targets=None, words=False, discriminator=None, domains=domains),
        source=domains.get(source),
        target=domains.get(target),
        made=made,
        **known,
    )
    found.f0_difference = figures.Conversion.f0_difference.func(found) if target in domains else None
    return found


def test_figures_of_one_file():
    found = figures.measure(case("low", "high", "high"))
    assert found == {
        "to_target": 1.0,
        "still_source": 0.0,
        "f0_off_target": pytest.approx(12 * np.log2(200 / 150)),
        "f0_difference": pytest.approx(12 * np.log2(150 / 200)),
    }
    assert figures.measure(case("low", "high", "low"))["still_source"] == 1.0
    same = figures.measure(case("high", "high", "high"))  # nobody to get away from
    assert (same["to_target"], same["still_source"]) == (1.0, 0.0)
    assert figures.measure(case("low", "", "low")) == {"still_source": 1.0}  # anonymised: no target
    assert figures.measure(case("", "high", "low"))["to_target"] == 0.0
    assert "still_source" not in figures.measure(case("", "high", "low"))


def test_speaker_vectors_are_compared_with_every_enrolled_voice():
    assert "nearest_speaker" not in figures.measure(case("low", "high", "high"))  # nobody is enrolled
    found = case("low", "high", "high", vector=np.array([0.6, 0.8]))
    for name, vectors in (("low", [[1.0, 0.0]]), ("high", [[0.0, 1.0], [0.28, 0.96]])):
        found.context.domains[name].vectors = np.array(vectors)
    measured = figures.measure(found)
    assert measured["nearest_speaker"] == 1.0
    mean = np.array([0.28, 1.96]) / np.hypot(0.28, 1.96)
    assert measured["speaker_cosine_target"] == pytest.approx(0.6 * mean[0] + 0.8 * mean[1])
    found.vector = np.array([1.0, 0.0])
    assert figures.measure(found)["nearest_speaker"] == 0.0
    real = conversion_report.real_cosines(found.context.domains)
    assert real["nearest"] == 1.0
    assert real["same"] == pytest.approx([0.96] * 3)  # of high's two recordings to each other; low has but one


def test_without_a_real_recording_there_is_no_distance():
    nobody = case("low", "high", "high")
    nobody.target.mean_ln_f0 = float("nan")
    with pytest.raises(MetricError, match="no real recording"):
        figures.Conversion.f0_difference.func(nobody)


def converted_files(features: list[list[float]], variances: list[list[float]], target: str = "high") -> list[figures.ConvertedFile]:
    pairs = zip(features, variances, strict=True)
    return [figures.ConvertedFile(f"{i}", "low", target, features=np.array(f), variance=np.array(v)) for i, (f, v) in enumerate(pairs)]


def test_diversity_and_global_variance_are_relative_to_real_recordings():
    domains = {"high": figures.Domain("high", variance=np.array([1.0, 1.0]), spread=2.0), "low": figures.Domain("low")}
    items = converted_files([[0.0, 0.0], [3.0, 4.0]], [[4.0, 1.0], [4.0, 1.0]])
    diversity, variance = figures.SET_FIGURES
    assert figures.over_targets(diversity, items, domains)["value"] == pytest.approx(5 / 2)
    assert figures.over_targets(variance, items, domains)["value"] == pytest.approx(2.0)  # the geometric mean of 4 and 1
    items[1].unusable = "silent"
    assert "because" in figures.over_targets(diversity, items, domains)
    both = [*converted_files([[0.0], [1.0]], [[1.0, 1.0]] * 2), *converted_files([[0.0], [1.0]], [[1.0, 1.0]] * 2, "low")]
    domains["low"] = figures.Domain("low", variance=np.array([0.25, 0.25]), spread=0.5)
    assert figures.over_targets(diversity, both, domains)["value"] == pytest.approx((1 / 2 + 1 / 0.5) / 2)  # the mean over targets
    assert figures.over_targets(variance, both, domains)["value"] == pytest.approx((1 + 4) / 2)


def test_files_that_failed_count_as_wrong_in_shares_of_successes_only():
    items = [
        figures.ConvertedFile("a", "", "", {"to_target": 1.0, "f0_shift": 4.0}),
        figures.ConvertedFile("b", "", "", {"to_target": 1.0, "f0_shift": "no source of this name"}),
        figures.ConvertedFile("c", "", "", unusable="silent"),
        figures.ConvertedFile("d", "", "", {"to_target": 0.0, "f0_shift": 2.0}),
    ]
    share = figures.average(items, "to_target")
    assert share == {"n": 3, "failed": 1, "value": 0.5, "standard_error": pytest.approx(np.sqrt(1 / 3) / 2)}
    assert figures.average(items, "f0_shift") == {"n": 2, "failed": 2, "value": 3.0, "standard_error": pytest.approx(1.0)}
    assert figures.average(items, "word_error_rate") is None


def test_a_recording_has_the_class_of_the_mean_logarithm_of_its_windows():
    """One window that rules a class out decides against it, however sure the others are."""

    class Windows:
        labels, samples = ("a", "b"), 4

        def classify(self, windows):
            return np.arange(6.0).reshape(3, 2), np.array([[0.9, 0.1], [0.9, 0.1], [1e-9, 1.0]])

    features, probabilities = domain_classifier.DomainClassifier(Windows(), 8, {}).classify(np.ones(8, np.float32), 8)
    np.testing.assert_allclose(features, [2.0, 3.0])
    logarithms = np.array([2 * np.log(0.9) + np.log(1e-9), 2 * np.log(0.1)]) / 3
    np.testing.assert_allclose(probabilities, np.exp(logarithms) / np.exp(logarithms).sum())
    assert probabilities[1] > 0.9


def test_windows_to_stop_by_are_of_other_recordings():
    """Every fifth recording of a domain is withheld; each window says which it is of."""
    parts = [
        (np.full((3, 10), 0.001 * (1 + number), np.float32) * np.linspace(-1, 1, 10), label) for label in (0, 1) for number in range(10)
    ]
    parts = [(windows + np.float32(0.1 * index), label) for index, (windows, label) in enumerate(parts)]
    train, stop = domain_classifier._gather(parts, 0, 100)
    seen = {tuple(audio) for audio in train.audio}
    assert len(train) == 2 * 8 * 3
    assert len(stop) == 2 * 2 * 3
    assert not seen & {tuple(audio) for audio in stop.audio}
    few, few_stop = domain_classifier._gather(parts, 0, 10)
    assert (np.bincount(few.labels).tolist(), np.bincount(few_stop.labels).tolist()) == ([10, 10], [2, 2])


def test_a_file_finds_its_partner(tmp_path: Path):
    for name in ("anna/yes.wav", "bruno/yes.wav", "bruno/no.wav"):
        write_wav(tmp_path / name, np.ones(10))
    files = conversion_report.files_by_name(tmp_path)

    def found(name: str, domain: str) -> str:
        path = figures.partner_of(files, figures.ConvertedFile(name, domain, "carla"), domain)
        return path.relative_to(tmp_path).as_posix() if path else ""

    assert found("carla/bruno/yes.flac", "bruno") == "bruno/yes.wav"  # the outputs' tree is below the target's folder
    assert found("yes.wav", "anna") == "anna/yes.wav"
    assert found("no.wav", "") == "bruno/no.wav"
    assert found("yes.wav", "") == ""  # which of the two?


def test_texts(tmp_path: Path):
    (tmp_path / "t.csv").write_text("file,text\na.wav,hello you\nb.wav,\n")
    assert conversion_report.read_texts(tmp_path / "t.csv") == {"a": "hello you"}
    (tmp_path / "t.csv").write_text("name,words\na,b\n")
    with pytest.raises(UsageError, match="no columns file and text"):
        conversion_report.read_texts(tmp_path / "t.csv")


@pytest.mark.realdata
def test_the_recogniser_hears_english(data_folder: Path):
    pytest.importorskip("pocketsphinx")
    folder = data_folder / "speech" / "librivox"
    texts = {}
    for line in next(folder.rglob("transcription.txt")).read_text().splitlines():
        words, _, name = line.rpartition(" (")
        texts[name.rstrip(")").strip()] = words.replace("<s>", "").replace("</s>", "")
    wrong = total = 0
    for path in sorted(folder.rglob("*.flac"))[:2]:
        audio, rate = audio_file.read(path)
        said = next((text for name, text in texts.items() if path.stem.endswith(name) or name.endswith(path.stem)), "")
        errors, words = conversion.word_errors(said, scorers.recognise(audio[:, 0], rate))
        wrong, total = wrong + errors, total + words
    assert total > 10
    assert wrong / total < 0.5
