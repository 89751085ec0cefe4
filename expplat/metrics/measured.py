"""The value of a metric in one recorded call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from expplat.domain.metric import Metric
from expplat.domain.replay import CallRecord
from expplat.metrics.catalogue import is_measured, is_timed, stage_of

Errors: TypeAlias = Literal["worst", "drop_pair"]
"""What a failed call counts as."""

Reader: TypeAlias = Callable[[CallRecord], float | None]
"""Reads one metric off a call."""


def value_of(metric: Metric, record: CallRecord, errors: Errors) -> float | None:
    """Return what a call counts as, in the metric's unit; None where it counts as nothing.

    A failed call under `worst`: latency, stages and cost stay as they were measured, and any other
    metric takes its worst value, unless the record says by a None that it does not apply to the
    request. Under `drop_pair` a failed call counts as nothing, but for `error_fraction`, which
    counts it as 1 either way.

    A stage that the call never entered has no value, and no clock has one where the call was not
    timed; what a call cost counts all the same.
    """
    return reader_of(metric, errors)(record)


def reader_of(metric: Metric, errors: Errors) -> Reader:
    """Return the function that `value_of` is for one metric, for reading many calls."""
    if metric.use is None and metric.name == "error_fraction":
        return lambda record: float(record.error is not None)
    answered = _reader_of_answers(metric)
    if errors == "drop_pair":
        return lambda record: None if record.error is not None else answered(record)
    if is_timed(metric):
        return answered
    name, worst = metric.name, metric.worst_value

    def read(record: CallRecord) -> float | None:
        if record.error is None:
            return answered(record)
        return None if name in record.metrics else worst

    return read


def _reader_of_answers(metric: Metric) -> Reader:
    """Return what reads a metric off a call as it was measured, failed or not."""
    name = metric.name
    if not is_measured(metric):
        return lambda record: record.metrics.get(name)
    if not is_timed(metric):
        return lambda record: float(record.refused)
    if name == "cost_usd_per_1k":
        return lambda record: float(record.cost_usd) * 1_000
    stage = stage_of(name)
    if stage is not None:
        return lambda record: record.stages_ms.get(stage) if record.is_timed else None
    return lambda record: record.latency_ms if record.is_timed else None
