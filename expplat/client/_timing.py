"""What a request took and cost, reported as outcomes of its unit when it ends."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast

from expplat.client._guard import Complaints, attempt

P = ParamSpec("P")
T = TypeVar("T")


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
        self._started = 0.0

    def __enter__(self) -> Self:
        outer = _CURRENT.get()
        if outer is None or outer._reports is not self._reports:
            self._token = _CURRENT.set(self)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is None:
            return
        latency_ms = (time.perf_counter() - self._started) * 1000
        is_error = self.failed or kind is not None
        attempt(self._reports, "leave", self._leave, lambda: None)
        attempt(self._reports, "request", lambda: self._report(latency_ms, is_error), lambda: None)

    def _leave(self) -> None:
        if self._token is not None:
            _CURRENT.reset(self._token)

    def use(self, model: str | None, amounts: Amounts) -> None:
        """Add what a call of a model took; never raise."""

        def add() -> None:
            price = self._reports.price(model) if model else None
            self._usage.add(amounts, price)

        attempt(self._reports, "usage", add, lambda: None)

    def _report(self, latency_ms: float, is_error: bool) -> None:
        if self._unit is None:
            return
        metrics = {"latency_ms": latency_ms, "error": float(is_error)} | self._usage.metrics()
        self._reports.report(self._unit, self._flag, metrics)
        if self._usage.is_unpriced:
            message = "A model was used whose price is not in `prices`; `cost_usd` is left out."
            self._reports.complaints.about("price", message)


Amounts = tuple[int, int, float | None]
"""Input tokens, output tokens, and US dollars if they are known."""


class _Usage:
    """Sums of one request, to which several threads may add."""

    def __init__(self) -> None:
        self.is_unpriced = False
        self._lock = threading.Lock()
        self._calls = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._usd = 0.0

    def add(self, amounts: Amounts, price: tuple[float, float] | None) -> None:
        input_tokens, output_tokens, usd = int(amounts[0]), int(amounts[1]), amounts[2]
        if usd is None and price is not None:
            usd = (input_tokens * price[0] + output_tokens * price[1]) / 1_000_000
        with self._lock:
            self._calls += 1
            self._input_tokens += input_tokens
            self._output_tokens += output_tokens
            self._usd += usd or 0.0
            self.is_unpriced |= usd is None

    def metrics(self) -> dict[str, float]:
        if not self._calls:
            return {}
        tokens: dict[str, float] = {
            "input_tokens": self._input_tokens,
            "output_tokens": self._output_tokens,
        }
        # A sum without one of its parts is too small, and would look like a saving.
        return tokens if self.is_unpriced else {**tokens, "cost_usd": self._usd}


_CURRENT: contextvars.ContextVar[RequestScope | None] = contextvars.ContextVar(
    "expplat_request", default=None
)


def usage(
    *,
    model: str | None = None,
    input_tokens: int = 0,
    output_tokens: int = 0,
    usd: float | None = None,
) -> None:
    """Add what a call of a model took to the request that runs now; outside of one, do nothing.

    Args:
        model: Finds the price in the `prices` of the client, where `usd` is not given.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        usd: What it cost, in US dollars.
    """
    scope = _CURRENT.get()
    if scope is not None:
        scope.use(model, (input_tokens, output_tokens, usd))


def timed(
    open_request: Callable[[str | None], RequestScope],
    unit: Callable[..., str | None],
    reports: Reports,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator that runs each call of a function, plain or async, as a request."""

    def scope_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> RequestScope:
        found = attempt(reports, "unit", lambda: unit(*args, **kwargs), lambda: None)
        return open_request(found)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with scope_of(args, kwargs):
                    return await function(*args, **kwargs)

            return cast("Callable[P, T]", timed_coroutine)

        @functools.wraps(function)
        def timed_function(*args: P.args, **kwargs: P.kwargs) -> T:
            with scope_of(args, kwargs):
                return function(*args, **kwargs)

        return timed_function

    return decorate
