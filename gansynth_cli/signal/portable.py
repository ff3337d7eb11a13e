"""The switch between graphs for TensorFlow and graphs for runtimes of other programs, which know fewer operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_portable: ContextVar[bool] = ContextVar("portable", default=False)


@contextmanager
def portable_graph() -> Iterator[None]:
    """Trace what other runtimes can hold (ONNX, LiteRT): transforms as products with real matrices, Griffin-Lim without a loop, dilated
    convolutions as one operation. A product costs fft / (5 log2 fft) times what the fast transform does."""
    before = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(before)


def is_portable() -> bool:
    """Return whether a graph for other runtimes is being traced."""
    return _portable.get()
