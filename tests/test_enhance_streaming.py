"""The stream around a network: exact at both ends, whatever the rate and the blocks, and aligned to the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

from gansynth_cli.errors import RunError
from gansynth_cli.inference.enhance.enhancers import OPENERS, find_enhancer, open_enhancer
from gansynth_cli.inference.enhance.gain_stream import FrameGrid, GainStream, SharedSpectrum, limit
from gansynth_cli.inference.enhance.window_stream import WindowStream
from gansynth_cli.models.model_file import ENHANCERS

from .enhance_fakes import FormulaNetwork, constant, enhancer_of, gate, write_denoiser

RATES = [8000, 11025, 15999, 16000, 22050, 44100, 48000, 96000]
NAMED_RATES = [8000, 16000, 22050, 44100, 48000]


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    return open_enhancer(write_denoiser(tmp_path_factory.mktemp("model") / "tiny.keras"))


def noise(rows: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (rows, samples)).astype(np.float32)


def run(stream, audio: np.ndarray, block: int | None = None) -> np.ndarray:
    block = block or max(1, audio.shape[1])
    pieces = [stream.process(audio[:, i : i + block]) for i in range(0, audio.shape[1], block)]
    return np.concatenate([*pieces, stream.finish()], axis=1)


# Exactness.


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("gain", [1.0, 1.0 + 0j])
def test_unit_gain_gives_back_every_bit(rate: int, gain: complex):
    audio = noise(2, rate // 3 + 17)
    out = run(enhancer_of(constant(gain)).stream(2, sample_rate=rate), audio, 1000)
    np.testing.assert_array_equal(out, audio)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [1, 2, 255, 256, 257, 9001])
def test_a_constant_gain_scales_every_sample_from_the_first_to_the_last(rate: int, samples: int):
    audio = noise(1, samples)
    for gain in (0.5, 0.5 + 0j):
        out = run(enhancer_of(constant(gain)).stream(1, sample_rate=rate, strength_db=100), audio)
        np.testing.assert_allclose(out, 0.5 * audio, atol=3e-7)


def test_nothing_in_gives_nothing_out():
    stream = enhancer_of().stream(2)
    assert stream.process(np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert stream.finish().shape == (2, 0)
    assert enhancer_of().stream(3).finish().shape == (3, 0)


def test_a_model_hears_the_start_backwards_first(denoiser, monkeypatch):
    """Equal to the enhancement of the mirrored start and the recording, without the former, however it is cut."""
    audio = noise(2, 7000)
    options = {"sample_rate": 16000, "passes": 1}
    monkeypatch.setattr(denoiser, "mirrors", True)
    lead = audio[:, 1599:0:-1]
    expected = run(denoiser.stream(2, **options), np.concatenate([lead, audio], axis=1))[:, 1599:]
    for block in (None, 700, 1601):
        np.testing.assert_allclose(run(denoiser.stream(2, start_seconds=0.1, **options), audio, block), expected, atol=2e-6)
    for samples in (1, 2, 1599):
        assert run(denoiser.stream(2, start_seconds=0.1, **options), audio[:, :samples]).shape == (2, samples)
    assert denoiser.stream(2, start_seconds=0.1).finish().shape == (2, 0)


def test_a_constant_offset_is_hidden_from_the_model_and_removed(denoiser):
    audio, offset = noise(2, 6000), np.array([[0.3], [0]], np.float32)
    audio -= audio[:, :1600].mean(axis=1, keepdims=True)
    enhanced = lambda recording, strength: run(denoiser.stream(2, sample_rate=16000, start_seconds=0.1, strength_db=strength), recording)
    np.testing.assert_allclose(enhanced(audio + offset, 100), enhanced(audio, 100), atol=3e-5)
    left = enhanced(audio + offset, 20) - enhanced(audio, 20)
    np.testing.assert_allclose(left, np.broadcast_to(0.1 * offset, audio.shape), atol=1e-6)  # as noise is: by 20 dB
    np.testing.assert_array_equal(enhanced(audio + offset, 0), audio + offset)
    swell = np.zeros_like(audio)
    swell[:, 800:1600] = 0.3  # a mean, but no offset
    plain = run(denoiser.stream(2, sample_rate=16000), swell)
    np.testing.assert_allclose(run(denoiser.stream(2, sample_rate=16000, start_seconds=0.1), swell), plain, atol=1e-6)


def reference(audio: np.ndarray, rate: int, formula) -> np.ndarray:
    """The module's definition, sample by sample in float64: audio [n] -> enhanced [n]. No interpolation where bins coincide."""
    n, h, bins = len(audio), 256 * rate / 16000, 257
    out = np.zeros(n)
    for t in range(int(np.ceil(n / h)) + 1):
        samples = np.arange(int(np.ceil((t - 1) * h)), int(np.ceil((t + 1) * h)))
        window = np.sin(np.pi / 2 * (samples - (t - 1) * h) / h)
        inside = (samples >= 0) & (samples < n)
        framed = np.where(inside, audio[np.clip(samples, 0, n - 1)], 0) * window
        frequencies = np.arange(bins) * 31.25
        turns = np.exp(-2j * np.pi * np.outer(frequencies, (samples - (t - 1) * h) / rate))
        spectrum = (turns @ framed) * 16000 / rate
        if rate != 16000:
            edge = min(rate, 16000) / 2
            spectrum *= np.cos(np.pi / 2 * np.clip((frequencies / edge - 0.91) / 0.09, 0, 1)) ** 2 * (frequencies <= edge)
        gain = formula(spectrum[None, None].astype(np.complex64))[0, 0].astype(np.complex128)
        own = np.fft.rfft(framed)
        spread = np.interp(np.arange(len(own)) * rate / len(samples), frequencies, gain.real)
        if rate != 16000:
            top = np.abs(gain[(frequencies >= 0.7 * edge) & (frequencies < 0.88 * edge)]).mean()
            share = np.clip((np.arange(len(own)) * rate / len(samples) / edge - 0.88) / 0.03, 0, 1)
            spread = spread + share * (min(top, 1) - spread)
        back = np.fft.irfft(spread * own, len(samples)) * window
        out[samples[inside]] += back[inside]
    return out


@pytest.mark.parametrize("rate, tolerance", [(16000, 2e-6), (8000, 2e-6), (48000, 2e-6), (44100, 4e-4), (22050, 4e-4)])
def test_against_the_definition(rate: int, tolerance: float):
    """At 44.1 kHz a transform is up to one sample longer than its frame, so gains are taken at frequencies a thousandth apart."""
    t = np.arange(rate // 5) / rate
    audio = (0.3 * np.sin(2 * np.pi * 440 * t) * np.hanning(t.size) + 0.02 * noise(1, t.size)[0]).astype(np.float32)
    smooth = lambda s: (0.2 + 0.8 / (1 + np.exp(-np.log10(np.abs(s) ** 2 + 1e-9)))).astype(np.float32)
    out = run(enhancer_of(smooth).stream(1, sample_rate=rate, strength_db=100, passes=1), audio[None], 700)[0]
    np.testing.assert_allclose(out, reference(audio.astype(np.float64), rate, smooth), atol=tolerance)
    assert np.abs(out - audio).max() > 0.005


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels, shared", [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("passes", [2, 3])
def test_passes_are_averaged(denoiser, rate: int, channels: int, shared: bool, passes: int):
    """Each pass is one pass over the same sound that begins so many samples later."""
    audio = noise(channels, rate // 2 + 17, seed=rate)
    once = lambda lead: run(denoiser.stream(channels, sample_rate=rate, shared=shared, passes=1), np.pad(audio, [(0, 0), (lead, 0)]))[
        :, lead:
    ]
    segment = -(-256 * rate // 16000)
    wanted = np.mean([once(round(index * segment / passes)) for index in range(passes)], axis=0)
    stream = denoiser.stream(channels, sample_rate=rate, shared=shared, passes=passes)
    np.testing.assert_allclose(run(stream, audio, 501), wanted, atol=1e-5)
    assert np.abs(wanted - once(0)).max() > 1e-3
    assert stream.latency == 2 * segment + round((passes - 1) * segment / passes)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shared", [False, True])
def test_blocks_change_nothing(denoiser, rate: int, shared: bool):
    audio = noise(3, 2 * rate + 31, seed=rate)
    whole = run(denoiser.stream(3, sample_rate=rate, shared=shared), audio)
    assert np.abs(whole - audio).max() > 0.01
    for block in (37, 1001, 5 * rate // 3):
        if block == 37:
            audio_part = audio[:, : rate // 2]
            np.testing.assert_allclose(
                run(denoiser.stream(3, sample_rate=rate, shared=shared), audio_part, block),
                run(denoiser.stream(3, sample_rate=rate, shared=shared), audio_part),
                atol=1e-5,
            )
            continue
        np.testing.assert_allclose(run(denoiser.stream(3, sample_rate=rate, shared=shared), audio, block), whole, atol=1e-5)


def test_what_comes_out_first_does_not_know_what_follows(denoiser):
    first, second = noise(1, 20000, 1), noise(1, 20000, 2)
    streams = [denoiser.stream(1, sample_rate=48000) for _ in range(2)]
    ahead = [stream.process(first) for stream in streams]
    joined = np.concatenate([ahead[0], streams[0].process(second), streams[0].finish()], axis=1)
    np.testing.assert_array_equal(ahead[0], ahead[1])
    assert 20000 - ahead[1].shape[1] <= streams[1].latency
    alone = np.concatenate([ahead[1], streams[1].finish()], axis=1)
    np.testing.assert_allclose(joined[:, : ahead[0].shape[1]], alone[:, : ahead[0].shape[1]], atol=0)


# Alignment.


@pytest.mark.parametrize("rate", NAMED_RATES)
@pytest.mark.parametrize("position", [0, 1, 777, 5000, 7999])
def test_an_impulse_stays_where_it_was(rate: int, position: int):
    """A smooth low-pass of real gains has a symmetric response: its peak is the impulse's own sample."""
    lowpass = lambda s: np.broadcast_to(np.linspace(1, 0, 257, dtype=np.float32) ** 2, s.shape).copy()
    audio = np.zeros((1, 8000), np.float32)
    audio[0, position] = 0.9
    out = run(enhancer_of(lowpass).stream(1, sample_rate=rate, strength_db=100), audio, 500)[0]
    assert np.argmax(np.abs(out)) == position
    if 200 < position < 7800:
        near = out[position - 20 : position + 21]
        np.testing.assert_allclose(near, near[::-1], atol=0.02 * near.max())


@pytest.mark.parametrize("rate", NAMED_RATES)
def test_cross_correlation_peaks_at_no_lag(denoiser, rate: int):
    audio = noise(1, 2 * rate)
    for enhancer in (enhancer_of(gate), denoiser):
        out = run(enhancer.stream(1, sample_rate=rate), audio, 3000)
        spectrum = np.fft.rfft(out[0], 4 * rate) * np.conj(np.fft.rfft(audio[0], 4 * rate))
        assert np.argmax(np.abs(np.fft.irfft(spectrum))) == 0


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_complex_gain_means_the_same_at_every_rate(rate: int):
    """exp(-j omega tau) is a delay by tau: under two windows that overlap less by it, at a level of cos(pi / 2 tau / 16 ms)."""
    tau = 0.001
    turn = np.exp(-2j * np.pi * 31.25 * np.arange(257) * tau).astype(np.complex64)
    t = np.arange(rate) / rate
    out = run(
        enhancer_of(lambda s: np.broadcast_to(turn, s.shape).copy()).stream(1, sample_rate=rate, strength_db=100),
        np.sin(2 * np.pi * 700 * t).astype(np.float32)[None],
    )[0]
    expected = np.cos(np.pi / 2 * tau / 0.016) * np.sin(2 * np.pi * 700 * (t - tau))
    inner = slice(rate // 4, -rate // 4)
    np.testing.assert_allclose(out[inner], expected[inner], atol=0.01)


# What the network sees.


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_the_network_sees_what_it_would_see_at_its_own_rate(rate: int):
    """Against soxr's resampling to 16 kHz: -55 dB apart below its transition band, where its own ripple and our windows' ends differ."""
    audio = noise(1, 2 * rate)
    networks = [FormulaNetwork(constant(1.0)) for _ in range(2)]
    run(GainStream(networks[0], 1, rate), audio)
    run(GainStream(networks[1], 1), soxr.resample(audio[0], rate, 16000)[None])
    here, there = (np.concatenate(network.seen, axis=1)[0, 3:120] for network in networks)
    band = slice(1, int(0.9 * min(rate, 16000) / 2 / 31.25))
    error = np.sum(np.abs(here - there)[:, band] ** 2) / np.sum(np.abs(there[:, band]) ** 2)
    assert 10 * np.log10(error) < -55


def test_the_band_above_follows_the_highest_gains():
    """12 kHz lies above what the network knows: it is turned down with the upper band, not cut off, and 1 kHz is left alone."""
    t = np.arange(48000) / 48000
    low, high = 0.3 * np.sin(2 * np.pi * 1000 * t), 0.3 * np.sin(2 * np.pi * 12000 * t)
    step = np.where(np.arange(257) * 31.25 > 4000, 0.25, 1).astype(np.float32)
    out = run(
        enhancer_of(lambda s: np.broadcast_to(step, s.shape).copy()).stream(1, sample_rate=48000), (low + high).astype(np.float32)[None]
    )[0]
    np.testing.assert_allclose(out[4800:-4800], (low + 0.25 * high)[4800:-4800], atol=0.01)


def test_attenuation_has_its_limit():
    audio = noise(1, 16000)
    for strength in (6.0, 20.0, 40.0):
        for gain in (0.0, 0j):
            out = run(enhancer_of(constant(gain)).stream(1, strength_db=strength), audio)
            np.testing.assert_allclose(out, 10 ** (-strength / 20) * audio, atol=3e-7)
    np.testing.assert_array_equal(run(enhancer_of(constant(0.1)).stream(1, strength_db=0), audio), audio)
    np.testing.assert_array_equal(run(enhancer_of(constant(0.1j)).stream(1, strength_db=0), audio), audio)
    np.testing.assert_array_equal(run(enhancer_of(constant(0.1)).stream(1, mix=0), audio), audio)
    np.testing.assert_allclose(run(enhancer_of(constant(0.5)).stream(1, mix=0.5), audio), 0.75 * audio, atol=3e-7)
    gains = np.array([0.05, 0.3, 1.0, 1.2], np.float32)
    np.testing.assert_allclose(limit(gains, 0.1), [0.1, 0.3, 1.0, 1.2])
    np.testing.assert_allclose(limit(gains * (1 + 0j), 0.1), [0.1, 0.3, 1.0, 1.2])
    np.testing.assert_allclose(limit(np.array([0.4j, -0.5]), 0.1), [0.4j, -0.5])


def test_numbers_that_are_none_are_refused():
    with pytest.raises(RunError, match="NaN"):
        run(enhancer_of(constant(float("nan"))).stream(1), noise(1, 5000))


def test_double_precision_goes_through():
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 5000))
    out = run(enhancer_of(constant(1.0)).stream(1, sample_rate=44100), audio, 999)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, audio)


def test_a_grid_that_is_no_grid_is_refused():
    with pytest.raises(ValueError, match="half"):
        FrameGrid(512, 128, 16000, 16000)


# Channels.


def test_rows_are_independent(denoiser):
    audio = noise(3, 20000)
    together = run(denoiser.stream(3, sample_rate=44100), audio)
    for row in range(3):
        np.testing.assert_allclose(together[row : row + 1], run(denoiser.stream(1, sample_rate=44100), audio[row : row + 1]), atol=1e-5)


@pytest.mark.parametrize("channels", [2, 7])
def test_shared_mask_keeps_the_image(denoiser, channels: int):
    levels = np.linspace(1, -0.4, channels, dtype=np.float32)[:, None]
    mono = noise(1, 30000)
    out = run(denoiser.stream(channels, sample_rate=48000, shared=True), levels * mono)
    np.testing.assert_allclose(out, levels * out[:1], atol=1e-6)


def test_equal_channels_are_enhanced_like_one(denoiser):
    mono = noise(1, 30000)
    out = run(denoiser.stream(2, shared=True), np.repeat(mono, 2, axis=0))
    np.testing.assert_allclose(out, np.repeat(run(denoiser.stream(1), mono), 2, axis=0), atol=1e-5)


def test_opposite_polarity_does_not_cancel_what_the_network_sees():
    spectrum = (noise(1, 3 * 200 * 257, 1) + 1j * noise(1, 3 * 200 * 257, 2)).reshape(3, 200, 257).astype(np.complex64)
    opposite = np.stack([spectrum[0], -spectrum[0]])
    np.testing.assert_allclose(SharedSpectrum(2)(opposite)[0], spectrum[0], rtol=1e-4)
    # The mean of the signals would be nothing; also with a third channel of its own the level is the channels' mean power.
    mixed = np.stack([spectrum[0], -spectrum[0], spectrum[1]])
    np.testing.assert_allclose(np.abs(SharedSpectrum(3)(mixed)[0]) ** 2, (np.abs(mixed) ** 2).mean(axis=0), rtol=1e-3)
    silent = np.zeros((2, 5, 257), np.complex64)
    np.testing.assert_array_equal(SharedSpectrum(2)(silent), silent[:1])


def test_one_channel_alone_counts():
    spectrum = (noise(1, 200 * 257, 1) + 1j * noise(1, 200 * 257, 2)).reshape(1, 200, 257).astype(np.complex64)
    one = np.concatenate([np.zeros_like(spectrum), spectrum])
    np.testing.assert_allclose(SharedSpectrum(2)(one)[0], spectrum[0] / np.sqrt(2), rtol=1e-4)


# Models of windows.


def windows(call, channels: int = 1, rate: int = 16000, batch: int = 4, emphasis: float = 0.95, floor: float = 0.0) -> WindowStream:
    def checked(some: np.ndarray) -> np.ndarray:
        assert some.shape == (batch, 512)
        return call(some)

    return WindowStream(checked, 512, 256, batch, channels, 16000, rate, emphasis, floor)


@pytest.mark.parametrize("rate", [16000, 8000, 44100, 48000])
@pytest.mark.parametrize("samples", [1, 300, 9001])
def test_windows_that_change_nothing_take_nothing_away(rate: int, samples: int):
    audio = noise(2, samples)
    removed = run(windows(lambda some: some, 2, rate), audio, 100)
    assert removed.shape == audio.shape
    np.testing.assert_allclose(removed, 0, atol=2e-5)


@pytest.mark.parametrize("block", [1, 100, 5000])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_windows_that_halve_halve_every_sample(block: int, channels: int, batch: int):
    audio = noise(channels, 1500)
    removed = run(windows(lambda some: 0.5 * some, channels, batch=batch), audio, block)
    np.testing.assert_allclose(removed, 0.5 * audio, atol=1e-5)
    limited = run(windows(lambda some: 0 * some, channels, batch=batch, floor=0.1), audio, block)
    np.testing.assert_allclose(limited, 0.9 * audio, atol=1e-5)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("block", [999, 48000])
def test_windows_at_another_rate_keep_time_and_turn_down_what_lies_above(rate: int, block: int):
    """A model that leaves a quarter: of 1 kHz, of 6.5 kHz, from which the gain above its band is taken, and of 15 kHz."""
    t = np.arange(rate) / rate
    parts = [level * np.sin(2 * np.pi * f * t) for level, f in ((0.5, 1000), (0.1, 6500), (0.2, 15000))]
    audio = sum(parts).astype(np.float32)[None]
    removed = run(windows(lambda some: 0.25 * some, 1, rate), audio, block)
    assert removed.shape == audio.shape
    np.testing.assert_allclose(removed[0, 4800:-4800], 0.75 * audio[0, 4800:-4800], atol=2e-3)
    spared = run(windows(lambda some: some, 1, rate), audio, block)
    np.testing.assert_allclose(spared, 0, atol=2e-3)


def test_between_the_bands_nothing_is_taken_away_twice():
    """White noise at 48 kHz of which the model leaves a quarter: every band of 250 Hz loses three quarters, 7 to 9 kHz too."""
    audio = noise(1, 96_000)
    removed = run(windows(lambda some: 0.25 * some, 1, 48000), audio, 4801)
    power = lambda x: (np.abs(np.fft.rfft(x[0, 9600:-9600])) ** 2)[: 38400 // 400 * 400].reshape(-1, 400).sum(axis=1)
    share = np.sqrt(power(audio - removed) / power(audio))
    np.testing.assert_allclose(share, 0.25, atol=0.05)


def test_blocks_do_not_change_what_windows_and_the_band_above_give():
    audio = noise(2, 30_000)
    whole = run(windows(lambda some: np.tanh(some), 2, 48000), audio)
    np.testing.assert_allclose(run(windows(lambda some: np.tanh(some), 2, 48000), audio, 701), whole, atol=1e-5)


def test_pre_emphasis_runs_through_the_windows():
    """The filter knows the sample before the window: what the network sees is cut from one filtered stream."""
    seen = []
    audio = noise(1, 1024)
    run(windows(lambda some: seen.append(some.copy()) or some, batch=1), audio)
    filtered = audio[0] - 0.95 * np.concatenate([[0], audio[0, :-1]])
    np.testing.assert_allclose(seen[1][0], filtered[:512], atol=1e-6)
    np.testing.assert_allclose(seen[2][0], filtered[256:768], atol=1e-6)


def test_live_gives_every_window_at_once():
    eager, lazy = windows(lambda some: some, batch=1), windows(lambda some: some, batch=4)
    assert eager.process(noise(1, 900)).shape[1] > lazy.process(noise(1, 900)).shape[1] == 0


def test_the_bundled_denoiser_is_found_whatever_lies_in_the_folder(tmp_path: Path, monkeypatch):
    (tmp_path / "denoiser").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_enhancer().file.name == "denoiser.keras"
    assert set(OPENERS) == set(ENHANCERS)
