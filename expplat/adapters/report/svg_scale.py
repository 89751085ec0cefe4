"""From values to pixels: the arithmetic that every plot shares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from expplat.domain.gate import Effect

Ends = tuple[float | None, float | None, float | None]
"""Point, lower end and upper end; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, in pixels, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Scale:
        """Return a scale that holds zero and all values, with room at both ends."""
        held = [0.0, *(value for value in values if math.isfinite(value))]
        low, high = min(held), max(held)
        if low == high:
            low, high = low - 1.0, high + 1.0
        room = (high - low) * 0.08
        return cls(low=low - room, high=high + room, start=start, end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval, in pixels; ends are None where there is no interval."""

    point: float | None
    start: float | None
    end: float | None

    @property
    def length(self) -> float:
        """Pixels from end to end; 0 where there is no interval."""
        return 0.0 if self.start is None or self.end is None else round(self.end - self.start, 1)

    @classmethod
    def on(cls, ends: Ends, scale: Scale) -> Interval:
        """Place an estimate with its ends."""
        point, low, high = (None if value is None else scale.at(value) for value in ends)
        return cls(point=point, start=low, end=high)


def finite(value: float | None) -> float | None:
    """Return the value; None where it is missing, infinite or no number."""
    return value if value is not None and math.isfinite(value) else None


def oriented(effect: Effect) -> Ends:
    """Return difference and ends on the axis where better is positive, lower end first."""
    turned = [finite(value) for value in (effect.difference, effect.low, effect.high)]
    point, low, high = (None if value is None else effect.sign * value for value in turned)
    return (point, low, high) if effect.sign > 0 else (point, high, low)


def reach_of(effects: Iterable[Effect | None]) -> float:
    """Return how far the effects reach from zero, so that rows of one unit share a scale."""
    ends = [
        abs(end)
        for effect in effects
        if effect is not None
        for end in (effect.difference, effect.low, effect.high)
        if end is not None and math.isfinite(end)
    ]
    return max(ends, default=0.0)
