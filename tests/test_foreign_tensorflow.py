"""TensorFlow checkpoints and graphs by name, and the damaged ones for which TensorFlow itself ends the process."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gansynth_cli.data.foreign import ForeignFileError, open_arrays, read_moments
from gansynth_cli.errors import GanAudioError

from .foreign_files import masked_crc32c, ramp, table, tf_index

VALUES = {
    "G/z_project/dense/kernel": ramp(3, 8),
    "G/z_project/dense/bias": ramp(8),
    "D/half": ramp(4).astype(np.float16),
    "global_step": np.int64(1824),
}


def save(prefix: Path, version: int = 2, values=VALUES) -> Path:
    """Saves as the authors' scripts do: TensorFlow 1's Saver, which also writes `checkpoint`."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [tf.compat.v1.get_variable(name, initializer=value) for name, value in values.items()]
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables, write_version=version).save(session, str(prefix), write_meta_graph=False)
    return prefix


@pytest.fixture
def run(tmp_path):
    save(tmp_path / "run" / "model.ckpt-1824")
    return tmp_path / "run"


def test_every_way_to_name_a_checkpoint(run):
    data = run / "model.ckpt-1824.data-00000-of-00001"
    for path in (run, run / "checkpoint", run / "model.ckpt-1824", run / "model.ckpt-1824.index", data):
        arrays = open_arrays(path)
        assert arrays.kind == "tensorflow"
        assert arrays.facts == {"prefix": "model.ckpt-1824", "step": 1824}
        assert set(arrays) == set(VALUES)
        for name, value in VALUES.items():
            assert np.array_equal(arrays[name], value)
            assert arrays[name].dtype == arrays.entry(name).dtype == value.dtype
        assert [file.name for file in arrays.files] == ["model.ckpt-1824.index", data.name]
    assert list(open_arrays(run).under("G/z_project")) == ["dense/bias", "dense/kernel"]
    one = open_arrays(run).sha256
    data.write_bytes(data.read_bytes() + b"\0")
    assert open_arrays(run).sha256 != one


def test_a_folder_copied_from_elsewhere(run, tmp_path):
    """The trainer's absolute paths are of another machine; without that file the only checkpoint counts."""
    moved = tmp_path / "moved"
    shutil.move(run, moved)
    (moved / "checkpoint").write_text('model_checkpoint_path: "/home/somebody/train/model.ckpt-1824"\n')
    assert open_arrays(moved).facts["step"] == 1824
    (moved / "checkpoint").unlink()
    assert open_arrays(moved).facts["step"] == 1824
    save(moved / "model.ckpt-2000")
    (moved / "checkpoint").unlink()
    with pytest.raises(ForeignFileError, match=r"2 checkpoints: model\.ckpt-1824, model\.ckpt-2000"):
        open_arrays(moved)
    (moved / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-7"\n')
    with pytest.raises(ForeignFileError, match=r"ckpt-7\.index: is missing, and checkpoint points to it; the folder holds model"):
        open_arrays(moved)
    (moved / "checkpoint").write_text("nothing")
    with pytest.raises(ForeignFileError, match="does not say"):
        open_arrays(moved)


def test_missing_and_wrong_files_are_named(run):
    data = run / "model.ckpt-1824.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:-3])
    with pytest.raises(ForeignFileError, match=r"data-00000-of-00001: is truncated"):
        open_arrays(run)
    data.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 438000000\n")
    with pytest.raises(ForeignFileError, match=r"data-00000-of-00001: is a Git LFS pointer"):
        open_arrays(run)
    data.write_bytes(bytes(len(whole)))
    with pytest.raises(ForeignFileError, match=r"cannot be read: .*[Cc]hecksum"):
        dict(open_arrays(run))
    data.unlink()
    with pytest.raises(ForeignFileError, match=r"data-00000-of-00001: is missing"):
        open_arrays(run)
    data.write_bytes(whole)
    (run / "model.ckpt-1824.index").unlink()
    with pytest.raises(ForeignFileError, match=r"\.index: is missing"):
        open_arrays(data)


def test_a_checkpoint_of_before_0_12(tmp_path):
    values = {name: value for name, value in VALUES.items() if name != "D/half"}
    arrays = open_arrays(save(tmp_path / "old.ckpt", 1, values))
    assert arrays.facts["step"] == 1824
    assert {name: array.tolist() for name, array in arrays.items()} == {name: value.tolist() for name, value in values.items()}
    assert [file.name for file in arrays.files] == ["old.ckpt"]


def test_checkpoints_and_models_of_tensorflow_2(tmp_path):
    module = tf.Module()
    module.kernel = tf.Variable(ramp(2, 3))
    tf.train.Checkpoint(net=module).write(str(tmp_path / "ckpt"))
    arrays = open_arrays(tmp_path / "ckpt")  # the object graph in it is a string, which is left out
    assert list(arrays) == ["net/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    tf.saved_model.save(module, str(tmp_path / "saved"))
    for path in (tmp_path / "saved", tmp_path / "saved" / "saved_model.pb"):
        assert np.array_equal(open_arrays(path)["kernel/.ATTRIBUTES/VARIABLE_VALUE"], ramp(2, 3))


def test_a_bfloat16_variable_becomes_float32(tmp_path):
    values = {"w": np.array([1, -3], tf.bfloat16.as_numpy_dtype)}
    found = open_arrays(save(tmp_path / "m", 2, values))["w"]
    assert found.dtype == np.float32
    assert found.tolist() == [1, -3]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"shape": (-1,)}, "shape"),  # from here on, those for which TensorFlow ends the process
        ({"shape": (2, -3)}, "shape"),
        ({"shape": (1 << 40, 1 << 40)}, "shape"),
        ({"shape": (1,) * 300}, "shape"),
        ({"dtype": 999}, "unknown dtype"),
        ({"dtype": 101}, "unknown dtype"),  # up to here
        ({"shape": (1 << 40,)}, "24 bytes for the shape"),
        ({"shape": (1 << 38,), "size": 1 << 40}, "truncated"),
        ({"shape": (7,)}, "24 bytes for the shape"),
        ({"offset": 1}, "truncated"),
        ({"offset": -5}, "does not exist"),
        ({"shard_id": 3}, "does not exist"),
        ({"shards": 0}, "how many data files"),
        ({"shards": 1 << 30}, "how many data files"),
        ({"shards": 2}, "of-00002: is missing"),
        ({"endianness": 1}, "big-endian"),
        ({"compression": 1}, "Snappy"),
        ({"compression": 7}, "method 7"),
        ({"crc32c": 1}, "cannot be read: .*[Cc]hecksum"),
    ],
)
def test_an_index_that_lies_does_not_reach_tensorflow(tmp_path, changes, message):
    with pytest.raises(ForeignFileError, match=f"(?i){message}"):
        dict(open_arrays(tf_index(tmp_path / "m", **changes)))


def test_the_crafted_index_is_right_where_nothing_is_changed(tmp_path):
    assert np.array_equal(open_arrays(tf_index(tmp_path / "m"))["w"], np.arange(6, dtype=np.float32).reshape(2, 3))


def test_any_damage_of_an_index_is_an_error_or_does_not_matter(run):
    """The footer has no checksum, and the table's meta-index says nothing: changes there may leave the checkpoint as it was."""
    index = run / "model.ckpt-1824.index"
    whole = index.read_bytes()
    rng = random.Random(0)
    outcomes = {"read": 0, "refused": 0}
    for case in range(200):
        data = bytearray(whole)
        if case % 4 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        index.write_bytes(data)
        try:
            found = dict(open_arrays(run))
        except ForeignFileError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert set(found) == set(VALUES)
        assert all(np.array_equal(found[name], value) for name, value in VALUES.items())
    assert outcomes["refused"] > 150
    assert outcomes["read"] > 0


def test_mutated_entries_with_right_checksums_give_arrays_or_errors(tmp_path):
    from tensorflow.core.protobuf import tensor_bundle_pb2

    numbers = np.arange(6, dtype="<f4")
    tf_index(tmp_path / "m")
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1).SerializeToString()
    entry = tensor_bundle_pb2.BundleEntryProto(dtype=1, size=24, crc32c=masked_crc32c(numbers.tobytes()))
    entry.shape.dim.add(size=2)
    entry.shape.dim.add(size=3)
    outcomes = {"read": 0, "refused": 0}
    for case in range(150):
        rng = random.Random(case)
        parts = [bytearray(header), bytearray(entry.SerializeToString())]
        part = parts[case % 4 > 0]
        at = rng.randrange(len(part))
        if case % 2:
            part[at] = rng.randrange(256)
        else:
            part[at : at + 1] = b"\xff" * 9 + b"\x01"  # the largest number, or -1
        (tmp_path / "m.index").write_bytes(table([(b"", bytes(parts[0])), (b"w", bytes(parts[1]))]))
        try:
            dict(open_arrays(tmp_path / "m"))
            outcomes["read"] += 1
        except GanAudioError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100


def test_constants_of_a_graph(tmp_path):
    with tf.Graph().as_default() as graph:
        picture = tf.compat.v1.placeholder(tf.float32, [None, 4, 9], name="G_z_norm")
        deviation, mean = tf.constant(ramp(9) + 4, name="mul_1/y"), tf.constant(ramp(9), name="add/y")
        tf.math.exp(tf.add(tf.multiply(picture, deviation, name="mul_1"), mean, name="add"), name="Exp")
        tf.zeros([1000], name="filled")
        tf.constant("text", name="text")
        tf.compat.v1.train.export_meta_graph(str(tmp_path / "infer.meta"), graph=graph)
    arrays = open_arrays(tmp_path / "infer.meta")
    assert arrays.kind == "tensorflow graph"
    assert np.array_equal(arrays["mul_1/y"], ramp(9) + 4)
    assert "text" not in arrays
    assert arrays.facts["nodes"]["add"]["op"] in ("Add", "AddV2")
    assert arrays.facts["nodes"]["add"]["inputs"] == ["mul_1", "add/y"]
    for length in range(1, 400, 37):
        (tmp_path / "part.meta").write_bytes((tmp_path / "infer.meta").read_bytes()[:length])
        with pytest.raises(ForeignFileError):
            open_arrays(tmp_path / "part.meta")


def test_a_constant_that_one_number_stands_for_may_not_be_huge(tmp_path):
    from tensorflow.core.protobuf import meta_graph_pb2

    def written(size: int) -> Path:
        meta = meta_graph_pb2.MetaGraphDef()
        meta.graph_def.node.add(name="first", op="NoOp")
        node = meta.graph_def.node.add(name="c", op="Const")
        node.attr["value"].tensor.dtype = 1
        node.attr["value"].tensor.float_val.append(0.5)
        node.attr["value"].tensor.tensor_shape.dim.add(size=size)
        meta.ClearField("meta_info_def")
        data = meta.SerializeToString()
        path = tmp_path / "g.meta"
        path.write_bytes(b"\x0a\x00" + data)  # an empty meta_info_def comes first
        return path

    assert np.array_equal(open_arrays(written(3))["c"], np.full(3, 0.5, np.float32))
    for size in (1 << 40, -1, 1 << 61):
        with pytest.raises(ForeignFileError):
            open_arrays(written(size))


@pytest.mark.realdata
def test_runs_of_the_authors_scripts(data_folder):
    folder = data_folder / "published"
    if not folder.is_dir():
        pytest.skip("no checkpoints of the authors' scripts in GAN_AUDIO_DATA")
    for family, layers in (("wavegan", "conv1d"), ("specgan", "conv2d")):
        arrays = open_arrays(folder / family)
        reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder / family)) or os.fspath(arrays.files[0])[: -len(".index")])
        assert arrays.shapes == {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        assert all(np.array_equal(array, reader.get_tensor(name)) for name, array in arrays.items())
        assert f"D/downconv_0/{layers}/kernel" in arrays
        assert arrays.not_finite() == []
    mean, deviation = read_moments(folder / "specgan" / "moments.pkl")
    constants = open_arrays(folder / "specgan" / "infer" / "infer.meta")
    assert np.array_equal(constants["add/y"], mean)
    assert np.array_equal(constants["mul_1/y"], deviation)
