"""`expplat watch`, and what it does where it cannot look."""

from __future__ import annotations

import time

import pytest

from expplat.errors import DatabaseError
from expplat.flow import watch


@pytest.fixture
def looks(monkeypatch):
    """Two looks at a database that is away, one at a database that is back, then Ctrl-C."""
    answers = iter([DatabaseError("It is away."), DatabaseError("It is away."), ()])

    def look(desk):
        answer = next(answers, KeyboardInterrupt())
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(watch, "watch_once", look)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_a_watch_outlives_an_outage_of_the_database(expplat, looks):
    watched = expplat("watch")

    assert watched.stderr.count("It is away. The next look is in 60 s.") == 2
    assert "No online test is running." in watched.stdout


def test_one_look_while_the_database_is_away_ends_with_3(expplat, looks):
    watched = expplat("watch", "--once")

    assert (watched.exit_code, "It is away." in watched.stderr) == (3, True)
