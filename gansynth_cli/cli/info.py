"""`gan-audio info`: says what a run, a data set, a model or an audio file is, without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.audio.audio_file import is_audio_name, probe, read_mark
from ..data.dataset_info import read_dataset_info
from ..errors import GanAudioError, RunError, UsageError
from ..run_folder import RunFolder
from . import console


def command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run folder, a data set, a .keras model or an audio file.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what a run, a data set, a model or an audio file is; for audio, whether it is marked as synthetic."""
    console.configure(json_output=json_output)
    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a run folder, a data set, a .keras model or an audio file.")
    facts = _facts(path)
    if json_output:
        console.result(facts)
        return
    rows = [[key.replace("_", " "), _text(value)] for key, value in facts.items() if value not in (None, "", [], {})]
    console.table("", ["what", str(path)], rows, to_stdout=True)


def _facts(path: Path) -> dict[str, Any]:
    if path.is_dir():
        if (path / "recipe.toml").is_file():
            return _run(path)
        if (path / "dataset_info.json").is_file():
            return _data_set(path)
        raise UsageError(
            f"{path} is neither a run folder (no recipe.toml) nor a data set (no dataset_info.json).",
            hint=f"gan-audio prepare {path} -o DATA makes a data set of a folder of recordings",
        )
    if path.suffix == ".keras":
        return _model(path)
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
    best = manifest.get("best")
    return {
        "kind": "run",
        "recipe": recipe.name,
        "family": recipe.family,
        "state": manifest.get("state"),
        "steps": f"{manifest.get('step', 0)} of {recipe.training.steps or 'no limit'}",
        "training_seconds": manifest.get("seconds"),
        "started": manifest.get("started"),
        "finished": manifest.get("finished"),
        "sound": f"{recipe.data.clip_samples} samples at {recipe.data.sample_rate} Hz, {recipe.data.channels} channel(s)",
        "data_set": f"{info.name} ({info.fingerprint[:16]})",
        "labels": info.labels,
        "consent": info.consent,
        "parameters": manifest.get("parameters"),
        "models": sorted(p.name for p in run.model_dir.glob("*.keras")),
        "best": f"{best[1]:.4g} at step {best[0]}" if best else None,
        "last_figures": metrics,
        "made_with": manifest.get("versions"),
    }


def _data_set(path: Path) -> dict[str, Any]:
    info = read_dataset_info(path)
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
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise RunError(f"{path} is not a Keras model file: {error}.", hint="gan-audio info RUN/model/generator.keras") from error
    inner = config.get("config", {})
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "kind": "model",
        "class": config.get("class_name"),
        "sample_rate": inner.get("sample_rate"),
        "labels": inner.get("labels"),
        "pitches": inner.get("pitches"),
        "instruments": inner.get("instruments"),
        "velocities": inner.get("velocities"),
        "encoder": True if inner.get("encoder") else None,
        "domains": inner.get("domains"),
        "features": inner.get("features"),
        "vocoder": inner.get("vocoder"),
        "consent": inner.get("consent"),
        "latent": inner.get("latent"),
        "provenance": inner.get("provenance"),
        "keras": metadata.get("keras_version"),
        "saved": metadata.get("date_saved"),
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def _audio(path: Path) -> dict[str, Any]:
    audio = probe(path)
    try:
        mark = read_mark(path)
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


def _sidecar(path: Path) -> dict[str, Any] | None:
    """The mark that lies beside a file whose container has no room for one."""
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
