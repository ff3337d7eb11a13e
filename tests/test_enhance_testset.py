"""What is held out, and the mixtures that the denoiser's development figures are measured on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.metrics.pairs import waveform

from .conftest import write_wav
from .test_evaluate_pairs import noise, speech

RATE = 16000


@pytest.fixture
def benchmark_modules(monkeypatch):
    folder = Path(__file__).parent.parent / "benchmarks"
    if not folder.is_dir():
        pytest.skip("there is no benchmarks/ beside the tests, as in a source distribution")
    monkeypatch.syspath_prepend(str(folder))
    import enhance_testset
    import held_out

    return held_out, enhance_testset


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A few seconds of made-up voices and noises, in the folders that are held out, and some that are not."""
    for index in range(3):
        write_wav(tmp_path / f"speech/dialogue-nl/cave/nl/jes-m-{index}.wav", speech(index, 2.5), RATE)
        write_wav(tmp_path / f"speech/dialogue-nl/cave/nl/jes-v-{index}.wav", speech(10 + index, 2.5), RATE)
        write_wav(tmp_path / f"speech/prompts-it/carlo/{index}.wav", speech(20 + index, 2.5), RATE)
        write_wav(tmp_path / f"speech/librivox/{index}.wav", speech(30 + index, 4.5), RATE)
        write_wav(tmp_path / f"speech/prompts-en/{index}.wav", speech(40 + index, 1.0), RATE)
        write_wav(tmp_path / f"noise/city/Mill{index}.wav", 0.1 * noise(index, 4 * RATE), RATE)
        write_wav(tmp_path / f"noise/machines/sound02{index}.wav", 0.1 * noise(5 + index, RATE), RATE)
        write_wav(tmp_path / f"noise/machines/sound03{index}.wav", 0.1 * noise(9 + index, RATE), RATE)
    return tmp_path


def test_held_out_files_and_training_files_are_all_files(benchmark_modules, recordings):
    held_out, _ = benchmark_modules
    out, train = held_out.files(recordings), held_out.training_files(recordings, "speech", "noise")
    assert not set(out) & set(train)
    assert len(out) + len(train) == 24
    assert {path.parent.name for path in train} == {"prompts-en", "machines"}
    assert all(path.name.startswith("sound03") for path in train if path.parent.name == "machines")
    assert held_out.matches("noise/opensfx/025_Truck.flac")
    assert not held_out.matches("noise/opensfx/024_Helicopter.flac")


def test_mixtures_repeat_are_balanced_aligned_and_at_their_snr(benchmark_modules, recordings):
    _, enhance_testset = benchmark_modules
    first, again = enhance_testset.TestSet(recordings), enhance_testset.TestSet(recordings)
    mixtures = [first.mixture(index) for index in range(40)]
    for index in (0, 3, 11):
        np.testing.assert_array_equal(mixtures[index].noisy, again.mixture(index).noisy)
    assert not np.array_equal(mixtures[0].noisy, enhance_testset.TestSet(recordings, seed=1).mixture(0).noisy[: len(mixtures[0].noisy)])
    assert [sum(mixture.snr == snr for mixture in mixtures) for snr in (0, 5, 10, 15)] == [10] * 4
    assert sum(mixture.room for mixture in mixtures) == 10
    assert {mixture.voice for mixture in mixtures} == {"small fish", "big fish", "carlo", "librivox"}
    for mixture in mixtures:
        assert 4 * RATE <= len(mixture.noisy) == len(mixture.clean) <= 9.5 * RATE
        assert np.abs(mixture.noisy).max() <= 0.991
        if not mixture.room:
            assert waveform.mixed_snr(mixture.clean, mixture.noisy, RATE) == pytest.approx(mixture.snr, abs=0.01)
            assert waveform.lag_samples(mixture.clean, mixture.noisy, 200) == 0


@pytest.mark.parametrize("rt60", [0.3, 0.7])
def test_rooms_decay_as_they_should_and_start_with_the_direct_sound(benchmark_modules, rt60):
    _, enhance_testset = benchmark_modules
    times = []
    for seed in range(5):
        whole, early = enhance_testset.room_response(np.random.default_rng(seed), rt60)
        assert np.abs(whole).argmax() == 0
        np.testing.assert_array_equal(whole[:700], early[:700])
        assert len(early) == 800
        decay = 10 * np.log10(np.cumsum(np.square(whole)[::-1])[::-1])
        decay -= decay[0]
        times.append(3 * (np.flatnonzero(decay < -25)[0] - np.flatnonzero(decay < -5)[0]) / RATE)
    assert np.median(times) == pytest.approx(rt60, rel=0.2)


@pytest.mark.slow
def test_the_benchmark_as_a_whole(benchmark_modules, recordings, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    import enhance_quality

    report = tmp_path / "report.json"
    common = ["enhance_quality.py", "--data", str(recordings), "--no-dnsmos", "--no-aside", "--jobs", "1", "--systems", "noisy"]
    monkeypatch.setattr("sys.argv", [*common, "--mixtures", "8", "--json", str(report)])
    assert enhance_quality.main() == 0
    table = capsys.readouterr().out
    assert "all (8)" in table
    assert "15 dB (2)" in table
    entry = json.loads(report.read_text())["systems"]["noisy"]
    assert entry["figures"]["all"]["si_sdr"]["n"] == 8
    assert entry["lag_samples_median"] == 0
    # Figures of an earlier report stand beside a new system, on the new run's mixtures.
    rows = [{**row, "system": "other"} for row in json.loads(report.read_text())["rows"][:4]]
    extra, systems = [], {"other": {}}
    enhance_quality.add_earlier(report, 0, rows, extra, systems)
    assert list(systems) == ["noisy", "other"]
    assert len(rows) == 8
    assert enhance_quality.difference(rows, "other", "noisy", "si_sdr") == {"mean": 0.0, "standard_error": 0.0, "n": 4}
    with pytest.raises(SystemExit, match="seed"):
        enhance_quality.add_earlier(report, 1, rows, extra, systems)
