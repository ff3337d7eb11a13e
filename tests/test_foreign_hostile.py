"""Hostile and damaged files: nothing in them runs, nothing is allocated that is not there, and the answer is an error of this package."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import random
import struct
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.data.foreign import ForeignFileError, UnsafeFileError, open_arrays, read_config
from gansynth_cli.errors import GanAudioError

from .foreign_files import PickleWriter, Raw, Tensor, called, npy_bytes, opname, ramp, torch_legacy, torch_script, torch_zip

DATA = Path(__file__).parent / "data"
MEBIBYTE = 1 << 20


def text(value: str) -> bytes:
    return PickleWriter().push(value)


def plain_pickle(path: Path, value) -> Path:
    path.write_bytes(PickleWriter().dumps([value["bad"]]))
    return path


CONTAINERS = {"zip": torch_zip, "legacy": torch_legacy, "pickle": plain_pickle}


@pytest.fixture(params=CONTAINERS)
def container(request):
    return CONTAINERS[request.param]


def payloads(command: str) -> dict[str, tuple[str, bytes]]:
    """Opcodes that run a shell command when a pickle is loaded, by how they do it; and the name that is to be refused."""
    word = text(command)
    system = opname("os", "system")
    evaluated = text(f"__import__('os').system({command!r})")
    inner = b"\x80\x02" + called("os", "system", word) + b"."
    imported = called("importlib", "import_module", text("os"))
    return {
        "global": ("os.system", called("os", "system", word)),
        "posix": ("posix.system", called("posix", "system", word)),
        "stack global": ("posix.system", text("posix") + text("system") + b"\x93(" + word + b"tR"),
        "dotted stack global": ("os.path.os.system", text("os") + text("path.os.system") + b"\x93(" + word + b"tR"),
        "inst": ("os.system", b"(" + word + b"ios\nsystem\n"),
        "obj": ("os.system", b"(" + system + word + b"o"),
        "eval": ("builtins.eval", called("builtins", "eval", evaluated)),
        "eval of python 2": ("__builtin__.eval", called("__builtin__", "eval", evaluated)),
        "exec": ("builtins.exec", called("builtins", "exec", evaluated)),
        "subprocess": ("subprocess.getoutput", called("subprocess", "getoutput", word)),
        "chain": ("builtins.getattr", called("builtins", "getattr", imported + text("system"))[:-1] + b"R(" + word + b"tR"),
        "nested": ("pickle.loads", called("pickle", "loads", b"C" + bytes([len(inner)]) + inner)),
        "memo": ("os.system", system + b"q\x070h\x07(" + word + b"tR"),
        "thread": ("threading.Thread", called("threading", "Thread")),
        "callback": ("builtins.map", called("builtins", "list", called("builtins", "map", system + b"(" + word + b"l"))),
        "timeit": ("timeit.timeit", called("timeit", "timeit", evaluated + b"K\x01")),
    }


NAMES = sorted(payloads(""))


@pytest.mark.parametrize(
    "name", ["global", "posix", "stack global", "inst", "obj", "eval", "exec", "subprocess", "nested", "memo", "callback"]
)
def test_the_payloads_do_run_where_pickles_are_trusted(tmp_path, name):
    marker = tmp_path / "ran"
    _, opcodes = payloads(f"touch '{marker}'")[name]
    pickle.loads(b"\x80\x04" + opcodes + b".")
    assert marker.exists()


@pytest.mark.parametrize("lightning", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_code_is_refused_by_name_and_does_not_run(tmp_path, container, name, lightning):
    marker = tmp_path / "ran"
    refused, opcodes = payloads(f"touch '{marker}'")[name]
    checkpoint = {"state_dict": {"x": Tensor(ramp(2))}, "pytorch-lightning_version": "2.1"} if lightning else {"x": Tensor(ramp(2))}
    path = container(tmp_path / "model", {**checkpoint, "bad": Raw(opcodes)})
    for options in ({}, {"ignore_classes": True}):
        with pytest.raises(UnsafeFileError) as caught:
            open_arrays(path, **options)
        assert caught.value.name in (refused, "importlib.import_module")
        assert caught.value.name in caught.value.message
        assert "Nothing of it was run" in caught.value.message
    assert not marker.exists()


@pytest.mark.parametrize(
    "module, name",
    [
        ("torch.storage", "_load_from_bytes"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.serialization", "load"),
        ("torch.jit", "load"),
        ("torch.utils.cpp_extension", "load"),
        ("numpy", "load"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("numpy.testing._private.utils", "runstring"),
        ("joblib", "load"),
        ("builtins", "open"),
        ("builtins", "__import__"),
        ("_io", "open"),
        ("shutil", "rmtree"),
        ("webbrowser", "open"),
        ("operator", "methodcaller"),
        ("types", "FunctionType"),
        ("torch.collect_env", "run"),
        ("some_authors.models", "Generator"),
        ("_codecs", "decode"),
        ("codecs", "encode"),
        ("numpy", "frombuffer"),
    ],
)
def test_a_plain_file_names_nothing_that_is_not_known(tmp_path, container, module, name):
    path = container(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": called(module, name, text("x"))})
    with pytest.raises(UnsafeFileError) as caught:
        open_arrays(path)
    assert caught.value.name == f"{module}.{name}"


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a mark where it is imported."""
    mark = tmp_path / "imported"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "gan_audio_canary.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Model: pass\n")
    monkeypatch.syspath_prepend(str(folder))
    yield mark
    sys.modules.pop("gan_audio_canary", None)


def lightning(extra) -> dict:
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {"generator.weight": Tensor(ramp(2, 2))},
        "hyper_parameters": {"hop": 256, "path": called("pathlib", "PosixPath", text("/") + text("data"))},
        **extra,
    }


@pytest.mark.parametrize("save", [torch_zip, torch_legacy])
def test_classes_of_a_lightning_checkpoint_are_inert(tmp_path, canary, save):
    model = opname("gan_audio_canary", "Model")
    items = b"(" + PickleWriter().push("weight") + PickleWriter().push(7) + b"u"
    extra = {
        "callbacks": [called("gan_audio_canary", "Model", text("x"))],
        "new object": Raw(model + b")\x81" + b"}(" + text("state") + b"K\x01ub"),
        "a dict of its own": Raw(model + b")\x81" + items),
        "class": Raw(model),
    }
    path = save(tmp_path / "last.ckpt", lightning(extra))
    arrays = open_arrays(path)
    assert list(arrays) == ["state_dict.generator.weight"]
    assert arrays.facts == {
        "step": 1200,
        "epoch": 3,
        "config": {"hop": 256, "path": "/data"},
        "lightning": "2.1.0",
        "ignored": ["gan_audio_canary.Model"],
    }
    assert arrays.tree["a dict of its own"] == {"weight": 7}
    assert arrays.tree["callbacks"] == [None]
    assert not canary.exists()
    with pytest.raises(UnsafeFileError, match=r"gan_audio_canary\.Model"):
        open_arrays(save(tmp_path / "plain", {"x": Tensor(ramp(2)), **extra}))
    assert not canary.exists()
    import gan_audio_canary

    assert gan_audio_canary
    assert canary.exists()


def test_arrays_inside_an_unknown_object_are_not_taken(tmp_path):
    writer = PickleWriter()
    hidden = Tensor(ramp(3))
    module = Raw(opname("authors", "Module") + b")\x81}(" + writer.push("weight") + b"K\x00ub")
    value = lightning({"model": module, "list": called("authors", "Wrapper")})
    assert list(open_arrays(torch_zip(tmp_path / "a.ckpt", value))) == ["state_dict.generator.weight"]
    value["callbacks"] = {"plain": hidden}
    assert list(open_arrays(torch_zip(tmp_path / "b.ckpt", value))) == ["state_dict.generator.weight", "callbacks.plain"]


def test_the_extension_registry_is_not_consulted(tmp_path, container):
    copyreg.add_extension("os", "getcwd", 250)
    try:
        assert pickle.loads(b"\x80\x02\x82\xfa.") is os.getcwd  # and from now on it is in pickle's own cache
        for opcodes in (b"\x82\xfa)R", b"\x83\xfa\0)R", b"\x84\xfa\0\0\0)R"):
            with pytest.raises(ForeignFileError, match="extension registry"):
                open_arrays(container(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": Raw(opcodes)}))
    finally:
        copyreg.remove_extension("os", "getcwd", 250)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"Psome reference\n",
        PickleWriter().push(("module", 1, "source.py", "class A: pass")) + b"Q",
        PickleWriter().push(("storage",)) + b"Q",
        PickleWriter().push(("storage", Raw(opname("torch", "QInt8Storage")), "9", "cpu", 1)) + b"Q",
        PickleWriter().push(("storage", "FloatStorage", "9", "cpu", 1)) + b"Q",
        PickleWriter().push(("storage", Raw(opname("torch", "FloatStorage")), "9", "cpu", -1)) + b"Q",
        PickleWriter().push(("storage", Raw(opname("torch", "FloatStorage")), "9", "cpu", 1 << 40)) + b"Q",
        PickleWriter().push(("storage", Raw(opname("torch", "FloatStorage")), "9", "cpu", 1, ("v", 1, 1))) + b"Q",
        PickleWriter().push(("storage", Raw(opname("torch", "FloatStorage")), "9", "cpu", 1)) + b"Q",  # in no archive
        PickleWriter().push(5) + b"Q",
    ],
)
def test_references_to_anything_but_storages_are_refused(tmp_path, container, opcodes):
    with pytest.raises(ForeignFileError):
        open_arrays(container(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": Raw(opcodes)}))


# Nothing may be allocated, hashed or walked that is not there.


def deep(opcode: bytes, levels: int = 100_000) -> bytes:
    return b"]" * levels + b"a" * (levels - 1) if opcode == b"]" else b")" + opcode * levels


@pytest.mark.parametrize(
    "opcodes",
    [
        deep(b"]"),
        deep(b"\x85"),
        b"]q\x010h\x01h\x01a",  # a list that holds itself
    ],
)
def test_structures_without_end_are_refused(tmp_path, container, opcodes):
    with pytest.raises(ForeignFileError, match="nested too deeply"):
        open_arrays(container(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": Raw(opcodes)}))


@pytest.mark.slow
def test_lists_that_multiply_are_refused(tmp_path):
    layers = (b"0]q" + bytes([n]) + b"(" + (b"h" + bytes([n - 1])) * 9 + b"e" for n in range(1, 40))
    with pytest.raises(ForeignFileError, match="more than 1000000 parts"):  # 9^39 parts out of a kilobyte
        open_arrays(torch_zip(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": Raw(b"]q\x00" + b"".join(layers))}))


def test_a_deeply_nested_key_is_not_hashed(tmp_path):
    """Hashing it overflows the stack of the C unpickler, and ends the process."""
    bad = Raw(b"}" + deep(b"\x85") + b"K\x01s")
    assert list(open_arrays(torch_zip(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": bad}))) == ["x"]


@pytest.mark.parametrize(
    "opcodes",
    [
        b"Nr\xff\xff\xff\x0f",  # a memo index for which the C unpickler allocates 4 GiB
        b"\x96" + struct.pack("<Q", 1 << 40),  # a bytearray of 1 TiB
        b"\x8e" + struct.pack("<Q", 1 << 40),
        b"\x8b" + struct.pack("<i", (1 << 31) - 1),
        b"T" + struct.pack("<i", (1 << 31) - 1),
        b"\x94" * 3,
        b"0" * 9,
        b"tR",
        b"N)R",
        b"(((.",
        b"h\x50",
        b"\xff",
        b"I" + b"9" * 5000 + b"\n",
    ],
)
def test_opcodes_that_claim_too_much(tmp_path, container, opcodes):
    path = container(tmp_path / "model", {"x": Tensor(ramp(2)), "bad": Raw(opcodes)})
    tracemalloc.start()
    try:
        dict(open_arrays(path))
    except ForeignFileError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


def test_keys_with_one_hash_do_not_take_forever(tmp_path):
    modulus = (1 << 61) - 1
    keys = b"".join(PickleWriter().push(n * modulus) + b"N" for n in range(1, 30_000))
    started = time.monotonic()
    arrays = open_arrays(torch_zip(tmp_path / "a", {"x": Tensor(ramp(2)), "bad": Raw(b"}(" + keys + b"u")}))
    assert list(arrays) == ["x"]
    assert time.monotonic() - started < 10  # some 0.3 s; a dict of them takes minutes


@pytest.mark.parametrize("save", [torch_zip, torch_legacy])
@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(ramp(4), (5,), (1,)),
        Tensor(ramp(4), (2,), (1,), 3),
        Tensor(ramp(4), (2, 2), (3, 1)),
        Tensor(ramp(4), (4,), (-1,), 3),
        Tensor(ramp(4), (-4,), (1,)),
        Tensor(ramp(4), (4,), (1,), -1),
        Tensor(ramp(4), (1 << 40,), (0,)),
        Tensor(ramp(4), (1 << 31, 1 << 31, 4), (0, 0, 1)),
        Tensor(ramp(4), (2,), ((1 << 62) // 4 + 1,)),
        Tensor(ramp(4), (1 << 62, 1 << 62), (1, 1)),
        Tensor(ramp(4), (1 << 100,), (1,)),
        Tensor(ramp(4), (4,), (1, 1)),
        Tensor(ramp(4), (1,) * 33, (1,) * 33),
        Tensor(ramp(4), (True, 4), (1, 1)),
        Tensor(ramp(4), (2.0,), (1,)),
        Tensor(ramp(4), 4, (1,)),
        Tensor(ramp(4), count=5),
        Tensor(ramp(4), count=3),
        Tensor(ramp(4), count=1 << 40),
        Tensor(ramp(4), (1 << 40,), (1,), count=1 << 40),
        Tensor(ramp(4), storage="DoubleStorage"),
        Tensor(ramp(4), storage="NoStorage"),
    ],
)
def test_tensors_beyond_their_storage(tmp_path, save, tensor):
    path = save(tmp_path / "model", {"x": tensor})
    tracemalloc.start()
    try:
        with pytest.raises(ForeignFileError):
            dict(open_arrays(path))
        assert tracemalloc.get_traced_memory()[1] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_one_storage_described_in_two_ways(tmp_path):
    writer = PickleWriter()
    reference = lambda kind, count: writer.push(("storage", Raw(opname("torch", kind)), "0", "cpu", count)) + b"Q"
    tail = b"".join(writer.push(part) for part in (0, (1,), (1,), False, {}))
    for kind, count in (("IntStorage", 4), ("FloatStorage", 3)):
        bad = called("torch._utils", "_rebuild_tensor_v2", reference(kind, count) + tail)
        with pytest.raises(ForeignFileError, match="two ways"):
            open_arrays(torch_zip(tmp_path / "a", {"x": Tensor(ramp(4)), "bad": bad}))


def test_archives_that_do_not_hold_what_they_say(tmp_path):
    value = {"x": Tensor(ramp(4))}
    with pytest.raises(ForeignFileError, match=r"storage 0 has 15 bytes; 16 are needed"):
        open_arrays(torch_zip(tmp_path / "short", value, extra={"data/0": bytes(15)}))
    with pytest.raises(ForeignFileError, match="byte order middle"):
        open_arrays(torch_zip(tmp_path / "middle", value, extra={"byteorder": b"middle"}))
    with pytest.raises(ForeignFileError, match=r"2 files named data\.pkl"):
        open_arrays(torch_zip(tmp_path / "two", value, extra={"more/data.pkl": b"N."}))
    with pytest.raises(ForeignFileError, match="no tensors"):
        open_arrays(torch_zip(tmp_path / "none", {"steps": 3}))
    with pytest.raises(ForeignFileError):
        open_arrays(torch_legacy(tmp_path / "magic", value, magic=5))


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    from .foreign_files import zipped

    path = zipped(tmp_path / "bomb", {"a/data.pkl": b"N.", "a/data/0": bytes(64 * MEBIBYTE)}, 8)
    assert path.stat().st_size < MEBIBYTE
    with pytest.raises(ForeignFileError, match="sixteen times"):
        open_arrays(path)


def test_quantised_and_sparse_tensors_are_named(tmp_path):
    for function, word in (("_rebuild_qtensor", "qtensor"), ("_rebuild_sparse_tensor", "sparse tensor")):
        with pytest.raises(ForeignFileError, match=word):
            open_arrays(torch_zip(tmp_path / "a", {"x": Tensor(ramp(2)), "bad": called("torch._utils", function)}))


# A fuzzer


def seeds(folder: Path) -> dict[str, bytes]:
    """A small file of each format."""
    found = {name: (DATA / f"torch_{name}.pt").read_bytes() for name in ("zip", "legacy")}
    found["script"] = torch_script(folder / "s", {"conv": {"weight": Tensor(ramp(2, 3))}, "bias": Tensor(ramp(4))}).read_bytes()
    found["pickle"] = pickle.dumps((ramp(20), ramp(20)), 2)
    found["npy"] = npy_bytes(ramp(3, 4))
    archive = io.BytesIO()
    np.savez_compressed(archive, mean=ramp(9), scale=ramp(9))
    found["npz"] = archive.getvalue()
    header = b'{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    found["safetensors"] = struct.pack("<Q", len(header)) + header + ramp(2, 3).tobytes()
    found["onnx"] = onnx_seed()
    found["config"] = b"!!python/object:argparse.Namespace\nratios: !!python/tuple [8, 8]\nlr: 1e-4\n&x a: *x\npath: !!python/x\n- y\n"
    return found


def onnx_seed() -> bytes:
    try:
        import onnx
    except ImportError:
        return b"\x08\x08\x12\x07pytorch"
    tensor = onnx.numpy_helper.from_array(ramp(3, 2, 4), "onnx::Conv_1")
    node = onnx.helper.make_node("Conv", ["x", "onnx::Conv_1"], ["y"], name="/dec/conv/Conv")
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [tensor])).SerializeToString()


def mutated(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        if len(out) < 2:
            break
        at = rng.randrange(len(out))
        match rng.randrange(7):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at] = rng.randrange(256)
            case 2:
                del out[at:]
            case 3:
                out[at : at + 8] = b"\xff" * 8
            case 4:
                del out[at : at + rng.randrange(1, 20)]
            case 5:
                other = rng.randrange(len(out))
                out[at:at] = out[other : other + rng.randrange(1, 40)]
            case 6:
                out[at] = rng.choice(b"cRoi\x81b}]()tu0Qq\x93\x94h.\x8a\x82\x96")
    return bytes(out)


def test_300_mutated_files_give_arrays_or_errors(tmp_path):
    files = seeds(tmp_path)
    names = sorted(files)
    outcomes = {"read": 0, "refused": 0}
    started = time.monotonic()
    tracemalloc.start()
    for case in range(300):
        rng = random.Random(case)
        name = names[case % len(names)]
        path = tmp_path / "fuzzed"
        path.write_bytes(mutated(rng, files[name]))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            if name == "config":
                read_config(path)
            else:
                dict(open_arrays(path))
            outcomes["read"] += 1
        except GanAudioError:
            outcomes["refused"] += 1
        assert tracemalloc.get_traced_memory()[1] - before < 32 * MEBIBYTE, (case, name)
    tracemalloc.stop()
    assert time.monotonic() - started < 60  # some 3 s
    assert outcomes["refused"] > 150
    assert outcomes["read"] > 10
