"""Read serialized `tf.train.Example` messages without TensorFlow, and without copying what is not wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def read_example(content: memoryview, *, with_audio: bool) -> Iterator[tuple[str, Any]]:
    """Yield (feature, value) of a serialized `tf.train.Example`: int, str, list, or float32 [n]; without its audio `audio` is None."""
    for features in _messages(content, 1):
        for entry in _messages(features, 1):
            name = bytes(next(_messages(entry, 1))).decode()
            feature = next(_messages(entry, 2))
            for kind, value in _wire(feature):
                if kind == 1:
                    texts = [bytes(text).decode("utf-8", "replace") for text in _messages(value, 1)]
                    yield name, texts[0] if len(texts) == 1 else texts
                elif kind == 2:
                    yield name, _floats(value) if with_audio or name != "audio" else None
                else:
                    numbers = _integers(value)
                    yield name, numbers[0] if len(numbers) == 1 else numbers


def _floats(content: memoryview) -> np.ndarray:
    """A FloatList, packed (as protocol buffers write it) or number by number."""
    return np.concatenate([np.frombuffer(value, "<f4") for _, value in _wire(content)] or [np.zeros(0, "<f4")])


def _integers(content: memoryview) -> list[int]:
    found: list[int] = []
    for _, value in _wire(content):
        if isinstance(value, int):
            found.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            found.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in found]


def _messages(content: memoryview, number: int) -> Iterator[memoryview]:
    return (value for key, value in _wire(content) if key == number and not isinstance(value, int))


def _wire(content: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value): an int, or the bytes of a message, text or fixed-size number."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        if key & 7 == 0:
            value, position = _varint(content, position)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, position = _varint(content, position)
        else:
            size = {1: 8, 5: 4}.get(key & 7, -1)
        if size < 0 or position + size > len(content):
            raise ValueError(f"field {key >> 3} of wire type {key & 7} goes beyond its message")
        yield key >> 3, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
