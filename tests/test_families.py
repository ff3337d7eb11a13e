"""Every family that there is, from its tiny recipe: prepare, two steps, the command that uses the run, the saved model.

Nothing here names a family: they are discovered, so a new one is driven as soon as its folder and its recipe are there.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gansynth_cli import families
from gansynth_cli.cli.app import main
from gansynth_cli.data.dataset_info import read_dataset_info
from gansynth_cli.data.pipeline import open_source
from gansynth_cli.families.base import BeginsWithData, Draws, Phase
from gansynth_cli.families.phones.networks import build_recogniser
from gansynth_cli.families.registry import family_class
from gansynth_cli.families.wavegan.family import WaveGAN
from gansynth_cli.family_schema import CLONE, CONVERT, ENHANCE, EXTEND, GENERATE, RECOGNISE, SAY, VOCODE, find_families
from gansynth_cli.layers.seeds import layer_seeds
from gansynth_cli.models.model_file import find_model
from gansynth_cli.models.phone_recogniser import PhoneRecogniser
from gansynth_cli.recipe import load_recipe, recipe_to_toml
from gansynth_cli.recipe_schema import FAMILIES, Recipe
from gansynth_cli.training.checkpoint import Checkpoints, read_checkpoint

from .conftest import write_tones, write_wav
from .conversion_families import write_voices
from .helpers import disturb, noise
from .note_fixtures import write_notes
from .speech_fixtures import write_spoken

STEPS = 2


def write_recordings(recipe: Recipe, folder: Path) -> list[str]:
    """Recordings of the kind that a family's command is for; returns the options of `prepare` that go with them."""
    use = recipe.use
    if use == GENERATE and "pitch" in getattr(recipe.model, "conditions", ()):
        write_notes(folder)
        return ["--layout", "nsynth"]
    if use == GENERATE:
        write_tones(folder, takes=4)
        return ["--labels", "folder"]
    if use == CLONE:
        write_recogniser(recipe, folder.parent / recipe.model.recogniser)
    if use in (CONVERT, CLONE):
        pytest.importorskip("swift_f0")
        write_voices(folder, takes=3)
        return ["--layout", "speakers"]
    if use in (SAY, RECOGNISE):
        if shutil.which("espeak-ng") is None:
            pytest.skip("espeak-ng is not installed")
        write_spoken(folder)
        return ["--layout", "text"]
    assert use in (VOCODE, ENHANCE, EXTEND), f"test_families.py does not know recordings for: {use}"
    write_voices(folder, takes=3)
    if use in (VOCODE, EXTEND):
        return []
    write_wav(folder.parent / "noise" / "a.wav", 0.1 * noise(16000))
    return ["--noise", str(folder.parent / "noise")]


def write_recogniser(recipe: Recipe, file: Path) -> None:
    """An untrained recogniser of three phones, for a family that builds on one."""
    convention, phones = recipe.model.mel.resolved(recipe.data.sample_rate), ["_", "a", "k"]
    network = build_recogniser(load_recipe("phones/tiny").model, len(phones), layer_seeds(1))
    PhoneRecogniser(network, convention, phones).save(file)


def saved_output(model: keras.Model) -> Any:
    """The output of a saved model for one fixed input of its class."""
    name = type(model).__name__
    if name == "ClipGenerator":
        conditions = {condition: tf.zeros([2], tf.int32) for condition in model.classes}
        return model({"latent": noise(2, model.latent["dim"]), **conditions})
    if name == "Vocoder":
        return model(tf.constant(noise(1, 12, model.convention.bands)))
    if name == "VoiceConverter":
        return model.convert(tf.constant(noise(1, 32, model.convention.bands)), [0], [1])
    if name == "WindowEnhancer":
        return model(tf.constant(0.1 * noise(2, model.window, 1)))
    if name == "DeepFilterDenoiser":
        return model.enhance(tf.constant(0.1 * noise(1, 3200)), 16000)
    if name.endswith("Synthesiser"):
        spoken = model.synthesise(np.array([[0, 0, 4], [1, 1, 1], [2, 0, 3]]), 0, 0, 0)
        return spoken.mel if len(spoken.mel) else spoken.audio
    if name == "BandwidthExtender":
        return model.extend(tf.constant(0.1 * noise(1, 3200)), tf.constant([3000.0]), tf.constant([-20.0]), sample_rate=16000).audio
    if name == "VoiceCloner":
        return model.clone(noise(9, model.convention.bands), np.full(9, 5.0), noise(256))
    if name == "PhoneRecogniser":
        return model.posteriors(noise(9, model.convention.bands))
    assert name == "FrameDenoiser", f"test_families.py does not know an input of {name}"
    return model(tf.complex(noise(1, 9, model.fft // 2 + 1), noise(1, 9, model.fft // 2 + 1, seed=1)))[0]


@dataclass
class Driven:
    """A family and what its commands left."""

    family: Any
    recipe: Recipe
    run: Path
    data: Path

    def variables(self) -> dict[int, str]:
        """id of a trainable variable -> its name in a checkpoint."""
        return {
            id(variable): f"network/{name}/{number:04d} {variable.name}"
            for name, network in self.family.networks.items()
            for number, variable in enumerate(network.variables)
            if any(variable is trained for trained in network.trainable_variables)
        }

    def variables_of(self, phase: Phase) -> list[keras.Variable]:
        if phase.variables is not None:
            return phase.variables()
        return [variable for name in phase.networks for variable in self.family.networks[name].trainable_variables]


def check_what_a_step_changes(driven: Driven) -> None:
    """After the run's steps no variable differs from its first value but those of the phases that were active, and each of these has
    changed some. (Not all: where a first layer is zero or a ReLU dead, what lies behind has no gradient yet.)"""
    names = driven.variables()
    first = {names[id(v)]: v.numpy() for network in driven.family.networks.values() for v in network.trainable_variables}
    after, _ = read_checkpoint(Checkpoints(driven.run / "checkpoints").path(STEPS))
    changed = {name for name, value in first.items() if not np.array_equal(after[name], value)}
    active = [phase for phase in driven.family.phases() if any(phase.active(step) for step in range(STEPS))]
    theirs = [{names[id(variable)] for variable in driven.variables_of(phase)} for phase in active]
    assert theirs
    assert all(changed & mine for mine in theirs)
    assert changed <= set().union(*theirs)


def check_gradients(driven: Driven) -> None:
    """Finite on every variable of each phase, whenever it begins, and zero on few (a hinge loss's last bias, where both sides cancel);
    phases of one optimiser may share the work: lazy R1 does not reach the discriminator's last bias."""
    family, recipe = driven.family, driven.recipe
    source = open_source(driven.data, recipe)
    if isinstance(family, BeginsWithData):
        family.begin(source)
    disturb(*family.networks.values(), deviation=0.02)
    batch = next(iter(source.batches(recipe, "train", seed=1, augment=False)))
    reached: dict[tuple[str, int | None], dict[int, float]] = {}  # optimiser and stage -> largest gradient by variable
    wanted: dict[tuple[str, int | None], dict[int, str]] = {}
    for phase in family.phases():
        variables = driven.variables_of(phase)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            step = phase.start + 1  # at a stage's very first step what is faded in weighs nothing
            losses = phase.losses(batch, Draws(tf.constant([step, 17]), tf.constant(0), 1, step=tf.constant(step)))
            total = tf.add_n(list(losses.values()))
        assert losses, phase.name
        assert np.isfinite([float(loss) for loss in losses.values()]).all(), (phase.name, losses)
        gradients = tape.gradient(total, [variable.value for variable in variables])
        there = [(v, g) for v, g in zip(variables, gradients, strict=True) if g is not None]
        assert there, f"no loss of phase {phase.name} depends on a variable that it updates"
        key = (phase.optimizer, phase.stage)
        sizes = reached.setdefault(key, {})
        for variable, gradient in there:
            size = float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient))))
            assert np.isfinite(size), (phase.name, variable.path)
            sizes[id(variable)] = max(size, sizes.get(id(variable), 0.0))
        wanted.setdefault(key, {}).update({id(v): v.path for v in variables})
    for key, variables in wanted.items():
        missing = [path for identity, path in variables.items() if identity not in reached[key]]
        assert not missing, f"optimizer {key[0]}: no loss depends on {missing}"
        zero = [path for identity, path in variables.items() if reached[key][identity] == 0]
        assert len(zero) <= 0.2 * len(variables), f"optimizer {key[0]}: the gradients of {zero} are zero"


def check_the_saved_model(driven: Driven, folder: Path) -> None:
    """Saved and loaded again it gives the same output, to the bit."""
    model = find_model(driven.run).load()
    assert (model.provenance["recipe"], model.provenance["step"]) == (driven.recipe.name, STEPS)
    assert model.provenance.get("consent", "") == driven.family.info.consent
    before = saved_output(model)
    assert np.isfinite(before).all()
    model.save(folder / "again.keras")
    np.testing.assert_array_equal(saved_output(find_model(folder / "again.keras").load()), before)


def check_the_command(driven: Driven) -> None:
    """The command that the run's card names writes audio."""
    words = shlex.split(driven.recipe.use.format(run=driven.run))
    reference = str(next(iter(sorted(Path("recordings").rglob("*.wav"))), ""))
    words = [{"64": "2", "DOMAIN": (driven.family.info.labels or [""])[0], "reference.wav": reference}.get(word, word) for word in words]
    if FAMILIES[driven.recipe.family].use == RECOGNISE:
        words = [{"recording.wav": str(next(Path("recordings").rglob("*.wav")))}.get(word, word) for word in words]
        assert main(words) == 0
        assert main([*words[:2], "--phones", "denoiser"]) == 1  # a model of another kind
        return
    assert main([*words, "-q"]) == 0
    output = Path(words[-1])
    made = [output] if output.is_file() else list(output.rglob("*.wav"))
    assert made
    assert all(soundfile.info(path).frames > 0 for path in made)
    card = (driven.run / "README.md").read_text(encoding="utf-8")
    assert driven.recipe.use.format(run=driven.run.name) in card
    assert ("| consent | Both / agreed. |" in card) == bool(driven.family.info.consent)
    assert main(["info", str(driven.run)]) == 0


def drive(name: str, recipe_name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path | None = None) -> None:
    monkeypatch.chdir(folder)
    recipe = load_recipe(recipe_name)
    if data is None:
        options = write_recordings(recipe, folder / "recordings")
        data = folder / "data"
        (folder / "note.txt").write_text("Both | agreed.")
        options += ["--validation", "0", "--test", "0", "--consent", "note.txt"]
        assert main(["prepare", "recordings", "-o", "data", "--recipe", recipe_name, *options, "-j", "1", "-q"]) == 0
    more = [part for key in ("log_every=1", "preview_clips=2", f"preview_every={STEPS}") for part in ("--set", f"training.{key}")]
    more += ["--set", "training.minutes=0", "--steps", str(STEPS), "--quiet"]
    assert main(["train", "--recipe", recipe_name, "--data", str(data), "--run", "run", *more]) == 0
    keras.utils.clear_session()
    family = family_class(name)(recipe, read_dataset_info(data), seed=recipe.seed)
    driven = Driven(family, recipe, Path("run"), data)
    assert family.batch_features().clip_samples == recipe.data.clip_samples
    assert list(Path("run/samples").rglob("*.wav"))
    check_what_a_step_changes(driven)
    check_gradients(driven)
    check_the_saved_model(driven, folder)
    check_the_command(driven)


# A family that converts or enhances takes 5 to 15 s, mostly for tracing its step; others that are as slow are named.
SLOW = ("bwe", "jets", "phones", "tacotron", "vits", "wavenet")
DRIVEN = [
    pytest.param(name, marks=[pytest.mark.slow] if FAMILIES[name].use in (CLONE, CONVERT, ENHANCE) or name in SLOW else [])
    for name in FAMILIES
]


@pytest.mark.parametrize("name", DRIVEN)
def test_family(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drive(name, f"{name}/tiny", tmp_path, monkeypatch)


# That the test above can fail.


def break_family(methods: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a family "broken" into a folder of its own: a WaveGAN whose `methods` raise. Returns the name of its recipe."""
    package = folder / "families" / "broken"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "schema.py").write_text("from gansynth_cli.families.wavegan.schema import SCHEMA\n")
    raising = "".join(f"    def {method}(self, *_, **__):\n        raise NotImplementedError({method!r})\n" for method in methods)
    body = "from gansynth_cli.families.wavegan.family import WaveGAN\n\n\nclass Broken(WaveGAN):\n" + (raising or "    pass\n")
    (package / "family.py").write_text(f"{body}\n\nFAMILY = Broken\n")
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(package.parent)])
    for module in ("broken", "broken.schema", "broken.family"):
        monkeypatch.delitem(__import__("sys").modules, f"gansynth_cli.families.{module}", raising=False)
    found = find_families()
    assert set(found) == {*FAMILIES, "broken"}
    monkeypatch.setitem(FAMILIES, "broken", found["broken"])
    text = recipe_to_toml(load_recipe("wavegan/tiny", ["adversarial.r1=0", "model.phase_shuffle=0"]))
    (folder / "broken.toml").write_text(text.replace('family = "wavegan"', 'family = "broken"').replace('name = "wavegan/tiny"\n', ""))
    return str(folder / "broken.toml")


METHODS = ("phases", "batch_features", "critic_losses", "generator_losses", "preview", "inference_model")


@pytest.mark.parametrize("method", METHODS)
def test_a_family_whose_methods_raise_fails(method: str, tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = break_family([method], tmp_path, monkeypatch)
    with pytest.raises(NotImplementedError, match=method):
        drive("broken", recipe, tmp_path, monkeypatch, tiny_dataset)


def test_a_family_that_forgets_a_variable_fails(tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """The checks themselves: of a variable that no loss reaches, and of one that changes although no phase has it."""
    recipe = load_recipe("wavegan/tiny")
    family = WaveGAN(recipe, read_dataset_info(tiny_dataset))
    driven = Driven(family, recipe, tmp_path, tiny_dataset)
    stray = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="stray")])
    family.networks["generator"] = keras.Model(family.networks["generator"].inputs, family.networks["generator"].outputs)
    family.networks["generator"].stray = stray
    with pytest.raises(AssertionError, match="stray"):
        check_gradients(driven)
