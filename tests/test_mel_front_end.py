"""Mel spectrograms as recipes name them: against librosa, at silence, in pieces; conventions that are compared."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.errors import AudioFileError
from gansynth_cli.signal.mel_convention import MelConvention
from gansynth_cli.signal.mel_front_end import check_mel, highest_of, linear_mel, mel_spectrogram

CONVENTIONS = {
    "melgan": MelConvention(log="log10", padding="reflect").resolved(22050),
    "hifigan": MelConvention(high_hz=8000.0, power_floor=1e-9, padding="reflect").resolved(22050),
    "vocos": MelConvention(bands=100, scale="htk", norm="none", floor=1e-7).resolved(24000),
    "other": MelConvention(fft=1024, window=800, hop=200, exponent=2, low_hz=60.0, high_hz=7600.0).resolved(16000),
    "mixed": MelConvention(fft=512, hop=128, bands=40, scale="slaney", norm="none", log="log10").resolved(8000),
}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, samples) * np.linspace(0, 1, samples) ** 4).astype(np.float32)  # down to the floor at its beginning


@pytest.mark.parametrize("samples", [4000, 4096, 4095])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_equals_librosa_to_the_last_frame(name, samples):
    librosa = pytest.importorskip("librosa")
    c, audio = CONVENTIONS[name], noise(samples)
    centre = c.padding == "centre"
    signal = audio if centre else np.pad(audio, c.reach, mode="reflect")
    spectrum = librosa.stft(signal, n_fft=c.fft, hop_length=c.hop, win_length=c.window, center=centre, pad_mode="reflect")
    values = np.sqrt(np.abs(spectrum) ** 2 + c.power_floor) ** c.exponent
    norm = "slaney" if c.norm == "area" else None
    bank = librosa.filters.mel(
        sr=c.sample_rate, n_fft=c.fft, n_mels=c.bands, fmin=c.low_hz, fmax=c.high_hz, htk=c.scale == "htk", norm=norm
    )
    mel = np.maximum(bank @ values, c.floor)
    expected = (np.log(mel) if c.log == "ln" else np.log10(mel)).T
    found = mel_spectrogram(audio[None], c).numpy()[0]
    assert found.shape == expected.shape == (c.frames(samples), c.bands)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(linear_mel(found, c), mel.T, rtol=1e-3)
    check_mel(found, c, c)


@pytest.mark.parametrize("name", ["melgan", "vocos", "other"])
def test_a_piece_with_its_surroundings_equals_the_whole(name):
    c, audio = CONVENTIONS[name], noise(9000)
    whole = mel_spectrogram(audio[None], c).numpy()[0]
    padded = np.pad(audio, c.reach, mode="reflect")
    piece = padded[5 * c.hop : 14 * c.hop + c.window]
    np.testing.assert_allclose(mel_spectrogram(piece[None], c, padded=True)[0], whole[5:15], atol=1e-5)


def test_channels_are_taken_and_lengths_may_be_unknown():
    c, audio = CONVENTIONS["mixed"], noise(2000)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 1])])
    def compute(x):
        return mel_spectrogram(x, c)

    np.testing.assert_allclose(compute(audio[None, :, None]), mel_spectrogram(audio[None], c), atol=1e-5)


def test_silence_has_no_gradient_behind_the_clamp_and_a_finite_one_without():
    c, slopes = CONVENTIONS["mixed"], {}
    for soft in (False, True):
        audio = tf.Variable(np.full((1, 2000), 1e-9, np.float32) * np.random.default_rng(0).standard_normal(2000).astype(np.float32))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(mel_spectrogram(audio, c, soft=soft))
        slopes[soft] = tape.gradient(loss, audio).numpy()
    assert not slopes[False].any()
    assert np.isfinite(slopes[True]).all()
    assert np.abs(slopes[True]).max() > 1.0
    zero = tf.Variable(np.zeros((1, 2000), np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(mel_spectrogram(zero, c, soft=True))
    assert np.isfinite(tape.gradient(loss, zero)).all()
    np.testing.assert_allclose(mel_spectrogram(zero, c), c.lowest, atol=1e-4)


def test_no_signal_within_full_scale_is_above_the_highest():
    for c in CONVENTIONS.values():
        t = np.arange(8192) / c.sample_rate
        for audio in (np.sign(np.sin(2 * np.pi * 440 * t)), np.ones(8192), noise(8192) ** 0):
            assert mel_spectrogram(audio[None].astype(np.float32), c).numpy().max() <= highest_of(c) + 1e-3


def test_conventions_describe_compare_and_survive_json():
    c = CONVENTIONS["vocos"]
    assert MelConvention.from_dict(c.to_dict()) == c
    assert c.differences(c) == []
    other = CONVENTIONS["hifigan"]
    assert "hop" not in " ".join(c.differences(other))
    assert {text.split()[0] for text in c.differences(other)} == {
        *("sample_rate", "bands", "high_hz", "scale", "norm", "power_floor", "floor", "padding")
    }
    assert "scale is slaney, not htk" in c.differences(other)
    text = c.describe()
    assert all(
        part in text for part in ("24000 Hz", "hop 256", "100 htk bands of height 1", "0-12000 Hz", "ln of at least 1e-07", "centre")
    )
    with pytest.raises(ValueError, match="'bandz' is not a field"):
        MelConvention.from_dict({"bandz": 80})
    with pytest.raises(ValueError, match="Invalid enum value"):
        MelConvention.from_dict({"scale": "bark"})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hop": 700}, "hop of 700 samples is more than half a window"),
        ({"window": 2048}, "window of 2048 samples is longer"),
        ({"high_hz": 9000.0}, "not within 0 to 8000 Hz"),
        ({"low_hz": 8000.0}, "range 8000 to 8000 Hz"),
        ({"hop": 255, "padding": "reflect"}, "odd"),
    ],
)
def test_what_is_no_mel_spectrogram(change, message):
    (problem,) = MelConvention(**change).resolved(16000).problems()
    assert message in problem


def test_mels_of_another_convention_are_refused_with_what_differs():
    c = CONVENTIONS["hifigan"]
    mel = mel_spectrogram(noise(6000)[None], c).numpy()[0]
    check_mel(mel, c)
    with pytest.raises(AudioFileError, match=r"a\.npy: is a mel spectrogram in another convention: .*log is log10, not ln") as caught:
        check_mel(mel, c, CONVENTIONS["melgan"], "a.npy")
    assert "22050 Hz, fft 1024" in str(caught.value.hint)
    with pytest.raises(AudioFileError, match=r"shape \[80, \d+\], expected \[frames, 80\]"):
        check_mel(mel.T, c)
    with pytest.raises(AudioFileError, match=r"below -11\.5, the natural logarithm of the floor 1e-05"):
        check_mel(mel_spectrogram(noise(6000)[None], MelConvention(floor=1e-7).resolved(22050)).numpy()[0], c)
    with pytest.raises(AudioFileError, match="another logarithm or norm, or none"):
        check_mel(np.exp(mel) * 100, c)
    with pytest.raises(AudioFileError, match="not finite"):
        check_mel(np.where(mel > -5, np.nan, mel), c)
    with pytest.raises(AudioFileError, match="no frames"):
        check_mel(mel[:0], c)
    # Decimal logarithms for natural ones: below the floor as soon as anything is quiet.
    with pytest.raises(AudioFileError, match="below -5, the decimal logarithm"):
        check_mel(mel, CONVENTIONS["melgan"])
