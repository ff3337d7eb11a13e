"""The page of `gan-audio report`: what is read, levelled, drawn and left out; and clicked in a browser."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.inference.report import curves, sounds
from gansynth_cli.inference.report.page import items_of
from gansynth_cli.inference.report.systems import Run, System, read_contents, unique_names

from .browser import browser_page
from .conftest import tone, write_wav
from .helpers import run
from .run_fixtures import write_run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two folders: three recordings in both, one in the first alone, and a damaged one; at different levels."""
    for take, kind in enumerate(("high", "low", "noise")):
        write_wav(tmp_path / "noisy" / f"{kind}.wav", tone(kind, take))
        write_wav(tmp_path / "clean" / f"{kind}.wav", 0.1 * tone(kind, take))
    write_wav(tmp_path / "noisy" / "alone.wav", tone("high", 7))
    (tmp_path / "noisy" / "damaged.wav").write_bytes(b"RIFF")
    return tmp_path


def sounds_of(page: str) -> list[tuple[np.ndarray, int]]:
    found = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    return [soundfile.read(io.BytesIO(base64.b64decode(text))) for text in found]


def test_a_page_of_pairs(pairs: Path, capsys: pytest.CaptureFixture):
    output = pairs / "page.html"
    code, out, err = run(capsys, "report", pairs / "noisy", pairs / "clean", "-o", output, "--json", "--seconds", 0.2)
    result = json.loads(out)
    assert code == 0
    assert (result["systems"], result["items"], result["left_out"]) == (["noisy", "clean"], 4, 0)
    assert "damaged.wav" in err
    page = output.read_text(encoding="utf-8")
    assert "damaged.wav" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "http" not in page.replace("http-equiv", "")
    played = sounds_of(page)
    assert len(played) == 7
    levels = [10 * np.log10(np.mean(np.square(audio))) for audio, _ in played[:2]]
    assert abs(levels[0] - levels[1]) < 0.5  # 20 dB apart in the folders
    assert all(len(audio) == round(0.2 * rate) for audio, rate in played)
    assert "beginnings are here" in page
    assert run(capsys, "report", pairs / "noisy", "-o", output)[0] == 2  # exists
    code, _, err = run(capsys, "report", pairs / "nothing", "-o", pairs / "other.html")
    assert code == 2
    assert "does not exist" in err


def test_bounds(pairs: Path, capsys: pytest.CaptureFixture):
    both = (pairs / "noisy", pairs / "clean", "--json", "-q", "-o")
    assert json.loads(run(capsys, "report", *both, pairs / "a.html", "--clips", 2)[1])["left_out"] == 3
    small = json.loads(run(capsys, "report", *both, pairs / "b.html", "--megabytes", 0.001)[1])
    assert (small["items"], small["left_out"]) == (1, 4)


def test_runs(tmp_path: Path, capsys: pytest.CaptureFixture):
    lines = [json.dumps({"step": step, "generator/adversarial": 1.0 / step, "preview/silent": float("nan")}) for step in (5, 10, 20)]
    write_run(tmp_path / "whole", lines)
    damaged = write_run(tmp_path / "damaged", [*lines, '{"step": 30, "gen', "[]", '{"loss": 1}'])
    (damaged / "recipe.toml").write_text("family = ")
    found = read_contents([tmp_path / "whole"])
    assert [system.name for system in found.systems] == ["step 10", "step 20", "noisy"]
    assert [set(system.clips) for system in found.systems] == [{"00"}] * 3
    code, out, _ = run(capsys, "report", tmp_path / "whole", tmp_path / "damaged", "-o", tmp_path / "page.html", "--json")
    result = json.loads(out)
    assert code == 0
    assert [Path(path).name for path, _ in result["problems"]] == ["metrics.jsonl", "damaged"]
    assert "3 lines" in result["problems"][0][1]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a b=&lt;1&gt;" in page  # the command, escaped
    assert page.count("<polyline") == 2
    assert "whole, step 20" in page


def test_curves_and_levels():
    picture, *others = curves.pictures(
        [Run("a", [], [{"step": 0, "x/r1": 1.0}, {"step": 10, "x/r1": 3.0}]), Run("b", [], [{"step": 1, "y": 2}])]
    )
    assert not others
    assert (picture.low, picture.high, picture.first, picture.end) == (1.0, 3.0, 0, 10)
    assert picture.lines[0].points == "0.0,110.0 300.0,0.0"
    assert "R1" in picture.meaning
    sine = np.sin(np.arange(8000) / 3)[:, None].astype(np.float32)
    loud, quiet, silent = (sounds.Sound(factor * sine, 8000, 1.0) for factor in (1.0, 0.01, 0.0))
    assert loud.level_dbfs == pytest.approx(-3.01, abs=0.02)
    assert sounds.Sound(np.concatenate([sine, 0 * sine]), 8000, 2.0).level_dbfs == pytest.approx(-3.01, abs=0.02)  # pauses do not count
    assert sounds.matched_gains([loud, quiet, silent]) == pytest.approx([-19.99, 20.01, 0.0], abs=0.02)
    click = sounds.Sound(np.concatenate([0.001 * sine, np.ones((1, 1), np.float32)]), 8000, 1.0)
    assert max(click.level_dbfs + gain for gain in sounds.matched_gains([click])) < sounds.TARGET_DBFS
    assert unique_names([Path("a/x"), Path("b/x")]) == ["a/x", "b/x"]
    assert items_of([System("a", {"1": Path("1"), "2": Path("2")}), System("b", {"2": Path("2")})]) == ["2", "1"]


def test_mushra(pairs: Path, capsys: pytest.CaptureFixture):
    words = ("report", pairs / "clean", pairs / "noisy", "-q", "--overwrite", "-o", pairs / "page.html", "--mushra", pairs / "test")
    assert run(capsys, *words)[0] == 0
    config = json.loads((pairs / "test" / "config.yaml").read_text())
    _, *items = config["pages"][1]
    assert [item["name"] for item in items] == ["high", "low", "noise"]
    assert items[0]["reference"] == "configs/test/audio/00-0.wav"
    assert items[0]["stimuli"] == {"C1": "configs/test/audio/00-1.wav"}
    assert (pairs / "test" / "audio" / "02-1.wav").is_file()
    assert json.loads((pairs / "test" / "systems.json").read_text()) == {"C1": "noisy"}
    assert run(capsys, *words, "--reference", "nobody")[0] == 2


@pytest.mark.slow
def test_the_page_in_a_browser(pairs: Path, capsys: pytest.CaptureFixture):
    for file in pairs.glob("*/[hln]*.wav"):  # long enough to be heard while the test clicks
        audio, rate = soundfile.read(file)
        write_wav(file, np.tile(audio, 30)[: 12 * rate], rate)
    assert run(capsys, "report", pairs / "noisy", pairs / "clean", "-o", pairs / "page.html", "-q")[0] == 0
    with browser_page() as page:
        requests = []
        page.on("request", lambda request: requests.append(request.url[:40]))
        page.goto((pairs / "page.html").as_uri())
        playing = "[...document.querySelectorAll('audio')].filter((sound) => !sound.paused).length"
        page.click(".item:nth-child(1) .cell:nth-child(1) .play")
        page.wait_for_function(f"{playing} === 1")
        page.keyboard.press("2")
        page.wait_for_function("document.querySelector('.cell.playing')?.dataset.system === 'clean'")
        assert page.evaluate(playing) == 1
        page.keyboard.press("ArrowDown")
        assert page.evaluate("[...document.querySelectorAll('.row')].findIndex((row) => row.classList.contains('active'))") == 1
        assert page.evaluate(playing) == 0
        page.click("#blind")
        assert page.evaluate("[...document.querySelectorAll('.item:nth-child(1) .name')].map((name) => name.textContent)") == ["A", "B"]
        chosen = page.locator(".item:nth-child(1) .cell:nth-child(2)").get_attribute("data-system")
        page.click(".item:nth-child(1) .cell:nth-child(2) .choose")
        assert "1 of 3" in page.text_content("#count")
        with page.expect_download() as download:
            page.click("#results")
        header, line = Path(download.value.path()).read_text().splitlines()
        assert header == "item,chosen,order shown"
        assert line.split(",")[:2] == ['"high"', f'"{chosen}"']
        page.click("#blind")
        assert page.text_content(".item:nth-child(1) .cell:nth-child(1) .name") == "noisy"
        if "GAN_AUDIO_SCREENSHOTS" in os.environ:
            page.screenshot(path=f"{os.environ['GAN_AUDIO_SCREENSHOTS']}/report.png", full_page=True)
        assert not page.failures
        assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
