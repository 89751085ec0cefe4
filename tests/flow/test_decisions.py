"""The table of what must follow from which evidence; a well-known platform ships or stays silent
in each of these rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.gate import Gate, GateKind, Ruling
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.flow.look import read
from expplat.gates.decision import Action, decide, step_blockers
from tests.builders import SUCCESS

STARTED = datetime(2026, 1, 1, tzinfo=UTC)

ERRORS = Metric(
    name="errors",
    kind=MetricKind.PROPORTION,
    direction=Direction.LOWER,
    unit="fraction",
    concern=Concern.OTHER,
)
COST = Metric(
    name="cost", kind=MetricKind.MEAN, direction=Direction.LOWER, unit="usd", concern=Concern.COST
)
PLAN = OnlinePlan(
    metrics=(SUCCESS, ERRORS, COST),
    gates=(
        Gate(kind=GateKind.SUPERIORITY, metric="task_success", min_effect=0.02),
        Gate(kind=GateKind.NON_INFERIORITY, metric="errors", margin=0.01),
        Gate(kind=GateKind.NON_INFERIORITY, metric="cost", margin=0.1),
    ),
    max_units=10_000,
    max_days=28.0,
    hold=Hold(min_units=100, min_hours=24.0),
    health=Health(min_units=100, min_days=7.0),
)


def share(n: int, events: int) -> Moments:
    mean = events / n if n else 0.0
    return Moments(n=n, mean=mean, m2=n * mean * (1 - mean))


def amount(n: int, mean: float, sd: float = 0.2) -> Moments:
    return Moments(n=n, mean=mean, m2=sd * sd * max(n - 1, 0))


def snapshot(control, treatment, days: float = 10.0) -> Snapshot:
    return Snapshot(
        slug="poc",
        phase=1,
        watermark=1,
        started_at=STARTED,
        taken_at=STARTED + timedelta(days=days),
        arms={
            "control": ArmStatistics(units=control[0], metrics=control[1]),
            "treatment": ArmStatistics(units=treatment[0], metrics=treatment[1]),
        },
        multiple_exposures=0,
    )


def arm(n: int, successes: int, errors: int | None, cost: float | None = 1.0):
    metrics = {"task_success": share(n, successes)}
    if errors is not None:
        metrics["errors"] = share(n, errors)
    if cost is not None:
        metrics["cost"] = amount(n, cost)
    return n, metrics


def action(control, treatment, days: float = 10.0) -> Action:
    look = read(PLAN, snapshot(control, treatment, days), ())
    return decide(look.verdicts, final=days >= PLAN.max_days).action


ROWS = {
    "goal neutral, guardrails neutral, far short of power": (
        arm(500, 250, 5), arm(500, 250, 5), 10.0, Action.KEEP_RUNNING,
    ),
    "goal won, a guardrail has no result": (
        arm(5000, 2500, 50, None), arm(5000, 3000, 50, None), 10.0, Action.HOLD,
    ),
    "goal won, one of several guardrails lost": (
        arm(5000, 2500, 50, 1.0), arm(5000, 3000, 50, 2.0), 10.0, Action.ROLL_BACK,
    ),
    "time is over, 50 units, no guardrail result": (
        arm(25, 12, None, None), arm(25, 12, None, None), 30.0, Action.HOLD,
    ),
    "errors 0/5000 to 500/5000": (
        arm(5000, 2500, 0), arm(5000, 2500, 500), 10.0, Action.ROLL_BACK,
    ),
    "errors 1/5000 to 100/5000": (
        arm(5000, 2500, 1), arm(5000, 2500, 100), 10.0, Action.ROLL_BACK,
    ),
    "errors 0/5000 to 500/5000 on the first day": (
        arm(5000, 2500, 0), arm(5000, 2500, 500), 0.2, Action.ROLL_BACK,
    ),
    "goal won, guardrails surely within their margins": (
        arm(5000, 2500, 5), arm(5000, 3000, 5), 10.0, Action.GRADUATE,
    ),
    "the same before the days that the plan asks for": (
        arm(5000, 2500, 5), arm(5000, 3000, 5), 2.0, Action.KEEP_RUNNING,
    ),
    "goal proven smaller than what matters": (
        arm(5000, 2500, 5), arm(5000, 2400, 5), 10.0, Action.ROLL_BACK,
    ),
    "the plan is spent and nothing was shown": (
        arm(1000, 500, 5), arm(1000, 520, 5), 29.0, Action.ROLL_BACK,
    ),
    "the split is not the planned one": (
        arm(5000, 2500, 5), arm(4000, 2400, 5), 10.0, Action.ROLL_BACK,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("control", "treatment", "days", "expected"), ROWS.values(), ids=ROWS)
def test_what_follows_from_the_evidence(control, treatment, days, expected):
    assert action(control, treatment, days) is expected


def test_a_guardrail_without_a_result_is_unknown_and_keeps_the_step_from_widening():
    look = read(PLAN, snapshot(arm(500, 250, None, None), arm(500, 250, None, None)), ())

    standing = {verdict.gate.metric for verdict in step_blockers(look.verdicts)}
    assert {"errors", "cost"} <= standing


@pytest.mark.parametrize(("errors", "blocked"), [(5, False), (14, True)])
def test_a_guardrail_that_looks_harmed_without_proof_keeps_the_step_from_widening(errors, blocked):
    look = read(PLAN, snapshot(arm(500, 250, 5), arm(500, 250, errors), days=1.0), ())

    standing = {verdict.gate.metric for verdict in step_blockers(look.verdicts)}
    assert ("errors" in standing) is blocked
    assert look.verdicts[6].ruling is Ruling.UNKNOWN


@pytest.mark.parametrize("factor", [1e-9, 1e-6, 1e6, 1e9])
def test_scaling_a_metric_changes_no_ruling_and_no_decision(factor):
    def scaled(n, mean):
        return n, {
            "task_success": share(n, n // 2),
            "errors": share(n, 5),
            "cost": Moments(n=n, mean=mean * factor, m2=0.04 * factor**2 * (n - 1)),
        }

    gates = (
        *PLAN.gates[:2],
        Gate(kind=GateKind.NON_INFERIORITY, metric="cost", margin=0.1 * factor),
    )
    plan = OnlinePlan(
        metrics=PLAN.metrics, gates=gates, max_units=10_000, health=PLAN.health, hold=PLAN.hold
    )
    for mean, ruling in [(1.0, Ruling.PASS), (1.2, Ruling.FAIL), (1.1, Ruling.UNKNOWN)]:
        look = read(plan, snapshot(scaled(5000, 1.0), scaled(5000, mean)), ())

        assert look.verdicts[-1].ruling is ruling


MOMENTS = st.builds(
    lambda n, mean, m2: Moments(n=n, mean=mean, m2=m2),
    st.integers(0, 20_000),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e9),
)
ARMS = st.builds(
    lambda units, metrics: (units, metrics),
    st.integers(0, 20_000),
    st.dictionaries(st.sampled_from(["task_success", "errors", "cost"]), MOMENTS),
)


@settings(max_examples=300, deadline=None)
@given(
    control=ARMS, treatment=ARMS, days=st.floats(0, 60), missing=st.sampled_from(["errors", "cost"])
)
def test_no_path_leads_from_missing_evidence_to_graduation(control, treatment, days, missing):
    treatment[1].pop(missing, None)

    assert action(control, treatment, days) is not Action.GRADUATE


def test_a_look_without_new_units_cannot_pass_and_an_early_one_spends_nothing():
    early = read(PLAN, snapshot(arm(2000, 1000, 5), arm(2000, 1200, 5), days=1.0), ())
    first = read(PLAN, snapshot(arm(2000, 1000, 5), arm(2000, 1200, 5)), (early,))
    again = read(PLAN, snapshot(arm(2000, 1000, 5), arm(2000, 1200, 5)), (early, first))

    rulings = [look.verdicts[5].ruling for look in (early, first, again)]
    assert [early.information_fraction, first.information_fraction] == [0.0, 0.4]
    assert rulings == [Ruling.UNKNOWN, Ruling.PASS, Ruling.UNKNOWN]


def test_the_relative_lift_is_shown_and_does_not_decide():
    look = read(PLAN, snapshot(arm(2000, 1000, 5), arm(2000, 1200, 5)), ())

    assert look.verdicts[5].effect.relative == pytest.approx(0.2)
    assert look.verdicts[5].effect.relative_low is None
