"""A replay before it is run: how many calls, how much money and time, and what it could tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GateForecast:
    """What one offline gate could be told."""

    metric: str
    unit: str
    segment: str
    """The requests that it judges; empty for all of them."""

    asked: float
    """The gate's `min_effect` or margin, in the metric's unit."""

    requests: int
    """Requests that the metric is expected to apply to."""

    sd: float | None
    """Standard deviation of the paired differences, from an earlier replay; None without one."""

    smallest_effect: float | None
    """What so many requests tell apart from nothing with 80 % power; None where the spread is not
    known."""

    @property
    def is_enough(self) -> bool | None:
        """Whether what the gate asks for can be told apart; None where nobody knows."""
        return None if self.smallest_effect is None else self.smallest_effect <= self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatForecast:
    """What so many answers to each request would buy."""

    repeats: int
    calls: int
    usd: float
    smallest_effect: float
    """On the primary metric, with 80 % power, in its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A replay that has not been run, or not to its end."""

    slug: str
    requests: int
    calls: int
    """Of the whole replay, the A/A noise floor included, warm-up not."""

    calls_left: int
    """Of these, the ones that no journal holds."""

    usd: float | None
    """What the calls that are left are expected to cost; None before anything was measured."""

    minutes: float | None
    """What they are expected to take, start-up not included."""

    gates: tuple[GateForecast, ...]
    repeats: tuple[RepeatForecast, ...]
    """Empty where no replay with repeats has told the requests' spread from the sampling's."""

    primary_unit: str
    """Unit of the primary metric."""

    learnt_from: str
    """Id of the replay that all this rests on; empty where there is none."""
