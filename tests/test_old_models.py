"""Models saved by gan-audio 0.1.0 load and give what they gave: the promise that a trained model stays usable.

`data/old_models` holds a tiny file of every family that 0.1.0 could save (a few thousand weights each, eight bits of mantissa so
that they compress), and beside it the inputs and outputs of that version. They are never made again; a change that breaks one is a
change that breaks users' models.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.models.model_file import CONVERTERS, GENERATORS, USES, VOCODERS, find_model
from gansynth_cli.recipe_schema import FAMILIES

FOLDER = Path(__file__).parent / "data" / "old_models"
NAMES = sorted(file.stem for file in FOLDER.glob("*.keras"))
OLD_CLASSES = {"AudioGenerator", "NoteGenerator", "Vocoder", "FrameDenoiser", "WindowEnhancer", "VoiceConverter"}
# Another processor or TensorFlow rounds otherwise; Griffin-Lim's two to four iterations amplify that. On the machine and versions
# that wrote the files all outputs are equal to the bit.
TOLERANCE = {"rtol": 1e-3, "atol": 2e-4}


def _generate(model: Any, x: dict[str, tf.Tensor]) -> dict[str, Any]:
    made = {"audio": model(x, training=False)}
    if "audio" in x:
        made["mean"], made["log_variance"] = model.encode(x["audio"], x)
    return made


def _convert(model: Any, x: dict[str, tf.Tensor]) -> dict[str, Any]:
    return {
        "mel": model.convert(x["mel"], x["source"], x["target"]),
        "log_probability": model.detect(x["mel"]),
        "ln_f0": model.convert_f0(x["ln_f0"].numpy(), 0, 1),
    }


USED: dict[str, Callable[[Any, dict[str, tf.Tensor]], dict[str, Any]]] = {
    **dict.fromkeys(GENERATORS, _generate),
    **dict.fromkeys(CONVERTERS, _convert),
    **dict.fromkeys(VOCODERS, lambda model, x: {"audio": model(x["mel"], training=False)}),
    "FrameDenoiser": lambda model, x: {"gain": model(x["spectrum"])[0]},
    "WindowEnhancer": lambda model, x: {"audio": model(x["noisy"], training=False)},
}


# Keras reads files of older versions, not of newer ones.
pytestmark = pytest.mark.skipif(
    find_model(FOLDER / f"{NAMES[0]}.keras").is_newer_than(keras.__version__), reason="the files are newer than this Keras"
)


def stored(name: str) -> tuple[dict[str, tf.Tensor], dict[str, np.ndarray]]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        inputs = {key[3:]: tf.constant(arrays[key]) for key in arrays if key.startswith("in_")}
        return inputs, {key[4:]: arrays[key] for key in arrays if key.startswith("out_")}


def saved_class(file: Path) -> str:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("config.json"))["class_name"]


def test_every_family_and_every_class_of_0_1_0_is_here():
    assert {saved_class(FOLDER / f"{name}.keras") for name in NAMES} == OLD_CLASSES
    assert {find_model(FOLDER / f"{name}.keras").class_name for name in NAMES} == set(USED) <= set(USES)
    families = {find_model(FOLDER / f"{name}.keras").provenance.get("family", "denoiser") for name in NAMES}
    assert families == {
        *("wavegan", "specgan", "gansynth", "vae", "melgan", "hifigan", "vocos", "denoiser", "segan", "stargan_vc", "cyclegan_vc")
    }
    assert families <= set(FAMILIES)
    assert {len(find_model(FOLDER / f"{name}.keras").config["labels"]) for name in ("wavegan", "wavegan-unconditional")} == {0, 3}
    assert all(file.stat().st_size < 60_000 for file in FOLDER.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_an_old_model_gives_what_it_gave(name: str, tmp_path: Path):
    found = find_model(FOLDER / f"{name}.keras")
    inputs, expected = stored(name)
    model = found.load()
    outputs = USED[found.class_name](model, inputs)
    assert outputs.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(np.asarray(outputs[key]), value, **TOLERANCE, err_msg=key)
    model.save(tmp_path / "again.keras")  # what is saved again is the same model
    again = USED[saved_class(tmp_path / "again.keras")](find_model(tmp_path / "again.keras").load(), inputs)
    for key, value in outputs.items():
        np.testing.assert_array_equal(np.asarray(again[key]), np.asarray(value), err_msg=key)


@pytest.mark.slow
def test_loading_needs_no_family_and_no_test():
    """Every layer of an old file is found by `register_layers` alone."""
    script = (
        "import sys; from pathlib import Path; from gansynth_cli.models.model_file import find_model\n"
        "for file in sorted(Path(sys.argv[1]).glob('*.keras')): find_model(file).load()\n"
        "assert not [m for m in sys.modules if m.startswith('gansynth_cli.families.') and m.endswith(('.family', '.networks'))]"
    )
    subprocess.run([sys.executable, "-c", script, str(FOLDER)], check=True, cwd=FOLDER.parents[2])


def test_the_stored_figures_come_from_the_stored_weights():
    """A file whose weights are changed gives something else: the comparison above can fail."""
    found = find_model(FOLDER / "wavegan.keras")
    inputs, expected = stored("wavegan")
    model = found.load()
    model.network.trainable_variables[0].assign_add(keras.ops.ones_like(model.network.trainable_variables[0]))
    assert np.abs(np.asarray(_generate(model, inputs)["audio"]) - expected["audio"]).max() > 1e-2
