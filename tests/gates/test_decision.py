"""What follows from the verdicts of one look, without the statistics that made them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.decision import Action, Decision, Outcome
from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.plain import canonical_json, from_plain, to_plain
from expplat.gates.decision import (
    ASKED_OF_ALL,
    STEP_HEALTH,
    alarms,
    decide,
    is_harm,
    standing_in_the_way,
    step_blockers,
)
from tests.builders import an_effect

PASS, FAIL, UNKNOWN = Ruling
HEALTH = tuple(kind for kind in ASKED_OF_ALL if kind is not GateKind.SUPERIORITY)


def said(kind: GateKind, ruling: Ruling, name: str = "", **effect) -> Verdict:
    """A verdict with an interval from -1 to 1, or as told; health gates have none."""
    judged = an_effect(name or "m", **{"difference": 0.0, "low": -1.0, "high": 1.0} | effect)
    return Verdict(
        gate=Gate(kind=kind, metric=name or None, margin=0.5),
        ruling=ruling,
        sentence=f"{name or kind} is {ruling}.",
        effect=None if kind in HEALTH else judged,
    )


def healthy(**changed: Ruling) -> tuple[Verdict, ...]:
    return tuple(said(kind, changed.get(kind, PASS)) for kind in HEALTH)


def success(ruling: Ruling, name: str = "goal", **effect) -> Verdict:
    return said(GateKind.SUPERIORITY, ruling, name, **effect)


def guardrail(ruling: Ruling, name: str = "guardrail", **effect) -> Verdict:
    return said(GateKind.NON_INFERIORITY, ruling, name, **effect)


WON, TOO_SMALL, OPEN = success(PASS), success(FAIL), success(UNKNOWN)
LOST = success(FAIL, high=-0.1)
SAFE, HARMED = guardrail(PASS), guardrail(FAIL)
UNREAD = guardrail(UNKNOWN, low=None, high=None)

ROWS = {
    "all pass": ((*healthy(), WON, SAFE), False, Outcome.GRADUATE, Action.GRADUATE),
    "all pass at the end": ((*healthy(), WON, SAFE), True, Outcome.GRADUATE, Action.GRADUATE),
    "harm beside a win": ((*healthy(), WON, HARMED), False, Outcome.REJECT, Action.ROLL_BACK),
    "not equivalent": (
        (*healthy(), WON, said(GateKind.EQUIVALENCE, FAIL, "same")), False,
        Outcome.REJECT, Action.ROLL_BACK,
    ),
    "a wrong split": ((*healthy(srm=FAIL), WON, SAFE), False, Outcome.REJECT, Action.ROLL_BACK),
    "harm on the first day": (
        (*healthy(min_days=UNKNOWN), OPEN, HARMED), False, Outcome.REJECT, Action.ROLL_BACK,
    ),
    "a goal that surely lost, on the first day": (
        (*healthy(min_days=UNKNOWN), LOST, SAFE), False, Outcome.REJECT, Action.ROLL_BACK,
    ),
    "proven too small": ((*healthy(), TOO_SMALL, SAFE), False, Outcome.REJECT, Action.ROLL_BACK),
    "proven too small, too early": (
        (*healthy(min_days=UNKNOWN), TOO_SMALL, SAFE), False,
        Outcome.CONTINUE, Action.KEEP_RUNNING,
    ),
    "not known yet": ((*healthy(), OPEN, SAFE), False, Outcome.CONTINUE, Action.KEEP_RUNNING),
    "not known at the end": (
        (*healthy(), OPEN, SAFE), True, Outcome.INCONCLUSIVE, Action.ROLL_BACK,
    ),
    "a win, too early": (
        (*healthy(min_units=UNKNOWN), WON, SAFE), False, Outcome.CONTINUE, Action.KEEP_RUNNING,
    ),
    "a win, and never enough units": (
        (*healthy(min_units=UNKNOWN), WON, SAFE), True, Outcome.INCONCLUSIVE, Action.HOLD,
    ),
    "values are missing": (
        (*healthy(data_quality=FAIL), WON, SAFE), False, Outcome.INCONCLUSIVE, Action.HOLD,
    ),
    "values are missing behind a gate that waits": (
        (*healthy(max_multiple_exposures=UNKNOWN, data_quality=FAIL), WON, SAFE), False,
        Outcome.INCONCLUSIVE, Action.HOLD,
    ),
    "a guardrail without result": (
        (*healthy(), WON, UNREAD), False, Outcome.CONTINUE, Action.KEEP_RUNNING,
    ),
    "a guardrail without result at the end": (
        (*healthy(), WON, UNREAD), True, Outcome.INCONCLUSIVE, Action.HOLD,
    ),
    "too small, and a guardrail without result": (
        (*healthy(), TOO_SMALL, UNREAD), False, Outcome.CONTINUE, Action.KEEP_RUNNING,
    ),
    "nothing at all": ((), False, Outcome.CONTINUE, Action.KEEP_RUNNING),
    "nothing at all at the end": ((), True, Outcome.INCONCLUSIVE, Action.HOLD),
    "no success metric": ((*healthy(), SAFE), False, Outcome.CONTINUE, Action.KEEP_RUNNING),
    "one goal of two": (
        (*healthy(), WON, success(UNKNOWN, "other"), SAFE), False,
        Outcome.CONTINUE, Action.KEEP_RUNNING,
    ),
    "one goal of two too small": (
        (*healthy(), WON, success(FAIL, "other"), SAFE), False, Outcome.REJECT, Action.ROLL_BACK,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("verdicts", "final", "outcome", "action"), ROWS.values(), ids=ROWS)
def test_what_follows_where_every_success_metric_must_pass(verdicts, final, outcome, action):
    decision = decide(verdicts, final=final)

    assert (decision.outcome, decision.action) == (outcome, action)


OTHER_OPEN, OTHER_SMALL = success(UNKNOWN, "other"), success(FAIL, "other")
ANY_ROWS = {
    "one won": ((*healthy(), WON, OTHER_OPEN, SAFE), False, Outcome.GRADUATE),
    "one won, one too small": ((*healthy(), OTHER_SMALL, WON, SAFE), False, Outcome.GRADUATE),
    "one won, one without result": (
        (*healthy(), WON, success(UNKNOWN, "other", low=None), SAFE), False, Outcome.GRADUATE,
    ),
    "one won, one surely lost": (
        (*healthy(), WON, success(FAIL, "other", high=-0.1), SAFE), False, Outcome.REJECT,
    ),
    "one won, a guardrail open": (
        (*healthy(), WON, OTHER_SMALL, guardrail(UNKNOWN)), False, Outcome.CONTINUE,
    ),
    "one won, a guardrail open at the end": (
        (*healthy(), WON, OTHER_SMALL, guardrail(UNKNOWN)), True, Outcome.INCONCLUSIVE,
    ),
    "none won, one too small": ((*healthy(), OPEN, OTHER_SMALL, SAFE), False, Outcome.CONTINUE),
    "all too small": ((*healthy(), TOO_SMALL, OTHER_SMALL, SAFE), False, Outcome.REJECT),
    "none known": ((*healthy(), OPEN, OTHER_OPEN, SAFE), False, Outcome.CONTINUE),
    "no success metric": ((*healthy(), SAFE), False, Outcome.CONTINUE),
}  # fmt: skip


@pytest.mark.parametrize(("verdicts", "final", "outcome"), ANY_ROWS.values(), ids=ANY_ROWS)
def test_what_follows_where_one_success_metric_is_enough(verdicts, final, outcome):
    assert decide(verdicts, final=final, winning="any").outcome is outcome


@pytest.mark.parametrize("missing", ASKED_OF_ALL)
@pytest.mark.parametrize("winning", ["all", "any"])
def test_nothing_graduates_without_a_verdict_of_every_kind_that_is_asked_of_all(missing, winning):
    whole = (*healthy(), WON, SAFE)
    torn = tuple(verdict for verdict in whole if verdict.gate.kind is not missing)

    assert decide(whole, final=False, winning=winning).outcome is Outcome.GRADUATE
    (standing,) = standing_in_the_way(torn, winning)
    assert standing.gate == Gate(kind=missing)
    assert standing.ruling is UNKNOWN
    assert standing.sentence == (
        f"There is no verdict of the kind {missing}; what is not known never ships."
    )
    assert decide(torn, final=False, winning=winning).outcome is Outcome.CONTINUE


def test_every_reason_is_given_harm_first_then_what_is_unfit_too_small_and_unknown():
    early, torn = healthy(min_days=UNKNOWN), said(GateKind.DATA_QUALITY, FAIL)
    verdicts = (
        success(UNKNOWN, "goal"), success(FAIL, "small"), *early, torn,
        success(FAIL, "lost", high=-0.1), HARMED,
    )  # fmt: skip

    decision = decide(verdicts, final=False)

    assert decision.reasons == (
        "lost is fail.", "guardrail is fail.", "data_quality is fail.", "min_days is unknown.",
        "small is fail.", "goal is unknown.",
    )  # fmt: skip
    assert decision.reason == "lost is fail."


@pytest.mark.parametrize("missing", ["low", "high"])
def test_an_interval_with_one_end_is_none(missing):
    torn = guardrail(UNKNOWN, **{missing: None})

    assert decide((*healthy(), WON, torn), final=True).action is Action.HOLD


def test_a_spent_plan_says_so_before_its_reasons():
    decision = decide((*healthy(), OPEN, guardrail(UNKNOWN)), final=True)

    assert decision.reasons == (
        "Inconclusive: the plan is spent. goal is unknown.", "guardrail is unknown.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("winning", "reason"),
    [
        ("all", "Every online gate passed."),
        ("any", "A success metric and every other online gate passed."),
    ],
)
def test_a_graduation_says_what_had_to_pass(winning, reason):
    decision = decide((*healthy(), WON, SAFE), final=False, winning=winning)

    assert decision.reasons == (reason,)


@pytest.mark.parametrize(
    ("verdict", "is_one"),
    [
        (HARMED, True), (SAFE, False), (guardrail(UNKNOWN), False), (LOST, True),
        (TOO_SMALL, False), (success(FAIL, high=0.0), False), (WON, False),
        (success(UNKNOWN, high=-0.1), False), (said(GateKind.SRM, FAIL), True),
        (said(GateKind.DATA_QUALITY, FAIL), False),
        (success(FAIL, low=-0.9, high=-0.1, n_control=19), False),
    ],
)  # fmt: skip
def test_harm_is_a_guardrail_that_failed_or_a_goal_that_surely_lost(verdict, is_one):
    assert is_harm(verdict) is is_one


def test_alarms_are_harm_and_evidence_that_is_unfit():
    loud = (HARMED, LOST, *(said(kind, FAIL) for kind in STEP_HEALTH))
    quiet = (
        SAFE, TOO_SMALL, WON, guardrail(UNKNOWN), said(GateKind.MIN_DAYS, FAIL),
        *(said(kind, ruling) for kind in STEP_HEALTH for ruling in (UNKNOWN, PASS)),
    )  # fmt: skip

    assert alarms(loud) == {verdict.gate for verdict in loud}
    assert alarms(quiet) == frozenset()


def test_a_guardrail_without_any_evidence_looks_harmed():
    bare = Verdict(gate=SAFE.gate, ruling=UNKNOWN, sentence="None.", effect=None)

    assert step_blockers((*healthy(), bare)) == (bare,)


@pytest.mark.parametrize(
    ("verdict", "blocks"),
    [
        (guardrail(UNKNOWN), False), (guardrail(UNKNOWN, difference=-0.5), False),
        (guardrail(UNKNOWN, difference=-0.51), True), (UNREAD, True), (HARMED, True),
        (OPEN, False), (TOO_SMALL, False), (LOST, True), (said(GateKind.MIN_DAYS, UNKNOWN), False),
        (said(GateKind.SRM, UNKNOWN), True), (said(GateKind.DATA_QUALITY, FAIL), True),
    ],
)  # fmt: skip
def test_a_step_widens_while_nothing_harms_or_looks_harmed(verdict, blocks):
    rest = tuple(one for one in healthy() if one.gate.kind is not verdict.gate.kind)

    assert step_blockers((*rest, verdict)) == ((verdict,) if blocks else ())


def test_a_guardrail_without_a_margin_looks_harmed_below_nothing():
    bare = Verdict(
        gate=Gate(kind=GateKind.NON_INFERIORITY, metric="m"),
        ruling=UNKNOWN,
        sentence="No margin.",
        effect=an_effect("m", difference=-0.01, low=-1.0, high=1.0),
    )

    assert step_blockers((*healthy(), bare)) == (bare,)


@pytest.mark.parametrize("missing", STEP_HEALTH)
def test_a_step_does_not_widen_on_a_look_that_says_nothing_of_its_health(missing):
    verdicts = tuple(verdict for verdict in healthy() if verdict.gate.kind is not missing)

    assert [verdict.gate.kind for verdict in step_blockers(verdicts)] == [missing]


@pytest.mark.parametrize("row", [*ROWS.values()], ids=ROWS)
def test_a_decision_goes_to_plain_json_and_back_bit_for_bit(row):
    decision = decide(row[0], final=row[1])

    back = from_plain(Decision, json.loads(json.dumps(to_plain(decision))))

    assert back == decision
    assert canonical_json(back) == canonical_json(decision)


ANY_VERDICT = st.builds(
    said,
    st.sampled_from(list(GateKind)),
    st.sampled_from(list(Ruling)),
    st.sampled_from(["goal", "other", "third"]),
    low=st.sampled_from([None, -1.0, 0.1]),
    high=st.sampled_from([None, -0.1, 1.0]),
)

FOLLOWS = {
    Action.GRADUATE: {Outcome.GRADUATE},
    Action.ROLL_BACK: {Outcome.REJECT, Outcome.INCONCLUSIVE},
    Action.HOLD: {Outcome.INCONCLUSIVE},
    Action.KEEP_RUNNING: {Outcome.CONTINUE},
}


@given(
    verdicts=st.lists(ANY_VERDICT).map(tuple),
    final=st.booleans(),
    winning=st.sampled_from(["all", "any"]),
)
def test_whatever_is_decided_has_a_reason_and_an_action_that_follows(verdicts, final, winning):
    decision = decide(verdicts, final=final, winning=winning)

    assert decision.outcome in FOLLOWS[decision.action]
    assert decision.reasons
    assert decision.outcome is not Outcome.CONTINUE or not final
    if any(map(is_harm, verdicts)):
        assert decision.outcome is Outcome.REJECT
