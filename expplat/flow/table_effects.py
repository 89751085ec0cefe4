"""From a table's sums to effects: a metric of any kind becomes moments, then an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from expplat.domain.gate import Effect
from expplat.domain.moments import JointMoments, Moments
from expplat.domain.question import Adjustment, AskedKind, AskedMetric, Question, Standard
from expplat.domain.tally import ArmTally, MetricTally
from expplat.flow.ports import Table
from expplat.flow.ruling import Measured
from expplat.stats import (
    adjustment,
    order_statistics,
    paired_quantiles,
    two_proportions,
    two_sample,
)
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.joint_moments import linearised, marginal, near

Adjust = Callable[[Sequence[JointMoments]], tuple[Moments, ...]]

ADJUST: dict[Adjustment, Adjust] = {
    Adjustment.CUPED: adjustment.cuped,
    Adjustment.LIN: adjustment.lin,
}
LARGEST_SHARE = 0.25
"""A gain of which a single unit makes this share of a variant's variance rests on that unit."""

TAIL_SHARE = 0.3
"""Share of the variance from the outermost hundredth of the units, above which tails are heavy."""

UNEQUAL = 2.0
"""Variants of sizes so many times apart; a heavy tail hides in the smaller one."""

MOST_BORROWED = 0.01
"""Covariates over units, above which a slope that is taken from treated units too draws the effect
towards 0: CUPED gives way to Lin, which is free of that."""

FAR = 1e4
"""Spreads from zero, from which on a difference of means has lost digits that matter."""

SHARES = frozenset({AskedKind.PROPORTION})


class Adjusted(NamedTuple):
    """Each arm's moments of a metric, and what was done to get them."""

    moments: tuple[Moments | None, ...]
    """None for an arm whose denominators are 0."""

    apart: tuple[float | None, ...] = ()
    """By arm: its mean less the first arm's; None where the two means say it well enough."""

    by: Adjustment | None = None
    note: str | None = None


def effects_of(
    arms: Sequence[ArmTally], question: Question, standard: Standard, table: Table
) -> tuple[Measured, ...]:
    """Return the effect of every treatment on every metric, for a test that is read once."""
    return tuple(
        one
        for metric in question.metrics
        for one in _effects_on(metric, arms, question, standard, table)
    )


def moments_of_arms(metric: AskedMetric, arms: Sequence[ArmTally], standard: Standard) -> Adjusted:
    """Return each arm's moments of the metric: ratios linearised, covariates taken out."""
    tallies = [arm.metrics[metric.name] for arm in arms]
    is_clustered = arms[0].clusters is not None
    joints = [_as_value(tally, keeps_denominator=is_clustered) for tally in tallies]
    known = [joint for joint in joints if joint is not None]
    if not tallies[0].covariates or len(known) < len(joints):
        moments = tuple(None if joint is None else marginal(joint) for joint in joints)
        return Adjusted(moments, _apart(tallies, _plain))
    if is_clustered and metric.kind is AskedKind.RATIO:
        # A cluster's denominator came after the exposure, and without it the covariates' sums over
        # a cluster say little more than how large it is.
        note = "Covariates are left out: a ratio over clusters has none."
        moments = tuple(marginal(joint) for joint in known)
        return Adjusted(moments, (None,) * len(moments), note=note)
    by = _adjustment(known, standard)
    return Adjusted(ADJUST[by](known), _apart(tallies, ADJUST[by]), by)


def effect_of(
    metric: AskedMetric, arms: tuple[ArmTally, ArmTally], moments: tuple[Moments, Moments] | None,
    found: Interval, lift: Interval | None = None,
) -> Effect:  # fmt: skip
    """Return the evidence that a gate judges.

    Args:
        metric: What was measured.
        arms: Control and the treatment.
        moments: Theirs; None where the interval does not rest on them.
        found: The interval of treatment less control.
        lift: The same over control; shown, never judged.
    """
    one, other = (arm.metrics[metric.name] for arm in arms)
    return Effect(
        metric=metric.name,
        unit="fraction" if metric.kind in SHARES else "",
        sign=metric.direction.sign,
        control=moments[0].mean if moments and moments[0].n else None,
        treatment=moments[1].mean if moments and moments[1].n else None,
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=one.units,
        n_treatment=other.units,
        method=found.method,
        relative=lift.estimate if lift else None,
        relative_low=lift.low if lift else None,
        relative_high=lift.high if lift else None,
        warnings=found.warnings,
    )


def doubt_of(metric: AskedMetric, arms: Sequence[ArmTally]) -> str | None:
    """Say why a gain must not pass: a single unit makes much of the variance."""
    if metric.kind in SHARES:
        return None
    shares = [_largest_share(arm.metrics[metric.name]) for arm in arms]
    if max(shares) <= LARGEST_SHARE:
        return None
    return f"one unit alone makes {max(shares):.0%} of a variant's variance."


def is_heavy(tally: MetricTally) -> bool:
    """Whether few units make most of the variance."""
    return (tally.tail_share or 0.0) > TAIL_SHARE or _largest_share(tally) > LARGEST_SHARE


def _effects_on(
    metric: AskedMetric,
    arms: Sequence[ArmTally],
    question: Question,
    standard: Standard,
    table: Table,
) -> list[Measured]:
    if metric.kind is AskedKind.QUANTILE:
        return _quantiles(metric, arms, question, standard, table)
    control, *treatments = arms
    adjusted = moments_of_arms(metric, arms, standard)
    first, *others = adjusted.moments
    measured = []
    for place, (arm, moments) in enumerate(zip(treatments, others, strict=True), start=1):
        both = (control, arm)
        pair = (first, moments) if first and moments else None
        found = _interval(metric, both, pair, question, standard, adjusted.apart[place])
        found = named(found, metric, question, adjusted)
        lift = two_sample.relative_difference(*pair, standard.alpha) if pair else None
        effect = effect_of(metric, both, pair, found, lift)
        doubt = doubt_of(metric, both)
        measured.append(Measured(metric, arm.variant, effect, found.standard_error, doubt))
    return measured


def _plain(joints: Sequence[JointMoments]) -> tuple[Moments, ...]:
    return tuple(marginal(joint) for joint in joints)


def _apart(tallies: Sequence[MetricTally], adjust: Adjust) -> tuple[float | None, ...]:
    """Return how far each arm's mean lies from the first's, where the means are far from zero.

    Near zero the means themselves say it, and what they round to is left as it is.

    Args:
        tallies: By arm.
        adjust: How covariates are taken out.
    """
    first = tallies[0].moments
    if any(tally.has_denominator or not tally.moments.n for tally in tallies):
        return (None,) * len(tallies)
    spread = math.sqrt(max(first.products[0][0], 0.0) / first.n)
    if not abs(first.means[0]) > FAR * spread > 0:
        return (None,) * len(tallies)
    moved = adjust(near([tally.moments for tally in tallies]))
    return tuple(one.mean - moved[0].mean for one in moved)


def _adjustment(joints: Sequence[JointMoments], standard: Standard) -> Adjustment:
    """Return how covariates are taken out: not by CUPED where they are many for the units."""
    units = sum(joint.n for joint in joints)
    covariates = len(joints[0].means) - 1
    is_borrowed = covariates > MOST_BORROWED * units
    return Adjustment.LIN if is_borrowed else standard.adjustment


def _interval(
    metric: AskedMetric,
    arms: tuple[ArmTally, ArmTally],
    moments: tuple[Moments, Moments] | None,
    question: Question,
    standard: Standard,
    apart: float | None,
) -> Interval:
    one, other = (arm.metrics[metric.name] for arm in arms)
    if moments is None:
        reason = "A variant's denominators add up to 0."
        return not_estimable(n=one.units + other.units, method="ratio (delta)", reason=reason)
    if metric.kind in SHARES and not question.cluster and not one.covariates:
        first, second = (
            two_proportions.Counts(round(part.mean * part.n), part.n) for part in moments
        )
        return two_proportions.difference(first, second, metric.method, standard.alpha)
    sizes = sorted((moments[0].n, moments[1].n))
    hides = (is_heavy(one) or is_heavy(other)) and sizes[1] > UNEQUAL * sizes[0]
    return two_sample.difference(*moments, alpha=standard.alpha, pooled_floor=hides, apart=apart)


def named(found: Interval, metric: AskedMetric, question: Question, adjusted: Adjusted) -> Interval:
    """Add to the method's name what was done before it."""
    parts = [found.method]
    if question.cluster:
        parts.append("clusters")
    if metric.kind is AskedKind.RATIO:
        parts.append("delta method")
    if metric.cap_quantile:
        parts.append(f"winsorised at p{100 * metric.cap_quantile:g}")
    if adjusted.by is not None:
        parts.append("CUPED" if adjusted.by is Adjustment.CUPED else "Lin")
    notes = (adjusted.note,) if adjusted.note else ()
    return replace(found, method=", ".join(parts), warnings=(*found.warnings, *notes))


def _quantiles(
    metric: AskedMetric,
    arms: Sequence[ArmTally],
    question: Question,
    standard: Standard,
    table: Table,
) -> list[Measured]:
    values = table.values(question, metric)
    control, *treatments = arms
    one, q = values[control.variant], metric.q or 0.5
    measured = []
    for arm in treatments:
        other = values[arm.variant]
        found = order_statistics.quantile_difference(
            one.values, other.values, q, one.clusters, other.clusters, alpha=standard.alpha
        )
        levels = [_quantile(part.values, q) for part in (one, other)]
        effect = effect_of(metric, (control, arm), None, found)
        measured.append(
            Measured(metric, arm.variant, _with_levels(effect, levels), found.standard_error)
        )
    return measured


def _quantile(values: Sequence[float], q: float) -> float | None:
    return paired_quantiles.quantile(values, q) if values else None


def _with_levels(effect: Effect, levels: Sequence[float | None]) -> Effect:
    return replace(effect, control=levels[0], treatment=levels[1])


def _as_value(tally: MetricTally, *, keeps_denominator: bool) -> JointMoments | None:
    """Return ratios as means; a cluster's size was there before, and stays as a covariate.

    Without covariates there is nothing that it would help.
    """
    if not tally.has_denominator:
        return tally.moments
    return linearised(tally.moments, keeps_denominator=keeps_denominator)


def _largest_share(tally: MetricTally) -> float:
    """Return the share of the variance that the largest row makes."""
    m2 = tally.moments.products[0][0] if tally.moments.products else 0.0
    if tally.largest is None or not m2 > 0 or tally.has_denominator:
        return 0.0
    return min(1.0, (tally.largest - tally.moments.means[0]) ** 2 / m2)
