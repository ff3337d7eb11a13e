"""Export a model: write every network in every format, open it again, compare, and describe it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ... import __version__
from ...errors import GanAudioError
from ...files import json_text, sha256_of
from ...models.exported import ExportedNetwork, ExportPlan
from ...models.model_file import PRETRAINED, ModelFile, stated_licence
from .formats import FORMATS, ExportError, Run, Traced, check_installed, quiet
from .web_page import write_page

DESCRIPTION = "model.json"
EXAMPLE = "example.py"
WEB = "web"
CARD = "MODEL_CARD.md"
MAX_DIFFERENCE = 1e-3  # of the largest output; formats that round otherwise stay below 1e-4
# Many rounds of Griffin-Lim amplify rounding, in the model as in a file. There a file may differ as much as this many times the change of
# the model's own output when its inputs are changed by `_NUDGE`, and never by more than `_MOST` of the largest output.
_OWN_CHANGES, _NUDGE, _MOST = 3.0, 1e-6, 0.1
STREAM_CALLS, CALLS = 20, 2
_PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
_EXAMPLES = Path(__file__).parent / "examples"


def export_model(
    found: ModelFile, folder: Path, formats: Sequence[str], say: Callable[[str], None] = lambda text: None, runtime: str = "ort/"
) -> dict[str, Any]:
    """Write a model into an empty folder, and return the content of its `model.json`.

    Args:
        found: The model.
        folder: Where to; must exist.
        formats: Of `FORMATS`, and "web": ONNX with the page that runs it.
        say: Gets a line for each file.
        runtime: Place of onnxruntime-web, for the page.

    Raises:
        ExportError: The class has no network to export, a format cannot hold it, or its file gives other numbers than the model.
        MissingExtraError: A format's packages are not installed.
        RunError: The model cannot be loaded.
    """
    written = list(dict.fromkeys("onnx" if name == WEB else name for name in formats))
    for name in written:
        check_installed(name)
    plan = plan_of(found)
    if WEB in formats and not plan.web:
        raise ExportError(
            f"{found.file} cannot become a page: the page runs denoisers that take one frame a call; this is a {plan.facts['kind']}.",
            hint="--format onnx",
        )
    networks = {network.name: _write(network, folder, written, say) for network in plan.networks}
    _copy_card(found, folder)
    description = _describe(found, plan, networks)
    (folder / DESCRIPTION).write_text(json_text(description), encoding="utf-8")
    if WEB in formats:
        write_page(folder, runtime)
    if "onnx" in written and plan.example:
        shutil.copyfile(_EXAMPLES / f"{plan.example}.py", folder / EXAMPLE)
    return description


def plan_of(found: ModelFile) -> ExportPlan:
    """Load a model and return what of it is exported.

    Raises:
        ExportError: Its class does not say.
        RunError: It cannot be loaded.
    """
    model = found.load()
    if not hasattr(model, "export_plan"):
        raise ExportError(
            f"{found.file} cannot be exported: {found.class_name} has no network for other runtimes (export_plan).",
            hint="the .keras file itself can be loaded by Keras 3",
        )
    return model.export_plan()


def _write(network: ExportedNetwork, folder: Path, formats: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    with quiet():
        traced = Traced(network)
    if python := sorted(_PYTHON & traced.operations()):
        raise ExportError(
            f"No format can hold {network.name}: a part of it is a Python program ({python[0]}), as in a WaveNet.",
            hint="use it with gan-audio or from Python: import gansynth_cli as gan_audio",
        )
    reference = _reference(network)
    expected = [outputs for _, outputs in _calls(network, reference)]
    files = {}
    for name in formats:
        format = FORMATS[name]
        path = folder / f"{network.name}{format.suffix or '_' + name}"
        try:
            with quiet():
                format.write(traced, path)
                run = format.open(path, network)
                made = [outputs for _, outputs in _calls(network, run)]
        except GanAudioError:
            raise
        except Exception as error:  # converters and runtimes raise classes of their own
            _remove(path)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise ExportError(
                f"{name} cannot hold {network.name}: {reason}", hint="choose another --format: " + ", ".join(FORMATS)
            ) from error
        largest, peak = _difference(expected, made)
        allowed, own = MAX_DIFFERENCE * peak, 0.0
        if allowed < largest < _MOST * peak:
            own = _difference(expected, [outputs for _, outputs in _calls(network, _nudged(reference))])[0]
            allowed = max(allowed, _OWN_CHANGES * own)
        if not largest <= allowed:
            _remove(path)
            raise ExportError(
                f"{path.name} gives other numbers than the model: they differ by {largest:.2g}, the largest is {peak:.2g}.",
                hint="the file was deleted; choose another --format",
            )
        size = sum(part.stat().st_size for part in path.rglob("*") if part.is_file()) if path.is_dir() else path.stat().st_size
        say(f"{path.name}: {size / 1e6:.1f} MB, run on {len(made)} inputs, largest difference {largest:.1e} of {peak:.2g}")
        if own:
            say(f"{path.name}: the model itself changes by {own:.1e} when its inputs change by {_NUDGE:g} of their values")
        files[name] = {
            "file": path.name,
            "bytes": size,
            "sha256": None if path.is_dir() else sha256_of(path),
            "compared": {
                "calls": len(made),
                "largest_difference": float(largest),
                "largest_output": float(peak),
                **({"own_change": float(own)} if own else {}),
            },
        }
    return {"files": files, **_ports(network)}


def _ports(network: ExportedNetwork) -> dict[str, Any]:
    described = [
        [{"name": port.name, "shape": list(port.shape), "type": port.dtype, "meaning": port.meaning} for port in ports]
        for ports in (network.inputs, network.outputs)
    ]
    after = network.all_outputs[len(network.outputs) :]
    states = [
        {"input": port.name, "output": next_.name, "shape": list(port.shape), "first": 0.0, "meaning": port.meaning}
        for port, next_ in zip(network.states, after, strict=True)
    ]
    return {"inputs": described[0], "outputs": described[1], "states": states}


def _reference(network: ExportedNetwork) -> Run:
    """Return the network as Keras runs it, with fast transforms."""
    names = [port.name for port in network.all_outputs]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        made = network.function(*(tf.constant(inputs[port.name]) for port in network.all_inputs))
        return {name: np.asarray(value) for name, value in zip(names, made, strict=True)}

    return run


def _nudged(run: Run) -> Run:
    """Return a network whose inputs, where they are no whole numbers, are larger by `_NUDGE` of their values."""

    def nudge(value: np.ndarray) -> np.ndarray:
        return value * value.dtype.type(1.0 + _NUDGE) if np.issubdtype(value.dtype, np.floating) else value

    return lambda inputs: run({name: nudge(value) for name, value in inputs.items()})


def _calls(network: ExportedNetwork, run: Run) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Run a network on its example inputs, a stream with its states, and return inputs and outputs."""
    states, done = network.first_states(), []
    for call in range(STREAM_CALLS if network.states else CALLS):
        inputs = network.example(np.random.default_rng([17, call]), call)
        outputs = run({**inputs, **states})
        done.append((inputs, {port.name: outputs[port.name] for port in network.outputs}))
        after = network.all_outputs[len(network.outputs) :]
        states = {port.name: outputs[next_.name] for port, next_ in zip(network.states, after, strict=True)}
    return done


def _difference(expected: Sequence[Mapping[str, np.ndarray]], made: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float]:
    """Return the largest difference and the largest output. Not a number, or other shapes, are an infinite difference."""
    largest, peak = 0.0, 0.0
    for wanted, given in zip(expected, made, strict=True):
        for name, value in wanted.items():
            if value.shape != given[name].shape or not np.isfinite(given[name]).all():
                return float("inf"), float(np.max(np.abs(value)))
            largest = max(largest, float(np.max(np.abs(value.astype(np.float64) - given[name]))))
            peak = max(peak, float(np.max(np.abs(value))))
    return largest, peak


def _describe(found: ModelFile, plan: ExportPlan, networks: Mapping[str, Any]) -> dict[str, Any]:
    run = found.run
    trained = None
    if run is not None and "step" in run.manifest:
        trained = {"step": run.manifest["step"], "of": run.recipe.training.steps or None}
    return {
        "format": 1,
        "model": found.file.stem if run is None else run.path.resolve().name,
        **plan.facts,
        "networks": networks,
        "trained": trained,
        "licence": _licence(found),
        "source": {"file": found.file.name, "class": found.class_name, "sha256": found.sha256},
        "provenance": found.provenance,
        "software": {"gan-audio": __version__, "tensorflow": tf.__version__},
    }


def _licence(found: ModelFile) -> str:
    if found.run is None:
        if _card_of(found) is None:
            return "not stated in the file"
        stated = stated_licence(found.file)
        return f"{stated}; see {CARD}" if stated else f"see {CARD}"
    imported = found.run.manifest.get("imported")
    if imported:
        return " ".join(str(imported["licence"]).split())
    return f"not stated by the run; see the licence of its training data, {found.run.info.name}"


def _card_of(found: ModelFile) -> Path | None:
    card = found.run.card_file if found.run is not None else found.file.with_suffix(".md")
    return card if card.is_file() else None


def _copy_card(found: ModelFile, folder: Path) -> None:
    """Copy the model card, and the licences that the card of a bundled model names: whoever passes on the weights passes them on."""
    card = _card_of(found)
    if card is None:
        return
    text = card.read_text(encoding="utf-8")
    (folder / CARD).write_text(text, encoding="utf-8")
    if card.parent == PRETRAINED:
        for name in sorted(set(re.findall(r"[\w-]+-LICENSE-[\w-]+\.txt", text))):
            shutil.copyfile(PRETRAINED / name, folder / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
