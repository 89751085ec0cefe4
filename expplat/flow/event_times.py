"""When an event happened: by its sender's clock, and by ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

MAX_AGE = timedelta(days=30)
MAX_AHEAD = timedelta(hours=24)

TRUSTED_SKEW = timedelta(seconds=60)
"""Below it the journey of a batch cannot be told from a clock that is wrong, so that a correction
would only add the jitter of the network to every time."""


class Moment(NamedTuple):
    """When an event happened."""

    stated_at: datetime | None
    """By the sender's clock; None where it says nothing."""

    at: datetime
    """By our clock."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How a batch came: what its times are judged by."""

    received_at: datetime
    behind: timedelta = timedelta()
    """How far the sender's clock is behind ours; it is added to what the sender says."""

    max_age: timedelta = MAX_AGE
    """Older events are refused."""

    @cached_property
    def earliest(self) -> datetime:
        """When an event may have happened at the earliest, by our clock."""
        return self.received_at - self.max_age

    @cached_property
    def latest(self) -> datetime:
        """When an event may have happened at the latest: no clock is trusted to the day."""
        return self.received_at + MAX_AHEAD

    def corrected(self, stated_at: datetime | None) -> datetime:
        """Return by our clock what is stated by the sender's; the arrival where nothing is.

        Raises:
            OverflowError: If there is no such year.
        """
        if stated_at is None:
            return self.received_at
        return stated_at + self.behind if self.behind else stated_at


def skew(received_at: datetime, sent_at: datetime | None) -> timedelta:
    """Return how far a sender's clock is behind ours; nothing within the minute that is trusted."""
    if sent_at is None:
        return timedelta()
    behind = received_at - sent_at
    return behind if abs(behind) > TRUSTED_SKEW else timedelta()


def parse_instant(value: object) -> datetime | None:
    """Return an RFC 3339 time with its zone, in UTC; None for anything else."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        # A time without a zone is the local time of an unknown machine.
        if at is None or at.tzinfo is UTC:
            return at
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
