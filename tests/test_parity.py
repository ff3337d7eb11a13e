"""Networks, filter banks and losses against what the authors' own code gave for the same weights: `data/parity`, made by
`benchmarks/parity/authors.py`. The weights go through files in the authors' formats and `gan-audio import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.cli.app import main
from gansynth_cli.families.registry import family_class
from gansynth_cli.models.model_file import find_model
from gansynth_cli.run_folder import RunFolder
from gansynth_cli.training.checkpoint import Checkpoints

from .drawn_weights import drawn, melody, uniform
from .foreign_files import npy_bytes, safetensors, torch_legacy, torch_zip
from .published_files import tensors

FOLDER = Path(__file__).with_name("data") / "parity"
SAMPLES = 2048  # of the clips that discriminators judged


class Reference:
    """What the authors' code gave."""

    def __init__(self, name: str):
        self.name = name
        with np.load(FOLDER / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files if key != "facts"}
            self.facts: dict[str, Any] = json.loads(str(file["facts"]))
        self.config = self.facts["config"]

    def weights(self, key: str = "shapes", prefix: str = "") -> dict[str, np.ndarray]:
        """The arrays of the checkpoint whose names begin with `prefix`, without it."""
        buffer = lambda name: self.arrays.get(f"buffer/{name}")
        found = {}
        for name, shape in self.facts[key].items():
            if name.startswith(prefix):
                stored = buffer(name)
                found[name[len(prefix) :]] = drawn(name, tuple(shape)) if stored is None else stored
        return found

    def mel(self, **levels: float) -> np.ndarray:
        return melody(self.facts["frames"], self.facts["bands"], **levels)


def import_(source: Path, run: Path) -> RunFolder:
    assert main(["import", str(source), "-o", str(run), "-q"]) == 0
    return RunFolder.load(run)


def check_audio(run: RunFolder, reference: Reference, mel: np.ndarray, limit: float = 2e-5) -> None:
    """The samples that both have: frames at the ends are counted differently."""
    model, expected = find_model(run.path).load(), reference.arrays["audio"].reshape(-1)
    made = np.asarray(model(mel))[0, :, 0]
    assert 0 <= len(made) - len(expected) <= model.hop
    np.testing.assert_allclose(made[: len(expected)], expected, atol=limit * np.abs(expected).max())


def restored(run: RunFolder) -> Any:
    """The family with the run's checkpoint."""
    family = family_class(run.recipe.family)(run.recipe, run.info)
    loaded = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)
    assert loaded is not None
    for name, network in family.networks.items():
        for number, variable in enumerate(network.variables):
            variable.assign(loaded[0][f"network/{name}/{number:04d} {variable.name}"])
    return family


def pair() -> tuple[tf.Tensor, tf.Tensor]:
    real, fake = (0.5 * uniform(name, (2, 1, SAMPLES)).transpose(0, 2, 1) for name in ("real", "fake"))
    return tf.constant(real), tf.constant(0.7 * real + 0.3 * fake)


def check_discriminators(run: RunFolder, reference: Reference, limit: float = 1e-4) -> Any:
    family = restored(run)
    _, fake = pair()
    judged = family.networks["critic"](fake, training=False)
    for kind, (logits, _) in judged.items():
        made = np.concatenate([np.sort(np.asarray(part).reshape(-1)) for part in logits])
        np.testing.assert_allclose(made, reference.arrays[f"logits/{kind}"], atol=limit * np.abs(made).max(), err_msg=kind)
    return family


def levels_of(name: str) -> dict[str, float]:
    """The range of a case's mel spectrogram: decimal logarithms are smaller."""
    return {"low": -4.0, "high": 1.0} if name.startswith("parallel") else {}


def scale_of(name: str, loss: str) -> float:
    """What this package's loss is of the authors': the discriminator's least squares are halved, and the recipe's weight of MelGAN's
    feature matching, 2.6667, is that of three scales, where the case has two."""
    if name.startswith("hifigan") and loss.startswith("critic"):
        return 0.5
    return 2.6667 / 4 if (name, loss) == ("melgan", "feature_matching/msd") else 1.0


def losses(family: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The family's own losses of the two clips, unweighted by kind, under the names of the references."""
    real, fake = pair()
    monkeypatch.setattr(family, "generate", lambda *given: (fake, fake))
    monkeypatch.setattr(family, "shown", lambda *clips: clips[:2])
    monkeypatch.setattr(family, "distances", lambda *given: {})
    weight = lambda kind: getattr(family.model, kind).weight
    found = {}
    for phase, values in (
        ("critic", family.critic_losses({"audio": real}, None)),
        ("generator", family.generator_losses({"audio": real}, None)),
    ):
        for name, value in values.items():
            kind = name.rpartition("_")[2]
            found[f"{phase if name.startswith('adversarial') else 'feature_matching'}/{kind}"] = float(value) / weight(kind)
    return found


def check_losses(family: Any, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    found = losses(family, monkeypatch)
    for name, expected in reference.facts["losses"].items():
        assert found[name] == pytest.approx(scale_of(reference.name, name) * expected, rel=5e-4), name


def write_case(reference: Reference, folder: Path) -> Path:
    """The files of a case as its program leaves them."""
    if reference.name.startswith("hifigan"):
        return hifigan_files(reference, folder)
    if reference.name.startswith("parallel"):
        return parallel_files(reference, folder)
    folder.mkdir()
    if reference.name == "melgan":
        if "critic_shapes" in reference.facts:
            torch_legacy(folder / "netD.pt", tensors(reference.weights("critic_shapes", "netD.")))
        return torch_legacy(folder / "netG.pt", tensors(reference.weights()))
    return vocos_files(reference, folder)


def vocos_files(reference: Reference, folder: Path) -> Path:
    """The training's checkpoint where there are discriminators, else the published form."""
    yaml = pytest.importorskip("yaml")
    if any(name.startswith("multi") for name in reference.facts["shapes"]):
        rate = reference.config["feature_extractor"]["init_args"]["sample_rate"]
        facts = {"global_step": 2000, "epoch": 1, "pytorch-lightning_version": "1.8.6", "hyper_parameters": {"sample_rate": rate}}
        optimizers = [{"state": {}, "param_groups": [{"lr": rate}]} for rate in (4e-4, 3e-4)]
        content = {**facts, "state_dict": tensors(reference.weights()), "optimizer_states": optimizers}
        return torch_zip(folder / "last.ckpt", content)
    (folder / "config.yaml").write_text(yaml.safe_dump(reference.config))
    return torch_zip(folder / "pytorch_model.bin", tensors(reference.weights()))


def hifigan_files(reference: Reference, folder: Path, step: int = 2_500_000, moments: bool = False) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(reference.config))
    generator = {name: array for name, array in reference.weights().items() if not name.startswith(("mpd.", "msd."))}
    parts = {kind: tensors(reference.weights(prefix=f"{kind}.")) for kind in ("mpd", "msd")}
    if parts["mpd"]:
        optimizers = {}
        if moments:  # every first moment is its parameter, every second one a half of its square
            order = {"optim_g": generator, "optim_d": {**_parameters(reference, "msd."), **_parameters(reference, "mpd.")}}
            for key, arrays in order.items():
                state = {n: tensors({"exp_avg": a, "exp_avg_sq": a**2 / 2}) | {"step": 77} for n, a in enumerate(arrays.values())}
                optimizers[key] = {"state": state, "param_groups": [{"lr": 1e-5, "params": list(range(len(arrays)))}]}
        torch_legacy(folder / f"do_{step:08d}", {**parts, **optimizers, "steps": step, "epoch": 3})
    return torch_legacy(folder / f"g_{step:08d}", {"generator": tensors(generator)})


def _parameters(reference: Reference, prefix: str) -> dict[str, np.ndarray]:
    arrays = reference.weights(prefix=prefix)
    spectral = {name.rpartition(".")[0] for name in arrays if name.endswith("weight_orig")}
    vectors = ("weight_u", "weight_v")
    return {prefix + n: a for n, a in arrays.items() if not (n.rpartition(".")[0] in spectral and n.endswith(vectors))}


def test_hifigan_with_two_convolutions_a_dilation(tmp_path: Path):
    reference = Reference("hifigan-block1")
    run = import_(hifigan_files(reference, tmp_path / "x"), tmp_path / "run")
    check_audio(run, reference, reference.mel())


def test_hifigan_with_its_discriminators_and_optimisers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reference = Reference("hifigan-block2")
    run = import_(hifigan_files(reference, tmp_path / "x", moments=True), tmp_path / "run")
    check_audio(run, reference, reference.mel())
    family = check_discriminators(run, reference)
    check_losses(family, reference, monkeypatch)
    assert run.manifest["imported"]["fresh"] == []
    assert run.manifest["step"] == 2_500_000
    assert run.manifest["imported"]["learning_rates"] == {"generator": 1e-5, "critic": 1e-5}
    arrays = Checkpoints(run.checkpoints_dir).load_latest(lambda text: None)[0]
    check_moments(arrays, family.networks)


def check_moments(arrays: dict[str, np.ndarray], networks: dict[str, keras.Model]) -> None:
    """Every first moment lies beside the variable that it equals, every second one beside a half of its square."""
    for network in networks:
        variables = [v.numpy() for v in networks[network].trainable_variables]
        slots = [array for name, array in sorted(arrays.items()) if name.startswith(f"optimizer/{network}/")]
        assert int(slots[0]) == 2_500_000
        moments = slots[2:]
        firsts, seconds = (moments[::2], moments[1::2]) if len(moments) == 2 * len(variables) else ([], [])
        assert len(firsts) == len(variables)
        for variable, first, second in zip(variables, firsts, seconds, strict=True):
            np.testing.assert_array_equal(first, variable)
            np.testing.assert_allclose(second, variable**2 / 2, rtol=1e-6)


def test_melgan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reference = Reference("melgan")
    run = import_(write_case(reference, tmp_path / "x"), tmp_path / "run")
    assert run.recipe.data.sample_rate == 22050
    check_audio(run, reference, reference.mel())
    family = check_discriminators(run, reference)
    check_losses(family, reference, monkeypatch)


@pytest.mark.parametrize("padding", ["center", "same"])
def test_vocos(padding: str, tmp_path: Path):
    reference = Reference(f"vocos-{padding}")
    yaml = pytest.importorskip("yaml")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.yaml").write_text(yaml.safe_dump(reference.config))
    weights = {name: array for name, array in reference.weights().items() if name.startswith(("backbone.", "head."))}
    file = torch_zip(tmp_path / "x" / "pytorch_model.bin", tensors(weights))
    run = import_(file, tmp_path / "run")
    assert run.manifest["imported"]["fresh"] == ["critic"]
    check_audio(run, reference, reference.mel())
    if padding == "center":
        header, data = {}, b""
        for name, array in weights.items():
            raw = np.ascontiguousarray(array, "<f4").tobytes()
            header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        file.unlink()
        safetensors(tmp_path / "x" / "model.safetensors", header, data)
        check_audio(import_(tmp_path / "x", tmp_path / "again"), reference, reference.mel())


@pytest.mark.slow
def test_vocos_from_its_training_with_discriminators_and_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reference = Reference("vocos-center")
    run = import_(write_case(reference, tmp_path / "x"), tmp_path / "run")
    assert run.manifest["step"] == 1000
    assert run.manifest["imported"]["learning_rates"] == {"generator": 3e-4, "critic": 4e-4}
    check_audio(run, reference, reference.mel())
    family = check_discriminators(run, reference, limit=3e-4)
    check_losses(family, reference, monkeypatch)


def test_parallel_wavegans_hifigan_with_odd_factors(tmp_path: Path):
    reference = Reference("parallel-wavegan-hifigan")
    run = import_(write_case(reference, tmp_path / "x"), tmp_path / "run")
    check_audio(run, reference, reference.mel(low=-4.0, high=1.0))
    facts = run.manifest["imported"]
    assert facts["fresh"] == ["critic"]
    assert any("HiFiGANMultiScaleMultiPeriodDiscriminator" in line for line in facts["left"])


def test_parallel_wavegans_multi_band_melgan(tmp_path: Path):
    reference = Reference("parallel-wavegan-multi-band")
    run = import_(write_case(reference, tmp_path / "x"), tmp_path / "run")
    assert (run.recipe.model.filter_bank, run.recipe.model.filter_cutoff) == ("parallel-wavegan", 0.15)
    check_audio(run, reference, reference.mel(low=-4.0, high=1.0))
    check_discriminators(run, reference)


def parallel_files(reference: Reference, folder: Path) -> Path:
    """With the discriminators of the case, or something in their place that is not to be taken."""
    yaml = pytest.importorskip("yaml")
    folder.mkdir()
    (folder / "config.yml").write_text(yaml.safe_dump(reference.config))
    bands = reference.facts["bands"]
    mean, scale = -2 + uniform("mean", (bands,)), 1 + 0.5 * uniform("scale", (bands,))
    (folder / "stats.npy").write_bytes(npy_bytes(np.stack([mean, scale])))
    model = {"generator": tensors(reference.weights(prefix="generator."))}
    if "critic_shapes" in reference.facts:
        model["discriminator"] = tensors(reference.weights("critic_shapes", "discriminator."))
    elif reference.config["generator_type"] == "HiFiGANGenerator":
        model["discriminator"] = tensors({"msd.discriminators.0.layers.0.0.bias": np.ones(3, np.float32)})
    return torch_zip(folder / "checkpoint-1000steps.pkl", {"model": model, "steps": 1000, "epochs": 1})
