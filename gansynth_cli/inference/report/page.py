"""Write a report: one HTML file with sounds, pictures, figures and curves in it, without any address outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import GanAudioError
from ...files import write_text
from ...metrics.table import tables_of
from . import curves
from .sounds import Sound, data_uri, encoded, matched_gains, png, power_picture, read_sound
from .systems import Contents, System, problem_of, read_contents

CLIPS, SECONDS, MEGABYTES = 24, 15.0, 20.0


@dataclass(frozen=True)
class Cell:
    """A player of the page."""

    system: int
    sound: str
    picture: str
    note: str


@dataclass(frozen=True)
class Item:
    """A row of the page: recordings of one name in several systems."""

    name: str
    cells: list[Cell]


@dataclass
class Page:
    """What a report holds.

    Attributes:
        items: The rows that are shown.
        left_out: Number of items that the bounds leave out.
        contents: Everything that was read.
        notes: Sentences on what was cut or left out.
    """

    contents: Contents
    items: list[Item] = field(default_factory=list)
    left_out: int = 0
    notes: list[str] = field(default_factory=list)


def write_report(
    paths: Sequence[Path],
    output: Path,
    *,
    title: str = "",
    clips: int = CLIPS,
    seconds: float = SECONDS,
    megabytes: float = MEGABYTES,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Page:
    """Write a page about runs, folders of clips, recordings and reports of `evaluate`.

    Args:
        paths: What it is about. Recordings of one name below several folders stand side by side.
        output: The HTML file; replaced.
        title: Headline.
        clips: Maximum number of rows.
        seconds: Maximum length of a clip; longer ones are cut, and the page says so.
        megabytes: Maximum size of the sounds and pictures together.
        advance: Called with the number of rows done and in all.

    Returns:
        What the page holds.

    Raises:
        UsageError: A path does not exist.
        GanAudioError: Nothing could be read, or the page cannot be written.
    """
    contents = read_contents(paths)
    if not (contents.systems or contents.runs or contents.reports):
        reasons = "; ".join(f"{path}: {reason}" for path, reason in contents.problems)
        raise GanAudioError(f"There is nothing to report. {reasons}", hint="give runs, folders of recordings, or reports of evaluate")
    page = Page(contents)
    _fill(page, clips, seconds, megabytes * 1e6, advance)
    html = render(page, title or ", ".join(path.resolve().name for path in paths[:3]) + (" ..." if len(paths) > 3 else ""))
    try:
        write_text(output, html)
    except OSError as error:
        raise GanAudioError(f"{output} cannot be written: {error.strerror or error}.", hint="choose another file with -o") from error
    return page


def _fill(page: Page, clips: int, seconds: float, budget: float, advance: Callable[[int, int], None]) -> None:
    keys = items_of(page.contents.systems)
    chosen, used, cut = keys[:clips], 0.0, 0
    page.left_out, bound = len(keys) - len(chosen), f"--clips {clips}"
    for number, key in enumerate(chosen):
        item, size, shortened = _item(page, key, seconds)
        if used + size > budget and page.items:
            page.left_out, bound = len(keys) - number, f"--megabytes {budget / 1e6:g}"
            break
        used += size
        cut += shortened
        if item.cells:
            page.items.append(item)
        advance(number + 1, len(chosen))
    if page.left_out:
        page.notes.append(f"{page.left_out} of {len(keys)} items are not shown ({bound}).")
    if cut:
        page.notes.append(f"{cut} recordings are longer than {seconds:g} s; their beginnings are here (--seconds).")


def items_of(systems: Sequence[System]) -> list[str]:
    """Return the names of all items, those that most systems have first, then in the order of the systems."""
    counts: dict[str, int] = {}
    for system in systems:
        for key in system.clips:
            counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: -counts[key])


def _item(page: Page, key: str, seconds: float) -> tuple[Item, float, int]:
    """Return a row, its size in bytes, and how many of its recordings were cut."""
    systems = page.contents.systems
    found: list[tuple[int, Sound]] = []
    for number, system in enumerate(systems):
        if key in system.clips:
            try:
                found.append((number, read_sound(system.clips[key], seconds)))
            except GanAudioError as error:
                page.contents.problems.append(problem_of(system.clips[key], error))
    sounds = [sound for _, sound in found]
    gains = matched_gains(sounds)
    longest = max((len(sound.audio) / sound.rate for sound in sounds), default=1.0)
    powers = [power_picture(sound, longest) * 10 ** (gain / 10) for sound, gain in zip(sounds, gains, strict=True)]
    reference = max((float(power.max(initial=0.0)) for power in powers), default=0.0)
    cells, size = [], 0.0
    for (number, sound), gain, power in zip(found, gains, powers, strict=True):
        audio, picture = data_uri("audio/flac", encoded(sound, gain)), data_uri("image/png", png(power, reference))
        size += len(audio) + len(picture)
        level = "silent" if sound.level_dbfs is None else f"{sound.level_dbfs:.1f} dBFS, played {gain:+.1f} dB"
        length = f"{sound.seconds:.2f} s" + (f", first {seconds:g} s" if sound.is_cut else "")
        cells.append(Cell(number, audio, picture, f"{length}, {sound.rate} Hz, {level}"))
    return Item(key, cells), size, sum(sound.is_cut for sound in sounds)


def render(page: Page, title: str) -> str:
    """Fill the template."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    runs = page.contents.runs
    return environment.get_template("report.html").render(
        title=title,
        page=page,
        systems=[system.name for system in page.contents.systems],
        runs=runs,
        curves=curves.pictures(runs),
        last_values=[(name, meaning, [curves.as_text(v) for v in values]) for name, meaning, values in curves.last_values(runs)],
        reports=[_tables(name, report) for name, report in page.contents.reports],
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        colours=curves.COLOURS,
        size=(curves.WIDTH, curves.HEIGHT),
    )


def _tables(name: str, report: dict[str, Any]) -> dict[str, Any]:
    """A report of `evaluate` as tables, and the meaning of each of its figures."""
    try:
        tables = tables_of(report)  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return {"name": name, "tables": [], "meanings": [], "problem": f"it is damaged: {error!r}"}
    meanings = [(facts.get("title", key), facts.get("meaning", ""), facts.get("better", "")) for key, facts in report["figures"].items()]
    return {"name": name, "tables": tables, "meanings": meanings, "problem": ""}
