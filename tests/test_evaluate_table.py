"""The one table of all reports: fitted to a width, as Markdown and as CSV; the cells; the definitions of figures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from gansynth_cli.cli.app import main
from gansynth_cli.errors import UsageError
from gansynth_cli.metrics import definitions, table
from gansynth_cli.metrics.figure import Figure, absent, mean_of, share_of, too_few
from gansynth_cli.metrics.pairs.figures import FIGURES as PAIRS
from gansynth_cli.metrics.report import distinct_names, failures, failures_of, make_report

FIGURES = tuple(PAIRS.values())


def system(name: str, level: float, figures: tuple[Figure, ...] = FIGURES, **more) -> dict:
    cells = {figure.key: mean_of([level + i, level + i + 0.5]) for i, figure in enumerate(figures)}
    return {"name": name, "role": "system", "path": name, "files": 3, "failed": 1, "figures": cells, "failures": [], **more}


def report(*names: str, figures: tuple[Figure, ...] = FIGURES, **more) -> dict:
    return make_report("pairs", figures, [system(name, 10.0 * i, figures, **more) for i, name in enumerate(names)])


def columns_of(line: str) -> int:
    return sum(2 if "ぁ" <= c <= "龥" else 1 for c in line)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("systems", [1, 2, 7])
def test_no_line_is_wider_than_the_terminal(width, systems):
    names = [f"runs/a-long-name-of-a-model-{i}/converted" for i in range(systems)]
    text = table.text(report(*names), width)
    lines = text.splitlines()
    assert max(map(columns_of, lines)) <= width
    assert sum(line.startswith("SI-SDR, dB ↑") for line in lines) == sum(line.startswith("figure") for line in lines) >= 1
    for i in range(systems):
        assert f"model-{i}/converted" in text  # what tells the names apart is kept
        assert table.number(10.0 * i + 3.25) in text


def test_few_figures_are_columns_and_many_are_rows():
    few = table.text(report("clean", "noisy", figures=FIGURES[:3]), 80).splitlines()
    assert few[0].split() == ["system", "files", "failed", "PESQ-WB,", "MOS", "↑", "STOI", "↑", "ESTOI", "↑"]
    assert few[2].split()[:3] == ["clean", "3", "1"]
    many = table.text(report("clean", "noisy"), 80).splitlines()
    assert many[0].split() == ["figure", "clean", "noisy"]
    assert many[2].split() == ["files", "3", "3"]
    assert len(many) == 2 + 2 + len(FIGURES)


def test_names_take_the_columns_that_a_terminal_gives_them():
    text = table.text(report("スネア", "é", figures=FIGURES[:1]), 80).splitlines()
    assert len({columns_of(line) for line in text[1:3]}) == 1


def test_groups_are_one_table_if_that_fits_and_else_one_each():
    group = {"0 dB": {"files": 2, "figures": {}}, "clean": {"files": 1, "figures": {}}}
    for entry in group.values():
        entry["figures"] = {figure.key: mean_of([1.0, 2.0]) for figure in FIGURES}
    small = {name: {**entry, "figures": {"pesq": entry["figures"]["pesq"]}} for name, entry in group.items()}
    together = table.text(report("a", "b", figures=FIGURES[:1], groups=small), 80).split("\n\n")[1].splitlines()
    assert together[0].split()[:2] == ["group", "system"]
    assert [line.split()[:4] for line in together[2:4]] == [["0", "dB,", "2", "files"]] * 2
    assert len(together) == 6
    apart = table.text(report("a", "b", groups=group), 80).split("\n\n")[1:]
    assert [part.splitlines()[0] for part in apart] == ["0 dB, 2 files", "clean, 1 files"]
    one = table.text(report("a", groups={"0 dB": group["0 dB"]}), 80)
    assert "0 dB" not in one  # a single group is the whole


def test_differences_have_a_sign_and_a_count():
    gap = {"pesq": mean_of([0.25, 0.75]) | {"better": 1}, "stoi": mean_of([-0.5, -0.5]) | {"better": 0}}
    difference = {"from": "a", "figures": gap}
    found = make_report("pairs", FIGURES[:2], [system("a", 0, FIGURES[:2]), system("b", 1, FIGURES[:2], difference=difference)])
    assert "+0.500 ± 0.250 (1/2)" in table.text(found, 80)
    assert "-0.500 ± 0.000 (0/2)" in table.text(found, 80)
    assert "difference from a" in table.markdown(found)
    rows = [row for row in csv.DictReader(io.StringIO(table.csv_text(found))) if row["group"] == "difference from a"]
    assert [(row["figure"], float(row["value"])) for row in rows] == [("pesq", 0.5), ("stoi", -0.5)]


@pytest.mark.parametrize(
    "value, expected",
    [
        (0, "0.000"),
        (1, "1.000"),
        (-0.0874, "-0.087"),
        (0.009991, "0.0100"),
        (0.00512, "0.0051"),
        (0.01, "0.010"),
        (9.9994, "9.999"),
        (9.9996, "10.00"),
        (99.996, "100.0"),
        (762.94, "762.9"),
        (1121.3, "1121"),
        (50000.2, "50000"),
        (3e-9, "0.000000"),
        (-2.4e-5, "-0.000024"),
    ],
)
def test_numbers_have_four_digits_and_at_most_three_decimals(value, expected):
    assert table.number(value) == expected


def test_cells():
    assert mean_of([1.0, 2.0, 6.0], failed=2) == {"n": 3, "failed": 2, "value": 3.0, "standard_error": pytest.approx(np.sqrt(7 / 3))}
    assert mean_of([4.0]) == {"n": 1, "failed": 0, "value": 4.0}
    assert mean_of([], 3) == {"n": 0, "failed": 3}
    assert share_of(np.array([True, False, True, True])) == {"value": 0.75, "standard_error": pytest.approx(np.sqrt(3 / 64)), "n": 4}
    cells = {"a": mean_of([1.0], 1), "b": too_few(129, 60), "c": absent("no labels"), "d": mean_of([], 2), "e": share_of(np.ones(2, bool))}
    figures = [Figure(key, key, "", "") for key in cells]
    entry = {"name": "x", "role": "system", "path": "", "files": 2, "failed": 0, "figures": cells, "failures": []}
    found = make_report("clips", figures, [entry])
    header, _, row = table.text(found, 80).splitlines()
    assert header.split() == ["system", "files", "failed", "a", "b", "d", "e"]  # c has no value in any system
    assert row.split() == ["x", "2", "0", "1.000", "(n=1)", "needs", "129", "-", "1.000"]
    assert found["notes"] == ["no value for c: no labels"]


def test_markdown_is_a_table_with_a_row_for_each_figure():
    lines = table.markdown(report("a|b", "c", figures=FIGURES[:2])).splitlines()
    assert lines[0] == "| system | files | failed | PESQ-WB, MOS ↑ | STOI ↑ |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[2] == "| a\\|b | 3 | 1 | 0.250 ± 0.250 | 1.250 ± 0.250 |"
    assert table.markdown(report("a", "b")).splitlines()[0] == "| figure | a | b |"


def test_csv_has_every_value_with_all_digits():
    found = make_report(
        "clips",
        FIGURES[:3],
        [
            {
                **system("one, two", 0),
                "figures": {"pesq": {"value": 1 / 3, "standard_error": 1e-9, "n": 5}, "stoi": too_few(129, 60), "estoi": absent("no")},
                "groups": {"0 dB": {"files": 1, "figures": {"pesq": mean_of([2.0])}}},
            }
        ],
    )
    rows = list(csv.DictReader(io.StringIO(table.csv_text(found))))
    assert list(rows[0]) == list(table.CSV_COLUMNS)
    by_figure = {(row["group"], row["figure"]): row for row in rows}
    assert by_figure["", "files"]["value"] == "3"
    assert by_figure["", "failed"]["value"] == "1"
    pesq = by_figure["", "pesq"]
    assert (pesq["system"], float(pesq["value"]), float(pesq["standard_error"]), pesq["n"]) == ("one, two", 1 / 3, 1e-9, "5")
    assert (pesq["unit"], pesq["better"]) == ("MOS", "higher")
    assert by_figure["", "stoi"]["reason"] == "needs 129, has 60"
    assert by_figure["", "estoi"]["reason"] == "no"
    assert by_figure["0 dB", "pesq"]["value"] == "2.0"


def test_one_list_of_failures():
    entries = [
        system("a", 0, failures=failures_of("x.wav", "silent")),
        system("b", 0, failures=failures_of("y.wav", "", {"pesq": "no utterance", "stoi": 0.5})),
    ]
    assert failures(make_report("pairs", FIGURES, entries)) == [
        {"system": "a", "file": "x.wav", "figure": "all", "reason": "silent"},
        {"system": "b", "file": "y.wav", "figure": "pesq", "reason": "no utterance"},
    ]


def test_systems_are_named_by_what_tells_them_apart(tmp_path):
    assert distinct_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert distinct_names([tmp_path / "run1" / "clips", tmp_path / "run2" / "clips"]) == ["run1/clips", "run2/clips"]
    with pytest.raises(UsageError, match="given twice"):
        distinct_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


# Definitions


@pytest.mark.parametrize("kind", ["clips", "notes", "pairs", "voices"])
def test_the_documentation_has_the_definitions(kind):
    """Refresh docs/evaluate.md with the output of `gan-audio evaluate figures KIND --format md`."""
    text = (Path(__file__).parent.parent / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert definitions.as_markdown(definitions.KINDS[kind]) in text


@pytest.mark.parametrize("kind", list(definitions.KINDS))
def test_every_figure_is_defined(kind):
    keys = [figure.key for figure in definitions.KINDS[kind]]
    assert len(set(keys)) == len(keys)
    for figure in definitions.KINDS[kind]:
        assert len(figure.meaning) > 20
        assert figure.better in ("higher", "lower", "")
        assert not figure.meaning.endswith(".")


def test_the_definitions_by_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["evaluate", "figures", "pairs"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "si_sdr  SI-SDR; dB; higher is better; in enhancement" in text
    assert "Le Roux et al. 2019" in " ".join(text.split())
    assert main(["evaluate", "figures", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["figures"]
    assert {"inception_score", "pitch_accuracy", "pesq", "to_target", "diversity"} <= {figure["key"] for figure in listed}
    assert next(figure for figure in listed if figure["key"] == "log_f0_rmse_target")["needs"] == "--target"
    assert main(["evaluate", "figures", "notes", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["key"] for row in rows] == [figure.key for figure in definitions.KINDS["notes"]]
    assert main(["evaluate", "figures", "note"]) == 2
    assert "did you mean notes?" in capsys.readouterr().err
