"""What a replay says in a terminal of 80 columns."""

from __future__ import annotations

import pytest

from expplat.cli._columns import cell_width
from expplat.cli._replay_words import say_replay
from tests.builders import a_proposal
from tests.rich_reports import (
    a_hostile_report,
    a_report_of_nothing,
    a_rich_report,
    an_extreme_report,
)


@pytest.fixture
def said(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def say(report, **more):
        say_replay(report, a_proposal(), **more)
        return capsys.readouterr().out

    return say


def test_it_says_the_gates_the_stages_the_cost_and_the_claim(said):
    text = " ".join(said(a_rich_report(), lies_at=("report: here.html",)).split())

    assert "✗ fail non inferiority of recall_at_5 in topic=syntax" in text
    assert "▼ rerank 0 ms 21.3 ms +21.3 ms [+20.15, +22.45]" in text
    assert "together 184 ms 205.1 ms" in text
    assert "rerank added 21.3 ms" in text
    assert "1,000 requests cost 0.525 USD" in text
    assert "worst topic=syntax: −6.1 pp [−8.1, −4.1], harmed" in text
    assert "22 % [−85, +130] of the claim" in text
    assert text.endswith("report: here.html")


@pytest.mark.parametrize("report", [a_rich_report(), an_extreme_report(), a_report_of_nothing()])
def test_no_line_is_wider_than_the_terminal(said, report):
    assert [line for line in said(report).splitlines() if cell_width(line) > 80] == []


def test_words_are_kept_whole(said):
    words = set(said(a_rich_report()).split())

    assert {"inferiority", "recall_at_5", "topic=syntax:", "production"} <= words


def test_a_replay_that_was_judged_before_says_so(said):
    assert "nothing has changed since" in " ".join(said(a_rich_report(), is_new=False).split())


def test_no_text_of_a_log_moves_or_colours_the_terminal(said):
    text = said(a_hostile_report("\x1b[2J\x07\rgone"))

    assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]
