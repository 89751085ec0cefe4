"""The value of a metric in one recorded call."""

from __future__ import annotations

from typing import Literal

from expplat.domain.metric import Metric
from expplat.domain.replay import CallRecord
from expplat.metrics.catalogue import is_measured, is_timed, stage_of


def value_of(
    metric: Metric, record: CallRecord, errors: Literal["worst", "drop_pair"]
) -> float | None:
    """Return what a call counts as, in the metric's unit; None where it counts as nothing.

    A failed call under `worst`: latency, stages and cost stay as they were measured, and any other
    metric takes its worst value, unless the record says by a None that it does not apply to the
    request. Under `drop_pair` a failed call counts as nothing, but for `error_fraction`, which
    counts it as 1 either way.

    A stage that the call never entered has no value.
    """
    if metric.use is None and metric.name == "error_fraction":
        return float(record.error is not None)
    if record.error is not None and errors == "drop_pair":
        return None
    if is_timed(metric):
        return _timed(metric.name, record)
    if record.error is not None:
        return None if metric.name in record.metrics else metric.worst_value
    return float(record.refused) if is_measured(metric) else record.metrics.get(metric.name)


def _timed(name: str, record: CallRecord) -> float | None:
    stage = stage_of(name)
    if stage is not None:
        return record.stages_ms.get(stage)
    return float(record.cost_usd) * 1_000 if name == "cost_usd_per_1k" else record.latency_ms
