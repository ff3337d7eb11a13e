"""Reading a pickle as data: a machine for the pickle language that can build plain values and call nothing.

A pickle is a program: its opcodes name functions of any installed module and call them. `pickle.Unpickler` with a strict
`find_class` refuses to look the names up, which is most of what is needed, but not all: nine bytes make it allocate 4 GiB (a memo
index), two megabytes overflow the C stack (the hash of a deeply nested tuple), and a code of the extension registry goes round
`find_class`. So the opcodes are carried out here instead, on top of `pickletools`, which knows their arguments. A name stays a
pair of strings (`Global`): there is no import, no attribute look-up and no call of anything that a file names. What a call means is
decided by `Rules`: a function of this package that takes the arguments as data, or an `Opaque` that only remembers them.

Cost: about 2 us an opcode, so 0.1 s for a checkpoint of a thousand tensors.
"""

from __future__ import annotations

import codecs
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

MAX_OPERATIONS = 3_000_000  # a checkpoint of 1,000 tensors with Adam's moments takes some 150,000
MAX_LINE = 1 << 16  # bytes of a text argument
_MAX_KEY = 1 << 60  # larger integers can share a hash by design, which makes a dict quadratic


class PickleDamage(ValueError):
    """A pickle that is truncated, or does what no writer of weights does."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle refers to; nothing has been looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Opaque:
    """An instance of a class that we do not know: what it would have been made from, and nothing that acts.

    Attributes:
        name: The class.
        arguments: Of its constructor.
        state: What `__setstate__` would have been given; None where there was none.
        entries: Items, if it is a kind of dict.
        elements: Elements, if it is a kind of list or set.
    """

    __slots__ = ("arguments", "elements", "entries", "name", "state")

    def __init__(self, name: Global, arguments: Any):
        self.name, self.arguments = name, arguments
        self.state: Any = None
        self.entries: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def set_state(self, state: Any) -> None:
        self.state = state


class OddKey:
    """A key of a dict that is not a string, a small number or None, told apart by identity: hashing it could be made costly."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


class Rules(Protocol):
    """What the names and the references in a pickle mean."""

    def check(self, name: Global) -> None:
        """Raise an error for a name that is refused. Called for each name before anything is done with it."""

    def make(self, name: Global, arguments: tuple) -> Any:
        """Return what calling `name` stands for. May raise ValueError."""

    def persistent(self, reference: Any) -> Any:
        """Return what a persistent id stands for. May raise ValueError."""


class BoundedStream:
    """The bytes from the position of a file up to `end`. Unlike a file, never allocates more than is there.

    Args:
        file: Open for reading in binary; its position moves along.
        end: Where the stream ends.
    """

    def __init__(self, file: BinaryIO, end: int):
        self._file, self._end = file, end

    def read(self, length: int) -> bytes:
        return self._file.read(max(0, min(length, self._end - self._file.tell())))

    def readline(self) -> bytes:
        return self._file.readline(max(0, min(MAX_LINE, self._end - self._file.tell())))


_MARK = object()
_LITERAL_NAMES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
    " BINSTRING SHORT_BINSTRING STRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_LITERALS = frozenset(_LITERAL_NAMES.split(" "))
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
    "MARK": lambda: _MARK,
}


def read_pickle(stream: BinaryIO | BoundedStream, rules: Rules) -> Any:
    """Read one pickle; the stream is left behind its last byte.

    Args:
        stream: Has `read` and `readline`, which must not allocate more than there is to read: a `BytesIO` or `BoundedStream`.
        rules: What names mean.

    Returns:
        None, bools, numbers, strings, bytes, lists, tuples, dicts (sets come as lists), and what `rules` makes.

    Raises:
        PickleDamage: It is truncated, no pickle, larger than `MAX_OPERATIONS`, or uses the extension registry or out-of-band buffers.
        ForeignFileError: As `rules.check`.
    """
    machine = _Machine(stream, rules)
    try:
        return machine.run()
    except PickleDamage:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PickleDamage(f"the pickle in it is damaged ({_short(error)})") from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:100] or type(error).__name__


class _Machine:
    def __init__(self, stream: BinaryIO | BoundedStream, rules: Rules):
        self.stream: Any = stream
        self.rules = rules
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_OPERATIONS):
            code = self.stream.read(1)
            opcode = _OPCODES.get(code.decode("latin-1"))
            if opcode is None:
                raise PickleDamage("the pickle in it is truncated" if not code else "the pickle in it is damaged (an unknown opcode)")
            name = opcode.name
            if name == "STOP":
                return self.pop()
            argument = self.line() if name == "STRING" else opcode.arg.reader(self.stream) if opcode.arg is not None else None
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            else:
                getattr(self, f"do_{name.lower()}", self.refuse)(argument)
        raise PickleDamage(f"the pickle in it has more than {MAX_OPERATIONS} operations")

    def line(self) -> str:
        """The quoted text of Python 2; `pickletools` takes ASCII only, and numpy's raw numbers stand in such strings."""
        line = self.stream.readline().rstrip(b"\r\n")
        if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1]:
            raise PickleDamage("the pickle in it is damaged (a string without quotes)")
        return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleDamage("the pickle in it is damaged (a mark where a value belongs)")
        return value

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise PickleDamage("the pickle in it is damaged (a mark where a value belongs)")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        stack = self.stack
        for at in range(len(stack) - 1, -1, -1):
            if stack[at] is _MARK:
                values = stack[at + 1 :]
                del stack[at:]
                return values
        raise PickleDamage("the pickle in it is damaged (no mark)")

    def refuse(self, argument: Any) -> None:
        raise PickleDamage("the pickle in it uses the extension registry or buffers outside of it, which no file of weights does")

    # Nothing to do, and moving values about.
    def do_proto(self, argument: int) -> None:
        pass

    def do_frame(self, argument: int) -> None:
        pass

    def do_pop(self, argument: None) -> None:
        self.stack.pop()

    def do_pop_mark(self, argument: None) -> None:
        self.pop_mark()

    def do_dup(self, argument: None) -> None:
        self.stack.append(self.top())

    def do_put(self, argument: int) -> None:
        self.memo[argument] = self.top()

    do_binput = do_long_binput = do_put

    def do_memoize(self, argument: None) -> None:
        self.memo[len(self.memo)] = self.top()

    def do_get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    do_binget = do_long_binget = do_get

    # Containers.
    def do_tuple(self, argument: None) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def do_tuple1(self, argument: None) -> None:
        self.stack.append((self.pop(),))

    def do_tuple2(self, argument: None) -> None:
        last = self.pop()
        self.stack.append((self.pop(), last))

    def do_tuple3(self, argument: None) -> None:
        last, middle = self.pop(), self.pop()
        self.stack.append((self.pop(), middle, last))

    def do_list(self, argument: None) -> None:
        self.stack.append(self.pop_mark())

    do_frozenset = do_list

    def do_append(self, argument: None) -> None:
        value = self.pop()
        _elements(self.top()).append(value)

    def do_appends(self, argument: None) -> None:
        values = self.pop_mark()
        _elements(self.top()).extend(values)

    do_additems = do_appends

    def do_dict(self, argument: None) -> None:
        self.stack.append(pairs({}, self.pop_mark()))

    def do_setitem(self, argument: None) -> None:
        value, key = self.pop(), self.pop()
        pairs(_entries(self.top()), [key, value])

    def do_setitems(self, argument: None) -> None:
        values = self.pop_mark()
        pairs(_entries(self.top()), values)

    # Names, calls and references: where a pickle gets its power, and where this machine has none.
    def named(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleDamage("the pickle in it is damaged (a name that is no text)")
        found = Global(module, name)
        self.rules.check(found)
        return found

    def do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")  # how pickletools joins the two lines
        self.stack.append(self.named(module, name))

    def do_stack_global(self, argument: None) -> None:
        name, module = self.pop(), self.pop()
        self.stack.append(self.named(module, name))

    def call(self, name: Any, arguments: Any) -> None:
        if not isinstance(name, Global):
            raise PickleDamage("the pickle in it calls something that is not a name, which no file of weights does")
        if not isinstance(arguments, tuple):
            raise PickleDamage("the pickle in it is damaged (arguments that are no tuple)")
        self.stack.append(self.rules.make(name, arguments))

    def do_reduce(self, argument: None) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    do_newobj = do_reduce

    def do_newobj_ex(self, argument: None) -> None:
        keywords, arguments = self.pop(), self.pop()
        name = self.pop()
        self.call(name, arguments)
        if keywords and isinstance(self.top(), Opaque):
            self.top().set_state(keywords)

    def do_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        found = self.named(module, name)
        self.call(found, tuple(self.pop_mark()))

    def do_obj(self, argument: None) -> None:
        values = self.pop_mark()
        self.call(values[0], tuple(values[1:]))

    def do_build(self, argument: None) -> None:
        """Give an object of this package its state; attributes of dicts, tensors and the like say nothing that we need."""
        state = self.pop()
        set_state = getattr(self.top(), "set_state", None)
        if set_state is not None:
            set_state(state)

    def do_persid(self, argument: str) -> None:
        self.stack.append(self.rules.persistent(argument))

    def do_binpersid(self, argument: None) -> None:
        self.stack.append(self.rules.persistent(self.pop()))


def _elements(value: Any) -> list[Any]:
    found = value.elements if isinstance(value, Opaque) else value
    if not isinstance(found, list):
        raise PickleDamage("the pickle in it is damaged (elements of something that is no list)")
    return found


def _entries(value: Any) -> dict[Any, Any]:
    found = value.entries if isinstance(value, Opaque) else value
    if not isinstance(found, dict):
        raise PickleDamage("the pickle in it is damaged (items of something that is no dict)")
    return found


def pairs(target: dict[Any, Any], values: list[Any] | tuple[Any, ...]) -> dict[Any, Any]:
    """Put alternate keys and values into `target` and return it."""
    if len(values) % 2:
        raise PickleDamage("the pickle in it is damaged (a key without a value)")
    for at in range(0, len(values), 2):
        target[key_of(values[at])] = values[at + 1]
    return target


def key_of(value: Any) -> Any:
    """Return `value` if hashing it is cheap whatever it holds, else an `OddKey` of it."""
    plain = isinstance(value, (str, bytes, Global)) or value is None or (isinstance(value, int) and -_MAX_KEY < value < _MAX_KEY)
    return value if plain else OddKey(value)
