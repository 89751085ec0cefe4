"""One variant's calls in numbers, for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from expplat.domain.price import PriceTable
from expplat.domain.replay import ArmSummary
from expplat.metrics.call_totals import CallTotals, cost_lines
from expplat.metrics.columns import Columns, Floats


def arm_summary(
    columns: Columns, arm: str, prices: PriceTable, setups_ms: Sequence[float] = ()
) -> ArmSummary:
    """Add the calls of one variant up.

    Percentiles are interpolated linearly (numpy's default) over all timed calls, failed ones
    included, for a timeout is what somebody waited; a stage's are over the calls that entered it.
    Without timed calls they are 0.

    Args:
        columns: Of all rows.
        arm: Whose calls.
        prices: What tokens and CPU time cost.
        setups_ms: What setting up took in each worker.
    """
    totals = columns.facts.totals.get(arm) or CallTotals(errors={}, stages_cpu_ms={})
    latency = _percentiles(columns.latencies_ms(arm))
    stages = {stage: _percentiles(columns.stage_ms(arm, stage)) for stage in columns.stages(arm)}
    return ArmSummary(
        calls=totals.calls,
        errors=totals.errors,
        refusals=totals.refusals,
        latency_p50_ms=latency[0],
        latency_p95_ms=latency[1],
        latency_p99_ms=latency[2],
        cost_usd=totals.cost_usd,
        stages_p50_ms={stage: found[0] for stage, found in stages.items()},
        stages_p95_ms={stage: found[1] for stage, found in stages.items()},
        stages_p99_ms={stage: found[2] for stage, found in stages.items()},
        input_tokens=sum(usage.input_tokens for usage in totals.usages),
        output_tokens=sum(usage.output_tokens for usage in totals.usages),
        setup_ms=median(setups_ms) if setups_ms else None,
        costs=cost_lines(totals, prices),
        timed_calls=totals.timed_calls,
        kept_calls=totals.kept_calls,
        repeated_attempts=totals.repeated_attempts,
    )


def _percentiles(values: Floats) -> tuple[float, float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 0.0, 0.0
    p50, p95, p99 = np.percentile(known, (50, 95, 99))
    return float(p50), float(p95), float(p99)
