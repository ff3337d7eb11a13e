"""Help pages, suggestions for typing errors, and old spellings: what the command line says about itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from gansynth_cli.cli.app import app, main
from gansynth_cli.cli.options import with_options

from .vocoder_families import make_family

ROOT = Path(__file__).parent.parent


def command_of(*names: str):
    command, context = typer.main.get_command(app), None
    for name in ("gan-audio", *names):
        if name != "gan-audio":
            command = command.get_command(context, name)
        context = typer.Context(command, info_name=name, parent=context)
    return command, context


def options_of(*names: str) -> set[str]:
    command, context = command_of(*names)
    return {option for parameter in command.get_params(context) if parameter.param_type_name == "option" for option in parameter.opts}


def page(capsys, *names: str) -> str:
    assert main([*names, "-h"]) == 0
    return capsys.readouterr().out


def test_generate_has_one_mode(capsys):
    command, context = command_of("generate")
    options = [parameter for parameter in command.get_params(context) if parameter.param_type_name == "option"]
    assert len(options) - 1 <= 26  # without --help
    moved = {"--midi", "--from", "--model", "--mel-layout", "--jobs", "--interpolate", "--grid", "--match", "--vary", "--steps", "--method"}
    assert not moved & options_of("generate")
    text = page(capsys, "generate")
    for section in ("How many:", "Latents:", "What to play:", "What is written:", "Audio processing:", "Options:"):
        assert f"\n{section}\n" in text
    assert "Number of clips.  [default: 16]" in text
    assert "\n  --sidecar  " in text


@pytest.mark.parametrize(
    "verb, without", [("interpolate", set()), ("grid", {"--contact-sheet"}), ("vary", set()), ("match", {"--save-latents"})]
)
def test_commands_that_write_clips_share_their_options(verb, without):
    shared = options_of("generate") - {"-n", "--clips", "--first", "--seed", "--truncation", "--latents"}
    assert shared - without <= options_of("latents", verb)
    assert not without & options_of("latents", verb)


def test_pages_of_groups_and_of_commands_look_alike(capsys):
    for names in ((), ("recipes",), ("latents",)):
        text = page(capsys, *names)
        assert "\nCommands:\n" in text
        assert "\nOptions:\n" in text
        assert "-h, --help" in text
    assert "Usage: gan-audio latents grid [OPTIONS] RUN A B C D\n" in page(capsys, "latents", "grid")
    assert "Usage: gan-audio convert [OPTIONS] [INPUT...]\n" in page(capsys, "convert")


@pytest.mark.parametrize(
    "arguments, hint",
    [
        (["generat"], "did you mean gan-audio generate?"),
        (["trian"], "did you mean gan-audio train?"),
        (["recipes", "shwo"], "did you mean gan-audio recipes show?"),
        (["zzz"], "gan-audio --help lists the commands"),
        (["generate", "run", "--sed", "3"], "gan-audio generate --help lists the options"),
        (["latents", "grid", "run"], "gan-audio latents grid --help lists the options"),
    ],
)
def test_typing_errors_get_a_suggestion(arguments, hint, capsys):
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error:")
    assert f"hint: {hint}" in streams.err


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory) -> Path:
    family = make_family("vocos", "model.discriminators=[]")
    file = tmp_path_factory.mktemp("vocoder") / "v.keras"
    family.inference_model(family.networks).save(file)
    return file


@pytest.mark.parametrize(
    "old, new",
    [
        ("runs/n --midi song.mid -o song.wav", "play song.mid --model runs/n -o song.wav"),
        (
            "runs/n --midi song.mid --seed 3 --instrument organ --instrument flute --normalize -1 -o song.wav -q",
            "play song.mid --model runs/n -o song.wav --seed 3 --instrument organ --instrument flute --normalize -1 -q",
        ),
        ("vocoder --from recordings/ -o again/", "vocode recordings/ --model vocoder -o again/"),
        ("VOCODER --from a.wav --from b.npy -o out --jobs 2 --overwrite", "vocode a.wav b.npy --model VOCODER -o out -j 2 --overwrite"),
        ("VOCODER --from rec -o out --model griffin-lim", "vocode rec --model griffin-lim --mel-of VOCODER -o out"),
        ("runs/v --from clip.wav --vary 0.3 -n 10 -o around/", "latents vary runs/v clip.wav -o around/ --amount 0.3 -n 10"),
        ("runs/d --interpolate 1 2 --steps 9 --label kick -o w/", "latents interpolate runs/d 1 2 -o w/ --steps 9 --label kick"),
        ("runs/d --morph 'my latent.npy' 7 -o w/ --json", "latents interpolate runs/d 'my latent.npy' 7 -o w/ --json"),
        ("runs/d --grid 1 2 3 4 --contact-sheet -o g/", "latents grid runs/d 1 2 3 4 -o g/"),
        ("runs/d --match clip.wav --starts 2 --save-latents -o f/", "latents match runs/d clip.wav -o f/ --starts 2"),
        ("runs/d -n 100 --batch 16 -o f/ --format flac", "generate runs/d -o f/ -n 100 --format flac"),
    ],
)
def test_old_spellings_name_the_new_command_line(old, new, vocoder, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["generate", *(str(vocoder) if word == "VOCODER" else word for word in shlex.split(old))]
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert f"hint: gan-audio {new.replace('VOCODER', str(vocoder))}\n" in streams.err
    assert not list(tmp_path.iterdir())
    # The new line is one that the command line understands: it gets as far as the files, which do not exist.
    code = main([str(vocoder) if word == "VOCODER" else word for word in shlex.split(new)])
    assert code in (1, 2)
    again = capsys.readouterr().err
    assert "No such option" not in again
    assert "does not exist" in again or "no such file" in again.lower(), again


@dataclass(frozen=True)
class Group:
    depth: Annotated[int, typer.Option("--depth")] = 3
    hidden: Annotated[bool, typer.Option("--hidden")] = True


def test_shared_options_reach_the_command_as_one_object():
    seen = []

    @with_options(Group, without=("hidden",))
    def command(name: Annotated[str, typer.Argument()], *, chosen: Group) -> None:
        seen.append((name, chosen))

    single = typer.Typer()
    single.command()(command)
    run = typer.main.get_command(single)
    run(["a", "--depth", "5"], standalone_mode=False)
    run(["b"], standalone_mode=False)
    assert seen == [("a", Group(5)), ("b", Group(3))]
    with pytest.raises(Exception, match="No such option"):
        run(["b", "--hidden"], standalone_mode=False)


def test_help_answers_within_half_a_second():
    command = [sys.executable, "-m", "gansynth_cli", "--help"]
    best = 9.0
    for _ in range(3):  # the best of three: other processes share the machine
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        best = min(best, time.perf_counter() - began)
    assert best < 0.5
