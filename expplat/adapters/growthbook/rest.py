"""The REST API of a GrowthBook server: one call after another, at a pace that it allows."""

from __future__ import annotations

import email.utils
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from expplat.errors import (
    ConfigurationError,
    ConflictError,
    FlagServerError,
    InputError,
    NotFoundError,
)

CALLS_A_MINUTE = 50
"""GrowthBook refuses the 61st call of a key within a minute; others may use the key too."""

MAX_TRIES = 5
DEFAULT_WAIT_S = 10.0
MAX_WAIT_S = 300.0
TIMEOUT = httpx2.Timeout(20.0, connect=5.0)

_URL_HINT = "EXPPLAT_GROWTHBOOK_URL is the address of its API, such as http://localhost:3100."
_NOT_THERE = re.compile(r"could not find|not found", re.IGNORECASE)
_MAX_MESSAGE = 400

Seconds = Callable[[], float]
Sleep = Callable[[float], None]


class Pace:
    """Lets at most so many calls begin within any minute, and waits before the next."""

    def __init__(
        self, calls: int = CALLS_A_MINUTE, *, clock: Seconds = time.monotonic, sleep: Sleep
    ) -> None:
        self._begun: deque[float] = deque(maxlen=calls)
        self._clock = clock
        self._sleep = sleep

    def wait(self) -> None:
        """Return when the next call may begin, and count it."""
        if len(self._begun) == self._begun.maxlen:
            self.pause(60.0 - (self._clock() - self._begun[0]))
        self._begun.append(self._clock())

    def pause(self, seconds: float) -> None:
        """Wait so long; not at all for zero or less."""
        if seconds > 0:
            self._sleep(seconds)


class GrowthBookRest:
    """Calls of one server with one key. Nothing is ever sent to another address.

    Args:
        url: Where its API is, with or without `/api` at the end.
        key: A secret key or personal access token.
        clock: Seconds that only grow, for the pace.
        sleep: Waits.

    Raises:
        ConfigurationError: If the address is none of http or https, or the key is none.
    """

    def __init__(
        self, url: str, key: str, *, clock: Seconds = time.monotonic, sleep: Sleep = time.sleep
    ) -> None:
        self._pace = Pace(clock=clock, sleep=sleep)
        self._address = _address(url)
        self._client = httpx2.Client(
            base_url=f"{self._address}/api",
            headers={"Authorization": f"Bearer {_secret(key)}"},
            timeout=TIMEOUT,
            follow_redirects=False,
        )

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return what is at a path; errors as of `post`, NotFoundError where there is nothing."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write.

        Raises:
            InputError: If the server refuses what was sent; its own words name the field.
            ConflictError: If somebody else wrote at the same time; read again.
            ConfigurationError: If the key may not do this.
            FlagServerError: If the server does not answer, or not as GrowthBook does.
        """
        return self._call("POST", path, json=dict(body))

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        for _ in range(MAX_TRIES):
            self._pace.wait()
            try:
                answer = self._client.request(method, path, **content)
            except httpx2.TransportError as error:
                raise FlagServerError(
                    f"The GrowthBook server at {self._address} does not answer: {_words(error)}.",
                    hint=f"{_URL_HINT} The same command again goes on from here.",
                ) from error
            if answer.status_code != 429:
                return self._understood(answer, f"{method} {path}")
            self._pace.pause(_retry_after_s(answer))
        raise FlagServerError(
            f"The GrowthBook server at {self._address} refused {MAX_TRIES} times in a row because "
            "of too many calls.",
            hint="Somebody else uses the key too; the same command again goes on from here.",
        )

    def _understood(self, answer: httpx2.Response, call: str) -> dict[str, Any]:
        status = answer.status_code
        if status in (401, 403):
            raise _refused(status, _message(answer))
        if status == 409:
            raise ConflictError(f"{call}: {_message(answer)}", hint="The same command again.")
        if status == 404 or (status == 400 and _NOT_THERE.search(_message(answer))):
            raise NotFoundError(f"{call}: there is nothing of that name.")
        if 400 <= status < 500:
            raise InputError(
                f"The GrowthBook server refused {call} with {status}: {_message(answer)}",
                hint="Its message names the field; `expplat flags push --dry-run` writes nothing.",
            )
        document = _document(answer)
        if not answer.is_success or document is None:
            raise FlagServerError(
                f"The server at {self._address} answered {call} with {status}, "
                f"{'elsewhere' if answer.is_redirect else 'which is no answer of GrowthBook'}.",
                hint=_URL_HINT,
            )
        return document


def _address(url: str) -> str:
    if not _is_plain(url):
        raise ConfigurationError(
            "EXPPLAT_GROWTHBOOK_URL is not set to an address of http or https."
            if not url
            else "EXPPLAT_GROWTHBOOK_URL is not a plain address of http or https.",
            hint=_URL_HINT,
        )
    return url.rstrip("/").removesuffix("/api")


def _is_plain(url: str) -> bool:
    """Whether it is an address of http or https, without credentials, query or fragment."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0 and bool(httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL):
        return False
    has_more = parts.username or parts.password or parts.query or parts.fragment or " " in url
    return parts.scheme in ("http", "https") and is_whole and not has_more


def _secret(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "EXPPLAT_GROWTHBOOK_KEY is not set to a key.",
            hint="Make a secret key in GrowthBook that may change features and experiments.",
        )
    return key


def _refused(status: int, message: str) -> ConfigurationError:
    if status == 401:
        return ConfigurationError(
            "The GrowthBook server does not know the key in EXPPLAT_GROWTHBOOK_KEY.",
            hint="Make a secret key in GrowthBook that may change features and experiments.",
        )
    return ConfigurationError(
        f"The GrowthBook server does not let this key do that: {message}",
        hint="Either the role of the key is too small, or approvals are on for the environment: "
        "then let the REST API bypass them in GrowthBook's settings, or make the change there.",
    )


def _document(answer: httpx2.Response) -> dict[str, Any] | None:
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _message(answer: httpx2.Response) -> str:
    """Return what the server says of an error, and of every gate in the way, in one line."""
    document = _document(answer) or {}
    parts = [document.get("message") or document.get("error") or "no message"]
    parts += document.get("warnings") or []
    for gate in document.get("gates") or []:
        parts += gate.get("messages") or [] if isinstance(gate, dict) else []
    return _one_line("; ".join(str(part) for part in parts))


def _words(error: Exception) -> str:
    return _one_line(str(error)).rstrip(".") or type(error).__name__


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_MESSAGE].strip()


def _retry_after_s(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text)
    else:
        date = email.utils.parsedate_tz(text)
        wait_s = email.utils.mktime_tz(date) - time.time() if date else DEFAULT_WAIT_S
    if wait_s > MAX_WAIT_S:
        raise FlagServerError(
            f"The GrowthBook server asks to wait for {wait_s:.0f} s.",
            hint="The same command then goes on from here.",
        )
    return wait_s
