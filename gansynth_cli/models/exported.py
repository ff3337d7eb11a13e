"""What a saved class offers to `gan-audio export`: networks with real inputs, outputs and explicit states, and facts for the description.

A saved class has a method `export_plan() -> ExportPlan`. Its functions are traced within `signal.portable.portable_graph`, so transforms
become products; a streaming model gives one frame a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from ..signal.mel_convention import MelConvention
from ..signal.mel_front_end import mel_spectrogram


@dataclass(frozen=True)
class Port:
    """A named tensor of an exported network.

    Attributes:
        name: Its name in the file.
        shape: Sizes; a text names an axis of any length.
        meaning: What it holds, with its unit.
        dtype: NumPy name.
    """

    name: str
    shape: tuple[int | str, ...]
    meaning: str = ""
    dtype: str = "float32"

    def spec(self) -> tf.TensorSpec:
        """Return TensorFlow's description of it."""
        return tf.TensorSpec([size if isinstance(size, int) else None for size in self.shape], self.dtype, self.name)


@dataclass(frozen=True)
class ExportedNetwork:
    """A network to export.

    Attributes:
        name: Stem of its files.
        function: Tensors of `inputs`, then of `states`, in order -> those of `outputs`, then the next states.
        inputs, outputs: Without states.
        example: (generator of random numbers, number of the call) -> inputs of a call, to compare an exported file with this network.
            Shapes differ from call to call where an axis may have any length.
        states: Zeros before the first call; `state0` is answered by the output `next0`.
    """

    name: str
    function: Callable[..., tuple[tf.Tensor, ...]]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    example: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    states: tuple[Port, ...] = ()

    @property
    def all_inputs(self) -> tuple[Port, ...]:
        return self.inputs + self.states

    @property
    def all_outputs(self) -> tuple[Port, ...]:
        after = (Port(port.name.replace("state", "next", 1), port.shape, port.meaning, port.dtype) for port in self.states)
        return (*self.outputs, *after)

    def first_states(self) -> dict[str, np.ndarray]:
        """Return the states before the first call."""
        return {port.name: np.zeros([int(size) for size in port.shape], port.dtype) for port in self.states}


@dataclass(frozen=True)
class ExportPlan:
    """Everything that is exported of a model.

    Attributes:
        networks: In the order in which a caller runs them.
        example: Name of the example program, a file of `inference/export/examples`; "": there is none.
        facts: Rates, windows, latency, labels, for the description.
        web: Whether the browser page can run it.
    """

    networks: tuple[ExportedNetwork, ...]
    example: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    web: bool = False


def denoiser_plan(
    function: Callable[..., tuple[tf.Tensor, ...]],
    states: tuple[Port, ...],
    sample_rate: int,
    frame: int,
    hop: int,
    window: str,
    lookahead: int,
) -> ExportPlan:
    """Return the plan of a denoiser that takes one frame of a spectrum a call.

    Args:
        function: (real, imaginary, floor, *states) -> (real, imaginary, *next states).
        states: Named state0, state1 ...
        sample_rate, frame, hop: Hz, samples.
        window: "vorbis" or "sqrt_hann", for analysis and synthesis.
        lookahead: Frames by which the output lags behind the input.
    """
    bins = frame // 2 + 1
    spectrum = tuple(Port(name, (1, bins), "of the transform of a windowed frame") for name in ("real", "imaginary"))
    floor = Port("floor", (), "lowest gain: 0 removes all noise, 10^(-x / 20) attenuates it by x dB at most")
    outputs = tuple(
        Port(f"clean_{port.name}", port.shape, f"the frame {lookahead} frames before" if lookahead else "") for port in spectrum
    )

    def example(rng: np.random.Generator, call: int) -> dict[str, np.ndarray]:
        frames = rng.standard_normal(frame) * 0.1 * (call % 7 != 3)  # every seventh frame is digital silence
        made = np.fft.rfft(frames)[None].astype(np.complex64)
        return {"real": made.real.copy(), "imaginary": made.imag.copy(), "floor": np.array(0.1 * (call % 2), np.float32)}

    network = ExportedNetwork("denoiser", function, (*spectrum, floor), outputs, example, states)
    facts = {
        "kind": "speech denoiser",
        "sample_rate": sample_rate,
        "frame": frame,
        "hop": hop,
        "window": window,
        "window_formula": {
            "vorbis": "sin(pi / 2 sin(pi (n + 1/2) / frame)^2), analysis and synthesis",
            "sqrt_hann": "sin(pi n / frame), analysis and synthesis",
        }[window],
        "lookahead_frames": lookahead,
        "latency_samples": frame + lookahead * hop,
    }
    return ExportPlan((network,), "stream", facts, web=True)


def mel_network(convention: MelConvention) -> ExportedNetwork:
    """Return the network from audio to the mel spectrogram of a convention, so that another program needs none of its own."""
    c = convention
    return ExportedNetwork(
        "mel",
        lambda audio: (mel_spectrogram(audio, c),),
        (Port("audio", (1, "samples"), f"within -1 to 1, more than {c.reach} samples"),),
        (Port("mel", (1, "frames", c.bands), c.describe()),),
        lambda rng, call: {"audio": 0.3 * noise_like(rng, (1, c.hop * (12 + 5 * call) + c.fft))},
    )


def noise_like(rng: np.random.Generator, shape: tuple[int | str, ...]) -> np.ndarray:
    """Draw float32 numbers between -1 and 1."""
    return rng.uniform(-1, 1, [int(size) for size in shape]).astype(np.float32)
