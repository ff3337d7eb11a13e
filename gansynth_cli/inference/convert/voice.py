"""Determine who speaks in a recording, and whose voice it gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...data.audio.audio_file import resample
from . import levels
from .converter import Converter, SpeakerEstimate
from .options import ConvertOptions

ESTIMATE_SECONDS = 40.0  # of a recording, silence left out, from which the speaker is estimated
_SILENT_PEAK = 1e-4  # -80 dB; quieter blocks are skipped
_CENTRE_SECONDS, _CENTRE_SEMITONES = 10.0, 1.5  # a median farther from the domain's, over this much speech, is another speaker's
_MIN_VOICED_SHARE = 0.15
_MIN_SURE = 0.25  # of the way from chance to certainty
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class Voice:
    """The conversion of one recording.

    Attributes:
        source, target: float32 [domains], weights that sum to 1.
        source_name, target_name: For provenance tags and messages.
        offset: Added to the log-mel spectra before the network and subtracted after it: level of the training data minus level of
            the recording. A network trained on studio recordings takes a quiet recording for silence.
        centre: Added to ln F0 before the conversion: median of the domain minus median of the recording.
        note: Remark for the user.
    """

    source: np.ndarray
    target: np.ndarray
    source_name: str
    target_name: str
    offset: float = 0.0
    centre: float = 0.0
    note: str = ""


def estimate_speaker(blocks: Iterable[np.ndarray], sample_rate: int, converter: Converter) -> SpeakerEstimate:
    """Estimate who speaks from the first `ESTIMATE_SECONDS` of a recording that are not silent.

    Args:
        blocks: float [frames, channels].
        sample_rate: Rate of the recording, Hz.
        converter: The model.
    """
    parts, seconds = [], 0.0
    for block in blocks:
        if np.abs(block).max(initial=0.0) < _SILENT_PEAK:
            continue
        parts.append(levels.to_mono(np.ascontiguousarray(block.T, np.float32))[0])
        seconds += len(block) / sample_rate
        if seconds >= ESTIMATE_SECONDS:
            break
    if not parts:
        return converter.estimate_speaker(np.zeros(0, np.float32))
    return converter.estimate_speaker(resample(np.concatenate(parts), sample_rate, converter.sample_rate))


def choose_voice(speaker: SpeakerEstimate, converter: Converter, options: ConvertOptions) -> Voice:
    """Choose the domains that a recording is converted from and to.

    Raises:
        UsageError: A domain that the model does not have.
    """
    model, domains, notes = converter.model, converter.domains, []
    automatic = options.source == "auto"
    number = int(speaker.probabilities.argmax()) if automatic else domains.resolve(options.source, 0)
    source = converter.code(number)
    if options.anonymize:  # without a note of the detected speaker, which would reveal it
        target, target_name = converter.far_mix(speaker.probabilities if automatic else source, options.seed), "mix"
    else:
        goal = domains.resolve(options.to, number)
        target, target_name = converter.code(goal), domains.names[goal]
        if automatic:
            sure, chance = float(speaker.probabilities[number]), 1 / len(domains.names)
            notes.append(f"from {domains.names[number]}, {sure:.0%} sure")
            if sure < chance + _MIN_SURE * (1 - chance):
                notes.append("which is hardly more than a guess: --from NAME states it")
        if goal == number:
            notes.append(f"it is {target_name} already, so hardly anything changes")
    if 0 < speaker.voiced_share < _MIN_VOICED_SHARE or not speaker.voiced_seconds:
        notes.append("hardly any voice in it: music or noise is not converted to speech")
    centre = 0.0
    if automatic and model.f0_seconds[number] > 0 and speaker.voiced_seconds >= _CENTRE_SECONDS:
        off = float(model.f0_median[number]) - speaker.median
        centre = off if abs(off) > _CENTRE_SEMITONES * _SEMITONE else 0.0
    offset = float(model.active_level[number]) - speaker.level
    return Voice(source, target, domains.names[number], target_name, offset, centre, ", ".join(notes))
