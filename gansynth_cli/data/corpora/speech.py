"""Corpora of speakers and emotions: who speaks, how, and which sentence. Conversion learns one of the first two, or both.

A sentence that several speakers or emotions have in common stays on one side of the split (`SourceFile.group`): a converter that is
judged on held-out sentences was trained on nobody who says them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .source_file import Reading, SourceFile
from .tables import with_domain
from .transcripts import vctk_texts

_VCTK = re.compile(r"(?P<speaker>(?:p|s)\d+)_(?P<sentence>\d+)(?:_mic(?P<microphone>[12]))?")
_ESD = re.compile(r"(?P<speaker>\d{4})_(?P<number>\d{6})")
_ESD_EMOTIONS = ("neutral", "angry", "happy", "sad", "surprise")  # 350 sentences each, in this order
_RAVDESS = re.compile(r"(?P<modality>\d\d)-(?P<channel>\d\d)-(?P<emotion>\d\d)-(?P<sentence>\d\d-\d\d-\d\d)-(?P<speaker>\d\d)")
_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_CREMA = re.compile(r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{2})")
_CREMA_EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_EMODB = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")
_EMODB_EMOTIONS = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}


def speakers(reading: Reading) -> list[SourceFile]:
    """Read a folder for each speaker: of several inputs each is one; of a single one, the folders in it. With emotions, a folder
    each in those.

    Files of one name in several speakers' folders are taken for one sentence.
    """
    labelled = []
    for source in reading.sources:
        speaker, *rest = source.name.split("/")  # of several inputs, names begin with the input's
        if rest:
            labelled.append(replace(source, speaker=speaker, emotion=rest[0] if len(rest) > 1 else "", group=source.path.stem))
        else:
            reading.leave_out(source, "not in a speaker's folder")
    return _labelled(labelled, reading, "speaker")


def vctk(reading: Reading) -> list[SourceFile]:
    """Read VCTK: `p225_001.wav`, in version 0.92 `p225_001_mic1.flac`: of two microphones the first is taken. Equal numbers are one
    sentence (the first 24 are)."""
    matches = {source: _VCTK.fullmatch(source.path.stem) for source in reading.sources}
    has_first = any(match and match["microphone"] == "1" for match in matches.values())
    labelled = []
    for source, match in matches.items():
        if match is None:
            reading.leave_out(source, "not named <speaker>_<sentence>[_mic<n>]")
        elif match["microphone"] == "2" and has_first:
            reading.leave_out(source, "the second microphone")
        else:
            labelled.append(replace(source, speaker=match["speaker"], group=match["sentence"]))
    return vctk_texts(_labelled(labelled, reading, "speaker"), reading)


def esd(reading: Reading) -> list[SourceFile]:
    """Read the Emotional Speech Dataset (Zhou et al. 2022): `0011_000351.wav`; the number says emotion and sentence, and a folder of the
    name evaluation, test or train the official split."""
    labelled = []
    for source in reading.sources:
        match = _ESD.fullmatch(source.path.stem)
        number = int(match["number"]) - 1 if match else -1
        if match is None or not 0 <= number < 350 * len(_ESD_EMOTIONS):
            reading.leave_out(source, "not named <speaker>_<number from 1 to 1750>")
            continue
        folders = {part.lower() for part in source.name.split("/")[:-1]}
        split = next(
            (ours for theirs, ours in (("evaluation", "validation"), ("test", "test"), ("train", "train")) if theirs in folders), ""
        )
        emotion = _ESD_EMOTIONS[number // 350]
        labelled.append(replace(source, speaker=match["speaker"], emotion=emotion, group=f"{number % 350 + 1}", split=split))
    return _labelled(labelled, reading, "both")


def ravdess(reading: Reading) -> list[SourceFile]:
    """Read RAVDESS (Livingstone and Russo 2018): seven numbers, `03-01-06-01-02-01-12.wav`: the third is the emotion, the last the actor.

    All actors say the same two sentences: what stays on one side of the split is a (intensity, sentence, repetition). Copies in
    circulation hold every actor twice, the second time in `audio_speech_actors_01-24/`: of two files of one name the first is taken."""
    labelled = []
    seen = set[str]()
    for source in reading.sources:
        match = _RAVDESS.fullmatch(source.path.stem)
        if match is None or not 1 <= int(match["emotion"]) <= len(_RAVDESS_EMOTIONS):
            reading.leave_out(source, "not named by seven numbers of two digits, the third from 01 to 08")
        elif source.path.stem in seen:
            reading.leave_out(source, "a second file of this name")
        else:
            seen.add(source.path.stem)
            emotion, actor = _RAVDESS_EMOTIONS[int(match["emotion"]) - 1], f"actor-{match['speaker']}"
            labelled.append(replace(source, speaker=actor, emotion=emotion, group=f"{match['channel']}-{match['sentence']}"))
    return _labelled(labelled, reading, "emotion")


def crema_d(reading: Reading) -> list[SourceFile]:
    """Read CREMA-D (Cao et al. 2014): `1001_IEO_ANG_HI.wav`: actor, one of twelve sentences, emotion, level."""
    return _by_pattern(reading, _CREMA, _CREMA_EMOTIONS, "<actor>_<sentence>_<emotion>_<level>")


def emo_db(reading: Reading) -> list[SourceFile]:
    """Read the Berlin database (Burkhardt et al. 2005): `03a01Fa.wav`: speaker, one of ten sentences, the emotion's letter, version."""
    return _by_pattern(reading, _EMODB, _EMODB_EMOTIONS, "<speaker><sentence><emotion><version>")


def _labelled(sources: list[SourceFile], reading: Reading, default: str) -> list[SourceFile]:
    """The recordings with their domain as the label, `default` unless the options name one."""
    return with_domain(sources, reading.options.domain or default) if sources else sources


def _by_pattern(reading: Reading, pattern: re.Pattern[str], emotions: dict[str, str], scheme: str) -> list[SourceFile]:
    labelled = []
    for source in reading.sources:
        match = pattern.fullmatch(source.path.stem)
        if match is None or match["emotion"] not in emotions:
            reading.leave_out(source, f"not named {scheme}")
        else:
            emotion = emotions[match["emotion"]]
            labelled.append(replace(source, speaker=match["speaker"], emotion=emotion, group=match["sentence"]))
    return _labelled(labelled, reading, "emotion")
