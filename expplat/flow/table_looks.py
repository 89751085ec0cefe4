"""A table whose test was read while it ran: intervals that hold at all its looks together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from expplat.domain.analysis import LookReading
from expplat.domain.moments import Moments
from expplat.domain.question import AskedKind, AskedMetric, Question, Standard
from expplat.domain.tally import ArmTally, Look, Tally
from expplat.flow.ruling import Measured, ruled
from expplat.flow.table_effects import SHARES, doubt_of, effect_of, moments_of_arms, named
from expplat.stats import two_sample
from expplat.stats.anytime import ANYTIME, anytime_interval
from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import normal_p
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.repeated import REPEATED, repeated_interval, repeated_p

Pair = tuple[Moments, Moments]


class _Stand(NamedTuple):
    """One metric under one treatment at one look."""

    arms: tuple[ArmTally, ArmTally]
    moments: Pair | None
    error: float | None
    estimate: float | None

    @property
    def units(self) -> int:
        return sum(arm.units for arm in self.arms)

    @property
    def lift(self) -> Interval | None:
        """Return the estimate over control, without an interval."""
        if self.moments is None:
            return None
        return replace(two_sample.relative_difference(*self.moments), low=None, high=None)

    @property
    def p_if_read_once(self) -> float | None:
        return None if self.z is None else normal_p(self.z)

    @property
    def z(self) -> float | None:
        """Return the estimate in its standard errors."""
        return self.estimate / self.error if self.estimate is not None and self.error else None


def read_looks(
    tally: Tally, question: Question, standard: Standard
) -> tuple[tuple[Measured, ...], tuple[LookReading, ...]]:
    """Return the effects at the last look, and how each comparison stood at every look.

    Planned: repeated intervals of an O'Brien–Fleming type spending plan, which ends at
    `planned_units`, or at what the table holds; what came after the end of the plan is left out.
    Open-ended: an asymptotic confidence sequence.
    The p-value is the level at which the last interval would just touch 0; quantiles have none.
    Lifts have no interval: that of a single reading would look narrower than it is.
    """
    measured: list[Measured] = []
    readings: list[LookReading] = []
    looks = _until_the_end(tally.looks, standard)
    for metric in question.metrics:
        for place in range(1, len(tally.arms)):
            stands = [_stand(metric, look.arms, place, standard) for look in looks]
            found = _intervals(stands, looks, standard)
            last = stands[-1]
            how = moments_of_arms(metric, looks[-1].arms, standard)
            shown = named(found[-1], metric, question, how)
            effect = effect_of(metric, last.arms, last.moments, shown, last.lift)
            variant = tally.arms[place].variant
            measured.append(
                Measured(metric, variant, effect, last.error, doubt_of(metric, last.arms))
            )
            for look, stand, interval in zip(looks, stands, found, strict=True):
                readings.append(_reading(look.label, metric, variant, stand, interval, standard))
    return tuple(measured), tuple(readings)


def _stand(metric: AskedMetric, arms: Sequence[ArmTally], place: int, standard: Standard) -> _Stand:
    both = (arms[0], arms[place])
    if metric.kind is AskedKind.QUANTILE:
        return _Stand(both, None, None, None)
    adjusted = moments_of_arms(metric, arms, standard)
    moments = adjusted.moments
    one, other = moments[0], moments[place]
    if one is None or other is None or not (one.n and other.n):
        return _Stand(both, None, None, None)
    is_raw_share = metric.kind in SHARES and not arms[0].metrics[metric.name].covariates
    error = two_sample.standard_error(one, other, pooled_floor=True, proportion=is_raw_share)
    apart = adjusted.apart[place]
    estimate = other.mean - one.mean if apart is None else apart
    return _Stand(both, (one, other), error, estimate)


def _until_the_end(looks: Sequence[Look], standard: Standard) -> Sequence[Look]:
    """Return the looks up to the one at which the plan is spent: a planned test ends there."""
    end = standard.planned_units
    if end is None or standard.open_ended:
        return looks
    at_end = (place for place, look in enumerate(looks, start=1) if _units(look) >= end)
    return looks[: next(at_end, len(looks))]


def _units(look: Look) -> int:
    return sum(arm.units for arm in look.arms)


def _intervals(
    stands: Sequence[_Stand], looks: Sequence[Look], standard: Standard
) -> tuple[Interval, ...]:
    end = standard.planned_units or _units(looks[-1])
    if standard.open_ended:
        return tuple(_anytime(stand, standard.alpha, end) for stand in stands)
    times = tuple(_units(look) / max(end, 1) for look in looks)
    critical = _boundaries(times, standard.alpha)
    found = [_repeated(stand, boundary) for stand, boundary in zip(stands, critical, strict=True)]
    last, z = found[-1], stands[-1].z
    if last.low is None or z is None:
        return tuple(found)
    return (*found[:-1], replace(last, p=repeated_p(z, times, standard.alpha)))


@lru_cache(maxsize=512)
def _boundaries(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    return boundaries(times, alpha=alpha)


def _repeated(stand: _Stand, boundary: float) -> Interval:
    if stand.estimate is None:
        return not_estimable(n=stand.units, method=REPEATED, reason="Not to be had.")
    return repeated_interval(
        estimate=stand.estimate, standard_error=stand.error, boundary=boundary, n=stand.units
    )


def _anytime(stand: _Stand, alpha: float, end: int) -> Interval:
    if stand.estimate is None:
        return not_estimable(n=stand.units, method=ANYTIME, reason="Not to be had.")
    return anytime_interval(
        stand.estimate, stand.error, stand.units, alpha=alpha, n_tuned=float(max(end, 1))
    )


def _reading(
    label: str,
    metric: AskedMetric,
    variant: str,
    stand: _Stand,
    found: Interval,
    standard: Standard,
) -> LookReading:
    effect = effect_of(metric, stand.arms, stand.moments, found)
    ruling, _ = ruled(Measured(metric, variant, effect), standard)
    return LookReading(
        look=label,
        metric=metric.name,
        variant=variant,
        n_control=effect.n_control,
        n_treatment=effect.n_treatment,
        effect=found.estimate,
        ci_low=found.low,
        ci_high=found.high,
        p_if_read_once=stand.p_if_read_once,
        ruling=ruling,
    )
