"""Layers between notes and GANSynth's spectrograms of them. All are registered, so that a `.keras` file loads anywhere."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..signal.instantaneous_frequency import (
    MelBank,
    audio_to_spectra,
    end_fade,
    front_padding,
    linear_to_mel,
    mel_matrix,
    mel_to_linear,
    phase_of,
    spectra_to_audio,
)
from ..signal.stft import griffin_lim

_register = keras.saving.register_keras_serializable(package="gan_audio")


class _NoteSpectrogram(keras.layers.Layer):
    """The settings of both directions. A spectrogram is float32 [batch, frames, bins, 2] in [-1, 1]: log magnitude and instantaneous
    frequency, each times its scale plus its shift.

    Args:
        samples: Length of the audio; with `fft`, `hop` and `frames` as in `signal.instantaneous_frequency`.
        sample_rate: Hz.
        mel_bands: Number of mel bands; 0: the fft / 2 linear bins.
        mel_bank: "even" or "authors", as for `mel_matrix`.
        log_offset: Added to the magnitude before the logarithm; with mel bands also to the power.
        magnitude_scale, magnitude_shift, phase_scale: The normalisation; the phase has no shift.
        phase_floor: The instantaneous frequency of a bin of magnitude m is multiplied by m^2 / (m^2 + phase_floor^2), so that silent
            bins have none. 0 (the paper): silent bins keep their noise. Linear bins only.
    """

    def __init__(
        self,
        fft: int,
        hop: int,
        frames: int,
        samples: int,
        sample_rate: int,
        mel_bands: int = 0,
        log_offset: float = 1e-6,
        magnitude_scale: float = 0.0661371661726,
        magnitude_shift: float = 0.113718730221,
        phase_scale: float = 0.8,
        phase_floor: float = 0.0,
        mel_bank: MelBank = "even",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.mel_bank: MelBank = mel_bank
        self.fft, self.hop, self.frames, self.samples = int(fft), int(hop), int(frames), int(samples)
        self.sample_rate, self.mel_bands = int(sample_rate), int(mel_bands)
        self.log_offset, self.phase_floor = float(log_offset), float(phase_floor)
        self.magnitude_scale, self.magnitude_shift, self.phase_scale = float(magnitude_scale), float(magnitude_shift), float(phase_scale)
        front_padding(self.samples, self.fft, self.hop, self.frames)  # raises if they are inconsistent
        self._matrix = mel_matrix(self.mel_bands, self.fft // 2, self.sample_rate, mel_bank) if self.mel_bands else None

    @property
    def bins(self) -> int:
        return self.mel_bands or self.fft // 2

    def get_config(self) -> dict[str, Any]:
        names: tuple[str, ...] = ("fft", "hop", "frames", "samples", "sample_rate", "mel_bands", "log_offset")
        names += ("magnitude_scale", "magnitude_shift", "phase_scale", "phase_floor", "mel_bank")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@_register
class AudioToNotePicture(_NoteSpectrogram):
    """Convert audio float32 [batch, samples, 1] to the spectrogram of a discriminator, clipped to [-1, 1]."""

    def call(self, audio):
        log_magnitude, frequency = audio_to_spectra(tf.cast(audio, tf.float32)[..., 0], self.fft, self.hop, self.frames, self.log_offset)
        if self._matrix is not None:
            log_magnitude, frequency = linear_to_mel(log_magnitude, frequency, self._matrix, self.log_offset)
        elif self.phase_floor:
            power = tf.exp(2.0 * log_magnitude)
            frequency *= power / (power + self.phase_floor**2)
        picture = [log_magnitude * self.magnitude_scale + self.magnitude_shift, frequency * self.phase_scale]
        return tf.clip_by_value(tf.stack(picture, axis=-1), -1.0, 1.0)

    def compute_output_shape(self, audio_shape):
        return (audio_shape[0], self.frames, self.bins, 2)


@_register
class NotePictureToAudio(_NoteSpectrogram):
    """Convert a spectrogram float32 [batch, frames, bins, 2] to audio float32 [batch, samples, 1] in [-1, 1]; a note whose peak exceeds 1
    is scaled to 1.

    Args:
        griffin_lim_iterations: Number of Griffin-Lim iterations from the generated phase, which make neighbouring bins consistent.
    """

    def __init__(self, *args: Any, griffin_lim_iterations: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.griffin_lim_iterations = int(griffin_lim_iterations)

    def call(self, picture):
        picture = tf.cast(picture, tf.float32)
        log_magnitude = (picture[..., 0] - self.magnitude_shift) / self.magnitude_scale
        frequency = picture[..., 1] / self.phase_scale
        if self._matrix is not None:
            log_magnitude, frequency = mel_to_linear(log_magnitude, frequency, self._matrix, self.log_offset)
        if self.griffin_lim_iterations:
            pad = [[0, 0], [0, 0], [1, 0]]
            magnitude = tf.pad(tf.nn.relu(tf.exp(log_magnitude) - self.log_offset), pad)
            front = front_padding(self.samples, self.fft, self.hop, self.frames)
            audio = griffin_lim(
                magnitude, self.fft, self.hop, self.samples, front, self.griffin_lim_iterations, phase=tf.pad(phase_of(frequency), pad)
            )
            # The end would be divided by the foot of one window; here it fades, as in `spectra_to_audio`.
            audio *= end_fade(self.samples, self.fft, self.hop, self.frames)
        else:
            audio = spectra_to_audio(log_magnitude, frequency, self.fft, self.hop, self.samples, self.log_offset)
        audio /= tf.maximum(1.0, tf.reduce_max(tf.abs(audio), axis=-1, keepdims=True))
        return audio[..., None]

    def compute_output_shape(self, picture_shape):
        return (picture_shape[0], self.samples, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "griffin_lim_iterations": self.griffin_lim_iterations}


@_register
class HarmonicMap(keras.layers.Layer):
    """The positions and instantaneous frequencies of the harmonics of each pitch in a spectrogram. A convolution, which has no
    information about its position on the frequency axis, reads the requested pitch here.

    Args:
        pitches: MIDI numbers of the classes.
        frames, bins, fft, hop, sample_rate, mel_bands, mel_bank: As for the spectrogram.

    Call: int [batch], class numbers -> float [batch, frames, bins, 4]: proximity of the bin to its nearest harmonic (1 on it, narrow and
    wide: Gaussians of 1 and 3 analysis bins), the phase change per frame of that harmonic over pi, in [-1, 1], and the number of the
    harmonic, as 1 / number. The same in all frames.
    """

    CHANNELS = 4

    def __init__(
        self,
        pitches,
        frames: int,
        bins: int,
        fft: int,
        hop: int,
        sample_rate: int,
        mel_bands: int = 0,
        mel_bank: MelBank = "even",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.mel_bank: MelBank = mel_bank
        self.pitches = [int(p) for p in pitches]
        self.frames, self.bins, self.fft, self.hop = int(frames), int(bins), int(fft), int(hop)
        self.sample_rate, self.mel_bands = int(sample_rate), int(mel_bands)
        full = self.mel_bands or self.fft // 2
        if full % self.bins:
            raise ValueError(f"{self.bins} bins do not divide {full}")
        hz = np.arange(1, self.fft // 2 + 1) * self.sample_rate / self.fft
        f0 = 440.0 * 2.0 ** ((np.asarray(self.pitches, np.float64)[:, None] - 69.0) / 12.0)
        number = np.maximum(1.0, np.round(hz / f0))
        harmonic = number * f0
        distance = (hz - harmonic) / (self.sample_rate / self.fft)
        change = 2.0 * _wrap(harmonic * self.hop / self.sample_rate)
        known = [np.exp(-0.5 * distance**2), np.exp(-0.5 * (distance / 3.0) ** 2), 1.0 / number]
        if self.mel_bands:  # a band's phase is the weighted sum of its bins' phases; the other features are means
            bank = mel_matrix(self.mel_bands, self.fft // 2, self.sample_rate, mel_bank)
            known = [values @ bank / np.maximum(bank.sum(axis=0), 1e-8) for values in known]
            change = 2.0 * _wrap(0.5 * change @ bank)
        table = np.stack([known[0], known[1], change, known[2]], axis=-1)
        # In a coarser image, each bin is the mean of the bins that it covers.
        self._table = table.reshape(len(self.pitches), self.bins, full // self.bins, self.CHANNELS).mean(axis=2).astype(np.float32)

    def call(self, pitch):
        rows = tf.gather(tf.constant(self._table, self.compute_dtype), pitch)
        return tf.repeat(rows[:, None], self.frames, axis=1)

    def compute_output_shape(self, pitch_shape):
        return (pitch_shape[0], self.frames, self.bins, self.CHANNELS)

    def get_config(self) -> dict[str, Any]:
        names = ("pitches", "frames", "bins", "fft", "hop", "sample_rate", "mel_bands", "mel_bank")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _wrap(turns: np.ndarray) -> np.ndarray:
    return turns - np.round(turns)
