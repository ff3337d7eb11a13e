"""Registered Keras layers. Importing the package registers them all, so that any saved model loads."""

from .audio import NormalizedLogSpectrogram, PostProcessingFilter, SpectrogramToAudio, WaveformToAudio
from .channel_scale import ChannelScale
from .gan import LabelEmbedding, LabelProjection, MinibatchStddev, Modulation, PhaseShuffle, PixelNorm
from .gaussian import BoundedLogVariance, LogDeviation
from .virtual_norm import ReferenceBatch, VirtualBatchNormalization, WithoutReference

__all__ = [
    "BoundedLogVariance",
    "ChannelScale",
    "LabelEmbedding",
    "LabelProjection",
    "LogDeviation",
    "MinibatchStddev",
    "Modulation",
    "NormalizedLogSpectrogram",
    "PhaseShuffle",
    "PixelNorm",
    "PostProcessingFilter",
    "ReferenceBatch",
    "SpectrogramToAudio",
    "VirtualBatchNormalization",
    "WaveformToAudio",
    "WithoutReference",
]
