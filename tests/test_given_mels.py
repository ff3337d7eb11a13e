"""Training a vocoder on mel spectrograms that another program gave: preparing, reading, one training, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.recipe import load_recipe
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.signal.mel_frames import log_mel

from .conftest import write_wav
from .vocoder_families import speech_like

SETTINGS = ("model.given_mels=true", "data.augment.gain_db=0", "data.augment.polarity=0", "data.batch_size=2", "training.steps=3")
RECIPE = load_recipe("hifigan/tiny", SETTINGS)
CONVENTION = RECIPE.model.mel.resolved(8000)
SHIFT = 0.25  # the given spectrograms lie so much above the recordings' own
FRAMES = RECIPE.data.clip_samples // CONVENTION.hop


def write_pairs(root: Path, change=lambda mel: mel + SHIFT) -> tuple[Path, Path]:
    for take in range(6):
        audio = np.round(32767 * speech_like(5000 + 137 * take, 8000, take)[:, 0]) / 32768
        write_wav(root / "wavs" / "a" / f"{take}.wav", audio)
        (root / "mels").mkdir(exist_ok=True)
        mel = change(log_mel(audio, CONVENTION))
        np.save(root / "mels" / f"{take}.npy", mel.T if take % 2 else mel[None])  # [bands, frames], as HiFi-GAN's; [1, frames, bands]
    return root / "wavs", root / "mels"


def prepare(recordings: Path, mels: Path, output: Path, *options: str) -> int:
    return main(["prepare", str(recordings), "-o", str(output), "--recipe", "hifigan/tiny", "--mels", str(mels), "-q", *options])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    assert prepare(*write_pairs(root), root / "data", "--validation", "0.34", "--test", "0") == 0
    return root / "data"


def test_crops_of_recordings_and_their_spectrograms_belong_together(data: Path):
    source = open_source(data, RECIPE)
    places = set()
    for batch in source.batches(RECIPE, seed=1).take(8):
        assert batch["mel"].shape == (2, FRAMES, CONVENTION.bands)
        for audio, mel in zip(batch["audio"].numpy()[..., 0], batch["mel"].numpy(), strict=True):
            inside = slice(4, FRAMES - 4)  # frames that see no mirrored end
            own = log_mel(audio, CONVENTION)[:FRAMES]
            np.testing.assert_allclose(mel[inside], own[inside] + SHIFT, atol=2e-3)
            places.add(float(audio[:50].sum()))
    assert len(places) > 8


@pytest.mark.slow
def test_a_vocoder_is_trained_on_them(data: Path, tmp_path: Path):
    settings = [part for text in SETTINGS for part in ("--set", text)]
    assert main(["train", "--recipe", "hifigan/tiny", "--data", str(data), "--run", str(tmp_path / "run"), "-q", *settings]) == 0
    run = RunFolder.load(tmp_path / "run")
    assert run.manifest["step"] == 3
    assert run.recipe.model.given_mels
    assert list((tmp_path / "run" / "samples").rglob("*.wav"))


def test_preparing_again_takes_new_spectrograms(tmp_path: Path):
    recordings, mels = write_pairs(tmp_path)
    assert prepare(recordings, mels, tmp_path / "data") == 0
    (first,) = (tmp_path / "data").glob("*given-mel*")
    before = first.read_bytes()
    assert prepare(recordings, mels, tmp_path / "data") == 0
    assert first.read_bytes() == before
    np.save(mels / "3.npy", np.load(mels / "3.npy") + 0.5)
    assert prepare(recordings, mels, tmp_path / "data") == 0
    assert first.read_bytes() != before


def test_what_does_not_belong_to_the_recordings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    recordings, mels = write_pairs(tmp_path)
    whole = np.load(mels / "4.npy")
    cases = {
        "no 4.npy": lambda: (mels / "4.npy").unlink(),
        "has 60 frames": lambda: np.save(mels / "4.npy", whole[:, :60]),
        "expected [20, frames]": lambda: np.save(mels / "4.npy", whole[:, :, :19]),
        "not finite": lambda: np.save(mels / "4.npy", whole * np.nan),
        "no mel spectrogram that can be read": lambda: (mels / "4.npy").write_bytes(b"mel"),
    }
    for number, (said, damage) in enumerate(cases.items()):
        damage()
        assert prepare(recordings, mels, tmp_path / f"data{number}") == 1
        assert said in capsys.readouterr().err, said
    recordings, mels = write_pairs(tmp_path / "other", change=lambda mel: mel / np.log(10))
    assert prepare(recordings, mels, tmp_path / "data") == 1
    assert "another convention" in capsys.readouterr().err
    assert prepare(recordings, tmp_path / "none", tmp_path / "data") == 2
    assert main(["prepare", str(recordings), "-o", str(tmp_path / "data"), "--mels", str(mels), "-q"]) == 2


def test_data_without_spectrograms_and_recipes_that_change_levels_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["prepare", str(write_pairs(tmp_path)[0]), "-o", str(tmp_path / "plain"), "--recipe", "hifigan/tiny", "-q"]) == 0
    train = ["train", "--recipe", "hifigan/tiny", "--run", str(tmp_path / "run"), "-q", "--set", "model.given_mels=true"]
    quiet = ["--set", "data.augment.gain_db=0"]
    assert main([*train, *quiet, "--data", str(tmp_path / "plain")]) == 1
    assert "no given mel spectrograms" in capsys.readouterr().err
    assert main([*train, "--data", str(data)]) == 2
    assert "data.augment.gain_db changes the recordings" in capsys.readouterr().err
