"""Denoise a WAV file (16 bit, mono, at the model's rate) frame by frame, as a live program would. Needs numpy and onnxruntime.

python example.py noisy.wav clean.wav [maximum attenuation in dB]
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))
network = facts["networks"]["denoiser"]
frame, hop = facts["frame"], facts["hop"]
session = onnxruntime.InferenceSession(here / network["files"]["onnx"]["file"], providers=["CPUExecutionProvider"])
n = np.arange(frame)
window = {"vorbis": np.sin(np.pi / 2 * np.sin(np.pi * (n + 0.5) / frame) ** 2), "sqrt_hann": np.sin(np.pi * n / frame)}[facts["window"]]


def denoise(audio: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """float32 [samples] -> the same, aligned. The loop body is what a live program runs every `hop` samples."""
    states = {state["input"]: np.zeros(state["shape"], np.float32) for state in network["states"]}
    delay = (1 + facts["lookahead_frames"]) * hop
    padded = np.concatenate([audio, np.zeros(delay + -len(audio) % hop, np.float32)])
    past, half, out = np.zeros(frame - hop, np.float32), np.zeros(hop, np.float32), []
    for begin in range(0, len(padded), hop):
        whole = np.concatenate([past, padded[begin : begin + hop]])
        past, spectrum = whole[hop:], np.fft.rfft(whole * window)[None]
        inputs = {"real": spectrum.real.astype(np.float32), "imaginary": spectrum.imag.astype(np.float32)}
        real, imaginary, *after = session.run(None, {**inputs, "floor": np.array(floor, np.float32), **states})
        states = dict(zip(states, after, strict=True))
        made = np.fft.irfft(real[0] + 1j * imaginary[0], frame) * window
        out.append(half + made[:hop])
        half = made[hop:]
    return np.concatenate(out)[delay:][: len(audio)].astype(np.float32)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with wave.open(sys.argv[1]) as file:
        shape = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if shape != (facts["sample_rate"], 1, 2):
            sys.exit(f"{sys.argv[1]} has {shape} (rate, channels, bytes); expected {(facts['sample_rate'], 1, 2)}")
        noisy = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    attenuation = float(sys.argv[3]) if len(sys.argv) > 3 else np.inf
    clean = denoise(noisy, 10 ** (-attenuation / 20))
    with wave.open(sys.argv[2], "wb") as file:
        file.setparams((1, 2, facts["sample_rate"], 0, "NONE", ""))
        file.writeframes((np.clip(clean, -1, 1) * 32767).round().astype("<i2").tobytes())
