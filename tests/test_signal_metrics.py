"""The measures of pairs against hand-computed values, independent recomputation, published numbers, and their failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

from gansynth_cli.errors import GanAudioError, MissingExtraError, UsageError
from gansynth_cli.metrics import figure
from gansynth_cli.metrics.pairs import composite, figures, perceptual, pitch, spectral, waveform
from gansynth_cli.metrics.pairs.waveform import MetricError
from gansynth_cli.signal.mel import mel_filter_bank
from gansynth_cli.signal.pitch import swift_tracker

from .test_evaluate_pairs import noise, speech

RATE = 16000
EXTRAS = {name: figures.FIGURES[key].installed for name, key in (("pesq", "pesq"), ("pystoi", "stoi"), ("speechmos", "dnsmos_sig"))} | {
    "swift_f0": figures.FIGURES["log_f0_rmse"].installed
}


def needs(name: str):
    return pytest.mark.skipif(not EXTRAS[name], reason=f"{name} is not installed (extra metrics)")


def at_snr(clean: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    background = noise(seed, len(clean))
    return clean + background * np.sqrt(np.mean(clean**2) / np.mean(background**2) / 10 ** (snr / 10))


def short_burst() -> np.ndarray:
    """10 ms of sound in a second of silence: too short to be an utterance."""
    t = np.arange(RATE) / RATE
    return (np.abs(t - 0.5) < 0.005) * np.sin(2 * np.pi * 1000 * t)


# Sample by sample


def test_si_sdr_is_the_ratio_of_the_orthogonal_parts():
    t = np.arange(1600) / 1600
    reference, other = np.sin(2 * np.pi * 10 * t), np.sin(2 * np.pi * 25 * t)
    for ratio in (0.0, 10.0, 37.0):
        estimate = reference + other * 10 ** (-ratio / 20)
        assert waveform.si_sdr(reference, estimate) == pytest.approx(ratio, abs=1e-9)
        assert waveform.si_sdr(reference, -3.0 * estimate + 0.2) == pytest.approx(ratio, abs=1e-9)  # scale, sign and offset play no part
    assert waveform.si_sdr(reference, reference) > 200
    assert waveform.si_sdr(speech(0)[:-1], speech(0)[1:]) < 30  # a delay of one sample does


def test_segmental_snr_is_limited_frame_by_frame():
    reference = 0.1 * noise(0, 16000)
    assert waveform.segmental_snr(reference, 1.1 * reference, RATE) == pytest.approx(20.0, abs=1e-6)
    assert waveform.segmental_snr(reference, reference, RATE) == 35.0
    assert waveform.segmental_snr(reference, -9 * reference, RATE) == -10.0
    assert waveform.segmental_snr(reference, 0 * reference, RATE) == pytest.approx(0.0, abs=1e-6)
    half = reference.copy()
    half[8000:] *= 1.1
    assert waveform.segmental_snr(reference, half, RATE) == pytest.approx(27.5, abs=0.2)


def test_snr_and_correlation():
    reference = noise(0, 4000)
    other = noise(1, 4000)
    reference, other = reference - reference.mean(), other - other.mean()
    other -= reference * (other @ reference) / (reference @ reference)
    other *= np.sqrt((reference @ reference) / (other @ other))
    assert waveform.snr(reference, reference + 0.1 * other) == pytest.approx(20.0, abs=1e-9)
    assert waveform.waveform_correlation(reference, 2 * (reference + other)) == pytest.approx(np.sqrt(0.5), abs=1e-9)
    assert waveform.waveform_correlation(reference, -reference) == pytest.approx(-1.0)
    with pytest.raises(MetricError, match="constant"):
        waveform.waveform_correlation(reference, np.ones(4000))


def test_mixed_snr_looks_at_the_speech_alone():
    tone = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    clean = np.concatenate([tone, np.zeros(6 * RATE)])
    background = 0.01 * noise(0, len(clean))
    background *= 0.01 / np.sqrt(np.mean(background**2))
    assert waveform.mixed_snr(clean, clean + background, RATE) == pytest.approx(20.0, abs=0.05)
    assert waveform.snr(clean, clean + background) == pytest.approx(20 - 10 * np.log10(4), abs=0.05)


def test_speech_is_active_within_40_db_of_its_loudest():
    """A tenth of the time loud, a tenth 30 dB below, the rest 50 dB below: the mean of the first two."""
    t = np.arange(RATE)
    tone = np.sqrt(2) * np.sin(2 * np.pi * 500 * t / RATE)
    level = np.full(RATE, 10 ** (-50 / 20))
    level[:1600], level[1600:3200] = 1.0, 10 ** (-30 / 20)
    assert waveform.active_power(tone * level, RATE, window_seconds=0.01) == pytest.approx((1 + 10**-3) / 2, rel=1e-3)
    assert waveform.active_power(np.zeros(100), RATE) == 0.0


@pytest.mark.parametrize("lag", [-37, 0, 1, 200])
def test_the_delay_is_found_to_the_sample(lag):
    clean = np.pad(speech(3), 300)
    late = np.roll(at_snr(clean, 5), lag)
    assert waveform.lag_samples(clean, late, 250) == lag
    assert waveform.lag_samples(clean, -late, 250) == lag
    assert waveform.lag_samples(clean, late[:-100], 250) == lag


def test_silence_has_no_delay():
    assert waveform.lag_samples(np.zeros(100), np.zeros(100), 10) == 0


# Composite


def test_the_published_example_of_the_composite_measures():
    """The program of Hu and Loizou prints these for its example files sp09.wav and enhanced_logmmse.wav."""
    found = composite.composite_from(pesq=2.255732, llr=0.681368, wss=49.671978, segmental=3.991727)
    assert found == pytest.approx({"csig": 3.3050, "cbak": 2.6160, "covl": 2.7133}, abs=5e-5)
    assert composite.composite_from(4.64, 0, 0, 35) == {"csig": 5.0, "cbak": 5.0, "covl": 5.0}
    assert composite.composite_from(1.0, 3, 120, -10) == {"csig": 1.0, "cbak": pytest.approx(1.0), "covl": 1.0}


def test_llr_against_a_solver_frame_by_frame():
    clean, other = speech(0), at_snr(speech(0), 10)
    distances = []
    for first, second in zip(*next(waveform.frame_blocks((clean, other), RATE)), strict=True):
        lags = [np.correlate(frame, frame, "full")[len(frame) - 1 :][:17] for frame in (first, second)]
        if lags[0][0] < 1e-12:
            continue
        filters = [np.concatenate([[1.0], -solve_toeplitz(row[:16], row[1:])]) for row in lags]
        matrix = toeplitz(lags[0])
        distances.append(np.log((filters[1] @ matrix @ filters[1]) / (filters[0] @ matrix @ filters[0])))
    expected = np.sort(distances)[: round(0.95 * len(distances))].mean()
    assert composite.log_likelihood_ratio(clean, other, RATE) == pytest.approx(expected, rel=1e-3)


def test_wss_against_the_definition_band_by_band():
    clean, other = speech(1, 0.5), at_snr(speech(1, 0.5), 5)
    levels = [composite._band_levels(frames, RATE) for frames in next(waveform.frame_blocks((clean, other), RATE))]
    distances = []
    for first, second in zip(*levels, strict=True):
        weights = []
        for level in (first, second):
            slope = np.diff(level)
            weight = np.empty(24)
            for band in range(24):
                position = band
                if slope[band] > 0:
                    while position < 24 and slope[position] > 0:
                        position += 1
                    peak = level[position - 1]
                else:
                    while position >= 0 and slope[position] <= 0:
                        position -= 1
                    peak = level[position + 1]
                weight[band] = 20 / (20 + level.max() - level[band]) / (1 + peak - level[band])
            weights.append(weight)
        weight = sum(weights) / 2
        distances.append((weight * (np.diff(first) - np.diff(second)) ** 2).sum() / weight.sum())
    expected = np.sort(distances)[: round(0.95 * len(distances))].mean()
    assert composite.weighted_spectral_slope(clean, other, RATE) == pytest.approx(expected, rel=1e-9)


def test_equal_signals_have_no_distance_and_noise_adds_some():
    clean = speech(2)
    for measure in (composite.log_likelihood_ratio, composite.weighted_spectral_slope):
        assert measure(clean, clean, RATE) == pytest.approx(0.0, abs=1e-9)
        assert 0 < measure(clean, at_snr(clean, 20), RATE) < measure(clean, at_snr(clean, 5), RATE)


@needs("pesq")
def test_composite_of_equal_signals_and_monotone_in_snr():
    clean = at_snr(speech(0, 3.0), 60, seed=1)  # digital silence has a segmental SNR of -10 dB even where nothing was changed
    assert composite.composite(clean, clean, RATE) == {"csig": 5.0, "cbak": 5.0, "covl": 5.0}
    ratings = [composite.composite(clean, at_snr(clean, snr), RATE) for snr in (0, 10, 20, 40)]
    for name in ("csig", "cbak", "covl"):
        values = [rating[name] for rating in ratings]
        assert values == sorted(values), name
        assert values[-1] > values[0] + 0.5


# Measures made by others


@needs("pesq")
def test_pesq_of_equal_signals_its_order_and_its_failures():
    clean = speech(0, 3.0)
    assert perceptual.pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=1e-3)
    scores = [perceptual.pesq_wb(clean, at_snr(clean, snr), RATE) for snr in (0, 10, 20, 40)]
    assert scores == sorted(scores)
    assert 1.0 < scores[0] < 1.1 < 1.9 < scores[-1] < 4.65
    quiet = perceptual.pesq_wb(0.01 * clean, 0.01 * at_snr(clean, 20), RATE)
    assert quiet == pytest.approx(scores[2], abs=0.05)  # level plays no part
    with pytest.raises(MetricError, match="16000 Hz"):
        perceptual.pesq_wb(clean, clean, 8000)
    with pytest.raises(MetricError, match="quarter of a second"):
        perceptual.pesq_wb(clean[:2000], clean[:2000], RATE)
    click = short_burst()
    with pytest.raises(MetricError, match="no utterance"):
        perceptual.pesq_wb(click, click, RATE)


@needs("pesq")
def test_pesq_of_a_long_recording_is_that_of_its_parts(monkeypatch):
    monkeypatch.setattr(perceptual, "_LONG_SECONDS", 5.0)
    monkeypatch.setattr(perceptual, "_PART_SECONDS", 2.0)
    clean = np.concatenate([speech(0, 2.0), np.zeros(2 * RATE), speech(1, 2.0)])  # the middle part has no speech
    other = at_snr(clean, 15)
    halves = [perceptual.pesq_wb(clean[s], other[s], RATE) for s in (slice(0, 2 * RATE), slice(4 * RATE, None))]
    assert perceptual.pesq_wb(clean, other, RATE) == pytest.approx(np.mean(halves))


@needs("pystoi")
def test_stoi_and_estoi():
    clean = speech(0, 3.0)
    for measure in (perceptual.stoi, perceptual.estoi):
        assert measure(clean, clean, RATE) == pytest.approx(1.0, abs=1e-3)
        scores = [measure(clean, at_snr(clean, snr), RATE) for snr in (-10, 0, 10, 30)]
        assert scores == sorted(scores)
        assert measure(clean, at_snr(clean, 0), RATE) == scores[1]  # the same again
        with pytest.raises(MetricError, match="STOI"):
            measure(clean[:4000], clean[:4000], RATE)
        with pytest.raises(MetricError, match="too short"):
            measure(clean[:50], clean[:50], RATE)


@needs("speechmos")
@pytest.mark.slow
def test_dnsmos_prefers_clean_speech():
    clean = speech(0, 3.0)
    noisy = perceptual.dnsmos(at_snr(clean, 0), RATE)
    good = perceptual.dnsmos(clean, RATE)
    assert set(good) == {"sig", "bak", "ovrl"}
    assert good["bak"] > noisy["bak"]
    assert perceptual.dnsmos(30 * clean, RATE)["ovrl"] < 5  # beyond full scale: clipped, not refused
    with pytest.raises(MetricError, match="16000"):
        perceptual.dnsmos(clean, 8000)
    with pytest.raises(MetricError, match="silent"):
        perceptual.dnsmos(0 * clean, RATE)


@pytest.mark.parametrize(
    "package, call",
    [
        ("pesq", lambda x: perceptual.pesq_wb(x, x, RATE)),
        ("pystoi", lambda x: perceptual.stoi(x, x, RATE)),
        ("onnxruntime", lambda x: perceptual.dnsmos(x, RATE)),
        ("swift_f0", lambda x: pitch.f0_track(x, RATE)),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, package, call):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    perceptual._dnsmos_model.cache_clear()
    swift_tracker.cache_clear()
    with pytest.raises(MissingExtraError) as caught:
        call(speech(0))
    assert caught.value.hint == "pip install 'gan-audio[metrics]'"


# Spectrograms


def test_known_spectral_distances():
    reference = 0.05 * noise(0, RATE)
    ten_times = 10 * reference
    assert spectral.log_spectral_distance(reference, ten_times) == pytest.approx(2.0, abs=1e-9)  # log10 of power
    assert spectral.mel_l1(reference, np.e * reference, RATE) == pytest.approx(1.0, abs=1e-9)
    assert spectral.multi_resolution_stft_distance(reference, 2 * reference) == pytest.approx(1 + np.log(2), abs=1e-3)
    assert spectral.mcd(reference, ten_times, RATE) == pytest.approx(0.0, abs=1e-9)  # level is the coefficient that is left out
    assert spectral.log_spectral_distance(reference, 0 * reference) > 4  # silence out is a value, and a bad one


def test_mcd_is_the_sum_over_the_coefficients():
    clean, other = speech(0, 0.5), at_snr(speech(0, 0.5), 10)
    first, second = (spectral._log_mel(audio, RATE) for audio in (clean, other))
    angle = np.pi * (np.arange(80) + 0.5) / 80
    squares = np.zeros(len(first))
    for order in range(1, 14):
        coefficient = 2 / 80 * (first - second) @ np.cos(order * angle)
        squares += coefficient**2
    loudness = 10 * np.log10((np.exp(first) ** 2).sum(axis=1))
    expected = (10 / np.log(10) * np.sqrt(2 * squares))[loudness > loudness.max() - 50].mean()
    assert spectral.mcd(clean, other, RATE) == pytest.approx(expected, rel=1e-9)


def test_mel_l1_and_mr_stft_frame_by_frame():
    clean, other = speech(0, 0.25), at_snr(speech(0, 0.25), 10)

    def magnitudes(audio: np.ndarray, fft: int, hop: int, window: int) -> np.ndarray:
        frames, taper = [], np.hanning(window + 1)[:-1]
        for start in range(0, max(1, len(audio) - window + hop), hop):
            piece = audio[start : start + window]
            frames.append(np.abs(np.fft.rfft(np.pad(piece, (0, window - len(piece))) * taper, fft)))
        return np.array(frames)

    bank = mel_filter_bank(RATE, 1024, 80, scale="slaney", norm="area")
    mel = [np.log(np.maximum(magnitudes(audio, 1024, 256, 1024) @ bank, 1e-5)) for audio in (clean, other)]
    assert spectral.mel_l1(clean, other, RATE) == pytest.approx(np.abs(mel[0] - mel[1]).mean(), rel=1e-6)
    total = 0.0
    for fft, hop, window in spectral.RESOLUTIONS:
        first, second = (np.maximum(magnitudes(audio, fft, hop, window), 10**-3.5) for audio in (clean, other))
        convergence = np.sqrt(((first - second) ** 2).sum() / (first**2).sum())
        total += convergence + np.abs(np.log(first) - np.log(second)).mean()
    assert spectral.multi_resolution_stft_distance(clean, other) == pytest.approx(total / 3, rel=1e-6)


def test_pitch_counts_frames_voiced_in_both_alone(monkeypatch):
    """Tracks of known errors: an octave in an unvoiced frame counts for nothing, a tenth in half of the others is its root mean square."""
    hz, voiced = np.full(20, 100.0), np.ones(20, bool)
    tracks = {1.0: (hz, voiced), 2.0: (hz.copy(), voiced.copy())}
    tracks[2.0][0][:8] *= np.exp(0.1)
    tracks[2.0][0][16:] *= 2
    tracks[2.0][1][16:] = False
    monkeypatch.setattr(pitch, "_cached_track", lambda samples, rate: tracks[float(np.frombuffer(samples, np.float32)[0])])
    first, second = np.ones(RATE), np.full(RATE, 2.0)
    assert pitch.log_f0_rmse(first, second, RATE) == pytest.approx(np.sqrt(0.1**2 * 8 / 16), rel=1e-9)
    assert pitch.voicing_error(first, second, RATE) == pytest.approx(4 / 20)


def test_psnr_of_a_level_change_and_of_equal_pictures():
    reference = 0.05 * noise(0, RATE)
    # 8 dB of 80 is a tenth of the picture's range: 20 dB, but for the few points at the bottom.
    assert spectral.spectrogram_psnr(reference, reference * 10 ** (-8 / 20), RATE) == pytest.approx(20.0, abs=0.05)
    assert spectral.spectrogram_psnr(reference, reference, RATE) == spectral.MAX_PSNR


def test_ssim_against_scikit_image():
    """Values of skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)."""
    i, j = np.mgrid[:40, :32]
    picture = 0.5 + 0.4 * np.sin(0.3 * i + 0.05 * j * j)
    for other, expected in (
        (np.clip(picture + 0.2 * np.cos(0.9 * j + 0.2 * i), 0, 1), 0.8697184227199091),
        (np.clip(0.7 * picture + 0.1, 0, 1), 0.9347764767495687),
        (1 - picture, -0.9443847876847798),
    ):
        assert spectral.structural_similarity(picture, other) == pytest.approx(expected, abs=1e-9)


def test_spectral_measures_order_noise():
    clean = speech(0)
    noisy = [at_snr(clean, snr) for snr in (0, 15, 30)]
    for key, sign in (("psnr", 1), ("ssim", 1), ("lsd", -1), ("mr_stft", -1), ("mel_l1", -1), ("mcd", -1)):
        values = [sign * figures.FIGURES[key].compute(figures.Pair(clean, other, RATE)) for other in noisy]
        assert values == sorted(values), key


@pytest.mark.parametrize("seconds", [1.0, 1.37])
@pytest.mark.parametrize("key", ["segmental_snr", "llr", "wss", "lsd", "mr_stft", "mel_l1", "mcd", "psnr", "ssim"])
def test_blocks_of_frames_change_nothing(key, seconds, monkeypatch):
    """Long recordings are measured in blocks: small ones give what one block gives, up to the order of the sums."""
    clean = speech(0, seconds)
    other = at_snr(clean, 10)
    compute = {
        "segmental_snr": waveform.segmental_snr,
        "llr": composite.log_likelihood_ratio,
        "wss": composite.weighted_spectral_slope,
        **{
            k: (lambda a, b, rate, k=k: figures.measure_pair(a, b, rate, [k])[k])
            for k in ("lsd", "mr_stft", "mel_l1", "mcd", "psnr", "ssim")
        },
    }[key]
    whole = compute(clean, other, RATE)
    monkeypatch.setattr(waveform, "_BLOCK_FRAMES", 7)
    monkeypatch.setattr(spectral, "_BLOCK", 8192)
    monkeypatch.setattr(spectral, "_SSIM_BLOCK", 5)
    assert compute(clean, other, RATE) == pytest.approx(whole, rel=1e-12)


# Pitch


@needs("swift_f0")
def test_pitch_errors_of_a_semitone_and_of_silence():
    def voice(hz: float) -> np.ndarray:
        t = np.arange(2 * RATE) / RATE
        return 0.05 * sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 20))

    low, high = voice(150.0), voice(150.0 * 2 ** (1 / 12))
    assert pitch.log_f0_rmse(low, high, RATE) == pytest.approx(np.log(2) / 12, abs=0.004)
    assert pitch.log_f0_rmse(low, low, RATE) == 0.0
    half = low.copy()
    half[RATE:] = 0.003 * noise(0, RATE)
    assert pitch.voicing_error(low, half, RATE) == pytest.approx(0.5, abs=0.05)
    assert pitch.voicing_error(low, low, RATE) == 0.0
    with pytest.raises(MetricError, match="voiced"):
        pitch.log_f0_rmse(low, 0.05 * noise(0, len(low)), RATE)
    with pytest.raises(MetricError, match="voiced"):
        pitch.voicing_error(0.05 * noise(0, len(low)), low, RATE)


# All together


@pytest.mark.parametrize("key", list(figures.FIGURES))
def test_every_measure_refuses_what_it_cannot_measure(key):
    if not figures.FIGURES[key].installed:
        pytest.skip("a package of the extra metrics is not installed")
    clean = speech(0)
    broken = clean.copy()
    broken[5] = np.nan
    cases = {
        "silent": (0 * clean, clean),
        "different lengths": (clean, clean[:-1]),
        "NaN": (clean, broken),
        "no samples": (clean[:0], clean[:0]),
    }
    for words, (reference, estimate) in cases.items():
        if key.startswith("dnsmos") and words in ("silent", "different lengths"):  # it looks at the estimate alone
            continue
        found = figures.measure_pair(reference, estimate, RATE, [key])[key]
        assert isinstance(found, str), words
        assert words in found or words == "NaN"


@pytest.mark.parametrize("key", list(figures.FIGURES))
def test_every_measure_is_documented(key):
    text = (Path(__file__).parent.parent / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert f"`{key}`" in text


@needs("pesq")
def test_other_rates_are_resampled_for_pesq_and_one_failure_is_all_of_the_composite():
    import soxr

    clean = speech(0, 2.0)
    noisy = at_snr(clean, 20)
    up = [soxr.resample(audio, RATE, 48000) for audio in (clean, noisy)]
    keys = ("pesq", "csig", "si_sdr")
    here, there = figures.measure_pair(clean, noisy, RATE, keys), figures.measure_pair(*up, 48000, keys)
    assert there["pesq"] == pytest.approx(here["pesq"], abs=0.1)
    assert there["csig"] == pytest.approx(here["csig"], abs=0.1)
    click = short_burst()
    failed = figures.measure_pair(click, click, RATE, ("pesq", "csig", "covl", "si_sdr"))
    assert failed["pesq"] == failed["csig"] == failed["covl"]
    assert "no utterance" in failed["pesq"]
    assert failed["si_sdr"] > 100


def test_the_choice_of_measures(monkeypatch):
    assert figures.choose("si_sdr, lsd,si_sdr", ()) == (("si_sdr", "lsd"), ())
    with pytest.raises(UsageError, match="pesk"):
        figures.choose("pesk", ())
    monkeypatch.setattr(figure, "find_spec", lambda name: None if name in ("pesq", "speechmos") else object())
    there, left_out = figures.choose("", figures.ENHANCEMENT)
    assert set(left_out) == {"pesq", "csig", "cbak", "covl", "dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"}
    assert set(there) | set(left_out) == set(figures.ENHANCEMENT)
    assert figures.choose("enhancement", ()) == (there, left_out)
    assert set(figures.choose("synthesis", ())[0]) == set(figures.SYNTHESIS) - {"pesq"}
    with pytest.raises(GanAudioError, match="not installed"):
        figures.choose("composite", ())
