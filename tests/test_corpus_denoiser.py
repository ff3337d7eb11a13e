"""What tools/corpus/denoiser.py may collect: nothing held out, everything pinned and licensed."""

import dataclasses
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import held_out as benchmark

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scripts():
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(ROOT / "tools" / "corpus"))
    yield {name: importlib.import_module(name) for name in ("denoiser", "denoiser_audio", "denoiser_fetch", "denoiser_table")}
    patch.undo()


def test_every_source_is_pinned_licensed_and_not_held_out(scripts):
    table = scripts["denoiser_table"]
    sources, packages = table.read_tables()
    held = table.HeldOut()
    assert len({source.name for source in sources}) == len(sources)
    for source in sources:
        held.check(source)
        assert source.licence
        assert source.credit
        assert not re.search(r"\bNC\b|-NC-|non-?commercial only", source.licence)
        assert source.part in table.PARTS
        if source.github:
            assert re.fullmatch("[0-9a-f]{40}", source.commit)
        elif source.pypi:
            assert re.fullmatch("[0-9a-f]{64}", source.sha256)
        else:
            assert source.packages
        if source.part in ("speech", "expressive"):
            assert source.speaker or source.voice or source.voices_in
    for package in packages.values():
        assert re.fullmatch("[0-9a-f]{64}", package.sha256)
    with pytest.raises(ValueError, match="torcs"):
        held.check(dataclasses.replace(sources[-2], github="", packages=("torcs-data",)))


def test_held_out_recordings_are_not_selected(scripts):
    table, denoiser, fetch = scripts["denoiser_table"], scripts["denoiser"], scripts["denoiser_fetch"]
    sources = {source.name: source for source in table.read_tables()[0]}
    held = table.HeldOut()
    files = [fetch.File(f"WAVE/SPEAKER{number}/0001.WAV", bytes) for number in ("0001", "0026", "2116", "1372", "0005")]
    assert list(denoiser.by_speaker(sources["speechocean"], files, held)) == ["speechocean_0001"]
    files = [fetch.File(f"LibriSpeech/train-clean-5/{number}/1/a.flac", bytes) for number in (1088, 1737, 6272, 460)]
    assert list(denoiser.by_speaker(sources["libri5"], files, held)) == ["libri5_1088"]
    files = [fetch.File(f"002 - Rain/{fold}-1-A.ogg", bytes) for fold in range(1, 6)]
    assert [file.path[11] for file in denoiser.noises(sources["esc10"], files, held)] == ["1", "2", "3"]
    for pattern in benchmark.NOISE:  # the benchmark's own list, in the folders of this script
        assert held.why(pattern.replace("?", "0").replace("[5-9]", "5").replace("*", "x")), pattern


def test_collecting_keeps_what_is_there(scripts, tmp_path):
    denoiser, table, fetch = scripts["denoiser"], scripts["denoiser_table"], scripts["denoiser_fetch"]
    rate = 16000
    time = np.arange(2 * rate) / rate
    clean = 0.3 * sum(np.sin(2 * np.pi * 200 * k * time) for k in (1, 5, 20)) * (np.sin(2 * np.pi * 2 * time) > 0) / 3
    clean += 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    for name, sound in (("clean", clean), ("loud", clean + 0.05 * np.random.default_rng(1).standard_normal(len(time)))):
        soundfile.write(tmp_path / f"{name}.wav", sound, rate)
    files = [fetch.File(path.name, path.read_bytes) for path in sorted(tmp_path.glob("*.wav"))]
    source = table.Source("made", "speech", "CC0-1.0", "nobody", 0.0, voice="one")
    for _ in range(2):
        seconds, dropped = denoiser.collect_speech(source, files, tmp_path, table.HeldOut(), lambda text: None)
        assert (seconds, dict(dropped)) == (pytest.approx(2.0), {"background": 1})
    assert [path.name for path in (tmp_path / "speech" / "made_one").iterdir()] == ["clean.flac"]


def test_a_source_that_is_not_to_be_had_is_named(scripts, tmp_path, capsys, monkeypatch):
    def refuse(*command, **options):
        raise scripts["denoiser_fetch"].FetchError("no network")

    monkeypatch.setattr(scripts["denoiser_fetch"], "run", refuse)
    assert scripts["denoiser"].main([str(tmp_path), "--only", "cdda,keyboard"]) == 1
    assert "cdda (https://github.com/Fris0uman/CDDA-Soundpacks at" in capsys.readouterr().err
    assert scripts["denoiser"].main([str(tmp_path), "--only", "nothing"]) == 2
