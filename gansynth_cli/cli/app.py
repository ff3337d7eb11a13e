"""`gan-audio`: finds the verb, runs it, and turns its failures into messages and exit codes.

A verb's module is imported only when that verb is called, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, GanAudioError
from . import console

# typer vendors click from version 0.20 on, so its usage errors are found through the class that typer exports.
_ClickException: Any = typer.BadParameter.__mro__[2]

# Verb -> its line in --help. The module gansynth_cli.cli.<verb> has a `command` (a function) or an `app` (a typer.Typer).
VERBS = {
    "prepare": "Turn folders of recordings into a data set for training.",
    "train": "Train a model from a recipe, or resume a run.",
    "generate": "Write new clips with a trained model.",
    "enhance": "Clean recordings: less noise, everything else the same.",
    "vocode": "Resynthesise recordings or vocode mel spectrograms.",
    "convert": "Convert recordings to another speaker's voice.",
    "import": "Make a run of a published checkpoint of another program.",
    "evaluate": "Measure generated clips and notes, enhanced recordings, vocoders or converted voices.",
    "recipes": "List, show, compare, check and copy recipes.",
    "info": "Say what a run, a data set, a model or an audio file is.",
}

if os.environ.get("GAN_AUDIO_TF_LOG") is None:  # TensorFlow's start-up chatter is not for users
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def module_of(verb: str) -> str:
    """The module of a verb; one that is a word of Python has an underscore behind it."""
    return f"gansynth_cli.cli.{verb}{'_' * keyword.iskeyword(verb)}"


class _LazyVerbs(TyperGroup):
    def list_commands(self, ctx):
        return list(VERBS)

    def get_command(self, ctx, name):
        if name not in VERBS:
            return None
        module = importlib.import_module(module_of(name))
        if hasattr(module, "app"):
            command = typer.main.get_command(module.app)
        else:
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(name=name)(module.command)
            command = typer.main.get_command(single)
        command.name = name
        return command

    def format_commands(self, ctx, formatter):
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


app = typer.Typer(
    cls=_LazyVerbs,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
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
    """Runs the command line; returns the exit code: 0 done, 1 failed, 2 usage or recipe, 130 interrupted."""
    try:
        outcome = app(args=arguments, prog_name="gan-audio", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except _ClickException as failure:
        failure.show(file=sys.stderr)
        return failure.exit_code
    except GanAudioError as failure:
        console.error(failure)
        return failure.exit_code
    except (KeyboardInterrupt, typer.Abort):
        console.warn("interrupted; what was finished is on disk. Run the same command again to go on.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def run() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
