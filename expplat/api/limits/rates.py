"""How often one key may do something: token buckets in memory, each process with its own."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from expplat.settings import Settings

MAX_BUCKETS = 10_000
"""Buckets that are kept; the one that was used longest ago goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a bucket holds and how fast it fills."""

    per_second: float
    """0: as often as one likes."""

    burst: float
    """What may be taken at once after a pause."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Rates:
    """The buckets of one server."""

    def __init__(self, rates: dict[str, Rate], now: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._now = now
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Rates:
        """Return the rates of the settings."""
        events, flags = settings.max_events_per_second, settings.max_flag_reads_per_second
        reads = settings.max_reads_per_minute
        return cls(
            {
                "events": Rate(per_second=events, burst=10 * events),
                "flags": Rate(per_second=flags, burst=4 * flags),
                "reads": Rate(per_second=reads / 60, burst=reads),
            }
        )

    def admit(self, what: str, who: str, count: float = 1.0) -> None:
        """Take `count` out of somebody's bucket.

        Args:
            what: `events`, `flags` or `reads`.
            who: Whose bucket it is.
            count: More than the bucket ever holds counts as all that it holds.

        Raises:
            HTTPException: 429 with Retry-After; then nothing was taken.
        """
        rate = self._rates[what]
        if rate.per_second <= 0 or count <= 0:
            return
        wanted = min(count, rate.burst)
        with self._lock:
            bucket = self._filled(what, who, rate)
            missing = wanted - bucket.tokens
            if missing <= 0:
                bucket.tokens -= wanted
                return
        wait_s = max(1, math.ceil(missing / rate.per_second))
        raise HTTPException(
            429, f"This key sends too fast; wait {wait_s} s.", {"Retry-After": str(wait_s)}
        )

    def _filled(self, what: str, who: str, rate: Rate) -> _Bucket:
        now = self._now()
        bucket = self._buckets.setdefault((what, who), _Bucket(rate.burst, now))
        self._buckets.move_to_end((what, who))
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        elapsed = max(0.0, now - bucket.filled_at)
        bucket.tokens = min(rate.burst, bucket.tokens + elapsed * rate.per_second)
        bucket.filled_at = now
        return bucket
