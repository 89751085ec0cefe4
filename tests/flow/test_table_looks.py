"""A test that was read while it ran: its intervals hold at all looks together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.gate import Ruling
from expplat.domain.question import AskedKind, AskedMetric, Question, Standard
from expplat.domain.tally import ArmTally, Look, MetricTally, Tally
from expplat.errors import FaultsError
from expplat.flow.ruling import comparisons_of, corrected, overall
from expplat.flow.table_looks import read_looks
from expplat.stats.boundaries import boundaries
from expplat.stats.joint_moments import joint_moments_of
from expplat.stats.repeated import repeated_p
from tests.flow.tables import analyzed, check, of, users

SPENT = AskedMetric(name="spent", kind=AskedKind.MEAN, column="spent")
ASKED = Question(variant="variant", control="control", unit="user", metrics=(SPENT,), look="day")


def tallied(values, looks):
    """Return the looks of two variants, without the table that they would come from."""
    found = []
    for place in range(1, looks + 1):
        arms = []
        for variant, of_arm in zip(("control", "b"), values, strict=True):
            part = of_arm[: len(of_arm) * place // looks]
            metric = MetricTally(units=len(part), missing=0, moments=joint_moments_of(part))
            arms.append(
                ArmTally(variant=variant, units=len(part), clusters=None, metrics={"spent": metric})
            )
        found.append(Look(label=str(place), arms=tuple(arms)))
    return Tally(
        rows=sum(map(len, values)), rows_without_variant=0, rows_without_unit=0, repeated_units=0,
        repeated_rows=0, units_in_two_arms=0, arms=found[-1].arms, looks=tuple(found),
    )  # fmt: skip


def test_the_last_look_is_that_of_boundaries():
    frame = users(1_000, seed=1, lift=0.2)

    found = analyzed(frame, "spent=mean", look="day")

    last = found.looks[-1]
    times = [(look.n_control + look.n_treatment) / 1_000 for look in found.looks]
    half = boundaries(times, 0.05)[-1] * of(found, "spent").standard_error
    assert len(found.looks) == 5
    assert (last.ci_low, last.ci_high) == pytest.approx((last.effect - half, last.effect + half))
    assert (last.n_control, last.effect) == (
        of(found, "spent").n_control,
        of(found, "spent").effect,
    )


def test_a_planned_end_that_has_not_come_keeps_its_budget():
    frame = users(1_000, seed=1, lift=0.2)

    now, later = (analyzed(frame, "spent=mean", look="day", planned_units=n) for n in (None, 4_000))

    assert later.looks[-1].ci_low < now.looks[-1].ci_low
    assert of(later, "spent").p > of(now, "spent").p


def test_a_planned_test_ends_where_its_plan_does():
    frame = users(1_000, seed=1, lift=0.2)
    first = frame[frame.day <= sorted(frame.day.unique())[2]]

    found = analyzed(frame, "spent=mean", look="day", planned_units=len(first))
    cut = analyzed(first, "spent=mean", look="day", planned_units=len(first))

    one, other = of(found, "spent"), of(cut, "spent")
    assert len(found.looks) == 3
    assert one.n_control + one.n_treatment == len(first)
    assert (one.ci_low, one.ci_high) == pytest.approx((other.ci_low, other.ci_high))
    assert one.p == pytest.approx(other.p)


def test_without_a_planned_end_the_interval_is_wider():
    frame = users(1_000, seed=1, lift=0.2)

    planned, open_ended = (
        analyzed(frame, "spent=mean", look="day", open_ended=is_open) for is_open in (False, True)
    )

    assert of(open_ended, "spent").ci_low < of(planned, "spent").ci_low


def test_one_look_is_the_test_that_is_read_once():
    frame = users(1_000, seed=1, lift=0.2).assign(day=1)

    found = of(analyzed(frame, "spent=mean", look="day"), "spent")
    once = of(analyzed(frame, "spent=mean"), "spent")

    assert found.p == pytest.approx(once.p, abs=0.003)
    assert found.ci_low == pytest.approx(once.ci_low, abs=0.002)


@settings(max_examples=40, deadline=None)
@given(
    z=st.one_of(st.floats(0.001, 8), st.sampled_from([1.9, 2.0, 2.1])),
    times=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4, unique=True).map(sorted),
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_p_is_at_most_alpha_exactly_where_the_interval_leaves_zero(z, times, alpha):
    p = repeated_p(z, times, alpha)

    assert 0 < p <= 1
    assert (p <= alpha) == (z >= boundaries(times, alpha)[-1])
    if p < 0.9:
        assert boundaries(times, p)[-1] == pytest.approx(z, rel=1e-6)


def test_p_of_one_look_is_that_of_the_fixed_test():
    assert repeated_p(1.959964, (1.0,), 0.05) == pytest.approx(0.05, abs=1e-8)
    assert repeated_p(-1.2, (1.0,), 0.05) == pytest.approx(0.230139, abs=1e-6)
    assert repeated_p(2.0310, (0.2, 0.4, 0.6, 0.8, 1.0), 0.05) == pytest.approx(0.05, abs=1e-5)


def test_p_needs_few_boundaries(monkeypatch):
    asked = []

    def counted(*args):
        asked.append(args)
        return boundaries(*args)

    monkeypatch.setattr("expplat.stats.repeated.boundaries", counted)
    repeated_p(2.3, tuple((place + 1) / 20 for place in range(20)), 0.05)

    assert len(asked) <= 8


def test_the_split_is_tested_at_all_looks_together():
    draw = np.random.default_rng(5)
    frame = users(4_000, seed=4)
    early = frame[(frame.day > 2) | (frame.variant == "b") | (draw.random(4_000) < 0.6)]

    assert check(analyzed(frame, "spent=mean", look="day"), "srm").ruling is Ruling.PASS
    assert check(analyzed(early, "spent=mean", look="day"), "srm").ruling is Ruling.FAIL


def test_a_split_that_chance_gives_once_in_many_looks_is_no_alarm():
    frame = users(4_000, seed=4)
    arms = [frame[frame.variant == name].head(n) for name, n in (("control", 446), ("b", 554))]
    frame = pd.concat(arms)

    once, at_looks = (analyzed(frame, "spent=mean", look=look) for look in (None, "day"))

    assert check(once, "srm").ruling is Ruling.FAIL
    assert check(at_looks, "srm").ruling is Ruling.PASS


def test_a_quantile_cannot_be_read_at_looks():
    with pytest.raises(FaultsError, match="1 fault") as caught:
        analyzed(users(100), "p95=p95:spent", look="day")

    assert "proportion:spent>800" in caught.value.faults[0].hint


def test_looks_come_in_the_order_of_their_numbers():
    frame = users(600).assign(day=lambda table: "week " + (table.day * 3).astype(str))

    found = analyzed(frame, "spent=mean", look="day")

    assert [look.look for look in found.looks] == [f"week {n}" for n in (3, 6, 9, 12, 15)]


def test_users_who_come_back_count_from_their_first_look():
    frame = users(500, seed=2)
    again = frame[frame.day < 5].assign(day=5)

    found = analyzed(pd.concat([frame, again]), "spent=mean", look="day")
    once = analyzed(frame, "spent=mean", look="day")

    assert [look.n_control for look in found.looks] == [look.n_control for look in once.looks]
    assert of(found, "spent").effect == pytest.approx(of(once, "spent").effect)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    ("is_open", "shape"), [(False, "normal"), (True, "normal"), (False, "skewed"), (True, "skewed")]
)
def test_a_test_without_effect_passes_no_more_often_than_it_may(is_open, shape):
    runs, looks = 2_000, 20
    passed = ever = 0
    for seed in range(runs):
        draw = np.random.default_rng(seed)
        values = [
            draw.normal(5, 2, 1_000) if shape == "normal" else draw.lognormal(0, 1, 1_000)
            for _ in range(2)
        ]
        standard = Standard(open_ended=is_open)
        measured, readings = read_looks(tallied(values, looks), ASKED, standard)
        comparisons = comparisons_of(measured, corrected(measured, standard.correction), standard,
                                     None)  # fmt: skip
        passed += overall(comparisons, None).ruling is Ruling.PASS
        ever += any(one.ruling is Ruling.PASS for one in readings)
    error = (0.025 * 0.975 / runs) ** 0.5
    print(f"{shape}, open {is_open}: at some look {ever / runs:.4f}, last {passed / runs:.4f}")

    assert passed <= ever
    assert ever / runs <= 0.025 + 3 * error
