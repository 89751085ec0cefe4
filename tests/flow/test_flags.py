from __future__ import annotations

from datetime import timedelta

import pytest

from expplat.domain.poc import Poc, Stage
from expplat.flow.flags import FlagState, flag_states, proposals_needed
from tests.builders import PROPOSAL_SHA256, SLUG, T0, a_poc, a_proposal, a_transition

PROPOSALS = {PROPOSAL_SHA256: a_proposal()}
DAY = timedelta(days=1)


def the_flag(poc: Poc, closed=None, proposals=PROPOSALS) -> FlagState:
    (state,) = flag_states([poc], proposals, closed or {})
    return state


@pytest.mark.parametrize("stage", [None, Stage.PROPOSED, Stage.REPLAYED, Stage.REJECTED])
def test_a_poc_that_was_never_promoted_has_no_flag(stage):
    states = flag_states([a_poc(stage)], PROPOSALS, {SLUG: T0})

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
    state = the_flag(a_poc(stage), closed={SLUG: T0 + DAY})

    assert not state.is_test
    assert not state.is_graduated
    assert state.changed_at == T0 + DAY


def test_a_test_whose_proposal_cannot_be_read_is_served_closed():
    state = the_flag(a_poc(Stage.PROMOTED), proposals={})

    assert not state.is_test


def test_only_the_files_of_running_tests_are_needed():
    pocs = [a_poc(stage, slug=stage.value) for stage in Stage]

    assert proposals_needed(pocs) == {PROPOSAL_SHA256}
    assert proposals_needed([a_poc(Stage.GRADUATED), a_poc(Stage.PROPOSED)]) == frozenset()


def test_flags_come_by_slug():
    pocs = [a_poc(Stage.PROMOTED, slug=slug) for slug in ("b", "c", "a")]

    assert [state.slug for state in flag_states(pocs, PROPOSALS, {})] == ["a", "b", "c"]
