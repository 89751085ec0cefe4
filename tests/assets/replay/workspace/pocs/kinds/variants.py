"""One answer, given by every kind of variant; and variants of these kinds that go wrong."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

from expplat import Call, Output, Request
from expplat.domain.call import SetupContext


def answer(request: Request, call: Call, suffix: str) -> Output:
    with call.stage("retrieve"):
        found = (request.request_id, suffix)
    call.usage(model="small", input_tokens=10, output_tokens=2)
    return Output(text=f"about {request.input['question']}{suffix}", retrieved=found)


def plain(request: Request, call: Call, *, suffix: str = "") -> Output:
    return answer(request, call, suffix)


async def waiting(request: Request, call: Call, *, suffix: str = "") -> Output:
    await asyncio.sleep(0.001)
    return answer(request, call, suffix)


class Plain:
    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix

    def __call__(self, request: Request, call: Call) -> Output:
        return answer(request, call, self.suffix)


class Waiting(Plain):
    async def __call__(self, request: Request, call: Call) -> Output:
        await asyncio.sleep(0.001)
        return answer(request, call, self.suffix)


class Batch:
    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix

    def batch(self, requests: list[Request], calls: list[Call]) -> list[Output]:
        pairs = zip(requests, calls, strict=True)
        return [answer(request, call, self.suffix) for request, call in pairs]


class WaitingBatch(Batch):
    async def batch(self, requests: list[Request], calls: list[Call]) -> list[Output]:  # type: ignore[override]
        await asyncio.sleep(0.001)
        return super().batch(requests, calls)


class Both(Plain):
    """Answers alone and in batches, and says which."""

    def __call__(self, request: Request, call: Call) -> Output:
        return Output(text="alone")

    def batch(self, requests: list[Request], calls: list[Call]) -> list[Output]:
        return [Output(text="in a batch") for _ in requests]


class Sizes:
    """Answers with the size of its batch."""

    def __init__(self) -> None:
        self.running = 0

    def batch(self, requests: list[Request], calls: list[Call]) -> list[str]:
        self.running += 1
        assert self.running == 1
        time.sleep(0.02)
        self.running -= 1
        return ["x" * len(requests) for _ in requests]


class Troubled:
    """A batch that goes wrong wherever it holds the request r9."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def batch(self, requests: list[Request], calls: list[Call]) -> Any:
        answers = ["so" for _ in requests]
        if all(request.request_id != "r9" for request in requests):
            return answers
        if self.kind == "raises":
            raise KeyError("r9")
        return answers[1:] if self.kind == "too few" else dict.fromkeys(answers)


class Ready:
    """Reads an asset in its setup, and answers with it."""

    def setup(self, context: SetupContext) -> None:
        self.words = context.asset("words").read_text().strip()
        assert (context.workspace / "pocs").is_dir()

    def __call__(self, request: Request, call: Call) -> str:
        return self.words


class OnOneLoop:
    """Is set up, called and closed on the same loop, or says that it is not."""

    def __init__(self, note: str = "") -> None:
        self.note = note

    async def setup(self) -> None:
        await asyncio.sleep(0.02)
        self.loop = asyncio.get_running_loop()

    async def __call__(self, request: Request, call: Call) -> str:
        return "same" if asyncio.get_running_loop() is self.loop else "another"

    async def close(self) -> None:
        is_same = asyncio.get_running_loop() is self.loop
        Path(self.note).write_text("same" if is_same else "another")


async def hangs(request: Request, call: Call) -> str:
    await asyncio.sleep(60)
    return "so"


async def hangs_on(request: Request, call: Call) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)
    return "so"


async def exits(request: Request, call: Call) -> str:
    if request.request_id == "r1":
        sys.exit(3)
    return "so"


async def leaves_a_task_that_exits(request: Request, call: Call) -> str:
    async def leave() -> None:
        sys.exit(3)

    task = asyncio.create_task(leave())
    await asyncio.sleep(0)
    assert task
    return "so"


async def burns(request: Request, call: Call, *, seconds: float) -> str:
    """Take CPU time, in two parts, and wait between them."""
    for _ in range(2):
        until = time.thread_time() + seconds / 2
        with call.stage("burn"):
            while time.thread_time() < until:
                pass
            await asyncio.sleep(0.01)
    return "so"


def knows_its_thread(request: Request, call: Call) -> str:
    is_main = threading.current_thread() is threading.main_thread()
    return "main thread" if is_main else "another thread"


class CountsBeside:
    """Answers with the largest number of calls that were under way beside its own."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.under_way = 0

    def __call__(self, request: Request, call: Call) -> str:
        with self.lock:
            self.under_way += 1
            beside = self.under_way - 1
        time.sleep(self.seconds)
        with self.lock:
            beside = max(beside, self.under_way - 1)
            self.under_way -= 1
        return "x" * beside


async def sees_its_cancelled_wait(request: Request, call: Call) -> str:
    raise asyncio.CancelledError
