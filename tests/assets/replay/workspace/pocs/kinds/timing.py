"""Variants that take a known time."""

from __future__ import annotations

import asyncio
import gc
import time

from expplat import Call, Request


def sleeping(request: Request, call: Call) -> str:
    time.sleep(0.01)
    return "so"


async def asleep(request: Request, call: Call) -> str:
    await asyncio.sleep(0.01)
    return "so"


def frozen(request: Request, call: Call) -> str:
    return "frozen" if gc.get_freeze_count() else "loose"


def sees_answers(request: Request, call: Call) -> str:
    return "".join(request.logged)
