"""What an exception of user code says about its call: the kind of failure, when to come back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

from expplat.adapters.replay.variant_output import BadOutputError
from expplat.adapters.replay.workspace_sources import MESSAGE_CHARACTERS, last_words
from expplat.domain.call import ProviderError, RateLimitedError
from expplat.domain.request import ErrorKind

RETRIED = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.PROVIDER_ERROR})
"""Kinds of failure that are somebody else's, and may be over in a moment."""

TOO_MANY_REQUESTS = 429
"""Status of HTTP for a rate limit."""

SERVER_ERRORS = range(500, 600)
"""Statuses of HTTP for failures of the one who was asked."""

_CONNECTION_ERRORS = frozenset(
    {"ConnectError", "ConnectionError", "APIConnectionError", "ClientConnectionError"}
)
_TIMEOUTS = frozenset({"APITimeoutError", "Timeout", "TimeoutError", "TimeoutException"})
"""Names that clients of HTTP give to their own classes, which have no common base."""


class Failure(NamedTuple):
    """Why a call has no result."""

    kind: ErrorKind
    message: str
    retry_after_s: float | None = None
    """Seconds that somebody asked us to wait; None where nothing was said."""

    @property
    def is_retried(self) -> bool:
        """Whether another attempt may end better."""
        return self.kind in RETRIED


def failure_of(error: BaseException, workspace: Path) -> Failure:
    """Return what an exception makes of the call that it ended."""
    if isinstance(error, BadOutputError):
        return Failure(ErrorKind.BAD_OUTPUT, str(error)[:MESSAGE_CHARACTERS])
    cause = _first_of(error)
    kind = _kind_of(cause)
    asked_s = _retry_after_s(cause) if kind in RETRIED else None
    return Failure(kind, last_words(cause, workspace), asked_s)


def _first_of(error: BaseException) -> BaseException:
    """Return the first of the exceptions that a group of tasks has raised together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _kind_of(error: BaseException) -> ErrorKind:
    if not isinstance(error, Exception):
        return ErrorKind.VARIANT_BUG
    status = _status_of(error)
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, RateLimitedError) or status == TOO_MANY_REQUESTS:
        return ErrorKind.RATE_LIMITED
    if isinstance(error, ProviderError) or status in SERVER_ERRORS:
        return ErrorKind.PROVIDER_ERROR
    # A timeout comes first: there are clients whose timeouts are connection errors too.
    if names & _TIMEOUTS:
        return ErrorKind.TIMEOUT
    return ErrorKind.PROVIDER_ERROR if names & _CONNECTION_ERRORS else ErrorKind.VARIANT_BUG


def _status_of(error: BaseException) -> int | None:
    """Return the status of HTTP that an exception carries, wherever its client puts that."""
    for place in (
        _attribute(error, "status_code"),
        _attribute(_attribute(error, "response"), "status_code"),
        _attribute(error, "status"),
        _attribute(error, "code"),
    ):
        if isinstance(place, int) and not isinstance(place, bool):
            return place
    return None


def _retry_after_s(error: BaseException) -> float | None:
    stated = _seconds(_attribute(error, "retry_after_s"))
    if stated is not None:
        return stated
    return next((found for found in map(_seconds, _headers(error)) if found is not None), None)


def _headers(error: BaseException) -> Iterator[Any]:
    """Give what the answer's headers say, in whatever case its client keeps their names."""
    for holder in (_attribute(error, "response"), error):
        get = _attribute(_attribute(holder, "headers"), "get")
        if callable(get):
            for name in ("Retry-After", "retry-after"):
                yield _plainly_got(get, name)


def _seconds(value: Any) -> float | None:
    """Return seconds from now, at least 0, of a number of seconds or a date of HTTP."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        found = _until(str(value))
    return max(0.0, found) if math.isfinite(found) else None


def _until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


def _attribute(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001  (guards user code: an exception's own property may raise)
        return None


def _plainly_got(get: Any, name: str) -> Any:
    try:
        return get(name)
    except Exception:  # noqa: BLE001  (guards user code: somebody's own headers may raise)
        return None
