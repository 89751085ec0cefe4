"""In which order the arms answer the requests of a replay, and which requests come when."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, ROUNDS, TREATMENT


class Sweep(NamedTuple):
    """A part of a replay that all workers finish before any begins the next."""

    round: int
    """Requests of this round and of those before it."""

    timed_only: bool = False
    """Whether only those whose calls are timed, one by one."""


class Interleaving:
    """Which arms answer a request, in which order; a function of the plan alone.

    The pair alternates request by request (ABBA), so that a slow minute of the machine meets both;
    the seed says who begins. Of each of `aa_requests` equal parts of the log, one request is
    answered by control once more; the seed draws the request, and the place in its order. The
    requests that are timed, where not all are, are drawn in the same way.
    """

    def __init__(self, measurement: Measurement, requests: int) -> None:
        self._seed = measurement.seed
        self._rounds = ROUNDS if measurement.early_stop else 1
        self._start = random.Random(f"{self._seed}:start").randrange(2)  # noqa: S311  (an order)
        self._times_all = measurement.concurrency == 1
        timed = 0 if self._times_all else min(measurement.latency_requests, requests)
        self._timed = self._one_of_each(timed, requests, "timed")
        again = min(measurement.aa_requests, requests)
        self.again = self._one_of_each(again, requests, "again")
        """Positions of the requests that control answers twice."""

    def arms(self, position: int, repeat: int = 0) -> tuple[str, ...]:
        """Return the arms of a request in the order of their calls."""
        first_is_control = (position + repeat + self._start) % 2 == 0
        pair = [CONTROL, TREATMENT] if first_is_control else [TREATMENT, CONTROL]
        if position in self.again and repeat == 0:
            draw = random.Random(f"{self._seed}:{position}")  # noqa: S311  (an order)
            pair.insert(draw.randrange(3), CONTROL_AGAIN)
        return tuple(pair)

    def is_timed(self, position: int) -> bool:
        """Whether the calls of a request are made one by one, and timed."""
        return self._times_all or position in self._timed

    def round_of(self, position: int, cluster: str) -> int:
        """Return the round that a request belongs to, from 1; clusters stay whole.

        A request that is timed, where not all are, comes in the first.
        """
        if self._rounds == 1 or position in self._timed:
            return 1
        drawn = hashlib.blake2b(f"{self._seed}:round:{cluster}".encode(), digest_size=8).digest()
        return 1 + int.from_bytes(drawn, "big") * self._rounds // (1 << 64)

    def _one_of_each(self, parts: int, requests: int, purpose: str) -> frozenset[int]:
        """Draw one position of each of so many equal parts of the log."""
        draw = random.Random(f"{self._seed}:{purpose}")  # noqa: S311  (an order)
        return frozenset(
            draw.randrange(part * requests // parts, (part + 1) * requests // parts)
            for part in range(parts)
        )
