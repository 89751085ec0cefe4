from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Poc, Stage
from expplat.flow.flags import (
    FlagState,
    flag_states,
    holdout_key,
    is_holdout_key,
    proposals_needed,
)
from expplat.flow.ports import Brake
from tests.builders import PROPOSAL_SHA256, SLUG, T0, a_poc, a_proposal, a_transition

PROPOSALS = {PROPOSAL_SHA256: a_proposal()}
DAY = timedelta(days=1)


def the_flag(poc: Poc, closed=None, proposals=PROPOSALS) -> FlagState:
    (state,) = flag_states([poc], proposals, closed or {})
    return state


@pytest.mark.parametrize("stage", [None, Stage.PROPOSED, Stage.REPLAYED, Stage.REJECTED])
def test_a_poc_that_was_never_promoted_has_no_flag(stage):
    states = flag_states([a_poc(stage)], PROPOSALS, {SLUG: Brake(T0)})

    assert states == ()


def test_a_promoted_poc_is_a_test_on_the_unit_of_its_plan():
    state = the_flag(a_poc(Stage.PROMOTED))

    assert state.is_test
    assert (state.phase, state.traffic_percent, state.unit) == (1, 5.0, "user_id")
    assert state.changed_at == a_poc(Stage.PROMOTED).newest.at


def test_a_graduated_poc_serves_the_treatment():
    state = the_flag(a_poc(Stage.GRADUATED))

    assert state.is_graduated
    assert not state.is_test


def test_a_poc_that_was_rolled_back_and_proposed_again_keeps_its_flag_at_control():
    rolled_back = a_poc(Stage.ROLLED_BACK)
    again = rolled_back.advance(a_transition(Stage.PROPOSED, at=T0 + DAY, phase=1))
    replayed = again.advance(a_transition(Stage.REPLAYED, at=T0 + 2 * DAY, phase=1))

    state = the_flag(replayed)

    assert state.stage is Stage.ROLLED_BACK
    assert not state.is_test
    assert not state.is_graduated
    assert state.changed_at == rolled_back.newest.at


def test_a_flag_changes_when_what_it_serves_does_and_not_before():
    promoted = a_poc(Stage.PROMOTED)
    same = promoted.advance(a_transition(Stage.PROMOTED, at=T0 + DAY))
    wider = same.advance(a_transition(Stage.PROMOTED, at=T0 + 2 * DAY, traffic_percent=20.0))

    assert the_flag(same).changed_at == promoted.newest.at
    assert the_flag(wider).changed_at == wider.newest.at


@pytest.mark.parametrize("stage", [Stage.PROMOTED, Stage.GRADUATED])
def test_the_brake_closes_a_flag_whatever_the_history_says(stage):
    state = the_flag(a_poc(stage), closed={SLUG: Brake(T0 + DAY)})

    assert not state.is_test
    assert not state.is_graduated
    assert state.changed_at == T0 + DAY


def test_a_brake_of_an_earlier_test_does_not_hold_a_later_one():
    poc = a_poc(Stage.PROMOTED)

    assert the_flag(poc, closed={SLUG: Brake(T0, phase=0)}).is_test
    assert not the_flag(poc, closed={SLUG: Brake(T0, phase=1)}).is_test


def test_a_test_whose_proposal_cannot_be_read_is_served_closed():
    state = the_flag(a_poc(Stage.PROMOTED), proposals={})

    assert not state.is_test


def test_a_graduated_flag_whose_proposal_cannot_be_read_is_served_closed():
    state = the_flag(a_poc(Stage.GRADUATED), proposals={})

    assert not state.is_graduated


def test_only_the_files_of_open_flags_are_needed():
    closed = [stage for stage in Stage if stage not in (Stage.PROMOTED, Stage.GRADUATED)]

    assert proposals_needed([a_poc(Stage.PROMOTED)]) == {PROPOSAL_SHA256}
    assert proposals_needed([a_poc(Stage.GRADUATED)]) == {PROPOSAL_SHA256}
    assert proposals_needed([a_poc(stage) for stage in closed]) == frozenset()


@pytest.mark.parametrize("stage", [Stage.PROMOTED, Stage.GRADUATED])
def test_a_flag_knows_who_its_plan_lets_in(stage):
    entrance = {
        "targeting": {"country": "CH"},
        "exclusion": Exclusion(group="rag", from_percent=0, to_percent=50),
        "holdout": Holdout(name="search_2026", percent=5),
        "requires": "parent",
    }
    proposal = a_proposal(online=replace(a_proposal().online, **entrance))

    state = the_flag(a_poc(stage), proposals={PROPOSAL_SHA256: proposal})

    assert {name: getattr(state, name) for name in entrance} == entrance
    assert state.arms == ("control", "treatment")


def test_a_graduated_flag_serves_the_treatment_that_was_decided_for():
    poc = a_poc(Stage.GRADUATED, evidence={"decision": {"arm": "treatment_b"}})

    assert the_flag(poc).winner == "treatment_b"
    assert the_flag(a_poc(Stage.GRADUATED)).winner == "treatment"


def test_a_new_revision_of_a_plan_changes_the_flag_only_when_it_is_promoted():
    poc = a_poc(Stage.ROLLED_BACK)
    for day, stage in enumerate((Stage.PROPOSED, Stage.REPLAYED, Stage.PROMOTED), start=1):
        phase = 2 if stage is Stage.PROMOTED else 1
        step = a_transition(stage, at=T0 + day * DAY, phase=phase, proposal_sha256="f" * 64)
        poc = poc.advance(step)

    state = the_flag(poc, proposals={"f" * 64: a_proposal()})

    assert (state.phase, state.changed_at) == (2, T0 + 3 * DAY)


def test_what_a_holdout_is_called_is_the_key_of_no_test():
    assert is_holdout_key(holdout_key("search_2026"))
    assert not is_holdout_key("holdout.p1")
    assert not is_holdout_key("holdout_rrf")


def test_flags_come_by_slug():
    pocs = [a_poc(Stage.PROMOTED, slug=slug) for slug in ("b", "c", "a")]

    assert [state.slug for state in flag_states(pocs, PROPOSALS, {})] == ["a", "b", "c"]
