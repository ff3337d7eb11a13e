"""`gan-audio completion`: scripts for shells that complete verbs, options, recipes, models, runs and labels.

The scripts hold verbs, options, recipes and bundled models as text, so that a key press starts no Python; runs are looked for in the
working directory by the shell, and labels are asked of `gan-audio completion labels RUN`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import EXIT_OK, UsageError
from . import console

SHELLS = ("bash", "zsh", "fish")


def command(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish|labels", help="The shell; labels prints those of a run, for the scripts.")],
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="With labels: the run.")] = None,
) -> int:
    """Print a script that completes verbs, options, recipes, models, runs and labels.

    bash: eval "$(gan-audio completion bash)" in ~/.bashrc; zsh likewise; fish: write it to ~/.config/fish/completions/gan-audio.fish.
    """
    console.configure()
    if shell == "labels":
        _print_labels(run)
        return EXIT_OK
    if shell not in SHELLS:
        raise UsageError(f"{shell!r} is no shell that is known here; expected one of {', '.join(SHELLS)}.")
    from ..models.model_file import bundled_models
    from ..recipe import shipped_recipes

    console.data(script(shell, options_by_verb(), shipped_recipes(), list(bundled_models())))
    return EXIT_OK


def _print_labels(run: Path | None) -> None:
    """Print the labels of a run; nothing where there is none: a key press is no place for a message."""
    if run is not None and (run / "dataset_info.json").is_file():
        from ..data.dataset_info import read_dataset_info
        from ..errors import GanAudioError

        try:
            labels = read_dataset_info(run / "dataset_info.json").labels
        except GanAudioError:
            return
        console.data("\n".join(labels))


def options_by_verb() -> dict[str, dict[str, str]]:
    """Return verb, or "verb subcommand" -> option -> the first sentence of its help, and subcommands without a dash among them."""
    from .app import VERBS, app

    root: Any = typer.main.get_command(app)
    context = root.context_class(root)
    found: dict[str, dict[str, str]] = {}
    for verb in VERBS:
        one = root.get_command(context, verb)
        inner = getattr(one, "commands", {})
        found[verb] = {name: sub.get_short_help_str(80) for name, sub in inner.items()} or _options(one)
        found |= {f"{verb} {name}": _options(sub) for name, sub in inner.items()}
    return found


def _options(one: Any) -> dict[str, str]:
    pairs = [(option, parameter) for parameter in one.params if parameter.param_type_name == "option" for option in parameter.opts]
    return {option: (parameter.help or "").split(". ")[0].rstrip(".") for option, parameter in pairs if option.startswith("--")}


def script(shell: str, verbs: dict[str, dict[str, str]], recipes: list[str], models: list[str]) -> str:
    """Return the script of a shell.

    Args:
        shell: One of `SHELLS`.
        verbs: As `options_by_verb` returns it.
        recipes, models: Names.
    """
    if shell == "fish":
        return _fish(verbs, recipes, models)
    cases = "\n".join(f'    "{verb}") words="{" ".join(options)}" ;;' for verb, options in verbs.items())
    body = _BASH.format(
        verbs=" ".join(verb for verb in verbs if " " not in verb), cases=cases, recipes=" ".join(recipes), models=" ".join(models)
    )
    return f"autoload -U +X bashcompinit && bashcompinit\n{body}" if shell == "zsh" else body


_BASH = """\
_gan_audio() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" verb="${{COMP_WORDS[1]}}" words="" run="" part
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return
  fi
  case "$before" in
    --recipe|-r) COMPREPLY=($(compgen -W "{recipes}" -- "$word") $(compgen -f -X '!*.toml' -- "$word")); return ;;
    --model|--init-from) COMPREPLY=($(compgen -W "{models} $(_gan_audio_runs)" -- "$word") $(compgen -f -- "$word")); return ;;
    --run) COMPREPLY=($(compgen -W "$(_gan_audio_runs)" -- "$word") $(compgen -d -- "$word")); return ;;
    --label|--to)
      for part in "${{COMP_WORDS[@]}}"; do [ -f "$part/dataset_info.json" ] && run="$part"; done
      local IFS=$'\\n'
      [ -n "$run" ] && COMPREPLY=($(compgen -W "$(gan-audio completion labels "$run" 2>/dev/null)" -- "$word"))
      return ;;
  esac
  case "$verb $([ "$COMP_CWORD" -gt 2 ] && echo "${{COMP_WORDS[2]}}")" in
    "recipes show"|"recipes diff"|"recipes copy"|"recipes validate") [[ "$word" == -* ]] || words="{recipes}" ;;
    "models show") [[ "$word" == -* ]] || words="{models}" ;;
  esac
  if [ -z "$words" ]; then
    case "$verb" in
      generate|latents|export|report|compare|info) [[ "$word" == -* ]] || words="{models} $(_gan_audio_runs)" ;;
    esac
  fi
  if [[ "$word" == -* ]] || {{ [ "$COMP_CWORD" -eq 2 ] && [ -z "$words" ]; }}; then
    _gan_audio_options "$verb"
    if [ "$COMP_CWORD" -gt 2 ] && [[ "$words" != *--* ]]; then _gan_audio_options "$verb ${{COMP_WORDS[2]}}"; fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [[ "$word" == -* ]] || COMPREPLY+=($(compgen -f -- "$word"))
}}
_gan_audio_runs() {{
  local file
  for file in recipe.toml */recipe.toml */*/recipe.toml; do [ -f "$file" ] && printf '%s ' "${{file%/recipe.toml}}"; done
}}
_gan_audio_options() {{
  case "$1" in
{cases}
  esac
}}
complete -o filenames -F _gan_audio gan-audio"""


def _fish(verbs: dict[str, dict[str, str]], recipes: list[str], models: list[str]) -> str:
    quote = lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    single = [verb for verb in verbs if " " not in verb]
    lines = [
        "function __gan_audio_runs",
        "  for file in recipe.toml */recipe.toml */*/recipe.toml; test -f $file; and string replace -r '/?recipe.toml$' '' -- $file; end",
        "end",
        "function __gan_audio_labels",
        "  for word in (commandline -opc); test -f $word/dataset_info.json; and gan-audio completion labels $word 2>/dev/null; end",
        "end",
        f"complete -c gan-audio -n __fish_use_subcommand -f -a {quote(' '.join(single))}",
    ]
    known = quote(" ".join(models) + " (__gan_audio_runs)").strip("'")
    for verb, options in verbs.items():
        first, _, second = verb.partition(" ")
        seen = f"__fish_seen_subcommand_from {first}" + (f"; and __fish_seen_subcommand_from {second}" if second else "")
        for option, text in options.items():
            if not option.startswith("--"):
                lines.append(f"complete -c gan-audio -n {quote(seen)} -f -a {option} -d {quote(text)}")
                continue
            values = {"--recipe": " ".join(recipes), "--model": known, "--init-from": known, "--run": "(__gan_audio_runs)"}
            values |= {"--label": "(__gan_audio_labels)", "--to": "(__gan_audio_labels)"}
            more = f' -r -a "{values[option]}"' if option in values else ""
            lines.append(f"complete -c gan-audio -n {quote(seen)} -l {option[2:]} -d {quote(text)}{more}")
    for verb in ("generate", "latents", "export", "report", "compare", "info"):
        lines.append(f'complete -c gan-audio -n "__fish_seen_subcommand_from {verb}" -a "{known}"')
    lines.append(f"complete -c gan-audio -n '__fish_seen_subcommand_from recipes' -a {quote(' '.join(recipes))}")
    return "\n".join(lines)
