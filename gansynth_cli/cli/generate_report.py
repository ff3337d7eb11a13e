"""What `generate` says of its work: the model, the clips, and pictures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.corpora.note_names import pitch_name, ranges
from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..inference.generate.request import Plan
    from ..inference.generate.session import GeneratorSession
    from ..inference.generate.write import GenerateReport

SHEET_FILE = "contact-sheet.png"


def finish(plan: Plan, report: GenerateReport, sheets: Sequence[Path], matches: Sequence[Mapping[str, Any]]) -> None:
    """Says what was done."""
    speed = (
        f", {report.clips_per_second:.3g} clips/s, {report.audio_seconds / max(report.seconds, 1e-9):.3g} times real time"
        if report.written
        else ""
    )
    left = f", {report.skipped} left alone" if report.skipped else ""
    console.say(f"{report.folder}: {report.written} clips written, {report.kept} kept{left}{speed}")
    if report.clipped:
        console.warn(f"{report.clipped} clips were louder than full scale and were clipped; --normalize -1 keeps them whole.")
    if report.silent:
        console.warn(f"{report.silent} clips are silent.")
    for sheet in sheets:
        console.say(f"{sheet}: look at the clips")
    console.result(
        {
            "output": report.folder,
            "manifest": report.folder / "manifest.csv",
            "contact_sheet": sheets[0] if sheets else None,
            "clips": plan.total,
            "written": report.written,
            "kept": report.kept,
            "skipped": report.skipped,
            "clipped": report.clipped,
            "silent": report.silent,
            "seconds": round(report.seconds, 3),
            "clips_per_second": round(report.clips_per_second, 3),
            "sample_rate": plan.sample_rate,
            "model": plan.session.sha256,
            **({"matches": list(matches)} if matches else {}),
        }
    )


def draw_sheets(plan: Plan, output: Path, columns: int | None) -> list[Path]:
    """Pictures of the first clips; of a grid, one for each combination of classes, `columns` clips wide.

    From the files, not from memory: the sheet of a request that was resumed shows all of it.
    """
    from ..inference.generate import contact_sheet

    if columns is None or plan.table is None:
        shown = range(plan.first, plan.first + min(plan.total, contact_sheet.MAX_TILES))
        return [_draw_sheet(plan, output, shown, None, output / SHEET_FILE)]
    size = len(plan.table.latents)
    turns = [range(start, start + size) for start in range(0, plan.total, size)]
    stem, suffix = SHEET_FILE.rsplit(".", 1)
    names = [SHEET_FILE] if len(turns) == 1 else [f"{stem}-{turn:02d}.{suffix}" for turn in range(len(turns))]
    return [_draw_sheet(plan, output, turn, columns, output / name) for turn, name in zip(turns, names, strict=True)]


def _draw_sheet(plan: Plan, output: Path, indices: range, columns: int | None, path: Path) -> Path:
    from ..data.audio import audio_file
    from ..inference.generate import contact_sheet

    tiles = []
    for clip in map(plan.clip, indices):
        audio, _ = audio_file.read(output / clip.file, sample_rate=plan.sample_rate)
        caption = f"{clip.index} {clip.caption}".rstrip()
        tiles.append(contact_sheet.Tile(audio, caption, clip.label or clip.attributes.get("instrument", "")))
    shown = f"{len(tiles)} of {plan.total} clips" if plan.total > len(tiles) else f"{plan.total} clips"
    what = f"from {plan.clip(indices[0]).seed}" if plan.table else f"seed {plan.clip(indices[0]).seed}"
    page = contact_sheet.draw(tiles, plan.sample_rate, f"{output.resolve().name}: {shown}, {what}", columns)
    contact_sheet.save(page, path)
    return path


def facts(session: GeneratorSession) -> str:
    """What a model is, in a line."""
    classes = session.classes
    told = [f"labels {_some(classes['label'])}"] if "label" in classes else []
    if pitches := classes.get("pitch"):
        told.append(f"pitches {ranges(map(int, pitches))} ({pitch_name(int(pitches[0]))} to {pitch_name(int(pitches[-1]))})")
    told += [f"{name} {_some(classes[name])}" for name in ("instrument", "velocity") if name in classes]
    encoder = ", with an encoder" if session.has_encoder else ""
    shown = "; ".join(told) or "no labels"
    return f"{session.sample_rate} Hz, {session.distribution} latents of {session.latent_dim}{encoder}, {shown}"


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"


def peak_of(text: str) -> float | None:
    """The value of --normalize: dBFS, or None."""
    if text.lower() == "none":
        return None
    try:
        return float(text.lower().removesuffix("db").strip())
    except ValueError as error:
        raise UsageError(f"--normalize is {text!r}; expected a peak in dBFS such as -1, or none.") from error
