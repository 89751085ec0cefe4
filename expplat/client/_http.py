"""HTTP with a limit on everything: time to connect, silence, length of an answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

MAX_ANSWER_BYTES = 6_000_000
TOTAL_FACTOR = 2.0
"""A whole answer may take this many times as long as one silence in it."""


class UnreachableError(Exception):
    """No answer, or not a whole one, in words for the log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    body: bytes


class Http:
    """A pool of connections to one server. No redirects and no repetitions: callers decide."""

    def __init__(self, url: str, connect_s: float, read_s: float) -> None:
        self._url = url
        self._read_s = read_s
        self._connect_s = connect_s
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask for something.

        Raises:
            UnreachableError: If no whole answer came in time.
        """
        return self._whole("GET", path, headers, None)

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send something; as `get`."""
        return self._whole("POST", path, headers, body)

    def stream(self, path: str, headers: Mapping[str, str], silence_s: float) -> Stream:
        """Open an answer without an end.

        Raises:
            UnreachableError: If none began in time, or it is none.
        """
        response = self._open("GET", path, headers, None, silence_s)
        if response.status != 200:
            response.close()
            raise UnreachableError(f"{path.rpartition('/')[0]} answered {response.status}")
        return Stream(response)

    def _whole(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        deadline = time.monotonic() + self._connect_s + self._read_s * TOTAL_FACTOR
        response = self._open(method, path, headers, body, self._read_s)
        try:
            content = _read(response, deadline)
        except (HTTPError, OSError) as error:
            response.close()
            raise UnreachableError(f"the answer of {self._url} broke off: {error}") from error
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, lower, content)

    def _open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        silence_s: float,
    ) -> BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self._url + path,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=self._connect_s, read=silence_s),
                preload_content=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"{self._url} cannot be reached: {error}") from error
        except ValueError as error:
            # Its words quote what HTTP cannot carry, which may be a key.
            what = type(error).__name__
            message = f"{self._url} cannot be asked: {what}, for the address or a key"
            raise UnreachableError(message) from error


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def read(self) -> bytes:
        """Return what came; empty at the end.

        Raises:
            UnreachableError: If it breaks off, or says nothing for too long.
        """
        try:
            return self._response.read1(65_536) or b""
        except (HTTPError, OSError, ValueError) as error:
            raise UnreachableError(f"the stream broke off: {error}") from error

    def close(self) -> None:
        """Let it go."""
        self._response.close()

    def cut(self) -> None:
        """End it from another thread: the one that reads sees its end."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            # It is over already.
            return


def _read(response: BaseHTTPResponse, deadline: float) -> bytes:
    content = bytearray()
    while chunk := response.read1(65_536):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise OSError("it is too long")
        if time.monotonic() > deadline:
            raise OSError("it takes too long")
    return bytes(content)
