"""What a request took and cost, reported as outcomes of its unit when it ends."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, SupportsFloat

from expplat.client._guard import Complaints, attempt
from expplat.client._numbers import finite


class Reports(Protocol):
    """Whoever takes the outcomes of a request."""

    complaints: Complaints

    def report(self, unit: str, flag: str | None, metrics: Mapping[str, float]) -> None:
        """Take them."""

    def price(self, model: str) -> tuple[float, float] | None:
        """Return US dollars per million input and output tokens; None if nobody knows."""


class RequestScope:
    """One request of one unit, from entering to leaving it.

    A request inside another one of the same client is part of it: only the outer one reports.
    """

    def __init__(self, reports: Reports, unit: str | None, flag: str | None) -> None:
        self.failed = False
        """Set it where a request ends badly without an exception; an exception sets it too."""

        self._reports = reports
        self._unit = unit
        self._flag = flag
        self._usage = _Usage()
        self._token: contextvars.Token[RequestScope | None] | None = None
        self._is_part = self._is_over = False
        self._started = 0.0
        self._stopped: tuple[float, bool] | None = None

    def __enter__(self) -> Self:
        self.begin()
        self._token = self.step_in()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(kind)
        self.step_out(self._token)

    def begin(self) -> None:
        """Start the clock."""
        outer = _CURRENT.get()
        self._is_part = outer is not None and outer.has_room_for(self._reports)
        self._started = time.perf_counter()

    def has_room_for(self, reports: Reports) -> bool:
        """Whether a request inside this one is part of it.

        What a request leaves behind, such as a task that outlives it, still has it around itself.
        """
        return self._reports is reports and self._unit is not None and self._stopped is None

    def step_in(self) -> contextvars.Token[RequestScope | None] | None:
        """Have `usage` find this request from here on, if it reports itself."""
        return None if self._is_part else _CURRENT.set(self)

    def step_out(self, token: contextvars.Token[RequestScope | None] | None) -> None:
        """Undo it."""
        if token is not None:
            attempt(self._reports, "leave", lambda: _CURRENT.reset(token), lambda: None)

    def stop(self) -> None:
        """Stop the clock and settle whether it failed: the answer is out, whatever follows."""
        if self._stopped is None:
            self._stopped = (time.perf_counter() - self._started) * 1000, self.failed

    def end(self, kind: type[BaseException] | None = None) -> None:
        """Report it.

        Args:
            kind: The exception that ended it. A generator that is read no further is no failure.
        """
        self.failed |= kind is not None and not issubclass(kind, GeneratorExit)
        self.stop()
        self._is_over = True
        if not self._is_part:
            attempt(self._reports, "request", self._report, lambda: None)

    def use(self, model: str | None, amounts: Amounts) -> None:
        """Add what a call of a model took; never raise."""

        def add() -> None:
            price = self._reports.price(model) if model else None
            self._usage.add(amounts, price)

        if not self._is_over:
            attempt(self._reports, "usage", add, self._usage.spoil)

    def _report(self) -> None:
        if self._unit is None or self._stopped is None:
            return
        latency_ms, is_error = self._stopped
        metrics = {"latency_ms": latency_ms, "error": float(is_error)} | self._usage.metrics()
        self._reports.report(self._unit, self._flag, metrics)
        if self._usage.is_unpriced:
            message = "A model was used whose price is not in `prices`; `cost_usd` is left out."
            self._reports.complaints.about("price", message)


Amounts = tuple[int | None, int | None, SupportsFloat | None]
"""Input tokens, output tokens, and US dollars if they are known."""


class _Usage:
    """Sums of one request, to which several threads may add."""

    def __init__(self) -> None:
        self.is_unpriced = False
        self._is_spoiled = False
        # A signal handler may use a model too.
        self._lock = threading.RLock()
        self._calls = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._usd = 0.0

    def add(self, amounts: Amounts, price: tuple[float, float] | None) -> None:
        input_tokens, output_tokens, usd = amounts
        sent, received = _amount(input_tokens or 0), _amount(output_tokens or 0)
        if usd is None and price is not None:
            usd = (sent * price[0] + received * price[1]) / 1_000_000
        dollars = None if usd is None else _amount(usd)
        with self._lock:
            self._calls += 1
            self._input_tokens += int(sent)
            self._output_tokens += int(received)
            self._usd += dollars or 0.0
            self.is_unpriced |= dollars is None

    def spoil(self) -> None:
        """Something could not be added: a sum without it would look whole."""
        self._is_spoiled = True

    def metrics(self) -> dict[str, float]:
        if not self._calls or self._is_spoiled:
            return {}
        tokens: dict[str, float] = {
            "input_tokens": self._input_tokens,
            "output_tokens": self._output_tokens,
        }
        # A sum without one of its parts is too small, and would look like a saving.
        return tokens if self.is_unpriced else {**tokens, "cost_usd": self._usd}


def _amount(value: object) -> float:
    number = finite(value)
    if number is None or number < 0:
        message = f"{value!r} is no amount; tokens and dollars of the request are left out"
        raise ValueError(message)
    return number


_CURRENT: contextvars.ContextVar[RequestScope | None] = contextvars.ContextVar(
    "expplat_request", default=None
)


def usage(
    *,
    model: str | None = None,
    input_tokens: int | None = 0,
    output_tokens: int | None = 0,
    usd: SupportsFloat | None = None,
) -> None:
    """Add what a call of a model took to the request that runs now; outside of one, do nothing.

    Args:
        model: Finds the price in the `prices` of the client, where `usd` is not given.
        input_tokens: Tokens sent; None is none.
        output_tokens: Tokens received; None is none.
        usd: What it cost, in US dollars.
    """
    scope = _CURRENT.get()
    if scope is not None:
        scope.use(model, (input_tokens, output_tokens, usd))
