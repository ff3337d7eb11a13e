"""The model card and software versions that a run records: the provenance of a model, in a form that travels with it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import __version__
from ..run_folder import RunFolder

# Verb that uses a model -> the Hub's task; it has none for sounds that are made of nothing.
_TASKS = {"enhance": "audio-to-audio", "vocode": "audio-to-audio", "convert": "audio-to-audio", "say": "text-to-speech"}
_LICENCES = frozenset(("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "gpl-3.0", "mpl-2.0"))


def versions() -> dict[str, Any]:
    """Return the software versions of a run, and the git revision of gan-audio if it runs from a checkout."""
    return {
        "versions": {
            "gan-audio": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "git_revision": _git_revision(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def model_card(run: RunFolder, parameters: Mapping[str, int], metrics: Mapping[str, float], best: tuple[int, float] | None) -> str:
    """Write the README.md of a run folder in Markdown, with the front matter of model hubs."""
    recipe, info, manifest = run.recipe, run.info, run.manifest
    data = recipe.data
    train = info.splits.get("train")
    amount = f"{train.clips} clips, {train.seconds / 60:.1f} minutes" if train else "an unknown number of clips"
    labels = ", ".join(info.labels) or "none"
    folder = run.path.name
    shown = {k: v for k, v in sorted(metrics.items()) if not k.startswith(("learning_rate/", "loss_scale/"))}
    rows = [f"| {name} | {value:.4g} |" for name, value in shown.items()]
    lines = [
        *_front_matter(run, folder, "other", {name: value for name, value in shown.items() if name.startswith("preview/")}),
        f"# {folder}",
        "",
        f"A {recipe.family} model (recipe `{recipe.name or 'own'}`: {recipe.title or 'no title'}), trained with gan-audio {__version__}.",
        "",
        "| | |",
        "|---|---|",
        f"| sound | {data.clip_samples / data.sample_rate:.2f} s at {data.sample_rate} Hz, {data.channels} channel(s) |",
        f"| data set | {info.name}: {amount} (fingerprint `{info.fingerprint[:16]}`) |",
        *(
            f"| data set from step {later['from_step']} on | {later['name']} (fingerprint `{later['fingerprint'][:16]}`) |"
            for later in run.data_sets()[1:]
        ),
        *([f"| fine-tuned from | {_parent(manifest['parent'])} |"] if "parent" in manifest else []),
        *(f"| changed from step {change['step']} on | {_changed(change['changed'])} |" for change in manifest.get("changes", [])),
        f"| labels | {labels} |",
        f"| steps | {manifest.get('step', 0)}, batch {data.batch_size}, {float(manifest.get('seconds', 0)) / 60:.1f} minutes |",
        f"| parameters | {', '.join(f'{name} {count:,}' for name, count in parameters.items())} |",
        f"| seed | {recipe.seed} |",
        *([f"| consent | {' '.join(info.consent.split()).replace('|', '/')} |"] if info.consent else []),
        *([f"| best `{recipe.training.best_metric}` | {best[1]:.4g} at step {best[0]} (`model/generator-best.keras`) |"] if best else []),
        "",
        "## Use",
        "",
        "```",
        f"gan-audio {recipe.use.format(run=folder)}",
        "```",
        "",
        "`model/generator.keras` is self-contained; `recipe.toml` and `manifest.json` record how it was made. Clips that it generates",
        "carry a tag that declares them synthetic.",
        "",
        "## Limits",
        "",
        f"It imitates the recordings it was trained on, with their biases and their licence: see the data set {info.name}. The figures",
        "below compare steps of this one run; `gan-audio evaluate` gives figures that compare models.",
        "",
        "## Last figures",
        "",
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


def imported_card(run: RunFolder, name: str, parameters: Mapping[str, int]) -> str:
    """Write the README.md of an imported run: first of all, whose weights they are."""
    recipe, facts = run.recipe, run.manifest["imported"]
    proof = facts["proof"]
    compared = (
        f"{proof['runner']} ran the source's own graph: outputs differ by {proof['difference']:.2g} at most, peak {proof['scale']:.2g}"
        if proof["run"]
        else f"not run: {proof['why']}"
    )
    lines = [
        *_front_matter(run, name, facts["licence"], {}),
        f"# {name}",
        "",
        f"A published {recipe.family} model, imported with gan-audio {__version__}. It was trained by others.",
        "",
        "| | |",
        "|---|---|",
        f"| program | {facts['program']} |",
        *(f"| source | `{file}`, SHA-256 `{digest}` |" for file, digest in facts["sources"].items()),
        f"| licence | {' '.join(facts['licence'].split()).replace('|', '/')} |",
        f"| sound | {recipe.data.sample_rate} Hz, {recipe.data.channels} channel(s) |",
        f"| steps | {run.manifest['step'] or 'not stated'} |",
        f"| parameters | {', '.join(f'{network} {count:,}' for network, count in parameters.items())} |",
        f"| compared with the source | {compared} |",
        "",
        *(f"- {kind}: {line}" for kind in ("read", "assumed", "left") for line in facts[kind]),
        *(f"- not in the source, so that fine-tuning begins with a new one: {network}" for network in facts["fresh"]),
        "",
        "## Use",
        "",
        "```",
        f"gan-audio {recipe.use.format(run=name)}",
        "```",
        "",
        "## Limits",
        "",
        "The licences of its program, of its weights and of the recordings that it was trained on may differ; what is stated above is what",
        "whoever imported it wrote down.",
        "",
    ]
    return "\n".join(lines)


def _front_matter(run: RunFolder, name: str, licence: str, figures: Mapping[str, float]) -> list[str]:
    """Write the metadata that the Hugging Face Hub reads at the head of a model card. JSON strings are YAML strings.

    A licence that is none of the Hub's identifiers is `other`, with its own words as the name.
    """
    quoted = lambda text: json.dumps(" ".join(str(text).split()), ensure_ascii=False)
    known = licence.lower() in _LICENCES
    task = _TASKS.get(run.recipe.use.split()[0])
    lines = ["---", "library_name: keras", f"license: {licence.lower() if known else 'other'}"]
    lines += [] if known else [f"license_name: {quoted('not stated' if licence == 'other' else licence[:80])}"]
    lines += [f"pipeline_tag: {task}"] if task else []
    lines += [f"tags: [{', '.join(map(quoted, ('gan-audio', 'audio', 'gan', run.recipe.family)))}]"]
    if figures:
        lines += ["model-index:", f"- name: {quoted(name)}", "  results:", f"  - task: {{type: {task or 'audio-generation'}}}"]
        lines += [f"    dataset: {{name: {quoted(run.info.name)}, type: {quoted(run.info.name)}}}", "    metrics:"]
        lines += [f"    - {{type: {quoted(figure)}, name: {quoted(figure)}, value: {float(value)!r}}}" for figure, value in figures.items()]
    return [*lines, "---"]


def _parent(facts: Mapping[str, Any]) -> str:
    line = f"{facts['name']} (recipe `{facts['recipe']}`) at step {facts['step']}"
    if "imported" in facts:
        line += f", published with {facts['imported']['program']}: {' '.join(str(facts['imported']['licence']).split()).replace('|', '/')}"
    return line + (f"; that from {_parent(facts['parent'])}" if "parent" in facts else "")


def _changed(keys: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"`{key}` {old!r} to {new!r}" for key, (old, new) in keys.items())


def _git_revision() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
