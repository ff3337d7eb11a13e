"""Corpora of spoken words, and pairs of clean and noisy recordings."""

from __future__ import annotations

import re
from dataclasses import replace

from .source_file import Reading, SourceFile

SC09_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FSDD = re.compile(r"(?P<label>\d+)_(?P<speaker>[^_]+)_(?P<take>\d+)")
_SPEECH_COMMANDS = re.compile(r"(?P<speaker>[^_]+)_nohash_(?P<take>\d+)")
_PAIR_FOLDER = re.compile(r"(clean|noisy)(?![a-z])(.*)", re.IGNORECASE)
_VCTK_NAME = re.compile(r"(?P<speaker>[ps]\d+)_\d+")


def fsdd(reading: Reading) -> list[SourceFile]:
    """Read the Free Spoken Digit Dataset: `<digit>_<speaker>_<take>.wav`, anywhere below the input."""
    labelled = []
    for source in reading.sources:
        match = _FSDD.fullmatch(source.path.stem)
        if match:
            labelled.append(replace(source, label=match["label"], speaker=match["speaker"]))
        else:
            reading.leave_out(source, "not named <digit>_<speaker>_<take>")
    return labelled


def sc09(reading: Reading) -> list[SourceFile]:
    """Read Speech Commands (Warden 2018): a folder for each word, `<hash>_nohash_<n>.wav`, and the official lists of two splits.

    SC09 is its ten digits; `--select` chooses among all words, so words beside the digits are left out only without it.
    """
    official: dict[str, str] = {}
    for root in reading.roots:
        for file, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
            if (root / file).is_file():
                official.update((line.strip(), split) for line in (root / file).read_text(encoding="utf-8").splitlines() if line.strip())
    if not official:
        reading.warnings.append(
            "no validation_list.txt and testing_list.txt below the input: the splits are made by speaker instead of the official ones."
        )
    labelled = []
    for source in reading.sources:
        word, match = source.path.parent.name, _SPEECH_COMMANDS.fullmatch(source.path.stem)
        if word == "_background_noise_":
            reading.leave_out(source, "background noise")
        elif match is None:
            reading.leave_out(source, "not named <speaker>_nohash_<n>")
        elif not reading.options.select and word not in SC09_WORDS:
            reading.leave_out(source, "not one of the ten digits")
        else:
            split = official.get(f"{word}/{source.path.name}", "train") if official else ""
            labelled.append(replace(source, label=word, speaker=match["speaker"], split=split))
    return labelled


def pairs(reading: Reading) -> list[SourceFile]:
    """Read clean and noisy recordings in two folders, file by file of one name (VoiceBank+DEMAND, Valentini-Botinhao 2017).

    The folders are called clean... and noisy..., with the same rest: clean_trainset_28spk_wav, clean_testset_wav, or just clean.
    """
    sides: dict[str, dict[str, SourceFile]] = {"clean": {}, "noisy": {}}
    for source in reading.sources:
        parts = source.name.split("/")
        matches = [_PAIR_FOLDER.fullmatch(part) for part in parts[:-1]]
        side = next((match[1].lower() for match in matches if match), "")
        if not side:
            reading.leave_out(source, "neither below a folder clean... nor below one noisy...")
            continue
        key = "/".join([*(f"*{match[2]}" if match else part for match, part in zip(matches, parts, strict=False)), source.path.stem])
        if key in sides[side]:
            reading.leave_out(source, f"a second {side} recording of this name, beside {sides[side][key].path.name}")
            continue
        sides[side][key] = source
    clean, noisy = sides["clean"], sides["noisy"]
    for mine, other, missing in ((clean, noisy, "noisy"), (noisy, clean, "clean")):
        alone = [source for key, source in sorted(mine.items()) if key not in other]
        for source in alone:
            reading.leave_out(source, f"no {missing} recording of this name")
        if alone:
            some = ", ".join(source.name for source in alone[:5]) + (", ..." if len(alone) > 5 else "")
            reading.warnings.append(f"{len(alone)} recordings have no {missing} partner and are left out: {some}.")
    return sorted(_with_splits([_pair(key, clean[key], noisy[key]) for key in clean.keys() & noisy.keys()]), key=lambda pair: pair.name)


def _pair(key: str, clean: SourceFile, noisy: SourceFile) -> SourceFile:
    folders = key.lower().split("/")[:-1]
    split = next((name for name in ("test", "validation", "train") if any(name[:5] in part for part in folders)), "")
    speaker = _VCTK_NAME.fullmatch(clean.path.stem)
    return replace(clean, speaker=speaker["speaker"] if speaker else "", split=split, noisy=noisy.path)


def _with_splits(found: list[SourceFile]) -> list[SourceFile]:
    """Official test and validation sets stay; the hash decides about the rest, among train and validation where there is a test set."""
    if any(pair.split == "test" for pair in found):
        return [replace(pair, split=pair.split if pair.split in ("test", "validation") else "not test") for pair in found]
    return [replace(pair, split=pair.split if pair.split == "validation" else "") for pair in found]
