"""A few milliseconds of work, the same under whatever name."""

from __future__ import annotations

from expplat import Call, Output, Request


def busy(request: Request, call: Call) -> Output:
    return Output(text=str(sum(number * number for number in range(40_000))))
