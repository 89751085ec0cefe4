"""The effect of the treatment on each metric: the paired statistics of a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from expplat.domain.gate import Effect, Gate
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, PRODUCTION_LOG, TREATMENT
from expplat.domain.wording import interval
from expplat.flow.evidence_pairs import Material, Pairs, by_request, pairs_of
from expplat.metrics.catalogue import is_latency, is_timed, quantile_of
from expplat.metrics.columns import Flags, Floats, distinct
from expplat.stats import paired
from expplat.stats.interval import Interval, not_estimable

DEFAULT_ALPHA = 0.05
"""Level of an interval that no gate asks for."""

TWO_CLOCKS = "The clocks of two machines are not compared."

AlphaOf: TypeAlias = Callable[[Gate], float]
"""Level at which a gate is judged now: less than its own where the evidence is looked at often."""


def own_alpha(gate: Gate) -> float:
    """Return the level that the gate declares."""
    return gate.alpha


def effects_of(
    material: Material,
    metrics: Iterable[Metric],
    gates: Iterable[Gate],
    alpha_of: AlphaOf = own_alpha,
) -> tuple[Effect, ...]:
    """Return the effect of each metric over all requests, with its A/A noise floor.

    An effect is judged at the level of its gate, the smallest where several gates read it. Where a
    request was repeated, means and proportions are those of the requests' means, and quantiles
    those of all answers, with the request as a cluster; n counts requests.
    """
    asked = tuple(gate for gate in gates if gate.segment is None)
    return tuple(
        effect_on(material, metric, alpha_for(metric.name, asked, alpha_of)) for metric in metrics
    )


def effect_on(
    material: Material,
    metric: Metric,
    alpha: float,
    within: Flags | None = None,
    segment: str = "",
) -> Effect:
    """Return the effect on a metric, among the rows `within`, with both views of failed calls."""
    arms = (CONTROL, TREATMENT)
    pairs = pairs_of(material, metric, arms, within)
    is_comparable = not (is_latency(metric) and material.has_two_clocks)
    found = _interval(material, metric, pairs, alpha) if is_comparable else _two_clocks(pairs)
    noise = _noise(material, metric, alpha, within) if is_comparable else None
    effect = replace(
        _effect(material, metric, pairs, found),
        alpha=alpha,
        segment=segment,
        noise_low=noise.low if noise else None,
        noise_high=noise.high if noise else None,
    )
    if not is_comparable:
        return effect
    effect = _with_ratio(effect, material, metric, pairs, alpha)
    return _with_failures_dropped(effect, material, metric, alpha, within)


def trust_effect(material: Material, metric: Metric, alpha: float = DEFAULT_ALPHA) -> Effect | None:
    """Return replayed control less what production answered; None where no log holds that.

    What production answered stands as the effect's `control`, and replayed control as its
    `treatment`.
    """
    if not np.any(material.columns.has(PRODUCTION_LOG)):
        return None
    pairs = pairs_of(material, metric, (PRODUCTION_LOG, CONTROL))
    is_comparable = material.is_control_logged or not is_latency(metric)
    found = _interval(material, metric, pairs, alpha) if is_comparable else _two_clocks(pairs)
    effect = _effect(material, metric, pairs, found)
    method = f"replayed control less production, {effect.method}"
    return replace(effect, alpha=alpha, method=method)


def alpha_for(metric: str, gates: Iterable[Gate], alpha_of: AlphaOf) -> float:
    """Return the level of the gates that read a metric: the smallest, or 0.05 without any."""
    return min((alpha_of(gate) for gate in gates if gate.metric == metric), default=DEFAULT_ALPHA)


def effect_of(metric: Metric, pairs: Pairs, found: Interval, levels: tuple[float, float]) -> Effect:
    """Return an interval as an effect; without pairs the levels are left out."""
    has_values = len(pairs.first) > 0
    return Effect(
        metric=metric.name,
        unit=metric.unit,
        sign=metric.direction.sign,
        control=levels[0] if has_values else None,
        treatment=levels[1] if has_values else None,
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=pairs.requests,
        n_treatment=pairs.requests,
        method=found.method,
        timed=is_timed(metric),
        warnings=found.warnings,
    )


def _effect(material: Material, metric: Metric, pairs: Pairs, found: Interval) -> Effect:
    if not len(pairs.first):
        return effect_of(metric, pairs, found, (0.0, 0.0))
    if metric.kind is not MetricKind.QUANTILE:
        pairs = by_request(pairs)
    levels = _level(metric, pairs.first), _level(metric, pairs.second)
    return effect_of(metric, pairs, found, levels)


def _interval(material: Material, metric: Metric, pairs: Pairs, alpha: float) -> Interval:
    """Pick the statistic by the metric's kind, so that a gate never knows which test ran."""
    if metric.kind is MetricKind.QUANTILE:
        q, seed = quantile_of(metric), material.measurement.seed
        return paired.quantile_difference(
            pairs.first, pairs.second, q, pairs.groups, alpha=alpha, seed=seed
        )
    each = by_request(pairs)
    if metric.kind is MetricKind.PROPORTION and material.measurement.repeats == 1:
        return paired.proportion_difference(each.first, each.second, each.clusters, alpha=alpha)
    return paired.mean_difference(each.first, each.second, each.clusters, alpha=alpha)


def _two_clocks(pairs: Pairs) -> Interval:
    return not_estimable(n=pairs.requests, method="not compared", reason=TWO_CLOCKS)


def _noise(
    material: Material, metric: Metric, alpha: float, within: Flags | None
) -> Interval | None:
    if CONTROL_AGAIN not in material.columns.facts.totals:
        return None
    again = pairs_of(material, metric, (CONTROL, CONTROL_AGAIN), within)
    return _interval(material, metric, again, alpha) if len(again.first) >= 2 else None


def _with_ratio(
    effect: Effect, material: Material, metric: Metric, pairs: Pairs, alpha: float
) -> Effect:
    """Add treatment over control where all values are above 0, as latencies and costs are."""
    if not is_timed(metric) or not len(pairs.first):
        return effect
    if min(pairs.first.min(), pairs.second.min()) <= 0:
        return effect
    found = _ratio(material, metric, pairs, alpha)
    return replace(
        effect,
        relative=_less_one(found.estimate),
        relative_low=_less_one(found.low),
        relative_high=_less_one(found.high),
    )


def _ratio(material: Material, metric: Metric, pairs: Pairs, alpha: float) -> Interval:
    """Return the ratio of the quantiles, or of the typical request: the geometric mean."""
    if metric.kind is MetricKind.QUANTILE:
        q, seed = quantile_of(metric), material.measurement.seed
        return paired.quantile_ratio(
            pairs.first, pairs.second, q, pairs.groups, alpha=alpha, seed=seed
        )
    each = by_request(pairs)
    return paired.geometric_mean_ratio(each.first, each.second, each.clusters, alpha=alpha)


def _with_failures_dropped(
    effect: Effect, material: Material, metric: Metric, alpha: float, within: Flags | None
) -> Effect:
    """Add the other view where calls failed: what the effect is without the failed pairs."""
    columns = material.columns
    if material.measurement.errors == "drop_pair" or not _any_failed(material):
        return effect
    failed = columns.failed(CONTROL) | columns.failed(TREATMENT)
    if within is not None:
        failed &= within
    count = distinct(columns.positions[failed])
    if not count:
        return effect
    kept = ~failed if within is None else within & ~failed
    pairs = pairs_of(material, metric, (CONTROL, TREATMENT), kept)
    found = _interval(material, metric, pairs, alpha)
    other = replace(effect, difference=found.estimate, low=found.low, high=found.high)
    view = f"without the {count} requests with a failed call: {interval(other)}"
    return replace(effect, warnings=(*effect.warnings, view))


def _any_failed(material: Material) -> bool:
    totals = material.columns.facts.totals
    return any(totals[arm].errors for arm in (CONTROL, TREATMENT) if arm in totals)


def _level(metric: Metric, values: Floats) -> float:
    if metric.kind is MetricKind.QUANTILE:
        return paired.quantile(values, quantile_of(metric))
    return float(values.mean())


def _less_one(ratio: float | None) -> float | None:
    return None if ratio is None else ratio - 1.0
