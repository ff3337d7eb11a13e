"""The speaker encoder: the published network in numpy, what it makes of levels, rates and silence, and `info --against`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import gansynth_cli as gan_audio
from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import AudioFileError
from gansynth_cli.models import speaker_encoder
from gansynth_cli.models.speaker_encoder import SAME_SPEAKER, STRANGERS, speech_of

from .conftest import write_wav

RATE = 16000
INDICES = [189, 146, 82, 122, 202, 178, 247, 158]
VALUES = [0.24946, 0.24282, 0.20995, 0.19231, 0.17269, 0.17099, 0.16564, 0.16015]


def hum(seconds: float = 3.0, hz: float = 140.0) -> np.ndarray:
    """A harmonic sound with vibrato and tremolo."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.05 * np.sin(2 * np.pi * 3 * t))) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 20)) * (0.06 + 0.03 * np.sin(2 * np.pi * 4 * t))
    return np.asarray(sound, np.float32)


def test_the_published_network_gives_the_same_in_pytorch():
    """The largest entries of what Resemblyzer 0.1.4 computes of `hum()` with PyTorch; half precision of the weights is worth 6e-4."""
    expected = dict(zip(INDICES, VALUES, strict=True))
    found = speaker_encoder.speaker_encoder().vector_of_speech(hum())
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    for index, value in expected.items():
        assert found[index] == pytest.approx(value, abs=2e-3)


def test_the_recurrence_by_hand():
    rng = np.random.default_rng(0)
    gates, state = rng.normal(size=(4, 2, 12)).astype(np.float32), rng.normal(size=(3, 12)).astype(np.float32)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    hidden, cell = np.zeros((2, 3)), np.zeros((2, 3))
    for given in gates.astype(np.float64):
        i, f, g, o = np.split(given + hidden @ state.astype(np.float64), 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
    np.testing.assert_allclose(speaker_encoder._lstm(gates, state)[-1], hidden, atol=1e-5)


def test_windows_are_librosas_power_spectra():
    librosa = pytest.importorskip("librosa")
    audio = hum(2.0)
    windows = speaker_encoder._windows(audio)
    padded = np.pad(audio, (0, (speaker_encoder._STEP + 160) * 160 - len(audio)))
    mel = librosa.feature.melspectrogram(y=padded, sr=RATE, n_fft=400, hop_length=160, n_mels=40).T
    np.testing.assert_allclose(windows[0], mel[:160], rtol=1e-3, atol=1e-6)


def test_level_rate_and_channels_change_little_and_pauses_go():
    audio = hum()
    first = gan_audio.speaker_vector(audio, RATE)
    quiet, quieter = (gan_audio.speaker_vector(np.float32(factor) * audio, RATE) for factor in (0.02, 0.002))
    assert quiet @ quieter > 0.999  # raised to one level
    assert first @ gan_audio.speaker_vector(audio_file.resample(audio, RATE, 44100), 44100) > 0.99
    assert first @ gan_audio.speaker_vector(np.stack([audio, audio], axis=1), RATE) > 0.999
    apart = np.concatenate([audio[:24000], np.zeros(3 * RATE, np.float32), audio[24000:]])
    assert len(audio) - RATE // 10 < len(speech_of(apart)) < len(audio) + RATE // 2


@pytest.mark.parametrize("samples", [0, 1, 479, 48000])
def test_silence_has_no_voice(samples):
    with pytest.raises(AudioFileError, match="too few to tell a voice"):
        gan_audio.speaker_vector(np.zeros(samples, np.float32), RATE)


def test_info_compares_two_recordings(tmp_path: Path, capsys):
    write_wav(tmp_path / "a.wav", hum(), RATE)
    write_wav(tmp_path / "b.wav", hum(2.5), RATE)
    write_wav(tmp_path / "none.wav", np.zeros(RATE, np.float32), RATE)
    assert main(["info", str(tmp_path / "a.wav"), "--against", str(tmp_path / "b.wav"), "--json"]) == 0
    voice = json.loads(capsys.readouterr().out)["voice"]
    assert voice["cosine"] > 0.95
    assert voice["reading"] == "like one speaker"
    assert main(["info", str(tmp_path / "a.wav"), "--against", str(tmp_path / "none.wav")]) == 1
    assert "none.wav: 0.00 s of speech" in capsys.readouterr().err
    assert main(["info", "denoiser", "--against", str(tmp_path / "a.wav")]) == 2


@pytest.mark.realdata
def test_real_voices():
    """Two prompts of one voice are alike, prompts of two voices are not."""
    root = Path(os.environ["GAN_AUDIO_DATA"]) / "speech"
    vectors = {}
    for name in ("prompts-en", "prompts-fr"):
        files = [path for path in sorted((root / name).rglob("*.flac")) if audio_file.probe(path).frames > 3 * RATE][:2]
        vectors[name] = [gan_audio.speaker_vector(*audio_file.read(path)) for path in files]
    assert all(first @ second > SAME_SPEAKER[0] for first, second in vectors.values())
    assert vectors["prompts-en"][0] @ vectors["prompts-fr"][0] < SAME_SPEAKER[0] < STRANGERS[1] + 0.1
