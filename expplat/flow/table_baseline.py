"""What a metric is today, by a table of units that were in no test."""

from __future__ import annotations

import math

from expplat.domain.metric import MetricKind
from expplat.domain.planning import Baseline
from expplat.domain.question import HALF, AskedKind, AskedMetric, Question
from expplat.errors import InputError
from expplat.flow.ports import Table
from expplat.stats.joint_moments import linearised, marginal, merge_joint
from expplat.stats.moments import variance

KINDS = frozenset({AskedKind.MEAN, AskedKind.PROPORTION, AskedKind.COUNT, AskedKind.RATIO})


def baseline_of(table: Table, unit: str, metric: AskedMetric) -> Baseline:
    """Return the level of a metric and how far units differ, over all rows of a table.

    Raises:
        FaultsError: If the table does not have the columns, or they do not hold what is asked.
        InputError: If the metric has no mean and spread over units.
    """
    if metric.kind not in KINDS:
        raise InputError(
            f"{metric.name}: no plan can be made for a {metric.kind}.",
            hint="Ask for a mean, proportion, count or ratio.",
        )
    question = Question(variant=HALF, control="0", metrics=(metric,), unit=unit)
    first, second = (arm.metrics[metric.name] for arm in table.halved(unit).tally(question).arms)
    joint = merge_joint(first.moments, second.moments)
    value = linearised(joint) if first.has_denominator else joint
    moments = marginal(value) if value is not None else None
    spread = variance(moments) if moments is not None else None
    if moments is None or spread is None:
        raise InputError(f"{metric.name} has too few values to plan by.")
    if metric.kind is AskedKind.PROPORTION:
        return Baseline(kind=MetricKind.PROPORTION, value=moments.mean, name=metric.name)
    return Baseline(
        kind=MetricKind.MEAN, value=moments.mean, sd=math.sqrt(spread), name=metric.name
    )
