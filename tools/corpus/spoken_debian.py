"""Speaks sentences with the voices that Debian has for festival and flite: recorded units of real people, joined.

    apt-get install flite festival festival-czech festvox-czech-{dita,ph,krb} festvox-italp16k festvox-itapc16k \\
      festvox-suopuhe-lj festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts festvox-ca-ona-hts
    python spoken_debian.py TEXTS OUT --minutes 5            # of each voice: OUT/cmu_us_slt-2/000.wav ..., 16 kHz, mono, 16 bit

They buzz at the joints, but have the harmonics and the breath of real voices: a share of the corpus, not its bulk. Each voice speaks at
`_BENDS` pitches (the sound is resampled). Voices that are not installed are left out; so are czech_machac, which clips, and
hy_fi_mv_diphone, which has a background.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from voices import RATE, faults, read_sentences, resampled

ENGLISH = ("wisdom", "people", "science", "literature", "art", "work", "definitions", "men-women")
ITALIAN = ("it/italia", "it/luke")
VOICES = {  # voice: program, encoding of its text, files below TEXTS
    "cmu_us_slt": ("flite", "utf-8", ENGLISH),
    "cmu_us_rms": ("flite", "utf-8", ENGLISH),
    "cmu_us_awb": ("flite", "utf-8", ENGLISH),
    "cmu_us_kal16": ("flite", "utf-8", ENGLISH),
    "ked_diphone": ("festival", "latin-1", ENGLISH),
    "kal_diphone": ("festival", "latin-1", ENGLISH),
    "cmu_us_slt_arctic_hts": ("festival", "latin-1", ENGLISH),
    "czech_dita": ("festival", "iso-8859-2", ("cs/klasik-cz", "cs/zemeplocha")),
    "czech_ph": ("festival", "iso-8859-2", ("cs/klasik-cz", "cs/zemeplocha")),
    "czech_krb": ("festival", "iso-8859-2", ("cs/klasik-cz", "cs/zemeplocha")),
    "lp_diphone": ("festival", "latin-1", ITALIAN),
    "pc_diphone": ("festival", "latin-1", ITALIAN),
    "suo_fi_lj_diphone": ("festival", "latin-1", ITALIAN),  # Finnish; any text that is read as it is written will do
    "upc_ca_ona_hts": ("festival", "latin-1", ("es/refranes.fortunes", "es/sabiduria.fortunes")),
}
_BENDS = (0.87, 0.94, 1.0, 1.08, 1.17)  # pitch, formants and pace are multiplied by it
_BATCH = 12  # sentences in one call of festival


def spoken(program: str, voice: str, encoding: str, sentences: list[str], folder: Path) -> list[Path]:
    """Sound files of the sentences; fewer where the voice failed."""
    files = [folder / f"{number}.wav" for number in range(len(sentences))]
    if program == "flite":
        for sentence, file in zip(sentences, files, strict=True):
            command = ["flite", "-voice", voice.removeprefix("cmu_us_"), "-t", sentence, "-o", str(file)]
            subprocess.run(command, check=False, capture_output=True)
    else:
        lines = [f"(voice_{voice})"]
        for sentence, file in zip(sentences, files, strict=True):
            text = sentence.replace("’", "'").replace('"', " ").replace("\\", " ")
            lines.append(f'(unwind-protect (utt.save.wave (utt.synth (Utterance Text "{text}")) "{file}" (quote riff)))')
        script = folder / "say.scm"
        script.write_bytes("\n".join(lines).encode(encoding, errors="ignore"))
        subprocess.run(["festival", "--batch", str(script)], check=False, capture_output=True)
    return [file for file in files if file.is_file() and file.stat().st_size > 1000]


def read(path: Path) -> np.ndarray:
    """float64 [samples] at `RATE`."""
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32768.0
    return resampled(audio.reshape(-1, channels)[:, 0], RATE / rate) if rate != RATE else audio


def write(path: Path, audio: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(audio * (0.5 * 32767 / np.max(np.abs(audio)))).astype("<i2").tobytes())


def installed() -> set[str]:
    """The voices of `VOICES` that can speak here."""
    found: set[str] = set()
    if shutil.which("flite"):
        listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=False).stdout
        found |= {f"cmu_us_{name}" for name in listed.split(":")[-1].split()}
    if shutil.which("festival"):
        listed = subprocess.run(["festival", "-b", "(print (voice.list))"], capture_output=True, text=True, check=False).stdout
        found |= set(listed.strip().strip("()").split())
    return found & set(VOICES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="folder of fortune files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="of each voice")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    here = installed()
    for place, (voice, (program, encoding, names)) in enumerate(VOICES.items()):
        if voice not in here:
            print(f"{voice}: not installed")
            continue
        rng = np.random.default_rng([chosen.seed, place])
        sentences = read_sentences(chosen.texts, names)
        made, dropped, number = 0.0, 0, 0
        for _ in range(40 * round(chosen.minutes + 1)):  # so that a voice that fails does not go on for ever
            if made >= 60 * chosen.minutes:
                break
            with tempfile.TemporaryDirectory() as folder:
                drawn = [sentences[k] for k in rng.integers(len(sentences), size=_BATCH)]
                for file in spoken(program, voice, encoding, drawn, Path(folder)):
                    bend = number % len(_BENDS)
                    audio = resampled(read(file), 1.0 / _BENDS[bend])
                    if len(audio) < RATE or faults(audio, round(len(audio) / RATE / 0.08)):
                        dropped += 1
                        continue
                    write(chosen.out / f"{voice}-{bend}" / f"{number:04d}.wav", audio)
                    number, made = number + 1, made + len(audio) / RATE
        print(f"{voice}: {made / 60:.1f} minutes, {dropped} sentences left out", flush=True)


if __name__ == "__main__":
    main()
