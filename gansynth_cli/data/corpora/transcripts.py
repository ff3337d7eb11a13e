"""Corpora of recordings with transcripts: LJSpeech's form, tables, Asterisk's prompts, VCTK's text files."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import DatasetError
from .source_file import SPLIT_NAMES, Reading, SourceFile
from .tables import read_rows

TABLE = "metadata.csv"
_ASTERISK = re.compile(r"core-sounds-(?P<language>[a-z]{2}(?:_[A-Z]{2})?)\.txt(?:\.gz)?")
_PROMPT = re.compile(r"(?P<name>[\w/.-]+):\s*(?P<text>\S.*)")
_STAGE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")  # directions such as [beep], which nobody says
_NEUTRAL = "neutral"


def ljspeech(reading: Reading) -> list[SourceFile]:
    """Read LJSpeech and what has its form: `metadata.csv` with lines `name|text` or `name|text|normalised text`, recordings of those names
    anywhere below. Each input is a speaker; its name is that of the folder."""
    labelled: list[SourceFile] = []
    for root in reading.roots:
        texts: dict[str, str] = {}
        for line in _lines(root / TABLE):
            name, *columns = line.split("|")
            if columns and columns[-1].strip():
                texts[Path(name.strip()).stem] = columns[-1].strip()
        labelled += _with_texts(reading, root, texts, by_stem=True)
    return _spoken(labelled, reading)


def table(reading: Reading) -> list[SourceFile]:
    """Read a table with the columns path,text and maybe speaker,language,emotion,split: `metadata.csv` in the input, or that of
    `--labels csv:FILE`; `id|text` without a header is LJSpeech's."""
    labelled = []
    for root in reading.roots:
        path = Path(reading.options.csv) if reading.options.csv else root / TABLE
        rows = {Path(row["path"]).with_suffix("").as_posix(): row for _, row in read_rows(path, ("path", "text"))}
        for source in _below(reading, root):
            row = rows.get(source.path.relative_to(root).with_suffix("").as_posix()) or rows.get(source.path.stem)
            if row is None:
                reading.leave_out(source, f"not in {path.name}")
                continue
            text, speaker, language, emotion, split = (
                (row.get(key) or "").strip() for key in ("text", "speaker", "language", "emotion", "split")
            )
            if split and split not in SPLIT_NAMES:
                raise DatasetError(f"{path}: the split of {source.name} is {split!r}; expected train, validation or test.")
            speaker, split = speaker or root.resolve().name, SPLIT_NAMES.get(split, "")
            labelled.append(replace(source, text=text, speaker=speaker, language=language, emotion=emotion, split=split))
    return _spoken(labelled, reading)


def asterisk(reading: Reading) -> list[SourceFile]:
    """Read the prompts of Asterisk: recordings `digits/1.wav` and `core-sounds-en.txt` (or .txt.gz) with lines `digits/1: one` below the
    input. Prompts without words (tones, silence) are left out."""
    labelled = []
    for root in reading.roots:
        files = [path for path in sorted(root.rglob("core-sounds-*")) if _ASTERISK.fullmatch(path.name)]
        if not files:
            raise DatasetError(
                f"{root} holds no core-sounds-XX.txt with the texts of the prompts.", hint="copy it there from the base package"
            )
        texts: dict[str, str] = {}
        for line in _lines(files[0]):
            found = None if line.startswith(";") else _PROMPT.fullmatch(line.strip())
            spoken = " ".join(_STAGE.sub(" ", found["text"]).split()) if found else ""
            if found and any(c.isalnum() for c in spoken):
                texts[found["name"]] = spoken if spoken[-1] in ".!?" else spoken + "."
        language = _ASTERISK.fullmatch(files[0].name)["language"].lower().replace("_", "-")  # type: ignore[index]
        labelled += [replace(source, language=language) for source in _with_texts(reading, root, texts)]
    return _spoken(labelled, reading)


def vctk_texts(sources: list[SourceFile], reading: Reading) -> list[SourceFile]:
    """Give recordings of VCTK their texts, `txt/p225/p225_001.txt` below the input, where those are there."""
    labelled = []
    for source in sources:
        root = reading.root_of[source.path]
        path = root / "txt" / source.speaker / f"{source.speaker}_{source.group}.txt"
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        labelled.append(replace(source, text=text, language=reading.options.language or "en-gb"))
    return _attributed(labelled) if any(source.text for source in labelled) else sources


def _with_texts(reading: Reading, root: Path, texts: dict[str, str], by_stem: bool = False) -> Iterator[SourceFile]:
    found = 0
    for source in _below(reading, root):
        inside = source.path.relative_to(root).with_suffix("").as_posix()
        keys = (source.path.stem,) if by_stem else (inside, inside.partition("/")[2], "/".join(inside.split("/")[-2:]), source.path.stem)
        text = next((texts[key] for key in keys if key in texts), "")
        if text:
            found += 1
            yield replace(source, text=text, speaker=root.resolve().name)
        else:
            reading.leave_out(source, "has no transcript")
    if not found:
        raise DatasetError(
            f"None of the {len(texts)} transcripts below {root} is of one of its recordings.",
            hint=f"names of transcripts are such as {next(iter(texts), '(none)')!r}",
        )


def _below(reading: Reading, root: Path) -> Iterator[SourceFile]:
    return (source for source in reading.sources if reading.root_of[source.path] == root)


def _spoken(sources: list[SourceFile], reading: Reading) -> list[SourceFile]:
    """The recordings with their speaker as the label, and language and emotion as attributes."""
    default = reading.options.language
    nameless = [source for source in sources if not (source.language or default)]
    if nameless:
        raise DatasetError(
            f"{len(nameless)} transcripts state no language, such as that of {nameless[0].name}.",
            hint="--corpus language=de (a code of espeak-ng)",
        )
    sources = sorted(sources, key=lambda source: source.name)
    return _attributed([replace(source, label=source.speaker, language=source.language or default) for source in sources])


def _attributed(sources: list[SourceFile]) -> list[SourceFile]:
    return [replace(s, attributes=(("emotion", s.emotion or _NEUTRAL), ("language", s.language))) for s in sources]


def _lines(path: Path) -> list[str]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    except (OSError, EOFError, csv.Error) as error:
        raise DatasetError(
            f"The transcripts {path} cannot be read: {error}.", hint="LJSpeech's form has metadata.csv in the input folder"
        ) from error
    return text.splitlines()
