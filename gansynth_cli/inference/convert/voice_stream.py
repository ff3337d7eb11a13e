"""Audio of one voice to audio of another, in a stream: the one path of files and arrays.

On the mel path the network has to bring the target's pitch along in the spectra that it makes; where that is more than a semitone off,
or a pitch is asked for, WORLD corrects it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ...data.audio.audio_file import resample
from ...signal.mel_filter import filtered, nepers_between
from ..arrays import blocks_of, joined
from ..files.task import check_rate
from . import levels, world
from .converter import Converter
from .options import ConvertOptions
from .quiet_cuts import QuietPieces
from .synthesis import Synthesis, choose_synthesis
from .voice import Voice, choose_voice, estimate_speaker

_PEAK_HEADROOM = 0.99
_PITCH_OFF_SEMITONES, _PITCH_SECONDS = 1.0, 0.6
_SEMITONE = np.log(2.0) / 12.0


class VoiceStream:
    """Converts one recording.

    Args:
        converter: The model, a `Converter`.
        synthesis: How waveforms are made.
        voice: Domains, level and pitch of this recording; None for a stream that makes its own voice.
        options: `strength`, `semitones`, `keep_f0` and `per_channel` count.
        sample_rate: Rate of the recording, Hz.

    Attributes:
        sample_rate: As given.
        note: Remark for the user, known when the recording has passed.
    """

    def __init__(self, converter: Any, synthesis: Synthesis, voice: Voice | None, options: ConvertOptions, sample_rate: int):
        self._converter, self._synthesis, self._voice, self._options = converter, synthesis, voice, options
        self.sample_rate = sample_rate
        self._loudest = 0.0
        self._pitch_is_right: bool | None = None  # of what the vocoder makes; measured once a recording
        self.note = ""

    def piece(self, audio: np.ndarray) -> np.ndarray:
        """Convert a piece, as `QuietPieces` asks: float32 [channels, n] -> the same shape. Silence comes back unchanged."""
        quiet, self._loudest = levels.quiet_weights(audio, self.sample_rate, self._loudest)
        if quiet.all():
            return audio
        if self._options.per_channel:
            made = np.concatenate([self._mono(channel)[None] for channel in audio])
        else:
            mixed, signs = levels.to_mono(audio)
            made = levels.place(self._mono(mixed), audio, mixed, signs, self.sample_rate)
        # A voice of the same loudness may have higher peaks.
        made = levels.limited(made, _PEAK_HEADROOM * max(1.0, float(np.abs(audio).max())), self.sample_rate)
        return made * (1 - quiet) + audio * quiet

    def _mono(self, audio: np.ndarray) -> np.ndarray:
        if not np.abs(audio).max(initial=0.0):
            return audio
        rate = self._converter.sample_rate
        low = resample(audio, self.sample_rate, rate)
        made = self._make(self._converter.long_enough(low))[: len(low)]
        made = resample(levels.match_loudness(made, low, rate), rate, self.sample_rate)[: len(audio)]
        return np.pad(made, (0, len(audio) - len(made)))  # resampling there and back may lose a sample

    def _make(self, audio: np.ndarray) -> np.ndarray:
        """Return the other voice, float32 [samples] at the model's rate."""
        converter, voice, c = self._converter, self._voice, self._converter.convention
        assert voice is not None
        mel, contour = converter.spectra(audio)
        made = converter.converted(mel + voice.offset, voice.source, voice.target, self._options.strength) - voice.offset
        wanted = self._pitch(contour)
        if self._synthesis.method == "mel":
            return self._vocode(made, wanted, len(audio))
        nepers = nepers_between(mel, made, c, smooth=converter.model.features == "mel")
        if self._synthesis.method == "filter":
            return filtered(audio, c, nepers)
        voiced = contour > 0
        frames = np.arange(len(contour))
        shift = np.interp(frames, frames[voiced], (wanted - contour)[voiced]) if voiced.any() else None
        return world.resynthesise(audio, c, shift, nepers)

    def _pitch(self, contour: np.ndarray) -> np.ndarray:
        """Return ln F0 as the options want it."""
        voice, options, model = self._voice, self._options, self._converter.model
        assert voice is not None
        if self._pitch_is_given:
            return model.convert_f0(contour, voice.source, voice.target, options.semitones, keep=options.keep_f0)
        centred = np.where(contour > 0, contour + np.float32(voice.centre), 0.0).astype(np.float32)
        wanted = model.convert_f0(centred, voice.source, voice.target)
        return np.where(contour > 0, contour + np.float32(min(options.strength, 1.0)) * (wanted - contour), 0.0).astype(np.float32)

    @property
    def _pitch_is_given(self) -> bool:
        return self._options.keep_f0 or self._options.semitones is not None

    def _vocode(self, mel: np.ndarray, wanted: np.ndarray, samples: int) -> np.ndarray:
        from ...signal.mel_front_end import highest_of

        c, vocoder = self._converter.convention, self._synthesis.vocoder
        assert vocoder is not None
        audio = vocoder(np.clip(mel, c.lowest, highest_of(c)).astype(np.float32))[:samples]
        audio = np.pad(audio, (0, samples - len(audio)))
        if self._pitch_is_right is None and not self._pitch_is_given:
            self._check_pitch(audio, wanted)
        if self._pitch_is_given or self._pitch_is_right is False:
            return world.repitched(audio, c, wanted)
        return audio

    def _check_pitch(self, audio: np.ndarray, wanted: np.ndarray) -> None:
        """Measure the pitch of what the vocoder made, where there is enough voiced speech to do so."""
        from ...signal.pitch import ln_f0_contour

        c = self._converter.convention
        have = ln_f0_contour(audio, c)[: len(wanted)]
        both = (have > 0) & (wanted > 0)
        if both.sum() * c.hop < _PITCH_SECONDS * c.sample_rate:
            return
        off = float(np.median(have[both]) - np.median(wanted[both])) / _SEMITONE
        self._pitch_is_right = abs(off) <= _PITCH_OFF_SEMITONES
        if not self._pitch_is_right:
            corrected = world.is_installed()
            done = "corrected with WORLD" if corrected else "WORLD could correct it: pip install 'gan-audio[world]'"
            self.note = f"the vocoder's pitch is {off:+.1f} semitones off; {done}"
            self._pitch_is_right = not corrected


def convert_blocks(blocks: Iterable[np.ndarray], channels: int, stream: VoiceStream) -> Iterator[np.ndarray]:
    """Run audio through a stream, cut into pieces where it is quiet.

    Args:
        blocks: float [frames, channels], of any lengths.
        channels: Number of channels.
        stream: For this recording.

    Yields:
        float32 [channels, n], in all as many samples as went in, in their places.
    """
    pieces = QuietPieces(stream.piece, channels, stream.sample_rate)
    for block in blocks:
        yield pieces.process(np.ascontiguousarray(block.T))
    yield pieces.finish()


def convert_array(
    converter: Converter, audio: np.ndarray, sample_rate: int, options: ConvertOptions, synthesis: Synthesis | None = None
) -> np.ndarray:
    """Convert a recording in memory, sample for sample as `gan-audio convert` would in a file.

    Args:
        converter: From `converter.open_converter`.
        audio: Floating point, [samples] or [samples, channels], full scale is [-1, 1].
        sample_rate: Rate of the audio, Hz.
        options: Target, strength, pitch and so on; those about files are ignored.
        synthesis: From `choose_synthesis`, to open a vocoder once for many recordings; None: as the options say.

    Returns:
        The same shape, rate and type. Mark what you write as synthetic: `task.provenance_of`.

    Raises:
        UsageError: Audio of another type or shape, or that is not finite; options out of range; a domain that the model does not have.
        GanAudioError: A sample rate outside `files.task.SAMPLE_RATES`.
        MissingExtraError: WORLD is needed and not installed.
    """
    options.check()
    check_rate(sample_rate)
    audio = np.asarray(audio)
    speaker = estimate_speaker(blocks_of(audio, sample_rate, sample_rate), sample_rate, converter)
    voice = choose_voice(speaker, converter, options)
    stream = VoiceStream(converter, synthesis or choose_synthesis(converter, options), voice, options, sample_rate)
    channels = audio.shape[1] if audio.ndim == 2 else 1
    made = convert_blocks(blocks_of(audio, sample_rate), channels, stream)
    return joined([part.T for part in made], audio)
