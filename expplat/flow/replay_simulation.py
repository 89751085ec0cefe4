"""replay_simulation: rows of requests that do not exist, for a gate that is tried on them.

The paired differences have long tails, and most of them are ties, as those of retrieval and answer
metrics are. Their spread is chosen by the gate, so that a gain of `PLANTED` times its `min_effect`
is nearly always found, and none at all passes with just its error.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from expplat.domain.gate import Gate, Ruling
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow
from expplat.flow.evidence_effects import effects_of
from expplat.flow.evidence_pairs import Material
from expplat.gates import judge
from expplat.metrics.columns import columns_of

REQUESTS = 400
"""Requests of one simulated replay; more for a proportion whose gate is fine."""

PLANTED = 2.0
"""The planted gain, in units of the gate's `min_effect`: it must be shown to be that large."""

MOVED = 0.3
"""Share of the requests on which a mean moves at all."""

FINEST = 0.004
"""A proportion's gate that is finer is tried at this `min_effect`: it would need too many rows."""


class Trial(NamedTuple):
    """A gate and the metric that it judges, as they are tried."""

    gate: Gate
    metric: Metric
    requests: int


def trial_of(gate: Gate, metric: Metric) -> Trial:
    """Return what is tried of a superiority gate: its alpha and `min_effect`, on a stand-in.

    Args:
        gate: An offline superiority gate, with its `min_effect`.
        metric: The metric that it judges; a metric that a clock gives, or a quantile, is tried as
            a mean.
    """
    is_share = metric.kind is MetricKind.PROPORTION
    least = gate.min_effect or 0.0
    if is_share:
        least = min(max(least, FINEST), 0.25)
    tried = replace(gate, metric="planted", min_effect=least, strict=False)
    stand_in = Metric(
        name="planted",
        kind=MetricKind.PROPORTION if is_share else MetricKind.MEAN,
        direction=Direction.HIGHER,
        unit=metric.unit,
        concern=Concern.ACCURACY,
        use="planted:value",
    )
    return Trial(tried, stand_in, math.ceil(16 / least) if is_share else REQUESTS)


def passes(trial: Trial, gain: float, draw: np.random.Generator) -> bool:
    """Judge one simulated replay by the functions that judge real ones; return whether it passed.

    Args:
        trial: What is tried.
        gain: The true effect, in units of `min_effect`.
        draw: Source of chance.
    """
    columns = columns_of(_rows(trial, gain, draw), [trial.metric])
    material = Material(columns=columns, measurement=Measurement())
    effects = effects_of(material, [trial.metric], [trial.gate])
    return judge(trial.gate, effects[0]).ruling is Ruling.PASS


def _rows(trial: Trial, gain: float, draw: np.random.Generator) -> list[ReplayRow]:
    is_share = trial.metric.kind is MetricKind.PROPORTION
    control, treatment = _answers(trial, gain, draw) if is_share else _values(trial, gain, draw)
    return [
        ReplayRow(
            position=position,
            request_id=f"q{position}",
            cluster=f"q{position}",
            segment={},
            calls={CONTROL: _record(one), TREATMENT: _record(other)},
        )
        for position, (one, other) in enumerate(zip(control, treatment, strict=True))
    ]


def _values(
    trial: Trial, gain: float, draw: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Return a mean's values: most requests tie, the others move, some of them far."""
    least, n = trial.gate.min_effect or 0.0, trial.requests
    control = draw.normal(10.0 * least, least, n)
    # a standard error of half the least effect, spread over the share of requests that move
    size = least * math.sqrt(n) / 2 / math.sqrt(2 * MOVED)
    moved = draw.random(n) < MOVED
    noise = np.where(moved, draw.laplace(0.0, size, n), 0.0)
    return control.tolist(), (control + noise + gain * least).tolist()


def _answers(
    trial: Trial, gain: float, draw: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Return a proportion's answers: a few requests are right under one variant alone."""
    least, n = trial.gate.min_effect or 0.0, trial.requests
    discordant = 4 * least
    kind = draw.choice(
        4,
        size=n,
        p=[
            (1 - discordant) / 2,
            (1 - discordant) / 2,
            (discordant - gain * least) / 2,
            (discordant + gain * least) / 2,
        ],
    )
    control = np.isin(kind, (0, 2)).astype(float)
    treatment = np.isin(kind, (0, 3)).astype(float)
    return control.tolist(), treatment.tolist()


def _record(value: float) -> CallRecord:
    return CallRecord(latency_ms=1.0, cpu_ms=1.0, cost_usd=Decimal(0), metrics={"planted": value})
