"""One variant's calls in numbers, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from expplat.domain.replay import ArmSummary, CallRecord


def arm_summary(records: Sequence[CallRecord]) -> ArmSummary:
    """Add the calls of one variant up.

    Percentiles are interpolated linearly (numpy's default) over all calls, failed ones included,
    for a timeout is what somebody waited; a stage's are over the calls that entered it. Without
    calls all numbers are 0.
    """
    errors = Counter(record.error.value for record in records if record.error is not None)
    p50, p95, p99 = _percentiles([record.latency_ms for record in records])
    stages = {name: _percentiles(spent_ms) for name, spent_ms in _stages(records).items()}
    return ArmSummary(
        calls=len(records),
        errors=dict(sorted(errors.items())),
        refusals=sum(record.refused for record in records),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        cost_usd=sum((record.cost_usd for record in records), Decimal(0)),
        stages_p50_ms={name: found[0] for name, found in stages.items()},
        stages_p95_ms={name: found[1] for name, found in stages.items()},
        input_tokens=sum(record.input_tokens for record in records),
        output_tokens=sum(record.output_tokens for record in records),
    )


def _stages(records: Sequence[CallRecord]) -> dict[str, list[float]]:
    """Return the times of each stage, by its name, over the calls that entered it."""
    found: dict[str, list[float]] = {}
    for record in records:
        for name, spent_ms in record.stages_ms.items():
            found.setdefault(name, []).append(spent_ms)
    return dict(sorted(found.items()))


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    if not values:
        return 0.0, 0.0, 0.0
    p50, p95, p99 = np.percentile(np.asarray(values, dtype=np.float64), (50, 95, 99))
    return float(p50), float(p95), float(p99)
