"""The options that choose a voice, for every verb that speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

VOICE_PANEL = "Voice"

VoiceModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="RUN|FILE",
        help="A trained model, or a Piper or Kokoro voice.",
        show_default="the bundled English voice",
        rich_help_panel=VOICE_PANEL,
    ),
]
Styles = Annotated[
    Path | None, typer.Option("--styles", help="Kokoro: folder of its styles.", show_default="beside it", rich_help_panel=VOICE_PANEL)
]
VocoderRun = Annotated[
    str | None,
    typer.Option(
        "--vocoder",
        metavar="RUN",
        help="Trained models: a vocoder.",
        show_default="the bundled one, if needed",
        rich_help_panel=VOICE_PANEL,
    ),
]
Speed = Annotated[float, typer.Option("--speed", help="Pace, 0.25 to 4.", rich_help_panel=VOICE_PANEL)]
