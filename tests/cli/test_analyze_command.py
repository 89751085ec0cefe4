"""`expplat analyze` as a stranger types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expplat.cli._main import app
from tests.flow.tables import users

ASKED = ("--unit", "user", "--variant", "variant", "--control", "control")
SPENT = (*ASKED, "--metric", "spent=mean")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    users(600, seed=1, lift=1.0).to_csv("t.csv", index=False)
    return tmp_path


def typed(*words: object, width: int = 80):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": str(width)})


def test_the_answer_says_what_won_and_why(folder):
    done = typed("analyze", "t.csv", *SPENT)

    assert done.exit_code == 0
    assert "✓ pass" in done.output
    assert "b wins: spent changed by +" in done.output
    assert "● effect  ├─┤ interval" in done.output


def test_a_verdict_that_is_no_pass_has_an_exit_status_of_its_own(folder):
    lower = typed("analyze", "t.csv", *ASKED, "--metric", "spent=mean:spent:lower")

    assert lower.exit_code == 1
    assert "✗ fail  b loses" in lower.output


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(folder, width):
    users(900, arms=("a long name of a variant", "变体")).to_csv("many.csv", index=False)

    done = typed("analyze", "many.csv", *SPENT, "--metric", "bought=proportion", "--margin",
                 "bought=0.05", "--covariate", "before", "--look", "day", width=width)  # fmt: skip

    from rich.cells import cell_len

    assert max(map(cell_len, done.output.splitlines())) <= width


def test_a_wide_terminal_shows_more(folder):
    narrow, wide = (typed("analyze", "t.csv", *SPENT, width=width) for width in (70, 140))

    assert "lift" in wide.output.splitlines()[0]
    assert "lift" not in narrow.output.splitlines()[0]
    assert "in a wider terminal" in narrow.output
    assert "in a wider terminal" not in wide.output


def test_zero_of_every_line_of_the_plot_is_in_one_column(folder):
    done = typed("analyze", "t.csv", *SPENT, "--metric", "a longer name=mean:before")

    lines = done.output.splitlines()
    start = next(place for place, line in enumerate(lines) if "worse" in line)
    zero = lines[start].index("0")
    assert {line[zero] for line in lines[start + 1 : start + 3]} <= {"│", "┼", "●", "├", "┤"}


def test_json_is_all_that_is_printed_and_has_every_field(folder):
    done = typed("analyze", "t.csv", *SPENT, "--json")

    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert set(found) >= {"comparisons", "health", "verdict"}
    assert set(found["comparisons"][0]) >= {
        "metric", "variant", "method", "n_control", "n_treatment", "control", "treatment", "effect",
        "ci_low", "ci_high", "p", "p_adjusted", "relative", "relative_ci_low", "relative_ci_high",
        "ruling", "sentence",
    }  # fmt: skip
    assert set(found["health"][0]) == {"check", "ruling", "p", "detail", "sentence"}
    assert set(found["verdict"]) == {"ruling", "sentence"}


def test_every_fault_of_the_words_is_named_at_once(folder):
    done = typed("analyze", "t.csv", *ASKED, "--metric", "x=men:spent", "--split", "5,1",
                 "--metric", "y=mean:spent", "--margin", "z=1", "--method", "y=zz")  # fmt: skip

    assert done.exit_code == 2
    for word in ("Did you mean mean?", "'5' is no share", "no metric 'z'", "is no method"):
        assert word in done.output
    assert "Traceback" not in done.output


TEXTS = {
    "empty.csv": "",
    "header.csv": "user,variant,spent\n",
    "broken.csv": 'user,variant,spent\n1,control,2\n2,b\n"3,b,4,5,6\n',
    "binary.csv": "\x00\x01" * 50,
    "control.csv": "user,variant,spent\n1,control,2\n2,control,3\n",
    "variants.csv": "user,variant,spent\n" + "".join(f"{n},v{n},{n}\n" for n in range(3_000)),
    "words.csv": "user,variant,spent\n1,control,two\n2,b,3\n",
    "table.xlsx": "PK",
    "twice.csv": "user,variant,spent,Spent\n1,control,2,3\n2,b,3,4\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_broken_file_is_a_sentence_and_status_2(folder, name):
    (folder / name).write_text(TEXTS[name])

    done = typed("analyze", name, *SPENT)

    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((".", *SPENT), 2),
        (("nowhere.csv", *SPENT), 2),
        (("https://example.com/t.csv", *SPENT), 2),
        (SPENT, 2),
        (("t.csv", *SPENT, "--sql", "SELECT * FRM data"), 2),
        (("t.csv", *SPENT, "--sql", "DROP TABLE data"), 2),
        (("t.csv", *SPENT, "--split", "control=1,c=1"), 2),
        (("t.csv", *SPENT, "--covariate", "spent"), 2),
        (("t.csv", *SPENT, "--metric", "spent=count"), 2),
        (("t.csv", *SPENT, "--report", "/nowhere/at/all.html"), 2),
        (("t.csv", *SPENT, "--nonsense"), 2),
        ((*SPENT, "--database", "sqlite:///away.db", "--sql", "SELECT 1"), 3),
        ((*SPENT, "--database", "postgresql://u:secret@127.0.0.1:1/x", "--sql", "SELECT 1"), 3),
    ],
)
def test_a_mistake_is_a_sentence_with_its_status(folder, words, status):
    done = typed("analyze", *words)

    assert done.exit_code == status
    assert "rror: " in done.output
    assert "Traceback" not in done.output
    assert "secret" not in done.output


def test_numbers_of_a_csv_are_numbers_in_a_query_and_ids_stay_apart(folder):
    rows = [f"{name},{'b' if at % 2 else 'control'},{at},2017-01-{1 + at % 28:02},{at % 3 > 0}"
            for at, name in enumerate([*(f"0{n}" for n in range(40)), *range(40)])]  # fmt: skip
    text = "user,variant,spent,day,is_new\n" + "\n".join(rows)
    (folder / "ids.csv").write_text(text)
    query = "SELECT * FROM data WHERE spent < 75 AND is_new AND day > DATE '2017-01-02'"

    found = json.loads(typed("analyze", "ids.csv", *SPENT, "--sql", query, "--json").stdout)

    (one,) = found["comparisons"]
    kept = [at for at in range(75) if at % 3 > 0 and at % 28 > 1]
    assert one["n_control"] + one["n_treatment"] == len(kept)


def test_names_of_any_language_are_names(folder):
    frame = users(200).rename(columns={"user": "ñutzer", "variant": "группа", "spent": "größe €"})
    frame.replace({"группа": {"control": "контроль", "b": "变体"}}).to_csv("u.csv", index=False)

    done = typed("analyze", "u.csv", "--unit", "ñutzer", "--variant", "группа", "--control",
                 "контроль", "--metric", "g=mean:größe €")  # fmt: skip

    assert done.exit_code == 1
    assert "变体" in done.output


def test_a_report_names_no_password(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["expplat", "analyze", "--database", "pg://me:secret@h/x"])

    typed("analyze", "t.csv", *SPENT, "--report", "page.html")

    page = (folder / "page.html").read_text()
    assert "pg://me:***@h/x" in page
    assert "secret" not in page


def test_an_interrupt_leaves_no_traceback(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "expplat", "analyze", *SPENT, "--sql",
         "SELECT a.range AS user, CASE WHEN a.range % 2 = 0 THEN 'b' ELSE 'control' END AS variant,"
         " sum(a.range * b.range) AS spent FROM range(1000000) a, range(1000000) b GROUP BY ALL"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip
    try:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "Traceback" not in said
