"""A published checkpoint becomes a run folder as `train` leaves it: recognised, built, filled, compared with its source, written."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from .. import families
from ..data.dataset_info import DatasetInfo
from ..data.foreign import ForeignFileError
from ..errors import RunError, UsageError
from ..families.published import Answers, Layout, Placement, Plan, Proof, Source
from ..files import sha256_of
from ..recipe import load_recipe, recipe_to_toml
from ..recipe_schema import Recipe
from ..run_folder import RunFolder, now

if TYPE_CHECKING:
    from .learner import Learner

NOT_STATED = "not stated"
WARM_UP_STEPS = 1000  # of a new discriminator before the generator moves; the rates of Adam have settled by then


@dataclass(frozen=True)
class ImportReport:
    """The outcome of an import. Lines as in `Plan`."""

    run: Path
    family: str
    program: str
    recipe: Recipe
    plan: Plan
    sources: dict[str, str]  # name -> SHA-256
    licence: str
    parameters: dict[str, int]
    proof: Proof | None


# Recognising.


def published_layouts(family: str = "") -> list[Layout]:
    """The layouts of all families that have a `published.py`, or those of one.

    Raises:
        UsageError: That family reads no published checkpoints.
    """
    found: list[Layout] = []
    for package in pkgutil.iter_modules(families.__path__):
        if package.ispkg and any(module.name == "published" for module in pkgutil.iter_modules([f"{families.__path__[0]}/{package.name}"])):
            found += importlib.import_module(f"{families.__name__}.{package.name}.published").PUBLISHED
    chosen = [layout for layout in found if family in ("", layout.family)]
    if not chosen:
        known = ", ".join(sorted({layout.family for layout in found}))
        raise UsageError(f"--as is {family!r}; expected a family that has published checkpoints: {known}.")
    return chosen


def recognise(path: Path, layouts: Sequence[Layout], config: Path | None = None) -> tuple[Source, Layout]:
    """Find the program that wrote a source, and in a folder the file.

    Raises:
        ForeignFileError: It cannot be opened, or no program is known that writes such names.
        UsageError: Several families could take it.
    """
    if not path.exists() and not list(path.parent.glob(f"{path.name}.*")):  # a TensorFlow checkpoint may be given by its prefix
        raise ForeignFileError(path, "does not exist.", "give a file, a folder with a checkpoint, or a checkpoint's prefix")
    problems: list[ForeignFileError] = []
    for source in _sources(path, layouts, config):
        matches = []
        for layout in layouts:
            try:
                if layout.recognises(source):
                    matches.append(layout)
            except ForeignFileError as error:
                problems.append(error)
        if len({layout.family for layout in matches}) > 1:
            offered = ", ".join(f"{layout.family} ({layout.title})" for layout in matches)
            raise UsageError(f"{source.path} could be of several programs: {offered}.", hint=f"--as {matches[0].family}")
        if matches:
            return source, matches[0]
    raise _unknown(path, layouts, problems)


def _sources(path: Path, layouts: Sequence[Layout], config: Path | None) -> list[Source]:
    """The path itself, and in a folder the files whose names say that they hold weights."""
    found = [Source(path, config)]
    if path.is_dir():
        patterns = dict.fromkeys(pattern for layout in layouts for pattern in layout.files)
        inside = (found[0].beside(pattern) for pattern in patterns)
        found = [Source(file, config) for file in dict.fromkeys(file for file in inside if file)] + found
    return found


def _unknown(path: Path, layouts: Sequence[Layout], problems: Sequence[ForeignFileError]) -> ForeignFileError:
    if problems:
        return problems[0]
    shapes = {} if path.is_dir() else Source(path).arrays.shapes
    shown = ", ".join(f"{name} {list(shape)}" for name, shape in list(shapes.items())[:3])
    holds = f"holds {len(shapes)} arrays ({shown}, ...), which" if shapes else "holds nothing that"
    known = "; ".join(sorted({layout.title for layout in layouts}))
    return ForeignFileError(
        path, f"{holds} no known program writes. Known are {known}.", "docs/published-models.md lists what can be imported"
    )


def _of_tensorflow(path: Path) -> bool:
    """Whether names say that it is a checkpoint or graph of TensorFlow, or a folder of such."""
    if path.is_dir():
        return any(any(path.glob(pattern)) for pattern in ("*.index", "*.meta", "checkpoint", "stage_*"))
    return path.suffix in (".index", ".meta") or ".data-" in path.name or path.with_name(f"{path.name}.index").is_file()


# Importing.


def import_run(
    path: Path,
    run: Path,
    *,
    family: str = "",
    config: Path | None = None,
    answers: Answers | None = None,
    settings: Sequence[str] = (),
    licence: str = "",
    overwrite: bool = False,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
    before_building: Callable[[], None] = lambda: None,
) -> ImportReport:
    """Make a run folder of a published checkpoint.

    Args:
        path: File, prefix or folder.
        run: The run folder to make.
        family: Take it as a checkpoint of this family; "" recognises it.
        config: Its configuration, where that does not lie beside it.
        answers: What the user said of it.
        settings: `--set` texts, which come after what the source says.
        licence: What the user says of its licence.
        overwrite: Replace a run that is there.
        command: The command line, for the manifest.
        say: Told of progress.
        before_building: Called when all has been read that can be read without TensorFlow.

    Raises:
        ForeignFileError: See `recognise` and `Layout.plan`; also where arrays are missing, left over, or not finite.
        RunError: The folder exists, cannot be written, or the model does not give what its source gives.
        UsageError: Something has to be asked of the user.
    """
    check_target(run, overwrite)
    if _of_tensorflow(Path(path)):
        before_building()  # the messages that its checkpoints are made of come with TensorFlow
    source, layout = recognise(Path(path), published_layouts(family), config)
    plan = layout.plan(source, answers or Answers())
    recipe = recipe_of(plan, settings)
    say(f"{source.path}: {layout.title}")

    before_building()
    from .model_card import imported_card, versions

    learner = _built(recipe, plan)
    placement = plan.assign(learner.family.networks, learner.averaged)
    _fill(learner, placement, plan)
    model = learner.family.inference_model({**learner.family.networks, **learner.averaged})
    plan, proof = _proved(plan, model)
    if proof and not proof.holds:
        raise RunError(
            f"{source.path}: the imported model differs from what the source's own graph gives by {proof.difference:.3g} "
            f"of {proof.scale:.3g} ({proof.runner}); nothing was written.",
            hint="check the configuration (--config), and that all files are of one checkpoint",
        )
    hashes = {file.name: sha256_of(file) for file in source.used}
    parameters = {name: count for name, count in learner.parameter_counts().items() if name not in plan.fresh}
    report = ImportReport(run, recipe.family, layout.title, recipe, plan, hashes, licence or NOT_STATED, parameters, proof)
    with _new_folder(run, overwrite) as folder:
        made = RunFolder(folder)
        made.recipe, made.info = recipe, learner.family.info
        _write(made, learner, placement, model, plan)
        made.manifest = _manifest(report, learner, command) | versions()
        made.write_manifest()
        made.write_card(imported_card(made, run.name, parameters))
        made.recipe_file.write_text(recipe_to_toml(recipe), encoding="utf-8")
    return report


def _proved(plan: Plan, model: Any) -> tuple[Plan, Proof | None]:
    """Run the proof; the plan says why there is none where its graph cannot be run."""
    proof = plan.proof(model) if plan.proof else None
    return (replace(plan, no_proof=proof), None) if isinstance(proof, str) else (plan, proof)


def recipe_of(plan: Plan, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of an imported run: the plan's, with the user's `--set` over it."""
    changes = dict(plan.changes)
    if "critic" in plan.fresh:  # fine-tuning begins with a new one, which would lead a trained generator astray at first
        changes.setdefault("adversarial.generator_start", WARM_UP_STEPS)
    texts = [f"{key}={tomli_w.dumps({'value': value}).partition('=')[2].strip()}" for key, value in changes.items()]
    recipe = load_recipe(plan.recipe, [*texts, *settings])
    if 0 < recipe.training.steps <= plan.step:  # its budget is spent: resumed, it would end at once
        recipe = replace(recipe, training=replace(recipe.training, steps=0))
    return recipe


def _built(recipe: Recipe, plan: Plan) -> Learner:
    import keras

    from ..families.registry import family_class
    from .learner import Learner
    from .strategy import Devices

    keras.utils.clear_session()
    data = recipe.data
    info = DatasetInfo(
        **{  # type: ignore[arg-type]
            "name": "imported",
            "sample_rate": data.sample_rate,
            "channels": data.channels,
            "clip_samples": data.clip_samples,
            "labels": [],
            "splits": {},
            **plan.facts,
        }
    )
    return Learner(recipe, lambda: family_class(recipe.family)(recipe, info, seed=recipe.seed), Devices(), recipe.training.steps or None)


def _fill(learner: Learner, placement: Placement, plan: Plan) -> None:
    """Assign everything, and check that every variable of the networks that the source holds got a value."""
    for name, network in learner.family.networks.items():
        missing = [] if name in plan.fresh else placement.missing(network)
        if missing:
            raise RuntimeError(f"the layout placed nothing in {len(missing)} variables of {name}: {', '.join(missing[:5])}")
    averaged = {
        id(v) for name, network in learner.averaged.items() if network is not learner.family.networks[name] for v in network.variables
    }
    for variable, array in placement.values:
        if id(variable) not in averaged:
            variable.assign(array)
    learner.copy_to_averaged()
    for variable, array in placement.values:
        if id(variable) in averaged:
            variable.assign(array)
    _fill_slots(learner, placement)


def _fill_slots(learner: Learner, placement: Placement) -> None:
    for phase in learner.phases:
        optimizer = learner.optimizers[phase.optimizer]
        updates = next((placement.updates[name] for name in phase.networks if name in placement.updates), 0)
        if updates:
            optimizer.iterations.assign(updates)
        for variable in learner.variables_of(phase.networks):
            for slot, array in placement.slots.get(id(variable), {}).items():
                _slot(optimizer, variable, slot).assign(array)


def _slot(optimizer: Any, variable: Any, slot: str) -> Any:
    """The optimiser's variable of a slot: Keras names it after the variable's path."""
    wanted = f"{variable.path}_{slot}".replace("/", "_")
    found = [own for own in optimizer.variables if own.path.endswith(wanted) and tuple(own.shape) == tuple(variable.shape)]
    if len(found) != 1:
        raise RuntimeError(f"{optimizer.name} has {len(found)} variables {wanted}")
    return found[0]


# Writing.


def check_target(run: Path, overwrite: bool) -> None:
    """Raises RunError if the folder holds a run and `overwrite` is not set, or holds something else than a run."""
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return
    if not (run / "recipe.toml").is_file():
        raise RunError(f"{run} holds other files and no recipe.toml: it is not a run folder.", hint="choose another folder with -o")
    if not overwrite:
        raise RunError(f"{run} holds a run already.", hint="add --overwrite, which deletes that run, or choose another folder with -o")


@contextmanager
def _new_folder(run: Path, overwrite: bool):
    """A temporary folder beside `run` that takes its name when the block ends well, and is deleted when it does not."""
    temporary = run.with_name(f".{run.name}.{os.getpid()}.partial")
    old = run.with_name(f".{run.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        check_target(run, overwrite)
        if run.exists():
            run.rename(old)
        temporary.rename(run)
    except OSError as error:
        raise RunError(
            f"{run} cannot be written: {error.strerror or error}.", hint="free some space or choose another folder with -o"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(made: RunFolder, learner: Learner, placement: Placement, model: Any, plan: Plan) -> None:
    from .checkpoint import Checkpoints

    slots = {phase.optimizer for phase in learner.phases if any(name in placement.updates for name in phase.networks)}
    arrays, deferred = {}, []
    for name, variable in learner.state().items():
        kind, owner = name.split("/")[:2]
        if placement.deferred(variable):
            deferred.append(name)
            continue
        if (kind == "optimizer" and owner not in slots) or (kind in ("network", "averaged") and owner in plan.fresh):
            continue
        arrays[name] = np.asarray(variable.numpy())
    facts: dict[str, Any] = {"seconds": 0.0, "best": None, "collapsed": 0, "metrics": {}, "fresh": list(plan.fresh), "deferred": deferred}
    Checkpoints(made.checkpoints_dir, learner.recipe.training.keep_checkpoints).save(plan.step, arrays, facts)
    if hasattr(model, "provenance"):
        model.provenance = {**model.provenance, "step": plan.step}
    made.model_dir.mkdir(parents=True)
    model.save(made.model_file("generator"))
    made.dataset_info_file.write_text(made.info.to_json(), encoding="utf-8")


def _manifest(report: ImportReport, learner: Learner, command: Sequence[str]) -> dict[str, Any]:
    recipe, plan, info, moment = report.recipe, report.plan, learner.family.info, now()
    return {
        "started": moment,
        "command": list(command),
        "starts": [],
        "finished": moment,
        "state": "imported",
        "step": plan.step,
        "seconds": 0.0,
        "best": None,
        "seed": recipe.seed,
        "family": recipe.family,
        "recipe": recipe.name,
        "data": {"name": info.name, "fingerprint": info.fingerprint, "labels": info.labels},
        "parameters": report.parameters,
        "imported": imported_facts(report),
    }


def imported_facts(report: ImportReport) -> dict[str, Any]:
    """Return the facts on the source that the manifest keeps and `--json` prints."""
    plan, proof = report.plan, report.proof
    return {
        "program": report.program,
        "sources": report.sources,
        "licence": report.licence,
        "fresh": list(plan.fresh),
        "read": list(plan.read),
        "assumed": list(plan.assumed),
        "left": list(plan.left),
        "learning_rates": dict(plan.learning_rates),
        "proof": _proof_facts(proof) if proof else {"run": False, "why": plan.no_proof},
    }


def _proof_facts(proof: Proof) -> Mapping[str, Any]:
    facts = {"run": True, "runner": proof.runner, "inputs": list(proof.inputs), "difference": proof.difference, "scale": proof.scale}
    return {**facts, "notes": list(proof.notes)} if proof.notes else facts
