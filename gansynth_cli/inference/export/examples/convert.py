"""Convert a mel spectrogram (.npy, float32 [frames, bands]), or a WAV file's, to another domain. Needs numpy and onnxruntime.

python example.py in.npy|in.wav FROM TO out.npy; an exported vocoder of the same convention, or WORLD, makes it audible.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))
domains = facts["labels"]["domain"]


def run(name: str, **inputs: np.ndarray) -> np.ndarray:
    """Run one of the networks: "converter", or "mel" where the model reads mel spectrograms of audio."""
    path = here / facts["networks"][name]["files"]["onnx"]["file"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def read(path: str) -> np.ndarray:
    """Return float32 [frames, bands]."""
    if path.endswith(".npy"):
        return np.load(path).astype(np.float32)
    if "mel" not in facts["networks"]:
        sys.exit("this model converts spectra of WORLD's envelope: give them as .npy")
    with wave.open(path) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (facts["sample_rate"], 1, 2):
            sys.exit(f"{path}: expected 16 bit, mono, {facts['sample_rate']} Hz")
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    return run("mel", audio=audio[None])[0]


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    source, target = (np.eye(len(domains), dtype=np.float32)[[domains.index(name)]] for name in sys.argv[2:4])
    mel = read(sys.argv[1])
    np.save(sys.argv[4], run("converter", mel=mel[None], source=source, target=target)[0])
