"""Corpora of speakers and emotions: who speaks, how, and which sentence. Conversion learns one of the first two, or both.

A sentence that several speakers or emotions have in common stays on one side of the split (`SourceFile.group`): a converter that is
judged on held-out sentences has heard nobody say them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DatasetError, UsageError

if TYPE_CHECKING:
    from .layouts import LabelOptions, SourceFile

DOMAINS = ("speaker", "emotion", "both")
_DEFAULTS = {"esd": "both", "ravdess": "emotion", "crema-d": "emotion", "emo-db": "emotion"}  # of the others: speaker

_VCTK = re.compile(r"(?P<speaker>(?:p|s)\d+)_(?P<sentence>\d+)(?:_mic(?P<microphone>[12]))?")
_ESD = re.compile(r"(?P<speaker>\d{4})_(?P<number>\d{6})")
_ESD_EMOTIONS = ("neutral", "angry", "happy", "sad", "surprise")  # 350 sentences each, in this order
_RAVDESS = re.compile(r"(?P<modality>\d\d)-(?P<channel>\d\d)-(?P<emotion>\d\d)-(?P<sentence>\d\d-\d\d-\d\d)-(?P<speaker>\d\d)")
_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_CREMA = re.compile(r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{2})")
_CREMA_EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_EMODB = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")
_EMODB_EMOTIONS = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}


def speakers(sources: list[SourceFile], roots: list[Path], options: LabelOptions, left_out, warnings) -> list[SourceFile]:
    """A folder a speaker: of several inputs each is one; of a single one, the folders in it. With emotions, a folder each in those.

    Files of one name in several speakers' folders are taken for one sentence.
    """
    labelled = []
    for source in sources:
        speaker, *rest = source.name.split("/")  # of several inputs, names begin with the input's
        if rest:
            labelled.append(replace(source, speaker=speaker, emotion=rest[0] if len(rest) > 1 else "", group=source.path.stem))
        else:
            left_out.append((source.name, "not in a speaker's folder"))
    return _labelled(labelled, options, left_out)


def vctk(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """VCTK: `p225_001.wav`, in version 0.92 `p225_001_mic1.flac`: of two microphones the first is taken. Equal numbers are one sentence
    (the first 24 are)."""
    matches = {source: _VCTK.fullmatch(source.path.stem) for source in sources}
    has_first = any(match and match["microphone"] == "1" for match in matches.values())
    labelled = []
    for source, match in matches.items():
        if match is None:
            left_out.append((source.name, "not named <speaker>_<sentence>[_mic<n>]"))
        elif match["microphone"] == "2" and has_first:
            left_out.append((source.name, "the second microphone"))
        else:
            labelled.append(replace(source, speaker=match["speaker"], group=match["sentence"]))
    return _labelled(labelled, options, left_out)


def esd(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """Emotional Speech Dataset (Zhou et al. 2022): `0011_000351.wav`; the number says emotion and sentence, and a folder of the name
    evaluation, test or train the official split."""
    labelled = []
    for source in sources:
        match = _ESD.fullmatch(source.path.stem)
        number = int(match["number"]) - 1 if match else -1
        if match is None or not 0 <= number < 350 * len(_ESD_EMOTIONS):
            left_out.append((source.name, "not named <speaker>_<number from 1 to 1750>"))
            continue
        folders = {part.lower() for part in source.name.split("/")[:-1]}
        split = next(
            (ours for theirs, ours in (("evaluation", "validation"), ("test", "test"), ("train", "train")) if theirs in folders), ""
        )
        emotion = _ESD_EMOTIONS[number // 350]
        labelled.append(replace(source, speaker=match["speaker"], emotion=emotion, group=f"{number % 350 + 1}", split=split))
    return _labelled(labelled, options, left_out)


def ravdess(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """RAVDESS (Livingstone and Russo 2018): seven numbers, `03-01-06-01-02-01-12.wav`: the third is the emotion, the last the actor.

    All actors say the same two sentences: what stays on one side of the split is a (intensity, sentence, repetition)."""
    labelled = []
    for source in sources:
        match = _RAVDESS.fullmatch(source.path.stem)
        if match is None or not 1 <= int(match["emotion"]) <= len(_RAVDESS_EMOTIONS):
            left_out.append((source.name, "not named by seven numbers of two digits, the third from 01 to 08"))
        else:
            emotion, actor = _RAVDESS_EMOTIONS[int(match["emotion"]) - 1], f"actor-{match['speaker']}"
            labelled.append(replace(source, speaker=actor, emotion=emotion, group=f"{match['channel']}-{match['sentence']}"))
    return _labelled(labelled, options, left_out)


def crema_d(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """CREMA-D (Cao et al. 2014): `1001_IEO_ANG_HI.wav`: actor, one of twelve sentences, emotion, level."""
    return _by_pattern(sources, options, left_out, _CREMA, _CREMA_EMOTIONS, "<actor>_<sentence>_<emotion>_<level>")


def emo_db(sources, roots, options, left_out, warnings) -> list[SourceFile]:
    """Berlin database (Burkhardt et al. 2005): `03a01Fa.wav`: speaker, one of ten sentences, the emotion's letter, version."""
    return _by_pattern(sources, options, left_out, _EMODB, _EMODB_EMOTIONS, "<speaker><sentence><emotion><version>")


READERS = {"speakers": speakers, "vctk": vctk, "esd": esd, "ravdess": ravdess, "crema-d": crema_d, "emo-db": emo_db}


def with_domain(sources: list[SourceFile], domain: str) -> list[SourceFile]:
    """The recordings with the domain as their label.

    Raises:
        DatasetError: A recording has no speaker or no emotion, where one is needed.
    """
    if domain not in DOMAINS:
        raise UsageError(f"--domain is {domain!r}; expected one of {', '.join(DOMAINS)}.")
    parts = {"speaker": ("speaker",), "emotion": ("emotion",), "both": ("speaker", "emotion")}[domain]
    for part in parts:
        nameless = [source.name for source in sources if not getattr(source, part)]
        if nameless:
            raise DatasetError(
                f"--domain {domain}: {len(nameless)} recordings have no {part}, such as {nameless[0]}.",
                hint="give a --layout that knows it, or a --label-csv with the columns path,speaker,emotion",
            )
    return [replace(source, label="/".join(getattr(source, part) for part in parts)) for source in sources]


def _labelled(sources: list[SourceFile], options: LabelOptions, left_out: list[tuple[str, str]]) -> list[SourceFile]:
    domain = options.domain or _DEFAULTS.get(options.layout, "speaker")
    return with_domain(sources, domain) if sources else sources


def _by_pattern(sources, options, left_out, pattern: re.Pattern[str], emotions: dict[str, str], scheme: str) -> list[SourceFile]:
    labelled = []
    for source in sources:
        match = pattern.fullmatch(source.path.stem)
        if match is None or match["emotion"] not in emotions:
            left_out.append((source.name, f"not named {scheme}"))
        else:
            emotion = emotions[match["emotion"]]
            labelled.append(replace(source, speaker=match["speaker"], emotion=emotion, group=match["sentence"]))
    return _labelled(labelled, options, left_out)
