"""`generate`: the same clip whatever is asked for beside it, a folder that survives kills, and refusals that say why."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.data.audio import audio_file
from gansynth_cli.errors import GanAudioError, RunError, UsageError
from gansynth_cli.inference.generate import contact_sheet
from gansynth_cli.inference.generate.clip_folder import ClipFolder
from gansynth_cli.inference.generate.latents import draw_latents, interpolate, lerp, slerp
from gansynth_cli.inference.generate.request import GenerateOptions, Plan
from gansynth_cli.inference.generate.session import GROUP, open_session
from gansynth_cli.inference.generate.write import generate, inspect
from gansynth_cli.models.clip_generator import ClipGenerator

RATE, SAMPLES, DIM = 8000, 1024, 8
LABELS = ("kick", "snare drum", "Hi-hat")


@keras.saving.register_keras_serializable(package="gan_audio_tests")
class Scaled(keras.layers.Layer):
    """Stands for a family's way from representation to audio."""

    def __init__(self, gain: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain

    def call(self, x):
        return self.gain * x

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


def make_generator(labels: tuple[str, ...] = LABELS, *, distribution: str = "uniform", gain: float = 0.5, seed: int = 0) -> ClipGenerator:
    """A small WaveGAN: dense, two transposed convolutions (whose kernels differ by batch size on the CPU), tanh."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    latent = keras.Input((DIM,), name="latent")
    inputs, x = latent, latent
    if labels:
        label = keras.Input((), dtype="int32", name="label")
        inputs, x = (
            [latent, label],
            layers.Concatenate()([latent, layers.Embedding(len(labels), 4, embeddings_initializer="normal")(label)]),
        )
    x = layers.Reshape((64, 16))(layers.Dense(64 * 16, "relu")(x))
    x = layers.Conv1DTranspose(16, 25, strides=4, padding="same", activation="relu")(x)
    x = layers.Conv1DTranspose(1, 25, strides=4, padding="same", activation="tanh")(x)
    model = ClipGenerator(
        keras.Model(inputs, x),
        Scaled(gain),
        RATE,
        labels=labels,
        latent={"dim": DIM, "distribution": distribution},
        positional=True,
        provenance={"recipe": "test/tiny", "family": "wavegan"},
    )
    example = {"latent": tf.zeros((1, DIM))} | ({"label": tf.zeros((1,), tf.int32)} if labels else {})
    model(example)
    return model


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("model") / "generator.keras"
    make_generator().save(file)
    return file


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory) -> Path:
    """An unconditional model with normal latents."""
    file = tmp_path_factory.mktemp("plain") / "generator.keras"
    make_generator((), distribution="normal").save(file)
    return file


@pytest.fixture(scope="module")
def session(model_file):
    return open_session(model_file)


class FakeSession:
    """A generator without TensorFlow: a clip is its latent, stretched; `before` is called with the number of each call."""

    sha256, sample_rate, labels, latent_dim, distribution, provenance = "ab" * 32, RATE, (), 4, "uniform", {}

    def __init__(self, before=lambda call: None, level: float = 1.0, **facts):
        self.before, self.level, self.calls = before, level, 0
        self.__dict__.update(facts)

    @property
    def classes(self):
        return {"label": self.labels} if self.labels else {}

    def run(self, latents, conditions):
        self.calls += 1
        self.before(self.calls)
        return self.level * np.repeat(latents, 50, axis=1)[..., None]


def run(arguments: list, capsys) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["generate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path, pattern: str = "**/*.wav") -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


# Latents.


def test_latent_of_a_clip_depends_on_seed_and_index_alone():
    together = draw_latents(7, range(5), 16, "uniform")
    assert np.array_equal(together[[3, 0]], draw_latents(7, [3, 0], 16, "uniform"))
    assert np.array_equal(together[:, :10], draw_latents(7, range(5), 10, "uniform"))
    assert not np.any(together == draw_latents(8, range(5), 16, "uniform"))
    assert len(np.unique(together)) == together.size


def philox_4x64(key: tuple[int, int], blocks: int) -> list[int]:
    """Philox-4x64-10 from Salmon et al. 2011, section 3.3, in plain integers; the counter starts at 1, as NumPy's does."""
    mask, words = 2**64 - 1, []
    for block in range(1, blocks + 1):
        (k0, k1), (c0, c1, c2, c3) = key, (block, 0, 0, 0)
        for _ in range(10):
            high, low = c0 * 0xD2E7470EE14C6C93, c2 * 0xCA5A826395121157
            c0, c1, c2, c3 = (low >> 64) ^ c1 ^ k0, low & mask, (high >> 64) ^ c3 ^ k1, high & mask
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        words += [c0, c1, c2, c3]
    return words


def test_latents_are_pinned_for_ever():
    # A change of NumPy or of the arithmetic would change every clip that was ever listed in a manifest.
    unit = [((word >> 11) + 0.5) / 2**53 for word in philox_4x64((1, 2), 2)]
    assert draw_latents(1, [2], 8, "uniform")[0] == pytest.approx([2 * u - 1 for u in unit], abs=1e-7)
    assert draw_latents(1, [2], 8, "normal")[0] == pytest.approx(scipy.stats.norm.ppf(unit), abs=1e-6)


@pytest.mark.parametrize(
    "distribution,truncation,reference",
    [
        ("uniform", None, scipy.stats.uniform(-1, 2)),
        ("uniform", 0.3, scipy.stats.uniform(-0.3, 0.6)),
        ("normal", None, scipy.stats.norm()),
        ("normal", 0.7, scipy.stats.truncnorm(-0.7, 0.7)),
    ],
)
def test_latents_follow_their_distribution(distribution, truncation, reference):
    latents = draw_latents(0, range(400), 50, distribution, truncation)
    assert latents.dtype == np.float32
    assert scipy.stats.kstest(latents.ravel(), reference.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(latents[:-1].ravel(), latents[1:].ravel())[0, 1]) < 0.03  # neighbours share a key's upper half
    if truncation:
        assert np.abs(latents).max() <= truncation


def test_a_loose_truncation_changes_little():
    assert draw_latents(3, [0], 64, "normal", 8.0) == pytest.approx(draw_latents(3, [0], 64, "normal"), abs=1e-5)
    assert np.array_equal(draw_latents(3, [0], 64, "uniform", 1.0), draw_latents(3, [0], 64, "uniform"))


@pytest.mark.parametrize(
    "distribution,truncation", [("uniform", 1.5), ("uniform", 0.0), ("normal", -1.0), ("normal", float("nan")), ("cauchy", None)]
)
def test_impossible_truncations_are_refused(distribution, truncation):
    with pytest.raises(UsageError):
        draw_latents(0, [0], 4, distribution, truncation)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(UsageError, match="seed"):
        draw_latents(seed, [0], 4, "normal")


def test_slerp_is_the_rotation_in_the_plane_of_the_two():
    start, end = np.array([2.0, 0, 0], np.float32), np.array([0, 2.0, 0], np.float32)
    for fraction in (0.0, 0.25, 0.5, 1.0):
        angle = fraction * np.pi / 2
        assert slerp(start, end, fraction) == pytest.approx([2 * np.cos(angle), 2 * np.sin(angle), 0], abs=1e-6)


def test_slerp_keeps_the_length_where_lerp_does_not():
    start, end = draw_latents(0, [0, 1], 100, "normal")
    end = end * np.linalg.norm(start) / np.linalg.norm(end)
    middle = slerp(start, end, 0.5)
    assert np.linalg.norm(middle) == pytest.approx(np.linalg.norm(start), rel=1e-5)
    assert np.linalg.norm(lerp(start, end, 0.5)) < 0.8 * np.linalg.norm(start)


@pytest.mark.parametrize("end", [1.0, 3.0, -1.0, -0.5, 0.0])
def test_slerp_of_vectors_on_one_line_is_finite_and_monotonous(end):
    start = draw_latents(0, [0], 10, "normal")[0]
    path = np.stack([slerp(start, np.float32(end) * start, step / 8) for step in range(9)])
    assert np.isfinite(path).all()
    assert path[0] == pytest.approx(start, abs=1e-6)
    assert path[-1] == pytest.approx(end * start, abs=1e-6)
    if end < 0:  # halfway round: at right angles, not through the origin
        assert abs(path[4] @ start) < 1e-5
        assert np.linalg.norm(path[4]) == pytest.approx((1 - end) / 2 * np.linalg.norm(start), rel=1e-5)


def test_an_interpolation_keeps_its_ends_to_the_bit_and_the_cube():
    start, end = draw_latents(0, [0, 1], 30, "uniform")
    path = interpolate(np.sign(start), np.sign(end), 7, "slerp", bound=1.0)
    assert np.array_equal(path[0], np.sign(start))
    assert np.array_equal(path[-1], np.sign(end))
    assert np.abs(path).max() <= 1.0
    assert path.shape == (7, 30)


# The same clip, whatever is asked for beside it.


def test_same_seed_gives_the_same_bytes_whatever_batch_count_and_start(session, tmp_path):
    whole = Plan(GenerateOptions(clips=37, seed=5), session)
    generate(whole, tmp_path / "whole", group=GROUP)
    reference = contents(tmp_path / "whole")
    assert len(reference) == 37
    for name, options in {
        "one": GenerateOptions(clips=1, seed=5),
        "few": GenerateOptions(clips=3, first=15, seed=5, batch=1),
        "far": GenerateOptions(clips=7, first=30, seed=5, batch=1000),
    }.items():
        generate(Plan(options, session), tmp_path / name, group=GROUP)
        part = contents(tmp_path / name)
        assert part
        assert part == {file: reference[file] for file in part}


def test_the_network_is_always_called_with_one_batch_size(session):
    # The premise of the guarantee above, on this machine: companions and places may differ within a group size, but calls of
    # another size may not be bit-equal. `run` therefore takes no other.
    with pytest.raises((ValueError, TypeError)):
        session.run(np.zeros((3, DIM), np.float32))


def test_labels_take_turns_and_leave_the_latent_alone(session):
    plan = Plan(GenerateOptions(clips=7), session)
    assert [clip.label for clip in plan.clips()] == [LABELS[i % 3] for i in range(7)]
    assert plan.conditions(range(4))["label"].tolist() == [0, 1, 2, 0]
    chosen = Plan(GenerateOptions(clips=4, labels=("Hi-hat", "kick")), session)
    assert chosen.conditions(range(4))["label"].tolist() == [2, 0, 2, 0]
    assert np.array_equal(plan.latents([3]), chosen.latents([3]))


def test_labels_reach_the_network(session, tmp_path):
    files = {}
    for label in LABELS:
        generate(Plan(GenerateOptions(clips=1, labels=(label,), template="x"), session), tmp_path / label)
        files[label] = audio_file.read(tmp_path / label / "x.wav")[0]
        assert audio_file.read_tag(tmp_path / label / "x.wav")["label"] == label
    assert not np.array_equal(files["kick"], files["Hi-hat"])


def test_clip_is_what_the_model_gives(model_file, tmp_path):
    session = open_session(model_file)
    model = session.generator
    assert session.recipe is None
    assert model.labels == LABELS
    generate(Plan(GenerateOptions(clips=3, seed=9), open_session(model_file)), tmp_path)
    latents = draw_latents(9, range(3), DIM, "uniform")
    expected = model({"latent": latents, "label": np.arange(3, dtype=np.int32)}).numpy()
    assert expected.std() > 1e-3
    for index, file in enumerate(sorted(tmp_path.glob("*.wav"))):
        audio, rate = audio_file.read(file)
        assert (audio.shape, rate) == ((SAMPLES, 1), RATE)
        assert audio == pytest.approx(expected[index], abs=1 / 32768)


# The command.


def test_command_writes_clips_manifest_record_and_marks(model_file, tmp_path, capsys):
    out = tmp_path / "clips"
    code, stdout, stderr = run([model_file, "-n", 7, "--seed", 3, "-o", out, "--json", "--sidecar", "--contact-sheet"], capsys)
    assert code == 0
    result = json.loads(stdout)
    assert (result["written"], result["kept"], result["clips"]) == (7, 0, 7)
    assert "7 clips written" in stderr
    assert "clips/s" in stderr
    table = rows(out)
    assert [row["file"] for row in table] == [f"{i:06d}_{('kick', 'snare_drum', 'Hi-hat')[i % 3]}_3.wav" for i in range(7)]
    assert [row["label"] for row in table] == [LABELS[i % 3] for i in range(7)]
    for row in table:
        audio, rate = audio_file.read(out / row["file"])
        assert (int(row["samples"]), int(row["sample_rate"]), row["seed"], row["model"]) == (len(audio), rate, "3", result["model"])
        assert float(row["peak"]) == pytest.approx(np.abs(audio).max(), abs=1e-4)
        mark = audio_file.read_tag(out / row["file"])
        assert mark["synthetic"] is True
        assert (mark["model"], mark["seed"], mark["index"], mark["recipe"]) == (result["model"], 3, int(row["index"]), "test/tiny")
        beside = json.loads((out / f"{row['file']}.json").read_text())
        assert beside["samples"] == len(audio)
        assert beside["synthetic"] is True
    request = json.loads((out / "generate.json").read_text())
    assert (request["seed"], request["model"]) == (3, result["model"])
    from PIL import Image

    with Image.open(out / "contact-sheet.png") as page:
        assert page.format == "PNG"
    assert not list(out.glob(".*"))


def test_same_command_continues_and_more_clips_are_added(model_file, tmp_path, capsys):
    out = tmp_path / "clips"
    assert run([model_file, "-n", 5, "-o", out], capsys)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    code, stdout, _ = run([model_file, "-n", 5, "-o", out, "--json"], capsys)
    assert (code, json.loads(stdout)["written"], json.loads(stdout)["kept"]) == (0, 0, 5)
    next(iter(before)).unlink()
    code, stdout, _ = run([model_file, "-n", 20, "-o", out, "--json"], capsys)
    assert (code, json.loads(stdout)["written"], json.loads(stdout)["kept"]) == (0, 16, 4)
    assert [int(row["index"]) for row in rows(out)] == list(range(20))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in list(before.items())[1:])


def test_dry_run_writes_nothing(model_file, tmp_path, capsys):
    code, stdout, stderr = run([model_file, "-n", 5, "-o", tmp_path / "clips", "--dry-run", "--json"], capsys)
    assert code == 0
    assert json.loads(stdout)["write"] == 5
    assert "000000_kick_0.wav" in stderr
    assert not (tmp_path / "clips").exists()


def test_quiet_says_nothing(model_file, tmp_path, capsys):
    assert run([model_file, "-n", 1, "-o", tmp_path / "c", "--quiet"], capsys) == (0, "", "")


@pytest.mark.parametrize("suffix,subtype", [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", None), ("mp3", None)])
def test_formats(model_file, tmp_path, capsys, suffix, subtype):
    options = ["--subtype", subtype] if subtype else []
    assert run([model_file, "-n", 2, "-o", tmp_path, "--format", suffix, "--sample-rate", 16000, *options], capsys)[0] == 0
    info = audio_file.probe(tmp_path / f"000000_kick_0.{suffix}")
    assert info.sample_rate == 16000
    assert subtype is None or info.subtype == subtype
    assert audio_file.read_tag(info.path)["synthetic"] is True
    assert int(rows(tmp_path)[0]["samples"]) == 2 * SAMPLES


def test_an_interpolation_is_played_once_for_each_label(model_file, tmp_path, capsys):
    arguments = ["latents", "interpolate", model_file, 1, 2, "--steps", 5, "--label", "kick", "--label", "Hi-hat", "-o", tmp_path]
    assert main([*map(str, arguments)]) == 0
    table = rows(tmp_path)
    assert [row["label"] for row in table] == ["kick"] * 5 + ["Hi-hat"] * 5
    assert {row["seed"] for row in table} == {"1-2"}
    for seed, index in ((1, 0), (2, 4)):  # the ends are clip 0 of the two seeds
        other = tmp_path / f"end{seed}"
        assert run([model_file, "-n", 1, "--seed", seed, "--label", "kick", "-o", other], capsys)[0] == 0
        ours, theirs = (audio_file.read(f)[0] for f in (tmp_path / table[index]["file"], next(other.glob("*.wav"))))
        assert ours == pytest.approx(theirs, abs=2 / 32768)
    middle = audio_file.read(tmp_path / table[2]["file"])[0]
    assert not np.array_equal(middle, audio_file.read(tmp_path / table[0]["file"])[0])


def test_an_interpolation_of_a_seed_to_itself_stays(session, tmp_path):
    plan = Plan(GenerateOptions(interpolate=(4, 4), steps=3, method="slerp", labels=("kick",)), session)
    assert np.ptp(plan.latents(range(3)), axis=0).max() < 1e-6


def test_truncation_reaches_the_latents(session):
    wide = Plan(GenerateOptions(), session).latents(range(4))
    tight = Plan(GenerateOptions(truncation=0.25), session).latents(range(4))
    assert tight == pytest.approx(0.25 * wide, abs=1e-7)


def test_normalize_and_trim(tmp_path):
    audio = np.zeros((GROUP, 4000, 1), np.float32)
    audio[:, 1000:2000] = 0.1
    audio[1] = 0.0
    fake = FakeSession()
    fake.run = lambda latents, conditions: audio
    report = generate(Plan(GenerateOptions(clips=2, peak_db=-6.0, trim_silence=True), fake), tmp_path)
    first, _ = audio_file.read(tmp_path / "000000_0.wav")
    assert np.abs(first).max() == pytest.approx(10 ** (-6 / 20), abs=1e-4)
    assert len(first) == 1000 + 2 * 40  # 5 ms on either side
    silent, _ = audio_file.read(tmp_path / "000001_0.wav")
    assert len(silent) == 4000
    assert not silent.any()
    assert (report.silent, report.written) == (1, 2)
    assert float(rows(tmp_path)[0]["peak"]) == pytest.approx(10 ** (-6 / 20), abs=1e-4)


def test_the_end_of_a_clip_is_faded(tmp_path):
    fake = FakeSession()
    fake.run = lambda latents, conditions: np.full((GROUP, 4000, 1), 0.5, np.float32)
    generate(Plan(GenerateOptions(clips=1, fade_out_ms=100.0, subtype="FLOAT"), fake), tmp_path)
    audio, rate = audio_file.read(tmp_path / "000000_0.wav")
    faded = round(0.1 * rate)
    np.testing.assert_array_equal(audio[:-faded], 0.5)
    np.testing.assert_allclose(audio[-faded:, 0], 0.5 * np.cos(np.pi / 2 * np.arange(1, faded + 1) / faded) ** 2, atol=1e-6)
    with pytest.raises(UsageError, match="--fade-out is -1 ms"):
        GenerateOptions(fade_out_ms=-1.0).check()


def test_clips_above_full_scale_are_counted_and_clipped(tmp_path):
    report = generate(Plan(GenerateOptions(clips=8), FakeSession(level=100.0)), tmp_path / "pcm")
    assert report.clipped == 8
    assert {row["peak"] for row in rows(tmp_path / "pcm")} == {"1.000000"}
    report = generate(Plan(GenerateOptions(clips=8, subtype="FLOAT"), FakeSession(level=100.0)), tmp_path / "float")
    assert report.clipped == 0
    assert np.abs(audio_file.read(tmp_path / "float" / "000000_0.wav")[0]).max() > 1.0


def test_template_may_make_folders(model_file, tmp_path, capsys):
    assert run([model_file, "-n", 4, "-o", tmp_path, "--template", "{label}/{index:03d}.wav"], capsys)[0] == 0
    assert sorted(contents(tmp_path)) == ["Hi-hat/002.wav", "kick/000.wav", "kick/003.wav", "snare_drum/001.wav"]
    code, stdout, _ = run([model_file, "-n", 4, "-o", tmp_path, "--template", "{label}/{index:03d}.wav", "--json"], capsys)
    assert (code, json.loads(stdout)["kept"]) == (0, 4)


# Interrupted, killed, full, in use.


def test_interrupt_keeps_what_is_done_and_resume_gives_the_same_folder(tmp_path):
    def stop(call):
        if call == 3:
            raise KeyboardInterrupt

    options = GenerateOptions(clips=100, batch=8)
    generate(Plan(options, FakeSession()), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        generate(Plan(options, FakeSession(stop)), tmp_path / "cut")
    done = contents(tmp_path / "cut")
    assert 0 < len(done) < 100
    assert sorted(done) == [row["file"] for row in rows(tmp_path / "cut")]
    report = generate(Plan(options, FakeSession()), tmp_path / "cut")
    assert (report.kept, report.written) == (len(done), 100 - len(done))
    assert contents(tmp_path / "cut", "*") == contents(tmp_path / "whole", "*")


def test_interrupt_exits_130(model_file, tmp_path, capsys, monkeypatch):
    from gansynth_cli.inference.generate.session import GeneratorSession

    real, calls = GeneratorSession.run, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 4:  # one is the warm-up
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(GeneratorSession, "run", stop)
    code, _, stderr = run([model_file, "-n", 100, "-o", tmp_path], capsys)
    assert code == 130
    assert "again" in stderr
    assert 0 < len(rows(tmp_path)) <= 32


def test_what_a_kill_leaves_is_made_good(tmp_path):
    options = GenerateOptions(clips=10)
    generate(Plan(options, FakeSession()), tmp_path)
    whole = contents(tmp_path, "*")
    lines = (tmp_path / "manifest.csv").read_text().splitlines(keepends=True)
    # A kill between a file and its row, in the middle of a row, and in the middle of a file.
    (tmp_path / "manifest.csv").write_text("".join(lines[:8]) + lines[8][:20])
    (tmp_path / "000009_0.wav").unlink()
    (tmp_path / ".0123456789ab.partial").write_bytes(b"RIFF")
    session = FakeSession()
    report = generate(Plan(options, session), tmp_path)
    assert (report.kept, report.written, session.calls) == (7, 3, 1)
    assert contents(tmp_path, "*") == whole
    assert not list(tmp_path.glob(".*"))


def test_files_that_a_power_cut_left_empty_are_generated_again(tmp_path):
    options = GenerateOptions(clips=5)
    generate(Plan(options, FakeSession()), tmp_path)
    whole = contents(tmp_path, "*")
    (tmp_path / "000002_0.wav").write_bytes(b"")
    report = generate(Plan(options, FakeSession()), tmp_path)
    assert (report.kept, report.written) == (4, 1)
    assert contents(tmp_path, "*") == whole


@pytest.mark.slow
def test_sigkill_and_resume(model_file, tmp_path, capsys):
    script = """if True:
        import sys
        sys.path.insert(0, sys.argv.pop(1))
        import tests.test_generate  # registers the layer of its model
        from gansynth_cli.cli.app import main
        sys.exit(main(sys.argv[1:]))"""
    root = str(Path(__file__).parent.parent)
    arguments = ["generate", str(model_file), "-n", "20000", "-o", str(tmp_path / "cut"), "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", script, root, *arguments])
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cut").glob("*.wav"))) < 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -9
    shutil.copytree(tmp_path / "cut", tmp_path / "left")
    count = len(list((tmp_path / "left").glob("*.wav")))
    assert 200 <= count < 20000
    code, stdout, _ = run([model_file, "-n", count + 50, "-o", tmp_path / "cut", "--json"], capsys)
    assert code == 0
    assert json.loads(stdout)["kept"] >= count - 80  # but for those between file and row
    code, _, _ = run([model_file, "-n", count + 50, "-o", tmp_path / "whole"], capsys)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert (tmp_path / "cut" / "manifest.csv").read_bytes() == (tmp_path / "whole" / "manifest.csv").read_bytes()


def test_full_disk_names_the_folder_and_loses_nothing(tmp_path, monkeypatch):
    real, writes = audio_file.write, []

    def write(path, *arguments, **options):
        writes.append(path)
        if len(writes) > 20:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                from gansynth_cli.errors import AudioFileError

                raise AudioFileError(path, "cannot be written") from error
        real(path, *arguments, **options)

    plan = Plan(GenerateOptions(clips=64, batch=4), FakeSession())
    monkeypatch.setattr(audio_file, "write", write)
    with pytest.raises(GanAudioError, match=r"disk of .* is full: .* of 64") as caught:
        generate(plan, tmp_path)
    assert "same command" in caught.value.hint
    monkeypatch.setattr(audio_file, "write", real)
    assert len(rows(tmp_path)) == len(contents(tmp_path)) == 20
    assert generate(plan, tmp_path).kept == 20


def test_two_processes_on_one_folder(tmp_path):
    plan = Plan(GenerateOptions(clips=4), FakeSession())
    first = ClipFolder(tmp_path)
    with first.writing(plan.request()), pytest.raises(GanAudioError, match="Another gan-audio generate"):
        generate(plan, tmp_path)
    assert generate(plan, tmp_path).written == 4


def test_nan_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(RunError, match="clip 0"):
        generate(Plan(GenerateOptions(clips=3), FakeSession(level=float("nan"))), tmp_path)
    assert not contents(tmp_path)


# Files in the way.


def test_another_request_is_refused_or_joined(tmp_path):
    generate(Plan(GenerateOptions(clips=4, seed=1), FakeSession()), tmp_path)
    before = contents(tmp_path)
    other = Plan(GenerateOptions(clips=4, seed=2), FakeSession())
    with pytest.raises(UsageError, match="seed is 1 there and 2 here"):
        generate(other, tmp_path)
    assert contents(tmp_path) == before
    report = generate(other, tmp_path, existing="skip")
    assert (report.written, report.skipped) == (4, 0)
    assert [row["seed"] for row in rows(tmp_path)] == ["1", "2"] * 4
    assert {file: content for file, content in contents(tmp_path).items() if file in before} == before


def test_another_model_is_another_request(tmp_path):
    generate(Plan(GenerateOptions(clips=2), FakeSession()), tmp_path)
    with pytest.raises(UsageError, match="model is abababababab there and cdcdcdcdcdcd here"):
        generate(Plan(GenerateOptions(clips=2), FakeSession(sha256="cd" * 32)), tmp_path)


def test_overwrite_replaces_files_and_rows(tmp_path):
    options = GenerateOptions(clips=4, template="{index}")
    generate(Plan(options, FakeSession()), tmp_path)
    before = contents(tmp_path)
    quieter = Plan(GenerateOptions(clips=3, template="{index}", truncation=0.5), FakeSession())
    report = generate(quieter, tmp_path, existing="overwrite")
    assert report.written == 3
    after = contents(tmp_path)
    assert [after[file] != before[file] for file in ("0.wav", "1.wav", "2.wav", "3.wav")] == [True, True, True, False]
    assert generate(quieter, tmp_path, existing="overwrite").kept == 3  # the same command continues, as without the flag


def test_a_foreign_file_is_never_replaced_silently(tmp_path):
    mine = tmp_path / "000001_0.wav"
    audio_file.write(mine, np.zeros(10, np.float32), RATE)
    kept = mine.read_bytes()
    plan = Plan(GenerateOptions(clips=3), FakeSession())
    with pytest.raises(UsageError, match=r"000001_0\.wav exists already"):
        generate(plan, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    for _ in range(2):  # the resumed request leaves it too
        assert generate(plan, tmp_path, existing="skip").skipped == 1
        assert mine.read_bytes() == kept
    with pytest.raises(UsageError, match=r"000001_0\.wav exists already"):
        generate(plan, tmp_path)
    assert generate(plan, tmp_path, existing="overwrite").written == 1
    assert mine.read_bytes() != kept


def test_damaged_record_is_reported(tmp_path):
    (tmp_path / "generate.json").write_text("{")
    with pytest.raises(GanAudioError, match="damaged"):
        inspect(Plan(GenerateOptions(clips=3), FakeSession()), tmp_path)


# Wrong input.


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["-n", "0"], "-n is 0; expected at least 1"),
        (["-n", "-5"], "-n is -5"),
        (["--seed", "-1"], "seed is -1"),
        (["--first", "-1"], "--first is -1"),
        (["--format", "wave"], "Did you mean 'wav'"),
        (["--format", "mp3", "--subtype", "PCM_16"], "only one encoding"),
        (["--normalize", "loud"], "--normalize is 'loud'"),
        (["--normalize", "3"], "--normalize is 3.0"),
        (["--sample-rate", "10"], "--sample-rate is 10 Hz"),
        (["--template", "../{index}"], "leaves the output folder"),
        (["--template", "a/../../{index}"], "leaves the output folder"),
        (["--template", "/tmp/{index}"], "below the output folder"),
        (["--template", "{indx}"], "unknown field {indx}"),
        (["--template", "{index.__class__}"], "unknown field {index.__class__}"),
        (["--template", "{index"], "is not a template"),
        (["--template", "{index:0999999999d}"], "width"),
        (["--template", ".{index}"], "hidden"),
        (["--steps", "4"], "No such option: --steps"),  # what has no meaning cannot be typed
        (["--method", "slerp"], "No such option: --method"),
        (["--overwrite", "--skip-existing"], "contradict"),
    ],
)
def test_wrong_options_are_refused_before_the_model_is_loaded(tmp_path, capsys, arguments, expected):
    code, stdout, stderr = run([tmp_path / "there-is-none.keras", "-o", tmp_path / "out", *arguments], capsys)
    assert code == 2
    assert stdout == ""
    assert expected in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["--steps", "1"], "--steps is 1"),
        (["--method", "cubic"], "lerp or slerp"),
        (["-n", "4"], "No such option: -n"),
    ],
)
def test_wrong_options_of_an_interpolation(tmp_path, capsys, arguments, expected):
    command = ["latents", "interpolate", str(tmp_path / "there-is-none.keras"), "1", "2", "-o", str(tmp_path / "out"), *arguments]
    assert main(command) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_number_of_clips_in_memory_is_checked():
    with pytest.raises(UsageError, match="--batch is 0"):
        GenerateOptions(batch=0).check()


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["--label", "kik"], "Did you mean 'kick'? It has: kick, snare drum, Hi-hat."),
        (["--truncation", "2"], "at most 1"),
        (["--template", "same"], "clips 0 and 1 the same name"),
        (["--template", "{label:d}"], "cannot be filled in"),
        (["--subtype", "PCM_99"], "cannot be written with encoding PCM_99"),
        (["--format", "mp3", "--sample-rate", "11111"], "at 11111 Hz"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(model_file, tmp_path, capsys, arguments, expected):
    code, _, stderr = run([model_file, "-o", tmp_path / "out", *arguments], capsys)
    assert code == 2
    assert expected in stderr
    assert not (tmp_path / "out").exists()


def test_label_of_an_unconditional_model(plain_file, tmp_path, capsys):
    code, _, stderr = run([plain_file, "-o", tmp_path / "out", "--label", "kick"], capsys)
    assert code == 2
    assert "unconditional" in stderr
    code, _, stderr = run([plain_file, "-o", tmp_path / "out", "--template", "{label}{index}"], capsys)
    assert code == 2
    assert "no labels" in stderr
    assert run([plain_file, "-n", 2, "-o", tmp_path / "out", "--truncation", "2"], capsys)[0] == 0
    assert sorted(contents(tmp_path / "out")) == ["000000_0.wav", "000001_0.wav"]


def test_labels_that_become_one_file_name_are_told_apart(tmp_path):
    session = FakeSession(labels=("a/b", "a b", "..", "ü"))
    names = [clip.file for clip in Plan(GenerateOptions(clips=4), session).clips()]
    assert names == ["000000_a_b_0.wav", "000001_a_b_0.wav", "000002___0.wav", "000003_ü_0.wav"]
    with pytest.raises(UsageError, match=r"the same name 'a_b\.wav'"):
        Plan(GenerateOptions(clips=4, template="{label}"), session)


def test_output_that_is_a_file(model_file, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    code, _, stderr = run([model_file, "-o", tmp_path / "out"], capsys)
    assert code == 2
    assert "is a file" in stderr


def test_models_that_are_none(tmp_path, capsys):
    not_keras = tmp_path / "text.keras"
    not_keras.write_text("no model")
    empty = tmp_path / "folder"
    empty.mkdir()
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(other)
    for model, code, expected in (
        (tmp_path / "none", 2, "does not exist"),
        (not_keras, 1, "is not a Keras model file"),
        (empty, 1, "is not a run folder"),
        (other, 1, "cannot generate clips: it is a Keras model of class Sequential"),
    ):
        outcome, _, stderr = run([model, "-o", tmp_path / "out"], capsys)
        assert (outcome, expected in stderr) == (code, True), stderr
        assert "hint:" in stderr


def test_damaged_model_file(model_file, tmp_path):
    import zipfile

    damaged = tmp_path / "damaged.keras"
    with zipfile.ZipFile(model_file) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            if not name.endswith(".h5"):
                target.writestr(name, source.read(name))
    with pytest.raises(RunError, match="cannot be loaded"):
        open_session(damaged)


def test_run_folder_with_and_without_a_model(model_file, tmp_path, capsys):
    from gansynth_cli.data.dataset_info import DatasetInfo
    from gansynth_cli.recipe import load_recipe, recipe_to_toml

    run_path = tmp_path / "run"
    run_path.mkdir()
    (run_path / "dataset_info.json").write_text(DatasetInfo("tones", RATE, 1, 2048, [], {}).to_json())
    (run_path / "recipe.toml").write_text(recipe_to_toml(load_recipe("wavegan/tiny")))
    code, _, stderr = run([run_path, "-o", tmp_path / "out"], capsys)
    assert code == 1
    assert "has no model yet" in stderr
    assert "2 steps" in stderr
    (run_path / "model").mkdir()
    shutil.copy(model_file, run_path / "model" / "generator.keras")
    session = open_session(run_path)
    assert session.recipe.name == "wavegan/tiny"
    assert session.sample_rate == RATE
    assert run([run_path, "-n", 2, "-o", tmp_path / "out"], capsys)[0] == 0


def test_options_are_checked_without_tensorflow():
    script = (
        "import sys; from gansynth_cli.cli.app import main; code = main(['generate', 'x.keras', '-o', 'out', '-n', '0']); "
        "assert code == 2, code; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)


# The picture.


def tile_areas(page) -> np.ndarray:
    return np.asarray(page.convert("L"), np.float32)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_contact_sheet_of_any_count(count):
    tiles = [
        contact_sheet.Tile(np.zeros((800, 1 + i % 2), np.float32), f"clip {i} with a long name that has to be cut", str(i % 3))
        for i in range(count)
    ]
    page = contact_sheet.draw(tiles, RATE, "title")
    assert page.width <= 1732
    assert page.height <= 1600


def test_contact_sheet_shows_a_tone_at_its_frequency_and_time():
    t = np.arange(RATE) / RATE
    audio = np.where(t < 0.5, np.sin(2 * np.pi * 1000 * t), 0).astype(np.float32)[:, None]
    weights = contact_sheet.mel_weights(256, RATE)
    picture = contact_sheet._spectrogram(audio, 100, weights).astype(int).sum(axis=2)
    row = picture[:, 20].argmax()
    mel = 2595 * np.log10(1 + 1000 / 700) / (2595 * np.log10(1 + RATE / 2 / 700))
    assert row == pytest.approx((1 - mel) * (len(weights) - 1), abs=2)
    assert picture[row, 20] > 600
    assert picture[row, 80] < 60
    wave = contact_sheet._waveform(audio, 100, (255, 255, 255)).sum(axis=2) == 765
    assert wave[:, 20].sum() > 0.9 * len(wave)
    assert wave[:, 80].sum() <= 2


def test_clips_have_no_single_file(tmp_path, capsys):
    assert main(["generate", str(tmp_path / "run"), "-n", "3", "-o", str(tmp_path / "z3.wav")]) == 2
    assert "z3.wav is the name of one file" in capsys.readouterr().err


def test_contact_sheet_clips_of_one_and_no_samples():
    contact_sheet.draw([contact_sheet.Tile(np.ones((n, 1), np.float32), "x") for n in (0, 1, 5000)], RATE, "t")
