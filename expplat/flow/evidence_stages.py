"""Which stage made it slower: every stage of the same timed calls under both variants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from expplat.domain.breakdown import REST, StageDelta, StageTimes
from expplat.domain.call import WAITING
from expplat.domain.gate import Effect
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.evidence_effects import DEFAULT_ALPHA, effect_of
from expplat.flow.evidence_pairs import Material, Pairs, by_request, picked
from expplat.metrics.columns import Columns, Flags, Floats
from expplat.stats import paired

QUANTILES = (0.50, 0.95, 0.99)


def stage_deltas(material: Material) -> tuple[StageDelta, ...]:
    """Return what each stage did to the latency, by name, then what no stage accounts for.

    Over the pairs whose calls were both timed; a call that never entered a stage spent 0 ms there.
    The rest is the latency less all stages, so that the mean differences add up to that of the
    latency; it is below 0 where stages lie within one another. Waits for rate limits are no part of
    the latency. Empty where no variant names a stage, or their clocks are not those of one machine.
    """
    columns = material.columns
    names = {stage for arm in (CONTROL, TREATMENT) for stage in columns.stages(arm)} - {WAITING}
    if not names or material.has_two_clocks:
        return ()
    kept = _timed_twice(material)
    if not kept.any():
        return ()
    return tuple(
        _delta(stage, picked(columns, one, other, kept), material.measurement.seed)
        for stage, one, other in _parts(columns, sorted(names))
    )


def _timed_twice(material: Material) -> Flags:
    """Return the rows whose calls were timed under both arms, and count."""
    columns = material.columns
    kept = ~(np.isnan(columns.latencies_ms(CONTROL)) | np.isnan(columns.latencies_ms(TREATMENT)))
    if material.measurement.errors == "drop_pair":
        kept &= ~(columns.failed(CONTROL) | columns.failed(TREATMENT))
    return kept


def _parts(columns: Columns, names: list[str]) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield the times of each stage under both arms, then what is left of the latency."""
    first, second = (columns.latencies_ms(arm).copy() for arm in (CONTROL, TREATMENT))
    for stage in names:
        one, other = (np.nan_to_num(columns.stage_ms(arm, stage)) for arm in (CONTROL, TREATMENT))
        first -= one
        second -= other
        yield stage, one, other
    yield REST, first, second


def _delta(stage: str, pairs: Pairs, seed: int) -> StageDelta:
    control, treatment = _times(pairs.first), _times(pairs.second)
    tails = [_quantile(stage, pairs, q, seed) for q in QUANTILES]
    return StageDelta(
        stage=stage,
        control=control,
        treatment=treatment,
        mean=_mean(stage, pairs),
        p50=tails[0],
        p95=tails[1],
        p99=tails[2],
    )


def _times(spent_ms: Floats) -> StageTimes:
    p50, p95, p99 = np.quantile(spent_ms, QUANTILES)
    return StageTimes(
        mean_ms=float(spent_ms.mean()), p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99)
    )


def _mean(stage: str, pairs: Pairs) -> Effect:
    each = by_request(pairs)
    found = paired.mean_difference(each.first, each.second, each.clusters, alpha=DEFAULT_ALPHA)
    levels = float(each.first.mean()), float(each.second.mean())
    return effect_of(_metric(f"stage_{stage}_ms", MetricKind.MEAN), pairs, found, levels)


def _quantile(stage: str, pairs: Pairs, q: float, seed: int) -> Effect:
    found = paired.quantile_difference(
        pairs.first, pairs.second, q, pairs.groups, alpha=DEFAULT_ALPHA, seed=seed
    )
    levels = paired.quantile(pairs.first, q), paired.quantile(pairs.second, q)
    metric = _metric(f"stage_{stage}_p{100 * q:g}_ms", MetricKind.QUANTILE)
    return effect_of(metric, pairs, found, levels)


def _metric(name: str, kind: MetricKind) -> Metric:
    return Metric(
        name=name, kind=kind, direction=Direction.LOWER, unit="ms", concern=Concern.LATENCY
    )
