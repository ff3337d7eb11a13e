"""`gan-audio info`: facts about runs, data sets, models and audio files, without TensorFlow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.audio.audio_file import probe, read_tag
from ..data.audio.find import is_audio_name
from ..data.dataset_info import read_dataset_info
from ..errors import GanAudioError, UsageError
from ..family_schema import PLUGIN_GROUP
from ..models.model_file import RECOGNISERS, bundled_models, find_model, nothing_named
from ..recipe_schema import PLUGINS
from ..run_folder import RunFolder
from . import console

RUNS = Path("runs")  # where `train` puts runs that have no other name
_MAX_DEPTH = 3  # folders below a folder of runs that are searched
_CONFIG_KEYS = ("sample_rate", "labels", "pitches", "instruments", "velocities", "domains", "features", "vocoder", "consent", "latent")
_SHOWN = {"mark": "provenance tag"}  # JSON key -> its name in the table, where they differ


def command(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH|NAME",
            help="A run folder, a data set, a .keras model, an audio file, a folder of runs, or the name of a bundled model.",
            show_default="the runs below runs/",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="Compare the voice in an audio file with that in this one."),
    ] = None,
    phones: Annotated[
        str | None,
        typer.Option("--phones", metavar="RUN|FILE.keras", help="Recognise the phones in an audio file by a run of the family phones."),
    ] = None,
    devices: Annotated[bool, typer.Option("--devices", help="Show the devices that TensorFlow sees, or why there is no GPU.")] = False,
    plugins: Annotated[bool, typer.Option("--plugins", help="Show the families that other packages bring.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Show information about a run, data set, model or audio file.

    For audio it says whether the file is tagged as synthetic, for a bundled model it prints the model card. Without PATH it lists the
    runs below runs/ with recipe, seed, step and best figure.
    """
    console.configure(json_output=json_output)
    if devices:
        _devices(path)
        return
    if plugins:
        _plugins()
        return
    if path is None:
        _list(RUNS, json_output)
        return
    if path.is_dir() and not _is_run(path) and not (path / "dataset_info.json").is_file() and _runs_below(path):
        _list(path, json_output)
        return
    facts = _facts(path)
    if against is not None:
        if facts["kind"] != "audio":
            raise UsageError(
                f"--against compares two recordings; {path} is a {facts['kind']}.", hint="gan-audio info a.wav --against b.wav"
            )
        facts["voice"] = _voice(path, against)
    if phones is not None:
        if facts["kind"] != "audio":
            raise UsageError(f"--phones reads a recording; {path} is a {facts['kind']}.", hint="gan-audio info a.wav --phones RUN")
        facts["phones"] = _phones(path, phones)
    if json_output:
        console.result(facts)
        return
    if phones is not None:
        facts["phones"] = " ".join(one["phone"] for one in facts["phones"])
    card = facts.pop("card", "")
    rows = [[_SHOWN.get(key, key.replace("_", " ")), _text(value)] for key, value in facts.items() if value not in (None, "", [], {})]
    console.table("", ["property", str(path)], rows, to_stdout=True)
    if card:
        console.data(f"\n{card.rstrip()}")


def _plugins() -> None:
    """Show families of other packages, and why one cannot be used."""
    found = list(PLUGINS.values())
    if console.wants_json():
        facts = [{"family": p.name, "package": p.package, "distribution": p.distribution, "problem": p.problem} for p in found]
        console.result({"plugins": facts})
    elif not found:
        console.say(f"No package brings families (entry points of the group {PLUGIN_GROUP}).")
    else:
        rows = [[plugin.name, plugin.distribution, plugin.problem or "usable"] for plugin in found]
        console.table("", ["family", "package", "state"], rows, to_stdout=True)


def _devices(path: Path | None) -> None:
    """Show GPUs, or what is missing for one; this starts TensorFlow."""
    if path is not None:
        raise UsageError(f"--devices shows this machine; it cannot be combined with {path}.")
    console.start_tensorflow()
    import tensorflow as tf

    from ..devices import gpus, why_no_gpu

    found = gpus()
    facts = {"tensorflow": tf.__version__, "gpus": found, **({} if found else {"no_gpu": why_no_gpu()})}
    if console.wants_json():
        console.result(facts)
        return
    rows = [[f"GPU {gpu['number']}", gpu["name"], f"compute capability {gpu['compute_capability']}"] for gpu in found]
    rows += [["CPU", f"{os.cpu_count()} cores", "" if found else f"no GPU seen: {facts['no_gpu']}"]]
    console.table("", ["device", "name", f"TensorFlow {tf.__version__}"], rows, to_stdout=True)


def _is_run(path: Path) -> bool:
    return (path / "recipe.toml").is_file()


def _runs_below(folder: Path) -> list[Path]:
    """The run folders below a folder, to a depth of three, by name."""
    found: list[Path] = []
    pending = [(folder, 0)]
    while pending:
        place, depth = pending.pop()
        if _is_run(place):
            found.append(place)
        elif depth < _MAX_DEPTH and place.is_dir():
            pending += [(child, depth + 1) for child in place.iterdir() if child.is_dir() and not child.name.startswith(".")]
    return sorted(found)


def _list(folder: Path, json_output: bool) -> None:
    runs = [_line(path) for path in _runs_below(folder)]
    if json_output:
        console.result({"runs": runs})
        return
    if not runs:
        console.say(f"There are no runs below {folder}/. To make one: gan-audio train --recipe NAME --data DATA")
        return
    keys = ("recipe", "seed", "step", "state", "best")
    rows = [[run["run"], *("-" if run.get(key) is None else run[key] for key in keys)] for run in runs]
    console.table("", ["run", "recipe", "seed", "step", "state", "best figure"], rows, to_stdout=True)


def _line(path: Path) -> dict[str, Any]:
    """One run in a list; a damaged one has only its reason."""
    try:
        run = RunFolder.load(path)
    except GanAudioError as error:
        return {"run": str(path), "state": "damaged", "error": error.message}
    manifest, recipe = run.manifest, run.recipe
    facts = {"run": str(path), "recipe": recipe.name or recipe.family, "seed": recipe.seed}
    return facts | {"step": manifest.get("step", 0), "state": manifest.get("state"), "best": _best(run)}


def _best(run: RunFolder) -> str | None:
    best = run.manifest.get("best")
    if not isinstance(best, (list, tuple)) or len(best) != 2:
        return None
    return f"{run.recipe.training.best_metric or 'best'} {best[1]:.4g} at step {best[0]}"


def _facts(path: Path) -> dict[str, Any]:
    if path.is_dir():
        if _is_run(path):
            return _run(path)
        if (path / "dataset_info.json").is_file():
            return _data_set(path)
        raise UsageError(
            f"{path} is neither a run folder (no recipe.toml) nor a data set (no dataset_info.json), and holds no runs.",
            hint=f"gan-audio prepare {path} -o DATA makes a data set of a folder of recordings",
        )
    if path.suffix == ".keras" or str(path) in bundled_models():
        return _model(path)
    if not path.exists():
        message, hint = nothing_named(path, "a run folder, a data set, a .keras model, an audio file")
        raise UsageError(message, hint=hint if hint.startswith("did you") else None)
    if is_audio_name(path):
        return _audio(path)
    raise UsageError(f"{path} is no file that gan-audio knows; expected a .keras model or an audio file.")


def _run(path: Path) -> dict[str, Any]:
    run = RunFolder.load(path)
    recipe, info, manifest = run.recipe, run.info, run.manifest
    metrics: dict[str, Any] = {}
    for line in run.read_metrics():
        metrics |= line
    metrics.pop("step", None)
    return {
        "kind": "run",
        "recipe": recipe.name,
        "family": recipe.family,
        "state": manifest.get("state"),
        "seed": recipe.seed,
        "steps": f"{manifest.get('step', 0)} of {recipe.training.steps or 'no limit'}",
        "training_seconds": manifest.get("seconds"),
        "started": manifest.get("started"),
        "finished": manifest.get("finished"),
        "sound": f"{recipe.data.clip_samples} samples at {recipe.data.sample_rate} Hz, {recipe.data.channels} channel(s)",
        "imported": _imported(manifest.get("imported")),
        "data_set": [f"{found['name']} ({found['fingerprint'][:16]}) from step {found['from_step']} on" for found in run.data_sets()],
        "fine_tuned_from": _parent(manifest.get("parent")),
        "changed": [
            f"from step {entry['step']} on: " + ", ".join(f"{key} {old!r} -> {new!r}" for key, (old, new) in entry["changed"].items())
            for entry in manifest.get("changes", [])
        ],
        "labels": info.labels,
        "consent": info.consent,
        "parameters": manifest.get("parameters"),
        "models": sorted(p.name for p in run.model_dir.glob("*.keras")),
        "best": _best(run),
        "last_figures": metrics,
        "made_with": manifest.get("versions"),
    }


def _parent(facts: dict[str, Any] | None) -> str | None:
    return f"{facts['name']} ({facts['recipe']}) at step {facts['step']}" if facts else None


def _imported(facts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Where a run comes from that `import` made."""
    if not facts:
        return None
    proof = facts["proof"]
    compared = f"{proof['runner']}: {proof['difference']:.2g} of {proof['scale']:.2g}" if proof["run"] else f"not run: {proof['why']}"
    shown = {"program": facts["program"], **{f"SHA-256 of {name}": digest for name, digest in facts["sources"].items()}}
    return shown | {"licence": facts["licence"], "not in the source": facts["fresh"], "compared with the source's graph": compared}


def _data_set(path: Path) -> dict[str, Any]:
    info = read_dataset_info(path)
    odd = [name for source in info.sources if not (name := str(source.get("path", ""))).isprintable()]
    if odd:
        console.warn(f"{len(odd)} recordings have names that are not UTF-8 or hold control characters, shown with escapes: {odd[0]!a}")
    return {
        "kind": "data set",
        "name": info.name,
        "sound": f"{info.clip_samples or 'any number of'} samples at {info.sample_rate} Hz, {info.channels} channel(s)",
        "splits": {name: f"{split.clips} clips, {split.seconds / 60:.1f} minutes" for name, split in info.splits.items()},
        "labels": {label: sum(split.label_counts.get(label, 0) for split in info.splits.values()) for label in info.labels},
        "split_by": info.split_by,
        "consent": info.consent,
        "sources": len(info.sources),
        "skipped": len(info.skipped),
        "statistics": sorted(info.statistics),
        "fingerprint": info.fingerprint,
    }


def _model(path: Path) -> dict[str, Any]:
    found = find_model(path)
    card = found.file.with_suffix(".md")
    return {
        "kind": "model",
        "class": found.class_name,
        **{key: found.config.get(key) for key in _CONFIG_KEYS},
        "sample_rate": found.sample_rate,
        "encoder": True if found.config.get("encoder") else None,
        "provenance": found.provenance,
        "keras": found.keras_version,
        "saved": found.saved,
        "file": found.file,
        "bytes": found.file.stat().st_size,
        "sha256": found.sha256,
        **({"card": card.read_text(encoding="utf-8")} if found.file in bundled_models().values() and card.is_file() else {}),
    }


def _audio(path: Path) -> dict[str, Any]:
    audio = probe(path)
    try:
        mark = read_tag(path)
    except GanAudioError:
        mark = None
    mark = mark or _sidecar(path)
    return {
        "kind": "audio",
        "format": f"{audio.container} {audio.subtype}",
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "frames": audio.frames,
        "seconds": round(audio.frames / audio.sample_rate, 6),
        "synthetic": bool(mark and mark.get("synthetic")),
        "consent": (mark or {}).get("consent"),
        "mark": mark,
    }


def _voice(path: Path, other: Path) -> dict[str, Any]:
    """Compare the voices of two recordings, beside what is usual."""
    from ..models.speaker_encoder import SAME_SPEAKER, STRANGERS, compared

    cosine = compared(path, other)
    return {
        "cosine": round(cosine, 3),
        "with": str(other),
        "same speaker": "{} to {}".format(*SAME_SPEAKER),
        "two speakers": "{} to {}".format(*STRANGERS),
        "reading": "like one speaker" if cosine > STRANGERS[1] else "like two speakers" if cosine < SAME_SPEAKER[0] else "undecided",
    }


def _phones(path: Path, model: str) -> list[dict[str, Any]]:
    """The phones of a recording with their seconds, as JSON has them; this starts TensorFlow."""
    found = find_model(model, RECOGNISERS, "recognise phones")
    console.start_tensorflow()
    from ..inference.recognise import recognise_phones

    return [{"phone": phone, "start": round(start, 3), "end": round(end, 3)} for phone, start, end in recognise_phones(found, path)]


def _sidecar(path: Path) -> dict[str, Any] | None:
    """The provenance tag beside a file whose container has no field for it."""
    try:
        mark = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return mark if isinstance(mark, dict) and "synthetic" in mark else None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
