"""`gan-audio translate`: stages by commands, subtitles between them, times kept, corrections taken, failures named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli import app
from gansynth_cli.errors import GanAudioError, UsageError
from gansynth_cli.inference.say import speak as speaking
from gansynth_cli.inference.translate import task as translate_task
from gansynth_cli.inference.translate.engines import CommandTranslator, default_translator
from gansynth_cli.inference.translate.segments import read_segments

from .conftest import write_wav
from .helpers import noise
from .test_speak import NoEspeak, ToneVoice

HEARD = (
    'import json; print(json.dumps({"start": 0.5, "end": 1.0, "text": "One two."}));'
    ' print(json.dumps({"start": 1.5, "end": 2, "text": "Bye."}))'
)
UPPER = "import sys; [print(line.strip().upper()) for line in sys.stdin]"


def command(script: str, *arguments: str) -> str:
    return " ".join([sys.executable, "-c", f"'{script}'", *arguments])


@pytest.fixture
def translate(monkeypatch, tmp_path, capfd):
    """Run `gan-audio translate` on a recording of 3 s; returns exit code and stderr."""
    monkeypatch.setattr(translate_task, "open_voice", lambda model, **_: ToneVoice())
    monkeypatch.setattr(speaking, "Espeak", NoEspeak)
    monkeypatch.setattr(ToneVoice, "languages", ("en-us", "es"))
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "in" / "talk.wav", 0.1 * noise(24000), 8000)

    def run(*more: str, asr: str = command(HEARD, "{input}"), mt: str = command(UPPER)) -> tuple[int, str]:
        code = app.main(["translate", "in", "-o", "out", "--from", "en", "--to", "es", "--asr", asr, "--mt", mt, *more])
        return code, capfd.readouterr().err

    return run


def test_speech_is_spoken_at_the_times_of_the_original(translate, tmp_path) -> None:
    assert translate()[0] == 0
    out = tmp_path / "out"
    assert (out / "talk.es.srt").read_text() == "1\n00:00:00,500 --> 00:00:01,000\nONE TWO.\n\n2\n00:00:01,500 --> 00:00:02,000\nBYE.\n"
    record = [json.loads(line) for line in (out / "talk.segments.jsonl").read_text().splitlines()]
    assert [(one["text"], one["translation"]) for one in record] == [("One two.", "ONE TWO."), ("Bye.", "BYE.")]
    audio, rate = soundfile.read(out / "talk.wav")
    assert len(audio) == 3 * rate
    assert not audio[: int(0.4 * rate)].any()
    assert np.abs(audio[int(0.5 * rate) : int(0.7 * rate)]).max() > 0.3
    assert not audio[int(1.2 * rate) : int(1.4 * rate)].any()


def test_corrections_are_taken_and_finished_stages_are_not_done_again(translate, tmp_path) -> None:
    assert translate("--stage", "mt")[0] == 0
    assert not (tmp_path / "out" / "talk.wav").exists()
    spanish = tmp_path / "out" / "talk.es.srt"
    spanish.write_text(spanish.read_text().replace("BYE.", "ADIÓS."))
    broken = command("raise SystemExit(3)", "{input}")
    assert translate(asr=broken, mt=broken)[0] == 0  # neither is run again
    record = [json.loads(line) for line in (tmp_path / "out" / "talk.segments.jsonl").read_text().splitlines()]
    assert record[1]["translation"] == "ADIÓS."
    assert record[1]["text"] == "Bye."


def test_failures_name_the_program(translate, tmp_path) -> None:
    code, err = translate(asr=command('import sys; sys.exit("no such model")', "{input}"))
    assert (code, "no such model" in err) == (1, True)
    assert not list((tmp_path / "out").glob("*.wav"))
    assert translate(asr="recogniser-that-is-not-there {input}")[0] == 2
    assert translate(asr=command(HEARD))[0] == 2  # it does not say where the recording goes
    assert app.main(["translate", "in", "-o", "out", "--from", "en", "--to", "en"]) == 2


def test_segments_and_translators_of_other_forms(monkeypatch) -> None:
    assert [one.text for one in read_segments("1\n00:00:01,000 --> 00:00:02,000\nHi\n", "en", "x")] == ["Hi"]
    assert read_segments("  \n", "en", "x") == []
    with pytest.raises(GanAudioError, match="printed no segments"):
        read_segments("Hello there.", "en", "x")
    joining = CommandTranslator(command('import sys; print(" ".join(sys.stdin.read().split()))'), "en", "es")
    assert joining(["a b", "c"]) == ["a b", "c"]  # a program that joins lines is asked line by line
    monkeypatch.setenv("PATH", str(Path(__file__).parent))
    with pytest.raises(UsageError, match="apertium"):
        default_translator("en", "es")
