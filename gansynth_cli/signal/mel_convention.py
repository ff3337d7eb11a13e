"""The definition of a mel spectrogram's numbers, also the recipe table `[model.mel]`. Imports neither numpy nor TensorFlow.

"80 mel bands" seldom means the same numbers in two programs, and a vocoder produces noise from another convention's spectrograms. So a
model stores its convention, and its input is checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True)
class MelConvention:
    """A log-mel spectrogram: log(max(floor, bank @ |STFT|^exponent)) with a periodic Hann window, magnitudes not normalised.

    Attributes:
        sample_rate: Hz; 0 in a recipe: the rate of `[data]`.
        fft: Transform size, samples.
        window: Window length in samples, centred in the transform; 0: `fft`.
        hop: Samples from frame to frame.
        bands: Number of mel bands.
        low_hz, high_hz: Edges of the lowest and the highest band; high_hz 0: half the sample rate.
        scale: "htk" or "slaney" (librosa's default); see `signal.mel`.
        norm: "area": triangles of equal area (librosa's default); "none": of height 1 (torchaudio's default).
        exponent: 1: magnitudes, 2: powers.
        power_floor: Added to the power before the square root (HiFi-GAN: 1e-9).
        log: "ln" or "log10".
        floor: Minimum of the mel spectrum before the logarithm.
        padding: "centre": frame t is centred on sample t * hop, samples // hop + 1 frames (librosa, torchaudio). "reflect": frame t is
            centred on the middle of the samples [t hop, (t + 1) hop), samples // hop frames (MelGAN, HiFi-GAN). Both mirror the signal
            at its ends.
    """

    sample_rate: Count = 0
    fft: Positive = 1024
    window: Count = 0
    hop: Positive = 256
    bands: Positive = 80
    low_hz: AtLeastZero = 0.0
    high_hz: AtLeastZero = 0.0
    scale: Literal["htk", "slaney"] = "slaney"
    norm: Literal["none", "area"] = "area"
    exponent: Literal[1, 2] = 1
    power_floor: AtLeastZero = 0.0
    log: Literal["ln", "log10"] = "ln"
    floor: Annotated[float, Meta(gt=0)] = 1e-5
    padding: Literal["centre", "reflect"] = "centre"

    def resolved(self, sample_rate: int) -> MelConvention:
        """Return the convention with every 0 that stands for another value replaced by it."""
        rate = self.sample_rate or sample_rate
        return replace(self, sample_rate=rate, window=self.window or self.fft, high_hz=self.high_hz or rate / 2)

    def problems(self) -> list[str]:
        """Return the contradictions of a resolved convention, empty if it is valid."""
        wrong = []
        if self.window > self.fft:
            wrong.append(f"the window of {self.window} samples is longer than the fft of {self.fft}")
        if 2 * self.hop > self.window:
            wrong.append(f"the hop of {self.hop} samples is more than half a window of {self.window}")
        if (self.window - self.hop) % 2 and self.padding == "reflect":
            wrong.append(f"window {self.window} - hop {self.hop} is odd, so frames cannot be centred between samples")
        if not self.low_hz < self.high_hz <= self.sample_rate / 2:
            wrong.append(f"the range {self.low_hz:g} to {self.high_hz:g} Hz is not within 0 to {self.sample_rate / 2:g} Hz")
        return wrong

    @property
    def reach(self) -> int:
        """Number of samples mirrored at each end before the signal is split into frames."""
        return self.window // 2 if self.padding == "centre" else (self.window - self.hop) // 2

    def frames(self, samples: int) -> int:
        """Return the number of frames of a signal."""
        return samples // self.hop + (self.padding == "centre")

    @property
    def lowest(self) -> float:
        """The value of silence, the logarithm of the floor."""
        return math.log(self.floor) / (1.0 if self.log == "ln" else math.log(10.0))

    def describe(self) -> str:
        """Describe the convention in one line: `16000 Hz, fft 1024, window 800, hop 256, 80 slaney bands of equal area, ...`."""
        shape = "of equal area" if self.norm == "area" else "of height 1"
        kind = "magnitude" if self.exponent == 1 else "power"
        added = f" with {self.power_floor:g} added to the power" if self.power_floor else ""
        return (
            f"{self.sample_rate} Hz, fft {self.fft}, window {self.window}, hop {self.hop}, {self.bands} {self.scale} bands {shape}, "
            f"{self.low_hz:g}-{self.high_hz:g} Hz, {kind}{added}, {self.log} of at least {self.floor:g}, {self.padding} padding"
        )

    def differences(self, other: MelConvention) -> list[str]:
        """List how `other` differs, such as `hop is 200, not 256`; empty if both define the same numbers."""
        return [
            f"{f.name} is {_plain(getattr(other, f.name))}, not {_plain(getattr(self, f.name))}"
            for f in fields(self)
            if not _same(getattr(self, f.name), getattr(other, f.name))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MelConvention:
        """Read plain JSON. Raise ValueError for an unknown key or a value of the wrong type."""
        import msgspec

        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a field of a mel convention; expected {', '.join(f.name for f in fields(cls))}")
        try:
            return msgspec.convert(dict(values), cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-15)
    return a == b


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def front_of(fft: int, bands: int) -> int:
    """Return how many samples of the first frame lie before a clip: none for linear bins, as in SpecGAN's paper; half of it for mel bands.

    A one-shot's attack is its first samples. In a frame that begins with them they lie at the foot of the window, which at fft 2048 and
    44.1 kHz hides the first 5 ms: generated hits were 28 dB too quiet.
    """
    return fft // 2 if bands else 0
