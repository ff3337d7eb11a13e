"""Recordings that libsndfile cannot read: MPEG-4, AAC, WMA, WebM, ALAC and others, through PyAV (extra `av`) or the ffmpeg program.

Of a video the first audio track is decoded.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AudioFileError

_NAMES = (
    ".m4a .m4b .m4r .mp4 .m4v .mov .3gp .3g2 .aac .adts .wma .wmv .asf .webm .mkv .mka .avi .flv .ts .mts .m2ts .mpg .mpeg .vob .ogv .ogm "
    ".alac .ape .wv .tta .tak .ac3 .eac3 .dts .amr .awb .spx .mpc .ra .rm .qoa .thd .mlp"
)
SUFFIXES = frozenset(_NAMES.split(" "))
_MAGICS = (
    b"\x1a\x45\xdf\xa3",
    b"\x30\x26\xb2\x75",
    b"MAC ",
    b"wvpk",
    b"TTA1",
    b"#!AMR",
    b"\x0b\x77",
    b"FLV\x01",
    b"OggS",
    b"MPCK",
    b"tBaK",
)
_ESTIMATES = {"aac", "ac3", "eac3", "amr", "mp3", "dts", "mpegts", "mpeg", "ogg"}  # containers whose length is guessed from the bit rate
_TOLERANCE = 0.25  # seconds; codec delays and padding are less
_FULL = {"s16": 16, "s16p": 16, "s32": 24, "s32p": 24, "u8": 8, "flt": 32, "fltp": 32, "dbl": 32, "dblp": 32}
_LOSSLESS = {"alac", "flac", "ape", "wavpack", "tta", "tak", "mlp", "truehd"}


def is_media(path: Path, head: bytes) -> bool:
    """Whether a file is a recording or a film of another format: by its first 16 bytes or its suffix."""
    adts = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0
    film = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    return head.startswith(_MAGICS) or adts or film or path.suffix.lower() in SUFFIXES


def hint(path: Path) -> str:
    """The line to type where neither PyAV nor ffmpeg is there."""
    return f"pip install 'gan-audio[av]', or: ffmpeg -i '{path.name}' '{path.stem}.wav'"


class MediaSound:
    """The first audio track of a file, as `decoder.Sound`.

    Attributes:
        frames: -1: containers state seconds, which need not be a whole number of samples.
    """

    frames = -1

    def __init__(self, path: Path, facts: dict[str, Any], blocks: Any):
        self.path, self._facts, self._make = path, facts, blocks
        self.samplerate, self.channels = facts["sample_rate"], facts["channels"]
        self.subtype, self.format = facts["subtype"], facts["format"]
        self._blocks: Iterator[np.ndarray] = blocks()
        self._rest, self._total, self._from_start = np.zeros((0, self.channels), np.float32), 0, True

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        found, have = [self._rest], len(self._rest)
        while have < frames:
            block = next(self._blocks, None)
            if block is None:
                self._check_end()
                break
            self._total += len(block)
            found.append(block)
            have += len(block)
        joined = np.concatenate(found)
        self._rest = joined[frames:]
        return joined[:frames].astype(dtype)

    def _check_end(self) -> None:
        stated, found = self._facts["seconds"], self._total / self.samplerate
        if stated and found < stated - max(_TOLERANCE, 0.002 * stated):
            raise AudioFileError(self.path, f"truncated or damaged: {found:.2f} of {stated:.2f} s")

    def seek(self, frames: int) -> int:
        self._close_blocks()
        self._blocks, self._total = self._make(), 0
        self._rest = np.zeros((0, self.channels), np.float32)
        left = frames
        while left > 0 and len(block := self.read(min(left, 1 << 18))):
            left -= len(block)
        return frames

    def copy_metadata(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        self._close_blocks()

    def _close_blocks(self) -> None:
        self._blocks.close()  # type: ignore[attr-defined]  # a generator


def open_media(path: Path) -> MediaSound:
    """Open a file through PyAV, else through ffmpeg.

    Raises:
        AudioFileError: Neither is there, the file is damaged, or it has no audio track.
    """
    if _has_av():
        return MediaSound(path, _av_facts(path), lambda: _av_blocks(path))
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        facts = _ffmpeg_facts(path)
        return MediaSound(path, facts, lambda: _ffmpeg_blocks(path, facts["channels"]))
    raise AudioFileError(path, f"{path.suffix.lower() or 'this format'} needs PyAV or ffmpeg, and neither is installed", hint(path))


def _has_av() -> bool:
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def _facts(name: str, codec: str, sample_format: str, bits: int, rate: int, channels: int, seconds: float) -> dict[str, Any]:
    lossless = codec in _LOSSLESS or codec.startswith("pcm")
    depth = (bits or _FULL.get(sample_format, 16)) if lossless else 16
    kind = "ALAC" if codec == "alac" else codec.upper()
    subtype = f"{kind}_{depth}" if lossless else kind
    exact = not _ESTIMATES & set(name.split(","))
    return {
        "format": name.split(",")[0].upper(),
        "subtype": subtype,
        "sample_rate": rate,
        "channels": channels,
        "seconds": seconds if exact else 0.0,
    }


def _av_facts(path: Path) -> dict[str, Any]:
    import av

    with _explained(path), path.open("rb") as file, av.open(file, "r") as container:
        if not container.streams.audio:
            raise AudioFileError(path, "no audio track")
        stream = container.streams.audio[0]
        seconds = (
            float(stream.duration * stream.time_base)
            if stream.duration and stream.time_base
            else _clock(stream.metadata.get("DURATION", ""))
        )
        context = stream.codec_context
        bits = int(getattr(context, "bits_per_coded_sample", 0) or 0)
        return _facts(container.format.name, context.name, context.format.name, bits, stream.rate, stream.channels, seconds)


def _av_blocks(path: Path) -> Iterator[np.ndarray]:
    import av

    with _explained(path), path.open("rb") as file, av.open(file, "r") as container:
        stream = container.streams.audio[0]
        convert = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
        for frame in container.decode(stream):
            for made in convert.resample(frame):
                yield made.to_ndarray().reshape(-1, stream.channels)
        for made in convert.resample(None):
            yield made.to_ndarray().reshape(-1, stream.channels)


class _explained:
    """Turns what PyAV raises into AudioFileError."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import av

        if isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioFileError(self._path, f"damaged, or not audio: {reason.lower()}") from error


def _clock(text: str) -> float:
    """Seconds of Matroska's HH:MM:SS.fraction; 0 for anything else."""
    parts = text.split(":")
    try:
        return sum(float(part) * 60**place for place, part in enumerate(reversed(parts))) if len(parts) == 3 else 0.0
    except ValueError:
        return 0.0


def _source(path: Path) -> str:
    return f"file:{path.absolute()}"  # a name that begins with - or looks like an address is a file all the same


def _ffmpeg_facts(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_streams", "-show_format", "-of", "json", _source(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        found = json.loads(done.stdout)
        streams, container = found["streams"], found["format"]
    except (ValueError, KeyError) as error:
        raise AudioFileError(path, f"damaged, or not audio: {_last(done.stderr)}") from error
    if not streams:
        raise AudioFileError(path, "no audio track")
    stream = streams[0]
    bits = int(stream.get("bits_per_raw_sample") or stream.get("bits_per_sample") or 0)
    seconds = float(stream.get("duration") or _clock(stream.get("tags", {}).get("DURATION", "")))
    name, codec = container["format_name"], stream.get("codec_name", "unknown")
    return _facts(name, codec, stream.get("sample_fmt", ""), bits, int(stream["sample_rate"]), int(stream["channels"]), seconds)


def _ffmpeg_blocks(path: Path, channels: int) -> Iterator[np.ndarray]:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", _source(path), "-map", "0:a:0", "-f", "f32le", "-"]
    width = 4 * channels
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout is not None
            while content := process.stdout.read(width << 14):
                yield np.frombuffer(content[: len(content) // width * width], "<f4").reshape(-1, channels)
            code = process.wait()
            errors.seek(0)
            said = errors.read()
            if code or said.strip():
                raise AudioFileError(path, f"damaged: {_last(said)}")
        finally:
            if process.stdout is not None:
                process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


def _last(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "ffmpeg does not say why"
