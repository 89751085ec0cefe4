"""The health gates: each ruling of each gate, and what is said where the limit is just met."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from expplat.domain.gate import GateKind, Ruling
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health
from expplat.gates.health import (
    FEW_UNITS,
    data_quality,
    health_verdicts,
    max_multiple_exposures,
    min_days,
    min_units,
    srm,
)
from expplat.gates.replay_health import control_verdict
from tests.builders import COST, LATENCY, SUCCESS, T0, TICKETS, a_snapshot

PASS, FAIL, UNKNOWN = Ruling


def units(control: int, treatment: int, **changes) -> Snapshot:
    arms = {
        "control": ArmStatistics(units=control, metrics={}),
        "treatment": ArmStatistics(units=treatment, metrics={}),
    }
    return a_snapshot(arms=arms, **changes)


def measured(control: int, treatment: int, metric: str = "latency_ms") -> Snapshot:
    """A thousand units in each variant, so many of which have a value of the metric."""
    arms = {
        variant: ArmStatistics(units=1000, metrics={metric: Moments(n=n, mean=1.0, m2=1.0)})
        for variant, n in (("control", control), ("treatment", treatment))
    }
    return a_snapshot(arms=arms)


@pytest.mark.parametrize(
    ("p", "ruling"),
    [(1.0, PASS), (0.0011, PASS), (0.001, FAIL), (0.0, FAIL), (None, UNKNOWN)],
)
def test_a_split_fails_at_its_alpha_and_passes_above_it(p, ruling):
    assert srm(0.001, units(500, 520), p).ruling is ruling


def test_a_split_of_nobody_is_unknown_whatever_its_p():
    assert srm(0.001, units(0, 0), 1.0).ruling is UNKNOWN


def test_a_wrong_split_names_both_counts_and_the_p():
    assert srm(0.001, units(500, 400), 0.00012).sentence == (
        "500 control, 400 treatment: not the planned split (p 0.00012)."
    )


@pytest.mark.parametrize(
    ("both", "ruling"),
    [(0, PASS), (29, PASS), (30, FAIL), (100, FAIL)],
)
def test_one_unit_beyond_the_share_of_multiple_exposures_fails(both, ruling):
    snapshot = units(50, 50, multiple_exposures=both)

    assert max_multiple_exposures(0.29, snapshot).ruling is ruling


@pytest.mark.parametrize(("both", "ruling"), [(FEW_UNITS - 1, UNKNOWN), (FEW_UNITS, FAIL)])
def test_a_large_share_that_few_units_make_up_is_not_yet_a_finding(both, ruling):
    snapshot = units(50, 50, multiple_exposures=both)

    assert max_multiple_exposures(0.01, snapshot).ruling is ruling


def test_no_multiple_exposures_among_no_units_are_unknown():
    assert max_multiple_exposures(0.01, units(0, 0, multiple_exposures=0)).ruling is UNKNOWN


@pytest.mark.parametrize(
    ("control", "treatment", "ruling"),
    [(100, 100, PASS), (100, 99, UNKNOWN), (99, 5000, UNKNOWN), (0, 0, UNKNOWN)],
)
def test_the_smaller_variant_decides_whether_there_are_units_enough(control, treatment, ruling):
    verdict = min_units(100, units(control, treatment))

    assert verdict.ruling is ruling
    assert verdict.sentence.startswith(f"{min(control, treatment)} units")


def test_a_variant_that_nobody_was_shown_has_no_units():
    arms = {"control": ArmStatistics(units=500, metrics={})}

    assert min_units(1, a_snapshot(arms=arms)).ruling is UNKNOWN


@pytest.mark.parametrize(
    ("passed", "ruling"),
    [
        (timedelta(days=7), PASS),
        (timedelta(days=7) - timedelta(microseconds=1), UNKNOWN),
        (timedelta(0), UNKNOWN),
    ],
)
def test_days_are_counted_to_the_microsecond(passed, ruling):
    snapshot = a_snapshot(started_at=T0, taken_at=T0 + passed)

    assert min_days(7.0, snapshot).ruling is ruling


@pytest.mark.parametrize(
    ("control", "treatment", "ruling"),
    [(1000, 1000, PASS), (950, 1000, PASS), (1000, 949, FAIL), (949, 1000, FAIL), (0, 0, FAIL)],
)
def test_one_value_too_few_in_either_variant_fails(control, treatment, ruling):
    assert data_quality(0.05, measured(control, treatment), [LATENCY]).ruling is ruling


def test_the_variant_and_the_metric_that_lack_most_are_named():
    verdict = data_quality(0.05, measured(900, 700), [SUCCESS, LATENCY])

    assert verdict.sentence == (
        "30 % of the units lack latency_ms under treatment; 5 % may be missing."
    )


def test_only_a_mean_needs_a_value_of_every_unit():
    snapshot = units(1000, 1000)

    assert data_quality(0.05, snapshot, [SUCCESS, TICKETS]).ruling is PASS
    assert data_quality(0.05, snapshot, [SUCCESS, COST]).ruling is FAIL


@pytest.mark.parametrize(("control", "treatment"), [(0, 0), (30, 0), (0, 30)])
def test_nothing_is_said_of_missing_values_before_both_variants_have_units(control, treatment):
    assert data_quality(0.05, units(control, treatment), [LATENCY]).ruling is UNKNOWN


def test_a_look_is_held_against_all_five_with_the_limits_of_its_plan():
    health = Health(
        srm_alpha=0.002,
        max_multiple_exposures_fraction=0.03,
        max_missing_fraction=0.04,
        min_units=55,
        min_days=6.0,
    )

    verdicts = health_verdicts(health, a_snapshot(), [LATENCY], srm_p=0.5)

    assert {verdict.gate.kind: verdict.gate.threshold for verdict in verdicts} == {
        GateKind.SRM: 0.002,
        GateKind.MAX_MULTIPLE_EXPOSURES: 0.03,
        GateKind.DATA_QUALITY: 0.04,
        GateKind.MIN_UNITS: 55,
        GateKind.MIN_DAYS: 6.0,
    }
    assert {verdict.ruling for verdict in verdicts} == {PASS}


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"multiple_exposures": 2000}, GateKind.MAX_MULTIPLE_EXPOSURES),
        ({"taken_at": T0}, GateKind.MIN_DAYS),
        ({"arms": {}}, GateKind.MIN_UNITS),
    ],
)
def test_one_thing_amiss_keeps_its_own_gate_from_passing(changed, kind):
    snapshot = replace(a_snapshot(), **changed)

    verdicts = health_verdicts(Health(), snapshot, [LATENCY], srm_p=0.5)

    assert kind in {verdict.gate.kind for verdict in verdicts if verdict.ruling is not PASS}


def test_a_control_that_fails_on_one_call_in_fifty_lets_nothing_pass() -> None:
    found = control_verdict(20, 1_000, 0.01)

    assert found is not None
    assert (found.ruling, found.gate.kind) == (Ruling.UNKNOWN, GateKind.DATA_QUALITY)
    assert "2 % of its calls, 1 % are allowed" in found.sentence


@pytest.mark.parametrize(("failed", "calls"), [(0, 0), (0, 10), (10, 1_000)])
def test_a_control_that_fails_no_more_than_allowed_stands_in_nobody_s_way(failed, calls) -> None:
    assert control_verdict(failed, calls, 0.01) is None
