"""Gaps, clipping and hum: what is found and what is not, exact formulas, and that everything else stays bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import gansynth_cli as gan_audio
from gansynth_cli.cli.app import main
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.enhance.process import Chain
from gansynth_cli.inference.enhance.steps import STEPS, read_steps
from gansynth_cli.inference.repair import gap_filling
from gansynth_cli.inference.repair.clipping import ClippingStep
from gansynth_cli.inference.repair.findings import RepairStep, Stream
from gansynth_cli.inference.repair.gaps import LISTED, NOT_A_NUMBER, ZEROS, GapStep, read_gaps
from gansynth_cli.inference.repair.hum import HumStep
from gansynth_cli.signal.autoregression import ar_coefficients, declip, extrapolate, fill_missing

from .conftest import write_wav

RATE = 16000


def voice(seconds: float = 1.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A low voice: harmonics with a little vibrato, over noise 50 dB below, [samples]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * 120 * (t + 0.0003 * np.sin(2 * np.pi * 4 * t))
    return 0.25 * sum(np.sin(k * phase + k) / k for k in range(1, 12)) + rng.normal(0, 0.0008, t.size)


def snr(truth: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(truth**2) / np.sum((truth - found) ** 2)))


def surveyed(step: RepairStep, audio: np.ndarray, rate: int = RATE, block: int = 10**9):
    survey = step.survey(len(audio), rate)
    for start in range(0, audio.shape[1], block):
        survey.add(audio[:, start : start + block])
    return survey.finish()


def streamed(stream: Stream, audio: np.ndarray, block: int = 10**9) -> np.ndarray:
    parts = [stream.process(audio[:, start : start + block]) for start in range(0, audio.shape[1], block)]
    return np.concatenate([*parts, stream.finish()], axis=1)


def repaired(step: RepairStep, audio: np.ndarray, rate: int = RATE, block: int = 10**9) -> np.ndarray:
    return streamed(step.stream(surveyed(step, audio, rate, block), len(audio), rate), audio, block)


# Autoregression.


def test_missing_samples_have_the_least_prediction_error():
    """The banded equations give the least-squares solution of the prediction errors, written out as a matrix."""
    x, order = voice(0.02), 12
    missing = np.zeros(len(x), bool)
    missing[[100, 101, 102, 150, 200, 201]] = True
    a = ar_coefficients(np.where(missing, 0.0, x) * np.hanning(len(x) + 2)[1:-1], order)
    errors = np.zeros((len(x) + order, len(x)))
    for column in range(len(x)):
        errors[column : column + order + 1, column] = a
    expected = np.linalg.lstsq(errors[:, missing], -errors[:, ~missing] @ x[~missing], rcond=None)[0]
    filled = fill_missing(x, missing, order, rounds=1)
    np.testing.assert_allclose(filled[missing], expected, atol=1e-9)
    np.testing.assert_array_equal(filled[~missing], x[~missing])


def test_the_model_is_that_of_the_normal_equations():
    x, order = voice(0.05), 6
    r = np.array([x[: len(x) - k] @ x[k:] for k in range(order + 1)])
    r[0] *= 1 + 1e-6
    matrix = np.array([[r[abs(i - j)] for j in range(order)] for i in range(order)])
    np.testing.assert_allclose(ar_coefficients(x, order)[1:], np.linalg.solve(matrix, -r[1:]), rtol=1e-6)
    np.testing.assert_array_equal(ar_coefficients(np.zeros(50), order), [1, 0, 0, 0, 0, 0, 0])


def test_extrapolation_continues_a_tone():
    t = np.arange(2000)
    tone = np.sin(0.2 * t) + 0.5 * np.sin(0.53 * t + 1)
    assert snr(tone[1800:1900], extrapolate(tone[:1800], 100, 40)) > 30


def test_declipping_obeys_the_clip_level():
    x = voice(0.2)
    clipped = np.clip(x, -0.3, 0.35)
    above, below = clipped == 0.35, clipped == -0.3
    restored = declip(clipped, above, below, 64)
    assert (restored[above] >= 0.35).all()
    assert (restored[below] <= -0.3).all()
    np.testing.assert_array_equal(restored[~(above | below)], clipped[~(above | below)])
    assert snr(x[above | below], restored[above | below]) > snr(x[above | below], clipped[above | below]) + 15


def test_arrays_are_repaired_as_files_are(damaged: Path, tmp_path: Path, capsys):
    audio, rate = soundfile.read(damaged / "nan.wav", dtype="float32")
    made, found = gan_audio.repair(audio, rate)
    assert found["gaps"]["spans"][0]["samples"] == 10
    assert run([damaged / "nan.wav", "-o", tmp_path / "a.wav", "--do", "gaps,clipping,hum"], capsys)[0] == 0
    np.testing.assert_array_equal(made, soundfile.read(tmp_path / "a.wav", dtype="float32")[0])
    assert made.shape == audio.shape
    with pytest.raises(UsageError, match="NaN"):
        gan_audio.repair(audio, rate, ["hum"])
    with pytest.raises(UsageError, match="removes no noise"):
        gan_audio.repair(audio, rate, ["denoise"])


# Gaps.


def test_gaps_are_told_from_silence():
    x = voice(3.0)
    x[8000:8100] = 0  # a dropout
    x[16000:16010] = 0  # too short to be one
    x[20000:20400] *= np.linspace(1, 0, 400) ** 2
    x[20400:20800] = 0  # silence after a fade
    x[30000:30050], x[30050:30060] = 0, np.nan
    x[40000] = np.inf
    x[:200] = 0
    x[-100:] = np.nan
    for block in (10**9, 777, 16000):
        found = surveyed(GapStep(), x[None], block=block).spans
        assert [(span.start, span.end, span.kind) for span in found] == [
            *[(8000, 8100, ZEROS), (30000, 30060, NOT_A_NUMBER), (40000, 40001, NOT_A_NUMBER), (47900, 48000, NOT_A_NUMBER)]
        ], block
    assert not surveyed(GapStep(), np.zeros((2, 5000)))
    assert not surveyed(GapStep(), 1e-4 * voice()[None].round(4))


@pytest.mark.parametrize("rate, channels", [(8000, 1), (16000, 2), (44100, 1), (96000, 3)])
def test_short_gaps_are_filled_and_nothing_else_changes(rate: int, channels: int):
    x = np.stack([voice(1.2, rate, seed) for seed in range(channels)])
    damaged = x.astype(np.float32)
    gap = slice(rate // 2, rate // 2 + round(0.015 * rate))
    damaged[-1, gap] = np.nan
    damaged[0, rate : rate + round(0.005 * rate)] = 0
    whole = repaired(GapStep(), damaged, rate)
    np.testing.assert_array_equal(whole, repaired(GapStep(), damaged, rate, 3001))
    untouched = np.isfinite(damaged) & (damaged != 0)
    np.testing.assert_array_equal(whole[untouched], damaged[untouched])
    assert whole.dtype == np.float32
    assert snr(x[-1, gap], whole[-1, gap]) > 20
    assert snr(x[0, rate : rate + round(0.005 * rate)], whole[0, rate : rate + round(0.005 * rate)]) > 20


def test_long_gaps(tmp_path: Path, monkeypatch):
    """Up to 300 ms the vocoder fills, unless prediction foresees the audio; longer ones are left, or silenced where they are NaN."""
    (tmp_path / "list.txt").write_text("0.5\t0.6\tclick\n# remark\n\n3.0, 3.5\n")
    called = []

    def fake(before, after, between, sample_rate):
        called.append(len(between))
        return np.full(len(between), 0.05)

    monkeypatch.setattr(gap_filling, "vocoded", fake)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, 5 * RATE)
    x[2 * RATE : 2 * RATE + 8000] = np.nan
    step = GapStep(tmp_path / "list.txt")
    finding = surveyed(step, x[None])
    assert [(span.kind, span.length) for span in finding.spans] == [(LISTED, 1600), (NOT_A_NUMBER, 8000), (LISTED, 8000)]
    assert "2 too long to fill" in finding.summary()
    assert [span["filled"] for span in finding.to_json()["spans"]] == [True, False, False]
    out = streamed(step.stream(finding, 1, RATE), x[None], 4000)[0]
    assert called == [1600]
    np.testing.assert_allclose(out[8200:9400], 0.05)
    np.testing.assert_array_equal(out[2 * RATE + 400 : 2 * RATE + 7600], 0)
    np.testing.assert_array_equal(np.delete(out, np.r_[8000:9600, 32000:40000]), np.delete(x, np.r_[8000:9600, 32000:40000]))
    tone = np.sin(0.3 * np.arange(2 * RATE))
    held = gap_filling.GapFiller().fill(tone, np.arange(2 * RATE) // 1600 == 10, 16000, 17600, RATE)
    assert called == [1600]
    assert snr(tone[16000:17600], held) > 12


@pytest.mark.slow
def test_the_vocoder_fills_a_long_gap_of_speech():
    x = voice(2.0)
    made = gap_filling.vocoded(x[:16000], x[17600:], np.zeros(1600), RATE)
    assert made.shape == (1600,)
    assert np.isfinite(made).all()
    assert 0.2 < np.sqrt(np.mean(made**2)) / np.sqrt(np.mean(x[16000:17600] ** 2)) < 3


@pytest.mark.parametrize("text, message", [("1 2\nx y\n", "line 2"), ("2 1\n", "0 <= START < END"), ("# nothing\n", "is empty")])
def test_lists_of_gaps_that_cannot_be_read(tmp_path: Path, text: str, message: str):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_gaps(path)


# Clipping.


def test_clipping_is_told_from_loud_audio():
    loud = voice(1.0)
    low = np.round(np.sin(2 * np.pi * 30 * np.arange(96000) / 96000) * 32767) / 32768  # flat at the top because it is quantised
    for audio in (loud, loud.round(2), low, np.zeros(4000), np.random.default_rng(0).uniform(-1, 1, 16000)):
        assert not surveyed(ClippingStep(), audio[None])
    found = surveyed(ClippingStep(), np.stack([np.clip(loud, -0.3, 9), loud]), block=1000)
    assert found
    np.testing.assert_allclose(found.levels, [[np.nan, -0.3], [np.nan, np.nan]], atol=1e-4)
    assert "clipped at -10.5 dBFS" in found.summary()


@pytest.mark.parametrize("rate", [8000, 48000])
def test_clipped_peaks_are_restored_and_nothing_else_changes(rate: int):
    x = np.stack([voice(0.8, rate), voice(0.8, rate, 1)])
    clipped = np.clip(x, -0.35, 0.4)
    out = repaired(ClippingStep(), clipped, rate)
    np.testing.assert_array_equal(out, repaired(ClippingStep(), clipped, rate, 1234))
    at = clipped != x
    np.testing.assert_array_equal(out[~at & (np.abs(clipped) < 0.349)], clipped[~at & (np.abs(clipped) < 0.349)])
    assert snr(x[at], out[at]) > snr(x[at], clipped[at]) + 8


# Hum.


@pytest.mark.parametrize("hz, rate", [(49.94, 8000), (60.03, 48000)])
def test_hum_is_found_and_removed(hz: float, rate: int):
    rng = np.random.default_rng(0)
    t = np.arange(8 * rate) / rate
    quiet = rng.normal(0, 0.003, t.size)
    hum = sum(0.02 / k * np.sin(2 * np.pi * hz * k * t + k) for k in (1, 2, 3, 5))
    found = surveyed(HumStep(), (quiet + hum)[None], rate, 5000)
    assert abs(found.fundamental - hz) < 0.01
    assert list(found.lines) == [1, 2, 3, 5]
    out = repaired(HumStep(), np.stack([quiet + hum, quiet - hum]).astype(np.float32), rate, 30_000)
    assert out.dtype == np.float32
    middle = slice(2 * rate, 6 * rate)
    assert snr(quiet[middle], out[0, middle]) > snr(quiet[middle], (quiet + hum)[middle]) + 25


def test_hum_is_told_from_notes_and_noise():
    rng = np.random.default_rng(0)
    t = np.arange(8 * RATE) / RATE
    for audio in (rng.normal(0, 0.1, t.size), np.sin(2 * np.pi * 55 * t), np.sin(2 * np.pi * 50 * t) * (t % 1 < 0.3), np.zeros(t.size)):
        assert not surveyed(HumStep(), audio[None])
    assert surveyed(HumStep(), voice()[None]).to_json()["reason"] == "shorter than 4 s"


# The steps in their order, and the command.


def test_steps_run_in_the_documented_order():
    assert [kind.name for kind in STEPS] == ["gaps", "clipping", "hum", "dry", "denoise", "bandwidth"]
    assert read_steps("denoise, hum,gaps,hum") == ("gaps", "hum", "denoise")
    for kind in STEPS:
        if kind.opener is None:
            with pytest.raises(UsageError, match=f"The step {kind.name} needs a .* model, and none is bundled"):
                read_steps(f"gaps,{kind.name}")
    for wrong in ("", "declick"):
        with pytest.raises(UsageError, match="There is no step"):
            read_steps(wrong)


def test_a_chain_passes_every_sample_through_all_streams():
    class Late:
        """Doubles, and holds back three samples."""

        def __init__(self):
            self.held = np.zeros((1, 0))

        def process(self, audio):
            audio = np.concatenate([self.held, 2 * audio], axis=1)
            cut = max(0, audio.shape[1] - 3)
            self.held = audio[:, cut:]
            return audio[:, :cut]

        def finish(self):
            return self.held

    x = np.arange(10.0)[None]
    chain = Chain([Late(), Late(), Late()])
    parts = [chain.process(x[:, :1]), chain.process(x[:, 1:]), chain.finish()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), 8 * x)
    assert Chain([]).finish() is None


def run(arguments: list, capsys) -> tuple[int, dict, str]:
    capsys.readouterr()
    code = main(["enhance", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    folder = tmp_path / "rec"
    x = voice(1.0)
    gap = x.copy()
    gap[8000:8100] = 0
    write_wav(folder / "gap.wav", gap, RATE)
    write_wav(folder / "deep" / "clip.wav", np.clip(4 * x, -1, 1), RATE)
    soundfile.write(folder / "clip.flac", np.clip(4 * x, -1, 1), RATE)
    write_wav(folder / "fine.wav", x, RATE)
    x[3000:3010] = np.nan
    write_wav(folder / "nan.wav", x, RATE, "FLOAT")
    return folder


def test_repair_on_the_command_line(damaged: Path, tmp_path: Path, capsys):
    command = [damaged, "-o", tmp_path / "out", "--do", "hum,clipping,gaps", "--keep-removed", "--report", tmp_path / "found.json"]
    code, outcome, err = run(command, capsys)
    assert code == 0, err
    assert json.loads((tmp_path / "found.json").read_text()) == outcome
    found = {entry["name"]: entry for entry in outcome["files"]}
    assert found["gap.wav"]["found"]["gaps"]["spans"][0]["start"] == 0.5
    assert found["deep/clip.wav"]["found"]["clipping"]["found"]
    assert found["fine.wav"]["note"] == "nothing found"
    assert outcome["model"] is None
    assert soundfile.info(tmp_path / "out" / "deep" / "clip.wav").subtype == "FLOAT"
    assert "written as FLOAT" in found["deep/clip.wav"]["note"]
    assert "--headroom 6" in found["clip.flac"]["note"]
    for name in ("gap.wav", "deep/clip.wav", "fine.wav", "nan.wav"):
        given, written = (soundfile.read(folder / name)[0] for folder in (damaged, tmp_path / "out"))
        removed = soundfile.read((tmp_path / "out" / name).with_suffix(".removed.wav"))[0]
        np.testing.assert_allclose(written + removed, np.nan_to_num(given), atol=1e-6)
        assert (written == given).all() == (name == "fine.wav")


def test_headroom_keeps_the_encoding(damaged: Path, tmp_path: Path, capsys):
    code, outcome, _ = run([damaged / "clip.flac", "-o", tmp_path / "a.flac", "--do", "clipping", "--headroom", 12], capsys)
    assert code == 0
    assert outcome["clipped_samples"] == 0
    given, written = soundfile.read(damaged / "clip.flac")[0], soundfile.read(tmp_path / "a.flac")[0]
    inside = np.abs(given) < 0.99
    np.testing.assert_allclose(written[inside], given[inside] * 10 ** (-12 / 20), atol=2**-15)


def test_detecting_writes_nothing_but_the_report(damaged: Path, tmp_path: Path, capsys):
    before = sorted(tmp_path.rglob("*"))
    code, outcome, err = run([damaged, "--detect-only", "--do", "gaps,clipping,hum,denoise", "--report", tmp_path / "r.json"], capsys)
    assert code == 0, err
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "r.json"])
    assert "5 of 5 recordings examined" in err
    entry = next(entry for entry in outcome["files"] if entry["name"] == "nan.wav")
    assert entry["found"]["gaps"]["spans"] == [
        {"channel": 1, "start": 0.1875, "seconds": 0.000625, "start_sample": 3000, "samples": 10, "kind": "NaN", "filled": True}
    ]
    assert -70 < entry["found"]["denoise"]["noise_floor_dbfs"] < 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--do", "dry"], "needs a dereverberation model"),
        (["--do", "bandwidth"], "needs a bandwidth extender"),
        (["--gaps", "list.txt"], "the step gaps is not asked for"),
        (["--do", "gaps", "--gaps", "missing.txt"], "does not exist"),
        (["--do", "hum", "--headroom", "-3"], "expected dB from 0 to 24"),
        (["--keep-noise", "--keep-removed"], "write the same"),
        (["--do", "hum", "--strength", "12"], "--strength is for the step denoise"),
    ],
)
def test_wrong_options_are_refused(damaged: Path, tmp_path: Path, capsys, arguments: list[str], message: str):
    code, _, err = run([damaged, "-o", tmp_path / "out", *arguments], capsys)
    assert (code, message in err) == (2, True), err


def test_pipes_and_lists_for_several(damaged: Path, tmp_path: Path, capsys):
    code, _, err = run(["-", "-o", tmp_path / "a.wav", "--do", "hum"], capsys)
    assert (code, "--do hum cannot be combined with a pipe" in err) == (2, True), err
    (tmp_path / "list.txt").write_text("0.1 0.11\n")
    code, _, err = run([damaged, "-o", tmp_path / "out", "--do", "gaps", "--gaps", tmp_path / "list.txt"], capsys)
    assert (code, "belongs to one recording" in err) == (2, True), err
    (tmp_path / "lists" / "deep").mkdir(parents=True)
    (tmp_path / "lists" / "deep" / "clip.txt").write_text("0.1 0.11\n")
    code, outcome, err = run([damaged, "-o", tmp_path / "out", "--do", "gaps", "--gaps", tmp_path / "lists"], capsys)
    assert code == 0, err
    listed = [entry["name"] for entry in outcome["files"] if any(span["kind"] == LISTED for span in entry["found"]["gaps"]["spans"])]
    assert listed == ["deep/clip.wav"]


# Real recordings.


@pytest.mark.realdata
def test_repair_of_read_speech(data_folder: Path):
    """Read sentences: interpolation and declipping lie far above what linear interpolation and the clipped samples give."""
    files = sorted((data_folder / "speech" / "librivox").rglob("*.flac"))
    x = np.concatenate([soundfile.read(file)[0] for file in files])[: 16 * RATE]
    level = np.convolve(x**2, np.ones(160) / 160, "same")
    starts = [place for place in range(RATE, len(x) - RATE, RATE // 3) if level[place + 80] > np.median(level)]
    damaged = x.copy()
    for start in starts:
        damaged[start : start + 160] = np.nan
    filled = repaired(GapStep(), damaged[None])[0]
    gains = [snr(x[s : s + 160], filled[s : s + 160]) - snr(x[s : s + 160], np.linspace(x[s - 1], x[s + 160], 160)) for s in starts]
    assert len(starts) > 15
    assert np.mean(gains) > 6
    clipped = np.clip(x, -0.5 * np.abs(x).max(), 0.5 * np.abs(x).max())
    assert snr(x, repaired(ClippingStep(), clipped[None])[0]) > snr(x, clipped) + 9
