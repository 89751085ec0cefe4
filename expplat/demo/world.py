"""What happens to a simulated user: drawn from the replay's own results, request by request.

Nothing here is measured on people. A simulated user asks one recorded question; whether the answer
was found, how long it took and what it cost is what the replay measured for that question under
that variant. One thing is added that a replay cannot see: a variant that serves more of the
traffic is busier. With one worker a variant, and requests that come at random, the time in the
queue and at work is the time at work over the idle share (an M/M/1 queue).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow

PEAK_REQUESTS_PER_S = 60.0
"""Requests a second that all simulated users send together, at the busiest hour."""

BUSIEST = 0.95
"""A worker that is busier than this sheds load instead of queueing for ever."""

SLOW_MS = 50.0
"""The budget of an answer: slower ones are slow answers."""


class Experience(NamedTuple):
    """What one simulated user met."""

    success: bool
    slow: bool
    cost_usd: float


@dataclass(frozen=True, slots=True)
class World:
    """The replayed requests of one POC, as a place that simulated users walk into."""

    calls: dict[str, tuple[CallRecord, ...]]
    """By variant; the same place in both is the same request."""

    success_metric: str
    mean_ms: dict[str, float]
    """Mean time at work by variant, as replayed."""

    def meet(self, user: int, variant: str, share: float) -> Experience:
        """Return what a user meets under a variant that serves a share (0 to 1) of the traffic."""
        draw = random.Random(f"{user}")  # noqa: S311  (a simulation, seeded by the user)
        record = self.calls[variant][draw.randrange(len(self.calls[variant]))]
        busy = min(BUSIEST, PEAK_REQUESTS_PER_S * share * self.mean_ms[variant] / 1000)
        latency_ms = record.latency_ms / (1 - busy)
        return Experience(
            success=bool(record.metrics.get(self.success_metric)),
            slow=latency_ms > SLOW_MS,
            cost_usd=float(record.cost_usd),
        )


def world_of(rows: Iterable[ReplayRow], success_metric: str) -> World:
    """Return the world that a replay's rows make."""
    kept = [row for row in rows if row.calls[CONTROL].metrics.get(success_metric) is not None]
    calls = {arm: tuple(row.calls[arm] for row in kept) for arm in (CONTROL, TREATMENT)}
    mean_ms = {
        arm: sum(record.latency_ms for record in records) / len(records)
        for arm, records in calls.items()
    }
    return World(calls, success_metric, mean_ms)
