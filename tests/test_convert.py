"""The parts of a conversion: cuts at quiet points, levels, WORLD and the filter, the choice of voices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli.data.audio.loudness import loudness_lufs
from gansynth_cli.errors import RunError, UsageError
from gansynth_cli.inference.convert import levels, world
from gansynth_cli.inference.convert.domains import Domains, domains_of, find_converter
from gansynth_cli.inference.convert.options import ConvertOptions
from gansynth_cli.inference.convert.quiet_cuts import QuietPieces
from gansynth_cli.inference.convert.synthesis import Synthesis, choose_synthesis
from gansynth_cli.inference.convert.task import ConvertTask, provenance_of
from gansynth_cli.inference.convert.voice import Voice, choose_voice, estimate_speaker
from gansynth_cli.inference.convert.voice_stream import VoiceStream, convert_array, convert_blocks
from gansynth_cli.inference.files.batch import do_job
from gansynth_cli.inference.files.plan import plan_files
from gansynth_cli.models import model_file
from gansynth_cli.signal.mel_filter import filtered, nepers_between
from gansynth_cli.signal.mel_frames import active_frames
from gansynth_cli.signal.pitch import ln_f0_contour

from .conftest import write_wav
from .convert_fakes import CONVENTION, DOMAINS, opened, voice, with_pauses, write_converter
from .enhance_fakes import write_denoiser

RATE = 8000


@pytest.fixture(scope="module")
def converter(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("model") / "formula.keras")


# Pieces.


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 1000, 7919, 40_000])
@pytest.mark.parametrize("block", [173, 4000])
def test_pieces_of_what_changes_nothing_are_the_whole(samples: int, block: int):
    audio = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    seen = []
    pieces = QuietPieces(lambda piece: seen.append(piece.shape[1]) or piece * 2, 2, 1000, longest=4.0, shortest=2.0, context=0.3)
    made = [pieces.process(audio[:, start : start + block]) for start in range(0, samples, block)]
    made.append(pieces.finish())
    np.testing.assert_allclose(np.concatenate(made, axis=1), audio * 2, atol=1e-6)
    assert all(n <= 300 + 4000 + 300 for n in seen)
    assert len(seen) >= samples // 4000


def test_cuts_are_where_it_is_quiet():
    audio = np.full((1, 20_000), 0.5, np.float32)
    for middle in (3100, 6300, 9500, 12_900, 16_000):
        audio[:, middle - 40 : middle + 40] = 0.0
    lengths = []
    pieces = QuietPieces(lambda piece: lengths.append(piece.shape[1]) or piece, 1, 1000, longest=4.0, shortest=2.0, context=0.3)
    pieces.process(audio)
    cuts = np.cumsum([lengths[0] - 300, *(n - 600 for n in lengths[1:])])
    for cut, middle in zip(cuts, (3100, 6300, 9500, 12_900), strict=False):
        assert abs(cut - middle) <= 40


def test_pieces_are_faded_into_each_other():
    signs = iter([1.0, -1.0, 1.0, -1.0, 1.0])
    pieces = QuietPieces(lambda piece: np.full_like(piece, next(signs)), 1, 1000, longest=4.0, shortest=2.0, context=0.3)
    made = np.concatenate([pieces.process(np.ones((1, 9000), np.float32)), pieces.finish()], axis=1)[0]
    assert len(made) == 9000
    assert np.abs(np.diff(made)).max() < 0.15  # 30 samples from 1 to -1, no step


# Levels.


def test_loudness_is_matched_phrase_by_phrase():
    source = voice(8.0)
    source[: 4 * RATE] *= 0.1
    made = np.random.default_rng(0).standard_normal(len(source)).astype(np.float32) * np.abs(voice(8.0, seed=1))
    fitted = levels.match_loudness(made, source, RATE)
    for part in (slice(0, 3 * RATE), slice(5 * RATE, None), slice(None)):
        first, second = (loudness_lufs([signal[part, None]], RATE) for signal in (fitted, source))
        assert abs(first - second) < 1.0
    assert not levels.match_loudness(np.zeros(RATE), source[:RATE], RATE).any()
    faint = 1e-3 * made
    np.testing.assert_allclose(levels.match_loudness(faint, source, RATE), 10 * faint, rtol=1e-5)  # 20 dB at most


def test_peaks_are_limited_and_nothing_else():
    audio = np.random.default_rng(1).uniform(-0.3, 0.3, (2, RATE))
    audio[0, 3000], audio[1, 3004], audio[0, 7999] = 2.5, -1.8, 1.2
    made = levels.limited(audio, 0.9, RATE)
    assert np.abs(made).max() <= 0.9
    np.testing.assert_allclose(made[:, :2900], audio[:, :2900], atol=1e-7)
    np.testing.assert_allclose(made[:, 3200:7800], audio[:, 3200:7800], atol=1e-7)


def test_what_is_silent_is_found():
    audio = with_pauses(6.0)[None]
    audio[0, 4000:4100] = 0.0  # 12 ms: part of a word
    weight, level = levels.quiet_weights(audio, RATE, 0.0)
    t = np.arange(audio.shape[1]) / RATE
    assert (weight[(t % 2 > 1.56) & (t % 2 < 1.94)] == 1).all()
    loud = np.convolve(np.abs(audio[0]) > 0.02, np.ones(80), "same") > 20
    assert (weight[loud] < 0.5).all()
    assert weight[4050] == 0
    assert levels.quiet_weights(np.full((1, 800), 1e-4), RATE, level)[0].all()  # a pause, if there was speech before
    assert not levels.quiet_weights(1e-3 * audio, RATE, 0.0)[0][loud].any()  # a quiet recording is no pause
    assert levels.quiet_weights(np.zeros((2, 50)), RATE, 0.0)[0].all()


def test_channels_upside_down_do_not_cancel():
    mono = voice(1.0)
    mixed, signs = levels.to_mono(np.stack([mono, -0.5 * mono]))
    np.testing.assert_allclose(mixed, 0.75 * mono, atol=1e-6)
    np.testing.assert_array_equal(signs, [1, -1])
    placed = levels.place(mixed, np.stack([mono, -0.5 * mono]), mixed, signs, RATE)
    np.testing.assert_allclose(placed, np.stack([mono, -0.5 * mono]), atol=1e-5)
    faint = levels.place(mono, np.stack([mono, mono]), 0.01 * mono, signs, RATE)
    np.testing.assert_allclose(faint, 10 * np.stack([mono, -mono]), rtol=1e-5)  # 20 dB at most


# Waveforms.


@pytest.mark.parametrize("rate", [8000, 16000])
def test_world_gives_speech_back_with_another_pitch(rate: int):
    convention = replace(CONVENTION, sample_rate=rate, high_hz=rate / 2)
    audio = voice(2.0, rate)
    before = ln_f0_contour(audio, convention)
    shift = np.full(len(before), np.log(1.5))
    made = world.resynthesise(audio, convention, shift)
    assert made.shape == audio.shape
    assert made.dtype == np.float32
    after = ln_f0_contour(made, convention)
    both = (before > 0) & (after > 0)
    assert both.sum() > 20
    assert abs(np.median(after[both] - before[both]) - np.log(1.5)) < 0.05


def test_world_multiplies_the_envelope():
    audio = voice(2.0)
    nepers = np.zeros((CONVENTION.frames(len(audio)), CONVENTION.bands))
    nepers[:, 25:] = -2.0  # the upper bands, by 17 dB
    plain, dark = (np.abs(np.fft.rfft(world.resynthesise(audio, CONVENTION, None, n))) for n in (None, nepers))
    hz = np.fft.rfftfreq(len(audio), 1 / RATE)
    high, low = (hz > 2600) & (hz < 3800), (hz > 200) & (hz < 900)
    assert 20 * np.log10(dark[high].mean() / plain[high].mean()) == pytest.approx(-17.4, abs=2.0)
    assert 20 * np.log10(dark[low].mean() / plain[low].mean()) == pytest.approx(0.0, abs=1.0)


def test_the_filter_changes_nothing_or_what_it_is_told():
    audio = voice(1.0)
    frames = CONVENTION.frames(len(audio))
    np.testing.assert_allclose(filtered(audio, CONVENTION, np.zeros((frames, 40))), audio, atol=1e-6)
    np.testing.assert_allclose(filtered(audio, CONVENTION, np.full((frames, 40), np.log(2.0))), 2 * audio, atol=1e-5)
    later = np.zeros((frames, 40))
    later[frames // 2 :] = np.log(0.1)
    made = filtered(audio, CONVENTION, later)
    np.testing.assert_allclose(made[: 4000 - 700], audio[: 4000 - 700], atol=1e-6)
    np.testing.assert_allclose(made[4000 + 700 :], 0.1 * audio[4000 + 700 :], atol=1e-6)


def test_the_difference_of_spectra_leaves_harmonics_out():
    frames, bands = 5, CONVENTION.bands
    envelope = np.cos(np.pi * (np.arange(bands) + 0.5) * 2 / bands)[None].repeat(frames, axis=0)
    ripple = np.cos(np.pi * (np.arange(bands) + 0.5) * 30 / bands)
    smooth = nepers_between(np.zeros((frames, bands)), envelope + ripple, CONVENTION, smooth=True)
    np.testing.assert_allclose(smooth, envelope, atol=0.02)
    exact = nepers_between(np.zeros((frames, bands)), envelope + ripple, CONVENTION, smooth=False)
    np.testing.assert_allclose(exact, envelope + ripple, atol=1e-12)


def test_pitch_is_replaced_by_a_contour():
    audio = voice(2.0)
    wanted = np.full(CONVENTION.frames(len(audio)), np.log(200.0), np.float32)
    found = ln_f0_contour(world.repitched(audio, CONVENTION, wanted), CONVENTION)
    assert abs(np.median(found[found > 0]) - np.log(200.0)) < 0.03
    assert np.percentile(np.abs(found[found > 0] - np.log(200.0)), 75) < 0.06
    silence = np.zeros(RATE, np.float32)
    assert np.abs(world.repitched(silence, CONVENTION, wanted[: CONVENTION.frames(RATE)])).max() < 1e-4
    np.testing.assert_array_equal(world.repitched(audio, CONVENTION, 0 * wanted), audio)  # nothing to go by


# Models and voices.


def domains_in(path: Path) -> Domains:
    return domains_of(find_converter(path))


def test_domains_are_read_without_loading(tmp_path: Path):
    domains = domains_in(write_converter(tmp_path / "m.keras"))
    assert domains.names == DOMAINS
    np.testing.assert_allclose(domains.f0_hz, (120, 170, 240), rtol=1e-5)
    assert domains.consent.startswith("Recorded with")
    domains.check("anna", "--to")
    with pytest.raises(UsageError, match=r"it has anna, bruno, carla") as caught:
        domains.check("bruna", "--to")
    assert caught.value.hint == "--to bruno"
    with pytest.raises(RunError, match="does not exist"):
        domains_in(tmp_path / "none")
    with pytest.raises(RunError, match="cannot convert voices: it enhances recordings"):
        domains_in(write_denoiser(tmp_path / "d.keras"))
    (tmp_path / "x.keras").write_bytes(b"x")
    with pytest.raises(RunError, match="not a Keras model"):
        domains_in(tmp_path / "x.keras")


def test_an_emotion_keeps_the_speaker(tmp_path: Path):
    names = ("anna/angry", "anna/calm", "bruno/calm")
    domains = domains_in(write_converter(tmp_path / "m.keras", domains=names))
    domains.check("angry", "--to")
    assert domains.resolve("angry", 1) == 0
    assert domains.resolve("bruno", 1) == 2
    assert domains.resolve("bruno/calm", 0) == 2
    with pytest.raises(UsageError, match="no domain 'bruno/angry'"):
        domains.resolve("angry", 2)


def test_windows_of_a_model_that_normalises_join_smoothly(tmp_path: Path):
    whole = opened(tmp_path / "a.keras")
    pieces = opened(tmp_path / "b.keras", chunk_frames=32)
    mel = whole.spectra(voice(3.0))[0]
    codes = whole.code(0), whole.code(2)
    np.testing.assert_allclose(pieces.converted(mel, *codes), whole.converted(mel, *codes), atol=1e-4)  # the formula knows no neighbours
    np.testing.assert_allclose(pieces.converted(mel[:20], *codes), whole.converted(mel[:20], *codes), atol=1e-4)
    np.testing.assert_allclose(whole.converted(mel, *codes, strength=0.0), mel, atol=1e-5)


def test_windows_fade_into_each_other(tmp_path: Path, monkeypatch):
    """Windows of 32 frames whose results are 0, 1, 2 ...: each is alone in its middle, and the next one grows where they overlap."""
    converter = opened(tmp_path / "m.keras", chunk_frames=32)
    numbers = iter(range(9))
    monkeypatch.setattr(converter, "_run", lambda mel, *_: np.full(mel.shape, next(numbers), np.float32))
    made = converter.converted(np.zeros((32 + 3 * 24, CONVENTION.bands)), converter.code(0), converter.code(1))[:, 0]
    np.testing.assert_allclose(made[:24], 0.0)
    for number in (1, 2):
        np.testing.assert_allclose(made[24 * number : 24 * number + 8], number - 1 + (np.arange(8) + 0.5) / 8, atol=1e-6)
        np.testing.assert_allclose(made[24 * number + 8 : 24 * number + 24], number)


def test_who_speaks_is_heard(converter, tmp_path: Path):
    colours = opened(tmp_path / "m.keras", mel_deviation=np.full((3, CONVENTION.bands), 0.5))
    audio = voice(3.0)
    speaker = colours.estimate_speaker(audio)
    assert speaker.probabilities.argmax() == 0
    np.testing.assert_allclose(speaker.probabilities.sum(), 1.0)
    quiet = colours.estimate_speaker(0.01 * audio)
    np.testing.assert_allclose(quiet.probabilities, speaker.probabilities, atol=0.05)  # whatever the level
    assert quiet.level < speaker.level - 3
    assert 100 < np.exp(speaker.median) < 140
    assert converter.estimate_speaker(np.zeros(100, np.float32)).peak == 0
    assert converter.estimate_speaker(np.ones(3, np.float32)).peak == 1


def test_the_first_forty_seconds_that_are_not_silent_show_the_speaker(converter, monkeypatch):
    taken = []
    monkeypatch.setattr(converter, "estimate_speaker", taken.append)
    second = lambda level: np.full((RATE, 2), level, np.float32)
    estimate_speaker([second(0.0), second(5e-5), *(second(0.01 * number) for number in range(1, 60)), second(0.0)], RATE, converter)
    np.testing.assert_allclose(taken[0], np.repeat(0.01 * np.arange(1, 41, dtype=np.float32), RATE), rtol=1e-6)
    estimate_speaker([second(0.0)], RATE, converter)
    assert taken[1].shape == (0,)


def test_windows_of_detection_are_level_and_count_by_their_speech(tmp_path: Path, monkeypatch):
    converter = opened(tmp_path / "m.keras", active_level=[-4.0, -5.0, -6.0])
    audio = 0.05 * voice(8.0)
    audio[5 * RATE :] = 0.0  # one second of speech in the second window of four
    seen, answers = [], iter(np.log([[[0.8, 0.1, 0.1]], [[0.1, 0.1, 0.8]]]).astype(np.float32))
    monkeypatch.setattr(converter, "_detect", lambda mel: seen.append(mel.numpy()[0]) or tf.constant(next(answers)))
    speaker = converter.estimate_speaker(audio)
    aligned = np.concatenate(seen)
    mel, contour = (values[: len(aligned)] for values in converter.spectra(audio))  # a last window of one frame has no speech
    active = active_frames(mel, CONVENTION)
    assert aligned[active].mean() == pytest.approx(-5.0, abs=1e-4)  # the mean of the domains
    np.testing.assert_allclose(aligned - mel, -5.0 - mel[active].mean(), atol=1e-4)
    spoken = active & (contour > 0)
    first, second = spoken[: len(seen[0])].sum(), spoken[len(seen[0]) :].sum()
    assert first > 2 * second > 0
    scores = (first * np.log([0.8, 0.1, 0.1]) + second * np.log([0.1, 0.1, 0.8])) / (first + second)
    np.testing.assert_allclose(speaker.probabilities, np.exp(scores) / np.exp(scores).sum(), atol=1e-5)


def test_a_quiet_recording_is_lifted_to_the_level_of_training(tmp_path: Path, monkeypatch):
    """What the network sees is as loud as the source domain was in training; what it returns is put back to the recording's level."""
    converter = opened(tmp_path / "m.keras", active_level=[-4.0, -5.0, -6.0])
    audio = voice(3.0)
    seen = []
    monkeypatch.setattr(converter, "converted", lambda mel, source, target, strength: seen.append(mel) or mel)
    options = ConvertOptions(to="carla", source="bruno", keep_f0=True)
    synthesis = choose_synthesis(converter, options)
    offsets = []
    for gain in (1.0, 0.01):
        quiet = np.float32(gain) * audio
        speaker = estimate_speaker([quiet[:, None]], RATE, converter)
        chosen = choose_voice(speaker, converter, options)
        offsets.append(chosen.offset)
        made = np.concatenate(list(convert_blocks([quiet[:, None]], 1, VoiceStream(converter, synthesis, chosen, options, RATE))), axis=1)
        active = active_frames(seen[-1], CONVENTION)
        assert seen[-1][active].mean() == pytest.approx(-5.0, abs=0.05)
        np.testing.assert_allclose(made[0], quiet, atol=0.02 * gain)  # nothing was converted, so nothing is changed
    assert offsets[1] - offsets[0] == pytest.approx(np.log(100.0), abs=0.05)
    vocoder = Listener()
    stream = VoiceStream(converter, Synthesis("mel", vocoder), chosen, ConvertOptions(to="carla", source="bruno"), RATE)
    for _ in convert_blocks([quiet[:, None]], 1, stream):
        pass
    np.testing.assert_allclose(vocoder.seen[0], np.maximum(seen[-1] - chosen.offset, CONVENTION.lowest), atol=1e-5)


class Listener:
    """A vocoder that keeps the spectra that it is given, and says nothing."""

    convention, overlap, name, sha256 = CONVENTION, 0, "listener", ""

    def __init__(self):
        self.seen = []

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        self.seen.append(mel)
        return np.zeros(len(mel) * CONVENTION.hop, np.float32)


@pytest.mark.parametrize("channels, options", [(1, {"to": "carla"}), (2, {"anonymize": True, "seed": 3, "keep_f0": True})])
def test_an_array_is_converted_as_a_file(tmp_path: Path, channels: int, options):
    audio = np.stack([with_pauses(13.0, 16000, seed) for seed in range(channels)], axis=1)
    audio = audio[:, 0] if channels == 1 else audio
    write_wav(tmp_path / "a.wav", audio, 16000, "FLOAT")
    options = ConvertOptions(**options)
    task = ConvertTask(find_converter(write_converter(tmp_path / "formula.keras")), options)
    (job,) = plan_files(task, [tmp_path / "a.wav"], tmp_path / "out.wav").jobs
    assert do_job(task.opened(), job).status == "done"
    made = convert_array(task.converter, audio, 16000, options, task.synthesis)
    assert (made.shape, made.dtype) == (audio.shape, np.float32)
    np.testing.assert_array_equal(made, soundfile.read(tmp_path / "out.wav", dtype="float32")[0])
    assert np.abs(made - audio).max() > 0.01


def test_anonymous_voices_are_far_repeatable_and_seeded(converter):
    speaker = np.array([0.9, 0.05, 0.05])
    mixes = [converter.far_mix(speaker, seed) for seed in range(5)]
    for mix in mixes:
        assert mix[0] == 0
        assert mix.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(mixes[1], converter.far_mix(speaker, 1))
    assert len({tuple(mix) for mix in mixes}) == 5
    assert converter.distances(converter.code(0))[0] == pytest.approx(0.0, abs=1e-6)
    assert converter.distances(converter.code(0))[2] > converter.distances(converter.code(0))[1] > 0


def test_an_anonymous_voice_is_mixed_of_the_farther_half(tmp_path: Path):
    names, tilts = tuple("abcdef"), (0.0, 0.2, 5.0, 0.1, 4.0, 3.0)
    converter = opened(tmp_path / "m.keras", domains=names, tilts=tilts, f0_mean=np.full(6, np.log(150.0)))
    drawn = np.array([converter.far_mix(converter.code(0), seed) for seed in range(8)])
    np.testing.assert_array_equal(drawn.any(axis=0), [False, False, True, False, True, True])
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0, rtol=1e-6)
    other = opened(tmp_path / "n.keras", f0_mean=np.log([100.0, 200.0, 100.0]), tilts=(0.0, 0.0, 0.0))
    np.testing.assert_allclose(other.distances(other.code(0)), [0.0, 3.0, 0.0], atol=1e-5)  # an octave is three thirds


def test_a_stranger_is_centred(converter):
    low = voice(14.0) * np.float32(0.5)
    speaker = converter.estimate_speaker(low)
    assert speaker.voiced_seconds < 10 or abs(speaker.median - np.log(120)) < 0.1
    stranger = type(speaker)(1.0, np.array([1.0, 0.0, 0.0]), np.log(160.0), 30.0, 0.6, speaker.level)
    chosen = choose_voice(stranger, converter, ConvertOptions(to="carla"))
    assert chosen.centre == pytest.approx(np.log(120 / 160), abs=1e-4)
    assert choose_voice(stranger, converter, ConvertOptions(to="carla", source="anna")).centre == 0
    short = type(speaker)(1.0, np.array([1.0, 0.0, 0.0]), np.log(160.0), 5.0, 0.6, speaker.level)
    assert choose_voice(short, converter, ConvertOptions(to="carla")).centre == 0


def test_a_guessed_source_and_one_that_is_the_target_are_noted(converter):
    speaker = converter.estimate_speaker(voice(3.0))
    unsure = type(speaker)(1.0, np.array([0.34, 0.33, 0.33]), speaker.median, 3.0, 0.6, speaker.level)
    assert "from anna, 34% sure, which is hardly more than a guess" in choose_voice(unsure, converter, ConvertOptions(to="carla")).note
    assert "it is anna already" in choose_voice(unsure, converter, ConvertOptions(to="anna")).note
    sure = type(speaker)(1.0, np.array([0.9, 0.05, 0.05]), speaker.median, 3.0, 0.6, speaker.level)
    assert choose_voice(sure, converter, ConvertOptions(to="carla")).note == "from anna, 90% sure"


def test_a_long_consent_note_is_cut_in_the_tag(tmp_path: Path):
    options, voice_ = ConvertOptions(to="carla", keep_f0=True), Voice(np.ones(3) / 3, np.ones(3) / 3, "anna", "carla")
    for length, kept in ((400, 400), (401, 400)):
        converter = opened(tmp_path / f"{length}.keras", consent="x" * length)
        tag = provenance_of(converter, Synthesis("filter"), voice_, options)
        assert len(tag["consent"]) == kept
        assert tag["consent"].endswith("..." if length > kept else "x")
        assert (tag["pitch"], tag["converted_from"], tag["converted_to"]) == ("kept", "anna", "carla")


def test_a_centred_pitch_arrives_at_the_targets(tmp_path: Path, monkeypatch):
    """A recording of 120 Hz by a speaker whose domain lies at 160 Hz: its pitch is taken for that, and goes to the target's 240 Hz."""
    converter = opened(tmp_path / "m.keras", f0_mean=np.log([160.0, 170.0, 240.0]))
    shifts = []
    monkeypatch.setattr(world, "resynthesise", lambda audio, convention, shift, nepers: shifts.append(shift) or audio)
    chosen = Voice(converter.code(0), converter.code(2), "anna", "carla", centre=float(np.log(160 / 120)))
    stream = VoiceStream(converter, Synthesis("world"), chosen, ConvertOptions(to="carla"), RATE)
    stream.piece(voice(2.0)[None])
    np.testing.assert_allclose(shifts[0], np.log(240 / 120), atol=0.02)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"to": ""}, "No target"),
        ({"anonymize": True}, "cannot be combined"),
        ({"strength": 2.5}, "--strength is 2.5"),
        ({"semitones": 3.0, "keep_f0": True}, "cannot be combined"),
        ({"semitones": 99.0}, "--pitch is 99"),
    ],
)
def test_options_are_checked(change, message):
    with pytest.raises(UsageError, match=message):
        ConvertOptions(**{"to": "anna", **change}).check()


def test_the_way_to_a_waveform(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(model_file, "PRETRAINED", tmp_path / "missing")
    by_world = opened(tmp_path / "a.keras")
    assert choose_synthesis(by_world, ConvertOptions(to="anna")).method == "world"
    assert choose_synthesis(by_world, ConvertOptions(to="anna", keep_f0=True)).method == "filter"
    assert choose_synthesis(by_world, ConvertOptions(to="anna", vocoder="griffin-lim")).vocoder.name == "griffin-lim"
    with pytest.raises(UsageError, match="leaves the pitch unchanged"):
        choose_synthesis(by_world, ConvertOptions(to="anna", vocoder="filter"))
    with pytest.raises(RunError, match="lacks the bundled vocoder"):
        choose_synthesis(by_world, ConvertOptions(to="anna", vocoder="mel"))
    by_mel = opened(tmp_path / "b.keras", vocoder="mel")
    fallen_back = choose_synthesis(by_mel, ConvertOptions(to="anna"))
    assert fallen_back.method == "world"
    assert "--vocoder RUN" in fallen_back.note
    monkeypatch.setattr(world, "is_installed", lambda: False)
    assert choose_synthesis(by_mel, ConvertOptions(to="anna")).method == "mel"
    envelopes = opened(tmp_path / "c.keras", features="world")
    with pytest.raises(UsageError, match="hold no harmonics"):
        choose_synthesis(envelopes, ConvertOptions(to="anna", vocoder="griffin-lim"))
