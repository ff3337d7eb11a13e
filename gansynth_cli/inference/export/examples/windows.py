"""Denoise a WAV file (16 bit, mono, at the model's rate) window by window. Needs numpy and onnxruntime.

python example.py noisy.wav clean.wav
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))
size, hop, emphasis = facts["window"], facts["hop"], facts["preemphasis"]
file_name = facts["networks"]["denoiser"]["files"]["onnx"]["file"]
session = onnxruntime.InferenceSession(here / file_name, providers=["CPUExecutionProvider"])


def denoise(audio: np.ndarray) -> np.ndarray:
    """float32 [samples] -> the same, aligned."""
    emphasised = np.append(audio[:1], audio[1:] - emphasis * audio[:-1]).astype(np.float32)
    count = -(-(len(audio) + size - hop) // hop)
    padded = np.pad(emphasised, (size - hop, count * hop + size - len(audio)))
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    out = np.zeros(len(padded), np.float32)
    for begin in range(0, count * hop, hop):
        (made,) = session.run(None, {"noisy": padded[begin : begin + size][None, :, None]})
        out[begin : begin + size] += made[0, :, 0] * fade
    out = out[size - hop :][: len(audio)]
    for t in range(1, len(out)):  # undo the pre-emphasis
        out[t] += emphasis * out[t - 1]
    return out


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with wave.open(sys.argv[1]) as file:
        shape = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if shape != (facts["sample_rate"], 1, 2):
            sys.exit(f"{sys.argv[1]} has {shape} (rate, channels, bytes); expected {(facts['sample_rate'], 1, 2)}")
        noisy = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    clean = denoise(noisy)
    with wave.open(sys.argv[2], "wb") as file:
        file.setparams((1, 2, facts["sample_rate"], 0, "NONE", ""))
        file.writeframes((np.clip(clean, -1, 1) * 32767).round().astype("<i2").tobytes())
