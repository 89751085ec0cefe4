"""Which level each success metric is held to, and how an open-ended test is judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expplat.domain.decision import Outcome
from expplat.domain.gate import Gate, GateKind, Ruling
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.flow.look import decision_of
from expplat.flow.online_evidence import LEAST_OPEN_EVENTS, LEAST_OPEN_UNITS
from expplat.flow.reading import read
from expplat.stats import two_sample
from expplat.stats.anytime import ANYTIME, anytime_interval
from expplat.stats.boundaries import boundaries

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("first", "second", "third")
GOALS = tuple(
    Metric(name=name, kind=MetricKind.PROPORTION, direction=Direction.HIGHER, unit="fraction")
    for name in NAMES
)
ERRORS = Metric(
    name="errors", kind=MetricKind.PROPORTION, direction=Direction.LOWER, unit="fraction",
    concern=Concern.OTHER,
)  # fmt: skip
ANY = OnlinePlan(
    metrics=(*GOALS, ERRORS),
    gates=(
        *(Gate(kind=GateKind.SUPERIORITY, metric=name, min_effect=0.05) for name in NAMES),
        Gate(kind=GateKind.NON_INFERIORITY, metric="errors", margin=0.05),
    ),
    max_units=10_000,
    hold=Hold(min_units=100),
    health=Health(min_units=100, min_days=1.0),
    winning="any",
)
OPEN = replace(ANY, mode="open_ended", winning="all", gates=(ANY.gates[0], ANY.gates[3]))


def share(n, mean):
    return Moments(n=n, mean=mean, m2=n * mean * (1 - mean))


def snapshot(n, days=5.0, errors=(0.1, 0.1), **goals) -> Snapshot:
    """So many units in each variant; goals of the treatment by name, .42 where not named."""

    def arm(place):
        levels = {name: goals.get(name, 0.42) if place else 0.4 for name in NAMES}
        levels["errors"] = errors[place]
        return ArmStatistics(units=n, metrics={k: share(n, level) for k, level in levels.items()})

    return Snapshot(
        slug="poc", phase=1, watermark=n, started_at=STARTED,
        taken_at=STARTED + timedelta(days=days),
        arms={"control": arm(0), "treatment": arm(1)}, multiple_exposures=0,
    )  # fmt: skip


def goals_of(look):
    return look.verdicts[5:8]


def rulings(look):
    return [verdict.ruling.value for verdict in goals_of(look)]


def half_width(verdict):
    return (verdict.effect.high - verdict.effect.low) / 2


def error_of(one, metric="first"):
    arms = [one.arms[variant].metrics[metric] for variant in ("control", "treatment")]
    return two_sample.standard_error(*arms, True, True)


def boundary(alpha, *fractions):
    return boundaries(fractions, alpha=alpha)[-1]


def test_three_goals_start_with_a_third_of_alpha_each_and_the_guardrail_with_all_of_it():
    one = snapshot(2500)

    look = read(ANY, one, ())

    expected = boundary(0.05 / 3, 0.5) * error_of(one)
    assert [half_width(verdict) for verdict in goals_of(look)] == pytest.approx([expected] * 3)
    assert half_width(look.verdicts[8]) == pytest.approx(
        boundary(0.05, 0.5) * error_of(one, "errors")
    )
    assert goals_of(look)[0].effect.method.endswith("at alpha 0.0167")
    assert "alpha" not in look.verdicts[8].effect.method


def test_the_alpha_of_a_goal_that_wins_goes_to_the_rest_at_the_same_look():
    one = snapshot(2500, first=0.48)

    first, second, _ = goals_of(read(ANY, one, ()))

    assert first.ruling is Ruling.PASS
    assert half_width(first) == pytest.approx(boundary(0.05 / 3, 0.5) * error_of(one))
    assert half_width(second) == pytest.approx(boundary(0.05 / 2, 0.5) * error_of(one, "second"))


def test_a_goal_that_is_too_weak_by_itself_wins_on_the_alpha_of_another():
    weak = {"second": 0.4482}

    alone = read(ANY, snapshot(2500, **weak), ())
    beside = read(ANY, snapshot(2500, first=0.48, **weak), ())

    assert rulings(alone) == ["unknown", "unknown", "unknown"]
    assert rulings(beside) == ["pass", "pass", "unknown"]
    third = goals_of(beside)[2]
    assert half_width(third) == pytest.approx(
        boundary(0.05, 0.5) * error_of(beside.snapshot, "third")
    )


def test_a_goal_that_won_at_an_earlier_look_is_out_of_the_count_but_must_pass_again():
    before = read(ANY, snapshot(2500, first=0.48, errors=(0.1, 0.12)), ())

    now = read(ANY, snapshot(3000, days=6.0), (before,))

    assert [rulings(before)[0], rulings(now)[0]] == ["pass", "unknown"]
    assert decision_of(ANY, now).outcome is Outcome.CONTINUE
    expected = boundary(0.05 / 2, 0.5, 0.6) * error_of(now.snapshot, "second")
    assert half_width(goals_of(now)[1]) == pytest.approx(expected)


def test_what_passed_at_a_look_that_could_not_decide_has_not_won():
    before = read(ANY, snapshot(2500, first=0.48), ())
    watched = replace(before, information_fraction=0.0)

    now = read(ANY, snapshot(3000, days=6.0), (watched,))

    expected = boundary(0.05 / 3, 0.6) * error_of(now.snapshot, "second")
    assert half_width(goals_of(now)[1]) == pytest.approx(expected)


def test_one_goal_is_enough_and_one_that_is_surely_worse_is_too_much():
    outcomes = [
        decision_of(ANY, read(ANY, snapshot(2500, **truth), ())).outcome
        for truth in ({"first": 0.48}, {"first": 0.48, "second": 0.3}, {})
    ]

    assert outcomes == [Outcome.GRADUATE, Outcome.REJECT, Outcome.CONTINUE]


def test_where_all_must_win_each_goal_has_its_whole_alpha():
    one = snapshot(2500, first=0.48)

    look = read(replace(ANY, winning="all"), one, ())

    assert half_width(goals_of(look)[0]) == pytest.approx(boundary(0.05, 0.5) * error_of(one))
    assert decision_of(replace(ANY, winning="all"), look).outcome is Outcome.CONTINUE


def test_goals_of_different_alpha_share_the_smallest():
    gates = (replace(ANY.gates[0], alpha=0.1), *ANY.gates[1:])
    one = snapshot(2500)

    look = read(replace(ANY, gates=gates), one, ())

    expected = boundary(0.05 / 3, 0.5) * error_of(one)
    assert half_width(goals_of(look)[0]) == pytest.approx(expected)


def test_an_open_ended_test_is_judged_by_an_interval_that_is_tightest_at_its_units():
    one = snapshot(2500, first=0.43)

    goal = read(OPEN, one, ()).verdicts[5]

    found = anytime_interval(0.43 - 0.4, error_of(one), 5000, alpha=0.05, n_tuned=10_000)
    assert (goal.effect.low, goal.effect.high) == (found.low, found.high)
    assert goal.effect.method == ANYTIME


def test_the_width_of_an_open_ended_interval_does_not_depend_on_the_looks_before():
    one = snapshot(2500, days=6.0, first=0.43)
    before = tuple(
        replace(read(OPEN, snapshot(n, days=2.0 + n / 1000), ()), position=place)
        for place, n in enumerate((500, 1000, 2000))
    )

    assert read(OPEN, one, before).verdicts[5] == read(OPEN, one, ()).verdicts[5]


def test_an_open_ended_test_graduates_and_ends_as_inconclusive_when_its_units_are_spent():
    won = read(OPEN, snapshot(2500, first=0.50), ())
    spent = read(OPEN, snapshot(5000, first=0.425), ())

    assert decision_of(OPEN, won).outcome is Outcome.GRADUATE
    assert decision_of(OPEN, spent).outcome is Outcome.INCONCLUSIVE


def test_an_open_ended_test_shares_alpha_too_where_any_goal_may_win():
    plan = replace(OPEN, winning="any", gates=ANY.gates)
    one = snapshot(2500, first=0.43)

    goal = read(plan, one, ()).verdicts[5]

    found = anytime_interval(0.43 - 0.4, error_of(one), 5000, alpha=0.05 / 3, n_tuned=10_000)
    assert goal.effect.low == found.low


@pytest.mark.parametrize(
    ("events", "ruling"),
    [((29, 29), "unknown"), ((29, 40), "unknown"), ((40, 29), "unknown"), ((30, 30), "pass")],
)
def test_an_open_ended_proportion_needs_thirty_events_in_each_variant(events, ruling):
    n = 5000
    one = snapshot(n, first=0.5, errors=tuple(count / n for count in events))

    guardrail = read(OPEN, one, ()).verdicts[6]

    assert LEAST_OPEN_EVENTS == 30
    assert guardrail.ruling.value == ruling
    assert ("Not enough data" in guardrail.sentence) is (ruling == "unknown")


def test_units_without_an_event_count_as_well():
    one = snapshot(5000, first=0.5, errors=(1 - 29 / 5000, 1 - 29 / 5000))

    assert read(OPEN, one, ()).verdicts[6].ruling is Ruling.UNKNOWN


def test_an_open_ended_test_needs_a_hundred_values_in_each_variant():
    health, hold = replace(OPEN.health, min_units=50), Hold(min_units=10)
    plan = replace(OPEN, health=health, hold=hold, max_units=500)
    rulings = [
        read(plan, snapshot(n, first=0.69), ()).verdicts[5].ruling
        for n in (LEAST_OPEN_UNITS - 1, LEAST_OPEN_UNITS)
    ]

    assert rulings == [Ruling.UNKNOWN, Ruling.PASS]


def test_harm_is_found_in_an_open_ended_test_also_where_control_has_no_event():
    one = snapshot(5000, errors=(0.0, 0.1))

    assert decision_of(OPEN, read(OPEN, one, ())).outcome is Outcome.REJECT
