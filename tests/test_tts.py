"""Text-to-speech: tokens, alignment, features of recordings with transcripts, windows, losses, the model's controls, corpora."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.data.corpora.labelling import label_sources
from gansynth_cli.data.corpora.source_file import LabelOptions
from gansynth_cli.data.dataset_info import DatasetInfo
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.data.prepare.clip_cutting import CutOptions
from gansynth_cli.data.prepare.job import prepare
from gansynth_cli.data.prepare.report import PrepareOptions
from gansynth_cli.data.prepare.work import SplitOptions
from gansynth_cli.data.speech_features import durations_of, phone_prosody, read_speech, with_whole_pauses
from gansynth_cli.data.text.aligner import Utterance, align, standardised
from gansynth_cli.data.text.phone_tokens import SILENCE, nearest_symbol, phone_table, phone_tokens, token_ids
from gansynth_cli.data.text.tokens import Word
from gansynth_cli.errors import DatasetError
from gansynth_cli.families.registry import family_class
from gansynth_cli.layers.speech import frame_inputs
from gansynth_cli.models.model_file import find_model
from gansynth_cli.models.speech_synthesiser import contour_of, rounded, spread
from gansynth_cli.recipe import load_recipe
from gansynth_cli.signal.mel_convention import MelConvention

from .conftest import write_wav
from .helpers import noise
from .speech_fixtures import PHONES, write_spoken

# Tokens.


def test_tokens_have_stress_and_place() -> None:
    tokens = phone_tokens([Word("the", ("ð", "ə")), Word("o", ("ˈo͡ʊ",), ","), Word("cat", ("k", "ˌæ", "t"), ".")])
    assert [t.symbol for t in tokens] == [SILENCE, "ð", "ə", "oʊ", ",", "k", "æ", "t", ".", SILENCE]
    assert [t.stress for t in tokens] == [0, 0, 0, 1, 0, 0, 2, 0, 0, 0]
    assert [t.place for t in tokens] == [4, 1, 3, 0, 4, 1, 2, 3, 4, 4]
    ids, missing = token_ids(tokens, {SILENCE: 0, "ð": 1, "ə": 2, "o": 3, ",": 4, "k": 5, "æ": 6, "t": 7})
    assert missing == ["oʊ", "."]
    assert [number for number, _, _ in ids] == [0, 1, 2, 3, 4, 5, 6, 7, 4, 0]
    assert nearest_symbol("ʘ", {SILENCE: 0}) == SILENCE


# Alignment.


def _spoken(rng: np.random.Generator, phones: list[int], means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    durations = rng.integers(3, 10, len(phones))
    frames = np.repeat(means[phones], durations, axis=0)
    return (frames + 0.5 * rng.standard_normal(frames.shape)).astype(np.float32), durations


def test_the_aligner_finds_boundaries_and_wrong_transcripts() -> None:
    rng = np.random.default_rng(0)
    means = rng.standard_normal((8, 12))
    texts = [[0, *rng.permutation(np.arange(1, 7)), 7, *rng.permutation(np.arange(1, 7)), 0] for _ in range(30)]
    frames, durations = zip(*(_spoken(rng, text, means) for text in texts), strict=True)
    texts[7] = texts[7][:1] + [1, 2] * 30 + texts[7][-1:]  # far more text than is spoken
    texts[11] = [0, 3, 0]  # far less
    utterances = [
        Utterance(str(i), features, tuple(map(str, text)), tuple(p == 0 for p in text))
        for i, (features, text) in enumerate(zip(standardised(frames), texts, strict=True))
    ]
    found = align(utterances)
    errors = np.concatenate(
        [np.abs(np.cumsum(a.durations) - np.cumsum(d)) for i, (a, d) in enumerate(zip(found, durations, strict=True)) if i not in (7, 11)]
    )
    assert np.median(errors) == 0
    assert np.mean(errors <= 1) > 0.95
    assert [i for i, one in enumerate(found) if one.problem] == [7, 11]
    assert all(one.durations.sum() == len(f) for one, f in zip(found, frames, strict=True) if one.durations.any())


def test_boundaries_are_rounded_and_no_token_is_lost() -> None:
    convention = MelConvention().resolved(16000)
    assert durations_of(np.array([0.1, 0.108, 0.2]), 13, convention).tolist() == [6, 1, 6]
    assert durations_of(np.array([0.1, 0.1, 0.1, 0.1]), 7, convention).tolist() == [4, 1, 1, 1]
    assert rounded(np.array([1.4, 1.4, 1.4, 0.2])).tolist() == [1, 2, 1, 1]
    owner, place = spread(np.array([2, 1]))
    assert owner.tolist() == [0, 0, 1]
    assert place.tolist() == pytest.approx([0.25, 0.75, 0.5])


def test_silence_before_a_pause_belongs_to_it() -> None:
    energy = np.array([0, 0, 0, -9, -9, -9, 0, -9], float)
    moved = with_whole_pauses(np.array([2, 3, 1, 2]), [False, False, True, False], energy)
    assert moved.tolist() == [2, 1, 3, 2]


def test_prosody_of_thirds() -> None:
    ln_f0 = np.array([0, 5.0, 5.2, 0, 0, 5.8], np.float32)
    energy = np.arange(6, dtype=np.float32)
    prosody = phone_prosody(ln_f0, energy, np.array([3, 3]))
    np.testing.assert_allclose(prosody[0, :, 0], [5.0, 5.0, 5.2], atol=1e-6)
    np.testing.assert_allclose(prosody[1, :, 0], [5.4, 5.6, 5.8], atol=1e-5)  # between voiced frames it is interpolated
    np.testing.assert_array_equal(prosody[:, :, 1], [[0, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(prosody[:, :, 2], [[0, 1, 2], [3, 4, 5]])
    short = phone_prosody(ln_f0, energy, np.array([1, 5]))
    np.testing.assert_array_equal(short[0, :, 2], [0, 0, 0])


def test_frames_take_the_prosody_of_their_third() -> None:
    prosody = tf.reshape(tf.range(18, dtype=tf.float32), [1, 2, 3, 3])
    inputs = frame_inputs(prosody, tf.constant([[2.0, 4.0]]), tf.constant([[0, 1, 1]]), tf.constant([[0.0, 0.5, 0.99]]))[0].numpy()
    np.testing.assert_allclose(inputs[:, 2:], [[0, 1, 2], [12, 13, 14], [15, 16, 17]])
    np.testing.assert_allclose(inputs[:, 1], np.log([2, 4, 4]), rtol=1e-6)


# Data, from recordings to windows.


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> tuple[Path, DatasetInfo]:
    """A data set of two voices with a recipe's features."""
    folder = tmp_path_factory.mktemp("spoken")
    write_spoken(folder / "in")
    recipe = load_recipe("tts/tiny")
    options = PrepareOptions(CutOptions(clip_samples=0), LabelOptions(layout="text"), SplitOptions("auto", 0.0, 0.0))
    speech = recipe.model.speech_features(16000)
    report = prepare([folder / "in"], folder / "data", options, speech=speech, jobs=1)
    return folder / "data", report.info


def test_features_are_the_teachers(spoken) -> None:
    folder, info = spoken
    spec = load_recipe("tts/tiny").model.speech_features(16000)
    facts = info.frame_features[spec.key]
    assert facts["phones"][0] == SILENCE
    assert {p.strip("ˈ") for p in PHONES} <= set(facts["phones"])
    assert phone_table(["ʘ", "a"]) == [*phone_table([]), "ʘ"]  # a table grows at its end: models can be trained on from others
    assert facts["left_out"] == []
    assert {name: one["language"] for name, one in facts["speakers"].items()} == {"ann": "en-us", "bob": "en-us"}
    assert facts["speakers"]["bob"]["f0_mean"] > facts["speakers"]["ann"]["f0_mean"] + 0.4  # an octave higher on average
    clip, values = next(read_speech(info, folder, spec, "train"))
    beside = json.loads((folder.parent / "in" / clip.source).with_suffix(".json").read_text())
    assert len(values["tokens"]) == len(PHONES) + 2
    assert values["durations"].sum() == len(values["mel"])
    ends = np.cumsum(values["durations"])[:-1] * 256 / 16000
    starts = [start / 16000 for _, start, _ in beside["phones"]] + [beside["phones"][-1][2] / 16000]
    np.testing.assert_allclose(ends, starts, atol=0.6 * 256 / 16000)
    voiced = values["prosody"][1:-1, 1, 1] > 0.5
    assert voiced.tolist() == [phone not in ",." for phone in PHONES]


def test_windows_hold_the_frames_of_their_phones(spoken) -> None:
    folder, _ = spoken
    recipe = load_recipe("tts/tiny")
    source = open_source(folder, recipe)
    batch = {k: v.numpy() for k, v in next(iter(source.batches(recipe, "train", seed=3, batch_size=6))).items()}
    known = {values["mel"].tobytes(): values for _, values in source.speech_clips("train")}
    for i in range(6):
        values, start = next(
            (values, s)
            for values in known.values()
            for s in range(max(1, len(values["mel"]) - 31))
            if np.array_equal(values["mel"][s : s + 32], batch["mel"][i][: len(values["mel"]) - s])
        )
        owner = np.repeat(np.arange(len(values["durations"])), values["durations"])[start : start + 32]
        tokens = batch["tokens"][i][batch["frame_phone"][i]]
        np.testing.assert_array_equal(tokens[: len(owner)], values["tokens"][owner])
        np.testing.assert_array_equal(batch["prosody"][i][batch["frame_phone"][i]][: len(owner)], values["prosody"][owner])
        assert batch["frame_weight"][i].sum() >= 32 - 8
        assert set(batch["frame_phone"][i][: len(owner)]) == set(np.flatnonzero(batch["phone_weight"][i]))


def test_a_recording_without_its_transcript_weighs_nothing(tmp_path) -> None:
    write_spoken(tmp_path / "in")
    table = tmp_path / "in" / "metadata.csv"
    table.write_text(table.read_text().replace("Good day, Anna.", "🙂", 1))
    (tmp_path / "in" / "ann" / "0.json").unlink()
    recipe = load_recipe("tts/tiny")
    options = PrepareOptions(CutOptions(clip_samples=0), LabelOptions(layout="text"), SplitOptions("auto", 0.0, 0.0))
    spec = recipe.model.speech_features(16000)
    info = prepare([tmp_path / "in"], tmp_path / "data", options, speech=spec, jobs=1).info
    assert [name for name, _ in info.frame_features[spec.key]["left_out"]] == ["ann/0.wav"]
    source = open_source(tmp_path / "data", recipe)
    batch = next(iter(source.batches(recipe, "train", seed=3, batch_size=6, repeat=False)))
    assert sorted(batch["frame_weight"].numpy().sum(axis=1) > 0) == [False] + 5 * [True]


# The family.


def test_losses_count_what_is_there_and_the_model_obeys(spoken) -> None:
    folder, info = spoken
    recipe = load_recipe("tts/tiny", ["model.dropout=0.0", "model.predictor_dropout=0.0"])
    family = family_class("tts")(recipe, info)
    source = open_source(folder, recipe)
    batch = dict(next(iter(source.batches(recipe, "train", seed=3))))
    losses = family.reconstruction_losses(batch, None)
    assert set(losses) == {"mel", "duration", "pitch", "voicing", "energy"}
    hidden = batch["frame_weight"].numpy() == 0
    batch["mel"] = tf.where(hidden[..., None], 99.0, batch["mel"])  # frames without weight change nothing
    assert float(family.reconstruction_losses(batch, None)["mel"]) == pytest.approx(float(losses["mel"]), rel=1e-5)
    model = family.inference_model(family.networks)
    tokens = np.array([[0, 0, 4], [1, 1, 1], [2, 0, 3], [0, 0, 4]])
    durations = np.array([4, 8, 8, 4])
    spoken = model.synthesise(tokens, 1, 0, 0, durations=durations)
    assert (len(spoken.mel), spoken.durations.tolist(), spoken.audio) == (24, durations.tolist(), None)
    prosody = np.ones((4, 3, 3), np.float32)
    low, high = (model.synthesise(tokens, 1, 0, 0, durations=durations, prosody=prosody, semitones=up).ln_f0 for up in (0.0, 12.0))
    np.testing.assert_allclose(high - low, np.log(2.0), rtol=1e-4)
    slow, fast = (model.synthesise(tokens, 1, 0, 0, speed=speed).durations.sum() for speed in (0.25, 1.0))
    assert slow > fast


def test_a_model_with_a_waveform_is_heard_and_saved(spoken, tmp_path) -> None:
    folder, info = spoken
    sound = [f"losses.sound_{name}=1.0" for name in ("mel", "magnitude", "convergence", "adversarial", "feature_matching")]
    small = ["model.segment_frames=16", "model.mpd={channels=1,periods=[2,3]}", "model.mrd={channels=1,resolutions=[256]}"]
    recipe = load_recipe("tts/tiny", ["model.waveform='source-filter'", "model.discriminators=['mpd','mrd']", *small, *sound])
    family = family_class("tts")(recipe, info)
    batch = next(iter(open_source(folder, recipe).batches(recipe, "train", seed=3)))
    made = family.forward(batch)
    assert made["sound"].shape == made["recording"].shape == (4, 16 * 256, 1)
    # The segment is the recording's where the window has it.
    places = np.lib.stride_tricks.sliding_window_view(batch["audio"][0].numpy(), 16 * 256)[::256]
    assert (places == made["recording"][0, :, 0].numpy()).all(axis=1).any()
    judged = {"adversarial_mpd", "adversarial_mrd"}
    assert set(family.critic_losses(batch, None, made)) == judged
    losses = family.generator_losses(batch, None, made)
    distances = {"sound_mel", "sound_magnitude", "sound_convergence"}
    assert judged | distances | {"mel", "feature_matching_mpd", "feature_matching_mrd"} <= set(losses)
    assert np.isfinite([float(one) for one in losses.values()]).all()
    model = family.inference_model(family.networks)
    tokens = np.array([[0, 0, 4], [1, 1, 1], [2, 0, 3], [0, 0, 4]])
    audio = model.synthesise(tokens, 1, 0, 0, durations=np.array([4, 8, 8, 4])).audio
    assert audio.shape == (24 * 256,)
    model.save(tmp_path / "voice.keras")
    again = find_model(tmp_path / "voice.keras").load().synthesise(tokens, 1, 0, 0, durations=np.array([4, 8, 8, 4])).audio
    np.testing.assert_allclose(again, audio, atol=1e-6)


@pytest.mark.slow
def test_a_voice_trains_against_discriminators(spoken, tmp_path) -> None:
    settings = ["model.waveform='source-filter'", "model.discriminators=['mpd','jcu']", "model.segment_frames=16", "training.steps=3"]
    settings += ["model.mpd={channels=1,periods=[2]}", "losses.sound_mel=1.0", "losses.sound_adversarial=1.0", "training.preview_every=3"]
    chosen = [part for one in settings for part in ("--set", one)]
    command = ["train", "--recipe", "tts/tiny", "--data", str(spoken[0]), "--run", str(tmp_path / "run"), *chosen]
    assert main(command) == 0
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"reconstruction/sound_mel", "critic/adversarial_mpd", "critic/adversarial", "generator/adversarial_mpd"} <= set().union(*logged)
    assert find_model(tmp_path / "run").load().filters is not None


def test_a_contour_runs_through_the_middles_of_its_parts() -> None:
    contour = contour_of(np.array([[5.0, 5.3, 5.6], [5.0, 5.0, 5.0]]), np.array([9, 3]))
    np.testing.assert_allclose(contour[:10], [5.0, 5.0, 5.1, 5.2, 5.3, 5.4, 5.5, 5.6, 5.3, 5.0], atol=1e-6)


def test_small_has_the_published_number_of_weights(spoken) -> None:
    family = family_class("tts")(load_recipe("tts/small"), spoken[1])
    count = lambda name: family.networks[name].count_params()
    assert 2.1e6 < count("encoder") + count("decoder") < 2.6e6  # the design's 2.2 M with 80 phones and one voice


# Corpora.


def _labelled(folder: Path, **options):
    found = [(folder, path) for path in sorted(folder.rglob("*.wav"))]
    return label_sources(found, LabelOptions(**options))


def test_transcripts_of_known_corpora(tmp_path) -> None:
    for name in ("lj/wavs/a", "lj/wavs/b", "pbx/digits/1", "pbx/beep", "vctk/wav48/p225/p225_001"):
        write_wav(tmp_path / f"{name}.wav", noise(2000), 8000)
    (tmp_path / "lj" / "metadata.csv").write_text("a|Dr. No|Doctor No\nb|Two\n")
    (tmp_path / "pbx" / "core-sounds-en.txt.gz").write_bytes(gzip.compress(b"; comment\nbeep: [a beep]\ndigits/1: one\n"))
    (tmp_path / "vctk" / "txt" / "p225").mkdir(parents=True)
    (tmp_path / "vctk" / "txt" / "p225" / "p225_001.txt").write_text("Please call Stella.\n")
    lj = _labelled(tmp_path / "lj", layout="ljspeech", language="de")
    assert [(s.text, s.label, s.language) for s in lj.sources] == [("Doctor No", "lj", "de"), ("Two", "lj", "de")]
    pbx = _labelled(tmp_path / "pbx", layout="asterisk")
    assert [(s.name, s.text, dict(s.attributes)) for s in pbx.sources] == [
        ("digits/1.wav", "one.", {"emotion": "neutral", "language": "en"})
    ]
    assert pbx.left_out == [("beep.wav", "has no transcript")]
    vctk = _labelled(tmp_path / "vctk", layout="vctk")
    assert [(s.text, s.label, s.language) for s in vctk.sources] == [("Please call Stella.", "p225", "en-gb")]
    with pytest.raises(DatasetError, match="language"):
        _labelled(tmp_path / "lj", layout="ljspeech")
    (tmp_path / "lj" / "metadata.csv").write_text("x|Nobody\n")
    with pytest.raises(DatasetError, match="transcripts"):
        _labelled(tmp_path / "lj", layout="ljspeech", language="de")
