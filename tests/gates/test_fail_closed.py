"""No path leads from missing, broken or stale evidence to `pass` or to `graduate`."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.decision import Outcome
from expplat.domain.gate import Effect, Gate, GateKind, Ruling
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.flow.look import decision_of
from expplat.flow.reading import read
from expplat.gates import GATES, judge
from expplat.gates.decision import ASKED_OF_ALL, decide, step_blockers
from expplat.gates.health import health_verdicts
from tests.builders import COST, LATENCY, SUCCESS, non_inferiority, superiority

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
BROKEN = (None, math.nan, math.inf, -math.inf)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
RULINGS = st.sampled_from(list(Ruling))
METRICS = (SUCCESS, LATENCY, COST)

PLAN = OnlinePlan(
    metrics=METRICS,
    gates=(
        superiority("task_success", 0.02),
        non_inferiority("latency_ms", 50.0),
        non_inferiority("cost_usd", 0.001),
    ),
    max_units=10_000,
    hold=Hold(min_units=100),
    health=Health(min_units=100, min_days=7.0),
)


def an_effect_of(name: str, difference, low, high, **more) -> Effect:
    return Effect(
        metric=name, unit="fraction", sign=1, control=0.5, treatment=0.5, difference=difference,
        low=low, high=high, p=None, n_control=1000, n_treatment=1000, method="by hand", **more,
    )  # fmt: skip


@st.composite
def torn_effects(draw) -> Effect | None:
    """Evidence of which one thing at least is missing, not a number, or too little."""
    numbers = [draw(FINITE | st.sampled_from(BROKEN)) for _ in range(3)]
    fault = draw(st.sampled_from(["none", "number", "few"]))
    if fault == "none":
        return None
    if fault == "few":
        few = draw(st.integers(0, 19))
        side = draw(st.sampled_from(["n_control", "n_treatment"]))
        return replace(an_effect_of("m", *numbers), **{side: few})
    numbers[draw(st.integers(0, 2))] = draw(st.sampled_from(BROKEN))
    return an_effect_of("m", *numbers)


@given(
    effect=torn_effects(),
    kind=st.sampled_from(list(GATES)),
    limit=st.floats(1e-9, 1e9),
    strict=st.booleans(),
    sized=st.booleans(),
)
def test_a_metric_gate_is_unknown_on_torn_evidence(effect, kind, limit, strict, sized):
    gate = Gate(kind=kind, metric="m", min_effect=limit, margin=limit, strict=strict)

    assert judge(gate, effect, sized=sized).ruling is Ruling.UNKNOWN


@given(
    kind=st.sampled_from(list(GATES)),
    limit=st.sampled_from([*BROKEN, 0.0, -1.0]),
    numbers=st.tuples(FINITE, FINITE, FINITE),
    sized=st.booleans(),
)
def test_a_metric_gate_without_a_limit_to_hold_is_unknown(kind, limit, numbers, sized):
    gate = Gate(kind=kind, metric="m", min_effect=limit, margin=limit)

    assert judge(gate, an_effect_of("m", *numbers), sized=sized).ruling is Ruling.UNKNOWN


@pytest.mark.parametrize(
    ("low", "high"),
    [(math.nan, math.nan), (-0.01, math.nan), (math.nan, 0.01), (None, 0.01), (-0.01, None),
     (-math.inf, math.inf), (0.01, math.inf)],
)  # fmt: skip
def test_a_noise_floor_that_cannot_be_read_lets_nothing_pass(low, high):
    clear = an_effect_of("m", 0.5, 0.4, 0.6, noise_low=low, noise_high=high)

    assert judge(superiority("m", 0.02), clear).ruling is Ruling.UNKNOWN


def a_snapshot_of(control, treatment, days=10.0, *, both=0) -> Snapshot:
    return Snapshot(
        slug="poc", phase=1, watermark=10, started_at=STARTED,
        taken_at=STARTED + timedelta(days=days),
        arms={"control": control, "treatment": treatment}, multiple_exposures=both,
    )  # fmt: skip


def a_winning_arm(place: int) -> ArmStatistics:
    success = (0.40, 0.50)[place]
    return ArmStatistics(
        units=3000,
        metrics={
            "task_success": Moments(n=3000, mean=success, m2=3000 * success * (1 - success)),
            "latency_ms": Moments(n=3000, mean=120.0, m2=3000 * 400.0),
            "cost_usd": Moments(n=3000, mean=0.002, m2=3000 * 1e-7),
        },
    )


def everything_wins() -> Snapshot:
    return a_snapshot_of(a_winning_arm(0), a_winning_arm(1))


MODES = st.tuples(st.sampled_from(["planned", "open_ended"]), st.sampled_from(["all", "any"]))


@pytest.mark.parametrize("mode", ["planned", "open_ended"])
@pytest.mark.parametrize("winning", ["all", "any"])
def test_the_evidence_that_is_torn_below_graduates_while_it_is_whole(mode, winning):
    plan = replace(PLAN, mode=mode, winning=winning)

    decision = decision_of(plan, read(plan, everything_wins(), ()))

    assert decision.outcome is Outcome.GRADUATE


MOMENTS = st.builds(
    lambda n, mean, m2: Moments(n=n, mean=mean, m2=m2),
    st.integers(0, 5000),
    st.floats(-1e9, 1e9) | st.sampled_from(BROKEN[1:]),
    st.floats(0, 1e9) | st.sampled_from(BROKEN[1:]),
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), modes=MODES, days=st.floats(0, 60))
def test_one_broken_metric_in_one_variant_graduates_nobody(data, modes, days):
    plan = replace(PLAN, mode=modes[0], winning=modes[1])
    arms = [a_winning_arm(0), a_winning_arm(1)]
    place, name = (
        data.draw(st.integers(0, 1)),
        data.draw(st.sampled_from([m.name for m in METRICS])),
    )
    moments = data.draw(MOMENTS)
    torn = data.draw(st.sampled_from(["missing", "mean", "m2", "few", "more"]))
    metrics = dict(arms[place].metrics)
    match torn:
        case "missing":
            del metrics[name]
        case "few":
            metrics[name] = replace(moments, n=min(moments.n, 19))
        case "more":
            metrics[name] = replace(moments, mean=math.nan, n=3001)
        case _:
            metrics[name] = replace(moments, **{torn: data.draw(st.sampled_from(BROKEN[1:]))})
    arms[place] = replace(arms[place], metrics=metrics)

    look = read(plan, a_snapshot_of(*arms, days), ())

    assert decision_of(plan, look).outcome is not Outcome.GRADUATE
    named = [verdict for verdict in look.verdicts if verdict.gate.metric == name]
    assert {verdict.ruling for verdict in named} == {Ruling.UNKNOWN}


@settings(max_examples=200, deadline=None)
@given(
    modes=MODES,
    p=st.sampled_from([None, math.nan, -0.1, 1.1, math.inf]) | st.floats(0, 1),
    units=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    days=st.floats(0, 60),
    rulings=st.lists(RULINGS, min_size=3, max_size=3),
)
def test_judge_health_and_decide_together_ship_only_what_all_know(modes, p, units, days, rulings):
    arms = [replace(a_winning_arm(place), units=count) for place, count in enumerate(units)]
    health = health_verdicts(PLAN.health, a_snapshot_of(*arms, days), METRICS, srm_p=p)
    ends = {Ruling.PASS: (0.1, 0.2), Ruling.FAIL: (-2000.0, -1000.0), Ruling.UNKNOWN: (None, None)}
    judged = tuple(
        judge(gate, an_effect_of(gate.metric, 0.15 if low else None, low, high), sized=True)
        for gate, (low, high) in zip(PLAN.gates, map(ends.get, rulings), strict=True)
    )
    verdicts = (*health, *judged)

    decision = decide(verdicts, final=days >= PLAN.max_days, winning=modes[1])

    is_known = p is not None and PLAN.health.srm_alpha < p <= 1
    is_whole = is_known and min(units) >= PLAN.health.min_units and days >= PLAN.health.min_days
    if not is_whole or set(rulings) != {Ruling.PASS}:
        assert decision.outcome is not Outcome.GRADUATE


@given(missing=st.sets(st.sampled_from(ASKED_OF_ALL), min_size=1), final=st.booleans())
def test_a_look_of_which_a_kind_is_missing_graduates_nobody(missing, final):
    look = read(PLAN, everything_wins(), ())
    torn = tuple(verdict for verdict in look.verdicts if verdict.gate.kind not in missing)

    for winning in ("all", "any"):
        assert decide(torn, final=final, winning=winning).outcome is not Outcome.GRADUATE
    if missing & {GateKind.SRM, GateKind.DATA_QUALITY, GateKind.MAX_MULTIPLE_EXPOSURES}:
        assert step_blockers(torn)


@settings(max_examples=100, deadline=None)
@given(modes=MODES, events=st.integers(0, 9), minutes=st.integers(0, 10_000))
def test_a_snapshot_older_than_the_newest_look_decides_nothing(modes, events, minutes):
    plan = replace(PLAN, mode=modes[0], winning=modes[1])
    newest = read(plan, a_snapshot_of(*map(a_winning_arm, (0, 0)), days=9.0), ())
    fresh = replace(everything_wins(), watermark=11)
    by_events = replace(fresh, watermark=events)
    by_clock = replace(fresh, taken_at=newest.snapshot.taken_at - timedelta(minutes=1 + minutes))

    for stale in (by_events, by_clock):
        look = read(plan, stale, (replace(newest, information_fraction=0.0),))

        assert look.information_fraction == 0.0
        assert Ruling.PASS not in {verdict.ruling for verdict in look.verdicts[5:]}
        assert decision_of(plan, look).outcome is not Outcome.GRADUATE


@given(limit=st.floats(0, 0.99), units=st.integers(1, 5000), extra=st.integers(1, 5000))
def test_more_values_than_units_are_not_known_to_be_complete(limit, units, extra):
    arms = (
        ArmStatistics(units=units, metrics={"latency_ms": Moments(n=n, mean=1.0, m2=1.0)})
        for n in (units, units + extra)
    )

    verdicts = health_verdicts(
        Health(max_missing_fraction=limit), a_snapshot_of(*arms), [LATENCY], srm_p=0.5
    )

    assert verdicts[2].ruling is Ruling.UNKNOWN
