"""Rows of a replay that nobody ran, and the columns that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from expplat.domain.metric import Metric
from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow
from expplat.flow.evidence_pairs import Material
from expplat.metrics.catalogue import resolve
from expplat.metrics.columns import columns_of

RECALL, SUCCESS, LATENCY, P95, COST, ERRORS = METRICS = resolve(
    ("recall_at_5", "success_at_5", "latency_ms", "latency_p95_ms", "cost_usd_per_1k",
     "error_fraction")
)  # fmt: skip


def a_call(recall: float | None = 0.5, **changed: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "latency_ms": 10.0,
        "cpu_ms": 2.0,
        "cost_usd": Decimal("0.002"),
        "metrics": {
            "recall_at_5": recall,
            "success_at_5": None if recall is None else float(recall > 0),
        },
    }
    return CallRecord(**(fields | changed))


def a_row(position: int, calls: Mapping[str, CallRecord], **changed: Any) -> ReplayRow:
    fields: dict[str, Any] = {
        "position": position,
        "request_id": f"q{position}",
        "cluster": f"q{position}",
        "segment": {},
        "calls": calls,
    }
    return ReplayRow(**(fields | changed))


def rows_of(control: Iterable[float | None], treatment: Iterable[float | None], **changed: Any):
    """Rows of calls with these recalls."""
    return [
        a_row(position, {CONTROL: a_call(one), TREATMENT: a_call(other)}, **changed)
        for position, (one, other) in enumerate(zip(control, treatment, strict=True))
    ]


def material(
    rows: Iterable[ReplayRow], metrics: Iterable[Metric] = METRICS, **changed: Any
) -> Material:
    measurement = Measurement(**changed.pop("measured", {}))
    return Material(columns=columns_of(rows, metrics), measurement=measurement, **changed)
