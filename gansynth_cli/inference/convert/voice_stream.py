"""Sound of one voice to sound of another: spectra through a converter, pitch by its statistics, a waveform by one of three ways.

"world" resynthesises, "filter" changes the recording's own spectrum and leaves its pitch, "mel" asks a vocoder; `inference.world` tells
more. On the mel path the network has to bring the target's pitch along in the spectra that it makes; where that is off by more than a
semitone, or a pitch is asked for, WORLD puts it right afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import soxr

from ...errors import RunError, UsageError
from . import levels, world
from .converter import Converter, Heard

if TYPE_CHECKING:
    from ..vocode.stream import MelToAudio
    from .job import ConvertOptions

Way = Literal["world", "filter", "mel"]
WAYS = ("auto", "world", "filter", "mel", "griffin-lim")
SHIPPED_VOCODER = Path(__file__).parents[2] / "pretrained" / "vocoder.keras"
LISTEN_SECONDS = 40.0  # of a recording, silence left out, that show who speaks and how
_SILENT_PEAK = 1e-4  # of a block that is not listened to: -80 dB
_CENTRE_SECONDS, _CENTRE_SEMITONES = 10.0, 1.5  # a voice whose median lies farther from its domain's, on so much speech, is another's
_PITCH_OFF_SEMITONES, _PITCH_SECONDS = 1.0, 0.6
_FEW_VOICED = 0.15
_SEMITONE = np.log(2.0) / 12.0


@dataclass(frozen=True)
class Sound:
    """How a waveform is made.

    Attributes:
        way: See above.
        vocoder: Of the way "mel".
        note: Why it is another way than the model's own.
    """

    way: Way
    vocoder: MelToAudio | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """For marks."""
        return self.way if self.vocoder is None else self.vocoder.name


@dataclass(frozen=True)
class Voice:
    """What is done to one recording.

    Attributes:
        source, target: float32 [domains], weights that sum to 1.
        source_name, target_name: For marks and messages.
        offset: Added to its spectra before the network, taken off after it: its level against that of the training data.
        centre: Added to ln F0 before the conversion: its pitch against that of its domain.
        note: What the user should know.
    """

    source: np.ndarray
    target: np.ndarray
    source_name: str
    target_name: str
    offset: float = 0.0
    centre: float = 0.0
    note: str = ""


def choose_sound(converter: Converter, options: ConvertOptions) -> Sound:
    """How waveforms will be made with a model: as `--vocoder` says, or as the model does.

    Raises:
        MissingExtraError: WORLD is wanted and not installed.
        UsageError, RunError: A vocoder that does not fit the model, or is none.
    """
    model, wanted = converter.model, options.vocoder
    if wanted == "auto":
        if model.vocoder == "mel" and model.features == "mel":
            if SHIPPED_VOCODER.is_file():
                sound = _with_vocoder(converter, SHIPPED_VOCODER, strict=False)
                if sound is not None:
                    return sound
            if world.is_installed():
                why = "this installation holds no vocoder for the model's mel spectra; --vocoder RUN names one"
                return Sound("filter" if options.keep_f0 else "world", note=f"{why}; WORLD is used")
            return _griffin_lim(converter, "neither a vocoder for the model's mel spectra nor WORLD is installed; Griffin-Lim is used")
        wanted = "filter" if options.keep_f0 else "world"
    if wanted == "world":
        world.world()
        return Sound("world")
    if wanted == "filter":
        if not options.keep_f0:
            raise UsageError("--vocoder filter leaves the pitch as it is.", hint="say so with --keep-f0, or use --vocoder world")
        return Sound("filter")
    if model.features != "mel":
        raise UsageError(
            f"--vocoder {wanted}: this model converts WORLD's spectral envelopes, which hold no harmonics; a vocoder would whisper.",
            hint="--vocoder world, or train with features = 'mel'",
        )
    if wanted == "griffin-lim":
        return _griffin_lim(converter)
    found = _with_vocoder(converter, SHIPPED_VOCODER if wanted == "mel" else Path(wanted), strict=True)
    assert found is not None
    return found


def _griffin_lim(converter: Converter, note: str = "") -> Sound:
    from ..vocode.stream import GriffinLimVocoder

    return Sound("mel", GriffinLimVocoder(converter.convention), note)


def _with_vocoder(converter: Converter, path: Path, *, strict: bool) -> Sound | None:
    """A trained vocoder; None, unless `strict`, where it wants other spectra than the converter makes."""
    from ..vocode.stream import open_vocoder

    if path == SHIPPED_VOCODER and not path.is_file():
        raise RunError("This installation holds no vocoder.", hint="name a trained one with --vocoder RUN, or use --vocoder world")
    vocoder = open_vocoder(path)
    if wrong := converter.convention.differences(vocoder.convention):
        if not strict:
            return None
        raise UsageError(
            f"The vocoder {path} takes another mel spectrogram than the converter makes: {'; '.join(wrong)}.",
            hint=f"train a vocoder on {converter.convention.describe()}",
        )
    return Sound("mel", vocoder)


def listen(blocks: Iterable[np.ndarray], sample_rate: int, converter: Converter) -> Heard:
    """Who speaks in a recording: its first 40 s that are not silent. `blocks` are float [frames, channels]."""
    parts, seconds = [], 0.0
    for block in blocks:
        if np.abs(block).max(initial=0.0) < _SILENT_PEAK:
            continue
        parts.append(levels.to_mono(np.ascontiguousarray(block.T, np.float32))[0])
        seconds += len(block) / sample_rate
        if seconds >= LISTEN_SECONDS:
            break
    if not parts:
        return converter.listen(np.zeros(0, np.float32))
    return converter.listen(_resampled(np.concatenate(parts), sample_rate, converter.sample_rate))


def choose_voice(heard: Heard, converter: Converter, options: ConvertOptions) -> Voice:
    """From whom to whom a recording goes.

    Raises:
        UsageError: A domain that the model does not have.
    """
    model, domains, notes = converter.model, converter.domains, []
    automatic = options.source == "auto"
    number = int(heard.probabilities.argmax()) if automatic else domains.resolve(options.source, 0)
    source = converter.code(number)
    if automatic:
        notes.append(f"from {domains.names[number]}, {heard.probabilities[number]:.0%} sure")
    if options.anonymize:
        target, target_name = converter.far_mix(heard.probabilities if automatic else source, options.seed), "mix"
        notes = []  # who it was is what is to be forgotten
    else:
        goal = domains.resolve(options.to, number)
        target, target_name = converter.code(goal), domains.names[goal]
    if 0 < heard.voiced_share < _FEW_VOICED or not heard.voiced_seconds:
        notes.append("hardly any voice in it: music or noise is not converted into speech")
    centre = 0.0
    if automatic and model.f0_seconds[number] > 0 and heard.voiced_seconds >= _CENTRE_SECONDS:
        off = float(model.f0_median[number]) - heard.median
        centre = off if abs(off) > _CENTRE_SEMITONES * _SEMITONE else 0.0
    offset = float(model.active_level[number]) - heard.level
    return Voice(source, target, domains.names[number], target_name, offset, centre, ", ".join(notes))


class VoiceStream:
    """Converts one recording piece by piece; `piece` is what `QuietPieces` calls.

    Args:
        converter, sound, voice: The model, the way to a waveform, and from whom to whom.
        options: `strength`, `semitones`, `keep_f0` and `per_channel` count.
        sample_rate: Hz of the recording.
    """

    def __init__(self, converter: Converter, sound: Sound, voice: Voice, options: ConvertOptions, sample_rate: int):
        self._converter, self._sound, self._voice, self._options = converter, sound, voice, options
        self._rate = sample_rate
        self._loudest = 0.0
        self._pitch_is_right: bool | None = None  # of what the mel path makes; found out once a recording
        self.note = ""

    def piece(self, audio: np.ndarray) -> np.ndarray:
        """float32 [channels, n] -> the same shape. What is silent comes back as it was."""
        quiet, self._loudest = levels.quiet_weights(audio, self._rate, self._loudest)
        if quiet.all():
            return audio
        if self._options.per_channel:
            made = np.concatenate([self._mono(channel)[None] for channel in audio])
        else:
            mixed, signs = levels.to_mono(audio)
            made = levels.place(self._mono(mixed), audio, mixed, signs, self._rate)
        made = levels.limited(made, 0.99 * max(1.0, float(np.abs(audio).max())), self._rate)  # a voice of the same loudness may peak higher
        return made * (1 - quiet) + audio * quiet

    def _mono(self, audio: np.ndarray) -> np.ndarray:
        if not np.abs(audio).max(initial=0.0):
            return audio
        rate = self._converter.sample_rate
        low = _resampled(audio, self._rate, rate)
        made = self._make(self._converter.long_enough(low))[: len(low)]
        made = _resampled(levels.match_loudness(made, low, rate), rate, self._rate)[: len(audio)]
        return np.pad(made, (0, len(audio) - len(made)))  # there and back may be a sample short

    def _make(self, audio: np.ndarray) -> np.ndarray:
        """The other voice, at the model's rate."""
        converter, voice, options, c = self._converter, self._voice, self._options, self._converter.convention
        mel, contour = converter.spectra(audio)
        made = converter.converted(mel + voice.offset, voice.source, voice.target, options.strength) - voice.offset
        wanted = self._pitch(contour)
        if self._sound.way == "mel":
            return self._vocode(made, wanted, len(audio))
        nepers = world.nepers_between(mel, made, c, smooth=converter.model.features == "mel")
        if self._sound.way == "filter":
            return world.filtered(audio, c, nepers)
        voiced = contour > 0
        frames = np.arange(len(contour))
        shift = np.interp(frames, frames[voiced], (wanted - contour)[voiced]) if voiced.any() else None
        return world.resynthesise(audio, c, shift, nepers)

    def _pitch(self, contour: np.ndarray) -> np.ndarray:
        """ln F0 as the options want it."""
        voice, options, model = self._voice, self._options, self._converter.model
        if options.keep_f0 or options.semitones is not None:
            return model.convert_f0(contour, voice.source, voice.target, options.semitones, keep=options.keep_f0)
        centred = np.where(contour > 0, contour + np.float32(voice.centre), 0.0).astype(np.float32)
        wanted = model.convert_f0(centred, voice.source, voice.target)
        return np.where(contour > 0, contour + np.float32(min(options.strength, 1.0)) * (wanted - contour), 0.0).astype(np.float32)

    def _vocode(self, mel: np.ndarray, wanted: np.ndarray, samples: int) -> np.ndarray:
        from ...signal.mel_front_end import highest_of
        from ...signal.pitch import ln_f0_contour

        c, vocoder, options = self._converter.convention, self._sound.vocoder, self._options
        assert vocoder is not None
        audio = vocoder(np.clip(mel, c.lowest, highest_of(c)).astype(np.float32))[:samples]
        audio = np.pad(audio, (0, samples - len(audio)))
        asked = options.keep_f0 or options.semitones is not None
        if self._pitch_is_right is None and not asked:
            have = ln_f0_contour(audio, c)[: len(wanted)]
            both = (have > 0) & (wanted > 0)
            if both.sum() * c.hop >= _PITCH_SECONDS * c.sample_rate:
                off = float(np.median(have[both]) - np.median(wanted[both])) / _SEMITONE
                self._pitch_is_right = abs(off) <= _PITCH_OFF_SEMITONES
                if not self._pitch_is_right:
                    corrected = world.is_installed()
                    done = "put right with WORLD" if corrected else "WORLD could put it right: pip install 'gan-audio[world]'"
                    self.note = f"the vocoder's pitch is {off:+.1f} semitones off; {done}"
                    self._pitch_is_right = not corrected
        if asked or self._pitch_is_right is False:
            return world.repitched(audio, c, wanted)
        return audio


def _resampled(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    if source_rate == target_rate:
        return np.asarray(audio, np.float32)
    return soxr.resample(np.asarray(audio, np.float32), source_rate, target_rate)
