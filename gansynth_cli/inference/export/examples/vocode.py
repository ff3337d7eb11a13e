"""Resynthesise a WAV file (16 bit, mono, at the model's rate) from its mel spectrogram. Needs numpy and onnxruntime.

python example.py in.wav out.wav
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))


def open_network(name: str) -> onnxruntime.InferenceSession:
    """Open one of the two networks: "mel" (audio to mel spectrogram) or "vocoder" (mel spectrogram to audio)."""
    path = here / facts["networks"][name]["files"]["onnx"]["file"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with wave.open(sys.argv[1]) as file:
        shape = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if shape != (facts["sample_rate"], 1, 2):
            sys.exit(f"{sys.argv[1]} has {shape} (rate, channels, bytes); expected {(facts['sample_rate'], 1, 2)}")
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    (mel,) = open_network("mel").run(None, {"audio": audio[None]})  # [1, frames, bands]; your own spectrograms do as well
    (made,) = open_network("vocoder").run(None, {"mel": mel})
    with wave.open(sys.argv[2], "wb") as file:
        file.setparams((1, 2, facts["sample_rate"], 0, "NONE", ""))
        file.writeframes((np.clip(made[0, : len(audio), 0], -1, 1) * 32767).round().astype("<i2").tobytes())
