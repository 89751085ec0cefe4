"""`expplat decide` and `expplat selftest`, as they are typed."""

from __future__ import annotations

import pytest

from expplat.domain.decision import Action, Decision, Outcome
from expplat.flow import decide as flow_decide
from expplat.flow import selftest as flow_selftest
from expplat.flow.decide import Decided, Difference, Replayed
from expplat.flow.selftest_worlds import Rate
from tests.builders import a_look
from tests.cli.conftest import SLUG


def test_a_stored_verdict_is_made_again_and_found_identical(expplat):
    expplat("propose", expplat.file)
    expplat("replay", SLUG, "--engine", "local")

    done = expplat("decide", "--replay", SLUG)
    told = expplat.json("decide", "--replay", f"{SLUG}/1")

    assert done.exit_code == 0
    assert done.stdout.startswith(f"{SLUG}/1 (replayed): identical, sha256 ")
    assert told["identical"] is True
    assert told["differences"] == []
    assert told["stored_sha256"] == told["again_sha256"]
    assert told["stored_sha256"] in done.stdout


def test_a_step_that_stands_on_nothing_and_a_place_that_is_none_are_your_input(expplat):
    expplat("propose", expplat.file)

    for place in (SLUG, f"{SLUG}/0", f"{SLUG}/7", f"{SLUG}/first", f"{SLUG}/", "nobody"):
        done = expplat("decide", "--replay", place)

        assert done.exit_code == 2, place
        assert "Traceback" not in done.output


def test_a_poc_whose_test_does_not_run_has_nothing_to_decide(expplat):
    expplat("propose", expplat.file)

    done = expplat("decide", SLUG)

    assert done.exit_code == 2
    assert "no test of it is running" in done.output


@pytest.mark.parametrize(
    ("outcome", "action", "status"),
    [
        (Outcome.GRADUATE, Action.GRADUATE, 0),
        (Outcome.CONTINUE, Action.KEEP_RUNNING, 1),
        (Outcome.REJECT, Action.ROLL_BACK, 1),
        (Outcome.INCONCLUSIVE, Action.HOLD, 1),
    ],
)
def test_deciding_exits_with_0_on_graduation_alone(expplat, monkeypatch, outcome, action, status):
    decision = Decision(outcome=outcome, action=action, reasons=("First.", "Second."))
    monkeypatch.setattr(
        flow_decide, "decide_now", lambda slug, desk: Decided(slug, a_look(), decision)
    )

    done = expplat("decide", SLUG)
    told = expplat.json("decide", SLUG)

    assert done.exit_code == status
    assert done.stdout.startswith(f"{SLUG}: {outcome}. First.")
    assert "also: Second." in done.stdout
    assert told["decision"] == {
        "outcome": outcome, "action": action, "reasons": ["First.", "Second."],
        "arm": "treatment",
    }  # fmt: skip
    assert len(told["verdicts"]) == 1


def test_what_is_not_what_was_stored_is_listed_and_exits_with_1(expplat, monkeypatch):
    found = Replayed(
        SLUG, 3, "graduated", "a" * 64, "b" * 64, (Difference("look", 1.5, "x" * 200),)
    )
    monkeypatch.setattr(flow_decide, "replay_decision", lambda *_, desk: found)

    done = expplat("decide", "--replay", f"{SLUG}/3")
    told = expplat.json("decide", "--replay", SLUG)

    assert done.exit_code == 1
    assert "not what was stored" in done.stdout
    assert "look: stored 1.5, again" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 160
    assert told["identical"] is False
    assert told["differences"][0]["path"] == "look"


def rate(found):
    return Rate("no effect", "graduated", found=found, tests=400, bound=0.025, is_ceiling=True)


@pytest.mark.parametrize(("found", "status"), [(10, 0), (40, 1)])
def test_the_self_test_exits_with_1_where_a_rate_is_outside_its_bound(
    expplat, monkeypatch, found, status
):
    monkeypatch.setattr(flow_selftest, "selftest", lambda *_: (rate(found),))

    done = expplat("selftest")
    told = expplat.json("selftest")

    assert done.exit_code == status
    assert "no effect" in done.stdout
    assert f"{found / 4:.1f} ±" in done.stdout
    assert told[0]["rate"] == found / 400
    assert told[0]["holds"] is (status == 0)


def test_the_self_test_takes_the_plan_of_a_poc_and_the_numbers_that_are_asked_for(
    expplat, monkeypatch
):
    asked = []
    monkeypatch.setattr(flow_selftest, "selftest", lambda *given: asked.append(given) or (rate(0),))
    expplat("propose", expplat.file)

    assert expplat("selftest", SLUG, "--tests", 20, "--seed", 11).exit_code == 0
    assert expplat("selftest").exit_code == 0
    assert expplat("selftest", "nobody").exit_code == 2

    assert asked[0][0].slug == SLUG
    assert asked[0][1][:2] == (20, 11)
    assert asked[1][0] is None
    assert asked[1][1][:2] == (400, 7)
