"""What happens to a simulated user: drawn from the replay's own results, request by request.

Nothing here is measured on people. A simulated user asks one recorded question; whether the answer
was found, how long it took and what it cost is what the replay measured for that question under
that variant. One thing is added that a replay cannot see: a variant that serves more of the
traffic is busier. Each variant has the machines that production has for control, which they keep
`BUSY_UNDER_CONTROL` busy when it serves everyone at the busiest hour. With requests that come at
random, an answer takes its time at work over the idle share (an M/M/1 queue); where more work
comes than can be done, the queue only grows and every answer is slow.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow

BUSY_UNDER_CONTROL = 0.2
"""Share of the time, 0 to 1, that the machines work when control serves everyone at the peak."""

OVERLOADED = 0.95
"""A machine that has more to do than this share of its time falls behind for good."""

SLOW_MS = 50.0
"""The budget of an answer, as the experiment files state it: slower ones are slow answers."""


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
    work_ratio: dict[str, float]
    """CPU time of a request by variant, over that of control, as replayed."""

    def meet(self, user: int, variant: str, share: float) -> Experience:
        """Return what a user meets under a variant that serves a share (0 to 1) of the traffic."""
        draw = random.Random(f"{user}")  # noqa: S311  (a simulation, seeded by the user)
        record = self.calls[variant][draw.randrange(len(self.calls[variant]))]
        busy = BUSY_UNDER_CONTROL * self.work_ratio[variant] * share
        return Experience(
            success=bool(record.metrics.get(self.success_metric)),
            slow=busy >= OVERLOADED or record.latency_ms / (1 - busy) > SLOW_MS,
            cost_usd=float(record.cost_usd),
        )


def world_of(rows: Iterable[ReplayRow], success_metric: str) -> World:
    """Return the world that a replay's rows make."""
    kept = [row for row in rows if row.calls[CONTROL].metrics.get(success_metric) is not None]
    calls = {arm: tuple(row.calls[arm] for row in kept) for arm in (CONTROL, TREATMENT)}
    work_ms = {arm: sum(record.cpu_ms for record in records) for arm, records in calls.items()}
    return World(
        calls=calls,
        success_metric=success_metric,
        work_ratio={arm: total / work_ms[CONTROL] for arm, total in work_ms.items()},
    )
