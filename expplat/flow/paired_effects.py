"""From recorded outputs to effects: every metric of every treatment, request by request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from expplat.domain.analysis import Role
from expplat.domain.gate import Effect
from expplat.domain.metric import Direction
from expplat.domain.question import AskedKind, AskedMetric, Question, Standard
from expplat.domain.tally import PairedTable
from expplat.domain.wording import RELATIVE
from expplat.flow.ruling import Measured
from expplat.stats import paired, paired_quantiles, paired_ratios
from expplat.stats.interval import Interval

SHOWN_QUANTILES = (0.5, 0.95, 0.99)
"""What is shown of a latency beside its typical ratio."""

MOST_FAILED = 0.05
"""Share of calls that may fail before what is left are survivors only."""

ERRORS = AskedMetric(name="errors", kind=AskedKind.PROPORTION, column="", direction=Direction.LOWER)
"""Failed calls as a metric of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """One metric of control and one treatment, over the requests for which both have a value."""

    control: tuple[float, ...]
    treatment: tuple[float, ...]
    clusters: tuple[str, ...] | None
    control_denominator: tuple[float, ...] = ()
    treatment_denominator: tuple[float, ...] = ()


def effects_of(table: PairedTable, question: Question, standard: Standard) -> tuple[Measured, ...]:
    """Return the effect of every treatment on every metric."""
    return tuple(
        one
        for metric in question.metrics
        for variant in table.variants[1:]
        for one in _effects_on(metric, variant, table, question, standard)
    ) + tuple(_errors(table, question, standard))


def aligned(metric: AskedMetric, variant: str, table: PairedTable, *, worst: bool) -> _Columns:
    """Return both variants' values of the requests that have them.

    Args:
        metric: The metric.
        variant: The treatment.
        table: The requests.
        worst: Whether a failed call counts as the worst a share can be, rather than as nothing.
    """
    control = table.variants[0]
    columns = [_values(metric, name, table, worst=worst) for name in (control, variant)]
    if metric.kind is AskedKind.RATIO:
        columns += [table.denominators[name][metric.name] for name in (control, variant)]
    kept = [place for place, row in enumerate(zip(*columns, strict=True)) if None not in row]
    picked = [tuple(value for place in kept if (value := column[place]) is not None)
              for column in columns]  # fmt: skip
    names = table.clusters
    clusters = tuple(names[place] for place in kept) if names is not None else None
    return _Columns(
        control=picked[0],
        treatment=picked[1],
        clusters=clusters,
        control_denominator=picked[2] if len(picked) > 2 else (),
        treatment_denominator=picked[3] if len(picked) > 2 else (),
    )


def failed_share(table: PairedTable, variant: str) -> float:
    """Return the share of a variant's calls that failed."""
    failed = table.failed[variant]
    return sum(failed) / len(failed) if failed else 0.0


def _effects_on(
    metric: AskedMetric, variant: str, table: PairedTable, question: Question, standard: Standard
) -> Iterator[Measured]:
    has_failures = any(any(table.failed[name]) for name in (table.variants[0], variant))
    is_share = metric.kind is AskedKind.PROPORTION
    columns = aligned(metric, variant, table, worst=is_share)
    doubt = None if is_share else _doubt(table, variant)
    yield _measured(metric, variant, columns, question, standard, doubt)
    if is_share and has_failures:
        other = replace(metric, name=f"{metric.name}_where_both_answered")
        both = aligned(metric, variant, table, worst=False)
        yield _measured(other, variant, both, question, standard, None)._replace(view=Role.SHOWN)
    if metric.kind is AskedKind.LATENCY:
        for q in SHOWN_QUANTILES:
            name = f"{metric.name}_p{100 * q:g}"
            shown = replace(metric, name=name, kind=AskedKind.QUANTILE, q=q, margin=None)
            found = _measured(shown, variant, columns, question, standard, doubt)
            yield found._replace(view=Role.SHOWN)


def _errors(table: PairedTable, question: Question, standard: Standard) -> Iterator[Measured]:
    control, *treatments = table.variants
    for variant in treatments:
        if not any(table.failed[control]) and not any(table.failed[variant]):
            continue
        one, other = (tuple(map(float, table.failed[name])) for name in (control, variant))
        columns = _Columns(control=one, treatment=other, clusters=table.clusters)
        found = _measured(ERRORS, variant, columns, question, standard, None)
        yield found._replace(view=Role.WATCHED)


def _values(
    metric: AskedMetric, variant: str, table: PairedTable, *, worst: bool
) -> tuple[float | None, ...]:
    values = table.values[variant][metric.name]
    if not worst:
        return values
    least = 0.0 if metric.direction is Direction.HIGHER else 1.0
    failed = table.failed[variant]
    return tuple(
        least if has_failed else value for value, has_failed in zip(values, failed, strict=True)
    )


def _doubt(table: PairedTable, variant: str) -> str | None:
    """Say why a gain must not pass: the calls that failed are not in it."""
    shares = {name: failed_share(table, name) for name in (table.variants[0], variant)}
    worst = max(shares, key=lambda name: shares[name])
    if shares[worst] <= MOST_FAILED:
        return None
    return f"{shares[worst]:.0%} of the calls of {worst} failed, and are not in it."


def _measured(
    metric: AskedMetric,
    variant: str,
    columns: _Columns,
    question: Question,
    standard: Standard,
    doubt: str | None,
) -> Measured:
    found = STATISTICS[metric.kind](metric, columns, question, standard.alpha)
    levels = _levels(metric, columns)
    lift = _lift(metric, columns, found, standard.alpha)
    effect = Effect(
        metric=metric.name,
        unit=UNITS.get(metric.kind, ""),
        sign=metric.direction.sign,
        control=levels[0],
        treatment=levels[1],
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=len(columns.control),
        n_treatment=len(columns.treatment),
        method=found.method,
        relative=lift.estimate if lift else None,
        relative_low=lift.low if lift else None,
        relative_high=lift.high if lift else None,
        warnings=found.warnings,
    )
    return Measured(metric, variant, effect, found.standard_error, doubt)


def _mean(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    del metric, question
    return paired.mean_difference(of.control, of.treatment, of.clusters, alpha)


def _share(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    del metric
    return paired.proportion_difference(
        of.control, of.treatment, of.clusters, alpha, exact=question.exact
    )


def _ratio(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    del metric, question
    return paired_ratios.ratio_difference(
        of.control,
        of.control_denominator,
        of.treatment,
        of.treatment_denominator,
        of.clusters,
        alpha,
    )


def _quantile(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    return paired_quantiles.quantile_difference(
        of.control, of.treatment, metric.q or 0.5, of.clusters, alpha=alpha, seed=question.seed
    )


def _latency(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    del metric, question
    return _less_one(
        paired.geometric_mean_ratio(of.control, of.treatment, of.clusters, alpha=alpha)
    )


def _cost(metric: AskedMetric, of: _Columns, question: Question, alpha: float) -> Interval:
    del metric, question
    return _less_one(paired_ratios.ratio_of_sums(of.control, of.treatment, of.clusters, alpha))


STATISTICS: dict[AskedKind, Callable[[AskedMetric, _Columns, Question, float], Interval]] = {
    AskedKind.MEAN: _mean,
    AskedKind.COUNT: _mean,
    AskedKind.PROPORTION: _share,
    AskedKind.RATIO: _ratio,
    AskedKind.QUANTILE: _quantile,
    AskedKind.LATENCY: _latency,
    AskedKind.COST: _cost,
}
"""The statistic of each kind of metric."""

UNITS = {
    AskedKind.PROPORTION: "fraction",
    AskedKind.LATENCY: RELATIVE,
    AskedKind.COST: RELATIVE,
}
"""Units of effects that are shares: of requests, or of what control takes."""


def _less_one(ratio: Interval) -> Interval:
    """Turn a ratio into a share more or less."""
    estimate, low, high = (
        None if end is None else end - 1 for end in (ratio.estimate, ratio.low, ratio.high)
    )
    return replace(
        ratio,
        estimate=estimate,
        low=low,
        high=high,
        method=f"{ratio.method}, less 1",
        standard_error=None,
    )


def _levels(metric: AskedMetric, of: _Columns) -> tuple[float | None, float | None]:
    if not of.control:
        return None, None
    if metric.kind is AskedKind.QUANTILE:
        q = metric.q or 0.5
        return paired_quantiles.quantile(of.control, q), paired_quantiles.quantile(of.treatment, q)
    if metric.kind is AskedKind.LATENCY and min(*of.control, *of.treatment) > 0:
        return _geometric_mean(of.control), _geometric_mean(of.treatment)
    if metric.kind is AskedKind.RATIO:
        return (
            _over(of.control, of.control_denominator),
            _over(of.treatment, of.treatment_denominator),
        )
    return paired.mean(of.control), paired.mean(of.treatment)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _over(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    below = sum(denominators)
    return sum(numerators) / below if below else None


def _lift(metric: AskedMetric, of: _Columns, found: Interval, alpha: float) -> Interval | None:
    """Return the effect over control, by the ratio of sums where it is no ratio itself."""
    if metric.kind in (AskedKind.LATENCY, AskedKind.COST):
        return found
    if metric.kind not in (AskedKind.MEAN, AskedKind.COUNT, AskedKind.PROPORTION):
        return None
    ratio = paired_ratios.ratio_of_sums(of.control, of.treatment, of.clusters, alpha)
    return None if ratio.low is None else _less_one(ratio)
