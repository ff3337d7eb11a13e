"""Splice, loop, extend and join: what stays, what is made, and where."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli.app import main
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.edit.extend import ExtendOptions, extend, latents_of, texture
from gansynth_cli.inference.edit.loop import find_loop, loop_audio
from gansynth_cli.inference.generate.latents import draw_latents
from gansynth_cli.signal.cross_fade import cross_fade, similarity

from .conftest import write_wav

RATE = 8000


def voice(seconds: float = 1.0, rate: int = RATE, hz: float = 140.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return 0.2 * sum(np.sin(2 * np.pi * hz * k * t + k) / k for k in range(1, 9))


def run(arguments: list, capsys) -> tuple[int, dict, str]:
    capsys.readouterr()
    code = main(["edit", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


# Cross-fades.


def test_cross_fades_keep_the_level():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20_000, 1))
    for second in (one, other, 0.6 * one + 0.8 * other):
        power = (cross_fade(one, second) ** 2).reshape(20, -1).mean(axis=1)
        assert np.abs(10 * np.log10(power)).max() < 0.6
    np.testing.assert_allclose(cross_fade(one, one), one, atol=1e-12)
    assert similarity(one, -one) == pytest.approx(-1)
    assert similarity(one, 0 * one) == 0


# Splice.


def test_a_splice_keeps_both_recordings(tmp_path: Path, capsys):
    first, second = voice(1.5)[:, None] * [1, 0.5], voice(1.2, 16000)
    a, b = write_wav(tmp_path / "a.wav", first, RATE, "PCM_24"), write_wav(tmp_path / "b.flac", second, 16000)
    code, found, err = run(["splice", a, a, "-o", tmp_path / "ab.wav", "--until", 0.8, "--from", 1.1, "--seam", 30], capsys)
    assert code == 0, err
    out, rate = soundfile.read(tmp_path / "ab.wav")
    given = soundfile.read(a)[0]
    start, end = (round(x * RATE) for x in found["seam"])
    assert (rate, start) == (RATE, 6400)
    assert 22 <= 1000 * (end - start) / RATE <= 38
    np.testing.assert_array_equal(out[:start], given[:6400])
    np.testing.assert_array_equal(out[end:], given[8800:])
    # A held tone goes on in phase: the seam is that of the tone.
    wanted = given[6400 : 6400 + end - start, 0]
    assert np.sum((out[start:end, 0] - wanted) ** 2) < 0.02 * np.sum(wanted**2)
    code, _, err = run(["splice", a, b, "-o", tmp_path / "other.wav", "--seam", 20], capsys)
    assert code == 0, err
    assert soundfile.info(tmp_path / "other.wav").channels == 2


# Loops.


def test_a_loop_jumps_where_the_recording_repeats():
    """Noise that repeats after 3 s: the loop is that long, to the sample, and is the recording itself."""
    period = np.random.default_rng(0).normal(0, 0.1, (3 * RATE, 1))
    audio = np.tile(period, (3, 1))[: 7 * RATE]
    loop = find_loop(audio, RATE, 400, 3 * RATE + 200)
    assert loop.end - loop.start == 3 * RATE
    assert loop.correlation == pytest.approx(1)
    twice = np.tile(loop_audio(audio, loop), (2, 1))
    np.testing.assert_allclose(twice, audio[loop.start : loop.start + 3 * RATE][np.arange(6 * RATE) % (3 * RATE)], atol=1e-12)


def test_a_loop_has_no_step():
    audio = (voice(5.0) + np.random.default_rng(0).normal(0, 0.002, 5 * RATE))[:, None]
    whole = loop_audio(audio, find_loop(audio, RATE, 800))
    step = np.abs(np.diff(np.concatenate([whole, whole])[len(whole) - 50 : len(whole) + 50, 0]))
    assert step.max() <= 1.1 * np.abs(np.diff(audio[:, 0])).max()
    with pytest.raises(UsageError, match="needs"):
        find_loop(audio, RATE, 800, 5 * RATE)


# Textures.


def session(distribution: str = "uniform") -> SimpleNamespace:
    """A generator whose clip is the first number of its latent, constant."""
    play = lambda latents, conditions: np.repeat(latents[:, :1, None], 100, axis=1) + conditions["label"][0]
    facts = {"classes": {"label": ("rain", "wind")}, "clip_samples": 100, "sample_rate": 100, "sha256": "ab"}
    return SimpleNamespace(latent_dim=3, distribution=distribution, run=play, **facts)


def test_a_texture_has_its_length_and_level():
    for seconds in (0.5, 1.0, 7.31, 30.0):
        whole = np.concatenate(list(texture(session(), ExtendOptions(seconds, change=0.0))))
        assert whole.shape == (round(seconds * 100), 1)
        np.testing.assert_allclose(whole, float(whole[0, 0]), rtol=1e-6)
    walk = np.concatenate(list(texture(session(), ExtendOptions(20, overlap=0.5, loop=True))))
    assert len(walk) == 40 * 50
    # Every change lies inside a cross-fade, from the end to the beginning too.
    assert np.abs(np.diff(np.concatenate([walk, walk])[:, 0])).max() < 0.1
    second = next(texture(session(), ExtendOptions(2, label="wind")))
    assert second.mean() == pytest.approx(1 + draw_latents(0, [0], 3, "uniform")[0, 0], abs=1e-5)
    with pytest.raises(UsageError, match="expected one of rain, wind"):
        next(texture(session(), ExtendOptions(label="snow")))


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_the_latents_of_a_texture_keep_their_distribution(distribution: str):
    fresh = latents_of(session(distribution), ExtendOptions(), 20)
    np.testing.assert_allclose(fresh, draw_latents(0, range(20), 3, distribution), atol=1e-5)
    walk = latents_of(session(distribution), ExtendOptions(change=0.3), 4000)
    assert np.std(walk) == pytest.approx(np.sqrt(1 / 3) if distribution == "uniform" else 1, rel=0.1)
    assert 0.9 < similarity(walk[1:], walk[:-1]) < 0.99


def test_a_texture_is_tagged_as_synthetic(tmp_path: Path):
    extend(session(), tmp_path / "t.wav", ExtendOptions(3))
    with soundfile.SoundFile(tmp_path / "t.wav") as file:
        assert json.loads(file.comment)["synthetic"] is True


# Joined clips.


def cues_of(path: Path) -> list[tuple[int, str]]:
    content, place, points, names = path.read_bytes(), 12, {}, {}
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    while place < len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        body = content[place + 8 : place + 8 + size]
        if name == b"cue ":
            points = dict(struct.unpack("<II", body[at : at + 8]) for at in range(4, size, 24))
        if name == b"LIST" and body[:4] == b"adtl":
            inner = 4
            while inner < len(body):
                length, number = struct.unpack("<II", body[inner + 4 : inner + 12])
                names[number] = body[inner + 12 : inner + 8 + length].rstrip(b"\0").decode()
                inner += 8 + length + length % 2
        place += 8 + size + size % 2
    return [(points[number], names[number]) for number in points]


def test_joined_clips_have_cues(tmp_path: Path, capsys):
    folder = tmp_path / "clips"
    parts = [np.full(1001, 0.1), np.full((2000, 2), 0.2), np.full(30, 0.3)]
    for name, part in zip(("a", "b ü", "c"), parts, strict=True):
        write_wav(folder / f"{name}.wav", part)
    code, found, err = run(["join", folder, "-o", tmp_path / "all.wav", "--labels", tmp_path / "all.txt", "--pause", 0.1], capsys)
    assert code == 0, err
    assert cues_of(tmp_path / "all.wav") == [(0, "a"), (1801, "b ü"), (4601, "c")]
    audio = soundfile.read(tmp_path / "all.wav")[0]
    assert audio.shape == (1001 + 800 + 2000 + 800 + 30, 2)
    np.testing.assert_allclose(audio[[0, 1000, 1001, 1801, 4600, 4601]][:, 1], [0.1, 0.1, 0, 0.2, 0, 0.3], atol=1e-4)
    lines = (tmp_path / "all.txt").read_text().splitlines()
    assert lines[1].split("\t") == ["0.225125", "0.575125", "b ü"]
    code, found, err = run(["join", folder, "-o", tmp_path / "faded.flac", "--fade", 50], capsys)
    assert code == 0, err
    assert "cannot hold cue markers" in err
    audio = soundfile.read(tmp_path / "faded.flac")[0]
    assert len(audio) == 1001 + 2000 + 30 - 400 - 15
    assert [start for start, _ in found["clips"]] == [0, round(601 / RATE, 4), round((601 + 2000 - 15) / RATE, 4)]
    assert audio[:, 0].min() > 0.09
    assert audio[:, 0].max() < 0.35


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["splice", "a.wav", "a.wav", "-o", "o.wav", "--seam", 400], "nothing longer can be filled"),
        (["splice", "a.wav", "missing.wav", "-o", "o.wav"], "does not exist"),
        (["splice", "a.wav", "a.wav", "-o", "o.wav", "--from", 9], "holds nothing from 9 s"),
        (["loop", "a.wav", "-o", "o.wav", "--seconds", 60], "this loop needs"),
        (["loop", "a.wav", "-o", "o.xyz"], "cannot write the format"),
        (["extend", "a.wav", "-o", "o.wav", "--overlap", 0.7], "expected a share of the clip"),
        (["join", "a.wav", "-o", "a.wav"], "is one of the inputs"),
        (["join", "a.wav", "-o", "o.wav", "--fade", 10, "--pause", 1], "exclude each other"),
        (["join", "a.wav", "-o", "."], "is a folder"),
    ],
)
def test_wrong_edits_are_refused(tmp_path: Path, capsys, monkeypatch, arguments: list, message: str):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav", voice(1.0))
    code, _, err = run(arguments, capsys)
    assert code in (1, 2)
    assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]
