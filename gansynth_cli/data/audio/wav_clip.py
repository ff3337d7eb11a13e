"""Short clips as WAV files in memory, as data sets store them."""

from __future__ import annotations

import struct

import numpy as np

_FULL_SCALE = 32768.0  # of 16-bit PCM
WAV_HEADER_BYTES = 44  # of `wav_bytes`


def to_pcm16(audio: np.ndarray) -> np.ndarray:
    """Convert float to int16 with full scale 32768, clipped; `audio_file.read` and `tf.audio.decode_wav` invert it exactly.

    libsndfile's own conversion multiplies by 32767 and divides by 32768, which changes loud samples by one step.
    """
    scaled = np.rint(np.multiply(audio, _FULL_SCALE, dtype=np.float32))
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def wav_bytes(pcm: np.ndarray, sample_rate: int) -> bytes:
    """Return a WAV file: a header of 44 bytes and the samples, int16 [frames, channels]."""
    channels, size = pcm.shape[1], pcm.size * 2
    layout = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * channels * 2, channels * 2, 16)  # 1: integers
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size)
    return header + np.ascontiguousarray(pcm, "<i2").tobytes()


def with_comment(wav: bytes, comment: str) -> bytes:
    """Append a LIST chunk of type INFO with the comment (ICMT, ASCII) to a WAV file."""
    if not comment:
        return wav
    text = comment.encode("ascii") + b"\0"
    text += b"\0" * (len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", 12 + len(text)) + b"INFOICMT" + struct.pack("<I", len(text)) + text
    return wav[:4] + struct.pack("<I", len(wav) + len(chunk) - 8) + wav[8:] + chunk


def pcm_of_wav_bytes(content: bytes) -> np.ndarray:
    """Return the samples of a file from `wav_bytes`: int16 [frames, channels], without a copy."""
    channels = struct.unpack_from("<H", content, 22)[0]
    return np.frombuffer(content, "<i2", offset=WAV_HEADER_BYTES).reshape(-1, channels)
