"""The switch between graphs for TensorFlow and graphs for runtimes of other programs, which know fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import tensorflow as tf

Constants = dict[tuple[Hashable, Hashable], tuple[tf.Graph, list[tf.Tensor]]]  # by the graph's id and the key
_portable: ContextVar[Constants | None] = ContextVar("portable", default=None)


@contextmanager
def portable_graph() -> Iterator[None]:
    """Trace what other runtimes can hold (ONNX, LiteRT): transforms as products with real matrices, Griffin-Lim without a loop, dilated
    convolutions as one operation. A product costs fft / (5 log2 fft) times what the fast transform does."""
    before = _portable.set({})
    try:
        yield
    finally:
        _portable.reset(before)


def is_portable() -> bool:
    """Return whether a graph for other runtimes is being traced."""
    return _portable.get() is not None


def graph_constants(key: Hashable, make: Callable[[], Sequence[np.ndarray]]) -> list[tf.Tensor]:
    """Return constants of the graph that is being traced within `portable_graph`, which holds them once however often they are needed.

    Else an unrolled Griffin-Lim of 48 rounds at an fft of 2048 would hold 192 matrices of 8 MB, which converters copy several times.
    """
    constants, graph = _portable.get(), tf.compat.v1.get_default_graph()
    assert constants is not None
    if (id(graph), key) not in constants:
        with tf.control_dependencies(None):
            constants[id(graph), key] = graph, [tf.constant(matrix) for matrix in make()]
    return constants[id(graph), key][1]
