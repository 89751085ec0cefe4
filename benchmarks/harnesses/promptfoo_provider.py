"""A provider for promptfoo that sleeps 10 ms."""

from __future__ import annotations

import time
from typing import Any

SLEEP_S = 0.010


def call_api(prompt: str, options: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    time.sleep(SLEEP_S)
    return {"output": "a"}
