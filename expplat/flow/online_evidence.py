"""From the sums of an online test to effects: the intervals that its gates judge."""

from __future__ import annotations

from expplat.domain.gate import Effect, Gate
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import Snapshot
from expplat.domain.proposal import OnlinePlan
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.stats import two_sample
from expplat.stats.anytime import ANYTIME, anytime_interval
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.repeated import repeated_interval

HARM_ALPHA = 0.01
"""Two-sided level of the interval that watches for harm, over all readings together: one that truly
is at its margin is called harmed by it with half this chance. Decisive looks may find harm too, by
their own interval, with half of the gate's own alpha."""

HARM_SHARE = 0.1
"""Share of the plan at which that interval is tightest, for early harm is its affair. Late harm is
found by the interval of the decisive looks, which is the narrower of the two by then."""

LEAST_OPEN_UNITS = 100
"""Open-ended: units with a value in each variant before an interval is read; it is asymptotic."""

LEAST_OPEN_EVENTS = 30
"""Open-ended: events, and units without one, in each variant before a proportion is read."""


def watched_effect(gate: Gate, metric: Metric, snapshot: Snapshot, plan: OnlinePlan) -> Effect:
    """Return the effect with the interval that watches for harm; it holds at all readings."""
    control, treatment = _moments(snapshot, metric)
    if min(control.n, treatment.n) < plan.hold.min_units:
        few = f"Fewer than {plan.hold.min_units} units in a variant."
        unread = not_estimable(n=control.n + treatment.n, method=ANYTIME, reason=few)
        return _effect(metric, control, treatment, unread)
    found = anytime_interval(
        treatment.mean - control.mean,
        _standard_error(metric, control, treatment),
        control.n + treatment.n,
        alpha=min(HARM_ALPHA, gate.alpha),
        n_tuned=HARM_SHARE * plan.max_units,
    )
    return _effect(metric, control, treatment, found)


def planned_effect(metric: Metric, snapshot: Snapshot, boundary: float) -> Effect:
    """Return the effect with its repeated interval, of the mode `planned`.

    Args:
        metric: What is measured.
        snapshot: The sums at this look.
        boundary: Critical |z| of this look, above 0.
    """
    control, treatment = _moments(snapshot, metric)
    found = repeated_interval(
        estimate=treatment.mean - control.mean,
        standard_error=_standard_error(metric, control, treatment),
        boundary=boundary,
        n=control.n + treatment.n,
    )
    return _effect(metric, control, treatment, found)


def open_effect(metric: Metric, snapshot: Snapshot, max_units: int, alpha: float) -> Effect:
    """Return the effect with the interval of the mode `open_ended`, which needs no horizon.

    It is an asymptotic confidence sequence, tightest at `max_units`, with the larger of the pooled
    and the unpooled variance. Below `LEAST_OPEN_UNITS`, and for a proportion `LEAST_OPEN_EVENTS`,
    there is none: it promises nothing there.

    Args:
        metric: What is measured.
        snapshot: The sums at this look.
        max_units: Units of both variants to which the interval is tuned, above 0.
        alpha: One less the two-sided confidence level over all looks, between 0 and 1.
    """
    control, treatment = _moments(snapshot, metric)
    n, few = control.n + treatment.n, _too_few(metric, control, treatment)
    if few:
        unread = not_estimable(n=n, method=ANYTIME, reason=few)
        return _effect(metric, control, treatment, unread)
    found = anytime_interval(
        treatment.mean - control.mean,
        _standard_error(metric, control, treatment),
        n,
        alpha=alpha,
        n_tuned=max_units,
    )
    return _effect(metric, control, treatment, found)


def _too_few(metric: Metric, control: Moments, treatment: Moments) -> str:
    if min(control.n, treatment.n) < LEAST_OPEN_UNITS:
        return f"Not enough data: fewer than {LEAST_OPEN_UNITS} units in a variant."
    rarest = min(arm.n * min(arm.mean, 1 - arm.mean) for arm in (control, treatment))
    # a count that was divided by n and multiplied again may miss its whole number by a rounding
    if metric.kind is MetricKind.PROPORTION and not rarest > LEAST_OPEN_EVENTS - 0.5:
        return f"Not enough data: fewer than {LEAST_OPEN_EVENTS} events in a variant."
    return ""


def _standard_error(metric: Metric, control: Moments, treatment: Moments) -> float | None:
    is_proportion = metric.kind is MetricKind.PROPORTION
    return two_sample.standard_error(
        control, treatment, pooled_floor=True, proportion=is_proportion
    )


def _effect(metric: Metric, control: Moments, treatment: Moments, found: Interval) -> Effect:
    has_both = bool(control.n and treatment.n)
    return Effect(
        metric=metric.name,
        unit=metric.unit,
        sign=metric.direction.sign,
        control=control.mean if control.n else None,
        treatment=treatment.mean if treatment.n else None,
        difference=treatment.mean - control.mean if has_both else None,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=control.n,
        n_treatment=treatment.n,
        method=found.method,
        # without its interval, which would hold for one reading only
        relative=two_sample.relative_difference(control, treatment).estimate,
        warnings=found.warnings,
    )


def _moments(snapshot: Snapshot, metric: Metric) -> tuple[Moments, Moments]:
    control, treatment = snapshot.arm(CONTROL), snapshot.arm(TREATMENT)
    return control.moments(metric.name), treatment.moments(metric.name)
