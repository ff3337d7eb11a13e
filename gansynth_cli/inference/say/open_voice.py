"""The one place that opens a published voice from a path, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from ...models.model_file import SYNTHESISERS, bundled_model, bundled_models, find_model
from .kokoro import KokoroVoice
from .onnx_graph import VoiceError, input_names, read_graph
from .piper import PiperVoice
from .voice import Voice

BUNDLED = "voice"  # name of the model that speaks where none is given


def open_voice(path: str | Path | None, *, threads: int = 1, styles: str | Path | None = None, vocoder: str | None = None) -> Voice:
    """Open a voice, whatever its kind: found by the inputs of the graph, not by names.

    Args:
        path: An `.onnx` file, the `.json` beside it, a folder that holds one voice, or a run or model of the family tts. None: the bundled
            voice.
        threads: Threads that synthesis may take.
        vocoder: For a model of the family tts: run, file or name of the vocoder; None: the bundled one.
        styles: Kokoro's styles: a folder of `.bin` or `.npy` files, or an `.npz`; None: looked for beside the model.

    Raises:
        VoiceError: There is no voice at that path, several, one of an unknown kind, or its parts do not fit together.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    if path is None or is_student(path):
        from .student import StudentVoice

        return StudentVoice(find_model(bundled_model(BUNDLED) if path is None else path, SYNTHESISERS, "speak text"), vocoder)
    file = model_file(Path(path))
    model = read_graph(file)
    try:
        inputs = input_names(model)
        if PiperVoice.accepts(inputs):
            return PiperVoice(file, model, threads=threads)
        if KokoroVoice.accepts(inputs):
            return KokoroVoice(file, model, threads=threads, styles=Path(styles) if styles is not None else None)
    except UnicodeDecodeError as error:  # names are decoded when they are read
        raise VoiceError(f"{file} is damaged: {error}.", hint="download it again and compare its SHA-256") from error
    raise VoiceError(
        f"{file} is an ONNX model, but no voice that is known here: its inputs are {', '.join(sorted(inputs)) or 'none'}; expected "
        "input, input_lengths, scales (Piper) or tokens, style, speed (Kokoro).",
        hint="gan-audio info FILE shows other models",
    )


def is_student(path: str | Path | None) -> bool:
    """Whether a path means a model that was trained here: a run folder, a `.keras` file, or the name of a bundled model; None is one."""
    if path is None:
        return True
    path = Path(path)
    if path.exists():
        return path.suffix == ".keras" or (path.is_dir() and (path / "recipe.toml").is_file())
    return str(path) in bundled_models()


def model_file(path: Path) -> Path:
    """Return the one `.onnx` file that a path means.

    Raises:
        VoiceError: There is none, or several.
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix == ".onnx" and file.is_file())
        if len(found) == 1:
            return found[0]
        if not found:
            raise VoiceError(f"{path} holds no .onnx file.", hint="give the file of a Piper or Kokoro voice, or a folder with one")
        raise VoiceError(f"{path} holds {len(found)} voices: {', '.join(file.name for file in found[:8])}.", hint="give the file of one")
    if path.suffix == ".json":
        for candidate in (path.with_suffix(""), path.with_suffix(".onnx")):
            if candidate.suffix == ".onnx" and candidate.is_file():
                return candidate
        raise VoiceError(f"there is no .onnx file beside {path}.", hint="download both files of the voice")
    if not path.is_file():
        raise VoiceError(f"{path} does not exist; expected the .onnx file of a voice or its folder.")
    return path
