"""Collect freely licensed drum hits in a folder for each label, for the recipes vae/oneshots and specgan/oneshots.

    git clone https://github.com/sfzinstruments/karoryfer.gogodze-phu-vol-ii sources/gogodze
    git clone https://github.com/freepats/muldjordkit                        sources/muldjordkit
    git clone https://github.com/oramics/sampled                             sources/oramics
    git clone https://github.com/smpldsnds/drum-machines                     sources/drum-machines
    git clone https://github.com/BillyDM/meadowlark-factory-library          sources/meadowlark
    apt-get download sonic-pi-samples  && dpkg -x sonic-pi-samples_*.deb  sources/sonic-pi
    apt-get download hydrogen-drumkits && dpkg -x hydrogen-drumkits_*.deb sources/hydrogen
    python tools/corpus/soundfont.py drums FluidR3_GM.sf2 -o sources/fluid --sample-rate 44100
    python tools/corpus/drums.py sources -o hits

writes hits/train/LABEL/KIT__NAME.flac, hits/held-out/LABEL/... for the kits of `HELD_OUT`, which no model is trained on, and
hits/sources.csv with kit, licence, author and address of each file. Rates and channels are kept; hits are cut to 4 s.

With --judge, kits under the GPL are collected instead: hits for a classifier that judges the model, and that no shipped model contains.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

HELD_OUT = ("lm-2", "pearl", "drumtraks", "audiophob")
LONGEST = 4.0  # seconds
GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Kit:
    """Where the hits of one kit lie, and whose they are."""

    name: str
    files: str  # glob below the folder of sources
    licence: str
    author: str
    address: str
    names: dict[str, str] | None = None  # label -> expression for the path below the glob's first folder; None: `NAMES`


# Label -> what names it. The first that matches counts; "-" is left out.
NAMES = {
    "-": r"loop|beats|roll|fx|brush|sabmute|trimo|8bit|hollow|mehackit_|glitch|/29800",
    "rim": r"rim|stick|xstick|side",
    "clap": r"clap",
    "cowbell": r"cow",
    "open_hat": r"(hh|hat|hithat|ch?ihat|hhat).*(op|semi)|open_?hat|openhat|univox-oh|ohihat|hatopen",
    "closed_hat": r"hat|hh|univox-ch|pedal",
    "kick": r"kick|bd_|bass_(hard|soft)|kdrum|\bbd\b|^ks_|bassdrum",
    "snare": r"snare|\bsn[_-]|sn_|univox-sd|shortsn|\bsd\b",
    "conga": r"conga|bongo|timbal",
    "shaker": r"cabasa|maraca|shak|tamb",
    "tom": r"tom",
    "ride": r"ride",
    "crash": r"crash|cymb|splash|china",
}
GOGODZE = {"closed_hat": r"h[ct]_vl", "open_hat": r"h[ohl]_vl", "kick": r"ks_", "snare": r"s[ce]_", "rim": r"ss_", "tom": r"t[hlm]_"}
MULDJORD = {
    "kick": r"Kdrum",
    "snare": r"Snare[12]",
    "closed_hat": r"HihatClosed",
    "open_hat": r"HihatOpen",
    "ride": r"Ride",
    "tom": r"Tom",
    "crash": r"Crash|China",
}
SONIC_PI = {
    "kick": r"bd_|drum_bass|heavy_kick|soft_kick",
    "open_hat": r"cymbal_open",
    "closed_hat": r"cymbal_(closed|pedal)",
    "snare": r"drum_snare|sn_|elec_(hi_|mid_|lo_|filt_)?snare",
    "tom": r"drum_tom|elec_fuzz_tom",
    "crash": r"splash|cymbal_(hard|soft)|elec_cymbal",
    "cowbell": r"drum_cowbell",
    "conga": r"tabla_(ghe|tun|na|te|re|tas)",
}
# General MIDI's percussion keys, as soundfont.py names its files.
GENERAL_MIDI = {
    "kick": r"/3[56]-",
    "rim": r"/37-",
    "snare": r"/(38|40)-",
    "clap": r"/39-",
    "closed_hat": r"/4[24]-",
    "open_hat": r"/46-",
    "tom": r"/(41|43|45|47|48|50)-",
    "crash": r"/(49|52|55|57)-",
    "ride": r"/(51|53|59)-",
    "cowbell": r"/56-",
    "shaker": r"/(54|69|70)-",
    "conga": r"/6[0-6]-",
}
_MICS = {"oh": "*", "kick": "ks_*", "snare": "s[ces]_*", "side": "h*", "front": "[ktsh]*"}
_CC0, _PD = "CC0 1.0", "public domain"
_SFZ = "sfzinstruments/karoryfer.gogodze-phu-vol-ii"
KITS = (
    *(
        Kit(f"gogodze-{mic}", f"gogodze/Samples/{mic}_mic/{names}.wav", _CC0, "Karoryfer Samples", GITHUB + _SFZ, GOGODZE)
        for mic, names in _MICS.items()
    ),
    Kit(
        "muldjordkit",
        "muldjordkit/samples/*/*.flac",
        "CC BY 4.0",
        "Lars Muldjord (DrumGizmo.org), FreePats version",
        GITHUB + "freepats/muldjordkit",
        MULDJORD,
    ),
    Kit("sonic-pi", "sonic-pi/**/samples/*.flac", _CC0, "contributors of Freesound, see Sonic Pi", "Debian: sonic-pi-samples", SONIC_PI),
    Kit("meadowlark", "meadowlark/Drums*/**/*.wav", _CC0, "Meadowlark factory library", GITHUB + "BillyDM/meadowlark-factory-library"),
    *(
        Kit(name.lower(), f"oramics/DM/{name}/samples/*.wav", _PD, "collected by oramics/sampled", GITHUB + "oramics/sampled")
        for name in ("LM-2", "CR-78", "TR-505", "MRK-2")
    ),
    Kit(
        "pearl",
        "oramics/DRUMS/pearl-master-studio/samples/*.wav",
        "CC BY 3.0",
        "enoe, Pearl Master Studio Pack 1",
        GITHUB + "oramics/sampled",
    ),
    # Left out: TR-808, which its author calls "absolutely free" without naming a licence.
    *(
        Kit(name, f"drum-machines/{folder}/**/*.ogg", _PD, "collected by smpldsnds/drum-machines", GITHUB + "smpldsnds/drum-machines")
        for name, folder in {
            "rz-1": "Casio-RZ1",
            "sk-1": "Casio-SK1",
            "mfb-512": "MFB-512",
            "micro-rhythmer": "Micro-Rhythmer-12",
            "cr-8000": "Roland-CR-8000",
            "drumtraks": "Sequential-Circuits-Drumtraks",
            "mr-10": "Yamaha-MR10",
        }.items()
    ),
    Kit("audiophob", "hydrogen/**/Audiophob/*.wav", _CC0, "Audiophob, from Freesound", "Debian: hydrogen-drumkits"),
    Kit("fluid", "fluid/*/*.wav", "MIT", "Frank Wen, FluidR3_GM", "Debian: fluid-soundfont-gm", GENERAL_MIDI),
)
_GPL = ("BJA_Pacific", "ColomboAcousticDrumkit", "ElectricEmpireKit", "ForzeeStereo", "HardElectro1", "Millo-Drums_v.1", "GMRockKit")
_GPL += ("Millo_MultiLayered2", "Millo_MultiLayered3", "The Black Pearl 1.0", "VariBreaks", "TR808EmulationKit")
JUDGE = tuple(
    Kit(name, f"hydrogen/**/{name}/*.*", "GPL or CC BY-SA, see the package", "see the package", "Debian: hydrogen-drumkits")
    for name in _GPL
)


def label_of(path: str, kit: Kit) -> str:
    """Return the label that a path names, "" for none."""
    for label, expression in (kit.names or NAMES).items():
        if re.search(expression, path, re.IGNORECASE if kit.names is None else 0):
            return "" if label == "-" else label
    return ""


def varied(sound: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the hit tuned by up to 3 semitones, with a shorter decay and a tilted spectrum: another drum of the same kind.

    Tuning reads the samples faster or slower, as a sampler does; the tilt is up to 4 dB per two octaves around 1 kHz.
    """
    factor = 2.0 ** (rng.uniform(-3.0, 3.0) / 12.0)
    places = np.arange(0.0, len(sound) - 1, factor)
    tuned = np.stack([np.interp(places, np.arange(len(sound)), channel) for channel in sound.T], axis=1)
    seconds = np.arange(len(tuned)) / rate
    tuned *= np.exp(-seconds / rng.uniform(0.3, 3.0))[:, None]
    spectrum = np.fft.rfft(tuned, axis=0)
    hz = np.maximum(np.fft.rfftfreq(len(tuned), 1.0 / rate), 30.0)
    tilted = np.fft.irfft(spectrum * (hz / 1000.0)[:, None] ** (rng.uniform(-2.0, 2.0) / 6.02), len(tuned), axis=0)
    return (tilted * 0.9 / max(float(np.abs(tilted).max()), 1e-9)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--variants", type=int, default=0, help="varied copies of each training hit: tuning, decay, tilt")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows, counts = [], Counter()
    for kit in JUDGE if options.judge else KITS:
        for file in sorted(options.sources.glob(kit.files)):
            below = file.relative_to(options.sources).as_posix()
            label = label_of(
                below if kit.names is GENERAL_MIDI else below.partition("samples/")[2] or f"{file.parent.name}/{file.name}", kit
            )
            if not label or file.suffix.lower() not in (".wav", ".flac", ".ogg"):
                continue
            try:
                sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                print(f"{file}: cannot be read")
                continue
            split = "held-out" if kit.name in HELD_OUT else "train"
            name = re.sub(r"[^\w-]+", "_", f"{kit.name}__{file.parent.name}_{file.stem}")
            target = options.output / split / label / f"{name}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            sound = sound[: int(LONGEST * rate), :2]
            soundfile.write(target, sound, rate, subtype="PCM_16")
            for number in range(options.variants if split == "train" else 0):
                soundfile.write(target.with_stem(f"{name}__v{number + 1}"), varied(sound, rate, rng), rate, subtype="PCM_16")
            counts[split, label] += 1
            rows.append((target.relative_to(options.output).as_posix(), label, kit.name, kit.licence, kit.author, kit.address))
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "sources.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "kit", "licence", "author", "address"))
        writer.writerows(rows)
    for (split, label), count in sorted(counts.items()):
        print(f"{split:9} {label:11} {count}")
    for kit, count in Counter(row[2] for row in rows).items():
        print(f"{kit:20} {count}")


if __name__ == "__main__":
    main()
