"""Registered Keras layers. Importing the package registers them all, so that any saved model loads."""

from .audio import NormalizedLogSpectrogram, PostProcessingFilter, SpectrogramToAudio, WaveformToAudio
from .channel_scale import ChannelScale
from .equalized import EqualizedConv2D, EqualizedDense, EqualizedStart
from .gan import LabelEmbedding, LabelProjection, MinibatchStddev, Modulation, PhaseShuffle, PixelNorm
from .gaussian import BoundedLogVariance, LogDeviation
from .note_spectrum import AudioToNotePicture, HarmonicMap, NotePictureToAudio
from .virtual_norm import ReferenceBatch, VirtualBatchNormalization, WithoutReference

__all__ = [
    "AudioToNotePicture",
    "BoundedLogVariance",
    "ChannelScale",
    "EqualizedConv2D",
    "EqualizedDense",
    "EqualizedStart",
    "HarmonicMap",
    "LabelEmbedding",
    "LabelProjection",
    "LogDeviation",
    "MinibatchStddev",
    "Modulation",
    "NormalizedLogSpectrogram",
    "NotePictureToAudio",
    "PhaseShuffle",
    "PixelNorm",
    "PostProcessingFilter",
    "ReferenceBatch",
    "SpectrogramToAudio",
    "VirtualBatchNormalization",
    "WaveformToAudio",
    "WithoutReference",
]
