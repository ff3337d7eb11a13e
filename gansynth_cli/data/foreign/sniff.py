"""Telling what a file is from its content: suffixes lie (.pkl, .pt, .bin and .ckpt are each used for three formats)."""

from __future__ import annotations

import re
import zipfile

from .contents import SourceFile
from .problems import ForeignFileError, shown
from .torch_containers import is_legacy

_HEAD = 4096
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # the end of TensorFlow's tables
_WRAPPED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
_FETCH = "download the file itself; a browser or `curl -L` follows the redirects"


def sniff(source: SourceFile) -> str:
    """Name the format of a file.

    Returns:
        "torch zip", "torch legacy", "pickle", "safetensors", "onnx", "tensorflow table", "tensorflow graph", "hdf5", "npz" or "npy".

    Raises:
        ForeignFileError: It is empty, a placeholder for the weights (a Git LFS pointer, a page), packed, or of no known format.
    """
    if source.size == 0:
        raise ForeignFileError(source.path, "is empty.", _FETCH)
    head = source.read(0, min(source.size, _HEAD))
    refuse_placeholders(source, head)
    _refuse_packed(source, head)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(source)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if source.size >= 48 and source.read(source.size - 8, 8) == TABLE_MAGIC:
        return "tensorflow table"
    if is_legacy(source):
        return "torch legacy"
    if source.size > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    if re.match(rb"\x80[\x02-\x05]|\(c[a-z_.]+\n|c[a-z_.]+\n\w+\n|\(lp|\(dp|\]q|\}q", head):
        return "pickle"
    if re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42\x72]", head):  # field 1: the version; then another field of a ModelProto
        return "onnx"
    if head.startswith(b"\x0a") and source.path.suffix == ".meta":  # protobuf has no magic number, and any text may begin with a line feed
        return "tensorflow graph"
    return _unknown(source, head)


def refuse_placeholders(source: SourceFile, head: bytes) -> None:
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        size = re.search(rb"\nsize (\d{1,18})", head)
        told = f" of {int(size[1])} bytes" if size else ""
        raise ForeignFileError(
            source.path,
            f"is a Git LFS pointer, a text that stands for the file{told}, not the weights.",
            "run `git lfs pull` in that repository",
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        title = re.search(rb"<title[^>]*>([^<]{1,80})", text)
        named = f" ({shown(title[1].decode('utf-8', 'replace').strip())})" if title else ""
        raise ForeignFileError(source.path, f"is a web page{named}, saved in place of the file.", _FETCH)
    if text.startswith((b'{"error', b'{"message', b"{'error", b"entry not found", b"not found", b"404")):
        said = " ".join(head[:80].decode("utf-8", "replace").split())
        raise ForeignFileError(source.path, f"is a server's error message ({shown(said, 80)}), saved in place of the file.", _FETCH)
    if not any(head) and source.size >= 16:
        raise ForeignFileError(source.path, "begins with zeros alone: it was fetched or copied in part.", _FETCH)


def _refuse_packed(source: SourceFile, head: bytes) -> None:
    for magic, name in _WRAPPED.items():
        if head.startswith(magic):
            raise ForeignFileError(source.path, f"is packed with {name}.", "unpack it first")
    if head[257:262] == b"ustar":
        raise ForeignFileError(
            source.path, "is a tar archive.", "unpack it first; of PyTorch before 0.1.10, save it again with a newer one"
        )
    if head[4:8] == b"TFL3":
        raise ForeignFileError(source.path, "is a TensorFlow Lite model, whose weights have lost their names.")


def _kind_of_zip(source: SourceFile) -> str:
    try:
        with zipfile.ZipFile(source.path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return "torch zip"  # whose reader says what is wrong with it
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch zip"
    if "model.weights.h5" in names:
        raise ForeignFileError(source.path, "is a Keras model, which needs no import.", "give it to the command that is to use it")
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if any(name.endswith("model.json") for name in names):
        raise ForeignFileError(source.path, "is a TorchScript archive of PyTorch 1.0 to 1.2, which is not read.")
    raise ForeignFileError(source.path, f"is a ZIP of {len(names)} files and no checkpoint.", "unpack it, and give the checkpoint inside")


def _unknown(source: SourceFile, head: bytes) -> str:
    begins = " ".join(f"{byte:02x}" for byte in head[:8])
    text = head[:40].decode("ascii", "replace")
    told = f'"{text.split(chr(10))[0]}"' if head[:40].isascii() and text.isprintable() else begins
    raise ForeignFileError(
        source.path,
        f"is in none of the formats that are read: PyTorch, safetensors, ONNX, TensorFlow checkpoint, HDF5, numpy. It begins with {told}.",
    )
