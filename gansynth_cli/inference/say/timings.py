"""When each sentence, word and phone is heard, as a file beside the recording: SubRip, Praat's TextGrid, or JSON."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import IO, Self

from ... import files
from .speak import Block
from .voice import Timing

FORMATS = {"srt": ".srt", "textgrid": ".TextGrid", "json": ".json"}


def timings_path(target: Path, form: str) -> Path:
    """Return the path of the timings of a recording: "out.wav" has "out.srt", "out.TextGrid" or "out.timings.json"."""
    return target.with_suffix(".timings.json" if form == "json" else FORMATS[form])


class TimingsWriter:
    """Collects the timings of blocks and writes them when it is left without an exception; memory does not grow with the text.

    Args:
        path: The file.
        form: A key of `FORMATS`. "srt" has a subtitle for each sentence, "textgrid" tiers of sentences, words and phones, "json" all.
        rate: Hz.
    """

    def __init__(self, path: Path, form: str, rate: int):
        self.path, self.form, self.rate = path, form, rate
        self._end = self._blocks = 0
        self._tiers = [_Spool(name) for name in ("sentences", "words", "phones")] if form == "textgrid" else [_Spool("blocks")]

    def __enter__(self) -> Self:
        return self

    def add(self, block: Block) -> None:
        """Take the next block; blocks come in order."""
        self._end = block.end
        if not block.text:
            return
        self._blocks += 1
        whole = Timing(block.text, block.start, block.end)
        if self.form == "textgrid":
            for tier, timings in zip(self._tiers, ((whole,), block.words, block.phones), strict=True):
                tier.intervals(timings, self.rate)
        elif self.form == "srt":
            text = f"{self._blocks}\n{self._clock(block.start)} --> {self._clock(block.end)}\n{block.text}\n\n"
            self._tiers[0].file.write(text)
        else:
            sentence = self._json(whole) | {"words": [self._json(w) for w in block.words], "phones": [self._json(p) for p in block.phones]}
            self._tiers[0].file.write(("" if self._blocks == 1 else ",\n") + json.dumps(sentence, ensure_ascii=False))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            with files.replacing(self.path) as temporary, temporary.open("w", encoding="utf-8") as out:
                getattr(self, f"_write_{self.form}")(out)
        for tier in self._tiers:
            tier.file.close()

    def _write_srt(self, out: IO[str]) -> None:
        self._tiers[0].copy(out)

    def _write_json(self, out: IO[str]) -> None:
        out.write(f'{{"sample_rate": {self.rate}, "seconds": {self._end / self.rate:.6f}, "sentences": [\n')
        self._tiers[0].copy(out)
        out.write("\n]}\n")

    def _write_textgrid(self, out: IO[str]) -> None:
        total = f"{self._end / self.rate:.6f}"
        out.write(f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n{total}\n<exists>\n{len(self._tiers)}\n')
        for tier in self._tiers:
            tier.finish(self._end, self.rate)
            out.write(f'"IntervalTier"\n"{tier.name}"\n0\n{total}\n{tier.count}\n')
            tier.copy(out)

    def _json(self, timing: Timing) -> dict[str, object]:
        return {"text": timing.text, "start": round(timing.start / self.rate, 4), "end": round(timing.end / self.rate, 4)}

    def _clock(self, samples: int) -> str:
        milliseconds = round(1000 * samples / self.rate)
        return f"{milliseconds // 3600000:02d}:{milliseconds // 60000 % 60:02d}:{milliseconds // 1000 % 60:02d},{milliseconds % 1000:03d}"


class _Spool:
    """Text in a temporary file; of a TextGrid's tier the intervals, without gaps."""

    def __init__(self, name: str):
        self.name, self.count, self._end = name, 0, 0
        self.file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115

    def intervals(self, timings: tuple[Timing, ...], rate: int) -> None:
        for timing in timings:
            start = max(timing.start, self._end)
            if timing.end > start:
                self._interval(self._end, start, "", rate)
                self._interval(start, timing.end, timing.text, rate)

    def finish(self, end: int, rate: int) -> None:
        self._interval(self._end, end, "", rate)

    def _interval(self, start: int, end: int, text: str, rate: int) -> None:
        if end > start:
            quoted = text.replace('"', '""')
            self.file.write(f'{start / rate:.6f}\n{end / rate:.6f}\n"{quoted}"\n')
            self.count, self._end = self.count + 1, end

    def copy(self, out: IO[str]) -> None:
        self.file.seek(0)
        while part := self.file.read(1 << 16):
            out.write(part)
