"""Registered Keras layers. Importing the package registers them all, so that any saved model loads."""

from .audio import NormalizedLogSpectrogram, PostProcessingFilter, SpectrogramToAudio, WaveformToAudio
from .gan import LabelEmbedding, LabelProjection, MinibatchStddev, Modulation, PhaseShuffle, PixelNorm

__all__ = [
    "LabelEmbedding",
    "LabelProjection",
    "MinibatchStddev",
    "Modulation",
    "NormalizedLogSpectrogram",
    "PhaseShuffle",
    "PixelNorm",
    "PostProcessingFilter",
    "SpectrogramToAudio",
    "WaveformToAudio",
]
