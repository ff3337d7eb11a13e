"""Model files from elsewhere: what `find_model` and `ModelFile.load` refuse, and that no damaged file ends in a traceback."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gansynth_cli.errors import RunError
from gansynth_cli.models.config_checks import LIMITS, ConfigError, check_config
from gansynth_cli.models.model_file import bundled_models, find_model

FOLDER = Path(__file__).parent / "data" / "old_models"
# Keras reads files of older versions, not of newer ones.
pytestmark = pytest.mark.skipif(
    find_model(FOLDER / "wavegan.keras").is_newer_than(version("keras")), reason="the files are newer than this Keras"
)
HUGE: list[Any] = [10**6, 2**31, 2**40, 9 * 10**18, 10**30, 1e18, 1e300, float("nan"), float("inf"), -float("inf")]
NUMBERS: list[Any] = [0, -1, 1, 2, 7, 0.5, -3.7, *HUGE]
OTHERS: list[Any] = [None, True, "", "x", "fft", [], [3], {}, {"class_name": "Dense"}, "../../etc/passwd", "Lambda", "keras.utils", "os"]


def read_parts(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_with(parts: dict[str, bytes], config: Any, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for name, part in {**parts, "config.json": json.dumps(config).encode()}.items():
            archive.writestr(name, part)
    return target


def places(value: Any, way: tuple = ()) -> Iterator[tuple]:
    """Yield the way to every value of a tree."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*way, key)
        yield from places(child, (*way, key))


def mutate(config: Any, draw: random.Random) -> tuple[Any, str]:
    """Change one to three values; numbers become other numbers most of the time."""
    changed, said = copy.deepcopy(config), []
    for _ in range(draw.choice((1, 1, 2, 3))):
        way = draw.choice(list(places(changed)))
        parent = changed
        for key in way[:-1]:
            parent = parent[key]
        number = isinstance(parent[way[-1]], (int, float)) and draw.random() < 0.8
        if not number and draw.random() < 0.15:
            del parent[way[-1]]
            said.append(f"del {'/'.join(map(str, way))}")
            continue
        parent[way[-1]] = draw.choice(NUMBERS if number or draw.random() < 0.3 else OTHERS)
        said.append(f"{'/'.join(map(str, way))} = {parent[way[-1]]!r}")
    return changed, "; ".join(said)


def mutants(seed: int, count: int, target: Path) -> Iterator[tuple[Path, str, str]]:
    """Write `count` damaged models, one after the other, to one file; yield it with the original's name and the changes."""
    draw = random.Random(seed)
    models = {file.stem: read_parts(file) for file in sorted(FOLDER.glob("*.keras"))}
    for _ in range(count):
        name = draw.choice(list(models))
        parts = models[name]
        config, said = mutate(json.loads(parts["config.json"]), draw)
        yield write_with(parts, config, target), name, said


def config_of(name: str) -> tuple[dict[str, bytes], Any]:
    parts = read_parts(FOLDER / f"{name}.keras")
    return parts, json.loads(parts["config.json"])


def every_class() -> set[str]:
    import keras

    from gansynth_cli.models.model_file import register_layers

    register_layers()
    return set(keras.saving.get_custom_objects())


@pytest.mark.parametrize(
    "name, way, value, message",
    [
        ("specgan", ("to_audio", "config", "hop"), 9 * 10**18, "SpectrogramToAudio.hop is 9e+18; expected at most 131,072"),
        ("specgan", ("to_audio", "config", "fft"), float("nan"), "fft is nan; expected a finite number"),
        ("specgan", ("to_audio", "config", "hop"), 64, "SpectrogramToAudio.hop is 64, but fft is 32"),
        ("specgan", ("to_audio", "config", "samples"), 0, "samples is 0; expected at least 1"),
        ("specgan", ("to_audio", "config", "iterations"), 10**9, "iterations is 1e+09; expected at most 10,000"),
        ("vocos", ("convention", "bands"), 5000, "Vocoder.bands is 5000, but fft is 256"),
        ("wavegan", ("sample_rate",), 10**9, "ClipGenerator.sample_rate is 1e+09"),
        ("wavegan", ("network", "module"), "os", "comes from os, which is neither Keras nor gan-audio"),
        ("wavegan", ("to_audio", "registered_name"), "gan_audio>Nothing", "does not know"),
    ],
)
def test_impossible_numbers_are_named_before_anything_is_built(name, way, value, message, tmp_path):
    parts, config = config_of(name)
    place = config["config"]
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    with pytest.raises(RunError) as refused:
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()
    assert message.replace("ClipGenerator", config["class_name"]) in refused.value.message
    assert str(tmp_path / "x.keras") in refused.value.message
    assert refused.value.hint


def test_a_layer_that_claims_more_weights_than_the_file_holds_takes_no_memory(tmp_path):
    parts, config = config_of("wavegan")
    layers = [part for part in config["config"]["network"]["config"]["layers"] if part["class_name"] == "Dense"]
    layers[0]["config"]["units"] = 131_072  # with the largest legal input that would be 64 GiB
    with pytest.raises(RunError, match=r"claim more weights than the .* bytes of weights in the file"):
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()
    parts, config = config_of("denoiser-gru")
    config["config"]["options"]["width"] = 100_000
    with pytest.raises(RunError, match="weights; expected at most"):
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()


def test_a_layer_that_gives_more_than_memory_holds_is_refused(tmp_path):
    parts, config = config_of("wavegan")
    transposed = [part for part in config["config"]["network"]["config"]["layers"] if part["class_name"] == "Conv1DTranspose"]
    transposed[-1]["config"]["strides"] = [100_000]
    transposed[-1]["config"]["kernel_size"] = [25]
    for part in transposed[:-1]:
        part["config"]["strides"] = [500]
    with pytest.raises(RunError, match="values; expected at most"):
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()


def test_a_file_of_a_newer_keras_names_the_version(tmp_path):
    parts, config = config_of("wavegan")
    next(part for part in config["config"]["network"]["config"]["layers"] if part["class_name"] == "Dense")["config"].pop("units")
    metadata = json.loads(parts["metadata.json"]) | {"keras_version": "99.1.0"}
    file = write_with({**parts, "metadata.json": json.dumps(metadata).encode()}, config, tmp_path / "x.keras")
    with pytest.raises(RunError) as refused:
        find_model(file).load()
    assert "saved by Keras 99.1.0" in refused.value.hint
    found = find_model(file)
    assert found.is_newer_than("3.15.1")
    assert not found.is_newer_than("99.1.5")
    assert not find_model(FOLDER / "wavegan.keras").is_newer_than("3.15.0")


def test_python_code_in_a_file_is_not_run(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x)])
    parts, config = config_of("wavegan")
    config["config"]["network"] = keras.saving.serialize_keras_object(model)
    with pytest.raises(RunError, match="a layer Lambda, which runs code"):
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()
    config["config"]["network"]["config"]["layers"][1]["class_name"] = "StringLookup"  # would read the file of its vocabulary
    with pytest.raises(RunError, match="a layer StringLookup, which runs code or reads other files"):
        find_model(write_with(parts, config, tmp_path / "x.keras")).load()


def test_an_archive_that_claims_far_more_than_it_holds_is_refused(tmp_path):
    _, config = config_of("wavegan")
    with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        with archive.open("model.weights.h5", "w", force_zip64=True) as entry:
            for _ in range(64):
                entry.write(bytes(1 << 20))
    with pytest.raises(RunError, match=r"model.weights.h5 claims 67,108,864 bytes, packed into"):
        find_model(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as archive:
        archive.writestr("config.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("config.json", json.dumps(config))
    with pytest.raises(RunError, match=r"2 entries named config.json"):
        find_model(tmp_path / "y.keras")


@pytest.mark.parametrize("kind", ["shape", "link", "soft", "external", "twice"])
def test_weights_that_claim_or_read_what_is_not_theirs_are_refused(kind, tmp_path):
    """Keras would allocate a terabyte, or read another file."""
    import io

    import h5py

    parts, config = config_of("wavegan")
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as content:
        if kind == "shape":
            content.create_dataset("huge", shape=(1 << 40,), dtype="f4", chunks=(1024,))
        elif kind == "external":
            content.create_dataset("other", shape=(10,), dtype="u1", external=[("/etc/passwd", 0, 10)])
        elif kind == "twice":
            content.create_group("loop")["loop"] = content["/"]
        else:
            content["other"] = h5py.ExternalLink("/etc/passwd", "/x") if kind == "link" else h5py.SoftLink("/x")
    file = write_with({**parts, "model.weights.h5": buffer.getvalue()}, config, tmp_path / "x.keras")
    messages = {"shape": "claim more than the", "external": "lie in another file", "twice": "name one array twice"}
    for use in (find_model(file).load, find_model(file).weights):
        with pytest.raises(RunError, match=messages.get(kind, "link elsewhere")):
            use()


@pytest.mark.parametrize(
    "way, value, message",
    [
        (("latent", "dim"), 0, "does not state how its latents are drawn"),
        (("latent",), None, "does not state how its latents are drawn"),
        (("to_audio",), [3], "cannot be run"),
        (("labels",), [], "cannot be run"),
        (("labels",), ["high", "low", "noise", "more"], ""),  # more names than the embedding has rows: class 3 is a vector of zeros
    ],
)
def test_generators_that_load_but_cannot_generate(way, value, message, tmp_path):
    import numpy as np

    from gansynth_cli.inference.generate.session import GROUP, open_session

    parts, config = config_of("wavegan")
    place = config["config"]
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    file = write_with(parts, config, tmp_path / "x.keras")
    if message:
        with pytest.raises(RunError, match=message):
            open_session(file).warm_up()
    else:
        audio = open_session(file).run(np.zeros((GROUP, 6), np.float32), {"label": np.full(GROUP, 3, np.int32)})
        assert np.isfinite(audio).all()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no ZIP archive"),
        (b"PK\x03\x04 and then nothing", "no ZIP archive"),
        ({"config.json": b"[" * 200_000}, "no config.json in it"),
        ({"config.json": b"\xff\xfe"}, "no config.json in it"),
        ({"config.json": b"[]"}, "holds no model"),
        ({"config.json": b'{"class_name": "Vocoder", "config": 3}'}, "holds no model"),
        ({"metadata.json": b"{}"}, "no config.json in it"),
        ({"config.json": b'{"class_name": "Sequential", "config": {}}'}, "class Sequential"),
    ],
)
def test_what_is_no_model_is_named(content, message, tmp_path):
    file = tmp_path / "x.keras"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in content.items():
                archive.writestr(name, part)
    with pytest.raises(RunError) as refused:
        find_model(file)
    assert message in refused.value.message


def test_every_model_of_ours_passes_with_room_to_spare():
    """Limits are far above what any stored or bundled model has."""
    classes = every_class()
    for file in [*FOLDER.glob("*.keras"), *bundled_models().values()]:
        found = find_model(file)
        check_config(found.serialized, classes)
        for way in places(found.config):
            value: Any = found.config
            for key in way:
                value = value[key]
            limit = LIMITS.get(str(way[-1]))
            if limit and isinstance(value, int):
                assert 4 * value <= limit, (file, way, value)


def test_numbers_of_the_provenance_and_seeds_are_free():
    tree = {"class_name": "X", "config": {"seed": 10**18, "provenance": {"seed": 10**30}}, "registered_name": "gan_audio>X"}
    check_config(tree, {"gan_audio>X"})
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested more than"):
        check_config({"class_name": "X", "config": {"a": deep}, "registered_name": "gan_audio>X"}, {"gan_audio>X"})


def test_no_mel_bands_are_linear_bins():
    layer = {"class_name": "X", "config": {"fft": 1024, "hop": 512, "mel_bands": 0}, "registered_name": "gan_audio>X"}
    check_config(layer, {"gan_audio>X"})
    layer["config"]["mel_bands"] = -1
    with pytest.raises(ConfigError, match="mel_bands"):
        check_config(layer, {"gan_audio>X"})


FUZZ = """
import json, resource, sys, time
from pathlib import Path
from gansynth_cli.errors import GanAudioError
from gansynth_cli.models.model_file import find_model
from tests.test_model_files import mutants
import tensorflow  # its own memory is not the models'
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = {"loaded": 0, "refused": 0, "wrong": []}
for file, name, said in mutants(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])):
    began = time.monotonic()
    try:
        find_model(file).load()
        outcome["loaded"] += 1
    except GanAudioError as error:
        outcome["refused"] += 1
        if "Traceback" in error.message or not error.hint:
            outcome["wrong"].append([name, said, f"message: {error.message}"])
    except BaseException as error:
        outcome["wrong"].append([name, said, repr(error)[:300]])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10
    if time.monotonic() - began > 30 or grown > 2048:
        outcome["wrong"].append([name, said, f"{time.monotonic() - began:.0f} s, {grown} MiB"])
        break
print(json.dumps(outcome))
"""


@pytest.mark.slow
def test_damaged_models_are_refused_and_never_hang(tmp_path):
    """200 files whose configuration was changed at random: each loads or is refused with a message, in little time and memory."""
    command = [sys.executable, "-c", FUZZ, "7", "200", str(tmp_path / "x.keras")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parents[2], timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["wrong"] == []
    assert outcome["loaded"] > 10  # many keys do not matter for loading
    assert outcome["refused"] > 50
