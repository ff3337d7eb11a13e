"""How previews of mel spectrograms are made audible: by the bundled vocoder where it means the same spectrograms, else by Griffin-Lim."""

from __future__ import annotations

from functools import cached_property

import keras
import numpy as np

from ..models.model_file import bundled_model, find_model
from ..signal.mel_convention import MelConvention
from ..signal.mel_front_end import linear_mel, mel_to_magnitude
from ..signal.stft import griffin_lim


class MelSound:
    """Maps mel spectra float32 [frames, bands] of a convention to audio float32 [frames * hop]."""

    def __init__(self, convention: MelConvention, iterations: int = 20):
        self.convention, self.iterations = convention, iterations

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        if self._vocoder is not None:
            return self._vocoder(mel[None], training=False).numpy()[0, :, 0]
        c = self.convention
        front = c.reach if c.padding == "reflect" else c.fft // 2
        magnitude = mel_to_magnitude(linear_mel(mel[None], c), c)
        return griffin_lim(magnitude, c.fft, c.hop, len(mel) * c.hop, front=front, iterations=self.iterations, seed=0).numpy()[0]

    @cached_property
    def _vocoder(self) -> keras.Model | None:
        found = find_model(bundled_model("vocoder"))
        same = not self.convention.differences(MelConvention.from_dict(found.config["convention"]))
        return found.load() if same else None


def padded_together(clips: list[np.ndarray]) -> np.ndarray:
    """Return float32 [clips, samples, 1] of clips [samples] of different lengths, zeros after their ends."""
    longest = max(map(len, clips))
    return np.stack([np.pad(audio, (0, longest - len(audio))) for audio in clips])[..., None].astype(np.float32)
