"""In which order the arms answer the requests of a replay."""

from __future__ import annotations

import random

from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT


class Interleaving:
    """Which arms answer a request, in which order; a function of the plan alone.

    The pair alternates request by request (ABBA), so that a slow minute of the machine meets both;
    the seed says who begins. Of each of `aa_requests` equal parts of the log, one request is
    answered by control once more; the seed draws the request, and the place in its order.
    """

    def __init__(self, measurement: Measurement, requests: int) -> None:
        self._seed = measurement.seed
        self._start = random.Random(f"{self._seed}:start").randrange(2)  # noqa: S311  (an order)
        parts = min(measurement.aa_requests, requests)
        draw = random.Random(f"{self._seed}:again")  # noqa: S311  (an order)
        self.again = frozenset(
            draw.randrange(part * requests // parts, (part + 1) * requests // parts)
            for part in range(parts)
        )
        """Positions of the requests that control answers twice."""

    def arms(self, position: int) -> tuple[str, ...]:
        """Return the arms of a request in the order of their calls."""
        first_is_control = (position + self._start) % 2 == 0
        pair = [CONTROL, TREATMENT] if first_is_control else [TREATMENT, CONTROL]
        if position in self.again:
            draw = random.Random(f"{self._seed}:{position}")  # noqa: S311  (an order)
            pair.insert(draw.randrange(3), CONTROL_AGAIN)
        return tuple(pair)
