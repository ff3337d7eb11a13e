"""`generate` for models that are told pitch and instrument: choice, turns, kept latents, morphs, grids, variations of recordings."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.generate.latents import draw_latents, grid, read_latents, slerp, vary, write_latents
from gansynth_cli.inference.generate.request import GenerateOptions, Plan, take_turns, wide_steps
from gansynth_cli.inference.generate.session import open_session
from gansynth_cli.inference.generate.sources import fit_clip, play
from gansynth_cli.inference.generate.write import generate

from .conftest import write_wav
from .note_models import DIM, INSTRUMENTS, PITCHES, RATE, SAMPLES, save_model


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("notes") / "generator.keras")


@pytest.fixture(scope="module")
def deaf(tmp_path_factory) -> Path:
    """The same without an encoder."""
    return save_model(tmp_path_factory.mktemp("deaf") / "generator.keras", encoder=False)


@pytest.fixture(scope="module")
def session(notes):
    return open_session(notes)


def run(arguments: list, capsys, *verb: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([*(verb or ("generate",)), *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def interpolate(arguments: list, capsys) -> tuple[int, str, str]:
    return run(arguments, capsys, "latents", "interpolate")


def vary_(arguments: list, capsys) -> tuple[int, str, str]:
    return run(arguments, capsys, "latents", "vary")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sound(folder: Path, row: dict[str, str]) -> np.ndarray:
    return audio_file.read(folder / row["file"])[0]


def pitch_of(audio: np.ndarray) -> float:
    """MIDI number of the lowest strong partial."""
    spectrum = np.abs(np.fft.rfft(audio[:, 0] * np.hanning(len(audio)), 1 << 15))
    first = np.flatnonzero(spectrum > 0.1 * spectrum.max())[0]
    peak = first + np.argmax(spectrum[first : first + 40])
    return 69 + 12 * math.log2(peak * RATE / (1 << 15) / 440)


# Turns.


@pytest.mark.parametrize("sizes", [[], [1], [3], [2, 2], [4, 6], [5, 2], [2, 3, 4], [6, 4, 10]])
def test_turns_give_every_combination_once_and_then_begin_again(sizes):
    count = math.prod(sizes)
    turns = [tuple(take_turns(sizes, turn)) for turn in range(2 * count)]
    assert set(turns[:count]) == set(itertools.product(*map(range, sizes)))
    assert turns[:count] == turns[count:]
    if len(sizes) > 1 and count > 1:  # every place moves on at every turn
        assert all(a != b for a, b in zip(*turns[:2], strict=True))


@pytest.mark.parametrize("count", range(1, 90))
def test_wide_steps_are_a_permutation_whose_beginning_spans_the_range(count):
    order = wide_steps(count)
    assert sorted(order) == list(range(count))
    if count >= 20:
        assert max(np.diff([0, *sorted(order[:8]), count - 1])) < 0.35 * count


def test_pitches_take_turns_with_instruments(session):
    plan = Plan(GenerateOptions(clips=4, pitches=(60, 61)), session)
    assert [(c.attributes["pitch"], c.attributes["instrument"]) for c in plan.clips()] == [
        ("60", "flute"),
        ("61", "steel guitar"),
        ("60", "steel guitar"),
        ("61", "flute"),
    ]
    assert plan.conditions(range(2))["pitch"].tolist() == [3, 4]
    assert plan.clip(1).caption == "steel guitar C#4"
    everything = Plan(GenerateOptions(clips=10), session)
    assert {(c.attributes["pitch"], c.attributes["instrument"]) for c in everything.clips()} == {
        (str(p), i) for p in PITCHES for i in INSTRUMENTS
    }
    assert np.array_equal(plan.latents([2]), everything.latents([2]))  # the latent does not depend on what is played


# Choosing.


def test_chosen_notes_are_played_named_and_listed(notes, session, tmp_path, capsys):
    code, stdout, stderr = run(
        [notes, "-n", 3, "--pitch", "C3,E3", "--pitch", "Db4", "--instrument", "flute", "-o", tmp_path, "--json"], capsys
    )
    assert code == 0
    assert "pitches 48, 52, 55, 60-61 (C3 to C#4); instrument flute, steel guitar" in stderr
    assert json.loads(stdout)["written"] == 3
    table = rows(tmp_path)
    assert list(table[0]) == ["file", "index", "seed", "label", "pitch", "instrument", "sample_rate", "samples", "peak", "model"]
    assert [row["file"] for row in table] == ["000000_048_flute_0.wav", "000001_052_flute_0.wav", "000002_061_flute_0.wav"]
    for row in table:
        assert row["instrument"] == "flute"
        told = {"pitch": PITCHES.index(int(row["pitch"])), "instrument": 0}
        expected = play(session, draw_latents(0, [int(row["index"])], DIM, "normal"), [told])[0]
        assert sound(tmp_path, row) == pytest.approx(expected, abs=2 / 32768)
        mark = audio_file.read_tag(tmp_path / row["file"])
        assert (mark["pitch"], mark["instrument"]) == (row["pitch"], "flute")
    code, stdout, _ = run([notes, "-n", 4, "--pitch", "C3,E3,61", "--instrument", "flute", "-o", tmp_path, "--json"], capsys)
    assert (code, json.loads(stdout)["kept"]) == (0, 3)
    code, _, stderr = run([notes, "-n", 4, "--pitch", "C3", "-o", tmp_path], capsys)
    assert code == 2
    assert "pitch is" in stderr


def test_template_with_pitch_and_folders(notes, tmp_path, capsys):
    template = "{instrument}/{pitch:03d}-{index}"
    assert run([notes, "-n", 2, "--pitch", "60", "-o", tmp_path, "--template", template], capsys)[0] == 0
    assert [row["file"] for row in rows(tmp_path)] == ["flute/060-0.wav", "steel_guitar/060-1.wav"]


def test_clips_of_another_kind_of_model_may_join_the_folder(session, tmp_path):
    from .test_generate import FakeSession

    generate(Plan(GenerateOptions(clips=2), FakeSession()), tmp_path)
    generate(Plan(GenerateOptions(clips=2, template="{index}-{pitch}"), session), tmp_path, existing="skip")
    table = rows(tmp_path)
    assert [(row["pitch"] != "", row["instrument"] != "") for row in table].count((True, True)) == 2
    assert sorted(int(row["sample_rate"]) for row in table) == [RATE] * 4


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["--pitch", "C7"], "The model has no pitch 96 (C7); it has 48, 52, 55, 60-61 (C3 to C#4). The nearest is 61."),
        (["--pitch", "36-84"], "no pitch 36 (C2)"),
        (["--pitch", "H4"], "'H4' is not a pitch"),
        (["--pitch", "E4-C4"], "falls"),
        (["--instrument", "flut"], "Did you mean 'flute'? It has: flute, steel guitar."),
        (["--velocity", "100"], "is not conditioned on velocity"),
        (["--label", "kick"], "unconditional"),
        (["--template", "{velocity}"], "{velocity}, but the model has no velocity; it may use {index}, {seed}, {pitch}, {instrument}"),
        (["--latents", "none.npy"], "--latents none.npy does not exist"),
        (["--latents", "none.npy", "--seed", "0"], "--seed cannot be combined with --latents"),
        (["--latents", "none.npy", "-n", "3"], "-n cannot be combined with --latents"),
        (["--vary", "0"], "No such option: --vary"),
        (["--starts", "2"], "No such option: --starts"),
    ],
)
def test_what_contradicts_the_model_or_itself_is_refused(notes, tmp_path, capsys, arguments, expected):
    code, stdout, stderr = run([notes, "-o", tmp_path / "out", *arguments], capsys)
    assert (code, stdout) == (2, "")
    assert expected in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "verb,arguments,expected",
    [
        ("interpolate", ["1", "nothing"], "nothing is no seed, and no file of that name"),
        ("interpolate", ["1", "2", "--pitch", "C7"], "The model has no pitch 96"),
        ("grid", ["1", "2", "3", "4", "--steps", "9"], "expected 2 to 8"),
        ("grid", ["1", "2", "3", "4", "--seed", "0"], "No such option: --seed"),
        ("grid", ["1", "2", "3", "4", "--contact-sheet"], "No such option: --contact-sheet"),
        ("grid", ["1", "2", "3"], "takes 4 values"),
        ("match", ["none.wav"], "none.wav does not exist"),
        ("match", ["none.wav", "--save-latents"], "No such option: --save-latents"),
        ("vary", ["none.wav"], "none.wav does not exist"),
        ("vary", ["none.wav", "--amount", "1.5"], "--amount is 1.5"),
        ("vary", ["none.wav", "--first", "3"], "No such option: --first"),
    ],
)
def test_what_the_commands_of_latents_refuse(notes, tmp_path, capsys, verb, arguments, expected):
    code, stdout, stderr = run([notes, *arguments, "-o", tmp_path / "out"], capsys, "latents", verb)
    assert (code, stdout) == (2, "")
    assert expected in stderr
    assert not (tmp_path / "out").exists()


# Latents: kept, mixed, varied.


def test_a_kept_latent_gives_the_sound_again_to_the_bit(notes, tmp_path, capsys):
    assert (
        run([notes, "-n", 20, "--seed", 3, "--pitch", "60", "--instrument", "flute", "-o", tmp_path / "a", "--save-latents"], capsys)[0]
        == 0
    )
    liked = tmp_path / "a" / "000013_060_flute_3.npy"
    assert np.array_equal(np.load(liked), draw_latents(3, [13], DIM, "normal")[0])
    again = ["--latents", liked, "--pitch", "60", "--instrument", "flute"]
    assert run([notes, *again, "-o", tmp_path / "b"], capsys)[0] == 0
    assert np.array_equal(sound(tmp_path / "a", rows(tmp_path / "a")[13]), sound(tmp_path / "b", rows(tmp_path / "b")[0]))
    assert rows(tmp_path / "b")[0]["seed"] == "000013_060_flute_3"
    code, stdout, _ = run([notes, *again, "-o", tmp_path / "b", "--json"], capsys)
    assert (code, json.loads(stdout)["kept"]) == (0, 1)
    both = ["--latents", liked, "--latents", tmp_path / "a" / "000002_060_flute_3.npy", "--pitch", "C3,E3"]
    assert run([notes, *both, "-o", tmp_path / "c"], capsys)[0] == 0
    assert [(row["seed"][:6], row["pitch"]) for row in rows(tmp_path / "c")] == [
        ("000013", "48"),
        ("000002", "48"),
        ("000013", "52"),
        ("000002", "52"),
    ]


def test_latent_files(tmp_path):
    write_latents(tmp_path / "a.npy", np.arange(DIM))
    assert read_latents(tmp_path / "a.npy", DIM).tolist() == [[0, 1, 2, 3]]
    np.save(tmp_path / "nan.npy", np.full(DIM, np.nan))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.savez(tmp_path / "many.npz", a=np.zeros(DIM))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    (tmp_path / "not.npy").write_text("no")
    for name, length, expected in (
        ("a.npy", DIM + 1, "have 5"),
        ("nan.npy", DIM, "not finite"),
        ("text.npy", DIM, "expected numbers"),
        ("many.npy", DIM, "archive"),
        ("not.npy", DIM, "cannot be read"),
        ("none.npy", DIM, "do not exist"),
    ):
        with pytest.raises(UsageError, match=expected):
            read_latents(tmp_path / name, length)


def test_grid_has_its_corners_to_the_bit_and_paths_on_its_sides():
    corners = [draw_latents(seed, [0], 6, "normal")[0] for seed in range(4)]
    square = grid(corners, 5, "slerp").reshape(5, 5, 6)
    for place, corner in zip(((0, 0), (0, 4), (4, 0), (4, 4)), corners, strict=True):
        assert np.array_equal(square[place], corner)
    assert square[0, 2] == pytest.approx(slerp(corners[0], corners[1], 0.5), abs=1e-6)
    assert square[2, 0] == pytest.approx(slerp(corners[0], corners[2], 0.5), abs=1e-6)
    flat = grid(corners, 3, "lerp").reshape(3, 3, 6)
    assert flat[1, 1] == pytest.approx(np.mean(corners, axis=0), abs=1e-6)


def test_variations_go_from_the_recording_to_the_prior():
    mean = draw_latents(1, [0], 2000, "normal")[0]
    fresh = draw_latents(2, range(3), 2000, "normal")
    assert np.array_equal(vary(mean, fresh, 0.0), np.stack([mean] * 3))
    assert np.array_equal(vary(mean, fresh, 1.0), fresh)
    for amount in (0.3, 0.7):
        some = vary(mean, fresh, amount)
        assert some.std() == pytest.approx(1.0, abs=0.06)
        assert np.corrcoef(some[0], mean)[0, 1] == pytest.approx(math.sqrt(1 - amount**2), abs=0.06)


# Morphs and grids.


def test_morph_from_a_kept_latent_to_a_seed_for_each_pitch(notes, tmp_path, capsys):
    write_latents(tmp_path / "liked.npy", draw_latents(9, [4], DIM, "normal"))
    code, _, _ = interpolate([notes, tmp_path / "liked.npy", 7, "--steps", 4, "--pitch", "C3,C4", "-o", tmp_path / "m"], capsys)
    assert code == 0
    table = rows(tmp_path / "m")
    assert [row["pitch"] for row in table] == ["48"] * 4 + ["60"] * 4
    assert {(row["seed"], row["instrument"]) for row in table} == {("liked-7", "flute")}  # not told: the first one
    assert interpolate([notes, 4, 7, "--steps", 3, "-o", tmp_path / "w"], capsys)[0] == 0
    assert {row["pitch"] for row in rows(tmp_path / "w")} == {"60"}  # not told: what is nearest to middle C
    end = rows(tmp_path / "w")[2]
    assert run([notes, "--seed", 7, "-n", 1, "--pitch", 60, "--instrument", "flute", "-o", tmp_path / "s"], capsys)[0] == 0
    assert sound(tmp_path / "w", end) == pytest.approx(sound(tmp_path / "s", rows(tmp_path / "s")[0]), abs=2 / 32768)


def test_grid_draws_its_picture(notes, tmp_path, capsys):
    from PIL import Image

    code, stdout, _ = run([notes, 1, 2, 3, 4, "--steps", 3, "--pitch", "C3,C4", "-o", tmp_path, "--json"], capsys, "latents", "grid")
    assert code == 0
    assert json.loads(stdout)["clips"] == 18
    sheets = sorted(path.name for path in tmp_path.glob("*.png"))
    assert sheets == ["contact-sheet-00.png", "contact-sheet-01.png"]
    with Image.open(tmp_path / sheets[0]) as page:
        assert page.width < 3.6 * 210  # three tiles wide


# Recordings.


@pytest.fixture
def guitar(session, tmp_path) -> Path:
    """A note that the model can make, in a stereo file of another rate, longer than a clip."""
    latent = np.array([[1.0, -1.0, 0.5, -0.5]], np.float32)
    audio = play(session, latent, [{"pitch": 2, "instrument": 1}])[0]
    longer = np.concatenate([audio, np.zeros((2000, 1), np.float32)])
    return write_wav(tmp_path / "guitar.wav", np.repeat(audio_file.resample(longer, RATE, 16000), 2, axis=1), 16000)


def test_a_recording_is_fitted_and_said(session, guitar, tmp_path):
    clip = fit_clip(session, guitar)
    assert clip.audio.shape == (SAMPLES, 1)
    assert "0.26 s, 8000 Hz" in clip.note
    short = fit_clip(session, write_wav(tmp_path / "short.wav", 0.1 * np.ones(1000)))
    assert "padded with silence to 0.26 s" in short.note
    assert not short.audio[1000:].any()


def test_variations_of_a_recording(notes, guitar, tmp_path, capsys):
    code, stdout, stderr = vary_([notes, guitar, "--amount", 0, "-o", tmp_path / "same", "--json"], capsys)
    assert (code, json.loads(stdout)["written"]) == (0, 1)
    assert "classified as pitch 55, instrument steel guitar" in stderr
    row = rows(tmp_path / "same")[0]
    assert (row["pitch"], row["instrument"], row["seed"]) == ("55", "steel guitar", "guitar")
    heard = audio_file.read(guitar, sample_rate=RATE)[0][:SAMPLES, :1]
    rebuilt = sound(tmp_path / "same", row)
    assert np.corrcoef(heard[:, 0], rebuilt[:, 0])[0, 1] > 0.99
    distance = []
    for amount in (0.2, 0.9):
        folder = tmp_path / f"v{amount}"
        assert vary_([notes, guitar, "--amount", amount, "-n", 8, "--seed", 1, "-o", folder], capsys)[0] == 0
        assert {row["pitch"] for row in rows(folder)} == {"55"}
        distance.append(np.mean([np.abs(sound(folder, row) - rebuilt).mean() for row in rows(folder)]))
    assert 0 < distance[0] < 0.5 * distance[1]


def test_the_timbre_of_a_recording_at_other_pitches(notes, guitar, tmp_path, capsys):
    assert vary_([notes, guitar, "--amount", 0, "--pitch", "C3,C4", "-o", tmp_path / "o"], capsys)[0] == 0
    table = rows(tmp_path / "o")
    assert [(row["pitch"], row["instrument"]) for row in table] == [("48", "steel guitar"), ("60", "steel guitar")]
    assert pitch_of(sound(tmp_path / "o", table[1])) == pytest.approx(60, abs=0.3)


def test_between_two_recordings_each_half_has_the_classes_of_its_end(notes, session, guitar, tmp_path, capsys):
    flute = play(session, np.zeros((1, DIM), np.float32), [{"pitch": 0, "instrument": 0}])[0]
    other = write_wav(tmp_path / "flute.wav", flute[:, 0], RATE)
    assert interpolate([notes, guitar, other, "--steps", 4, "-o", tmp_path / "o"], capsys)[0] == 0
    table = rows(tmp_path / "o")
    assert [row["instrument"] for row in table] == ["steel guitar"] * 2 + ["flute"] * 2
    assert [row["pitch"] for row in table] == ["55", "55", "48", "48"]
    assert {row["seed"] for row in table} == {"guitar-flute"}


def test_without_an_encoder_the_way_on_is_named(deaf, guitar, tmp_path, capsys):
    for command, arguments in ((vary_, [guitar]), (interpolate, [guitar, 1])):
        code, _, stderr = command([deaf, *arguments, "-o", tmp_path / "o"], capsys)
        assert code == 2
        assert "has no encoder" in stderr
        assert f"gan-audio latents match RUN {guitar}" in stderr


def test_variations_of_a_kept_latent_need_no_encoder(deaf, tmp_path, capsys):
    latent = draw_latents(5, [2], DIM, "normal")
    write_latents(tmp_path / "7.npy", latent)
    arguments = [tmp_path / "7.npy", "--amount", 0.1, "-n", 3, "--pitch", "C3", "--save-latents", "-o", tmp_path / "o"]
    assert vary_([deaf, *arguments], capsys)[0] == 0
    found = [np.load(tmp_path / "o" / f"{Path(row['file']).stem}.npy") for row in rows(tmp_path / "o")]
    assert {row["seed"] for row in rows(tmp_path / "o")} == {"7"}
    assert np.array_equal(found, vary(latent[0], draw_latents(0, range(3), DIM, "normal"), 0.1))


def test_recordings_that_cannot_be_used(notes, tmp_path, capsys):
    silent = write_wav(tmp_path / "silent.wav", np.zeros(4000))
    code, _, stderr = vary_([notes, silent, "-o", tmp_path / "o"], capsys)
    assert code == 1
    assert "silent" in stderr
