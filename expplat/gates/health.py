"""Gates that judge a test, not a metric: is the evidence fit to be read at all?"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.wording import amount

FEW_UNITS = 10
"""A share over its limit that fewer units than this make up is not yet a finding."""


def health_verdicts(
    health: Health, snapshot: Snapshot, metrics: Iterable[Metric], *, srm_p: float | None
) -> tuple[Verdict, ...]:
    """Judge the health gates of one look.

    Args:
        health: The limits, as proposed.
        snapshot: What the events add up to.
        metrics: The plan's online metrics.
        srm_p: Sequential p-value of the planned split, 0 to 1; None where it could not be computed.
    """
    return (
        srm(health.srm_alpha, snapshot, srm_p),
        max_multiple_exposures(health.max_multiple_exposures_fraction, snapshot),
        data_quality(health.max_missing_fraction, snapshot, metrics),
        min_units(health.min_units, snapshot),
        min_days(health.min_days, snapshot),
    )


def srm(alpha: float, snapshot: Snapshot, p: float | None) -> Verdict:
    """Fail a split that chance does not explain: whoever is missing was not lost at random."""
    control, treatment = snapshot.arm(CONTROL).units, snapshot.arm(TREATMENT).units
    counts = f"{control} control, {treatment} treatment"
    if snapshot.units == 0:
        return _answer(GateKind.SRM, alpha, Ruling.UNKNOWN, "No unit has been exposed yet.")
    if p is None or not 0 <= p <= 1:
        return _answer(GateKind.SRM, alpha, Ruling.UNKNOWN, f"{counts}: the split has no p-value.")
    if p <= alpha:
        return _answer(
            GateKind.SRM, alpha, Ruling.FAIL, f"{counts}: not the planned split (p {p:.2g})."
        )
    return _answer(GateKind.SRM, alpha, Ruling.PASS, f"{counts}: as planned (p {p:.2g}).")


def max_multiple_exposures(limit: float, snapshot: Snapshot) -> Verdict:
    """Fail where too many units were shown both variants."""
    kind, units, both = GateKind.MAX_MULTIPLE_EXPOSURES, snapshot.units, snapshot.multiple_exposures
    if units == 0:
        return _answer(kind, limit, Ruling.UNKNOWN, "No unit has been exposed yet.")
    shown = f"{both} of {units} units were shown both variants"
    if both / units <= limit:
        return _answer(kind, limit, Ruling.PASS, f"{shown}.")
    ruling = Ruling.UNKNOWN if both < FEW_UNITS else Ruling.FAIL
    return _answer(kind, limit, ruling, f"{shown}; {amount(limit, 'fraction')} are allowed.")


def min_units(least: int, snapshot: Snapshot) -> Verdict:
    """Hold until each variant has enough units for an interval to mean something."""
    fewest = snapshot.fewest_units
    ruling = Ruling.PASS if fewest >= least else Ruling.UNKNOWN
    return _answer(
        GateKind.MIN_UNITS, least, ruling, f"{fewest} units in the smaller variant, {least} needed."
    )


def min_days(least: float, snapshot: Snapshot) -> Verdict:
    """Hold until the test has seen the days that its plan asks for."""
    ruling = Ruling.PASS if snapshot.days >= least else Ruling.UNKNOWN
    return _answer(
        GateKind.MIN_DAYS, least, ruling, f"{snapshot.days:.1f} days have passed, {least:g} needed."
    )


def data_quality(limit: float, snapshot: Snapshot, metrics: Iterable[Metric]) -> Verdict:
    """Fail where a variant's units lack the values of a metric that needs one for each."""
    kind = GateKind.DATA_QUALITY
    if snapshot.fewest_units == 0:
        return _answer(kind, limit, Ruling.UNKNOWN, "A variant has not been shown to any unit yet.")
    missing = {
        f"{metric.name} under {variant}": _missing_fraction(snapshot.arm(variant), metric.name)
        for metric in metrics
        if metric.kind is MetricKind.MEAN
        for variant in (CONTROL, TREATMENT)
    }
    where, worst = max(missing.items(), key=itemgetter(1), default=("", 0.0))
    if min(missing.values(), default=0.0) < 0:
        return _answer(
            kind, limit, Ruling.UNKNOWN, "A metric has more values than there are units."
        )
    if worst <= limit:
        return _answer(kind, limit, Ruling.PASS, f"At most {amount(worst, 'fraction')} missing.")
    sentence = (
        f"{amount(worst, 'fraction')} of the units lack {where}; "
        f"{amount(limit, 'fraction')} may be missing."
    )
    return _answer(kind, limit, Ruling.FAIL, sentence)


def _missing_fraction(arm: ArmStatistics, metric: str) -> float:
    return (arm.units - arm.moments(metric).n) / arm.units


def _answer(kind: GateKind, threshold: float, ruling: Ruling, sentence: str) -> Verdict:
    return Verdict(gate=Gate(kind=kind, threshold=threshold), ruling=ruling, sentence=sentence)
