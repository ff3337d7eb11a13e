"""How well `enhance` cleans speech, beside noisereduce, RNNoise and (where installed) DeepFilterNet 3.

    python benchmarks/enhance_quality.py --data recordings/                      160 mixtures, all systems that are installed
    python benchmarks/enhance_quality.py --data recordings/ --quick              40 mixtures, without DNSMOS (half of the time)
    python benchmarks/enhance_quality.py --data recordings/ --model runs/a --model runs/b/model/generator.keras --no-others
    python benchmarks/enhance_quality.py --data recordings/ --model runs/c --no-others --beside report.json      with earlier figures
    python benchmarks/enhance_quality.py --data DATA --split validation --model runs/a           mixtures of a prepared data set

Everything measured is held out (`held_out.py`): voices, noises and rooms that no model was trained on. The mixtures are those of
`enhance_testset.py`. This is a development result: choose nothing by it; choose on the validation split (`--split validation`).

Figures: PESQ-WB, STOI, ESTOI, SI-SDR, DNSMOS (where installed), CSIG/CBAK/COVL, segmental SNR, by SNR and in total; processor seconds
per second of 16 kHz audio on one thread, resampling to the system's own rate included. Then what must not happen: clean speech
in (SI-SDR out), silence in, music in; noise without speech (attenuation); reverberation without noise (how far the tail falls).
A measure that has no value is counted as failed and left out of its mean; the number is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import enhance_systems
import numpy as np
from enhance_testset import RATE, SNRS, Mixture, SplitSet, TestSet

from gansynth_cli.errors import GanAudioError, MissingExtraError
from gansynth_cli.metrics.pairs import composite, perceptual, waveform

MEASURES = ("pesq_wb", "stoi", "estoi", "si_sdr", "sig", "bak", "ovrl", "csig", "cbak", "covl", "segmental_snr")
TITLES = {"pesq_wb": "PESQ-WB", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR", "csig": "CSIG", "cbak": "CBAK", "covl": "COVL"} | {
    "sig": "DNS SIG",
    "bak": "DNS BAK",
    "ovrl": "DNS OVRL",
    "segmental_snr": "segSNR",
}
OTHERS = ("noisy", "noisereduce", "rnnoise", "deepfilternet")
EXTRA_ITEMS = {"clean": 12, "echoing": 6, "noise": 12, "music": 4, "reverb": 8}


def measure(clean: np.ndarray, estimate: np.ndarray, with_dnsmos: bool) -> dict[str, float | str]:
    """All measures of one pair; a text (the reason) where a measure has no value."""
    found: dict[str, float | str] = {}

    def note(keys: Iterable[str], compute: Callable[[], Any]) -> None:
        try:
            value = compute()
        except MissingExtraError:
            return
        except GanAudioError as failure:
            found.update(dict.fromkeys(keys, failure.message))
            return
        found.update(value if isinstance(value, dict) else {next(iter(keys)): value})

    note(["pesq_wb"], lambda: perceptual.pesq_wb(clean, estimate, RATE))
    note(["stoi"], lambda: perceptual.stoi(clean, estimate, RATE))
    note(["estoi"], lambda: perceptual.estoi(clean, estimate, RATE))
    note(["si_sdr"], lambda: waveform.si_sdr(clean, estimate))
    note(["segmental_snr"], lambda: waveform.segmental_snr(clean, estimate, RATE))
    if isinstance(found.get("pesq_wb"), float):
        parts = (composite.log_likelihood_ratio, composite.weighted_spectral_slope, waveform.segmental_snr)
        note(("csig", "cbak", "covl"), lambda: composite.composite_from(found["pesq_wb"], *(part(clean, estimate, RATE) for part in parts)))
    if with_dnsmos:
        note(("sig", "bak", "ovrl"), lambda: perceptual.dnsmos(estimate, RATE))
    return found


_state: dict[str, Any] = {}


def start_worker(source: Any, systems: list[str], with_dnsmos: bool) -> None:
    _state.update(source=source, systems={name: enhance_systems.open_system(name) for name in systems}, dnsmos=with_dnsmos)
    for system in _state["systems"].values():  # first calls load and compile things: not what is timed
        system(np.zeros(RATE, np.float32) + np.float32(1e-3) * np.random.default_rng(0).standard_normal(RATE).astype(np.float32))


def run_mixture(index: int) -> list[dict[str, Any]]:
    item: Mixture = _state["source"].mixture(index)
    rows = []
    for name, system in _state["systems"].items():
        started = time.process_time()
        estimate = system(item.noisy)
        spent = time.process_time() - started
        rows.append(
            {"mixture": item.name, "system": name, "snr": item.snr, "voice": item.voice, "noise": item.noise, "room": item.room}
            | {"seconds": len(item.noisy) / RATE, "cpu": spent}
            | {"lag": waveform.lag_samples(item.clean, estimate, 400)}
            | measure(item.clean, estimate, _state["dnsmos"])
        )
    return rows


def run_extra(task: tuple[str, int]) -> list[dict[str, Any]]:
    kind, index = task
    source: TestSet = _state["source"]
    rows = []
    for name, system in _state["systems"].items():
        row: dict[str, Any] = {"kind": kind, "system": name}
        if kind == "clean":
            clean = source.clean(index)
            out = system(clean)
            row |= {"clean in: SI-SDR": waveform.si_sdr(clean, out), "clean in: PESQ": perceptual.pesq_wb(clean, out, RATE)}
            row |= {"clean in: level change dB": _db(out) - _db(clean)}
        elif kind == "echoing":
            clean = source.clean(index, ("small fish", "big fish")[index % 2])
            out = system(clean)
            row |= {"echoing voices in: SI-SDR": waveform.si_sdr(clean, out), "echoing voices in: level change dB": _db(out) - _db(clean)}
        elif kind == "noise":
            noise = source.noise(index)
            row |= {"noise only: change dB": _db(system(noise)[RATE:]) - _db(noise[RATE:])}  # after a second to adapt
        elif kind == "music":
            music = source.music(index)
            out = system(music)
            row |= {"music: SI-SDR": waveform.si_sdr(music, out), "music: level change dB": _db(out) - _db(music)}
        elif kind == "reverb":
            wet, target = source.reverberant(index)
            out, tail = system(wet), _tail(wet, target)
            row |= {"reverb: tail change dB": _db(out[tail]) - _db(wet[tail]), "reverb: SI-SDR": waveform.si_sdr(target, out)}
        elif kind == "silence":
            silence = np.zeros(3 * RATE, np.float32)
            out = system(silence)
            finite = bool(np.isfinite(out).all())
            row |= {"silence: peak dBFS": 20 * float(np.log10(np.abs(out).max() + 1e-10)) if finite else "not finite"}
        rows.append(row)
    return rows


def _db(audio: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-12))


def _tail(wet: np.ndarray, target: np.ndarray) -> np.ndarray:
    """bool [samples]: where the reverberation sounds on while the speech is 40 dB below its loudest."""
    frames = len(wet) // 512

    def level(audio: np.ndarray) -> np.ndarray:
        return 10 * np.log10(np.square(audio[: frames * 512], dtype=np.float64).reshape(frames, 512).mean(axis=1) + 1e-12)

    tail = (level(target) < level(target).max() - 40) & (level(wet) > level(wet).max() - 50)
    return np.pad(np.repeat(tail, 512), (0, len(wet) - frames * 512))


def summary(rows: list[dict[str, Any]], keys: Iterable[str]) -> dict[str, dict[str, float]]:
    """For each figure its mean, standard error, number of values and failures."""
    found = {}
    for key in keys:
        given = [row[key] for row in rows if key in row]
        values = np.array([value for value in given if not isinstance(value, str)], float)
        if given:
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
            found[key] = {
                "mean": float(values.mean()) if len(values) else None,
                "standard_error": float(error),
                "n": len(values),
                "failed": len(given) - len(values),
            }
    return found


def difference(rows: list[dict[str, Any]], system: str, other: str, key: str) -> dict[str, float] | None:
    """Mean of the differences mixture by mixture, system less other, and its standard error."""
    by_name = {(row["system"], row["mixture"]): row.get(key) for row in rows}
    pairs = [(by_name[system, name], by_name.get((other, name))) for s, name in by_name if s == system]
    gaps = np.array([a - b for a, b in pairs if isinstance(a, float) and isinstance(b, float)])
    if len(gaps) < 2:
        return None
    return {"mean": float(gaps.mean()), "standard_error": float(gaps.std(ddof=1) / np.sqrt(len(gaps))), "n": len(gaps)}


def report_of(rows: list[dict[str, Any]], extra: list[dict[str, Any]], systems: dict[str, dict]) -> dict[str, Any]:
    cuts: dict[str, Callable[[dict], bool]] = {"all": lambda row: True}
    cuts |= {f"{snr} dB": lambda row, snr=snr: row["snr"] == snr for snr in sorted({row["snr"] for row in rows})}
    cuts |= {"dry": lambda row: not row["room"], "room": lambda row: row["room"]}
    for field in ("voice", "noise"):
        cuts |= {f"{field} {value}": lambda row, f=field, v=value: row[f] == v for value in sorted({row[field] for row in rows})}
    report: dict[str, Any] = {"systems": {}, "versions": perceptual.versions()}
    for name, facts in systems.items():
        mine = [row for row in rows if row["system"] == name]
        entry: dict[str, Any] = {"facts": facts, "mixtures": len(mine)}
        entry["cpu_seconds_per_second"] = sum(row["cpu"] for row in mine) / sum(row["seconds"] for row in mine)
        entry["lag_samples_median"] = float(np.median([row["lag"] for row in mine]))
        entry["figures"] = {
            cut: summary([row for row in mine if keep(row)], MEASURES) for cut, keep in cuts.items() if any(map(keep, mine))
        }
        aside = [row for row in extra if row["system"] == name]
        entry["aside"] = summary(aside, dict.fromkeys(key for row in aside for key in row if key not in ("kind", "system")))
        entry["less_rnnoise"] = {key: difference(rows, name, "rnnoise", key) for key in ("pesq_wb", "stoi", "estoi", "si_sdr")}
        report["systems"][name] = entry
    return report


def add_earlier(path: Path, seed: int, rows: list[dict], extra: list[dict], systems: dict[str, dict]) -> None:
    """Puts the systems of an earlier report, on the mixtures of this run, before this run's own."""
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if earlier["seed"] != seed:
        raise SystemExit(f"{path} was made with seed {earlier['seed']}; its mixtures are others")
    names, here = {row["mixture"] for row in rows}, dict(systems)
    others = {name: entry["facts"] for name, entry in earlier["systems"].items() if name not in here}
    rows += [row for row in earlier["rows"] if row["system"] in others and row["mixture"] in names]
    extra += [row for row in earlier["aside_rows"] if row["system"] in others]
    systems.clear()
    systems.update({name: facts for name, facts in others.items() if any(row["system"] == name for row in rows)} | here)


def table(columns: list[str], lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [columns, *lines]) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in [columns, *lines]
    )


def text_of(report: dict[str, Any]) -> str:
    systems = report["systems"]
    measures = [key for key in MEASURES if any(key in entry["figures"]["all"] for entry in systems.values())]

    def cell(figure: dict | None, digits: int = 3) -> str:
        if figure is None or figure["mean"] is None:
            return "failed" if figure and figure["failed"] else "-"
        return f"{figure['mean']:.{digits}f}" + (f" ({figure['failed']} failed)" if figure.get("failed") else "")

    def digits(key: str) -> int:
        return 3 if key in ("stoi", "estoi") else 2

    blocks = []
    for cut in next(iter(systems.values()))["figures"]:
        shown = measures if cut == "all" else [key for key in measures if key in ("pesq_wb", "stoi", "estoi", "si_sdr", "ovrl")]
        number = next(iter(systems.values()))["figures"][cut]["si_sdr"]["n"]
        lines = [[name, *(cell(e["figures"][cut].get(key), digits(key)) for key in shown)] for name, e in systems.items()]
        columns = [f"{cut} ({number})", *(TITLES[key] for key in shown)]
        if cut == "all":
            columns += ["CPU s/s", "lag"]
            for line, entry in zip(lines, systems.values(), strict=True):
                line += [f"{entry['cpu_seconds_per_second']:.4f}", f"{entry['lag_samples_median']:.0f}"]
        blocks.append(table(columns, lines))
    keys = list(dict.fromkeys(key for entry in systems.values() for key in entry["aside"]))
    if keys:
        blocks.append(table(["aside", *systems], [[key, *(cell(e["aside"].get(key), 1) for e in systems.values())] for key in keys]))
    if any(value for entry in systems.values() for value in entry["less_rnnoise"].values()):
        lines = [
            [name, *(f"{v['mean']:+.3f} ± {v['standard_error']:.3f}" if v else "-" for v in entry["less_rnnoise"].values())]
            for name, entry in systems.items()
            if name != "rnnoise"
        ]
        blocks.append(table(["less RNNoise, paired", "PESQ-WB", "STOI", "ESTOI", "SI-SDR"], lines))
    return "\n\n".join(blocks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GAN_AUDIO_DATA")
    parser.add_argument("--data", type=Path, default=default and Path(default), help="folder of recordings [$GAN_AUDIO_DATA]")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="a run folder or .keras file to measure too; @40 at its end is a strength of 40 dB; repeatable",
    )
    parser.add_argument("--no-others", action="store_true", help="only the models named (and the shipped one if none is)")
    parser.add_argument("--systems", default="", help=f"comma-separated choice instead of all: {','.join(OTHERS)},ours")
    parser.add_argument("--mixtures", type=int, default=160)
    parser.add_argument("--quick", action="store_true", help="40 mixtures, without DNSMOS")
    parser.add_argument("--no-dnsmos", action="store_true", help="leave the slowest measure out")
    parser.add_argument("--no-aside", action="store_true", help="leave out clean speech, silence, noise, music, reverberation")
    parser.add_argument("--jobs", type=int, default=min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", help="--data is a prepared data set: take mixtures of this split, as --recipe mixes them")
    parser.add_argument("--recipe", default="denoiser/base", help="with --split: whose [data.mixing] [denoiser/base]")
    parser.add_argument("--beside", type=Path, help="a report of the same seed: its systems stand in the tables without being run again")
    parser.add_argument("--json", type=Path, help="write the report, every single value included, there")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed: the folder of recordings (or set GAN_AUDIO_DATA)")
    wanted = options.systems.split(",") if options.systems else list(() if options.no_others else OTHERS) + ["ours"] * (not options.model)
    wanted += options.model
    systems: dict[str, dict] = {}
    for name in wanted:
        try:
            systems[name] = enhance_systems.open_system(name).facts
        except enhance_systems.NotInstalled as missing:
            print(f"{name}: left out ({missing})", file=sys.stderr)
    if not systems:
        print("nothing to measure", file=sys.stderr)
        return 1
    count = 40 if options.quick else options.mixtures
    source: TestSet | SplitSet
    if options.split:
        source = SplitSet(options.data, options.split, options.recipe, count, options.seed)
        count, kinds = len(source), {}
    else:
        source, kinds = TestSet(options.data, options.seed), {"silence": 1, **EXTRA_ITEMS}
    tasks = [] if options.no_aside else [(kind, index) for kind, number in kinds.items() for index in range(number)]
    started = time.monotonic()
    rows: list[dict] = []
    extra: list[dict] = []
    # Spawned, not forked: threads of the parent do not survive a fork.
    arguments = (source, list(systems), not (options.no_dnsmos or options.quick))
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), initializer=start_worker, initargs=arguments) as pool:
        for done, found in enumerate(pool.map(run_mixture, range(count)), 1):
            rows += found
            if done % 20 == 0:
                print(f"{done}/{count} mixtures, {time.monotonic() - started:.0f} s", file=sys.stderr)
        for found in pool.map(run_extra, tasks):
            extra += found
    if options.beside:
        add_earlier(options.beside, options.seed, rows, extra, systems)
    report = report_of(rows, extra, systems) | {
        "mixtures": count,
        "seed": options.seed,
        "snrs": SNRS,
        "jobs": options.jobs,
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    print(text_of(report))
    failures = [(row["mixture"], row["system"], key, row[key]) for row in rows for key in MEASURES if isinstance(row.get(key), str)]
    for failure in failures:
        print("failed: {} {} {}: {}".format(*failure), file=sys.stderr)
    print(
        f"{count} mixtures, {report['wall_seconds']:.0f} s; " + ", ".join(f"{k} {v}" for k, v in report["versions"].items()),
        file=sys.stderr,
    )
    if options.json:
        options.json.write_text(json.dumps(report | {"rows": rows, "aside_rows": extra}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
