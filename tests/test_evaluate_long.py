"""Pairs in parts, and judges that come as optional packages (here: stand-ins for them)."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.text.edit_distance import edit_distance
from gansynth_cli.errors import MissingExtraError, UsageError
from gansynth_cli.metrics.figure import MetricError
from gansynth_cli.metrics.pairs import figures, learned, matching
from gansynth_cli.metrics.pairs.matching import PairResult, PairSettings, PairTask, measure_task, paired_parts
from gansynth_cli.metrics.pairs.report import evaluate_pairs

from .conftest import write_wav

RATE = 8000
KEYS = ("si_sdr", "snr", "correlation")


@pytest.fixture
def in_parts(monkeypatch):
    """Recordings above 2 s are measured in parts of 1 s."""
    monkeypatch.setattr(matching, "MAX_WHOLE_SECONDS", 2.0)
    monkeypatch.setattr(matching, "PART_SECONDS", 1.0)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))


def measured(folder: Path, reference: np.ndarray, estimate: np.ndarray, **options) -> PairResult:
    files = [write_wav(folder / f"{name}.wav", audio, options.pop("rate", RATE)) for name, audio in (("r", reference), ("e", estimate))]
    return measure_task(PairTask("r", files[0], (("s", files[1]),), files[1]), PairSettings(KEYS, **options))[0]


def test_parts_give_the_mean_of_their_figures(tmp_path: Path, in_parts):
    clean = noise(3.5)
    clean[RATE : 2 * RATE] = 0  # the second part is silent: it has no value
    added = 0.1 * noise(3.5, 1) * np.repeat([1, 2, 3, 4], [RATE, RATE, RATE, RATE // 2])
    result = measured(tmp_path, clean, clean + added)
    spans = [slice(0, 8000), slice(8000, 16000), slice(16000, 24000), slice(24000, 28000)]
    expected = [10 * np.log10(max(np.sum(clean[span] ** 2), 1e-9) / np.sum(added[span] ** 2)) for span in spans]
    assert result.parts == 4
    assert result.values["snr"] == pytest.approx(np.average([expected[0], expected[2], expected[3]], weights=[2, 2, 1]), abs=0.01)
    assert result.snr == 10  # the median of the parts with speech, in steps of 5
    assert (result.seconds, result.lag, result.cut, result.unusable) == (3.5, 0, 0, "")


def test_parts_equal_the_whole_where_figures_are_sums(tmp_path: Path, in_parts, monkeypatch):
    """Whole or in parts, a shifted copy is found, shifted back, and measured alike."""
    clean = noise(3.2)
    late = np.concatenate([np.zeros(37), clean])[: len(clean)]
    parts = measured(tmp_path, clean, late, align=True)
    monkeypatch.setattr(matching, "MAX_WHOLE_SECONDS", 100.0)
    whole = measured(tmp_path, clean, late, align=True)
    assert (parts.lag, whole.lag) == (37, 37)
    assert parts.parts == 4
    assert min(parts.values["si_sdr"], whole.values["si_sdr"]) > 60


@pytest.mark.parametrize("change, reason", [(-1600, "0.2 s shorter"), (1600, "0.2 s longer")])
def test_parts_of_other_lengths(tmp_path: Path, in_parts, change: int, reason: str):
    clean = noise(3.0)
    other = clean[:change] if change < 0 else np.concatenate([clean, noise(0.2)])
    assert reason in measured(tmp_path, clean, other).unusable
    result = measured(tmp_path, clean, other[: len(clean) - 100])
    assert (result.unusable[:3], result.cut) == (("0.2", -1600) if change < 0 else ("", -100))


def test_parts_hold_little(tmp_path: Path, in_parts):
    long = write_wav(tmp_path / "long.wav", np.tile(noise(1.0), 60))
    for first, second in paired_parts(PairResult("", ""), long, long, RATE, align=False):
        assert len(first) == len(second) <= RATE
    stereo = write_wav(tmp_path / "stereo.wav", noise(1.0)[:, None] * [1, 1])
    with pytest.raises(MetricError, match="2 channels"):
        next(paired_parts(PairResult("", ""), long, stereo, RATE, align=False))


def test_the_report_says_what_was_measured_in_parts(tmp_path: Path, in_parts):
    write_wav(tmp_path / "r" / "a.wav", noise(2.5))
    write_wav(tmp_path / "e" / "a.wav", 0.5 * noise(2.5))
    report = evaluate_pairs([tmp_path / "e"], tmp_path / "r", metrics="si_sdr")
    assert any("1 of 1 files are long; their figures are means over parts of" in note for note in report["notes"])


# Judges.


@pytest.mark.parametrize(
    "wanted, found, errors",
    [("a b c", "a b c", 0), ("a b c", "", 3), ("a b c", "a x c d", 2), ("a b c d", "b c", 2), ("a", "b a", 1)],
)
def test_word_errors(wanted: str, found: str, errors: int):
    assert edit_distance(wanted.split(), found.split()) == errors


def test_word_error_rate_by_a_recogniser(tmp_path: Path, monkeypatch):
    """The stand-in hears two words in a loud recording, of which one is lost in a quiet one."""
    heard = []

    class Model:
        def __init__(self, folder, **settings):
            assert settings["local_files_only"]

        def transcribe(self, audio, language, **settings):
            heard.append(language)
            text = " Hello, World!" if np.abs(audio).max() > 0.3 else " hello"
            return [SimpleNamespace(text=text)], SimpleNamespace(language="en")

    package = ModuleType("faster_whisper")
    package.WhisperModel = Model
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    learned._whisper_model.cache_clear()
    for name in ("model.bin", "config.json"):
        (tmp_path / name).touch()
    loud = noise(2.0)
    assert figures.measure_pair(loud, 0.1 * loud, RATE, ["wer"], str(tmp_path)) == {"wer": 0.5}
    assert heard == [None, "en"]
    assert "no word" not in str(figures.measure_pair(loud, loud, RATE, ["wer"], str(tmp_path))["wer"])
    assert "too short" in figures.measure_pair(loud[:800], loud[:800], RATE, ["wer"], str(tmp_path))["wer"]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(figures.FIGURES["wer"].__class__, "installed", property(lambda figure: figure.extra != "judges"))
    with pytest.raises(MissingExtraError, match="DistillMOS") as caught:
        figures.choose("distillmos", ())
    assert "gan-audio[judges]" in caught.value.hint
    assert "wer" not in figures.choose("all", ())[1]
    assert "wer" in figures.choose("all", (), whisper=True)[1]
    monkeypatch.setattr(figures.FIGURES["wer"].__class__, "installed", property(lambda figure: True))
    with pytest.raises(UsageError, match="needs a recogniser"):
        figures.choose("wer", ())
    write_wav(tmp_path / "a.wav", noise(1.0))
    files = [str(tmp_path / "a.wav"), "--reference", str(tmp_path / "a.wav")]
    assert main(["evaluate", "pairs", *files, "--metrics", "wer", "--whisper", str(tmp_path)]) == 2
    assert "no model.bin and no config.json" in capsys.readouterr().err


def test_distill_mos_by_its_package(monkeypatch):
    calls = []

    class Model:
        def eval(self):
            pass

        def __call__(self, audio):
            calls.append(audio.shape)
            return np.array([[3.25]])

    package, torch = ModuleType("distillmos"), ModuleType("torch")
    package.ConvTransformerSQAModel = Model
    torch.inference_mode = nullcontext
    torch.from_numpy = lambda audio: audio
    monkeypatch.setitem(sys.modules, "distillmos", package)
    monkeypatch.setitem(sys.modules, "torch", torch)
    learned._distill_mos_model.cache_clear()
    loud = noise(2.0)
    assert figures.measure_pair(loud, loud, RATE, ["distillmos"]) == {"distillmos": 3.25}
    assert calls == [(1, 32000)]
    learned._distill_mos_model.cache_clear()
