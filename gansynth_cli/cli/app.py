"""`gan-audio`: find the command, run it, and turn its failures into messages and exit codes.

A command's module is imported only when that command is called, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import keyword
import os
import sys
from typing import Any

import typer

from .. import __version__
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, GanAudioError, UsageError
from ..processes import Interrupts
from ..stores.store import url_of
from . import console
from .help import CommandGroup, plain

# typer vendors click from version 0.20 on, so its usage errors are found through the class that typer exports.
_ClickException: Any = typer.BadParameter.__mro__[2]

# Command -> its line in --help. The module gansynth_cli.cli.<command> has a `command` (a function) or an `app` (a typer.Typer).
VERBS = {
    "prepare": "Turn folders of recordings into a data set for training.",
    "train": "Train a model from a recipe, or resume a run.",
    "generate": "Generate new clips with a trained model.",
    "latents": "Interpolate, vary and search the latents of a generator.",
    "play": "Play a MIDI file with a model of notes.",
    "enhance": "Clean recordings of speech; repair gaps, clipped peaks, hum.",
    "edit": "Splice, loop, extend and join audio.",
    "vocode": "Resynthesise recordings or vocode mel spectrograms.",
    "say": "Speak text: sentences, books, tables, subtitles.",
    "translate": "Translate the speech of recordings into another language.",
    "convert": "Convert recordings to another speaker's voice.",
    "import": "Make a run of a published checkpoint of another program.",
    "evaluate": "Measure generated clips and notes, enhanced recordings, vocoders or converted voices.",
    "export": "Write a model as ONNX, LiteRT or SavedModel, or as a page for browsers.",
    "report": "Write a page to listen to and compare runs, clips and pairs.",
    "compare": "Compare runs: settings that differ, figures, cost.",
    "models": "List and show the bundled models; average models.",
    "recipes": "List, show, explain, compare, check and copy recipes.",
    "info": "Show information about runs, data sets, models and audio files.",
    "completion": "Print a script that completes words in bash, zsh or fish.",
}

TAKING_URLS = ("prepare", "train", "enhance", "convert", "vocode", "translate")  # verbs that read and write object stores
WITHOUT_DEVICE = ("prepare", "report", "compare", "models", "recipes", "info", "completion")  # verbs that run no network

if os.environ.get("GAN_AUDIO_TF_LOG") is None:  # TensorFlow's start-up messages are not for users
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def module_of(verb: str) -> str:
    """Return the module of a command; a name that is a word of Python has an underscore behind it."""
    return f"gansynth_cli.cli.{verb}{'_' * keyword.iskeyword(verb)}"


class _LazyCommands(CommandGroup):
    def list_commands(self, ctx):
        return list(VERBS)

    def get_command(self, ctx, name):
        if name not in VERBS:
            return None
        module = importlib.import_module(module_of(name))
        if hasattr(module, "app"):
            command = plain(module.app)
        else:
            single = typer.Typer(add_completion=False)
            single.command(name=name)(module.command)
            command = plain(single)
        command.name = name
        if name in WITHOUT_DEVICE:
            return command
        from .options import with_device

        return with_device(command)

    def command_lines(self, ctx):
        return list(VERBS.items())


app = typer.Typer(
    cls=_LazyCommands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Train and use audio GANs. Start with: gan-audio recipes list",
)


def _version(wanted: bool) -> None:
    if wanted:
        console.data(f"gan-audio {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and exit."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 usage or recipe, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files that the terminal cannot show are escaped
    try:
        _check_urls(given)
        outcome = app(args=given, prog_name="gan-audio", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except _ClickException as failure:
        if type(failure).__name__ == "NoArgsIsHelpError":
            failure.show(file=sys.stderr)
            return failure.exit_code
        return _fail(_usage_error(failure, given))
    except GanAudioError as failure:
        return _fail(failure)
    except (KeyboardInterrupt, typer.Abort):
        console.warn("interrupted; finished work is on disk. To continue, run the same command again.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def _check_urls(arguments: list[str]) -> None:
    """Raise UsageError for a URL where only paths are taken: `s3://a/b` would be a local folder `s3:`."""
    verb = next(iter(arguments), "")
    if any(url_of(word).startswith("memory:") for word in arguments[1:]):
        console.warn("memory:// is a store within one process: what is written there is lost when this command ends.")
    if verb in TAKING_URLS or verb not in VERBS:
        return
    for word in arguments[1:]:
        if url := url_of(word):
            raise UsageError(f"{verb} takes no URL of an object store: {url}.", hint="copy the files, and give their path")


def _fail(failure: GanAudioError) -> int:
    console.error(failure)
    return failure.exit_code


def _usage_error(failure: Any, arguments: list[str]) -> GanAudioError:
    """The command-line library's complaint in our form; for a spelling of 0.1.0, the command line that replaces it."""
    from .moved import moved

    context = getattr(failure, "ctx", None)
    path = context.command_path if context is not None else " ".join(["gan-audio", *(word for word in arguments[:1] if word in VERBS)])
    return moved(arguments) or UsageError(failure.format_message().rstrip(".") + ".", hint=f"{path} --help lists the options")


def run() -> None:
    """Run the console script."""
    interrupts = Interrupts()
    interrupts.install()
    code = interrupts.exit_code(main())
    gc.freeze()  # or the collection at exit walks all objects of TensorFlow, a second of processor time
    sys.exit(code)


if __name__ == "__main__":
    run()
