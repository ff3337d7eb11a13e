"""What the names in a pickle mean: the few that are known, the many that are refused, and numpy's arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .contents import LazyArray, checked_shape, element_count
from .pickle_data import Global, Opaque, PickleDamage, pairs
from .problems import UnsafeFileError, listed, shown

Maker = Callable[[tuple], Any]

# Whatever lies below these can run code, read or write files, or load more of both. A file of weights has no use for any of it.
_DANGEROUS_NAMES = (
    "__builtin__ __builtins__ _ctypes _io _operator _pickle _posixsubprocess asyncio bdb builtins cPickle cProfile cloudpickle"
    " code codecs codeop commands concurrent copyreg copy_reg ctypes dill ensurepip ftplib gc http idlelib imaplib importlib"
    " inspect io joblib lib2to3 linecache marshal mmap multiprocessing nt ntpath operator os pdb pickle pickletools pip pkgutil"
    " platform popen2 posix posixpath profile pty pydoc requests runpy sched setuptools shelve shutil signal site smtplib socket"
    " socketserver sqlite3 ssl subprocess sys tempfile threading timeit trace types urllib urllib2 venv weakref webbrowser xmlrpc"
    " zipimport"
)
_DANGEROUS = frozenset(_DANGEROUS_NAMES.split(" "))
# Ways from within torch and numpy to run code or to read a second pickle, hidden from whoever looks at the first.
_DANGEROUS_PARTS = re.compile(
    r"(torch\.(hub|load|serialization|package|jit|ops|classes|distributed|multiprocessing|utils\.(cpp_extension|data|collect_env))"
    r"|torch\.storage\._load_from_bytes|torch\._(dynamo|inductor|C)"
    r"|numpy\.(f2py|distutils|testing|load|lib\.npyio|compat|memmap))(\.|$)"
)
# Plain values by their type's name: nothing in `builtins` but these.
_PLAIN_TYPE_NAMES = "bool bytearray bytes complex dict float frozenset int list long object set str tuple unicode"
_PLAIN_TYPES = frozenset(_PLAIN_TYPE_NAMES.split(" "))
_BUILTINS = ("builtins", "__builtin__")


class Namespace(dict):
    """What an argparse.Namespace holds, as a plain dict."""

    def set_state(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)


class NumpyDtype:
    """A dtype as it is pickled: the code first, the byte order with the state."""

    _CODE = re.compile(r"(b1|[iu][1248]|f[248]|c8|c16)")

    def __init__(self, arguments: tuple):
        code = arguments[0] if arguments else None
        if not isinstance(code, str) or not self._CODE.fullmatch(code):
            raise ValueError("a numpy array of something other than numbers")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ValueError("a numpy array of something other than numbers")
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("a numpy dtype of an unknown byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class NumpyArray:
    """An array as it is pickled: made empty, then given its shape, dtype and raw numbers."""

    array: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array without its state")
        _, shape, dtype, by_columns, data = state
        self.array = _numbers(data, dtype, shape, bool(by_columns))

    def lazy(self) -> LazyArray:
        """Return the array.

        Raises:
            PickleDamage: It was never given its numbers.
        """
        if self.array is None:
            raise PickleDamage("the pickle in it is damaged (a numpy array without numbers)")
        return LazyArray.of(self.array)


def _numbers(data: Any, dtype: Any, shape: Any, by_columns: bool) -> np.ndarray:
    if not isinstance(dtype, NumpyDtype):
        raise ValueError("a numpy array without a dtype")
    raw = data.encode("latin-1") if isinstance(data, str) else data  # Python 2 kept bytes as text
    sizes = checked_shape(shape)
    if not isinstance(raw, (bytes, bytearray)) or len(raw) != element_count(sizes) * dtype.dtype.itemsize:
        raise ValueError("a numpy array with more or fewer numbers than its shape")
    array = np.frombuffer(raw, dtype.dtype).reshape(sizes, order="F" if by_columns else "C")
    return np.ascontiguousarray(array, dtype.dtype.newbyteorder("=")).reshape(sizes)  # ascontiguousarray makes [] a [1]


def _reconstruct(arguments: tuple) -> NumpyArray:
    if str(arguments[0]) != "numpy.ndarray":
        raise ValueError("a numpy array of a class of its own")
    return NumpyArray()


def _from_buffer(arguments: tuple) -> NumpyArray:
    buffer, dtype, shape, order = arguments
    made = NumpyArray()
    made.array = _numbers(buffer, dtype, shape, order == "F")
    return made


def _scalar(arguments: tuple) -> Any:
    return _numbers(arguments[1], arguments[0], (), False).item()


def _encode(arguments: tuple) -> bytes:
    """Python 3 writes bytes as text and an encoding where the protocol is 2."""
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1")


def _mapping(arguments: tuple) -> dict[Any, Any]:
    """OrderedDict, Counter and dict: of another dict, of a list of pairs, or empty."""
    if not arguments:
        return {}
    if isinstance(arguments[0], dict):
        return dict(arguments[0])
    return pairs({}, [part for pair in arguments[0] for part in (pair[0], pair[1])])


def _path_text(arguments: tuple) -> str:
    return "/".join(str(part) for part in arguments if isinstance(part, str)).replace("//", "/")


def _first_list(arguments: tuple) -> list[Any]:
    if not arguments:
        return []
    if not isinstance(arguments[0], (list, tuple)):
        raise ValueError("a list of something that is no list")
    return list(arguments[0])


NUMPY_NAMES: dict[str, Maker] = {
    "numpy.dtype": NumpyDtype,
    "_codecs.encode": _encode,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
NUMPY_TYPES = frozenset({"numpy.ndarray"})  # named, never called

PLAIN_NAMES: dict[str, Maker] = {
    "argparse.Namespace": lambda arguments: Namespace(),
    "types.SimpleNamespace": lambda arguments: Namespace(),
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": lambda arguments: {},  # its first argument is the factory; items follow
    "collections.deque": _first_list,
    **{
        f"pathlib.{local}{pure}{kind}Path": _path_text
        for local in ("", "_local.")
        for pure in ("", "Pure")
        for kind in ("", "Posix", "Windows")
    },
    **{f"{module}.{name}": _mapping for module in _BUILTINS for name in ("dict",)},
    **{f"{module}.{name}": _first_list for module in _BUILTINS for name in ("list", "set", "frozenset")},
    **{f"{module}.tuple": lambda arguments: tuple(_first_list(arguments)) for module in _BUILTINS},
}
_RECONSTRUCTORS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__"})


class NameRules:
    """`pickle_data.Rules` by tables of names.

    A dangerous name is refused on sight, in every file. An unknown one stands for an `Opaque` and is kept in `unknown`: once the
    whole pickle is read, the caller knows what kind of file it is and calls `refuse_unknown` where such names have no place.

    Args:
        path: The file, for messages.
        known: What is called, and by what of ours.
        types: Names that may be mentioned and are not called.
        strict: Whether an unknown name is refused on sight too.
    """

    def __init__(self, path: str | os.PathLike, known: Mapping[str, Maker], types: frozenset[str] = frozenset(), strict: bool = False):
        self.path, self.known, self.types, self.strict = path, known, types, strict
        self.unknown: dict[str, None] = {}  # in order

    def check(self, name: Global) -> None:
        full = str(name)
        if full in self.known or full in self.types or full in _RECONSTRUCTORS:
            return
        if name.module in _BUILTINS and name.name in _PLAIN_TYPES:
            return
        if full.split(".", 1)[0] in _DANGEROUS or name.module in _BUILTINS or _DANGEROUS_PARTS.match(full):
            raise UnsafeFileError(
                self.path,
                full,
                f"asks for {shown(full)} to be called, which no file of weights needs. Nothing of it was run.",
                hint="do not open this file with any other program; get it again from its authors",
            )
        if self.strict:
            raise UnsafeFileError(self.path, full, f"holds a {shown(full)}; expected numpy arrays and nothing else. Nothing of it was run.")
        self.unknown[full] = None

    def make(self, name: Global, arguments: tuple) -> Any:
        full = str(name)
        if full in _RECONSTRUCTORS:
            if not arguments or not isinstance(arguments[0], Global):
                raise ValueError("an object without a class")
            rest = () if full.endswith("_reconstructor") else arguments[1:]
            return self.make(arguments[0], rest)
        maker = self.known.get(full)
        return Opaque(name, arguments) if maker is None else maker(arguments)

    def persistent(self, reference: Any) -> Any:
        raise PickleDamage("the pickle in it refers to something outside of it")

    def refuse_unknown(self, reason: str, hint: str) -> None:
        """Raise `UnsafeFileError` for the first unknown name, if there is one.

        Args:
            reason: What was expected instead.
            hint: As of the error.
        """
        if self.unknown:
            names = list(self.unknown)
            raise UnsafeFileError(self.path, names[0], f"names {listed(names, 3)}, {reason}. Nothing of it was run.", hint)
