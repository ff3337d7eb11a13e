"""`gan-audio export`: write a model as SavedModel, ONNX or LiteRT, or as a page for browsers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..errors import EXIT_OK, GanAudioError, UsageError
from . import console

FORMATS = ("onnx", "savedmodel", "litert", "web")  # `inference.export.formats` imports TensorFlow; a test compares them


def command(
    model: Annotated[str, typer.Argument(metavar="RUN|NAME", help="A run folder, a .keras file or the name of a bundled model.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="|".join(FORMATS), help="Format; repeatable.", show_default="onnx"),
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="PLACE", help="With web: folder or URL of onnxruntime-web's files, as the page sees it.")
    ] = "ort/",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that an export wrote.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the description as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")] = False,
) -> int:
    """Write a model as files for other runtimes.

    Networks have real inputs and outputs and explicit states; a denoiser takes one frame a call. Each file is loaded again and compared
    with the model before the command ends. model.json describes them (rates, windows, latency, states, labels, licence, SHA-256);
    example.py runs the ONNX files with numpy and onnxruntime alone.
    """
    console.configure(quiet=quiet, json_output=json_output)
    chosen = list(dict.fromkeys(formats or ["onnx"]))
    for name in chosen:
        if name not in FORMATS:
            raise UsageError(f"--format is {name!r}; expected one of {', '.join(FORMATS)}.")
    from ..models.model_file import find_model

    found = find_model(model, purpose="be exported")
    _check_output(output, overwrite)
    console.start_tensorflow()
    from ..inference.export.export import export_model

    with _new_folder(output) as folder, console.waiting(f"Exporting {model} to {', '.join(chosen)}"):
        description = export_model(found, folder, chosen, console.say, runtime)
    trained = description["trained"]
    if trained and trained["of"] and trained["step"] < trained["of"]:
        console.warn(f"{model} is half-trained: step {trained['step']} of {trained['of']}.")
    lines = {"onnx": f"python {output / 'example.py'} ...", "web": f"python -m http.server -d {output}, then open the page it names"}
    for name in chosen:
        if name in lines and (name != "onnx" or (output / "example.py").exists()):
            console.say(f"Next: {lines[name]}")
    console.result(description)
    return EXIT_OK


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"-o is {output}, a file; expected a folder.", hint=f"-o {output.with_suffix('')}-export")
    if not any(output.iterdir()):
        return
    if not (output / "model.json").is_file():
        raise UsageError(f"{output} has other files, and no export in it.", hint="choose another folder with -o")
    if not overwrite:
        raise UsageError(f"{output} exists.", hint="--overwrite replaces it")


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `output` when everything in it is written."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise GanAudioError(f"{output} cannot be written: {error.strerror or error}.", hint="choose another folder with -o") from error
    try:
        yield folder
        if output.exists():
            shutil.rmtree(output)
        folder.chmod(0o755)
        folder.rename(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
