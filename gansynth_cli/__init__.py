"""gan-audio: train and use audio GANs. From Python: `import gansynth_cli as gan_audio`; the names are those of `gansynth_cli.api`.

Importing the package is light: the API, and with it NumPy and TensorFlow, is imported when one of its names is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403

__version__ = "0.1.0"
_API = (
    *("load", "prepare", "train", "Generator", "Denoiser", "Vocoder", "Converter", "Synthesiser", "GanAudioError"),
    *("repair", "evaluate_clips", "evaluate_notes", "evaluate_pairs", "evaluate_vocoders", "evaluate_voices", "speaker_vector"),
)


def __getattr__(name: str) -> Any:
    if name in _API:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(("__version__", *_API))
