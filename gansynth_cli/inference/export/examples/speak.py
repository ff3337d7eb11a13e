"""Speak phones as a mel spectrogram (.npy, float32 [frames, bands]). Needs numpy and onnxruntime.

python example.py "h @ l oU" out.npy [speaker]; an exported vocoder of the same convention makes it audible. The symbols of phones are
in model.json; the program that makes them of text is named there too (phonemiser).
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))
labels = facts["labels"]


def run(name: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run the network "encoder" or "decoder"."""
    path = here / facts["networks"][name]["files"]["onnx"]["file"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)


def speak(phones: list[str], speaker: int = 0, language: int = 0, emotion: int = 0) -> np.ndarray:
    """Return the mel spectrogram float32 [frames, bands]."""
    unknown = [phone for phone in phones if phone not in labels["phone"]]
    if unknown:
        sys.exit(f"{unknown[0]!r} is none of the phones {' '.join(labels['phone'])}")
    tokens = np.array([[[labels["phone"].index(phone), 0, 0] for phone in phones]], np.int32)
    numbers = {"speaker": speaker, "language": language, "emotion": emotion}
    inputs = {name: np.array([number], np.int32) for name, number in numbers.items()}
    encoded, condition, duration, prosody = run("encoder", {"tokens": tokens, **inputs})
    frames = np.maximum(np.exp(duration[0]).round(), 1).astype(int)
    prosody[..., 1] = 1 / (1 + np.exp(-prosody[..., 1]))  # voicing
    owner = np.repeat(np.arange(len(frames)), frames)
    place = (np.arange(len(owner)) + 0.5 - (np.cumsum(frames) - frames)[owner]) / frames[owner]
    given = {"phones": encoded, "condition": condition, "durations": frames[None].astype(np.float32), "prosody": prosody}
    return run("decoder", {**given, "frame_phone": owner[None].astype(np.int32), "frame_place": place[None].astype(np.float32)})[0][0]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    np.save(sys.argv[2], speak(sys.argv[1].split(), labels["speaker"].index(sys.argv[3]) if len(sys.argv) > 3 else 0))
