"""`gan-audio models`: the bundled models, their cards, and averages of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.corpora.note_names import ranges
from ..errors import UsageError
from ..models import speaker_encoder
from ..models.model_file import PRETRAINED, USES, ModelFile, bundled_models, find_model, nothing_named, stated_licence
from . import console

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List and show the bundled models; average models.")
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(json_output: _JSON = False) -> None:
    """List the models that come with gan-audio. Their names are taken wherever a RUN is expected."""
    console.configure(json_output=json_output)
    found = {name: find_model(file) for name, file in bundled_models().items()}
    facts = [
        {
            "name": name,
            "does": USES[model.class_name][0],
            "sample_rate": model.sample_rate,
            "megabytes": round(model.file.stat().st_size / 1e6, 1),
            "licence": stated_licence(model.file),
            **_classes(model),
            "use": USES[model.class_name][1].format(path=name),
        }
        for name, model in found.items()
    ]
    encoder = PRETRAINED / f"{speaker_encoder.NAME}.npz"
    facts.append(
        {
            "name": speaker_encoder.NAME,
            "does": "compares voices",
            "sample_rate": speaker_encoder.RATE,
            "megabytes": round(encoder.stat().st_size / 1e6, 1),
            "licence": stated_licence(encoder),
            "use": "gan-audio info a.wav --against b.wav",
        }
    )
    if json_output:
        console.result({"models": facts})
        return
    rows = [[one["name"], one["does"], f"{one['sample_rate']} Hz", f"{one['megabytes']} MB", one["licence"]] for one in facts]
    console.table("", ["name", "does", "rate", "size", "licence"], rows, to_stdout=True)
    for name, model in found.items():
        if classes := _classes(model):
            console.say(f"{name}: {'; '.join(_classes_shown(*item) for item in classes.items())}")
    console.say("Cards, with data, licences and figures: gan-audio models show NAME")


@app.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a bundled model.")]) -> None:
    """Print the card of a bundled model: what it is, its data and licences, how to train it again, figures, limits."""
    console.configure()
    cards = {file.stem: file for file in sorted(PRETRAINED.glob("*.md"))}
    if name not in cards:
        _, hint = nothing_named(name)
        raise UsageError(
            f"There is no bundled model {name!r}; there are {', '.join(cards)}.",
            hint=hint if hint.startswith("did you") else "gan-audio info PATH shows other models",
        )
    console.data(cards[name].read_text(encoding="utf-8").rstrip())


@app.command("average")
def average(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL[:SHARE]...", help="Run folders, .keras files or bundled names, each with its share (default 1)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.keras", help="The file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Average the weights of models of one network, such as a fine-tuned one and the one it began with.

    Fine-tuned weights gain on what they were trained for and lose elsewhere; halfway back they often keep both.
    """
    console.configure()
    if output.suffix != ".keras":
        raise UsageError(f"-o is {output}; expected the name of a .keras file.", hint=f"-o {output.with_suffix('.keras')}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists.", hint="--overwrite replaces it")
    parts = [_part(text) for text in models]
    from ..models.average import average_models

    average_models(parts, output)
    model = find_model(output)
    console.say(f"{output}: the average of {len(parts)} models. Next: {USES[model.class_name][1].format(path=output)}")


def _classes(model: ModelFile) -> dict[str, list[str]]:
    """Return what a generator can be asked for: condition -> class names."""
    names = {"label": "labels", "pitch": "pitches", "instrument": "instruments", "velocity": "velocities"}
    return {condition: model.config[key] for condition, key in names.items() if model.config.get(key)}


def _classes_shown(condition: str, classes: list[str]) -> str:
    return f"pitches {ranges(map(int, classes))}" if condition == "pitch" else f"--{condition} {', '.join(classes)}"


def _part(text: str):
    """A model and its share: "RUN", "RUN:0.5", "denoiser:2"."""
    name, colon, share = text.rpartition(":")
    if not colon or Path(text).exists():
        return find_model(text), 1.0
    try:
        return find_model(name), float(share)
    except ValueError as error:
        raise UsageError(f"{text} has the share {share!r}; expected MODEL or MODEL:SHARE with a number.") from error
