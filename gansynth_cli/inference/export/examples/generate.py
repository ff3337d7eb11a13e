"""Generate clips as WAV files (16 bit). Needs numpy and onnxruntime.

python example.py FOLDER [number of clips] [seed] [condition=name ...], such as: python example.py hits 8 1 label=kick
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
facts = json.loads((here / "model.json").read_text(encoding="utf-8"))
file_name = facts["networks"]["generator"]["files"]["onnx"]["file"]
session = onnxruntime.InferenceSession(here / file_name, providers=["CPUExecutionProvider"])


def generate(clips: int, seed: int, **wanted: str) -> np.ndarray:
    """Return float32 [clips, samples, channels]; a condition that is not given is drawn."""
    rng = np.random.default_rng(seed)
    shape = (clips, facts["latent"]["dim"])
    uniform = facts["latent"].get("distribution") == "uniform"
    inputs = {"latent": (rng.uniform(-1, 1, shape) if uniform else rng.standard_normal(shape)).astype(np.float32)}
    for condition, names in facts["labels"].items():
        if condition in wanted and wanted[condition] not in names:
            sys.exit(f"{condition} {wanted[condition]!r} is none of {', '.join(names)}")
        number = names.index(wanted[condition]) if condition in wanted else rng.integers(0, len(names), clips)
        inputs[condition] = np.broadcast_to(number, [clips]).astype(np.int32)
    return session.run(None, inputs)[0]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, clips, seed = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4, int(sys.argv[3]) if len(sys.argv) > 3 else 0
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(generate(clips, seed, **dict(text.split("=", 1) for text in sys.argv[4:]))):
        with wave.open(str(folder / f"{number:03d}.wav"), "wb") as file:
            file.setparams((clip.shape[1], 2, facts["sample_rate"], 0, "NONE", ""))
            file.writeframes((np.clip(clip, -1, 1) * 32767).round().astype("<i2").tobytes())
