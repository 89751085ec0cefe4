"""From journalled rows to effects: the paired statistics of a replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from expplat.domain.breakdown import RequestDelta
from expplat.domain.gate import Effect, Gate
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.proposal import Measurement
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    TREATMENT,
    CallRecord,
    ReplayRow,
)
from expplat.domain.wording import interval
from expplat.metrics.catalogue import is_timed, quantile_of
from expplat.metrics.measured import value_of
from expplat.stats import paired
from expplat.stats.interval import Interval

DEFAULT_ALPHA = 0.05
"""Level of an interval that no gate asks for."""

SHOWN_REQUESTS = 20
"""Requests in each of the lists of the worst and the best."""


class Pairs(NamedTuple):
    """Two aligned columns: the same requests under two arms, with their clusters."""

    request_ids: tuple[str, ...]
    clusters: tuple[str, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]


def effects_of(
    rows: Sequence[ReplayRow],
    metrics: Iterable[Metric],
    gates: Iterable[Gate],
    measurement: Measurement,
) -> tuple[Effect, ...]:
    """Return the effect of each metric over all requests, with its A/A noise floor.

    An effect is judged at the level of its gate, the smallest where several gates read it.
    """
    gates = tuple(gates)
    return tuple(
        _with_failures_dropped(
            _effect(rows, metric, _alpha_for(metric, gates), measurement), rows, metric, measurement
        )
        for metric in metrics
    )


def segment_effects(
    rows: Sequence[ReplayRow], primary: Metric, measurement: Measurement
) -> dict[str, tuple[Effect, ...]]:
    """Return the effect on the primary metric for each value of each segment, by `key=value`."""
    parts: dict[str, list[ReplayRow]] = {}
    for row in rows:
        for key, value in row.segment.items():
            parts.setdefault(f"{key}={value}", []).append(row)
    return {
        name: (_effect(part, primary, DEFAULT_ALPHA, measurement),)
        for name, part in sorted(parts.items())
    }


def extremes(
    rows: Sequence[ReplayRow], primary: Metric, measurement: Measurement
) -> tuple[tuple[RequestDelta, ...], tuple[RequestDelta, ...]]:
    """Return the requests that lost most and gained most on the primary metric."""
    pairs = pairs_of(rows, primary, measurement, CONTROL, TREATMENT)
    sign = primary.direction.sign
    deltas = [
        RequestDelta(request_id=request_id, control=control, treatment=treatment)
        for request_id, control, treatment in zip(
            pairs.request_ids, pairs.first, pairs.second, strict=True
        )
        if control != treatment
    ]
    deltas.sort(key=lambda delta: (sign * (delta.treatment - delta.control), delta.request_id))
    worst = [delta for delta in deltas if sign * (delta.treatment - delta.control) < 0]
    best = [delta for delta in reversed(deltas) if sign * (delta.treatment - delta.control) > 0]
    return tuple(worst[:SHOWN_REQUESTS]), tuple(best[:SHOWN_REQUESTS])


def pairs_of(
    rows: Iterable[ReplayRow], metric: Metric, measurement: Measurement, first: str, second: str
) -> Pairs:
    """Return the requests for which both arms have a value of the metric."""
    kept: list[tuple[str, str, float, float]] = []
    for row in rows:
        one = _value(metric, row.calls.get(first), measurement)
        two = _value(metric, row.calls.get(second), measurement)
        if one is not None and two is not None:
            kept.append((row.request_id, row.cluster, one, two))
    if not kept:
        return Pairs((), (), (), ())
    return Pairs(*zip(*kept, strict=True))


def _value(metric: Metric, record: CallRecord | None, measurement: Measurement) -> float | None:
    return None if record is None else value_of(metric, record, measurement.errors)


def _effect(
    rows: Sequence[ReplayRow], metric: Metric, alpha: float, measurement: Measurement
) -> Effect:
    pairs = pairs_of(rows, metric, measurement, CONTROL, TREATMENT)
    found = _interval(metric, pairs, alpha, measurement.seed)
    noise = _noise(rows, metric, alpha, measurement)
    ratio = _ratio(metric, pairs, alpha)
    return Effect(
        metric=metric.name,
        unit=metric.unit,
        sign=metric.direction.sign,
        control=_level(metric, pairs.first),
        treatment=_level(metric, pairs.second),
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=len(pairs.first),
        n_treatment=len(pairs.second),
        method=found.method,
        timed=is_timed(metric),
        relative=_less_one(ratio.estimate) if ratio else None,
        relative_low=_less_one(ratio.low) if ratio else None,
        relative_high=_less_one(ratio.high) if ratio else None,
        noise_low=noise.low if noise else None,
        noise_high=noise.high if noise else None,
        warnings=found.warnings,
    )


def _interval(metric: Metric, pairs: Pairs, alpha: float, seed: int) -> Interval:
    """Pick the statistic by the metric's kind, so that a gate never knows which test ran."""
    if metric.kind is MetricKind.QUANTILE:
        q = quantile_of(metric)
        return paired.quantile_difference(
            pairs.first, pairs.second, q, pairs.clusters, alpha=alpha, seed=seed
        )
    if metric.kind is MetricKind.PROPORTION:
        return paired.proportion_difference(pairs.first, pairs.second, pairs.clusters, alpha=alpha)
    return paired.mean_difference(pairs.first, pairs.second, pairs.clusters, alpha=alpha)


def _noise(
    rows: Sequence[ReplayRow], metric: Metric, alpha: float, measurement: Measurement
) -> Interval | None:
    again = pairs_of(rows, metric, measurement, CONTROL, CONTROL_AGAIN)
    if len(again.first) < 2:
        return None
    return _interval(metric, again, alpha, measurement.seed)


def _ratio(metric: Metric, pairs: Pairs, alpha: float) -> Interval | None:
    """Return the geometric-mean ratio where all values are above 0, as latencies and costs are."""
    if not is_timed(metric) or not pairs.first or min(*pairs.first, *pairs.second) <= 0:
        return None
    return paired.geometric_mean_ratio(pairs.first, pairs.second, pairs.clusters, alpha=alpha)


def _level(metric: Metric, values: Sequence[float]) -> float | None:
    if not values:
        return None
    if metric.kind is MetricKind.QUANTILE:
        return paired.quantile(values, quantile_of(metric))
    return paired.mean(values)


def _less_one(ratio: float | None) -> float | None:
    return None if ratio is None else ratio - 1.0


def _alpha_for(metric: Metric, gates: tuple[Gate, ...]) -> float:
    asked = [gate.alpha for gate in gates if gate.metric == metric.name]
    return min(asked, default=DEFAULT_ALPHA)


def _with_failures_dropped(
    effect: Effect, rows: Sequence[ReplayRow], metric: Metric, measurement: Measurement
) -> Effect:
    """Add the other view where calls failed: what the effect is without the failed pairs."""
    failed = sum(_has_failed(row) for row in rows)
    if not failed or measurement.errors == "drop_pair":
        return effect
    other = replace(measurement, errors="drop_pair")
    without = _effect([row for row in rows if not _has_failed(row)], metric, DEFAULT_ALPHA, other)
    view = f"without the {failed} requests with a failed call: {interval(without)}"
    return replace(effect, warnings=(*effect.warnings, view))


def _has_failed(row: ReplayRow) -> bool:
    return any(row.calls[arm].error is not None for arm in (CONTROL, TREATMENT) if arm in row.calls)
