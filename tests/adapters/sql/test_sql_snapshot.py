"""What the database adds up, held against pandas and against exact fractions."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics
from tests.builders import COST, LATENCY, SUCCESS, T0, TICKETS, an_exposure, an_outcome

METRICS = (SUCCESS, LATENCY, TICKETS)
SLUG = "hybrid_rrf"


def snapshot_of(uow_factory, exposures, outcomes, metrics=METRICS, *, batch=500):
    """Take everything in, and the snapshot, in a transaction that leaves nothing behind."""
    with uow_factory() as uow:
        for start in range(0, len(exposures), batch):
            uow.events.add_exposures(exposures[start : start + batch], source="k")
        for start in range(0, len(outcomes), batch):
            uow.events.add_outcomes(outcomes[start : start + batch], source="k")
        return take(uow, metrics)


def take(uow, metrics=METRICS, slug=SLUG):
    return uow.events.snapshot(
        slug=slug, phase=1, metrics=metrics, started_at=T0, now=T0 + timedelta(days=8)
    )


def some_events(seed, units=300, shift=0.0):
    """Exposures and outcomes with all that happens: repeats, switches, early and foreign ones."""
    rng = random.Random(seed)
    exposures, outcomes = [], []
    for number in range(units):
        unit = f"u{number}"
        arm = rng.choice(["control", "treatment"])
        for repeat in range(rng.choice([1, 1, 1, 2, 3])):
            shown = arm if rng.random() < 0.98 else "control"
            at = T0 + timedelta(seconds=rng.randint(0, 90))
            exposures.append(an_exposure(unit, shown, event_id=f"x{number}.{repeat}", at=at))
        for metric in METRICS:
            for repeat in range(rng.choice([0, 1, 1, 2, 4])):
                value = {
                    "task_success": float(rng.random() < 0.4),
                    "latency_ms": rng.lognormvariate(4, 1) + shift,
                    "tickets": float(rng.randint(0, 3)),
                }[metric.name]
                outcomes.append(
                    an_outcome(
                        unit,
                        metric.name,
                        value,
                        event_id=f"o{number}.{metric.name}.{repeat}",
                        at=T0 + timedelta(seconds=rng.randint(0, 600)),
                        slug=rng.choice([None, None, SLUG, "another"]),
                    )
                )
    return exposures, outcomes


def by_pandas(exposures, outcomes):
    """Do the same sums again, by other means."""
    shown = pd.DataFrame([(e.unit, e.variant, e.at, e.event_id) for e in exposures])
    shown.columns = ["unit", "variation", "at", "id"]
    first = shown.sort_values(["at", "id"]).drop_duplicates("unit").set_index("unit")
    happened = pd.DataFrame([(o.unit, o.metric, o.value, o.at, o.slug) for o in outcomes])
    happened.columns = ["unit", "metric", "value", "at", "slug"]
    own = happened[happened.unit.isin(first.index) & happened.slug.isin([None, SLUG])]
    after = own[own["at"].to_numpy() >= first.loc[own.unit, "at"].to_numpy()]
    arms = {}
    for arm, members in first.groupby("variation"):
        statistics = {}
        for metric in METRICS:
            values = after[(after.metric == metric.name) & after.unit.isin(members.index)]
            a_unit = values.groupby("unit").value
            if metric is SUCCESS:
                column = (a_unit.max() > 0).astype(float).reindex(members.index, fill_value=0.0)
            elif metric is TICKETS:
                column = a_unit.sum().reindex(members.index, fill_value=0.0)
            else:
                column = a_unit.mean()
            x = column.to_numpy(dtype=np.longdouble)
            statistics[metric.name] = (len(x), float(x.mean()), float(((x - x.mean()) ** 2).sum()))
        arms[arm] = (len(members), statistics)
    mixed = int((shown.groupby("unit").variation.nunique() > 1).sum())
    return arms, mixed, len(shown) + len(own)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sums_are_those_of_pandas(uow_factory, seed):
    exposures, outcomes = some_events(seed)

    snapshot = snapshot_of(uow_factory, exposures, outcomes)

    arms, mixed, events = by_pandas(exposures, outcomes)
    assert snapshot.multiple_exposures == mixed > 0
    assert snapshot.watermark == events
    assert set(snapshot.arms) == set(arms)
    for arm, (units, statistics) in arms.items():
        assert snapshot.arms[arm].units == units
        for metric, expected in statistics.items():
            moments = snapshot.arms[arm].metrics[metric]
            assert (moments.n, moments.mean, moments.m2) == pytest.approx(expected, rel=1e-12)


def test_the_order_of_arrival_changes_not_one_bit(uow_factory):
    exposures, outcomes = some_events(7, units=120)
    tied = [event._replace(at=T0) for event in exposures]
    first = snapshot_of(uow_factory, tied, outcomes)

    for seed in range(5):
        shuffle = random.Random(seed).shuffle
        shuffle(tied)
        shuffle(outcomes)
        assert snapshot_of(uow_factory, tied, outcomes, batch=37 + seed) == first


def test_both_databases_give_the_same_snapshot(sqlite_url, postgresql_url):
    from expplat.adapters.sql.opening import open_engine
    from expplat.adapters.sql.unit_of_work import SqlUnitOfWork

    exposures, outcomes = some_events(11)
    engines = [open_engine(url, create=False) for url in (sqlite_url, postgresql_url)]

    one, other = (
        snapshot_of(lambda engine=engine: SqlUnitOfWork(engine), exposures, outcomes)
        for engine in engines
    )

    assert one.watermark == other.watermark
    for arm, statistics in one.arms.items():
        for metric, moments in statistics.metrics.items():
            twin = other.arms[arm].metrics[metric]
            assert (moments.n, moments.mean, moments.m2) == pytest.approx(
                (twin.n, twin.mean, twin.m2), rel=1e-14
            )
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize(
    ("shift", "scale"), [(0.0, 1e-9), (0.0, 1e9), (1e9, 1.0), (-1e12, 1.0), (1e9, 1e-9)]
)
def test_neither_a_large_shift_nor_a_scale_spoils_the_spread(uow_factory, shift, scale):
    rng = random.Random(5)
    values = [shift * scale + scale * rng.gauss(0, 1) for _ in range(500)]
    exposures = [an_exposure(f"u{number}") for number in range(500)]
    outcomes = [
        an_outcome(f"u{number}", "latency_ms", value) for number, value in enumerate(values)
    ]

    moments = snapshot_of(uow_factory, exposures, outcomes).arms["control"].metrics["latency_ms"]

    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    assert moments.mean == pytest.approx(float(mean), rel=1e-15)
    assert moments.m2 == pytest.approx(float(sum((x - mean) ** 2 for x in exact)), rel=1e-11)


def test_equal_values_have_no_spread(uow_factory):
    exposures = [an_exposure(f"u{number}") for number in range(299)]
    outcomes = [an_outcome(f"u{number}", "latency_ms", 0.1) for number in range(299)]

    moments = snapshot_of(uow_factory, exposures, outcomes).arms["control"].metrics["latency_ms"]

    assert moments.mean == pytest.approx(0.1, rel=1e-15)
    assert 0 <= moments.m2 < 1e-25


@pytest.mark.parametrize("extreme", [1e100, -1e100, 1e-100])
def test_the_largest_and_the_smallest_value_do_not_break_the_sums(uow_factory, extreme):
    exposures = [an_exposure(f"u{number}") for number in range(3)]
    outcomes = [
        an_outcome("u0", "latency_ms", extreme),
        an_outcome("u1", "latency_ms", extreme * 3 / 4 if abs(extreme) > 1 else extreme * 2),
        an_outcome("u2", "latency_ms", 0.0),
    ]

    moments = snapshot_of(uow_factory, exposures, outcomes).arms["control"].metrics["latency_ms"]

    assert moments.n == 3
    assert np.isfinite([moments.mean, moments.m2]).all()
    assert moments.m2 > 0


def test_without_an_event_both_arms_are_there_and_empty(uow_factory):
    nothing = Moments(n=0, mean=0.0, m2=0.0)

    snapshot = snapshot_of(uow_factory, [], [])

    empty = ArmStatistics(units=0, metrics={metric.name: nothing for metric in METRICS})
    assert snapshot.arms == {"control": empty, "treatment": empty}
    assert (snapshot.watermark, snapshot.multiple_exposures, snapshot.units) == (0, 0, 0)


def test_a_unit_without_an_outcome_is_zero_but_has_no_mean(uow_factory):
    exposures = [an_exposure(f"u{number}") for number in range(4)]
    outcomes = [an_outcome("u0", name, 3.0) for name in ("task_success", "tickets", "latency_ms")]

    metrics = snapshot_of(uow_factory, exposures, outcomes).arms["control"].metrics

    assert metrics["task_success"] == Moments(n=4, mean=0.25, m2=0.75)
    assert metrics["tickets"] == Moments(n=4, mean=0.75, m2=6.75)
    assert metrics["latency_ms"] == Moments(n=1, mean=3.0, m2=0.0)


def test_the_first_exposure_decides_and_outcomes_count_from_it_on(uow_factory):
    exposures = [
        an_exposure(variant="treatment", at=T0 + timedelta(seconds=10)),
        an_exposure(variant="control", at=T0 + timedelta(seconds=20)),
    ]
    outcomes = [
        an_outcome(metric="tickets", value=value, event_id=name, at=T0 + timedelta(seconds=second))
        for name, second, value in [("before", 9, 100.0), ("with", 10, 2.0), ("after", 11, 1.0)]
    ]

    snapshot = snapshot_of(uow_factory, exposures, outcomes)

    assert snapshot.arms["treatment"].metrics["tickets"] == Moments(n=1, mean=3.0, m2=0.0)
    assert snapshot.arms["control"].units == 0
    assert snapshot.multiple_exposures == 1


def test_other_tests_other_phases_and_other_metrics_stay_out(uow_factory):
    exposures = [
        an_exposure("u1"),
        an_exposure("u2", slug="another"),
        an_exposure("u3", phase=2),
    ]
    outcomes = [
        an_outcome("u1", "tickets", 1.0, event_id="mine"),
        an_outcome("u1", "tickets", 10.0, event_id="named", slug="another"),
        an_outcome("u1", "cost_usd", 100.0),
        an_outcome("u2", "tickets", 1000.0),
        an_outcome("u4", "tickets", 10_000.0),
    ]

    snapshot = snapshot_of(uow_factory, exposures, outcomes)

    assert snapshot.units == 1
    assert snapshot.arms["control"].metrics["tickets"] == Moments(n=1, mean=1.0, m2=0.0)
    assert COST.name not in snapshot.arms["control"].metrics
    assert snapshot.watermark == 3


def test_a_third_arm_is_counted_by_its_own_name(uow_factory):
    snapshot = snapshot_of(uow_factory, [an_exposure("u1", "treatment_b")], [])

    assert {name: arm.units for name, arm in snapshot.arms.items()} == {
        "control": 0,
        "treatment": 0,
        "treatment_b": 1,
    }


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) >= 1e-100),
        ),
        max_size=20,
    )
)
def test_whatever_finite_values_come_the_moments_are_finite(uow_factory, values):
    exposures = [an_exposure(f"u{number}") for number in range(5)]
    outcomes = [
        an_outcome(f"u{unit}", "latency_ms", value, event_id=str(place))
        for place, (unit, value) in enumerate(values)
    ]

    moments = snapshot_of(uow_factory, exposures, outcomes).arms["control"].metrics["latency_ms"]

    a_unit = defaultdict(list)
    for unit, value in values:
        if unit < 5:
            a_unit[unit].append(Fraction(value))
    means = [sum(own) / len(own) for own in a_unit.values()]
    assert moments.n == len(means)
    assert np.isfinite([moments.mean, moments.m2]).all()
    if means:
        largest = max(1e-300, *(float(abs(value)) for _, value in values))
        assert moments.mean == pytest.approx(float(sum(means) / len(means)), abs=1e-14 * largest)


@pytest.mark.long
def test_the_time_of_a_snapshot_grows_with_the_units_and_not_with_their_square(uow_factory):
    def seconds(units):
        arms = ["control", "treatment"]
        exposures = [an_exposure(f"u{number}", arms[number % 2]) for number in range(units)]
        outcomes = [
            an_outcome(f"u{number}", metric.name, float(number % 7))
            for number in range(units)
            for metric in METRICS
        ]
        with uow_factory() as uow:
            uow.events.add_exposures(exposures, source="k")
            uow.events.add_outcomes(outcomes, source="k")
            start = time.monotonic()
            assert take(uow).units == units
            return time.monotonic() - start

    assert seconds(10_000) < 10 * seconds(2_000) + 1


def test_units_that_were_shown_since_a_moment_are_counted_once_each(uow_factory):
    later = T0 + timedelta(days=1)
    with uow_factory() as uow:
        uow.events.add_exposures(
            [
                an_exposure("early", "control"),
                an_exposure("twice", "control", event_id="x1", at=later),
                an_exposure("twice", "control", event_id="x2", at=later + timedelta(hours=1)),
                an_exposure("other", "treatment", at=later),
                an_exposure("of_phase_2", "treatment", phase=2, at=later),
            ],
            source="k",
        )

        shown = uow.events.shown_since(later, slug=SLUG, phase=1)

    assert shown == {"control": 1, "treatment": 1}
