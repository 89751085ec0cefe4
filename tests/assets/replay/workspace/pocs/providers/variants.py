"""Variants that ask somebody who is not always there."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from expplat import Call, Request
from expplat.domain.call import ProviderError, RateLimitedError


class Answer:
    """What an HTTP client keeps of an answer."""

    def __init__(self, status_code: int, headers: dict[str, str]) -> None:
        self.status_code = status_code
        self.headers = headers


class HttpError(Exception):
    """As clients of HTTP raise it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = Answer(status, named)


class Shaky:
    """Fails so often for each request, in its way, and then answers; each attempt is noted."""

    def __init__(self, how: str, failures: int, only: str = "", note: str = "") -> None:
        self.how = how
        self.failures = failures
        self.only = only
        self.note = note
        self.seen: Counter[str] = Counter()

    def __call__(self, request: Request, call: Call) -> str:
        self.noted(request)
        self.seen[request.request_id] += 1
        call.usage(model="small", input_tokens=100, output_tokens=0)
        is_meant = self.only in ("", request.request_id)
        if is_meant and self.seen[request.request_id] <= self.failures:
            getattr(self, self.how)()
        with call.stage("generate"):
            return "so"

    def noted(self, request: Request) -> None:
        if self.note:
            descriptor = os.open(self.note, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(descriptor, f"{request.request_id}\n".encode())
            os.close(descriptor)

    def limits(self) -> None:
        raise RateLimitedError("slowly", retry_after_s=0.2)

    def limits_at_once(self) -> None:
        raise RateLimitedError("slowly", retry_after_s=0.0)

    def limits_for_an_hour(self) -> None:
        raise RateLimitedError("slowly", retry_after_s=3600.0)

    def limits_by_status(self) -> None:
        raise HttpError(429, retry_after="0.2")

    def is_away(self) -> None:
        raise HttpError(503, Retry_After="0")

    def fails(self) -> None:
        raise ProviderError("away")

    def breaks(self) -> Any:
        return {}["bug"]
