"""The lean runtime of a `DeepFilterDenoiser`: equal to the trained model, whatever the rate, the pieces and the channels."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_stream
from gansynth_cli.errors import RunError
from gansynth_cli.families.deepfilternet.networks import TINY, build_network
from gansynth_cli.inference.enhance.deep_filter import DeepFilterModel, DeepFilterStream, Normaliser
from gansynth_cli.inference.enhance.deep_filter_network import Recurrence, Workspace
from gansynth_cli.inference.enhance.enhancers import open_enhancer
from gansynth_cli.inference.enhance.resampled_stream import ResampledStream
from gansynth_cli.models.model_file import find_model

from .test_deepfilternet import REFERENCE, SETTINGS, moderate, noise

NATIVE = [8000, 16000, 44100, 48000]


@pytest.fixture(scope="module")
def trained():
    return moderate(build_network(replace(TINY, band_layers=2), stored_as="float16"))


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    trained.provenance = {"recipe": "deepfilternet/tiny"}
    trained.save(path)
    return path


@pytest.fixture(scope="module")
def model(file) -> DeepFilterModel:
    return DeepFilterModel.load(find_model(file))


def run(stream, audio: np.ndarray, *lengths: int) -> np.ndarray:
    """The removed part, from pieces of the given lengths in turn."""
    pieces, start, index = [], 0, 0
    while start < audio.shape[1]:
        length = lengths[index % len(lengths)] if lengths else audio.shape[1]
        pieces.append(stream.process(audio[:, start : start + length]))
        start, index = start + length, index + 1
    return np.concatenate([*pieces, stream.finish()], axis=1)


def test_the_network_gives_onnxruntimes_numbers():
    with np.load(REFERENCE) as stored:
        reference = dict(stored)
    weights = {name[7:]: np.float32(value) for name, value in reference.items() if name.startswith("weight/")}
    network = DeepFilterModel({"settings": SETTINGS.to_dict()}, weights).network
    bands, bins = reference["feat_erb"][0, 0][:, None], reference["feat_spec"][0].transpose(1, 2, 0)[:, None]
    for pieces in ([12], [1] * 12, [5, 7]):
        state, masks, taps, start = network.initial_state(1), [], [], 0
        for length in pieces:
            mask, tap = network.run(bands[start : start + length], bins[start : start + length], state)
            masks.append(mask)
            taps.append(tap.copy())
            start += length
        mask, tap = np.concatenate(masks)[:, 0], np.concatenate(taps, axis=1)[:, :, 0]
        heard = slice(network.first_band, None)
        assert heard.start == 21  # the bands below hold filtered bins alone
        np.testing.assert_allclose(mask[:, heard], reference["m"][0, 0][:, heard], atol=1e-5)
        np.testing.assert_allclose(tap[:, -3:].transpose(1, 2, 0), reference["coefs"][0], atol=2e-5)


@pytest.mark.parametrize("rate", NATIVE)
@pytest.mark.parametrize("samples", [1, 479, 12345])
def test_it_gives_what_the_trained_model_gives(trained, model, rate: int, samples: int):
    audio = noise(2, samples)
    np.testing.assert_allclose(model.enhance(audio, rate), trained.enhance(audio, rate), atol=2e-6)


@pytest.mark.parametrize("settings", [{"lookahead": 0}, {"filter_taps": 3, "lookahead": 1}, {"filter_bins": 40}, {"memory_seconds": 0.1}])
def test_other_settings_are_kept_too(settings: dict, tmp_path: Path):
    trained, audio = moderate(build_network(replace(TINY, groups=8, **settings))), noise(1, 4000)
    trained.save(tmp_path / "model.keras")
    model = DeepFilterModel.load(find_model(tmp_path / "model.keras"))
    np.testing.assert_allclose(model.enhance(audio, 16000), trained.enhance(audio, 16000), atol=2e-6)


@pytest.mark.parametrize("rate", NATIVE)
def test_frame_by_frame_and_any_pieces_equal_the_whole(model, rate: int):
    audio = noise(1, rate + 77)
    whole = run(model.stream(1, rate), audio)
    for lengths in ([rate // 100], [1, 7, 4000], [rate // 2]):
        np.testing.assert_allclose(run(model.stream(1, rate), audio, *lengths), whole, atol=1e-6)


def test_a_sample_is_known_after_four_hops(model):
    stream, audio = model.stream(1, 16000), noise(1, 3200)
    given = sum(stream.process(audio[:, i : i + 160]).shape[1] for i in range(0, 3200, 160))
    assert stream.latency == 640
    assert given == 3200 - 480  # blocks of a hop came in, so the fourth is the one that holds the sample
    with pytest.raises(ValueError, match="no whole frames"):
        DeepFilterStream(model, 1, 22050)


@pytest.mark.parametrize("rate", [11025, 22050, 96000])
@pytest.mark.parametrize("samples", [1, 30000])
def test_other_rates_are_resampled_and_stay_aligned(model, rate: int, samples: int):
    stream, audio = model.stream(1, rate), noise(1, samples)
    assert isinstance(stream, ResampledStream)
    removed = run(stream, audio, 3000)
    assert removed.shape == audio.shape
    np.testing.assert_allclose(run(model.stream(1, rate), audio), removed, atol=2e-6)
    assert run(model.stream(1, rate, floor=1.0), audio, 3000).max() == 0


def test_at_another_rate_it_removes_the_same(model):
    """A tone of 600 Hz at 22.05 kHz loses what it loses at 44.1 kHz."""
    times = np.arange(44100) / 44100
    tone = (0.1 * np.sin(2 * np.pi * 600 * times)).astype(np.float32)[None]
    native, other = run(model.stream(1, 44100), tone), run(model.stream(1, 22050), tone[:, ::2].copy())
    middle = slice(8000, 14000)
    difference = native[0, ::2][middle] - other[0, middle]
    assert np.std(difference) < 0.03 * np.std(native[0, ::2][middle])


def test_a_floor_of_one_takes_nothing_and_others_a_share(model):
    audio = noise(1, 9000)
    removed = run(model.stream(1, 16000), audio)
    assert not run(model.stream(1, 16000, floor=1.0), audio).any()
    np.testing.assert_allclose(run(model.stream(1, 16000, floor=0.25), audio), 0.75 * removed, atol=1e-6)


def test_the_post_filter_follows_its_formula(model):
    """By definition, on the spectra of one block of a stream with known mask and filters."""
    rng = np.random.default_rng(4)
    stream = model.stream(1, 48000, post_filter=0.05)
    noisy, history = (rng.normal(size=(n, 1, 481)).astype(np.complex64) for n in (3, 7))
    history[2:5] = noisy
    mask, taps = rng.uniform(0, 1, (3, 1, 32)).astype(np.float32), rng.normal(0, 0.4, (10, 3, 1, 96)).astype(np.float32)
    removed = stream._removed(noisy, history, mask, taps)
    c = taps[0::2] + 1j * taps[1::2]
    clean = noisy * np.repeat(mask, model.settings.band_widths, axis=2)
    clean[..., :96] = sum(c[k] * history[k : k + 3, :, :96] for k in range(5))
    gain = np.clip(np.abs(clean) / (np.abs(noisy) + 1e-12), 1e-12, 1)
    shaped = gain * np.sin(np.pi * gain / 2)
    factor = 1.05 / (1 + 0.05 * (gain / shaped) ** 2)
    factor[..., 480] = 1
    np.testing.assert_allclose(removed, noisy - clean * factor, atol=1e-5)


def test_rows_are_streams_of_their_own(model):
    audio = noise(3, 8000)
    whole = run(model.stream(3, 16000), audio)
    for row in range(3):
        np.testing.assert_allclose(run(model.stream(1, 16000), audio[row : row + 1])[0], whole[row], atol=1e-6)


@pytest.mark.parametrize("rows", [2, 5, 9])
def test_a_recurrence_of_several_rows_is_that_of_each(rows: int):
    rng = np.random.default_rng(0)
    layer = Recurrence(*(rng.normal(0, 0.3, shape).astype(np.float32) for shape in [(5, 24), (8, 24), (2, 24)]))
    x, h = rng.normal(size=(6, rows, 5)).astype(np.float32), rng.normal(size=(rows, 8)).astype(np.float32)
    together = layer.run(x, h, Workspace())
    for row in range(rows):
        alone = layer.run(np.ascontiguousarray(x[:, row : row + 1]), h[row : row + 1], Workspace())
        np.testing.assert_allclose(alone[:, 0], together[:, row], atol=1e-6)


def test_channels_of_a_recording_share_mask_and_filters(model):
    mono = noise(1, 8000)
    stereo = np.concatenate([mono, -0.5 * mono])  # of opposite polarity: their mean would be nearly silent
    same = run(model.stream(2, 16000, shared=True), np.concatenate([mono, mono]))
    np.testing.assert_allclose(same, np.repeat(run(model.stream(1, 16000), mono), 2, axis=0), atol=1e-6)
    panned = run(model.stream(2, 16000, shared=True), stereo, 1600)
    np.testing.assert_allclose(panned[1], -0.5 * panned[0], atol=1e-6)
    assert np.std(stereo[0] - panned[0]) > 0.1 * np.std(stereo[0])


def test_nothing_in_gives_nothing_out(model):
    stream = model.stream(2, 16000)
    assert stream.process(np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert stream.finish().shape == (2, 0)


def test_silence_stays_silent(model):
    assert not run(model.stream(1, 8000), np.zeros((1, 16000), np.float32)).any()


def test_features_survive_minutes_of_digital_silence(model):
    """The running mean of a magnitude falls below the smallest number after 80 s."""
    normalise = Normaliser(model.settings, 1)
    for _ in range(150):  # 96 s
        levels, bins = normalise(np.zeros((64, 1, 81), np.complex64))
    assert np.isfinite(levels).all()
    assert not bins.any()
    _, bins = normalise(np.full((64, 1, 81), 1e-3, np.complex64))
    assert np.isfinite(bins).all()
    assert bins[0, 0, 0, 0] == pytest.approx(1e-3 / np.sqrt(0.01 * 1e-3), rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_sound_that_is_no_sound_is_told(model, value: float):
    audio = noise(1, 4000)
    audio[0, 2000] = value
    with pytest.raises(RunError, match="NaN or infinite"):
        run(model.stream(1, 16000), audio)


def test_memory_does_not_grow_with_the_recording(model):
    def peak(seconds: int) -> int:
        stream = model.stream(1, 16000)
        tracemalloc.start()
        for _ in range(seconds):
            stream.process(second)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    second = noise(1, 16000)
    peak(2)  # what is made once
    assert peak(40) < 1.1 * peak(4) + 100_000


def test_no_tensorflow_is_loaded(file):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from gansynth_cli.inference.enhance.enhancers import open_enhancer\n"
        f"open_enhancer(pathlib.Path({str(file)!r})).apply(np.zeros((1, 4000), np.float32), 16000)\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_opens_as_an_enhancer_of_files(model, file):
    enhancer = open_enhancer(file)
    assert enhancer.provenance == {"recipe": "deepfilternet/tiny"}
    assert (enhancer.sample_rate, len(enhancer.sha256), enhancer.latency(2)) == (48000, 64, 1920)
    audio = noise(2, 4000)
    np.testing.assert_array_equal(enhancer.apply(audio, 16000), model.enhance(audio, 16000))
    shared = enhancer.apply(np.concatenate([audio[:1], 0.5 * audio[:1]]), 16000, shared=True)
    np.testing.assert_allclose(shared[1], 0.5 * shared[0], atol=1e-7)
    limited = audio - enhancer.apply(audio, 16000, strength_db=6.0)
    np.testing.assert_allclose(limited, (1 - 10 ** (-6 / 20)) * (audio - model.enhance(audio, 16000)), atol=1e-6)


def test_enhance_takes_it_by_command(file, tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", 0.1 * noise(2, 9000).T, 44100, "PCM_24")
    arguments = ["enhance", str(tmp_path / "a.wav"), "-o", str(tmp_path / "out.wav"), "--model", str(file), "-q"]
    assert main(arguments) == 0
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (9000, 44100, 2, "PCM_24")
    with audio_stream.open_reader(tmp_path / "out.wav") as reader:
        assert '"strength_db": 100' in reader.tags["comment"]


def test_damaged_files_are_refused(file, tmp_path: Path):
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(tmp_path / "damaged.keras", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'"channels": 8', b'"channels": 6'))
    with pytest.raises(RunError, match=r"damaged|cannot"):
        open_enhancer(tmp_path / "damaged.keras")
