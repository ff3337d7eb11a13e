"""`gan-audio say`: texts, tables, subtitles and streams with a voice that is no model; timings, controls, bad input."""

from __future__ import annotations

import io
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from gansynth_cli.cli import app
from gansynth_cli.data.audio import audio_file
from gansynth_cli.data.text.report import TextReport
from gansynth_cli.data.text.ssml import read_ssml
from gansynth_cli.data.text.tokens import Style
from gansynth_cli.errors import UsageError
from gansynth_cli.inference.say import speak as speaking
from gansynth_cli.inference.say import task as say_task
from gansynth_cli.inference.say.subtitles import speak_cues
from gansynth_cli.inference.say.texts import Cue, read_subtitles, read_table
from gansynth_cli.inference.say.voice import Manner

from .test_speak import NoEspeak, ToneVoice


@pytest.fixture
def say(monkeypatch, tmp_path, capfd):
    """Run `gan-audio say` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.setattr(say_task, "open_voice", lambda model, **_: ToneVoice())
    monkeypatch.setattr(speaking, "Espeak", NoEspeak)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str = ""):
        if stdin:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = app.main(["say", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_text_becomes_a_tagged_recording_and_is_kept(say, tmp_path) -> None:
    assert say("Hello there. Again!", "-o", "a.wav", "--timings", "json")[0] == 0
    audio, rate = soundfile.read("a.wav")
    assert (rate, np.abs(audio).max() > 0.4) == (8000, True)
    assert audio_file.read_tag("a.wav")["synthetic"] is True
    timings = json.loads((tmp_path / "a.timings.json").read_text())
    assert [sentence["text"] for sentence in timings["sentences"]] == ["Hello there.", "Again!"]
    assert timings["seconds"] == pytest.approx(len(audio) / rate, abs=1e-4)
    before = (tmp_path / "a.wav").stat().st_mtime_ns
    assert "skipped" in say("Something else.", "-o", "a.wav", "--timings", "json")[2]
    assert (tmp_path / "a.wav").stat().st_mtime_ns == before


def test_tables_become_folders(say, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("file,text,speed\na,Good morning.,1.5\n../b/c,Two.,\n")
    (tmp_path / "l.csv").write_text("x|First.\ny|Second.\n")
    (tmp_path / "r.jsonl").write_text('{"text": "One."}\n{"text": "🙂"}\n')
    assert say("-i", "t.csv", "-o", "out")[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.wav")) == ["a.wav", "c.wav"]
    assert not (tmp_path / "b").exists()  # no name of a row leaves the folder
    code, _, err = say("-i", "l.csv", "-i", "r.jsonl", "-o", "all")
    assert (code, "nothing to speak" in err) == (1, True)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in (tmp_path / "all").rglob("*.wav")) == [
        "all/l/x.wav",
        "all/l/y.wav",
        "all/r/00001.wav",
    ]


def test_stream_is_a_wav_on_stdout(say, monkeypatch) -> None:
    sent = []
    monkeypatch.setattr("gansynth_cli.cli.console.raw", sent.append)
    assert say("Hello there. And more.", "--stream")[0] == 0
    assert sent[0][:4] == b"RIFF"
    assert len(sent) >= 3
    assert sum(len(part) for part in sent) > 2 * 8000 * 0.1


def test_textgrid_covers_the_recording(say, tmp_path) -> None:
    assert say("-", "-o", "a.flac", "--timings", "textgrid", stdin="Say [pause:300ms] it.")[0] == 0
    lines = (tmp_path / "a.TextGrid").read_text().splitlines()
    assert [line for line in lines if line in ('"sentences"', '"words"', '"phones"')] == ['"sentences"', '"words"', '"phones"']
    seconds = soundfile.info("a.flac").duration
    assert float(lines[4]) == pytest.approx(seconds, abs=1e-4)
    place = lines.index('"words"') + 3
    intervals = [(float(lines[i]), float(lines[i + 1])) for i in range(place + 1, place + 1 + 3 * int(lines[place]), 3)]
    assert intervals[0][0] == 0
    assert intervals[-1][1] == pytest.approx(seconds, abs=1e-4)
    assert all(a[1] == b[0] for a, b in pairwise(intervals))


def test_subtitles_keep_their_times_and_overruns_are_reported(tmp_path) -> None:
    (tmp_path / "s.srt").write_text(
        "1\n00:00:01,000 --> 00:00:01,100\n<i>Aaaaaaaaaaa</i>\n\n"
        "2\n00:00:01,150 --> 00:00:02,000\nBb\n\n00:00:03,000 --> 00:00:04,000\nCc\n"
    )
    cues = read_subtitles(tmp_path / "s.srt")
    assert [cue.text for cue in cues] == ["Aaaaaaaaaaa", "Bb", "Cc"]
    voice, overruns = ToneVoice(), []
    blocks = [b for b in speak_cues(cues, voice, overruns, fit=1.3, phonemiser=NoEspeak()) if b.text]
    assert [call["speed"] for call in voice.calls] == [1.0, pytest.approx(1.3), 1.0, 1.0]
    assert (blocks[0].start, blocks[2].start) == (8000, 24000)  # the third is on time again
    assert blocks[1].start == blocks[0].end
    assert [overrun.cue for overrun in overruns] == [1]
    assert overruns[0].spoken > overruns[0].available
    with pytest.raises(UsageError, match="fit"):
        list(speak_cues([Cue(0, 1, "a")], voice, overruns, fit=3.0))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["", "-o", "a.wav"], "empty"),
        (["a", "-o", "folder"], "suffix"),
        (["a"], "No output"),
        ([], "nothing to say"),
        (["a", "-o", "a.wav", "--speed", "9"], "speed"),
        (["a", "-o", "a.wav", "--pitch", "40"], "semitones"),
        (["a", "-o", "a.wav", "--emotion", "sad"], "emotion"),
        (["a", "-o", "a.wav", "--language", "es"], "language"),
        (["a", "-o", "a.wav", "--timings", "csv"], "timings"),
        (["-i", "s.srt", "-o", "s.wav", "--timings", "srt"], "one of the inputs"),
        (["-i", "bad.csv", "-o", "out"], "columns"),
        (["-i", "missing.txt", "-o", "a.wav"], "does not exist"),
    ],
)
def test_bad_input_is_refused(say, tmp_path, arguments, complaint) -> None:
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n")
    (tmp_path / "s.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nA\n")
    code, _, err = say(*arguments)
    assert code == 2
    assert complaint in err
    assert not list(tmp_path.glob("*.wav"))


def test_rows_and_subtitles_of_a_wrong_form(tmp_path) -> None:
    for name, content, complaint in (
        ("a.jsonl", "[1]\n", "object"),
        ("b.jsonl", '{"text": "x", "speed": "fast"}\n', "number"),
        ("c.csv", 'text\n""\n', "no text"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(UsageError, match=complaint):
            list(read_table(tmp_path / name))
    (tmp_path / "a.srt").write_text("1\n00:00:03,000 --> 00:00:02,000\nx\n")
    with pytest.raises(UsageError, match="before it begins"):
        read_subtitles(tmp_path / "a.srt")


def test_ssml_prosody_reaches_the_voice() -> None:
    text = '<speak><prosody pitch="+2st" volume="-6dB">a</prosody><emphasis level="strong">b</emphasis>'
    text += '<prosody pitch="200Hz">c</prosody></speak>'
    report = TextReport()
    styles = [event for event in read_ssml([text], report) if isinstance(event, Style)]
    assert styles[0] == Style(pitch=2.0, energy=-6.0)
    assert styles[2].rate < 1
    assert styles[2].energy > 0
    assert list(report.tags) == ['<prosody pitch="200Hz">']
    voice = ToneVoice()
    list(speaking.speak(text, voice, phonemiser=NoEspeak(), manner=Manner(pitch=1.0)))
    assert voice.calls[0]["manner"].pitch == 3.0


def test_energy_is_a_gain_for_voices_without_it() -> None:
    quiet = [b for b in speaking.speak("Hello.", ToneVoice(), phonemiser=NoEspeak(), manner=Manner(energy=-6.0)) if b.text]
    assert np.abs(quiet[0].samples).max() == pytest.approx(0.5 * 10 ** (-6 / 20), rel=1e-3)
