"""Arrays by name out of other programs' files: every format, bit for bit, and plain words for every file that is not one."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.data.foreign import ForeignFileError, MissingArrayError, UnsafeFileError, open_arrays, read_config, read_moments

from .foreign_files import Tensor, npy_bytes, ramp, safetensors, torch_legacy, torch_script, torch_zip, zipped

DATA = Path(__file__).parent / "data"
CONTAINERS = {"zip": torch_zip, "legacy": torch_legacy}


@pytest.fixture(params=CONTAINERS)
def save(request, tmp_path):
    """Saves as PyTorch does, in either container, and opens."""

    def saved(value, **options):
        return open_arrays(CONTAINERS[request.param](tmp_path / "model", value, **options))

    return saved


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


# PyTorch


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_legacy.pt"])
def test_files_of_torch_itself_are_read_bit_for_bit(name):
    arrays = open_arrays(DATA / name)
    base = ramp(4, 6)
    expected = {
        "generator.bias": ramp(2),
        "generator.weight_g": ramp(2, 1, 1),
        "generator.weight_v": ramp(2, 3, 5),
        "kinds.half": ramp(3).astype(np.float16),
        "kinds.bfloat16": ramp(3),  # these three numbers lose nothing in bfloat16
        "kinds.double": ramp(3).astype(np.float64),
        "kinds.int64": np.array([-3, -2, -2]),
        "kinds.bool": ramp(3) > -2.7,
        "kinds.transposed": base.T,
        "kinds.row": base[1],
        "kinds.scalar": np.array(2.5, np.float32),
        "optimizer.state.0.exp_avg": ramp(2),
    }
    assert list(arrays) == list(expected)
    for key, array in expected.items():
        assert equal(arrays[key], np.ascontiguousarray(array).reshape(array.shape)), key
        assert (arrays.shapes[key], arrays.entry(key).dtype) == (array.shape, array.dtype)
    assert arrays.kind == "pytorch"
    assert arrays.facts == {"step": 7, "epoch": 2, "config": {"hop": 256}}
    assert arrays.tree["optimizer"]["param_groups"] == [{"lr": 1e-4, "betas": (0.8, 0.99), "params": [0]}]
    assert arrays.tree["scheduler"]["milestones"] == {10: 1, 20: 1}
    assert arrays.sha256 == hashlib.sha256((DATA / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"])
def test_every_kind_of_number(save, dtype):
    array = np.array([0, 1, 100, 3], dtype)
    assert equal(save({"x": Tensor(array)})["x"], array)


def test_bfloat16_becomes_float32(save):
    bits = np.array([0x3F80, 0xC040, 0x7F80, 0x0001], np.uint16)
    found = save({"x": Tensor(bits, storage="BFloat16Storage")})["x"]
    assert equal(found, np.array([1, -3, np.inf, 2.0**-133], np.float32))


def test_views_of_one_storage(save):
    whole = ramp(5, 4)
    arrays = save(
        {
            "part": Tensor(whole, (3,), (1,), 6),
            "columns": Tensor(whole, (4, 5), (1, 4)),
            "every other": Tensor(whole, (2, 2), (8, 3), 1),
            "repeated": Tensor(whole, (2, 3), (0, 1), 2),
            "one": Tensor(whole, (), (), 19),
            "none": Tensor(whole, (0, 7), (7, 1)),
            "old": Tensor(whole, wrap="old"),
            "parameter": Tensor(whole, wrap="parameter"),
        }
    )
    flat = whole.reshape(-1)
    expected = {
        "part": flat[6:9],
        "columns": whole.T,
        "every other": np.array([[flat[1], flat[4]], [flat[9], flat[12]]]),
        "repeated": np.array([flat[2:5], flat[2:5]]),
        "one": flat[19].reshape(()),
        "none": np.zeros((0, 7), np.float32),
        "old": whole,
        "parameter": whole,
    }
    for name, array in expected.items():
        assert equal(arrays[name], np.ascontiguousarray(array).reshape(array.shape)), name


def test_big_endian_archives_are_swapped_and_old_ones_refused(tmp_path):
    for dtype in ("float32", "int16", "complex64"):
        array = np.array([1, 2, 300], dtype)
        assert equal(open_arrays(torch_zip(tmp_path / "big", {"x": Tensor(array)}, byteorder="big"))["x"], array)
    with pytest.raises(ForeignFileError, match="big-endian"):
        open_arrays(torch_legacy(tmp_path / "old", {"x": Tensor(ramp(2))}, little_endian=False))


def test_torchscript_parameters(tmp_path):
    path = torch_script(tmp_path / "s.pt", {"training": False, "conv": {"weight": Tensor(ramp(2, 3)), "inner": {"bias": Tensor(ramp(2))}}})
    arrays = open_arrays(path)
    assert (arrays.kind, list(arrays)) == ("torchscript", ["conv.weight", "conv.inner.bias"])
    assert equal(arrays["conv.weight"], ramp(2, 3))
    with pytest.raises(ForeignFileError, match="no tensors"):
        open_arrays(torch_script(tmp_path / "frozen.pt", {"training": False}))


def test_a_repacked_archive_is_read_too(tmp_path):
    path = torch_zip(tmp_path / "a", {"x": Tensor(ramp(300))})
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert equal(open_arrays(zipped(tmp_path / "b", entries, zipfile.ZIP_DEFLATED))["x"], ramp(300))
    with pytest.raises(ForeignFileError, match="compressed"):
        open_arrays(zipped(tmp_path / "c", entries, zipfile.ZIP_LZMA))


def test_arrays_are_read_one_by_one(tmp_path):
    path = torch_zip(tmp_path / "a", {"x": Tensor(ramp(4)), "y": Tensor(ramp(5))})
    arrays = open_arrays(path)
    assert arrays.shapes == {"x": (4,), "y": (5,)}
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ForeignFileError, match="was changed"):
        arrays["x"]


def test_parts_under_a_prefix_and_without_one(save):
    arrays = save({"generator": {"module.conv.weight": Tensor(ramp(2)), "module.conv.bias": Tensor(ramp(1))}, "steps": 3})
    part = arrays.under("generator").without("module.")
    assert list(part) == ["conv.weight", "conv.bias"]
    assert part.without("conv.w") is part  # not shared by all
    assert part.facts == {"step": 3}
    assert part.sha256 == arrays.sha256
    with pytest.raises(MissingArrayError, match=r"nothing under mpd; it has generator"):
        arrays.under("mpd")
    with pytest.raises(MissingArrayError, match=r"holds no conv\.weight_g; it has conv\.weight"):
        part["conv.weight_g"]


def test_arrays_that_are_not_finite_are_named(save):
    bad = np.array([1, np.nan], np.float32)
    arrays = save({"good": Tensor(ramp(2)), "a.nan": Tensor(bad), "b.inf": Tensor(np.array([np.inf])), "count": Tensor(np.array([1]))})
    assert arrays.not_finite() == ["a.nan", "b.inf"]


# The other formats


def test_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"x": ramp(2, 3), "n": np.arange(3)}, tmp_path / "a", metadata={"format": "pt"})
    arrays = open_arrays(tmp_path / "a")
    assert (arrays.kind, arrays.facts) == ("safetensors", {"metadata": {"format": "pt"}})
    assert equal(arrays["x"], ramp(2, 3))
    assert equal(arrays["n"], np.arange(3))
    halves = safetensors(tmp_path / "b", {"h": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, struct.pack("<2H", 0x3F80, 0xC040))
    assert equal(open_arrays(halves)["h"], np.array([1, -3], np.float32))


@pytest.mark.parametrize(
    "entry, data",
    [
        ({"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}, bytes(8)),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, bytes(8)),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, bytes(7)),
        ({"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}, bytes(8)),
        ({"dtype": "F32", "shape": [1] * 60, "data_offsets": [0, 4]}, bytes(4)),
    ],
)
def test_damaged_safetensors(tmp_path, entry, data):
    pytest.importorskip("safetensors")
    with pytest.raises(ForeignFileError):
        open_arrays(safetensors(tmp_path / "a", {"x": entry}, data))


def onnx_model(onnx, initializers, nodes=()):
    helper = onnx.helper
    made = [helper.make_node(kind, inputs, outputs, name=name, **rest) for kind, inputs, outputs, name, rest in nodes]
    ends = [helper.make_tensor_value_info("x", 1, [1]), helper.make_tensor_value_info("y", 1, [1])]
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, producer_name="pytorch", producer_version="2.0")


def test_onnx_names_kernels_after_their_layers(tmp_path):
    onnx = pytest.importorskip("onnx")
    of = onnx.numpy_helper.from_array
    nodes = [
        ("Conv", ["x", "onnx::Conv_8168", "dec.conv_pre.bias"], ["a"], "/flow/flows.6/enc/in_layers.0/Conv", {}),
        ("MatMul", ["a", "onnx::MatMul_9"], ["b"], "/enc_p/proj/MatMul", {}),
        ("Constant", [], ["c"], "/dp/flows.0/Constant", {"value": of(ramp(3))}),
    ]
    initializers = [of(ramp(2, 1, 3), "onnx::Conv_8168"), of(ramp(2), "dec.conv_pre.bias"), of(ramp(2, 2), "onnx::MatMul_9")]
    (tmp_path / "a.onnx").write_bytes(onnx_model(onnx, initializers, nodes).SerializeToString())
    arrays = open_arrays(tmp_path / "a.onnx")
    assert set(arrays) == {"flow.flows.6.enc.in_layers.0.weight", "dec.conv_pre.bias", "enc_p.proj.MatMul:1", "/dp/flows.0/Constant"}
    assert equal(arrays["flow.flows.6.enc.in_layers.0.weight"], ramp(2, 1, 3))
    assert equal(arrays["/dp/flows.0/Constant"], ramp(3))
    assert arrays.facts["renamed"]["enc_p.proj.MatMul:1"] == "onnx::MatMul_9"
    assert (arrays.facts["producer"], arrays.facts["inputs"]) == ("pytorch 2.0", ["x"])


def external(onnx, **where):
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2, 3], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_onnx_external_data_only_from_the_same_folder(tmp_path):
    onnx = pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (folder / "w.bin", tmp_path / "w.bin"):
        place.write_bytes(bytes(8) + ramp(2, 3).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")

    def opened(**where):
        (folder / "a.onnx").write_bytes(onnx_model(onnx, [external(onnx, **where)]).SerializeToString())
        return open_arrays(folder / "a.onnx")

    arrays = opened(location="w.bin", offset=8, length=24)
    assert equal(arrays["w"], ramp(2, 3))
    assert [path.name for path in arrays.files] == ["a.onnx", "w.bin"]
    for location in ("../w.bin", str(tmp_path / "w.bin"), "..", "a\\w.bin", "link.bin", "gone.bin", ""):
        with pytest.raises(ForeignFileError, match=r"outside of its folder|not a file beside it"):
            opened(location=location)
    with pytest.raises(ForeignFileError, match="truncated"):
        opened(location="w.bin", offset=16, length=24)
    with pytest.raises(ForeignFileError, match="more or fewer numbers"):
        opened(location="w.bin", offset=8, length=20)["w"]


@pytest.mark.parametrize("dims", [[1 << 40], [-1], [7], [1] * 40])
def test_onnx_shapes_that_lie(tmp_path, dims):
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=dims, raw_data=bytes(24))
    (tmp_path / "a.onnx").write_bytes(onnx_model(onnx, [tensor]).SerializeToString())
    with pytest.raises(ForeignFileError):
        dict(open_arrays(tmp_path / "a.onnx"))


def test_npy_and_npz(tmp_path):
    array = np.asfortranarray(ramp(3, 4))
    np.save(tmp_path / "a.npy", array)
    assert equal(open_arrays(tmp_path / "a.npy")["array"], ramp(3, 4))
    np.savez_compressed(tmp_path / "b.npz", x=ramp(2), swapped=ramp(2).astype(">f4"))
    arrays = open_arrays(tmp_path / "b.npz")
    assert (list(arrays), arrays.kind) == (["x", "swapped"], "npz")
    assert equal(arrays["swapped"], ramp(2))
    np.save(tmp_path / "c.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ForeignFileError, match="other than numbers"):
        open_arrays(tmp_path / "c.npy")
    lying = npy_bytes(ramp(3, 4)).replace(b"(3, 4), }      ", b"(999999999,), }")
    (tmp_path / "d.npy").write_bytes(lying)
    with pytest.raises(ForeignFileError, match="truncated"):
        open_arrays(tmp_path / "d.npy")
    with pytest.raises(ForeignFileError, match="more or fewer bytes"):
        open_arrays(zipped(tmp_path / "e.npz", {"x.npy": lying}))


def test_hdf5(tmp_path):
    import h5py

    path = tmp_path / "stats.h5"
    with h5py.File(path, "w") as file:
        file["mean"], file["layer/scale"] = ramp(4), ramp(4).astype(">f8")
    arrays = open_arrays(path)
    assert (arrays.kind, sorted(arrays)) == ("hdf5", ["layer/scale", "mean"])
    assert equal(arrays["layer/scale"], ramp(4).astype(np.float64))
    assert list(arrays.under("layer")) == ["scale"]


def test_hdf5_reads_no_other_file(tmp_path):
    import h5py

    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = ramp(4)
    (tmp_path / "raw").write_bytes(bytes(64))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("x", (4,), "f4", external=[(str(tmp_path / "raw"), 0, 16)])
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (4,))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 10,))
    for name, message in (("link", "no arrays"), ("external", "another file"), ("virtual", "another file"), ("bomb", "too small")):
        with pytest.raises(ForeignFileError, match=message):
            open_arrays(tmp_path / f"{name}.h5")


# Statistics


@pytest.mark.parametrize("protocol", range(6))
def test_moments_of_any_pickle_protocol(tmp_path, protocol):
    path = tmp_path / "moments.pkl"
    path.write_bytes(pickle.dumps((ramp(20), ramp(20) + 4), protocol))
    mean, deviation = read_moments(path)
    assert equal(mean, ramp(20))
    assert equal(deviation, ramp(20) + 4)


def python2_array(array: np.ndarray, protocol: int) -> bytes:
    """An array as Python 2 pickled it: text for bytes, and module names of old."""
    if protocol == 2:
        text = lambda raw: b"U" + bytes([len(raw)]) + raw
        number = lambda value: b"K" + bytes([value])
        start = b""
    else:
        text = lambda raw: b"S'" + raw.decode("latin-1").encode("unicode_escape").replace(b"'", b"\\'") + b"'\n"
        number = lambda value: b"I%d\n" % value
        start = b""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    dtype = (
        b"cnumpy\ndtype\n(" + text(b"f4") + number(0) + number(1) + b"tR(" + number(3) + text(b"<") + b"NNNI-1\nI-1\n" + number(0) + b"tb"
    )
    state = b"(" + number(1) + b"(" + number(array.size) + b"t" + dtype + b"I00\n" + text(array.tobytes()) + b"tb"
    return start + made + state


@pytest.mark.parametrize("protocol", [0, 2])
def test_moments_of_python_2(tmp_path, protocol):
    mean, deviation = ramp(9), np.array([1, 0.5, 39.0, 9.2, 3e-5, 10.3, 7, 8, 0], np.float32)
    head = b"\x80\x02" if protocol == 2 else b""
    path = tmp_path / "moments.pkl"
    path.write_bytes(head + b"(" + python2_array(mean, protocol) + python2_array(deviation, protocol) + b"t.")
    assert all(np.array_equal(a, b) for a, b in zip(pickle.loads(path.read_bytes(), encoding="latin1"), (mean, deviation), strict=True))
    found = read_moments(path)
    assert equal(found[0], mean)
    assert equal(found[1], deviation)


def test_statistics_of_parallel_wavegan(tmp_path):
    import h5py

    with h5py.File(tmp_path / "stats.h5", "w") as file:
        file["mean"], file["scale"] = ramp(80), ramp(80) + 4
    np.save(tmp_path / "stats.npy", np.stack([ramp(80), ramp(80) + 4]))
    np.savez(tmp_path / "stats.npz", mean=ramp(80), deviation=ramp(80) + 4)
    for name in ("stats.h5", "stats.npy", "stats.npz"):
        mean, deviation = read_moments(tmp_path / name)
        assert equal(mean, ramp(80))
        assert equal(deviation, ramp(80) + 4)


@pytest.mark.parametrize(
    "pair", [(ramp(3), ramp(4)), (ramp(3),), (ramp(2, 2), ramp(2, 2)), (ramp(2), np.array([1, np.nan])), (ramp(2), -ramp(2) - 9)]
)
def test_moments_that_are_none(tmp_path, pair):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(pair))
    with pytest.raises(ForeignFileError):
        read_moments(tmp_path / "m.pkl")


def test_a_numpy_pickle_admits_numpy_alone(tmp_path):
    for value in (
        np.random.default_rng(0),
        np.array([object], object),
        np.array(["a"]),
        np.zeros(2, "M8[s]"),
        Path("/a"),
        ForeignFileError,
    ):
        (tmp_path / "m.pkl").write_bytes(pickle.dumps([ramp(2), value]))
        if isinstance(value, Path):  # plain text in disguise
            assert list(open_arrays(tmp_path / "m.pkl")) == ["0"]
            continue
        with pytest.raises(ForeignFileError):
            open_arrays(tmp_path / "m.pkl")


# Configurations


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_json_and_args_txt(tmp_path):
    config = {"resblock": "1", "upsample_rates": [8, 8, 2, 2], "fmax_for_loss": None, "lr": 0.0002}
    assert read_config(written(tmp_path / "config.json", json.dumps(config))) == config
    text = "data_dir,../a,b\nwavegan_dim,64\nwavegan_genr_pp,True\nwavegan_loss,wgan-gp\nlr,1e-4\nratio,0.0\nnothing,None"
    assert read_config(written(tmp_path / "args.txt", text)) == {
        "data_dir": "../a,b",
        "wavegan_dim": 64,
        "wavegan_genr_pp": True,
        "wavegan_loss": "wgan-gp",
        "lr": 1e-4,
        "ratio": 0.0,
        "nothing": None,
    }


def test_yaml_with_python_tags_is_plain_data(tmp_path, monkeypatch):
    pytest.importorskip("yaml")
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("ran"))
    text = """!!python/object:argparse.Namespace
batch_size: 16
ratios: !!python/tuple [8, 8, 2, 2]
lr: 1e-4
save_path: !!python/object/apply:pathlib.PosixPath
- logs
- baseline
activation: !!python/name:torch.nn.ReLU ''
bad: !!python/object/apply:os.system ["echo hello"]
new: !!python/object/new:os.system [echo]
day: 2020-01-02
mine: !Own {a: 1}
"""
    assert read_config(written(tmp_path / "args.yml", text)) == {
        "batch_size": 16,
        "ratios": [8, 8, 2, 2],
        "lr": 1e-4,
        "save_path": ["logs", "baseline"],
        "activation": "name:torch.nn.ReLU",
        "bad": ["echo hello"],
        "new": ["echo"],
        "day": "2020-01-02",
        "mine": {"a": 1},
    }


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "a: [1\n", "just words", "[" * 2000, "a: &a [*a, *a]", "", "a: !!int x", "\x00", "? [1, 2]\n: 3\n? {a: 1}\n: 4\n"],
)
def test_yaml_that_is_no_configuration(tmp_path, text):
    pytest.importorskip("yaml")
    with pytest.raises(ForeignFileError):
        read_config(written(tmp_path / "c.yml", text))


def test_aliases_that_multiply_end_in_an_error(tmp_path):
    pytest.importorskip("yaml")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ForeignFileError, match="nested too deeply"):
        read_config(written(tmp_path / "c.yml", "\n".join(lines)))
    with pytest.raises(ForeignFileError, match="bytes, where"):
        read_config(written(tmp_path / "big.yml", "a: 1\n" * 1_000_000))


# Files that are not what they are called


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 55788858\n",
            r"Git LFS pointer, .* of 55788858 bytes.*not the weights",
        ),
        (b"\n <!DOCTYPE html><html><head><title>Google Drive - Quota</title>", r"web page \(google drive - quota\)"),
        (b'{"error":"Repository not found"}', "server's error message"),
        (b"Entry not found", "server's error message"),
        (bytes(5000), "zeros alone"),
        (b"\x1f\x8b\x08\0" + bytes(50), "gzip"),
        (bytes(257).replace(b"\0", b"a") + b"ustar" + bytes(300), "tar archive"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "TensorFlow Lite"),
        (b"RIFF\x24\0\0\0WAVEfmt ", r"none of the formats.*begins with"),
        (b"hello there", 'begins with "hello there"'),
    ],
)
def test_placeholders_and_strangers(tmp_path, data, message):
    (tmp_path / "g_02500000").write_bytes(data)
    with pytest.raises(ForeignFileError, match=f"(?s){message}"):
        open_arrays(tmp_path / "g_02500000")


@pytest.mark.parametrize("name", ["torch_zip.pt", "torch_legacy.pt"])
def test_every_truncation_is_an_error(tmp_path, name):
    whole = (DATA / name).read_bytes()
    for length in range(1, len(whole), 37):
        (tmp_path / "part").write_bytes(whole[:length])
        with pytest.raises(ForeignFileError):
            dict(open_arrays(tmp_path / "part"))


def test_a_half_fetched_zip_says_so(tmp_path):
    whole = torch_zip(tmp_path / "a", {"x": Tensor(ramp(1000))}).read_bytes()
    (tmp_path / "half").write_bytes(whole[:3000])
    with pytest.raises(ForeignFileError, match="fetched or copied in part") as caught:
        open_arrays(tmp_path / "half")
    assert "SHA-256" in caught.value.hint


def test_a_flipped_bit_in_the_numbers_is_found(tmp_path):
    data = bytearray(torch_zip(tmp_path / "a", {"x": Tensor(ramp(1000))}).read_bytes())
    at = data.find(ramp(1000).tobytes())
    data[at + 5] ^= 1
    (tmp_path / "a").write_bytes(data)
    arrays = open_arrays(tmp_path / "a")
    with pytest.raises(ForeignFileError, match="checksum differs"):
        arrays["x"]


def test_wrong_paths(tmp_path):
    with pytest.raises(ForeignFileError, match="does not exist"):
        open_arrays(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ForeignFileError, match=r"folder without a TensorFlow checkpoint; it holds config\.json"):
        open_arrays(tmp_path)
    with pytest.raises(ForeignFileError, match="Keras model"):
        open_arrays(zipped(tmp_path / "m.keras", {"config.json": b"{}", "model.weights.h5": b""}))
    with pytest.raises(ForeignFileError, match="no checkpoint"):
        open_arrays(zipped(tmp_path / "m.zip", {"readme.txt": b"hello"}))


def test_neither_torch_nor_tensorflow_is_imported_for_pytorch_files():
    code = (
        "import sys; from gansynth_cli.data.foreign import open_arrays\n"
        f"dict(open_arrays({str(DATA / 'torch_zip.pt')!r})); dict(open_arrays({str(DATA / 'torch_legacy.pt')!r}))\n"
        "print(sorted({'torch', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "[]"


def test_a_pickled_module_is_refused_with_what_to_do(tmp_path):
    from .foreign_files import called

    module = called("torch.nn.modules.conv", "Conv1d")
    for container in CONTAINERS.values():
        path = container(tmp_path / "m", {"model": module, "x": Tensor(ramp(2))})
        with pytest.raises(UnsafeFileError, match=r"names torch\.nn\.modules\.conv\.Conv1d") as caught:
            open_arrays(path)
        assert caught.value.name == "torch.nn.modules.conv.Conv1d"
        assert "state_dict" in caught.value.hint
        assert list(open_arrays(path, ignore_classes=True)) == ["x"]
